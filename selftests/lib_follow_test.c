// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: followers, and mstore_resync() that they are made of. A follower that has
 * read all has the store's values, after any changes of the keys, the queue and the
 * subscriptions.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <linux/metastore.h>
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

/* Reads in place of a follower's read(), while set */
static __thread ssize_t (*read_instead)(int fd, void *bytes, size_t size);

ssize_t read(int fd, void *bytes, size_t size)
{
	return read_instead ? read_instead(fd, bytes, size) : syscall(SYS_read, fd, bytes, size);
}

static int set(struct mstore *store, const char *key, const char *value)
{
	return mstore_set(store, key, MSTORE_STRLEN, value, strlen(value), NULL);
}

static int set_many(struct mstore *store, const char *key, int from, int to)
{
	char value[201];
	int ret = 0;

	for (; from < to && !ret; from++) {
		snprintf(value, sizeof(value), "%0200d", from);
		ret = set(store, key, value);
	}
	return ret;
}

static int set_queue_len(struct mstore *store, uint32_t len)
{
	const struct mstore_queue_options options = {
		.which = MSTORE_QUEUE_SET_LEN,
		.max_len = len,
	};

	return mstore_queue_set(store, &options);
}

/* Subscriptions that begin anew */

static const struct mstore_subscribe_options with_snapshot = {
	.flags = MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_SNAPSHOT,
	.events = ALL,
};

static int begin_by_resync(struct mstore *store)
{
	return mstore_resync(store, PREFIX, MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX);
}

static int begin_by_discard(struct mstore *store)
{
	return mstore_unsubscribe_with(store, PREFIX, MSTORE_STRLEN,
				       MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_DISCARD) ?:
	       mstore_subscribe_with(store, PREFIX, MSTORE_STRLEN, &with_snapshot);
}

/* A copy of one key: returns its value once all is read, and what was lost before */
static const char *copy_after_loss(struct mstore *writer, int (*begin)(struct mstore *store))
{
	struct mstore *store = mstore_reopen(writer, MSTORE_READ | MSTORE_NONBLOCK);
	/* One record at a time, as they are handled */
	struct mstore_event_buffer *buffer = mstore_event_buffer_new(64);
	const struct mstore_event *event;
	static char copy[256];
	const char *value;
	size_t len;

	if (mstore_subscribe_with(store, PREFIX, MSTORE_STRLEN, &with_snapshot))
		return "no subscription";
	while (mstore_read_events(store, buffer) > 0)
		;
	if (set_many(writer, KEY, 0, 3000))
		return "no writes";
	while (mstore_read_events(store, buffer) > 0) {
		event = mstore_event_next(buffer, NULL);
		if (mstore_event_type(event) == MSTORE_EVENT_SNAPSHOT_END)
			continue;
		if (mstore_event_type(event) == MSTORE_EVENT_LOST) {
			if (set(writer, KEY, "new") || begin(store))
				return "not begun anew";
			continue;
		}
		value = mstore_event_value(event, &len);
		snprintf(copy, sizeof(copy), "%.*s", (int)len, value);
	}
	mstore_event_buffer_free(buffer);
	mstore_close(store);
	return copy;
}

/* With mstore_unsubscribe() instead the copy ends as 2999, the last of the old events */
TEST_F(store, resync)
{
	EXPECT_STREQ("new", copy_after_loss(self->store, begin_by_resync));
}

TEST_F(store, discard)
{
	EXPECT_STREQ("new", copy_after_loss(self->store, begin_by_discard));
}

TEST_F(store, resync_errors)
{
	struct mstore_subscription_info sub;
	struct mstore_queue_info queue;

	EXPECT_ERRNO(ENOENT, mstore_resync(self->store, KEY, MSTORE_STRLEN, 0));
	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, MSTORE_STRLEN, ALL, 0));
	EXPECT_ERRNO(ENOENT, mstore_resync(self->store, KEY, MSTORE_STRLEN,
					   MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_ERRNO(EINVAL, mstore_resync(self->store, KEY, MSTORE_STRLEN,
					   MSTORE_SUBSCRIBE_SNAPSHOT));
	EXPECT_ERRNO(EINVAL, mstore_resync(self->store, KEY, 0, 0));
	/* The kernel's flag, which is this function's own */
	EXPECT_ERRNO(EINVAL, mstore_resync(self->store, KEY, MSTORE_STRLEN,
					   METASTORE_SUBSCRIBE_RESYNC));
	{
		const struct mstore_subscribe_options again = {
			.flags = METASTORE_SUBSCRIBE_RESYNC,
		};

		EXPECT_ERRNO(EINVAL, mstore_subscribe_with(self->store, KEY, MSTORE_STRLEN,
							   &again));
	}
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, mstore_resync(self->store, KEY, MSTORE_STRLEN, 0));
	ASSERT_EQ(0, mstore_subscription_info(self->store, KEY, MSTORE_STRLEN, 0, &sub));
	EXPECT_EQ(1, sub.discarded);
	EXPECT_EQ(sub.matched, sub.delivered + sub.conflated + sub.lost + sub.discarded +
			       sub.pending);
	ASSERT_EQ(0, mstore_queue_info(self->store, &queue));
	EXPECT_EQ(1, queue.discarded);
}

/* Followers */

static struct mstore_follow *follow_prefix(struct mstore *store, int flags)
{
	const struct mstore_follow_options options = { .flags = flags };
	struct mstore_follow *follow = mstore_follow_new(store, &options);

	if (follow && mstore_follow_add(follow, PREFIX, MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX)) {
		mstore_follow_free(follow);
		return NULL;
	}
	return follow;
}

