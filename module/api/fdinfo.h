/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_FDINFO_H
#define METASTORE_FDINFO_H

struct file;
struct seq_file;

void metastore_fdinfo_show(struct seq_file *m, struct file *filp);

#endif /* METASTORE_FDINFO_H */
