// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: lists with values, of all sizes around those of the library's buffer, and
 * with a kernel that is broken or quick.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

#define BUFFER		65536	/* the library's first one */
#define VALUE_MAX	(16 << 20)
#define KEYS		64

/* Each byte of a value follows from its key and its length. */
static void make_value(char *value, size_t len, unsigned int key)
{
	for (size_t i = 0; i < len; i++)
		value[i] = (char)(len + key * 7 + i * 31 + (i >> 8));
}

static bool is_value(const char *value, size_t len, unsigned int key)
{
	for (size_t i = 0; i < len; i++)
		if (value[i] != (char)(len + key * 7 + i * 31 + (i >> 8)))
			return false;
	return true;
}

static unsigned int random_below(unsigned int below)
{
	return (unsigned int)random() % below;
}

/* Most of them around what fills the buffer, alone or with others. */
static size_t random_size(size_t most)
{
	size_t size;

	switch (random_below(6)) {
	case 0:
		size = random_below(64);
		break;
	case 1:
		size = BUFFER / 2 - 128 + random_below(256);
		break;
	case 2:
	case 3:
		size = BUFFER - 160 + random_below(320);
		break;
	case 4:
		size = 2 * BUFFER - 128 + random_below(256);
		break;
	default:
		size = random_below(4 * BUFFER);
	}
	return size < most ? size : most;
}

/* A private store with room for long values. */
struct values {
	struct mstore *store;
	char *value;
	size_t sizes[KEYS];
};

FIXTURE(values) {
	struct values values;
};

FIXTURE_SETUP(values)
{
	const struct mstore_limits limits = { .max_value = VALUE_MAX, .max_bytes = 256 << 20 };
	struct mstore *from = mstore_open(DEVICE, MSTORE_RDWR);
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) :
					     (unsigned int)time(NULL);

	ASSERT_NE(NULL, from);
	self->values.store = mstore_create(from, &limits, MSTORE_RDWR);
	ASSERT_NE(NULL, self->values.store);
	mstore_close(from);
	self->values.value = malloc(VALUE_MAX);
	ASSERT_NE(NULL, self->values.value);
	srandom(seed);
	TH_LOG("SEED=%u", seed);
}

FIXTURE_TEARDOWN(values)
{
	free(self->values.value);
	mstore_close(self->values.store);
}

static int put(struct values *values, unsigned int key, size_t size)
{
	char name[16];

	snprintf(name, sizeof(name), "k%u", key);
	make_value(values->value, size, key);
	values->sizes[key] = size;
	return mstore_set(values->store, name, MSTORE_STRLEN, values->value, size, NULL);
}

/* Lists all: each key must be there once, with its value. */
static void expect_all(struct __test_metadata *_metadata, struct values *values,
		       unsigned int count)
{
	struct mstore_list *list = mstore_list_values_new(values->store, "k", 1, MSTORE_ANY_BUCKET);
	bool seen[KEYS] = { };
	unsigned int listed = 0;
	int more;

	ASSERT_NE(NULL, list);
	while ((more = mstore_list_next(list)) == 1) {
		struct mstore_value_info info;
		size_t key_len, len;
		const char *key = mstore_list_key(list, &key_len);
		const char *value = mstore_list_value(list, &len);
		unsigned int number = 0;

		for (size_t i = 1; i < key_len; i++)
			number = number * 10 + (unsigned int)(key[i] - '0');
		mstore_list_info(list, &info);
		ASSERT_GT(KEYS, number);
		EXPECT_FALSE(seen[number]);
		seen[number] = true;
		ASSERT_EQ(values->sizes[number], len)
			TH_LOG("key %u", number);
		EXPECT_TRUE(is_value(value, len, number));
		EXPECT_EQ(len, mstore_list_value_len(list));
		EXPECT_EQ(len, info.value_len);
		EXPECT_EQ(mstore_list_version(list), info.version);
		EXPECT_EQ(getpid(), info.tgid);
		listed++;
	}
	EXPECT_EQ(0, more);
	EXPECT_EQ(count, listed);
	mstore_list_free(list);
}

TEST_F(values, none)
{
	expect_all(_metadata, &self->values, 0);
}

/* One value after the other, byte by byte around what fills the buffer alone */
TEST_F_TIMEOUT(values, fill_the_buffer, 60)
{
	size_t header = sizeof(struct metastore_list_entry) +
			sizeof(struct metastore_list_details) + strlen("k0");

	ASSERT_EQ(0, put(&self->values, 1, 10));
	for (size_t size = BUFFER - header - 20; size < BUFFER - header + 20; size++) {
		ASSERT_EQ(0, put(&self->values, 0, size));
		expect_all(_metadata, &self->values, 2);
	}
}

