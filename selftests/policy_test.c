// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of events that nobody reads yet: the latest alone, the oldest dropped,
 * none lost; queues of other sizes; and the books, which say it all.
 */
#include <ctype.h>

#include "crew.h"

#define PREFIX		METASTORE_SUBSCRIBE_PREFIX
#define LATEST		METASTORE_SUBSCRIBE_LATEST

FIXTURE(policy)
{
	int fd;
	struct ms_reader r;
	struct metastore_queue_info q;
	struct metastore_subscription_info s;
};

FIXTURE_SETUP(policy)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(policy)
{
	close(self->fd);
}

static int latest(int fd, const char *key, __u32 flags, __u64 cookie)
{
	return ms_subscribe_as(fd, key, .events = EVENTS_ALL, .cookie = cookie,
			       .flags = LATEST | flags);
}

#define EXPECT_QUEUE(matched_, delivered_, conflated_, lost_, pending_) \
	do { \
		ASSERT_EQ(0, ms_queue(self->fd, &self->q)); \
		EXPECT_EQ(matched_, self->q.matched); \
		EXPECT_EQ(delivered_, self->q.delivered); \
		EXPECT_EQ(conflated_, self->q.conflated); \
		EXPECT_EQ(lost_, self->q.lost); \
		EXPECT_EQ(pending_, self->q.pending); \
		EXPECT_EQ(self->q.pending, self->q.len); \
	} while (0)

#define EXPECT_BOOKS(key, flags, matched_, delivered_, conflated_, lost_, pending_) \
	do { \
		ASSERT_EQ(0, ms_subscription(self->fd, key, flags, &self->s)); \
		EXPECT_EQ(matched_, self->s.matched); \
		EXPECT_EQ(delivered_, self->s.delivered); \
		EXPECT_EQ(conflated_, self->s.conflated); \
		EXPECT_EQ(lost_, self->s.lost); \
		EXPECT_EQ(pending_, self->s.pending); \
	} while (0)

TEST_F(policy, latest_exact)
{
	__u64 version;
	int i;

	ASSERT_EQ(0, latest(self->fd, "key", 0, 1));
	ASSERT_EQ(0, latest(self->fd, "two", 0, 2));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(1, ms_publish(self->fd, "key", "value", NULL));
		ASSERT_EQ(0, ms_set(self->fd, "two", "value", NULL));
	}
	ASSERT_EQ(0, ms_set(self->fd, "key", "last", &version));
	EXPECT_QUEUE(21, 0, 19, 0, 2);
	EXPECT_EQ(2, self->q.high_len);
	EXPECT_BOOKS("key", 0, 11, 0, 10, 0, 1);
	/* The place is that of the one that waited */
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .version = version,
		     .key = "key", .value = "last");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2,
		     .version = ms_version(self->fd, "two"), .key = "two", .value = "value");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_QUEUE(21, 2, 19, 0, 0);
	EXPECT_BOOKS("key", 0, 11, 1, 10, 0, 0);

	ASSERT_EQ(0, ms_set(self->fd, "key", "again", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "key", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 1, .version = version,
		     .key = "key", .value = "again");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Whatever else comes, and however little the queue holds */
TEST_F(policy, latest_exact_is_never_lost)
{
	__u64 version;
	int i;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 1));
	ASSERT_EQ(0, latest(self->fd, "key", 0, 1));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_set(self->fd, "key", "value", &version));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, ms_set(self->fd, "other", "", NULL));
	EXPECT_QUEUE(102, 0, 0, 100, 2);
	EXPECT_BOOKS("key", 0, 1, 0, 0, 0, 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 2, .version = 100);
	for (i = 0; i < 2; i++) {
		const struct metastore_event *ev = ms_next(&self->r);

		ASSERT_TRUE(!!ev);
		EXPECT_EQ(ev->cookie == 1 ? version : ms_version(self->fd, "other"), ev->version);
	}
	EXPECT_TRUE(ms_silent(self->fd));

	/* Nor when those that come first may not be dropped */
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "value", &version));
	EXPECT_BOOKS("key", 0, 11, 1, 9, 0, 1);
	EXPECT_BOOKS("", PREFIX, 111, 1, 0, 109, 1);
}

/* What is refused has not made room first */
TEST_F(policy, latest_exact_twice)
{
	int i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "other", 0, 1));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", 0, 2));
	ASSERT_EQ(0, ms_queue(self->fd, &self->q));
	for (i = 0; i < (int)self->q.max_len; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "other", "x", NULL));
	EXPECT_EQ(-EEXIST, latest(self->fd, "key", 0, 2));
	EXPECT_QUEUE(i, 0, 0, 0, i);
}

