/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_CURSOR_H
#define METASTORE_CURSOR_H

#include <linux/types.h>

#include "base/table.h"

/** METASTORE_CURSOR_DONE - bucket index of a cursor that has passed all keys */
#define METASTORE_CURSOR_DONE		U32_MAX

/**
 * struct metastore_cursor - position of a snapshot in its store
 * @bucket:	index of the bucket the snapshot is in, or METASTORE_CURSOR_DONE
 * @pos:	position in that bucket's table
 * @newer:	for an exact key: the snapshot omits a value unless its version is above
 *		this. Immutable.
 * @refs:	references: of the subscription and of each reader. Protected by the queue's
 *		lock.
 *
 * @bucket and @pos are protected by two locks: that of the bucket the cursor is in, and
 * the queue's. So the lock of a key's bucket alone fixes whether the cursor has passed
 * the key. A subscription that begins its snapshot anew gets another cursor, under the
 * queue's lock.
 */
struct metastore_cursor {
	u32 bucket;
	struct metastore_position pos;
	u64 newer;
	u32 refs;
};

struct metastore_cursor *metastore_cursor_create(u32 bucket, u64 newer);
void metastore_cursor_put(struct metastore_cursor *cursor);
bool metastore_cursor_has_passed(const struct metastore_cursor *cursor,
				 const struct metastore_key *key);

#endif /* METASTORE_CURSOR_H */
