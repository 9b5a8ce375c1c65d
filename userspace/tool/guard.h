/* SPDX-License-Identifier: GPL-2.0 */
/* A command that runs beside this one, which guards its lock. */
#ifndef MSTORE_TOOL_GUARD_H
#define MSTORE_TOOL_GUARD_H

#include <metastore.h>

#include "tool.h"

/**
 * struct guard - how a command is run beside this one
 * @signal:	signal that it gets when the lock is lost, 0: none
 * @close:	it does not inherit the lock
 */
struct guard {
	int signal;
	bool close;
};

int guard_command(const struct guard *guard, struct mstore_lock *lock, char **command);

#endif
