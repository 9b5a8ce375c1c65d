// SPDX-License-Identifier: GPL-2.0
/*
 * A change of a key in the mirror, made between metastore_mirror_replace() and
 * metastore_mirror_replaced(), or metastore_mirror_begin() and metastore_mirror_end(), while the
 * table changes:
 *
 * - The value takes the place of one of the same class: the entry's version is busy.
 * - Else the slot's seq is odd, and the versions of the old and the new entry are busy.
 *
 * So until the table has changed a reader gets the old value, then none, and the new one
 * once all others see it.
 */
#include <linux/align.h>
#include <linux/string.h>

#include "base/types.h"
#include "store/bucket.h"
#include "store/mirror.h"
#include "store/mirror_priv.h"
#include "store/value.h"

/*
 * A batch adds slots after it has unlocked. Where several wait for the lock of one bucket, they
 * do so before, at this many times as many entries as usual: chains are short enough then.
 */
#define CROWD		16

static __always_inline struct metastore_map_slot *
mirror_slot_of(const struct metastore_shard *shard, u32 hash)
{
	u64 geometry = shard->map->geometry;
	u32 index = hash & (u32)(geometry >> 32);

	if (unlikely(index >= (u32)geometry))
		index &= (u32)(geometry >> 33);
	return mirror_slot(shard, index);
}

static u32 mirror_value_offset(u32 key_len)
{
	return ALIGN(sizeof(struct metastore_map_entry) + key_len, 8);
}

static void *mirror_entry_value(struct metastore_map_entry *entry, u32 key_len)
{
	return (u8 *)entry + mirror_value_offset(key_len);
}

static bool mirror_has(const struct metastore_value *value)
{
	return !metastore_value_is_tied(value) && metastore_value_is_piece(value);
}

/* Return what an entry of a value holds. */
static u64 mirror_meta(const struct metastore_value *value)
{
	return METASTORE_MAP_META(value->node.hash, value->node.key_len,
				  mirror_has(value) ? value->len : METASTORE_MAP_ABSENT);
}

static u32 mirror_meta_key_len(u64 meta)
{
	return meta >> 32 & 0xff;
}

/* Return how many bytes of a value an entry has. */
static u32 mirror_meta_len(u64 meta)
{
	u32 len = meta >> 48;

	return len == METASTORE_MAP_ABSENT ? 0 : len;
}

/* Return the class of an entry. */
static unsigned int mirror_class_of(u64 meta)
{
	return (mirror_value_offset(mirror_meta_key_len(meta)) + mirror_meta_len(meta) - 1) /
	       METASTORE_MAP_CLASS;
}

/*
 * Find the entry of a value, which its version tells, and the link to it. Returns the entry, or
 * NULL with the link at the end of the chain.
 */
static __always_inline struct metastore_map_entry *
mirror_find(const struct metastore_shard *shard, struct metastore_map_slot *slot, u64 version,
	    u32 **link)
{
	struct metastore_map_entry *entry;
	u32 grain;

	*link = &slot->first;
	while ((grain = **link)) {
		entry = mirror_entry(shard, grain);
		if (entry->version == version)
			return entry;
		*link = &entry->next;
	}
	return NULL;
}

static bool mirror_is_full(const struct metastore_shard *shard,
			   const struct metastore_map_slot *slot)
{
	unsigned int nr = 0;
	u32 grain;

	for (grain = slot->first; grain; grain = mirror_entry(shard, grain)->next)
		nr++;
	return nr >= METASTORE_MAP_CHAIN;
}

/* Make an entry's version busy, before any of its bytes change. */
static void mirror_entry_begin(struct metastore_map_entry *entry)
{
	WRITE_ONCE(entry->version, entry->version | METASTORE_MAP_BUSY);
	/* Pairs with the fence in metastore_map_take(). */
	smp_wmb();
}

/* Most values are short, and begin in an entry at a multiple of 8. */
static __always_inline void mirror_copy(void *to, const u8 *from, u32 len)
{
	const struct metastore_word *words = (const struct metastore_word *)from;
	u64 *at = to;

	for (; len >= 64; len -= 64, at += 8, words += 8) {
		/* The compiler would count otherwise, which takes longer. */
		OPTIMIZER_HIDE_VAR(len);
		at[0] = words[0].value;
		at[1] = words[1].value;
		at[2] = words[2].value;
		at[3] = words[3].value;
		at[4] = words[4].value;
		at[5] = words[5].value;
		at[6] = words[6].value;
		at[7] = words[7].value;
	}
	for (; len >= 8; len -= 8)
		*at++ = (words++)->value;
	if (len)
		memcpy(at, words, len);
}

/*
 * Write the value of an entry, which is busy, and clear what is left of a longer one. @meta is
 * the value's mirror_meta().
 */
