// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: changes that return the previous value, additions to a number, and what
 * there is to know about a value. Like lib_test.c, about what the library makes of them.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_keys_test.h"

#define MINUTES	60000ULL

/* Longer than the library's first buffers. */
#define LONG	10000

static int put(struct mstore *store, const char *value)
{
	return mstore_set(store, KEY, strlen(KEY), value, strlen(value), NULL);
}

/* A structure for the previous value whose fields no answer has by accident. */
static struct mstore_previous room_of(void *buffer, size_t size)
{
	memset(buffer, '#', size);
	return (struct mstore_previous) {
		.buffer = buffer, .size = size, .version = POISON, .owner = -1,
	};
}

static bool untouched(const struct mstore_previous *previous, size_t size)
{
	return previous->size == size && previous->version == POISON && previous->owner == -1;
}

/* The previous value */

TEST_F(store, previous_of_set)
{
	uint64_t first = 0, second = 0;
	char buffer[16];
	struct mstore_previous previous = room_of(buffer, sizeof(buffer));
	const struct mstore_options options = { .previous = &previous };

	EXPECT_EQ(0, set_with(self->store, "first", &options, &first));
	EXPECT_EQ(0, previous.size);
	EXPECT_EQ(0, previous.version);
	EXPECT_EQ(MSTORE_OWNER_NONE, previous.owner);
	EXPECT_EQ(&buffer[0], previous.buffer);

	previous = room_of(buffer, 5);
	EXPECT_EQ(0, set_with(self->store, "second", &options, &second));
	EXPECT_LT(first, second);
	EXPECT_EQ(5, previous.size);
	EXPECT_EQ(first, previous.version);
	EXPECT_EQ(0, memcmp("first#", buffer, 5));
	EXPECT_TRUE(holds(self->store, "second"));

	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), 0, 0));
	previous = room_of(buffer, sizeof(buffer));
	EXPECT_EQ(1, mstore_publish_with(self->store, KEY, strlen(KEY), "third", 5, &options,
					 NULL));
	EXPECT_EQ(6, previous.size);
	EXPECT_EQ(second, previous.version);
	EXPECT_EQ(0, memcmp("second#", buffer, 7));
}

TEST_F(store, previous_too_long)
{
	char buffer[16];
	uint64_t version = 0, got = POISON;
	struct mstore_previous previous = room_of(buffer, 4);
	const struct mstore_options options = { .previous = &previous };

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "value", 5, &version));
	EXPECT_ERRNO(ERANGE, set_with(self->store, "v", &options, &got));
	EXPECT_EQ(5, previous.size);
	EXPECT_EQ(version, previous.version);
	previous = room_of(buffer, 4);
	EXPECT_ERRNO(ERANGE, mstore_delete_with(self->store, KEY, strlen(KEY), &options, &got));
	EXPECT_EQ(5, previous.size);
	EXPECT_EQ(version, previous.version);
	EXPECT_EQ('#', buffer[0]);
	EXPECT_EQ(POISON, got);
	EXPECT_TRUE(holds(self->store, "value"));

	/* The size is now the one that is needed. */
	EXPECT_EQ(0, mstore_delete_with(self->store, KEY, strlen(KEY), &options, &got));
	EXPECT_EQ(0, memcmp("value", buffer, 5));
	EXPECT_TRUE(holds(self->store, NULL));
}

TEST_F(store, previous_owner)
{
	struct mstore *other = mstore_open(DEVICE, MSTORE_RDWR);
	char buffer[16];
	struct mstore_previous previous = room_of(buffer, sizeof(buffer));
	struct mstore_options options = { .flags = MSTORE_OWNED, .previous = &previous };

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, set_with(other, "theirs", &owned, NULL));
	EXPECT_ERRNO(EBUSY, set_with(self->store, "mine", &options, NULL));
	EXPECT_TRUE(untouched(&previous, sizeof(buffer)));
	options.flags = MSTORE_OWNED | MSTORE_STEAL;
	EXPECT_EQ(0, set_with(self->store, "mine", &options, NULL));
	EXPECT_EQ(MSTORE_OWNER_OTHER, previous.owner);
	EXPECT_EQ(6, previous.size);
	previous = room_of(buffer, sizeof(buffer));
	options.flags = 0;
	EXPECT_EQ(0, set_with(self->store, "anybody's", &options, NULL));
	EXPECT_EQ(MSTORE_OWNER_SELF, previous.owner);
	mstore_close(other);
}

