// SPDX-License-Identifier: GPL-2.0
/*
 * Standard output. Records are gathered and written whole, so that programs
 * which share a pipe do not cut each other's lines, and errors are seen where
 * they happen.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define GATHER_MAX	65536

struct buffer out;

/* Somebody else may have made a shared pipe or terminal non-blocking. */
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

/* Ends a line, or a field with -0. */
void out_end(void)
{
	buffer_add(&out, settings.null ? "" : "\n", 1);
	if (out.len >= GATHER_MAX)
		out_flush();
}

/* Some file systems tell only here that there was no room. */
void out_finish(void)
{
	out_flush();
	if (close(STDOUT_FILENO) && errno != EBADF)
		write_failed(errno);
}

void out_key(struct bytes key)
{
	if (settings.null)
		buffer_add(&out, key.data, key.len);
	else
		escape(&out, key, ESCAPE_KEY);
}

void out_value(struct bytes value)
{
	if (settings.null)
		buffer_add(&out, value.data, value.len);
	else
		escape(&out, value, ESCAPE_VALUE);
}
