/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Compatibility with kernels from 6.1 on: each entry gives older kernels an interface of
 * the newest one, and names the version that changed it. No other file of the module
 * checks the kernel's version.
 */
#ifndef METASTORE_COMPAT_H
#define METASTORE_COMPAT_H

#include <linux/hrtimer.h>
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

#endif /* METASTORE_COMPAT_H */
