// SPDX-License-Identifier: GPL-2.0
/* mstore batch: a small shell of gets and changes */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "held.h"
#include "input.h"
#include "operation.h"
#include "output.h"
#include "settings.h"
#include "store.h"

enum { OPT_ATOMIC = OPT_OWN };

static const struct tool_option options[] = {
	{ OPT_ATOMIC, "atomic", NULL, "run all lines at one moment, or none" },
	OPTION_HELD, OPTION_NULL, OPTION_JSON, { }
};

/* Words of a line that are looked at: a command, options, a key. */
#define WORDS_MAX	16

static const struct tool_option no_options[] = { { } };

static const struct tool_option delete_options[] = {
	OPTION_PRINT(""), OPTION_IF_VERSION, OPTION_STEAL, { }
};

static const struct tool_option touch_options[] = { OPTION_TTL, OPTION_IF_VERSION, { } };

static const struct tool_option publish_options[] = {
	OPTION_CREATE, OPTION_REPLACE, OPTION_IF_VERSION, OPTION_STEAL, OPTION_TTL,
	OPTION_KEEP_TTL, { }
};

static const struct tool_option set_options[] = {
	OPTION_PRINT(""), OPTION_CREATE, OPTION_REPLACE, OPTION_IF_VERSION, OPTION_STEAL,
	OPTION_TTL, OPTION_KEEP_TTL, { }
};

/* The commands that a line may have: those of the tool by the same names. */
static const struct line_command {
	const struct command *cmd;
	enum operation_kind kind;
	const struct tool_option *options;
	bool valued;
} line_commands[] = {
	{ &cmd_get, OP_GET, no_options, false },
	{ &cmd_set, OP_SET, set_options, true },
	{ &cmd_pub, OP_PUBLISH, publish_options, true },
	{ &cmd_del, OP_DELETE, delete_options, false },
	{ &cmd_touch, OP_TOUCH, touch_options, false },
};

/* Operations that were read and not run yet. */
static struct operation waiting[MSTORE_BATCH_MAX];
static int waiting_count;
static struct mstore *store;
static int access;	/* what @store is open for */
static int status;

static const struct line_command *find_line_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(line_commands); i++)
		if (!strcmp(line_commands[i].cmd->name, name))
			return &line_commands[i];
	/* It reads and writes, and begins anew where another writer was faster. */
	if (!strcmp(name, cmd_incr.name))
		die_usage(&cmd_batch, "incr is no single operation: run mstore incr by itself");
	die_usage(&cmd_batch, "'%s': must be get, set, pub, del or touch", name);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Splits a line at blanks, the first words of it. Returns their number. */
static int split_words(char *line, char *words[WORDS_MAX + 1])
{
	int count = 0;

	while (count < WORDS_MAX) {
		while (is_blank(*line))
			line++;
		if (!*line)
			break;
		words[count++] = line;
		while (*line && !is_blank(*line))
			line++;
		if (*line)
			*line++ = 0;
	}
	words[count] = NULL;
	return count;
}

/* The value is all of the line that follows the key and one blank. */
static struct bytes line_value(const struct line_command *command, struct bytes line,
			       size_t key_end)
{
	if (key_end >= line.len)
		die_usage(command->cmd, "VALUE is missing");
	return operand_bytes(command->cmd, (const char *)line.data + key_end + 1);
}

/* Key and value are in memory of their own, since they had escapes. */
static void parse_words(struct operation *op, struct bytes line, int count, char **words,
			const char *copy)
{
	const struct line_command *command = find_line_command(words[0]);
	const struct command *cmd = command->cmd;

	memset(&settings.write, 0, sizeof(settings.write));
	settings.print = false;
	optind = 0;
	next_line_option(cmd, count, words, command->options);
	if (command->kind == OP_TOUCH)
		want_ttl(cmd);
	want_operands(cmd, count, words, command->valued ? "KEY [VALUE...]" : "KEY");
	*op = (struct operation){
		.kind = command->kind,
		.key = operand_key(cmd, words[optind]),
		.options = settings.write,
		.tells = settings.print,
		.line = settings.line,
	};
	if (command->valued)
		op->value = line_value(command, line,
				       words[optind] - copy + strlen(words[optind]));
}

