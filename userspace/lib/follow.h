/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Followers: follow.c has what they follow and tell, follow_keys.c the keys they told. */
#ifndef MSTORE_FOLLOW_H
#define MSTORE_FOLLOW_H

#include "internal.h"

/**
 * struct known - key whose value was told
 * @next:	next key of a list of gone ones
 * @version:	version of the value
 * @round:	round of its topic in which it was heard of last
 * @len:	length of @bytes
 * @bytes:	key
 */
struct known {
	struct known *next;
	uint64_t version;
	uint32_t round;
	uint8_t len;
	char bytes[];
};

/**
 * struct known_keys - keys whose value was told
 * @root:	tree of them, of tsearch()
 * @count:	their number
 */
struct known_keys {
	void *root;
	uint64_t count;
};

struct known *mstore_known_find(const struct known_keys *keys, const char *key, size_t len);
struct known *mstore_known_add(struct known_keys *keys, const char *key, size_t len);
void mstore_known_remove(struct known_keys *keys, const struct known *known);
struct known *mstore_known_gone(const struct known_keys *keys, const char *prefix, size_t len,
				uint32_t round);
void mstore_known_free_all(struct known_keys *keys);

#endif /* MSTORE_FOLLOW_H */