/* The largest that can come fits the place that is reserved */
TEST_F(policy, latest_exact_largest)
{
	struct metastore_create limits = {
		.max_value = 2000,
		.queue_len = 8,
		.queue_bytes = 2 * (2000 + METASTORE_KEY_MAX + METASTORE_VALUE_OVERHEAD +
				    METASTORE_TIE_OVERHEAD),
	};
	char key[METASTORE_KEY_MAX], value[2000];
	int store = ms_create(self->fd, O_RDWR | O_NONBLOCK, limits), i;
	struct metastore_set arg = {
		.key = ms_ptr(key),
		.value = ms_ptr(value),
		.key_len = sizeof(key),
		.value_len = sizeof(value),
		.flags = METASTORE_F_OWNED,
		.ttl = 1000000,
	};
	struct metastore_subscribe sub = {
		.key = ms_ptr(key),
		.key_len = sizeof(key),
		.events = EVENTS_ALL,
		.cookie = 1,
		.flags = LATEST,
	};
	const struct metastore_event *ev;

	ASSERT_LE(0, store);
	memset(key, 'k', sizeof(key));
	memset(value, 'v', sizeof(value));
	ASSERT_EQ(0, ms_ioctl(store, METASTORE_IOC_SUBSCRIBE, &sub));
	ASSERT_EQ(0, ms_subscribe_prefix(store, "n", EVENTS_ALL, 2));
	for (i = 0; i < 20; i++)
		ASSERT_EQ(0, ms_setn(store, "noise", 5, value, 40 * i, NULL));
	ASSERT_EQ(0, ms_ioctl(store, METASTORE_IOC_SET, &arg));
	ASSERT_EQ(0, ms_ioctl(store, METASTORE_IOC_SET, &arg));
	ASSERT_EQ(0, ms_queue(store, &self->q));
	EXPECT_EQ(limits.queue_bytes, self->q.max_bytes);
	EXPECT_GE(limits.queue_bytes, self->q.bytes);
	EXPECT_LE(limits.queue_bytes / 2, self->q.bytes);
	EXPECT_EQ(1, self->q.conflated);
	self->r.fd = store;
	do {
		ev = ms_next(&self->r);
	} while (ev && ev->cookie != 1);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(arg.version, ev->version);
	EXPECT_EQ(2000, ev->value_len);
	close(store);
}

TEST_F(policy, latest_of_prefix)
{
	__u64 a, b, c;

	ASSERT_EQ(0, latest(self->fd, "", PREFIX, 1));
	ASSERT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "b", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a", "2", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "c", "1", &c));
	ASSERT_EQ(0, ms_delete(self->fd, "b", &b));
	ASSERT_EQ(0, ms_set(self->fd, "a", "3", &a));
	EXPECT_QUEUE(6, 0, 3, 0, 3);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .version = a,
		     .key = "a", .value = "3");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 1, .version = b,
		     .key = "b", .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .version = c,
		     .key = "c", .value = "1");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_QUEUE(6, 3, 3, 0, 0);
	EXPECT_BOOKS("", PREFIX, 6, 3, 3, 0, 0);
}

/* Each subscription has its own latest, and a plain one has all */
TEST_F(policy, latest_of_nested)
{
	int i;

	ASSERT_EQ(0, latest(self->fd, "key", 0, 1));
	ASSERT_EQ(0, latest(self->fd, "key", PREFIX, 2));
	ASSERT_EQ(0, latest(self->fd, "k", PREFIX, 3));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 4));
	for (i = 0; i < 5; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	EXPECT_QUEUE(20, 0, 12, 0, 8);
	EXPECT_BOOKS("key", 0, 5, 0, 4, 0, 1);
	EXPECT_BOOKS("key", PREFIX, 5, 0, 4, 0, 1);
	EXPECT_BOOKS("k", PREFIX, 5, 0, 4, 0, 1);
	EXPECT_BOOKS("", PREFIX, 5, 0, 0, 0, 5);
}

