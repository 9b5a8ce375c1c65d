// SPDX-License-Identifier: GPL-2.0
/* libmetastore: locks. lib_lock_crowd_test.c has many contenders, which are killed. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#include <linux/metastore.h>

#include "lib_keys_test.h"

/* How long to wait for what must come: a loaded machine is slow. */
#define PATIENCE_MS	60000

#define QUEUE	KEY ".lock"

#define CONTENDERS	5

static struct mstore_lock *new_lock(struct mstore *store, int slots)
{
	const struct mstore_lock_options options = {
		.slots = slots, .value = "me", .value_len = 2,
	};

	return mstore_lock_new(store, KEY, MSTORE_STRLEN, &options);
}

/* All of them enter the queue in their order. Returns how many hold a slot then. */
static int contend(struct mstore *store, struct mstore_lock **locks, int count, int slots)
{
	int held = 0, ret;

	for (int i = 0; i < count; i++) {
		locks[i] = new_lock(store, slots);
		ret = locks[i] ? mstore_lock_acquire(locks[i], 0) : -1;
		if (ret < 0)
			return -errno;
		held += ret;
	}
	return held;
}

static void free_all(struct mstore_lock **locks, int count)
{
	while (count)
		mstore_lock_free(locks[--count]);
}

static int keys_of(struct mstore *store)
{
	struct mstore_list *list = mstore_list_new(store, KEY, MSTORE_STRLEN, MSTORE_ANY_BUCKET);
	int count = 0;

	while (mstore_list_next(list) > 0)
		count++;
	mstore_list_free(list);
	return count;
}

static bool has_value(struct mstore *store, const char *key, const char *value)
{
	char *found = mstore_get_alloc(store, key, MSTORE_STRLEN, NULL, NULL);
	bool same = found && !strcmp(found, value);

	free(found);
	return same;
}

static bool readable(const struct mstore_lock *lock)
{
	struct pollfd fd = { .fd = mstore_lock_fd(lock), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

TEST_F(store, lock_is_exclusive)
{
	struct mstore_lock *locks[2];

	EXPECT_EQ(1, contend(self->store, locks, 2, 1));
	EXPECT_TRUE(holds(self->store, "me"));
	EXPECT_EQ(MSTORE_OWNER_OTHER, owner_of(self->store));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	EXPECT_EQ(1, mstore_lock_slot(locks[0]));
	EXPECT_EQ(0, mstore_lock_is_held(locks[1]));
	EXPECT_EQ(0, mstore_lock_slot(locks[1]));
	EXPECT_EQ(0, mstore_lock_number(locks[1]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[1], 0));
	EXPECT_ERRNO(EALREADY, mstore_lock_acquire(locks[0], 0));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));

	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	EXPECT_EQ(0, mstore_lock_is_held(locks[0]));
	EXPECT_EQ(0, mstore_lock_number(locks[0]));
	EXPECT_TRUE(readable(locks[1]));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], -1));
	EXPECT_FALSE(readable(locks[1]));
	EXPECT_EQ(0, mstore_lock_release(locks[1]));
	EXPECT_EQ(0, mstore_lock_release(locks[1]));
	free_all(locks, 2);
	EXPECT_EQ(0, keys_of(self->store));
	mstore_lock_free(NULL);
}

/* A lock that none wait for is its key and nothing else. */
TEST_F(store, lock_that_none_wait_for)
{
	struct mstore_lock *lock = mstore_lock_new(self->store, KEY, strlen(KEY), NULL);

	ASSERT_NE(NULL, lock);
	EXPECT_EQ(1, mstore_lock_acquire(lock, 0));
	EXPECT_EQ(1, keys_of(self->store));
	EXPECT_TRUE(holds(self->store, ""));
	mstore_lock_free(lock);
	EXPECT_EQ(0, keys_of(self->store));
}

