// SPDX-License-Identifier: GPL-2.0
/* Calls of a subscriber that has mapped its ring, and of one that writes nonsense there */
#include <sys/mman.h>

#include "fuzz.h"

#define PAGES_MAX	512

/* Parts of one ring that a lane has mapped */
struct map {
	struct metastore_ring_consumer *consumer;
	struct metastore_ring_producer *producer;
	size_t size;
};

static void check_map_error(int error)
{
	if (error != EINVAL && error != EACCES && error != EBUSY && error != ENXIO &&
	    error != EDQUOT && error != ENOMEM && error != ENODEV && error != EBADF)
		finding("mmap() has the undocumented error %s", strerrorname_np(error));
}

static void *map_part(int fd, size_t len, int protection, off_t offset)
{
	void *at = mmap(NULL, len, protection, MAP_SHARED, fd, METASTORE_MAP_RING + offset);

	if (at != MAP_FAILED)
		return at;
	check_map_error(errno);
	return NULL;
}

static void unmap(struct map *map)
{
	if (map->consumer)
		munmap(map->consumer, PAGE);
	if (map->producer)
		munmap(map->producer, PAGE + 2 * map->size);
	*map = (struct map){ };
}

/* Maps a ring of some pages; of @parts, 1 are the records, 2 the tail */
void call_map(struct lane *lane, const uint32_t *arg)
{
	struct map *map = lane->map;
	size_t size = (size_t)(arg[1] % PAGES_MAX) * PAGE;

	if (!map)
		map = calloc(1, sizeof(*map));
	lane->map = map;
	if (arg[2] & 1 && !map->producer) {
		map->producer = map_part(slot_fd(arg[0]), PAGE + 2 * size, PROT_READ, PAGE);
		map->size = size;
	}
	if (arg[2] & 2 && !map->consumer)
		map->consumer = map_part(slot_fd(arg[0]), PAGE, PROT_READ | PROT_WRITE, 0);
	lane->worked = map->producer || map->consumer;
}

/* Claims a record as a good reader does. */
static void claim_record(struct map *map)
{
	uint64_t tail = __atomic_load_n(&map->consumer->tail, __ATOMIC_ACQUIRE);
	uint64_t head = __atomic_load_n(&map->producer->head, __ATOMIC_ACQUIRE), len;
	const struct metastore_event *record;

	/* A step before may have spoiled the tail. */
	if (head - tail < sizeof(*record) || head - tail > map->size || tail % 8)
		return;
	record = (void *)((char *)map->producer + PAGE + (tail & (map->size - 1)));
	len = record->len;
	if (len < sizeof(*record) || len > head - tail || len % 8)
		return;
	__atomic_compare_exchange_n(&map->consumer->tail, &tail, tail + len, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Moves the tail: 0 by a record, 1 to the head, else somewhere. */
void call_tail(struct lane *lane, const uint32_t *arg)
{
	struct map *map = lane->map;
	uint64_t head;

	if (!map || !map->consumer || !map->producer)
		return;
	/* The events are not checked, and so not counted. */
	lane_unsure();
	lane->worked = true;
	head = __atomic_load_n(&map->producer->head, __ATOMIC_ACQUIRE);
	switch (arg[0]) {
	case 0:
		claim_record(map);
		return;
	case 1:
		break;
	case 2:
		head -= arg[1];
		break;
	case 3:
		head += arg[1];
		break;
	default:
		head = (uint64_t)arg[1] << 40 | arg[1];
	}
	__atomic_store_n(&map->consumer->tail, head, __ATOMIC_SEQ_CST);
}

/* Nothing twice: what is unmapped may be another lane's memory at once. */
static void unmap_in_pieces(struct map *map)
{
	char *second = (char *)map->producer + PAGE + map->size;

	munmap(second, PAGE);
	munmap(map->producer, PAGE + map->size);
	if (map->size > PAGE)
		munmap(second + PAGE, map->size - PAGE);
	map->producer = NULL;
	unmap(map);
}

/* Changes of the areas that must not work, or do no harm */
void call_remap(struct lane *lane, const uint32_t *arg)
{
	struct map *map = lane->map;
	void *at;

	if (!map || !map->producer)
		return;
	lane->worked = true;
	switch (arg[0]) {
	case 0:
		if (!mprotect(map->producer, PAGE, PROT_READ | PROT_WRITE))
			finding("the kernel's page can be made writable");
		return;
	case 1:
		at = mremap(map->producer, PAGE + 2 * map->size, 2 * PAGE + 2 * map->size,
			    MREMAP_MAYMOVE);
		if (at != MAP_FAILED)
			finding("a ring can grow");
		return;
	case 2:
		unmap_in_pieces(map);
		return;
	case 3:
		at = mmap(NULL, PAGE + 2 * map->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
		if (at == MAP_FAILED)
			return;
		if (mremap(map->producer, PAGE + 2 * map->size, PAGE + 2 * map->size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, at) == at)
			map->producer = at;
		/* Else it stays: it may be gone already, and another lane's memory there. */
		return;
	default:
		if (map->consumer)
			munmap(map->consumer, PAGE);
		map->consumer = NULL;
	}
}

void call_unmap(struct lane *lane, const uint32_t *arg)
{
	if (!lane->map)
		return;
	unmap(lane->map);
	lane->worked = true;
}

void map_close(struct lane *lane)
{
	unmap(lane->map);
	free(lane->map);
	lane->map = NULL;
}
