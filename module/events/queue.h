/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_QUEUE_H
#define METASTORE_QUEUE_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "store/value.h"
#include "events/cursor.h"
#include "events/ring.h"

struct metastore_reservation;
struct metastore_limits;
struct metastore_queue;
struct metastore_room;
struct metastore_subscriptions;
struct metastore_topic;

/**
 * struct metastore_books - what became of the events that were matched
 * @matched:	all of them, always the sum of the others
 * @delivered:	were read
 * @conflated:	were replaced by a newer one
 * @lost:	were lost
 * @pending:	wait or are with a reader
 */
struct metastore_books {
	u64 matched;
	u64 delivered;
	u64 conflated;
	u64 lost;
	u64 pending;
};

/**
 * struct metastore_subscription - an open file's subscription to a key or prefix
 * @queue:	the queue its events go to; never changes
 * @cookie:	the subscriber's number for it; never changes
 * @flags:	METASTORE_SUBSCRIBE_*; never changes
 * @event_flags: METASTORE_EVENT_F_* that its events have beyond their own; never changes
 * @plain:	whether its events need nothing but a place in the ring, as they are
 * @cancelled:	no further events come; freed when nothing refers to it any more
 * @held:	records without a value, with a reader, that point here
 * @books:	its books, without what is pending: that is the rest
 * @untold:	events lost and not yet reported
 * @lossy:	in the queue's list if @untold is not 0
 * @latest:	of an exact key with METASTORE_SUBSCRIBE_LATEST: the event that waits,
 *		if it has a value
 * @in_latest:	in the queue's list if it has
 * @cursor:	how far it has read the values there are, until it has been told that
 *		those were all; NULL: it has, or does not want them
 * @in_snapshots: in the queue's list until a reader takes the end
 * @rcu:	for freeing
 * @events:	mask of METASTORE_EVENT_*; never changes
 * @topic:	what is subscribed to; never changes, and is there as long as this is
 *		in its list
 * @in_topic:	in the topic's list
 * @subs:	what the open file is subscribed to; never changes
 * @in_file:	in its tree
 * @since:	transactions of the store by the time that it began
 *
 * Up to @rcu it is what the queue knows, protected by the queue's lock. This outlives
 * the rest until the reader has been told everything, and deliveries that may be on it;
 * the queue then frees it, by way of metastore_srcu.
 *
 * The rest is entered in the topic and in the file, and removed from them, with the locks
 * of both held, so that who holds either sees it in both or in none.
 */
struct metastore_subscription {
	struct metastore_queue *queue;
	u64 cookie;
	u32 flags;
	u16 event_flags;
	bool plain;
	bool cancelled;
	u32 held;
	struct metastore_books books;
	u64 untold;
	struct list_head lossy;
	struct metastore_record latest;
	struct list_head in_latest;
	struct metastore_cursor *cursor;
	struct list_head in_snapshots;
	struct rcu_head rcu;

	u32 events;
	struct metastore_topic *topic;
	struct list_head in_topic;
	struct metastore_subscriptions *subs;
	struct rb_node in_file;
	u64 since;
};

/**
 * struct metastore_queue - event queue of one open file
 * @lock:	protects the rest but @readers
 * @readers:	who waits for a record
 * @ring:	events that wait, but those of @latest; allocated with the first
 *		subscription, since not every open file has one
 * @lossless:	whether what has no room is lost, rather than what is oldest
 * @max_bytes:	how many bytes the values may take
 * @place_bytes: what the place of one exact key's latest event takes; never changes
 * @latest_bytes:	what all such places take
 * @min_charge:	what a waiting event counts against @max_bytes at least, so
 *		that no event displaces very many
 * @fast_bytes: as long as @bytes are not more than that, an event can simply be
 *		put into the ring if that has a place
 * @bytes:	what waiting events of the ring count, and the true size of those
 *		with readers
 * @in_flight:	the true size of those with readers
 * @reserved_len: events that there must be room for in the ring beyond that
 * @reserved_bytes: and what they count
 * @room_wanted: whether a publisher waits until there is room for one more
 * @room:	whom to tell then; never changes
 * @high_len:	most events that ever waited, as noted before some were taken out
 * @nr_in_flight: number of events with readers
 * @books:	of all subscriptions, those that ended included; without what was matched
 *		and what is pending, which is to be had otherwise
 * @lossy:	subscriptions with events lost and not yet reported
 * @latest:	subscriptions with a latest event that waits, in order
 * @nr_latest:	their number
 * @latest_turn: whether the next event is of @latest, if both have one
 * @snapshots:	subscriptions with a snapshot
 * @snapshot_turn: whether the next record is of @snapshots, if something else waits too
 * @flushed:	subscriptions flushed and not yet reported
 * @flush_at:	records of the ring ahead of that report
 * @flush_at_latest: and those of @latest
 */
