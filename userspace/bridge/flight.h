/* SPDX-License-Identifier: GPL-2.0 */
/* Changes on their way to a bucket. */
#ifndef MSTORE_BRIDGE_FLIGHT_H
#define MSTORE_BRIDGE_FLIGHT_H

#include <nats/nats.h>

#include "tool.h"

/** FLIGHTS_MAX - so many are on their way at once, to a server that keeps up */
#define FLIGHTS_MAX	512

/** QUESTIONS_MAX - so many of them are questions, which are answered one after the other */
#define QUESTIONS_MAX	64

/**
 * enum flight_state - what is on its way
 * @FLIGHT_SENT:	a change, whose answer is to come
 * @FLIGHT_UNSURE:	a change; the session ended before the answer: it may have got there
 * @FLIGHT_ASKED:	a question: what the bucket has is being read
 */
enum flight_state { FLIGHT_SENT, FLIGHT_UNSURE, FLIGHT_ASKED };

/**
 * struct flight - change of a key on its way to its bucket, or a question
 * @entry:	its key; NULL: a free place
 * @state:	what it is
 * @version:	version of the value that was sent, 0: a deletion
 * @time:	when that was written, of CLOCK_REALTIME, in ns; 0: unknown
 * @hash:	hash of the value
 * @later:	newest entry of the bucket that came meanwhile, or NULL
 */
struct flight {
	struct entry *entry;
	enum flight_state state;
	uint64_t version;
	uint64_t time;
	uint64_t hash;
	kvEntry *later;
};

struct flight *flight_begin(struct entry *entry, enum flight_state state);
void flight_end(struct flight *flight);
bool flight_has_room(void);
bool flight_has_room_to_ask(void);
void flights_slow_down(void);
void flights_speed_up(void);
void flights_each(void (*visit)(struct flight *flight));

#endif
