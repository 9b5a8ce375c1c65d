/* SPDX-License-Identifier: GPL-2.0 */
/*
 * $SLOWNESS, which the VM sets, says how many times as slow as usual everything is,
 * mostly because of a debug kernel. Limits of time are that many times longer, the
 * harness's own too, and loops that only repeat run that many times less often.
 * Include this instead of kselftest_harness.h.
 */
#ifndef SLOWNESS_H
#define SLOWNESS_H

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static inline unsigned int ms_slowness(void)
{
	const char *slowness = getenv("SLOWNESS");
	int number = slowness ? atoi(slowness) : 1;

	return number > 0 ? number : 1;
}

/* How long to wait for what must come, in the unit of @time; not for what must not */
static inline unsigned long long ms_limit(unsigned long long time)
{
	return time * ms_slowness();
}

/* How often to do what finds more the more often it is done */
static inline unsigned int ms_times(unsigned int times)
{
	unsigned int slowness = ms_slowness();

	return times > slowness ? times / slowness : 1;
}

/* $FULL, of make check FULL=1: all is as large as it is meant to be, and takes its time */
static inline bool ms_full(void)
{
	const char *full = getenv("FULL");

	return full && atoi(full);
}

/* How much of it: @usual, or @full */
static inline unsigned int ms_size(unsigned int usual, unsigned int full)
{
	return ms_full() ? full : ms_times(usual);
}

/* By this alone the harness limits the time of a test. */
#define alarm(seconds)	alarm((seconds) * ms_slowness() * (ms_full() ? 10 : 1))

/* A helper in a file of its own, of a test in another, defines MS_NO_HARNESS. */
#ifdef MS_NO_HARNESS
#include "kselftest.h"
#else
#include "kselftest_harness.h"
#endif

#endif /* SLOWNESS_H */
