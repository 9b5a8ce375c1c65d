// SPDX-License-Identifier: GPL-2.0
/*
 * Memory as control groups see it: what is charged to whom, that a full group
 * gets ENOMEM and nobody is killed, and that a reader who never reads holds no
 * more than its budget.
 */
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

/* Returns whether there are memory cgroups; @group has room for 128 bytes */
static bool make_group(char *group)
{
	snprintf(group, 128, MS_CGROUP "/metastore_test.%d", getpid());
	return !mkdir(group, 0755) && ms_cgroup_read(group, "memory.current", "") >= 0;
}

FIXTURE_SETUP(memory)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->results = ms_shared(sizeof(*self->results));
	if (!make_group(self->group))
		SKIP(return, "no memory controller of cgroup2 at " MS_CGROUP);
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

static void expect_content(struct __test_metadata *_metadata, const char *group,
			   const struct results *results, pid_t pid)
{
	EXPECT_EQ(0, ms_join(pid)) {
		TH_LOG("the child at line %d: %s", results->line, strerrorname_np(results->err));
	}
	EXPECT_EQ(0, ms_cgroup_read(group, "memory.events", "oom_kill"));
}

static void expect_nobody_killed(struct __test_metadata *_metadata,
				 struct _test_data_memory *self, pid_t pid)
{
	expect_content(_metadata, self->group, self->results, pid);
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
	int ret = 0, refused = 0;

	/* Full is what stays full: another CPU may give back what it has in stock. */
	for (key = 0; key < most && refused < 3; key += !ret) {
		memset(value, key, len);
		ret = ms_setn(self->fd, &key, sizeof(key), value, len, NULL);
		CHECK(!ret || ret == -ENOMEM);
		self->results->done += !ret;
		refused = ret ? refused + 1 : 0;
		if (ret)
			ms_sleep(SECOND / 50);
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
	ASSERT_EQ(0, ms_one_cpu());
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
	ASSERT_EQ(0, ms_one_cpu());
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
	return ms_cgroup_read(group, "memory.current", "");
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
	CHECK(!ms_await_readers());
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
	CHECK(!ms_await_readers());
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

	/* The group of the first subscriber pays. */
	pid = fork_into(self->group);
	if (!pid)
		_exit(ms_subscribe(r.fd, "k", 0, 0) ? 1 : 0);
	ASSERT_EQ(0, ms_join(pid));
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

/* Events that wait for a reader in another group are charged there, but for 64 KiB */
TEST_F(memory, unread_queue_of_another_group)
{
	__u32 budget = self->info.queue_bytes;
	struct ms_reader r = ms_reader(ms_open(O_RDONLY | O_NONBLOCK), MS_READER_SIZE);
	struct ms_books books = {};
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(r.fd, "k", 0, 0));
	pid = fork_into(self->group);
	if (!pid)
		publish_much(self, VALUE, 4 * budget / VALUE);
	expect_nobody_killed(_metadata, self, pid);
	EXPECT_GT(budget / 2, charged_below(self->group, budget / 2));
	ASSERT_EQ(0, ms_drain(&r, &books));
	EXPECT_EQ(4 * budget / VALUE, books.received + books.lost);
	EXPECT_LT(budget / VALUE / 2, books.received);
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

/*
 * Each call that needs memory, in a group that has none left: it is refused, changes
 * nothing, and can be done once there is some again. fault_test has all the places where
 * one can fail, but needs a debug kernel. Only open() is left to it: there the kernel
 * wants memory of its own first, and kills for that.
 */
FIXTURE(full)
{
	int fd;			/* on a store of its own, in which "k" is "v" */
	int sub;		/* is subscribed to "k" */
	char group[128];
	struct results *results;
};

FIXTURE_VARIANT(full)
{
	int (*call)(struct _test_data_full *self);
};

FIXTURE_SETUP(full)
{
	int fd = ms_open(O_RDWR | O_NONBLOCK);

	self->fd = ms_create(fd, O_RDWR | O_NONBLOCK, (struct metastore_create) { .buckets = 1 });
	ASSERT_LE(0, self->fd);
	close(fd);
	self->sub = ms_reopen(self->fd, O_RDWR | O_NONBLOCK);
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(self->sub, "k", EVENTS_ALL, 1));
	self->results = ms_shared(sizeof(*self->results));
	if (!make_group(self->group))
		SKIP(return, "no memory controller of cgroup2 at " MS_CGROUP);
}

FIXTURE_TEARDOWN(full)
{
	close(self->sub);
	close(self->fd);
	rmdir(self->group);
}

struct state {
	struct metastore_info info;
	struct metastore_queue_info queue;
	__u64 version;
	int subscribers;
};

static struct state state_of(struct _test_data_full *self)
{
	struct state state = {};

	CHECK(!ms_info(self->fd, METASTORE_ANY_BUCKET, &state.info));
	CHECK(!ms_queue(self->sub, &state.queue));
	state.queue.oldest = 0;
	state.version = ms_version(self->fd, "k");
	state.subscribers = ms_subscribers(self->fd, "new");
	return state;
}

static int set_filler(struct _test_data_full *self, int number, __u32 len)
{
	static char value[VALUE];
	char key[16];

	snprintf(key, sizeof(key), "fill.%d", number);
	return ms_setn(self->fd, key, strlen(key), value, len, NULL);
}

/* Down to the smallest thing there is, and to what another CPU gives back a moment later */
static void fill_group(struct _test_data_full *self)
{
	static const __u32 lens[] = { VALUE, 2000, 480, 100, 1 };
	int number = 1, before, ret;
	size_t i;

	do {
		ms_sleep(SECOND / 50);
		before = number;
		for (i = 0; i < ARRAY_SIZE(lens); i++) {
			while (!(ret = set_filler(self, number, lens[i])))
				number++;
			CHECK(ret == -ENOMEM);
		}
	} while (number > before);
}

static void call_in_full_group(struct _test_data_full *self,
			       const struct _fixture_variant_full *variant)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);
	struct metastore_flush flush;
	struct state before, after;
	int ret;

	fill_group(self);
	before = state_of(self);
	self->results->done = -variant->call(self);
	CHECK(self->results->done == ENOMEM);
	after = state_of(self);
	CHECK(!memcmp(&before, &after, sizeof(before)));
	/* Freed memory may be given back a moment later */
	CHECK(!ms_flush(self->fd, "fill.", METASTORE_ANY_BUCKET, 0, &flush));
	do {
		ret = variant->call(self);
	} while (ret == -ENOMEM && ms_now(CLOCK_MONOTONIC) < end);
	CHECK(ret >= 0);
	_exit(0);
}

