// SPDX-License-Identifier: GPL-2.0
/*
 * The module keeps the memory of values that are gone, for a second at most, for new ones.
 * A group that needs that memory for anything else gets it back before one of its
 * processes is killed for want of memory: from all CPUs, and from groups that are gone.
 */
#include <sys/stat.h>

#include "metastore_test.h"

#define MIB		(1024 * 1024ULL)

#define CPUS		2

/* Less than a CPU keeps; each takes 512 bytes. */
#define VALUES		7000
#define KEPT		(VALUES * 512ULL * CPUS)

/* There is room for one CPU's values and what two keep, not for KEPT and EATEN. */
#define LIMIT		(12 * MIB)
#define EATEN		(9 * MIB)

struct results {
	__u64 kept;		/* memory.current after all values are gone */
	__u64 left;		/* and after a plain process has used memory */
};

FIXTURE(reclaim)
{
	int fd;			/* on a store of its own */
	char parent[128];
	char child[160];
	char other[160];
	struct results *results;
};

static int control(const char *group, const char *text)
{
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group);
	fd = open(path, O_WRONLY);
	ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

FIXTURE_SETUP(reclaim)
{
	int fd = ms_open(O_RDWR | O_NONBLOCK);

	self->fd = ms_create(fd, O_RDWR | O_NONBLOCK, (struct metastore_create) { .buckets = 1 });
	ASSERT_LE(0, self->fd);
	close(fd);
	self->results = ms_shared(sizeof(*self->results));
	snprintf(self->parent, sizeof(self->parent), MS_CGROUP "/metastore_test.%d", getpid());
	snprintf(self->child, sizeof(self->child), "%s/child", self->parent);
	snprintf(self->other, sizeof(self->other), "%s/other", self->parent);
	if (mkdir(self->parent, 0755) || control(self->parent, "+memory"))
		SKIP(return, "no memory controller of cgroup2 at " MS_CGROUP);
	ASSERT_EQ(0, mkdir(self->child, 0755));
	ASSERT_EQ(0, mkdir(self->other, 0755));
	/* Memory that earlier tests left in the cache is freed by then */
	ms_sleep(5 * SECOND / 2);
}

FIXTURE_TEARDOWN(reclaim)
{
	close(self->fd);
	rmdir(self->child);
	rmdir(self->other);
	rmdir(self->parent);
}

/* On each CPU so many values come and go: VALUES, whose memory it keeps, or fewer. */
static int fill_cache(int fd, __u64 values)
{
	static char value[400];
	__u64 key;
	int cpu;

	for (cpu = 0; cpu < CPUS; cpu++) {
		if (ms_on_cpu(cpu))
			return 2;
		for (key = 0; key < values; key++)
			if (ms_setn(fd, &key, sizeof(key), value, sizeof(value), NULL))
				return 3;
		for (key = 0; key < values; key++)
			if (ms_deleten(fd, &key, sizeof(key), NULL))
				return 4;
	}
	return 0;
}

/* A process in the group that comes, keeps memory, and ends. Returns its status. */
static int fill_cache_in(const char *group, int fd, __u64 values)
{
	pid_t pid = ms_fork();

	if (pid)
		return ms_join(pid);
	_exit(ms_cgroup_write(group, "cgroup.procs", 0) ? 1 : fill_cache(fd, values));
}

