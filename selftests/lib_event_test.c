// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: lists, subscriptions and events. Like lib_test.c, about what the
 * library makes of them.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <metastore.h>

#include "lib_test.h"

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

TEST_HARNESS_MAIN
