/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of this folder share.
 */
#ifndef METASTORE_API_H
#define METASTORE_API_H

#include <linux/types.h>
#include <linux/uaccess.h>

struct file;
struct iov_iter;
struct kiocb;
struct metastore_file;
struct metastore_queue;
struct metastore_store;

int metastore_device_register(struct metastore_store *store);
void metastore_device_unregister(void);
int metastore_device_open_fd(struct metastore_store *store, u32 flags);

ssize_t metastore_read_iter(struct kiocb *iocb, struct iov_iter *to);
size_t metastore_read_size(struct metastore_queue *queue);

long metastore_ioctl(struct file *filp, unsigned int cmd, unsigned long arg);

/* Only what the caller's structure has; it may be an older, shorter one. */
static inline int ioctl_copy_result(void __user *uargs, const void *args, size_t size)
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

#endif /* METASTORE_API_H */
