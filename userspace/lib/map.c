// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Mapped stores: mstore_get() reads small values from memory that the module shares.
 *
 * The mapping keeps the open file that it was made of. That is one of its own: the store's, and
 * with it the keys that the store owns, would stay for as long as a child has the mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "map.h"

/* Maps the first @length bytes. Returns MAP_FAILED with errno. */
static void *map_bytes(int fd, size_t length)
{
	return mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)METASTORE_MAP_STORE);
}

/* Returns how many bytes there can be, or 0 with errno. */
static uint64_t ask_limit(int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct metastore_map_header *header = map_bytes(fd, page);
	uint64_t limit;

	if (header == MAP_FAILED)
		return 0;
	limit = header->magic == METASTORE_MAP_MAGIC ? header->limit : 0;
	munmap((void *)header, page);
	if (limit && limit <= SIZE_MAX)
		return limit;
	errno = EOPNOTSUPP;
	return 0;
}

static int map_all(struct mstore_mapping *mapping, int fd)
{
	uint64_t limit = ask_limit(fd);
	void *base;

	if (!limit)
		return -1;
	base = map_bytes(fd, limit);
	if (base == MAP_FAILED)
		return -1;
	if (metastore_map_init(&mapping->map, base, limit)) {
		munmap(base, limit);
		errno = EOPNOTSUPP;
		return -1;
	}
	mapping->length = limit;
	mapping->shared = true;
	return 0;
}

/* Makes a mapping of a store. Returns NULL with errno. */
static struct mstore_mapping *new_mapping(int store_fd)
{
	struct metastore_open arg = { .open_flags = O_RDONLY | O_CLOEXEC };
	struct mstore_mapping *mapping = calloc(1, sizeof(*mapping));
	int fd, ret = -1, error;

	if (!mapping)
		return NULL;
	fd = ioctl(store_fd, METASTORE_IOC_OPEN, &arg);
	if (fd >= 0)
		ret = map_all(mapping, fd);
	error = errno;
	if (fd >= 0)
		close(fd);
	if (!ret)
		return mapping;
	free(mapping);
	errno = error;
	return NULL;
}

static void free_mapping(struct mstore_mapping *mapping)
{
	munmap((void *)mapping->map.base, mapping->length);
	free(mapping);
}

/* Puts a mapping in the place of @former, unless another thread was faster. */
static void enter_mapping(struct mstore *store, struct mstore_mapping *mapping,
			  struct mstore_mapping *former)
{
	mapping->former = former;
	if (!__atomic_compare_exchange_n(&store->mapping, &former, mapping, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		free_mapping(mapping);
}

int mstore_map(struct mstore *store)
{
	struct mstore_mapping *former = __atomic_load_n(&store->mapping, __ATOMIC_ACQUIRE);
	struct mstore_mapping *mapping;

	/* <linux/metastore_map.h> would ask the kernel for each value. */
	if (sizeof(void *) < 8) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (former && __atomic_load_n(&former->shared, __ATOMIC_ACQUIRE))
		return 0;
	mapping = new_mapping(store->fd);
	if (!mapping)
		return -1;
	enter_mapping(store, mapping, former);
	return 0;
}

/*
 * Lets the module go. No other thread should read now. One that does finds empty memory in the
 * place of the mapping, and asks the kernel, as it would without a mapping.
 */
void mstore_mapping_leave(struct mstore *store)
{
	struct mstore_mapping *mapping = __atomic_load_n(&store->mapping, __ATOMIC_ACQUIRE);

	if (!mapping || !__atomic_exchange_n(&mapping->shared, false, __ATOMIC_ACQ_REL))
		return;
	if (mmap((void *)mapping->map.base, mapping->length, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED)
		return;
	/* As if memory is locked and there is no more: the store goes on without a mapping. */
	__atomic_store_n(&store->mapping, mapping->former, __ATOMIC_RELEASE);
	free_mapping(mapping);
}

/* Maps what the next module has, if the store was mapped. Without that all works, too. */
void mstore_mapping_return(struct mstore *store)
{
	if (__atomic_load_n(&store->mapping, __ATOMIC_ACQUIRE))
		mstore_map(store);
}

void mstore_mapping_free(struct mstore *store)
{
	struct mstore_mapping *mapping, *former;

	for (mapping = store->mapping; mapping; mapping = former) {
		former = mapping->former;
		free_mapping(mapping);
	}
}
