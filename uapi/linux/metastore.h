/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * metastore: a string map with publish/subscribe for the whole machine.
 *
 * This header is the complete interface of /dev/metastore. A client needs
 * nothing else.
 *
 * Each open() of the device gives an open file with its own event queue. A
 * command checks how the descriptor was opened, and fails with EBADF otherwise:
 *
 * - GET, STAT, LIST, SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBERS, QUEUE, SUBSCRIPTION
 *   and read() need a descriptor open for reading.
 * - SET, PUBLISH, DELETE, TOUCH, FLUSH and CREATE need one open for writing, with
 *   METASTORE_F_PREVIOUS for reading as well.
 * - BUCKET, INFO, USER and OPEN need neither.
 * - mmap() at METASTORE_MAP_RING needs one open for both.
 * - BATCH needs what each of its operations needs.
 *
 * Rules for every command:
 *
 * - A key has 1 to METASTORE_KEY_MAX bytes. A value has 0 bytes to the store's
 *   max_value (see INFO). Both may hold any bytes. Their length is explicit: no
 *   terminating NUL is needed, added or implied.
 * - Pointers are user addresses in a u64. Structures are the same for 32-bit
 *   programs.
 * - Fields are inputs unless marked [out].
 * - The module refuses unknown bits in a flags field and non-zero reserved
 *   fields. Later versions can then give them a meaning.
 * - Structures grow only at their end. The command number contains the size the
 *   program was built with. The module accepts shorter (older) and longer
 *   (newer) structures. It refuses a longer one with non-zero bytes beyond the
 *   part it knows.
 * - A refused command changes nothing, with one exception. If the module cannot
 *   copy out the [out] fields after a change, the command fails with EFAULT and
 *   the change stays.
 *
 * Every command returns 0, or a descriptor if it makes one. Errors of every
 * command:
 *
 * EBADF	the descriptor is not open for this command
 * EFAULT	a pointer is bad
 * EINVAL	key length 0 or above METASTORE_KEY_MAX, unknown flag, reserved
 *		field not zero, structure too short
 * E2BIG	the structure is longer than the module knows and its unknown
 *		part is not zero
 * ENOTTY	unknown command
 * ENOMEM	out of memory, or the caller's memory cgroup is full
 * ENODEV	the module is retired, see below
 *
 * Each open file belongs to the user that opened it: the effective uid of the task
 * that called open(), CREATE or OPEN, in its user namespace. That user pays for what the file
 * pins, also if the descriptor is passed on. A command that would exceed a limit of
 * the user fails with EDQUOT, see struct metastore_user_info. A limit of the store
 * gives ENOSPC, one of the open file ENOBUFS. open() itself fails with EDQUOT too.
 *
 * Replacing the module: whoever has CAP_SYS_MODULE retires it by the parameter "retired". From
 * then on each command fails with ENODEV, and so does open(). read() gives the records that
 * wait, then ENODEV. poll() reports POLLHUP, at once also to those that wait. A program
 * closes the descriptor then, and opens the device again once that succeeds: in a new
 * module, which has the values, greater versions, and neither subscriptions nor owned keys. An
 * open file that was opened with O_EXCL by a task with CAP_SYS_MODULE is exempt, and so
 * is one that it makes by OPEN. Once the parameter is set, only exempt files change
 * values, and values end that expire or whose owner closes. A BATCH under way gives ENODEV as
 * the result of an operation, and if it is atomic fails with ECANCELED. The parameter
 * "newest_version" tells the newest version. Given when a module is loaded, it is one that all
 * versions are greater than. mstore(1) does all this by "mstore upgrade".
 *
 * Further errors are listed at each command.
 */
#ifndef _UAPI_LINUX_METASTORE_H
#define _UAPI_LINUX_METASTORE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/** METASTORE_KEY_MAX - longest key in bytes */
#define METASTORE_KEY_MAX	255

/** METASTORE_ANY_BUCKET - value of a bucket field that selects all buckets */
#define METASTORE_ANY_BUCKET	0xffffffffU

/*
 * Flags of commands that change a key. The first three are conditions; at most
 * one may be given. The module checks it against the present value before it
 * looks at the owner and the limits of the store.
 */
#define METASTORE_F_CREATE	0x0001	/* fail with EEXIST if a value exists */
#define METASTORE_F_REPLACE	0x0002	/* fail with ENOENT if none exists */
#define METASTORE_F_IF_VERSION	0x0004	/* fail with ESTALE on another version */
#define METASTORE_F_OWNED	0x0008	/* make this open file the owner */
#define METASTORE_F_STEAL	0x0010	/* proceed even if another file owns it */
#define METASTORE_F_WAIT	0x0020	/* PUBLISH: wait for room in the lossless
					 * queues
					 */
#define METASTORE_F_PREVIOUS	0x0040	/* return the previous value */
#define METASTORE_F_KEEP_TTL	0x0080	/* leave the end of the key as it is */

/** METASTORE_WAIT_FOREVER - timeout that never ends */
#define METASTORE_WAIT_FOREVER	0xffffffffU

/**
 * METASTORE_TTL_MAX - longest time to live in ms: 2^40, about 34 years
 *
 * An end that far from now, counted in ns, still fits into 63 bits.
 */
#define METASTORE_TTL_MAX	0x10000000000ULL

/* Owner of a value */
#define METASTORE_OWNER_NONE	0	/* no open file */
#define METASTORE_OWNER_SELF	1	/* the calling open file */
#define METASTORE_OWNER_OTHER	2	/* another open file */

/**
 * struct metastore_previous - value that a change replaced or removed
 * @value:	address of a buffer for the value
 * @version:	[out] version of the value; 0: there was none
 * @len:	size of the buffer in bytes; [out] length of the value
 * @owner:	[out] owner of the value, METASTORE_OWNER_*
 */
struct metastore_previous {
	__aligned_u64 value;
	__aligned_u64 version;
	__u32 len;
	__u32 owner;
};

