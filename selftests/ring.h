/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A reader of the mapped ring, as struct metastore_ring_producer tells it.
 */
#ifndef METASTORE_RING_TEST_H
#define METASTORE_RING_TEST_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/metastore.h>

/**
 * struct ring - a mapped ring
 * @consumer:	page that this program writes
 * @producer:	page of the kernel
 * @records:	records, twice in a row
 * @size:	bytes of records
 */
struct ring {
	struct metastore_ring_consumer *consumer;
	const struct metastore_ring_producer *producer;
	const char *records;
	size_t size;
};

/* Instead of a length: read() has something */
#define RING_READ	(-1)

static inline size_t ring_page(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline size_t ring_length(size_t size)
{
	return ring_page() + 2 * size;
}

static inline int ring_map_records(struct ring *ring, int fd, size_t size)
{
	void *at = mmap(NULL, ring_length(size), PROT_READ, MAP_SHARED, fd,
			METASTORE_MAP_RING + ring_page());

	if (at == MAP_FAILED)
		return -errno;
	ring->producer = at;
	ring->records = (char *)at + ring_page();
	ring->size = size;
	return 0;
}

static inline int ring_map_consumer(struct ring *ring, int fd)
{
	void *at = mmap(NULL, ring_page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			METASTORE_MAP_RING);

	if (at == MAP_FAILED)
		return -errno;
	ring->consumer = at;
	return 0;
}

static inline void ring_unmap_records(struct ring *ring)
{
	munmap((void *)ring->producer, ring_length(ring->size));
}

static inline void ring_unmap(struct ring *ring)
{
	munmap(ring->consumer, ring_page());
	ring_unmap_records(ring);
}

static inline int ring_map(struct ring *ring, int fd, size_t size)
{
	int err = ring_map_records(ring, fd, size);

	if (err)
		return err;
	err = ring_map_consumer(ring, fd);
	if (err)
		ring_unmap_records(ring);
	return err;
}

static inline __u64 ring_tail(const struct ring *ring)
{
	return __atomic_load_n(&ring->consumer->tail, __ATOMIC_ACQUIRE);
}

static inline __u64 ring_head(const struct ring *ring)
{
	return __atomic_load_n(&ring->producer->head, __ATOMIC_ACQUIRE);
}

static inline __u32 ring_attention(const struct ring *ring)
{
	return __atomic_load_n(&ring->producer->attention, __ATOMIC_SEQ_CST);
}

static inline const struct metastore_event *ring_at(const struct ring *ring, __u64 tail)
{
	return (const void *)(ring->records + (tail & (ring->size - 1)));
}

static inline bool ring_claim(const struct ring *ring, __u64 tail, __u64 end)
{
	return __atomic_compare_exchange_n(&ring->consumer->tail, &tail, end, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* The length of the record at a tail, 0 if that is bad: it was taken back */
static inline size_t ring_len(const struct ring *ring, __u64 tail, __u64 head)
{
	size_t len = __atomic_load_n(&ring_at(ring, tail)->len, __ATOMIC_RELAXED);

	return len < sizeof(struct metastore_event) || len > head - tail || len % 8 ? 0 : len;
}

/*
 * Copy the next record to @to, which has @room bytes, and claim it. Returns its length, 0 if
 * the ring is empty, RING_READ, or -EMSGSIZE.
 */
static inline long ring_take(const struct ring *ring, void *to, size_t room)
{
	__u64 tail, head;
	size_t len;

	for (;;) {
		tail = ring_tail(ring);
		head = ring_head(ring);
		if (ring_attention(ring) & METASTORE_RING_READ)
			return RING_READ;
		if (tail == head)
			return 0;
		len = ring_len(ring, tail, head);
		if (!len)
			continue;
		if (len > room)
			return -EMSGSIZE;
		memcpy(to, ring_at(ring, tail), len);
		if (ring_claim(ring, tail, tail + len))
			return len;
	}
}

#endif /* METASTORE_RING_TEST_H */