/* A call that fails says nothing about a value. */
TEST_F(store, previous_after_failures)
{
	char buffer[16];
	struct mstore_previous previous = room_of(buffer, sizeof(buffer));
	struct mstore_options options = { .flags = MSTORE_CREATE, .previous = &previous };

	EXPECT_ERRNO(ENOENT, mstore_delete_with(self->store, KEY, strlen(KEY),
						&(struct mstore_options) { .previous = &previous },
						NULL));
	ASSERT_EQ(0, put(self->store, "value"));
	EXPECT_ERRNO(EEXIST, set_with(self->store, "v", &options, NULL));
	options.flags = MSTORE_IF_VERSION;
	options.version = 1;
	EXPECT_ERRNO(ESTALE, set_with(self->store, "v", &options, NULL));
	EXPECT_ERRNO(ESTALE, mstore_delete_with(self->store, KEY, strlen(KEY), &options, NULL));

	/* The flag alone, which the room stands for, and fields without a meaning */
	options = (struct mstore_options) { .flags = METASTORE_F_PREVIOUS, .previous = &previous };
	EXPECT_ERRNO(EINVAL, set_with(self->store, "v", &options, NULL));
	EXPECT_ERRNO(EINVAL, mstore_delete_with(self->store, KEY, strlen(KEY), &options, NULL));
	options.flags = 0;
	for (size_t i = 0; i < ARRAY_SIZE(previous.reserved); i++) {
		previous.reserved[i] = 1ULL << 40;
		EXPECT_ERRNO(EINVAL, set_with(self->store, "v", &options, NULL));
		EXPECT_ERRNO(EINVAL, mstore_delete_with(self->store, KEY, strlen(KEY), &options,
							NULL));
		previous.reserved[i] = 0;
	}
	options.ttl_ms = 1;
	EXPECT_ERRNO(EINVAL, mstore_touch(self->store, KEY, strlen(KEY), &options, NULL));
	EXPECT_TRUE(untouched(&previous, sizeof(buffer)));
	EXPECT_EQ('#', buffer[0]);
	EXPECT_TRUE(holds(self->store, "value"));

	/* After this one the change is made. */
	options.ttl_ms = 0;
	previous.buffer = (void *)1;
	EXPECT_ERRNO(EFAULT, set_with(self->store, "new", &options, NULL));
	EXPECT_TRUE(holds(self->store, "new"));
}

