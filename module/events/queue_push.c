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
#include "events/queue_push_priv.h"

/**
 * metastore_queue_trace_loss() - Trace the loss of an event
 * @sub:	the subscription that lost it
 *
 * Context: Caller holds the queue's lock.
 */
void metastore_queue_trace_loss(const struct metastore_subscription *sub)
{
	trace_metastore_loss(sub);
}

/*
 * Drop the oldest event of the ring. It counts as lost, unless a program has passed it in its
 * mapped ring, or it was discarded before.
 */
void metastore_queue_drop_oldest(struct metastore_queue *queue, struct metastore_garbage *garbage)
{
	struct metastore_record record = *metastore_ring_at(&queue->ring, 0);
	bool stale = queue_oldest_is_stale(queue);
	bool passed = queue->map && !metastore_queue_map_claim(queue, !stale);

	lockdep_assert_held(&queue->lock);
	queue_remove_oldest(queue);
	if (passed) {
		queue_count_delivered(record.sub);
		queue_room_came(queue);
		metastore_queue_free_if_done(record.sub);
	} else if (unlikely(stale)) {
		queue_count_discarded(record.sub);
		metastore_queue_free_if_done(record.sub);
	} else {
		queue_count_lost(record.sub);
	}
	metastore_value_put_later(record.value, garbage);
}

/* Make room in a lossless queue, which drops only what its program has passed. */
static enum metastore_pushed queue_make_lossless_room(struct metastore_queue *queue, u32 max_len,
						      u32 charge, u32 max_drops,
						      struct metastore_garbage *garbage)
{
	u32 drops = 0;

	lockdep_assert_held(&queue->lock);
	if (queue->map)
		metastore_mapped_ring_look(queue->map);
	while (queue->ring.len + queue->reserved_len > max_len ||
	       !queue_has_room(queue, charge, 0)) {
		if (!queue->map || !queue_oldest_is_passed(queue))
			return METASTORE_PUSH_REFUSED;
		if (drops++ == max_drops)
			return METASTORE_PUSH_AGAIN;
		metastore_queue_drop_oldest(queue, garbage);
	}
	return METASTORE_PUSH_TAKEN;
}

/*
 * Make room in the ring for @events more events and @charge more bytes. Drop the oldest
 * events for it, @max_drops at most; of a lossless queue, only those that were passed. Return
 * TAKEN if there is room, REFUSED if there can be none, or AGAIN.
 */
enum metastore_pushed
metastore_queue_make_room(struct metastore_queue *queue, u32 events, u32 charge,
			  u32 max_drops, struct metastore_garbage *garbage)
{
	u32 max_len = queue->ring.max_len - events, drops = 0;

	lockdep_assert_held(&queue->lock);
	if (queue->lossless)
		return queue_make_lossless_room(queue, max_len, charge, max_drops, garbage);
	/* Events in flight cannot be dropped. */
	if (!queue_has_room(queue, charge, queue->bytes - queue->in_flight))
		return METASTORE_PUSH_REFUSED;
	while (queue->ring.len > max_len || !queue_has_room(queue, charge, 0)) {
		if (drops++ == max_drops)
			return METASTORE_PUSH_AGAIN;
		metastore_queue_drop_oldest(queue, garbage);
	}
	return METASTORE_PUSH_TAKEN;
}

/*
 * Check whether a queue must copy a value to keep it, see METASTORE_SHARED_BYTES. Events that
 * it is about to replace count too, which errs on the writer's side.
 */
bool metastore_queue_must_copy(const struct metastore_queue *queue,
			       const struct metastore_value *value)
{
	lockdep_assert_held(&queue->lock);
	return value->node.group != queue->cgroup.group &&
	       queue->bytes + queue->latest_size + metastore_value_size(value) > queue->shared;
}

/*
 * Get the value that the queue keeps for an event: the event's own, or a copy. In place of
 * a copied one the caller's reference goes. Set @pushed to TAKEN or COPIED. Return NULL if
 * there is no memory for a copy. @in_place: a latest event of an exact key, which is never
 * lost.
 */
