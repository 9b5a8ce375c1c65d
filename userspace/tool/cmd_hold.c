// SPDX-License-Identifier: GPL-2.0
/* mstore hold */
#include <metastore.h>

#include "child.h"
#include "commands.h"
#include "held.h"
#include "input.h"
#include "operation.h"
#include "settings.h"
#include "store.h"

static const struct tool_option options[] = {
	OPTION_FILE, OPTION_CREATE, OPTION_REPLACE, OPTION_IF_VERSION, OPTION_STEAL,
	OPTION_ESCAPED, { }
};

static int hold(int argc, char **argv)
{
	struct operation op = { .kind = OP_SET };
	struct mstore *store;
	char **command;

	next_option(&cmd_hold, argc, argv);
	command = operand_command(&cmd_hold, argc, argv, value_operands());
	op.key = operand_key(&cmd_hold, argv[optind]);
	op.options = settings.write;
	op.options.flags |= MSTORE_OWNED;
	store = open_store(MSTORE_WRITE);
	op.value = operand_value(&cmd_hold, store, argv[optind + 1]);
	run_operation(store, &op);
	if (op.error)
		return operation_failed(&op);
	bequeath_held(store);
	become(command);
}

const struct command cmd_hold = {
	.name = "hold",
	.run = hold,
	.operands = "{KEY VALUE | --file FILE KEY} -- COMMAND [ARGUMENT...]",
	.summary = "Store a value that exists as long as a command runs",
	.options = options,
};