/* The next change that it tells, as "key=value", "-key", "in step" or "nothing" */
static const char *next_of(struct mstore_follow *follow, int timeout_ms)
{
	static char text[512];
	size_t key_len, value_len;
	const char *key, *value;
	int type;

	type = mstore_follow_next(follow, timeout_ms);
	key = mstore_follow_key(follow, &key_len);
	value = mstore_follow_value(follow, &value_len);
	switch (type) {
	case MSTORE_FOLLOW_VALUE:
		snprintf(text, sizeof(text), "%.*s=%.*s", (int)key_len, key, (int)value_len,
			 value);
		return text;
	case MSTORE_FOLLOW_DELETED:
		snprintf(text, sizeof(text), "-%.*s", (int)key_len, key);
		return text;
	case MSTORE_FOLLOW_IN_STEP:
		return key || key_len || value || mstore_follow_version(follow) ||
		       mstore_follow_event(follow) ? "in step, with a key" : "in step";
	case 0:
		return "nothing";
	default:
		return strerror(errno);
	}
}

#define EXPECT_NEXT(expected, follow) EXPECT_STREQ(expected, next_of(follow, 0))

TEST_F(store, follow)
{
	struct mstore_follow *follow;
	struct mstore_follow_info info;
	uint64_t version;

	ASSERT_EQ(0, set(self->store, KEY, "1"));
	follow = follow_prefix(self->store, 0);
	ASSERT_NE(NULL, follow);
	EXPECT_EQ(1, mstore_wait(mstore_follow_store(follow), 0));
	EXPECT_LE(0, mstore_follow_fd(follow));
	EXPECT_NE(mstore_follow_fd(follow), mstore_fd(mstore_follow_store(follow)));
	EXPECT_NEXT(KEY "=1", follow);
	EXPECT_EQ(MSTORE_EVENT_SNAPSHOT, mstore_event_type(mstore_follow_event(follow)));
	EXPECT_NEXT("in step", follow);
	EXPECT_NEXT("nothing", follow);
	EXPECT_STREQ("nothing", next_of(follow, 20));

	ASSERT_EQ(0, set(self->store, "lib_other", "1"));
	ASSERT_EQ(0, mstore_delete(self->store, "lib_other", MSTORE_STRLEN, NULL));
	ASSERT_EQ(0, mstore_set(self->store, KEY, MSTORE_STRLEN, "2", 1, &version));
	EXPECT_STREQ(KEY "=2", next_of(follow, -1));
	EXPECT_EQ(version, mstore_follow_version(follow));
	EXPECT_EQ(MSTORE_EVENT_SET, mstore_event_type(mstore_follow_event(follow)));
	ASSERT_EQ(0, mstore_delete(self->store, KEY, MSTORE_STRLEN, &version));
	EXPECT_NEXT("-" KEY, follow);
	EXPECT_EQ(version, mstore_follow_version(follow));
	EXPECT_EQ(MSTORE_EVENT_DELETED, mstore_event_type(mstore_follow_event(follow)));
	EXPECT_NEXT("nothing", follow);

	/* Conflated: of a key that was not told only the deletion is left */
	ASSERT_EQ(0, set(self->store, KEY, "3"));
	ASSERT_EQ(0, mstore_delete(self->store, KEY, MSTORE_STRLEN, NULL));
	EXPECT_NEXT("nothing", follow);
	ASSERT_EQ(0, set_many(self->store, KEY, 0, 3000));
	ASSERT_EQ(0, set(self->store, KEY, "4"));
	EXPECT_NEXT(KEY "=4", follow);
	EXPECT_NEXT("nothing", follow);
	mstore_follow_info(follow, &info);
	EXPECT_EQ(1, info.keys);
	EXPECT_EQ(0, info.recoveries);
	EXPECT_EQ(0, info.lost);
	mstore_follow_free(follow);
	mstore_follow_free(NULL);
}

