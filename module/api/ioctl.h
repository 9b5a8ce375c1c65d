/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_IOCTL_H
#define METASTORE_IOCTL_H

struct file;

long metastore_ioctl(struct file *filp, unsigned int cmd, unsigned long arg);

#endif /* METASTORE_IOCTL_H */