/* A process in the group that has nothing to do with the module */
static int eat_in(const char *group)
{
	pid_t pid = ms_fork();
	char *memory;

	if (pid)
		return ms_join(pid);
	if (ms_cgroup_write(group, "cgroup.procs", 0))
		_exit(1);
	memory = mmap(NULL, EATEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		_exit(2);
	memset(memory, 1, EATEN);
	_exit(0);
}

static void expect_reclaimed(struct __test_metadata *_metadata, struct _test_data_reclaim *self,
			     const char *group)
{
	struct results *results = self->results;

	results->kept = ms_cgroup_read(self->parent, "memory.current", "");
	EXPECT_EQ(0, eat_in(group));
	results->left = ms_cgroup_read(self->parent, "memory.current", "");
	EXPECT_EQ(0, ms_cgroup_read(self->parent, "memory.events", "oom_kill"));
	TH_LOG("%llu KiB charged with kept memory, %llu KiB after a process used %llu KiB",
	       results->kept >> 10, results->left >> 10, EATEN >> 10);
}

/* That what fill_cache() does is kept: otherwise nothing is tested. */
static void expect_kept(struct __test_metadata *_metadata, struct _test_data_reclaim *self)
{
	EXPECT_LE(KEPT / 2, self->results->kept);
}

TEST_F(reclaim, for_the_own_group)
{
	ASSERT_EQ(0, ms_cgroup_write(self->child, "memory.max", LIMIT));
	ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
	expect_reclaimed(_metadata, self, self->child);
	expect_kept(_metadata, self);
}

TEST_F(reclaim, for_a_group_beside)
{
	ASSERT_EQ(0, ms_cgroup_write(self->parent, "memory.max", LIMIT));
	ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
	expect_reclaimed(_metadata, self, self->other);
	expect_kept(_metadata, self);
}

TEST_F(reclaim, of_a_removed_group)
{
	ASSERT_EQ(0, ms_cgroup_write(self->parent, "memory.max", LIMIT));
	ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
	ASSERT_EQ(0, rmdir(self->child));
	expect_reclaimed(_metadata, self, self->other);
	expect_kept(_metadata, self);
}

/* The number of a removed group goes to the next new one. */
TEST_F(reclaim, for_the_next_of_a_number)
{
	ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
	ASSERT_EQ(0, rmdir(self->child));
	ASSERT_EQ(0, mkdir(self->child, 0755));
	ms_sleep(5 * SECOND / 2);
	ASSERT_EQ(0, ms_cgroup_write(self->child, "memory.max", LIMIT));
	ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
	expect_reclaimed(_metadata, self, self->child);
	expect_kept(_metadata, self);
}

/* At once, and when the one before had little that is kept. */
TEST_F_TIMEOUT(reclaim, for_the_next_of_a_number_at_once, 60)
{
	int tries;

	/* Kept memory goes after a second, which may pass before a busy machine has looked. */
	for (tries = 0; tries < 5 && self->results->kept < KEPT / 2; tries++) {
		ms_sleep(tries ? 5 * SECOND / 2 : 0);
		ASSERT_EQ(0, fill_cache_in(self->child, self->fd, 10));
		ASSERT_EQ(0, rmdir(self->child));
		ASSERT_EQ(0, mkdir(self->child, 0755));
		ASSERT_EQ(0, ms_cgroup_write(self->child, "memory.max", LIMIT));
		ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
		expect_reclaimed(_metadata, self, self->child);
	}
	expect_kept(_metadata, self);
}

/* A writer that never rests leaves to others of the group what they need. */
TEST_F(reclaim, from_a_writer)
{
	static char value[400];
	__u64 key = 0;
	pid_t pid;

	ASSERT_EQ(0, ms_cgroup_write(self->child, "memory.max", LIMIT));
	pid = ms_fork();
	if (!pid) {
		if (ms_cgroup_write(self->child, "cgroup.procs", 0) || ms_one_cpu())
			_exit(1);
		for (;; key++)
			if (ms_setn(self->fd, "k", 1, value, sizeof(value), NULL))
				_exit(2);
	}
	ms_sleep(SECOND / 2);
	expect_reclaimed(_metadata, self, self->child);
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ms_join(pid);
}

/* Marks go with what is kept, however often groups come and go. */
TEST_F(reclaim, leaves_nothing)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);
	long long left;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, fill_cache_in(self->child, self->fd, VALUES));
		ASSERT_EQ(0, rmdir(self->child));
		ASSERT_EQ(0, mkdir(self->child, 0755));
	}
	do {
		ms_sleep(SECOND / 10);
		left = ms_cgroup_read(self->parent, "memory.current", "");
	} while (left > (long long)MIB && ms_now(CLOCK_MONOTONIC) < end);
	EXPECT_GE((long long)MIB, left);
}

TEST_HARNESS_MAIN
