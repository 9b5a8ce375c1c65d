/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_FASTPATH_H
#define METASTORE_FASTPATH_H

#include <linux/errno.h>
#include <linux/types.h>

#include <linux/metastore.h>

struct metastore_file;

int metastore_fastpath_get(struct metastore_file *file, struct metastore_get __user *uargs);
int metastore_fastpath_store(struct metastore_file *file, struct metastore_set __user *uargs,
			     u16 type);
int metastore_fastpath_op(struct metastore_file *file, struct metastore_op *op);

/**
 * metastore_fastpath_run - run a command, if that is simple
 * @file:	open file
 * @cmd:	METASTORE_IOC_*
 * @uarg:	address of the arguments
 *
 * Context: may sleep.
 * Return: 0 or what uapi/linux/metastore.h says; -EAGAIN: it is not simple, and nothing
 * is done.
 */
static inline int metastore_fastpath_run(struct metastore_file *file, unsigned int cmd,
					 void __user *uarg)
{
	switch (cmd) {
	case METASTORE_IOC_GET:
		return metastore_fastpath_get(file, uarg);
	case METASTORE_IOC_SET:
		return metastore_fastpath_store(file, uarg, METASTORE_EVENT_SET);
	case METASTORE_IOC_PUBLISH:
		return metastore_fastpath_store(file, uarg, METASTORE_EVENT_PUBLISHED);
	}
	return -EAGAIN;
}

#endif /* METASTORE_FASTPATH_H */
