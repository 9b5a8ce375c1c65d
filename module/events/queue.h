/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_QUEUE_H
#define METASTORE_QUEUE_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "store/cgroup.h"
#include "store/value.h"
#include "events/cursor.h"
#include "events/ring.h"

struct metastore_reservation;
struct metastore_limits;
struct metastore_mapped_ring;
struct metastore_queue;
struct metastore_room;
struct metastore_subscriptions;
struct metastore_topic;
struct metastore_user;
struct vm_area_struct;

/**
 * struct metastore_books - counters that account for every matched event
 * @matched:	events that matched, the sum of the other five
 * @delivered:	events that were read
 * @conflated:	events that a newer one replaced
 * @lost:	events that were lost
 * @discarded:	events that the subscriber did not want any more
 * @pending:	events that wait or are in flight
 */
struct metastore_books {
	u64 matched;
	u64 delivered;
	u64 conflated;
	u64 lost;
	u64 discarded;
	u64 pending;
};

/**
 * struct metastore_subscription - an open file's subscription to a key or prefix
 * @queue:	queue of its events. Immutable.
 * @cookie:	the subscriber's number for it. Immutable.
 * @flags:	METASTORE_SUBSCRIBE_*. Immutable.
 * @event_flags: METASTORE_EVENT_F_* added to each of its events. Immutable.
 * @plain:	whether its events need only a place in the ring, unmodified
 * @cancelled:	whether it has ended. No event is enqueued for it any more.
 * @held:	references of LOST and SNAPSHOT_END records in flight, of readers of its
 *		snapshot, and of reservations
 * @linked:	whether it is in its topic's list. Written with the topic's lock held too.
 * @books:	its counters, @pending not in use; see queue_sub_pending()
 * @stale_until: position in the ring: its events ahead of that are discarded
 * @untold:	lost events that no LOST record has reported yet
 * @lossy:	entry in the queue's list while @untold is not 0
 * @latest:	for an exact key with METASTORE_SUBSCRIBE_LATEST: the event that waits,
 *		if @latest.value is set
 * @in_latest:	entry in the queue's list while that event waits
 * @cursor:	position of its snapshot; NULL: it has none, or its SNAPSHOT_END was
 *		delivered
 * @in_snapshots: entry in the queue's list until a reader takes SNAPSHOT_END
 * @snapshots:	number of times that a snapshot was begun anew
 * @rcu:	for freeing after a grace period
 * @events:	mask of METASTORE_EVENT_*. Immutable.
 * @topic:	the key or prefix, with a reference. Immutable.
 * @in_topic:	entry in the topic's list
 * @pins:	walks that pause at it. Protected by the topic's lock.
 * @ended:	whether it has ended. Protected by the topic's lock.
 * @subs:	set of the open file's subscriptions, with a reference. Immutable.
 * @in_file:	node in the tree of @subs by key
 * @by_topic:	node in that by topic
 * @since:	number of the store's transactions when it began; U64_MAX before that.
 *		Written under the topic's lock, read under the file's.
 *
 * Members up to @rcu belong to the queue and are protected by the queue's lock. They
 * stay valid after the subscription has ended: until its last record is read, and until
 * it is in no list. The queue then frees the structure after an RCU grace period. The
 * references keep topic, open file and queue in memory until then.
 *
 * The subscription is removed from topic and file with the locks of both held, but stays in
 * the topic's list while it is pinned, see struct metastore_walk. It is
 * added under the topic's lock, and the file's lock covers only the tree. So a holder
 * of the topic's lock sees it in both or in none. A holder of the file's lock may see
 * it in the tree first.
 */
struct metastore_subscription {
	struct metastore_queue *queue;
	u64 cookie;
	u32 flags;
	u16 event_flags;
	bool plain;
	bool cancelled;
	bool linked;
	u32 held;
	struct metastore_books books;
	u64 stale_until;
	u64 untold;
	struct list_head lossy;
	struct metastore_record latest;
	struct list_head in_latest;
	struct metastore_cursor *cursor;
	struct list_head in_snapshots;
	u32 snapshots;
	struct rcu_head rcu;

	u32 events;
	struct metastore_topic *topic;
	struct list_head in_topic;
	u32 pins;
	bool ended;
	struct metastore_subscriptions *subs;
	struct rb_node in_file;
	struct rb_node by_topic;
	u64 since;
};

