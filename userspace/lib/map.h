/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The small values of a store, read from memory, see map.c. */
#ifndef MSTORE_MAP_H
#define MSTORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/metastore_map.h>

struct mstore;

/**
 * struct mstore_mapping - mapping of a store's small values
 * @map:	the mapping
 * @length:	its length in bytes
 * @shared:	whether it is the module's memory; false: mstore_mapping_leave() has emptied it
 * @former:	mapping before that, or NULL. Kept, since a thread may have it still
 */
struct mstore_mapping {
	struct metastore_map map;
	size_t length;
	bool shared;
	struct mstore_mapping *former;
};

void mstore_mapping_leave(struct mstore *store);
void mstore_mapping_return(struct mstore *store);
void mstore_mapping_free(struct mstore *store);

#endif /* MSTORE_MAP_H */
