// SPDX-License-Identifier: GPL-2.0
/*
 * Transactions: atomic batches while they are done.
 *
 * A transaction does everything that can fail before it changes anything: it copies
 * all arguments in, allocates, locks all its buckets and judges. Then it changes the
 * tables and unlocks. Last, it delivers its events, to each queue all at once (see
 * delivery.c). Transactions that have no bucket in common run side by side; those that have
 * no key in common deliver side by side.
 */
#include <linux/err.h>
#include <linux/lockdep.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "base/trace.h"
#include "store/bucket.h"
#include "store/mirror.h"
#include "store/store.h"
#include "events/delivery.h"
#include "ops/batch.h"
#include "ops/change.h"
#include "ops/charge.h"
#include "ops/file.h"
#include "ops/ops.h"

/**
 * struct txn_op - operation of a transaction
 * @op:		arguments and results, as in the user's array
 * @buffer:	key
 * @change:	change to make; unused by a GET. A TOUCH is one without value and event
 * @preload:	preallocated memory for a new key
 * @found:	value before the transaction, or NULL. The bucket's lock keeps it until
 *		the commit, a reference afterwards, but for a TOUCH
 * @turn:	place among the writers of the key, if that was found busy
 * @old_end:	end of a TOUCH's value before it was renewed
 * @stored:	value that @change stored, or NULL; holds a reference
 * @stage:	what @change does in the mirror without the buckets' locks
 */
struct txn_op {
	struct metastore_op op;
	struct metastore_key_buffer buffer;
	struct metastore_change change;
	struct metastore_preload preload;
	struct metastore_value *found;
	struct metastore_turn turn;
	ktime_t old_end;
	struct metastore_value *stored;
	struct metastore_mirror_stage stage;
};

/**
 * struct txn - transaction
 * @file:	open file that runs the batch
 * @nr:		number of @ops
 * @failed:	index of the first operation that prevents the commit, or @nr
 * @preloaded:	whether a preload may hold memory
 * @nr_buckets:	number of @buckets
 * @buckets:	buckets of all keys, each once, in the order of locking
 * @group:	events of the transaction; its references are those of all of this
 * @dep_map:	tells lockdep that one task may hold the locks of many buckets
 * @garbage:	values to free once no lock is held
 * @ops:	operations
 */
struct txn {
	struct metastore_file *file;
	u32 nr;
	u32 failed;
	bool preloaded;
	u32 nr_buckets;
	struct metastore_bucket **buckets;
	struct metastore_group group;
	struct lockdep_map dep_map;
	struct metastore_garbage garbage;
	struct txn_op ops[];
};

static bool txn_is_get(const struct txn_op *top)
{
	return top->op.op == METASTORE_OP_GET;
}

static bool txn_is_touch(const struct txn_op *top)
{
	return top->op.op == METASTORE_OP_TOUCH;
}

/* Check that an operation stores or deletes a value, so has an event. */
static bool txn_is_change(const struct txn_op *top)
{
	return !txn_is_get(top) && !txn_is_touch(top);
}

/* Check that an operation returns the value that it replaces. */
static bool txn_tells_previous(const struct txn_op *top)
{
	return top->op.flags & METASTORE_F_PREVIOUS;
}

/* Record an operation that prevents the commit. Returns -ECANCELED. */
static int txn_refuse(struct txn *txn, struct txn_op *top, int err)
{
	if (txn->failed == txn->nr)
		txn->failed = top - txn->ops;
	top->op.result = err;
	return -ECANCELED;
}

static int txn_prepare_op(struct metastore_file *file, struct txn_op *top)
{
	int err = metastore_op_check(file, &top->op);

	metastore_turn_init(&top->turn);
	if (err)
		return err;
	if (txn_is_get(top))
		return metastore_copy_key(file, &top->buffer, top->op.key,
					  top->op.key_len);
	err = metastore_op_prepare(file, &top->op, &top->buffer, &top->change);
	top->change.preload = &top->preload;
	top->change.stage = &top->stage;
	return err ?: metastore_change_prepare(&top->change);
}

/*
 * Copy all operations in, also those behind one that is not understood, since each gets a
 * result. Returns 0, -EFAULT or -ECANCELED.
 */
