// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: mstore_versions. Several subscriptions of one open store to a key are read
 * in an order of their own, and what is accepted of that is in the order of versions.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <metastore.h>

#include "lib_test.h"

/* How many calls of malloc() succeed until one fails, while that is not negative */
static __thread int memory_left = -1;

void *malloc(size_t size)
{
	if (!memory_left) {
		errno = ENOMEM;
		return NULL;
	}
	if (memory_left > 0)
		memory_left--;
	return calloc(1, size);
}

static int set(struct mstore *store, const char *key)
{
	return mstore_set(store, key, MSTORE_STRLEN, "v", 1, NULL);
}

static int delete(struct mstore *store, const char *key)
{
	return mstore_delete(store, key, MSTORE_STRLEN, NULL);
}

static int subscribe(struct mstore *store, const char *key, int flags)
{
	const struct mstore_subscribe_options options = { .flags = flags, .events = ALL };

	return mstore_subscribe_with(store, key, MSTORE_STRLEN, &options);
}

/* Events that were read, and those of them that were accepted */
struct read {
	int events;
	int accepted;
	int backwards;		/* events that are older than one that was read */
	int accepted_backwards;
	uint64_t last;		/* version that was accepted last */
	int last_type;
};

/* Of one key alone. Returns 0, or -1 if something failed. */
static int read_all(struct _test_data_store *self, struct mstore_versions *versions,
		    struct read *read)
{
	const struct mstore_event *event;
	uint64_t version, newest = 0;
	int ret;

	while (mstore_read_events(self->store, self->buffer) > 0) {
		for (event = NULL; (event = mstore_event_next(self->buffer, event)); ) {
			ret = mstore_versions_accept(versions, event);
			if (ret < 0)
				return -1;
			version = mstore_event_version(event);
			if (!version)
				continue;
			read->events++;
			read->backwards += version < newest;
			newest = version > newest ? version : newest;
			if (!ret)
				continue;
			read->accepted++;
			read->accepted_backwards += version <= read->last;
			read->last = version;
			read->last_type = mstore_event_type(event);
		}
	}
	return errno == EAGAIN ? 0 : -1;
}

/* The latest event of an exact key overtakes what the prefix has of it. */
TEST_F(store, latest_and_prefix)
{
	struct mstore_versions *versions = mstore_versions_new(0);
	struct read read = {};
	uint64_t version;

	ASSERT_NE(NULL, versions);
	ASSERT_EQ(0, subscribe(self->store, KEY, MSTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, set(self->store, KEY));
		ASSERT_EQ(0, delete(self->store, KEY));
	}
	ASSERT_EQ(0, mstore_set(self->store, KEY, MSTORE_STRLEN, "v", 1, &version));
	ASSERT_EQ(0, read_all(self, versions, &read));
	/* Else there was nothing to bring in order. */
	EXPECT_EQ(22, read.events);
	EXPECT_LT(0, read.backwards);
	EXPECT_EQ(0, read.accepted_backwards);
	EXPECT_EQ(version, read.last);
	EXPECT_EQ(MSTORE_EVENT_SET, read.last_type);
	mstore_versions_free(versions);
}

TEST_F(store, snapshot_and_prefix)
{
	struct mstore_versions *versions = mstore_versions_new(0);
	struct read read = {};

	ASSERT_NE(NULL, versions);
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, set(self->store, KEY));
		ASSERT_EQ(0, delete(self->store, KEY));
	}
	ASSERT_EQ(0, set(self->store, KEY));
	ASSERT_EQ(0, subscribe(self->store, KEY, MSTORE_SUBSCRIBE_SNAPSHOT));
	ASSERT_EQ(0, read_all(self, versions, &read));
	EXPECT_LT(0, read.backwards);
	EXPECT_EQ(0, read.accepted_backwards);
	EXPECT_NE(MSTORE_EVENT_DELETED, read.last_type);
	mstore_versions_free(versions);
}

/* Of what several subscriptions get, one is accepted: here each change. */
TEST_F(store, one_of_several)
{
	struct mstore_versions *versions = mstore_versions_new(0);
	struct read read = {};

	ASSERT_NE(NULL, versions);
	ASSERT_EQ(0, subscribe(self->store, KEY, 0));
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, subscribe(self->store, "", MSTORE_SUBSCRIBE_PREFIX));
	for (int i = 0; i < 10; i++)
		ASSERT_EQ(0, set(self->store, KEY));
	ASSERT_EQ(0, read_all(self, versions, &read));
	EXPECT_EQ(30, read.events);
	EXPECT_EQ(10, read.accepted);
	mstore_versions_free(versions);
}

/* Keys are compared whole: none of these hides another. */
TEST_F(store, keys_that_begin_alike)
{
	struct mstore_versions *versions = mstore_versions_new(0);
	struct read read = {};

	ASSERT_NE(NULL, versions);
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, set(self->store, KEY));
	ASSERT_EQ(0, set(self->store, KEY "1"));
	ASSERT_EQ(0, set(self->store, PREFIX "k"));
	ASSERT_EQ(0, mstore_set(self->store, PREFIX "k\0", sizeof(PREFIX "k"), "v", 1, NULL));
	ASSERT_EQ(0, read_all(self, versions, &read));
	EXPECT_EQ(4, read.accepted);
	mstore_versions_free(versions);
}

