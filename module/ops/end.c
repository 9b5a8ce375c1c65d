// SPDX-License-Identifier: GPL-2.0
/* Values that end by themselves: their time expires, or their owner closes. */
#include <linux/container_of.h>
#include <linux/sched.h>

#include <linux/metastore.h>

#include "store/bucket.h"
#include "store/lifetime.h"
#include "store/store.h"
#include "events/delivery.h"
#include "ops/change.h"
#include "ops/file.h"

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
		metastore_change_remove(key, value, METASTORE_EVENT_F_EXPIRED, &garbage);
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
static struct metastore_owner_end end_of_owner(void)
{
	struct metastore_owner_end end = { .how = METASTORE_END_CLOSED };
	int code = current->exit_code;

	if (current->flags & PF_KTHREAD)
		return end;
	if (!(current->flags & PF_EXITING))
		return end;
	end.how = code & 0x7f ? METASTORE_END_KILLED : METASTORE_END_EXITED;
	end.code = code & 0x7f ?: code >> 8 & 0xff;
	return end;
}

/* Remove a value because its owner closed, unless it has left the table. */
static void end_value(const struct metastore_key *key, struct metastore_value *value,
		      const struct metastore_owner_end *end)
{
	struct metastore_garbage garbage = {};

	metastore_key_lock(key, &garbage);
	if (metastore_bucket_find(key) == value) {
		metastore_tie_of(value)->end = *end;
		metastore_change_remove(key, value, METASTORE_EVENT_F_OWNER, &garbage);
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
	struct metastore_owner_end end = end_of_owner();
	struct metastore_value *value;
	struct metastore_key key;

	/* Values removed by others meanwhile take a reference, too. The process outlives this. */
	if (!(current->flags & PF_KTHREAD))
		WRITE_ONCE(file->owner.holder, task_tgid(current));
	while ((value = metastore_owner_next(&file->owner))) {
		metastore_store_locate_value(file->store, value, &key);
		end_value(&key, value, &end);
		metastore_value_put(value);
		cond_resched();
	}
}
