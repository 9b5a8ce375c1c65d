// SPDX-License-Identifier: GPL-2.0
/*
 * A hash table that grows one slot at a time and is read without a lock.
 */
#include <linux/bitrev.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "table.h"
#include "value.h"

/*
 * Splits caught up on by one insertion, after slots could not be allocated for
 * some time.
 */
#define SPLITS_AT_ONCE	2

/**
 * metastore_table_init - make an empty table
 * @table:	the table
 * @lock:	the spinlock its writers hold
 */
void metastore_table_init(struct metastore_table *table, spinlock_t *lock)
{
	genradix_init(&table->slots);
	seqcount_spinlock_init(&table->seq, lock);
	table->nr_slots = 0;
	table->nr_nodes = 0;
}

/**
 * metastore_table_destroy - free the slots of a table
 * @table:	the table, which nobody else uses any more; what nodes it still
 *		has are the caller's business
 */
void metastore_table_destroy(struct metastore_table *table)
{
	genradix_free(&table->slots);
}

/**
 * metastore_table_prepare - allocate what the next insertion may need
 * @table:	the table
 *
 * To be called without the lock before metastore_table_insert(). May sleep.
 * Only the very first slot must be had; without a further one the table stays
 * as it is, and its chains grow longer.
 *
 * Return: 0 or -ENOMEM.
 */
int metastore_table_prepare(struct metastore_table *table)
{
	unsigned int nr_slots = READ_ONCE(table->nr_slots);

	if (nr_slots && READ_ONCE(table->nr_nodes) < nr_slots)
		return 0;
	if (!genradix_ptr_alloc(&table->slots, nr_slots, METASTORE_GFP) &&
	    !nr_slots)
		return -ENOMEM;
	return 0;
}

/* Low bits of the hash pick the slot; where that one is not yet, one bit less. */
static unsigned int slot_index(u32 hash, unsigned int nr_slots)
{
	unsigned int mask = roundup_pow_of_two(nr_slots) - 1;
	unsigned int index = hash & mask;

	return index < nr_slots ? index : index & (mask >> 1);
}

static struct metastore_slot *slot_of(struct metastore_table *table, u32 hash)
{
	unsigned int nr_slots = READ_ONCE(table->nr_slots);

	if (!nr_slots)
		return NULL;
	return genradix_ptr(&table->slots, slot_index(hash, nr_slots));
}

static struct metastore_node *follow(struct metastore_node __rcu *link)
{
	/* The caller is in an RCU reader, or holds the lock: both will do. */
	return rcu_dereference_check(link, 1);
}

static struct metastore_node *find_in_chain(struct metastore_table *table,
					    const struct metastore_key *key)
{
	struct metastore_slot *slot = slot_of(table, key->hash);
	struct metastore_node *node;

	if (!slot)
		return NULL;
	for (node = follow(slot->first); node; node = follow(node->next))
		if (node->hash == key->hash && node->key_len == key->len &&
		    !memcmp(node->key, key->bytes, key->len))
			return node;
	return NULL;
}

/**
 * metastore_table_find - look a key up
 * @table:	the table
 * @key:	the key
 *
 * Context: under rcu_read_lock(), or with the table's lock held.
 * Return: the node, which stays for as long as that context does, or NULL.
 */
struct metastore_node *metastore_table_find(struct metastore_table *table,
					    const struct metastore_key *key)
{
	struct metastore_node *node;
	unsigned int seq;

	do {
		seq = read_seqcount_begin(&table->seq);
		node = find_in_chain(table, key);
	} while (!node && read_seqcount_retry(&table->seq, seq));
	return node;
}

/* Deals the nodes of a chain out to it and to the new last slot, in order. */
static void split(struct metastore_table *table, struct metastore_slot *new)
{
	unsigned int index = table->nr_slots;
	struct metastore_slot *old =
		genradix_ptr(&table->slots, index - rounddown_pow_of_two(index));
	struct metastore_node __rcu **stay = &old->first, **move = &new->first;
	struct metastore_node *node = follow(old->first);

	write_seqcount_begin(&table->seq);
	WRITE_ONCE(table->nr_slots, index + 1);
	for (; node; node = follow(node->next)) {
		struct metastore_node __rcu ***link =
			slot_index(node->hash, index + 1) == index ? &move : &stay;

		rcu_assign_pointer(**link, node);
		*link = &node->next;
	}
	RCU_INIT_POINTER(*stay, NULL);
	RCU_INIT_POINTER(*move, NULL);
	write_seqcount_end(&table->seq);
}

static void grow(struct metastore_table *table)
{
	struct metastore_slot *new;
	int i;

	for (i = 0; i < SPLITS_AT_ONCE; i++) {
		if (table->nr_nodes <= table->nr_slots)
			return;
		new = genradix_ptr(&table->slots, table->nr_slots);
		if (!new)
			return;
		split(table, new);
	}
}

