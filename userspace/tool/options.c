// SPDX-License-Identifier: GPL-2.0
/* What the command line says: options that subcommands share, operands, numbers. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define NS_PER_SEC	1000000000ULL

struct settings settings;

static void print_help(const struct command *cmd)
{
	buffer_format(&out, "Usage: mstore %s [OPTION...]%s%s\n", cmd->name,
		      *cmd->operands ? " " : "", cmd->operands);
	buffer_text(&out, cmd->summary);
	buffer_text(&out, ".\n\n");
	buffer_text(&out, cmd->help);
	buffer_text(&out,
		    "      --store PATH     the store to use, rather than $METASTORE_STORE\n"
		    "                       or /dev/metastore\n"
		    "  -h, --help           show this\n\n"
		    "Options end at the first operand. The manual has more: man mstore\n");
	out_finish();
	exit(STATUS_YES);
}

static void unknown_option(const struct command *cmd, char **argv)
{
	const char *word = argv[optind - 1];

	if (optopt > 0 && optopt <= UCHAR_MAX && strncmp(word, "--", 2))
		die_usage(cmd, "unknown option -%c", optopt);
	die_usage(cmd, "unknown option %s", word);
}

static void set_condition(const struct command *cmd, int flag)
{
	const int conditions = MSTORE_CREATE | MSTORE_REPLACE | MSTORE_IF_VERSION;

	if (settings.write.flags & conditions & ~flag)
		die_usage(cmd, "only one of --create, --replace and --if-version can be given");
	settings.write.flags |= flag;
}

/* Reads seconds, with a fraction if need be; returns nanoseconds. */
static uint64_t parse_seconds(const struct command *cmd, const char *option, const char *text)
{
	const char *s = text;
	uint64_t seconds = 0, fraction = 0, unit = NS_PER_SEC;

	for (; isdigit((unsigned char)*s) && seconds < NS_PER_SEC; s++)
		seconds = seconds * 10 + (*s - '0');
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++) {
			unit /= 10;
			fraction += unit * (*s - '0');
		}
	if (*s || s == text || !strcmp(text, "."))
		die_usage(cmd, "%s takes seconds, such as 2 or 0.5, not '%s'", option, text);
	return seconds * NS_PER_SEC + fraction;
}

/* Options that several subcommands have. Returns false if @option is none. */
static bool shared_option(const struct command *cmd, int option)
{
	struct mstore_options *write = &settings.write;

	switch (option) {
	case OPT_STORE:
		settings.store = optarg;
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
	case OPT_TTL:
		write->ttl_ms = parse_number(cmd, "--ttl", optarg, 1, MSTORE_TTL_MAX);
		return true;
	case OPT_TIMEOUT:
		settings.timed = true;
		settings.deadline = now_ns(CLOCK_MONOTONIC) +
				    parse_seconds(cmd, "--timeout", optarg);
		return true;
	default:
		return false;
	}
}

/*
 * Returns the next option that is the subcommand's own, or -1 where operands
 * start, at argv[optind].
 */
int next_option(const struct command *cmd, int argc, char **argv, const char *letters,
		const struct option *options)
{
	for (;;) {
		int option = getopt_long(argc, argv, letters, options, NULL);

		if (shared_option(cmd, option))
			continue;
		switch (option) {
		case 'h':
			print_help(cmd);
			break;
		case ':':
			die_usage(cmd, "option %s needs a value", argv[optind - 1]);
		case '?':
			unknown_option(cmd, argv);
			break;
		default:
			return option;
		}
	}
}

/* For subcommands about keys that have no options of their own. */
void parse_key_options(const struct command *cmd, int argc, char **argv)
{
	static const struct option options[] = {
		LONG_JSON, LONG_ESCAPED, LONG_STORE, LONG_HELP, { }
	};

	next_option(cmd, argc, argv, SHORT_COMMON SHORT_ESCAPED, options);
}

void want_operands(const struct command *cmd, int argc, int least, int most)
{
	int count = argc - optind;

	if (count < least)
		die_usage(cmd, "too few operands");
	if (count > most)
		die_usage(cmd, "too many operands (options come first; quote what has spaces)");
}

/* @forms: how many forms of output were asked for that exclude each other */
void want_one_form(const struct command *cmd, int forms)
{
	if (forms > 1)
		die_usage(cmd, "the options ask for different forms of output");
}

struct bytes operand_bytes(const struct command *cmd, const char *text)
{
	struct buffer buf = { 0 };

	if (!settings.escaped)
		return (struct bytes){ text, strlen(text) };
	if (!unescape(&buf, text))
		die_usage(cmd, "wrong escape in '%s'", text);
	return (struct bytes){ buf.data, buf.len };
}

struct bytes operand_prefix(const struct command *cmd, const char *text)
{
	struct bytes key = operand_bytes(cmd, text);

	if (key.len > MSTORE_KEY_MAX)
		die_usage(cmd, "a key has at most %d bytes, this one has %zu", MSTORE_KEY_MAX,
			  key.len);
	return key;
}

struct bytes operand_key(const struct command *cmd, const char *text)
{
	struct bytes key = operand_prefix(cmd, text);

	if (!key.len)
		die_usage(cmd, "a key cannot be empty");
	return key;
}

/* How many operands KEY VALUE, or with --file KEY alone, are. */
int value_operands(void)
{
	return settings.file ? 1 : 2;
}

/* The value that an operand, or the file that is there in its stead, holds. */
struct bytes operand_value(const struct command *cmd, struct mstore *store, const char *text)
{
	if (settings.file)
		return read_value(store, settings.file);
	return operand_bytes(cmd, text);
}

/* The command to run: what follows @operands operands and "--". */
char **operand_command(const struct command *cmd, int argc, char **argv, int operands)
{
	int at = optind + operands;

	want_operands(cmd, argc, operands + 2, INT_MAX);
	if (strcmp(argv[at], "--"))
		die_usage(cmd, "'--' must follow the operands, then a command");
	return argv + at + 1;
}

/* Digits and nothing else: strtoull() alone would take " -1". */
uint64_t parse_number(const struct command *cmd, const char *option, const char *text,
		      uint64_t least, uint64_t most)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || number < least || number > most)
		die_usage(cmd, "%s takes a number of at least %llu, not '%s'", option,
			  (unsigned long long)least, text);
	return number;
}

int parse_bucket(const struct command *cmd, const char *text)
{
	return parse_number(cmd, "--bucket", text, 0, INT_MAX);
}
