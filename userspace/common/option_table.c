// SPDX-License-Identifier: GPL-2.0
/* Tables of options, which getopt, the help and the completion read alike. */
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "option_table.h"
#include "output.h"

/* Where the help of options says what they do. */
#define HELP_COLUMN	23

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

/* The long options that a word abbreviates, each with a space before it. */
void add_candidates(struct buffer *buf, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct option *option;

	for (option = (const void *)long_options.data; option->name; option++)
		if (!strncmp(option->name, word + 2, len - 2))
			buffer_format(buf, " --%s", option->name);
	buffer_add(buf, "", 1);
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

void print_options_help(const struct tool_option *table)
{
	for (; table->name; table++)
		if (table->help)
			print_option_help(table);
}
