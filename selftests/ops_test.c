// SPDX-License-Identifier: GPL-2.0
/* What each operation does when it succeeds */
#include <endian.h>
#include <grp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "metastore_test.h"

FIXTURE(ops)
{
	int fd;
	struct metastore_info info;
};

FIXTURE_SETUP(ops)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
}

FIXTURE_TEARDOWN(ops)
{
	close(self->fd);
}

TEST_F(ops, set_get)
{
	char buf[8];
	__u64 set, got;

	ASSERT_EQ(0, ms_set(self->fd, "k", "value", &set));
	EXPECT_NE(0, set);
	EXPECT_NE(POISON64, set);
	ASSERT_EQ(5, ms_get(self->fd, "k", buf, sizeof(buf), &got));
	EXPECT_EQ(set, got);
	EXPECT_EQ(0, memcmp(buf, "value\xcc\xcc\xcc", 8));
}

TEST_F(ops, set_tells_no_queues)
{
	struct metastore_set arg;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_store(self->fd, METASTORE_IOC_SET, "k", 1, "v", 1, &arg));
	EXPECT_EQ(0, arg.queues);
}

/* All inputs come back as they were */
TEST_F(ops, inputs_stay)
{
	char key[] = "k", value[] = "v";
	struct metastore_set set;
	struct metastore_get get = {
		.key = ms_ptr(key),
		.value = ms_ptr(value),
		.key_len = 1,
		.value_len = 1,
	};

	ASSERT_EQ(0, ms_store(self->fd, METASTORE_IOC_SET, key, 1, value, 1, &set));
	EXPECT_EQ(ms_ptr(key), set.key);
	EXPECT_EQ(ms_ptr(value), set.value);
	EXPECT_EQ(1, set.key_len);
	EXPECT_EQ(1, set.value_len);
	EXPECT_EQ(0, set.flags);
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_GET, &get));
	EXPECT_EQ(ms_ptr(key), get.key);
	EXPECT_EQ(ms_ptr(value), get.value);
	EXPECT_EQ(1, get.key_len);
	EXPECT_EQ(0, get.flags);
	EXPECT_EQ(METASTORE_OWNER_NONE, get.owner);
	EXPECT_STREQ("k", key);
	EXPECT_STREQ("v", value);
}

TEST_F(ops, set_overwrites)
{
	ASSERT_EQ(0, ms_set(self->fd, "k", "long value", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k", "x", NULL));
	EXPECT_STREQ("x", ms_str(self->fd, "k"));
	ASSERT_EQ(0, ms_set(self->fd, "k", "longer than before", NULL));
	EXPECT_STREQ("longer than before", ms_str(self->fd, "k"));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(1, self->info.keys);
}

/* The value is the module's own: what the writer does with its buffer later is nobody's business */
TEST_F(ops, value_is_a_copy)
{
	char key[] = "key", value[] = "value";

	ASSERT_EQ(0, ms_set(self->fd, key, value, NULL));
	memset(key, 'x', 3);
	memset(value, 'x', 5);
	EXPECT_STREQ("value", ms_str(self->fd, "key"));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "xxx"));
}

TEST_F(ops, value_empty)
{
	__u64 set, got;

	/* "not looked at" */
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, (void *)1, 0, &set));
	EXPECT_EQ(0, ms_getn(self->fd, "k", 1, NULL, 0, &got));
	EXPECT_EQ(set, got);
	EXPECT_STREQ("", ms_str(self->fd, "k"));
	/* Nor is an address that can be nobody's */
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, (void *)-4096L, 0, &set));
	EXPECT_EQ(0, ms_getn(self->fd, "k", 1, (void *)-4096L, 0, &got));
	EXPECT_EQ(set, got);
	ASSERT_EQ(0, ms_delete(self->fd, "k", NULL));
}

TEST_F(ops, keys_are_bytes)
{
	static const struct {
		const char *key;
		__u32 len;
	} keys[] = {
		{ "\0", 1 }, { "\0\0", 2 }, { "a", 1 }, { "a\0", 2 }, { "a\0b", 3 },
		{ "a\0c", 3 }, { "\n", 1 }, { "\xff\xfe", 2 }, { "\xff", 1 }, { " ", 1 },
		{ "/a/../b", 7 }, { "\xc3\xa4", 2 },
	};
	__u32 i, got;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		ASSERT_EQ(0, ms_setn(self->fd, keys[i].key, keys[i].len, &i, sizeof(i), NULL));
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		ASSERT_EQ(sizeof(got), ms_getn(self->fd, keys[i].key, keys[i].len, &got,
					       sizeof(got), NULL));
		EXPECT_EQ(i, got);
	}
	ASSERT_EQ(0, ms_deleten(self->fd, "a\0b", 3, NULL));
	EXPECT_EQ(4, ms_getn(self->fd, "a\0c", 3, &got, sizeof(got), NULL));
	EXPECT_EQ(4, ms_getn(self->fd, "a\0", 2, &got, sizeof(got), NULL));
	EXPECT_EQ(4, ms_getn(self->fd, "a", 1, &got, sizeof(got), NULL));
	EXPECT_EQ(-ENOENT, ms_getn(self->fd, "a\0b", 3, &got, sizeof(got), NULL));
}

