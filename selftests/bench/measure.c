// SPDX-License-Identifier: GPL-2.0
/*
 * How a row is measured: BATCHES batches, each from rest. Work that the kernel puts
 * off, such as freeing memory after a grace period, is waited for after each batch
 * and belongs to it. The time the machine idles meanwhile does not, nor what it
 * does when it only waits. The minimum is that of the operations alone, the mean
 * has everything. Phases of timers therefore do not matter, and those of the memory
 * cgroup's accounts are gone through, see shift_charge().
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BATCHES		31
#define WARM_UP		3

/* Open files that shift_charge() adds for a batch; their memory is charged. */
#define SHIFT_FILES	13

#define NSEC_PER_SEC	1000000000ULL
#define NSEC_PER_MSEC	1000000ULL

/*
 * More than the kernel takes to free what 500 or more operations left behind:
 * some ticks and a grace period.
 */
#define SETTLE		(100 * NSEC_PER_MSEC)

/** row_note - what @amount of &struct row has to say about it; a column of its own */
char row_note[512];

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static uint64_t sum_of(const char *text, const char *field)
{
	uint64_t sum = 0;

	while ((text = strstr(text, field))) {
		text += strlen(field);
		sum += strtoull(text + strspn(text, " :"), NULL, 10);
	}
	return sum;
}

/* How long the machine has idled, in ns: /proc/stat knows it to 10 ms only. */
static uint64_t idle(void)
{
	static char text[256 << 10];
	static int fd = -1;
	size_t len = 0;
	ssize_t ret;

	if (fd < 0)
		fd = open("/proc/timer_list", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("/proc/timer_list");
	while ((ret = pread(fd, text + len, sizeof(text) - 1 - len, len)) > 0)
		len += ret;
	text[len] = '\0';
	return sum_of(text, ".idle_sleeptime") + sum_of(text, ".iowait_sleeptime");
}

/* A stretch of time in which the idle one is not counted. */
struct span {
	uint64_t idle;
	uint64_t start;
};

static struct span span_start(void)
{
	struct span span = { .idle = idle() };

	span.start = now();
	return span;
}

static double span_end(const struct span *span)
{
	uint64_t end = now();

	return end - span->start - (idle() - span->idle);
}

/* Sleeps for SETTLE, and on to where every batch starts: the same phase. */
static void settle(void)
{
	uint64_t until = (now() / SETTLE + 2) * SETTLE;
	struct timespec ts = {
		.tv_sec = until / NSEC_PER_SEC,
		.tv_nsec = until % NSEC_PER_SEC,
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static double settle_span(void)
{
	struct span span = span_start();

	settle();
	return span_end(&span);
}

/* The machine's own work in SETTLE: timers, and what servers do at rest. */
static double background(void)
{
	double sum = 0;
	int i;

	settle();
	for (i = 0; i < BATCHES; i++)
		sum += settle_span();
	return sum / BATCHES;
}

/*
 * A CPU pays for kernel memory ahead, a page at a time, and hands back what it has
 * above a page. A kernel path that frees as much as it allocates, as a socket does with each
 * message, may by bad luck pay and hand back each time, which costs 500
 * instructions, depending on how far the page is used up. So each batch begins at
 * another point of the page, and the mean is that of all.
 */
static void shift_charge(int *files)
{
	int i;

	for (i = 0; i < SHIFT_FILES; i++) {
		files[i] = eventfd(0, EFD_CLOEXEC);
		if (files[i] < 0)
			die("eventfd");
	}
}

static double run_batch(const struct row *row, unsigned int n)
{
	struct span span;

	if (row->prepare)
		row->prepare(row, n);
	settle();
	span = span_start();
	row->run(row, n);
	return span_end(&span);
}

static void measure_time(const struct row *row)
{
	unsigned int n = row->batch ?: BATCH;
	double sum = 0, later = 0, min = 0, rest;
	int files[BATCHES * SHIFT_FILES];
	int i;

	for (i = 0; i < WARM_UP; i++)
		run_batch(row, n);
	rest = background();
	for (i = 0; i < BATCHES; i++) {
		double took;

		shift_charge(files + i * SHIFT_FILES);
		took = run_batch(row, n);
		sum += took;
		if (!min || took < min)
			min = took;
		later += settle_span() - rest;
	}
	if (later > 0)
		sum += later;
	for (i = 0; i < BATCHES * SHIFT_FILES; i++)
		close(files[i]);
	printf("%s\t%s\t%.1f\t%.1f", row->name, "instructions",
	       sum / BATCHES / n, min / n);
}

/**
 * row_measure - measure a row and print its line
 * @row:	the row
 */
void row_measure(const struct row *row)
{
	if (row->setup)
		row->setup(row);
	*row_note = '\0';
	if (!row->amount)
		measure_time(row);
	else
		printf("%s\t%s\t%.1f\t", row->name, row->unit, row->amount(row));
	printf("\t%s\t%s\t%s\n", row->peers ?: "", row->own ? "own" : "other", row_note);
	if (row->teardown)
		row->teardown(row);
	fflush(stdout);
}
