// SPDX-License-Identifier: LGPL-2.1-or-later
/* Users: what each of them uses, and its limits. */
#include <sys/ioctl.h>

#include "internal.h"

ASSERT_SAME(USER_FILES);
ASSERT_SAME(USER_SUBSCRIPTIONS);
ASSERT_SAME(USER_QUEUE_BYTES);
ASSERT_SAME(USER_STORES);
ASSERT_SAME(USER_STORE_BYTES);
ASSERT_SAME(USER_OWNED_KEYS);
ASSERT_SAME(USER_WAITING);
ASSERT_SAME(USER_KEYS);
ASSERT_SAME(USER_BYTES);
ASSERT_SAME(FEATURE_USERS);
static_assert(METASTORE_USER_KINDS <= MSTORE_USER_KINDS, "USER_KINDS");

/* A module that knows fewer kinds leaves the others zero. */
static int ask(struct mstore *store, struct metastore_user_info *answer,
	       struct mstore_user_info *info)
{
	if (ioctl(store->fd, METASTORE_IOC_USER, answer))
		return -1;

	*info = (struct mstore_user_info){
		.ns = answer->ns,
		.uid = answer->uid,
		.last_refused = answer->last_refused == METASTORE_USER_NONE ?
				-1 : (int32_t)answer->last_refused,
	};
	for (int i = 0; i < METASTORE_USER_KINDS; i++)
		info->kinds[i] = (struct mstore_user_kind){
			.use = answer->kinds[i].use,
			.limit = answer->kinds[i].limit,
			.refused = answer->kinds[i].refused,
		};
	return 0;
}

int mstore_user_info(struct mstore *store, struct mstore_user_info *info)
{
	struct metastore_user_info answer = { 0 };

	return ask(store, &answer, info);
}

int mstore_user_next(struct mstore *store, struct mstore_user_info *info)
{
	struct metastore_user_info answer = {
		.flags = METASTORE_USER_NEXT,
		.ns = info->ns,
		.uid = info->uid,
	};

	return ask(store, &answer, info);
}
