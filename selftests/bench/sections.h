/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Measures the module's sections: each stretch with a spinlock held, in an RCU section,
 * with preemption off, in a wake-up, or with a mutex held. For a build of the module of
 * its own that includes this ahead of each of its sources, which stay as they are: see
 * latency_module() in run.
 *
 * A section begins where the first lock is taken and ends where the last one is released.
 * Its interrupts are off: so nothing but the module runs in it, and the virtual machine,
 * whose one CPU has a clock that counts instructions, tells its length exactly. The
 * cost of measuring is measured first and taken off; the compiler may still have done
 * one thing or another in another way, which is some instructions. The holder of a mutex may
 * sleep and be interrupted, which counts, as does the measure of sections in between.
 *
 * /sys/module/metastore/parameters/sections has a line for each place where a section
 * began, the longest first, and forgets all when it is written to:
 *
 *	how instructions function:line code function:line	(separated by tabs)
 *
 * with the lock's kind and place, the function it is compiled into, and the place of the
 * release.
 */
#ifndef METASTORE_SECTIONS_H
#define METASTORE_SECTIONS_H

#include <linux/irqflags.h>
#include <linux/local_lock.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timex.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/**
 * struct sections_held - the section under way
 * @depth:	locks held
 * @inner:	locks taken within the section, the first one left out
 */
struct sections_held {
	unsigned int depth;
	unsigned int inner;
};

extern struct sections_held sections_held;

void sections_open(const char *how, const char *function, unsigned int line);
void sections_close(const char *function, unsigned int line);
void sections_mutex_taken(const char *function, unsigned int line);
void sections_mutex_released(const char *function, unsigned int line);

static __always_inline void sections_enter(const char *how, const char *function,
					   unsigned int line)
{
	sections_held.inner++;
	if (!sections_held.depth++)
		sections_open(how, function, line);
}

static __always_inline void sections_leave(const char *function, unsigned int line)
{
	if (!--sections_held.depth)
		sections_close(function, line);
}

#ifdef METASTORE_SECTIONS_KEEPER

/* Places where sections begin; inner locks by which the measure is measured. */
#define SECTIONS_PLACES	128
#define SECTIONS_INNER	1000

/* Mutexes that are held at once */
#define SECTIONS_MUTEXES	16

/* A place where sections begin, with the longest that did. */
static struct sections_place {
	const char *how, *function, *until;
	unsigned int line, until_line;
	unsigned long code;
	u64 longest;
} sections_places[SECTIONS_PLACES];

/* The section under way: its place, its clock, the interrupts as they were. */
static struct {
	struct sections_place place;
	unsigned long flags;
	u64 start;
} sections_now;

/* The mutexes that are held, with their holders. */
static struct sections_mutex {
	struct task_struct *task;
	struct sections_place place;
	u64 start;
} sections_mutexes[SECTIONS_MUTEXES];

/* The measure's own cost: of each section, of a thousand inner locks. */
static u64 sections_own, sections_own_inner;

/* How long the last one took, cost of the measure included. */
static u64 sections_last;

struct sections_held sections_held;

noinline void sections_open(const char *how, const char *function, unsigned int line)
{
	unsigned long flags;

	local_irq_save(flags);
	sections_now.place = (struct sections_place) {
		.how = how,
		.function = function,
		.line = line,
		.code = _RET_IP_,
	};
	sections_now.flags = flags;
	sections_held.inner = 0;
	sections_now.start = get_cycles();
}

/* The entry of the section's place, or a free one. The last is that of all further places. */
static struct sections_place *sections_find(const struct sections_place *now)
{
	struct sections_place *place = sections_places;
	unsigned int i;

	for (i = 1; i < SECTIONS_PLACES && place->how; i++, place++)
		if (place->function == now->function && place->line == now->line &&
		    place->code == now->code)
			break;
	return place;
}

static void sections_note(const struct sections_place *now, u64 took, const char *function,
			  unsigned int line)
{
	struct sections_place *place = sections_find(now);

	if (place->how && took <= place->longest)
		return;
	*place = *now;
	place->longest = took;
	place->until = function;
	place->until_line = line;
}

noinline void sections_close(const char *function, unsigned int line)
{
	u64 took = get_cycles() - sections_now.start;
	u64 own = sections_own + div_u64(sections_own_inner * sections_held.inner,
					 SECTIONS_INNER);

	sections_last = took;
	sections_note(&sections_now.place, took - min(took, own), function, line);
	local_irq_restore(sections_now.flags);
}

static struct sections_mutex *sections_mutex_of(const struct task_struct *task)
{
	struct sections_mutex *mutex = sections_mutexes;

	while (mutex < sections_mutexes + SECTIONS_MUTEXES && mutex->task != task)
		mutex++;
	return mutex < sections_mutexes + SECTIONS_MUTEXES ? mutex : NULL;
}

noinline void sections_mutex_taken(const char *function, unsigned int line)
{
	struct sections_mutex *mutex = sections_mutex_of(NULL);

	if (WARN_ON(!mutex || sections_mutex_of(current)))
		return;
	*mutex = (struct sections_mutex) {
		.task = current,
		.place = {
			.how = "mutex",
			.function = function,
			.line = line,
			.code = _RET_IP_,
		},
		.start = get_cycles(),
	};
}

noinline void sections_mutex_released(const char *function, unsigned int line)
{
	u64 now = get_cycles();
	struct sections_mutex *mutex = sections_mutex_of(current);
	unsigned long flags;

	if (WARN_ON(!mutex))
		return;
	local_irq_save(flags);
	sections_note(&mutex->place, now - mutex->start, function, line);
	mutex->task = NULL;
	local_irq_restore(flags);
}

