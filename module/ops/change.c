// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of a key, and their order.
 *
 * A writer makes a change and enqueues its events in one critical section of the
 * bucket's lock. So every queue gets the changes of a key in version order.
 * Deliveries to many subscribers release the lock in between: the key's next writer
 * then completes the delivery first, see delivery.c.
 *
 * Functions shared with txn.c are still inline, since most of their calls are here.
 */
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "base/trace.h"
#include "store/bucket.h"
#include "store/mirror.h"
#include "events/delivery.h"
#include "events/prefix.h"
#include "events/reservation.h"
#include "ops/change.h"
#include "ops/charge.h"
#include "ops/file.h"
#include "ops/retire.h"

/**
 * metastore_change_prepare() - Preallocate table memory for a change
 * @change:	the change
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
inline int metastore_change_prepare(const struct metastore_change *change)
{
	if (!change->value)
		return 0;
	if (unlikely(change->key->bucket->shard))
		metastore_mirror_prepare(change->key->bucket->shard);
	return metastore_table_prepare(&change->key->bucket->values);
}

/* Check whether the module is retired for whoever makes a change. */
static __always_inline bool change_is_late(const struct metastore_change *change)
{
	return metastore_is_retired(container_of(change->by, struct metastore_file, owner));
}

/**
 * metastore_change_judge() - Check the condition and the owner of a change
 * @change:	the change; after -EEXIST and -ESTALE its version is @old's, or 0
 * @old:	present value, not expired, or NULL
 *
 * Context: Caller holds the bucket's lock.
 * Return:
 * - 0: the change may be made
 * - -EEXIST, -ENOENT, -ESTALE: its condition is not met
 * - -ENOENT: also if a deletion finds no value
 * - -EBUSY: another open file owns the value
 * - -ERANGE: the value is longer than @change->previous_len
 * - -ENODEV: the module is retired
 */
inline int metastore_change_judge(struct metastore_change *change,
				  const struct metastore_value *old)
{
	u64 version = old ? old->version : 0;

	lockdep_assert_held(&change->key->bucket->lock);
	if (change_is_late(change))
		return -ENODEV;
	if (change->flags & METASTORE_F_CREATE && old) {
		change->version = version;
		return -EEXIST;
	}
	if (change->flags & METASTORE_F_IF_VERSION && change->version != version) {
		change->version = version;
		return -ESTALE;
	}
	if (!old)
		return !change->value || change->flags & METASTORE_F_REPLACE ? -ENOENT : 0;
	if (!(change->flags & METASTORE_F_STEAL) &&
	    metastore_value_owner(old, change->by) == METASTORE_OWNER_OTHER)
		return -EBUSY;
	if (change->flags & METASTORE_F_PREVIOUS && old->len > change->previous_len) {
		change->previous_len = old->len;
		change->previous_version = version;
		return -ERANGE;
	}
	return 0;
}

/**
 * metastore_change_judge_touch() - Check whether a time to live can be renewed
 * @change:	the change, without a value; after -ESTALE its version is @old's, or 0
 * @old:	present value, not expired, or NULL
 *
 * Context: Caller holds the bucket's lock.
 * Return: as metastore_change_judge(), or -ENODATA if @old does not expire.
 */
int metastore_change_judge_touch(struct metastore_change *change,
				 const struct metastore_value *old)
{
	int err = metastore_change_judge(change, old);

	return err ?: metastore_value_expires(old) ? 0 : -ENODATA;
}

/**
 * metastore_change_bytes() - Compute the bytes that a change adds to the store
 * @change:	the change; its @bytes is set
 * @old:	present value, or NULL
 *
 * Return: the bytes, negative if the store shrinks.
 */
inline s64 metastore_change_bytes(struct metastore_change *change,
				  const struct metastore_value *old)
{
	change->bytes = change->value ? metastore_value_size(change->value) : 0;
	if (old)
		change->bytes -= metastore_value_size(old);
	return change->bytes;
}

/* Check that a value is as most are: of the default store, and without an owner. */
static inline bool change_is_plain(const struct metastore_store *store,
				   const struct metastore_value *value)
{
	return !store->maker && !metastore_value_is_tied(value);
}

/* Charge a plain value of a new key, or one that is removed. Returns false if it must not. */
static inline bool change_charge_plain(struct metastore_store *store,
				       const struct metastore_value *value,
				       const struct metastore_value *old)
{
	if (value && old)
		return false;
	if (value)
		return change_is_plain(store, value) && metastore_charge_new(store, value);
	if (!change_is_plain(store, old))
		return false;
	metastore_charge_gone(store, old);
	return true;
}

