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
 * struct metastore_key - key to look up
 * @bytes:	bytes of the key, owned by the creator of this structure
 * @len:	number of @bytes, 1 to METASTORE_KEY_MAX, for a prefix also 0
 * @hash:	selects the slot in the tables of @bucket; users can choose it
 * @bucket:	bucket of the key; NULL if this is a prefix
 */
struct metastore_key {
	const u8 *bytes;
	u32 len;
	u32 hash;
	struct metastore_bucket *bucket;
};

/**
 * struct metastore_key_buffer - key with room for its bytes
 * @key:	the key; its bytes are in @bytes, or in a value made from it
 * @bytes:	room for the bytes
 */
struct metastore_key_buffer {
	struct metastore_key key;
	u8 bytes[METASTORE_KEY_MAX];
};

/**
 * struct metastore_node - node of a table, the last member of a larger object
 * @next:	next node of the chain. Written under the table's lock.
 * @hash:	as in &struct metastore_key
 * @group:	for the larger object's use; placed here to fill a hole
 * @class:	likewise
 * @key_len:	length of @key in bytes
 * @key:	bytes of the key
 *
 * All but @next are immutable.
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
 * struct metastore_slot - nodes of one range of a table's order
 * @first:	first node of a chain, or a tagged &struct metastore_tree, see
 *		metastore_tree_of(). Written under the table's lock.
 */
struct metastore_slot {
	struct metastore_node __rcu *first;
};

/**
 * METASTORE_CHAIN_MAX - greatest length of a chain
 *
 * One more node turns the chain into a tree. Only a transaction can exceed the limit,
 * since it preallocates before it knows how many nodes it adds to one chain: by up to
 * METASTORE_ATOMIC_MAX - 1. The next insertion turns such a chain into a tree.
 */
#define METASTORE_CHAIN_MAX	16

/**
 * struct metastore_table - hash table that grows and shrinks slot by slot
 * @slots:	chains and trees; the first @nr_slots are in use
 * @seq:	sequence count; changes while a chain is cut, joined or turned into a tree,
 *		and while a tree changes
 * @nr_ready:	number of slots known to have memory. Written without a lock, see
 *		metastore_table_allocate().
 * @nr_slots:	number of slots; 0 before the first insertion. Written under the table's
 *		lock.
 * @nr_nodes:	number of nodes. Written under the table's lock.
 *
 * Nodes have a fixed order: by the reversed bits of their hash, then by key length and
 * bytes. Each slot is one range of that order, and its chain is sorted.
 *
 * Linear hashing: when there are more nodes than slots, one more slot comes into use. It
 * takes the second half of an earlier slot's range, so that slot's chain is cut in two.
 * When there are few nodes, the last slot's chain is appended to the one it was cut from.
 * The slot's memory stays with the table for the next growth. So a change costs at most a
 * few chains' work, however large the table is.
 *
 * Users can choose hashes: BUCKET shows bits of them, which give the seed away. So a
 * chain of more than METASTORE_CHAIN_MAX nodes becomes a tree. A tree is not cut: the new
 * slot shares it with the earlier one. All slots in a tree's range refer to it until it
 * is empty. An empty tree stays empty: each slot drops it on its next change, and has a
 * chain again.
 *
 * Two slots are not merged if that would need memory for a tree: removals allocate
 * nothing. The table keeps its slots instead, whose memory it would keep anyway. So a
 * writer that leaves 17 keys there makes LIST look at as many empty slots as there once
 * were keys.
 *
 * Lookups need no lock. One that races with a cut or with a change of a tree may miss its
 * node. So a miss counts only if @seq did not change.
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
 * struct metastore_position - place between two nodes in a table's order
 * @order:	reversed bits of the hash; METASTORE_ORDER_END: behind all nodes
 * @key_len:	length of @key in bytes; 0: before all nodes of that order
 * @key:	bytes of a key; a node of that order with this key is before the place
 */
struct metastore_position {
	u64 order;
	u8 key_len;
	u8 key[METASTORE_KEY_MAX];
};

/* Compare two keys of one store for equality, after metastore_store_locate(). */
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

/* Check that the table's lock is held; its sequence count knows which one that is. */
static __always_inline void metastore_table_assert_held(const struct metastore_table *table)
{
	seqprop_assert(&table->seq);
}

/* A table shrinks when it has more than this many times as many slots as nodes. */
#define METASTORE_SPARSE	4

static inline bool metastore_table_is_sparse(const struct metastore_table *table)
{
	return table->nr_slots > 1 && table->nr_nodes < table->nr_slots / METASTORE_SPARSE;
}

/**
 * metastore_table_shrink() - Give up slots that the table no longer needs
 * @table:	the table
 *
 * Separate from metastore_table_remove(): merging slots can take away the room that
 * metastore_table_has_room() found for a node.
 *
 * Context: Caller holds the table's lock.
 */
static inline void metastore_table_shrink(struct metastore_table *table)
{
	metastore_table_assert_held(table);
	if (unlikely(metastore_table_is_sparse(table)))
		metastore_table_merge(table);
}

/* Low bits of the hash select the slot. If it is not in use yet, use one bit less. */
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
 * metastore_table_prepare() - Preallocate what the next insertion may need
 * @table:	the table
 *
 * To be called without the lock before metastore_table_insert(). Only the first slot is
 * essential. If there is no memory for a further one, the table keeps its size and its
 * chains grow longer.
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
static inline int metastore_table_prepare(struct metastore_table *table)
{
	unsigned int nr_slots = READ_ONCE(table->nr_slots);

	/*
	 * Pairs with smp_store_release() in metastore_table_allocate(): the memory of the
	 * slots counted is visible.
	 */
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
 * Return less than, equal to or greater than 0 if a node is before, at or behind a key in
 * the order of tables. The lowest bit in which two hashes differ is the highest one of
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
 * metastore_table_find() - Look a key up
 * @table:	the table
 * @key:	the key
 *
 * Context: RCU read section, or caller holds the table's lock.
 * Return: the node, valid as long as that context lasts, or NULL.
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
 * metastore_table_link() - Look up the link to a key's node
 * @table:	the table
 * @key:	the key
 *
 * Context: Caller holds the table's lock.
 * Return: the link, valid until the table changes, or NULL if there is no such node.
 */
static __always_inline struct metastore_node __rcu **
metastore_table_link(struct metastore_table *table, const struct metastore_key *key)
{
	struct metastore_slot *slot = metastore_slot_of(table, key->hash);
	struct metastore_node __rcu **link;
	struct metastore_tree *tree;
	struct metastore_node *node;

	metastore_table_assert_held(table);
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
 * metastore_table_replace_at() - Replace a node by one with the same key
 * @link:	link to the old node; readers may use that until their RCU section ends
 * @new:	the new node
 *
 * Context: Caller holds the table's lock.
 */
static inline void metastore_table_replace_at(struct metastore_node __rcu **link,
					      struct metastore_node *new)
{
	/* NULL for a node in a tree. */
	RCU_INIT_POINTER(new->next, rcu_dereference_raw(rcu_dereference_raw(*link)->next));
	rcu_assign_pointer(*link, new);
}

#endif /* METASTORE_TABLE_H */
