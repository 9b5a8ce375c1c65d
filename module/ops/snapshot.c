// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots: a subscriber first reads the present values.
 *
 * Values are looked up when they are read, in the order of the tables, which growth does
 * not change. The cursor of a snapshot marks how far it has been read. An event of a key
 * ahead of the cursor is not enqueued, since the reader will get the value itself. Events
 * of keys behind it are enqueued. The cursor moves, and events are enqueued, under the
 * bucket's lock, so there are neither gaps nor duplicates. If a key is busy (see
 * delivery.c), the reader completes the delivery first, as a writer of the key does.
 */
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/delivery.h"
#include "events/subscription.h"
#include "ops/ops.h"

/* Slots of a table that are searched in one critical section. */
#define SLOTS_AT_ONCE	64

/**
 * struct snapshot_visit - a reader's use of the first snapshot of a queue
 * @queue:	the queue
 * @sub:	subscription of the snapshot, held by metastore_queue_hold_snapshot()
 * @cursor:	cursor of the snapshot, held likewise
 * @topic:	key or prefix of the subscription; a prefix has no bucket
 * @value:	next value, or NULL. Protected by the bucket's lock.
 */
struct snapshot_visit {
	struct metastore_queue *queue;
	struct metastore_subscription *sub;
	struct metastore_cursor *cursor;
	struct metastore_key topic;
	struct metastore_value *value;
};

/* Returns false if the queue has no snapshot. */
static bool snapshot_begin_visit(struct snapshot_visit *visit, struct metastore_queue *queue)
{
	visit->queue = queue;
	visit->sub = metastore_queue_hold_snapshot(queue, &visit->cursor);
	if (!visit->sub)
		return false;
	metastore_topic_key(visit->sub->topic, &visit->topic);
	return true;
}

static void snapshot_end_visit(struct snapshot_visit *visit)
{
	metastore_queue_release_snapshot(visit->sub, visit->cursor);
}

static bool snapshot_is_exact(const struct snapshot_visit *visit)
{
	return visit->topic.bucket;
}

/* Move the cursor past a key of its bucket. An exact key ends the snapshot. */
static void snapshot_pass_key(struct snapshot_visit *visit, const struct metastore_node *node)
{
	lockdep_assert_held(&visit->queue->lock);
	if (snapshot_is_exact(visit))
		WRITE_ONCE(visit->cursor->bucket, METASTORE_CURSOR_DONE);
	else
		metastore_position_set(&visit->cursor->pos, node->hash, node->key,
				       node->key_len);
}

static void snapshot_pass_bucket(struct snapshot_visit *visit)
{
	struct metastore_cursor *cursor = visit->cursor;
	struct metastore_store *store = visit->sub->subs->store;
	u32 next = cursor->bucket + 1;

	lockdep_assert_held(&visit->queue->lock);
	if (snapshot_is_exact(visit) || next == store->limits.buckets)
		next = METASTORE_CURSOR_DONE;
	WRITE_ONCE(cursor->bucket, next);
	metastore_position_set(&cursor->pos, 0, NULL, 0);
}

static struct metastore_value *snapshot_find_exact(struct snapshot_visit *visit)
{
	struct metastore_value *value = metastore_bucket_find(&visit->topic);

	if (!value || metastore_value_is_over(value) ||
	    value->version <= visit->cursor->newer)
		return NULL;
	return value;
}

static struct metastore_value *snapshot_find_next(struct snapshot_visit *visit,
						  struct metastore_bucket *bucket)
{
	struct metastore_position *pos = &visit->cursor->pos;
	struct metastore_node *node;
	int i;

	for (i = 0; i < SLOTS_AT_ONCE && pos->order < METASTORE_ORDER_END; i++) {
		node = metastore_table_next(&bucket->values, pos, visit->topic.bytes,
					    visit->topic.len);
		if (!node)
			continue;
		if (!metastore_value_is_over(metastore_value_of(node)))
			return metastore_value_of(node);
		snapshot_pass_key(visit, node);
	}
	return NULL;
}

static void snapshot_find_value(struct snapshot_visit *visit, struct metastore_bucket *bucket)
{
	visit->value = snapshot_is_exact(visit) ? snapshot_find_exact(visit) :
						  snapshot_find_next(visit, bucket);
}

