/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_DELIVERY_H
#define METASTORE_DELIVERY_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/types.h>

#include "store/bucket.h"
#include "events/queue.h"
#include "events/topic.h"

struct metastore_reservations;
struct metastore_group;
struct metastore_subscriptions;

/**
 * struct metastore_notice - event for the subscribers of a key
 * @key:	the key
 * @record:	the event, without subscription
 * @mask:	METASTORE_EVENT_*; a subscriber must have asked for one of these
 * @former:	subscriptions of the open file that the value was stolen from. They get
 *		the event whatever their masks are. Only compared, never dereferenced.
 *		NULL: none
 * @reserved:	room reserved for the event, or NULL
 */
struct metastore_notice {
	const struct metastore_key *key;
	struct metastore_record record;
	u32 mask;
	const struct metastore_subscriptions *former;
	struct metastore_reservations *reserved;
};

/**
 * struct metastore_delivery - delivery of an event that is under way
 * @notice:	the event
 * @group:	events of the same transaction, or NULL
 * @garbage:	takes values to be freed after the unlock. Belongs to the task that
 *		holds the lock and runs the delivery.
 * @in_bucket:	entry in the bucket's list while subscribers are left and the lock may
 *		be released. The key is busy meanwhile: a writer of it completes the
 *		delivery first.
 * @walk:	subscriptions still to come
 * @section:	index of the metastore_srcu read section, negative if there is none
 * @queues:	number of subscriptions whose queue took the event; unused with a @group
 * @done:	whether no subscriber is left
 *
 * Owned by the publisher, which keeps it until @done. Protected by the bucket's lock.
 */
struct metastore_delivery {
	const struct metastore_notice *notice;
	struct metastore_group *group;
	struct metastore_garbage *garbage;
	struct list_head in_bucket;
	struct metastore_walk walk;
	int section;
	u32 queues;
	bool done;
};

/**
 * struct metastore_group_event - event of a group
 * @notice:	the event
 * @queues:	number of subscriptions whose queue took it. Atomic, since deliveries
 *		under other buckets' locks count here too.
 */
struct metastore_group_event {
	struct metastore_notice notice;
	atomic_t queues;
};

/**
 * struct metastore_group - events that each queue gets one right behind the other
 * @id:		number of the transaction in its store, from 1
 * @nr:		number of @events
 * @events:	events, each of another key
 */
struct metastore_group {
	u64 id;
	u32 nr;
	struct metastore_group_event *events;
};

void metastore_key_complete(const struct metastore_key *key,
			    struct metastore_garbage *garbage);
bool metastore_key_is_busy(const struct metastore_key *key);
bool metastore_key_hurry(const struct metastore_key *key, u32 nr,
			 struct metastore_garbage *garbage);

u32 metastore_deliver(const struct metastore_notice *notice, struct metastore_garbage *garbage);
void metastore_delivery_begin(struct metastore_delivery *delivery,
			      const struct metastore_notice *notice,
			      struct metastore_group *group);
void metastore_delivery_finish(struct metastore_delivery *delivery,
			       struct metastore_garbage *garbage);

/**
 * metastore_key_lock() - Take the bucket's lock in order to change a key
 * @key:	the key
 * @garbage:	takes values to be freed after the unlock
 *
 * If a delivery of the key's last event is under way, complete it first.
 *
 * Context: Process context, may sleep. Returns with the bucket's lock held.
 */
static inline void metastore_key_lock(const struct metastore_key *key,
				      struct metastore_garbage *garbage)
	__acquires(&key->bucket->lock)
{
	spin_lock(&key->bucket->lock);
	/* Rare: only long deliveries and those of transactions are listed. */
	if (unlikely(!list_empty(&key->bucket->deliveries)))
		metastore_key_complete(key, garbage);
}

#endif /* METASTORE_DELIVERY_H */
