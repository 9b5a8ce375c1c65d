// SPDX-License-Identifier: GPL-2.0
/*
 * Dequeue records for readers.
 *
 * Events that a reader takes are in flight until metastore_queue_finish() settles them.
 * Meanwhile they count as pending, and their bytes against the queue. So a failed copy
 * counts as lost, and a slow copy pins no more than the budget.
 */
#include <linux/align.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "store/user.h"
#include "events/queue_priv.h"
#include "events/subscription.h"
#include "events/topic.h"

enum queue_next {
	NEXT_NONE,
	NEXT_LOST,
	NEXT_FLUSHED,
	NEXT_SNAPSHOT,
	NEXT_LATEST,
	NEXT_RING,
};

/*
 * Decide what a reader gets next. Losses come first, then FLUSHED once the events ahead
 * of it are read. Events in the ring, latest events and snapshot values alternate, so
 * that none waits for all others. A group stays together.
 */
static enum queue_next queue_next_of(const struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	if (!list_empty(&queue->lossy))
		return NEXT_LOST;
	if (queue->flushed && !queue->flush_at && !queue->flush_at_latest)
		return NEXT_FLUSHED;
	if (!list_empty(&queue->snapshots) &&
	    (queue->snapshot_turn || !(queue->nr_latest || queue->ring.len)))
		return NEXT_SNAPSHOT;
	if (queue->nr_latest && (queue->latest_turn || !queue->ring.len))
		return NEXT_LATEST;
	return queue->ring.len ? NEXT_RING : NEXT_NONE;
}

/* Copy the next record, unless it is of a snapshot. Return which kind it is. */
static enum queue_next queue_peek_next(struct metastore_queue *queue,
				       struct metastore_record *record)
{
	enum queue_next next = queue_next_of(queue);
	struct metastore_subscription *sub;

	lockdep_assert_held(&queue->lock);
	switch (next) {
	case NEXT_LOST:
		sub = list_first_entry(&queue->lossy, struct metastore_subscription, lossy);
		*record = (struct metastore_record) {
			.sub = sub,
			.count = sub->untold,
			.type = METASTORE_EVENT_LOST,
		};
		break;
	case NEXT_FLUSHED:
		*record = (struct metastore_record) {
			.count = queue->flushed,
			.type = METASTORE_EVENT_FLUSHED,
		};
		break;
	case NEXT_LATEST:
		*record = queue_first_latest(queue)->latest;
		break;
	case NEXT_RING:
		*record = *metastore_ring_at(&queue->ring, 0);
		break;
	case NEXT_SNAPSHOT:
	case NEXT_NONE:
		break;
	}
	return next;
}

/* Account for an event in flight, which counts its true size. */
static void queue_count_in_flight(struct metastore_queue *queue,
				  const struct metastore_record *record)
{
	u32 size = metastore_value_size(record->value);

	lockdep_assert_held(&queue->lock);
	queue->bytes += size;
	queue->in_flight += size;
	queue->nr_in_flight++;
}

static void queue_consume_latest(struct metastore_queue *queue,
				 const struct metastore_record *record)
{
	lockdep_assert_held(&queue->lock);
	queue_note_length(queue);
	queue->latest_size -= metastore_value_size(record->value);
	record->sub->latest.value = NULL;
	list_del_init(&record->sub->in_latest);
	queue->nr_latest--;
	if (queue->flush_at_latest)
		queue->flush_at_latest--;
	queue->latest_turn = false;
	queue_count_in_flight(queue, record);
}

static void queue_consume_oldest(struct metastore_queue *queue,
				 const struct metastore_record *record)
{
	lockdep_assert_held(&queue->lock);
	queue_remove_oldest(queue);
	queue->latest_turn = !(record->flags & METASTORE_EVENT_F_MORE);
	queue_count_in_flight(queue, record);
}