/* After a search found no value: move to the next bucket if this one is done. */
static void snapshot_go_on(struct snapshot_visit *visit)
{
	if (snapshot_is_exact(visit) || visit->cursor->pos.order == METASTORE_ORDER_END)
		snapshot_pass_bucket(visit);
}

/*
 * Lock the cursor's bucket and the queue. Returns the bucket, or NULL without a lock if
 * the cursor has passed all keys. The cursor is read without a lock, then checked again.
 *
 * sparse cannot follow this: the annotations here and in snapshot_unlock_bucket() hide the
 * locks.
 */
static struct metastore_bucket *snapshot_lock_bucket(struct snapshot_visit *visit)
{
	struct metastore_store *store = visit->sub->subs->store;
	struct metastore_bucket *bucket;
	u32 index;

	for (;;) {
		index = READ_ONCE(visit->cursor->bucket);
		if (index == METASTORE_CURSOR_DONE)
			return NULL;
		bucket = &store->buckets[index];
		spin_lock(&bucket->lock);
		spin_lock(&visit->queue->lock);
		if (visit->cursor->bucket == index) {
			__release(&visit->queue->lock);
			__release(&bucket->lock);
			return bucket;
		}
		spin_unlock(&visit->queue->lock);
		spin_unlock(&bucket->lock);
	}
}

static void snapshot_unlock_bucket(struct snapshot_visit *visit, struct metastore_bucket *bucket)
{
	__acquire(&bucket->lock);
	__acquire(&visit->queue->lock);
	spin_unlock(&visit->queue->lock);
	spin_unlock(&bucket->lock);
}

/* Complete the delivery of a busy key. */
static void snapshot_deliver_rest(const struct metastore_key *key)
{
	struct metastore_garbage garbage = {};

	metastore_key_lock(key, &garbage);
	spin_unlock(&key->bucket->lock);
	metastore_garbage_free(&garbage);
}

/* Check whether the next key is busy. If so, copy it to @busy. */
static bool snapshot_is_busy(struct snapshot_visit *visit, struct metastore_bucket *bucket,
			     struct metastore_key_buffer *busy)
{
	struct metastore_key key = visit->topic;

	if (RB_EMPTY_ROOT(&bucket->turns) || (!snapshot_is_exact(visit) && !visit->value))
		return false;
	if (!snapshot_is_exact(visit))
		key = (struct metastore_key) {
			.bytes = visit->value->node.key,
			.len = visit->value->node.key_len,
			.hash = visit->value->node.hash,
			.bucket = bucket,
		};
	if (!metastore_key_is_busy(&key))
		return false;
	busy->key = key;
	busy->key.bytes = busy->bytes;
	memcpy(busy->bytes, key.bytes, key.len);
	return true;
}

/*
 * Take values from the cursor's bucket. Returns their number, 0 if none was found yet,
 * -EMSGSIZE if the first does not fit, or -EBUSY if the key of the first is @busy.
 */
static int snapshot_take_values(struct snapshot_visit *visit, struct metastore_bucket *bucket,
				struct metastore_record *records, int max, size_t room,
				struct metastore_key_buffer *busy)
{
	size_t size;
	int nr = 0;

	lockdep_assert_held(&bucket->lock);
	lockdep_assert_held(&visit->queue->lock);
	while (nr < max) {
		snapshot_find_value(visit, bucket);
		if (snapshot_is_busy(visit, bucket, busy))
			return nr ?: -EBUSY;
		if (!visit->value) {
			snapshot_go_on(visit);
			break;
		}
		metastore_queue_snapshot_record(visit->sub, visit->value, &records[nr]);
		size = metastore_record_size(&records[nr]);
		if (size > room)
			return nr ?: -EMSGSIZE;
		if (nr && metastore_queue_overdraws(visit->queue, &records[nr]))
			break;
		room -= size;
		metastore_queue_snapshot_consume(visit->queue, &records[nr++]);
		snapshot_pass_key(visit, &visit->value->node);
		if (snapshot_is_exact(visit))
			break;
	}
	return nr;
}

/* Take the end record of a snapshot that has passed all keys. As snapshot_take_some(). */
static int snapshot_take_end(struct snapshot_visit *visit, struct metastore_record *record,
			     size_t room)
{
	int nr = -ENODATA;

	spin_lock(&visit->queue->lock);
	if (metastore_queue_snapshot_end(visit->sub, visit->cursor, record)) {
		nr = -EMSGSIZE;
		if (metastore_record_size(record) <= room) {
			metastore_queue_snapshot_consume(visit->queue, record);
			nr = 1;
		}
	}
	spin_unlock(&visit->queue->lock);
	return nr;
}

