// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: batches. Like lib_test.c, about what the library makes of them;
 * whether atomic ones are is the business of the module's tests.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

#define ONE	PREFIX "one"
#define TWO	PREFIX "two"
#define THREE	PREFIX "three"

#define ATOMIC	MSTORE_BATCH_ATOMIC

static const struct mstore_options create = { .flags = MSTORE_CREATE };

static int add_set(struct mstore_batch *batch, const char *key, const char *value)
{
	return mstore_batch_set(batch, key, MSTORE_STRLEN, value, MSTORE_STRLEN, NULL);
}

/* Whether a key has this value; NULL: none. */
static bool holds(struct mstore *store, const char *key, const char *value)
{
	char buffer[32];
	size_t size = sizeof(buffer);

	if (mstore_get(store, key, strlen(key), buffer, &size, NULL))
		return !value && errno == ENOENT;
	return value && size == strlen(value) && !memcmp(buffer, value, size);
}

/* A store with a batch; one, two and three are not there. */
FIXTURE(batch) {
	struct mstore *store;
	struct mstore_batch *batch;
	char buffer[16];
};

FIXTURE_SETUP(batch)
{
	self->store = mstore_open(DEVICE, MSTORE_RDWR | MSTORE_NONBLOCK);
	ASSERT_NE(NULL, self->store);
	ASSERT_EQ(0, mstore_flush(self->store, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_STEAL, NULL, NULL));
	self->batch = mstore_batch_new();
	ASSERT_NE(NULL, self->batch);
	memset(self->buffer, '#', sizeof(self->buffer));
}

FIXTURE_TEARDOWN(batch)
{
	mstore_batch_free(self->batch);
	mstore_close(self->store);
}

TEST(batch_free_null)
{
	mstore_batch_free(NULL);
}

TEST_F(batch, every_operation)
{
	static const char key[] = PREFIX "\0\xff";
	const struct mstore_options options = { .flags = MSTORE_OWNED, .ttl_ms = 1000000 };
	uint64_t version = 0;
	size_t size = 1;

	ASSERT_EQ(0, mstore_set(self->store, TWO, strlen(TWO), "old", 3, NULL));
	ASSERT_EQ(0, mstore_subscribe(self->store, THREE, strlen(THREE), 0, 0));
	EXPECT_EQ(0, mstore_batch_count(self->batch));
	EXPECT_EQ(0, mstore_batch_set(self->batch, key, sizeof(key), "a\0b", 3, &options));
	EXPECT_EQ(1, mstore_batch_get(self->batch, key, sizeof(key), self->buffer,
				      sizeof(self->buffer)));
	EXPECT_EQ(2, mstore_batch_delete(self->batch, TWO, MSTORE_STRLEN, NULL));
	EXPECT_EQ(3, mstore_batch_publish(self->batch, THREE, MSTORE_STRLEN, "three",
					  MSTORE_STRLEN, NULL));
	EXPECT_EQ(4, mstore_batch_publish(self->batch, ONE, MSTORE_STRLEN, NULL, 0, &create));
	EXPECT_EQ(5, mstore_batch_count(self->batch));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));

	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0, mstore_batch_result(self->batch, i));
		EXPECT_NE(0, mstore_batch_version(self->batch, i));
		EXPECT_EQ(i == 1 ? 3 : 0, mstore_batch_value_len(self->batch, i));
		EXPECT_EQ(i == 1, mstore_batch_ttl(self->batch, i) > 0);
		EXPECT_EQ(i == 1 ? MSTORE_OWNER_SELF : MSTORE_OWNER_NONE,
			  mstore_batch_owner(self->batch, i));
		EXPECT_EQ(i == 3, mstore_batch_queues(self->batch, i));
	}
	EXPECT_EQ(0, memcmp("a\0b##", self->buffer, 5));
	EXPECT_EQ(mstore_batch_version(self->batch, 0), mstore_batch_version(self->batch, 1));
	EXPECT_GE(1000000, mstore_batch_ttl(self->batch, 1));
	EXPECT_EQ(0, mstore_get(self->store, ONE, strlen(ONE), self->buffer, &size, &version));
	EXPECT_EQ(mstore_batch_version(self->batch, 4), version);
	EXPECT_TRUE(holds(self->store, ONE, ""));
	EXPECT_TRUE(holds(self->store, TWO, NULL));
	EXPECT_TRUE(holds(self->store, THREE, "three"));
}

