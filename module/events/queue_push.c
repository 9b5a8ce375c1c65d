// SPDX-License-Identifier: GPL-2.0
/*
 * Enqueue events.
 *
 * Events wait in a ring, oldest first. A full queue drops its oldest events, or refuses
 * the new one if it is lossless.
 *
 * Conflating subscriptions keep only the latest event of each key. For a prefix, a
 * newer event replaces the waiting one in the ring, which an index finds. For an exact
 * key, the event waits in the subscription itself. Bytes are reserved for it, so it is
 * never lost.
 */
#include "events/queue_push.h"

/*
 * Event to be enqueued
 *
 * @key:	its key
 * @event:	the event; its subscription is ignored
 * @size:	metastore_value_size() of its value
 * @reserved:	whether the event had a reservation, which the caller has returned
 * @garbage:	takes values of events that are dropped
 */
struct queue_push {
	const struct metastore_key *key;
	const struct metastore_record *event;
	u32 size;
	bool reserved;
	struct metastore_garbage *garbage;
};

/* Drop the oldest event of the ring. It counts as lost, unless it was discarded before. */
void metastore_queue_drop_oldest(struct metastore_queue *queue, struct metastore_garbage *garbage)
{
	struct metastore_record record = *metastore_ring_at(&queue->ring, 0);
	bool stale = queue_oldest_is_stale(queue);

	lockdep_assert_held(&queue->lock);
	queue_remove_oldest(queue);
	if (unlikely(stale)) {
		queue_count_discarded(record.sub);
		metastore_queue_free_if_done(record.sub);
	} else {
		queue_count_lost(record.sub);
	}
	metastore_value_put_later(record.value, garbage);
}

/*
 * Make room in the ring for @events more events and @charge more bytes. Drop the oldest
 * events for it, but none of a lossless queue. Return whether there is room.
 */
bool metastore_queue_make_room(struct metastore_queue *queue, u32 events, u32 charge,
			       struct metastore_garbage *garbage)
{
	u32 max_len = queue->ring.max_len - events;

	lockdep_assert_held(&queue->lock);
	if (queue->lossless)
		return queue->ring.len + queue->reserved_len <= max_len &&
		       queue_has_room(queue, charge, 0);
	/* Events in flight cannot be dropped. */
	if (!queue_has_room(queue, charge, queue->bytes - queue->in_flight))
		return false;
	while (queue->ring.len > max_len || !queue_has_room(queue, charge, 0))
		metastore_queue_drop_oldest(queue, garbage);
	return true;
}

/* Fill in the record of @event for this subscription. */
static void queue_fill_record(struct metastore_record *record, struct metastore_subscription *sub,
			      const struct metastore_record *event)
{
	record->news = event->news;
	record->sub = sub;
	record->flags |= sub->event_flags;
}

/* Replace the waiting event of a key. The newer one keeps the age of the replaced one. */
static void queue_replace_record(struct metastore_record *old, struct metastore_subscription *sub,
				 const struct queue_push *push)
{
	u32 since = old->since;

	lockdep_assert_held(&sub->queue->lock);
	queue_count_conflated(sub);
	metastore_value_put_later(old->value, push->garbage);
	queue_fill_record(old, sub, push->event);
	old->since = since;
}

static bool queue_push_in_place(struct metastore_queue *queue, struct metastore_subscription *sub,
				const struct queue_push *push)
{
	lockdep_assert_held(&queue->lock);
	if (sub->latest.value) {
		queue_replace_record(&sub->latest, sub, push);
		return true;
	}
	queue_fill_record(&sub->latest, sub, push->event);
	list_add_tail(&sub->in_latest, &queue->latest);
	queue->nr_latest++;
	return true;
}

/*
 * Append an event to the ring, or count it as lost. Return its record, or NULL.
 *
 * With a reservation it needs only a place. Bytes may be short nevertheless, since
 * readers take latest events and values of snapshots without a look at reserved bytes.
 */
