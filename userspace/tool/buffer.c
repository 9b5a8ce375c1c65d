// SPDX-License-Identifier: GPL-2.0
/* A string that grows. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* Returns where @more bytes can be written; the caller adds to len what it wrote. */
char *buffer_reserve(struct buffer *buf, size_t more)
{
	if (buf->size - buf->len < more) {
		size_t size = buf->len + more;

		if (size < 2 * buf->size)
			size = 2 * buf->size;
		buf->data = realloc(buf->data, size);
		if (!buf->data)
			die(STATUS_COULD_NOT, "memory", "no room for %zu bytes", size);
		buf->size = size;
	}
	return buf->data + buf->len;
}

void buffer_add(struct buffer *buf, const void *data, size_t len)
{
	if (!len)
		return;
	memcpy(buffer_reserve(buf, len), data, len);
	buf->len += len;
}

void buffer_text(struct buffer *buf, const char *text)
{
	buffer_add(buf, text, strlen(text));
}

void buffer_number(struct buffer *buf, uint64_t number)
{
	buffer_format(buf, "%llu", (unsigned long long)number);
}

void buffer_format(struct buffer *buf, const char *format, ...)
{
	va_list args, again;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	vsnprintf(buffer_reserve(buf, len + 1), len + 1, format, again);
	buf->len += len;
	va_end(again);
	va_end(args);
}