TEST_F(ops, key_lengths)
{
	__u8 key[METASTORE_KEY_MAX], got;
	__u32 len;

	memset(key, 'k', sizeof(key));
	for (len = 1; len <= METASTORE_KEY_MAX; len++) {
		got = len;
		ASSERT_EQ(0, ms_setn(self->fd, key, len, &got, 1, NULL));
	}
	for (len = 1; len <= METASTORE_KEY_MAX; len++) {
		ASSERT_EQ(1, ms_getn(self->fd, key, len, &got, 1, NULL));
		ASSERT_EQ(len, got);
	}
	/* Keys of the longest length that differ in their last byte alone */
	key[METASTORE_KEY_MAX - 1] = 'x';
	EXPECT_EQ(-ENOENT, ms_getn(self->fd, key, METASTORE_KEY_MAX, &got, 1, NULL));
	for (len = 1; len < METASTORE_KEY_MAX; len++)
		ASSERT_EQ(0, ms_deleten(self->fd, key, len, NULL));
	key[METASTORE_KEY_MAX - 1] = 'k';
	EXPECT_EQ(1, ms_getn(self->fd, key, METASTORE_KEY_MAX, &got, 1, NULL));
}

/* Around the sizes where an allocator or a copy changes its way */
TEST_F(ops, value_lengths)
{
	static const __u32 lens[] = {
		0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 207, 208, 209, 1999, 2000, 2001, 2048,
		4031, 4032, 4047, 4048, 4049, 4095, 4096, 4097, 8191, 8192, 8193, 16384, 32767,
		65487, 65488, 65535, 65536,
	};
	char *value = malloc(65536), *buf = malloc(65536 + 8);
	struct ms_reader r = ms_reader(self->fd, MS_READER_SIZE);
	const struct metastore_event *ev;
	__u32 i, j, len;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	ASSERT_GE(self->info.max_value, 65536);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		len = lens[i];
		for (j = 0; j < len; j++)
			value[j] = j * 31 + len + (j >> 8);
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, len, NULL));
		ASSERT_EQ(len, ms_getn(self->fd, "k", 1, buf, len + 8, NULL));
		ASSERT_EQ(0, memcmp(buf, value, len));
		ASSERT_EQ(0, memcmp(buf + len, "\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", 8));
		/* A buffer of just the size */
		ASSERT_EQ(len, ms_getn(self->fd, "k", 1, buf, len, NULL));
		ASSERT_EQ(0, memcmp(buf, value, len));
		ev = ms_next(&r);
		ASSERT_TRUE(!!ev);
		ASSERT_EQ(len, ev->value_len);
		ASSERT_EQ(0, memcmp(ms_event_value(ev), value, len));
	}
}

TEST_F(ops, value_of_max_value)
{
	__u32 max = self->info.max_value;
	char *value = malloc(max), *buf = malloc(max);

	memset(value, 'v', max);
	value[max - 1] = 'x';
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, max, NULL));
	ASSERT_EQ(max, ms_getn(self->fd, "k", 1, buf, max, NULL));
	EXPECT_EQ(0, memcmp(buf, value, max));
}

/* From buffers that are not aligned and lie across pages */
TEST_F(ops, unaligned)
{
	long page = sysconf(_SC_PAGESIZE);
	char *mem = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
	int shift;

	ASSERT_NE(MAP_FAILED, mem);
	for (shift = 1; shift < 24; shift++) {
		char *key = mem + page - shift, *value = mem + 2 * page - shift;

		memcpy(key, "key of 24 bytes.........", 24);
		memset(value, shift, 100);
		ASSERT_EQ(0, ms_setn(self->fd, key, 24, value, 100, NULL));
		ASSERT_EQ(100, ms_getn(self->fd, key, 24, mem + 3 * page - shift, 100, NULL));
		ASSERT_EQ(0, memcmp(mem + 3 * page - shift, value, 100));
	}
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(1, self->info.keys);
}

/* Ends exactly where the mapping does */
TEST_F(ops, up_to_the_edge)
{
	long page = sysconf(_SC_PAGESIZE);
	char *key = ms_guarded(1), *value = ms_guarded(1), *buf = ms_guarded(1);
	__u32 len;

	ASSERT_TRUE(key && value && buf);
	memset(key, 'k', page);
	memset(value, 'v', page);
	for (len = 1; len < 40; len++) {
		ASSERT_EQ(0, ms_setn(self->fd, key + page - len, len, value + page - len, len,
				     NULL));
		ASSERT_EQ(len, ms_getn(self->fd, key + page - len, len, buf + page - len, len,
				       NULL));
		ASSERT_EQ(0, memcmp(buf + page - len, value, len));
	}
}

