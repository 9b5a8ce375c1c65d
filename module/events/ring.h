/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RING_H
#define METASTORE_RING_H

#include <linux/align.h>
#include <linux/list.h>
#include <linux/siphash.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include "store/value.h"

struct metastore_subscription;

/**
 * struct metastore_record - one record in a queue or on its way to a reader
 * @sub:	its subscription; NULL: FLUSHED
 * @news:	the rest
 * @value:	body of the event, with a reference; NULL: LOST, FLUSHED, SNAPSHOT_END
 * @version:	version of the change
 * @count:	of LOST and FLUSHED
 * @type:	one METASTORE_EVENT_*
 * @flags:	METASTORE_EVENT_F_*
 * @since:	since when it waits, in jiffies
 */
struct metastore_record {
	struct metastore_subscription *sub;

	struct_group_tagged(metastore_news, news, struct metastore_value *value;
	union {
		u64 version;
		u64 count;
	};
	u16 type;
	u16 flags;
	u32 since;

	);
};

/**
 * struct metastore_ring - records in order
 * @records:	places for them, a power of two; NULL: not allocated yet
 * @mask:	number of places less 1
 * @max_len:	how many records there can be
 * @head:	place of the oldest
 * @len:	their number
 * @index:	chains of those that can be found, by subscription and key; NULL: there is
 *		no index
 * @bits:	number of chains is 2 to this
 * @secret:	of the hash that places records in them; told to nobody
 * @nodes:	one for each place, in a chain while the place has a record that can be found
 *
 * An index is only for subscriptions of which one event of a key may wait. Changed with
 * the queue's lock held.
 */
struct metastore_ring {
	struct metastore_record *records;
	u32 mask;
	u32 max_len;
	u32 head;
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
 * metastore_record_header_size - length of what is ahead of a record's key
 * @record:	the record
 *
 * Return: bytes, a multiple of 8.
 */
static inline size_t metastore_record_header_size(const struct metastore_record *record)
{
	size_t size = sizeof(struct metastore_event);

	if (record->flags & METASTORE_EVENT_F_OWNER)
		size += sizeof(struct metastore_owner_end);
	return size;
}

/**
 * metastore_record_size - length of a record as read() returns it
 * @record:	the record
 *
 * Return: bytes, a multiple of 8.
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
	return (ring->head + nth) & ring->mask;
}

/* A record by its place in the order: how many are older. */
static inline struct metastore_record *
metastore_ring_at(const struct metastore_ring *ring, u32 nth)
{
	return &ring->records[metastore_ring_place(ring, nth)];
}

/* Adds a record to a ring that is not full; the caller fills it. */
static inline struct metastore_record *metastore_ring_append(struct metastore_ring *ring)
{
	return metastore_ring_at(ring, ring->len++);
}

/* Takes the oldest record out of a ring that is not empty. */
static inline void metastore_ring_remove_oldest(struct metastore_ring *ring)
{
	if (ring->index)
		hlist_del_init(&ring->nodes[ring->head]);
	ring->head = metastore_ring_place(ring, 1);
	ring->len--;
}

/* Both at once, in a ring without an index; the caller has done with the oldest. */
static inline struct metastore_record *metastore_ring_turn(struct metastore_ring *ring)
{
	ring->head = metastore_ring_place(ring, 1);
	return metastore_ring_at(ring, ring->len - 1);
}

#endif /* METASTORE_RING_H */
