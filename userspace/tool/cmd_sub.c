// SPDX-License-Identifier: GPL-2.0
/* mstore sub */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <metastore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "error.h"
#include "event.h"
#include "follow.h"
#include "selection.h"
#include "settings.h"
#include "signals.h"
#include "sub_exec.h"
#include "sub_follow.h"
#include "watch.h"

enum {
	OPT_FORMAT = OPT_OWN,
	OPT_FOLLOW,
	OPT_EXEC,
	OPT_RESTART,
	OPT_SIGNAL,
	OPT_SETTLE,
	OPT_CHANGES,
	OPT_PUBLISHED,
	OPT_STRICT,
	OPT_PREFIX,
	OPT_SNAPSHOT,
	OPT_NEWER,
	OPT_LATEST,
	OPT_NO_VALUE,
	OPT_LOSSLESS,
	OPT_QUEUE_LEN,
	OPT_QUEUE_BYTES,
	OPT_READY_FD,
};

/* Longest time to settle: a day. */
#define SETTLE_MAX_MS	86400000

static const struct tool_option options[] = {
	OPTION_COUNT, OPTION_ENOUGH,
	{ OPT_FORMAT, "format", "FORMAT",
	  "print changes like this: %k key, %v value, %e event,\n"
	  "%r version, %s size, %t time, %T time in ns,\n"
	  "%p process, %c command, %u user id, %U user,\n"
	  "%w cause of deletion, %% a percent sign" },
	{ OPT_EXEC, "exec", "COMMAND",
	  "run a shell command for each change, with the value on\n"
	  "its standard input; for several changes only the last" },
	{ OPT_RESTART, "restart", "[=SIGNAL]",
	  "a change ends the command, with SIGTERM or SIGNAL,\n"
	  "and starts it anew" },
	{ OPT_SIGNAL, "signal", "SIGNAL", "a change sends SIGNAL to the command, which goes on" },
	{ OPT_SETTLE, "settle", "TIME", "run commands once nothing has changed for TIME" },
	{ OPT_PREFIX, "prefix", NULL, "operands are prefixes: follow all keys with them" },
	OPTION_EXCEPT,
	{ OPT_FOLLOW, "follow", NULL,
	  "show the present values first, and again those that\n"
	  "changed when changes were lost: nothing shown stays wrong" },
	{ OPT_SNAPSHOT, "snapshot", NULL, "show the present values first" },
	{ OPT_NEWER, "newer", "V", "show the present value first, if its version is above V" },
	{ OPT_CHANGES, "changes", "LIST",
	  "only these, separated by commas: set, published, deleted\n"
	  "(or instead its causes: delete, flushed, expired, owner)" },
	{ OPT_PUBLISHED, "published", NULL, "only published values, neither sets nor deletions" },
	{ OPT_NO_VALUE, "no-value", NULL, "leave the values out" },
	{ OPT_LATEST, "latest", NULL, "conflate: keep only the newest waiting change of a key" },
	{ OPT_LOSSLESS, "lossless", NULL,
	  "make publishers that wait for room wait for this reader" },
	{ OPT_QUEUE_LEN, "queue-len", "N", "most changes that may wait to be read" },
	{ OPT_QUEUE_BYTES, "queue-bytes", "N", "most bytes of these changes" },
	{ OPT_READY_FD, "ready-fd", "N", "write a newline to descriptor N when subscribed" },
	{ OPT_STRICT, "strict", NULL, "end with status 1 when changes were lost" },
	OPTION_NULL, OPTION_JSON, OPTION_ESCAPED, { }
};

static int parse_change(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		if (len == strlen(changes[i].word) && !memcmp(word, changes[i].word, len))
			return changes[i].events;
	die_usage(&cmd_sub,
		  "--changes '%.*s': must be set, published, deleted, delete, flushed, expired or owner, separated by commas",
		  (int)len, word);
}