/**
 * metastore_table_insert - add a node
 * @table:	the table, after metastore_table_prepare()
 * @node:	the node, whose key the table does not have
 *
 * Context: with the table's lock held.
 */
void metastore_table_insert(struct metastore_table *table,
			    struct metastore_node *node)
{
	struct metastore_slot *slot;

	if (!table->nr_slots)
		WRITE_ONCE(table->nr_slots, 1);
	slot = slot_of(table, node->hash);
	RCU_INIT_POINTER(node->next, follow(slot->first));
	rcu_assign_pointer(slot->first, node);
	WRITE_ONCE(table->nr_nodes, table->nr_nodes + 1);
	grow(table);
}

static struct metastore_node __rcu **link_to(struct metastore_table *table,
					     struct metastore_node *node)
{
	struct metastore_node __rcu **link = &slot_of(table, node->hash)->first;

	while (follow(*link) != node)
		link = &follow(*link)->next;
	return link;
}

/**
 * metastore_table_replace - put a node in another's place
 * @table:	the table
 * @old:	a node of it; readers may still be on it until they are done with
 *		their RCU section
 * @new:	a node with the same key
 *
 * Context: with the table's lock held.
 */
void metastore_table_replace(struct metastore_table *table,
			     struct metastore_node *old,
			     struct metastore_node *new)
{
	RCU_INIT_POINTER(new->next, follow(old->next));
	rcu_assign_pointer(*link_to(table, old), new);
}

/**
 * metastore_table_remove - take a node out
 * @table:	the table
 * @node:	a node of it; readers may still be on it until they are done with
 *		their RCU section
 *
 * Context: with the table's lock held.
 */
void metastore_table_remove(struct metastore_table *table,
			    struct metastore_node *node)
{
	rcu_assign_pointer(*link_to(table, node), follow(node->next));
	WRITE_ONCE(table->nr_nodes, table->nr_nodes - 1);
}

/**
 * metastore_position_set - a place right behind a key, or at the start
 * @pos:	is set
 * @hash:	hash of the key; 0 for the start
 * @key:	bytes of the key
 * @key_len:	their number; 0 for the start
 */
void metastore_position_set(struct metastore_position *pos, u32 hash,
			    const u8 *key, u8 key_len)
{
	pos->order = bitrev32(hash);
	pos->key_len = key_len;
	memcpy(pos->key, key, key_len);
}

/* Order of two keys with the same hash; which it is does not matter. */
static int compare_keys(const u8 *a, u8 a_len, const u8 *b, u8 b_len)
{
	return a_len != b_len ? a_len - b_len : memcmp(a, b, a_len);
}

static bool is_behind(const struct metastore_node *node,
		      const struct metastore_position *pos)
{
	u64 order = bitrev32(node->hash);

	if (order != pos->order)
		return order > pos->order;
	return compare_keys(node->key, node->key_len, pos->key, pos->key_len) > 0;
}

static bool is_before(const struct metastore_node *a,
		      const struct metastore_node *b)
{
	if (a->hash != b->hash)
		return bitrev32(a->hash) < bitrev32(b->hash);
	return compare_keys(a->key, a->key_len, b->key, b->key_len) < 0;
}

/* Where the range of the slot that covers @order ends. */
static u64 end_of_slot(u64 order, unsigned int nr_slots)
{
	unsigned int bits = order_base_2(nr_slots);

	/* A slot that is not split yet covers what its other half will. */
	if (bits && slot_index(bitrev32(order) | BIT(bits - 1), nr_slots) < BIT(bits - 1))
		bits--;
	return ((order >> (32 - bits)) + 1) << (32 - bits);
}

/**
 * metastore_table_next - the next node in the table's order
 * @table:	the table
 * @pos:	where to go on; it is not moved behind a node that is returned,
 *		but else to where the search ended
 *
 * Looks at one slot. Whoever wants all nodes calls it until @pos is at
 * METASTORE_ORDER_END, and can leave its RCU section or lock in between.
 *
 * Context: under rcu_read_lock(), or with the table's lock held.
 * Return: the node, or NULL if there was none in that slot.
 */
struct metastore_node *metastore_table_next(struct metastore_table *table,
					    struct metastore_position *pos)
{
	struct metastore_node *node, *next;
	struct metastore_slot *slot;
	unsigned int seq;
	u64 end;

	do {
		seq = read_seqcount_begin(&table->seq);
		next = NULL;
		slot = slot_of(table, bitrev32(pos->order));
		end = slot ? end_of_slot(pos->order, READ_ONCE(table->nr_slots)) :
			     METASTORE_ORDER_END;
		for (node = slot ? follow(slot->first) : NULL; node;
		     node = follow(node->next))
			if (is_behind(node, pos) && (!next || is_before(node, next)))
				next = node;
	} while (read_seqcount_retry(&table->seq, seq));

	if (!next) {
		pos->order = end;
		pos->key_len = 0;
	}
	return next;
}
