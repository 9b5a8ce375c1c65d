/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmetastore: /dev/metastore for C and C++.
 *
 * The machine's string map with publish/subscribe. A program opens a store,
 * sets, gets, deletes and publishes keys in it, subscribes the opened store to
 * keys and reads what happens to them as events.
 *
 * Rules for every function:
 *
 * Bytes	Keys are 1 to MSTORE_KEY_MAX bytes, values 0 bytes to the
 *		store's max_value (struct mstore_info). Both are any bytes with
 *		a length in bytes. For a C string, MSTORE_STRLEN may be passed
 *		as its length.
 * Results	Functions that return int return -1 when they fail, functions
 *		that return a pointer NULL, with the reason in errno. They
 *		write nothing through pointers then, unless the function says
 *		otherwise.
 * NULL		A result that is not wanted: NULL may be passed for any pointer
 *		through which a function writes a single number. Functions that
 *		release an object accept NULL. Elsewhere NULL is an error of the
 *		caller unless the function says what it means.
 * Threads	A struct mstore may be used by any number of threads at once,
 *		without locks; only mstore_close() must be the last. Event
 *		buffers, lists and batches belong to one thread at a time. The
 *		library has no state of its own.
 * fork		After fork() both processes share the open file: subscriptions,
 *		queue, owned keys and all. An event goes to one of them. A child
 *		that wants its own opens the store again. Descriptors are
 *		close-on-exec.
 * Signals	Nothing is repeated behind the caller's back: mstore_wait()
 *		fails with EINTR when a signal arrives, mstore_read_events()
 *		too unless the handler was installed with SA_RESTART, and
 *		mstore_publish_with() when it waits. All else is not interrupted
 *		by signals that the program survives.
 * Atomicity	A call that failed changed nothing. (EFAULT is the exception: if
 *		only a result could not be written, the change is made.)
 *
 * Errors that any function on a store may give, all from the kernel:
 *
 * EBADF	the store was not opened for what the function does:
 *		MSTORE_READ for get, stat, list, subscriptions and events,
 *		MSTORE_WRITE for set, publish, delete, flush and create
 * EFAULT	a pointer is bad
 * EINVAL	a key is empty or longer than MSTORE_KEY_MAX, a flag unknown, or
 *		a reserved field not 0
 * ENOMEM	no memory, or the memory cgroup of the caller is full
 * ENOTTY	the descriptor is not a store, or the module is older than
 *		what is asked of it
 *
 * An older module refuses a flag it lacks with EINVAL, a time to live, a time-out
 * or a version to subscribe from with E2BIG, and a function it lacks with ENOTTY.
 * mstore_info() says what the module can do: enum mstore_features.
 *
 * Further errors stand at each function.
 */
#ifndef METASTORE_H
#define METASTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** MSTORE_KEY_MAX - longest key in bytes */
#define MSTORE_KEY_MAX		255

/** MSTORE_ANY_BUCKET - where a bucket is asked for: do not narrow to one */
#define MSTORE_ANY_BUCKET	(-1)

/**
 * MSTORE_STRLEN - as the length of a key, value or prefix: it ends with a NUL
 *
 * The NUL is not part of it. (No function that fails returns this number, so
 * that a mistake does not pass for it.)
 */
#define MSTORE_STRLEN		(SIZE_MAX - 1)

/**
 * DOC: Opening a store
 */

/** struct mstore - an open store: one open file with an event queue of its own */
struct mstore;

/**
 * enum mstore_open_flags - what a store is opened for
 * @MSTORE_READ:	to get, list, subscribe and read events
 * @MSTORE_WRITE:	to set, publish, delete, flush and create
 * @MSTORE_RDWR:	both
 * @MSTORE_NONBLOCK:	mstore_read_events() fails with EAGAIN rather than wait
 */
enum mstore_open_flags {
	MSTORE_READ	= 1,
	MSTORE_WRITE	= 2,
	MSTORE_RDWR	= 3,
	MSTORE_NONBLOCK	= 4,
};

/**
 * mstore_open() - open a store
 * @path:	path of its device; or fd:N, the store of the inherited
 *		descriptor N (a decimal number), which is opened once more as by
 *		mstore_reopen() and stays as it is; NULL: what the environment
 *		variable METASTORE_STORE names, or /dev/metastore if that is
 *		unset or empty. Programs that run set-user-ID do not look at it
 * @flags:	MSTORE_READ, MSTORE_WRITE or both, and others of enum
 *		mstore_open_flags
 *
 * Return: the store, to be closed with mstore_close(); or NULL. EINVAL: neither
 * MSTORE_READ nor MSTORE_WRITE, or an unknown flag. Else as open(2): ENOENT or
 * ENODEV when the module is not loaded, EACCES, EMFILE and others. With fd:N as
 * mstore_reopen(), and EBADF: there is no such descriptor.
 */
struct mstore *mstore_open(const char *path, int flags);

/**
 * mstore_open_fd() - make a store of a descriptor inherited or received
 * @fd:	descriptor of a store's device. It belongs to the store from now on; if
 *	the function fails it does not. Whether it is one is not checked: calls
 *	on other files fail with ENOTTY
 *
 * Return: the store, to be closed with mstore_close(); or NULL. EBADF: @fd is
 * negative. ENOMEM.
 */
struct mstore *mstore_open_fd(int fd);

/**
 * mstore_close() - close a store
 * @store:	store, or NULL
 *
 * Subscriptions end, owned keys are deleted, and a private store is gone, when
 * no other process holds the same open file.
 */
void mstore_close(struct mstore *store);

/**
 * mstore_fd() - the descriptor of a store, for a poll loop of one's own
 * @store:	store
 *
 * It is readable when an event waits. It stays the store's: do not close it.
 *
 * Return: the descriptor. Never fails.
 */
int mstore_fd(const struct mstore *store);

/**
 * struct mstore_limits - what a private store may hold
 * @buckets:	number of buckets
 * @max_value:	longest value in bytes
 * @queue_len:	events that the queue of an open store holds
 * @queue_bytes: bytes that they may take
 * @max_keys:	keys that the store may hold
 * @max_bytes:	bytes that they may take
 * @reserved:	must be 0
 *
 * 0 is what the store has that it is made from.
 */
struct mstore_limits {
	uint32_t buckets;
	uint32_t max_value;
	uint32_t queue_len;
	uint32_t queue_bytes;
	uint64_t max_keys;
	uint64_t max_bytes;
	uint64_t reserved[4];
};

