// SPDX-License-Identifier: LGPL-2.1-or-later
/* An open store: how it comes and goes, and what can be asked of the whole. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

ASSERT_SAME(FLUSH_SUBSCRIPTIONS);
static_assert((uint32_t)MSTORE_ANY_BUCKET == METASTORE_ANY_BUCKET, "ANY_BUCKET");

static const char *default_path(void)
{
	const char *path = secure_getenv("METASTORE_STORE");

	return path && *path ? path : "/dev/metastore";
}

/* Returns flags for open(2), -1 for flags that mean nothing. */
static int open_flags(int flags)
{
	int block = flags & MSTORE_NONBLOCK ? O_NONBLOCK : 0;

	switch (flags & ~MSTORE_NONBLOCK) {
	case MSTORE_READ:
		return O_RDONLY | O_CLOEXEC | block;
	case MSTORE_WRITE:
		return O_WRONLY | O_CLOEXEC | block;
	case MSTORE_RDWR:
		return O_RDWR | O_CLOEXEC | block;
	default:
		return -1;
	}
}

struct mstore *mstore_open(const char *path, int flags)
{
	int mode = open_flags(flags);
	struct mstore *store;
	int fd;

	if (mode < 0) {
		errno = EINVAL;
		return NULL;
	}

	fd = open(path ? path : default_path(), mode);
	if (fd < 0)
		return NULL;

	store = mstore_open_fd(fd);
	if (!store)
		close(fd);
	return store;
}

struct mstore *mstore_open_fd(int fd)
{
	struct mstore *store;

	if (fd < 0) {
		errno = EBADF;
		return NULL;
	}

	store = malloc(sizeof(*store));
	if (store)
		store->fd = fd;
	return store;
}

void mstore_close(struct mstore *store)
{
	if (!store)
		return;
	close(store->fd);
	free(store);
}

int mstore_fd(const struct mstore *store)
{
	return store->fd;
}

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
	};
	return 0;
}

/*
 * Lengths that do not fit stay too long for any key and any value, so that the
 * kernel refuses them with the errno that says which it was.
 */
uint32_t mstore_odd_length(const void *bytes, size_t len)
{
	if (len == MSTORE_STRLEN)
		len = strlen(bytes);
	return len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}
