// SPDX-License-Identifier: GPL-2.0
/* metastore sub */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define NS_PER_SEC	1000000000ULL
#define NS_PER_MS	1000000ULL

enum { OPT_TIMEOUT = OPT_OWN, OPT_FORMAT, OPT_PUBLISHED, OPT_STRICT };

/* What was asked for, and how far it has come. */
struct follow {
	struct bytes *keys;
	int events;
	const char *format;
	bool strict;
	bool counted;		/* -n: @wanted events */
	uint64_t wanted;
	uint64_t seen;
	bool timed;		/* --timeout: until @deadline of CLOCK_MONOTONIC */
	uint64_t deadline;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static void parse_options(struct follow *follow, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "format", required_argument, NULL, OPT_FORMAT },
		{ "published", no_argument, NULL, OPT_PUBLISHED },
		{ "strict", no_argument, NULL, OPT_STRICT },
		LONG_JSON, LONG_NULL, LONG_ESCAPED, LONG_STORE, LONG_HELP, { }
	};
	static const char letters[] = SHORT_COMMON SHORT_NULL SHORT_ESCAPED "n:";
	int option;

	while ((option = next_option(&cmd_sub, argc, argv, letters, options)) != -1) {
		switch (option) {
		case 'n':
			follow->counted = true;
			follow->wanted = parse_number(&cmd_sub, "-n", optarg, 1, UINT64_MAX);
			break;
		case OPT_TIMEOUT:
			follow->timed = true;
			follow->deadline = now_ns() + parse_seconds(&cmd_sub, "--timeout", optarg);
			break;
		case OPT_FORMAT:
			follow->format = optarg;
			break;
		case OPT_PUBLISHED:
			follow->events = MSTORE_EVENT_PUBLISHED;
			break;
		case OPT_STRICT:
			follow->strict = true;
			break;
		}
	}
}

static void parse(struct follow *follow, int argc, char **argv)
{
	const char *wrong;

	parse_options(follow, argc, argv);
	wrong = follow->format ? format_error(follow->format) : NULL;
	if (wrong)
		die_usage(&cmd_sub, "unknown directive or escape in --format at '%s'", wrong);
	want_one_form(&cmd_sub, settings.json + (follow->format || settings.null));
	want_operands(&cmd_sub, argc, 1, INT_MAX);
	follow->keys = calloc(argc - optind, sizeof(*follow->keys));
	if (!follow->keys)
		call_failed("memory", ENOMEM);
	for (int i = optind; i < argc; i++)
		follow->keys[i - optind] = operand_key(&cmd_sub, argv[i]);
}

/* The cookie of a subscription is the index of its key. A key named twice is one. */
static void subscribe(struct mstore *store, const struct follow *follow, int count)
{
	for (int i = 0; i < count; i++) {
		struct bytes key = follow->keys[i];

		if (mstore_subscribe(store, key.data, key.len, follow->events, i) &&
		    errno != EEXIST)
			key_failed(key, errno);
	}
}

/*
 * Ctrl-C ends at once, whether in a wait or in a write to a pipe that nobody
 * empties: nothing complete is kept back at either place.
 */
static void end_with_yes(int signal)
{
	(void)signal;
	_exit(STATUS_YES);
}

static void end_with_no(int signal)
{
	(void)signal;
	_exit(STATUS_NO);
}

/* Signals that are ignored stay so: they are meant for somebody else. */
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

