/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RING_H
#define METASTORE_RING_H

#include <linux/align.h>
#include <linux/bits.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/siphash.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include "store/value.h"

struct metastore_subscription;

/**
 * struct metastore_record - record in a queue or in flight
 * @sub:	its subscription; NULL: FLUSHED
 * @news:	all other members, as a group
 * @value:	body of the event, with a reference; NULL: LOST, FLUSHED, SNAPSHOT_END
 * @version:	version of the change
 * @count:	number of events in LOST, of subscriptions in FLUSHED
 * @type:	one METASTORE_EVENT_*
 * @flags:	METASTORE_EVENT_F_*
 * @since_high:	upper bits of @since
 * @since:	start of its wait, in jiffies; SNAPSHOT_END: number of the snapshot, see
 *		@snapshots of &struct metastore_subscription
 *
 * With 40 bits of jiffies an age is right for 34 years at 1000 ticks a second.
 */
struct metastore_record {
	struct metastore_subscription *sub;

	struct_group_tagged(metastore_news, news, struct metastore_value *value;
	union {
		u64 version;
		u64 count;
	};
	u16 type;
	u8 flags;
	u8 since_high;
	u32 since;

	);
};

/* The flags of a record, which has a byte for them */
static_assert((METASTORE_EVENT_F_FLUSH | METASTORE_EVENT_F_EXPIRED | METASTORE_EVENT_F_OWNER |
	       METASTORE_EVENT_F_STOLEN | METASTORE_EVENT_F_MORE |
	       METASTORE_EVENT_F_NO_VALUE) <= U8_MAX);

/* Return how long a record of an event has waited, in jiffies. */
static inline u64 metastore_record_age(const struct metastore_record *record)
{
	u64 since = (u64)record->since_high << 32 | record->since;

	return (get_jiffies_64() - since) & GENMASK_ULL(39, 0);
}

/**
 * struct metastore_ring - records in the order of their arrival
 * @records:	array of records, its size a power of two; NULL: not allocated yet
 * @mask:	size of @records minus 1
 * @max_len:	capacity in records
 * @head:	number of records ever removed: the position of the oldest. A record keeps its
 *		position, which @mask turns into an index, also in a new ring.
 * @len:	number of records
 * @index:	hash chains of the indexed records, by subscription and key; NULL: no
 *		index
 * @bits:	binary logarithm of the number of chains
 * @secret:	key of the hash that selects the chain; not disclosed to users
 * @nodes:	one link for each element of @records, in a chain while that is indexed
 *
 * The index serves subscriptions that keep one waiting event of each key. Protected by
 * the queue's lock.
 */
struct metastore_ring {
	struct metastore_record *records;
	u32 mask;
	u32 max_len;
	u64 head;
	u32 len;
	struct hlist_head *index;
	u32 bits;
	hsiphash_key_t secret;
	struct hlist_node *nodes;
};

int metastore_ring_create(struct metastore_ring *ring, u32 max_len, bool indexed);
void metastore_ring_free(struct metastore_ring *ring);
void metastore_ring_index(struct metastore_ring *ring, const struct metastore_record *record);
struct metastore_record *metastore_ring_find(const struct metastore_ring *ring,
					     const struct metastore_subscription *sub,
					     const struct metastore_value *value);

/**
 * metastore_record_header_size() - Compute the length of a record ahead of its key
 * @record:	the record
 *
 * Return: Bytes, a multiple of 8.
 */
static inline size_t metastore_record_header_size(const struct metastore_record *record)
{
	size_t size = sizeof(struct metastore_event);

	if (record->flags & METASTORE_EVENT_F_OWNER)
		size += sizeof(struct metastore_owner_end);
	return size;
}

/**
 * metastore_record_size() - Compute the length of a record as read() returns it
 * @record:	the record
 *
 * Return: Bytes, a multiple of 8.
 */
static inline size_t metastore_record_size(const struct metastore_record *record)
{
	size_t size = metastore_record_header_size(record);

	if (record->value)
		size += record->value->node.key_len;
	if (record->value && !(record->flags & METASTORE_EVENT_F_NO_VALUE))
		size += record->value->len;
	return ALIGN(size, 8);
}

static inline u32 metastore_ring_place(const struct metastore_ring *ring, u32 nth)
{
	return ((u32)ring->head + nth) & ring->mask;
}

/* The record that has @nth older ones ahead. */
static inline struct metastore_record *
metastore_ring_at(const struct metastore_ring *ring, u32 nth)
{
	return &ring->records[metastore_ring_place(ring, nth)];
}

/* Remove a record from the index of its ring, so that it is not found any more. */
static inline void metastore_ring_forget(struct metastore_ring *ring,
					 const struct metastore_record *record)
{
	hlist_del_init(&ring->nodes[record - ring->records]);
}

/* The position of a record of the ring. */
static inline u64 metastore_ring_position(const struct metastore_ring *ring,
					  const struct metastore_record *record)
{
	return ring->head + (((u32)(record - ring->records) - (u32)ring->head) & ring->mask);
}

/* Append a record to a ring that is not full. The caller fills it in. */
static inline struct metastore_record *metastore_ring_append(struct metastore_ring *ring)
{
	return metastore_ring_at(ring, ring->len++);
}

/* Remove the oldest record of a ring that is not empty. */
static inline void metastore_ring_remove_oldest(struct metastore_ring *ring)
{
	if (ring->index)
		hlist_del_init(&ring->nodes[metastore_ring_place(ring, 0)]);
	ring->head++;
	ring->len--;
}

/*
 * Remove the oldest record and append one, in a ring without an index. The caller has
 * dropped the oldest and fills in the new one.
 */
static inline struct metastore_record *metastore_ring_turn(struct metastore_ring *ring)
{
	ring->head++;
	return metastore_ring_at(ring, ring->len - 1);
}

#endif /* METASTORE_RING_H */
