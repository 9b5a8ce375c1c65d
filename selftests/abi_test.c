// SPDX-License-Identifier: GPL-2.0
/*
 * The layout of the interface, which may never change, and every operation
 * once. Built for 32 bits too and run on the same 64-bit kernel, where it
 * shows that neither structures nor commands depend on the word size.
 */
#include <assert.h>
#include <stddef.h>

#include "metastore_test.h"

#define SIZE(type, bytes) \
	static_assert(sizeof(struct metastore_##type) == (bytes), #type)
#define FIELD(type, field, offset) \
	static_assert(offsetof(struct metastore_##type, field) == (offset), #type "." #field)

SIZE(previous, 24);
FIELD(previous, value, 0);
FIELD(previous, version, 8);
FIELD(previous, len, 16);
FIELD(previous, owner, 20);

SIZE(set, 80);
FIELD(set, key, 0);
FIELD(set, value, 8);
FIELD(set, key_len, 16);
FIELD(set, value_len, 20);
FIELD(set, flags, 24);
FIELD(set, queues, 28);
FIELD(set, version, 32);
FIELD(set, ttl, 40);
FIELD(set, timeout, 48);
FIELD(set, deadline, 52);
FIELD(set, previous, 56);

SIZE(get, 64);
FIELD(get, key, 0);
FIELD(get, value, 8);
FIELD(get, key_len, 16);
FIELD(get, value_len, 20);
FIELD(get, flags, 24);
FIELD(get, owner, 28);
FIELD(get, version, 32);
FIELD(get, ttl, 40);
FIELD(get, time, 48);
FIELD(get, tgid, 56);
FIELD(get, uid, 60);

SIZE(stat, 72);
FIELD(stat, key, 0);
FIELD(stat, key_len, 8);
FIELD(stat, flags, 12);
FIELD(stat, version, 16);
FIELD(stat, time, 24);
FIELD(stat, value_len, 32);
FIELD(stat, tgid, 36);
FIELD(stat, uid, 40);
FIELD(stat, subscribers, 44);
FIELD(stat, bucket, 48);
FIELD(stat, reserved, 52);
FIELD(stat, ttl, 56);
FIELD(stat, owner, 64);
FIELD(stat, reserved2, 68);

SIZE(delete, 48);
FIELD(delete, key, 0);
FIELD(delete, key_len, 8);
FIELD(delete, flags, 12);
FIELD(delete, version, 16);
FIELD(delete, previous, 24);

SIZE(touch, 32);
FIELD(touch, key, 0);
FIELD(touch, key_len, 8);
FIELD(touch, flags, 12);
FIELD(touch, version, 16);
FIELD(touch, ttl, 24);

SIZE(flush, 40);
FIELD(flush, prefix, 0);
FIELD(flush, prefix_len, 8);
FIELD(flush, bucket, 12);
FIELD(flush, flags, 16);
FIELD(flush, reserved, 20);
FIELD(flush, values, 24);
FIELD(flush, subscriptions, 32);

SIZE(subscribe, 40);
FIELD(subscribe, key, 0);
FIELD(subscribe, key_len, 8);
FIELD(subscribe, events, 12);
FIELD(subscribe, cookie, 16);
FIELD(subscribe, flags, 24);
FIELD(subscribe, reserved, 28);
FIELD(subscribe, version, 32);

SIZE(unsubscribe, 16);
FIELD(unsubscribe, key, 0);
FIELD(unsubscribe, key_len, 8);
FIELD(unsubscribe, flags, 12);

SIZE(subscribers, 24);
FIELD(subscribers, key, 0);
FIELD(subscribers, key_len, 8);
FIELD(subscribers, flags, 12);
FIELD(subscribers, subscribers, 16);
FIELD(subscribers, reserved, 20);

SIZE(key_bucket, 24);
FIELD(key_bucket, key, 0);
FIELD(key_bucket, key_len, 8);
FIELD(key_bucket, flags, 12);
FIELD(key_bucket, bucket, 16);
FIELD(key_bucket, buckets, 20);

SIZE(list_entry, 24);
FIELD(list_entry, len, 0);
FIELD(list_entry, header_len, 4);
FIELD(list_entry, key_len, 6);
FIELD(list_entry, value_len, 8);
FIELD(list_entry, flags, 12);
FIELD(list_entry, version, 16);
SIZE(list_details, 32);
FIELD(list_details, time, 0);
FIELD(list_details, ttl, 8);
FIELD(list_details, tgid, 16);
FIELD(list_details, uid, 20);
FIELD(list_details, owner, 24);
FIELD(list_details, reserved, 28);
/* The longest key and its entry fit the smallest buffer */
static_assert(METASTORE_LIST_MIN == 512, "METASTORE_LIST_MIN");

SIZE(list, 48);
FIELD(list, cursor, 0);
FIELD(list, prefix, 8);
FIELD(list, buffer, 16);
FIELD(list, cursor_len, 24);
FIELD(list, prefix_len, 28);
FIELD(list, buffer_len, 32);
FIELD(list, bucket, 36);
FIELD(list, flags, 40);
FIELD(list, entries, 44);

SIZE(info, 88);
FIELD(info, bucket, 0);
FIELD(info, flags, 4);
FIELD(info, features, 8);
FIELD(info, buckets, 16);
FIELD(info, key_max, 20);
FIELD(info, max_value, 24);
FIELD(info, queue_len, 28);
FIELD(info, queue_bytes, 32);
FIELD(info, max_subscriptions, 36);
FIELD(info, max_keys, 40);
FIELD(info, max_bytes, 48);
FIELD(info, keys, 56);
FIELD(info, bytes, 64);
FIELD(info, subscriptions, 72);
FIELD(info, private_bytes, 80);

SIZE(op, 80);
FIELD(op, op, 0);
FIELD(op, result, 4);
FIELD(op, key, 8);
FIELD(op, value, 16);
FIELD(op, key_len, 24);
FIELD(op, value_len, 28);
FIELD(op, flags, 32);
FIELD(op, queues, 36);
FIELD(op, owner, 36);
FIELD(op, version, 40);
FIELD(op, ttl, 48);
FIELD(op, previous, 56);

SIZE(batch, 24);
FIELD(batch, ops, 0);
FIELD(batch, nr, 8);
FIELD(batch, op_size, 12);
FIELD(batch, flags, 16);
FIELD(batch, failed, 20);

SIZE(create, 40);
FIELD(create, flags, 0);
FIELD(create, open_flags, 4);
FIELD(create, buckets, 8);
FIELD(create, max_value, 12);
FIELD(create, queue_len, 16);
FIELD(create, queue_bytes, 20);
FIELD(create, max_keys, 24);
FIELD(create, max_bytes, 32);

SIZE(open, 8);
FIELD(open, flags, 0);
FIELD(open, open_flags, 4);

SIZE(queue_info, 88);
FIELD(queue_info, flags, 0);
FIELD(queue_info, policy, 4);
FIELD(queue_info, max_len, 8);
FIELD(queue_info, max_bytes, 12);
FIELD(queue_info, len, 16);
FIELD(queue_info, bytes, 20);
FIELD(queue_info, high_len, 24);
FIELD(queue_info, subscriptions, 28);
FIELD(queue_info, matched, 32);
FIELD(queue_info, delivered, 40);
FIELD(queue_info, conflated, 48);
FIELD(queue_info, lost, 56);
FIELD(queue_info, pending, 64);
FIELD(queue_info, oldest, 72);
FIELD(queue_info, discarded, 80);

SIZE(subscription_info, 80);
FIELD(subscription_info, key, 0);
FIELD(subscription_info, key_len, 8);
FIELD(subscription_info, flags, 12);
FIELD(subscription_info, cookie, 16);
FIELD(subscription_info, events, 24);
FIELD(subscription_info, reserved, 28);
FIELD(subscription_info, matched, 32);
FIELD(subscription_info, delivered, 40);
FIELD(subscription_info, conflated, 48);
FIELD(subscription_info, lost, 56);
FIELD(subscription_info, pending, 64);
FIELD(subscription_info, discarded, 72);

SIZE(event, 48);
FIELD(event, len, 0);
FIELD(event, header_len, 4);
FIELD(event, type, 6);
FIELD(event, cookie, 8);
FIELD(event, version, 16);
FIELD(event, count, 16);
FIELD(event, time, 24);
FIELD(event, value_len, 32);
FIELD(event, key_len, 36);
FIELD(event, flags, 38);
FIELD(event, tgid, 40);
FIELD(event, uid, 44);

SIZE(owner_end, 8);
FIELD(owner_end, tgid, 0);
FIELD(owner_end, how, 4);
FIELD(owner_end, code, 6);

static_assert(METASTORE_IOC_INFO == 0xc058e600, "INFO");
static_assert(METASTORE_IOC_GET == 0xc040e601, "GET");
static_assert(METASTORE_IOC_SET == 0xc050e602, "SET");
static_assert(METASTORE_IOC_DELETE == 0xc030e603, "DELETE");
static_assert(METASTORE_IOC_PUBLISH == 0xc050e604, "PUBLISH");
static_assert(METASTORE_IOC_SUBSCRIBE == 0xc028e605, "SUBSCRIBE");
static_assert(METASTORE_IOC_UNSUBSCRIBE == 0xc010e606, "UNSUBSCRIBE");
static_assert(METASTORE_IOC_SUBSCRIBERS == 0xc018e607, "SUBSCRIBERS");
static_assert(METASTORE_IOC_BUCKET == 0xc018e608, "BUCKET");
static_assert(METASTORE_IOC_STAT == 0xc048e609, "STAT");
static_assert(METASTORE_IOC_LIST == 0xc030e60a, "LIST");
static_assert(METASTORE_IOC_FLUSH == 0xc028e60b, "FLUSH");
static_assert(METASTORE_IOC_BATCH == 0xc018e60c, "BATCH");
static_assert(METASTORE_IOC_CREATE == 0xc028e60d, "CREATE");
static_assert(METASTORE_IOC_OPEN == 0xc008e60e, "OPEN");
static_assert(METASTORE_IOC_QUEUE == 0xc058e60f, "QUEUE");
static_assert(METASTORE_IOC_SUBSCRIPTION == 0xc050e610, "SUBSCRIPTION");
static_assert(METASTORE_IOC_TOUCH == 0xc020e611, "TOUCH");
static_assert(METASTORE_IOC_USER == 0xc0e8e612, "USER");

static_assert(METASTORE_KEY_MAX == 255, "METASTORE_KEY_MAX");
static_assert(METASTORE_ANY_BUCKET == 0xffffffff, "METASTORE_ANY_BUCKET");
static_assert(METASTORE_FLUSH_SUBSCRIPTIONS == 1, "METASTORE_FLUSH_SUBSCRIPTIONS");
static_assert(METASTORE_EVENT_PUBLISHED == 1, "METASTORE_EVENT_PUBLISHED");
static_assert(METASTORE_EVENT_SET == 2, "METASTORE_EVENT_SET");
static_assert(METASTORE_EVENT_DELETED == 4, "METASTORE_EVENT_DELETED");
static_assert(METASTORE_EVENT_BY_DELETE == 0x08, "METASTORE_EVENT_BY_DELETE");
static_assert(METASTORE_EVENT_BY_FLUSH == 0x10, "METASTORE_EVENT_BY_FLUSH");
static_assert(METASTORE_EVENT_BY_EXPIRY == 0x20, "METASTORE_EVENT_BY_EXPIRY");
static_assert(METASTORE_EVENT_BY_OWNER == 0x40, "METASTORE_EVENT_BY_OWNER");
static_assert(METASTORE_EVENT_SNAPSHOT == 0x1000, "METASTORE_EVENT_SNAPSHOT");
static_assert(METASTORE_EVENT_SNAPSHOT_END == 0x2000, "METASTORE_EVENT_SNAPSHOT_END");
static_assert(METASTORE_EVENT_LOST == 0x4000, "METASTORE_EVENT_LOST");
static_assert(METASTORE_EVENT_FLUSHED == 0x8000, "METASTORE_EVENT_FLUSHED");
static_assert(METASTORE_EVENT_F_FLUSH == 0x01, "METASTORE_EVENT_F_FLUSH");
static_assert(METASTORE_EVENT_F_EXPIRED == 0x02, "METASTORE_EVENT_F_EXPIRED");
static_assert(METASTORE_EVENT_F_OWNER == 0x04, "METASTORE_EVENT_F_OWNER");
static_assert(METASTORE_EVENT_F_STOLEN == 0x08, "METASTORE_EVENT_F_STOLEN");
static_assert(METASTORE_EVENT_F_MORE == 0x10, "METASTORE_EVENT_F_MORE");
static_assert(METASTORE_EVENT_F_NO_VALUE == 0x20, "METASTORE_EVENT_F_NO_VALUE");
static_assert(METASTORE_SUBSCRIBE_PREFIX == 0x01, "METASTORE_SUBSCRIBE_PREFIX");
static_assert(METASTORE_SUBSCRIBE_SNAPSHOT == 0x02, "METASTORE_SUBSCRIBE_SNAPSHOT");
static_assert(METASTORE_SUBSCRIBE_NEWER == 0x04, "METASTORE_SUBSCRIBE_NEWER");
static_assert(METASTORE_SUBSCRIBE_LATEST == 0x08, "METASTORE_SUBSCRIBE_LATEST");
static_assert(METASTORE_SUBSCRIBE_NO_VALUE == 0x10, "METASTORE_SUBSCRIBE_NO_VALUE");
static_assert(METASTORE_SUBSCRIBE_RESYNC == 0x20, "METASTORE_SUBSCRIBE_RESYNC");
static_assert(METASTORE_SUBSCRIBE_DISCARD == 0x40, "METASTORE_SUBSCRIBE_DISCARD");
static_assert(METASTORE_F_CREATE == 0x01, "METASTORE_F_CREATE");
static_assert(METASTORE_F_REPLACE == 0x02, "METASTORE_F_REPLACE");
static_assert(METASTORE_F_IF_VERSION == 0x04, "METASTORE_F_IF_VERSION");
static_assert(METASTORE_F_OWNED == 0x08, "METASTORE_F_OWNED");
static_assert(METASTORE_F_STEAL == 0x10, "METASTORE_F_STEAL");
static_assert(METASTORE_F_WAIT == 0x20, "METASTORE_F_WAIT");
static_assert(METASTORE_F_PREVIOUS == 0x40, "METASTORE_F_PREVIOUS");
static_assert(METASTORE_F_KEEP_TTL == 0x80, "METASTORE_F_KEEP_TTL");
static_assert(METASTORE_GET_INFO == 1, "METASTORE_GET_INFO");
static_assert(METASTORE_LIST_VALUES == 1, "METASTORE_LIST_VALUES");
static_assert(METASTORE_LIST_F_NO_VALUE == 1, "METASTORE_LIST_F_NO_VALUE");
static_assert(METASTORE_PRIVATE_BUCKETS == 8, "METASTORE_PRIVATE_BUCKETS");
static_assert(METASTORE_WAIT_FOREVER == 0xffffffff, "METASTORE_WAIT_FOREVER");
static_assert(METASTORE_TTL_MAX == 1ULL << 40, "METASTORE_TTL_MAX");
static_assert(METASTORE_OWNER_NONE == 0, "METASTORE_OWNER_NONE");
static_assert(METASTORE_OWNER_SELF == 1, "METASTORE_OWNER_SELF");
static_assert(METASTORE_OWNER_OTHER == 2, "METASTORE_OWNER_OTHER");
static_assert(METASTORE_FLUSH_STEAL == 2, "METASTORE_FLUSH_STEAL");
static_assert(METASTORE_OP_GET == 1, "METASTORE_OP_GET");
static_assert(METASTORE_OP_SET == 2, "METASTORE_OP_SET");
static_assert(METASTORE_OP_DELETE == 3, "METASTORE_OP_DELETE");
static_assert(METASTORE_OP_PUBLISH == 4, "METASTORE_OP_PUBLISH");
static_assert(METASTORE_OP_TOUCH == 5, "METASTORE_OP_TOUCH");
static_assert(METASTORE_BATCH_MAX == 256, "METASTORE_BATCH_MAX");
static_assert(METASTORE_ATOMIC_MAX == 128, "METASTORE_ATOMIC_MAX");
static_assert(METASTORE_ATOMIC_KEYS == 8192, "METASTORE_ATOMIC_KEYS");
static_assert(METASTORE_BATCH_ATOMIC == 1, "METASTORE_BATCH_ATOMIC");
static_assert(METASTORE_END_CLOSED == 0, "METASTORE_END_CLOSED");
static_assert(METASTORE_END_EXITED == 1, "METASTORE_END_EXITED");
static_assert(METASTORE_END_KILLED == 2, "METASTORE_END_KILLED");
static_assert(METASTORE_FEATURE_CONDITIONS == 0x01, "METASTORE_FEATURE_CONDITIONS");
static_assert(METASTORE_FEATURE_OWNERS == 0x02, "METASTORE_FEATURE_OWNERS");
static_assert(METASTORE_FEATURE_TTL == 0x04, "METASTORE_FEATURE_TTL");
static_assert(METASTORE_FEATURE_BATCH == 0x08, "METASTORE_FEATURE_BATCH");
static_assert(METASTORE_FEATURE_PRIVATE == 0x10, "METASTORE_FEATURE_PRIVATE");
static_assert(METASTORE_FEATURE_DELIVERY == 0x20, "METASTORE_FEATURE_DELIVERY");
static_assert(METASTORE_FEATURE_WAIT == 0x40, "METASTORE_FEATURE_WAIT");
static_assert(METASTORE_FEATURE_TOUCH == 0x80, "METASTORE_FEATURE_TOUCH");
static_assert(METASTORE_FEATURE_PREVIOUS == 0x100, "METASTORE_FEATURE_PREVIOUS");
static_assert(METASTORE_FEATURE_DETAILS == 0x200, "METASTORE_FEATURE_DETAILS");
static_assert(METASTORE_FEATURE_RESYNC == 0x400, "METASTORE_FEATURE_RESYNC");
static_assert(METASTORE_FEATURE_USERS == 0x800, "METASTORE_FEATURE_USERS");
static_assert(METASTORE_USER_FILES == 0, "METASTORE_USER_FILES");
static_assert(METASTORE_USER_SUBSCRIPTIONS == 1, "METASTORE_USER_SUBSCRIPTIONS");
static_assert(METASTORE_USER_QUEUE_BYTES == 2, "METASTORE_USER_QUEUE_BYTES");
static_assert(METASTORE_USER_STORES == 3, "METASTORE_USER_STORES");
static_assert(METASTORE_USER_STORE_BYTES == 4, "METASTORE_USER_STORE_BYTES");
static_assert(METASTORE_USER_OWNED_KEYS == 5, "METASTORE_USER_OWNED_KEYS");
static_assert(METASTORE_USER_WAITING == 6, "METASTORE_USER_WAITING");
static_assert(METASTORE_USER_KEYS == 7, "METASTORE_USER_KEYS");
static_assert(METASTORE_USER_BYTES == 8, "METASTORE_USER_BYTES");
static_assert(METASTORE_USER_NEXT == 1, "METASTORE_USER_NEXT");
static_assert(METASTORE_QUEUE_OVERHEAD == 56, "METASTORE_QUEUE_OVERHEAD");
static_assert(METASTORE_QUEUE_DROP_OLDEST == 0, "METASTORE_QUEUE_DROP_OLDEST");
static_assert(METASTORE_QUEUE_LOSSLESS == 1, "METASTORE_QUEUE_LOSSLESS");
static_assert(METASTORE_QUEUE_SET_LEN == 1, "METASTORE_QUEUE_SET_LEN");
static_assert(METASTORE_QUEUE_SET_BYTES == 2, "METASTORE_QUEUE_SET_BYTES");
static_assert(METASTORE_QUEUE_SET_POLICY == 4, "METASTORE_QUEUE_SET_POLICY");
static_assert(METASTORE_QUEUE_FACTOR == 16, "METASTORE_QUEUE_FACTOR");
static_assert(METASTORE_QUEUE_MOVE_MAX == 1024, "METASTORE_QUEUE_MOVE_MAX");
static_assert(METASTORE_VALUE_OVERHEAD == 48, "METASTORE_VALUE_OVERHEAD");
static_assert(METASTORE_TIE_OVERHEAD == 64, "METASTORE_TIE_OVERHEAD");

FIXTURE(abi)
{
	int fd;
};

FIXTURE_SETUP(abi)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
}

FIXTURE_TEARDOWN(abi)
{
	close(self->fd);
}

TEST_F(abi, set_get_delete)
{
	__u64 set, got, deleted;
	char buf[16];

	ASSERT_EQ(0, ms_set(self->fd, "abi.key", "value", &set));
	ASSERT_EQ(5, ms_get(self->fd, "abi.key", buf, sizeof(buf), &got));
	EXPECT_EQ(0, memcmp(buf, "value\xcc\xcc\xcc", 8));
	EXPECT_EQ(set, got);
	ASSERT_EQ(0, ms_delete(self->fd, "abi.key", &deleted));
	EXPECT_LT(set, deleted);
	EXPECT_EQ(-ENOENT, ms_get(self->fd, "abi.key", buf, sizeof(buf), NULL));
}

TEST_F(abi, publish_read)
{
	struct ms_reader r = ms_reader(self->fd, 4096);
	const struct metastore_event *ev;
	__u64 before, version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "abi.key", 0, 0x123456789abcdef0ULL));
	EXPECT_EQ(1, ms_subscribers(self->fd, "abi.key"));
	EXPECT_TRUE(ms_silent(self->fd));
	before = ms_now(CLOCK_REALTIME);
	ASSERT_EQ(1, ms_publish(self->fd, "abi.key", "value", &version));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0) & POLLIN);
	/* 48 of header, 7 of key, 5 of value, padded */
	EXPECT_EQ(64, ms_pending(self->fd));

	ev = ms_next(&r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(64, r.len);
	EXPECT_EQ(METASTORE_EVENT_PUBLISHED, ev->type);
	EXPECT_EQ(0x123456789abcdef0ULL, ev->cookie);
	EXPECT_EQ(version, ev->version);
	EXPECT_LE(before, ev->time);
	EXPECT_GE(ms_now(CLOCK_REALTIME), ev->time);
	EXPECT_EQ(7, ev->key_len);
	EXPECT_EQ(5, ev->value_len);
	EXPECT_EQ(0, ev->flags);
	EXPECT_EQ(getpid(), ev->tgid);
	EXPECT_EQ(geteuid(), ev->uid);
	EXPECT_EQ(0, memcmp(ms_event_key(ev), "abi.keyvalue\0\0\0\0", 16));
	EXPECT_TRUE(ms_silent(self->fd));

	ASSERT_EQ(0, ms_unsubscribe(self->fd, "abi.key"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "abi.key"));
	EXPECT_EQ(0, ms_publish(self->fd, "abi.key", "value", NULL));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(abi, stat_bucket_info)
{
	struct metastore_info info;
	struct metastore_stat st;
	__u64 version, before;
	int bucket;

	before = ms_now(CLOCK_REALTIME);
	ASSERT_EQ(0, ms_set(self->fd, "abi.key", "value", &version));
	bucket = ms_bucket(self->fd, "abi.key");
	ASSERT_LE(0, bucket);

	ASSERT_EQ(0, ms_stat(self->fd, "abi.key", &st));
	EXPECT_EQ(version, st.version);
	EXPECT_LE(before, st.time);
	EXPECT_GE(ms_now(CLOCK_REALTIME), st.time);
	EXPECT_EQ(5, st.value_len);
	EXPECT_EQ(getpid(), st.tgid);
	EXPECT_EQ(geteuid(), st.uid);
	EXPECT_EQ(0, st.subscribers);
	EXPECT_EQ(bucket, st.bucket);
	EXPECT_EQ(0, st.reserved);

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(METASTORE_KEY_MAX, info.key_max);
	EXPECT_LT(bucket, info.buckets);
	EXPECT_EQ(1, info.keys);
	EXPECT_EQ(7 + 5 + METASTORE_VALUE_OVERHEAD, info.bytes);
	EXPECT_EQ(0, info.subscriptions);
	EXPECT_LT(0, info.private_bytes);
}

TEST_F(abi, list_flush)
{
	__u64 buf[METASTORE_LIST_MIN / 8];
	const struct metastore_list_entry *entry = (const void *)buf;
	struct metastore_list list = {
		.buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf),
		.bucket = METASTORE_ANY_BUCKET,
		.entries = POISON32,
	};
	struct metastore_flush flush;
	__u64 version;

	ASSERT_EQ(0, ms_set(self->fd, "abi.key", "value", &version));
	memset(buf, POISON, sizeof(buf));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &list));
	EXPECT_EQ(1, list.entries);
	EXPECT_EQ(32, list.buffer_len);
	EXPECT_EQ(32, entry->len);
	EXPECT_EQ(24, entry->header_len);
	EXPECT_EQ(7, entry->key_len);
	EXPECT_EQ(5, entry->value_len);
	EXPECT_EQ(0, entry->flags);
	EXPECT_EQ(version, entry->version);
	EXPECT_EQ(0, memcmp((char *)buf + 24, "abi.key\0\xcc", 9));

	ASSERT_EQ(0, ms_flush(self->fd, "abi.", METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(1, flush.values);
	EXPECT_EQ(0, flush.subscriptions);
	EXPECT_EQ(-ENOENT, ms_stat(self->fd, "abi.key", &(struct metastore_stat) {}));
}

TEST_F(abi, owner_and_ttl)
{
	struct ms_reader r = ms_reader(self->fd, 4096);
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .ttl = 1000000 };
	int own = ms_open(O_RDWR);
	struct metastore_stat st;
	char buf[8];
	struct metastore_get get = {
		.key = ms_ptr("abi.key"),
		.value = ms_ptr(buf),
		.key_len = 7,
		.value_len = sizeof(buf),
	};

	ASSERT_EQ(0, ms_subscribe(self->fd, "abi.key", METASTORE_EVENT_DELETED, 1));
	ASSERT_EQ(0, ms_store_with(own, METASTORE_IOC_SET, "abi.key", "value", &arg));
	ASSERT_EQ(0, ms_stat(self->fd, "abi.key", &st));
	EXPECT_EQ(METASTORE_OWNER_OTHER, st.owner);
	EXPECT_LT(900000, st.ttl);
	EXPECT_GE(1000000, st.ttl);
	ASSERT_EQ(0, ms_ioctl(own, METASTORE_IOC_GET, &get));
	EXPECT_EQ(arg.version, get.version);
	EXPECT_EQ(METASTORE_OWNER_SELF, get.owner);
	EXPECT_LT(900000, get.ttl);
	EXPECT_GE(1000000, get.ttl);
	close(own);
	EXPECT_EVENT(&r, MS_ENDED(.tgid = getpid()), .cookie = 1, .newer = arg.version,
		     .key = "abi.key", .value = "value");
}

