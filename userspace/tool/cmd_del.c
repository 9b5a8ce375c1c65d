// SPDX-License-Identifier: GPL-2.0
/* mstore del */
#include <metastore.h>

#include "commands.h"
#include "held.h"
#include "operation.h"
#include "settings.h"
#include "store.h"

static const struct tool_option options[] = {
	OPTION_PRINT("print each value that was removed, as mstore get does"),
	OPTION_PRINT_RAW, OPTION_NULL,
	OPTION_IF_VERSION, OPTION_STEAL, OPTION_HELD, OPTION_JSON, OPTION_ESCAPED, { }
};

static bool only;	/* one key, whose name need not be printed */

static int print_deleted(const struct operation *op)
{
	if (op->error)
		return operation_failed(op);
	if (settings.json)
		print_json_result(op);
	else if (op->tells && only)
		print_value(previous_value(op));
	else if (op->tells)
		print_pair(op->key, previous_value(op));
	return STATUS_YES;
}

static int del(int argc, char **argv)
{
	struct mstore *store;
	int status;

	next_option(&cmd_del, argc, argv);
	want_print(&cmd_del);
	want_operands(&cmd_del, argc, argv,
		      settings.write.flags & MSTORE_IF_VERSION || settings.raw ? "KEY" : "KEY...");
	only = argc - optind == 1;
	if (settings.held)
		return run_held_keys(&cmd_del, OP_DELETE, argc, argv, print_deleted);
	store = open_store(settings.print ? MSTORE_RDWR : MSTORE_WRITE);
	want_changes(store);
	status = run_keys(&cmd_del, store, OP_DELETE, argc, argv, print_deleted);
	mstore_close(store);
	return status;
}

const struct command cmd_del = {
	.name = "del",
	.run = del,
	.operands = "KEY...",
	.summary = "Remove keys and their values; subscriptions to them stay",
	.options = options,
};
