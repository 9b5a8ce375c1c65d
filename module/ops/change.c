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

#include "store/bucket.h"
#include "events/delivery.h"
#include "events/reservation.h"
#include "ops/change.h"
#include "ops/file.h"

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
	return metastore_table_prepare(&change->key->bucket->values);
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
 */
inline int metastore_change_judge(struct metastore_change *change,
				  const struct metastore_value *old)
{
	u64 version = old ? old->version : 0;

	lockdep_assert_held(&change->key->bucket->lock);
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

static inline int change_charge(struct metastore_change *change,
				const struct metastore_value *old)
{
	return metastore_store_charge(change->key->bucket->store,
				      !!change->value - !!old,
				      metastore_change_bytes(change, old));
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
inline void metastore_change_commit(struct metastore_change *change,
				    struct metastore_value *old)
{
	struct metastore_bucket *bucket = change->key->bucket;
	struct metastore_value *value = change->value;

	lockdep_assert_held(&bucket->lock);
	change->version = ++bucket->version;
	bucket->bytes += change->bytes;
	if (old)
		metastore_lifetime_end(old, &bucket->store->expiry);
	if (value) {
		value->version = change->version;
		value->time = ktime_get_real_ns();
		/* First, since lockless readers see the value once it is in the table. */
		metastore_lifetime_begin(value, change->flags & METASTORE_F_KEEP_TTL ? old : NULL,
					 &bucket->store->expiry);
	}
	if (!old)
		metastore_table_insert(&bucket->values, &value->node, change->preload);
	else if (value && change->link)
		metastore_table_replace_at(change->link, &value->node);
	else if (value)
		metastore_table_replace(&bucket->values, &old->node, &value->node);
	else
		metastore_table_remove(&bucket->values, &old->node, change->link);
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
	const struct metastore_owner *former;

	*notice = (struct metastore_notice) {
		.key = change->key,
		.record = {
			.value = change->value ?: old,
			.version = change->version,
			.type = change->type,
			.flags = change->event_flags,
			.since = jiffies,
		},
		.mask = change_mask_of(change->type, change->event_flags),
		.reserved = change->reserved,
	};
	if (change->by && old &&
	    metastore_value_owner(old, change->by) == METASTORE_OWNER_OTHER) {
		notice->record.flags |= METASTORE_EVENT_F_STOLEN;
		former = metastore_tie_of(old)->owner;
		notice->former = &container_of(former, struct metastore_file, owner)->subs;
	}
}

/* Deliver the event of a committed change. May release and retake the bucket's lock. */
static void change_deliver(struct metastore_change *change, struct metastore_value *old)
{
	struct metastore_notice notice __uninitialized;

	metastore_change_tell(change, old, &notice);
	change->queues = metastore_deliver(&notice, change->garbage);
}

/* Commit a change and deliver its event. May release and retake the bucket's lock. */
static inline void change_carry_out(struct metastore_change *change, struct metastore_value *old)
{
	struct metastore_bucket *bucket = change->key->bucket;

	metastore_change_commit(change, old);
	if (!change->value)
		metastore_table_shrink(&bucket->values);
	if (bucket->topics.nr_nodes || metastore_has_prefixes(&bucket->store->prefixes))
		change_deliver(change, old);
	if (old && change->flags & METASTORE_F_PREVIOUS)
		change->previous = old;
	else if (old)
		metastore_value_put_later(old, change->garbage);
}

/*
 * Remove a value because it expired or its owner closed. May release and retake the
 * bucket's lock. The charge cannot fail, since it only lowers the store's counts.
 */
static void change_remove_value(const struct metastore_key *key,
				struct metastore_value *value, u16 event_flags,
				struct metastore_garbage *garbage)
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
		change_remove_value(key, value, METASTORE_EVENT_F_EXPIRED, change->garbage);
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
	err = change_try(change);
	if (unlikely(err == -ENOBUFS))
		err = change_try_in_tree(change);
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
		spin_unlock(&change->key->bucket->lock);
	} while (late);
	metastore_garbage_free(&garbage);
	return err;
}

/**
 * metastore_change_expire() - Remove the value of a key if it has expired
 * @key:	the key
 *
 * Complete a delivery of the key that is in progress, and deliver the removal.
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 */
void metastore_change_expire(const struct metastore_key *key)
{
	struct metastore_garbage garbage = {};
	struct metastore_value *value;

	metastore_key_lock(key, &garbage);
	value = metastore_bucket_find(key);
	if (value && metastore_value_is_over(value))
		change_remove_value(key, value, METASTORE_EVENT_F_EXPIRED, &garbage);
	spin_unlock(&key->bucket->lock);
	metastore_garbage_free(&garbage);
}

/**
 * metastore_change_expire_all() - Remove the expired values of a store
 * @work:	work of the store's struct metastore_expiry
 *
 * Context: Workqueue, may sleep. Takes one bucket's lock at a time.
 */
void metastore_change_expire_all(struct work_struct *work)
{
	struct metastore_expiry *expiry =
		container_of(work, struct metastore_expiry, work);
	struct metastore_store *store =
		container_of(expiry, struct metastore_store, expiry);
	struct metastore_value *value;
	struct metastore_key key;

	while ((value = metastore_expiry_next(expiry))) {
		metastore_store_locate_value(store, value, &key);
		metastore_change_expire(&key);
		metastore_value_put(value);
		cond_resched();
	}
}

/*
 * Tell how the owner's process ended, from the task that closes the file. Without
 * PF_EXITING the process closed the file, or called execve(). A kernel thread closes
 * files that were in flight in a socket or in use by io_uring when the process ended.
 */
static struct metastore_owner_end change_how_it_ends(void)
{
	struct metastore_owner_end end = { .how = METASTORE_END_CLOSED };
	int code = current->exit_code;

	if (current->flags & PF_KTHREAD)
		return end;
	end.tgid = task_tgid_nr(current);
	if (!(current->flags & PF_EXITING))
		return end;
	end.how = code & 0x7f ? METASTORE_END_KILLED : METASTORE_END_EXITED;
	end.code = code & 0x7f ?: code >> 8 & 0xff;
	return end;
}

/* Remove a value because its owner closed, unless it has left the table. */
static void change_end_value(const struct metastore_key *key, struct metastore_value *value,
			     const struct metastore_owner_end *end)
{
	struct metastore_garbage garbage = {};

	metastore_key_lock(key, &garbage);
	if (metastore_bucket_find(key) == value) {
		metastore_tie_of(value)->end = *end;
		change_remove_value(key, value, METASTORE_EVENT_F_OWNER, &garbage);
	}
	spin_unlock(&key->bucket->lock);
	metastore_garbage_free(&garbage);
}

/**
 * metastore_change_end() - Delete all values that an open file owns
 * @file:	file being released; it has no other users
 *
 * Allocates nothing, so it cannot fail.
 *
 * Context: Process context, may sleep. Takes one bucket's lock at a time.
 */
void metastore_change_end(struct metastore_file *file)
{
	struct metastore_owner_end end = change_how_it_ends();
	struct metastore_value *value;
	struct metastore_key key;

	while ((value = metastore_owner_next(&file->owner))) {
		metastore_store_locate_value(file->store, value, &key);
		change_end_value(&key, value, &end);
		metastore_value_put(value);
		cond_resched();
	}
}