static int txn_copy_ops(struct txn *txn, const struct metastore_batch *batch)
{
	int err, refused = 0;
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		err = metastore_batch_copy_op(batch, i, &txn->ops[i].op);
		txn->ops[i].op.result = 0;
		if (err == -E2BIG || err == -EINVAL)
			refused = txn_refuse(txn, &txn->ops[i], err);
		else if (err)
			return err;
	}
	return refused;
}

/*
 * Copy keys and values in and allocate memory for the changes. Returns 0, -ECANCELED,
 * -EINVAL if two operations have the same key, or -EMSGSIZE if the keys are too long.
 */
static int txn_prepare(struct txn *txn)
{
	u32 i, j, bytes = 0;
	int err;

	for (i = 0; i < txn->nr; i++) {
		err = txn_prepare_op(txn->file, &txn->ops[i]);
		if (err)
			return txn_refuse(txn, &txn->ops[i], err);
		/* So a group has few enough prefixes to look up, and keys to keep. */
		bytes += txn->ops[i].buffer.key.len;
		if (bytes > METASTORE_ATOMIC_KEYS)
			return -EMSGSIZE;
		for (j = 0; j < i; j++)
			if (metastore_key_equal(&txn->ops[i].buffer.key,
						&txn->ops[j].buffer.key))
				return -EINVAL;
	}
	return 0;
}

static int txn_compare_buckets(const void *a, const void *b)
{
	const struct metastore_bucket *first = *(struct metastore_bucket * const *)a;
	const struct metastore_bucket *second = *(struct metastore_bucket * const *)b;

	return first < second ? -1 : first > second;
}

static void txn_sort_buckets(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++)
		txn->buckets[i] = txn->ops[i].buffer.key.bucket;
	sort(txn->buckets, txn->nr, sizeof(txn->buckets[0]),
	     txn_compare_buckets, NULL);
	for (i = 0; i < txn->nr; i++)
		if (!i || txn->buckets[i] != txn->buckets[i - 1])
			txn->buckets[txn->nr_buckets++] = txn->buckets[i];
}

/* sparse cannot follow locks in a loop: the annotations of these two hide them. */
static void txn_lock_all(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr_buckets; i++) {
		spin_lock_nest_lock(&txn->buckets[i]->lock, txn);
		__release(&txn->buckets[i]->lock);
	}
}

static void txn_unlock_all(struct txn *txn)
{
	u32 i = txn->nr_buckets;

	while (i--) {
		__acquire(&txn->buckets[i]->lock);
		spin_unlock(&txn->buckets[i]->lock);
	}
}

/*
 * Look the key of an operation up. Returns whether the operation can run. A change cannot
 * while the key is busy, or has an expired value.
 */
static bool txn_look_up(struct txn_op *top, bool *busy)
{
	bool over;

	lockdep_assert_held(&top->buffer.key.bucket->lock);
	*busy = false;
	top->found = metastore_bucket_find(&top->buffer.key);
	over = top->found && metastore_value_is_over(top->found);
	if (!txn_is_change(top)) {
		if (over)
			top->found = NULL;
		return true;
	}
	*busy = metastore_key_is_busy(&top->buffer.key);
	return !*busy && !over;
}

/* Find the first operation that cannot run yet, or NULL. */
static struct txn_op *txn_first_unready(struct txn *txn, bool *busy)
{
	u32 i;

	for (i = 0; i < txn->nr; i++)
		if (!txn_look_up(&txn->ops[i], busy))
			return &txn->ops[i];
	return NULL;
}

/* Find the first operation that lacks memory for its new key, or NULL. */
static struct txn_op *txn_first_without_room(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++)
		if (txn_is_change(top) && top->change.value && !top->found &&
		    !metastore_change_has_room(&top->change))
			return top;
	return NULL;
}

/* Leave the lines of all keys. */
static void txn_leave_lines(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++)
		if (metastore_turn_is_in_line(&top->turn))
			metastore_turn_leave(&top->turn);
}

/* The same without locks held. */
static void txn_give_up(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++) {
		if (!metastore_turn_is_in_line(&top->turn))
			continue;
		spin_lock(&top->buffer.key.bucket->lock);
		metastore_turn_leave(&top->turn);
		spin_unlock(&top->buffer.key.bucket->lock);
	}
}

