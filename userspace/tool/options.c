// SPDX-License-Identifier: GPL-2.0
/* The command line: tables of options, and those that subcommands share. */
#include <getopt.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "options.h"
#include "output.h"
#include "settings.h"
#include "signals.h"

/* 100,000 days: far below where a deadline in nanoseconds would overflow. */
#define TIMEOUT_MAX_MS	(100000ULL * 24 * 3600 * 1000)

/* The options of every command, and of the tool itself. */
const struct tool_option common_options[] = {
	{ OPT_STORE, "store", "PATH",
	  "store to use, instead of $METASTORE_STORE\nor /dev/metastore" },
	{ 'h', "help", NULL, "show this help" },
	{ }
};

static bool operands_only;

/* Did "--" end the options, so that no operand can be one? */
bool has_operands_only(void)
{
	return operands_only;
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
