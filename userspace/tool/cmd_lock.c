// SPDX-License-Identifier: GPL-2.0
/* mstore lock */
#include <errno.h>
#include <metastore.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "commands.h"
#include "error.h"
#include "guard.h"
#include "held.h"
#include "lock_refusal.h"
#include "output.h"
#include "settings.h"
#include "signals.h"
#include "store.h"
#include "watch.h"

enum { OPT_VALUE = OPT_OWN, OPT_SLOTS, OPT_ON_LOSS, OPT_CLOSE };

static const struct tool_option options[] = {
	{ OPT_SLOTS, "slots", "N", "at most N commands hold the lock at a time; 1 by default" },
	{ OPT_TIMEOUT, "timeout", "TIME", "wait at most this long, then end with status 124" },
	{ OPT_ON_LOSS, "on-loss", "[=SIGNAL]",
	  "send SIGNAL to the command, or TERM, when the\nlock is taken from it" },
	{ OPT_CLOSE, "close", NULL,
	  "processes that the command leaves behind do not\nhold the lock" },
	{ OPT_VALUE, "value", "VALUE", "value of the key, instead of process and command" },
	OPTION_ESCAPED, { }
};

/**
 * struct wanted - the lock and how its command is run
 * @key:	key
 * @slots:	number of slots
 * @value:	value, NULL: process and command
 * @guard:	how a command is run beside this one
 * @guarded:	it is run so
 */
struct wanted {
	struct bytes key;
	int slots;
	const char *value;
	struct guard guard;
	bool guarded;
};

static void set_option(struct wanted *wanted, int option)
{
	switch (option) {
	case OPT_VALUE:
		wanted->value = optarg;
		break;
	case OPT_SLOTS:
		wanted->slots = parse_number(&cmd_lock, "--slots", optarg, 1,
					     MSTORE_LOCK_SLOTS_MAX);
		break;
	case OPT_ON_LOSS:
		wanted->guard.signal =
			optarg ? parse_signal(&cmd_lock, "--on-loss", optarg) : SIGTERM;
		wanted->guarded = true;
		break;
	case OPT_CLOSE:
		wanted->guard.close = true;
		wanted->guarded = true;
		break;
	}
}

/* A lock has keys that are longer than its own. */
static struct bytes operand_lock(const char *text)
{
	struct bytes key = operand_key(&cmd_lock, text);

	if (key.len > MSTORE_LOCK_KEY_MAX)
		die_usage(&cmd_lock, "key of %zu bytes: must be 1 to %d bytes for a lock", key.len,
			  MSTORE_LOCK_KEY_MAX);
	return key;
}

/* The name of the lock's holder: "PID COMMAND ARGUMENT...", as much as the store takes. */
static struct bytes holder(struct mstore *store, char **command)
{
	size_t most = longest_value(store);
	struct buffer buf = { 0 };

	buffer_format(&buf, "%d", getpid());
	for (; *command; command++) {
		buffer_text(&buf, " ");
		buffer_text(&buf, *command);
	}
	return (struct bytes){ buf.data, buf.len < most ? buf.len : most };
}

static struct mstore_lock *new_lock(const struct wanted *wanted, char **command)
{
	struct mstore *store = open_store(MSTORE_RDWR);
	struct bytes value = wanted->value ? operand_bytes(&cmd_lock, wanted->value) :
					     holder(store, command);
	const struct mstore_lock_options lock_options = {
		.slots = wanted->slots, .value = value.data, .value_len = value.len,
	};
	struct mstore_lock *lock =
		mstore_lock_new(store, wanted->key.data, wanted->key.len, &lock_options);

	if (!lock)
		key_failed(wanted->key, errno);
	mstore_close(store);
	return lock;
}

/* Returns a status. */
static int take(struct mstore_lock *lock, const struct wanted *wanted)
{
	struct pollfd fds[] = { { }, { .fd = mstore_lock_fd(lock), .events = POLLIN } };
	int ret, timeout;

	for (;;) {
		timeout = time_left_ms();
		ret = mstore_lock_acquire(lock, 0);
		if (ret < 0)
			return lock_refused(mstore_lock_store(lock), wanted->key,
					    wanted->slots, errno);
		if (ret)
			return STATUS_YES;
		/* A time of 0 was the last look. */
		if (!timeout || !poll_with_output(fds, ARRAY_SIZE(fds), timeout, STATUS_NO))
			return STATUS_TIMED_OUT;
	}
}

/* For the command: what a resource can refuse outdated holders by, and which slot it has. */
static void set_environment(const struct mstore_lock *lock)
{
	char number[24], slot[16];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)mstore_lock_number(lock));
	snprintf(slot, sizeof(slot), "%d", mstore_lock_slot(lock));
	if (setenv("METASTORE_LOCK_NUMBER", number, 1) || setenv("METASTORE_LOCK_SLOT", slot, 1))
		call_failed("memory", errno);
}

static int lock(int argc, char **argv)
{
	struct wanted wanted = { .slots = 1 };
	struct mstore_lock *taken;
	char **command;
	int option, status;

	while ((option = next_option(&cmd_lock, argc, argv)) != -1)
		set_option(&wanted, option);
	command = operand_command(&cmd_lock, argc, argv, "KEY");
	wanted.key = operand_lock(argv[optind]);
	taken = new_lock(&wanted, command);
	status = take(taken, &wanted);
	if (status != STATUS_YES) {
		mstore_lock_free(taken);
		return status;
	}
	set_environment(taken);
	if (wanted.guarded)
		return guard_command(&wanted.guard, taken, command);
	bequeath_held(mstore_lock_store(taken));
	become(command);
}

const struct command cmd_lock = {
	.name = "lock",
	.run = lock,
	.operands = "KEY -- COMMAND [ARGUMENT...]",
	.summary = "Run a command while holding a lock",
	.options = options,
};
