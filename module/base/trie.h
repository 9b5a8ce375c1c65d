/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TRIE_H
#define METASTORE_TRIE_H

#include <linux/types.h>

/**
 * struct metastore_trie_node - what a trie holds, at the end of a larger object
 * @child:	nodes whose strings go on with a bit that is 0, and 1
 * @bits:	length of @bytes in bits; of a member a multiple of 8
 * @byte:	where the bit is by which to go on: in which byte,
 * @shift:	and how many bits are below it
 * @fork:	no member, only there because strings part here
 * @bytes:	the string, the last byte filled up with anything
 *
 * All but @child and @fork never change.
 */
struct metastore_trie_node {
	struct metastore_trie_node __rcu *child[2];
	u16 bits;
	u8 byte;
	u8 shift;
	bool fork;
	u8 bytes[];
};

/**
 * struct metastore_trie - a set of strings, for finding all that begin another
 * @root:	its shortest node, or NULL
 *
 * A Patricia trie: the way from the root to a node passes all nodes whose strings
 * begin that node's, and only the bits at which strings part are looked at. So a
 * search costs by what it finds and by the forks on the way, not by how many
 * strings there are, nor by how many lengths they have.
 *
 * Writers take turns by a lock of the user's. Readers need none, as long as the
 * user sees to it that nodes taken out stay until they are done.
 */
struct metastore_trie {
	struct metastore_trie_node __rcu *root;
};

/**
 * struct metastore_trie_match - a search for all members that begin a string
 * @bytes:	the string
 * @len:	its length in bytes
 * @next:	the node to look at next, or NULL
 */
struct metastore_trie_match {
	const u8 *bytes;
	u32 len;
	struct metastore_trie_node *next;
};

void metastore_trie_node_init(struct metastore_trie_node *node, const u8 *bytes,
			      u32 len);
struct metastore_trie_node *metastore_trie_find(const struct metastore_trie *trie,
						const u8 *bytes, u32 len);
struct metastore_trie_node *metastore_trie_insert(struct metastore_trie *trie,
						  struct metastore_trie_node *new,
						  struct metastore_trie_node **fork);
void metastore_trie_remove(struct metastore_trie *trie,
			   struct metastore_trie_node *node,
			   struct metastore_trie_node *gone[2]);
void metastore_trie_match(const struct metastore_trie *trie, const u8 *bytes, u32 len,
			  struct metastore_trie_match *match);
struct metastore_trie_node *metastore_trie_next(struct metastore_trie_match *match);
struct metastore_trie_node *metastore_trie_under(const struct metastore_trie *trie,
						 const u8 *bytes, u32 len);

#endif /* METASTORE_TRIE_H */
