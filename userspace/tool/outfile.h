/* SPDX-License-Identifier: GPL-2.0 */
/* Standard output into a file that is replaced in one step. */
#ifndef MSTORE_TOOL_OUTFILE_H
#define MSTORE_TOOL_OUTFILE_H

#include <sys/types.h>

void outfile_begin(mode_t mode);
void outfile_commit(void);

#endif
