/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations of a batch in the caller's array, whose elements may be of another size than
 * ours. All may sleep.
 */
#ifndef METASTORE_BATCH_H
#define METASTORE_BATCH_H

#include <linux/minmax.h>
#include <linux/uaccess.h>

#include <linux/metastore.h>

#include "base/usercopy.h"

struct metastore_file;

static inline void __user *metastore_batch_op_address(const struct metastore_batch *batch, u32 i)
{
	return u64_to_user_ptr(batch->ops) + (size_t)i * batch->op_size;
}

/* Fields that every operation uses; those behind them need METASTORE_F_PREVIOUS. */
#define METASTORE_OP_COMMON	offsetof(struct metastore_op, previous)

/* Copy an operation in whose size is another. As metastore_batch_copy_op(). */
static inline int metastore_batch_copy_other(struct metastore_op *op, void __user *uop,
					     u32 size)
{
	int err = copy_struct_from_user(op, sizeof(*op), uop, size);

	if (!err && op->flags & METASTORE_F_PREVIOUS &&
	    size < offsetofend(struct metastore_op, previous))
		err = -EINVAL;
	return err;
}

/*
 * Returns 0, -EFAULT, -E2BIG if a field that is unknown here is not zero, or -EINVAL if the
 * operation is too short for its flags.
 */
static inline int metastore_batch_copy_op(const struct metastore_batch *batch, u32 i,
					  struct metastore_op *op)
{
	void __user *uop = metastore_batch_op_address(batch, i);
	int err;

	if (unlikely(batch->op_size != sizeof(*op)))
		return metastore_batch_copy_other(op, uop, batch->op_size);
	err = metastore_copy_struct_in(op, uop, METASTORE_OP_COMMON);
	if (err || likely(!(op->flags & METASTORE_F_PREVIOUS)))
		return err;
	return metastore_copy_struct_in((void *)op + METASTORE_OP_COMMON, uop + METASTORE_OP_COMMON,
					sizeof(*op) - METASTORE_OP_COMMON);
}

/* Returns 0 or -EFAULT. */
static inline int metastore_batch_copy_result(const struct metastore_batch *batch, u32 i,
					      const struct metastore_op *op)
{
	void __user *uop = metastore_batch_op_address(batch, i);

	/* No more than @op and the caller's element have. */
	if (likely(!(op->flags & METASTORE_F_PREVIOUS)))
		return metastore_copy_out(uop, op, METASTORE_OP_COMMON);
	return metastore_copy_out(uop, op, min_t(size_t, batch->op_size, sizeof(*op)));
}

/* Copy the result alone out, of an operation that was not understood. */
static inline int metastore_batch_put_result(const struct metastore_batch *batch, u32 i,
					     int result)
{
	struct metastore_op __user *uop = metastore_batch_op_address(batch, i);

	return metastore_copy_out(&uop->result, &result, sizeof(result));
}

/* txn.c */
int metastore_txn_run(struct metastore_file *file, struct metastore_batch *batch);

#endif /* METASTORE_BATCH_H */
