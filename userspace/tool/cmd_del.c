// SPDX-License-Identifier: GPL-2.0
/* metastore del */
#include <errno.h>
#include <limits.h>

#include "tool.h"

static int delete_key(struct mstore *store, struct bytes key)
{
	uint64_t version;

	if (mstore_delete(store, key.data, key.len, &version))
		return key_failed(key, errno);
	if (settings.json) {
		json_begin();
		json_bytes("key", key);
		json_exact("version", version);
		json_end();
	}
	return STATUS_YES;
}

static int del(int argc, char **argv)
{
	int status = STATUS_YES;
	struct mstore *store;

	parse_key_options(&cmd_del, argc, argv);
	want_operands(&cmd_del, argc, 1, INT_MAX);
	store = open_store(MSTORE_WRITE);
	for (int i = optind; i < argc; i++)
		status |= delete_key(store, operand_key(&cmd_del, argv[i]));
	mstore_close(store);
	return status;
}

const struct command cmd_del = {
	.name = "del",
	.run = del,
	.operands = "KEY...",
	.summary = "Remove keys and their values; subscriptions to them stay",
	.help = HELP_JSON HELP_ESCAPED,
};