/**
 * struct metastore_queue - event queue of one open file
 * @lock:	protects all members but @readers and the immutable ones
 * @readers:	wait queue of readers and pollers
 * @crowd:	wait queue of further pollers, beyond METASTORE_POLLERS. A worker wakes them
 * @crowd_entry: entry in @readers that starts the worker, once @crowd is in use
 * @crowd_work:	the worker
 * @hung_up:	whether the module was ever retired. Written and read without @lock.
 * @ring:	events that wait, except those in @latest. Allocated with the first
 *		subscription, since not every open file has one.
 * @map:	the mapped ring, or NULL. Set only by mmap() and munmap()
 * @cgroup:	memory cgroup that pays for what waits, that of the first subscriber. Immutable
 *		after that.
 * @user:	user that is charged for the queue and its subscriptions. Immutable.
 * @charged:	bytes that @user is charged for what the queue may hold; 0 without a ring
 * @shared:	bytes of values of other cgroups that it refers to, METASTORE_SHARED_BYTES or 0
 * @lossless:	whether a full queue refuses the new event instead of dropping the
 *		oldest. Also read without @lock.
 * @max_bytes:	bytes that values may take
 * @place_bytes: bytes reserved for one exact key's latest event. Immutable.
 * @latest_bytes: bytes reserved for all such events
 * @min_charge:	least charge of a waiting event against @max_bytes, so that no event
 *		displaces very many
 * @fast_bytes:	limit of @bytes on the fast path: up to it, an event needs only a place
 *		in the ring. 0 if @lossless or with a @map.
 * @bytes:	charges of events that wait in the ring, plus true sizes of events in
 *		flight
 * @in_flight:	true size of the events in flight, in bytes
 * @nr_in_flight: number of events in flight
 * @reserved_len: places in the ring reserved for publishers
 * @reserved_bytes: bytes reserved for them
 * @room_wanted: whether a publisher waits for room in this queue
 * @room:	wait state of the store's publishers, woken when room appears.
 *		Immutable.
 * @high_len:	most events that ever waited, updated before events are removed
 * @books:	counters of all subscriptions, ended ones included. @matched and
 *		@pending are not in use; see metastore_queue_tell().
 * @stale_until: the greatest one of all subscriptions that were in this queue
 * @nr_subs:	number of subscriptions, also those that ended and have records to be read
 * @lossy:	subscriptions with losses that no LOST record has reported yet
 * @latest:	subscriptions whose latest event waits, in order of arrival
 * @nr_latest:	length of @latest
 * @latest_size: true size of these events, in bytes
 * @latest_turn: whether the next event comes from @latest, if the ring has one too
 * @snapshots:	subscriptions with a snapshot
 * @snapshot_turn: whether the next record comes from @snapshots, if events wait too
 * @flushed:	subscriptions flushed and not yet reported
 * @flush_at:	events in the ring ahead of that report
 * @flush_at_latest: events in @latest ahead of that report
 */
struct metastore_queue {
	spinlock_t lock;	/* see above */
	wait_queue_head_t readers;
	wait_queue_head_t crowd;
	struct wait_queue_entry crowd_entry;
	struct work_struct crowd_work;
	bool hung_up;
	struct metastore_ring ring;
	struct metastore_mapped_ring *map;
	struct metastore_cgroup cgroup;
	u32 shared;
	struct metastore_user *user;
	u64 charged;
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
	u64 stale_until;
	u32 nr_subs;
	struct list_head lossy;
	struct list_head latest;
	u32 nr_latest;
	u32 latest_size;
	bool latest_turn;
	struct list_head snapshots;
	bool snapshot_turn;
	u64 flushed;
	u32 flush_at;
	u32 flush_at_latest;
};

/**
 * METASTORE_DROPS_AT_ONCE - most events that one push drops
 *
 * An event that needs the room of more is pushed again, after its caller has released the
 * locks. A few, since a chunk of a delivery has 64 pushes.
 */
#define METASTORE_DROPS_AT_ONCE		8

/**
 * METASTORE_SHARED_BYTES - bytes of others' values that a queue refers to
 *
 * A value is charged to its writer's memory cgroup, however long a queue keeps it. A reader
 * that keeps up keeps few. A queue with more bytes than this copies values of writers in
 * other cgroups, at the expense of the queue's own: what a slow reader pins is not the
 * writer's affair. A user with many queues has this for some of them, see
 * metastore_user_share(); the others copy all such values.
 */
#define METASTORE_SHARED_BYTES		SZ_64K

/**
 * METASTORE_POLLERS - most sleepers on one queue that a publisher wakes itself
 *
 * They are woken with the bucket's lock held, a few hundred instructions each.
 */
#define METASTORE_POLLERS		64

/**
 * METASTORE_COPY_COST - bytes that take as long to copy as an allocation
 *
 * Or as the search of an index.
 */
#define METASTORE_COPY_COST	(3 * SZ_1K)

