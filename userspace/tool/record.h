/* SPDX-License-Identifier: GPL-2.0 */
/* Fields of standard output. */
#ifndef MSTORE_TOOL_RECORD_H
#define MSTORE_TOOL_RECORD_H

#include "tool.h"

void out_end(void);
void out_key(struct bytes key);
void out_value(struct bytes value);

#endif
