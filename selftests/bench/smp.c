// SPDX-License-Identifier: GPL-2.0
/*
 * smp: throughput with two CPUs, as ratios, since contention does not show in
 * instructions. To be run in a VM with two virtual CPUs (SMP=2, no ICOUNT).
 *
 * Each row tells what a process can do beside another, compared to beside one that
 * makes empty ioctls. So both CPUs are busy either way, and what else the host does
 * meets both alike; as it may not treat both CPUs alike, the two change places.
 * That is repeated, in short slices of time. The result is the median of the
 * rounds; the quartiles, and the first row, of two processes that share nothing,
 * tell what it is worth.
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
#define ROUNDS		21
#define SLICE_MS	100

/* Operations between two looks at whether to stop */
#define AT_ONCE		16

/* What a process does all the time; returns when *stop is set. */
enum load {
	NULL_IOCTL,
	GET,
	SET,
	PUBLISH,
};

/**
 * struct comparison - a row
 * @name:	what it is called
 * @load:	what the process does that is looked at
 * @beside:	what the other one does. The same: both are looked at
 * @same_bucket: whether the keys of the two fall in the same bucket
 * @same_key:	whether they are the same
 * @target:	the least ratio that is to be reached, where there is one
 */
struct comparison {
	const char *name;
	enum load load;
	enum load beside;
	bool same_bucket;
	bool same_key;
	double target;
};

static const struct comparison comparisons[] = {
	{ "empty ioctl", NULL_IOCTL, NULL_IOCTL },
	{ "GET, different buckets", GET, GET, .target = 1.8 },
	{ "GET, same bucket", GET, GET, .same_bucket = true },
	{ "GET, same key", GET, GET, .same_key = true },
	{ "SET, different buckets", SET, SET },
	{ "SET, same bucket", SET, SET, .same_bucket = true },
	{ "SET, same key", SET, SET, .same_key = true },
	{ "PUBLISH, different buckets", PUBLISH, PUBLISH, .target = 1.7 },
	{ "PUBLISH, same bucket", PUBLISH, PUBLISH, .same_bucket = true },
	{ "PUBLISH, same key", PUBLISH, PUBLISH, .same_key = true },
	{ "GET beside PUBLISH, different buckets", GET, PUBLISH },
	{ "GET beside PUBLISH, same bucket", GET, PUBLISH, .same_bucket = true,
	  .target = 1 / 1.2 },
	{ "GET beside PUBLISH, same key", GET, PUBLISH, .same_key = true },
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

static void start(int cpu, enum load load, const char *key)
{
	switch (fork()) {
	case -1:
		die("fork");
	case 0:
		work(cpu, load, key);
		_exit(0);
	}
}

static void wait_for_all(void)
{
	int status;

	while (wait(&status) > 0)
		if (status)
			exit(1);
}

/* Operations a second that the process on a CPU does beside the other one. */
static double slice(int cpu, enum load load, enum load beside, char keys[CPUS][KEY_LEN])
{
	int i;

	memset(shared, 0, sizeof(*shared));
	for (i = 0; i < CPUS; i++)
		start(i, i == cpu ? load : beside, keys[i]);
	for (i = 0; i < CPUS; i++)
		while (!__atomic_load_n(&shared->process[i].ready, __ATOMIC_ACQUIRE)) {
			if (waitpid(-1, NULL, WNOHANG) > 0)
				exit(1);
			pause_ms(1);
		}
	__atomic_store_n(&shared->go, true, __ATOMIC_RELEASE);
	pause_ms(SLICE_MS);
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELAXED);
	wait_for_all();
	return shared->process[cpu].rate;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void compare(const struct comparison *row)
{
	int i, cpu, n = 0, at_best = row->load == row->beside ? 2 : 1;
	char keys[CPUS][KEY_LEN];
	double ratios[ROUNDS];

	choose_keys(row, keys);
	for (i = 0; i < ROUNDS; i++) {
		double rate = 0, base = 0;

		for (cpu = 0; cpu < CPUS; cpu++) {
			base += slice(cpu, row->load, NULL_IOCTL, keys);
			rate += slice(cpu, row->load, row->beside, keys);
		}
		/* None at all: the host had no time for us. */
		if (base)
			ratios[n++] = at_best * rate / base;
	}
	if (!n)
		die("no CPU time at all");
	qsort(ratios, n, sizeof(ratios[0]), compare_doubles);
	printf("%-40s  %4.2f of %d    %4.2f %4.2f", row->name, ratios[n / 2], at_best,
	       ratios[n / 4], ratios[n - 1 - n / 4]);
	if (row->target)
		printf("    at least %4.2f: %s", row->target,
		       ratios[n / 2] < row->target ? "NOT MET" : "met");
	putchar('\n');
}

int main(void)
{
	size_t i;

	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS) {
		fprintf(stderr, "smp: wants %d CPUs\n", CPUS);
		return 1;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	printf("Throughput of two processes, or of a reader beside a writer that never pauses,\n"
	       "as a multiple of that of one beside a process that has nothing to do with it.\n\n"
	       "%-40s  ratio, best  quartiles\n", "");
	for (i = 0; i < ARRAY_SIZE(comparisons); i++) {
		fflush(stdout);
		compare(&comparisons[i]);
	}
	return 0;
}