/* The size of a buffer is no reason to touch or to allocate that much */
TEST_F(ops, get_into_large_buffer)
{
	size_t size = 1UL << 30;
	char *buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct metastore_get arg = {
		.key = ms_ptr("k"),
		.value = ms_ptr(buf),
		.key_len = 1,
		.value_len = size,
	};

	ASSERT_NE(MAP_FAILED, buf);
	ASSERT_EQ(0, ms_set(self->fd, "k", "value", NULL));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
	EXPECT_EQ(5, arg.value_len);
	EXPECT_EQ(0, memcmp(buf, "value\0\0\0", 8));
}

TEST_F(ops, versions_increase)
{
	__u64 last = 0, version;
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, ms_set(self->fd, "k", "v", &version));
		ASSERT_LT(last, version);
		last = version;
		ASSERT_EQ(0, ms_publish(self->fd, "k", "v", &version));
		ASSERT_LT(last, version);
		last = version;
		ASSERT_EQ(0, ms_delete(self->fd, "k", &version));
		ASSERT_LT(last, version);
		last = version;
	}
}

TEST_F(ops, versions_increase_over_flush)
{
	struct metastore_flush arg;
	__u64 first, second;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", &first));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", &second));
	EXPECT_LT(first, second);
}

TEST_F(ops, delete)
{
	__u64 set, deleted;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", &set));
	ASSERT_EQ(0, ms_set(self->fd, "other", "v", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "k", &deleted));
	EXPECT_LT(set, deleted);
	EXPECT_NE(POISON64, deleted);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_STREQ("v", ms_str(self->fd, "other"));
}

TEST_F(ops, delete_leaves_subscriptions)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "k", NULL));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
}

TEST_F(ops, publish_stores)
{
	char buf[8];
	__u64 published, got;

	ASSERT_EQ(0, ms_publish(self->fd, "k", "v", &published));
	ASSERT_EQ(1, ms_get(self->fd, "k", buf, sizeof(buf), &got));
	EXPECT_EQ(published, got);
	EXPECT_EQ('v', buf[0]);
}

TEST_F(ops, publish_tells_queues)
{
	int i, fds[5];

	for (i = 0; i < 5; i++) {
		EXPECT_EQ(i, ms_publish(self->fd, "k", "v", NULL));
		fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, ms_subscribe(fds[i], "k", 0, i));
	}
	EXPECT_EQ(5, ms_publish(self->fd, "k", "v", NULL));
	/* Those that do not want it do not count */
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_SET, 0));
	EXPECT_EQ(5, ms_publish(self->fd, "k", "v", NULL));
	close(fds[4]);
	EXPECT_EQ(4, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_publish(self->fd, "other", "v", NULL));
}

TEST_F(ops, subscribers)
{
	int fd = ms_open(O_RDONLY);

	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_subscribe(fd, "k", METASTORE_EVENT_DELETED, 0));
	ASSERT_EQ(0, ms_subscribe(fd, "other", 0, 0));
	EXPECT_EQ(2, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(2, ms_subscribers(fd, "k"));
	EXPECT_EQ(1, ms_subscribers(fd, "other"));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	close(fd);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "other"));
}

TEST_F(ops, subscriptions_are_no_keys)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(0, self->info.keys);
	EXPECT_EQ(0, self->info.bytes);
	EXPECT_EQ(1, self->info.subscriptions);
}

TEST_F(ops, unsubscribe_and_again)
{
	struct ms_reader r = ms_reader(self->fd, 4096);
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_SET, 1));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_PUBLISHED, 2));
	ASSERT_EQ(0, ms_set(self->fd, "k", "set", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "published", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 2, .version = version,
		     .key = "k", .value = "published");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(ops, bucket)
{
	struct metastore_key_bucket arg;
	bool *seen = calloc(self->info.buckets, 1);
	__u32 i, differ = 0;

	for (i = 0; i < 1000; i++) {
		arg = (struct metastore_key_bucket) {
			.key = ms_ptr(&i),
			.key_len = sizeof(i),
			.bucket = POISON32,
			.buckets = POISON32,
		};
		ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_BUCKET, &arg));
		ASSERT_EQ(self->info.buckets, arg.buckets);
		ASSERT_GT(arg.buckets, arg.bucket);
		ASSERT_EQ(arg.bucket, ms_bucketn(self->fd, &i, sizeof(i)));
		differ += !seen[arg.bucket];
		seen[arg.bucket] = true;
	}
	/* Of 1,000 balls some 632 of 1,000 bins are hit */
	EXPECT_LE(self->info.buckets < 1000 ? self->info.buckets / 2 : 500, differ);
}