/*
 * Lock all buckets with no key to be changed busy or expired.
 *
 * A key is made ready with the locks released, so other writers may make it busy again.
 * The transaction stays in the line of the key's writers, which give way to it. Returns 0
 * or -EINTR.
 */
static int txn_lock_keys(struct txn *txn)
{
	struct txn_op *top;
	bool busy;

	txn_lock_all(txn);
	while ((top = txn_first_unready(txn, &busy))) {
		if (busy && !metastore_turn_is_in_line(&top->turn))
			metastore_turn_enter(&top->turn, &top->buffer.key);
		txn_unlock_all(txn);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		if (busy)
			metastore_key_help(&top->buffer.key);
		else
			metastore_change_expire(&top->buffer.key);
		txn_lock_all(txn);
	}
	return 0;
}

/*
 * Like txn_lock_keys(), with memory for all new keys. The loop ends, since an operation
 * keeps the memory it got. Returns 0, -EINTR or -ECANCELED.
 */
static int txn_lock_ready(struct txn *txn)
{
	struct txn_op *top;
	int err;

	for (;;) {
		err = txn_lock_keys(txn);
		if (err)
			return err;
		top = txn_first_without_room(txn);
		if (likely(!top))
			return 0;
		txn_unlock_all(txn);
		txn->preloaded = true;
		err = metastore_preload_fill(&top->preload);
		if (err)
			return txn_refuse(txn, top, err);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
}

static int txn_judge_op(struct txn_op *top)
{
	int err;

	lockdep_assert_held(&top->buffer.key.bucket->lock);
	if (!txn_is_get(top)) {
		err = txn_is_touch(top) ? metastore_change_judge_touch(&top->change, top->found) :
					  metastore_change_judge(&top->change, top->found);
		if (err)
			metastore_op_tell(&top->op, &top->change, true);
		if (err && txn_tells_previous(top))
			metastore_op_tell_previous(&top->change, &top->op.previous, err);
		return err;
	}
	if (top->found && top->found->len > top->op.value_len) {
		top->op.value_len = top->found->len;
		top->op.version = top->found->version;
		return -ERANGE;
	}
	return 0;
}

/* Take the renewals of all operations before @end back. */
static void txn_restore_ends(struct txn *txn, const struct txn_op *end)
{
	struct txn_op *top;

	for (top = txn->ops; top < end; top++)
		if (txn_is_touch(top))
			metastore_tie_set_end(metastore_tie_of(top->found),
					      &txn->file->store->expiry, top->old_end);
}

/*
 * Renew what is to be renewed, after all operations are judged. One of these values may
 * have expired since then, and is judged again as such. Returns 0 or -ECANCELED.
 */
static int txn_renew(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++) {
		if (!txn_is_touch(top))
			continue;
		top->old_end = metastore_tie_of(top->found)->expiry.expires;
		if (metastore_tie_renew(metastore_tie_of(top->found),
					&txn->file->store->expiry, top->op.ttl))
			continue;
		txn_restore_ends(txn, top);
		top->found = NULL;
		return txn_refuse(txn, top, txn_judge_op(top));
	}
	return 0;
}

/* Give back what other users paid for the values that go. */
static void txn_refund(struct txn *txn, const struct metastore_charges *charges)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++)
		if (txn_is_change(top))
			metastore_charges_refund(charges, txn->file->store, top->found);
}

/*
 * Judge all operations, renew, then charge the store and users: all that can fail.
 * Returns 0 or -ECANCELED.
 */
static int txn_judge(struct txn *txn)
{
	struct metastore_charges charges = {
		.user = txn->file->user,
		.payer = txn->file->owner.payer,
	};
	struct txn_op *first = NULL;
	bool costs = false;
	int err;
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];

		err = txn_judge_op(top);
		if (err)
			return txn_refuse(txn, top, err);
		if (!txn_is_change(top))
			continue;
		if (!metastore_charge_is_none(top->change.value, top->found,
					      metastore_change_bytes(&top->change, top->found))) {
			metastore_charges_add(&charges, &top->change, top->found);
			costs = true;
		}
		if (!first && top->change.value)
			first = top;
	}
	err = txn_renew(txn);
	if (err)
		return err;
	if (!costs)
		return 0;
	err = metastore_charges_pay(&charges, txn->file->store);
	if (!err) {
		txn_refund(txn, &charges);
		return 0;
	}
	txn_restore_ends(txn, txn->ops + txn->nr);
	/* Only a change that stores a value can exceed a limit, so @first is not NULL. */
	return txn_refuse(txn, first, err);
}