/* Dequeue the record that queue_peek_next() returned. */
static void queue_consume_next(struct metastore_queue *queue, enum queue_next next,
			       const struct metastore_record *record)
{
	lockdep_assert_held(&queue->lock);
	switch (next) {
	case NEXT_LOST:
		list_del_init(&record->sub->lossy);
		record->sub->untold = 0;
		record->sub->held++;
		break;
	case NEXT_FLUSHED:
		queue->flushed = 0;
		break;
	case NEXT_LATEST:
		queue_consume_latest(queue, record);
		break;
	case NEXT_RING:
		queue_consume_oldest(queue, record);
		break;
	case NEXT_SNAPSHOT:
	case NEXT_NONE:
		break;
	}
}

/**
 * metastore_queue_overdraws() - Check the limit of bytes in flight
 * @queue:	the queue
 * @record:	the record
 *
 * Events in flight may take half of the queue's bytes. The rest is for new events,
 * which cannot displace those in flight.
 *
 * Context: Caller holds the queue's lock.
 * Return: true if more than half would be in flight.
 */
bool metastore_queue_overdraws(const struct metastore_queue *queue,
			       const struct metastore_record *record)
{
	lockdep_assert_held(&queue->lock);
	return record->value && queue->in_flight + metastore_value_size(record->value) >
				queue->max_bytes / 2;
}

/* Snapshot values are left to metastore_snapshot_take(). */
static bool queue_is_taken_here(enum queue_next next)
{
	return next != NEXT_NONE && next != NEXT_SNAPSHOT;
}

/* Check that only the ring has records, none of them discarded, and it is not mapped. */
static bool queue_is_ring_alone(const struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return list_empty(&queue->lossy) && !queue->flushed &&
	       list_empty(&queue->snapshots) && !queue->nr_latest &&
	       !queue_may_be_stale(queue) && !queue->map;
}

/*
 * Fast path if only the ring has records: account for all taken events at once. Return
 * as metastore_queue_take().
 */
static int queue_take_from_ring(struct metastore_queue *queue, struct metastore_record *records,
				int max, size_t room)
{
	struct metastore_ring *ring = &queue->ring;
	u64 charged = 0, in_flight = queue->in_flight;
	int nr;

	lockdep_assert_held(&queue->lock);
	queue_note_length(queue);
	for (nr = 0; nr < max && ring->len; nr++) {
		struct metastore_record *record = &records[nr];
		size_t size;
		u32 bytes;

		*record = *metastore_ring_at(ring, 0);
		size = metastore_record_size(record);
		bytes = metastore_value_size(record->value);
		if (size > room || (nr && in_flight + bytes > queue->max_bytes / 2))
			break;
		room -= size;
		in_flight += bytes;
		charged += queue_charge(queue, bytes);
		metastore_ring_remove_oldest(ring);
	}
	queue->bytes += in_flight - queue->in_flight - charged;
	queue->in_flight = in_flight;
	queue->nr_in_flight += nr;
	if (!nr)
		return ring->len ? -EMSGSIZE : 0;
	queue->latest_turn = !(records[nr - 1].flags & METASTORE_EVENT_F_MORE);
	return nr;
}

/* Slow path: dequeue any records one by one. Return as metastore_queue_take(). */
static int queue_take_in_turn(struct metastore_queue *queue, struct metastore_record *records,
			      int max, size_t room)
{
	enum queue_next next;
	int nr = 0;

	lockdep_assert_held(&queue->lock);
	while (nr < max && !queue_oldest_is_stale(queue) &&
	       queue_is_taken_here(next = queue_peek_next(queue, &records[nr]))) {
		size_t size = metastore_record_size(&records[nr]);

		if (size > room)
			return nr ?: -EMSGSIZE;
		if (nr && metastore_queue_overdraws(queue, &records[nr]))
			break;
		if (next == NEXT_RING && queue->map && !metastore_queue_map_claim(queue, false))
			break;
		room -= size;
		queue_consume_next(queue, next, &records[nr++]);
	}
	return nr;
}

