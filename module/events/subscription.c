// SPDX-License-Identifier: GPL-2.0
/*
 * How subscriptions begin and end.
 *
 * A subscription is in two sets: the list of its topic and the tree of its open file.
 * The topic's lock is taken before the file's.
 */
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "base/trace.h"
#include "store/bucket.h"
#include "store/store.h"
#include "events/prefix.h"
#include "events/subscription_set.h"

/* Update the counters that INFO and SUBSCRIBERS report, with the topic's lock held. */
static void subscription_count(struct metastore_topic *topic, int nr)
{
	lockdep_assert_held(metastore_topic_lock(topic));
	WRITE_ONCE(topic->nr, topic->nr + nr);
	if (topic->bucket)
		topic->bucket->nr_subscriptions += nr;
	else
		WRITE_ONCE(topic->store->prefixes.nr, topic->store->prefixes.nr + nr);
}

/* Note in the topic whose queues it has, for the fast path of deliveries. */
static void subscription_note_cgroup(struct metastore_subscription *sub)
{
	struct metastore_topic *topic = sub->topic;
	u32 cgroup = sub->queue->cgroup.group;

	lockdep_assert_held(metastore_topic_lock(topic));
	if (topic->len && topic->cgroup != cgroup)
		cgroup = METASTORE_CGROUPS_DIFFER;
	WRITE_ONCE(topic->cgroup, cgroup);
}

/*
 * Add a subscription to its file's tree and its topic's list. The caller holds the
 * topic's lock. Return 0, -ENOBUFS or -EEXIST.
 */
static int subscription_link(struct metastore_subscription *sub)
{
	struct metastore_subscriptions *subs = sub->subs;
	int err;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	spin_lock(&subs->lock);
	err = metastore_subscription_add(sub);
	spin_unlock(&subs->lock);
	if (err)
		return err;
	metastore_topic_get(sub->topic);
	kref_get(&subs->refs);
	sub->linked = true;
	subscription_note_cgroup(sub);
	WRITE_ONCE(sub->topic->len, sub->topic->len + 1);
	list_add_rcu(&sub->in_topic, &sub->topic->subs);
	subscription_count(sub->topic, 1);
	return 0;
}

/**
 * metastore_subscription_unlink() - Remove a subscription from its topic's list
 * @sub:	the subscription, which has ended and is not pinned. The caller must not use it
 *		afterwards.
 *
 * Context: Caller holds the topic's lock; takes the queue's.
 */
void metastore_subscription_unlink(struct metastore_subscription *sub)
{
	struct metastore_topic *topic = sub->topic;

	lockdep_assert_held(metastore_topic_lock(topic));
	list_del_rcu(&sub->in_topic);
	WRITE_ONCE(topic->len, topic->len - 1);
	metastore_queue_unlink(sub);
	metastore_topic_remove_if_unused(topic);
}

/*
 * Remove a subscription from both sets and end it, see metastore_queue_detach(). @how: an
 * end of base/trace.h. The caller holds both locks.
 */
static void subscription_remove(struct metastore_subscription *sub, u32 how,
				struct metastore_garbage *discarded)
{
	lockdep_assert_held(metastore_topic_lock(sub->topic));
	lockdep_assert_held(&sub->subs->lock);
	metastore_subscription_remove(sub);
	subscription_count(sub->topic, -1);
	sub->ended = true;
	trace_metastore_unsubscribe(sub, how);
	metastore_queue_detach(sub, how == METASTORE_TRACE_FLUSHED, discarded);
	if (!sub->pins)
		metastore_subscription_unlink(sub);
}

/*
 * Announce a further queue that may need room reserved for events of a key or prefix, so that
 * publishers with reservations reserve anew. The caller holds the topic's lock.
 */
static void subscription_need_room(struct metastore_store *store, const struct metastore_key *key)
{
	if (key->bucket)
		key->bucket->epoch++;
	else
		WRITE_ONCE(store->prefixes.epoch, store->prefixes.epoch + 1);
}

/* Check whether a topic can be inserted, see metastore_table_has_room(). */
static bool subscription_has_room(const struct metastore_topic *topic,
				  struct metastore_preload *preload)
{
	return metastore_table_has_room(metastore_topic_table(topic), topic->node.hash, preload);
}

/*
 * Add a subscription to the topic of its key, or to @new if there is none yet. Return
 * -EAGAIN if @preload lacks memory for @new, or as subscription_link().
 */
static int subscription_enter(struct metastore_subscription *sub, const struct metastore_key *key,
			      struct metastore_topic **new, struct metastore_preload *preload)
{
	struct metastore_subscriptions *subs = sub->subs;
	struct metastore_topic *topic;
	int err;

