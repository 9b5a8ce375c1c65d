/* SPDX-License-Identifier: GPL-2.0 */
/* The carrying of changes between the store and the buckets. */
#ifndef MSTORE_BRIDGE_CARRY_H
#define MSTORE_BRIDGE_CARRY_H

#include "handover.h"
#include "store.h"
#include "tool.h"

void carry_change(const struct change *change, bool deleted, bool listed);
void carry_forget(void);

void carry_session_begins(void);
const char *carry_notice(struct notice *notice);
const char *carry_send(void);
void carry_session_ended(void);

bool carry_is_complete(void);
bool carry_wants_comparison(void);
void carry_tidy(void);
void carry_tell_left(void);
void carry_end(void);

#endif
