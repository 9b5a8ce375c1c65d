// SPDX-License-Identifier: LGPL-2.1-or-later
/* Options of what changes a key: what of them the kernel does not get to see. */
#include <errno.h>

#include "internal.h"

#define ASSERT_FLAG(name) \
	static_assert(MSTORE_##name == METASTORE_F_##name, #name)

ASSERT_FLAG(CREATE);
ASSERT_FLAG(REPLACE);
ASSERT_FLAG(IF_VERSION);
ASSERT_FLAG(OWNED);
ASSERT_FLAG(STEAL);
ASSERT_SAME(TTL_MAX);

/* Options for set and publish, or NULL: 0, or -1 with EINVAL. */
int mstore_check_options(const struct mstore_options *options)
{
	if (!options || (!options->reserved1 && RESERVED_IS_ZERO(options)))
		return 0;
	errno = EINVAL;
	return -1;
}

/* Options for delete, likewise. */
int mstore_check_delete_options(const struct mstore_options *options)
{
	if (!options || !options->ttl_ms)
		return mstore_check_options(options);
	errno = EINVAL;
	return -1;
}
