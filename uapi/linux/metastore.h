/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * metastore: a string map with publish/subscribe for the whole machine.
 *
 * This header is the complete interface of /dev/metastore; nothing else is
 * needed to write a client.
 *
 * Opening the device gives an open file with an event queue of its own. What
 * reads the store (GET, STAT, LIST, SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBERS, QUEUE,
 * SUBSCRIPTION and read()) needs a descriptor open for reading, what changes it
 * (SET, PUBLISH, DELETE, FLUSH, CREATE) one open for writing; else EBADF. BUCKET,
 * INFO and OPEN need neither, BATCH what its operations need.
 *
 * Rules for every command:
 *
 * - Keys are 1 to METASTORE_KEY_MAX bytes, values 0 bytes to the store's
 *   max_value (see INFO). Both are any bytes with a length; no terminating NUL
 *   is wanted, added or implied.
 * - Pointers are user addresses in a u64. Structures are the same for 32-bit
 *   programs.
 * - Fields are inputs unless marked [out]. Unknown bits in a flags field,
 *   non-zero reserved fields and non-zero bytes of a structure that is longer
 *   than the module knows are refused, so that they can get a meaning later.
 * - Structures grow at their end only. The size a program was built with is
 *   part of the command number; the module accepts shorter (older) and longer
 *   (newer) ones.
 * - A refused command changes nothing. The one exception: when the change is
 *   made and only its [out] fields cannot be copied out, the result is EFAULT
 *   and the change stays.
 *
 * Errors of every command:
 *
 * EBADF	the descriptor is not open for what the command does
 * EFAULT	a pointer is bad
 * EINVAL	key length 0 or above METASTORE_KEY_MAX, unknown flag, reserved
 *		field not zero, structure too short
 * E2BIG	the structure is longer than the module knows and its unknown
 *		part is not zero
 * ENOTTY	unknown command
 * ENOMEM	no memory, or the memory cgroup of the caller is full
 *
 * Further errors stand at each command.
 */
#ifndef _UAPI_LINUX_METASTORE_H
#define _UAPI_LINUX_METASTORE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/** METASTORE_KEY_MAX - longest key in bytes */
#define METASTORE_KEY_MAX	255

/** METASTORE_ANY_BUCKET - for the bucket field: do not narrow to a bucket */
#define METASTORE_ANY_BUCKET	0xffffffffU

/*
 * Flags of what changes a key. Of the first three only one may be given; what
 * they ask is judged before anything else, against the value there is.
 */
#define METASTORE_F_CREATE	0x0001	/* only if there is no value: EEXIST */
#define METASTORE_F_REPLACE	0x0002	/* only if there is one: ENOENT */
#define METASTORE_F_IF_VERSION	0x0004	/* only if it has this version: ESTALE */
#define METASTORE_F_OWNED	0x0008	/* it belongs to this open file */
#define METASTORE_F_STEAL	0x0010	/* even if it belongs to another one */
#define METASTORE_F_WAIT	0x0020	/* PUBLISH: wait for room in the queues
					 * that are lossless
					 */

/** METASTORE_WAIT_FOREVER - as timeout: no end */
#define METASTORE_WAIT_FOREVER	0xffffffffU

/**
 * METASTORE_TTL_MAX - longest time to live in ms: 34 years, 2 to the 40th
 *
 * In ns, and counted from now, that still fits into 63 bits.
 */
#define METASTORE_TTL_MAX	0x10000000000ULL

