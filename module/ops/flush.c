// SPDX-License-Identifier: GPL-2.0
/*
 * FLUSH: delete the values of a range, and end the subscriptions of all open files to it.
 *
 * Each loop is bounded by what exists when it begins. So a flush ends however fast others
 * write or subscribe.
 */
#include <linux/minmax.h>
#include <linux/sched/signal.h>

#include "store/bucket.h"
#include "store/iter.h"
#include "store/store.h"
#include "events/delivery.h"
#include "events/prefix.h"
#include "events/subscription.h"
#include "events/topic.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"

/* Subscriptions that are ended in one critical section. */
#define FLUSH_CHUNK	32

static int flush_bucket(struct metastore_file *file,
			const struct metastore_range *range, bool steal,
			u64 *values)
{
	u64 newest = metastore_bucket_version(&file->store->buckets[range->first]);
	struct metastore_iter iter;

	metastore_iter_init(&iter, file->store, range, METASTORE_VISIT_KEYS);
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
		int err;

		err = iter.version <= newest ? metastore_change_make(&change) : -ESTALE;

		if (err == -ENODEV)
			return err;
		*values += !err;
	}
	return iter.err;
}

/**
 * metastore_store_flush() - Delete the values of a range
 * @file:	open file that runs the command; its store is flushed
 * @range:	range of keys
 * @steal:	whether to delete values that other open files own, too
 * @values:	increased by the number of values deleted
 *
 * Values newer than the start of their bucket's turn stay.
 *
 * Context: Process context, may sleep. Takes one bucket's lock at a time.
 * Return: 0, -EINTR after a fatal signal, or -ENODEV if the module is retired meanwhile.
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
 * End the subscriptions to a key. Returns their number.
 *
 * End at most the number that exists at the start, the oldest first.
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
			if (!metastore_subscription_flush_oldest(topic))
				break;
		spin_unlock(&key->bucket->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (left && !fatal_signal_pending(current));
	return flushed;
}

/*
 * End some subscriptions to the next prefix behind @pos that starts with @prefix, at most
 * @max. Moves @pos on once that has none any more. Returns the number ended.
 */
static u32 flush_next_prefix(struct metastore_prefixes *prefixes, struct metastore_position *pos,
			     const u8 *prefix, u32 len, u32 max)
{
	struct metastore_node *node;
	u32 flushed = 0;

	/* An end may remove the topic, which is freed later. */
	rcu_read_lock();
	spin_lock(&prefixes->lock);
	node = metastore_table_next(&prefixes->topics, pos, prefix, len);
	if (node) {
		struct metastore_topic *topic = metastore_topic_of_node(node);

		max = min3(max, topic->nr, (u32)FLUSH_CHUNK);
		while (flushed < max && metastore_subscription_flush_oldest(topic))
			flushed++;
		if (!topic->nr)
			metastore_position_set(pos, node->hash, node->key, node->key_len);
	}
	spin_unlock(&prefixes->lock);
	rcu_read_unlock();
	return flushed;
}

/*
 * End the subscriptions to all prefixes that start with @prefix. Returns their number.
 *
 * End at most the number of subscriptions to all prefixes that exist at the start.
 */
static u64 flush_prefixes(struct metastore_store *store, const u8 *prefix, u32 len)
{
	u32 left = READ_ONCE(store->prefixes.nr), flushed = 0;
	struct metastore_position pos;

	metastore_position_set(&pos, 0, NULL, 0);
	while (flushed < left && pos.order < METASTORE_ORDER_END &&
	       !fatal_signal_pending(current)) {
		flushed += flush_next_prefix(&store->prefixes, &pos, prefix, len, left - flushed);
		cond_resched();
	}
	return flushed;
}

/**
 * metastore_store_flush_subscriptions() - End subscriptions of all open files
 * @store:	the store
 * @range:	range of keys; with all buckets also prefixes that start with its prefix
 * @subscriptions: increased by the number of subscriptions ended
 *
 * Context: Process context, may sleep. Takes one bucket's lock at a time, or the lock of
 * the store's prefixes.
 * Return: 0, or -EINTR after a fatal signal.
 */
int metastore_store_flush_subscriptions(struct metastore_store *store,
					const struct metastore_range *range,
					u64 *subscriptions)
{
	struct metastore_iter iter;

	metastore_iter_init(&iter, store, range, METASTORE_VISIT_TOPICS);
	while (metastore_iter_next(&iter))
		*subscriptions += flush_key(&iter.key);
	if (!iter.err && metastore_range_is_whole(store, range))
		*subscriptions += flush_prefixes(store, range->prefix,
						 range->prefix_len);
	return iter.err;
}
