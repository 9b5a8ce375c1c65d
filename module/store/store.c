// SPDX-License-Identifier: GPL-2.0
/*
 * Stores: creating and destroying them, charging their limits.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/xarray.h>

#include "base/counter.h"
#include "base/types.h"
#include "store/bucket.h"
#include "store/mirror.h"
#include "store/share.h"
#include "store/store.h"
#include "store/user.h"

/* Publishers that are woken under one hold of the lock of their wait queue */
#define WAKE_AT_ONCE	16

/* All stores by number, including those that are being destroyed */
static DEFINE_XARRAY_FLAGS(stores, XA_FLAGS_ACCOUNT);

/* Number of stores created so far */
static atomic64_t nr_stores;

/*
 * The store that is not private. Set before the first open file exists, and cleared after
 * the last, with the lock of the module's parameters held.
 */
static struct metastore_store *default_store;

/* A lower bound of all versions. Set before the default store is created. */
static u64 version_floor;

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

static s64 store_left_private(void)
{
	return private_stores.max - atomic64_read(&private_stores.used);
}

/* Returns 0, -ENOSPC or -EDQUOT. */
static int store_charge_private(const struct metastore_store *store, s64 bytes)
{
	struct metastore_user *maker = store->maker;
	int err;

	if (!maker || !bytes)
		return 0;
	if (bytes > 0 && !metastore_payer_may_take(METASTORE_POOL_PRIVATE, maker->payer, bytes,
						   store_left_private())) {
		metastore_user_refuse(maker, METASTORE_USER_STORE_BYTES);
		return -EDQUOT;
	}
	err = metastore_user_charge(maker, METASTORE_USER_STORE_BYTES, bytes);
	if (err)
		return err;
	if (!metastore_add_within(&private_stores.used, bytes, private_stores.max)) {
		metastore_user_uncharge(maker, METASTORE_USER_STORE_BYTES, bytes);
		return -ENOSPC;
	}
	metastore_payer_take(METASTORE_POOL_PRIVATE, maker->payer, bytes);
	return 0;
}

static s64 store_bytes_of_buckets(const struct metastore_store *store)
{
	return (s64)store->limits.buckets * METASTORE_BUCKET_BYTES;
}

static int store_create_buckets(struct metastore_store *store)
{
	u32 i;
	int err;

	err = store_charge_private(store, store_bytes_of_buckets(store));
	if (err)
		return err;
	store->buckets = kvcalloc(store->limits.buckets, sizeof(*store->buckets),
				  METASTORE_GFP);
	if (!store->buckets) {
		store_charge_private(store, -store_bytes_of_buckets(store));
		return -ENOMEM;
	}
	for (i = 0; i < store->limits.buckets; i++)
		metastore_bucket_init(&store->buckets[i], store, store->first_version);
	return 0;
}

/* Make the current task's user pay for the store. Returns 0, -ENOMEM or -EDQUOT. */
static int store_charge_maker(struct metastore_store *store)
{
	struct metastore_user *maker = metastore_user_get_current();
	int err;

	if (!maker)
		return -ENOMEM;
	err = metastore_user_charge(maker, METASTORE_USER_STORES, 1);
	if (err)
		metastore_user_put(maker);
	else
		store->maker = maker;
	return err;
}

static void store_uncharge_maker(struct metastore_store *store)
{
	if (!store->maker)
		return;
	metastore_user_uncharge(store->maker, METASTORE_USER_STORES, 1);
	metastore_user_put(store->maker);
}

static void store_init_prefixes(struct metastore_prefixes *prefixes)
{
	spin_lock_init(&prefixes->lock);
	metastore_table_init(&prefixes->topics, &prefixes->lock);
	prefixes->secret = get_random_u64();
}

/* Wake the publishers that wait by now, some at a time: they are woken under a spinlock. */
static void store_wake_publishers(struct work_struct *work)
{
	struct metastore_room *room = container_of(work, struct metastore_room, work);
	int nr;

	for (nr = atomic_read(&room->nr); nr > 0; nr -= WAKE_AT_ONCE) {
		wake_up_interruptible_nr(&room->waiters, WAKE_AT_ONCE);
		cond_resched();
	}
}

