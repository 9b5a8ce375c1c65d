// SPDX-License-Identifier: GPL-2.0
/* The command line: tables of options, and those that subcommands share. */
#include <getopt.h>
#include <limits.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "options.h"
#include "output.h"
#include "settings.h"
#include "signals.h"

/* Where the help of options says what they do. */
#define HELP_COLUMN	23

/* 100,000 days: far below where a deadline in nanoseconds would overflow. */
#define TIMEOUT_MAX_MS	(100000ULL * 24 * 3600 * 1000)

/* The options of every command, and of the tool itself. */
const struct tool_option common_options[] = {
	{ OPT_STORE, "store", "PATH",
	  "store to use, instead of $METASTORE_STORE\nor /dev/metastore" },
	{ 'h', "help", NULL, "show this help" },
	{ }
};

static bool has_letter(const struct tool_option *option)
{
	return option->value <= UCHAR_MAX;
}

/* As getopt_long() calls it. */
static int takes_value(const struct tool_option *option)
{
	if (!option->arg)
		return no_argument;
	return option->arg[0] == '[' ? optional_argument : required_argument;
}

static struct buffer long_options;
static struct buffer letters;

static void add_options(const struct tool_option *table)
{
	for (; table->name; table++) {
		const struct option option = {
			.name = table->name, .has_arg = takes_value(table), .val = table->value,
		};

		buffer_add(&long_options, &option, sizeof(option));
		if (has_letter(table))
			buffer_format(&letters, "%c%s", table->value, table->arg ? ":" : "");
	}
}

/* '+' ends the options at the first operand; ':' tells a missing value from an unknown option. */
static void prepare_getopt(const struct tool_option *own, const struct tool_option *common)
{
	static const struct tool_option *prepared;
	static const struct option end;

	if (prepared == own)
		return;
	prepared = own;
	long_options.len = 0;
	letters.len = 0;
	buffer_text(&letters, "+:");
	add_options(own);
	if (common)
		add_options(common);
	buffer_add(&long_options, &end, sizeof(end));
	buffer_add(&letters, "", 1);
}

/* Returns the value of the next option of the tables; else -1, ':' or '?' as getopt_long(). */
int read_option(int argc, char **argv, const struct tool_option *own,
		const struct tool_option *common)
{
	opterr = 0;
	prepare_getopt(own, common);
	return getopt_long(argc, argv, letters.data, (const void *)long_options.data, NULL);
}

static bool operands_only;

/* Did "--" end the options, so that no operand can be one? */
bool has_operands_only(void)
{
	return operands_only;
}

/*
 * Returns how many words at argv[@at] are an option, with its value: 0 if they are
 * none. The tables are those of the options before.
 */
int option_words(int argc, char **argv, int at)
{
	char *const words[] = { argv[0], argv[at], at + 1 < argc ? argv[at + 1] : NULL, NULL };
	int count, option, before = optind;

	optind = 0;
	do {
		option = getopt_long(words[2] ? 3 : 2, words, letters.data,
				     (const void *)long_options.data, NULL);
	} while (option != -1 && option != '?' && option != ':' && optind < 2);
	count = option == -1 || option == '?' ? 0 : optind - 1;
	optind = before;
	return count;
}

/* For the completion: the options as words, with = behind those that want a value. */
void print_option_words(const struct tool_option *table)
{
	for (; table->name; table++) {
		const char *equals = takes_value(table) == required_argument ? "=" : "";

		if (!table->help)
			continue;
		if (has_letter(table))
			buffer_format(&out, "-%c%s\n", table->value, equals);
		buffer_format(&out, "--%s%s\n", table->name, equals);
	}
}

/* Returns how many columns that takes. */
static int print_option_name(const struct tool_option *option)
{
	size_t start = out.len;

	if (has_letter(option))
		buffer_format(&out, "  -%c, ", option->value);
	else
		buffer_text(&out, "      ");
	buffer_format(&out, "--%s", option->name);
	if (option->arg)
		buffer_format(&out, option->arg[0] == '[' ? "%s" : " %s", option->arg);
	return out.len - start;
}

