/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mapped ring, see ring.c. */
#ifndef MSTORE_RING_H
#define MSTORE_RING_H

#include <stddef.h>
#include <linux/metastore.h>

/**
 * struct mstore_ring - mapped ring of an open store
 * @producer:	page of the kernel; NULL: the ring is not mapped
 * @consumer:	page of this program
 * @records:	records, twice in a row
 * @size:	bytes of records; kept after mstore_ring_unmap(), for mstore_renew()
 */
struct mstore_ring {
	const struct metastore_ring_producer *producer;
	struct metastore_ring_consumer *consumer;
	const char *records;
	size_t size;
};

/* Maps the ring of a descriptor. Returns 0 or -1. */
int mstore_ring_map(struct mstore_ring *ring, int fd, size_t size);

/* Unmaps a ring, if it is mapped. */
void mstore_ring_unmap(struct mstore_ring *ring);

/*
 * Reads as many events as fit into @bytes, and sets @len to their length. Returns their number,
 * 0 if read() must be asked.
 */
int mstore_ring_read(const struct mstore_ring *ring, int fd, char *bytes, size_t capacity,
		     size_t *len);

#endif /* MSTORE_RING_H */
