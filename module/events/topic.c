// SPDX-License-Identifier: GPL-2.0
/*
 * Topics: keys and prefixes that have subscriptions.
 *
 * Topics of keys are in their bucket's table, under its lock. Topics of prefixes
 * concern all buckets, so the store has a table of them, with a lock of its own. A change
 * of a key searches that table and walks the lists without the lock, under RCU.
 */
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/prefix.h"
#include "events/topic.h"

/* Prefixes that are looked up in one RCU read section to count their subscriptions */
#define COUNT_AT_ONCE	32

/**
 * metastore_topic_create() - Create a topic without subscriptions
 * @store:	its store
 * @key:	key or prefix
 *
 * Context: Process context, may sleep.
 * Return: The topic with one reference, not inserted yet, or NULL without memory.
 */
struct metastore_topic *metastore_topic_create(struct metastore_store *store,
					       const struct metastore_key *key)
{
	size_t size = offsetof(struct metastore_topic, node.key) + key->len;
	struct metastore_topic *topic = kmalloc(max(size, sizeof(*topic)), METASTORE_GFP);

	if (!topic)
		return NULL;
	INIT_LIST_HEAD(&topic->subs);
	topic->nr = 0;
	topic->len = 0;
	topic->cgroup = METASTORE_CGROUPS_DIFFER;
	refcount_set(&topic->refs, 1);
	topic->bucket = key->bucket;
	topic->store = store;
	topic->node.hash = key->hash;
	topic->node.key_len = key->len;
	memcpy(topic->node.key, key->bytes, key->len);
	return topic;
}

/**
 * metastore_topic_get() - Take another reference
 * @topic:	the topic; the caller has a reference, or holds its lock
 *
 * Return: @topic.
 */
struct metastore_topic *metastore_topic_get(struct metastore_topic *topic)
{
	refcount_inc(&topic->refs);
	return topic;
}

/**
 * metastore_topic_put() - Drop a reference; the last one frees the topic
 * @topic:	the topic. One that was in a table is put only after a grace period.
 *
 * Context: Any context.
 */
void metastore_topic_put(struct metastore_topic *topic)
{
	if (refcount_dec_and_test(&topic->refs))
		kfree(topic);
}

static void topic_put_rcu(struct rcu_head *rcu)
{
	metastore_topic_put(container_of(rcu, struct metastore_topic, rcu));
}

/**
 * metastore_topic_lock() - Get the lock that protects a topic
 * @topic:	the topic
 *
 * Return: The lock, which stays as long as the store.
 */
spinlock_t *metastore_topic_lock(const struct metastore_topic *topic)
{
	return topic->bucket ? &topic->bucket->lock : &topic->store->prefixes.lock;
}

/**
 * metastore_topic_table() - Get the table that a topic belongs to
 * @topic:	the topic, which need not be inserted yet
 *
 * Return: The table, whose lock is that of the topic.
 */
struct metastore_table *metastore_topic_table(const struct metastore_topic *topic)
{
	return topic->bucket ? &topic->bucket->topics : &topic->store->prefixes.topics;
}

/**
 * metastore_topic_key() - Get the key or prefix of a topic
 * @topic:	the topic
 * @key:	set to the key or prefix; its bytes belong to the topic
 */
void metastore_topic_key(const struct metastore_topic *topic, struct metastore_key *key)
{
	*key = (struct metastore_key) {
		.bytes = topic->node.key,
		.len = topic->node.key_len,
		.hash = topic->node.hash,
		.bucket = topic->bucket,
	};
}

/**
 * metastore_topic_of() - Look the topic of a key up
 * @key:	the key
 *
 * Context: Caller holds the bucket's lock.
 * Return: The topic, or NULL.
 */
struct metastore_topic *metastore_topic_of(const struct metastore_key *key)
{
	lockdep_assert_held(&key->bucket->lock);
	/* Fast path: few keys have subscribers, so many buckets have no topic. */
	if (!key->bucket->topics.nr_nodes)
		return NULL;
	return metastore_topic_of_node(metastore_table_find(&key->bucket->topics, key));
}

/**
 * metastore_topic_find() - Look the topic of a key or prefix up
 * @store:	the store
 * @key:	key or prefix
 *
 * Context: Caller holds the topic's lock.
 * Return: The topic, or NULL.
 */
struct metastore_topic *metastore_topic_find(struct metastore_store *store,
					     const struct metastore_key *key)
{
	if (key->bucket)
		return metastore_topic_of(key);
	lockdep_assert_held(&store->prefixes.lock);
	return metastore_topic_of_node(metastore_table_find(&store->prefixes.topics, key));
}

/**
 * metastore_topic_insert() - Insert a topic
 * @topic:	the topic; its table takes a reference over
 * @preload:	memory that metastore_table_has_room() checked
 *
 * Context: Caller holds the topic's lock.
 */
void metastore_topic_insert(struct metastore_topic *topic, struct metastore_preload *preload)
{
	lockdep_assert_held(metastore_topic_lock(topic));
	if (!topic->bucket)
		metastore_prefix_note(&topic->store->prefixes, &topic->node);
	metastore_table_insert(metastore_topic_table(topic), &topic->node, preload);
}

/**
 * metastore_topic_remove_if_unused() - Remove a topic that has no subscriptions
 * @topic:	the topic
 *
 * Context: Caller holds the topic's lock.
 */
void metastore_topic_remove_if_unused(struct metastore_topic *topic)
{
	struct metastore_table *table = metastore_topic_table(topic);

	lockdep_assert_held(metastore_topic_lock(topic));
	if (topic->len)
		return;
	metastore_table_remove(table, &topic->node, NULL);
	metastore_table_shrink(table);
	if (!topic->bucket)
		metastore_prefix_forget(&topic->store->prefixes, &topic->node);
	call_rcu(&topic->rcu, topic_put_rcu);
}

/* Count the subscriptions to some more prefixes of a key. Return false at the end. */
static bool topic_count_some(struct metastore_match *match, u32 *nr)
{
	struct metastore_topic *topic = NULL;
	int i;

	rcu_read_lock();
	for (i = 0; i < COUNT_AT_ONCE && (topic = metastore_match_next(match)); i++)
		*nr += READ_ONCE(topic->nr);
	rcu_read_unlock();
	return topic;
}

/**
 * metastore_subscribers() - Count the subscriptions that an event of a key can reach
 * @key:	the key
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 * Return: Their number. Each prefix is counted at a slightly different time.
 */
u32 metastore_subscribers(const struct metastore_key *key)
{
	struct metastore_topic *topic;
	struct metastore_match match;
	u32 nr;

	spin_lock(&key->bucket->lock);
	topic = metastore_topic_of(key);
	nr = topic ? topic->nr : 0;
	spin_unlock(&key->bucket->lock);
	metastore_match_begin(&match, key);
	while (topic_count_some(&match, &nr))
		cond_resched();
	return nr;
}
