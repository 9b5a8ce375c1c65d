/* SPDX-License-Identifier: GPL-2.0 */
/* State of each key in the bridge. */
#ifndef MSTORE_BRIDGE_TABLE_H
#define MSTORE_BRIDGE_TABLE_H

#include "map.h"
#include "tool.h"

struct flight;

/**
 * struct entry - key, and how far store and bucket agree on it
 * @next:	next entry of the same chain of the table
 * @next_queued: next entry of the bucket's queue
 * @flight:	change or question that is on its way to the bucket; or NULL
 * @version:	version of the value here that is the bucket's at @rev; 0: no value
 * @rev:	last revision of the key in the bucket; 0: it has none
 * @round:	comparison in which the bucket told it last
 * @map:	number of its mapping
 * @known:	@version and @rev belong together: else a comparison is to come
 * @there:	the bucket has a value at @rev, and no marker of a deletion
 * @from_bucket: @version was written by the bridge
 * @here:	the store has a value, by the last change that it told
 * @dirty:	a change waits to be sent
 * @queued:	it is in the bucket's queue
 * @ask:	what the bucket has is to be read before anything is sent
 * @kept:	an owner has set it, or it was skipped, and the sides differ
 * @len:	length of @key
 * @key:	key
 */
struct entry {
	struct entry *next;
	struct entry *next_queued;
	struct flight *flight;
	uint64_t version;
	uint64_t rev;
	uint32_t round;
	uint16_t map;
	bool known : 1;
	bool there : 1;
	bool from_bucket : 1;
	bool here : 1;
	bool dirty : 1;
	bool queued : 1;
	bool ask : 1;
	bool kept : 1;
	uint8_t len;
	char key[];
};

static inline struct bytes entry_key(const struct entry *entry)
{
	return (struct bytes){ entry->key, entry->len };
}

static inline const struct map *entry_map(const struct entry *entry)
{
	return &maps.maps[entry->map];
}

struct entry *table_find(struct bytes key);
struct entry *table_get(struct bytes key);
void table_sweep(bool (*is_dead)(const struct entry *entry));
void table_each(void (*visit)(struct entry *entry, void *arg), void *arg);
size_t table_count(void);
void table_free(void);
uint64_t hash_bytes(struct bytes bytes);

#endif
