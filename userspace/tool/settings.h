/* SPDX-License-Identifier: GPL-2.0 */
/* The options that several subcommands have, as they were given. */
#ifndef MSTORE_TOOL_SETTINGS_H
#define MSTORE_TOOL_SETTINGS_H

#include <metastore.h>

#include "tool.h"

/**
 * struct settings - the options that several subcommands have
 * @store:	path of the store, NULL for the default one
 * @json:	print JSON, one object a line
 * @null:	end fields by NUL and escape nothing
 * @escaped:	operands are written as the tool prints keys
 * @raw:	values are printed or taken exactly, without adding or dropping a newline
 * @file:	the value is in this file, NULL: it is an operand
 * @output:	the output replaces this file, NULL: it goes to standard output
 * @write:	condition, owner and time to live of a write
 * @print:	print the value that is replaced or removed
 * @held:	it goes through the open file of the hold or lock around this command
 * @except:	prefixes of keys to leave out, as they were typed
 * @except_count: number of @except
 * @timed:	there is a --timeout: until @deadline
 * @deadline:	of CLOCK_MONOTONIC, in ns
 * @line:	line of standard input that is read as a command line, 0: none
 * @before_wrong_line: runs the lines before a malformed one, ahead of the message
 *		about it; or NULL
 */
struct settings {
	const char *store;
	bool json;
	bool null;
	bool escaped;
	bool raw;
	const char *file;
	const char *output;
	struct mstore_options write;
	bool print;
	bool held;
	const char **except;
	int except_count;
	bool timed;
	uint64_t deadline;
	unsigned long line;
	void (*before_wrong_line)(void);
};

extern struct settings settings;

#endif
