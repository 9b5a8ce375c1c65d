// SPDX-License-Identifier: GPL-2.0
/* mstore update */
#include <errno.h>
#include <fcntl.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "error.h"
#include "held.h"
#include "input.h"
#include "operation.h"
#include "settings.h"
#include "store.h"

static const struct tool_option options[] = {
	{ OPT_RAW, "raw", NULL, "keep a newline that the filter adds at the end" },
	OPTION_STEAL, OPTION_HELD, OPTION_TTL, OPTION_JSON, OPTION_ESCAPED, { }
};

static bool ends_line(struct bytes value)
{
	return value.len && ((const char *)value.data)[value.len - 1] == '\n';
}

/*
 * Text tools end their last line. Where the value had no such newline it is not to
 * get one, as with $() of the shell.
 */
static struct bytes without_new_newline(struct bytes value, struct bytes before)
{
	if (!settings.raw && ends_line(value) && !ends_line(before))
		value.len--;
	return value;
}

/* Pipes @before through the command. Returns its exit status. */
static int filter(char **command, struct mstore *store, struct bytes before, struct bytes *after)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		call_failed("pipe", errno);
	pid = start_command(command, before, ends[1], NULL);
	close(ends[1]);
	*after = read_to_end(ends[0], command[0], longest_value(store));
	close(ends[0]);
	*after = without_new_newline(*after, before);
	return wait_for_command(pid);
}

/*
 * Writes the value if the key still is as @get found it. Its time to live stays, unless
 * another one is asked for; a value without one does not count as one that has it.
 */
static int write_back(struct mstore *store, struct operation *set, const struct operation *get)
{
	set->options = settings.write;
	set->options.flags |= MSTORE_IF_VERSION;
	set->options.version = get->version;
	if (get->ttl_ms && !set->options.ttl_ms) {
		want_feature(store, MSTORE_FEATURE_PREVIOUS);
		set->options.flags |= MSTORE_KEEP_TTL;
	}
	if (settings.held)
		run_held(set);
	else
		run_operation(store, set);
	return set->error;
}

/* Returns the filter's status if that is not 0, else the one of the last try. */
static int try_until_unchanged(struct mstore *store, struct operation *set, char **command)
{
	struct operation get;
	int status;

	do {
		free((void *)set->value.data);
		get = (struct operation){ .kind = OP_GET, .key = set->key };
		run_operation(store, &get);
		if (get.error && get.error != ENOENT)
			return operation_failed(&get);
		status = filter(command, store, get.value, &set->value);
		if (status)
			return status;
	} while (write_back(store, set, &get) == ESTALE);
	return set->error ? operation_failed(set) : STATUS_YES;
}

static int update(int argc, char **argv)
{
	struct operation set = { .kind = OP_SET };
	struct mstore *store;
	char **command;
	int status;

	next_option(&cmd_update, argc, argv);
	command = operand_command(&cmd_update, argc, argv, "KEY");
	set.key = operand_key(&cmd_update, argv[optind]);
	if (settings.held)
		want_held();
	store = open_store(MSTORE_RDWR);
	status = try_until_unchanged(store, &set, command);
	mstore_close(store);
	if (status == STATUS_YES && settings.json)
		print_json_result(&set);
	return status;
}

const struct command cmd_update = {
	.name = "update",
	.run = update,
	.operands = "KEY -- FILTER [ARGUMENT...]",
	.summary = "Pipe a value through a command and store its output",
	.options = options,
};
