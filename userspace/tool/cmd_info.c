// SPDX-License-Identifier: GPL-2.0
/* mstore info */
#include <errno.h>
#include <metastore.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "settings.h"
#include "store.h"

static const struct tool_option options[] = {
	{ OPT_BUCKET, "bucket", "N", "count only bucket N" },
	OPTION_JSON, { }
};

static void print_json(const struct mstore_info *info)
{
	json_t *object = object_new();

	object_text(object, "store", store_path());
	object_number(object, "keys", info->keys);
	object_number(object, "bytes", info->bytes);
	object_number(object, "subscriptions", info->subscriptions);
	object_number(object, "buckets", info->buckets);
	object_number(object, "max_keys", info->max_keys);
	object_number(object, "max_bytes", info->max_bytes);
	object_number(object, "key_max", info->key_max);
	object_number(object, "max_value", info->max_value);
	object_number(object, "queue_len", info->queue_len);
	object_number(object, "queue_bytes", info->queue_bytes);
	object_number(object, "max_subscriptions", info->max_subscriptions);
	object_number(object, "private_bytes", info->private_bytes);
	object_exact(object, "features", info->features);
	object_print(object);
}

static void print_line(const char *name, uint64_t number, const char *unit)
{
	buffer_format(&out, "%-24s%llu%s\n", name, (unsigned long long)number, unit);
}

static void print_plain(const struct mstore_info *info)
{
	buffer_format(&out, "%-24s%s\n", "store", store_path());
	print_line("keys", info->keys, "");
	print_line("  at most", info->max_keys, "");
	print_line("memory of keys", info->bytes, " bytes");
	print_line("  at most", info->max_bytes, " bytes");
	print_line("subscriptions", info->subscriptions, "");
	print_line("  at most per open file", info->max_subscriptions, "");
	print_line("buckets", info->buckets, "");
	print_line("longest key", info->key_max, " bytes");
	print_line("longest value", info->max_value, " bytes");
	print_line("queue of an open file", info->queue_len, " events");
	print_line("  at most", info->queue_bytes, " bytes");
	print_line("private stores, at most", info->private_bytes, " bytes");
	buffer_format(&out, "%-24s%#llx\n", "features",
		      (unsigned long long)info->features);
}

static int info(int argc, char **argv)
{
	int bucket = MSTORE_ANY_BUCKET;
	struct mstore_info answer;
	struct mstore *store;

	while (next_option(&cmd_info, argc, argv) == OPT_BUCKET)
		bucket = parse_bucket(&cmd_info, optarg);
	want_operands(&cmd_info, argc, argv, "");
	store = open_store(MSTORE_READ);
	if (mstore_info(store, bucket, &answer)) {
		if (errno == ERANGE)
			no_such_bucket("info", store, bucket);
		call_failed(store_path(), errno);
	}
	if (settings.json)
		print_json(&answer);
	else
		print_plain(&answer);
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_info = {
	.name = "info",
	.run = info,
	.operands = "",
	.summary = "Show the limits and counters of the store",
	.options = options,
};
