// SPDX-License-Identifier: GPL-2.0
/* mstore set, mstore pub */
#include <metastore.h>

#include "commands.h"
#include "held.h"
#include "input.h"
#include "operation.h"
#include "output.h"
#include "settings.h"
#include "store.h"

enum { OPT_COUNT = OPT_OWN, OPT_WAIT };

static const struct tool_option set_options[] = {
	OPTION_FILE,
	OPTION_PRINT("print the value that was replaced; nothing if there\nwas none"),
	OPTION_PRINT_RAW, OPTION_NULL,
	OPTION_CREATE, OPTION_REPLACE, OPTION_IF_VERSION, OPTION_STEAL, OPTION_HELD,
	OPTION_TTL, OPTION_KEEP_TTL, OPTION_JSON, OPTION_ESCAPED, { }
};

static const struct tool_option pub_options[] = {
	OPTION_FILE,
	{ OPT_COUNT, "count", NULL, "print how many subscriptions' queues took it" },
	{ OPT_WAIT, "wait", "[=TIME]",
	  "wait until all lossless queues have room; after TIME\n"
	  "end with status 124" },
	OPTION_CREATE, OPTION_REPLACE, OPTION_IF_VERSION, OPTION_STEAL, OPTION_HELD,
	OPTION_TTL, OPTION_KEEP_TTL, OPTION_JSON, OPTION_ESCAPED, { }
};

static int write_key(const struct command *cmd, enum operation_kind kind, int argc, char **argv,
		     bool count)
{
	struct operation op = {
		.kind = kind, .options = settings.write, .tells = settings.print,
	};
	struct mstore *store;

	want_one_form(cmd, (const struct form[]){
		{ "--json", settings.json }, { "--count", count }, { }
	});
	want_print(cmd);
	want_operands(cmd, argc, argv, value_operands());
	op.key = operand_key(cmd, argv[optind]);
	store = open_store(settings.print ? MSTORE_RDWR : MSTORE_WRITE);
	want_changes(store);
	op.value = operand_value(cmd, store, argv[optind + 1]);
	if (settings.held)
		run_held(&op);
	else if (op.options.flags & MSTORE_WAIT)
		run_with_wait(store, &op);
	else
		run_operation(store, &op);
	mstore_close(store);
	if (op.error)
		return operation_failed(&op);
	if (count)
		buffer_format(&out, "%d\n", op.queues);
	if (settings.json)
		print_json_result(&op);
	else if (op.tells && op.previous.version)
		print_value(previous_value(&op));
	return STATUS_YES;
}

static int set(int argc, char **argv)
{
	next_option(&cmd_set, argc, argv);
	return write_key(&cmd_set, OP_SET, argc, argv, false);
}

static void parse_wait(const char *timeout)
{
	settings.write.flags |= MSTORE_WAIT;
	settings.write.timeout_ms = MSTORE_WAIT_FOREVER;
	if (timeout)
		settings.write.timeout_ms = parse_duration(&cmd_pub, "--wait", timeout, 0,
							   MSTORE_WAIT_FOREVER - 1);
}

static int pub(int argc, char **argv)
{
	bool count = false;
	int option;

	while ((option = next_option(&cmd_pub, argc, argv)) != -1) {
		if (option == OPT_COUNT)
			count = true;
		else
			parse_wait(optarg);
	}
	return write_key(&cmd_pub, OP_PUBLISH, argc, argv, count);
}

const struct command cmd_set = {
	.name = "set",
	.run = set,
	.operands = "{KEY VALUE | --file FILE KEY}",
	.summary = "Store a value under a key",
	.options = set_options,
};

const struct command cmd_pub = {
	.name = "pub",
	.run = pub,
	.operands = "{KEY VALUE | --file FILE KEY}",
	.summary = "Store a value under a key and notify its subscribers",
	.options = pub_options,
};
