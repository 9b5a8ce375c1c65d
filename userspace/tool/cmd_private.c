// SPDX-License-Identifier: GPL-2.0
/* mstore private */
#include <errno.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>

#include "child.h"
#include "commands.h"
#include "error.h"
#include "output.h"
#include "store.h"

enum {
	OPT_BUCKETS = OPT_OWN, OPT_MAX_VALUE, OPT_QUEUE_LEN, OPT_QUEUE_BYTES, OPT_MAX_KEYS,
	OPT_MAX_BYTES,
};

static const struct tool_option options[] = {
	{ OPT_BUCKETS, "buckets", "N", "number of buckets" },
	{ OPT_MAX_VALUE, "max-value", "N", "longest value in bytes" },
	{ OPT_MAX_KEYS, "max-keys", "N", "most keys of the store" },
	{ OPT_MAX_BYTES, "max-bytes", "N", "most bytes of these keys and their values" },
	{ OPT_QUEUE_LEN, "queue-len", "N", "most events that wait for a reader" },
	{ OPT_QUEUE_BYTES, "queue-bytes", "N", "most bytes of these events" },
	{ }
};

/* The ranges are those of the module's parameters. */
static void set_limit(struct mstore_limits *limits, int option)
{
	const struct command *cmd = &cmd_private;

	switch (option) {
	case OPT_BUCKETS:
		limits->buckets = parse_number(cmd, "--buckets", optarg, 1, 65536);
		break;
	case OPT_MAX_VALUE:
		limits->max_value = parse_number(cmd, "--max-value", optarg, 1, 16777216);
		break;
	case OPT_QUEUE_LEN:
		limits->queue_len = parse_queue_len(cmd, optarg);
		break;
	case OPT_QUEUE_BYTES:
		limits->queue_bytes = parse_queue_bytes(cmd, optarg);
		break;
	case OPT_MAX_KEYS:
		limits->max_keys = parse_number(cmd, "--max-keys", optarg, 1, 2147483648);
		break;
	case OPT_MAX_BYTES:
		limits->max_bytes = parse_number(cmd, "--max-bytes", optarg, 4096, INT64_MAX);
		break;
	}
}

static struct mstore *make_store(const struct mstore_limits *limits)
{
	struct mstore *from = open_store(MSTORE_WRITE);
	struct mstore *store = mstore_create(from, limits, MSTORE_RDWR);

	mstore_close(from);
	if (store)
		return store;
	switch (errno) {
	case EINVAL:
		die(STATUS_COULD_NOT, "private",
		    "a limit is out of range; modinfo metastore shows the ranges");
	case EPERM:
		die(STATUS_COULD_NOT, "private",
		    "a limit above that of the present store needs CAP_SYS_RESOURCE");
	case ENOSPC:
		die(STATUS_COULD_NOT, "private",
		    "private stores already take all their memory (see mstore info)");
	default:
		call_failed("private", errno);
	}
}

static int private(int argc, char **argv)
{
	struct mstore_limits limits = { 0 };
	char name[16];
	int option;

	while ((option = next_option(&cmd_private, argc, argv)) != -1)
		set_limit(&limits, option);
	want_operands(&cmd_private, argc, argv, "COMMAND [ARGUMENT...]");
	snprintf(name, sizeof(name), "fd:%d", inherit_store(make_store(&limits)));
	if (setenv("METASTORE_STORE", name, 1))
		call_failed("memory", errno);
	become(argv + optind);
}

const struct command cmd_private = {
	.name = "private",
	.run = private,
	.operands = "[--] COMMAND [ARGUMENT...]",
	.summary = "Run a command with an empty private store",
	.options = options,
};