/**
 * metastore_queue_take() - Dequeue records for a reader
 * @queue:	the queue
 * @records:	array to fill, for metastore_queue_finish()
 * @max:	capacity of @records
 * @room:	size of the reader's buffer in bytes
 *
 * Context: Process context, may sleep; takes the queue's lock.
 * Return: The number of records, which may be fewer than fit; 0 if there are none, or
 * if a snapshot has its turn; -EMSGSIZE if the first one does not fit.
 */
int metastore_queue_take(struct metastore_queue *queue,
			 struct metastore_record *records, int max, size_t room)
{
	int nr;

	queue_lock_trimmed(queue);
	nr = queue_is_ring_alone(queue) ? queue_take_from_ring(queue, records, max, room) :
					  queue_take_in_turn(queue, records, max, room);
	if (nr > 0) {
		queue->snapshot_turn = !(records[nr - 1].flags & METASTORE_EVENT_F_MORE);
		queue_room_came(queue);
		queue_sync(queue, QUEUE_SHOW_AT_ONCE);
	}
	spin_unlock(&queue->lock);
	return nr;
}

/* Snapshots */

/**
 * metastore_queue_snapshot_record() - Fill in the record of a snapshot value
 * @sub:	the subscription
 * @value:	the value, which stays while the bucket's lock is held
 * @record:	record to fill in, without a reference to @value
 *
 * Context: Caller holds the queue's lock.
 */
void metastore_queue_snapshot_record(struct metastore_subscription *sub,
				     struct metastore_value *value,
				     struct metastore_record *record)
{
	lockdep_assert_held(&sub->queue->lock);
	*record = (struct metastore_record) {
		.value = value,
		.sub = sub,
		.version = value->version,
		.type = METASTORE_EVENT_SNAPSHOT,
		.flags = sub->event_flags,
	};
}

/**
 * metastore_queue_snapshot_is_over() - Check whether a snapshot need not be read on
 * @sub:	the subscription
 * @cursor:	cursor of the snapshot
 *
 * Context: Caller holds the queue's lock.
 * Return: true if the subscription has ended, or its snapshot was begun anew.
 */
bool metastore_queue_snapshot_is_over(const struct metastore_subscription *sub,
				      const struct metastore_cursor *cursor)
{
	lockdep_assert_held(&sub->queue->lock);
	return sub->cancelled || sub->cursor != cursor;
}

/**
 * metastore_queue_snapshot_end() - Fill in the record that ends a snapshot
 * @sub:	the subscription
 * @cursor:	cursor of the snapshot
 * @record:	record to fill in
 *
 * Context: Caller holds the queue's lock.
 * Return: false if another reader took that record, or as
 * metastore_queue_snapshot_is_over().
 */
bool metastore_queue_snapshot_end(struct metastore_subscription *sub,
				  const struct metastore_cursor *cursor,
				  struct metastore_record *record)
{
	lockdep_assert_held(&sub->queue->lock);
	*record = (struct metastore_record) {
		.sub = sub,
		.type = METASTORE_EVENT_SNAPSHOT_END,
		/* It does not wait, so that needs no start. */
		.since = sub->snapshots,
	};
	return !list_empty(&sub->in_snapshots) && sub->cursor == cursor;
}

/**
 * metastore_queue_snapshot_consume() - Account for a snapshot record in flight
 * @queue:	the queue
 * @record:	the record; gets a reference to its value
 *
 * Context: Caller holds the queue's lock, and the bucket's if the record has a value.
 */
void metastore_queue_snapshot_consume(struct metastore_queue *queue,
				      const struct metastore_record *record)
{
	struct metastore_subscription *sub = record->sub;

	lockdep_assert_held(&queue->lock);
	queue->snapshot_turn = false;
	if (!record->value) {
		list_del_init(&sub->in_snapshots);
		sub->held++;
		return;
	}
	metastore_value_get(record->value);
	sub->books.matched++;
	queue_count_in_flight(queue, record);
}

static void queue_finish_snapshot(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	metastore_cursor_put(sub->cursor);
	sub->cursor = NULL;
	queue_sub_note_plain(sub);
}

