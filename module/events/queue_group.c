// SPDX-License-Identifier: GPL-2.0
/* Enqueue the events of a group, one right behind the other. */
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>

#include "events/queue_push.h"
#include "events/queue_push_priv.h"

/* Events that a queue drops for a part of a group, and bytes that it copies of them. */
#define GROUP_DROPS	256
#define GROUP_COPIES	SZ_512K

/**
 * metastore_queue_push_begin() - Begin to enqueue events one right behind the other
 * @group:	state to initialize
 * @queue:	the queue
 * @latest:	whether conflating subscriptions have their turn, or the others
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds a bucket's lock. Takes the queue's, which
 * metastore_queue_push_end() releases.
 */
void metastore_queue_push_begin(struct metastore_push_group *group,
				struct metastore_queue *queue, bool latest,
				struct metastore_garbage *garbage)
	__acquires(&queue->lock)
{
	spin_lock(&queue->lock);
	*group = (struct metastore_push_group) {
		.queue = queue,
		.garbage = garbage,
		.latest = latest,
	};
	group->passed = queue_refresh(queue, GROUP_DROPS, garbage);
}

/**
 * metastore_queue_has_turn() - Check whether a subscription has its turn
 * @group:	the events
 * @sub:	the subscription
 *
 * Return: Whether it conflates, if @group is for those that do; else whether it does not.
 */
bool metastore_queue_has_turn(struct metastore_push_group *group,
			      const struct metastore_subscription *sub)
{
	bool latest = sub->flags & METASTORE_SUBSCRIBE_LATEST;

	group->passed_over |= latest;
	return latest == group->latest;
}

/**
 * metastore_queue_push_next() - Enqueue one event of a group
 * @group:	the events
 * @sub:	the subscription
 * @key:	key of the event
 * @event:	the event; the queue takes a reference of its own to its value
 *
 * Set METASTORE_EVENT_F_MORE in all events that the queue takes, except the last one
 * and those of conflating subscriptions. The events of a group cannot be pushed again
 * later, since they are adjacent: beyond GROUP_DROPS older ones, or GROUP_COPIES, they are
 * lost themselves.
 *
 * Return: Whether the queue took it.
 */
bool metastore_queue_push_next(struct metastore_push_group *group,
			       struct metastore_subscription *sub,
			       const struct metastore_key *key,
			       const struct metastore_record *event)
{
	const struct queue_push push = {
		.key = key,
		.event = event,
		.size = metastore_value_size(event->value),
		.max_drops = GROUP_DROPS - min(group->drops, (u32)GROUP_DROPS),
		.no_copy = group->copied > GROUP_COPIES,
		.garbage = group->garbage,
	};
	struct metastore_ring *ring = &group->queue->ring;
	u64 head = ring->head, delivered = group->queue->books.delivered;
	enum metastore_pushed pushed;

	lockdep_assert_held(&group->queue->lock);
	/* First: in place of a copied value its reference goes. */
	metastore_value_get(event->value);
	pushed = metastore_queue_push_one(group->queue, sub, &push);
	/* Events that a program has passed in its mapped ring were not dropped. */
	delivered = group->queue->books.delivered - delivered;
	group->passed += delivered;
	group->drops += ring->head - head - delivered;
	if (pushed == METASTORE_PUSH_COPIED)
		group->copied += push.size + METASTORE_COPY_COST;
	if (pushed == METASTORE_PUSH_AGAIN) {
		sub->books.matched++;
		queue_count_lost(sub);
	}
	if (!metastore_push_was_taken(pushed)) {
		metastore_value_put_some(event->value, 1);
		return false;
	}
	group->nr++;
	if (group->latest)
		return true;
	/* The previous one may have been dropped for this one. */
	if (group->more && ring->len > 1)
		metastore_ring_at(ring, ring->len - 2)->flags |= METASTORE_EVENT_F_MORE;
	group->more = true;
	return true;
}

/**
 * metastore_queue_push_end() - End a group of events and wake readers
 * @group:	the events
 *
 * Context: Releases the queue's lock.
 */
void metastore_queue_push_end(struct metastore_push_group *group)
	__releases(&group->queue->lock)
{
	lockdep_assert_held(&group->queue->lock);
	/* Of those beyond, the attention tells. */
	queue_sync(group->queue, QUEUE_SHOW_AT_ONCE);
	queue_wake(group->queue);
	spin_unlock(&group->queue->lock);
}