/* A batch stays together beside events that may be replaced, which are none of it */
TEST_F(policy, batch_beside_latest)
{
	struct metastore_op ops[] = {
		ms_op_set("plain.1", ""),
		ms_op_set("latest.1", ""),
		ms_op_set("exact", ""),
		ms_op_set("plain.2", ""),
		ms_op_set("latest.2", ""),
	};
	const struct metastore_event *ev;
	int i, round, plain;

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "plain.", EVENTS_ALL, 1));
	ASSERT_EQ(0, latest(self->fd, "latest.", PREFIX, 2));
	ASSERT_EQ(0, latest(self->fd, "exact", 0, 3));
	for (round = 0; round < 3; round++)
		ASSERT_EQ(0, ms_batch(self->fd, ops, 5, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_QUEUE(15, 0, 6, 0, 9);
	for (i = 0, plain = 0; i < 9; i++) {
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		EXPECT_EQ(ev->cookie == 1 && plain % 2 == 0 ? METASTORE_EVENT_F_MORE : 0,
			  ev->flags);
		/* Nothing comes between */
		EXPECT_TRUE(ev->cookie == 1 || plain % 2 == 0);
		plain += ev->cookie == 1;
	}
	EXPECT_EQ(6, plain);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Reads a batch of three, one record at a time; @come, if any, is called after the first */
static void read_in_pieces(struct __test_metadata *_metadata, struct _test_data_policy *self,
			   int (*come)(int fd))
{
	struct metastore_op ops[] = {
		ms_op_set("plain.1", ""), ms_op_set("plain.2", ""), ms_op_set("plain.3", ""),
	};
	struct ms_reader r = ms_reader(self->fd, 100);
	int i;

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "plain.", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, METASTORE_BATCH_ATOMIC, NULL));
	for (i = 0; i < 3; i++) {
		EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 1,
			     .flags = i < 2 ? METASTORE_EVENT_F_MORE : 0,
			     .key = (char *)(uintptr_t)ops[i].key);
		if (!i && come)
			ASSERT_EQ(0, come(self->fd));
	}
}

static int come_latest(int fd)
{
	return latest(fd, "exact", 0, 2) ?: ms_set(fd, "exact", "", NULL);
}

/* An event with a place of its own, which has its turn after one of the ring's */
TEST_F(policy, batch_in_pieces_beside_latest)
{
	read_in_pieces(_metadata, self, come_latest);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "exact");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The same when it has waited since before the batch */
TEST_F(policy, batch_in_pieces_behind_latest)
{
	ASSERT_EQ(0, come_latest(self->fd));
	read_in_pieces(_metadata, self, NULL);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "exact");
	EXPECT_TRUE(ms_silent(self->fd));
}

static int come_snapshot(int fd)
{
	return ms_subscribe_as(fd, "old", .events = EVENTS_ALL, .cookie = 2,
			       .flags = METASTORE_SUBSCRIBE_SNAPSHOT);
}

/* And so have the values of a snapshot */
TEST_F(policy, batch_in_pieces_beside_snapshot)
{
	ASSERT_EQ(0, ms_set(self->fd, "old", "", NULL));
	read_in_pieces(_metadata, self, come_snapshot);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 2, .key = "old");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 2);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Of more keys than the queue holds those are lost that have waited longest */
TEST_F(policy, latest_of_prefix_overflows)
{
	static const char * const keys[] = { "a", "b", "c", "d", "e" };
	int round;
	size_t i;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 3));
	ASSERT_EQ(0, latest(self->fd, "", PREFIX, 1));
	for (i = 0; i < 5; i++)
		for (round = 0; round < 2; round++)
			ASSERT_EQ(0, ms_set(self->fd, keys[i], "", NULL));
	EXPECT_QUEUE(10, 0, 5, 2, 3);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 2);
	for (i = 2; i < 5; i++)
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1,
			     .version = ms_version(self->fd, keys[i]), .key = keys[i]);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_QUEUE(10, 3, 5, 2, 0);
}

/* An event counts its true size, but 4096 / (10 + 1) at least */
#define LEAST	372
#define LONG	3000
#define COUNTS	(LONG + 3 + METASTORE_VALUE_OVERHEAD)

