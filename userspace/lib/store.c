// SPDX-License-Identifier: LGPL-2.1-or-later
/* Questions about the whole of an open store. */
#include <poll.h>
#include <sys/ioctl.h>

#include "internal.h"

ASSERT_SAME(FLUSH_SUBSCRIPTIONS);
ASSERT_SAME(FLUSH_STEAL);
ASSERT_SAME(FEATURE_CONDITIONS);
ASSERT_SAME(FEATURE_OWNERS);
ASSERT_SAME(FEATURE_TTL);
ASSERT_SAME(FEATURE_BATCH);
ASSERT_SAME(FEATURE_PRIVATE);
ASSERT_SAME(FEATURE_DELIVERY);
ASSERT_SAME(FEATURE_WAIT);
ASSERT_SAME(FEATURE_TOUCH);
ASSERT_SAME(FEATURE_PREVIOUS);
ASSERT_SAME(FEATURE_DETAILS);
ASSERT_SAME(FEATURE_RESYNC);
ASSERT_SAME(FEATURE_MAP_STORE);
static_assert((uint32_t)MSTORE_ANY_BUCKET == METASTORE_ANY_BUCKET, "ANY_BUCKET");

int mstore_wait(struct mstore *store, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = store->fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout_ms);
}

int mstore_flush(struct mstore *store, const void *prefix, size_t prefix_len,
		 int bucket, int flags, uint64_t *values,
		 uint64_t *subscriptions)
{
	struct metastore_flush flush = {
		.prefix = address(prefix),
		.prefix_len = length(prefix, prefix_len),
		.bucket = (uint32_t)bucket,
		.flags = (uint32_t)flags,
	};

	if (ioctl(store->fd, METASTORE_IOC_FLUSH, &flush))
		return -1;
	if (values)
		*values = flush.values;
	if (subscriptions)
		*subscriptions = flush.subscriptions;
	return 0;
}

int mstore_info(struct mstore *store, int bucket, struct mstore_info *info)
{
	struct metastore_info answer = { .bucket = (uint32_t)bucket };

	if (ioctl(store->fd, METASTORE_IOC_INFO, &answer))
		return -1;

	*info = (struct mstore_info){
		.features = answer.features,
		.buckets = answer.buckets,
		.key_max = answer.key_max,
		.max_value = answer.max_value,
		.queue_len = answer.queue_len,
		.queue_bytes = answer.queue_bytes,
		.max_subscriptions = answer.max_subscriptions,
		.max_keys = answer.max_keys,
		.max_bytes = answer.max_bytes,
		.keys = answer.keys,
		.bytes = answer.bytes,
		.subscriptions = answer.subscriptions,
		.private_bytes = answer.private_bytes,
	};
	return 0;
}
