// SPDX-License-Identifier: GPL-2.0
/*
 * Who hears which key, and telling them.
 *
 * A subscription stands in two sets: its key's (the topic, under the bucket's
 * lock) and its open file's (under that one's lock). It is entered and removed
 * with both locks held, so that who holds either sees it in both or in none.
 *
 * Delivery to many: events of one key must reach every queue in the order of
 * versions, yet nobody else in the bucket shall wait for a key with thousands
 * of subscribers. So after each CHUNK of them the bucket's lock is released for
 * a moment, and the topic has a delivery under way. Meanwhile
 *
 * - whoever wants to change this key delivers the next chunk himself, until
 *   there is none left (metastore_topic_lock()): nobody sleeps on a publisher
 *   that is not scheduled;
 * - subscriptions may come, ahead of the bookmark: they do not get this event;
 * - subscriptions may go: the bookmark is an entry of the list itself and does
 *   not mind what happens to its neighbours.
 *
 * A topic with a delivery is not freed, and only the delivery walks its list.
 *
 * The events of a transaction are a group: each queue shall get those it is
 * subscribed to one right behind the other. So all its keys that have subscribers
 * have a delivery under way, and whichever of these comes to an open file first
 * gives its queue the whole group. A subscription that began later is told by the
 * version that its bucket had then: it gets none of it, since its key's delivery
 * may be done and the next one may be ahead.
 */
#include <linux/kernel.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "store.h"
#include "subscription.h"

/*
 * Deliveries under one hold of the bucket's lock; twice that for who completes
 * another's before his own. One costs some 60 to 350 instructions, and as much
 * for each older event it displaces: one, unless it is much larger than they.
 */
#define CHUNK	64

/*
 * One key's subscriptions. Exists while there are any, or a delivery.
 *
 * @subs:	struct metastore_subscription
 * @nr:		their number
 * @delivery:	under way, or NULL; with it nobody but its helpers changes the key
 * @rcu:	for freeing: iterators look at @node without the lock
 * @node:	in the bucket's topics
 */
struct metastore_topic {
	struct list_head subs;
	u32 nr;
	struct metastore_delivery *delivery;
	struct rcu_head rcu;
	struct metastore_node node;
};

/*
 * @source:	the queue's side; that may outlive the rest
 * @events:	mask of METASTORE_EVENT_*; never changes
 * @bucket:	where the topic is; never changes
 * @topic:	what is subscribed to; never changes
 * @in_topic:	in the topic's list
 * @subs:	what the open file is subscribed to; never changes
 * @in_file:	in its tree
 * @since:	the bucket's last version when it began; never changes
 */
struct metastore_subscription {
	struct metastore_source source;
	u32 events;
	struct metastore_bucket *bucket;
	struct metastore_topic *topic;
	struct list_head in_topic;
	struct metastore_subscriptions *subs;
	struct rb_node in_file;
	u64 since;
};

static_assert(offsetof(struct metastore_subscription, source) == 0);

/* The set of topics */

static struct metastore_topic *find_topic(const struct metastore_key *key)
{
	struct metastore_node *node;

	/* Few keys have subscribers; a bucket with none is a common case. */
	if (!key->bucket->topics.nr_nodes)
		return NULL;
	node = metastore_table_find(&key->bucket->topics, key);
	return node ? container_of(node, struct metastore_topic, node) : NULL;
}

static struct metastore_topic *topic_create(const struct metastore_key *key)
{
	size_t size = offsetof(struct metastore_topic, node.key) + key->len;
	struct metastore_topic *topic;

	topic = kmalloc(max(size, sizeof(*topic)), METASTORE_GFP);
	if (!topic)
		return NULL;
	INIT_LIST_HEAD(&topic->subs);
	topic->nr = 0;
	topic->delivery = NULL;
	topic->node.hash = key->hash;
	topic->node.key_len = key->len;
	memcpy(topic->node.key, key->bytes, key->len);
	return topic;
}

static void free_if_unused(struct metastore_bucket *bucket,
			   struct metastore_topic *topic)
{
	lockdep_assert_held(&bucket->lock);
	if (topic->nr || topic->delivery)
		return;
	metastore_table_remove(&bucket->topics, &topic->node);
	kfree_rcu(topic, rcu);
}

