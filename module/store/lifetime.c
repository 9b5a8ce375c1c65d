// SPDX-License-Identifier: GPL-2.0
/*
 * A value's life ends with its owner, or with its time.
 *
 * A value enters its owner's list and the store's queue of times when it comes into a
 * table and leaves them when it goes, both with the bucket's lock held. So whoever holds
 * that lock and finds a value in the table knows that its owner is there still: the
 * owner's release would have to take the lock to remove the value.
 *
 * Each look-up of a value looks at the time too, so that none is seen once it
 * is over. The rest is only about when its subscribers are told: one timer a
 * store kicks a worker, which removes what is over, value after value.
 *
 * This file only says which values those are. Their removal is a change as any other,
 * so it is in ops/change.c.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/timekeeping.h>

#include "base/compat.h"
#include "store/lifetime.h"

/* The slack of the timer, so that values that end together wake it once. */
#define SLACK_NS	NSEC_PER_MSEC

static struct metastore_value *tie_value(struct metastore_tie *tie)
{
	return &container_of(tie, struct metastore_tied_value, tie)->value;
}

/**
 * metastore_owner_init - nothing belongs to an open file yet
 * @owner:	the file, as an owner
 */
void metastore_owner_init(struct metastore_owner *owner)
{
	spin_lock_init(&owner->lock);
	INIT_LIST_HEAD(&owner->values);
}

/**
 * metastore_owner_next - find some value that belongs to an open file
 * @owner:	the file, as an owner
 *
 * Context: takes the owner's lock.
 * Return: the value, with a reference for the caller, or NULL.
 */
struct metastore_value *metastore_owner_next(struct metastore_owner *owner)
{
	struct metastore_value *value = NULL;
	struct metastore_tie *tie;

	spin_lock(&owner->lock);
	tie = list_first_entry_or_null(&owner->values, struct metastore_tie, in_owner);
	if (tie) {
		value = tie_value(tie);
		metastore_value_get(value);
	}
	spin_unlock(&owner->lock);
	return value;
}

static struct metastore_value *expiry_value_of(struct timerqueue_node *node)
{
	return tie_value(container_of(node, struct metastore_tie, expiry));
}

static void expiry_start_timer(struct metastore_expiry *expiry, ktime_t expires)
{
	lockdep_assert_held(&expiry->lock);
	hrtimer_start_range_ns(&expiry->timer, expires, SLACK_NS,
			       HRTIMER_MODE_ABS_SOFT);
}

static enum hrtimer_restart expiry_kick_work(struct hrtimer *timer)
{
	struct metastore_expiry *expiry =
		container_of(timer, struct metastore_expiry, timer);

	queue_work(system_unbound_wq, &expiry->work);
	return HRTIMER_NORESTART;
}

/**
 * metastore_expiry_init - prepare a store for values that have an end
 * @expiry:	its member of that name
 * @work:	removes what metastore_expiry_next() finds; the timer kicks it
 */
void metastore_expiry_init(struct metastore_expiry *expiry, work_func_t work)
{
	spin_lock_init(&expiry->lock);
	timerqueue_init_head(&expiry->queue);
	hrtimer_setup(&expiry->timer, expiry_kick_work, CLOCK_BOOTTIME, HRTIMER_MODE_ABS_SOFT);
	INIT_WORK(&expiry->work, work);
	expiry->stopped = false;
}

/**
 * metastore_expiry_next - find the next value whose time is over
 * @expiry:	of a store
 *
 * If there is none the timer is started for the one that comes next.
 *
 * Context: takes @expiry's lock.
 * Return: the value, with a reference for the caller, or NULL.
 */
struct metastore_value *metastore_expiry_next(struct metastore_expiry *expiry)
{
	struct metastore_value *value = NULL;
	struct timerqueue_node *node;

	spin_lock(&expiry->lock);
	node = timerqueue_getnext(&expiry->queue);
	if (node && !expiry->stopped) {
		if (node->expires > ktime_get_boottime()) {
			expiry_start_timer(expiry, node->expires);
		} else {
			/* A value in the queue is in a table, which has a reference. */
			value = expiry_value_of(node);
			metastore_value_get(value);
		}
	}
	spin_unlock(&expiry->lock);
	return value;
}

/**
 * metastore_expiry_stop - remove nothing any more
 * @expiry:	of a store that no open file means any more
 *
 * Context: may sleep, until the worker has ended.
 */
void metastore_expiry_stop(struct metastore_expiry *expiry)
{
	spin_lock(&expiry->lock);
	expiry->stopped = true;
	spin_unlock(&expiry->lock);
	/* From here on nobody starts the timer, which alone queues the work. */
	hrtimer_cancel(&expiry->timer);
	cancel_work_sync(&expiry->work);
}

static void owner_add(struct metastore_tie *tie)
{
	if (!tie->owner)
		return;
	spin_lock(&tie->owner->lock);
	list_add_tail(&tie->in_owner, &tie->owner->values);
	spin_unlock(&tie->owner->lock);
}

static void owner_remove(struct metastore_tie *tie)
{
	if (!tie->owner)
		return;
	spin_lock(&tie->owner->lock);
	list_del(&tie->in_owner);
	spin_unlock(&tie->owner->lock);
}

/* The tie knows how long its value shall live, in ns, and now when that ends. */
static void expiry_add(struct metastore_tie *tie, struct metastore_expiry *expiry)
{
	struct timerqueue_node *node = &tie->expiry;

	if (node->expires == KTIME_MAX)
		return;
	node->expires = ktime_add(node->expires, ktime_get_boottime());
	spin_lock(&expiry->lock);
	if (timerqueue_add(&expiry->queue, node))
		expiry_start_timer(expiry, node->expires);
	spin_unlock(&expiry->lock);
}

static void expiry_remove(struct metastore_tie *tie, struct metastore_expiry *expiry)
{
	if (tie->expiry.expires == KTIME_MAX)
		return;
	spin_lock(&expiry->lock);
	timerqueue_del(&expiry->queue, &tie->expiry);
	spin_unlock(&expiry->lock);
}

/* See metastore_lifetime_begin(). */
void metastore_tie_begin(struct metastore_tie *tie, struct metastore_expiry *expiry)
{
	owner_add(tie);
	expiry_add(tie, expiry);
}

/* See metastore_lifetime_end(). */
void metastore_tie_end(struct metastore_tie *tie, struct metastore_expiry *expiry)
{
	owner_remove(tie);
	expiry_remove(tie, expiry);
}

/**
 * metastore_tie_is_over - has the time of a value that has a tie ended?
 * @tie:	the tie
 */
bool metastore_tie_is_over(const struct metastore_tie *tie)
{
	return tie->expiry.expires <= ktime_get_boottime();
}

/**
 * metastore_tie_ttl - what is left of the time of a value that has a tie
 * @tie:	the tie
 *
 * Return: as metastore_value_ttl().
 */
u64 metastore_tie_ttl(const struct metastore_tie *tie)
{
	ktime_t expires = tie->expiry.expires, now;

	if (expires == KTIME_MAX)
		return 0;
	now = ktime_get_boottime();
	return expires > now ? DIV_ROUND_UP_ULL(expires - now, NSEC_PER_MSEC) : 1;
}
