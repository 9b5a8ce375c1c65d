// SPDX-License-Identifier: GPL-2.0
/*
 * A hash table that grows and shrinks one slot at a time and is read without a
 * lock.
 */
#include <linux/bitrev.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "base/table.h"
#include "base/types.h"

/*
 * Slots that one insertion or removal adds or takes away at most. More than one,
 * so that growth catches up after slots could not be allocated, and so that a
 * table of which everything is removed ends with few.
 */
#define STEPS_AT_ONCE	4

/* A table has up to this many times as many slots as nodes before it shrinks. */
#define SPARSE		4

/**
 * metastore_table_init - make an empty table
 * @table:	the table
 * @lock:	the spinlock its writers hold
 */
void metastore_table_init(struct metastore_table *table, spinlock_t *lock)
{
	genradix_init(&table->slots);
	seqcount_spinlock_init(&table->seq, lock);
	table->nr_ready = 0;
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

/* See metastore_table_prepare(). */
int metastore_table_allocate(struct metastore_table *table)
{
	unsigned int nr_slots = READ_ONCE(table->nr_slots);

	if (genradix_ptr_alloc(&table->slots, nr_slots, METASTORE_GFP))
		/* Pairs with metastore_table_prepare(). */
		smp_store_release(&table->nr_ready, nr_slots + 1);
	else if (!nr_slots)
		return -ENOMEM;
	return 0;
}

/* The slot whose range was cut when slot @index came into use. */
static struct metastore_slot *table_parent_of(struct metastore_table *table,
					      unsigned int index)
{
	return genradix_ptr(&table->slots, index - rounddown_pow_of_two(index));
}

/* Takes the next slot into use: cuts the parent's chain where its range begins. */
static void table_split_slot(struct metastore_table *table, struct metastore_slot *slot)
{
	unsigned int index = table->nr_slots;
	struct metastore_node __rcu **link = &table_parent_of(table, index)->first;
	struct metastore_node *node;

	while ((node = rcu_dereference_raw(*link)) &&
	       metastore_slot_index(node->hash, index + 1) != index)
		link = &node->next;

	write_seqcount_begin(&table->seq);
	WRITE_ONCE(table->nr_slots, index + 1);
	rcu_assign_pointer(slot->first, node);
	RCU_INIT_POINTER(*link, NULL);
	write_seqcount_end(&table->seq);
}

/* Gives the last slot up: its chain goes to the end of its parent's. */
static void table_merge_slot(struct metastore_table *table)
{
	unsigned int index = table->nr_slots - 1;
	struct metastore_slot *slot = genradix_ptr(&table->slots, index);
	struct metastore_node __rcu **link = &table_parent_of(table, index)->first;

	while (rcu_dereference_raw(*link))
		link = &rcu_dereference_raw(*link)->next;

	write_seqcount_begin(&table->seq);
	WRITE_ONCE(table->nr_slots, index);
	rcu_assign_pointer(*link, rcu_dereference_raw(slot->first));
	RCU_INIT_POINTER(slot->first, NULL);
	write_seqcount_end(&table->seq);
}

static void table_grow(struct metastore_table *table)
{
	struct metastore_slot *slot;
	int i;

	for (i = 0; i < STEPS_AT_ONCE && table->nr_nodes > table->nr_slots; i++) {
		slot = genradix_ptr(&table->slots, table->nr_slots);
		if (!slot)
			return;
		table_split_slot(table, slot);
	}
}

static void table_shrink(struct metastore_table *table)
{
	int i;

	for (i = 0; i < STEPS_AT_ONCE && table->nr_slots > 1 &&
	     table->nr_nodes < table->nr_slots / SPARSE; i++)
		table_merge_slot(table);
}

/* Less than, equal to or greater than 0, as the one is before, at or behind the other. */
static int table_compare_orders(u64 order, const u8 *key, u8 key_len, u64 other_order,
				const u8 *other_key, u8 other_len)
{
	if (order != other_order)
		return order < other_order ? -1 : 1;
	if (key_len != other_len)
		return key_len - other_len;
	return memcmp(key, other_key, key_len);
}

static int table_compare_node(const struct metastore_node *node, u64 order, const u8 *key,
			      u8 key_len)
{
	return table_compare_orders(bitrev32(node->hash), node->key, node->key_len, order, key,
				    key_len);
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
	u64 order = bitrev32(node->hash);
	struct metastore_node __rcu **link;
	struct metastore_node *next;

	if (!table->nr_slots)
		WRITE_ONCE(table->nr_slots, 1);
	link = &metastore_slot_of(table, node->hash)->first;
	while ((next = rcu_dereference_raw(*link)) &&
	       table_compare_node(next, order, node->key, node->key_len) < 0)
		link = &next->next;
	RCU_INIT_POINTER(node->next, next);
	rcu_assign_pointer(*link, node);
	WRITE_ONCE(table->nr_nodes, table->nr_nodes + 1);
	table_grow(table);
}

static inline struct metastore_node __rcu **table_link_to(struct metastore_table *table,
							  struct metastore_node *node)
{
	struct metastore_node __rcu **link = &metastore_slot_of(table, node->hash)->first;

	while (rcu_dereference_raw(*link) != node)
		link = &rcu_dereference_raw(*link)->next;
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
	metastore_table_replace_at(table_link_to(table, old), new);
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
	rcu_assign_pointer(*table_link_to(table, node), rcu_dereference_raw(node->next));
	WRITE_ONCE(table->nr_nodes, table->nr_nodes - 1);
	table_shrink(table);
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

/**
 * metastore_position_is_behind - is a key, if it is there, before a place?
 * @pos:	the place
 * @key:	the key
 */
bool metastore_position_is_behind(const struct metastore_position *pos,
				  const struct metastore_key *key)
{
	return table_compare_orders(bitrev32(key->hash), key->bytes, key->len, pos->order,
				    pos->key, pos->key_len) <= 0;
}

/* Where the range of the slot that covers @order ends. */
static u64 table_end_of_slot(u64 order, unsigned int nr_slots)
{
	unsigned int bits = order_base_2(nr_slots);

	/* A slot that is not split yet covers what its other half will. */
	if (bits && metastore_slot_index(bitrev32(order) | BIT(bits - 1), nr_slots) < BIT(bits - 1))
		bits--;
	return ((order >> (32 - bits)) + 1) << (32 - bits);
}

static struct metastore_node *table_next_in_chain(struct metastore_slot *slot,
						  const struct metastore_position *pos,
						  const u8 *prefix, u32 prefix_len)
{
	struct metastore_node *node;

	for (node = rcu_dereference_raw(slot->first); node;
	     node = rcu_dereference_raw(node->next))
		if (table_compare_node(node, pos->order, pos->key, pos->key_len) > 0 &&
		    node->key_len >= prefix_len &&
		    !memcmp(node->key, prefix, prefix_len))
			return node;
	return NULL;
}

/**
 * metastore_table_next - the next node in the table's order
 * @table:	the table
 * @pos:	where to go on; it is not moved behind a node that is returned,
 *		but else to where the search ended
 * @prefix:	what the node's key shall begin with
 * @prefix_len:	its length in bytes; 0: any key will do
 *
 * Looks at one slot. Whoever wants all nodes calls it until @pos is at
 * METASTORE_ORDER_END, and can leave its RCU section or lock in between.
 *
 * Context: under rcu_read_lock(), or with the table's lock held.
 * Return: the node, or NULL if there was none in that slot.
 */
struct metastore_node *metastore_table_next(struct metastore_table *table,
					    struct metastore_position *pos,
					    const u8 *prefix, u32 prefix_len)
{
	struct metastore_node *node;
	struct metastore_slot *slot;
	unsigned int seq;
	u64 end;

	do {
		seq = read_seqcount_begin(&table->seq);
		node = NULL;
		end = METASTORE_ORDER_END;
		slot = metastore_slot_of(table, bitrev32(pos->order));
		if (slot) {
			node = table_next_in_chain(slot, pos, prefix, prefix_len);
			end = table_end_of_slot(pos->order, READ_ONCE(table->nr_slots));
		}
	} while (read_seqcount_retry(&table->seq, seq));

	if (!node) {
		pos->order = end;
		pos->key_len = 0;
	}
	return node;
}
