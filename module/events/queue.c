// SPDX-License-Identifier: GPL-2.0
/*
 * The event queue of an open file. It holds references to values and is bounded in
 * events and in bytes. Push, drop and loss allocate nothing.
 *
 * This file has the beginning and the end of a queue, and the queue's part of a
 * subscription: its beginning, its books and its end.
 */
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "store/store.h"
#include "store/user.h"
#include "events/cursor.h"
#include "events/queue_push.h"
#include "events/topic.h"

/**
 * metastore_queue_init() - Initialize an empty queue
 * @queue:	the queue, zeroed
 * @limits:	the store's limits
 * @room:	wait state of the store's publishers, woken when room appears
 * @user:	user to charge; it must outlive the queue
 */
void metastore_queue_init(struct metastore_queue *queue,
			  const struct metastore_limits *limits,
			  struct metastore_room *room, struct metastore_user *user)
{
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->readers);
	metastore_queue_init_crowd(queue);
	INIT_LIST_HEAD(&queue->lossy);
	INIT_LIST_HEAD(&queue->latest);
	INIT_LIST_HEAD(&queue->snapshots);
	queue->room = room;
	queue->user = user;
	queue->ring.max_len = limits->queue_len;
	queue->max_bytes = limits->queue_bytes;
	queue->min_charge = queue_min_charge(limits->queue_bytes, limits->queue_len);
	queue_note_fast_bytes(queue);
	queue->place_bytes = METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD +
			     METASTORE_KEY_MAX + limits->max_value;
}

/* Age of the oldest waiting event in ms, at least 1; 0: no event waits. */
static u64 queue_age_of_oldest(struct metastore_queue *queue)
{
	u64 age = 0;

	lockdep_assert_held(&queue->lock);
	if (queue->ring.len)
		age = metastore_record_age(metastore_ring_at(&queue->ring, 0));
	if (queue->nr_latest)
		age = max(age, metastore_record_age(&queue_first_latest(queue)->latest));
	else if (!queue->ring.len)
		return 0;
	return max(1ULL, jiffies64_to_msecs(age));
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
	metastore_queue_release_crowd(queue);
	metastore_queue_drain(queue);
	metastore_user_uncharge(queue->user, METASTORE_USER_QUEUE_BYTES, queue->charged);
	metastore_user_unshare(queue->user, queue->shared);
	metastore_ring_free(&queue->ring);
	metastore_cgroup_release(&queue->cgroup);
}

/* Reserve bytes for the latest event of one exact key. Return 0 or -ENOBUFS. */
static int queue_reserve_one_latest(struct metastore_queue *queue)
{
	u32 tries = metastore_queue_tries(queue);
	struct metastore_garbage garbage = {};
	enum metastore_pushed room;

	do {
		room = METASTORE_PUSH_REFUSED;
		spin_lock(&queue->lock);
		if (queue->latest_bytes + queue->place_bytes <= queue->max_bytes / 2)
			room = metastore_queue_make_room(queue, 0, queue->place_bytes,
							 METASTORE_DROPS_AT_ONCE, &garbage);
		if (room == METASTORE_PUSH_TAKEN)
			queue_reserve_latest(queue, queue->place_bytes);
		queue_sync(queue, QUEUE_SHOW_PUSHED);
		spin_unlock(&queue->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (room == METASTORE_PUSH_AGAIN && tries--);
	return room == METASTORE_PUSH_TAKEN ? 0 : -ENOBUFS;
}

/* Count one more subscription. Return 0 or -ENOBUFS. */
static int queue_count_sub(struct metastore_queue *queue)
{
	int err = -ENOBUFS;

	spin_lock(&queue->lock);
	if (queue->nr_subs < METASTORE_MAX_SUBSCRIPTIONS) {
		queue->nr_subs++;
		err = 0;
	}
	spin_unlock(&queue->lock);
	return err;
}

static void queue_uncount_sub(struct metastore_queue *queue)
{
	spin_lock(&queue->lock);
	queue->nr_subs--;
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_admit() - Initialize the queue's part of a subscription
 * @sub:	the subscription
 * @queue:	queue of its events, after metastore_queue_prepare()
 * @args:	the user's arguments, validated
 * @first_bucket: index of the first bucket that can have matching keys
 *
 * Context: Process context, may sleep; takes the queue's lock.
 * Return: 0, -ENOMEM, or -ENOBUFS. -ENOBUFS: there are METASTORE_MAX_SUBSCRIPTIONS, with
 * those that ended and have events or losses to be read; or places for latest events of
 * exact keys would exceed half of the queue's bytes, or there is no room.
 */
int metastore_queue_admit(struct metastore_subscription *sub,
			  struct metastore_queue *queue,
			  const struct metastore_subscribe *args, u32 first_bucket)
{
	int err = queue_count_sub(queue);

	if (err)
		return err;
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
		if (!sub->cursor) {
			err = -ENOMEM;
			goto uncount;
		}
	}
	queue_sub_note_plain(sub);
	if (queue_sub_has_place(sub))
		err = queue_reserve_one_latest(queue);
	if (!err)
		return 0;
	kfree(sub->cursor);
uncount:
	queue_uncount_sub(queue);
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
	queue_uncount_sub(sub->queue);
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
	queue_announce(queue);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_detach() - End a subscription
 * @sub:	the subscription. The caller calls metastore_queue_unlink() once it is not in
 *		its topic's list.
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
	queue_room_came(queue);
	if (flushed) {
		queue->flushed++;
		queue->flush_at = queue->ring.len;
		queue->flush_at_latest = queue->nr_latest;
		queue_wake(queue);
	}
	queue_sync(queue, QUEUE_SHOW_PUSHED);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_unlink() - Note that a subscription has left its topic's list
 * @sub:	the subscription, which has ended. The caller must not use it afterwards.
 *
 * Context: Caller holds the topic's lock; takes the queue's.
 */
void metastore_queue_unlink(struct metastore_subscription *sub)
{
	struct metastore_queue *queue = sub->queue;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	spin_lock(&queue->lock);
	sub->linked = false;
	metastore_queue_free_if_done(sub);
	queue_room_came(queue);
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
 * @cursor:	set to its cursor
 *
 * Context: Takes the queue's lock.
 * Return: Its subscription, which stays with its cursor until
 * metastore_queue_release_snapshot(); or NULL.
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
		(*cursor)->refs++;
	}
	spin_unlock(&queue->lock);
	return sub;
}

/**
 * metastore_queue_release_snapshot() - Release a subscription and its cursor
 * @sub:	subscription from metastore_queue_hold_snapshot()
 * @cursor:	its cursor from there
 *
 * Context: Takes the queue's lock.
 */
void metastore_queue_release_snapshot(struct metastore_subscription *sub,
				      struct metastore_cursor *cursor)
{
	struct metastore_queue *queue = sub->queue;

	spin_lock(&queue->lock);
	metastore_cursor_put(cursor);
	sub->held--;
	metastore_queue_free_if_done(sub);
	queue_room_came(queue);
	spin_unlock(&queue->lock);
}
