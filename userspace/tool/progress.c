// SPDX-License-Identifier: GPL-2.0
/* How far a long command is, for whoever sits at a terminal and waits. */
#include <stdio.h>
#include <unistd.h>

#include "tool.h"

#define EACH		1024	/* keys: so often the clock is looked at */
#define FIRST_NS	1000000000ULL
#define AGAIN_NS	200000000ULL

static uint64_t next_time;
static bool shown;

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
	shown = true;
	dprintf(STDERR_FILENO, "\rmetastore: %s: %llu keys", what, (unsigned long long)count);
}

/* Leaves the line to what comes next. */
void progress_end(void)
{
	if (shown)
		dprintf(STDERR_FILENO, "\r\033[K");
	shown = false;
}
