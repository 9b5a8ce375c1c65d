// SPDX-License-Identifier: GPL-2.0
/* mstore ls */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>

#include "commands.h"
#include "error.h"
#include "fields.h"
#include "json.h"
#include "output.h"
#include "record.h"
#include "selection.h"
#include "settings.h"
#include "store.h"
#include "text.h"
#include "writer.h"

enum { OPT_SORT = OPT_OWN };

static const struct tool_option options[] = {
	{ 'l', "long", NULL,
	  "print size, rest of the time to live, owner, writer\n"
	  "and time before each key" },
	{ OPT_SORT, "sort", NULL, "sort by the bytes of the keys" },
	OPTION_EXCEPT, OPTION_BUCKET,
	OPTION_NULL, OPTION_JSON, OPTION_ESCAPED, { }
};

/** struct entry - a key that was listed; @key comes first for compare_bytes() */
struct entry {
	struct bytes key;
	struct mstore_value_info info;
};

static bool details;
static bool sorted;

/* Entries to be sorted; their keys lie one after the other. */
static struct buffer entries;
static struct buffer keys;

static void add_details(json_t *object, const struct mstore_value_info *info)
{
	add_json_writer(object, info->tgid, info->uid, info->time);
	if (info->ttl_ms)
		object_number(object, "ttl_ms", info->ttl_ms);
	if (info->owner != MSTORE_OWNER_NONE)
		object_flag(object, "owned");
}

static void print_json(const struct entry *entry)
{
	const struct mstore_value_info *info = &entry->info;
	json_t *object = object_new();

	object_bytes(object, "key", entry->key);
	object_number(object, "size", info->value_len);
	object_exact(object, "version", info->version);
	if (details)
		add_details(object, info);
	object_print(object);
}

static void print_heading(void)
{
	buffer_format(&out, "%10s %8s %-5s %-20s %-20s KEY\n", "SIZE", "TTL", "OWNED", "WRITER",
		      "TIME");
}

/* The largest unit of which there are two, rounded up as the kernel does: `90s`, `36h`. */
static void add_ttl(struct buffer *buf, uint64_t ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{ "d", 24 * 3600 * 1000 }, { "h", 3600 * 1000 }, { "m", 60 * 1000 },
		{ "s", 1000 }, { "ms", 1 },
	};
	size_t i = 0;

	if (!ms) {
		buffer_text(buf, "-");
		return;
	}
	while (i + 1 < ARRAY_SIZE(units) && ms < 2 * units[i].ms)
		i++;
	buffer_number(buf, (ms + units[i].ms - 1) / units[i].ms);
	buffer_text(buf, units[i].name);
}

/* Prints what @buf has in a column, to the right if the width is positive, as printf(). */
static void print_column(struct buffer *buf, int width)
{
	buffer_add(buf, "", 1);
	buffer_format(&out, "%*s ", width, buf->data);
	buf->len = 0;
}

static void print_details(const struct mstore_value_info *info)
{
	static struct buffer column;
	char when[TIME_TEXT_SIZE];

	add_size(&column, info->value_len);
	print_column(&column, 10);
	add_ttl(&column, info->ttl_ms);
	print_column(&column, 8);
	buffer_format(&out, "%-5s ", info->owner == MSTORE_OWNER_NONE ? "-" : "yes");
	buffer_format(&column, "%d/%s", info->tgid, user_name(info->uid));
	print_column(&column, -20);
	/* Without the part behind the point */
	time_text(when, info->time);
	buffer_format(&out, "%.19sZ ", when);
}

static void print_entry(const struct entry *entry)
{
	if (settings.json)
		return print_json(entry);
	if (details)
		print_details(&entry->info);
	out_key(entry->key);
	out_end();
}

static void add_entry(const struct mstore_list *list)
{
	struct entry entry;

	mstore_list_info(list, &entry.info);
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
	struct mstore_list *list;
	int more;

	list = details ? mstore_list_values_new(store, prefix.data, prefix.len, bucket) :
			 mstore_list_new(store, prefix.data, prefix.len, bucket);
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
		{ "--json", settings.json }, { "-0", settings.null }, { }
	});
	want_one_form(&cmd_ls, (const struct form[]){
		{ "-l", details }, { "-0", settings.null }, { }
	});
	select_prefixes(&cmd_ls, argc, argv);
	store = open_store(MSTORE_READ);
	if (details)
		want_feature(store, MSTORE_FEATURE_DETAILS);
	if (details && !settings.json)
		print_heading();
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
