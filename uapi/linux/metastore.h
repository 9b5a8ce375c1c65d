/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * metastore: a string map with publish/subscribe for the whole machine.
 *
 * This header is the complete interface of /dev/metastore; nothing else is
 * needed to write a client.
 *
 * Opening the device gives an open file with an event queue of its own. What
 * reads the store (GET, STAT, LIST, SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBERS and
 * read()) needs a descriptor open for reading, what changes it (SET, PUBLISH,
 * DELETE, FLUSH) one open for writing; else EBADF. BUCKET and INFO need
 * neither.
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

/**
 * struct metastore_set - arguments of SET and PUBLISH
 * @key:	address of the key
 * @value:	address of the value; not looked at if @value_len is 0
 * @key_len:	length of the key in bytes
 * @value_len:	length of the value in bytes
 * @flags:	none yet, must be 0
 * @queues:	[out] PUBLISH: number of event queues that took the event; a
 *		queue that dropped older events to take it counts, one that has
 *		no room for it does not. SET: 0
 * @version:	[out] version of the stored value
 *
 * Stores the value under the key, over what was there. SET sends an event to
 * the subscribers of the key that asked for METASTORE_EVENT_SET, PUBLISH to
 * those that asked for METASTORE_EVENT_PUBLISHED.
 *
 * A version is never 0. For one key versions strictly increase, also across
 * DELETE and re-creation, and across reloads of the module unless the real-time
 * clock was set back in between.
 *
 * Errors: EMSGSIZE: @value_len is above the store's max_value. ENOSPC: the
 * store has max_keys keys, or the value would take it above max_bytes.
 */
struct metastore_set {
	__aligned_u64 key;
	__aligned_u64 value;
	__u32 key_len;
	__u32 value_len;
	__u32 flags;
	__u32 queues;
	__aligned_u64 version;
};

/**
 * struct metastore_get - arguments of GET
 * @key:	address of the key
 * @value:	address of the buffer for the value
 * @key_len:	length of the key in bytes
 * @value_len:	size of the buffer in bytes; [out] length of the value
 * @flags:	none yet, must be 0
 * @reserved:	must be 0
 * @version:	[out] version of the value
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
	__u32 reserved;
	__aligned_u64 version;
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
 * @subscribers: [out] number of subscriptions to the key
 * @bucket:	[out] bucket the key falls in
 * @reserved:	must be 0
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
};

/**
 * struct metastore_delete - arguments of DELETE
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	none yet, must be 0
 * @version:	[out] version of the deletion, greater than the value's
 *
 * Removes the value. Subscriptions to the key stay; those that asked for
 * METASTORE_EVENT_DELETED get an event. Errors: ENOENT: no such key.
 */
struct metastore_delete {
	__aligned_u64 key;
	__u32 key_len;
	__u32 flags;
	__aligned_u64 version;
};

/** METASTORE_FLUSH_SUBSCRIPTIONS - remove matching subscriptions as well */
#define METASTORE_FLUSH_SUBSCRIPTIONS	0x0001

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
 * others; values written meanwhile may go or stay.
 *
 * With METASTORE_FLUSH_SUBSCRIPTIONS (CAP_SYS_ADMIN) the subscriptions to
 * matching keys, of all open files, are removed after that. Each open file that
 * lost some reads one METASTORE_EVENT_FLUSHED, behind the events it had.
 *
 * Errors: EPERM: subscriptions without CAP_SYS_ADMIN. ERANGE: no such bucket.
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
 * Types of events. Those below METASTORE_EVENT_LOST are asked for in the
 * events mask of SUBSCRIBE; LOST and FLUSHED always come.
 */
#define METASTORE_EVENT_PUBLISHED	0x0001	/* stored by PUBLISH */
#define METASTORE_EVENT_SET		0x0002	/* stored by SET */
#define METASTORE_EVENT_DELETED		0x0004	/* removed */
#define METASTORE_EVENT_LOST		0x4000	/* events were lost */
#define METASTORE_EVENT_FLUSHED		0x8000	/* subscriptions were */

/**
 * struct metastore_subscribe - arguments of SUBSCRIBE
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @events:	mask of METASTORE_EVENT_PUBLISHED, _SET and _DELETED; 0 is
 *		METASTORE_EVENT_PUBLISHED alone
 * @cookie:	any number; it comes back in each event
 * @flags:	none yet, must be 0
 * @reserved:	must be 0
 *
 * Subscribes the open file (not the process: a descriptor made by dup() or
 * inherited over fork() shares it) to the key. The key need not exist. Closing
 * the file for the last time unsubscribes.
 *
 * Errors: EEXIST: the file is subscribed to the key already. ENOBUFS: the file
 * has max_subscriptions subscriptions.
 */
struct metastore_subscribe {
	__aligned_u64 key;
	__u32 key_len;
	__u32 events;
	__aligned_u64 cookie;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct metastore_unsubscribe - arguments of UNSUBSCRIBE
 * @key:	address of the key
 * @key_len:	length of the key in bytes
 * @flags:	none yet, must be 0
 *
 * No event of the subscription is queued once the call returned; those queued
 * by then stay and are read. Errors: ENOENT: the file is not subscribed to the
 * key.
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
 * @subscribers: [out] number of subscriptions to the key, of all open files
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

/**
 * struct metastore_info - arguments of INFO
 * @bucket:	count in this bucket; METASTORE_ANY_BUCKET: in all
 * @flags:	none yet, must be 0
 * @features:	[out] bits that say what the module can do beyond this header's
 *		first version; none yet
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
};

/**
 * METASTORE_VALUE_OVERHEAD - bytes that a value counts beyond key and value
 *
 * It is what the module keeps beside them.
 */
#define METASTORE_VALUE_OVERHEAD	48

/** METASTORE_EVENT_F_FLUSH - DELETED: FLUSH did it */
#define METASTORE_EVENT_F_FLUSH		0x0001

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
 * A queue holds queue_len events and queue_bytes bytes. When it is full the
 * oldest are dropped; an event that does not fit beside what readers are just
 * now copying is not taken. Both are counted to their subscription. Each
 * subscription that lost events gets a LOST record before the next event is
 * read, whatever subscription that belongs to. FLUSHED comes behind the events
 * that were queued before subscriptions were removed; several not yet read
 * become one, in the last's place. Neither takes room in the queue.
 *
 * poll() says POLLIN when a record waits; the ioctl FIONREAD gives the size of
 * the next one in bytes, 0 when there is none.
 *
 * /proc/PID/fdinfo/FD has a line each of "subscriptions:", "events:" (waiting),
 * "bytes:" (what counts against queue_bytes, with what readers are just now
 * copying) and "lost:" (ever), with a tab and a decimal number.
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

#endif /* _UAPI_LINUX_METASTORE_H */
