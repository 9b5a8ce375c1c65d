// SPDX-License-Identifier: GPL-2.0
/*
 * The mapped ring: records that a program reads without a system call.
 *
 * It shows the oldest records of a queue as read() would return them. The queue's own ring
 * remains what counts: it has the references to values, the limits and the books. The program
 * can write one word, the tail. The kernel compares it to the ends of records, which only it
 * knows, so that a bad tail is refused and nothing else depends on it.
 *
 * Both sides move the tail forward by compare-and-swap. A record belongs to the side that moved
 * the tail past it: to the program, and it was delivered; or to the kernel, which drops it or
 * returns it from read(). So the books are exact, whoever is faster. These pair:
 *
 * - head: released after the record is written, acquired before it is read
 * - tail: the program releases it after it has read a record. Acquired by a look, by a swap, or
 *   behind one that failed, before another record is written in that place
 * - attention: set before a record is taken back by a swap of the tail, or shown by the release
 *   of the head. Loaded after the acquire of both
 * - room: METASTORE_RING_ROOM is set, a full barrier, the tail is looked at. The program
 *   swaps the tail, a full barrier, the attention is loaded. One sees the other.
 */
#include <linux/align.h>
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "base/types.h"
#include "events/mapped_ring.h"
#include "events/queue.h"

static_assert(sizeof(struct metastore_ring_producer) == 32);
static_assert(offsetof(struct metastore_ring_producer, refused) == 8);
static_assert(offsetof(struct metastore_ring_producer, size) == 16);
static_assert(offsetof(struct metastore_ring_producer, attention) == 20);
static_assert(offsetof(struct metastore_ring_producer, flags) == 24);

/* Pages of a mapping: those of the records twice. */
static u32 mapped_ring_nr_pages(u32 size)
{
	return 2 + 2 * (size >> PAGE_SHIFT);
}

static void mapped_ring_free_pages(struct page **pages, u32 size)
{
	u32 nr = 2 + (size >> PAGE_SHIFT), i;

	for (i = 0; i < nr && pages[i]; i++)
		__free_page(pages[i]);
	kvfree(pages);
}

static struct page **mapped_ring_alloc_pages(u32 size)
{
	u32 nr = mapped_ring_nr_pages(size), once = size >> PAGE_SHIFT, i;
	struct page **pages = kvcalloc(nr, sizeof(*pages), METASTORE_GFP);

	if (!pages)
		return NULL;
	for (i = 0; i < 2 + once; i++) {
		pages[i] = alloc_page(METASTORE_GFP | __GFP_ZERO);
		if (!pages[i]) {
			mapped_ring_free_pages(pages, size);
			return NULL;
		}
	}
	memcpy(pages + 2 + once, pages + 2, once * sizeof(*pages));
	return pages;
}

/**
 * metastore_mapped_ring_bytes() - Tell the memory that a ring takes
 * @size:	as metastore_mapped_ring_create()
 * @places:	likewise
 *
 * Return: Its bytes.
 */
u64 metastore_mapped_ring_bytes(u32 size, u32 places)
{
	return 2 * PAGE_SIZE + size +
	       (u64)mapped_ring_nr_pages(size) * sizeof(struct page *) +
	       (u64)places * sizeof(struct metastore_mapped_end);
}

/**
 * metastore_mapped_ring_create() - Create an empty ring
 * @size:	bytes of records, a power of two of at least a page
 * @places:	capacity of the queue's ring in records, a power of two
 *
 * Context: Process context, may sleep.
 * Return: The ring, or NULL without memory.
 */
struct metastore_mapped_ring *metastore_mapped_ring_create(u32 size, u32 places)
{
	struct metastore_mapped_ring *map = kzalloc(sizeof(*map), METASTORE_GFP);
	u8 *base;

	if (!map)
		return NULL;
	map->size = size;
	map->offset_mask = size - 1;
	map->room = size;
	map->mask = places - 1;
	map->ends = kvcalloc(places, sizeof(*map->ends), METASTORE_GFP);
	map->pages = mapped_ring_alloc_pages(size);
	if (!map->ends || !map->pages)
		goto free;
	base = vmap(map->pages, mapped_ring_nr_pages(size), VM_MAP, PAGE_KERNEL);
	if (!base)
		goto free;
	map->consumer = (struct metastore_ring_consumer *)base;
	map->producer = (struct metastore_ring_producer *)(base + PAGE_SIZE);
	map->records = base + 2 * PAGE_SIZE;
	map->producer->size = size;
	return map;

free:
	if (map->pages)
		mapped_ring_free_pages(map->pages, size);
	kvfree(map->ends);
	kfree(map);
	return NULL;
}

