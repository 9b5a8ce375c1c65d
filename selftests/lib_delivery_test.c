// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: prefixes, snapshots, policies, books and publishing that waits. Like
 * lib_test.c, about what the library makes of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

#define OTHER	PREFIX "other"

static int set(struct mstore *store, const char *key, const char *value)
{
	return mstore_set(store, key, strlen(key), value, strlen(value), NULL);
}

static int publish(struct mstore *store, const char *value,
		   const struct mstore_options *options)
{
	return mstore_publish_with(store, KEY, strlen(KEY), value, strlen(value), options,
				   NULL);
}

static int subscribe(struct mstore *store, const char *key, int flags)
{
	const struct mstore_subscribe_options options = { .flags = flags, .events = ALL };

	return mstore_subscribe_with(store, key, strlen(key), &options);
}

static int make_lossless(struct mstore *store, uint32_t max_len)
{
	const struct mstore_queue_options options = {
		.which = MSTORE_QUEUE_SET_LEN | MSTORE_QUEUE_SET_POLICY,
		.policy = MSTORE_QUEUE_LOSSLESS,
		.max_len = max_len,
	};

	return mstore_queue_set(store, &options);
}

static bool is_event(const struct mstore_event *event, int type, const char *key,
		     const char *value)
{
	size_t key_len, value_len;
	const char *bytes;

	if (!event || mstore_event_type(event) != type)
		return false;
	bytes = mstore_event_key(event, &key_len);
	if (key_len != strlen(key) || memcmp(bytes, key, key_len))
		return false;
	bytes = mstore_event_value(event, &value_len);
	return value_len == strlen(value) && !memcmp(bytes, value, value_len);
}

TEST_F(store, prefix)
{
	const struct mstore_event *event;

	ASSERT_EQ(0, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_ERRNO(EEXIST, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_EQ(1, mstore_subscribers(self->store, KEY, MSTORE_STRLEN));
	ASSERT_EQ(0, set(self->store, "lib_other", "1"));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, set(self->store, OTHER, "2"));
	ASSERT_EQ(0, mstore_delete(self->store, "lib_other", MSTORE_STRLEN, NULL));
	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_TRUE(is_event(event, MSTORE_EVENT_SET, KEY, "1"));
	event = mstore_event_next(self->buffer, event);
	EXPECT_TRUE(is_event(event, MSTORE_EVENT_SET, OTHER, "2"));

	EXPECT_ERRNO(ENOENT, mstore_unsubscribe(self->store, PREFIX, MSTORE_STRLEN));
	EXPECT_EQ(0, mstore_unsubscribe_with(self->store, PREFIX, MSTORE_STRLEN,
					     MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_ERRNO(ENOENT, mstore_unsubscribe_with(self->store, PREFIX, MSTORE_STRLEN,
						     MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_EQ(0, mstore_subscribers(self->store, KEY, MSTORE_STRLEN));
}

/* The prefix of all keys has no bytes. */
TEST_F(store, empty_prefix)
{
	const struct mstore_subscribe_options options = { .flags = MSTORE_SUBSCRIBE_PREFIX };

	EXPECT_EQ(0, mstore_subscribe_with(self->store, NULL, 0, &options));
	EXPECT_EQ(1, publish(self->store, "1", NULL));
	EXPECT_EQ(0, mstore_unsubscribe_with(self->store, NULL, 0, MSTORE_SUBSCRIBE_PREFIX));
}

/* Without options it is the subscription that zeros ask for. */
TEST_F(store, no_options)
{
	ASSERT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, NULL));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(1, publish(self->store, "2", NULL));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	EXPECT_TRUE(is_event(mstore_event_next(self->buffer, NULL), MSTORE_EVENT_PUBLISHED, KEY,
			     "2"));
	EXPECT_EQ(0, mstore_unsubscribe_with(self->store, KEY, MSTORE_STRLEN, 0));
}

TEST_F(store, snapshot)
{
	struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_SNAPSHOT,
		.cookie = POISON,
	};
	const struct mstore_event *event;

	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, &options));
	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_TRUE(is_event(event, MSTORE_EVENT_SNAPSHOT, KEY, "1"));
	EXPECT_EQ(getpid(), mstore_event_tgid(event));
	event = mstore_event_next(self->buffer, event);
	EXPECT_TRUE(is_event(event, MSTORE_EVENT_SNAPSHOT_END, "", ""));
	EXPECT_EQ(POISON, mstore_event_cookie(event));
	EXPECT_EQ(0, mstore_event_version(event));
	EXPECT_EQ(0, mstore_event_count(event));
	EXPECT_EQ(0, mstore_event_time(event));
}

