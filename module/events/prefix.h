/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_PREFIX_H
#define METASTORE_PREFIX_H

#include <linux/bitops.h>
#include <linux/types.h>

#include "base/table.h"
#include "store/store.h"

struct metastore_topic;

/**
 * struct metastore_match - search for the topics of all prefixes of a key, shortest first
 * @key:	the key
 * @hash:	hash of its first @len bytes
 * @len:	least length of the prefixes still to come; above METASTORE_KEY_MAX: none
 *
 * Refers to no topic, so a search may continue in another RCU read section. It misses
 * prefixes that are subscribed to after it has passed their length.
 */
struct metastore_match {
	const struct metastore_key *key;
	u64 hash;
	u32 len;
};

void metastore_prefix_locate(const struct metastore_prefixes *prefixes,
			     struct metastore_key *prefix);
int metastore_prefix_prepare(struct metastore_prefixes *prefixes);
void metastore_prefix_note(struct metastore_prefixes *prefixes,
			   const struct metastore_node *node);
void metastore_prefix_forget(struct metastore_prefixes *prefixes,
			     const struct metastore_node *node);
void metastore_match_begin(struct metastore_match *match, const struct metastore_key *key);
struct metastore_topic *metastore_match_next(struct metastore_match *match);

/* Check for subscriptions to any prefix. Without the prefixes' lock it is a hint. */
static inline bool metastore_has_prefixes(const struct metastore_prefixes *prefixes)
{
	return READ_ONCE(prefixes->topics.nr_nodes);
}

/*
 * Check for subscriptions to a prefix of the key. May be true without one; the first
 * byte of most keys rules it out.
 */
static inline bool metastore_may_have_prefix(const struct metastore_prefixes *prefixes,
					     const struct metastore_key *key)
{
	return metastore_has_prefixes(prefixes) &&
	       (READ_ONCE(prefixes->any) || test_bit(key->bytes[0], prefixes->first));
}

#endif /* METASTORE_PREFIX_H */
