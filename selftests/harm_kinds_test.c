// SPDX-License-Identifier: GPL-2.0
/*
 * Further attacks of the kinds that harm_test has: work of somebody else's size under a
 * lock, in a reader's section or on a kernel worker, and room of all that one user takes.
 *
 * Figures in the comments: what the bystander suffered before it was mended, on 6.12 with
 * two emulated CPUs.
 */
#include <sys/epoll.h>

#include "harm.h"

/*
 * An attack that begins as attackers are forked by @attack, on a call of the bystander that
 * takes the lock of its bucket @locks times
 */
static void expect_harmless(struct __test_metadata *_metadata, struct _test_data_harm *self,
			    int (*call)(int fd), void (*attack)(int store), __u32 locks)
{
	struct harm_figure without, with;

	ASSERT_TRUE(harm_measure_beside(attack, call, self->fd, &without));
	attack(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(call, self->fd, &with));
	EXPECT_TRUE(harm_end());
	harm_expect_harmless(_metadata, &without, &with, locks * HARM_SECTION);
}

/*
 * Each event wakes all who poll, under the locks of queue and bucket: here 64 files, each
 * in 500 epoll instances.
 */
#define POLLED		64
#define POLLERS		500

static int polled[POLLED];
static int nr_polled;

static int subscribe_polled(int fd)
{
	polled[nr_polled++] = fd;
	return harm_subscribe(fd);
}

static void poll_all(int store)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int i, k, epoll;

	harm_crowd(store, POLLED, subscribe_polled);
	for (i = 0; i < POLLERS; i++) {
		epoll = epoll_create1(EPOLL_CLOEXEC);
		for (k = 0; k < nr_polled && epoll >= 0; k++)
			epoll_ctl(epoll, EPOLL_CTL_ADD, polled[k], &event);
	}
}

static void wake_many(int store)
{
	if (!harm_child(&harm_attacker, 1))
		return;
	poll_all(store);
	harm_ready();
	while (!harm_is_over())
		ms_publish(store, "crowd", "v", NULL);
	_exit(0);
}

/* Before: 274 ms; 15 ms without */
TEST_F_TIMEOUT(harm, files_that_many_poll, 120)
{
	expect_harmless(_metadata, self, harm_set, wake_many, 1);
}

/* Room in a queue wakes all publishers of the store that wait, under the queue's lock */
#define WAITERS		1000U

static int subscribe_lossless(int fd, const char *key)
{
	return ms_queue_set_len(fd, 1) ?: ms_queue_set_policy(fd, METASTORE_QUEUE_LOSSLESS) ?:
	       ms_subscribe(fd, key, 0, 0);
}

static int publish_waiting(int fd, const char *key, __u32 timeout)
{
	struct metastore_set arg = { .flags = METASTORE_F_WAIT, .timeout = timeout };

	return ms_store_with(fd, METASTORE_IOC_PUBLISH, key, "v", &arg);
}

static void wait_for_room(int store)
{
	int fd = ms_reopen(store, O_RDWR);

	harm_ready();
	publish_waiting(fd, "full", METASTORE_WAIT_FOREVER);
	_exit(0);
}

static void let_many_wait(int store)
{
	__u32 i, waiters = ms_times(WAITERS);

	if (harm_child(&harm_attacker, 1)) {
		int fd = ms_reopen(store, O_RDWR);

		if (!subscribe_lossless(fd, "full"))
			publish_waiting(fd, "full", 0);
		harm_set_count(&harm.board->counts[0], 1);
		harm_ready_and_wait();
	}
	harm_await_count(&harm.board->counts[0], 1);
	for (i = 0; i < waiters; i++)
		if (harm_child(&harm_attacker, 1))
			wait_for_room(store);
}

/* A reader who makes room for a publisher of its own */
static int make_room(int fd)
{
	static int queue = -1, writer;
	char buf[128];

	if (queue < 0) {
		queue = ms_reopen(fd, O_RDONLY | O_NONBLOCK);
		writer = ms_reopen(fd, O_RDWR | O_NONBLOCK);
		if (queue < 0 || writer < 0 || subscribe_lossless(queue, "mine"))
			return -1;
		publish_waiting(writer, "mine", 0);
	}
	if (publish_waiting(writer, "mine", 0) != -EAGAIN)
		return -1;
	if (ms_read(queue, buf, sizeof(buf)) <= 0)
		return -1;
	return publish_waiting(writer, "mine", 0);
}

