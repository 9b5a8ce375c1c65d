/* SPDX-License-Identifier: GPL-2.0 */
/* Facts for people, as `info` and `stat` show them: `name: value`, one a line. */
#ifndef MSTORE_TOOL_FIELDS_H
#define MSTORE_TOOL_FIELDS_H

#include "output.h"

void text_field(const char *name, const char *text);
void number_field(const char *name, uint64_t number);
void add_size(struct buffer *buf, uint64_t bytes);
void size_field(const char *name, uint64_t bytes);

#endif
