// SPDX-License-Identifier: GPL-2.0
/*
 * Batches: several operations in one call, one after the other or all at one
 * moment.
 *
 * An atomic batch does everything that can fail before it changes anything: it
 * copies all in, allocates, locks every bucket it is about, and judges. Then it
 * changes the tables and unlocks. Its events are delivered after that, to each queue
 * all of them at once; until then its keys have a delivery under way, so that nobody
 * changes them again (see subscription.c).
 */
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "batch.h"
#include "bucket.h"
#include "device.h"
#include "operation.h"

/* Subscriptions that get an event with all locks held, at the first attempt. */
#define FIRST_CHUNK	64

static void __user *op_address(const struct metastore_batch *batch, u32 i)
{
	return u64_to_user_ptr(batch->ops) + (size_t)i * batch->op_size;
}

static int copy_op(const struct metastore_batch *batch, u32 i, struct metastore_op *op)
{
	return copy_struct_from_user(op, sizeof(*op), op_address(batch, i),
				     batch->op_size);
}

static int copy_result(const struct metastore_batch *batch, u32 i,
		       const struct metastore_op *op)
{
	return copy_to_user(op_address(batch, i), op, sizeof(*op)) ? -EFAULT : 0;
}

/* One after the other */

static int run_in_turn(struct metastore_file *file, struct metastore_batch *batch)
{
	struct metastore_op op;
	int err;
	u32 i;

	for (i = 0; i < batch->nr; i++) {
		err = copy_op(batch, i, &op);
		if (err)
			return err;
		op.result = metastore_op_run(file, &op);
		if (op.result && batch->failed == batch->nr)
			batch->failed = i;
		if (copy_result(batch, i, &op))
			return -EFAULT;
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
 * @found:	the value there was; of a GET with a reference
 * @topic:	who is subscribed to the key, while its bucket is locked
 * @delivery:	of the change
 */
struct atomic_op {
	struct metastore_op op;
	struct metastore_key_buffer buffer;
	struct metastore_change change;
	struct metastore_value *found;
	struct metastore_topic *topic;
	struct metastore_delivery delivery;
};

/*
 * @file:	who wants it
 * @nr:		number of @ops
 * @nr_buckets:	number of @buckets
 * @buckets:	those of all keys, in the order in which they are locked
 * @group:	the events
 * @ops:	the operations
 */
struct atomic {
	struct metastore_file *file;
	u32 nr;
	u32 nr_buckets;
	struct metastore_bucket *buckets[METASTORE_ATOMIC_MAX];
	struct metastore_group group;
	struct atomic_op ops[];
};

static bool is_get(const struct atomic_op *aop)
{
	return aop->op.op == METASTORE_OP_GET;
}

/* Notes why nothing is done. */
static int refuse(struct atomic_op *aop, int err)
{
	aop->op.result = err;
	return -ECANCELED;
}

static int prepare_op(struct metastore_file *file, struct atomic_op *aop)
{
	int err = metastore_op_check(file, &aop->op);

	if (err)
		return err;
	if (is_get(aop))
		return metastore_copy_key(file, &aop->buffer, aop->op.key,
					  aop->op.key_len);
	err = metastore_op_prepare(file, &aop->op, &aop->buffer, &aop->change);
	if (err) {
		aop->change.value = NULL;
		return err;
	}
	return metastore_change_prepare(&aop->change);
}

static bool same_key(const struct metastore_key *a, const struct metastore_key *b)
{
	return a->hash == b->hash && a->len == b->len &&
	       !memcmp(a->bytes, b->bytes, a->len);
}

/* Copies everything in and allocates what the changes need. */
static int prepare(struct atomic *atomic, const struct metastore_batch *batch)
{
	u32 i, j;
	int err;

	for (i = 0; i < atomic->nr; i++) {
		err = copy_op(batch, i, &atomic->ops[i].op);
		if (err)
			return err;
		atomic->ops[i].op.result = 0;
	}
	for (i = 0; i < atomic->nr; i++) {
		err = prepare_op(atomic->file, &atomic->ops[i]);
		if (err)
			return refuse(&atomic->ops[i], err);
		for (j = 0; j < i; j++)
			if (same_key(&atomic->ops[i].buffer.key,
				     &atomic->ops[j].buffer.key))
				return -EINVAL;
	}
	return 0;
}

static int compare_addresses(const void *a, const void *b)
{
	const struct metastore_bucket *first = *(struct metastore_bucket * const *)a;
	const struct metastore_bucket *second = *(struct metastore_bucket * const *)b;

	return first < second ? -1 : first > second;
}

static void sort_buckets(struct atomic *atomic)
{
	u32 i;

	for (i = 0; i < atomic->nr; i++)
		atomic->buckets[i] = atomic->ops[i].buffer.key.bucket;
	sort(atomic->buckets, atomic->nr, sizeof(atomic->buckets[0]),
	     compare_addresses, NULL);
	for (i = 0; i < atomic->nr; i++)
		if (!i || atomic->buckets[i] != atomic->buckets[i - 1])
			atomic->buckets[atomic->nr_buckets++] = atomic->buckets[i];
}

/* For sparse the two leave the locks as they are: it cannot count in loops. */
static void lock_all(struct atomic *atomic)
{
	u32 i;

	for (i = 0; i < atomic->nr_buckets; i++) {
		spin_lock_nest_lock(&atomic->buckets[i]->lock,
				    &atomic->file->store->atomic);
		__release(&atomic->buckets[i]->lock);
	}
}

static void unlock_all(struct atomic *atomic)
{
	u32 i = atomic->nr_buckets;

	while (i--) {
		__acquire(&atomic->buckets[i]->lock);
		spin_unlock(&atomic->buckets[i]->lock);
	}
}

/*
 * Is a key ready to be changed? If it has a delivery under way, that is continued
 * to @nr subscriptions. If not, returns with the locks released.
 */
static bool settle(struct atomic *atomic, struct atomic_op *aop, u32 nr,
		   struct metastore_garbage *garbage)
{
	const struct metastore_key *key = &aop->buffer.key;

	aop->topic = metastore_topic_settle(key, nr, garbage);
	aop->found = metastore_bucket_find(key);
	if (!IS_ERR(aop->topic) &&
	    !(aop->found && metastore_value_is_over(aop->found)))
		return true;
	unlock_all(atomic);
	metastore_garbage_free(garbage);
	if (!IS_ERR(aop->topic))
		metastore_bucket_expire(key);
	cond_resched();
	return false;
}

/*
 * Locks all buckets, with every key ready to be changed. Others might begin the
 * next delivery of a key each time that the locks are released, so each attempt
 * does twice as much with the locks held.
 */
static void lock_settled(struct atomic *atomic, struct metastore_garbage *garbage)
{
	u32 i = 0, nr = FIRST_CHUNK;

	while (i < atomic->nr) {
		lock_all(atomic);
		for (i = 0; i < atomic->nr; i++)
			if (!settle(atomic, &atomic->ops[i], nr, garbage))
				break;
		nr = min_t(u32, 2 * nr, METASTORE_MAX_SUBSCRIPTIONS);
	}
}

static int judge_op(struct atomic_op *aop)
{
	int err;

	if (!is_get(aop)) {
		err = metastore_change_judge(&aop->change, aop->found);
		if (err)
			metastore_op_tell(&aop->op, &aop->change);
		return err;
	}
	if (aop->found && aop->found->len > aop->op.value_len) {
		aop->op.value_len = aop->found->len;
		aop->op.version = aop->found->version;
		return -ERANGE;
	}
	return 0;
}

/* May all of it be done? Then its keys and bytes are counted. */
static int judge(struct atomic *atomic)
{
	struct atomic_op *first = NULL;
	int err, keys = 0;
	s64 bytes = 0;
	u32 i;

	for (i = 0; i < atomic->nr; i++) {
		struct atomic_op *aop = &atomic->ops[i];

		err = judge_op(aop);
		if (err)
			return refuse(aop, err);
		if (is_get(aop))
			continue;
		keys += !!aop->change.value - !!aop->found;
		bytes += metastore_change_bytes(&aop->change, aop->found);
		if (!first && aop->change.value)
			first = aop;
	}
	err = metastore_store_charge(atomic->file->store, keys, bytes);
	/* Only what stores can be too much. */
	return err ? refuse(first, err) : 0;
}

static void commit_op(struct atomic *atomic, struct atomic_op *aop)
{
	struct metastore_group *group = &atomic->group;
	struct metastore_group_event *event;

	if (is_get(aop)) {
		if (aop->found)
			metastore_value_get(aop->found);
		return;
	}
	event = &group->events[group->nr++];
	event->key = &aop->buffer.key;
	metastore_change_commit(&aop->change, aop->found, &event->notice);
	/* The value belongs to the table now. */
	aop->change.value = NULL;
	aop->delivery.notice = &event->notice;
	aop->delivery.group = group;
	aop->delivery.done = !aop->topic;
	if (aop->topic)
		metastore_topic_begin(aop->topic, &aop->delivery);
}

/* Gives the events to all subscribers, bucket after bucket. */
static void deliver(struct atomic *atomic, struct metastore_garbage *garbage)
{
	u32 i;

	for (i = 0; i < atomic->nr; i++) {
		struct atomic_op *aop = &atomic->ops[i];
		struct metastore_bucket *bucket = aop->buffer.key.bucket;

		if (is_get(aop) || !aop->topic)
			continue;
		spin_lock(&bucket->lock);
		metastore_topic_finish(bucket, aop->topic, &aop->delivery, garbage);
		spin_unlock(&bucket->lock);
		metastore_garbage_free(garbage);
		cond_resched();
	}
}

/* Does it, with the locks held, which are released. */
static void commit(struct atomic *atomic, struct metastore_garbage *garbage)
{
	u32 i;

	atomic->group.id = ++atomic->file->store->groups;
	for (i = 0; i < atomic->nr; i++)
		commit_op(atomic, &atomic->ops[i]);
	unlock_all(atomic);
	deliver(atomic, garbage);
	for (i = 0; i < atomic->nr; i++)
		if (!is_get(&atomic->ops[i]) && atomic->ops[i].found)
			metastore_value_put_later(atomic->ops[i].found, garbage);
}

static int run(struct atomic *atomic)
{
	struct mutex *turn = &atomic->file->store->atomic;
	struct metastore_garbage garbage = {};
	int err;

	sort_buckets(atomic);
	if (mutex_lock_killable(turn))
		return -EINTR;
	lock_settled(atomic, &garbage);
	err = judge(atomic);
	if (err)
		unlock_all(atomic);
	else
		commit(atomic, &garbage);
	mutex_unlock(turn);
	metastore_garbage_free(&garbage);
	return err;
}

/* What came of a batch that was done. */
static int tell(struct atomic *atomic)
{
	int err = 0;
	u32 i, nr = 0;

	for (i = 0; i < atomic->nr; i++) {
		struct atomic_op *aop = &atomic->ops[i];

		if (!is_get(aop)) {
			aop->change.queues = atomic_read(&atomic->group.events[nr++].queues);
			metastore_op_tell(&aop->op, &aop->change);
		} else if (!aop->found) {
			aop->op.result = -ENOENT;
		} else {
			if (metastore_op_look(atomic->file, &aop->op, aop->found))
				err = -EFAULT;
			metastore_value_put(aop->found);
		}
	}
	return err;
}

/* What came of one that was refused. */
static void cancel(struct atomic *atomic)
{
	u32 i;

	for (i = 0; i < atomic->nr; i++) {
		if (!atomic->ops[i].op.result)
			atomic->ops[i].op.result = -ECANCELED;
		if (atomic->ops[i].change.value)
			metastore_value_put(atomic->ops[i].change.value);
	}
}

/* Copies the results out, of what was done and of what was refused alike. */
static int copy_results(struct atomic *atomic, struct metastore_batch *batch)
{
	int result;
	u32 i;

	for (i = 0; i < atomic->nr; i++) {
		if (copy_result(batch, i, &atomic->ops[i].op))
			return -EFAULT;
		result = atomic->ops[i].op.result;
		if (result && result != -ECANCELED && batch->failed == batch->nr)
			batch->failed = i;
	}
	return 0;
}

static int run_atomic(struct metastore_file *file, struct metastore_batch *batch)
{
	struct atomic *atomic;
	int err;

	atomic = kvzalloc(struct_size(atomic, ops, batch->nr), METASTORE_GFP);
	if (!atomic)
		return -ENOMEM;
	atomic->file = file;
	atomic->nr = batch->nr;
	err = prepare(atomic, batch) ?: run(atomic);
	if (err)
		cancel(atomic);
	else
		err = tell(atomic);
	if (!err || err == -ECANCELED)
		err = copy_results(atomic, batch) ?: err;
	kvfree(atomic);
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
	    batch->op_size < sizeof(struct metastore_op))
		return -EINVAL;
	/* All beyond what is known is read, to see that nothing is there. */
	if (batch->op_size > PAGE_SIZE)
		return -E2BIG;
	batch->failed = batch->nr;
	return all ? run_atomic(file, batch) : run_in_turn(file, batch);
}
