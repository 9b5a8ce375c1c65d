// SPDX-License-Identifier: GPL-2.0
/*
 * The mapped ring of a queue, see mapped_ring.c for its protocol.
 *
 * The mapped ring shows the queue's oldest events, from the ring's head on to
 * &metastore_mapped_ring.next. An event that it cannot have stays in the queue alone, and so do
 * those behind it. read() returns both kinds in order, and attention tells the program to call
 * it. Pushes take in the program's tail now and then, so that what it passed leaves the queue; all
 * who look at the queue, or tell its books, take it in first.
 *
 * A queue that is mapped does not have the fast path of others, which so need not look for a map.
 */
#ifdef CONFIG_ARM64
#include <asm/cpufeature.h>
#endif
#include <linux/cacheinfo.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "base/compat.h"
#include "store/user.h"
#include "events/mapped_ring.h"
#include "events/queue_push.h"

/* Parts of the ring, by page of the offset */
#define PART_CONSUMER	0
#define PART_RECORDS	1

/* Tell the program of what only read() returns, and of publishers that wait for room. */
static void queue_map_attend(struct metastore_queue *queue)
{
	struct metastore_mapped_ring *map = queue->map;
	u32 attention = 0;

	lockdep_assert_held(&queue->lock);
	if (!list_empty(&queue->lossy) || queue->flushed || queue->nr_latest ||
	    !list_empty(&queue->snapshots) || map->next != queue->ring.head + queue->ring.len)
		attention |= METASTORE_RING_READ;
	if (queue->room_wanted)
		attention |= METASTORE_RING_ROOM;
	metastore_mapped_ring_attend(map, attention);
}

/*
 * Check whether an event may be shown. A conflating subscription's may be replaced while it
 * waits; a discarded one is only removed once it is the oldest.
 */
static bool queue_map_may_show(const struct metastore_queue *queue,
			       const struct metastore_record *record)
{
	return !queue_flags_are_indexed(record->sub->flags) &&
	       queue->map->next >= record->sub->stale_until;
}

/* Bytes that an event which waits is charged. */
static u32 queue_charge_of(const struct metastore_queue *queue,
			   const struct metastore_record *record)
{
	return queue_charge(queue, metastore_value_size(record->value));
}

/**
 * metastore_queue_map_sync() - Show the program the present state of its queue
 * @queue:	the queue, which is mapped
 * @max:	most events to show. What is left will be with later calls
 *
 * Context: Caller holds the queue's lock, and has changed what waits.
 */
void metastore_queue_map_sync(struct metastore_queue *queue, u32 max)
{
	struct metastore_mapped_ring *map = queue->map;
	const struct metastore_record *record;

	lockdep_assert_held(&queue->lock);
	metastore_mapped_ring_look(map);
	while (max-- && map->next != queue->ring.head + queue->ring.len) {
		record = &queue->ring.records[(u32)map->next & queue->ring.mask];
		if (!queue_map_may_show(queue, record) ||
		    !metastore_mapped_ring_write(map, record, queue_charge_of(queue, record)))
			break;
	}
	queue_map_attend(queue);
	metastore_mapped_ring_publish(map);
}

/**
 * metastore_queue_map_refresh() - Remove some of the events that the program has passed
 * @queue:	the queue, which is mapped
 * @max:	most events to remove
 * @garbage:	takes their values
 *
 * Context: Caller holds the queue's lock.
 * Return: Their number.
 */
u32 metastore_queue_map_refresh(struct metastore_queue *queue, u32 max,
				struct metastore_garbage *garbage)
{
	u32 nr = 0;

	lockdep_assert_held(&queue->lock);
	metastore_mapped_ring_look(queue->map);
	for (; nr < max && queue_oldest_is_passed(queue); nr++)
		metastore_queue_drop_oldest(queue, garbage);
	return nr;
}

/* Remove some events that the program has passed: once for several costs less than for each. */
static noinline void queue_map_deliver(struct metastore_queue *queue,
				       struct metastore_garbage *garbage)
{
	struct metastore_mapped_ring *map = queue->map;
	struct metastore_ring *ring = &queue->ring;
	bool indexed = ring->index;
	u64 at, end;
	u32 nr;

