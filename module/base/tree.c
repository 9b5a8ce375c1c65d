// SPDX-License-Identifier: GPL-2.0
/*
 * Trees in place of long chains: any number of keys can be chosen that fall into one
 * chain, even that have one hash, and users of other keys there shall not walk it.
 */
#include <asm/byteorder.h>
#include <linux/bitrev.h>
#include <linux/build_bug.h>
#include <linux/minmax.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "base/table.h"
#include "base/tree.h"
#include "base/types.h"

static struct metastore_tree_node *tree_node(const struct rb_node *rb)
{
	return rb_entry(rb, struct metastore_tree_node, rb);
}

/**
 * metastore_preload_fill - allocate what an insertion was found to need
 * @preload:	the memory; what is there already stays
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_preload_fill(struct metastore_preload *preload)
{
	struct metastore_tree_node *node;

	while (preload->nr < preload->want) {
		node = kmalloc(sizeof(*node), METASTORE_GFP);
		if (!node)
			return -ENOMEM;
		node->rb.rb_right = preload->nodes ? &preload->nodes->rb : NULL;
		preload->nodes = node;
		preload->nr++;
	}
	if (preload->want > 1 && !preload->tree)
		preload->tree = kmalloc(sizeof(*preload->tree), METASTORE_GFP);
	return preload->want > 1 && !preload->tree ? -ENOMEM : 0;
}

static struct metastore_tree_node *tree_take_node(struct metastore_preload *preload)
{
	struct metastore_tree_node *node = preload->nodes;

	preload->nodes = node->rb.rb_right ? tree_node(node->rb.rb_right) : NULL;
	preload->nr--;
	return node;
}

/**
 * metastore_preload_free - free what the insertion did not need
 * @preload:	the memory
 */
void metastore_preload_free(struct metastore_preload *preload)
{
	while (preload->nr)
		kfree(tree_take_node(preload));
	kfree(preload->tree);
	preload->tree = NULL;
}

/* Bytes of a key that are in its rank */
#define RANKED	sizeof(u64)

static_assert(sizeof(struct metastore_tree_node) <= 64);

/* @order: the reversed bits of its hash */
static struct metastore_rank tree_rank_of(u32 order, const u8 *key, u8 key_len)
{
	__be64 bytes = 0;

	memcpy(&bytes, key, min_t(size_t, key_len, RANKED));
	return (struct metastore_rank) {
		.first = (u64)order << 8 | key_len,
		.then = be64_to_cpu(bytes),
	};
}

/* As metastore_node_compare(); mostly without a look at the table's node. */
static __always_inline int tree_compare(const struct metastore_tree_node *at,
					struct metastore_rank rank, const u8 *key, u8 key_len)
{
	if (at->rank.first != rank.first)
		return at->rank.first < rank.first ? -1 : 1;
	if (at->rank.then != rank.then)
		return at->rank.then < rank.then ? -1 : 1;
	if (key_len <= RANKED)
		return 0;
	return metastore_bytes_compare(rcu_dereference_raw(at->node)->key + RANKED,
				       key + RANKED, key_len - RANKED);
}

static void tree_fill_node(struct metastore_tree_node *new, struct metastore_node *node)
{
	new->rank = tree_rank_of(bitrev32(node->hash), node->key, node->key_len);
	RCU_INIT_POINTER(new->node, node);
}

/* Where a node with a key that the tree does not have belongs. */
static struct rb_node **tree_place_of(struct metastore_tree *tree,
				      const struct metastore_tree_node *new,
				      const struct metastore_node *node, struct rb_node **parent)
{
	struct rb_node **place = &tree->root.rb_node;

	*parent = NULL;
	while (*place) {
		*parent = *place;
		place = tree_compare(tree_node(*place), new->rank, node->key, node->key_len) < 0 ?
			&(*place)->rb_right : &(*place)->rb_left;
	}
	return place;
}

/**
 * metastore_tree_make - make a tree of a chain
 * @preload:	has a tree and enough nodes
 * @first:	first node of the chain, which stays as it is
 *
 * Context: any, nobody sees the tree yet.
 * Return: the tree, for one slot.
 */
struct metastore_tree *metastore_tree_make(struct metastore_preload *preload,
					   struct metastore_node *first)
{
	struct metastore_tree *tree = preload->tree;
	struct rb_node **place, *last = NULL;
	struct metastore_tree_node *new;
	struct metastore_node *node;

	preload->tree = NULL;
	tree->root = RB_ROOT;
	tree->nr_slots = 1;
	for (node = first; node; node = rcu_dereference_raw(node->next)) {
		new = tree_take_node(preload);
		tree_fill_node(new, node);
		/* They are sorted: each belongs behind the one before. */
		place = last ? &last->rb_right : &tree->root.rb_node;
		rb_link_node(&new->rb, last, place);
		rb_insert_color(&new->rb, &tree->root);
		last = &new->rb;
	}
	return tree;
}