/* As change_charge_any(), for all changes. */
static noinline int change_charge_slowly(struct metastore_change *change,
					 const struct metastore_value *old)
{
	struct metastore_store *store = change->key->bucket->store;
	struct metastore_charges charges = {};
	int err;

	if (change->by) {
		charges.user = change->by->user;
		charges.payer = change->by->payer;
	}
	metastore_charges_add(&charges, change, old);
	err = metastore_charges_pay(&charges, store);
	if (!err)
		metastore_charges_refund(&charges, store, old);
	return err;
}

/*
 * See change_charge(). Not inline, so that a change that costs nothing saves no registers
 * for it.
 */
static noinline int change_charge_any(struct metastore_change *change,
				      const struct metastore_value *old)
{
	if (likely(change_charge_plain(change->key->bucket->store, change->value, old)))
		return 0;
	return change_charge_slowly(change, old);
}

/* Charge the store and users. Returns 0, -ENOSPC or -EDQUOT. */
static inline int change_charge(struct metastore_change *change,
				const struct metastore_value *old)
{
	s64 bytes = metastore_change_bytes(change, old);

	return likely(metastore_charge_is_none(change->value, old, bytes)) ?
	       0 : change_charge_any(change, old);
}

/* Tell the event mask bits that match a change; one of them suffices. */
static u32 change_mask_of(u16 type, u16 flags)
{
	if (type != METASTORE_EVENT_DELETED)
		return type;
	if (flags & METASTORE_EVENT_F_FLUSH)
		return type | METASTORE_EVENT_BY_FLUSH;
	if (flags & METASTORE_EVENT_F_EXPIRED)
		return type | METASTORE_EVENT_BY_EXPIRY;
	if (flags & METASTORE_EVENT_F_OWNER)
		return type | METASTORE_EVENT_BY_OWNER;
	return type | METASTORE_EVENT_BY_DELETE;
}

/**
 * metastore_change_has_room() - Check the preallocated memory for a new key
 * @change:	the change, of a key without a value
 *
 * Context: Caller holds the bucket's lock.
 * Return: false if the key goes to a tree and @change->preload is NULL or lacks
 * memory for it. A preload then records its need, see metastore_table_has_room().
 */
inline bool metastore_change_has_room(const struct metastore_change *change)
{
	return metastore_table_has_room(&change->key->bucket->values, change->key->hash,
					change->preload);
}

/* Out of line, so that the fast path keeps its registers. */
static noinline void change_trace(const struct metastore_change *change,
				  const struct metastore_value *old)
{
	trace_metastore_change(change, old);
}

/* A publisher that waits may try again: op_change_waiting() traces a refusal. */
static noinline void change_trace_refusal(const struct metastore_change *change, int err)
{
	if (!change->reserved)
		trace_metastore_refuse(change, err);
}

/*
 * Note who loses a value to another open file. Ahead of metastore_lifetime_end(): once the
 * value is off its owner's list, the owner may be freed.
 */
static noinline void change_note_former(struct metastore_change *change,
					const struct metastore_value *old)
{
	const struct metastore_owner *owner;

	if (!change->by || metastore_value_owner(old, change->by) != METASTORE_OWNER_OTHER)
		return;
	owner = metastore_tie_of(old)->owner;
	change->former = container_of(owner, struct metastore_file, owner)->subs.id;
}

static __always_inline void change_replace_in_table(const struct metastore_change *change,
						    struct metastore_value *old)
{
	struct metastore_node *node = &change->value->node;

	if (change->link)
		metastore_table_replace_at(change->link, node);
	else
		metastore_table_replace(&change->key->bucket->values, &old->node, node);
}

static __always_inline void change_update_table(const struct metastore_change *change,
						struct metastore_value *old)
{
	struct metastore_table *values = &change->key->bucket->values;

	if (!old)
		metastore_table_insert(values, &change->value->node, change->preload);
	else if (change->value)
		change_replace_in_table(change, old);
	else
		metastore_table_remove(values, &old->node, change->link);
}

static noinline void change_update_moved(const struct metastore_change *change,
					 struct metastore_value *old)
{
	struct metastore_shard *shard = change->key->bucket->shard;
	struct metastore_mirror_change mirror __uninitialized;

	metastore_mirror_begin(shard, change->key->hash, change->value, old, change->stage,
			       &mirror);
	change_update_table(change, old);
	metastore_mirror_end(shard, &mirror);
}

/* Out of line, so that stores that are not mapped pay nothing. */
static noinline void change_update_mapped(const struct metastore_change *change,
					  struct metastore_value *old)
{
	struct metastore_map_entry *entry = NULL;

