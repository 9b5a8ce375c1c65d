// SPDX-License-Identifier: GPL-2.0
/*
 * Buffered text, standard output, and messages and a progress line on standard error. Each
 * program defines its name, program_name, with which messages begin.
 *
 * Records are written whole, so that programs that share a pipe do not cut each
 * other's lines. A message comes after the records before it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "output.h"

#define EACH		1024	/* keys: so often the clock is looked at */
#define FIRST_NS	NS_PER_SEC
#define AGAIN_NS	(200 * NS_PER_MS)

#define CLEAR_LINE	"\r\033[K"

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

struct buffer out;

/* Another process may have made a shared pipe or terminal non-blocking. */
static bool wait_until_writable(void)
{
	struct pollfd pollfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&pollfd, 1, -1) == 1 || errno == EINTR;
}

static void write_failed(int error)
{
	out.len = 0;
	/* The reader has what it wanted. */
	if (error == EPIPE)
		exit(STATUS_YES);
	die(STATUS_COULD_NOT, "standard output", "%s", strerror(error));
}

void out_flush(void)
{
	size_t done = 0;

	while (done < out.len) {
		ssize_t count = write(STDOUT_FILENO, out.data + done, out.len - done);

		if (count >= 0)
			done += count;
		else if (errno != EINTR && (errno != EAGAIN || !wait_until_writable()))
			write_failed(errno);
	}
	out.len = 0;
}

/* Some file systems tell only here that there was no room. */
void out_finish(void)
{
	out_flush();
	if (close(STDOUT_FILENO) && errno != EBADF)
		write_failed(errno);
}

static uint64_t next_time;
static sig_atomic_t shown;

/* Shows a line that the next one, or whatever else is printed, takes the place of. */
void status_line(const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	shown = true;
	dprintf(STDERR_FILENO, CLEAR_LINE "%s: %s", program_name, text);
}

/* Says that @what has come to @count keys, if it already takes long. */
void progress(const char *what, uint64_t count)
{
	uint64_t now;

	if (count % EACH || !isatty(STDERR_FILENO))
		return;
	now = now_ns(CLOCK_MONOTONIC);
	if (!next_time)
		next_time = now + FIRST_NS;
	if (now < next_time)
		return;
	next_time = now + AGAIN_NS;
	status_line("%s: %llu keys", what, (unsigned long long)count);
}

/* Leaves the line to what comes next. Signal handlers may call it. */
void progress_end(void)
{
	ssize_t written = 0;

	if (shown)
		written = write(STDERR_FILENO, CLEAR_LINE, sizeof(CLEAR_LINE) - 1);
	(void)written;
	shown = false;
}

/* See https://no-color.org. */
bool shows_colours(int fd)
{
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return !(no_colour && *no_colour) && isatty(fd) && !(terminal && !strcmp(terminal, "dumb"));
}

/* In one write, so that messages of several processes do not mix. */
void vreport(const char *what, const char *why, va_list args)
{
	bool colours = shows_colours(STDERR_FILENO);
	char text[1024];

	vsnprintf(text, sizeof(text), why, args);
	progress_end();
	dprintf(STDERR_FILENO, "%s%s:%s %s: %s\n", colours ? COLOUR_BAD : "", program_name,
		colours ? COLOUR_END : "", what, text);
}

void report(const char *what, const char *why, ...)
{
	va_list args;

	va_start(args, why);
	vreport(what, why, args);
	va_end(args);
}

void die(int status, const char *what, const char *why, ...)
{
	va_list args;

	/* The results before the failure are worth having. */
	out_flush();
	va_start(args, why);
	vreport(what, why, args);
	va_end(args);
	exit(status);
}
