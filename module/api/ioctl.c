// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of uapi/linux/metastore.h, which documents their errors.
 *
 * metastore_ioctl() finds a command in a table and copies its arguments in. Each command
 * has a function that checks the arguments, runs the command, and copies the results out
 * with metastore_ioctl_respond(). Commands of subscriptions and the queue are in
 * ioctl_events.c, those of many keys in ioctl_range.c.
 */
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/uaccess.h>

#include <asm/ioctls.h>

#include "base/usercopy.h"
#include "store/bucket.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"
#include "ops/retire.h"
#include "api/api.h"

#define FEATURES \
	(METASTORE_FEATURE_CONDITIONS | METASTORE_FEATURE_OWNERS | \
	 METASTORE_FEATURE_TTL | METASTORE_FEATURE_BATCH | METASTORE_FEATURE_PRIVATE | \
	 METASTORE_FEATURE_DELIVERY | METASTORE_FEATURE_WAIT | METASTORE_FEATURE_TOUCH | \
	 METASTORE_FEATURE_PREVIOUS | METASTORE_FEATURE_DETAILS | METASTORE_FEATURE_RESYNC | \
	 METASTORE_FEATURE_USERS | METASTORE_FEATURE_MAP_RING | \
	 METASTORE_FEATURE_MAP_STORE)

/* The ABI is the same for every compiler and kernel, also for 32-bit programs. */
static_assert(sizeof(struct metastore_set) == 80);
static_assert(offsetof(struct metastore_set, version) == 32);
static_assert(offsetof(struct metastore_set, deadline) == 52);
static_assert(offsetof(struct metastore_set, previous.len) == 72);
static_assert(sizeof(struct metastore_touch) == 32);
static_assert(sizeof(struct metastore_get) == 64);
static_assert(offsetof(struct metastore_get, time) == 48);
static_assert(offsetof(struct metastore_get, version) == 32);
static_assert(sizeof(struct metastore_stat) == 72);
static_assert(offsetof(struct metastore_stat, value_len) == 32);
static_assert(sizeof(struct metastore_delete) == 48);
static_assert(offsetof(struct metastore_delete, previous.len) == 40);
static_assert(sizeof(struct metastore_flush) == 40);
static_assert(offsetof(struct metastore_flush, values) == 24);
static_assert(sizeof(struct metastore_subscribe) == 40);
static_assert(sizeof(struct metastore_queue_info) == 88);
static_assert(offsetof(struct metastore_queue_info, matched) == 32);
static_assert(sizeof(struct metastore_subscription_info) == 80);
static_assert(offsetof(struct metastore_subscription_info, matched) == 32);
static_assert(sizeof(struct metastore_unsubscribe) == 16);
static_assert(sizeof(struct metastore_subscribers) == 24);
static_assert(sizeof(struct metastore_key_bucket) == 24);
static_assert(sizeof(struct metastore_list) == 48);
static_assert(sizeof(struct metastore_list_entry) == 24);
static_assert(sizeof(struct metastore_list_details) == 32);
static_assert(sizeof(struct metastore_info) == 88);
static_assert(sizeof(struct metastore_user_kind) == 24);
static_assert(sizeof(struct metastore_user_info) == 232);
static_assert(offsetof(struct metastore_user_info, kinds) == 16);
static_assert(sizeof(struct metastore_op) == 80);
static_assert(offsetof(struct metastore_op, version) == 40);
static_assert(offsetof(struct metastore_op, previous.len) == 72);
static_assert(sizeof(struct metastore_batch) == 24);
static_assert(sizeof(struct metastore_create) == 40);
static_assert(sizeof(struct metastore_open) == 8);
static_assert(sizeof(struct metastore_owner_end) == 8);
static_assert(sizeof(struct metastore_event) == 48);
static_assert(offsetof(struct metastore_event, value_len) == 32);
static_assert(sizeof(struct metastore_ring_producer) == 32);
static_assert(sizeof(struct metastore_ring_consumer) == 8);