/**
 * struct metastore_set - arguments of SET and PUBLISH
 * @key:	address of the key
 * @value:	address of the value; not looked at if @value_len is 0
 * @key_len:	length of the key in bytes
 * @value_len:	length of the value in bytes
 * @flags:	METASTORE_F_*
 * @queues:	[out] PUBLISH: number of subscriptions whose queue took the event; a
 *		queue that dropped older events to take it counts, one that has
 *		no room for it does not. SET: 0
 * @version:	METASTORE_F_IF_VERSION: the version that the value must have, 0:
 *		there must be none. [out] version of the stored value; after
 *		EEXIST and ESTALE that of the value there is, 0 if there is none
 * @ttl:	time to live in ms, 1 to METASTORE_TTL_MAX; 0: for ever
 * @timeout:	METASTORE_F_WAIT: how long to wait in ms, METASTORE_WAIT_FOREVER:
 *		without an end, 0: not at all. Else it must be 0
 * @reserved:	must be 0
 *
 * Stores the value under the key, over what was there. SET sends an event to
 * the subscribers of the key that asked for METASTORE_EVENT_SET, PUBLISH to
 * those that asked for METASTORE_EVENT_PUBLISHED.
 *
 * A version is never 0. For one key versions strictly increase, also across
 * DELETE and re-creation, and across reloads of the module unless the real-time
 * clock was set back in between.
 *
 * Owner and time to live belong to the value: the next SET or PUBLISH of the key
 * gives it others, or none.
 *
 * With METASTORE_F_OWNED the value belongs to the open file, not to the process:
 * descriptors made by dup(), inherited over fork() or received over a socket
 * prolong its life. Only through that open file can it be overwritten or
 * deleted, others get EBUSY unless they say METASTORE_F_STEAL. When the file is
 * closed for the last time, however its processes ended, the value is deleted,
 * with an event of type METASTORE_EVENT_DELETED that has the flag
 * METASTORE_EVENT_F_OWNER. The event of a change with METASTORE_F_STEAL that took
 * a value from another open file has METASTORE_EVENT_F_STOLEN; it goes to that
 * file, if it subscribed to the key, whatever its mask of events is.
 *
 * A time to live is counted on CLOCK_BOOTTIME from the moment the value is
 * stored. Once it is over no command finds the value. It is removed, and an event
 * of type METASTORE_EVENT_DELETED with the flag METASTORE_EVENT_F_EXPIRED sent, by
 * a timer with a slack of 1 ms and a kernel worker: never early, and so much later
 * as that worker waits for a CPU and for the values whose time ended before. Until
 * then it counts against the limits of the store.
 *
 * PUBLISH with METASTORE_F_WAIT waits until every subscriber of the event whose
 * queue is lossless (see struct metastore_queue_info) has room for it; then all of them
 * get it, or the call fails and nothing is changed. It waits for no other queue,
 * and nobody else waits for it: meanwhile the key can be changed, and conditions
 * are judged again after each wait. A subscription that begins while it waits is
 * waited for too; one that begins, or whose queue becomes lossless, just as the event
 * is delivered may lose it. So may, of a value that is stolen, its former owner if it
 * did not ask for the event. A queue that can never take the event, since this is
 * larger than it may hold, is not waited for; that counts as a loss. One that holds
 * fewer events than it has subscriptions that get this one is waited for in vain.
 *
 * Errors: EMSGSIZE: @value_len is above the store's max_value. ENOSPC: the
 * store has max_keys keys, or the value would take it above max_bytes, or the
 * values of all private stores above private_bytes. EEXIST, ENOENT, ESTALE: the
 * condition in @flags is not met. EBUSY: the value belongs to another open file.
 * EINVAL: also two conditions, @ttl above METASTORE_TTL_MAX, or METASTORE_F_WAIT
 * elsewhere than in PUBLISH. With METASTORE_F_WAIT: EAGAIN: there is no room, and
 * @timeout is 0 or the descriptor non-blocking. ETIMEDOUT: there was none in
 * time. EINTR: a signal.
 */
struct metastore_set {
	__aligned_u64 key;
	__aligned_u64 value;
	__u32 key_len;
	__u32 value_len;
	__u32 flags;
	__u32 queues;
	__aligned_u64 version;
	__aligned_u64 ttl;
	__u32 timeout;
	__u32 reserved;
};

/* Whose a value is */
#define METASTORE_OWNER_NONE	0	/* nobody's */
#define METASTORE_OWNER_SELF	1	/* of the open file that asks */
#define METASTORE_OWNER_OTHER	2	/* of another one */

/**
 * struct metastore_get - arguments of GET
 * @key:	address of the key
 * @value:	address of the buffer for the value
 * @key_len:	length of the key in bytes
 * @value_len:	size of the buffer in bytes; [out] length of the value
 * @flags:	none yet, must be 0
 * @owner:	[out] METASTORE_OWNER_*: whose the value is. (Where the structure ends
 *		before @ttl it is reserved and must be 0.)
 * @version:	[out] version of the value
 * @ttl:	[out] what is left of its time to live, in ms, rounded up; 0: it
 *		has no end
 *
 * Errors: ENOENT: no such key. ERANGE: the buffer is too small; @value_len is
 * the length needed, @version the version that had it, nothing is copied to
 * the buffer.
 */
struct metastore_get {
	__aligned_u64 key;
	__aligned_u64 value;
	__u32 key_len;
	__u32 value_len;
	__u32 flags;
	__u32 owner;
	__aligned_u64 version;
	__aligned_u64 ttl;
};

/**
 * struct metastore_stat - arguments of STAT
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	none yet, must be 0
 * @version:	[out] version of the value
 * @time:	[out] when it was written, CLOCK_REALTIME in ns
 * @value_len:	[out] length of the value in bytes
 * @tgid:	[out] process that wrote it, as numbered in the initial PID
 *		namespace
 * @uid:	[out] its effective user as the caller's user namespace
 *		sees it; the overflow uid if it has no name there
 * @subscribers: [out] number of subscriptions, as in struct metastore_subscribers
 * @bucket:	[out] bucket the key falls in
 * @reserved:	must be 0
 * @ttl:	[out] what is left of its time to live, as in struct metastore_get
 * @owner:	[out] METASTORE_OWNER_*: whose it is
 * @reserved2:	must be 0
 *
 * All fields are of one moment. Errors: ENOENT: no such key.
 */
struct metastore_stat {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__aligned_u64 version;
	__aligned_u64 time;
	__u32 value_len;
	__s32 tgid;
	__u32 uid;
	__u32 subscribers;
	__u32 bucket;
	__u32 reserved;
	__aligned_u64 ttl;
	__u32 owner;
	__u32 reserved2;
};

/**
 * struct metastore_delete - arguments of DELETE
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	METASTORE_F_IF_VERSION, METASTORE_F_STEAL
 * @version:	METASTORE_F_IF_VERSION: the version that the value must have.
 *		[out] version of the deletion, greater than the value's; after
 *		ESTALE that of the value there is, 0 if there is none
 *
 * Removes the value. Subscriptions to the key stay; those that asked for
 * METASTORE_EVENT_DELETED get an event. Errors: ENOENT: no such key. ESTALE,
 * EBUSY: as in SET.
 */
