/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_BUCKET_H
#define METASTORE_BUCKET_H

#include <linux/cache.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "table.h"
#include "value.h"

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
 *
 * @lock protects the rest.
 *
 * Lock order of the module:
 *
 *	bucket.lock > file.lock > queue.lock > queue.readers
 *
 * All are taken in process context only. Nobody holds two of a kind.
 */
struct metastore_bucket {
	spinlock_t lock;	/* see above */
	struct metastore_store *store;
	u64 version;
	struct metastore_table values;
	u64 bytes;
	struct metastore_table topics;
	u32 nr_subscriptions;
} ____cacheline_aligned_in_smp;

void metastore_bucket_init(struct metastore_bucket *bucket,
			   struct metastore_store *store, u64 version);
void metastore_bucket_destroy(struct metastore_bucket *bucket);
struct metastore_value *metastore_bucket_get(const struct metastore_key *key);
int metastore_bucket_stat(const struct metastore_key *key,
			  struct metastore_stat *stat);
int metastore_bucket_set(const struct metastore_key *key,
			 struct metastore_value *value, u16 type,
			 u64 *version, u32 *queues);
int metastore_bucket_delete(const struct metastore_key *key, u64 newest,
			    u16 flags, u64 *version);
u64 metastore_bucket_version(struct metastore_bucket *bucket);

#endif /* METASTORE_BUCKET_H */
