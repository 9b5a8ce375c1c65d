/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_SUBSCRIPTION_H
#define METASTORE_SUBSCRIPTION_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "events/queue.h"
#include "events/topic.h"

struct metastore_store;

/**
 * struct metastore_subscriptions - subscriptions of one open file
 * @store:	store of the keys. Immutable.
 * @queue:	queue of the events. Immutable.
 * @lock:	protects all other members
 * @tree:	struct metastore_subscription by key or prefix
 * @nr:		number of subscriptions. Also read without @lock.
 * @group:	id of the last group of events that the queue got
 */
struct metastore_subscriptions {
	struct metastore_store *store;
	struct metastore_queue *queue;
	spinlock_t lock;	/* see above */
	struct rb_root tree;
	u32 nr;
	u64 group;
};

void metastore_subscriptions_init(struct metastore_subscriptions *subs,
				  struct metastore_store *store,
				  struct metastore_queue *queue);
void metastore_subscriptions_destroy(struct metastore_subscriptions *subs);
struct metastore_subscription *
metastore_subscription_find(const struct metastore_subscriptions *subs,
			    const struct metastore_key *key);
int metastore_subscribe(struct metastore_subscriptions *subs,
			const struct metastore_key *key,
			const struct metastore_subscribe *args);
int metastore_unsubscribe(struct metastore_subscriptions *subs,
			  const struct metastore_key *key, bool discard);
int metastore_resync(struct metastore_subscriptions *subs, const struct metastore_key *key);
bool metastore_subscription_next(struct metastore_subscriptions *subs,
				 struct metastore_key_buffer *at,
				 struct metastore_subscription_info *info);
int metastore_subscription_tell(struct metastore_subscriptions *subs,
				const struct metastore_key *key,
				struct metastore_subscription_info *info);
void metastore_subscription_flush_oldest(struct metastore_topic *topic);

#endif /* METASTORE_SUBSCRIPTION_H */
