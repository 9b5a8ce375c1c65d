// SPDX-License-Identifier: GPL-2.0
/*
 * Groups: the events of transactions, and which of them are being delivered.
 *
 * A group has a slot of its store until the last of its deliveries is complete. Files that
 * got its events are told by that slot, so groups in different slots are independent: a
 * transaction does not wait for another one whose keys it does not change. If all slots are
 * taken, or those that one user may have, a further transaction completes the oldest group
 * itself.
 */
#include <linux/sched.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/delivery.h"

/*
 * Find a free slot for a group. Return METASTORE_TXN_SLOTS if there is none, or if its user
 * has METASTORE_TXN_SLOTS_EACH already.
 */
static u32 group_find_slot(const struct metastore_txns *txns, const struct metastore_group *group)
{
	u32 slot, free = METASTORE_TXN_SLOTS, own = 0;

	lockdep_assert_held(&txns->lock);
	for (slot = 0; slot < METASTORE_TXN_SLOTS; slot++) {
		if (!txns->slots[slot])
			free = slot;
		else
			own += txns->slots[slot]->payer == group->payer;
	}
	return own < METASTORE_TXN_SLOTS_EACH ? free : METASTORE_TXN_SLOTS;
}

/**
 * metastore_group_begin() - Take a slot and draw the number of a transaction
 * @store:	the store
 * @group:	the group, with references and events but without number and slot
 *
 * Context: Caller holds the locks of all buckets of the transaction.
 * Return: false if no slot is free. The caller then releases the locks and calls
 * metastore_group_help(). true: it calls metastore_group_publish() once all deliveries have
 * begun, or metastore_group_settle() if there are to be none.
 */
bool metastore_group_begin(struct metastore_store *store, struct metastore_group *group)
{
	struct metastore_txns *txns = &store->txns;
	u32 slot;

	spin_lock(&txns->lock);
	slot = group_find_slot(txns, group);
	if (slot < METASTORE_TXN_SLOTS) {
		txns->slots[slot] = group;
		WRITE_ONCE(txns->nr, txns->nr + 1);
		group->id = txns->nr;
	}
	spin_unlock(&txns->lock);
	if (slot == METASTORE_TXN_SLOTS)
		return false;
	group->slot = slot;
	atomic_set(&group->left, 1);
	/*
	 * Pairs with smp_mb() in subscription_enter(): either the deliveries find a new
	 * subscription, or it sees this number.
	 */
	smp_mb();
	return true;
}

/**
 * metastore_group_publish() - Let others help, since all deliveries have begun
 * @store:	the store
 * @group:	the group
 *
 * Context: Caller holds the locks of all buckets of the transaction.
 */
void metastore_group_publish(struct metastore_store *store, struct metastore_group *group)
{
	spin_lock(&store->txns.lock);
	group->begun = true;
	spin_unlock(&store->txns.lock);
	metastore_group_settle(store, group);
}

/**
 * metastore_group_settle() - Note that a delivery is complete, or that there are none more
 * @store:	the store
 * @group:	the group. The last one releases its slot.
 *
 * Context: Caller holds the lock of a bucket of the group.
 */
void metastore_group_settle(struct metastore_store *store, struct metastore_group *group)
{
	struct metastore_txns *txns = &store->txns;

	if (!atomic_dec_and_test(&group->left))
		return;
	spin_lock(&txns->lock);
	txns->slots[group->slot] = NULL;
	spin_unlock(&txns->lock);
}

/**
 * metastore_group_deliver() - Complete all deliveries of a group, one after the other
 * @group:	the group, whose deliveries have begun; others may complete some or all
 *
 * Context: Process context, may sleep. Takes one bucket's lock at a time.
 */
void metastore_group_deliver(struct metastore_group *group)
{
	struct metastore_garbage garbage = {};
	u32 i;

	for (i = 0; i < group->nr; i++) {
		struct metastore_delivery *delivery = &group->events[i].delivery;
		struct metastore_bucket *bucket = group->events[i].notice.key->bucket;

		spin_lock(&bucket->lock);
		metastore_delivery_finish(delivery, &garbage);
		spin_unlock(&bucket->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	}
}

/*
 * Take a reference to the group that has been in a slot for longest, first of those of the
 * same user. Return NULL if none has begun: they hold spinlocks, so they will soon.
 */
static struct metastore_group *group_get_oldest(struct metastore_txns *txns, u32 payer)
{
	struct metastore_group *oldest = NULL, *group;
	bool own = false, is_own;
	u32 slot;

	spin_lock(&txns->lock);
	for (slot = 0; slot < METASTORE_TXN_SLOTS; slot++) {
		group = txns->slots[slot];
		if (!group || !group->begun)
			continue;
		is_own = group->payer == payer;
		if (oldest && is_own == own && group->id > oldest->id)
			continue;
		if (!oldest || is_own >= own) {
			oldest = group;
			own = is_own;
		}
	}
	if (oldest)
		refcount_inc(&oldest->refs);
	spin_unlock(&txns->lock);
	return oldest;
}

/**
 * metastore_group_help() - Complete the deliveries of another transaction
 * @store:	the store
 * @waiting:	group that found no slot
 *
 * Context: Process context, may sleep. Takes one bucket's lock at a time.
 */
void metastore_group_help(struct metastore_store *store, const struct metastore_group *waiting)
{
	struct metastore_group *group = group_get_oldest(&store->txns, waiting->payer);

	if (!group) {
		cond_resched();
		return;
	}
	metastore_group_deliver(group);
	metastore_group_put(group);
}

/**
 * metastore_group_put() - Drop a reference; the last one frees the group
 * @group:	the group
 *
 * Context: Process context, may sleep.
 */
void metastore_group_put(struct metastore_group *group)
{
	if (refcount_dec_and_test(&group->refs))
		group->free(group);
}
