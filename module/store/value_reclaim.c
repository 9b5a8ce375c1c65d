// SPDX-License-Identifier: GPL-2.0
/*
 * Reclaim of the memory that value_cache.c keeps, when a memory cgroup, or the machine, has
 * none left.
 *
 * The kernel asks a shrinker for memory of one cgroup only if that cgroup has something in
 * a list_lru. To link each kept value there would cost more than the cache saves. So one
 * small mark stands for all that is kept for a cgroup. A writer makes it when it allocates
 * memory in a cgroup that has none. The cache keeps memory of marked cgroups only. A mark
 * goes if nothing was kept for its cgroup at two looks in a row.
 *
 * If a cgroup is removed, the kernel moves its mark to the parent, which is charged for
 * what is kept from then on. A mark says whose values it stands for, so the parent's
 * reclaim frees these. The number of the cgroup may go to a new one, which is told apart
 * by its serial number, and gets a mark of its own.
 */
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/list_lru.h>
#include <linux/memcontrol.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "base/compat.h"
#include "store/value_cache.h"
#include "store/value_reclaim.h"

/* Marks examined under one hold of a lock */
#define AT_ONCE		16

/* Longest wait for readers of what is kept for the cgroup that needs memory, in ticks */
#define WAIT_MAX	DIV_ROUND_UP(HZ, 10)

/* Time between two looks at the marks. Without a mark the next few values are not kept. */
#define REAP_INTERVAL	(10 * HZ)

/* Without the mark nothing is kept, which harms nobody. So it is not worth much reclaim. */
#define MARK_GFP	(GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN)

/* Numbers of the cgroups whose memory may be kept. Changed under @reclaim.lock. */
DECLARE_BITMAP(metastore_value_reclaim_open, METASTORE_GROUPS);

/*
 * @in_lru:	entry in @reclaim.lru, in the list of the cgroup that is charged
 * @in_marks:	entry in @reclaim.marks, or in a list of reclaim_reap_some()
 * @serial:	serial number of the cgroup
 * @group:	its number
 * @idle:	whether nothing was kept for it at the last look. Protected by @reclaim.lock.
 *
 * Memory stays a mark's for an RCU section after the mark is freed.
 */
struct value_mark {
	struct list_head in_lru;
	struct list_head in_marks;
	u64 serial;
	u16 group;
	bool idle;
};

/*
 * @lock:	protects @marks, and changes of @groups
 * @groups:	marks by number of cgroup
 * @marks:	all marks but the root cgroup's
 * @nr_marks:	how many; protected by @lock
 * @removals:	how often a mark was removed
 * @lru:	marks by the cgroup that is charged
 * @ready:	whether @lru is in use
 */
static struct {
	struct mutex lock;	/* see above */
	struct xarray groups;
	struct list_head marks;
	u32 nr_marks;
	atomic64_t removals;
	struct list_lru lru;
	bool ready;
	struct shrinker *shrinker;
	struct kmem_cache *cache;
	struct delayed_work reap;
} reclaim = {
	.lock = __MUTEX_INITIALIZER(reclaim.lock),
	.groups = XARRAY_INIT(reclaim.groups, 0),
	.marks = LIST_HEAD_INIT(reclaim.marks),
};

/* The root cgroup is charged for nothing and reclaims all there is. */
static struct value_mark root_mark;

/*
 * The cgroup for which this CPU found a mark last, and after how many removals of marks.
 * @serial is 0, as no cgroup's is, if there is none.
 */
struct value_marked {
	u64 serial;
	s64 removals;
};

static DEFINE_PER_CPU(struct value_marked, value_marked);

struct value_group {
	u64 serial;
	u16 number;
};

#ifdef CONFIG_MEMCG
static inline struct value_group reclaim_current_group(void)
{
	struct cgroup_subsys_state *css;
	struct value_group group;

	rcu_read_lock();
	css = task_css(current, memory_cgrp_id);
	group.serial = css->serial_nr;
	group.number = mem_cgroup_id(mem_cgroup_from_css(css));
	rcu_read_unlock();
	return group;
}

static struct value_group reclaim_root_group(void)
{
	struct cgroup_subsys_state *css;
	struct value_group group;

