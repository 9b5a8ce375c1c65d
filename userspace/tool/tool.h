/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the command `mstore` share. One section a file.
 */
#ifndef METASTORE_TOOL_H
#define METASTORE_TOOL_H

#include <getopt.h>
#include <jansson.h>
#include <metastore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>
#include <time.h>

/* The compiler checks the arguments of functions that take a format as printf() does. */
#define PRINTF_LIKE(format_arg, first_arg) \
	__attribute__((__format__(__printf__, \
				  format_arg, first_arg)))

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

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
 * struct tool_option - an option, for getopt, the help and the completion alike
 * @value:	its letter, or one of OPT_ where it has none
 * @name:	long name; NULL ends a table
 * @arg:	name of its value in the help, NULL: it takes none; "[=NAME]": it can have one
 * @help:	lines of the help, with newlines between them; NULL: it is not for people
 */
struct tool_option {
	int value;
	const char *name;
	const char *arg;
	const char *help;
};

/**
 * struct command - a subcommand
 * @name:	what is typed
 * @run:	runs it: arguments from its own name on; returns an enum status
 * @operands:	what follows the options in the usage line
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

extern const struct command cmd_get;
extern const struct command cmd_set;
extern const struct command cmd_del;
extern const struct command cmd_pub;
extern const struct command cmd_update;
extern const struct command cmd_batch;
extern const struct command cmd_sub;
extern const struct command cmd_monitor;
extern const struct command cmd_wait;
extern const struct command cmd_hold;
extern const struct command cmd_lock;
extern const struct command cmd_stat;
extern const struct command cmd_bucket;
extern const struct command cmd_subs;
extern const struct command cmd_ls;
extern const struct command cmd_flush;
extern const struct command cmd_info;
extern const struct command cmd_audit;
extern const struct command cmd_dump;
extern const struct command cmd_load;
extern const struct command cmd_private;

/* options.c: what the command line says */

/**
 * struct settings - the options that several subcommands have
 * @store:	path of the store, NULL for the default one
 * @json:	print JSON, one object a line
 * @null:	end fields by NUL and escape nothing
 * @escaped:	operands are written as the tool prints keys
 * @raw:	values are printed, or taken, without a newline more or less
 * @file:	the value is in this file, NULL: it is an operand
 * @write:	under what conditions and how a value is stored or removed
 * @timed:	there is a --timeout: until @deadline
 * @deadline:	of CLOCK_MONOTONIC, in ns
 * @line:	line of standard input that is read as a command line, 0: none
 * @before_wrong_line: does what the lines before ask for, before the message about
 *		a wrong one; or NULL
 */
struct settings {
	const char *store;
	bool json;
	bool null;
	bool escaped;
	bool raw;
	const char *file;
	struct mstore_options write;
	bool timed;
	uint64_t deadline;
	unsigned long line;
	void (*before_wrong_line)(void);
};

extern struct settings settings;

/* Values of options without a letter, above all letters; a subcommand's own start at OPT_OWN. */
enum {
	OPT_STORE = 256,
	OPT_JSON,
	OPT_RAW,
	OPT_FILE,
	OPT_CREATE,
	OPT_REPLACE,
	OPT_IF_VERSION,
	OPT_STEAL,
	OPT_TTL,
	OPT_TIMEOUT,
	OPT_BUCKET,
	OPT_OWN,
};

/* Options that mean the same for several subcommands. */
#define OPTION_JSON		{ OPT_JSON, "json", NULL, "print JSON, one object a line" }
#define OPTION_ESCAPED \
	{ 'e', "escaped", NULL, "operands have escapes, as this tool prints keys" }
#define OPTION_NULL		{ '0', "null", NULL, "end fields by NUL, escape nothing" }
#define OPTION_FILE \
	{ OPT_FILE, "file", "FILE", "take the value from FILE, - is standard input" }
#define OPTION_CREATE		{ OPT_CREATE, "create", NULL, "only if the key is absent" }
#define OPTION_REPLACE		{ OPT_REPLACE, "replace", NULL, "only if it is there" }
#define OPTION_IF_VERSION \
	{ OPT_IF_VERSION, "if-version", "V", "only if its value has this version" }
#define OPTION_STEAL \
	{ OPT_STEAL, "steal", NULL, "even if it belongs to another open file" }
#define OPTION_TTL \
	{ OPT_TTL, "ttl", "MS", "the value ends after so many milliseconds" }
#define OPTION_BUCKET		{ OPT_BUCKET, "bucket", "N", "only keys of this bucket" }

extern const struct tool_option common_options[];

int read_option(int argc, char **argv, const struct tool_option *own,
		const struct tool_option *common);
void print_option_words(const struct tool_option *table);
int next_option(const struct command *cmd, int argc, char **argv);
int next_line_option(const struct command *cmd, int argc, char **argv,
		     const struct tool_option *options);