TEST_F(store, previous_in_batch)
{
	char buffers[3][16];
	struct mstore_previous previous[3];
	struct mstore_options options[3] = { };
	struct mstore_batch *batch = mstore_batch_new();
	uint64_t version = 0;

	ASSERT_NE(NULL, batch);
	for (int i = 0; i < 3; i++) {
		previous[i] = room_of(buffers[i], i == 1 ? 3 : sizeof(buffers[i]));
		options[i].previous = &previous[i];
	}
	EXPECT_EQ(0, mstore_batch_set(batch, KEY, strlen(KEY), "first", 5, &options[0]));
	EXPECT_EQ(1, mstore_batch_publish(batch, KEY, strlen(KEY), "second", 6, &options[1]));
	EXPECT_EQ(2, mstore_batch_delete(batch, KEY, strlen(KEY), &options[2]));
	EXPECT_EQ(3, mstore_batch_set(batch, KEY, strlen(KEY), "last", 4, NULL));
	EXPECT_TRUE(untouched(&previous[0], sizeof(buffers[0])));
	EXPECT_EQ(0, mstore_batch_run(self->store, batch, 0));
	EXPECT_EQ(0, previous[0].version);
	EXPECT_EQ(0, previous[0].size);
	EXPECT_EQ(ERANGE, mstore_batch_result(batch, 1));
	EXPECT_EQ(5, previous[1].size);
	version = mstore_batch_version(batch, 0);
	EXPECT_EQ(version, previous[1].version);
	EXPECT_EQ(version, previous[2].version);
	EXPECT_EQ(5, previous[2].size);
	EXPECT_EQ(0, memcmp("first#", buffers[2], 6));

	/* Again: the room is what it was when the operation was added. */
	version = mstore_batch_version(batch, 3);
	EXPECT_EQ(0, mstore_batch_run(self->store, batch, 0));
	EXPECT_EQ(version, previous[0].version);
	EXPECT_EQ(4, previous[0].size);
	EXPECT_EQ(0, memcmp("last#", buffers[0], 5));
	EXPECT_EQ(ERANGE, mstore_batch_result(batch, 1));

	/* At one moment, or not at all */
	mstore_batch_clear(batch);
	previous[0] = room_of(buffers[0], sizeof(buffers[0]));
	previous[1] = room_of(buffers[1], 3);
	mstore_batch_set(batch, PREFIX "other", MSTORE_STRLEN, "v", 1, &options[0]);
	mstore_batch_set(batch, KEY, strlen(KEY), "v", 1, &options[1]);
	EXPECT_ERRNO(ECANCELED, mstore_batch_run(self->store, batch, MSTORE_BATCH_ATOMIC));
	EXPECT_EQ(1, mstore_batch_failed(batch));
	EXPECT_TRUE(untouched(&previous[0], sizeof(buffers[0])));
	EXPECT_EQ(4, previous[1].size);
	EXPECT_TRUE(holds(self->store, "last"));
	mstore_batch_clear(batch);
	previous[1] = room_of(buffers[1], sizeof(buffers[1]));
	mstore_batch_set(batch, PREFIX "other", MSTORE_STRLEN, "v", 1, &options[0]);
	mstore_batch_set(batch, KEY, strlen(KEY), "v", 1, &options[1]);
	EXPECT_EQ(0, mstore_batch_run(self->store, batch, MSTORE_BATCH_ATOMIC));
	EXPECT_EQ(0, previous[0].version);
	EXPECT_EQ(0, memcmp("last#", buffers[1], 5));

	previous[0].reserved[3] = 1;
	EXPECT_ERRNO(EINVAL, mstore_batch_set(batch, KEY, strlen(KEY), "v", 1, &options[0]));
	EXPECT_ERRNO(EINVAL, mstore_batch_delete(batch, KEY, strlen(KEY), &options[0]));
	EXPECT_ERRNO(EINVAL, mstore_batch_touch(batch, KEY, strlen(KEY), &options[1]));
	mstore_batch_free(batch);
}

/* Take and swap */

/* It is refused for its buffer: what it was to store is no answer */
TEST_F(store, previous_too_long_in_batch)
{
	struct mstore_batch *batch = mstore_batch_new();
	char buffer[2];
	struct mstore_previous previous = { .buffer = buffer, .size = sizeof(buffer) };
	const struct mstore_options options = {
		.flags = MSTORE_STEAL, .version = 7, .previous = &previous,
	};

	ASSERT_NE(NULL, batch);
	ASSERT_EQ(0, put(self->store, "value"));
	ASSERT_EQ(0, mstore_batch_set(batch, KEY, MSTORE_STRLEN, "new value", 9, &options));
	EXPECT_EQ(0, mstore_batch_run(self->store, batch, 0));
	EXPECT_EQ(ERANGE, mstore_batch_result(batch, 0));
	EXPECT_EQ(0, mstore_batch_value_len(batch, 0));
	EXPECT_EQ(0, mstore_batch_version(batch, 0));
	EXPECT_EQ(5, previous.size);
	EXPECT_TRUE(holds(self->store, "value"));
	mstore_batch_free(batch);
}

TEST_F(store, take)
{
	char *value, *original = malloc(LONG);
	uint64_t version = POISON, stored = 0;
	size_t len = 1;

	EXPECT_NULL_ERRNO(ENOENT, mstore_take(self->store, KEY, MSTORE_STRLEN, NULL, &len,
					      &version));
	EXPECT_EQ(POISON, version);
	EXPECT_EQ(1, len);
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "a\0b", 3, &stored));
	value = mstore_take(self->store, KEY, strlen(KEY), NULL, &len, &version);
	ASSERT_NE(NULL, value);
	EXPECT_EQ(3, len);
	EXPECT_EQ(stored, version);
	EXPECT_EQ(0, memcmp("a\0b", value, 4));
	free(value);
	EXPECT_TRUE(holds(self->store, NULL));

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), NULL, 0, NULL));
	value = mstore_take(self->store, KEY, strlen(KEY), NULL, NULL, NULL);
	ASSERT_NE(NULL, value);
	EXPECT_STREQ("", value);
	free(value);

	ASSERT_NE(NULL, original);
	memset(original, 'v', LONG);
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), original, LONG, NULL));
	value = mstore_take(self->store, KEY, strlen(KEY), NULL, &len, NULL);
	ASSERT_NE(NULL, value);
	EXPECT_EQ(LONG, len);
	EXPECT_EQ(0, memcmp(original, value, LONG));
	EXPECT_EQ('\0', value[LONG]);
	EXPECT_TRUE(holds(self->store, NULL));
	free(original);
	free(value);
}

