// SPDX-License-Identifier: GPL-2.0
/*
 * Discard events that wait, when their subscriber asks for it.
 *
 * Events of a subscription can be anywhere in the ring. So their positions are noted
 * instead: those ahead of @stale_until are stale. They are removed once they are the
 * oldest. Readers find none: they remove what is stale first, without the lock in between.
 * Until then such an event counts as pending, and against the queue's limits.
 */
#include <linux/sched.h>

#include "events/queue_priv.h"
#include "events/subscription.h"
#include "events/topic.h"

/* Events that are removed under one hold of the lock. */
#define TRIM_AT_ONCE	64

/* Discard the latest event of an exact key. */
static void queue_discard_latest(struct metastore_queue *queue, struct metastore_subscription *sub,
				 struct metastore_garbage *garbage)
{
	lockdep_assert_held(&queue->lock);
	queue_note_length(queue);
	queue->latest_size -= metastore_value_size(sub->latest.value);
	metastore_value_put_later(sub->latest.value, garbage);
	sub->latest.value = NULL;
	list_del_init(&sub->in_latest);
	queue->nr_latest--;
	/* FLUSHED may come behind one event more. */
	queue->flush_at_latest = min(queue->flush_at_latest, queue->nr_latest);
	queue_count_discarded(sub);
}

/*
 * Discard all events and losses that wait for a subscription. The caller must call
 * metastore_queue_trim() once it holds no lock.
 */
void metastore_queue_discard(struct metastore_queue *queue, struct metastore_subscription *sub,
			     struct metastore_garbage *garbage)
{
	lockdep_assert_held(&queue->lock);
	if (unlikely(queue->map))
		metastore_queue_map_withdraw(queue);
	sub->stale_until = queue->ring.head + queue->ring.len;
	queue->stale_until = sub->stale_until;
	if (sub->latest.value)
		queue_discard_latest(queue, sub, garbage);
	sub->untold = 0;
	list_del_init(&sub->lossy);
}

/**
 * metastore_queue_resync() - Discard the events of a subscription and begin a snapshot
 * @sub:	the subscription, which has not ended
 * @cursor:	cursor of the snapshot, from metastore_cursor_create(). The subscription
 *		takes it over
 * @garbage:	takes a value
 *
 * One step: each event is either discarded, and the snapshot has its value or a newer one,
 * or enqueued as the new cursor tells. The caller must call metastore_queue_trim() once it
 * holds no lock.
 *
 * Context: Caller holds the topic's lock and the file's; takes the queue's.
 */
void metastore_queue_resync(struct metastore_subscription *sub,
			    struct metastore_cursor *cursor,
			    struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = sub->queue;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	lockdep_assert_held(&sub->subs->lock);
	spin_lock(&queue->lock);
	metastore_queue_discard(queue, sub, garbage);
	if (sub->cursor)
		metastore_cursor_put(sub->cursor);
	sub->cursor = cursor;
	sub->snapshots++;
	queue_sub_note_plain(sub);
	if (list_empty(&sub->in_snapshots))
		list_add_tail(&sub->in_snapshots, &queue->snapshots);
	queue_announce(queue);
	spin_unlock(&queue->lock);
}

/* Check whether the oldest event of the ring is discarded, or passed by its program. */
static bool queue_oldest_is_over(const struct metastore_queue *queue)
{
	return queue_oldest_is_stale(queue) || (queue->map && queue_oldest_is_passed(queue));
}

/**
 * metastore_queue_trim_locked() - Remove events that are over until the oldest is not
 * @queue:	the queue
 *
 * Those that were discarded, and those that a program has passed in its mapped ring.
 *
 * Context: Process context, may sleep. Caller holds the queue's lock and no other, which
 * is released and taken again after each TRIM_AT_ONCE events.
 */
void metastore_queue_trim_locked(struct metastore_queue *queue)
	__must_hold(&queue->lock)
{
	struct metastore_garbage garbage = {};
	u32 i;

	lockdep_assert_held(&queue->lock);
	for (;;) {
		if (unlikely(queue->map))
			metastore_mapped_ring_look(queue->map);
		if (!queue_oldest_is_over(queue))
			break;
		for (i = 0; i < TRIM_AT_ONCE && queue_oldest_is_over(queue); i++)
			metastore_queue_drop_oldest(queue, &garbage);
		queue_room_came(queue);
		queue_sync(queue, QUEUE_SHOW_AT_ONCE);
		spin_unlock(&queue->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
		spin_lock(&queue->lock);
	}
}

/**
 * metastore_queue_trim() - Remove events that are over until the oldest is not
 * @queue:	the queue
 *
 * Context: Process context, may sleep; takes the queue's lock.
 */
void metastore_queue_trim(struct metastore_queue *queue)
{
	spin_lock(&queue->lock);
	metastore_queue_trim_locked(queue);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_take_in() - Count what a program has read in its mapped ring
 * @queue:	the queue
 *
 * Context: Process context, may sleep; takes the queue's lock.
 */
void metastore_queue_take_in(struct metastore_queue *queue)
{
	if (READ_ONCE(queue->map))
		metastore_queue_trim(queue);
}
