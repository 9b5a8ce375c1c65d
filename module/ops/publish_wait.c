// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers that wait for room in lossless queues.
 *
 * Room is reserved queue after queue, without the bucket's lock, since there may be many.
 * If one has none, what was reserved is given back and the publisher sleeps until there
 * is some in a queue that lacked it; nothing is held meanwhile. When all have room the
 * change is made as any other, and each push uses its reservation up. In between others cannot
 * take that room, and if a further lossless subscriber may have come all begins anew.
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

/* How often a publisher that does not wait tries again because others came in between. */
#define TRIES		16

/* Reserves room in all lossless queues that the event of a change goes to. */
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
 * Makes a change if all have room. Returns -ENOBUFS if not; -EAGAIN if others came in
 * between.
 */
static int publish_wait_try(struct metastore_change *change)
{
	int section = srcu_read_lock(&metastore_srcu);
	int err;

	/* A publish that is refused does not wait. */
	err = metastore_change_check(change) ?: publish_wait_reserve(change) ?:
	      metastore_change_make(change);
	metastore_reservations_release(change->reserved);
	srcu_read_unlock(&metastore_srcu, section);
	return err;
}

/*
 * Waits until another try may be worth it: for room in a queue, if one had none. Returns
 * 0, -EINTR or -ETIMEDOUT.
 */
static int publish_wait_sleep(struct metastore_room *room, bool had_none, s64 changes, ktime_t left)
{
	int err = 0;

	if (signal_pending(current))
		return -EINTR;
	if (left <= 0)
		return -ETIMEDOUT;
	if (!had_none)
		cond_resched();
	else if (atomic64_read(&room->changes) != changes)
		/* It may be the try itself that gave room back. Let others have it. */
		schedule_timeout_interruptible(1);
	else
		err = wait_event_interruptible_hrtimeout(room->waiters,
							 atomic64_read(&room->changes) != changes,
							 left);
	if (err == -ETIME)
		return -ETIMEDOUT;
	return err ? -EINTR : 0;
}

/**
 * metastore_change_waiting - make a change when all lossless queues have room for it
 * @change:	the change, which stores a value
 * @timeout:	how long to wait, in ms, or METASTORE_WAIT_FOREVER; 0: not at all
 *
 * Context: may sleep.
 * Return: as metastore_change_make(); -EAGAIN: there is no room, and @timeout is 0;
 * -ETIMEDOUT; -EINTR.
 */
int metastore_change_waiting(struct metastore_change *change, u32 timeout)
{
	struct metastore_room *room = &change->key->bucket->store->room;
	bool endless = !timeout || timeout == METASTORE_WAIT_FOREVER;
	ktime_t end = ktime_add_ms(ktime_get(), timeout);
	struct metastore_reservations reserved = {};
	int err, tries = 0;
	s64 changes;

	change->reserved = &reserved;
	do {
		changes = atomic64_read(&room->changes);
		err = publish_wait_try(change);
		if (err != -ENOBUFS && err != -EAGAIN)
			break;
		if (!timeout && (err == -ENOBUFS || ++tries == TRIES)) {
			err = -EAGAIN;
			break;
		}
		err = publish_wait_sleep(room, err == -ENOBUFS, changes,
					 endless ? KTIME_MAX : ktime_sub(end, ktime_get()));
	} while (!err);
	kvfree(reserved.items);
	return err;
}
