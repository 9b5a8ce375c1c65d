// SPDX-License-Identifier: GPL-2.0
/*
 * Events from the mapped ring, without a system call.
 */
#include <stdio.h>

#include "../ring.h"
#include "store.h"

/* Room for the events of a batch */
#define RING_SIZE	(256 * 1024)

static struct ring rings[SUBSCRIBERS_MAX];
static struct mstore *reader;
static struct mstore_event_buffer *events;

static void map_all(const struct row *row)
{
	unsigned int i;

	subscribe_all(row);
	for (i = 0; i < row->subscribers; i++)
		if (ring_map(&rings[i], subscribers[i], RING_SIZE))
			die("mmap");
}

static void unmap_all(const struct row *row)
{
	unsigned int i;

	for (i = 0; i < row->subscribers; i++)
		ring_unmap(&rings[i]);
	unsubscribe_all(row);
}

static void take_event(const struct ring *ring)
{
	if (ring_take(ring, buffer, EVENT_SIZE) != EVENT_SIZE)
		die("ring");
}

static void run_publish_take(const struct row *row, unsigned int n)
{
	unsigned int i;

	while (n--) {
		publish(news, row->size);
		for (i = 0; i < row->subscribers; i++)
			take_event(&rings[i]);
	}
}

static void fill_ring(const struct row *row, unsigned int n)
{
	empty_queues(row, n);
	while (n--)
		publish(news, row->size);
}

static void run_take(const struct row *row, unsigned int n)
{
	(void)row;
	while (n--)
		take_event(&rings[0]);
}

static void lib_map(const struct row *row)
{
	one_key(row);
	reader = mstore_open(NULL, MSTORE_RDWR | MSTORE_NONBLOCK);
	events = mstore_event_buffer_new(0);
	if (!reader || !events || mstore_subscribe(reader, news, KEY_LEN, 0, 0) ||
	    mstore_map_events(reader, RING_SIZE))
		die("mstore_map_events");
}

static void lib_unmap(const struct row *row)
{
	(void)row;
	mstore_event_buffer_free(events);
	mstore_close(reader);
}

static void lib_fill_ring(const struct row *row, unsigned int n)
{
	while (mstore_read_events(reader, events) > 0)
		;
	while (n--)
		publish(news, row->size);
}

static unsigned int lib_take_events(void)
{
	const struct mstore_event *event = NULL;
	unsigned int n = 0;
	size_t len;

	if (mstore_read_events(reader, events) < 0)
		die("mstore_read_events");
	while ((event = mstore_event_next(events, event))) {
		mstore_event_value(event, &len);
		n++;
	}
	return n;
}

static void run_lib_publish_take(const struct row *row, unsigned int n)
{
	while (n--) {
		lib_publish(news, row->size);
		lib_take_events();
	}
}

static void run_lib_take(const struct row *row, unsigned int n)
{
	(void)row;
	while (n)
		n -= lib_take_events();
}

/**
 * ring_rows - rows of subscribers that read their mapped ring
 */
void ring_rows(void)
{
	static const struct row library[] = {
		{ "publish-ring-lib", "publish-ring", .run = run_lib_publish_take },
		{ "ring-many-lib", "ring-many", .prepare = lib_fill_ring, .run = run_lib_take },
	};
	static const struct row table[] = {
		{ "publish-ring", "pipe,publish-read", .run = run_publish_take, .subscribers = 1 },
		{ "publish-ring-99", "publish-read-99", .run = run_publish_take, .subscribers = 99,
		  .batch = SHORT_BATCH },
		{ "ring-many", "read-many", .prepare = fill_ring, .run = run_take,
		  .subscribers = 1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		struct row row = table[i];

		row.setup = map_all;
		row.teardown = unmap_all;
		row.size = VALUE_LEN;
		row_add(&row, "%s", row.name);
	}
	for (i = 0; i < ARRAY_SIZE(library); i++) {
		struct row row = library[i];

		row.setup = lib_map;
		row.teardown = lib_unmap;
		row.size = VALUE_LEN;
		row_add(&row, "%s", row.name);
	}
}