static void mirror_entry_write(struct metastore_map_entry *entry,
			       const struct metastore_value *value, u64 meta)
{
	u8 *at = mirror_entry_value(entry, value->node.key_len);
	u32 len = mirror_meta_len(meta), before = mirror_meta_len(entry->meta);

	mirror_copy(at, value->node.key + value->node.key_len, len);
	if (before > len)
		memset(at + len, 0, before - len);
	WRITE_ONCE(entry->meta, meta);
}

/* Make an entry that is busy, and in no chain. Returns its grain, or 0 without memory. */
static u32 mirror_entry_create(struct metastore_shard *shard, const struct metastore_value *value)
{
	u64 meta = mirror_meta(value);
	unsigned int class = mirror_class_of(meta);
	u32 grain = metastore_mirror_take_entry(shard->mirror, &class);
	struct metastore_map_entry *entry;

	if (!grain)
		return 0;
	entry = mirror_entry(shard, grain);
	mirror_entry_begin(entry);
	entry->own = class;
	mirror_copy(entry->key, value->node.key, value->node.key_len);
	mirror_entry_write(entry, value, meta);
	return grain;
}

/* Clear an entry, which is busy and in no chain, and free it. */
static void mirror_entry_free(struct metastore_shard *shard, u32 grain)
{
	struct metastore_map_entry *entry = mirror_entry(shard, grain);
	unsigned int class = entry->own;
	u64 meta = entry->meta;

	WRITE_ONCE(entry->meta, 0);
	/*
	 * Pairs with the fence in metastore_map_take(). A key of another bucket may get the entry
	 * and have the same version: then meta tells a reader that what it read is cleared.
	 */
	smp_wmb();
	memset(&entry->next, 0, mirror_value_offset(mirror_meta_key_len(meta)) +
				mirror_meta_len(meta) - offsetof(struct metastore_map_entry, next));
	metastore_mirror_replaced(entry, 0);
	metastore_mirror_put_entry(shard->mirror, grain, class);
}

/**
 * metastore_mirror_replace() - Begin to mirror what most changes are, before the table changes
 * @shard:	shard of the key's bucket
 * @value:	value that is stored
 * @old:	value that it replaces
 *
 * That is a value of the same length. metastore_mirror_replaced() completes it.
 *
 * Context: Caller holds the bucket's lock, until then.
 * Return: the entry, or NULL if metastore_mirror_begin() is to do it.
 */
struct metastore_map_entry *metastore_mirror_replace(const struct metastore_shard *shard,
						     const struct metastore_value *value,
						     const struct metastore_value *old)
{
	struct metastore_map_entry *entry;
	u32 *link;

	if (unlikely(value->len != old->len || !mirror_has(value) ||
		     metastore_value_is_tied(old)))
		return NULL;
	entry = mirror_find(shard, mirror_slot_of(shard, value->node.hash), old->version, &link);
	if (unlikely(!entry))
		return NULL;
	mirror_entry_begin(entry);
	mirror_copy(mirror_entry_value(entry, value->node.key_len),
		    value->node.key + value->node.key_len, value->len);
	return entry;
}

/* Check whether a value can be written to an entry: it is of its class, or needs no room. */
static bool mirror_fits(const struct metastore_map_entry *entry,
			const struct metastore_value *value)
{
	return !mirror_has(value) || mirror_class_of(mirror_meta(value)) == entry->own;
}

/* Take the entry that was filled ahead. Returns its grain, or 0 if there is none. */
static u32 mirror_stage_take(struct metastore_mirror_stage *stage)
{
	u32 grain = stage ? stage->new : 0;

	if (grain)
		stage->new = 0;
	return grain;
}

/**
 * metastore_mirror_begin() - Begin to mirror a change, before the table changes
 * @shard:	shard of the key's bucket
 * @hash:	hash of the key
 * @value:	value that is stored, with its version; NULL: the value is removed
 * @old:	present value, or NULL
 * @stage:	what is done without the lock, or NULL
 * @change:	set, for metastore_mirror_end()
 *
 * Context: Caller holds the bucket's lock, until then.
 */
void metastore_mirror_begin(struct metastore_shard *shard, u32 hash,
			    const struct metastore_value *value,
			    const struct metastore_value *old,
			    struct metastore_mirror_stage *stage,
			    struct metastore_mirror_change *change)
{
	struct metastore_map_slot *slot = mirror_slot_of(shard, hash);
	struct metastore_map_entry *entry = NULL;
	u32 *link = &slot->first;

