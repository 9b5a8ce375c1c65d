// SPDX-License-Identifier: GPL-2.0
/*
 * Reading events.
 */
#include <stdio.h>

#include "store.h"

/* Events in a queue; enough for that what the kernel happens to do does not show */
#define MANY		(4 * BATCH)

static struct mstore *reader;
static struct mstore_event_buffer *events;

/* Reads what is there, and looks at it. */
static inline unsigned int lib_read_events(void)
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

static void run_publish_read(const struct row *row, unsigned int n)
{
	unsigned int i;

	while (n--) {
		publish(news, row->size);
		for (i = 0; i < row->subscribers; i++)
			read_event(subscribers[i], sizeof(buffer));
	}
}

static void fill_queue(const struct row *row, unsigned int n)
{
	empty_queues(row, n);
	while (n--)
		publish(news, row->size);
}

static void run_read_one(const struct row *row, unsigned int n)
{
	(void)row;
	while (n--)
		read_event(subscribers[0], EVENT_SIZE);
}

static void run_read_many(const struct row *row, unsigned int n)
{
	ssize_t len;

	(void)row;
	while (n) {
		len = read(subscribers[0], buffer, VALUE_MAX);
		if (len <= 0)
			die("read");
		n -= len / EVENT_SIZE;
	}
}

static void lib_subscribe_sized(const struct row *row, size_t capacity)
{
	const struct mstore_subscribe_options options = { .flags = row->flags };

	one_key(row);
	reader = mstore_open(NULL, MSTORE_RDWR | MSTORE_NONBLOCK);
	events = mstore_event_buffer_new(capacity);
	if (!reader || !events ||
	    mstore_subscribe_with(reader, news, KEY_LEN, &options))
		die("mstore_subscribe_with");
}

static void lib_subscribe(const struct row *row)
{
	lib_subscribe_sized(row, 0);
}

static void lib_subscribe_small(const struct row *row)
{
	lib_subscribe_sized(row, EVENT_SIZE);
}

static void lib_subscribe_roomy(const struct row *row)
{
	lib_subscribe(row);
	make_roomy(mstore_fd(reader));
}

static void lib_unsubscribe(const struct row *row)
{
	(void)row;
	mstore_event_buffer_free(events);
	mstore_close(reader);
}

static void lib_fill_queue(const struct row *row, unsigned int n)
{
	while (mstore_read_events(reader, events) > 0)
		;
	while (n--)
		publish(news, row->size);
}

static void run_lib_publish_read(const struct row *row, unsigned int n)
{
	while (n--) {
		lib_publish(news, row->size);
		lib_read_events();
	}
}

static void run_lib_read(const struct row *row, unsigned int n)
{
	(void)row;
	while (n)
		n -= lib_read_events();
}

/*
 * A value of that size, and a subscriber with those flags; peers are those of the size
 * that the others have.
 */
static void add_publish_read(const struct value_size *size, uint32_t flags,
			     const char *peers, const char *name)
{
	struct row raw = {
		.setup = subscribe_all,
		.run = run_publish_read,
		.teardown = unsubscribe_all,
		.size = size->size,
		.batch = size->batch,
		.subscribers = 1,
		.flags = flags,
	};
	struct row library = {
		.setup = lib_subscribe,
		.run = run_lib_publish_read,
		.teardown = lib_unsubscribe,
		.size = size->size,
		.batch = size->batch,
		.flags = flags,
	};

	raw = compared(&raw, peers);
	row_add(&raw, "%s", name);
	library = compared(&library, name);
	row_add(&library, "%s-lib", name);
}

static void size_rows(void)
{
	const struct value_size *size;
	char name[32], peer[32];

	for (size = value_sizes; size < value_sizes + nr_value_sizes; size++) {
		snprintf(name, sizeof(name), "publish-read-%s", size->name);
		snprintf(peer, sizeof(peer), "pipe-%s", size->name);
		add_publish_read(size, 0, size->size ? peer : "", name);
	}
}

/**
 * read_rows - rows of subscribers that read
 */
void read_rows(void)
{
	static const struct value_size usual = { "", VALUE_LEN, BATCH };
	struct row table[] = {
		{ "publish-read-99", "ancestor-publish-99", subscribe_all, NULL, run_publish_read,
		  unsubscribe_all, .subscribers = 99, .batch = SHORT_BATCH },
		{ "read-one", "read-zero", subscribe_all, fill_queue, run_read_one,
		  unsubscribe_all, .subscribers = 1 },
		{ "read-one-lib", "read-one", lib_subscribe_small, lib_fill_queue,
		  run_lib_read, lib_unsubscribe },
		{ "read-many", "read-one", subscribe_roomy, fill_queue, run_read_many,
		  unsubscribe_all, .subscribers = 1, .batch = MANY },
		{ "read-many-lib", "read-many", lib_subscribe_roomy, lib_fill_queue,
		  run_lib_read, lib_unsubscribe, .batch = MANY },
	};
	size_t i;

	size_rows();
	add_publish_read(&usual, 0,
			 "pipe,unix-datagram,mqueue,redis-publish,dbus-signal,nats-publish",
			 "publish-read");
	add_publish_read(&usual, METASTORE_SUBSCRIBE_LATEST, "publish-read",
			 "publish-read-latest");
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].size = VALUE_LEN;
		row_add(&table[i], "%s", table[i].name);
	}
}