/* Losses are of no key, and are to be heard of in any case. */
TEST_F(store, losses_are_accepted)
{
	const struct mstore_queue_options options = { .which = MSTORE_QUEUE_SET_LEN, .max_len = 4 };
	struct mstore_versions *versions = mstore_versions_new(0);
	const struct mstore_event *event = NULL;
	int lost = 0;

	ASSERT_NE(NULL, versions);
	ASSERT_EQ(0, mstore_queue_set(self->store, &options));
	ASSERT_EQ(0, subscribe(self->store, KEY, 0));
	for (int twice = 0; twice < 2; twice++) {
		for (int i = 0; i < 10; i++)
			ASSERT_EQ(0, set(self->store, KEY));
		ASSERT_LT(0, mstore_read_events(self->store, self->buffer));
		while ((event = mstore_event_next(self->buffer, event))) {
			ASSERT_EQ(1, mstore_versions_accept(versions, event));
			lost += mstore_event_type(event) == MSTORE_EVENT_LOST;
		}
	}
	EXPECT_EQ(2, lost);
	mstore_versions_free(versions);
}

static int read_one(struct _test_data_store *self, const struct mstore_event **event)
{
	if (mstore_read_events(self->store, self->buffer) != 1)
		return -1;
	*event = mstore_event_next(self->buffer, NULL);
	return 0;
}

/* The keys told last are remembered, and no others. */
TEST_F(store, forgets)
{
	struct mstore_versions *versions = mstore_versions_new(3);
	struct mstore_event_buffer *first = mstore_event_buffer_new(0);
	const struct mstore_event *event, *old;

	ASSERT_NE(NULL, versions);
	ASSERT_NE(NULL, first);
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, set(self->store, PREFIX "0"));
	ASSERT_LT(0, mstore_read_events(self->store, first));
	old = mstore_event_next(first, NULL);
	EXPECT_EQ(1, mstore_versions_accept(versions, old));
	for (char key[] = PREFIX "1"; key[sizeof(PREFIX) - 1] <= '3'; key[sizeof(PREFIX) - 1]++) {
		/* It is remembered as long as fewer than three came behind it, */
		EXPECT_EQ(0, mstore_versions_accept(versions, old));
		ASSERT_EQ(0, set(self->store, key));
		ASSERT_EQ(0, read_one(self, &event));
		EXPECT_EQ(1, mstore_versions_accept(versions, event));
	}
	/* and then no more. */
	EXPECT_EQ(1, mstore_versions_accept(versions, old));
	EXPECT_EQ(0, mstore_versions_accept(versions, event));
	/* One that is told again becomes the last one. */
	ASSERT_EQ(0, set(self->store, PREFIX "2"));
	ASSERT_EQ(0, read_one(self, &event));
	EXPECT_EQ(1, mstore_versions_accept(versions, event));
	ASSERT_EQ(0, set(self->store, PREFIX "4"));
	ASSERT_EQ(0, set(self->store, PREFIX "5"));
	ASSERT_LT(0, mstore_read_events(self->store, first));
	old = event;
	for (event = NULL; (event = mstore_event_next(first, event)); )
		EXPECT_EQ(1, mstore_versions_accept(versions, event));
	EXPECT_EQ(0, mstore_versions_accept(versions, old));
	mstore_event_buffer_free(first);
	mstore_versions_free(versions);
}

TEST_F(store, without_memory)
{
	struct mstore_versions *versions = mstore_versions_new(0);
	const struct mstore_event *event;
	int left;

	ASSERT_NE(NULL, versions);
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, set(self->store, KEY));
	ASSERT_EQ(0, read_one(self, &event));
	for (left = 0; left < 2; left++) {
		memory_left = left;
		EXPECT_ERRNO(ENOMEM, mstore_versions_accept(versions, event));
		memory_left = -1;
	}
	EXPECT_EQ(1, mstore_versions_accept(versions, event));
	/* A key that is there needs none. */
	memory_left = 0;
	EXPECT_EQ(0, mstore_versions_accept(versions, event));
	memory_left = -1;
	mstore_versions_free(versions);
	mstore_versions_free(NULL);
}

/* Against a plain model: what is accepted never goes back, and ends with what there is. */
TEST_F(store, random)
{
	static const char *const keys[] = { KEY "a", KEY "b", KEY "c", KEY "d" };
	struct mstore_versions *versions = mstore_versions_new(0);
	const struct mstore_event *event;
	uint64_t told[4] = {}, version;
	bool there[4] = {};
	char *value;
	size_t len;
	int i, key, end;

	ASSERT_NE(NULL, versions);
	srand(1);
	ASSERT_EQ(0, subscribe(self->store, keys[0], MSTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, subscribe(self->store, keys[1], MSTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, subscribe(self->store, KEY,
			       MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	for (end = 0; end < 300; end++) {
		for (i = rand() % 20; i; i--) {
			key = rand() % 4;
			if (rand() % 3)
				set(self->store, keys[key]);
			else
				delete(self->store, keys[key]);
		}
		if (mstore_read_events(self->store, self->buffer) <= 0)
			continue;
		for (event = NULL; (event = mstore_event_next(self->buffer, event)); ) {
			ASSERT_LE(0, i = mstore_versions_accept(versions, event));
			key = mstore_event_key(event, &len)[len - 1] - 'a';
			version = mstore_event_version(event);
			ASSERT_EQ(i, version > told[key]);
			if (!i)
				continue;
			told[key] = version;
			there[key] = mstore_event_type(event) != MSTORE_EVENT_DELETED;
		}
	}
	while (mstore_read_events(self->store, self->buffer) > 0) {
		for (event = NULL; (event = mstore_event_next(self->buffer, event)); ) {
			key = mstore_event_key(event, &len)[len - 1] - 'a';
			if (mstore_versions_accept(versions, event))
				there[key] = mstore_event_type(event) != MSTORE_EVENT_DELETED;
		}
	}
	for (key = 0; key < 4; key++) {
		free(value = mstore_get_alloc(self->store, keys[key], MSTORE_STRLEN, NULL, NULL));
		EXPECT_EQ(there[key], !!value);
	}
	mstore_versions_free(versions);
}

TEST_HARNESS_MAIN
