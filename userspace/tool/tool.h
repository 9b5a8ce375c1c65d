/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the command `metastore` share. One section a file.
 */
#ifndef METASTORE_TOOL_H
#define METASTORE_TOOL_H

#include <getopt.h>
#include <metastore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* The compiler checks the arguments of functions that take a format as printf() does. */
#define PRINTF_LIKE(format_arg, first_arg) \
	__attribute__((__format__(__printf__, \
				  format_arg, first_arg)))

/** struct bytes - a key or a value: any bytes, with a length */
struct bytes {
	const void *data;
	size_t len;
};

/** enum status - the exit statuses, the same for every subcommand */
enum status {
	STATUS_YES = 0,
	STATUS_NO = 1,		/* absent, or a condition was not met */
	STATUS_USAGE = 2,
	STATUS_COULD_NOT = 3,	/* device, permission, limit, output */
	STATUS_TIMED_OUT = 124,
};

/**
 * struct command - a subcommand
 * @name:	what is typed
 * @run:	runs it: arguments from its own name on; returns an enum status
 * @operands:	what follows the options in the usage line
 * @summary:	one line for the list of subcommands
 * @help:	its own options, a line each
 */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *operands;
	const char *summary;
	const char *help;
};

extern const struct command cmd_get;
extern const struct command cmd_set;
extern const struct command cmd_del;
extern const struct command cmd_pub;
extern const struct command cmd_sub;
extern const struct command cmd_stat;
extern const struct command cmd_bucket;
extern const struct command cmd_subs;
extern const struct command cmd_ls;
extern const struct command cmd_flush;
extern const struct command cmd_info;

/* options.c: what the command line says */

/**
 * struct settings - the options that several subcommands have
 * @store:	path of the store, NULL for the default one
 * @json:	print JSON, one object a line
 * @null:	end fields by NUL and escape nothing
 * @escaped:	operands are written as the tool prints keys
 */
struct settings {
	const char *store;
	bool json;
	bool null;
	bool escaped;
};

extern struct settings settings;

/* Values of options without a letter; a subcommand's own start at OPT_OWN. */
enum {
	OPT_STORE = 256,
	OPT_JSON,
	OPT_OWN,
};

/* Short forms: '+' ends the options at the first operand, ':' reports what is missing. */
#define SHORT_COMMON	"+:h"
#define SHORT_ESCAPED	"e"
#define SHORT_NULL	"0"

#define LONG_STORE	{ "store", required_argument, NULL, OPT_STORE }
#define LONG_HELP	{ "help", no_argument, NULL, 'h' }
#define LONG_JSON	{ "json", no_argument, NULL, OPT_JSON }
#define LONG_ESCAPED	{ "escaped", no_argument, NULL, 'e' }
#define LONG_NULL	{ "null", no_argument, NULL, '0' }

/* The lines of the help texts that several subcommands share. */
#define HELP_JSON	"      --json           print JSON, one object a line\n"
#define HELP_ESCAPED	"  -e, --escaped        operands have escapes, as this tool prints keys\n"
#define HELP_NULL	"  -0, --null           end fields by NUL, escape nothing\n"
#define HELP_BUCKET	"      --bucket N       only keys of this bucket\n"

int next_option(const struct command *cmd, int argc, char **argv, const char *letters,
		const struct option *options);
void parse_key_options(const struct command *cmd, int argc, char **argv);
void want_operands(const struct command *cmd, int argc, int least, int most);
void want_one_form(const struct command *cmd, int forms);
struct bytes operand_bytes(const struct command *cmd, const char *text);
struct bytes operand_key(const struct command *cmd, const char *text);
struct bytes operand_prefix(const struct command *cmd, const char *text);
uint64_t parse_number(const struct command *cmd, const char *option, const char *text,
		      uint64_t least, uint64_t most);
uint64_t parse_seconds(const struct command *cmd, const char *option, const char *text);
int parse_bucket(const struct command *cmd, const char *text);

/* error.c: messages of the form `metastore: what: why` */

PRINTF_LIKE(2, 3) void report(const char *what, const char *why, ...);
PRINTF_LIKE(2, 3) void report_key(struct bytes key, const char *why, ...);
PRINTF_LIKE(3, 4) noreturn void die(int status, const char *what, const char *why, ...);
PRINTF_LIKE(2, 3) noreturn void die_usage(const struct command *cmd, const char *why, ...);
int key_failed(struct bytes key, int error);
noreturn void call_failed(const char *what, int error);

/* buffer.c: a string that grows */

struct buffer {
	char *data;
	size_t len;
	size_t size;
};

char *buffer_reserve(struct buffer *buf, size_t more);
void buffer_add(struct buffer *buf, const void *data, size_t len);
void buffer_text(struct buffer *buf, const char *text);
void buffer_number(struct buffer *buf, uint64_t number);
PRINTF_LIKE(2, 3) void buffer_format(struct buffer *buf, const char *format, ...);

/* output.c: standard output, in whole records */

extern struct buffer out;

void out_end(void);
void out_flush(void);
void out_finish(void);
void out_key(struct bytes key);
void out_value(struct bytes value);

/* escape.c: bytes as text that keeps to one line */

enum escape_style {
	ESCAPE_VALUE,	/* spaces stay */
	ESCAPE_KEY,	/* spaces are escaped too, so that the key ends at the first one */
};

void escape(struct buffer *buf, struct bytes bytes, enum escape_style style);
size_t unescape_one(const char *text, char *byte);
bool unescape(struct buffer *buf, const char *text);

/* utf8.c */

size_t utf8_sequence(const void *data, size_t len);
bool utf8_valid(struct bytes bytes);

/* json.c: one object a line */

void json_begin(void);
void json_bytes(const char *name, struct bytes bytes);
void json_text(const char *name, const char *text);
void json_number(const char *name, uint64_t number);
void json_exact(const char *name, uint64_t number);
void json_true(const char *name);
void json_end(void);

/* writer.c: who wrote a value, and when */

#define TIME_TEXT_SIZE	40
#define COMMAND_SIZE	64

void time_text(char text[TIME_TEXT_SIZE], uint64_t time_ns);
const char *user_name(uint32_t uid);
bool writer_command(char name[COMMAND_SIZE], int32_t pid, uint64_t time_ns);
void json_writer(int32_t pid, uint32_t uid, uint64_t time_ns);

/* event.c: events as lines */

const char *format_error(const char *format);
void print_event(const struct mstore_event *event, const char *format);
void print_loss(struct bytes key, uint64_t count);
void print_flushed(uint64_t count);

/* store.c: the store that the settings choose */

struct mstore *open_store(int flags);
const char *store_path(void);

/* input.c: values that come from a file */

struct bytes read_value(struct mstore *store, const char *path);

#endif
