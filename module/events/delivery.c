// SPDX-License-Identifier: GPL-2.0
/*
 * Giving an event to all who are to hear of it.
 *
 * Events of one key must reach every queue in the order of versions, yet nobody else
 * in the bucket shall wait for a key with thousands of subscribers. So after each
 * CHUNK of them the bucket's lock is released for a moment, while the delivery is in
 * the bucket's list. Meanwhile
 *
 * - whoever wants to change this key delivers the next chunk himself, until there is
 *   none left (metastore_key_complete()): nobody sleeps on a publisher that is not
 *   scheduled;
 * - subscriptions may come, at the head of their topic's list, which is behind the
 *   walk: they do not get this event, unless their topic's turn is still to come;
 * - subscriptions and topics may go: the walk stands in a section of metastore_srcu,
 *   so they stay in memory, and their links lead on.
 *
 * The events of a transaction are a group: each queue shall get those it is
 * subscribed to one right behind the other. So all its keys that have subscribers
 * have a delivery under way, and whichever of these comes to an open file first
 * gives its queue the whole group. A subscription that began later is told by the
 * number of transactions that there had been then: it gets none of it, since its
 * key's delivery may be done and the next one may be ahead.
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
 * Deliveries under one hold of the bucket's lock; twice that for who completes
 * another's before his own. One costs some 60 to 350 instructions, and as much
 * for each older event it displaces: one, unless it is much larger than they are and
 * the queue was made so long that they count little.
 */
#define CHUNK	64

static inline bool delivery_is_wanted(const struct metastore_subscription *sub,
				      const struct metastore_notice *notice)
{
	return sub->events & notice->mask || sub->subs == notice->former;
}

/*
 * To one subscription, if there is one, and if its turn is now: events of which only
 * the latest waits come behind the others, which must stand together. With the file's
 * lock and its queue's held.
 */
static void delivery_give_if_turn(struct metastore_subscription *sub, u64 id,
				  struct metastore_group_event *event,
				  struct metastore_push_group *pushed)
{
	lockdep_assert_held(&pushed->queue->lock);
	if (!sub || READ_ONCE(sub->since) >= id || !delivery_is_wanted(sub, &event->notice) ||
	    !metastore_queue_has_turn(pushed, sub))
		return;
	if (metastore_queue_push_next(pushed, sub, event->notice.key,
				      &event->notice.record))
		atomic_inc(&event->queues);
}

/* To all subscriptions of a file that an event of a group reaches. */
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
 * Gives an open file its events of a group, unless it has them. Returns how much work
 * it was, in deliveries.
 */
static u32 delivery_give_group(struct metastore_delivery *delivery,
			       struct metastore_subscriptions *subs)
{
	struct metastore_group *group = delivery->group;
	struct metastore_push_group pushed = {};

	/* The lock keeps the subscriptions, whatever topics they are in. */
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
 * Gives the group to the next files, until that was the work of some @nr events. Returns
 * false if there are no more.
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
 * Gives the event to the next subscriptions of the topic that the walk is at, to @nr of
 * them at most, of which as many are left as it returns. There must be as many
 * references, of which each queue takes one. Compiled twice, since it is what matters
 * where there are many.
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

/* Gives the event to the next @nr subscriptions. Returns false if there are no more. */
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

/*
 * Goes on with a delivery, to some @nr subscriptions. Returns whether that was the end of
 * it.
 */
static bool delivery_run_chunk(struct metastore_delivery *delivery, u32 nr,
			       struct metastore_garbage *garbage)
{
	lockdep_assert_held(&delivery->notice->key->bucket->lock);
	delivery->garbage = garbage;
	if (delivery->group ? delivery_run_group(delivery, nr) : delivery_run_event(delivery, nr))
		return false;
	if (!list_empty(&delivery->in_bucket))
		list_del(&delivery->in_bucket);
	/* From here on its owner may let go of it. */
	delivery->done = true;
	return true;
}

/* Lets others have the bucket for a moment. */
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
 * Gives an event to a topic with few subscriptions, under one hold of the lock, when that
 * are all. Returns how many queues took it.
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
	if (group || prefixes)
		delivery->section = metastore_section_begin();
	INIT_LIST_HEAD(&delivery->in_bucket);
	delivery->done = !metastore_walk_start(&delivery->walk, notice->key, topic, prefixes);
	if (delivery->done)
		return;
	/* Then the lock will be released before the end. */
	if (delivery->section < 0 && delivery->walk.topic->nr >= CHUNK)
		delivery->section = metastore_section_begin();
	if (group)
		list_add(&delivery->in_bucket, &notice->key->bucket->deliveries);
}

/**
 * metastore_delivery_begin - begin to give an event to the subscribers of a key
 * @delivery:	is set
 * @notice:	the event, of a key that is not busy; stays as long as @delivery, with its
 *		key and its value
 * @group:	events that go with it, this one included, likewise; or NULL
 *
 * Context: with the bucket's lock held. To be followed by metastore_delivery_finish(),
 * by the same task; without a @group the lock is not released in between.
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
 * metastore_delivery_finish - give an event to the rest of the subscribers of a key
 * @delivery:	the delivery; somebody who waits for the key may have done some or all
 *		of it
 * @garbage:	takes values to be freed when the lock is released
 *
 * Context: with the bucket's lock held, which is released and taken again if
 * there are many. May sleep.
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

/* Is there a subscription to a prefix of the key? */
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
 * metastore_deliver - give an event to the subscribers of a key
 * @notice:	the event, of a key that is not busy, with a reference to its value
 * @garbage:	takes values to be freed when the lock is released
 *
 * Context: with the bucket's lock held, which is released and taken again if
 * there are many. May sleep.
 * Return: how many queues took it.
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
 * metastore_key_complete - complete a delivery of a key that may be under way
 * @key:	the key
 * @garbage:	takes values to be freed when the lock is released
 *
 * With several waiting, always the same might be in between when it is complete
 * and start the next; so who meets yet another one delivers twice as many at a
 * time.
 *
 * Context: with the bucket's lock held, which may be released and taken again. May
 * sleep.
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
		/* After the last one no breath, lest the next one gets ahead. */
		if (!delivery_run_chunk(delivery, nr, garbage))
			delivery_yield_bucket(bucket, garbage);
	}
}

/**
 * metastore_key_is_busy - has a key a delivery under way, so that it cannot be changed?
 * @key:	the key
 *
 * Context: with the bucket's lock held.
 */
bool metastore_key_is_busy(const struct metastore_key *key)
{
	return delivery_of(key);
}

/**
 * metastore_key_hurry - go on with a delivery although other locks are held
 * @key:	the key, which is busy
 * @nr:		to how many subscriptions
 * @garbage:	takes values to be freed when the lock is released
 *
 * Context: with the bucket's lock held.
 * Return: whether that was the end of it.
 */
bool metastore_key_hurry(const struct metastore_key *key, u32 nr,
			 struct metastore_garbage *garbage)
{
	return delivery_run_chunk(delivery_of(key), nr, garbage);
}