	lockdep_assert_held(&queue->lock);
	metastore_mapped_ring_look(map);
	nr = min_t(u64, map->passed - ring->head, QUEUE_DELIVER_AT_ONCE);
	end = ring->head + nr;
	queue_note_length(queue);
	queue->bytes -= metastore_mapped_ring_charged(map, end) -
			metastore_mapped_ring_charged(map, ring->head);
	for (at = ring->head; at != end; at++) {
		const struct metastore_record *record = &ring->records[(u32)at & ring->mask];
		struct metastore_subscription *sub = record->sub;

		sub->books.delivered++;
		metastore_value_put_later(record->value, garbage);
		if (unlikely(indexed))
			metastore_ring_forget(ring, record);
		if (unlikely(sub->cancelled))
			metastore_queue_free_if_done(sub);
	}
	ring->head = end;
	ring->len -= nr;
	queue->books.delivered += nr;
	queue->flush_at -= min(queue->flush_at, nr);
	if (nr)
		queue_room_came(queue);
}

/* Check that there are bytes for an event, and that nothing keeps it from a place in the ring. */
static __always_inline bool queue_map_is_open(const struct metastore_queue *queue,
					      const struct metastore_subscription *sub,
					      u32 charge)
{
	const struct metastore_mapped_ring *map = queue->map;

	lockdep_assert_held(&queue->lock);
	return sub->plain && !map->attention && queue->bytes + charge <= map->fast_bytes;
}

/*
 * Write an event that was appended. The image only pays if there are several rings: the first
 * one gets the event without.
 */
static __always_inline bool
queue_map_write(struct metastore_mapped_ring *map, struct metastore_image *image,
		const struct metastore_record *record, u32 charge)
{
	u64 *to;

	if (!image->size && image->uses++)
		metastore_image_build(image, record);
	if (!image->size)
		return metastore_mapped_ring_write(map, record, charge);
	to = metastore_mapped_ring_place(map, image->copied);
	if (to)
		metastore_mapped_ring_put(map, to, image, record->sub->cookie, charge);
	return to;
}

/**
 * metastore_queue_map_push() - Enqueue an event in a queue that is mapped
 * @sub:	the subscription
 * @notice:	the event
 * @size:	metastore_value_size() of its value
 * @garbage:	takes values of events that are dropped, or that the program has passed
 *
 * Context: Caller holds the queue's lock.
 * Return: As metastore_queue_push_any().
 */
enum metastore_pushed metastore_queue_map_push(struct metastore_subscription *sub,
					       const struct metastore_notice *notice, u32 size,
					       struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = sub->queue;
	struct metastore_mapped_ring *map = queue->map;
	u32 charge = queue_charge(queue, size);
	const struct metastore_record *record;
	enum metastore_pushed pushed;

	lockdep_assert_held(&queue->lock);
	if (queue->ring.len >= map->deliver_len)
		queue_map_deliver(queue, garbage);
	if (unlikely(queue->ring.len >= map->fast_len || !queue_map_is_open(queue, sub, charge))) {
		pushed = metastore_queue_push_alone(sub, notice, size, garbage);
		metastore_queue_map_sync(queue, QUEUE_SHOW_PUSHED);
		return pushed;
	}
	sub->books.matched++;
	record = queue_append(queue, sub, &notice->record, charge);
	if (likely(queue_map_write(map, notice->image, record, charge)))
		metastore_mapped_ring_publish(map);
	else
		metastore_queue_map_sync(queue, QUEUE_SHOW_PUSHED);
	return METASTORE_PUSH_TAKEN;
}

/**
 * metastore_queue_map_push_image() - Enqueue an event whose image is built
 * @sub:	as metastore_queue_map_push(), and so are the next three
 * @notice:	see @sub
 * @size:	see @sub
 * @garbage:	see @sub
 *
 * Most events of a large fan-out take this path, which calls nothing, so it saves no registers.
 *
 * Context: Caller holds the queue's lock.
 * Return: As metastore_queue_push_any().
 */
enum metastore_pushed metastore_queue_map_push_image(struct metastore_subscription *sub,
						     const struct metastore_notice *notice,
						     u32 size, struct metastore_garbage *garbage)
{
	const struct metastore_image *image = notice->image;
	struct metastore_queue *queue = sub->queue;
	struct metastore_mapped_ring *map = queue->map;
	u32 charge = queue_charge(queue, size);
	u64 *to;

	lockdep_assert_held(&queue->lock);
	if (unlikely(!sub->plain || queue->ring.len >= map->image_len ||
		     queue->bytes + charge > map->fast_bytes))
		return metastore_queue_map_push(sub, notice, size, garbage);
	to = metastore_mapped_ring_place(map, image->copied);
	if (unlikely(!to))
		return metastore_queue_map_push(sub, notice, size, garbage);
	sub->books.matched++;
	queue_append(queue, sub, &notice->record, charge);
	metastore_mapped_ring_put(map, to, image, sub->cookie, charge);
	metastore_mapped_ring_publish(map);
	return METASTORE_PUSH_TAKEN;
}

