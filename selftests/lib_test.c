// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore, function by function. What the kernel does is not its business
 * here, but that each function asks for the right thing and hands out what it
 * got. Where the kernel cannot be brought to do something wrong, or at the right
 * moment, a pipe or an ioctl() of our own takes its place. Conditions, owners and
 * private stores are in lib_keys_test.c, batches in lib_batch_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

/* Opening */

TEST(release_null)
{
	mstore_close(NULL);
	mstore_list_free(NULL);
	mstore_event_buffer_free(NULL);
}

TEST(open_path)
{
	struct mstore *store = mstore_open(DEVICE, MSTORE_RDWR);

	ASSERT_NE(NULL, store);
	EXPECT_EQ(O_RDWR, fcntl(mstore_fd(store), F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(FD_CLOEXEC, fcntl(mstore_fd(store), F_GETFD));
	mstore_close(store);

	EXPECT_NULL_ERRNO(ENOENT, mstore_open("/nowhere/metastore", MSTORE_READ));
}

TEST(open_flags)
{
	static const int bad[] = { 0, MSTORE_NONBLOCK, MSTORE_READ | 8, -1 };
	static const struct {
		int flags, mode;
	} good[] = {
		{ MSTORE_READ, O_RDONLY },
		{ MSTORE_WRITE, O_WRONLY },
		{ MSTORE_READ | MSTORE_WRITE | MSTORE_NONBLOCK, O_RDWR | O_NONBLOCK },
	};
	struct mstore *store;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_NULL_ERRNO(EINVAL, mstore_open("/dev/null", bad[i]));

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		store = mstore_open("/dev/null", good[i].flags);
		ASSERT_NE(NULL, store);
		EXPECT_EQ(good[i].mode,
			  fcntl(mstore_fd(store), F_GETFL) & (O_ACCMODE | O_NONBLOCK));
		mstore_close(store);
	}
}

TEST(open_by_environment)
{
	struct mstore *store;

	setenv("METASTORE_STORE", "/nowhere/metastore", 1);
	EXPECT_NULL_ERRNO(ENOENT, mstore_open(NULL, MSTORE_READ));

	store = mstore_open("/dev/null", MSTORE_READ);
	EXPECT_NE(NULL, store);
	mstore_close(store);

	setenv("METASTORE_STORE", "/dev/null", 1);
	store = mstore_open(NULL, MSTORE_READ);
	ASSERT_NE(NULL, store);
	EXPECT_ERRNO(ENOTTY, mstore_delete(store, "k", 1, NULL));
	mstore_close(store);
}

TEST(open_default)
{
	struct mstore *store;
	struct mstore_info info;

	unsetenv("METASTORE_STORE");
	store = mstore_open(NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, store);
	EXPECT_EQ(0, mstore_info(store, MSTORE_ANY_BUCKET, &info));
	mstore_close(store);

	setenv("METASTORE_STORE", "", 1);
	store = mstore_open(NULL, MSTORE_RDWR);
	EXPECT_NE(NULL, store);
	mstore_close(store);
}

TEST(open_fd)
{
	struct mstore *store;
	int fd = open("/dev/null", O_RDWR);

	ASSERT_LE(0, fd);
	store = mstore_open_fd(fd);
	ASSERT_NE(NULL, store);
	EXPECT_EQ(fd, mstore_fd(store));
	mstore_close(store);
	EXPECT_ERRNO(EBADF, fcntl(fd, F_GETFD));

	EXPECT_NULL_ERRNO(EBADF, mstore_open_fd(-1));
}

TEST(not_a_store)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_RDWR);
	struct mstore_list *list = mstore_list_new(store, NULL, 0, MSTORE_ANY_BUCKET);
	struct mstore_info info;
	struct mstore_stat stat;
	size_t size = 1;
	char value;

	ASSERT_NE(NULL, list);
	EXPECT_ERRNO(ENOTTY, mstore_set(store, "k", 1, "v", 1, NULL));
	EXPECT_ERRNO(ENOTTY, mstore_publish(store, "k", 1, "v", 1, NULL));
	EXPECT_ERRNO(ENOTTY, mstore_get(store, "k", 1, &value, &size, NULL));
	EXPECT_NULL_ERRNO(ENOTTY, mstore_get_alloc(store, "k", 1, NULL, NULL));
	EXPECT_ERRNO(ENOTTY, mstore_delete(store, "k", 1, NULL));
	EXPECT_ERRNO(ENOTTY, mstore_flush(store, NULL, 0, MSTORE_ANY_BUCKET, 0, NULL, NULL));
	EXPECT_ERRNO(ENOTTY, mstore_stat(store, "k", 1, &stat));
	EXPECT_ERRNO(ENOTTY, mstore_bucket(store, "k", 1, NULL));
	EXPECT_ERRNO(ENOTTY, mstore_info(store, MSTORE_ANY_BUCKET, &info));
	EXPECT_ERRNO(ENOTTY, mstore_list_next(list));
	EXPECT_ERRNO(ENOTTY, mstore_subscribe(store, "k", 1, 0, 0));
	EXPECT_ERRNO(ENOTTY, mstore_unsubscribe(store, "k", 1));
	EXPECT_ERRNO(ENOTTY, mstore_subscribers(store, "k", 1));
	mstore_list_free(list);
	mstore_close(store);
}

/* What the real store does for each function */

