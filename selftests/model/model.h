/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A plain model of what uapi/linux/metastore.h promises: one store, its open files and
 * their queues. It is arrays and loops, and counts nothing that it can add up.
 *
 * It leaves open what the contract leaves open: what a reader gets first of several
 * records that it may get next, and where the cursor of a snapshot is between two keys
 * that exist. It takes over what only the module can know: versions, which it checks to
 * grow, and the order of LIST.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/metastore.h>

#define MODEL_KEYS	12
#define MODEL_PREFIXES	6
#define MODEL_TOPICS	(MODEL_KEYS + MODEL_PREFIXES)
#define MODEL_FILES	5
#define MODEL_RING	64	/* most events that a queue may be told to hold */
#define MODEL_BATCH	8	/* most operations of a batch */
#define MODEL_CHANGES	(MODEL_KEYS + MODEL_BATCH)

#define MODEL_NOBODY	-1

/* A time that is known to be within these two, in ns; 0 and 0: none */
struct model_span {
	__u64 least;
	__u64 most;
};

struct model_name {
	char bytes[METASTORE_KEY_MAX];
	__u32 len;
};

/**
 * struct model_value - value of a key
 * @refs:	the key that has it, and the changes that tell of it
 * @key:	number of the key
 * @len:	its length in bytes, and what they are, see model_fill()
 * @fill:	see @len
 * @tied:	it counts METASTORE_TIE_OVERHEAD
 * @owner:	number of the open file; MODEL_NOBODY: none
 * @serial:	order in which values were stored
 * @time:	when it was written, by CLOCK_REALTIME
 * @end:	when it expires, by CLOCK_BOOTTIME
 */
struct model_value {
	int refs;
	int key;
	__u32 len;
	__u32 fill;
	bool tied;
	int owner;
	__u64 serial;
	__u64 version;
	struct model_span time;
	struct model_span end;
};

/**
 * struct model_change - change of a key, which is told to subscribers
 * @refs:	events that tell of it, and who makes it
 * @mask:	bits of a subscription's mask, one of which selects it
 * @value:	value that it stored or removed
 * @version:	0: the caller was not told, so the first event tells
 * @newer:	a version that it must be above
 * @former:	open file from which the value was taken; MODEL_NOBODY: none
 * @group:	number of the atomic batch; 0: none
 * @queues:	subscriptions whose queue took it
 */
struct model_change {
	int refs;
	int key;
	__u16 type;
	__u16 flags;
	__u32 mask;
	struct model_value *value;
	__u64 version;
	__u64 newer;
	int former;
	__u64 group;
	__u32 queues;
};

/* Changes that one call makes, in their order */
struct model_changes {
	struct model_change *list[MODEL_CHANGES];
	int nr;
};

struct model_books {
	__u64 matched;
	__u64 delivered;
	__u64 conflated;
	__u64 lost;
	__u64 discarded;
};

/**
 * struct model_event - event that waits
 * @change:	NULL: none
 * @flags:	METASTORE_EVENT_F_*
 * @stale:	it is discarded, and ahead of others
 * @ahead:	of a latest event: it is ahead of FLUSHED
 */
struct model_event {
	struct model_sub *sub;
	struct model_change *change;
	__u16 flags;
	bool stale;
	bool ahead;
};

/**
 * struct model_sub - subscription
 * @topic:	number of its key, or MODEL_KEYS and that of its prefix
 * @ended:	it has events or losses to be read yet
 * @untold:	losses that no LOST told yet
 * @latest:	of an exact key with LATEST: the event that waits
 * @snapshot:	its snapshot is under way
 * @after:	the snapshot has passed keys of this rank and below
 * @before:	and none of this one and above; in between it may have
 * @above:	the snapshot has values of newer versions only
 * @seen:	version of the last event of each key
 */
struct model_sub {
	struct model_sub *next;
	struct model_file *file;
	int topic;
	__u64 cookie;
	__u32 events;
	__u32 flags;
	bool ended;
	struct model_books books;
	__u64 untold;
	struct model_event latest;
	bool snapshot;
	int after;
	int before;
	__u64 above;
	__u64 seen[MODEL_KEYS];
};

/**
 * struct model_file - open file with its queue
 * @mode:	O_RDONLY, O_WRONLY or O_RDWR
 * @subs:	subscriptions, also those that ended and have something to tell
 * @ring:	events that wait, the oldest first, but latest events of exact keys
 * @flushed:	subscriptions that FLUSH ended, not told yet
 * @flush_at:	events of @ring ahead of that record
 * @group:	atomic batch of which the last event read was not the last
 */
struct model_file {
	struct model *model;
	int number;
	int mode;
	bool is_open;
	struct model_sub *subs;
	bool lossless;
	__u32 max_len;
	__u32 max_bytes;
	__u32 high_len;
	struct model_books books;
	struct model_event ring[MODEL_RING];
	int len;
	__u64 flushed;
	int flush_at;
	__u64 group;
};