TEST_F(store, take_with)
{
	struct mstore_options options = { .flags = MSTORE_IF_VERSION, .version = 1 };
	struct mstore *other = mstore_open(DEVICE, MSTORE_RDWR);
	struct mstore_previous previous = { };
	uint64_t stored = 0, version = POISON;
	char *value;

	ASSERT_NE(NULL, other);
	EXPECT_NULL_ERRNO(ESTALE, mstore_take(self->store, KEY, strlen(KEY), &options, NULL,
					      &version));
	EXPECT_EQ(0, version);
	ASSERT_EQ(0, set_with(other, "theirs", &owned, &stored));
	EXPECT_NULL_ERRNO(ESTALE, mstore_take(self->store, KEY, strlen(KEY), &options, NULL,
					      &version));
	EXPECT_EQ(stored, version);
	EXPECT_NULL_ERRNO(EBUSY, mstore_take(self->store, KEY, strlen(KEY), NULL, NULL, NULL));
	options.previous = &previous;
	EXPECT_NULL_ERRNO(EINVAL, mstore_take(self->store, KEY, strlen(KEY), &options, NULL,
					      NULL));
	options = (struct mstore_options) {
		.flags = MSTORE_IF_VERSION | MSTORE_STEAL, .version = stored,
	};
	value = mstore_take(self->store, KEY, strlen(KEY), &options, NULL, &version);
	ASSERT_NE(NULL, value);
	EXPECT_STREQ("theirs", value);
	EXPECT_EQ(stored, version);
	EXPECT_TRUE(holds(self->store, NULL));
	free(value);
	mstore_close(other);
}

TEST_F(store, swap)
{
	struct mstore_previous previous, poison;
	uint64_t first = 0, second = 0;
	char *original = malloc(LONG);

	/* Nothing that is there beforehand matters. */
	memset(&previous, 0xcc, sizeof(previous));
	EXPECT_EQ(0, mstore_swap(self->store, KEY, MSTORE_STRLEN, "first", MSTORE_STRLEN, NULL,
				 &previous, &first));
	EXPECT_EQ(NULL, previous.buffer);
	EXPECT_EQ(0, previous.size);
	EXPECT_EQ(0, previous.version);

	EXPECT_EQ(1, mstore_swap(self->store, KEY, strlen(KEY), "", 0, &owned, &previous,
				 &second));
	EXPECT_STREQ("first", (char *)previous.buffer);
	EXPECT_EQ(5, previous.size);
	EXPECT_EQ(first, previous.version);
	EXPECT_EQ(MSTORE_OWNER_NONE, previous.owner);
	EXPECT_LT(first, second);
	free(previous.buffer);

	ASSERT_NE(NULL, original);
	memset(original, 'v', LONG);
	EXPECT_EQ(1, mstore_swap(self->store, KEY, strlen(KEY), original, LONG, NULL, &previous,
				 NULL));
	EXPECT_STREQ("", (char *)previous.buffer);
	EXPECT_EQ(0, previous.size);
	EXPECT_EQ(second, previous.version);
	EXPECT_EQ(MSTORE_OWNER_SELF, previous.owner);
	free(previous.buffer);

	EXPECT_EQ(1, mstore_swap(self->store, KEY, strlen(KEY), "last", 4, NULL, &previous, NULL));
	EXPECT_EQ(LONG, previous.size);
	EXPECT_EQ(0, memcmp(original, previous.buffer, LONG));
	EXPECT_EQ('\0', ((char *)previous.buffer)[LONG]);
	EXPECT_TRUE(holds(self->store, "last"));
	free(previous.buffer);
	free(original);

	memset(&poison, 0xcc, sizeof(poison));
	previous = poison;
	first = POISON;
	EXPECT_ERRNO(EEXIST, mstore_swap(self->store, KEY, strlen(KEY), "v", 1,
					 &(struct mstore_options) { .flags = MSTORE_CREATE },
					 &previous, &first));
	EXPECT_NE(POISON, first);
	EXPECT_ERRNO(EINVAL, mstore_swap(self->store, KEY, strlen(KEY), "v", 1,
					 &(struct mstore_options) { .previous = &previous },
					 &previous, NULL));
	EXPECT_ERRNO(EINVAL, mstore_swap(self->store, KEY, 0, "v", 1, NULL, &previous, NULL));
	EXPECT_EQ(0, memcmp(&poison, &previous, sizeof(poison)));
	EXPECT_TRUE(holds(self->store, "last"));
}

