/* SPDX-License-Identifier: GPL-2.0 */
/* Changes on their way to a bucket. */
#ifndef MSTORE_BRIDGE_FLIGHT_H
#define MSTORE_BRIDGE_FLIGHT_H

#include <nats/nats.h>

#include "tool.h"

/** FLIGHTS_MAX - so many changes are on their way at once, to a server that keeps up */
#define FLIGHTS_MAX	512

/**
 * struct flight - change on its way to a bucket
 * @entry:	its key; NULL: a free place
 * @version:	version of the value that was sent, 0: a deletion
 * @time:	when that was written, of CLOCK_REALTIME, in ns; 0: unknown
 * @hash:	hash of the value
 * @unsure:	the session ended before the answer: it may have got there
 * @later:	newest entry of the bucket that came meanwhile, or NULL
 */
struct flight {
	struct entry *entry;
	uint64_t version;
	uint64_t time;
	uint64_t hash;
	bool unsure;
	kvEntry *later;
};

struct flight *flight_begin(struct entry *entry);
void flight_end(struct flight *flight);
bool flight_has_room(void);
void flights_slow_down(void);
void flights_speed_up(void);
void flights_each(void (*visit)(struct flight *flight));

#endif
