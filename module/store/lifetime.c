// SPDX-License-Identifier: GPL-2.0
/*
 * Values whose life ends with their owner, or when they expire.
 *
 * A value enters its owner's list and the store's expiry queue when it enters a table. It
 * leaves them when it leaves the table. Both happen under the bucket's lock. So while a
 * task holds that lock and finds a value in the table, the value's owner exists: the
 * owner's release would need the lock to remove the value.
 *
 * Each lookup of a value checks its time too, so that no reader sees it after that. The
 * timer only decides when subscribers learn of it: one timer per store queues work that
 * removes expired values one by one.
 *
 * This file only finds those values. Their removal is a change like any other, see
 * ops/change.c.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/timekeeping.h>

#include "base/compat.h"
#include "store/lifetime.h"
#include "store/user.h"

/* Timer slack, so that values that expire together need one wake-up. */
#define SLACK_NS	NSEC_PER_MSEC

static struct metastore_value *tie_value(struct metastore_tie *tie)
{
	return &container_of(tie, struct metastore_tied_value, tie)->value;
}

/**
 * metastore_owner_init() - Initialize an open file as the owner of no values
 * @owner:	the open file as an owner
 * @user:	user to charge for its values; it must outlive them
 */
void metastore_owner_init(struct metastore_owner *owner, struct metastore_user *user)
{
	owner->user = user;
	owner->payer = user->payer;
	spin_lock_init(&owner->lock);
	INIT_LIST_HEAD(&owner->values);
	owner->holder = NULL;
}

/**
 * metastore_owner_next() - Find any value that an open file owns
 * @owner:	the open file as an owner
 *
 * Context: Takes the owner's lock.
 * Return: the value with a reference for the caller, or NULL.
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
 * metastore_expiry_init() - Initialize the expiry of a store
 * @expiry:	the expiry
 * @work:	function that removes expired values; queued by the timer
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
 * metastore_expiry_next() - Find the next expired value
 * @expiry:	the expiry of a store
 *
 * If there is none, the timer is started for the next value to expire.
 *
 * Context: Takes @expiry's lock.
 * Return: the value with a reference for the caller, or NULL.
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
			/* A queued value is in a table, which has a reference. */
			value = expiry_value_of(node);
			metastore_value_get(value);
		}
	}
	spin_unlock(&expiry->lock);
	return value;
}

/**
 * metastore_expiry_stop() - Stop removing values
 * @expiry:	the expiry of a store without open files
 *
 * Context: Process context, may sleep until the work has ended.
 */
