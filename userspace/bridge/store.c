// SPDX-License-Identifier: GPL-2.0
/*
 * The store's side. A follower tells which keys changed; values are read when they are
 * sent, so that the newest one goes. When the module is replaced both open files are closed,
 * and opened again once it is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "text.h"

#define DEFAULT_PATH	"/dev/metastore"

/* How long to wait for a module that the follower has found */
#define RENEW_MS	1000

static struct mstore *store;
static struct mstore_follow *follow;
static char *buffer;
static size_t buffer_size;
static uint64_t renewals;
static bool away;

static noreturn void store_failed(const char *what)
{
	die(STATUS_COULD_NOT, what, "%s", errno == ENODEV ?
	    "the module is gone, and a private store with it" : strerror(errno));
}

static const char *store_path(void)
{
	const char *path = settings.store;

	if (!path)
		path = getenv("METASTORE_STORE");
	return path && *path ? path : DEFAULT_PATH;
}

static void read_limits(void)
{
	struct mstore_info info;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		store_failed(store_path());
	if (!(info.features & MSTORE_FEATURE_RESYNC))
		die(STATUS_COULD_NOT, store_path(), "the module is older than this program");
	if (info.max_value <= buffer_size)
		return;
	free(buffer);
	buffer_size = info.max_value;
	buffer = calloc(1, buffer_size);
	if (!buffer)
		die(STATUS_COULD_NOT, "memory", "no room for a value of %zu bytes", buffer_size);
}

/* Opens the store and follows all prefixes. */
void store_begin(void)
{
	const struct mstore_follow_options options = { .flags = MSTORE_FOLLOW_NO_VALUE };

	store = mstore_open(store_path(), MSTORE_RDWR);
	if (!store)
		die(STATUS_COULD_NOT, store_path(), "%s", strerror(errno));
	read_limits();
	follow = mstore_follow_new(store, &options);
	if (!follow)
		store_failed(store_path());
	for (int i = 0; i < maps.count; i++) {
		struct bytes prefix = maps.maps[i].prefix;

		if (mstore_follow_add(follow, prefix.data, prefix.len, MSTORE_SUBSCRIBE_PREFIX))
			store_failed("follow");
	}
}

void store_end(void)
{
	mstore_follow_free(follow);
	mstore_close(store);
	free(buffer);
}

/* Readable when store_next() has something to tell. */
int store_fd(void)
{
	return mstore_follow_fd(follow);
}

bool store_is_there(void)
{
	return !away;
}

/* Whether the follower has left the module, or has come to another. */
static bool look_for_module(void)
{
	struct mstore_follow_info info;

	mstore_follow_info(follow, &info);
	if (info.away && !away) {
		away = true;
		/* Closes the device. It fails, since there is none yet. */
		mstore_renew(store, 0);
	}
	if (info.away || info.renewals == renewals)
		return false;
	if (mstore_renew(store, RENEW_MS))
		return false;
	renewals = info.renewals;
	away = false;
	read_limits();
	return true;
}

static enum store_news tell(int type, struct change *change)
{
	change->key.data = mstore_follow_key(follow, &change->key.len);
	change->version = mstore_follow_version(follow);
	switch (type) {
	case MSTORE_FOLLOW_VALUE:
		return STORE_CHANGED;
	case MSTORE_FOLLOW_DELETED:
		return STORE_DELETED;
	case MSTORE_FOLLOW_IN_STEP:
		return STORE_IN_STEP;
	default:
		return STORE_NOTHING;
	}
}

/*
 * Tells the next change. The first one after STORE_REPLACED is told by the next call, though
 * the follower has told it: hence held.
 */
enum store_news store_next(struct change *change)
{
	static enum store_news held;
	static struct change held_change;
	enum store_news news;
	int type;

	if (held) {
		news = held;
		held = STORE_NOTHING;
		*change = held_change;
		return news;
	}
	type = mstore_follow_next(follow, 0);
	if (type < 0 && errno != EINTR)
		store_failed(store_path());
	news = tell(type, change);
	if (!look_for_module())
		return news;
	held = news;
	held_change = *change;
	return STORE_REPLACED;
}

/* Returns 0, or -1 with errno: ENODEV while there is no module. No value is version 0. */
int store_get(struct bytes key, struct local *local)
{
	struct mstore_value_info info;
	size_t len = buffer_size;

	memset(local, 0, sizeof(*local));
	if (mstore_get_info(store, key.data, key.len, buffer, &len, &info))
		return errno == ENOENT ? 0 : -1;
	local->version = info.version;
	local->time = info.time;
	local->owned = info.owner != MSTORE_OWNER_NONE;
	local->limited = info.ttl_ms;
	local->value = (struct bytes){ buffer, len };
	return 0;
}

/* Stores a value in place of version @before. Returns 0, or -1 with errno. */
int store_set(struct bytes key, struct bytes value, uint64_t before, uint64_t *version)
{
	const struct mstore_options options = { .flags = MSTORE_IF_VERSION, .version = before };

	return mstore_set_with(store, key.data, key.len, value.data, value.len, &options, version);
}

/* Likewise. */
int store_delete(struct bytes key, uint64_t before)
{
	const struct mstore_options options = { .flags = MSTORE_IF_VERSION, .version = before };

	return mstore_delete_with(store, key.data, key.len, &options, NULL);
}

void store_info(struct mstore_follow_info *info)
{
	mstore_follow_info(follow, info);
}