struct metastore_delete {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__aligned_u64 version;
};

/** METASTORE_FLUSH_SUBSCRIPTIONS - remove matching subscriptions as well */
#define METASTORE_FLUSH_SUBSCRIPTIONS	0x0001
/** METASTORE_FLUSH_STEAL - remove values that belong to other open files as well */
#define METASTORE_FLUSH_STEAL		0x0002

/**
 * struct metastore_flush - arguments of FLUSH
 * @prefix:	address of a prefix; only keys that start with it match. Not
 *		looked at if @prefix_len is 0
 * @prefix_len:	its length in bytes, 0 to METASTORE_KEY_MAX; 0: all keys
 * @bucket:	only keys of this bucket match; METASTORE_ANY_BUCKET: all
 * @flags:	METASTORE_FLUSH_*
 * @reserved:	must be 0
 * @values:	[out] number of values removed
 * @subscriptions: [out] number of subscriptions removed
 *
 * Removes every matching value that was there when the call began, each as
 * DELETE would, with an event of type METASTORE_EVENT_DELETED that has the
 * flag METASTORE_EVENT_F_FLUSH. Other callers see some keys gone before
 * others; values written meanwhile may go or stay. Values that belong to other
 * open files stay, unless METASTORE_FLUSH_STEAL is given.
 *
 * With METASTORE_FLUSH_SUBSCRIPTIONS (CAP_SYS_ADMIN, or the user who made the
 * private store) the subscriptions to matching keys, of all open files, are
 * removed after that, and, unless @bucket narrows it, those to prefixes that
 * themselves start with @prefix. Each open file that lost some reads one
 * METASTORE_EVENT_FLUSHED, behind the events it had.
 *
 * Errors: EPERM: subscriptions without the right. ERANGE: no such bucket.
 * EINTR: a fatal signal; what was removed by then stays removed.
 */
struct metastore_flush {
	__aligned_u64 prefix;
	__u32 prefix_len;
	__u32 bucket;
	__u32 flags;
	__u32 reserved;
	__aligned_u64 values;
	__aligned_u64 subscriptions;
};

/*
 * Types of events. The first three are asked for in the events mask of SUBSCRIBE,
 * the others come without.
 */
#define METASTORE_EVENT_PUBLISHED	0x0001	/* stored by PUBLISH */
#define METASTORE_EVENT_SET		0x0002	/* stored by SET */
#define METASTORE_EVENT_DELETED		0x0004	/* removed */
#define METASTORE_EVENT_SNAPSHOT	0x1000	/* was there already */
#define METASTORE_EVENT_SNAPSHOT_END	0x2000	/* that was all there was */
#define METASTORE_EVENT_LOST		0x4000	/* events were lost */
#define METASTORE_EVENT_FLUSHED		0x8000	/* subscriptions were */

/*
 * In the events mask, in place of METASTORE_EVENT_DELETED: only what was removed
 * so. The event's type is METASTORE_EVENT_DELETED; its flags say which it was.
 */
#define METASTORE_EVENT_BY_DELETE	0x0008	/* DELETE, by itself or in a batch */
#define METASTORE_EVENT_BY_FLUSH	0x0010	/* FLUSH */
#define METASTORE_EVENT_BY_EXPIRY	0x0020	/* its time was over */
#define METASTORE_EVENT_BY_OWNER	0x0040	/* its owner is gone */

/* Flags of SUBSCRIBE, and what SUBSCRIPTION tells */
#define METASTORE_SUBSCRIBE_PREFIX	0x0001	/* to all keys that start so */
#define METASTORE_SUBSCRIBE_SNAPSHOT	0x0002	/* first what is there */
#define METASTORE_SUBSCRIBE_NEWER	0x0004	/* but only what is newer */
#define METASTORE_SUBSCRIBE_LATEST	0x0008	/* the newest event of a key alone */
#define METASTORE_SUBSCRIBE_NO_VALUE	0x0010	/* events without the value */