static int ioctl_get(struct metastore_call *call)
{
	struct metastore_get *args = &call->args.get;
	bool has_ttl = call->size >= offsetofend(struct metastore_get, ttl);
	bool info = args->flags & METASTORE_GET_INFO;
	struct metastore_op op __uninitialized;
	int err;

	/* In a structure without @ttl the field is reserved. */
	if (!has_ttl && args->owner)
		return -EINVAL;
	if (info && call->size < offsetofend(struct metastore_get, uid))
		return -EINVAL;
	op.op = METASTORE_OP_GET;
	op.key = args->key;
	op.value = args->value;
	op.key_len = args->key_len;
	op.value_len = args->value_len;
	op.flags = args->flags & ~METASTORE_GET_INFO;
	err = metastore_op_get(call->file, &op, info ? args : NULL);
	if (err && err != -ERANGE)
		return err;
	args->value_len = op.value_len;
	args->version = op.version;
	if (!err && has_ttl) {
		args->owner = op.owner;
		args->ttl = op.ttl;
	}
	return (info ? metastore_ioctl_respond(call, get, value_len, uid) :
		       metastore_ioctl_respond(call, get, value_len, ttl)) ?: err;
}

/* Tell the longest wait in ms; 0 if the file is non-blocking. */
static u32 ioctl_patience(const struct metastore_file *file, u32 timeout)
{
	return READ_ONCE(file->filp->f_flags) & O_NONBLOCK ? 0 : timeout;
}

/*
 * Keep the end of an interrupted wait in the caller's arguments, where the restarted
 * call finds it; else clear it there. Returns @err, or if that fails -EINTR or -EFAULT.
 */
static int ioctl_keep_deadline(struct metastore_call *call, u32 deadline, int err)
{
	call->args.set.deadline = deadline;
	/* A shorter structure has no room for it. */
	if (call->size >= offsetofend(struct metastore_set, deadline) &&
	    !metastore_ioctl_respond(call, set, deadline, deadline))
		return err;
	return err == -ERESTARTSYS ? -EINTR : -EFAULT;
}

/* Check whether the results of a change tell about the previous value. */
static bool ioctl_tells_previous(u32 flags, int err)
{
	return flags & METASTORE_F_PREVIOUS && (!err || err == -ERANGE);
}

/* Check that a structure whose field @previous ends at @end has it if @flags ask for it. */
static bool ioctl_has_previous(const struct metastore_call *call, u32 flags, size_t end)
{
	return !(flags & METASTORE_F_PREVIOUS) || call->size >= end;
}

/* Set @op->previous if the flags, which are set, ask for it: nothing else looks at it. */
static void ioctl_set_previous(struct metastore_op *op, const struct metastore_previous *previous)
{
	if (op->flags & METASTORE_F_PREVIOUS)
		op->previous = *previous;
}

/* SET and PUBLISH */
static int ioctl_store(struct metastore_call *call)
{
	struct metastore_set *args = &call->args.set;
	bool waits = args->flags & METASTORE_F_WAIT;
	struct metastore_wait wait = { ioctl_patience(call->file, args->timeout), args->deadline };
	struct metastore_op op __uninitialized;
	int err;

	if (waits ? call->op != METASTORE_OP_PUBLISH : args->timeout || args->deadline)
		return -EINVAL;
	if (!ioctl_has_previous(call, args->flags, offsetofend(struct metastore_set, previous)))
		return -EINVAL;
	op.op = call->op;
	op.key = args->key;
	op.value = args->value;
	op.key_len = args->key_len;
	op.value_len = args->value_len;
	op.flags = args->flags & ~METASTORE_F_WAIT;
	op.version = args->version;
	op.ttl = args->ttl;
	ioctl_set_previous(&op, &args->previous);
	err = metastore_op_run(call->file, &op, waits ? &wait : NULL);
	/* Also where it failed before it could wait. */
	if (err != -ERESTARTSYS)
		wait.deadline = 0;
	if (waits && wait.deadline != args->deadline)
		err = ioctl_keep_deadline(call, wait.deadline, err);
	if (ioctl_tells_previous(args->flags, err)) {
		args->previous = op.previous;
		err = metastore_ioctl_respond(call, set, previous, previous) ?: err;
	}
	if (err && err != -EEXIST && err != -ESTALE)
		return err;
	args->version = op.version;
	if (!err)
		args->queues = op.queues;
	return metastore_ioctl_respond(call, set, queues, version) ?: err;
}