/**
 * metastore_topic_subscribers - count the subscriptions to a key
 * @key:	the key
 *
 * Context: with the bucket's lock held.
 */
u32 metastore_topic_subscribers(const struct metastore_key *key)
{
	struct metastore_topic *topic = find_topic(key);

	return topic ? topic->nr : 0;
}

/* The subscriptions of an open file */

/**
 * metastore_subscriptions_init - make an empty set
 * @subs:	the set
 */
void metastore_subscriptions_init(struct metastore_subscriptions *subs)
{
	spin_lock_init(&subs->lock);
	subs->tree = RB_ROOT;
	subs->nr = 0;
	subs->group = 0;
}

static int compare(const struct metastore_key *key, const struct rb_node *rb)
{
	const struct metastore_node *node =
		&rb_entry(rb, struct metastore_subscription, in_file)->topic->node;

	if (key->len != node->key_len)
		return key->len < node->key_len ? -1 : 1;
	return memcmp(key->bytes, node->key, key->len);
}

static int compare_key(const void *key, const struct rb_node *rb)
{
	return compare(key, rb);
}

static int compare_node(struct rb_node *new, const struct rb_node *rb)
{
	const struct metastore_node *node =
		&rb_entry(new, struct metastore_subscription, in_file)->topic->node;
	struct metastore_key key = { .bytes = node->key, .len = node->key_len };

	return compare(&key, rb);
}

/* The subscription to a key, or NULL. With the file's lock held. */
static struct metastore_subscription *
find_subscription(const struct metastore_subscriptions *subs,
		  const struct metastore_key *key)
{
	struct rb_node *rb = rb_find(key, &subs->tree, compare_key);

	return rb ? rb_entry(rb, struct metastore_subscription, in_file) : NULL;
}

/* Delivery */

static bool wants(const struct metastore_subscription *sub,
		  const struct metastore_notice *notice)
{
	return sub->events & notice->record.type || sub->subs == notice->former;
}

static u32 deliver(struct metastore_subscription *sub,
		   const struct metastore_notice *notice,
		   struct metastore_garbage *garbage)
{
	if (!wants(sub, notice))
		return 0;
	return metastore_queue_push(&sub->source, &notice->record, garbage);
}

/*
 * Gives an open file its events of a group, unless it has them. The arrays take
 * 0.8 KiB of the stack, of whoever waits for one of the keys too.
 */
static void deliver_group(struct metastore_subscriptions *subs,
			  struct metastore_group *group,
			  struct metastore_garbage *garbage)
{
	struct metastore_push pushes[METASTORE_ATOMIC_MAX];
	u8 index[METASTORE_ATOMIC_MAX];
	struct metastore_subscription *sub;
	u32 i, nr = 0;

	/* The lock keeps the subscriptions, whatever buckets they are in. */
	spin_lock(&subs->lock);
	if (subs->group == group->id) {
		spin_unlock(&subs->lock);
		return;
	}
	subs->group = group->id;
	for (i = 0; i < group->nr; i++) {
		struct metastore_group_event *event = &group->events[i];

		sub = find_subscription(subs, event->key);
		if (!sub || sub->since >= event->notice.record.version ||
		    !wants(sub, &event->notice))
			continue;
		pushes[nr].source = &sub->source;
		pushes[nr].event = &event->notice.record;
		index[nr++] = i;
	}
	if (nr)
		metastore_queue_push_group(pushes[0].source->queue, pushes, nr, garbage);
	spin_unlock(&subs->lock);
	for (i = 0; i < nr; i++)
		if (pushes[i].taken)
			atomic_inc(&group->events[index[i]].queues);
}

/*
 * Goes on with a topic's delivery, to the next @nr subscriptions, or fewer if each
 * gets several events. Returns whether that was the end of it; then the topic may
 * be gone.
 */
static bool deliver_chunk(struct metastore_bucket *bucket,
			  struct metastore_topic *topic, u32 nr,
			  struct metastore_garbage *garbage)
{
	struct metastore_delivery *delivery = topic->delivery;
	struct metastore_subscription *sub;

