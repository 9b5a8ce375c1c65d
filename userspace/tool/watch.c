// SPDX-License-Identifier: GPL-2.0
/* Waiting for changes of keys, at most until --timeout. */
#include <errno.h>
#include <limits.h>
#include <metastore.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "watch.h"

/* As poll() takes it: the time to a moment of CLOCK_MONOTONIC, in ns; 0 when it is over. */
int ms_until(uint64_t deadline)
{
	uint64_t ms, now = now_ns(CLOCK_MONOTONIC);

	if (now >= deadline)
		return 0;
	ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms < INT_MAX ? ms : INT_MAX;
}

/* As poll() takes it: -1 for ever, 0 when the time of --timeout is over. */
int time_left_ms(void)
{
	return settings.timed ? ms_until(settings.deadline) : -1;
}

/*
 * As poll(). The first of @fds is standard output: once its reader is gone, this ends
 * with @status rather than wait for news that nobody would read.
 */
int poll_with_output(struct pollfd *fds, int count, int timeout, int status)
{
	int ready;

	fds[0] = (struct pollfd){ .fd = STDOUT_FILENO };
	ready = poll(fds, count, timeout);
	if (ready < 0)
		call_failed(store_path(), errno);
	if (fds[0].revents & (POLLERR | POLLHUP))
		exit(status);
	return ready;
}

static void end_with_yes(int signal)
{
	(void)signal;
	progress_end();
	_exit(STATUS_YES);
}

static void end_with_no(int signal)
{
	(void)signal;
	progress_end();
	_exit(STATUS_NO);
}

/* An ignored signal stays ignored: nohup and shells rely on that. */
static void end_on_signal(int signal, void (*end)(int))
{
	struct sigaction action;

	sigaction(signal, NULL, &action);
	if (action.sa_handler == SIG_IGN)
		return;
	memset(&action, 0, sizeof(action));
	action.sa_handler = end;
	sigaction(signal, &action, NULL);
}

/*
 * Ctrl-C ends at once, in a wait or in a write to a full pipe. Both places have no
 * complete record left to write.
 */
void end_on_signals(int status)
{
	void (*end)(int) = status == STATUS_YES ? end_with_yes : end_with_no;

	end_on_signal(SIGINT, end);
	end_on_signal(SIGTERM, end);
}

/* Returns false when there was nothing to read after all. */
bool read_events(struct mstore *store, struct mstore_event_buffer *buffer)
{
	if (mstore_read_events(store, buffer) >= 0)
		return true;
	if (errno != EAGAIN)
		call_failed(store_path(), errno);
	return false;
}

static void subscribe(struct watch *watch)
{
	if (mstore_subscribe(watch->store, watch->key.data, watch->key.len, watch->events, 0) &&
	    errno != EEXIST)
		key_failed(watch->key, errno);
}

/* Subscribes to @key for @events, which the caller has written. */
void watch_begin(struct watch *watch)
{
	watch->store = open_store(MSTORE_READ | MSTORE_NONBLOCK);
	watch->buffer = mstore_event_buffer_new(0);
	if (!watch->buffer)
		call_failed("memory", errno);
	subscribe(watch);
}

/*
 * Waits for events and reads them. Returns false at the timeout. Subscribes again
 * after FLUSHED: the flush was not meant to end the wait for the key.
 */
bool watch_events(struct watch *watch)
{
	struct pollfd fds[] = { { }, { .fd = mstore_fd(watch->store), .events = POLLIN } };
	const struct mstore_event *event = NULL;
	int timeout = time_left_ms();

	/* A time of 0 was the last look: a busy key must not prolong it. */
	if (watch->over)
		return false;
	watch->over = !timeout;
	do {
		if (!poll_with_output(fds, ARRAY_SIZE(fds), timeout, watch->unread))
			return false;
	} while (!read_events(watch->store, watch->buffer));
	while ((event = mstore_event_next(watch->buffer, event)))
		if (mstore_event_type(event) == MSTORE_EVENT_FLUSHED)
			subscribe(watch);
	return true;
}

void watch_end(struct watch *watch)
{
	mstore_event_buffer_free(watch->buffer);
	mstore_close(watch->store);
}
