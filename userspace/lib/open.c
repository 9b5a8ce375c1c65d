// SPDX-License-Identifier: LGPL-2.1-or-later
/* Opening and closing of stores: named ones and private ones. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"
#include "map.h"

static const char *default_path(void)
{
	const char *path = secure_getenv("METASTORE_STORE");

	return path && *path ? path : "/dev/metastore";
}

/* Returns flags for open(2), -1 with EINVAL for flags that mean nothing. */
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
		errno = EINVAL;
		return -1;
	}
}

/* Whether a path is fd:N, and then N. */
static bool names_fd(const char *path, int *fd)
{
	unsigned long number;
	char *end;

	if (strncmp(path, "fd:", 3) || !isdigit((unsigned char)path[3]))
		return false;
	number = strtoul(path + 3, &end, 10);
	/* No descriptor is that large: fail as for one that is not open. */
	*fd = number <= INT_MAX ? (int)number : -1;
	return !*end;
}

/* Opens the store of a descriptor once more. Returns a descriptor, or -1. */
static int reopen(int fd, int mode)
{
	struct metastore_open arg = { .open_flags = (uint32_t)mode };

	return ioctl(fd, METASTORE_IOC_OPEN, &arg);
}

/*
 * Makes a store of a new descriptor; -1: making the descriptor failed. @path is that of the
 * device, or NULL.
 */
static struct mstore *new_store(int fd, int mode, const char *path)
{
	struct mstore *store;

	if (fd < 0)
		return NULL;
	store = mstore_open_fd(fd);
	if (store && path) {
		store->mode = mode;
		store->path = strdup(path);
	}
	if (!store || (path && !store->path)) {
		free(store);
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	return store;
}

struct mstore *mstore_open(const char *path, int flags)
{
	int mode = open_flags(flags);
	int fd;

	if (mode < 0)
		return NULL;
	if (!path)
		path = default_path();
	if (names_fd(path, &fd))
		return new_store(reopen(fd, mode), mode, NULL);
	return new_store(open(path, mode), mode, path);
}

struct mstore *mstore_reopen(struct mstore *store, int flags)
{
	int mode = open_flags(flags);

	return mode < 0 ? NULL : new_store(reopen(store->fd, mode), mode, store->path);
}

struct mstore *mstore_create(struct mstore *from,
			     const struct mstore_limits *limits, int flags)
{
	int mode = open_flags(flags & ~MSTORE_MAPPED);
	struct metastore_create arg = {
		.flags = flags & MSTORE_MAPPED ? METASTORE_CREATE_MAPPED : 0,
		.open_flags = (uint32_t)mode,
	};

	if (mode < 0)
		return NULL;
	if (limits) {
		if (!RESERVED_IS_ZERO(limits)) {
			errno = EINVAL;
			return NULL;
		}
		arg.buckets = limits->buckets;
		arg.max_value = limits->max_value;
		arg.queue_len = limits->queue_len;
		arg.queue_bytes = limits->queue_bytes;
		arg.max_keys = limits->max_keys;
		arg.max_bytes = limits->max_bytes;
	}
	return new_store(ioctl(from->fd, METASTORE_IOC_CREATE, &arg), mode, NULL);
}

struct mstore *mstore_open_fd(int fd)
{
	struct mstore *store;

	if (fd < 0) {
		errno = EBADF;
		return NULL;
	}

	store = calloc(1, sizeof(*store));
	if (store)
		store->fd = fd;
	return store;
}

void mstore_close(struct mstore *store)
{
	if (!store)
		return;
	mstore_ring_unmap(&store->ring);
	mstore_mapping_free(store);
	close(store->fd);
	free(store->path);
	free(store);
}

int mstore_fd(const struct mstore *store)
{
	return store->fd;
}
