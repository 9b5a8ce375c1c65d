/* SPDX-License-Identifier: GPL-2.0 */
/* A command for each change: sub --exec. */
#ifndef MSTORE_TOOL_SUB_EXEC_H
#define MSTORE_TOOL_SUB_EXEC_H

#include "follow.h"

/** enum exec_mode - what a change means for the command that runs */
enum exec_mode {
	EXEC_EACH,	/* nothing: the next command is for it */
	EXEC_RESTART,	/* it is ended and started anew */
	EXEC_SIGNAL,	/* it gets a signal */
};

/**
 * struct exec - how sub --exec runs commands
 * @command:	shell command, NULL: none
 * @mode:	what a change means for the command that runs
 * @signal:	EXEC_SIGNAL: what tells it of a change; else what ends it
 * @settle_ns:	so long no key may change before a command runs
 */
struct exec {
	char *command;
	enum exec_mode mode;
	int signal;
	uint64_t settle_ns;
};

int follow_with_command(struct follow *follow, const struct exec *exec);

#endif
