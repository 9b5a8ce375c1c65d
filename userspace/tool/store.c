// SPDX-License-Identifier: GPL-2.0
/* The store that the settings choose, and what to do when it cannot be opened. */
#include <errno.h>
#include <grp.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "error.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "writer.h"

/* How long to wait for a module that is being replaced: ten seconds */
#define PAUSE_NS	50000000
#define PAUSES		200

#define DEFAULT_PATH	"/dev/metastore"
#define USER_FILES	"/sys/module/metastore/parameters/user_files"
#define RETIRED		"/sys/module/metastore/parameters/retired"
#define LOAD_MODULE	"load the module: modprobe metastore, or insmod metastore.ko"

const char *store_path(void)
{
	const char *path = settings.store;

	if (!path)
		path = getenv("METASTORE_STORE");
	return path && *path ? path : DEFAULT_PATH;
}

/* Ends with the reason, and where a path comes from that is not the default one. */
static noreturn void die_path(const char *path, const char *why)
{
	if (!strcmp(path, DEFAULT_PATH))
		die(STATUS_COULD_NOT, path, "%s", why);
	die(STATUS_COULD_NOT, path, "%s; %s says so, the default is " DEFAULT_PATH, why,
	    settings.store ? "--store" : "METASTORE_STORE");
}

static bool is_inherited(const char *path)
{
	return !strncmp(path, "fd:", 3);
}

static noreturn void die_denied(const char *path)
{
	struct stat st;
	struct group *group;

	if (is_inherited(path))
		die(STATUS_COULD_NOT, path,
		    "the descriptor lacks the access that this command needs");
	if (stat(path, &st))
		die_path(path, strerror(errno));
	group = getgrgid(st.st_gid);
	die(STATUS_COULD_NOT, path,
	    "permission denied: owner %s, group %s, mode %04o; join the group, or use sudo",
	    user_name(st.st_uid), group ? group->gr_name : "without a name", st.st_mode & 07777);
}

/* Ends with the reason: the errno of an older module would mislead. */
void want_feature(struct mstore *store, uint64_t feature)
{
	struct mstore_info info;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		call_failed(store_path(), errno);
	if (!(info.features & feature))
		call_failed(store_path(), ENOTTY);
}

static bool is_retired(void)
{
	FILE *file = fopen(RETIRED, "re");
	bool retired = file && fgetc(file) == 'Y';

	if (file)
		fclose(file);
	return retired;
}

static bool is_upgrade_running(void)
{
	struct stat st;

	return !lstat(UPGRADE_LOCK, &st) && S_ISREG(st.st_mode) && st.st_size;
}

/* Whether opening failed as it does while the module is replaced. */
static bool is_being_replaced(int error)
{
	switch (error) {
	case ENODEV:
		return is_retired() || is_upgrade_running();
	case ENOENT:
	case ENXIO:
	case EACCES:
		return is_upgrade_running();
	default:
		return false;
	}
}

static noreturn void open_failed(const char *path, int error)
{
	if (error == ENODEV && is_being_replaced(error))
		die_path(path, reason(error));
	switch (error) {
	case ENOENT:
		die_path(path, strcmp(path, DEFAULT_PATH) ? "no such file" :
							    "no such store; " LOAD_MODULE);
	case ENODEV:
	case ENXIO:
		die_path(path, "no driver has this device; " LOAD_MODULE);
	case EACCES:
		die_denied(path);
	case EDQUOT:
		die_path(path, "the user has too many open files: see " USER_FILES);
	case EBADF:
		die(STATUS_COULD_NOT, path,
		    "no such descriptor; a command in between closed it");
	case ENOTTY:
		die_path(path, "not a metastore but a file of another kind");
	default:
		die_path(path, strerror(error));
	}
}

/* Any file can be opened, but only a store has INFO. Some drivers say so by EINVAL. */
static bool is_store(struct mstore *store)
{
	struct mstore_info info;

	return !mstore_info(store, MSTORE_ANY_BUCKET, &info) ||
	       (errno != ENOTTY && errno != EINVAL);
}

/* Ends unless what was opened is a store. */
void want_store(const char *path, struct mstore *store)
{
	if (!is_store(store))
		open_failed(path, ENOTTY);
}

/* While mstore upgrade replaces the module there is no device for a moment. */
static struct mstore *open_patiently(const char *path, int flags)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct mstore *store = mstore_open(path, flags);
	int error = errno;

	for (int i = 0; i < PAUSES && !store && is_being_replaced(error); i++) {
		nanosleep(&pause, NULL);
		store = mstore_open(path, flags);
		error = errno;
	}
	errno = error;
	return store;
}

struct mstore *open_store(int flags)
{
	const char *path = store_path();
	struct mstore *store = open_patiently(path, flags);

	if (!store)
		open_failed(path, errno);
	want_store(path, store);
	return store;
}

size_t longest_value(struct mstore *store)
{
	static size_t longest;
	struct mstore_info info;

	if (longest)
		return longest;
	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		call_failed(store_path(), errno);
	longest = info.max_value;
	return longest;
}

/* Ends after ERANGE, which does not say how many buckets the store has. */
noreturn void no_such_bucket(const char *command, struct mstore *store, int bucket)
{
	struct mstore_info info;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		call_failed(store_path(), errno);
	die(STATUS_COULD_NOT, command, "--bucket %d: must be 0 to %u", bucket, info.buckets - 1);
}
