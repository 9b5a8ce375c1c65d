// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of small values that are gone, kept for the next ones.
 *
 * A writer that changes a key again and again would otherwise allocate for each value,
 * be charged for it, and have it freed after a grace period, which together costs more
 * than all the rest. So each CPU keeps the memory of values whose last reference went
 * there. Readers of a table may still be on it: it is used again when the grace period is
 * over that began thereafter, so that they never see it change. The oldest is first; if
 * its readers are not through nor are those of the others.
 *
 * Memory stays charged to the memory cgroup that it was allocated for, and only tasks of
 * that one get it again, or of one that was given its number after it was removed: then
 * that one's parent pays. Of what there is more than was used within a second is freed.
 */
#include <linux/spinlock.h> /* first, since local_lock.h lacks it */

#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/kasan.h>
#include <linux/local_lock.h>
#include <linux/memcontrol.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "store/value.h"
#include "store/value_cache.h"

/*
 * How many a CPU keeps at most: as many as one changes that does nothing else while a
 * grace period passes, some 10 ms. They take a megabyte if they are small, four at most.
 */
#define KEEP_MAX	SZ_8K

/* Lists of a size, of as many memory cgroups, so that a few can use the same CPU. */
#define GROUPS		4

/* Values that are kept under one hold of the lock. */
#define KEEP_AT_ONCE	64

/* After so many times a grace period is begun, in case nobody else does. */
#define GRACE_EACH	16

/* How often what is not needed is freed. */
#define TRIM_INTERVAL	HZ

/* Those of kmalloc(), so that nothing is wasted. */
static const u16 sizes[] = { 64, 96, 128, 192, 256, METASTORE_CACHED_MAX };

#define NR_LISTS	(ARRAY_SIZE(sizes) * GROUPS)

/*
 * KASAN takes memory that is kept for freed, but for its links, from the end of its grace
 * period until its next use. So it reports a use that comes too late. It also reports the
 * readers that are still there, should the period be taken to be over too early.
 */
#if defined(CONFIG_KASAN_GENERIC) && defined(__SANITIZE_ADDRESS__)
#define POISONS		true
#define POISON		0xfb	/* mm/kasan/kasan.h: KASAN_SLAB_FREE */

static void value_cache_set_shadow(struct metastore_value *value, size_t size, u8 shadow)
{
	const size_t links = offsetof(struct metastore_value, refs);

	BUILD_BUG_ON(links % (1 << KASAN_SHADOW_SCALE_SHIFT));
	__memset(kasan_mem_to_shadow((u8 *)value + links), shadow,
		 (size - links) >> KASAN_SHADOW_SCALE_SHIFT);
}
#else
#define POISONS		false
#define POISON		0

static inline void value_cache_set_shadow(struct metastore_value *value, size_t size, u8 shadow) {}
#endif

/*
 * @first:	the oldest
 * @last:	the youngest; both are set if there is any
 * @nr:		their number
 * @taken:	how often one was used since it was last trimmed
 * @group:	whose all of them are, if there are any
 */
struct value_cache_list {
	struct metastore_value *first;
	struct metastore_value *last;
	u32 nr;
	u32 taken;
	u16 group;
};

/*
 * @lock:	protects the rest
 * @nr:		how many all lists have
 * @kept:	how often something was kept
 * @over:	a grace period that is over
 * @lists:	by size and memory cgroup
 * @clear:	the oldest of each list that is not poisoned, or NULL
 * @trim:	frees what is not needed; pending while there is anything
 */
struct value_cache {
	local_lock_t lock;	/* see above */
	u32 nr;
	u32 kept;
	unsigned long over;
	struct value_cache_list lists[ARRAY_SIZE(sizes)][GROUPS];
	struct metastore_value *clear[POISONS ? NR_LISTS : 0];
	struct delayed_work trim;
};

static DEFINE_PER_CPU(struct value_cache, value_cache) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

static inline u8 value_cache_class_of(size_t size)
{
	/* By steps of 32 bytes */
	static const u8 classes[] = { 0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5 };

	return classes[DIV_ROUND_UP(size, 32)];
}

/**
 * metastore_value_cache_class - which class of memory is enough
 * @size:	bytes, at most METASTORE_CACHED_MAX
 */
u8 metastore_value_cache_class(size_t size)
{
	return value_cache_class_of(size);
}

/**
 * metastore_value_cache_size - size of memory, in bytes
 * @class:	its class
 */
size_t metastore_value_cache_size(u8 class)
{
	return sizes[class];
}

static inline u16 value_cache_current_group(void)
{
#ifdef CONFIG_MEMCG
	u16 group;

	rcu_read_lock();
	group = mem_cgroup_id(mem_cgroup_from_css(task_css(current, memory_cgrp_id)));
	rcu_read_unlock();
	return group;
#else
	return 0;
#endif
}

/**
 * metastore_value_cache_group - the memory cgroup of the current task
 *
 * Return: its number, which may be another one's when it is gone.
 */
u16 metastore_value_cache_group(void)
{
	return value_cache_current_group();
}

