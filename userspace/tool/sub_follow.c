// SPDX-License-Identifier: GPL-2.0
/* Following without a wrong copy: sub --follow. The library's follower does it. */
#include <errno.h>
#include <metastore.h>
#include <poll.h>

#include "error.h"
#include "event.h"
#include "output.h"
#include "selection.h"
#include "store.h"
#include "sub_follow.h"
#include "watch.h"

static void add_keys(const struct follow *follow, struct mstore_follow *follower)
{
	int flags = follow->how.flags & MSTORE_SUBSCRIBE_PREFIX;

	for (int i = 0; i < follow->count; i++) {
		struct bytes key = follow->keys[i];

		if (mstore_follow_add(follower, key.data, key.len, flags))
			key_failed(key, errno);
	}
}

static struct mstore_follow *begin(const struct follow *follow)
{
	struct mstore_follow_options options = { 0 };
	struct mstore *store = open_store(MSTORE_READ);
	struct mstore_follow *follower;

	if (!(follow->how.flags & MSTORE_SUBSCRIBE_LATEST))
		options.flags |= MSTORE_FOLLOW_EACH;
	if (follow->how.flags & MSTORE_SUBSCRIBE_NO_VALUE)
		options.flags |= MSTORE_FOLLOW_NO_VALUE;
	want_feature(store, MSTORE_FEATURE_RESYNC);
	follower = mstore_follow_new(store, &options);
	if (!follower)
		call_failed(store_path(), errno);
	mstore_close(store);
	follow_set_queue(follow, mstore_follow_store(follower));
	add_keys(follow, follower);
	follow_tell_ready(follow);
	return follower;
}

static void show(struct follow *follow, const struct mstore_follow *follower, int type)
{
	struct bytes key;

	if (type == MSTORE_FOLLOW_IN_STEP) {
		follow->in_step = true;
		return print_in_step(follow->format);
	}
	key.data = mstore_follow_key(follower, &key.len);
	if (!is_selected(key))
		return;
	print_change(key, mstore_follow_event(follower), follow->format);
	follow->seen++;
}

/* Shows what there is. Returns a status to end with, or -1 to go on. */
static int show_all(struct follow *follow, struct mstore_follow *follower)
{
	int type;

	do {
		type = mstore_follow_next(follower, 0);
		if (type < 0)
			call_failed(store_path(), errno);
		if (type > 0)
			show(follow, follower, type);
		out_flush();
		if (is_complete(follow))
			return STATUS_YES;
		/* A busy key must not prolong it, but what was there is shown. */
	} while (type && (time_left_ms() || !follow->in_step));
	return -1;
}

/* Prints what happens. Returns the status to end with. */
int follow_with_recovery(struct follow *follow)
{
	struct mstore_follow *follower = begin(follow);
	struct pollfd fds[] = { { }, { .fd = mstore_follow_fd(follower), .events = POLLIN } };
	int timeout, status;

	for (;;) {
		status = show_all(follow, follower);
		timeout = time_left_ms();
		if (status >= 0 || !timeout)
			break;
		poll_with_output(fds, ARRAY_SIZE(fds), timeout, STATUS_YES);
	}
	mstore_follow_free(follower);
	return follow_status(follow, status);
}