	if (delivery->group)
		nr = DIV_ROUND_UP(nr, delivery->group->nr);
	while (nr-- && !list_is_last(&delivery->bookmark, &topic->subs)) {
		sub = list_entry(delivery->bookmark.next,
				 struct metastore_subscription, in_topic);
		list_move(&delivery->bookmark, &sub->in_topic);
		if (delivery->group)
			deliver_group(sub->subs, delivery->group, garbage);
		else
			delivery->queues += deliver(sub, delivery->notice, garbage);
	}
	if (!list_is_last(&delivery->bookmark, &topic->subs))
		return false;
	list_del(&delivery->bookmark);
	topic->delivery = NULL;
	free_if_unused(bucket, topic);
	/* From here on its owner may let go of it. */
	delivery->done = true;
	return true;
}

/* Lets others have the bucket for a moment. */
static void take_breath(struct metastore_bucket *bucket,
			struct metastore_garbage *garbage)
{
	spin_unlock(&bucket->lock);
	metastore_garbage_free(garbage);
	cond_resched();
	spin_lock(&bucket->lock);
}

/**
 * metastore_topic_begin - begin to give an event to the subscribers of a key
 * @topic:	the key's topic, which has no delivery
 * @delivery:	the delivery, with notice and group
 *
 * Context: with the bucket's lock held.
 */
void metastore_topic_begin(struct metastore_topic *topic,
			   struct metastore_delivery *delivery)
{
	topic->delivery = delivery;
	list_add(&delivery->bookmark, &topic->subs);
}

/**
 * metastore_topic_finish - give an event to the rest of the subscribers of a key
 * @bucket:	the key's bucket
 * @topic:	the key's topic; it is only there if @delivery is not done
 * @delivery:	what metastore_topic_begin() was told; somebody who waits for the
 *		key may have done some or all of it
 * @garbage:	takes values to be freed when the lock is released
 *
 * Context: with the bucket's lock held, which is released and taken again if
 * there are many. May sleep.
 */
void metastore_topic_finish(struct metastore_bucket *bucket,
			    struct metastore_topic *topic,
			    struct metastore_delivery *delivery,
			    struct metastore_garbage *garbage)
{
	while (!delivery->done && !deliver_chunk(bucket, topic, CHUNK, garbage))
		take_breath(bucket, garbage);
}

/**
 * metastore_topic_lock - take the bucket's lock in order to change a key
 * @key:	the key
 * @garbage:	takes values to be freed when the lock is released
 *
 * Completes an earlier change's delivery of the same key, if one is under way.
 * With several waiting, always the same might be in between when it is complete
 * and start the next; so who meets yet another one delivers twice as many at a
 * time.
 *
 * Context: may sleep. Returns with the bucket's lock held.
 * Return: the key's topic, to be given to metastore_topic_deliver(), or NULL.
 */
struct metastore_topic *metastore_topic_lock(const struct metastore_key *key,
					     struct metastore_garbage *garbage)
	__acquires(&key->bucket->lock)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_topic *topic;
	u64 version, last = 0;
	u32 nr = CHUNK;

	spin_lock(&bucket->lock);
	while ((topic = find_topic(key)) && topic->delivery) {
		version = topic->delivery->notice->record.version;
		if (last && last != version)
			nr = min_t(u32, 2 * nr, METASTORE_MAX_SUBSCRIPTIONS);
		last = version;
		/* After the last one no breath, lest the next one gets ahead. */
		if (!deliver_chunk(bucket, topic, nr, garbage))
			take_breath(bucket, garbage);
	}
	return topic;
}

/**
 * metastore_topic_find - the topic of a key, for who holds other locks too
 * @key:	the key
 * @busy:	is set to whether it has a delivery under way, so that the key cannot
 *		be changed
 *
 * Context: with the bucket's lock held.
 * Return: the topic, or NULL if there is none.
 */
struct metastore_topic *metastore_topic_find(const struct metastore_key *key, bool *busy)
{
	struct metastore_topic *topic = find_topic(key);

	*busy = topic && topic->delivery;
	return topic;
}

/**
 * metastore_topic_hurry - go on with a delivery although other locks are held
 * @key:	the key, whose topic has a delivery under way
 * @nr:		to how many subscriptions
 * @garbage:	takes values to be freed when the lock is released
 *
 * Context: with the bucket's lock held.
 * Return: whether that was the end of it; then the topic may be gone.
 */