TEST_F(policy, latest_that_is_longer)
{
	char value[LONG] = "";
	const struct metastore_event *ev;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 10));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 4096));
	ASSERT_EQ(0, latest(self->fd, "k.", PREFIX, 1));
	ASSERT_EQ(0, ms_set(self->fd, "k.a", "", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k.b", "", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k.c", "", NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "k.b", 3, value, LONG, NULL));
	EXPECT_QUEUE(4, 0, 1, 0, 3);
	EXPECT_EQ(2 * LEAST + COUNTS, self->q.bytes);

	/* For this one those ahead must go */
	ASSERT_EQ(0, ms_setn(self->fd, "k.c", 3, value, LONG, NULL));
	EXPECT_QUEUE(5, 0, 2, 2, 1);
	EXPECT_EQ(COUNTS, self->q.bytes);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 2);
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(LONG, ev->value_len);
	EXPECT_EQ(0, memcmp("k.c", ms_event_key(ev), 3));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_QUEUE(5, 1, 2, 2, 0);
	EXPECT_EQ(0, self->q.bytes);

	/* If it is itself the oldest it is as if it had not waited */
	ASSERT_EQ(0, ms_set(self->fd, "k.a", "", NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "k.b", 3, value, LONG, NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "k.a", 3, value, LONG, NULL));
	EXPECT_QUEUE(8, 1, 3, 3, 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(LONG, ev->value_len);
	EXPECT_EQ(0, memcmp("k.a", ms_event_key(ev), 3));
	EXPECT_TRUE(ms_silent(self->fd));

	/* The one that became shorter makes room again */
	ASSERT_EQ(0, ms_setn(self->fd, "k.a", 3, value, LONG, NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k.a", "", NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "k.b", 3, value, LONG, NULL));
	EXPECT_QUEUE(11, 2, 4, 3, 2);
	EXPECT_EQ(LEAST + COUNTS, self->q.bytes);
}

/* Where nothing may be dropped it is the longer one that is lost: the shorter one waits on */
TEST_F(policy, lossless_that_is_longer)
{
	char value[3500] = "";
	__u64 version;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 10));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 4096));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ms_subscribe(self->fd, "plain", EVENTS_ALL, 1));
	ASSERT_EQ(0, latest(self->fd, "k.", PREFIX, 2));
	ASSERT_EQ(0, ms_set(self->fd, "plain", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "plain", "2", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k.", "short", &version));
	ASSERT_EQ(0, ms_setn(self->fd, "k.", 2, value, sizeof(value), NULL));
	EXPECT_BOOKS("plain", 0, 2, 0, 0, 0, 2);
	EXPECT_BOOKS("k.", PREFIX, 2, 0, 0, 1, 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 2, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .key = "plain",
		     .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .key = "plain",
		     .value = "2");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .version = version,
		     .key = "k.", .value = "short");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(policy, larger_than_the_queue)
{
	char value[5000] = "";

	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 4096));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "key", "", NULL));
	EXPECT_EQ(0, ms_publishn(self->fd, "key", 3, value, sizeof(value), NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "key", "", NULL));
	EXPECT_QUEUE(3, 0, 0, 1, 2);
}

/* What has no room is lost itself, and the publisher is told that it was not taken */
TEST_F(policy, lossless)
{
	__u64 versions[3];
	int i;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 3));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	ASSERT_EQ(0, latest(self->fd, "", PREFIX, 2));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, ""));
		ASSERT_EQ(1, ms_publish(self->fd, "key", "value", &versions[i]));
		ASSERT_EQ(0, latest(self->fd, "", PREFIX, 2));
	}
	EXPECT_EQ(0, ms_publish(self->fd, "key", "value", NULL));
	EXPECT_EQ(0, ms_publish(self->fd, "two", "value", NULL));
	EXPECT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	EXPECT_BOOKS("key", 0, 5, 0, 0, 2, 3);
	EXPECT_BOOKS("", PREFIX, 3, 0, 0, 3, 0);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 2);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 2, .version = 3);
	for (i = 0; i < 3; i++)
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1,
			     .version = versions[i], .key = "key", .value = "value");
	EXPECT_TRUE(ms_silent(self->fd));

	/* A latest value of a key that waits needs no place, only the bytes */
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "key"));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(1, ms_publish(self->fd, "a", "value", NULL));
		ASSERT_EQ(1, ms_publish(self->fd, "b", "value", NULL));
		ASSERT_EQ(1, ms_publish(self->fd, "c", "value", NULL));
		ASSERT_EQ(0, ms_publish(self->fd, "d", "value", NULL));
	}
	EXPECT_BOOKS("", PREFIX, 23, 0, 12, 8, 3);

	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_DROP_OLDEST));
	EXPECT_EQ(1, ms_publish(self->fd, "d", "value", NULL));
	EXPECT_BOOKS("", PREFIX, 24, 0, 12, 9, 3);
}

/* What waits is kept, as much as fits, in its order */
TEST_F(policy, resize)
{
	struct metastore_queue_info info = {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES,
		.max_len = 8,
		.max_bytes = 90000,
	};
	__u64 versions[20];
	int i;

	/* Before there is a subscription, too */
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 5));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	for (i = 0; i < 7; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "value", &versions[i]));
	EXPECT_QUEUE(7, 0, 0, 2, 5);
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_QUEUE, &info));
	EXPECT_EQ(8, info.max_len);
	EXPECT_EQ(90000, info.max_bytes);
	EXPECT_EQ(5, info.len);
	EXPECT_EQ(5 * 10000, info.bytes);
	for (; i < 10; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "value", &versions[i]));
	EXPECT_QUEUE(10, 0, 0, 2, 8);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 4));
	EXPECT_QUEUE(10, 0, 0, 6, 4);
	EXPECT_EQ(8, self->q.high_len);
	EXPECT_EQ(4 * 18000, self->q.bytes);
	ASSERT_EQ(0, ms_set(self->fd, "key", "value", &versions[i++]));
	EXPECT_QUEUE(11, 0, 0, 7, 4);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 7);
	for (i = 7; i < 11; i++)
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1,
			     .version = versions[i], .key = "key", .value = "value");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(policy, resize_in_bytes)
{
	char value[1000] = "";
	int i;

	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 20000));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	for (i = 0; i < 30; i++)
		ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, sizeof(value), NULL));
	EXPECT_QUEUE(30, 0, 0, 11, 19);
	EXPECT_EQ(19 * (1003 + METASTORE_VALUE_OVERHEAD), self->q.bytes);
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 10000));
	EXPECT_QUEUE(30, 0, 0, 21, 9);
	EXPECT_EQ(9 * (1003 + METASTORE_VALUE_OVERHEAD), self->q.bytes);
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 4096));
	EXPECT_QUEUE(30, 0, 0, 27, 3);
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 20000));
	EXPECT_QUEUE(30, 0, 0, 27, 3);
}

