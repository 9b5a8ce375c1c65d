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
 * Deliveries that do not hold the lock of what they are at: subscriptions, topics and
 * open files that they may be on stay until the end of their section.
 */
extern struct srcu_struct metastore_srcu;

/* A section of metastore_srcu that ends in another function: sparse cannot follow. */
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
 * struct metastore_topic - what can be subscribed to: a key, or a prefix of keys
 * @subs:	struct metastore_subscription, the newest first
 * @nr:		their number
 * @rcu:	for freeing
 * @bucket:	where the key belongs; NULL: it is a prefix
 * @store:	whose it is
 *
 * Exists as long as it has subscriptions, and one of a prefix also as long as
 * prefixes part there. In what is told of a topic, a struct metastore_key without a
 * bucket is a prefix, and may be empty.
 * Changed with its lock held, which is the bucket's or that of all the
 * store's prefixes. Whoever walks @subs holds the bucket's lock and stays on a key's
 * topic, or else is in a section of metastore_srcu: what is taken out stays until the
 * end of that.
 */
struct metastore_topic {
	struct list_head subs;
	u32 nr;
	struct rcu_head rcu;
	struct metastore_bucket *bucket;
	struct metastore_store *store;
};

/**
 * struct metastore_walk - over all subscriptions that an event of a key reaches
 * @topic:	the topic it is at, or NULL
 * @at:		the subscription last returned, or the head of the list
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
 * metastore_walk_next - go to the next subscription
 * @walk:	where it is
 *
 * Context: as metastore_walk_start().
 * Return: the subscription's in_topic, which may have ended meanwhile, or NULL.
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

/* Are there subscriptions to prefixes? Who does not want to know exactly needs no lock. */
static inline bool metastore_has_prefixes(const struct metastore_prefixes *prefixes)
{
	return rcu_access_pointer(prefixes->trie.root);
}

/* May there be one that the key begins with? Most are told apart by their first byte. */
static inline bool metastore_may_have_prefix(const struct metastore_prefixes *prefixes,
					     const struct metastore_key *key)
{
	return metastore_has_prefixes(prefixes) &&
	       (READ_ONCE(prefixes->any) || test_bit(key->bytes[0], prefixes->first));
}

#endif /* METASTORE_TOPIC_H */
