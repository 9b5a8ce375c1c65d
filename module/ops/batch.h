/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_BATCH_H
#define METASTORE_BATCH_H

#include <linux/compiler.h>
#include <linux/types.h>

struct metastore_batch;
struct metastore_file;

int metastore_batch_run(struct metastore_file *file, struct metastore_batch *batch);

#endif /* METASTORE_BATCH_H */
