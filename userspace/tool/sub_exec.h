/* SPDX-License-Identifier: GPL-2.0 */
/* A command for each change: sub --exec. */
#ifndef MSTORE_TOOL_SUB_EXEC_H
#define MSTORE_TOOL_SUB_EXEC_H

#include "follow.h"

int follow_with_command(struct follow *follow);

#endif