/* Times to live that stay */

static uint64_t ttl_of(struct mstore *store)
{
	struct mstore_stat stat;

	return mstore_stat(store, KEY, strlen(KEY), &stat) ? POISON : stat.ttl_ms;
}

TEST_F(store, keep_ttl)
{
	const struct mstore_options limited = { .ttl_ms = 5 * MINUTES };
	struct mstore_options keep = { .flags = MSTORE_KEEP_TTL };
	uint64_t before;

	EXPECT_EQ(0, set_with(self->store, "first", &keep, NULL));
	EXPECT_EQ(0, ttl_of(self->store));
	ASSERT_EQ(0, set_with(self->store, "limited", &limited, NULL));
	before = ttl_of(self->store);
	usleep(20000);
	EXPECT_EQ(0, set_with(self->store, "second", &keep, NULL));
	EXPECT_GT(before, ttl_of(self->store));
	EXPECT_NE(0, ttl_of(self->store));
	EXPECT_EQ(0, mstore_publish_with(self->store, KEY, strlen(KEY), "third", 5, &keep, NULL));
	EXPECT_NE(0, ttl_of(self->store));
	keep.ttl_ms = 1;
	EXPECT_ERRNO(EINVAL, set_with(self->store, "v", &keep, NULL));
	keep.ttl_ms = 0;
	EXPECT_ERRNO(EINVAL, mstore_delete_with(self->store, KEY, strlen(KEY), &keep, NULL));
	EXPECT_EQ(0, put(self->store, "plain"));
	EXPECT_EQ(0, ttl_of(self->store));
}

/* Facts about a value */

TEST_F(store, get_info)
{
	const struct mstore_options options = { .flags = MSTORE_OWNED, .ttl_ms = MINUTES };
	struct mstore_value_info info, poison;
	struct timespec now;
	uint64_t version = 0, before;
	char buffer[16];
	size_t size = sizeof(buffer);

	memset(&poison, 0xcc, sizeof(poison));
	info = poison;
	EXPECT_ERRNO(ENOENT, mstore_get_info(self->store, KEY, strlen(KEY), buffer, &size,
					     &info));
	EXPECT_EQ(sizeof(buffer), size);
	EXPECT_EQ(0, memcmp(&poison, &info, sizeof(info)));

	clock_gettime(CLOCK_REALTIME, &now);
	before = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	ASSERT_EQ(0, set_with(self->store, "value", &options, &version));
	memset(buffer, '#', sizeof(buffer));
	EXPECT_EQ(0, mstore_get_info(self->store, KEY, MSTORE_STRLEN, buffer, &size, &info));
	EXPECT_EQ(5, size);
	EXPECT_EQ(0, memcmp("value", buffer, 5));
	EXPECT_EQ(version, info.version);
	EXPECT_EQ(5, info.value_len);
	EXPECT_EQ(getpid(), info.tgid);
	EXPECT_EQ(geteuid(), info.uid);
	EXPECT_EQ(MSTORE_OWNER_SELF, info.owner);
	EXPECT_GE(MINUTES, info.ttl_ms);
	EXPECT_LT(0, info.ttl_ms);
	/* The kernel's clock may be coarser than ours. */
	EXPECT_LT(before - 20000000, info.time);
	EXPECT_GT(before + MINUTES * 1000000, info.time);
	for (size_t i = 0; i < ARRAY_SIZE(info.reserved); i++)
		EXPECT_EQ(0, info.reserved[i]);

	size = 4;
	info = poison;
	EXPECT_ERRNO(ERANGE, mstore_get_info(self->store, KEY, strlen(KEY), buffer, &size,
					     &info));
	EXPECT_EQ(5, size);
	EXPECT_EQ(5, info.value_len);
	EXPECT_EQ(version, info.version);
	EXPECT_EQ(0, info.time);
}