/* Before: not measured yet */
TEST_F_TIMEOUT(harm, publishers_that_wait, 120)
{
	expect_harmless(_metadata, self, make_room, let_many_wait, 1);
}

/* Deliveries under way, of many keys of the bucket: each writer looks through them */
#define PUBLISHERS	1500U
#define TOLD		2000

static int subscribe_to_many_keys(int fd)
{
	return ms_subscribe_prefix(fd, "a", EVENTS_ALL, 0);
}

static void publish_one_each(int store)
{
	__u32 i, publishers = ms_times(PUBLISHERS);
	char key[32];

	if (harm_child(&harm_attacker, 1)) {
		harm_crowd(store, TOLD, subscribe_to_many_keys);
		harm_set_count(&harm.board->counts[0], 1);
		harm_ready_and_wait();
	}
	harm_await_count(&harm.board->counts[0], 1);
	for (i = 0; i < publishers; i++) {
		if (!harm_child(&harm_attacker, 1))
			continue;
		snprintf(key, sizeof(key), "a%u", i);
		harm_ready();
		while (!harm_is_over())
			ms_set(store, key, "v", NULL);
		_exit(0);
	}
}

/* Before: not measured yet with throttled publishers; 76 ms, 18 ms without, with others that run */
TEST_F_TIMEOUT(harm, deliveries_of_many_keys, 120)
{
	struct harm_figure without, with;

	if (!harm_has("cpu"))
		SKIP(return, HARM_NO_CONTROLLER);
	ASSERT_TRUE(harm_measure(harm_set, self->fd, &without));
	publish_one_each(self->fd);
	ASSERT_TRUE(harm_begin());
	/* Until each is amid a delivery, where it stays */
	ms_sleep(5 * SECOND);
	ASSERT_EQ(0, harm_throttle());
	ASSERT_TRUE(harm_measure(harm_set, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_HARMLESS(&without, &with);
}

/* All events of an atomic batch go to a file under one hold of the locks: here 8,192 */
#define GROUP	32

static void publish_groups(int store)
{
	static char keys[GROUP][METASTORE_KEY_MAX];
	struct metastore_op ops[GROUP];
	int i;

	if (!harm_child(&harm_attacker, 1))
		return;
	harm_crowd(store, 4, harm_subscribe_prefixes);
	for (i = 0; i < GROUP; i++) {
		memcpy(keys[i], harm_key, sizeof(keys[i]));
		keys[i][METASTORE_KEY_MAX - 1] = i;
	}
	harm_ready();
	while (!harm_is_over()) {
		for (i = 0; i < GROUP; i++)
			ops[i] = (struct metastore_op) {
				.op = METASTORE_OP_PUBLISH,
				.key = ms_ptr(keys[i]),
				.key_len = METASTORE_KEY_MAX,
			};
		ms_batch(store, ops, GROUP, METASTORE_BATCH_ATOMIC, NULL);
	}
	_exit(0);
}

/* Before: 109 ms; 9.6 ms without */
TEST_F_TIMEOUT(harm, atomic_batches_to_one_file, 120)
{
	expect_harmless(_metadata, self, harm_set, publish_groups, 1);
}

/* A user who takes all the memory there is for private stores, or all of a store */
static void create_stores(int store)
{
	__u32 buckets;

	if (!harm_child(&harm_attacker, 1))
		return;
	for (buckets = 65536; buckets; buckets /= 2)
		while (ms_create(store, O_RDWR, (struct metastore_create) {
				.buckets = buckets }) >= 0)
			;
	harm_ready_and_wait();
}

static int create_one(int fd)
{
	int ret = ms_create(fd, O_RDWR, (struct metastore_create) { .buckets = 1 });

	return close(ret) ? ret : 0;
}

/* Before: each of 281,716 refused */
TEST_F_TIMEOUT(harm, private_stores_of_one_user, 120)
{
	struct harm_figure without, with;

	/* An attack on the machine */
	ASSERT_TRUE(harm_measure(create_one, self->fd, &without));
	create_stores(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(create_one, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_HARMLESS(&without, &with);
}

/*
 * Further sections of a reader that others make long: a snapshot without a match, room that is
 * claimed, and an atomic batch
 */
#define OTHERS	200000U

static void read_snapshots(int store)
{
	__u32 key, others = ms_times(OTHERS);
	char buf[4096];
	int fd;

	for (key = 0; key < others && !ms_setn(store, &key, sizeof(key), "", 0, NULL); key++)
		;
	harm_ready();
	while (!harm_is_over()) {
		fd = ms_reopen(store, O_RDONLY | O_NONBLOCK);
		ms_subscribe_as(fd, "no such prefix",
				.flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT);
		ms_read(fd, buf, sizeof(buf));
		close(fd);
	}
}

static void claim_room(int store)
{
	struct metastore_set arg;

	harm_ready();
	while (!harm_is_over()) {
		arg = (struct metastore_set) {
			.key = ms_ptr(harm_key),
			.key_len = METASTORE_KEY_MAX,
			.flags = METASTORE_F_WAIT,
		};
		ms_ioctl(store, METASTORE_IOC_PUBLISH, &arg);
	}
}

static void publish_atomically(int store)
{
	struct metastore_op op = ms_op_publish("crowd", "v");

	harm_crowd(store, 3000, harm_subscribe);
	harm_ready();
	while (!harm_is_over())
		ms_batch(store, &op, 1, METASTORE_BATCH_ATOMIC, NULL);
}

FIXTURE(harm_throttled)
{
	int fd;
};

FIXTURE_SETUP(harm_throttled)
{
	ASSERT_TRUE(harm_init());
	self->fd = harm_store();
	ASSERT_LE(0, self->fd);
	if (!harm_has("cpu") || !harm_has("memory"))
		SKIP(return, HARM_NO_CONTROLLER);
}

FIXTURE_TEARDOWN(harm_throttled)
{
	harm_exit();
	close(self->fd);
}

/* Before: 40,728 KiB; 240 KiB without */
TEST_F_TIMEOUT(harm_throttled, memory_held_by_a_reader_of_a_snapshot, 120)
{
	EXPECT_MEMORY_BACK(self->fd, read_snapshots);
}

static void claim_room_of_many(int store)
{
	harm_crowd(store, 15, harm_subscribe_prefixes);
	claim_room(store);
}

/* Before: 40,760 KiB; 144 KiB without */
TEST_F_TIMEOUT(harm_throttled, memory_held_by_a_publisher_that_claims_room, 120)
{
	EXPECT_MEMORY_BACK(self->fd, claim_room_of_many);
}

/* Before: 40,708 KiB; 488 KiB without */
TEST_F_TIMEOUT(harm_throttled, memory_held_by_an_atomic_batch, 120)
{
	EXPECT_MEMORY_BACK(self->fd, publish_atomically);
}

/*
 * Publishers who claim room in all queues they are to reach, that of a bystander among them,
 * and are not let run before they use it
 */
#define CLAIMERS	16

/* Events that the bystander's queue holds */
#define ROOM		8

static void claim_room_in_turn(int store)
{
	int i;

	for (i = 1; i < CLAIMERS; i++) {
		if (!harm_child(&harm_attacker, 1))
			continue;
		claim_room(store);
		_exit(0);
	}
	if (!harm_child(&harm_attacker, 1))
		return;
	harm_crowd(store, 15, harm_subscribe_prefixes);
	claim_room(store);
	_exit(0);
}

/* A reader who reads all that there is, and then has room for an event of its own */
static int publish_and_read(int fd)
{
	static int queue = -1;
	char buf[4096];
	int ret;

	if (queue < 0) {
		queue = ms_reopen(fd, O_RDONLY | O_NONBLOCK);
		if (queue < 0 || ms_queue_set_len(queue, ROOM) ||
		    ms_queue_set_policy(queue, METASTORE_QUEUE_LOSSLESS) ||
		    ms_subscribe_prefix(queue, "", 0, 0))
			return -1;
	}
	ret = publish_waiting(fd, "mine", 0);
	while (ms_read(queue, buf, sizeof(buf)) > 0)
		;
	return ret;
}

/* Each read wakes the attackers, by a worker. Before: not measured */
TEST_F_TIMEOUT(harm_throttled, claims_in_a_queue_of_another, 120)
{
	struct harm_figure without, with;

	ASSERT_TRUE(harm_measure(publish_and_read, self->fd, &without));
	claim_room_in_turn(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_EQ(0, harm_throttle());
	ASSERT_TRUE(harm_measure(publish_and_read, self->fd, &with));
	EXPECT_TRUE(harm_end());
	ksft_print_msg("refused: %llu without, %llu with, of %llu\n", without.refused,
		       with.refused, with.calls);
	EXPECT_EQ(0, without.refused);
	/* It locks the bucket to reserve room, and to publish. */
	harm_expect_harmless(_metadata, &without, &with, 2 * HARM_SECTION);
}

/* Not to wait for a delivery that is under way is what held before, at the price of memory */
static int leave_busy_key(int fd)
{
	int file = ms_reopen(fd, O_RDONLY | O_NONBLOCK), other = ms_reopen(fd, O_RDONLY);
	int ret = ms_subscribe(file, "crowd", 0, 0) ?: ms_subscribe(other, "crowd", 0, 0) ?:
		  ms_unsubscribe(file, "crowd");

	close(file);
	close(other);
	return ret;
}

/* Before: 8 ms; 17 ms without */
TEST_F_TIMEOUT(harm_throttled, subscriber_that_leaves, 120)
{
	struct harm_figure without, with;

	ASSERT_TRUE(harm_measure(leave_busy_key, self->fd, &without));
	if (harm_child(&harm_attacker, 1)) {
		publish_atomically(self->fd);
		_exit(0);
	}
	ASSERT_TRUE(harm_begin());
	ASSERT_EQ(0, harm_throttle());
	ASSERT_TRUE(harm_measure(leave_busy_key, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_NEVER_STUCK(&without, &with);
}

/* A snapshot completes the deliveries of all keys it meets, one after the other */
#define BUSY		60U
#define TOLD_OF_BUSY	2000

static int subscribe_to_busy(int fd)
{
	return ms_subscribe_prefix(fd, "busy", EVENTS_ALL, 0);
}

static void keep_keys_busy(int store)
{
	char key[32];
	__u32 i;

	if (harm_child(&harm_attacker, 1)) {
		harm_crowd(store, TOLD_OF_BUSY, subscribe_to_busy);
		harm_set_count(&harm.board->counts[0], 1);
		harm_ready_and_wait();
	}
	harm_await_count(&harm.board->counts[0], 1);
	for (i = 0; i < BUSY; i++) {
		if (!harm_child(&harm_attacker, 1))
			continue;
		snprintf(key, sizeof(key), "busy %u", i);
		harm_ready();
		while (!harm_is_over())
			ms_set(store, key, "v", NULL);
		_exit(0);
	}
}

static int read_snapshot(int fd)
{
	int file = ms_reopen(fd, O_RDONLY | O_NONBLOCK);
	static char buf[65536];
	int ret;

	ret = ms_subscribe_as(file, "", .events = METASTORE_EVENT_BY_OWNER,
			      .flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT);
	if (ret)
		return ret;
	while ((ret = ms_read(file, buf, sizeof(buf))) > 0)
		;
	close(file);
	return ret == -EAGAIN ? 0 : ret;
}

/* Before: 267 ms; 14 ms without. As a median: 0.5 ms; 0.14 ms without */
TEST_F_TIMEOUT(harm, snapshot_of_busy_keys, 120)
{
	char key[32];
	__u32 i;

	for (i = 0; i < BUSY; i++) {
		snprintf(key, sizeof(key), "busy %u", i);
		ASSERT_EQ(0, ms_set(self->fd, key, "v", NULL));
	}
	expect_harmless(_metadata, self, read_snapshot, keep_keys_busy, BUSY);
}

TEST_HARNESS_MAIN
