// SPDX-License-Identifier: GPL-2.0
/*
 * Memory as control groups see it: what is charged to whom, that a full group
 * gets ENOMEM and nobody is killed, and that a reader who never reads holds no
 * more than its budget.
 */
#include <linux/membarrier.h>
#include <sys/stat.h>

#include "metastore_test.h"

#define KIB	1024ULL
#define MIB	(1024 * KIB)

#define VALUE	60000

struct results {
	__u64 done;		/* calls that succeeded before the first ENOMEM */
	__u64 before;		/* memory.current */
	__u64 after;
	int line;		/* what the child did not like */
	int err;
};

FIXTURE(memory)
{
	int fd;
	char group[128];
	struct results *results;
	struct metastore_info info;
};

/* The number after @name, or the first one if @name is empty; -1: none */
static long long read_number(const char *group, const char *file, const char *name)
{
	char path[256], line[256];
	long long number = -1;
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) || (len && line[len] != ' '))
			continue;
		number = strtoll(line + len, NULL, 10);
		break;
	}
	fclose(f);
	return number;
}

FIXTURE_SETUP(memory)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->results = ms_shared(sizeof(*self->results));
	snprintf(self->group, sizeof(self->group), MS_CGROUP "/metastore_test.%d", getpid());
	if (mkdir(self->group, 0755) || access(MS_CGROUP "/cgroup.controllers", R_OK))
		SKIP(return, "no cgroup2 at " MS_CGROUP);
	if (read_number(self->group, "memory.current", "") < 0)
		SKIP(return, "no memory controller");
}

FIXTURE_TEARDOWN(memory)
{
	ms_reset(self->fd);
	close(self->fd);
	rmdir(self->group);
}

/* A child in the group, with all the memory of its own taken before it enters */
static pid_t fork_into(const char *group)
{
	char stack[128 * 1024];
	pid_t pid = ms_fork();

	if (pid)
		return pid;
	memset(stack, 0, sizeof(stack));
	__asm__ volatile("" : : "r" (stack) : "memory");
	if (mlockall(MCL_CURRENT | MCL_FUTURE) || ms_cgroup_write(group, "cgroup.procs", 0))
		_exit(1);
	return 0;
}

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			self->results->line = __LINE__; \
			self->results->err = errno; \
			_exit(2); \
		} \
	} while (0)

static void expect_nobody_killed(struct __test_metadata *_metadata,
				 struct _test_data_memory *self, pid_t pid)
{
	EXPECT_EQ(0, ms_join(pid)) {
		TH_LOG("the child at line %d: %s", self->results->line,
		       strerrorname_np(self->results->err));
	}
	EXPECT_EQ(0, read_number(self->group, "memory.events", "oom_kill"));
	/* The store goes on for others */
	EXPECT_EQ(0, ms_set(self->fd, "other", "v", NULL));
	EXPECT_STREQ("v", ms_str(self->fd, "other"));
}

