/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_MIRROR_H
#define METASTORE_MIRROR_H

#include <linux/compiler.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <linux/metastore_map.h>

struct metastore_bucket;
struct metastore_key;
struct metastore_mirror;
struct metastore_store;
struct metastore_value;
struct vm_area_struct;

/**
 * METASTORE_MIRROR_CHUNK - bytes by which a mirror grows
 *
 * A chunk is one piece of memory. A larger array of slots has chunks with adjacent numbers.
 */
#define METASTORE_MIRROR_CHUNK	SZ_64K
#define METASTORE_CHUNK_GRAINS	(METASTORE_MIRROR_CHUNK / METASTORE_MAP_GRAIN)

/**
 * METASTORE_MIRROR_SPARES - chunks for entries that are allocated ahead
 *
 * Enough for an atomic batch: METASTORE_ATOMIC_MAX entries of 512 bytes, of several sizes.
 */
#define METASTORE_MIRROR_SPARES	2

/** METASTORE_MIRROR_CLASSES - sizes of entries, the largest for what is inline in a value */
#define METASTORE_MIRROR_CLASSES	(METASTORE_MAP_LARGEST / METASTORE_MAP_CLASS)

/**
 * struct metastore_mirror_area - memory that is not in use yet
 * @at:		its first grain
 * @end:	grain behind it; @at: there is none
 */
struct metastore_mirror_area {
	u32 at;
	u32 end;
};

/**
 * struct metastore_mirror_class - free entries of one size
 * @free:	grain of the first one that was in use, or 0
 * @fresh:	those that never were
 */
struct metastore_mirror_class {
	u32 free;
	struct metastore_mirror_area fresh;
};

/**
 * struct metastore_shard - keys of one bucket in a mirror. Protected by the bucket's lock.
 * @mirror:	the mirror. Immutable.
 * @map:	what programs see. Immutable.
 * @nr_entries:	number of entries
 * @nr_missing:	number of the bucket's keys without an entry
 * @nr_segments: number of segments. Written by the one that allocates.
 * @hungry:	whether the next slot lacks a segment, or the mirror had little memory at the
 *		last new key
 * @growing:	bit 0: a writer allocates a segment. Not protected.
 */
struct metastore_shard {
	struct metastore_mirror *mirror;
	struct metastore_map_shard *map;
	u32 nr_entries;
	u32 nr_missing;
	u32 nr_segments;
	bool hungry;
	unsigned long growing;
};

/**
 * struct metastore_mirror - what programs map of a store
 * @store:	the store. Immutable.
 * @header:	start of the mapping. Immutable.
 * @shards:	array of one for each bucket. Immutable.
 * @chunks:	addresses of the chunks; written once, before their number is in @header->size
 * @max_chunks:	how many there can be. Immutable.
 * @lock:	protects all members below
 * @nr_chunks:	number of @chunks
 * @retired:	whether readers are to ask the kernel
 * @hungry:	whether @spares are to be allocated
 * @slots:	memory for segments of slots
 * @entries:	memory for entries of any size
 * @spares:	grains of chunks for @entries
 * @nr_spares:	how many there are
 * @classes:	memory for entries of one size
 * @retry:	when to allocate again after a limit refused it, in jiffies. Not protected.
 *
 * Memory becomes a segment, or entries of one size, and stays that as long as the store
 * exists. So a reader that follows an outdated offset still finds a slot or an entry.
 */
struct metastore_mirror {
	struct metastore_store *store;
	struct metastore_map_header *header;
	struct metastore_shard *shards;
	void **chunks;
	u32 max_chunks;
	spinlock_t lock;	/* see above */
	u32 nr_chunks;
	bool retired;
	bool hungry;
	struct metastore_mirror_area slots;
	struct metastore_mirror_area entries;
	u32 spares[METASTORE_MIRROR_SPARES];
	u32 nr_spares;
	struct metastore_mirror_class classes[METASTORE_MIRROR_CLASSES];
	unsigned long retry;
};

