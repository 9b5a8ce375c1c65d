// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Operations on one key. Each function only fills in the arguments of an ioctl: this
 * is the fast path.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "internal.h"
#include "map.h"

/* Enough for most values, so that mstore_get_alloc() asks only once. */
#define FIRST_CAPACITY	512

ASSERT_SAME(KEY_MAX);
ASSERT_SAME(OWNER_NONE);
ASSERT_SAME(OWNER_SELF);
ASSERT_SAME(OWNER_OTHER);

/* After these errors the kernel returns the present version. */
static bool other_version(void)
{
	return errno == EEXIST || errno == ESTALE;
}

/* Always inline, so that callers without options pay nothing for them. */
static __always_inline int
write_value(struct mstore *store, unsigned long command, const void *key,
	    size_t key_len, const void *value, size_t value_len,
	    const struct mstore_options *options, uint64_t *version)
{
	struct metastore_set set = {
		.key = address(key),
		.value = address(value),
		.key_len = length(key, key_len),
		.value_len = length(value, value_len),
	};

	if (options) {
		if (mstore_check_options(options))
			return -1;
		set.flags = wanted_flags(options);
		set.version = wanted_version(options);
		set.ttl = options->ttl_ms;
		set.timeout = options->timeout_ms;
		if (options->previous)
			mstore_ask_previous(options->previous, &set.previous);
	}
	if (ioctl(store->fd, command, &set)) {
		if (options && version && other_version())
			*version = set.version;
		if (errno == ERANGE && options && options->previous)
			mstore_tell_previous(options->previous, &set.previous);
		return -1;
	}
	if (options && options->previous)
		mstore_tell_previous(options->previous, &set.previous);
	if (version)
		*version = set.version;
	return count(set.queues);
}

int mstore_set(struct mstore *store, const void *key, size_t key_len,
	       const void *value, size_t value_len, uint64_t *version)
{
	return write_value(store, METASTORE_IOC_SET, key, key_len, value,
			   value_len, NULL, version);
}

int mstore_publish(struct mstore *store, const void *key, size_t key_len,
		   const void *value, size_t value_len, uint64_t *version)
{
	return write_value(store, METASTORE_IOC_PUBLISH, key, key_len, value,
			   value_len, NULL, version);
}

int mstore_set_with(struct mstore *store, const void *key, size_t key_len,
		    const void *value, size_t value_len,
		    const struct mstore_options *options, uint64_t *version)
{
	return write_value(store, METASTORE_IOC_SET, key, key_len, value,
			   value_len, options, version);
}

int mstore_publish_with(struct mstore *store, const void *key, size_t key_len,
			const void *value, size_t value_len,
			const struct mstore_options *options,
			uint64_t *version)
{
	return write_value(store, METASTORE_IOC_PUBLISH, key, key_len, value,
			   value_len, options, version);
}

/* The kernel copies the key first, the mapping's functions read it again behind the value. */
static bool overlap(const void *key, uint32_t key_len, const void *buffer, uint32_t size)
{
	uintptr_t distance = (uintptr_t)key - (uintptr_t)buffer;

	return distance < size || -distance < key_len;
}

/* Returns METASTORE_MAP_FOUND, _MISS, _SHORT or _ASK. */
static int get_mapped(const struct mstore_mapping *mapping, const void *key, size_t key_len,
		      void *buffer, size_t *size, uint64_t *version)
{
	uint32_t len = length(key, key_len), room = capacity(*size);
	struct metastore_map_found found;
	int ret;

	if (overlap(key, len, buffer, room))
		return METASTORE_MAP_ASK;
	ret = metastore_map_get(&mapping->map, key, len, buffer, room, &found);
	if (ret == METASTORE_MAP_FOUND || ret == METASTORE_MAP_SHORT) {
		*size = found.value_len;
		if (version)
			*version = found.version;
	}
	return ret;
}

static int get_by_ioctl(struct mstore *store, const void *key, size_t key_len,
			void *buffer, size_t *size, uint64_t *version)
{
	struct metastore_get get = {
		.key = address(key),
		.value = address(buffer),
		.key_len = length(key, key_len),
		.value_len = capacity(*size),
	};
	int ret = ioctl(store->fd, METASTORE_IOC_GET, &get);

	if (ret && errno != ERANGE)
		return -1;
	*size = get.value_len;
	if (version)
		*version = get.version;
	return ret;
}

/* Out of line, since it needs registers that a GET by ioctl() need not save. */
static __attribute__((__noinline__)) int
get_by_mapping(struct mstore *store, const void *key, size_t key_len,
	       void *buffer, size_t *size, uint64_t *version)
{
	const struct mstore_mapping *mapping = __atomic_load_n(&store->mapping, __ATOMIC_ACQUIRE);

	/* Another thread may have given it up meanwhile, see mstore_mapping_leave(). */
	if (!mapping)
		return get_by_ioctl(store, key, key_len, buffer, size, version);
	switch (get_mapped(mapping, key, key_len, buffer, size, version)) {
	case METASTORE_MAP_FOUND:
		return 0;
	case METASTORE_MAP_MISS:
		/* mstore_mapping_leave() may have emptied it in the middle of the lookup. */
		if (!__atomic_load_n(&mapping->shared, __ATOMIC_ACQUIRE))
			break;
		errno = ENOENT;
		return -1;
	case METASTORE_MAP_SHORT:
		errno = ERANGE;
		return -1;
	}
	return get_by_ioctl(store, key, key_len, buffer, size, version);
}

