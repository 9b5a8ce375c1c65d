/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Internals of the mirror, shared by mirror_change.c (a change of a key) and mirror_slots.c
 * (the number of slots).
 */
#ifndef METASTORE_MIRROR_PRIV_H
#define METASTORE_MIRROR_PRIV_H

#include <linux/bitops.h>

#include "store/mirror.h"

/* A larger one, of more than 8 MiB, would be too much for one writer to allocate. */
#define MIRROR_MAX_SEGMENTS	18

static inline u32 mirror_segment_of(u32 index)
{
	return __fls(index >> 3 | 1);
}

static __always_inline struct metastore_map_slot *
mirror_slot(const struct metastore_shard *shard, u32 index)
{
	u32 base = shard->map->segments[mirror_segment_of(index)];

	return (struct metastore_map_slot *)metastore_mirror_at(shard->mirror, base + index / 2) +
	       index % 2;
}

static inline u32 mirror_nr_slots(const struct metastore_shard *shard)
{
	return READ_ONCE(shard->map->geometry);
}

static inline struct metastore_map_entry *
mirror_entry(const struct metastore_shard *shard, u32 grain)
{
	return metastore_mirror_at(shard->mirror, grain);
}

static inline void mirror_slot_begin(struct metastore_map_slot *slot)
{
	WRITE_ONCE(slot->seq, slot->seq | METASTORE_MAP_ODD);
	/* Pairs with the fence in metastore_map_next(). */
	smp_wmb();
}

/* @more is METASTORE_MAP_MORE or 0. */
static inline void mirror_slot_end(struct metastore_map_slot *slot, u32 more)
{
	u32 count = slot->seq & ~(METASTORE_MAP_ODD | METASTORE_MAP_MORE);

	/* Pairs with the first load of the count in metastore_map_begin(). */
	smp_store_release(&slot->seq, (count + METASTORE_MAP_STEP) | more);
}

/* Check whether there are too few slots. Without the bucket's lock it is a hint. */
static inline bool mirror_lacks_slots(const struct metastore_shard *shard, u32 nr)
{
	return READ_ONCE(shard->nr_entries) > nr / 2;
}

/* Check whether the next segment is to be allocated. Without the bucket's lock it is a hint. */
static inline bool mirror_lacks_segment(const struct metastore_shard *shard)
{
	u32 nr = mirror_nr_slots(shard), segment = mirror_segment_of(nr);

	return segment >= READ_ONCE(shard->nr_segments) && segment < MIRROR_MAX_SEGMENTS &&
	       READ_ONCE(shard->nr_entries) >= nr / 2;
}

/* Note whether the next writer is to allocate something. */
static inline void mirror_note_hunger(struct metastore_shard *shard)
{
	if (unlikely(mirror_lacks_segment(shard) || READ_ONCE(shard->mirror->hungry)))
		WRITE_ONCE(shard->hungry, true);
}

/* mirror_slots.c */
void metastore_mirror_grow(struct metastore_shard *shard);

#endif /* METASTORE_MIRROR_PRIV_H */
