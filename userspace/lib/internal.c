// SPDX-License-Identifier: LGPL-2.1-or-later
/* Arguments as the kernel takes them: lengths, and the options of a write. */
#include <errno.h>
#include <string.h>

#include "internal.h"

#define ASSERT_FLAG(name) \
	static_assert(MSTORE_##name == METASTORE_F_##name, #name)

ASSERT_FLAG(CREATE);
ASSERT_FLAG(REPLACE);
ASSERT_FLAG(IF_VERSION);
ASSERT_FLAG(OWNED);
ASSERT_FLAG(STEAL);
ASSERT_FLAG(WAIT);
ASSERT_FLAG(KEEP_TTL);
ASSERT_SAME(WAIT_FOREVER);
ASSERT_SAME(TTL_MAX);

/*
 * A length that does not fit stays too long for any key or value. The kernel then
 * refuses it with the errno for keys or for values.
 */
uint32_t mstore_odd_length(const void *bytes, size_t len)
{
	if (len == MSTORE_STRLEN)
		len = strlen(bytes);
	return len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
}

static int accept_if(bool good)
{
	if (good)
		return 0;
	errno = EINVAL;
	return -1;
}

/* Everybody's options, or NULL: without the flag that @previous stands for. */
static bool are_sound(const struct mstore_options *options)
{
	return !options || (RESERVED_IS_ZERO(options) &&
			    !(options->flags & METASTORE_F_PREVIOUS) &&
			    (!options->previous || RESERVED_IS_ZERO(options->previous)));
}

/* Options for set and publish, or NULL: 0, or -1 with EINVAL. */
int mstore_check_options(const struct mstore_options *options)
{
	return accept_if(are_sound(options));
}

/* Options in a batch, where nothing waits, likewise. */
int mstore_check_batch_options(const struct mstore_options *options)
{
	return accept_if(are_sound(options) && !(options && options->timeout_ms));
}

/* Options for delete, likewise. */
int mstore_check_delete_options(const struct mstore_options *options)
{
	if (options && options->ttl_ms)
		return accept_if(false);
	return mstore_check_batch_options(options);
}

/* Options for touch, which replaces no value, likewise. */
int mstore_check_touch_options(const struct mstore_options *options)
{
	if (options && options->previous)
		return accept_if(false);
	return mstore_check_batch_options(options);
}

/* Room for the previous value, as the kernel takes it. */
void mstore_ask_previous(const struct mstore_previous *previous,
			 struct metastore_previous *ask)
{
	ask->value = address(previous->buffer);
	ask->len = capacity(previous->size);
}

/* The answer to that, after success and ERANGE. */
void mstore_tell_previous(struct mstore_previous *previous,
			  const struct metastore_previous *answer)
{
	previous->size = answer->len;
	previous->version = answer->version;
	previous->owner = (int)answer->owner;
}
