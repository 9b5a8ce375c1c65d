// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a mirror: chunks, what is made of them, and how programs map them.
 *
 * Writers allocate ahead, before they lock a bucket. Under that lock they only try, so a
 * change never fails for want of memory here: its key then has no entry.
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

/* How long to go without memory after a failure, since each try may reclaim some. */
#define RETRY_DELAY	(HZ / 10)

/* Readers look at so many bytes of each entry, which are there. */
#define END_GRAINS	(METASTORE_MAP_LARGEST / METASTORE_MAP_GRAIN)

#define GFP_AHEAD	(GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN)
#define GFP_LOCKED	(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)

static void memory_free_chunk(void *chunk)
{
	__free_pages(virt_to_page(chunk), CHUNK_ORDER);
}

static void memory_free_pages(struct list_head *pages)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, pages, lru)
		__free_pages(page, CHUNK_ORDER);
}

/* Allocate chunks that have no numbers yet. Returns 0 or -ENOMEM. */
static int memory_get_pages(struct list_head *pages, u32 nr, gfp_t gfp)
{
	struct page *page;

	while (nr--) {
		page = alloc_pages(gfp | __GFP_ZERO | __GFP_COMP, CHUNK_ORDER);
		if (!page) {
			memory_free_pages(pages);
			return -ENOMEM;
		}
		list_add(&page->lru, pages);
		if (gfpflags_allow_blocking(gfp))
			cond_resched();
	}
	return 0;
}

static void memory_tell_size(struct metastore_mirror *mirror)
{
	if (mirror->header)
		WRITE_ONCE(mirror->header->size,
			   mirror->retired ? 0 : (u64)mirror->nr_chunks * METASTORE_MIRROR_CHUNK);
}

/**
 * metastore_mirror_set_retired() - Let readers ask the kernel, or no longer
 * @mirror:	the mirror
 * @retired:	which
 */
void metastore_mirror_set_retired(struct metastore_mirror *mirror, bool retired)
{
	spin_lock(&mirror->lock);
	mirror->retired = retired;
	memory_tell_size(mirror);
	spin_unlock(&mirror->lock);
}

/* Give chunks adjacent numbers. Returns the first one's grain, or 0 if there are too many. */
static u32 memory_number(struct metastore_mirror *mirror, struct list_head *pages, u32 nr)
{
	struct page *page, *next;
	u32 first = 0;

	spin_lock(&mirror->lock);
	if (nr <= mirror->max_chunks - mirror->nr_chunks) {
		first = mirror->nr_chunks * METASTORE_CHUNK_GRAINS;
		list_for_each_entry_safe(page, next, pages, lru) {
			list_del_init(&page->lru);
			/* Pairs with smp_load_acquire() in mirror_fault(). */
			smp_store_release(&mirror->chunks[mirror->nr_chunks++],
					  page_address(page));
		}
		memory_tell_size(mirror);
	}
	spin_unlock(&mirror->lock);
	return first;
}

/*
 * Add adjacent chunks. Returns the first one's grain, or 0: without memory, or if a limit
 * refuses it.
 */
static u32 memory_add(struct metastore_mirror *mirror, u32 nr, gfp_t gfp)
{
	s64 bytes = (s64)nr * METASTORE_MIRROR_CHUNK;
	LIST_HEAD(pages);
	u32 first;

	if (time_before(jiffies, READ_ONCE(mirror->retry)) ||
	    nr > mirror->max_chunks - READ_ONCE(mirror->nr_chunks))
		return 0;
	if (metastore_store_charge_mirror(mirror->store, bytes))
		goto fail;
	if (memory_get_pages(&pages, nr, gfp))
		goto uncharge;
	first = memory_number(mirror, &pages, nr);
	if (first)
		return first;
	memory_free_pages(&pages);
uncharge:
	metastore_store_charge_mirror(mirror->store, -bytes);
fail:
	WRITE_ONCE(mirror->retry, jiffies + RETRY_DELAY);
	return 0;
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
	bytes = (s64)nr * METASTORE_MIRROR_CHUNK + mirror->max_chunks * sizeof(*mirror->chunks);
	err = metastore_store_charge_mirror(mirror->store, bytes);
	if (err)
		return err;
	mirror->chunks = kvcalloc(mirror->max_chunks, sizeof(*mirror->chunks), METASTORE_GFP);
	if (!mirror->chunks || memory_get_pages(&pages, nr, METASTORE_GFP)) {
		kvfree(mirror->chunks);
		metastore_store_charge_mirror(mirror->store, -bytes);
		return -ENOMEM;
	}
	memory_number(mirror, &pages, nr);
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
				      -(s64)(mirror->nr_chunks * (u64)METASTORE_MIRROR_CHUNK +
					     mirror->max_chunks * sizeof(*mirror->chunks)));
	kvfree(mirror->chunks);
}

