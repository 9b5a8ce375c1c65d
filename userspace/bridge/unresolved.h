/* SPDX-License-Identifier: GPL-2.0 */
/* Changes that were sent, and of which nothing was heard since. */
#ifndef MSTORE_BRIDGE_UNRESOLVED_H
#define MSTORE_BRIDGE_UNRESOLVED_H

#include "remote.h"
#include "tool.h"

bool is_same_change(uint64_t version, uint64_t hash, const struct remote *remote);

void unresolved_add(struct bytes key, uint64_t version, uint64_t hash);
bool unresolved_find(struct bytes key, const struct remote *remote, uint64_t *version);
void unresolved_drop(struct bytes key);
void unresolved_clear(void);

#endif
