/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Compatibility with kernels from 6.1 on: each entry gives older kernels an interface of
 * the newest one, and names the version that changed it. No other file of the module
 * checks the kernel's version.
 */
#ifndef METASTORE_COMPAT_H
#define METASTORE_COMPAT_H

#include <linux/anon_inodes.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>

/* 6.13 added hrtimer_setup(), 6.15 removed hrtimer_init(). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
}
#endif

/*
 * 6.8 exports anon_inode_create_getfile(). Before that a module's files share the inode of
 * all anonymous ones, which no security module looks at.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
static inline struct file *anon_inode_create_getfile(const char *name,
						     const struct file_operations *fops,
						     void *priv, int flags,
						     const struct inode *context_inode)
{
	return anon_inode_getfile(name, fops, priv, flags);
}
#endif

/* 6.8 gave list_lru_add() and list_lru_del() further arguments. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
static inline bool list_lru_add_obj(struct list_lru *lru, struct list_head *item)
{
	return list_lru_add(lru, item);
}

static inline bool list_lru_del_obj(struct list_lru *lru, struct list_head *item)
{
	return list_lru_del(lru, item);
}
#endif

/* Head of a function for list_lru_walk_one(), which 6.13 no longer tells of its lock. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define METASTORE_LRU_WALK(name) \
	enum lru_status name(struct list_head *item, struct list_lru_one *list, \
			     spinlock_t *lock, void *arg)
#else
#define METASTORE_LRU_WALK(name) \
	enum lru_status name(struct list_head *item, struct list_lru_one *list, void *arg)
#endif

typedef unsigned long (*metastore_shrinker_call)(struct shrinker *shrinker,
						 struct shrink_control *sc);

/*
 * Create a shrinker that knows memory cgroups, and whose objects take no more than memory
 * to make again. It may be called before this returns it. Returns NULL without memory.
 * 6.7 added shrinker_alloc(), and removed register_shrinker().
 */
static inline struct shrinker *metastore_shrinker_create(const char *name,
							 metastore_shrinker_call count,
							 metastore_shrinker_call scan)
{
	const unsigned int flags = SHRINKER_MEMCG_AWARE | SHRINKER_NUMA_AWARE;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (shrinker)
		shrinker->flags = flags;
#else
	struct shrinker *shrinker = shrinker_alloc(flags, "%s", name);
#endif

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = 0;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
#else
	shrinker_register(shrinker);
#endif
	return shrinker;
}

/* End calls of a shrinker, and free it. */
static inline void metastore_shrinker_free(struct shrinker *shrinker)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	unregister_shrinker(shrinker);
	kfree(shrinker);
#else
	shrinker_free(shrinker);
#endif
}

/* 6.3 gave areas of memory functions that change their flags. */
static inline void metastore_vm_flags_set(struct vm_area_struct *area, unsigned long flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	area->vm_flags |= flags;
#else
	vm_flags_set(area, flags);
#endif
}

static inline void metastore_vm_flags_clear(struct vm_area_struct *area, unsigned long flags)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	area->vm_flags &= ~flags;
#else
	vm_flags_clear(area, flags);
#endif
}

/* 7.0 or so removed poll_does_not_wait(), of which this is the opposite. */
static inline bool metastore_poll_enters(const poll_table *wait)
{
	return wait && wait->_qproc;
}

#endif /* METASTORE_COMPAT_H */
