/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_CACHE_H
#define METASTORE_VALUE_CACHE_H

#include <linux/types.h>

struct metastore_garbage;
struct metastore_value;

/**
 * struct metastore_spare - in a value that is gone and whose memory is kept
 * @next:	next in the list
 * @grace:	cookie of the RCU grace period that readers may still be in
 */
struct metastore_spare {
	struct metastore_value *next;
	unsigned long grace;
};

/** METASTORE_SPARE_MAX - size of the largest memory that is kept, in bytes */
#define METASTORE_SPARE_MAX	512

int metastore_spares_init(void);
void metastore_spares_exit(void);
u16 metastore_spare_group(void);
u8 metastore_spare_class(size_t size);
size_t metastore_spare_size(u8 class);
struct metastore_value *metastore_spare_take(size_t size);
void metastore_spares_keep(struct metastore_garbage *garbage);
bool metastore_spares_drop(void);

#endif /* METASTORE_VALUE_CACHE_H */