/* What was found before is found afterwards */
TEST_F(policy, resize_with_latest)
{
	static const __u32 lens[] = { 20, 3, 1000, 7, 5 };
	char key[] = "a";
	size_t i;
	int k;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 10));
	/* Events that wait when the first such subscription comes are none of it */
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "p", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_set(self->fd, "p", "", NULL));
	ASSERT_EQ(0, latest(self->fd, "", PREFIX, 2));
	for (k = 0; k < 3; k++, key[0]++)
		ASSERT_EQ(0, ms_set(self->fd, key, "", NULL));
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		ASSERT_EQ(0, ms_queue_set_len(self->fd, lens[i]));
		for (k = 0, key[0] = 'a'; k < 3; k++, key[0]++)
			ASSERT_EQ(0, ms_set(self->fd, key, "", NULL));
	}
	EXPECT_BOOKS("", PREFIX, 18, 0, 15, 0, 3);
	EXPECT_BOOKS("p", PREFIX, 1, 0, 0, 1, 0);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	for (k = 0, key[0] = 'a'; k < 3; k++, key[0]++)
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2,
			     .version = ms_version(self->fd, key), .key = key);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* In ms, with the resolution of the clock tick; how much a busy machine adds is open */
TEST_F(policy, oldest)
{
	__u64 before, most;
	int i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	ASSERT_EQ(0, latest(self->fd, "two", 0, 1));
	ASSERT_EQ(0, ms_queue(self->fd, &self->q));
	EXPECT_EQ(0, self->q.oldest);
	for (i = 0; i < 2; i++) {
		const char *key = i ? "two" : "key";

		before = ms_now(CLOCK_MONOTONIC);
		ASSERT_EQ(0, ms_set(self->fd, key, "", NULL));
		ASSERT_EQ(0, ms_queue(self->fd, &self->q));
		EXPECT_LE(1, self->q.oldest);
		do {
			ms_sleep(SECOND / 100);
			ASSERT_EQ(0, ms_queue(self->fd, &self->q));
			most = (ms_now(CLOCK_MONOTONIC) - before) / 1000000 + ms_limit(1000);
		} while (self->q.oldest < 50 && most < ms_limit(20000));
		EXPECT_LE(50, self->q.oldest);
		EXPECT_GE(most, self->q.oldest);
		/* A newer one in its place is as old */
		ASSERT_EQ(0, ms_set(self->fd, key, "", NULL));
		ASSERT_EQ(0, ms_queue(self->fd, &self->q));
		EXPECT_LE(50, self->q.oldest);
		while (ms_next(&self->r))
			;
		ASSERT_EQ(0, ms_queue(self->fd, &self->q));
		EXPECT_EQ(0, self->q.oldest);
	}
}

/* A subscription's books end with it, the file's go on */
TEST_F(policy, books_of_ended_subscriptions)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	ASSERT_EQ(0, latest(self->fd, "two", 0, 2));
	ASSERT_EQ(0, ms_set(self->fd, "key", "", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "two", "", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "two", "", NULL));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "key"));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "two"));
	EXPECT_EQ(-ENOENT, ms_subscription(self->fd, "key", 0, &self->s));
	EXPECT_QUEUE(3, 0, 1, 0, 2);
	EXPECT_EQ(0, self->q.subscriptions);

	/* What waits of the one before is not of the next one, nor replaced by it */
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 3));
	ASSERT_EQ(0, latest(self->fd, "two", 0, 4));
	EXPECT_BOOKS("key", 0, 0, 0, 0, 0, 0);
	ASSERT_EQ(0, ms_set(self->fd, "two", "", NULL));
	EXPECT_QUEUE(4, 0, 1, 0, 3);
	EXPECT_EQ(2, self->q.subscriptions);
	EXPECT_BOOKS("two", 0, 1, 0, 0, 0, 1);
	while (ms_next(&self->r))
		;
	EXPECT_QUEUE(4, 3, 1, 0, 0);
	EXPECT_BOOKS("two", 0, 1, 1, 0, 0, 0);
}

