// SPDX-License-Identifier: GPL-2.0
/*
 * Cache of the memory of freed small values, for reuse by new ones.
 *
 * A writer that keeps changing a key would otherwise allocate each value, have it charged,
 * and have it freed after a grace period. Together these cost more than all the rest. So
 * each CPU keeps the memory of values whose last reference was dropped there.
 *
 * Readers of a table may still use that memory. So it is reused only after a grace period
 * that began later than the drop, and readers never see it change. Each list is sorted by
 * age: if the oldest value may have readers, so may the others.
 *
 * Memory stays charged to the memory cgroup that allocated it, and only that cgroup's
 * tasks reuse it. If the cgroup is removed and its number is reused, the new cgroup's
 * tasks reuse it as well, at the expense of the old one's parent. Each second the cache
 * frees the memory in excess of what was reused in that second. A cgroup that needs memory
 * before gets it back by value_reclaim.c.
 *
 * A CPU uses its lists under a local lock, without an atomic operation. Reclaim interrupts
 * it to take memory out, unless the CPU is in the middle of such use.
 */
#include <linux/spinlock.h> /* first, since local_lock.h does not include it */

#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/kasan.h>
#include <linux/local_lock.h>
#include <linux/memcontrol.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

#include "store/cgroup.h"
#include "store/value.h"
#include "store/value_cache.h"
#include "store/value_reclaim.h"

/*
 * Most values that a CPU keeps: as many as a CPU that does nothing else changes during a
 * grace period of some 10 ms. Small ones take 1 MB, the largest 4 MB.
 */
#define KEEP_MAX	SZ_8K

/* Lists per size, one memory cgroup each, so that several cgroups can share a CPU. */
#define GROUPS		4

/* Values examined under one hold of the lock */
#define KEEP_AT_ONCE	64

/* How often reclaim interrupts a CPU that is busy with its lists, before it goes on */
#define BUSY_TRIES	8

/* Puts per grace period that the cache starts itself, in case nothing else starts one */
#define GRACE_EACH	16

/* How often unneeded memory is freed */
#define TRIM_INTERVAL	HZ

/* Sizes of kmalloc(), so that no memory is wasted. */
static const u16 sizes[] = { 64, 96, 128, 192, 256, METASTORE_CACHED_MAX };

#define NR_LISTS	(ARRAY_SIZE(sizes) * GROUPS)

/*
 * KASAN treats kept memory, except its links, as freed from the end of its grace period
 * until its reuse. So it reports accesses that come too late. If a grace period is taken
 * to be over too early, it reports the readers that remain.
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
 * @first:	oldest value; valid if @nr is not 0
 * @last:	youngest value; valid if @nr is not 0
 * @nr:		number of values
 * @taken:	number of values reused since the last trim
 * @group:	memory cgroup of all the values; valid if @nr is not 0
 */
struct value_cache_list {
	struct metastore_value *first;
	struct metastore_value *last;
	u32 nr;
	u32 taken;
	u16 group;
};

/*
 * @lock:	protects the other members, together with @busy
 * @busy:	whether they are in use. An interrupt leaves them alone then.
 * @nr:		number of values in all lists
 * @kept:	number of puts
 * @over:	cookie of a grace period that is over
 * @lists:	values by size and memory cgroup
 * @clear:	oldest value of each list that is not poisoned, or NULL
 * @trim:	work that frees unneeded memory; pending while there are values
 */
