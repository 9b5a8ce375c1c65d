/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the files about queues: queue.c (the whole, and its subscriptions),
 * queue_push.c (events come), queue_take.c (events go).
 */
#ifndef METASTORE_QUEUE_PRIV_H
#define METASTORE_QUEUE_PRIV_H

#include <linux/minmax.h>
#include <linux/poll.h>
#include <linux/wait.h>

#include "store/store.h"
#include "events/queue.h"

/* Is the event's place in the subscription itself? */
static inline bool queue_sub_has_place(const struct metastore_subscription *sub)
{
	return sub->flags & METASTORE_SUBSCRIBE_LATEST &&
	       !(sub->flags & METASTORE_SUBSCRIBE_PREFIX);
}

/* Are its events to be found in the ring? */
static inline bool queue_flags_are_indexed(u32 flags)
{
	return flags & METASTORE_SUBSCRIBE_LATEST && flags & METASTORE_SUBSCRIBE_PREFIX;
}

/* Notes whether its events need nothing but a place in the ring. */
static inline void queue_sub_note_plain(struct metastore_subscription *sub)
{
	sub->plain = !sub->cancelled && !sub->cursor && !sub->event_flags &&
		     !(sub->flags & METASTORE_SUBSCRIBE_LATEST);
}

/* Wakes every poller and one reader, if there are any. */
static inline void queue_wake(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	/*
	 * A sleeper enters itself in readers before it looks, under the lock
	 * held here, whether there is a record: either it sees the record, or
	 * it is seen. Pairs with read_wait_for_record() and metastore_poll().
	 */
	if (unlikely(waitqueue_active(&queue->readers)))
		wake_up_interruptible_poll(&queue->readers, EPOLLIN | EPOLLRDNORM);
}

/* There may be room where there was none. */
static inline void queue_room_came(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	if (!queue->room_wanted)
		return;
	queue->room_wanted = false;
	atomic64_inc(&queue->room->changes);
	wake_up_interruptible_all(&queue->room->waiters);
}

static inline void queue_count_untold(struct metastore_subscription *sub, u64 count)
{
	lockdep_assert_held(&sub->queue->lock);
	if (!sub->untold)
		list_add_tail(&sub->lossy, &sub->queue->lossy);
	sub->untold += count;
}

static inline void queue_count_lost(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	sub->books.lost++;
	sub->queue->books.lost++;
	queue_count_untold(sub, 1);
}

static inline void queue_count_conflated(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	sub->books.conflated++;
	sub->queue->books.conflated++;
}

/* Events that wait or are with a reader. */
static inline u64 queue_sub_pending(const struct metastore_subscription *sub)
{
	const struct metastore_books *books = &sub->books;

	lockdep_assert_held(&sub->queue->lock);
	return books->matched - books->delivered - books->conflated - books->lost;
}

/* The same of all subscriptions, not by the books but by what there is. */
static inline u64 queue_pending(const struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return (u64)queue->ring.len + queue->nr_latest + queue->nr_in_flight;
}

/* The bytes that an event counts while it waits; with a reader it is its true size. */
static inline u32 queue_charge(const struct metastore_queue *queue, u32 size)
{
	lockdep_assert_held(&queue->lock);
	return max(size, queue->min_charge);
}

/* Is there room for so many bytes more, if so many of the ring's are dropped? */
static inline bool queue_has_room(const struct metastore_queue *queue, u32 charge,
				  u64 dropped)
{
	lockdep_assert_held(&queue->lock);
	return queue->bytes - dropped + queue->latest_bytes + queue->reserved_bytes +
	       charge <= queue->max_bytes;
}

/*
 * To be called after a change of what it depends on. Nothing is simple where what has no
 * place is refused: room in the ring may be reserved.
 */
static inline void queue_note_fast_bytes(struct metastore_queue *queue)
{
	u64 taken = (u64)queue->latest_bytes + queue->reserved_bytes;

	queue->fast_bytes = queue->lossless || taken > queue->max_bytes ?
			    0 : queue->max_bytes - taken;
}

static inline void queue_reserve_latest(struct metastore_queue *queue, s32 bytes)
{
	lockdep_assert_held(&queue->lock);
	queue->latest_bytes += bytes;
	queue_note_fast_bytes(queue);
}

/* To be called before events are taken out: it was never longer than now, or noted. */
static inline void queue_note_length(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	queue->high_len = max(queue->high_len, queue->ring.len + queue->nr_latest);
}

/* Takes the oldest out of the ring, with the reference to its value. */
static inline void queue_remove_oldest(struct metastore_queue *queue)
{
	const struct metastore_value *value = metastore_ring_at(&queue->ring, 0)->value;

	lockdep_assert_held(&queue->lock);
	queue_note_length(queue);
	queue->bytes -= queue_charge(queue, metastore_value_size(value));
	metastore_ring_remove_oldest(&queue->ring);
	if (queue->flush_at)
		queue->flush_at--;
}

/* The subscription whose latest event has waited longest, of those with a place. */
static inline struct metastore_subscription *queue_first_latest(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return list_first_entry(&queue->latest, struct metastore_subscription, in_latest);
}

bool metastore_queue_make_room(struct metastore_queue *queue, u32 events, u32 charge,
			       struct metastore_garbage *garbage);
void metastore_queue_drop_oldest(struct metastore_queue *queue, struct metastore_garbage *garbage);
void metastore_queue_drain(struct metastore_queue *queue);
void metastore_queue_free_if_done(struct metastore_subscription *sub);

#endif /* METASTORE_QUEUE_PRIV_H */