/* Each operation has its own result, and the others are done all the same. */
TEST_F(batch, failures)
{
	const struct mstore_options if_version = { .flags = MSTORE_IF_VERSION, .version = 5 };
	const struct mstore_options two = { .flags = MSTORE_CREATE | MSTORE_REPLACE };
	struct mstore_info info;
	uint64_t version = 0;
	int i;
	static const struct {
		int result;
		bool version;
		size_t value_len;
	} want[] = {
		{ 0, true, 0 },
		{ ENOENT, false, 0 },
		{ ERANGE, true, 3 },
		{ EEXIST, true, 0 },
		{ ESTALE, true, 0 },
		{ ESTALE, true, 0 },
		{ ENOENT, false, 0 },
		{ EINVAL, false, 0 },
		{ EINVAL, false, 0 },
		{ EINVAL, false, 0 },
		{ EMSGSIZE, false, 0 },
		{ EFAULT, false, 0 },
		{ EFAULT, false, 0 },
		{ EFAULT, false, 0 },
		{ 0, true, 3 },
	};

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	add_set(self->batch, ONE, "one");
	mstore_batch_get(self->batch, TWO, strlen(TWO), self->buffer, sizeof(self->buffer));
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 2);
	mstore_batch_set(self->batch, ONE, strlen(ONE), "v", 1, &create);
	mstore_batch_publish(self->batch, ONE, strlen(ONE), "v", 1, &if_version);
	mstore_batch_delete(self->batch, ONE, strlen(ONE), &if_version);
	mstore_batch_delete(self->batch, TWO, strlen(TWO), NULL);
	mstore_batch_get(self->batch, "", 0, self->buffer, sizeof(self->buffer));
	mstore_batch_set(self->batch, ONE, (size_t)UINT32_MAX + 4, "v", 1, NULL);
	mstore_batch_set(self->batch, ONE, strlen(ONE), "v", 1, &two);
	mstore_batch_set(self->batch, ONE, strlen(ONE), "v", info.max_value + 1, NULL);
	mstore_batch_set(self->batch, ONE, strlen(ONE), (void *)1, 1, &if_version);
	mstore_batch_delete(self->batch, (void *)1, 1, &if_version);
	mstore_batch_get(self->batch, ONE, strlen(ONE), (void *)1, SIZE_MAX);
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, SIZE_MAX - UINT32_MAX);
	ASSERT_EQ(ARRAY_SIZE(want), mstore_batch_count(self->batch));

	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(1, mstore_batch_failed(self->batch));
	version = mstore_batch_version(self->batch, 0);
	for (i = 0; i < (int)ARRAY_SIZE(want); i++) {
		EXPECT_EQ(want[i].result, mstore_batch_result(self->batch, i))
			TH_LOG("operation %d", i);
		EXPECT_EQ(want[i].version ? version : 0, mstore_batch_version(self->batch, i))
			TH_LOG("operation %d", i);
		EXPECT_EQ(want[i].value_len, mstore_batch_value_len(self->batch, i))
			TH_LOG("operation %d", i);
		EXPECT_EQ(0, mstore_batch_ttl(self->batch, i));
		EXPECT_EQ(0, mstore_batch_queues(self->batch, i));
	}
	EXPECT_EQ(0, memcmp("one#", self->buffer, 4));
	EXPECT_TRUE(holds(self->store, ONE, "one"));
}

TEST_F(batch, owned_by_others)
{
	const struct mstore_options owned = { .flags = MSTORE_OWNED };
	const struct mstore_options steal = { .flags = MSTORE_STEAL };
	struct mstore *other = mstore_open(DEVICE, MSTORE_WRITE);

	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, mstore_set_with(other, ONE, strlen(ONE), "1", 1, &owned, NULL));
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 1);
	add_set(self->batch, ONE, "2");
	mstore_batch_delete(self->batch, ONE, strlen(ONE), NULL);
	mstore_batch_delete(self->batch, ONE, strlen(ONE), &steal);
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(MSTORE_OWNER_OTHER, mstore_batch_owner(self->batch, 0));
	EXPECT_EQ(EBUSY, mstore_batch_result(self->batch, 1));
	EXPECT_EQ(EBUSY, mstore_batch_result(self->batch, 2));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 3));
	EXPECT_EQ(1, mstore_batch_failed(self->batch));
	mstore_close(other);
}

