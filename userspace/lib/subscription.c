// SPDX-License-Identifier: LGPL-2.1-or-later
/* Subscriptions of an open store to keys and prefixes, and their counters. */
#include <errno.h>
#include <sys/ioctl.h>

#include "internal.h"

ASSERT_SAME(EVENT_BY_DELETE);
ASSERT_SAME(EVENT_BY_FLUSH);
ASSERT_SAME(EVENT_BY_EXPIRY);
ASSERT_SAME(EVENT_BY_OWNER);
ASSERT_SAME(SUBSCRIBE_PREFIX);
ASSERT_SAME(SUBSCRIBE_SNAPSHOT);
ASSERT_SAME(SUBSCRIBE_NEWER);
ASSERT_SAME(SUBSCRIBE_LATEST);
ASSERT_SAME(SUBSCRIBE_NO_VALUE);
ASSERT_SAME(SUBSCRIBE_DISCARD);

int mstore_subscribe(struct mstore *store, const void *key, size_t key_len,
		     int events, uint64_t cookie)
{
	const struct mstore_subscribe_options options = {
		.events = events,
		.cookie = cookie,
	};

	return mstore_subscribe_with(store, key, key_len, &options);
}

int mstore_subscribe_with(struct mstore *store, const void *key, size_t key_len,
			  const struct mstore_subscribe_options *options)
{
	struct metastore_subscribe subscribe = {
		.key = address(key),
		.key_len = length(key, key_len),
	};

	if (options) {
		/* To begin anew is mstore_resync(). */
		if (!RESERVED_IS_ZERO(options) ||
		    options->flags & METASTORE_SUBSCRIBE_RESYNC) {
			errno = EINVAL;
			return -1;
		}
		subscribe.events = (uint32_t)options->events;
		subscribe.cookie = options->cookie;
		subscribe.flags = (uint32_t)options->flags;
		if (options->flags & MSTORE_SUBSCRIBE_NEWER)
			subscribe.version = options->version;
	}
	return ioctl(store->fd, METASTORE_IOC_SUBSCRIBE, &subscribe);
}

int mstore_unsubscribe(struct mstore *store, const void *key, size_t key_len)
{
	return mstore_unsubscribe_with(store, key, key_len, 0);
}

int mstore_unsubscribe_with(struct mstore *store, const void *key, size_t key_len,
			    int flags)
{
	struct metastore_unsubscribe unsubscribe = {
		.key = address(key),
		.key_len = length(key, key_len),
		.flags = (uint32_t)flags,
	};

	return ioctl(store->fd, METASTORE_IOC_UNSUBSCRIBE, &unsubscribe);
}

int mstore_resync(struct mstore *store, const void *key, size_t key_len, int flags)
{
	struct metastore_subscribe subscribe = {
		.key = address(key),
		.key_len = length(key, key_len),
		.flags = (uint32_t)flags | METASTORE_SUBSCRIBE_RESYNC,
	};

	if (flags & ~MSTORE_SUBSCRIBE_PREFIX) {
		errno = EINVAL;
		return -1;
	}
	return ioctl(store->fd, METASTORE_IOC_SUBSCRIBE, &subscribe);
}

int mstore_subscription_info(struct mstore *store, const void *key,
			     size_t key_len, int flags,
			     struct mstore_subscription_info *info)
{
	struct metastore_subscription_info answer = {
		.key = address(key),
		.key_len = length(key, key_len),
		.flags = (uint32_t)flags,
	};

	if (ioctl(store->fd, METASTORE_IOC_SUBSCRIPTION, &answer))
		return -1;

	*info = (struct mstore_subscription_info){
		.flags = (int)answer.flags,
		.events = (int)answer.events,
		.cookie = answer.cookie,
		.matched = answer.matched,
		.delivered = answer.delivered,
		.conflated = answer.conflated,
		.lost = answer.lost,
		.pending = answer.pending,
		.discarded = answer.discarded,
	};
	return 0;
}

int mstore_subscribers(struct mstore *store, const void *key, size_t key_len)
{
	struct metastore_subscribers answer = {
		.key = address(key),
		.key_len = length(key, key_len),
	};

	if (ioctl(store->fd, METASTORE_IOC_SUBSCRIBERS, &answer))
		return -1;
	return count(answer.subscribers);
}
