// SPDX-License-Identifier: GPL-2.0
/*
 * A set of strings that finds all members that are a prefix of a given string.
 *
 * See struct metastore_trie for its structure and its concurrency rules.
 */
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "base/trie.h"

static u32 trie_bit_at(const u8 *bytes, u32 nth)
{
	return bytes[nth / 8] >> (7 - nth % 8) & 1;
}

/* The trie's user protects readers, see struct metastore_trie. */
static struct metastore_trie_node *trie_follow(struct metastore_trie_node __rcu *const *link)
{
	return rcu_dereference_raw(*link);
}

/* Return the length in bits, up to @max, of the common start of two strings. */
static u32 trie_common_bits(const u8 *a, const u8 *b, u32 max)
{
	u32 bits = 0;

	while (bits + 8 <= max && a[bits / 8] == b[bits / 8])
		bits += 8;
	while (bits < max && trie_bit_at(a, bits) == trie_bit_at(b, bits))
		bits++;
	return bits;
}

static void trie_set_bits(struct metastore_trie_node *node, u32 bits)
{
	node->bits = bits;
	node->byte = bits / 8;
	node->shift = 7 - bits % 8;
}

/**
 * metastore_trie_node_init() - Initialize a node that is in no trie yet
 * @node:	the node, with room for @len bytes
 * @bytes:	the string
 * @len:	its length in bytes, at most 255
 */
void metastore_trie_node_init(struct metastore_trie_node *node, const u8 *bytes,
			      u32 len)
{
	RCU_INIT_POINTER(node->child[0], NULL);
	RCU_INIT_POINTER(node->child[1], NULL);
	trie_set_bits(node, 8 * len);
	node->fork = false;
	memcpy(node->bytes, bytes, len);
}

/**
 * metastore_trie_find() - Look a string up
 * @trie:	the trie
 * @bytes:	the string
 * @len:	its length in bytes
 *
 * Context: Caller holds the writers' lock.
 * Return: the member that equals the string, or NULL.
 */
struct metastore_trie_node *metastore_trie_find(const struct metastore_trie *trie,
						const u8 *bytes, u32 len)
{
	struct metastore_trie_node *node = trie_follow(&trie->root);

	while (node && node->bits < 8 * len)
		node = trie_follow(&node->child[trie_bit_at(bytes, node->bits)]);
	if (!node || node->bits != 8 * len || node->fork ||
	    memcmp(node->bytes, bytes, len))
		return NULL;
	return node;
}

/*
 * Return how many bits a new string has in common with the trie. Its common start with
 * the node at which a search ends covers every node on the path there.
 */
static u32 trie_common_with(const struct metastore_trie *trie,
			    const struct metastore_trie_node *new)
{
	struct metastore_trie_node *node = trie_follow(&trie->root);
	struct metastore_trie_node *next;

	if (!node)
		return 0;
	while (node->bits < new->bits &&
	       (next = trie_follow(&node->child[trie_bit_at(new->bytes, node->bits)])))
		node = next;
	return trie_common_bits(node->bytes, new->bytes, min(node->bits, new->bits));
}

static void trie_make_fork(struct metastore_trie_node *fork,
			   const struct metastore_trie_node *like, u32 bits)
{
	metastore_trie_node_init(fork, like->bytes, DIV_ROUND_UP(bits, 8));
	trie_set_bits(fork, bits);
	fork->fork = true;
}

static void trie_adopt(struct metastore_trie_node *parent, struct metastore_trie_node *node)
{
	RCU_INIT_POINTER(parent->child[trie_bit_at(node->bytes, parent->bits)], node);
}

/**
 * metastore_trie_insert() - Add a string
 * @trie:	the trie, which does not have the string as a member
 * @new:	node with the string, after metastore_trie_node_init()
 * @fork:	preallocated node with room for as many bytes; set to NULL if it was used
 *
 * Context: Caller holds the writers' lock.
 * Return: the node that @new replaced, to be freed once no reader can use it, or NULL.
 */
struct metastore_trie_node *metastore_trie_insert(struct metastore_trie *trie,
						  struct metastore_trie_node *new,
						  struct metastore_trie_node **fork)
{
	u32 common = trie_common_with(trie, new);
	struct metastore_trie_node __rcu **link = &trie->root;
	struct metastore_trie_node *node, *parent;

	while ((node = trie_follow(link)) && node->bits <= common && node->bits < new->bits)
		link = &node->child[trie_bit_at(new->bytes, node->bits)];