	if (old)
		entry = mirror_find(shard, slot, old->version, &link);
	*change = (struct metastore_mirror_change) {
		.link = entry ? link : &slot->first,
		.old = entry ? *link : 0,
		.value = value,
		.had = old,
		.stage = stage,
	};
	if (entry && value && mirror_fits(entry, value)) {
		mirror_entry_begin(entry);
		mirror_entry_write(entry, value, mirror_meta(value));
		return;
	}
	change->slot = slot;
	mirror_slot_begin(slot);
	if (entry)
		mirror_entry_begin(entry);
	if (value && (entry || !mirror_is_full(shard, slot)))
		change->new = mirror_stage_take(stage) ?:
			      mirror_entry_create(shard, value);
}

/* Free the entry of a value that went, and add slots. With a stage that is done later. */
static void mirror_settle(struct metastore_shard *shard,
			  const struct metastore_mirror_change *change)
{
	if (change->stage) {
		change->stage->old = change->old;
		change->stage->grow = change->value;
		/* Batches that wait for the lock come before this one gets it again. */
		if (change->value &&
		    unlikely(mirror_lacks_slots(shard, CROWD * mirror_nr_slots(shard))))
			metastore_mirror_grow(shard);
		return;
	}
	if (change->old)
		mirror_entry_free(shard, change->old);
	/* Also if there was no memory for an entry: the next writer allocates some. */
	if (change->value)
		metastore_mirror_grow(shard);
}

/**
 * metastore_mirror_end() - Complete a change, after the table has changed
 * @shard:	shard of the key's bucket
 * @change:	the change, after metastore_mirror_begin()
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_mirror_end(struct metastore_shard *shard,
			  const struct metastore_mirror_change *change)
{
	struct metastore_map_slot *slot = change->slot;
	u32 next, more;

	if (!slot) {
		metastore_mirror_replaced(mirror_entry(shard, change->old),
					  change->value->version);
		return;
	}
	more = slot->seq & METASTORE_MAP_MORE;
	shard->nr_missing -= change->had && !change->old;
	shard->nr_missing += change->value && !change->new;
	if (change->value && !change->new)
		more = METASTORE_MAP_MORE;
	else if (!shard->nr_missing)
		more = 0;
	/* The new entry takes the place of the old one, or is the first. */
	next = change->old ? mirror_entry(shard, change->old)->next : *change->link;
	if (change->new) {
		WRITE_ONCE(mirror_entry(shard, change->new)->next, next);
		next = change->new;
	}
	WRITE_ONCE(*change->link, next);
	WRITE_ONCE(shard->nr_entries, shard->nr_entries + !!change->new - !!change->old);
	mirror_slot_end(slot, more);
	if (change->new)
		metastore_mirror_replaced(mirror_entry(shard, change->new),
					  change->value->version);
	mirror_settle(shard, change);
}

/**
 * metastore_mirror_stage() - Fill an entry for a change ahead, so that its lock is held less
 * @key:	the key, of a bucket with a shard
 * @value:	value that is going to be stored
 * @stage:	zeroed; its @new is set if an entry was filled
 *
 * The change may not need it, or need one nevertheless.
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error if there is no memory for entries.
 */
int metastore_mirror_stage(const struct metastore_key *key, const struct metastore_value *value,
			   struct metastore_mirror_stage *stage)
{
	struct metastore_shard *shard = key->bucket->shard;
	const struct metastore_value *old;
	bool in_place;
	int err;

	rcu_read_lock();
	old = metastore_bucket_find(key);
	in_place = old && (!mirror_has(value) ||
			   mirror_class_of(mirror_meta(value)) ==
			   mirror_class_of(mirror_meta(old)));
	rcu_read_unlock();
	if (in_place)
		return 0;
	stage->new = mirror_entry_create(shard, value);
	if (likely(stage->new))
		return 0;
	err = metastore_mirror_refill(shard->mirror);
	if (!err)
		stage->new = mirror_entry_create(shard, value);
	return err;
}

/**
 * metastore_mirror_settle() - Do what a change with a stage left, once it is made or given up
 * @bucket:	bucket of the key, with a shard
 * @stage:	the stage, zeroed or after metastore_mirror_stage()
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 */
void metastore_mirror_settle(struct metastore_bucket *bucket,
			     const struct metastore_mirror_stage *stage)
{
	struct metastore_shard *shard = bucket->shard;
	u32 nr = mirror_nr_slots(shard);

	if (stage->new)
		mirror_entry_free(shard, stage->new);
	if (stage->old)
		mirror_entry_free(shard, stage->old);
	if (!stage->grow)
		return;
	if (!mirror_lacks_slots(shard, nr) ||
	    mirror_segment_of(nr) >= READ_ONCE(shard->nr_segments)) {
		mirror_note_hunger(shard);
		return;
	}
	spin_lock(&bucket->lock);
	metastore_mirror_grow(shard);
	spin_unlock(&bucket->lock);
}
