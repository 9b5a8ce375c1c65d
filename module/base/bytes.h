/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_BYTES_H
#define METASTORE_BYTES_H

#include <linux/string.h>
#include <linux/types.h>

/* Eight bytes at any address. */
struct metastore_word {
	u64 value;
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

#endif /* METASTORE_BYTES_H */
