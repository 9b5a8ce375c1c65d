// SPDX-License-Identifier: GPL-2.0
/*
 * The event queue of an open file: references to values, bounded in events and in
 * bytes. Nothing is allocated when something is pushed, dropped or lost.
 *
 * Events wait in a ring. Of some subscriptions only the latest event of a key is
 * wanted. If that is to a prefix, a newer event takes the place in the ring of the
 * one that waits, which is found by an index. If it is to one key, the subscription
 * itself is the event's place, with bytes reserved for it, so that it cannot be lost.
 *
 * What a reader takes stays on the books (bytes, pending) until it says with
 * metastore_queue_finish() what became of it, so that a copy that failed is
 * counted as lost, and a slow copy pins no more than the budget.
 */
#include <linux/align.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "claim.h"
#include "queue.h"
#include "store.h"

DEFINE_SRCU(metastore_srcu);

static u32 min_charge(u32 max_bytes, u32 max_len)
{
	return max_bytes / (max_len + 1);
}

/**
 * metastore_queue_init - make an empty queue
 * @queue:	the queue
 * @limits:	the store's
 * @room:	whom to tell when there is room at last
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
	queue->min_charge = min_charge(limits->queue_bytes, limits->queue_len);
	queue->place_bytes = METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD +
			     METASTORE_KEY_MAX + limits->max_value;
}

/* Is the event's place in the subscription itself? */
static bool has_place(const struct metastore_source *source)
{
	return source->flags & METASTORE_SUBSCRIBE_LATEST &&
	       !(source->flags & METASTORE_SUBSCRIBE_PREFIX);
}

