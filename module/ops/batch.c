// SPDX-License-Identifier: GPL-2.0
/*
 * Batches: several operations in one call, one after the other, or all at one
 * moment: a transaction.
 *
 * A transaction does everything that can fail before it changes anything: it copies
 * all in, allocates, locks every bucket it is about, and judges. Then it changes the
 * tables and unlocks. Its events are delivered after that, to each queue all of them
 * at once (see delivery.c). The lock that lets transactions take turns is held
 * until then.
 */
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "base/usercopy.h"
#include "store/bucket.h"
#include "events/delivery.h"
#include "ops/change.h"
#include "ops/file.h"
#include "ops/ops.h"

/* Size of struct metastore_op in the header's first version that had it. */
#define OP_SIZE_FIRST	56

/*
 * How often others may begin the next delivery of a key before a transaction goes on
 * with it although it holds the locks of other keys, and to how many subscriptions;
 * twice as many each further time.
 */
#define PATIENCE	16
#define FIRST_HURRY	64

static void __user *batch_op_address(const struct metastore_batch *batch, u32 i)
{
	return u64_to_user_ptr(batch->ops) + (size_t)i * batch->op_size;
}

/* Returns -E2BIG if the operation says something that is not known here. */
static int batch_copy_op(const struct metastore_batch *batch, u32 i, struct metastore_op *op)
{
	return metastore_copy_args(op, sizeof(*op), batch_op_address(batch, i), batch->op_size);
}

static int batch_copy_result(const struct metastore_batch *batch, u32 i,
			     const struct metastore_op *op)
{
	size_t size = min_t(size_t, batch->op_size, sizeof(*op));

	/* It is no more than @op has. */
	return metastore_copy_out(batch_op_address(batch, i), op, size);
}

/* The result alone, where the rest was not understood. */
static int batch_put_result(const struct metastore_batch *batch, u32 i, int result)
{
	struct metastore_op __user *uop = batch_op_address(batch, i);

	return put_user(result, &uop->result);
}

/* One after the other */

static int batch_run_op(struct metastore_file *file, struct metastore_batch *batch, u32 i)
{
	struct metastore_op op __uninitialized;
	int result = batch_copy_op(batch, i, &op);

	if (result == -EFAULT)
		return result;
	if (!result) {
		result = op.op == METASTORE_OP_GET ? metastore_fastpath_op(file, &op) : -EAGAIN;
		if (result == -EAGAIN)
			result = metastore_op_run(file, &op, NULL);
		op.result = result;
	}
	if (result && batch->failed == batch->nr)
		batch->failed = i;
	return result == -E2BIG ? batch_put_result(batch, i, result) :
				  batch_copy_result(batch, i, &op);
}

static int batch_run_in_turn(struct metastore_file *file, struct metastore_batch *batch)
{
	int err;
	u32 i;

	for (i = 0; i < batch->nr; i++) {
		err = batch_run_op(file, batch, i);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* All at one moment */

/*
 * @op:		as the user gave it
 * @buffer:	its key
 * @change:	what it is to change, if it is no GET
 * @preload:	memory for a new key
 * @found:	the value there was; of a GET with a reference
 * @stored:	the value that @change stored, with a reference
 * @delivery:	of the change
 */
struct txn_op {
	struct metastore_op op;
	struct metastore_key_buffer buffer;
	struct metastore_change change;
	struct metastore_preload preload;
	struct metastore_value *found;
	struct metastore_value *stored;
	struct metastore_delivery delivery;
};

/*
 * @file:	who wants it
 * @nr:		number of @ops
 * @failed:	index of the first one that is a reason why nothing is done, or @nr
 * @preloaded:	whether an operation has a preload
 * @nr_buckets:	number of @buckets
 * @buckets:	those of all keys, in the order in which they are locked
 * @group:	the events
 * @garbage:	values to be freed once no lock is held
 * @ops:	the operations
 */
struct txn {
	struct metastore_file *file;
	u32 nr;
	u32 failed;
	bool preloaded;
	u32 nr_buckets;
	struct metastore_bucket *buckets[METASTORE_ATOMIC_MAX];
	struct metastore_group group;
	struct metastore_garbage garbage;
	struct txn_op ops[];
};

static bool txn_is_get(const struct txn_op *top)
{
	return top->op.op == METASTORE_OP_GET;
}

/* Notes an operation that is a reason why nothing is done. */
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

	if (err)
		return err;
	if (txn_is_get(top))
		return metastore_copy_key(file, &top->buffer, top->op.key,
					  top->op.key_len);
	err = metastore_op_prepare(file, &top->op, &top->buffer, &top->change);
	top->change.preload = &top->preload;
	return err ?: metastore_change_prepare(&top->change);
}

/* Copies them all, also if one is not understood: all get a result. */
static int txn_copy_ops(struct txn *txn, const struct metastore_batch *batch)
{
	int err, refused = 0;
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		err = batch_copy_op(batch, i, &txn->ops[i].op);
		txn->ops[i].op.result = 0;
		if (err == -E2BIG)
			refused = txn_refuse(txn, &txn->ops[i], err);
		else if (err)
			return err;
	}
	return refused;
}