/**
 * metastore_tree_put - a slot does not refer to a tree any more
 * @tree:	the tree; with its last slot it is freed, and then it must be empty
 *
 * Context: with the table's lock held.
 */
void metastore_tree_put(struct metastore_tree *tree)
{
	if (--tree->nr_slots)
		return;
	WARN_ON_ONCE(!RB_EMPTY_ROOT(&tree->root));
	kfree_rcu(tree, rcu);
}

/**
 * metastore_tree_insert - add a node
 * @tree:	the tree
 * @seq:	the table's
 * @node:	the node, whose key the tree does not have
 * @preload:	has a node for it
 *
 * Context: with the table's lock held.
 */
void metastore_tree_insert(struct metastore_tree *tree, seqcount_spinlock_t *seq,
			   struct metastore_node *node, struct metastore_preload *preload)
{
	struct metastore_tree_node *new = tree_take_node(preload);
	struct rb_node **place, *parent, *linked;

	RCU_INIT_POINTER(node->next, NULL);
	tree_fill_node(new, node);
	place = tree_place_of(tree, new, node, &parent);
	/* Ahead of the section, whose beginning orders it before all that links to it. */
	rb_link_node(&new->rb, parent, &linked);
	write_seqcount_begin(seq);
	WRITE_ONCE(*place, linked);
	rb_insert_color(&new->rb, &tree->root);
	write_seqcount_end(seq);
}

/**
 * metastore_tree_remove - take a node out
 * @tree:	the tree
 * @seq:	the table's
 * @link:	what metastore_tree_link() returned for the node
 *
 * Context: with the table's lock held.
 */
void metastore_tree_remove(struct metastore_tree *tree, seqcount_spinlock_t *seq,
			   struct metastore_node __rcu **link)
{
	struct metastore_tree_node *old = container_of(link, struct metastore_tree_node, node);

	write_seqcount_begin(seq);
	rb_erase(&old->rb, &tree->root);
	write_seqcount_end(seq);
	kfree_rcu(old, rcu);
}

/**
 * metastore_tree_link - look up what leads to a key's node
 * @tree:	the tree
 * @key:	the key
 *
 * Context: under rcu_read_lock(), or with the table's lock held.
 * Return: the link, or NULL.
 */
struct metastore_node __rcu **metastore_tree_link(const struct metastore_tree *tree,
						  const struct metastore_key *key)
{
	struct metastore_rank rank = tree_rank_of(bitrev32(key->hash), key->bytes, key->len);
	const struct rb_node *rb = rcu_dereference_raw(tree->root.rb_node);
	struct metastore_tree_node *at;
	int order;

	while (rb) {
		at = tree_node(rb);
		order = tree_compare(at, rank, key->bytes, key->len);
		if (!order)
			return &at->node;
		rb = rcu_dereference_raw(*(order < 0 ? &rb->rb_right : &rb->rb_left));
	}
	return NULL;
}

/**
 * metastore_tree_link_to - find out what leads to a node
 * @tree:	the tree
 * @node:	a node of it
 *
 * Context: with the table's lock held.
 * Return: the link.
 */
struct metastore_node __rcu **metastore_tree_link_to(const struct metastore_tree *tree,
						     const struct metastore_node *node)
{
	const struct metastore_key key = {
		.bytes = node->key,
		.len = node->key_len,
		.hash = node->hash,
	};

	return metastore_tree_link(tree, &key);
}

/**
 * metastore_tree_find - look a key up
 * @tree:	the tree
 * @key:	the key
 *
 * Context: under rcu_read_lock(), or with the table's lock held. In the first case
 * what is not found may be there all the same, if the table's seqcount changed.
 * Return: the node, or NULL.
 */
struct metastore_node *metastore_tree_find(const struct metastore_tree *tree,
					   const struct metastore_key *key)
{
	struct metastore_node __rcu **link = metastore_tree_link(tree, key);

	return link ? rcu_dereference_raw(*link) : NULL;
}

/**
 * metastore_tree_behind - the first node behind a place
 * @tree:	the tree
 * @pos:	the place, not METASTORE_ORDER_END
 *
 * A descent for each: to go on from a node to the next takes its parents, which are
 * not for readers without the lock.
 *
 * Context: as metastore_tree_find(), whatever it finds.
 * Return: the node, or NULL.
 */
struct metastore_node *metastore_tree_behind(const struct metastore_tree *tree,
					     const struct metastore_position *pos)
{
	struct metastore_rank rank = tree_rank_of(pos->order, pos->key, pos->key_len);
	const struct rb_node *rb = rcu_dereference_raw(tree->root.rb_node);
	struct metastore_tree_node *at, *found = NULL;

	while (rb) {
		at = tree_node(rb);
		if (tree_compare(at, rank, pos->key, pos->key_len) > 0) {
			found = at;
			rb = rcu_dereference_raw(rb->rb_left);
		} else {
			rb = rcu_dereference_raw(rb->rb_right);
		}
	}
	return found ? rcu_dereference_raw(found->node) : NULL;
}