/**
 * mstore_create() - make a private store
 * @from:	any open store
 * @limits:	limits of the new one; NULL: as @from has them
 * @flags:	as for mstore_open()
 *
 * The new store is empty and has no name. It is reached through descriptors
 * alone: this one, those that fork() and sockets hand on, and those that
 * mstore_reopen() makes of them. With the last of them it is gone.
 *
 * Return: the store, to be closed with mstore_close(); or NULL. EINVAL: also
 * @flags as in mstore_open(), or a limit out of the range that the module's
 * parameter of that name has. EPERM: a limit other than @buckets is above that of
 * @from, without CAP_SYS_RESOURCE. ENOSPC: private stores have private_bytes
 * already (struct mstore_info). EMFILE, ENFILE: too many descriptors.
 */
struct mstore *mstore_create(struct mstore *from,
			     const struct mstore_limits *limits, int flags);

/**
 * mstore_reopen() - open a store once more
 * @store:	store
 * @flags:	as for mstore_open(); only what @store was opened for
 *
 * The new one has an event queue, subscriptions and owned keys of its own. To
 * let others only read a private store, hand them one that was reopened with
 * MSTORE_READ.
 *
 * Return: the store, to be closed with mstore_close(); or NULL. EINVAL: @flags as
 * in mstore_open(). EACCES: @store was not opened for that. EMFILE, ENFILE: too
 * many descriptors.
 */
struct mstore *mstore_reopen(struct mstore *store, int flags);

/**
 * DOC: Keys and values
 */

/**
 * mstore_set() - store a value under a key
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @value:	value; not looked at if @value_len is 0
 * @value_len:	its length
 * @version:	where to write the version of the stored value, or NULL
 *
 * Subscribers that asked for MSTORE_EVENT_SET get an event. Versions of a key
 * strictly increase, also across deletion, and are never 0. The value has no
 * owner and no end, whatever the one before had.
 *
 * Return: 0, or -1. EMSGSIZE: the value is longer than the store's max_value.
 * ENOSPC: the store is full (max_keys or max_bytes), or all private stores
 * together are (private_bytes). EBUSY: the key belongs to another open store.
 */
int mstore_set(struct mstore *store, const void *key, size_t key_len,
	       const void *value, size_t value_len, uint64_t *version);

/**
 * mstore_publish() - store a value under a key and tell its subscribers
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @value:	value; not looked at if @value_len is 0
 * @value_len:	its length
 * @version:	where to write the version of the stored value, or NULL
 *
 * As mstore_set(), with an event to the subscribers that asked for
 * MSTORE_EVENT_PUBLISHED. A subscriber whose queue is full loses its oldest
 * event to this one, or this one if the queue is lossless; nobody waits for it.
 *
 * Return: the number of event queues that took the event, or -1 with the errors
 * of mstore_set().
 */
int mstore_publish(struct mstore *store, const void *key, size_t key_len,
		   const void *value, size_t value_len, uint64_t *version);

/**
 * enum mstore_write_flags - how a value is stored or removed
 * @MSTORE_CREATE:	only if there is no value, else EEXIST
 * @MSTORE_REPLACE:	only if there is one, else ENOENT
 * @MSTORE_IF_VERSION:	only if it has the version of the options, else ESTALE
 * @MSTORE_OWNED:	it belongs to this open store
 * @MSTORE_STEAL:	even if it belongs to another one
 * @MSTORE_WAIT:	mstore_publish_with(): wait for room in the queues that are
 *			lossless
 *
 * Of the first three only one may be given.
 *
 * An owned key can be overwritten and deleted through the open store alone that
 * it belongs to; others get EBUSY unless they say MSTORE_STEAL. When that is
 * closed for the last time, however its processes ended, the key is deleted, with
 * an event that has the flag MSTORE_EVENT_F_OWNER. Descriptors that were made by
 * dup(), fork() or sent over a socket prolong the ownership: they are the same
 * open store.
 */
enum mstore_write_flags {
	MSTORE_CREATE		= 1,
	MSTORE_REPLACE		= 2,
	MSTORE_IF_VERSION	= 4,
	MSTORE_OWNED		= 8,
	MSTORE_STEAL		= 16,
	MSTORE_WAIT		= 32,
};

/** MSTORE_WAIT_FOREVER - as a time-out of MSTORE_WAIT: no end */
#define MSTORE_WAIT_FOREVER	UINT32_MAX

/** MSTORE_TTL_MAX - longest time to live in ms */
#define MSTORE_TTL_MAX		(UINT64_C(1) << 40)

/**
 * struct mstore_options - how a value is stored or removed
 * @flags:	mask of enum mstore_write_flags
 * @timeout_ms:	MSTORE_WAIT: how long to wait in ms, MSTORE_WAIT_FOREVER: without
 *		an end, 0: not at all. Else it must be 0
 * @version:	MSTORE_IF_VERSION: the version that the value must have; 0: there
 *		must be none. Not looked at otherwise
 * @ttl_ms:	time to live in ms, to MSTORE_TTL_MAX; 0: for ever
 * @reserved:	must be 0
 *
 * To be zeroed, then what is wanted is set:
 *
 *	struct mstore_options options = { .flags = MSTORE_OWNED };
 *
 * A time to live runs from the moment the value is stored, also while the machine
 * sleeps (CLOCK_BOOTTIME). Once it is over the value is not found, and deleted
 * with an event that has the flag MSTORE_EVENT_F_EXPIRED.
 */
struct mstore_options {
	int flags;
	uint32_t timeout_ms;
	uint64_t version;
	uint64_t ttl_ms;
	uint64_t reserved[5];
};

/**
 * mstore_set_with() - store a value under a key, with conditions
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @value:	value; not looked at if @value_len is 0
 * @value_len:	its length
 * @options:	conditions, owner, time to live; NULL: none
 * @version:	where to write the version of the stored value, or NULL. After
 *		EEXIST and ESTALE it is that of the value there is, 0 if there
 *		is none
 *
 * To write what was computed from a value, if nobody else has written since:
 *
 *	options.flags = MSTORE_IF_VERSION;
 *	do {
 *		(get the value and options.version)
 *	} while (mstore_set_with(..., &options, NULL) && errno == ESTALE);
 *
 * Return: 0, or -1 with the errors of mstore_set(), and: EEXIST, ENOENT, ESTALE:
 * the condition is not met. EINVAL: also two conditions, or @ttl_ms above
 * MSTORE_TTL_MAX.
 */
int mstore_set_with(struct mstore *store, const void *key, size_t key_len,
		    const void *value, size_t value_len,
		    const struct mstore_options *options, uint64_t *version);