/* Copies keys and values in and allocates what the changes need. */
static int txn_prepare(struct txn *txn)
{
	u32 i, j;
	int err;

	for (i = 0; i < txn->nr; i++) {
		err = txn_prepare_op(txn->file, &txn->ops[i]);
		if (err)
			return txn_refuse(txn, &txn->ops[i], err);
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

/* For sparse the two leave the locks as they are: it cannot count in loops. */
static void txn_lock_all(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr_buckets; i++) {
		spin_lock_nest_lock(&txn->buckets[i]->lock,
				    &txn->file->store->txn_lock);
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

/* Finds what there is of a key. Returns whether it is ready for the operation. */
static bool txn_look_up(struct txn_op *top, bool *busy)
{
	bool over;

	lockdep_assert_held(&top->buffer.key.bucket->lock);
	*busy = false;
	top->found = metastore_bucket_find(&top->buffer.key);
	over = top->found && metastore_value_is_over(top->found);
	if (txn_is_get(top)) {
		if (over)
			top->found = NULL;
		return true;
	}
	*busy = metastore_key_is_busy(&top->buffer.key);
	return !*busy && !over;
}

/* The first operation whose key is not ready, or NULL. */
static struct txn_op *txn_first_unready(struct txn *txn, bool *busy)
{
	u32 i;

	for (i = 0; i < txn->nr; i++)
		if (!txn_look_up(&txn->ops[i], busy))
			return &txn->ops[i];
	return NULL;
}

/* The first operation with a new key for which there is no memory yet, or NULL. */
static struct txn_op *txn_first_without_room(struct txn *txn)
{
	struct txn_op *top;

	for (top = txn->ops; top < txn->ops + txn->nr; top++)
		if (!txn_is_get(top) && top->change.value && !top->found &&
		    !metastore_change_has_room(&top->change))
			return top;
	return NULL;
}

/*
 * Locks all buckets, with every key ready to be changed: no delivery under way, no
 * value whose time is over. A key that is not is made so with the locks released,
 * and others may get ahead again; who loses too often does it with them held.
 */
static int txn_lock_keys(struct txn *txn)
{
	u32 nr = FIRST_HURRY, rounds = 0;
	struct txn_op *top;
	bool busy;

	txn_lock_all(txn);
	while ((top = txn_first_unready(txn, &busy))) {
		if (busy && ++rounds > PATIENCE) {
			if (metastore_key_hurry(&top->buffer.key, nr, &txn->garbage))
				continue;
			nr = min(2 * nr, 1U << 30);
		}
		txn_unlock_all(txn);
		metastore_garbage_free(&txn->garbage);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		/* That completes a delivery first. */
		metastore_change_expire(&top->buffer.key);
		txn_lock_all(txn);
	}
	return 0;
}

/* The same, with memory for all new keys. Memory once allocated stays, so this ends. */
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
		err = metastore_change_judge(&top->change, top->found);
		if (err)
			metastore_op_tell(&top->op, &top->change, true);
		return err;
	}
	if (top->found && top->found->len > top->op.value_len) {
		top->op.value_len = top->found->len;
		top->op.version = top->found->version;
		return -ERANGE;
	}
	return 0;
}

/* May all of it be done? Then its keys and bytes are counted. */
static int txn_judge(struct txn *txn)
{
	struct txn_op *first = NULL;
	int err, keys = 0;
	s64 bytes = 0;
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];

		err = txn_judge_op(top);
		if (err)
			return txn_refuse(txn, top, err);
		if (txn_is_get(top))
			continue;
		keys += !!top->change.value - !!top->found;
		bytes += metastore_change_bytes(&top->change, top->found);
		if (!first && top->change.value)
			first = top;
	}
	err = metastore_store_charge(txn->file->store, keys, bytes);
	/* Only what stores can be too much. */
	return err ? txn_refuse(txn, first, err) : 0;
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
	event = &group->events[group->nr++];
	top->stored = top->change.value;
	if (top->stored)
		metastore_value_get(top->stored);
	metastore_change_commit(&top->change, top->found);
	metastore_change_tell(&top->change, top->found, &event->notice);
	/* That reference belongs to the table now. */
	top->change.value = NULL;
	metastore_delivery_begin(&top->delivery, &event->notice, group);
}

/* Gives the events to all subscribers, bucket after bucket. */
static void txn_deliver(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];
		struct metastore_bucket *bucket = top->buffer.key.bucket;

		if (txn_is_get(top))
			continue;
		spin_lock(&bucket->lock);
		metastore_delivery_finish(&top->delivery, &txn->garbage);
		spin_unlock(&bucket->lock);
		metastore_garbage_free(&txn->garbage);
		cond_resched();
	}
}