/**
 * struct metastore_set - arguments of SET and PUBLISH
 * @key:	address of the key
 * @value:	address of the value; ignored if @value_len is 0
 * @key_len:	length of the key in bytes
 * @value_len:	length of the value in bytes
 * @flags:	METASTORE_F_*
 * @queues:	[out] PUBLISH: number of subscriptions whose queue took the event.
 *		A queue that dropped older events for it counts; a queue without
 *		room does not. SET: 0
 * @version:	METASTORE_F_IF_VERSION: version that the present value must have;
 *		0: no value may exist. [out] version of the stored value; after
 *		EEXIST and ESTALE the version of the present value, 0 if there is
 *		none
 * @ttl:	time to live in ms, 1 to METASTORE_TTL_MAX; 0: unlimited
 * @timeout:	METASTORE_F_WAIT: longest wait in ms; 0: no wait;
 *		METASTORE_WAIT_FOREVER: no limit. Must be 0 without that flag
 * @deadline:	0; the kernel keeps the end of a wait here that a signal interrupted.
 *		Must be 0 without METASTORE_F_WAIT
 * @previous:	METASTORE_F_PREVIOUS: the value that was replaced. Ignored without that
 *		flag
 *
 * Store the value under the key and replace the previous value. SET sends an
 * event to the key's subscribers that asked for METASTORE_EVENT_SET. PUBLISH
 * sends one to those that asked for METASTORE_EVENT_PUBLISHED.
 *
 * Versions: a version is never 0. The versions of one key strictly increase, also
 * across DELETE and re-creation. They increase across reloads of the module too,
 * unless the real-time clock was set back in between.
 *
 * Owner and time to live belong to the value: the next SET or PUBLISH of the key
 * replaces or removes them. METASTORE_F_KEEP_TTL gives the new value the end of the
 * previous one, if that has one. The new value then counts METASTORE_TIE_OVERHEAD in
 * any case. A key that has just expired has none: a program that keeps a lease adds
 * METASTORE_F_REPLACE.
 *
 * METASTORE_F_PREVIOUS returns the value that this call replaces, in the same step: no
 * other change comes in between. A call whose buffer is too small for it is refused.
 *
 * Owners: METASTORE_F_OWNED makes the open file the owner, not the process.
 * Descriptors made by dup(), inherited over fork() or received over a socket keep
 * it open. Only the owner can overwrite or delete the value. Other open files get
 * EBUSY unless they pass METASTORE_F_STEAL. When the last descriptor of the owner
 * is closed, for whatever reason, the module deletes the value. Subscribers then
 * read METASTORE_EVENT_DELETED with METASTORE_EVENT_F_OWNER.
 *
 * METASTORE_F_STEAL takes the value from its owner, and the event of that change
 * has METASTORE_EVENT_F_STOLEN. If the former owner subscribed to the key, it gets
 * this event whatever its mask of events is.
 *
 * Time to live: it is counted on CLOCK_BOOTTIME from the moment of the store. Once
 * it has expired no command finds the value, but for the moment in which a TOUCH
 * comes too late. A kernel worker removes the value and sends
 * METASTORE_EVENT_DELETED with METASTORE_EVENT_F_EXPIRED. The event is never early.
 * Three things delay it: the timer's slack of 1 ms, the worker's wait for a CPU, and
 * the removal of values that expired before. Until its removal the value counts
 * against the limits of the store.
 *
 * Backpressure: PUBLISH with METASTORE_F_WAIT waits until every lossless queue
 * that is to get the event has room (see struct metastore_queue_info). Then all of
 * them get it, or the call fails and changes nothing.
 *
 * - Room is needed for one event of each subscription that asks for it, even if that
 *   would replace an older event, or its snapshot has not passed the key yet. A
 *   METASTORE_SUBSCRIBE_LATEST to an exact key has its place already.
 * - It waits for no other queue, and blocks no other caller. Others can change the
 *   key meanwhile; the condition in @flags is checked again after each wait.
 * - It also waits for a subscription that begins during the wait, and for a queue that
 *   becomes lossless. If such ones keep coming, the publisher does not wait for those
 *   that come after its 16th try.
 * - A subscription that begins just as the event is delivered may lose the event.
 *   So may a queue that becomes lossless at that moment. So may the former owner
 *   of a stolen value if its mask does not ask for the event.
 * - It does not wait for a queue that is too small for the event; that queue
 *   counts the event as lost.
 * - One open file can have more subscriptions that match than its queue holds
 *   events. PUBLISH then waits in vain.
 * - A wait goes on after SIGSTOP and SIGCONT, after the freezer, and after a signal
 *   handler with SA_RESTART. It still ends at the time it had, by CLOCK_MONOTONIC.
 * - After EINTR a call with the same arguments waits until that time too. For a new
 *   wait set @deadline to 0. Other results set it to 0; EBADF and EINVAL leave it.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EMSGSIZE: @value_len is above the store's max_value
 * - ENOSPC: the store has max_keys keys; or the value would exceed the store's
 *   max_bytes, or private_bytes of all private stores together
 * - EDQUOT: the value would exceed the share of the file's user in the default store; or
 *   user_store_bytes of the user that created the private store; METASTORE_F_OWNED:
 *   the file's user has user_owned_keys such keys; METASTORE_F_WAIT: it has
 *   user_waiting calls that wait
 * - EEXIST, ENOENT, ESTALE: the condition in @flags is not met
 * - EBUSY: another open file owns the value
 * - ERANGE: METASTORE_F_PREVIOUS: the buffer is too small. @previous tells the length
 *   needed and the version of that value
 * - EINVAL: also two conditions, @ttl above METASTORE_TTL_MAX or with
 *   METASTORE_F_KEEP_TTL, METASTORE_F_WAIT in SET or in a batch, or @timeout or
 *   @deadline without METASTORE_F_WAIT
 * - EAGAIN: METASTORE_F_WAIT: a lossless queue is full, and @timeout is 0 or the
 *   descriptor is non-blocking
 * - ETIMEDOUT: METASTORE_F_WAIT: a lossless queue stayed full until @timeout
 * - EINTR: METASTORE_F_WAIT: a signal handler ran that has no SA_RESTART
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
	__u32 deadline;
	struct metastore_previous previous;
};

/** METASTORE_GET_INFO - tell who wrote the value, and when */
#define METASTORE_GET_INFO	0x0001

/**
 * struct metastore_get - arguments of GET
 * @key:	address of the key
 * @value:	address of the buffer for the value
 * @key_len:	length of the key in bytes
 * @value_len:	size of the buffer in bytes; [out] length of the value
 * @flags:	METASTORE_GET_INFO
 * @owner:	[out] owner of the value, METASTORE_OWNER_*. In a structure that
 *		ends before @ttl this field is reserved and must be 0
 * @version:	[out] version of the value
 * @ttl:	[out] rest of the time to live in ms, rounded up; 0: unlimited
 * @time:	[out] METASTORE_GET_INFO, also for the next two: time of the write,
 *		CLOCK_REALTIME in ns. Without that flag they are left as they are
 * @tgid:	[out] process that wrote the value, as in struct metastore_stat
 * @uid:	[out] effective user of that process, as in struct metastore_stat
 *
 * Copy the value of a key.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ENOENT: no such key
 * - ERANGE: the buffer is too small. @value_len is the length needed and @version
 *   the version of that value; nothing is copied to the buffer
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
	__aligned_u64 time;
	__s32 tgid;
	__u32 uid;
};

/**
 * struct metastore_stat - arguments of STAT
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	none yet, must be 0
 * @version:	[out] version of the value
 * @time:	[out] time of the write, CLOCK_REALTIME in ns
 * @value_len:	[out] length of the value in bytes
 * @tgid:	[out] process that wrote the value, as the caller's PID namespace
 *		numbers it; 0 if it has no number there. In the initial namespace the
 *		number stays when the process ends, elsewhere it is 0 from then on
 * @uid:	[out] effective user of that process, as the caller's user
 *		namespace sees it; the overflow uid if it has no number there
 * @subscribers: [out] number of subscriptions, as in struct metastore_subscribers
 * @bucket:	[out] bucket of the key
 * @reserved:	must be 0
 * @ttl:	[out] rest of the time to live, as in struct metastore_get
 * @owner:	[out] owner of the value, METASTORE_OWNER_*
 * @reserved2:	must be 0
 *
 * Tell about a key without copying its value. All fields are of one moment.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ENOENT: no such key
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
 * @flags:	METASTORE_F_IF_VERSION, METASTORE_F_STEAL, METASTORE_F_PREVIOUS
 * @version:	METASTORE_F_IF_VERSION: version that the present value must have.
 *		[out] version of the deletion, greater than the value's; after
 *		ESTALE the version of the present value, 0 if there is none
 * @previous:	METASTORE_F_PREVIOUS: the value that was removed. Ignored without that
 *		flag
 *
 * Remove the value. Subscriptions to the key stay. Those that asked for
 * METASTORE_EVENT_DELETED get an event.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ENOENT: no such key
 * - ESTALE: the value has another version than @version, or there is none
 * - EBUSY: another open file owns the value
 * - ERANGE: METASTORE_F_PREVIOUS: the buffer is too small, as in struct metastore_set
 */
struct metastore_delete {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__aligned_u64 version;
	struct metastore_previous previous;
};