	if (old && change->value)
		entry = metastore_mirror_replace(change->key->bucket->shard, change->value, old);
	if (unlikely(!entry)) {
		change_update_moved(change, old);
		return;
	}
	change_replace_in_table(change, old);
	metastore_mirror_replaced(entry, change->version);
}

/* See metastore_change_commit(). */
static __always_inline void change_commit(struct metastore_change *change,
					  struct metastore_value *old)
{
	struct metastore_bucket *bucket = change->key->bucket;
	struct metastore_value *value = change->value;

	lockdep_assert_held(&bucket->lock);
	change->version = ++bucket->version;
	change->former = 0;
	bucket->published += change->type == METASTORE_EVENT_PUBLISHED;
	bucket->bytes += change->bytes;
	if (old && unlikely(metastore_value_is_tied(old))) {
		change_note_former(change, old);
		metastore_lifetime_end(old, &bucket->store->expiry);
	}
	if (value) {
		value->version = change->version;
		value->time = ktime_get_real_ns();
		/* First, since lockless readers see the value once it is in the table. */
		metastore_lifetime_begin(value, change->flags & METASTORE_F_KEEP_TTL ? old : NULL,
					 &bucket->store->expiry);
	}
	if (unlikely(bucket->shard))
		change_update_mapped(change, old);
	else
		change_update_table(change, old);
	if (trace_metastore_change_enabled())
		change_trace(change, old);
}

/**
 * metastore_change_commit() - Draw the version of a change and update the table
 * @change:	the change, after metastore_change_prepare(), metastore_change_judge()
 *		and metastore_store_charge(), for a new key also after
 *		metastore_change_has_room(). Its version is set. The table takes over
 *		the caller's reference to its value
 * @old:	present value, or NULL. The caller takes over the table's reference
 *
 * The caller must call metastore_table_shrink() after the removal of a value.
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_change_commit(struct metastore_change *change, struct metastore_value *old)
{
	change_commit(change, old);
}

/**
 * metastore_change_tell() - Fill in the notice of a change for its subscribers
 * @change:	the change, after metastore_change_commit()
 * @old:	previous value, or NULL; needs a reference until @notice is delivered
 * @notice:	filled in
 */
inline void metastore_change_tell(const struct metastore_change *change,
				  struct metastore_value *old, struct metastore_notice *notice)
{
	u64 now = get_jiffies_64();

	*notice = (struct metastore_notice) {
		.key = change->key,
		.record = {
			.value = change->value ?: old,
			.version = change->version,
			.type = change->type,
			.flags = change->event_flags,
			.since_high = now >> 32,
			.since = now,
		},
		.mask = change_mask_of(change->type, change->event_flags),
		.reserved = change->reserved,
	};
	if (unlikely(change->former)) {
		notice->record.flags |= METASTORE_EVENT_F_STOLEN;
		notice->former = change->former;
	}
}

/* Deliver the event of a committed change. May release and retake the bucket's lock. */
static void change_deliver(struct metastore_change *change, struct metastore_value *old)
{
	struct metastore_image image __uninitialized;
	struct metastore_notice notice __uninitialized;

	metastore_change_tell(change, old, &notice);
	image.uses = 0;
	image.size = 0;
	notice.image = &image;
	change->queues = metastore_deliver(&notice, change->garbage);
}

/* Commit a change and deliver its event. May release and retake the bucket's lock. */
static __always_inline void change_carry_out(struct metastore_change *change,
					     struct metastore_value *old)
{
	struct metastore_bucket *bucket = change->key->bucket;

	change_commit(change, old);
	if (!change->value)
		metastore_table_shrink(&bucket->values);
	if (bucket->topics.nr_nodes || metastore_has_prefixes(&bucket->store->prefixes))
		change_deliver(change, old);
	if (old && change->flags & METASTORE_F_PREVIOUS)
		change->previous = old;
	else if (old)
		metastore_value_put_later(old, change->garbage);
}

/**
 * metastore_change_remove() - Remove a value because it expired or its owner closed
 * @key:	the key, which is not busy
 * @value:	its value
 * @event_flags: METASTORE_EVENT_F_EXPIRED or _OWNER
 * @garbage:	takes values to be freed after the unlock
 *
 * The charge cannot fail, since it only lowers the store's counts.
 *
 * Context: Process context, may sleep. Caller holds the bucket's lock, which may be released
 * and taken again.
 */
void metastore_change_remove(const struct metastore_key *key, struct metastore_value *value,
			     u16 event_flags, struct metastore_garbage *garbage)
{
	struct metastore_change change = {
		.key = key,
		.type = METASTORE_EVENT_DELETED,
		.event_flags = event_flags,
		.garbage = garbage,
	};

	change_charge(&change, value);
	change_carry_out(&change, value);
}

