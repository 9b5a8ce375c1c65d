/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lock order of the module:
 *
 *	store.txn_lock > bucket.lock > file.owner.lock, expiry.lock
 *				   > file.subs.lock > queue.lock > queue.readers
 *	store.prefixes.lock > file.subs.lock
 *	queue.lock > store.room.waiters
 *
 * A section of metastore_srcu may begin under any of them.
 * All are taken in process context only. Nobody holds two of a kind, but a
 * transaction, which holds many buckets' locks, in the order of their addresses.
 */
#ifndef METASTORE_TYPES_H
#define METASTORE_TYPES_H

#include <asm/byteorder.h>
#include <linux/gfp.h>
#include <linux/string.h>
#include <linux/types.h>

/**
 * METASTORE_GFP - how memory that users cause is allocated
 *
 * It is charged to the caller's memory cgroup. One that is full gets -ENOMEM;
 * the OOM killer is not called for it.
 */
#define METASTORE_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Eight bytes at any address. */
struct metastore_word {
	u64 value;
} __packed;

/* Four bytes at any address. */
struct metastore_half {
	u32 value;
} __packed;

/* Are two keys' bytes the same? Inlined, since most are short. */
static __always_inline bool metastore_bytes_equal(const u8 *a, const u8 *b, u32 len)
{
	const struct metastore_word *x = (const struct metastore_word *)a;
	const struct metastore_word *y = (const struct metastore_word *)b;

	for (; len >= 8; len -= 8)
		if ((x++)->value != (y++)->value)
			return false;
	return !len || !memcmp(x, y, len);
}

/* As memcmp(), for bytes that mostly differ, if at all, among the first eight. */
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
