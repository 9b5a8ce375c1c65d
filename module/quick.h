/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_QUICK_H
#define METASTORE_QUICK_H

struct metastore_file;

int metastore_run_quickly(struct metastore_file *file, unsigned int cmd, void __user *uarg);

#endif /* METASTORE_QUICK_H */