static void store_init_room(struct metastore_room *room)
{
	init_waitqueue_head(&room->waiters);
	INIT_WORK(&room->work, store_wake_publishers);
	atomic64_set(&room->changes, 0);
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
 * -EDQUOT if a limit of the user refuses a private store;
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
	store->id = atomic64_inc_return(&nr_stores);
	/* Versions grow by less than one per ns: those of earlier stores are smaller. */
	store->first_version = max_t(u64, ktime_get_real_ns(), version_floor);
	store->limits = *limits;
	store->seed = get_random_u32();
	store_init_prefixes(&store->prefixes);
	store_init_room(&store->room);
	metastore_expiry_init(&store->expiry, expire);
	spin_lock_init(&store->txns.lock);
	err = private ? store_charge_maker(store) : 0;
	if (err)
		goto free;
	err = store_create_buckets(store);
	if (err)
		goto uncharge;
	err = limits->mapped ? metastore_mirror_create(store) : 0;
	if (err)
		goto free_buckets;
	/* Last: from here on others see the store. */
	err = xa_err(xa_store(&stores, store->id, store, METASTORE_GFP));
	if (err)
		goto destroy_mirror;
	metastore_mirror_start(store->mirror);
	if (!private)
		default_store = store;
	return store;

destroy_mirror:
	metastore_mirror_destroy(store->mirror);
free_buckets:
	store_charge_private(store, -store_bytes_of_buckets(store));
	kvfree(store->buckets);
uncharge:
	store_uncharge_maker(store);
free:
	kfree(store);
	return ERR_PTR(err);
}

/**
 * metastore_store_begin_above() - Set what the versions of the stores are to be greater than
 * @version:	newest version of a store that the next ones take the place of
 *
 * Return: 0, or -ERANGE if @version leaves too few for them.
 */
int metastore_store_begin_above(u64 version)
{
	if (version > S64_MAX)
		return -ERANGE;
	version_floor = version;
	return 0;
}

/**
 * metastore_store_newest_version() - Get the newest version of the default store
 *
 * Context: Process context, may sleep. Caller holds the lock of the module's parameters.
 * Takes one bucket's lock after another.
 * Return: the version; before the store is created what metastore_store_begin_above() set.
 */
u64 metastore_store_newest_version(void)
{
	struct metastore_store *store = default_store;
	u64 newest = version_floor;
	u32 i;

	for (i = 0; store && i < store->limits.buckets; i++) {
		newest = max(newest, metastore_bucket_version(&store->buckets[i]));
		cond_resched();
	}
	return newest;
}

/**
 * metastore_room_wake() - Wake all publishers that wait for room
 * @room:	wait state of the publishers of a store
 */
