// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers that wait for room in lossless queues.
 *
 * A publisher reserves room queue after queue, without the bucket's lock, since there may
 * be many. If a queue is full, it releases all reservations and sleeps until a queue that
 * was full gets room. It holds nothing meanwhile. Once every queue has room, the change is
 * made as usual, and each push uses up its reservation. Other events cannot take reserved
 * room. If a further lossless subscriber may have come, the publisher starts over.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/queue.h"
#include "events/reservation.h"
#include "events/topic.h"
#include "ops/change.h"

/* Most tries of a publisher with timeout 0 while lossless subscribers keep coming. */
#define TRIES		16

/*
 * Reserve room in all lossless queues that are to get the event of a change. Returns 0,
 * -ENOMEM, or -ENOBUFS if one has no room.
 */
static int publish_wait_reserve(const struct metastore_change *change)
{
	struct metastore_reservations *reserved = change->reserved;
	const struct metastore_key *key = change->key;
	struct metastore_subscription *sub;
	struct metastore_walk walk;
	struct list_head *at;
	int err = 0;

	reserved->nr = 0;
	reserved->epoch = atomic64_read(&key->bucket->store->room.epoch);
	spin_lock(&key->bucket->lock);
	metastore_walk_start(&walk, key, metastore_topic_of(key), true);
	spin_unlock(&key->bucket->lock);
	while (!err && (at = metastore_walk_next(&walk))) {
		sub = list_entry(at, struct metastore_subscription, in_topic);
		if (sub->events & change->type)
			err = metastore_reservations_add(reserved, sub, change->value);
		cond_resched();
	}
	metastore_reservations_sort(reserved);
	return err;
}

/*
 * Make a change if all lossless queues have room. Returns -ENOBUFS if one has none,
 * -EAGAIN if a further lossless subscriber may have come, else as metastore_change_make().
 */
static int publish_wait_try(struct metastore_change *change)
{
	int section = srcu_read_lock(&metastore_srcu);
	int err;

	/* Check first: a publish that would be refused must not wait. */
	err = metastore_change_check(change) ?: publish_wait_reserve(change) ?:
	      metastore_change_make(change);
	metastore_reservations_release(change->reserved);
	srcu_read_unlock(&metastore_srcu, section);
	return err;
}

/*
 * Wait until another try may succeed. @had_none: a queue was full, so wait for room.
 * Returns 0, -ERESTARTSYS or -ETIMEDOUT.
 */
static int publish_wait_sleep(struct metastore_room *room, bool had_none, s64 changes, ktime_t left)
{
	int err = 0;

	/* First: signals that come faster than a try takes must not prolong the wait. */
	if (left <= 0)
		return -ETIMEDOUT;
	if (signal_pending(current))
		return -ERESTARTSYS;
	if (!had_none)
		cond_resched();
	else if (atomic64_read(&room->changes) != changes)
		/* The try itself may have released this room. Let others use it. */
		schedule_timeout_interruptible(1);
	else
		err = wait_event_interruptible_hrtimeout(room->waiters,
							 atomic64_read(&room->changes) != changes,
							 left);
	return err == -ETIME ? -ETIMEDOUT : err;
}

static bool publish_wait_is_endless(const struct metastore_wait *wait)
{
	return !wait->timeout || wait->timeout == METASTORE_WAIT_FOREVER;
}

/* The time at which a wait ends: that of an interrupted wait, or @timeout from now. */
static ktime_t publish_wait_end(const struct metastore_wait *wait)
{
	ktime_t now = ktime_get();
	u32 left = wait->timeout;

	if (publish_wait_is_endless(wait))
		return KTIME_MAX;
	if (wait->deadline) {
		left = wait->deadline - (u32)ktime_to_ms(now);
		/* Beyond the timeout means past; one more for the rounding. */
		if (left > wait->timeout + 1 || (wait->timeout <= S32_MAX && (s32)left < 0))
			left = 0;
	}
	return ktime_add_ms(now, left);
}

/* Round up, so that a wait that is interrupted often does not end early. 0 means none. */
static u32 publish_wait_deadline(const struct metastore_wait *wait, ktime_t end)
{
	return publish_wait_is_endless(wait) ? 0 : (u32)(ktime_to_ms(end) + 1) ?: U32_MAX;
}

/**
 * metastore_change_waiting() - Make a change once all lossless queues have room
 * @change:	the change, which stores a value
 * @wait:	how long to wait; its deadline is set after -ERESTARTSYS
 *
 * Context: Process context, may sleep.
 * Return:
 * - 0, or an error of metastore_change_make() other than -EAGAIN
 * - -EAGAIN: the timeout is 0, and a queue has no room or lossless subscribers keep coming
 * - -ETIMEDOUT: no try succeeded until the end of the wait
 * - -ERESTARTSYS: a signal arrived; the caller must keep the deadline for the next call
 */
int metastore_change_waiting(struct metastore_change *change, struct metastore_wait *wait)
{
	struct metastore_room *room = &change->key->bucket->store->room;
	struct metastore_reservations reserved = {};
	ktime_t end = publish_wait_end(wait);
	int err, tries = 0;
	s64 changes;

	change->reserved = &reserved;
	do {
		changes = atomic64_read(&room->changes);
		err = publish_wait_try(change);
		if (err != -ENOBUFS && err != -EAGAIN)
			break;
		if (!wait->timeout && (err == -ENOBUFS || ++tries == TRIES)) {
			err = -EAGAIN;
			break;
		}
		err = publish_wait_sleep(room, err == -ENOBUFS, changes,
					 end == KTIME_MAX ? end : ktime_sub(end, ktime_get()));
	} while (!err);
	kvfree(reserved.items);
	/* It is on this stack. */
	change->reserved = NULL;
	/* An interrupted deadline stays as it was: its rounding must not add up. */
	if (err == -ERESTARTSYS && !wait->deadline)
		wait->deadline = publish_wait_deadline(wait, end);
	return err;
}
