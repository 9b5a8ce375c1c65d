// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers that wait for room in lossless queues.
 *
 * A publisher reserves room queue after queue, without the bucket's lock, since there may
 * be many. If a queue is full, it releases all reservations and sleeps until a queue that
 * was full gets room. It holds nothing meanwhile. Once every queue has room, the change is
 * made as usual, and each push uses up its reservation. Other events cannot take reserved
 * room. If a further lossless subscriber of the key may have come, the publisher starts over,
 * TRIES times at most: after that it waits for none that comes. So a file that changes its
 * policy all the time cannot keep a publisher from its work.
 */
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/queue.h"
#include "events/reservation.h"
#include "events/topic.h"
#include "events/walk.h"
#include "ops/change.h"

/* Most tries of a publisher while lossless subscribers keep coming. */
#define TRIES		16

/* How often a publisher looks whether there is memory to copy its event. */
#define MEMORY_INTERVAL	DIV_ROUND_UP(HZ, 10)

/*
 * Reserve room in the next queues of a walk, as far as there is memory. Returns
 * -EAGAIN, or 0 at the end; else the walk ends with an error of metastore_reservations_add().
 */
static int publish_wait_reserve_some(const struct metastore_change *change,
				     struct metastore_walk *walk)
{
	struct metastore_subscription *sub;
	struct list_head *at;
	int err = -EAGAIN;
	u32 i;

	lockdep_assert_held(&change->key->bucket->lock);
	metastore_walk_resume(walk);
	change->reserved->copied = 0;
	for (i = 0; i < change->reserved->room && err == -EAGAIN &&
	     change->reserved->copied <= METASTORE_COPY_MAX; i++) {
		at = metastore_walk_step(walk);
		sub = at ? list_entry(at, struct metastore_subscription, in_topic) : NULL;
		if (!sub)
			err = 0;
		else if (sub->events & change->type)
			err = metastore_reservations_add(change->reserved, sub,
							 change->value) ?: -EAGAIN;
	}
	if (err == -EAGAIN)
		metastore_walk_pause(walk);
	else
		metastore_walk_end(walk);
	return err;
}

/*
 * Reserve room in all lossless queues that are to get the event of a change. Returns 0,
 * -ENOMEM, -ENOBUFS if one has no room, or -EXFULL if there is no memory to copy the event.
 */
static int publish_wait_reserve(const struct metastore_change *change)
{
	struct metastore_reservations *reserved = change->reserved;
	const struct metastore_key *key = change->key;
	struct metastore_walk walk;
	int err;

	err = metastore_reservations_prepare(reserved);
	if (err)
		return err;
	spin_lock(&key->bucket->lock);
	metastore_reservations_begin(reserved, key);
	metastore_walk_begin(&walk, key, metastore_topic_of(key), true);
	for (;;) {
		err = publish_wait_reserve_some(change, &walk);
		if (err != -EAGAIN)
			break;
		spin_unlock(&key->bucket->lock);
		metastore_garbage_free(&reserved->garbage);
		cond_resched();
		/* Without memory the walk must still release its place. */
		err = metastore_reservations_prepare(reserved);
		spin_lock(&key->bucket->lock);
		if (err) {
			metastore_walk_resume(&walk);
			metastore_walk_end(&walk);
			break;
		}
	}
	spin_unlock(&key->bucket->lock);
	metastore_garbage_free(&reserved->garbage);
	return err;
}

/*
 * Make a change if all lossless queues have room. Returns -ENOBUFS or -EXFULL if one has none,
 * -EAGAIN if a further lossless subscriber may have come, else as metastore_change_make().
 */
static int publish_wait_try(struct metastore_change *change)
{
	int err;

	/* Check first: a publish that would be refused must not wait. */
	err = metastore_change_check(change) ?: publish_wait_reserve(change) ?:
	      metastore_change_make(change);
	metastore_reservations_release(change->reserved);
	return err;
}

/*
 * Wait until a queue gets room. Exclusively, so that the worker can wake some at a time:
 * those that wait since before a change are ahead of those that saw it. Returns 0,
 * -ERESTARTSYS or -ETIMEDOUT.
 */
static int publish_wait_for_room(struct metastore_room *room, s64 changes, ktime_t end)
{
	DEFINE_WAIT(wait);
	int err = 0;

	/* Pairs with store_wake_publishers(), which runs after a change of @changes. */
	atomic_inc(&room->nr);
	for (;;) {
		prepare_to_wait_exclusive(&room->waiters, &wait, TASK_INTERRUPTIBLE);
		if (atomic64_read(&room->changes) != changes)
			break;
		if (signal_pending(current)) {
			err = -ERESTARTSYS;
			break;
		}
		if (!schedule_hrtimeout(&end, HRTIMER_MODE_ABS)) {
			err = -ETIMEDOUT;
			break;
		}
	}
	finish_wait(&room->waiters, &wait);
	atomic_dec(&room->nr);
	return err;
}

/*
 * Wait until another try may succeed after @why: -ENOBUFS, a queue was full; -EXFULL, there was
 * no memory to copy the event, of which nobody tells when there is some; -EAGAIN. Returns 0,
 * -ERESTARTSYS or -ETIMEDOUT.
 */
static int publish_wait_sleep(struct metastore_room *room, int why, s64 changes, ktime_t end)
{
	/* First: signals that come faster than a try takes must not prolong the wait. */
	if (ktime_compare(ktime_get(), end) >= 0)
		return -ETIMEDOUT;
	if (signal_pending(current))
		return -ERESTARTSYS;
	if (why == -EAGAIN)
		cond_resched();
	else if (why == -EXFULL)
		schedule_timeout_interruptible(MEMORY_INTERVAL);
	else if (atomic64_read(&room->changes) != changes)
		/* The try itself may have released this room. Let others use it. */
		schedule_timeout_interruptible(1);
	else
		return publish_wait_for_room(room, changes, end);
	return 0;
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
 * - -EAGAIN: the timeout is 0, and a queue has no room
 * - -ETIMEDOUT: no try succeeded until the end of the wait
 * - -ERESTARTSYS: a signal arrived; the caller must keep the deadline for the next call
 */
int metastore_change_waiting(struct metastore_change *change, struct metastore_wait *wait)
{
	struct metastore_room *room = &change->key->bucket->store->room;
	struct metastore_reservations reserved = { .tree = RB_ROOT };
	ktime_t end = publish_wait_end(wait);
	int err, tries = 0;
	s64 changes;

	change->reserved = &reserved;
	do {
		changes = atomic64_read(&room->changes);
		err = publish_wait_try(change);
		if (err != -ENOBUFS && err != -EXFULL && err != -EAGAIN)
			break;
		if (!wait->timeout && err != -EAGAIN) {
			err = -EAGAIN;
			break;
		}
		reserved.claimed = ++tries >= TRIES;
		err = publish_wait_sleep(room, err, changes, end);
	} while (!err);
	/* It is on this stack. */
	change->reserved = NULL;
	/* An interrupted deadline stays as it was: its rounding must not add up. */
	if (err == -ERESTARTSYS && !wait->deadline)
		wait->deadline = publish_wait_deadline(wait, end);
	return err;
}
