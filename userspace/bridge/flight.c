// SPDX-License-Identifier: GPL-2.0
/*
 * Changes on their way to a bucket: a pool of them. A server that did not answer in time gets
 * fewer at once, and then slowly more.
 */
#include "flight.h"
#include "table.h"

static struct flight flights[FLIGHTS_MAX];
static int unused[FLIGHTS_MAX];
static int unused_count = -1;
static int questions;

#define LEAST	8

static int limit = FLIGHTS_MAX;
static int answers;

/* The server did not answer in time. */
void flights_slow_down(void)
{
	limit = limit / 4 > LEAST ? limit / 4 : LEAST;
	answers = 0;
}

/* It did: one more for each round of answers. */
void flights_speed_up(void)
{
	if (limit == FLIGHTS_MAX || ++answers < limit)
		return;
	limit++;
	answers = 0;
}

static void fill_pool(void)
{
	for (unused_count = 0; unused_count < FLIGHTS_MAX; unused_count++)
		unused[unused_count] = FLIGHTS_MAX - 1 - unused_count;
}

bool flight_has_room(void)
{
	return unused_count < 0 || FLIGHTS_MAX - unused_count < limit;
}

bool flight_has_room_to_ask(void)
{
	return flight_has_room() && questions < QUESTIONS_MAX;
}

/* Only while flight_has_room(), or for a question flight_has_room_to_ask() */
struct flight *flight_begin(struct entry *entry, enum flight_state state)
{
	struct flight *flight;

	if (unused_count < 0)
		fill_pool();
	flight = &flights[unused[--unused_count]];
	*flight = (struct flight){ .entry = entry, .state = state };
	entry->flight = flight;
	if (state == FLIGHT_ASKED)
		questions++;
	return flight;
}

void flight_end(struct flight *flight)
{
	if (flight->state == FLIGHT_ASKED)
		questions--;
	flight->entry->flight = NULL;
	flight->entry = NULL;
	kvEntry_Destroy(flight->later);
	flight->later = NULL;
	unused[unused_count++] = flight - flights;
}

void flights_each(void (*visit)(struct flight *flight))
{
	for (int i = 0; i < FLIGHTS_MAX; i++)
		if (flights[i].entry)
			visit(&flights[i]);
}