/**
 * struct metastore_touch - arguments of TOUCH
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	METASTORE_F_IF_VERSION
 * @version:	METASTORE_F_IF_VERSION: version that the value must have. [out] version
 *		of the value; after ESTALE 0 if there is none
 * @ttl:	time to live in ms, 1 to METASTORE_TTL_MAX, counted from now
 *
 * Renew the time to live of a value. It may become shorter. The value, its version,
 * its owner and the time of its write stay, and nobody gets an event: a lease that
 * many subscribers watch can be renewed often.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ENOENT: no such key
 * - ESTALE: the value has another version than @version, or there is none
 * - EBUSY: another open file owns the value
 * - ENODATA: the value has an unlimited time to live. Only SET and PUBLISH can limit
 *   it, which their subscribers hear of
 * - EINVAL: also @ttl is 0 or above METASTORE_TTL_MAX
 */
struct metastore_touch {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__aligned_u64 version;
	__aligned_u64 ttl;
};

/** METASTORE_FLUSH_SUBSCRIPTIONS - remove matching subscriptions as well */
#define METASTORE_FLUSH_SUBSCRIPTIONS	0x0001
/** METASTORE_FLUSH_STEAL - remove values of other owners as well */
#define METASTORE_FLUSH_STEAL		0x0002

/**
 * struct metastore_flush - arguments of FLUSH
 * @prefix:	address of a prefix; only keys that start with it match. Ignored
 *		if @prefix_len is 0
 * @prefix_len:	length of the prefix in bytes, 0 to METASTORE_KEY_MAX; 0: all keys
 *		match
 * @bucket:	bucket whose keys match; METASTORE_ANY_BUCKET: all buckets
 * @flags:	METASTORE_FLUSH_*
 * @reserved:	must be 0
 * @values:	[out] number of values removed
 * @subscriptions: [out] number of subscriptions removed
 *
 * Remove every matching value that existed when the call began. Each removal is
 * a DELETE whose METASTORE_EVENT_DELETED has METASTORE_EVENT_F_FLUSH. Other callers
 * see some keys disappear before others. Values written meanwhile may go or stay.
 * Values of other owners stay, unless METASTORE_FLUSH_STEAL is given. With that flag the
 * removal of such a value is told to its former owner as METASTORE_F_STEAL does it: the
 * event has METASTORE_EVENT_F_STOLEN as well, and the former owner gets it whatever its mask
 * of events is, if it subscribed to the key.
 *
 * METASTORE_FLUSH_SUBSCRIPTIONS then removes the subscriptions of all open files to
 * matching keys. If @bucket selects all buckets, it also removes subscriptions to
 * prefixes that start with @prefix. Each open file that lost subscriptions reads
 * one METASTORE_EVENT_FLUSHED, behind its queued events. This flag needs
 * CAP_SYS_ADMIN, or the user that created the private store.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EPERM: METASTORE_FLUSH_SUBSCRIPTIONS without the permission
 * - ERANGE: no such bucket
 * - EINTR: a fatal signal; what was removed by then stays removed
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
 * Types of events. A subscriber asks for the first three in the mask of SUBSCRIBE.
 * It gets the others in any case.
 */
#define METASTORE_EVENT_PUBLISHED	0x0001	/* stored by PUBLISH */
#define METASTORE_EVENT_SET		0x0002	/* stored by SET */
#define METASTORE_EVENT_DELETED		0x0004	/* removed */
#define METASTORE_EVENT_SNAPSHOT	0x1000	/* value of a snapshot */
#define METASTORE_EVENT_SNAPSHOT_END	0x2000	/* end of a snapshot */
#define METASTORE_EVENT_LOST		0x4000	/* events were lost */
#define METASTORE_EVENT_FLUSHED		0x8000	/* subscriptions were removed */

/*
 * Bits of the mask of events that select one cause of removal, in place of
 * METASTORE_EVENT_DELETED. The event's type is METASTORE_EVENT_DELETED; its flags
 * tell the cause.
 */
#define METASTORE_EVENT_BY_DELETE	0x0008	/* DELETE, by itself or in a batch */
#define METASTORE_EVENT_BY_FLUSH	0x0010	/* FLUSH */
#define METASTORE_EVENT_BY_EXPIRY	0x0020	/* its time to live expired */
#define METASTORE_EVENT_BY_OWNER	0x0040	/* its owner was closed */

/* Flags of SUBSCRIBE, which SUBSCRIPTION returns */
#define METASTORE_SUBSCRIBE_PREFIX	0x0001	/* every key with the prefix */
#define METASTORE_SUBSCRIBE_SNAPSHOT	0x0002	/* present values first */
#define METASTORE_SUBSCRIBE_NEWER	0x0004	/* only if newer than a version */
#define METASTORE_SUBSCRIBE_LATEST	0x0008	/* conflate: newest event per key */
#define METASTORE_SUBSCRIBE_NO_VALUE	0x0010	/* events without the value */

/* Flags that SUBSCRIPTION never returns */
#define METASTORE_SUBSCRIBE_RESYNC	0x0020	/* SUBSCRIBE: begin anew */
#define METASTORE_SUBSCRIBE_DISCARD	0x0040	/* UNSUBSCRIBE: drop what waits */

