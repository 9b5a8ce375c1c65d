/* SPDX-License-Identifier: GPL-2.0 */
/* The store that the settings choose. */
#ifndef MSTORE_TOOL_STORE_H
#define MSTORE_TOOL_STORE_H

#include <metastore.h>

#include "tool.h"

/* Not empty as long as mstore upgrade runs, which has it locked */
#define UPGRADE_LOCK	"/run/mstore-upgrade.lock"

struct mstore *open_store(int flags);
void want_store(const char *path, struct mstore *store);
void want_feature(struct mstore *store, uint64_t feature);
const char *store_path(void);
size_t longest_value(struct mstore *store);
noreturn void no_such_bucket(const char *command, struct mstore *store, int bucket);

#endif
