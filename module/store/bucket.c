// SPDX-License-Identifier: GPL-2.0
/*
 * One bucket: the values of the keys that fall in it.
 */
#include <linux/sched.h>

#include "store/bucket.h"
#include "store/lifetime.h"

/**
 * metastore_bucket_init - make an empty bucket
 * @bucket:	the bucket
 * @store:	its store
 * @version:	all versions will be greater
 */
void metastore_bucket_init(struct metastore_bucket *bucket,
			   struct metastore_store *store, u64 version)
{
	spin_lock_init(&bucket->lock);
	metastore_table_init(&bucket->values, &bucket->lock);
	metastore_table_init(&bucket->topics, &bucket->lock);
	INIT_LIST_HEAD(&bucket->deliveries);
	bucket->store = store;
	bucket->version = version;
}

/**
 * metastore_bucket_destroy - free the values of a bucket
 * @bucket:	the bucket, which nobody uses any more and which has no
 *		subscriptions, nor values that belong to anybody
 *
 * Context: may sleep.
 */
void metastore_bucket_destroy(struct metastore_bucket *bucket)
{
	struct metastore_position pos;
	struct metastore_node *node;

	metastore_position_set(&pos, 0, NULL, 0);
	while (pos.order < METASTORE_ORDER_END) {
		spin_lock(&bucket->lock);
		node = metastore_table_next(&bucket->values, &pos, NULL, 0);
		if (node)
			metastore_table_remove(&bucket->values, node, NULL);
		spin_unlock(&bucket->lock);
		if (node)
			metastore_value_put(metastore_value_of(node));
		cond_resched();
	}
	metastore_table_destroy(&bucket->values);
	metastore_table_destroy(&bucket->topics);
}

/**
 * metastore_bucket_get - get a value
 * @key:	the key
 *
 * Context: takes no lock.
 * Return: the value, with a reference for the caller, or NULL.
 */
struct metastore_value *metastore_bucket_get(const struct metastore_key *key)
{
	struct metastore_value *value;

	rcu_read_lock();
	do {
		/* One that lost its last reference was replaced: look again. */
		value = metastore_bucket_find(key);
		if (value && metastore_value_is_over(value))
			value = NULL;
	} while (value && !metastore_value_tryget(value));
	rcu_read_unlock();
	return value;
}

/**
 * metastore_bucket_version - version of the last change so far
 * @bucket:	the bucket
 *
 * Context: takes the bucket's lock.
 */
u64 metastore_bucket_version(struct metastore_bucket *bucket)
{
	u64 version;

	spin_lock(&bucket->lock);
	version = bucket->version;
	spin_unlock(&bucket->lock);
	return version;
}
