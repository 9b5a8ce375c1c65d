/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Enqueue on the fast path, which most events take. It is inlined for delivery of one
 * event to many subscribers.
 */
#ifndef METASTORE_QUEUE_PUSH_H
#define METASTORE_QUEUE_PUSH_H

#include "events/notice.h"
#include "events/queue_priv.h"

/**
 * struct metastore_reservation - room for one event in a lossless queue
 * @node:	node in the tree of its &struct metastore_reservations
 * @sub:	subscription that will get the event, held until the reservation is used or
 *		given back
 * @charge:	reserved bytes of the queue
 * @copy:	copy of the value at the expense of the queue's cgroup, or NULL
 * @used:	whether metastore_queue_push_reserved() used it up
 */
struct metastore_reservation {
	struct rb_node node;
	struct metastore_subscription *sub;
	u32 charge;
	struct metastore_value *copy;
	bool used;
};

/* Check that the ring has a place, so that nothing need be dropped or refused. */
static inline bool queue_has_place(const struct metastore_queue *queue, u32 charge)
{
	lockdep_assert_held(&queue->lock);
	return queue->ring.len < queue->ring.max_len &&
	       queue->bytes + charge <= queue->fast_bytes;
}

/* Append an event to the ring, which has a place for it. */
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

enum metastore_pushed metastore_queue_push_checked(struct metastore_subscription *sub,
						   const struct metastore_notice *notice,
						   struct metastore_garbage *garbage);
void metastore_queue_lose(struct metastore_subscription *sub);

/* Pushes with METASTORE_PUSH_AGAIN that suffice to empty a queue. */
static inline u32 metastore_queue_tries(const struct metastore_queue *queue)
{
	return READ_ONCE(queue->ring.max_len) / METASTORE_DROPS_AT_ONCE + 1;
}

int metastore_queue_reserve(struct metastore_reservation *reservation,
			    struct metastore_subscription *sub,
			    const struct metastore_value *value,
			    struct metastore_garbage *garbage);
void metastore_queue_unreserve(struct metastore_reservation *reservation);
enum metastore_pushed metastore_queue_push_any(struct metastore_subscription *sub,
					       const struct metastore_notice *notice, u32 size,
					       struct metastore_garbage *garbage);
enum metastore_pushed metastore_queue_push_reserved(struct metastore_reservation *reservation,
						    const struct metastore_notice *notice,
						    struct metastore_garbage *garbage);

enum metastore_pushed metastore_queue_push_alone(struct metastore_subscription *sub,
						 const struct metastore_notice *notice, u32 size,
						 struct metastore_garbage *garbage);
enum metastore_pushed metastore_queue_map_push(struct metastore_subscription *sub,
					       const struct metastore_notice *notice, u32 size,
					       struct metastore_garbage *garbage);
enum metastore_pushed metastore_queue_map_push_image(struct metastore_subscription *sub,
						     const struct metastore_notice *notice,
						     u32 size, struct metastore_garbage *garbage);

/**
 * metastore_queue_push() - Enqueue an event
 * @sub:	the subscription
 * @notice:	the event
 * @size:	metastore_value_size() of its value
 * @garbage:	takes values of events that are dropped
 *
 * Context: Caller holds the bucket's lock; takes the queue's.
 * Return: As metastore_queue_push_any().
 */
static __always_inline enum metastore_pushed
metastore_queue_push(struct metastore_subscription *sub, const struct metastore_notice *notice,
		     u32 size, struct metastore_garbage *garbage)
{
	struct metastore_queue *queue = sub->queue;
	enum metastore_pushed pushed = METASTORE_PUSH_TAKEN;
	u32 charge;

	lockdep_assert_held(&notice->key->bucket->lock);
	spin_lock(&queue->lock);
	charge = queue_charge(queue, size);
	if (likely(sub->plain && queue_has_place(queue, charge))) {
		sub->books.matched++;
		queue_append(queue, sub, &notice->record, charge);
	} else if (unlikely(queue->map)) {
		pushed = notice->image->size ?
			 metastore_queue_map_push_image(sub, notice, size, garbage) :
			 metastore_queue_map_push(sub, notice, size, garbage);
	} else {
		pushed = metastore_queue_push_any(sub, notice, size, garbage);
	}
	queue_wake(queue);
	spin_unlock(&queue->lock);
	return pushed;
}

#endif /* METASTORE_QUEUE_PUSH_H */