TEST_F(store, set_get)
{
	static const char key[] = PREFIX "\0\xff\n", value[] = "a\0b";
	uint64_t set_version = 0, version = 0;
	char buffer[16];
	size_t size = sizeof(buffer);

	EXPECT_EQ(0, mstore_set(self->store, key, sizeof(key), value, sizeof(value),
				&set_version));
	EXPECT_EQ(0, mstore_get(self->store, key, sizeof(key), buffer, &size, &version));
	EXPECT_EQ(sizeof(value), size);
	EXPECT_EQ(0, memcmp(buffer, value, sizeof(value)));
	EXPECT_NE(0, version);
	EXPECT_EQ(set_version, version);

	EXPECT_EQ(0, mstore_set(self->store, key, sizeof(key), NULL, 0, NULL));
	size = sizeof(buffer);
	EXPECT_EQ(0, mstore_get(self->store, key, sizeof(key), buffer, &size, NULL));
	EXPECT_EQ(0, size);
}

TEST_F(store, c_strings)
{
	char buffer[16];
	size_t size = sizeof(buffer);

	EXPECT_EQ(0, mstore_set(self->store, KEY, MSTORE_STRLEN, "value", MSTORE_STRLEN, NULL));
	EXPECT_EQ(0, mstore_get(self->store, KEY, strlen(KEY), buffer, &size, NULL));
	EXPECT_EQ(5, size);
	EXPECT_EQ(0, memcmp(buffer, "value", 5));
	EXPECT_ERRNO(EINVAL, mstore_set(self->store, "", MSTORE_STRLEN, "v", 1, NULL));
}

/* Lengths whose low 32 bits would be good ones are not good ones. */
TEST_F(store, lengths)
{
	static const size_t bad_keys[] = {
		0, MSTORE_KEY_MAX + 1, UINT32_MAX, SIZE_MAX,
#if SIZE_MAX > UINT32_MAX
		(size_t)UINT32_MAX + 2,
#endif
	};
	char key[MSTORE_KEY_MAX + 1], value;
	uint64_t version = POISON;
	size_t size;

	memset(key, 'k', sizeof(key));
	for (size_t i = 0; i < ARRAY_SIZE(bad_keys); i++) {
		size = 1;
		EXPECT_ERRNO(EINVAL, mstore_set(self->store, key, bad_keys[i], "v", 1,
						&version));
		EXPECT_ERRNO(EINVAL, mstore_get(self->store, key, bad_keys[i], &value,
						&size, &version));
		EXPECT_EQ(1, size);
	}
	EXPECT_ERRNO(EMSGSIZE, mstore_set(self->store, KEY, strlen(KEY), "v", SIZE_MAX,
					  &version));
#if SIZE_MAX > UINT32_MAX
	EXPECT_ERRNO(EMSGSIZE, mstore_publish(self->store, KEY, strlen(KEY), "v",
					      (size_t)UINT32_MAX + 2, &version));
#endif
	EXPECT_EQ(POISON, version);

	memcpy(key, PREFIX, strlen(PREFIX));
	EXPECT_EQ(0, mstore_set(self->store, key, MSTORE_KEY_MAX, "v", 1, NULL));
	size = SIZE_MAX - UINT32_MAX ? SIZE_MAX - UINT32_MAX : SIZE_MAX;
	EXPECT_EQ(0, mstore_get(self->store, key, MSTORE_KEY_MAX, &value, &size, NULL));
	EXPECT_EQ(1, size);
	EXPECT_EQ('v', value);
}

TEST_F(store, get_errors)
{
	uint64_t set_version = 0, version = POISON;
	char buffer[4] = "same";
	size_t size = sizeof(buffer);

	EXPECT_ERRNO(ENOENT, mstore_get(self->store, KEY, strlen(KEY), buffer, &size,
					&version));
	EXPECT_EQ(POISON, version);
	EXPECT_EQ(sizeof(buffer), size);

	EXPECT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "12345", 5, &set_version));
	EXPECT_ERRNO(ERANGE, mstore_get(self->store, KEY, strlen(KEY), buffer, &size,
					&version));
	EXPECT_EQ(5, size);
	EXPECT_EQ(set_version, version);
	EXPECT_EQ(0, memcmp(buffer, "same", 4));
	EXPECT_ERRNO(EFAULT, mstore_get(self->store, KEY, strlen(KEY), (void *)1, &size,
					NULL));
}

TEST_F(store, get_alloc)
{
	struct mstore_info info;
	uint64_t set_version = 0, version = POISON;
	size_t sizes[] = { 0, 1, 511, 512, 513, 0 }, size = POISON & SIZE_MAX;
	char *value, *larger;

	EXPECT_NULL_ERRNO(ENOENT, mstore_get_alloc(self->store, KEY, strlen(KEY), &size, &version));
	EXPECT_EQ(POISON & SIZE_MAX, size);
	EXPECT_EQ(POISON, version);

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	sizes[ARRAY_SIZE(sizes) - 1] = info.max_value;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		value = malloc(sizes[i] + 1);
		ASSERT_NE(NULL, value);
		memset(value, 'v', sizes[i]);
		value[sizes[i]] = '\0';
		ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), value, sizes[i],
					&set_version));
		larger = mstore_get_alloc(self->store, KEY, strlen(KEY), &size, &version);
		ASSERT_NE(NULL, larger);
		EXPECT_EQ(sizes[i], size);
		EXPECT_EQ(set_version, version);
		EXPECT_EQ(0, memcmp(value, larger, sizes[i] + 1));
		free(larger);
		free(value);
	}

	value = mstore_get_alloc(self->store, KEY, strlen(KEY), NULL, NULL);
	EXPECT_NE(NULL, value);
	free(value);
}