/* FLUSHED is behind all that waited, wherever it did */
TEST_F(policy, flushed_comes_last)
{
	struct metastore_flush flush;
	int i, events = 0;
	const struct metastore_event *ev;

	ASSERT_EQ(0, latest(self->fd, "a", 0, 1));
	ASSERT_EQ(0, latest(self->fd, "b", 0, 2));
	ASSERT_EQ(0, latest(self->fd, "", PREFIX, 3));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "a", EVENTS_ALL, 4));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, ms_set(self->fd, "a", "", NULL));
		ASSERT_EQ(0, ms_set(self->fd, "b", "", NULL));
	}
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_EQ(4, flush.subscriptions);
	while ((ev = ms_next(&self->r)) && ev->type != METASTORE_EVENT_FLUSHED)
		events++;
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(4, ev->count);
	/* Of the first two and of the prefix's two keys the last, of "a" all four */
	EXPECT_EQ(2 + 2 + 4, events);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* What a reader has not got is lost on the books as well */
TEST_F(policy, books_after_efault)
{
	char *page = ms_guarded(1);
	struct ms_books books = {};
	int i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page + 4096, 4096));
	ASSERT_EQ(0, ms_queue(self->fd, &self->q));
	EXPECT_LT(0, self->q.lost);
	EXPECT_EQ(100, self->q.lost + self->q.pending);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(books.lost, self->q.lost);
	EXPECT_QUEUE(100, books.received, 0, books.lost, 0);
	EXPECT_BOOKS("key", 0, 100, books.received, 0, books.lost, 0);
}

/* A field of a line; the rest of @line stays */
static bool same(const char *line, const char *name, __u64 number)
{
	char field[32];
	__u64 is;

	return sscanf(line, "%31[^:]:\t%llu", field, &is) != 2 || strcmp(field, name) ||
	       is == number;
}

static __u32 unescape(const char *text, __u8 *key)
{
	__u32 len = 0;
	int code;

	for (; *text && *text != '\n'; text++) {
		if (*text == '\\' && sscanf(text + 1, "%3o", &code) == 1) {
			key[len++] = code;
			text += 3;
		} else if (isgraph(*text)) {
			key[len++] = *text;
		}
	}
	return len;
}

/* Whether a line of a subscription says what SUBSCRIPTION does */
static bool line_agrees(int fd, const char *line)
{
	struct metastore_subscription_info is = {}, tells;
	__u8 key[256];
	int at = 0;

	if (sscanf(line, "subscription:\t%llu %x %x %llu %llu %llu %llu %llu %llu %n",
		   &tells.cookie, &tells.events, &tells.flags, &tells.matched,
		   &tells.delivered, &tells.conflated, &tells.lost, &tells.pending,
		   &tells.discarded, &at) != 9 ||
	    !at)
		return false;
	is.key = ms_ptr(key);
	is.key_len = unescape(line + at, key);
	is.flags = tells.flags & PREFIX;
	return !ms_ioctl(fd, METASTORE_IOC_SUBSCRIPTION, &is) && is.cookie == tells.cookie &&
	       is.events == tells.events && is.flags == tells.flags &&
	       is.matched == tells.matched && is.delivered == tells.delivered &&
	       is.conflated == tells.conflated && is.lost == tells.lost &&
	       is.discarded == tells.discarded && is.pending == tells.pending;
}

/* Whether fdinfo says what QUEUE and SUBSCRIPTION do; nothing may happen meanwhile */
static bool fdinfo_agrees(int fd)
{
	char path[64], line[2048];
	struct metastore_queue_info q;
	__u32 subscriptions = 0, lines = 0;
	bool agrees = true;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	if (!f || ms_queue(fd, &q))
		return false;
	while (fgets(line, sizeof(line), f)) {
		lines++;
		if (!strncmp(line, "subscription:", 13)) {
			subscriptions++;
			agrees &= line_agrees(fd, line);
			continue;
		}
		if (!strncmp(line, "policy:", 7)) {
			agrees &= !strcmp(line, q.policy == METASTORE_QUEUE_LOSSLESS ?
					  "policy:\tlossless\n" : "policy:\tdrop-oldest\n");
			continue;
		}
		agrees &= same(line, "events", q.len) && same(line, "bytes", q.bytes) &&
			  same(line, "lost", q.lost) && same(line, "max_len", q.max_len) &&
			  same(line, "max_bytes", q.max_bytes) &&
			  same(line, "high_len", q.high_len) && same(line, "matched", q.matched) &&
			  same(line, "delivered", q.delivered) &&
			  same(line, "conflated", q.conflated) &&
			  same(line, "discarded", q.discarded) &&
			  same(line, "pending", q.pending) &&
			  same(line, "subscriptions", q.subscriptions);
	}
	fclose(f);
	return agrees && subscriptions == q.subscriptions && lines > 13 + subscriptions &&
	       q.matched == q.delivered + q.conflated + q.lost + q.discarded + q.pending &&
	       q.len == q.pending && ms_fdinfo(fd, "conflated") == (long long)q.conflated &&
	       ms_fdinfo(fd, "max_bytes") == q.max_bytes &&
	       ms_fdinfo(fd, "high_len") == q.high_len;
}