TEST_F(full, refuses)
{
	pid_t pid;

	ASSERT_EQ(0, ms_cgroup_write(self->group, "memory.max", 4 * MIB));
	ASSERT_EQ(0, ms_one_cpu());
	pid = fork_into(self->group);
	if (!pid)
		call_in_full_group(self, variant);
	expect_content(_metadata, self->group, self->results, pid);
	EXPECT_EQ(ENOMEM, self->results->done);
}

static int set(struct _test_data_full *self)
{
	return ms_set(self->fd, "new", "value", NULL);
}

FIXTURE_VARIANT_ADD(full, set) { .call = set };

static int set_large(struct _test_data_full *self)
{
	static const char value[2000];

	return ms_setn(self->fd, "new", 3, value, sizeof(value), NULL);
}

FIXTURE_VARIANT_ADD(full, set_large) { .call = set_large };

static int set_existing(struct _test_data_full *self)
{
	return ms_set(self->fd, "k", "value", NULL);
}

FIXTURE_VARIANT_ADD(full, set_existing) { .call = set_existing };

static int set_owned(struct _test_data_full *self)
{
	return ms_own(self->fd, "new", "value", NULL);
}

FIXTURE_VARIANT_ADD(full, set_owned) { .call = set_owned };

static int set_with_ttl(struct _test_data_full *self)
{
	return ms_set_ttl(self->fd, "new", "value", 3600000, NULL);
}

FIXTURE_VARIANT_ADD(full, set_with_ttl) { .call = set_with_ttl };

static int publish(struct _test_data_full *self)
{
	return ms_publish(self->fd, "k", "value", NULL);
}

FIXTURE_VARIANT_ADD(full, publish) { .call = publish };

static int publish_that_waits(struct _test_data_full *self)
{
	struct metastore_set arg = { .flags = METASTORE_F_WAIT };

	return ms_store_with(self->fd, METASTORE_IOC_PUBLISH, "k", "value", &arg);
}

FIXTURE_VARIANT_ADD(full, publish_that_waits) { .call = publish_that_waits };

/* Of which a part is done */
static int batch(struct _test_data_full *self)
{
	char buf[16];
	struct metastore_op ops[] = {
		ms_op_get("k", buf, sizeof(buf)), ms_op_publish("k", "value"),
	};
	int ret = ms_batch(self->fd, ops, 2, 0, NULL);

	return ret ?: ops[0].result ? -EBADMSG : ops[1].result;
}

FIXTURE_VARIANT_ADD(full, batch) { .call = batch };

static int atomic_batch(struct _test_data_full *self)
{
	struct metastore_op ops[] = { ms_op_publish("k", "value"), ms_op_set("new", "value") };

	return ms_batch(self->fd, ops, 2, METASTORE_BATCH_ATOMIC, NULL);
}

FIXTURE_VARIANT_ADD(full, atomic_batch) { .call = atomic_batch };

static int subscribe(struct _test_data_full *self)
{
	return ms_subscribe(self->fd, "new", 0, 1);
}

FIXTURE_VARIANT_ADD(full, subscribe) { .call = subscribe };

static int subscribe_prefix(struct _test_data_full *self)
{
	return ms_subscribe_prefix(self->fd, "new", 0, 1);
}

FIXTURE_VARIANT_ADD(full, subscribe_prefix) { .call = subscribe_prefix };

static int subscribe_latest_of_prefix(struct _test_data_full *self)
{
	return ms_subscribe_as(self->fd, "new", .flags = METASTORE_SUBSCRIBE_PREFIX |
							 METASTORE_SUBSCRIBE_LATEST);
}

FIXTURE_VARIANT_ADD(full, subscribe_latest_of_prefix) { .call = subscribe_latest_of_prefix };

static int subscribe_with_snapshot(struct _test_data_full *self)
{
	return ms_subscribe_as(self->fd, "new", .flags = METASTORE_SUBSCRIBE_SNAPSHOT);
}

FIXTURE_VARIANT_ADD(full, subscribe_with_snapshot) { .call = subscribe_with_snapshot };

static int queue(struct _test_data_full *self)
{
	return ms_queue_set_len(self->sub, 500);
}

FIXTURE_VARIANT_ADD(full, queue) { .call = queue };

static int list(struct _test_data_full *self)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = {
		.buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf),
		.bucket = METASTORE_ANY_BUCKET,
	};

	return ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg);
}

FIXTURE_VARIANT_ADD(full, list) { .call = list };

static int create(struct _test_data_full *self)
{
	return ms_create(self->fd, O_RDWR, (struct metastore_create) { .buckets = 1 });
}

FIXTURE_VARIANT_ADD(full, create) { .call = create };

static int reopen(struct _test_data_full *self)
{
	return ms_reopen(self->fd, O_RDWR);
}

FIXTURE_VARIANT_ADD(full, reopen) { .call = reopen };

TEST_HARNESS_MAIN