/* What a full group can still do: whatever needs no memory */
static void use_full_store(struct _test_data_memory *self, const char *value, __u32 len)
{
	static char buf[VALUE];
	struct metastore_set arg;
	struct metastore_info info;
	__u64 key = 0;

	/* Refused, and nothing changed */
	CHECK(ms_store(self->fd, METASTORE_IOC_SET, "new", 3, value, len, &arg) == -ENOMEM);
	CHECK(arg.version == POISON64);
	CHECK(ms_getn(self->fd, "new", 3, buf, sizeof(buf), NULL) == -ENOENT);
	CHECK(!ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	CHECK(info.keys == self->results->done);
	CHECK(ms_store(self->fd, METASTORE_IOC_PUBLISH, &key, sizeof(key), value, len, &arg) ==
	      -ENOMEM);
	CHECK(arg.queues == POISON32);
	CHECK(ms_getn(self->fd, &key, sizeof(key), buf, sizeof(buf), NULL) == (int)len);
	CHECK(ms_deleten(self->fd, &key, sizeof(key), NULL) == 0);
	CHECK(ms_getn(self->fd, &key, sizeof(key), buf, sizeof(buf), NULL) == -ENOENT);
}

static void fill(struct _test_data_memory *self, __u32 len)
{
	static char value[VALUE];
	struct metastore_flush flush;
	__u64 key, most = 1000000;
	int ret;

	for (key = 0; key < most; key++) {
		memset(value, key, len);
		ret = ms_setn(self->fd, &key, sizeof(key), value, len, NULL);
		if (ret)
			break;
		self->results->done++;
	}
	CHECK(ret == -ENOMEM);
	use_full_store(self, value, len);
	/* With room made the same process goes on */
	CHECK(!ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	CHECK(flush.values == self->results->done - 1);
	/* What was freed may be given back a moment later */
	for (key = 0; key < 1000; key++) {
		ret = ms_setn(self->fd, &key, sizeof(key), value, len, NULL);
		if (!ret)
			break;
		CHECK(ret == -ENOMEM);
		ms_sleep(SECOND / 100);
	}
	CHECK(!ret);
	_exit(0);
}

TEST_F(memory, full_group_of_large_values)
{
	pid_t pid;

	ASSERT_LT(64 * MIB, self->info.max_bytes);
	ASSERT_EQ(0, ms_cgroup_write(self->group, "memory.max", 16 * MIB));
	pid = fork_into(self->group);
	if (!pid)
		fill(self, VALUE);
	expect_nobody_killed(_metadata, self, pid);
	/* Neither much less than the group may hold, nor more */
	EXPECT_LT(16 * MIB / VALUE / 4, self->results->done);
	EXPECT_GT(16 * MIB / VALUE, self->results->done);
}

TEST_F(memory, full_group_of_small_values)
{
	pid_t pid;

	ASSERT_EQ(0, ms_cgroup_write(self->group, "memory.max", 4 * MIB));
	pid = fork_into(self->group);
	if (!pid)
		fill(self, 16);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_LT(4 * MIB / 512, self->results->done);
	/* A value cannot take less than what the interface says that it counts */
	EXPECT_GT(4 * MIB / (8 + 16 + METASTORE_VALUE_OVERHEAD), self->results->done);
}

static void subscribe_until_full(struct _test_data_memory *self)
{
	int ret = 0, files;
	__u64 key = 0;
	struct metastore_info info;

	for (files = 0; files < 500 && !ret; files++) {
		int fd = ms_open(O_RDONLY | O_NONBLOCK);

		if (fd < 0) {
			ret = fd;
			break;
		}
		while (!ret && self->results->done < 1000000) {
			ret = ms_subscriben(fd, &key, sizeof(key), 0, 0);
			key++;
			self->results->done += !ret;
		}
		if (ret == -ENOBUFS)
			ret = 0;
	}
	CHECK(ret == -ENOMEM);
	CHECK(!ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	CHECK(info.subscriptions == self->results->done);
	_exit(0);
}

TEST_F(memory, full_group_of_subscriptions)
{
	pid_t pid;

	/* A bucket's first takes a page on 6.1, so 4 MiB go before the rest counts */
	ASSERT_EQ(0, ms_cgroup_write(self->group, "memory.max", 8 * MIB));
	pid = fork_into(self->group);
	if (!pid)
		subscribe_until_full(self);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_LT(1000, self->results->done);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(0, self->info.subscriptions);
}

static __u64 charged_to(const char *group)
{
	return read_number(group, "memory.current", "");
}

/* Freed memory comes back in its own time: waits until there is less than @limit */
static __u64 charged_below(const char *group, __u64 limit)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND), now;

	while ((now = charged_to(group)) >= limit && ms_now(CLOCK_MONOTONIC) < end)
		ms_sleep(SECOND / 50);
	return now;
}

/* The writer is charged, and gets it back */
TEST_F(memory, charged_to_the_writer)
{
	char *value = calloc(1, VALUE);
	struct metastore_flush flush;
	__u64 key;
	pid_t pid;

	pid = fork_into(self->group);
	if (!pid) {
		self->results->before = charged_to(self->group);
		for (key = 0; key < 200; key++)
			CHECK(!ms_setn(self->fd, &key, sizeof(key), value, VALUE, NULL));
		self->results->after = charged_to(self->group);
		_exit(0);
	}
	expect_nobody_killed(_metadata, self, pid);
	/* Counted in batches of some pages for each processor, hence not to the byte */
	EXPECT_LE(self->results->before + 190 * VALUE, self->results->after);
	/* The writer has ended, its values are still the group's */
	EXPECT_LE(190 * VALUE, charged_to(self->group));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(201, flush.values);
	EXPECT_GT(2 * MIB, charged_below(self->group, 2 * MIB));
}

static void set_many(int fd, __u64 times, __u32 len)
{
	static char value[VALUE];
	__u64 key;

	for (key = 0; key < times; key++)
		if (ms_setn(fd, &key, sizeof(key), value, len, NULL))
			break;
}

/*
 * Nothing is kept of groups there were before: one that has the number of one of these
 * would use that first.
 */
static void await_trim(void)
{
	ms_sleep(5 * SECOND / 2);
}

/*
 * The memory of small values is kept for others that follow, but not for those of another
 * group, which would go unpaid: theirs stays theirs, and comes back.
 */
TEST_F(memory, kept_for_its_group)
{
	const __u64 times = 4096;
	const __u32 len = 400;	/* for which there is 512 */
	struct metastore_flush flush;
	__u64 key;
	pid_t pid;

	ASSERT_EQ(0, ms_one_cpu());
	await_trim();
	pid = fork_into(self->group);
	if (!pid) {
		self->results->before = charged_to(self->group);
		set_many(self->fd, times, len);
		self->results->after = charged_to(self->group);
		for (key = 0; key < times; key++)
			CHECK(!ms_deleten(self->fd, &key, sizeof(key), NULL));
		ms_sleep(SECOND / 10);
		_exit(0);
	}
	ASSERT_EQ(0, ms_join(pid));
	EXPECT_LE(self->results->before + 3 * times * 512 / 4, self->results->after);
	/* On the same processor, at once and as long as the others' could be used */
	set_many(self->fd, times, len);
	EXPECT_GT(MIB / 2, charged_below(self->group, MIB / 2));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(times, flush.values);
}

/*
 * Waits until whoever may be reading what is gone by now is through: the kernel waits
 * for a grace period of RCU.
 */
static int await_readers(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}

#define SMALL	7000

/* Before a full group gets ENOMEM, what is kept of its values that are gone is freed */
static void refill(struct _test_data_memory *self)
{
	static char value[300];
	__u64 key, large = SMALL;
	int ret;

	set_many(self->fd, SMALL, 1);
	do {
		ret = ms_setn(self->fd, &large, sizeof(large), value, sizeof(value), NULL);
		large++;
	} while (!ret);
	CHECK(ret == -ENOMEM);
	for (key = 0; key < SMALL; key++)
		CHECK(!ms_deleten(self->fd, &key, sizeof(key), NULL));
	CHECK(!await_readers());
	/* A second later it would be freed in any case */
	CHECK(!ms_setn(self->fd, &large, sizeof(large), value, sizeof(value), NULL));
	_exit(0);
}

TEST_F(memory, full_group_frees_what_is_kept)
{
	pid_t pid;

	ASSERT_EQ(0, ms_cgroup_write(self->group, "memory.max", 8 * MIB));
	ASSERT_EQ(0, ms_one_cpu());
	await_trim();
	pid = fork_into(self->group);
	if (!pid)
		refill(self);
	expect_nobody_killed(_metadata, self, pid);
}

/* One more than there are lists of a size on a CPU: two groups want the same one */
#define GROUPS	5
#define EACH	1500ULL

static const char *group_of(struct _test_data_memory *self, int number)
{
	static char group[sizeof(self->group) + 16];

	snprintf(group, sizeof(group), "%s.%d", self->group, number);
	return group;
}

/* So many values more of a group, which is charged for each of them */
static void set_in_group(struct _test_data_memory *self, int number, __u64 times)
{
	const char *group = group_of(self, number);
	static char value[400];		/* for which there is 512 */
	__u64 key[2] = { number };

	CHECK(!ms_cgroup_write(group, "cgroup.procs", 0));
	for (key[1] = 0; key[1] < times; key[1]++)
		CHECK(!ms_setn(self->fd, key, sizeof(key), value, sizeof(value), NULL));
	self->results->done = number;
	self->results->after = charged_to(group);
	CHECK(times * 512 <= self->results->after);
}

static void delete_of_group(struct _test_data_memory *self, int number, __u64 times)
{
	__u64 key[2] = { number };

	for (key[1] = 0; key[1] < times; key[1]++)
		CHECK(!ms_deleten(self->fd, key, sizeof(key), NULL));
	CHECK(!await_readers());
}

/*
 * Groups in turn on one CPU: each is charged for what it has and for nothing else,
 * whatever was kept of the one before.
 */
TEST_F(memory, groups_that_share_a_list)
{
	struct metastore_flush flush;
	pid_t pid;
	int i;

	for (i = 0; i < GROUPS; i++)
		ASSERT_EQ(0, mkdir(group_of(self, i), 0755));
	ASSERT_EQ(0, ms_one_cpu());
	await_trim();
	pid = fork_into(self->group);
	if (!pid) {
		for (i = 0; i < GROUPS; i++) {
			set_in_group(self, i, EACH);
			delete_of_group(self, i, EACH);
		}
		for (i = 0; i < GROUPS; i++)
			set_in_group(self, i, 2 * EACH);
		_exit(0);
	}
	expect_nobody_killed(_metadata, self, pid);
	TH_LOG("the last, number %llu, was charged %llu", self->results->done,
	       self->results->after);
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(1 + GROUPS * 2 * EACH, flush.values);
	for (i = 0; i < GROUPS; i++) {
		EXPECT_GT(MIB / 2, charged_below(group_of(self, i), MIB / 2));
		rmdir(group_of(self, i));
	}
}

/* Publishes distinct values of @len bytes in the group, sixteen times the budget */
static void publish_much(struct _test_data_memory *self, __u32 len, __u64 times)
{
	static char value[VALUE];
	__u64 i;

	self->results->before = charged_to(self->group);
	for (i = 0; i < times; i++) {
		memset(value, i, len);
		CHECK(ms_publishn(self->fd, "k", 1, value, len, NULL) >= 0);
		/* Frees take a moment: not to measure how fast they are */
		if (i % 64 == 0)
			ms_sleep(SECOND / 1000);
	}
	self->results->after = charged_to(self->group);
	_exit(0);
}

/*
 * The bound: twice queue_bytes, as an allocation is rounded up to a power of
 * two at most, and 1 MiB for what the kernel keeps in stock. Without a budget
 * it would be sixteen times queue_bytes.
 */
TEST_F(memory, unread_queue_stays_within_budget)
{
	__u32 budget = self->info.queue_bytes;
	__u64 times = 16ULL * budget / VALUE, fit = budget / (1 + VALUE + METASTORE_VALUE_OVERHEAD);
	struct ms_reader r = ms_reader(ms_open(O_RDONLY | O_NONBLOCK), MS_READER_SIZE);
	struct ms_books books = {};
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(r.fd, "k", 0, 0));
	pid = fork_into(self->group);
	if (!pid)
		publish_much(self, VALUE, times);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_LE(budget / 2, self->results->after - self->results->before);
	EXPECT_GT(2ULL * budget + MIB, charged_below(self->group, 2ULL * budget + MIB));
	EXPECT_LE(budget / 2, charged_to(self->group));

	/* Once read it is free */
	ASSERT_EQ(0, ms_drain(&r, &books));
	EXPECT_EQ(times, books.received + books.lost);
	EXPECT_EQ(fit, books.received);
	EXPECT_GT(MIB, charged_below(self->group, MIB));
}

