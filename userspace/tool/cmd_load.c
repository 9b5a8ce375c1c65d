// SPDX-License-Identifier: GPL-2.0
/*
 * mstore load. All lines are read and checked before the first key is written:
 * they take about the memory that the store will. --replace removes nothing, and --whole
 * stores nothing, unless the last line says that all of a dump came.
 */
#include <errno.h>
#include <jansson.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "error.h"
#include "input.h"
#include "json.h"
#include "operation.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "text.h"

enum { OPT_MERGE = OPT_OWN, OPT_REPLACE_ALL, OPT_PARTIAL, OPT_WHOLE };

static const struct tool_option options[] = {
	{ OPT_MERGE, "merge", NULL, "leave other keys unchanged (the default)" },
	{ OPT_REPLACE_ALL, "replace", NULL, "remove the other keys (all, or those with PREFIX)" },
	{ OPT_PARTIAL, "partial", NULL, "replace even if the input is not a whole dump" },
	{ OPT_WHOLE, "whole", NULL, "refuse input that is not a whole dump" },
	{ OPT_CREATE, "create", NULL, "leave keys that exist unchanged" },
	{ OPT_STEAL, "steal", NULL, "also write keys that other open files own" },
	OPTION_JSON, OPTION_ESCAPED, { }
};

/* A key of a line, in @contents from @at on with its value behind it. */
struct entry {
	size_t at;
	uint32_t key_len;
	uint32_t value_len;
	uint64_t ttl_ms;
};

/**
 * struct end - what the last line of a dump says about it
 * @is_last:	no key came after that line
 * @keys:	number of keys that were dumped
 * @at:		offset in @contents of the prefix that they all have
 * @prefix_len:	its length
 */
struct end {
	bool is_last;
	uint64_t keys;
	size_t at;
	size_t prefix_len;
};

static struct buffer contents;
static struct buffer entries;
static struct end end;
static uint64_t keys_read;

static struct bytes prefix;
static bool replace;
static bool partial;
static bool whole;
static uint64_t stored;
static uint64_t removed;
static uint64_t left;
static uint64_t existing;
static bool gave_up;

static size_t entry_count(void)
{
	return entries.len / sizeof(struct entry);
}

static const struct entry *entry_at(size_t index)
{
	return (const struct entry *)entries.data + index;
}

static struct bytes entry_key(const struct entry *entry)
{
	return (struct bytes){ contents.data + entry->at, entry->key_len };
}

static struct bytes entry_value(const struct entry *entry)
{
	return (struct bytes){ contents.data + entry->at + entry->key_len, entry->value_len };
}

static const json_t *string_field(const json_t *object, const char *name)
{
	const json_t *field = json_object_get(object, name);

	if (field && !json_is_string(field))
		die_usage(&cmd_load, "\"%s\" must be a string", name);
	return field;
}

/* Adds a field, in either of the forms that object_bytes() writes. Returns its length. */
static size_t add_field(const json_t *object, const char *name, const char *name_base64)
{
	const json_t *text = string_field(object, name);
	const json_t *base64 = string_field(object, name_base64);
	const json_t *field = text ? text : base64;
	size_t before = contents.len;
	struct bytes bytes;

	if (!text == !base64)
		die_usage(&cmd_load, "must have either \"%s\" or \"%s\"", name, name_base64);
	bytes = (struct bytes){ json_string_value(field), json_string_length(field) };
	if (text)
		buffer_add(&contents, bytes.data, bytes.len);
	else if (!base64_decode(&contents, bytes))
		die_usage(&cmd_load, "\"%s\" must be base64", name_base64);
	return contents.len - before;
}

static uint64_t time_to_live(const json_t *object)
{
	const json_t *field = json_object_get(object, "ttl_ms");
	json_int_t number = json_integer_value(field);

	if (!field)
		return 0;
	if (!json_is_integer(field) || number < 1 || (uint64_t)number > MSTORE_TTL_MAX)
		die_usage(&cmd_load, "\"ttl_ms\" must be 1 to %llu milliseconds",
			  (unsigned long long)MSTORE_TTL_MAX);
	return number;
}

static void check_lengths(struct mstore *store, size_t key_len, size_t value_len)
{
	if (!key_len || key_len > MSTORE_KEY_MAX)
		die_usage(&cmd_load, "key of %zu bytes: must be 1 to %d bytes", key_len,
			  MSTORE_KEY_MAX);
	if (value_len > longest_value(store))
		die_usage(&cmd_load, "value of %zu bytes: must be 0 to %zu bytes", value_len,
			  longest_value(store));
}