static int parse_changes(const char *list)
{
	int events = 0;

	for (;;) {
		size_t len = strcspn(list, ",");

		events |= parse_change(list, len);
		if (!list[len])
			return events;
		list += len + 1;
	}
}

/* It must be open already, else the store would get that number. */
static int parse_ready_fd(const char *text)
{
	int fd = parse_number(&cmd_sub, "--ready-fd", text, STDERR_FILENO + 1, INT_MAX);

	if (fcntl(fd, F_GETFD) < 0)
		die_usage(&cmd_sub, "--ready-fd: descriptor %d is not open", fd);
	return fd;
}

static bool parse_queue_option(struct mstore_queue_options *queue, int option)
{
	switch (option) {
	case OPT_LOSSLESS:
		queue->which |= MSTORE_QUEUE_SET_POLICY;
		queue->policy = MSTORE_QUEUE_LOSSLESS;
		return true;
	case OPT_QUEUE_LEN:
		queue->which |= MSTORE_QUEUE_SET_LEN;
		queue->max_len = parse_queue_len(&cmd_sub, optarg);
		return true;
	case OPT_QUEUE_BYTES:
		queue->which |= MSTORE_QUEUE_SET_BYTES;
		queue->max_bytes = parse_queue_bytes(&cmd_sub, optarg);
		return true;
	default:
		return false;
	}
}

static bool parse_how_option(struct mstore_subscribe_options *how, int option)
{
	switch (option) {
	case OPT_CHANGES:
		how->events = parse_changes(optarg);
		return true;
	case OPT_PUBLISHED:
		how->events = MSTORE_EVENT_PUBLISHED;
		return true;
	case OPT_PREFIX:
		how->flags |= MSTORE_SUBSCRIBE_PREFIX;
		return true;
	case OPT_NEWER:
		how->flags |= MSTORE_SUBSCRIBE_SNAPSHOT | MSTORE_SUBSCRIBE_NEWER;
		how->version = parse_number(&cmd_sub, "--newer", optarg, 0, UINT64_MAX);
		return true;
	case OPT_SNAPSHOT:
		how->flags |= MSTORE_SUBSCRIBE_SNAPSHOT;
		return true;
	case OPT_LATEST:
		how->flags |= MSTORE_SUBSCRIBE_LATEST;
		return true;
	case OPT_NO_VALUE:
		how->flags |= MSTORE_SUBSCRIBE_NO_VALUE;
		return true;
	default:
		return false;
	}
}

static void set_mode(struct exec *exec, enum exec_mode mode, const char *option, const char *name)
{
	if (exec->mode != EXEC_EACH && exec->mode != mode)
		die_usage(&cmd_sub, "--restart excludes --signal");
	exec->mode = mode;
	exec->signal = parse_signal(&cmd_sub, option, name);
}

static bool parse_exec_option(struct exec *exec, int option)
{
	switch (option) {
	case OPT_EXEC:
		exec->command = optarg;
		return true;
	case OPT_RESTART:
		set_mode(exec, EXEC_RESTART, "--restart", optarg ? optarg : "TERM");
		return true;
	case OPT_SIGNAL:
		set_mode(exec, EXEC_SIGNAL, "--signal", optarg);
		return true;
	case OPT_SETTLE:
		exec->settle_ns = NS_PER_MS * parse_duration(&cmd_sub, "--settle", optarg, 1,
							     SETTLE_MAX_MS);
		return true;
	default:
		return false;
	}
}

static void parse_options(struct follow *follow, struct exec *exec, int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_sub, argc, argv)) != -1) {
		if (parse_how_option(&follow->how, option) ||
		    parse_queue_option(&follow->queue, option) ||
		    parse_exec_option(exec, option))
			continue;
		switch (option) {
		case 'n':
			follow->counted = true;
			follow->wanted = parse_number(&cmd_sub, "-n", optarg, 1, UINT64_MAX);
			break;
		case OPT_FORMAT:
			follow->format = optarg;
			break;
		case OPT_FOLLOW:
			follow->recovers = true;
			break;
		case OPT_READY_FD:
			follow->ready_fd = parse_ready_fd(optarg);
			break;
		case OPT_STRICT:
			follow->strict = true;
			break;
		}
	}
}