static void txn_commit_op(struct txn *txn, struct txn_op *top)
{
	struct metastore_group *group = &txn->group;
	struct metastore_group_event *event;

	lockdep_assert_held(&top->buffer.key.bucket->lock);
	if (txn_is_get(top)) {
		if (top->found)
			metastore_value_get(top->found);
		return;
	}
	/* txn_renew() did the rest. */
	if (txn_is_touch(top)) {
		top->change.version = top->found->version;
		trace_metastore_touch(&top->change, top->op.ttl, 0);
		return;
	}
	event = &group->events[group->nr++];
	top->stored = top->change.value;
	if (top->stored)
		metastore_value_get(top->stored);
	metastore_change_commit(&top->change, top->found);
	metastore_change_tell(&top->change, top->found, &event->notice);
	/* The table took the reference over. */
	top->change.value = NULL;
	metastore_delivery_begin(group, event);
}

/* Drop the references that kept the values for the deliveries. */
static void txn_put_values(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];

		if (top->stored)
			metastore_value_put_later(top->stored, &txn->garbage);
		if (top->found && txn_is_change(top) && !txn_tells_previous(top))
			metastore_value_put_later(top->found, &txn->garbage);
	}
}

/*
 * Fill entries of the mirror ahead, as long as there is memory. All is copied in by now: a
 * program whose memory holds up a copy must hold no entries.
 */
static void txn_stage_mirror(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++)
		if (top->change.value &&
		    metastore_mirror_stage(&top->buffer.key, top->change.value, &top->stage))
			return;
}

/* Do in the mirror what can be done without the buckets' locks. */
static void txn_settle_mirror(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++)
		metastore_mirror_settle(top->buffer.key.bucket, &top->stage);
}

/* Make all changes, release the buckets' locks and deliver the events. */
static void txn_commit(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++)
		txn_commit_op(txn, &txn->ops[i]);
	/* Not earlier, since a merge of slots could take the room found for a new key. */
	for (i = 0; i < txn->nr_buckets; i++)
		metastore_table_shrink(&txn->buckets[i]->values);
	metastore_group_publish(txn->file->store, &txn->group);
	txn_unlock_all(txn);
	/* Ahead of the delivery, which may take long. */
	if (unlikely(txn->file->store->mirror))
		txn_settle_mirror(txn);
	metastore_group_deliver(&txn->group);
	txn_put_values(txn);
}

/* Like txn_lock_ready(), with a slot for the events. */
static int txn_lock_with_slot(struct txn *txn)
{
	struct metastore_store *store = txn->file->store;
	int err;

	while (!(err = txn_lock_ready(txn)) && !metastore_group_begin(store, &txn->group)) {
		txn_unlock_all(txn);
		metastore_group_help(store, &txn->group);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return err;
}

static int txn_run(struct txn *txn)
{
	bool mirrored = txn->file->store->mirror;
	int err;

	if (unlikely(mirrored))
		txn_stage_mirror(txn);
	txn_sort_buckets(txn);
	lock_map_acquire(&txn->dep_map);
	err = txn_lock_with_slot(txn);
	if (err) {
		txn_give_up(txn);
	} else {
		txn_leave_lines(txn);
		err = txn_judge(txn);
		if (err) {
			metastore_group_settle(txn->file->store, &txn->group);
			txn_unlock_all(txn);
		} else {
			txn_commit(txn);
		}
	}
	lock_map_release(&txn->dep_map);
	if (unlikely(err && mirrored))
		txn_settle_mirror(txn);
	metastore_garbage_free(&txn->garbage);
	return err;
}

/* Set the results after a commit. */
static void txn_fill_results(struct txn *txn)
{
	u32 i, nr = 0;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];

		if (txn_is_change(top))
			top->change.queues = atomic_read(&txn->group.events[nr++].queues);
		if (!txn_is_get(top)) {
			metastore_op_tell(&top->op, &top->change, false);
			if (!txn_tells_previous(top))
				continue;
			top->change.previous = top->found;
			top->op.result = metastore_op_tell_previous(&top->change,
								    &top->op.previous, 0);
		} else {
			top->op.result = -ENOENT;
			if (top->found) {
				top->op.result = metastore_op_look(txn->file, &top->op,
								   top->found);
				metastore_value_put(top->found);
			}
			if (trace_metastore_get_enabled())
				metastore_op_trace_get(txn->file, &top->buffer.key, &top->op,
						       top->op.result);
		}
	}
}

