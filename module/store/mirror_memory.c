// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a mirror: chunks, what is made of them, and how programs map them.
 *
 * Writers allocate ahead, before they lock a bucket, and not under that lock. A change never
 * fails for want of memory here: its key then has no entry.
 */
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <linux/metastore.h>

#include "base/compat.h"
#include "base/types.h"
#include "store/mirror.h"
#include "store/store.h"

static_assert(METASTORE_MIRROR_CHUNK >= PAGE_SIZE);

#define CHUNK_ORDER	get_order(METASTORE_MIRROR_CHUNK)

/* Memory that becomes entries of one size at a time. */
#define PIECE_GRAINS	(SZ_4K / METASTORE_MAP_GRAIN)

/* Most bytes that a mirror can have: offsets have 32 bits. */
#define MAX_CHUNKS	(U32_MAX / METASTORE_CHUNK_GRAINS)

/* How long to go without memory after a limit of the store's refused it */
#define RETRY_DELAY	(HZ / 10)

/* Readers look at so many bytes of each entry, which are there. */
#define END_GRAINS	(METASTORE_MAP_LARGEST / METASTORE_MAP_GRAIN)

#define GFP_AHEAD	(GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN)

static void memory_free_chunk(void *chunk)
{
	struct page *page = virt_to_page(chunk);
	int i;

	for (i = 0; i < 1 << CHUNK_ORDER; i++)
		__free_page(page + i);
}

static void memory_free_pages(struct list_head *pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru)
		memory_free_chunk(page_address(page));
}

/*
 * Allocate chunks that have no numbers yet. Who holds one of their pages, by a pipe such as
 * vmsplice() fills, does not hold the others. Returns 0 or -ENOMEM.
 */
static int memory_get_pages(struct list_head *pages, u32 nr, gfp_t gfp)
{
	struct page *page;

	while (nr--) {
		page = alloc_pages(gfp | __GFP_ZERO, CHUNK_ORDER);
		if (!page) {
			memory_free_pages(pages);
			return -ENOMEM;
		}
		split_page(page, CHUNK_ORDER);
		list_add(&page->lru, pages);
		cond_resched();
	}
	return 0;
}

static void memory_tell_size(struct metastore_mirror *mirror)
{
	u64 size = (u64)mirror->nr_chunks * METASTORE_MIRROR_CHUNK;

	if (!mirror->header)
		return;
	/* A program that sees the size finds all chunks below it. */
	smp_store_release(&mirror->header->size, mirror->retired ? 0 : size);
}

/**
 * metastore_mirror_set_retired() - Let readers ask the kernel, or no longer
 * @mirror:	the mirror
 * @retired:	which; another caller may have changed it meanwhile
 */
void metastore_mirror_set_retired(struct metastore_mirror *mirror, const bool *retired)
{
	spin_lock(&mirror->lock);
	mirror->retired = READ_ONCE(*retired);
	memory_tell_size(mirror);
	spin_unlock(&mirror->lock);
}

/* Give chunks adjacent numbers. Returns the first one's grain, or 0 if there are too many. */
static u32 memory_number(struct metastore_mirror *mirror, struct list_head *pages, u32 nr)
{
	u32 first = mirror->nr_chunks * METASTORE_CHUNK_GRAINS;
	struct page *page, *next;

	lockdep_assert_held(&mirror->lock);
	if (nr > mirror->max_chunks - mirror->nr_chunks)
		return 0;
	list_for_each_entry_safe(page, next, pages, lru) {
		list_del_init(&page->lru);
		/* Pairs with smp_load_acquire() in mirror_fault(). */
		smp_store_release(&mirror->chunks[mirror->nr_chunks++], page_address(page));
	}
	memory_tell_size(mirror);
	return first;
}

/*
 * Allocate chunks, for memory_number(). What fails for want of memory is the caller's failure
 * alone: its cgroup may be full. Returns 0, or -ENOMEM or an error of a limit.
 */
