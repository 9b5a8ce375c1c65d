// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore while mstore upgrade replaces the module. Followers and writers go on by
 * themselves: after each time every follower has what the store has, and no version of a key
 * was ever less than the one before.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "lib_test.h"

#define KEYS		20
#define FOLLOWERS	8
#define WRITERS		2
#define ROUNDS		3
#define PATIENCE_MS	60000

/* A follower's copy: the version of each key, 0: the key is absent */
struct copy {
	uint64_t versions[KEYS];
	uint64_t in_step;	/* times */
	uint64_t renewals;
};

static struct shared {
	struct copy copies[FOLLOWERS];
	uint64_t writes;
	uint64_t renewals;
	int pause;
	int paused;
	char error[128];
} *shared;

static noreturn void child_failed(const char *what, int line)
{
	snprintf(shared->error, sizeof(shared->error), "line %d: %s (%s)", line, what,
		 strerrorname_np(errno));
	_exit(1);
}

#define CHECK(condition) do {					\
	if (!(condition))					\
		child_failed(#condition, __LINE__);		\
} while (0)

static void key_name(char name[32], unsigned int key)
{
	snprintf(name, 32, PREFIX "%u", key);
}

static void note(struct copy *copy, uint64_t *newest, struct mstore_follow *follow, int type)
{
	uint64_t version = mstore_follow_version(follow);
	size_t len;
	const char *bytes = mstore_follow_key(follow, &len);
	char name[32] = "";
	unsigned int key;

	memcpy(name, bytes, len);
	key = strtoul(name + strlen(PREFIX), NULL, 10);
	CHECK(key < KEYS);
	/* A deletion that was found by comparison has the version that was told last. */
	CHECK(type == MSTORE_FOLLOW_VALUE ? version > newest[key] : version >= newest[key]);
	newest[key] = version;
	__atomic_store_n(&copy->versions[key], type == MSTORE_FOLLOW_VALUE ? version : 0,
			 __ATOMIC_RELEASE);
}

/* Half of them wait in mstore_follow_next(), the others in a loop of their own. */
static noreturn void follow_forever(unsigned int number)
{
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	struct mstore_follow *follow = mstore_follow_new(store, NULL);
	struct copy *copy = &shared->copies[number];
	struct epoll_event event = { .events = EPOLLIN };
	struct mstore_follow_info info;
	int type, epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t newest[KEYS] = { 0 };

	CHECK(follow);
	mstore_close(store);
	CHECK(!mstore_follow_add(follow, PREFIX, MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX));
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, mstore_follow_fd(follow), &event));
	for (;;) {
		type = mstore_follow_next(follow, number % 2 ? 0 : -1);
		CHECK(type >= 0);
		mstore_follow_info(follow, &info);
		copy->renewals = info.renewals;
		if (type == MSTORE_FOLLOW_IN_STEP)
			__atomic_add_fetch(&copy->in_step, 1, __ATOMIC_RELEASE);
		else if (type)
			note(copy, newest, follow, type);
		else
			CHECK(epoll_wait(epoll, &event, 1, -1) == 1);
	}
}

static int write_once(struct mstore *store, uint64_t number)
{
	char name[32], value[32];

	key_name(name, number * 7 % KEYS);
	snprintf(value, sizeof(value), "%llu", (unsigned long long)number);
	if (number % 5)
		return mstore_set(store, name, MSTORE_STRLEN, value, MSTORE_STRLEN, NULL);
	if (mstore_delete(store, name, MSTORE_STRLEN, NULL) && errno != ENOENT)
		return -1;
	return 0;
}

static noreturn void write_forever(unsigned int number)
{
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);
	uint64_t n;

	CHECK(store);
	for (n = number; ; n += WRITERS) {
		while (write_once(store, n)) {
			CHECK(errno == ENODEV);
			CHECK(!mstore_renew(store, PATIENCE_MS));
			__atomic_add_fetch(&shared->renewals, 1, __ATOMIC_RELAXED);
		}
		__atomic_add_fetch(&shared->writes, 1, __ATOMIC_RELAXED);
		if (!__atomic_load_n(&shared->pause, __ATOMIC_ACQUIRE))
			continue;
		__atomic_add_fetch(&shared->paused, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(&shared->pause, __ATOMIC_ACQUIRE)) {
			/* It must let go of the module even when it has nothing to do. */
			struct pollfd idle = { .fd = mstore_fd(store) };

			if (poll(&idle, 1, 10) > 0)
				CHECK(!mstore_renew(store, PATIENCE_MS));
		}
		__atomic_sub_fetch(&shared->paused, 1, __ATOMIC_ACQ_REL);
	}
}