/* One copy of a value, however many wait for it to be read */
TEST_F(memory, subscribers_share_one_copy)
{
	__u32 budget = self->info.queue_bytes;
	__u64 times = 16ULL * budget / VALUE;
	int i, fds[50];
	pid_t pid;

	for (i = 0; i < 50; i++) {
		fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		ASSERT_EQ(0, ms_subscribe(fds[i], "k", 0, 0));
	}
	pid = fork_into(self->group);
	if (!pid)
		publish_much(self, VALUE, times);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_GT(2ULL * budget + MIB, charged_below(self->group, 2ULL * budget + MIB));
	for (i = 0; i < 50; i++)
		close(fds[i]);
	EXPECT_GT(MIB, charged_below(self->group, MIB));
}

/* Small values: bounded by their number */
TEST_F(memory, unread_queue_of_small_values)
{
	__u64 times = 20ULL * self->info.queue_len;
	int fd = ms_open(O_RDONLY | O_NONBLOCK);
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	pid = fork_into(self->group);
	if (!pid)
		publish_much(self, 100, times);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_GT(self->info.queue_len * 512ULL + MIB,
		  charged_below(self->group, self->info.queue_len * 512ULL + MIB));
}

/* Overwritten values are freed as they are replaced, not piled up */
TEST_F(memory, overwritten_values_are_freed)
{
	pid_t pid;

	ASSERT_EQ(0, ms_cgroup_write(self->group, "memory.max", 4 * MIB));
	pid = fork_into(self->group);
	if (!pid)
		publish_much(self, VALUE, 2000);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_GT(MIB, charged_below(self->group, MIB));
}

TEST_HARNESS_MAIN
