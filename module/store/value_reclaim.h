/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_RECLAIM_H
#define METASTORE_VALUE_RECLAIM_H

#include <linux/bitmap.h>
#include <linux/limits.h>
#include <linux/types.h>

/** METASTORE_GROUPS - how many numbers of memory cgroups there are */
#define METASTORE_GROUPS	(U16_MAX + 1)

extern unsigned long metastore_value_reclaim_open[BITS_TO_LONGS(METASTORE_GROUPS)];

int metastore_value_reclaim_init(void);
void metastore_value_reclaim_exit(void);
u16 metastore_value_reclaim_group(void);

/**
 * metastore_value_reclaim_reaches() - Check whether a cgroup's memory may be kept
 * @group:	number of the cgroup
 *
 * Context: RCU section, until the memory is in a list of the cache.
 * Return: true if reclaim in the cgroup gets it back.
 */
static inline bool metastore_value_reclaim_reaches(u16 group)
{
	return test_bit(group, metastore_value_reclaim_open);
}

#endif /* METASTORE_VALUE_RECLAIM_H */