static pid_t start(void (*run)(unsigned int), unsigned int number)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run(number);
	_exit(1);
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

static bool await(int *number, int wanted)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		if (__atomic_load_n(number, __ATOMIC_ACQUIRE) == wanted)
			return true;
		sleep_ms(1);
	}
	return false;
}

static bool is_same(const struct copy *copy, const uint64_t *versions)
{
	for (unsigned int i = 0; i < KEYS; i++)
		if (__atomic_load_n(&copy->versions[i], __ATOMIC_ACQUIRE) != versions[i])
			return false;
	return true;
}

/* Returns how many followers have what the store has, which does not change. */
static int count_equal(void)
{
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	uint64_t versions[KEYS] = { 0 };
	int equal = 0;
	char name[32], value[32];

	for (unsigned int i = 0; i < KEYS; i++) {
		size_t size = sizeof(value);

		key_name(name, i);
		if (mstore_get(store, name, MSTORE_STRLEN, value, &size, &versions[i]))
			versions[i] = 0;
	}
	mstore_close(store);
	for (int ms = 0; ms < PATIENCE_MS && equal < FOLLOWERS && !shared->error[0]; ms++) {
		equal = 0;
		for (int i = 0; i < FOLLOWERS; i++)
			equal += is_same(&shared->copies[i], versions);
		sleep_ms(1);
	}
	return equal;
}

FIXTURE(upgrade)
{
	pid_t pids[FOLLOWERS + WRITERS];
	int count;
};

FIXTURE_SETUP(upgrade)
{
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);

	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, mstore_flush(store, NULL, 0, MSTORE_ANY_BUCKET, MSTORE_FLUSH_STEAL, NULL,
				  NULL));
	mstore_close(store);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
}

FIXTURE_TEARDOWN(upgrade)
{
	for (int i = 0; i < self->count; i++) {
		kill(self->pids[i], SIGKILL);
		waitpid(self->pids[i], NULL, 0);
	}
}

TEST_F_TIMEOUT(upgrade, under_load, 300)
{
	uint64_t writes;
	int i, round;

	for (i = 0; i < FOLLOWERS; i++)
		self->pids[self->count++] = start(follow_forever, i);
	for (i = 0; i < WRITERS; i++)
		self->pids[self->count++] = start(write_forever, i);
	for (round = 1; round <= ROUNDS; round++) {
		writes = shared->writes;
		sleep_ms(200);
		EXPECT_EQ(0, system("mstore upgrade --timeout 60s \"$METASTORE_KO\""));
		EXPECT_LT(writes, shared->writes);
		sleep_ms(200);
		__atomic_store_n(&shared->pause, 1, __ATOMIC_RELEASE);
		ASSERT_TRUE(await(&shared->paused, WRITERS));
		EXPECT_EQ(FOLLOWERS, count_equal());
		ASSERT_STREQ("", shared->error);
		/* Replaced once more while nothing happens but that. */
		EXPECT_EQ(0, system("mstore upgrade --timeout 60s \"$METASTORE_KO\""));
		EXPECT_EQ(FOLLOWERS, count_equal());
		__atomic_store_n(&shared->pause, 0, __ATOMIC_RELEASE);
		ASSERT_TRUE(await(&shared->paused, 0));
	}
	for (i = 0; i < FOLLOWERS; i++) {
		EXPECT_EQ(2 * ROUNDS, shared->copies[i].renewals);
		EXPECT_LT(2 * ROUNDS, shared->copies[i].in_step);
	}
	EXPECT_STREQ("", shared->error);
	TH_LOG("%llu writes, writers renewed %llu times", (unsigned long long)shared->writes,
	       (unsigned long long)shared->renewals);
}

