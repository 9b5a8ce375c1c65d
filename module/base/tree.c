// SPDX-License-Identifier: GPL-2.0
/*
 * Red-black trees in place of long chains.
 *
 * Users can choose any number of keys that fall into one chain, even keys with equal
 * hashes. Other users' keys in that chain must not pay for the length of it.
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
 * metastore_preload_fill() - Allocate what an insertion needs
 * @preload:	the memory, after metastore_table_has_room(); what it has is kept
 *
 * Context: Process context, may sleep.
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
 * metastore_preload_free() - Free what an insertion did not need
 * @preload:	the memory
 */
void metastore_preload_free(struct metastore_preload *preload)
{
	while (preload->nr)
		kfree(tree_take_node(preload));
	kfree(preload->tree);
	preload->tree = NULL;
}

/* Bytes of a key that its rank includes */
#define RANKED	sizeof(u64)

static_assert(sizeof(struct metastore_tree_node) <= 64);

/* Return the rank of a key. @order is the reversed bits of its hash. */
static struct metastore_rank tree_rank_of(u32 order, const u8 *key, u8 key_len)
{
	__be64 bytes = 0;

	memcpy(&bytes, key, min_t(size_t, key_len, RANKED));
	return (struct metastore_rank) {
		.first = (u64)order << 8 | key_len,
		.then = be64_to_cpu(bytes),
	};
}

/* Like metastore_node_compare(), but rarely dereferences the table's node. */
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

/* Find the place to insert a node whose key is not in the tree. */
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
 * metastore_tree_make() - Make a tree of a chain
 * @preload:	has a tree and enough nodes
 * @first:	first node of the chain, which stays intact
 *
 * Context: Caller holds the table's lock, which keeps the chain as it is. Readers do not
 * see the tree yet.
 * Return: the tree, with one slot's reference.
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
		/* The chain is sorted: each node goes to the right of the previous one. */
		place = last ? &last->rb_right : &tree->root.rb_node;
		rb_link_node(&new->rb, last, place);
		rb_insert_color(&new->rb, &tree->root);
		last = &new->rb;
	}
	return tree;
}

/**
 * metastore_tree_put() - Drop a slot's reference to a tree
 * @tree:	the tree; must be empty when its last slot drops it, which frees it
 *
 * Context: Caller holds the table's lock.
 */
void metastore_tree_put(struct metastore_tree *tree)
{
	if (--tree->nr_slots)
		return;
	WARN_ON_ONCE(!RB_EMPTY_ROOT(&tree->root));
	kfree_rcu(tree, rcu);
}

/**
 * metastore_tree_insert() - Add a node
 * @tree:	the tree
 * @seq:	sequence count of the table
 * @node:	the node, whose key is not in the tree
 * @preload:	has a tree node for it
 *
 * Context: Caller holds the table's lock.
 */
void metastore_tree_insert(struct metastore_tree *tree, seqcount_spinlock_t *seq,
			   struct metastore_node *node, struct metastore_preload *preload)
{
	struct metastore_tree_node *new = tree_take_node(preload);
	struct rb_node **place, *parent, *linked;

	RCU_INIT_POINTER(node->next, NULL);
	tree_fill_node(new, node);
	place = tree_place_of(tree, new, node, &parent);
	/*
	 * Initialize the node before the write section: write_seqcount_begin() orders that
	 * before any link to the node. Pairs with the dependent loads of metastore_tree_link()
	 * and metastore_tree_behind().
	 */
	rb_link_node(&new->rb, parent, &linked);
	write_seqcount_begin(seq);
	WRITE_ONCE(*place, linked);
	rb_insert_color(&new->rb, &tree->root);
	write_seqcount_end(seq);
}

/**
 * metastore_tree_remove() - Remove a node
 * @tree:	the tree
 * @seq:	sequence count of the table
 * @link:	link to the node, from metastore_tree_link()
 *
 * Context: Caller holds the table's lock.
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
 * metastore_tree_link() - Look up the link to a key's node
 * @tree:	the tree
 * @key:	the key
 *
 * Context: RCU read section, or caller holds the table's lock. Without the lock a miss
 * counts only if the table's sequence count did not change.
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
 * metastore_tree_link_to() - Find the link to a node
 * @tree:	the tree
 * @node:	a node of the tree
 *
 * Context: Caller holds the table's lock.
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
 * metastore_tree_find() - Look a key up
 * @tree:	the tree
 * @key:	the key
 *
 * Context: RCU read section, or caller holds the table's lock. Without the lock a miss
 * counts only if the table's sequence count did not change.
 * Return: the node, or NULL.
 */
struct metastore_node *metastore_tree_find(const struct metastore_tree *tree,
					   const struct metastore_key *key)
{
	struct metastore_node __rcu **link = metastore_tree_link(tree, key);

	return link ? rcu_dereference_raw(*link) : NULL;
}

/**
 * metastore_tree_behind() - Find the first node behind a position
 * @tree:	the tree
 * @pos:	the position, not METASTORE_ORDER_END
 *
 * Each call descends from the root: stepping from node to node uses parent pointers,
 * which lockless readers must not follow.
 *
 * Context: RCU read section, or caller holds the table's lock. Without the lock the
 * result counts only if the table's sequence count did not change.
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