static struct metastore_record *queue_push_in_ring(struct metastore_queue *queue,
						   struct metastore_subscription *sub,
						   const struct queue_push *push)
{
	u32 charge = queue_charge(queue, push->size);
	struct metastore_record *record;

	lockdep_assert_held(&queue->lock);
	if (!queue_has_place(queue, charge) &&
	    !(push->reserved && queue->ring.len < queue->ring.max_len) &&
	    !metastore_queue_make_room(queue, 1, charge, push->garbage)) {
		queue_count_lost(sub);
		return NULL;
	}
	record = queue_append(queue, sub, push->event, charge);
	record->flags |= sub->event_flags;
	return record;
}

static bool queue_push_indexed(struct metastore_queue *queue, struct metastore_subscription *sub,
			       const struct queue_push *push)
{
	struct metastore_record *record;

	lockdep_assert_held(&queue->lock);
	record = queue_push_in_ring(queue, sub, push);
	if (record)
		metastore_ring_index(&queue->ring, record);
	return record;
}

/*
 * Replace the waiting event @old of the same key. Drop the oldest events if the newer
 * one needs more bytes. If @old becomes the oldest, remove it and append the newer one
 * instead. Return false if there is no room.
 */
static bool queue_push_over(struct metastore_queue *queue, struct metastore_subscription *sub,
			    struct metastore_record *old, const struct queue_push *push)
{
	u32 less = queue_charge(queue, metastore_value_size(old->value));
	u32 more = queue_charge(queue, push->size);
	struct metastore_value *value;

	lockdep_assert_held(&queue->lock);
	while (!push->reserved && !queue_has_room(queue, more, less)) {
		if (queue->lossless ||
		    !queue_has_room(queue, more, queue->bytes - queue->in_flight)) {
			queue_count_lost(sub);
			return false;
		}
		if (metastore_ring_at(&queue->ring, 0) != old) {
			metastore_queue_drop_oldest(queue, push->garbage);
			continue;
		}
		value = old->value;
		queue_remove_oldest(queue);
		queue_count_conflated(sub);
		metastore_value_put_later(value, push->garbage);
		return queue_push_indexed(queue, sub, push);
	}
	queue->bytes = queue->bytes - less + more;
	if (more < less)
		queue_room_came(queue);
	queue_replace_record(old, sub, push);
	return true;
}

/* Enqueue an event of a conflating subscription. */
static bool queue_push_latest(struct metastore_queue *queue, struct metastore_subscription *sub,
			      const struct queue_push *push)
{
	struct metastore_record *old;

	lockdep_assert_held(&queue->lock);
	if (queue_sub_has_place(sub))
		return queue_push_in_place(queue, sub, push);
	old = metastore_ring_find(&queue->ring, sub, push->event->value);
	/* At most one is in the index. If that is discarded, the new one takes its place there. */
	if (old && metastore_ring_position(&queue->ring, old) < sub->stale_until) {
		metastore_ring_forget(&queue->ring, old);
		old = NULL;
	}
	return old ? queue_push_over(queue, sub, old, push) :
		     queue_push_indexed(queue, sub, push);
}

/*
 * Check whether the subscription gets events of the key. A snapshot that has not passed
 * the key will read the new value itself.
 */
static bool queue_hears(const struct metastore_subscription *sub, const struct metastore_key *key)
{
	lockdep_assert_held(&sub->queue->lock);
	return !sub->cancelled &&
	       (!sub->cursor ||
		metastore_cursor_has_passed(sub->cursor, key));
}

static bool queue_push_one(struct metastore_queue *queue, struct metastore_subscription *sub,
			   const struct queue_push *push)
{
	lockdep_assert_held(&queue->lock);
	if (!sub->plain && !queue_hears(sub, push->key))
		return false;
	sub->books.matched++;
	if (sub->flags & METASTORE_SUBSCRIBE_LATEST)
		return queue_push_latest(queue, sub, push);
	return queue_push_in_ring(queue, sub, push);
}

