/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_SHARE_H
#define METASTORE_SHARE_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <linux/uidgid.h>

/** enum metastore_pool - room that users share */
enum metastore_pool {
	METASTORE_POOL_KEYS,	/* max_keys of the default store */
	METASTORE_POOL_BYTES,	/* max_bytes of the default store */
	METASTORE_POOL_PRIVATE,	/* private_bytes */
	METASTORE_POOLS
};

/**
 * METASTORE_MAX_PAYERS - most users with a share of their own, and one for all others
 *
 * A value has the number of its payer in the bits that its process number leaves.
 */
#define METASTORE_MAX_PAYERS	1024

/**
 * struct metastore_payer - user that has a share
 * @uid:	the user. Written under payers_lock.
 * @refs:	number of its users that have open files or private stores
 * @use:	what it has of each pool
 */
struct metastore_payer {
	kuid_t uid;
	atomic_t refs;
	atomic64_t use[METASTORE_POOLS];
};

extern struct metastore_payer metastore_payers[METASTORE_MAX_PAYERS];
extern atomic_t metastore_pool_users[METASTORE_POOLS];

u32 metastore_payer_get(kuid_t uid);
void metastore_payer_put(u32 payer);
s64 metastore_payer_limit(enum metastore_pool pool, u32 payer, s64 left);
bool metastore_payer_may_take(enum metastore_pool pool, u32 payer, s64 n, s64 left);

/**
 * metastore_payer_use() - Get what a payer has of a pool
 * @pool:	the pool
 * @payer:	number of the payer
 *
 * Return: number of keys or bytes.
 */
static inline s64 metastore_payer_use(enum metastore_pool pool, u32 payer)
{
	return atomic64_read(&metastore_payers[payer].use[pool]);
}

/**
 * metastore_payer_has_share() - Check whether a payer's share has room for more
 * @pool:	the pool
 * @payer:	number of the payer
 * @n:		what it wants, more than 0
 * @left:	what is left of the pool
 *
 * Return: whether it has.
 */
static inline bool metastore_payer_has_share(enum metastore_pool pool, u32 payer, s64 n, s64 left)
{
	s64 own = metastore_payer_use(pool, payer);
	u32 parts = atomic_read(&metastore_pool_users[pool]) + !own + 1;

	return (u64)(own + n) * parts <= (u64)left + own;
}

/**
 * metastore_payer_take() - Count what a payer takes of a pool, or gives back
 * @pool:	the pool
 * @payer:	number of the payer
 * @n:		number of keys or bytes; negative: what it gives back, keys last
 *
 * Context: Any.
 */
static inline void metastore_payer_take(enum metastore_pool pool, u32 payer, s64 n)
{
	s64 now;

	if (!n)
		return;
	now = atomic64_add_return(n, &metastore_payers[payer].use[pool]);
	if (unlikely(now == n))
		atomic_inc(&metastore_pool_users[pool]);
	else if (unlikely(!now))
		atomic_dec(&metastore_pool_users[pool]);
}

#endif /* METASTORE_SHARE_H */
