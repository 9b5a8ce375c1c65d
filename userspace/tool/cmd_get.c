// SPDX-License-Identifier: GPL-2.0
/* mstore get */
#include <metastore.h>

#include "commands.h"
#include "operation.h"
#include "output.h"
#include "record.h"
#include "settings.h"
#include "store.h"
#include "text.h"

enum { OPT_VERSION = OPT_OWN, OPT_PAIRS };

static const struct tool_option options[] = {
	{ OPT_RAW, "raw", NULL, "print the value of one key without a newline" },
	{ OPT_VERSION, "version", NULL, "print the version instead of the value" },
	{ OPT_PAIRS, "pairs", NULL, "print KEY VALUE also for one key" },
	OPTION_NULL, OPTION_JSON, OPTION_ESCAPED, { }
};

static bool only;	/* one key, whose name need not be printed */
static bool version;	/* in place of the value */

static void print_version(const struct operation *op)
{
	if (!only) {
		out_key(op->key);
		buffer_text(&out, " ");
	}
	buffer_number(&out, op->version);
	out_end();
}

static int print_found(const struct operation *op)
{
	if (op->error)
		return operation_failed(op);
	if (settings.json)
		print_json_result(op);
	else if (version)
		print_version(op);
	else if (only)
		print_value(op->value);
	else
		print_pair(op->key, op->value);
	return STATUS_YES;
}

static int get(int argc, char **argv)
{
	bool pairs = false;
	struct mstore *store;
	int option, status;

	while ((option = next_option(&cmd_get, argc, argv)) != -1) {
		if (option == OPT_VERSION)
			version = true;
		else
			pairs = true;
	}
	want_one_form(&cmd_get, (const struct form[]){
		{ "--raw", settings.raw }, { "--version", version }, { "--json", settings.json },
		{ "-0", settings.null }, { }
	});
	want_one_form(&cmd_get, (const struct form[]){
		{ "--raw", settings.raw }, { "--json", settings.json }, { "--pairs", pairs }, { }
	});
	want_operands(&cmd_get, argc, argv, settings.raw ? "KEY" : "KEY...");
	only = !pairs && argc - optind == 1;
	store = open_store(MSTORE_READ);
	status = run_keys(&cmd_get, store, OP_GET, argc, argv, print_found);
	mstore_close(store);
	return status;
}

const struct command cmd_get = {
	.name = "get",
	.run = get,
	.operands = "KEY...",
	.summary = "Print the value of a key; for several keys, one KEY VALUE per line",
	.options = options,
};
