// SPDX-License-Identifier: GPL-2.0
/*
 * The subscriptions of open files: their coming and going.
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
 * metastore_subscriptions_init - make an empty set
 * @subs:	the set
 * @store:	the store that its subscriptions will be about
 * @queue:	where their events shall go
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

/* Keys before prefixes. */
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
 * metastore_subscription_find - find an open file's subscription
 * @subs:	what the file is subscribed to
 * @key:	key or prefix
 *
 * Context: with the file's lock held.
 * Return: the subscription, or NULL.
 */
struct metastore_subscription *
metastore_subscription_find(const struct metastore_subscriptions *subs,
			    const struct metastore_key *key)
{
	struct rb_node *rb = rb_find(key, &subs->tree, subscription_compare_key);

	lockdep_assert_held(&subs->lock);
	return rb ? rb_entry(rb, struct metastore_subscription, in_file) : NULL;
}

/* Counts a subscription where INFO looks for it. With the topic's lock held. */
static void subscription_count(struct metastore_topic *topic, int nr)
{
	lockdep_assert_held(metastore_topic_lock(topic));
	WRITE_ONCE(topic->nr, topic->nr + nr);
	if (topic->bucket)
		topic->bucket->nr_subscriptions += nr;
	else
		WRITE_ONCE(topic->store->prefixes.nr, topic->store->prefixes.nr + nr);
}

/* Enters a subscription in both sets, with the topic's lock held. */
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
 * Removes it from both and ends it, with both locks held. As long as the file's
 * lock is held a release of the file waits, and its queue is there.
 */
static void subscription_remove(struct metastore_subscription *sub, bool flushed)
{
	struct metastore_topic *topic = sub->topic;

	lockdep_assert_held(metastore_topic_lock(sub->topic));
	lockdep_assert_held(&sub->subs->lock);
	rb_erase(&sub->in_file, &sub->subs->tree);
	WRITE_ONCE(sub->subs->nr, sub->subs->nr - 1);
	list_del_rcu(&sub->in_topic);
	subscription_count(topic, -1);
	/* A reader of its snapshot finds the topic by way of the subscription. */
	metastore_queue_detach(sub, flushed);
	metastore_topic_free_if_unused(topic);
}

/*
 * Enters a subscription in the topic of its key, or in @new if there is none yet.
 * Returns -EAGAIN if @preload has not what that takes.
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
	 * Only now: a transaction in between is one that came before, though the
	 * prefix's lock does not keep it away. Till here there was none. Either its
	 * deliveries find the subscription, or it is seen here; pairs with txn_commit().
	 */
	smp_mb();
	WRITE_ONCE(sub->since, READ_ONCE(subs->store->txns));
	metastore_queue_attach(sub);
	return 0;
}

/*
 * Could a file subscribe to it, if need be by way of @topic? -EAGAIN as
 * subscription_enter().
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

/* The first bucket with keys that are subscribed to. */
static u32 subscription_first_bucket(const struct metastore_subscriptions *subs,
				     const struct metastore_key *key)
{
	return key->bucket ? metastore_store_bucket_index(subs->store, key) : 0;
}

/**
 * metastore_subscribe - subscribe an open file to a key or to a prefix
 * @subs:	what the file is subscribed to
 * @key:	key or prefix
 * @args:	what the user wants, checked
 *
 * Context: may sleep.
 * Return: 0; -EEXIST: is subscribed already; -ENOBUFS: too many subscriptions;
 * -ENOMEM.
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
	/* What is refused shall not have displaced events; decided once more below. */
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

/* The lock of a key's or prefix's topic, whether that is there or not. */
static spinlock_t *subscription_lock_of(const struct metastore_subscriptions *subs,
					const struct metastore_key *key)
{
	return key->bucket ? &key->bucket->lock : &subs->store->prefixes.lock;
}

/**
 * metastore_unsubscribe - end an open file's subscription
 * @subs:	what the file is subscribed to
 * @key:	key or prefix
 *
 * Context: takes the topic's lock and the file's.
 * Return: 0 or -ENOENT.
 */
int metastore_unsubscribe(struct metastore_subscriptions *subs,
			  const struct metastore_key *key)
{
	struct metastore_subscription *sub;
	spinlock_t *lock = subscription_lock_of(subs, key);
	int err = -ENOENT;

	spin_lock(lock);
	spin_lock(&subs->lock);
	sub = metastore_subscription_find(subs, key);
	if (sub) {
		subscription_remove(sub, false);
		err = 0;
	}
	spin_unlock(&subs->lock);
	spin_unlock(lock);
	return err;
}

/* Tells about a subscription, with the file's lock held. */
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
	info->pending = books.pending;
}

/**
 * metastore_subscription_tell - tell about an open file's subscription
 * @subs:	what the file is subscribed to
 * @key:	key or prefix
 * @info:	its [out] fields are set
 *
 * Context: takes the file's lock and its queue's.
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

/* The first subscription behind a key or prefix; the very first behind none. */
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
 * metastore_subscription_next - go over the subscriptions of an open file
 * @subs:	what the file is subscribed to
 * @at:		key or prefix of the one before; all 0 for the first. Is set
 * @info:	its [out] fields are set
 *
 * Subscriptions that are there all the time are met exactly once.
 *
 * Context: takes the file's lock and its queue's.
 * Return: whether there is one more.
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

/* The lock of some subscription's topic, or NULL if there is none. */
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
 * metastore_subscriptions_destroy - end all subscriptions of an open file
 * @subs:	what the file is subscribed to; nobody subscribes it any more
 *
 * Context: takes topic after topic's lock. May sleep.
 */
void metastore_subscriptions_destroy(struct metastore_subscriptions *subs)
{
	struct metastore_subscription *sub;
	spinlock_t *lock;	/* of the topic */

	while ((lock = subscription_some_lock(subs))) {
		spin_lock(lock);
		spin_lock(&subs->lock);
		/* A flush may have been faster: then it may be another's turn. */
		sub = subscription_any(subs);
		if (sub && metastore_topic_lock(sub->topic) == lock)
			subscription_remove(sub, false);
		spin_unlock(&subs->lock);
		spin_unlock(lock);
		cond_resched();
	}
}

/**
 * metastore_subscription_flush_oldest - end the oldest subscription to a topic
 * @topic:	the topic, which goes with the last
 *
 * Context: with the topic's lock held; takes the file's and its queue's.
 */
void metastore_subscription_flush_oldest(struct metastore_topic *topic)
{
	struct metastore_subscription *sub =
		list_last_entry(&topic->subs, struct metastore_subscription, in_topic);
	struct metastore_subscriptions *subs = sub->subs;

	lockdep_assert_held(metastore_topic_lock(topic));
	spin_lock(&subs->lock);
	subscription_remove(sub, true);
	spin_unlock(&subs->lock);
}

