/* SPDX-License-Identifier: GPL-2.0 */
/* The open files of the hold and lock commands around this one. */
#ifndef MSTORE_TOOL_HELD_H
#define MSTORE_TOOL_HELD_H

#include "operation.h"

void bequeath_held(struct mstore *store);
void run_held(struct operation *op);

#endif
