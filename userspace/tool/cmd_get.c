// SPDX-License-Identifier: GPL-2.0
/* metastore get */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "tool.h"

enum { OPT_RAW = OPT_OWN };

static bool raw;

static void print_json(struct bytes key, struct bytes value, uint64_t version)
{
	json_begin();
	json_bytes("key", key);
	json_bytes("value", value);
	json_exact("version", version);
	json_end();
}

/* The only value needs no escapes: all up to the last newline is the value. */
static void print_only(struct bytes value)
{
	buffer_add(&out, value.data, value.len);
	if (!raw)
		out_end();
}

static void print_pair(struct bytes key, struct bytes value)
{
	out_key(key);
	if (settings.null)
		out_end();
	else
		buffer_text(&out, " ");
	out_value(value);
	out_end();
}

static int get_key(struct mstore *store, struct bytes key, bool only)
{
	struct bytes value;
	uint64_t version;
	char *data = mstore_get_alloc(store, key.data, key.len, &value.len, &version);

	if (!data)
		return key_failed(key, errno);
	value.data = data;
	if (settings.json)
		print_json(key, value, version);
	else if (only)
		print_only(value);
	else
		print_pair(key, value);
	free(data);
	return STATUS_YES;
}

static int get(int argc, char **argv)
{
	static const struct option options[] = {
		{ "raw", no_argument, NULL, OPT_RAW },
		LONG_JSON, LONG_NULL, LONG_ESCAPED, LONG_STORE, LONG_HELP, { }
	};
	static const char letters[] = SHORT_COMMON SHORT_NULL SHORT_ESCAPED;
	int status = STATUS_YES;
	struct mstore *store;
	bool only;

	while (next_option(&cmd_get, argc, argv, letters, options) == OPT_RAW)
		raw = true;
	want_one_form(&cmd_get, raw + settings.json + settings.null);
	want_operands(&cmd_get, argc, 1, raw ? 1 : INT_MAX);
	only = argc - optind == 1;
	store = open_store(MSTORE_READ);
	for (int i = optind; i < argc; i++)
		status |= get_key(store, operand_key(&cmd_get, argv[i]), only);
	mstore_close(store);
	return status;
}

const struct command cmd_get = {
	.name = "get",
	.run = get,
	.operands = "KEY...",
	.summary = "Print the value of a key; of several keys, KEY VALUE a line",
	.help = "      --raw            print the value of one key without a newline\n"
		HELP_NULL HELP_JSON HELP_ESCAPED,
};
