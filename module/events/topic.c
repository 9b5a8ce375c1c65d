// SPDX-License-Identifier: GPL-2.0
/*
 * Topics: keys and prefixes that have subscriptions. Also the walk of all subscriptions
 * that an event of a key reaches.
 *
 * Topics of keys are in their bucket's table, under its lock. Topics of prefixes
 * concern all buckets, so the store has them in a trie, with a lock of their own. A
 * change of a key does not take that lock: it walks the trie and the lists in a
 * metastore_srcu read section.
 */
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/topic.h"

DEFINE_SRCU(metastore_srcu);

struct key_topic {
	struct metastore_topic topic;
	struct metastore_node node;
};

struct prefix_topic {
	struct metastore_topic topic;
	struct metastore_trie_node node;
};

static_assert(offsetof(struct key_topic, topic) == 0);
static_assert(offsetof(struct prefix_topic, topic) == 0);

static struct key_topic *topic_of_key(const struct metastore_topic *topic)
{
	return container_of(topic, struct key_topic, topic);
}

static struct prefix_topic *topic_of_prefix(const struct metastore_topic *topic)
{
	return container_of(topic, struct prefix_topic, topic);
}

static struct metastore_topic *topic_of_node(struct metastore_trie_node *node)
{
	return node ? &container_of(node, struct prefix_topic, node)->topic : NULL;
}

/**
 * metastore_topic_create() - Create a topic without subscriptions
 * @store:	its store
 * @key:	key or prefix
 *
 * Context: Process context, may sleep.
 * Return: The topic, not inserted yet, or NULL without memory.
 */
struct metastore_topic *metastore_topic_create(struct metastore_store *store,
					       const struct metastore_key *key)
{
	size_t header = key->bucket ? offsetof(struct key_topic, node.key) :
				      offsetof(struct prefix_topic, node.bytes);
	size_t least = key->bucket ? sizeof(struct key_topic) : sizeof(struct prefix_topic);
	struct metastore_topic *topic = kmalloc(max(header + key->len, least), METASTORE_GFP);
	struct metastore_node *node;

	if (!topic)
		return NULL;
	INIT_LIST_HEAD(&topic->subs);
	topic->nr = 0;
	topic->bucket = key->bucket;
	topic->store = store;
	if (!key->bucket) {
		metastore_trie_node_init(&topic_of_prefix(topic)->node, key->bytes, key->len);
		return topic;
	}
	node = &topic_of_key(topic)->node;
	node->hash = key->hash;
	node->key_len = key->len;
	memcpy(node->key, key->bytes, key->len);
	return topic;
}

/* Walks of a bucket's keys are RCU read sections: wait for those, too. */
static void topic_free_after_walks(struct rcu_head *rcu)
{
	struct metastore_topic *topic = container_of(rcu, struct metastore_topic, rcu);

	kfree_rcu(topic, rcu);
}

