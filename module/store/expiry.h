/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_EXPIRY_H
#define METASTORE_EXPIRY_H

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <linux/timerqueue.h>
#include <linux/workqueue.h>

#include "store/value.h"

/**
 * struct metastore_expiry - the values of a store that have an end
 * @lock:	protects the rest
 * @queue:	their ties, the next to end first
 * @timer:	goes off when that one ends, or earlier
 * @work:	what it kicks: removes the values whose time is over
 * @stopped:	nothing is to be removed any more
 */
struct metastore_expiry {
	spinlock_t lock;	/* see above */
	struct timerqueue_head queue;
	struct hrtimer timer;
	struct work_struct work;
	bool stopped;
};

void metastore_expiry_init(struct metastore_expiry *expiry);
void metastore_expiry_stop(struct metastore_expiry *expiry);
void metastore_expiry_add(struct metastore_expiry *expiry,
			  struct metastore_value *value);
void metastore_expiry_remove(struct metastore_expiry *expiry,
			     struct metastore_value *value);
bool metastore_tie_is_over(const struct metastore_tie *tie);
u64 metastore_tie_ttl(const struct metastore_tie *tie);

/**
 * metastore_value_is_over - has a value's time ended?
 * @value:	a value that is, or was, in a table
 */
static inline bool metastore_value_is_over(const struct metastore_value *value)
{
	return unlikely(metastore_value_is_tied(value)) &&
	       metastore_tie_is_over(metastore_tie_of(value));
}

/**
 * metastore_value_ttl - what is left of a value's time
 * @value:	a value that is, or was, in a table
 *
 * Return: ms, rounded up, at least 1; 0 if it has no end.
 */
static inline u64 metastore_value_ttl(const struct metastore_value *value)
{
	return unlikely(metastore_value_is_tied(value)) ?
	       metastore_tie_ttl(metastore_tie_of(value)) : 0;
}

#endif /* METASTORE_EXPIRY_H */