static int memory_get(struct metastore_mirror *mirror, struct list_head *pages, u32 nr)
{
	s64 bytes = (s64)nr * METASTORE_MIRROR_CHUNK;
	int err;

	if (time_before(jiffies, READ_ONCE(mirror->retry)) ||
	    nr > mirror->max_chunks - READ_ONCE(mirror->nr_chunks))
		return -ENOSPC;
	err = metastore_store_charge_mirror(mirror->store, bytes);
	if (err) {
		WRITE_ONCE(mirror->retry, jiffies + RETRY_DELAY);
		return err;
	}
	err = memory_get_pages(pages, nr, GFP_AHEAD);
	if (err)
		metastore_store_charge_mirror(mirror->store, -bytes);
	return err;
}

/* Undo memory_get(), unless the chunks got numbers. */
static void memory_unget(struct metastore_mirror *mirror, struct list_head *pages, u32 nr)
{
	if (list_empty(pages))
		return;
	memory_free_pages(pages);
	metastore_store_charge_mirror(mirror->store, -(s64)nr * METASTORE_MIRROR_CHUNK);
}

static u32 memory_take(struct metastore_mirror_area *area, u32 grains)
{
	u32 at = area->at;

	if (area->end - at < grains)
		return 0;
	area->at = at + grains;
	return at;
}

static void memory_set_area(struct metastore_mirror_area *area, u32 at, u32 grains)
{
	area->at = at;
	area->end = at + grains;
}

/* Note whether the writers are to allocate. */
static void memory_note_hunger(struct metastore_mirror *mirror)
{
	bool full = mirror->nr_chunks == mirror->max_chunks;

	lockdep_assert_held(&mirror->lock);
	WRITE_ONCE(mirror->hungry, !full && mirror->nr_spares < METASTORE_MIRROR_SPARES);
}

/* Bytes of a mirror besides its chunks */
static s64 memory_overhead(const struct metastore_mirror *mirror)
{
	return (s64)mirror->max_chunks * sizeof(*mirror->chunks) +
	       (s64)mirror->store->limits.buckets * sizeof(*mirror->shards);
}

/**
 * metastore_mirror_allocate() - Allocate the first chunks of a mirror
 * @mirror:	the mirror, zeroed but for its store; not published
 * @fixed:	bytes at its start that are not for segments and entries
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or an error of metastore_store_charge_mirror().
 */
int metastore_mirror_allocate(struct metastore_mirror *mirror, u32 fixed)
{
	u64 max = DIV_ROUND_UP(mirror->store->limits.max_bytes, METASTORE_MIRROR_CHUNK);
	u32 nr = DIV_ROUND_UP(fixed + SZ_4K, METASTORE_MIRROR_CHUNK), at;
	s64 bytes;
	LIST_HEAD(pages);
	int err;

	spin_lock_init(&mirror->lock);
	mirror->retry = jiffies;
	mirror->max_chunks = nr + min_t(u64, max, MAX_CHUNKS - nr);
	bytes = (s64)nr * METASTORE_MIRROR_CHUNK + memory_overhead(mirror);
	err = metastore_store_charge_mirror(mirror->store, bytes);
	if (err)
		return err;
	mirror->chunks = kvcalloc(mirror->max_chunks, sizeof(*mirror->chunks), METASTORE_GFP);
	if (!mirror->chunks || memory_get_pages(&pages, nr, METASTORE_GFP)) {
		kvfree(mirror->chunks);
		metastore_store_charge_mirror(mirror->store, -bytes);
		return -ENOMEM;
	}
	spin_lock(&mirror->lock);
	memory_number(mirror, &pages, nr);
	memory_note_hunger(mirror);
	spin_unlock(&mirror->lock);
	/* An area is within one chunk. */
	at = max_t(u32, fixed / METASTORE_MAP_GRAIN, (nr - 1) * METASTORE_CHUNK_GRAINS);
	memory_set_area(&mirror->entries, at, nr * METASTORE_CHUNK_GRAINS - END_GRAINS - at);
	mirror->header = mirror->chunks[0];
	memory_tell_size(mirror);
	return 0;
}

/**
 * metastore_mirror_free() - Undo metastore_mirror_allocate(), and free all that came after
 * @mirror:	the mirror, which nobody uses
 *
 * Context: Process context, may sleep.
 */
