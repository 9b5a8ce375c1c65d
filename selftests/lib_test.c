// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore, function by function. The business here is not what the kernel
 * does, but that each function asks for the right thing and hands out what it
 * got. Where the kernel cannot be brought to do something wrong, or at the right
 * moment, a pipe or an ioctl() of our own takes its place. Events are in
 * lib_event_test.c, kernels that do something wrong in lib_fake_test.c, conditions
 * and owners in lib_keys_test.c, private stores in lib_private_test.c, batches in
 * lib_batch_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

/* Each function with the real store */

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

TEST_HARNESS_MAIN