TEST_F(store, follow_options)
{
	struct mstore *writer = mstore_open(DEVICE, MSTORE_WRITE);
	struct mstore_follow_options options = { .flags = 4 };
	struct mstore_follow *follow;
	char key[MSTORE_KEY_MAX + 1] = "";

	EXPECT_NULL_ERRNO(EINVAL, mstore_follow_new(self->store, &options));
	options.flags = 0;
	options.reserved1 = 1;
	EXPECT_NULL_ERRNO(EINVAL, mstore_follow_new(self->store, &options));
	options.reserved1 = 0;
	options.reserved[6] = 1;
	EXPECT_NULL_ERRNO(EINVAL, mstore_follow_new(self->store, &options));
	EXPECT_NULL_ERRNO(EACCES, mstore_follow_new(writer, NULL));
	mstore_close(writer);

	follow = mstore_follow_new(self->store, NULL);
	ASSERT_NE(NULL, follow);
	EXPECT_ERRNO(EINVAL, mstore_follow_add(follow, "", 0, 0));
	EXPECT_ERRNO(EINVAL, mstore_follow_add(follow, key, sizeof(key), 0));
	EXPECT_ERRNO(EINVAL, mstore_follow_add(follow, key, sizeof(key),
					       MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_ERRNO(EINVAL, mstore_follow_add(follow, KEY, MSTORE_STRLEN,
					       MSTORE_SUBSCRIBE_SNAPSHOT));
	/* It follows nothing, so it is not in step */
	EXPECT_NEXT("nothing", follow);
	mstore_follow_free(follow);
}

static int old_module(void *arg)
{
	struct metastore_info *info = arg;

	info->features = ~(uint64_t)METASTORE_FEATURE_RESYNC;
	return 0;
}

TEST_F(store, follow_on_old_module)
{
	fake_kernel = old_module;
	EXPECT_NULL_ERRNO(ENOTTY, mstore_follow_new(self->store, NULL));
	fake_kernel = NULL;
}

TEST_F(store, follow_no_value)
{
	struct mstore_follow *follow;

	ASSERT_EQ(0, set(self->store, KEY, "1"));
	follow = follow_prefix(self->store, MSTORE_FOLLOW_NO_VALUE);
	ASSERT_NE(NULL, follow);
	EXPECT_NEXT(KEY "=", follow);
	EXPECT_EQ(MSTORE_EVENT_F_NO_VALUE, mstore_event_flags(mstore_follow_event(follow)));
	EXPECT_NEXT("in step", follow);
	mstore_follow_free(follow);
}

TEST_F(store, follow_each)
{
	struct mstore_follow *follow = follow_prefix(self->store, MSTORE_FOLLOW_EACH);
	struct mstore_batch *batch = mstore_batch_new();

	ASSERT_NE(NULL, follow);
	EXPECT_NEXT("in step", follow);
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	ASSERT_EQ(0, mstore_delete(self->store, KEY, MSTORE_STRLEN, NULL));
	EXPECT_NEXT(KEY "=1", follow);
	EXPECT_NEXT(KEY "=2", follow);
	EXPECT_NEXT("-" KEY, follow);

	mstore_batch_set(batch, KEY, MSTORE_STRLEN, "3", 1, NULL);
	mstore_batch_set(batch, PREFIX "other", MSTORE_STRLEN, "3", 1, NULL);
	ASSERT_EQ(0, mstore_batch_run(self->store, batch, MSTORE_BATCH_ATOMIC));
	EXPECT_NEXT(KEY "=3", follow);
	EXPECT_EQ(MSTORE_EVENT_F_MORE, mstore_event_flags(mstore_follow_event(follow)));
	EXPECT_NEXT(PREFIX "other=3", follow);
	EXPECT_EQ(0, mstore_event_flags(mstore_follow_event(follow)));
	EXPECT_NEXT("nothing", follow);
	mstore_batch_free(batch);
	mstore_follow_free(follow);
}

/* The snapshot ends with this event waiting, so it is told before "in step" */
TEST_F(store, follow_in_step)
{
	struct mstore_follow *follow;

	ASSERT_EQ(0, set(self->store, KEY, "1"));
	follow = follow_prefix(self->store, MSTORE_FOLLOW_EACH);
	ASSERT_NE(NULL, follow);
	EXPECT_NEXT(KEY "=1", follow);
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	EXPECT_NEXT(KEY "=2", follow);
	EXPECT_NEXT("in step", follow);
	ASSERT_EQ(0, set(self->store, KEY, "3"));
	EXPECT_NEXT(KEY "=3", follow);
	EXPECT_NEXT("nothing", follow);
	mstore_follow_free(follow);
}

/* Deletions that nobody told of are found by comparison */
TEST_F(store, follow_after_loss)
{
	struct mstore_follow *follow = follow_prefix(self->store, MSTORE_FOLLOW_EACH);
	struct mstore_follow_info info;
	uint64_t version;

	ASSERT_NE(NULL, follow);
	ASSERT_EQ(0, mstore_set(self->store, PREFIX "gone", MSTORE_STRLEN, "1", 1, &version));
	ASSERT_EQ(0, set(self->store, PREFIX "stays", "1"));
	ASSERT_EQ(0, set(self->store, PREFIX "changes", "1"));
	while (mstore_follow_next(follow, 0) > 0)
		;
	ASSERT_EQ(0, set_queue_len(mstore_follow_store(follow), 2));
	ASSERT_EQ(0, mstore_delete(self->store, PREFIX "gone", MSTORE_STRLEN, NULL));
	ASSERT_EQ(0, set(self->store, PREFIX "changes", "2"));
	ASSERT_EQ(0, set(self->store, PREFIX "changes", "3"));
	ASSERT_EQ(0, set(self->store, PREFIX "changes", "4"));
	/* A value that was read with the loss is older than the snapshot, and told first */
	EXPECT_NEXT(PREFIX "changes=3", follow);
	EXPECT_NEXT(PREFIX "changes=4", follow);
	EXPECT_NEXT("-" PREFIX "gone", follow);
	EXPECT_EQ(NULL, mstore_follow_event(follow));
	EXPECT_STREQ("", mstore_follow_value(follow, NULL));
	EXPECT_EQ(version, mstore_follow_version(follow));
	EXPECT_NEXT("in step", follow);
	EXPECT_NEXT("nothing", follow);
	mstore_follow_info(follow, &info);
	EXPECT_EQ(2, info.keys);
	EXPECT_EQ(1, info.recoveries);
	EXPECT_EQ(2, info.lost);
	mstore_follow_free(follow);
}

TEST_F(store, follow_after_flush)
{
	struct mstore_follow *follow = follow_prefix(self->store, 0);
	uint64_t subscriptions;

	ASSERT_NE(NULL, follow);
	ASSERT_EQ(0, mstore_follow_add(follow, "lib_other", MSTORE_STRLEN, 0));
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	EXPECT_NEXT(KEY "=1", follow);
	EXPECT_NEXT("in step", follow);
	ASSERT_EQ(0, mstore_flush(self->store, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_SUBSCRIPTIONS, NULL, &subscriptions));
	EXPECT_EQ(1, subscriptions);
	ASSERT_EQ(0, set(self->store, PREFIX "unseen", "2"));
	EXPECT_NEXT("-" KEY, follow);
	EXPECT_NEXT(PREFIX "unseen=2", follow);
	EXPECT_NEXT("in step", follow);
	ASSERT_EQ(0, set(self->store, KEY, "3"));
	EXPECT_NEXT(KEY "=3", follow);
	EXPECT_NEXT("nothing", follow);
	mstore_follow_free(follow);
}

/* Each change is told once, whatever covers what, in any order of addition */
TEST_F(store, follow_overlapping)
{
	struct mstore_follow *follow = mstore_follow_new(self->store, NULL);
	struct mstore_queue_info info;

	ASSERT_NE(NULL, follow);
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, set(self->store, PREFIX "other", "1"));
	ASSERT_EQ(0, mstore_follow_add(follow, KEY, MSTORE_STRLEN, 0));
	ASSERT_EQ(0, mstore_follow_add(follow, KEY, MSTORE_STRLEN, 0));
	EXPECT_NEXT(KEY "=1", follow);
	EXPECT_NEXT("in step", follow);
	/* This one waits when the prefix takes the place of the key */
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	ASSERT_EQ(0, mstore_follow_add(follow, PREFIX, MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, mstore_follow_add(follow, PREFIX "x", MSTORE_STRLEN,
				       MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, mstore_follow_add(follow, KEY, MSTORE_STRLEN, 0));
	ASSERT_EQ(0, mstore_queue_info(mstore_follow_store(follow), &info));
	EXPECT_EQ(1, info.subscriptions);
	ASSERT_EQ(0, mstore_delete(self->store, KEY, MSTORE_STRLEN, NULL));
	EXPECT_NEXT(PREFIX "other=1", follow);
	EXPECT_NEXT("-" KEY, follow);
	EXPECT_NEXT("in step", follow);
	ASSERT_EQ(0, set(self->store, KEY, "3"));
	EXPECT_NEXT(KEY "=3", follow);
	EXPECT_NEXT("nothing", follow);
	mstore_follow_free(follow);
}

/* Events that were read of a key are passed over once a prefix has taken its place */
TEST_F(store, follow_replaced)
{
	const struct mstore_follow_options options = { .flags = MSTORE_FOLLOW_EACH };
	struct mstore_follow *follow = mstore_follow_new(self->store, &options);

	ASSERT_NE(NULL, follow);
	ASSERT_EQ(0, mstore_follow_add(follow, KEY, MSTORE_STRLEN, 0));
	EXPECT_NEXT("in step", follow);
	ASSERT_EQ(0, set(self->store, KEY, "1"));
	ASSERT_EQ(0, set(self->store, KEY, "2"));
	EXPECT_NEXT(KEY "=1", follow);
	ASSERT_EQ(0, mstore_follow_add(follow, PREFIX, MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, mstore_follow_add(follow, "lib_absent", MSTORE_STRLEN, 0));
	ASSERT_EQ(0, mstore_delete(self->store, KEY, MSTORE_STRLEN, NULL));
	EXPECT_NEXT("-" KEY, follow);
	EXPECT_EQ(NULL, mstore_follow_event(follow));
	EXPECT_NEXT("in step", follow);
	EXPECT_NEXT("nothing", follow);
	mstore_follow_free(follow);
}

/* More exact keys than the queue has places for */
TEST_F(store, follow_many_keys)
{
	struct mstore_follow *follow = mstore_follow_new(self->store, NULL);
	char key[64], expected[64];
	int i, keys = 40;

	ASSERT_NE(NULL, follow);
	for (i = 0; i < keys; i++) {
		snprintf(key, sizeof(key), PREFIX "%d", i);
		ASSERT_EQ(0, mstore_follow_add(follow, key, MSTORE_STRLEN, 0));
	}
	EXPECT_NEXT("in step", follow);
	for (i = 0; i < keys; i++) {
		snprintf(key, sizeof(key), PREFIX "%d", i);
		snprintf(expected, sizeof(expected), PREFIX "%d=1", i);
		ASSERT_EQ(0, set(self->store, key, "1"));
		EXPECT_NEXT(expected, follow);
	}
	EXPECT_NEXT("nothing", follow);
	mstore_follow_free(follow);
}

/* A writer that is always faster: values are told, and it gets to every key, again and again */
TEST_F(store, follow_too_slowly)
{
	struct mstore_follow *follow = follow_prefix(self->store, MSTORE_FOLLOW_EACH);
	int i, j, type, calls, told[50] = { 0 }, keys = 50;
	static char value[4000];	/* so that a snapshot takes several reads */
	struct mstore_follow_info info;
	uint64_t least;
	char key[64];
	size_t len;

	ASSERT_NE(NULL, follow);
	ASSERT_EQ(0, set_queue_len(mstore_follow_store(follow), 4));
	for (calls = 0, least = 0; calls < 2000 && least < 3; calls++) {
		for (i = 0; i < keys; i++) {
			snprintf(key, sizeof(key), PREFIX "%d", i);
			ASSERT_EQ(0, mstore_set(self->store, key, MSTORE_STRLEN, value,
						sizeof(value), NULL));
		}
		type = mstore_follow_next(follow, 0);
		EXPECT_EQ(MSTORE_FOLLOW_VALUE, type);
		snprintf(key, sizeof(key), "%s", mstore_follow_key(follow, &len));
		key[len] = '\0';
		j = atoi(key + strlen(PREFIX));
		told[j]++;
		for (i = 0, least = told[0]; i < keys; i++)
			if ((uint64_t)told[i] < least)
				least = told[i];
	}
	mstore_follow_info(follow, &info);
	EXPECT_EQ(3, least);
	EXPECT_LE(2, info.recoveries);
	TH_LOG("%d values told until each of %d keys was three times, %d recoveries", calls, keys,
	       (int)info.recoveries);
	mstore_follow_free(follow);
}

/*
 * A key that is written anew and deleted before it is told: no such call takes long. A
 * child writes as fast as it can.
 */
TEST_F(store, follow_what_tells_nothing)
{
	struct mstore_follow *follow = follow_prefix(self->store, 0);
	struct timespec begin, end;
	pid_t pid = fork();
	int i;

	if (!pid) {
		alarm(60);
		for (;;) {
			set(self->store, KEY, "1");
			mstore_delete(self->store, KEY, MSTORE_STRLEN, NULL);
		}
	}
	ASSERT_NE(NULL, follow);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < 100; i++)
		EXPECT_LE(0, mstore_follow_next(follow, i % 3));
	clock_gettime(CLOCK_MONOTONIC, &end);
	EXPECT_GT(ms_limit(20), (unsigned long long)(end.tv_sec - begin.tv_sec));
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	mstore_follow_free(follow);
}

/* Whichever allocation fails, the call can be repeated and leaves nothing out */
TEST_F(store, follow_without_memory)
{
	struct mstore_follow *follow;
	char expected[16];
	int i, told, type, failed;

	for (i = 0; i < 20; i++) {
		memory_left = i;
		follow = follow_prefix(self->store, MSTORE_FOLLOW_EACH);
		memory_left = -1;
		if (follow)
			break;
		EXPECT_EQ(ENOMEM, errno);
	}
	ASSERT_NE(NULL, follow);
	for (i = 0; i < 4; i++) {
		snprintf(expected, sizeof(expected), "lib_test/%d", i);
		ASSERT_EQ(0, set(self->store, expected, "1"));
	}
	for (told = 0, failed = 0, i = 0; i < 100; i++) {
		memory_left = i % 3;
		type = mstore_follow_next(follow, 0);
		memory_left = -1;
		if (!type)
			break;
		told += type == MSTORE_FOLLOW_VALUE;
		failed += type < 0;
		if (type < 0)
			EXPECT_EQ(ENOMEM, errno);
	}
	EXPECT_EQ(4, told);
	EXPECT_LT(0, failed);
	mstore_follow_free(follow);
}

/*
 * Any interleaving. A run has a private store with limits of its own, one follower, and
 * random steps: changes by several writers, flushes, other queue limits, some reads.
 */

#define KEYS		12
#define STEPS_MAX	120
#define STATES_MAX	400
#define VALUE_MAX	600

static const char *const keys[KEYS] = {
	"a", "a/", "a/1", "a/2", "a/2/1", "a/2/2", "ab", "b", "b/1", "b/2", "b/2/1", "c",
};

/* Keys and prefixes to follow; a trailing * is a prefix */
static const char *const topics[] = {
	"*", "a*", "a/*", "a/2*", "b/*", "b*", "a", "a/1", "a/2", "b", "b/2", "c", "z*",
};

#define TOPICS	((int)ARRAY_SIZE(topics))

/**
 * struct model - a run
 * @seed:	of its random numbers
 * @store:	its store
 * @others:	further open stores, of which one may own keys
 * @follow:	the follower
 * @flags:	its flags
 * @followed:	keys that it follows
 * @copy:	versions of the values that it told, 0: none
 * @told:	greatest versions that it ever told
 * @deleted:	greatest versions of deletions that it read, told or not
 * @values:	lengths and first bytes of the values that it told
 * @states:	versions of all keys after each step, and after each change before a read
 * @newest:	greatest versions that they ever had until then
 * @nr_states: number of @states
 * @ended:	index of the state in which the end of a snapshot was read last
 * @expires:	whether keys may expire
 * @reads_little: whether it reads few records at a time
 * @long_queue:	whether the queue can hold more than the follower reads at once
 * @torn:	whether it may be in step with a state within a step, since many changes
 *		were one step in a long queue
 * @error:	the first mistake
 */
struct model {
	uint32_t seed;
	struct mstore *store;
	struct mstore *others[2];
	struct mstore_follow *follow;
	int flags;
	bool followed[KEYS];
	uint64_t copy[KEYS];
	uint64_t told[KEYS];
	uint64_t deleted[KEYS];
	char values[KEYS][VALUE_MAX];
	size_t value_lens[KEYS];
	uint64_t states[STATES_MAX][KEYS];
	uint64_t newest[STATES_MAX][KEYS];
	int nr_states;
	int ended;
	bool expires;
	bool reads_little;
	bool long_queue;
	bool torn;
	char error[128];
};

/* Counts over all runs, so that no kind of event is missing */
static struct {
	uint64_t values, deletions, found, in_step, recoveries, lost, flushes;
} seen;

static uint32_t chance(struct model *m, uint32_t below)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % below;
}

static void fail(struct model *m, const char *what, const char *key)
{
	if (!m->error[0])
		snprintf(m->error, sizeof(m->error), "%s %s", what, key);
}

static int index_of(const char *key, size_t len)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (strlen(keys[i]) == len && !memcmp(keys[i], key, len))
			return i;
	return -1;
}

static bool is_below(const char *key, const char *topic)
{
	size_t len = strlen(topic);

	if (topic[len - 1] != '*')
		return !strcmp(key, topic);
	return !strncmp(key, topic, len - 1);
}

static void follow_one(struct model *m)
{
	const char *topic = topics[chance(m, TOPICS)];
	size_t len = strlen(topic);
	bool prefix = topic[len - 1] == '*';
	int i;

	if (mstore_follow_add(m->follow, topic, len - prefix,
			      prefix ? MSTORE_SUBSCRIBE_PREFIX : 0))
		return fail(m, "cannot follow", topic);
	for (i = 0; i < KEYS; i++)
		m->followed[i] |= is_below(keys[i], topic);
}

static size_t make_value(struct model *m, char *value)
{
	size_t len = chance(m, m->long_queue || !chance(m, 4) ? VALUE_MAX : 16);

	memset(value, 'a' + chance(m, 26), len);
	return len;
}

/* With any errno: others may own the key, the store may be full */
static void write_one(struct model *m)
{
	struct mstore *writers[] = { m->store, m->others[0], m->others[1] };
	struct mstore *writer = writers[chance(m, 3)];
	const char *key = keys[chance(m, KEYS)];
	struct mstore_options options = { 0 };
	char value[VALUE_MAX];
	size_t len = make_value(m, value);

	if (!chance(m, 8))
		options.flags |= MSTORE_OWNED;
	if (!chance(m, 4))
		options.flags |= MSTORE_STEAL;
	if (m->expires && !chance(m, 8))
		options.ttl_ms = 1 + chance(m, 3);
	if (!chance(m, 4)) {
		options.ttl_ms = 0;
		options.flags &= MSTORE_STEAL;
		mstore_delete_with(writer, key, MSTORE_STRLEN, &options, NULL);
	} else if (chance(m, 2)) {
		mstore_set_with(writer, key, MSTORE_STRLEN, value, len, &options, NULL);
	} else {
		mstore_publish_with(writer, key, MSTORE_STRLEN, value, len, &options, NULL);
	}
}

static void write_batch(struct model *m)
{
	const struct mstore_options steal = { .flags = MSTORE_STEAL };
	struct mstore_batch *batch = mstore_batch_new();
	int i, first = chance(m, KEYS), nr = 1 + chance(m, 5);
	char value[VALUE_MAX];
	size_t len = make_value(m, value);

	for (i = 0; i < nr; i++) {
		int which = (first + i) % KEYS;
		const char *key = keys[which];

		if (!chance(m, 3) && m->nr_states && m->states[m->nr_states - 1][which])
			mstore_batch_delete(batch, key, MSTORE_STRLEN, &steal);
		else
			mstore_batch_publish(batch, key, MSTORE_STRLEN, value, len, &steal);
	}
	mstore_batch_run(m->store, batch, chance(m, 4) ? MSTORE_BATCH_ATOMIC : 0);
	mstore_batch_free(batch);
}

/* More than a queue holds. Of a long one the follower reads a part before it begins anew. */
static void write_burst(struct model *m)
{
	int count = m->long_queue ? chance(m, 500) : chance(m, 30);

	m->torn |= m->long_queue;
	while (count--)
		write_one(m);
}

static void end_owner(struct model *m)
{
	int which = chance(m, 2);

	mstore_close(m->others[which]);
	m->others[which] = mstore_reopen(m->store, MSTORE_RDWR);
	if (!m->others[which])
		fail(m, "cannot open again", "");
}

static void flush(struct model *m)
{
	const char *const prefixes[] = { "", "a", "a/", "b" };
	int flags = chance(m, 2) ? MSTORE_FLUSH_STEAL : 0;

	if (chance(m, 2)) {
		flags |= MSTORE_FLUSH_SUBSCRIPTIONS;
		__atomic_add_fetch(&seen.flushes, 1, __ATOMIC_RELAXED);
	}
	mstore_flush(m->store, prefixes[chance(m, 4)], MSTORE_STRLEN, MSTORE_ANY_BUCKET, flags,
		     NULL, NULL);
}

static void resize(struct model *m)
{
	const struct mstore_queue_options options = {
		.which = 1 + chance(m, m->long_queue ? 1 : 3),
		.max_len = 1 + chance(m, m->long_queue ? 400 : 12),
		.max_bytes = 4096 + chance(m, 8192),
	};

	/* ENOBUFS: more is reserved for exact keys */
	mstore_queue_set(mstore_follow_store(m->follow), &options);
}

/* The store's versions; 0: no value */
static void look(struct model *m, uint64_t *versions)
{
	char value[VALUE_MAX];
	size_t size;
	int i;

	for (i = 0; i < KEYS; i++) {
		versions[i] = 0;
		size = sizeof(value);
		if (mstore_get(m->store, keys[i], MSTORE_STRLEN, value, &size, &versions[i]))
			continue;
		if (versions[i] == m->copy[i] && !(m->flags & MSTORE_FOLLOW_NO_VALUE) &&
		    (size != m->value_lens[i] || memcmp(value, m->values[i], size)))
			fail(m, "another value of", keys[i]);
	}
}

static void note_state(struct model *m)
{
	uint64_t *newest = m->newest[m->nr_states];
	int i;

	look(m, m->states[m->nr_states]);
	for (i = 0; i < KEYS; i++) {
		newest[i] = m->nr_states ? m->newest[m->nr_states - 1][i] : 0;
		if (newest[i] < m->states[m->nr_states][i])
			newest[i] = m->states[m->nr_states][i];
	}
	m->nr_states++;
}

static bool is_copy_of(const struct model *m, const uint64_t *versions)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (m->copy[i] != (m->followed[i] ? versions[i] : 0))
			return false;
	return true;
}

