/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stores whose module is replaced, see renew.c. */
#ifndef MSTORE_RENEW_H
#define MSTORE_RENEW_H

#include "internal.h"

bool mstore_can_renew(const struct mstore *store);
int mstore_leave_device(struct mstore *store, int timer);
int mstore_return_to_device(struct mstore *store);
int mstore_next_delay(int delay);
int mstore_set_delay(int timer, int delay);

#endif /* MSTORE_RENEW_H */
