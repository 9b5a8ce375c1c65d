/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_INDEX_H
#define METASTORE_INDEX_H

#include <linux/list.h>
#include <linux/types.h>

struct metastore_record;
struct metastore_source;
struct metastore_value;

/**
 * struct metastore_index - finds the records of a ring by subscription and key
 * @heads:	chains; NULL: there is no index
 * @bits:	their number is 2 to this
 * @nodes:	one for each place in the ring, in a chain while the place has a
 *		record that can be found
 *
 * Only for subscriptions of which one event of a key may wait. Changed with the
 * queue's lock held.
 */
struct metastore_index {
	struct hlist_head *heads;
	u32 bits;
	struct hlist_node *nodes;
};

int metastore_index_create(struct metastore_index *index, u32 len);
void metastore_index_free(struct metastore_index *index);
void metastore_index_add(struct metastore_index *index,
			 const struct metastore_record *ring, u32 place);
void metastore_index_remove(struct metastore_index *index, u32 place);
struct metastore_record *metastore_index_find(const struct metastore_index *index,
					      struct metastore_record *ring,
					      const struct metastore_source *source,
					      const struct metastore_value *value);

#endif /* METASTORE_INDEX_H */
