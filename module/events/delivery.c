// SPDX-License-Identifier: GPL-2.0
/*
 * Deliver an event to all its subscribers.
 *
 * Events of one key must reach every queue in the order of versions. Yet other users of
 * the bucket must not wait for a key with thousands of subscribers. So a long delivery
 * releases the bucket's lock after each METASTORE_CHUNK of them. It has a turn in the bucket then.
 * While the lock is released:
 *
 * - A writer of this key delivers the next chunk itself, until none is left
 *   (metastore_key_complete()). So no writer sleeps until a descheduled publisher runs
 *   again. Writers that meet there go on in the order of their arrival.
 * - New subscriptions enter at the head of their topic's list, behind the walk. They
 *   get this event only if the walk has not reached their topic yet.
 * - Subscriptions and topics may be removed. The one that the walk visits next is pinned
 *   and stays, see struct metastore_walk.
 *
 * The events of a transaction are a group: each queue gets those it is subscribed to
 * one right behind the other. All keys of the group that have subscribers have a
 * delivery under way. The first delivery that reaches an open file gives its queue the
 * whole group, and notes that in the file. A file with subscriptions to very many prefixes
 * of the keys gets it in parts, each of events that are adjacent. Groups of other keys are
 * delivered at the same time, see group.c. A subscription that began after the transaction
 * gets no event of it (see @since). Otherwise it could get a part: the delivery of one key
 * may be done already, that of another still ahead.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "base/trace.h"
#include "store/bucket.h"
#include "store/store.h"
#include "events/delivery.h"
#include "events/queue_push.h"
#include "events/reservation.h"
#include "events/subscription.h"

/* How often a writer gives way to others that wait longer for the same key. */
#define PATIENCE	8

static struct metastore_subscription *delivery_next_subscription(struct metastore_walk *walk)
{
	struct list_head *at = metastore_walk_step(walk);

	return at ? list_entry(at, struct metastore_subscription, in_topic) : NULL;
}

/*
 * Push the group to the next files, for the work of about @nr deliveries. Return false
 * if there are no more.
 */
static bool delivery_run_group(struct metastore_delivery *delivery, u32 nr)
{
	struct metastore_subscription *sub;
	bool whole;
	u32 work;

	for (; nr; nr -= min(nr, work)) {
		sub = delivery_next_subscription(&delivery->walk);
		if (!sub)
			return false;
		work = metastore_group_give(delivery->group, sub->subs, delivery->garbage, &whole);
		if (!whole)
			delivery->walk.next = &sub->in_topic;
	}
	return true;
}

static enum metastore_pushed delivery_push_checked(const struct metastore_delivery *delivery,
						   struct metastore_subscription *sub)
{
	const struct metastore_notice *notice = delivery->notice;
	struct metastore_reservation *reservation = NULL;

	if (notice->reserved)
		reservation = metastore_reservations_find(notice->reserved, sub);
	if (reservation && !reservation->used)
		return metastore_queue_push_reserved(reservation, notice, delivery->garbage);
	return metastore_queue_push_checked(sub, notice, delivery->garbage);
}

/*
 * A queue into which others push faster than this event's delivery makes room must not hold
 * it up: after as many tries as empty the queue, the event is lost there. Return AGAIN or
 * REFUSED.
 */
static noinline enum metastore_pushed delivery_try_again(struct metastore_delivery *delivery,
							 struct metastore_subscription *sub)
{
	if (delivery->tried != sub) {
		delivery->tried = sub;
		delivery->tries = 0;
	}
	if (++delivery->tries <= metastore_queue_tries(sub->queue))
		return METASTORE_PUSH_AGAIN;
	metastore_queue_lose(sub);
	return METASTORE_PUSH_REFUSED;
}

/*
 * @refused:	subscriptions whose queue did not take the event
 * @copied:	bytes that count against METASTORE_COPY_MAX
 * @again:	whether the last one is to be tried again
 */
struct delivery_tally {
	u32 refused;
	u32 copied;
	bool again;
};

/* Count a push that was not simply taken. Return whether the lock is to be released now. */
static noinline bool delivery_count(struct delivery_tally *tally, enum metastore_pushed pushed,
				    u32 size)
{
	if (pushed == METASTORE_PUSH_REFUSED)
		tally->refused++;
	else if (pushed == METASTORE_PUSH_COPIED)
		tally->copied += size + METASTORE_COPY_COST;
	else if (pushed == METASTORE_PUSH_INDEXED)
		tally->copied += METASTORE_COPY_COST;
	tally->again = pushed == METASTORE_PUSH_AGAIN;
	return tally->again || tally->copied > METASTORE_COPY_MAX;
}