	lockdep_assert_held(metastore_topic_lock(*new));
	topic = metastore_topic_find(subs->store, key);
	if (!topic) {
		if (!subscription_has_room(*new, preload))
			return -EAGAIN;
		topic = *new;
		*new = NULL;
		metastore_topic_insert(topic, preload);
	}
	sub->topic = topic;
	err = subscription_link(sub);
	if (err) {
		metastore_topic_remove_if_unused(topic);
		return err;
	}
	/*
	 * Set @since only after the link. Until here it is U64_MAX: no event of a
	 * transaction is enqueued. A transaction may commit in between, since the lock
	 * of prefixes does not exclude it. It then counts as an earlier one. Either its
	 * deliveries find the subscription, or @since includes it. Pairs with smp_mb()
	 * in metastore_group_begin(). The lock is held while a file gets the events of a
	 * transaction, so it gets all of them or none.
	 */
	smp_mb();
	spin_lock(&subs->lock);
	sub->since = READ_ONCE(subs->store->txns.nr);
	spin_unlock(&subs->lock);
	/* After the link. Pairs with metastore_subscriptions_need_room(). */
	if (READ_ONCE(subs->queue->lossless))
		subscription_need_room(subs->store, key);
	metastore_queue_attach(sub);
	return 0;
}

/*
 * Check whether a file can subscribe to a key or prefix. @topic is used if it has no
 * topic yet. Return 0, -ENOBUFS, -EEXIST, or -EAGAIN as subscription_enter().
 */
static int subscription_check(struct metastore_subscriptions *subs, const struct metastore_key *key,
			      const struct metastore_topic *topic,
			      struct metastore_preload *preload)
{
	spinlock_t *lock = metastore_topic_lock(topic);
	int err = 0;

	spin_lock(lock);
	spin_lock(&subs->lock);
	if (subs->nr >= METASTORE_MAX_SUBSCRIPTIONS)
		err = -ENOBUFS;
	else if (metastore_subscription_find(subs, key))
		err = -EEXIST;
	else if (!metastore_topic_find(subs->store, key) &&
		 !subscription_has_room(topic, preload))
		err = -EAGAIN;
	spin_unlock(&subs->lock);
	spin_unlock(lock);
	return err;
}

/* Index of the first bucket that can have keys of the subscription. */
static u32 subscription_first_bucket(const struct metastore_subscriptions *subs,
				     const struct metastore_key *key)
{
	return key->bucket ? metastore_store_bucket_index(subs->store, key) : 0;
}

/**
 * metastore_subscribe() - Subscribe an open file to a key or to a prefix
 * @subs:	the file's subscriptions
 * @key:	key or prefix
 * @args:	the user's arguments, validated
 *
 * Context: Process context, may sleep.
 * Return: 0; -ENOMEM; -EEXIST: the file is already subscribed to it; -ENOBUFS: too many
 * subscriptions, or as metastore_queue_admit(); -EBUSY: as metastore_queue_prepare().
 */
int metastore_subscribe(struct metastore_subscriptions *subs,
			const struct metastore_key *key,
			const struct metastore_subscribe *args)
{
	struct metastore_preload preload = {};
	struct metastore_subscription *sub;
	struct metastore_topic *topic;
	spinlock_t *lock;	/* of the topic */
	int err;

	err = metastore_queue_prepare(subs->queue, args->flags);
	if (err)
		return err;
	sub = kmalloc(sizeof(*sub), METASTORE_GFP);
	topic = metastore_topic_create(subs->store, key);
	err = -ENOMEM;
	if (!sub || !topic)
		goto free;
	err = metastore_table_prepare(metastore_topic_table(topic));
	if (!err && !key->bucket)
		err = metastore_prefix_prepare(&subs->store->prefixes);
	if (err)
		goto free;
	/*
	 * metastore_queue_admit() may drop events, so check for a refusal first. The
	 * check is repeated below.
	 */
	do {
		err = metastore_preload_fill(&preload) ?:
		      subscription_check(subs, key, topic, &preload);
	} while (err == -EAGAIN);
	if (err)
		goto free;
	err = metastore_queue_admit(sub, subs->queue, args,
				    subscription_first_bucket(subs, key));
	if (err)
		goto free;
	sub->events = args->events ?: METASTORE_EVENT_PUBLISHED;
	sub->subs = subs;
	sub->since = U64_MAX;

	lock = metastore_topic_lock(topic);
	do {
		err = metastore_preload_fill(&preload);
		if (err)
			break;
		spin_lock(lock);
		err = subscription_enter(sub, key, &topic, &preload);
		if (!err)
			trace_metastore_subscribe(subs, key, args, 0);
		spin_unlock(lock);
	} while (err == -EAGAIN);
	if (err)
		metastore_queue_dismiss(sub);
	else
		sub = NULL;
free:
	metastore_preload_free(&preload);
	if (topic)
		metastore_topic_put(topic);
	kfree(sub);
	return err;
}

/* The lock of the topic of a key or prefix, whether that topic exists or not. */
static spinlock_t *subscription_lock_of(const struct metastore_subscriptions *subs,
					const struct metastore_key *key)
{
	return key->bucket ? &key->bucket->lock : &subs->store->prefixes.lock;
}

/**
 * metastore_unsubscribe() - End an open file's subscription
 * @subs:	the file's subscriptions
 * @key:	key or prefix
 * @discard:	whether to discard its waiting events and losses
 *
 * Context: Process context, may sleep. Takes the topic's lock, the file's and its queue's.
 * Return: 0 or -ENOENT.
 */
