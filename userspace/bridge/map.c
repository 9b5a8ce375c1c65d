// SPDX-License-Identifier: GPL-2.0
/*
 * Which prefixes of the store belong to which buckets. A key belongs to the longest of the
 * prefixes that it begins with.
 */
#include <stdlib.h>
#include <string.h>

#include <metastore.h>

#include "map.h"
#include "output.h"
#include "text.h"

/* A map is told by 16 bits of an entry. */
#define MAPS_MAX	1024

struct maps maps;

const char *const direction_names[] = { "out", "in", "both" };

static void *grow(void *array, int count, size_t size)
{
	array = realloc(array, (count + 1) * size);
	if (!array)
		die(STATUS_COULD_NOT, "memory", "no room for %d mappings", count + 1);
	return array;
}

/* Of the characters that NATS allows */
static bool is_bucket_name(const char *name, size_t len)
{
	static const char allowed[] =
		"0123456789_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return len && len <= BUCKET_NAME_MAX && strspn(name, allowed) >= len;
}

static struct bucket *find_bucket(const char *name, size_t len)
{
	struct bucket *bucket;

	for (int i = 0; i < maps.bucket_count; i++) {
		bucket = maps.buckets[i];
		if (strlen(bucket->name) == len && !memcmp(bucket->name, name, len))
			return bucket;
	}
	bucket = calloc(1, sizeof(*bucket));
	if (bucket)
		bucket->name = strndup(name, len);
	if (!bucket || !bucket->name)
		die(STATUS_COULD_NOT, "memory", "no room for the name of a KV bucket");
	maps.buckets = grow(maps.buckets, maps.bucket_count, sizeof(*maps.buckets));
	maps.buckets[maps.bucket_count++] = bucket;
	return bucket;
}

static bool has_prefix(struct bytes prefix)
{
	for (int i = 0; i < maps.count; i++)
		if (!compare_bytes(&maps.maps[i].prefix, &prefix))
			return true;
	return false;
}

/**
 * map_add() - tie a prefix to a bucket
 * @direction:	where changes go
 * @text:	BUCKET:PREFIX, the prefix with escapes as the tool prints keys
 *
 * Return: NULL, or what is wrong with @text.
 */
const char *map_add(enum direction direction, const char *text)
{
	size_t len = strcspn(text, ":");
	struct buffer prefix = { 0 };
	struct map *map;

	if (text[len] != ':' || !is_bucket_name(text, len))
		return "must be BUCKET:PREFIX; BUCKET has 1 to 240 of letters, digits, - and _";
	if (!unescape(&prefix, text + len + 1))
		return "a backslash in the prefix begins no escape: \\\\ \\n \\t \\r \\xHH";
	if (prefix.len > MSTORE_KEY_MAX)
		return "the prefix is longer than any key, 255 bytes";
	if (has_prefix((struct bytes){ prefix.data, prefix.len }))
		return "another mapping has this prefix";
	if (maps.count == MAPS_MAX)
		return "there are 1024 mappings already";
	maps.maps = grow(maps.maps, maps.count, sizeof(*maps.maps));
	map = &maps.maps[maps.count++];
	map->prefix = (struct bytes){ prefix.data, prefix.len };
	map->direction = direction;
	map->bucket = find_bucket(text, len);
	return NULL;
}

/* Returns NULL if no prefix covers the key. */
const struct map *map_of(struct bytes key)
{
	const struct map *best = NULL;

	for (int i = 0; i < maps.count; i++) {
		const struct map *map = &maps.maps[i];

		if (map->prefix.len <= key.len && (!best || map->prefix.len > best->prefix.len) &&
		    (!map->prefix.len || !memcmp(map->prefix.data, key.data, map->prefix.len)))
			best = map;
	}
	return best;
}
