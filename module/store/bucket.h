/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_BUCKET_H
#define METASTORE_BUCKET_H

#include <linux/cache.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/table.h"
#include "store/value.h"

struct metastore_shard;
struct metastore_store;

/**
 * struct metastore_bucket - one shard of a store
 * @lock:	serializes writers, and protects all members but @store and @shard
 * @store:	the bucket's store. Immutable.
 * @version:	version of the last change
 * @published:	number of changes that were made by PUBLISH
 * @values:	&struct metastore_value by key; readers use RCU instead of @lock
 * @bytes:	metastore_value_size() of all @values
 * @topics:	&struct metastore_topic by key
 * @nr_subscriptions: number of subscriptions of all @topics
 * @epoch:	number of times that a further lossless queue may have needed room for events
 *		of these keys
 * @turns:	&struct metastore_turn of deliveries under way and of writers that wait
 * @tickets:	number of turns of writers so far
 * @shard:	its keys in the store's mirror; NULL: programs cannot map the store. Immutable.
 */
struct metastore_bucket {
	spinlock_t lock;	/* see above */
	struct metastore_store *store;
	u64 version;
	u64 published;
	struct metastore_table values;
	u64 bytes;
	struct metastore_table topics;
	u32 nr_subscriptions;
	u64 epoch;
	struct rb_root turns;
	u64 tickets;
	struct metastore_shard *shard;
} ____cacheline_aligned_in_smp;

void metastore_bucket_init(struct metastore_bucket *bucket,
			   struct metastore_store *store, u64 version);
void metastore_bucket_destroy(struct metastore_bucket *bucket);
struct metastore_value *metastore_bucket_find_live(const struct metastore_key *key);
struct metastore_value *metastore_bucket_get(const struct metastore_key *key);
u64 metastore_bucket_version(struct metastore_bucket *bucket);

/**
 * metastore_bucket_find() - Look a value up
 * @key:	the key
 *
 * Context: RCU read section, or caller holds the bucket's lock.
 * Return: the value, even if its time is over, or NULL. Under the lock it stays valid.
 * Under RCU some of it needs a reference, see &struct metastore_value.
 */
static __always_inline struct metastore_value *
metastore_bucket_find(const struct metastore_key *key)
{
	return metastore_value_of(metastore_table_find(&key->bucket->values, key));
}

#endif /* METASTORE_BUCKET_H */
