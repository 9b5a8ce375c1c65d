// SPDX-License-Identifier: GPL-2.0
/*
 * What is done with one key, by a command or by a batch: what can be checked and
 * copied before a lock is taken, then the thing itself.
 *
 * Functions that batch.c calls as well are inline all the same: most calls are here.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/uaccess.h>

#include "base/usercopy.h"
#include "store/bucket.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"

#define CONDITIONS \
	(METASTORE_F_CREATE | METASTORE_F_REPLACE | METASTORE_F_IF_VERSION)

#define STORE_FLAGS	(CONDITIONS | METASTORE_F_OWNED | METASTORE_F_STEAL)
#define DELETE_FLAGS	(METASTORE_F_IF_VERSION | METASTORE_F_STEAL)

/* Counted from any time of the clock it does not overflow. */
static_assert(METASTORE_TTL_MAX <= (KTIME_MAX / 2) / NSEC_PER_MSEC);

static int op_check_key_len(u32 len)
{
	return len && len <= METASTORE_KEY_MAX ? 0 : -EINVAL;
}

/**
 * metastore_copy_key - copy a key in and find out where it belongs
 * @file:	open file whose store is meant
 * @buffer:	is filled
 * @key:	user address of the key
 * @len:	its length in bytes, as the user gave it
 *
 * Context: may sleep.
 * Return: 0, -EINVAL or -EFAULT.
 */
inline int metastore_copy_key(struct metastore_file *file, struct metastore_key_buffer *buffer,
			      u64 key, u32 len)
{
	if (op_check_key_len(len))
		return -EINVAL;
	/* So there is room for it. */
	if (metastore_copy_in(buffer->bytes, u64_to_user_ptr(key), len))
		return -EFAULT;
	buffer->key.bytes = buffer->bytes;
	buffer->key.len = len;
	metastore_store_locate(file->store, &buffer->key);
	return 0;
}

/* What the descriptor must be open for. */
static fmode_t op_mode_of(u32 op)
{
	return op == METASTORE_OP_GET ? FMODE_READ : FMODE_WRITE;
}

static int op_check_flags(u32 flags, u32 known)
{
	u32 conditions = flags & CONDITIONS;

	if (flags & ~known || conditions & (conditions - 1))
		return -EINVAL;
	return 0;
}

/**
 * metastore_op_check - check all of an operation that needs no look at the store
 * @file:	open file
 * @op:		operation, copied from user space
 *
 * Return: 0; -EINVAL; -EBADF: the file is not open for it; -EMSGSIZE.
 */
inline int metastore_op_check(struct metastore_file *file, const struct metastore_op *op)
{
	int err = op_check_key_len(op->key_len);

	switch (op->op) {
	case METASTORE_OP_GET:
		err = err ?: op->flags ? -EINVAL : 0;
		break;
	case METASTORE_OP_SET:
	case METASTORE_OP_PUBLISH:
		err = err ?: op->ttl > METASTORE_TTL_MAX ? -EINVAL : 0;
		err = err ?: op_check_flags(op->flags, STORE_FLAGS);
		break;
	case METASTORE_OP_DELETE:
		err = err ?: op->value || op->value_len || op->ttl ? -EINVAL : 0;
		err = err ?: op_check_flags(op->flags, DELETE_FLAGS);
		break;
	default:
		return -EINVAL;
	}
	if (err)
		return err;
	if (!(file->mode & op_mode_of(op->op)))
		return -EBADF;
	if (op->op != METASTORE_OP_GET &&
	    op->value_len > file->store->limits.max_value)
		return -EMSGSIZE;
	return 0;
}

/* Makes the value of a SET or PUBLISH, and a key of its bytes. */
static inline struct metastore_value *op_create_value(struct metastore_file *file,
						      const struct metastore_op *op,
						      struct metastore_key *key)
{
	bool owned = op->flags & METASTORE_F_OWNED;
	struct metastore_value *value;
	struct metastore_tie *tie;