/* Numbers */

#define ADD(delta)	mstore_add(self->store, KEY, strlen(KEY), delta, NULL, &result, &version)

TEST_F(store, add)
{
	uint64_t version = POISON, stored;
	int64_t result = 12345;
	char buffer[32];
	size_t size = sizeof(buffer);
	static const struct {
		int64_t delta;
		const char *sum;
	} steps[] = {
		{ 0, "0" }, { 1, "1" }, { 9, "10" }, { -11, "-1" }, { -9, "-10" }, { 10, "0" },
		{ INT64_MIN, "-9223372036854775808" }, { INT64_MAX, "-1" },
		{ INT64_MAX, "9223372036854775806" }, { 1, "9223372036854775807" },
		{ -1, "9223372036854775806" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		EXPECT_EQ(0, ADD(steps[i].delta));
		EXPECT_EQ(strtoll(steps[i].sum, NULL, 10), result);
		EXPECT_TRUE(holds(self->store, steps[i].sum))
			TH_LOG("step %zu", i);
		size = sizeof(buffer);
		ASSERT_EQ(0, mstore_get(self->store, KEY, strlen(KEY), buffer, &size, &stored));
		EXPECT_EQ(stored, version);
	}
	EXPECT_EQ(0, mstore_add(self->store, KEY, MSTORE_STRLEN, 1, NULL, NULL, NULL));
	version = POISON;
	result = 5;
	EXPECT_ERRNO(ERANGE, ADD(1));
	EXPECT_ERRNO(ERANGE, ADD(INT64_MAX));
	EXPECT_TRUE(holds(self->store, "9223372036854775807"));
	ASSERT_EQ(0, put(self->store, "-9223372036854775808"));
	EXPECT_ERRNO(ERANGE, ADD(-1));
	EXPECT_TRUE(holds(self->store, "-9223372036854775808"));
	EXPECT_EQ(POISON, version);
	EXPECT_EQ(5, result);
}

TEST_F(store, add_to_no_number)
{
	static const char *const bad[] = {
		"", "-", "+1", " 1", "1 ", "1\n", "01", "00", "-0", "-01", "1.0", "0x1", "1e3",
		"one", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
		"99999999999999999999", "100000000000000000000", "--1", "1-",
		"000000000000000000000000000001", "\xd9\xa1",
	};
	int64_t result = 5;
	uint64_t version = POISON;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(0, put(self->store, bad[i]));
		EXPECT_EQ(-1, ADD(1))
			TH_LOG("'%s'", bad[i]);
		EXPECT_EQ(EBADMSG, errno);
		EXPECT_TRUE(holds(self->store, bad[i]));
	}
	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "1", 2, NULL));
	EXPECT_ERRNO(EBADMSG, ADD(1));
	EXPECT_EQ(5, result);
	EXPECT_EQ(POISON, version);
}

