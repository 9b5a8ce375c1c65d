/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters with a limit.
 */
#ifndef METASTORE_COUNTER_H
#define METASTORE_COUNTER_H

#include <linux/atomic.h>
#include <linux/types.h>

/**
 * metastore_add_within() - Add to a counter if the sum is within a limit
 * @counter:	the counter. It never exceeds @max by this, even briefly.
 * @n:		number to add; negative: always added
 * @max:	greatest sum
 *
 * Return: false if the sum would be above @max; then nothing is added.
 */
static inline bool metastore_add_within(atomic64_t *counter, s64 n, s64 max)
{
	s64 sum = atomic64_read(counter);

	if (!n)
		return true;
	do {
		if (n > 0 && n > max - sum)
			return false;
	} while (!atomic64_try_cmpxchg(counter, &sum, sum + n));
	return true;
}

#endif /* METASTORE_COUNTER_H */
