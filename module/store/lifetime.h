/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_LIFETIME_H
#define METASTORE_LIFETIME_H

#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/timerqueue.h>
#include <linux/workqueue.h>

#include "store/value.h"

/**
 * struct metastore_owner - an open file, as what values belong to
 * @lock:	protects the rest
 * @values:	their ties
 */
struct metastore_owner {
	spinlock_t lock;	/* see above */
	struct list_head values;
};

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

void metastore_owner_init(struct metastore_owner *owner);
struct metastore_value *metastore_owner_next(struct metastore_owner *owner);

void metastore_expiry_init(struct metastore_expiry *expiry, work_func_t work);
void metastore_expiry_stop(struct metastore_expiry *expiry);
struct metastore_value *metastore_expiry_next(struct metastore_expiry *expiry);

void metastore_tie_begin(struct metastore_tie *tie, struct metastore_expiry *expiry);
void metastore_tie_end(struct metastore_tie *tie, struct metastore_expiry *expiry);
bool metastore_tie_is_over(const struct metastore_tie *tie);
u64 metastore_tie_ttl(const struct metastore_tie *tie);

/**
 * metastore_lifetime_begin - a value comes into a table
 * @value:	the value; if it shall live for some time, it is told when that ends
 * @expiry:	of its store
 *
 * Context: with the bucket's lock held; takes the owner's and @expiry's.
 */
static inline void metastore_lifetime_begin(struct metastore_value *value,
					    struct metastore_expiry *expiry)
{
	if (metastore_value_is_tied(value))
		metastore_tie_begin(metastore_tie_of(value), expiry);
}

/**
 * metastore_lifetime_end - a value goes from its table
 * @value:	the value
 * @expiry:	of its store
 *
 * Context: with the bucket's lock held; takes the owner's and @expiry's.
 */
static inline void metastore_lifetime_end(struct metastore_value *value,
					  struct metastore_expiry *expiry)
{
	if (metastore_value_is_tied(value))
		metastore_tie_end(metastore_tie_of(value), expiry);
}

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

/**
 * metastore_value_owner - whose is a value?
 * @value:	a value that is, or was, in a table
 * @by:		the open file that asks, or NULL
 *
 * Context: any; the owner may be gone.
 * Return: METASTORE_OWNER_*.
 */
static inline u32 metastore_value_owner(const struct metastore_value *value,
					const struct metastore_owner *by)
{
	if (likely(!metastore_value_is_tied(value)) || !metastore_tie_of(value)->owner)
		return METASTORE_OWNER_NONE;
	return metastore_tie_of(value)->owner == by ? METASTORE_OWNER_SELF :
							METASTORE_OWNER_OTHER;
}

#endif /* METASTORE_LIFETIME_H */