void want_operands(const struct command *cmd, int argc, int least, int most);
void want_one_form(const struct command *cmd, int forms);
struct bytes operand_bytes(const struct command *cmd, const char *text);
struct bytes operand_key(const struct command *cmd, const char *text);
struct bytes operand_prefix(const struct command *cmd, const char *text);
int value_operands(void);
struct bytes operand_value(const struct command *cmd, struct mstore *store, const char *text);
char **operand_command(const struct command *cmd, int argc, char **argv, int operands);
uint64_t parse_number(const struct command *cmd, const char *option, const char *text,
		      uint64_t least, uint64_t most);
int parse_bucket(const struct command *cmd, const char *text);

/* error.c: messages of the form `mstore: what: why` */

PRINTF_LIKE(2, 3) void report(const char *what, const char *why, ...);
PRINTF_LIKE(2, 3) void report_key(struct bytes key, const char *why, ...);
PRINTF_LIKE(3, 4) noreturn void die(int status, const char *what, const char *why, ...);
PRINTF_LIKE(2, 3) noreturn void die_usage(const struct command *cmd, const char *why, ...);
const char *reason(int error);
int status_of(int error);
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

/* json.c: one object a line */

json_t *object_new(void);
json_t *array_new(void);
void object_add(json_t *object, const char *name, json_t *value);
void array_add(json_t *array, json_t *value);
void object_bytes(json_t *object, const char *name, struct bytes bytes);
void object_text(json_t *object, const char *name, const char *text);
void object_number(json_t *object, const char *name, uint64_t number);
void object_exact(json_t *object, const char *name, uint64_t number);
void object_flag(json_t *object, const char *name);
void object_print(json_t *object);

/* writer.c: who wrote a value, and when */

#define TIME_TEXT_SIZE	40
#define COMMAND_SIZE	64

void time_text(char text[TIME_TEXT_SIZE], uint64_t time_ns);
const char *user_name(uint32_t uid);
bool writer_command(char name[COMMAND_SIZE], int32_t pid, uint64_t time_ns);
void add_json_writer(json_t *object, int32_t pid, uint32_t uid, uint64_t time_ns);

/* event.c: events as lines */

#define CHANGES		7

const char *format_error(const char *format);
/** struct change - what --changes calls a bit of the mask of events */
struct change {
	const char *word;
	int events;
};

extern const struct change changes[CHANGES];

const char *event_kind(int type);
void event_why(struct buffer *buf, const struct mstore_event *event);
void print_event(const struct mstore_event *event, const char *format);
void print_snapshot_end(struct bytes key, bool prefix, const char *format);
void print_loss(struct bytes key, bool prefix, uint64_t count);
void print_flushed(uint64_t count);

/* store.c: the store that the settings choose */

struct mstore *open_store(int flags);
void want_feature(struct mstore *store, uint64_t feature);
const char *store_path(void);

/* input.c: values that come from a file, and lines of standard input */

size_t longest_value(struct mstore *store);
struct bytes read_to_end(int fd, const char *name, size_t most);
struct bytes read_value(struct mstore *store, const char *path);
bool next_line(struct bytes *line);
bool line_waits(void);

/* operation.c: gets and changes of keys, many in one call */

enum operation_kind { OP_GET, OP_SET, OP_PUBLISH, OP_DELETE };

/**
 * struct operation - a get or a change of a key, and what became of it
 * @kind:	which
 * @key:	key
 * @value:	value to be stored; GET: [out] the value found, valid until
 *		operations are run again
 * @options:	of a change
 * @line:	line of standard input that asked for it, 0: none did
 * @error:	[out] 0 or an errno
 * @version:	[out] version read or made; after EEXIST and ESTALE the present one,
 *		0 if there is no value
 * @ttl_ms:	[out] GET: what is left of its time to live, 0: it has no end
 * @owned:	[out] GET: it belongs to an open file
 * @queues:	[out] PUBLISH: number of queues that took it
 */
struct operation {
	enum operation_kind kind;
	struct bytes key;
	struct bytes value;
	struct mstore_options options;
	unsigned long line;
	int error;
	uint64_t version;
	uint64_t ttl_ms;
	bool owned;
	int queues;
};

int run_operations(struct mstore *store, struct operation *ops, size_t count, int flags,
		   int (*done)(const struct operation *op));
void run_operation(struct mstore *store, struct operation *op);
void run_with_wait(struct mstore *store, struct operation *op);
int run_keys(const struct command *cmd, struct mstore *store, enum operation_kind kind, int argc,
	     char **argv, int (*done)(const struct operation *op));
int run_listed(struct mstore *store, struct bytes prefix, const struct operation *model,
	       bool (*wanted)(struct bytes key), int (*done)(const struct operation *op));

/* result.c: what became of them */

int operation_failed(const struct operation *op);
void print_value(struct bytes value);
void print_pair(struct bytes key, struct bytes value);
void print_json_result(const struct operation *op);

/* watch.c: waiting for what happens to keys */

