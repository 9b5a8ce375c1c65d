// SPDX-License-Identifier: GPL-2.0
/*
 * The event queue of an open file: a ring of references to values, bounded in
 * events and in bytes. Nothing is allocated when something is pushed, dropped
 * or lost.
 *
 * What a reader takes stays on the books (bytes, pending) until it says with
 * metastore_queue_finish() what became of it, so that a copy that failed is
 * counted as lost, and a slow copy pins no more than the budget.
 */
#include <linux/align.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "queue.h"

/**
 * metastore_queue_init - make an empty queue
 * @queue:	the queue
 * @max_len:	events it holds, at least 1
 * @max_bytes:	bytes that their values may take
 */
void metastore_queue_init(struct metastore_queue *queue, u32 max_len,
			  u32 max_bytes)
{
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->readers);
	INIT_LIST_HEAD(&queue->lossy);
	queue->max_len = max_len;
	queue->max_bytes = max_bytes;
	queue->min_charge = max_bytes / (max_len + 1);
}

/**
 * metastore_queue_prepare - allocate what the first subscription needs
 * @queue:	the queue
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_queue_prepare(struct metastore_queue *queue)
{
	struct metastore_record *ring;

	if (READ_ONCE(queue->ring))
		return 0;
	ring = kvcalloc(queue->max_len, sizeof(*ring), METASTORE_GFP);
	if (!ring)
		return -ENOMEM;
	spin_lock(&queue->lock);
	if (!queue->ring) {
		WRITE_ONCE(queue->ring, ring);
		ring = NULL;
	}
	spin_unlock(&queue->lock);
	kvfree(ring);
	return 0;
}

/**
 * metastore_source_init - prepare the queue's side of a subscription
 * @source:	its struct
 * @queue:	where its events shall go
 * @cookie:	the subscriber's number for it
 */
void metastore_source_init(struct metastore_source *source,
			   struct metastore_queue *queue, u64 cookie)
{
	source->queue = queue;
	source->cookie = cookie;
	source->lost = 0;
	source->pending = 0;
	source->cancelled = false;
	INIT_LIST_HEAD(&source->lossy);
}

static void free_if_done(struct metastore_source *source)
{
	if (source->cancelled && !source->pending && !source->lost)
		kfree(source);
}

/* Wakes every poller and one reader, if there are any. */
static void wake(struct metastore_queue *queue)
{
	/*
	 * A sleeper enters itself in readers before it looks, under the lock
	 * held here, whether there is a record: either it sees the record, or
	 * it is seen.
	 */
	if (waitqueue_active(&queue->readers))
		wake_up_interruptible_poll(&queue->readers, EPOLLIN | EPOLLRDNORM);
}

/**
 * metastore_source_cancel - end a subscription that nothing can push to any more
 * @source:	its queue's side, not to be used by the caller afterwards
 * @flushed:	whether the subscriber shall read that somebody else did it
 *
 * Context: any; takes the queue's lock.
 */
void metastore_source_cancel(struct metastore_source *source, bool flushed)
{
	struct metastore_queue *queue = source->queue;

	spin_lock(&queue->lock);
	source->cancelled = true;
	free_if_done(source);
	if (flushed) {
		queue->flushed++;
		queue->flush_at = queue->len;
		wake(queue);
	}
	spin_unlock(&queue->lock);
}

static void count_lost(struct metastore_source *source, u64 count)
{
	struct metastore_queue *queue = source->queue;

	if (!source->lost)
		list_add_tail(&source->lossy, &queue->lossy);
	source->lost += count;
}

static struct metastore_record *record_at(struct metastore_queue *queue, u32 nth)
{
	u32 index = queue->head + nth;

	return &queue->ring[index < queue->max_len ? index : index - queue->max_len];
}

static void remove_oldest(struct metastore_queue *queue)
{
	queue->head = queue->head + 1 < queue->max_len ? queue->head + 1 : 0;
	queue->len--;
	if (queue->flush_at)
		queue->flush_at--;
}

/* What an event counts while it waits; with a reader it is its true size. */
static u32 charge_of(const struct metastore_queue *queue,
		     const struct metastore_value *value)
{
	return max(metastore_value_size(value), queue->min_charge);
}

static void drop_oldest(struct metastore_queue *queue,
			struct metastore_garbage *garbage)
{
	struct metastore_record *record = record_at(queue, 0);

	queue->bytes -= charge_of(queue, record->value);
	queue->lost++;
	record->source->pending--;
	count_lost(record->source, 1);
	metastore_value_put_later(record->value, garbage);
	remove_oldest(queue);
}

static bool make_room(struct metastore_queue *queue, u32 charge,
		      struct metastore_garbage *garbage)
{
	/* What is with readers cannot be dropped. */
	if (charge > queue->max_bytes - queue->in_flight)
		return false;
	while (queue->len == queue->max_len ||
	       charge > queue->max_bytes - queue->bytes)
		drop_oldest(queue, garbage);
	return true;
}

