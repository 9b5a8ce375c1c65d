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

int mstore_queue_set(struct mstore *store,
		     const struct mstore_queue_options *options)
{
	struct metastore_queue_info arg = {
		.flags = (uint32_t)options->which,
		.policy = (uint32_t)options->policy,
		.max_len = options->max_len,
		.max_bytes = options->max_bytes,
	};

	if (!RESERVED_IS_ZERO(options)) {
		errno = EINVAL;
		return -1;
	}
	return ioctl(store->fd, METASTORE_IOC_QUEUE, &arg);
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