TEST_F(store, delete)
{
	uint64_t set_version = 0, version = POISON;

	EXPECT_ERRNO(ENOENT, mstore_delete(self->store, KEY, strlen(KEY), &version));
	EXPECT_EQ(POISON, version);

	EXPECT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, &set_version));
	EXPECT_EQ(0, mstore_delete(self->store, KEY, strlen(KEY), &version));
	EXPECT_LT(set_version, version);
	EXPECT_ERRNO(ENOENT, mstore_delete(self->store, KEY, strlen(KEY), NULL));
}

TEST_F(store, flush)
{
	uint64_t values = POISON, subscriptions = POISON;
	int bucket = mstore_bucket(self->store, KEY, strlen(KEY), NULL);
	uint32_t buckets = 0;

	ASSERT_LE(0, mstore_bucket(self->store, KEY, strlen(KEY), &buckets));
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));
	ASSERT_EQ(0, mstore_set(self->store, PREFIX "other", MSTORE_STRLEN, "v", 1, NULL));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));

	EXPECT_ERRNO(ERANGE, mstore_flush(self->store, PREFIX, strlen(PREFIX), (int)buckets, 0,
					  &values, &subscriptions));
	EXPECT_ERRNO(EINVAL, mstore_flush(self->store, PREFIX, strlen(PREFIX), bucket,
					  1 << 30, &values, &subscriptions));
	EXPECT_EQ(POISON, values);
	EXPECT_EQ(POISON, subscriptions);

	EXPECT_EQ(0, mstore_flush(self->store, KEY, strlen(KEY), bucket, 0, &values,
				  &subscriptions));
	EXPECT_EQ(1, values);
	EXPECT_EQ(0, subscriptions);
	EXPECT_EQ(0, mstore_flush(self->store, PREFIX, strlen(PREFIX), MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_SUBSCRIPTIONS, &values, &subscriptions));
	EXPECT_EQ(1, values);
	EXPECT_EQ(1, subscriptions);

	ASSERT_EQ(0, seteuid(65534));
	EXPECT_ERRNO(EPERM, mstore_flush(self->store, PREFIX, strlen(PREFIX),
					 MSTORE_ANY_BUCKET, MSTORE_FLUSH_SUBSCRIPTIONS,
					 NULL, NULL));
	ASSERT_EQ(0, seteuid(0));
}

TEST_F(store, stat)
{
	struct mstore_stat stat;
	struct timespec now;
	uint64_t version = 0, before;

	memset(&stat, 0xcc, sizeof(stat));
	EXPECT_ERRNO(ENOENT, mstore_stat(self->store, KEY, strlen(KEY), &stat));
	EXPECT_EQ(POISON, stat.version);

	clock_gettime(CLOCK_REALTIME, &now);
	before = (uint64_t)now.tv_sec * 1000000000;
	ASSERT_EQ(0, seteuid(65534));
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "value", 5, &version));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	EXPECT_EQ(0, mstore_stat(self->store, KEY, strlen(KEY), &stat));
	EXPECT_EQ(version, stat.version);
	EXPECT_LE(before, stat.time);
	EXPECT_GT(before + 60000000000, stat.time);
	EXPECT_EQ(5, stat.value_len);
	EXPECT_EQ(getpid(), stat.tgid);
	EXPECT_EQ(65534, stat.uid);
	EXPECT_EQ(1, stat.subscribers);
	EXPECT_EQ((uint32_t)mstore_bucket(self->store, KEY, strlen(KEY), NULL), stat.bucket);
	for (size_t i = 0; i < ARRAY_SIZE(stat.reserved); i++)
		EXPECT_EQ(0, stat.reserved[i]);
}

TEST_F(store, bucket)
{
	uint32_t buckets = 0;
	int bucket = mstore_bucket(self->store, KEY, strlen(KEY), &buckets);
	struct mstore_info info;

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	EXPECT_EQ(info.buckets, buckets);
	EXPECT_LE(0, bucket);
	EXPECT_GT(buckets, (uint32_t)bucket);
	EXPECT_EQ(bucket, mstore_bucket(self->store, KEY, MSTORE_STRLEN, NULL));
	EXPECT_ERRNO(EINVAL, mstore_bucket(self->store, KEY, 0, NULL));
}

TEST_F(store, info)
{
	struct mstore_info info, all, later;
	int bucket = mstore_bucket(self->store, KEY, strlen(KEY), NULL);

	memset(&info, 0xcc, sizeof(info));
	EXPECT_EQ(0, mstore_info(self->store, bucket, &info));
	EXPECT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &all));
	EXPECT_ERRNO(ERANGE, mstore_info(self->store, (int)all.buckets, &later));

	EXPECT_EQ(MSTORE_KEY_MAX, all.key_max);
	EXPECT_LT(0, all.max_value);
	EXPECT_LT(0, all.queue_len);
	EXPECT_LT(0, all.queue_bytes);
	EXPECT_LT(0, all.max_subscriptions);
	EXPECT_LT(0, all.max_keys);
	EXPECT_LT(0, all.max_bytes);
	EXPECT_EQ(all.max_keys, info.max_keys);
	for (size_t i = 0; i < ARRAY_SIZE(info.reserved); i++)
		EXPECT_EQ(0, info.reserved[i]);

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "value", 5, NULL));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	EXPECT_EQ(0, mstore_info(self->store, bucket, &later));
	EXPECT_EQ(info.keys + 1, later.keys);
	EXPECT_EQ(info.bytes + strlen(KEY) + 5 + METASTORE_VALUE_OVERHEAD, later.bytes);
	EXPECT_EQ(info.subscriptions + 1, later.subscriptions);
	EXPECT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &later));
	EXPECT_EQ(all.keys + 1, later.keys);
}

