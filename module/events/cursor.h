/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_CURSOR_H
#define METASTORE_CURSOR_H

#include <linux/rcupdate.h>
#include <linux/types.h>

#include "base/table.h"

/** METASTORE_CURSOR_DONE - as bucket: it has passed all keys */
#define METASTORE_CURSOR_DONE		U32_MAX

/**
 * struct metastore_cursor - how far a subscriber has read the values there are
 * @bucket:	index of the bucket it is in
 * @pos:	where it is in that one's table
 * @newer:	of an exact key: which version the value must be above
 * @rcu:	for freeing: other readers may be on it
 *
 * Changed with the lock of the bucket it is in and the queue's held, so that who
 * holds a key's bucket's lock knows whether it has passed the key.
 */
struct metastore_cursor {
	u32 bucket;
	struct metastore_position pos;
	u64 newer;
	struct rcu_head rcu;
};

struct metastore_cursor *metastore_cursor_create(u32 bucket, u64 newer);
void metastore_cursor_free_later(struct metastore_cursor *cursor);
bool metastore_cursor_has_passed(const struct metastore_cursor *cursor,
				 const struct metastore_key *key);

#endif /* METASTORE_CURSOR_H */
