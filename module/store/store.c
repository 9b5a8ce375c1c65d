// SPDX-License-Identifier: GPL-2.0
/*
 * Stores: creating and destroying them, charging their limits, iterating over their keys.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "base/types.h"
#include "store/bucket.h"
#include "store/store.h"

/* Number of stores created so far */
static atomic64_t stores;

static bool store_limits_are_sane(const struct metastore_limits *limits)
{
	return limits->buckets && limits->buckets <= METASTORE_MAX_BUCKETS &&
	       limits->max_value && limits->max_value <= METASTORE_MAX_VALUE &&
	       limits->queue_len && limits->queue_len <= METASTORE_MAX_QUEUE_LEN &&
	       limits->queue_bytes >= METASTORE_MIN_QUEUE_BYTES &&
	       limits->queue_bytes <= METASTORE_MAX_QUEUE_BYTES &&
	       limits->max_keys && limits->max_keys <= METASTORE_MAX_KEYS &&
	       limits->max_bytes >= METASTORE_MIN_BYTES &&
	       limits->max_bytes <= S64_MAX;
}

/* Add @n to a counter if the sum is at most @max. It never exceeds @max, even briefly. */
static bool store_add_within(atomic64_t *counter, s64 n, s64 max)
{
	s64 sum = atomic64_read(counter);

	if (!n)
		return true;
	do {
		if (n > 0 && n > max - sum)
			return false;
	} while (!atomic64_try_cmpxchg(counter, &sum, sum + n));
	return true;
}

/*
 * Memory of all private stores together. Every task that can write to a store can create
 * one, so a limit per store would limit nothing.
 */
static struct {
	atomic64_t used;
	s64 max;
} private_stores;

/**
 * metastore_private_limit() - Set the limit of all private stores together
 * @bytes:	the limit in bytes, at most S64_MAX
 */
void metastore_private_limit(u64 bytes)
{
	private_stores.max = bytes;
}

/** metastore_private_bytes() - Get the limit of all private stores, in bytes */
u64 metastore_private_bytes(void)
{
	return private_stores.max;
}

static bool store_charge_private(const struct metastore_store *store, s64 bytes)
{
	return !store->private ||
	       store_add_within(&private_stores.used, bytes, private_stores.max);
}

static s64 store_bytes_of_buckets(const struct metastore_store *store)
{
	return (s64)store->limits.buckets * METASTORE_BUCKET_BYTES;
}

static int store_create_buckets(struct metastore_store *store)
{
	/* Versions grow by less than one per ns: those of earlier stores are smaller. */
	u64 version = ktime_get_real_ns();
	u32 i;

	if (!store_charge_private(store, store_bytes_of_buckets(store)))
		return -ENOSPC;
	store->buckets = kvcalloc(store->limits.buckets, sizeof(*store->buckets),
				  METASTORE_GFP);
	if (!store->buckets) {
		store_charge_private(store, -store_bytes_of_buckets(store));
		return -ENOMEM;
	}
	for (i = 0; i < store->limits.buckets; i++)
		metastore_bucket_init(&store->buckets[i], store, version);
	return 0;
}

static void store_init_prefixes(struct metastore_prefixes *prefixes)
{
	spin_lock_init(&prefixes->lock);
	RCU_INIT_POINTER(prefixes->trie.root, NULL);
	bitmap_zero(prefixes->first, 256);
	prefixes->any = false;
	prefixes->nr = 0;
}

static void store_init_room(struct metastore_room *room)
{
	init_waitqueue_head(&room->waiters);
	atomic64_set(&room->changes, 0);
	atomic64_set(&room->epoch, 0);
}

/**
 * metastore_store_create() - Create an empty store
 * @limits:	the limits
 * @private:	whether to create a private store, owned by the current task's user
 * @expire:	function that removes expired values, see metastore_expiry_init()
 *
 * Context: Process context, may sleep.
 * Return: the store with one reference, or one of
 * -EINVAL if a limit is out of bounds;
 * -ENOSPC if the limit of all private stores leaves no room for this one;
 * -ENOMEM.
 */
