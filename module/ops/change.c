// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of a key, and their order.
 *
 * A change is made and its events are queued under one hold of the bucket's
 * lock, so for each key every queue sees the changes in the order of their
 * versions. The exception, a key with very many subscribers, is explained in
 * delivery.c; there the key's next writer completes the delivery first.
 *
 * Functions that batch.c calls as well are inline all the same: most calls are here.
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
 * metastore_change_prepare - allocate what a change may need
 * @change:	the change
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
inline int metastore_change_prepare(const struct metastore_change *change)
{
	if (!change->value)
		return 0;
	return metastore_table_prepare(&change->key->bucket->values);
}

/**
 * metastore_change_judge - may a change be made?
 * @change:	the change; after -EEXIST and -ESTALE its version is @old's, or 0
 * @old:	the value there is, whose time is not over, or NULL
 *
 * Context: with the bucket's lock held.
 * Return: 0; -EEXIST, -ENOENT or -ESTALE: its condition is not met; -ENOENT also:
 * there is nothing to delete; -EBUSY: the value belongs to another open file.
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
	return 0;
}

/**
 * metastore_change_bytes - find out what a change adds to the bytes of the store
 * @change:	the change; its bytes are set
 * @old:	the value there is, or NULL
 *
 * Return: its bytes.
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

/* The mask of events by which a subscriber can ask for a change. */
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
 * metastore_change_has_room - can a new key be stored with the memory at hand?
 * @change:	the change, of a key that there is not. If not, its preload, if there is one,
 *		knows what it takes
 *
 * Context: with the bucket's lock held.
 */
inline bool metastore_change_has_room(const struct metastore_change *change)
{
	return metastore_table_has_room(&change->key->bucket->values, change->key->hash,
					change->preload);
}

/**
 * metastore_change_commit - make a change
 * @change:	the change, prepared, judged and charged, of a new key after
 *		metastore_change_has_room(); is told its version. The caller's reference to
 *		its value becomes the table's
 * @old:	the value there is, or NULL. The table's reference to it becomes the
 *		caller's
 *
 * Where a value was removed metastore_table_shrink() is to follow.
 *
 * Context: with the bucket's lock held.
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
		/* Readers may see it as soon as it is in the table. */
		metastore_lifetime_begin(value, &bucket->store->expiry);
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
 * metastore_change_tell - what the subscribers of its key are to be told of a change
 * @change:	the change, made
 * @old:	the value there was, or NULL; there must be a reference until @notice is
 *		delivered
 * @notice:	is set
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

/* Tells a change that is made. The lock may be released in between. */
static void change_deliver(struct metastore_change *change, struct metastore_value *old)
{
	struct metastore_notice notice __uninitialized;

	metastore_change_tell(change, old, &notice);
	change->queues = metastore_deliver(&notice, change->garbage);
}

/* Makes a change and tells it. The lock may be released in between. */
static inline void change_carry_out(struct metastore_change *change, struct metastore_value *old)
{
	struct metastore_bucket *bucket = change->key->bucket;

	metastore_change_commit(change, old);
	if (!change->value)
		metastore_table_shrink(&bucket->values);
	if (bucket->topics.nr_nodes || metastore_has_prefixes(&bucket->store->prefixes))
		change_deliver(change, old);
	if (old)
		metastore_value_put_later(old, change->garbage);
}

/* Removes a value for a reason of the module's own. */
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
 * Takes the lock in order to make a change, after removing a value whose time is
 * over. Returns the one there is, or NULL; the change knows where that is.
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
		/* That may release the lock: look again at all of it. */
		change_remove_value(key, value, METASTORE_EVENT_F_EXPIRED, change->garbage);
		spin_unlock(&key->bucket->lock);
	}
}

/**
 * metastore_change_check - could a key be changed?
 * @change:	the change, as in metastore_change_judge()
 *
 * Context: may sleep.
 * Return: what metastore_change_judge() says.
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
 * See metastore_change_make(). Returns -ENOBUFS if the preload has not what a new key
 * takes; then nothing is changed.
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
 * The same where a new key goes to a tree, or makes one: by the time that is allocated
 * it may take something else.
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
 * metastore_change_make - change a key and tell its subscribers
 * @change:	the change; its version and number of queues are set. If this
 *		succeeds the caller's reference to its value becomes the table's
 *
 * Context: may sleep.
 * Return: 0; what metastore_change_judge() says; -ENOSPC if a limit of the store
 * refuses it; -ENOMEM; -EAGAIN if what is reserved may not be all that is needed.
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
 * metastore_change_expire - remove a value if its time is over, and tell
 * @key:	the key
 *
 * Context: may sleep.
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
 * metastore_change_expire_all - remove the values of a store whose time is over, and tell
 * @work:	of the store's expiry
 *
 * Context: may sleep.
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
 * How the process ended that is now closing the file. If it is not about to, it
 * closed the file, or replaced its program. A file on its way in a socket, or in
 * use by io_uring when the process ended, a worker of the kernel closes.
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

/* Removes a value because its owner is gone, if it is still in the table, and tells. */
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
 * metastore_change_end - delete all values that belong to an open file
 * @file:	the file, which nobody uses any more
 *
 * Allocates nothing. Context: takes bucket after bucket's lock. May sleep.
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