	rcu_read_lock();
	for (css = task_css(current, memory_cgrp_id); css->parent; css = css->parent)
		;
	group.serial = css->serial_nr;
	group.number = mem_cgroup_id(mem_cgroup_from_css(css));
	rcu_read_unlock();
	return group;
}

/* Reclaim for the whole machine asks for the root cgroup, or for none if it knows of none. */
static bool reclaim_is_of_all(struct shrink_control *sc)
{
	return !sc->memcg || mem_cgroup_disabled() || !sc->memcg->css.parent;
}
#else
static inline struct value_group reclaim_current_group(void)
{
	return (struct value_group) { .serial = 1 };
}

static struct value_group reclaim_root_group(void)
{
	return reclaim_current_group();
}

static bool reclaim_is_of_all(struct shrink_control *sc)
{
	return true;
}
#endif

static inline bool reclaim_is_marked(const struct value_group *group)
{
	const struct value_mark *mark;
	bool marked;

	rcu_read_lock();
	mark = xa_load(&reclaim.groups, group->number);
	/* The mark may be another one by now. If it has this serial number, all is well. */
	marked = mark && READ_ONCE(mark->serial) == group->serial;
	rcu_read_unlock();
	return marked;
}

/* Check whether a cgroup has a mark. If so, a next check on this CPU is cheap. */
static inline bool reclaim_is_known_here(const struct value_group *group)
{
	struct value_marked *marked;
	s64 removals;
	bool known;

	preempt_disable();
	marked = this_cpu_ptr(&value_marked);
	/* The number first. Pairs with reclaim_remove(). */
	removals = atomic64_read_acquire(&reclaim.removals);
	known = marked->serial == group->serial && marked->removals == removals;
	if (unlikely(!known) && reclaim_is_marked(group)) {
		marked->serial = group->serial;
		marked->removals = removals;
		known = true;
	}
	preempt_enable();
	return known;
}

static void reclaim_remove(struct value_mark *mark)
{
	lockdep_assert_held(&reclaim.lock);
	list_del(&mark->in_marks);
	reclaim.nr_marks--;
	list_lru_del_obj(&reclaim.lru, &mark->in_lru);
	/* After the mark left @groups. Pairs with reclaim_is_known_here(). */
	atomic64_inc_return(&reclaim.removals);
	kmem_cache_free(reclaim.cache, mark);
}

/* Enter a mark in place of one that the number's cgroup of before has left. */
static bool reclaim_add(struct value_mark *mark)
{
	struct value_mark *old;

	lockdep_assert_held(&reclaim.lock);
	old = xa_store(&reclaim.groups, mark->group, mark, GFP_NOWAIT | __GFP_NOWARN);
	if (xa_is_err(old))
		return false;
	if (old)
		reclaim_remove(old);
	list_add_tail(&mark->in_marks, &reclaim.marks);
	reclaim.nr_marks++;
	list_lru_add_obj(&reclaim.lru, &mark->in_lru);
	set_bit(mark->group, metastore_value_reclaim_open);
	return true;
}

/* Mark the cgroup of the current task, unless it has a mark or gets no memory for one. */
static noinline void reclaim_mark(const struct value_group *group)
{
	struct value_mark *mark = kmem_cache_alloc_lru(reclaim.cache, &reclaim.lru, MARK_GFP);
	bool added = false;

	if (!mark)
		return;
	INIT_LIST_HEAD(&mark->in_lru);
	mark->group = group->number;
	mark->idle = false;
	WRITE_ONCE(mark->serial, group->serial);
	/*
	 * Do not wait for another writer, which may be descheduled: without a mark nothing is
	 * kept. If the task has been moved since, another cgroup is charged for the mark.
	 */
	if (mutex_trylock(&reclaim.lock)) {
		if (reclaim_current_group().serial == group->serial && !reclaim_is_marked(group))
			added = reclaim_add(mark);
		mutex_unlock(&reclaim.lock);
	}
	if (added)
		queue_delayed_work(system_unbound_wq, &reclaim.reap, REAP_INTERVAL);
	else
		kmem_cache_free(reclaim.cache, mark);
}

