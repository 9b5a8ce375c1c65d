/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events come into a queue by the short way, which most go: it is inlined where an event
 * is given to many.
 */
#ifndef METASTORE_QUEUE_PUSH_H
#define METASTORE_QUEUE_PUSH_H

#include "events/queue_priv.h"

/**
 * struct metastore_reservation - room for one event in a lossless queue
 * @sub:	the subscription that will get it
 * @charge:	bytes of the queue
 * @used:	whether the event came, and took it
 */
struct metastore_reservation {
	struct metastore_subscription *sub;
	u32 charge;
	bool used;
};

/* Has the ring a place for it, without anything being dropped or refused? */
static inline bool queue_has_place(const struct metastore_queue *queue, u32 charge)
{
	lockdep_assert_held(&queue->lock);
	return queue->ring.len < queue->ring.max_len &&
	       queue->bytes + charge <= queue->fast_bytes;
}

/* Puts an event into the ring, which has a place for it. */
static inline struct metastore_record *
queue_append(struct metastore_queue *queue, struct metastore_subscription *sub,
	     const struct metastore_record *event, u32 charge)
{
	struct metastore_record *record = metastore_ring_append(&queue->ring);

	lockdep_assert_held(&queue->lock);
	record->news = event->news;
	record->sub = sub;
	queue->bytes += charge;
	return record;
}

int metastore_queue_reserve(struct metastore_subscription *sub,
			    const struct metastore_value *value, u32 *charge);
void metastore_queue_unreserve(struct metastore_subscription *sub, u32 charge);
bool metastore_queue_push_any(struct metastore_subscription *sub,
			      const struct metastore_key *key,
			      const struct metastore_record *event,
			      struct metastore_garbage *garbage);
bool metastore_queue_push_reserved(struct metastore_reservation *reservation,
				   const struct metastore_key *key,
				   const struct metastore_record *event,
				   struct metastore_garbage *garbage);

/**
 * metastore_queue_push - queue an event
 * @sub:	the subscription
 * @key:	the key that the event is about
 * @event:	the event; its subscription is not looked at
 * @size:	metastore_value_size() of its value
 * @garbage:	takes values of events that were dropped for it
 *
 * Context: with the bucket's lock held; takes the queue's.
 * Return: as metastore_queue_push_any().
 */
static __always_inline bool
metastore_queue_push(struct metastore_subscription *sub, const struct metastore_key *key,
		     const struct metastore_record *event, u32 size,
		     struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = sub->queue;
	bool taken = true;
	u32 charge;

	lockdep_assert_held(&key->bucket->lock);
	spin_lock(&queue->lock);
	charge = queue_charge(queue, size);
	if (likely(sub->plain && queue_has_place(queue, charge))) {
		sub->books.matched++;
		queue_append(queue, sub, event, charge);
	} else {
		taken = metastore_queue_push_any(sub, key, event, garbage);
	}
	queue_wake(queue);
	spin_unlock(&queue->lock);
	return taken;
}

#endif /* METASTORE_QUEUE_PUSH_H */