TEST_F(store, newer)
{
	struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_SNAPSHOT | MSTORE_SUBSCRIBE_NEWER,
	};

	ASSERT_EQ(0, mstore_set(self->store, KEY, MSTORE_STRLEN, "1", 1, &options.version));
	ASSERT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, &options));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	EXPECT_TRUE(is_event(mstore_event_next(self->buffer, NULL), MSTORE_EVENT_SNAPSHOT_END, "",
			     ""));
	ASSERT_EQ(0, mstore_unsubscribe(self->store, KEY, MSTORE_STRLEN));

	options.version--;
	ASSERT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, &options));
	EXPECT_EQ(2, mstore_read_events(self->store, self->buffer));
	ASSERT_EQ(0, mstore_unsubscribe(self->store, KEY, MSTORE_STRLEN));

	/* Without the flag the version is not looked at. */
	options.flags = 0;
	EXPECT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, &options));
	options.flags = MSTORE_SUBSCRIBE_NEWER;
	EXPECT_ERRNO(EINVAL, mstore_subscribe_with(self->store, OTHER, MSTORE_STRLEN,
						   &options));
}

TEST_F(store, latest)
{
	struct mstore_subscription_info info;

	ASSERT_EQ(0, subscribe(self->store, KEY, MSTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	ASSERT_EQ(0, set(self->store, KEY, "3"));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	EXPECT_TRUE(is_event(mstore_event_next(self->buffer, NULL), MSTORE_EVENT_SET, KEY, "3"));

	ASSERT_EQ(0, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN, 0, &info));
	EXPECT_EQ(MSTORE_SUBSCRIBE_LATEST, info.flags);
	EXPECT_EQ(ALL, info.events);
	EXPECT_EQ(3, info.matched);
	EXPECT_EQ(1, info.delivered);
	EXPECT_EQ(2, info.conflated);
	EXPECT_EQ(0, info.lost);
	EXPECT_EQ(0, info.pending);
}

TEST_F(store, no_value)
{
	const struct mstore_event *event;

	ASSERT_EQ(0, subscribe(self->store, KEY, MSTORE_SUBSCRIBE_NO_VALUE));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_TRUE(is_event(event, MSTORE_EVENT_SET, KEY, ""));
	EXPECT_EQ(MSTORE_EVENT_F_NO_VALUE, mstore_event_flags(event));
}

TEST_F(store, removed_so)
{
	const struct mstore_options brief = { .ttl_ms = 1 };
	const struct mstore_event *event;

	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, MSTORE_STRLEN, MSTORE_EVENT_BY_FLUSH, 1));
	ASSERT_EQ(0, mstore_subscribe(self->store, OTHER, MSTORE_STRLEN, MSTORE_EVENT_BY_EXPIRY,
				      2));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, mstore_delete(self->store, KEY, MSTORE_STRLEN, NULL));
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	ASSERT_EQ(0, mstore_flush(self->store, KEY, MSTORE_STRLEN, MSTORE_ANY_BUCKET, 0, NULL,
				  NULL));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_TRUE(is_event(event, MSTORE_EVENT_DELETED, KEY, "2"));
	EXPECT_EQ(MSTORE_EVENT_F_FLUSH, mstore_event_flags(event));

	ASSERT_EQ(0, mstore_set_with(self->store, OTHER, MSTORE_STRLEN, "3", 1, &brief, NULL));
	ASSERT_EQ(1, mstore_wait(self->store, ms_limit(60000)));
	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	event = mstore_event_next(self->buffer, NULL);
	EXPECT_EQ(2, mstore_event_cookie(event));
	EXPECT_EQ(MSTORE_EVENT_F_EXPIRED, mstore_event_flags(event));
}

