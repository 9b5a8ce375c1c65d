// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Followers. Each key belongs to one topic: a subscription to it, or to one of its
 * prefixes. A topic begins with a snapshot. After a loss it begins anew, in a new round:
 * known keys that are not heard of until the end of the snapshot are gone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "follow.h"

#define EVENTS_ALL	(MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED)

/* How long a call without a wait may read records that tell nothing. */
#define SILENT_MS	100

/**
 * struct topic - followed key or prefix
 * @key:	key or prefix; NULL: a free place
 * @len:	length of @key
 * @flags:	MSTORE_SUBSCRIBE_PREFIX or 0
 * @instance:	number of the subscription, in its cookie: events of an earlier one are
 *		passed over
 * @round:	number of the last snapshot
 * @behind:	how many of its events, at most, are to be read until it is in step
 * @in_snapshot: whether its end is to come
 * @lost:	whether it has to begin anew
 */
struct topic {
	char *key;
	size_t len;
	int flags;
	uint32_t instance;
	uint32_t round;
	uint64_t behind;
	bool in_snapshot;
	bool lost;
};

/**
 * struct mstore_follow - follower
 * @store:	its own open store
 * @events:	records that were read last
 * @at:		last one of them that is done, NULL: none
 * @flags:	mask of enum mstore_follow_flags
 * @topics:	array of all that it follows
 * @nr_topics:	its length
 * @number:	number of the last instance or round
 * @keys:	keys that it told and that were not deleted
 * @gone:	list of keys of @keys whose deletion is to be told
 * @dropped:	key that is told now as gone, not in @keys any more
 * @flushed:	whether subscriptions may have been removed
 * @in_step:	whether it has told so
 * @settling:	whether it will do so once no topic is behind
 * @behind:	number of topics that are behind
 * @in_batch:	whether the next event is of the same atomic batch
 * @key:	key that is told now
 * @key_len:	length of @key
 * @version:	its version
 * @event:	its event, or NULL
 * @info:	counters
 */
struct mstore_follow {
	struct mstore *store;
	struct mstore_event_buffer *events;
	const struct mstore_event *at;
	int flags;
	struct topic *topics;
	uint32_t nr_topics;
	uint32_t number;
	struct known_keys keys;
	struct known *gone;
	struct known *dropped;
	bool flushed;
	bool in_step;
	bool settling;
	uint32_t behind;
	bool in_batch;
	const char *key;
	size_t key_len;
	uint64_t version;
	const struct mstore_event *event;
	struct mstore_follow_info info;
};

static const struct mstore_follow_options no_options;

/* Returns 0, or -1 with ENOTTY if the module is too old. */
static int check(struct mstore *store, const struct mstore_follow_options *options)
{
	struct mstore_info info;

	if (options->flags & ~(MSTORE_FOLLOW_EACH | MSTORE_FOLLOW_NO_VALUE) ||
	    options->reserved1 || !RESERVED_IS_ZERO(options)) {
		errno = EINVAL;
		return -1;
	}
	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		return -1;
	errno = ENOTTY;
	return info.features & MSTORE_FEATURE_RESYNC ? 0 : -1;
}

struct mstore_follow *mstore_follow_new(struct mstore *store,
					const struct mstore_follow_options *options)
{
	struct mstore_follow *follow;
	int error;

	if (!options)
		options = &no_options;
	if (check(store, options))
		return NULL;
	follow = calloc(1, sizeof(*follow));
	if (!follow)
		return NULL;
	follow->flags = options->flags;
	follow->events = mstore_event_buffer_new(0);
	if (follow->events)
		follow->store = mstore_reopen(store, MSTORE_READ | MSTORE_NONBLOCK);
	if (!follow->store) {
		error = errno;
		mstore_follow_free(follow);
		errno = error;
		return NULL;
	}
	return follow;
}

void mstore_follow_free(struct mstore_follow *follow)
{
	if (!follow)
		return;
	mstore_close(follow->store);
	mstore_event_buffer_free(follow->events);
	for (uint32_t i = 0; i < follow->nr_topics; i++)
		free(follow->topics[i].key);
	free(follow->topics);
	mstore_known_free_all(&follow->keys);
	free(follow->dropped);
	free(follow);
}