TEST_F(store, lock_options_that_are_refused)
{
	struct mstore_lock_options options = { .slots = -1 };
	struct mstore *reader = mstore_open(DEVICE, MSTORE_READ);
	char key[MSTORE_LOCK_KEY_MAX + 1];
	struct mstore_info info;
	struct mstore_lock *lock, *other;

	EXPECT_NULL_ERRNO(EINVAL, mstore_lock_new(self->store, KEY, MSTORE_STRLEN, &options));
	options.slots = MSTORE_LOCK_SLOTS_MAX + 1;
	EXPECT_NULL_ERRNO(EINVAL, mstore_lock_new(self->store, KEY, MSTORE_STRLEN, &options));
	options.slots = MSTORE_LOCK_SLOTS_MAX;
	options.reserved[3] = 1;
	EXPECT_NULL_ERRNO(EINVAL, mstore_lock_new(self->store, KEY, MSTORE_STRLEN, &options));
	options.reserved[3] = 0;
	EXPECT_NULL_ERRNO(EINVAL, mstore_lock_new(self->store, "", MSTORE_STRLEN, &options));
	EXPECT_NULL_ERRNO(EACCES, mstore_lock_new(reader, KEY, MSTORE_STRLEN, &options));
	mstore_close(reader);

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	options.value = KEY;
	options.value_len = info.max_value + 1;
	EXPECT_NULL_ERRNO(EMSGSIZE, mstore_lock_new(self->store, KEY, MSTORE_STRLEN, &options));
	options.value_len = 0;

	memset(key, 'k', sizeof(key));
	memcpy(key, PREFIX, strlen(PREFIX));
	EXPECT_NULL_ERRNO(ENAMETOOLONG, mstore_lock_new(self->store, key, sizeof(key), &options));
	/* The longest key, with the longest names of slots and tickets. */
	lock = mstore_lock_new(self->store, key, sizeof(key) - 1, &options);
	ASSERT_NE(NULL, lock);
	for (int i = 1; i < MSTORE_LOCK_SLOTS_MAX; i++) {
		other = mstore_lock_new(self->store, key, sizeof(key) - 1, &options);
		EXPECT_EQ(1, mstore_lock_acquire(other, 0));
	}
	EXPECT_EQ(1, mstore_lock_acquire(lock, 0));
	EXPECT_EQ(MSTORE_LOCK_SLOTS_MAX, mstore_lock_slot(lock));
	other = mstore_lock_new(self->store, key, sizeof(key) - 1, &options);
	EXPECT_EQ(0, mstore_lock_acquire(other, 0));
	EXPECT_EQ(0, mstore_lock_release(lock));
	EXPECT_EQ(1, mstore_lock_acquire(other, 0));
}

TEST_F(store, lock_outlives_the_store_it_was_made_from)
{
	struct mstore *store = mstore_open(DEVICE, MSTORE_RDWR);
	struct mstore_lock *lock = new_lock(store, 1);

	mstore_close(store);
	EXPECT_EQ(1, mstore_lock_acquire(lock, 0));
	EXPECT_TRUE(holds(self->store, "me"));
	mstore_lock_free(lock);
}

TEST_F(store, slots)
{
	struct mstore_lock *locks[CONTENDERS];

	ASSERT_EQ(3, contend(self->store, locks, CONTENDERS, 3));
	for (int i = 0; i < CONTENDERS; i++)
		EXPECT_EQ(i < 3 ? i + 1 : 0, mstore_lock_slot(locks[i]));
	EXPECT_TRUE(has_value(self->store, KEY ".slot/2", "me"));
	EXPECT_TRUE(holds(self->store, NULL));

	/* The one that came first gets the slot that is free. */
	EXPECT_EQ(0, mstore_lock_release(locks[1]));
	EXPECT_FALSE(readable(locks[4]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[4], 0));
	EXPECT_EQ(1, mstore_lock_acquire(locks[3], 0));
	EXPECT_EQ(2, mstore_lock_slot(locks[3]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[4], 0));
	EXPECT_EQ(0, mstore_lock_release(locks[2]));
	EXPECT_EQ(1, mstore_lock_acquire(locks[4], 0));
	EXPECT_EQ(3, mstore_lock_slot(locks[4]));
	free_all(locks, CONTENDERS);
	EXPECT_EQ(0, keys_of(self->store));
}