/**
 * mstore_publish_with() - store a value and tell subscribers, with conditions
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @value:	value; not looked at if @value_len is 0
 * @value_len:	its length
 * @options:	as for mstore_set_with(), and MSTORE_WAIT with its time-out
 * @version:	as for mstore_set_with()
 *
 * With MSTORE_WAIT it waits until every subscriber of the event whose queue is
 * lossless (mstore_queue_set()) has room for it; then all of them get it, or the
 * call fails and nothing is changed. Meanwhile the key can be changed by others,
 * and conditions are judged again after each wait. A queue that can never hold the
 * event is not waited for, and counts it as lost.
 *
 * Return: the number of event queues that took the event, or -1 with the errors
 * of mstore_set_with(). With MSTORE_WAIT also EAGAIN: there is no room, and
 * @timeout_ms is 0 or the store MSTORE_NONBLOCK. ETIMEDOUT: there was none in time.
 * EINTR: a signal.
 */
int mstore_publish_with(struct mstore *store, const void *key, size_t key_len,
			const void *value, size_t value_len,
			const struct mstore_options *options,
			uint64_t *version);

/**
 * mstore_get() - copy the value of a key
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @buffer:	where to write the value
 * @size:	size of @buffer in bytes, not NULL; then the length of the value
 * @version:	where to write the version of the value, or NULL
 *
 * Return: 0, or -1. ENOENT: no such key. ERANGE: the value is longer than
 * @buffer, to which nothing was written; @size is the length needed, @version
 * the version that had it.
 */
int mstore_get(struct mstore *store, const void *key, size_t key_len,
	       void *buffer, size_t *size, uint64_t *version);

/**
 * mstore_get_alloc() - the value of a key in memory of its own
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @value_len:	where to write the length of the value, or NULL
 * @version:	where to write the version of the value, or NULL
 *
 * Return: the value, to be released with free(3), with a NUL behind it that its
 * length does not count; or NULL. ENOENT: no such key.
 */
char *mstore_get_alloc(struct mstore *store, const void *key, size_t key_len,
		       size_t *value_len, uint64_t *version);

/**
 * mstore_delete() - remove a key and its value
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @version:	where to write the version of the deletion, or NULL
 *
 * Subscriptions to the key stay; those that asked for MSTORE_EVENT_DELETED get
 * an event.
 *
 * Return: 0, or -1. ENOENT: no such key. EBUSY: it belongs to another open store.
 */
int mstore_delete(struct mstore *store, const void *key, size_t key_len,
		  uint64_t *version);

/**
 * mstore_delete_with() - remove a key and its value, with conditions
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @options:	MSTORE_IF_VERSION and MSTORE_STEAL, no other flag and no times;
 *		NULL: none
 * @version:	where to write the version of the deletion, or NULL. After ESTALE
 *		it is that of the value there is, 0 if there is none
 *
 * Return: 0, or -1 with the errors of mstore_delete(), and ESTALE: the value has
 * another version.
 */
int mstore_delete_with(struct mstore *store, const void *key, size_t key_len,
		       const struct mstore_options *options,
		       uint64_t *version);

/**
 * enum mstore_flush_flags - what else mstore_flush() removes
 * @MSTORE_FLUSH_SUBSCRIPTIONS: subscriptions
 * @MSTORE_FLUSH_STEAL:	values that belong to other open stores
 */
enum mstore_flush_flags {
	MSTORE_FLUSH_SUBSCRIPTIONS	= 1,
	MSTORE_FLUSH_STEAL		= 2,
};

/**
 * mstore_flush() - remove many keys
 * @store:	store
 * @prefix:	remove only keys that start with this; not looked at if
 *		@prefix_len is 0
 * @prefix_len:	its length; 0: all keys
 * @bucket:	remove only keys of this bucket, or MSTORE_ANY_BUCKET
 * @flags:	mask of enum mstore_flush_flags
 * @values:	where to write the number of values removed, or NULL
 * @subscriptions: where to write the number of subscriptions removed, or NULL
 *
 * Each value is removed as by mstore_delete(), with an event that has the flag
 * MSTORE_EVENT_F_FLUSH. Values written meanwhile may go or stay. Those that
 * belong to other open stores stay, unless MSTORE_FLUSH_STEAL is given.
 *
 * MSTORE_FLUSH_SUBSCRIPTIONS removes the subscriptions to matching keys too,
 * whoever made them; each open file that lost some gets one
 * MSTORE_EVENT_FLUSHED. It needs CAP_SYS_ADMIN, or the user who made the private
 * store.
 *
 * Return: 0, or -1. EPERM: subscriptions without the right. ERANGE: no such
 * bucket.
 */
int mstore_flush(struct mstore *store, const void *prefix, size_t prefix_len,
		 int bucket, int flags, uint64_t *values,
		 uint64_t *subscriptions);

/**
 * enum mstore_owner - whose a key is
 * @MSTORE_OWNER_NONE:	nobody's
 * @MSTORE_OWNER_SELF:	of the open store that asks
 * @MSTORE_OWNER_OTHER:	of another one
 */
enum mstore_owner {
	MSTORE_OWNER_NONE	= 0,
	MSTORE_OWNER_SELF	= 1,
	MSTORE_OWNER_OTHER	= 2,
};

/**
 * struct mstore_stat - what is known about a key
 * @version:	version of its value
 * @time:	when that was written, CLOCK_REALTIME in ns
 * @value_len:	its length in bytes
 * @tgid:	process that wrote it, as numbered in the initial PID namespace
 * @uid:	effective user of that process
 * @subscribers: number of subscriptions to the key
 * @bucket:	bucket the key falls in
 * @owner:	one of enum mstore_owner
 * @ttl_ms:	what is left of its time to live in ms, rounded up; 0: no end
 * @reserved:	0, until it gets a meaning
 */
struct mstore_stat {
	uint64_t version;
	uint64_t time;
	uint32_t value_len;
	int32_t tgid;
	uint32_t uid;
	uint32_t subscribers;
	uint32_t bucket;
	uint32_t owner;
	uint64_t ttl_ms;
	uint32_t reserved[12];
};

/**
 * mstore_stat() - ask about a key without its value
 * @store:	store
 * @key:	key
 * @key_len:	its length
 * @stat:	where to write the answer, all of one moment
 *
 * Return: 0, or -1. ENOENT: no such key.
 */
int mstore_stat(struct mstore *store, const void *key, size_t key_len,
		struct mstore_stat *stat);

/**
 * mstore_bucket() - the hasher: which bucket a key falls in
 * @store:	store
 * @key:	key; need not exist
 * @key_len:	its length
 * @buckets:	where to write how many buckets the store has, or NULL
 *
 * The answer is the same until the module is unloaded.
 *
 * Return: the bucket, from 0, or -1.
 */
