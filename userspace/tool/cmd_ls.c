// SPDX-License-Identifier: GPL-2.0
/* mstore ls */
#include <errno.h>
#include <metastore.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "text.h"

static const struct tool_option options[] = {
	{ 'l', "long", NULL, "print size and version before each key" },
	OPTION_BUCKET,
	OPTION_NULL, OPTION_JSON, OPTION_ESCAPED, { }
};

static bool details;

static void print_json(struct bytes key, const struct mstore_list *list)
{
	json_t *object = object_new();

	object_bytes(object, "key", key);
	object_number(object, "size", mstore_list_value_len(list));
	object_exact(object, "version", mstore_list_version(list));
	object_print(object);
}

static void print_entry(const struct mstore_list *list)
{
	struct bytes key;

	key.data = mstore_list_key(list, &key.len);
	if (settings.json)
		return print_json(key, list);
	if (details)
		buffer_format(&out, "%10zu %20llu ", mstore_list_value_len(list),
			      (unsigned long long)mstore_list_version(list));
	out_key(key);
	out_end();
}

static void list_failed(struct mstore *store, int bucket, int error)
{
	if (error == ERANGE)
		no_such_bucket("ls", store, bucket);
	call_failed(store_path(), error);
}

static int ls(int argc, char **argv)
{
	int bucket = MSTORE_ANY_BUCKET;
	struct bytes prefix = { 0 };
	struct mstore_list *list;
	struct mstore *store;
	int option, more;

	while ((option = next_option(&cmd_ls, argc, argv)) != -1) {
		if (option == OPT_BUCKET)
			bucket = parse_bucket(&cmd_ls, optarg);
		else
			details = true;
	}
	want_one_form(&cmd_ls, details + settings.json + settings.null);
	want_operands(&cmd_ls, argc, argv, "[PREFIX]");
	if (optind < argc)
		prefix = operand_prefix(&cmd_ls, argv[optind]);
	store = open_store(MSTORE_READ);
	list = mstore_list_new(store, prefix.data, prefix.len, bucket);
	if (!list)
		list_failed(store, bucket, errno);
	while ((more = mstore_list_next(list)) > 0)
		print_entry(list);
	if (more < 0)
		list_failed(store, bucket, errno);
	mstore_list_free(list);
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_ls = {
	.name = "ls",
	.run = ls,
	.operands = "[PREFIX]",
	.summary = "List all keys, or those that start with PREFIX, unsorted",
	.options = options,
};