/* Has it told of a key the value of that state, or a newer one? */
static bool key_is_no_older_than(const struct model *m, int i, int state)
{
	uint64_t newest = m->newest[state][i];

	return m->copy[i] == m->states[state][i] || m->told[i] > newest ||
	       (!m->copy[i] && m->deleted[i] > newest);
}

static bool is_no_older_than(const struct model *m, int state)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (m->followed[i] && !key_is_no_older_than(m, i, state))
			return false;
	return true;
}

/* With all changes in their order it is a copy of a state, unless it was within a step. */
static bool is_in_step_with(const struct model *m, int state)
{
	if (m->flags & MSTORE_FOLLOW_EACH && !m->torn && !m->reads_little)
		return is_copy_of(m, m->states[state]);
	return is_no_older_than(m, state);
}

/* It was in step with a state that is no older than the end of the last snapshot. */
static void check_in_step(struct model *m)
{
	int i;

	seen.in_step++;
	if (m->expires || !m->nr_states)
		return;
	for (i = m->ended; i < m->nr_states; i++)
		if (is_in_step_with(m, i))
			return;
	fail(m, "in step with no state of", "the store");
}

static void apply_value(struct model *m, int i)
{
	uint64_t version = mstore_follow_version(m->follow);
	size_t len;
	const char *value = mstore_follow_value(m->follow, &len);

	seen.values++;
	if (version <= m->told[i])
		fail(m, "an older value of", keys[i]);
	m->told[i] = version;
	m->copy[i] = version;
	m->value_lens[i] = len;
	memcpy(m->values[i], value, len < VALUE_MAX ? len : VALUE_MAX);
}

