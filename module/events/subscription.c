// SPDX-License-Identifier: GPL-2.0
/*
 * Subscriptions of open files: how they begin and end, and their state.
 *
 * A subscription is in two sets: the list of its topic and the tree of its open file.
 * The topic's lock is taken before the file's.
 */
#include <linux/kernel.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "store/bucket.h"
#include "store/store.h"
#include "events/subscription.h"

/**
 * metastore_subscriptions_init() - Initialize an empty set
 * @subs:	the set
 * @store:	store of the keys
 * @queue:	queue of the events
 */
void metastore_subscriptions_init(struct metastore_subscriptions *subs,
				  struct metastore_store *store,
				  struct metastore_queue *queue)
{
	spin_lock_init(&subs->lock);
	subs->store = store;
	subs->queue = queue;
	subs->tree = RB_ROOT;
	subs->nr = 0;
	subs->group = 0;
}

/* Keys sort before prefixes, then short ones before long ones. */
static int subscription_compare(const struct metastore_key *key, const struct rb_node *rb)
{
	struct metastore_key other;

	metastore_topic_key(rb_entry(rb, struct metastore_subscription, in_file)->topic,
			    &other);
	if (!key->bucket != !other.bucket)
		return !key->bucket - !other.bucket;
	if (key->len != other.len)
		return key->len < other.len ? -1 : 1;
	return memcmp(key->bytes, other.bytes, key->len);
}

static int subscription_compare_key(const void *key, const struct rb_node *rb)
{
	return subscription_compare(key, rb);
}

static int subscription_compare_node(struct rb_node *new, const struct rb_node *rb)
{
	struct metastore_key key;

	metastore_topic_key(rb_entry(new, struct metastore_subscription, in_file)->topic,
			    &key);
	return subscription_compare(&key, rb);
}

/**
 * metastore_subscription_find() - Find an open file's subscription
 * @subs:	the file's subscriptions
 * @key:	key or prefix
 *
 * Context: Caller holds the file's lock.
 * Return: The subscription, or NULL.
 */
struct metastore_subscription *
metastore_subscription_find(const struct metastore_subscriptions *subs,
			    const struct metastore_key *key)
{
	struct rb_node *rb = rb_find(key, &subs->tree, subscription_compare_key);

	lockdep_assert_held(&subs->lock);
	return rb ? rb_entry(rb, struct metastore_subscription, in_file) : NULL;
}

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

/*
 * Add a subscription to its file's tree and its topic's list. The caller holds the
 * topic's lock. Return 0, -ENOBUFS or -EEXIST.
 */
static int subscription_link(struct metastore_subscription *sub)
{
	struct metastore_subscriptions *subs = sub->subs;
	int err = 0;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	spin_lock(&subs->lock);
	if (subs->nr >= METASTORE_MAX_SUBSCRIPTIONS)
		err = -ENOBUFS;
	else if (rb_find_add(&sub->in_file, &subs->tree, subscription_compare_node))
		err = -EEXIST;
	else
		WRITE_ONCE(subs->nr, subs->nr + 1);
	spin_unlock(&subs->lock);
	if (err)
		return err;
	list_add_rcu(&sub->in_topic, &sub->topic->subs);
	subscription_count(sub->topic, 1);
	return 0;
}

/*
 * Remove a subscription from both sets and end it, see metastore_queue_detach(). The
 * caller holds both locks. The file's lock blocks release of the file, so its queue stays.
 */
static void subscription_remove(struct metastore_subscription *sub, bool flushed,
				struct metastore_garbage *discarded)
{
	struct metastore_topic *topic = sub->topic;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	lockdep_assert_held(&sub->subs->lock);
	rb_erase(&sub->in_file, &sub->subs->tree);
	WRITE_ONCE(sub->subs->nr, sub->subs->nr - 1);
	list_del_rcu(&sub->in_topic);
	subscription_count(topic, -1);
	/* Detach first: a snapshot's reader finds the topic through @sub. */
	metastore_queue_detach(sub, flushed, discarded);
	metastore_topic_free_if_unused(topic);
}

