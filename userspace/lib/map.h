/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The small values of a store, read from memory, see map.c. */
#ifndef MSTORE_MAP_H
#define MSTORE_MAP_H

#include <stddef.h>
#include <linux/metastore_map.h>

struct mstore;

/**
 * struct mstore_mapping - mapping of a store's small values
 * @map:	the mapping
 * @length:	its length in bytes
 * @fd:		descriptor that it was made of; -1: it was closed
 * @former:	mapping of the module before, in which a thread may still read, or NULL
 */
struct mstore_mapping {
	struct metastore_map map;
	size_t length;
	int fd;
	struct mstore_mapping *former;
};

void mstore_mapping_leave(struct mstore *store);
void mstore_mapping_return(struct mstore *store);
void mstore_mapping_free(struct mstore *store);

#endif /* MSTORE_MAP_H */