static void apply_deletion(struct model *m, int i)
{
	uint64_t version = mstore_follow_version(m->follow);

	if (!m->copy[i])
		fail(m, "deleted twice", keys[i]);
	if (mstore_follow_event(m->follow)) {
		seen.deletions++;
		if (version <= m->told[i])
			fail(m, "an older deletion of", keys[i]);
		m->told[i] = version;
	} else {
		seen.found++;
		if (version != m->copy[i])
			fail(m, "a deletion of another version of", keys[i]);
	}
	m->copy[i] = 0;
}

static void apply(struct model *m, int type)
{
	const char *key;
	size_t len;
	int i;

	if (type == MSTORE_FOLLOW_IN_STEP)
		return check_in_step(m);
	key = mstore_follow_key(m->follow, &len);
	i = index_of(key, len);
	if (i < 0 || !m->followed[i])
		return fail(m, "a key that is not followed", "");
	if (type == MSTORE_FOLLOW_VALUE)
		apply_value(m, i);
	else
		apply_deletion(m, i);
}

/* The run whose follower reads */
static __thread struct model *reader;

static void note_records(struct model *m, const char *bytes, ssize_t len)
{
	const struct metastore_event *event;
	int i;

	for (; len > 0; bytes += event->len, len -= event->len) {
		event = (const void *)bytes;
		if (event->type == METASTORE_EVENT_SNAPSHOT_END)
			m->ended = m->nr_states - 1;
		if (event->type != METASTORE_EVENT_DELETED)
			continue;
		i = index_of(bytes + event->header_len, event->key_len);
		if (m->deleted[i] < event->version)
			m->deleted[i] = event->version;
	}
}

