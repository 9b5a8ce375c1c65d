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
 * struct metastore_rank - a key's place in the table's order, as far as two numbers tell
 * @first:	reversed hash, and length
 * @then:	the first bytes
 */
struct metastore_rank {
	u64 first;
	u64 then;
};

/**
 * struct metastore_tree_node - what holds a table's node in a tree
 * @rb:		in the tree
 * @rank:	of the key, so that a descent needs to look at few keys; never changes
 * @node:	the table's node; one with the same key may take its place
 * @rcu:	for freeing
 *
 * Apart from the table's node, so that values have no room for links that
 * next to none of them ever needs. It fills the 64 bytes that kmalloc() has for it.
 */
struct metastore_tree_node {
	struct rb_node rb;
	struct metastore_rank rank;
	struct metastore_node __rcu *node;
	struct rcu_head rcu;
};

/**
 * struct metastore_tree - nodes of a table in place of a chain, in the table's order
 * @root:	struct metastore_tree_node
 * @nr_slots:	how many slots refer to it; with the last one it goes
 * @rcu:	for freeing
 *
 * Changes are made with the table's lock held. Readers need none, see the notes
 * on lockless lookups in the kernel's lib/rbtree.c: a descent ends, and what it
 * finds is right, but beside a rotation it may miss a node. So changes are made
 * in a write section of the table's seqcount, and a reader that missed looks
 * again, as where a chain is cut.
 */
struct metastore_tree {
	struct rb_root root;
	unsigned int nr_slots;
	struct rcu_head rcu;
};

/**
 * struct metastore_preload - memory for one insertion, allocated without the lock
 * @tree:	a tree, or NULL
 * @nodes:	nodes, linked by rb.rb_right
 * @nr:		number of @nodes
 * @want:	how many nodes metastore_preload_fill() shall see to, by the last verdict of
 *		metastore_table_has_room(); if more than one, a tree as well
 *
 * All 0 in the beginning.
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

/* Nodes and trees are at even addresses: bit 0 of a slot says which of them it has. */
#define METASTORE_IS_TREE	1UL

/* The tree of a slot, if it has one and no chain, or NULL. */
static __always_inline struct metastore_tree *
metastore_tree_of(const struct metastore_node *first)
{
	unsigned long address = (unsigned long)first;

	if (likely(!(address & METASTORE_IS_TREE)))
		return NULL;
	return (struct metastore_tree *)(address - METASTORE_IS_TREE);
}

/* The tagged pointer of a slot that has a tree. */
static inline struct metastore_node *metastore_tree_as_first(struct metastore_tree *tree)
{
	return (struct metastore_node *)((unsigned long)tree | METASTORE_IS_TREE);
}

#endif /* METASTORE_TREE_H */
