// SPDX-License-Identifier: GPL-2.0
/*
 * Values that belong to an open file and go with it.
 *
 * A value enters its owner's list when it comes into a table and leaves it when
 * it goes, both with the bucket's lock held. So whoever holds that lock and finds
 * a value in the table knows that its owner is there still: the owner's release
 * would have to take the lock to remove the value.
 */
#include <linux/sched.h>

#include "store/bucket.h"
#include "store/owner.h"
#include "store/store.h"
#include "ops/change.h"
#include "api/file.h"

/**
 * metastore_belongings_init - make an empty set
 * @belongings:	the set
 */
void metastore_belongings_init(struct metastore_belongings *belongings)
{
	spin_lock_init(&belongings->lock);
	INIT_LIST_HEAD(&belongings->values);
}

/*
 * How the process ended that is now closing the file. If it is not about to, it
 * closed the file, or replaced its program. What was on its way in a socket, or in
 * use by io_uring when the process ended, a worker of the kernel closes.
 */
static struct metastore_owner_end how_it_ends(void)
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

/* Some value of the set, with a reference, or NULL if there is none. */
static struct metastore_value *some_value(struct metastore_belongings *belongings)
{
	struct metastore_tie *tie;
	struct metastore_value *value = NULL;

	spin_lock(&belongings->lock);
	tie = list_first_entry_or_null(&belongings->values, struct metastore_tie,
				       in_owner);
	if (tie) {
		value = &container_of(tie, struct metastore_tied_value, tie)->value;
		metastore_value_get(value);
	}
	spin_unlock(&belongings->lock);
	return value;
}

/**
 * metastore_belongings_destroy - delete all values that belong to an open file
 * @file:	the file, which nobody uses any more
 *
 * Allocates nothing. Context: takes bucket after bucket's lock. May sleep.
 */
void metastore_belongings_destroy(struct metastore_file *file)
{
	struct metastore_owner_end end = how_it_ends();
	struct metastore_value *value;
	struct metastore_key key;

	while ((value = some_value(&file->belongings))) {
		metastore_store_locate_value(file->store, value, &key);
		metastore_bucket_end(&key, value, &end);
		metastore_value_put(value);
		cond_resched();
	}
}

/**
 * metastore_owner_add - a value comes into a table
 * @value:	the value, which has a tie
 *
 * Context: with the bucket's lock held, takes the owner's.
 */
void metastore_owner_add(struct metastore_value *value)
{
	struct metastore_tie *tie = metastore_tie_of(value);
	struct metastore_belongings *belongings;

	if (!tie->owner)
		return;
	belongings = &tie->owner->belongings;
	spin_lock(&belongings->lock);
	list_add_tail(&tie->in_owner, &belongings->values);
	spin_unlock(&belongings->lock);
}

/**
 * metastore_owner_remove - a value goes from its table
 * @value:	the value, which has a tie
 *
 * Context: with the bucket's lock held, takes the owner's.
 */
void metastore_owner_remove(struct metastore_value *value)
{
	struct metastore_tie *tie = metastore_tie_of(value);

	if (!tie->owner)
		return;
	spin_lock(&tie->owner->belongings.lock);
	list_del(&tie->in_owner);
	spin_unlock(&tie->owner->belongings.lock);
}
