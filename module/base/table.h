/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TABLE_H
#define METASTORE_TABLE_H

#include <linux/bitops.h>
#include <linux/generic-radix-tree.h>
#include <linux/rcupdate.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/types.h>

#include <linux/metastore.h>

#include "base/tree.h"
#include "base/types.h"

struct metastore_bucket;

/**
 * struct metastore_key - a key to be looked up
 * @bytes:	its bytes, owned by whoever made this
 * @len:	their number, 1 to METASTORE_KEY_MAX
 * @hash:	picks the slot in the tables of @bucket; others can choose it
 * @bucket:	the bucket it falls in
 */
struct metastore_key {
	const u8 *bytes;
	u32 len;
	u32 hash;
	struct metastore_bucket *bucket;
};

/**
 * struct metastore_key_buffer - a key with its bytes
 * @key:	the key; its bytes are in @bytes, or in a value made of it
 * @bytes:	room for them
 */
struct metastore_key_buffer {
	struct metastore_key key;
	u8 bytes[METASTORE_KEY_MAX];
};

/**
 * struct metastore_node - what a table holds, at the end of a larger object
 * @next:	next node of the chain
 * @hash:	as in struct metastore_key
 * @group:	the larger object's; here, where there is room
 * @class:	likewise
 * @key_len:	length of @key in bytes
 * @key:	bytes of the key
 *
 * All but @next never change.
 */
struct metastore_node {
	struct metastore_node __rcu *next;
	u32 hash;
	u16 group;
	u8 class;
	u8 key_len;
	u8 key[];
};

/**
 * struct metastore_slot - the nodes of one range of a table's order
 * @first:	first node of a chain; or a struct metastore_tree, see
 *		metastore_tree_of()
 */
struct metastore_slot {
	struct metastore_node __rcu *first;
};

/**
 * METASTORE_CHAIN_MAX - nodes of the longest chain
 *
 * With one more it becomes a tree. Only a transaction, which allocates before it knows
 * what it adds to a chain, may leave it longer by what that is; the next node that comes
 * makes a tree of it.
 */
#define METASTORE_CHAIN_MAX	16

/**
 * struct metastore_table - hash table that grows and shrinks slot by slot
 * @slots:	chains and trees; the first @nr_slots are in use
 * @seq:	changes while a chain is cut or joined or becomes a tree, and while a tree
 *		changes
 * @nr_ready:	how many there is memory for
 * @nr_slots:	number of slots, 0 before the first insertion
 * @nr_nodes:	number of nodes
 *
 * Nodes have an order that never changes: by the reversed bits of their hash,
 * then by key. In it each slot is one range, and its chain is sorted.
 *
 * Linear hashing: when there are more nodes than slots, one more slot comes into
 * use, with the second half of an earlier one's range: that chain is cut in two.
 * When there are few, the last slot's chain goes back to the end of the one it
 * was cut from; its memory stays with the table for when it grows again. So no
 * change does more than a few chains' worth of work however
 * large the table is.
 *
 * Hashes can be chosen: BUCKET shows bits of them, from which the seed is found. So a
 * chain with more than METASTORE_CHAIN_MAX nodes becomes a tree. That is not cut: the
 * new slot shares it with the earlier one. All slots of a tree's range have that tree,
 * until it is empty. Then it is empty for good: each of them lets it go, and has a
 * chain again, when it is next to change.
 *
 * Two slots do not become one if that took a tree, for whose memory nobody can be asked
 * then: the table keeps its slots. Their memory it would keep anyway. So a writer that
 * leaves 17 keys there makes LIST look at as many empty slots as there once were keys.
 *
 * Look-ups need no lock. One that meets a cut, or a change of a tree, may end without
 * the node it wanted, so what was not found counts only if @seq did not change.
 */
struct metastore_table {
	GENRADIX(struct metastore_slot)
		slots;
	seqcount_spinlock_t seq;
	unsigned int nr_ready;
	unsigned int nr_slots;
	unsigned int nr_nodes;
};

/** METASTORE_ORDER_END - order of the position behind all nodes */
#define METASTORE_ORDER_END	BIT_ULL(32)

/**
 * struct metastore_position - a place between two nodes in a table's order
 * @order:	reversed bits of the hash; METASTORE_ORDER_END: behind all nodes
 * @key_len:	length of @key in bytes; 0: before all nodes of that order
 * @key:	the node of that order and this key is before the place
 */
struct metastore_position {
	u64 order;
	u8 key_len;
	u8 key[METASTORE_KEY_MAX];
};

/* Are two keys of a store, after metastore_store_locate(), the same? */
static inline bool metastore_key_equal(const struct metastore_key *a,
				       const struct metastore_key *b)
{
	return a->hash == b->hash && a->len == b->len &&
	       metastore_bytes_equal(a->bytes, b->bytes, a->len);
}

void metastore_table_init(struct metastore_table *table, spinlock_t *lock);
void metastore_table_destroy(struct metastore_table *table);
int metastore_table_allocate(struct metastore_table *table);
bool metastore_table_has_room(struct metastore_table *table, u32 hash,
			      struct metastore_preload *preload);
void metastore_table_insert(struct metastore_table *table, struct metastore_node *node,
			    struct metastore_preload *preload);
void metastore_table_replace(struct metastore_table *table,
			     struct metastore_node *old,
			     struct metastore_node *new);
void metastore_table_remove(struct metastore_table *table, struct metastore_node *node,
			    struct metastore_node __rcu **link);
void metastore_table_merge(struct metastore_table *table);
struct metastore_node *metastore_table_next(struct metastore_table *table,
					    struct metastore_position *pos,
					    const u8 *prefix, u32 prefix_len);