TEST_F(batch, access_modes)
{
	struct mstore *reader = mstore_open(DEVICE, MSTORE_READ);
	struct mstore *writer = mstore_open(DEVICE, MSTORE_WRITE);

	ASSERT_NE(NULL, reader);
	ASSERT_NE(NULL, writer);
	add_set(self->batch, ONE, "1");
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 1);
	EXPECT_EQ(0, mstore_batch_run(reader, self->batch, 0));
	EXPECT_EQ(EBADF, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(ENOENT, mstore_batch_result(self->batch, 1));
	EXPECT_EQ(0, mstore_batch_run(writer, self->batch, 0));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(EBADF, mstore_batch_result(self->batch, 1));
	mstore_close(writer);
	mstore_close(reader);
}

TEST_F(batch, full)
{
	static char keys[MSTORE_BATCH_MAX][32];
	char buffer[16];
	size_t size;

	for (int i = 0; i < MSTORE_BATCH_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), PREFIX "%d", i);
		ASSERT_EQ(i, add_set(self->batch, keys[i], keys[i] + strlen(PREFIX)));
	}
	EXPECT_ERRNO(E2BIG, add_set(self->batch, ONE, "1"));
	EXPECT_ERRNO(E2BIG, mstore_batch_get(self->batch, ONE, strlen(ONE), buffer, 1));
	EXPECT_ERRNO(E2BIG, mstore_batch_publish(self->batch, ONE, strlen(ONE), "1", 1, NULL));
	EXPECT_ERRNO(E2BIG, mstore_batch_delete(self->batch, ONE, strlen(ONE), NULL));
	EXPECT_EQ(MSTORE_BATCH_MAX, mstore_batch_count(self->batch));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
	for (int i = 0; i < MSTORE_BATCH_MAX; i++) {
		size = sizeof(buffer);
		ASSERT_EQ(0, mstore_get(self->store, keys[i], strlen(keys[i]), buffer, &size,
					NULL));
		EXPECT_EQ(0, memcmp(keys[i] + strlen(PREFIX), buffer, size));
	}

	mstore_batch_clear(self->batch);
	EXPECT_EQ(0, mstore_batch_count(self->batch));
	EXPECT_EQ(0, add_set(self->batch, ONE, "1"));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_TRUE(holds(self->store, ONE, "1"));
}

TEST_F(batch, bad_options)
{
	struct mstore_options options = { .timeout_ms = 1 };

	EXPECT_ERRNO(EINVAL, mstore_batch_set(self->batch, ONE, strlen(ONE), "1", 1, &options));
	EXPECT_ERRNO(EINVAL, mstore_batch_publish(self->batch, ONE, strlen(ONE), "1", 1,
						  &options));
	EXPECT_ERRNO(EINVAL, mstore_batch_delete(self->batch, ONE, strlen(ONE), &options));
	for (size_t i = 0; i < ARRAY_SIZE(options.reserved); i++) {
		memset(&options, 0, sizeof(options));
		options.reserved[i] = 1ULL << 40;
		EXPECT_ERRNO(EINVAL, mstore_batch_set(self->batch, ONE, strlen(ONE), "1", 1,
						      &options));
		EXPECT_ERRNO(EINVAL, mstore_batch_publish(self->batch, ONE, strlen(ONE), "1", 1,
							  &options));
		EXPECT_ERRNO(EINVAL, mstore_batch_delete(self->batch, ONE, strlen(ONE),
							 &options));
	}
	memset(&options, 0, sizeof(options));
	options.ttl_ms = 1;
	EXPECT_ERRNO(EINVAL, mstore_batch_delete(self->batch, ONE, strlen(ONE), &options));
	EXPECT_EQ(0, mstore_batch_count(self->batch));

	/* Without the condition a version is not looked at. */
	memset(&options, 0, sizeof(options));
	options.version = 5;
	EXPECT_EQ(0, mstore_batch_set(self->batch, ONE, strlen(ONE), "1", 1, &options));
	EXPECT_EQ(1, mstore_batch_delete(self->batch, ONE, strlen(ONE), &options));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
}

