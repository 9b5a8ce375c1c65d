/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_CGROUP_H
#define METASTORE_CGROUP_H

#include <linux/memcontrol.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/types.h>

/**
 * struct metastore_cgroup - memory cgroup that others' allocations can be charged to
 * @memcg:	the cgroup, with a reference; NULL: none, or the kernel has no such cgroups
 * @group:	its number, as in the nodes of values
 */
struct metastore_cgroup {
	struct mem_cgroup *memcg;
	u16 group;
};

/* Get the number of the current task's memory cgroup; a removed one's may be used again. */
static inline u16 metastore_current_group(void)
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

/* Let the current task's cgroup pay. */
static inline void metastore_cgroup_init(struct metastore_cgroup *cgroup)
{
	/* That of the process's first thread: the others may be elsewhere, in cgroup v1. */
	cgroup->memcg = get_mem_cgroup_from_mm(current->mm);
	cgroup->group = mem_cgroup_id(cgroup->memcg);
}

static inline void metastore_cgroup_release(struct metastore_cgroup *cgroup)
{
	mem_cgroup_put(cgroup->memcg);
	cgroup->memcg = NULL;
}

#endif /* METASTORE_CGROUP_H */
