// SPDX-License-Identifier: GPL-2.0
/* Changes on their way to a bucket: a pool of them. */
#include "flight.h"
#include "table.h"

static struct flight flights[FLIGHTS_MAX];
static int unused[FLIGHTS_MAX];
static int unused_count = -1;

static void fill_pool(void)
{
	for (unused_count = 0; unused_count < FLIGHTS_MAX; unused_count++)
		unused[unused_count] = FLIGHTS_MAX - 1 - unused_count;
}

bool flight_has_room(void)
{
	return unused_count;
}

/* Only while flight_has_room() */
struct flight *flight_begin(struct entry *entry)
{
	struct flight *flight;

	if (unused_count < 0)
		fill_pool();
	flight = &flights[unused[--unused_count]];
	*flight = (struct flight){ .entry = entry };
	entry->flight = flight;
	return flight;
}

void flight_end(struct flight *flight)
{
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