TEST_F(batch, without_operations)
{
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
}

/* Before a run there is nothing to tell, and of other operations there never is. */
TEST_F(batch, nothing_to_tell)
{
	const struct mstore_options options = {
		.flags = MSTORE_IF_VERSION, .version = 5, .ttl_ms = 5,
	};
	const int indices[] = { 0, 1, 2, -1, INT_MAX, INT_MIN };

	ASSERT_EQ(0, mstore_batch_publish(self->batch, ONE, strlen(ONE), "one", 3, &options));
	ASSERT_EQ(1, mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 1));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		EXPECT_EQ(i < 2 ? 0 : EINVAL, mstore_batch_result(self->batch, indices[i]));
		EXPECT_EQ(0, mstore_batch_version(self->batch, indices[i]));
		EXPECT_EQ(0, mstore_batch_value_len(self->batch, indices[i]));
		EXPECT_EQ(0, mstore_batch_ttl(self->batch, indices[i]));
		EXPECT_EQ(0, mstore_batch_owner(self->batch, indices[i]));
		EXPECT_EQ(0, mstore_batch_queues(self->batch, indices[i]));
	}

	/* Nor of one that was added since. */
	ASSERT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	ASSERT_EQ(ESTALE, mstore_batch_result(self->batch, 0));
	mstore_batch_clear(self->batch);
	ASSERT_EQ(0, add_set(self->batch, ONE, "1"));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
}

/* Neither the size of a buffer nor a version is lost by a run. */
TEST_F(batch, again)
{
	struct mstore_options options = { .flags = MSTORE_IF_VERSION };
	uint64_t version;

	ASSERT_EQ(0, mstore_set(self->store, ONE, strlen(ONE), "1", 1, NULL));
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, sizeof(self->buffer));
	mstore_batch_set(self->batch, TWO, strlen(TWO), "2", 1, &options);
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(1, mstore_batch_value_len(self->batch, 0));
	version = mstore_batch_version(self->batch, 1);
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));

	ASSERT_EQ(0, mstore_set(self->store, ONE, strlen(ONE), "longer", 6, NULL));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(6, mstore_batch_value_len(self->batch, 0));
	EXPECT_EQ(0, memcmp("longer", self->buffer, 6));
	EXPECT_EQ(ESTALE, mstore_batch_result(self->batch, 1));
	EXPECT_EQ(version, mstore_batch_version(self->batch, 1));
	EXPECT_EQ(1, mstore_batch_failed(self->batch));

	ASSERT_EQ(0, mstore_delete(self->store, TWO, strlen(TWO), NULL));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
	EXPECT_LT(version, mstore_batch_version(self->batch, 1));
}

TEST_F(batch, atomic)
{
	uint64_t one = 0, two = 0;
	size_t size = sizeof(self->buffer);

	ASSERT_EQ(0, mstore_set(self->store, ONE, strlen(ONE), "1", 1, &one));
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, sizeof(self->buffer));
	add_set(self->batch, TWO, "2");
	mstore_batch_get(self->batch, THREE, strlen(THREE), self->buffer, sizeof(self->buffer));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));

	EXPECT_EQ(0, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(one, mstore_batch_version(self->batch, 0));
	EXPECT_EQ(1, mstore_batch_value_len(self->batch, 0));
	EXPECT_EQ(0, memcmp("1#", self->buffer, 2));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 1));
	EXPECT_EQ(0, mstore_get(self->store, TWO, strlen(TWO), self->buffer, &size, &two));
	EXPECT_EQ(two, mstore_batch_version(self->batch, 1));
	/* Not found, which stops nothing */
	EXPECT_EQ(ENOENT, mstore_batch_result(self->batch, 2));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));

	/* Nor does a bad buffer: all is done when that is found out. */
	mstore_batch_clear(self->batch);
	add_set(self->batch, TWO, "3");
	mstore_batch_get(self->batch, ONE, strlen(ONE), (void *)1, sizeof(self->buffer));
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));
	EXPECT_EQ(EFAULT, mstore_batch_result(self->batch, 1));
	EXPECT_EQ(0, mstore_batch_version(self->batch, 1));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
	EXPECT_TRUE(holds(self->store, TWO, "3"));
}

