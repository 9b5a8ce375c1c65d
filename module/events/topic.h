/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TOPIC_H
#define METASTORE_TOPIC_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/table.h"
#include "store/store.h"

/* No number of a memory cgroup */
#define METASTORE_CGROUPS_DIFFER		U32_MAX

/**
 * struct metastore_topic - key or prefix that has subscriptions
 * @subs:	list of struct metastore_subscription, newest first
 * @nr:		number of subscriptions. Prefix: also read without the lock.
 * @len:	length of @subs, which may also have some that ended, see
 *		metastore_walk_pause()
 * @cgroup:	number of the memory cgroup that pays for the queues of all subscriptions;
 *		METASTORE_CGROUPS_DIFFER: there are several. Prefix: also read without the lock.
 * @refs:	references: of the table and of each subscription
 * @rcu:	for dropping the table's reference after a grace period
 * @bucket:	bucket of the key; NULL: the topic is a prefix. Immutable.
 * @store:	store it belongs to. Immutable.
 * @node:	node of the bucket's table of topics, or of that of the store's prefixes
 *
 * A topic is in its table as long as @subs has entries. A struct metastore_key without a
 * bucket names a prefix, which may be empty.
 *
 * Protected by the bucket's lock, or for a prefix by that of all prefixes of the store.
 * A key's topic is walked under the bucket's lock, a prefix's in an RCU read section.
 */
struct metastore_topic {
	struct list_head subs;
	u32 nr;
	u32 len;
	u32 cgroup;
	refcount_t refs;
	struct rcu_head rcu;
	struct metastore_bucket *bucket;
	struct metastore_store *store;
	struct metastore_node node;
};

static inline struct metastore_topic *metastore_topic_of_node(struct metastore_node *node)
{
	return node ? container_of(node, struct metastore_topic, node) : NULL;
}

struct metastore_topic *metastore_topic_create(struct metastore_store *store,
					       const struct metastore_key *key);
struct metastore_topic *metastore_topic_get(struct metastore_topic *topic);
void metastore_topic_put(struct metastore_topic *topic);
struct metastore_topic *metastore_topic_find(struct metastore_store *store,
					     const struct metastore_key *key);
struct metastore_topic *metastore_topic_of(const struct metastore_key *key);
struct metastore_table *metastore_topic_table(const struct metastore_topic *topic);
void metastore_topic_insert(struct metastore_topic *topic, struct metastore_preload *preload);
void metastore_topic_remove_if_unused(struct metastore_topic *topic);
spinlock_t *metastore_topic_lock(const struct metastore_topic *topic);
void metastore_topic_key(const struct metastore_topic *topic, struct metastore_key *key);
u32 metastore_subscribers(const struct metastore_key *key);

#endif /* METASTORE_TOPIC_H */