static void queue_unreserve(struct metastore_queue *queue, u32 charge)
{
	lockdep_assert_held(&queue->lock);
	queue->reserved_len--;
	queue->reserved_bytes -= charge;
	queue_note_fast_bytes(queue);
}

/**
 * metastore_queue_reserve() - Reserve room for an event if the queue is lossless
 * @sub:	the subscription
 * @value:	value of the event
 * @charge:	set to the reserved bytes, for metastore_queue_push_reserved() or
 *		metastore_queue_unreserve(); 0: no reservation is needed, or the event
 *		can never fit
 *
 * Context: Caller is in a metastore_srcu read section; takes the queue's lock.
 * Return: 0, or -ENOBUFS if there is no room. The store's waiting publishers are woken
 * when there may be room.
 */
int metastore_queue_reserve(struct metastore_subscription *sub,
			    const struct metastore_value *value, u32 *charge)
{
	struct metastore_queue *queue = sub->queue;
	u32 bytes;
	int err = 0;

	*charge = 0;
	spin_lock(&queue->lock);
	bytes = queue_charge(queue, metastore_value_size(value));
	if (sub->cancelled || !queue->lossless || queue_sub_has_place(sub) ||
	    bytes > queue->max_bytes - queue->latest_bytes)
		goto unlock;
	if (metastore_queue_make_room(queue, 1, bytes, NULL)) {
		queue->reserved_len++;
		queue->reserved_bytes += bytes;
		queue_note_fast_bytes(queue);
		*charge = bytes;
	} else {
		queue->room_wanted = true;
		err = -ENOBUFS;
	}
unlock:
	spin_unlock(&queue->lock);
	return err;
}

/**
 * metastore_queue_unreserve() - Give unused room back
 * @sub:	the subscription
 * @charge:	value that metastore_queue_reserve() set
 *
 * Context: Caller is in the same metastore_srcu read section; takes the queue's lock.
 */
void metastore_queue_unreserve(struct metastore_subscription *sub, u32 charge)
{
	struct metastore_queue *queue = sub->queue;

	spin_lock(&queue->lock);
	queue_unreserve(queue, charge);
	queue_room_came(queue);
	spin_unlock(&queue->lock);
}

/*
 * Fast path if the ring is full: replace the oldest event. The ring of a subscriber
 * that never reads is always full. Return false if the slow path is needed.
 */
static bool queue_push_for_oldest(struct metastore_queue *queue,
				  struct metastore_subscription *sub,
				  const struct queue_push *push)
{
	struct metastore_ring *ring = &queue->ring;
	const struct metastore_record *oldest;
	struct metastore_record *record;
	u64 bytes;

	lockdep_assert_held(&queue->lock);
	if (!sub->plain || ring->index || ring->len < ring->max_len ||
	    queue_oldest_is_stale(queue))
		return false;
	oldest = metastore_ring_at(ring, 0);
	bytes = queue->bytes + queue_charge(queue, push->size) -
		queue_charge(queue, metastore_value_size(oldest->value));
	/* A lossless queue always returns here: its fast_bytes is 0. */
	if (bytes > queue->fast_bytes)
		return false;
	sub->books.matched++;
	queue_count_lost(oldest->sub);
	metastore_value_put_later(oldest->value, push->garbage);
	queue_note_length(queue);
	if (queue->flush_at)
		queue->flush_at--;
	record = metastore_ring_turn(ring);
	record->news = push->event->news;
	record->sub = sub;
	queue->bytes = bytes;
	return true;
}

/**
 * metastore_queue_push_any() - Enqueue an event for any subscription
 * @sub:	the subscription
 * @key:	key of the event
 * @event:	the event; its subscription is ignored
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds the queue's lock.
 * Return: true if the queue took the event and one of the caller's references to its
 * value. false if there is no room, and the event counts as lost. Also false if the
 * subscription has ended, or its snapshot has not passed the key yet.
 */
