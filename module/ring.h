/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RING_H
#define METASTORE_RING_H

#include <linux/types.h>

#include "index.h"

/**
 * struct metastore_ring - records in order
 * @records:	@max_len of them, the oldest at @head; NULL: not allocated yet
 * @index:	finds some of them by subscription and key
 * @max_len:	how many there can be
 * @head:	index of the oldest
 * @len:	their number
 */
struct metastore_ring {
	struct metastore_record *records;
	struct metastore_index index;
	u32 max_len;
	u32 head;
	u32 len;
};

int metastore_ring_create(struct metastore_ring *ring, u32 max_len, bool indexed);
void metastore_ring_free(struct metastore_ring *ring);
struct metastore_record *metastore_ring_at(const struct metastore_ring *ring, u32 nth);
void metastore_ring_append(struct metastore_ring *ring,
			   const struct metastore_record *record, bool indexed);
void metastore_ring_remove_oldest(struct metastore_ring *ring);
struct metastore_record *metastore_ring_find(const struct metastore_ring *ring,
					     const struct metastore_source *source,
					     const struct metastore_value *value);

#endif /* METASTORE_RING_H */
