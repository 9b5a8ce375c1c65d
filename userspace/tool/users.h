/* SPDX-License-Identifier: GPL-2.0 */
/* Usage and limits of users. */
#ifndef MSTORE_TOOL_USERS_H
#define MSTORE_TOOL_USERS_H

#include <metastore.h>

#include "json.h"
#include "tool.h"

/**
 * struct user_kind - kind of what a user can use
 * @name:	in JSON; the module's parameter is user_NAME
 * @title:	for people, in the plural
 * @heading:	of its column
 * @width:	of its column
 * @shared:	the limit is a share of each user, and no parameter
 */
struct user_kind {
	const char *name;
	const char *title;
	const char *heading;
	int width;
	bool shared;
};

#define USER_KIND_COUNT	9

/* By enum mstore_user_kinds */
extern const struct user_kind user_kinds[USER_KIND_COUNT];

/**
 * struct users - the users of the module
 * @users:	users
 * @count:	number of @users
 * @own:	user of the open store
 * @denied:	only @own could be read
 */
struct users {
	struct mstore_user_info *users;
	size_t count;
	struct mstore_user_info own;
	bool denied;
};

void add_user(json_t *object, const struct mstore_user_info *user);
const char *quota_reason(void);
void users_read(struct users *users, struct mstore *store);
void add_user_table(struct buffer *buf, const struct users *users);
int print_users(struct mstore *store);

#endif