TEST_F(store, lock_goes_in_the_order_of_arrival)
{
	struct mstore_lock *locks[CONTENDERS];
	uint64_t number = 0;

	ASSERT_EQ(1, contend(self->store, locks, CONTENDERS, 1));
	for (int i = 0; i < CONTENDERS; i++) {
		for (int j = CONTENDERS - 1; j > i; j--)
			EXPECT_EQ(0, mstore_lock_acquire(locks[j], 0));
		if (i)
			EXPECT_EQ(1, mstore_lock_acquire(locks[i], 0));
		EXPECT_LT(number, mstore_lock_number(locks[i]));
		number = mstore_lock_number(locks[i]);
		EXPECT_EQ(0, mstore_lock_release(locks[i]));
		EXPECT_EQ(i < CONTENDERS - 1, readable(locks[(i + 1) % CONTENDERS]));
		/* None comes in between. */
		EXPECT_EQ(i == CONTENDERS - 1, mstore_lock_acquire(locks[i], 0));
		if (i < CONTENDERS - 1)
			EXPECT_EQ(0, mstore_lock_release(locks[i]));
	}
	free_all(locks, CONTENDERS);
	EXPECT_EQ(0, keys_of(self->store));
}

/* The number is the version of the key, so that all can see the present one. */
TEST_F(store, fencing_numbers_increase)
{
	struct mstore_lock *lock;
	uint64_t last = 0, version;
	size_t size;

	for (int i = 0; i < 20; i++) {
		lock = new_lock(self->store, 1);
		ASSERT_EQ(1, mstore_lock_acquire(lock, 0));
		EXPECT_LT(last, mstore_lock_number(lock));
		last = mstore_lock_number(lock);
		size = 0;
		EXPECT_ERRNO(ERANGE, mstore_get(self->store, KEY, strlen(KEY), NULL, &size,
						&version));
		EXPECT_EQ(last, version);
		mstore_lock_free(lock);
	}
}

TEST_F(store, lock_time_out_keeps_the_place)
{
	struct mstore_lock *locks[3];
	int64_t began;

	ASSERT_EQ(1, contend(self->store, locks, 2, 1));
	began = now_ms();
	EXPECT_EQ(0, mstore_lock_acquire(locks[1], 100));
	EXPECT_LE(began + 100, now_ms());
	ASSERT_EQ(0, contend(self->store, locks + 2, 1, 1));
	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[2], 0));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	free_all(locks, 3);
}

/* One that leaves lets the next one move up. */
TEST_F(store, lock_waiters_can_leave)
{
	struct mstore_lock *locks[4];

	ASSERT_EQ(1, contend(self->store, locks, 4, 1));
	EXPECT_EQ(0, mstore_lock_release(locks[1]));
	mstore_lock_free(locks[2]);
	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	EXPECT_EQ(1, mstore_lock_acquire(locks[3], PATIENCE_MS));
	mstore_lock_free(locks[3]);
	EXPECT_EQ(0, keys_of(self->store));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	free_all(locks, 2);
}

static void on_alarm(int signal)
{
	(void)signal;
}

TEST_F(store, lock_wait_is_interrupted_and_goes_on)
{
	const struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	const struct itimerval soon = { .it_value.tv_usec = 50000 };
	struct mstore_lock *locks[3];
	struct sigaction before;

	ASSERT_EQ(1, contend(self->store, locks, 2, 1));
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &soon, NULL);
	EXPECT_ERRNO(EINTR, mstore_lock_acquire(locks[1], PATIENCE_MS));
	sigaction(SIGALRM, &before, NULL);
	ASSERT_EQ(0, contend(self->store, locks + 2, 1, 1));
	mstore_lock_free(locks[0]);
	EXPECT_EQ(0, mstore_lock_acquire(locks[2], 0));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	free_all(locks + 1, 2);
}

/* So that the whole time is left at the first wait, even of a slow machine */
static bool clock_stands;
static int longest_wait;

int clock_gettime(clockid_t id, struct timespec *now)
{
	if (!clock_stands)
		return (int)syscall(SYS_clock_gettime, id, now);
	*now = (struct timespec){ .tv_sec = 1 };
	return 0;
}

