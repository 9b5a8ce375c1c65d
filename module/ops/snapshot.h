/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_SNAPSHOT_H
#define METASTORE_SNAPSHOT_H

#include <linux/types.h>

struct metastore_queue;
struct metastore_record;

int metastore_snapshot_take(struct metastore_queue *queue,
			    struct metastore_record *records, int max, size_t room);
size_t metastore_snapshot_next_size(struct metastore_queue *queue);

#endif /* METASTORE_SNAPSHOT_H */