/*
 * Push the event to the next subscriptions of the walk's topic, @nr at most. Return how
 * many of @nr are left, but 0 if the lock is to be released first. The caller took @nr
 * references to the value; each queue that takes the event keeps one. Compiled twice, since
 * this loop is the cost of a large fan-out.
 */
static __always_inline u32 delivery_run_topic(struct metastore_delivery *delivery, u32 nr,
					      bool checked)
{
	const struct metastore_notice *notice = delivery->notice;
	struct list_head *head = &delivery->walk.topic->subs, *at = delivery->walk.next;
	u32 size = metastore_value_size(notice->record.value), met = nr;
	struct metastore_garbage *garbage = delivery->garbage;
	struct metastore_subscription *sub;
	struct delivery_tally tally = {};
	enum metastore_pushed pushed;
	bool stop = false;

	for (; nr && at != head; nr--, at = rcu_dereference_raw(list_next_rcu(at))) {
		sub = list_entry(at, struct metastore_subscription, in_topic);
		if (likely(metastore_notice_is_wanted(notice, sub))) {
			pushed = checked ? delivery_push_checked(delivery, sub) :
				 metastore_queue_push(sub, notice, size, garbage);
			if (likely(pushed == METASTORE_PUSH_TAKEN))
				continue;
			if (pushed == METASTORE_PUSH_AGAIN)
				pushed = delivery_try_again(delivery, sub);
		} else {
			pushed = METASTORE_PUSH_REFUSED;
		}
		stop = delivery_count(&tally, pushed, size);
		if (stop)
			break;
	}
	if (unlikely(stop && !tally.again)) {
		at = rcu_dereference_raw(list_next_rcu(at));
		nr--;
	}
	delivery->walk.next = at;
	delivery->queues += met - nr - tally.refused;
	return unlikely(stop) ? 0 : nr;
}

static noinline u32 delivery_run_checked(struct metastore_delivery *delivery, u32 nr)
{
	return delivery_run_topic(delivery, nr, true);
}

static noinline u32 delivery_run_plain(struct metastore_delivery *delivery, u32 nr)
{
	return delivery_run_topic(delivery, nr, false);
}

static inline u32 delivery_run(struct metastore_delivery *delivery, u32 nr)
{
	const struct metastore_notice *notice = delivery->notice;

	if (unlikely(notice->reserved ||
		     READ_ONCE(delivery->walk.topic->cgroup) != notice->record.value->node.group))
		return delivery_run_checked(delivery, nr);
	return delivery_run_plain(delivery, nr);
}

/* Push the event to the next @nr subscriptions. Return false if there are no more. */
static bool delivery_run_event(struct metastore_delivery *delivery, u32 nr)
{
	struct metastore_value *value = delivery->notice->record.value;
	u32 had = delivery->queues, left = nr;
	bool more = true;

	metastore_value_get_many(value, nr);
	while (left && more) {
		if (metastore_walk_is_past_topic(&delivery->walk))
			more = metastore_walk_next_topic(&delivery->walk);
		else
			left = delivery_run(delivery, left);
	}
	metastore_value_put_some(value, nr - (delivery->queues - had));
	return more;
}

/* Number of queues that took the event of a delivery that is complete */
static u32 delivery_queues(const struct metastore_delivery *delivery)
{
	if (!delivery->group)
		return delivery->queues;
	return atomic_read(&container_of(delivery, struct metastore_group_event,
					 delivery)->queues);
}

/* Out of line, so that the fast path keeps its registers. */
static noinline void delivery_trace(const struct metastore_delivery *delivery)
{
	trace_metastore_delivery(delivery->notice, delivery_queues(delivery));
}

/* Continue a delivery to about METASTORE_CHUNK subscriptions. Return whether it is complete. */
static bool delivery_run_chunk(struct metastore_delivery *delivery,
			       struct metastore_garbage *garbage)
{
	bool more;