/**
 * metastore_queue_map_claim() - Take the oldest event from the program
 * @queue:	the queue, which is mapped and has an event in its ring
 * @drop:	whether it is going to be lost
 *
 * Context: Caller holds the queue's lock.
 * Return: false if the program has passed it, so that it was delivered.
 */
bool metastore_queue_map_claim(struct metastore_queue *queue, bool drop)
{
	struct metastore_mapped_ring *map = queue->map;

	lockdep_assert_held(&queue->lock);
	if (queue->ring.head < map->passed)
		return false;
	if (queue->ring.head >= map->next)
		return true;
	/* First, so that a program that finds it gone sees that read() returns LOST. */
	if (drop)
		metastore_mapped_ring_attend(map, map->attention | METASTORE_RING_READ);
	return metastore_mapped_ring_take_back(map);
}

/**
 * metastore_queue_map_removed() - Note that the oldest event has left the queue's ring
 * @queue:	the queue, which is mapped
 *
 * Context: Caller holds the queue's lock.
 */
void metastore_queue_map_removed(struct metastore_queue *queue)
{
	struct metastore_mapped_ring *map = queue->map;

	lockdep_assert_held(&queue->lock);
	map->passed = max(map->passed, queue->ring.head);
	map->next = max(map->next, queue->ring.head);
}

/**
 * metastore_queue_map_withdraw() - Take all events from the program
 * @queue:	the queue, which is mapped
 *
 * Context: Caller holds the queue's lock, and calls metastore_queue_map_sync().
 */
void metastore_queue_map_withdraw(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	metastore_mapped_ring_look(queue->map);
	metastore_mapped_ring_withdraw(queue->map);
}

/**
 * metastore_queue_map_wants_room() - Let the program tell when it has made room
 * @queue:	the queue, which is mapped. A publisher is going to wait for room in it
 *
 * Context: Caller holds the queue's lock.
 * Return: true if the program has made room meanwhile.
 */
bool metastore_queue_map_wants_room(struct metastore_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	queue_map_attend(queue);
	/* Pairs with the program's swap of the tail, before it loads the attention. */
	smp_mb();
	metastore_mapped_ring_look(queue->map);
	return queue_oldest_is_passed(queue);
}

/* Areas of memory */

static u32 *queue_map_areas(struct metastore_mapped_ring *map, unsigned long part)
{
	return part == PART_CONSUMER ? &map->consumer_areas : &map->areas;
}

/* A further area of a part: a child gets one, mremap() moves one, munmap() splits one. */
static void queue_map_open(struct vm_area_struct *area)
{
	struct metastore_queue *queue = area->vm_private_data;

	spin_lock(&queue->lock);
	++*queue_map_areas(queue->map, area->vm_pgoff);
	spin_unlock(&queue->lock);
}

/* One area of a part less. The ring ends with its last one. */
static void queue_map_put_area(struct metastore_queue *queue, unsigned long part)
{
	struct metastore_mapped_ring *map, *over = NULL;

	spin_lock(&queue->lock);
	/* Before it ends, while no other area can begin it anew. */
	metastore_queue_trim_locked(queue);
	map = queue->map;
	--*queue_map_areas(map, part);
	if (!map->areas && !map->consumer_areas) {
		over = map;
		WRITE_ONCE(queue->map, NULL);
		queue_note_fast_bytes(queue);
	}
	spin_unlock(&queue->lock);
	if (!over)
		return;
	metastore_user_uncharge(queue->user, METASTORE_USER_QUEUE_BYTES, over->user_bytes);
	metastore_mapped_ring_free(over);
}

/* Each area holds a reference to the open file. */
static void queue_map_close(struct vm_area_struct *area)
{
	queue_map_put_area(area->vm_private_data, area->vm_pgoff);
}

static const struct vm_operations_struct queue_map_area_ops = {
	.open = queue_map_open,
	.close = queue_map_close,
};

/* Begin an area, which the ring has counted. */
static int queue_map_begin_area(struct metastore_queue *queue, struct vm_area_struct *area)
{
	int err = metastore_mapped_ring_insert(queue->map, area, area->vm_pgoff == PART_CONSUMER);

	if (err) {
		queue_map_put_area(queue, area->vm_pgoff);
		return err;
	}
	/* Last: an area that fails is not closed by these. */
	area->vm_ops = &queue_map_area_ops;
	area->vm_private_data = queue;
	return 0;
}