/* While the clock stands, no wait lasts. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec end = { timeout / 1000, timeout % 1000 * 1000000L };

	if (!clock_stands)
		return (int)syscall(SYS_ppoll, fds, count, timeout < 0 ? NULL : &end, NULL, 0);
	longest_wait = timeout;
	errno = EINTR;
	return -1;
}

TEST_F(store, lock_longest_time)
{
	struct mstore_lock *locks[2];

	ASSERT_EQ(1, contend(self->store, locks, 2, 1));
	clock_stands = true;
	EXPECT_ERRNO(EINTR, mstore_lock_acquire(locks[1], INT_MAX));
	clock_stands = false;
	EXPECT_EQ(INT_MAX, longest_wait);
	free_all(locks, 2);
}

/* Loss */

static bool is_lost(struct mstore_lock *lock)
{
	return readable(lock) && !mstore_lock_is_held(lock) && !readable(lock) &&
	       mstore_lock_acquire(lock, 0) == -1 && errno == EALREADY &&
	       mstore_lock_number(lock) && mstore_lock_release(lock) == -1 && errno == ENOLCK &&
	       !mstore_lock_release(lock);
}

TEST_F(store, lock_lost_by_theft)
{
	const struct mstore_options steal = { .flags = MSTORE_STEAL };
	struct mstore_lock *lock = new_lock(self->store, 1);

	ASSERT_EQ(1, mstore_lock_acquire(lock, 0));
	EXPECT_FALSE(readable(lock));
	EXPECT_EQ(0, set_with(self->store, "mine", &steal, NULL));
	EXPECT_TRUE(is_lost(lock));
	EXPECT_TRUE(holds(self->store, "mine"));
	EXPECT_EQ(0, mstore_lock_acquire(lock, 0));
	EXPECT_EQ(0, mstore_delete(self->store, KEY, strlen(KEY), NULL));
	EXPECT_EQ(1, mstore_lock_acquire(lock, 0));

	EXPECT_EQ(1, mstore_publish_with(self->store, KEY, strlen(KEY), "", 0, &steal, NULL));
	EXPECT_TRUE(is_lost(lock));
	EXPECT_EQ(0, mstore_delete(self->store, KEY, strlen(KEY), NULL));
	mstore_lock_free(lock);
}

TEST_F(store, lock_lost_by_deletion_and_flush)
{
	const struct mstore_options steal = { .flags = MSTORE_STEAL };
	struct mstore_lock *locks[2];

	ASSERT_EQ(1, contend(self->store, locks, 2, 1));
	EXPECT_EQ(0, mstore_delete_with(self->store, KEY, strlen(KEY), &steal, NULL));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	EXPECT_TRUE(is_lost(locks[0]));
	EXPECT_EQ(1, mstore_lock_is_held(locks[1]));
	EXPECT_EQ(0, mstore_flush(self->store, KEY, MSTORE_STRLEN, MSTORE_ANY_BUCKET, 0, NULL,
				  NULL));
	EXPECT_EQ(1, mstore_lock_is_held(locks[1]));
	EXPECT_EQ(0, mstore_flush(self->store, KEY, MSTORE_STRLEN, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_STEAL, NULL, NULL));
	EXPECT_TRUE(is_lost(locks[1]));
	free_all(locks, 2);
}

TEST_F(store, slot_lost)
{
	const struct mstore_options steal = { .flags = MSTORE_STEAL };
	struct mstore_lock *locks[3];

	ASSERT_EQ(2, contend(self->store, locks, 3, 2));
	EXPECT_EQ(0, mstore_delete_with(self->store, KEY ".slot/2", MSTORE_STRLEN, &steal, NULL));
	EXPECT_EQ(1, mstore_lock_acquire(locks[2], 0));
	EXPECT_FALSE(readable(locks[0]));
	EXPECT_TRUE(is_lost(locks[1]));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	free_all(locks, 3);
	EXPECT_EQ(0, keys_of(self->store));
}

/* A loss that nobody looked for is found on release. */
TEST_F(store, lock_lost_unnoticed)
{
	const struct mstore_options steal = { .flags = MSTORE_STEAL };
	struct mstore_lock *lock = new_lock(self->store, 1);

	ASSERT_EQ(1, mstore_lock_acquire(lock, 0));
	EXPECT_EQ(0, set_with(self->store, "mine", &steal, NULL));
	EXPECT_ERRNO(ENOLCK, mstore_lock_release(lock));
	EXPECT_TRUE(holds(self->store, "mine"));
	EXPECT_FALSE(readable(lock));
	mstore_lock_free(lock);
}

