// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: a crowd that waits for one lock. Each contender is a process, which takes a
 * slot once and ends, or is killed.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "lib_keys_test.h"

#define MOST	500

#define MS	1000000L

/* Shared by all of them */
static struct board {
	int count;
	bool go;			/* all have joined: the first ones may give back */
	bool joined[MOST];
	bool killed[MOST];		/* it may be; written before that */
	bool holds[MOST];
	uint64_t events[MOST];		/* that its lock's descriptor had for it */
	int served;			/* took a slot */
	int most;			/* most that held a slot at a time */
	int failed;			/* the first that could not, from 1 */
	int error;
} *board;

static pid_t pids[MOST];

static void sleep_ms(long ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS };

	nanosleep(&time, NULL);
}

static bool prepare(int count)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (board == MAP_FAILED)
		return false;
	board->count = count;
	return true;
}

/* How many hold a slot now. One that is to be killed may end any moment. */
static int holders(void)
{
	int count = 0;

	for (int i = 0; i < board->count; i++)
		count += __atomic_load_n(&board->holds[i], __ATOMIC_SEQ_CST) &&
			 !__atomic_load_n(&board->killed[i], __ATOMIC_SEQ_CST);
	return count;
}

static void look_around(void)
{
	int now = holders(), most = __atomic_load_n(&board->most, __ATOMIC_SEQ_CST);

	while (now > most && !__atomic_compare_exchange_n(&board->most, &most, now, false,
							  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

/* How many events its lock got, read or not. */
static uint64_t events_of(const struct mstore_lock *lock)
{
	struct mstore *watch = mstore_open_fd(dup(mstore_lock_fd(lock)));
	struct mstore_queue_info info = { 0 };

	mstore_queue_info(watch, &info);
	mstore_close(watch);
	return info.matched;
}

static void hold_for(int me, long ms)
{
	__atomic_store_n(&board->holds[me], true, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&board->served, 1, __ATOMIC_SEQ_CST);
	look_around();
	while (!__atomic_load_n(&board->go, __ATOMIC_SEQ_CST))
		sleep_ms(5);
	sleep_ms(ms);
	look_around();
	__atomic_store_n(&board->holds[me], false, __ATOMIC_SEQ_CST);
}

static void contend(int me, struct mstore *store, int slots, long ms)
{
	const struct mstore_lock_options options = { .slots = slots };
	struct mstore_lock *lock = mstore_lock_new(store, KEY, strlen(KEY), &options);
	int ret = lock ? mstore_lock_acquire(lock, 0) : -1;

	__atomic_store_n(&board->joined[me], true, __ATOMIC_SEQ_CST);
	if (!ret)
		ret = mstore_lock_acquire(lock, -1);
	if (ret < 0) {
		board->error = errno;
		board->failed = me + 1;
		_exit(1);
	}
	board->events[me] = events_of(lock);
	hold_for(me, ms);
	mstore_lock_free(lock);
	_exit(0);
}

/* All enter the queue, one behind the other. */
static bool gather(struct mstore *store, int slots, long ms)
{
	for (int i = 0; i < board->count; i++) {
		pids[i] = fork_child();
		if (pids[i] < 0)
			return false;
		if (!pids[i])
			contend(i, store, slots, ms);
		while (!__atomic_load_n(&board->joined[i], __ATOMIC_SEQ_CST))
			sleep_ms(1);
	}
	__atomic_store_n(&board->go, true, __ATOMIC_SEQ_CST);
	return true;
}

/* Joins those that have ended. Returns how many are left. */
static int left(void)
{
	int count = 0;

	for (int i = 0; i < board->count; i++) {
		if (pids[i] && waitpid(pids[i], NULL, WNOHANG) == pids[i])
			pids[i] = 0;
		count += !!pids[i];
	}
	return count;
}

/* Kills one of those that have not ended. Returns whether there was one. */
static bool kill_any(void)
{
	int alive[MOST], count = 0, one;

	for (int i = 0; i < board->count; i++)
		if (pids[i] && !board->killed[i])
			alive[count++] = i;
	if (!count)
		return false;
	one = alive[rand() % count];
	__atomic_store_n(&board->killed[one], true, __ATOMIC_SEQ_CST);
	kill(pids[one], SIGKILL);
	return true;
}

/* One that takes a slot deletes its ticket. That of a killed one has another cause. */
static int watch_order(struct mstore *store)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_PREFIX,
		.events = MSTORE_EVENT_BY_DELETE,
	};

	return mstore_subscribe_with(store, KEY ".lock/", MSTORE_STRLEN, &options);
}

/* Returns how many took a slot from the queue, or -1 if one did before its turn. */
static int tickets_in_order(struct mstore *store, struct mstore_event_buffer *buffer)
{
	const struct mstore_event *event = NULL;
	char last[MSTORE_KEY_MAX] = "";
	const char *key;
	int count = 0;
	size_t len;

	while (mstore_read_events(store, buffer) > 0) {
		while ((event = mstore_event_next(buffer, event))) {
			key = mstore_event_key(event, &len);
			if (mstore_event_type(event) != MSTORE_EVENT_DELETED ||
			    memcmp(last, key, len) >= 0)
				return -1;
			memcpy(last, key, len);
			count++;
		}
	}
	return count;
}

static int killed(void)
{
	int count = 0;

	for (int i = 0; i < board->count; i++)
		count += board->killed[i];
	return count;
}

/* One is killed each 50 ms, until none is left. Each holds its slot for @ms. */
static bool run(struct mstore *store, int slots, long ms)
{
	int64_t patience = 20LL * 600 * ms_slowness();

	if (!gather(store, slots, ms))
		return false;
	while (left() && patience--) {
		sleep_ms(50);
		kill_any();
	}
	while (kill_any())
		;
	while (left())
		sleep_ms(1);
	return patience >= 0;
}

static void tell(int slots)
{
	uint64_t events = 0;

	for (int i = 0; i < board->count; i++)
		events += board->events[i];
	printf("# %d waiters, %d slots: %d served, %d killed, at most %d holders, %llu events\n",
	       board->count, slots, board->served, killed(), board->most,
	       (unsigned long long)events);
}

FIXTURE_VARIANT(store)
{
	int slots;
};

FIXTURE_VARIANT_ADD(store, exclusive)
{
	.slots = 1,
};

FIXTURE_VARIANT_ADD(store, three_slots)
{
	.slots = 3,
};

TEST_F_TIMEOUT(store, crowd_of_which_some_are_killed, 170)
{
	ASSERT_TRUE(prepare(ms_size(60, MOST)));
	ASSERT_EQ(0, watch_order(self->store));
	EXPECT_TRUE(run(self->store, variant->slots, 40L * variant->slots));
	tell(variant->slots);
	EXPECT_EQ(0, board->failed);
	EXPECT_EQ(0, board->error);
	EXPECT_EQ(variant->slots, board->most);
	/* The first one may have found no queue. */
	EXPECT_LE(board->served - 1, tickets_in_order(self->store, self->buffer));
	/* Some were served, some killed, and nobody was left out. */
	EXPECT_LE(board->count, board->served + killed());
	EXPECT_LT(board->count / 10, board->served);
	EXPECT_LT(board->count / 10, killed());
	EXPECT_TRUE(holds(self->store, NULL));
}

/*
 * Each is woken twice: when it becomes the first one, and when a slot is free. Others may give
 * slots back before it looks. A herd would be woken some @count * @count / 2 times.
 */
TEST_F_TIMEOUT(store, no_herd, 170)
{
	uint64_t events = 0;

	ASSERT_TRUE(prepare(ms_size(60, MOST)));
	ASSERT_EQ(0, watch_order(self->store));
	ASSERT_TRUE(gather(self->store, variant->slots, 5));
	while (left())
		sleep_ms(10);
	tell(variant->slots);
	EXPECT_EQ(0, board->failed);
	EXPECT_EQ(board->count, board->served);
	EXPECT_LE(board->count - 1, tickets_in_order(self->store, self->buffer));
	for (int i = 0; i < board->count; i++) {
		if (variant->slots == 1)
			EXPECT_GE(2, (int)board->events[i]);
		events += board->events[i];
	}
	EXPECT_GE(2U * board->count, events);
}

TEST_HARNESS_MAIN
