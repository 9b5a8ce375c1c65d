// SPDX-License-Identifier: GPL-2.0
/*
 * smp: throughput with two CPUs, as ratios, since contention does not show in
 * instructions. To be run in a VM with two virtual CPUs (SMP=2, no ICOUNT).
 *
 * Each row compares two loads: how many operations processes finish in a slice of
 * time, with and without others. The two take turns, many short slices each, so
 * that what else the host does meets both. The result is the ratio of the sums; the
 * quartiles of the slices' own ratios tell how much it varied. The first row says
 * what this machine allows, two processes that share nothing, and the last column
 * is the others' part of that.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>

#include "bench.h"

#define DEVICE		"/dev/metastore"
#define CPUS		2
#define ROUNDS		20
#define SLICE_MS	100

/* Operations between two looks at whether to stop */
#define AT_ONCE		16

/* What a process does all the time; returns when *stop is set. */
enum load {
	NOTHING,
	NULL_IOCTL,
	GET,
	SET,
	PUBLISH,
};

/**
 * struct comparison - a row
 * @name:	what it is called
 * @load:	what each CPU does
 * @base:	what each CPU does in the load it is compared to
 * @same_bucket: whether the keys of the two fall in the same bucket
 * @same_key:	whether they are the same
 * @first_only:	count what the first CPU does alone
 */
struct comparison {
	const char *name;
	enum load load[CPUS];
	enum load base[CPUS];
	bool same_bucket;
	bool same_key;
	bool first_only;
};

static const struct comparison comparisons[] = {
	/* Both at once to one alone, which at best is 2 */
	{ "empty ioctl",
	  { NULL_IOCTL, NULL_IOCTL }, { NULL_IOCTL } },
	{ "GET, different buckets",
	  { GET, GET }, { GET } },
	{ "GET, same bucket",
	  { GET, GET }, { GET }, .same_bucket = true },
	{ "GET, same key",
	  { GET, GET }, { GET }, .same_key = true },
	{ "SET, different buckets",
	  { SET, SET }, { SET } },
	{ "SET, same bucket",
	  { SET, SET }, { SET }, .same_bucket = true },
	{ "PUBLISH, different buckets",
	  { PUBLISH, PUBLISH }, { PUBLISH } },
	{ "PUBLISH, same bucket",
	  { PUBLISH, PUBLISH }, { PUBLISH }, .same_bucket = true },
	/* To the same beside empty ioctls, which at best is 1 */
	{ "GET beside PUBLISH without pause, same bucket",
	  { GET, PUBLISH }, { GET, NULL_IOCTL }, .same_bucket = true,
	  .first_only = true },
	{ "GET beside PUBLISH without pause, same key",
	  { GET, PUBLISH }, { GET, NULL_IOCTL }, .same_key = true,
	  .first_only = true },
};

/* Shared by all processes; what each writes has cache lines of its own. */
static struct {
	bool go;
	bool stop;
	char pad[126];
	struct {
		bool ready;
		double rate;
		char pad[112];
	} process[CPUS];
} *shared;

static int open_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die(DEVICE);
	return fd;
}

static unsigned int bucket_of(int fd, const char *key)
{
	struct metastore_key_bucket args = {
		.key = (uintptr_t)key,
		.key_len = KEY_LEN,
	};

	if (ioctl(fd, METASTORE_IOC_BUCKET, &args))
		die("BUCKET");
	return args.bucket;
}

/* Keys for the two, in the same bucket or in different ones. */
static void choose_keys(const struct comparison *row, char keys[CPUS][KEY_LEN])
{
	int fd = open_device();
	unsigned int i = 0;

	bench_key(keys[0], "key-", 0);
	memcpy(keys[1], keys[0], KEY_LEN);
	while (!row->same_key) {
		bench_key(keys[1], "key-", ++i);
		if ((bucket_of(fd, keys[0]) == bucket_of(fd, keys[1])) == row->same_bucket)
			break;
	}
	close(fd);
}

static void store_value(int fd, unsigned long command, const char *key)
{
	struct metastore_set args = {
		.key = (uintptr_t)key,
		.value = (uintptr_t)bench_value,
		.key_len = KEY_LEN,
		.value_len = VALUE_LEN,
	};

	if (ioctl(fd, command, &args))
		die("SET or PUBLISH");
}

static void get(int fd, const char *key)
{
	char value[VALUE_LEN];
	struct metastore_get args = {
		.key = (uintptr_t)key,
		.value = (uintptr_t)value,
		.key_len = KEY_LEN,
		.value_len = VALUE_LEN,
	};

	if (ioctl(fd, METASTORE_IOC_GET, &args))
		die("GET");
}

