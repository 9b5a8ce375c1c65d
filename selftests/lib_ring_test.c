// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: events from memory that is shared with the module, the same as by read().
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <metastore.h>

#include "lib_test.h"

/* How often the library has called read() */
static int reads;

ssize_t read(int fd, void *buffer, size_t size)
{
	reads++;
	return syscall(SYS_read, fd, buffer, size);
}

FIXTURE(ring)
{
	struct mstore *writer;
	struct mstore *store;
	struct mstore_event_buffer *buffer;
};

FIXTURE_SETUP(ring)
{
	self->writer = mstore_open(NULL, MSTORE_RDWR);
	self->store = mstore_open(NULL, MSTORE_RDWR | MSTORE_NONBLOCK);
	self->buffer = mstore_event_buffer_new(0);
	ASSERT_NE(NULL, self->writer);
	ASSERT_NE(NULL, self->store);
	ASSERT_NE(NULL, self->buffer);
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, MSTORE_STRLEN, ALL, 7));
	reads = 0;
}

FIXTURE_TEARDOWN(ring)
{
	mstore_event_buffer_free(self->buffer);
	mstore_close(self->store);
	mstore_close(self->writer);
}

static int publish(struct mstore *store, int number, size_t len)
{
	static char value[2000];

	snprintf(value, sizeof(value), "%-8d", number);
	return mstore_publish(store, KEY, MSTORE_STRLEN, value, len, NULL);
}

/* Whether the events of the buffer have the numbers from @number on, and how many they are. */
static int numbered(const struct mstore_event_buffer *buffer, int number)
{
	const struct mstore_event *event = NULL;
	int events = 0;

	while ((event = mstore_event_next(buffer, event))) {
		if (mstore_event_cookie(event) != 7 ||
		    atoi(mstore_event_value(event, NULL)) != number + events)
			return -1;
		events++;
	}
	return events;
}

TEST_F(ring, errors)
{
	struct mstore *other = mstore_open(NULL, MSTORE_READ), *again;
	struct mstore_queue_options options = { .which = MSTORE_QUEUE_SET_LEN, .max_len = 10 };

	EXPECT_ERRNO(EACCES, mstore_map_events(other, 0));
	mstore_close(other);
	EXPECT_ERRNO(EINVAL, mstore_map_events(self->store, (64 << 20) + 1));
	ASSERT_EQ(0, mstore_map_events(self->store, 1));
	EXPECT_ERRNO(EBUSY, mstore_map_events(self->store, 0));
	EXPECT_ERRNO(EBUSY, mstore_queue_set(self->store, &options));
	again = mstore_open_fd(dup(mstore_fd(self->store)));
	EXPECT_ERRNO(EBUSY, mstore_map_events(again, 0));
	mstore_close(again);
	EXPECT_ERRNO(EAGAIN, mstore_read_events(self->store, self->buffer));
}

TEST_F(ring, no_system_call)
{
	int i;

	ASSERT_EQ(0, mstore_map_events(self->store, 0));
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(1, publish(self->writer, i, 8));
		ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
		ASSERT_EQ(1, numbered(self->buffer, i));
	}
	/* Many at once */
	for (i = 0; i < 100; i++)
		ASSERT_EQ(1, publish(self->writer, i, 8 + i));
	ASSERT_EQ(100, mstore_read_events(self->store, self->buffer));
	EXPECT_EQ(100, numbered(self->buffer, 0));
	EXPECT_EQ(0, reads);
	/* There is nothing: the kernel says so */
	EXPECT_ERRNO(EAGAIN, mstore_read_events(self->store, self->buffer));
	EXPECT_EQ(1, reads);
	EXPECT_EQ(0, mstore_wait(self->store, 0));
	ASSERT_EQ(1, publish(self->writer, 5, 8));
	EXPECT_EQ(1, mstore_wait(self->store, -1));
}