/* O_ACCMODE alone asks for a descriptor that can neither read nor write */
TEST_F(ops, bucket_and_info_need_no_access)
{
	int fd = ms_open(O_ACCMODE);

	ASSERT_LE(0, fd);
	EXPECT_EQ(ms_bucket(self->fd, "k"), ms_bucket(fd, "k"));
	EXPECT_EQ(0, ms_info(fd, METASTORE_ANY_BUCKET, &self->info));
}

TEST_F(ops, write_only_writes)
{
	struct metastore_flush flush;
	int fd = ms_open(O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ms_set(fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_publish(fd, "k", "w", NULL));
	EXPECT_STREQ("w", ms_str(self->fd, "k"));
	EXPECT_EQ(0, ms_delete(fd, "k", NULL));
	EXPECT_EQ(0, ms_flush(fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(0, ms_info(fd, METASTORE_ANY_BUCKET, &self->info));
}

TEST_F(ops, info_counts)
{
	struct metastore_info *info = &self->info;
	char key[METASTORE_KEY_MAX] = "k";
	__u64 bytes = 0;
	__u32 i;

	EXPECT_EQ(0, info->keys);
	EXPECT_EQ(0, info->bytes);
	EXPECT_EQ(0, info->subscriptions);
	for (i = 1; i <= 100; i++) {
		ASSERT_EQ(0, ms_setn(self->fd, key, i, key, i / 2, NULL));
		bytes += i + i / 2 + METASTORE_VALUE_OVERHEAD;
	}
	for (i = 1; i <= 10; i++)
		ASSERT_EQ(0, ms_subscriben(self->fd, key, i, 0, 0));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, info));
	EXPECT_EQ(100, info->keys);
	EXPECT_EQ(bytes, info->bytes);
	EXPECT_EQ(10, info->subscriptions);

	ASSERT_EQ(0, ms_setn(self->fd, key, 1, key, 100, NULL));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, info));
	EXPECT_EQ(100, info->keys);
	EXPECT_EQ(bytes + 100, info->bytes);

	for (i = 1; i <= 50; i++)
		ASSERT_EQ(0, ms_deleten(self->fd, key, i, NULL));
	bytes = 0;
	for (i = 51; i <= 100; i++)
		bytes += i + i / 2 + METASTORE_VALUE_OVERHEAD;
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, info));
	EXPECT_EQ(50, info->keys);
	EXPECT_EQ(bytes, info->bytes);
	EXPECT_EQ(10, info->subscriptions);
}

TEST_F(ops, info_limits)
{
	struct metastore_info *info = &self->info;

	EXPECT_EQ(METASTORE_FEATURE_CONDITIONS | METASTORE_FEATURE_OWNERS |
		  METASTORE_FEATURE_TTL | METASTORE_FEATURE_BATCH |
		  METASTORE_FEATURE_PRIVATE | METASTORE_FEATURE_DELIVERY |
		  METASTORE_FEATURE_WAIT | METASTORE_FEATURE_TOUCH |
		  METASTORE_FEATURE_PREVIOUS | METASTORE_FEATURE_DETAILS |
		  METASTORE_FEATURE_RESYNC | METASTORE_FEATURE_USERS |
		  METASTORE_FEATURE_MAP_RING | METASTORE_FEATURE_MAP_STORE, info->features);
	EXPECT_LE(1, info->buckets);
	EXPECT_NE(POISON32, info->buckets);
	EXPECT_EQ(METASTORE_KEY_MAX, info->key_max);
	EXPECT_LE(1, info->max_value);
	EXPECT_NE(POISON32, info->max_value);
	EXPECT_LE(1, info->queue_len);
	EXPECT_NE(POISON32, info->queue_len);
	EXPECT_LE(1, info->queue_bytes);
	EXPECT_NE(POISON32, info->queue_bytes);
	EXPECT_LE(1, info->max_subscriptions);
	EXPECT_NE(POISON32, info->max_subscriptions);
	EXPECT_LE(1, info->max_keys);
	EXPECT_NE(POISON64, info->max_keys);
	EXPECT_LE(1, info->max_bytes);
	EXPECT_NE(POISON64, info->max_bytes);
}

TEST_F(ops, info_of_buckets)
{
	struct metastore_info one, all;
	__u64 keys = 0, bytes = 0, subscriptions = 0;
	__u32 i, bucket, buckets = self->info.buckets;
	__u32 *want = calloc(buckets, sizeof(*want));

	for (i = 0; i < 500; i++) {
		ASSERT_EQ(0, ms_setn(self->fd, &i, sizeof(i), &i, i % 5, NULL));
		bucket = ms_bucketn(self->fd, &i, sizeof(i));
		ASSERT_GT(buckets, bucket);
		want[bucket]++;
	}
	for (i = 0; i < 50; i++)
		ASSERT_EQ(0, ms_subscriben(self->fd, &i, sizeof(i), 0, 0));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &all));
	for (bucket = 0; bucket < buckets; bucket++) {
		ASSERT_EQ(0, ms_info(self->fd, bucket, &one));
		ASSERT_EQ(bucket, one.bucket);
		ASSERT_EQ(want[bucket], one.keys);
		ASSERT_EQ(all.max_keys, one.max_keys);
		ASSERT_EQ(buckets, one.buckets);
		keys += one.keys;
		bytes += one.bytes;
		subscriptions += one.subscriptions;
	}
	EXPECT_EQ(500, all.keys);
	EXPECT_EQ(500, keys);
	EXPECT_EQ(all.bytes, bytes);
	EXPECT_EQ(50, all.subscriptions);
	EXPECT_EQ(50, subscriptions);
}

