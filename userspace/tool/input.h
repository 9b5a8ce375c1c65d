/* SPDX-License-Identifier: GPL-2.0 */
/* Values that come from a file, and lines of standard input. */
#ifndef MSTORE_TOOL_INPUT_H
#define MSTORE_TOOL_INPUT_H

#include <metastore.h>

#include "options.h"

struct bytes read_to_end(int fd, const char *name, size_t most);
struct bytes read_value(struct mstore *store, const char *path);
bool next_line(const struct command *cmd, struct bytes *line);
bool line_waits(void);
struct bytes operand_value(const struct command *cmd, struct mstore *store, const char *text);

#endif
