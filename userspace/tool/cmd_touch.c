// SPDX-License-Identifier: GPL-2.0
/* mstore touch */
#include <metastore.h>

#include "commands.h"
#include "held.h"
#include "operation.h"
#include "settings.h"
#include "store.h"

static const struct tool_option options[] = {
	OPTION_TTL, OPTION_IF_VERSION, OPTION_HELD, OPTION_JSON, OPTION_ESCAPED, { }
};

static int print_renewed(const struct operation *op)
{
	if (op->error)
		return operation_failed(op);
	if (settings.json)
		print_json_result(op);
	return STATUS_YES;
}

static int touch(int argc, char **argv)
{
	struct mstore *store;
	int status;

	next_option(&cmd_touch, argc, argv);
	want_operands(&cmd_touch, argc, argv,
		      settings.write.flags & MSTORE_IF_VERSION ? "KEY" : "KEY...");
	want_ttl(&cmd_touch);
	store = open_store(MSTORE_WRITE);
	want_feature(store, MSTORE_FEATURE_TOUCH);
	if (settings.held)
		status = run_held_keys(&cmd_touch, OP_TOUCH, argc, argv, print_renewed);
	else
		status = run_keys(&cmd_touch, store, OP_TOUCH, argc, argv, print_renewed);
	mstore_close(store);
	return status;
}

const struct command cmd_touch = {
	.name = "touch",
	.run = touch,
	.operands = "--ttl TIME KEY...",
	.summary = "Renew the time to live of keys; no subscriber is notified",
	.options = options,
};