/**
 * struct metastore_subscribe - arguments of SUBSCRIBE
 * @key:	address of the key, or with METASTORE_SUBSCRIBE_PREFIX of the prefix
 * @key_len:	length of the key in bytes; a prefix may have 0: all keys
 * @events:	mask of METASTORE_EVENT_PUBLISHED, _SET, _DELETED and _BY_*; 0 is
 *		METASTORE_EVENT_PUBLISHED alone
 * @cookie:	any number; it comes back in each event
 * @flags:	METASTORE_SUBSCRIBE_*
 * @reserved:	must be 0
 * @version:	METASTORE_SUBSCRIBE_NEWER: only a value whose version is greater
 *		is in the snapshot; else it must be 0
 *
 * Subscribes the open file (not the process: a descriptor made by dup() or
 * inherited over fork() shares it) to the key, or to every key with the prefix,
 * those included that do not exist yet. Closing the file for the last time
 * unsubscribes. A file can have one subscription to a key and one to each prefix of
 * it; each of those gets an event of its own.
 *
 * With METASTORE_SUBSCRIBE_SNAPSHOT the subscriber first reads the values there
 * are, each in a METASTORE_EVENT_SNAPSHOT, then one METASTORE_EVENT_SNAPSHOT_END,
 * also if there were none. Values are looked up as they are read, and take no room
 * in the queue. Changes of a key come behind its value, and those made before that
 * was read not at all: whoever applies all events in their order, without loss, has
 * at each key what the store has, with neither gap nor double. The snapshot is in
 * the order of LIST, and events of keys that it has passed come in between; so may the
 * deletion of a key that was just being deleted. Of
 * values and waiting events read() takes turns. Only the events that the mask asks
 * for come behind: without METASTORE_EVENT_SET, _PUBLISHED and _DELETED one does
 * not hear of everything.
 *
 * With METASTORE_SUBSCRIBE_LATEST at most one event of each key waits: a further
 * one takes its place, and the one before is counted as conflated. For an exact
 * key that place is reserved (the longest key and value, and
 * METASTORE_VALUE_OVERHEAD and METASTORE_TIE_OVERHEAD, of the queue's bytes, of
 * which such places may take half), so that no event of it is ever lost. For a
 * prefix there is a loss only if more keys have events that wait than the queue
 * holds. Such events do not heed METASTORE_EVENT_F_MORE.
 *
 * With METASTORE_SUBSCRIBE_NO_VALUE events have METASTORE_EVENT_F_NO_VALUE, and
 * value_len 0. They count the value all the same while they wait.
 *
 * Errors: EEXIST: the file is subscribed to the key, or the prefix, already.
 * ENOBUFS: the file has max_subscriptions subscriptions; or there is no place in
 * its queue that can be reserved. EBUSY: the first METASTORE_SUBSCRIBE_LATEST to a
 * prefix, while more than METASTORE_QUEUE_MOVE_MAX events wait. EINVAL: also
 * METASTORE_SUBSCRIBE_NEWER without METASTORE_SUBSCRIBE_SNAPSHOT or with
 * METASTORE_SUBSCRIBE_PREFIX.
 */
struct metastore_subscribe {
	__aligned_u64 key;
	__u32 key_len;
	__u32 events;
	__aligned_u64 cookie;
	__u32 flags;
	__u32 reserved;
	__aligned_u64 version;
};

/**
 * struct metastore_unsubscribe - arguments of UNSUBSCRIBE
 * @key:	address of the key or prefix
 * @key_len:	its length in bytes
 * @flags:	METASTORE_SUBSCRIBE_PREFIX: the subscription to the prefix is meant
 *
 * No event of the subscription is queued once the call returned; those queued
 * by then stay and are read. Of a snapshot nothing further is read, not even its
 * end. Errors: ENOENT: the file is not subscribed to it.
 */
struct metastore_unsubscribe {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
};

/**
 * struct metastore_subscribers - arguments of SUBSCRIBERS
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	none yet, must be 0
 * @subscribers: [out] number of subscriptions to the key and to prefixes of it, of
 *		all open files
 * @reserved:	must be 0
 */
struct metastore_subscribers {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__u32 subscribers;
	__u32 reserved;
};

/**
 * struct metastore_key_bucket - arguments of BUCKET
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	none yet, must be 0
 * @bucket:	[out] bucket the key falls in, from 0
 * @buckets:	[out] number of buckets of the store
 *
 * The answer is the same until the module is unloaded.
 */
struct metastore_key_bucket {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__u32 bucket;
	__u32 buckets;
};

/**
 * struct metastore_list_entry - a key as LIST returns it
 * @len:	length of this entry in bytes, a multiple of 8; the next one
 *		starts that far from this one
 * @header_len:	offset of the key in this entry
 * @key_len:	length of the key in bytes
 * @value_len:	length of the value in bytes
 * @reserved:	0
 * @version:	version of the value
 */
struct metastore_list_entry {
	__u32 len;
	__u16 header_len;
	__u16 key_len;
	__u32 value_len;
	__u32 reserved;
	__aligned_u64 version;
};

/** METASTORE_LIST_MIN - size of the smallest buffer LIST accepts, in bytes */
#define METASTORE_LIST_MIN	512

/**
 * struct metastore_list - arguments of LIST
 * @cursor:	address of the key to go on after, whether it still exists or
 *		not. Not looked at if @cursor_len is 0
 * @prefix:	address of a prefix; only keys that start with it are listed.
 *		Not looked at if @prefix_len is 0
 * @buffer:	address of the buffer for the entries, each a struct
 *		metastore_list_entry followed by the key and padding of zeros
 * @cursor_len:	length of @cursor in bytes; 0: from the start
 * @prefix_len:	length of @prefix in bytes, 0 to METASTORE_KEY_MAX
 * @buffer_len:	size of the buffer in bytes; [out] bytes filled. The module
 *		may fill less than would fit
 * @bucket:	only keys of this bucket; METASTORE_ANY_BUCKET: all
 * @flags:	none yet, must be 0
 * @entries:	[out] number of entries; 0: there are no more
 *
 * To list all keys call with @cursor_len 0, then with the last key received as
 * the cursor, until @entries is 0. The order of keys is the module's own. A key
 * that exists from the first call to the last is listed exactly once, one that
 * comes or goes meanwhile at most once.
 *
 * Errors: EMSGSIZE: @buffer_len is below METASTORE_LIST_MIN. ERANGE: no such
 * bucket. EINTR: a fatal signal.
 */
