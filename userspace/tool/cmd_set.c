// SPDX-License-Identifier: GPL-2.0
/* metastore set, metastore pub */
#include <errno.h>

#include "tool.h"

enum { OPT_FILE = OPT_OWN, OPT_COUNT };

#define HELP_FILE	"      --file FILE      take the value from FILE, - is standard input\n"

/* What was typed, the value not yet looked at. */
struct write_request {
	struct bytes key;
	const char *text;
	const char *file;
	bool count;
};

static void parse(struct write_request *request, const struct command *cmd, int argc, char **argv,
		  const struct option *options)
{
	static const char letters[] = SHORT_COMMON SHORT_ESCAPED;
	int option;

	while ((option = next_option(cmd, argc, argv, letters, options)) != -1) {
		if (option == OPT_FILE)
			request->file = optarg;
		else
			request->count = true;
	}
	want_one_form(cmd, settings.json + request->count);
	want_operands(cmd, argc, request->file ? 1 : 2, request->file ? 1 : 2);
	request->key = operand_key(cmd, argv[optind]);
	request->text = argv[optind + 1];
}

static struct bytes requested_value(const struct write_request *request, const struct command *cmd,
				    struct mstore *store)
{
	if (request->file)
		return read_value(store, request->file);
	return operand_bytes(cmd, request->text);
}

static int set(int argc, char **argv)
{
	static const struct option options[] = {
		{ "file", required_argument, NULL, OPT_FILE },
		LONG_JSON, LONG_ESCAPED, LONG_STORE, LONG_HELP, { }
	};
	struct write_request request = { 0 };
	struct mstore *store;
	struct bytes value;
	uint64_t version;

	parse(&request, &cmd_set, argc, argv, options);
	store = open_store(MSTORE_WRITE);
	value = requested_value(&request, &cmd_set, store);
	if (mstore_set(store, request.key.data, request.key.len, value.data, value.len, &version))
		return key_failed(request.key, errno);
	if (settings.json) {
		json_begin();
		json_bytes("key", request.key);
		json_exact("version", version);
		json_end();
	}
	mstore_close(store);
	return STATUS_YES;
}

static int pub(int argc, char **argv)
{
	static const struct option options[] = {
		{ "file", required_argument, NULL, OPT_FILE },
		{ "count", no_argument, NULL, OPT_COUNT },
		LONG_JSON, LONG_ESCAPED, LONG_STORE, LONG_HELP, { }
	};
	struct write_request request = { 0 };
	struct mstore *store;
	struct bytes value;
	uint64_t version;
	int queues;

	parse(&request, &cmd_pub, argc, argv, options);
	store = open_store(MSTORE_WRITE);
	value = requested_value(&request, &cmd_pub, store);
	queues = mstore_publish(store, request.key.data, request.key.len, value.data, value.len,
				&version);
	if (queues < 0)
		return key_failed(request.key, errno);
	if (request.count)
		buffer_format(&out, "%d\n", queues);
	if (settings.json) {
		json_begin();
		json_bytes("key", request.key);
		json_exact("version", version);
		json_number("queues", queues);
		json_end();
	}
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_set = {
	.name = "set",
	.run = set,
	.operands = "{KEY VALUE | --file FILE KEY}",
	.summary = "Store a value under a key",
	.help = HELP_FILE HELP_JSON HELP_ESCAPED,
};

const struct command cmd_pub = {
	.name = "pub",
	.run = pub,
	.operands = "{KEY VALUE | --file FILE KEY}",
	.summary = "Store a value under a key and tell its subscribers",
	.help = HELP_FILE
		"      --count          print how many subscribers' queues took it\n"
		HELP_JSON HELP_ESCAPED,
};