/**
 * struct metastore_mirror_stage - what a change does without its bucket's lock
 * @new:	grain of an entry with the value, in no chain, or 0
 * @old:	grain of an entry that is in no chain any more, or 0
 * @grow:	whether the change needed an entry, so that slots may lack
 *
 * For changes under the locks of many buckets: metastore_mirror_stage() comes before these are
 * taken, and metastore_mirror_settle() behind.
 */
struct metastore_mirror_stage {
	u32 new;
	u32 old;
	bool grow;
};

/**
 * struct metastore_mirror_change - change of a key in a mirror, while it is made
 * @slot:	slot of the key; NULL: nothing of that changes but the entry @old
 * @link:	link of the chain that leads to @old; without one, where @new comes
 * @old:	grain of its entry, or 0
 * @new:	grain of its next entry, or 0
 * @value:	value that is stored, or NULL
 * @had:	whether the key had a value
 * @stage:	what is done without the lock; NULL: all is done at once
 */
struct metastore_mirror_change {
	struct metastore_map_slot *slot;
	u32 *link;
	u32 old;
	u32 new;
	const struct metastore_value *value;
	bool had;
	struct metastore_mirror_stage *stage;
};

/* Return the address of a grain. */
static __always_inline void *metastore_mirror_at(const struct metastore_mirror *mirror, u32 grain)
{
	return mirror->chunks[grain / METASTORE_CHUNK_GRAINS] +
	       grain % METASTORE_CHUNK_GRAINS * METASTORE_MAP_GRAIN;
}

/* mirror.c */
int metastore_mirror_create(struct metastore_store *store);
void metastore_mirror_destroy(struct metastore_mirror *mirror);
void metastore_mirror_start(struct metastore_mirror *mirror);
void metastore_mirrors_retire(bool retire);

/* mirror_change.c */
struct metastore_map_entry *metastore_mirror_replace(const struct metastore_shard *shard,
						     const struct metastore_value *value,
						     const struct metastore_value *old);
void metastore_mirror_begin(struct metastore_shard *shard, u32 hash,
			    const struct metastore_value *value,
			    const struct metastore_value *old,
			    struct metastore_mirror_stage *stage,
			    struct metastore_mirror_change *change);
void metastore_mirror_end(struct metastore_shard *shard,
			  const struct metastore_mirror_change *change);
int metastore_mirror_stage(const struct metastore_key *key, const struct metastore_value *value,
			   struct metastore_mirror_stage *stage);
void metastore_mirror_settle(struct metastore_bucket *bucket,
			     const struct metastore_mirror_stage *stage);

/* mirror_slots.c */
void metastore_mirror_feed(struct metastore_shard *shard);

/**
 * metastore_mirror_replaced() - Complete metastore_mirror_replace(), after the table has changed
 * @entry:	what that returned
 * @version:	version of the value
 *
 * Context: Caller holds the bucket's lock, unless the entry is in no chain.
 */
static inline void metastore_mirror_replaced(struct metastore_map_entry *entry, u64 version)
{
	/* Pairs with the first load of the version in metastore_map_take(). */
	smp_store_release(&entry->version, version);
}

/**
 * metastore_mirror_prepare() - Allocate what the mirror of a change may need
 * @shard:	shard of the key's bucket
 *
 * It may fail, and the change then does without.
 *
 * Context: Process context, may sleep.
 */
static inline void metastore_mirror_prepare(struct metastore_shard *shard)
{
	if (unlikely(READ_ONCE(shard->hungry)))
		metastore_mirror_feed(shard);
}

/* mirror_memory.c */
void metastore_mirror_set_retired(struct metastore_mirror *mirror, const bool *retired);
int metastore_mirror_allocate(struct metastore_mirror *mirror, u32 fixed);
void metastore_mirror_free(struct metastore_mirror *mirror);
int metastore_mirror_refill(struct metastore_mirror *mirror);
u32 metastore_mirror_take_slots(struct metastore_mirror *mirror, u32 bytes);
u32 metastore_mirror_take_entry(struct metastore_mirror *mirror, unsigned int *class);
void metastore_mirror_put_entry(struct metastore_mirror *mirror, u32 grain, unsigned int class);
int metastore_mirror_mmap(struct metastore_mirror *mirror, struct vm_area_struct *vma);

#endif /* METASTORE_MIRROR_H */