/** METASTORE_COPY_MAX - bytes that are copied under one hold of a bucket's lock */
#define METASTORE_COPY_MAX	SZ_64K

/** enum metastore_pushed - what became of an event */
enum metastore_pushed {
	METASTORE_PUSH_TAKEN,	/* the queue took it, and one of the caller's references */
	METASTORE_PUSH_INDEXED,	/* the same, and it took time: that of the search of an index */
	METASTORE_PUSH_COPIED,	/* the same, and it was copied, which takes time */
	METASTORE_PUSH_REFUSED,	/* the queue did not take it */
	METASTORE_PUSH_AGAIN,	/* METASTORE_DROPS_AT_ONCE were dropped: push it again */
};

static inline bool metastore_push_was_taken(enum metastore_pushed pushed)
{
	return pushed == METASTORE_PUSH_TAKEN || pushed == METASTORE_PUSH_INDEXED ||
	       pushed == METASTORE_PUSH_COPIED;
}

/**
 * struct metastore_push_group - events that are enqueued one right behind the other
 * @queue:	the queue. Its lock is held.
 * @garbage:	takes values of events that are dropped
 * @nr:		number of events that the queue took
 * @drops:	number of events that it dropped for them
 * @passed:	number of events that it removed, since its program had read them
 * @copied:	bytes of events that it copied
 * @more:	whether the ring took an event of the group already
 * @latest:	whether conflating subscriptions have their turn
 * @passed_over: whether there are conflating subscriptions
 */
struct metastore_push_group {
	struct metastore_queue *queue;
	struct metastore_garbage *garbage;
	u32 nr;
	u32 drops;
	u32 passed;
	u32 copied;
	bool more;
	bool latest;
	bool passed_over;
};

void metastore_queue_init(struct metastore_queue *queue,
			  const struct metastore_limits *limits,
			  struct metastore_room *room, struct metastore_user *user);
int metastore_queue_prepare(struct metastore_queue *queue, u32 flags);
int metastore_queue_configure(struct metastore_queue *queue,
			      const struct metastore_queue_info *args, bool *lossless);
void metastore_queue_destroy(struct metastore_queue *queue);

int metastore_queue_admit(struct metastore_subscription *sub,
			  struct metastore_queue *queue,
			  const struct metastore_subscribe *args, u32 first_bucket);
void metastore_queue_dismiss(struct metastore_subscription *sub);
void metastore_queue_attach(struct metastore_subscription *sub);
void metastore_queue_detach(struct metastore_subscription *sub, bool flushed,
			    struct metastore_garbage *discarded);
void metastore_queue_unlink(struct metastore_subscription *sub);
void metastore_queue_resync(struct metastore_subscription *sub,
			    struct metastore_cursor *cursor,
			    struct metastore_garbage *garbage);
void metastore_queue_trim(struct metastore_queue *queue);
void metastore_queue_take_in(struct metastore_queue *queue);
u32 metastore_queue_tell_books(struct metastore_subscription *sub,
			       struct metastore_books *books);

struct metastore_subscription *
metastore_queue_hold_snapshot(struct metastore_queue *queue,
			      struct metastore_cursor **cursor);
void metastore_queue_release_snapshot(struct metastore_subscription *sub,
				      struct metastore_cursor *cursor);
void metastore_queue_snapshot_record(struct metastore_subscription *sub,
				     struct metastore_value *value,
				     struct metastore_record *record);
bool metastore_queue_snapshot_is_over(const struct metastore_subscription *sub,
				      const struct metastore_cursor *cursor);
bool metastore_queue_snapshot_end(struct metastore_subscription *sub,
				  const struct metastore_cursor *cursor,
				  struct metastore_record *record);
void metastore_queue_snapshot_consume(struct metastore_queue *queue,
				      const struct metastore_record *record);
bool metastore_queue_overdraws(const struct metastore_queue *queue,
			       const struct metastore_record *record);

void metastore_queue_push_begin(struct metastore_push_group *group,
				struct metastore_queue *queue, bool latest,
				struct metastore_garbage *garbage);
bool metastore_queue_has_turn(struct metastore_push_group *group,
			      const struct metastore_subscription *sub);
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
void metastore_queue_hang_up(struct metastore_queue *queue);
wait_queue_head_t *metastore_queue_pollers(struct metastore_queue *queue);
bool metastore_queue_may_have_record(struct metastore_queue *queue);
void metastore_queue_pass_on(struct metastore_queue *queue);
int metastore_queue_mmap(struct metastore_queue *queue, struct vm_area_struct *area);
void metastore_queue_tell(struct metastore_queue *queue,
			  struct metastore_queue_info *info);

#endif /* METASTORE_QUEUE_H */