int mstore_bucket(struct mstore *store, const void *key, size_t key_len,
		  uint32_t *buckets);

/**
 * enum mstore_features - what a module can do beyond its first version
 * @MSTORE_FEATURE_CONDITIONS: MSTORE_CREATE, MSTORE_REPLACE, MSTORE_IF_VERSION
 * @MSTORE_FEATURE_OWNERS: MSTORE_OWNED and MSTORE_STEAL
 * @MSTORE_FEATURE_TTL:	times to live
 * @MSTORE_FEATURE_BATCH: mstore_batch_run()
 * @MSTORE_FEATURE_PRIVATE: mstore_create() and mstore_reopen()
 * @MSTORE_FEATURE_DELIVERY: mstore_subscribe_with(), mstore_queue_set() and what
 *		goes with them
 * @MSTORE_FEATURE_WAIT: MSTORE_WAIT
 */
enum mstore_features {
	MSTORE_FEATURE_CONDITIONS	= 1 << 0,
	MSTORE_FEATURE_OWNERS		= 1 << 1,
	MSTORE_FEATURE_TTL		= 1 << 2,
	MSTORE_FEATURE_BATCH		= 1 << 3,
	MSTORE_FEATURE_PRIVATE		= 1 << 4,
	MSTORE_FEATURE_DELIVERY		= 1 << 5,
	MSTORE_FEATURE_WAIT		= 1 << 6,
};

/**
 * struct mstore_info - limits and counters of a store
 * @features:	mask of enum mstore_features
 * @buckets:	number of buckets
 * @key_max:	longest key in bytes
 * @max_value:	longest value in bytes
 * @queue_len:	events that the queue of an open store holds
 * @queue_bytes: bytes that they may take, counted as in @bytes
 * @max_subscriptions: subscriptions that an open store may have
 * @max_keys:	keys that the store may hold
 * @max_bytes:	bytes that they may take, counted as in @bytes
 * @keys:	keys there are
 * @bytes:	bytes that they take: each counts key, value and what the module
 *		keeps beside them
 * @subscriptions: subscriptions there are
 * @private_bytes: bytes that all private stores together may take
 * @reserved:	0, until it gets a meaning
 */
struct mstore_info {
	uint64_t features;
	uint32_t buckets;
	uint32_t key_max;
	uint32_t max_value;
	uint32_t queue_len;
	uint32_t queue_bytes;
	uint32_t max_subscriptions;
	uint64_t max_keys;
	uint64_t max_bytes;
	uint64_t keys;
	uint64_t bytes;
	uint64_t subscriptions;
	uint64_t private_bytes;
	uint64_t reserved[22];
};

/**
 * mstore_info() - ask for the limits and counters of a store
 * @store:	store
 * @bucket:	count @keys, @bytes and @subscriptions in this bucket alone, or
 *		MSTORE_ANY_BUCKET
 * @info:	where to write the answer
 *
 * Return: 0, or -1. ERANGE: no such bucket.
 */
int mstore_info(struct mstore *store, int bucket, struct mstore_info *info);

/**
 * DOC: Batches
 *
 * A batch is up to MSTORE_BATCH_MAX operations in one call:
 *
 *	one = mstore_batch_get(batch, "one", MSTORE_STRLEN, buffer, size);
 *	two = mstore_batch_set(batch, "two", MSTORE_STRLEN, "2", 1, NULL);
 *	if (mstore_batch_run(store, batch, 0) == 0 &&
 *	    mstore_batch_result(batch, one) == 0)
 *		(the value is in buffer, mstore_batch_value_len(batch, one) long)
 */

/** struct mstore_batch - operations and what became of them */
struct mstore_batch;

/** MSTORE_BATCH_MAX - most operations of a batch */
#define MSTORE_BATCH_MAX	256

/** MSTORE_ATOMIC_MAX - most operations of an atomic batch */
#define MSTORE_ATOMIC_MAX	32

/**
 * enum mstore_batch_flags - how a batch is run
 * @MSTORE_BATCH_ATOMIC: all operations or none, at one moment
 */
enum mstore_batch_flags {
	MSTORE_BATCH_ATOMIC	= 1,
};

/**
 * mstore_batch_new() - make a batch, without operations
 *
 * Return: the batch, to be released with mstore_batch_free(); or NULL. ENOMEM.
 */
struct mstore_batch *mstore_batch_new(void);

/**
 * mstore_batch_free() - release a batch
 * @batch:	batch, or NULL
 */
void mstore_batch_free(struct mstore_batch *batch);

/**
 * mstore_batch_clear() - take all operations out of a batch
 * @batch:	batch
 */
void mstore_batch_clear(struct mstore_batch *batch);

/**
 * mstore_batch_get() - have a batch copy the value of a key
 * @batch:	batch
 * @key:	key; it is not copied, here and below: it must stay as it is until
 *		the batch has run
 * @key_len:	its length
 * @buffer:	where to write the value
 * @size:	size of @buffer in bytes
 *
 * Return: the index of the operation, from 0 in the order they are added, or -1.
 * E2BIG: the batch has MSTORE_BATCH_MAX operations.
 */
int mstore_batch_get(struct mstore_batch *batch, const void *key,
		     size_t key_len, void *buffer, size_t size);

/**
 * mstore_batch_set() - have a batch store a value under a key
 * @batch:	batch
 * @key:	key
 * @key_len:	its length
 * @value:	value; not copied either, and not looked at if @value_len is 0
 * @value_len:	its length
 * @options:	as for mstore_set_with(); these are copied
 *
 * Return: the index of the operation, or -1. E2BIG: the batch has
 * MSTORE_BATCH_MAX operations. EINVAL: a reserved field of @options, or its
 * @timeout_ms, is not 0.
 */
int mstore_batch_set(struct mstore_batch *batch, const void *key,
		     size_t key_len, const void *value, size_t value_len,
		     const struct mstore_options *options);

/**
 * mstore_batch_publish() - have a batch publish a value
 * @batch:	batch
 * @key:	key
 * @key_len:	its length
 * @value:	as for mstore_batch_set()
 * @value_len:	its length
 * @options:	as for mstore_batch_set()
 *
 * Return: the index of the operation, or -1 with the errors of
 * mstore_batch_set().
 */
int mstore_batch_publish(struct mstore_batch *batch, const void *key,
			 size_t key_len, const void *value, size_t value_len,
			 const struct mstore_options *options);

/**
 * mstore_batch_delete() - have a batch remove a key and its value
 * @batch:	batch
 * @key:	key
 * @key_len:	its length
 * @options:	as for mstore_delete_with(); these are copied
 *
 * Return: the index of the operation, or -1. E2BIG: the batch has
 * MSTORE_BATCH_MAX operations. EINVAL: a reserved field of @options, or one of its
 * times, is not 0.
 */
