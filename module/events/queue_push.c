// SPDX-License-Identifier: GPL-2.0
/*
 * Events come into a queue.
 *
 * They wait in a ring. Of some subscriptions only the latest event of a key is
 * wanted. If that is to a prefix, a newer event takes the place in the ring of the
 * one that waits, which is found by an index. If it is to one key, the subscription
 * itself is the event's place, with bytes reserved for it, so that it cannot be lost.
 */
#include "events/queue_push.h"

/*
 * An event on its way into a queue.
 *
 * @key:	the key that it is about
 * @event:	the event; its subscription is not looked at
 * @size:	metastore_value_size() of its value
 * @reserved:	whether there is room reserved for it, no longer counted as such
 * @garbage:	takes values of events that are dropped for it
 */
struct queue_push {
	const struct metastore_key *key;
	const struct metastore_record *event;
	u32 size;
	bool reserved;
	struct metastore_garbage *garbage;
};

/* Drops the oldest event of the ring. It is counted as lost. */
void metastore_queue_drop_oldest(struct metastore_queue *queue, struct metastore_garbage *garbage)
{
	struct metastore_record record = *metastore_ring_at(&queue->ring, 0);

	lockdep_assert_held(&queue->lock);
	queue_remove_oldest(queue);
	queue_count_lost(record.sub);
	metastore_value_put_later(record.value, garbage);
}

/*
 * Makes room for so many events more in the ring, and so many bytes, by dropping the
 * oldest. If the queue is lossless nothing is dropped. Returns whether there is room.
 */
bool metastore_queue_make_room(struct metastore_queue *queue, u32 events, u32 charge,
			       struct metastore_garbage *garbage)
{
	u32 max_len = queue->ring.max_len - events;

	lockdep_assert_held(&queue->lock);
	if (queue->lossless)
		return queue->ring.len + queue->reserved_len <= max_len &&
		       queue_has_room(queue, charge, 0);
	/* Events with readers cannot be dropped. */
	if (!queue_has_room(queue, charge, queue->bytes - queue->in_flight))
		return false;
	while (queue->ring.len > max_len || !queue_has_room(queue, charge, 0))
		metastore_queue_drop_oldest(queue, garbage);
	return true;
}

/* As an event of another subscription is that of this one. */
static void queue_fill_record(struct metastore_record *record, struct metastore_subscription *sub,
			      const struct metastore_record *event)
{
	record->news = event->news;
	record->sub = sub;
	record->flags |= sub->event_flags;
}

/* Puts a newer event where one of the same key waits. It is as old as that one. */
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
 * Returns the record, or NULL if there is no room for it. If room was reserved there is,
 * though readers may have taken what counts only while they have it.
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
 * Puts it where an event of the same key waits, and drops the oldest if it is so much
 * longer. If that is the very one, it is as if none had waited. Returns false if there
 * is no room for it.
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

/* The event of a subscription that wants the latest alone. */
static bool queue_push_latest(struct metastore_queue *queue, struct metastore_subscription *sub,
			      const struct queue_push *push)
{
	struct metastore_record *old;

	lockdep_assert_held(&queue->lock);
	if (queue_sub_has_place(sub))
		return queue_push_in_place(queue, sub, push);
	old = metastore_ring_find(&queue->ring, sub, push->event->value);
	return old ? queue_push_over(queue, sub, old, push) :
		     queue_push_indexed(queue, sub, push);
}

/* Is it to hear of the key? Not if a snapshot will show what the event tells. */
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
 * metastore_queue_reserve - reserve room for an event, if the queue is lossless
 * @sub:	the subscription
 * @value:	the event's
 * @charge:	is set to the bytes that are reserved, for metastore_queue_push() or
 *		metastore_queue_unreserve(); 0: there need not be, or can never be, room
 *
 * Context: in a section of metastore_srcu; takes the queue's lock.
 * Return: 0; -ENOBUFS if there is no room; when there is, its store's waiters are
 * woken.
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
 * metastore_queue_unreserve - give room back that was not used
 * @sub:	the subscription
 * @charge:	of metastore_queue_reserve()
 *
 * Context: in the same section of metastore_srcu; takes the queue's lock.
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
 * The short way where the ring is full, as that of who never reads is: the oldest makes
 * room. Returns false if that is not simple.
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
	if (!sub->plain || ring->index || ring->len < ring->max_len)
		return false;
	oldest = metastore_ring_at(ring, 0);
	bytes = queue->bytes + queue_charge(queue, push->size) -
		queue_charge(queue, metastore_value_size(oldest->value));
	/* That is never so if the queue is lossless. */
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
 * metastore_queue_push_any - queue any event for any subscription
 * @sub:	the subscription
 * @key:	the key that the event is about
 * @event:	the event; its subscription is not looked at
 * @garbage:	takes values of events that were dropped for it
 *
 * Context: with the queue's lock held.
 * Return: true if the queue took it, with a reference of the caller's to its value;
 * false if there is no room for it, then it is counted as lost, or if the subscription
 * has ended, or its snapshot has not passed the key yet.
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
 * metastore_queue_push_reserved - queue an event for which room is reserved
 * @reservation: the room, and whose it is
 * @key:	the key that the event is about
 * @event:	the event; its subscription is not looked at
 * @garbage:	takes values of events that were dropped for it
 *
 * Context: with the bucket's lock held; takes the queue's.
 * Return: as metastore_queue_push_any().
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
	/* It may have needed less, or nothing. */
	queue_room_came(queue);
	queue_wake(queue);
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
	*group = (struct metastore_push_group) { .queue = queue, .garbage = garbage };
}

/**
 * metastore_queue_has_turn - is it a subscription's turn?
 * @group:	the events
 * @sub:	the subscription
 */
bool metastore_queue_has_turn(struct metastore_push_group *group,
			      const struct metastore_subscription *sub)
{
	bool latest = sub->flags & METASTORE_SUBSCRIBE_LATEST;

	group->passed_over |= latest;
	return latest == group->latest;
}

/**
 * metastore_queue_push_latest - now those come of which only the latest waits
 * @group:	the events
 *
 * Return: whether there are any.
 */
bool metastore_queue_push_latest(struct metastore_push_group *group)
{
	group->latest = true;
	return group->passed_over;
}

/**
 * metastore_queue_push_next - queue one of them
 * @group:	the events
 * @sub:	the subscription
 * @key:	the key that the event is about
 * @event:	the event; the queue takes a reference of its own to its value
 *
 * Those that are taken have METASTORE_EVENT_F_MORE but for the last, and but for those
 * of which only the latest waits.
 *
 * Return: whether the queue took it, as in metastore_queue_push_any().
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
	lockdep_assert_held(&group->queue->lock);
	queue_wake(group->queue);
	spin_unlock(&group->queue->lock);
}