TEST_F(store, removed_by_delete_or_owner)
{
	const struct mstore_options owned = { .flags = MSTORE_OWNED };
	struct mstore *owner = mstore_reopen(self->store, MSTORE_WRITE);

	ASSERT_NE(NULL, owner);
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, MSTORE_STRLEN, MSTORE_EVENT_BY_OWNER, 1));
	ASSERT_EQ(0, mstore_subscribe(self->store, OTHER, MSTORE_STRLEN, MSTORE_EVENT_BY_DELETE,
				      2));
	ASSERT_EQ(0, mstore_set_with(owner, KEY, MSTORE_STRLEN, "1", 1, &owned, NULL));
	ASSERT_EQ(0, mstore_delete(owner, KEY, MSTORE_STRLEN, NULL));
	ASSERT_EQ(0, mstore_set_with(owner, KEY, MSTORE_STRLEN, "2", 1, &owned, NULL));
	ASSERT_EQ(0, mstore_set_with(owner, OTHER, MSTORE_STRLEN, "3", 1, &owned, NULL));
	mstore_close(owner);
	ASSERT_EQ(0, set(self->store, OTHER, "4"));
	ASSERT_EQ(0, mstore_delete(self->store, OTHER, MSTORE_STRLEN, NULL));
	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));
	EXPECT_TRUE(is_event(mstore_event_next(self->buffer, NULL), MSTORE_EVENT_DELETED, KEY,
			     "2"));
	EXPECT_TRUE(is_event(mstore_event_next(self->buffer,
					       mstore_event_next(self->buffer, NULL)),
			     MSTORE_EVENT_DELETED, OTHER, "4"));
}

TEST_F(store, subscription_info)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_SNAPSHOT,
		.events = MSTORE_EVENT_SET | MSTORE_EVENT_BY_FLUSH,
		.cookie = POISON,
	};
	struct mstore_subscription_info info;

	memset(&info, 0xcc, sizeof(info));
	EXPECT_ERRNO(ENOENT, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN, 0, &info));
	EXPECT_EQ(POISON, info.matched);

	ASSERT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, &options));
	EXPECT_ERRNO(ENOENT, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN, 0, &info));
	ASSERT_EQ(0, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN,
					      MSTORE_SUBSCRIBE_PREFIX, &info));
	EXPECT_EQ(options.flags, info.flags);
	EXPECT_EQ(options.events, info.events);
	EXPECT_EQ(POISON, info.cookie);
	EXPECT_EQ(0, info.matched);
	for (size_t i = 0; i < ARRAY_SIZE(info.reserved); i++)
		EXPECT_EQ(0, info.reserved[i]);

	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN,
					      MSTORE_SUBSCRIBE_PREFIX, &info));
	EXPECT_EQ(MSTORE_SUBSCRIBE_PREFIX, info.flags);
	EXPECT_EQ(1, info.matched);
	EXPECT_EQ(1, info.pending);
}

TEST_F(store, queue_info)
{
	struct mstore_queue_info info;
	struct mstore_info limits;

	memset(&info, 0xcc, sizeof(info));
	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &limits));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(MSTORE_QUEUE_DROP_OLDEST, info.policy);
	EXPECT_EQ(limits.queue_len, info.max_len);
	EXPECT_EQ(limits.queue_bytes, info.max_bytes);
	EXPECT_EQ(0, info.len);
	EXPECT_EQ(0, info.reserved1);
	for (size_t i = 0; i < ARRAY_SIZE(info.reserved); i++)
		EXPECT_EQ(0, info.reserved[i]);

	ASSERT_EQ(0, subscribe(self->store, KEY, 0));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	usleep(50000);
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(2, info.len);
	EXPECT_EQ(2, info.high_len);
	EXPECT_EQ(1, info.subscriptions);
	EXPECT_LT(0, info.bytes);
	EXPECT_EQ(2, info.matched);
	EXPECT_EQ(2, info.pending);
	EXPECT_LE(30, info.oldest_ms);

	ASSERT_EQ(2, mstore_read_events(self->store, self->buffer));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(0, info.len);
	EXPECT_EQ(2, info.high_len);
	EXPECT_EQ(2, info.delivered);
	EXPECT_EQ(0, info.pending);
	EXPECT_EQ(0, info.oldest_ms);
}

