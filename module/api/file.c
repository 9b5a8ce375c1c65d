// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/metastore: open, release, read, poll.
 */
#include <linux/anon_inodes.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uio.h>

#include "ops/change.h"
#include "ops/file.h"
#include "ops/snapshot.h"
#include "api/fdinfo.h"
#include "api/file.h"
#include "api/ioctl.h"
#include "api/read.h"

/* Records taken from the queue under one hold of its lock: 512 B of stack. */
#define READ_BATCH	16

/* What the device's open files mean. Set before it is registered. */
static struct metastore_store *default_store;

/* Open files that there ever were. */
static atomic64_t files;

/* What an open file has beyond struct file. */
static struct metastore_file *file_create(struct metastore_store *store, fmode_t mode)
{
	struct metastore_file *file;

	file = kzalloc(sizeof(*file), METASTORE_GFP);
	if (!file)
		return NULL;
	file->id = atomic64_inc_return(&files);
	file->store = metastore_store_get(store);
	file->mode = mode & (FMODE_READ | FMODE_WRITE);
	metastore_queue_init(&file->queue, &store->limits, &store->room);
	metastore_subscriptions_init(&file->subs, store, &file->queue);
	metastore_owner_init(&file->owner);
	return file;
}

static void free_file(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct metastore_file, rcu));
}

static void file_destroy(struct metastore_file *file)
{
	/* Nothing is pushed any more, not even the end of what belongs to it. */
	metastore_subscriptions_destroy(&file->subs);
	metastore_change_end(file);
	metastore_queue_destroy(&file->queue);
	metastore_store_put(file->store);
	call_srcu(&metastore_srcu, &file->rcu, free_file);
}

static int metastore_open(struct inode *inode, struct file *filp)
{
	struct metastore_file *file = file_create(default_store, filp->f_mode);

	if (!file)
		return -ENOMEM;
	file->filp = filp;
	filp->private_data = file;
	filp->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, filp);
}

static int metastore_release(struct inode *inode, struct file *filp)
{
	file_destroy(filp->private_data);
	return 0;
}

/*
 * Reads up to a batch of records. Returns how many; 0: none; or an error, which
 * may come after some were read. Sets @more, if any were, to whether there are more.
 */
static int read_batch(struct metastore_queue *queue, struct iov_iter *to, bool *more)
{
	struct metastore_record records[READ_BATCH] __uninitialized;
	int nr, copied;

	nr = metastore_queue_take(queue, records, READ_BATCH, iov_iter_count(to)) ?:
	     metastore_snapshot_take(queue, records, READ_BATCH, iov_iter_count(to));
	if (nr <= 0)
		return nr;
	copied = metastore_events_copy(records, nr, to);
	*more = metastore_queue_finish(queue, records, nr, copied);
	return copied == nr ? nr : -EFAULT;
}

/* Returns bytes copied; 0: nothing there; or an error if nothing was copied. */
static ssize_t read_some(struct metastore_queue *queue, struct iov_iter *to)
{
	size_t count = iov_iter_count(to), copied;
	bool more;
	int ret;

	do {
		ret = read_batch(queue, to, &more);
		cond_resched();
	} while (ret > 0 && more && !signal_pending(current));
	copied = count - iov_iter_count(to);
	return copied ?: ret;
}

static int wait_for_record(struct metastore_queue *queue)
{
	return wait_event_interruptible_exclusive(queue->readers,
						  metastore_queue_has_record(queue));
}

static ssize_t metastore_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *filp = iocb->ki_filp;
	struct metastore_file *file = filp->private_data;
	struct metastore_queue *queue = &file->queue;
	bool may_wait = !(filp->f_flags & O_NONBLOCK) &&
			!(iocb->ki_flags & IOCB_NOWAIT);
	ssize_t copied;
	int err;

	if (!iov_iter_count(to))
		return 0;
	for (;;) {
		copied = read_some(queue, to);
		if (copied)
			break;
		if (!may_wait) {
			/* A snapshot may have ended whose turn it was. */
			if (metastore_queue_has_record(queue) && !signal_pending(current))
				continue;
			return -EAGAIN;
		}
		err = wait_for_record(queue);
		if (err)
			return err;
	}
	/* This reader may have been woken for what it leaves. */
	metastore_queue_pass_on(queue);
	return copied;
}

static __poll_t metastore_poll(struct file *filp, poll_table *wait)
{
	struct metastore_file *file = filp->private_data;

	poll_wait(filp, &file->queue.readers, wait);
	return metastore_queue_has_record(&file->queue) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_operations metastore_fops = {
	.owner = THIS_MODULE,
	.open = metastore_open,
	.release = metastore_release,
	.read_iter = metastore_read_iter,
	.poll = metastore_poll,
	.unlocked_ioctl = metastore_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.show_fdinfo = metastore_fdinfo_show,
};

static struct miscdevice metastore_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "metastore",
	.fops = &metastore_fops,
	.mode = 0660,
};

/**
 * metastore_device_register - make /dev/metastore
 * @store:	the store that its open files mean
 *
 * Context: may sleep.
 * Return: 0 or what misc_register() says.
 */
int metastore_device_register(struct metastore_store *store)
{
	default_store = store;
	return misc_register(&metastore_device);
}

/**
 * metastore_device_unregister - remove /dev/metastore
 *
 * There are no open files: they hold references to the module.
 *
 * Context: may sleep.
 */
void metastore_device_unregister(void)
{
	misc_deregister(&metastore_device);
}

/**
 * metastore_device_open_fd - open a store as /dev/metastore is opened
 * @store:	the store; the open file takes a reference of its own
 * @flags:	O_RDONLY, O_WRONLY or O_RDWR, O_NONBLOCK and O_CLOEXEC
 *
 * Context: may sleep.
 * Return: a descriptor of the current task; -ENOMEM, -EMFILE or -ENFILE.
 */
int metastore_device_open_fd(struct metastore_store *store, u32 flags)
{
	struct metastore_file *file;
	struct file *filp;
	int fd, err;

	fd = get_unused_fd_flags(flags & O_CLOEXEC);
	if (fd < 0)
		return fd;
	err = -ENOMEM;
	file = file_create(store, OPEN_FMODE(flags));
	if (!file)
		goto put_fd;
	filp = anon_inode_getfile("[metastore]", &metastore_fops, file,
				  flags & (O_ACCMODE | O_NONBLOCK));
	if (IS_ERR(filp)) {
		err = PTR_ERR(filp);
		goto destroy_file;
	}
	file->filp = filp;
	filp->f_mode |= FMODE_NOWAIT;
	stream_open(file_inode(filp), filp);
	fd_install(fd, filp);
	return fd;

destroy_file:
	file_destroy(file);
put_fd:
	put_unused_fd(fd);
	return err;
}