TEST_F(ops, stat)
{
	struct metastore_stat st;
	__u64 before, after, version;
	int fd = ms_open(O_RDONLY);

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	before = ms_now(CLOCK_REALTIME);
	ASSERT_EQ(0, ms_set(self->fd, "k", "value", &version));
	after = ms_now(CLOCK_REALTIME);
	ASSERT_EQ(0, ms_stat(fd, "k", &st));
	EXPECT_EQ(version, st.version);
	EXPECT_LE(before, st.time);
	EXPECT_GE(after, st.time);
	EXPECT_EQ(5, st.value_len);
	EXPECT_EQ(getpid(), st.tgid);
	EXPECT_EQ(geteuid(), st.uid);
	EXPECT_EQ(2, st.subscribers);
	EXPECT_EQ(ms_bucket(self->fd, "k"), st.bucket);
	EXPECT_EQ(0, st.reserved);
}

/* The time is the writer's moment, not the reader's and not that of the key's creation */
TEST_F(ops, stat_time_of_each_write)
{
	__u64 before, after;
	struct metastore_stat st;
	int i, ret;

	for (i = 0; i < 20; i++) {
		before = ms_now(CLOCK_REALTIME);
		ret = (i % 2 ? ms_set : ms_publish)(self->fd, "k", "v", NULL);
		ASSERT_EQ(0, ret);
		after = ms_now(CLOCK_REALTIME);
		ms_sleep(SECOND / 500);
		ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
		ASSERT_LE(before, st.time);
		ASSERT_GE(after, st.time);
	}
}

TEST_F(ops, stat_writer_is_the_child)
{
	struct metastore_stat st;
	pid_t pid;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	pid = ms_fork();
	if (!pid)
		_exit(ms_set(self->fd, "k", "v", NULL) != 0);
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(pid, st.tgid);
}

static void *set_from_thread(void *arg)
{
	return (void *)(intptr_t)ms_set(*(int *)arg, "k", "v", NULL);
}

/* A process, not a thread */
TEST_F(ops, stat_writer_is_the_process)
{
	struct metastore_stat st;
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, pthread_create(&thread, NULL, set_from_thread, &self->fd));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	ASSERT_EQ(NULL, ret);
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(getpid(), st.tgid);
}

