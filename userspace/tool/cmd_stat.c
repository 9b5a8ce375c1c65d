// SPDX-License-Identifier: GPL-2.0
/* mstore stat */
#include <errno.h>
#include <metastore.h>
#include <string.h>

#include "commands.h"
#include "error.h"
#include "fields.h"
#include "json.h"
#include "output.h"
#include "record.h"
#include "settings.h"
#include "store.h"
#include "text.h"
#include "writer.h"

static const struct tool_option options[] = {
	OPTION_JSON, OPTION_ESCAPED, { }
};

static void print_json(struct bytes key, const struct mstore_stat *stat)
{
	json_t *object = object_new();

	object_bytes(object, "key", key);
	object_exact(object, "version", stat->version);
	object_number(object, "size", stat->value_len);
	add_json_writer(object, stat->tgid, stat->uid, stat->time);
	if (stat->ttl_ms)
		object_number(object, "ttl_ms", stat->ttl_ms);
	if (stat->owner != MSTORE_OWNER_NONE)
		object_flag(object, "owned");
	object_number(object, "subscribers", stat->subscribers);
	object_number(object, "bucket", stat->bucket);
	object_print(object);
}

static void print_writer(const struct mstore_stat *stat)
{
	char name[COMMAND_SIZE], when[TIME_TEXT_SIZE];

	buffer_format(&out, "writer: pid %d", stat->tgid);
	if (writer_command(name, stat->tgid, stat->time)) {
		buffer_text(&out, " (");
		out_value((struct bytes){ name, strlen(name) });
		buffer_text(&out, ")");
	}
	buffer_format(&out, ", uid %u (%s)\n", stat->uid, user_name(stat->uid));
	time_text(when, stat->time);
	text_field("time", when);
	number_field("time_ns", stat->time);
}

static void print_plain(struct bytes key, const struct mstore_stat *stat)
{
	buffer_text(&out, "key: ");
	out_key(key);
	out_end();
	number_field("version", stat->version);
	size_field("size", stat->value_len);
	print_writer(stat);
	if (stat->ttl_ms)
		number_field("ttl_ms", stat->ttl_ms);
	else
		text_field("ttl_ms", "none");
	text_field("owned", stat->owner == MSTORE_OWNER_NONE ? "no" : "yes");
	number_field("subscribers", stat->subscribers);
	number_field("bucket", stat->bucket);
}

static int stat_key(struct mstore *store, struct bytes key)
{
	static bool again;
	struct mstore_stat stat;

	if (mstore_stat(store, key.data, key.len, &stat))
		return key_failed(key, errno);
	if (settings.json) {
		print_json(key, &stat);
		return STATUS_YES;
	}
	if (again)
		buffer_text(&out, "\n");
	again = true;
	print_plain(key, &stat);
	return STATUS_YES;
}

static int stat_keys(int argc, char **argv)
{
	int status = STATUS_YES;
	struct mstore *store;

	next_option(&cmd_stat, argc, argv);
	want_operands(&cmd_stat, argc, argv, "KEY...");
	store = open_store(MSTORE_READ);
	for (int i = optind; i < argc; i++)
		status |= stat_key(store, operand_key(&cmd_stat, argv[i]));
	mstore_close(store);
	return status;
}

const struct command cmd_stat = {
	.name = "stat",
	.run = stat_keys,
	.operands = "KEY...",
	.summary = "Print a key's version, size, writer and time, without its value",
	.options = options,
};