static struct metastore_value *queue_keep_value(struct metastore_queue *queue,
						const struct queue_push *push, bool in_place,
						enum metastore_pushed *pushed)
{
	struct metastore_value *value = push->event->value, *copy = push->copy;

	lockdep_assert_held(&queue->lock);
	*pushed = METASTORE_PUSH_TAKEN;
	if (likely(!copy && !metastore_queue_must_copy(queue, value)))
		return value;
	if (!copy && !push->no_copy)
		copy = metastore_value_copy(value, push->event->flags & METASTORE_EVENT_F_OWNER,
					    &queue->cgroup);
	/* Without memory, a place that was reserved keeps the event all the same. */
	if (!copy)
		return in_place || push->reserved ? value : NULL;
	*pushed = METASTORE_PUSH_COPIED;
	/* The one of a reservation was made before the change. */
	copy->version = value->version;
	copy->time = value->time;
	metastore_value_put_later(value, push->garbage);
	return copy;
}

/* Fill in the record of @event for this subscription. */
static void queue_fill_record(struct metastore_record *record, struct metastore_subscription *sub,
			      const struct metastore_record *event,
			      struct metastore_value *value)
{
	record->news = event->news;
	record->value = value;
	record->sub = sub;
	record->flags |= sub->event_flags;
}

/* Replace the waiting event of a key. The newer one keeps the age of the replaced one. */
static void queue_replace_record(struct metastore_record *old, struct metastore_subscription *sub,
				 const struct queue_push *push, struct metastore_value *value)
{
	u8 since_high = old->since_high;
	u32 since = old->since;

	lockdep_assert_held(&sub->queue->lock);
	queue_count_conflated(sub);
	metastore_value_put_later(old->value, push->garbage);
	queue_fill_record(old, sub, push->event, value);
	old->since_high = since_high;
	old->since = since;
}

static enum metastore_pushed queue_refuse(struct metastore_subscription *sub)
{
	queue_count_lost(sub);
	return METASTORE_PUSH_REFUSED;
}

static enum metastore_pushed queue_push_in_place(struct metastore_queue *queue,
						 struct metastore_subscription *sub,
						 const struct queue_push *push)
{
	enum metastore_pushed pushed;
	struct metastore_value *value = queue_keep_value(queue, push, true, &pushed);

	lockdep_assert_held(&queue->lock);
	queue->latest_size += metastore_value_size(value);
	if (sub->latest.value) {
		queue->latest_size -= metastore_value_size(sub->latest.value);
		queue_replace_record(&sub->latest, sub, push, value);
		return pushed;
	}
	queue_fill_record(&sub->latest, sub, push->event, value);
	list_add_tail(&sub->in_latest, &queue->latest);
	queue->nr_latest++;
	return pushed;
}

/*
 * Append an event to the ring, or count it as lost. Set @record to its record.
 *
 * With a reservation it needs only a place. Bytes may be short nevertheless, since
 * readers take latest events and values of snapshots without a look at reserved bytes.
 */
static enum metastore_pushed queue_push_in_ring(struct metastore_queue *queue,
						struct metastore_subscription *sub,
						const struct queue_push *push,
						struct metastore_record **record)
{
	u32 charge = queue_charge(queue, push->size);
	enum metastore_pushed pushed = METASTORE_PUSH_TAKEN;
	struct metastore_value *value;

	lockdep_assert_held(&queue->lock);
	if (!queue_has_place(queue, charge) &&
	    !(push->reserved && queue->ring.len < queue->ring.max_len))
		pushed = metastore_queue_make_room(queue, 1, charge, push->max_drops,
						   push->garbage);
	if (pushed == METASTORE_PUSH_REFUSED)
		return queue_refuse(sub);
	if (pushed == METASTORE_PUSH_AGAIN)
		return pushed;
	value = queue_keep_value(queue, push, false, &pushed);
	if (!value)
		return queue_refuse(sub);
	*record = queue_append(queue, sub, push->event, charge);
	(*record)->value = value;
	(*record)->flags |= sub->event_flags;
	return pushed;
}

