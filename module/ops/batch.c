// SPDX-License-Identifier: GPL-2.0
/*
 * Batches: several operations in one call, one after the other; see txn.c for those that
 * are all done at one moment.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "base/trace.h"
#include "ops/batch.h"
#include "ops/file.h"
#include "ops/ops.h"

/* Size of struct metastore_op in the first version of the uapi header that had it. */
#define OP_SIZE_FIRST	56

static int batch_run_op(struct metastore_file *file, struct metastore_batch *batch, u32 i)
{
	struct metastore_op op __uninitialized;
	int result = metastore_batch_copy_op(batch, i, &op);

	if (result == -EFAULT)
		return result;
	if (!result) {
		result = op.op == METASTORE_OP_GET ? metastore_fastpath_op(file, &op) : -EAGAIN;
		if (result == -EAGAIN)
			result = metastore_op_run(file, &op, NULL);
	}
	op.result = result;
	if (result && batch->failed == batch->nr)
		batch->failed = i;
	return result == -E2BIG ? metastore_batch_put_result(batch, i, result) :
				  metastore_batch_copy_result(batch, i, &op);
}

static int batch_run_in_turn(struct metastore_file *file, struct metastore_batch *batch)
{
	int err;
	u32 i;

	for (i = 0; i < batch->nr; i++) {
		err = batch_run_op(file, batch, i);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * metastore_batch_run() - Run a batch
 * @file:	open file
 * @batch:	arguments; @batch->failed is set
 *
 * Context: Process context, may sleep.
 * Return: 0, or an error of BATCH in uapi/linux/metastore.h.
 */
int metastore_batch_run(struct metastore_file *file, struct metastore_batch *batch)
{
	bool all = batch->flags & METASTORE_BATCH_ATOMIC;
	int err;

	if (batch->flags & ~METASTORE_BATCH_ATOMIC || !batch->nr ||
	    batch->nr > (all ? METASTORE_ATOMIC_MAX : METASTORE_BATCH_MAX) ||
	    batch->op_size < OP_SIZE_FIRST)
		return -EINVAL;
	/* Bounded, since each unknown byte is read and must be zero. */
	if (batch->op_size > PAGE_SIZE)
		return -E2BIG;
	batch->failed = batch->nr;
	err = all ? metastore_txn_run(file, batch) : batch_run_in_turn(file, batch);
	trace_metastore_batch(file, batch, err);
	return err;
}
