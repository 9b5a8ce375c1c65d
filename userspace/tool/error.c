// SPDX-License-Identifier: GPL-2.0
/* The words and the exit statuses that go with errors of the library. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "output.h"
#include "text.h"

/* Says what an error of the library means, where the C library's words would mislead. */
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
