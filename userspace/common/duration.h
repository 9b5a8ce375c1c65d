/* SPDX-License-Identifier: GPL-2.0 */
/* Durations as text. */
#ifndef MSTORE_DURATION_H
#define MSTORE_DURATION_H

#include <stdbool.h>
#include <stdint.h>

bool read_duration(const char *text, uint64_t *ns);
const char *duration_text(char text[32], uint64_t ms);

#endif
