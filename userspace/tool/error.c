// SPDX-License-Identifier: GPL-2.0
/* Messages of the form `mstore: what: why`, and the exit statuses that go with them. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* In one write, so that messages of several processes do not mix. */
static void message(const char *what, const char *why, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), why, args);
	progress_end();
	dprintf(STDERR_FILENO, "mstore: %s: %s\n", what, text);
}

void report(const char *what, const char *why, ...)
{
	va_list args;

	va_start(args, why);
	message(what, why, args);
	va_end(args);
}

/* Keys are escaped: whoever made them does not get at the terminal. */
void report_key(struct bytes key, const char *why, ...)
{
	struct buffer what = { 0 };
	va_list args;

	escape(&what, key, ESCAPE_KEY);
	buffer_add(&what, "", 1);
	va_start(args, why);
	message(what.data, why, args);
	va_end(args);
	free(what.data);
}

void die(int status, const char *what, const char *why, ...)
{
	va_list args;

	/* What was found out before the failure is worth having. */
	out_flush();
	va_start(args, why);
	message(what, why, args);
	va_end(args);
	exit(status);
}

/* A line of standard input is to blame rather than the command line. */
static noreturn void die_line(const struct command *cmd, const char *why)
{
	char what[32];

	snprintf(what, sizeof(what), "line %lu", settings.line);
	if (settings.before_wrong_line)
		settings.before_wrong_line();
	die(STATUS_USAGE, what, "%s: %s", cmd->name, why);
}

void die_usage(const struct command *cmd, const char *why, ...)
{
	char text[1024];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	if (settings.line)
		die_line(cmd, text);
	die(STATUS_USAGE, cmd->name, "%s; see mstore %s --help", text, cmd->name);
}

/* What the library's errors mean where the C library's words would mislead. */
const char *reason(int error)
{
	switch (error) {
	case EBUSY:
		return "it belongs to another open file (--steal takes it)";
	case EEXIST:
		return "it exists already";
	case ESTALE:
		return "it has another version";
	case ENOENT:
		return "no such key";
	case ENOSPC:
		return "the store is full (see mstore info)";
	case EMSGSIZE:
		return "the value is longer than the store takes (see mstore info)";
	case ENOBUFS:
		return "no more subscriptions, or no room in the queue (see mstore info)";
	case EAGAIN:
	case ETIMEDOUT:
		return "no room in time with each lossless subscriber";
	case ENOTTY:
		return "not a metastore, or its module is older than this command";
	default:
		return strerror(error);
	}
}

/* That a key is absent, or a condition not met, is an answer. */
int status_of(int error)
{
	switch (error) {
	case 0:
		return STATUS_YES;
	case ENOENT:
	case EEXIST:
	case ESTALE:
	case EBUSY:
		return STATUS_NO;
	case EAGAIN:
	case ETIMEDOUT:
		return STATUS_TIMED_OUT;
	default:
		return STATUS_COULD_NOT;
	}
}

/* After anything but an answer it is no use to go on. */
int key_failed(struct bytes key, int error)
{
	int status = status_of(error);

	if (status != STATUS_NO)
		out_flush();
	report_key(key, "%s", reason(error));
	if (status != STATUS_NO)
		exit(status);
	return status;
}

void call_failed(const char *what, int error)
{
	die(STATUS_COULD_NOT, what, "%s", reason(error));
}
