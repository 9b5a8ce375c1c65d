/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_OWNER_H
#define METASTORE_OWNER_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct metastore_file;
struct metastore_value;

/**
 * struct metastore_belongings - the values that belong to an open file
 * @lock:	protects the rest
 * @values:	their ties
 */
struct metastore_belongings {
	spinlock_t lock;	/* see above */
	struct list_head values;
};

void metastore_belongings_init(struct metastore_belongings *belongings);
void metastore_belongings_destroy(struct metastore_file *file);
void metastore_owner_add(struct metastore_value *value);
void metastore_owner_remove(struct metastore_value *value);
u32 metastore_value_owner(const struct metastore_value *value,
			  const struct metastore_file *file);

#endif /* METASTORE_OWNER_H */
