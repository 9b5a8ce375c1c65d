/* SPDX-License-Identifier: GPL-2.0 */
/* Which keys a command is about: those with one of some prefixes, but for exceptions. */
#ifndef MSTORE_TOOL_SELECTION_H
#define MSTORE_TOOL_SELECTION_H

#include "options.h"

/**
 * struct selection - keys that start with a prefix, and with no exception
 * @prefixes:	prefixes, none of which starts with another one: no key has two of them
 * @count:	number of @prefixes
 * @except:	prefixes of keys that are left out
 * @except_count: number of @except
 */
struct selection {
	struct bytes *prefixes;
	int count;
	struct bytes *except;
	int except_count;
};

/* As the operands and --except have it. Nothing is left out before select_prefixes(). */
extern struct selection selection;

void select_prefixes(const struct command *cmd, int argc, char **argv);
bool is_selected(struct bytes key);

#endif