bool metastore_topic_hurry(const struct metastore_key *key, u32 nr,
			   struct metastore_garbage *garbage)
{
	return deliver_chunk(key->bucket, find_topic(key), nr, garbage);
}

/**
 * metastore_topic_deliver - give an event to the subscribers of a key
 * @bucket:	the key's bucket
 * @topic:	what metastore_topic_lock() returned
 * @notice:	the event; the caller sees to it that its value stays meanwhile
 * @garbage:	takes values to be freed when the lock is released
 *
 * Context: with the bucket's lock held, which is released and taken again if
 * there are more than CHUNK subscriptions.
 * Return: the number of queues that took the event.
 */
u32 metastore_topic_deliver(struct metastore_bucket *bucket,
			    struct metastore_topic *topic,
			    const struct metastore_notice *notice,
			    struct metastore_garbage *garbage)
{
	struct metastore_delivery delivery;
	struct metastore_subscription *sub;
	u32 queues = 0;

	if (!topic)
		return 0;
	if (topic->nr > CHUNK) {
		delivery = (struct metastore_delivery) { .notice = notice };
		metastore_topic_begin(topic, &delivery);
		metastore_topic_finish(bucket, topic, &delivery, garbage);
		return delivery.queues;
	}
	list_for_each_entry(sub, &topic->subs, in_topic)
		queues += deliver(sub, notice, garbage);
	return queues;
}

/* Coming and going */

/* Enters a subscription in both sets, with the bucket's lock held. */
static int link_subscription(struct metastore_subscription *sub)
{
	struct metastore_subscriptions *subs = sub->subs;
	int err = 0;

	spin_lock(&subs->lock);
	if (subs->nr >= METASTORE_MAX_SUBSCRIPTIONS)
		err = -ENOBUFS;
	else if (rb_find_add(&sub->in_file, &subs->tree, compare_node))
		err = -EEXIST;
	else
		WRITE_ONCE(subs->nr, subs->nr + 1);
	spin_unlock(&subs->lock);
	if (err)
		return err;
	list_add(&sub->in_topic, &sub->topic->subs);
	sub->topic->nr++;
	sub->bucket->nr_subscriptions++;
	return 0;
}

/*
 * Removes it from both and ends it, with both locks held. As long as the file's
 * lock is held a release of the file waits, and its queue is there.
 */
static void remove_subscription(struct metastore_subscription *sub, bool flushed)
{
	lockdep_assert_held(&sub->bucket->lock);
	lockdep_assert_held(&sub->subs->lock);
	rb_erase(&sub->in_file, &sub->subs->tree);
	WRITE_ONCE(sub->subs->nr, sub->subs->nr - 1);
	list_del(&sub->in_topic);
	sub->topic->nr--;
	sub->bucket->nr_subscriptions--;
	free_if_unused(sub->bucket, sub->topic);
	metastore_source_cancel(&sub->source, flushed);
}

/**
 * metastore_subscribe - subscribe an open file to a key
 * @subs:	what the file is subscribed to
 * @queue:	the file's queue
 * @key:	the key
 * @events:	mask of METASTORE_EVENT_*
 * @cookie:	the subscriber's number for it
 *
 * Context: may sleep.
 * Return: 0; -EEXIST: is subscribed already; -ENOBUFS: too many subscriptions;
 * -ENOMEM.
 */
int metastore_subscribe(struct metastore_subscriptions *subs,
			struct metastore_queue *queue,
			const struct metastore_key *key, u32 events, u64 cookie)
{
	struct metastore_bucket *bucket = key->bucket;
	struct metastore_topic *topic, *new_topic = NULL;
	struct metastore_subscription *sub;
	int err;

	err = metastore_table_prepare(&bucket->topics) ?:
	      metastore_queue_prepare(queue);
	if (err)
		return err;
	sub = kmalloc(sizeof(*sub), METASTORE_GFP);
	new_topic = topic_create(key);
	if (!sub || !new_topic) {
		err = -ENOMEM;
		goto free;
	}
	metastore_source_init(&sub->source, queue, cookie);
	sub->events = events;
	sub->bucket = bucket;
	sub->subs = subs;

	spin_lock(&bucket->lock);
	topic = find_topic(key);
	if (!topic) {
		topic = new_topic;
		new_topic = NULL;
		metastore_table_insert(&bucket->topics, &topic->node);
	}
	sub->topic = topic;
	sub->since = bucket->version;
	err = link_subscription(sub);
	if (!err)
		sub = NULL;
	else
		free_if_unused(bucket, topic);
	spin_unlock(&bucket->lock);
free:
	kfree(new_topic);
	kfree(sub);
	return err;
}