/* The length of a section with a loop, of inner locks or of nothing. */
static u64 sections_try(unsigned int locks, bool inner)
{
	sections_enter("measure", __func__, __LINE__);
	for (; locks; locks--) {
		if (inner) {
			sections_enter("measure", __func__, __LINE__);
			sections_leave(__func__, __LINE__);
		}
		barrier();
	}
	sections_leave(__func__, __LINE__);
	return sections_last;
}

static int sections_forget(const char *text, const struct kernel_param *param)
{
	sections_own = sections_try(0, false);
	sections_own_inner = sections_try(SECTIONS_INNER, true) -
			     sections_try(SECTIONS_INNER, false);
	memset(sections_places, 0, sizeof(sections_places));
	return 0;
}

static int sections_show(char *page, const struct kernel_param *param)
{
	const struct sections_place *place, *longest;
	DECLARE_BITMAP(shown, SECTIONS_PLACES) = {};
	int len = 0;

	do {
		longest = NULL;
		for (place = sections_places; place < sections_places + SECTIONS_PLACES; place++)
			if (place->how && !test_bit(place - sections_places, shown) &&
			    (!longest || place->longest > longest->longest))
				longest = place;
		if (!longest)
			break;
		__set_bit(longest - sections_places, shown);
		len += scnprintf(page + len, PAGE_SIZE - len, "%s\t%llu\t%s:%u\t%ps\t%s:%u\n",
				 longest->how, longest->longest, longest->function, longest->line,
				 (void *)longest->code, longest->until, longest->until_line);
	} while (len < PAGE_SIZE - 1);
	return len;
}

static const struct kernel_param_ops sections_ops = {
	.set = sections_forget,
	.get = sections_show,
};

module_param_cb(sections, &sections_ops, NULL, 0600);
MODULE_PARM_DESC(sections, "the longest sections, see sections.h");

#endif /* METASTORE_SECTIONS_KEEPER */

/* A macro can be called by its own name only from a function ahead of its redefinition. */
static __always_inline void sections_preempt_disable(void)
{
	preempt_disable();
}

static __always_inline void sections_preempt_enable(void)
{
	preempt_enable();
}

#define SECTIONS_ENTER(how, call) \
	({ sections_enter(how, __func__, __LINE__); call; })
#define SECTIONS_LEAVE(call) \
	({ call; sections_leave(__func__, __LINE__); })
#define SECTIONS_TRY(how, call) \
	({ \
		bool _done; \
		sections_enter(how, __func__, __LINE__); \
		_done = call; \
		if (!_done) \
			sections_leave(__func__, __LINE__); \
		_done; \
	})

#undef local_lock
#undef local_unlock
#undef preempt_disable
#undef preempt_enable
#undef spin_lock_irqsave
#undef spin_lock_nest_lock

#define spin_lock(lock)		SECTIONS_ENTER("spinlock", spin_lock(lock))
#define spin_lock_nest_lock(lock, nest_lock) \
	SECTIONS_ENTER("spinlock", raw_spin_lock_nest_lock(spinlock_check(lock), nest_lock))
#define spin_lock_irq(lock)	SECTIONS_ENTER("spinlock", (spin_lock)(lock))
#define spin_unlock_irq(lock)	SECTIONS_LEAVE((spin_unlock)(lock))
#define spin_lock_irqsave(lock, flags) \
	SECTIONS_ENTER("spinlock", raw_spin_lock_irqsave(spinlock_check(lock), flags))
#define spin_unlock_irqrestore(lock, flags) \
	SECTIONS_LEAVE(spin_unlock_irqrestore(lock, flags))
#define spin_trylock(lock)	SECTIONS_TRY("spinlock", spin_trylock(lock))
#define spin_unlock(lock)	SECTIONS_LEAVE(spin_unlock(lock))
#define local_lock(lock)	SECTIONS_ENTER("local_lock", __local_lock(lock))
#define local_unlock(lock)	SECTIONS_LEAVE(__local_unlock(lock))
#define rcu_read_lock()		SECTIONS_ENTER("RCU", rcu_read_lock())
#define rcu_read_unlock()	SECTIONS_LEAVE(rcu_read_unlock())
#define rcu_read_lock_sched()	SECTIONS_ENTER("RCU", rcu_read_lock_sched())
#define rcu_read_unlock_sched()	SECTIONS_LEAVE(rcu_read_unlock_sched())
#define preempt_disable()	SECTIONS_ENTER("preemption", sections_preempt_disable())
#define preempt_enable()	SECTIONS_LEAVE(sections_preempt_enable())

/* All wake-ups are this one: it holds the lock of the queue while it goes through it. */
#define __wake_up(...)		\
	({ \
		int _woken; \
		sections_enter("wake-up", __func__, __LINE__); \
		_woken = (__wake_up)(__VA_ARGS__); \
		sections_leave(__func__, __LINE__); \
		_woken; \
	})

#define mutex_lock(lock) \
	({ (mutex_lock)(lock); sections_mutex_taken(__func__, __LINE__); })
#define mutex_trylock(lock) \
	({ \
		int taken_ = (mutex_trylock)(lock); \
		\
		if (taken_) \
			sections_mutex_taken(__func__, __LINE__); \
		taken_; \
	})
#define mutex_unlock(lock) \
	({ sections_mutex_released(__func__, __LINE__); (mutex_unlock)(lock); })

#endif /* METASTORE_SECTIONS_H */
