// SPDX-License-Identifier: GPL-2.0
/* mstore flush */
#include <errno.h>
#include <metastore.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "operation.h"
#include "output.h"
#include "selection.h"
#include "settings.h"
#include "store.h"

enum { OPT_ALL = OPT_OWN, OPT_SUBSCRIPTIONS };

static const struct tool_option options[] = {
	{ OPT_ALL, "all", NULL, "all keys" },
	{ OPT_SUBSCRIPTIONS, "subscriptions", NULL,
	  "also remove the subscriptions to these keys" },
	{ OPT_STEAL, "steal", NULL, "also keys that other open files own" },
	OPTION_EXCEPT, OPTION_BUCKET,
	OPTION_JSON, OPTION_ESCAPED, { }
};

/**
 * struct request - what to remove beside what is selected
 * @all:	every key, rather than those with prefixes
 * @bucket:	of this bucket alone, or MSTORE_ANY_BUCKET
 * @flags:	of mstore_flush()
 */
struct request {
	bool all;
	int bucket;
	int flags;
};

static uint64_t values, subscriptions;

static void parse_options(struct request *request, int argc, char **argv)
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
	/* No command lists what is subscribed to, so that the exceptions could stay. */
	if (request->flags & MSTORE_FLUSH_SUBSCRIPTIONS && settings.except_count)
		die_usage(&cmd_flush, "--subscriptions excludes --except");
}

static void parse_prefixes(const struct request *request, int argc, char **argv)
{
	if (optind == argc && !request->all)
		die_usage(&cmd_flush, "give a PREFIX, or --all");
	want_operands(&cmd_flush, argc, argv, request->all ? "" : "PREFIX...");
	select_prefixes(&cmd_flush, argc, argv);
	/* "$PREFIX" of a script in which that is not set. */
	if (!request->all && !selection.prefixes[0].len)
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
static bool count_left(uint64_t *left, struct bytes prefix, int bucket)
{
	struct mstore *store = mstore_open(store_path(), MSTORE_READ);
	struct mstore_list *list;
	int more;

	if (!store)
		return false;
	list = mstore_list_new(store, prefix.data, prefix.len, bucket);
	if (!list)
		call_failed("memory", errno);
	while ((more = mstore_list_next(list)) > 0) {
		struct mstore_stat stat;
		struct bytes key;

		key.data = mstore_list_key(list, &key.len);
		if (is_selected(key) && !mstore_stat(store, key.data, key.len, &stat) &&
		    stat.owner != MSTORE_OWNER_NONE)
			++*left;
	}
	mstore_list_free(list);
	mstore_close(store);
	return !more;
}

/* Returns a status: as of del, "no" if keys are left. */
static int tell(const struct request *request)
{
	bool counted = true;
	uint64_t left = 0;

	for (int i = 0; i < selection.count && !(request->flags & MSTORE_FLUSH_STEAL); i++)
		counted &= count_left(&left, selection.prefixes[i], request->bucket);
	if (settings.json) {
		json_t *object = object_new();

		object_number(object, "values", values);
		object_number(object, "subscriptions", subscriptions);
		if (counted)
			object_number(object, "left", left);
		object_print(object);
	}
	report_left("flush", counted ? left : 0);
	return left ? STATUS_NO : STATUS_YES;
}

static void flush_prefix(struct mstore *store, struct bytes prefix, const struct request *request)
{
	uint64_t more_values, more_subscriptions;

	if (mstore_flush(store, prefix.data, prefix.len, request->bucket, request->flags,
			 &more_values, &more_subscriptions))
		flush_failed(store, request->bucket, errno);
	values += more_values;
	subscriptions += more_subscriptions;
}

/* As with mstore_flush(), what changed since it was listed and what others own stays. */
static int note_removed(const struct operation *op)
{
	if (!op->error)
		values++;
	else if (status_of(op->error) == STATUS_COULD_NOT)
		key_failed(op->key, op->error);
	return STATUS_YES;
}

/* The kernel knows no exceptions: lists the keys, and removes each. */
static void flush_listed(struct mstore *store, struct bytes prefix, const struct request *request)
{
	struct operation remove = { .kind = OP_DELETE, .options = settings.write };
	struct mstore_info info;

	if (mstore_info(store, request->bucket, &info))
		flush_failed(store, request->bucket, errno);
	remove.options.flags |= MSTORE_IF_VERSION;
	run_listed(store, prefix, request->bucket, &remove, is_selected, note_removed);
}

static int flush(int argc, char **argv)
{
	struct request request = { .bucket = MSTORE_ANY_BUCKET };
	struct mstore *store;

	parse_options(&request, argc, argv);
	parse_prefixes(&request, argc, argv);
	store = open_store(selection.except_count ? MSTORE_RDWR : MSTORE_WRITE);
	for (int i = 0; i < selection.count; i++) {
		if (selection.except_count)
			flush_listed(store, selection.prefixes[i], &request);
		else
			flush_prefix(store, selection.prefixes[i], &request);
	}
	mstore_close(store);
	return tell(&request);
}

const struct command cmd_flush = {
	.name = "flush",
	.run = flush,
	.operands = "{--all | PREFIX...}",
	.summary = "Remove all keys, or those that start with a PREFIX",
	.options = options,
};
