// SPDX-License-Identifier: GPL-2.0
/*
 * Give an open file the events of a group, in parts if they are many.
 *
 * The file keeps how far it got, see struct metastore_given. So any delivery of the group that
 * reaches the file goes on where the last one stopped.
 */
#include <linux/bitmap.h>

#include "events/delivery.h"
#include "events/subscription.h"

/*
 * Subscriptions of one open file that are looked up for the events of a group under one hold
 * of its locks: for 128 keys, those to the key itself and to a prefix of it are adjacent.
 */
#define GROUP_PART	256

/*
 * Push an event of a group to a subscription that wants it, is older than transaction
 * @id and has its turn. NULL: none. Conflating subscriptions have their turn last,
 * since the events of the others must be adjacent. The caller holds the file's lock and
 * the queue's.
 */
static void group_give_if_turn(struct metastore_subscription *sub, u64 id,
			       struct metastore_group_event *event,
			       struct metastore_push_group *pushed)
{
	lockdep_assert_held(&pushed->queue->lock);
	if (!sub || sub->since >= id || !metastore_notice_is_wanted(&event->notice, sub) ||
	    !metastore_queue_has_turn(pushed, sub))
		return;
	if (metastore_queue_push_next(pushed, sub, event->notice.key,
				      &event->notice.record))
		atomic_inc(&event->queues);
}

/* Push the event of a group that comes next to the file's subscription that comes next. */
static void group_give_next(struct metastore_subscriptions *subs,
			    struct metastore_group *group,
			    const struct metastore_given *given,
			    struct metastore_push_group *pushed)
{
	struct metastore_group_event *event = &group->events[given->event];
	struct metastore_subscription *sub = NULL;

	lockdep_assert_held(&subs->lock);
	if (given->step) {
		/* The file's own tree: a search of the store's may take the prefixes' lock. */
		struct metastore_key prefix = {
			.bytes = event->notice.key->bytes,
			.len = given->step - 1,
		};

		sub = metastore_subscription_find(subs, &prefix);
	} else if (event->topic) {
		sub = metastore_subscription_of_topic(subs, event->topic);
	}
	group_give_if_turn(sub, group->id, event, pushed);
}

/* Go on to the next subscription. Return false after the last one of the last event. */
static bool group_give_go_on(struct metastore_given *given,
			     const struct metastore_subscriptions *subs,
			     const struct metastore_group *group)
{
	u32 len = group->events[given->event].notice.key->len, next = len + 1;

	if (subs->nr_prefixes)
		next = find_next_bit(subs->lengths, len + 1, given->step);
	if (next <= len) {
		given->step = next + 1;
		return true;
	}
	given->step = 0;
	return ++given->event < group->nr;
}

/* After the last event: give conflating subscriptions their turn, or note that it was that. */
static void group_give_turn_over(struct metastore_given *given)
{
	given->whole = given->latest || !given->passed_over;
	given->latest = true;
	given->event = 0;
}

/*
 * Push a part of a group, of GROUP_PART subscriptions at most and of one turn. Return the
 * work done, counted in deliveries.
 */
static u32 group_give_part(struct metastore_group *group, struct metastore_subscriptions *subs,
			   struct metastore_given *given, struct metastore_garbage *garbage)
{
	struct metastore_push_group pushed;
	u32 looked = 0;
	bool more;

	lockdep_assert_held(&subs->lock);
	metastore_queue_push_begin(&pushed, subs->queue, given->latest, garbage);
	do {
		group_give_next(subs, group, given, &pushed);
		more = group_give_go_on(given, subs, group);
		looked++;
	} while (more && looked < GROUP_PART);
	given->passed_over |= pushed.passed_over;
	metastore_queue_push_end(&pushed);
	if (!more)
		group_give_turn_over(given);
	return looked + pushed.nr + pushed.drops + pushed.passed +
	       pushed.copied / (METASTORE_COPY_MAX / METASTORE_CHUNK);
}

/**
 * metastore_group_give() - Push a group to an open file, or a part of it, unless it has it
 * @group:	the group
 * @subs:	the file's subscriptions
 * @garbage:	takes values of events that are dropped
 * @whole:	set to whether the file has the whole group now
 *
 * Context: Caller holds a bucket's lock. Takes the file's and its queue's.
 * Return: The work done, counted in deliveries, at least 1.
 */
u32 metastore_group_give(struct metastore_group *group, struct metastore_subscriptions *subs,
			 struct metastore_garbage *garbage, bool *whole)
{
	struct metastore_given *given = &subs->given[group->slot];
	u32 work = 1;

	/* The file's lock keeps the subscriptions, whatever topics they are in. */
	spin_lock(&subs->lock);
	if (given->id != group->id)
		*given = (struct metastore_given) { .id = group->id };
	if (!given->whole)
		work = group_give_part(group, subs, given, garbage);
	*whole = given->whole;
	spin_unlock(&subs->lock);
	return work;
}
