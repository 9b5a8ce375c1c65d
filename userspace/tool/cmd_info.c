// SPDX-License-Identifier: GPL-2.0
/* mstore info */
#include <errno.h>
#include <metastore.h>

#include "commands.h"
#include "error.h"
#include "fields.h"
#include "json.h"
#include "output.h"
#include "record.h"
#include "settings.h"
#include "store.h"
#include "users.h"
#include "writer.h"

static const struct tool_option options[] = {
	{ OPT_BUCKET, "bucket", "N", "count only bucket N" },
	OPTION_JSON, { }
};

static void print_json(const struct mstore_info *info, const struct mstore_user_info *user)
{
	json_t *object = object_new(), *own;

	/* First: scripts without a parser take the last "bytes" for the store's. */
	if (user) {
		own = object_new();
		add_user(own, user);
		object_add(object, "user", own);
	}
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

static void print_user(const struct mstore_user_info *user)
{
	const struct mstore_user_kind *kind;

	for (int i = 0; i < USER_KIND_COUNT; i++) {
		kind = &user->kinds[i];
		buffer_format(&out, "%s of user %s: %llu of %llu", user_kinds[i].title,
			      user_name(user->uid), (unsigned long long)kind->use,
			      (unsigned long long)kind->limit);
		out_end();
	}
}

static void print_plain(const struct mstore_info *info, const struct mstore_user_info *user)
{
	text_field("store", store_path());
	number_field("keys", info->keys);
	number_field("most keys", info->max_keys);
	size_field("memory of keys", info->bytes);
	size_field("most memory of keys", info->max_bytes);
	number_field("subscriptions", info->subscriptions);
	number_field("most subscriptions of an open file", info->max_subscriptions);
	number_field("buckets", info->buckets);
	size_field("longest key", info->key_max);
	size_field("longest value", info->max_value);
	number_field("most events in a queue", info->queue_len);
	size_field("most memory of a queue", info->queue_bytes);
	size_field("most memory of private stores", info->private_bytes);
	if (user)
		print_user(user);
	buffer_format(&out, "features: %#llx\n", (unsigned long long)info->features);
}

static int info(int argc, char **argv)
{
	int bucket = MSTORE_ANY_BUCKET;
	struct mstore_user_info own, *user = NULL;
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
	if (!mstore_user_info(store, &own))
		user = &own;
	if (settings.json)
		print_json(&answer, user);
	else
		print_plain(&answer, user);
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
