// SPDX-License-Identifier: GPL-2.0
/*
 * What each value of a snapshot costs who reads it.
 */
#include "store.h"

#define NUMBER		(10 * BATCH)

/* All of them begin so. */
static const char prefix[] = { 'k', 'e', 'y', '-' };

static int subscriber = -1;
static struct mstore *lib_subscriber;
static struct mstore_event_buffer *events;

static void open_subscriber(const struct row *row)
{
	fill(row);
	subscriber = open_device();
	lib_subscriber = mstore_open(NULL, MSTORE_RDWR | MSTORE_NONBLOCK);
	events = mstore_event_buffer_new(0);
	if (!lib_subscriber || !events)
		die("mstore_open");
}

static void close_subscriber(const struct row *row)
{
	(void)row;
	mstore_event_buffer_free(events);
	mstore_close(lib_subscriber);
	close(subscriber);
}

static unsigned int snapshot(void)
{
	struct metastore_subscribe begin = {
		.key = address(prefix),
		.key_len = sizeof(prefix),
		.flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT,
	};
	struct metastore_unsubscribe end = {
		.key = address(prefix),
		.key_len = sizeof(prefix),
		.flags = METASTORE_SUBSCRIBE_PREFIX,
	};
	unsigned int n = 0;
	ssize_t len;

	if (ioctl(subscriber, METASTORE_IOC_SUBSCRIBE, &begin))
		die("SUBSCRIBE");
	/* The record of its end is shorter than the others. */
	do {
		len = read(subscriber, buffer, VALUE_MAX);
		if (len <= 0)
			die("read");
		n += len / EVENT_SIZE;
	} while (len % EVENT_SIZE == 0);
	if (ioctl(subscriber, METASTORE_IOC_UNSUBSCRIBE, &end))
		die("UNSUBSCRIBE");
	return n;
}

/* Looks at what there is; returns how many values, and whether they were the last. */
static unsigned int lib_read_values(bool *last)
{
	const struct mstore_event *event = NULL;
	unsigned int n = 0;
	size_t len;

	if (mstore_read_events(lib_subscriber, events) < 0)
		die("mstore_read_events");
	while ((event = mstore_event_next(events, event))) {
		if (mstore_event_type(event) == MSTORE_EVENT_SNAPSHOT_END) {
			*last = true;
			break;
		}
		mstore_event_value(event, &len);
		n++;
	}
	return n;
}

static unsigned int lib_snapshot(void)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_SNAPSHOT,
	};
	unsigned int n = 0;
	bool last = false;

	if (mstore_subscribe_with(lib_subscriber, prefix, sizeof(prefix), &options))
		die("mstore_subscribe_with");
	while (!last)
		n += lib_read_values(&last);
	if (mstore_unsubscribe_with(lib_subscriber, prefix, sizeof(prefix),
				    MSTORE_SUBSCRIBE_PREFIX))
		die("mstore_unsubscribe_with");
	return n;
}

static void run_snapshot(const struct row *row, unsigned int n)
{
	unsigned int values = row->library ? lib_snapshot() : snapshot();

	if (values != n)
		die("a snapshot of %u keys has %u", n, values);
}

/**
 * snapshot_rows - rows of reading a snapshot
 */
void snapshot_rows(void)
{
	const struct row row = {
		.peers = "read-many",
		.setup = open_subscriber,
		.run = run_snapshot,
		.teardown = close_subscriber,
		.size = VALUE_LEN,
		.keys = NUMBER,
		.batch = NUMBER,
	};

	add_both(&row, "snapshot-10k");
}
