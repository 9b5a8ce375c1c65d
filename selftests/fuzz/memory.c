// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that programs made the module ask for is charged to a memory cgroup of theirs. Once
 * they have ended and the module is gone, it is back: else references were not put. Where
 * there is no such cgroup, nothing is checked.
 */
#include <sys/stat.h>

#include "fuzz.h"

#define CGROUP		"/sys/fs/cgroup/fuzz"
#define LEFT_MAX	(64UL << 10)	/* that tasks, their files and caches may leave behind */
#define LATE_S		10		/* kfree_rcu() may take 5 s, and on 6.1 does */

static bool available;

void memory_init(void)
{
	mkdir(CGROUP, 0755);
	available = !access(CGROUP "/memory.stat", R_OK) && getenv("METASTORE_KO");
}

void memory_join(void)
{
	if (available && !write_file(CGROUP "/cgroup.procs", "0"))
		finding(CGROUP ": %s", strerrorname_np(errno));
}

/* Bytes that no shrinker gets back */
static uint64_t memory_left(void)
{
	FILE *f = fopen(CGROUP "/memory.stat", "re");
	unsigned long long bytes, slab = 0, vmalloc = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "slab_unreclaimable %llu", &bytes) == 1)
			slab = bytes;
		if (sscanf(line, "vmalloc %llu", &bytes) == 1)
			vmalloc = bytes;
	}
	if (f)
		fclose(f);
	return slab + vmalloc;
}

void memory_check(void)
{
	uint64_t end = now_ns() + LATE_S * 1000000000ULL * slowness;

	if (!available)
		return;
	while (memory_left() > LEFT_MAX && now_ns() < end)
		usleep(10000);
	if (memory_left() > LEFT_MAX)
		finding("the module is gone, and %llu bytes are left in memory",
			(unsigned long long)memory_left());
}