/* Few records at a time, and sometimes a change or a smaller queue right before them */
static ssize_t read_little(int fd, void *bytes, size_t size)
{
	struct model *m = reader;
	size_t some = 200 + chance(m, 1000);
	ssize_t len;

	if (m->nr_states < STATES_MAX - STEPS_MAX - 1 && !chance(m, 3)) {
		if (chance(m, 4))
			write_one(m);
		else
			resize(m);
		note_state(m);
	}
	len = syscall(SYS_read, fd, bytes, m->reads_little && some < size ? some : size);
	if (len < 0 && errno == EMSGSIZE)
		len = syscall(SYS_read, fd, bytes, size);
	note_records(m, bytes, len);
	return len;
}

/* Returns whether something was told */
static bool read_one(struct model *m, int timeout_ms)
{
	int type;

	reader = m;
	read_instead = m->nr_states ? read_little : NULL;
	type = mstore_follow_next(m->follow, timeout_ms);
	read_instead = NULL;
	if (type < 0)
		fail(m, strerror(errno), "when reading");
	if (type > 0)
		apply(m, type);
	return type > 0;
}

/* The property: all is read, so the copy is the store's; an expiry may be told later */
static void check_copy(struct model *m)
{
	uint64_t versions[KEYS];
	int i;

	look(m, versions);
	for (i = 0; m->expires && !is_copy_of(m, versions) && i < 100; i++) {
		while (read_one(m, (int)ms_limit(100)))
			;
		look(m, versions);
	}
	for (i = 0; i < KEYS; i++)
		if (m->copy[i] != (m->followed[i] ? versions[i] : 0))
			fail(m, "a wrong copy of", keys[i]);
}

