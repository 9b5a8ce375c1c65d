// SPDX-License-Identifier: GPL-2.0
/* mstore wait */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "operation.h"
#include "output.h"
#include "settings.h"
#include "watch.h"

enum { OPT_GONE = OPT_OWN, OPT_NEWER };

static const struct tool_option options[] = {
	{ OPT_GONE, "gone", NULL, "wait until the key is absent, print nothing" },
	{ OPT_NEWER, "newer", "V", "wait for a version above V" },
	{ OPT_TIMEOUT, "timeout", "TIME", "wait at most this long, then end with status 124" },
	{ OPT_RAW, "raw", NULL, "print the value without a newline" },
	OPTION_NULL, OPTION_JSON, OPTION_ESCAPED, { }
};

/* The state to wait for. */
struct goal {
	struct bytes key;
	bool gone;
	bool valued;		/* it must have @value */
	struct bytes value;
	uint64_t newer;		/* and a version above this */
};

static void parse(struct goal *goal, int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_wait, argc, argv)) != -1) {
		if (option == OPT_GONE)
			goal->gone = true;
		else
			goal->newer = parse_number(&cmd_wait, "--newer", optarg, 0, UINT64_MAX);
	}
	want_one_form(&cmd_wait, (const struct form[]){
		{ "--raw", settings.raw }, { "--json", settings.json }, { "-0", settings.null }, { }
	});
	want_operands(&cmd_wait, argc, argv, goal->gone ? "KEY" : "KEY [VALUE]");
	if (goal->gone && goal->newer)
		die_usage(&cmd_wait, "--gone and --newer exclude each other; give one");
	goal->key = operand_key(&cmd_wait, argv[optind]);
	goal->valued = argc - optind == 2;
	/* Values such as -5 are common, --gone there is a mistake. */
	if (goal->valued && !strncmp(argv[optind + 1], "--", 2))
		want_no_option(&cmd_wait, argc, argv, optind + 1);
	if (goal->valued)
		goal->value = operand_bytes(&cmd_wait, argv[optind + 1]);
}

/* Is the goal reached by this value? */
static bool is_reached(const struct goal *goal, struct bytes value, uint64_t version)
{
	if (goal->gone || version <= goal->newer)
		return false;
	return !goal->valued || (value.len == goal->value.len &&
				 !memcmp(value.data, goal->value.data, value.len));
}

static void print_goal(const struct goal *goal, struct bytes value, uint64_t version)
{
	const struct operation found = {
		.kind = OP_GET, .key = goal->key, .value = value, .version = version
	};

	if (settings.json)
		print_json_result(&found);
	else
		print_value(value);
}

/* Each returns whether the goal is reached, and has then printed the value. */
static bool look(const struct goal *goal, const struct watch *watch)
{
	struct operation get = { .kind = OP_GET, .key = goal->key };

	run_operation(watch->store, &get);
	if (get.error == ENOENT)
		return goal->gone;
	if (get.error)
		exit(operation_failed(&get));
	if (!is_reached(goal, get.value, get.version))
		return false;
	print_goal(goal, get.value, get.version);
	return true;
}

static bool look_at_event(const struct goal *goal, const struct mstore_event *event)
{
	struct bytes value;

	value.data = mstore_event_value(event, &value.len);
	if (!is_reached(goal, value, mstore_event_version(event)))
		return false;
	print_goal(goal, value, mstore_event_version(event));
	return true;
}

/* A state that lasted only a moment counts as well. */
static bool look_at_events(const struct goal *goal, const struct watch *watch)
{
	const struct mstore_event *event = NULL;
	bool reached = false;

	while (!reached && (event = mstore_event_next(watch->buffer, event))) {
		switch (mstore_event_type(event)) {
		case MSTORE_EVENT_PUBLISHED:
		case MSTORE_EVENT_SET:
			reached = look_at_event(goal, event);
			break;
		case MSTORE_EVENT_DELETED:
			reached = goal->gone;
			break;
		default:
			reached = look(goal, watch);
		}
	}
	return reached;
}

static int wait_for_goal(int argc, char **argv)
{
	struct goal goal = { 0 };
	struct watch watch = {
		.events = MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED,
	};
	int status = STATUS_YES;

	parse(&goal, argc, argv);
	end_on_signals(STATUS_NO);
	watch.key = goal.key;
	/* Subscribe first: a change in between is then not missed. */
	watch_begin(&watch);
	if (!look(&goal, &watch)) {
		do {
			if (!watch_events(&watch))
				status = STATUS_TIMED_OUT;
		} while (status == STATUS_YES && !look_at_events(&goal, &watch));
	}
	watch_end(&watch);
	return status;
}

const struct command cmd_wait = {
	.name = "wait",
	.run = wait_for_goal,
	.operands = "KEY [VALUE]",
	.summary = "Wait until a key exists, or has a value, and print its value",
	.options = options,
};
