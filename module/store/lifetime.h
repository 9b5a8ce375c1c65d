/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_LIFETIME_H
#define METASTORE_LIFETIME_H

#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/timerqueue.h>
#include <linux/workqueue.h>

#include "store/value.h"

struct metastore_user;

/**
 * struct metastore_owner - open file as the owner of values
 * @lock:	protects @values
 * @values:	ties of the owner's values
 * @holder:	process that held the last descriptor, while its values go; else NULL
 * @user:	user that is charged for them. Immutable.
 * @payer:	number of the user whose share all values count to that the file stores.
 *		Immutable.
 */
struct metastore_owner {
	spinlock_t lock;	/* see above */
	struct list_head values;
	struct pid *holder;
	struct metastore_user *user;
	u32 payer;
};

/**
 * struct metastore_expiry - values of a store that expire
 * @lock:	protects @queue and @stopped
 * @queue:	ties of the values, the first to expire first
 * @timer:	fires when the first value expires, or earlier
 * @work:	removes expired values; queued by @timer
 * @stopped:	whether expiry has ended
 */
struct metastore_expiry {
	spinlock_t lock;	/* see above */
	struct timerqueue_head queue;
	struct hrtimer timer;
	struct work_struct work;
	bool stopped;
};

void metastore_owner_init(struct metastore_owner *owner, struct metastore_user *user);
struct metastore_value *metastore_owner_next(struct metastore_owner *owner);

void metastore_expiry_init(struct metastore_expiry *expiry, work_func_t work);
void metastore_expiry_stop(struct metastore_expiry *expiry);
struct metastore_value *metastore_expiry_next(struct metastore_expiry *expiry);

void metastore_tie_begin(struct metastore_tie *tie, const struct metastore_tie *previous,
			 struct metastore_expiry *expiry);
void metastore_tie_end(struct metastore_tie *tie, struct metastore_expiry *expiry);
bool metastore_tie_renew(struct metastore_tie *tie, struct metastore_expiry *expiry, u64 ttl);
void metastore_tie_set_end(struct metastore_tie *tie, struct metastore_expiry *expiry,
			   ktime_t end);
pid_t metastore_tie_holder(const struct metastore_tie *tie);
bool metastore_tie_is_over(const struct metastore_tie *tie);
u64 metastore_tie_ttl(const struct metastore_tie *tie);

/**
 * metastore_lifetime_begin() - Start a value's lifetime as it enters a table
 * @value:	the value; if it expires, its time to live becomes an end time
 * @previous:	value that it replaces, whose lifetime has ended, if it is to keep the end
 *		of that one; it then has a tie, and no end of its own. Else NULL
 * @expiry:	the expiry of its store
 *
 * Context: Caller holds the bucket's lock. Takes the owner's and @expiry's locks.
 */
static inline void metastore_lifetime_begin(struct metastore_value *value,
					    const struct metastore_value *previous,
					    struct metastore_expiry *expiry)
{
	if (metastore_value_is_tied(value))
		metastore_tie_begin(metastore_tie_of(value),
				    previous && metastore_value_is_tied(previous) ?
				    metastore_tie_of(previous) : NULL, expiry);
}

/**
 * metastore_lifetime_end() - End a value's lifetime as it leaves its table
 * @value:	the value
 * @expiry:	the expiry of its store
 *
 * Context: Caller holds the bucket's lock. Takes the owner's and @expiry's locks.
 */
static inline void metastore_lifetime_end(struct metastore_value *value,
					  struct metastore_expiry *expiry)
{
	if (metastore_value_is_tied(value))
		metastore_tie_end(metastore_tie_of(value), expiry);
}

/**
 * metastore_value_is_over() - Check whether a value has expired
 * @value:	a value that is, or was, in a table
 *
 * Return: true if its end time has passed.
 */
static inline bool metastore_value_is_over(const struct metastore_value *value)
{
	return unlikely(metastore_value_is_tied(value)) &&
	       metastore_tie_is_over(metastore_tie_of(value));
}

/**
 * metastore_value_expires() - Check whether a value has a limited time to live
 * @value:	a value that is, or was, in a table
 *
 * Context: Caller holds the bucket's lock.
 * Return: true if it has an end time.
 */
static inline bool metastore_value_expires(const struct metastore_value *value)
{
	return metastore_value_is_tied(value) &&
	       metastore_tie_of(value)->expiry.expires != KTIME_MAX;
}

/**
 * metastore_value_ttl() - Get the rest of a value's time to live
 * @value:	a value that is, or was, in a table
 *
 * Return: milliseconds, rounded up, at least 1; 0 if the value does not expire.
 */
static inline u64 metastore_value_ttl(const struct metastore_value *value)
{
	return unlikely(metastore_value_is_tied(value)) ?
	       metastore_tie_ttl(metastore_tie_of(value)) : 0;
}

/**
 * metastore_value_owner() - Get the owner of a value relative to an open file
 * @value:	a value that is, or was, in a table
 * @by:		the open file to compare with, or NULL
 *
 * Context: Any. The owner may be freed already.
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