struct value_cache {
	local_lock_t lock;	/* see above */
	bool busy;
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

/* Begin to use this CPU's lists. Ends with value_cache_end(). */
static __always_inline struct value_cache *value_cache_begin(void)
{
	struct value_cache *its;

	local_lock(&value_cache.lock);
	its = this_cpu_ptr(&value_cache);
	WRITE_ONCE(its->busy, true);
	/* For an interrupt of this CPU. */
	barrier();
	return its;
}

static __always_inline void value_cache_end(struct value_cache *its)
{
	barrier();
	WRITE_ONCE(its->busy, false);
	local_unlock(&value_cache.lock);
}

static inline u8 value_cache_class_of(size_t size)
{
	/* Indexed by the size in steps of 32 bytes, rounded up */
	static const u8 classes[] = { 0, 0, 0, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5 };

	return classes[DIV_ROUND_UP(size, 32)];
}

/**
 * metastore_value_cache_class() - Get the smallest class of memory for a size
 * @size:	bytes, at most METASTORE_CACHED_MAX
 *
 * Return: the class.
 */
u8 metastore_value_cache_class(size_t size)
{
	return value_cache_class_of(size);
}

/**
 * metastore_value_cache_size() - Get the size of a class of memory
 * @class:	the class
 *
 * Return: bytes.
 */
size_t metastore_value_cache_size(u8 class)
{
	return sizes[class];
}

/* Check whether a grace period is over. Many values share one, so the last is cached. */
static inline bool value_cache_is_over(struct value_cache *its, unsigned long grace)
{
	if (likely(grace == its->over))
		return true;
	if (!poll_state_synchronize_rcu(grace))
		return false;
	its->over = grace;
	return true;
}

/* Note a value just appended to a list, and not poisoned yet. */
static void value_cache_note_clear(struct value_cache *its, struct value_cache_list *list,
				   struct metastore_value *value)
{
	u32 nr = list - &its->lists[0][0];

	if (!its->clear[nr])
		its->clear[nr] = value;
}

/* Poison the values of a list whose grace period is over. */
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

/* Unpoison the oldest value of a list before it is reused or freed. */
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
 * metastore_value_cache_get() - Reuse kept memory
 * @size:	bytes needed, at most METASTORE_CACHED_MAX
 *
 * Return: memory charged to the current task's memory cgroup, with the node's class and
 * group set, or NULL.
 */
struct metastore_value *metastore_value_cache_get(size_t size)
{
	struct metastore_value *value = NULL;
	u16 group = metastore_current_group();
	struct value_cache_list *list;
	struct value_cache *its;

