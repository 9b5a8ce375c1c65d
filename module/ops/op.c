// SPDX-License-Identifier: GPL-2.0
/*
 * Operations on one key, for a single command or for a batch. An operation first checks
 * and copies its arguments, without a lock. Then it reads or changes the key.
 *
 * Functions shared with txn.c are still inline, since most of their calls are here.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/uaccess.h>

#include "base/trace.h"
#include "base/usercopy.h"
#include "store/bucket.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"

#define STORE_FLAGS \
	(METASTORE_CONDITIONS | METASTORE_F_OWNED | METASTORE_F_STEAL | \
	 METASTORE_F_PREVIOUS | METASTORE_F_KEEP_TTL)
#define DELETE_FLAGS	(METASTORE_F_IF_VERSION | METASTORE_F_STEAL | METASTORE_F_PREVIOUS)
#define TOUCH_FLAGS	METASTORE_F_IF_VERSION

/* The longest time to live, added to the clock, does not overflow ktime_t. */
static_assert(METASTORE_TTL_MAX <= (KTIME_MAX / 2) / NSEC_PER_MSEC);

static int op_check_key_len(u32 len)
{
	return len && len <= METASTORE_KEY_MAX ? 0 : -EINVAL;
}

/**
 * metastore_copy_key() - Copy a key in and locate its bucket
 * @file:	open file; selects the store
 * @buffer:	filled in
 * @key:	user address of the key
 * @len:	length of the key in bytes, not yet checked
 *
 * Context: Process context, may sleep.
 * Return: 0, -EINVAL or -EFAULT.
 */
inline int metastore_copy_key(struct metastore_file *file, struct metastore_key_buffer *buffer,
			      u64 key, u32 len)
{
	if (op_check_key_len(len))
		return -EINVAL;
	/* The checked length fits into @buffer. */
	if (metastore_copy_in(buffer->bytes, u64_to_user_ptr(key), len))
		return -EFAULT;
	buffer->key.bytes = buffer->bytes;
	buffer->key.len = len;
	metastore_store_locate(file->store, &buffer->key);
	return 0;
}

/* Check that the descriptor is open for an operation: reading is also to ask what was there. */
static bool op_is_permitted(const struct metastore_file *file, const struct metastore_op *op)
{
	if (op->op == METASTORE_OP_GET)
		return file->mode & FMODE_READ;
	return file->mode & FMODE_WRITE &&
	       (!(op->flags & METASTORE_F_PREVIOUS) || file->mode & FMODE_READ);
}

static int op_check_flags(u32 flags, u32 known)
{
	u32 conditions = flags & METASTORE_CONDITIONS;

	if (flags & ~known || conditions & (conditions - 1))
		return -EINVAL;
	return 0;
}

/* See metastore_op_check(). */
static __always_inline int op_check(struct metastore_file *file, const struct metastore_op *op)
{
	int err = op_check_key_len(op->key_len);

	switch (op->op) {
	case METASTORE_OP_GET:
		err = err ?: op->flags ? -EINVAL : 0;
		break;
	case METASTORE_OP_SET:
	case METASTORE_OP_PUBLISH:
		err = err ?: op->ttl > METASTORE_TTL_MAX ||
			     (op->ttl && op->flags & METASTORE_F_KEEP_TTL) ? -EINVAL : 0;
		err = err ?: op_check_flags(op->flags, STORE_FLAGS);
		break;
	case METASTORE_OP_DELETE:
		err = err ?: op->value || op->value_len || op->ttl ? -EINVAL : 0;
		err = err ?: op_check_flags(op->flags, DELETE_FLAGS);
		break;
	case METASTORE_OP_TOUCH:
		err = err ?: op->value || op->value_len || !op->ttl ||
			     op->ttl > METASTORE_TTL_MAX ? -EINVAL : 0;
		err = err ?: op_check_flags(op->flags, TOUCH_FLAGS);
		break;
	default:
		return -EINVAL;
	}
	if (err)
		return err;
	if (!op_is_permitted(file, op))
		return -EBADF;
	if (op->op != METASTORE_OP_GET &&
	    op->value_len > file->store->limits.max_value)
		return -EMSGSIZE;
	return 0;
}

/**
 * metastore_op_check() - Check the arguments and the access mode of an operation
 * @file:	open file
 * @op:		operation, copied from user space
 *
 * Return:
 * - 0: valid
 * - -EINVAL: an argument is invalid
 * - -EBADF: the file is not open for the operation
 * - -EMSGSIZE: the value is longer than the store's max_value
 */
int metastore_op_check(struct metastore_file *file, const struct metastore_op *op)
{
	return op_check(file, op);
}

/* Create the value of a SET or PUBLISH. @key is set and points to the value's bytes. */
static inline struct metastore_value *op_create_value(struct metastore_file *file,
						      const struct metastore_op *op,
						      struct metastore_key *key)
{
	bool owned = op->flags & METASTORE_F_OWNED;
	struct metastore_value *value;
	struct metastore_tie *tie;

