// SPDX-License-Identifier: LGPL-2.1-or-later
/* The event queue of an open store: its limits and its counters. */
#include <errno.h>
#include <sys/ioctl.h>

#include "internal.h"

ASSERT_SAME(QUEUE_DROP_OLDEST);
ASSERT_SAME(QUEUE_LOSSLESS);
ASSERT_SAME(QUEUE_SET_LEN);
ASSERT_SAME(QUEUE_SET_BYTES);
ASSERT_SAME(QUEUE_SET_POLICY);
ASSERT_SAME(QUEUE_FACTOR);

/* For mstore_renew() */
static void remember(struct mstore_queue_options *all, const struct mstore_queue_options *options)
{
	all->which |= options->which;
	if (options->which & MSTORE_QUEUE_SET_LEN)
		all->max_len = options->max_len;
	if (options->which & MSTORE_QUEUE_SET_BYTES)
		all->max_bytes = options->max_bytes;
	if (options->which & MSTORE_QUEUE_SET_POLICY)
		all->policy = options->policy;
}

/* Sets what @options say, of the open file of a descriptor. Returns 0 or -1. */
int mstore_queue_set_fd(int fd, const struct mstore_queue_options *options)
{
	struct metastore_queue_info arg = {
		.flags = (uint32_t)options->which,
		.policy = (uint32_t)options->policy,
		.max_len = options->max_len,
		.max_bytes = options->max_bytes,
	};

	return ioctl(fd, METASTORE_IOC_QUEUE, &arg);
}

int mstore_queue_set(struct mstore *store,
		     const struct mstore_queue_options *options)
{
	if (!RESERVED_IS_ZERO(options)) {
		errno = EINVAL;
		return -1;
	}
	if (mstore_queue_set_fd(store->fd, options))
		return -1;
	remember(&store->queue, options);
	return 0;
}

int mstore_queue_info(struct mstore *store, struct mstore_queue_info *info)
{
	struct metastore_queue_info answer = { 0 };

	if (ioctl(store->fd, METASTORE_IOC_QUEUE, &answer))
		return -1;

	*info = (struct mstore_queue_info){
		.policy = (int)answer.policy,
		.max_len = answer.max_len,
		.max_bytes = answer.max_bytes,
		.len = answer.len,
		.bytes = answer.bytes,
		.high_len = answer.high_len,
		.subscriptions = answer.subscriptions,
		.matched = answer.matched,
		.delivered = answer.delivered,
		.conflated = answer.conflated,
		.lost = answer.lost,
		.pending = answer.pending,
		.oldest_ms = answer.oldest,
		.discarded = answer.discarded,
	};
	return 0;
}
