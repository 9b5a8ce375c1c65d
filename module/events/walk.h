/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_WALK_H
#define METASTORE_WALK_H

#include <linux/rculist.h>

#include "events/prefix.h"
#include "events/topic.h"

/**
 * struct metastore_walk - iterator over all subscriptions that an event reaches
 * @topic:	present topic; NULL: before the next one
 * @next:	in_topic of the subscription to visit next, or the head of the list
 * @match:	prefixes still to come
 *
 * A walk visits some subscriptions, pauses without locks, and goes on. In between it has
 * a pin on the subscription to visit next. A subscription that ends while it is pinned
 * stays in its topic's list until the last pin goes, so that the walk finds its way. A
 * paused walk keeps one subscription in memory at most. So a descheduled walk delays no
 * grace period.
 *
 * New subscriptions enter at the head of their topic's list: a walk misses those that are
 * added to a topic that it is at or has passed.
 */
struct metastore_walk {
	struct metastore_topic *topic;
	struct list_head *next;
	struct metastore_match match;
};

void metastore_walk_begin(struct metastore_walk *walk, const struct metastore_key *key,
			  struct metastore_topic *topic, bool prefixes);
void metastore_walk_begin_midway(struct metastore_walk *walk, const struct metastore_key *key);
bool metastore_walk_next_topic(struct metastore_walk *walk);
void metastore_walk_pause(struct metastore_walk *walk);
void metastore_walk_resume(struct metastore_walk *walk);
void metastore_walk_end(struct metastore_walk *walk);

/* Check whether the walk has visited all subscriptions of its topic. */
static inline bool metastore_walk_is_past_topic(const struct metastore_walk *walk)
{
	return !walk->topic || walk->next == &walk->topic->subs;
}

/**
 * metastore_walk_step() - Visit the next subscription
 * @walk:	the walk, between metastore_walk_resume() and metastore_walk_pause()
 *
 * Context: Caller holds the bucket's lock, in an RCU read section.
 * Return: The subscription's in_topic, or NULL at the end. The subscription may have ended
 * meanwhile.
 */
static inline struct list_head *metastore_walk_step(struct metastore_walk *walk)
{
	struct list_head *at;

	while (metastore_walk_is_past_topic(walk))
		if (!metastore_walk_next_topic(walk))
			return NULL;
	at = walk->next;
	walk->next = rcu_dereference_raw(list_next_rcu(at));
	return at;
}

#endif /* METASTORE_WALK_H */