struct metastore_list {
	__aligned_u64 cursor;
	__aligned_u64 prefix;
	__aligned_u64 buffer;
	__u32 cursor_len;
	__u32 prefix_len;
	__u32 buffer_len;
	__u32 bucket;
	__u32 flags;
	__u32 entries;
};

/* What a module without them refuses as unknown */
#define METASTORE_FEATURE_CONDITIONS	0x0001	/* METASTORE_F_CREATE and so on */
#define METASTORE_FEATURE_OWNERS	0x0002	/* METASTORE_F_OWNED, _STEAL */
#define METASTORE_FEATURE_TTL		0x0004	/* times to live */
#define METASTORE_FEATURE_BATCH		0x0008	/* BATCH */
#define METASTORE_FEATURE_PRIVATE	0x0010	/* CREATE, OPEN */
#define METASTORE_FEATURE_DELIVERY	0x0020	/* METASTORE_SUBSCRIBE_*, QUEUE */
#define METASTORE_FEATURE_WAIT		0x0040	/* METASTORE_F_WAIT */

/**
 * struct metastore_info - arguments of INFO
 * @bucket:	count in this bucket; METASTORE_ANY_BUCKET: in all
 * @flags:	none yet, must be 0
 * @features:	[out] METASTORE_FEATURE_*: what the module can do beyond this
 *		header's first version
 * @buckets:	[out] number of buckets
 * @key_max:	[out] longest key in bytes
 * @max_value:	[out] longest value in bytes
 * @queue_len:	[out] events that an open file's queue holds
 * @queue_bytes: [out] bytes that they may take: each counts its key, its value
 *		and METASTORE_VALUE_OVERHEAD, and while it waits at least
 *		@queue_bytes / (@queue_len + 1)
 * @max_subscriptions: [out] subscriptions that an open file may have
 * @max_keys:	[out] keys that the store may hold
 * @max_bytes:	[out] bytes that they may take: each counts key, value and
 *		METASTORE_VALUE_OVERHEAD
 * @keys:	[out] keys there are
 * @bytes:	[out] bytes that they take, counted as in @max_bytes
 * @subscriptions: [out] subscriptions there are
 * @private_bytes: [out] bytes that all private stores together may take: what
 *		their values count, and 1,024 for each bucket
 *
 * Limits are the store's, whatever @bucket is. Errors: ERANGE: no such bucket.
 */
struct metastore_info {
	__u32 bucket;
	__u32 flags;
	__aligned_u64 features;
	__u32 buckets;
	__u32 key_max;
	__u32 max_value;
	__u32 queue_len;
	__u32 queue_bytes;
	__u32 max_subscriptions;
	__aligned_u64 max_keys;
	__aligned_u64 max_bytes;
	__aligned_u64 keys;
	__aligned_u64 bytes;
	__aligned_u64 subscriptions;
	__aligned_u64 private_bytes;
};

/**
 * METASTORE_VALUE_OVERHEAD - bytes that a value counts beyond key and value
 *
 * It is what the module keeps beside them.
 */
#define METASTORE_VALUE_OVERHEAD	48

/** METASTORE_TIE_OVERHEAD - and beyond that, if it has an owner or a time to live */
#define METASTORE_TIE_OVERHEAD		64

/* What a batch can do; see struct metastore_op */
#define METASTORE_OP_GET	1
#define METASTORE_OP_SET	2
#define METASTORE_OP_DELETE	3
#define METASTORE_OP_PUBLISH	4

/**
 * struct metastore_op - one operation of a BATCH
 * @op:		one METASTORE_OP_*
 * @result:	[out] 0 or the negative errno that the command of that name
 *		would have ended with; -E2BIG: the operation is longer than the
 *		module knows and its unknown part is not zero
 * @key:	as in that command's structure, like all that follows
 * @value:	GET, SET, PUBLISH
 * @key_len:	.
 * @value_len:	GET, SET, PUBLISH
 * @flags:	SET, PUBLISH, DELETE; GET: 0
 * @queues:	[out] PUBLISH
 * @owner:	[out] GET, in the same place
 * @version:	.
 * @ttl:	SET, PUBLISH; [out] GET
 *
 * DELETE: @value, @value_len and @ttl must be 0.
 */
struct metastore_op {
	__u32 op;
	__s32 result;
	__aligned_u64 key;
	__aligned_u64 value;
	__u32 key_len;
	__u32 value_len;
	__u32 flags;
	union {
		__u32 queues;
		__u32 owner;
	};
	__aligned_u64 version;
	__aligned_u64 ttl;
};

#define METASTORE_BATCH_MAX	256	/* operations: so that it ends soon */
#define METASTORE_ATOMIC_MAX	32	/* with METASTORE_BATCH_ATOMIC: that many
					 * locks are held at once
					 */

/** METASTORE_BATCH_ATOMIC - all operations or none, at one moment */
#define METASTORE_BATCH_ATOMIC	0x0001

