// SPDX-License-Identifier: GPL-2.0
/*
 * In the place of peers.c where none of them is installed.
 */
#include "bench.h"

/**
 * peers_rows - no rows
 */
void peers_rows(void)
{
}

/**
 * peers_memory_rows - no rows
 */
void peers_memory_rows(void)
{
}
