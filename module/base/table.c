// SPDX-License-Identifier: GPL-2.0
/*
 * A hash table that grows and shrinks one slot at a time and is read without a
 * lock.
 */
#include <linux/bitrev.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "base/table.h"
#include "base/types.h"

/*
 * Slots that one insertion or removal adds or takes away at most. More than one,
 * so that growth catches up after slots could not be allocated, and so that a
 * table of which everything is removed ends with few.
 */
#define STEPS_AT_ONCE	4

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

/* The tree of a slot that has one, or NULL. With the lock held. */
static struct metastore_tree *table_tree_of(const struct metastore_slot *slot)
{
	return metastore_tree_of(rcu_dereference_raw(slot->first));
}

/* A slot whose tree is empty lets it go. Returns the tree that it has after that. */
static struct metastore_tree *table_settle_slot(struct metastore_slot *slot)
{
	struct metastore_tree *tree = table_tree_of(slot);

	if (likely(!tree) || !RB_EMPTY_ROOT(&tree->root))
		return tree;
	RCU_INIT_POINTER(slot->first, NULL);
	metastore_tree_put(tree);
	return NULL;
}

/**
 * metastore_table_destroy - free the slots of a table
 * @table:	the table, without nodes, which nobody else uses any more
 *
 * Context: may sleep.
 */
