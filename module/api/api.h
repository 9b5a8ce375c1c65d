/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the files of this folder.
 */
#ifndef METASTORE_API_H
#define METASTORE_API_H

#include <linux/minmax.h>
#include <linux/types.h>

#include <linux/metastore.h>

#include "base/usercopy.h"

struct file;
struct iov_iter;
struct kiocb;
struct metastore_file;
struct metastore_queue;
struct metastore_store;

/** union metastore_args - the arguments of any command */
union metastore_args {
	struct metastore_info info;
	struct metastore_get get;
	struct metastore_set set;
	struct metastore_delete delete;
	struct metastore_subscribe subscribe;
	struct metastore_unsubscribe unsubscribe;
	struct metastore_subscribers subscribers;
	struct metastore_key_bucket bucket;
	struct metastore_stat stat;
	struct metastore_list list;
	struct metastore_flush flush;
	struct metastore_batch batch;
	struct metastore_create create;
	struct metastore_open open;
	struct metastore_queue_info queue;
	struct metastore_subscription_info subscription;
};

/**
 * struct metastore_call - a command on its way
 * @file:	open file
 * @uargs:	user address of the arguments
 * @size:	how many bytes of @args the caller has
 * @op:		METASTORE_OP_*, if it is one
 * @args:	the arguments as the structure is now; what the caller's lacks is zero
 */
struct metastore_call {
	struct metastore_file *file;
	void __user *uargs;
	size_t size;
	u32 op;
	union metastore_args args;
};

int metastore_device_register(struct metastore_store *store);
void metastore_device_unregister(void);
int metastore_device_open_fd(struct metastore_store *store, u32 flags);

ssize_t metastore_read_iter(struct kiocb *iocb, struct iov_iter *to);
size_t metastore_read_size(struct metastore_queue *queue);

long metastore_ioctl(struct file *filp, unsigned int cmd, unsigned long arg);

/* See metastore_ioctl_respond(). */
static __always_inline int metastore_ioctl_put(struct metastore_call *call, size_t begin,
					       size_t end)
{
	const u8 *args = (const u8 *)&call->args;

	if (!begin)
		return metastore_copy_out(call->uargs, args, min(end, call->size));
	if (unlikely(end > call->size))
		return metastore_copy_struct_out(call->uargs + begin, args + begin,
						 call->size - begin);
	return metastore_copy_struct_out(call->uargs + begin, args + begin, end - begin);
}

/**
 * metastore_ioctl_respond - copy the results of a command out
 * @call:	the command
 * @type:	its structure is struct metastore_@type
 * @first:	its first result
 * @last:	its last result; all that is between goes with them
 *
 * Only what the caller's structure has; it may be an older, shorter one, but has @first.
 * Where all of it is a result the command has changed nothing, and fault injection may let
 * this fail; else it tells of something that is done.
 *
 * Context: may sleep.
 * Return: 0 or -EFAULT.
 */
#define metastore_ioctl_respond(call, type, first, last) \
	metastore_ioctl_put(call, offsetof(struct metastore_##type, first), \
			    offsetofend(struct metastore_##type, last))

int metastore_ioctl_subscribe(struct metastore_call *call);
int metastore_ioctl_unsubscribe(struct metastore_call *call);
int metastore_ioctl_subscription(struct metastore_call *call);
int metastore_ioctl_subscribers(struct metastore_call *call);
int metastore_ioctl_queue(struct metastore_call *call);

#endif /* METASTORE_API_H */
