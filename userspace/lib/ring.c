// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The mapped ring of an open store: events without a system call, see struct
 * metastore_ring_producer in uapi/linux/metastore.h.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "ring.h"

#define DEFAULT_SIZE	((size_t)256 * 1024)

/* The module gives 32-bit programs none: they may not have atomic words of 64 bits. */
#ifdef __LP64__
#define HAVE_RING	1
#else
#define HAVE_RING	0
#endif

/* How often to lose records to the kernel before read() is asked, which loses none. */
#define TRIES		4

ASSERT_SAME(FEATURE_MAP_RING);

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t records_length(size_t size)
{
	return page_size() + 2 * size;
}

/* The least power of two that is no less than @size and a page, or more than is allowed. */
static size_t round_up(size_t size)
{
	size_t rounded = page_size();

	while (rounded < size && rounded <= METASTORE_RING_MAX)
		rounded *= 2;
	return rounded;
}

void mstore_ring_unmap(struct mstore_ring *ring)
{
	if (!ring->producer)
		return;
	munmap((void *)ring->producer, records_length(ring->size));
	munmap(ring->consumer, page_size());
	ring->producer = NULL;
}

int mstore_ring_map(struct mstore_ring *ring, int fd, size_t size)
{
	off_t page = (off_t)page_size();
	void *records, *consumer;
	int error;

	records = mmap(NULL, records_length(size), PROT_READ, MAP_SHARED, fd,
		       METASTORE_MAP_RING + page);
	if (records == MAP_FAILED)
		return -1;
	consumer = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			METASTORE_MAP_RING);
	if (consumer == MAP_FAILED) {
		error = errno;
		munmap(records, records_length(size));
		errno = error;
		return -1;
	}
	*ring = (struct mstore_ring){
		.producer = records,
		.consumer = consumer,
		.records = (const char *)records + page,
		.size = size,
	};
	/* A ring of another kind, which a later module may have. */
	if (ring->producer->flags & ~METASTORE_RING_LOSSLESS) {
		mstore_ring_unmap(ring);
		errno = EOPNOTSUPP;
		return -1;
	}
	return 0;
}

int mstore_map_events(struct mstore *store, size_t size)
{
	if (size > METASTORE_RING_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (!HAVE_RING) {
		errno = EOPNOTSUPP;
		return -1;
	}
	/* Not over one that is there: other threads may read it. */
	if (store->ring.producer) {
		errno = EBUSY;
		return -1;
	}
	return mstore_ring_map(&store->ring, store->fd, round_up(size ? size : DEFAULT_SIZE));
}

#if HAVE_RING

/*
 * Counts the records from @tail on that fit into @capacity bytes, and sets @len to their length.
 * The kernel may take them back meanwhile, so that there is garbage, but not beyond the ring.
 */
static int count_records(const struct mstore_ring *ring, uint64_t tail, uint64_t head,
			 size_t capacity, size_t *len)
{
	const char *at = ring->records + (tail & (ring->size - 1));
	size_t rest = head - tail < capacity ? (size_t)(head - tail) : capacity, used = 0;
	int records = 0;
	uint32_t next;

	while (rest - used >= sizeof(struct metastore_event)) {
		next = __atomic_load_n(&((const struct metastore_event *)(at + used))->len,
				       __ATOMIC_RELAXED);
		if (next < sizeof(struct metastore_event) || next > rest - used || next % 8)
			break;
		used += next;
		records++;
	}
	*len = used;
	return records;
}

/* Wakes a publisher that waits for the room that a reader has made. */
static void tell_of_room(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int error = errno;

	poll(&pollfd, 1, 0);
	errno = error;
}

int mstore_ring_read(const struct mstore_ring *ring, int fd, char *bytes, size_t capacity,
		     size_t *len)
{
	uint64_t tail = __atomic_load_n(&ring->consumer->tail, __ATOMIC_ACQUIRE), head;
	int records, tries = TRIES;

	do {
		head = __atomic_load_n(&ring->producer->head, __ATOMIC_ACQUIRE);
		/* METASTORE_RING_READ, or a bit that came later. */
		if (tail == head || __atomic_load_n(&ring->producer->attention, __ATOMIC_RELAXED) &
				    ~METASTORE_RING_ROOM)
			return 0;
		/* Of another ring than the kernel's: a tail that this program spoiled. */
		if (head - tail > ring->size)
			return 0;
		records = count_records(ring, tail, head, capacity, len);
		if (!records)
			return 0;
		memcpy(bytes, ring->records + (tail & (ring->size - 1)), *len);
		if (__atomic_compare_exchange_n(&ring->consumer->tail, &tail, tail + *len, false,
						__ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
			/* Not ahead of the swap: a publisher sees the tail, or this sees it. */
			if (__atomic_load_n(&ring->producer->attention, __ATOMIC_SEQ_CST) &
			    METASTORE_RING_ROOM)
				tell_of_room(fd);
			return records;
		}
	} while (--tries);
	return 0;
}

#else

int mstore_ring_read(const struct mstore_ring *ring, int fd, char *bytes, size_t capacity,
		     size_t *len)
{
	(void)ring;
	(void)fd;
	(void)bytes;
	(void)capacity;
	(void)len;
	return 0;
}

#endif
