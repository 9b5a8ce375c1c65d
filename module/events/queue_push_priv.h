/* SPDX-License-Identifier: GPL-2.0 */
/* Internals of enqueueing, shared by queue_push.c, queue_reserve.c and queue_group.c. */
#ifndef METASTORE_QUEUE_PUSH_PRIV_H
#define METASTORE_QUEUE_PUSH_PRIV_H

#include "events/queue_priv.h"

/*
 * Event to be enqueued
 *
 * @key:	its key
 * @event:	the event; its subscription is ignored
 * @size:	metastore_value_size() of its value
 * @max_drops:	most events that may be dropped for it
 * @reserved:	whether the event had a reservation, which the caller has returned
 * @copy:	copy of its value that the reservation had, or NULL
 * @no_copy:	whether the value must not be copied, since many were
 * @garbage:	takes values of events that are dropped
 */
struct queue_push {
	const struct metastore_key *key;
	const struct metastore_record *event;
	u32 size;
	u32 max_drops;
	bool reserved;
	struct metastore_value *copy;
	bool no_copy;
	struct metastore_garbage *garbage;
};

bool metastore_queue_must_copy(const struct metastore_queue *queue,
			       const struct metastore_value *value);
enum metastore_pushed metastore_queue_push_one(struct metastore_queue *queue,
					       struct metastore_subscription *sub,
					       const struct queue_push *push);

#endif /* METASTORE_QUEUE_PUSH_PRIV_H */
