/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_CACHE_H
#define METASTORE_VALUE_CACHE_H

#include <linux/types.h>

struct metastore_garbage;
struct metastore_value;

/**
 * struct metastore_cached - part of a freed value whose memory is kept for reuse
 * @next:	next value in the list
 * @grace:	cookie of the RCU grace period after which no reader can see the value
 */
struct metastore_cached {
	struct metastore_value *next;
	unsigned long grace;
};

/** METASTORE_CACHED_MAX - size of the largest memory that is kept, in bytes */
#define METASTORE_CACHED_MAX	512

/** METASTORE_CACHED_OF_ALL - stands for the number of a cgroup, and means each of them */
#define METASTORE_CACHED_OF_ALL	(-1)

int metastore_value_cache_init(void);
void metastore_value_cache_exit(void);
u8 metastore_value_cache_class(size_t size);
size_t metastore_value_cache_size(u8 class);
struct metastore_value *metastore_value_cache_get(size_t size);
void metastore_value_cache_put(struct metastore_garbage *garbage);
u32 metastore_value_cache_kept(s32 group);
u32 metastore_value_cache_free(s32 group, u32 most);
bool metastore_value_cache_shrink(void);

#endif /* METASTORE_VALUE_CACHE_H */