/* Returns false if the line is empty or a comment. */
static bool parse_line(struct operation *op, struct bytes line)
{
	static struct buffer copy;
	char *words[WORDS_MAX + 1];
	int count;

	if (memchr(line.data, 0, line.len))
		die_usage(&cmd_batch, "NUL byte in the line: write it as \\x00");
	copy.len = 0;
	buffer_add(&copy, line.data, line.len + 1);
	count = split_words(copy.data, words);
	if (!count || words[0][0] == '#')
		return false;
	parse_words(op, line, count, words, copy.data);
	return true;
}

static int print_done(const struct operation *op)
{
	if (settings.json)
		print_json_result(op);
	if (op->error)
		return operation_failed(op);
	if (settings.json)
		return STATUS_YES;
	if (op->kind == OP_GET)
		print_pair(op->key, op->value);
	else if (op->tells && op->previous.version)
		print_pair(op->key, previous_value(op));
	return STATUS_YES;
}

static int needed_access(const struct operation *op)
{
	if (op->kind == OP_GET)
		return MSTORE_READ;
	if (settings.held)
		return 0;
	return op->tells ? MSTORE_RDWR : MSTORE_WRITE;
}

/* Opens the store for no more than the operations so far do. */
static void open_for_waiting(void)
{
	int needed = 0;

	for (int i = 0; i < waiting_count; i++)
		needed |= needed_access(&waiting[i]);
	if (!(needed & ~access))
		return;
	mstore_close(store);
	access |= needed;
	store = open_store(access);
}

static void run_waiting(int flags)
{
	open_for_waiting();
	if (settings.held)
		status |= run_held_operations(store, waiting, waiting_count, flags, print_done);
	else
		status |= run_operations(store, waiting, waiting_count, flags, print_done);
	out_flush();
	for (int i = 0; i < waiting_count; i++) {
		struct operation *op = &waiting[i];

		free((void *)op->key.data);
		if (op->kind != OP_GET)
			free((void *)op->value.data);
	}
	waiting_count = 0;
}

static void run_lines_before(void)
{
	run_waiting(0);
}

/* Refuses lines that the kernel would refuse without saying which one it means. */
static void check_atomic(void)
{
	struct bytes key = waiting[waiting_count].key;
	const struct operation *op;
	static size_t bytes;

	if (waiting_count == MSTORE_ATOMIC_MAX)
		die_usage(&cmd_batch, "--atomic: must be 1 to %d operations", MSTORE_ATOMIC_MAX);
	for (op = waiting; op < waiting + waiting_count; op++)
		if (op->key.len == key.len && !memcmp(op->key.data, key.data, key.len))
			die_usage(&cmd_batch, "--atomic: line %lu already has this key", op->line);
	bytes += key.len;
	if (bytes > MSTORE_ATOMIC_KEYS)
		die_usage(&cmd_batch, "--atomic: the keys must have at most %d bytes together",
			  MSTORE_ATOMIC_KEYS);
}

/* The writer of the lines may wait for an answer before the next one. */
static void run_lines(int flags)
{
	struct bytes line;

	while (next_line(&cmd_batch, &line)) {
		if (!parse_line(&waiting[waiting_count], line))
			continue;
		if (flags)
			check_atomic();
		waiting_count++;
		if (!flags && (waiting_count == MSTORE_BATCH_MAX || !line_waits()))
			run_waiting(0);
	}
	run_waiting(flags);
}

static int batch(int argc, char **argv)
{
	int flags = 0;

	while (next_option(&cmd_batch, argc, argv) == OPT_ATOMIC)
		flags = MSTORE_BATCH_ATOMIC;
	want_one_form(&cmd_batch, (const struct form[]){
		{ "--json", settings.json }, { "-0", settings.null }, { }
	});
	want_operands(&cmd_batch, argc, argv, "");
	settings.escaped = true;
	if (settings.held)
		want_held();
	if (!flags)
		settings.before_wrong_line = run_lines_before;
	run_lines(flags);
	mstore_close(store);
	return status;
}

const struct command cmd_batch = {
	.name = "batch",
	.run = batch,
	.operands = "",
	.summary = "Run the operations that standard input has, one per line",
	.options = options,
	.notes = "\nLines: get KEY, set [OPTION...] KEY VALUE, pub [OPTION...] KEY VALUE,\n"
		"del [OPTION...] KEY, touch --ttl TIME [OPTION...] KEY. The options are the\n"
		"conditions of these commands, --ttl and --keep-ttl, and --print of set and\n"
		"del, which prints KEY VALUE. KEY and VALUE have escapes, as with -e. VALUE\n"
		"extends to the end of the line.\n\n",
};