/**
 * struct metastore_subscribe - arguments of SUBSCRIBE
 * @key:	address of the key, or of the prefix with
 *		METASTORE_SUBSCRIBE_PREFIX
 * @key_len:	length of the key in bytes; a prefix may have 0: all keys
 * @events:	mask of METASTORE_EVENT_PUBLISHED, _SET, _DELETED and _BY_*; 0:
 *		METASTORE_EVENT_PUBLISHED alone, so neither SET nor DELETE
 * @cookie:	any number; each event of the subscription carries it
 * @flags:	METASTORE_SUBSCRIBE_*
 * @reserved:	must be 0
 * @version:	METASTORE_SUBSCRIBE_NEWER: version above which the snapshot has the
 *		value. Must be 0 without that flag
 *
 * Subscribe the open file to a key, or to every key with a prefix. Keys need not
 * exist yet. The subscription belongs to the open file, not to the process: a
 * descriptor made by dup() or inherited over fork() shares it. It ends when the
 * last descriptor is closed. An open file can have one subscription to a key and
 * one to each prefix of it. Each of them gets its own event.
 *
 * Order: the events of a key come in the order of versions, for each subscription. Among
 * subscriptions of one open file the order is open. A conflated event takes the place of an
 * older one, and a snapshot has the value of its moment: both can be read ahead of older
 * events of the same key that wait for another subscription. A reader with subscriptions
 * that overlap compares the version with that of the key's event that it read last, and
 * passes older ones over. Such an older event was waiting when the newer one was read.
 *
 * METASTORE_SUBSCRIBE_SNAPSHOT makes the subscriber read the present values first,
 * each in a METASTORE_EVENT_SNAPSHOT. One METASTORE_EVENT_SNAPSHOT_END follows,
 * even if there were no values.
 *
 * - Each value is looked up when it is read, so it takes no room in the queue.
 * - Changes of a key follow its value. Changes made before the value was read do
 *   not appear.
 * - A subscriber that applies all events in order reaches the state of the store:
 *   no gaps, no duplicates. This needs METASTORE_EVENT_SET, _PUBLISHED and _DELETED
 *   in @events, and no loss.
 * - The snapshot is in the order of LIST. Events of keys that it has passed may come
 *   in between. So may the deletion of a key that was being deleted.
 * - read() alternates between snapshot values and queued events.
 *
 * METASTORE_SUBSCRIBE_LATEST conflates: at most one event of each key waits. A newer
 * event takes its place, and the replaced one counts as conflated.
 *
 * - For an exact key the queue reserves that place: the longest key and value, plus
 *   METASTORE_VALUE_OVERHEAD and METASTORE_TIE_OVERHEAD. These places may take half of
 *   the queue's bytes. The subscription never loses the newest event of its key.
 * - If waiting events leave no room for that place, the call drops the oldest of them,
 *   of whatever subscription of the open file. They count as lost. A lossless queue
 *   keeps them and refuses with ENOBUFS.
 * - For a prefix events are lost only if more keys have pending events than the
 *   queue holds.
 * - Conflated events ignore METASTORE_EVENT_F_MORE.
 *
 * METASTORE_SUBSCRIBE_NO_VALUE leaves the value out: events have
 * METASTORE_EVENT_F_NO_VALUE and value_len 0. While they wait they still count the
 * value's bytes against the queue.
 *
 * METASTORE_SUBSCRIBE_RESYNC begins a subscription anew that exists, for a subscriber
 * that lost events. In one step all its waiting events are discarded, its losses are
 * settled, and a snapshot begins, also if another one was under way. The subscription
 * keeps its mask, cookie, flags and counters. @events, @cookie and @version must be 0, and
 * METASTORE_SUBSCRIBE_PREFIX is the only other flag.
 *
 * - To end a subscription and subscribe again instead leaves old events in the queue:
 *   they are read among the newer values of the snapshot.
 * - A key that was deleted meanwhile is not in the snapshot: at SNAPSHOT_END the
 *   subscriber drops all keys that it did not hear of since the call.
 * - Records that another reader has taken already are delivered to that one.
 * - If the last event of an atomic batch is discarded, the one ahead of it keeps
 *   METASTORE_EVENT_F_MORE.
 * - A discarded event that waits behind another subscription's event takes room in the
 *   queue until read() or poll() finds it to be the oldest, or it is dropped itself.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EEXIST: the open file is already subscribed to the key or prefix
 * - ENOBUFS: the open file has max_subscriptions subscriptions; those that ended count
 *   until their events and losses are read. Or its queue cannot reserve a place for
 *   METASTORE_SUBSCRIBE_LATEST
 * - EDQUOT: the file's user has user_subscriptions subscriptions; or this is the file's
 *   first, and its queue would exceed user_queue_bytes
 * - EBUSY: more than METASTORE_QUEUE_MOVE_MAX events wait, and this is the first
 *   METASTORE_SUBSCRIBE_LATEST to a prefix
 * - ENOENT: METASTORE_SUBSCRIBE_RESYNC: the open file is not subscribed to the key or
 *   prefix
 * - EINVAL: also METASTORE_SUBSCRIBE_NEWER without METASTORE_SUBSCRIBE_SNAPSHOT or
 *   with METASTORE_SUBSCRIBE_PREFIX
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
 * @key_len:	length of the key or prefix in bytes
 * @flags:	METASTORE_SUBSCRIBE_PREFIX: end the subscription to the prefix;
 *		METASTORE_SUBSCRIBE_DISCARD
 *
 * End a subscription. No further event of it is enqueued once the call returns.
 * Events that are already queued stay and are read, unless METASTORE_SUBSCRIBE_DISCARD
 * discards them and the losses that were not reported yet, as in struct
 * metastore_subscribe. An unfinished snapshot stops, without METASTORE_EVENT_SNAPSHOT_END.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ENOENT: the open file is not subscribed to the key or prefix
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
 * @subscribers: [out] number of subscriptions of all open files to the key and to
 *		its prefixes
 * @reserved:	must be 0
 *
 * Count the subscriptions to a key, which need not exist.
 *
 * Return: 0, or the errors of every command.
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
 * @bucket:	[out] bucket of the key, from 0
 * @buckets:	[out] number of buckets of the store
 *
 * Tell the bucket of a key, which need not exist. The answer stays the same until
 * the module is unloaded.
 *
 * Return: 0, or the errors of every command.
 */
struct metastore_key_bucket {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__u32 bucket;
	__u32 buckets;
};

/**
 * struct metastore_list_entry - one key in the buffer of LIST
 * @len:	length of this entry in bytes, a multiple of 8, and the offset of
 *		the next entry
 * @header_len:	offset of the key in this entry
 * @key_len:	length of the key in bytes
 * @value_len:	length of the value in bytes
 * @flags:	METASTORE_LIST_F_*
 * @version:	version of the value
 */
struct metastore_list_entry {
	__u32 len;
	__u16 header_len;
	__u16 key_len;
	__u32 value_len;
	__u32 flags;
	__aligned_u64 version;
};

/** METASTORE_LIST_VALUES - list the value of each key, its owner and its writer */
#define METASTORE_LIST_VALUES		0x0001

/** METASTORE_LIST_F_NO_VALUE - the buffer is too small for the value, left out here */
#define METASTORE_LIST_F_NO_VALUE	0x0001

/**
 * struct metastore_list_details - more about a key, with METASTORE_LIST_VALUES
 * @time:	time of the write, CLOCK_REALTIME in ns
 * @ttl:	rest of the time to live, as in struct metastore_get
 * @tgid:	process that wrote the value, as in struct metastore_stat
 * @uid:	effective user of that process, as in struct metastore_stat
 * @owner:	owner of the value, METASTORE_OWNER_*
 * @reserved:	0
 */
struct metastore_list_details {
	__aligned_u64 time;
	__aligned_u64 ttl;
	__s32 tgid;
	__u32 uid;
	__u32 owner;
	__u32 reserved;
};

/** METASTORE_LIST_MIN - smallest buffer that LIST accepts, in bytes */
#define METASTORE_LIST_MIN	512

/**
 * struct metastore_list - arguments of LIST
 * @cursor:	address of the key to continue after, which need not exist any
 *		more. Ignored if @cursor_len is 0
 * @prefix:	address of a prefix; only keys that start with it are listed.
 *		Ignored if @prefix_len is 0
 * @buffer:	address of the buffer for the entries. Each is a struct
 *		metastore_list_entry, the key, and zeros as padding. With
 *		METASTORE_LIST_VALUES a struct metastore_list_details stands before
 *		the key, included in @header_len, and the value follows the key
 * @cursor_len:	length of @cursor in bytes; 0: start with the first key
 * @prefix_len:	length of @prefix in bytes, 0 to METASTORE_KEY_MAX
 * @buffer_len:	size of the buffer in bytes; [out] bytes filled. The module may
 *		fill less than fits
 * @bucket:	bucket to list; METASTORE_ANY_BUCKET: all buckets
 * @flags:	METASTORE_LIST_VALUES
 * @entries:	[out] number of entries; 0: the end is reached
 *
 * List keys. To list all of them, call first with @cursor_len 0. Then pass the last
 * key received as the cursor, until @entries is 0. The order of keys has no
 * meaning. A key that exists from the first call to the last is listed exactly
 * once. A key that appears or disappears meanwhile is listed at most once.
 *
 * METASTORE_LIST_VALUES lists as many values as fit. If the first one does not, its entry
 * has METASTORE_LIST_F_NO_VALUE: GET it, or list again with a larger buffer. Each entry is
 * of one moment, those of two keys need not be of the same.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EMSGSIZE: @buffer_len is below METASTORE_LIST_MIN
 * - ERANGE: no such bucket
 * - EINTR: a fatal signal
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

/*
 * Features that INFO reports. A module without one refuses its flags, fields and
 * commands as unknown.
 */