	value = metastore_value_create(u64_to_user_ptr(op->key), op->key_len,
				       u64_to_user_ptr(op->value), op->value_len,
				       owned || op->ttl);
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

/**
 * metastore_op_prepare - make a change of an operation
 * @file:	open file
 * @op:		operation that is no GET, after metastore_op_check()
 * @buffer:	its key is set, and must stay as long as @change
 * @change:	is set; has a reference to its value, if any, for the caller
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM or -EFAULT.
 */
inline int metastore_op_prepare(struct metastore_file *file, const struct metastore_op *op,
				struct metastore_key_buffer *buffer,
				struct metastore_change *change)
{
	struct metastore_value *value;

	*change = (struct metastore_change) {
		.key = &buffer->key,
		.by = &file->owner,
		.flags = op->flags,
		.version = op->version,
	};
	if (op->op == METASTORE_OP_DELETE) {
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
 * metastore_op_tell - what came of a change, for the user
 * @op:		its [out] fields are set
 * @change:	the change, made or refused
 * @refused:	which of the two; then there is no more to tell than a version
 */
inline void metastore_op_tell(struct metastore_op *op, const struct metastore_change *change,
			      bool refused)
{
	op->version = change->version;
	if (!refused)
		op->queues = op->op == METASTORE_OP_PUBLISH ? change->queues : 0;
}

/**
 * metastore_op_look - give the user what a GET found
 * @file:	open file
 * @op:		GET, whose [out] fields are set
 * @value:	value found, to which the caller has a reference
 *
 * Context: may sleep.
 * Return: 0; -ERANGE: its buffer is too small; -EFAULT.
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

static int op_get(struct metastore_file *file, struct metastore_op *op)
{
	struct metastore_key_buffer buffer __uninitialized;
	struct metastore_value *value;
	int err;

	err = metastore_copy_key(file, &buffer, op->key, op->key_len);
	if (err)
		return err;
	value = metastore_bucket_get(&buffer.key);
	if (!value)
		return -ENOENT;
	err = metastore_op_look(file, op, value);
	metastore_value_put(value);
	return err;
}

/* Waits for lossless queues if @timeout is not NULL, as long as that says. */
static int op_change(struct metastore_file *file, struct metastore_op *op,
		     const u32 *timeout)
{
	struct metastore_key_buffer buffer __uninitialized;
	struct metastore_change change __uninitialized;
	int err;

	err = metastore_op_prepare(file, op, &buffer, &change);
	if (err)
		return err;
	err = timeout ? metastore_change_waiting(&change, *timeout) :
			metastore_change_make(&change);
	if (err && change.value)
		metastore_value_put(change.value);
	metastore_op_tell(op, &change, err);
	return err;
}

/**
 * metastore_op_run - do an operation
 * @file:	open file
 * @op:		operation, copied from user space; its [out] fields but the result
 *		are set
 * @timeout:	for a PUBLISH that waits until all lossless queues have room: how long, in
 *		ms, or METASTORE_WAIT_FOREVER; 0: not at all. Else NULL
 *
 * Context: may sleep.
 * Return: 0 or what uapi/linux/metastore.h says of the command of that name.
 */
int metastore_op_run(struct metastore_file *file, struct metastore_op *op, const u32 *timeout)
{
	int err = metastore_op_check(file, op);

	if (err)
		return err;
	return op->op == METASTORE_OP_GET ? op_get(file, op) : op_change(file, op, timeout);
}

/**
 * metastore_op_stat - tell what is known of a key
 * @key:	the key
 * @file:	who asks
 * @stat:	its [out] fields but the bucket are set
 *
 * Context: takes the bucket's lock.
 * Return: 0 or -ENOENT.
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
		stat->tgid = value->tgid;
		stat->uid = from_kuid_munged(current_user_ns(), value->uid);
		stat->subscribers = metastore_subscribers(key);
		stat->ttl = metastore_value_ttl(value);
		stat->owner = metastore_value_owner(value, &file->owner);
		err = 0;
	}
	spin_unlock(&bucket->lock);
	return err;
}