/* Is it to be found in the ring? */
static bool is_indexed(u32 flags)
{
	return flags & METASTORE_SUBSCRIBE_LATEST && flags & METASTORE_SUBSCRIBE_PREFIX;
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

/* Books and room */

static void count_untold(struct metastore_source *source, u64 count)
{
	if (!source->untold)
		list_add_tail(&source->lossy, &source->queue->lossy);
	source->untold += count;
}

static void count_lost(struct metastore_source *source)
{
	source->books.lost++;
	source->queue->books.lost++;
	count_untold(source, 1);
}

static void count_conflated(struct metastore_source *source)
{
	source->books.conflated++;
	source->queue->books.conflated++;
}

static void count_pending(struct metastore_source *source)
{
	source->books.pending++;
	source->queue->books.pending++;
}

static void uncount_pending(struct metastore_source *source)
{
	source->books.pending--;
	source->queue->books.pending--;
}

/* What an event counts while it waits; with a reader it is its true size. */
static u32 charge_of(const struct metastore_queue *queue,
		     const struct metastore_value *value)
{
	return max(metastore_value_size(value), queue->min_charge);
}

/* Takes the oldest out of the ring, with the reference to its value. */
static void remove_oldest(struct metastore_queue *queue)
{
	queue->bytes -= charge_of(queue, metastore_ring_at(&queue->ring, 0)->value);
	metastore_ring_remove_oldest(&queue->ring);
	if (queue->flush_at)
		queue->flush_at--;
}

static void drop_oldest(struct metastore_queue *queue,
			struct metastore_garbage *garbage)
{
	struct metastore_record record = *metastore_ring_at(&queue->ring, 0);

	remove_oldest(queue);
	uncount_pending(record.source);
	count_lost(record.source);
	metastore_value_put_later(record.value, garbage);
}

/* Is there room in the ring for so much more, that much of which may be dropped? */
static bool has_room(const struct metastore_queue *queue, u32 charge, u32 droppable)
{
	return (u64)queue->bytes - droppable + queue->reserved + queue->claimed_bytes +
	       charge <= queue->max_bytes;
}

/* For so many events more in the ring, and so many bytes. */
static bool make_room(struct metastore_queue *queue, u32 events, u32 charge,
		      struct metastore_garbage *garbage)
{
	u32 max_len = queue->ring.max_len - events;

	if (queue->lossless)
		return queue->ring.len + queue->claimed_len <= max_len &&
		       has_room(queue, charge, 0);
	/* What is with readers cannot be dropped. */
	if (!has_room(queue, charge, queue->bytes - queue->in_flight))
		return false;
	while (queue->ring.len > max_len || !has_room(queue, charge, 0))
		drop_oldest(queue, garbage);
	return true;
}

/* Subscriptions */

/* There may be room where there was none. */
static void room_came(struct metastore_queue *queue)
{
	if (!queue->room_wanted)
		return;
	queue->room_wanted = false;
	metastore_room_came(queue->room);
}

/* Reserves the place for one exact key's latest event. */
static int reserve(struct metastore_queue *queue)
{
	struct metastore_garbage garbage = {};
	int err = -ENOBUFS;

	spin_lock(&queue->lock);
	if (queue->reserved + queue->place_bytes <= queue->max_bytes / 2 &&
	    make_room(queue, 0, queue->place_bytes, &garbage)) {
		queue->reserved += queue->place_bytes;
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
	};
	INIT_LIST_HEAD(&source->lossy);
	INIT_LIST_HEAD(&source->in_latest);
	INIT_LIST_HEAD(&source->in_snapshots);
	if (source->flags & METASTORE_SUBSCRIBE_SNAPSHOT) {
		source->snapshot = metastore_snapshot_create(first_bucket, args->version);
		if (!source->snapshot)
			return -ENOMEM;
	}
	if (has_place(source))
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
	if (!has_place(source))
		return;
	spin_lock(&source->queue->lock);
	source->queue->reserved -= source->queue->place_bytes;
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
	wake(queue);
	spin_unlock(&queue->lock);
}

static void free_source(struct rcu_head *rcu)
{
	struct metastore_source *source = container_of(rcu, struct metastore_source, rcu);

	kfree(source->snapshot);
	kfree(source);
}

static void free_if_done(struct metastore_source *source)
{
	if (!source->cancelled || source->books.pending || source->untold || source->held)
		return;
	if (has_place(source))
		source->queue->reserved -= source->queue->place_bytes;
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
	list_del_init(&source->in_snapshots);
	free_if_done(source);
	room_came(queue);
	if (flushed) {
		queue->flushed++;
		queue->flush_at = queue->ring.len;
		queue->flush_at_latest = queue->nr_latest;
		wake(queue);
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
	if (!source->snapshot)
		flags &= ~METASTORE_SUBSCRIBE_SNAPSHOT;
	spin_unlock(&source->queue->lock);
	return flags;
}

/* An event comes */

static struct metastore_record record_of(struct metastore_source *source,
					 const struct metastore_record *event)
{
	struct metastore_record record = *event;

	record.source = source;
	record.since = jiffies;
	if (source->flags & METASTORE_SUBSCRIBE_NO_VALUE)
		record.flags |= METASTORE_EVENT_F_NO_VALUE;
	return record;
}

/* Puts a newer event where one of the same key waits. It is as old as that one. */
static void replace(struct metastore_record *old, const struct metastore_record *new,
		    struct metastore_garbage *garbage)
{
	u32 since = old->since;

	count_conflated(new->source);
	metastore_value_put_later(old->value, garbage);
	metastore_value_get(new->value);
	*old = *new;
	old->since = since;
}

static void note_length(struct metastore_queue *queue)
{
	queue->high_len = max(queue->high_len, queue->ring.len + queue->nr_latest);
}

static void push_in_place(struct metastore_queue *queue,
			  const struct metastore_record *record,
			  struct metastore_garbage *garbage)
{
	struct metastore_source *source = record->source;

	if (source->latest.value) {
		replace(&source->latest, record, garbage);
		return;
	}
	metastore_value_get(record->value);
	source->latest = *record;
	list_add_tail(&source->in_latest, &queue->latest);
	queue->nr_latest++;
	count_pending(source);
	note_length(queue);
}

/* Returns false if there is no room for it. */
static bool push_in_ring(struct metastore_queue *queue,
			 const struct metastore_record *record,
			 struct metastore_garbage *garbage)
{
	u32 charge = charge_of(queue, record->value);

	if (!make_room(queue, 1, charge, garbage)) {
		count_lost(record->source);
		return false;
	}
	metastore_value_get(record->value);
	metastore_ring_append(&queue->ring, record, is_indexed(record->source->flags));
	queue->bytes += charge;
	count_pending(record->source);
	note_length(queue);
	return true;
}

/*
 * Puts it where an event of the same key waits, and drops the oldest if it is so much
 * longer. If that is the very one, it is as if none had waited. Returns false if there
 * is no room for it.
 */
static bool push_over(struct metastore_queue *queue, struct metastore_record *old,
		      const struct metastore_record *record,
		      struct metastore_garbage *garbage)
{
	u32 less = charge_of(queue, old->value);
	u32 more = charge_of(queue, record->value);

	while (!has_room(queue, more, less)) {
		if (queue->lossless ||
		    !has_room(queue, more, queue->bytes - queue->in_flight)) {
			count_lost(record->source);
			return false;
		}
		if (metastore_ring_at(&queue->ring, 0) == old) {
			struct metastore_value *value = old->value;

			remove_oldest(queue);
			uncount_pending(record->source);
			count_conflated(record->source);
			metastore_value_put_later(value, garbage);
			return push_in_ring(queue, record, garbage);
		}
		drop_oldest(queue, garbage);
	}
	queue->bytes += more - less;
	replace(old, record, garbage);
	return true;
}

static bool push(struct metastore_queue *queue, struct metastore_source *source,
		 const struct metastore_key *key, const struct metastore_record *event,
		 struct metastore_garbage *garbage)
{
	struct metastore_record record, *waits = NULL;

	if (source->cancelled)
		return false;
	/* The snapshot will show what the event tells. */
	if (source->snapshot && !metastore_snapshot_has_passed(source->snapshot, key))
		return false;
	record = record_of(source, event);
	source->books.matched++;
	queue->books.matched++;
	if (has_place(source)) {
		push_in_place(queue, &record, garbage);
		return true;
	}
	if (is_indexed(source->flags))
		waits = metastore_ring_find(&queue->ring, source, record.value);
	return waits ? push_over(queue, waits, &record, garbage) :
		       push_in_ring(queue, &record, garbage);
}

static void unclaim(struct metastore_queue *queue, u32 charge)
{
	queue->claimed_len--;
	queue->claimed_bytes -= charge;
}

/**
 * metastore_queue_claim - claim room for an event, if the queue is lossless
 * @source:	the subscription
 * @value:	the event's
 * @charge:	is set to the bytes that are claimed, for metastore_queue_push() or
 *		metastore_queue_unclaim(); 0: there need not be, or can never be, room
 *
 * Context: in a section of metastore_srcu; takes the queue's lock.
 * Return: 0; -EAGAIN if there is no room; when there is, metastore_room_came() is
 * called.
 */
int metastore_queue_claim(struct metastore_source *source,
			  const struct metastore_value *value, u32 *charge)
{
	struct metastore_queue *queue = source->queue;
	u32 bytes;
	int err = 0;

	*charge = 0;
	spin_lock(&queue->lock);
	bytes = charge_of(queue, value);
	if (source->cancelled || !queue->lossless || has_place(source) ||
	    bytes > queue->max_bytes - queue->reserved)
		goto unlock;
	if (make_room(queue, 1, bytes, NULL)) {
		queue->claimed_len++;
		queue->claimed_bytes += bytes;
		*charge = bytes;
	} else {
		queue->room_wanted = true;
		err = -EAGAIN;
	}
unlock:
	spin_unlock(&queue->lock);
	return err;
}

/**
 * metastore_queue_unclaim - give room back that was not used
 * @source:	the subscription
 * @charge:	of metastore_queue_claim()
 *
 * Context: in the same section of metastore_srcu; takes the queue's lock.
 */
void metastore_queue_unclaim(struct metastore_source *source, u32 charge)
{
	struct metastore_queue *queue = source->queue;

	spin_lock(&queue->lock);
	unclaim(queue, charge);
	room_came(queue);
	spin_unlock(&queue->lock);
}

/**
 * metastore_queue_push - queue an event
 * @source:	the subscription
 * @key:	the key that the event is about
 * @event:	the event; its source is not looked at, and the queue takes a
 *		reference of its own to its value
 * @claim:	room that is claimed for it, or NULL
 * @garbage:	takes values of events that were dropped for it
 *
 * Context: with the bucket's lock held; takes the queue's.
 * Return: false if there is no room for it, then it is counted as lost; or if the
 * subscription has ended, or its snapshot has not passed the key yet.
 */
bool metastore_queue_push(struct metastore_source *source,
			  const struct metastore_key *key,
			  const struct metastore_record *event,
			  struct metastore_claim *claim,
			  struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = source->queue;
	bool taken;

	spin_lock(&queue->lock);
	if (claim) {
		unclaim(queue, claim->charge);
		claim->used = true;
	}
	taken = push(queue, source, key, event, garbage);
	wake(queue);
	spin_unlock(&queue->lock);
	return taken;
}

/**
 * metastore_queue_push_begin - begin to queue events one right behind the other
 * @group:	is set
 * @queue:	the queue
 * @garbage:	takes values of events that were dropped for them
 *
 * Context: with a bucket's lock held; takes the queue's, until
 * metastore_queue_push_end().
 */
void metastore_queue_push_begin(struct metastore_push_group *group,
				struct metastore_queue *queue,
				struct metastore_garbage *garbage)
	__acquires(&queue->lock)
{
	spin_lock(&queue->lock);
	group->queue = queue;
	group->garbage = garbage;
	group->more = false;
}

/**
 * metastore_queue_push_next - queue one of them
 * @group:	the events
 * @source:	the subscription
 * @key:	the key that the event is about
 * @event:	the event, as in metastore_queue_push()
 *
 * Those that are taken have METASTORE_EVENT_F_MORE but for the last. An event that
 * takes another one's place is none of them.
 *
 * Return: as metastore_queue_push().
 */
bool metastore_queue_push_next(struct metastore_push_group *group,
			       struct metastore_source *source,
			       const struct metastore_key *key,
			       const struct metastore_record *event)
{
	struct metastore_ring *ring = &group->queue->ring;

	if (!push(group->queue, source, key, event, group->garbage))
		return false;
	if (source->flags & METASTORE_SUBSCRIBE_LATEST)
		return true;
	/* Unless it was dropped again for this one. */
	if (group->more && ring->len > 1)
		metastore_ring_at(ring, ring->len - 2)->flags |= METASTORE_EVENT_F_MORE;
	group->more = true;
	return true;
}

/**
 * metastore_queue_push_end - that were all
 * @group:	the events
 */
void metastore_queue_push_end(struct metastore_push_group *group)
	__releases(&group->queue->lock)
{
	wake(group->queue);
	spin_unlock(&group->queue->lock);
}

/* Events go */

enum next {
	NEXT_NONE,
	NEXT_LOST,
	NEXT_FLUSHED,
	NEXT_SNAPSHOT,
	NEXT_LATEST,
	NEXT_RING,
};

/*
 * What a reader gets next. Losses come first, then FLUSHED if it is its turn. Of events
 * in the ring, in places of their own, and values of snapshots none shall wait for the
 * others; but a group stays together.
 */
static enum next next_of(const struct metastore_queue *queue)
{
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

static struct metastore_source *first_latest(struct metastore_queue *queue)
{
	return list_first_entry(&queue->latest, struct metastore_source, in_latest);
}

/* Copies the next record, unless it is of a snapshot; returns which it is. */
static enum next peek(struct metastore_queue *queue, struct metastore_record *record)
{
	enum next next = next_of(queue);
	struct metastore_source *source;

	switch (next) {
	case NEXT_LOST:
		source = list_first_entry(&queue->lossy, struct metastore_source, lossy);
		*record = (struct metastore_record) {
			.source = source,
			.count = source->untold,
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
		*record = first_latest(queue)->latest;
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

/* A reader has its value now, which counts its true size. */
static void count_in_flight(struct metastore_queue *queue,
			    const struct metastore_record *record)
{
	u32 size = metastore_value_size(record->value);

	queue->bytes += size;
	queue->in_flight += size;
}

static void consume_latest(struct metastore_queue *queue,
			   const struct metastore_record *record)
{
	record->source->latest.value = NULL;
	list_del_init(&record->source->in_latest);
	queue->nr_latest--;
	if (queue->flush_at_latest)
		queue->flush_at_latest--;
	queue->latest_turn = false;
	count_in_flight(queue, record);
}

static void consume_oldest(struct metastore_queue *queue,
			   const struct metastore_record *record)
{
	remove_oldest(queue);
	queue->latest_turn = !(record->flags & METASTORE_EVENT_F_MORE);
	count_in_flight(queue, record);
}

/* Takes out what peek() showed. */
static void consume(struct metastore_queue *queue, enum next next,
		    const struct metastore_record *record)
{
	switch (next) {
	case NEXT_LOST:
		list_del_init(&record->source->lossy);
		record->source->untold = 0;
		record->source->held++;
		break;
	case NEXT_FLUSHED:
		queue->flushed = 0;
		break;
	case NEXT_LATEST:
		consume_latest(queue, record);
		break;
	case NEXT_RING:
		consume_oldest(queue, record);
		break;
	case NEXT_SNAPSHOT:
	case NEXT_NONE:
		break;
	}
}

/**
 * metastore_queue_overdraws - would a further record leave a reader with too much?
 * @queue:	the queue
 * @record:	the record
 *
 * With more than half of the budget, that is. The rest is for new events, which cannot
 * displace what a reader has.
 *
 * Context: with the queue's lock held.
 */
bool metastore_queue_overdraws(const struct metastore_queue *queue,
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
		size += record->value->node.key_len;
	if (record->value && !(record->flags & METASTORE_EVENT_F_NO_VALUE))
		size += record->value->len;
	return ALIGN(size, 8);
}

/* The rest is metastore_snapshot_take()'s. */
static bool is_taken_here(enum next next)
{
	return next != NEXT_NONE && next != NEXT_SNAPSHOT;
}

/**
 * metastore_queue_take - take records out for a reader
 * @queue:	the queue
 * @records:	is filled; to be given to metastore_queue_finish()
 * @max:	records that @records has room for
 * @room:	bytes that the reader has room for
 *
 * Context: takes the queue's lock.
 * Return: the number of records, not always all that fit; 0 if there are none, or if
 * it is a snapshot's turn; -EMSGSIZE if the first does not fit.
 */
int metastore_queue_take(struct metastore_queue *queue,
			 struct metastore_record *records, int max, size_t room)
{
	enum next next;
	int nr = 0;

	spin_lock(&queue->lock);
	while (nr < max && is_taken_here(next = peek(queue, &records[nr]))) {
		size_t size = metastore_record_size(&records[nr]);

		if (size > room) {
			nr = nr ?: -EMSGSIZE;
			break;
		}
		if (nr && metastore_queue_overdraws(queue, &records[nr]))
			break;
		room -= size;
		consume(queue, next, &records[nr++]);
	}
	if (nr > 0) {
		queue->snapshot_turn = !(records[nr - 1].flags & METASTORE_EVENT_F_MORE);
		room_came(queue);
	}
	spin_unlock(&queue->lock);
	return nr;
}

/* Snapshots */

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
	queue->snapshot_turn = false;
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
	free_if_done(source);
	spin_unlock(&queue->lock);
}

/**
 * metastore_snapshot_record - make the record of a value that is there
 * @source:	the subscription
 * @value:	the value, which stays while the bucket's lock is held
 * @record:	is set
 *
 * Context: with the queue's lock held.
 */
void metastore_snapshot_record(struct metastore_source *source,
			       struct metastore_value *value,
			       struct metastore_record *record)
{
	struct metastore_record event = {
		.value = value,
		.version = value->version,
		.type = METASTORE_EVENT_SNAPSHOT,
	};

	*record = record_of(source, &event);
}

/**
 * metastore_snapshot_end_record - make the record that those were all values
 * @source:	the subscription
 * @record:	is set
 *
 * Context: with the queue's lock held.
 * Return: false if another reader has it, or the subscription has ended.
 */
bool metastore_snapshot_end_record(struct metastore_source *source,
				   struct metastore_record *record)
{
	*record = (struct metastore_record) {
		.source = source,
		.type = METASTORE_EVENT_SNAPSHOT_END,
	};
	return !list_empty(&source->in_snapshots);
}

/**
 * metastore_snapshot_consume - a reader takes a record of a snapshot
 * @queue:	the queue
 * @record:	the record
 *
 * Context: with the queue's lock held, and if it has a value the bucket's.
 */
void metastore_snapshot_consume(struct metastore_queue *queue,
				const struct metastore_record *record)
{
	struct metastore_source *source = record->source;

	if (!record->value) {
		list_del_init(&source->in_snapshots);
		source->held++;
		return;
	}
	metastore_value_get(record->value);
	source->books.matched++;
	queue->books.matched++;
	count_pending(source);
	count_in_flight(queue, record);
}

static void finish_snapshot(struct metastore_source *source)
{
	metastore_snapshot_free_later(source->snapshot);
	source->snapshot = NULL;
}

/* Readers are through */

static void undo_end(struct metastore_queue *queue, struct metastore_source *source)
{
	if (!source->cancelled)
		list_add(&source->in_snapshots, &queue->snapshots);
}

/* The reader did not get it: back on the books with it. */
static void undo(struct metastore_queue *queue,
		 const struct metastore_record *record)
{
	if (record->type == METASTORE_EVENT_FLUSHED)
		queue->flushed += record->count;
	else if (record->type == METASTORE_EVENT_LOST)
		count_untold(record->source, record->count);
	else if (record->type == METASTORE_EVENT_SNAPSHOT_END)
		undo_end(queue, record->source);
	else
		count_lost(record->source);
}

static void count_delivered(struct metastore_source *source)
{
	source->books.delivered++;
	source->queue->books.delivered++;
}

/* A reader is through with a record, having got it or not. */
static void finish(struct metastore_queue *queue, struct metastore_record *record,
		   bool delivered, struct metastore_garbage *garbage)
{
	u32 size;

	if (!delivered)
		undo(queue, record);
	if (!record->source)
		return;
	if (record->value) {
		size = metastore_value_size(record->value);
		queue->bytes -= size;
		queue->in_flight -= size;
		uncount_pending(record->source);
		if (delivered)
			count_delivered(record->source);
		metastore_value_put_later(record->value, garbage);
	} else {
		record->source->held--;
		if (delivered && record->type == METASTORE_EVENT_SNAPSHOT_END)
			finish_snapshot(record->source);
	}
	free_if_done(record->source);
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
	for (i = 0; i < nr; i++)
		finish(queue, &records[i], i < delivered, &garbage);
	room_came(queue);
	spin_unlock(&queue->lock);
	metastore_garbage_free(&garbage);
}

/**
 * metastore_queue_next_size - length of the next record
 * @queue:	the queue
 *
 * Context: takes the queue's lock, and a bucket's. May sleep.
 * Return: bytes; 0 if there is none.
 */
size_t metastore_queue_next_size(struct metastore_queue *queue)
{
	struct metastore_record record;
	enum next next;

	spin_lock(&queue->lock);
	next = peek(queue, &record);
	spin_unlock(&queue->lock);
	if (next == NEXT_SNAPSHOT)
		return metastore_snapshot_next_size(queue);
	return next == NEXT_NONE ? 0 : metastore_record_size(&record);
}

/**
 * metastore_queue_has_record - whether something can be read
 * @queue:	the queue
 *
 * Context: takes the queue's lock.
 */
bool metastore_queue_has_record(struct metastore_queue *queue)
{
	bool has;

	spin_lock(&queue->lock);
	has = next_of(queue) != NEXT_NONE;
	spin_unlock(&queue->lock);
	return has;
}

/**
 * metastore_queue_pass_on - wake the next reader if this one left something
 * @queue:	the queue
 *
 * Context: takes the queue's lock.
 */
void metastore_queue_pass_on(struct metastore_queue *queue)
{
	spin_lock(&queue->lock);
	if (next_of(queue) != NEXT_NONE)
		wake(queue);
	spin_unlock(&queue->lock);
}

/* The queue as a whole */

/* What a queue's ring is like, for who is about to allocate another one. */
struct shape {
	u32 max_len;
	bool allocated;
	bool indexed;
};

static struct shape shape_of(struct metastore_queue *queue)
{
	return (struct shape) {
		.max_len = queue->ring.max_len,
		.allocated = queue->ring.records,
		.indexed = queue->ring.index.heads,
	};
}

static struct shape look_at_shape(struct metastore_queue *queue)
{
	struct shape shape;

	spin_lock(&queue->lock);
	shape = shape_of(queue);
	spin_unlock(&queue->lock);
	return shape;
}

/* Has nobody else given it another one meanwhile? */
static bool has_shape(struct metastore_queue *queue, const struct shape *shape)
{
	struct shape now = shape_of(queue);

	return now.max_len == shape->max_len && now.allocated == shape->allocated &&
	       now.indexed == shape->indexed;
}

static int create_ring(struct metastore_ring *ring, const struct shape *shape)
{
	*ring = (struct metastore_ring) { .max_len = shape->max_len };
	return shape->allocated ?
	       metastore_ring_create(ring, shape->max_len, shape->indexed) : 0;
}

/* Moves what waits into a new ring. */
static void move_to(struct metastore_queue *queue, struct metastore_ring *ring)
{
	struct metastore_record *record;
	u32 i;

	for (i = 0; i < queue->ring.len; i++) {
		record = metastore_ring_at(&queue->ring, i);
		metastore_ring_append(ring, record, is_indexed(record->source->flags));
	}
	swap(queue->ring, *ring);
}

/**
 * metastore_queue_prepare - allocate what a subscription needs
 * @queue:	the queue
 * @flags:	METASTORE_SUBSCRIBE_*
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EBUSY if what it needs is to be had only by moving more than
 * METASTORE_QUEUE_MOVE_MAX events under the lock.
 */
int metastore_queue_prepare(struct metastore_queue *queue, u32 flags)
{
	struct shape is, wanted;
	struct metastore_ring ring;
	int err;

	for (;;) {
		is = look_at_shape(queue);
		wanted = is;
		wanted.allocated = true;
		wanted.indexed |= is_indexed(flags);
		if (is.allocated && is.indexed == wanted.indexed)
			return 0;
		err = create_ring(&ring, &wanted);
		if (err)
			return err;
		spin_lock(&queue->lock);
		if (queue->ring.len > METASTORE_QUEUE_MOVE_MAX)
			err = -EBUSY;
		else if (has_shape(queue, &is))
			move_to(queue, &ring);
		spin_unlock(&queue->lock);
		metastore_ring_free(&ring);
		if (err)
			return err;
	}
}

/* What the ring's events would count with another limit. */
static u64 bytes_with(struct metastore_queue *queue, u32 charge)
{
	u64 bytes = queue->in_flight;
	u32 i;

	for (i = 0; i < queue->ring.len; i++)
		bytes += max(metastore_value_size(metastore_ring_at(&queue->ring, i)->value),
			     charge);
	return bytes;
}

/* Gives a queue other limits and another policy, and a ring for them. */
static int reconfigure(struct metastore_queue *queue, struct metastore_ring *ring,
		       u32 max_bytes, bool lossless, struct metastore_garbage *garbage)
{
	u32 charge = min_charge(max_bytes, ring->max_len);
	u64 bytes;

	if (queue->reserved > max_bytes / 2)
		return -ENOBUFS;
	if (queue->ring.len > METASTORE_QUEUE_MOVE_MAX)
		return -EBUSY;
	bytes = bytes_with(queue, charge);
	if (lossless && (queue->ring.len + queue->claimed_len > ring->max_len ||
			 bytes + queue->claimed_bytes + queue->reserved > max_bytes))
		return -EBUSY;
	WRITE_ONCE(queue->lossless, lossless);
	queue->max_bytes = max_bytes;
	queue->min_charge = charge;
	queue->bytes = bytes;
	while (queue->ring.len &&
	       (queue->ring.len > ring->max_len || !has_room(queue, 0, 0)))
		drop_oldest(queue, garbage);
	move_to(queue, ring);
	room_came(queue);
	return 0;
}

/**
 * metastore_queue_configure - set the limits and the policy of a queue
 * @queue:	the queue
 * @args:	what the user wants, checked
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EBUSY, -ENOBUFS as in uapi/linux/metastore.h.
 */
int metastore_queue_configure(struct metastore_queue *queue,
			      const struct metastore_queue_info *args)
{
	struct metastore_garbage garbage = {};
	struct metastore_ring ring;
	struct shape is, wanted;
	bool done = false;
	int err;

	metastore_room_needed(queue->room);
	do {
		is = look_at_shape(queue);
		wanted = is;
		if (args->flags & METASTORE_QUEUE_SET_LEN)
			wanted.max_len = args->max_len;
		err = create_ring(&ring, &wanted);
		if (err)
			break;
		spin_lock(&queue->lock);
		if (has_shape(queue, &is)) {
			err = reconfigure(queue, &ring,
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

/* For how many ms something has been waiting, at least 1; 0: nothing is. */
static u64 age_of_oldest(struct metastore_queue *queue)
{
	u32 age = 0;

	if (queue->ring.len)
		age = (u32)jiffies - metastore_ring_at(&queue->ring, 0)->since;
	if (queue->nr_latest)
		age = max(age, (u32)jiffies - first_latest(queue)->latest.since);
	else if (!queue->ring.len)
		return 0;
	return max(1, jiffies_to_msecs(age));
}

/**
 * metastore_queue_tell - tell all about a queue
 * @queue:	the queue
 * @info:	its [out] fields but the number of subscriptions are set
 *
 * Context: takes the queue's lock.
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
	info->bytes = queue->bytes + queue->reserved;
	info->high_len = queue->high_len;
	info->matched = queue->books.matched;
	info->delivered = queue->books.delivered;
	info->conflated = queue->books.conflated;
	info->lost = queue->books.lost;
	info->pending = queue->books.pending;
	info->oldest = age_of_oldest(queue);
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
	struct metastore_garbage garbage = {};
	struct metastore_record record;
	enum next next;

	do {
		spin_lock(&queue->lock);
		next = peek(queue, &record);
		if (next != NEXT_NONE) {
			consume(queue, next, &record);
			/* Lost, but there is nobody left to be told. */
			finish(queue, &record, true, &garbage);
		}
		spin_unlock(&queue->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (next != NEXT_NONE);
	metastore_ring_free(&queue->ring);
}
