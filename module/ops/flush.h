/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_FLUSH_H
#define METASTORE_FLUSH_H

#include <linux/types.h>

struct metastore_file;
struct metastore_range;
struct metastore_store;

int metastore_store_flush(struct metastore_file *file,
			  const struct metastore_range *range, bool steal,
			  u64 *values);
int metastore_store_flush_subscriptions(struct metastore_store *store,
					const struct metastore_range *range,
					u64 *subscriptions);

#endif /* METASTORE_FLUSH_H */