TEST_F(store, holder_changes_its_own_key)
{
	struct mstore_lock *locks[2];

	ASSERT_EQ(1, contend(self->store, locks, 2, 1));
	EXPECT_EQ(0, set_with(mstore_lock_store(locks[0]), "half done", &owned, NULL));
	EXPECT_TRUE(readable(locks[0]));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	EXPECT_FALSE(readable(locks[0]));
	EXPECT_FALSE(readable(locks[1]));
	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	free_all(locks, 2);
}

/* Other numbers of slots */

TEST_F(store, contenders_agree_on_the_slots)
{
	struct mstore_lock *three[4], *one = new_lock(self->store, 1), *two;

	ASSERT_EQ(3, contend(self->store, three, 4, 3));
	two = new_lock(self->store, 2);
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(one, 0));
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(two, 0));
	/* Also while none wait, and one slot is held. */
	mstore_lock_free(three[3]);
	mstore_lock_free(three[1]);
	mstore_lock_free(three[0]);
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(one, 0));
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(two, 0));
	EXPECT_EQ(0, mstore_lock_release(one));
	mstore_lock_free(three[2]);
	EXPECT_EQ(1, mstore_lock_acquire(one, 0));
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(two, 0));
	EXPECT_EQ(1, keys_of(self->store) - has_value(self->store, QUEUE, "2"));
	mstore_lock_free(one);
	EXPECT_EQ(1, mstore_lock_acquire(two, 0));
	mstore_lock_free(two);
	EXPECT_EQ(0, keys_of(self->store));
}

/* Holders that end without a word leave the number of slots, which binds nobody. */
TEST_F(store, another_number_of_slots_after_the_end)
{
	struct mstore_lock *one = new_lock(self->store, 1);
	struct mstore_lock *lock;
	pid_t child = fork_child();

	if (!child) {
		lock = new_lock(self->store, 3);
		_exit(mstore_lock_acquire(lock, 0) == 1 ? 0 : 1);
	}
	EXPECT_EQ(0, join(child));
	EXPECT_TRUE(has_value(self->store, QUEUE, "3"));
	EXPECT_EQ(1, mstore_lock_acquire(one, 0));
	EXPECT_TRUE(holds(self->store, "me"));
	mstore_lock_free(one);
	EXPECT_EQ(0, keys_of(self->store));
}

TEST_F(store, slots_of_a_key_that_exists)
{
	struct mstore_lock *two = new_lock(self->store, 2);

	EXPECT_EQ(0, set_with(self->store, "something", NULL, NULL));
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(two, 0));
	EXPECT_EQ(0, set_with(self->store, "", NULL, NULL));
	EXPECT_ERRNO(EBUSY, mstore_lock_acquire(two, 0));
	EXPECT_TRUE(holds(self->store, ""));
	EXPECT_TRUE(has_value(self->store, QUEUE, "2"));
	EXPECT_EQ(2, keys_of(self->store));
	mstore_lock_free(two);
}

/* Others */

TEST_F(store, lock_waits_for_other_owners)
{
	struct mstore *other = mstore_open(DEVICE, MSTORE_WRITE);
	struct mstore_lock *locks[2];

	EXPECT_EQ(0, set_with(other, "held", &owned, NULL));
	EXPECT_EQ(0, contend(self->store, locks, 2, 1));
	EXPECT_TRUE(holds(self->store, "held"));
	mstore_close(other);
	EXPECT_FALSE(readable(locks[1]));
	EXPECT_EQ(1, mstore_lock_acquire(locks[0], PATIENCE_MS));
	EXPECT_TRUE(holds(self->store, "me"));
	free_all(locks, 2);
}

