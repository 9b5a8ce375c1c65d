// SPDX-License-Identifier: GPL-2.0
/* Reservations: room in lossless queues for an event that is not published yet. */
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

/* Initial capacity, in reservations */
#define RESERVATIONS_FIRST	16

static int reservations_compare(const void *a, const void *b)
{
	const struct metastore_reservation *first = a, *second = b;

	return first->sub < second->sub ? -1 : first->sub > second->sub;
}

/**
 * metastore_reservations_find() - Find the reservation of a subscription
 * @reserved:	the reservations, sorted
 * @sub:	the subscription
 *
 * Return: The reservation, or NULL.
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
 * metastore_reservations_are_all() - Check that no further queue can need a reservation
 * @reserved:	the reservations
 * @key:	the key they are for
 *
 * Context: Caller holds the bucket's lock. Pairs with metastore_room_needed().
 * Return: false if the store announced such a queue since @reserved->epoch was read.
 */
bool metastore_reservations_are_all(const struct metastore_reservations *reserved,
				    const struct metastore_key *key)
{
	lockdep_assert_held(&key->bucket->lock);
	return reserved->epoch == atomic64_read(&key->bucket->store->room.epoch);
}

/* Grow @items so that one more fits. Return 0 or -ENOMEM. */
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
 * metastore_reservations_add() - Reserve room for an event if a queue is lossless
 * @reserved:	the reservations
 * @sub:	the subscription
 * @value:	value of the event
 *
 * Context: Process context in a metastore_srcu read section, may sleep.
 * Return: 0, -ENOMEM, or -ENOBUFS if the queue has no room.
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
 * metastore_reservations_release() - Give unused room back
 * @reserved:	the reservations
 *
 * Context: Process context in the same metastore_srcu read section, may sleep.
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
 * metastore_reservations_sort() - Sort reservations for metastore_reservations_find()
 * @reserved:	the reservations, complete
 */
void metastore_reservations_sort(struct metastore_reservations *reserved)
{
	sort(reserved->items, reserved->nr, sizeof(*reserved->items), reservations_compare, NULL);
}
