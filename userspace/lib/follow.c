// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Followers. Each key belongs to one topic: a subscription to it, or to one of its
 * prefixes. A topic begins with a snapshot. After a loss it begins anew, in a new round:
 * known keys that are not heard of until the end of the snapshot are gone.
 */
#include <errno.h>
#include <stdlib.h>

#include "follow.h"

/* How long a call without a wait may read records that tell nothing. */
#define SILENT_MS	100

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
	follow->poll_fd = -1;
	follow->timer = -1;
	follow->flags = options->flags;
	follow->events = mstore_event_buffer_new(0);
	if (follow->events)
		follow->store = mstore_reopen(store, MSTORE_READ | MSTORE_NONBLOCK);
	if (!follow->store || mstore_follow_watch(follow)) {
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
	mstore_follow_unwatch(follow);
	mstore_event_buffer_free(follow->events);
	for (uint32_t i = 0; i < follow->nr_topics; i++)
		free(follow->topics[i].key);
	free(follow->topics);
	mstore_known_free_all(&follow->keys);
	free(follow->dropped);
	free(follow);
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

/*
 * Whether what is told of a key is older than what is known. A module that was not loaded by
 * mstore upgrade may begin with lesser versions than the one before.
 */
static bool is_old(const struct mstore_follow *follow, const struct known *known, uint64_t version)
{
	return version <= known->version && known->module == (uint32_t)follow->info.renewals;
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
		known->module = 0;
	}
	known->round = topic->round;
	if (is_old(follow, known, version))
		return 0;
	known->version = version;
	known->module = (uint32_t)follow->info.renewals;
	return tell_event(follow, MSTORE_FOLLOW_VALUE, event);
}

static int handle_deletion(struct mstore_follow *follow, const struct mstore_event *event)
{
	struct known *known;
	const char *key;
	size_t len;

	key = mstore_event_key(event, &len);
	known = mstore_known_find(&follow->keys, key, len);
	if (!known || is_old(follow, known, mstore_event_version(event)))
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
	topic = mstore_topic_of(follow, event);
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
		mstore_topics_note_loss(follow);
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
		follow->at = event;
		follow->in_batch = follow->flags & MSTORE_FOLLOW_EACH &&
				   mstore_event_flags(event) & MSTORE_EVENT_F_MORE;
		mstore_topics_note_done(follow, event);
		if (ret)
			return ret;
	}
}

/* When a call is to end: late rather than early, since now_ms() rounds down. */
static int64_t end_of(int timeout_ms)
{
	return now_ms() + (timeout_ms ? (int64_t)timeout_ms + 1 : SILENT_MS);
}

/* After a call that failed. Returns 0 if that is because the module is replaced, or -1. */
static int leave_if_gone(struct mstore_follow *follow)
{
	return mstore_follow_has_gone(follow) ? mstore_follow_leave(follow) : -1;
}

/* Returns 1, 0 if nothing waits, or -1. */
static int read_more(struct mstore_follow *follow)
{
	if (follow->info.away)
		return 0;
	follow->at = NULL;
	if (mstore_read_events(follow->store, follow->events) > 0)
		return 1;
	return errno == EAGAIN ? 0 : leave_if_gone(follow);
}

/* All that was read is told: begins anew what lost events. Returns 0, or -1. */
static int catch_up(struct mstore_follow *follow)
{
	int ret;

	if (follow->info.away) {
		ret = mstore_follow_return(follow);
		if (ret <= 0)
			return ret;
	}
	if (!mstore_topics_recover(follow) && !mstore_topics_settle(follow))
		return 0;
	/* Events that wait are read first; then read_more() leaves. */
	return mstore_follow_has_gone(follow) ? 0 : -1;
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
		if (catch_up(follow))
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
	return follow->poll_fd;
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
