/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Entry points of the commands, grouped by the file that implements them.
 */
#ifndef METASTORE_OPS_H
#define METASTORE_OPS_H

#include <linux/types.h>

#include <linux/metastore.h>

#include "base/table.h"

struct metastore_change;
struct metastore_file;
struct metastore_queue;
struct metastore_range;
struct metastore_record;
struct metastore_store;
struct metastore_value;
struct metastore_wait;

/* Conditions of a change; an operation has at most one of them. */
#define METASTORE_CONDITIONS \
	(METASTORE_F_CREATE | METASTORE_F_REPLACE | METASTORE_F_IF_VERSION)

/* op.c */
int metastore_copy_key(struct metastore_file *file,
		       struct metastore_key_buffer *buffer, u64 key, u32 len);

int metastore_op_run(struct metastore_file *file, struct metastore_op *op,
		     struct metastore_wait *wait);
int metastore_op_get(struct metastore_file *file, struct metastore_op *op,
		     struct metastore_get *info);
int metastore_op_check(struct metastore_file *file, const struct metastore_op *op);
int metastore_op_prepare(struct metastore_file *file, const struct metastore_op *op,
			 struct metastore_key_buffer *buffer,
			 struct metastore_change *change);
void metastore_op_tell(struct metastore_op *op, const struct metastore_change *change,
		       bool refused);
int metastore_op_tell_previous(struct metastore_change *change,
			       struct metastore_previous *previous, int err);
void metastore_op_trace_get(const struct metastore_file *file, const struct metastore_key *key,
			    const struct metastore_op *op, int ret);
int metastore_op_look(struct metastore_file *file, struct metastore_op *op,
		      const struct metastore_value *value);
int metastore_op_stat(const struct metastore_key *key, const struct metastore_file *file,
		      struct metastore_stat *stat);

/**
 * metastore_op_event() - Tell the event type of an operation
 * @op:		METASTORE_OP_SET or _PUBLISH
 *
 * Return: METASTORE_EVENT_*.
 */
static inline u16 metastore_op_event(u32 op)
{
	return op == METASTORE_OP_SET ? METASTORE_EVENT_SET : METASTORE_EVENT_PUBLISHED;
}

/* fastpath.c: -EAGAIN: nothing is done, the slow path must run the command */
int metastore_fastpath_get(struct metastore_file *file, void __user *uargs, u32 op);
int metastore_fastpath_store(struct metastore_file *file, void __user *uargs, u32 op);
int metastore_fastpath_delete(struct metastore_file *file, void __user *uargs, u32 op);
int metastore_fastpath_op(struct metastore_file *file, struct metastore_op *op);

/* batch.c */
int metastore_batch_run(struct metastore_file *file, struct metastore_batch *batch);

/* flush.c */
int metastore_store_flush(struct metastore_file *file,
			  const struct metastore_range *range, bool steal,
			  u64 *values);
int metastore_store_flush_subscriptions(struct metastore_store *store,
					const struct metastore_range *range,
					u64 *subscriptions);

/* snapshot.c */
int metastore_snapshot_take(struct metastore_queue *queue,
			    struct metastore_record *records, int max, size_t room);
size_t metastore_snapshot_next_size(struct metastore_queue *queue);

#endif /* METASTORE_OPS_H */