/* Completion of reads */

static void queue_free_sub(struct rcu_head *rcu)
{
	struct metastore_subscription *sub = container_of(rcu, struct metastore_subscription, rcu);

	metastore_topic_put(sub->topic);
	metastore_subscriptions_put(sub->subs);
	/* It has no readers. */
	kfree(sub->cursor);
	kfree(sub);
}

/* Free a subscription that has ended, if nothing refers to it any more. */
void metastore_queue_free_if_done(struct metastore_subscription *sub)
{
	lockdep_assert_held(&sub->queue->lock);
	if (!sub->cancelled || sub->linked || queue_sub_pending(sub) || sub->untold || sub->held)
		return;
	if (queue_sub_has_place(sub))
		queue_reserve_latest(sub->queue, -sub->queue->place_bytes);
	sub->queue->nr_subs--;
	metastore_user_uncharge(sub->queue->user, METASTORE_USER_SUBSCRIPTIONS, 1);
	call_rcu(&sub->rcu, queue_free_sub);
}

/* Check that SNAPSHOT_END is of the present snapshot: another may have begun meanwhile. */
static bool queue_end_is_valid(const struct metastore_record *record)
{
	lockdep_assert_held(&record->sub->queue->lock);
	return record->since == record->sub->snapshots;
}

static void queue_undo_end(struct metastore_queue *queue, const struct metastore_record *record)
{
	lockdep_assert_held(&queue->lock);
	if (!record->sub->cancelled && queue_end_is_valid(record))
		list_add(&record->sub->in_snapshots, &queue->snapshots);
}

/* Make LOST, FLUSHED or SNAPSHOT_END pending again after a failed copy. */
static void queue_undo_take(struct metastore_queue *queue,
			    const struct metastore_record *record)
{
	lockdep_assert_held(&queue->lock);
	if (record->type == METASTORE_EVENT_FLUSHED)
		queue->flushed += record->count;
	else if (record->type == METASTORE_EVENT_LOST)
		queue_count_untold(record->sub, record->count);
	else
		queue_undo_end(queue, record);
}

/*
 * Settle an event in flight. The caller updates the bytes and the delivered events of
 * the queue.
 */
static void queue_finish_event(struct metastore_record *record, bool delivered,
			       struct metastore_garbage *garbage)
{
	struct metastore_subscription *sub = record->sub;

	lockdep_assert_held(&sub->queue->lock);
	if (likely(delivered))
		sub->books.delivered++;
	else
		queue_count_lost(sub);
	metastore_value_put_later(record->value, garbage);
	metastore_queue_free_if_done(sub);
}

/* Settle a record in flight that is not an event. */
static void queue_finish_other(struct metastore_queue *queue, struct metastore_record *record,
			       bool delivered)
{
	lockdep_assert_held(&queue->lock);
	if (!delivered)
		queue_undo_take(queue, record);
	if (!record->sub)
		return;
	record->sub->held--;
	if (delivered && record->type == METASTORE_EVENT_SNAPSHOT_END &&
	    queue_end_is_valid(record))
		queue_finish_snapshot(record->sub);
	metastore_queue_free_if_done(record->sub);
}

/* Settle @nr records in flight, of which the reader got the first @delivered. */
static void queue_finish_records(struct metastore_queue *queue,
				 struct metastore_record *records, int nr,
				 int delivered, struct metastore_garbage *garbage)
{
	u32 events = 0, got = 0;
	u64 bytes = 0;
	int i;

	lockdep_assert_held(&queue->lock);
	for (i = 0; i < nr; i++) {
		struct metastore_record *record = &records[i];

		if (unlikely(!record->value)) {
			queue_finish_other(queue, record, i < delivered);
			continue;
		}
		events++;
		got += i < delivered;
		bytes += metastore_value_size(record->value);
		queue_finish_event(record, i < delivered, garbage);
	}
	queue->bytes -= bytes;
	queue->in_flight -= bytes;
	queue->nr_in_flight -= events;
	queue->books.delivered += got;
}

