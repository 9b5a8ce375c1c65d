// SPDX-License-Identifier: GPL-2.0
/* State of each key in the bridge: a hash table that grows and shrinks with them. */
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "table.h"

#define SIZE_LEAST	1024

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

static void put(struct entry *entry)
{
	struct entry **chain = chain_of(entry_key(entry));

	entry->next = *chain;
	*chain = entry;
}

static void resize(size_t new_size)
{
	struct entry **old = chains;
	size_t old_size = size;

	size = new_size;
	chains = calloc(size, sizeof(*chains));
	if (!chains)
		die(STATUS_COULD_NOT, "memory", "no room for %zu keys", size);
	for (size_t i = 0; i < old_size; i++) {
		struct entry *entry = old[i], *next;

		for (; entry; entry = next) {
			next = entry->next;
			put(entry);
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
	struct entry *entry = table_find(key);
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
		resize(size ? 2 * size : SIZE_LEAST);
	put(entry);
	count++;
	return entry;
}

static void sweep_chain(struct entry **link, bool (*is_dead)(const struct entry *entry))
{
	struct entry *entry;

	while ((entry = *link)) {
		if (!is_dead(entry)) {
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		free(entry);
		count--;
	}
}

/* Forgets the keys of which is_dead() says so. */
void table_sweep(bool (*is_dead)(const struct entry *entry))
{
	size_t fit = size;

	for (size_t i = 0; i < size; i++)
		sweep_chain(&chains[i], is_dead);
	while (fit > SIZE_LEAST && count < fit / 4)
		fit /= 2;
	if (fit != size)
		resize(fit);
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
