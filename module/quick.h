/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_QUICK_H
#define METASTORE_QUICK_H

struct metastore_file;
struct metastore_op;

int metastore_run_quickly(struct metastore_file *file, unsigned int cmd, void __user *uarg);

int metastore_get_quickly(struct metastore_file *file, struct metastore_op *op);

#endif /* METASTORE_QUICK_H */
