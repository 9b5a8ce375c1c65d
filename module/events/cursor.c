// SPDX-License-Identifier: GPL-2.0
/*
 * How far a subscriber has read the values there are: ops/snapshot.c moves it, and a
 * queue looks whether it has passed a key.
 */
#include <linux/slab.h>

#include "base/types.h"
#include "store/store.h"
#include "events/cursor.h"
#include "events/topic.h"

/**
 * metastore_cursor_create - make a cursor ahead of all keys
 * @bucket:	index of the first bucket
 * @newer:	which version a value must be above, of an exact key
 *
 * Context: may sleep.
 * Return: the cursor, to be freed with kfree(), or NULL.
 */
struct metastore_cursor *metastore_cursor_create(u32 bucket, u64 newer)
{
	struct metastore_cursor *cursor = kmalloc(sizeof(*cursor), METASTORE_GFP);

	if (!cursor)
		return NULL;
	cursor->bucket = bucket;
	cursor->newer = newer;
	metastore_position_set(&cursor->pos, 0, NULL, 0);
	return cursor;
}

static void cursor_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct metastore_cursor, rcu));
}

/**
 * metastore_cursor_free_later - free a cursor once no reader can be on it
 * @cursor:	the cursor, which no reader can come to any more
 *
 * Context: any.
 */
void metastore_cursor_free_later(struct metastore_cursor *cursor)
{
	call_srcu(&metastore_srcu, &cursor->rcu, cursor_free);
}

/**
 * metastore_cursor_has_passed - has the snapshot shown what there was of a key?
 * @cursor:	the cursor
 * @key:	the key
 *
 * Context: with the locks of the key's bucket and of the queue held; or, while the key
 * is busy, of the queue's alone.
 */
bool metastore_cursor_has_passed(const struct metastore_cursor *cursor,
				 const struct metastore_key *key)
{
	u32 bucket = metastore_store_bucket_index(key->bucket->store, key);

	if (bucket != cursor->bucket)
		return bucket < cursor->bucket;
	return metastore_position_is_behind(&cursor->pos, key);
}