#define METASTORE_FEATURE_CONDITIONS	0x0001	/* METASTORE_F_CREATE and so on */
#define METASTORE_FEATURE_OWNERS	0x0002	/* METASTORE_F_OWNED, _STEAL */
#define METASTORE_FEATURE_TTL		0x0004	/* times to live */
#define METASTORE_FEATURE_BATCH		0x0008	/* BATCH */
#define METASTORE_FEATURE_PRIVATE	0x0010	/* CREATE, OPEN */
#define METASTORE_FEATURE_DELIVERY	0x0020	/* METASTORE_SUBSCRIBE_*, QUEUE */
#define METASTORE_FEATURE_WAIT		0x0040	/* METASTORE_F_WAIT */
#define METASTORE_FEATURE_TOUCH		0x0080	/* TOUCH, also in a BATCH */
#define METASTORE_FEATURE_PREVIOUS	0x0100	/* METASTORE_F_PREVIOUS, _KEEP_TTL */
#define METASTORE_FEATURE_DETAILS	0x0200	/* METASTORE_LIST_VALUES, _GET_INFO */
#define METASTORE_FEATURE_RESYNC	0x0400	/* METASTORE_SUBSCRIBE_RESYNC, _DISCARD */
#define METASTORE_FEATURE_USERS		0x0800	/* USER, limits of each user */
#define METASTORE_FEATURE_MAP_RING	0x1000	/* METASTORE_MAP_RING */
#define METASTORE_FEATURE_MAP_STORE	0x2000	/* METASTORE_MAP_STORE */

/**
 * struct metastore_info - arguments of INFO
 * @bucket:	bucket to count in; METASTORE_ANY_BUCKET: all buckets
 * @flags:	none yet, must be 0
 * @features:	[out] METASTORE_FEATURE_*: additions since this header's first
 *		version
 * @buckets:	[out] number of buckets
 * @key_max:	[out] longest key in bytes
 * @max_value:	[out] longest value in bytes
 * @queue_len:	[out] capacity of an open file's queue in events
 * @queue_bytes: [out] capacity of an open file's queue in bytes. An event counts
 *		its key, its value and METASTORE_VALUE_OVERHEAD, and with an owner or
 *		a time to live METASTORE_TIE_OVERHEAD; while it waits it
 *		counts at least @queue_bytes / (@queue_len + 1)
 * @max_subscriptions: [out] most subscriptions of an open file
 * @max_keys:	[out] most keys of the store
 * @max_bytes:	[out] most bytes of the store. A key counts itself, its value and
 *		METASTORE_VALUE_OVERHEAD, and METASTORE_TIE_OVERHEAD as above
 * @keys:	[out] present number of keys. One whose value has expired, which no
 *		command finds any more, counts until it is removed: a moment
 * @bytes:	[out] bytes of these keys, counted as in @max_bytes
 * @subscriptions: [out] present number of subscriptions
 * @private_bytes: [out] most bytes of all private stores together: their values,
 *		and 1,024 for each bucket
 *
 * Tell the limits and counters of the store. @bucket narrows the counters, not the
 * limits.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ERANGE: no such bucket
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

/*
 * Kinds of what a user can use. Each has a limit: a module parameter that can be changed
 * while the module is loaded, in /sys/module/metastore/parameters, or a share.
 */
#define METASTORE_USER_FILES		0	/* user_files: open files */
#define METASTORE_USER_SUBSCRIPTIONS	1	/* user_subscriptions: those of all its open
						 * files, also ended ones that have
						 * unread events or losses
						 */
#define METASTORE_USER_QUEUE_BYTES	2	/* user_queue_bytes: what the queues of its
						 * open files may hold, see below
						 */
#define METASTORE_USER_STORES		3	/* user_stores: private stores it created */
#define METASTORE_USER_STORE_BYTES	4	/* user_store_bytes: of these stores, counted
						 * as for private_bytes
						 */
#define METASTORE_USER_OWNED_KEYS	5	/* user_owned_keys: keys that its open files
						 * own
						 */
#define METASTORE_USER_WAITING		6	/* user_waiting: calls of PUBLISH that
						 * wait for room in lossless queues
						 */
#define METASTORE_USER_KEYS		7	/* keys of the default store that its open files
						 * stored: a share, see below
						 */
#define METASTORE_USER_BYTES		8	/* bytes of these, as for max_bytes */
#define METASTORE_USER_KINDS		9	/* number of kinds; may grow */
#define METASTORE_USER_NONE		0xffffffffU	/* no kind */

/**
 * METASTORE_QUEUE_OVERHEAD - bytes that each place in a queue counts
 *
 * An open file's queue counts @max_bytes + METASTORE_QUEUE_OVERHEAD * @max_len (struct
 * metastore_queue_info) against user_queue_bytes, from the first subscription until
 * the file is released. Events that come and go change nothing.
 */
#define METASTORE_QUEUE_OVERHEAD	56

/* METASTORE_USER_NEXT - tell about the next user instead */
#define METASTORE_USER_NEXT		0x0001

/**
 * struct metastore_user_kind - use of one kind by a user
 * @use:	[out] present use
 * @limit:	[out] most that the user may use
 * @refused:	[out] number of calls that failed with EDQUOT
 */
struct metastore_user_kind {
	__aligned_u64 use;
	__aligned_u64 limit;
	__aligned_u64 refused;
};

/**
 * struct metastore_user_info - arguments of USER
 * @flags:	METASTORE_USER_NEXT
 * @ns:		METASTORE_USER_NEXT: user namespace of the previous user, 0 for the first.
 *		[out] user namespace of the user: the inode number of /proc/PID/ns/user
 * @uid:	METASTORE_USER_NEXT: the previous user. [out] the user, as the caller's
 *		user namespace sees it
 * @last_refused: [out] kind of the user's last call that failed with EDQUOT;
 *		METASTORE_USER_NONE if none did
 * @kinds:	[out] use of each kind, METASTORE_USER_*
 *
 * Tell what the user of the open file uses, and its limits.
 *
 * A user namespace's users also count to the user that created the namespace, whose
 * limits then hold for all of them together. So new namespaces give no new limits.
 * Only the root user of the initial namespace is not limited as such a creator.
 *
 * Shares: of max_keys and max_bytes of the default store, and of private_bytes, a user may
 * have as much as each of all users that have any, and one more, would get of what is
 * left and of its own: (left + own) / (users + 1). So one user alone gets half, and a
 * second one finds room. A value counts to the user of the open file that stored it, until
 * the value goes. A namespace's users share with its creator. @limit is
 * the share of the moment; for METASTORE_USER_STORE_BYTES if it is below user_store_bytes. A
 * task with CAP_SYS_RESOURCE may fill all.
 *
 * CAP_SYS_RESOURCE in the initial user namespace exceeds these limits. The excess
 * counts nevertheless. A lowered limit takes nothing from a user that uses more.
 *
 * METASTORE_USER_NEXT tells about another user: begin with @ns and @uid 0, then call again
 * with the results, until ENOENT. The order has no meaning. Users are known as long
 * as they have open files or private stores.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EPERM: METASTORE_USER_NEXT without CAP_SYS_ADMIN
 * - ENOENT: METASTORE_USER_NEXT: there is no further user
 */
struct metastore_user_info {
	__u32 flags;
	__u32 ns;
	__u32 uid;
	__u32 last_refused;
	struct metastore_user_kind kinds[METASTORE_USER_KINDS];
};

/**
 * METASTORE_VALUE_OVERHEAD - bytes that a value counts beyond key and value
 *
 * The module keeps that much beside them.
 */
#define METASTORE_VALUE_OVERHEAD	48

/** METASTORE_TIE_OVERHEAD - bytes that an owner or a time to live adds */
#define METASTORE_TIE_OVERHEAD		64

/* Operations of a batch; see struct metastore_op */
#define METASTORE_OP_GET	1
#define METASTORE_OP_SET	2
#define METASTORE_OP_DELETE	3
#define METASTORE_OP_PUBLISH	4
#define METASTORE_OP_TOUCH	5