TEST_F(abi, batch)
{
	char buf[8];
	struct metastore_op ops[] = {
		ms_op_set("abi.a", "1"),
		ms_op_publish("abi.b", "2"),
		ms_op_get("abi.c", buf, sizeof(buf)),
	};
	__u32 failed;

	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(3, failed);
	EXPECT_EQ(0, ops[0].result);
	EXPECT_EQ(0, ops[1].result);
	EXPECT_EQ(-ENOENT, ops[2].result);
	EXPECT_STREQ("1", ms_str(self->fd, "abi.a"));
	EXPECT_STREQ("2", ms_str(self->fd, "abi.b"));
	EXPECT_EQ(ops[0].version, ms_version(self->fd, "abi.a"));
}

TEST_F(abi, private)
{
	int store = ms_create(self->fd, O_RDWR, (struct metastore_create) {
		.buckets = 7,
		.max_bytes = 1ULL << 40,
	});
	struct metastore_info info;
	int fd;

	ASSERT_LE(0, store);
	ASSERT_EQ(0, ms_set(store, "abi.key", "value", NULL));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "abi.key"));
	fd = ms_reopen(store, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_STREQ("value", ms_str(fd, "abi.key"));
	ASSERT_EQ(0, ms_info(fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(7, info.buckets);
	EXPECT_EQ(1ULL << 40, info.max_bytes);
}

TEST_F(abi, snapshot_and_prefix)
{
	struct ms_reader r = ms_reader(self->fd, 4096);
	struct metastore_subscription_info info;
	__u64 old, new;

	ASSERT_EQ(0, ms_set(self->fd, "abi.key", "old", &old));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "abi.", .events = EVENTS_ALL, .cookie = 5,
				     .flags = METASTORE_SUBSCRIBE_PREFIX |
					      METASTORE_SUBSCRIBE_SNAPSHOT));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 5, .version = old,
		     .key = "abi.key", .value = "old");
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 5);
	ASSERT_EQ(0, ms_set(self->fd, "abi.key", "new", &new));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 5, .version = new,
		     .key = "abi.key", .value = "new");
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, ms_subscription(self->fd, "abi.", METASTORE_SUBSCRIBE_PREFIX, &info));
	EXPECT_EQ(METASTORE_SUBSCRIBE_PREFIX, info.flags);
	EXPECT_EQ(5, info.cookie);
	EXPECT_EQ(EVENTS_ALL, info.events);
	EXPECT_EQ(2, info.matched);
	EXPECT_EQ(2, info.delivered);
	EXPECT_EQ(0, info.conflated);
	EXPECT_EQ(0, info.lost);
	EXPECT_EQ(0, info.pending);
}

