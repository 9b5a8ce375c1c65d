/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the carrying: carry.c takes changes of the store and sends them, told.c takes what
 * the session tells, decide.c says which side yields.
 */
#ifndef MSTORE_BRIDGE_CARRY_PRIV_H
#define MSTORE_BRIDGE_CARRY_PRIV_H

#include "remote.h"
#include "table.h"
#include "tool.h"

void carry_mark(struct entry *entry);
void carry_settle(struct entry *entry);
void carry_enqueue(struct entry *entry);
void carry_compare_later(void);

void decide(struct entry *entry, const struct remote *remote);

#endif
