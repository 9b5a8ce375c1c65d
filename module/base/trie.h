/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TRIE_H
#define METASTORE_TRIE_H

#include <linux/types.h>

/**
 * struct metastore_trie_node - node of a trie, the last member of a larger object
 * @child:	nodes whose strings continue with bit 0 and with bit 1. Written under the
 *		writers' lock.
 * @bits:	length of @bytes in bits; a multiple of 8 unless @fork
 * @byte:	index of the byte with the bit that selects the child
 * @shift:	number of bits below it in that byte
 * @fork:	whether the node is no member, but only the place where strings part.
 *		Written under the writers' lock.
 * @bytes:	the string; in the last byte, bits beyond @bits are undefined
 *
 * All but @child and @fork are immutable.
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
 * struct metastore_trie - set of strings, searched for all prefixes of a string
 * @root:	node with the shortest string, or NULL. Written under the writers' lock.
 *
 * A Patricia trie. The path from the root to a node passes every node whose string is a
 * prefix of that node's. A search looks only at the bits at which strings part. So its
 * cost depends on its matches and the forks on its path, not on the number of strings
 * or of their lengths.
 *
 * The trie's user serializes writers with a lock. Readers need none, but the user must
 * keep removed nodes allocated until readers are done.
 */
struct metastore_trie {
	struct metastore_trie_node __rcu *root;
};

/**
 * struct metastore_trie_match - search for all members that are a prefix of a string
 * @bytes:	the string
 * @len:	its length in bytes
 * @next:	next node to look at, or NULL
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