void metastore_expiry_stop(struct metastore_expiry *expiry)
{
	spin_lock(&expiry->lock);
	expiry->stopped = true;
	spin_unlock(&expiry->lock);
	/* Nothing starts the timer from here on, and only the timer queues the work. */
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

/* Remove a tie from its owner's list, and keep the process that ends the owner, if any. */
static void owner_remove(struct metastore_tie *tie)
{
	struct pid *holder;

	if (!tie->owner)
		return;
	/* First, as the owner may be freed once the list is empty. */
	holder = get_pid(READ_ONCE(tie->owner->holder));
	spin_lock(&tie->owner->lock);
	list_del(&tie->in_owner);
	spin_unlock(&tie->owner->lock);
	tie->holder = holder;
}

/* Add a tie to the queue, to end at a time on CLOCK_BOOTTIME, which may have passed. */
static void expiry_add_at(struct metastore_tie *tie, struct metastore_expiry *expiry, ktime_t end)
{
	struct timerqueue_node *node = &tie->expiry;

	node->expires = end;
	spin_lock(&expiry->lock);
	if (timerqueue_add(&expiry->queue, node))
		expiry_start_timer(expiry, end);
	spin_unlock(&expiry->lock);
}

/* Turn the tie's time to live in ns into an end time, and add it to the queue. */
static void expiry_add(struct metastore_tie *tie, struct metastore_expiry *expiry)
{
	expiry_add_at(tie, expiry, ktime_add(tie->expiry.expires, ktime_get_boottime()));
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
void metastore_tie_begin(struct metastore_tie *tie, const struct metastore_tie *previous,
			 struct metastore_expiry *expiry)
{
	owner_add(tie);
	if (tie->expiry.expires != KTIME_MAX)
		expiry_add(tie, expiry);
	else if (previous && previous->expiry.expires != KTIME_MAX)
		expiry_add_at(tie, expiry, previous->expiry.expires);
}

/* See metastore_lifetime_end(). */
void metastore_tie_end(struct metastore_tie *tie, struct metastore_expiry *expiry)
{
	owner_remove(tie);
	expiry_remove(tie, expiry);
}

/**
 * metastore_tie_holder() - Get the process that held the owner's last descriptor
 * @tie:	the tie of a value that went with its owner
 *
 * Context: Process context. The caller has a reference to the value.
 * Return: the process as the current task's PID namespace numbers it, also if it has ended;
 * 0 if it has no number there or the kernel itself closed the file.
 */
pid_t metastore_tie_holder(const struct metastore_tie *tie)
{
	return pid_nr_ns(tie->holder, task_active_pid_ns(current));
}

/**
 * metastore_tie_set_end() - Move the end of a value that expires
 * @tie:	the tie of a value in a table
 * @expiry:	the expiry of its store
 * @end:	end time on CLOCK_BOOTTIME
 *
 * Context: Caller holds the bucket's lock. Takes @expiry's lock.
 */
void metastore_tie_set_end(struct metastore_tie *tie, struct metastore_expiry *expiry,
			   ktime_t end)
{
	struct timerqueue_node *node = &tie->expiry;

	spin_lock(&expiry->lock);
	timerqueue_del(&expiry->queue, node);
	/* Pairs with READ_ONCE() in metastore_tie_is_over() and metastore_tie_ttl(). */
	WRITE_ONCE(node->expires, end);
	/* A timer for an earlier end finds nothing, and is started for the next one. */
	if (timerqueue_add(&expiry->queue, node))
		expiry_start_timer(expiry, node->expires);
	spin_unlock(&expiry->lock);
}

/**
 * metastore_tie_renew() - Renew a value that expires, unless a reader may have missed it
 * @tie:	the tie of a value in a table
 * @expiry:	the expiry of its store
 * @ttl:	time to live in ms from now, at most METASTORE_TTL_MAX
 *
 * A reader without a lock may find that the value has expired just before it is renewed.
 * It must stay expired then, so its old end is restored. Until that it can be seen for a
 * moment longer.
 *
 * Context: Caller holds the bucket's lock. Takes @expiry's lock.
 * Return: false if the value expired meanwhile.
 */
bool metastore_tie_renew(struct metastore_tie *tie, struct metastore_expiry *expiry, u64 ttl)
{
	ktime_t old = tie->expiry.expires;

	metastore_tie_set_end(tie, expiry, ktime_add(ktime_get_boottime(), ms_to_ktime(ttl)));
	/* Pairs with smp_rmb() in metastore_tie_is_over(). */
	smp_mb();
	if (likely(old > ktime_get_boottime()))
		return true;
	metastore_tie_set_end(tie, expiry, old);
	return false;
}

/**
 * metastore_tie_is_over() - Check whether a value that has a tie has expired
 * @tie:	the tie
 *
 * Return: true if its end time has passed.
 */
bool metastore_tie_is_over(const struct metastore_tie *tie)
{
	ktime_t now = ktime_get_boottime();

	/* The clock first. Pairs with smp_mb() in metastore_tie_renew(). */
	smp_rmb();
	return READ_ONCE(tie->expiry.expires) <= now;
}

/**
 * metastore_tie_ttl() - Get the rest of the time to live of a value that has a tie
 * @tie:	the tie
 *
 * Return: milliseconds, rounded up, at least 1; 0 if the value does not expire.
 */
u64 metastore_tie_ttl(const struct metastore_tie *tie)
{
	ktime_t expires = READ_ONCE(tie->expiry.expires), now;

	if (expires == KTIME_MAX)
		return 0;
	now = ktime_get_boottime();
	return expires > now ? DIV_ROUND_UP_ULL(expires - now, NSEC_PER_MSEC) : 1;
}
