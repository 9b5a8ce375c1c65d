// SPDX-License-Identifier: GPL-2.0
/* Following keys and prefixes: what sub and monitor have in common. */
#include <errno.h>
#include <metastore.h>
#include <poll.h>
#include <unistd.h>

#include "error.h"
#include "event.h"
#include "follow.h"
#include "options.h"
#include "output.h"
#include "selection.h"
#include "store.h"
#include "watch.h"

#define TICK_MS	1000

/* An event's longest key, and more than what else it has. */
#define EVENT_ROOM	512

/* Why it failed, where the errno's own words would mislead. */
static noreturn void queue_failed(int error)
{
	switch (error) {
	case EPERM:
		die(STATUS_COULD_NOT, "queue",
		    "more than %d times the store's limit needs CAP_SYS_RESOURCE (see mstore info)",
		    MSTORE_QUEUE_FACTOR);
	case EINVAL:
		die(STATUS_COULD_NOT, "queue",
		    "--queue-len must be 1 to 1048576, --queue-bytes 4096 to 1073741824");
	default:
		call_failed("queue", error);
	}
}

bool follows_prefixes(const struct follow *follow)
{
	return follow->how.flags & MSTORE_SUBSCRIBE_PREFIX;
}

static bool reserves_room(const struct follow *follow)
{
	return follow->how.flags & MSTORE_SUBSCRIBE_LATEST && !follows_prefixes(follow);
}

/* The room for --latest may take half of the queue's bytes. */
static noreturn void no_room_for_latest(const struct follow *follow, uint32_t max_value)
{
	die(STATUS_COULD_NOT, follow->cmd->name,
	    "--latest: the queue lacks room for %d keys; give --queue-bytes %llu", follow->count,
	    2ULL * follow->count * (max_value + EVENT_ROOM));
}

/* After ENOBUFS: too many subscriptions, or a queue that is too small for them. */
static noreturn void no_room(const struct follow *follow)
{
	struct mstore_info info;

	if (mstore_info(follow->store, MSTORE_ANY_BUCKET, &info))
		call_failed(store_path(), errno);
	if (reserves_room(follow) && (uint32_t)follow->count <= info.max_subscriptions)
		no_room_for_latest(follow, info.max_value);
	die(STATUS_COULD_NOT, follow->cmd->name, "%d keys or prefixes: must be 1 to %u",
	    follow->count, info.max_subscriptions);
}

/* The cookie of a subscription is the index of its key. A key named twice is one. */
static void subscribe(const struct follow *follow)
{
	struct mstore_subscribe_options how = follow->how;

	for (int i = 0; i < follow->count; i++) {
		struct bytes key = follow->keys[i];

		how.cookie = i;
		if (!mstore_subscribe_with(follow->store, key.data, key.len, &how) ||
		    errno == EEXIST)
			continue;
		if (errno == ENOBUFS)
			no_room(follow);
		key_failed(key, errno);
	}
}

void follow_set_queue(const struct follow *follow, struct mstore *store)
{
	if (follow->queue.which && mstore_queue_set(store, &follow->queue))
		queue_failed(errno);
}

/* The program that waits for it may have gone away. */
void follow_tell_ready(const struct follow *follow)
{
	if (follow->ready_fd < 0)
		return;
	if (write(follow->ready_fd, "\n", 1) < 0 && errno != EPIPE)
		call_failed("--ready-fd", errno);
	close(follow->ready_fd);
}

/* Opens the store, and subscribes to all that is followed. */
void follow_begin(struct follow *follow)
{
	follow->buffer = mstore_event_buffer_new(0);
	if (!follow->buffer)
		call_failed("memory", errno);
	follow->store = open_store(MSTORE_READ | MSTORE_NONBLOCK);
	if (follow->how.flags || follow->how.events & ~EVENTS_ALL || follow->queue.which)
		want_feature(follow->store, MSTORE_FEATURE_DELIVERY);
	follow_set_queue(follow, follow->store);
	subscribe(follow);
	follow_tell_ready(follow);
}

bool is_complete(const struct follow *follow)
{
	return follow->counted && follow->seen >= follow->wanted;
}

/* Returns a status to end with, or -1 to go on. */
int changes_lost(struct follow *follow, const struct mstore_event *event)
{
	follow->lost += mstore_event_count(event);
	print_loss(follow->keys[mstore_event_cookie(event)], follows_prefixes(follow),
		   mstore_event_count(event));
	return follow->strict ? STATUS_NO : -1;
}

void subscriptions_flushed(const struct follow *follow, const struct mstore_event *event)
{
	unsigned long long count = mstore_event_count(event);

	print_flushed(count);
	die(STATUS_COULD_NOT, follow->cmd->name,
	    "flush --subscriptions removed %llu subscription%s", count, count == 1 ? "" : "s");
}

/* Returns a status to end with, or -1 to go on. */
static int show_change(struct follow *follow, const struct mstore_event *event)
{
	struct bytes key;

	key.data = mstore_event_key(event, &key.len);
	if (!is_selected(key))
		return -1;
	follow->print(follow, event);
	follow->seen++;
	return is_complete(follow) ? STATUS_YES : -1;
}

/* Returns a status to end with, or -1 to go on. */
static int handle_event(struct follow *follow, const struct mstore_event *event)
{
	switch (mstore_event_type(event)) {
	case MSTORE_EVENT_PUBLISHED:
	case MSTORE_EVENT_SET:
	case MSTORE_EVENT_DELETED:
	case MSTORE_EVENT_SNAPSHOT:
		return show_change(follow, event);
	case MSTORE_EVENT_SNAPSHOT_END:
		print_snapshot_end(follow->keys[mstore_event_cookie(event)],
				   follows_prefixes(follow), follow->format);
		return -1;
	case MSTORE_EVENT_LOST:
		return changes_lost(follow, event);
	case MSTORE_EVENT_FLUSHED:
		subscriptions_flushed(follow, event);
	default:
		return -1;
	}
}

static int handle_events(struct follow *follow)
{
	const struct mstore_event *event = NULL;
	int status = -1;

	if (!read_events(follow->store, follow->buffer))
		return -1;
	while (status < 0 && (event = mstore_event_next(follow->buffer, event))) {
		status = handle_event(follow, event);
		out_flush();
	}
	return status;
}

/* Returns false when the time is over and nothing is left to read. */
static bool wait_for_event(struct mstore *store, int timeout)
{
	struct pollfd fds[] = { { }, { .fd = mstore_fd(store), .events = POLLIN } };

	return poll_with_output(fds, ARRAY_SIZE(fds), timeout, STATUS_YES);
}

static int sooner(int timeout, int other)
{
	return timeout < 0 || timeout > other ? other : timeout;
}

/* The status to end with: @status, unless that is -1 because the time is over. */
int follow_status(const struct follow *follow, int status)
{
	if (status >= 0)
		return status;
	return follow->counted ? STATUS_TIMED_OUT : STATUS_YES;
}

/* Prints what happens. Returns the status to end with. */
int follow_with_lines(struct follow *follow)
{
	int timeout, status = -1;

	do {
		timeout = time_left_ms();
		if (wait_for_event(follow->store, follow->tick ? sooner(timeout, TICK_MS) :
								 timeout))
			status = handle_events(follow);
		if (follow->tick)
			follow->tick(follow);
		/* A timeout of 0 was the last look: a busy key must not prolong it. */
	} while (status < 0 && timeout);
	return follow_status(follow, status);
}

void follow_end(struct follow *follow)
{
	mstore_event_buffer_free(follow->buffer);
	mstore_close(follow->store);
}