static enum metastore_pushed queue_push_indexed(struct metastore_queue *queue,
						struct metastore_subscription *sub,
						const struct queue_push *push)
{
	enum metastore_pushed pushed;
	struct metastore_record *record;

	lockdep_assert_held(&queue->lock);
	pushed = queue_push_in_ring(queue, sub, push, &record);
	if (metastore_push_was_taken(pushed))
		metastore_ring_index(&queue->ring, record);
	return pushed;
}

/*
 * Replace the waiting event @old of the same key. Drop the oldest events if the newer
 * one needs more bytes. If @old becomes the oldest, remove it and append the newer one
 * instead.
 */
static enum metastore_pushed queue_push_over(struct metastore_queue *queue,
					     struct metastore_subscription *sub,
					     struct metastore_record *old,
					     const struct queue_push *push)
{
	u32 less = queue_charge(queue, metastore_value_size(old->value)), drops = 0;
	u32 more = queue_charge(queue, push->size);
	enum metastore_pushed pushed;
	struct metastore_value *value;

	lockdep_assert_held(&queue->lock);
	while (!push->reserved && !queue_has_room(queue, more, less)) {
		if (queue->lossless ? !queue->map || !queue_oldest_is_passed(queue) :
		    !queue_has_room(queue, more, queue->bytes - queue->in_flight))
			return queue_refuse(sub);
		if (drops++ == push->max_drops)
			return METASTORE_PUSH_AGAIN;
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
	value = queue_keep_value(queue, push, false, &pushed);
	if (!value)
		return queue_refuse(sub);
	queue->bytes = queue->bytes - less + more;
	if (more < less)
		queue_room_came(queue);
	queue_replace_record(old, sub, push, value);
	return pushed;
}

/* Enqueue an event of a conflating subscription. */
static enum metastore_pushed queue_push_latest(struct metastore_queue *queue,
					       struct metastore_subscription *sub,
					       const struct queue_push *push)
{
	struct metastore_record *old;
	enum metastore_pushed pushed;

	lockdep_assert_held(&queue->lock);
	if (queue_sub_has_place(sub))
		return queue_push_in_place(queue, sub, push);
	old = metastore_ring_find(&queue->ring, sub, push->event->value);
	/* At most one is in the index. If that is discarded, the new one takes its place there. */
	if (old && metastore_ring_position(&queue->ring, old) < sub->stale_until) {
		metastore_ring_forget(&queue->ring, old);
		old = NULL;
	}
	pushed = old ? queue_push_over(queue, sub, old, push) :
		       queue_push_indexed(queue, sub, push);
	return pushed == METASTORE_PUSH_TAKEN ? METASTORE_PUSH_INDEXED : pushed;
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

/* Enqueue an event, unless the subscription does not hear of the key. */
enum metastore_pushed metastore_queue_push_one(struct metastore_queue *queue,
					       struct metastore_subscription *sub,
					       const struct queue_push *push)
{
	struct metastore_record *record;
	enum metastore_pushed pushed;

	lockdep_assert_held(&queue->lock);
	if (!sub->plain && !queue_hears(sub, push->key))
		return METASTORE_PUSH_REFUSED;
	pushed = sub->flags & METASTORE_SUBSCRIBE_LATEST ?
		 queue_push_latest(queue, sub, push) :
		 queue_push_in_ring(queue, sub, push, &record);
	if (pushed != METASTORE_PUSH_AGAIN)
		sub->books.matched++;
	/* It removes and shows several events. A delivery makes fewer of these at once. */
	return unlikely(queue->map) && pushed == METASTORE_PUSH_TAKEN ?
	       METASTORE_PUSH_INDEXED : pushed;
}

/*
 * Fast path if the ring is full: replace the oldest event. The ring of a subscriber
 * that never reads is always full. Return false if the slow path is needed.
 */
static bool queue_push_for_oldest(struct metastore_queue *queue,
				  struct metastore_subscription *sub,
				  const struct metastore_record *event, u32 size,
				  struct metastore_garbage *garbage)
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
	bytes = queue->bytes + queue_charge(queue, size) -
		queue_charge(queue, metastore_value_size(oldest->value));
	/* A lossless queue always returns here: its fast_bytes is 0. */
	if (bytes > queue->fast_bytes)
		return false;
	sub->books.matched++;
	queue_count_lost(oldest->sub);
	metastore_value_put_later(oldest->value, garbage);
	queue_note_length(queue);
	if (queue->flush_at)
		queue->flush_at--;
	record = metastore_ring_turn(ring);
	record->news = event->news;
	record->sub = sub;
	queue->bytes = bytes;
	return true;
}

/* Slow path for an event that belongs to no group and has no reservation. */
enum metastore_pushed metastore_queue_push_alone(struct metastore_subscription *sub,
						 const struct metastore_notice *notice, u32 size,
						 struct metastore_garbage *garbage)
{
	const struct queue_push push = {
		.key = notice->key,
		.event = &notice->record,
		.size = size,
		.max_drops = METASTORE_DROPS_AT_ONCE,
		.garbage = garbage,
	};

	lockdep_assert_held(&sub->queue->lock);
	queue_refresh(sub->queue, QUEUE_REFRESH_PUSHED, garbage);
	return metastore_queue_push_one(sub->queue, sub, &push);
}

/**
 * metastore_queue_push_any() - Enqueue an event for any subscription
 * @sub:	the subscription
 * @notice:	the event
 * @size:	metastore_value_size() of its value
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds the queue's lock.
 * Return: METASTORE_PUSH_TAKEN, _INDEXED, _COPIED or _AGAIN. METASTORE_PUSH_REFUSED if
 * there is no room, and the event counts as lost; also if the subscription has ended, or its
 * snapshot has not passed the key yet.
 */
enum metastore_pushed metastore_queue_push_any(struct metastore_subscription *sub,
					       const struct metastore_notice *notice, u32 size,
					       struct metastore_garbage *garbage)
{
	lockdep_assert_held(&sub->queue->lock);
	if (queue_push_for_oldest(sub->queue, sub, &notice->record, size, garbage))
		return METASTORE_PUSH_TAKEN;
	return metastore_queue_push_alone(sub, notice, size, garbage);
}

/**
 * metastore_queue_lose() - Count an event as lost, instead of pushing it again
 * @sub:	the subscription
 *
 * Context: Takes the queue's lock.
 */
void metastore_queue_lose(struct metastore_subscription *sub)
{
	spin_lock(&sub->queue->lock);
	if (!sub->cancelled) {
		sub->books.matched++;
		queue_count_lost(sub);
		queue_announce(sub->queue);
	}
	spin_unlock(&sub->queue->lock);
}

/**
 * metastore_queue_push_checked() - Enqueue an event, or a copy of it
 * @sub:	the subscription, whose queue another memory cgroup may pay for
 * @notice:	the event
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds the bucket's lock; takes the queue's.
 * Return: As metastore_queue_push_any().
 */
enum metastore_pushed metastore_queue_push_checked(struct metastore_subscription *sub,
						   const struct metastore_notice *notice,
						   struct metastore_garbage *garbage)
{
	const struct metastore_value *value = notice->record.value;
	u32 size = metastore_value_size(value);
	struct metastore_queue *queue = sub->queue;
	enum metastore_pushed pushed;

	if (value->node.group == READ_ONCE(queue->cgroup.group))
		return metastore_queue_push(sub, notice, size, garbage);
	spin_lock(&queue->lock);
	pushed = metastore_queue_push_alone(sub, notice, size, garbage);
	queue_announce(queue);
	spin_unlock(&queue->lock);
	return pushed;
}