TEST(access_modes)
{
	struct mstore *reader = mstore_open(DEVICE, MSTORE_READ);
	struct mstore *writer = mstore_open(DEVICE, MSTORE_WRITE);
	struct mstore_event_buffer *buffer = mstore_event_buffer_new(0);
	struct mstore_list *list;
	struct mstore_stat stat;
	size_t size = 1;
	char value;

	ASSERT_NE(NULL, reader);
	ASSERT_NE(NULL, writer);
	list = mstore_list_new(writer, NULL, 0, MSTORE_ANY_BUCKET);
	ASSERT_NE(NULL, list);

	EXPECT_ERRNO(EBADF, mstore_set(reader, KEY, strlen(KEY), "v", 1, NULL));
	EXPECT_ERRNO(EBADF, mstore_publish(reader, KEY, strlen(KEY), "v", 1, NULL));
	EXPECT_ERRNO(EBADF, mstore_delete(reader, KEY, strlen(KEY), NULL));
	EXPECT_ERRNO(EBADF, mstore_flush(reader, PREFIX, strlen(PREFIX), MSTORE_ANY_BUCKET, 0,
					 NULL, NULL));
	EXPECT_ERRNO(EBADF, mstore_get(writer, KEY, strlen(KEY), &value, &size, NULL));
	EXPECT_NULL_ERRNO(EBADF, mstore_get_alloc(writer, KEY, strlen(KEY), NULL, NULL));
	EXPECT_ERRNO(EBADF, mstore_stat(writer, KEY, strlen(KEY), &stat));
	EXPECT_ERRNO(EBADF, mstore_list_next(list));
	EXPECT_ERRNO(EBADF, mstore_subscribe(writer, KEY, strlen(KEY), 0, 0));
	EXPECT_ERRNO(EBADF, mstore_unsubscribe(writer, KEY, strlen(KEY)));
	EXPECT_ERRNO(EBADF, mstore_subscribers(writer, KEY, strlen(KEY)));
	EXPECT_ERRNO(EBADF, mstore_read_events(writer, buffer));

	mstore_list_free(list);
	mstore_event_buffer_free(buffer);
	mstore_close(writer);
	mstore_close(reader);
}

/* Lists */

#define KEYS	4000

TEST_F(store, list)
{
	static uint64_t versions[KEYS];
	static bool seen[KEYS];
	struct mstore_list *list;
	char key[32], number[8];
	const char *listed;
	size_t len;
	unsigned long i;
	int keys = 0, ret;

	for (i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), PREFIX "n/%lu", i);
		ASSERT_EQ(0, mstore_set(self->store, key, MSTORE_STRLEN, "value", i % 5,
					&versions[i]));
	}
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));

	list = mstore_list_new(self->store, PREFIX "n/", MSTORE_STRLEN, MSTORE_ANY_BUCKET);
	ASSERT_NE(NULL, list);
	while ((ret = mstore_list_next(list)) > 0) {
		listed = mstore_list_key(list, &len);
		ASSERT_LT(strlen(PREFIX "n/"), len);
		ASSERT_EQ(0, memcmp(listed, PREFIX "n/", strlen(PREFIX "n/")));
		snprintf(number, sizeof(number), "%.*s", (int)(len - strlen(PREFIX "n/")),
			 mstore_list_key(list, NULL) + strlen(PREFIX "n/"));
		i = strtoul(number, NULL, 10);
		ASSERT_GT(KEYS, i);
		EXPECT_FALSE(seen[i]);
		seen[i] = true;
		EXPECT_EQ(i % 5, mstore_list_value_len(list));
		EXPECT_EQ(versions[i], mstore_list_version(list));
		keys++;
	}
	EXPECT_EQ(0, ret);
	EXPECT_EQ(KEYS, keys);
	EXPECT_EQ(0, mstore_list_next(list));
	mstore_list_free(list);
}

TEST_F(store, list_bucket)
{
	uint32_t buckets = 0;
	int bucket = mstore_bucket(self->store, KEY, strlen(KEY), &buckets);
	struct mstore_list *list;
	size_t len;

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));
	list = mstore_list_new(self->store, KEY, strlen(KEY), bucket);
	ASSERT_NE(NULL, list);
	EXPECT_EQ(1, mstore_list_next(list));
	EXPECT_EQ(0, memcmp(KEY, mstore_list_key(list, &len), strlen(KEY)));
	EXPECT_EQ(strlen(KEY), len);
	EXPECT_EQ(0, mstore_list_next(list));
	mstore_list_free(list);

	list = mstore_list_new(self->store, NULL, 0, (int)buckets);
	ASSERT_NE(NULL, list);
	EXPECT_ERRNO(ERANGE, mstore_list_next(list));
	mstore_list_free(list);

	if (buckets < 2)
		return;
	list = mstore_list_new(self->store, KEY, strlen(KEY),
			       (bucket + 1) % (int)buckets);
	ASSERT_NE(NULL, list);
	EXPECT_EQ(0, mstore_list_next(list));
	mstore_list_free(list);
}

