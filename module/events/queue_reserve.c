// SPDX-License-Identifier: GPL-2.0
/*
 * Reserve room in a lossless queue for an event, and enqueue that event later. Other events
 * cannot take reserved room.
 */
#include <linux/errno.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#include "events/queue_push.h"
#include "events/queue_push_priv.h"

static void queue_unreserve(struct metastore_queue *queue,
			    struct metastore_reservation *reservation)
{
	lockdep_assert_held(&queue->lock);
	queue->reserved_len--;
	queue->reserved_bytes -= reservation->charge;
	queue_note_fast_bytes(queue);
	reservation->used = true;
	reservation->sub->held--;
}

/* Make the copy that the queue may need. Return 0 or -EXFULL. */
static int queue_reserve_copy(struct metastore_queue *queue,
			      struct metastore_reservation *reservation,
			      const struct metastore_value *value)
{
	lockdep_assert_held(&queue->lock);
	if (!metastore_queue_must_copy(queue, value))
		return 0;
	reservation->copy = metastore_value_copy(value, false, &queue->cgroup);
	return reservation->copy ? 0 : -EXFULL;
}

/* Make room for an event, or have the publisher woken when there may be some. */
static int queue_reserve_room(struct metastore_queue *queue, u32 bytes,
			      struct metastore_garbage *garbage)
{
	enum metastore_pushed room;

	lockdep_assert_held(&queue->lock);
	queue_refresh(queue, QUEUE_REFRESH_PUSHED, garbage);
	room = metastore_queue_make_room(queue, 1, bytes, METASTORE_DROPS_AT_ONCE, garbage);
	if (room == METASTORE_PUSH_REFUSED) {
		queue->room_wanted = true;
		if (queue->map && metastore_queue_map_wants_room(queue))
			room = metastore_queue_make_room(queue, 1, bytes, METASTORE_DROPS_AT_ONCE,
							 garbage);
	}
	if (room == METASTORE_PUSH_TAKEN)
		return 0;
	/* More events are passed than may be dropped at once: try soon again. */
	queue->room_wanted = true;
	if (room == METASTORE_PUSH_AGAIN)
		queue_room_came(queue);
	return -ENOBUFS;
}

/**
 * metastore_queue_reserve() - Reserve room for an event if the queue is lossless
 * @reservation: set to the reservation. Its charge is 0 if none is needed, or if the event
 *		can never fit. Else it is for metastore_queue_push_reserved() or
 *		metastore_queue_unreserve()
 * @sub:	the subscription
 * @value:	value of the event
 * @garbage:	takes values of events that a program has read in its mapped ring
 *
 * Context: Caller is at @sub in a walk; takes the queue's lock.
 * Return: 0; -ENOBUFS if there is no room, and the store's waiting publishers are woken when
 * there may be some; -EXFULL if the queue's cgroup has no memory for a copy.
 */
int metastore_queue_reserve(struct metastore_reservation *reservation,
			    struct metastore_subscription *sub,
			    const struct metastore_value *value,
			    struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = sub->queue;
	u32 bytes;
	int err = 0;

	reservation->charge = 0;
	reservation->copy = NULL;
	spin_lock(&queue->lock);
	bytes = queue_charge(queue, metastore_value_size(value));
	if (sub->cancelled || !queue->lossless || queue_sub_has_place(sub) ||
	    bytes > queue->max_bytes - queue->latest_bytes)
		goto unlock;
	err = queue_reserve_room(queue, bytes, garbage);
	if (err)
		goto unlock;
	err = queue_reserve_copy(queue, reservation, value);
	if (err)
		goto unlock;
	queue->reserved_len++;
	queue->reserved_bytes += bytes;
	queue_note_fast_bytes(queue);
	reservation->sub = sub;
	reservation->charge = bytes;
	reservation->used = false;
	sub->held++;
unlock:
	queue_sync(queue, QUEUE_SHOW_PUSHED);
	spin_unlock(&queue->lock);
	return err;
}

/**
 * metastore_queue_unreserve() - Give unused room back
 * @reservation: the reservation
 *
 * Context: Process context, may sleep; takes the queue's lock.
 */
void metastore_queue_unreserve(struct metastore_reservation *reservation)
{
	struct metastore_subscription *sub = reservation->sub;
	struct metastore_queue *queue = sub->queue;

	if (reservation->copy)
		metastore_value_put(reservation->copy);
	/* The queue may go with its last subscription. */
	rcu_read_lock();
	spin_lock(&queue->lock);
	queue_unreserve(queue, reservation);
	metastore_queue_free_if_done(sub);
	queue_room_came(queue);
	spin_unlock(&queue->lock);
	rcu_read_unlock();
}

/**
 * metastore_queue_push_reserved() - Enqueue an event that has a reservation
 * @reservation: the reservation, which is used up
 * @notice:	the event
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds the bucket's lock, and what keeps the queue once the reservation is
 * used up: an RCU read section, or the subscription's topic. Takes the queue's lock.
 * Return: As metastore_queue_push_any(), without METASTORE_PUSH_AGAIN if the queue is
 * lossless.
 */
enum metastore_pushed metastore_queue_push_reserved(struct metastore_reservation *reservation,
						    const struct metastore_notice *notice,
						    struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = reservation->sub->queue;
	const struct queue_push push = {
		.key = notice->key,
		.event = &notice->record,
		.size = metastore_value_size(notice->record.value),
		.max_drops = METASTORE_DROPS_AT_ONCE,
		.reserved = true,
		.copy = reservation->copy,
		.garbage = garbage,
	};
	enum metastore_pushed pushed;

	lockdep_assert_held(&notice->key->bucket->lock);
	spin_lock(&queue->lock);
	queue_unreserve(queue, reservation);
	queue_refresh(queue, QUEUE_REFRESH_PUSHED, garbage);
	pushed = metastore_queue_push_one(queue, reservation->sub, &push);
	if (push.copy && pushed != METASTORE_PUSH_COPIED)
		metastore_value_put_later(push.copy, garbage);
	metastore_queue_free_if_done(reservation->sub);
	/* The event may have taken less room than reserved, or none. */
	queue_room_came(queue);
	queue_announce(queue);
	spin_unlock(&queue->lock);
	return pushed;
}
