/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_DEVICE_H
#define METASTORE_DEVICE_H

#include <linux/fs.h>

int metastore_device_register(struct metastore_store *store);
void metastore_device_unregister(void);
int metastore_device_open_fd(struct metastore_store *store, u32 flags);

#endif /* METASTORE_DEVICE_H */