/* Expects an atomic batch of this, between two good ones, to be undone for it. */
#define EXPECT_CANCELED(expected, add) do {					\
	mstore_batch_clear(self->batch);					\
	add_set(self->batch, TWO, "2");						\
	ASSERT_EQ(1, add);							\
	mstore_batch_get(self->batch, KEY, strlen(KEY), self->buffer,		\
			 sizeof(self->buffer));					\
	EXPECT_ERRNO(ECANCELED, mstore_batch_run(self->store, self->batch, ATOMIC)); \
	EXPECT_EQ(1, mstore_batch_failed(self->batch));				\
	EXPECT_EQ(ECANCELED, mstore_batch_result(self->batch, 0));		\
	EXPECT_EQ(0, mstore_batch_version(self->batch, 0));			\
	EXPECT_EQ(expected, mstore_batch_result(self->batch, 1));		\
	EXPECT_EQ(ECANCELED, mstore_batch_result(self->batch, 2));		\
	EXPECT_EQ(0, mstore_batch_version(self->batch, 2));			\
	EXPECT_EQ(0, mstore_batch_value_len(self->batch, 2));			\
	EXPECT_EQ('#', self->buffer[0]);					\
	EXPECT_TRUE(holds(self->store, ONE, "one"));				\
	EXPECT_TRUE(holds(self->store, TWO, NULL));				\
} while (0)

TEST_F(batch, canceled)
{
	const struct mstore_options if_version = { .flags = MSTORE_IF_VERSION, .version = 5 };
	const struct mstore_options replace = { .flags = MSTORE_REPLACE };
	uint64_t version = 0;

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "v", 1, NULL));
	ASSERT_EQ(0, mstore_set(self->store, ONE, strlen(ONE), "one", 3, &version));
	EXPECT_CANCELED(EEXIST, mstore_batch_set(self->batch, ONE, strlen(ONE), "v", 1,
						 &create));
	EXPECT_EQ(version, mstore_batch_version(self->batch, 1));
	EXPECT_CANCELED(ESTALE, mstore_batch_publish(self->batch, ONE, strlen(ONE), "v", 1,
						     &if_version));
	EXPECT_EQ(version, mstore_batch_version(self->batch, 1));
	EXPECT_CANCELED(ESTALE, mstore_batch_delete(self->batch, ONE, strlen(ONE), &if_version));
	EXPECT_EQ(version, mstore_batch_version(self->batch, 1));
	EXPECT_CANCELED(ERANGE, mstore_batch_get(self->batch, ONE, strlen(ONE),
						 self->buffer + 1, 2));
	EXPECT_EQ(version, mstore_batch_version(self->batch, 1));
	EXPECT_EQ(3, mstore_batch_value_len(self->batch, 1));
	EXPECT_CANCELED(ENOENT, mstore_batch_set(self->batch, THREE, strlen(THREE), "v", 1,
						 &replace));
	EXPECT_CANCELED(ENOENT, mstore_batch_delete(self->batch, THREE, strlen(THREE), NULL));
	EXPECT_CANCELED(EINVAL, mstore_batch_delete(self->batch, "", 0, NULL));
	EXPECT_CANCELED(EFAULT, mstore_batch_set(self->batch, ONE, strlen(ONE), (void *)1, 1,
						 NULL));
	EXPECT_CANCELED(EMSGSIZE, mstore_batch_set(self->batch, ONE, strlen(ONE), "v", SIZE_MAX,
						   NULL));
}

TEST_F(batch, canceled_for_the_mode)
{
	struct mstore *reader = mstore_open(DEVICE, MSTORE_READ);

	ASSERT_NE(NULL, reader);
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 1);
	add_set(self->batch, TWO, "2");
	EXPECT_ERRNO(ECANCELED, mstore_batch_run(reader, self->batch, ATOMIC));
	EXPECT_EQ(1, mstore_batch_failed(self->batch));
	EXPECT_EQ(ECANCELED, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(EBADF, mstore_batch_result(self->batch, 1));
	mstore_close(reader);
}