TEST(list_prefix_too_long)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	char prefix[MSTORE_KEY_MAX + 1] = "";

	EXPECT_NULL_ERRNO(EINVAL, mstore_list_new(store, prefix, sizeof(prefix),
						  MSTORE_ANY_BUCKET));
	EXPECT_NULL_ERRNO(EINVAL, mstore_list_new(store, prefix, SIZE_MAX, MSTORE_ANY_BUCKET));
	mstore_close(store);
}

/* Subscriptions and events */

TEST_F(store, subscribe)
{
	uint64_t cookie = POISON;

	EXPECT_EQ(0, mstore_subscribers(self->store, KEY, strlen(KEY)));
	EXPECT_EQ(0, mstore_subscribe(self->store, KEY, MSTORE_STRLEN, 0, cookie));
	EXPECT_ERRNO(EEXIST, mstore_subscribe(self->store, KEY, strlen(KEY), ALL, 0));
	EXPECT_EQ(1, mstore_subscribers(self->store, KEY, strlen(KEY)));
	EXPECT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), "v", 1, NULL));

	EXPECT_EQ(0, mstore_unsubscribe(self->store, KEY, strlen(KEY)));
	EXPECT_ERRNO(ENOENT, mstore_unsubscribe(self->store, KEY, strlen(KEY)));
	EXPECT_EQ(0, mstore_subscribers(self->store, KEY, strlen(KEY)));
	EXPECT_EQ(0, mstore_publish(self->store, KEY, strlen(KEY), "v", 1, NULL));

	EXPECT_ERRNO(EINVAL, mstore_subscribe(self->store, KEY, strlen(KEY),
					      MSTORE_EVENT_LOST, 0));
}

TEST_F_TIMEOUT(store, subscribe_too_much, 170)
{
	struct mstore_info info;
	char key[32];
	uint32_t i;

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	for (i = 0; i < info.max_subscriptions; i++) {
		snprintf(key, sizeof(key), PREFIX "%u", i);
		ASSERT_EQ(0, mstore_subscribe(self->store, key, MSTORE_STRLEN, 0, 0));
	}
	EXPECT_ERRNO(ENOBUFS, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
}

TEST_F(store, events)
{
	const struct mstore_event *event;
	uint64_t versions[3] = { 0 };
	static const int types[] = {
		MSTORE_EVENT_PUBLISHED, MSTORE_EVENT_SET, MSTORE_EVENT_DELETED
	};
	static const char *const values[] = { "published", "", "" };
	size_t len;

	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), ALL, 0x123456789abcdef));
	ASSERT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), "published", MSTORE_STRLEN,
				    &versions[0]));
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "", 0, &versions[1]));
	ASSERT_EQ(0, mstore_delete(self->store, KEY, strlen(KEY), &versions[2]));

	ASSERT_EQ(3, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	for (int i = 0; i < 3; i++) {
		ASSERT_NE(NULL, event);
		EXPECT_EQ(types[i], mstore_event_type(event));
		EXPECT_EQ(0, mstore_event_flags(event));
		EXPECT_EQ(0x123456789abcdef, mstore_event_cookie(event));
		EXPECT_EQ(0, memcmp(KEY, mstore_event_key(event, &len), strlen(KEY)));
		EXPECT_EQ(strlen(KEY), len);
		EXPECT_EQ(0, memcmp(values[i], mstore_event_value(event, &len),
				    strlen(values[i])));
		EXPECT_EQ(strlen(values[i]), len);
		EXPECT_EQ(versions[i], mstore_event_version(event));
		EXPECT_EQ(0, mstore_event_count(event));
		EXPECT_NE(0, mstore_event_time(event));
		EXPECT_EQ(getpid(), mstore_event_tgid(event));
		EXPECT_EQ(geteuid(), mstore_event_uid(event));
		event = mstore_event_next(self->buffer, event);
	}
	EXPECT_EQ(NULL, event);

	EXPECT_ERRNO(EAGAIN, mstore_read_events(self->store, self->buffer));
	EXPECT_EQ(NULL, mstore_event_next(self->buffer, NULL));
}

TEST_F(store, event_mask)
{
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));
	EXPECT_EQ(0, mstore_wait(self->store, 0));

	ASSERT_EQ(0, mstore_unsubscribe(self->store, KEY, strlen(KEY)));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), MSTORE_EVENT_SET, 0));
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));
	EXPECT_EQ(1, mstore_wait(self->store, 0));
}

TEST_F_TIMEOUT(store, flush_events, 170)
{
	const struct mstore_event *event;
	size_t len;

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), ALL, 7));
	ASSERT_EQ(0, mstore_subscribe(self->store, PREFIX, strlen(PREFIX), ALL, 8));
	ASSERT_EQ(0, mstore_flush(self->store, PREFIX, strlen(PREFIX), MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_SUBSCRIPTIONS, NULL, NULL));

	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_EQ(MSTORE_EVENT_DELETED, mstore_event_type(event));
	EXPECT_EQ(MSTORE_EVENT_F_FLUSH, mstore_event_flags(event));
	EXPECT_EQ(7, mstore_event_cookie(event));

	event = mstore_event_next(self->buffer, event);
	EXPECT_EQ(MSTORE_EVENT_FLUSHED, mstore_event_type(event));
	EXPECT_EQ(0, mstore_event_cookie(event));
	EXPECT_EQ(2, mstore_event_count(event));
	EXPECT_EQ(0, mstore_event_version(event));
	mstore_event_key(event, &len);
	EXPECT_EQ(0, len);
	mstore_event_value(event, &len);
	EXPECT_EQ(0, len);
}