/* Whether all keys of a topic belong to another one, too. */
static bool covers(const struct topic *topic, const char *key, size_t len, int flags)
{
	if (!topic->key || topic->len > len ||
	    (topic->len && memcmp(topic->key, key, topic->len)))
		return false;
	return topic->flags || (!flags && topic->len == len);
}

static uint64_t cookie_of(const struct mstore_follow *follow, const struct topic *topic)
{
	return (uint64_t)topic->instance << 32 | (uint64_t)(topic - follow->topics);
}

/* Returns NULL for one that is not followed any more. */
static struct topic *topic_of(const struct mstore_follow *follow,
			      const struct mstore_event *event)
{
	uint32_t index = (uint32_t)mstore_event_cookie(event);
	struct topic *topic;

	if (index >= follow->nr_topics)
		return NULL;
	topic = &follow->topics[index];
	if (!topic->key || mstore_event_cookie(event) != cookie_of(follow, topic))
		return NULL;
	return topic;
}

/* Begins to follow, with a snapshot. Returns 0, or -1. */
static int subscribe(struct mstore_follow *follow, struct topic *topic)
{
	struct mstore_subscribe_options how = {
		.flags = topic->flags | MSTORE_SUBSCRIBE_SNAPSHOT,
		.events = EVENTS_ALL,
	};
	int ret;

	topic->instance = ++follow->number;
	topic->round = ++follow->number;
	how.cookie = cookie_of(follow, topic);
	if (!(follow->flags & MSTORE_FOLLOW_EACH))
		how.flags |= MSTORE_SUBSCRIBE_LATEST;
	if (follow->flags & MSTORE_FOLLOW_NO_VALUE)
		how.flags |= MSTORE_SUBSCRIBE_NO_VALUE;
	ret = mstore_subscribe_with(follow->store, topic->key, topic->len, &how);
	if (ret && errno == ENOBUFS && !topic->flags) {
		/* The queue reserves room for few keys. A loss is no harm here. */
		how.flags &= ~MSTORE_SUBSCRIBE_LATEST;
		ret = mstore_subscribe_with(follow->store, topic->key, topic->len, &how);
	}
	if (ret)
		return -1;
	topic->in_snapshot = true;
	topic->lost = false;
	follow->in_step = false;
	follow->settling = false;
	return 0;
}

/* Returns a free place, or NULL without memory. */
static struct topic *make_topic(struct mstore_follow *follow)
{
	struct topic *topics;

	for (uint32_t i = 0; i < follow->nr_topics; i++)
		if (!follow->topics[i].key)
			return &follow->topics[i];
	topics = realloc(follow->topics, (follow->nr_topics + 1) * sizeof(*topics));
	if (!topics)
		return NULL;
	follow->topics = topics;
	topics[follow->nr_topics] = (struct topic){ .key = NULL };
	return &topics[follow->nr_topics++];
}

static void remove_topic(struct mstore_follow *follow, struct topic *topic)
{
	mstore_unsubscribe_with(follow->store, topic->key, topic->len,
				topic->flags | MSTORE_SUBSCRIBE_DISCARD);
	free(topic->key);
	topic->key = NULL;
}

int mstore_follow_add(struct mstore_follow *follow, const void *key, size_t key_len, int flags)
{
	struct topic *topic;

	key_len = length(key, key_len);
	if (flags & ~MSTORE_SUBSCRIBE_PREFIX || key_len > MSTORE_KEY_MAX || (!key_len && !flags)) {
		errno = EINVAL;
		return -1;
	}
	for (uint32_t i = 0; i < follow->nr_topics; i++)
		if (covers(&follow->topics[i], key, key_len, flags))
			return 0;
	topic = make_topic(follow);
	if (!topic)
		return -1;
	*topic = (struct topic){ .key = malloc(key_len + 1), .len = key_len, .flags = flags };
	if (!topic->key)
		return -1;
	if (key_len)
		memcpy(topic->key, key, key_len);
	if (subscribe(follow, topic)) {
		free(topic->key);
		topic->key = NULL;
		return -1;
	}
	for (uint32_t i = 0; i < follow->nr_topics; i++) {
		struct topic *other = &follow->topics[i];

		if (other != topic && other->key &&
		    covers(topic, other->key, other->len, other->flags))
			remove_topic(follow, other);
	}
	return 0;
}