TEST_F(ops, stat_writer_in_pid_namespace)
{
	struct metastore_stat st;
	pid_t pid;

	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	pid = ms_fork();
	if (!pid)
		_exit(getpid() != 1 || ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(pid, st.tgid);
}

TEST_F(ops, stat_effective_uid)
{
	struct metastore_stat st;
	pid_t pid = ms_fork();

	if (!pid)
		_exit(seteuid(1234) || ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(1234, st.uid);
	EXPECT_EQ(pid, st.tgid);
}

TEST_F(ops, stat_uid_for_good)
{
	struct metastore_stat st;
	pid_t pid = ms_fork();

	if (!pid)
		_exit(setresuid(4321, 4321, 4321) || ms_publish(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(4321, st.uid);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	int ret = fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text);

	close(fd);
	return ret;
}

/* The same value, asked for from a user namespace that has a name for its writer or has not */
TEST_F(ops, stat_uid_in_user_namespace)
{
	struct metastore_stat st;
	char path[64];
	int go[2], ready[2];
	pid_t pid = ms_fork();
	char c;

	if (!pid)
		_exit(seteuid(1234) || ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(ready));
	pid = ms_fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(1);
		if (ms_stat(self->fd, "k", &st) || st.uid != 65534)
			_exit(2);
		if (write(ready[1], "", 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(3);
		if (ms_stat(self->fd, "k", &st))
			_exit(4);
		_exit(st.uid == 77 ? 0 : 5);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
		ASSERT_EQ(0, write_file(path, "77 1234 1"));
		ASSERT_EQ(1, write(go[1], "", 1));
	}
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(ops, stat_from_user_namespace_writer)
{
	struct metastore_stat st;
	pid_t pid = ms_fork();

	if (!pid)
		_exit(setresuid(1234, 1234, 1234) || unshare(CLONE_NEWUSER) ||
		      ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(1234, st.uid);
}

static bool in_bucket(int fd, __u32 number, int bucket)
{
	return ms_bucketn(fd, &number, sizeof(number)) == bucket;
}

struct listing {
	__u32 keys;
	__u32 calls;
	__u32 bad;
	__u64 sum;
};

/*
 * Lists keys that are a u32 each, @count of them, into @seen; checks what the
 * header says of an entry.
 */
static int list_all(int fd, const void *prefix, __u32 prefix_len, __u32 bucket, __u32 size,
		    __u8 *seen, __u32 count, struct listing *out)
{
	struct metastore_list arg;
	const struct metastore_list_entry *entry;
	char cursor[METASTORE_KEY_MAX];
	__u32 cursor_len = 0, pos, n, number;
	char *buf = malloc(size + 8);
	int ret;

	memset(out, 0, sizeof(*out));
	do {
		arg = (struct metastore_list) {
			.cursor = ms_ptr(cursor),
			.prefix = ms_ptr(prefix),
			.buffer = ms_ptr(buf),
			.cursor_len = cursor_len,
			.prefix_len = prefix_len,
			.buffer_len = size,
			.bucket = bucket,
			.entries = POISON32,
		};
		memset(buf, POISON, size + 8);
		ret = ms_ioctl(fd, METASTORE_IOC_LIST, &arg);
		if (ret)
			break;
		out->calls++;
		out->bad += !!memcmp(buf + size, "\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", 8);
		out->bad += arg.buffer_len > size;
		for (pos = 0, n = 0; pos < arg.buffer_len; pos += entry->len, n++) {
			entry = (const void *)(buf + pos);
			if (entry->header_len != sizeof(*entry) || entry->flags ||
			    entry->len != (entry->header_len + entry->key_len + 7U) / 8 * 8 ||
			    entry->len > arg.buffer_len - pos || !entry->version ||
			    entry->key_len != sizeof(number)) {
				out->bad++;
				break;
			}
			memcpy(&number, buf + pos + entry->header_len, sizeof(number));
			if (number >= count || entry->value_len != number % 100 ||
			    memcmp(buf + pos + entry->header_len + 4, "\0\0\0", 4))
				out->bad++;
			else
				seen[number]++;
			cursor_len = entry->key_len;
			memcpy(cursor, buf + pos + entry->header_len, cursor_len);
			out->keys++;
			out->sum += entry->version;
		}
		out->bad += n != arg.entries;
	} while (arg.entries && out->calls < 100000);
	free(buf);
	return ret;
}

static int store_numbers(int fd, __u32 count, __u64 *versions)
{
	char value[100] = "";
	__u64 version;
	__u32 i;
	int ret;

	*versions = 0;
	for (i = 0; i < count; i++) {
		ret = ms_setn(fd, &i, sizeof(i), value, i % 100, &version);
		if (ret)
			return ret;
		*versions += version;
	}
	return 0;
}

TEST_F(ops, list_empty)
{
	struct listing l;

	ASSERT_EQ(0, list_all(self->fd, NULL, 0, METASTORE_ANY_BUCKET, 4096, NULL, 0, &l));
	EXPECT_EQ(0, l.keys);
	EXPECT_EQ(1, l.calls);
	EXPECT_EQ(0, l.bad);
}

TEST_F(ops, list_every_key_once)
{
	static const __u32 sizes[] = { METASTORE_LIST_MIN, 513, 1000, 4096, 65536, 1 << 20 };
	__u32 i, s, count = 3000;
	__u8 *seen = malloc(count);
	struct listing l;
	__u64 versions;

	ASSERT_EQ(0, store_numbers(self->fd, count, &versions));
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		memset(seen, 0, count);
		ASSERT_EQ(0, list_all(self->fd, NULL, 0, METASTORE_ANY_BUCKET, sizes[s], seen,
				      count, &l));
		EXPECT_EQ(count, l.keys);
		EXPECT_EQ(0, l.bad);
		EXPECT_EQ(versions, l.sum);
		for (i = 0; i < count; i++)
			ASSERT_EQ(1, seen[i]);
	}
}

TEST_F(ops, list_longest_key_in_smallest_buffer)
{
	char buf[METASTORE_LIST_MIN + 8], key[METASTORE_KEY_MAX];
	struct metastore_list arg = {
		.buffer = ms_ptr(buf),
		.buffer_len = METASTORE_LIST_MIN,
		.bucket = METASTORE_ANY_BUCKET,
	};

	memset(key, 'k', sizeof(key));
	memset(buf, POISON, sizeof(buf));
	ASSERT_EQ(0, ms_setn(self->fd, key, sizeof(key), "", 0, NULL));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(1, arg.entries);
	EXPECT_EQ(280, arg.buffer_len);
	EXPECT_EQ(0, memcmp(buf + 24, key, sizeof(key)));
	EXPECT_EQ(0, buf[279]);
	EXPECT_EQ(0, memcmp(buf + 280, "\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", 8));
}

TEST_F(ops, list_of_buckets)
{
	__u32 i, bucket, keys = 0, count = 2000;
	__u8 *seen = calloc(count, 1);
	struct listing l;
	__u64 versions;

	ASSERT_EQ(0, store_numbers(self->fd, count, &versions));
	for (bucket = 0; bucket < self->info.buckets; bucket++) {
		ASSERT_EQ(0, list_all(self->fd, NULL, 0, bucket, 4096, seen, count, &l));
		ASSERT_EQ(0, l.bad);
		keys += l.keys;
	}
	EXPECT_EQ(count, keys);
	for (i = 0; i < count; i++)
		ASSERT_EQ(1, seen[i]);

	i = 7;
	bucket = ms_bucketn(self->fd, &i, sizeof(i));
	memset(seen, 0, count);
	ASSERT_EQ(0, list_all(self->fd, NULL, 0, bucket, 4096, seen, count, &l));
	for (i = 0; i < count; i++)
		ASSERT_EQ(seen[i], in_bucket(self->fd, i, bucket));
}

static bool begins(__u32 number, const void *prefix, __u32 len)
{
	return !memcmp(&number, prefix, len);
}

/* Every prefix of one of the keys, whichever byte of a number is the first */
TEST_F(ops, list_prefix)
{
	const __u32 prefix[] = { 0x105, 0 }, other = 0xa05;
	__u32 i, len, keys, count = 1000;
	__u8 *seen = malloc(count);
	struct listing l;
	__u64 versions;

	ASSERT_EQ(0, store_numbers(self->fd, count, &versions));
	for (len = 1; len <= 4; len++) {
		memset(seen, 0, count);
		ASSERT_EQ(0, list_all(self->fd, prefix, len, METASTORE_ANY_BUCKET, 512, seen, count,
				      &l));
		for (i = 0, keys = 0; i < count; i++) {
			ASSERT_EQ(begins(i, prefix, len), seen[i]);
			keys += seen[i];
		}
		EXPECT_EQ(keys, l.keys);
	}
	EXPECT_EQ(1, keys);
	ASSERT_EQ(0, list_all(self->fd, prefix, 5, METASTORE_ANY_BUCKET, 512, seen, count, &l));
	EXPECT_EQ(0, l.keys);
	ASSERT_EQ(0, list_all(self->fd, &other, 4, METASTORE_ANY_BUCKET, 512, seen, count, &l));
	EXPECT_EQ(0, l.keys);
}

TEST_F(ops, list_prefix_and_bucket)
{
	__u32 i = 5, bucket = ms_bucketn(self->fd, &i, sizeof(i)), count = 1000;
	const __u32 prefix = i, len = htole32(1) == 1 ? 1 : 3;
	__u8 *seen = calloc(count, 1);
	struct listing l;
	__u64 versions;

	/* Of numbers that end, or begin, alike: a few */
	ASSERT_EQ(0, store_numbers(self->fd, count, &versions));
	ASSERT_EQ(0, list_all(self->fd, &prefix, len, bucket, 512, seen, count, &l));
	for (i = 0; i < count; i++)
		ASSERT_EQ(begins(i, &prefix, len) && in_bucket(self->fd, i, bucket), seen[i]);
}

/* The cursor is a key that is gone, or never was: the rest of the list is the same */
TEST_F(ops, list_after_deleted_cursor)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list_entry *entry = (void *)buf;
	__u32 cursor = 0, cursor_len = 0, calls, count = 500;
	__u8 *seen = calloc(count, 1);
	struct metastore_list arg;
	__u64 versions;

	ASSERT_EQ(0, store_numbers(self->fd, count, &versions));
	for (calls = 0; calls <= count; calls++) {
		arg = (struct metastore_list) {
			.cursor = ms_ptr(&cursor),
			.buffer = ms_ptr(buf),
			.cursor_len = cursor_len,
			.buffer_len = sizeof(buf),
			.bucket = METASTORE_ANY_BUCKET,
		};
		ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
		if (!arg.entries)
			break;
		memcpy(&cursor, buf + entry->header_len, sizeof(cursor));
		ASSERT_GT(count, cursor);
		seen[cursor]++;
		cursor_len = sizeof(cursor);
		ASSERT_EQ(0, ms_deleten(self->fd, &cursor, sizeof(cursor), NULL));
	}
	EXPECT_EQ(count, calls);
	for (calls = 0; calls < count; calls++)
		ASSERT_EQ(1, seen[calls]);
}

/* The order of keys is the same in each listing, and what was set again stays in its place */
TEST_F(ops, list_order_lasts)
{
	__u32 i, round, n, count = 300;
	struct metastore_list arg;
	size_t size = count * 32 + METASTORE_LIST_MIN;
	char *first = malloc(size), *buf = malloc(size);
	__u64 versions;

	for (round = 0; round < 3; round++) {
		/* Growth and shrinking of the tables between the listings */
		ASSERT_EQ(0, store_numbers(self->fd, 3000, &versions));
		for (i = count; i < 3000; i++)
			ASSERT_EQ(0, ms_deleten(self->fd, &i, sizeof(i), NULL));
		for (n = 0; n < count; n += arg.entries) {
			arg = (struct metastore_list) {
				.cursor = ms_ptr(buf + n * 32 - 8),
				.buffer = ms_ptr(buf + n * 32),
				.cursor_len = n ? 4 : 0,
				.buffer_len = size - n * 32,
				.bucket = METASTORE_ANY_BUCKET,
			};
			ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
			ASSERT_NE(0, arg.entries);
		}
		ASSERT_EQ(count, n);
		if (!round)
			memcpy(first, buf, size);
		for (i = 0; i < n; i++)
			ASSERT_EQ(0, memcmp(first + i * 32 + 24, buf + i * 32 + 24, 8));
	}
}

TEST_F(ops, list_into_large_buffer)
{
	size_t size = 1UL << 30;
	char *buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct metastore_list arg = {
		.buffer = ms_ptr(buf),
		.buffer_len = size,
		.bucket = METASTORE_ANY_BUCKET,
	};

	ASSERT_NE(MAP_FAILED, buf);
	ASSERT_EQ(0, ms_set(self->fd, "k", "value", NULL));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(1, arg.entries);
	EXPECT_EQ(32, arg.buffer_len);
}

TEST_F(ops, flush_all)
{
	struct metastore_flush arg;
	__u64 versions;

	ASSERT_EQ(0, store_numbers(self->fd, 1000, &versions));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(1000, arg.values);
	EXPECT_EQ(0, arg.subscriptions);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(0, self->info.keys);
	EXPECT_EQ(0, self->info.bytes);
	EXPECT_EQ(1, self->info.subscriptions);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(0, arg.values);
}

TEST_F(ops, flush_prefix)
{
	struct metastore_flush arg;

	ASSERT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a.", "2", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a.b", "3", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a.c", "4", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "b.a.", "5", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, "a.", METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(3, arg.values);
	EXPECT_EQ(0, arg.subscriptions);
	EXPECT_STREQ("1", ms_str(self->fd, "a"));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "a."));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "a.b"));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "a.c"));
	EXPECT_STREQ("5", ms_str(self->fd, "b.a."));
}

