// SPDX-License-Identifier: GPL-2.0
/*
 * Publishing to subscribers of one key.
 */
#include <stdio.h>
#include <sys/epoll.h>

#include "store.h"

int subscribers[SUBSCRIBERS_MAX];
static int epoll = -1;

static void subscribe(int to)
{
	struct metastore_subscribe args = {
		.key = address(news),
		.key_len = KEY_LEN,
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
 * @row:	has the number of subscribers, and whether an epoll watches each
 */
void subscribe_all(const struct row *row)
{
	unsigned int i;

	one_key(row);
	for (i = 0; i < row->subscribers; i++) {
		subscribers[i] = open_device();
		subscribe(subscribers[i]);
		if (row->epoll)
			watch(subscribers[i]);
	}
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

/**
 * publish_rows - rows of a publisher whose subscribers do not read yet
 */
void publish_rows(void)
{
	static const unsigned int numbers[] = { 0, 1, 10, 99, 1000 };
	struct row row = {
		.setup = subscribe_all,
		.prepare = empty_queues,
		.run = run_publish,
		.teardown = unsubscribe_all,
		.size = VALUE_LEN,
	}, watched;
	char name[sizeof(row.name)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		row.subscribers = numbers[i];
		row.batch = numbers[i] < 99 ? BATCH : SHORT_BATCH;
		snprintf(name, sizeof(name), "publish-%u", numbers[i]);
		add_both(&row, name);
		if (!numbers[i])
			continue;
		watched = compared(&row, name);
		watched.epoll = true;
		snprintf(name, sizeof(name), "publish-%u-epoll", numbers[i]);
		add_both(&watched, name);
	}
}