/* It is the number that changes, nothing else. */
TEST_F(store, add_keeps)
{
	struct mstore_options options = { .flags = MSTORE_OWNED, .ttl_ms = MINUTES };
	struct mstore *other = mstore_open(DEVICE, MSTORE_RDWR);
	struct mstore_info before, after;
	uint64_t version;
	int64_t result;

	ASSERT_NE(NULL, other);
	EXPECT_EQ(0, mstore_add(self->store, KEY, strlen(KEY), 7, &options, &result, NULL));
	EXPECT_EQ(7, result);
	EXPECT_EQ(MSTORE_OWNER_SELF, owner_of(self->store));
	EXPECT_LT(MINUTES / 2, ttl_of(self->store));
	EXPECT_ERRNO(EBUSY, mstore_add(other, KEY, strlen(KEY), 1, NULL, &result, NULL));

	/* Options are for a number that is created. */
	options.ttl_ms = 100 * MINUTES;
	EXPECT_EQ(0, mstore_add(self->store, KEY, strlen(KEY), 1, &options, &result, NULL));
	EXPECT_GE(MINUTES, ttl_of(self->store));
	EXPECT_EQ(0, ADD(1));
	EXPECT_EQ(9, result);
	EXPECT_EQ(MSTORE_OWNER_SELF, owner_of(self->store));
	EXPECT_GE(MINUTES, ttl_of(self->store));
	EXPECT_LT(0, ttl_of(self->store));

	/* A number without an end and an owner costs no more for it. */
	ASSERT_EQ(0, put(self->store, "1"));
	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &before));
	EXPECT_EQ(0, mstore_add(self->store, KEY, strlen(KEY), 1, &options, &result, NULL));
	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &after));
	EXPECT_EQ(2, result);
	EXPECT_EQ(before.bytes, after.bytes);
	EXPECT_EQ(MSTORE_OWNER_NONE, owner_of(self->store));
	EXPECT_EQ(0, ttl_of(self->store));
	mstore_close(other);
}

TEST_F(store, add_refused)
{
	static const struct mstore_options bad[] = {
		{ .flags = MSTORE_CREATE }, { .flags = MSTORE_REPLACE },
		{ .flags = MSTORE_IF_VERSION }, { .flags = MSTORE_STEAL },
		{ .flags = MSTORE_WAIT }, { .flags = MSTORE_KEEP_TTL },
		{ .flags = METASTORE_F_PREVIOUS }, { .timeout_ms = 1 }, { .reserved = { 1 } },
		{ .previous = (void *)1 },
	};
	struct mstore *reader = mstore_open(DEVICE, MSTORE_READ);
	struct mstore *writer = mstore_open(DEVICE, MSTORE_WRITE);
	int64_t result = 5;
	uint64_t version = POISON;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, mstore_add(self->store, KEY, strlen(KEY), 1, &bad[i], &result,
					 &version))
			TH_LOG("options %zu", i);
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_ERRNO(EINVAL, mstore_add(self->store, KEY, strlen(KEY), 1,
					&(struct mstore_options) { .ttl_ms = MSTORE_TTL_MAX + 1 },
					&result, &version));
	EXPECT_ERRNO(EINVAL, mstore_add(self->store, KEY, 0, 1, NULL, &result, &version));
	EXPECT_ERRNO(EBADF, mstore_add(reader, KEY, strlen(KEY), 1, NULL, &result, &version));
	EXPECT_ERRNO(EBADF, mstore_add(writer, KEY, strlen(KEY), 1, NULL, &result, &version));
	EXPECT_EQ(5, result);
	EXPECT_EQ(POISON, version);
	EXPECT_TRUE(holds(self->store, NULL));
	mstore_close(reader);
	mstore_close(writer);
}

#define CROWD		8
#define ADDITIONS	2000

static void *add_often(void *store)
{
	for (int i = 0; i < ADDITIONS; i++)
		if (mstore_add(store, KEY, strlen(KEY), 1, NULL, NULL, NULL))
			return (void *)1;
	return NULL;
}

/* None is lost. */
TEST_F(store, add_by_threads)
{
	pthread_t threads[CROWD];
	uint64_t version;
	int64_t result;
	void *failed;

	for (int i = 0; i < CROWD; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, add_often, self->store));
	for (int i = 0; i < CROWD; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &failed));
		EXPECT_EQ(NULL, failed);
	}
	EXPECT_EQ(0, ADD(0));
	EXPECT_EQ(CROWD * ADDITIONS, result);
}

TEST_F(store, add_by_processes)
{
	pid_t pids[CROWD];
	uint64_t version;
	int64_t result;

	for (int i = 0; i < CROWD; i++) {
		pids[i] = fork_child();
		ASSERT_LE(0, pids[i]);
		if (!pids[i])
			_exit(!!add_often(mstore_open(DEVICE, MSTORE_RDWR)));
	}
	for (int i = 0; i < CROWD; i++)
		EXPECT_EQ(0, join(pids[i]));
	EXPECT_EQ(0, ADD(0));
	EXPECT_EQ(CROWD * ADDITIONS, result);
}