TEST_F(store, queue_set)
{
	struct mstore_queue_options options = { .which = MSTORE_QUEUE_SET_LEN, .max_len = 2 };
	struct mstore_queue_info before, info;

	ASSERT_EQ(0, mstore_queue_info(self->store, &before));
	ASSERT_EQ(0, subscribe(self->store, KEY, 0));
	ASSERT_EQ(0, mstore_queue_set(self->store, &options));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(2, info.max_len);
	EXPECT_EQ(before.max_bytes, info.max_bytes);
	EXPECT_EQ(2, info.len);
	EXPECT_EQ(1, info.lost);

	/* Fields that are not asked for are not looked at. */
	options = (struct mstore_queue_options){
		.which = MSTORE_QUEUE_SET_BYTES, .policy = -1, .max_bytes = 65536,
	};
	EXPECT_EQ(0, mstore_queue_set(self->store, &options));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(2, info.max_len);
	EXPECT_EQ(65536, info.max_bytes);
	EXPECT_EQ(MSTORE_QUEUE_DROP_OLDEST, info.policy);

	options.which = MSTORE_QUEUE_SET_POLICY;
	EXPECT_ERRNO(EINVAL, mstore_queue_set(self->store, &options));
	EXPECT_EQ(0, make_lossless(self->store, 2));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(MSTORE_QUEUE_LOSSLESS, info.policy);
}

static const struct mstore_options no_time = { .flags = MSTORE_WAIT };
static const struct mstore_options a_moment = { .flags = MSTORE_WAIT, .timeout_ms = 20 };
static const struct mstore_options for_ever = {
	.flags = MSTORE_WAIT, .timeout_ms = MSTORE_WAIT_FOREVER,
};

static void on_alarm(int signal)
{
	(void)signal;
}

/* Signals come until one comes while it waits. */
static void begin_alarms(void)
{
	const struct itimerval again = { { 0, 20000 }, { 0, 20000 } };
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &again, NULL);
}

static void end_alarms(void)
{
	const struct itimerval never = { 0 };

	setitimer(ITIMER_REAL, &never, NULL);
}

TEST_F(store, publish_waits)
{
	struct mstore *publisher = mstore_open(DEVICE, MSTORE_WRITE);
	struct mstore_queue_info info;

	ASSERT_NE(NULL, publisher);
	ASSERT_EQ(0, subscribe(self->store, KEY, 0));
	ASSERT_EQ(0, make_lossless(self->store, 1));
	EXPECT_EQ(1, publish(publisher, "1", &no_time));
	EXPECT_ERRNO(EAGAIN, publish(publisher, "2", &no_time));
	EXPECT_ERRNO(EAGAIN, publish(self->store, "2", &for_ever));
	EXPECT_ERRNO(ETIMEDOUT, publish(publisher, "2", &a_moment));
	begin_alarms();
	EXPECT_ERRNO(EINTR, publish(publisher, "2", &for_ever));
	end_alarms();
	EXPECT_ERRNO(EINVAL, mstore_set_with(publisher, KEY, MSTORE_STRLEN, "2", 1, &no_time,
					     NULL));
	ASSERT_EQ(0, mstore_queue_info(self->store, &info));
	EXPECT_EQ(0, info.lost);

	ASSERT_EQ(1, mstore_read_events(self->store, self->buffer));
	EXPECT_TRUE(is_event(mstore_event_next(self->buffer, NULL), MSTORE_EVENT_PUBLISHED, KEY,
			     "1"));
	EXPECT_EQ(1, publish(publisher, "2", &for_ever));
	mstore_close(publisher);
}

TEST_F(store, features)
{
	struct mstore_info info;

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	EXPECT_NE(0, info.features & MSTORE_FEATURE_DELIVERY);
	EXPECT_NE(0, info.features & MSTORE_FEATURE_WAIT);
}

TEST_F(store, reserved_fields)
{
	struct mstore_subscribe_options subscription;
	struct mstore_queue_options queue;

	for (size_t i = 0; i < ARRAY_SIZE(subscription.reserved); i++) {
		memset(&subscription, 0, sizeof(subscription));
		subscription.reserved[i] = 1ULL << 40;
		EXPECT_ERRNO(EINVAL, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN,
							   &subscription));
	}
	for (size_t i = 0; i < ARRAY_SIZE(queue.reserved); i++) {
		memset(&queue, 0, sizeof(queue));
		queue.reserved[i] = 1ULL << 40;
		EXPECT_ERRNO(EINVAL, mstore_queue_set(self->store, &queue));
	}
	EXPECT_EQ(0, mstore_subscribers(self->store, KEY, MSTORE_STRLEN));
}

/* An older module, or no store at all, says so, and nothing is written. */

static int refusal;

static int refuse(void *arg)
{
	(void)arg;
	return -refusal;
}

