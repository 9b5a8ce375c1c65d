/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_OP_H
#define METASTORE_OP_H

#include <linux/types.h>

#include "base/table.h"

struct metastore_change;
struct metastore_file;
struct metastore_value;

int metastore_copy_key(struct metastore_file *file,
		       struct metastore_key_buffer *buffer, u64 key, u32 len);

int metastore_op_run(struct metastore_file *file, struct metastore_op *op);
int metastore_op_publish_waiting(struct metastore_file *file, struct metastore_op *op,
				 u32 timeout);
int metastore_op_check(struct metastore_file *file, const struct metastore_op *op);
int metastore_op_prepare(struct metastore_file *file, const struct metastore_op *op,
			 struct metastore_key_buffer *buffer,
			 struct metastore_change *change);
void metastore_op_tell(struct metastore_op *op, const struct metastore_change *change,
		       bool refused);
int metastore_op_look(struct metastore_file *file, struct metastore_op *op,
		      const struct metastore_value *value);
int metastore_bucket_stat(const struct metastore_key *key,
			  const struct metastore_file *file,
			  struct metastore_stat *stat);

#endif /* METASTORE_OP_H */
