/* SPDX-License-Identifier: GPL-2.0 */
/* The open files of the hold and lock commands around this one. */
#ifndef MSTORE_TOOL_HELD_H
#define MSTORE_TOOL_HELD_H

#include "operation.h"

void bequeath_held(struct mstore *store);
void want_held(void);
void run_held(struct operation *op);
int run_held_keys(const struct command *cmd, enum operation_kind kind, int argc, char **argv,
		  int (*done)(const struct operation *op));
int run_held_operations(struct mstore *store, struct operation *ops, size_t count, int flags,
			int (*done)(const struct operation *op));

#endif