TEST_F(store, lost_events)
{
	const struct mstore_event *event = NULL;
	struct mstore_info info;
	uint64_t lost = 0;
	uint32_t received = 0;
	int events;

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 7));
	for (uint32_t i = 0; i < info.queue_len + 5; i++)
		ASSERT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), &i, sizeof(i),
					    NULL));

	while ((events = mstore_read_events(self->store, self->buffer)) > 0) {
		while ((event = mstore_event_next(self->buffer, event))) {
			events--;
			EXPECT_EQ(7, mstore_event_cookie(event));
			if (mstore_event_type(event) != MSTORE_EVENT_LOST) {
				received++;
				continue;
			}
			EXPECT_EQ(0, received);
			EXPECT_EQ(0, mstore_event_version(event));
			lost += mstore_event_count(event);
		}
		EXPECT_EQ(0, events);
	}
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_LE(5, lost);
	EXPECT_EQ(info.queue_len + 5, received + lost);
}

TEST_F(store, buffer_grows)
{
	struct mstore_event_buffer *small = mstore_event_buffer_new(1);
	const struct mstore_event *event;
	static char value[5000];
	size_t len;

	ASSERT_NE(NULL, small);
	memset(value, 'v', sizeof(value));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	ASSERT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), "v", 1, NULL));
	ASSERT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), value, sizeof(value), NULL));

	EXPECT_EQ(1, mstore_read_events(self->store, small));
	EXPECT_EQ(1, mstore_read_events(self->store, small));
	event = mstore_event_next(small, NULL);
	ASSERT_NE(NULL, event);
	EXPECT_EQ(0, memcmp(value, mstore_event_value(event, &len), sizeof(value)));
	EXPECT_EQ(sizeof(value), len);
	EXPECT_EQ(NULL, mstore_event_next(small, event));
	mstore_event_buffer_free(small);
}

/* Another reader takes the large event between two calls. */
static int taken_once(void *arg)
{
	static int calls;
	int *next = arg;

	*next = calls++ ? 4096 : 0;
	return 0;
}

TEST_F(store, buffer_grows_late)
{
	struct mstore_event_buffer *small = mstore_event_buffer_new(1);

	ASSERT_NE(NULL, small);
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	ASSERT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), "v", 1, NULL));
	fake_kernel = taken_once;
	EXPECT_EQ(1, mstore_read_events(self->store, small));
	fake_kernel = NULL;
	mstore_event_buffer_free(small);
}

TEST(buffer_too_large)
{
	EXPECT_NULL_ERRNO(ENOMEM, mstore_event_buffer_new(SIZE_MAX));
}

TEST_F(store, wait)
{
	EXPECT_EQ(0, mstore_wait(self->store, 0));
	EXPECT_EQ(0, mstore_wait(self->store, 20));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	ASSERT_EQ(1, mstore_publish(self->store, KEY, strlen(KEY), "v", 1, NULL));
	EXPECT_EQ(1, mstore_wait(self->store, 0));
	EXPECT_EQ(1, mstore_wait(self->store, -1));
	EXPECT_EQ(1, mstore_read_events(self->store, self->buffer));
	EXPECT_EQ(0, mstore_wait(self->store, 0));
}

static void ignore(int signal)
{
	(void)signal;
}

TEST(signals)
{
	struct mstore *store = mstore_open(DEVICE, MSTORE_READ);
	struct mstore_event_buffer *buffer = mstore_event_buffer_new(0);
	struct sigaction action = { .sa_handler = ignore };
	struct itimerval timer = {
		.it_interval.tv_usec = 100000,
		.it_value.tv_usec = 100000,
	};

	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	EXPECT_ERRNO(EINTR, mstore_wait(store, -1));
	EXPECT_ERRNO(EINTR, mstore_read_events(store, buffer));
	memset(&timer, 0, sizeof(timer));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	mstore_event_buffer_free(buffer);
	mstore_close(store);
}

/* What a kernel would have to be broken, newer or quick for */

/* So that the C library has no byte to spare behind an allocation of the last size. */
#define GROWTH	104

static int growing_value(void *arg)
{
	static int calls;
	struct metastore_get *get = arg;

	if (calls++ < 3) {
		get->value_len += GROWTH;
		return -ERANGE;
	}
	memset((void *)(uintptr_t)get->value, 'v', get->value_len);
	get->version = 1;
	return 0;
}

static int vanishing_value(void *arg)
{
	static int calls;
	struct metastore_get *get = arg;

	if (calls++)
		return -ENOENT;
	get->value_len = 10000;
	get->version = 1;
	return -ERANGE;
}

static int senseless_range(void *arg)
{
	struct metastore_get *get = arg;

	get->version = 1;
	return -ERANGE;
}

TEST(get_alloc_races)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	uint64_t version = POISON;
	size_t len = 1;
	char *value;

	fake_kernel = vanishing_value;
	EXPECT_NULL_ERRNO(ENOENT, mstore_get_alloc(store, "k", 1, &len, &version));
	fake_kernel = senseless_range;
	EXPECT_NULL_ERRNO(ERANGE, mstore_get_alloc(store, "k", 1, &len, &version));
	EXPECT_EQ(1, len);
	EXPECT_EQ(POISON, version);

	fake_kernel = growing_value;
	value = mstore_get_alloc(store, "k", 1, &len, &version);
	ASSERT_NE(NULL, value);
	EXPECT_EQ(512 + 3 * GROWTH, len);
	EXPECT_LT(len, malloc_usable_size(value));
	EXPECT_EQ(len, strlen(value));
	EXPECT_EQ(1, version);
	free(value);
	mstore_close(store);
}

