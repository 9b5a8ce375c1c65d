// SPDX-License-Identifier: GPL-2.0
/*
 * Deliver an event to all its subscribers.
 *
 * Events of one key must reach every queue in the order of versions. Yet other users of
 * the bucket must not wait for a key with thousands of subscribers. So a long delivery
 * releases the bucket's lock after each CHUNK of them. It is in the bucket's list then.
 * While the lock is released:
 *
 * - A writer of this key delivers the next chunk itself, until none is left
 *   (metastore_key_complete()). So no writer sleeps until a descheduled publisher runs
 *   again.
 * - New subscriptions enter at the head of their topic's list, behind the walk. They
 *   get this event only if the walk has not reached their topic yet.
 * - Subscriptions and topics may be removed. The walk is in a metastore_srcu read
 *   section, so they stay in memory and their links lead on.
 *
 * The events of a transaction are a group: each queue gets those it is subscribed to
 * one right behind the other. All keys of the group that have subscribers have a
 * delivery under way. The first delivery that reaches an open file gives its queue the
 * whole group. A subscription that began after the transaction gets no event of it (see
 * @since). Otherwise it could get a part: the delivery of one key may be done already,
 * that of another still ahead.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <linux/string.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/delivery.h"
#include "events/queue_push.h"
#include "events/reservation.h"
#include "events/subscription.h"

/*
 * Deliveries under one hold of the bucket's lock. A writer that completes an earlier
 * delivery before its own may make twice as many; see metastore_key_complete() for
 * more.
 *
 * One delivery costs some 60 to 350 instructions, and as much for each older event that
 * it drops. It drops one, unless its event is much larger and the queue is so long that
 * the least charge is small.
 */
#define CHUNK	64

static inline bool delivery_is_wanted(const struct metastore_subscription *sub,
				      const struct metastore_notice *notice)
{
	return sub->events & notice->mask || sub->subs == notice->former;
}

/*
 * Push an event of a group to a subscription that wants it, is older than transaction
 * @id and has its turn. NULL: none. Conflating subscriptions have their turn last,
 * since the events of the others must be adjacent. The caller holds the file's lock and
 * the queue's.
 */
static void delivery_give_if_turn(struct metastore_subscription *sub, u64 id,
				  struct metastore_group_event *event,
				  struct metastore_push_group *pushed)
{
	lockdep_assert_held(&pushed->queue->lock);
	if (!sub || sub->since >= id || !delivery_is_wanted(sub, &event->notice) ||
	    !metastore_queue_has_turn(pushed, sub))
		return;
	if (metastore_queue_push_next(pushed, sub, event->notice.key,
				      &event->notice.record))
		atomic_inc(&event->queues);
}

/* Push an event of a group to the file's subscriptions to its key and prefixes. */
static void delivery_give_group_event(struct metastore_subscriptions *subs, u64 id,
				      struct metastore_group_event *event,
				      struct metastore_push_group *pushed)
{
	struct metastore_trie_match match;
	struct metastore_topic *topic;
	struct metastore_key prefix;

	lockdep_assert_held(&subs->lock);
	lockdep_assert_held(&pushed->queue->lock);
	delivery_give_if_turn(metastore_subscription_find(subs, event->notice.key), id, event,
			      pushed);
	metastore_prefix_match(event->notice.key, &match);
	while ((topic = metastore_prefix_next(&match))) {
		metastore_topic_key(topic, &prefix);
		delivery_give_if_turn(metastore_subscription_find(subs, &prefix), id, event,
				      pushed);
	}
}

static void delivery_give_group_events(struct metastore_subscriptions *subs,
				       struct metastore_group *group,
				       struct metastore_push_group *pushed)
{
	u32 i;

	for (i = 0; i < group->nr; i++)
		delivery_give_group_event(subs, group->id, &group->events[i], pushed);
}

/*
 * Push a group to an open file, unless it has the group. Return the work done, counted
 * in deliveries.
 */
static u32 delivery_give_group(struct metastore_delivery *delivery,
			       struct metastore_subscriptions *subs)
{
	struct metastore_group *group = delivery->group;
	struct metastore_push_group pushed = {};

	/* The file's lock keeps the subscriptions, whatever topics they are in. */
	spin_lock(&subs->lock);
	if (subs->group != group->id) {
		subs->group = group->id;
		metastore_queue_push_begin(&pushed, subs->queue, delivery->garbage);
		delivery_give_group_events(subs, group, &pushed);
		if (metastore_queue_push_latest(&pushed))
			delivery_give_group_events(subs, group, &pushed);
		metastore_queue_push_end(&pushed);
	}
	spin_unlock(&subs->lock);
	return max(pushed.nr, group->nr);
}

static struct metastore_subscription *delivery_next_subscription(struct metastore_walk *walk)
{
	struct list_head *at = metastore_walk_next(walk);

	return at ? list_entry(at, struct metastore_subscription, in_topic) : NULL;
}

