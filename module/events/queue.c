// SPDX-License-Identifier: GPL-2.0
/*
 * The event queue of an open file. It holds references to values and is bounded in
 * events and in bytes. Push, drop and loss allocate nothing.
 *
 * This file has the limits of a queue. It also has the queue's part of a subscription:
 * its beginning, its books and its end.
 */
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "store/store.h"
#include "events/cursor.h"
#include "events/queue_priv.h"
#include "events/topic.h"

/**
 * metastore_room_needed() - Announce that a further queue may need room reserved
 * @room:	the store's
 *
 * Publishers with reservations then reserve anew. Call this before a queue becomes
 * lossless, or gets a subscription while it is lossless.
 */
void metastore_room_needed(struct metastore_room *room)
{
	atomic64_inc(&room->epoch);
	/* Pairs with the bucket's lock held in metastore_reservations_are_all(). */
	smp_mb__after_atomic();
}

static u32 queue_min_charge(u32 max_bytes, u32 max_len)
{
	return max_bytes / (max_len + 1);
}

/**
 * metastore_queue_init() - Initialize an empty queue
 * @queue:	the queue, zeroed
 * @limits:	the store's limits
 * @room:	wait state of the store's publishers, woken when room appears
 */
void metastore_queue_init(struct metastore_queue *queue,
			  const struct metastore_limits *limits,
			  struct metastore_room *room)
{
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->readers);
	INIT_LIST_HEAD(&queue->lossy);
	INIT_LIST_HEAD(&queue->latest);
	INIT_LIST_HEAD(&queue->snapshots);
	queue->room = room;
	queue->ring.max_len = limits->queue_len;
	queue->max_bytes = limits->queue_bytes;
	queue->min_charge = queue_min_charge(limits->queue_bytes, limits->queue_len);
	queue_note_fast_bytes(queue);
	queue->place_bytes = METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD +
			     METASTORE_KEY_MAX + limits->max_value;
}

/*
 * Shape of a queue's ring. A new ring is allocated without the lock; comparing shapes
 * tells whether it still fits.
 */
struct queue_shape {
	u32 max_len;
	bool allocated;
	bool indexed;
};

static struct queue_shape queue_shape_of(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return (struct queue_shape) {
		.max_len = queue->ring.max_len,
		.allocated = queue->ring.records,
		.indexed = queue->ring.index,
	};
}

static struct queue_shape queue_look_at_shape(struct metastore_queue *queue)
{
	struct queue_shape shape;

	spin_lock(&queue->lock);
	shape = queue_shape_of(queue);
	spin_unlock(&queue->lock);
	return shape;
}

/* Check that the shape did not change while the lock was released. */
static bool queue_has_shape(struct metastore_queue *queue, const struct queue_shape *shape)
{
	struct queue_shape now = queue_shape_of(queue);

	lockdep_assert_held(&queue->lock);
	return now.max_len == shape->max_len && now.allocated == shape->allocated &&
	       now.indexed == shape->indexed;
}

static int queue_create_ring(struct metastore_ring *ring, const struct queue_shape *shape)
{
	*ring = (struct metastore_ring) { .max_len = shape->max_len };
	return shape->allocated ?
	       metastore_ring_create(ring, shape->max_len, shape->indexed) : 0;
}

/* Move all waiting events to a new ring. @ring gets the old one. */
static void queue_move_to(struct metastore_queue *queue, struct metastore_ring *ring)
{
	struct metastore_record *record;
	u32 i;

	lockdep_assert_held(&queue->lock);
	ring->head = queue->ring.head;
	for (i = 0; i < queue->ring.len; i++) {
		record = metastore_ring_append(ring);
		*record = *metastore_ring_at(&queue->ring, i);
		if (queue_flags_are_indexed(record->sub->flags) &&
		    ring->head + i >= record->sub->stale_until)
			metastore_ring_index(ring, record);
	}
	swap(queue->ring, *ring);
}

/**
 * metastore_queue_prepare() - Allocate the ring that a subscription needs
 * @queue:	the queue
 * @flags:	METASTORE_SUBSCRIBE_*
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or -EBUSY if more than METASTORE_QUEUE_MOVE_MAX events would be
 * moved under the lock.
 */
