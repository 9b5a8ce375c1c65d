// SPDX-License-Identifier: GPL-2.0
/*
 * One bucket: the values of the keys that fall in it, and the order of their
 * changes.
 *
 * A change is made and its events are queued under one hold of the bucket's
 * lock, so for each key every queue sees the changes in the order of their
 * versions. The exception, a key with very many subscribers, is explained in
 * subscription.c; there the key's next writer completes the delivery first.
 */
#include <linux/cred.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "bucket.h"
#include "store.h"
#include "subscription.h"

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
	bucket->store = store;
	bucket->version = version;
}

/**
 * metastore_bucket_destroy - free the values of a bucket
 * @bucket:	the bucket, which nobody uses any more and which has no
 *		subscriptions
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
			metastore_table_remove(&bucket->values, node);
		spin_unlock(&bucket->lock);
		if (node)
			metastore_value_put(metastore_value_of(node));
		cond_resched();
	}
	metastore_table_destroy(&bucket->values);
	metastore_table_destroy(&bucket->topics);
}

static struct metastore_value *find(const struct metastore_key *key)
{
	return metastore_value_of(metastore_table_find(&key->bucket->values, key));
}

/**
 * metastore_bucket_get - look a value up
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
		value = find(key);
	} while (value && !metastore_value_tryget(value));
	rcu_read_unlock();
	return value;
}

/**
 * metastore_bucket_stat - tell what is known of a key
 * @key:	the key
 * @stat:	its [out] fields but the bucket are set
 *
 * Context: takes the bucket's lock.
 * Return: 0 or -ENOENT.
 */
int metastore_bucket_stat(const struct metastore_key *key,
			  struct metastore_stat *stat)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_value *value;

	spin_lock(&bucket->lock);
	value = find(key);
	if (value) {
		stat->version = value->version;
		stat->time = value->time;
		stat->value_len = value->len;
		stat->tgid = value->tgid;
		stat->uid = from_kuid_munged(current_user_ns(), value->uid);
		stat->subscribers = metastore_topic_subscribers(key);
	}
	spin_unlock(&bucket->lock);
	return value ? 0 : -ENOENT;
}

static int charge(struct metastore_bucket *bucket, struct metastore_value *new,
		  struct metastore_value *old)
{
	s64 bytes = (new ? metastore_value_size(new) : 0) -
		    (s64)(old ? metastore_value_size(old) : 0);
	int err;

	err = metastore_store_charge(bucket->store, !!new - !!old, bytes);
	if (!err)
		bucket->bytes += bytes;
	return err;
}

/**
 * metastore_bucket_set - store a value and tell the subscribers of its key
 * @key:	the key
 * @value:	the value; the caller's reference becomes the table's if this
 *		succeeds
 * @type:	METASTORE_EVENT_SET or METASTORE_EVENT_PUBLISHED
 * @version:	is set to the version it got
 * @queues:	is set to the number of queues that took the event
 *
 * Context: may sleep.
 * Return: 0; -ENOSPC if a limit of the store refuses it; -ENOMEM.
 */
int metastore_bucket_set(const struct metastore_key *key,
			 struct metastore_value *value, u16 type,
			 u64 *version, u32 *queues)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_record event = { .value = value, .type = type };
	struct metastore_garbage garbage = {};
	struct metastore_value *old;
	struct metastore_topic *topic;
	int err;

	err = metastore_table_prepare(&bucket->values);
	if (err)
		return err;

	topic = metastore_topic_lock(key, &garbage);
	old = find(key);
	err = charge(bucket, value, old);
	if (err)
		goto unlock;
	*version = event.version = value->version = ++bucket->version;
	value->time = ktime_get_real_ns();
	if (old) {
		metastore_table_replace(&bucket->values, &old->node, &value->node);
		metastore_value_put_later(old, &garbage);
	} else {
		metastore_table_insert(&bucket->values, &value->node);
	}
	*queues = metastore_topic_deliver(bucket, topic, &event, &garbage);
unlock:
	spin_unlock(&bucket->lock);
	metastore_garbage_free(&garbage);
	return err;
}

/**
 * metastore_bucket_delete - remove a value and tell the subscribers of its key
 * @key:	the key
 * @newest:	newest version that may be removed
 * @flags:	METASTORE_EVENT_F_* for the event
 * @version:	is set to the version of the removal
 *
 * Context: may sleep.
 * Return: 0; -ENOENT if there is no value, or only one newer than @newest.
 */
int metastore_bucket_delete(const struct metastore_key *key, u64 newest,
			    u16 flags, u64 *version)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_record event = {
		.type = METASTORE_EVENT_DELETED,
		.flags = flags,
	};
	struct metastore_garbage garbage = {};
	struct metastore_topic *topic;
	struct metastore_value *value;
	int err = 0;

	topic = metastore_topic_lock(key, &garbage);
	value = find(key);
	if (!value || value->version > newest) {
		err = -ENOENT;
		goto unlock;
	}
	charge(bucket, NULL, value);
	metastore_table_remove(&bucket->values, &value->node);
	*version = event.version = ++bucket->version;
	event.value = value;
	metastore_topic_deliver(bucket, topic, &event, &garbage);
	/* The table's reference, which kept it until it was delivered. */
	metastore_value_put_later(value, &garbage);
unlock:
	spin_unlock(&bucket->lock);
	metastore_garbage_free(&garbage);
	return err;
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
