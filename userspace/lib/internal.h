/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of the library. */
#ifndef MSTORE_INTERNAL_H
#define MSTORE_INTERNAL_H

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <time.h>
#include <linux/metastore.h>

/* All is built hidden; what the public header declares is exported. */
#pragma GCC visibility push(default)
#include <metastore.h>
#pragma GCC visibility pop

#include "ring.h"

/* Numbers that go to the kernel and come from it as they are. */
#define ASSERT_SAME(name) \
	static_assert(MSTORE_##name == METASTORE_##name, #name)

struct mstore_mapping;

/**
 * struct mstore - open store
 * @fd:		its descriptor, whose number stays the same
 * @mode:	flags of open(2)
 * @path:	path of the device; NULL: the store cannot be opened by a path
 * @mapping:	what mstore_map() mapped, or NULL
 * @queue:	what mstore_queue_set() set
 * @ring:	what mstore_map_events() mapped
 */
struct mstore {
	int fd;
	int mode;
	char *path;
	struct mstore_mapping *mapping;
	struct mstore_queue_options queue;
	struct mstore_ring ring;
};

int mstore_queue_set_fd(int fd, const struct mstore_queue_options *options);
uint32_t mstore_odd_length(const void *bytes, size_t len);
int mstore_check_options(const struct mstore_options *options);
int mstore_check_batch_options(const struct mstore_options *options);
int mstore_check_delete_options(const struct mstore_options *options);
int mstore_check_touch_options(const struct mstore_options *options);
void mstore_ask_previous(const struct mstore_previous *previous,
			 struct metastore_previous *ask);
void mstore_tell_previous(struct mstore_previous *previous,
			  const struct metastore_previous *answer);

static inline uint64_t address(const void *bytes)
{
	return (uintptr_t)bytes;
}

/*
 * A length as the kernel takes it. One comparison on the fast path: MSTORE_STRLEN and
 * lengths above 32 bits are both above the limit.
 */
static inline uint32_t length(const void *bytes, size_t len)
{
	if (__builtin_expect(len < UINT32_MAX - 1, 1))
		return (uint32_t)len;
	return mstore_odd_length(bytes, len);
}

/* A buffer longer than any value may be passed as the longest. */
static inline uint32_t capacity(size_t size)
{
	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

/* Without a branch for each, on the fast path. */
static inline bool all_zero(const uint64_t *words, size_t n)
{
	uint64_t bits = 0;

#pragma GCC unroll 8
	while (n)
		bits |= words[--n];
	return !bits;
}

/* A field without a meaning must be 0, so that it can get one. */
#define RESERVED_IS_ZERO(args)		\
	all_zero((args)->reserved,	\
		 sizeof((args)->reserved) / sizeof((args)->reserved[0]))

/* Without the condition the kernel ignores the version. */
static inline uint64_t wanted_version(const struct mstore_options *options)
{
	return options->flags & MSTORE_IF_VERSION ? options->version : 0;
}

/* The flag that asks for the previous value is implied by the room for it. */
static inline uint32_t wanted_flags(const struct mstore_options *options)
{
	return (uint32_t)options->flags | (options->previous ? METASTORE_F_PREVIOUS : 0);
}

/* A number of the kernel's as a return value that is not taken for -1. */
static inline int count(uint32_t number)
{
	return number < INT_MAX ? (int)number : INT_MAX;
}

/* Time of the clock that waits are measured by, rounded down. */
static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif /* MSTORE_INTERNAL_H */