/*
 * Push the group to the next files, for the work of about @nr deliveries. Return false
 * if there are no more.
 */
static bool delivery_run_group(struct metastore_delivery *delivery, u32 nr)
{
	struct metastore_subscription *sub;
	u32 work;

	for (; nr; nr -= min(nr, work)) {
		sub = delivery_next_subscription(&delivery->walk);
		if (!sub)
			return false;
		work = delivery_give_group(delivery, sub->subs);
	}
	return true;
}

static bool delivery_push_reserved(const struct metastore_delivery *delivery,
				   struct metastore_subscription *sub, u32 size)
{
	const struct metastore_notice *notice = delivery->notice;
	struct metastore_reservation *reservation =
		metastore_reservations_find(notice->reserved, sub);

	if (reservation)
		return metastore_queue_push_reserved(reservation, notice->key, &notice->record,
						     delivery->garbage);
	return metastore_queue_push(sub, notice->key, &notice->record, size, delivery->garbage);
}

/*
 * Push the event to the next subscriptions of the walk's topic, @nr at most. Return how
 * many of @nr are left. The caller took @nr references to the value; each queue that
 * takes the event keeps one. Compiled twice, since this loop is the cost of a large
 * fan-out.
 */
static __always_inline u32 delivery_run_topic(struct metastore_delivery *delivery, u32 nr,
					      bool reserved)
{
	const struct metastore_notice *notice = delivery->notice;
	struct list_head *head = &delivery->walk.topic->subs, *at = delivery->walk.at;
	u32 size = metastore_value_size(notice->record.value), met = nr, refused = 0;
	struct metastore_garbage *garbage = delivery->garbage;
	const struct metastore_key *key = notice->key;
	struct metastore_subscription *sub;

	for (; nr; nr--) {
		at = rcu_dereference_raw(list_next_rcu(at));
		if (at == head)
			break;
		sub = list_entry(at, struct metastore_subscription, in_topic);
		if (!delivery_is_wanted(sub, notice))
			refused++;
		else if (reserved)
			refused += !delivery_push_reserved(delivery, sub, size);
		else if (!metastore_queue_push(sub, key, &notice->record, size, garbage))
			refused++;
	}
	delivery->walk.at = at;
	delivery->queues += met - nr - refused;
	return nr;
}

static noinline u32 delivery_run_reserved(struct metastore_delivery *delivery, u32 nr)
{
	return delivery_run_topic(delivery, nr, true);
}

static noinline u32 delivery_run_plain(struct metastore_delivery *delivery, u32 nr)
{
	return delivery_run_topic(delivery, nr, false);
}

static inline u32 delivery_run(struct metastore_delivery *delivery, u32 nr)
{
	return unlikely(delivery->notice->reserved) ? delivery_run_reserved(delivery, nr) :
						      delivery_run_plain(delivery, nr);
}

/* Push the event to the next @nr subscriptions. Return false if there are no more. */
static bool delivery_run_event(struct metastore_delivery *delivery, u32 nr)
{
	struct metastore_value *value = delivery->notice->record.value;
	u32 had = delivery->queues, left = nr;

	metastore_value_get_many(value, nr);
	while (delivery->walk.topic) {
		left = delivery_run(delivery, left);
		if (!left)
			break;
		metastore_walk_next_topic(&delivery->walk);
	}
	metastore_value_put_some(value, nr - (delivery->queues - had));
	return delivery->walk.topic;
}

/* Continue a delivery to about @nr subscriptions. Return whether it is complete. */
static bool delivery_run_chunk(struct metastore_delivery *delivery, u32 nr,
			       struct metastore_garbage *garbage)
{
	lockdep_assert_held(&delivery->notice->key->bucket->lock);
	delivery->garbage = garbage;
	if (delivery->group ? delivery_run_group(delivery, nr) : delivery_run_event(delivery, nr))
		return false;
	if (!list_empty(&delivery->in_bucket))
		list_del(&delivery->in_bucket);
	/* Once the lock is released the owner may free the delivery. */
	delivery->done = true;
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
	delivery->section = -1;
	delivery->queues = 0;
}

/*
 * Deliver an event to a single topic with few subscriptions, under one hold of the
 * lock. Return the number of subscriptions whose queue took it.
 */
static u32 delivery_run_few(struct metastore_topic *topic, const struct metastore_notice *notice,
			    struct metastore_garbage *garbage)
{
	struct metastore_delivery delivery __uninitialized;
	u32 nr = topic->nr;

	delivery_set(&delivery, notice, NULL);
	delivery.garbage = garbage;
	delivery.walk.topic = topic;
	delivery.walk.at = &topic->subs;
	metastore_value_get_many(notice->record.value, nr);
	delivery_run(&delivery, nr);
	metastore_value_put_some(notice->record.value, nr - delivery.queues);
	return delivery.queues;
}