/* Trace the operation that prevented the commit, if its arguments could be read. */
static void txn_trace_refusal(const struct txn *txn)
{
	const struct txn_op *top = &txn->ops[txn->failed];

	if (txn->failed == txn->nr || !top->buffer.key.bucket)
		return;
	if (txn_is_get(top))
		metastore_op_trace_get(txn->file, &top->buffer.key, &top->op, top->op.result);
	else if (txn_is_touch(top))
		trace_metastore_touch(&top->change, top->op.ttl, top->op.result);
	else
		trace_metastore_refuse(&top->change, top->op.result);
}

/* Set the results of a refused transaction, and free its new values. */
static void txn_cancel(struct txn *txn)
{
	u32 i;

	txn_trace_refusal(txn);
	for (i = 0; i < txn->nr; i++) {
		if (!txn->ops[i].op.result)
			txn->ops[i].op.result = -ECANCELED;
		if (txn->ops[i].change.value)
			metastore_value_put(txn->ops[i].change.value);
	}
}

/* Copy the results out, after a commit or a refusal. */
static int txn_copy_results(struct txn *txn, struct metastore_batch *batch)
{
	int err = 0;
	u32 i;

	for (i = 0; i < txn->nr && !err; i++)
		err = txn->ops[i].op.result == -E2BIG ?
		      metastore_batch_put_result(batch, i, -E2BIG) :
		      metastore_batch_copy_result(batch, i, &txn->ops[i].op);
	batch->failed = txn->failed;
	return err;
}

static void txn_free_preloads(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++)
		metastore_preload_free(&txn->ops[i].preload);
}

static void txn_free(struct metastore_group *group)
{
	kvfree(container_of(group, struct txn, group));
}

/*
 * Allocate a transaction of @nr operations with all its arrays, or return NULL. It has one
 * reference, to its group.
 */
static struct txn *txn_alloc(struct metastore_file *file, u32 nr)
{
	static struct lock_class_key key;
	struct txn *txn;
	size_t each = sizeof(*txn->ops) + sizeof(*txn->group.events) + sizeof(*txn->buckets);

	/* @nr is at most METASTORE_ATOMIC_MAX. */
	txn = kvzalloc(sizeof(*txn) + nr * each, METASTORE_GFP);
	if (!txn)
		return NULL;
	txn->group.events = (struct metastore_group_event *)(txn->ops + nr);
	txn->buckets = (struct metastore_bucket **)(txn->group.events + nr);
	txn->file = file;
	txn->nr = nr;
	txn->failed = nr;
	refcount_set(&txn->group.refs, 1);
	txn->group.free = txn_free;
	txn->group.payer = file->owner.payer;
	lockdep_init_map(&txn->dep_map, "metastore_txn", &key, 0);
	return txn;
}

/**
 * metastore_txn_run() - Run a batch as a transaction
 * @file:	open file
 * @batch:	arguments, checked; @batch->failed is set
 *
 * Context: Process context, may sleep.
 * Return: as metastore_batch_run().
 */
int metastore_txn_run(struct metastore_file *file, struct metastore_batch *batch)
{
	struct txn *txn = txn_alloc(file, batch->nr);
	int err;

	if (!txn)
		return -ENOMEM;
	err = txn_copy_ops(txn, batch) ?: txn_prepare(txn) ?: txn_run(txn);
	if (err)
		txn_cancel(txn);
	else
		txn_fill_results(txn);
	if (!err || err == -ECANCELED)
		err = txn_copy_results(txn, batch) ?: err;
	if (unlikely(txn->preloaded))
		txn_free_preloads(txn);
	metastore_group_put(&txn->group);
	return err;
}
