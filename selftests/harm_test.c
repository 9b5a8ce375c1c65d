// SPDX-License-Identifier: GPL-2.0
/*
 * One user against another. An attacker has a uid and a control group of its own and makes
 * nothing but documented calls; a bystander, who has nothing to do with it, must not notice.
 * They share a store of one bucket, so that no attack has to find the bystander's.
 *
 * Figures in the comments: what the bystander suffered before it was mended, on 6.12 with
 * two emulated CPUs.
 */
#include "harm.h"

#define FILES	3960

/* Conflated, which takes longer */
static int subscribe_to_latest_of_all_prefixes(int fd)
{
	struct metastore_subscribe arg = {
		.key = ms_ptr(harm_key),
		.flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_LATEST,
	};
	int ret = 0;

	for (; arg.key_len <= METASTORE_KEY_MAX && !ret; arg.key_len++)
		ret = ms_ioctl(fd, METASTORE_IOC_SUBSCRIBE, &arg);
	return ret;
}

/*
 * 1. An atomic batch whose publisher is not let run while it tells 3,960 subscribers: other
 * atomic batches wait for it.
 */
static int set_mine_atomically(int fd)
{
	struct metastore_op op = ms_op_set("mine", "v");

	return ms_batch(fd, &op, 1, METASTORE_BATCH_ATOMIC, NULL);
}

static void publish_atomically(int store, int files)
{
	struct metastore_op op = ms_op_publish("crowd", "v");

	harm_crowd(store, files, harm_subscribe);
	harm_ready();
	while (!harm_is_over())
		ms_batch(store, &op, 1, METASTORE_BATCH_ATOMIC, NULL);
	_exit(0);
}

