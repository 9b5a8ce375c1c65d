/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_SUBSCRIPTION_H
#define METASTORE_SUBSCRIPTION_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "bucket.h"
#include "queue.h"

struct metastore_group;
struct metastore_topic;

/**
 * struct metastore_notice - what the subscribers of a key are told
 * @record:	the event, without source
 * @former:	what the open file is subscribed to from which the value was
 *		stolen: it is told whatever it asked for. Only good for comparing.
 *		NULL: there is none
 */
struct metastore_notice {
	struct metastore_record record;
	const struct metastore_subscriptions *former;
};

/**
 * struct metastore_delivery - an event on its way to very many, or with others
 * @notice:	the event
 * @group:	the events that go with it, or NULL
 * @bookmark:	in the topic's list, behind those who have it
 * @queues:	how many queues took it, if there is no @group
 * @done:	there is nobody left
 *
 * Belongs to the publisher, which does not let go of it before it is done.
 */
struct metastore_delivery {
	const struct metastore_notice *notice;
	struct metastore_group *group;
	struct list_head bookmark;
	u32 queues;
	bool done;
};

/**
 * struct metastore_group_event - an event of a group
 * @key:	its key
 * @notice:	the event
 * @queues:	how many queues took it
 */
struct metastore_group_event {
	const struct metastore_key *key;
	struct metastore_notice notice;
	atomic_t queues;
};

/**
 * struct metastore_group - events that a queue gets one right behind the other
 * @id:		no other group of the store has it, and it is not 0
 * @nr:		number of @events
 * @events:	the events, each of another key
 */
struct metastore_group {
	u64 id;
	u32 nr;
	struct metastore_group_event events[METASTORE_ATOMIC_MAX];
};

/**
 * struct metastore_subscriptions - what one open file is subscribed to
 * @lock:	protects the rest
 * @tree:	struct metastore_subscription by key
 * @nr:		number of subscriptions
 * @group:	id of the last group of events that the file's queue was given
 */
struct metastore_subscriptions {
	spinlock_t lock;	/* see above */
	struct rb_root tree;
	u32 nr;
	u64 group;
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
struct metastore_topic *metastore_topic_find(const struct metastore_key *key, bool *busy);
bool metastore_topic_hurry(const struct metastore_key *key, u32 nr,
			   struct metastore_garbage *garbage);
u32 metastore_topic_deliver(struct metastore_bucket *bucket,
			    struct metastore_topic *topic,
			    const struct metastore_notice *notice,
			    struct metastore_garbage *garbage);
void metastore_topic_begin(struct metastore_topic *topic,
			   struct metastore_delivery *delivery);
void metastore_topic_finish(struct metastore_bucket *bucket,
			    struct metastore_topic *topic,
			    struct metastore_delivery *delivery,
			    struct metastore_garbage *garbage);
u64 metastore_topic_flush(const struct metastore_key *key);

#endif /* METASTORE_SUBSCRIPTION_H */
