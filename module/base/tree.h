/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TREE_H
#define METASTORE_TREE_H

#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/seqlock.h>
#include <linux/types.h>

struct metastore_key;
struct metastore_node;
struct metastore_position;

/**
 * struct metastore_rank - start of a key's sort key in the table's order
 * @first:	reversed hash, then the key's length
 * @then:	first bytes of the key, big-endian
 *
 * Keys of equal rank may still differ in their further bytes.
 */
struct metastore_rank {
	u64 first;
	u64 then;
};

/**
 * struct metastore_tree_node - tree node that refers to a table's node
 * @rb:		links in the tree. Written under the table's lock, in a write section of
 *		its seqcount.
 * @rank:	rank of the key; spares a descent most looks at @node. Immutable.
 * @node:	the table's node; can be replaced by one with the same key. Written under
 *		the table's lock.
 * @rcu:	for freeing
 *
 * Separate from the table's node, since almost no value ever needs these links. It fills
 * kmalloc()'s 64-byte size class.
 */
struct metastore_tree_node {
	struct rb_node rb;
	struct metastore_rank rank;
	struct metastore_node __rcu *node;
	struct rcu_head rcu;
};

/**
 * struct metastore_tree - red-black tree in place of a long chain, in the table's order
 * @root:	root of the &struct metastore_tree_node
 * @nr_slots:	number of slots that refer to the tree; the last one to drop it frees it.
 *		Protected by the table's lock.
 * @rcu:	for freeing
 *
 * Writers hold the table's lock. Readers need no lock, see the notes on lockless lookups
 * in the kernel's lib/rbtree.c: a descent terminates and a match is right, but a
 * concurrent rotation can make it miss a node. So writers change the tree in a write
 * section of the table's seqcount, and a reader retries a miss, as with a chain.
 */
struct metastore_tree {
	struct rb_root root;
	unsigned int nr_slots;
	struct rcu_head rcu;
};

/**
 * struct metastore_preload - memory for one insertion, preallocated without the lock
 * @tree:	a tree, or NULL
 * @nodes:	tree nodes, linked by rb.rb_right
 * @nr:		number of @nodes
 * @want:	number of nodes that metastore_preload_fill() provides. Set by
 *		metastore_table_has_room(). If it is above 1, a tree is needed as well.
 *
 * Zeroed initially.
 */
struct metastore_preload {
	struct metastore_tree *tree;
	struct metastore_tree_node *nodes;
	unsigned int nr;
	unsigned int want;
};

int metastore_preload_fill(struct metastore_preload *preload);
void metastore_preload_free(struct metastore_preload *preload);

struct metastore_tree *metastore_tree_make(struct metastore_preload *preload,
					   struct metastore_node *first);
void metastore_tree_put(struct metastore_tree *tree);
void metastore_tree_insert(struct metastore_tree *tree, seqcount_spinlock_t *seq,
			   struct metastore_node *node, struct metastore_preload *preload);
void metastore_tree_remove(struct metastore_tree *tree, seqcount_spinlock_t *seq,
			   struct metastore_node __rcu **link);
struct metastore_node __rcu **metastore_tree_link(const struct metastore_tree *tree,
						  const struct metastore_key *key);
struct metastore_node __rcu **metastore_tree_link_to(const struct metastore_tree *tree,
						     const struct metastore_node *node);
struct metastore_node *metastore_tree_find(const struct metastore_tree *tree,
					   const struct metastore_key *key);
struct metastore_node *metastore_tree_behind(const struct metastore_tree *tree,
					     const struct metastore_position *pos);

/* Nodes and trees have even addresses: bit 0 of a slot's pointer marks a tree. */
#define METASTORE_IS_TREE	1UL

/* Return the tree of a slot's pointer, or NULL if that is a chain or empty. */
static __always_inline struct metastore_tree *
metastore_tree_of(const struct metastore_node *first)
{
	unsigned long address = (unsigned long)first;

	if (likely(!(address & METASTORE_IS_TREE)))
		return NULL;
	return (struct metastore_tree *)(address - METASTORE_IS_TREE);
}

/* Return a slot's tagged pointer to a tree. */
static inline struct metastore_node *metastore_tree_as_first(struct metastore_tree *tree)
{
	return (struct metastore_node *)((unsigned long)tree | METASTORE_IS_TREE);
}

#endif /* METASTORE_TREE_H */
