/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_CHARGE_H
#define METASTORE_CHARGE_H

#include <linux/types.h>

#include "base/counter.h"
#include "store/share.h"
#include "store/store.h"
#include "store/value.h"

struct metastore_change;
struct metastore_user;

/**
 * struct metastore_charges - what changes add, to be charged before they are made
 * @user:	user that makes the changes; NULL: the module itself, which only removes
 * @payer:	number of the user whose share new values count to; of no use without @user
 * @keys:	number of keys added to the store; may be negative, like the others
 * @bytes:	number of bytes added to it
 * @own_keys:	number of keys added to those that @payer stored
 * @own_bytes:	number of bytes added to these
 * @owned:	number of owned keys added to those of @user
 */
struct metastore_charges {
	struct metastore_user *user;
	u32 payer;
	int keys;
	s64 bytes;
	int own_keys;
	s64 own_bytes;
	s64 owned;
};

void metastore_charges_add(struct metastore_charges *charges, const struct metastore_change *change,
			   const struct metastore_value *old);
int metastore_charges_pay(const struct metastore_charges *charges, struct metastore_store *store);
void metastore_charges_refund(const struct metastore_charges *charges,
			      struct metastore_store *store, const struct metastore_value *old);

/**
 * metastore_charge_is_none() - Check that a change costs nothing, as most do
 * @value:	value that it stores, or NULL
 * @old:	present value, or NULL
 * @bytes:	bytes that the change adds
 *
 * Return: true if it replaces a value by one of the same size and user, and neither has an
 * owner.
 */
static inline bool metastore_charge_is_none(const struct metastore_value *value,
					    const struct metastore_value *old, s64 bytes)
{
	return !bytes && value && old && metastore_value_same_payer(value, old) &&
	       !metastore_value_is_tied(value) && !metastore_value_is_tied(old);
}

/**
 * metastore_charge_new() - Charge a value of a new key
 * @store:	the default store
 * @value:	the value, without an owner
 *
 * Short, since it is for most new keys. metastore_charges_pay() tells why it refuses one.
 *
 * Context: Any; spinlocks may be held.
 * Return: false if nothing is charged.
 */
static inline bool metastore_charge_new(struct metastore_store *store,
					const struct metastore_value *value)
{
	const struct metastore_limits *limits = &store->limits;
	u32 payer = metastore_value_payer(value);
	s64 bytes = metastore_value_size(value);

	if (!metastore_payer_has_share(METASTORE_POOL_KEYS, payer, 1,
				       limits->max_keys - atomic64_read(&store->keys)) ||
	    !metastore_payer_has_share(METASTORE_POOL_BYTES, payer, bytes,
				       limits->max_bytes - atomic64_read(&store->bytes)) ||
	    !metastore_add_within(&store->keys, 1, limits->max_keys))
		return false;
	if (!metastore_add_within(&store->bytes, bytes, limits->max_bytes)) {
		atomic64_dec(&store->keys);
		return false;
	}
	metastore_payer_take(METASTORE_POOL_BYTES, payer, bytes);
	metastore_payer_take(METASTORE_POOL_KEYS, payer, 1);
	return true;
}

/**
 * metastore_charge_gone() - Give back what a value is charged for that is removed
 * @store:	the default store
 * @value:	the value, without an owner
 *
 * Context: Any; spinlocks may be held.
 */
static inline void metastore_charge_gone(struct metastore_store *store,
					 const struct metastore_value *value)
{
	u32 payer = metastore_value_payer(value);
	s64 bytes = metastore_value_size(value);

	atomic64_dec(&store->keys);
	atomic64_sub(bytes, &store->bytes);
	/* The last key tells that there are no more bytes, see metastore_payer_get(). */
	metastore_payer_take(METASTORE_POOL_BYTES, payer, -bytes);
	metastore_payer_take(METASTORE_POOL_KEYS, payer, -1);
}

#endif /* METASTORE_CHARGE_H */
