// SPDX-License-Identifier: GPL-2.0
/*
 * The limits of a queue: how they are set, and charged to its user.
 */
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "store/cgroup.h"
#include "store/store.h"
#include "store/user.h"
#include "events/queue_priv.h"

static u64 queue_bytes_to_charge(u32 max_len, u32 max_bytes)
{
	return max_bytes + (u64)max_len * METASTORE_QUEUE_OVERHEAD;
}

/*
 * Charge the user for what the queue may hold, instead of what it was charged before. That
 * costs nothing as events come and go. Returns 0 or -EDQUOT.
 */
static int queue_charge_user(struct metastore_queue *queue, u32 max_len, u32 max_bytes)
{
	u64 bytes = queue_bytes_to_charge(max_len, max_bytes);
	int err;

	lockdep_assert_held(&queue->lock);
	err = metastore_user_charge(queue->user, METASTORE_USER_QUEUE_BYTES,
				    (s64)bytes - (s64)queue->charged);
	if (!err)
		queue->charged = bytes;
	return err;
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
 * The first subscriber's memory cgroup pays for what waits.
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOMEM; -EDQUOT: a limit of the user refuses it; -EBUSY: more than
 * METASTORE_QUEUE_MOVE_MAX events would be moved under the lock.
 */
int metastore_queue_prepare(struct metastore_queue *queue, u32 flags)
{
	struct queue_shape is, wanted;
	struct metastore_cgroup cgroup;
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
		metastore_cgroup_init(&cgroup);
		spin_lock(&queue->lock);
		if (queue_has_shape(queue, &is)) {
			if (queue->ring.len > METASTORE_QUEUE_MOVE_MAX)
				err = -EBUSY;
			else
				err = queue_charge_user(queue, ring.max_len, queue->max_bytes);
			if (!err && !is.allocated) {
				swap(queue->cgroup, cgroup);
				queue->shared = metastore_user_share(queue->user,
								     METASTORE_SHARED_BYTES);
			}
			if (!err)
				queue_move_to(queue, &ring);
		}
		spin_unlock(&queue->lock);
		metastore_cgroup_release(&cgroup);
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

/* Events that are dropped under one hold of the lock for smaller limits. */
#define DROPS_FOR_LIMITS	64

/*
 * Undo the charge of a configuration that is refused. Events that it dropped remain lost, as
 * if others had pushed them out.
 */
static void queue_charge_as_is(struct metastore_queue *queue)
{
	spin_lock(&queue->lock);
	if (queue->ring.records)
		queue_charge_user(queue, queue->ring.max_len, queue->max_bytes);
	spin_unlock(&queue->lock);
}

/*
 * Apply limits, policy and a new ring. Return 0, -ENOBUFS, -EBUSY, -EDQUOT, or -EAGAIN if
 * more events must be dropped first.
 */
static int queue_reconfigure(struct metastore_queue *queue, struct metastore_ring *ring,
			     u32 max_bytes, bool lossless, struct metastore_garbage *garbage)
{
	u32 charge = queue_min_charge(max_bytes, ring->max_len), drops = 0;
	u64 bytes, reserved;
	bool more;
	int err;

	lockdep_assert_held(&queue->lock);
	if (queue->latest_bytes > max_bytes / 2)
		return -ENOBUFS;
	if (queue->map)
		return -EBUSY;
	if (queue->ring.len > METASTORE_QUEUE_MOVE_MAX)
		return -EBUSY;
	bytes = queue_bytes_with(queue, charge);
	if (lossless && (queue->ring.len + queue->reserved_len > ring->max_len ||
			 bytes + queue->reserved_bytes + queue->latest_bytes > max_bytes))
		return -EBUSY;
	/* More is charged before anything is dropped, less once the limits apply. */
	more = ring->records &&
	       queue_bytes_to_charge(ring->max_len, max_bytes) > queue->charged;
	err = more ? queue_charge_user(queue, ring->max_len, max_bytes) : 0;
	if (err)
		return err;
	reserved = (u64)queue->reserved_bytes + queue->latest_bytes;
	while (queue->ring.len &&
	       (queue->ring.len > ring->max_len || bytes + reserved > max_bytes)) {
		const struct metastore_value *value = metastore_ring_at(&queue->ring, 0)->value;

		if (drops++ == DROPS_FOR_LIMITS)
			return -EAGAIN;
		bytes -= max(metastore_value_size(value), charge);
		metastore_queue_drop_oldest(queue, garbage);
	}
	if (ring->records && !more)
		queue_charge_user(queue, ring->max_len, max_bytes);
	WRITE_ONCE(queue->lossless, lossless);
	queue->max_bytes = max_bytes;
	queue->min_charge = charge;
	queue->bytes = bytes;
	queue_note_fast_bytes(queue);
	queue_move_to(queue, ring);
	queue_room_came(queue);
	return 0;
}

/**
 * metastore_queue_configure() - Set the limits and the policy of a queue
 * @queue:	the queue
 * @args:	the user's arguments, validated
 * @lossless:	set if the queue has become lossless by this
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, -EBUSY, -ENOBUFS or -EDQUOT, as in uapi/linux/metastore.h.
 */
int metastore_queue_configure(struct metastore_queue *queue,
			      const struct metastore_queue_info *args, bool *lossless)
{
	struct metastore_garbage garbage = {};
	struct metastore_ring ring;
	struct queue_shape is, wanted;
	bool was_lossless;
	int err;

	do {
		is = queue_look_at_shape(queue);
		wanted = is;
		if (args->flags & METASTORE_QUEUE_SET_LEN)
			wanted.max_len = args->max_len;
		err = queue_create_ring(&ring, &wanted);
		if (err)
			break;
		err = -EAGAIN;
		spin_lock(&queue->lock);
		was_lossless = queue->lossless;
		if (queue_has_shape(queue, &is))
			err = queue_reconfigure(queue, &ring,
						args->flags & METASTORE_QUEUE_SET_BYTES ?
						args->max_bytes : queue->max_bytes,
						args->flags & METASTORE_QUEUE_SET_POLICY ?
						args->policy == METASTORE_QUEUE_LOSSLESS :
						queue->lossless, &garbage);
		*lossless = !was_lossless && queue->lossless;
		spin_unlock(&queue->lock);
		metastore_ring_free(&ring);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (err == -EAGAIN);
	if (err)
		queue_charge_as_is(queue);
	return err;
}