static int ioctl_delete(struct metastore_call *call)
{
	struct metastore_delete *args = &call->args.delete;
	struct metastore_op op __uninitialized;
	int err;

	if (!ioctl_has_previous(call, args->flags, offsetofend(struct metastore_delete, previous)))
		return -EINVAL;
	op.op = METASTORE_OP_DELETE;
	op.key = args->key;
	op.value = 0;
	op.key_len = args->key_len;
	op.value_len = 0;
	op.flags = args->flags;
	op.version = args->version;
	op.ttl = 0;
	ioctl_set_previous(&op, &args->previous);
	err = metastore_op_run(call->file, &op, NULL);
	if (ioctl_tells_previous(args->flags, err)) {
		args->previous = op.previous;
		err = metastore_ioctl_respond(call, delete, previous, previous) ?: err;
	}
	if (err && err != -ESTALE)
		return err;
	args->version = op.version;
	return metastore_ioctl_respond(call, delete, version, version) ?: err;
}

static int ioctl_touch(struct metastore_call *call)
{
	struct metastore_touch *args = &call->args.touch;
	struct metastore_op op = {
		.op = METASTORE_OP_TOUCH,
		.key = args->key,
		.key_len = args->key_len,
		.flags = args->flags,
		.version = args->version,
		.ttl = args->ttl,
	};
	int err;

	err = metastore_op_run(call->file, &op, NULL);
	if (err && err != -ESTALE)
		return err;
	args->version = op.version;
	return metastore_ioctl_respond(call, touch, version, version) ?: err;
}

static int ioctl_batch(struct metastore_call *call)
{
	int err = metastore_batch_run(call->file, &call->args.batch);

	if (err && err != -ECANCELED)
		return err;
	return metastore_ioctl_respond(call, batch, failed, failed) ?: err;
}

static int ioctl_bucket(struct metastore_call *call)
{
	struct metastore_key_bucket *args = &call->args.bucket;
	struct metastore_store *store = call->file->store;
	struct metastore_key_buffer buffer;
	int err;

	if (args->flags)
		return -EINVAL;
	err = metastore_copy_key(call->file, &buffer, args->key, args->key_len);
	if (err)
		return err;
	args->bucket = metastore_store_bucket_index(store, &buffer.key);
	args->buckets = store->limits.buckets;
	return metastore_ioctl_respond(call, key_bucket, bucket, buckets);
}

static int ioctl_stat(struct metastore_call *call)
{
	struct metastore_stat *args = &call->args.stat;
	struct metastore_key_buffer buffer;
	int err;

	if (args->flags || args->reserved || args->reserved2)
		return -EINVAL;
	err = metastore_copy_key(call->file, &buffer, args->key, args->key_len) ?:
	      metastore_op_stat(&buffer.key, call->file, args);
	if (err)
		return err;
	args->bucket = metastore_store_bucket_index(call->file->store, &buffer.key);
	return metastore_ioctl_respond(call, stat, key, reserved2);
}

static int ioctl_info(struct metastore_call *call)
{
	struct metastore_info *args = &call->args.info;
	struct metastore_store *store = call->file->store;
	const struct metastore_limits *limits = &store->limits;
	struct metastore_range range;
	int err;

	if (args->flags)
		return -EINVAL;
	err = metastore_store_range(store, args->bucket, &range);
	if (err)
		return err;
	args->features = FEATURES;
	args->buckets = limits->buckets;
	args->key_max = METASTORE_KEY_MAX;
	args->max_value = limits->max_value;
	args->queue_len = limits->queue_len;
	args->queue_bytes = limits->queue_bytes;
	args->max_subscriptions = METASTORE_MAX_SUBSCRIPTIONS;
	args->max_keys = limits->max_keys;
	args->max_bytes = limits->max_bytes;
	args->private_bytes = metastore_private_bytes();
	metastore_store_count(store, &range, args);
	return metastore_ioctl_respond(call, info, bucket, private_bytes);
}

static void ioctl_tell_user(struct metastore_user *user, struct metastore_user_info *info)
{
	metastore_user_tell(user, info);
	metastore_store_tell_shares(user, info);
}

