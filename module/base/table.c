// SPDX-License-Identifier: GPL-2.0
/*
 * Hash table with lockless lookups that grows and shrinks one slot at a time.
 *
 * See struct metastore_table for its structure and its concurrency rules.
 */
#include <linux/bitrev.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "base/table.h"
#include "base/types.h"

/*
 * Slots that one insertion adds, or one removal gives up, at most. More than one, so that
 * growth catches up after failed allocations of slots, and so that a table that is
 * emptied ends with few slots.
 */
#define STEPS_AT_ONCE	4

/**
 * metastore_table_init() - Initialize an empty table
 * @table:	the table
 * @lock:	spinlock that serializes its writers
 */
void metastore_table_init(struct metastore_table *table, spinlock_t *lock)
{
	genradix_init(&table->slots);
	seqcount_spinlock_init(&table->seq, lock);
	table->nr_ready = 0;
	table->nr_slots = 0;
	table->nr_nodes = 0;
}

/* Return the tree of a slot, or NULL. The caller holds the table's lock. */
static struct metastore_tree *table_tree_of(const struct metastore_slot *slot)
{
	return metastore_tree_of(rcu_dereference_raw(slot->first));
}

/* Drop a slot's tree if it is empty. Return the tree that the slot keeps, or NULL. */
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
 * metastore_table_destroy() - Free the slots of a table
 * @table:	the table, without nodes and without other users
 *
 * Context: Process context, may sleep.
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
		/* Pairs with smp_load_acquire() in metastore_table_prepare(). */
		smp_store_release(&table->nr_ready, nr_slots + 1);
	else if (!nr_slots)
		return -ENOMEM;
	return 0;
}

/* Return the slot whose range was cut when slot @index came into use. */
static struct metastore_slot *table_parent_of(struct metastore_table *table, unsigned int index)
{
	return genradix_ptr(&table->slots, index - rounddown_pow_of_two(index));
}

/*
 * Take the next slot into use: cut its parent's chain where the slot's range begins, or
 * share the parent's tree.
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
 * Check whether one slot can hold what two hold. It can if both have the same tree, or if
 * one is empty. Else both must be chains, short enough to be one.
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
 * Give the last slot up. Its chain is appended to its parent's, or its tree moves to the
 * empty parent. If both share one tree, a reference to that is dropped. Return false if
 * the parent has no room.
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

/* Turn a slot's chain into a tree. */
static struct metastore_tree *table_plant_tree(struct metastore_table *table,
					       struct metastore_slot *slot,
					       struct metastore_preload *preload)
{
	struct metastore_node *node = rcu_dereference_raw(slot->first), *next;
	struct metastore_tree *tree = metastore_tree_make(preload, node);

	write_seqcount_begin(&table->seq);
	rcu_assign_pointer(slot->first, metastore_tree_as_first(tree));
	/* Readers on the chain reach its end early, and retry. */
	for (; node; node = next) {
		next = rcu_dereference_raw(node->next);
		RCU_INIT_POINTER(node->next, NULL);
	}
	write_seqcount_end(&table->seq);
	return tree;
}

/**
 * metastore_table_has_room() - Check whether preallocated memory suffices for a node
 * @table:	the table, after metastore_table_prepare()
 * @hash:	hash of the node's key, which is not in the table
 * @preload:	memory for the insertion, or NULL if there is none
 *
 * Sets @preload->want to the number of tree nodes needed, 0 if the node goes to a chain.
 * If @preload has fewer, the caller calls metastore_preload_fill() and checks again.
 *
 * metastore_table_insert() follows this verdict, not the memory at hand. So if a
 * transaction adds several nodes to one chain, either all have memory for a tree or none
 * makes one. Callers check before they do anything that cannot be undone, since tree
 * nodes cannot be allocated under the lock.
 *
 * Context: Caller holds the table's lock.
 * Return: true if the node can be inserted.
 */
bool metastore_table_has_room(struct metastore_table *table, u32 hash,
			      struct metastore_preload *preload)
{
	struct metastore_slot *slot = metastore_slot_of(table, hash);
	struct metastore_tree *tree;
	unsigned int want;

	metastore_table_assert_held(table);
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
 * metastore_table_insert() - Add a node
 * @table:	the table, after metastore_table_has_room() returned true
 * @node:	the node, whose key is not in the table
 * @preload:	as in metastore_table_has_room(); the caller frees the rest
 *
 * Context: Caller holds the table's lock.
 */
void metastore_table_insert(struct metastore_table *table, struct metastore_node *node,
			    struct metastore_preload *preload)
{
	struct metastore_slot *slot;
	struct metastore_tree *tree;
	unsigned int length;