static bool starts_with(struct bytes bytes, struct bytes start)
{
	return bytes.len >= start.len && !memcmp(bytes.data, start.data, start.len);
}

/* Fields of a line with a key, by dump or get --json, which adds version and owned. */
static const char *const entry_fields[] = {
	"key", "key_base64", "value", "value_base64", "ttl_ms", "version", "owned", NULL
};

/* Fields of the last line. */
static const char *const end_fields[] = { "whole", "keys", "prefix", "prefix_base64", NULL };

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name))
		names++;
	return *names;
}

/*
 * A field that is ignored can be a misspelt "ttl_ms", or one of a newer version, without
 * which the key would mean something else.
 */
static void want_known_fields(json_t *object, const char *const *known)
{
	struct buffer text = { 0 };
	const char *name;
	json_t *field;

	json_object_foreach(object, name, field) {
		if (is_one_of(name, known))
			continue;
		escape(&text, (struct bytes){ name, strlen(name) }, ESCAPE_VALUE);
		die_usage(&cmd_load,
			  "unknown field \"%.*s\": misspelt, or of a newer version; correct or remove it",
			  (int)text.len, text.data);
	}
}

static void add_entry(struct mstore *store, const json_t *object)
{
	size_t at = contents.len;
	size_t key_len = add_field(object, "key", "key_base64");
	size_t value_len = add_field(object, "value", "value_base64");
	const struct entry entry = {
		.at = at,
		.key_len = key_len,
		.value_len = value_len,
		.ttl_ms = time_to_live(object),
	};

	check_lengths(store, key_len, value_len);
	keys_read++;
	end.is_last = false;
	if (starts_with(entry_key(&entry), prefix))
		buffer_add(&entries, &entry, sizeof(entry));
	else
		contents.len = at;
}

static bool is_end(const json_t *object)
{
	return json_object_get(object, "whole") && !json_object_get(object, "key") &&
	       !json_object_get(object, "key_base64");
}

static void read_end(const json_t *object)
{
	const json_t *keys = json_object_get(object, "keys");

	if (!json_is_true(json_object_get(object, "whole")))
		die_usage(&cmd_load, "\"whole\" must be true");
	if (!json_is_integer(keys) || json_integer_value(keys) < 0)
		die_usage(&cmd_load, "\"keys\" must be a number, 0 or more");
	end = (struct end){
		.is_last = true, .keys = json_integer_value(keys), .at = contents.len
	};
	if (json_object_get(object, "prefix") || json_object_get(object, "prefix_base64"))
		end.prefix_len = add_field(object, "prefix", "prefix_base64");
}

/* Keys that got lost on the way here would be removed. */
static void want_whole_dump(void)
{
	const char *option = replace ? "--replace" : "--whole";
	const char *instead = replace ? ", or --partial" : "";
	const struct bytes dumped = { contents.data + end.at, end.prefix_len };
	struct buffer text = { 0 };

	if (!end.is_last)
		die_usage(&cmd_load,
			  "%s: the input lacks the last line of a dump, so keys may be missing; give all of a dump%s",
			  option, instead);
	if (end.keys != keys_read)
		die_usage(&cmd_load,
			  "%s: the input has %llu keys, but %llu were dumped; give all of a dump%s",
			  option, (unsigned long long)keys_read, (unsigned long long)end.keys,
			  instead);
	if (starts_with(prefix, dumped))
		return;
	escape(&text, dumped, ESCAPE_NAME);
	die_usage(&cmd_load,
		  "%s: the dump has only keys that start with %.*s; give that PREFIX%s", option,
		  (int)text.len, text.data, instead);
}

static bool is_empty(struct bytes line)
{
	const char *s = line.data;

	return strspn(s, " \t") == line.len;
}

static void read_entries(struct mstore *store)
{
	struct bytes line;
	json_error_t error;
	json_t *object;

	while (next_line(&cmd_load, &line)) {
		if (is_empty(line))
			continue;
		object = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
				    &error);
		if (!object)
			die_usage(&cmd_load, "not a JSON object, at byte %d: %s", error.position,
				  error.text);
		want_known_fields(object, is_end(object) ? end_fields : entry_fields);
		if (is_end(object))
			read_end(object);
		else
			add_entry(store, object);
		json_decref(object);
		progress("load: reading", settings.line);
	}
}

/*
 * Names a key that another open file owns, and goes on. After any other failure the
 * rest would fail too: it names one and ends.
 */
static int note_stored(const struct operation *op)
{
	if (!op->error) {
		stored++;
		return STATUS_YES;
	}
	if (op->error == EEXIST) {
		existing++;
		return STATUS_YES;
	}
	if (gave_up)
		return STATUS_COULD_NOT;
	progress_end();
	gave_up = status_of(op->error) == STATUS_COULD_NOT;
	return operation_failed(op);
}

