/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of commands share, and the commands that are in another one than
 * their table.
 */
#ifndef METASTORE_IOCTL_PRIV_H
#define METASTORE_IOCTL_PRIV_H

#include "base/usercopy.h"

struct metastore_file;

/* Only what the caller's structure has; it may be an older, shorter one. */
static inline int copy_result(void __user *uargs, const void *args, size_t size)
{
	return copy_to_user(uargs, args, size) ? -EFAULT : 0;
}

long metastore_ioctl_subscribe(struct metastore_file *file, void __user *arg,
			       size_t size);
long metastore_ioctl_unsubscribe(struct metastore_file *file, void __user *arg,
				 size_t size);
long metastore_ioctl_subscription(struct metastore_file *file, void __user *arg,
				  size_t size);
long metastore_ioctl_subscribers(struct metastore_file *file, void __user *arg,
				 size_t size);
long metastore_ioctl_queue(struct metastore_file *file, void __user *arg,
			   size_t size);

#endif /* METASTORE_IOCTL_PRIV_H */