static void delivery_start(struct metastore_delivery *delivery,
			   const struct metastore_notice *notice, struct metastore_group *group,
			   struct metastore_topic *topic, bool prefixes)
{
	delivery_set(delivery, notice, group);
	if (!group && prefixes)
		delivery->section = metastore_section_begin();
	INIT_LIST_HEAD(&delivery->in_bucket);
	delivery->done = !metastore_walk_start(&delivery->walk, notice->key, topic, prefixes);
	if (delivery->done)
		return;
	/* So many subscriptions take more than one hold of the lock. */
	if (!group && delivery->section < 0 && delivery->walk.topic->nr >= CHUNK)
		delivery->section = metastore_section_begin();
	if (group)
		list_add(&delivery->in_bucket, &notice->key->bucket->deliveries);
}

/**
 * metastore_delivery_begin() - Begin to deliver an event to the subscribers of a key
 * @delivery:	delivery to initialize
 * @notice:	event of a key that is not busy. It stays as long as @delivery, with its
 *		key and its value.
 * @group:	events of the same transaction, this one included; stays likewise. Its
 *		deliveries are all in one section of metastore_srcu, which the caller began.
 *		NULL: none
 *
 * The same task calls metastore_delivery_finish() afterwards. Without a @group it does
 * not release the lock in between.
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_delivery_begin(struct metastore_delivery *delivery,
			      const struct metastore_notice *notice,
			      struct metastore_group *group)
{
	const struct metastore_key *key = notice->key;

	lockdep_assert_held(&key->bucket->lock);
	delivery_start(delivery, notice, group, metastore_topic_of(key),
		       metastore_has_prefixes(&key->bucket->store->prefixes));
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
	while (!delivery->done && !delivery_run_chunk(delivery, CHUNK, garbage)) {
		if (list_empty(&delivery->in_bucket))
			list_add(&delivery->in_bucket, &bucket->deliveries);
		delivery_yield_bucket(bucket, garbage);
	}
	if (delivery->section >= 0)
		metastore_section_end(delivery->section);
}

/* Check for a subscription to a prefix of the key. */
static bool delivery_has_prefix(const struct metastore_key *key)
{
	int section = metastore_section_begin();
	struct metastore_trie_match match;
	bool there;

	metastore_prefix_match(key, &match);
	there = metastore_prefix_next(&match);
	metastore_section_end(section);
	return there;
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
	bool prefixes = metastore_may_have_prefix(&key->bucket->store->prefixes, key) &&
			delivery_has_prefix(key);
	struct metastore_topic *topic = metastore_topic_of(key);
	struct metastore_delivery delivery __uninitialized;

	lockdep_assert_held(&key->bucket->lock);
	if (!prefixes && !topic)
		return 0;
	if (!prefixes && topic->nr <= CHUNK)
		return delivery_run_few(topic, notice, garbage);
	delivery_start(&delivery, notice, NULL, topic, prefixes);
	metastore_delivery_finish(&delivery, garbage);
	return delivery.queues;
}

/* The delivery of a key that is under way, or NULL. */
static struct metastore_delivery *delivery_of(const struct metastore_key *key)
{
	struct metastore_delivery *delivery;

	lockdep_assert_held(&key->bucket->lock);
	list_for_each_entry(delivery, &key->bucket->deliveries, in_bucket)
		if (metastore_key_equal(delivery->notice->key, key))
			return delivery;
	return NULL;
}

/**
 * metastore_key_complete() - Complete a delivery of a key that may be under way
 * @key:	the key
 * @garbage:	takes values to be freed after the unlock
 *
 * If several writers wait for a key, the same one may always lose to another that
 * begins the next delivery. So a writer doubles its chunk each time it meets a further
 * delivery.
 *
 * Context: Process context, may sleep. Caller holds the bucket's lock, which may be
 * released and taken again.
 */
void metastore_key_complete(const struct metastore_key *key,
			    struct metastore_garbage *garbage)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_delivery *delivery;
	u64 version, last = 0;
	u32 nr = CHUNK;

	lockdep_assert_held(&key->bucket->lock);
	while ((delivery = delivery_of(key))) {
		version = delivery->notice->record.version;
		if (last && last != version)
			nr = min_t(u32, 2 * nr, METASTORE_MAX_SUBSCRIPTIONS);
		last = version;
		/* Keep the lock after the last chunk, lest another delivery begin. */
		if (!delivery_run_chunk(delivery, nr, garbage))
			delivery_yield_bucket(bucket, garbage);
	}
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
 * metastore_key_hurry() - Continue a delivery although other buckets' locks are held
 * @key:	the key, which is busy
 * @nr:		number of subscriptions
 * @garbage:	takes values to be freed after the unlock
 *
 * Context: Caller holds the bucket's lock, which is not released.
 * Return: Whether the delivery is complete.
 */
bool metastore_key_hurry(const struct metastore_key *key, u32 nr,
			 struct metastore_garbage *garbage)
{
	return delivery_run_chunk(delivery_of(key), nr, garbage);
}
