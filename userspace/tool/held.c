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
#include <string.h>

#include "child.h"
#include "error.h"
#include "held.h"
#include "operation.h"
#include "output.h"
#include "settings.h"
#include "store.h"

/* Numbers of their descriptors, the innermost command's first. */
#define HELD	"METASTORE_HELD"

/* No descriptor has more digits. */
#define DIGITS_MAX	9

/* Decimal numbers with a space between them. */
static bool is_list(const char *text)
{
	size_t digits;

	for (;;) {
		digits = strspn(text, "0123456789");
		if (!digits || digits > DIGITS_MAX)
			return false;
		text += digits;
		if (*text != ' ')
			return !*text;
		text++;
	}
}

/* Makes the command that this one becomes inherit the open file, for --held. */
void bequeath_held(struct mstore *store)
{
	const char *outer = getenv(HELD);
	struct buffer held = { 0 };

	buffer_format(&held, "%d", inherit_store(store));
	if (outer && is_list(outer))
		buffer_format(&held, " %s", outer);
	buffer_add(&held, "", 1);
	if (setenv(HELD, held.data, 1))
		call_failed("memory", errno);
	free(held.data);
}

static char *held_list(void)
{
	char *list = getenv(HELD);

	if (!list || !*list)
		die(STATUS_COULD_NOT, "--held",
		    "no mstore hold or mstore lock is around this command");
	if (!is_list(list))
		die(STATUS_COULD_NOT, "--held",
		    "%s is '%s': must be as mstore hold and lock set it, such as 100; leave it to them",
		    HELD, list);
	return list;
}

/* Ends unless there is an open file to go through. */
void want_held(void)
{
	held_list();
}

static noreturn void die_held(int fd, const char *why)
{
	char name[32];

	snprintf(name, sizeof(name), "--held: fd:%d", fd);
	die(STATUS_COULD_NOT, name, "%s", why);
}

static struct mstore *open_held(int fd)
{
	char name[32];
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct mstore *store = copy < 0 ? NULL : mstore_open_fd(copy);

	if (!store)
		die_held(fd, "no such descriptor; a command in between closed it");
	snprintf(name, sizeof(name), "--held: fd:%d", fd);
	want_store(name, store);
	return store;
}

/* A value that is stored belongs to the open file; deletions and renewals cannot say so. */
static void set_owned(struct operation *op)
{
	if (op->kind == OP_SET || op->kind == OP_PUBLISH)
		op->options.flags |= MSTORE_OWNED;
}

/*
 * Runs a change through the innermost of the open files; where a further one owns
 * the key, through that.
 */
void run_held(struct operation *op)
{
	char *rest = held_list();
	struct mstore *store;
	int fd;

	set_owned(op);
	do {
		fd = strtol(rest, &rest, 10);
		store = open_held(fd);
		if (op->options.flags & MSTORE_WAIT)
			run_with_wait(store, op);
		else
			run_operation(store, op);
		mstore_close(store);
		if (op->error == EBADF)
			die_held(fd, "hold opened it to write alone; --print would read");
	} while (op->error == EBUSY && *rest == ' ');
}

/* As run_keys(). */
int run_held_keys(const struct command *cmd, enum operation_kind kind, int argc, char **argv,
		  int (*done)(const struct operation *op))
{
	int status = STATUS_YES;

	for (; optind < argc; optind++) {
		struct operation op = {
			.kind = kind,
			.key = operand_key(cmd, argv[optind]),
			.options = settings.write,
			.tells = settings.print,
		};

		run_held(&op);
		status |= done(&op);
	}
	return status;
}

static bool has_error(const struct operation *ops, size_t count, int error)
{
	for (size_t i = 0; i < count; i++)
		if (ops[i].error == error)
			return true;
	return false;
}

/* All of the operations go through one of the open files, gets too. */
static int run_held_atomic(struct operation *ops, size_t count,
			   int (*done)(const struct operation *op))
{
	char *rest = held_list();
	int fd, status = STATUS_YES;
	struct mstore *store;

	for (size_t i = 0; i < count; i++)
		set_owned(&ops[i]);
	do {
		fd = strtol(rest, &rest, 10);
		store = open_held(fd);
		run_operations(store, ops, count, MSTORE_BATCH_ATOMIC, NULL);
		mstore_close(store);
		if (has_error(ops, count, EBADF))
			die_held(fd,
				 "hold opened it to write alone; an atomic batch cannot get through it");
	} while (has_error(ops, count, EBUSY) && *rest == ' ');
	for (size_t i = 0; i < count; i++)
		status |= done(&ops[i]);
	return status;
}

/* As run_operations(). Gets need no owner and use @store, unless @flags are atomic. */
int run_held_operations(struct mstore *store, struct operation *ops, size_t count, int flags,
			int (*done)(const struct operation *op))
{
	int status = STATUS_YES;

	if (flags)
		return run_held_atomic(ops, count, done);
	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == OP_GET)
			run_operation(store, &ops[i]);
		else
			run_held(&ops[i]);
		status |= done(&ops[i]);
	}
	return status;
}
