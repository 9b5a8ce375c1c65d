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
ASSERT_FLAG(WAIT);
ASSERT_SAME(WAIT_FOREVER);
ASSERT_SAME(TTL_MAX);

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
