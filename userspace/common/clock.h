/* SPDX-License-Identifier: GPL-2.0 */
/* Times as the store has them: in nanoseconds, of one of the kernel's clocks. */
#ifndef MSTORE_TOOL_CLOCK_H
#define MSTORE_TOOL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC	1000000000ULL
#define NS_PER_MS	1000000ULL
#define NS_PER_US	1000ULL

static inline uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

#endif