	value = metastore_value_create(u64_to_user_ptr(op->key), op->key_len,
				       u64_to_user_ptr(op->value), op->value_len,
				       owned || op->ttl || op->flags & METASTORE_F_KEEP_TTL,
				       file->owner.payer);
	if (IS_ERR(value))
		return value;
	metastore_store_locate_value(file->store, value, key);
	value->node.hash = key->hash;
	if (metastore_value_is_tied(value)) {
		tie = metastore_tie_of(value);
		tie->owner = owned ? &file->owner : NULL;
		if (op->ttl)
			tie->expiry.expires = ms_to_ktime(op->ttl);
	}
	return value;
}

/* See metastore_op_prepare(). */
static __always_inline int op_prepare(struct metastore_file *file, const struct metastore_op *op,
				      struct metastore_key_buffer *buffer,
				      struct metastore_change *change)
{
	struct metastore_value *value;

	*change = (struct metastore_change) {
		.key = &buffer->key,
		.by = &file->owner,
		.flags = op->flags,
		.version = op->version,
		.previous_len = op->flags & METASTORE_F_PREVIOUS ? op->previous.len : 0,
	};
	if (op->op == METASTORE_OP_DELETE || op->op == METASTORE_OP_TOUCH) {
		/* No event of a TOUCH is made. */
		change->type = METASTORE_EVENT_DELETED;
		return metastore_copy_key(file, buffer, op->key, op->key_len);
	}
	change->type = metastore_op_event(op->op);
	value = op_create_value(file, op, &buffer->key);
	if (IS_ERR(value))
		return PTR_ERR(value);
	change->value = value;
	return 0;
}

/**
 * metastore_op_prepare() - Turn an operation into a change
 * @file:	open file
 * @op:		SET, PUBLISH, DELETE or TOUCH, after metastore_op_check()
 * @buffer:	its key is set; must outlive @change
 * @change:	filled in; the caller owns the reference to its value, if it has one
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOMEM or -EFAULT.
 */
int metastore_op_prepare(struct metastore_file *file, const struct metastore_op *op,
			 struct metastore_key_buffer *buffer, struct metastore_change *change)
{
	return op_prepare(file, op, buffer, change);
}

/**
 * metastore_op_tell() - Fill in the results of a change
 * @op:		operation; its [out] fields are set
 * @change:	the change, made or refused
 * @refused:	whether it was refused; its only result is a version then
 */
inline void metastore_op_tell(struct metastore_op *op, const struct metastore_change *change,
			      bool refused)
{
	op->version = change->version;
	if (!refused)
		op->queues = op->op == METASTORE_OP_PUBLISH ? change->queues : 0;
}

/**
 * metastore_op_tell_previous() - Tell the user about the value that a change replaced
 * @change:	change with METASTORE_F_PREVIOUS; its reference to that value is dropped
 * @previous:	the user's arguments; its [out] fields are set after success and -ERANGE
 * @err:	result of the change
 *
 * Context: Process context, may sleep.
 * Return: @err, or -EFAULT: the change is made, but the value could not be copied out.
 */
int metastore_op_tell_previous(struct metastore_change *change,
			       struct metastore_previous *previous, int err)
{
	struct metastore_value *value = change->previous;

	if (err && err != -ERANGE)
		return err;
	previous->len = change->previous_len;
	previous->version = change->previous_version;
	previous->owner = METASTORE_OWNER_NONE;
	if (err)
		return err;
	previous->len = 0;
	if (!value)
		return 0;
	previous->len = value->len;
	previous->version = value->version;
	previous->owner = metastore_value_owner(value, change->by);
	err = metastore_value_to_user(value, u64_to_user_ptr(previous->value));
	metastore_value_put(value);
	return err;
}

/**
 * metastore_op_look() - Copy the value that a GET found to the user
 * @file:	open file
 * @op:		the GET; its [out] fields are set, after -ERANGE only length and version
 * @value:	value found; the caller holds a reference
 *
 * Context: Process context, may sleep.
 * Return: 0, -EFAULT, or -ERANGE if the buffer is too small.
 */
inline int metastore_op_look(struct metastore_file *file, struct metastore_op *op,
			     const struct metastore_value *value)
{
	u32 room = op->value_len;

	op->value_len = value->len;
	op->version = value->version;
	if (room < value->len)
		return -ERANGE;
	op->ttl = metastore_value_ttl(value);
	op->owner = metastore_value_owner(value, &file->owner);
	return metastore_value_to_user(value, u64_to_user_ptr(op->value));
}

/**
 * metastore_op_trace_get() - Trace a GET
 * @file:	open file
 * @key:	the key
 * @op:		the GET; its version and length are set, unless @ret is an error but -ERANGE
 * @ret:	its result
 */
