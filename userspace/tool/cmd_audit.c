// SPDX-License-Identifier: GPL-2.0
/* mstore audit */
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "event.h"
#include "json.h"
#include "openfiles.h"
#include "output.h"
#include "record.h"
#include "settings.h"
#include "store.h"
#include "text.h"
#include "users.h"
#include "writer.h"

enum { OPT_ALL = OPT_OWN, OPT_USERS };

static const struct tool_option options[] = {
	{ OPT_ALL, "all", NULL, "also open files of private stores" },
	{ OPT_USERS, "users", NULL, "instead, what each user uses, and the limits" },
	OPTION_JSON, { }
};

static bool all, users;

static void add_books(json_t *object, const struct books *books)
{
	object_number(object, "matched", books->matched);
	object_number(object, "delivered", books->delivered);
	object_number(object, "conflated", books->conflated);
	object_number(object, "lost", books->lost);
	object_number(object, "discarded", books->discarded);
	object_number(object, "pending", books->pending);
	if (!books_balance(books))
		object_flag(object, "unbalanced");
}

static json_t *json_processes(const struct open_file *file)
{
	json_t *processes = array_new();

	for (size_t i = 0; i < file->holder_count; i++) {
		json_t *object = object_new();

		object_number(object, "pid", file->holders[i]);
		object_text(object, "command", holder_command(file->holders[i]));
		array_add(processes, object);
	}
	return processes;
}

static json_t *json_changes(int events)
{
	json_t *words = array_new();

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		if (events & changes[i].events)
			array_add(words, json_string(changes[i].word));
	return words;
}

static json_t *json_subscription(const struct subscription *sub)
{
	json_t *object = object_new();

	object_bytes(object, sub->flags & MSTORE_SUBSCRIBE_PREFIX ? "prefix" : "key", sub->key);
	object_exact(object, "cookie", sub->cookie);
	object_add(object, "changes", json_changes(sub->events));
	if (sub->flags & MSTORE_SUBSCRIBE_SNAPSHOT)
		object_flag(object, "snapshot");
	if (sub->flags & MSTORE_SUBSCRIBE_LATEST)
		object_flag(object, "latest");
	if (sub->flags & MSTORE_SUBSCRIBE_NO_VALUE)
		object_flag(object, "no_value");
	add_books(object, &sub->books);
	return object;
}

static json_t *json_subscriptions(const struct open_file *file)
{
	json_t *subscriptions = array_new();

	for (size_t i = 0; i < file->sub_count; i++)
		array_add(subscriptions, json_subscription(&file->subs[i]));
	return subscriptions;
}

static void print_json(const struct open_file *file)
{
	json_t *object = object_new();

	object_number(object, "store", file->store);
	object_number(object, "file", file->file);
	object_add(object, "processes", json_processes(file));
	object_text(object, "policy", file->policy);
	object_number(object, "events", file->events);
	object_number(object, "max_len", file->max_len);
	object_number(object, "high_len", file->high_len);
	object_number(object, "bytes", file->bytes);
	object_number(object, "max_bytes", file->max_bytes);
	object_number(object, "oldest_ms", file->oldest_ms);
	add_books(object, &file->books);
	object_add(object, "subscriptions", json_subscriptions(file));
	object_print(object);
}

static void print_heading(void)
{
	if (all)
		buffer_format(&out, "%5s ", "STORE");
	buffer_format(&out, "%5s %6s %-11s %8s %8s %8s %10s %10s %10s  %s\n", "FILE", "SUBS",
		      "POLICY", "WAITING", "HIGHEST", "AGE-MS", "LOST", "CONFLATED", "DELIVERED",
		      "PROCESSES");
}

static void print_processes(const struct open_file *file)
{
	for (size_t i = 0; i < file->holder_count; i++) {
		const char *command = holder_command(file->holders[i]);

		buffer_format(&out, "%s%d ", i ? ", " : "  ", file->holders[i]);
		escape(&out, (struct bytes){ command, strlen(command) }, ESCAPE_VALUE);
	}
}

static void print_line(const struct open_file *file)
{
	const struct books *books = &file->books;

	if (all)
		buffer_format(&out, "%5llu ", (unsigned long long)file->store);
	buffer_format(&out, "%5llu %6zu %-11s %8llu %8llu %8llu %10llu %10llu %10llu",
		      (unsigned long long)file->file, file->sub_count, file->policy,
		      (unsigned long long)books->pending, (unsigned long long)file->high_len,
		      (unsigned long long)file->oldest_ms, (unsigned long long)books->lost,
		      (unsigned long long)books->conflated,
		      (unsigned long long)books->delivered);
	print_processes(file);
	out_end();
}

/* Returns whether its counters add up. */
static bool print_file(const struct open_file *file)
{
	bool balances = file_balances(file);

	if (settings.json)
		print_json(file);
	else
		print_line(file);
	if (!balances)
		report("audit", "the counters of open file %llu do not add up",
		       (unsigned long long)file->file);
	return balances;
}

static int print_files(const struct open_files *files, uint64_t store)
{
	int status = STATUS_YES;

	if (!settings.json)
		print_heading();
	for (size_t i = 0; i < files->count; i++)
		if ((all || files->files[i].store == store) && !print_file(&files->files[i]))
			status = STATUS_NO;
	return status;
}

/* Names who has open files that cannot be shown. */
static void name_mappers(const struct open_files *files)
{
	for (size_t i = 0; i < files->mapper_count; i++)
		report("audit",
		       "process %d (%s) has mapped a store and has no descriptor: its open file may be missing here",
		       files->mappers[i].pid, holder_command(files->mappers[i].pid));
}

static int audit_files(struct mstore *store)
{
	struct open_files files;
	uint64_t number;
	int status;

	want_feature(store, MSTORE_FEATURE_DELIVERY);
	number = open_files_read(&files, store);
	if (files.count)
		qsort(files.files, files.count, sizeof(*files.files), compare_files);
	status = print_files(&files, number);
	name_mappers(&files);
	if (files.mapper_count)
		status = STATUS_COULD_NOT;
	if (files.denied) {
		report("audit", "cannot read %u processes; use sudo", files.denied);
		status = STATUS_COULD_NOT;
	}
	open_files_free(&files);
	return status;
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_audit, argc, argv)) != -1)
		*(option == OPT_ALL ? &all : &users) = true;
	if (all && users)
		die_usage(&cmd_audit, "--all and --users exclude each other");
	want_operands(&cmd_audit, argc, argv, "");
}

static int audit(int argc, char **argv)
{
	struct mstore *store;
	int status;

	parse_options(argc, argv);
	store = open_store(MSTORE_READ);
	status = users ? print_users(store) : audit_files(store);
	mstore_close(store);
	return status;
}

const struct command cmd_audit = {
	.name = "audit",
	.run = audit,
	.operands = "",
	.summary = "Show each open file: its processes, waiting events and losses",
	.options = options,
};