bool metastore_queue_push_any(struct metastore_subscription *sub,
			      const struct metastore_key *key,
			      const struct metastore_record *event,
			      struct metastore_garbage *garbage)
{
	const struct queue_push push = {
		.key = key,
		.event = event,
		.size = metastore_value_size(event->value),
		.garbage = garbage,
	};

	lockdep_assert_held(&sub->queue->lock);
	return queue_push_for_oldest(sub->queue, sub, &push) ||
	       queue_push_one(sub->queue, sub, &push);
}

/**
 * metastore_queue_push_reserved() - Enqueue an event that has a reservation
 * @reservation: the reservation, which is used up
 * @key:	key of the event
 * @event:	the event; its subscription is ignored
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds the bucket's lock; takes the queue's.
 * Return: As metastore_queue_push_any().
 */
bool metastore_queue_push_reserved(struct metastore_reservation *reservation,
				   const struct metastore_key *key,
				   const struct metastore_record *event,
				   struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = reservation->sub->queue;
	const struct queue_push push = {
		.key = key,
		.event = event,
		.size = metastore_value_size(event->value),
		.reserved = true,
		.garbage = garbage,
	};
	bool taken;

	lockdep_assert_held(&key->bucket->lock);
	spin_lock(&queue->lock);
	queue_unreserve(queue, reservation->charge);
	reservation->used = true;
	taken = queue_push_one(queue, reservation->sub, &push);
	/* The event may have taken less room than reserved, or none. */
	queue_room_came(queue);
	queue_wake(queue);
	spin_unlock(&queue->lock);
	return taken;
}

/**
 * metastore_queue_push_begin() - Begin to enqueue events one right behind the other
 * @group:	state to initialize
 * @queue:	the queue
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds a bucket's lock. Takes the queue's, which
 * metastore_queue_push_end() releases.
 */
void metastore_queue_push_begin(struct metastore_push_group *group,
				struct metastore_queue *queue,
				struct metastore_garbage *garbage)
	__acquires(&queue->lock)
{
	spin_lock(&queue->lock);
	*group = (struct metastore_push_group) { .queue = queue, .garbage = garbage };
}

/**
 * metastore_queue_has_turn() - Check whether a subscription has its turn
 * @group:	the events
 * @sub:	the subscription
 *
 * Return: true for a conflating subscription after metastore_queue_push_latest(), for
 * any other before it.
 */
bool metastore_queue_has_turn(struct metastore_push_group *group,
			      const struct metastore_subscription *sub)
{
	bool latest = sub->flags & METASTORE_SUBSCRIBE_LATEST;

	group->passed_over |= latest;
	return latest == group->latest;
}

/**
 * metastore_queue_push_latest() - Begin the turn of conflating subscriptions
 * @group:	the events
 *
 * Return: Whether there are any.
 */
bool metastore_queue_push_latest(struct metastore_push_group *group)
{
	group->latest = true;
	return group->passed_over;
}

/**
 * metastore_queue_push_next() - Enqueue one event of a group
 * @group:	the events
 * @sub:	the subscription
 * @key:	key of the event
 * @event:	the event; the queue takes a reference of its own to its value
 *
 * Set METASTORE_EVENT_F_MORE in all events that the queue takes, except the last one
 * and those of conflating subscriptions.
 *
 * Return: Whether the queue took it, as in metastore_queue_push_any().
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
		.garbage = group->garbage,
	};
	struct metastore_ring *ring = &group->queue->ring;

	lockdep_assert_held(&group->queue->lock);
	if (!queue_push_one(group->queue, sub, &push))
		return false;
	metastore_value_get(event->value);
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
	queue_wake(group->queue);
	spin_unlock(&group->queue->lock);
}