/* Returns @type. The event is told as it is. */
static int tell_event(struct mstore_follow *follow, int type, const struct mstore_event *event)
{
	follow->event = event;
	follow->key = mstore_event_key(event, &follow->key_len);
	follow->version = mstore_event_version(event);
	return type;
}

static int tell_gone(struct mstore_follow *follow)
{
	struct known *known = follow->gone;

	follow->gone = known->next;
	mstore_known_remove(&follow->keys, known);
	follow->dropped = known;
	follow->key = known->bytes;
	follow->key_len = known->len;
	follow->version = known->version;
	return MSTORE_FOLLOW_DELETED;
}

static int tell_in_step(struct mstore_follow *follow)
{
	follow->in_step = true;
	follow->settling = false;
	return MSTORE_FOLLOW_IN_STEP;
}

static int handle_value(struct mstore_follow *follow, const struct topic *topic,
			const struct mstore_event *event)
{
	uint64_t version = mstore_event_version(event);
	struct known *known;
	const char *key;
	size_t len;

	key = mstore_event_key(event, &len);
	known = mstore_known_find(&follow->keys, key, len);
	if (!known) {
		known = mstore_known_add(&follow->keys, key, len);
		if (!known)
			return -1;
		known->version = 0;
	}
	known->round = topic->round;
	if (version <= known->version)
		return 0;
	known->version = version;
	return tell_event(follow, MSTORE_FOLLOW_VALUE, event);
}

static int handle_deletion(struct mstore_follow *follow, const struct mstore_event *event)
{
	struct known *known;
	const char *key;
	size_t len;

	key = mstore_event_key(event, &len);
	known = mstore_known_find(&follow->keys, key, len);
	if (!known || mstore_event_version(event) <= known->version)
		return 0;
	mstore_known_remove(&follow->keys, known);
	free(known);
	return tell_event(follow, MSTORE_FOLLOW_DELETED, event);
}

static void handle_snapshot_end(struct mstore_follow *follow, struct topic *topic)
{
	struct known *known;

	topic->in_snapshot = false;
	if (topic->flags) {
		follow->gone = mstore_known_gone(&follow->keys, topic->key, topic->len,
						 topic->round);
		return;
	}
	known = mstore_known_find(&follow->keys, topic->key, topic->len);
	if (known && known->round != topic->round) {
		known->next = NULL;
		follow->gone = known;
	}
}

/* From now on it is not in step, until all has begun anew. */
static void note_loss(struct mstore_follow *follow)
{
	follow->in_step = false;
	follow->settling = false;
}

/* Returns what is to be told, 0: nothing, or -1: the event is to be handled again. */
static int handle_event(struct mstore_follow *follow, const struct mstore_event *event)
{
	struct topic *topic;

	if (mstore_event_type(event) == MSTORE_EVENT_FLUSHED) {
		follow->flushed = true;
		return 0;
	}
	/* Also those of a topic that is not followed any more */
	follow->info.lost += mstore_event_count(event);
	topic = topic_of(follow, event);
	if (!topic)
		return 0;
	switch (mstore_event_type(event)) {
	case MSTORE_EVENT_PUBLISHED:
	case MSTORE_EVENT_SET:
	case MSTORE_EVENT_SNAPSHOT:
		return handle_value(follow, topic, event);
	case MSTORE_EVENT_DELETED:
		return handle_deletion(follow, event);
	case MSTORE_EVENT_SNAPSHOT_END:
		handle_snapshot_end(follow, topic);
		return 0;
	case MSTORE_EVENT_LOST:
		topic->lost = true;
		note_loss(follow);
		return 0;
	default:
		return 0;
	}
}

/*
 * Whether the copy is in step before an event. A loss that waited was read first, and tells
 * that it is not.
 */
