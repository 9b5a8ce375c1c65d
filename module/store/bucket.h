/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_BUCKET_H
#define METASTORE_BUCKET_H

#include <linux/cache.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/table.h"
#include "store/value.h"

struct metastore_store;

/**
 * struct metastore_bucket - one shard of a store
 * @lock:	what writers of the bucket take
 * @store:	its store; never changes
 * @version:	of the last change
 * @values:	struct metastore_value by key; readers use RCU instead of @lock
 * @bytes:	what they take
 * @topics:	struct metastore_topic by key
 * @nr_subscriptions: subscriptions of all topics
 * @deliveries:	struct metastore_delivery, of keys whose event not all have yet
 *
 * @lock protects the rest.
 */
struct metastore_bucket {
	spinlock_t lock;	/* see above */
	struct metastore_store *store;
	u64 version;
	struct metastore_table values;
	u64 bytes;
	struct metastore_table topics;
	u32 nr_subscriptions;
	struct list_head deliveries;
} ____cacheline_aligned_in_smp;

void metastore_bucket_init(struct metastore_bucket *bucket,
			   struct metastore_store *store, u64 version);
void metastore_bucket_destroy(struct metastore_bucket *bucket);
struct metastore_value *metastore_bucket_get(const struct metastore_key *key);
u64 metastore_bucket_version(struct metastore_bucket *bucket);

/**
 * metastore_bucket_find - look a value up
 * @key:	the key
 *
 * Context: under rcu_read_lock(), or with the bucket's lock held.
 * Return: the value, whether its time is over or not, or NULL. It stays in the
 * second case; in the first a reference is needed for most of it.
 */
static __always_inline struct metastore_value *
metastore_bucket_find(const struct metastore_key *key)
{
	return metastore_value_of(metastore_table_find(&key->bucket->values, key));
}

#endif /* METASTORE_BUCKET_H */
