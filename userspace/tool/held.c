// SPDX-License-Identifier: GPL-2.0
/*
 * The open files of the hold and lock commands around this one. What is written through
 * one of them belongs to it, as the key does that it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>

#include "child.h"
#include "error.h"
#include "held.h"
#include "operation.h"
#include "output.h"
#include "store.h"

/* Numbers of their descriptors, the innermost command's first. */
#define HELD	"METASTORE_HELD"

/* Makes the command that this one becomes inherit the open file, for --held. */
void bequeath_held(struct mstore *store)
{
	const char *outer = getenv(HELD);
	struct buffer held = { 0 };

	buffer_format(&held, "%d", inherit_store(store));
	if (outer)
		buffer_format(&held, " %s", outer);
	buffer_add(&held, "", 1);
	if (setenv(HELD, held.data, 1))
		call_failed("memory", errno);
	free(held.data);
}

static struct mstore *open_held(int fd)
{
	char name[32];
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct mstore *store = copy < 0 ? NULL : mstore_open_fd(copy);

	snprintf(name, sizeof(name), "--held: fd:%d", fd);
	if (!store)
		die(STATUS_COULD_NOT, name, "no such descriptor; a command in between closed it");
	want_store(name, store);
	return store;
}

/*
 * Runs an operation through the innermost of the open files; where a further one owns
 * the key, through that.
 */
void run_held(struct operation *op)
{
	char *rest = getenv(HELD);
	struct mstore *store;

	if (!rest || !*rest)
		die(STATUS_COULD_NOT, "--held",
		    "no mstore hold or mstore lock is around this command");
	if (op->kind != OP_DELETE)
		op->options.flags |= MSTORE_OWNED;
	do {
		store = open_held(strtol(rest, &rest, 10));
		if (op->options.flags & MSTORE_WAIT)
			run_with_wait(store, op);
		else
			run_operation(store, op);
		mstore_close(store);
	} while (op->error == EBUSY && *rest == ' ');
}