/* Events that the ring does not have, in order */
TEST_F(ring, mixed)
{
	struct mstore_queue_info info;
	int next = 0, i, events;

	ASSERT_EQ(0, mstore_map_events(self->store, 1));
	for (i = 0; i < 500; i++)
		ASSERT_EQ(1, publish(self->writer, i, i % 50 ? 8 : 1500));
	while (next < 500) {
		ASSERT_LT(0, mstore_read_events(self->store, self->buffer));
		events = numbered(self->buffer, next);
		ASSERT_LT(0, events);
		next += events;
	}
	EXPECT_ERRNO(EAGAIN, mstore_read_events(self->store, self->buffer));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(500, info.delivered);
	EXPECT_EQ(500, info.matched);
}

/* A buffer that is smaller than an event grows, as without */
TEST_F(ring, small_buffer)
{
	struct mstore_event_buffer *small = mstore_event_buffer_new(8);

	ASSERT_EQ(0, mstore_map_events(self->store, 0));
	ASSERT_EQ(1, publish(self->writer, 0, 300));
	ASSERT_EQ(1, publish(self->writer, 1, 8));
	ASSERT_EQ(1, mstore_read_events(self->store, small));
	EXPECT_EQ(1, numbered(small, 0));
	ASSERT_EQ(1, mstore_read_events(self->store, small));
	EXPECT_EQ(1, numbered(small, 1));
	mstore_event_buffer_free(small);
}

TEST_F(ring, lost)
{
	struct mstore_queue_options options = { .which = MSTORE_QUEUE_SET_LEN, .max_len = 10 };
	const struct mstore_event *event;
	int i, events = 0;

	ASSERT_EQ(0, mstore_queue_set(self->store, &options));
	ASSERT_EQ(0, mstore_map_events(self->store, 0));
	for (i = 0; i < 25; i++)
		ASSERT_EQ(1, publish(self->writer, i, 8));
	ASSERT_LT(0, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_EQ(MSTORE_EVENT_LOST, mstore_event_type(event));
	EXPECT_EQ(15, mstore_event_count(event));
	while ((event = mstore_event_next(self->buffer, event)))
		EXPECT_EQ(15 + events++, atoi(mstore_event_value(event, NULL)));
	EXPECT_EQ(10, events);
	EXPECT_ERRNO(EAGAIN, mstore_read_events(self->store, self->buffer));
}

/* Both processes have the ring, and each event goes to one of them */
TEST_F(ring, fork)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, mstore_map_events(self->store, 0));
	ASSERT_EQ(1, publish(self->writer, 0, 8));
	pid = fork();
	if (!pid) {
		if (mstore_read_events(self->store, self->buffer) != 1 || reads)
			_exit(1);
		mstore_close(self->store);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_ERRNO(EAGAIN, mstore_read_events(self->store, self->buffer));
	ASSERT_EQ(1, publish(self->writer, 1, 8));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	EXPECT_EQ(1, numbered(self->buffer, 1));
	EXPECT_EQ(1, reads);
}

/* A publisher that waits for room goes on, as the reader tells the kernel of it */
TEST_F(ring, room)
{
	const struct mstore_queue_options lossless = {
		.which = MSTORE_QUEUE_SET_LEN | MSTORE_QUEUE_SET_POLICY,
		.max_len = 4, .policy = MSTORE_QUEUE_LOSSLESS,
	};
	const struct mstore_options wait = {
		.flags = MSTORE_WAIT, .timeout_ms = ms_limit(20000),
	};
	int status, next = 0, events;
	char number[9];
	pid_t pid;

	ASSERT_EQ(0, mstore_queue_set(self->store, &lossless));
	ASSERT_EQ(0, mstore_map_events(self->store, 0));
	pid = fork();
	if (!pid) {
		for (next = 0; next < 200; next++) {
			snprintf(number, sizeof(number), "%-8d", next);
			if (mstore_publish_with(self->writer, KEY, MSTORE_STRLEN, number, 8, &wait,
						NULL) != 1)
				_exit(1);
		}
		_exit(0);
	}
	while (next < 200) {
		ASSERT_EQ(1, mstore_wait(self->store, ms_limit(20000)));
		events = mstore_read_events(self->store, self->buffer);
		if (events < 0) {
			ASSERT_EQ(EAGAIN, errno);
			continue;
		}
		ASSERT_EQ(events, numbered(self->buffer, next));
		next += events;
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, reads);
}

TEST_HARNESS_MAIN
