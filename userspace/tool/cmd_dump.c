// SPDX-License-Identifier: GPL-2.0
/* mstore dump */
#include <errno.h>
#include <metastore.h>
#include <unistd.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "outfile.h"
#include "output.h"
#include "selection.h"
#include "store.h"

static const struct tool_option options[] = {
	OPTION_EXCEPT, OPTION_OUTPUT,
	OPTION_ESCAPED, { }
};

static uint64_t dumped;
static bool to_terminal;	/* the lines themselves show that it goes on */

/* Owned keys would come back without their owner: they are left out. */
static void print_line(const struct mstore_list *list)
{
	struct mstore_value_info info;
	struct bytes key, value;
	json_t *object;

	key.data = mstore_list_key(list, &key.len);
	mstore_list_info(list, &info);
	if (info.owner != MSTORE_OWNER_NONE || !is_selected(key))
		return;
	value.data = mstore_list_value(list, &value.len);
	object = object_new();
	object_bytes(object, "key", key);
	object_bytes(object, "value", value);
	if (info.ttl_ms)
		object_number(object, "ttl_ms", info.ttl_ms);
	object_print(object);
	dumped++;
	if (!to_terminal)
		progress("dump", dumped);
}

static void print_lines(struct mstore *store, struct bytes prefix)
{
	struct mstore_list *list = mstore_list_values_new(store, prefix.data, prefix.len,
							  MSTORE_ANY_BUCKET);
	int more;

	if (!list)
		call_failed("memory", errno);
	while ((more = mstore_list_next(list)) > 0)
		print_line(list);
	if (more < 0) {
		progress_end();
		call_failed(store_path(), errno);
	}
	mstore_list_free(list);
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
	struct mstore *store;

	next_option(&cmd_dump, argc, argv);
	select_prefixes(&cmd_dump, argc, argv);
	store = open_store(MSTORE_READ);
	want_feature(store, MSTORE_FEATURE_DETAILS);
	/* Values may be secret. */
	outfile_begin(0600);
	to_terminal = isatty(STDOUT_FILENO);
	for (int i = 0; i < selection.count; i++)
		print_lines(store, selection.prefixes[i]);
	progress_end();
	print_end();
	outfile_commit();
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