	its = value_cache_begin();
	list = &its->lists[value_cache_class_of(size)][group % GROUPS];
	if (list->nr && list->group == group && value_cache_is_over(its, list->first->cached.grace))
		value = value_cache_pop(its, list);
	list->taken += !!value;
	value_cache_end(its);
	return value;
}

static __always_inline void value_cache_trim_later(struct value_cache *its)
{
	if (!delayed_work_pending(&its->trim))
		schedule_delayed_work_on(smp_processor_id(), &its->trim, TRIM_INTERVAL);
}

/*
 * Return the cookie of a grace period that begins from here on. One of GRACE_EACH calls
 * starts it, since otherwise none may begin.
 */
static unsigned long value_cache_next_grace(void)
{
	if (__this_cpu_inc_return(value_cache.kept) % GRACE_EACH)
		return get_state_synchronize_rcu();
	return start_poll_synchronize_rcu();
}

/* Append a value, unless the list has values of another memory cgroup or reclaim misses it. */
static bool value_cache_append(struct value_cache *its, struct value_cache_list *list,
			       struct metastore_value *value)
{
	if (!list->nr) {
		if (!metastore_value_reclaim_reaches(value->node.group))
			return false;
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

/* Keep the values that are of a class of this cache, as far as there is room. */
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
 * metastore_value_cache_put() - Keep the memory of freed values
 * @garbage:	values without references; only RCU readers may still use their headers.
 *		Those whose memory is not kept remain in the list.
 *
 * Context: Process context, may sleep.
 */
void metastore_value_cache_put(struct metastore_garbage *garbage)
{
	struct value_cache *its;

	its = value_cache_begin();
	value_cache_keep(its, garbage);
	if (POISONS)
		value_cache_poison_all(its);
	value_cache_trim_later(its);
	value_cache_end(its);
}

/* Free the oldest value of this CPU's list @nr, if it has no readers any more. */
static bool value_cache_free_oldest(u32 nr)
{
	struct metastore_value *value = NULL;
	struct value_cache_list *list;
	struct value_cache *its;

	its = value_cache_begin();
	list = &its->lists[nr / GROUPS][nr % GROUPS];
	if (list->nr && value_cache_is_over(its, list->first->cached.grace))
		value = value_cache_pop(its, list);
	value_cache_end(its);
	kfree(value);
	return value;
}

/* Free at most @most values, since new ones may keep coming. Return the number freed. */
static u32 value_cache_free_some(u32 nr, u32 most)
{
	u32 freed = 0;

	while (freed < most && value_cache_free_oldest(nr)) {
		freed++;
		cond_resched();
	}
	return freed;
}

/* Return the number of a list's values not needed since the last call. */
static u32 value_cache_unneeded(u32 nr)
{
	struct value_cache *its = value_cache_begin();
	struct value_cache_list *list = &its->lists[nr / GROUPS][nr % GROUPS];
	u32 more;

	more = list->nr > list->taken ? list->nr - list->taken : 0;
	list->taken = 0;
	value_cache_end(its);
	return more;
}

static void value_cache_trim(struct work_struct *work)
{
	struct value_cache *its;
	u32 nr;

	for (nr = 0; nr < NR_LISTS; nr++)
		value_cache_free_some(nr, value_cache_unneeded(nr));
	its = value_cache_begin();
	/*
	 * If the work's CPU is offline, this runs on another CPU and trims that one's lists.
	 * That CPU's own work rearms itself.
	 */
	if (its->nr && work == &its->trim.work) {
		/* So all values kept so far can be reused or freed by the next run. */
		start_poll_synchronize_rcu();
		value_cache_trim_later(its);
		if (POISONS)
			value_cache_poison_all(its);
	}
	value_cache_end(its);
}

static inline bool value_cache_is_of(const struct value_cache_list *list, s32 group)
{
	/* Another CPU may look, for which it only has to be about right. */
	return group == METASTORE_CACHED_OF_ALL || data_race(list->group) == group;
}

static u32 value_cache_kept_at(int cpu, s32 group)
{
	struct value_cache *its = per_cpu_ptr(&value_cache, cpu);
	struct value_cache_list *list;
	u32 nr, kept = 0;

	/* A look at another CPU's lists, without its lock, need only be about right. */
	if (!data_race(its->nr))
		return 0;
	for (nr = 0; nr < NR_LISTS; nr++) {
		list = &its->lists[nr / GROUPS][nr % GROUPS];
		if (!value_cache_is_of(list, group))
			continue;
		/* Likewise. */
		kept += data_race(list->nr);
	}
	return kept;
}

/**
 * metastore_value_cache_kept() - Count the values kept for a memory cgroup
 * @group:	its number, or METASTORE_CACHED_OF_ALL
 *
 * Context: Any. Values kept or reused meanwhile may or may not count.
 * Return: number of values on all CPUs.
 */
u32 metastore_value_cache_kept(s32 group)
{
	u32 kept = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		kept += value_cache_kept_at(cpu, group);
	return kept;
}

/*
 * Values that reclaim takes from a CPU
 *
 * @group:	number of their memory cgroup, or METASTORE_CACHED_OF_ALL
 * @most:	how many at most
 * @nr:		how many there are
 * @first:	the first of them
 * @busy:	whether the CPU was busy with its lists
 */
struct value_cache_taken {
	s32 group;
	u32 most;
	u32 nr;
	struct metastore_value *first;
	bool busy;
};

/* Take values without readers from this CPU's lists. Called with interrupts disabled. */
static void value_cache_take_here(void *arg)
{
	struct value_cache *its = this_cpu_ptr(&value_cache);
	struct value_cache_taken *taken = arg;
	struct value_cache_list *list;
	struct metastore_value *value;
	u32 nr;

	taken->busy = READ_ONCE(its->busy);
	for (nr = 0; nr < NR_LISTS && !taken->busy; nr++) {
		list = &its->lists[nr / GROUPS][nr % GROUPS];
		if (!value_cache_is_of(list, taken->group))
			continue;
		while (taken->nr < taken->most && list->nr &&
		       value_cache_is_over(its, list->first->cached.grace)) {
			value = value_cache_pop(its, list);
			value->cached.next = taken->first;
			taken->first = value;
			taken->nr++;
		}
	}
}

/* Free some values of a CPU without readers. Returns how many. */
static u32 value_cache_free_at(int cpu, s32 group, u32 most)
{
	struct value_cache_taken taken = { .group = group, .most = min(most, KEEP_AT_ONCE) };
	struct metastore_value *value;
	int tries = 0;

	/* An offline CPU is not called, as value_cache_cpu_dead() frees all it has. */
	do {
		if (smp_call_function_single(cpu, value_cache_take_here, &taken, true))
			return 0;
	} while (taken.busy && ++tries < BUSY_TRIES);
	while ((value = taken.first)) {
		taken.first = value->cached.next;
		kfree(value);
	}
	return taken.nr;
}

/**
 * metastore_value_cache_free() - Free values kept for a memory cgroup
 * @group:	its number, or METASTORE_CACHED_OF_ALL
 * @most:	how many at most
 *
 * Skips values that may still have readers.
 *
 * Context: Process context, may sleep. Takes no lock, so an allocation under any lock may
 * get here by reclaim.
 * Return: number of values freed, on all CPUs.
 */
u32 metastore_value_cache_free(s32 group, u32 most)
{
	u32 freed = 0, nr;
	int cpu;

	for_each_online_cpu(cpu) {
		while (freed < most && value_cache_kept_at(cpu, group)) {
			nr = value_cache_free_at(cpu, group, most - freed);
			if (!nr)
				break;
			freed += nr;
			cond_resched();
		}
	}
	return freed;
}

/**
 * metastore_value_cache_shrink() - Free memory kept for the current memory cgroup
 *
 * For use when the memory cgroup is full, and reclaim has not freed all.
 *
 * Context: Process context, may sleep.
 * Return: true if any memory was freed.
 */
bool metastore_value_cache_shrink(void)
{
	return metastore_value_cache_free(metastore_current_group(), U32_MAX);
}

static void value_cache_free_list(struct value_cache *its, struct value_cache_list *list)
{
	while (list->nr) {
		kfree(value_cache_pop(its, list));
		cond_resched();
	}
}

/* Free all memory of a CPU that is offline or no longer keeps any. */
static void value_cache_free_all(struct value_cache *its)
{
	u32 nr;

	for (nr = 0; nr < NR_LISTS; nr++)
		value_cache_free_list(its, &its->lists[nr / GROUPS][nr % GROUPS]);
}

/* Free the memory of an offline CPU, since no work runs there to trim it. May sleep. */
static int value_cache_cpu_dead(unsigned int cpu)
{
	struct value_cache *its = per_cpu_ptr(&value_cache, cpu);

	/* Work that runs is on another CPU, and trims that CPU's lists. */
	cancel_delayed_work_sync(&its->trim);
	synchronize_rcu();
	value_cache_free_all(its);
	return 0;
}

static enum cpuhp_state hotplug_state;

/**
 * metastore_value_cache_init() - Initialize the empty caches of all CPUs
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM, or the error of cpuhp_setup_state_nocalls().
 */
int metastore_value_cache_init(void)
{
	int cpu, ret;

	ret = metastore_value_reclaim_init();
	if (ret)
		return ret;
	for_each_possible_cpu(cpu)
		INIT_DELAYED_WORK(&per_cpu_ptr(&value_cache, cpu)->trim, value_cache_trim);
	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "metastore:value_cache", NULL,
					value_cache_cpu_dead);
	if (ret < 0) {
		metastore_value_reclaim_exit();
		return ret;
	}
	hotplug_state = ret;
	return 0;
}

/**
 * metastore_value_cache_exit() - Free all kept memory
 *
 * To be called once no values exist any more.
 *
 * Context: Process context, may sleep.
 */
void metastore_value_cache_exit(void)
{
	int cpu;

	metastore_value_reclaim_exit();
	cpuhp_remove_state_nocalls(hotplug_state);
	for_each_possible_cpu(cpu)
		cancel_delayed_work_sync(&per_cpu_ptr(&value_cache, cpu)->trim);
	synchronize_rcu();
	for_each_possible_cpu(cpu)
		value_cache_free_all(per_cpu_ptr(&value_cache, cpu));
}
