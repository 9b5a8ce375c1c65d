/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_DELIVERY_H
#define METASTORE_DELIVERY_H

#include <linux/atomic.h>
#include <linux/refcount.h>
#include <linux/types.h>

#include "store/bucket.h"
#include "events/notice.h"
#include "events/queue.h"
#include "events/subscription.h"
#include "events/turn.h"
#include "events/walk.h"

/*
 * Deliveries under one hold of the bucket's lock. A writer that completes an earlier
 * delivery before its own makes twice as many.
 *
 * One delivery costs some 60 to 350 instructions, and some 60 for each older event that
 * it drops, METASTORE_DROPS_AT_ONCE at most, or that the program of a mapped ring has passed,
 * 16 at most.
 */
#define METASTORE_CHUNK		64

struct metastore_reservations;
struct metastore_group;

/**
 * struct metastore_delivery - delivery of an event that is under way
 * @notice:	the event
 * @group:	events of the same transaction, or NULL
 * @garbage:	takes values to be freed after the unlock. Belongs to the task that
 *		holds the lock and runs the delivery.
 * @turn:	in the bucket's tree while subscribers are left and the lock may be released.
 *		The key is busy meanwhile: a writer of it completes the delivery first.
 * @walk:	subscriptions still to come; paused while the lock is released
 * @queues:	number of subscriptions whose queue took the event; unused with a @group
 * @tried:	subscription whose queue must drop many events for this one, or NULL. Only
 *		compared.
 * @tries:	pushes to it
 * @done:	whether no subscriber is left
 *
 * Owned by the publisher, which keeps it until @done. Protected by the bucket's lock.
 */
struct metastore_delivery {
	const struct metastore_notice *notice;
	struct metastore_group *group;
	struct metastore_garbage *garbage;
	struct metastore_turn turn;
	struct metastore_walk walk;
	u32 queues;
	const struct metastore_subscription *tried;
	u32 tries;
	bool done;
};

/**
 * struct metastore_group_event - event of a group
 * @notice:	the event
 * @topic:	the key's topic when the event was made, or NULL. Only compared.
 * @delivery:	its delivery
 * @queues:	number of subscriptions whose queue took it. Atomic, since deliveries
 *		under other buckets' locks count here too.
 */
struct metastore_group_event {
	struct metastore_notice notice;
	const struct metastore_topic *topic;
	struct metastore_delivery delivery;
	atomic_t queues;
};

/**
 * struct metastore_group - events that each queue gets one right behind the other
 * @id:		number of the transaction in its store, from 1
 * @slot:	index of its slot in the store
 * @payer:	number of the user that runs the transaction
 * @nr:		number of @events
 * @left:	deliveries that are not complete, and 1 until all have begun
 * @begun:	whether all deliveries have begun, so that others may help. Protected by the
 *		lock of the store's transactions.
 * @events:	events, each of another key
 * @refs:	references: of the transaction, and of those that help it
 * @free:	frees the group once the last reference is gone. May sleep.
 */
struct metastore_group {
	u64 id;
	u32 slot;
	u32 payer;
	u32 nr;
	atomic_t left;
	bool begun;
	struct metastore_group_event *events;
	refcount_t refs;
	void (*free)(struct metastore_group *group);
};

void metastore_key_complete(const struct metastore_key *key,
			    struct metastore_garbage *garbage);
bool metastore_key_is_busy(const struct metastore_key *key);
void metastore_key_help(const struct metastore_key *key);

u32 metastore_deliver(const struct metastore_notice *notice, struct metastore_garbage *garbage);
void metastore_delivery_begin(struct metastore_group *group, struct metastore_group_event *event);
void metastore_delivery_finish(struct metastore_delivery *delivery,
			       struct metastore_garbage *garbage);

bool metastore_group_begin(struct metastore_store *store, struct metastore_group *group);
void metastore_group_publish(struct metastore_store *store, struct metastore_group *group);
u32 metastore_group_give(struct metastore_group *group, struct metastore_subscriptions *subs,
			 struct metastore_garbage *garbage, bool *whole);
void metastore_group_settle(struct metastore_store *store, struct metastore_group *group);
void metastore_group_deliver(struct metastore_group *group);
void metastore_group_help(struct metastore_store *store, const struct metastore_group *group);
void metastore_group_put(struct metastore_group *group);

/* Check whether a subscription asked for an event, or gets it as that of the former owner. */
static inline bool metastore_notice_is_wanted(const struct metastore_notice *notice,
					      const struct metastore_subscription *sub)
{
	return sub->events & notice->mask || (notice->former && sub->subs->id == notice->former);
}

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
	/* Rare: only long deliveries and those of transactions have a turn. */
	if (unlikely(!RB_EMPTY_ROOT(&key->bucket->turns)))
		metastore_key_complete(key, garbage);
}

#endif /* METASTORE_DELIVERY_H */