/* A child that enters the queue, tells so, and stays. */
static pid_t fork_contender(struct mstore *store, int slots)
{
	struct mstore_lock *lock;
	int told[2];
	char c = 0;
	pid_t pid;

	if (pipe(told))
		return -1;
	pid = fork_child();
	if (!pid) {
		lock = new_lock(store, slots);
		if (mstore_lock_acquire(lock, 0) >= 0 && write(told[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	close(told[1]);
	if (read(told[0], &c, 1) != 1)
		pid = -1;
	close(told[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_F(store, killed_holder)
{
	struct mstore_lock *lock = new_lock(self->store, 1);
	pid_t holder = fork_contender(self->store, 1);

	ASSERT_LT(0, holder);
	EXPECT_EQ(0, mstore_lock_acquire(lock, 0));
	end(holder);
	EXPECT_EQ(1, mstore_lock_acquire(lock, PATIENCE_MS));
	mstore_lock_free(lock);
	EXPECT_EQ(0, keys_of(self->store));
}

TEST_F(store, killed_waiters)
{
	struct mstore_lock *locks[2];
	pid_t waiters[4];

	ASSERT_EQ(1, contend(self->store, locks, 1, 1));
	for (int i = 0; i < 4; i++) {
		waiters[i] = fork_contender(self->store, 1);
		ASSERT_LT(0, waiters[i]);
	}
	ASSERT_EQ(0, contend(self->store, locks + 1, 1, 1));
	/* Not the last one before it: it need not care. */
	end(waiters[1]);
	EXPECT_FALSE(readable(locks[1]));
	end(waiters[3]);
	EXPECT_TRUE(readable(locks[1]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[1], 0));
	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[1], 0));
	end(waiters[0]);
	end(waiters[2]);
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], PATIENCE_MS));
	free_all(locks, 2);
	EXPECT_EQ(0, keys_of(self->store));
}

/* The tickets of those that were killed do not heap up. */
TEST_F(store, queue_stays_short)
{
	struct mstore_lock *holder = new_lock(self->store, 1), *waiter;
	size_t size = 0;
	pid_t pid;

	ASSERT_EQ(1, mstore_lock_acquire(holder, 0));
	waiter = new_lock(self->store, 1);
	for (int i = 0; i < 10; i++) {
		pid = fork_contender(self->store, 1);
		ASSERT_LT(0, pid);
		EXPECT_EQ(0, mstore_lock_acquire(waiter, 0));
		end(pid);
		EXPECT_EQ(0, mstore_lock_acquire(waiter, 0));
		end(fork_contender(self->store, 1));
	}
	EXPECT_ERRNO(ERANGE, mstore_get(self->store, QUEUE, MSTORE_STRLEN, NULL, &size, NULL));
	EXPECT_GE(1 + 2 * 17, size);
	EXPECT_EQ(0, mstore_lock_release(waiter));
	mstore_lock_free(waiter);
	mstore_lock_free(holder);
}

/* Others change the queue */

TEST_F(store, queue_that_was_deleted)
{
	struct mstore_lock *locks[CONTENDERS];

	ASSERT_EQ(1, contend(self->store, locks, 3, 1));
	EXPECT_EQ(0, mstore_delete(self->store, QUEUE, MSTORE_STRLEN, NULL));
	ASSERT_EQ(0, contend(self->store, locks + 3, 2, 1));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	mstore_lock_release(locks[0]);
	for (int left = 4; left; left--) {
		int held = 0;

		/* Each goes when its descriptor says so, as in an event loop. */
		for (int i = 1; i < CONTENDERS && !held; i++)
			if (locks[i] && readable(locks[i]) &&
			    mstore_lock_acquire(locks[i], 0) == 1)
				held = i;
		for (int i = 1; i < CONTENDERS && !held; i++)
			if (locks[i] && readable(locks[i]) &&
			    mstore_lock_acquire(locks[i], 0) == 1)
				held = i;
		ASSERT_NE(0, held);
		mstore_lock_free(locks[held]);
		locks[held] = NULL;
	}
	mstore_lock_free(locks[0]);
	EXPECT_EQ(0, keys_of(self->store));
}

TEST_F(store, queue_that_is_none)
{
	static const char *const texts[] = {
		"", "x", "0", "65", "-1", "1 ", "1 18ec7a1b6a600d7", "1 18ec7a1b6a600d7x",
		"118ec7a1b6a600d761", NULL
	};
	struct mstore_lock *locks[2];

	ASSERT_EQ(1, contend(self->store, locks, 2, 1));
	for (int i = 0; texts[i]; i++) {
		EXPECT_EQ(0, mstore_set(self->store, QUEUE, MSTORE_STRLEN, texts[i],
					MSTORE_STRLEN, NULL));
		EXPECT_ERRNO(EPROTO, mstore_lock_acquire(locks[1], 0));
	}
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	EXPECT_EQ(0, mstore_delete(self->store, QUEUE, MSTORE_STRLEN, NULL));
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	free_all(locks, 2);
}

TEST_F(store, ticket_that_was_taken)
{
	struct mstore_lock *locks[3];

	ASSERT_EQ(1, contend(self->store, locks, 3, 1));
	EXPECT_EQ(0, mstore_flush(self->store, QUEUE "/", MSTORE_STRLEN, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_STEAL, NULL, NULL));
	EXPECT_EQ(0, mstore_lock_release(locks[0]));
	/* Both see that; one of them is before the other again. */
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0) + mstore_lock_acquire(locks[2], 0));
	free_all(locks, 3);
	EXPECT_EQ(0, keys_of(self->store));
}