static void topic_free_later(struct metastore_topic *topic)
{
	call_srcu(&metastore_srcu, &topic->rcu, topic_free_after_walks);
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
 * metastore_topic_key() - Get the key or prefix of a topic
 * @topic:	the topic
 * @key:	set to the key or prefix; its bytes belong to the topic
 */
void metastore_topic_key(const struct metastore_topic *topic, struct metastore_key *key)
{
	key->bucket = topic->bucket;
	if (topic->bucket) {
		key->bytes = topic_of_key(topic)->node.key;
		key->len = topic_of_key(topic)->node.key_len;
		key->hash = topic_of_key(topic)->node.hash;
	} else {
		key->bytes = topic_of_prefix(topic)->node.bytes;
		key->len = topic_of_prefix(topic)->node.bits / 8;
		key->hash = 0;
	}
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
	struct metastore_node *node;

	lockdep_assert_held(&key->bucket->lock);
	/* Fast path: few keys have subscribers, so many buckets have no topic. */
	if (!key->bucket->topics.nr_nodes)
		return NULL;
	node = metastore_table_find(&key->bucket->topics, key);
	return node ? &container_of(node, struct key_topic, node)->topic : NULL;
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
	return topic_of_node(metastore_trie_find(&store->prefixes.trie, key->bytes, key->len));
}

static void topic_note_first_byte(struct metastore_prefixes *prefixes,
				  const struct metastore_trie_node *node)
{
	lockdep_assert_held(&prefixes->lock);
	if (node->bits)
		set_bit(node->bytes[0], prefixes->first);
	else
		WRITE_ONCE(prefixes->any, true);
}

static void topic_forget_first_bytes(struct metastore_prefixes *prefixes)
{
	int i;

	lockdep_assert_held(&prefixes->lock);
	WRITE_ONCE(prefixes->any, false);
	for (i = 0; i < ARRAY_SIZE(prefixes->first); i++)
		WRITE_ONCE(prefixes->first[i], 0);
}

/**
 * metastore_topic_has_room() - Check whether a topic can be inserted without allocation
 * @topic:	the topic, not inserted yet; of a key after metastore_table_prepare()
 * @preload:	preallocated memory
 *
 * Context: Caller holds the topic's lock.
 * Return: false if @preload lacks memory. It then knows what metastore_preload_fill()
 * is to allocate.
 */
bool metastore_topic_has_room(const struct metastore_topic *topic,
			      struct metastore_preload *preload)
{
	return !topic->bucket ||
	       metastore_table_has_room(&topic->bucket->topics, topic_of_key(topic)->node.hash,
					preload);
}

/**
 * metastore_topic_insert() - Insert a topic
 * @topic:	the topic
 * @fork:	for a prefix, another topic of the same prefix; set to NULL if its
 *		memory was used
 * @preload:	for a key, the memory that metastore_topic_has_room() checked
 *
 * Context: Caller holds the topic's lock.
 */
void metastore_topic_insert(struct metastore_topic *topic, struct metastore_topic **fork,
			    struct metastore_preload *preload)
{
	struct metastore_trie_node *spare, *replaced;

	lockdep_assert_held(metastore_topic_lock(topic));
	if (topic->bucket) {
		metastore_table_insert(&topic->bucket->topics, &topic_of_key(topic)->node,
				       preload);
		return;
	}
	topic_note_first_byte(&topic->store->prefixes, &topic_of_prefix(topic)->node);
	spare = &topic_of_prefix(*fork)->node;
	replaced = metastore_trie_insert(&topic->store->prefixes.trie,
					 &topic_of_prefix(topic)->node, &spare);
	if (!spare)
		*fork = NULL;
	if (replaced)
		topic_free_later(topic_of_node(replaced));
}

/**
 * metastore_topic_free_if_unused() - Remove and free a topic that has no subscriptions
 * @topic:	the topic
 *
 * Context: Caller holds the topic's lock.
 */
void metastore_topic_free_if_unused(struct metastore_topic *topic)
{
	struct metastore_trie_node *gone[2];
	int i;

	lockdep_assert_held(metastore_topic_lock(topic));
	if (topic->nr)
		return;
	if (topic->bucket) {
		metastore_table_remove(&topic->bucket->topics, &topic_of_key(topic)->node, NULL);
		metastore_table_shrink(&topic->bucket->topics);
		topic_free_later(topic);
		return;
	}
	metastore_trie_remove(&topic->store->prefixes.trie, &topic_of_prefix(topic)->node, gone);
	if (!metastore_has_prefixes(&topic->store->prefixes))
		topic_forget_first_bytes(&topic->store->prefixes);
	for (i = 0; i < 2; i++)
		if (gone[i])
			topic_free_later(topic_of_node(gone[i]));
}

/**
 * metastore_topic_under() - Find any topic of a prefix that begins with a string
 * @store:	the store
 * @prefix:	the string
 * @len:	its length in bytes
 *
 * Context: Caller holds the lock of the store's prefixes.
 * Return: The topic, or NULL.
 */
struct metastore_topic *metastore_topic_under(struct metastore_store *store,
					      const u8 *prefix, u32 len)
{
	lockdep_assert_held(&store->prefixes.lock);
	return topic_of_node(metastore_trie_under(&store->prefixes.trie, prefix, len));
}

static void walk_go_to(struct metastore_walk *walk, struct metastore_topic *topic)
{
	walk->topic = topic;
	if (topic)
		walk->at = &topic->subs;
}

/**
 * metastore_prefix_match() - Begin a search for the topics of all prefixes of a key
 * @key:	the key, which must stay as long as @match
 * @match:	search to initialize
 *
 * Context: Caller is in a metastore_srcu read section until the end of the search.
 */
void metastore_prefix_match(const struct metastore_key *key,
			    struct metastore_trie_match *match)
{
	metastore_trie_match(&key->bucket->store->prefixes.trie, key->bytes, key->len,
			     match);
}

/**
 * metastore_prefix_next() - Go to the topic of the next longer prefix
 * @match:	the search
 *
 * Context: As metastore_prefix_match().
 * Return: The topic, or NULL.
 */
struct metastore_topic *metastore_prefix_next(struct metastore_trie_match *match)
{
	return topic_of_node(metastore_trie_next(match));
}

/**
 * metastore_walk_start() - Begin a walk of all subscriptions that an event reaches
 * @walk:	iterator to initialize
 * @key:	the key, which must stay as long as @walk
 * @topic:	its topic, or NULL
 * @prefixes:	whether to walk subscriptions to prefixes too
 *
 * The walk misses subscriptions that are added to a topic it is at or has passed.
 *
 * Context: Caller holds the bucket's lock. A walk with @prefixes, or that continues
 * without the lock, needs a metastore_srcu read section until its end.
 * Return: Whether there may be any; @walk->topic is the first topic then.
 */
bool metastore_walk_start(struct metastore_walk *walk, const struct metastore_key *key,
			  struct metastore_topic *topic, bool prefixes)
{
	lockdep_assert_held(&key->bucket->lock);
	walk->match.next = NULL;
	if (prefixes)
		metastore_prefix_match(key, &walk->match);
	walk_go_to(walk, topic ?: metastore_prefix_next(&walk->match));
	return walk->topic;
}

/**
 * metastore_walk_next_topic() - Go to the next topic
 * @walk:	the iterator; its topic is set
 *
 * Context: As metastore_walk_start().
 */
void metastore_walk_next_topic(struct metastore_walk *walk)
{
	walk_go_to(walk, metastore_prefix_next(&walk->match));
}

/**
 * metastore_subscribers() - Count the subscriptions that an event of a key can reach
 * @key:	the key
 *
 * Context: Caller holds the bucket's lock.
 * Return: Their number.
 */
u32 metastore_subscribers(const struct metastore_key *key)
{
	struct metastore_topic *topic = metastore_topic_of(key);
	struct metastore_trie_match match;
	u32 nr = topic ? topic->nr : 0;
	int section = srcu_read_lock(&metastore_srcu);

	metastore_prefix_match(key, &match);
	while ((topic = metastore_prefix_next(&match)))
		nr += READ_ONCE(topic->nr);
	srcu_read_unlock(&metastore_srcu, section);
	return nr;
}
