/* SPDX-License-Identifier: GPL-2.0 */
/* Why a lock cannot be waited for. */
#ifndef MSTORE_TOOL_LOCK_REFUSAL_H
#define MSTORE_TOOL_LOCK_REFUSAL_H

#include <metastore.h>

#include "tool.h"

int lock_refused(struct mstore *store, struct bytes key, int slots, int error);

#endif