static void read_all(struct model *m)
{
	do {
		while (!m->error[0] && read_one(m, 0))
			;
	} while (!m->error[0] && mstore_wait(mstore_follow_store(m->follow), 0));
	check_copy(m);
}

static void read_some(struct model *m)
{
	int count = 1 + chance(m, 6);

	while (count-- && read_one(m, 0))
		;
}

static void step(struct model *m)
{
	uint32_t what = chance(m, 64);

	if (what < 36)
		write_one(m);
	else if (what < 44)
		write_batch(m);
	else if (what < 46)
		end_owner(m);
	else if (what < 48)
		flush(m);
	else if (what < 50)
		resize(m);
	else if (what < 51)
		follow_one(m);
	else if (what < 52)
		write_burst(m);
	else if (what < 62)
		read_some(m);
	else
		read_all(m);
}

static bool begin_run(struct model *m, struct mstore *from, uint32_t seed)
{
	const struct mstore_follow_options each = { .flags = MSTORE_FOLLOW_EACH };
	struct mstore_follow_options options = { 0 };
	struct mstore_limits limits = { 0 };

	memset(m, 0, sizeof(*m));
	m->seed = seed * 2654435761u;
	limits.buckets = 1 + chance(m, 3);
	limits.max_value = VALUE_MAX;
	limits.queue_len = 1 + chance(m, 12);
	limits.queue_bytes = 4096 + chance(m, 8192);
	m->long_queue = !chance(m, 4);
	if (m->long_queue) {
		limits.queue_len = 100 + chance(m, 300);
		limits.queue_bytes = 1 << 18;
	}
	m->store = mstore_create(from, &limits, MSTORE_RDWR);
	if (!m->store)
		return false;
	m->others[0] = mstore_reopen(m->store, MSTORE_RDWR);
	m->others[1] = mstore_reopen(m->store, MSTORE_RDWR);
	m->reads_little = chance(m, 2);
	m->expires = !chance(m, 8);
	if (chance(m, 2))
		options = each;
	if (!chance(m, 4))
		options.flags |= MSTORE_FOLLOW_NO_VALUE;
	m->flags = options.flags;
	m->follow = mstore_follow_new(m->store, &options);
	return m->follow && m->others[0] && m->others[1];
}