/* Returns false if there is no room for it whatever is dropped. */
static bool push(struct metastore_queue *queue, struct metastore_source *source,
		 const struct metastore_record *event,
		 struct metastore_garbage *garbage)
{
	u32 charge = charge_of(queue, event->value);
	struct metastore_record *record;

	if (!make_room(queue, charge, garbage)) {
		queue->lost++;
		count_lost(source, 1);
		return false;
	}
	metastore_value_get(event->value);
	record = record_at(queue, queue->len++);
	*record = *event;
	record->source = source;
	queue->bytes += charge;
	source->pending++;
	return true;
}

/**
 * metastore_queue_push - queue an event
 * @source:	the subscription
 * @event:	the event; its source is not looked at, and the queue takes a
 *		reference of its own to its value
 * @garbage:	takes values of events that were dropped for it
 *
 * Context: with the bucket's lock held; takes the queue's.
 * Return: false if there is no room for it whatever is dropped; it is counted as
 * lost.
 */
bool metastore_queue_push(struct metastore_source *source,
			  const struct metastore_record *event,
			  struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = source->queue;
	bool taken;

	spin_lock(&queue->lock);
	taken = push(queue, source, event, garbage);
	wake(queue);
	spin_unlock(&queue->lock);
	return taken;
}

/**
 * metastore_queue_push_group - queue events one right behind the other
 * @queue:	the queue
 * @pushes:	the events, as in metastore_queue_push()
 * @nr:		their number
 * @garbage:	takes values of events that were dropped for them
 *
 * Those that are taken have METASTORE_EVENT_F_MORE but for the last.
 *
 * Context: with a bucket's lock held; takes the queue's.
 */
void metastore_queue_push_group(struct metastore_queue *queue,
				struct metastore_push *pushes, u32 nr,
				struct metastore_garbage *garbage)
{
	bool more = false;
	u32 i;

	spin_lock(&queue->lock);
	for (i = 0; i < nr; i++) {
		pushes[i].taken = push(queue, pushes[i].source, pushes[i].event,
				       garbage);
		if (!pushes[i].taken)
			continue;
		/* Unless it was dropped again for this one. */
		if (more && queue->len > 1)
			record_at(queue, queue->len - 2)->flags |=
				METASTORE_EVENT_F_MORE;
		more = true;
	}
	wake(queue);
	spin_unlock(&queue->lock);
}

static bool flush_is_next(const struct metastore_queue *queue)
{
	return queue->flushed && !queue->flush_at;
}

/* Copies the next record. Losses come first, then FLUSHED if it is its turn. */
static bool peek(struct metastore_queue *queue, struct metastore_record *record)
{
	struct metastore_source *source;

	source = list_first_entry_or_null(&queue->lossy, struct metastore_source,
					  lossy);
	if (source)
		*record = (struct metastore_record) {
			.source = source,
			.count = source->lost,
			.type = METASTORE_EVENT_LOST,
		};
	else if (flush_is_next(queue))
		*record = (struct metastore_record) {
			.count = queue->flushed,
			.type = METASTORE_EVENT_FLUSHED,
		};
	else if (queue->len)
		*record = *record_at(queue, 0);
	else
		return false;
	return true;
}

/* Takes out what peek() showed. */
static void consume(struct metastore_queue *queue,
		    const struct metastore_record *record)
{
	if (record->type == METASTORE_EVENT_FLUSHED) {
		queue->flushed = 0;
	} else if (record->type == METASTORE_EVENT_LOST) {
		list_del_init(&record->source->lossy);
		record->source->lost = 0;
		record->source->pending++;
	} else {
		u32 size = metastore_value_size(record->value);

		queue->bytes -= charge_of(queue, record->value) - size;
		queue->in_flight += size;
		remove_oldest(queue);
	}
}

/*
 * Would a further record leave a reader with more than half of the budget? The
 * rest is for new events, which cannot displace what a reader has.
 */
static bool overdraws(const struct metastore_queue *queue,
		      const struct metastore_record *record)
{
	return record->value && queue->in_flight + metastore_value_size(record->value) >
				queue->max_bytes / 2;
}

/**
 * metastore_record_header_size - length of what is ahead of a record's key
 * @record:	the record
 *
 * Return: bytes, a multiple of 8.
 */
size_t metastore_record_header_size(const struct metastore_record *record)
{
	size_t size = sizeof(struct metastore_event);

	if (record->flags & METASTORE_EVENT_F_OWNER)
		size += sizeof(struct metastore_owner_end);
	return size;
}

/**
 * metastore_record_size - length of a record as read() returns it
 * @record:	the record
 *
 * Return: bytes, a multiple of 8.
 */