/*
 * Take the next records. Returns their number, 0 if none was found yet, -EMSGSIZE if the
 * first does not fit, -ENODATA if the subscription ended or another reader took the end.
 */
static int snapshot_take_some(struct snapshot_visit *visit,
			      struct metastore_record *records, int max, size_t room)
{
	struct metastore_bucket *bucket = snapshot_lock_bucket(visit);
	struct metastore_key_buffer busy;
	int nr;

	if (!bucket)
		return snapshot_take_end(visit, records, room);
	nr = metastore_queue_snapshot_is_over(visit->sub, visit->cursor) ? -ENODATA :
	     snapshot_take_values(visit, bucket, records, max, room, &busy);
	snapshot_unlock_bucket(visit, bucket);
	if (nr != -EBUSY)
		return nr;
	snapshot_deliver_rest(&busy.key);
	return 0;
}

/**
 * metastore_snapshot_take() - Take records of a snapshot for a reader
 * @queue:	the queue
 * @records:	filled in; the caller passes it to metastore_queue_finish()
 * @max:	capacity of @records
 * @room:	size of the reader's buffer in bytes
 *
 * Context: Process context, may sleep. Takes a bucket's lock and the queue's.
 * Return:
 * - number of records, possibly fewer than fit
 * - 0: no record
 * - -EMSGSIZE: the first record does not fit
 * - -ERESTARTSYS: a signal arrived before a record was found
 */
int metastore_snapshot_take(struct metastore_queue *queue,
			    struct metastore_record *records, int max, size_t room)
{
	struct snapshot_visit visit;
	int nr;

	/* Most queues have no snapshot. No lock, since a new one wakes the reader. */
	if (list_empty(&queue->snapshots) || !snapshot_begin_visit(&visit, queue))
		return 0;
	do {
		nr = snapshot_take_some(&visit, records, max, room);
		cond_resched();
	} while (!nr && !signal_pending(current));
	snapshot_end_visit(&visit);
	if (!nr)
		return -ERESTARTSYS;
	return nr == -ENODATA ? 0 : nr;
}

/*
 * Tell the record size of the next value in the cursor's bucket. Returns bytes, 0 if none
 * was found yet, or -EBUSY if its key is @busy.
 */
static ssize_t snapshot_value_size(struct snapshot_visit *visit, struct metastore_bucket *bucket,
				   struct metastore_key_buffer *busy)
{
	struct metastore_record record;

	lockdep_assert_held(&bucket->lock);
	lockdep_assert_held(&visit->queue->lock);
	snapshot_find_value(visit, bucket);
	if (snapshot_is_busy(visit, bucket, busy))
		return -EBUSY;
	if (!visit->value) {
		snapshot_go_on(visit);
		return 0;
	}
	metastore_queue_snapshot_record(visit->sub, visit->value, &record);
	return metastore_record_size(&record);
}

/* Returns the size of the next record, 0 if none was found yet, or -ENODATA at the end. */
static ssize_t snapshot_look_for_size(struct snapshot_visit *visit)
{
	struct metastore_bucket *bucket = snapshot_lock_bucket(visit);
	struct metastore_key_buffer busy;
	ssize_t size;

	if (!bucket)
		return sizeof(struct metastore_event);
	size = metastore_queue_snapshot_is_over(visit->sub, visit->cursor) ? -ENODATA :
	       snapshot_value_size(visit, bucket, &busy);
	snapshot_unlock_bucket(visit, bucket);
	if (size != -EBUSY)
		return size;
	snapshot_deliver_rest(&busy.key);
	return 0;
}

/**
 * metastore_snapshot_next_size() - Tell the length of a snapshot's next record
 * @queue:	the queue
 *
 * Context: Process context, may sleep. Takes a bucket's lock and the queue's.
 * Return: bytes; 0 if no record waits, or a signal arrived before one was found.
 */
size_t metastore_snapshot_next_size(struct metastore_queue *queue)
{
	struct snapshot_visit visit;
	ssize_t size;

	if (!snapshot_begin_visit(&visit, queue))
		return 0;
	do {
		size = snapshot_look_for_size(&visit);
		cond_resched();
	} while (!size && !signal_pending(current));
	snapshot_end_visit(&visit);
	return max_t(ssize_t, size, 0);
}