	lockdep_assert_held(&delivery->notice->key->bucket->lock);
	delivery->garbage = garbage;
	metastore_walk_resume(&delivery->walk);
	more = delivery->group ? delivery_run_group(delivery, METASTORE_CHUNK) :
				 delivery_run_event(delivery, METASTORE_CHUNK);
	metastore_walk_pause(&delivery->walk);
	if (more)
		return false;
	if (metastore_turn_is_in_line(&delivery->turn))
		metastore_turn_leave(&delivery->turn);
	delivery->done = true;
	if (trace_metastore_delivery_enabled())
		delivery_trace(delivery);
	/* Once the lock is released the owner may free the delivery and the group. */
	if (delivery->group)
		metastore_group_settle(delivery->notice->key->bucket->store, delivery->group);
	return true;
}

/* Drop the bucket's lock, free garbage, reschedule and take the lock again. */
static void delivery_yield_bucket(struct metastore_bucket *bucket,
				  struct metastore_garbage *garbage)
	__must_hold(&bucket->lock)
{
	spin_unlock(&bucket->lock);
	metastore_garbage_free(garbage);
	cond_resched();
	spin_lock(&bucket->lock);
}

static inline void delivery_set(struct metastore_delivery *delivery,
				const struct metastore_notice *notice,
				struct metastore_group *group)
{
	delivery->notice = notice;
	delivery->group = group;
	delivery->queues = 0;
	delivery->tried = NULL;
}

static void delivery_start(struct metastore_delivery *delivery,
			   const struct metastore_notice *notice, struct metastore_group *group,
			   struct metastore_topic *topic, bool prefixes)
{
	delivery_set(delivery, notice, group);
	metastore_turn_init(&delivery->turn);
	delivery->done = !topic && !prefixes;
	if (delivery->done)
		return;
	metastore_walk_begin(&delivery->walk, notice->key, topic, prefixes);
	if (group)
		metastore_turn_deliver(&delivery->turn, notice->key);
}

/**
 * metastore_delivery_begin() - Begin to deliver an event of a group
 * @group:	the group, after metastore_group_begin()
 * @event:	the event, of a key that is not busy. Its notice is set.
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_delivery_begin(struct metastore_group *group, struct metastore_group_event *event)
{
	const struct metastore_key *key = event->notice.key;
	struct metastore_topic *topic = metastore_topic_of(key);

	lockdep_assert_held(&key->bucket->lock);
	event->topic = topic;
	delivery_start(&event->delivery, &event->notice, group, topic,
		       metastore_may_have_prefix(&key->bucket->store->prefixes, key));
	if (!event->delivery.done)
		atomic_inc(&group->left);
}

/**
 * metastore_delivery_finish() - Deliver an event to the remaining subscribers of a key
 * @delivery:	the delivery; writers of the key may have done some or all of it
 * @garbage:	takes values to be freed after the unlock
 *
 * Context: Process context, may sleep. Caller holds the bucket's lock, which is
 * released and taken again if there are many subscribers.
 */
void metastore_delivery_finish(struct metastore_delivery *delivery,
			       struct metastore_garbage *garbage)
{
	struct metastore_bucket *bucket = delivery->notice->key->bucket;

	lockdep_assert_held(&bucket->lock);
	while (!delivery->done && !delivery_run_chunk(delivery, garbage)) {
		if (!metastore_turn_is_in_line(&delivery->turn))
			metastore_turn_deliver(&delivery->turn, delivery->notice->key);
		delivery_yield_bucket(bucket, garbage);
	}
}

/*
 * Deliver an event to a single topic with few subscriptions, under one hold of the
 * lock. Return whether it is complete, which it is not if a queue must drop many events.
 */
static bool delivery_run_few(struct metastore_delivery *delivery, struct metastore_topic *topic,
			     const struct metastore_notice *notice,
			     struct metastore_garbage *garbage)
{
	u32 nr = topic->len;

	delivery_set(delivery, notice, NULL);
	delivery->garbage = garbage;
	delivery->walk.topic = topic;
	delivery->walk.next = topic->subs.next;
	metastore_value_get_many(notice->record.value, nr);
	delivery_run(delivery, nr);
	metastore_value_put_some(notice->record.value, nr - delivery->queues);
	return likely(metastore_walk_is_past_topic(&delivery->walk));
}