TEST_F(abi, queue)
{
	struct metastore_queue_info info = {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES |
			 METASTORE_QUEUE_SET_POLICY,
		.policy = METASTORE_QUEUE_LOSSLESS,
		.max_len = 3,
		.max_bytes = 5000,
	};
	struct metastore_set arg = { .flags = METASTORE_F_WAIT, .timeout = 1 };
	int i;

	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_QUEUE, &info));
	ASSERT_EQ(0, ms_subscribe(self->fd, "abi.key", 0, 1));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_PUBLISH, "abi.key", "v",
					   &arg));
	/* The descriptor is non-blocking */
	EXPECT_EQ(-EAGAIN, ms_store_with(self->fd, METASTORE_IOC_PUBLISH, "abi.key", "v", &arg));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(METASTORE_QUEUE_LOSSLESS, info.policy);
	EXPECT_EQ(3, info.max_len);
	EXPECT_EQ(5000, info.max_bytes);
	EXPECT_EQ(3, info.len);
	/* An event counts 5000 / (3 + 1) at least */
	EXPECT_EQ(3 * 1250, info.bytes);
	EXPECT_EQ(3, info.high_len);
	EXPECT_EQ(1, info.subscriptions);
	EXPECT_EQ(3, info.matched);
	EXPECT_EQ(0, info.delivered);
	EXPECT_EQ(0, info.conflated);
	EXPECT_EQ(0, info.lost);
	EXPECT_EQ(3, info.pending);
	EXPECT_LT(0, info.oldest);
}

/* A 32-bit program's pointer is all 64 bits of the field, as documented */
TEST_F(abi, pointer_is_64_bits)
{
	struct metastore_set arg = {
		.key = ms_ptr("abi.key") | 0x4000000000000000ULL,
		.key_len = 7,
	};

	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_SET, &arg));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "abi.key"));
}

/* A 32-bit program has no ring, which holds words of 64 bits that it cannot load at once */
TEST_F(abi, map)
{
	long page = sysconf(_SC_PAGESIZE);
	void *at;

	errno = 0;
	at = mmap(NULL, 3 * page, PROT_READ, MAP_SHARED, self->fd, METASTORE_MAP_RING + page);
	EXPECT_EQ(sizeof(void *) == 4, at == MAP_FAILED);
	EXPECT_EQ(sizeof(void *) == 4 ? EOPNOTSUPP : 0, errno);
}

TEST_HARNESS_MAIN
