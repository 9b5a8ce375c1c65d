// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of uapi/linux/metastore.h, one function each: copy in, check,
 * call, copy out. The errors are documented there. Those about subscriptions and
 * the queue are in ioctl_events.c.
 */
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/ioctls.h>

#include "base/usercopy.h"
#include "store/bucket.h"
#include "ops/change.h"
#include "ops/fastpath.h"
#include "ops/file.h"
#include "ops/ops.h"
#include "api/api.h"

/* Most that LIST fills in one call, so that its buffer is easily allocated. */
#define LIST_MAX	(64 << 10)

#define FLUSH_FLAGS	(METASTORE_FLUSH_SUBSCRIPTIONS | METASTORE_FLUSH_STEAL)

#define FEATURES \
	(METASTORE_FEATURE_CONDITIONS | METASTORE_FEATURE_OWNERS | \
	 METASTORE_FEATURE_TTL | METASTORE_FEATURE_BATCH | METASTORE_FEATURE_PRIVATE | \
	 METASTORE_FEATURE_DELIVERY | METASTORE_FEATURE_WAIT)

/* The same for every compiler and every kernel, 32-bit programs included. */
static_assert(sizeof(struct metastore_set) == 56);
static_assert(offsetof(struct metastore_set, version) == 32);
static_assert(sizeof(struct metastore_get) == 48);
static_assert(offsetof(struct metastore_get, version) == 32);
static_assert(sizeof(struct metastore_stat) == 72);
static_assert(offsetof(struct metastore_stat, value_len) == 32);
static_assert(sizeof(struct metastore_delete) == 24);
static_assert(sizeof(struct metastore_flush) == 40);
static_assert(offsetof(struct metastore_flush, values) == 24);
static_assert(sizeof(struct metastore_subscribe) == 40);
static_assert(sizeof(struct metastore_queue_info) == 80);
static_assert(offsetof(struct metastore_queue_info, matched) == 32);
static_assert(sizeof(struct metastore_subscription_info) == 72);
static_assert(offsetof(struct metastore_subscription_info, matched) == 32);
static_assert(sizeof(struct metastore_unsubscribe) == 16);
static_assert(sizeof(struct metastore_subscribers) == 24);
static_assert(sizeof(struct metastore_key_bucket) == 24);
static_assert(sizeof(struct metastore_list) == 48);
static_assert(sizeof(struct metastore_list_entry) == 24);
static_assert(sizeof(struct metastore_info) == 88);
static_assert(sizeof(struct metastore_op) == 56);
static_assert(offsetof(struct metastore_op, version) == 40);
static_assert(sizeof(struct metastore_batch) == 24);
static_assert(sizeof(struct metastore_create) == 40);
static_assert(sizeof(struct metastore_open) == 8);
static_assert(sizeof(struct metastore_owner_end) == 8);
static_assert(sizeof(struct metastore_event) == 48);
static_assert(offsetof(struct metastore_event, value_len) == 32);
static_assert(METASTORE_LIST_MIN >=
	      sizeof(struct metastore_list_entry) + METASTORE_KEY_MAX);

/* Copies a prefix in and finds out which buckets are meant. */
static int ioctl_copy_range(struct metastore_file *file, struct metastore_range *range,
			    u8 *bytes, u64 prefix, u32 len, u32 bucket)
{
	if (len > METASTORE_KEY_MAX)
		return -EINVAL;
	if (copy_from_user(bytes, u64_to_user_ptr(prefix), len))
		return -EFAULT;
	range->prefix = bytes;
	range->prefix_len = len;
	return metastore_store_range(file->store, bucket, range);
}

/* Does the member of a structure lie within the caller's, maybe older one? */
#define HAS(type, member, size)	((size) >= offsetofend(type, member))