	if (node && node->bits == common && common == new->bits) {
		/* Replace a fork at the same place. */
		RCU_INIT_POINTER(new->child[0], trie_follow(&node->child[0]));
		RCU_INIT_POINTER(new->child[1], trie_follow(&node->child[1]));
		rcu_assign_pointer(*link, new);
		return node;
	}
	parent = new;
	if (node && common < new->bits) {
		parent = *fork;
		*fork = NULL;
		trie_make_fork(parent, new, common);
		trie_adopt(parent, new);
	}
	if (node)
		trie_adopt(parent, node);
	rcu_assign_pointer(*link, parent);
	return NULL;
}

/* Return the child of a node that has at most one, or NULL. */
static struct metastore_trie_node *trie_only_child(const struct metastore_trie_node *node)
{
	return trie_follow(&node->child[0]) ?: trie_follow(&node->child[1]);
}

/**
 * metastore_trie_remove() - Remove a member
 * @trie:	the trie
 * @node:	the member; stays as a fork if two children need it
 * @gone:	set to the removed nodes, at most two, to be freed once no reader can use
 *		them; unused entries are NULL
 *
 * Context: Caller holds the writers' lock.
 */
void metastore_trie_remove(struct metastore_trie *trie,
			   struct metastore_trie_node *node,
			   struct metastore_trie_node *gone[2])
{
	struct metastore_trie_node __rcu **link = &trie->root;
	struct metastore_trie_node __rcu **parent_link = NULL;
	struct metastore_trie_node *at, *parent = NULL;

	gone[0] = NULL;
	gone[1] = NULL;
	if (trie_follow(&node->child[0]) && trie_follow(&node->child[1])) {
		WRITE_ONCE(node->fork, true);
		return;
	}
	while ((at = trie_follow(link)) != node) {
		parent_link = link;
		parent = at;
		link = &at->child[trie_bit_at(node->bytes, at->bits)];
	}
	rcu_assign_pointer(*link, trie_only_child(node));
	gone[0] = node;
	if (!parent || !parent->fork || trie_follow(link))
		return;
	rcu_assign_pointer(*parent_link, trie_only_child(parent));
	gone[1] = parent;
}

/**
 * metastore_trie_match() - Start a search for all members that are a prefix of a string
 * @trie:	the trie
 * @bytes:	the string, which must stay valid as long as @match
 * @len:	its length in bytes
 * @match:	set to the search
 */
void metastore_trie_match(const struct metastore_trie *trie, const u8 *bytes, u32 len,
			  struct metastore_trie_match *match)
{
	match->bytes = bytes;
	match->len = len;
	match->next = trie_follow(&trie->root);
}

/**
 * metastore_trie_next() - Continue a search
 * @match:	the search
 *
 * The search finds every member that is present from its start to its end, the shortest
 * first.
 *
 * Return: the next member, or NULL.
 */
struct metastore_trie_node *metastore_trie_next(struct metastore_trie_match *match)
{
	struct metastore_trie_node *node = match->next;
	const u8 *bytes = match->bytes;

	while (node && READ_ONCE(node->fork))
		node = node->byte < match->len ?
		       trie_follow(&node->child[bytes[node->byte] >> node->shift & 1]) : NULL;
	match->next = NULL;
	/* If the node's string differs, so do those of all nodes below it. */
	if (!node || node->byte > match->len || memcmp(node->bytes, bytes, node->byte))
		return NULL;
	if (node->byte < match->len)
		match->next = trie_follow(&node->child[bytes[node->byte] >> node->shift & 1]);
	return node;
}

/**
 * metastore_trie_under() - Find any member that begins with a string
 * @trie:	the trie
 * @bytes:	the string
 * @len:	its length in bytes
 *
 * Context: Caller holds the writers' lock.
 * Return: the member, or NULL if there is none.
 */
struct metastore_trie_node *metastore_trie_under(const struct metastore_trie *trie,
						 const u8 *bytes, u32 len)
{
	struct metastore_trie_node *node = trie_follow(&trie->root);

	while (node && node->bits < 8 * len)
		node = trie_follow(&node->child[trie_bit_at(bytes, node->bits)]);
	if (!node || memcmp(node->bytes, bytes, len))
		return NULL;
	/* A fork has two children. */
	while (node->fork)
		node = trie_follow(&node->child[0]);
	return node;
}