/*
 * Lock the bucket for a change, and remove an expired value first. Sets change->link.
 * Returns the present value, or NULL.
 */
static __always_inline struct metastore_value *change_lock_live(struct metastore_change *change)
	__acquires(&change->key->bucket->lock)
{
	const struct metastore_key *key = change->key;
	struct metastore_value *value;

	for (;;) {
		metastore_key_lock(key, change->garbage);
		change->link = metastore_table_link(&key->bucket->values, key);
		if (!change->link)
			return NULL;
		value = metastore_value_of(rcu_dereference_raw(*change->link));
		if (likely(!metastore_value_is_over(value)))
			return value;
		/* The removal may release the lock, so start over. */
		metastore_change_remove(key, value, METASTORE_EVENT_F_EXPIRED, change->garbage);
		spin_unlock(&key->bucket->lock);
	}
}

/**
 * metastore_change_check() - Check whether a change could be made at present
 * @change:	the change, as in metastore_change_judge()
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 * Return: as metastore_change_judge().
 */
int metastore_change_check(struct metastore_change *change)
{
	struct metastore_garbage garbage = {};
	int err;

	change->garbage = &garbage;
	err = metastore_change_judge(change, change_lock_live(change));
	spin_unlock(&change->key->bucket->lock);
	metastore_garbage_free(&garbage);
	return err;
}

/*
 * One try of metastore_change_make(). Returns -ENOBUFS, without a change, if the preload
 * lacks memory for a new key.
 */
static __always_inline int change_try(struct metastore_change *change)
{
	struct metastore_garbage garbage = {};
	struct metastore_value *old;
	int err;

	change->garbage = &garbage;
	old = change_lock_live(change);
	err = metastore_change_judge(change, old);
	if (!err && change->reserved &&
	    !metastore_reservations_are_all(change->reserved, change->key))
		err = -EAGAIN;
	if (!err && !old && !metastore_change_has_room(change))
		err = -ENOBUFS;
	if (!err)
		err = change_charge(change, old);
	if (!err)
		change_carry_out(change, old);
	spin_unlock(&change->key->bucket->lock);
	metastore_garbage_free(&garbage);
	return err;
}

/*
 * Like change_try(), for a new key that goes to a tree or turns a chain into one. The
 * need can change during the allocation, hence the loop.
 */
static noinline int change_try_in_tree(struct metastore_change *change)
{
	struct metastore_preload preload = {};
	int err;

	change->preload = &preload;
	while ((err = change_try(change)) == -ENOBUFS) {
		err = metastore_preload_fill(&preload);
		if (err)
			break;
	}
	metastore_preload_free(&preload);
	return err;
}

/**
 * metastore_change_make() - Change a key and deliver the event
 * @change:	the change; its version and number of queues are set, the latter must be
 *		0 before. On success the table takes over the reference to its value
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 * Return:
 * - 0: done
 * - an error of metastore_change_judge()
 * - -ENOSPC: a limit of the store refuses the change
 * - -EDQUOT: a limit of a user refuses it
 * - -ENOMEM: out of memory
 * - -EAGAIN: a further lossless queue may need a reservation
 */
int metastore_change_make(struct metastore_change *change)
{
	int err;

	err = metastore_change_prepare(change);
	if (err)
		return err;
	change->preload = NULL;
	change->stage = NULL;
	err = change_try(change);
	if (unlikely(err == -ENOBUFS))
		err = change_try_in_tree(change);
	if (unlikely(err))
		change_trace_refusal(change, err);
	return err;
}

/**
 * metastore_change_touch() - Renew the time to live of a key's value
 * @change:	the change, without a value; its version is set
 * @ttl:	time to live in ms, 1 to METASTORE_TTL_MAX
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 * Return: as metastore_change_judge_touch().
 */
int metastore_change_touch(struct metastore_change *change, u64 ttl)
{
	struct metastore_expiry *expiry = &change->key->bucket->store->expiry;
	struct metastore_garbage garbage = {};
	struct metastore_value *value;
	bool late;
	int err;

	change->garbage = &garbage;
	do {
		value = change_lock_live(change);
		err = metastore_change_judge_touch(change, value);
		/* Then it has expired, and is removed and judged as such. */
		late = !err && !metastore_tie_renew(metastore_tie_of(value), expiry, ttl);
		if (!err && !late)
			change->version = value->version;
		if (!late)
			trace_metastore_touch(change, ttl, err);
		spin_unlock(&change->key->bucket->lock);
	} while (late);
	metastore_garbage_free(&garbage);
	return err;
}
