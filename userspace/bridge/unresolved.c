// SPDX-License-Identifier: GPL-2.0
/*
 * Changes that were sent before a session ended, and that the bucket did not have when the
 * next one began. They may still arrive, late: then what the bucket tells is the bridge's own,
 * and no reason to give up a newer value here. Each was sent on the condition that the key's
 * revision is the one it had, so that none can arrive once the key has another one. Of more
 * than there is room for the oldest are forgotten.
 */
#include "flight.h"
#include "table.h"
#include "unresolved.h"

#define UNRESOLVED_MAX	(2 * FLIGHTS_MAX)

/**
 * struct unresolved - change that may still arrive
 * @key:	hash of its key
 * @version:	version of the value that was sent, 0: a deletion
 * @hash:	hash of the value
 * @used:	this is one
 */
static struct unresolved {
	uint64_t key;
	uint64_t version;
	uint64_t hash;
	bool used;
} all[UNRESOLVED_MAX];

static unsigned int next;
static unsigned int count;

/* Whether a change that was sent is what the bucket has. */
bool is_same_change(uint64_t version, uint64_t hash, const struct remote *remote)
{
	return remote->there == !!version && (!version || hash_bytes(remote->value) == hash);
}

static void drop(struct unresolved *one)
{
	one->used = false;
	count--;
}

void unresolved_add(struct bytes key, uint64_t version, uint64_t hash)
{
	struct unresolved *one = &all[next];

	next = (next + 1) % UNRESOLVED_MAX;
	if (one->used)
		drop(one);
	*one = (struct unresolved){ hash_bytes(key), version, hash, true };
	count++;
}

/* Finds one of a key, and that is what the bucket has unless @remote is NULL. */
static struct unresolved *find(struct bytes key, const struct remote *remote)
{
	uint64_t hash = count ? hash_bytes(key) : 0;

	for (int i = 0; count && i < UNRESOLVED_MAX; i++) {
		struct unresolved *one = &all[i];

		if (one->used && one->key == hash &&
		    (!remote || is_same_change(one->version, one->hash, remote)))
			return one;
	}
	return NULL;
}

/* Whether what the bucket has is one of these. If so, sets @version to what was sent. */
bool unresolved_find(struct bytes key, const struct remote *remote, uint64_t *version)
{
	const struct unresolved *one = find(key, remote);

	if (one)
		*version = one->version;
	return one;
}

/* The key has another revision: none of its changes can arrive any more. */
void unresolved_drop(struct bytes key)
{
	struct unresolved *one;

	while ((one = find(key, NULL)))
		drop(one);
}

void unresolved_clear(void)
{
	for (int i = 0; i < UNRESOLVED_MAX; i++)
		all[i].used = false;
	count = 0;
}
