// SPDX-License-Identifier: GPL-2.0
/* Reservations: room in lossless queues for an event that is not published yet. */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "base/types.h"
#include "store/bucket.h"
#include "store/store.h"
#include "events/queue_push.h"
#include "events/reservation.h"

/**
 * struct metastore_reservation_block - memory of some reservations
 * @next:	block that was filled before, or NULL
 * @nr:		number of @items in use
 * @items:	the reservations
 */
struct metastore_reservation_block {
	struct metastore_reservation_block *next;
	u32 nr;
	struct metastore_reservation items[(SZ_4K - 16) / sizeof(struct metastore_reservation)];
};

static_assert(sizeof(struct metastore_reservation_block) <= SZ_4K);

static struct metastore_reservation *reservation_of(const struct rb_node *node)
{
	return rb_entry(node, struct metastore_reservation, node);
}

static int reservation_compare(const void *sub, const struct rb_node *node)
{
	const struct metastore_subscription *other = reservation_of(node)->sub;

	return sub < (const void *)other ? -1 : sub > (const void *)other;
}

static bool reservation_less(struct rb_node *a, const struct rb_node *b)
{
	return reservation_of(a)->sub < reservation_of(b)->sub;
}

/**
 * metastore_reservations_find() - Find the reservation of a subscription
 * @reserved:	the reservations
 * @sub:	the subscription
 *
 * Return: The reservation, or NULL.
 */
struct metastore_reservation *
metastore_reservations_find(const struct metastore_reservations *reserved,
			    const struct metastore_subscription *sub)
{
	struct rb_node *node = rb_find(sub, &reserved->tree, reservation_compare);

	return node ? reservation_of(node) : NULL;
}

/**
 * metastore_reservations_begin() - Begin to reserve room
 * @reserved:	the reservations, of which there are none
 * @key:	the key they are for
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_reservations_begin(struct metastore_reservations *reserved,
				  const struct metastore_key *key)
{
	lockdep_assert_held(&key->bucket->lock);
	reserved->epoch = key->bucket->epoch;
	reserved->prefix_epoch = READ_ONCE(key->bucket->store->prefixes.epoch);
}

/**
 * metastore_reservations_are_all() - Check that no further queue can need a reservation
 * @reserved:	the reservations
 * @key:	the key they are for
 *
 * Context: Caller holds the bucket's lock.
 * Return: false if there may be one since metastore_reservations_begin(), unless the
 * reservations are claimed.
 */
bool metastore_reservations_are_all(const struct metastore_reservations *reserved,
				    const struct metastore_key *key)
{
	lockdep_assert_held(&key->bucket->lock);
	return reserved->claimed ||
	       (reserved->epoch == key->bucket->epoch &&
		reserved->prefix_epoch == READ_ONCE(key->bucket->store->prefixes.epoch));
}

/**
 * metastore_reservations_prepare() - Allocate memory for some more
 * @reserved:	the reservations; its @room is set
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_reservations_prepare(struct metastore_reservations *reserved)
{
	struct metastore_reservation_block *block = reserved->blocks;

	if (!reserved->room) {
		reserved->room = METASTORE_RESERVE_FIRST;
		return 0;
	}
	reserved->room = METASTORE_RESERVE_AT_ONCE;
	if (block && block->nr + METASTORE_RESERVE_AT_ONCE <= ARRAY_SIZE(block->items))
		return 0;
	block = kmalloc(sizeof(*block), METASTORE_GFP);
	if (!block)
		return -ENOMEM;
	block->next = reserved->blocks;
	block->nr = 0;
	reserved->blocks = block;
	return 0;
}

/**
 * metastore_reservations_add() - Reserve room for an event if a queue is lossless
 * @reserved:	the reservations, after metastore_reservations_prepare()
 * @sub:	the subscription
 * @value:	value of the event
 *
 * Context: As metastore_queue_reserve().
 * Return: As metastore_queue_reserve().
 */
int metastore_reservations_add(struct metastore_reservations *reserved,
			       struct metastore_subscription *sub,
			       const struct metastore_value *value)
{
	struct metastore_reservation_block *block = reserved->blocks;
	struct metastore_reservation *reservation =
		block ? &block->items[block->nr] : &reserved->first[reserved->nr_first];
	int err;

	err = metastore_queue_reserve(reservation, sub, value, &reserved->garbage);
	if (err || !reservation->charge)
		return err;
	if (reservation->copy)
		reserved->copied += metastore_value_size(value) + METASTORE_COPY_COST;
	if (block)
		block->nr++;
	else
		reserved->nr_first++;
	rb_add(&reservation->node, &reserved->tree, reservation_less);
	return 0;
}

static void reservations_unreserve(struct metastore_reservation *items, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (!items[i].used)
			metastore_queue_unreserve(&items[i]);
}

/**
 * metastore_reservations_release() - Give unused room back
 * @reserved:	the reservations
 *
 * Context: Process context, may sleep.
 */
void metastore_reservations_release(struct metastore_reservations *reserved)
{
	struct metastore_reservation_block *block;

	reserved->tree = RB_ROOT;
	reservations_unreserve(reserved->first, reserved->nr_first);
	reserved->nr_first = 0;
	reserved->room = 0;
	while ((block = reserved->blocks)) {
		reservations_unreserve(block->items, block->nr);
		reserved->blocks = block->next;
		kfree(block);
		cond_resched();
	}
}
