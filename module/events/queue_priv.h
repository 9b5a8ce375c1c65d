/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Internals of the event queue, shared by queue.c (subscriptions), queue_limits.c,
 * queue_pollers.c, queue_push.c (enqueue), queue_reserve.c, queue_group.c, queue_take.c
 * (dequeue), queue_discard.c and queue_map.c.
 */
#ifndef METASTORE_QUEUE_PRIV_H
#define METASTORE_QUEUE_PRIV_H

#include <linux/minmax.h>
#include <linux/poll.h>
#include <linux/wait.h>

#include "base/trace.h"
#include "store/store.h"
#include "events/mapped_ring.h"
#include "events/queue.h"

/* Check whether the event waits in the subscription itself, not in the ring. */
static inline bool queue_sub_has_place(const struct metastore_subscription *sub)
{
	return sub->flags & METASTORE_SUBSCRIBE_LATEST &&
	       !(sub->flags & METASTORE_SUBSCRIBE_PREFIX);
}

/* Check whether the ring must index the events, so that newer ones find them. */
static inline bool queue_flags_are_indexed(u32 flags)
{
	return flags & METASTORE_SUBSCRIBE_LATEST && flags & METASTORE_SUBSCRIBE_PREFIX;
}

/* Update @plain after a change of its inputs. */
static inline void queue_sub_note_plain(struct metastore_subscription *sub)
{
	sub->plain = !sub->cancelled && !sub->cursor && !sub->event_flags &&
		     !(sub->flags & METASTORE_SUBSCRIBE_LATEST);
}

/* Wake one reader and the pollers, of which METASTORE_POLLERS here. */
static inline void queue_wake(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	/*
	 * A sleeper adds itself to @readers, then looks for a record under the lock
	 * that is held here. So it sees the record, or it is woken. Pairs with
	 * read_wait_for_record() and metastore_poll().
	 */
	if (unlikely(waitqueue_active(&queue->readers)))
		wake_up_interruptible_poll(&queue->readers, EPOLLIN | EPOLLRDNORM);
}

/*
 * Events that are shown in a mapped ring under one hold of the queue's lock, at most. By a push,
 * one more than it adds, so that those that had no room go. By a group, or without the bucket's
 * lock.
 */
#define QUEUE_SHOW_PUSHED	2
#define QUEUE_SHOW_AT_ONCE	64

/*
 * The fast path of a mapped queue lets that many events wait before it looks how far the program
 * is, and then removes as many.
 */
#define QUEUE_DELIVER_AT_ONCE	16

/* Passed events that a push removes: more than it adds, so that they go. */
#define QUEUE_REFRESH_PUSHED	4

void metastore_queue_map_sync(struct metastore_queue *queue, u32 max);
u32 metastore_queue_map_refresh(struct metastore_queue *queue, u32 max,
				struct metastore_garbage *garbage);

/* Show a program that has mapped the ring what is new. */
static inline void queue_sync(struct metastore_queue *queue, u32 max)
{
	lockdep_assert_held(&queue->lock);
	if (unlikely(queue->map))
		metastore_queue_map_sync(queue, max);
}

/* Remove some of the events that such a program has passed, and return their number. */
static inline u32 queue_refresh(struct metastore_queue *queue, u32 max,
				struct metastore_garbage *garbage)
{
	lockdep_assert_held(&queue->lock);
	return unlikely(queue->map) ? metastore_queue_map_refresh(queue, max, garbage) : 0;
}

/* Tell the reader of a record. */
static inline void queue_announce(struct metastore_queue *queue)
{
	queue_sync(queue, QUEUE_SHOW_PUSHED);
	queue_wake(queue);
}

/* Let a worker wake the publishers that wait for room. */
static inline void queue_room_came(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	if (!queue->room_wanted)
		return;
	queue->room_wanted = false;
	metastore_room_wake(queue->room);
}

static inline void queue_count_untold(struct metastore_subscription *sub, u64 count)
{
	lockdep_assert_held(&sub->queue->lock);
	if (!sub->untold)
		list_add_tail(&sub->lossy, &sub->queue->lossy);
	sub->untold += count;
}

/* Out of line, so that the fast path keeps its registers. */
void metastore_queue_trace_loss(const struct metastore_subscription *sub);

static inline void queue_count_lost(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	sub->books.lost++;
	sub->queue->books.lost++;
	queue_count_untold(sub, 1);
	if (trace_metastore_loss_enabled())
		metastore_queue_trace_loss(sub);
}

static inline void queue_count_delivered(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	sub->books.delivered++;
	sub->queue->books.delivered++;
}

static inline void queue_count_conflated(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	sub->books.conflated++;
	sub->queue->books.conflated++;
}

static inline void queue_count_discarded(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	sub->books.discarded++;
	sub->queue->books.discarded++;
}

/* Number of events that wait or are in flight. */
static inline u64 queue_sub_pending(const struct metastore_subscription *sub)
{
	const struct metastore_books *books = &sub->books;

	lockdep_assert_held(&sub->queue->lock);
	return books->matched - books->delivered - books->conflated - books->lost -
	       books->discarded;
}

/* The same for all subscriptions, counted from the contents instead of the books. */
static inline u64 queue_pending(const struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return (u64)queue->ring.len + queue->nr_latest + queue->nr_in_flight;
}