/* Of several takers each value goes to one. */
static void *take_often(void *store)
{
	const struct mstore_options create = { .flags = MSTORE_CREATE };
	long taken = 0;
	char *value;

	for (int i = 0; i < ADDITIONS; i++) {
		if (mstore_set_with(store, KEY, strlen(KEY), "1", 1, &create, NULL))
			taken--;
		value = mstore_take(store, KEY, strlen(KEY), NULL, NULL, NULL);
		if (!value)
			taken++;
		free(value);
	}
	return (void *)taken;
}

/* As many creations failed as values were missed. */
TEST_F(store, take_by_threads)
{
	pthread_t threads[CROWD];
	long sum = 0;
	void *taken;

	for (int i = 0; i < CROWD; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, take_often, self->store));
	for (int i = 0; i < CROWD; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &taken));
		sum += (long)taken;
	}
	EXPECT_EQ(0, sum);
	EXPECT_TRUE(holds(self->store, NULL));
}

/* Another writer is always a step ahead: the kernel refuses four times. */
static int busy_calls;
static uint32_t busy_flags[10];

static int busy_kernel(void *arg)
{
	static const int results[] = {
		-ENOENT, -EEXIST, 0, -ESTALE, -ENOENT, -EEXIST, 0, -ESTALE, 0, 0,
	};
	struct metastore_get *get = arg;
	int i = busy_calls++;

	static_assert(offsetof(struct metastore_get, flags) ==
		      offsetof(struct metastore_set, flags));
	busy_flags[i] = get->flags;
	if (results[i] == 0 && i != 9) {
		memcpy((void *)(uintptr_t)get->value, "41", 2);
		get->value_len = 2;
		get->version = 1000 + i;
		get->owner = 0;
		get->ttl = 0;
	}
	return results[i];
}

TEST(add_goes_on)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_RDWR);
	int64_t result = 0;

	fake_kernel = busy_kernel;
	EXPECT_EQ(0, mstore_add(store, "k", 1, 1, NULL, &result, NULL));
	EXPECT_EQ(42, result);
	EXPECT_EQ(10, busy_calls);
	EXPECT_EQ(METASTORE_F_CREATE, busy_flags[1]);
	EXPECT_EQ(METASTORE_F_IF_VERSION, busy_flags[3]);
	EXPECT_EQ(METASTORE_F_CREATE, busy_flags[5]);
	EXPECT_EQ(METASTORE_F_IF_VERSION, busy_flags[9]);
	mstore_close(store);
}

/* The value grows between the tries, and then goes. */
static int grown;

static int growing_previous(void *arg)
{
	struct metastore_delete *delete = arg;
	struct metastore_previous *previous = &delete->previous;

	if (grown++ < 3) {
		previous->len += 104;
		previous->version = 1;
		return -ERANGE;
	}
	memset((void *)(uintptr_t)previous->value, 'v', previous->len);
	previous->version = 2;
	return 0;
}

static int vanishing_previous(void *arg)
{
	struct metastore_delete *delete = arg;

	if (grown++)
		return -ENOENT;
	delete->previous.len = 10000;
	return -ERANGE;
}

static int senseless_range(void *arg)
{
	struct metastore_delete *delete = arg;

	delete->previous.version = 1;
	return -ERANGE;
}

TEST(take_races)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_RDWR);
	uint64_t version = POISON;
	size_t len = 1;
	char *value;

	fake_kernel = vanishing_previous;
	EXPECT_NULL_ERRNO(ENOENT, mstore_take(store, "k", 1, NULL, &len, &version));
	fake_kernel = senseless_range;
	EXPECT_NULL_ERRNO(ERANGE, mstore_take(store, "k", 1, NULL, &len, &version));
	EXPECT_EQ(1, len);
	EXPECT_EQ(POISON, version);
	fake_kernel = growing_previous;
	grown = 0;
	value = mstore_take(store, "k", 1, NULL, &len, &version);
	ASSERT_NE(NULL, value);
	EXPECT_EQ(512 + 3 * 104, len);
	EXPECT_LT(len, malloc_usable_size(value));
	EXPECT_EQ(len, strlen(value));
	EXPECT_EQ(2, version);
	free(value);
	mstore_close(store);
}

TEST_HARNESS_MAIN
