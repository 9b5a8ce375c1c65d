// SPDX-License-Identifier: GPL-2.0
/*
 * Coverage of the module, by KCOV (see Documentation/dev-tools/kcov.rst in the kernel's
 * source), where the kernel has it and the module is built for it. Each lane has a buffer
 * in which the kernel notes addresses; the worker looks at them when a program has ended.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fuzz.h"

#define KCOV_INIT_TRACE	_IOR('c', 1, unsigned long)
#define KCOV_ENABLE	_IO('c', 100)
#define KCOV_DISABLE	_IO('c', 101)
#define KCOV_TRACE_PC	0
#define ENTRIES		(64UL << 10)

static struct {
	int fd;
	uint64_t *area;			/* how many, then the addresses */
} buffers[LANES];

static bool available;
static uint64_t module_start;

bool coverage_init(void)
{
	available = !access("/sys/kernel/debug/kcov", R_OK | W_OK);
	return available;
}

void coverage_find_module(void)
{
	FILE *f = fopen("/proc/modules", "re");
	unsigned long start;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "metastore %*u %*s %*s %*s %lx", &start) == 1)
			module_start = start;
	if (f)
		fclose(f);
}

void coverage_begin_worker(void)
{
	int i;

	for (i = 0; available && i < LANES; i++) {
		buffers[i].fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
		if (buffers[i].fd < 0 || ioctl(buffers[i].fd, KCOV_INIT_TRACE, ENTRIES))
			available = false;
		buffers[i].area = mmap(NULL, ENTRIES * 8, PROT_READ | PROT_WRITE, MAP_SHARED,
				       buffers[i].fd, 0);
		if (buffers[i].area == MAP_FAILED)
			available = false;
	}
}

void coverage_begin_lane(int lane)
{
	if (!available)
		return;
	__atomic_store_n(&buffers[lane].area[0], 0, __ATOMIC_RELAXED);
	ioctl(buffers[lane].fd, KCOV_ENABLE, KCOV_TRACE_PC);
}

void coverage_end_lane(int lane)
{
	if (available)
		ioctl(buffers[lane].fd, KCOV_DISABLE, 0);
}

static bool coverage_note(uint64_t address)
{
	uint64_t at = address - module_start;
	uint8_t bit = 1U << at % 8;

	if (at >= COVERAGE_BITS || world->coverage[at / 8] & bit)
		return false;
	if (__atomic_fetch_or(&world->coverage[at / 8], bit, __ATOMIC_RELAXED) & bit)
		return false;
	__atomic_add_fetch(&world->covered, 1, __ATOMIC_RELAXED);
	return true;
}

bool coverage_collect(void)
{
	bool new = false;
	uint64_t i, nr;
	int lane;

	for (lane = 0; available && lane < LANES; lane++) {
		nr = __atomic_load_n(&buffers[lane].area[0], __ATOMIC_RELAXED);
		for (i = 1; i <= nr && i < ENTRIES; i++)
			new |= coverage_note(buffers[lane].area[i]);
		buffers[lane].area[0] = 0;
	}
	return new;
}
