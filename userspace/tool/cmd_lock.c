// SPDX-License-Identifier: GPL-2.0
/* mstore lock */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "held.h"
#include "operation.h"
#include "output.h"
#include "store.h"
#include "watch.h"

enum { OPT_VALUE = OPT_OWN };

static const struct tool_option options[] = {
	{ OPT_TIMEOUT, "timeout", "TIME", "wait at most this long, then end with status 124" },
	{ OPT_VALUE, "value", "VALUE", "value of the key, instead of process and command" },
	OPTION_ESCAPED, { }
};

/* The name of the lock's holder: "PID COMMAND ARGUMENT...", as much as the store takes. */
static struct bytes holder(struct mstore *store, char **command)
{
	size_t most = longest_value(store);
	struct buffer buf = { 0 };

	buffer_format(&buf, "%d", getpid());
	for (; *command; command++) {
		buffer_text(&buf, " ");
		buffer_text(&buf, *command);
	}
	return (struct bytes){ buf.data, buf.len < most ? buf.len : most };
}

/*
 * Creates the key, once the present holder ends. Subscribes before it tries, so that
 * it cannot miss that end. Returns a status.
 */
static int take(struct mstore *store, struct operation *op)
{
	struct watch watch = {
		.key = op->key, .events = MSTORE_EVENT_DELETED, .unread = STATUS_NO,
	};
	int status;

	watch_begin(&watch);
	for (;;) {
		run_operation(store, op);
		if (op->error != EEXIST) {
			status = op->error ? operation_failed(op) : STATUS_YES;
			break;
		}
		if (!watch_events(&watch)) {
			status = STATUS_TIMED_OUT;
			break;
		}
	}
	watch_end(&watch);
	return status;
}

static int lock(int argc, char **argv)
{
	struct operation op = {
		.kind = OP_SET, .options.flags = MSTORE_CREATE | MSTORE_OWNED
	};
	const char *value = NULL;
	struct mstore *store;
	char **command;
	int status;

	while (next_option(&cmd_lock, argc, argv) ==
	       OPT_VALUE)
		value = optarg;
	command = operand_command(&cmd_lock, argc, argv, "KEY");
	op.key = operand_key(&cmd_lock, argv[optind]);
	store = open_store(MSTORE_WRITE);
	op.value = value ? operand_bytes(&cmd_lock, value) : holder(store, command);
	status = take(store, &op);
	if (status != STATUS_YES)
		return status;
	bequeath_held(store);
	become(command);
}

const struct command cmd_lock = {
	.name = "lock",
	.run = lock,
	.operands = "KEY -- COMMAND [ARGUMENT...]",
	.summary = "Run a command while holding an exclusive lock",
	.options = options,
};
