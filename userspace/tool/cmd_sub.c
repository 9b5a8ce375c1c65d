// SPDX-License-Identifier: GPL-2.0
/* metastore sub */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"

enum { OPT_FORMAT = OPT_OWN, OPT_EXEC, OPT_PUBLISHED, OPT_STRICT };

static void parse_options(struct follow *follow, int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "format", required_argument, NULL, OPT_FORMAT },
		{ "exec", required_argument, NULL, OPT_EXEC },
		{ "published", no_argument, NULL, OPT_PUBLISHED },
		{ "strict", no_argument, NULL, OPT_STRICT },
		LONG_TIMEOUT, LONG_JSON, LONG_NULL, LONG_ESCAPED, LONG_STORE, LONG_HELP, { }
	};
	static const char letters[] = SHORT_COMMON SHORT_NULL SHORT_ESCAPED "n:";
	int option;

	while ((option = next_option(&cmd_sub, argc, argv, letters, options)) != -1) {
		switch (option) {
		case 'n':
			follow->counted = true;
			follow->wanted = parse_number(&cmd_sub, "-n", optarg, 1, UINT64_MAX);
			break;
		case OPT_FORMAT:
			follow->format = optarg;
			break;
		case OPT_EXEC:
			follow->command = optarg;
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
	want_one_form(&cmd_sub, settings.json + (follow->format || settings.null) +
				!!follow->command);
	want_operands(&cmd_sub, argc, 1, INT_MAX);
	follow->count = argc - optind;
	follow->operands = argv + optind;
	follow->keys = calloc(follow->count, sizeof(*follow->keys));
	if (!follow->keys)
		call_failed("memory", ENOMEM);
	for (int i = 0; i < follow->count; i++)
		follow->keys[i] = operand_key(&cmd_sub, follow->operands[i]);
}

/* The cookie of a subscription is the index of its key. A key named twice is one. */
static void subscribe(const struct follow *follow)
{
	for (int i = 0; i < follow->count; i++) {
		struct bytes key = follow->keys[i];

		if (mstore_subscribe(follow->store, key.data, key.len, follow->events, i) &&
		    errno != EEXIST)
			key_failed(key, errno);
	}
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

bool is_complete(const struct follow *follow)
{
	return follow->counted && follow->seen >= follow->wanted;
}

/* Returns a status to end with, or -1 to go on. */
int changes_lost(const struct follow *follow, const struct mstore_event *event)
{
	print_loss(follow->keys[mstore_event_cookie(event)], mstore_event_count(event));
	return follow->strict ? STATUS_NO : -1;
}

void subscriptions_flushed(const struct mstore_event *event)
{
	unsigned long long count = mstore_event_count(event);

	print_flushed(count);
	die(STATUS_COULD_NOT, "sub", "flush --subscriptions removed %llu subscription%s", count,
	    count == 1 ? "" : "s");
}

/* Likewise. */
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
		return changes_lost(follow, event);
	case MSTORE_EVENT_FLUSHED:
		subscriptions_flushed(event);
	default:
		return -1;
	}
}

static int handle_events(struct follow *follow, struct mstore_event_buffer *buffer)
{
	const struct mstore_event *event = NULL;
	int status = -1;

	if (!read_events(follow->store, buffer))
		return -1;
	while (status < 0 && (event = mstore_event_next(buffer, event))) {
		status = handle_event(follow, event);
		out_flush();
	}
	return status;
}

static int follow_with_lines(struct follow *follow, struct mstore_event_buffer *buffer)
{
	int timeout, status = -1;

	do {
		timeout = time_left_ms();
		if (wait_for_event(follow->store, timeout))
			status = handle_events(follow, buffer);
		/* A timeout of 0 was the last look: a busy key must not prolong it. */
	} while (status < 0 && timeout);
	return status;
}

static int follow_keys(struct follow *follow)
{
	struct mstore_event_buffer *buffer = mstore_event_buffer_new(0);
	int status;

	if (!buffer)
		call_failed("memory", errno);
	status = follow->command ? follow_with_command(follow, buffer) :
				   follow_with_lines(follow, buffer);
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
	int status;

	parse(&follow, argc, argv);
	follow.store = open_store(MSTORE_READ | MSTORE_NONBLOCK);
	end_on_signals(follow.counted ? STATUS_NO : STATUS_YES);
	subscribe(&follow);
	status = follow_keys(&follow);
	mstore_close(follow.store);
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
		"                       %p process, %c command, %u user id, %U user,\n"
		"                       %w why it was deleted, %% a %\n"
		"      --exec COMMAND   run a shell command for each change, the value on its\n"
		"                       standard input; of several changes only for the last\n"
		"      --published      only what was published, not set or deleted\n"
		"      --strict         end with status 1 when changes were lost\n"
		HELP_NULL HELP_JSON HELP_ESCAPED,
};