TEST_F(policy, fdinfo)
{
	char key[METASTORE_KEY_MAX];
	int i;

	EXPECT_TRUE(fdinfo_agrees(self->fd));
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 20));
	for (i = 0; i < METASTORE_KEY_MAX; i++)
		key[i] = i;
	ASSERT_EQ(0, ms_subscriben(self->fd, key, sizeof(key), EVENTS_ALL, ~0ULL));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, key, 100, METASTORE_EVENT_BY_OWNER, 3));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "back\\slash and blank", .cookie = 4,
				     .flags = METASTORE_SUBSCRIBE_SNAPSHOT | LATEST |
					      METASTORE_SUBSCRIBE_NO_VALUE));
	ASSERT_EQ(0, latest(self->fd, "k", PREFIX, 5));
	EXPECT_TRUE(fdinfo_agrees(self->fd));
	for (i = 0; i < 30; i++) {
		ASSERT_EQ(0, ms_setn(self->fd, key, sizeof(key), key, i, NULL));
		ASSERT_EQ(0, ms_set(self->fd, "k", "", NULL));
	}
	EXPECT_TRUE(fdinfo_agrees(self->fd));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	EXPECT_TRUE(fdinfo_agrees(self->fd));
	while (ms_next(&self->r))
		;
	EXPECT_TRUE(fdinfo_agrees(self->fd));
}

/* More subscriptions than fit the buffer that fdinfo is first given */
TEST_F(policy, fdinfo_of_many)
{
	__u32 i;

	for (i = 0; i < 2000; i++)
		ASSERT_EQ(0, i % 2 ? ms_subscriben(self->fd, &i, sizeof(i), EVENTS_ALL, i) :
			  ms_subscribe_prefixn(self->fd, &i, sizeof(i), EVENTS_ALL, i));
	EXPECT_TRUE(fdinfo_agrees(self->fd));
}

/*
 * Whatever happens to a queue, against a model of it. Keys of three kinds, each with a
 * subscription: the latest of a prefix, all of a prefix, and the latest of one key.
 */
#define KINDS	3
#define OF_KIND	6
#define MOST	20

struct event {
	int kind;
	int key;
	__u64 version;
};

struct model {
	struct event ring[MOST];
	int len;
	int max_len;
	bool lossless;
	__u64 latest;			/* version of the one that waits; 0: none */
	__u64 untold[KINDS];
	struct metastore_subscription_info books[KINDS];
};

static const char * const topics[KINDS] = { "latest.", "plain.", "exact" };

static void lose(struct model *model, int kind)
{
	model->books[kind].lost++;
	model->books[kind].pending--;
	model->untold[kind]++;
}

static struct event remove_oldest(struct model *model)
{
	struct event oldest = model->ring[0];

	memmove(model->ring, model->ring + 1, --model->len * sizeof(oldest));
	return oldest;
}

static void come(struct model *model, struct event event)
{
	struct metastore_subscription_info *books = &model->books[event.kind];
	int i;

	books->matched++;
	if (event.kind == 2) {
		*(model->latest ? &books->conflated : &books->pending) += 1;
		model->latest = event.version;
		return;
	}
	for (i = 0; event.kind == 0 && i < model->len; i++) {
		if (model->ring[i].kind == 0 && model->ring[i].key == event.key) {
			books->conflated++;
			model->ring[i] = event;
			return;
		}
	}
	books->pending++;
	if (model->len == model->max_len && model->lossless) {
		lose(model, event.kind);
		return;
	}
	if (model->len == model->max_len)
		lose(model, remove_oldest(model).kind);
	model->ring[model->len++] = event;
}

static bool set_any(int fd, struct model *model)
{
	struct event event = { .kind = rand() % KINDS, .key = rand() % OF_KIND };
	char key[32];

	snprintf(key, sizeof(key), "%s", topics[event.kind]);
	if (event.kind != 2)
		snprintf(key, sizeof(key), "%s%d", topics[event.kind], event.key);
	if (ms_set(fd, key, "value", &event.version))
		return false;
	come(model, event);
	return true;
}