static void subscribe(int fd, const char *key)
{
	struct metastore_subscribe args = {
		.key = (uintptr_t)key,
		.key_len = KEY_LEN,
	};

	if (ioctl(fd, METASTORE_IOC_SUBSCRIBE, &args))
		die("SUBSCRIBE");
}

static inline void operate(enum load load, int fd, const char *key)
{
	switch (load) {
	case NULL_IOCTL:
		ioctl(fd, METASTORE_IOC_GET, NULL);
		break;
	case GET:
		get(fd, key);
		break;
	case SET:
		store_value(fd, METASTORE_IOC_SET, key);
		break;
	case PUBLISH:
		store_value(fd, METASTORE_IOC_PUBLISH, key);
		break;
	case NOTHING:
		break;
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Opens what the load needs; PUBLISH has a subscriber, which does not read. */
static int prepare(enum load load, const char *key)
{
	int fd;

	if (load == NULL_IOCTL) {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			die("/dev/null");
		return fd;
	}
	fd = open_device();
	store_value(fd, METASTORE_IOC_SET, key);
	if (load == PUBLISH)
		subscribe(fd, key);
	return fd;
}

static void work(int cpu, enum load load, const char *key)
{
	unsigned long operations = 0;
	cpu_set_t cpus;
	double start;
	int i, fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("no CPU %d", cpu);
	fd = prepare(load, key);
	for (i = 0; i < AT_ONCE; i++)
		operate(load, fd, key);
	__atomic_store_n(&shared->process[cpu].ready, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
		sched_yield();
	start = now();
	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED)) {
		for (i = 0; i < AT_ONCE; i++)
			operate(load, fd, key);
		operations += AT_ONCE;
	}
	shared->process[cpu].rate = operations / (now() - start);
}

static void start(const enum load *load, char keys[CPUS][KEY_LEN])
{
	int cpu;

	memset(shared, 0, sizeof(*shared));
	for (cpu = 0; cpu < CPUS; cpu++) {
		shared->process[cpu].ready = load[cpu] == NOTHING;
		if (load[cpu] == NOTHING)
			continue;
		switch (fork()) {
		case -1:
			die("fork");
		case 0:
			work(cpu, load[cpu], keys[cpu]);
			_exit(0);
		}
	}
}

static void wait_for_all(void)
{
	int status;

	while (wait(&status) > 0)
		if (status)
			exit(1);
}

/* Operations a second, of the first process or of all. */
static double slice(const enum load *load, char keys[CPUS][KEY_LEN], bool first_only)
{
	double rate = 0;
	int cpu;

	start(load, keys);
	for (cpu = 0; cpu < CPUS; cpu++)
		while (!__atomic_load_n(&shared->process[cpu].ready, __ATOMIC_ACQUIRE)) {
			if (waitpid(-1, NULL, WNOHANG) > 0)
				exit(1);
			pause_ms(1);
		}
	__atomic_store_n(&shared->go, true, __ATOMIC_RELEASE);
	pause_ms(SLICE_MS);
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELAXED);
	wait_for_all();
	for (cpu = 0; cpu < (first_only ? 1 : CPUS); cpu++)
		rate += shared->process[cpu].rate;
	return rate;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double compare(const struct comparison *row)
{
	char keys[CPUS][KEY_LEN];
	double ratios[ROUNDS], rate, base, rates = 0, bases = 0;
	int i, n = 0;

	choose_keys(row, keys);
	for (i = 0; i < ROUNDS; i++) {
		base = slice(row->base, keys, row->first_only);
		rate = slice(row->load, keys, row->first_only);
		bases += base;
		rates += rate;
		/* None at all in a slice: the host had no time for this CPU. */
		if (base)
			ratios[n++] = rate / base;
	}
	if (!n)
		die("no CPU time at all");
	qsort(ratios, n, sizeof(ratios[0]), compare_doubles);
	printf("%-50s %6.2f   %5.2f %5.2f", row->name, rates / bases,
	       ratios[n / 4], ratios[n - 1 - n / 4]);
	return rates / bases;
}

int main(void)
{
	double ratio, empty = 0;
	size_t i;

	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS) {
		fprintf(stderr, "smp: wants %d CPUs\n", CPUS);
		return 1;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	printf("%-50s  ratio   quartiles   of the empty one\n",
	       "throughput of two processes to that of one");
	for (i = 0; i < ARRAY_SIZE(comparisons); i++) {
		fflush(stdout);
		ratio = compare(&comparisons[i]);
		empty = empty ?: ratio;
		if (comparisons[i].base[1] == NOTHING)
			printf("   %5.2f", ratio / empty);
		putchar('\n');
	}
	return 0;
}
