/* SPDX-License-Identifier: GPL-2.0 */
/* The subcommand that an unknown word may stand for, or why there is none. */
#ifndef MSTORE_TOOL_SUGGEST_H
#define MSTORE_TOOL_SUGGEST_H

#include "options.h"

const char *explain_absence(const char *word);
const char *suggest(const struct command *const *commands, const char *word);

#endif