struct metastore_store *metastore_store_create(const struct metastore_limits *limits,
					       bool private, work_func_t expire)
{
	struct metastore_store *store;
	int err;

	if (!store_limits_are_sane(limits))
		return ERR_PTR(-EINVAL);
	store = kzalloc(sizeof(*store), METASTORE_GFP);
	if (!store)
		return ERR_PTR(-ENOMEM);
	refcount_set(&store->refs, 1);
	store->id = atomic64_inc_return(&stores);
	store->limits = *limits;
	store->private = private;
	store->maker = current_euid();
	store->seed = get_random_u32();
	store_init_prefixes(&store->prefixes);
	store_init_room(&store->room);
	metastore_expiry_init(&store->expiry, expire);
	mutex_init(&store->txn_lock);
	err = store_create_buckets(store);
	if (err) {
		kfree(store);
		return ERR_PTR(err);
	}
	return store;
}

/**
 * metastore_store_get() - Take another reference
 * @store:	the store; the caller has a reference
 *
 * Return: @store.
 */
struct metastore_store *metastore_store_get(struct metastore_store *store)
{
	refcount_inc(&store->refs);
	return store;
}

/**
 * metastore_store_put() - Drop a reference; the last one frees the store and its values
 * @store:	the store
 *
 * Context: Process context, may sleep.
 */
void metastore_store_put(struct metastore_store *store)
{
	u32 i;

	if (!refcount_dec_and_test(&store->refs))
		return;
	metastore_expiry_stop(&store->expiry);
	store_charge_private(store, -atomic64_read(&store->bytes));
	for (i = 0; i < store->limits.buckets; i++)
		metastore_bucket_destroy(&store->buckets[i]);
	store_charge_private(store, -store_bytes_of_buckets(store));
	kvfree(store->buckets);
	kfree(store);
}

/**
 * metastore_store_is_owned() - Check whether the current task has the owner's rights
 * @store:	the store
 *
 * Return: true for the user that created a private store, and for CAP_SYS_ADMIN.
 */
bool metastore_store_is_owned(const struct metastore_store *store)
{
	return (store->private && uid_eq(store->maker, current_euid())) ||
	       capable(CAP_SYS_ADMIN);
}

/**
 * metastore_store_bucket_index() - Get the index of a key's bucket
 * @store:	the store
 * @key:	the key, after metastore_store_locate()
 *
 * Return: the index.
 */
u32 metastore_store_bucket_index(struct metastore_store *store,
				 const struct metastore_key *key)
{
	return key->bucket - store->buckets;
}

/* See metastore_store_charge(). */
int metastore_store_charge_any(struct metastore_store *store, int keys, s64 bytes)
{
	int more_keys = max(keys, 0);
	s64 more_bytes = max(bytes, 0LL);

	if (!store_add_within(&store->keys, more_keys, store->limits.max_keys))
		return -ENOSPC;
	if (!store_add_within(&store->bytes, more_bytes, store->limits.max_bytes))
		goto uncharge_keys;
	if (!store_charge_private(store, more_bytes))
		goto uncharge_bytes;
	/* Uncharge last: after that, other writers may take the room at once. */
	store_add_within(&store->keys, keys - more_keys, 0);
	store_add_within(&store->bytes, bytes - more_bytes, 0);
	store_charge_private(store, bytes - more_bytes);
	return 0;

uncharge_bytes:
	atomic64_sub(more_bytes, &store->bytes);
uncharge_keys:
	atomic64_sub(more_keys, &store->keys);
	return -ENOSPC;
}

/**
 * metastore_store_range() - Set the buckets of a range
 * @store:	the store
 * @bucket:	index of the one bucket, or METASTORE_ANY_BUCKET for all
 * @range:	the range; its first and last bucket are set
 *
 * Return: 0, or -ERANGE if there is no such bucket.
 */
int metastore_store_range(struct metastore_store *store, u32 bucket,
			  struct metastore_range *range)
{
	range->first = 0;
	range->last = store->limits.buckets - 1;
	if (bucket == METASTORE_ANY_BUCKET)
		return 0;
	if (bucket > range->last)
		return -ERANGE;
	range->first = bucket;
	range->last = bucket;
	return 0;
}

/**
 * metastore_range_is_whole() - Check whether a range covers all buckets
 * @store:	the store
 * @range:	the range
 *
 * Return: true if it does.
 */
bool metastore_range_is_whole(const struct metastore_store *store,
			      const struct metastore_range *range)
{
	return !range->first && range->last == store->limits.buckets - 1;
}

/**
 * metastore_store_count() - Count the contents of a store
 * @store:	the store
 * @range:	the buckets to count in; its prefix is ignored
 * @info:	its keys, bytes and subscriptions are set
 *
 * Each bucket is counted at a slightly different time.
 *
 * Context: Process context, may sleep. Takes one bucket's lock after another.
 */