static int poll_timeout(const struct follow *follow)
{
	uint64_t now = now_ns(), ms;

	if (!follow->timed)
		return -1;
	if (now >= follow->deadline)
		return 0;
	ms = (follow->deadline - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms < INT_MAX ? ms : INT_MAX;
}

/* Returns false when the time is over and nothing is left to read. */
static bool wait_for_event(struct mstore *store, int timeout)
{
	struct pollfd fds[] = {
		{ .fd = mstore_fd(store), .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};
	int ready = poll(fds, 2, timeout);

	if (ready < 0)
		call_failed(store_path(), errno);
	/* Whoever read the output is gone: do not wait for an event to notice. */
	if (fds[1].revents & (POLLERR | POLLHUP))
		exit(STATUS_YES);
	return ready > 0;
}

static bool is_complete(const struct follow *follow)
{
	return follow->counted && follow->seen >= follow->wanted;
}

static int handle_flushed(const struct mstore_event *event)
{
	unsigned long long count = mstore_event_count(event);

	print_flushed(count);
	die(STATUS_COULD_NOT, "sub", "flush --subscriptions removed %llu subscription%s", count,
	    count == 1 ? "" : "s");
}

/* Each returns a status to end with, or -1 to go on. */
static int handle_loss(const struct follow *follow, const struct mstore_event *event)
{
	print_loss(follow->keys[mstore_event_cookie(event)], mstore_event_count(event));
	return follow->strict ? STATUS_NO : -1;
}

static int handle_event(struct follow *follow, const struct mstore_event *event)
{
	switch (mstore_event_type(event)) {
	case MSTORE_EVENT_PUBLISHED:
	case MSTORE_EVENT_SET:
	case MSTORE_EVENT_DELETED:
		print_event(event, follow->format);
		follow->seen++;
		return is_complete(follow) ? STATUS_YES : -1;
	case MSTORE_EVENT_LOST:
		return handle_loss(follow, event);
	case MSTORE_EVENT_FLUSHED:
		return handle_flushed(event);
	default:
		return -1;
	}
}

static int handle_events(struct mstore *store, struct follow *follow,
			 struct mstore_event_buffer *buffer)
{
	const struct mstore_event *event = NULL;
	int status = -1;

	if (mstore_read_events(store, buffer) < 0) {
		if (errno != EAGAIN)
			call_failed(store_path(), errno);
		return -1;
	}
	while (status < 0 && (event = mstore_event_next(buffer, event))) {
		status = handle_event(follow, event);
		out_flush();
	}
	return status;
}

static int follow_keys(struct mstore *store, struct follow *follow)
{
	struct mstore_event_buffer *buffer = mstore_event_buffer_new(0);
	int timeout, status = -1;

	if (!buffer)
		call_failed("memory", errno);
	do {
		timeout = poll_timeout(follow);
		if (wait_for_event(store, timeout))
			status = handle_events(store, follow, buffer);
		/* A timeout of 0 was the last look: a busy key must not prolong it. */
	} while (status < 0 && timeout);
	mstore_event_buffer_free(buffer);
	if (status >= 0)
		return status;
	return follow->seen && !follow->counted ? STATUS_YES : STATUS_TIMED_OUT;
}

static int sub(int argc, char **argv)
{
	struct follow follow = {
		.events = MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED,
	};
	struct mstore *store;
	int status;

	parse(&follow, argc, argv);
	store = open_store(MSTORE_READ | MSTORE_NONBLOCK);
	end_on_signal(SIGINT, follow.counted ? end_with_no : end_with_yes);
	end_on_signal(SIGTERM, follow.counted ? end_with_no : end_with_yes);
	subscribe(store, &follow, argc - optind);
	status = follow_keys(store, &follow);
	mstore_close(store);
	free(follow.keys);
	return status;
}

const struct command cmd_sub = {
	.name = "sub",
	.run = sub,
	.operands = "KEY...",
	.summary = "Print each change of keys as it happens, KEY VALUE a line",
	.help = "  -n, --count COUNT    end after COUNT changes\n"
		"      --timeout SECONDS\n"
		"                       end then, with status 124 if too little happened\n"
		"      --format FORMAT  print each change so: %k key, %v value, %e event,\n"
		"                       %r version, %s size, %t time, %T time in ns,\n"
		"                       %p process, %c command, %u user id, %U user, %% a %\n"
		"      --published      only what was published, not set or deleted\n"
		"      --strict         end with status 1 when changes were lost\n"
		HELP_NULL HELP_JSON HELP_ESCAPED,
};
