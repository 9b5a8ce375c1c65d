/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TOPIC_H
#define METASTORE_TOPIC_H

#include <linux/bitops.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>

#include "base/table.h"
#include "base/trie.h"
#include "store/store.h"

struct metastore_subscription;

/*
 * Protects readers that do not hold the lock of what they walk, such as long
 * deliveries. Subscriptions, topics, cursors and open files stay until the end of their
 * read section.
 */
extern struct srcu_struct metastore_srcu;

/* Read section that ends in another function, which sparse cannot follow. */
static inline int metastore_section_begin(void)
{
	int section = srcu_read_lock(&metastore_srcu);

	__release(&metastore_srcu);
	return section;
}

static inline void metastore_section_end(int section)
{
	__acquire(&metastore_srcu);
	srcu_read_unlock(&metastore_srcu, section);
}

/**
 * struct metastore_topic - key or prefix that has subscriptions
 * @subs:	list of struct metastore_subscription, newest first
 * @nr:		number of subscriptions. Prefix: also read without the lock.
 * @rcu:	for freeing after a grace period
 * @bucket:	bucket of the key; NULL: the topic is a prefix. Immutable.
 * @store:	store it belongs to. Immutable.
 *
 * A topic exists as long as it has subscriptions. The topic of a prefix also exists
 * while longer prefixes branch off there. A struct metastore_key without a bucket names
 * a prefix, which may be empty.
 *
 * Protected by the bucket's lock, or for a prefix by that of all prefixes of the store.
 * A walk of @subs needs the bucket's lock and a key's topic, or else a metastore_srcu
 * read section: removed entries stay until the end of the section.
 */
struct metastore_topic {
	struct list_head subs;
	u32 nr;
	struct rcu_head rcu;
	struct metastore_bucket *bucket;
	struct metastore_store *store;
};

/**
 * struct metastore_walk - iterator over all subscriptions that an event reaches
 * @topic:	present topic; NULL: the end
 * @at:		subscription returned last, or the head of the list
 * @match:	prefixes still to come
 */
struct metastore_walk {
	struct metastore_topic *topic;
	struct list_head *at;
	struct metastore_trie_match match;
};

struct metastore_topic *metastore_topic_create(struct metastore_store *store,
					       const struct metastore_key *key);
struct metastore_topic *metastore_topic_find(struct metastore_store *store,
					     const struct metastore_key *key);
struct metastore_topic *metastore_topic_of(const struct metastore_key *key);
bool metastore_topic_has_room(const struct metastore_topic *topic,
			      struct metastore_preload *preload);
void metastore_topic_insert(struct metastore_topic *topic, struct metastore_topic **fork,
			    struct metastore_preload *preload);
void metastore_topic_free_if_unused(struct metastore_topic *topic);
spinlock_t *metastore_topic_lock(const struct metastore_topic *topic);
void metastore_topic_key(const struct metastore_topic *topic, struct metastore_key *key);
struct metastore_topic *metastore_topic_under(struct metastore_store *store,
					      const u8 *prefix, u32 len);

void metastore_prefix_match(const struct metastore_key *key,
			    struct metastore_trie_match *match);
struct metastore_topic *metastore_prefix_next(struct metastore_trie_match *match);

bool metastore_walk_start(struct metastore_walk *walk, const struct metastore_key *key,
			  struct metastore_topic *topic, bool prefixes);
void metastore_walk_next_topic(struct metastore_walk *walk);
u32 metastore_subscribers(const struct metastore_key *key);

/**
 * metastore_walk_next() - Go to the next subscription
 * @walk:	the iterator
 *
 * Context: As metastore_walk_start().
 * Return: The subscription's in_topic, or NULL. The subscription may have ended
 * meanwhile.
 */
static inline struct list_head *metastore_walk_next(struct metastore_walk *walk)
{
	while (walk->topic) {
		walk->at = rcu_dereference_raw(list_next_rcu(walk->at));
		if (walk->at != &walk->topic->subs)
			return walk->at;
		metastore_walk_next_topic(walk);
	}
	return NULL;
}

/* Check for subscriptions to any prefix. Without the prefixes' lock it is a hint. */
static inline bool metastore_has_prefixes(const struct metastore_prefixes *prefixes)
{
	return rcu_access_pointer(prefixes->trie.root);
}

/*
 * Check for subscriptions to a prefix of the key. May be true without one; the first
 * byte of most keys rules it out.
 */
static inline bool metastore_may_have_prefix(const struct metastore_prefixes *prefixes,
					     const struct metastore_key *key)
{
	return metastore_has_prefixes(prefixes) &&
	       (READ_ONCE(prefixes->any) || test_bit(key->bytes[0], prefixes->first));
}

#endif /* METASTORE_TOPIC_H */