/**
 * struct model_key - key that may have a value
 * @rank:	its place in the order of LIST
 * @newer:	version that the next change must be above
 */
struct model_key {
	int rank;
	__u32 bucket;
	struct model_value *value;
	__u64 newer;
};

/**
 * struct model - a store
 * @limits:	all of them set
 * @serial:	values stored so far
 * @groups:	atomic batches so far
 */
struct model {
	struct metastore_create limits;
	struct model_key keys[MODEL_KEYS];
	int ranked[MODEL_KEYS];		/* key of each rank */
	struct model_file files[MODEL_FILES];
	__u64 serial;
	__u64 groups;
};

/* value.c: names, values and changes */
extern struct model_name model_names[MODEL_TOPICS];

void model_name_all(void);
bool model_starts(const struct model_name *key, const void *prefix, size_t len);
bool model_matches(int topic, int key);
void model_fill(char *bytes, __u32 len, __u32 fill);
bool model_value_is(const struct model_value *value, const void *bytes, __u32 len);
__u32 model_value_size(const struct model_value *value);
struct model_value *model_value_get(struct model_value *value);
void model_value_put(struct model_value *value);
struct model_change *model_change_new(struct model *m, struct model_value *value, __u16 type,
				      __u16 flags);
void model_change_put(struct model_change *change);
void model_changes_put(struct model_changes *changes);

/* map.c: what an operation does to the map */
int model_check(const struct model_file *f, const struct metastore_op *op);
int model_judge(const struct model_file *f, const struct metastore_op *op,
		struct metastore_op *want);
bool model_has_room(const struct model_file *f, const struct metastore_op *ops, int nr);
void model_apply(struct model_file *f, const struct metastore_op *op,
		 const struct metastore_op *got, struct model_span boottime,
		 struct model_span realtime, struct model_changes *changes);
int model_key_of(const struct metastore_op *op);
int model_owner(const struct model_file *f, const struct model_value *value);
void model_remove(struct model *m, int key, __u16 flags, int by, struct model_changes *changes);
__u64 model_bytes(const struct model *m, __u32 bucket);
int model_nr_keys(const struct model *m, __u32 bucket);
int model_next_key(const struct model *m, int rank, const void *prefix, size_t len,
		   __u32 bucket);

/* subscription.c: how they begin and end */
struct model_sub *model_sub_find(const struct model_file *f, int topic);
bool model_has_place(const struct model_sub *sub);
int model_subscribe(struct model_file *f, int topic, const struct metastore_subscribe *arg);
int model_resync(struct model_file *f, int topic);
int model_unsubscribe(struct model_file *f, int topic, bool discard);
void model_flush_subs(struct model *m, const void *prefix, size_t len, __u32 bucket,
		      __u64 *ended);
int model_nr_subs(const struct model_file *f);
int model_subscribers(const struct model *m, int key);
int model_subscriptions(const struct model *m, __u32 bucket);
void model_sub_free_if_done(struct model_sub *sub);
void model_open(struct model *m, int number, int mode);
void model_close(struct model *m, int number, struct model_changes *changes);

/* snapshot.c: how far a snapshot has been read */
void model_snapshot_begin(struct model_sub *sub, __u64 above);
int model_snapshot_next(const struct model_sub *sub, int rank);
void model_snapshots_looked(struct model_file *f);
bool model_snapshot_may_hear(const struct model_sub *sub, int key);
bool model_snapshot_hears(const struct model_sub *sub, int key);
void model_snapshot_settle(struct model_sub *sub, const struct model_changes *changes,
			   __u64 heard);

/* queue.c: what waits, within the limits */
bool model_push(struct model_sub *sub, struct model_change *change, bool reserved);
bool model_can_hold(const struct model_sub *sub, const struct model_change *change);
bool model_make_room(struct model_file *f, int events, __u64 charge);
bool model_can_wait(const struct model *m, int key, __u32 type, __u32 size);
int model_configure(struct model_file *f, const struct metastore_queue_info *arg);
void model_discard(struct model_sub *sub);
void model_trim(struct model_file *f);
void model_ring_remove(struct model_file *f);
__u64 model_queue_bytes(const struct model_file *f);
__u64 model_place_bytes(const struct model_file *f);
__u64 model_place(const struct model *m);
int model_queue_len(const struct model_file *f);
__u64 model_sub_pending(const struct model_sub *sub);

/* deliver.c: which subscriptions hear of a change */
bool model_wants(const struct model_sub *sub, const struct model_change *change);
void model_deliver(struct model *m, struct model_change *change, bool reserved);
void model_deliver_group(struct model *m, struct model_changes *changes);

/* read.c: what a reader may get */
const char *model_read(struct model_file *f, const struct metastore_event *ev);
int model_next_sizes(struct model_file *f, size_t *sizes);

/* Most sizes that model_next_sizes() tells */
#define MODEL_SIZES	(MODEL_TOPICS * (MODEL_KEYS + 2) + 4)

#endif /* MODEL_H */
