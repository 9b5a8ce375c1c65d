/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_MAPPED_RING_H
#define METASTORE_MAPPED_RING_H

#include <linux/types.h>

#include <linux/metastore.h>

#include "events/notice.h"
#include "events/ring.h"

struct page;
struct vm_area_struct;

/**
 * struct metastore_mapped_end - a record that is shown
 * @tail:	the tail behind it
 * @charged:	charges of all that were shown ahead of it, against the queue's bytes
 */
struct metastore_mapped_end {
	u64 tail;
	u64 charged;
};

/**
 * struct metastore_mapped_ring - ring of records that a program reads without a system call
 * @consumer:	page that the program writes. Its tail is loaded once a look, and checked
 * @producer:	page that the program reads
 * @records:	records of the ABI, mapped twice in a row. The program only reads them
 * @size:	bytes of @records, a power of two. Immutable, as the pointers are
 * @offset_mask: @size minus 1
 * @pages:	pages as a program maps them: consumer, producer, records, records again
 * @fast_bytes:	limit of the queue's bytes for its fast path, as the queue's own was
 * @fast_len:	limit of its length, likewise
 * @deliver_len: length from which on events are removed that the program has passed
 * @image_len:	@deliver_len, or 0 while @attention is not 0
 * @mask:	number of @ends minus 1, as that of the queue's ring
 * @ends:	for each position from the oldest of the queue's ring to @next
 * @charged:	charges of all records up to @next
 * @head:	where the next record will begin, in bytes
 * @tail:	the last valid tail. Bytes ahead of it may be overwritten
 * @room:	@tail plus @size: what @head must not go beyond
 * @refused:	the last invalid one
 * @passed:	position of the first record that no reader has claimed
 * @next:	position of the first record that is not in the ring
 * @attention:	METASTORE_RING_READ and _ROOM, as in @producer
 * @user_bytes: bytes that the user is charged
 * @areas:	areas of memory that map @producer and @records
 * @consumer_areas: those that map @consumer
 *
 * Positions are those of the queue's ring. Protected by the queue's lock.
 */
struct metastore_mapped_ring {
	struct metastore_ring_consumer *consumer;
	struct metastore_ring_producer *producer;
	u8 *records;
	u32 size;
	u32 offset_mask;
	struct page **pages;
	u64 fast_bytes;
	u32 fast_len;
	u32 deliver_len;
	u32 image_len;
	u32 mask;
	struct metastore_mapped_end *ends;
	u64 charged;
	u64 head;
	u64 tail;
	u64 room;
	u64 refused;
	u64 passed;
	u64 next;
	u32 attention;
	u64 user_bytes;
	u32 areas;
	u32 consumer_areas;
};

u64 metastore_mapped_ring_bytes(u32 size, u32 places);
struct metastore_mapped_ring *metastore_mapped_ring_create(u32 size, u32 places);
void metastore_mapped_ring_free(struct metastore_mapped_ring *map);
int metastore_mapped_ring_insert(const struct metastore_mapped_ring *map,
				 struct vm_area_struct *area, bool consumer);
void metastore_mapped_ring_accept(struct metastore_mapped_ring *map, u64 tail);
bool metastore_mapped_ring_take_back(struct metastore_mapped_ring *map);
void metastore_mapped_ring_withdraw(struct metastore_mapped_ring *map);
void metastore_image_build(struct metastore_image *image, const struct metastore_record *record);
bool metastore_mapped_ring_write(struct metastore_mapped_ring *map,
				 const struct metastore_record *record, u32 charge);

/* The end of the record at a position. */
static inline struct metastore_mapped_end *
metastore_mapped_ring_end(const struct metastore_mapped_ring *map, u64 position)
{
	return &map->ends[(u32)position & map->mask];
}

/* Charges of all records ahead of a position, up to that of the next to be shown. */
static inline u64 metastore_mapped_ring_charged(const struct metastore_mapped_ring *map,
						u64 position)
{
	return position == map->next ? map->charged :
				       metastore_mapped_ring_end(map, position)->charged;
}

/* Note the last valid tail, and forget one that was refused before. */
static inline void metastore_mapped_ring_move(struct metastore_mapped_ring *map, u64 tail)
{
	map->tail = tail;
	map->room = tail + map->size;
	map->refused = tail;
}

/**
 * metastore_mapped_ring_look() - Take in how far the program has read
 * @map:	the ring
 */
static inline void metastore_mapped_ring_look(struct metastore_mapped_ring *map)
{
	/*
	 * Pairs with the release by which the program claims a record: it has read the record
	 * before the kernel writes another in its place.
	 */
	u64 tail = smp_load_acquire(&map->consumer->tail);

	if (tail == map->tail)
		return;
	/* The usual case: it has read one. */
	if (map->passed != map->next &&
	    metastore_mapped_ring_end(map, map->passed)->tail == tail) {
		map->passed++;
		metastore_mapped_ring_move(map, tail);
		return;
	}
	metastore_mapped_ring_accept(map, tail);
}

/* Account for the next record, which was written at the head. */
static inline void metastore_mapped_ring_advance(struct metastore_mapped_ring *map, u32 size,
						 u32 charge)
{
	u64 head = map->head + size, charged = map->charged;

	map->head = head;
	*metastore_mapped_ring_end(map, map->next) = (struct metastore_mapped_end) {
		.tail = head,
		.charged = charged,
	};
	map->charged = charged + charge;
	map->next++;
}

/* The place of the next record if there is room for it, or NULL. */
static inline void *metastore_mapped_ring_place(const struct metastore_mapped_ring *map, u32 size)
{
	if (map->head + size > map->room)
		return NULL;
	return map->records + (map->head & map->offset_mask);
}

/**
 * metastore_mapped_ring_put() - Write the next record from an image
 * @map:	the ring
 * @to:		metastore_mapped_ring_place() of @image->copied bytes
 * @image:	the record, of a size that is not 0
 * @cookie:	cookie of its subscription
 * @charge:	what it is charged against the queue's bytes
 */
static inline void metastore_mapped_ring_put(struct metastore_mapped_ring *map, u64 *to,
					     const struct metastore_image *image, u64 cookie,
					     u32 charge)
{
	const u64 *from = image->words, *end = from + image->copied / sizeof(u64);
	struct metastore_event *event = (struct metastore_event *)to;

	do {
		to[0] = from[0];
		to[1] = from[1];
		to[2] = from[2];
		to[3] = from[3];
		to[4] = from[4];
		to[5] = from[5];
		to[6] = from[6];
		to[7] = from[7];
		from += METASTORE_IMAGE_BLOCK;
		to += METASTORE_IMAGE_BLOCK;
	} while (from != end);
	event->cookie = cookie;
	metastore_mapped_ring_advance(map, image->size, charge);
}

/* Tell the program whether it must call read() or poll(). */
static inline void metastore_mapped_ring_attend(struct metastore_mapped_ring *map, u32 attention)
{
	if (map->attention == attention)
		return;
	map->attention = attention;
	map->image_len = attention ? 0 : map->deliver_len;
	WRITE_ONCE(map->producer->attention, attention);
}

/* Show the program what was written. */
static inline void metastore_mapped_ring_publish(struct metastore_mapped_ring *map)
{
	/* Pairs with its acquire of the head: it sees the records, and the attention. */
	smp_store_release(&map->producer->head, map->head);
}

#endif /* METASTORE_MAPPED_RING_H */