/* Lets go of the values that the events tell of. */
static void txn_put_values(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];

		if (top->stored)
			metastore_value_put_later(top->stored, &txn->garbage);
		if (top->found && !txn_is_get(top))
			metastore_value_put_later(top->found, &txn->garbage);
	}
}

/* Does it, with the locks held, which are released. */
static void txn_commit(struct txn *txn)
{
	struct metastore_store *store = txn->file->store;
	u32 i;

	WRITE_ONCE(store->txns, store->txns + 1);
	/* Before it is looked for subscriptions; pairs with subscription_enter(). */
	smp_mb();
	txn->group.id = store->txns;
	for (i = 0; i < txn->nr; i++)
		txn_commit_op(txn, &txn->ops[i]);
	/* Till here new keys had the room that was found for them. */
	for (i = 0; i < txn->nr_buckets; i++)
		metastore_table_shrink(&txn->buckets[i]->values);
	txn_unlock_all(txn);
	txn_deliver(txn);
	txn_put_values(txn);
}

static int txn_run(struct txn *txn)
{
	struct mutex *turn = &txn->file->store->txn_lock;
	int err;

	txn_sort_buckets(txn);
	if (mutex_lock_killable(turn))
		return -EINTR;
	err = txn_lock_ready(txn);
	if (!err) {
		err = txn_judge(txn);
		if (err)
			txn_unlock_all(txn);
		else
			txn_commit(txn);
	}
	mutex_unlock(turn);
	metastore_garbage_free(&txn->garbage);
	return err;
}

/* What came of a batch that was done. */
static void txn_fill_results(struct txn *txn)
{
	u32 i, nr = 0;

	for (i = 0; i < txn->nr; i++) {
		struct txn_op *top = &txn->ops[i];

		if (!txn_is_get(top)) {
			top->change.queues = atomic_read(&txn->group.events[nr++].queues);
			metastore_op_tell(&top->op, &top->change, false);
		} else if (!top->found) {
			top->op.result = -ENOENT;
		} else {
			top->op.result = metastore_op_look(txn->file, &top->op,
							   top->found);
			metastore_value_put(top->found);
		}
	}
}

/* What came of one that was refused. */
static void txn_cancel(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++) {
		if (!txn->ops[i].op.result)
			txn->ops[i].op.result = -ECANCELED;
		if (txn->ops[i].change.value)
			metastore_value_put(txn->ops[i].change.value);
	}
}

/* Copies the results out, of what was done and of what was refused alike. */
static int txn_copy_results(struct txn *txn, struct metastore_batch *batch)
{
	int err = 0;
	u32 i;

	for (i = 0; i < txn->nr && !err; i++)
		err = txn->ops[i].op.result == -E2BIG ?
		      batch_put_result(batch, i, -E2BIG) :
		      batch_copy_result(batch, i, &txn->ops[i].op);
	batch->failed = txn->failed;
	return err;
}

static void txn_free_preloads(struct txn *txn)
{
	u32 i;

	for (i = 0; i < txn->nr; i++)
		metastore_preload_free(&txn->ops[i].preload);
}

static int batch_run_atomic(struct metastore_file *file, struct metastore_batch *batch)
{
	struct txn *txn;
	int err;

	txn = kvzalloc(struct_size(txn, ops, batch->nr), METASTORE_GFP);
	if (!txn)
		return -ENOMEM;
	txn->file = file;
	txn->nr = batch->nr;
	txn->failed = batch->nr;
	err = txn_copy_ops(txn, batch) ?: txn_prepare(txn) ?: txn_run(txn);
	if (err)
		txn_cancel(txn);
	else
		txn_fill_results(txn);
	if (!err || err == -ECANCELED)
		err = txn_copy_results(txn, batch) ?: err;
	if (unlikely(txn->preloaded))
		txn_free_preloads(txn);
	kvfree(txn);
	return err;
}

/**
 * metastore_batch_run - do a batch
 * @file:	open file
 * @batch:	its arguments; @batch->failed is set
 *
 * Context: may sleep.
 * Return: 0 or what uapi/linux/metastore.h says.
 */
int metastore_batch_run(struct metastore_file *file, struct metastore_batch *batch)
{
	bool all = batch->flags & METASTORE_BATCH_ATOMIC;

	if (batch->flags & ~METASTORE_BATCH_ATOMIC || !batch->nr ||
	    batch->nr > (all ? METASTORE_ATOMIC_MAX : METASTORE_BATCH_MAX) ||
	    batch->op_size < OP_SIZE_FIRST)
		return -EINVAL;
	/* All beyond what is known is read, to see that nothing is there. */
	if (batch->op_size > PAGE_SIZE)
		return -E2BIG;
	batch->failed = batch->nr;
	return all ? batch_run_atomic(file, batch) : batch_run_in_turn(file, batch);
}
