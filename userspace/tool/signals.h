/* SPDX-License-Identifier: GPL-2.0 */
/* Signals by their names. */
#ifndef MSTORE_TOOL_SIGNALS_H
#define MSTORE_TOOL_SIGNALS_H

#include "options.h"

bool is_signal(const char *text);
int parse_signal(const struct command *cmd, const char *option, const char *text);

#endif
