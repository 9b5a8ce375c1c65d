// SPDX-License-Identifier: GPL-2.0
/*
 * Cursor of a snapshot. ops/snapshot.c moves it. The queue compares keys with it, to
 * tell which events follow the values that were read.
 */
#include <linux/slab.h>

#include "base/types.h"
#include "store/store.h"
#include "events/cursor.h"

/**
 * metastore_cursor_create() - Create a cursor ahead of all keys
 * @bucket:	index of the first bucket
 * @newer:	for an exact key: version that the value's version must exceed
 *
 * Context: Process context, may sleep.
 * Return: The cursor with one reference, or NULL without memory.
 */
struct metastore_cursor *metastore_cursor_create(u32 bucket, u64 newer)
{
	struct metastore_cursor *cursor = kmalloc(sizeof(*cursor), METASTORE_GFP);

	if (!cursor)
		return NULL;
	cursor->bucket = bucket;
	cursor->newer = newer;
	cursor->refs = 1;
	metastore_position_set(&cursor->pos, 0, NULL, 0);
	return cursor;
}

/**
 * metastore_cursor_put() - Drop a reference; the last one frees the cursor
 * @cursor:	the cursor
 *
 * Context: Caller holds the queue's lock.
 */
void metastore_cursor_put(struct metastore_cursor *cursor)
{
	if (!--cursor->refs)
		kfree(cursor);
}

/**
 * metastore_cursor_has_passed() - Check whether the cursor is past a key
 * @cursor:	the cursor
 * @key:	the key
 *
 * Context: Caller holds the locks of the key's bucket and of the queue. While the key
 * is busy the queue's lock suffices: a snapshot does not pass a busy key.
 * Return: true if the cursor is past it, so that its events are to be enqueued.
 */
bool metastore_cursor_has_passed(const struct metastore_cursor *cursor,
				 const struct metastore_key *key)
{
	u32 bucket = metastore_store_bucket_index(key->bucket->store, key);

	if (bucket != cursor->bucket)
		return bucket < cursor->bucket;
	return metastore_position_is_behind(&cursor->pos, key);
}