static int ioctl_put_get_result(struct metastore_get __user *uargs,
				const struct metastore_op *op, bool all)
{
	if (!user_write_access_begin(uargs, all ? sizeof(*uargs) :
				     offsetofend(struct metastore_get, version)))
		return -EFAULT;
	unsafe_put_user(op->value_len, &uargs->value_len, fault);
	unsafe_put_user(op->version, &uargs->version, fault);
	if (all) {
		unsafe_put_user(op->owner, &uargs->owner, fault);
		unsafe_put_user(op->ttl, &uargs->ttl, fault);
	}
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

static long ioctl_get(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_get __user *uargs = arg;
	struct metastore_get args __uninitialized;
	struct metastore_op op __uninitialized;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	/* The field was reserved when the structure had no ttl. */
	if (!HAS(struct metastore_get, ttl, size) && args.owner)
		return -EINVAL;
	op = (struct metastore_op) {
		.op = METASTORE_OP_GET,
		.key = args.key,
		.value = args.value,
		.key_len = args.key_len,
		.value_len = args.value_len,
		.flags = args.flags,
	};
	err = metastore_op_run(file, &op, NULL);
	if (err && err != -ERANGE)
		return err;
	return ioctl_put_get_result(uargs, &op,
				    !err && HAS(struct metastore_get, ttl, size)) ?: err;
}

/* How long to wait, in ms: who does not want to wait for events does not at all. */
static u32 ioctl_patience(const struct metastore_file *file, u32 timeout)
{
	return READ_ONCE(file->filp->f_flags) & O_NONBLOCK ? 0 : timeout;
}

static int ioctl_put_set_result(struct metastore_set __user *uargs,
				const struct metastore_op *op, bool done)
{
	if (!user_write_access_begin(uargs, offsetofend(struct metastore_set, version)))
		return -EFAULT;
	unsafe_put_user(op->version, &uargs->version, fault);
	if (done)
		unsafe_put_user(op->queues, &uargs->queues, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

static long ioctl_store_value(struct metastore_file *file, void __user *arg,
			      size_t size, u32 which)
{
	struct metastore_set __user *uargs = arg;
	struct metastore_set args __uninitialized;
	struct metastore_op op __uninitialized;
	bool waits;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	waits = args.flags & METASTORE_F_WAIT;
	if (args.reserved || (waits ? which != METASTORE_OP_PUBLISH : args.timeout))
		return -EINVAL;
	op.op = which;
	op.key = args.key;
	op.value = args.value;
	op.key_len = args.key_len;
	op.value_len = args.value_len;
	op.flags = args.flags & ~METASTORE_F_WAIT;
	op.version = args.version;
	op.ttl = args.ttl;
	args.timeout = ioctl_patience(file, args.timeout);
	err = metastore_op_run(file, &op, waits ? &args.timeout : NULL);
	if (!err || err == -EEXIST || err == -ESTALE)
		return ioctl_put_set_result(uargs, &op, !err) ?: err;
	return err;
}

static long ioctl_set(struct metastore_file *file, void __user *arg, size_t size)
{
	return ioctl_store_value(file, arg, size, METASTORE_OP_SET);
}

static long ioctl_publish(struct metastore_file *file, void __user *arg, size_t size)
{
	return ioctl_store_value(file, arg, size, METASTORE_OP_PUBLISH);
}

static long ioctl_delete(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_delete __user *uargs = arg;
	struct metastore_delete args;
	struct metastore_op op;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	op = (struct metastore_op) {
		.op = METASTORE_OP_DELETE,
		.key = args.key,
		.key_len = args.key_len,
		.flags = args.flags,
		.version = args.version,
	};
	err = metastore_op_run(file, &op, NULL);
	if ((!err || err == -ESTALE) && put_user(op.version, &uargs->version))
		return -EFAULT;
	return err;
}

static long ioctl_batch(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_batch __user *uargs = arg;
	struct metastore_batch args;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	err = metastore_batch_run(file, &args);
	if ((!err || err == -ECANCELED) && put_user(args.failed, &uargs->failed))
		return -EFAULT;
	return err;
}

static long ioctl_flush(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_flush __user *uargs = arg;
	struct metastore_flush args;
	struct metastore_range range;
	u8 prefix[METASTORE_KEY_MAX];
	u64 values = 0, subscriptions = 0;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	if (args.flags & ~FLUSH_FLAGS || args.reserved)
		return -EINVAL;
	err = ioctl_copy_range(file, &range, prefix, args.prefix, args.prefix_len,
			       args.bucket);
	if (err)
		return err;
	if (args.flags & METASTORE_FLUSH_SUBSCRIPTIONS &&
	    !metastore_store_is_owned(file->store))
		return -EPERM;

	err = metastore_store_flush(file, &range, args.flags & METASTORE_FLUSH_STEAL,
				    &values);
	if (!err && args.flags & METASTORE_FLUSH_SUBSCRIPTIONS)
		err = metastore_store_flush_subscriptions(file->store, &range,
							  &subscriptions);
	if (err)
		return err;
	if (put_user(values, &uargs->values) ||
	    put_user(subscriptions, &uargs->subscriptions))
		return -EFAULT;
	return 0;
}

static long ioctl_bucket(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_key_bucket __user *uargs = arg;
	struct metastore_key_bucket args;
	struct metastore_key_buffer buffer;
	u32 index;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	if (args.flags)
		return -EINVAL;
	err = metastore_copy_key(file, &buffer, args.key, args.key_len);
	if (err)
		return err;
	index = metastore_store_bucket_index(file->store, &buffer.key);
	if (put_user(index, &uargs->bucket) ||
	    put_user(file->store->limits.buckets, &uargs->buckets))
		return -EFAULT;
	return 0;
}

static long ioctl_stat(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_stat __user *uargs = arg;
	struct metastore_stat args;
	struct metastore_key_buffer buffer;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	if (args.flags || args.reserved || args.reserved2)
		return -EINVAL;
	err = metastore_copy_key(file, &buffer, args.key, args.key_len);
	if (err)
		return err;
	err = metastore_op_stat(&buffer.key, file, &args);
	if (err)
		return err;
	args.bucket = metastore_store_bucket_index(file->store, &buffer.key);
	return ioctl_copy_result(uargs, &args, min(size, sizeof(args)));
}

/* Appends an entry; returns its length, or 0 if there is no room. */
static size_t ioctl_put_entry(void *buffer, size_t room, const struct metastore_iter *iter)
{
	struct metastore_list_entry *entry = buffer;
	size_t used = sizeof(*entry) + iter->key.len;
	size_t len = ALIGN(used, 8);

	if (len > room)
		return 0;
	*entry = (struct metastore_list_entry) {
		.len = len,
		.header_len = sizeof(*entry),
		.key_len = iter->key.len,
		.value_len = iter->value_len,
		.version = iter->version,
	};
	memcpy(entry + 1, iter->key.bytes, iter->key.len);
	memset(buffer + used, 0, len - used);
	return len;
}

/* Fills a buffer; sets how much of it and with how many. */
static int ioctl_fill_list(struct metastore_iter *iter, void *buffer, size_t room,
			   size_t *used, u32 *entries)
{
	size_t len;

	*used = 0;
	*entries = 0;
	while (metastore_iter_next(iter)) {
		len = ioctl_put_entry(buffer + *used, room - *used, iter);
		if (!len)
			break;
		*used += len;
		++*entries;
	}
	return iter->err;
}

static long ioctl_list(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_list __user *uargs = arg;
	struct metastore_list args;
	struct metastore_range range;
	struct metastore_iter *iter;
	struct metastore_key_buffer *cursor;
	u8 prefix[METASTORE_KEY_MAX];
	void *buffer;
	size_t room, used;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	if (args.flags)
		return -EINVAL;
	if (args.buffer_len < METASTORE_LIST_MIN)
		return -EMSGSIZE;
	err = ioctl_copy_range(file, &range, prefix, args.prefix, args.prefix_len,
			       args.bucket);
	if (err)
		return err;

	room = min_t(size_t, args.buffer_len, LIST_MAX);
	iter = kmalloc(sizeof(*iter), METASTORE_GFP);
	cursor = kmalloc(sizeof(*cursor), METASTORE_GFP);
	buffer = kvmalloc(room, METASTORE_GFP);
	err = -ENOMEM;
	if (!iter || !cursor || !buffer)
		goto free;

	metastore_iter_init(iter, file->store, &range, false);
	if (args.cursor_len) {
		err = metastore_copy_key(file, cursor, args.cursor, args.cursor_len);
		if (err)
			goto free;
		metastore_iter_skip_to(iter, &cursor->key);
	}
	err = ioctl_fill_list(iter, buffer, room, &used, &args.entries);
	if (err)
		goto free;
	if (copy_to_user(u64_to_user_ptr(args.buffer), buffer, used) ||
	    put_user((u32)used, &uargs->buffer_len) ||
	    put_user(args.entries, &uargs->entries))
		err = -EFAULT;
free:
	kvfree(buffer);
	kfree(cursor);
	kfree(iter);
	return err;
}

static long ioctl_info(struct metastore_file *file, void __user *arg, size_t size)
{
	const struct metastore_limits *limits = &file->store->limits;
	struct metastore_info __user *uargs = arg;
	struct metastore_info args;
	struct metastore_range range;
	int err;

	err = metastore_copy_args(&args, sizeof(args), uargs, size);
	if (err)
		return err;
	if (args.flags)
		return -EINVAL;
	err = metastore_store_range(file->store, args.bucket, &range);
	if (err)
		return err;
	args.features = FEATURES;
	args.buckets = limits->buckets;
	args.key_max = METASTORE_KEY_MAX;
	args.max_value = limits->max_value;
	args.queue_len = limits->queue_len;
	args.queue_bytes = limits->queue_bytes;
	args.max_subscriptions = METASTORE_MAX_SUBSCRIPTIONS;
	args.max_keys = limits->max_keys;
	args.max_bytes = limits->max_bytes;
	args.private_bytes = metastore_private_bytes();
	metastore_store_count(file->store, &range, &args);
	return ioctl_copy_result(uargs, &args, min(size, sizeof(args)));
}

static int ioctl_check_open_flags(u32 flags)
{
	if (flags & ~(O_ACCMODE | O_NONBLOCK | O_CLOEXEC) ||
	    (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	return 0;
}

/* Who may make a store anew cannot thereby have more than the one there is gives. */
static bool ioctl_is_wider(const struct metastore_limits *limits,
			   const struct metastore_limits *than)
{
	return limits->max_value > than->max_value ||
	       limits->queue_len > than->queue_len ||
	       limits->queue_bytes > than->queue_bytes ||
	       limits->max_keys > than->max_keys ||
	       limits->max_bytes > than->max_bytes;
}

static long ioctl_create(struct metastore_file *file, void __user *arg, size_t size)
{
	const struct metastore_limits *like = &file->store->limits;
	struct metastore_limits limits;
	struct metastore_create args;
	struct metastore_store *store;
	int ret;

	ret = metastore_copy_args(&args, sizeof(args), arg, size);
	if (ret)
		return ret;
	if (args.flags || ioctl_check_open_flags(args.open_flags))
		return -EINVAL;
	limits = (struct metastore_limits) {
		.buckets = args.buckets ?: like->buckets,
		.max_value = args.max_value ?: like->max_value,
		.queue_len = args.queue_len ?: like->queue_len,
		.queue_bytes = args.queue_bytes ?: like->queue_bytes,
		.max_keys = args.max_keys ?: like->max_keys,
		.max_bytes = args.max_bytes ?: like->max_bytes,
	};
	if (ioctl_is_wider(&limits, like) && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	store = metastore_store_create(&limits, true, metastore_change_expire_all);
	if (IS_ERR(store))
		return PTR_ERR(store);
	ret = metastore_device_open_fd(store, args.open_flags);
	metastore_store_put(store);
	return ret;
}

static long ioctl_open(struct metastore_file *file, void __user *arg, size_t size)
{
	struct metastore_open args;
	int err;

	err = metastore_copy_args(&args, sizeof(args), arg, size);
	if (err)
		return err;
	if (args.flags || ioctl_check_open_flags(args.open_flags))
		return -EINVAL;
	if (OPEN_FMODE(args.open_flags) & ~file->mode)
		return -EACCES;
	return metastore_device_open_fd(file->store, args.open_flags);
}

/*
 * @cmd:	the command, with the size its structure has now
 * @size:	the size it had in the header's first version, which is the least
 *		that is accepted
 * @mode:	what the descriptor must be open for
 * @run:	does it; gets the structure's user address and size
 */
struct ioctl_command {
	unsigned int cmd;
	size_t size;
	fmode_t mode;
	long (*run)(struct metastore_file *file, void __user *arg, size_t size);
};

#define COMMAND(name, size, mode, run) \
	[_IOC_NR(METASTORE_IOC_##name)] = { METASTORE_IOC_##name, size, mode, run }

static const struct ioctl_command commands[] = {
	COMMAND(INFO, 80, 0, ioctl_info),
	COMMAND(GET, 40, FMODE_READ, ioctl_get),
	COMMAND(SET, 40, FMODE_WRITE, ioctl_set),
	COMMAND(DELETE, 24, FMODE_WRITE, ioctl_delete),
	COMMAND(PUBLISH, 40, FMODE_WRITE, ioctl_publish),
	COMMAND(SUBSCRIBE, 32, FMODE_READ, metastore_ioctl_subscribe),
	COMMAND(UNSUBSCRIBE, 16, FMODE_READ, metastore_ioctl_unsubscribe),
	COMMAND(SUBSCRIBERS, 24, FMODE_READ, metastore_ioctl_subscribers),
	COMMAND(BUCKET, 24, 0, ioctl_bucket),
	COMMAND(STAT, 56, FMODE_READ, ioctl_stat),
	COMMAND(LIST, 48, FMODE_READ, ioctl_list),
	COMMAND(FLUSH, 40, FMODE_WRITE, ioctl_flush),
	COMMAND(BATCH, 24, 0, ioctl_batch),
	COMMAND(CREATE, 40, FMODE_WRITE, ioctl_create),
	COMMAND(OPEN, 8, 0, ioctl_open),
	COMMAND(QUEUE, 80, FMODE_READ, metastore_ioctl_queue),
	COMMAND(SUBSCRIPTION, 72, FMODE_READ, metastore_ioctl_subscription),
};

/* Finds a command, whatever the size of its structure. */
static const struct ioctl_command *ioctl_find_command(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);
	const unsigned int size_bits = _IOC_SIZEMASK << _IOC_SIZESHIFT;

	if (nr >= ARRAY_SIZE(commands))
		return NULL;
	nr = array_index_nospec(nr, ARRAY_SIZE(commands));
	return (commands[nr].cmd ^ cmd) & ~size_bits ? NULL : &commands[nr];
}

/* Apart from metastore_ioctl(), so that this one has nothing to save for it. */
static noinline long ioctl_run(struct metastore_file *file, unsigned int cmd, void __user *uarg)
{
	const struct ioctl_command *command;

	if (cmd == FIONREAD)
		return put_user((int)metastore_read_size(&file->queue), (int __user *)uarg);
	command = ioctl_find_command(cmd);
	if (!command)
		return -ENOTTY;
	if ((file->mode & command->mode) != command->mode)
		return -EBADF;
	if (_IOC_SIZE(cmd) < command->size)
		return -EINVAL;
	return command->run(file, uarg, _IOC_SIZE(cmd));
}

/**
 * metastore_ioctl - the device's unlocked_ioctl
 * @filp:	its open file
 * @cmd:	METASTORE_IOC_* or FIONREAD
 * @arg:	user address of the arguments
 *
 * Context: may sleep.
 * Return: 0 or what uapi/linux/metastore.h says.
 */
long metastore_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	int err = metastore_fastpath_run(filp->private_data, cmd, (void __user *)arg);

	return likely(err != -EAGAIN) ? err :
	       ioctl_run(filp->private_data, cmd, (void __user *)arg);
}