static void end_run(struct model *m)
{
	struct mstore_follow_info info;
	int i, count = 0;

	mstore_follow_info(m->follow, &info);
	for (i = 0; i < KEYS; i++)
		count += !!m->copy[i];
	if (info.keys != (uint64_t)count)
		fail(m, "another number of keys", "");
	seen.recoveries += info.recoveries;
	seen.lost += info.lost;
	mstore_follow_free(m->follow);
	mstore_close(m->others[0]);
	mstore_close(m->others[1]);
	mstore_close(m->store);
}

static const char *run(struct mstore *from, uint32_t seed)
{
	static struct model m;
	int i, steps;

	if (!begin_run(&m, from, seed))
		return "cannot begin";
	steps = 20 + chance(&m, STEPS_MAX - 20);
	for (i = 0; i < 3; i++)
		write_one(&m);
	follow_one(&m);
	note_state(&m);
	for (i = 0; i < steps && !m.error[0]; i++) {
		step(&m);
		note_state(&m);
	}
	read_all(&m);
	end_run(&m);
	return m.error;
}

static void expect_seen(struct __test_metadata *_metadata)
{
	TH_LOG("%lu values, %lu deletions, %lu found by comparison, %lu times in step", seen.values,
	       seen.deletions, seen.found, seen.in_step);
	TH_LOG("%lu events lost, %lu subscriptions flushed, %lu recoveries", seen.lost,
	       seen.flushes, seen.recoveries);
	EXPECT_LT(0, seen.values);
	EXPECT_LT(0, seen.deletions);
	EXPECT_LT(0, seen.found);
	EXPECT_LT(0, seen.in_step);
	EXPECT_LT(0, seen.lost);
	EXPECT_LT(0, seen.flushes);
	EXPECT_LT(0, seen.recoveries);
}

/* $SEED repeats one run */
TEST_F_TIMEOUT(store, follow_any_interleaving, 120)
{
	const char *only = getenv("SEED");
	uint32_t seed, runs = ms_size(500, 10000);
	const char *error;

	for (seed = only ? atoi(only) : 1; seed <= (only ? (uint32_t)atoi(only) : runs); seed++) {
		error = run(self->store, seed);
		EXPECT_STREQ("", error);
		if (error[0]) {
			TH_LOG("SEED=%u repeats it", seed);
			break;
		}
	}
	if (!only)
		expect_seen(_metadata);
}

/* Writers of their own threads. Only what is known of any state is checked until they end. */

struct writer {
	pthread_t thread;
	struct model *m;
	uint32_t seed;
	bool done;
};

static void *write_on(void *arg)
{
	static __thread struct model own;
	struct writer *writer = arg;
	int i;

	own.seed = writer->seed;
	own.store = mstore_reopen(writer->m->store, MSTORE_RDWR);
	own.others[0] = mstore_reopen(writer->m->store, MSTORE_RDWR);
	own.others[1] = mstore_reopen(writer->m->store, MSTORE_RDWR);
	for (i = 0; i < 300; i++) {
		if (!chance(&own, 12))
			write_batch(&own);
		else if (!chance(&own, 40))
			end_owner(&own);
		else if (!chance(&own, 40))
			flush(&own);
		else
			write_one(&own);
	}
	mstore_close(own.others[0]);
	mstore_close(own.others[1]);
	mstore_close(own.store);
	__atomic_store_n(&writer->done, true, __ATOMIC_RELEASE);
	return NULL;
}

TEST_F_TIMEOUT(store, follow_beside_writers, 120)
{
	uint32_t seed, runs = ms_size(30, 600);
	struct writer writers[2];
	static struct model m;
	int i;

	for (seed = 1; seed <= runs && !m.error[0]; seed++) {
		ASSERT_TRUE(begin_run(&m, self->store, seed));
		m.expires = false;
		follow_one(&m);
		for (i = 0; i < 2; i++) {
			writers[i] = (struct writer){ .m = &m, .seed = seed * 2 + i };
			ASSERT_EQ(0, pthread_create(&writers[i].thread, NULL, write_on,
						    &writers[i]));
		}
		while (!__atomic_load_n(&writers[0].done, __ATOMIC_ACQUIRE) ||
		       !__atomic_load_n(&writers[1].done, __ATOMIC_ACQUIRE)) {
			if (!chance(&m, 100))
				follow_one(&m);
			else if (!chance(&m, 20))
				resize(&m);
			else
				read_some(&m);
		}
		for (i = 0; i < 2; i++)
			ASSERT_EQ(0, pthread_join(writers[i].thread, NULL));
		read_all(&m);
		end_run(&m);
		EXPECT_STREQ("", m.error);
	}
	expect_seen(_metadata);
}

TEST_HARNESS_MAIN
