// SPDX-License-Identifier: GPL-2.0
/*
 * Times to live.
 *
 * Whoever looks a value up looks at the time too, so that none is seen once it
 * is over. The rest is only about when its subscribers are told: one timer a
 * store kicks a worker, which removes what is over, value after value.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "base/compat.h"
#include "store/bucket.h"
#include "store/expiry.h"
#include "store/store.h"
#include "ops/change.h"

/* What the timer may be late, so that values that end together wake once. */
#define SLACK_NS	NSEC_PER_MSEC

static struct metastore_value *value_of(struct timerqueue_node *node)
{
	struct metastore_tie *tie = container_of(node, struct metastore_tie, expiry);

	return &container_of(tie, struct metastore_tied_value, tie)->value;
}

static void start_timer(struct metastore_expiry *expiry, ktime_t expires)
{
	hrtimer_start_range_ns(&expiry->timer, expires, SLACK_NS,
			       HRTIMER_MODE_ABS_SOFT);
}

/* The next value whose time is over, with a reference; if there is none, NULL. */
static struct metastore_value *next_over(struct metastore_expiry *expiry)
{
	struct metastore_value *value = NULL;
	struct timerqueue_node *node;

	spin_lock(&expiry->lock);
	node = timerqueue_getnext(&expiry->queue);
	if (node && !expiry->stopped) {
		if (node->expires > ktime_get_boottime()) {
			start_timer(expiry, node->expires);
		} else {
			/* What is in the queue is in a table, which has one. */
			value = value_of(node);
			metastore_value_get(value);
		}
	}
	spin_unlock(&expiry->lock);
	return value;
}

static void remove_what_is_over(struct work_struct *work)
{
	struct metastore_expiry *expiry =
		container_of(work, struct metastore_expiry, work);
	struct metastore_store *store =
		container_of(expiry, struct metastore_store, expiry);
	struct metastore_value *value;
	struct metastore_key key;

	while ((value = next_over(expiry))) {
		metastore_store_locate_value(store, value, &key);
		metastore_bucket_expire(&key);
		metastore_value_put(value);
		cond_resched();
	}
}

static enum hrtimer_restart kick_work(struct hrtimer *timer)
{
	struct metastore_expiry *expiry =
		container_of(timer, struct metastore_expiry, timer);

	queue_work(system_unbound_wq, &expiry->work);
	return HRTIMER_NORESTART;
}

/**
 * metastore_expiry_init - prepare a store for values that have an end
 * @expiry:	its member of that name
 */
void metastore_expiry_init(struct metastore_expiry *expiry)
{
	spin_lock_init(&expiry->lock);
	timerqueue_init_head(&expiry->queue);
	hrtimer_setup(&expiry->timer, kick_work, CLOCK_BOOTTIME, HRTIMER_MODE_ABS_SOFT);
	INIT_WORK(&expiry->work, remove_what_is_over);
	expiry->stopped = false;
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

/**
 * metastore_expiry_add - a value comes into a table
 * @expiry:	of its store
 * @value:	the value, which has a tie; that knows how long it shall live, in ns,
 *		and from now on when it ends
 *
 * Context: with the bucket's lock held, takes @expiry's.
 */
void metastore_expiry_add(struct metastore_expiry *expiry,
			  struct metastore_value *value)
{
	struct timerqueue_node *node = &metastore_tie_of(value)->expiry;

	if (node->expires == KTIME_MAX)
		return;
	node->expires = ktime_add(node->expires, ktime_get_boottime());
	spin_lock(&expiry->lock);
	if (timerqueue_add(&expiry->queue, node))
		start_timer(expiry, node->expires);
	spin_unlock(&expiry->lock);
}

/**
 * metastore_expiry_remove - a value goes from its table
 * @expiry:	of its store
 * @value:	the value, which has a tie
 *
 * Context: with the bucket's lock held, takes @expiry's.
 */
void metastore_expiry_remove(struct metastore_expiry *expiry,
			     struct metastore_value *value)
{
	struct timerqueue_node *node = &metastore_tie_of(value)->expiry;

	if (node->expires == KTIME_MAX)
		return;
	spin_lock(&expiry->lock);
	timerqueue_del(&expiry->queue, node);
	spin_unlock(&expiry->lock);
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