void metastore_mirror_free(struct metastore_mirror *mirror)
{
	u32 i;

	for (i = 0; i < mirror->nr_chunks; i++) {
		memory_free_chunk(mirror->chunks[i]);
		cond_resched();
	}
	metastore_store_charge_mirror(mirror->store,
				      -(s64)mirror->nr_chunks * METASTORE_MIRROR_CHUNK -
				      memory_overhead(mirror));
	kvfree(mirror->chunks);
}

/**
 * metastore_mirror_refill() - Allocate memory for entries ahead
 * @mirror:	the mirror
 *
 * Several writers may do so. One that is slow keeps no other waiting.
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error if there is none.
 */
int metastore_mirror_refill(struct metastore_mirror *mirror)
{
	LIST_HEAD(pages);
	int err = memory_get(mirror, &pages, 1);
	u32 at;

	if (err)
		return err;
	spin_lock(&mirror->lock);
	if (mirror->nr_spares < METASTORE_MIRROR_SPARES) {
		at = memory_number(mirror, &pages, 1);
		if (at)
			mirror->spares[mirror->nr_spares++] = at;
	}
	memory_note_hunger(mirror);
	spin_unlock(&mirror->lock);
	memory_unget(mirror, &pages, 1);
	return 0;
}

static u32 memory_take_small_slots(struct metastore_mirror *mirror, u32 grains)
{
	u32 at = memory_take(&mirror->slots, grains);

	lockdep_assert_held(&mirror->lock);
	/* Small stores share one chunk. */
	if (!at && grains < PIECE_GRAINS)
		at = memory_take(&mirror->entries, grains);
	return at;
}

/* Take slots from memory that several segments share. */
static u32 memory_share_slots(struct metastore_mirror *mirror, u32 grains)
{
	LIST_HEAD(pages);
	u32 at;

	spin_lock(&mirror->lock);
	at = memory_take_small_slots(mirror, grains);
	spin_unlock(&mirror->lock);
	if (at || memory_get(mirror, &pages, 1))
		return at;
	spin_lock(&mirror->lock);
	/* Another writer may have added some meanwhile. */
	at = memory_take_small_slots(mirror, grains);
	if (!at) {
		at = memory_number(mirror, &pages, 1);
		if (at)
			memory_set_area(&mirror->slots, at + grains,
					METASTORE_CHUNK_GRAINS - grains);
	}
	spin_unlock(&mirror->lock);
	memory_unget(mirror, &pages, 1);
	return at;
}

/**
 * metastore_mirror_take_slots() - Allocate a segment
 * @mirror:	the mirror
 * @bytes:	its size, a power of two
 *
 * Context: Process context, may sleep.
 * Return: its first grain, or 0. It is zeroed.
 */
u32 metastore_mirror_take_slots(struct metastore_mirror *mirror, u32 bytes)
{
	u32 nr = bytes / METASTORE_MIRROR_CHUNK, at;
	LIST_HEAD(pages);

	if (!nr)
		return memory_share_slots(mirror, bytes / METASTORE_MAP_GRAIN);
	if (memory_get(mirror, &pages, nr))
		return 0;
	spin_lock(&mirror->lock);
	at = memory_number(mirror, &pages, nr);
	spin_unlock(&mirror->lock);
	memory_unget(mirror, &pages, nr);
	return at;
}

/* Make memory for entries that of one class. Returns false if there is none. */
static bool memory_fill_class(struct metastore_mirror *mirror, struct metastore_mirror_class *class)
{
	u32 piece = memory_take(&mirror->entries, PIECE_GRAINS);

	if (!piece && mirror->nr_spares) {
		memory_set_area(&mirror->entries, mirror->spares[--mirror->nr_spares],
				METASTORE_CHUNK_GRAINS - END_GRAINS);
		piece = memory_take(&mirror->entries, PIECE_GRAINS);
	}
	memory_note_hunger(mirror);
	if (piece)
		memory_set_area(&class->fresh, piece, PIECE_GRAINS);
	return piece;
}

