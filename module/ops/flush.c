// SPDX-License-Identifier: GPL-2.0
/*
 * FLUSH: values go, and subscriptions of whoever has them.
 */
#include <linux/minmax.h>
#include <linux/sched/signal.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/delivery.h"
#include "events/subscription.h"
#include "events/topic.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"

/* Subscriptions that are ended under one hold of a lock. */
#define FLUSH_CHUNK	64

static int flush_bucket(struct metastore_file *file,
			const struct metastore_range *range, bool steal,
			u64 *values)
{
	u64 newest = metastore_bucket_version(&file->store->buckets[range->first]);
	struct metastore_iter iter;

	metastore_iter_init(&iter, file->store, range, false);
	while (metastore_iter_next(&iter)) {
		struct metastore_change change = {
			.key = &iter.key,
			.by = &file->owner,
			.flags = METASTORE_F_IF_VERSION |
				 (steal ? METASTORE_F_STEAL : 0),
			.type = METASTORE_EVENT_DELETED,
			.event_flags = METASTORE_EVENT_F_FLUSH,
			.version = iter.version,
		};

		if (iter.version <= newest && !metastore_change_make(&change))
			++*values;
	}
	return iter.err;
}

/**
 * metastore_store_flush - delete values
 * @file:	the open file that wants it; its store is meant
 * @range:	of which keys
 * @steal:	those of other open files as well
 * @values:	is increased by the number of values deleted
 *
 * A bucket's values that are newer than when its turn came stay, so that this
 * ends however fast others write.
 *
 * Context: may sleep.
 * Return: 0; -EINTR: a fatal signal.
 */
int metastore_store_flush(struct metastore_file *file,
			  const struct metastore_range *range, bool steal,
			  u64 *values)
{
	struct metastore_range one = *range;
	int err = 0;

	for (; one.first <= range->last && !err; one.first++) {
		one.last = one.first;
		err = flush_bucket(file, &one, steal, values);
	}
	return err;
}

/*
 * Ends all subscriptions to a key, and says how many.
 *
 * As many as there are when this begins, the oldest first, so that it ends
 * however fast others subscribe.
 */
static u64 flush_key(const struct metastore_key *key)
{
	struct metastore_store *store = key->bucket->store;
	struct metastore_garbage garbage = {};
	struct metastore_topic *topic;
	u32 i, flushed = 0, left = U32_MAX;

	do {
		metastore_key_lock(key, &garbage);
		topic = metastore_topic_find(store, key);
		left = topic ? min(left, topic->nr) : 0;
		for (i = min_t(u32, left, FLUSH_CHUNK); i; i--, left--, flushed++)
			metastore_subscription_flush_oldest(topic);
		spin_unlock(&key->bucket->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (left && !fatal_signal_pending(current));
	return flushed;
}

/*
 * Ends all subscriptions to prefixes that another one begins, and says how many.
 *
 * Not more than there are to prefixes when this begins, so that it ends however fast
 * others subscribe.
 */
static u64 flush_prefixes(struct metastore_store *store, const u8 *prefix, u32 len)
{
	struct metastore_prefixes *prefixes = &store->prefixes;
	struct metastore_topic *topic;
	u32 i, flushed = 0, left = U32_MAX;

	do {
		spin_lock(&prefixes->lock);
		left = min(left, prefixes->nr);
		for (i = min_t(u32, left, FLUSH_CHUNK); i; i--, left--, flushed++) {
			topic = metastore_topic_under(store, prefix, len);
			if (!topic)
				break;
			metastore_subscription_flush_oldest(topic);
		}
		spin_unlock(&prefixes->lock);
		cond_resched();
	} while (left && !i && !fatal_signal_pending(current));
	return flushed;
}

/**
 * metastore_store_flush_subscriptions - end subscriptions of all open files
 * @store:	the store
 * @range:	to which keys, and if those are of all buckets, to which prefixes
 * @subscriptions: is increased by the number of subscriptions ended
 *
 * Context: may sleep.
 * Return: 0; -EINTR: a fatal signal.
 */
int metastore_store_flush_subscriptions(struct metastore_store *store,
					const struct metastore_range *range,
					u64 *subscriptions)
{
	struct metastore_iter iter;

	metastore_iter_init(&iter, store, range, true);
	while (metastore_iter_next(&iter))
		*subscriptions += flush_key(&iter.key);
	if (!iter.err && metastore_range_is_whole(store, range))
		*subscriptions += flush_prefixes(store, range->prefix,
						 range->prefix_len);
	return iter.err;
}
