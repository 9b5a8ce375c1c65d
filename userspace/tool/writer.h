/* SPDX-License-Identifier: GPL-2.0 */
/* The writer of a value, and the time. */
#ifndef MSTORE_TOOL_WRITER_H
#define MSTORE_TOOL_WRITER_H

#include <jansson.h>

#include "tool.h"

#define TIME_TEXT_SIZE	40
#define COMMAND_SIZE	64

void time_text(char text[TIME_TEXT_SIZE], uint64_t time_ns);
const char *user_name(uint32_t uid);
bool writer_command(char name[COMMAND_SIZE], int32_t pid, uint64_t time_ns);
void add_json_writer(json_t *object, int32_t pid, uint32_t uid, uint64_t time_ns);

#endif