TEST_F(store, refusals_pass_through)
{
	static const int errors[] = { ENOTTY, EINVAL, E2BIG };
	struct mstore_subscription_info info;
	struct mstore_queue_options options = { 0 };
	struct mstore_queue_info queue;

	memset(&info, 0xcc, sizeof(info));
	memset(&queue, 0xcc, sizeof(queue));
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		refusal = errors[i];
		fake_kernel = refuse;
		EXPECT_ERRNO(refusal, subscribe(self->store, PREFIX, MSTORE_SUBSCRIBE_PREFIX));
		EXPECT_ERRNO(refusal, mstore_unsubscribe_with(self->store, PREFIX, MSTORE_STRLEN,
							      MSTORE_SUBSCRIBE_PREFIX));
		EXPECT_ERRNO(refusal, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN, 0,
							       &info));
		EXPECT_ERRNO(refusal, mstore_queue_set(self->store, &options));
		EXPECT_ERRNO(refusal, mstore_queue_info(self->store, &queue));
		EXPECT_ERRNO(refusal, publish(self->store, "1", &no_time));
		fake_kernel = NULL;
	}
	EXPECT_EQ(POISON, info.matched);
	EXPECT_EQ(POISON, queue.matched);
}

/* Every field goes to its place. */

static struct metastore_subscribe subscribed;
static struct metastore_set published;

static int note_subscribe(void *arg)
{
	memcpy(&subscribed, arg, sizeof(subscribed));
	return 0;
}

static int note_publish(void *arg)
{
	memcpy(&published, arg, sizeof(published));
	return 0;
}

static int fill_queue(void *arg)
{
	struct metastore_queue_info *info = arg;

	*info = (struct metastore_queue_info){
		.policy = 1, .max_len = 2, .max_bytes = 3, .len = 4, .bytes = 5,
		.high_len = 6, .subscriptions = 7, .matched = 8, .delivered = 9,
		.conflated = 10, .lost = 11, .pending = 12, .oldest = 13,
	};
	return 0;
}

static int fill_subscription(void *arg)
{
	struct metastore_subscription_info *info = arg;

	*info = (struct metastore_subscription_info){
		.flags = 1, .events = 2, .cookie = 3, .matched = 4, .delivered = 5,
		.conflated = 6, .lost = 7, .pending = 8,
	};
	return 0;
}

TEST_F(store, fields)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_NEWER, .events = 7, .cookie = 8, .version = 9,
	};
	struct mstore_subscription_info info;
	struct mstore_queue_info queue;

	fake_kernel = note_subscribe;
	EXPECT_EQ(0, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN, &options));
	fake_kernel = note_publish;
	EXPECT_EQ(0, publish(self->store, "1", &a_moment));
	fake_kernel = fill_queue;
	EXPECT_EQ(0, mstore_queue_info(self->store, &queue));
	fake_kernel = fill_subscription;
	EXPECT_EQ(0, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN, 0, &info));
	fake_kernel = NULL;

	EXPECT_EQ(strlen(KEY), subscribed.key_len);
	EXPECT_EQ(METASTORE_SUBSCRIBE_NEWER, subscribed.flags);
	EXPECT_EQ(7, subscribed.events);
	EXPECT_EQ(8, subscribed.cookie);
	EXPECT_EQ(9, subscribed.version);
	EXPECT_EQ(METASTORE_F_WAIT, published.flags);
	EXPECT_EQ(20, published.timeout);

	EXPECT_EQ(1, queue.policy);
	EXPECT_EQ(2, queue.max_len);
	EXPECT_EQ(3, queue.max_bytes);
	EXPECT_EQ(4, queue.len);
	EXPECT_EQ(5, queue.bytes);
	EXPECT_EQ(6, queue.high_len);
	EXPECT_EQ(7, queue.subscriptions);
	EXPECT_EQ(8, queue.matched);
	EXPECT_EQ(9, queue.delivered);
	EXPECT_EQ(10, queue.conflated);
	EXPECT_EQ(11, queue.lost);
	EXPECT_EQ(12, queue.pending);
	EXPECT_EQ(13, queue.oldest_ms);

	EXPECT_EQ(1, info.flags);
	EXPECT_EQ(2, info.events);
	EXPECT_EQ(3, info.cookie);
	EXPECT_EQ(4, info.matched);
	EXPECT_EQ(5, info.delivered);
	EXPECT_EQ(6, info.conflated);
	EXPECT_EQ(7, info.lost);
	EXPECT_EQ(8, info.pending);
}

TEST_HARNESS_MAIN