TEST_F(batch, touch)
{
	const struct mstore_options life = { .ttl_ms = 1000000 }, longer = { .ttl_ms = 2000000 };
	const struct mstore_options waits = { .ttl_ms = 1, .timeout_ms = 1 };
	uint64_t version;

	ASSERT_EQ(0, mstore_set_with(self->store, ONE, MSTORE_STRLEN, "1", 1, &life, &version));
	EXPECT_ERRNO(EINVAL, mstore_batch_touch(self->batch, ONE, MSTORE_STRLEN, &waits));
	EXPECT_EQ(0, mstore_batch_touch(self->batch, ONE, MSTORE_STRLEN, &longer));
	EXPECT_EQ(1, mstore_batch_touch(self->batch, TWO, MSTORE_STRLEN, &longer));
	EXPECT_EQ(2, mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 8));
	ASSERT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	EXPECT_EQ(0, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(version, mstore_batch_version(self->batch, 0));
	EXPECT_EQ(ENOENT, mstore_batch_result(self->batch, 1));
	EXPECT_LT(1000000, mstore_batch_ttl(self->batch, 2));
}

/* An error that no operation is to blame for is the result of each. */
TEST_F(batch, refused)
{
	static char keys[MSTORE_ATOMIC_MAX + 1][32];
	int i;

	add_set(self->batch, ONE, "1");
	add_set(self->batch, TWO, "2");
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 1);
	EXPECT_ERRNO(EINVAL, mstore_batch_run(self->store, self->batch, ATOMIC));
	EXPECT_ERRNO(EINVAL, mstore_batch_run(self->store, self->batch, 2));
	EXPECT_ERRNO(EINVAL, mstore_batch_run(self->store, self->batch, -1));
	EXPECT_EQ(0, mstore_batch_failed(self->batch));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(EINVAL, mstore_batch_result(self->batch, i));
		EXPECT_EQ(0, mstore_batch_version(self->batch, i));
	}
	EXPECT_TRUE(holds(self->store, ONE, NULL));

	mstore_batch_clear(self->batch);
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
	for (i = 0; i <= MSTORE_ATOMIC_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), PREFIX "%d", i);
		add_set(self->batch, keys[i], "");
		if (i < MSTORE_ATOMIC_MAX)
			continue;
		EXPECT_ERRNO(EINVAL, mstore_batch_run(self->store, self->batch, ATOMIC));
		EXPECT_EQ(EINVAL, mstore_batch_result(self->batch, i));
		EXPECT_TRUE(holds(self->store, keys[0], NULL));
	}

	mstore_batch_clear(self->batch);
	for (i = 0; i < MSTORE_ATOMIC_MAX; i++)
		add_set(self->batch, keys[i], "");
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));
	EXPECT_TRUE(holds(self->store, keys[0], ""));
}

TEST_F(batch, events_belong_together)
{
	static const char *const keys[] = { ONE, TWO, THREE };
	struct mstore_event_buffer *buffer = mstore_event_buffer_new(0);
	const struct mstore_event *event = NULL;
	int i, cookies = 0;

	ASSERT_NE(NULL, buffer);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, mstore_subscribe(self->store, keys[i], MSTORE_STRLEN, ALL,
					      (uint64_t)i));
		add_set(self->batch, keys[i], "");
	}
	ASSERT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));
	ASSERT_EQ(3, mstore_read_events(self->store, buffer));
	for (i = 0; i < 3; i++) {
		event = mstore_event_next(buffer, event);
		ASSERT_NE(NULL, event);
		EXPECT_EQ(MSTORE_EVENT_SET, mstore_event_type(event));
		EXPECT_EQ(i < 2 ? MSTORE_EVENT_F_MORE : 0, mstore_event_flags(event));
		cookies |= 1 << mstore_event_cookie(event);
	}
	EXPECT_EQ(7, cookies);

	ASSERT_EQ(0, mstore_batch_run(self->store, self->batch, 0));
	ASSERT_EQ(3, mstore_read_events(self->store, buffer));
	for (i = 0, event = NULL; i < 3; i++) {
		event = mstore_event_next(buffer, event);
		ASSERT_NE(NULL, event);
		EXPECT_EQ((uint64_t)i, mstore_event_cookie(event));
		EXPECT_EQ(0, mstore_event_flags(event));
	}
	mstore_event_buffer_free(buffer);
}

