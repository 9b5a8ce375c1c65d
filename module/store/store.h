/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_STORE_H
#define METASTORE_STORE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "base/table.h"
#include "store/bucket.h"
#include "store/lifetime.h"

struct metastore_file;
struct metastore_group;
struct metastore_mirror;
struct metastore_user;
struct metastore_value;

/*
 * Bounds on the limits of a store.
 *
 * BUCKETS: an empty bucket takes 128 bytes, and 512 more with its first key (a page
 *	before 6.11). So all take 42 MB (280 MB before 6.11).
 * VALUE: a value is allocated and copied in one piece.
 * QUEUE_LEN: an event takes 32 bytes in its queue's ring, and 24 in the index if the
 *	queue has one. So a file takes 56 MB.
 * QUEUE_BYTES: limits how much one open file can pin. The minimum holds any value of
 *	1 KiB.
 * KEYS: hashes have 32 bits.
 * BYTES: counts values only. A key also takes 8 bytes for a slot of its table, and 64
 *	if it is in a tree. These are charged to the memory cgroup of the key's writer. They
 *	are a constant share of the bytes that a key counts.
 * SUBSCRIPTIONS: one takes some 500 bytes. So a file takes 32 MB.
 */
#define METASTORE_MAX_BUCKETS		SZ_64K
#define METASTORE_MAX_VALUE		SZ_16M
#define METASTORE_MAX_QUEUE_LEN		SZ_1M
#define METASTORE_MIN_QUEUE_BYTES	SZ_4K
#define METASTORE_MAX_QUEUE_BYTES	SZ_1G
#define METASTORE_MAX_KEYS		BIT_ULL(31)
#define METASTORE_MIN_BYTES		SZ_4K
#define METASTORE_MAX_SUBSCRIPTIONS	SZ_64K

/**
 * METASTORE_BUCKET_BYTES - bytes that a bucket counts against private_bytes
 *
 * A bucket takes 128 bytes. Its first key and its first subscription take 512 each, for a
 * table. They take more before 6.11, where the nodes of the kernel's generic radix tree
 * are pages.
 */
#define METASTORE_BUCKET_BYTES		SZ_1K

/**
 * struct metastore_limits - limits of a store, given when it is created
 * @buckets:	number of buckets
 * @max_value:	greatest length of a value in bytes
 * @queue_len:	greatest number of events in an open file's queue
 * @queue_bytes: greatest number of bytes of their values
 * @max_keys:	greatest number of keys in the store
 * @max_bytes:	greatest number of bytes of their values
 * @mapped:	whether programs can map its small values
 */
struct metastore_limits {
	u32 buckets;
	u32 max_value;
	u32 queue_len;
	u32 queue_bytes;
	u64 max_keys;
	u64 max_bytes;
	bool mapped;
};

/**
 * struct metastore_prefix_lengths - prefixes of a store by their length in bytes
 * @nr:		number of prefixes. Protected by the lock of the prefixes.
 * @filter:	for each length, one of 64 bits for each prefix, by its hash. Also read
 *		without the lock. Cleared once there is no prefix of that length.
 */
struct metastore_prefix_lengths {
	u32 nr[METASTORE_KEY_MAX + 1];
	u64 filter[METASTORE_KEY_MAX + 1];
};

/**
 * struct metastore_prefixes - subscriptions to prefixes of a store's keys
 * @lock:	serializes writers
 * @topics:	&struct metastore_topic by prefix. Written under @lock; readers use RCU.
 * @secret:	key of the hash that places prefixes; not disclosed to users. Immutable.
 * @lengths:	prefixes by length; NULL before the first one. Stays as long as the store.
 * @max_len:	length of the longest prefix. Written under @lock.
 * @any:	whether the empty prefix is in @topics. Written under @lock.
 * @first:	first bytes of the prefixes. A bit is set before its prefix enters @topics.
 *		All are cleared once @topics is empty. Written under @lock.
 * @nr:		number of subscriptions. Written under @lock.
 * @epoch:	as in &struct metastore_bucket. Written under @lock.
 */
struct metastore_prefixes {
	spinlock_t lock;	/* see above */
	struct metastore_table topics;
	u64 secret;
	struct metastore_prefix_lengths *lengths;
	u32 max_len;
	bool any;
	DECLARE_BITMAP(first, 256);
	u32 nr;
	u64 epoch;
};

/**
 * struct metastore_room - wait state of publishers blocked on full lossless queues
 * @waiters:	the blocked publishers
 * @nr:		number of @waiters
 * @changes:	number of times that a queue that lacked room got some
 * @work:	wakes the publishers, since there may be many and a queue's lock is held where
 *		room appears
 */
struct metastore_room {
	wait_queue_head_t waiters;
	atomic_t nr;
	atomic64_t changes;
	struct work_struct work;
};

/**
 * METASTORE_TXN_SLOTS - transactions of a store that deliver their events at a time
 *
 * An open file notes for each slot which transaction it was told of, so a slot costs 8 bytes
 * of each. A further transaction completes the oldest one first. So it waits for nobody. A
 * user has METASTORE_TXN_SLOTS_EACH at most, so that one alone does not make others do its
 * work.
 */
#define METASTORE_TXN_SLOTS		8
#define METASTORE_TXN_SLOTS_EACH	2

/**
 * struct metastore_txns - transactions of a store
 * @lock:	protects @slots
 * @nr:		number of transactions so far. Written under @lock.
 * @slots:	events of those whose delivery is not complete
 */
struct metastore_txns {
	spinlock_t lock;	/* see above */
	u64 nr;
	struct metastore_group *slots[METASTORE_TXN_SLOTS];
};

