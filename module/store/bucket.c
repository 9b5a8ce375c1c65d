// SPDX-License-Identifier: GPL-2.0
/*
 * One bucket of a store: creating and destroying it, and reading its values.
 */
#include <linux/sched.h>

#include "store/bucket.h"
#include "store/lifetime.h"

/**
 * metastore_bucket_init() - Initialize an empty bucket
 * @bucket:	the bucket, zeroed
 * @store:	its store
 * @version:	start of its versions; all will be greater
 */
void metastore_bucket_init(struct metastore_bucket *bucket,
			   struct metastore_store *store, u64 version)
{
	spin_lock_init(&bucket->lock);
	metastore_table_init(&bucket->values, &bucket->lock);
	metastore_table_init(&bucket->topics, &bucket->lock);
	bucket->turns = RB_ROOT;
	bucket->store = store;
	bucket->version = version;
}

/**
 * metastore_bucket_destroy() - Free the values of a bucket
 * @bucket:	the bucket, without other users, subscriptions and values with an owner
 *
 * Context: Process context, may sleep.
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

/*
 * A value that was replaced before its end must not pass for one that has expired. So look
 * again after @over, until the same one is found.
 */
static noinline struct metastore_value *bucket_look_again(const struct metastore_key *key,
							  const struct metastore_value *over)
{
	struct metastore_value *value;

	while ((value = metastore_bucket_find(key)) && value != over) {
		if (!metastore_value_is_over(value))
			return value;
		over = value;
	}
	return NULL;
}

static __always_inline struct metastore_value *bucket_find_live(const struct metastore_key *key)
{
	struct metastore_value *value = metastore_bucket_find(key);

	return value && metastore_value_is_over(value) ? bucket_look_again(key, value) : value;
}

/**
 * metastore_bucket_find_live() - Look up a value that has not expired
 * @key:	the key
 *
 * Context: RCU read section.
 * Return: the value, as metastore_bucket_find() under RCU; or NULL.
 */
struct metastore_value *metastore_bucket_find_live(const struct metastore_key *key)
{
	return bucket_find_live(key);
}

/**
 * metastore_bucket_get() - Look a value up and take a reference
 * @key:	the key
 *
 * Context: Takes no lock.
 * Return: the value with a reference for the caller, or NULL if there is none or it has
 * expired.
 */
struct metastore_value *metastore_bucket_get(const struct metastore_key *key)
{
	struct metastore_value *value;

	rcu_read_lock();
	do {
		/* A value whose last reference is gone has left the table: retry. */
		value = bucket_find_live(key);
	} while (value && !metastore_value_tryget(value));
	rcu_read_unlock();
	return value;
}

/**
 * metastore_bucket_version() - Get the version of the last change
 * @bucket:	the bucket
 *
 * Context: Takes the bucket's lock.
 * Return: the version.
 */
u64 metastore_bucket_version(struct metastore_bucket *bucket)
{
	u64 version;

	spin_lock(&bucket->lock);
	version = bucket->version;
	spin_unlock(&bucket->lock);
	return version;
}
