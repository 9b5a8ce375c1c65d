/* SPDX-License-Identifier: GPL-2.0 */
/* The command line: options, operands, numbers. */
#ifndef MSTORE_TOOL_OPTIONS_H
#define MSTORE_TOOL_OPTIONS_H

#include <getopt.h>

#include "option_table.h"
#include "tool.h"

/**
 * struct command - a subcommand
 * @name:	name, as typed
 * @run:	function: gets the arguments from the name on; returns an enum status
 * @operands:	operands in the usage line
 * @summary:	one line for the list of subcommands
 * @options:	its own options, in the order of the help
 * @notes:	lines of the help after them, or NULL
 */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *operands;
	const char *summary;
	const struct tool_option *options;
	const char *notes;
};

/* Values of options without a letter, above all letters; a subcommand's own start at OPT_OWN. */
enum {
	OPT_STORE = 256,
	OPT_JSON,
	OPT_RAW,
	OPT_FILE,
	OPT_OUTPUT,
	OPT_CREATE,
	OPT_REPLACE,
	OPT_IF_VERSION,
	OPT_STEAL,
	OPT_TTL,
	OPT_TIMEOUT,
	OPT_BUCKET,
	OPT_HELD,
	OPT_EXCEPT,
	OPT_KEEP_TTL,
	OPT_PRINT,
	OPT_OWN,
};

/* Options that mean the same for several subcommands. */
#define OPTION_JSON		{ OPT_JSON, "json", NULL, "print JSON, one object per line" }
#define OPTION_ESCAPED \
	{ 'e', "escaped", NULL, "operands have escapes, as in this tool's output" }
#define OPTION_NULL		{ '0', "null", NULL, "end fields with NUL, without escapes" }
#define OPTION_FILE \
	{ OPT_FILE, "file", "FILE", "read the value from FILE; - is standard input" }
#define OPTION_OUTPUT \
	{ OPT_OUTPUT, "output", "FILE", "replace FILE by the output, in one step once it is whole" }
#define OPTION_CREATE		{ OPT_CREATE, "create", NULL, "only if the key is absent" }
#define OPTION_REPLACE		{ OPT_REPLACE, "replace", NULL, "only if the key exists" }
#define OPTION_IF_VERSION \
	{ OPT_IF_VERSION, "if-version", "V", "only if the value has version V" }
#define OPTION_STEAL \
	{ OPT_STEAL, "steal", NULL, "even if another open file owns the key" }
#define OPTION_TTL \
	{ OPT_TTL, "ttl", "TIME", "the value expires after TIME, such as 500ms or 2h" }
#define OPTION_KEEP_TTL \
	{ OPT_KEEP_TTL, "keep-ttl", NULL, "the value expires when the previous one would have" }
#define OPTION_PRINT(help)	{ OPT_PRINT, "print", NULL, help }
#define OPTION_PRINT_RAW	{ OPT_RAW, "raw", NULL, "print it without a newline" }
#define OPTION_HELD \
	{ OPT_HELD, "held", NULL, \
	  "write as the owner: through the open file of the\n" \
	  "mstore hold or lock that runs this command" }
#define OPTION_BUCKET		{ OPT_BUCKET, "bucket", "N", "only keys of bucket N" }
#define OPTION_EXCEPT \
	{ OPT_EXCEPT, "except", "PREFIX", "leave out keys that start with PREFIX; repeatable" }

PRINTF_LIKE(2, 3) noreturn void die_usage(const struct command *cmd, const char *why, ...);

extern const struct tool_option common_options[];

void set_store(const char *path);
int next_option(const struct command *cmd, int argc, char **argv);
int next_line_option(const struct command *cmd, int argc, char **argv,
		     const struct tool_option *options);

bool has_operands_only(void);

void want_operands(const struct command *cmd, int argc, char **argv, const char *names);
void want_no_option(const struct command *cmd, int argc, char **argv, int at);
struct bytes operand_bytes(const struct command *cmd, const char *text);
struct bytes operand_key(const struct command *cmd, const char *text);
struct bytes operand_prefix(const struct command *cmd, const char *text);
const char *value_operands(void);
void want_print(const struct command *cmd);
void want_ttl(const struct command *cmd);
char **operand_command(const struct command *cmd, int argc, char **argv, const char *names);

/**
 * struct form - an option that chooses a form of output
 * @name:	its name, for messages; NULL ends a list
 * @given:	it was given
 */
struct form {
	const char *name;
	bool given;
};

void want_one_form(const struct command *cmd, const struct form *forms);

bool is_duration(const char *text);
uint64_t parse_number(const struct command *cmd, const char *option, const char *text,
		      uint64_t least, uint64_t most);
uint64_t parse_duration(const struct command *cmd, const char *option, const char *text,
			uint64_t least_ms, uint64_t most_ms);
uint32_t parse_queue_len(const struct command *cmd, const char *text);
uint32_t parse_queue_bytes(const struct command *cmd, const char *text);
int parse_bucket(const struct command *cmd, const char *text);

#endif
