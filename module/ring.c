// SPDX-License-Identifier: GPL-2.0
/*
 * Records in the order in which they came.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "queue.h"
#include "ring.h"

/**
 * metastore_ring_create - make an empty ring
 * @ring:	is set
 * @max_len:	how many records it holds, at least 1
 * @indexed:	whether some of them are to be found
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_ring_create(struct metastore_ring *ring, u32 max_len, bool indexed)
{
	*ring = (struct metastore_ring) { .max_len = max_len };
	ring->records = kvcalloc(max_len, sizeof(*ring->records), METASTORE_GFP);
	if (!ring->records)
		return -ENOMEM;
	if (indexed && metastore_index_create(&ring->index, max_len)) {
		metastore_ring_free(ring);
		return -ENOMEM;
	}
	return 0;
}

/**
 * metastore_ring_free - free a ring
 * @ring:	the ring; what its records refer to is the caller's business
 *
 * Context: may sleep.
 */
void metastore_ring_free(struct metastore_ring *ring)
{
	metastore_index_free(&ring->index);
	kvfree(ring->records);
	ring->records = NULL;
}

static u32 place_of(const struct metastore_ring *ring, u32 nth)
{
	u32 place = ring->head + nth;

	return place < ring->max_len ? place : place - ring->max_len;
}

/**
 * metastore_ring_at - a record by its place in the order
 * @ring:	the ring
 * @nth:	how many are older
 */
struct metastore_record *metastore_ring_at(const struct metastore_ring *ring, u32 nth)
{
	return &ring->records[place_of(ring, nth)];
}

/**
 * metastore_ring_append - add a record
 * @ring:	the ring, which is not full
 * @record:	is copied
 * @indexed:	whether it is to be found; then there is an index
 */
void metastore_ring_append(struct metastore_ring *ring,
			   const struct metastore_record *record, bool indexed)
{
	u32 place = place_of(ring, ring->len++);

	ring->records[place] = *record;
	if (indexed)
		metastore_index_add(&ring->index, ring->records, place);
}

/**
 * metastore_ring_remove_oldest - take the oldest record out
 * @ring:	the ring, which is not empty
 */
void metastore_ring_remove_oldest(struct metastore_ring *ring)
{
	metastore_index_remove(&ring->index, ring->head);
	ring->head = place_of(ring, 1);
	ring->len--;
}

/**
 * metastore_ring_find - find a record that was added to be found
 * @ring:	the ring
 * @source:	its subscription
 * @value:	a value of its key
 *
 * Return: the record, or NULL.
 */
struct metastore_record *metastore_ring_find(const struct metastore_ring *ring,
					     const struct metastore_source *source,
					     const struct metastore_value *value)
{
	return metastore_index_find(&ring->index, ring->records, source, value);
}