TEST_F(store, lock_outlives_a_flush_of_subscriptions)
{
	struct mstore_lock *locks[3];

	ASSERT_EQ(1, contend(self->store, locks, 3, 1));
	EXPECT_EQ(0, mstore_flush(self->store, "", 0, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_SUBSCRIPTIONS, NULL, NULL));
	for (int i = 0; i < 3; i++)
		EXPECT_TRUE(readable(locks[i]));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	EXPECT_EQ(0, mstore_lock_acquire(locks[1], 0));
	EXPECT_EQ(0, mstore_lock_acquire(locks[2], 0));
	for (int i = 0; i < 3; i++)
		EXPECT_FALSE(readable(locks[i]));
	mstore_lock_free(locks[0]);
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], PATIENCE_MS));
	mstore_lock_free(locks[1]);
	EXPECT_EQ(1, mstore_lock_acquire(locks[2], PATIENCE_MS));
	mstore_lock_free(locks[2]);
}

/* A store that is too small */

TEST_F(store, more_waiters_than_the_queue_can_name)
{
	const struct mstore_limits limits = { .max_value = 1 + 2 * 17 };
	struct mstore *store = mstore_create(self->store, &limits, MSTORE_RDWR);
	struct mstore_lock *locks[4], *late;

	ASSERT_NE(NULL, store);
	ASSERT_EQ(1, contend(store, locks, 3, 1));
	late = new_lock(store, 1);
	EXPECT_ERRNO(EMSGSIZE, mstore_lock_acquire(late, 0));
	EXPECT_EQ(0, mstore_lock_release(late));
	mstore_lock_free(locks[0]);
	EXPECT_EQ(1, mstore_lock_acquire(locks[1], 0));
	EXPECT_EQ(0, mstore_lock_acquire(late, 0));
	mstore_lock_free(locks[1]);
	mstore_lock_free(locks[2]);
	EXPECT_EQ(1, mstore_lock_acquire(late, 0));
	mstore_lock_free(late);
	EXPECT_EQ(0, keys_of(store));
	mstore_close(store);
}

TEST_F(store, killed_waiters_leave_room_for_others)
{
	const struct mstore_limits limits = { .max_value = 1 + 2 * 17 };
	struct mstore *store = mstore_create(self->store, &limits, MSTORE_RDWR);
	struct mstore_lock *locks[2];
	pid_t waiters[2];

	ASSERT_EQ(1, contend(store, locks, 1, 1));
	for (int i = 0; i < 2; i++)
		waiters[i] = fork_contender(store, 1);
	for (int i = 0; i < 2; i++) {
		ASSERT_LT(0, waiters[i]);
		end(waiters[i]);
	}
	EXPECT_EQ(0, contend(store, locks + 1, 1, 1));
	free_all(locks, 2);
	EXPECT_EQ(0, keys_of(store));
	mstore_close(store);
}

TEST_F(store, no_room_for_a_ticket)
{
	const struct mstore_limits limits = { .max_keys = 2 };
	struct mstore *store = mstore_create(self->store, &limits, MSTORE_RDWR);
	struct mstore_lock *locks[2];

	ASSERT_NE(NULL, store);
	ASSERT_EQ(1, contend(store, locks, 1, 1));
	EXPECT_EQ(-ENOSPC, contend(store, locks + 1, 1, 1));
	EXPECT_EQ(1, mstore_lock_is_held(locks[0]));
	free_all(locks, 2);
	mstore_close(store);
}

TEST_HARNESS_MAIN
