// SPDX-License-Identifier: GPL-2.0
/* State of each key in the bridge: a hash table that doubles as it fills. */
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "table.h"

static struct entry **chains;
static size_t size;
static size_t count;

/* FNV-1a, with a last step that spreads the high bits */
uint64_t hash_bytes(struct bytes bytes)
{
	uint64_t hash = 14695981039346656037ULL;
	const unsigned char *s = bytes.data;

	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ s[i]) * 1099511628211ULL;
	return hash ^ hash >> 32;
}

static struct entry **chain_of(struct bytes key)
{
	return &chains[hash_bytes(key) & (size - 1)];
}

static void double_size(void)
{
	struct entry **old = chains;
	size_t old_size = size;

	size = size ? 2 * size : 1024;
	chains = calloc(size, sizeof(*chains));
	if (!chains)
		die(STATUS_COULD_NOT, "memory", "no room for %zu keys", size);
	for (size_t i = 0; i < old_size; i++) {
		struct entry *entry = old[i], *next;

		for (; entry; entry = next) {
			struct entry **chain = chain_of(entry_key(entry));

			next = entry->next;
			entry->next = *chain;
			*chain = entry;
		}
	}
	free(old);
}

struct entry *table_find(struct bytes key)
{
	struct entry *entry = size ? *chain_of(key) : NULL;

	while (entry && (entry->len != key.len || memcmp(entry->key, key.data, key.len)))
		entry = entry->next;
	return entry;
}

/* Finds or makes the entry of a key. Returns NULL if no mapping has it. */
struct entry *table_get(struct bytes key)
{
	struct entry *entry = table_find(key), **chain;
	const struct map *map;

	if (entry)
		return entry;
	map = map_of(key);
	if (!map)
		return NULL;
	entry = calloc(1, sizeof(*entry) + key.len);
	if (!entry)
		die(STATUS_COULD_NOT, "memory", "no room for one more of %zu keys", count);
	entry->map = map - maps.maps;
	entry->len = key.len;
	memcpy(entry->key, key.data, key.len);
	if (count == size)
		double_size();
	chain = chain_of(key);
	entry->next = *chain;
	*chain = entry;
	count++;
	return entry;
}

void table_each(void (*visit)(struct entry *entry, void *arg), void *arg)
{
	for (size_t i = 0; i < size; i++)
		for (struct entry *entry = chains[i]; entry; entry = entry->next)
			visit(entry, arg);
}

size_t table_count(void)
{
	return count;
}

void table_free(void)
{
	for (size_t i = 0; i < size; i++) {
		struct entry *entry = chains[i], *next;

		for (; entry; entry = next) {
			next = entry->next;
			free(entry);
		}
	}
	free(chains);
	chains = NULL;
	size = 0;
	count = 0;
}
