// SPDX-License-Identifier: GPL-2.0
/* How far a long command is, for whoever sits at a terminal and waits. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "tool.h"

#define EACH		1024	/* keys: so often the clock is looked at */
#define FIRST_NS	1000000000ULL
#define AGAIN_NS	200000000ULL

#define CLEAR_LINE	"\r\033[K"

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
	dprintf(STDERR_FILENO, CLEAR_LINE "mstore: %s", text);
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