int metastore_unsubscribe(struct metastore_subscriptions *subs,
			  const struct metastore_key *key, bool discard)
{
	spinlock_t *lock = subscription_lock_of(subs, key);
	struct metastore_garbage garbage = {};
	struct metastore_subscription *sub;
	int err = -ENOENT;

	spin_lock(lock);
	spin_lock(&subs->lock);
	sub = metastore_subscription_find(subs, key);
	if (sub) {
		subscription_remove(sub, METASTORE_TRACE_UNSUBSCRIBED,
				    discard ? &garbage : NULL);
		err = 0;
	}
	spin_unlock(&subs->lock);
	spin_unlock(lock);
	metastore_garbage_free(&garbage);
	if (discard)
		metastore_queue_trim(subs->queue);
	return err;
}

/**
 * metastore_resync() - Discard what waits for a subscription and begin a snapshot
 * @subs:	the file's subscriptions
 * @key:	key or prefix
 * @args:	the user's arguments, for the trace
 *
 * Context: Process context, may sleep. Takes the topic's lock, so that a subscription that
 * is just being entered is not seen half-way; then the file's and its queue's.
 * Return: 0, -ENOMEM, or -ENOENT if the file is not subscribed to it.
 */
int metastore_resync(struct metastore_subscriptions *subs, const struct metastore_key *key,
		     const struct metastore_subscribe *args)
{
	spinlock_t *lock = subscription_lock_of(subs, key);
	struct metastore_garbage garbage = {};
	struct metastore_subscription *sub;
	struct metastore_cursor *cursor;

	cursor = metastore_cursor_create(subscription_first_bucket(subs, key), 0);
	if (!cursor)
		return -ENOMEM;
	spin_lock(lock);
	spin_lock(&subs->lock);
	sub = metastore_subscription_find(subs, key);
	if (sub) {
		metastore_queue_resync(sub, cursor, &garbage);
		trace_metastore_subscribe(subs, key, args, 0);
	}
	spin_unlock(&subs->lock);
	spin_unlock(lock);
	metastore_garbage_free(&garbage);
	metastore_queue_trim(subs->queue);
	if (!sub)
		kfree(cursor);
	return sub ? 0 : -ENOENT;
}

/**
 * metastore_subscriptions_need_room() - Announce that a queue has become lossless
 * @subs:	the file's subscriptions
 *
 * A subscription that is not seen here sees that itself, see subscription_enter().
 *
 * Context: Process context, may sleep. Takes the file's lock and those of its topics.
 */
void metastore_subscriptions_need_room(struct metastore_subscriptions *subs)
{
	struct metastore_key_buffer at = {};
	spinlock_t *lock;	/* of the topic */

	while (metastore_subscription_go_on(subs, &at)) {
		lock = subscription_lock_of(subs, &at.key);
		spin_lock(lock);
		subscription_need_room(subs->store, &at.key);
		spin_unlock(lock);
		cond_resched();
	}
}

/* The lock of the topic of any subscription, or NULL if there is no subscription. */
static spinlock_t *subscription_some_lock(struct metastore_subscriptions *subs)
{
	struct metastore_subscription *sub;
	spinlock_t *lock;	/* of the topic */

	spin_lock(&subs->lock);
	sub = metastore_subscription_any(subs);
	lock = sub ? metastore_topic_lock(sub->topic) : NULL;
	spin_unlock(&subs->lock);
	return lock;
}

/**
 * metastore_subscriptions_destroy() - End all subscriptions of an open file
 * @subs:	the file's subscriptions; no further ones can begin
 *
 * Context: Process context, may sleep. Takes the topics' locks one after the other,
 * with the file's lock and its queue's.
 */
void metastore_subscriptions_destroy(struct metastore_subscriptions *subs)
{
	struct metastore_subscription *sub;
	spinlock_t *lock;	/* of the topic */

	while ((lock = subscription_some_lock(subs))) {
		spin_lock(lock);
		spin_lock(&subs->lock);
		/* FLUSH may have ended it: check the lock of the next one. */
		sub = metastore_subscription_any(subs);
		if (sub && metastore_topic_lock(sub->topic) == lock)
			subscription_remove(sub, METASTORE_TRACE_CLOSED, NULL);
		spin_unlock(&subs->lock);
		spin_unlock(lock);
		cond_resched();
	}
}

/**
 * metastore_subscription_flush_oldest() - End the oldest subscription to a topic
 * @topic:	the topic, which is removed with its last subscription
 *
 * Context: Caller holds the topic's lock; takes the file's and its queue's.
 * Return: false if there was none.
 */
bool metastore_subscription_flush_oldest(struct metastore_topic *topic)
{
	struct metastore_subscription *sub;
	struct metastore_subscriptions *subs;

	lockdep_assert_held(metastore_topic_lock(topic));
	/* Those that ended are as few as there are paused walks. */
	list_for_each_entry_reverse(sub, &topic->subs, in_topic) {
		if (sub->ended)
			continue;
		subs = sub->subs;
		spin_lock(&subs->lock);
		subscription_remove(sub, METASTORE_TRACE_FLUSHED, NULL);
		spin_unlock(&subs->lock);
		return true;
	}
	return false;
}
