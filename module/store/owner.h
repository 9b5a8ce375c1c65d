/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_OWNER_H
#define METASTORE_OWNER_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "store/value.h"

struct metastore_file;

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

/**
 * metastore_value_owner - whose is a value?
 * @value:	a value that is, or was, in a table
 * @file:	who asks
 *
 * Context: any; the owner may be gone.
 * Return: METASTORE_OWNER_*.
 */
static inline u32 metastore_value_owner(const struct metastore_value *value,
					const struct metastore_file *file)
{
	if (likely(!metastore_value_is_tied(value)) || !metastore_tie_of(value)->owner)
		return METASTORE_OWNER_NONE;
	return metastore_tie_of(value)->owner == file ? METASTORE_OWNER_SELF :
							METASTORE_OWNER_OTHER;
}

#endif /* METASTORE_OWNER_H */