/**
 * metastore_value_reclaim_group() - Get the memory cgroup of the current task, and mark it
 *
 * To be called after an allocation whose memory may be kept later.
 *
 * Context: Process context, may sleep.
 * Return: its number, which another cgroup may get once this one is removed.
 */
u16 metastore_value_reclaim_group(void)
{
	struct value_group group = reclaim_current_group();

	if (unlikely(!reclaim_is_known_here(&group)))
		reclaim_mark(&group);
	return group.number;
}

/* Move some marks of idle cgroups to a list, and let nothing be kept for these. */
static void reclaim_close_some(struct list_head *idle, u32 nr)
{
	struct value_mark *mark;
	bool kept;

	lockdep_assert_held(&reclaim.lock);
	for (nr = min(nr, reclaim.nr_marks); nr; nr--) {
		mark = list_first_entry_or_null(&reclaim.marks, struct value_mark, in_marks);
		if (!mark)
			return;
		kept = metastore_value_cache_kept(mark->group);
		if (kept || !mark->idle) {
			list_move_tail(&mark->in_marks, &reclaim.marks);
		} else {
			list_move_tail(&mark->in_marks, idle);
			clear_bit(mark->group, metastore_value_reclaim_open);
		}
		mark->idle = !kept;
	}
}

/* Remove closed marks, except those for which memory was kept just before. */
static void reclaim_remove_closed(struct list_head *idle)
{
	struct value_mark *mark, *next;

	lockdep_assert_held(&reclaim.lock);
	list_for_each_entry_safe(mark, next, idle, in_marks) {
		if (metastore_value_cache_kept(mark->group)) {
			list_move_tail(&mark->in_marks, &reclaim.marks);
			set_bit(mark->group, metastore_value_reclaim_open);
		} else {
			xa_erase(&reclaim.groups, mark->group);
			reclaim_remove(mark);
		}
	}
}

static void reclaim_reap_some(void)
{
	LIST_HEAD(idle);

	mutex_lock(&reclaim.lock);
	reclaim_close_some(&idle, AT_ONCE);
	mutex_unlock(&reclaim.lock);
	if (list_empty(&idle))
		return;
	/* A CPU that found a mark open has put the memory in its lists by then. */
	synchronize_rcu();
	mutex_lock(&reclaim.lock);
	reclaim_remove_closed(&idle);
	mutex_unlock(&reclaim.lock);
}

/* Look at all marks, and remove those of idle cgroups. */
static void reclaim_reap(struct work_struct *work)
{
	u32 left = READ_ONCE(reclaim.nr_marks);

	for (; left; left -= min_t(u32, left, AT_ONCE)) {
		reclaim_reap_some();
		cond_resched();
	}
	if (READ_ONCE(reclaim.nr_marks))
		queue_delayed_work(system_unbound_wq, &reclaim.reap, REAP_INTERVAL);
}

/* Some cgroups whose kept memory is charged to the one that is to give memory back */
struct value_groups {
	u32 nr;
	s32 numbers[AT_ONCE];
};

static METASTORE_LRU_WALK(reclaim_note_group)
{
	struct value_groups *groups = arg;
	struct value_mark *mark = container_of(item, struct value_mark, in_lru);

	groups->numbers[groups->nr++] = mark->group;
	/* So that all have their turn */
	return LRU_ROTATE;
}

static void reclaim_find_groups(struct shrink_control *sc, struct value_groups *groups)
{
	unsigned long nr;

	groups->nr = 0;
	/* Pairs with metastore_value_reclaim_init(). */
	if (!smp_load_acquire(&reclaim.ready))
		return;
	if (reclaim_is_of_all(sc)) {
		groups->numbers[groups->nr++] = METASTORE_CACHED_OF_ALL;
		return;
	}
	nr = min_t(unsigned long, AT_ONCE, list_lru_count_one(&reclaim.lru, sc->nid, sc->memcg));
	if (nr)
		list_lru_walk_one(&reclaim.lru, sc->nid, sc->memcg, reclaim_note_group, groups,
				  &nr);
}

