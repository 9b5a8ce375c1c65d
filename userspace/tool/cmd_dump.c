// SPDX-License-Identifier: GPL-2.0
/* mstore dump */
#include <errno.h>
#include <metastore.h>
#include <unistd.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "operation.h"
#include "output.h"
#include "selection.h"
#include "store.h"

static const struct tool_option options[] = {
	OPTION_EXCEPT,
	OPTION_ESCAPED, { }
};

static uint64_t dumped;
static bool to_terminal;	/* the lines themselves show that it goes on */

/* Owned keys would come back without their owner: they are left out. */
static int print_line(const struct operation *op)
{
	json_t *object;

	/* It went since it was listed. */
	if (op->error == ENOENT)
		return STATUS_YES;
	if (op->error) {
		progress_end();
		key_failed(op->key, op->error);
	}
	if (op->owned)
		return STATUS_YES;
	object = object_new();
	object_bytes(object, "key", op->key);
	object_bytes(object, "value", op->value);
	if (op->ttl_ms)
		object_number(object, "ttl_ms", op->ttl_ms);
	object_print(object);
	dumped++;
	if (!to_terminal)
		progress("dump", dumped);
	return STATUS_YES;
}

/*
 * The line that load --replace wants last. sort(1) leaves it there. It can tell one
 * prefix; without the line nothing is taken for whole.
 */
static void print_end(void)
{
	struct bytes prefix = selection.prefixes[0];
	json_t *object;

	if (selection.count > 1 || selection.except_count)
		return;
	object = object_new();
	object_flag(object, "whole");
	object_number(object, "keys", dumped);
	if (prefix.len)
		object_bytes(object, "prefix", prefix);
	object_print(object);
}

static int dump(int argc, char **argv)
{
	static const struct operation get = { .kind = OP_GET };
	struct mstore *store;

	next_option(&cmd_dump, argc, argv);
	select_prefixes(&cmd_dump, argc, argv);
	to_terminal = isatty(STDOUT_FILENO);
	store = open_store(MSTORE_READ);
	for (int i = 0; i < selection.count; i++)
		run_listed(store, selection.prefixes[i], MSTORE_ANY_BUCKET, &get, is_selected,
			   print_line);
	progress_end();
	print_end();
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_dump = {
	.name = "dump",
	.run = dump,
	.operands = "[PREFIX...]",
	.summary = "Print all keys, or those that start with a PREFIX, as input for load",
	.options = options,
};