/**
 * struct metastore_batch - arguments of BATCH
 * @ops:	address of the operations, each a struct metastore_op
 * @nr:		their number, 1 to METASTORE_BATCH_MAX
 * @op_size:	sizeof(struct metastore_op), which may grow; at most 4096
 * @flags:	METASTORE_BATCH_*
 * @failed:	[out] index of the first operation whose result is not 0; with
 *		METASTORE_BATCH_ATOMIC of the one that is the reason for ECANCELED;
 *		@nr if there is none
 *
 * Without METASTORE_BATCH_ATOMIC the operations are done one after the other, as
 * if each were a call of its own; each has its result, and none stops the
 * others.
 *
 * With it there are at most METASTORE_ATOMIC_MAX, of which no two are about the
 * same key. They happen at one moment: no other change, and no other atomic
 * batch, reads included, comes between. If one fails none is done, and the call
 * fails with ECANCELED: the result of that one says why, those of the others are
 * -ECANCELED. A GET that finds no value, -ENOENT, is not a failure, nor is one
 * whose buffer is bad, -EFAULT, which is found out when all is done. A single GET,
 * or a LIST, waits for nobody: in the moment that it takes to store the values it
 * may see some of them stored already and others not yet, each of them whole.
 *
 * Atomic batches of a store take turns; each waits until the events of the one
 * before are in the queues.
 *
 * Each queue gets the events of an atomic batch one right behind the other, with
 * METASTORE_EVENT_F_MORE in all but the last. A LOST record says that members may be
 * missing: with it the batch ends, as far as that flag is concerned.
 *
 * Errors: EINVAL: also @nr is 0 or too large, @op_size too small, a key twice in
 * an atomic batch. E2BIG: also @op_size above 4096. ECANCELED: see above. EFAULT:
 * @ops is bad; a batch that is not atomic has then been done up to there, an atomic
 * one may have been done. EINTR: a fatal signal; likewise, but an atomic one has not.
 */
struct metastore_batch {
	__aligned_u64 ops;
	__u32 nr;
	__u32 op_size;
	__u32 flags;
	__u32 failed;
};

/**
 * struct metastore_create - arguments of CREATE
 * @flags:	none yet, must be 0
 * @open_flags:	as in struct metastore_open
 * @buckets:	number of buckets; 0, here and below: as the store of this
 *		descriptor has it
 * @max_value:	longest value in bytes
 * @queue_len:	events that an open file's queue holds
 * @queue_bytes: bytes that they may take
 * @max_keys:	keys that the store may hold
 * @max_bytes:	bytes that they may take
 *
 * Makes a private store, empty, and returns a descriptor on it. The store is gone
 * with the last descriptor on it, wherever that is. Limits are in the ranges that
 * the module's parameters of the same names have, and INFO tells them.
 *
 * Return: the descriptor. Errors: EINVAL: also a limit out of its range. EPERM: one
 * but @buckets is above that of the store of this descriptor, without
 * CAP_SYS_RESOURCE. ENOSPC:
 * private stores have private_bytes already. EMFILE, ENFILE: too many
 * descriptors.
 */
struct metastore_create {
	__u32 flags;
	__u32 open_flags;
	__u32 buckets;
	__u32 max_value;
	__u32 queue_len;
	__u32 queue_bytes;
	__aligned_u64 max_keys;
	__aligned_u64 max_bytes;
};

/**
 * struct metastore_open - arguments of OPEN
 * @flags:	none yet, must be 0
 * @open_flags:	O_RDONLY, O_WRONLY or O_RDWR of open(2), with O_NONBLOCK and
 *		O_CLOEXEC if wanted
 *
 * Opens the store of the descriptor once more: the new one has an event queue,
 * subscriptions and owned keys of its own. It cannot do more than the descriptor
 * it was made from: open that for reading and writing, and hand out what is
 * narrower.
 *
 * Return: the descriptor. Errors: EACCES: the descriptor is not open for what
 * @open_flags asks. EMFILE, ENFILE: too many descriptors.
 */
struct metastore_open {
	__u32 flags;
	__u32 open_flags;
};

/* Flags of events */
#define METASTORE_EVENT_F_FLUSH		0x0001	/* DELETED: FLUSH did it */
#define METASTORE_EVENT_F_EXPIRED	0x0002	/* DELETED: its time was over */
#define METASTORE_EVENT_F_OWNER		0x0004	/* DELETED: its owner is gone */
#define METASTORE_EVENT_F_STOLEN	0x0008	/* it was taken from its owner */
#define METASTORE_EVENT_F_MORE		0x0010	/* the next event in this queue is
						 * of the same atomic batch
						 */
#define METASTORE_EVENT_F_NO_VALUE	0x0020	/* the value is left out */

