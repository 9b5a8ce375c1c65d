/* SPDX-License-Identifier: GPL-2.0 */
/* Other commands, in place of this one or beside it. */
#ifndef MSTORE_TOOL_CHILD_H
#define MSTORE_TOOL_CHILD_H

#include <metastore.h>
#include <sys/types.h>

#include "tool.h"

/* A constant word of a command line, in which execvp() wants none. */
#define WORD(text)	((char[]){ text })

void set_signals(void);
int inherit_store(struct mstore *store);
noreturn void become(char *const *argv);
pid_t start_command(char *const *argv, struct bytes input, int output, void (*prepare)(void));
int shell_status(int status);
int wait_for_command(pid_t pid);

#endif
