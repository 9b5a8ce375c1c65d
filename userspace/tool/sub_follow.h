/* SPDX-License-Identifier: GPL-2.0 */
/* Following without a wrong copy: sub --follow. */
#ifndef MSTORE_TOOL_SUB_FOLLOW_H
#define MSTORE_TOOL_SUB_FOLLOW_H

#include "follow.h"

int follow_with_recovery(struct follow *follow);

#endif
