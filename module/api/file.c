// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/metastore: creation and release of open files, poll() and fdinfo.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string_helpers.h>

#include "base/compat.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/retire.h"
#include "api/api.h"

/* Store of the device's open files. Set before the device is registered. */
static struct metastore_store *default_store;

/* Number of open files ever created. Source of their ids. */
static atomic64_t files;

/* The last subscription may have gone just now, so the user is of use until here. */
static void file_free(struct kref *refs)
{
	struct metastore_file *file = container_of(refs, struct metastore_file, subs.refs);

	metastore_user_put(file->user);
	kfree(file);
}

/* Charge the current task's user for an open file. Returns the user with a reference. */
static struct metastore_user *file_charge_user(void)
{
	struct metastore_user *user = metastore_user_get_current();
	int err;

	if (!user)
		return ERR_PTR(-ENOMEM);
	err = metastore_user_charge(user, METASTORE_USER_FILES, 1);
	if (!err)
		return user;
	metastore_user_put(user);
	return ERR_PTR(err);
}

/* Create the module's part of an open file. Returns -ENOMEM or -EDQUOT on failure. */
static struct metastore_file *file_create(struct metastore_store *store, fmode_t mode, bool exempt)
{
	struct metastore_user *user = file_charge_user();
	struct metastore_file *file;

	if (IS_ERR(user))
		return ERR_CAST(user);
	file = kzalloc(sizeof(*file), METASTORE_GFP);
	if (!file) {
		metastore_user_uncharge(user, METASTORE_USER_FILES, 1);
		metastore_user_put(user);
		return ERR_PTR(-ENOMEM);
	}
	file->user = user;
	file->store = metastore_store_get(store);
	file->mode = mode & (FMODE_READ | FMODE_WRITE);
	metastore_queue_init(&file->queue, &store->limits, &store->room, user);
	metastore_subscriptions_init(&file->subs, store, &file->queue,
				     atomic64_inc_return(&files), file_free);
	metastore_owner_init(&file->owner, user);
	file->exempt = exempt;
	metastore_retire_enter(file);
	return file;
}

static void file_destroy(struct metastore_file *file)
{
	metastore_retire_leave(file);
	/* Nothing is enqueued after that, not even this file's own deletions. */
	metastore_subscriptions_destroy(&file->subs);
	metastore_change_end(file);
	metastore_queue_destroy(&file->queue);
	metastore_store_put(file->store);
	metastore_user_uncharge(file->user, METASTORE_USER_FILES, 1);
	/* Walks and reservations may still use its subscriptions, and thereby its queue. */
	metastore_subscriptions_put(&file->subs);
}

static void fdinfo_show_number(struct seq_file *m, const char *name, u64 number)
{
	seq_printf(m, "%s:\t%llu\n", name, number);
}

static void fdinfo_show_queue(struct seq_file *m, struct metastore_file *file)
{
	struct metastore_queue_info info;

	metastore_queue_take_in(&file->queue);
	metastore_queue_tell(&file->queue, &info);
	fdinfo_show_number(m, "events", info.len);
	fdinfo_show_number(m, "bytes", info.bytes);
	fdinfo_show_number(m, "lost", info.lost);
	seq_printf(m, "policy:\t%s\n",
		   info.policy == METASTORE_QUEUE_LOSSLESS ? "lossless" : "drop-oldest");
	fdinfo_show_number(m, "max_len", info.max_len);
	fdinfo_show_number(m, "max_bytes", info.max_bytes);
	fdinfo_show_number(m, "high_len", info.high_len);
	fdinfo_show_number(m, "matched", info.matched);
	fdinfo_show_number(m, "delivered", info.delivered);
	fdinfo_show_number(m, "conflated", info.conflated);
	fdinfo_show_number(m, "discarded", info.discarded);
	fdinfo_show_number(m, "pending", info.pending);
	fdinfo_show_number(m, "oldest", info.oldest);
}

/*
 * Retake the lock for each subscription, since there may be many. Stop once the buffer is
 * full: seq_file then calls again with a larger one.
 */