int metastore_queue_prepare(struct metastore_queue *queue, u32 flags)
{
	struct queue_shape is, wanted;
	struct metastore_ring ring;
	int err;

	for (;;) {
		is = queue_look_at_shape(queue);
		wanted = is;
		wanted.allocated = true;
		wanted.indexed |= queue_flags_are_indexed(flags);
		if (is.allocated && is.indexed == wanted.indexed)
			return 0;
		err = queue_create_ring(&ring, &wanted);
		if (err)
			return err;
		spin_lock(&queue->lock);
		if (queue_has_shape(queue, &is)) {
			if (queue->ring.len > METASTORE_QUEUE_MOVE_MAX)
				err = -EBUSY;
			else
				queue_move_to(queue, &ring);
		}
		spin_unlock(&queue->lock);
		metastore_ring_free(&ring);
		if (err)
			return err;
	}
}

/* Value of @bytes if the least charge of an event were @charge. */
static u64 queue_bytes_with(struct metastore_queue *queue, u32 charge)
{
	u64 bytes = queue->in_flight;
	u32 i;

	lockdep_assert_held(&queue->lock);
	for (i = 0; i < queue->ring.len; i++)
		bytes += max(metastore_value_size(metastore_ring_at(&queue->ring, i)->value),
			     charge);
	return bytes;
}

/* Apply limits, policy and a new ring. Return 0, -ENOBUFS or -EBUSY. */
static int queue_reconfigure(struct metastore_queue *queue, struct metastore_ring *ring,
			     u32 max_bytes, bool lossless, struct metastore_garbage *garbage)
{
	u32 charge = queue_min_charge(max_bytes, ring->max_len);
	u64 bytes;

	lockdep_assert_held(&queue->lock);
	if (queue->latest_bytes > max_bytes / 2)
		return -ENOBUFS;
	if (queue->ring.len > METASTORE_QUEUE_MOVE_MAX)
		return -EBUSY;
	bytes = queue_bytes_with(queue, charge);
	if (lossless && (queue->ring.len + queue->reserved_len > ring->max_len ||
			 bytes + queue->reserved_bytes + queue->latest_bytes > max_bytes))
		return -EBUSY;
	WRITE_ONCE(queue->lossless, lossless);
	queue->max_bytes = max_bytes;
	queue->min_charge = charge;
	queue->bytes = bytes;
	queue_note_fast_bytes(queue);
	while (queue->ring.len &&
	       (queue->ring.len > ring->max_len || !queue_has_room(queue, 0, 0)))
		metastore_queue_drop_oldest(queue, garbage);
	queue_move_to(queue, ring);
	queue_room_came(queue);
	return 0;
}

/**
 * metastore_queue_configure() - Set the limits and the policy of a queue
 * @queue:	the queue
 * @args:	the user's arguments, validated
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, -EBUSY or -ENOBUFS, as in uapi/linux/metastore.h.
 */
int metastore_queue_configure(struct metastore_queue *queue,
			      const struct metastore_queue_info *args)
{
	struct metastore_garbage garbage = {};
	struct metastore_ring ring;
	struct queue_shape is, wanted;
	bool done = false;
	int err;

	if (args->flags & METASTORE_QUEUE_SET_POLICY &&
	    args->policy == METASTORE_QUEUE_LOSSLESS)
		metastore_room_needed(queue->room);
	do {
		is = queue_look_at_shape(queue);
		wanted = is;
		if (args->flags & METASTORE_QUEUE_SET_LEN)
			wanted.max_len = args->max_len;
		err = queue_create_ring(&ring, &wanted);
		if (err)
			break;
		spin_lock(&queue->lock);
		if (queue_has_shape(queue, &is)) {
			err = queue_reconfigure(queue, &ring,
						args->flags & METASTORE_QUEUE_SET_BYTES ?
						args->max_bytes : queue->max_bytes,
						args->flags & METASTORE_QUEUE_SET_POLICY ?
						args->policy == METASTORE_QUEUE_LOSSLESS :
						queue->lossless, &garbage);
			done = true;
		}
		spin_unlock(&queue->lock);
		metastore_ring_free(&ring);
	} while (!done);
	metastore_garbage_free(&garbage);
	return err;
}

