// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore with a kernel that is broken, newer or quick: an ioctl() and a socket
 * of our own take its place.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

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