static int many(void *arg)
{
	struct metastore_set *set = arg;

	set->queues = UINT32_MAX;
	return 0;
}

TEST(count_is_no_error)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_WRITE);

	fake_kernel = many;
	EXPECT_EQ(INT_MAX, mstore_publish(store, "k", 1, "v", 1, NULL));
	mstore_close(store);
}

/* Answers LIST with these bytes, once. */
static struct {
	struct metastore_list_entry entry;
	char rest[296];
} fake_entry;
static uint32_t fake_list_len;
static uint32_t fake_cursor_len;

static int fake_list(void *arg)
{
	struct metastore_list *list = arg;

	fake_cursor_len = list->cursor_len;
	list->entries = fake_list_len ? 1 : 0;
	list->buffer_len = fake_list_len;
	memcpy((void *)(uintptr_t)list->buffer, &fake_entry, sizeof(fake_entry));
	fake_list_len = 0;
	return 0;
}

TEST(list_malformed)
{
	static const struct {
		uint32_t filled, len;
		uint16_t header_len, key_len;
	} bad[] = {
		{ 8, 32, 24, 3 },
		{ 24, 32, 24, 3 },
		{ 1 << 20, 32, 24, 3 },
		{ 32, 0, 24, 3 },
		{ 32, 24, 24, 3 },
		{ 28, 28, 24, 3 },
		{ 32, 0xfffffff8, 24, 3 },
		{ 32, 32, 16, 3 },
		{ 32, 32, 0xffff, 3 },
		{ 32, 32, 24, 0 },
		{ 32, 32, 24, 9 },
		{ 32, 32, 24, 0xffff },
		{ 320, 320, 24, 256 },
	};
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	struct mstore_list *list;

	fake_kernel = fake_list;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		list = mstore_list_new(store, NULL, 0, MSTORE_ANY_BUCKET);
		ASSERT_NE(NULL, list);
		fake_entry.entry.len = bad[i].len;
		fake_entry.entry.header_len = bad[i].header_len;
		fake_entry.entry.key_len = bad[i].key_len;
		fake_list_len = bad[i].filled;
		EXPECT_EQ(-1, mstore_list_next(list))
			TH_LOG("entry %zu", i);
		EXPECT_EQ(EPROTO, errno);
		mstore_list_free(list);
	}
	mstore_close(store);
}

TEST(list_newer_header)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	struct mstore_list *list = mstore_list_new(store, NULL, 0, MSTORE_ANY_BUCKET);
	size_t len;

	ASSERT_NE(NULL, list);
	fake_kernel = fake_list;
	fake_entry.entry.len = 40;
	fake_entry.entry.header_len = 32;
	fake_entry.entry.key_len = 3;
	memcpy(fake_entry.rest, "\x11\x11\x11\x11\x11\x11\x11\x11key", 11);
	fake_list_len = 40;
	ASSERT_EQ(1, mstore_list_next(list));
	EXPECT_EQ(0, memcmp("key", mstore_list_key(list, &len), 3));
	EXPECT_EQ(3, len);
	EXPECT_EQ(0, mstore_list_next(list));
	EXPECT_EQ(3, fake_cursor_len);
	mstore_list_free(list);
	mstore_close(store);
}

/* Events from a socket instead of a store */
FIXTURE(fake) {
	struct mstore *store;
	struct mstore_event_buffer *buffer;
	int kernel;
};

FIXTURE_SETUP(fake)
{
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
	self->kernel = fds[0];
	self->store = mstore_open_fd(fds[1]);
	ASSERT_NE(NULL, self->store);
	self->buffer = mstore_event_buffer_new(0);
	ASSERT_NE(NULL, self->buffer);
}

FIXTURE_TEARDOWN(fake)
{
	mstore_event_buffer_free(self->buffer);
	mstore_close(self->store);
	close(self->kernel);
}

TEST_F(fake, malformed)
{
	static const struct {
		uint32_t filled, len, header_len, key_len, value_len;
	} bad[] = {
		{ 1, 56, 48, 3, 0 },
		{ 8, 56, 48, 3, 0 },
		{ 48, 56, 48, 3, 0 },
		{ 55, 56, 48, 3, 0 },
		{ 57, 56, 48, 3, 0 },
		{ 64, 56, 48, 3, 0 },
		{ 112, 56, 48, 3, 0 },
		{ 56, 0, 48, 3, 0 },
		{ 56, 8, 48, 3, 0 },
		{ 52, 52, 48, 3, 0 },
		{ 56, 64, 48, 3, 0 },
		{ 56, 0xfffffff8, 48, 3, 0 },
		{ 56, 56, 0, 3, 0 },
		{ 56, 56, 40, 3, 0 },
		{ 56, 56, 56, 3, 0 },
		{ 56, 56, 0xffff, 3, 0 },
		{ 56, 56, 48, 9, 0 },
		{ 56, 56, 48, 0xffff, 0 },
		{ 56, 56, 48, 3, 6 },
		{ 56, 56, 48, 3, 0xffffffff - 50 },
		{ 56, 56, 48, 3, 0xffffffff },
	};
	struct {
		struct metastore_event record;
		char rest[64];
	} message;

	memset(&message, 0, sizeof(message));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		message.record.len = bad[i].len;
		message.record.header_len = (uint16_t)bad[i].header_len;
		message.record.key_len = (uint16_t)bad[i].key_len;
		message.record.value_len = bad[i].value_len;
		ASSERT_EQ(bad[i].filled, write(self->kernel, &message, bad[i].filled));
		EXPECT_EQ(-1, mstore_read_events(self->store, self->buffer))
			TH_LOG("record %zu", i);
		EXPECT_EQ(EPROTO, errno);
		EXPECT_EQ(NULL, mstore_event_next(self->buffer, NULL));
	}
}