/* Take a further chunk for entries. Another writer's is given up, if there is one. */
static void memory_set_spare(struct metastore_mirror *mirror, u32 chunk)
{
	lockdep_assert_held(&mirror->lock);
	mirror->spare = chunk;
	WRITE_ONCE(mirror->hungry, false);
}

/**
 * metastore_mirror_refill() - Allocate memory for entries ahead
 * @mirror:	the mirror, which is hungry
 *
 * Context: Process context, may sleep.
 */
void metastore_mirror_refill(struct metastore_mirror *mirror)
{
	u32 chunk;

	if (test_and_set_bit_lock(0, &mirror->refilling))
		return;
	chunk = READ_ONCE(mirror->hungry) ? memory_add(mirror, 1, GFP_AHEAD) : 0;
	if (chunk) {
		spin_lock(&mirror->lock);
		memory_set_spare(mirror, chunk);
		spin_unlock(&mirror->lock);
	}
	clear_bit_unlock(0, &mirror->refilling);
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
	u32 grains = bytes / METASTORE_MAP_GRAIN, at;

	if (bytes >= METASTORE_MIRROR_CHUNK)
		return memory_add(mirror, bytes / METASTORE_MIRROR_CHUNK, GFP_AHEAD);
	spin_lock(&mirror->lock);
	at = memory_take(&mirror->slots, grains);
	/* Small stores share one chunk. */
	if (!at && bytes < SZ_4K)
		at = memory_take(&mirror->entries, grains);
	spin_unlock(&mirror->lock);
	if (at)
		return at;
	at = memory_add(mirror, 1, GFP_AHEAD);
	if (!at)
		return 0;
	/* What another writer added meanwhile is given up, if it added any. */
	spin_lock(&mirror->lock);
	memory_set_area(&mirror->slots, at + grains, METASTORE_CHUNK_GRAINS - grains);
	spin_unlock(&mirror->lock);
	return at;
}

/* Make memory for entries that of one class. Returns false if there is none. */
static bool memory_fill_class(struct metastore_mirror *mirror, struct metastore_mirror_class *class)
{
	u32 piece = memory_take(&mirror->entries, PIECE_GRAINS);

	if (!piece && mirror->spare) {
		memory_set_area(&mirror->entries, mirror->spare,
				METASTORE_CHUNK_GRAINS - END_GRAINS);
		mirror->spare = 0;
		piece = memory_take(&mirror->entries, PIECE_GRAINS);
	}
	if (!mirror->spare && mirror->entries.end - mirror->entries.at < METASTORE_CHUNK_GRAINS / 4)
		WRITE_ONCE(mirror->hungry, true);
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
 * metastore_mirror_take_entry() - Allocate an entry
 * @mirror:	the mirror
 * @class:	its size in METASTORE_MAP_CLASS, less one
 *
 * Context: Caller holds the bucket's lock.
 * Return: its first grain, or 0. It is zeroed but for @own.
 */
u32 metastore_mirror_take_entry(struct metastore_mirror *mirror, unsigned int class)
{
	u32 at, chunk;

	spin_lock(&mirror->lock);
	at = memory_take_entry(mirror, class);
	spin_unlock(&mirror->lock);
	if (likely(at))
		return at;
	chunk = memory_add(mirror, 1, GFP_LOCKED);
	if (!chunk)
		return 0;
	spin_lock(&mirror->lock);
	memory_set_spare(mirror, chunk);
	at = memory_take_entry(mirror, class);
	spin_unlock(&mirror->lock);
	return at;
}

/**
 * metastore_mirror_put_entry() - Free an entry
 * @mirror:	the mirror
 * @grain:	its first grain; it is zeroed
 * @class:	as in metastore_mirror_take_entry()
 *
 * Context: Caller holds the bucket's lock.
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
