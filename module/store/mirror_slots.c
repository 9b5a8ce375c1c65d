// SPDX-License-Identifier: GPL-2.0
/*
 * Slots of a shard: linear hashing adds them as in base/table.c, but at half the load, and never
 * gives one up.
 */
#include <linux/bitops.h>
#include <linux/log2.h>

#include "store/mirror.h"
#include "store/mirror_priv.h"

/* Slots that one new key adds at most: more than one, to catch up after a failure. */
#define STEPS_AT_ONCE	4

/* Return the first slot of a segment, but the first, which all others are as long as. */
static u32 mirror_segment_begin(u32 segment)
{
	return METASTORE_MAP_SLOTS / 2 << segment;
}

/*
 * Take the next slot into use: move what belongs there out of its parent's chain. The parent
 * is odd meanwhile, and the number of slots changes before that ends.
 */
static void mirror_split(struct metastore_shard *shard, u32 index)
{
	u32 mask = roundup_pow_of_two(index + 1) - 1, grain, next, stay = 0, move = 0;
	struct metastore_map_slot *slot = mirror_slot(shard, index);
	struct metastore_map_slot *parent = mirror_slot(shard, index & (mask >> 1));
	struct metastore_map_entry *entry;
	u32 more = parent->seq & METASTORE_MAP_MORE;

	mirror_slot_begin(parent);
	for (grain = parent->first; grain; grain = next) {
		u32 *list;

		entry = mirror_entry(shard, grain);
		next = entry->next;
		list = ((u32)entry->meta & mask) == index ? &move : &stay;
		WRITE_ONCE(entry->next, *list);
		*list = grain;
	}
	WRITE_ONCE(slot->first, move);
	WRITE_ONCE(slot->seq, more);
	WRITE_ONCE(parent->first, stay);
	/* Pairs with the load in metastore_map_begin(): the slot is there. */
	smp_store_release(&shard->map->geometry, (u64)mask << 32 | (index + 1));
	mirror_slot_end(parent, more);
}

/**
 * metastore_mirror_grow() - Add slots for the entries
 * @shard:	shard of a bucket
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_mirror_grow(struct metastore_shard *shard)
{
	u32 nr = mirror_nr_slots(shard), end = nr + STEPS_AT_ONCE;

	for (; nr < end && mirror_lacks_slots(shard, nr); nr++) {
		/* Pairs with smp_store_release() in mirror_add_segment(). */
		if (mirror_segment_of(nr) >= smp_load_acquire(&shard->nr_segments))
			break;
		mirror_split(shard, nr);
	}
	mirror_note_hunger(shard);
}

/* A reader adds the numbers of slots, so a segment is told less those before it. */
static void mirror_add_segment(struct metastore_shard *shard)
{
	u32 segment, begin, at;

	if (test_and_set_bit_lock(0, &shard->growing))
		return;
	if (mirror_lacks_segment(shard)) {
		segment = shard->nr_segments;
		begin = mirror_segment_begin(segment);
		at = metastore_mirror_take_slots(shard->mirror,
						 begin * sizeof(struct metastore_map_slot));
		/* A segment that lies too low for that is given up. */
		if (at >= begin / 2) {
			WRITE_ONCE(shard->map->segments[segment], at - begin / 2);
			/* Pairs with smp_load_acquire() in metastore_mirror_grow(). */
			smp_store_release(&shard->nr_segments, segment + 1);
		}
	}
	clear_bit_unlock(0, &shard->growing);
}

/**
 * metastore_mirror_feed() - Allocate what the next keys may need
 * @shard:	shard that is hungry
 *
 * Context: Process context, may sleep.
 */
void metastore_mirror_feed(struct metastore_shard *shard)
{
	int i;

	WRITE_ONCE(shard->hungry, false);
	for (i = 0; i < METASTORE_MIRROR_SPARES && READ_ONCE(shard->mirror->hungry); i++)
		if (metastore_mirror_refill(shard->mirror))
			break;
	if (mirror_lacks_segment(shard))
		mirror_add_segment(shard);
}