/* Age of the oldest waiting event in ms, at least 1; 0: no event waits. */
static u64 queue_age_of_oldest(struct metastore_queue *queue)
{
	u32 age = 0;

	lockdep_assert_held(&queue->lock);
	if (queue->ring.len)
		age = (u32)jiffies - metastore_ring_at(&queue->ring, 0)->since;
	if (queue->nr_latest)
		age = max(age, (u32)jiffies - queue_first_latest(queue)->latest.since);
	else if (!queue->ring.len)
		return 0;
	return max(1U, jiffies_to_msecs(age));
}

/**
 * metastore_queue_tell() - Report the state of a queue
 * @queue:	the queue
 * @info:	its [out] fields are set, except the number of subscriptions
 *
 * Context: Takes the queue's lock.
 */
void metastore_queue_tell(struct metastore_queue *queue,
			  struct metastore_queue_info *info)
{
	spin_lock(&queue->lock);
	info->policy = queue->lossless ? METASTORE_QUEUE_LOSSLESS :
					 METASTORE_QUEUE_DROP_OLDEST;
	info->max_len = queue->ring.max_len;
	info->max_bytes = queue->max_bytes;
	info->len = queue->ring.len + queue->nr_latest;
	info->bytes = min_t(u64, queue->bytes + queue->latest_bytes, U32_MAX);
	queue_note_length(queue);
	info->high_len = queue->high_len;
	info->delivered = queue->books.delivered;
	info->conflated = queue->books.conflated;
	info->lost = queue->books.lost;
	info->discarded = queue->books.discarded;
	info->pending = queue_pending(queue);
	info->matched = info->delivered + info->conflated + info->lost + info->discarded +
			info->pending;
	info->oldest = queue_age_of_oldest(queue);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_destroy() - Free the contents of a queue
 * @queue:	the queue, without readers and subscriptions
 *
 * Context: Process context, may sleep.
 */
void metastore_queue_destroy(struct metastore_queue *queue)
{
	metastore_queue_drain(queue);
	metastore_ring_free(&queue->ring);
}

/* Reserve bytes for the latest event of one exact key. Return 0 or -ENOBUFS. */
static int queue_reserve_one_latest(struct metastore_queue *queue)
{
	struct metastore_garbage garbage = {};
	int err = -ENOBUFS;

	spin_lock(&queue->lock);
	if (queue->latest_bytes + queue->place_bytes <= queue->max_bytes / 2 &&
	    metastore_queue_make_room(queue, 0, queue->place_bytes, &garbage)) {
		queue_reserve_latest(queue, queue->place_bytes);
		err = 0;
	}
	spin_unlock(&queue->lock);
	metastore_garbage_free(&garbage);
	return err;
}

/**
 * metastore_queue_admit() - Initialize the queue's part of a subscription
 * @sub:	the subscription
 * @queue:	queue of its events, after metastore_queue_prepare()
 * @args:	the user's arguments, validated
 * @first_bucket: index of the first bucket that can have matching keys
 *
 * Context: Process context, may sleep; takes the queue's lock.
 * Return: 0, -ENOMEM, or -ENOBUFS. -ENOBUFS: places for latest events of exact keys
 * would exceed half of the queue's bytes, or there is no room.
 */
int metastore_queue_admit(struct metastore_subscription *sub,
			  struct metastore_queue *queue,
			  const struct metastore_subscribe *args, u32 first_bucket)
{
	int err = 0;

	*sub = (struct metastore_subscription) {
		.queue = queue,
		.cookie = args->cookie,
		.flags = args->flags,
		.event_flags = args->flags & METASTORE_SUBSCRIBE_NO_VALUE ?
			       METASTORE_EVENT_F_NO_VALUE : 0,
	};
	INIT_LIST_HEAD(&sub->lossy);
	INIT_LIST_HEAD(&sub->in_latest);
	INIT_LIST_HEAD(&sub->in_snapshots);
	if (sub->flags & METASTORE_SUBSCRIBE_SNAPSHOT) {
		sub->cursor = metastore_cursor_create(first_bucket, args->version);
		if (!sub->cursor)
			return -ENOMEM;
	}
	queue_sub_note_plain(sub);
	if (queue_sub_has_place(sub))
		err = queue_reserve_one_latest(queue);
	if (err)
		kfree(sub->cursor);
	return err;
}

/**
 * metastore_queue_dismiss() - Undo metastore_queue_admit()
 * @sub:	the subscription, which the caller still owns
 *
 * Context: Takes the queue's lock.
 */
void metastore_queue_dismiss(struct metastore_subscription *sub)
{
	kfree(sub->cursor);
	if (!queue_sub_has_place(sub))
		return;
	spin_lock(&sub->queue->lock);
	queue_reserve_latest(sub->queue, -sub->queue->place_bytes);
	queue_room_came(sub->queue);
	spin_unlock(&sub->queue->lock);
}

/**
 * metastore_queue_attach() - Let readers read the snapshot of a new subscription
 * @sub:	the subscription
 *
 * Context: Caller holds the topic's lock; takes the queue's.
 */
void metastore_queue_attach(struct metastore_subscription *sub)
{
	struct metastore_queue *queue = sub->queue;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	if (!sub->cursor)
		return;
	spin_lock(&queue->lock);
	list_add_tail(&sub->in_snapshots, &queue->snapshots);
	queue_wake(queue);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_detach() - End a subscription
 * @sub:	the subscription, which only deliveries under way can still reach. The
 *		caller must not use it afterwards.
 * @flushed:	whether FLUSH ended it, so that the subscriber reads a FLUSHED record
 * @discarded:	takes a value if what waits is to be discarded, see
 *		metastore_queue_discard(); or NULL
 *
 * Context: Takes the queue's lock.
 */
void metastore_queue_detach(struct metastore_subscription *sub, bool flushed,
			    struct metastore_garbage *discarded)
{
	struct metastore_queue *queue = sub->queue;

	spin_lock(&queue->lock);
	sub->cancelled = true;
	queue_sub_note_plain(sub);
	list_del_init(&sub->in_snapshots);
	if (discarded)
		metastore_queue_discard(queue, sub, discarded);
	metastore_queue_free_if_done(sub);
	queue_room_came(queue);
	if (flushed) {
		queue->flushed++;
		queue->flush_at = queue->ring.len;
		queue->flush_at_latest = queue->nr_latest;
		queue_wake(queue);
	}
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_tell_books() - Report the counters of a subscription
 * @sub:	the subscription
 * @books:	set to its counters
 *
 * Context: Caller holds the file's lock, so that the subscription stays; takes the
 * queue's.
 * Return: METASTORE_SUBSCRIBE_*; _SNAPSHOT only until the end of the snapshot is read.
 */
u32 metastore_queue_tell_books(struct metastore_subscription *sub,
			       struct metastore_books *books)
{
	u32 flags = sub->flags & ~METASTORE_SUBSCRIBE_SNAPSHOT;

	spin_lock(&sub->queue->lock);
	*books = sub->books;
	books->pending = queue_sub_pending(sub);
	if (sub->cursor)
		flags |= METASTORE_SUBSCRIBE_SNAPSHOT;
	spin_unlock(&sub->queue->lock);
	return flags;
}

/**
 * metastore_queue_hold_snapshot() - Find the snapshot to be read next
 * @queue:	the queue
 * @cursor:	set to its cursor, which stays until the end of the caller's read
 *		section
 *
 * Context: Caller is in a metastore_srcu read section; takes the queue's lock.
 * Return: Its subscription, which stays until metastore_queue_release_snapshot(), or
 * NULL.
 */
struct metastore_subscription *
metastore_queue_hold_snapshot(struct metastore_queue *queue,
			      struct metastore_cursor **cursor)
{
	struct metastore_subscription *sub;

	spin_lock(&queue->lock);
	sub = list_first_entry_or_null(&queue->snapshots, struct metastore_subscription,
				       in_snapshots);
	if (sub) {
		sub->held++;
		*cursor = sub->cursor;
	}
	spin_unlock(&queue->lock);
	return sub;
}

/**
 * metastore_queue_release_snapshot() - Release a subscription
 * @sub:	subscription from metastore_queue_hold_snapshot()
 *
 * Context: Takes the queue's lock.
 */
void metastore_queue_release_snapshot(struct metastore_subscription *sub)
{
	struct metastore_queue *queue = sub->queue;

	spin_lock(&queue->lock);
	sub->held--;
	metastore_queue_free_if_done(sub);
	queue_room_came(queue);
	spin_unlock(&queue->lock);
}
