// SPDX-License-Identifier: GPL-2.0
/* The subscriptions of an open file: how they are found, listed and reported. */
#include <linux/bitmap.h>
#include <linux/kref.h>
#include <linux/rbtree.h>
#include <linux/string.h>

#include "events/subscription_set.h"

/**
 * metastore_subscriptions_init() - Initialize an empty set
 * @subs:	the set
 * @store:	store of the keys
 * @queue:	queue of the events
 * @id:		number of the open file
 * @release:	frees the open file once the last reference is gone, in any context
 */
void metastore_subscriptions_init(struct metastore_subscriptions *subs,
				  struct metastore_store *store,
				  struct metastore_queue *queue, u64 id,
				  void (*release)(struct kref *refs))
{
	spin_lock_init(&subs->lock);
	subs->store = store;
	subs->queue = queue;
	subs->tree = RB_ROOT;
	subs->topics = RB_ROOT;
	subs->nr_prefixes = 0;
	bitmap_zero(subs->lengths, METASTORE_KEY_MAX + 1);
	subs->nr = 0;
	memset(subs->given, 0, sizeof(subs->given));
	subs->id = id;
	kref_init(&subs->refs);
	subs->release = release;
}

/**
 * metastore_subscriptions_put() - Drop a reference; the last one frees the open file
 * @subs:	the file's subscriptions
 *
 * Context: Any context.
 */
void metastore_subscriptions_put(struct metastore_subscriptions *subs)
{
	kref_put(&subs->refs, subs->release);
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

static const struct metastore_topic *subscription_topic_of(const struct rb_node *rb)
{
	return rb_entry(rb, struct metastore_subscription, by_topic)->topic;
}

static int subscription_compare_topic(const void *topic, const struct rb_node *rb)
{
	const void *other = subscription_topic_of(rb);

	return topic < other ? -1 : topic > other;
}

static bool subscription_topic_less(struct rb_node *a, const struct rb_node *b)
{
	return subscription_topic_of(a) < subscription_topic_of(b);
}

/**
 * metastore_subscription_of_topic() - Find an open file's subscription to a topic
 * @subs:	the file's subscriptions
 * @topic:	the topic, or one that was freed. Only compared, never dereferenced.
 *
 * Context: Caller holds the file's lock.
 * Return: The subscription, or NULL.
 */
struct metastore_subscription *
metastore_subscription_of_topic(const struct metastore_subscriptions *subs,
				const struct metastore_topic *topic)
{
	struct rb_node *rb = rb_find(topic, &subs->topics, subscription_compare_topic);

	lockdep_assert_held(&subs->lock);
	return rb ? rb_entry(rb, struct metastore_subscription, by_topic) : NULL;
}

static void subscription_add_to_topics(struct metastore_subscriptions *subs,
				       struct metastore_subscription *sub)
{
	lockdep_assert_held(&subs->lock);
	rb_add(&sub->by_topic, &subs->topics, subscription_topic_less);
	if (sub->topic->bucket)
		return;
	subs->nr_prefixes++;
	__set_bit(sub->topic->node.key_len, subs->lengths);
}

static void subscription_remove_from_topics(struct metastore_subscriptions *subs,
					    struct metastore_subscription *sub)
{
	lockdep_assert_held(&subs->lock);
	rb_erase(&sub->by_topic, &subs->topics);
	if (!sub->topic->bucket)
		subs->nr_prefixes--;
}

static bool subscription_is_to_length(const struct rb_node *rb, u32 len)
{
	const struct metastore_topic *topic;

	if (!rb)
		return false;
	topic = rb_entry(rb, struct metastore_subscription, in_file)->topic;
	return !topic->bucket && topic->node.key_len == len;
}

/*
 * Forget the length of a prefix unless its open file has others of that length, which are
 * next to it in the tree. @sub is still in the tree.
 */
static void subscription_forget_length(struct metastore_subscriptions *subs,
				       struct metastore_subscription *sub)
{
	u32 len = sub->topic->node.key_len;

	lockdep_assert_held(&subs->lock);
	if (!sub->topic->bucket && !subscription_is_to_length(rb_prev(&sub->in_file), len) &&
	    !subscription_is_to_length(rb_next(&sub->in_file), len))
		__clear_bit(len, subs->lengths);
}

/**
 * metastore_subscription_add() - Add a subscription to its open file's set
 * @sub:	the subscription; its file and topic are set
 *
 * Context: Caller holds the topic's lock and the file's.
 * Return: 0; -ENOBUFS: there are METASTORE_MAX_SUBSCRIPTIONS; -EEXIST: there is one to the
 * same key or prefix.
 */
int metastore_subscription_add(struct metastore_subscription *sub)
{
	struct metastore_subscriptions *subs = sub->subs;

	lockdep_assert_held(&subs->lock);
	if (subs->nr >= METASTORE_MAX_SUBSCRIPTIONS)
		return -ENOBUFS;
	if (rb_find_add(&sub->in_file, &subs->tree, subscription_compare_node))
		return -EEXIST;
	subscription_add_to_topics(subs, sub);
	WRITE_ONCE(subs->nr, subs->nr + 1);
	return 0;
}

/**
 * metastore_subscription_remove() - Remove a subscription from its open file's set
 * @sub:	the subscription
 *
 * Context: Caller holds the topic's lock and the file's.
 */
void metastore_subscription_remove(struct metastore_subscription *sub)
{
	struct metastore_subscriptions *subs = sub->subs;

	lockdep_assert_held(&subs->lock);
	subscription_forget_length(subs, sub);
	rb_erase(&sub->in_file, &subs->tree);
	subscription_remove_from_topics(subs, sub);
	WRITE_ONCE(subs->nr, subs->nr - 1);
}

/**
 * metastore_subscription_any() - Find any subscription of an open file
 * @subs:	the file's subscriptions
 *
 * Context: Caller holds the file's lock.
 * Return: The subscription, or NULL if there is none.
 */
struct metastore_subscription *
metastore_subscription_any(const struct metastore_subscriptions *subs)
{
	struct rb_node *rb = subs->tree.rb_node;

	lockdep_assert_held(&subs->lock);
	return rb ? rb_entry(rb, struct metastore_subscription, in_file) : NULL;
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

static void subscription_copy_key(const struct metastore_subscription *sub,
				  struct metastore_key_buffer *at)
{
	metastore_topic_key(sub->topic, &at->key);
	memcpy(at->bytes, at->key.bytes, at->key.len);
	at->key.bytes = at->bytes;
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
		subscription_copy_key(sub, at);
	}
	spin_unlock(&subs->lock);
	return sub;
}

/**
 * metastore_subscription_go_on() - Go to the next subscription of an open file
 * @subs:	the file's subscriptions
 * @at:		as for metastore_subscription_next()
 *
 * Context: Takes the file's lock.
 * Return: false at the end.
 */
bool metastore_subscription_go_on(struct metastore_subscriptions *subs,
				  struct metastore_key_buffer *at)
{
	struct metastore_subscription *sub;

	spin_lock(&subs->lock);
	sub = subscription_first_behind(subs, &at->key);
	if (sub)
		subscription_copy_key(sub, at);
	spin_unlock(&subs->lock);
	return sub;
}
