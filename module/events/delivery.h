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
 * struct metastore_notice - what the subscribers of a key are told
 * @key:	the key
 * @record:	the event, without subscription
 * @mask:	METASTORE_EVENT_* of which a subscriber must have asked for one
 * @former:	what the open file is subscribed to from which the value was
 *		stolen: it is told whatever it asked for. Only good for comparing.
 *		NULL: there is none
 * @reserved:	room that is reserved for it, or NULL
 */
struct metastore_notice {
	const struct metastore_key *key;
	struct metastore_record record;
	u32 mask;
	const struct metastore_subscriptions *former;
	struct metastore_reservations *reserved;
};

/**
 * struct metastore_delivery - an event on its way
 * @notice:	the event
 * @group:	the events that go with it, or NULL
 * @garbage:	takes values to be freed when the lock is released: of the one who holds
 *		it and goes on with this
 * @in_bucket:	in the bucket's list, when the lock is not held and there are
 *		subscribers left: nobody but its helpers changes the key
 * @walk:	how far it is
 * @section:	of metastore_srcu, if it has one, else negative
 * @queues:	how many queues took it, if there is no @group
 * @done:	there is nobody left
 *
 * Belongs to the publisher, which does not let go of it before it is done.
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
 * struct metastore_group_event - an event of a group
 * @notice:	the event
 * @queues:	how many queues took it
 */
struct metastore_group_event {
	struct metastore_notice notice;
	atomic_t queues;
};

/**
 * struct metastore_group - events that a queue gets one right behind the other
 * @id:		number of the transaction in its store, from 1
 * @nr:		number of @events
 * @events:	the events, each of another key
 */
struct metastore_group {
	u64 id;
	u32 nr;
	struct metastore_group_event events[METASTORE_ATOMIC_MAX];
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
 * metastore_key_lock - take the bucket's lock in order to change a key
 * @key:	the key
 * @garbage:	takes values to be freed when the lock is released
 *
 * Completes an earlier change's delivery of the same key, if one is under way.
 *
 * Context: may sleep. Returns with the bucket's lock held.
 */
static inline void metastore_key_lock(const struct metastore_key *key,
				      struct metastore_garbage *garbage)
	__acquires(&key->bucket->lock)
{
	spin_lock(&key->bucket->lock);
	/* Few have as many subscribers as that takes. */
	if (unlikely(!list_empty(&key->bucket->deliveries)))
		metastore_key_complete(key, garbage);
}

#endif /* METASTORE_DELIVERY_H */
