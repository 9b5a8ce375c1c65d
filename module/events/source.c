// SPDX-License-Identifier: GPL-2.0
/*
 * The side of a subscription that its queue knows: its beginning, its books, its end.
 */
#include <linux/slab.h>

#include "events/queue_priv.h"

/* Reserves the place for one exact key's latest event. */
static int reserve(struct metastore_queue *queue)
{
	struct metastore_garbage garbage = {};
	int err = -ENOBUFS;

	spin_lock(&queue->lock);
	if (queue->reserved + queue->place_bytes <= queue->max_bytes / 2 &&
	    queue_make_room(queue, 0, queue->place_bytes, &garbage)) {
		queue_reserve(queue, queue->place_bytes);
		err = 0;
	}
	spin_unlock(&queue->lock);
	metastore_garbage_free(&garbage);
	return err;
}

/**
 * metastore_source_init - prepare the queue's side of a subscription
 * @source:	its struct
 * @queue:	where its events shall go, after metastore_queue_prepare()
 * @args:	what the user wants, checked
 * @first_bucket: index of the first bucket with such keys
 *
 * Context: takes the queue's lock. May sleep.
 * Return: 0; -ENOBUFS if places for the latest events of exact keys would take more
 * than half of the queue's bytes; -ENOMEM.
 */
int metastore_source_init(struct metastore_source *source,
			  struct metastore_queue *queue,
			  const struct metastore_subscribe *args, u32 first_bucket)
{
	int err = 0;

	*source = (struct metastore_source) {
		.queue = queue,
		.cookie = args->cookie,
		.flags = args->flags,
		.event_flags = args->flags & METASTORE_SUBSCRIBE_NO_VALUE ?
			       METASTORE_EVENT_F_NO_VALUE : 0,
	};
	INIT_LIST_HEAD(&source->lossy);
	INIT_LIST_HEAD(&source->in_latest);
	INIT_LIST_HEAD(&source->in_snapshots);
	if (source->flags & METASTORE_SUBSCRIBE_SNAPSHOT) {
		source->snapshot = metastore_snapshot_create(first_bucket, args->version);
		if (!source->snapshot)
			return -ENOMEM;
	}
	source_note_plain(source);
	if (source_has_place(source))
		err = reserve(queue);
	if (err)
		kfree(source->snapshot);
	return err;
}

/**
 * metastore_source_drop - there will be no subscription after all
 * @source:	after metastore_source_init(); still the caller's
 *
 * Context: takes the queue's lock.
 */
void metastore_source_drop(struct metastore_source *source)
{
	kfree(source->snapshot);
	if (!source_has_place(source))
		return;
	spin_lock(&source->queue->lock);
	queue_reserve(source->queue, -source->queue->place_bytes);
	queue_room_came(source->queue);
	spin_unlock(&source->queue->lock);
}

/**
 * metastore_source_begin - there is a subscription: its snapshot can be read
 * @source:	its queue's side
 *
 * Context: with the topic's lock held; takes the queue's.
 */
void metastore_source_begin(struct metastore_source *source)
{
	struct metastore_queue *queue = source->queue;

	if (!source->snapshot)
		return;
	spin_lock(&queue->lock);
	list_add_tail(&source->in_snapshots, &queue->snapshots);
	queue_wake(queue);
	spin_unlock(&queue->lock);
}

static void free_source(struct rcu_head *rcu)
{
	struct metastore_source *source = container_of(rcu, struct metastore_source, rcu);

	kfree(source->snapshot);
	kfree(source);
}

/* Frees a subscription once nothing refers to it any more. */
void source_free_if_done(struct metastore_source *source)
{
	if (!source->cancelled || source_pending(source) || source->untold || source->held)
		return;
	if (source_has_place(source))
		queue_reserve(source->queue, -source->queue->place_bytes);
	call_srcu(&metastore_srcu, &source->rcu, free_source);
}

/**
 * metastore_source_cancel - end a subscription
 * @source:	its queue's side, which no delivery can come to any more but those that
 *		are on it already; not to be used by the caller afterwards
 * @flushed:	whether the subscriber shall read that somebody else did it
 *
 * Context: any; takes the queue's lock.
 */
void metastore_source_cancel(struct metastore_source *source, bool flushed)
{
	struct metastore_queue *queue = source->queue;

	spin_lock(&queue->lock);
	source->cancelled = true;
	source_note_plain(source);
	list_del_init(&source->in_snapshots);
	source_free_if_done(source);
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
 * metastore_source_tell - tell what became of a subscription's events
 * @source:	its queue's side
 * @books:	is set
 *
 * Context: with the file's lock held, so that the subscription stays; takes the
 * queue's.
 * Return: METASTORE_SUBSCRIBE_*.
 */
u32 metastore_source_tell(struct metastore_source *source,
			  struct metastore_books *books)
{
	u32 flags = source->flags;

	spin_lock(&source->queue->lock);
	*books = source->books;
	books->pending = source_pending(source);
	if (!source->snapshot)
		flags &= ~METASTORE_SUBSCRIBE_SNAPSHOT;
	spin_unlock(&source->queue->lock);
	return flags;
}

/**
 * metastore_source_hold_snapshot - find the snapshot that is to be read next
 * @queue:	the queue
 * @snapshot:	is set to it; it stays as long as the caller's section of metastore_srcu
 *
 * Context: in such a section; takes the queue's lock.
 * Return: its subscription, which stays until metastore_source_release(), or NULL.
 */
struct metastore_source *
metastore_source_hold_snapshot(struct metastore_queue *queue,
			       struct metastore_snapshot **snapshot)
{
	struct metastore_source *source;

	spin_lock(&queue->lock);
	source = list_first_entry_or_null(&queue->snapshots, struct metastore_source,
					  in_snapshots);
	if (source) {
		source->held++;
		*snapshot = source->snapshot;
	}
	spin_unlock(&queue->lock);
	return source;
}

/**
 * metastore_source_release - let go of a subscription
 * @source:	of metastore_source_hold_snapshot()
 *
 * Context: takes the queue's lock.
 */
void metastore_source_release(struct metastore_source *source)
{
	struct metastore_queue *queue = source->queue;

	spin_lock(&queue->lock);
	source->held--;
	source_free_if_done(source);
	queue_room_came(queue);
	spin_unlock(&queue->lock);
}