/**
 * struct metastore_event - a record that read() returns
 * @len:	length of the record in bytes, a multiple of 8; the next one
 *		starts that far from this one
 * @header_len:	offset of the key in this record; the value follows the key
 *		at once, padding of zeros the value
 * @type:	one METASTORE_EVENT_*
 * @cookie:	the subscription's; 0 in FLUSHED
 * @version:	version of the change
 * @count:	LOST: number of events of the subscription that were lost since
 *		the last such record. FLUSHED: number of subscriptions removed
 * @time:	when the value was written, CLOCK_REALTIME in ns; 0 in LOST and
 *		FLUSHED, as everything below but @flags
 * @value_len:	length of the value in bytes
 * @key_len:	length of the key in bytes
 * @flags:	METASTORE_EVENT_F_*
 * @tgid:	process that wrote the value, as in struct metastore_stat
 * @uid:	its effective user, likewise
 *
 * read() returns whole records, as many as are there and fit, at least one: it
 * never returns 0 for a buffer that has a size. For one key they
 * come in the order of versions. Several readers of one open file get different
 * records. DELETED carries the value that was removed, its writer and its time.
 *
 * A queue holds queue_len events and queue_bytes bytes, or what QUEUE says. When it
 * is full the oldest are dropped, unless it is lossless; an event that does not fit
 * beside what readers are just now copying, or that is reserved, is not taken. Both
 * are counted to their subscription. Each
 * subscription that lost events gets a LOST record before the next event is
 * read, whatever subscription that belongs to. FLUSHED comes behind the events
 * that were queued before subscriptions were removed; several not yet read
 * become one, in the last's place. Neither takes room in the queue.
 *
 * poll() says POLLIN when a record waits; the ioctl FIONREAD gives the size of
 * the next one in bytes, 0 when there is none.
 *
 * With METASTORE_EVENT_F_OWNER a struct metastore_owner_end follows this structure,
 * ahead of the key; @header_len counts it.
 *
 * /proc/PID/fdinfo/FD has a line each of "store:" and "file:" (numbers that tell
 * stores and open files apart as long as the module is loaded), "subscriptions:",
 * "events:" (waiting), "bytes:" (what counts against queue_bytes, with what readers
 * are just now copying), "lost:" (ever) and the rest of struct metastore_queue_info by
 * the names of its fields, with a tab and a decimal number; "policy:" is a word.
 * Behind them each subscription has a line "subscription:", with a tab and, apart
 * by blanks, cookie, events, flags, matched, delivered, conflated, lost, pending, and
 * the key or prefix; what is no printable ASCII character, a blank or a backslash in
 * it is a backslash and three octal digits.
 *
 * Errors of read(): EAGAIN: nothing there and the descriptor is non-blocking.
 * EINTR: a signal, before a record came. EMSGSIZE: the buffer is too small for
 * the next record, which stays. EFAULT: the buffer is bad from the start; where
 * it is bad only further on, read() returns what came before. Events that had
 * been taken for the bad part, up to 16, are counted as lost. EBADF: not open
 * for reading.
 */
struct metastore_event {
	__u32 len;
	__u16 header_len;
	__u16 type;
	__aligned_u64 cookie;
	union {
		__aligned_u64 version;
		__aligned_u64 count;
	};
	__aligned_u64 time;
	__u32 value_len;
	__u16 key_len;
	__u16 flags;
	__s32 tgid;
	__u32 uid;
};

/* How the owner of a value went */
#define METASTORE_END_CLOSED	0	/* it closed the file, or nobody knows */
#define METASTORE_END_EXITED	1	/* it exited */
#define METASTORE_END_KILLED	2	/* a signal killed it */

/**
 * struct metastore_owner_end - who closed the open file that owned a value
 * @tgid:	process that held the last descriptor, as numbered in the initial
 *		PID namespace; 0: the kernel itself closed it, such as one that
 *		was on its way in a socket, or in use by io_uring at the end
 * @how:	one METASTORE_END_*
 * @code:	EXITED: exit status; KILLED: number of the signal; else 0
 */
struct metastore_owner_end {
	__s32 tgid;
	__u16 how;
	__u16 code;
};

/* What happens to an event for which there is no room */
#define METASTORE_QUEUE_DROP_OLDEST	0	/* the oldest that wait are lost */
#define METASTORE_QUEUE_LOSSLESS	1	/* who asked to waits; else it is lost
						 * itself
						 */

/* What QUEUE is to change */
#define METASTORE_QUEUE_SET_LEN		0x0001
#define METASTORE_QUEUE_SET_BYTES	0x0002
#define METASTORE_QUEUE_SET_POLICY	0x0004

/** METASTORE_QUEUE_FACTOR - how much larger than made a queue can be, unprivileged */
#define METASTORE_QUEUE_FACTOR		16

/** METASTORE_QUEUE_MOVE_MAX - events that may wait in a queue that gets another size */
#define METASTORE_QUEUE_MOVE_MAX	4096

