/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the tests of mapped stores: a mapping, and a lookup in it. */
#ifndef MIRROR_H
#define MIRROR_H

#include <linux/metastore_map.h>

#include "metastore_test.h"

static inline const struct metastore_map_header *mirror_header(const struct metastore_map *map)
{
	return (const struct metastore_map_header *)map->base;
}

/* Maps the mirror of an open file. Returns 0 or a negative errno. */
static inline int mirror_map(int fd, struct metastore_map *map)
{
	const struct metastore_map_header *header;
	size_t page = sysconf(_SC_PAGESIZE);
	void *base = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, METASTORE_MAP_STORE);
	__u64 limit;

	if (base == MAP_FAILED)
		return -errno;
	header = base;
	limit = header->limit;
	munmap(base, page);
	base = mmap(NULL, limit, PROT_READ, MAP_SHARED, fd, METASTORE_MAP_STORE);
	if (base == MAP_FAILED)
		return -errno;
	if (!metastore_map_init(map, base, limit))
		return 0;
	munmap(base, limit);
	return -EPROTO;
}

static inline void mirror_unmap(struct metastore_map *map)
{
	munmap((void *)map->base, mirror_header(map)->limit);
}

/*
 * Returns the length of the value, which is in @buf, or a negative errno as ms_getn(), or
 * -EAGAIN if the kernel is to be asked.
 */
static inline int mirror_getn(const struct metastore_map *map, const void *key, __u32 key_len,
			      void *buf, __u32 size, __u64 *version)
{
	struct metastore_map_found found = { .version = POISON64, .value_len = POISON32 };
	int ret;

	if (size)
		memset(buf, POISON, size);
	ret = metastore_map_get(map, key, key_len, buf, size, &found);
	if (version)
		*version = found.version;
	switch (ret) {
	case METASTORE_MAP_FOUND:
		return found.value_len;
	case METASTORE_MAP_MISS:
		return -ENOENT;
	case METASTORE_MAP_SHORT:
		return -ERANGE;
	case METASTORE_MAP_ASK:
		return -EAGAIN;
	default:
		return -EPROTO;
	}
}

static inline int mirror_get(const struct metastore_map *map, const char *key, void *buf,
			     __u32 size, __u64 *version)
{
	return mirror_getn(map, key, strlen(key), buf, size, version);
}

/* As ms_str() */
static inline const char *mirror_str(const struct metastore_map *map, const char *key)
{
	static char buf[512];
	int len = mirror_get(map, key, buf, sizeof(buf) - 1, NULL);

	if (len < 0)
		return strerrorname_np(-len);
	buf[len] = '\0';
	return buf;
}

/* Whether the mirror has the same value and version as the store. No call changes the key. */
static inline bool mirror_agrees(int fd, const struct metastore_map *map, const void *key,
				 __u32 key_len)
{
	char ours[1024], theirs[1024];
	__u64 version, kernels;
	int len = mirror_getn(map, key, key_len, ours, sizeof(ours), &version);

	if (len != ms_getn(fd, key, key_len, theirs, sizeof(theirs), &kernels))
		return false;
	return len < 0 || (version == kernels && !memcmp(ours, theirs, len));
}

/* Retires the module, by "1", or not, by "0". Returns 0 or a negative errno. */
static inline int retire(const char *word)
{
	int fd = open("/sys/module/metastore/parameters/retired", O_WRONLY | O_CLOEXEC);
	ssize_t ret = write(fd, word, 1);

	close(fd);
	return ret == 1 ? 0 : -errno;
}

#endif /* MIRROR_H */