static unsigned long reclaim_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	struct value_groups groups;
	unsigned long kept = 0;
	u32 i;

	reclaim_find_groups(sc, &groups);
	for (i = 0; i < groups.nr; i++)
		kept += metastore_value_cache_kept(groups.numbers[i]);
	/* SHRINK_EMPTY would be remembered, and nothing says when there is some again. */
	return kept;
}

static u32 reclaim_free(const struct value_groups *groups, u32 most)
{
	u32 i, freed = 0;

	for (i = 0; i < groups->nr && freed < most; i++)
		freed += metastore_value_cache_free(groups->numbers[i], most - freed);
	return freed;
}

/*
 * Check whether the current task needs memory of a cgroup for which some is kept. Only such
 * a task waits for readers. Others would wait for as long as the cgroup's tasks want.
 */
static bool reclaim_is_for_own(const struct value_groups *groups)
{
	u16 own = reclaim_current_group().number;
	u32 i;

	if (current->flags & PF_KTHREAD)
		return false;
	for (i = 0; i < groups->nr; i++)
		if (groups->numbers[i] == own)
			return metastore_value_cache_kept(own);
	return false;
}

/* Wait until what is kept by now has no readers, but not for long. */
static void reclaim_await_readers(void)
{
	unsigned long grace = start_poll_synchronize_rcu();
	u32 ticks;

	for (ticks = 0; ticks < WAIT_MAX && !poll_state_synchronize_rcu(grace); ticks++)
		if (schedule_timeout_killable(1))
			return;
}

static unsigned long reclaim_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	u32 most = min_t(unsigned long, sc->nr_to_scan, U32_MAX), freed;
	struct value_groups groups;

	reclaim_find_groups(sc, &groups);
	freed = reclaim_free(&groups, most);
	if (!freed && reclaim_is_for_own(&groups)) {
		reclaim_await_readers();
		freed = reclaim_free(&groups, most);
	}
	return freed ?: SHRINK_STOP;
}

static int reclaim_mark_root(void)
{
	struct value_group group = reclaim_root_group();
	void *old;

	root_mark.serial = group.serial;
	root_mark.group = group.number;
	old = xa_store(&reclaim.groups, group.number, &root_mark, GFP_KERNEL);
	if (xa_is_err(old))
		return xa_err(old);
	set_bit(group.number, metastore_value_reclaim_open);
	return 0;
}

/**
 * metastore_value_reclaim_init() - Let the kernel get kept memory back
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_value_reclaim_init(void)
{
	int err = reclaim_mark_root();

	if (err)
		return err;
	INIT_DELAYED_WORK(&reclaim.reap, reclaim_reap);
	err = -ENOMEM;
	reclaim.cache = kmem_cache_create("metastore_mark", sizeof(struct value_mark), 0,
					  SLAB_TYPESAFE_BY_RCU | SLAB_ACCOUNT, NULL);
	if (!reclaim.cache)
		goto free_groups;
	reclaim.shrinker = metastore_shrinker_create("metastore", reclaim_count, reclaim_scan);
	if (!reclaim.shrinker)
		goto destroy_cache;
	err = list_lru_init_memcg(&reclaim.lru, reclaim.shrinker);
	if (err)
		goto free_shrinker;
	/* Pairs with reclaim_find_groups(). */
	smp_store_release(&reclaim.ready, true);
	return 0;

free_shrinker:
	metastore_shrinker_free(reclaim.shrinker);
destroy_cache:
	kmem_cache_destroy(reclaim.cache);
free_groups:
	xa_destroy(&reclaim.groups);
	return err;
}

/**
 * metastore_value_reclaim_exit() - Undo metastore_value_reclaim_init()
 *
 * To be called once no values exist any more.
 *
 * Context: Process context, may sleep.
 */
void metastore_value_reclaim_exit(void)
{
	struct value_mark *mark, *next;

	metastore_shrinker_free(reclaim.shrinker);
	cancel_delayed_work_sync(&reclaim.reap);
	mutex_lock(&reclaim.lock);
	list_for_each_entry_safe(mark, next, &reclaim.marks, in_marks)
		reclaim_remove(mark);
	mutex_unlock(&reclaim.lock);
	list_lru_destroy(&reclaim.lru);
	kmem_cache_destroy(reclaim.cache);
	xa_destroy(&reclaim.groups);
}
