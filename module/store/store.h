/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_STORE_H
#define METASTORE_STORE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>

#include "base/table.h"
#include "base/trie.h"
#include "store/bucket.h"
#include "store/lifetime.h"

struct metastore_file;
struct metastore_value;

/*
 * Bounds of what a store can be made with.
 *
 * BUCKETS: an empty bucket takes 128 bytes, and 512 more with its first key (a page
 *	before 6.11), so 42 MB for all (280).
 * VALUE: a value is allocated and copied in one piece.
 * QUEUE_LEN: an event takes 32 bytes of its queue's ring, and 24 of the index if there
 *	is one, so 56 MB a file.
 * QUEUE_BYTES: what one open file can pin. The least takes any value of 1 KiB.
 * KEYS: hashes have 32 bits.
 * BYTES: of values alone. The memory of a key in a table, 8 bytes for a slot and 64 if it is
 *	in a tree, is charged to the memory cgroup of the writer whose key it is, and is a
 *	constant share of what a key counts.
 * SUBSCRIPTIONS: one takes some 500 bytes, so 32 MB a file.
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
 * METASTORE_BUCKET_BYTES - what a bucket counts against private_bytes
 *
 * It takes 128, and with its first key and first subscription 512 each for a
 * table; where the kernel's radix tree has nodes of a page, before 6.11, more.
 */
#define METASTORE_BUCKET_BYTES		SZ_1K

/**
 * struct metastore_limits - what a store is made with
 * @buckets:	number of buckets
 * @max_value:	longest value in bytes
 * @queue_len:	events that an open file's queue holds
 * @queue_bytes: bytes that their values may take
 * @max_keys:	keys that the store may hold
 * @max_bytes:	bytes that their values may take
 */
struct metastore_limits {
	u32 buckets;
	u32 max_value;
	u32 queue_len;
	u32 queue_bytes;
	u64 max_keys;
	u64 max_bytes;
};

/**
 * struct metastore_prefixes - subscriptions to prefixes of a store's keys
 * @lock:	what who changes them takes
 * @trie:	struct metastore_topic by prefix
 * @first:	with which bytes they may begin: set ahead of @trie, cleared when that is
 *		empty
 * @any:	whether there may be the empty one; likewise
 * @nr:		number of subscriptions
 */
struct metastore_prefixes {
	spinlock_t lock;	/* see above */
	struct metastore_trie trie;
	DECLARE_BITMAP(first, 256);
	bool any;
	u32 nr;
};

/**
 * struct metastore_room - what publishers wait for that wait for room
 * @waiters:	they
 * @changes:	how often there came to be room in a queue that lacked it
 * @epoch:	how often it could have come to be that a further queue must have room
 */
struct metastore_room {
	wait_queue_head_t waiters;
	atomic64_t changes;
	atomic64_t epoch;
};

/**
 * struct metastore_store - a key space, split over buckets
 * @refs:	open files that mean it; the module is one for the machine's store
 * @id:		tells it from all others; never changes
 * @limits:	what it was made with; never changes
 * @private:	whether it counts against what private stores may take; never
 *		changes
 * @maker:	who made it, if @private; never changes
 * @seed:	of the hash that places keys; never changes, nor is it a secret
 * @keys:	number of keys
 * @bytes:	bytes that their values take
 * @buckets:	@limits.buckets of them
 * @prefixes:	subscriptions to prefixes
 * @room:	what publishers wait for that wait for room
 * @expiry:	values that have an end
 * @txn_lock:	held by a transaction from before it locks its buckets until its
 *		events are in the queues: they take turns
 * @txns:	transactions so far; protected by @txn_lock
 */
struct metastore_store {
	refcount_t refs;
	u64 id;
	struct metastore_limits limits;
	bool private;
	kuid_t maker;
	u32 seed;
	atomic64_t keys;
	atomic64_t bytes;
	struct metastore_bucket *buckets;
	struct metastore_prefixes prefixes;
	struct metastore_room room;
	struct metastore_expiry expiry;
	struct mutex txn_lock;	/* see above */
	u64 txns;
};

