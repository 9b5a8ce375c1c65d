/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_SUBSCRIPTION_H
#define METASTORE_SUBSCRIPTION_H

#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "bucket.h"
#include "queue.h"

struct metastore_topic;

/**
 * struct metastore_subscriptions - what one open file is subscribed to
 * @lock:	protects the rest
 * @tree:	struct metastore_subscription by key
 * @nr:		number of subscriptions
 */
struct metastore_subscriptions {
	spinlock_t lock;	/* see above */
	struct rb_root tree;
	u32 nr;
};

void metastore_subscriptions_init(struct metastore_subscriptions *subs);
void metastore_subscriptions_destroy(struct metastore_subscriptions *subs);
int metastore_subscribe(struct metastore_subscriptions *subs,
			struct metastore_queue *queue,
			const struct metastore_key *key, u32 events, u64 cookie);
int metastore_unsubscribe(struct metastore_subscriptions *subs,
			  const struct metastore_key *key);

u32 metastore_topic_subscribers(const struct metastore_key *key);
struct metastore_topic *metastore_topic_lock(const struct metastore_key *key,
					     struct metastore_garbage *garbage)
	__acquires(&key->bucket->lock);
u32 metastore_topic_deliver(struct metastore_bucket *bucket,
			    struct metastore_topic *topic,
			    const struct metastore_record *event,
			    struct metastore_garbage *garbage);
u64 metastore_topic_flush(const struct metastore_key *key);

#endif /* METASTORE_SUBSCRIPTION_H */