/**
 * metastore_queue_finish() - Settle dequeued records
 * @queue:	the queue
 * @records:	all records of one metastore_queue_take() or metastore_snapshot_take();
 *		not to be used afterwards
 * @nr:		number of @records
 * @delivered:	number of records, from the first, that the reader got
 *
 * The other events count as lost, and LOST becomes the next record. Other records wait
 * again.
 *
 * Context: Process context, may sleep; takes the queue's lock.
 * Return: Whether more records may be read. They may all be discarded.
 */
bool metastore_queue_finish(struct metastore_queue *queue,
			    struct metastore_record *records, int nr,
			    int delivered)
{
	struct metastore_garbage garbage = {};
	bool more;

	spin_lock(&queue->lock);
	queue_finish_records(queue, records, nr, delivered, &garbage);
	queue_room_came(queue);
	queue_sync(queue, QUEUE_SHOW_AT_ONCE);
	more = queue->ring.len || queue_next_of(queue) != NEXT_NONE;
	spin_unlock(&queue->lock);
	metastore_garbage_free(&garbage);
	return more;
}

/**
 * metastore_queue_next_size() - Compute the length of the next record
 * @queue:	the queue
 *
 * Context: Process context, may sleep; takes the queue's lock.
 * Return: Bytes; 0 if there is no record, or if a snapshot has its turn.
 */
size_t metastore_queue_next_size(struct metastore_queue *queue)
{
	struct metastore_record record;
	size_t size = 0;

	queue_lock_trimmed(queue);
	/* The lock keeps the record's value. */
	if (queue_is_taken_here(queue_peek_next(queue, &record)))
		size = metastore_record_size(&record);
	spin_unlock(&queue->lock);
	return size;
}

/**
 * metastore_queue_has_record() - Check whether a record can be read
 * @queue:	the queue
 *
 * Context: Process context, may sleep; takes the queue's lock.
 * Return: true if there is one.
 */
bool metastore_queue_has_record(struct metastore_queue *queue)
{
	bool has;

	queue_lock_trimmed(queue);
	has = queue_next_of(queue) != NEXT_NONE;
	spin_unlock(&queue->lock);
	return has;
}

/**
 * metastore_queue_may_have_record() - Check whether a reader must look for a record
 * @queue:	the queue
 *
 * Context: Takes the queue's lock. Does not sleep, so that it can be the condition of a
 * wait: it frees nothing.
 * Return: true if there is one; also if all that there are were discarded.
 */
bool metastore_queue_may_have_record(struct metastore_queue *queue)
{
	bool may;

	spin_lock(&queue->lock);
	may = queue->ring.len || queue_next_of(queue) != NEXT_NONE;
	spin_unlock(&queue->lock);
	return may;
}

/**
 * metastore_queue_pass_on() - Wake the next reader if this one left records
 * @queue:	the queue
 *
 * Context: Process context, may sleep; takes the queue's lock.
 */
void metastore_queue_pass_on(struct metastore_queue *queue)
{
	/* A reader that is not queued yet looks for a record before it sleeps. */
	if (!waitqueue_active(&queue->readers))
		return;
	queue_lock_trimmed(queue);
	if (queue_next_of(queue) != NEXT_NONE)
		queue_wake(queue);
	spin_unlock(&queue->lock);
}

/* Discard all records of a queue without subscriptions. May sleep. */
void metastore_queue_drain(struct metastore_queue *queue)
{
	struct metastore_garbage garbage = {};
	struct metastore_record record;
	enum queue_next next;

	do {
		spin_lock(&queue->lock);
		next = queue_peek_next(queue, &record);
		if (next != NEXT_NONE) {
			queue_consume_next(queue, next, &record);
			/* As delivered, since a loss would add a LOST record. */
			queue_finish_records(queue, &record, 1, 1, &garbage);
		}
		spin_unlock(&queue->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (next != NEXT_NONE);
}