/*
 * Add a subscription to the topic of its key, or to @new if there is none yet. Return
 * -EAGAIN if @preload lacks memory for @new, or as subscription_link().
 */
static int subscription_enter(struct metastore_subscription *sub, const struct metastore_key *key,
			      struct metastore_topic **new, struct metastore_topic **fork,
			      struct metastore_preload *preload)
{
	struct metastore_subscriptions *subs = sub->subs;
	struct metastore_topic *topic;
	int err;

	lockdep_assert_held(metastore_topic_lock(*new));
	topic = metastore_topic_find(subs->store, key);
	if (!topic) {
		if (!metastore_topic_has_room(*new, preload))
			return -EAGAIN;
		topic = *new;
		*new = NULL;
		metastore_topic_insert(topic, fork, preload);
	}
	sub->topic = topic;
	err = subscription_link(sub);
	if (err) {
		metastore_topic_free_if_unused(topic);
		return err;
	}
	/*
	 * Set @since only after the link. Until here it is U64_MAX: no event of a
	 * transaction is enqueued. A transaction may commit in between, since the lock
	 * of prefixes does not exclude it. It then counts as an earlier one. Either its
	 * deliveries find the subscription, or @since includes it. Pairs with smp_mb()
	 * in txn_commit(). The lock is held while a file gets the events of a
	 * transaction, so it gets all of them or none.
	 */
	smp_mb();
	spin_lock(&subs->lock);
	sub->since = READ_ONCE(subs->store->txns);
	spin_unlock(&subs->lock);
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
		 !metastore_topic_has_room(topic, preload))
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
	struct metastore_topic *topic, *fork = NULL;
	struct metastore_preload preload = {};
	struct metastore_subscription *sub;
	spinlock_t *lock;	/* of the topic */
	int err;

	err = metastore_queue_prepare(subs->queue, args->flags);
	if (!err && key->bucket)
		err = metastore_table_prepare(&key->bucket->topics);
	if (err)
		return err;
	sub = kmalloc(sizeof(*sub), METASTORE_GFP);
	topic = metastore_topic_create(subs->store, key);
	if (!key->bucket)
		fork = metastore_topic_create(subs->store, key);
	err = -ENOMEM;
	if (!sub || !topic || (!key->bucket && !fork))
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

	if (READ_ONCE(subs->queue->lossless))
		metastore_room_needed(&subs->store->room);
	lock = metastore_topic_lock(topic);
	do {
		err = metastore_preload_fill(&preload);
		if (err)
			break;
		spin_lock(lock);
		err = subscription_enter(sub, key, &topic, &fork, &preload);
		spin_unlock(lock);
	} while (err == -EAGAIN);
	if (err)
		metastore_queue_dismiss(sub);
	else
		sub = NULL;
free:
	metastore_preload_free(&preload);
	kfree(topic);
	kfree(fork);
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
		subscription_remove(sub, false, discard ? &garbage : NULL);
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
 *
 * Context: Process context, may sleep. Takes the topic's lock, so that a subscription that
 * is just being entered is not seen half-way; then the file's and its queue's.
 * Return: 0, -ENOMEM, or -ENOENT if the file is not subscribed to it.
 */
int metastore_resync(struct metastore_subscriptions *subs, const struct metastore_key *key)
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
	if (sub)
		metastore_queue_resync(sub, cursor, &garbage);
	spin_unlock(&subs->lock);
	spin_unlock(lock);
	metastore_garbage_free(&garbage);
	metastore_queue_trim(subs->queue);
	if (!sub)
		kfree(cursor);
	return sub ? 0 : -ENOENT;
}

/* Report the state of a subscription. The caller holds the file's lock. */
static void subscription_fill_info(struct metastore_subscription *sub,
				   struct metastore_subscription_info *info)
{
	struct metastore_books books;

	lockdep_assert_held(&sub->subs->lock);
	info->flags = metastore_queue_tell_books(sub, &books);
	info->cookie = sub->cookie;
	info->events = sub->events;
	info->matched = books.matched;
	info->delivered = books.delivered;
	info->conflated = books.conflated;
	info->lost = books.lost;
	info->discarded = books.discarded;
	info->pending = books.pending;
}

