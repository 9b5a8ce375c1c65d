// SPDX-License-Identifier: GPL-2.0
/* The walk of all subscriptions that an event of a key reaches. */
#include <linux/rculist.h>

#include "store/bucket.h"
#include "events/subscription.h"
#include "events/walk.h"

static struct metastore_subscription *walk_next_subscription(const struct metastore_walk *walk)
{
	return list_entry(walk->next, struct metastore_subscription, in_topic);
}

/**
 * metastore_walk_begin() - Begin a walk
 * @walk:	iterator to initialize. It begins paused.
 * @key:	the key, which must stay as long as @walk
 * @topic:	its topic, or NULL
 * @prefixes:	whether to walk subscriptions to prefixes too
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_walk_begin(struct metastore_walk *walk, const struct metastore_key *key,
			  struct metastore_topic *topic, bool prefixes)
{
	lockdep_assert_held(&key->bucket->lock);
	metastore_match_begin(&walk->match, key);
	if (!prefixes)
		walk->match.len = METASTORE_KEY_MAX + 1;
	walk->topic = topic;
	if (topic) {
		walk->next = topic->subs.next;
		walk_next_subscription(walk)->pins++;
	}
}

/**
 * metastore_walk_begin_midway() - Begin a walk of the rest of a key's topic
 * @walk:	iterator, whose topic and next subscription are set. It begins paused.
 * @key:	the key, which must stay as long as @walk
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_walk_begin_midway(struct metastore_walk *walk, const struct metastore_key *key)
{
	lockdep_assert_held(&key->bucket->lock);
	metastore_match_begin(&walk->match, key);
	walk->match.len = METASTORE_KEY_MAX + 1;
	walk_next_subscription(walk)->pins++;
}

/**
 * metastore_walk_next_topic() - Go to the next topic
 * @walk:	the iterator
 *
 * Context: Caller holds the bucket's lock, in an RCU read section.
 * Return: Whether there is one.
 */
bool metastore_walk_next_topic(struct metastore_walk *walk)
{
	walk->topic = metastore_match_next(&walk->match);
	if (!walk->topic)
		return false;
	walk->next = rcu_dereference_raw(list_next_rcu(&walk->topic->subs));
	return true;
}

/* Pin a subscription of a prefix, unless it has left the list. */
static bool walk_try_pin(spinlock_t *lock, struct metastore_subscription *sub)
{
	bool linked;

	spin_lock(lock);
	linked = sub->linked;
	if (linked)
		sub->pins++;
	spin_unlock(lock);
	return linked;
}

/*
 * Pin the subscription to visit next. Return false if the topic has none. A prefix's topic
 * is walked without its lock, so subscriptions may have left the list: their links still
 * lead on until the end of the RCU section.
 */
static bool walk_pin(struct metastore_walk *walk)
{
	struct metastore_topic *topic = walk->topic;

	while (walk->next != &topic->subs) {
		if (topic->bucket) {
			walk_next_subscription(walk)->pins++;
			return true;
		}
		if (walk_try_pin(metastore_topic_lock(topic), walk_next_subscription(walk)))
			return true;
		walk->next = rcu_dereference_raw(list_next_rcu(walk->next));
	}
	return false;
}

/**
 * metastore_walk_pause() - Keep the place of a walk
 * @walk:	the walk
 *
 * Context: Caller holds the bucket's lock. Ends the RCU read section; takes the lock of the
 * store's prefixes.
 */
void metastore_walk_pause(struct metastore_walk *walk)
	__releases(RCU)
{
	lockdep_assert_held(&walk->match.key->bucket->lock);
	if (walk->topic && !walk_pin(walk))
		walk->topic = NULL;
	rcu_read_unlock();
}

/* The last pin removes a subscription that has ended. The caller holds the topic's lock. */
static void walk_unpin(struct metastore_walk *walk)
{
	struct metastore_subscription *sub = walk_next_subscription(walk);

	lockdep_assert_held(metastore_topic_lock(walk->topic));
	if (--sub->pins || !sub->ended)
		return;
	walk->next = sub->in_topic.next;
	metastore_subscription_unlink(sub);
}

/**
 * metastore_walk_resume() - Go on with a paused walk
 * @walk:	the walk
 *
 * Context: Caller holds the bucket's lock. Begins an RCU read section; takes the lock of
 * the store's prefixes, that of a queue under it.
 */
void metastore_walk_resume(struct metastore_walk *walk)
	__acquires(RCU)
{
	struct metastore_topic *topic = walk->topic;
	spinlock_t *lock;	/* of a prefix's topic */

	lockdep_assert_held(&walk->match.key->bucket->lock);
	rcu_read_lock();
	if (!topic)
		return;
	if (topic->bucket) {
		walk_unpin(walk);
		return;
	}
	lock = metastore_topic_lock(topic);
	spin_lock(lock);
	walk_unpin(walk);
	spin_unlock(lock);
}

/**
 * metastore_walk_end() - Give a walk up, or end one that has visited all
 * @walk:	the walk, between metastore_walk_resume() and metastore_walk_pause()
 *
 * Context: Ends the RCU read section.
 */
void metastore_walk_end(struct metastore_walk *walk)
	__releases(RCU)
{
	walk->topic = NULL;
	rcu_read_unlock();
}
