// SPDX-License-Identifier: GPL-2.0
/*
 * Publishing to subscribers of one key, and to those that subscribed otherwise.
 */
#include <stdio.h>
#include <sys/epoll.h>

#include "store.h"

/* Of the one key */
#define PREFIX_LEN	5

int subscribers[SUBSCRIBERS_MAX];
static int epoll = -1;

/* To the key, or to a prefix of it. */
static void subscribe(int to, uint32_t flags)
{
	struct metastore_subscribe args = {
		.key = address(news),
		.key_len = flags & METASTORE_SUBSCRIBE_PREFIX ? PREFIX_LEN : KEY_LEN,
		.flags = flags,
	};

	if (ioctl(to, METASTORE_IOC_SUBSCRIBE, &args))
		die("SUBSCRIBE");
}

static void watch(int what)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll < 0)
		epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, what, &event))
		die("epoll_ctl");
}

/**
 * subscribe_all - make the store hold the one key, and subscribe to it
 * @row:	has the number of subscribers, how they subscribe, and whether an
 *		epoll watches each
 */
void subscribe_all(const struct row *row)
{
	unsigned int i;

	one_key(row);
	for (i = 0; i < row->subscribers; i++) {
		subscribers[i] = open_device();
		subscribe(subscribers[i], row->flags);
		if (row->epoll)
			watch(subscribers[i]);
	}
}

/**
 * make_roomy - have a queue hold as much as it may
 * @file:	descriptor
 */
void make_roomy(int file)
{
	struct metastore_queue_info args = {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES,
		.max_len = METASTORE_QUEUE_FACTOR * QUEUE_LEN,
		.max_bytes = METASTORE_QUEUE_FACTOR * QUEUE_BYTES,
	};

	if (ioctl(file, METASTORE_IOC_QUEUE, &args))
		die("QUEUE");
}

/**
 * subscribe_roomy - as subscribe_all(), with queues that hold as much as they may
 * @row:	the same
 */
void subscribe_roomy(const struct row *row)
{
	unsigned int i;

	subscribe_all(row);
	for (i = 0; i < row->subscribers; i++)
		make_roomy(subscribers[i]);
}

/**
 * unsubscribe_all - undo subscribe_all()
 * @row:	the same
 */
void unsubscribe_all(const struct row *row)
{
	unsigned int i;

	for (i = 0; i < row->subscribers; i++)
		close(subscribers[i]);
	if (epoll >= 0)
		close(epoll);
	epoll = -1;
}

/**
 * empty_queues - read all, so that no queue has to drop an event during the batch
 * @row:	has the number of subscribers
 * @n:		is not looked at
 */
void empty_queues(const struct row *row, unsigned int n)
{
	unsigned int i;

	(void)n;
	for (i = 0; i < row->subscribers; i++)
		while (read(subscribers[i], buffer, sizeof(buffer)) > 0)
			;
	if (row->epoll) {
		struct epoll_event ready[SUBSCRIBERS_MAX];

		epoll_wait(epoll, ready, SUBSCRIBERS_MAX, 0);
	}
}

/**
 * run_publish - publish, and nobody reads
 * @row:	says how
 * @n:		how often
 */
void run_publish(const struct row *row, unsigned int n)
{
	unsigned int queues = 0, wanted = n * row->subscribers;

	if (row->library)
		while (n--)
			queues += lib_publish(news, row->size);
	else
		while (n--)
			queues += publish(news, row->size);
	if (queues != wanted)
		die("%u queues took an event, not %u", queues, wanted);
}

static void subscribe_lossless(const struct row *row)
{
	struct metastore_queue_info args = {
		.flags = METASTORE_QUEUE_SET_POLICY,
		.policy = METASTORE_QUEUE_LOSSLESS,
	};
	unsigned int i;

	subscribe_all(row);
	for (i = 0; i < row->subscribers; i++)
		if (ioctl(subscribers[i], METASTORE_IOC_QUEUE, &args))
			die("QUEUE");
}

/* There is room for all. */
static void run_publish_wait(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_publish_wait(news, row->size);
	else
		while (n--)
			publish_wait(news, row->size);
}

static void add_number(unsigned int number)
{
	struct row row = {
		.setup = subscribe_all,
		.prepare = empty_queues,
		.run = run_publish,
		.teardown = unsubscribe_all,
		.size = VALUE_LEN,
		.subscribers = number,
		.batch = number < 99 ? BATCH : SHORT_BATCH,
	};
	char name[sizeof(row.name)], peer[sizeof(row.name)];

	snprintf(name, sizeof(name), "publish-%u", number);
	snprintf(peer, sizeof(peer), "pipes-%u", number);
	row = compared(&row, number ? peer : "");
	add_both(&row, name);
	if (!number)
		return;
	row = compared(&row, name);
	row.epoll = true;
	snprintf(name, sizeof(name), "publish-%u-epoll", number);
	add_both(&row, name);
}

static void number_rows(void)
{
	size_t i;

	add_number(0);
	for (i = 0; i < nr_subscriber_numbers; i++)
		add_number(subscriber_numbers[i]);
}

/* A value is stored once, however large it is and whoever hears of it. */
static void large_rows(void)
{
	static const unsigned int numbers[] = { 1, 99 };
	struct row row = {
		.setup = subscribe_roomy,
		.prepare = empty_queues,
		.run = run_publish,
		.teardown = unsubscribe_all,
		.size = VALUE_MAX,
		.batch = SHORT_BATCH / 2,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		row.subscribers = numbers[i];
		row_add(&row, "publish-%u-64K", numbers[i]);
	}
}

static void policy_rows(void)
{
	struct row table[] = {
		{ "publish-1-latest", .run = run_publish,
		  .flags = METASTORE_SUBSCRIBE_LATEST },
		{ "publish-1-prefix", .run = run_publish,
		  .flags = METASTORE_SUBSCRIBE_PREFIX },
		{ "publish-1-wait", .setup = subscribe_lossless,
		  .run = run_publish_wait },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].peers = "publish-1";
		if (!table[i].setup)
			table[i].setup = subscribe_all;
		table[i].prepare = empty_queues;
		table[i].teardown = unsubscribe_all;
		table[i].size = VALUE_LEN;
		table[i].subscribers = 1;
		add_both(&table[i], table[i].name);
	}
}

/**
 * publish_rows - rows of a publisher whose subscribers do not read yet
 */
void publish_rows(void)
{
	number_rows();
	large_rows();
	policy_rows();
}
