// SPDX-License-Identifier: GPL-2.0
/*
 * Charging of changes: to the store, and to users.
 *
 * All is charged before a change is made, so only then it can be refused. A user that
 * makes a change pays for the new value. The user that paid for the old one gets that
 * back, once nothing can be refused any more.
 */
#include "store/lifetime.h"
#include "store/share.h"
#include "store/store.h"
#include "store/user.h"
#include "ops/change.h"
#include "ops/charge.h"

/* The user that is charged for owning a value, or NULL. @value may be NULL. */
static struct metastore_user *charge_owner_of(const struct metastore_value *value)
{
	if (!value || !metastore_value_is_tied(value) || !metastore_tie_of(value)->owner)
		return NULL;
	return metastore_tie_of(value)->owner->user;
}

static void charge_add_share(struct metastore_charges *charges, const struct metastore_value *value,
			     int sign)
{
	charges->own_keys += sign;
	charges->own_bytes += sign * (s64)metastore_value_size(value);
}

/**
 * metastore_charges_add() - Add what a change costs
 * @charges:	the charges
 * @change:	the change, after metastore_change_bytes()
 * @old:	present value, or NULL
 *
 * Context: Caller holds the bucket's lock, so the owner of @old exists.
 */
void metastore_charges_add(struct metastore_charges *charges, const struct metastore_change *change,
			   const struct metastore_value *old)
{
	charges->keys += !!change->value - !!old;
	charges->bytes += change->bytes;
	if (!charges->user)
		return;
	if (change->value)
		charge_add_share(charges, change->value, 1);
	if (old && metastore_value_payer(old) == charges->payer)
		charge_add_share(charges, old, -1);
	charges->owned += charge_owner_of(change->value) == charges->user;
	charges->owned -= charge_owner_of(old) == charges->user;
}

static bool charge_may_take(const struct metastore_charges *charges, enum metastore_pool pool,
			    u32 kind, s64 n, s64 left)
{
	if (n <= 0 || metastore_payer_may_take(pool, charges->payer, n, left))
		return true;
	metastore_user_refuse(charges->user, kind);
	return false;
}

/* Check the user's share of the default store. */
static bool charge_is_in_share(const struct metastore_charges *charges,
			       struct metastore_store *store)
{
	return charge_may_take(charges, METASTORE_POOL_KEYS, METASTORE_USER_KEYS, charges->own_keys,
			       store->limits.max_keys - atomic64_read(&store->keys)) &&
	       charge_may_take(charges, METASTORE_POOL_BYTES, METASTORE_USER_BYTES,
			       charges->own_bytes,
			       store->limits.max_bytes - atomic64_read(&store->bytes));
}

/* The last key tells that there are no more bytes, see metastore_payer_get(). */
static void charge_take(u32 payer, int keys, s64 bytes)
{
	metastore_payer_take(METASTORE_POOL_BYTES, payer, bytes);
	metastore_payer_take(METASTORE_POOL_KEYS, payer, keys);
}

/* Charge the store, and the user's share of it. Returns 0, -ENOSPC or -EDQUOT. */
static int charge_store(const struct metastore_charges *charges, struct metastore_store *store)
{
	bool shared = !store->maker && charges->user;
	int err;

	if (shared && !charge_is_in_share(charges, store))
		return -EDQUOT;
	err = metastore_store_charge(store, charges->keys, charges->bytes);
	if (!err && shared)
		charge_take(charges->payer, charges->own_keys, charges->own_bytes);
	return err;
}

/**
 * metastore_charges_pay() - Charge the store and the user that makes the changes
 * @charges:	the charges
 * @store:	the store
 *
 * Context: Any task; spinlocks may be held.
 * Return: 0, -ENOSPC or -EDQUOT; then nothing is charged. Changes that only remove
 * values cannot be refused.
 */
int metastore_charges_pay(const struct metastore_charges *charges, struct metastore_store *store)
{
	int err;

	if (likely(!charges->owned))
		return charge_store(charges, store);
	/* Growth first, since only that can be refused. */
	if (charges->owned > 0) {
		err = metastore_user_charge(charges->user, METASTORE_USER_OWNED_KEYS,
					    charges->owned);
		if (err)
			return err;
	}
	err = charge_store(charges, store);
	if (err ? charges->owned > 0 : charges->owned < 0)
		metastore_user_uncharge(charges->user, METASTORE_USER_OWNED_KEYS,
					abs(charges->owned));
	return err;
}

/**
 * metastore_charges_refund() - Give back what another user paid for a value that goes
 * @charges:	charges that are paid
 * @store:	the store
 * @old:	value that a change replaces or removes, or NULL
 *
 * Context: Caller holds the bucket's lock, so the owner of @old exists.
 */
void metastore_charges_refund(const struct metastore_charges *charges,
			      struct metastore_store *store, const struct metastore_value *old)
{
	struct metastore_user *owner = charge_owner_of(old);

	if (!old)
		return;
	if (!store->maker && (!charges->user || metastore_value_payer(old) != charges->payer))
		charge_take(metastore_value_payer(old), -1, -(s64)metastore_value_size(old));
	if (owner && owner != charges->user)
		metastore_user_uncharge(owner, METASTORE_USER_OWNED_KEYS, 1);
}
