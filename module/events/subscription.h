/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_SUBSCRIPTION_H
#define METASTORE_SUBSCRIPTION_H

#include <linux/bitmap.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "events/queue.h"
#include "events/topic.h"

/**
 * struct metastore_given - how far an open file has got the events of a transaction
 * @id:		id of the transaction, from 1; 0: none yet
 * @event:	index of the event that comes next
 * @step:	0: to its subscription to the key itself; otherwise to that to a prefix, the
 *		first of at least @step - 1 bytes
 * @latest:	whether conflating subscriptions have their turn
 * @passed_over: whether there are conflating subscriptions
 * @whole:	whether it has got all
 */
struct metastore_given {
	u64 id;
	u16 event;
	u16 step;
	bool latest;
	bool passed_over;
	bool whole;
};

/**
 * struct metastore_subscriptions - subscriptions of one open file
 * @store:	store of the keys. Immutable.
 * @queue:	queue of the events. Immutable.
 * @lock:	protects all other members
 * @tree:	struct metastore_subscription by key or prefix
 * @topics:	the same by address of their topic
 * @nr:		number of subscriptions. Also read without @lock.
 * @nr_prefixes: number of those to prefixes
 * @lengths:	lengths of these prefixes
 * @given:	for each slot of transactions, what the queue got of the last one's events
 * @id:		number of the open file. Immutable.
 * @refs:	references: of the open file and of each of its subscriptions, also those that
 *		ended
 * @release:	frees the open file once the last reference is gone. Immutable. Called in any
 *		context.
 */
struct metastore_subscriptions {
	struct metastore_store *store;
	struct metastore_queue *queue;
	spinlock_t lock;	/* see above */
	struct rb_root tree;
	struct rb_root topics;
	u32 nr;
	u32 nr_prefixes;
	DECLARE_BITMAP(lengths, METASTORE_KEY_MAX + 1);
	struct metastore_given given[METASTORE_TXN_SLOTS];
	u64 id;
	struct kref refs;
	void (*release)(struct kref *refs);
};

void metastore_subscriptions_init(struct metastore_subscriptions *subs,
				  struct metastore_store *store,
				  struct metastore_queue *queue, u64 id,
				  void (*release)(struct kref *refs));
void metastore_subscriptions_put(struct metastore_subscriptions *subs);
void metastore_subscriptions_destroy(struct metastore_subscriptions *subs);
struct metastore_subscription *
metastore_subscription_find(const struct metastore_subscriptions *subs,
			    const struct metastore_key *key);
struct metastore_subscription *
metastore_subscription_of_topic(const struct metastore_subscriptions *subs,
				const struct metastore_topic *topic);
int metastore_subscribe(struct metastore_subscriptions *subs,
			const struct metastore_key *key,
			const struct metastore_subscribe *args);
int metastore_unsubscribe(struct metastore_subscriptions *subs,
			  const struct metastore_key *key, bool discard);
int metastore_resync(struct metastore_subscriptions *subs, const struct metastore_key *key,
		     const struct metastore_subscribe *args);
bool metastore_subscription_next(struct metastore_subscriptions *subs,
				 struct metastore_key_buffer *at,
				 struct metastore_subscription_info *info);
int metastore_subscription_tell(struct metastore_subscriptions *subs,
				const struct metastore_key *key,
				struct metastore_subscription_info *info);
void metastore_subscriptions_need_room(struct metastore_subscriptions *subs);
void metastore_subscription_unlink(struct metastore_subscription *sub);
bool metastore_subscription_flush_oldest(struct metastore_topic *topic);

#endif /* METASTORE_SUBSCRIPTION_H */