/**
 * struct metastore_op - one operation of a BATCH
 * @op:		METASTORE_OP_*
 * @result:	[out] 0, or the negative errno of the command of that name;
 *		-E2BIG: the operation is longer than the module knows and its
 *		unknown part is not zero
 * @key:	as in the structure of that command, like all further fields
 * @value:	GET, SET, PUBLISH
 * @key_len:	all operations
 * @value_len:	GET, SET, PUBLISH
 * @flags:	SET, PUBLISH, DELETE, TOUCH; GET: 0
 * @queues:	[out] PUBLISH
 * @owner:	[out] GET, in the place of @queues
 * @version:	all operations
 * @ttl:	SET, PUBLISH, TOUCH; [out] GET
 * @previous:	SET, PUBLISH, DELETE; -EINVAL: METASTORE_F_PREVIOUS in an operation that
 *		ends before this field
 *
 * DELETE and TOUCH need 0 in @value and @value_len, DELETE also in @ttl.
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
	struct metastore_previous previous;
};

#define METASTORE_BATCH_MAX	256	/* operations, so that a batch ends soon */
#define METASTORE_ATOMIC_MAX	128	/* with METASTORE_BATCH_ATOMIC: that many
					 * spinlocks are held at once, and a CPU
					 * counts at most 255
					 */
#define METASTORE_ATOMIC_KEYS	8192	/* bytes of all its keys: for each of them
					 * there can be a prefix that an open file
					 * subscribed to, and is looked up
					 */

/** METASTORE_BATCH_ATOMIC - run all operations at one moment, or none */
#define METASTORE_BATCH_ATOMIC	0x0001

/**
 * struct metastore_batch - arguments of BATCH
 * @ops:	address of an array of struct metastore_op
 * @nr:		number of operations, 1 to METASTORE_BATCH_MAX
 * @op_size:	sizeof(struct metastore_op), which may grow; at most 4096
 * @flags:	METASTORE_BATCH_*
 * @failed:	[out] index of the first operation whose result is not 0, @nr if
 *		there is none. With METASTORE_BATCH_ATOMIC: @nr, or after ECANCELED the
 *		index of the operation that caused it
 *
 * Run operations. Without METASTORE_BATCH_ATOMIC they run one after the other, as
 * separate calls would. Each has its result, and a failed one does not stop the
 * others.
 *
 * METASTORE_BATCH_ATOMIC runs all operations at one moment, or none. It allows
 * METASTORE_ATOMIC_MAX operations, each on another key, with METASTORE_ATOMIC_KEYS
 * bytes of keys together.
 *
 * - No other change and no other atomic batch comes between the operations. This
 *   holds for batches that only read, too.
 * - If an operation fails, none takes effect and the call fails with ECANCELED. The
 *   result of that operation says why; the others have -ECANCELED.
 * - A GET of an absent key (-ENOENT) is no failure. Neither is a bad buffer for a value
 *   (-EFAULT), because it is found after the batch took effect.
 * - A single GET or a LIST takes no part in this. While the batch stores its values
 *   they may see some new values and some old ones, each of them whole.
 * - Atomic batches of the same keys take effect one after the other. Each waits until
 *   the events of the previous one are enqueued.
 * - Each queue gets the events of an atomic batch one right behind the other. All but
 *   the last have METASTORE_EVENT_F_MORE. A LOST record ends the batch for a reader of
 *   that flag: events of the batch may be missing. An open file whose prefixes have
 *   several lengths may get a large batch in parts, each as if it were a batch: if the
 *   keys, and those lengths for each of them, are more than 256.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EINVAL: also @nr is 0 or too large, @op_size is too small, or an atomic batch has
 *   a key twice
 * - E2BIG: also @op_size above 4096
 * - EMSGSIZE: the keys of an atomic batch have more than METASTORE_ATOMIC_KEYS bytes
 * - ECANCELED: an operation of an atomic batch failed
 * - EFAULT: @ops is bad. Without METASTORE_BATCH_ATOMIC the operations before that
 *   point have run; an atomic batch may have run
 * - EINTR: a fatal signal. Without METASTORE_BATCH_ATOMIC the operations before it
 *   have run; an atomic batch has not run
 */
struct metastore_batch {
	__aligned_u64 ops;
	__u32 nr;
	__u32 op_size;
	__u32 flags;
	__u32 failed;
};

/**
 * METASTORE_PRIVATE_BUCKETS - default number of buckets of a private store
 *
 * Few, so that a store of a test or a container takes some KB. Buckets only let more
 * writers work at the same time: a store has at most as much use for them as CPUs write
 * to it.
 */
#define METASTORE_PRIVATE_BUCKETS	8

#define METASTORE_CREATE_MAPPED	0x0001	/* programs can map its small values */

/**
 * METASTORE_MAP_STORE - offset from which mmap() maps the small values of a store
 *
 * Only of one that was created with METASTORE_CREATE_MAPPED, or of the device's if the module
 * was loaded with mapped=1: else EOPNOTSUPP. linux/metastore_map.h tells how they are read.
 * Errors of mmap() are EACCES if the descriptor is not open for reading or the mapping is
 * to be writable or executable, EINVAL if it is private, or begins elsewhere, or is longer than
 * that header says, and ENODEV if the module is retired.
 */
#define METASTORE_MAP_STORE	0x100000000ULL

/**
 * struct metastore_create - arguments of CREATE
 * @flags:	METASTORE_CREATE_MAPPED
 * @open_flags:	as in struct metastore_open
 * @buckets:	number of buckets; 0: METASTORE_PRIVATE_BUCKETS, or as in the
 *		descriptor's store if that has fewer
 * @max_value:	longest value in bytes; 0, here and below: as in the descriptor's store
 * @queue_len:	capacity of an open file's queue in events
 * @queue_bytes: capacity of an open file's queue in bytes
 * @max_keys:	most keys of the store
 * @max_bytes:	most bytes of the store
 *
 * With METASTORE_CREATE_MAPPED the store keeps its small values, to some 460 bytes, a second
 * time, where programs map them, see METASTORE_MAP_STORE. They take at most @max_bytes more, which
 * counts against private_bytes and user_store_bytes: 65,536 bytes at first (more if there are
 * many buckets), as many each time that these are used up, and 8 for each 65,536 of @max_bytes.
 * A change costs a little more. If there is no memory for that, only reading becomes slower.
 *
 * Create an empty private store and return a descriptor on it. The store is
 * destroyed with its last descriptor, wherever that is. Each limit must be in the
 * range of the module parameter of the same name. INFO reports the limits.
 *
 * Return: the descriptor. Errors, besides those of every command:
 *
 * - EINVAL: also a limit out of its range
 * - EPERM: a limit other than @buckets is above that of the descriptor's store,
 *   without CAP_SYS_RESOURCE
 * - ENOSPC: private stores already take private_bytes
 * - EACCES: a security module does not let the caller create it
 * - EDQUOT: the caller's user has user_stores private stores or user_files open files,
 *   or its stores would exceed user_store_bytes
 * - EMFILE, ENFILE: too many descriptors
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
 * Open the store of the descriptor again. The new open file has its own event queue,
 * subscriptions and owned keys. It cannot do more than the descriptor it was made
 * from. To grant others less, open the store for reading and writing, and hand out
 * a descriptor with fewer rights.
 *
 * Return: the descriptor. Errors, besides those of every command:
 *
 * - EACCES: the descriptor is not open for what @open_flags asks, or a security module
 *   does not let the caller open it
 * - EDQUOT: the caller's user has user_files open files
 * - EMFILE, ENFILE: too many descriptors
 */
struct metastore_open {
	__u32 flags;
	__u32 open_flags;
};

