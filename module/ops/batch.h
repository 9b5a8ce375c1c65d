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

/* Returns 0, -EFAULT, or -E2BIG if a field that is unknown here is not zero. */
static inline int metastore_batch_copy_op(const struct metastore_batch *batch, u32 i,
					  struct metastore_op *op)
{
	return metastore_copy_args(op, sizeof(*op), metastore_batch_op_address(batch, i),
				   batch->op_size);
}

/* Returns 0 or -EFAULT. */
static inline int metastore_batch_copy_result(const struct metastore_batch *batch, u32 i,
					      const struct metastore_op *op)
{
	size_t size = min_t(size_t, batch->op_size, sizeof(*op));

	/* At most the size of @op. */
	return metastore_copy_out(metastore_batch_op_address(batch, i), op, size);
}

/* Copy the result alone out, of an operation that was not understood. */
static inline int metastore_batch_put_result(const struct metastore_batch *batch, u32 i,
					     int result)
{
	struct metastore_op __user *uop = metastore_batch_op_address(batch, i);

	return put_user(result, &uop->result);
}

/* txn.c */
int metastore_txn_run(struct metastore_file *file, struct metastore_batch *batch);

#endif /* METASTORE_BATCH_H */