	metastore_table_assert_held(table);
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
 * metastore_table_replace() - Replace a node by one with the same key
 * @table:	the table
 * @old:	a node of the table; readers may use it until their RCU section ends
 * @new:	the new node
 *
 * Context: Caller holds the table's lock.
 */
void metastore_table_replace(struct metastore_table *table,
			     struct metastore_node *old,
			     struct metastore_node *new)
{
	metastore_table_assert_held(table);
	metastore_table_replace_at(table_link_to(metastore_slot_of(table, old->hash), old), new);
}

/**
 * metastore_table_remove() - Remove a node
 * @table:	the table
 * @node:	a node of the table; readers may use it until their RCU section ends
 * @link:	link to the node, or NULL if the caller does not know it
 *
 * The caller then calls metastore_table_shrink(), at the latest before it releases the
 * lock, unless it destroys the table.
 *
 * Context: Caller holds the table's lock.
 */
void metastore_table_remove(struct metastore_table *table, struct metastore_node *node,
			    struct metastore_node __rcu **link)
{
	struct metastore_slot *slot = metastore_slot_of(table, node->hash);
	struct metastore_tree *tree = table_tree_of(slot);

	metastore_table_assert_held(table);
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
 * metastore_position_set() - Set a position to right behind a key, or to the start
 * @pos:	the position
 * @hash:	hash of the key; 0 for the start
 * @key:	bytes of the key
 * @key_len:	number of bytes; 0 for the start
 */
void metastore_position_set(struct metastore_position *pos, u32 hash,
			    const u8 *key, u8 key_len)
{
	pos->order = bitrev32(hash);
	pos->key_len = key_len;
	memcpy(pos->key, key, key_len);
}

/**
 * metastore_position_is_behind() - Check whether a position is past a key
 * @pos:	the position
 * @key:	the key; it need not exist
 *
 * Return: true if the key's place is before @pos.
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

/* Return the order at which the range of the slot that covers @order, of @hash, ends. */
static u64 table_end_of_slot(u64 order, u32 hash, unsigned int nr_slots)
{
	unsigned int bits = order_base_2(nr_slots);

	/* A slot that is not split yet also covers the range of its future half. */
	if (bits && metastore_slot_index(hash | BIT(bits - 1), nr_slots) < BIT(bits - 1))
		bits--;
	return ((order >> (32 - bits)) + 1) << (32 - bits);
}

static bool table_has_prefix(const struct metastore_node *node, const u8 *prefix, u32 prefix_len)
{
	return !prefix_len ||
	       (node->key_len >= prefix_len && !memcmp(node->key, prefix, prefix_len));
}

/*
 * Find the next node behind @pos, of @hash, with a prefix, or the last of METASTORE_CHAIN_MAX
 * without it. A transaction can leave a longer chain, so the search is not left to end by
 * itself.
 */
static struct metastore_node *table_next_in_chain(struct metastore_node *node,
						  const struct metastore_position *pos, u32 hash,
						  const u8 *prefix, u32 prefix_len)
{
	u32 skipped = 0;

	for (; node; node = rcu_dereference_raw(node->next)) {
		if (metastore_node_compare(node, hash, pos->key, pos->key_len) <= 0)
			continue;
		if (table_has_prefix(node, prefix, prefix_len) ||
		    ++skipped == METASTORE_CHAIN_MAX)
			return node;
	}
	return NULL;
}

/**
 * metastore_table_next() - Find the next node in the table's order
 * @table:	the table
 * @pos:	position to search from. Left alone if a node is returned; else moved to
 *		where the search ended.
 * @prefix:	bytes that the node's key begins with
 * @prefix_len:	number of those bytes; 0: any key matches
 *
 * Looks at one slot, and there at METASTORE_CHAIN_MAX nodes, or at one if the slot has a
 * tree. To find all nodes, the caller repeats the call until @pos is at
 * METASTORE_ORDER_END. It can leave its RCU section or release the lock in between.
 *
 * Context: RCU read section, or caller holds the table's lock.
 * Return: the node, or NULL if none of those looked at matches.
 */
struct metastore_node *metastore_table_next(struct metastore_table *table,
					    struct metastore_position *pos,
					    const u8 *prefix, u32 prefix_len)
{
	struct metastore_tree *tree;
	struct metastore_node *node;
	struct metastore_slot *slot;
	unsigned int seq, nr_slots;
	u32 hash = bitrev32(pos->order);

	do {
		seq = read_seqcount_begin(&table->seq);
		tree = NULL;
		node = NULL;
		nr_slots = READ_ONCE(table->nr_slots);
		slot = metastore_slot_of(table, hash);
		if (slot) {
			node = rcu_dereference_raw(slot->first);
			tree = metastore_tree_of(node);
			/* A tree's node may be in another slot's range. */
			node = tree ? metastore_tree_behind(tree, pos) :
				      table_next_in_chain(node, pos, hash, prefix, prefix_len);
		}
	} while (read_seqcount_retry(&table->seq, seq));

	if (!node) {
		pos->order = slot ? table_end_of_slot(pos->order, hash, nr_slots) :
				    METASTORE_ORDER_END;
		pos->key_len = 0;
	} else if (!table_has_prefix(node, prefix, prefix_len)) {
		metastore_position_set(pos, node->hash, node->key, node->key_len);
		node = NULL;
	}
	return node;
}