/**
 * metastore_subscription_tell() - Report the state of an open file's subscription
 * @subs:	the file's subscriptions
 * @key:	key or prefix
 * @info:	its [out] fields are set
 *
 * Context: Takes the file's lock and its queue's.
 * Return: 0 or -ENOENT.
 */
int metastore_subscription_tell(struct metastore_subscriptions *subs,
				const struct metastore_key *key,
				struct metastore_subscription_info *info)
{
	struct metastore_subscription *sub;

	spin_lock(&subs->lock);
	sub = metastore_subscription_find(subs, key);
	if (sub)
		subscription_fill_info(sub, info);
	spin_unlock(&subs->lock);
	return sub ? 0 : -ENOENT;
}

/* The first subscription behind a key or prefix; the very first if @key has no bytes. */
static struct metastore_subscription *
subscription_first_behind(const struct metastore_subscriptions *subs,
			  const struct metastore_key *key)
{
	struct metastore_subscription *found = NULL;
	struct rb_node *rb = subs->tree.rb_node;

	lockdep_assert_held(&subs->lock);
	while (rb) {
		if (!key->bytes || subscription_compare(key, rb) < 0) {
			found = rb_entry(rb, struct metastore_subscription, in_file);
			rb = rb->rb_left;
		} else {
			rb = rb->rb_right;
		}
	}
	return found;
}

/**
 * metastore_subscription_next() - Go to the next subscription of an open file
 * @subs:	the file's subscriptions
 * @at:		key or prefix of the previous one, zeroed for the first; set to that of
 *		the next
 * @info:	its [out] fields are set
 *
 * A subscription that exists from the first call to the last is returned exactly once.
 *
 * Context: Takes the file's lock and its queue's.
 * Return: false at the end.
 */
bool metastore_subscription_next(struct metastore_subscriptions *subs,
				 struct metastore_key_buffer *at,
				 struct metastore_subscription_info *info)
{
	struct metastore_subscription *sub;

	spin_lock(&subs->lock);
	sub = subscription_first_behind(subs, &at->key);
	if (sub) {
		subscription_fill_info(sub, info);
		metastore_topic_key(sub->topic, &at->key);
		memcpy(at->bytes, at->key.bytes, at->key.len);
		at->key.bytes = at->bytes;
	}
	spin_unlock(&subs->lock);
	return sub;
}

static struct metastore_subscription *
subscription_any(struct metastore_subscriptions *subs)
{
	struct rb_node *rb = subs->tree.rb_node;

	lockdep_assert_held(&subs->lock);
	return rb ? rb_entry(rb, struct metastore_subscription, in_file) : NULL;
}

/* The lock of the topic of any subscription, or NULL if there is no subscription. */
static spinlock_t *subscription_some_lock(struct metastore_subscriptions *subs)
{
	struct metastore_subscription *sub;
	spinlock_t *lock;	/* of the topic */

	spin_lock(&subs->lock);
	sub = subscription_any(subs);
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
		sub = subscription_any(subs);
		if (sub && metastore_topic_lock(sub->topic) == lock)
			subscription_remove(sub, false, NULL);
		spin_unlock(&subs->lock);
		spin_unlock(lock);
		cond_resched();
	}
}

/**
 * metastore_subscription_flush_oldest() - End the oldest subscription to a topic
 * @topic:	the topic, which is freed with its last subscription
 *
 * Context: Caller holds the topic's lock; takes the file's and its queue's.
 */
void metastore_subscription_flush_oldest(struct metastore_topic *topic)
{
	struct metastore_subscription *sub =
		list_last_entry(&topic->subs, struct metastore_subscription, in_topic);
	struct metastore_subscriptions *subs = sub->subs;

	lockdep_assert_held(metastore_topic_lock(topic));
	spin_lock(&subs->lock);
	subscription_remove(sub, true, NULL);
	spin_unlock(&subs->lock);
}

