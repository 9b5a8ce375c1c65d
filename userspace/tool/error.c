// SPDX-License-Identifier: GPL-2.0
/* The words and the exit statuses that go with errors of the library. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "output.h"
#include "text.h"
#include "users.h"

/* Says what an error of the library means, where the C library's words would mislead. */
const char *reason(int error)
{
	switch (error) {
	case EBUSY:
		return "another open file owns the key; --steal overrides";
	case EEXIST:
		return "the key already exists";
	case ESTALE:
		return "the key has another version";
	case ENODATA:
		return "the value has no time to live; mstore set --ttl gives one";
	case ENOENT:
		return "no such key";
	case ENOSPC:
		return "the store is full (see mstore info)";
	case EDQUOT:
		return quota_reason();
	case EMSGSIZE:
		return "the value is too long (see 'longest value' of mstore info)";
	case EBADMSG:
		return "the value is no number of 64 bits in decimal";
	case ENOBUFS:
		return "too many subscriptions, or no room in the queue (see mstore info)";
	case EAGAIN:
	case ETIMEDOUT:
		return "timed out: a lossless subscriber's queue is full";
	case ENODEV:
		return "the module is retired, so that it can be replaced";
	case ENOTTY:
		return "the module is older than this command";
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
	case ENODATA:
		return STATUS_NO;
	case EAGAIN:
	case ETIMEDOUT:
		return STATUS_TIMED_OUT;
	default:
		return STATUS_COULD_NOT;
	}
}

/* Only an answer, "no", lets the command go on with other keys. */
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