TEST_F(ops, flush_bucket)
{
	__u32 i = 17, bucket = ms_bucketn(self->fd, &i, sizeof(i)), inside = 0, count = 1000;
	struct metastore_flush arg;
	__u64 versions;
	__u8 buf[100];

	ASSERT_EQ(0, store_numbers(self->fd, count, &versions));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, bucket, 0, &arg));
	for (i = 0; i < count; i++) {
		if (in_bucket(self->fd, i, bucket)) {
			inside++;
			ASSERT_EQ(-ENOENT, ms_getn(self->fd, &i, sizeof(i), buf, 100, NULL));
		} else {
			ASSERT_EQ(i % 100, ms_getn(self->fd, &i, sizeof(i), buf, 100, NULL));
		}
	}
	EXPECT_LE(1, inside);
	EXPECT_EQ(inside, arg.values);
}

TEST_F(ops, flush_subscriptions)
{
	struct metastore_flush arg;
	int fd = ms_open(O_RDONLY);

	ASSERT_EQ(0, ms_set(self->fd, "a.b", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "b.b", "1", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "a.b", 0, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b.b", 0, 0));
	ASSERT_EQ(0, ms_subscribe(fd, "a.b", 0, 0));
	ASSERT_EQ(0, ms_subscribe(fd, "a.without value", 0, 0));
	ASSERT_EQ(0, ms_flush(self->fd, "a.", METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS,
			      &arg));
	EXPECT_EQ(1, arg.values);
	EXPECT_EQ(3, arg.subscriptions);
	EXPECT_EQ(0, ms_subscribers(self->fd, "a.b"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "a.without value"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "b.b"));
	EXPECT_STREQ("1", ms_str(self->fd, "b.b"));
	EXPECT_EQ(0, ms_publish(self->fd, "a.b", "2", NULL));
	EXPECT_EQ(1, ms_publish(self->fd, "b.b", "2", NULL));
	/* Free to subscribe again */
	EXPECT_EQ(-ENOENT, ms_unsubscribe(fd, "a.b"));
	EXPECT_EQ(0, ms_subscribe(fd, "a.b", 0, 0));
}

TEST_F(ops, flush_subscriptions_of_bucket)
{
	struct metastore_flush arg;
	__u32 i, bucket = ms_bucket(self->fd, "k"), inside = 1;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, ms_subscriben(self->fd, &i, sizeof(i), 0, 0));
		inside += in_bucket(self->fd, i, bucket);
	}
	ASSERT_EQ(0, ms_flush(self->fd, NULL, bucket, METASTORE_FLUSH_SUBSCRIPTIONS, &arg));
	EXPECT_EQ(inside, arg.subscriptions);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(201 - inside, self->info.subscriptions);
}

TEST_HARNESS_MAIN
