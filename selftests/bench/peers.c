// SPDX-License-Identifier: GPL-2.0
/*
 * Rows of what has to be installed to be measured.
 */
#include "bench.h"

/**
 * peers_rows - rows of peers
 */
void peers_rows(void)
{
	redis_rows();
	dbus_rows();
	nats_rows();
	lmdb_rows();
}

/**
 * peers_memory_rows - rows of the memory that they take
 */
void peers_memory_rows(void)
{
	redis_memory_rows();
}