/* Flags of events */
#define METASTORE_EVENT_F_FLUSH		0x0001	/* DELETED: by FLUSH */
#define METASTORE_EVENT_F_EXPIRED	0x0002	/* DELETED: its time expired */
#define METASTORE_EVENT_F_OWNER		0x0004	/* DELETED: its owner was closed */
#define METASTORE_EVENT_F_STOLEN	0x0008	/* taken from its owner */
#define METASTORE_EVENT_F_MORE		0x0010	/* the next event in this queue is
						 * of the same atomic batch
						 */
#define METASTORE_EVENT_F_NO_VALUE	0x0020	/* the value is left out */

/**
 * struct metastore_event - one record that read() returns
 * @len:	length of the record in bytes, a multiple of 8, and the offset of
 *		the next record
 * @header_len:	offset of the key in this record. The value follows the key
 *		directly; zeros as padding follow the value
 * @type:	METASTORE_EVENT_*
 * @cookie:	cookie of the subscription; 0 in FLUSHED
 * @version:	version of the change
 * @count:	LOST: number of events that the subscription lost since its previous
 *		LOST record. FLUSHED: number of subscriptions removed
 * @time:	time when the value was written, CLOCK_REALTIME in ns; 0 in LOST and
 *		FLUSHED, like all fields below except @flags
 * @value_len:	length of the value in bytes
 * @key_len:	length of the key in bytes
 * @flags:	METASTORE_EVENT_F_*
 * @tgid:	process that wrote the value, as in struct metastore_stat
 * @uid:	effective user of that process, as in struct metastore_stat
 *
 * read() returns whole records, as many as wait and fit, at least one. It never
 * returns 0 for a buffer with a size. The records of one key come in the order of
 * versions. Several readers of one open file get different records. DELETED carries
 * the removed value, its writer and its time.
 *
 * Overflow: a queue holds queue_len events and queue_bytes bytes, or what QUEUE set.
 * A full queue drops its oldest events, unless it is lossless. It refuses an event
 * that does not fit beside reserved room and the events that readers are copying.
 * Both kinds of loss are counted to their subscription. Each subscription that lost
 * events gets a LOST record. It comes before the next event, even one of another
 * subscription.
 *
 * FLUSHED comes behind the events that were queued before the subscriptions were
 * removed. Several unread FLUSHED records become one, in the place of the last.
 * LOST and FLUSHED take no room in the queue.
 *
 * poll() reports POLLIN when a record waits. The ioctl FIONREAD gives the size of the
 * next record in bytes, 0 if none waits. With EPOLLET each new record is an edge, and so
 * is a read() that leaves records or fails with EMSGSIZE: a program may read one record
 * for each edge.
 *
 * With METASTORE_EVENT_F_OWNER a struct metastore_owner_end stands between this
 * structure and the key. @header_len includes it.
 *
 * /proc/PID/fdinfo/FD describes the open file. Each line is a name, a colon, a tab
 * and a decimal number:
 *
 * - "store", "file": numbers that identify the store and the open file until the
 *   module is unloaded
 * - "subscriptions": present number of subscriptions
 * - "events": events that wait
 * - "bytes": what counts against queue_bytes, events that readers are copying
 *   included
 * - "lost": events ever lost
 * - "policy": a word, drop-oldest or lossless
 * - the other fields of struct metastore_queue_info by their names
 *
 * A line "subscription:" for each subscription follows. Its fields are separated by
 * spaces: cookie, events, flags, matched, delivered, conflated, lost, pending, discarded,
 * and the key or prefix. Events and flags are hexadecimal. In the key, spaces, backslashes and
 * bytes that are not printable ASCII become a backslash and three octal digits.
 *
 * Return (of read()): number of bytes. Errors:
 *
 * - EAGAIN: no record waits and the descriptor is non-blocking
 * - EINTR: a signal handler without SA_RESTART ran before a record came
 * - EMSGSIZE: the buffer is too small for the next record, which stays queued
 * - EFAULT: the buffer is bad from its start. If only a later part is bad, read()
 *   returns the records before it. Up to 16 events that were taken for the bad part
 *   count as lost
 * - EBADF: the descriptor is not open for reading
 * - ENODEV: the module is retired, and no record waits
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

/** METASTORE_MAP_RING - offset for mmap() of an open file's ring of events */
#define METASTORE_MAP_RING	0

/** METASTORE_RING_MAX - most bytes of records that a mapped ring can have */
#define METASTORE_RING_MAX	0x4000000U

/* Bits of @attention */
#define METASTORE_RING_READ	0x0001	/* records wait that only read() gives */
#define METASTORE_RING_ROOM	0x0002	/* a publisher waits for room in the queue */

/* Bits of @flags */
#define METASTORE_RING_LOSSLESS	0x0001	/* no record is taken back to drop it */

/**
 * struct metastore_ring_consumer - page that the program writes
 * @tail:	where the next record begins that no reader has claimed
 *
 * The program moves @tail forward by compare-and-swap. So does the kernel, when it takes a
 * record back: to drop it, or to return it from read(). The side that moves @tail past a record
 * has got that record.
 */
struct metastore_ring_consumer {
	__aligned_u64 tail;
};

/**
 * struct metastore_ring_producer - page that only the kernel writes
 * @head:	where the next record will begin
 * @refused:	number of tails that were refused
 * @size:	bytes of records that the ring holds, a power of two
 * @attention:	METASTORE_RING_READ, METASTORE_RING_ROOM
 * @flags:	METASTORE_RING_LOSSLESS. Does not change
 * @reserved:	0
 *
 * The mapped ring of an open file gives most events without a system call. mmap() maps it in
 * two parts, both MAP_SHARED, and in this order. P is the size of a page:
 *
 * - PROT_READ, P + 2 * size bytes, at METASTORE_MAP_RING + P: this page, and the records,
 *   mapped twice in a row, so that each is in one piece. Size is a power of two from P to
 *   METASTORE_RING_MAX.
 * - PROT_READ | PROT_WRITE, P bytes, at METASTORE_MAP_RING: struct metastore_ring_consumer
 *
 * @head and the tail count bytes from 0 on. The record at a tail begins at byte tail % size
 * of the records; it is a struct metastore_event, as read() returns it. To read one:
 *
 * 1. Load the tail with acquire, @head with acquire, then @attention.
 * 2. With METASTORE_RING_READ, call read(). It returns all records in order: those that come
 *    before the ring's, those of the ring, and those behind. A program that only wants to
 *    learn of losses gives it a small buffer.
 * 3. If the tail is @head, the ring is empty. poll() tells when there are more.
 * 4. Copy the record. Its length is bad if it is below the size of the structure, above
 *    @head - tail, or no multiple of 8: the kernel has taken the record back; go to 1.
 * 5. Compare and swap the tail for the tail plus the length, with release. If that
 *    fails, the copy may be garbage, and the record went elsewhere; go to 1.
 *
 * A bit of @flags or @attention that the program does not know means that it must use read()
 * instead of the ring: for good, or until @attention has lost that bit.
 *
 * Step 5 may claim several records at once. If it fails, those that begin at the new tail
 * or later are still there. In a lossless queue only read(), SUBSCRIBE with
 * METASTORE_SUBSCRIBE_RESYNC and UNSUBSCRIBE with METASTORE_SUBSCRIBE_DISCARD take records
 * back. A program that calls none of them meanwhile may use a record in
 * place and move the tail afterwards. With METASTORE_RING_LOSSLESS the swap is sequentially
 * consistent, and so is a load of @attention behind it; an acquire is not enough. If that has
 * METASTORE_RING_ROOM, poll() with a timeout of 0 wakes the publisher.
 *
 * The ring has only events whose key and value take no more than some 460 bytes, without
 * METASTORE_EVENT_F_OWNER, and not those of METASTORE_SUBSCRIBE_LATEST or of snapshots. Once an
 * event does not go there, or has no room there, those behind it do not either until
 * read() has returned it. Limits and policy of the queue stay as they are: the ring shows the
 * queue's oldest events, and what the program passed by its tail was delivered. The books take
 * that in with the next event, read(), poll(), FIONREAD, QUEUE and SUBSCRIPTION.
 *
 * The kernel refuses a tail that goes backwards, is beyond @head or within a
 * record, and counts it in @refused. The program then gets what read() gives, until it corrects
 * the tail or an event is dropped, which sets the tail right. Several threads may use
 * the ring, and so may the child of a fork(). The ring ends with its last mapping;
 * records that were not claimed remain in the queue. While it is there, QUEUE cannot
 * change the queue: EBUSY. Its bytes, 2 * P, a pointer for each page of the mapping, and 16 for
 * each event of the queue's capacity, rounded up to a power of two, count against
 * user_queue_bytes.
 *
 * Return (of mmap()): the address. Errors:
 *
 * - EINVAL: the offset, the length or the size is wrong, or MAP_SHARED is missing
 * - EACCES: the descriptor is not open for reading and writing, or the first part is to be
 *   written
 * - EPERM: it is to be executed
 * - EBUSY: the part is mapped already, or the queue is being resized
 * - ENXIO: the second part without the first
 * - EDQUOT: the file's user has user_queue_bytes
 * - ENOMEM: no memory, or the caller's memory cgroup is full
 * - EOPNOTSUPP: a 32-bit program, or a task outside the initial user or PID namespace. read()
 *   translates uids and processes for those. Only the task that maps is looked at: one that
 *   inherits the mapping, or changes its namespaces, sees the numbers of the initial ones. Also:
 *   a machine whose caches alias, or an arm64 one without LSE atomics
 * - ENODEV: the module is retired, or too old for mmap()
 */