static int ioctl_user(struct metastore_call *call)
{
	struct metastore_user_info *args = &call->args.user;
	struct metastore_user *next;

	if (args->flags & ~METASTORE_USER_NEXT ||
	    (!args->flags && (args->ns || args->uid)))
		return -EINVAL;
	if (args->flags & METASTORE_USER_NEXT) {
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		next = metastore_user_get_next(args->ns, args->uid);
		if (!next)
			return -ENOENT;
		ioctl_tell_user(next, args);
		metastore_user_put(next);
	} else {
		ioctl_tell_user(call->file->user, args);
	}
	return metastore_ioctl_respond(call, user_info, flags, kinds);
}

static int ioctl_check_open_flags(u32 flags)
{
	if (flags & ~(O_ACCMODE | O_NONBLOCK | O_CLOEXEC) ||
	    (flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	return 0;
}

/* A new store with wider limits than the caller's store needs CAP_SYS_RESOURCE. */
static bool ioctl_is_wider(const struct metastore_limits *limits,
			   const struct metastore_limits *than)
{
	return limits->max_value > than->max_value ||
	       limits->queue_len > than->queue_len ||
	       limits->queue_bytes > than->queue_bytes ||
	       limits->max_keys > than->max_keys ||
	       limits->max_bytes > than->max_bytes;
}

static int ioctl_create(struct metastore_call *call)
{
	const struct metastore_limits *like = &call->file->store->limits;
	const struct metastore_create *args = &call->args.create;
	struct metastore_limits limits;
	struct metastore_store *store;
	int ret;

	if (args->flags & ~METASTORE_CREATE_MAPPED || ioctl_check_open_flags(args->open_flags))
		return -EINVAL;
	limits = (struct metastore_limits) {
		.buckets = args->buckets ?: min_t(u32, METASTORE_PRIVATE_BUCKETS, like->buckets),
		.max_value = args->max_value ?: like->max_value,
		.queue_len = args->queue_len ?: like->queue_len,
		.queue_bytes = args->queue_bytes ?: like->queue_bytes,
		.max_keys = args->max_keys ?: like->max_keys,
		.max_bytes = args->max_bytes ?: like->max_bytes,
		.mapped = args->flags & METASTORE_CREATE_MAPPED,
	};
	if (ioctl_is_wider(&limits, like) && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	store = metastore_store_create(&limits, true, metastore_change_expire_all);
	if (IS_ERR(store))
		return PTR_ERR(store);
	ret = metastore_device_open_fd(store, args->open_flags, NULL);
	metastore_store_put(store);
	return ret;
}

static int ioctl_open(struct metastore_call *call)
{
	const struct metastore_open *args = &call->args.open;

	if (args->flags || ioctl_check_open_flags(args->open_flags))
		return -EINVAL;
	if (OPEN_FMODE(args->open_flags) & ~call->file->mode)
		return -EACCES;
	return metastore_device_open_fd(call->file->store, args->open_flags, call->file);
}

/**
 * struct ioctl_command - table entry of a command
 * @cmd:	command number, with the current size of its structure
 * @min_size:	size of the structure in the first version of the header; the smallest
 *		that is accepted
 * @op:		METASTORE_OP_*; 0: the command is not an operation
 * @mode:	FMODE_* that the descriptor must be open for
 * @run:	slow path: runs the command with the arguments copied in
 * @fast:	fast path for arguments of the current size, or NULL. Returns -EAGAIN,
 *		with nothing done, if the slow path must run the command
 */
struct ioctl_command {
	unsigned int cmd;
	u16 min_size;
	u16 op;
	fmode_t mode;
	int (*run)(struct metastore_call *call);
	int (*fast)(struct metastore_file *file, void __user *uargs, u32 op);
};

/* Arguments are copied in 8-byte words to a union metastore_args. */
#define COMMAND_OF(name) \
	(METASTORE_IOC_##name + \
	 BUILD_BUG_ON_ZERO(_IOC_SIZE(METASTORE_IOC_##name) % 8 || \
			   _IOC_SIZE(METASTORE_IOC_##name) > sizeof(union metastore_args)))

#define COMMAND(name, min_size, mode, run) \
	[_IOC_NR(METASTORE_IOC_##name)] = { \
		COMMAND_OF(name), min_size, 0, mode, run, NULL \
	}

#define OPERATION(name, min_size, mode, run, fast) \
	[_IOC_NR(METASTORE_IOC_##name)] = { \
		COMMAND_OF(name), min_size, METASTORE_OP_##name, mode, run, fast \
	}

/* A power of two, so a masked number stays in the table even under speculation. */
#define NR_COMMANDS	32

static const struct ioctl_command ioctl_commands[NR_COMMANDS] = {
	COMMAND(INFO, 80, 0, ioctl_info),
	OPERATION(GET, 40, FMODE_READ, ioctl_get, metastore_fastpath_get),
	OPERATION(SET, 40, FMODE_WRITE, ioctl_store, metastore_fastpath_store),
	OPERATION(DELETE, 24, FMODE_WRITE, ioctl_delete, metastore_fastpath_delete),
	OPERATION(PUBLISH, 40, FMODE_WRITE, ioctl_store, metastore_fastpath_store),
	COMMAND(SUBSCRIBE, 32, FMODE_READ, metastore_ioctl_subscribe),
	COMMAND(UNSUBSCRIBE, 16, FMODE_READ, metastore_ioctl_unsubscribe),
	COMMAND(SUBSCRIBERS, 24, FMODE_READ, metastore_ioctl_subscribers),
	COMMAND(BUCKET, 24, 0, ioctl_bucket),
	COMMAND(STAT, 56, FMODE_READ, ioctl_stat),
	COMMAND(LIST, 48, FMODE_READ, metastore_ioctl_list),
	COMMAND(FLUSH, 40, FMODE_WRITE, metastore_ioctl_flush),
	COMMAND(BATCH, 24, 0, ioctl_batch),
	COMMAND(CREATE, 40, FMODE_WRITE, ioctl_create),
	COMMAND(OPEN, 8, 0, ioctl_open),
	COMMAND(QUEUE, 80, FMODE_READ, metastore_ioctl_queue),
	COMMAND(SUBSCRIPTION, 72, FMODE_READ, metastore_ioctl_subscription),
	COMMAND(USER, 232, 0, ioctl_user),
	OPERATION(TOUCH, 32, FMODE_WRITE, ioctl_touch, NULL),
};

/* Slow path. Separate, so that metastore_ioctl() need not save registers for it. */
static noinline int ioctl_run(struct metastore_file *file, unsigned int cmd, void __user *uargs,
			      const struct ioctl_command *command)
{
	size_t size = _IOC_SIZE(command->cmd), usize = _IOC_SIZE(cmd);
	struct metastore_call call __uninitialized;
	int err;

	/* Compare all but the size of the structure. */
	if ((command->cmd ^ cmd) & ~IOCSIZE_MASK)
		return cmd == FIONREAD ? put_user((int)metastore_read_size(&file->queue),
						  (int __user *)uargs) : -ENOTTY;
	if ((file->mode & command->mode) != command->mode)
		return -EBADF;
	if (usize < command->min_size)
		return -EINVAL;
	/* COMMAND_OF() checks that @size fits into call.args. */
	err = usize == size ? metastore_copy_in(&call.args, uargs, size) :
			      copy_struct_from_user(&call.args, size, uargs, usize);
	if (err)
		return err;
	call.file = file;
	call.uargs = uargs;
	call.size = min(size, usize);
	call.op = command->op;
	return command->run(&call);
}

/**
 * metastore_ioctl() - Implement unlocked_ioctl of the device
 * @filp:	open file of the device
 * @cmd:	METASTORE_IOC_* or FIONREAD
 * @arg:	user address of the arguments
 *
 * Context: Process context, may sleep.
 * Return: 0, a descriptor if the command makes one, or an error listed in
 * uapi/linux/metastore.h.
 */
long metastore_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const struct ioctl_command *command = &ioctl_commands[_IOC_NR(cmd) % NR_COMMANDS];
	int err = -EAGAIN;

	if (metastore_is_retired(filp->private_data))
		return -ENODEV;

	/* Fast paths write results field by field. */
	if (command->cmd == cmd && command->fast && metastore_fits_words((void __user *)arg))
		err = command->fast(filp->private_data, (void __user *)arg, command->op);
	return likely(err != -EAGAIN) ? err :
	       ioctl_run(filp->private_data, cmd, (void __user *)arg, command);
}
