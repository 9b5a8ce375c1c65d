// SPDX-License-Identifier: GPL-2.0
/* Which keys the bridge forgets, so that its memory depends on those that there are. */
#include "carry.h"
#include "clock.h"
#include "table.h"

/* When to forget dead keys: once there are as many again, and now and then */
#define TIDY_LEAST		1024
#define TIDY_NS			(60 * NS_PER_SEC)

static uint64_t tidy_at;
static size_t tidy_count = TIDY_LEAST;

/*
 * Neither side has a value, and nothing is on its way: not even what the bridge sent last,
 * which the watch is to tell.
 */
static bool is_dead(const struct entry *entry)
{
	const struct bucket *bucket = entry_map(entry)->bucket;

	return !entry->here && !entry->there && !entry->version && !entry->kept &&
	       !entry->dirty && !entry->queued && !entry->flight &&
	       bucket->compared && entry->rev <= bucket->told;
}

/*
 * Forgets dead keys, so that no more of them are remembered than of others. The revision of
 * one that gets a value again is asked for.
 */
void carry_tidy(void)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	if (table_count() < tidy_count && now < tidy_at)
		return;
	table_sweep(is_dead);
	tidy_at = now + TIDY_NS;
	tidy_count = 2 * table_count() > TIDY_LEAST ? 2 * table_count() : TIDY_LEAST;
}