/* Prepares operations for entries from @first on. Returns how many. */
static size_t prepare(struct operation ops[MSTORE_BATCH_MAX], size_t first)
{
	size_t n;

	for (n = 0; n < MSTORE_BATCH_MAX && first + n < entry_count(); n++) {
		const struct entry *entry = entry_at(first + n);

		ops[n] = (struct operation){
			.kind = OP_SET,
			.key = entry_key(entry),
			.value = entry_value(entry),
			.options = settings.write,
		};
		ops[n].options.ttl_ms = entry->ttl_ms;
	}
	return n;
}

static int store_entries(struct mstore *store)
{
	static struct operation ops[MSTORE_BATCH_MAX];
	int status = STATUS_YES;
	size_t done, n;

	for (done = 0; done < entry_count(); done += n) {
		n = prepare(ops, done);
		status |= run_operations(store, ops, n, 0, note_stored);
		if (gave_up)
			die(STATUS_COULD_NOT, "load", "stopped after %llu of %zu keys were stored",
			    (unsigned long long)stored, entry_count());
		progress("load: storing", done);
	}
	return status;
}

static struct bytes *sorted_keys;

static void sort_keys(void)
{
	sorted_keys = calloc(entry_count() + 1, sizeof(*sorted_keys));
	if (!sorted_keys)
		call_failed("memory", ENOMEM);
	for (size_t i = 0; i < entry_count(); i++)
		sorted_keys[i] = entry_key(entry_at(i));
	qsort(sorted_keys, entry_count(), sizeof(*sorted_keys), compare_bytes);
}

static bool is_not_loaded(struct bytes key)
{
	return !bsearch(&key, sorted_keys, entry_count(), sizeof(key), compare_bytes);
}

/* No dump has owned keys, so their absence does not mean that they should go. */
static int note_removed(const struct operation *op)
{
	if (status_of(op->error) == STATUS_COULD_NOT) {
		progress_end();
		key_failed(op->key, op->error);
	}
	if (!op->error)
		removed++;
	else if (op->error == EBUSY)
		left++;
	progress("load: removing", removed);
	return STATUS_YES;
}

static void remove_others(struct mstore *store)
{
	const struct operation remove = { .kind = OP_DELETE, .options = settings.write };

	sort_keys();
	run_listed(store, prefix, MSTORE_ANY_BUCKET, &remove, is_not_loaded, note_removed);
}

static void print_summary(void)
{
	progress_end();
	if (settings.json) {
		json_t *object = object_new();

		object_text(object, "mode", replace ? "replace" : "merge");
		object_number(object, "stored", stored);
		object_number(object, "removed", removed);
		if (settings.write.flags & MSTORE_CREATE)
			object_number(object, "existing", existing);
		if (replace)
			object_number(object, "left", left);
		object_print(object);
	} else if (isatty(STDERR_FILENO)) {
		report("load", "%s: %llu stored, %llu removed", replace ? "replaced" : "merged",
		       (unsigned long long)stored, (unsigned long long)removed);
	}
	report_left("load", left);
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_load, argc, argv)) != -1) {
		if (option == OPT_PARTIAL)
			partial = true;
		else if (option == OPT_WHOLE)
			whole = true;
		else
			replace = option == OPT_REPLACE_ALL;
	}
	if (partial && !replace)
		die_usage(&cmd_load, "--partial needs --replace");
	if (replace && settings.write.flags & MSTORE_CREATE)
		die_usage(&cmd_load, "only one of --replace and --create can be given");
	if (partial && whole)
		die_usage(&cmd_load, "--partial and --whole exclude each other");
	want_operands(&cmd_load, argc, argv, "[PREFIX]");
	if (optind == argc)
		return;
	prefix = operand_prefix(&cmd_load, argv[optind]);
	/* "$PREFIX" of a script in which that is not set. */
	if (!prefix.len)
		die_usage(&cmd_load, "PREFIX is empty; leave it out to load all keys");
}

static int load(int argc, char **argv)
{
	struct mstore *store;
	int status;

	parse(argc, argv);
	store = open_store(replace ? MSTORE_RDWR : MSTORE_WRITE);
	read_entries(store);
	if (whole || (replace && !partial))
		want_whole_dump();
	status = store_entries(store);
	if (replace)
		remove_others(store);
	print_summary();
	mstore_close(store);
	return status;
}

const struct command cmd_load = {
	.name = "load",
	.run = load,
	.operands = "[PREFIX]",
	.summary = "Store the output of dump, or the keys in it that start with PREFIX",
	.options = options,
};