int mstore_batch_delete(struct mstore_batch *batch, const void *key,
			size_t key_len, const struct mstore_options *options);

/**
 * mstore_batch_count() - how many operations a batch has
 * @batch:	batch
 *
 * Return: the number. Never fails.
 */
int mstore_batch_count(const struct mstore_batch *batch);

/**
 * mstore_batch_run() - do the operations of a batch
 * @store:	store
 * @batch:	batch; it keeps its operations and may be run again
 * @flags:	0 or MSTORE_BATCH_ATOMIC
 *
 * With 0 they are done one after the other, as if each were a call of its own;
 * each has its result, and none stops the others.
 *
 * With MSTORE_BATCH_ATOMIC there may be up to MSTORE_ATOMIC_MAX, each about
 * another key. They happen at one moment: no other change, and no other atomic
 * batch, reads included, comes between. If one fails none is done: the result of
 * that one says why, those of the others are ECANCELED. A get that finds no
 * value (ENOENT) is not a failure, nor is one whose buffer is bad (EFAULT), which
 * is found out when all is done. mstore_get() and lists wait for nobody: they may
 * see some of the values stored already and others not yet. Atomic batches of a
 * store take turns.
 *
 * Each queue gets the events of an atomic batch one right behind the other, with
 * MSTORE_EVENT_F_MORE in all but the last.
 *
 * A batch without operations does nothing.
 *
 * Return: 0, with 0 in @flags also when operations failed; or -1. ECANCELED: an
 * operation of an atomic batch failed (mstore_batch_failed()). EINVAL: also
 * an atomic batch with too many operations, or with two about one key. Where
 * it fails otherwise than with ECANCELED nothing was done, and the result of
 * each operation is that error.
 */
int mstore_batch_run(struct mstore *store, struct mstore_batch *batch,
		     int flags);

/**
 * mstore_batch_failed() - the first operation that failed
 * @batch:	batch
 *
 * Return: its index; -1 if none did when the batch was run last. Of an atomic
 * batch it is the one that was the reason for ECANCELED.
 */
int mstore_batch_failed(const struct mstore_batch *batch);

/**
 * mstore_batch_result() - what became of an operation
 * @batch:	batch
 * @index:	the operation's
 *
 * Those that follow ask for more of it. They never fail: where there is nothing
 * to tell, such as before the batch was run, the answer is 0.
 *
 * Return: 0, or the (positive) errno that the function for one key would have
 * given: mstore_get(), mstore_set_with(), mstore_publish_with(),
 * mstore_delete_with(). EINVAL also for an index that no operation has.
 */
