/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Types and helpers that all files share, and the lock order of the module:
 *
 *	bucket.lock > file.owner.lock, expiry.lock, store.txns.lock
 *		    > store.prefixes.lock > file.subs.lock > queue.lock
 *	queue.lock > queue.readers, store.room.waiters
 *	all of these > users_lock, which RCU callbacks take as well; payers_lock
 *	stores.xa_lock is never taken under another, nor another under it
 *
 * But for users_lock all are taken in process context only. No task holds two locks of one
 * kind, except in a transaction: it locks its buckets in ascending order of their addresses.
 */
#ifndef METASTORE_TYPES_H
#define METASTORE_TYPES_H

#include <asm/byteorder.h>
#include <linux/gfp.h>
#include <linux/string.h>
#include <linux/types.h>

/**
 * METASTORE_GFP - flags for allocations that users cause
 *
 * The memory is charged to the caller's memory cgroup. If that is full, the allocation
 * fails with -ENOMEM instead of invoking the OOM killer.
 */
#define METASTORE_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Eight bytes at any alignment. */
struct metastore_word {
	u64 value;
} __packed;

/* Four bytes at any alignment. */
struct metastore_half {
	u32 value;
} __packed;

/* Check the bytes of two keys for equality. Inlined, since most keys are short. */
static __always_inline bool metastore_bytes_equal(const u8 *a, const u8 *b, u32 len)
{
	const struct metastore_word *x = (const struct metastore_word *)a;
	const struct metastore_word *y = (const struct metastore_word *)b;

	for (; len >= 8; len -= 8)
		if ((x++)->value != (y++)->value)
			return false;
	return !len || !memcmp(x, y, len);
}

/* Like memcmp(), but fast for bytes that usually differ, if at all, in the first eight. */
static inline int metastore_bytes_compare(const u8 *a, const u8 *b, u32 len)
{
	const struct metastore_word *x = (const struct metastore_word *)a;
	const struct metastore_word *y = (const struct metastore_word *)b;

	for (; len >= 8; len -= 8, x++, y++)
		if (x->value != y->value)
			return be64_to_cpu((__force __be64)x->value) <
			       be64_to_cpu((__force __be64)y->value) ? -1 : 1;
	return len ? memcmp(x, y, len) : 0;
}

#endif /* METASTORE_TYPES_H */
