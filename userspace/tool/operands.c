// SPDX-License-Identifier: GPL-2.0
/* The command line: operands, and options that stand among them by mistake. */
#include <ctype.h>
#include <getopt.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "settings.h"
#include "text.h"

/* Does the shell read it as it is? */
static bool is_plain(const char *word)
{
	if (!*word)
		return false;
	while (isalnum((unsigned char)*word) || (*word && strchr("-_=+:,./@%", *word)))
		word++;
	return !*word;
}

/* As the shell would have to read it. */
static void add_word(struct buffer *buf, const char *word)
{
	bool plain = is_plain(word);

	buffer_text(buf, plain ? " " : " '");
	for (; *word; word++) {
		if (*word == '\'')
			buffer_text(buf, "'\"'\"'");
		else
			buffer_add(buf, word, 1);
	}
	buffer_text(buf, plain ? "" : "'");
}

static void add_words(struct buffer *buf, char **words, int count)
{
	for (int i = 0; i < count; i++)
		add_word(buf, words[i]);
}

/* The command line with the options from argv[@at] on ahead of the operands. */
static void add_right_order(struct buffer *buf, int argc, char **argv, int at)
{
	struct buffer operands = { 0 };
	int count;

	buffer_text(buf, argv[0]);
	add_words(buf, argv + 1, optind - 1);
	add_words(&operands, argv + optind, at - optind);
	for (; at < argc && strcmp(argv[at], "--"); at += count ?: 1) {
		count = option_words(argc, argv, at);
		add_words(count ? buf : &operands, argv + at, count ?: 1);
	}
	add_words(&operands, argv + at, argc - at);
	buffer_add(buf, operands.data, operands.len);
	free(operands.data);
}

static noreturn void die_of_order(const struct command *cmd, int argc, char **argv, int at)
{
	struct buffer order = { 0 }, shown = { 0 };

	add_right_order(&order, argc, argv, at);
	escape(&shown, (struct bytes){ order.data, order.len }, ESCAPE_VALUE);
	die_usage(cmd,
		  "%.*s comes before the operands: %s%.*s; write -- before the operands if one begins with -",
		  (int)strcspn(argv[at], "="), argv[at], settings.line ? "" : "mstore ",
		  (int)shown.len, shown.data);
}

/*
 * Refuses an option at argv[@at], behind the first operand: taken for a key, it would
 * name one that was not meant.
 */
void want_no_option(const struct command *cmd, int argc, char **argv, int at)
{
	if (!has_operands_only() && option_words(argc, argv, at))
		die_of_order(cmd, argc, argv, at);
}

/**
 * struct operand - one of the operands that want_operands() wants
 * @name:	name, not ended by NUL
 * @len:	length of @name
 * @optional:	it may be missing
 * @repeated:	more of the kind may follow
 * @free:	it may look like an option
 */
struct operand {
	const char *name;
	int len;
	bool optional;
	bool repeated;
	bool free;
};

/* Returns the names that follow. */
static const char *next_operand(struct operand *operand, const char *names)
{
	const char *name = names + strspn(names, "[");

	*operand = (struct operand){
		.name = name, .len = strcspn(name, ".] "), .optional = name > names,
	};
	operand->repeated = name[operand->len] == '.';
	operand->free = !strncmp(name, "VALUE", operand->len) ||
			!strncmp(name, "ARGUMENT", operand->len);
	names += strcspn(names, " ");
	return names + strspn(names, " ");
}

/* Returns where the operands end that have a name. */
static int match_operands(const struct command *cmd, int argc, char **argv, const char *names)
{
	struct operand operand;
	int at = optind;

	while (*names) {
		names = next_operand(&operand, names);
		if (at == argc && !operand.optional)
			die_usage(cmd, "%.*s is missing", operand.len, operand.name);
		for (bool more = true; at < argc && more; at++, more = operand.repeated)
			if (at > optind && !operand.free)
				want_no_option(cmd, argc, argv, at);
	}
	return at;
}

/* @names: names of the operands, as in a usage line: "KEY [VALUE]" or "KEY..." */
void want_operands(const struct command *cmd, int argc, char **argv, const char *names)
{
	int at = match_operands(cmd, argc, argv, names);

	if (at == argc)
		return;
	for (at = optind + 1; at < argc; at++)
		want_no_option(cmd, argc, argv, at);
	die_usage(cmd, "too many operands (put options first; quote operands with spaces)");
}

struct bytes operand_bytes(const struct command *cmd, const char *text)
{
	struct buffer buf = { 0 };

	if (!settings.escaped)
		return (struct bytes){ text, strlen(text) };
	if (!unescape(&buf, text))
		die_usage(cmd, "wrong escape in '%s': must be \\\\, \\n, \\t, \\r or \\xHH", text);
	return (struct bytes){ buf.data, buf.len };
}

struct bytes operand_prefix(const struct command *cmd, const char *text)
{
	struct bytes key = operand_bytes(cmd, text);

	if (key.len > MSTORE_KEY_MAX)
		die_usage(cmd, "key of %zu bytes: must be 1 to %d bytes", key.len, MSTORE_KEY_MAX);
	return key;
}

struct bytes operand_key(const struct command *cmd, const char *text)
{
	struct bytes key = operand_prefix(cmd, text);

	if (!key.len)
		die_usage(cmd, "empty key: must be 1 to %d bytes", MSTORE_KEY_MAX);
	return key;
}

/* touch does nothing else. */
void want_ttl(const struct command *cmd)
{
	if (!settings.write.ttl_ms)
		die_usage(cmd, "--ttl is missing");
}

/* The forms of output are for what --print prints, and there is one for it. */
void want_print(const struct command *cmd)
{
	if (!settings.print && (settings.raw || settings.null))
		die_usage(cmd, "%s needs --print", settings.raw ? "--raw" : "-0");
	want_one_form(cmd, (const struct form[]){
		{ "--raw", settings.raw }, { "-0", settings.null }, { "--json", settings.json }, { }
	});
}

/* The operands of a command that stores a value, for want_operands(). */
const char *value_operands(void)
{
	return settings.file ? "KEY" : "KEY VALUE";
}

/*
 * The command to run: what follows the operands, whose @names are as in
 * want_operands(), and "--".
 */
char **operand_command(const struct command *cmd, int argc, char **argv, const char *names)
{
	int at = match_operands(cmd, argc, argv, names);

	if (at < argc && strcmp(argv[at], "--")) {
		want_no_option(cmd, argc, argv, at);
		if (!strcmp(argv[at - 1], "--"))
			die_usage(cmd, "VALUE is missing");
		die_usage(cmd, "'--' must follow the operands, then a command");
	}
	if (at + 1 >= argc)
		die_usage(cmd, "COMMAND is missing");
	return argv + at + 1;
}