struct metastore_ring_producer {
	__aligned_u64 head;
	__aligned_u64 refused;
	__u32 size;
	__u32 attention;
	__u32 flags;
	__u32 reserved;
};

/* End of an owner */
#define METASTORE_END_CLOSED	0	/* it closed the file, or the cause is unknown */
#define METASTORE_END_EXITED	1	/* it exited */
#define METASTORE_END_KILLED	2	/* a signal killed it */

/**
 * struct metastore_owner_end - end of the open file that owned a value
 * @tgid:	process that held the last descriptor, as the reader's PID namespace
 *		numbers it, or did until it ended; 0 if it had no number there, or the
 *		kernel itself closed the file, such as a descriptor in flight in a
 *		socket, or one that io_uring still used
 * @how:	METASTORE_END_*
 * @code:	EXITED: exit status; KILLED: number of the signal; else 0
 */
struct metastore_owner_end {
	__s32 tgid;
	__u16 how;
	__u16 code;
};

/* Policies of a queue: the fate of an event for which there is no room */
#define METASTORE_QUEUE_DROP_OLDEST	0	/* drop the oldest events instead */
#define METASTORE_QUEUE_LOSSLESS	1	/* METASTORE_F_WAIT waits for room;
						 * otherwise the new event is lost
						 */

/* Fields that QUEUE is to change */
#define METASTORE_QUEUE_SET_LEN		0x0001
#define METASTORE_QUEUE_SET_BYTES	0x0002
#define METASTORE_QUEUE_SET_POLICY	0x0004

/** METASTORE_QUEUE_FACTOR - unprivileged limit, in multiples of the store's */
#define METASTORE_QUEUE_FACTOR		16

/** METASTORE_QUEUE_MOVE_MAX - most events in a queue that is to be resized */
#define METASTORE_QUEUE_MOVE_MAX	1024

/**
 * struct metastore_queue_info - arguments of QUEUE
 * @flags:	METASTORE_QUEUE_SET_*; 0: change nothing
 * @policy:	METASTORE_QUEUE_DROP_OLDEST (the initial policy) or _LOSSLESS. [out]
 *		present policy
 * @max_len:	capacity in events, at least 1. [out] present capacity
 * @max_bytes:	capacity in bytes, at least 4096; see struct metastore_info. [out]
 *		present capacity
 * @len:	[out] events that wait
 * @bytes:	[out] bytes that count against @max_bytes
 * @high_len:	[out] most events that ever waited
 * @subscriptions: [out] present number of subscriptions
 * @matched:	[out] events that subscriptions ever matched, including those of
 *		snapshots
 * @delivered:	[out] events that were read
 * @conflated:	[out] events that a newer one replaced
 * @lost:	[out] events that were lost
 * @pending:	[out] events that wait or that readers are copying
 * @oldest:	[out] age of the oldest waiting event in ms, in steps of the kernel's
 *		clock tick, up to 34 years; 0: no event waits
 * @discarded:	[out] events that METASTORE_SUBSCRIBE_RESYNC or _DISCARD removed. One that
 *		waits behind another subscription's event is pending until that is read
 *
 * Change the open file's event queue, and tell its state. All [out] fields are of
 * one moment. Kernel counters account for every event: @matched = @delivered +
 * @conflated + @lost + @discarded + @pending. Ended subscriptions are included; LOST, FLUSHED and
 * SNAPSHOT_END are not.
 *
 * A queue that is made smaller drops its oldest events until the rest fits. A
 * lossless queue fails with EBUSY instead. A field whose bit in @flags is not set
 * is ignored.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - EINVAL: also an unknown @policy, or @max_len or @max_bytes out of the range of
 *   the module parameters queue_len and queue_bytes
 * - EPERM: a limit is above METASTORE_QUEUE_FACTOR times the store's, without
 *   CAP_SYS_RESOURCE
 * - EBUSY: more than METASTORE_QUEUE_MOVE_MAX events wait, which would all be moved
 *   under a lock; or the queue stays or becomes lossless, and holds more events than
 *   it would have room for; or the queue has a mapped ring
 * - ENOBUFS: @max_bytes is less than twice what METASTORE_SUBSCRIBE_LATEST reserved
 * - EDQUOT: the file has or had subscriptions, and its queue would exceed
 *   user_queue_bytes of the file's user
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
	__aligned_u64 discarded;
};

/**
 * struct metastore_subscription_info - arguments of SUBSCRIPTION
 * @key:	address of the key or prefix
 * @key_len:	length of the key or prefix in bytes
 * @flags:	METASTORE_SUBSCRIBE_PREFIX: tell about the subscription to the prefix.
 *		[out] METASTORE_SUBSCRIBE_* of the subscription; _SNAPSHOT only until
 *		the end of the snapshot is read
 * @cookie:	[out] cookie of the subscription
 * @events:	[out] mask of events of the subscription
 * @reserved:	must be 0
 * @matched:	[out] this counter and the next four are as in struct
 *		metastore_queue_info, for this subscription
 * @delivered:	[out] see @matched
 * @conflated:	[out] see @matched
 * @lost:	[out] see @matched
 * @pending:	[out] see @matched
 * @discarded:	[out] see @matched
 *
 * Tell the counters of one subscription of the open file. @matched = @delivered +
 * @conflated + @lost + @discarded + @pending holds here too.
 *
 * Return: 0. Errors, besides those of every command:
 *
 * - ENOENT: the open file is not subscribed to the key or prefix
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
	__aligned_u64 discarded;
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
#define METASTORE_IOC_TOUCH \
	_IOWR(METASTORE_IOC_MAGIC, 0x11, struct metastore_touch)
#define METASTORE_IOC_USER \
	_IOWR(METASTORE_IOC_MAGIC, 0x12, struct metastore_user_info)

#endif /* _UAPI_LINUX_METASTORE_H */