static bool is_in_step_before(const struct mstore_follow *follow,
			      const struct mstore_event *event)
{
	return follow->settling && !follow->behind && !follow->in_batch && !follow->flushed &&
	       !(mstore_event_type(event) & (MSTORE_EVENT_LOST | MSTORE_EVENT_FLUSHED));
}

static void note_done(struct mstore_follow *follow, const struct mstore_event *event)
{
	struct topic *topic = topic_of(follow, event);

	follow->at = event;
	follow->in_batch = follow->flags & MSTORE_FOLLOW_EACH &&
			   mstore_event_flags(event) & MSTORE_EVENT_F_MORE;
	if (!follow->settling || !topic || !topic->behind ||
	    !(mstore_event_type(event) & EVENTS_ALL))
		return;
	topic->behind--;
	if (!topic->behind)
		follow->behind--;
}

/* Tells of what was read. Returns as handle_event(), 0: all is done. */
static int handle_events(struct mstore_follow *follow)
{
	const struct mstore_event *event;
	int ret;

	for (;;) {
		if (follow->gone)
			return tell_gone(follow);
		event = mstore_event_next(follow->events, follow->at);
		if (!event)
			return 0;
		if (is_in_step_before(follow, event))
			return tell_in_step(follow);
		ret = handle_event(follow, event);
		if (ret < 0)
			return -1;
		note_done(follow, event);
		if (ret)
			return ret;
	}
}

/* Returns 0, or -1. */
static int begin_anew(struct mstore_follow *follow, struct topic *topic)
{
	if (mstore_resync(follow->store, topic->key, topic->len, topic->flags))
		return errno == ENOENT ? subscribe(follow, topic) : -1;
	topic->round = ++follow->number;
	topic->in_snapshot = true;
	topic->lost = false;
	return 0;
}

/* Finds out which subscriptions were removed. Returns 0, or -1. */
static int find_flushed(struct mstore_follow *follow)
{
	struct mstore_subscription_info info;

	for (uint32_t i = 0; i < follow->nr_topics; i++) {
		struct topic *topic = &follow->topics[i];

		if (!topic->key || !mstore_subscription_info(follow->store, topic->key,
							     topic->len, topic->flags, &info))
			continue;
		if (errno != ENOENT)
			return -1;
		topic->lost = true;
		topic->in_snapshot = false;
		note_loss(follow);
	}
	follow->flushed = false;
	return 0;
}

/*
 * All that was read is handled, so what has lost events can begin anew. But a snapshot
 * comes to its end before the next one: else one that loses events each time would never
 * get to its last keys. Returns 0, or -1.
 */
static int recover(struct mstore_follow *follow)
{
	bool begun = false;
	int ret = 0;

	if (follow->flushed && find_flushed(follow))
		return -1;
	for (uint32_t i = 0; i < follow->nr_topics && !ret; i++) {
		struct topic *topic = &follow->topics[i];

		if (!topic->key || !topic->lost || topic->in_snapshot)
			continue;
		ret = begin_anew(follow, topic);
		begun |= !ret;
	}
	follow->info.recoveries += begun;
	return ret;
}

/* Whether all snapshots have ended, and nothing was lost since. */
static bool is_steady(const struct mstore_follow *follow)
{
	bool any = false;

	for (uint32_t i = 0; i < follow->nr_topics; i++) {
		const struct topic *topic = &follow->topics[i];

		if (!topic->key)
			continue;
		any = true;
		if (topic->in_snapshot || topic->lost)
			return false;
	}
	return any && !follow->flushed;
}

static void begin_to_settle(struct mstore_follow *follow)
{
	follow->behind = 0;
	for (uint32_t i = 0; i < follow->nr_topics; i++) {
		if (!follow->topics[i].key)
			continue;
		follow->topics[i].behind = UINT64_MAX;
		follow->behind++;
	}
	follow->settling = true;
}

/*
 * Limits how far a topic is behind to what waits: what was discarded behind events of other
 * topics is never read. Returns 0, or -1.
 */
static int look_behind(struct mstore_follow *follow, struct topic *topic)
{
	struct mstore_subscription_info info;

	if (mstore_subscription_info(follow->store, topic->key, topic->len, topic->flags, &info))
		return -1;
	if (topic->behind > info.pending)
		topic->behind = info.pending;
	if (!topic->behind)
		follow->behind--;
	return 0;
}

