// SPDX-License-Identifier: GPL-2.0
/*
 * Fast path of GET, SET, PUBLISH and DELETE, which serves nearly all calls: no flag but one
 * condition, no time to live, for a GET also an inline value and resident user memory.
 *
 * One function does all the work from the arguments to the result. A GET takes no lock
 * and no reference. All other calls, also those with invalid arguments, return -EAGAIN and
 * take the slow path in ioctl.c and op.c.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/rcupdate.h>
#include <linux/uaccess.h>

#include "base/trace.h"
#include "base/usercopy.h"
#include "store/bucket.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"

/* Longest key of a GET or DELETE on the fast path, in bytes. */
#define SHORT_KEY	64

/* Result of a lookup. */
struct fastpath_found {
	u64 version;
	u32 len;
};

/*
 * Check the user address for the constant maximal length, which is cheaper than for @len.
 * A key at the very end of the address space fails that check and takes the slow path.
 */
static __always_inline int fastpath_copy_key(u8 *bytes, const u8 __user *ukey, u32 len)
{
	bool done;

	if (should_fail_usercopy())
		return -EFAULT;
	if (!user_read_access_begin(ukey, SHORT_KEY))
		return -EAGAIN;
	done = metastore_unsafe_copy_in(bytes, ukey, len);
	user_read_access_end();
	return done ? 0 : -EFAULT;
}

/*
 * Copy an inline value out. Its allocation holds key and value, so the copy stays within.
 * Page faults are disabled: after a fault the slow path retries, as the page may be absent.
 */
static __always_inline int fastpath_copy_value(u8 __user *uvalue,
					       const struct metastore_value *value)
{
	bool done;

	if (should_fail_usercopy())
		return -EFAULT;
	if (!user_write_access_begin(uvalue, METASTORE_INLINE_MAX))
		return -EAGAIN;
	done = metastore_unsafe_copy_out(uvalue, value->node.key + value->node.key_len, value->len);
	user_write_access_end();
	return done ? 0 : -EAGAIN;
}

/*
 * Page faults are disabled since they would sleep in the RCU section. On PREEMPT_RT a
 * lookup can block on a writer that splits a slot, so preemption must stay enabled there.
 */
static inline void fastpath_begin_lookup(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		rcu_read_lock();
	else
		rcu_read_lock_sched();
	pagefault_disable();
}

static inline void fastpath_end_lookup(void)
{
	pagefault_enable();
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		rcu_read_unlock();
	else
		rcu_read_unlock_sched();
}

/*
 * The slow path traces GETs. Here the arguments of a tracepoint would take registers, also
 * while it is off.
 */
static __always_inline bool fastpath_is_traced(void)
{
	return trace_metastore_get_enabled();
}

/*
 * Look a key up and copy its value out. Returns 0, -ENOENT, -EFAULT, or -EAGAIN if the
 * slow path must do it. That one can also wait for a page of the buffer.
 */
static __always_inline int fastpath_look_up(struct metastore_file *file, u64 ukey, u32 key_len,
					    u64 uvalue, u32 room, struct fastpath_found *found)
{
	struct metastore_key key __uninitialized;
	u8 bytes[SHORT_KEY] __uninitialized;
	const struct metastore_value *value;
	int err;

	if (!key_len || key_len > SHORT_KEY)
		return -EAGAIN;
	err = fastpath_copy_key(bytes, u64_to_user_ptr(ukey), key_len);
	if (err)
		return err;
	key.bytes = bytes;
	key.len = key_len;
	metastore_store_locate(file->store, &key);
	/* A removed value keeps its version and bytes until the RCU section ends. */
	fastpath_begin_lookup();
	value = metastore_bucket_find(&key);
	if (!value) {
		err = -ENOENT;
	} else if (metastore_value_is_tied(value) || !metastore_value_is_piece(value) ||
		   value->len > room) {
		err = -EAGAIN;
	} else {
		found->version = value->version;
		found->len = value->len;
		err = fastpath_copy_value(u64_to_user_ptr(uvalue), value);
	}
	fastpath_end_lookup();
	return err;
}