/* Many have the same grace period. */
static inline bool value_cache_is_over(struct value_cache *its, unsigned long grace)
{
	if (likely(grace == its->over))
		return true;
	if (!poll_state_synchronize_rcu(grace))
		return false;
	its->over = grace;
	return true;
}

/* A value was appended to a list, and is not poisoned yet. */
static void value_cache_note_clear(struct value_cache *its, struct value_cache_list *list,
				   struct metastore_value *value)
{
	u32 nr = list - &its->lists[0][0];

	if (!its->clear[nr])
		its->clear[nr] = value;
}

/* Poisons those of a list whose grace period is over. */
static void value_cache_poison(struct value_cache *its, u32 nr)
{
	struct value_cache_list *list = &its->lists[nr / GROUPS][nr % GROUPS];
	struct metastore_value *value;

	while ((value = its->clear[nr]) && value_cache_is_over(its, value->cached.grace)) {
		its->clear[nr] = value == list->last ? NULL : value->cached.next;
		value_cache_set_shadow(value, sizes[nr / GROUPS], POISON);
	}
}

static void value_cache_poison_all(struct value_cache *its)
{
	u32 nr;

	for (nr = 0; nr < NR_LISTS; nr++)
		value_cache_poison(its, nr);
}

/* The oldest of a list is about to be used or freed. */
static void value_cache_unpoison_first(struct value_cache *its, struct value_cache_list *list)
{
	u32 nr = list - &its->lists[0][0];
	struct metastore_value *value = list->first;

	if (its->clear[nr] == value)
		its->clear[nr] = value == list->last ? NULL : value->cached.next;
	else
		value_cache_set_shadow(value, sizes[nr / GROUPS], 0);
}

static inline struct metastore_value *value_cache_pop(struct value_cache *its,
						      struct value_cache_list *list)
{
	struct metastore_value *value = list->first;

	if (POISONS)
		value_cache_unpoison_first(its, list);
	list->first = value->cached.next;
	list->nr--;
	its->nr--;
	return value;
}

/**
 * metastore_value_cache_get - get memory that was kept
 * @size:	how much, in bytes, at most METASTORE_CACHED_MAX
 *
 * Return: memory that is charged to the current task's memory cgroup, with the node's
 * class and group set; or NULL.
 */
struct metastore_value *metastore_value_cache_get(size_t size)
{
	struct metastore_value *value = NULL;
	u16 group = value_cache_current_group();
	struct value_cache_list *list;
	struct value_cache *its;

	local_lock(&value_cache.lock);
	its = this_cpu_ptr(&value_cache);
	list = &its->lists[value_cache_class_of(size)][group % GROUPS];
	if (list->nr && list->group == group && value_cache_is_over(its, list->first->cached.grace))
		value = value_cache_pop(its, list);
	list->taken += !!value;
	local_unlock(&value_cache.lock);
	return value;
}

static __always_inline void value_cache_trim_later(struct value_cache *its)
{
	if (!delayed_work_pending(&its->trim))
		schedule_delayed_work_on(smp_processor_id(), &its->trim, TRIM_INTERVAL);
}

/* A grace period that began after now; every so often one that is sure to. */
static unsigned long value_cache_next_grace(void)
{
	if (__this_cpu_inc_return(value_cache.kept) % GRACE_EACH)
		return get_state_synchronize_rcu();
	return start_poll_synchronize_rcu();
}

/* Appends a value, if the list is not another group's. */
static bool value_cache_append(struct value_cache *its, struct value_cache_list *list,
			       struct metastore_value *value)
{
	if (!list->nr) {
		list->group = value->node.group;
		list->first = value;
	} else if (list->group == value->node.group) {
		list->last->cached.next = value;
	} else {
		return false;
	}
	list->last = value;
	list->nr++;
	if (POISONS)
		value_cache_note_clear(its, list, value);
	return true;
}

/* Keeps those values of a class of ours that there is room for. */
static void value_cache_keep(struct value_cache *its, struct metastore_garbage *garbage)
{
	struct metastore_value *value, *next, **link = &garbage->first;
	unsigned long grace = value_cache_next_grace();
	struct value_cache_list *list;
	u32 i;

	for (i = 0; i < KEEP_AT_ONCE && (value = *link) && its->nr < KEEP_MAX; i++) {
		u8 class = value->node.class;

		next = value->garbage;
		list = class < ARRAY_SIZE(sizes) ?
		       &its->lists[class][value->node.group % GROUPS] : NULL;
		if (list && value_cache_append(its, list, value)) {
			value->cached.grace = grace;
			its->nr++;
			*link = next;
		} else {
			link = &value->garbage;
		}
	}
}

/**
 * metastore_value_cache_put - keep the memory of values that are gone
 * @garbage:	the values, of which only readers under rcu_read_lock() may still see the
 *		header; those are left in it whose memory is not kept
 *
 * Context: may sleep.
 */
void metastore_value_cache_put(struct metastore_garbage *garbage)
{
	struct value_cache *its;

	local_lock(&value_cache.lock);
	its = this_cpu_ptr(&value_cache);
	value_cache_keep(its, garbage);
	if (POISONS)
		value_cache_poison_all(its);
	value_cache_trim_later(its);
	local_unlock(&value_cache.lock);
}