/**
 * metastore_unsubscribe - end an open file's subscription to a key
 * @subs:	what the file is subscribed to
 * @key:	the key
 *
 * Context: takes the bucket's lock and the file's.
 * Return: 0 or -ENOENT.
 */
int metastore_unsubscribe(struct metastore_subscriptions *subs,
			  const struct metastore_key *key)
{
	struct metastore_subscription *sub;
	int err = -ENOENT;

	spin_lock(&key->bucket->lock);
	spin_lock(&subs->lock);
	sub = find_subscription(subs, key);
	if (sub) {
		remove_subscription(sub, false);
		err = 0;
	}
	spin_unlock(&subs->lock);
	spin_unlock(&key->bucket->lock);
	return err;
}

static struct metastore_subscription *
any_subscription(struct metastore_subscriptions *subs)
{
	struct rb_node *rb = subs->tree.rb_node;

	return rb ? rb_entry(rb, struct metastore_subscription, in_file) : NULL;
}

/* The bucket of some subscription of an open file, or NULL if there is none. */
static struct metastore_bucket *
some_bucket(struct metastore_subscriptions *subs)
{
	struct metastore_subscription *sub;
	struct metastore_bucket *bucket;

	spin_lock(&subs->lock);
	sub = any_subscription(subs);
	bucket = sub ? sub->bucket : NULL;
	spin_unlock(&subs->lock);
	return bucket;
}

/**
 * metastore_subscriptions_destroy - end all subscriptions of an open file
 * @subs:	what the file is subscribed to; nobody subscribes it any more
 *
 * Context: takes bucket after bucket's lock. May sleep.
 */
void metastore_subscriptions_destroy(struct metastore_subscriptions *subs)
{
	struct metastore_subscription *sub;
	struct metastore_bucket *bucket;

	while ((bucket = some_bucket(subs))) {
		spin_lock(&bucket->lock);
		spin_lock(&subs->lock);
		/* A flush may have been faster: then it may be another's turn. */
		sub = any_subscription(subs);
		if (sub && sub->bucket == bucket)
			remove_subscription(sub, false);
		spin_unlock(&subs->lock);
		spin_unlock(&bucket->lock);
		cond_resched();
	}
}

/* Ends a subscription that is the topic's oldest; with the last the topic goes. */
static void flush_oldest(struct metastore_topic *topic)
{
	struct metastore_subscription *sub =
		list_last_entry(&topic->subs, struct metastore_subscription, in_topic);
	struct metastore_subscriptions *subs = sub->subs;

	spin_lock(&subs->lock);
	remove_subscription(sub, true);
	spin_unlock(&subs->lock);
}

/**
 * metastore_topic_flush - end all subscriptions to a key
 * @key:	the key
 *
 * As many as there are when this begins, the oldest first, so that it ends
 * however fast others subscribe.
 *
 * Context: takes the bucket's lock, several times if there are many. May sleep.
 * Return: number of subscriptions ended.
 */
u64 metastore_topic_flush(const struct metastore_key *key)
{
	struct metastore_garbage garbage = {};
	struct metastore_topic *topic;
	u32 i, flushed = 0, left = U32_MAX;

	do {
		topic = metastore_topic_lock(key, &garbage);
		left = topic ? min(left, topic->nr) : 0;
		for (i = min_t(u32, left, CHUNK); i; i--, left--, flushed++)
			flush_oldest(topic);
		spin_unlock(&key->bucket->lock);
		metastore_garbage_free(&garbage);
		cond_resched();
	} while (left && !fatal_signal_pending(current));
	return flushed;
}
