// SPDX-License-Identifier: GPL-2.0
/*
 * A flood: keys that somebody who found out the seed of the hash chose to be in one chain
 * of a table, to make another user's keys there slow.
 */
#include <assert.h>
#include <string.h>

#include "../flood.h"
#include "store.h"

/* In the middle of a bucket, if there are a thousand */
#define HASH		(500 * (UINT32_MAX / 1000) + 12345)

/*
 * Hashes that differ so are in one bucket still, and as long as it has no more than 2^20
 * slots in one of these.
 */
#define SLOT_SHIFT	20
#define SLOT_HASHES	4

static_assert(KEY_LEN == FLOOD_KEY_LEN);

/* With how many hashes the store is flooded; 0: it is not */
static unsigned int flooded;

/* The keys that are used are some of many more, since it is chance which are found sooner. */
static void flood(const struct row *row, unsigned int hashes)
{
	unsigned int i, number = 0;
	char key[KEY_LEN];
	uint32_t seed;

	open_store();
	if (flooded == hashes)
		return;
	empty_store();
	if (!flood_find_seed(fd, &seed))
		die("the seed is not found");
	for (i = 0; i < row->keys; i++, number++) {
		flood_key(key, KEY_LEN, seed, HASH + (number % hashes << SLOT_SHIFT), number);
		set(key, VALUE_LEN);
		if (i % (row->keys / BATCH) == 0)
			memcpy(keys[i / (row->keys / BATCH)], key, KEY_LEN);
	}
	for (i = 0; i < BATCH; i++, number++)
		flood_key(new_keys[i], KEY_LEN, seed, HASH + (number % hashes << SLOT_SHIFT),
			  number);
	for (i = 0; i < BATCH; i++, number++)
		flood_key(missing[i], KEY_LEN, seed, HASH + (number % hashes << SLOT_SHIFT),
			  number);
	flooded = hashes;
}

/**
 * flood_hash_setup - make the store hold keys of one hash, and choose those to be used
 * @row:	has the number
 */
void flood_hash_setup(const struct row *row)
{
	flood(row, 1);
}

/**
 * flood_slot_setup - make the store hold keys of one slot, and choose those to be used
 * @row:	has the number
 */
void flood_slot_setup(const struct row *row)
{
	flood(row, SLOT_HASHES);
}

/**
 * flood_teardown - empty the store, and choose the keys that it has elsewhere
 * @row:	not looked at
 */
void flood_teardown(const struct row *row)
{
	(void)row;
	empty_store();
	choose_keys();
	flooded = 0;
}