/**
 * struct metastore_queue_info - arguments of QUEUE
 * @flags:	METASTORE_QUEUE_SET_*; 0: only tell
 * @policy:	METASTORE_QUEUE_DROP_OLDEST (so it begins) or _LOSSLESS; [out] what
 *		it is now, here and in the next two
 * @max_len:	events that the queue holds, from 1
 * @max_bytes:	bytes that they may take, from 4096; see struct metastore_info
 * @len:	[out] events that wait
 * @bytes:	[out] what counts against @max_bytes
 * @high_len:	[out] most events that ever waited
 * @subscriptions: [out] subscriptions there are
 * @matched:	[out] events that subscriptions ever matched, those of snapshots
 *		included
 * @delivered:	[out] events that were read
 * @conflated:	[out] events that a newer one replaced
 * @lost:	[out] events lost
 * @pending:	[out] events that wait or are just now being read
 * @oldest:	[out] for how many ms the oldest event has been waiting, with the
 *		resolution of the kernel's clock tick; 0: none waits
 *
 * Sets and tells what there is of the open file's event queue. The [out] fields are
 * of one moment. Always @matched = @delivered + @conflated + @lost + @pending, of
 * which subscriptions that have ended are a part; LOST, FLUSHED and SNAPSHOT_END
 * are not counted.
 *
 * A queue that is made smaller loses its oldest events until the rest fits; one that
 * is lossless is not made so small. Fields whose bit in @flags is not set are not
 * looked at.
 *
 * Errors: EINVAL: also an unknown @policy, @max_len or @max_bytes 0 or out of the
 * range that the module's parameters queue_len and queue_bytes have. EPERM: one
 * is above METASTORE_QUEUE_FACTOR times that of the store, without
 * CAP_SYS_RESOURCE. EBUSY: more than METASTORE_QUEUE_MOVE_MAX events wait, of which
 * each would be moved under a lock; or there are more than it would hold, and it is,
 * or becomes, lossless. ENOBUFS: @max_bytes is less than twice what
 * METASTORE_SUBSCRIBE_LATEST reserved.
 */
struct metastore_queue_info {
	__u32 flags;
	__u32 policy;
	__u32 max_len;
	__u32 max_bytes;
	__u32 len;
	__u32 bytes;
	__u32 high_len;
	__u32 subscriptions;
	__aligned_u64 matched;
	__aligned_u64 delivered;
	__aligned_u64 conflated;
	__aligned_u64 lost;
	__aligned_u64 pending;
	__aligned_u64 oldest;
};

/**
 * struct metastore_subscription_info - arguments of SUBSCRIPTION
 * @key:	address of the key or prefix
 * @key_len:	its length in bytes
 * @flags:	METASTORE_SUBSCRIBE_PREFIX: the subscription to the prefix is meant.
 *		[out] METASTORE_SUBSCRIBE_* it was made with; _SNAPSHOT only as
 *		long as the snapshot's end is not read
 * @cookie:	[out] its number
 * @events:	[out] its mask
 * @reserved:	must be 0
 * @matched:	[out] events that it ever matched, and so on, as in
 *		struct metastore_queue_info
 * @delivered:	[out]
 * @conflated:	[out]
 * @lost:	[out]
 * @pending:	[out]
 *
 * Tells the books of one subscription of the open file; they balance as those do.
 * Errors: ENOENT: the file is not subscribed to it.
 */
struct metastore_subscription_info {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__aligned_u64 cookie;
	__u32 events;
	__u32 reserved;
	__aligned_u64 matched;
	__aligned_u64 delivered;
	__aligned_u64 conflated;
	__aligned_u64 lost;
	__aligned_u64 pending;
};

#define METASTORE_IOC_MAGIC	0xE6

#define METASTORE_IOC_INFO \
	_IOWR(METASTORE_IOC_MAGIC, 0x00, struct metastore_info)
#define METASTORE_IOC_GET \
	_IOWR(METASTORE_IOC_MAGIC, 0x01, struct metastore_get)
#define METASTORE_IOC_SET \
	_IOWR(METASTORE_IOC_MAGIC, 0x02, struct metastore_set)
#define METASTORE_IOC_DELETE \
	_IOWR(METASTORE_IOC_MAGIC, 0x03, struct metastore_delete)
#define METASTORE_IOC_PUBLISH \
	_IOWR(METASTORE_IOC_MAGIC, 0x04, struct metastore_set)
#define METASTORE_IOC_SUBSCRIBE \
	_IOWR(METASTORE_IOC_MAGIC, 0x05, struct metastore_subscribe)
#define METASTORE_IOC_UNSUBSCRIBE \
	_IOWR(METASTORE_IOC_MAGIC, 0x06, struct metastore_unsubscribe)
#define METASTORE_IOC_SUBSCRIBERS \
	_IOWR(METASTORE_IOC_MAGIC, 0x07, struct metastore_subscribers)
#define METASTORE_IOC_BUCKET \
	_IOWR(METASTORE_IOC_MAGIC, 0x08, struct metastore_key_bucket)
#define METASTORE_IOC_STAT \
	_IOWR(METASTORE_IOC_MAGIC, 0x09, struct metastore_stat)
#define METASTORE_IOC_LIST \
	_IOWR(METASTORE_IOC_MAGIC, 0x0a, struct metastore_list)
#define METASTORE_IOC_FLUSH \
	_IOWR(METASTORE_IOC_MAGIC, 0x0b, struct metastore_flush)
#define METASTORE_IOC_BATCH \
	_IOWR(METASTORE_IOC_MAGIC, 0x0c, struct metastore_batch)
#define METASTORE_IOC_CREATE \
	_IOWR(METASTORE_IOC_MAGIC, 0x0d, struct metastore_create)
#define METASTORE_IOC_OPEN \
	_IOWR(METASTORE_IOC_MAGIC, 0x0e, struct metastore_open)
#define METASTORE_IOC_QUEUE \
	_IOWR(METASTORE_IOC_MAGIC, 0x0f, struct metastore_queue_info)
#define METASTORE_IOC_SUBSCRIPTION \
	_IOWR(METASTORE_IOC_MAGIC, 0x10, struct metastore_subscription_info)

#endif /* _UAPI_LINUX_METASTORE_H */
