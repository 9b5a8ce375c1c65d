/* SPDX-License-Identifier: GPL-2.0 */
/* Text that is gathered, standard output, and messages of the form `program: what: why`. */
#ifndef MSTORE_TOOL_OUTPUT_H
#define MSTORE_TOOL_OUTPUT_H

#include <stdarg.h>

#include "tool.h"

/** struct buffer - a string that grows */
struct buffer {
	char *data;
	size_t len;
	size_t size;
};

char *buffer_reserve(struct buffer *buf, size_t more);
void buffer_add(struct buffer *buf, const void *data, size_t len);
void buffer_text(struct buffer *buf, const char *text);
void buffer_number(struct buffer *buf, uint64_t number);
PRINTF_LIKE(2, 3) void buffer_format(struct buffer *buf, const char *format, ...);

/* Standard output: what is not written yet. */
extern struct buffer out;

void out_flush(void);
void out_finish(void);

/* Name of the program, with which its messages begin. */
extern const char *const program_name;

PRINTF_LIKE(2, 0) void vreport(const char *what, const char *why, va_list args);
PRINTF_LIKE(2, 3) void report(const char *what, const char *why, ...);
PRINTF_LIKE(3, 4) noreturn void die(int status, const char *what, const char *why, ...);

/* For terminals alone. */
#define COLOUR_BAD	"\033[31m"
#define COLOUR_NEWS	"\033[32m"
#define COLOUR_END	"\033[m"

bool shows_colours(int fd);

/* How far a long command is, for people at a terminal. */
PRINTF_LIKE(1, 2) void status_line(const char *format, ...);
void progress(const char *what, uint64_t count);
void progress_end(void);

#endif