TEST_F_TIMEOUT(values, random_sizes, 120)
{
	unsigned int rounds = ms_size(30, 600);

	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int count = 1 + random_below(KEYS);

		ASSERT_EQ(0, mstore_flush(self->values.store, NULL, 0, MSTORE_ANY_BUCKET, 0,
					  NULL, NULL));
		for (unsigned int key = 0; key < count; key++)
			ASSERT_EQ(0, put(&self->values, key, random_size(1 << 20)));
		expect_all(_metadata, &self->values, count);
	}
}

TEST_F_TIMEOUT(values, longest, 60)
{
	ASSERT_EQ(0, put(&self->values, 0, VALUE_MAX));
	ASSERT_EQ(0, put(&self->values, 1, 1));
	ASSERT_EQ(0, put(&self->values, 2, VALUE_MAX));
	expect_all(_metadata, &self->values, 3);
}

static void *write_on(void *arg)
{
	struct values *values = arg;
	char *value = malloc(4 * BUFFER), name[16];
	unsigned int key;
	size_t size;

	for (;;) {
		pthread_testcancel();
		key = random_below(KEYS);
		size = random_size(4 * BUFFER);
		snprintf(name, sizeof(name), "k%u", key);
		make_value(value, size, key);
		if (mstore_set(values->store, name, MSTORE_STRLEN, value, size, NULL))
			break;
	}
	free(value);
	return NULL;
}

/* While another thread makes values longer and shorter, each is whole, and none missing. */
TEST_F_TIMEOUT(values, changing, 120)
{
	unsigned int rounds = ms_size(100, 2000);
	pthread_t thread;

	for (unsigned int key = 0; key < KEYS; key++)
		ASSERT_EQ(0, put(&self->values, key, random_size(4 * BUFFER)));
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_on, &self->values));
	for (unsigned int round = 0; round < rounds; round++) {
		struct mstore_list *list = mstore_list_values_new(self->values.store, NULL, 0,
								  MSTORE_ANY_BUCKET);
		unsigned int listed = 0;

		ASSERT_NE(NULL, list);
		for (; mstore_list_next(list) == 1; listed++) {
			char name[16] = "";
			size_t key_len, len;
			const char *key = mstore_list_key(list, &key_len);
			const char *value = mstore_list_value(list, &len);

			memcpy(name, key, key_len);
			ASSERT_TRUE(is_value(value, len, (unsigned int)atoi(name + 1)));
		}
		EXPECT_EQ(KEYS, listed);
		mstore_list_free(list);
	}
	EXPECT_EQ(0, pthread_cancel(thread));
	EXPECT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(store, list_without_values)
{
	struct mstore_value_info info;
	struct mstore_list *list;
	uint64_t version = 0;
	size_t len = 5;

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "value", 5, &version));
	list = mstore_list_new(self->store, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET);
	ASSERT_NE(NULL, list);
	ASSERT_EQ(1, mstore_list_next(list));
	EXPECT_EQ(NULL, mstore_list_value(list, &len));
	EXPECT_EQ(0, len);
	EXPECT_EQ(NULL, mstore_list_value(list, NULL));
	mstore_list_info(list, &info);
	EXPECT_EQ(version, info.version);
	EXPECT_EQ(5, info.value_len);
	EXPECT_EQ(0, info.time);
	EXPECT_EQ(0, info.tgid);
	mstore_list_free(list);
}

TEST_F(store, list_values)
{
	const struct mstore_options options = { .flags = MSTORE_OWNED, .ttl_ms = 1000000 };
	struct mstore_value_info info;
	struct mstore_list *list;
	uint64_t version = 0;
	size_t len = 0;

	EXPECT_NULL_ERRNO(EINVAL, mstore_list_values_new(self->store, PREFIX, MSTORE_KEY_MAX + 1,
							 MSTORE_ANY_BUCKET));
	ASSERT_EQ(0, mstore_set_with(self->store, KEY, strlen(KEY), "a\0b", 3, &options,
				     &version));
	list = mstore_list_values_new(self->store, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET);
	ASSERT_NE(NULL, list);
	ASSERT_EQ(1, mstore_list_next(list));
	EXPECT_EQ(0, memcmp(KEY, mstore_list_key(list, &len), strlen(KEY)));
	EXPECT_EQ(strlen(KEY), len);
	EXPECT_EQ(0, memcmp("a\0b", mstore_list_value(list, &len), 3));
	EXPECT_EQ(3, len);
	mstore_list_info(list, &info);
	EXPECT_EQ(version, info.version);
	EXPECT_EQ(3, info.value_len);
	EXPECT_EQ(MSTORE_OWNER_SELF, info.owner);
	EXPECT_GE(1000000, info.ttl_ms);
	EXPECT_LT(0, info.ttl_ms);
	EXPECT_EQ(getpid(), info.tgid);
	EXPECT_EQ(geteuid(), info.uid);
	EXPECT_LT(0, info.time);
	for (size_t i = 0; i < ARRAY_SIZE(info.reserved); i++)
		EXPECT_EQ(0, info.reserved[i]);
	EXPECT_EQ(0, mstore_list_next(list));
	mstore_list_free(list);

	list = mstore_list_values_new(self->store, NULL, 0, 1 << 20);
	ASSERT_NE(NULL, list);
	EXPECT_ERRNO(ERANGE, mstore_list_next(list));
	mstore_list_free(list);
}

