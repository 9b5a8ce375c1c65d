// SPDX-License-Identifier: GPL-2.0
/* mstore bucket, mstore subs: a number about a key */
#include <errno.h>
#include <metastore.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "settings.h"
#include "store.h"

static const struct tool_option options[] = {
	OPTION_JSON, OPTION_ESCAPED, { }
};

static struct bytes parse(const struct command *cmd, int argc, char **argv)
{
	next_option(cmd, argc, argv);
	want_operands(cmd, argc, argv, "KEY");
	return operand_key(cmd, argv[optind]);
}

static int bucket(int argc, char **argv)
{
	struct bytes key = parse(&cmd_bucket, argc, argv);
	struct mstore *store = open_store(MSTORE_READ);
	uint32_t buckets;
	int number = mstore_bucket(store, key.data, key.len, &buckets);

	if (number < 0)
		return key_failed(key, errno);
	if (settings.json) {
		json_t *object = object_new();

		object_bytes(object, "key", key);
		object_number(object, "bucket", number);
		object_number(object, "buckets", buckets);
		object_print(object);
	} else {
		buffer_format(&out, "%d\n", number);
	}
	mstore_close(store);
	return STATUS_YES;
}

static int subs(int argc, char **argv)
{
	struct bytes key = parse(&cmd_subs, argc, argv);
	struct mstore *store = open_store(MSTORE_READ);
	int number = mstore_subscribers(store, key.data, key.len);

	if (number < 0)
		return key_failed(key, errno);
	if (settings.json) {
		json_t *object = object_new();

		object_bytes(object, "key", key);
		object_number(object, "subscribers", number);
		object_print(object);
	} else {
		buffer_format(&out, "%d\n", number);
	}
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_bucket = {
	.name = "bucket",
	.run = bucket,
	.operands = "KEY",
	.summary = "Print the number of a key's bucket",
	.options = options,
};

const struct command cmd_subs = {
	.name = "subs",
	.run = subs,
	.operands = "KEY",
	.summary = "Print the number of subscriptions to a key",
	.options = options,
};