int mstore_batch_result(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_version() - the version that an operation read or gave
 * @batch:	batch
 * @index:	the operation's
 *
 * Return: the version, as the function for one key writes it, also after ERANGE,
 * EEXIST and ESTALE. Else 0.
 */
uint64_t mstore_batch_version(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_value_len() - length of the value that a get found
 * @batch:	batch
 * @index:	the operation's
 *
 * Return: the length in bytes; after ERANGE the one needed. Else 0.
 */
size_t mstore_batch_value_len(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_ttl() - what is left of the time to live of a value
 * @batch:	batch
 * @index:	that of a get that has copied it
 *
 * Return: milliseconds, rounded up; 0: no end.
 */
uint64_t mstore_batch_ttl(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_owner() - whose a value is
 * @batch:	batch
 * @index:	that of a get that has copied it
 *
 * Return: one of enum mstore_owner.
 */
int mstore_batch_owner(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_queues() - how many event queues took a published value
 * @batch:	batch
 * @index:	that of a publish
 *
 * Return: the number.
 */
int mstore_batch_queues(const struct mstore_batch *batch, int index);

/**
 * DOC: Listing keys
 *
 * A list walks the keys of a store:
 *
 *	while (mstore_list_next(list) > 0) {
 *		key = mstore_list_key(list, &len);
 *		...
 *	}
 */

/** struct mstore_list - a walk over keys */
struct mstore_list;

/**
 * mstore_list_new() - begin a walk over the keys of a store
 * @store:	store; must stay open as long as the list is used
 * @prefix:	list only keys that start with this; not looked at if
 *		@prefix_len is 0
 * @prefix_len:	its length; 0: all keys
 * @bucket:	list only keys of this bucket, or MSTORE_ANY_BUCKET
 *
 * Return: the list, in front of its first key, to be released with
 * mstore_list_free(); or NULL. EINVAL: @prefix_len is above MSTORE_KEY_MAX.
 * ENOMEM.
 */
struct mstore_list *mstore_list_new(struct mstore *store, const void *prefix,
				    size_t prefix_len, int bucket);

/**
 * mstore_list_next() - go to the next key
 * @list:	list
 *
 * Keys come in no order that means anything. One that exists during the whole
 * walk comes exactly once, one that comes or goes meanwhile at most once.
 *
 * Return: 1; 0 when there are no more; or -1. ERANGE: no such bucket. EPROTO:
 * the kernel's answer makes no sense.
 */
int mstore_list_next(struct mstore_list *list);

/**
 * mstore_list_key() - the key that mstore_list_next() went to
 * @list:	list on which it returned 1
 * @len:	where to write the length of the key, or NULL
 *
 * Return: the key, valid until the next call of mstore_list_next() or
 * mstore_list_free(). No NUL follows. Never fails.
 */
const char *mstore_list_key(const struct mstore_list *list, size_t *len);

/**
 * mstore_list_value_len() - length of that key's value
 * @list:	list
 *
 * Return: the length in bytes, as it was when the key was listed.
 */
size_t mstore_list_value_len(const struct mstore_list *list);

/**
 * mstore_list_version() - version of that key's value
 * @list:	list
 *
 * Return: the version, as it was when the key was listed.
 */
uint64_t mstore_list_version(const struct mstore_list *list);

/**
 * mstore_list_free() - release a list
 * @list:	list, or NULL
 */
void mstore_list_free(struct mstore_list *list);

/**
 * DOC: Subscriptions
 */

/**
 * enum mstore_event_type - what happened; the first three also a mask to subscribe
 * @MSTORE_EVENT_PUBLISHED: a value was stored by mstore_publish()
 * @MSTORE_EVENT_SET:	a value was stored by mstore_set()
 * @MSTORE_EVENT_DELETED: a value was removed
 * @MSTORE_EVENT_SNAPSHOT: a value was there already (MSTORE_SUBSCRIBE_SNAPSHOT)
 * @MSTORE_EVENT_SNAPSHOT_END: those were all that there were
 * @MSTORE_EVENT_LOST:	events of a subscription were lost. Comes unasked
 * @MSTORE_EVENT_FLUSHED: subscriptions were removed. Comes unasked
 */
enum mstore_event_type {
	MSTORE_EVENT_PUBLISHED	= 1 << 0,
	MSTORE_EVENT_SET	= 1 << 1,
	MSTORE_EVENT_DELETED	= 1 << 2,
	MSTORE_EVENT_SNAPSHOT	= 1 << 12,
	MSTORE_EVENT_SNAPSHOT_END = 1 << 13,
	MSTORE_EVENT_LOST	= 1 << 14,
	MSTORE_EVENT_FLUSHED	= 1 << 15,
};

/**
 * enum mstore_event_by - in a mask to subscribe: only what was removed so
 * @MSTORE_EVENT_BY_DELETE: by mstore_delete(), also in a batch
 * @MSTORE_EVENT_BY_FLUSH: by mstore_flush()
 * @MSTORE_EVENT_BY_EXPIRY: its time to live was over
 * @MSTORE_EVENT_BY_OWNER: its owner is gone
 *
 * In place of MSTORE_EVENT_DELETED, which is all of them, and which is the type of
 * the event; its flags say which it was.
 */
enum mstore_event_by {
	MSTORE_EVENT_BY_DELETE	= 1 << 3,
	MSTORE_EVENT_BY_FLUSH	= 1 << 4,
	MSTORE_EVENT_BY_EXPIRY	= 1 << 5,
	MSTORE_EVENT_BY_OWNER	= 1 << 6,
};

/**
 * enum mstore_event_flags - more about what happened
 * @MSTORE_EVENT_F_FLUSH: DELETED: mstore_flush() did it
 * @MSTORE_EVENT_F_EXPIRED: DELETED: its time to live was over
 * @MSTORE_EVENT_F_OWNER: DELETED: its owner is gone (mstore_event_end())
 * @MSTORE_EVENT_F_STOLEN: it was taken from its owner by MSTORE_STEAL. The owner,
 *		if subscribed to the key, gets this event whatever it asked for
 * @MSTORE_EVENT_F_MORE: the next event of this queue is of the same atomic batch,
 *		or LOST, since when others of it may be missing
 * @MSTORE_EVENT_F_NO_VALUE: the value is left out (MSTORE_SUBSCRIBE_NO_VALUE)
 */
enum mstore_event_flags {
	MSTORE_EVENT_F_FLUSH	= 1 << 0,
	MSTORE_EVENT_F_EXPIRED	= 1 << 1,
	MSTORE_EVENT_F_OWNER	= 1 << 2,
	MSTORE_EVENT_F_STOLEN	= 1 << 3,
	MSTORE_EVENT_F_MORE	= 1 << 4,
	MSTORE_EVENT_F_NO_VALUE	= 1 << 5,
};

/**
 * mstore_subscribe() - subscribe the open store to a key
 * @store:	store
 * @key:	key; need not exist
 * @key_len:	its length
 * @events:	mask of MSTORE_EVENT_PUBLISHED, _SET, _DELETED and _BY_*; 0 is
 *		MSTORE_EVENT_PUBLISHED alone
 * @cookie:	any number; it comes back in each event
 *
 * Return: 0, or -1. EEXIST: subscribed already. ENOBUFS: this open store has
 * max_subscriptions subscriptions.
 */
int mstore_subscribe(struct mstore *store, const void *key, size_t key_len,
		     int events, uint64_t cookie);

/**
 * enum mstore_subscribe_flags - to what, and how, one subscribes
 * @MSTORE_SUBSCRIBE_PREFIX: to all keys that start with @key, also those that do
 *		not exist yet; it may be empty
 * @MSTORE_SUBSCRIBE_SNAPSHOT: first of all the values there are
 * @MSTORE_SUBSCRIBE_NEWER: of these only one above the version of the options; not
 *		with MSTORE_SUBSCRIBE_PREFIX
 * @MSTORE_SUBSCRIBE_LATEST: at most one event of each key waits, the newest
 * @MSTORE_SUBSCRIBE_NO_VALUE: events without the value, with
 *		MSTORE_EVENT_F_NO_VALUE
 */
enum mstore_subscribe_flags {
	MSTORE_SUBSCRIBE_PREFIX		= 1 << 0,
	MSTORE_SUBSCRIBE_SNAPSHOT	= 1 << 1,
	MSTORE_SUBSCRIBE_NEWER		= 1 << 2,
	MSTORE_SUBSCRIBE_LATEST		= 1 << 3,
	MSTORE_SUBSCRIBE_NO_VALUE	= 1 << 4,
};

/**
 * struct mstore_subscribe_options - how one subscribes
 * @flags:	mask of enum mstore_subscribe_flags
 * @events:	mask of events, as for mstore_subscribe()
 * @cookie:	any number; it comes back in each event
 * @version:	for MSTORE_SUBSCRIBE_NEWER. Not looked at otherwise
 * @reserved:	must be 0
 *
 * To be zeroed, then what is wanted is set.
 */
struct mstore_subscribe_options {
	int flags;
	int events;
	uint64_t cookie;
	uint64_t version;
	uint64_t reserved[5];
};

/**
 * mstore_subscribe_with() - subscribe to a key or a prefix, with options
 * @store:	store
 * @key:	key or prefix
 * @key_len:	its length
 * @options:	see there; NULL: as mstore_subscribe() with 0 and 0
 *
 * An open store may have one subscription to a key and one to each prefix of it;
 * each of them gets events of its own.
 *
 * With MSTORE_SUBSCRIBE_SNAPSHOT there comes first an event SNAPSHOT for each value
 * there is, then one SNAPSHOT_END, also if there were none. Values are looked up as
 * they are read and take no room in the queue. The changes of a key come behind its
 * value, and those from before that was read do not come at all: applying the events
 * in their order, as long as none is lost, one has at each key what the store has.
 * Events of keys that the snapshot has passed come in between.
 *
 * With MSTORE_SUBSCRIBE_LATEST a new event takes the place of the one that waits for
 * the same key. Of an exact key so none is ever lost, since room for one is
 * reserved; of a prefix only if more keys have events that wait than the queue holds.
 *
 * Return: 0, or -1. EEXIST: subscribed already. ENOBUFS: this open store has
 * max_subscriptions subscriptions, or its queue no room that could be reserved.
 * EBUSY: the first MSTORE_SUBSCRIBE_LATEST to a prefix, while too many events wait.
 * EINVAL: also flags that do not go together, or a reserved field is not 0.
 */
int mstore_subscribe_with(struct mstore *store, const void *key, size_t key_len,
			  const struct mstore_subscribe_options *options);

/**
 * mstore_unsubscribe() - end a subscription to a key
 * @store:	store
 * @key:	key
 * @key_len:	its length
 *
 * No event of it is queued from now on; those that are will still be read. Of a
 * snapshot nothing further comes, not even its end.
 *
 * Return: 0, or -1. ENOENT: not subscribed to the key.
 */
int mstore_unsubscribe(struct mstore *store, const void *key, size_t key_len);

/**
 * mstore_unsubscribe_with() - end a subscription to a key or a prefix
 * @store:	store
 * @key:	key or prefix
 * @key_len:	its length
 * @flags:	MSTORE_SUBSCRIBE_PREFIX: the subscription to the prefix is meant; or 0
 *
 * Return: 0, or -1 as mstore_unsubscribe().
 */
int mstore_unsubscribe_with(struct mstore *store, const void *key, size_t key_len,
			    int flags);

/**
 * struct mstore_subscription_info - the books of a subscription
 * @flags:	mask of enum mstore_subscribe_flags that it was made with; SNAPSHOT
 *		only until the snapshot's end is read
 * @events:	its mask of events
 * @cookie:	its number
 * @matched:	events that it ever matched, those of snapshots included
 * @delivered:	those of them that were read
 * @conflated:	those that a newer one replaced
 * @lost:	those that were lost
 * @pending:	those that wait or are just now being read
 * @reserved:	0, until it gets a meaning
 *
 * Always @matched = @delivered + @conflated + @lost + @pending. LOST, FLUSHED and
 * SNAPSHOT_END are not counted.
 */
struct mstore_subscription_info {
	int flags;
	int events;
	uint64_t cookie;
	uint64_t matched;
	uint64_t delivered;
	uint64_t conflated;
	uint64_t lost;
	uint64_t pending;
	uint64_t reserved[8];
};

/**
 * mstore_subscription_info() - ask for the books of a subscription
 * @store:	store
 * @key:	key or prefix
 * @key_len:	its length
 * @flags:	MSTORE_SUBSCRIBE_PREFIX: the subscription to the prefix is meant; or 0
 * @info:	where to write the answer, all of one moment
 *
 * Return: 0, or -1. ENOENT: this open store is not subscribed to it.
 */
int mstore_subscription_info(struct mstore *store, const void *key,
			     size_t key_len, int flags,
			     struct mstore_subscription_info *info);

/**
 * mstore_subscribers() - how many subscriptions a key has
 * @store:	store
 * @key:	key; need not exist
 * @key_len:	its length
 *
 * Return: the number, those to prefixes of the key included, of all open stores; or
 * -1.
 */
int mstore_subscribers(struct mstore *store, const void *key, size_t key_len);

/**
 * DOC: The event queue
 *
 * Each open store has one, bounded in events and in bytes.
 */

/**
 * enum mstore_queue_policy - what becomes of an event for which there is no room
 * @MSTORE_QUEUE_DROP_OLDEST: it gets it, and the oldest that wait are lost
 * @MSTORE_QUEUE_LOSSLESS: it is lost itself, unless it is published with
 *			MSTORE_WAIT: that waits for room
 */
enum mstore_queue_policy {
	MSTORE_QUEUE_DROP_OLDEST	= 0,
	MSTORE_QUEUE_LOSSLESS		= 1,
};

/**
 * enum mstore_queue_fields - what mstore_queue_set() is to change
 * @MSTORE_QUEUE_SET_LEN: @max_len
 * @MSTORE_QUEUE_SET_BYTES: @max_bytes
 * @MSTORE_QUEUE_SET_POLICY: @policy
 */
enum mstore_queue_fields {
	MSTORE_QUEUE_SET_LEN	= 1 << 0,
	MSTORE_QUEUE_SET_BYTES	= 1 << 1,
	MSTORE_QUEUE_SET_POLICY	= 1 << 2,
};

/** MSTORE_QUEUE_FACTOR - how much larger than made a queue can be, unprivileged */
#define MSTORE_QUEUE_FACTOR	16

/**
 * struct mstore_queue_options - what a queue is to become
 * @which:	mask of enum mstore_queue_fields; what is not in it stays as it is
 * @policy:	one of enum mstore_queue_policy
 * @max_len:	events that it holds, from 1
 * @max_bytes:	bytes that they may take, from 4096
 * @reserved:	must be 0
 */
struct mstore_queue_options {
	int which;
	int policy;
	uint32_t max_len;
	uint32_t max_bytes;
	uint64_t reserved[4];
};

/**
 * mstore_queue_set() - give the event queue of an open store other limits
 * @store:	store
 * @options:	see there
 *
 * Events that wait stay, but for the oldest that a smaller queue has no room for;
 * a lossless one is not made so small.
 *
 * Return: 0, or -1. EINVAL: also an unknown policy, or a limit out of the range that
 * the module's parameters queue_len and queue_bytes have. EPERM: a limit is above
 * MSTORE_QUEUE_FACTOR times that of the store, without CAP_SYS_RESOURCE. EBUSY: too
 * many events wait, or more than the lossless queue would hold. ENOBUFS: room is
 * reserved for MSTORE_SUBSCRIBE_LATEST, and @max_bytes less than twice that.
 */
int mstore_queue_set(struct mstore *store,
		     const struct mstore_queue_options *options);

/**
 * struct mstore_queue_info - what there is of an event queue
 * @policy:	one of enum mstore_queue_policy
 * @max_len:	events that it holds
 * @max_bytes:	bytes that they may take
 * @len:	events that wait
 * @bytes:	what counts against @max_bytes
 * @high_len:	most events that ever waited
 * @subscriptions: subscriptions there are
 * @matched:	as in struct mstore_subscription_info, of all subscriptions that
 *		there are or ever were, and so on
 * @delivered:	.
 * @conflated:	.
 * @lost:	.
 * @pending:	.
 * @oldest_ms:	for how many ms the oldest event has been waiting; 0: none waits
 * @reserved:	0, until it gets a meaning
 */
struct mstore_queue_info {
	int policy;
	uint32_t max_len;
	uint32_t max_bytes;
	uint32_t len;
	uint32_t bytes;
	uint32_t high_len;
	uint32_t subscriptions;
	uint32_t reserved1;
	uint64_t matched;
	uint64_t delivered;
	uint64_t conflated;
	uint64_t lost;
	uint64_t pending;
	uint64_t oldest_ms;
	uint64_t reserved[8];
};

/**
 * mstore_queue_info() - ask for the limits and the books of an event queue
 * @store:	store
 * @info:	where to write the answer, all of one moment
 *
 * Return: 0, or -1.
 */
int mstore_queue_info(struct mstore *store, struct mstore_queue_info *info);

/**
 * DOC: Events
 *
 * mstore_read_events() fills a buffer, which is then walked:
 *
 *	while (mstore_read_events(store, buffer) > 0) {
 *		event = NULL;
 *		while ((event = mstore_event_next(buffer, event)))
 *			...
 *	}
 *
 * For one key events come in the order of its versions. The queue of an open
 * store is bounded. When it overflows the oldest events go (unless it is lossless:
 * mstore_queue_set()), and each subscription that lost some is told how many by an
 * event LOST in front of the next event, whatever subscription that belongs to.
 */

/** struct mstore_event_buffer - memory for events, to be used again and again */
struct mstore_event_buffer;

/** struct mstore_event - one event in a buffer */
struct mstore_event;

/**
 * mstore_event_buffer_new() - make a buffer for events
 * @capacity:	size in bytes, 0: 64 KiB. An event takes its key, its value and
 *		48 bytes or a little more; a buffer grows by itself when a
 *		single event needs it
 *
 * Return: the buffer, to be released with mstore_event_buffer_free(); or NULL.
 * ENOMEM.
 */
struct mstore_event_buffer *mstore_event_buffer_new(size_t capacity);

/**
 * mstore_event_buffer_free() - release a buffer and the events in it
 * @buffer:	buffer, or NULL
 */
void mstore_event_buffer_free(struct mstore_event_buffer *buffer);

/**
 * mstore_wait() - wait until an event can be read
 * @store:	store
 * @timeout_ms:	how long, in milliseconds; 0: only look; negative: forever
 *
 * Another thread or process may read the event first.
 *
 * Return: 1 when mstore_read_events() has something to say, 0 when the time is
 * over, or -1. EINTR: a signal.
 */
int mstore_wait(struct mstore *store, int timeout_ms);

/**
 * mstore_read_events() - read as many events as wait and fit
 * @store:	store
 * @buffer:	buffer; the events that were in it are gone, also on failure
 *
 * Waits for an event, unless the store was opened with MSTORE_NONBLOCK.
 *
 * Return: the number of events, at least 1, or -1. EAGAIN: none is there and
 * the store is MSTORE_NONBLOCK. EINTR: a signal came first. ENOMEM: the buffer
 * cannot grow to the size of the next event, which stays. EPROTO: what was read
 * makes no sense as events.
 */
int mstore_read_events(struct mstore *store,
		       struct mstore_event_buffer *buffer);

/**
 * mstore_event_next() - walk the events of a buffer
 * @buffer:	buffer
 * @event:	an event of it, NULL: begin
 *
 * Return: the event after @event, or NULL after the last one. Events are valid
 * until the buffer is read into again or released; so is what the functions
 * below return for them. Those never fail.
 */
const struct mstore_event *
mstore_event_next(const struct mstore_event_buffer *buffer,
		  const struct mstore_event *event);

/**
 * mstore_event_type() - what happened
 * @event:	event
 *
 * Return: one of enum mstore_event_type. A newer module may have others; events
 * of an unknown type are best ignored.
 */
int mstore_event_type(const struct mstore_event *event);

/**
 * mstore_event_flags() - more about what happened
 * @event:	event
 *
 * Return: mask of enum mstore_event_flags. A newer module may have others.
 */
int mstore_event_flags(const struct mstore_event *event);

/**
 * mstore_event_cookie() - the number given to mstore_subscribe()
 * @event:	event
 *
 * Return: the cookie; 0 in FLUSHED, which belongs to no subscription.
 */
uint64_t mstore_event_cookie(const struct mstore_event *event);

/**
 * mstore_event_key() - the key to which it happened
 * @event:	event
 * @len:	where to write the length of the key, or NULL
 *
 * Return: the key; of length 0 in LOST, FLUSHED and SNAPSHOT_END. No NUL follows.
 */
const char *mstore_event_key(const struct mstore_event *event, size_t *len);

/**
 * mstore_event_value() - the value that was stored, or removed
 * @event:	event
 * @len:	where to write the length of the value, or NULL
 *
 * Return: the value; of length 0 in LOST, FLUSHED and SNAPSHOT_END, and where it is
 * left out (MSTORE_EVENT_F_NO_VALUE). No NUL follows.
 */
const char *mstore_event_value(const struct mstore_event *event, size_t *len);

/**
 * mstore_event_version() - version of the change
 * @event:	event
 *
 * Return: the version; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
uint64_t mstore_event_version(const struct mstore_event *event);

/**
 * mstore_event_count() - how much was lost
 * @event:	event
 *
 * Return: LOST: the number of events of this subscription that were lost since
 * the last LOST. FLUSHED: the number of subscriptions removed. Else 0.
 */
uint64_t mstore_event_count(const struct mstore_event *event);

/**
 * mstore_event_time() - when the value was written
 * @event:	event
 *
 * Return: CLOCK_REALTIME in ns; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
uint64_t mstore_event_time(const struct mstore_event *event);

/**
 * mstore_event_tgid() - process that wrote the value
 * @event:	event
 *
 * Return: its process id in the initial PID namespace; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
int32_t mstore_event_tgid(const struct mstore_event *event);

/**
 * mstore_event_uid() - effective user of the process that wrote the value
 * @event:	event
 *
 * Return: the user id; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
uint32_t mstore_event_uid(const struct mstore_event *event);

/**
 * enum mstore_end - how the owner of a key went
 * @MSTORE_END_CLOSED:	it closed the store, or nobody knows
 * @MSTORE_END_EXITED:	it exited
 * @MSTORE_END_KILLED:	a signal killed it
 */
enum mstore_end {
	MSTORE_END_CLOSED	= 0,
	MSTORE_END_EXITED	= 1,
	MSTORE_END_KILLED	= 2,
};

/**
 * mstore_event_end() - how the owner of a key went
 * @event:	event
 * @tgid:	where to write which process held the last descriptor, as numbered
 *		in the initial PID namespace, or NULL; 0: the kernel itself, of
 *		a descriptor that was on its way in a socket
 * @code:	where to write the exit status (EXITED) or the number of the signal
 *		(KILLED), else 0; or NULL
 *
 * Return: one of enum mstore_end; or -1, with errno as it was, for an event that
 * does not have the flag MSTORE_EVENT_F_OWNER.
 */
int mstore_event_end(const struct mstore_event *event, int32_t *tgid,
		     int *code);

#ifdef __cplusplus
}
#endif

#endif /* METASTORE_H */
