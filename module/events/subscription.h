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
 * struct metastore_subscriptions - what one open file is subscribed to
 * @store:	the store its subscriptions are about; never changes
 * @queue:	where their events go; never changes
 * @lock:	protects the rest
 * @tree:	struct metastore_subscription by key or prefix
 * @nr:		number of subscriptions
 * @group:	id of the last group of events that the file's queue was given
 */
struct metastore_subscriptions {
	struct metastore_store *store;
	struct metastore_queue *queue;
	spinlock_t lock;	/* see above */
	struct rb_root tree;
	u32 nr;
	u64 group;
};

/**
 * struct metastore_subscription - an open file's subscription to a key or prefix
 * @source:	the queue's side; that may outlive the rest
 * @events:	mask of METASTORE_EVENT_*; never changes
 * @topic:	what is subscribed to; never changes, and is there as long as this is
 *		in its list
 * @in_topic:	in the topic's list
 * @subs:	what the open file is subscribed to; never changes
 * @in_file:	in its tree
 * @since:	transactions of the store by the time that it began
 *
 * Entered and removed with the topic's lock and the file's held, so that who holds
 * either sees it in both or in none. Freed by way of metastore_srcu.
 */
struct metastore_subscription {
	struct metastore_source source;
	u32 events;
	struct metastore_topic *topic;
	struct list_head in_topic;
	struct metastore_subscriptions *subs;
	struct rb_node in_file;
	u64 since;
};

static_assert(offsetof(struct metastore_subscription, source) == 0);

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
			  const struct metastore_key *key);
bool metastore_subscription_next(struct metastore_subscriptions *subs,
				 struct metastore_key_buffer *at,
				 struct metastore_subscription_info *info);
int metastore_subscription_tell(struct metastore_subscriptions *subs,
				const struct metastore_key *key,
				struct metastore_subscription_info *info);
void metastore_subscription_flush_oldest(struct metastore_topic *topic);

#endif /* METASTORE_SUBSCRIPTION_H */