/* Answers LIST with these bytes, once. */
static struct {
	struct metastore_list_entry entry;
	struct metastore_list_details details;
	char rest[72];
} fake;
static uint32_t fake_filled;
static uint32_t fake_room;

static int fake_list(void *arg)
{
	struct metastore_list *list = arg;

	fake_room = list->buffer_len;
	list->entries = fake_filled ? 1 : 0;
	list->buffer_len = fake_filled;
	memcpy((void *)(uintptr_t)list->buffer, &fake, sizeof(fake));
	fake_filled = 0;
	return 0;
}

TEST(values_malformed)
{
	static const struct {
		struct metastore_list_entry entry;
		uint32_t filled;
	} bad[] = {
		/* The value ends behind the entry, by one and by all 32 bits. */
		{ { .len = 72, .header_len = 56, .key_len = 3, .value_len = 14 }, 72 },
		{ { .len = 72, .header_len = 56, .key_len = 3, .value_len = UINT32_MAX }, 72 },
		/* No room for what a value comes with */
		{ { .len = 48, .header_len = 48 - 8, .key_len = 3 }, 48 },
		{ { .len = 72, .header_len = 55, .key_len = 3 }, 72 },
		/* Left out, although there was room */
		{ { .len = 64, .header_len = 56, .key_len = 3, .value_len = BUFFER - 64,
		    .flags = METASTORE_LIST_F_NO_VALUE }, 64 },
		{ { .len = 64, .header_len = 56, .key_len = 3, .value_len = 0,
		    .flags = METASTORE_LIST_F_NO_VALUE }, 64 },
		{ { .len = 64, .header_len = 56, .key_len = 3 }, BUFFER + 8 },
	};
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	struct mstore_list *list;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		list = mstore_list_values_new(store, NULL, 0, MSTORE_ANY_BUCKET);
		ASSERT_NE(NULL, list);
		memset(&fake, 0, sizeof(fake));
		fake.entry = bad[i].entry;
		fake_filled = bad[i].filled;
		fake_kernel = fake_list;
		errno = 0;
		EXPECT_EQ(-1, mstore_list_next(list))
			TH_LOG("entry %zu", i);
		EXPECT_EQ(EPROTO, errno);
		mstore_list_free(list);
	}
	mstore_close(store);
}

/* Only the first entry may leave out its value. */
TEST(values_second_left_out)
{
	static const struct metastore_list_entry second = {
		.len = 64, .header_len = 56, .key_len = 3, .flags = METASTORE_LIST_F_NO_VALUE,
	};
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	struct mstore_list *list = mstore_list_values_new(store, NULL, 0, MSTORE_ANY_BUCKET);

	ASSERT_NE(NULL, list);
	memset(&fake, 0, sizeof(fake));
	fake.entry = (struct metastore_list_entry) {
		.len = 64, .header_len = 56, .key_len = 3, .value_len = 5,
	};
	memcpy((char *)&fake + 64, &second, sizeof(second));
	fake_filled = 128;
	fake_kernel = fake_list;
	EXPECT_EQ(1, mstore_list_next(list));
	EXPECT_ERRNO(EPROTO, mstore_list_next(list));
	mstore_list_free(list);
	mstore_close(store);
}

/* The value gets longer each time that there is room for it, then goes. */
static int growing_list(void *arg)
{
	struct metastore_list *list = arg;
	static int calls;

	if (calls++ < 3) {
		fake.entry = (struct metastore_list_entry) {
			.len = 64, .header_len = 56, .key_len = 3, .value_len = list->buffer_len,
			.flags = METASTORE_LIST_F_NO_VALUE,
		};
		fake_filled = 64;
	}
	return fake_list(arg);
}

TEST(values_grow)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_READ);
	struct mstore_list *list = mstore_list_values_new(store, NULL, 0, MSTORE_ANY_BUCKET);

	ASSERT_NE(NULL, list);
	fake_kernel = growing_list;
	EXPECT_EQ(0, mstore_list_next(list));
	EXPECT_EQ(BUFFER + 3 * 64, fake_room);
	EXPECT_EQ(0, mstore_list_next(list));
	mstore_list_free(list);
	mstore_close(store);
}

TEST_HARNESS_MAIN
