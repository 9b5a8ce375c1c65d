/* SPDX-License-Identifier: GPL-2.0 */
/* Tables of options, which getopt, the help and the completion read alike. */
#ifndef MSTORE_OPTION_TABLE_H
#define MSTORE_OPTION_TABLE_H

#include "output.h"
#include "tool.h"

/**
 * struct tool_option - an option, for getopt, the help and the completion alike
 * @value:	its letter, or one of OPT_ where it has none
 * @name:	long name; NULL ends a table
 * @arg:	name of its value in the help, NULL: it takes none; "[=NAME]": it can have one
 * @help:	lines of the help, with newlines between them; NULL: left out of the help
 */
struct tool_option {
	int value;
	const char *name;
	const char *arg;
	const char *help;
};

int read_option(int argc, char **argv, const struct tool_option *own,
		const struct tool_option *common);
int option_words(int argc, char **argv, int at);
void add_candidates(struct buffer *buf, const char *word);
void print_option_words(const struct tool_option *table);
void print_options_help(const struct tool_option *table);

#endif