void metastore_op_trace_get(const struct metastore_file *file, const struct metastore_key *key,
			    const struct metastore_op *op, int ret)
{
	bool found = !ret || ret == -ERANGE;

	trace_metastore_get(file, key->bytes, key->len, found ? op->version : 0,
			    found ? op->value_len : 0, ret);
}

/**
 * metastore_op_get() - Run a GET
 * @file:	open file
 * @op:		the GET, copied from user space; its [out] fields are set
 * @info:	its time, tgid and uid are set on success; or NULL
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of GET in uapi/linux/metastore.h.
 */
int metastore_op_get(struct metastore_file *file, struct metastore_op *op,
		     struct metastore_get *info)
{
	struct metastore_key_buffer buffer __uninitialized;
	struct metastore_value *value;
	int err;

	err = op_check(file, op) ?:
	      metastore_copy_key(file, &buffer, op->key, op->key_len);
	if (err)
		return err;
	value = metastore_bucket_get(&buffer.key);
	err = value ? metastore_op_look(file, op, value) : -ENOENT;
	if (trace_metastore_get_enabled())
		metastore_op_trace_get(file, &buffer.key, op, err);
	if (!err && info) {
		info->time = value->time;
		info->tgid = metastore_value_tgid(value);
		info->uid = from_kuid_munged(current_user_ns(), value->uid);
	}
	if (value)
		metastore_value_put(value);
	return err;
}

/*
 * Make a change that may wait. It is charged to the file's user once it must wait, which it
 * seldom must.
 */
static int op_wait(struct metastore_file *file, struct metastore_change *change,
		   struct metastore_wait *wait)
{
	struct metastore_wait none = {};
	int err;

	err = metastore_change_waiting(change, &none);
	if (err != -EAGAIN || !wait->timeout)
		return err;
	err = metastore_user_charge(file->user, METASTORE_USER_WAITING, 1);
	if (err)
		return err;
	err = metastore_change_waiting(change, wait);
	metastore_user_uncharge(file->user, METASTORE_USER_WAITING, 1);
	return err;
}

/* Run a PUBLISH that may wait. */
static int op_change_waiting(struct metastore_file *file, struct metastore_change *change,
			     struct metastore_wait *wait)
{
	int err = op_wait(file, change, wait);

	/* Not by each try. After a signal the system call may be repeated. */
	if (err && err != -ERESTARTSYS)
		trace_metastore_refuse(change, err);
	return err;
}

/* Run a SET, PUBLISH, DELETE or TOUCH. @wait is as in metastore_op_run(). */
static int op_change(struct metastore_file *file, struct metastore_op *op,
		     struct metastore_wait *wait)
{
	struct metastore_key_buffer buffer __uninitialized;
	struct metastore_change change __uninitialized;
	int err;

	err = op_prepare(file, op, &buffer, &change);
	if (err)
		return err;
	if (op->op == METASTORE_OP_TOUCH)
		err = metastore_change_touch(&change, op->ttl);
	else
		err = wait ? op_change_waiting(file, &change, wait) :
			     metastore_change_make(&change);
	if (err && change.value)
		metastore_value_put(change.value);
	metastore_op_tell(op, &change, err);
	return unlikely(op->flags & METASTORE_F_PREVIOUS) ?
	       metastore_op_tell_previous(&change, &op->previous, err) : err;
}

/**
 * metastore_op_run() - Run an operation
 * @file:	open file
 * @op:		operation, copied from user space; its [out] fields are set, except
 *		@op->result
 * @wait:	how long a PUBLISH waits until all lossless queues have room; NULL: do
 *		not require room
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of the command of that name in uapi/linux/metastore.h; for
 * EINTR -ERESTARTSYS, see metastore_change_waiting().
 */
int metastore_op_run(struct metastore_file *file, struct metastore_op *op,
		     struct metastore_wait *wait)
{
	int err;

	if (op->op == METASTORE_OP_GET)
		return metastore_op_get(file, op, NULL);
	err = op_check(file, op);
	return err ?: op_change(file, op, wait);
}

/**
 * metastore_op_stat() - Fill in the properties of a key's value
 * @key:	the key
 * @file:	open file that runs the command
 * @stat:	its [out] fields are set, except @stat->bucket
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 * Return: 0, or -ENOENT if the key has no value.
 */
int metastore_op_stat(const struct metastore_key *key, const struct metastore_file *file,
		      struct metastore_stat *stat)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_value *value;
	int err = -ENOENT;

	spin_lock(&bucket->lock);
	value = metastore_bucket_find(key);
	if (value && !metastore_value_is_over(value)) {
		stat->version = value->version;
		stat->time = value->time;
		stat->value_len = value->len;
		stat->tgid = metastore_value_tgid(value);
		stat->uid = from_kuid_munged(current_user_ns(), value->uid);
		stat->ttl = metastore_value_ttl(value);
		stat->owner = metastore_value_owner(value, &file->owner);
		err = 0;
	}
	spin_unlock(&bucket->lock);
	if (!err)
		stat->subscribers = metastore_subscribers(key);
	return err;
}
