// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The topics of a follower: their subscriptions, how they begin anew after a loss, and how
 * far they are behind the store.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"

#define EVENTS_ALL	(MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED)

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
struct topic *mstore_topic_of(const struct mstore_follow *follow,
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

/* Subscribes, or has that done once the module was replaced. Returns 0, or -1. */
static int begin(struct mstore_follow *follow, struct topic *topic)
{
	if (!follow->info.away && !subscribe(follow, topic))
		return 0;
	if (!follow->info.away && !mstore_follow_has_gone(follow))
		return -1;
	topic->lost = true;
	mstore_topics_note_loss(follow);
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
	if (begin(follow, topic)) {
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

/* From now on it is not in step, until all has begun anew. */
void mstore_topics_note_loss(struct mstore_follow *follow)
{
	follow->in_step = false;
	follow->settling = false;
}

/* The subscriptions are gone, with the open file that had them. */
void mstore_topics_forget(struct mstore_follow *follow)
{
	for (uint32_t i = 0; i < follow->nr_topics; i++) {
		follow->topics[i].lost = true;
		follow->topics[i].in_snapshot = false;
	}
	mstore_topics_note_loss(follow);
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
		mstore_topics_note_loss(follow);
	}
	follow->flushed = false;
	return 0;
}

/*
 * All that was read is handled, so what has lost events can begin anew. But a snapshot
 * comes to its end before the next one: else one that loses events each time would never
 * get to its last keys. Returns 0, or -1.
 */
int mstore_topics_recover(struct mstore_follow *follow)
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

/* An event of a topic was handled: it is less behind. */
void mstore_topics_note_done(struct mstore_follow *follow, const struct mstore_event *event)
{
	struct topic *topic = mstore_topic_of(follow, event);

	if (!follow->settling || !topic || !topic->behind ||
	    !(mstore_event_type(event) & EVENTS_ALL))
		return;
	topic->behind--;
	if (!topic->behind)
		follow->behind--;
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
int mstore_topics_settle(struct mstore_follow *follow)
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
