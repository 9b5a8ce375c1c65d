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
 * metastore_snapshot_create - make a snapshot that has not begun
 * @bucket:	index of the first bucket
 * @newer:	which version a value must be above, of an exact key
 *
 * Context: may sleep.
 * Return: the snapshot, to be freed with kfree(), or NULL.
 */
struct metastore_snapshot *metastore_snapshot_create(u32 bucket, u64 newer)
{
	struct metastore_snapshot *snapshot = kmalloc(sizeof(*snapshot), METASTORE_GFP);

	if (!snapshot)
		return NULL;
	snapshot->bucket = bucket;
	snapshot->newer = newer;
	metastore_position_set(&snapshot->pos, 0, NULL, 0);
	return snapshot;
}

static void cursor_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct metastore_snapshot, rcu));
}

/**
 * metastore_snapshot_free_later - free a snapshot once no reader can be on it
 * @snapshot:	the snapshot, which no reader can come to any more
 *
 * Context: any.
 */
void metastore_snapshot_free_later(struct metastore_snapshot *snapshot)
{
	call_srcu(&metastore_srcu, &snapshot->rcu, cursor_free);
}

/**
 * metastore_snapshot_has_passed - has it shown what there was of a key?
 * @snapshot:	the snapshot
 * @key:	the key
 *
 * Context: with the locks of the key's bucket and of the queue held; or, while the key
 * is busy, of the queue's alone.
 */
bool metastore_snapshot_has_passed(const struct metastore_snapshot *snapshot,
				   const struct metastore_key *key)
{
	u32 bucket = metastore_store_bucket_index(key->bucket->store, key);

	if (bucket != snapshot->bucket)
		return bucket < snapshot->bucket;
	return metastore_position_is_behind(&snapshot->pos, key);
}