void metastore_room_wake(struct metastore_room *room)
{
	atomic64_inc(&room->changes);
	schedule_work(&room->work);
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

/* Take a reference to the first store from @id on. Sets @id to its number. */
static struct metastore_store *store_try_get_from(unsigned long *id)
{
	struct metastore_store *store;

	xa_lock(&stores);
	store = xa_find(&stores, id, ULONG_MAX, XA_PRESENT);
	if (store && !refcount_inc_not_zero(&store->refs))
		store = ERR_PTR(-EAGAIN);
	xa_unlock(&stores);
	return store;
}

/**
 * metastore_store_get_next() - Take a reference to the next store by number
 * @id:		number behind which to look, which need not be one of a store
 *
 * Context: Process context, may sleep.
 * Return: the store, or NULL.
 */
struct metastore_store *metastore_store_get_next(u64 id)
{
	struct metastore_store *store;
	unsigned long at = id;

	/* Pass over those that are being destroyed. */
	do {
		at++;
		store = store_try_get_from(&at);
		cond_resched();
	} while (IS_ERR(store));
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
	if (store == default_store)
		default_store = NULL;
	xa_erase(&stores, store->id);
	metastore_expiry_stop(&store->expiry);
	cancel_work_sync(&store->room.work);
	store_charge_private(store, -atomic64_read(&store->bytes));
	for (i = 0; i < store->limits.buckets; i++)
		metastore_bucket_destroy(&store->buckets[i]);
	metastore_mirror_destroy(store->mirror);
	metastore_table_destroy(&store->prefixes.topics);
	kfree(store->prefixes.lengths);
	store_charge_private(store, -store_bytes_of_buckets(store));
	store_uncharge_maker(store);
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
	return (store->maker && uid_eq(store->maker->uid, current_euid())) ||
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

static void store_tell_share(struct metastore_user_kind *kind, enum metastore_pool pool,
			     u32 payer, s64 left)
{
	kind->use = metastore_payer_use(pool, payer);
	kind->limit = metastore_payer_limit(pool, payer, left);
}

/**
 * metastore_store_tell_shares() - Report the shares of a user
 * @user:	the user
 * @info:	use and limit of its kinds that are shares are set, after metastore_user_tell()
 */
void metastore_store_tell_shares(const struct metastore_user *user,
				 struct metastore_user_info *info)
{
	struct metastore_user_kind *private = &info->kinds[METASTORE_USER_STORE_BYTES];
	s64 keys = default_store->limits.max_keys - atomic64_read(&default_store->keys);
	s64 bytes = default_store->limits.max_bytes - atomic64_read(&default_store->bytes);

	store_tell_share(&info->kinds[METASTORE_USER_KEYS], METASTORE_POOL_KEYS, user->payer, keys);
	store_tell_share(&info->kinds[METASTORE_USER_BYTES], METASTORE_POOL_BYTES, user->payer,
			 bytes);
	private->limit = min_t(u64, private->limit,
			       metastore_payer_limit(METASTORE_POOL_PRIVATE, user->payer,
						     store_left_private()));
}

/**
 * metastore_store_charge_mirror() - Charge memory of a store's mirror
 * @store:	the store
 * @bytes:	number of bytes; negative: given back
 *
 * Only a private store is charged, as for its values. The mirror of the default store has
 * a limit of its own, max_bytes.
 *
 * Context: Any that does not hold users_lock.
 * Return: 0, or -ENOSPC or -EDQUOT if a limit refuses it.
 */
int metastore_store_charge_mirror(const struct metastore_store *store, s64 bytes)
{
	return store_charge_private(store, bytes);
}

/* See metastore_store_charge(). */
int metastore_store_charge_any(struct metastore_store *store, int keys, s64 bytes)
{
	int more_keys = max(keys, 0);
	s64 more_bytes = max(bytes, 0LL);
	int err = -ENOSPC;

	if (keys <= 0 && bytes <= 0) {
		atomic64_add(keys, &store->keys);
		atomic64_add(bytes, &store->bytes);
		store_charge_private(store, bytes);
		return 0;
	}
	if (!metastore_add_within(&store->keys, more_keys, store->limits.max_keys))
		return err;
	if (!metastore_add_within(&store->bytes, more_bytes, store->limits.max_bytes))
		goto uncharge_keys;
	err = store_charge_private(store, more_bytes);
	if (err)
		goto uncharge_bytes;
	/* Uncharge last: after that, other writers may take the room at once. */
	metastore_add_within(&store->keys, keys - more_keys, 0);
	metastore_add_within(&store->bytes, bytes - more_bytes, 0);
	store_charge_private(store, bytes - more_bytes);
	return 0;

uncharge_bytes:
	atomic64_sub(more_bytes, &store->bytes);
uncharge_keys:
	atomic64_sub(more_keys, &store->keys);
	return err;
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

static void store_count_bucket(struct metastore_bucket *bucket,
			       struct metastore_counters *counters)
{
	spin_lock(&bucket->lock);
	counters->keys += bucket->values.nr_nodes;
	counters->bytes += bucket->bytes;
	counters->subscriptions += bucket->nr_subscriptions;
	counters->changes += bucket->version - bucket->store->first_version;
	counters->published += bucket->published;
	spin_unlock(&bucket->lock);
	cond_resched();
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
	struct metastore_counters counters = {};
	u32 i;

	for (i = range->first; i <= range->last; i++)
		store_count_bucket(&store->buckets[i], &counters);
	if (metastore_range_is_whole(store, range))
		counters.subscriptions += READ_ONCE(store->prefixes.nr);
	info->keys = counters.keys;
	info->bytes = counters.bytes;
	info->subscriptions = counters.subscriptions;
}

/**
 * metastore_store_count_all() - Read the counters of a store
 * @store:	the store
 * @counters:	set
 *
 * Each bucket is counted at a slightly different time.
 *
 * Context: Process context, may sleep. Takes one bucket's lock after another.
 */
void metastore_store_count_all(struct metastore_store *store,
			       struct metastore_counters *counters)
{
	u32 i;

	*counters = (struct metastore_counters) {
		.subscriptions = READ_ONCE(store->prefixes.nr),
	};
	for (i = 0; i < store->limits.buckets; i++)
		store_count_bucket(&store->buckets[i], counters);
}