TEST_F(upgrade, renew)
{
	struct mstore_queue_options options = { .which = MSTORE_QUEUE_SET_LEN, .max_len = 5 };
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR | MSTORE_NONBLOCK);
	struct mstore_queue_info info;
	struct mstore *private;
	int fd = mstore_fd(store);
	char value[8];
	size_t size = sizeof(value);

	ASSERT_EQ(0, mstore_queue_set(store, &options));
	ASSERT_EQ(0, mstore_set(store, KEY, MSTORE_STRLEN, "v", 1, NULL));
	ASSERT_EQ(0, mstore_subscribe(store, KEY, MSTORE_STRLEN, ALL, 0));
	/* Also without need */
	EXPECT_EQ(0, mstore_renew(store, 0));
	EXPECT_EQ(fd, mstore_fd(store));
	EXPECT_EQ(0, mstore_subscribers(store, KEY, MSTORE_STRLEN));
	ASSERT_EQ(0, mstore_queue_info(store, &info));
	EXPECT_EQ(5, info.max_len);
	EXPECT_NE(0, fcntl(fd, F_GETFL) & O_NONBLOCK);
	ASSERT_EQ(0, retire("1"));
	EXPECT_ERRNO(ENODEV, mstore_get(store, KEY, MSTORE_STRLEN, value, &size, NULL));
	EXPECT_ERRNO(ETIMEDOUT, mstore_renew(store, 0));
	EXPECT_ERRNO(ETIMEDOUT, mstore_renew(store, 50));
	EXPECT_ERRNO(ENOTTY, mstore_set(store, KEY, MSTORE_STRLEN, "w", 1, NULL));
	ASSERT_EQ(0, retire("0"));
	EXPECT_EQ(0, mstore_renew(store, 0));
	EXPECT_EQ(fd, mstore_fd(store));
	EXPECT_EQ(0, mstore_get(store, KEY, MSTORE_STRLEN, value, &size, NULL));
	private = mstore_create(store, NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, private);
	EXPECT_ERRNO(ENOTSUP, mstore_renew(private, 0));
	/* It is as it was. */
	EXPECT_EQ(0, mstore_set(private, KEY, MSTORE_STRLEN, "w", 1, NULL));
	mstore_close(private);
	mstore_close(store);
}

/* A follower of a private store ends with its module; it does not look for another store. */
TEST_F(upgrade, follower_of_a_private_store)
{
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);
	struct mstore *private = mstore_create(store, NULL, MSTORE_RDWR);
	struct mstore_follow *follow = mstore_follow_new(private, NULL);

	ASSERT_NE(NULL, follow);
	ASSERT_EQ(0, mstore_follow_add(follow, KEY, MSTORE_STRLEN, 0));
	EXPECT_EQ(MSTORE_FOLLOW_IN_STEP, mstore_follow_next(follow, 0));
	ASSERT_EQ(0, retire("1"));
	EXPECT_ERRNO(ENODEV, mstore_follow_next(follow, 0));
	ASSERT_EQ(0, retire("0"));
	mstore_follow_free(follow);
	mstore_close(private);
	mstore_close(store);
}

/* A key that is added while the device is away is followed once it is there. */
TEST_F(upgrade, add_meanwhile)
{
	struct mstore *store = mstore_open(NULL, MSTORE_RDWR);
	struct mstore_follow *follow = mstore_follow_new(store, NULL);
	struct mstore_follow_info info;

	ASSERT_EQ(0, mstore_set(store, KEY, MSTORE_STRLEN, "v", 1, NULL));
	ASSERT_EQ(0, mstore_set(store, PREFIX "b", MSTORE_STRLEN, "v", 1, NULL));
	ASSERT_EQ(0, retire("1"));
	/* It does not know yet. */
	EXPECT_EQ(0, mstore_follow_add(follow, KEY, MSTORE_STRLEN, 0));
	EXPECT_EQ(0, mstore_follow_next(follow, 50));
	mstore_follow_info(follow, &info);
	EXPECT_EQ(ENODEV, info.away);
	EXPECT_EQ(0, mstore_follow_add(follow, PREFIX "b", MSTORE_STRLEN, 0));
	ASSERT_EQ(0, retire("0"));
	EXPECT_EQ(MSTORE_FOLLOW_VALUE, mstore_follow_next(follow, PATIENCE_MS));
	EXPECT_EQ(MSTORE_FOLLOW_VALUE, mstore_follow_next(follow, 0));
	EXPECT_EQ(MSTORE_FOLLOW_IN_STEP, mstore_follow_next(follow, 0));
	mstore_follow_info(follow, &info);
	EXPECT_EQ(0, info.away);
	EXPECT_EQ(1, info.renewals);
	mstore_follow_free(follow);
	mstore_close(store);
}

TEST_HARNESS_MAIN