struct metastore_queue {
	spinlock_t lock;	/* see above */
	wait_queue_head_t readers;
	struct metastore_ring ring;
	bool lossless;
	u32 max_bytes;
	u32 place_bytes;
	u32 latest_bytes;
	u32 min_charge;
	u64 fast_bytes;
	u64 bytes;
	u64 in_flight;
	u32 nr_in_flight;
	u32 reserved_len;
	u32 reserved_bytes;
	bool room_wanted;
	struct metastore_room *room;
	u32 high_len;
	struct metastore_books books;
	struct list_head lossy;
	struct list_head latest;
	u32 nr_latest;
	bool latest_turn;
	struct list_head snapshots;
	bool snapshot_turn;
	u64 flushed;
	u32 flush_at;
	u32 flush_at_latest;
};

/**
 * struct metastore_push_group - events that are queued one right behind the other
 * @queue:	the queue, whose lock is held
 * @garbage:	takes values of events that were dropped for them
 * @nr:		how many were taken
 * @more:	whether the event ahead in the ring is one of them
 * @latest:	whether it is the turn of those of which only the latest waits
 * @passed_over: whether there are such
 */
struct metastore_push_group {
	struct metastore_queue *queue;
	struct metastore_garbage *garbage;
	u32 nr;
	bool more;
	bool latest;
	bool passed_over;
};

void metastore_room_needed(struct metastore_room *room);

void metastore_queue_init(struct metastore_queue *queue,
			  const struct metastore_limits *limits,
			  struct metastore_room *room);
int metastore_queue_prepare(struct metastore_queue *queue, u32 flags);
int metastore_queue_configure(struct metastore_queue *queue,
			      const struct metastore_queue_info *args);
void metastore_queue_destroy(struct metastore_queue *queue);

int metastore_queue_admit(struct metastore_subscription *sub,
			  struct metastore_queue *queue,
			  const struct metastore_subscribe *args, u32 first_bucket);
void metastore_queue_dismiss(struct metastore_subscription *sub);
void metastore_queue_attach(struct metastore_subscription *sub);
void metastore_queue_detach(struct metastore_subscription *sub, bool flushed);
u32 metastore_queue_tell_books(struct metastore_subscription *sub,
			       struct metastore_books *books);

struct metastore_subscription *
metastore_queue_hold_snapshot(struct metastore_queue *queue,
			      struct metastore_cursor **cursor);
void metastore_queue_release_snapshot(struct metastore_subscription *sub);
void metastore_queue_snapshot_record(struct metastore_subscription *sub,
				     struct metastore_value *value,
				     struct metastore_record *record);
bool metastore_queue_snapshot_end(struct metastore_subscription *sub,
				  struct metastore_record *record);
void metastore_queue_snapshot_consume(struct metastore_queue *queue,
				      const struct metastore_record *record);
bool metastore_queue_overdraws(const struct metastore_queue *queue,
			       const struct metastore_record *record);

void metastore_queue_push_begin(struct metastore_push_group *group,
				struct metastore_queue *queue,
				struct metastore_garbage *garbage);
bool metastore_queue_has_turn(struct metastore_push_group *group,
			      const struct metastore_subscription *sub);
bool metastore_queue_push_latest(struct metastore_push_group *group);
bool metastore_queue_push_next(struct metastore_push_group *group,
			       struct metastore_subscription *sub,
			       const struct metastore_key *key,
			       const struct metastore_record *event);
void metastore_queue_push_end(struct metastore_push_group *group);
int metastore_queue_take(struct metastore_queue *queue,
			 struct metastore_record *records, int max, size_t room);
bool metastore_queue_finish(struct metastore_queue *queue,
			    struct metastore_record *records, int nr,
			    int delivered);
size_t metastore_queue_next_size(struct metastore_queue *queue);
bool metastore_queue_has_record(struct metastore_queue *queue);
void metastore_queue_pass_on(struct metastore_queue *queue);
void metastore_queue_tell(struct metastore_queue *queue,
			  struct metastore_queue_info *info);

#endif /* METASTORE_QUEUE_H */
