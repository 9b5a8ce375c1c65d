/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_CURSOR_H
#define METASTORE_CURSOR_H

#include <linux/rcupdate.h>
#include <linux/types.h>

#include "base/table.h"

/** METASTORE_SNAPSHOT_DONE - as bucket: it has passed all keys */
#define METASTORE_SNAPSHOT_DONE		U32_MAX

/**
 * struct metastore_snapshot - how far a subscriber has read the values there are
 * @bucket:	index of the bucket it is in
 * @pos:	where it is in that one's table
 * @newer:	of an exact key: which version the value must be above
 * @rcu:	for freeing: other readers may be on it
 *
 * Changed with the lock of the bucket it is in and the queue's held, so that who
 * holds a key's bucket's lock knows whether it has passed the key.
 */
struct metastore_snapshot {
	u32 bucket;
	struct metastore_position pos;
	u64 newer;
	struct rcu_head rcu;
};

struct metastore_snapshot *metastore_snapshot_create(u32 bucket, u64 newer);
void metastore_snapshot_free_later(struct metastore_snapshot *snapshot);
bool metastore_snapshot_has_passed(const struct metastore_snapshot *snapshot,
				   const struct metastore_key *key);

#endif /* METASTORE_CURSOR_H */