/**
 * struct metastore_range - which keys of a store a command is about
 * @prefix:	what they begin with
 * @prefix_len:	its length in bytes, 0 to METASTORE_KEY_MAX
 * @first:	index of the first bucket
 * @last:	index of the last bucket
 */
struct metastore_range {
	const u8 *prefix;
	u32 prefix_len;
	u32 first;
	u32 last;
};

/**
 * struct metastore_iter - goes over the keys of a range in the store's order
 * @store:	the store
 * @range:	the range
 * @topics:	whether it goes over keys with subscriptions, not with values
 * @bucket:	the bucket it is in
 * @pos:	where it is in that one's table
 * @key:	the key it is at, whose bytes are in @pos
 * @version:	version of its value
 * @value_len:	length of its value
 * @err:	why it ended before the last key; 0: it did not
 *
 * The order is by bucket, then as the tables have it. @version and @value_len are not set
 * where @topics is.
 */
struct metastore_iter {
	struct metastore_store *store;
	const struct metastore_range *range;
	bool topics;
	struct metastore_bucket *bucket;
	struct metastore_position pos;
	struct metastore_key key;
	u64 version;
	u32 value_len;
	int err;
};

struct metastore_store *metastore_store_create(const struct metastore_limits *limits,
					       bool private, work_func_t expire);
struct metastore_store *metastore_store_get(struct metastore_store *store);
void metastore_store_put(struct metastore_store *store);
bool metastore_store_is_owned(const struct metastore_store *store);
void metastore_private_limit(u64 bytes);
u64 metastore_private_bytes(void);
u32 metastore_store_bucket_index(struct metastore_store *store,
				 const struct metastore_key *key);
int metastore_store_charge_any(struct metastore_store *store, int keys, s64 bytes);
int metastore_store_range(struct metastore_store *store, u32 bucket,
			  struct metastore_range *range);
bool metastore_range_is_whole(const struct metastore_store *store,
			      const struct metastore_range *range);
void metastore_store_count(struct metastore_store *store,
			   const struct metastore_range *range,
			   struct metastore_info *info);

/**
 * metastore_store_locate - find out where in a store a key belongs
 * @store:	the store
 * @key:	the key; its hash and bucket are set
 *
 * One hash gives both: its upper bits pick the bucket, which BUCKET shows, all of them
 * the slot in the bucket's tables, the lowest first.
 *
 * The seed only makes the places of ordinary keys differ from load to load. Some answers
 * of BUCKET tell it, since jhash() can be computed backwards, and then any number of keys
 * with one hash is made as fast as they can be written down. So the tables bear that, see
 * table.h. A secret hash costs each operation more, and LIST's order, which follows the
 * slots, would still tell which keys fall together. To redraw the seed once many do would
 * change the order under everybody's cursor, and the bucket that BUCKET told.
 */
static inline void metastore_store_locate(struct metastore_store *store,
					  struct metastore_key *key)
{
	u32 hash = jhash(key->bytes, key->len, store->seed);

	key->hash = hash;
	key->bucket = &store->buckets[reciprocal_scale(hash, store->limits.buckets)];
}

/**
 * metastore_store_locate_value - find out where in a store a value belongs
 * @store:	the store
 * @value:	the value, to which the caller has a reference
 * @key:	is set to its key; the bytes are the value's
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
 * metastore_store_charge - count keys and bytes against the store's limits
 * @store:	the store
 * @keys:	keys that come; negative: that go
 * @bytes:	bytes that come; negative: that go
 *
 * What does not grow is never refused. A new key that is refused for its bytes
 * may for a moment take the place of another one, the last that max_keys allows.
 *
 * Return: 0, or -ENOSPC and nothing is counted.
 */
static inline int metastore_store_charge(struct metastore_store *store, int keys, s64 bytes)
{
	/* Most values come in the place of one of the same length. */
	return keys || bytes ? metastore_store_charge_any(store, keys, bytes) : 0;
}

void metastore_iter_init(struct metastore_iter *iter,
			 struct metastore_store *store,
			 const struct metastore_range *range, bool topics);
void metastore_iter_skip_to(struct metastore_iter *iter,
			    const struct metastore_key *key);
bool metastore_iter_next(struct metastore_iter *iter);

#endif /* METASTORE_STORE_H */