/* Frees the oldest of this CPU's list of that number, if its readers are through. */
static bool value_cache_free_oldest(u32 nr)
{
	struct metastore_value *value = NULL;
	struct value_cache_list *list;
	struct value_cache *its;

	local_lock(&value_cache.lock);
	its = this_cpu_ptr(&value_cache);
	list = &its->lists[nr / GROUPS][nr % GROUPS];
	if (list->nr && value_cache_is_over(its, list->first->cached.grace))
		value = value_cache_pop(its, list);
	local_unlock(&value_cache.lock);
	kfree(value);
	return value;
}

/* Frees so many, at most: there may always be new ones. Returns how many. */
static u32 value_cache_free_some(u32 nr, u32 most)
{
	u32 freed = 0;

	while (freed < most && value_cache_free_oldest(nr)) {
		freed++;
		cond_resched();
	}
	return freed;
}

static u32 value_cache_kept_of(struct value_cache *its, u32 nr, u16 group)
{
	struct value_cache_list *list = &its->lists[nr / GROUPS][nr % GROUPS];

	return list->group == group ? list->nr : 0;
}

/* How many of a list were not needed since this was last asked. */
static u32 value_cache_unneeded(u32 nr)
{
	struct value_cache_list *list;
	u32 more;

	local_lock(&value_cache.lock);
	list = &this_cpu_ptr(&value_cache)->lists[nr / GROUPS][nr % GROUPS];
	more = list->nr > list->taken ? list->nr - list->taken : 0;
	list->taken = 0;
	local_unlock(&value_cache.lock);
	return more;
}

static void value_cache_trim(struct work_struct *work)
{
	struct value_cache *its;
	u32 nr;

	for (nr = 0; nr < NR_LISTS; nr++)
		value_cache_free_some(nr, value_cache_unneeded(nr));
	local_lock(&value_cache.lock);
	its = this_cpu_ptr(&value_cache);
	/* If its CPU is off this runs on another one, which sees to itself. */
	if (its->nr && work == &its->trim.work) {
		/* By the next time all of them are over. */
		start_poll_synchronize_rcu();
		value_cache_trim_later(its);
		if (POISONS)
			value_cache_poison_all(its);
	}
	local_unlock(&value_cache.lock);
}

/**
 * metastore_value_cache_shrink - free what this CPU keeps for the current task's memory cgroup
 *
 * For when that is full. Memory that readers may still be on is left: that can take long.
 *
 * Context: may sleep.
 * Return: whether there was any.
 */
bool metastore_value_cache_shrink(void)
{
	u16 group = value_cache_current_group();
	u32 nr, kept, freed = 0;

	for (nr = group % GROUPS; nr < NR_LISTS; nr += GROUPS) {
		local_lock(&value_cache.lock);
		kept = value_cache_kept_of(this_cpu_ptr(&value_cache), nr, group);
		local_unlock(&value_cache.lock);
		freed += value_cache_free_some(nr, kept);
	}
	return freed;
}

static void value_cache_free_list(struct value_cache *its, struct value_cache_list *list)
{
	while (list->nr) {
		kfree(value_cache_pop(its, list));
		cond_resched();
	}
}

/* Frees all that a CPU keeps, which is off, or does so no more. */
static void value_cache_free_all(struct value_cache *its)
{
	u32 nr;

	for (nr = 0; nr < NR_LISTS; nr++)
		value_cache_free_list(its, &its->lists[nr / GROUPS][nr % GROUPS]);
}

/* Free the memory that waits for a CPU's next turn, which never comes. May sleep. */
static int value_cache_cpu_dead(unsigned int cpu)
{
	struct value_cache *its = per_cpu_ptr(&value_cache, cpu);

	/* If it runs it is elsewhere, and does there what is to be done there. */
	cancel_delayed_work_sync(&its->trim);
	synchronize_rcu();
	value_cache_free_all(its);
	return 0;
}

static enum cpuhp_state hotplug_state;

/**
 * metastore_value_cache_init - nothing is kept yet
 *
 * Context: may sleep.
 * Return: 0 or what cpuhp_setup_state_nocalls() says.
 */
int metastore_value_cache_init(void)
{
	int cpu, ret;

	for_each_possible_cpu(cpu)
		INIT_DELAYED_WORK(&per_cpu_ptr(&value_cache, cpu)->trim, value_cache_trim);
	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "metastore:value_cache", NULL,
					value_cache_cpu_dead);
	if (ret < 0)
		return ret;
	hotplug_state = ret;
	return 0;
}

/**
 * metastore_value_cache_exit - free all that is kept
 *
 * To be called when there are no values any more.
 *
 * Context: may sleep.
 */
void metastore_value_cache_exit(void)
{
	int cpu;

	cpuhp_remove_state_nocalls(hotplug_state);
	for_each_possible_cpu(cpu)
		cancel_delayed_work_sync(&per_cpu_ptr(&value_cache, cpu)->trim);
	synchronize_rcu();
	for_each_possible_cpu(cpu)
		value_cache_free_all(per_cpu_ptr(&value_cache, cpu));
}
