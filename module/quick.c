// SPDX-License-Identifier: GPL-2.0
/*
 * GET, SET and PUBLISH by the short way, which nearly all go: no flag, no time to live, a
 * value in one piece, user memory that is there. Each is one function's work from the
 * arguments to the result, and a GET needs neither a lock nor a reference. Whatever is out
 * of the ordinary, errors in the arguments too, is left to the long way: ioctl.c,
 * operation.c.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "bucket.h"
#include "device.h"
#include "quick.h"
#include "usercopy.h"

/* Keys up to that length go the short way. */
#define SHORT_KEY	64

/* Returns false if the arguments need a closer look. */
static __always_inline bool copy_in(struct metastore_file *file, u8 *bytes,
				    struct metastore_key *key, struct metastore_get *args,
				    const struct metastore_get __user *uargs)
{
	/* The rest is only for the result. */
	if (metastore_copy_struct_in(args, uargs, offsetof(struct metastore_get, version)))
		return false;
	if (args->flags || !args->key_len || args->key_len > SHORT_KEY ||
	    metastore_copy_in(bytes, u64_to_user_ptr(args->key), args->key_len))
		return false;
	key->bytes = bytes;
	key->len = args->key_len;
	metastore_store_locate(file->store, key);
	return true;
}

/* Value and result; what faults is repeated by who may wait for the page. */
static __always_inline int copy_out(const struct metastore_value *value,
				    const struct metastore_get *args,
				    struct metastore_get __user *uargs)
{
	const u8 *bytes = value->node.key + value->node.key_len;

	if (args->value_len < value->len ||
	    !user_write_access_begin(u64_to_user_ptr(args->value), value->len))
		return -EAGAIN;
	if (!unsafe_copy_out(u64_to_user_ptr(args->value), bytes, value->len))
		goto fault;
	user_write_access_end();
	if (!user_write_access_begin(uargs, sizeof(*uargs)))
		return -EAGAIN;
	unsafe_put_user(value->len, &uargs->value_len, fault);
	unsafe_put_user(METASTORE_OWNER_NONE, &uargs->owner, fault);
	unsafe_put_user(value->version, &uargs->version, fault);
	unsafe_put_user(0, &uargs->ttl, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EAGAIN;
}

static inline int get(struct metastore_file *file, struct metastore_get __user *uargs)
{
	struct metastore_get args __uninitialized;
	struct metastore_key key __uninitialized;
	u8 bytes[SHORT_KEY] __uninitialized;
	const struct metastore_value *value;
	int err = -ENOENT;

	if (!(file->mode & FMODE_READ) || !copy_in(file, bytes, &key, &args, uargs))
		return -EAGAIN;
	/* What is in a table stays as it is for an RCU section after it is taken out. */
	rcu_read_lock_sched();
	pagefault_disable();
	value = metastore_bucket_find(&key);
	if (value)
		err = metastore_value_is_tied(value) || !metastore_value_is_piece(value) ?
		      -EAGAIN : copy_out(value, &args, uargs);
	pagefault_enable();
	rcu_read_unlock_sched();
	return err;
}

/* Is there nothing in it that needs a closer look? */
static inline bool is_simple(const struct metastore_file *file,
			     const struct metastore_set *args)
{
	return file->mode & FMODE_WRITE &&
	       !(args->flags | args->ttl | args->timeout | args->reserved) &&
	       args->key_len && args->key_len <= METASTORE_KEY_MAX &&
	       args->value_len <= file->store->limits.max_value;
}

/* The change is made: what faults is not reported. */
static inline int put_result(struct metastore_set __user *uargs, u64 version, u32 queues)
{
	if (!user_write_access_begin(uargs, sizeof(*uargs)))
		return -EFAULT;
	unsafe_put_user(version, &uargs->version, fault);
	unsafe_put_user(queues, &uargs->queues, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

static inline int store(struct metastore_file *file, struct metastore_set __user *uargs,
			u16 type)
{
	struct metastore_set args __uninitialized;
	struct metastore_key key __uninitialized;
	struct metastore_change change;
	struct metastore_value *value;
	int err;

	if (metastore_copy_struct_in(&args, uargs, sizeof(args)) || !is_simple(file, &args))
		return -EAGAIN;
	value = metastore_value_create(u64_to_user_ptr(args.key), args.key_len,
				       u64_to_user_ptr(args.value), args.value_len, false);
	if (IS_ERR(value))
		return PTR_ERR(value);
	metastore_store_locate_value(file->store, value, &key);
	value->node.hash = key.hash;
	change = (struct metastore_change) {
		.key = &key,
		.value = value,
		.by = file,
		.type = type,
	};
	err = metastore_bucket_change(&change, NULL);
	if (unlikely(err)) {
		metastore_value_put(value);
		return err;
	}
	return put_result(uargs, change.version,
			  type == METASTORE_EVENT_PUBLISHED ? change.queues : 0);
}

/**
 * metastore_run_quickly - run a command, if that is simple
 * @file:	open file
 * @cmd:	METASTORE_IOC_*
 * @uarg:	address of the arguments
 *
 * Context: may sleep.
 * Return: 0 or what uapi/linux/metastore.h says; -EAGAIN: it is not simple, and nothing
 * is done.
 */
int metastore_run_quickly(struct metastore_file *file, unsigned int cmd, void __user *uarg)
{
	switch (cmd) {
	case METASTORE_IOC_GET:
		return get(file, uarg);
	case METASTORE_IOC_SET:
		return store(file, uarg, METASTORE_EVENT_SET);
	case METASTORE_IOC_PUBLISH:
		return store(file, uarg, METASTORE_EVENT_PUBLISHED);
	}
	return -EAGAIN;
}