void metastore_position_set(struct metastore_position *pos, u32 hash,
			    const u8 *key, u8 key_len);
bool metastore_position_is_behind(const struct metastore_position *pos,
				  const struct metastore_key *key);

/* A table has up to this many times as many slots as nodes before it shrinks. */
#define METASTORE_SPARSE	4

static inline bool metastore_table_is_sparse(const struct metastore_table *table)
{
	return table->nr_slots > 1 && table->nr_nodes < table->nr_slots / METASTORE_SPARSE;
}

/**
 * metastore_table_shrink - give slots up that the table does not need any more
 * @table:	the table
 *
 * Not done by metastore_table_remove(): where there is room for a node there may be
 * none once slots became one.
 *
 * Context: with the table's lock held.
 */
static inline void metastore_table_shrink(struct metastore_table *table)
{
	if (unlikely(metastore_table_is_sparse(table)))
		metastore_table_merge(table);
}

/* Low bits of the hash pick the slot; where that one is not yet, one bit less. */
static __always_inline unsigned int metastore_slot_index(u32 hash, unsigned int nr_slots)
{
	unsigned int mask = (2UL << __fls(nr_slots)) - 1;
	unsigned int index = hash & mask;

	return index < nr_slots ? index : index & (mask >> 1);
}

static __always_inline struct metastore_slot *
metastore_slot_of(struct metastore_table *table, u32 hash)
{
	unsigned int nr_slots = READ_ONCE(table->nr_slots);

	if (!nr_slots)
		return NULL;
	return genradix_ptr(&table->slots, metastore_slot_index(hash, nr_slots));
}

/**
 * metastore_table_prepare - allocate what the next insertion may need
 * @table:	the table
 *
 * To be called without the lock before metastore_table_insert().
 * Only the very first slot must be had; without a further one the table stays
 * as it is, and its chains grow longer.
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
static inline int metastore_table_prepare(struct metastore_table *table)
{
	unsigned int nr_slots = READ_ONCE(table->nr_slots);

	/* What was allocated is seen by who sees that it was. */
	if (likely(nr_slots < smp_load_acquire(&table->nr_ready)) ||
	    (nr_slots && READ_ONCE(table->nr_nodes) < nr_slots))
		return 0;
	return metastore_table_allocate(table);
}

static __always_inline bool metastore_node_has_key(const struct metastore_node *node,
						   const struct metastore_key *key)
{
	return node->hash == key->hash && node->key_len == key->len &&
	       metastore_bytes_equal(node->key, key->bytes, key->len);
}

/*
 * Less than, equal to or greater than 0, as a node is before, at or behind that key in
 * the order of tables. The lowest bit in which two hashes differ is the first one of
 * their reversed bits.
 */
static inline int metastore_node_compare(const struct metastore_node *node, u32 hash,
					 const u8 *key, u8 key_len)
{
	u32 differ = node->hash ^ hash;

	if (differ)
		return hash & differ & -differ ? -1 : 1;
	if (node->key_len != key_len)
		return node->key_len - key_len;
	return metastore_bytes_compare(node->key, key, key_len);
}

static __always_inline struct metastore_node *
metastore_find_in_slot(struct metastore_table *table, const struct metastore_key *key)
{
	struct metastore_slot *slot = metastore_slot_of(table, key->hash);
	struct metastore_tree *tree;
	struct metastore_node *node;

	if (!slot)
		return NULL;
	node = rcu_dereference_raw(slot->first);
	tree = metastore_tree_of(node);
	if (unlikely(tree))
		return metastore_tree_find(tree, key);
	for (; node; node = rcu_dereference_raw(node->next))
		if (metastore_node_has_key(node, key))
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
static __always_inline struct metastore_node *
metastore_table_find(struct metastore_table *table, const struct metastore_key *key)
{
	struct metastore_node *node;
	unsigned int seq;

	do {
		seq = read_seqcount_begin(&table->seq);
		node = metastore_find_in_slot(table, key);
	} while (!node && read_seqcount_retry(&table->seq, seq));
	return node;
}

/**
 * metastore_table_link - look up what leads to a key's node
 * @table:	the table
 * @key:	the key
 *
 * Context: with the table's lock held.
 * Return: the link, good until the table is changed, or NULL if there is no such node.
 */
static __always_inline struct metastore_node __rcu **
metastore_table_link(struct metastore_table *table, const struct metastore_key *key)
{
	struct metastore_slot *slot = metastore_slot_of(table, key->hash);
	struct metastore_node __rcu **link;
	struct metastore_tree *tree;
	struct metastore_node *node;

	if (!slot)
		return NULL;
	link = &slot->first;
	node = rcu_dereference_raw(*link);
	tree = metastore_tree_of(node);
	if (unlikely(tree))
		return metastore_tree_link(tree, key);
	for (; node; link = &node->next, node = rcu_dereference_raw(*link))
		if (metastore_node_has_key(node, key))
			return link;
	return NULL;
}

/**
 * metastore_table_replace_at - put a node in another's place
 * @link:	leads to the other one, which has the same key; readers may still be on
 *		that until they are done with their RCU section
 * @new:	the node
 *
 * Context: with the table's lock held.
 */
static inline void metastore_table_replace_at(struct metastore_node __rcu **link,
					      struct metastore_node *new)
{
	/* Of a tree's node that is NULL. */
	RCU_INIT_POINTER(new->next, rcu_dereference_raw(rcu_dereference_raw(*link)->next));
	rcu_assign_pointer(*link, new);
}

#endif /* METASTORE_TABLE_H */
