// SPDX-License-Identifier: LGPL-2.1-or-later
/* The keys that a follower told: libc's tree has them, in the order of their bytes. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"

static int compare(const void *one, const void *other)
{
	const struct known *a = one, *b = other;
	int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

	return order ? order : a->len - b->len;
}

struct known *mstore_known_find(const struct known_keys *keys, const char *key, size_t len)
{
	union {
		struct known known;
		char room[sizeof(struct known) + MSTORE_KEY_MAX];
	} wanted;
	struct known **found;

	wanted.known.len = (uint8_t)len;
	memcpy(wanted.known.bytes, key, len);
	found = tfind(&wanted, &keys->root, compare);
	return found ? *found : NULL;
}

/* Adds a key that is not there. Returns it, or NULL without memory. */
struct known *mstore_known_add(struct known_keys *keys, const char *key, size_t len)
{
	struct known *known = malloc(sizeof(*known) + len);

	if (!known)
		return NULL;
	known->len = (uint8_t)len;
	memcpy(known->bytes, key, len);
	if (!tsearch(known, &keys->root, compare)) {
		free(known);
		return NULL;
	}
	keys->count++;
	return known;
}

/* Takes a key out of the tree. The caller frees it. */
void mstore_known_remove(struct known_keys *keys, const struct known *known)
{
	tdelete(known, &keys->root, compare);
	keys->count--;
}

/* A search for the keys with a prefix that were not heard of in a round. */
struct search {
	const char *prefix;
	size_t len;
	uint32_t round;
	struct known *gone;
};

static void note_if_gone(const void *node, VISIT visit, void *closure)
{
	struct known *known = *(struct known *const *)node;
	struct search *search = closure;

	if ((visit != postorder && visit != leaf) || known->round == search->round ||
	    known->len < search->len || memcmp(known->bytes, search->prefix, search->len))
		return;
	known->next = search->gone;
	search->gone = known;
}

/* Returns a list of the keys with a prefix that were not heard of in a round. */
struct known *mstore_known_gone(const struct known_keys *keys, const char *prefix, size_t len,
				uint32_t round)
{
	struct search search = { .prefix = prefix, .len = len, .round = round };

	twalk_r(keys->root, note_if_gone, &search);
	return search.gone;
}

void mstore_known_free_all(struct known_keys *keys)
{
	tdestroy(keys->root, free);
	keys->root = NULL;
	keys->count = 0;
}