uint64_t now_ns(clockid_t clock);
int time_left_ms(void);
void end_on_signals(int status);

/**
 * struct watch - a subscription to one key
 * @store:	open store that it belongs to
 * @buffer:	the events that watch_events() has read
 * @key:	key
 * @events:	mask of what is waited for
 * @over:	the time was over when last looked
 */
struct watch {
	struct mstore *store;
	struct mstore_event_buffer *buffer;
	struct bytes key;
	int events;
	bool over;
};

void watch_begin(struct watch *watch);
bool watch_events(struct watch *watch);
void watch_end(struct watch *watch);
bool read_events(struct mstore *store, struct mstore_event_buffer *buffer);

/* openfiles.c: the open files of stores, and who holds them */

/** struct books - what became of the events that were matched */
struct books {
	uint64_t matched;
	uint64_t delivered;
	uint64_t conflated;
	uint64_t lost;
	uint64_t pending;
};

/** struct subscription - one of an open file; see struct mstore_subscription_info */
struct subscription {
	struct bytes key;
	uint64_t cookie;
	int events;
	int flags;
	struct books books;
};

/**
 * struct open_file - an open file of a store; see struct mstore_queue_info
 * @store:	number of the store
 * @file:	number of the open file, unique
 * @policy:	the queue's, a word
 * @events:	events that wait
 * @holders:	processes that have it open
 * @subs:	its subscriptions
 */
struct open_file {
	uint64_t store;
	uint64_t file;
	char policy[16];
	uint64_t events;
	uint64_t bytes;
	uint64_t max_len;
	uint64_t max_bytes;
	uint64_t high_len;
	uint64_t oldest_ms;
	struct books books;
	int32_t *holders;
	size_t holder_count;
	struct subscription *subs;
	size_t sub_count;
};

/**
 * struct open_files - all that there are
 * @files:	they
 * @count:	their number
 * @denied:	processes that could not be looked at
 */
struct open_files {
	struct open_file *files;
	size_t count;
	unsigned int denied;
};

uint64_t open_files_read(struct open_files *files, struct mstore *store);
void open_files_free(struct open_files *files);
bool books_balance(const struct books *books);
bool file_balances(const struct open_file *file);

/* child.c: other commands, in place of this one or beside it */

void ignore_broken_pipes(void);
int inherit_store(struct mstore *store);
noreturn void become(char *const *argv);
pid_t start_command(char *const *argv, struct bytes input, int output);
int wait_for_command(pid_t pid);

/* follow.c and sub_exec.c: changes printed, or a command run for each */

/* The options of both. */
#define OPTION_COUNT		{ 'n', "count", "COUNT", "end after COUNT changes" }
#define OPTION_ENOUGH \
	{ OPT_TIMEOUT, "timeout", "SECONDS", "end then, with status 124 if too little happened" }

#define EVENTS_ALL	(MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED)

/**
 * struct follow - what is followed, and how far it has come
 * @cmd:	subcommand that does it
 * @store:	open store, which is subscribed to @keys; cookies are indexes
 * @keys:	keys, or prefixes
 * @operands:	the same as they were typed
 * @count:	their number
 * @how:	how they are followed, and which changes
 * @queue:	what the store's queue is to become
 * @ready_fd:	descriptor to tell that all are subscribed to, -1: none
 * @print:	prints a change, or what the snapshot has
 * @tick:	called every second at least, or NULL
 * @format:	format of each line, or NULL
 * @command:	command to run for each change, or NULL
 * @strict:	end when changes were lost
 * @counted:	end after @wanted changes
 * @wanted:	see there
 * @seen:	changes printed, or commands run
 * @lost:	changes lost
 */
struct follow {
	const struct command *cmd;
	struct mstore *store;
	struct bytes *keys;
	char **operands;
	int count;
	struct mstore_subscribe_options how;
	struct mstore_queue_options queue;
	int ready_fd;
	void (*print)(const struct follow *follow, const struct mstore_event *event);
	void (*tick)(const struct follow *follow);
	const char *format;
	char *command;
	bool strict;
	bool counted;
	uint64_t wanted;
	uint64_t seen;
	uint64_t lost;
};

void follow_begin(struct follow *follow);
bool follows_prefixes(const struct follow *follow);
bool is_complete(const struct follow *follow);
int changes_lost(struct follow *follow, const struct mstore_event *event);
noreturn void subscriptions_flushed(const struct follow *follow, const struct mstore_event *event);
int follow_to_end(struct follow *follow);
int follow_with_command(struct follow *follow, struct mstore_event_buffer *buffer);

/* base64.c */

void base64_encode(struct buffer *buf, struct bytes bytes);
bool base64_decode(struct buffer *buf, struct bytes text);

/* progress.c: how far a long command is, for whoever sits at a terminal */

PRINTF_LIKE(1, 2) void status_line(const char *format, ...);
void progress(const char *what, uint64_t count);
void progress_end(void);

#endif
