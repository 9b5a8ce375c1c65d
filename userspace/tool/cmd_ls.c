// SPDX-License-Identifier: GPL-2.0
/* mstore ls */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>

#include "commands.h"
#include "error.h"
#include "json.h"
#include "output.h"
#include "selection.h"
#include "settings.h"
#include "store.h"
#include "text.h"

enum { OPT_SORT = OPT_OWN };

static const struct tool_option options[] = {
	{ 'l', "long", NULL, "print size and version before each key" },
	{ OPT_SORT, "sort", NULL, "sort by the bytes of the keys" },
	OPTION_EXCEPT, OPTION_BUCKET,
	OPTION_NULL, OPTION_JSON, OPTION_ESCAPED, { }
};

/** struct entry - a key that was listed; @key comes first for compare_bytes() */
struct entry {
	struct bytes key;
	size_t size;
	uint64_t version;
};

static bool details;
static bool sorted;

/* Entries to be sorted; their keys lie one after the other. */
static struct buffer entries;
static struct buffer keys;

static void print_json(const struct entry *entry)
{
	json_t *object = object_new();

	object_bytes(object, "key", entry->key);
	object_number(object, "size", entry->size);
	object_exact(object, "version", entry->version);
	object_print(object);
}

static void print_entry(const struct entry *entry)
{
	if (settings.json)
		return print_json(entry);
	if (details)
		buffer_format(&out, "%10zu %20llu ", entry->size,
			      (unsigned long long)entry->version);
	out_key(entry->key);
	out_end();
}

static void add_entry(const struct mstore_list *list)
{
	struct entry entry = {
		.size = mstore_list_value_len(list),
		.version = mstore_list_version(list),
	};

	entry.key.data = mstore_list_key(list, &entry.key.len);
	if (!is_selected(entry.key))
		return;
	if (!sorted)
		return print_entry(&entry);
	buffer_add(&keys, entry.key.data, entry.key.len);
	buffer_add(&entries, &entry, sizeof(entry));
}

static void print_sorted(void)
{
	struct entry *entry = (struct entry *)entries.data;
	size_t count = entries.len / sizeof(*entry);
	const char *key = keys.data;

	if (!count)
		return;
	for (size_t i = 0; i < count; i++) {
		entry[i].key.data = key;
		key += entry[i].key.len;
	}
	qsort(entry, count, sizeof(*entry), compare_bytes);
	for (size_t i = 0; i < count; i++)
		print_entry(&entry[i]);
}

static void list_failed(struct mstore *store, int bucket, int error)
{
	if (error == ERANGE)
		no_such_bucket("ls", store, bucket);
	call_failed(store_path(), error);
}

static void add_entries(struct mstore *store, struct bytes prefix, int bucket)
{
	struct mstore_list *list = mstore_list_new(store, prefix.data, prefix.len, bucket);
	int more;

	if (!list)
		list_failed(store, bucket, errno);
	while ((more = mstore_list_next(list)) > 0)
		add_entry(list);
	if (more < 0)
		list_failed(store, bucket, errno);
	mstore_list_free(list);
}

static int ls(int argc, char **argv)
{
	int option, bucket = MSTORE_ANY_BUCKET;
	struct mstore *store;

	while ((option = next_option(&cmd_ls, argc, argv)) != -1) {
		if (option == OPT_BUCKET)
			bucket = parse_bucket(&cmd_ls, optarg);
		else if (option == OPT_SORT)
			sorted = true;
		else
			details = true;
	}
	want_one_form(&cmd_ls, (const struct form[]){
		{ "-l", details }, { "--json", settings.json }, { "-0", settings.null }, { }
	});
	select_prefixes(&cmd_ls, argc, argv);
	store = open_store(MSTORE_READ);
	for (int i = 0; i < selection.count; i++)
		add_entries(store, selection.prefixes[i], bucket);
	print_sorted();
	mstore_close(store);
	return STATUS_YES;
}

const struct command cmd_ls = {
	.name = "ls",
	.run = ls,
	.operands = "[PREFIX...]",
	.summary = "List all keys, or those that start with a PREFIX",
	.options = options,
};
