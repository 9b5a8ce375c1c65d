// SPDX-License-Identifier: GPL-2.0
/*
 * A work queue: several processes read one open file, so that each job goes to one
 * free process.
 *
 *	cc work_queue.c $(pkg-config --cflags --libs metastore)
 *	./a.out 4 &
 *	mstore pub --wait job 'first job'
 *
 * The queue is lossless: pub --wait waits until there is room for its job. The job
 * "stop" ends the worker that gets it, after the other jobs in its buffer.
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

/* Returns whether this job ends the worker. */
static bool work(const struct mstore_event *event, int number)
{
	const char *job;
	size_t len;

	job = mstore_event_value(event, &len);
	if (mstore_event_type(event) != MSTORE_EVENT_PUBLISHED)
		return false;
	if (is(job, len, "stop"))
		return true;
	printf("worker %d: %.*s\n", number, (int)len, job);
	fflush(stdout);
	return false;
}

/*
 * Each buffer is too small at first and grows to the size of the next event. So it
 * rarely holds jobs that another worker could do. It holds several if another worker
 * took that event first, and the events behind it are smaller.
 */
static int work_on(struct mstore *store, int number)
{
	bool over = false;

	while (!over) {
		struct mstore_event_buffer *events = mstore_event_buffer_new(1);
		const struct mstore_event *event = NULL;

		if (!events || mstore_read_events(store, events) < 0) {
			perror("metastore");
			return 1;
		}
		while ((event = mstore_event_next(events, event)))
			over |= work(event, number);
		mstore_event_buffer_free(events);
	}
	return 0;
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
			return work_on(store, i);
	while (wait(&status) > 0)
		worst |= status;
	return worst != 0;
}
