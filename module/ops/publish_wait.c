// SPDX-License-Identifier: GPL-2.0
/*
 * Publishers that wait for room in lossless queues.
 *
 * Room is claimed queue after queue, without the bucket's lock, since there may be many.
 * If one has none, what was claimed is given back and the publisher sleeps until there
 * is some in a queue that lacked it; nothing is held meanwhile. When all have room the
 * change is made as any other, and each push uses its claim up. In between others cannot
 * take that room, and if a further lossless subscriber may have come all begins anew.
 */
#include <linux/bsearch.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/subscription.h"
#include "ops/change.h"
#include "ops/publish_wait.h"

/* How often a publisher that does not wait tries again because others came in between. */
#define TRIES		16

/* Claims that there is memory for at first. */
#define CLAIMS_FIRST	16

/**
 * metastore_room_came - there is room in a queue that lacked it
 * @room:	of the store
 *
 * Context: any, with the queue's lock held.
 */
void metastore_room_came(struct metastore_room *room)
{
	atomic64_inc(&room->changes);
	wake_up_interruptible_all(&room->waiters);
}

/**
 * metastore_room_needed - a further queue may have to have room for an event
 * @room:	of the store
 *
 * To be called before it is so.
 */
void metastore_room_needed(struct metastore_room *room)
{
	atomic64_inc(&room->epoch);
	/* Pairs with the lock of the bucket under which the epoch is looked at. */
	smp_mb__after_atomic();
}

static int compare(const void *a, const void *b)
{
	const struct metastore_source *first = ((const struct metastore_claim *)a)->source;
	const struct metastore_source *second = ((const struct metastore_claim *)b)->source;

	return first < second ? -1 : first > second;
}

/**
 * metastore_claims_find - find the claim of a subscription
 * @claims:	the claims
 * @source:	the subscription
 *
 * Return: the claim, or NULL.
 */
struct metastore_claim *metastore_claims_find(const struct metastore_claims *claims,
					      const struct metastore_source *source)
{
	struct metastore_claim wanted = { .source = (struct metastore_source *)source };

	return bsearch(&wanted, claims->claims, claims->nr, sizeof(wanted), compare);
}

/**
 * metastore_claims_hold - are they all that are needed?
 * @claims:	the claims
 * @key:	the key that they are for
 *
 * Context: with the bucket's lock held.
 */
bool metastore_claims_hold(const struct metastore_claims *claims,
			   const struct metastore_key *key)
{
	return claims->epoch == atomic64_read(&key->bucket->store->room.epoch);
}

/* Makes sure that there is memory for one more. */
static int prepare(struct metastore_claims *claims)
{
	u32 max = claims->max ? 2 * claims->max : CLAIMS_FIRST;
	struct metastore_claim *more;

	if (claims->nr < claims->max)
		return 0;
	more = kvmalloc_array(max, sizeof(*more), METASTORE_GFP);
	if (!more)
		return -ENOMEM;
	memcpy(more, claims->claims, claims->nr * sizeof(*more));
	kvfree(claims->claims);
	claims->claims = more;
	claims->max = max;
	return 0;
}

/* Returns 0, -ENOMEM, or -EAGAIN if the queue has no room. */
static int claim(struct metastore_claims *claims, struct metastore_source *source,
		 const struct metastore_value *value)
{
	u32 charge;
	int err;

	err = prepare(claims) ?: metastore_queue_claim(source, value, &charge);
	if (err || !charge)
		return err;
	claims->claims[claims->nr++] = (struct metastore_claim) {
		.source = source,
		.charge = charge,
	};
	return 0;
}

/* Claims room in all lossless queues that the event of a change goes to. */
static int claim_all(struct metastore_claims *claims, const struct metastore_change *change)
{
	const struct metastore_key *key = change->key;
	struct metastore_subscription *sub;
	struct metastore_walk walk;
	struct list_head *at;
	int err = 0;

	claims->nr = 0;
	claims->epoch = atomic64_read(&key->bucket->store->room.epoch);
	spin_lock(&key->bucket->lock);
	metastore_walk_start(&walk, key, metastore_topic_of(key), true);
	spin_unlock(&key->bucket->lock);
	while (!err && (at = metastore_walk_next(&walk))) {
		sub = list_entry(at, struct metastore_subscription, in_topic);
		if (sub->events & change->type)
			err = claim(claims, &sub->source, change->value);
		cond_resched();
	}
	sort(claims->claims, claims->nr, sizeof(*claims->claims), compare, NULL);
	return err;
}

/* Gives back what was not used. */
static void release_all(struct metastore_claims *claims)
{
	u32 i;

	for (i = 0; i < claims->nr; i++) {
		if (!claims->claims[i].used)
			metastore_queue_unclaim(claims->claims[i].source,
						claims->claims[i].charge);
		cond_resched();
	}
	claims->nr = 0;
}

/*
 * Makes a change if all have room. Returns -EAGAIN if not; 1 if others came in between:
 * it is to be tried again.
 */
static int try(struct metastore_change *change, struct metastore_claims *claims)
{
	int section = srcu_read_lock(&metastore_srcu);
	int err;

	/* What is refused is not waited for. */
	err = metastore_bucket_check(change) ?: claim_all(claims, change) ?:
	      metastore_bucket_change(change, claims);
	release_all(claims);
	srcu_read_unlock(&metastore_srcu, section);
	return err;
}

/*
 * Waits until another try may be worth it: for room in a queue, if one had none. Returns
 * 0, -EINTR or -ETIMEDOUT.
 */
static int wait_for_try(struct metastore_room *room, bool had_none, s64 changes, ktime_t left)
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
 * Return: as metastore_bucket_change(); -EAGAIN: there is no room, and @timeout is 0;
 * -ETIMEDOUT; -EINTR.
 */
int metastore_change_waiting(struct metastore_change *change, u32 timeout)
{
	struct metastore_room *room = &change->key->bucket->store->room;
	bool endless = !timeout || timeout == METASTORE_WAIT_FOREVER;
	ktime_t end = ktime_add_ms(ktime_get(), timeout);
	struct metastore_claims claims = {};
	int err, tries = 0;
	s64 changes;

	do {
		changes = atomic64_read(&room->changes);
		err = try(change, &claims);
		if (err != -EAGAIN && err != 1)
			break;
		if (!timeout && (err == -EAGAIN || ++tries == TRIES)) {
			err = -EAGAIN;
			break;
		}
		err = wait_for_try(room, err == -EAGAIN, changes,
				   endless ? KTIME_MAX : ktime_sub(end, ktime_get()));
	} while (!err);
	kvfree(claims.claims);
	return err;
}