/* Continue after delivery_run_few(). May release and retake the bucket's lock. */
static noinline void delivery_run_rest(struct metastore_delivery *delivery,
				       struct metastore_garbage *garbage)
{
	metastore_walk_begin_midway(&delivery->walk, delivery->notice->key);
	metastore_turn_init(&delivery->turn);
	delivery->done = false;
	metastore_delivery_finish(delivery, garbage);
}

/**
 * metastore_deliver() - Deliver an event to the subscribers of a key
 * @notice:	event of a key that is not busy, with a reference to its value
 * @garbage:	takes values to be freed after the unlock
 *
 * Context: Process context, may sleep. Caller holds the bucket's lock, which is
 * released and taken again if there are many subscribers.
 * Return: The number of subscriptions whose queue took the event.
 */
u32 metastore_deliver(const struct metastore_notice *notice, struct metastore_garbage *garbage)
{
	const struct metastore_key *key = notice->key;
	bool prefixes = metastore_may_have_prefix(&key->bucket->store->prefixes, key);
	struct metastore_topic *topic = metastore_topic_of(key);
	struct metastore_delivery delivery __uninitialized;

	lockdep_assert_held(&key->bucket->lock);
	if (!prefixes && !topic)
		return 0;
	if (!prefixes && topic->len <= METASTORE_CHUNK) {
		if (!delivery_run_few(&delivery, topic, notice, garbage))
			delivery_run_rest(&delivery, garbage);
		else if (trace_metastore_delivery_enabled())
			delivery_trace(&delivery);
	} else {
		delivery_start(&delivery, notice, NULL, topic, prefixes);
		metastore_delivery_finish(&delivery, garbage);
	}
	return delivery.queues;
}

/* The delivery whose turn it is, or NULL if that is a writer's. */
static struct metastore_delivery *delivery_of_turn(struct metastore_turn *turn)
{
	return turn && !turn->ticket ? container_of(turn, struct metastore_delivery, turn) : NULL;
}

static struct metastore_delivery *delivery_of(const struct metastore_key *key)
{
	return delivery_of_turn(metastore_turn_first(key));
}

/**
 * metastore_key_complete() - Complete a delivery of a key that may be under way
 * @key:	the key
 * @garbage:	takes values to be freed after the unlock
 *
 * If several writers wait for a key, the same one could always lose to another that begins
 * the next delivery. So they enter a line, and give way to those ahead of them: but only
 * PATIENCE times, since one ahead may be descheduled for long.
 *
 * Context: Process context, may sleep. Caller holds the bucket's lock, which may be
 * released and taken again.
 */
void metastore_key_complete(const struct metastore_key *key,
			    struct metastore_garbage *garbage)
{
	struct metastore_turn turn, *first;
	struct metastore_delivery *delivery;
	u32 patience = PATIENCE;

	lockdep_assert_held(&key->bucket->lock);
	metastore_turn_init(&turn);
	while ((first = metastore_turn_first(key)) && first != &turn) {
		if (!metastore_turn_is_in_line(&turn))
			metastore_turn_enter(&turn, key);
		delivery = delivery_of_turn(first);
		if (!delivery && !patience--)
			break;
		/* Keep the lock after the last chunk, lest another delivery begin. */
		if (!delivery || !delivery_run_chunk(delivery, garbage))
			delivery_yield_bucket(key->bucket, garbage);
	}
	if (metastore_turn_is_in_line(&turn))
		metastore_turn_leave(&turn);
}

/**
 * metastore_key_is_busy() - Check whether a delivery of a key is under way
 * @key:	the key
 *
 * Context: Caller holds the bucket's lock.
 * Return: true if so; the key must not be changed then.
 */
bool metastore_key_is_busy(const struct metastore_key *key)
{
	return delivery_of(key);
}

/**
 * metastore_key_help() - Complete the delivery of a key that is under way, if there is one
 * @key:	the key
 *
 * For a writer that is in line already, or is none.
 *
 * Context: Process context, may sleep. Takes the bucket's lock.
 */
void metastore_key_help(const struct metastore_key *key)
{
	struct metastore_garbage garbage = {};
	struct metastore_delivery *delivery;

	spin_lock(&key->bucket->lock);
	while ((delivery = delivery_of(key)) && !delivery_run_chunk(delivery, &garbage))
		delivery_yield_bucket(key->bucket, &garbage);
	spin_unlock(&key->bucket->lock);
	metastore_garbage_free(&garbage);
}
