// SPDX-License-Identifier: GPL-2.0
/*
 * Records in the order in which they came.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "events/queue.h"
#include "events/ring.h"

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
	u32 places = roundup_pow_of_two(max_len);

	*ring = (struct metastore_ring) { .max_len = max_len, .mask = places - 1 };
	ring->records = kvcalloc(places, sizeof(*ring->records), METASTORE_GFP);
	if (!ring->records)
		return -ENOMEM;
	if (indexed && metastore_index_create(&ring->index, places)) {
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
