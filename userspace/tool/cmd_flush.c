// SPDX-License-Identifier: GPL-2.0
/* mstore flush */
#include <errno.h>
#include <metastore.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "settings.h"
#include "store.h"

enum { OPT_ALL = OPT_OWN, OPT_SUBSCRIPTIONS };

static const struct tool_option options[] = {
	{ OPT_ALL, "all", NULL, "all keys" },
	{ OPT_SUBSCRIPTIONS, "subscriptions", NULL,
	  "also remove the subscriptions to these keys" },
	{ OPT_STEAL, "steal", NULL, "also keys that other open files own" },
	OPTION_BUCKET,
	OPTION_JSON, OPTION_ESCAPED, { }
};

struct flush_request {
	struct bytes prefix;
	bool all;
	int bucket;
	int flags;
};

static void parse_options(struct flush_request *request, int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_flush, argc, argv)) != -1) {
		if (option == OPT_ALL)
			request->all = true;
		else if (option == OPT_SUBSCRIPTIONS)
			request->flags |= MSTORE_FLUSH_SUBSCRIPTIONS;
		else
			request->bucket = parse_bucket(&cmd_flush, optarg);
	}
	if (settings.write.flags & MSTORE_STEAL)
		request->flags |= MSTORE_FLUSH_STEAL;
}

static void parse_prefix(struct flush_request *request, int argc, char **argv)
{
	if (optind == argc && !request->all)
		die_usage(&cmd_flush, "give a PREFIX, or --all");
	want_operands(&cmd_flush, argc, argv, request->all ? "" : "PREFIX");
	if (request->all)
		return;
	request->prefix = operand_prefix(&cmd_flush, argv[optind]);
	/* "$PREFIX" of a script in which that is not set. */
	if (!request->prefix.len)
		die_usage(&cmd_flush, "PREFIX is empty; use --all to remove all keys");
}

static void flush_failed(struct mstore *store, int bucket, int error)
{
	if (error == ERANGE)
		no_such_bucket("flush", store, bucket);
	if (error == EPERM)
		die(STATUS_COULD_NOT, "flush",
		    "--subscriptions needs CAP_SYS_ADMIN, or the creator of the private store");
	call_failed(store_path(), error);
}

/*
 * How many keys of other open files are left. FLUSH does not tell, but nearly all keys
 * that are left are such ones. Returns false if the store cannot be read.
 */
static bool count_left(uint64_t *left, const struct flush_request *request)
{
	struct mstore *store = mstore_open(store_path(), MSTORE_READ);
	struct mstore_list *list;
	int more;

	if (!store)
		return false;
	list = mstore_list_new(store, request->prefix.data, request->prefix.len, request->bucket);
	if (!list)
		call_failed("memory", errno);
	while ((more = mstore_list_next(list)) > 0) {
		struct mstore_stat stat;
		size_t len;
		const char *key = mstore_list_key(list, &len);

		if (!mstore_stat(store, key, len, &stat) && stat.owner != MSTORE_OWNER_NONE)
			++*left;
	}
	mstore_list_free(list);
	mstore_close(store);
	return !more;
}

static void tell(const struct flush_request *request, uint64_t values, uint64_t subscriptions)
{
	uint64_t left = 0;
	bool counted = request->flags & MSTORE_FLUSH_STEAL || count_left(&left, request);

	if (settings.json) {
		json_t *object = object_new();

		object_number(object, "values", values);
		object_number(object, "subscriptions", subscriptions);
		if (counted)
			object_number(object, "left", left);
		object_print(object);
	}
	if (counted && left)
		report("flush", "left %llu key%s that other open files own; --steal removes %s",
		       (unsigned long long)left, left == 1 ? "" : "s", left == 1 ? "it" : "them");
}

static int flush(int argc, char **argv)
{
	struct flush_request request = { .bucket = MSTORE_ANY_BUCKET };
	uint64_t values, subscriptions;
	struct mstore *store;

	parse_options(&request, argc, argv);
	parse_prefix(&request, argc, argv);
	store = open_store(MSTORE_WRITE);
	if (mstore_flush(store, request.prefix.data, request.prefix.len, request.bucket,
			 request.flags, &values, &subscriptions))
		flush_failed(store, request.bucket, errno);
	mstore_close(store);
	tell(&request, values, subscriptions);
	return STATUS_YES;
}

const struct command cmd_flush = {
	.name = "flush",
	.run = flush,
	.operands = "--all|PREFIX",
	.summary = "Remove all keys, or those that start with PREFIX",
	.options = options,
};
