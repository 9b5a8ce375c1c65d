/* SPDX-License-Identifier: GPL-2.0 */
/* A command beside this one, in a process group of its own that ends with this one. */
#ifndef MSTORE_TOOL_SUPERVISE_H
#define MSTORE_TOOL_SUPERVISE_H

#include "tool.h"

void supervise_begin(int end_signal, int status);
int supervise_fd(void);
int supervise_timeout(void);
void supervise_start(char *const *argv, struct bytes input);
bool supervise_runs(void);
bool supervise_tell(int signal);
void supervise_end(void);
bool supervise_turn(int *status);

#endif
