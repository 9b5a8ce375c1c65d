// SPDX-License-Identifier: GPL-2.0
/*
 * Iterators over the keys of a range of buckets, in the store's order.
 */
#include <linux/errno.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "base/table.h"
#include "store/bucket.h"
#include "store/iter.h"
#include "store/store.h"
#include "store/value.h"

/**
 * metastore_iter_init() - Set an iterator to before the first key of a range
 * @iter:	the iterator
 * @store:	the store
 * @range:	the range, which must stay valid as long as @iter
 * @visit:	keys to visit
 */
void metastore_iter_init(struct metastore_iter *iter,
			 struct metastore_store *store,
			 const struct metastore_range *range, enum metastore_visit visit)
{
	iter->store = store;
	iter->range = range;
	iter->visit = visit;
	iter->err = 0;
	iter->bucket = &store->buckets[range->first];
	metastore_position_set(&iter->pos, 0, NULL, 0);
}

/**
 * metastore_iter_skip_to() - Move an iterator to right behind a key
 * @iter:	the iterator, before the first key of its range
 * @key:	the key, after metastore_store_locate(). It need not exist. If it is before
 *		the range, @iter stays; if it is behind, @iter is at the end.
 */
void metastore_iter_skip_to(struct metastore_iter *iter,
			    const struct metastore_key *key)
{
	if (key->bucket < iter->bucket)
		return;
	iter->bucket = key->bucket;
	metastore_position_set(&iter->pos, key->hash, key->bytes, key->len);
}

static void iter_arrive_at(struct metastore_iter *iter, struct metastore_node *node)
{
	metastore_position_set(&iter->pos, node->hash, node->key, node->key_len);
	iter->key.bytes = iter->pos.key;
	iter->key.len = node->key_len;
	iter->key.hash = node->hash;
	iter->key.bucket = iter->bucket;
}

/*
 * Arrive at a value, in an RCU section. Return whether there is one to report. If it has
 * expired, or its last reference is gone, it may have been replaced: look its key up again.
 */
static bool iter_arrive_at_value(struct metastore_iter *iter, struct metastore_value *value)
{
	if (metastore_value_is_over(value))
		value = metastore_bucket_find_live(&iter->key);
	if (value && iter->visit == METASTORE_VISIT_VALUES && !metastore_value_tryget(value))
		value = metastore_bucket_get(&iter->key);
	if (!value)
		return false;
	iter->version = value->version;
	iter->value_len = value->len;
	iter->value = iter->visit == METASTORE_VISIT_VALUES ? value : NULL;
	return true;
}

/*
 * Search the rest of one slot, up to the next node. Return true if that has a key to
 * report.
 */
static bool iter_step(struct metastore_iter *iter)
{
	bool topics = iter->visit == METASTORE_VISIT_TOPICS;
	struct metastore_table *table =
		topics ? &iter->bucket->topics : &iter->bucket->values;
	struct metastore_node *node;
	bool told = false;

	rcu_read_lock();
	node = metastore_table_next(table, &iter->pos, iter->range->prefix,
				    iter->range->prefix_len);
	if (node) {
		iter_arrive_at(iter, node);
		told = topics || iter_arrive_at_value(iter, metastore_value_of(node));
	}
	rcu_read_unlock();
	return told;
}

/**
 * metastore_iter_next() - Advance to the next key of the range
 * @iter:	the iterator
 *
 * Meets each key that exists throughout exactly once, whatever concurrent writers change.
 *
 * Context: Process context, may sleep. Takes no lock.
 * Return: true if there is a next key. If false, @iter->err is 0 at the end, or -EINTR
 * after a fatal signal.
 */
bool metastore_iter_next(struct metastore_iter *iter)
{
	struct metastore_bucket *last = &iter->store->buckets[iter->range->last];

	for (; iter->bucket <= last; iter->bucket++) {
		while (iter->pos.order < METASTORE_ORDER_END) {
			if (iter_step(iter))
				return true;
			if (fatal_signal_pending(current)) {
				iter->err = -EINTR;
				return false;
			}
			cond_resched();
		}
		metastore_position_set(&iter->pos, 0, NULL, 0);
	}
	return false;
}
