/* SPDX-License-Identifier: GPL-2.0 */
/* Bytes as text that keeps to one line. */
#ifndef MSTORE_TOOL_TEXT_H
#define MSTORE_TOOL_TEXT_H

#include "output.h"

enum escape_style {
	ESCAPE_VALUE,	/* spaces stay */
	ESCAPE_NAME,	/* spaces are escaped too: a key in a message */
	ESCAPE_KEY,	/* a minus sign at the start is as well: no line has it as an option */
};

int compare_bytes(const void *one, const void *other);
size_t utf8_sequence(const void *data, size_t len);
void escape(struct buffer *buf, struct bytes bytes, enum escape_style style);
size_t unescape_one(const char *text, char *byte);
bool unescape(struct buffer *buf, const char *text);
PRINTF_LIKE(2, 3) void report_key(struct bytes key, const char *why, ...);

#endif