/* Make a ring for a queue that has none. Returns 0, -EBUSY, -EDQUOT or -ENOMEM. */
static int queue_map_create(struct metastore_queue *queue, u32 size)
{
	struct metastore_mapped_ring *map;
	u32 places;
	u64 charge;
	int err;

	/* Before anything is allocated. Looked at again below. */
	if (READ_ONCE(queue->map))
		return -EBUSY;
	err = metastore_queue_prepare(queue, 0);
	if (err)
		return err;
	places = READ_ONCE(queue->ring.mask) + 1;
	charge = metastore_mapped_ring_bytes(size, places);
	err = metastore_user_charge(queue->user, METASTORE_USER_QUEUE_BYTES, charge);
	if (err)
		return err;
	map = metastore_mapped_ring_create(size, places);
	err = map ? 0 : -ENOMEM;
	spin_lock(&queue->lock);
	if (!err && (queue->map || queue->ring.mask != places - 1))
		err = -EBUSY;
	if (!err) {
		map->user_bytes = charge;
		map->areas = 1;
		map->passed = queue->ring.head;
		map->next = queue->ring.head;
		map->producer->flags = queue->lossless ? METASTORE_RING_LOSSLESS : 0;
		WRITE_ONCE(queue->map, map);
		queue_note_fast_bytes(queue);
		metastore_queue_map_sync(queue, QUEUE_SHOW_AT_ONCE);
	}
	spin_unlock(&queue->lock);
	if (!err)
		return 0;
	metastore_user_uncharge(queue->user, METASTORE_USER_QUEUE_BYTES, charge);
	if (map)
		metastore_mapped_ring_free(map);
	return err;
}

/* Map the producer's page and the records, of which there must be none. */
static int queue_map_records(struct metastore_queue *queue, struct vm_area_struct *area)
{
	unsigned long len = area->vm_end - area->vm_start, size = (len - PAGE_SIZE) / 2;

	if (len <= PAGE_SIZE || size < PAGE_SIZE || size > METASTORE_RING_MAX ||
	    !is_power_of_2(size) || len != PAGE_SIZE + 2 * size)
		return -EINVAL;
	if (area->vm_flags & VM_WRITE)
		return -EACCES;
	metastore_vm_flags_clear(area, VM_MAYWRITE);
	return queue_map_create(queue, size) ?: queue_map_begin_area(queue, area);
}

/* Map the consumer's page of a ring that is there. */
static int queue_map_consumer(struct metastore_queue *queue, struct vm_area_struct *area)
{
	int err = 0;

	if (area->vm_end - area->vm_start != PAGE_SIZE)
		return -EINVAL;
	spin_lock(&queue->lock);
	if (!queue->map)
		err = -ENXIO;
	else if (queue->map->consumer_areas)
		err = -EBUSY;
	else
		queue->map->consumer_areas = 1;
	spin_unlock(&queue->lock);
	return err ?: queue_map_begin_area(queue, area);
}

/*
 * Check whether kernel and program can share words. Not where the program could hold up the
 * kernel's compare-and-swap, a loop on old arm64, by writing the tail; nor where a page that is
 * mapped twice may be cached twice.
 */
static bool queue_map_is_possible(void)
{
#ifdef CONFIG_ARM64
	if (!IS_ENABLED(CONFIG_ARM64_LSE_ATOMICS) || !cpus_have_cap(ARM64_HAS_LSE_ATOMICS))
		return false;
#endif
#ifdef cpu_dcache_is_aliasing
	if (cpu_dcache_is_aliasing())
		return false;
#endif
	return true;
}

/**
 * metastore_queue_mmap() - Map a part of a queue's ring
 * @queue:	queue of an open file that may be read and written
 * @area:	the area of memory
 *
 * Context: Process context, may sleep. Called by mmap().
 * Return: 0, or an error of mmap() in uapi/linux/metastore.h.
 */
int metastore_queue_mmap(struct metastore_queue *queue, struct vm_area_struct *area)
{
	/* A private page would be the program's alone. */
	if (area->vm_pgoff > PART_RECORDS || !(area->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (area->vm_flags & VM_EXEC)
		return -EPERM;
	/* Uids and processes are numbered as in the initial namespaces. */
	if (!queue_map_is_possible() || in_compat_syscall() ||
	    current_user_ns() != &init_user_ns || !metastore_in_init_pid_ns())
		return -EOPNOTSUPP;
	metastore_vm_flags_clear(area, VM_MAYEXEC);
	metastore_vm_flags_set(area, VM_DONTEXPAND | VM_DONTDUMP);
	return area->vm_pgoff == PART_CONSUMER ? queue_map_consumer(queue, area) :
						 queue_map_records(queue, area);
}