static bool resize_any(int fd, struct model *model)
{
	int len = 1 + rand() % MOST, ret = ms_queue_set_len(fd, len);

	if (model->lossless && model->len > len)
		return ret == -EBUSY;
	if (ret)
		return false;
	model->max_len = len;
	while (model->len > len)
		lose(model, remove_oldest(model).kind);
	return true;
}

static bool read_any(int fd, struct model *model)
{
	int size = ms_pending(fd);
	__u64 buf[64];
	struct metastore_event *ev = (void *)buf;
	int kind;

	if (!size)
		return !model->len && !model->latest && ms_silent(fd);
	if (ms_read(fd, buf, size) != size)
		return false;
	kind = ev->cookie;
	if (ev->type == METASTORE_EVENT_LOST) {
		if (ev->count != model->untold[kind])
			return false;
		model->untold[kind] = 0;
		return true;
	}
	/* First it is said what was lost */
	if (model->untold[0] || model->untold[1])
		return false;
	model->books[kind].delivered++;
	model->books[kind].pending--;
	if (kind == 2) {
		if (ev->version != model->latest)
			return false;
		model->latest = 0;
		return true;
	}
	return model->len && remove_oldest(model).version == ev->version;
}

static bool books_agree(int fd, const struct model *model)
{
	struct metastore_subscription_info s;
	const struct metastore_subscription_info *books;
	struct metastore_queue_info q;
	__u64 sums[5] = {};
	int i;

	for (i = 0; i < KINDS; i++) {
		books = &model->books[i];
		if (ms_subscription(fd, topics[i], i == 2 ? 0 : PREFIX, &s) ||
		    s.matched != books->matched || s.delivered != books->delivered ||
		    s.conflated != books->conflated || s.lost != books->lost ||
		    s.pending != books->pending)
			return false;
		sums[0] += s.matched;
		sums[1] += s.delivered;
		sums[2] += s.conflated;
		sums[3] += s.lost;
		sums[4] += s.pending;
	}
	return !ms_queue(fd, &q) && q.matched == sums[0] && q.delivered == sums[1] &&
	       q.conflated == sums[2] && q.lost == sums[3] && q.pending == sums[4] &&
	       q.matched == q.delivered + q.conflated + q.lost + q.pending &&
	       q.len == (__u32)(model->len + !!model->latest);
}

TEST_F(policy, random)
{
	struct model model = { .max_len = 5 };
	int step, steps = 500 + ms_size(4000, 1000000);

	srand(ms_full() ? time(NULL) : 1);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, model.max_len));
	/* So much that the place of the one key's takes no other's */
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 16 << 20));
	ASSERT_EQ(0, latest(self->fd, topics[0], PREFIX, 0));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, topics[1], EVENTS_ALL, 1));
	ASSERT_EQ(0, latest(self->fd, topics[2], 0, 2));
	for (step = 0; step < steps; step++) {
		int what = rand() % 100;

		if (what < 2) {
			ASSERT_TRUE(resize_any(self->fd, &model));
		} else if (what < 4) {
			model.lossless = rand() % 2;
			ASSERT_EQ(0, ms_queue_set_policy(self->fd, model.lossless));
		} else if (what < 40) {
			ASSERT_TRUE(read_any(self->fd, &model));
		} else {
			ASSERT_TRUE(set_any(self->fd, &model));
		}
		ASSERT_TRUE(books_agree(self->fd, &model));
		if (step % 32 == 0)
			ASSERT_TRUE(fdinfo_agrees(self->fd));
	}
}

/* A publisher goes on, and each of its numbers is read or counted as lost */
TEST_F(policy, resize_while_events_come)
{
	__u64 number, numbers = 500 + ms_times(5000), last = 0;
	const struct metastore_event *ev;
	struct ms_books books = {};
	bool good = true;

	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 1));
	if (crew_child()) {
		for (number = 1; number <= numbers; number++)
			CHECK(!ms_setn(self->fd, "key", 3, &number, sizeof(number), NULL));
		crew_finish();
		_exit(0);
	}
	crew_start();
	while (good && (!crew_done() || ms_pending(self->fd))) {
		good &= !ms_queue_set_len(self->fd, 1 + rand() % 100);
		good &= !ms_queue_set_bytes(self->fd, 4096 + rand() % 100000);
		while (good && rand() % 16 && (ev = ms_next(&self->r))) {
			if (ev->type == METASTORE_EVENT_LOST) {
				books.lost += ev->count;
				continue;
			}
			memcpy(&number, ms_event_value(ev), sizeof(number));
			books.received++;
			good &= number > last;
			last = number;
		}
	}
	EXPECT_TRUE(good);
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(numbers, books.received + books.lost);
	EXPECT_QUEUE(numbers, books.received, 0, books.lost, 0);
}

TEST_HARNESS_MAIN
