// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The versions that a reader of several subscriptions has seen, by key. Of the keys that
 * were told only the last so many are remembered: libc's tree has them, and a list in the
 * order in which they were told last.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Keys that are remembered unless the caller says how many. */
#define KEYS_DEFAULT	16384

/**
 * struct seen - key that was told
 * @next:	key that was told last before it
 * @prev:	key that was told first after it
 * @version:	version that was told last
 * @len:	length of @bytes
 * @bytes:	key
 */
struct seen {
	struct seen *next;
	struct seen *prev;
	uint64_t version;
	uint8_t len;
	char bytes[];
};

/**
 * struct mstore_versions - versions that a reader has seen
 * @root:	tree of the keys, of tsearch()
 * @newest:	key that was told last, or NULL
 * @oldest:	key that is forgotten next, or NULL
 * @count:	number of keys
 * @most:	most keys
 */
struct mstore_versions {
	void *root;
	struct seen *newest;
	struct seen *oldest;
	size_t count;
	size_t most;
};

struct mstore_versions *mstore_versions_new(size_t keys)
{
	struct mstore_versions *versions = calloc(1, sizeof(*versions));

	if (versions)
		versions->most = keys ? keys : KEYS_DEFAULT;
	return versions;
}

void mstore_versions_free(struct mstore_versions *versions)
{
	if (!versions)
		return;
	tdestroy(versions->root, free);
	free(versions);
}

static int compare(const void *one, const void *other)
{
	const struct seen *a = one, *b = other;
	int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);

	return order ? order : a->len - b->len;
}

static struct seen *find(const struct mstore_versions *versions, const char *key, size_t len)
{
	union {
		struct seen seen;
		char room[sizeof(struct seen) + MSTORE_KEY_MAX];
	} wanted;
	struct seen **found;

	wanted.seen.len = (uint8_t)len;
	memcpy(wanted.seen.bytes, key, len);
	found = tfind(&wanted, &versions->root, compare);
	return found ? *found : NULL;
}

static void list_add(struct mstore_versions *versions, struct seen *seen)
{
	seen->prev = NULL;
	seen->next = versions->newest;
	if (seen->next)
		seen->next->prev = seen;
	else
		versions->oldest = seen;
	versions->newest = seen;
}

static void list_remove(struct mstore_versions *versions, struct seen *seen)
{
	if (seen->prev)
		seen->prev->next = seen->next;
	else
		versions->newest = seen->next;
	if (seen->next)
		seen->next->prev = seen->prev;
	else
		versions->oldest = seen->prev;
}

static void forget_oldest(struct mstore_versions *versions)
{
	struct seen *seen = versions->oldest;

	list_remove(versions, seen);
	tdelete(seen, &versions->root, compare);
	free(seen);
	versions->count--;
}

/* Returns the new key, which has version 0; or NULL without memory. */
static struct seen *add(struct mstore_versions *versions, const char *key, size_t len)
{
	struct seen *seen = malloc(sizeof(*seen) + len);

	if (!seen)
		return NULL;
	seen->version = 0;
	seen->len = (uint8_t)len;
	memcpy(seen->bytes, key, len);
	if (!tsearch(seen, &versions->root, compare)) {
		free(seen);
		return NULL;
	}
	list_add(versions, seen);
	if (++versions->count > versions->most)
		forget_oldest(versions);
	return seen;
}

int mstore_versions_accept(struct mstore_versions *versions, const struct mstore_event *event)
{
	uint64_t version = mstore_event_version(event);
	struct seen *seen;
	const char *key;
	size_t len;

	key = mstore_event_key(event, &len);
	/* LOST, FLUSHED and SNAPSHOT_END are of no key. */
	if (!len)
		return 1;
	seen = find(versions, key, len);
	if (seen && version <= seen->version)
		return 0;
	if (seen) {
		list_remove(versions, seen);
		list_add(versions, seen);
	} else {
		seen = add(versions, key, len);
	}
	if (!seen)
		return -1;
	seen->version = version;
	return 1;
}