void metastore_store_count(struct metastore_store *store,
			   const struct metastore_range *range,
			   struct metastore_info *info)
{
	u32 i;

	info->keys = 0;
	info->bytes = 0;
	info->subscriptions = 0;
	for (i = range->first; i <= range->last; i++) {
		struct metastore_bucket *bucket = &store->buckets[i];

		spin_lock(&bucket->lock);
		info->keys += bucket->values.nr_nodes;
		info->bytes += bucket->bytes;
		info->subscriptions += bucket->nr_subscriptions;
		spin_unlock(&bucket->lock);
		cond_resched();
	}
	if (metastore_range_is_whole(store, range))
		info->subscriptions += READ_ONCE(store->prefixes.nr);
}

/**
 * metastore_iter_init() - Set an iterator to before the first key of a range
 * @iter:	the iterator
 * @store:	the store
 * @range:	the range, which must stay valid as long as @iter
 * @visit:	keys to visit
 */
void metastore_iter_init(struct metastore_iter *iter,
			 struct metastore_store *store,
			 const struct metastore_range *range, enum metastore_visit visit)
{
	iter->store = store;
	iter->range = range;
	iter->visit = visit;
	iter->err = 0;
	iter->bucket = &store->buckets[range->first];
	metastore_position_set(&iter->pos, 0, NULL, 0);
}

/**
 * metastore_iter_skip_to() - Move an iterator to right behind a key
 * @iter:	the iterator, before the first key of its range
 * @key:	the key, after metastore_store_locate(). It need not exist. If it is before
 *		the range, @iter stays; if it is behind, @iter is at the end.
 */
void metastore_iter_skip_to(struct metastore_iter *iter,
			    const struct metastore_key *key)
{
	if (key->bucket < iter->bucket)
		return;
	iter->bucket = key->bucket;
	metastore_position_set(&iter->pos, key->hash, key->bytes, key->len);
}

static void iter_arrive_at(struct metastore_iter *iter, struct metastore_node *node)
{
	metastore_position_set(&iter->pos, node->hash, node->key, node->key_len);
	iter->key.bytes = iter->pos.key;
	iter->key.len = node->key_len;
	iter->key.hash = node->hash;
	iter->key.bucket = iter->bucket;
}

/*
 * Arrive at a value, in an RCU section. Return whether there is one to report. If it has
 * expired, or its last reference is gone, it may have been replaced: look its key up again.
 */
static bool iter_arrive_at_value(struct metastore_iter *iter, struct metastore_value *value)
{
	if (metastore_value_is_over(value))
		value = metastore_bucket_find_live(&iter->key);
	if (value && iter->visit == METASTORE_VISIT_VALUES && !metastore_value_tryget(value))
		value = metastore_bucket_get(&iter->key);
	if (!value)
		return false;
	iter->version = value->version;
	iter->value_len = value->len;
	iter->value = iter->visit == METASTORE_VISIT_VALUES ? value : NULL;
	return true;
}

/*
 * Search the rest of one slot, up to the next node. Return true if that has a key to
 * report.
 */
static bool iter_step(struct metastore_iter *iter)
{
	bool topics = iter->visit == METASTORE_VISIT_TOPICS;
	struct metastore_table *table =
		topics ? &iter->bucket->topics : &iter->bucket->values;
	struct metastore_node *node;
	bool told = false;

	rcu_read_lock();
	node = metastore_table_next(table, &iter->pos, iter->range->prefix,
				    iter->range->prefix_len);
	if (node) {
		iter_arrive_at(iter, node);
		told = topics || iter_arrive_at_value(iter, metastore_value_of(node));
	}
	rcu_read_unlock();
	return told;
}

/**
 * metastore_iter_next() - Advance to the next key of the range
 * @iter:	the iterator
 *
 * Meets each key that exists throughout exactly once, whatever concurrent writers change.
 *
 * Context: Process context, may sleep. Takes no lock.
 * Return: true if there is a next key. If false, @iter->err is 0 at the end, or -EINTR
 * after a fatal signal.
 */
bool metastore_iter_next(struct metastore_iter *iter)
{
	struct metastore_bucket *last = &iter->store->buckets[iter->range->last];

	for (; iter->bucket <= last; iter->bucket++) {
		while (iter->pos.order < METASTORE_ORDER_END) {
			if (iter_step(iter))
				return true;
			if (fatal_signal_pending(current)) {
				iter->err = -EINTR;
				return false;
			}
			cond_resched();
		}
		metastore_position_set(&iter->pos, 0, NULL, 0);
	}
	return false;
}
