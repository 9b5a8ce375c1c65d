/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Declarations shared by the files of api/.
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
struct vm_area_struct;

/** union metastore_args - arguments of any command */
union metastore_args {
	struct metastore_info info;
	struct metastore_get get;
	struct metastore_set set;
	struct metastore_delete delete;
	struct metastore_touch touch;
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
	struct metastore_user_info user;
};

/**
 * struct metastore_call - command in progress
 * @file:	open file
 * @uargs:	user address of the arguments
 * @size:	number of bytes of @args that the caller's structure has
 * @op:		METASTORE_OP_*; 0: the command is not an operation
 * @args:	arguments; fields that the caller's older structure lacks are zero
 */
struct metastore_call {
	struct metastore_file *file;
	void __user *uargs;
	size_t size;
	u32 op;
	union metastore_args args;
};

/*
 * Keys in text, as string_escape_mem() takes it: each byte that is not printable ASCII, a space
 * or a backslash becomes a backslash and three octal digits.
 */
#define METASTORE_KEY_ESCAPES	(ESCAPE_OCTAL | ESCAPE_NAP | ESCAPE_APPEND)
#define METASTORE_KEY_ESCAPED	" \\"

void metastore_trace_init(void);

void metastore_debugfs_create(void);
void metastore_debugfs_remove(void);

int metastore_device_register(struct metastore_store *store);
void metastore_device_unregister(void);
int metastore_device_open_fd(struct metastore_store *store, u32 flags,
			     const struct metastore_file *from);

int metastore_mmap(struct file *filp, struct vm_area_struct *area);

ssize_t metastore_read_iter(struct kiocb *iocb, struct iov_iter *to);
size_t metastore_read_size(struct metastore_queue *queue);

long metastore_ioctl(struct file *filp, unsigned int cmd, unsigned long arg);

/* Helper of metastore_ioctl_respond(): copy bytes @begin to @end of the arguments out. */
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
 * metastore_ioctl_respond() - Copy the results of a command out
 * @call:	the command
 * @type:	suffix of its structure, struct metastore_@type
 * @first:	first field to copy
 * @last:	last field to copy; all fields in between are copied too
 *
 * Copy only fields that the caller's structure has. It may be older and shorter, but it
 * has @first. Fault injection applies only if @first is the structure's first field: INFO,
 * STAT and SUBSCRIPTION. Most other commands report a change that is already made.
 *
 * Context: Process context, may sleep.
 * Return: 0 or -EFAULT.
 */
#define metastore_ioctl_respond(call, type, first, last) \
	metastore_ioctl_put(call, offsetof(struct metastore_##type, first), \
			    offsetofend(struct metastore_##type, last))

int metastore_ioctl_list(struct metastore_call *call);
int metastore_ioctl_flush(struct metastore_call *call);

int metastore_ioctl_subscribe(struct metastore_call *call);
int metastore_ioctl_unsubscribe(struct metastore_call *call);
int metastore_ioctl_subscription(struct metastore_call *call);
int metastore_ioctl_subscribers(struct metastore_call *call);
int metastore_ioctl_queue(struct metastore_call *call);

#endif /* METASTORE_API_H */
