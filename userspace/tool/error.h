/* SPDX-License-Identifier: GPL-2.0 */
/* The words and the exit statuses that go with errors of the library. */
#ifndef MSTORE_TOOL_ERROR_H
#define MSTORE_TOOL_ERROR_H

#include "tool.h"

const char *reason(int error);
int status_of(int error);
int key_failed(struct bytes key, int error);
noreturn void call_failed(const char *what, int error);

#endif
