// SPDX-License-Identifier: GPL-2.0
/*
 * Room in lossless queues that is reserved for an event before it comes.
 */
#include <linux/bsearch.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "base/types.h"
#include "store/bucket.h"
#include "store/store.h"
#include "events/queue_push.h"
#include "events/reservation.h"

/* Reservations that there is memory for at first. */
#define RESERVATIONS_FIRST	16

static int reservations_compare(const void *a, const void *b)
{
	const struct metastore_reservation *first = a, *second = b;

	return first->sub < second->sub ? -1 : first->sub > second->sub;
}

/**
 * metastore_reservations_find - find the reservation of a subscription
 * @reserved:	the reservations
 * @sub:	the subscription
 *
 * Return: the reservation, or NULL.
 */
struct metastore_reservation *
metastore_reservations_find(const struct metastore_reservations *reserved,
			    const struct metastore_subscription *sub)
{
	struct metastore_reservation wanted = { .sub = (struct metastore_subscription *)sub };

	return bsearch(&wanted, reserved->items, reserved->nr, sizeof(wanted),
		       reservations_compare);
}

/**
 * metastore_reservations_are_all - are they all that are needed?
 * @reserved:	the reservations
 * @key:	the key that they are for
 *
 * Context: with the bucket's lock held.
 */
bool metastore_reservations_are_all(const struct metastore_reservations *reserved,
				    const struct metastore_key *key)
{
	lockdep_assert_held(&key->bucket->lock);
	return reserved->epoch == atomic64_read(&key->bucket->store->room.epoch);
}

/* Makes sure that there is memory for one more. */
static int reservations_grow(struct metastore_reservations *reserved)
{
	u32 max = reserved->max ? 2 * reserved->max : RESERVATIONS_FIRST;
	struct metastore_reservation *more;

	if (reserved->nr < reserved->max)
		return 0;
	more = kvmalloc_array(max, sizeof(*more), METASTORE_GFP);
	if (!more)
		return -ENOMEM;
	memcpy(more, reserved->items, reserved->nr * sizeof(*more));
	kvfree(reserved->items);
	reserved->items = more;
	reserved->max = max;
	return 0;
}

/**
 * metastore_reservations_add - reserve room for an event, if a queue is lossless
 * @reserved:	the reservations
 * @sub:	the subscription
 * @value:	the event's
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -ENOBUFS if the queue has no room.
 */
int metastore_reservations_add(struct metastore_reservations *reserved,
			       struct metastore_subscription *sub,
			       const struct metastore_value *value)
{
	u32 charge;
	int err;

	err = reservations_grow(reserved) ?: metastore_queue_reserve(sub, value, &charge);
	if (err || !charge)
		return err;
	reserved->items[reserved->nr++] = (struct metastore_reservation) {
		.sub = sub,
		.charge = charge,
	};
	return 0;
}

/**
 * metastore_reservations_release - give back what was not used
 * @reserved:	the reservations
 *
 * Context: may sleep.
 */
void metastore_reservations_release(struct metastore_reservations *reserved)
{
	u32 i;

	for (i = 0; i < reserved->nr; i++) {
		if (!reserved->items[i].used)
			metastore_queue_unreserve(reserved->items[i].sub,
						  reserved->items[i].charge);
		cond_resched();
	}
	reserved->nr = 0;
}

/**
 * metastore_reservations_sort - let reservations be found
 * @reserved:	the reservations, which are all
 */
void metastore_reservations_sort(struct metastore_reservations *reserved)
{
	sort(reserved->items, reserved->nr, sizeof(*reserved->items), reservations_compare, NULL);
}