/*
 * When the last snapshot has ended, events wait of keys that it had passed: it is in step
 * behind them. The events of a topic come in their order, but not those of several: the
 * kernel alternates between places of exact keys and all others. Returns 0, or -1.
 */
static int settle(struct mstore_follow *follow)
{
	if (follow->in_step || !is_steady(follow))
		return 0;
	if (!follow->settling)
		begin_to_settle(follow);
	for (uint32_t i = 0; i < follow->nr_topics; i++) {
		struct topic *topic = &follow->topics[i];

		if (!topic->key || !topic->behind || !look_behind(follow, topic))
			continue;
		if (errno != ENOENT)
			return -1;
		/* FLUSHED waits behind the last events. */
		follow->settling = false;
		return 0;
	}
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* When a call is to end: late rather than early, since now_ms() rounds down. */
static int64_t end_of(int timeout_ms)
{
	return now_ms() + (timeout_ms ? (int64_t)timeout_ms + 1 : SILENT_MS);
}

/* Returns 1, 0 if nothing waits, or -1. */
static int read_more(struct mstore_follow *follow)
{
	follow->at = NULL;
	if (mstore_read_events(follow->store, follow->events) > 0)
		return 1;
	return errno == EAGAIN ? 0 : -1;
}

/* Waits until a time of now_ms(). Returns as mstore_wait(). */
static int wait_until(struct mstore_follow *follow, int timeout_ms, int64_t end)
{
	int64_t left = timeout_ms;

	if (timeout_ms > 0) {
		left = end - now_ms();
		if (left > timeout_ms)
			left = timeout_ms;
		if (left < 0)
			left = 0;
	}
	return mstore_wait(follow->store, (int)left);
}

/*
 * The time is over. The next call tells the rest; a loop makes that call
 * if the descriptor is readable. Returns as mstore_follow_next().
 */
static int stop(struct mstore_follow *follow)
{
	int ret;

	if (!follow->settling)
		return 0;
	ret = mstore_wait(follow->store, 0);
	if (ret)
		return ret < 0 ? -1 : 0;
	return tell_in_step(follow);
}

/* Returns as mstore_follow_next(). */
static int follow_on(struct mstore_follow *follow, int timeout_ms)
{
	int64_t end = 0;
	int ret;

	for (;;) {
		ret = handle_events(follow);
		if (ret)
			return ret;
		if (recover(follow) || settle(follow))
			return -1;
		if (!end)
			end = end_of(timeout_ms);
		else if (timeout_ms >= 0 && now_ms() >= end)
			return stop(follow);
		ret = read_more(follow);
		if (!ret && follow->settling)
			return tell_in_step(follow);
		if (!ret)
			ret = wait_until(follow, timeout_ms, end);
		if (ret <= 0)
			return ret;
	}
}

int mstore_follow_next(struct mstore_follow *follow, int timeout_ms)
{
	free(follow->dropped);
	follow->dropped = NULL;
	follow->key = NULL;
	follow->key_len = 0;
	follow->version = 0;
	follow->event = NULL;
	return follow_on(follow, timeout_ms);
}

const char *mstore_follow_key(const struct mstore_follow *follow, size_t *len)
{
	if (len)
		*len = follow->key_len;
	return follow->key;
}

const char *mstore_follow_value(const struct mstore_follow *follow, size_t *len)
{
	if (follow->event)
		return mstore_event_value(follow->event, len);
	if (len)
		*len = 0;
	return follow->key ? "" : NULL;
}

uint64_t mstore_follow_version(const struct mstore_follow *follow)
{
	return follow->version;
}

const struct mstore_event *mstore_follow_event(const struct mstore_follow *follow)
{
	return follow->event;
}

int mstore_follow_fd(const struct mstore_follow *follow)
{
	return mstore_fd(follow->store);
}

struct mstore *mstore_follow_store(const struct mstore_follow *follow)
{
	return follow->store;
}

void mstore_follow_info(const struct mstore_follow *follow, struct mstore_follow_info *info)
{
	*info = follow->info;
	info->keys = follow->keys.count;
}