/* Before: 20.7 s, until the attack was called off; 14 ms in a good round without it */
TEST_F_TIMEOUT(harm, atomic_batches_of_a_throttled_user, 120)
{
	struct harm_figure without, with;
	int i;

	if (!harm_has("cpu"))
		SKIP(return, HARM_NO_CONTROLLER);
	ASSERT_TRUE(harm_measure(set_mine_atomically, self->fd, &without));
	if (harm_child(&harm_attacker, 1))
		publish_atomically(self->fd, FILES);
	for (i = 1; i < 4; i++)
		if (harm_child(&harm_attacker, 1))
			publish_atomically(self->fd, 0);
	ASSERT_TRUE(harm_begin());
	ASSERT_EQ(0, harm_throttle());
	ASSERT_TRUE(harm_measure(set_mine_atomically, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_NEVER_STUCK(&without, &with);
}

/*
 * 2. A publisher that is not let run while it reads subscriptions holds back memory that
 * others free: it piles up for a bystander who only subscribes and unsubscribes.
 */
static void publish_to_prefixes(int store)
{
	harm_crowd(store, 15, harm_subscribe_prefixes);
	harm_ready();
	while (!harm_is_over())
		ms_publishn(store, harm_key, METASTORE_KEY_MAX, "v", 1, NULL);
	_exit(0);
}

/* Before: 40,876 KiB stay charged to the bystander; 320 KiB without */
TEST_F_TIMEOUT(harm, memory_held_by_a_throttled_publisher, 120)
{
	if (!harm_has("cpu") || !harm_has("memory"))
		SKIP(return, HARM_NO_CONTROLLER);
	EXPECT_MEMORY_BACK(self->fd, publish_to_prefixes);
}

/* 4. Writers that wait for a key deliver for others, more and more under one spinlock */
static void publish_in_turn(int store)
{
	harm_ready();
	while (!harm_is_over())
		ms_publishn(store, harm_key, METASTORE_KEY_MAX, "v", 1, NULL);
	_exit(0);
}

/* Before: 145 ms; 4.9 ms without */
static void keep_key_busy(int store)
{
	int i;

	if (harm_child(&harm_attacker, 1)) {
		harm_crowd(store, 256, subscribe_to_latest_of_all_prefixes);
		publish_in_turn(store);
	}
	for (i = 0; i < 8; i++)
		if (harm_child(&harm_attacker, 1))
			publish_in_turn(store);
}

TEST_F_TIMEOUT(harm, writers_of_a_busy_key, 120)
{
	struct harm_figure without, with;

	ASSERT_TRUE(harm_measure_beside(keep_key_busy, harm_set, self->fd, &without));
	keep_key_busy(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(harm_set, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_HARMLESS_IN_BUCKET(&without, &with);
}

/* 4. A large event drops many small ones, in several queues under one spinlock */
#define SMALL	16384

static int subscribe_for_many_small_events(int fd)
{
	struct metastore_queue_info info = {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES,
		.max_len = SMALL,
		.max_bytes = MIB + 64 * KIB,
	};

	return ms_ioctl(fd, METASTORE_IOC_QUEUE, &info) ?: harm_subscribe(fd);
}

static void drop_many(int store)
{
	static char value[MIB];
	int i;

	harm_crowd(store, 24, subscribe_for_many_small_events);
	harm_ready();
	while (!harm_is_over()) {
		for (i = 0; i < SMALL; i++)
			ms_publish(store, "crowd", "", NULL);
		ms_publishn(store, "crowd", 5, value, sizeof(value), NULL);
	}
	_exit(0);
}

/* Before: 81 ms with 16 queues; 4.5 ms without */
static void drop_in_child(int store)
{
	if (harm_child(&harm_attacker, 1))
		drop_many(store);
}

TEST_F_TIMEOUT(harm, drops_of_many_small_events, 120)
{
	struct harm_figure without, with;

	/* So that there is at least one large event in each */
	harm.round = ms_limit(SECOND);
	ASSERT_TRUE(harm_measure_beside(drop_in_child, harm_set, self->fd, &without));
	drop_in_child(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(harm_set, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_HARMLESS_IN_BUCKET(&without, &with);
}

/* 6. Prefixes that do not match a key, but part from it at each bit */
static int set_long(int fd)
{
	return ms_setn(fd, harm_key, METASTORE_KEY_MAX, "v", 1, NULL);
}

static void subscribe_beside(int store)
{
	int fd = ms_reopen(store, O_RDONLY | O_NONBLOCK), bit, ret = 0;
	char prefix[METASTORE_KEY_MAX];

	for (bit = 0; bit < 8 * METASTORE_KEY_MAX && !ret; bit++) {
		memcpy(prefix, harm_key, sizeof(prefix));
		prefix[bit / 8] ^= 0x80 >> bit % 8;
		ret = ms_subscribe_prefixn(fd, prefix, bit / 8 + 1, EVENTS_ALL, bit);
	}
	harm_ready_and_wait();
}

/* Before: median 46 us; 2 us without */
TEST_F_TIMEOUT(harm, prefixes_that_do_not_match, 120)
{
	struct harm_figure without, with;

	ASSERT_TRUE(harm_measure(set_long, self->fd, &without));
	if (harm_child(&harm_attacker, 1))
		subscribe_beside(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(set_long, self->fd, &with));
	EXPECT_TRUE(harm_end());
	EXPECT_HARMLESS(&without, &with);
}

/* 7. A file that becomes lossless again and again has publishers begin anew, without end */
static int publish_at_once(int fd)
{
	struct metastore_set arg = { .flags = METASTORE_F_WAIT };

	return ms_store_with(fd, METASTORE_IOC_PUBLISH, "mine", "v", &arg);
}

static void expect_no_false_refusal(struct __test_metadata *_metadata,
				    struct _test_data_harm *self, void (*attack)(int fd))
{
	struct harm_figure without, with;
	int fds[64], i;

	for (i = 0; i < 64; i++) {
		fds[i] = ms_reopen(self->fd, O_RDONLY | O_NONBLOCK);
		ASSERT_EQ(0, ms_subscribe(fds[i], "mine", 0, 0));
	}
	ASSERT_TRUE(harm_measure(publish_at_once, self->fd, &without));
	if (harm_child(&harm_attacker, 1)) {
		int fd = ms_reopen(self->fd, O_RDWR | O_NONBLOCK);

		harm_ready();
		while (!harm_is_over())
			attack(fd);
		_exit(0);
	}
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(publish_at_once, self->fd, &with));
	EXPECT_TRUE(harm_end());
	ksft_print_msg("refused: %llu without, %llu with, of %llu\n", without.refused,
		       with.refused, with.calls);
	EXPECT_EQ(0, without.refused);
	EXPECT_HARMLESS(&without, &with);
}

static void switch_to_lossless(int fd)
{
	ms_queue_set_policy(fd, METASTORE_QUEUE_LOSSLESS);
	ms_queue_set_policy(fd, METASTORE_QUEUE_DROP_OLDEST);
}

/* Before: 558 of 21,155 refused; none without */
TEST_F_TIMEOUT(harm, file_that_becomes_lossless, 120)
{
	expect_no_false_refusal(_metadata, self, switch_to_lossless);
}

/* 8. Subscriptions that ended, but have losses to tell, stay beyond the limit of a file */
static __u32 subscribe_to_many(int fd, __u32 max)
{
	__u32 key;

	for (key = 0; key < max && !ms_subscriben(fd, &key, sizeof(key), EVENTS_ALL, key); key++)
		;
	return key;
}

/* Subscribes to a key, loses two events and ends it; again, so many times */
static __u32 lose_and_end(int fd, __u32 times)
{
	__u32 key;

	for (key = 0; key < times; key++) {
		if (ms_subscriben(fd, &key, sizeof(key), EVENTS_ALL, key))
			break;
		HARM_CHECK(!ms_setn(fd, &key, sizeof(key), "", 0, NULL) &&
			   !ms_deleten(fd, &key, sizeof(key), NULL) &&
			   !ms_unsubscriben(fd, &key, sizeof(key)));
	}
	return key;
}

/* Subscriptions of a file that has the most, after @ends that ended */
static void pin_subscriptions(int store, __u32 max, __u32 ends)
{
	int fd = ms_reopen(store, O_RDWR | O_NONBLOCK);
	__u64 before = harm_charged(&harm_attacker);

	HARM_CHECK(!ms_queue_set_len(fd, 1));
	harm.board->counts[0] = lose_and_end(fd, ends);
	harm.board->counts[1] = subscribe_to_many(fd, max);
	harm.board->counts[2] = harm_settled(&harm_attacker, ms_limit(SECOND / 2)) - before;
	_exit(0);
}

/* Before: 72,928 KiB; 40,100 KiB without those that ended */
TEST_F_TIMEOUT(harm, subscriptions_that_ended, 120)
{
	__u64 *counts = harm.board->counts, without;
	struct metastore_info info;

	if (!harm_has("memory"))
		SKIP(return, HARM_NO_CONTROLLER);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	if (harm_child(&harm_attacker, 1))
		pin_subscriptions(self->fd, info.max_subscriptions, 0);
	EXPECT_TRUE(harm_join());
	without = counts[2];
	EXPECT_LT(0, counts[1]);
	if (harm_child(&harm_attacker, 1))
		pin_subscriptions(self->fd, info.max_subscriptions, info.max_subscriptions);
	EXPECT_TRUE(harm_join());
	EXPECT_STREQ("", harm.board->error);
	ksft_print_msg("%llu subscriptions, %llu ended before: %llu KiB; none ended: %llu KiB\n",
		       counts[1], counts[0], counts[2] / KIB, without / KIB);
	EXPECT_GE(without + HARM_MEMORY, counts[2]);
}

/* 3. Events in the queues of another are charged to the publisher, queue after queue */
#define QUEUES	8
#define EACH	280	/* events, more than fit into a queue */

/* For each queue, once it is there, more than it takes */
static void publish_to_each(int fd)
{
	static char value[60000];
	__u64 *counts = harm.board->counts;
	int i, n;

	for (i = 0; i < QUEUES; i++) {
		harm_await_count(&counts[0], i + 1);
		for (n = 0; n < EACH; n++)
			counts[2] += ms_publishn(fd, "k", 1, value, sizeof(value), NULL) < 0;
		harm_set_count(&counts[1], i + 1);
	}
	counts[3] = harm_settled(&harm_bystander, ms_limit(SECOND / 2));
}

static int make_large(int fd, __u32 policy)
{
	struct metastore_queue_info info = {
		.flags = METASTORE_QUEUE_SET_BYTES | METASTORE_QUEUE_SET_POLICY,
		.policy = policy,
		.max_bytes = 16 * MIB,
	};

	return ms_ioctl(fd, METASTORE_IOC_QUEUE, &info);
}

static void open_large_queues(int store, __u32 policy)
{
	__u64 *counts = harm.board->counts;
	int i, fd;

	harm_ready();
	for (i = 0; i < QUEUES; i++) {
		fd = ms_reopen(store, O_RDONLY | O_NONBLOCK);
		if (fd >= 0 && !make_large(fd, policy))
			ms_subscribe(fd, "k", 0, 0);
		harm_set_count(&counts[0], i + 1);
		harm_await_count(&counts[1], i + 1);
		/* A queue that drops keeps what it has all the same */
		ms_unsubscribe(fd, "k");
	}
	while (!harm_is_over())
		ms_sleep(SECOND / 100);
	_exit(0);
}

static void expect_reader_pays(struct __test_metadata *_metadata, struct _test_data_harm *self,
			       __u32 policy)
{
	__u64 *counts = harm.board->counts, without;

	ASSERT_EQ(0, ms_cgroup_write(harm_group(&harm_attacker), "memory.max", 64 * MIB));
	ASSERT_EQ(0, ms_cgroup_write(harm_group(&harm_bystander), "memory.max", 64 * MIB));
	counts[0] = QUEUES;
	ASSERT_TRUE(harm_run(&harm_bystander, publish_to_each, self->fd));
	without = counts[3];
	EXPECT_EQ(0, counts[2]);
	memset(counts, 0, sizeof(harm.board->counts));
	if (harm_child(&harm_attacker, 1))
		open_large_queues(self->fd, policy);
	ASSERT_TRUE(harm_begin());
	EXPECT_TRUE(harm_run(&harm_bystander, publish_to_each, self->fd));
	EXPECT_EQ(QUEUES, counts[1]);
	/* The attacker pays until its group is full, and may have been killed for that. */
	harm_end();
	ksft_print_msg("refused: %llu of %u\n", counts[2], QUEUES * EACH);
	EXPECT_EQ(0, counts[2]);
	EXPECT_NO_MORE_MEMORY(without, counts[3]);
}

/* Before: 65,536 KiB charged, 1,215 of 2,240 refused; 284 KiB and none without */
TEST_F_TIMEOUT(harm, lossless_queues_of_others, 120)
{
	if (!harm_has("memory"))
		SKIP(return, HARM_NO_CONTROLLER);
	expect_reader_pays(_metadata, self, METASTORE_QUEUE_LOSSLESS);
}

/* Before: the same, by queues that drop the oldest */
TEST_F_TIMEOUT(harm, queues_of_others_that_ended_their_subscription, 120)
{
	if (!harm_has("memory"))
		SKIP(return, HARM_NO_CONTROLLER);
	expect_reader_pays(_metadata, self, METASTORE_QUEUE_DROP_OLDEST);
}

/* 5. Memory of values that another deleted is kept, and not given back to a full group */
#define KEPT		8192
#define KEPT_LEN	400	/* for which there is 512 */

static void map_and_use(__u64 size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 i;

	HARM_CHECK(p != MAP_FAILED);
	for (i = 0; i < size; i += 4096)
		p[i] = 1;
	munmap(p, size);
}

static void set_and_map(int fd)
{
	static char value[KEPT_LEN];
	__u64 *counts = harm.board->counts, key, room;

	room = 12 * MIB - harm_charged(&harm_bystander) - 2 * MIB;
	for (key = 0; key < KEPT; key++)
		HARM_CHECK(!ms_setn(fd, &key, sizeof(key), value, sizeof(value), NULL));
	harm_set_count(&counts[0], 1);
	harm_await_count(&counts[1], 1);
	HARM_CHECK(!ms_await_readers());
	counts[2] = harm_charged(&harm_bystander);
	map_and_use(room);
	counts[3] = 1;
}

static void delete_all(int store)
{
	__u64 key;

	harm_ready();
	harm_await_count(&harm.board->counts[0], 1);
	for (key = 0; key < KEPT; key++)
		ms_deleten(store, &key, sizeof(key), NULL);
	harm_set_count(&harm.board->counts[1], 1);
	_exit(0);
}

/* Before: killed in each of 3 tries, with up to 8,848 KiB charged for what is gone */
TEST_F_TIMEOUT(harm, memory_of_deleted_values, 120)
{
	__u64 *counts = harm.board->counts;
	int i;

	if (!harm_has("memory"))
		SKIP(return, HARM_NO_CONTROLLER);
	ASSERT_EQ(0, ms_cgroup_write(harm_group(&harm_bystander), "memory.max", 12 * MIB));
	/* The cache frees unneeded memory each second, which may be just now */
	for (i = 0; i < 3; i++) {
		memset(counts, 0, sizeof(harm.board->counts));
		if (harm_child(&harm_attacker, 1))
			delete_all(self->fd);
		ASSERT_TRUE(harm_begin());
		EXPECT_TRUE(harm_run(&harm_bystander, set_and_map, self->fd));
		EXPECT_TRUE(harm_end());
		EXPECT_STREQ("", harm.board->error);
		EXPECT_EQ(1, counts[3]);
		ksft_print_msg("charged for values that are gone: %llu KiB\n", counts[2] / KIB);
	}
	EXPECT_EQ(0, ms_cgroup_read(harm_group(&harm_bystander), "memory.events", "oom_kill"));
}

/* 10. Room that is claimed in 262,144 places is sorted in one go: others wait for the CPU */
static int sleep_a_little(int fd)
{
	(void)fd;
	ms_sleep(SECOND / 1000);
	return 0;
}

static int subscribe_lossless_to_all_prefixes(int fd)
{
	return ms_queue_set_len(fd, 256) ?:
	       ms_queue_set_policy(fd, METASTORE_QUEUE_LOSSLESS) ?: harm_subscribe_prefixes(fd);
}

/* The last to be asked for room, as the oldest subscriber to the longest prefix. It has none. */
static void subscribe_without_room(int store)
{
	int fd = ms_reopen(store, O_RDONLY | O_NONBLOCK);

	HARM_CHECK(!ms_queue_set_len(fd, 1) &&
		   !ms_queue_set_policy(fd, METASTORE_QUEUE_LOSSLESS) &&
		   !ms_subscribe_prefixn(fd, harm_key, METASTORE_KEY_MAX, 0, 0));
	HARM_CHECK(ms_publishn(store, harm_key, METASTORE_KEY_MAX, "", 0, NULL) == 1);
}

static void claim_in_vain(int store)
{
	struct metastore_set arg;

	subscribe_without_room(store);
	harm_crowd(store, ms_times(1024), subscribe_lossless_to_all_prefixes);
	harm_ready();
	while (!harm_is_over()) {
		arg = (struct metastore_set) {
			.key = ms_ptr(harm_key),
			.key_len = METASTORE_KEY_MAX,
			.flags = METASTORE_F_WAIT,
		};
		ms_ioctl(store, METASTORE_IOC_PUBLISH, &arg);
	}
	_exit(0);
}

/* Before: 48 ms with half as many; 8.4 ms without */
TEST_F_TIMEOUT(harm, claims_in_many_queues, 120)
{
	struct harm_figure without, with;

	ASSERT_TRUE(harm_measure(sleep_a_little, self->fd, &without));
	if (harm_child(&harm_attacker, 0))
		claim_in_vain(self->fd);
	ASSERT_TRUE(harm_begin());
	ASSERT_TRUE(harm_measure(sleep_a_little, self->fd, &with));
	EXPECT_TRUE(harm_end());
	/* The attacker takes one of two CPUs: it is about the worst. */
	harm_expect_harmless(_metadata, &without, &with, HARM_NOISE);
}

TEST_HARNESS_MAIN