static void fdinfo_show_subscriptions(struct seq_file *m, struct metastore_file *file)
{
	struct metastore_subscription_info info = {};
	struct metastore_key_buffer at = {};

	while (!seq_has_overflowed(m) &&
	       metastore_subscription_next(&file->subs, &at, &info)) {
		seq_printf(m, "subscription:\t%llu %#x %#x %llu %llu %llu %llu %llu %llu ",
			   info.cookie, info.events, info.flags, info.matched,
			   info.delivered, info.conflated, info.lost, info.pending,
			   info.discarded);
		seq_escape_mem(m, at.key.bytes, at.key.len, METASTORE_KEY_ESCAPES,
			       METASTORE_KEY_ESCAPED);
		seq_putc(m, '\n');
		cond_resched();
	}
}

/* Show an open file in /proc/PID/fdinfo/FD. */
static void metastore_fdinfo_show(struct seq_file *m, struct file *filp)
{
	struct metastore_file *file = filp->private_data;

	fdinfo_show_number(m, "store", file->store->id);
	fdinfo_show_number(m, "file", file->subs.id);
	fdinfo_show_number(m, "subscriptions", READ_ONCE(file->subs.nr));
	fdinfo_show_queue(m, file);
	fdinfo_show_subscriptions(m, file);
}

static int metastore_open(struct inode *inode, struct file *filp)
{
	bool exempt = filp->f_flags & O_EXCL && capable(CAP_SYS_MODULE);
	struct metastore_file *file;

	if (READ_ONCE(metastore_retired) && !exempt)
		return -ENODEV;
	file = file_create(default_store, filp->f_mode, exempt);
	if (IS_ERR(file))
		return PTR_ERR(file);
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

static __poll_t metastore_poll(struct file *filp, poll_table *wait)
{
	struct metastore_file *file = filp->private_data;
	__poll_t events = 0;

	/*
	 * Enter a wait queue before looking for a record. Pairs with queue_wake() and
	 * metastore_queue_hang_up().
	 */
	if (metastore_poll_enters(wait))
		poll_wait(filp, metastore_queue_pollers(&file->queue), wait);
	if (metastore_queue_has_record(&file->queue))
		events |= EPOLLIN | EPOLLRDNORM;
	if (metastore_is_retired(file))
		events |= EPOLLHUP;
	return events;
}

static const struct file_operations metastore_fops = {
	.owner = THIS_MODULE,
	.open = metastore_open,
	.release = metastore_release,
	.read_iter = metastore_read_iter,
	.poll = metastore_poll,
	.unlocked_ioctl = metastore_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = metastore_mmap,
	.show_fdinfo = metastore_fdinfo_show,
};

static struct miscdevice metastore_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "metastore",
	.fops = &metastore_fops,
	.mode = 0660,
};

/**
 * metastore_device_register() - Register /dev/metastore
 * @store:	store of its open files
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of misc_register().
 */
int metastore_device_register(struct metastore_store *store)
{
	default_store = store;
	return misc_register(&metastore_device);
}

/**
 * metastore_device_unregister() - Unregister /dev/metastore
 *
 * No open file is left, since each holds a reference to the module.
 *
 * Context: Process context, may sleep.
 */
void metastore_device_unregister(void)
{
	misc_deregister(&metastore_device);
}

/**
 * metastore_device_open_fd() - Open a store, as an open of /dev/metastore does
 * @store:	the store; the open file takes its own reference
 * @flags:	O_RDONLY, O_WRONLY or O_RDWR, O_NONBLOCK and O_CLOEXEC
 * @from:	open file of that store that asks for it. The new one gets its exemption from
 *		a retirement, and in a private store its security label; NULL: neither
 *
 * Context: Process context, may sleep.
 * Return: a descriptor of the current task, -ENOMEM, -EDQUOT, -EMFILE, -ENFILE or an error
 * of a security module, such as -EACCES.
 */
int metastore_device_open_fd(struct metastore_store *store, u32 flags,
			     const struct metastore_file *from)
{
	struct metastore_file *file;
	struct file *filp;
	int fd, err;

	fd = get_unused_fd_flags(flags & O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = file_create(store, OPEN_FMODE(flags), from && from->exempt);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto put_fd;
	}
	/* The label of the device's files is that of a file, and would not do. */
	filp = anon_inode_create_getfile("[metastore]", &metastore_fops, file,
					 flags & (O_ACCMODE | O_NONBLOCK),
					 from && store->maker ? file_inode(from->filp) : NULL);
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