static inline int fastpath_put_found(struct metastore_get __user *uargs,
				     const struct fastpath_found *found)
{
	if (!user_write_access_begin(uargs, sizeof(*uargs)))
		return -EFAULT;
	unsafe_put_user(found->len, &uargs->value_len, fault);
	unsafe_put_user(METASTORE_OWNER_NONE, &uargs->owner, fault);
	unsafe_put_user(found->version, &uargs->version, fault);
	unsafe_put_user(0, &uargs->ttl, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/**
 * metastore_fastpath_get() - Run a GET on the fast path
 * @file:	open file
 * @uargs:	user address of a struct metastore_get of the current size
 * @op:		METASTORE_OP_GET
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOENT, -EFAULT, or -EAGAIN if the slow path must run it.
 */
int metastore_fastpath_get(struct metastore_file *file, void __user *uargs, u32 op)
{
	struct metastore_get args __uninitialized;
	struct fastpath_found found __uninitialized;
	int err;

	if (!(file->mode & FMODE_READ) || fastpath_is_traced())
		return -EAGAIN;
	/* @version and the fields behind it are outputs. */
	err = metastore_copy_struct_in(&args, uargs, offsetof(struct metastore_get, version));
	if (err)
		return err;
	if (args.flags)
		return -EAGAIN;
	err = fastpath_look_up(file, args.key, args.key_len, args.value, args.value_len, &found);
	return err ?: fastpath_put_found(uargs, &found);
}

/**
 * metastore_fastpath_op() - Run a GET of a batch on the fast path
 * @file:	open file
 * @op:		the GET, copied from user space; on success its [out] fields are set,
 *		except @op->result
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENOENT, -EFAULT, or -EAGAIN if the slow path must run it.
 */
int metastore_fastpath_op(struct metastore_file *file, struct metastore_op *op)
{
	struct fastpath_found found __uninitialized;
	int err;

	if (!(file->mode & FMODE_READ) || op->flags || fastpath_is_traced())
		return -EAGAIN;
	err = fastpath_look_up(file, op->key, op->key_len, op->value, op->value_len, &found);
	if (err)
		return err;
	op->value_len = found.len;
	op->owner = METASTORE_OWNER_NONE;
	op->version = found.version;
	op->ttl = 0;
	return 0;
}

/* Check that a SET or PUBLISH has valid arguments and needs no special treatment. */
static inline bool fastpath_is_simple(const struct metastore_file *file,
				      const struct metastore_set *args)
{
	return !((args->flags & ~METASTORE_CONDITIONS) | (args->flags & (args->flags - 1)) |
		 args->ttl | args->timeout | args->deadline) &&
	       args->key_len && args->key_len <= METASTORE_KEY_MAX &&
	       args->value_len <= file->store->limits.max_value;
}

/* Copy the results out. After a fault the change stays, although the call fails. */
static inline int fastpath_put_result(struct metastore_set __user *uargs, u64 version, u32 queues)
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

/* After a condition that is not met the version of the present value is a result. */
static noinline int fastpath_put_refusal(__u64 __user *uversion, u64 version, int err)
{
	if (err == -EEXIST || err == -ESTALE)
		return put_user(version, uversion) ?: err;
	return err;
}

/**
 * metastore_fastpath_store() - Run a SET or PUBLISH on the fast path
 * @file:	open file
 * @uargs:	user address of a struct metastore_set of the current size
 * @op:		METASTORE_OP_SET or _PUBLISH
 *
 * Context: Process context, may sleep.
 * Return: 0, an error listed in uapi/linux/metastore.h, or -EAGAIN if the slow path must
 * run it; nothing is done then.
 */
int metastore_fastpath_store(struct metastore_file *file, void __user *uargs, u32 op)
{
	struct metastore_set __user *uset = uargs;
	struct metastore_set args __uninitialized;
	struct metastore_key key __uninitialized;
	struct metastore_change change __uninitialized;
	struct metastore_value *value;
	int err;

	if (!(file->mode & FMODE_WRITE))
		return -EAGAIN;
	/* @previous is of use to the slow path alone. */
	err = metastore_copy_struct_in(&args, uargs, offsetof(struct metastore_set, previous));
	if (err)
		return err;
	if (!fastpath_is_simple(file, &args))
		return -EAGAIN;
	value = metastore_value_create(u64_to_user_ptr(args.key), args.key_len,
				       u64_to_user_ptr(args.value), args.value_len, false,
				       file->owner.payer);
	if (IS_ERR(value))
		return PTR_ERR(value);
	metastore_store_locate_value(file->store, value, &key);
	value->node.hash = key.hash;
	change.key = &key;
	change.value = value;
	change.by = &file->owner;
	change.flags = args.flags;
	change.version = args.version;
	change.type = metastore_op_event(op);
	change.event_flags = 0;
	change.queues = 0;
	change.reserved = NULL;
	err = metastore_change_make(&change);
	if (unlikely(err)) {
		metastore_value_put(value);
		return fastpath_put_refusal(&uset->version, change.version, err);
	}
	return fastpath_put_result(uset, change.version,
				   op == METASTORE_OP_PUBLISH ? change.queues : 0);
}

/* Copy the previous value and its fields out, as far as the result of the change has them. */
static int fastpath_put_previous(struct metastore_previous __user *uprevious,
				 struct metastore_previous *previous,
				 struct metastore_change *change, int err)
{
	err = metastore_op_tell_previous(change, previous, err);
	if (err && err != -ERANGE)
		return err;
	return metastore_copy_struct_out(uprevious, previous, sizeof(*previous)) ?: err;
}

/**
 * metastore_fastpath_delete() - Run a DELETE on the fast path
 * @file:	open file
 * @uargs:	user address of a struct metastore_delete of the current size
 * @op:		METASTORE_OP_DELETE
 *
 * Context: Process context, may sleep.
 * Return: 0, an error listed in uapi/linux/metastore.h, or -EAGAIN if the slow path must
 * run it; nothing is done then.
 */
int metastore_fastpath_delete(struct metastore_file *file, void __user *uargs, u32 op)
{
	struct metastore_delete __user *udelete = uargs;
	struct metastore_delete args __uninitialized;
	struct metastore_key key __uninitialized;
	struct metastore_change change __uninitialized;
	u8 bytes[SHORT_KEY] __uninitialized;
	int err;

	if (!(file->mode & FMODE_WRITE))
		return -EAGAIN;
	err = metastore_copy_struct_in(&args, uargs, offsetof(struct metastore_delete, previous));
	if (err)
		return err;
	if (args.flags & ~(METASTORE_F_IF_VERSION | METASTORE_F_PREVIOUS) ||
	    !args.key_len || args.key_len > SHORT_KEY)
		return -EAGAIN;
	if (args.flags & METASTORE_F_PREVIOUS) {
		if (!(file->mode & FMODE_READ))
			return -EAGAIN;
		err = metastore_copy_struct_in(&args.previous, &udelete->previous,
					       sizeof(args.previous));
		if (err)
			return err;
		change.previous_len = args.previous.len;
		change.previous_version = 0;
		change.previous = NULL;
	}
	err = fastpath_copy_key(bytes, u64_to_user_ptr(args.key), args.key_len);
	if (err)
		return err;
	key.bytes = bytes;
	key.len = args.key_len;
	metastore_store_locate(file->store, &key);
	change.key = &key;
	change.value = NULL;
	change.by = &file->owner;
	change.flags = args.flags;
	change.version = args.version;
	change.type = METASTORE_EVENT_DELETED;
	change.event_flags = 0;
	change.queues = 0;
	change.reserved = NULL;
	err = metastore_change_make(&change);
	if (args.flags & METASTORE_F_PREVIOUS)
		err = fastpath_put_previous(&udelete->previous, &args.previous, &change, err);
	if (unlikely(err))
		return fastpath_put_refusal(&udelete->version, change.version, err);
	return put_user(change.version, &udelete->version);
}
