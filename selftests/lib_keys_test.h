/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the tests of owners and of private stores. */
#ifndef LIB_KEYS_TEST_H
#define LIB_KEYS_TEST_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <metastore.h>

#include "lib_test.h"

static const struct mstore_options owned = { .flags = MSTORE_OWNED };

static inline int set_with(struct mstore *store, const char *value,
			   const struct mstore_options *options, uint64_t *version)
{
	return mstore_set_with(store, KEY, strlen(KEY), value, strlen(value), options,
			       version);
}

/* Whether the key has this value; NULL: none. */
static inline bool holds(struct mstore *store, const char *value)
{
	char *found = mstore_get_alloc(store, KEY, strlen(KEY), NULL, NULL);
	bool same;

	if (!found || !value)
		same = !found && !value && errno == ENOENT;
	else
		same = !strcmp(found, value);
	free(found);
	return same;
}

static inline int owner_of(struct mstore *store)
{
	struct mstore_stat stat;

	return mstore_stat(store, KEY, strlen(KEY), &stat) ? -errno : (int)stat.owner;
}

/* A child that does not outlive a test that failed. */
static inline pid_t fork_child(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Its exit status; -1 if it had none. */
static inline int join(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

#endif /* LIB_KEYS_TEST_H */