/**
 * struct metastore_store - key space, split over buckets
 * @refs:	references; each open file of the store has one, and the module has one to
 *		the default store
 * @id:		number that no other store has or had. Immutable.
 * @first_version: version of its buckets when it was created. Immutable.
 * @limits:	limits of the store. Immutable.
 * @maker:	user that created the private store and is charged for it; NULL: the store
 *		is not private, and does not count against the limit of private stores.
 *		Holds a reference. Immutable.
 * @seed:	seed of the hash that places keys; not secret. Immutable.
 * @keys:	number of keys
 * @bytes:	metastore_value_size() of all their values
 * @buckets:	array of @limits.buckets buckets
 * @mirror:	what programs map, or NULL. Immutable.
 * @prefixes:	subscriptions to prefixes
 * @room:	wait state of publishers blocked on full lossless queues
 * @expiry:	values that expire
 * @txns:	transactions whose events are being delivered
 */
struct metastore_store {
	refcount_t refs;
	u64 id;
	u64 first_version;
	struct metastore_limits limits;
	struct metastore_user *maker;
	u32 seed;
	atomic64_t keys;
	atomic64_t bytes;
	struct metastore_bucket *buckets;
	struct metastore_mirror *mirror;
	struct metastore_prefixes prefixes;
	struct metastore_room room;
	struct metastore_expiry expiry;
	struct metastore_txns txns;
};

/**
 * struct metastore_counters - counters of a store
 * @keys:	number of keys
 * @bytes:	metastore_value_size() of all their values
 * @subscriptions: number of subscriptions
 * @changes:	changes of keys so far, whatever made them
 * @published:	those that PUBLISH made
 */
struct metastore_counters {
	u64 keys;
	u64 bytes;
	u64 subscriptions;
	u64 changes;
	u64 published;
};

/**
 * struct metastore_range - keys of a store that a command applies to
 * @prefix:	bytes that the keys begin with
 * @prefix_len:	number of those bytes, 0 to METASTORE_KEY_MAX
 * @first:	index of the first bucket
 * @last:	index of the last bucket
 */
struct metastore_range {
	const u8 *prefix;
	u32 prefix_len;
	u32 first;
	u32 last;
};

struct metastore_store *metastore_store_create(const struct metastore_limits *limits,
					       bool private, work_func_t expire);
struct metastore_store *metastore_store_get(struct metastore_store *store);
void metastore_store_put(struct metastore_store *store);
struct metastore_store *metastore_store_get_next(u64 id);
bool metastore_store_is_owned(const struct metastore_store *store);
void metastore_private_limit(u64 bytes);
u64 metastore_private_bytes(void);
u32 metastore_store_bucket_index(struct metastore_store *store,
				 const struct metastore_key *key);
void metastore_store_tell_shares(const struct metastore_user *user,
				 struct metastore_user_info *info);
int metastore_store_charge_mirror(const struct metastore_store *store, s64 bytes);
int metastore_store_charge_any(struct metastore_store *store, int keys, s64 bytes);
int metastore_store_range(struct metastore_store *store, u32 bucket,
			  struct metastore_range *range);
bool metastore_range_is_whole(const struct metastore_store *store,
			      const struct metastore_range *range);
void metastore_store_count(struct metastore_store *store,
			   const struct metastore_range *range,
			   struct metastore_info *info);

/**
 * metastore_store_locate() - Find the place of a key in a store
 * @store:	the store
 * @key:	the key; its hash and bucket are set
 *
 * One hash selects both. Its upper bits select the bucket, which BUCKET shows. All its
 * bits select the slot in the bucket's tables, the lowest bits first.
 *
 * The seed only makes ordinary keys' places differ from load to load. It is no secret:
 * some answers of BUCKET reveal it, since jhash() can be computed backwards. Any number
 * of keys with one hash can then be made, as fast as they can be written down. So the
 * tables must cope with that, see table.h.
 *
 * A secret hash would cost each operation more. LIST's order, which follows the slots,
 * would still reveal colliding keys. A new seed after many collisions would change the
 * order under all cursors, and the bucket that BUCKET returned.
 */
static inline void metastore_store_locate(struct metastore_store *store,
					  struct metastore_key *key)
{
	u32 hash = jhash(key->bytes, key->len, store->seed);

	key->hash = hash;
	key->bucket = &store->buckets[reciprocal_scale(hash, store->limits.buckets)];
}

/**
 * metastore_store_locate_value() - Find the place of a value in a store
 * @store:	the store
 * @value:	the value; the caller holds a reference
 * @key:	set to the value's key; its bytes are those of @value
 */
static inline void metastore_store_locate_value(struct metastore_store *store,
						const struct metastore_value *value,
						struct metastore_key *key)
{
	key->bytes = value->node.key;
	key->len = value->node.key_len;
	metastore_store_locate(store, key);
}

/**
 * metastore_store_charge() - Charge keys and bytes to the store's limits
 * @store:	the store
 * @keys:	number of keys added; negative: removed
 * @bytes:	number of bytes added; negative: removed
 *
 * Only growth can be refused. A new key refused for its bytes can briefly occupy the last
 * place under max_keys, so that another new key is refused.
 *
 * Return: 0, -ENOSPC, or -EDQUOT if the limit of a private store's creator refuses it;
 * then nothing is charged.
 */
static inline int metastore_store_charge(struct metastore_store *store, int keys, s64 bytes)
{
	/* Most values replace one of the same length. */
	return keys || bytes ? metastore_store_charge_any(store, keys, bytes) : 0;
}

int metastore_store_begin_above(u64 version);
u64 metastore_store_newest_version(void);
void metastore_room_wake(struct metastore_room *room);
void metastore_store_count_all(struct metastore_store *store,
			       struct metastore_counters *counters);

#endif /* METASTORE_STORE_H */