/**
 * metastore_mapped_ring_free() - Free a ring
 * @map:	the ring, which no queue has any more. A page that is in use elsewhere, such as by
 *		direct I/O, goes when that ends.
 *
 * Context: Process context, may sleep.
 */
void metastore_mapped_ring_free(struct metastore_mapped_ring *map)
{
	vunmap(map->consumer);
	mapped_ring_free_pages(map->pages, map->size);
	kvfree(map->ends);
	kfree(map);
}

/**
 * metastore_mapped_ring_insert() - Insert the pages of a part into an area of memory
 * @map:	the ring
 * @area:	the area, which has the length of the part
 * @consumer:	whether it maps the consumer's page, or the rest
 *
 * Context: Process context, may sleep. Called by mmap().
 * Return: 0, or an error of vm_insert_pages().
 */
int metastore_mapped_ring_insert(const struct metastore_mapped_ring *map,
				 struct vm_area_struct *area, bool consumer)
{
	unsigned long nr = consumer ? 1 : mapped_ring_nr_pages(map->size) - 1;

	return vm_insert_pages(area, area->vm_start, map->pages + !consumer, &nr);
}

/*
 * Find the record that ends at a tail, among those that are not passed. Return its position, or
 * U64_MAX. A program that keeps up has passed the first one; one that read all, the last.
 */
static u64 mapped_ring_find(const struct metastore_mapped_ring *map, u64 tail)
{
	u64 low = map->passed, high = map->next, middle;

	if (low == high)
		return U64_MAX;
	if (metastore_mapped_ring_end(map, low)->tail == tail)
		return low;
	if (metastore_mapped_ring_end(map, high - 1)->tail == tail)
		return high - 1;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (metastore_mapped_ring_end(map, middle)->tail < tail)
			low = middle + 1;
		else
			high = middle;
	}
	return low < map->next && metastore_mapped_ring_end(map, low)->tail == tail ?
	       low : U64_MAX;
}

static void mapped_ring_refuse(struct metastore_mapped_ring *map, u64 tail)
{
	/* It may be looked at many times. */
	if (tail == map->refused)
		return;
	map->refused = tail;
	WRITE_ONCE(map->producer->refused, map->producer->refused + 1);
}

/**
 * metastore_mapped_ring_accept() - Take a tail in, or refuse it
 * @map:	the ring
 * @tail:	the program's tail, which is not the last valid one
 *
 * Takes a tail only if it is the end of a record that was not passed yet. So it goes
 * forward, is not beyond the head, and is no place within a record.
 *
 * Context: Caller holds the queue's lock. Searches for the record, in 20 steps at most.
 */
void metastore_mapped_ring_accept(struct metastore_mapped_ring *map, u64 tail)
{
	u64 position = mapped_ring_find(map, tail);

	if (position == U64_MAX) {
		mapped_ring_refuse(map, tail);
		return;
	}
	map->passed = position + 1;
	metastore_mapped_ring_move(map, tail);
}

/*
 * Move the program's tail to @end, unless it moved the tail first. A tail that is not valid is
 * overwritten. Return whether the kernel moved it. A swap is a full barrier, but orders nothing
 * if it fails.
 */
static bool mapped_ring_swap(struct metastore_mapped_ring *map, u64 end)
{
	u64 was = cmpxchg(&map->consumer->tail, map->tail, end), passed = map->passed;

	if (was != map->tail) {
		smp_acquire__after_ctrl_dep();
		metastore_mapped_ring_accept(map, was);
		if (map->passed != passed)
			return false;
		xchg(&map->consumer->tail, end);
	}
	metastore_mapped_ring_move(map, end);
	return true;
}

/**
 * metastore_mapped_ring_take_back() - Take the first record that is not passed
 * @map:	the ring, which has one
 *
 * Context: Caller holds the queue's lock.
 * Return: false if the program was faster, and has the record.
 */
bool metastore_mapped_ring_take_back(struct metastore_mapped_ring *map)
{
	if (!mapped_ring_swap(map, metastore_mapped_ring_end(map, map->passed)->tail))
		return false;
	map->passed++;
	return true;
}

/**
 * metastore_mapped_ring_withdraw() - Take all records that are not passed
 * @map:	the ring
 *
 * Context: Caller holds the queue's lock.
 */
