// SPDX-License-Identifier: GPL-2.0
/*
 * Shares of users in what all of them have together: the default store, and the memory
 * of private stores.
 *
 * A user may have as much as everyone of all users that have any, and one more, would get
 * of what is left and of its own. So one user gets at most half, and leaves some for a
 * second and a third one. The n-th user gets at least 1 / (n * (n + 1)) of all.
 *
 * A payer is a user of the initial namespace, together with all users of namespaces that it
 * created. It has a number as long as it has open files or values. Payers that find no
 * free number share the number 0.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/spinlock.h>

#include "store/share.h"

struct metastore_payer metastore_payers[METASTORE_MAX_PAYERS];

/* Number of payers that have any of a pool */
atomic_t metastore_pool_users[METASTORE_POOLS];

static DEFINE_SPINLOCK(payers_lock);

/* Its values count as keys, so bytes need no look. The charge of bytes goes first. */
static bool share_is_in_use(const struct metastore_payer *payer)
{
	return atomic_read(&payer->refs) || atomic64_read(&payer->use[METASTORE_POOL_KEYS]);
}

/**
 * metastore_payer_get() - Get the number of a user
 * @uid:	the user, of the initial namespace
 *
 * Context: Any. Searches all numbers under a lock.
 * Return: its number, until metastore_payer_put() and as long as it has values; 0: that of
 * the users without a number of their own.
 */
u32 metastore_payer_get(kuid_t uid)
{
	u32 i, free = 0, found = 0;
	unsigned long flags;

	spin_lock_irqsave(&payers_lock, flags);
	for (i = 1; i < METASTORE_MAX_PAYERS && !found; i++) {
		if (!share_is_in_use(&metastore_payers[i]))
			free = free ?: i;
		else if (uid_eq(metastore_payers[i].uid, uid))
			found = i;
	}
	if (!found) {
		found = free;
		metastore_payers[found].uid = uid;
	}
	atomic_inc(&metastore_payers[found].refs);
	spin_unlock_irqrestore(&payers_lock, flags);
	return found;
}

/**
 * metastore_payer_put() - Drop a reference of metastore_payer_get()
 * @payer:	the number
 */
void metastore_payer_put(u32 payer)
{
	atomic_dec(&metastore_payers[payer].refs);
}

/**
 * metastore_payer_limit() - Get the share of a payer at present
 * @pool:	the pool
 * @payer:	number of the payer
 * @left:	what is left of the pool
 *
 * Return: most that the payer may have.
 */
s64 metastore_payer_limit(enum metastore_pool pool, u32 payer, s64 left)
{
	s64 own = metastore_payer_use(pool, payer);
	u32 parts = atomic_read(&metastore_pool_users[pool]) + !own + 1;

	return ((u64)max(left, 0LL) + own) / parts;
}

/**
 * metastore_payer_may_take() - Check whether a payer's share allows it more
 * @pool:	the pool
 * @payer:	number of the payer
 * @n:		what it wants, more than 0
 * @left:	what is left of the pool
 *
 * A request that the pool refuses anyway is allowed here. Tasks that take some at the same time may
 * exceed the share by what each of them takes. CAP_SYS_RESOURCE exceeds it.
 *
 * Context: Any task; spinlocks may be held.
 * Return: whether it may.
 */
bool metastore_payer_may_take(enum metastore_pool pool, u32 payer, s64 n, s64 left)
{
	return metastore_payer_has_share(pool, payer, n, left) || n > left ||
	       capable(CAP_SYS_RESOURCE);
}
