/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_EXPIRY_H
#define METASTORE_EXPIRY_H

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <linux/timerqueue.h>
#include <linux/workqueue.h>

struct metastore_value;

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
bool metastore_value_is_over(const struct metastore_value *value);
u64 metastore_value_ttl(const struct metastore_value *value);

#endif /* METASTORE_EXPIRY_H */