static u32 memory_take_entry(struct metastore_mirror *mirror, unsigned int index)
{
	u32 grains = (index + 1) * METASTORE_MAP_CLASS / METASTORE_MAP_GRAIN;
	struct metastore_mirror_class *class = &mirror->classes[index];
	struct metastore_map_entry *entry;
	u32 at = class->free;

	lockdep_assert_held(&mirror->lock);
	if (at) {
		entry = metastore_mirror_at(mirror, at);
		class->free = entry->own;
		return at;
	}
	at = memory_take(&class->fresh, grains);
	if (!at && memory_fill_class(mirror, class))
		at = memory_take(&class->fresh, grains);
	return at;
}

/**
 * metastore_mirror_take_entry() - Take a free entry
 * @mirror:	the mirror
 * @class:	its size in METASTORE_MAP_CLASS, less one, at least; set to what it is
 *
 * Memory that once became entries of one size stays that. Where there is none for others, a
 * larger entry serves as well.
 *
 * Context: Process context, also under a bucket's lock. Takes the mirror's. Allocates nothing,
 * see metastore_mirror_refill().
 * Return: its first grain, or 0. It is zeroed but for @own.
 */
u32 metastore_mirror_take_entry(struct metastore_mirror *mirror, unsigned int *class)
{
	unsigned int i;
	u32 at = 0;

	spin_lock(&mirror->lock);
	for (i = *class; i < METASTORE_MIRROR_CLASSES && !at; i++) {
		at = memory_take_entry(mirror, i);
		*class = i;
	}
	spin_unlock(&mirror->lock);
	return at;
}

/**
 * metastore_mirror_put_entry() - Free an entry
 * @mirror:	the mirror
 * @grain:	its first grain; it is zeroed
 * @class:	as in metastore_mirror_take_entry()
 *
 * Context: Process context, also under a bucket's lock. Takes the mirror's.
 */
void metastore_mirror_put_entry(struct metastore_mirror *mirror, u32 grain, unsigned int class)
{
	struct metastore_map_entry *entry = metastore_mirror_at(mirror, grain);

	spin_lock(&mirror->lock);
	entry->own = mirror->classes[class].free;
	mirror->classes[class].free = grain;
	spin_unlock(&mirror->lock);
}

/* A page enters a program's tables with a reference, so it outlives the mapping. */
static vm_fault_t mirror_fault(struct vm_fault *vmf)
{
	struct metastore_mirror *mirror = vmf->vma->vm_private_data;
	u64 at = (u64)(vmf->pgoff << PAGE_SHIFT) - METASTORE_MAP_STORE;
	u64 chunk = at / METASTORE_MIRROR_CHUNK;
	void *address;

	if (chunk >= mirror->max_chunks)
		return VM_FAULT_SIGBUS;
	/* Pairs with smp_store_release() in memory_number(). */
	address = smp_load_acquire(&mirror->chunks[chunk]);
	if (!address)
		return VM_FAULT_SIGBUS;
	vmf->page = virt_to_page(address + at % METASTORE_MIRROR_CHUNK);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct mirror_vm_ops = {
	.fault = mirror_fault,
};

/**
 * metastore_mirror_mmap() - Map a mirror
 * @mirror:	the mirror; the open file keeps it as long as it is mapped
 * @vma:	the mapping, from METASTORE_MAP_STORE on or behind that
 *
 * Context: Process context, may sleep.
 * Return: 0, or one of
 * -EINVAL: the mapping is private, or goes beyond the mirror's limit;
 * -EACCES: it is writable.
 */
int metastore_mirror_mmap(struct metastore_mirror *mirror, struct vm_area_struct *vma)
{
	u64 begin = (u64)vma->vm_pgoff - (METASTORE_MAP_STORE >> PAGE_SHIFT);
	u64 pages = (u64)mirror->max_chunks * (METASTORE_MIRROR_CHUNK >> PAGE_SHIFT);

	/* Without VM_SHARED if the descriptor cannot be written to. */
	if (!(vma->vm_flags & VM_MAYSHARE) || begin >= pages || vma_pages(vma) > pages - begin)
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;
	metastore_vm_flags_clear(vma, VM_MAYWRITE | VM_MAYEXEC);
	metastore_vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = mirror;
	vma->vm_ops = &mirror_vm_ops;
	return 0;
}