static void parse_prefixes(struct follow *follow, int argc, char **argv)
{
	select_prefixes(&cmd_sub, argc, argv);
	follow->keys = selection.prefixes;
	follow->count = selection.count;
}

static void parse_keys(struct follow *follow, int argc, char **argv)
{
	if (settings.except_count)
		die_usage(&cmd_sub, "--except needs --prefix");
	want_operands(&cmd_sub, argc, argv, "KEY...");
	follow->count = argc - optind;
	follow->operands = argv + optind;
	follow->keys = calloc(follow->count, sizeof(*follow->keys));
	if (!follow->keys)
		call_failed("memory", ENOMEM);
	for (int i = 0; i < follow->count; i++)
		follow->keys[i] = operand_key(&cmd_sub, follow->operands[i]);
}

static void check_exec(const struct follow *follow, const struct exec *exec)
{
	if (!exec->command && (exec->mode != EXEC_EACH || exec->settle_ns))
		die_usage(&cmd_sub, "%s needs --exec",
			  exec->mode == EXEC_RESTART ? "--restart" :
			  exec->mode == EXEC_SIGNAL ? "--signal" : "--settle");
	if (follows_prefixes(follow) && exec->command)
		die_usage(&cmd_sub, "--exec excludes --prefix; name the keys");
}

static void check_follow(const struct follow *follow, const struct exec *exec)
{
	const char *other = exec->command ? "--exec" : follow->strict ? "--strict" :
			    follow->how.flags & MSTORE_SUBSCRIBE_NEWER ? "--newer" :
			    follow->how.events != EVENTS_ALL ? "--changes and --published" : NULL;

	if (follow->recovers && other)
		die_usage(&cmd_sub, "--follow excludes %s", other);
}

static void parse(struct follow *follow, struct exec *exec, int argc, char **argv)
{
	const char *wrong;

	parse_options(follow, exec, argc, argv);
	wrong = follow->format ? format_error(follow->format) : NULL;
	if (wrong)
		die_usage(&cmd_sub, "unknown directive or escape in --format at '%s'", wrong);
	want_one_form(&cmd_sub, (const struct form[]){
		{ "--json", settings.json },
		{ follow->format ? "--format" : "-0", follow->format || settings.null },
		{ "--exec", exec->command }, { }
	});
	check_exec(follow, exec);
	check_follow(follow, exec);
	if (follows_prefixes(follow) && follow->how.flags & MSTORE_SUBSCRIBE_NEWER)
		die_usage(&cmd_sub, "--newer excludes --prefix; name the keys");
	if (follows_prefixes(follow))
		parse_prefixes(follow, argc, argv);
	else
		parse_keys(follow, argc, argv);
}

static void print(const struct follow *follow, const struct mstore_event *event)
{
	print_event(event, follow->format);
}

static int sub(int argc, char **argv)
{
	struct follow follow = {
		.cmd = &cmd_sub,
		.how.events = EVENTS_ALL,
		.ready_fd = -1,
		.print = print,
	};
	struct exec exec = { 0 };
	int status;

	parse(&follow, &exec, argc, argv);
	end_on_signals(follow.counted ? STATUS_NO : STATUS_YES);
	if (follow.recovers) {
		status = follow_with_recovery(&follow);
	} else {
		follow_begin(&follow);
		status = exec.command ? follow_with_command(&follow, &exec) :
					follow_with_lines(&follow);
		follow_end(&follow);
	}
	free(follow.keys);
	return status;
}

const struct command cmd_sub = {
	.name = "sub",
	.run = sub,
	.operands = "{KEY... | --prefix [PREFIX...]}",
	.summary = "Print each change of keys as it happens, one KEY VALUE per line",
	.options = options,
};
