// SPDX-License-Identifier: GPL-2.0
/*
 * Records in the order in which they came, and finding the event of a key that waits,
 * so that a newer one can take its place.
 */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "base/types.h"
#include "events/ring.h"

/**
 * metastore_index_create - make an empty index
 * @index:	is set
 * @len:	number of places in the ring
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_index_create(struct metastore_index *index, u32 len)
{
	index->bits = max(1, order_base_2(len));
	index->heads = kvcalloc(BIT(index->bits), sizeof(*index->heads), METASTORE_GFP);
	index->nodes = kvcalloc(len, sizeof(*index->nodes), METASTORE_GFP);
	if (index->heads && index->nodes)
		return 0;
	metastore_index_free(index);
	return -ENOMEM;
}

/**
 * metastore_index_free - free an index
 * @index:	the index, which may be none; there is none afterwards
 *
 * Context: may sleep.
 */
void metastore_index_free(struct metastore_index *index)
{
	kvfree(index->heads);
	kvfree(index->nodes);
	*index = (struct metastore_index) {};
}

static struct hlist_head *index_chain(const struct metastore_index *index,
				      const struct metastore_subscription *sub,
				      const struct metastore_value *value)
{
	return &index->heads[hash_64((u64)(unsigned long)sub ^ value->node.hash,
				     index->bits)];
}

/**
 * metastore_index_add - let a record be found
 * @index:	the index
 * @ring:	the ring
 * @place:	where the record is in it
 */
void metastore_index_add(struct metastore_index *index,
			 const struct metastore_record *ring, u32 place)
{
	hlist_add_head(&index->nodes[place],
		       index_chain(index, ring[place].sub, ring[place].value));
}

/**
 * metastore_index_remove - a record goes, whether it could be found or not
 * @index:	the index, which is there
 * @place:	where the record is in the ring
 */
void metastore_index_remove(struct metastore_index *index, u32 place)
{
	hlist_del_init(&index->nodes[place]);
}

/**
 * metastore_index_find - find the event of a key that waits
 * @index:	the index
 * @ring:	the ring
 * @sub:	of which subscription
 * @value:	the body of another event of the key
 *
 * Return: the record, or NULL.
 */
struct metastore_record *metastore_index_find(const struct metastore_index *index,
					      struct metastore_record *ring,
					      const struct metastore_subscription *sub,
					      const struct metastore_value *value)
{
	struct metastore_record *record;
	struct hlist_node *node;

	hlist_for_each(node, index_chain(index, sub, value)) {
		record = &ring[node - index->nodes];
		if (record->sub == sub &&
		    record->value->node.hash == value->node.hash &&
		    record->value->node.key_len == value->node.key_len &&
		    !memcmp(record->value->node.key, value->node.key,
			    value->node.key_len))
			return record;
	}
	return NULL;
}

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