size_t metastore_record_size(const struct metastore_record *record)
{
	size_t size = metastore_record_header_size(record);

	if (record->value)
		size += record->value->node.key_len + record->value->len;
	return ALIGN(size, 8);
}

/**
 * metastore_queue_take - take records out for a reader
 * @queue:	the queue
 * @records:	is filled; to be given to metastore_queue_finish()
 * @max:	records that @records has room for
 * @room:	bytes that the reader has room for
 *
 * Context: takes the queue's lock.
 * Return: the number of records, not always all that fit; 0 if there are none;
 * -EMSGSIZE if the first does not fit.
 */
int metastore_queue_take(struct metastore_queue *queue,
			 struct metastore_record *records, int max, size_t room)
{
	int nr = 0;

	spin_lock(&queue->lock);
	while (nr < max && peek(queue, &records[nr])) {
		size_t size = metastore_record_size(&records[nr]);

		if (size > room) {
			nr = nr ?: -EMSGSIZE;
			break;
		}
		if (nr && overdraws(queue, &records[nr]))
			break;
		room -= size;
		consume(queue, &records[nr++]);
	}
	spin_unlock(&queue->lock);
	return nr;
}

/* The reader did not get it: back on the books with it. */
static void undo(struct metastore_queue *queue,
		 const struct metastore_record *record)
{
	if (record->type == METASTORE_EVENT_FLUSHED) {
		queue->flushed += record->count;
	} else if (record->type == METASTORE_EVENT_LOST) {
		count_lost(record->source, record->count);
	} else {
		queue->lost++;
		count_lost(record->source, 1);
	}
}

/**
 * metastore_queue_finish - say what became of records taken
 * @queue:	the queue
 * @records:	the records of one metastore_queue_take(); not to be used
 *		afterwards
 * @nr:		their number
 * @delivered:	how many of them, from the first, the reader got
 *
 * Events that it did not get are counted as lost; that is the next record.
 *
 * Context: takes the queue's lock. May sleep.
 */
void metastore_queue_finish(struct metastore_queue *queue,
			    struct metastore_record *records, int nr,
			    int delivered)
{
	struct metastore_garbage garbage = {};
	int i;

	spin_lock(&queue->lock);
	for (i = 0; i < nr; i++) {
		struct metastore_record *record = &records[i];

		if (i >= delivered)
			undo(queue, record);
		if (record->value) {
			u32 size = metastore_value_size(record->value);

			queue->bytes -= size;
			queue->in_flight -= size;
			metastore_value_put_later(record->value, &garbage);
		}
		if (record->source) {
			record->source->pending--;
			free_if_done(record->source);
		}
	}
	spin_unlock(&queue->lock);
	metastore_garbage_free(&garbage);
}

/**
 * metastore_queue_next_size - length of the next record
 * @queue:	the queue
 *
 * Context: takes the queue's lock.
 * Return: bytes; 0 if there is none.
 */
size_t metastore_queue_next_size(struct metastore_queue *queue)
{
	struct metastore_record record;
	size_t size = 0;

	spin_lock(&queue->lock);
	if (peek(queue, &record))
		size = metastore_record_size(&record);
	spin_unlock(&queue->lock);
	return size;
}

/**
 * metastore_queue_has_record - whether something can be read
 * @queue:	the queue
 *
 * Context: takes the queue's lock.
 */
bool metastore_queue_has_record(struct metastore_queue *queue)
{
	return metastore_queue_next_size(queue) != 0;
}

/**
 * metastore_queue_pass_on - wake the next reader if this one left something
 * @queue:	the queue
 *
 * Context: takes the queue's lock.
 */
void metastore_queue_pass_on(struct metastore_queue *queue)
{
	struct metastore_record record;

	spin_lock(&queue->lock);
	if (peek(queue, &record))
		wake(queue);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_stat - tell how full a queue is
 * @queue:	the queue
 * @stat:	is filled
 *
 * Context: takes the queue's lock.
 */
void metastore_queue_stat(struct metastore_queue *queue,
			  struct metastore_queue_stat *stat)
{
	spin_lock(&queue->lock);
	stat->len = queue->len;
	stat->bytes = queue->bytes;
	stat->lost = queue->lost;
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_destroy - free what is in a queue
 * @queue:	the queue, which has no readers and no subscriptions any more
 *
 * Context: may sleep.
 */
void metastore_queue_destroy(struct metastore_queue *queue)
{
	struct metastore_source *source, *next;
	u32 i, len = queue->len;

	for (i = 0; i < len; i++) {
		struct metastore_record *record = record_at(queue, i);

		metastore_value_put(record->value);
		record->source->pending--;
		free_if_done(record->source);
		cond_resched();
	}
	list_for_each_entry_safe(source, next, &queue->lossy, lossy)
		kfree(source);
	kvfree(queue->ring);
}