int mstore_get(struct mstore *store, const void *key, size_t key_len,
	       void *buffer, size_t *size, uint64_t *version)
{
	if (__atomic_load_n(&store->mapping, __ATOMIC_RELAXED))
		return get_by_mapping(store, key, key_len, buffer, size, version);
	return get_by_ioctl(store, key, key_len, buffer, size, version);
}

int mstore_get_info(struct mstore *store, const void *key, size_t key_len,
		    void *buffer, size_t *size, struct mstore_value_info *info)
{
	struct metastore_get get = {
		.key = address(key),
		.value = address(buffer),
		.key_len = length(key, key_len),
		.value_len = capacity(*size),
		.flags = METASTORE_GET_INFO,
	};
	int ret = ioctl(store->fd, METASTORE_IOC_GET, &get);

	if (ret && errno != ERANGE)
		return -1;
	*size = get.value_len;
	*info = (struct mstore_value_info){
		.version = get.version,
		.value_len = get.value_len,
	};
	if (ret)
		return -1;
	info->time = get.time;
	info->ttl_ms = get.ttl;
	info->tgid = get.tgid;
	info->uid = get.uid;
	info->owner = get.owner;
	return 0;
}

char *mstore_get_alloc(struct mstore *store, const void *key, size_t key_len,
		       size_t *value_len, uint64_t *version)
{
	size_t len = FIRST_CAPACITY, size;
	char *value = NULL, *larger;
	uint64_t found = 0;
	int ret;

	/* The value can grow again between two tries. */
	do {
		size = len;
		larger = realloc(value, size + 1);
		if (!larger)
			goto fail;
		value = larger;
		ret = mstore_get(store, key, key_len, value, &len, &found);
	} while (ret && errno == ERANGE && len > size);
	if (ret)
		goto fail;

	value[len] = '\0';
	if (value_len)
		*value_len = len;
	if (version)
		*version = found;
	return value;

fail:
	free(value);
	return NULL;
}

int mstore_delete(struct mstore *store, const void *key, size_t key_len,
		  uint64_t *version)
{
	return mstore_delete_with(store, key, key_len, NULL, version);
}

int mstore_delete_with(struct mstore *store, const void *key, size_t key_len,
		       const struct mstore_options *options, uint64_t *version)
{
	struct metastore_delete delete = {
		.key = address(key),
		.key_len = length(key, key_len),
	};

	if (options) {
		if (mstore_check_delete_options(options))
			return -1;
		delete.flags = wanted_flags(options);
		delete.version = wanted_version(options);
		if (options->previous)
			mstore_ask_previous(options->previous, &delete.previous);
	}
	if (ioctl(store->fd, METASTORE_IOC_DELETE, &delete)) {
		if (options && version && other_version())
			*version = delete.version;
		if (errno == ERANGE && options && options->previous)
			mstore_tell_previous(options->previous, &delete.previous);
		return -1;
	}
	if (options && options->previous)
		mstore_tell_previous(options->previous, &delete.previous);
	if (version)
		*version = delete.version;
	return 0;
}

int mstore_touch(struct mstore *store, const void *key, size_t key_len,
		 const struct mstore_options *options, uint64_t *version)
{
	struct metastore_touch touch = {
		.key = address(key),
		.key_len = length(key, key_len),
	};

	if (mstore_check_touch_options(options))
		return -1;
	if (options) {
		touch.flags = (uint32_t)options->flags;
		touch.version = wanted_version(options);
		touch.ttl = options->ttl_ms;
	}
	if (ioctl(store->fd, METASTORE_IOC_TOUCH, &touch)) {
		if (version && errno == ESTALE)
			*version = touch.version;
		return -1;
	}
	if (version)
		*version = touch.version;
	return 0;
}

int mstore_stat(struct mstore *store, const void *key, size_t key_len,
		struct mstore_stat *stat)
{
	struct metastore_stat answer = {
		.key = address(key),
		.key_len = length(key, key_len),
	};

	if (ioctl(store->fd, METASTORE_IOC_STAT, &answer))
		return -1;

	*stat = (struct mstore_stat){
		.version = answer.version,
		.time = answer.time,
		.value_len = answer.value_len,
		.tgid = answer.tgid,
		.uid = answer.uid,
		.subscribers = answer.subscribers,
		.bucket = answer.bucket,
		.owner = answer.owner,
		.ttl_ms = answer.ttl,
	};
	return 0;
}

int mstore_bucket(struct mstore *store, const void *key, size_t key_len,
		  uint32_t *buckets)
{
	struct metastore_key_bucket answer = {
		.key = address(key),
		.key_len = length(key, key_len),
	};

	if (ioctl(store->fd, METASTORE_IOC_BUCKET, &answer))
		return -1;
	if (buckets)
		*buckets = answer.buckets;
	return count(answer.bucket);
}