TEST_F(batch, not_a_store)
{
	struct mstore *null = mstore_open("/dev/null", MSTORE_RDWR);

	ASSERT_NE(NULL, null);
	add_set(self->batch, ONE, "1");
	mstore_batch_get(self->batch, ONE, strlen(ONE), self->buffer, 1);
	EXPECT_ERRNO(ENOTTY, mstore_batch_run(null, self->batch, 0));
	EXPECT_EQ(0, mstore_batch_failed(self->batch));
	EXPECT_EQ(ENOTTY, mstore_batch_result(self->batch, 0));
	EXPECT_EQ(ENOTTY, mstore_batch_result(self->batch, 1));
	mstore_close(null);
}

/* The kernel's arguments, and results that it cannot be brought to */
static struct metastore_batch seen;
static struct metastore_op seen_ops[3];

static int strange_batch(void *arg)
{
	struct metastore_batch *batch = arg;
	struct metastore_op *ops = (void *)(uintptr_t)batch->ops;

	seen = *batch;
	memcpy(seen_ops, ops, sizeof(seen_ops));
	ops[0].queues = UINT32_MAX;
	batch->failed = UINT32_MAX;
	return 0;
}

TEST_F(batch, as_asked)
{
	const struct mstore_options options = {
		.flags = MSTORE_IF_VERSION | MSTORE_STEAL, .version = 0x1122334455667788,
		.ttl_ms = 0x99aabbccdd,
	}, delete = { .flags = MSTORE_STEAL, .version = 0x2233445566778899 };

	mstore_batch_publish(self->batch, "one", 3, "value", 5, &options);
	mstore_batch_delete(self->batch, "three", 5, &delete);
	mstore_batch_get(self->batch, "four", 4, self->buffer, 7);
	fake_kernel = strange_batch;
	EXPECT_EQ(0, mstore_batch_run(self->store, self->batch, ATOMIC));
	fake_kernel = NULL;

	EXPECT_EQ(3, seen.nr);
	EXPECT_EQ(sizeof(struct metastore_op), seen.op_size);
	EXPECT_EQ(METASTORE_BATCH_ATOMIC, seen.flags);
	EXPECT_EQ(METASTORE_OP_PUBLISH, seen_ops[0].op);
	EXPECT_EQ(3, seen_ops[0].key_len);
	EXPECT_EQ(5, seen_ops[0].value_len);
	EXPECT_EQ(METASTORE_F_IF_VERSION | METASTORE_F_STEAL, seen_ops[0].flags);
	EXPECT_EQ(options.version, seen_ops[0].version);
	EXPECT_EQ(options.ttl_ms, seen_ops[0].ttl);
	EXPECT_EQ(METASTORE_OP_DELETE, seen_ops[1].op);
	EXPECT_EQ(5, seen_ops[1].key_len);
	EXPECT_EQ(0, seen_ops[1].value);
	EXPECT_EQ(0, seen_ops[1].value_len);
	EXPECT_EQ(METASTORE_F_STEAL, seen_ops[1].flags);
	EXPECT_EQ(0, seen_ops[1].version);
	EXPECT_EQ(METASTORE_OP_GET, seen_ops[2].op);
	EXPECT_EQ(4, seen_ops[2].key_len);
	EXPECT_EQ((uintptr_t)self->buffer, seen_ops[2].value);
	EXPECT_EQ(7, seen_ops[2].value_len);
	EXPECT_EQ(0, seen_ops[2].flags);
	EXPECT_EQ(0, seen_ops[2].version);
	EXPECT_EQ(0, seen_ops[2].ttl);

	EXPECT_EQ(INT_MAX, mstore_batch_queues(self->batch, 0));
	EXPECT_EQ(-1, mstore_batch_failed(self->batch));
}

TEST_HARNESS_MAIN