static void print_option_help(const struct tool_option *option)
{
	int column = print_option_name(option);
	const char *line = option->help;
	int len = strcspn(line, "\n");

	if (column + 2 > HELP_COLUMN) {
		buffer_text(&out, "\n");
		column = 0;
	}
	buffer_format(&out, "%*s%.*s\n", HELP_COLUMN - column, "", len, line);
	while (line[len]) {
		line += len + 1;
		len = strcspn(line, "\n");
		buffer_format(&out, "%*s%.*s\n", HELP_COLUMN, "", len, line);
	}
}

static void print_options_help(const struct tool_option *table)
{
	for (; table->name; table++)
		if (table->help)
			print_option_help(table);
}

static noreturn void print_help(const struct command *cmd)
{
	buffer_format(&out, "Usage: mstore %s [OPTION...]%s%s\n", cmd->name,
		      *cmd->operands ? " " : "", cmd->operands);
	buffer_text(&out, cmd->summary);
	buffer_text(&out, ".\n\n");
	print_options_help(cmd->options);
	if (cmd->notes)
		buffer_text(&out, cmd->notes);
	print_options_help(common_options);
	buffer_text(&out,
		    "\nOptions end at the first operand. See man mstore for more.\n");
	out_finish();
	exit(STATUS_YES);
}

/* A line of standard input is to blame rather than the command line. */
static noreturn void die_line(const struct command *cmd, const char *why)
{
	char what[32];

	snprintf(what, sizeof(what), "line %lu", settings.line);
	if (settings.before_wrong_line)
		settings.before_wrong_line();
	die(STATUS_USAGE, what, "%s: %s", cmd->name, why);
}

void die_usage(const struct command *cmd, const char *why, ...)
{
	char text[1024];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	if (settings.line)
		die_line(cmd, text);
	die(STATUS_USAGE, cmd->name, "%s; see mstore %s --help", text, cmd->name);
}

/* The long options that a word abbreviates, each with a space before it. */
static void add_candidates(struct buffer *buf, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct option *option;

	for (option = (const void *)long_options.data; option->name; option++)
		if (!strncmp(option->name, word + 2, len - 2))
			buffer_format(buf, " --%s", option->name);
	buffer_add(buf, "", 1);
}

static noreturn void wrong_long_option(const struct command *cmd, const char *word)
{
	struct buffer candidates = { 0 };

	/* Only there getopt_long() says which one it is. */
	if (optopt)
		die_usage(cmd, "option %.*s takes no value", (int)strcspn(word, "="), word);
	add_candidates(&candidates, word);
	if (*candidates.data)
		die_usage(cmd, "%s abbreviates several options; give one of%s", word,
			  candidates.data);
	die_usage(cmd, "unknown option %s", word);
}

static noreturn void wrong_option(const struct command *cmd, const char *word)
{
	if (!strncmp(word, "--", 2))
		wrong_long_option(cmd, word);
	die_usage(cmd, "unknown option -%c", optopt);
}

static void set_condition(const struct command *cmd, int flag)
{
	const int conditions = MSTORE_CREATE | MSTORE_REPLACE | MSTORE_IF_VERSION;

	if (settings.write.flags & conditions & ~flag)
		die_usage(cmd, "only one of --create, --replace and --if-version can be given");
	settings.write.flags |= flag;
}

static void want_one_end(const struct command *cmd)
{
	if (settings.write.ttl_ms && settings.write.flags & MSTORE_KEEP_TTL)
		die_usage(cmd, "only one of --ttl and --keep-ttl can be given");
}

static void add_exception(const char *text)
{
	size_t size = (settings.except_count + 1) * sizeof(*settings.except);

	settings.except = realloc(settings.except, size);
	if (!settings.except)
		die(STATUS_COULD_NOT, "memory", "no room for %zu bytes", size);
	settings.except[settings.except_count++] = text;
}

/* "$STORE" of a script in which that is not set must not mean the machine's store. */
void set_store(const char *path)
{
	if (!*path)
		die(STATUS_USAGE, "--store", "PATH is empty; leave the option out for the default");
	settings.store = path;
}

/*
 * A value that may be left out belongs to its option, with '='. A word that looks like
 * one is not taken for an operand.
 */