TEST_F(fake, owner_end)
{
	struct {
		struct metastore_event record;
		struct metastore_owner_end end;
		char body[8];
	} message = {
		{
			.len = 64, .header_len = 56, .key_len = 3, .value_len = 5,
			.type = METASTORE_EVENT_DELETED, .flags = METASTORE_EVENT_F_OWNER,
		}, { -5, METASTORE_END_KILLED, 9 }, "keyvalue",
	};
	const struct mstore_event *event;
	int32_t tgid = 0;
	int code = 0;

	ASSERT_EQ(64, write(self->kernel, &message, sizeof(message)));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_EQ(MSTORE_EVENT_F_OWNER, mstore_event_flags(event));
	EXPECT_EQ(MSTORE_END_KILLED, mstore_event_end(event, &tgid, &code));
	EXPECT_EQ(-5, tgid);
	EXPECT_EQ(9, code);
	EXPECT_EQ(MSTORE_END_KILLED, mstore_event_end(event, NULL, NULL));
	EXPECT_EQ(0, memcmp("key", mstore_event_key(event, NULL), 3));
	EXPECT_EQ(0, memcmp("value", mstore_event_value(event, NULL), 5));

	/* The same bytes as an event of another kind, and one that says too little. */
	message.record.flags = 0;
	ASSERT_EQ(64, write(self->kernel, &message, sizeof(message)));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	errno = ENOENT;
	EXPECT_EQ(-1, mstore_event_end(mstore_event_next(self->buffer, NULL), &tgid, &code));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-5, tgid);
	EXPECT_EQ(9, code);

	message.record.flags = METASTORE_EVENT_F_OWNER;
	message.record.header_len = 48;
	ASSERT_EQ(64, write(self->kernel, &message, sizeof(message)));
	EXPECT_ERRNO(EPROTO, mstore_read_events(self->store, self->buffer));
}

TEST_F(fake, end_of_file)
{
	ASSERT_EQ(0, shutdown(self->kernel, SHUT_WR));
	EXPECT_ERRNO(EPROTO, mstore_read_events(self->store, self->buffer));
}

TEST_F(fake, newer_header_and_type)
{
	static const struct {
		struct metastore_event first;
		char first_body[8];
		struct metastore_event second;
		uint64_t unknown;
		char second_body[8];
	} message = {
		{ .len = 56, .header_len = 48, .key_len = 3, .value_len = 5 }, "keyvalue",
		{ .len = 64, .header_len = 56, .key_len = 4, .value_len = 4, .type = 1 << 10 },
		POISON, "KEY2VAL2",
	};
	const struct mstore_event *event;
	size_t len;

	ASSERT_EQ(sizeof(message), write(self->kernel, &message, sizeof(message)));
	EXPECT_EQ(1, mstore_wait(self->store, -1));
	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));

	event = mstore_event_next(self->buffer, NULL);
	ASSERT_NE(NULL, event);
	EXPECT_EQ(0, memcmp("key", mstore_event_key(event, NULL), 3));
	EXPECT_EQ(0, memcmp("value", mstore_event_value(event, NULL), 5));

	event = mstore_event_next(self->buffer, event);
	ASSERT_NE(NULL, event);
	EXPECT_EQ(1 << 10, mstore_event_type(event));
	EXPECT_EQ(0, memcmp("KEY2", mstore_event_key(event, &len), 4));
	EXPECT_EQ(4, len);
	EXPECT_EQ(0, memcmp("VAL2", mstore_event_value(event, &len), 4));
	EXPECT_EQ(4, len);
	EXPECT_EQ(NULL, mstore_event_next(self->buffer, event));
}

/* Every field where no other has the same value */
TEST_F(fake, fields)
{
	static const struct {
		struct metastore_event event, lost;
	} message = {
		{
			.len = 48, .header_len = 48, .type = METASTORE_EVENT_SET, .flags = 1,
			.cookie = 0x1122334455667788, .version = 0x2233445566778899,
			.time = 0x33445566778899aa, .tgid = -5, .uid = 0xfffffffe,
		}, {
			.len = 48, .header_len = 48, .type = METASTORE_EVENT_LOST,
			.count = 0x445566778899aabb,
		},
	};
	const struct mstore_event *event;

	ASSERT_EQ(sizeof(message), write(self->kernel, &message, sizeof(message)));
	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_EQ(MSTORE_EVENT_SET, mstore_event_type(event));
	EXPECT_EQ(1, mstore_event_flags(event));
	EXPECT_EQ(0x1122334455667788, mstore_event_cookie(event));
	EXPECT_EQ(0x2233445566778899, mstore_event_version(event));
	EXPECT_EQ(0x33445566778899aa, mstore_event_time(event));
	EXPECT_EQ(-5, mstore_event_tgid(event));
	EXPECT_EQ(0xfffffffe, mstore_event_uid(event));
	EXPECT_EQ(0, mstore_event_count(event));

	event = mstore_event_next(self->buffer, event);
	EXPECT_EQ(MSTORE_EVENT_LOST, mstore_event_type(event));
	EXPECT_EQ(0, mstore_event_version(event));
	EXPECT_EQ(0x445566778899aabb, mstore_event_count(event));
}

TEST_HARNESS_MAIN
