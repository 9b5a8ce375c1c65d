// SPDX-License-Identifier: GPL-2.0
/* Usage and limits of users: for audit, info and refusals. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "users.h"
#include "writer.h"

#define PARAMETERS	"/sys/module/metastore/parameters/user_"

const struct user_kind user_kinds[USER_KIND_COUNT] = {
	[MSTORE_USER_FILES] = { "files", "open files", "FILES", 6 },
	[MSTORE_USER_SUBSCRIPTIONS] = { "subscriptions", "subscriptions", "SUBS", 7 },
	[MSTORE_USER_QUEUE_BYTES] = { "queue_bytes", "bytes of queues", "QUEUE-BYTES", 12 },
	[MSTORE_USER_STORES] = { "stores", "private stores", "STORES", 6 },
	[MSTORE_USER_STORE_BYTES] = { "store_bytes", "bytes of private stores",
				      "STORE-BYTES", 12 },
	[MSTORE_USER_OWNED_KEYS] = { "owned_keys", "owned keys", "OWNED", 6 },
	[MSTORE_USER_WAITING] = { "waiting", "waiting publishers", "WAITING", 7 },
	[MSTORE_USER_KEYS] = { "keys", "keys in the default store", "KEYS", 8, true },
	[MSTORE_USER_BYTES] = { "bytes", "bytes in the default store", "BYTES", 12, true },
};

static uint64_t refusals(const struct mstore_user_info *user)
{
	uint64_t sum = 0;

	for (int i = 0; i < USER_KIND_COUNT; i++)
		sum += user->kinds[i].refused;
	return sum;
}

static json_t *json_kind(const struct mstore_user_kind *kind)
{
	json_t *object = object_new();

	object_number(object, "use", kind->use);
	object_number(object, "limit", kind->limit);
	object_number(object, "refused", kind->refused);
	return object;
}

/* Adds what a user uses to an object. */
void add_user(json_t *object, const struct mstore_user_info *user)
{
	object_text(object, "user", user_name(user->uid));
	object_number(object, "uid", user->uid);
	object_number(object, "namespace", user->ns);
	for (int i = 0; i < USER_KIND_COUNT; i++)
		object_add(object, user_kinds[i].name, json_kind(&user->kinds[i]));
}

/*
 * Says which limit of the user refused a call, after EDQUOT. The open file that was
 * refused may be closed by now, so another one is asked.
 */
const char *quota_reason(void)
{
	static char text[256];
	struct mstore *store = mstore_open(store_path(), MSTORE_READ);
	struct mstore_user_info user;
	int kind;

	if (!store)
		return "a limit of the user is reached (see mstore info)";
	kind = mstore_user_info(store, &user) ? -1 : user.last_refused;
	mstore_close(store);
	if (kind < 0 || kind >= USER_KIND_COUNT)
		return "a limit of the user that created the store, or opened it, is reached";
	snprintf(text, sizeof(text), "user %s has %llu %s, and %s is %llu%s%s",
		 user_name(user.uid), (unsigned long long)user.kinds[kind].use,
		 user_kinds[kind].title, user_kinds[kind].shared ? "its share" : "the limit",
		 (unsigned long long)user.kinds[kind].limit,
		 user_kinds[kind].shared ? "" : "; see " PARAMETERS,
		 user_kinds[kind].shared ? "" : user_kinds[kind].name);
	return text;
}

static void add_heading(struct buffer *buf)
{
	buffer_format(buf, "%-16s", "USER");
	for (int i = 0; i < USER_KIND_COUNT; i++)
		buffer_format(buf, " %*s", user_kinds[i].width, user_kinds[i].heading);
	buffer_format(buf, " %8s\n", "REFUSED");
}

static void add_limits(struct buffer *buf, const struct mstore_user_info *user)
{
	buffer_format(buf, "%-16s", "(limit)");
	for (int i = 0; i < USER_KIND_COUNT; i++) {
		if (user_kinds[i].shared)
			buffer_format(buf, " %*s", user_kinds[i].width, "-");
		else
			buffer_format(buf, " %*llu", user_kinds[i].width,
				      (unsigned long long)user->kinds[i].limit);
	}
	buffer_format(buf, " %8s\n", "-");
}

/* Users of another namespace than the first one have that behind their name. */
static void add_user_line(struct buffer *buf, const struct mstore_user_info *user, uint32_t ns)
{
	char name[64];

	if (user->ns == ns)
		snprintf(name, sizeof(name), "%s", user_name(user->uid));
	else
		snprintf(name, sizeof(name), "%u@%u", user->uid, user->ns);
	buffer_format(buf, "%-16s", name);
	for (int i = 0; i < USER_KIND_COUNT; i++)
		buffer_format(buf, " %*llu", user_kinds[i].width,
			      (unsigned long long)user->kinds[i].use);
	buffer_format(buf, " %8llu\n", (unsigned long long)refusals(user));
}

/* Those that were refused most often come first. */
static int compare(const void *a, const void *b)
{
	const struct mstore_user_info *x = a, *y = b;

	if (refusals(x) != refusals(y))
		return refusals(x) > refusals(y) ? -1 : 1;
	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static void append_user(struct users *users, const struct mstore_user_info *user)
{
	users->users = reallocarray(users->users, users->count + 1, sizeof(*user));
	if (!users->users)
		call_failed("memory", ENOMEM);
	users->users[users->count++] = *user;
}

/* Reads all users, those refused most often first; without the right to it, the own one. */
void users_read(struct users *users, struct mstore *store)
{
	struct mstore_user_info next = { 0 };

	*users = (struct users){ 0 };
	if (mstore_user_info(store, &users->own))
		call_failed(store_path(), errno);
	while (!mstore_user_next(store, &next))
		append_user(users, &next);
	users->denied = errno == EPERM;
	if (users->denied)
		append_user(users, &users->own);
	else if (errno != ENOENT)
		call_failed(store_path(), errno);
	if (users->count)
		qsort(users->users, users->count, sizeof(*users->users), compare);
}

/* Adds a table: a heading, the limits, and a line for each user. */
void add_user_table(struct buffer *buf, const struct users *users)
{
	add_heading(buf);
	add_limits(buf, &users->own);
	for (size_t i = 0; i < users->count; i++)
		add_user_line(buf, &users->users[i], users->own.ns);
}

static void print_json(const struct mstore_user_info *user)
{
	json_t *object = object_new();

	add_user(object, user);
	object_print(object);
}

/* Prints what each user uses. Without the right to it, only its own. Returns a status. */
int print_users(struct mstore *store)
{
	struct users all;

	users_read(&all, store);
	if (!settings.json)
		add_user_table(&out, &all);
	for (size_t i = 0; settings.json && i < all.count; i++)
		print_json(&all.users[i]);
	free(all.users);
	if (all.denied)
		report("audit", "cannot read other users; use sudo");
	return all.denied ? STATUS_COULD_NOT : STATUS_YES;
}