void metastore_table_destroy(struct metastore_table *table)
{
	unsigned int i;

	for (i = 0; i < table->nr_slots; i++) {
		table_settle_slot(genradix_ptr(&table->slots, i));
		cond_resched();
	}
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
static struct metastore_slot *table_parent_of(struct metastore_table *table, unsigned int index)
{
	return genradix_ptr(&table->slots, index - rounddown_pow_of_two(index));
}

/*
 * Takes the next slot into use: cuts the parent's chain where its range begins, or
 * shares the parent's tree.
 */
static void table_split_slot(struct metastore_table *table, struct metastore_slot *slot)
{
	unsigned int index = table->nr_slots;
	struct metastore_slot *parent = table_parent_of(table, index);
	struct metastore_tree *tree = table_settle_slot(parent);
	struct metastore_node __rcu **link = &parent->first;
	struct metastore_node *node = rcu_dereference_raw(*link);

	if (unlikely(tree))
		tree->nr_slots++;
	else
		while (node && metastore_slot_index(node->hash, index + 1) != index) {
			link = &node->next;
			node = rcu_dereference_raw(*link);
		}

	write_seqcount_begin(&table->seq);
	WRITE_ONCE(table->nr_slots, index + 1);
	rcu_assign_pointer(slot->first, node);
	if (likely(!tree))
		RCU_INIT_POINTER(*link, NULL);
	write_seqcount_end(&table->seq);
}

static unsigned int table_chain_length(const struct metastore_slot *slot)
{
	struct metastore_node *node;
	unsigned int nr = 0;

	for (node = rcu_dereference_raw(slot->first); node; node = rcu_dereference_raw(node->next))
		nr++;
	return nr;
}

/*
 * Can one slot have what two have? With the same tree, or if one is empty; else they
 * must be chains and make one that is no longer than it may be.
 */
static bool table_slots_fit(const struct metastore_slot *a, const struct metastore_slot *b)
{
	if (!rcu_access_pointer(a->first) || !rcu_access_pointer(b->first) ||
	    rcu_access_pointer(a->first) == rcu_access_pointer(b->first))
		return true;
	return !table_tree_of(a) && !table_tree_of(b) &&
	       table_chain_length(a) + table_chain_length(b) <= METASTORE_CHAIN_MAX;
}

/*
 * Gives the last slot up: its chain goes to the end of its parent's, its tree too, if
 * that is another one. Returns false if the parent has no room for it.
 */
static bool table_merge_slot(struct metastore_table *table)
{
	unsigned int index = table->nr_slots - 1;
	struct metastore_slot *slot = genradix_ptr(&table->slots, index);
	struct metastore_slot *parent = table_parent_of(table, index);
	struct metastore_node __rcu **link = &parent->first;
	struct metastore_tree *tree = table_settle_slot(slot);
	struct metastore_node *node;
	bool shared;

	shared = table_settle_slot(parent) == tree && tree;
	if (!table_slots_fit(parent, slot))
		return false;
	node = shared ? NULL : rcu_dereference_raw(slot->first);
	while (node && rcu_dereference_raw(*link))
		link = &rcu_dereference_raw(*link)->next;

	write_seqcount_begin(&table->seq);
	WRITE_ONCE(table->nr_slots, index);
	if (node)
		rcu_assign_pointer(*link, node);
	RCU_INIT_POINTER(slot->first, NULL);
	write_seqcount_end(&table->seq);
	if (shared)
		metastore_tree_put(tree);
	return true;
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

/* Makes a tree of a slot's chain. */
static struct metastore_tree *table_plant_tree(struct metastore_table *table,
					       struct metastore_slot *slot,
					       struct metastore_preload *preload)
{
	struct metastore_node *node = rcu_dereference_raw(slot->first), *next;
	struct metastore_tree *tree = metastore_tree_make(preload, node);

	write_seqcount_begin(&table->seq);
	rcu_assign_pointer(slot->first, metastore_tree_as_first(tree));
	/* Readers that are on the chain end there, and look again. */
	for (; node; node = next) {
		next = rcu_dereference_raw(node->next);
		RCU_INIT_POINTER(node->next, NULL);
	}
	write_seqcount_end(&table->seq);
	return tree;
}

/**
 * metastore_table_has_room - can a node be inserted with the memory at hand?
 * @table:	the table, after metastore_table_prepare()
 * @hash:	hash of the node's key, which the table does not have
 * @preload:	memory for it; NULL: none
 *
 * Sets @preload->want to what a tree takes of it, 0 if the node goes to a chain; if there is
 * not so much, the caller fills it up and asks again. The insertion follows this verdict,
 * not what there is: of several nodes that a transaction adds to one chain, either all
 * have memory for a tree or none makes one. To be asked before anything is done that
 * could not be undone, since a tree's nodes cannot be allocated under the lock.
 *
 * Context: with the table's lock held.
 */
bool metastore_table_has_room(struct metastore_table *table, u32 hash,
			      struct metastore_preload *preload)
{
	struct metastore_slot *slot = metastore_slot_of(table, hash);
	struct metastore_tree *tree;
	unsigned int want;

	if (preload)
		preload->want = 0;
	if (!slot)
		return true;
	tree = table_tree_of(slot);
	if (likely(!tree)) {
		want = table_chain_length(slot) + 1;
		if (likely(want <= METASTORE_CHAIN_MAX))
			return true;
	} else {
		if (RB_EMPTY_ROOT(&tree->root))
			return true;
		want = 1;
	}
	if (!preload)
		return false;
	preload->want = want;
	return preload->nr >= want && (tree || preload->tree);
}

static void table_insert_in_chain(struct metastore_slot *slot, struct metastore_node *node)
{
	struct metastore_node __rcu **link = &slot->first;
	struct metastore_node *next;

	while ((next = rcu_dereference_raw(*link)) &&
	       metastore_node_compare(next, node->hash, node->key, node->key_len) < 0)
		link = &next->next;
	RCU_INIT_POINTER(node->next, next);
	rcu_assign_pointer(*link, node);
}

/**
 * metastore_table_insert - add a node
 * @table:	the table, which has room, see metastore_table_has_room()
 * @node:	the node, whose key the table does not have
 * @preload:	what was asked about; what is left of it is the caller's to free
 *
 * Context: with the table's lock held.
 */
void metastore_table_insert(struct metastore_table *table, struct metastore_node *node,
			    struct metastore_preload *preload)
{
	struct metastore_slot *slot;
	struct metastore_tree *tree;
	unsigned int length;

	if (!table->nr_slots)
		WRITE_ONCE(table->nr_slots, 1);
	slot = metastore_slot_of(table, node->hash);
	tree = table_settle_slot(slot);
	if (unlikely(!tree && preload && preload->want > 1)) {
		length = table_chain_length(slot);
		if (length >= METASTORE_CHAIN_MAX && length < preload->nr)
			tree = table_plant_tree(table, slot, preload);
	}
	if (unlikely(tree))
		metastore_tree_insert(tree, &table->seq, node, preload);
	else
		table_insert_in_chain(slot, node);
	WRITE_ONCE(table->nr_nodes, table->nr_nodes + 1);
	table_grow(table);
}

static struct metastore_node __rcu **table_link_to(struct metastore_slot *slot,
						   const struct metastore_node *node)
{
	struct metastore_node __rcu **link = &slot->first;
	struct metastore_tree *tree = table_tree_of(slot);

	if (unlikely(tree))
		return metastore_tree_link_to(tree, node);
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
	metastore_table_replace_at(table_link_to(metastore_slot_of(table, old->hash), old), new);
}

/**
 * metastore_table_remove - take a node out
 * @table:	the table
 * @node:	a node of it; readers may still be on it until they are done with
 *		their RCU section
 * @link:	what leads to it, if that is known
 *
 * metastore_table_shrink() is to follow, at the latest before the lock is released,
 * unless the table goes too.
 *
 * Context: with the table's lock held.
 */
void metastore_table_remove(struct metastore_table *table, struct metastore_node *node,
			    struct metastore_node __rcu **link)
{
	struct metastore_slot *slot = metastore_slot_of(table, node->hash);
	struct metastore_tree *tree = table_tree_of(slot);

	if (!link)
		link = table_link_to(slot, node);
	if (unlikely(tree)) {
		metastore_tree_remove(tree, &table->seq, link);
		table_settle_slot(slot);
	} else {
		rcu_assign_pointer(*link, rcu_dereference_raw(node->next));
	}
	WRITE_ONCE(table->nr_nodes, table->nr_nodes - 1);
}

/* See metastore_table_shrink(). */
void metastore_table_merge(struct metastore_table *table)
{
	int i;

	for (i = 0; i < STEPS_AT_ONCE && metastore_table_is_sparse(table); i++)
		if (!table_merge_slot(table))
			return;
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
	u64 order = bitrev32(key->hash);

	if (order != pos->order)
		return order < pos->order;
	if (key->len != pos->key_len)
		return key->len < pos->key_len;
	return memcmp(key->bytes, pos->key, key->len) <= 0;
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

static bool table_has_prefix(const struct metastore_node *node, const u8 *prefix, u32 prefix_len)
{
	return node->key_len >= prefix_len && !memcmp(node->key, prefix, prefix_len);
}

static struct metastore_node *table_next_in_chain(struct metastore_node *node,
						  const struct metastore_position *pos,
						  const u8 *prefix, u32 prefix_len)
{
	u32 hash = bitrev32(pos->order);

	for (; node; node = rcu_dereference_raw(node->next))
		if (metastore_node_compare(node, hash, pos->key, pos->key_len) > 0 &&
		    table_has_prefix(node, prefix, prefix_len))
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
 * Looks at one slot, or where that has a tree at one node. A caller that wants all nodes
 * calls it until @pos is at METASTORE_ORDER_END, and can leave its RCU section or lock in
 * between.
 *
 * Context: under rcu_read_lock(), or with the table's lock held.
 * Return: the node, or NULL if there was none in that slot or it has another prefix.
 */
struct metastore_node *metastore_table_next(struct metastore_table *table,
					    struct metastore_position *pos,
					    const u8 *prefix, u32 prefix_len)
{
	struct metastore_tree *tree;
	struct metastore_node *node;
	struct metastore_slot *slot;
	unsigned int seq;
	u64 end;

	do {
		seq = read_seqcount_begin(&table->seq);
		tree = NULL;
		node = NULL;
		end = METASTORE_ORDER_END;
		slot = metastore_slot_of(table, bitrev32(pos->order));
		if (slot) {
			node = rcu_dereference_raw(slot->first);
			tree = metastore_tree_of(node);
			/* A tree's may be of another slot that shares it. */
			node = tree ? metastore_tree_behind(tree, pos) :
				      table_next_in_chain(node, pos, prefix, prefix_len);
			end = table_end_of_slot(pos->order, READ_ONCE(table->nr_slots));
		}
	} while (read_seqcount_retry(&table->seq, seq));

	if (!node) {
		pos->order = end;
		pos->key_len = 0;
	} else if (tree && !table_has_prefix(node, prefix, prefix_len)) {
		metastore_position_set(pos, node->hash, node->key, node->key_len);
		node = NULL;
	}
	return node;
}
