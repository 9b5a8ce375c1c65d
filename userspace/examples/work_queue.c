// SPDX-License-Identifier: GPL-2.0
/*
 * A work queue: several processes read one open file, so that each job goes to one
 * of them, whoever is free.
 *
 *	cc work_queue.c $(pkg-config --cflags --libs metastore)
 *	./a.out 4 &
 *	metastore pub --wait job 'first job'
 *
 * The queue is lossless: pub --wait waits until there is room for its job. A job that
 * is the word stop ends the worker that gets it.
 */
#include <metastore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is(const char *job, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(job, word, len);
}

/* A buffer for no more than one event, so that none waits here while others are free. */
static int work(struct mstore *store, int number)
{
	struct mstore_event_buffer *events = mstore_event_buffer_new(1);
	const struct mstore_event *event;
	const char *job;
	size_t len;

	while (events && mstore_read_events(store, events) > 0) {
		event = mstore_event_next(events, NULL);
		job = mstore_event_value(event, &len);
		if (is(job, len, "stop"))
			return 0;
		if (mstore_event_type(event) != MSTORE_EVENT_PUBLISHED)
			continue;
		printf("worker %d: %.*s\n", number, (int)len, job);
		fflush(stdout);
	}
	perror("metastore");
	return 1;
}

int main(int argc, char **argv)
{
	const struct mstore_queue_options lossless = {
		.which = MSTORE_QUEUE_SET_POLICY, .policy = MSTORE_QUEUE_LOSSLESS,
	};
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	int workers = argc > 1 ? atoi(argv[1]) : 2;
	int status, worst = 0;

	if (!store || mstore_queue_set(store, &lossless) ||
	    mstore_subscribe(store, "job", MSTORE_STRLEN, MSTORE_EVENT_PUBLISHED, 0)) {
		perror("metastore");
		return 1;
	}
	for (int i = 1; i <= workers; i++)
		if (!fork())
			return work(store, i);
	while (wait(&status) > 0)
		worst |= status;
	return worst != 0;
}