void metastore_mapped_ring_withdraw(struct metastore_mapped_ring *map)
{
	u64 was;

	if (map->passed != map->next) {
		/* A full barrier. What the program claimed until now is its own. */
		was = xchg(&map->consumer->tail, map->head);
		if (was != map->tail)
			metastore_mapped_ring_accept(map, was);
		metastore_mapped_ring_move(map, map->head);
	}
	map->charged = metastore_mapped_ring_charged(map, map->passed);
	map->next = map->passed;
}

/* Number of bytes behind the header: the key, and the value unless that is left out. */
static u32 mapped_ring_payload(const struct metastore_record *record)
{
	u32 len = record->value->node.key_len;

	return record->flags & METASTORE_EVENT_F_NO_VALUE ? len : len + record->value->len;
}

static bool mapped_ring_may_have(const struct metastore_record *record)
{
	return !(record->flags & METASTORE_EVENT_F_OWNER) &&
	       (record->flags & METASTORE_EVENT_F_NO_VALUE ||
		metastore_value_is_piece(record->value));
}

/*
 * What mapped_ring_copy() may read ahead of a key of less than 8 bytes, and shifts out: the hash
 * and what follows it, which are immutable.
 */
static_assert(offsetof(struct metastore_value, node.key) -
	      offsetof(struct metastore_value, node.hash) >= 7);

/*
 * Copy @len bytes of a value, from its key on, and zeros up to a multiple of 8. Reads nothing
 * behind them. The last bytes are the end of a word of 8, which may begin ahead of the key.
 */
static __always_inline void mapped_ring_copy(u64 *to, const u8 *from, u32 len)
{
	const struct metastore_word *words = (const struct metastore_word *)from;
	u64 last;
	u32 i;

	for (i = 0; i + 4 <= len / 8; i += 4) {
		to[i] = words[i].value;
		to[i + 1] = words[i + 1].value;
		to[i + 2] = words[i + 2].value;
		to[i + 3] = words[i + 3].value;
	}
	for (; i < len / 8; i++)
		to[i] = words[i].value;
	if (!(len & 7))
		return;
	words = (const struct metastore_word *)(from + len - 8);
	last = le64_to_cpu((__force __le64)words->value) >> (64 - 8 * (len & 7));
	((__le64 *)to)[i] = cpu_to_le64(last);
}

/* Length of a record in bytes, with @len of them behind the header. */
static u32 mapped_ring_size(u32 len)
{
	return sizeof(struct metastore_event) + ALIGN(len, 8);
}

static __always_inline void mapped_ring_fill(struct metastore_event *event,
					     const struct metastore_record *record, u32 len)
{
	const struct metastore_value *value = record->value;

	event->len = mapped_ring_size(len);
	event->header_len = sizeof(*event);
	event->type = record->type;
	event->cookie = record->sub->cookie;
	event->version = record->version;
	event->time = value->time;
	event->value_len = len - value->node.key_len;
	event->key_len = value->node.key_len;
	event->flags = record->flags;
	event->tgid = metastore_value_writer(value);
	event->uid = __kuid_val(value->uid);
	mapped_ring_copy((u64 *)(event + 1), value->node.key, len);
}

/**
 * metastore_image_build() - Build the image of an event, unless rings cannot show it
 * @image:	the image
 * @record:	the event
 *
 * Context: Any.
 */
void metastore_image_build(struct metastore_image *image, const struct metastore_record *record)
{
	struct metastore_event *event = (struct metastore_event *)image->words;
	u32 len = mapped_ring_payload(record);

	if (!mapped_ring_may_have(record))
		return;
	image->size = mapped_ring_size(len);
	image->copied = ALIGN(image->size, METASTORE_IMAGE_BLOCK * sizeof(u64));
	mapped_ring_fill(event, record, len);
	event->cookie = 0;
	memset((u8 *)image->words + image->size, 0, image->copied - image->size);
}

/**
 * metastore_mapped_ring_write() - Write the next record
 * @map:	the ring
 * @record:	an event, the one at position @map->next
 * @charge:	what it is charged against the queue's bytes
 *
 * The program does not see it before metastore_mapped_ring_publish().
 *
 * Context: Caller holds the queue's lock.
 * Return: false if it does not belong into the ring, or if there is no room for it.
 */
bool metastore_mapped_ring_write(struct metastore_mapped_ring *map,
				 const struct metastore_record *record, u32 charge)
{
	u32 len = mapped_ring_payload(record), size = mapped_ring_size(len);
	struct metastore_event *event;

	if (!mapped_ring_may_have(record))
		return false;
	event = metastore_mapped_ring_place(map, size);
	if (!event)
		return false;
	mapped_ring_fill(event, record, len);
	metastore_mapped_ring_advance(map, size, charge);
	return true;
}
