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

/* Options for set and publish, or NULL: 0, or -1 with EINVAL. */
int mstore_check_options(const struct mstore_options *options)
{
	return accept_if(!options || RESERVED_IS_ZERO(options));
}

/* Options in a batch, where nothing waits, likewise. */
int mstore_check_batch_options(const struct mstore_options *options)
{
	return accept_if(!options ||
			 (!options->timeout_ms && RESERVED_IS_ZERO(options)));
}

/* Options for delete, likewise. */
int mstore_check_delete_options(const struct mstore_options *options)
{
	if (options && options->ttl_ms)
		return accept_if(false);
	return mstore_check_batch_options(options);
}