static void refuse_value_behind(const struct command *cmd, const struct tool_option *option,
				int argc, char **argv)
{
	if (optarg || optind >= argc || !option->name || !option->arg || option->arg[0] != '[' ||
	    !(is_signal(argv[optind]) || is_duration(argv[optind])))
		return;
	die_usage(cmd, "'%s' behind --%s: write --%s=%s, or -- before operands", argv[optind],
		  option->name, option->name, argv[optind]);
}

static const struct tool_option *find_option(const struct tool_option *table, int value)
{
	while (table->name && table->value != value)
		table++;
	return table;
}

/* Options that several subcommands have. Returns false if @option is none. */
static bool shared_option(const struct command *cmd, int option)
{
	struct mstore_options *write = &settings.write;

	switch (option) {
	case OPT_STORE:
		set_store(optarg);
		return true;
	case OPT_JSON:
		settings.json = true;
		return true;
	case '0':
		settings.null = true;
		return true;
	case 'e':
		settings.escaped = true;
		return true;
	case OPT_RAW:
		settings.raw = true;
		return true;
	case OPT_FILE:
		settings.file = optarg;
		return true;
	case OPT_OUTPUT:
		settings.output = optarg;
		return true;
	case OPT_CREATE:
		set_condition(cmd, MSTORE_CREATE);
		return true;
	case OPT_REPLACE:
		set_condition(cmd, MSTORE_REPLACE);
		return true;
	case OPT_IF_VERSION:
		set_condition(cmd, MSTORE_IF_VERSION);
		write->version = parse_number(cmd, "--if-version", optarg, 0, UINT64_MAX);
		return true;
	case OPT_STEAL:
		write->flags |= MSTORE_STEAL;
		return true;
	case OPT_HELD:
		settings.held = true;
		return true;
	case OPT_TTL:
		write->ttl_ms = parse_duration(cmd, "--ttl", optarg, 1, MSTORE_TTL_MAX);
		want_one_end(cmd);
		return true;
	case OPT_KEEP_TTL:
		write->flags |= MSTORE_KEEP_TTL;
		want_one_end(cmd);
		return true;
	case OPT_PRINT:
		settings.print = true;
		return true;
	case OPT_EXCEPT:
		add_exception(optarg);
		return true;
	case OPT_TIMEOUT:
		settings.timed = true;
		settings.deadline = now_ns(CLOCK_MONOTONIC) +
				    parse_duration(cmd, "--timeout", optarg, 0, TIMEOUT_MAX_MS) *
				    NS_PER_MS;
		return true;
	default:
		return false;
	}
}

/* Obeys the options that subcommands share. Returns the next of the others, or -1. */
static int next_own_option(const struct command *cmd, int argc, char **argv,
			   const struct tool_option *own, const struct tool_option *common)
{
	int option, before;

	do {
		before = optind ?: 1;
		option = read_option(argc, argv, own, common);
	} while (shared_option(cmd, option));
	operands_only = option == -1 && optind > before;
	switch (option) {
	case 'h':
		print_help(cmd);
	case ':':
		die_usage(cmd, "option %s needs a value", argv[optind - 1]);
	case '?':
		wrong_option(cmd, argv[before]);
	case -1:
		return option;
	default:
		refuse_value_behind(cmd, find_option(own, option), argc, argv);
		return option;
	}
}

/*
 * Returns the next option that is the subcommand's own, or -1 where operands
 * start, at argv[optind].
 */
int next_option(const struct command *cmd, int argc, char **argv)
{
	return next_own_option(cmd, argc, argv, cmd->options, common_options);
}

/* The same of a line of standard input, which can have these options alone. */
int next_line_option(const struct command *cmd, int argc, char **argv,
		     const struct tool_option *options)
{
	return next_own_option(cmd, argc, argv, options, NULL);
}

/* Refuses two @forms of output; a form without a name ends them. */
void want_one_form(const struct command *cmd, const struct form *forms)
{
	const char *first = NULL;

	for (; forms->name; forms++) {
		if (first && forms->given)
			die_usage(cmd, "%s excludes %s: give one form of output", first,
				  forms->name);
		if (forms->given)
			first = forms->name;
	}
}