/* Charge of an event while it waits, in bytes. In flight it counts its true size. */
static inline u32 queue_charge(const struct metastore_queue *queue, u32 size)
{
	lockdep_assert_held(&queue->lock);
	return max(size, queue->min_charge);
}

/* The least charge of an event that waits, so that the bytes bound the events too. */
static inline u32 queue_min_charge(u32 max_bytes, u32 max_len)
{
	return max_bytes / (max_len + 1);
}

/* Check for room for @charge more bytes, if @dropped bytes of the ring are dropped. */
static inline bool queue_has_room(const struct metastore_queue *queue, u32 charge,
				  u64 dropped)
{
	lockdep_assert_held(&queue->lock);
	return queue->bytes - dropped + queue->latest_bytes + queue->reserved_bytes +
	       charge <= queue->max_bytes;
}

/*
 * Update @fast_bytes after a change of its inputs. A lossless queue has no fast path,
 * since room in its ring may be reserved. Nor has one that is mapped.
 */
static inline void queue_note_fast_bytes(struct metastore_queue *queue)
{
	u64 taken = (u64)queue->latest_bytes + queue->reserved_bytes;
	u64 left = taken > queue->max_bytes ? 0 : queue->max_bytes - taken;

	queue->fast_bytes = queue->lossless || queue->map ? 0 : left;
	if (!queue->map)
		return;
	queue->map->fast_bytes = left;
	queue->map->fast_len = queue->ring.max_len - queue->reserved_len;
	queue->map->deliver_len = min_t(u32, QUEUE_DELIVER_AT_ONCE, queue->map->fast_len);
	queue->map->image_len = queue->map->attention ? 0 : queue->map->deliver_len;
}

static inline void queue_reserve_latest(struct metastore_queue *queue, s32 bytes)
{
	lockdep_assert_held(&queue->lock);
	queue->latest_bytes += bytes;
	queue_note_fast_bytes(queue);
}

/*
 * Update @high_len. Called before events are removed: it may lag only while the queue
 * grows.
 */
static inline void queue_note_length(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	queue->high_len = max(queue->high_len, queue->ring.len + queue->nr_latest);
}

void metastore_queue_map_removed(struct metastore_queue *queue);
bool metastore_queue_map_claim(struct metastore_queue *queue, bool drop);

/* Remove the oldest event of the ring. The caller gets the reference to its value. */
static inline void queue_remove_oldest(struct metastore_queue *queue)
{
	const struct metastore_value *value = metastore_ring_at(&queue->ring, 0)->value;

	lockdep_assert_held(&queue->lock);
	queue_note_length(queue);
	queue->bytes -= queue_charge(queue, metastore_value_size(value));
	metastore_ring_remove_oldest(&queue->ring);
	if (queue->flush_at)
		queue->flush_at--;
	if (unlikely(queue->map))
		metastore_queue_map_removed(queue);
}

/* Check whether the program has passed the oldest event of the ring, as of the last look. */
static inline bool queue_oldest_is_passed(const struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return queue->ring.len && queue->ring.head < queue->map->passed;
}

void metastore_queue_trim_locked(struct metastore_queue *queue);

/* Check whether the ring may have discarded events. */
static inline bool queue_may_be_stale(const struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return unlikely(queue->ring.head < queue->stale_until);
}

/* Check whether the oldest event of the ring is discarded. */
static inline bool queue_oldest_is_stale(const struct metastore_queue *queue)
{
	const struct metastore_ring *ring = &queue->ring;

	return queue_may_be_stale(queue) && ring->len &&
	       ring->head < metastore_ring_at(ring, 0)->sub->stale_until;
}

/*
 * Lock the queue for a reader, who must not look at the ring before its events that are
 * discarded or passed are gone. May sleep.
 */
static inline void queue_lock_trimmed(struct metastore_queue *queue)
	__acquires(&queue->lock)
{
	spin_lock(&queue->lock);
	if (queue_may_be_stale(queue) || unlikely(queue->map))
		metastore_queue_trim_locked(queue);
}

/* The subscription whose latest event has waited longest, of a list that is not empty. */
static inline struct metastore_subscription *queue_first_latest(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return list_first_entry(&queue->latest, struct metastore_subscription, in_latest);
}

enum metastore_pushed
metastore_queue_make_room(struct metastore_queue *queue, u32 events, u32 charge,
			  u32 max_drops, struct metastore_garbage *garbage);
void metastore_queue_discard(struct metastore_queue *queue, struct metastore_subscription *sub,
			     struct metastore_garbage *garbage);
void metastore_queue_drop_oldest(struct metastore_queue *queue, struct metastore_garbage *garbage);
void metastore_queue_map_withdraw(struct metastore_queue *queue);
bool metastore_queue_map_wants_room(struct metastore_queue *queue);
void metastore_queue_init_crowd(struct metastore_queue *queue);
void metastore_queue_release_crowd(struct metastore_queue *queue);
void metastore_queue_drain(struct metastore_queue *queue);
void metastore_queue_free_if_done(struct metastore_subscription *sub);

#endif /* METASTORE_QUEUE_PRIV_H */
