/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Iterators over the keys of a range of buckets, in the store's order.
 */
#ifndef METASTORE_ITER_H
#define METASTORE_ITER_H

#include <linux/types.h>

#include "base/table.h"
#include "base/types.h"

struct metastore_bucket;
struct metastore_range;
struct metastore_store;
struct metastore_value;

/** enum metastore_visit - keys that an iterator visits */
enum metastore_visit {
	METASTORE_VISIT_KEYS,	/* keys with a value */
	METASTORE_VISIT_VALUES,	/* likewise, with a reference to the value */
	METASTORE_VISIT_TOPICS,	/* keys with subscriptions */
};

/**
 * struct metastore_iter - iterator over the keys of a range, in the store's order
 * @store:	the store
 * @range:	the range
 * @visit:	keys to visit
 * @bucket:	current bucket
 * @pos:	position in that bucket's table
 * @key:	current key; its bytes are in @pos
 * @version:	version of the key's value; not set with METASTORE_VISIT_TOPICS
 * @value_len:	length of the key's value in bytes; not set likewise
 * @value:	METASTORE_VISIT_VALUES: the key's value. The caller owns the reference
 * @err:	reason for ending before the last key, or 0
 *
 * The order is by bucket, then by the order of its tables.
 */
struct metastore_iter {
	struct metastore_store *store;
	const struct metastore_range *range;
	enum metastore_visit visit;
	struct metastore_bucket *bucket;
	struct metastore_position pos;
	struct metastore_key key;
	u64 version;
	u32 value_len;
	struct metastore_value *value;
	int err;
};

void metastore_iter_init(struct metastore_iter *iter,
			 struct metastore_store *store,
			 const struct metastore_range *range, enum metastore_visit visit);
void metastore_iter_skip_to(struct metastore_iter *iter,
			    const struct metastore_key *key);
bool metastore_iter_next(struct metastore_iter *iter);

#endif /* METASTORE_ITER_H */
