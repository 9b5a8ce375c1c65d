/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_BUCKET_H
#define METASTORE_BUCKET_H

#include <linux/cache.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/table.h"
#include "store/value.h"

struct metastore_claims;
struct metastore_file;
struct metastore_notice;
struct metastore_store;

/**
 * struct metastore_bucket - one shard of a store
 * @lock:	what writers of the bucket take
 * @store:	its store; never changes
 * @version:	of the last change
 * @values:	struct metastore_value by key; readers use RCU instead of @lock
 * @bytes:	what they take
 * @topics:	struct metastore_topic by key
 * @nr_subscriptions: subscriptions of all topics
 * @deliveries:	struct metastore_delivery, of keys whose event not all have yet
 *
 * @lock protects the rest.
 */
struct metastore_bucket {
	spinlock_t lock;	/* see above */
	struct metastore_store *store;
	u64 version;
	struct metastore_table values;
	u64 bytes;
	struct metastore_table topics;
	u32 nr_subscriptions;
	struct list_head deliveries;
} ____cacheline_aligned_in_smp;

/**
 * struct metastore_change - a change of a key, from the wish to what came of it
 * @key:	the key
 * @value:	what to store; NULL: remove what is there
 * @by:		the open file that wants it; NULL: the module itself
 * @link:	what leads to the value there is in the table, if that is known
 * @flags:	METASTORE_F_CREATE, _REPLACE, _IF_VERSION, _STEAL
 * @type:	METASTORE_EVENT_* to be told
 * @event_flags: METASTORE_EVENT_F_* to be told
 * @version:	what METASTORE_F_IF_VERSION wants; then the change's
 * @bytes:	what it adds to the bytes of the store, once it is charged
 * @queues:	how many queues took the event
 */
struct metastore_change {
	const struct metastore_key *key;
	struct metastore_value *value;
	struct metastore_file *by;
	struct metastore_node __rcu **link;
	u32 flags;
	u16 type;
	u16 event_flags;
	u64 version;
	s64 bytes;
	u32 queues;
};

void metastore_bucket_init(struct metastore_bucket *bucket,
			   struct metastore_store *store, u64 version);
void metastore_bucket_destroy(struct metastore_bucket *bucket);
struct metastore_value *metastore_bucket_get(const struct metastore_key *key);
int metastore_bucket_stat(const struct metastore_key *key,
			  const struct metastore_file *file,
			  struct metastore_stat *stat);
int metastore_bucket_check(struct metastore_change *change);
int metastore_bucket_change(struct metastore_change *change,
			    struct metastore_claims *claims);
void metastore_bucket_expire(const struct metastore_key *key);
void metastore_bucket_end(const struct metastore_key *key,
			  struct metastore_value *value,
			  const struct metastore_owner_end *end);
u64 metastore_bucket_version(struct metastore_bucket *bucket);

int metastore_change_prepare(const struct metastore_change *change);
int metastore_change_judge(struct metastore_change *change,
			   const struct metastore_value *old);
s64 metastore_change_bytes(struct metastore_change *change,
			   const struct metastore_value *old);
void metastore_change_commit(struct metastore_change *change,
			     struct metastore_value *old);
void metastore_change_tell(const struct metastore_change *change,
			   struct metastore_value *old, struct metastore_notice *notice);

/**
 * metastore_bucket_find - look a value up
 * @key:	the key
 *
 * Context: under rcu_read_lock(), or with the bucket's lock held.
 * Return: the value, whether its time is over or not, or NULL. It stays in the
 * second case; in the first a reference is needed for most of it.
 */
static __always_inline struct metastore_value *
metastore_bucket_find(const struct metastore_key *key)
{
	return metastore_value_of(metastore_table_find(&key->bucket->values, key));
}

#endif /* METASTORE_BUCKET_H */
