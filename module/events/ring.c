// SPDX-License-Identifier: GPL-2.0
/*
 * Records in the order of their arrival. An index finds the waiting event of a key, so
 * that a newer one can take its place.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "base/types.h"
#include "events/ring.h"

/**
 * metastore_ring_create() - Create an empty ring
 * @ring:	ring to initialize
 * @max_len:	capacity in records, at least 1
 * @indexed:	whether the ring has an index
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_ring_create(struct metastore_ring *ring, u32 max_len, bool indexed)
{
	u32 places = roundup_pow_of_two(max_len);

	*ring = (struct metastore_ring) { .max_len = max_len, .mask = places - 1 };
	ring->records = kvcalloc(places, sizeof(*ring->records), METASTORE_GFP);
	if (indexed) {
		get_random_bytes(&ring->secret, sizeof(ring->secret));
		ring->bits = max(1, order_base_2(places));
		ring->index = kvcalloc(BIT(ring->bits), sizeof(*ring->index), METASTORE_GFP);
		ring->nodes = kvcalloc(places, sizeof(*ring->nodes), METASTORE_GFP);
	}
	if (ring->records && (!indexed || (ring->index && ring->nodes)))
		return 0;
	metastore_ring_free(ring);
	return -ENOMEM;
}

/**
 * metastore_ring_free() - Free the memory of a ring
 * @ring:	the ring; the caller drops the references of its records
 *
 * Context: Process context, may sleep.
 */
void metastore_ring_free(struct metastore_ring *ring)
{
	kvfree(ring->index);
	kvfree(ring->nodes);
	kvfree(ring->records);
}

/*
 * Use a secret hash instead of the node's. Users can make thousands of keys with the
 * same node hash: all would be in one chain, which is walked with locks held.
 */
static struct hlist_head *ring_chain(const struct metastore_ring *ring,
				     const struct metastore_subscription *sub,
				     const struct metastore_value *value)
{
	u32 hash = hsiphash(value->node.key, value->node.key_len, &ring->secret);

	return &ring->index[hash_64((u64)(unsigned long)sub ^ hash, ring->bits)];
}

/**
 * metastore_ring_index() - Add a record to the index
 * @ring:	a ring that has an index
 * @record:	the record
 */
void metastore_ring_index(struct metastore_ring *ring, const struct metastore_record *record)
{
	hlist_add_head(&ring->nodes[record - ring->records],
		       ring_chain(ring, record->sub, record->value));
}

/**
 * metastore_ring_find() - Find the waiting event of a key
 * @ring:	a ring that has an index
 * @sub:	subscription of the event
 * @value:	body of another event of the key
 *
 * Return: The record, or NULL.
 */
struct metastore_record *metastore_ring_find(const struct metastore_ring *ring,
					     const struct metastore_subscription *sub,
					     const struct metastore_value *value)
{
	const struct metastore_node *key = &value->node, *other;
	struct metastore_record *record;
	struct hlist_node *node;

	hlist_for_each(node, ring_chain(ring, sub, value)) {
		record = &ring->records[node - ring->nodes];
		other = &record->value->node;
		if (record->sub == sub && other->hash == key->hash &&
		    other->key_len == key->key_len &&
		    !memcmp(other->key, key->key, key->key_len))
			return record;
	}
	return NULL;
}
