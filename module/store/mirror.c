// SPDX-License-Identifier: GPL-2.0
/*
 * The mirror of a mapped store: small values, where programs read them without a system call.
 *
 * uapi/linux/metastore_map.h has the layout and the reader. Each key of the store has an entry,
 * one whose value is not mirrored too (it is large, or has an owner or an end), so that a
 * miss is certain. A key has none if there was no memory for it, or if its slot's chain is full.
 * Its slot then says so, and a reader that misses there asks the kernel.
 *
 * A shard is the keys of one bucket, and changes under the bucket's lock, but for entries that
 * are in no chain. mirror_change.c changes a key, mirror_slots.c the number of slots.
 */
#include <linux/slab.h>

#include "store/bucket.h"
#include "store/mirror.h"
#include "store/store.h"
#include "store/value.h"

static_assert(offsetof(struct metastore_map_entry, key) % 8 == 0);
static_assert(METASTORE_MAP_LARGEST >= METASTORE_INLINE_MAX);
static_assert(sizeof(struct metastore_map_shard) == 256);
static_assert(sizeof(struct metastore_map_header) <= sizeof(struct metastore_map_shard));
static_assert(sizeof(struct metastore_map_entry) == 24);
static_assert(offsetof(struct metastore_map_entry, key) == 24);

/* Whether the readers of all mirrors are to ask the kernel */
static bool mirrors_retired;

static void mirror_init_shard(struct metastore_mirror *mirror, u32 index)
{
	u32 grain = (index + 1) * (sizeof(struct metastore_map_shard) / METASTORE_MAP_GRAIN);
	struct metastore_shard *shard = &mirror->shards[index];

	shard->mirror = mirror;
	shard->hungry = true;
	shard->nr_segments = 1;
	shard->map = metastore_mirror_at(mirror, grain);
	shard->map->segments[0] = grain + offsetof(struct metastore_map_shard, slots) /
					  METASTORE_MAP_GRAIN;
	shard->map->geometry = (u64)(METASTORE_MAP_SLOTS - 1) << 32 | METASTORE_MAP_SLOTS;
	mirror->store->buckets[index].shard = shard;
}

static void mirror_init_header(struct metastore_mirror *mirror)
{
	struct metastore_map_header *header = mirror->header;

	*header = (struct metastore_map_header) {
		.magic = METASTORE_MAP_MAGIC,
		.layout = METASTORE_MAP_LAYOUT,
		.seed = mirror->store->seed,
		.buckets = mirror->store->limits.buckets,
		.shards = sizeof(struct metastore_map_shard) / METASTORE_MAP_GRAIN,
		.size = mirror->header->size,
		.limit = (u64)mirror->max_chunks * METASTORE_MIRROR_CHUNK,
	};
}

/**
 * metastore_mirror_create() - Create the mirror of an empty store
 * @store:	the store, with its buckets, which nobody uses yet; its @mirror is set
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or an error of metastore_store_charge_mirror().
 */
int metastore_mirror_create(struct metastore_store *store)
{
	u32 buckets = store->limits.buckets, i;
	struct metastore_mirror *mirror;
	int err = -ENOMEM;

	mirror = kzalloc(sizeof(*mirror), METASTORE_GFP);
	if (!mirror)
		return err;
	mirror->store = store;
	mirror->shards = kvcalloc(buckets, sizeof(*mirror->shards), METASTORE_GFP);
	if (!mirror->shards)
		goto free;
	err = metastore_mirror_allocate(mirror, (buckets + 1) * sizeof(struct metastore_map_shard));
	if (err)
		goto free;
	mirror_init_header(mirror);
	for (i = 0; i < buckets; i++)
		mirror_init_shard(mirror, i);
	store->mirror = mirror;
	return 0;

free:
	kvfree(mirror->shards);
	kfree(mirror);
	return err;
}

/**
 * metastore_mirror_destroy() - Free a mirror
 * @mirror:	the mirror, which nobody uses or maps; or NULL
 *
 * Context: Process context, may sleep.
 */
void metastore_mirror_destroy(struct metastore_mirror *mirror)
{
	if (!mirror)
		return;
	metastore_mirror_free(mirror);
	kvfree(mirror->shards);
	kfree(mirror);
}

/**
 * metastore_mirror_start() - Let a mirror follow metastore_mirrors_retire()
 * @mirror:	mirror of a store that metastore_store_get_next() finds, or NULL
 */
void metastore_mirror_start(struct metastore_mirror *mirror)
{
	/* Either sees the other, see metastore_mirrors_retire(). */
	smp_mb();
	if (mirror)
		metastore_mirror_set_retired(mirror, &mirrors_retired);
}

/**
 * metastore_mirrors_retire() - Let readers of all mirrors ask the kernel, or no longer
 * @retire:	which
 *
 * Context: Process context, may sleep. One caller at a time.
 */
void metastore_mirrors_retire(bool retire)
{
	struct metastore_store *store;
	u64 id = 0;

	WRITE_ONCE(mirrors_retired, retire);
	/* Pairs with smp_mb() in metastore_mirror_start(). */
	smp_mb();
	while ((store = metastore_store_get_next(id))) {
		id = store->id;
		if (store->mirror)
			metastore_mirror_set_retired(store->mirror, &mirrors_retired);
		metastore_store_put(store);
	}
}
