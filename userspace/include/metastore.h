/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmetastore: /dev/metastore for C and C++.
 *
 * The machine's string map with publish/subscribe. A program opens a store, then
 * gets, sets, deletes and publishes keys in it. It can subscribe the open store to
 * keys and read their changes as events.
 *
 * Rules for every function:
 *
 * Bytes	A key has 1 to MSTORE_KEY_MAX bytes. A value has 0 bytes to the
 *		store's max_value (struct mstore_info). Both may hold any bytes, and
 *		lengths are in bytes. For a C string, pass MSTORE_STRLEN as its
 *		length.
 * Results	A function that returns int returns -1 when it fails. A function that
 *		returns a pointer returns NULL. errno tells the reason. A failed
 *		function writes nothing through pointers, unless its description says
 *		otherwise.
 * NULL		Any pointer through which a function writes a single number may be
 *		NULL. So may the argument of functions that release an object.
 *		Elsewhere NULL is an error of the caller, unless the description says
 *		what it means.
 * Threads	Any number of threads may use one struct mstore at once, without
 *		locks. Only mstore_close() must come last. An event buffer, list,
 *		batch, lock, follower or object of versions belongs to one thread at a
 *		time. The library has no global state.
 * fork		After fork() both processes share the open file, with its
 *		subscriptions, queue and owned keys. An event goes to one of them. A
 *		child that wants its own opens the store again. Descriptors are
 *		close-on-exec.
 * Signals	A signal handler without SA_RESTART makes mstore_wait(),
 *		mstore_lock_acquire(), mstore_follow_next(), mstore_read_events() and
 *		mstore_publish_with() with MSTORE_WAIT fail with EINTR, one with
 *		SA_RESTART only the first three. A process that
 *		is stopped, frozen or suspended goes on waiting afterwards. A signal
 *		that the program survives interrupts no other function.
 * Atomicity	A failed call changes nothing. EFAULT is the exception: if only a
 *		result could not be written, the change is made.
 *
 * Errors of any function on a store, all from the kernel:
 *
 * EBADF	the store was not opened with the access that the function needs:
 *		MSTORE_READ for get, stat, list, subscriptions and events,
 *		MSTORE_WRITE for set, publish, delete, flush and create
 * EFAULT	a pointer is bad
 * EINVAL	a key is empty or longer than MSTORE_KEY_MAX, a flag is unknown, or a
 *		reserved field is not 0
 * ENOMEM	out of memory, or the caller's memory cgroup is full
 * ENOTTY	the descriptor is not a store, or the module is too old for the
 *		function
 * ENODEV	the module is retired, so that it can be replaced: close the store, or call
 *		mstore_renew(). A follower does that by itself
 *
 * An older module refuses a flag it lacks with EINVAL, and a function it lacks with
 * ENOTTY. It refuses a time to live, a timeout, a buffer for the previous value, or a
 * version to subscribe from with E2BIG. mstore_info() reports the features of the
 * module: enum mstore_features.
 *
 * Further errors are listed at each function.
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

/** MSTORE_ANY_BUCKET - value of a bucket argument that selects all buckets */
#define MSTORE_ANY_BUCKET	(-1)

/**
 * MSTORE_STRLEN - length argument for a key, value or prefix that ends with a NUL
 *
 * The NUL is not part of the key, value or prefix. The number is none that a
 * failing function returns, so a mistake does not pass for it.
 */
#define MSTORE_STRLEN		(SIZE_MAX - 1)

/**
 * DOC: Opening a store
 */

/** struct mstore - open store: one open file with its own event queue */
struct mstore;

/**
 * enum mstore_open_flags - access to an open store
 * @MSTORE_READ:	get, list, subscribe and read events
 * @MSTORE_WRITE:	set, publish, delete, flush and create
 * @MSTORE_RDWR:	both
 * @MSTORE_NONBLOCK:	mstore_read_events() fails with EAGAIN instead of waiting
 * @MSTORE_MAPPED:	of mstore_create() alone: mstore_map() works with the new store
 */
enum mstore_open_flags {
	MSTORE_READ	= 1,
	MSTORE_WRITE	= 2,
	MSTORE_RDWR	= 3,
	MSTORE_NONBLOCK	= 4,
	MSTORE_MAPPED	= 8,
};

/**
 * mstore_open() - open a store
 * @path:	path of the device; or fd:N with a decimal number: the store of the
 *		inherited descriptor N; NULL: the value of the environment variable
 *		METASTORE_STORE, or /dev/metastore if that is unset or empty
 * @flags:	MSTORE_READ, MSTORE_WRITE or both, optionally with MSTORE_NONBLOCK
 *
 * fd:N opens the store of that descriptor again, as mstore_reopen() does. The
 * descriptor stays open. A set-user-ID program ignores METASTORE_STORE.
 *
 * Return: the store, to be closed with mstore_close(); or NULL with errno:
 *
 * - EINVAL: @flags has neither MSTORE_READ nor MSTORE_WRITE, or an unknown flag
 * - ENOENT, ENODEV: the module is not loaded
 * - EACCES: the device does not permit the access
 * - EBADF: fd:N: no such descriptor
 * - EDQUOT: the user has user_files open stores (struct mstore_user_info)
 * - others of open(2); for fd:N those of mstore_reopen()
 */
struct mstore *mstore_open(const char *path, int flags);

/**
 * mstore_open_fd() - make a store of a descriptor inherited or received
 * @fd:	descriptor of a store. The returned store owns it; if the function fails
 *	the caller still owns it
 *
 * The function does not check the descriptor. On another kind of file later calls
 * fail with ENOTTY.
 *
 * Return: the store, to be closed with mstore_close(); or NULL with errno:
 *
 * - EBADF: @fd is negative
 * - ENOMEM: out of memory
 */
struct mstore *mstore_open_fd(int fd);

/**
 * mstore_close() - close a store
 * @store:	store, or NULL
 *
 * If no other process holds the same open file, its subscriptions end and its owned
 * keys are deleted. A private store is destroyed with its last open file.
 */
void mstore_close(struct mstore *store);

/**
 * mstore_fd() - get the descriptor of a store for a poll loop
 * @store:	store
 *
 * The descriptor is readable when an event waits. The store owns it: do not close
 * it.
 *
 * Return: the descriptor. Never fails.
 */
int mstore_fd(const struct mstore *store);

/**
 * struct mstore_limits - limits of a private store
 * @buckets:	number of buckets
 * @max_value:	longest value in bytes
 * @queue_len:	capacity of an open store's queue in events
 * @queue_bytes: capacity of an open store's queue in bytes
 * @max_keys:	most keys of the store
 * @max_bytes:	most bytes of the store
 * @reserved:	must be 0
 *
 * 0 stands for the limit of the store that the new one is made from. 0 @buckets stand for
 * 8, or as many as that store has if those are fewer.
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
 * @from:	any open store, opened with MSTORE_WRITE
 * @limits:	limits of the new store; NULL: zeros, those of @from
 * @flags:	as for mstore_open(), optionally with MSTORE_MAPPED
 *
 * The new store is empty and has no name. Only descriptors reach it: the one of the
 * returned store, copies passed on by fork() and sockets, and those that
 * mstore_reopen() makes. The store is destroyed with the last of them.
 *
 * Return: the store, to be closed with mstore_close(); or NULL with errno:
 *
 * - EINVAL: also @flags as in mstore_open(), or a limit out of the range of the
 *   module parameter of the same name, or MSTORE_MAPPED and a module that lacks
 *   MSTORE_FEATURE_MAP_STORE
 * - EPERM: a limit other than @buckets is above that of @from, without
 *   CAP_SYS_RESOURCE
 * - ENOSPC: private stores already take private_bytes (struct mstore_info)
 * - EACCES: a security module does not let the caller create it
 * - EDQUOT: a limit of the user is reached: user_stores, user_store_bytes or user_files
 *   (struct mstore_user_info)
 * - EMFILE, ENFILE: too many descriptors
 */
struct mstore *mstore_create(struct mstore *from,
			     const struct mstore_limits *limits, int flags);

/**
 * mstore_reopen() - open a store again
 * @store:	store
 * @flags:	as for mstore_open(), with no access that @store lacks
 *
 * The new open store has its own event queue, subscriptions and owned keys. To
 * grant others read access to a private store, pass them one that was reopened with
 * MSTORE_READ.
 *
 * Return: the store, to be closed with mstore_close(); or NULL with errno:
 *
 * - EINVAL: @flags as in mstore_open()
 * - EACCES: @store lacks the access, or a security module does not let the caller open it
 * - EDQUOT: the user has user_files open stores
 * - EMFILE, ENFILE: too many descriptors
 */
struct mstore *mstore_reopen(struct mstore *store, int flags);

/**
 * mstore_map() - get small values without a system call from now on
 * @store:	store
 *
 * mstore_get() and mstore_get_alloc() then read values to some 460 bytes from memory that the
 * module shares, read-only, and ask the module for all else: longer values, and those of keys
 * with an owner or a time to live. Their results are the same, but for a bad pointer, which
 * gives SIGSEGV instead of EFAULT, and for the content of a buffer after a failure, which is
 * undefined. Only a store whose maker wanted it has that memory: a private one that was
 * created with MSTORE_MAPPED, or that of the device if the module was loaded with mapped=1.
 *
 * It takes address space, as much as the store may have values, and one
 * more open file but no descriptor, so that a child that inherits it does not keep what @store
 * owns. mstore_renew() maps anew. A second call does nothing. <linux/metastore_map.h> is for
 * those that do the same without this library.
 *
 * Without it all works, too: a program that fails here goes on.
 *
 * Return: 0, or -1 with errno:
 *
 * - EOPNOTSUPP: the store cannot be mapped, or has a layout that this library does not know,
 *   or the program has 32 bits
 * - EACCES: the store was not opened with MSTORE_READ
 * - EAGAIN: all future memory is locked, see mlockall(2), and RLIMIT_MEMLOCK is too low
 * - EDQUOT: the user has user_files open files
 * - EMFILE, ENFILE: too many descriptors
 * - ENOMEM: also not enough address space
 * - ENODEV: also the module lacks MSTORE_FEATURE_MAP_STORE
 */
int mstore_map(struct mstore *store);

/**
 * mstore_renew() - open a store again after ENODEV
 * @store:	store
 * @timeout_ms:	longest wait in ms for the device to be there; 0: no wait; negative: no
 *		limit
 *
 * When the module is replaced (mstore upgrade), functions fail with ENODEV, and
 * mstore_fd() is readable and hung up. This function closes the device, which lets the module
 * go, and opens that of the next module. The values are there, with greater versions. The
 * subscriptions of this store, the events that waited, its locks and the keys that it owned
 * are gone. What mstore_queue_set() set is set again. The number of the descriptor stays
 * the same, but an epoll instance forgets it.
 *
 * Not for a store that another thread uses meanwhile. After a failure that thread's calls, and
 * all others but this and mstore_close(), fail with ENOTTY.
 *
 * Return: 0, or -1 with errno:
 *
 * - ETIMEDOUT: there was no device, or a retired module, until the end of the wait
 * - EACCES, EDQUOT and others of mstore_open() and mstore_queue_set(): the last try failed so
 * - ENOTSUP: the store was not opened by a path: private stores end with their module
 * - EMFILE, ENFILE: too many descriptors
 * - EINTR: a signal handler ran
 */
int mstore_renew(struct mstore *store, int timeout_ms);

/**
 * DOC: Keys and values
 */

/**
 * mstore_set() - store a value under a key
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @value:	value; ignored if @value_len is 0
 * @value_len:	length of @value
 * @version:	where to write the version of the stored value, or NULL
 *
 * Subscribers that asked for MSTORE_EVENT_SET get an event. The versions of a key
 * strictly increase, also across deletion, and are never 0. The value has no owner
 * and an unlimited time to live, whatever the previous value had.
 *
 * Return: 0, or -1 with errno:
 *
 * - EMSGSIZE: the value is longer than the store's max_value
 * - ENOSPC: the store is full (max_keys or max_bytes), or all private stores together
 *   are (private_bytes)
 * - EDQUOT: a limit of a user is reached: the user's share of the default store, or
 *   user_store_bytes of the user that created the private store (struct
 *   mstore_user_info)
 * - EBUSY: another open store owns the key
 */
int mstore_set(struct mstore *store, const void *key, size_t key_len,
	       const void *value, size_t value_len, uint64_t *version);

/**
 * mstore_publish() - store a value under a key and notify its subscribers
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @value:	value; ignored if @value_len is 0
 * @value_len:	length of @value
 * @version:	where to write the version of the stored value, or NULL
 *
 * Subscribers that asked for MSTORE_EVENT_PUBLISHED get an event. A full queue drops
 * its oldest event for this one. A full lossless queue loses this one. The publisher
 * waits for no subscriber.
 *
 * Return: the number of subscriptions whose queue took the event, or -1 with the
 * errors of mstore_set().
 */
int mstore_publish(struct mstore *store, const void *key, size_t key_len,
		   const void *value, size_t value_len, uint64_t *version);

/**
 * enum mstore_write_flags - conditions and owner of a write
 * @MSTORE_CREATE:	fail with EEXIST if a value exists
 * @MSTORE_REPLACE:	fail with ENOENT if none exists
 * @MSTORE_IF_VERSION:	fail with ESTALE unless the value has @version of the options
 * @MSTORE_OWNED:	make this open store the owner
 * @MSTORE_STEAL:	proceed even if another open store owns the value
 * @MSTORE_WAIT:	mstore_publish_with(): wait for room in lossless queues
 * @MSTORE_KEEP_TTL:	give the new value the end of the previous one, if that has a time
 *		to live; not with @ttl_ms of the options
 *
 * At most one of the first three may be given.
 *
 * Only the owner can overwrite or delete an owned key. Other open stores get EBUSY
 * unless they pass MSTORE_STEAL. When the last descriptor of the owner is closed,
 * for whatever reason, the kernel deletes the key. Subscribers then read
 * MSTORE_EVENT_DELETED with MSTORE_EVENT_F_OWNER. Descriptors made by dup() or
 * fork(), or sent over a socket, refer to the same owner and prolong the ownership.
 */
enum mstore_write_flags {
	MSTORE_CREATE		= 1,
	MSTORE_REPLACE		= 2,
	MSTORE_IF_VERSION	= 4,
	MSTORE_OWNED		= 8,
	MSTORE_STEAL		= 16,
	MSTORE_WAIT		= 32,
	MSTORE_KEEP_TTL		= 128,
};

/** MSTORE_WAIT_FOREVER - timeout of MSTORE_WAIT that never ends */
#define MSTORE_WAIT_FOREVER	UINT32_MAX

/** MSTORE_TTL_MAX - longest time to live in ms */
#define MSTORE_TTL_MAX		(UINT64_C(1) << 40)

/**
 * struct mstore_previous - value that a change replaced or removed
 * @buffer:	where to write that value
 * @size:	size of @buffer in bytes; receives the length of the value
 * @version:	receives the version of the value; 0: there was none
 * @owner:	receives the owner of the value, enum mstore_owner
 * @reserved:	must be 0
 *
 * The change and this answer are one step: no other change comes in between. If the
 * value is longer than @buffer, the change fails with ERANGE. @size is then the length
 * needed and @version the version of that value. After other errors the structure is as
 * it was.
 */
struct mstore_previous {
	void *buffer;
	size_t size;
	uint64_t version;
	int owner;
	uint64_t reserved[4];
};

/**
 * struct mstore_options - conditions, owner and time to live of a write
 * @flags:	mask of enum mstore_write_flags
 * @timeout_ms:	MSTORE_WAIT: longest wait in ms; 0: no wait; MSTORE_WAIT_FOREVER: no
 *		limit. Must be 0 without that flag
 * @version:	MSTORE_IF_VERSION: version that the present value must have; 0: no
 *		value may exist. Ignored without that flag
 * @ttl_ms:	time to live in ms, up to MSTORE_TTL_MAX; 0: unlimited
 * @previous:	where to write the value that is replaced or removed; NULL: nowhere
 * @reserved:	must be 0
 *
 * Zero the structure, then set fields:
 *
 *	struct mstore_options options = { .flags = MSTORE_OWNED };
 *
 * A time to live runs from the moment of the store, also while the machine sleeps
 * (CLOCK_BOOTTIME). Once it has expired no function finds the value. The kernel
 * deletes it, with an event that has MSTORE_EVENT_F_EXPIRED.
 *
 * MSTORE_KEEP_TTL leaves that moment as it is, and an unlimited time to live unlimited.
 * The value then counts 64 bytes more in any case, as one with a time to live does.
 */
struct mstore_options {
	int flags;
	uint32_t timeout_ms;
	uint64_t version;
	uint64_t ttl_ms;
	struct mstore_previous *previous;
	uint64_t reserved[4];
};

/**
 * mstore_set_with() - store a value under a key, with options
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @value:	value; ignored if @value_len is 0
 * @value_len:	length of @value
 * @options:	condition, owner and time to live; NULL: none
 * @version:	where to write the version of the stored value, or NULL. After EEXIST
 *		and ESTALE: version of the present value, 0 if there is none
 *
 * To update a value only if no other writer changed it since it was read:
 *
 *	options.flags = MSTORE_IF_VERSION;
 *	do {
 *		(get the value and options.version)
 *	} while (mstore_set_with(..., &options, NULL) && errno == ESTALE);
 *
 * Return: 0, or -1 with the errors of mstore_set() and:
 *
 * - EEXIST, ENOENT, ESTALE: the condition is not met
 * - ERANGE: the previous value is longer than the buffer for it
 * - EINVAL: also two conditions, @ttl_ms above MSTORE_TTL_MAX or with MSTORE_KEEP_TTL,
 *   or MSTORE_WAIT
 * - EDQUOT: also MSTORE_OWNED: the user has user_owned_keys keys (struct
 *   mstore_user_info)
 */
int mstore_set_with(struct mstore *store, const void *key, size_t key_len,
		    const void *value, size_t value_len,
		    const struct mstore_options *options, uint64_t *version);

/**
 * mstore_publish_with() - store a value and notify subscribers, with options
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @value:	value; ignored if @value_len is 0
 * @value_len:	length of @value
 * @options:	as for mstore_set_with(), and MSTORE_WAIT with @timeout_ms
 * @version:	as for mstore_set_with()
 *
 * MSTORE_WAIT waits until every lossless queue that is to get the event has room
 * (mstore_queue_set()). Then all of them get it, or the call fails and changes
 * nothing. Others can change the key meanwhile; the condition is checked again
 * after each wait. A queue that is too small for the event counts it as lost, and
 * the call does not wait for it.
 *
 * Return: the number of subscriptions whose queue took the event, or -1 with the
 * errors of mstore_set_with() and, for MSTORE_WAIT:
 *
 * - EAGAIN: a lossless queue is full, and @timeout_ms is 0 or the store was opened
 *   with MSTORE_NONBLOCK
 * - ETIMEDOUT: a lossless queue stayed full until the timeout
 * - EINTR: a signal handler without SA_RESTART ran
 */
int mstore_publish_with(struct mstore *store, const void *key, size_t key_len,
			const void *value, size_t value_len,
			const struct mstore_options *options,
			uint64_t *version);

/**
 * mstore_get() - copy the value of a key
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @buffer:	where to write the value
 * @size:	size of @buffer in bytes, not NULL; receives the length of the value
 * @version:	where to write the version of the value, or NULL
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: no such key
 * - ERANGE: the value is longer than @buffer, to which nothing was written. @size is
 *   the length needed and @version the version of that value
 *
 * Once mstore_map() has succeeded, the content of @buffer is undefined after any failure.
 */
int mstore_get(struct mstore *store, const void *key, size_t key_len,
	       void *buffer, size_t *size, uint64_t *version);

/**
 * mstore_get_alloc() - copy the value of a key to allocated memory
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @value_len:	where to write the length of the value, or NULL
 * @version:	where to write the version of the value, or NULL
 *
 * A NUL follows the value; the length does not count it.
 *
 * Return: the value, to be released with free(3); or NULL with errno:
 *
 * - ENOENT: no such key
 */
char *mstore_get_alloc(struct mstore *store, const void *key, size_t key_len,
		       size_t *value_len, uint64_t *version);

/**
 * struct mstore_value_info - facts about a value
 * @version:	version of the value
 * @time:	time of the write, CLOCK_REALTIME in ns
 * @ttl_ms:	rest of the time to live in ms, rounded up; 0: unlimited
 * @tgid:	process that wrote the value, as the caller's PID namespace numbers it; 0 if
 *		it has no number there, or in another than the initial namespace has ended
 * @uid:	effective user of that process, as the caller's user namespace sees it
 * @owner:	owner of the value, enum mstore_owner
 * @value_len:	length of the value in bytes
 * @reserved:	0, until it gets a meaning
 */
struct mstore_value_info {
	uint64_t version;
	uint64_t time;
	uint64_t ttl_ms;
	int32_t tgid;
	uint32_t uid;
	uint32_t owner;
	uint32_t value_len;
	uint64_t reserved[8];
};

/**
 * mstore_get_info() - copy the value of a key, and tell about it
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @buffer:	where to write the value
 * @size:	size of @buffer in bytes, not NULL; receives the length of the value
 * @info:	where to write the facts, of the same moment as the value
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: no such key
 * - ERANGE: the value is longer than @buffer, to which nothing was written. @size and
 *   @value_len are the length needed and @version the version of that value; the other
 *   facts are 0
 */
int mstore_get_info(struct mstore *store, const void *key, size_t key_len,
		    void *buffer, size_t *size, struct mstore_value_info *info);

/**
 * mstore_delete() - remove a key and its value
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @version:	where to write the version of the deletion, or NULL
 *
 * Subscriptions to the key stay. Those that asked for MSTORE_EVENT_DELETED get an
 * event.
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: no such key
 * - EBUSY: another open store owns the key
 */
int mstore_delete(struct mstore *store, const void *key, size_t key_len,
		  uint64_t *version);

/**
 * mstore_delete_with() - remove a key and its value, with options
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @options:	MSTORE_IF_VERSION and MSTORE_STEAL, no other flag and no times; and
 *		@previous. NULL: none
 * @version:	where to write the version of the deletion, or NULL. After ESTALE:
 *		version of the present value, 0 if there is none
 *
 * Return: 0, or -1 with the errors of mstore_delete() and:
 *
 * - ESTALE: the value has another version
 * - ERANGE: the value is longer than the buffer for it; it was not removed
 */
int mstore_delete_with(struct mstore *store, const void *key, size_t key_len,
		       const struct mstore_options *options,
		       uint64_t *version);

/**
 * mstore_take() - remove a key and return its value
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @options:	as for mstore_delete_with(), but no @previous; NULL: none
 * @value_len:	where to write the length of the value, or NULL
 * @version:	where to write the version of the value, or NULL. After ESTALE: version of
 *		the present value, 0 if there is none
 *
 * Of several callers exactly one gets a value. A NUL follows the value; the length does
 * not count it.
 *
 * Return: the value, to be released with free(3); or NULL with the errors of
 * mstore_delete_with() but ERANGE.
 */
char *mstore_take(struct mstore *store, const void *key, size_t key_len,
		  const struct mstore_options *options, size_t *value_len,
		  uint64_t *version);

/**
 * mstore_swap() - store a value under a key and return the previous one
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @value:	value; ignored if @value_len is 0
 * @value_len:	length of @value
 * @options:	as for mstore_set_with(), but no @previous; NULL: none
 * @previous:	where to write the previous value: @buffer receives an address to be
 *		released with free(3), NULL if there was none. A NUL follows the value.
 *		Only the function writes to the structure
 * @version:	as for mstore_set_with()
 *
 * The previous value is the one that this value replaced: of several callers each gets
 * the value of another one.
 *
 * Return: 1 if there was a previous value, 0 if there was none, or -1 with the errors of
 * mstore_set_with() but ERANGE.
 */
int mstore_swap(struct mstore *store, const void *key, size_t key_len,
		const void *value, size_t value_len,
		const struct mstore_options *options,
		struct mstore_previous *previous, uint64_t *version);

/**
 * mstore_add() - add to a number
 * @store:	store, opened with MSTORE_RDWR
 * @key:	key of the number
 * @key_len:	length of @key
 * @delta:	number to add, which may be negative or 0
 * @options:	@ttl_ms and MSTORE_OWNED for a number that this call creates; no other
 *		flag. NULL: none
 * @result:	where to write the sum, or NULL
 * @version:	where to write the version of the stored sum, or NULL
 *
 * A number is stored in decimal, as printf(3) writes it with PRId64: with a minus sign if
 * it is negative, and without spaces and leading zeros. An absent key counts as 0 and is
 * created. A number that exists keeps its owner and its time to live.
 *
 * No addition is lost: the function reads the number and stores the sum on the condition
 * that nobody changed the number in between. It repeats this until it succeeds. Each
 * repetition means that another writer succeeded. Subscribers get an event SET for each
 * sum that is stored.
 *
 * Return: 0, or -1 with the errors of mstore_set() and:
 *
 * - EBADMSG: the value is no such number, or beyond 64 bits
 * - ERANGE: the sum is beyond the 64 bits of int64_t
 * - EINVAL: also other flags or @previous in @options
 */
int mstore_add(struct mstore *store, const void *key, size_t key_len, int64_t delta,
	       const struct mstore_options *options, int64_t *result,
	       uint64_t *version);

/**
 * mstore_touch() - renew the time to live of a key
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @options:	@ttl_ms, 1 to MSTORE_TTL_MAX, counted from now; and MSTORE_IF_VERSION, no
 *		other flag
 * @version:	where to write the version of the value, or NULL. After ESTALE: likewise,
 *		0 if there is none
 *
 * The value, its version and its owner stay, and no subscriber gets an event. So a
 * program can show every second that it lives, to any number of subscribers, which
 * only hear of its end.
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: no such key
 * - ESTALE: the value has another version
 * - EBUSY: another open store owns the key
 * - ENODATA: the value has an unlimited time to live
 * - EINVAL: also @ttl_ms is 0 or above MSTORE_TTL_MAX
 */
int mstore_touch(struct mstore *store, const void *key, size_t key_len,
		 const struct mstore_options *options, uint64_t *version);

/**
 * enum mstore_flush_flags - scope of mstore_flush()
 * @MSTORE_FLUSH_SUBSCRIPTIONS: also remove matching subscriptions
 * @MSTORE_FLUSH_STEAL:	also remove values that other open stores own
 */
enum mstore_flush_flags {
	MSTORE_FLUSH_SUBSCRIPTIONS	= 1,
	MSTORE_FLUSH_STEAL		= 2,
};

/**
 * mstore_flush() - remove many keys
 * @store:	store
 * @prefix:	prefix of the keys to remove; ignored if @prefix_len is 0
 * @prefix_len:	length of @prefix; 0: all keys
 * @bucket:	bucket of the keys to remove, or MSTORE_ANY_BUCKET
 * @flags:	mask of enum mstore_flush_flags
 * @values:	where to write the number of values removed, or NULL
 * @subscriptions: where to write the number of subscriptions removed, or NULL
 *
 * Each value is removed as by mstore_delete(), with an event that has
 * MSTORE_EVENT_F_FLUSH. Values written meanwhile may go or stay. Values of other
 * owners stay, unless MSTORE_FLUSH_STEAL is given.
 *
 * MSTORE_FLUSH_SUBSCRIPTIONS also removes the subscriptions of all open stores to
 * matching keys. Each open store that lost subscriptions gets one
 * MSTORE_EVENT_FLUSHED. This flag needs CAP_SYS_ADMIN, or the user that created the
 * private store.
 *
 * Return: 0, or -1 with errno:
 *
 * - EPERM: MSTORE_FLUSH_SUBSCRIPTIONS without the permission
 * - ERANGE: no such bucket
 */
int mstore_flush(struct mstore *store, const void *prefix, size_t prefix_len,
		 int bucket, int flags, uint64_t *values,
		 uint64_t *subscriptions);

/**
 * enum mstore_owner - owner of a key
 * @MSTORE_OWNER_NONE:	no open store
 * @MSTORE_OWNER_SELF:	the calling open store
 * @MSTORE_OWNER_OTHER:	another open store
 */
enum mstore_owner {
	MSTORE_OWNER_NONE	= 0,
	MSTORE_OWNER_SELF	= 1,
	MSTORE_OWNER_OTHER	= 2,
};

/**
 * struct mstore_stat - facts about a key
 * @version:	version of the value
 * @time:	time of the write, CLOCK_REALTIME in ns
 * @value_len:	length of the value in bytes
 * @tgid:	process that wrote the value, as the caller's PID namespace numbers it; 0 if
 *		it has no number there, or in another than the initial namespace has ended
 * @uid:	effective user of that process, as the caller's user namespace sees it
 * @subscribers: number of subscriptions to the key and to its prefixes
 * @bucket:	bucket of the key
 * @owner:	owner of the key, enum mstore_owner
 * @ttl_ms:	rest of the time to live in ms, rounded up; 0: unlimited
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
 * mstore_stat() - tell about a key without copying its value
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 * @stat:	where to write the answer, all of one moment
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: no such key
 */
int mstore_stat(struct mstore *store, const void *key, size_t key_len,
		struct mstore_stat *stat);

/**
 * mstore_bucket() - tell the bucket of a key
 * @store:	store
 * @key:	key, which need not exist
 * @key_len:	length of @key
 * @buckets:	where to write the number of buckets of the store, or NULL
 *
 * The answer stays the same until the module is unloaded.
 *
 * Return: the bucket, from 0; or -1 with the errors of any function.
 */
int mstore_bucket(struct mstore *store, const void *key, size_t key_len,
		  uint32_t *buckets);

/**
 * enum mstore_features - additions to the module since its first version
 * @MSTORE_FEATURE_CONDITIONS: MSTORE_CREATE, MSTORE_REPLACE, MSTORE_IF_VERSION
 * @MSTORE_FEATURE_OWNERS: MSTORE_OWNED and MSTORE_STEAL
 * @MSTORE_FEATURE_TTL:	times to live
 * @MSTORE_FEATURE_BATCH: mstore_batch_run()
 * @MSTORE_FEATURE_PRIVATE: mstore_create() and mstore_reopen()
 * @MSTORE_FEATURE_DELIVERY: mstore_subscribe_with(), mstore_queue_set() and related
 *		functions
 * @MSTORE_FEATURE_WAIT: MSTORE_WAIT
 * @MSTORE_FEATURE_TOUCH: mstore_touch()
 * @MSTORE_FEATURE_PREVIOUS: MSTORE_KEEP_TTL, struct mstore_previous, mstore_take(),
 *		mstore_swap() and mstore_add() to a number that has a time to live
 * @MSTORE_FEATURE_DETAILS: mstore_get_info() and mstore_list_values_new()
 * @MSTORE_FEATURE_RESYNC: mstore_resync(), MSTORE_SUBSCRIBE_DISCARD, mstore_follow_new()
 * @MSTORE_FEATURE_USERS: mstore_user_info(); each user has limits, see there
 * @MSTORE_FEATURE_MAP_RING: mstore_map_events()
 * @MSTORE_FEATURE_MAP_STORE: mstore_map(), MSTORE_MAPPED
 */
enum mstore_features {
	MSTORE_FEATURE_CONDITIONS	= 1 << 0,
	MSTORE_FEATURE_OWNERS		= 1 << 1,
	MSTORE_FEATURE_TTL		= 1 << 2,
	MSTORE_FEATURE_BATCH		= 1 << 3,
	MSTORE_FEATURE_PRIVATE		= 1 << 4,
	MSTORE_FEATURE_DELIVERY		= 1 << 5,
	MSTORE_FEATURE_WAIT		= 1 << 6,
	MSTORE_FEATURE_TOUCH		= 1 << 7,
	MSTORE_FEATURE_PREVIOUS		= 1 << 8,
	MSTORE_FEATURE_DETAILS		= 1 << 9,
	MSTORE_FEATURE_RESYNC		= 1 << 10,
	MSTORE_FEATURE_USERS		= 1 << 11,
	MSTORE_FEATURE_MAP_RING		= 1 << 12,
	MSTORE_FEATURE_MAP_STORE	= 1 << 13,
};

/**
 * struct mstore_info - limits and counters of a store
 * @features:	mask of enum mstore_features
 * @buckets:	number of buckets
 * @key_max:	longest key in bytes
 * @max_value:	longest value in bytes
 * @queue_len:	capacity of an open store's queue in events
 * @queue_bytes: capacity of an open store's queue in bytes, counted as in @bytes
 * @max_subscriptions: most subscriptions of an open store
 * @max_keys:	most keys of the store
 * @max_bytes:	most bytes of the store, counted as in @bytes
 * @keys:	present number of keys
 * @bytes:	bytes of these keys: each counts key, value and the module's own data
 *		beside them
 * @subscriptions: present number of subscriptions
 * @private_bytes: most bytes of all private stores together
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
 * mstore_info() - tell the limits and counters of a store
 * @store:	store
 * @bucket:	bucket in which to count @keys, @bytes and @subscriptions, or
 *		MSTORE_ANY_BUCKET
 * @info:	where to write the answer
 *
 * Return: 0, or -1 with errno:
 *
 * - ERANGE: no such bucket
 */
int mstore_info(struct mstore *store, int bucket, struct mstore_info *info);

/**
 * enum mstore_user_kinds - kinds of what a user can use
 * @MSTORE_USER_FILES:	open stores
 * @MSTORE_USER_SUBSCRIPTIONS: subscriptions of these, also ended ones that have unread
 *		events or losses
 * @MSTORE_USER_QUEUE_BYTES: bytes that their queues may hold, and 56 for each event. The
 *		queue of an open store counts from its first subscription on
 * @MSTORE_USER_STORES:	private stores that the user created
 * @MSTORE_USER_STORE_BYTES: bytes that these take
 * @MSTORE_USER_OWNED_KEYS: keys that the open stores own
 * @MSTORE_USER_WAITING: publishers that wait
 * @MSTORE_USER_KEYS:	keys of the default store that the open stores stored
 * @MSTORE_USER_BYTES:	bytes of these
 *
 * The limit of each kind but the last two is a parameter of the module, in
 * /sys/module/metastore/parameters: user_files, user_subscriptions, user_queue_bytes,
 * user_stores, user_store_bytes, user_owned_keys, user_waiting.
 *
 * The last two are shares of max_keys and max_bytes (struct mstore_info): a user may have
 * as much as each of all users that have any, and one more, would get of what is left and
 * of its own. The same holds for MSTORE_USER_STORE_BYTES and private_bytes.
 */
enum mstore_user_kinds {
	MSTORE_USER_FILES		= 0,
	MSTORE_USER_SUBSCRIPTIONS	= 1,
	MSTORE_USER_QUEUE_BYTES		= 2,
	MSTORE_USER_STORES		= 3,
	MSTORE_USER_STORE_BYTES		= 4,
	MSTORE_USER_OWNED_KEYS		= 5,
	MSTORE_USER_WAITING		= 6,
	MSTORE_USER_KEYS		= 7,
	MSTORE_USER_BYTES		= 8,
};

/** MSTORE_USER_KINDS - room for kinds in struct mstore_user_info */
#define MSTORE_USER_KINDS	16

/**
 * struct mstore_user_kind - use of one kind by a user
 * @use:	present use
 * @limit:	most that the user may use; 0: the module does not know the kind
 * @refused:	number of calls that failed with EDQUOT
 * @reserved:	0, until it gets a meaning
 */
struct mstore_user_kind {
	uint64_t use;
	uint64_t limit;
	uint64_t refused;
	uint64_t reserved[5];
};

/**
 * struct mstore_user_info - use and limits of a user
 * @ns:		user namespace of the user: the inode number of /proc/PID/ns/user
 * @uid:	the user, as the caller's user namespace sees it
 * @last_refused: enum mstore_user_kinds of the user's last call that failed with EDQUOT;
 *		-1: none did
 * @kinds:	use of each kind, by enum mstore_user_kinds
 * @reserved:	0, until it gets a meaning
 */
struct mstore_user_info {
	uint32_t ns;
	uint32_t uid;
	int32_t last_refused;
	struct mstore_user_kind kinds[MSTORE_USER_KINDS];
	uint64_t reserved[6];
};

/**
 * mstore_user_info() - tell what the user of an open store uses
 * @store:	store
 * @info:	where to write the answer
 *
 * An open store belongs to the effective user that opened it, in its user namespace.
 * That user is charged for what the open store pins, also if its descriptor is passed on. Calls
 * that would exceed a limit of the user fail with EDQUOT. CAP_SYS_RESOURCE in the
 * initial user namespace exceeds the limits.
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOTTY: also a module without MSTORE_FEATURE_USERS
 */
int mstore_user_info(struct mstore *store, struct mstore_user_info *info);

/**
 * mstore_user_next() - tell what the next user uses
 * @store:	any open store
 * @info:	the previous answer, or zeroed for the first user; the next answer is
 *		written there
 *
 * All users that have open stores or private stores are told, in an order without
 * meaning.
 *
 * Return: 0, or -1 with errno:
 *
 * - EPERM: the caller lacks CAP_SYS_ADMIN
 * - ENOENT: there is no further user
 * - ENOTTY: as in mstore_user_info()
 */
int mstore_user_next(struct mstore *store, struct mstore_user_info *info);

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

/** struct mstore_batch - operations and their results */
struct mstore_batch;

/** MSTORE_BATCH_MAX - most operations of a batch */
#define MSTORE_BATCH_MAX	256

/** MSTORE_ATOMIC_MAX - most operations of an atomic batch */
#define MSTORE_ATOMIC_MAX	128

/** MSTORE_ATOMIC_KEYS - most bytes that the keys of an atomic batch have together */
#define MSTORE_ATOMIC_KEYS	8192

/**
 * enum mstore_batch_flags - options of mstore_batch_run()
 * @MSTORE_BATCH_ATOMIC: run all operations at one moment, or none
 */
enum mstore_batch_flags {
	MSTORE_BATCH_ATOMIC	= 1,
};

/**
 * mstore_batch_new() - make an empty batch
 *
 * Return: the batch, to be released with mstore_batch_free(); or NULL with errno:
 *
 * - ENOMEM: out of memory
 */
struct mstore_batch *mstore_batch_new(void);

/**
 * mstore_batch_free() - release a batch
 * @batch:	batch, or NULL
 */
void mstore_batch_free(struct mstore_batch *batch);

/**
 * mstore_batch_clear() - remove all operations from a batch
 * @batch:	batch
 */
void mstore_batch_clear(struct mstore_batch *batch);

/**
 * mstore_batch_get() - add an operation that copies the value of a key
 * @batch:	batch
 * @key:	key; not copied: leave it unchanged until the batch has run
 * @key_len:	length of @key
 * @buffer:	where to write the value
 * @size:	size of @buffer in bytes
 *
 * Return: the index of the operation, counted from 0 in the order of addition; or -1
 * with errno:
 *
 * - E2BIG: the batch has MSTORE_BATCH_MAX operations
 */
int mstore_batch_get(struct mstore_batch *batch, const void *key,
		     size_t key_len, void *buffer, size_t size);

/**
 * mstore_batch_set() - add an operation that stores a value under a key
 * @batch:	batch
 * @key:	key; not copied, as in mstore_batch_get()
 * @key_len:	length of @key
 * @value:	value; not copied either, and ignored if @value_len is 0
 * @value_len:	length of @value
 * @options:	as for mstore_set_with(); copied
 *
 * @previous of the options is not copied, except for @buffer and @size: each run of the
 * batch fills the structure, which must stay until then.
 *
 * Return: the index of the operation, or -1 with errno:
 *
 * - E2BIG: the batch has MSTORE_BATCH_MAX operations
 * - EINVAL: a reserved field of @options or @previous, or @timeout_ms, is not 0
 */
int mstore_batch_set(struct mstore_batch *batch, const void *key,
		     size_t key_len, const void *value, size_t value_len,
		     const struct mstore_options *options);

/**
 * mstore_batch_publish() - add an operation that publishes a value
 * @batch:	batch
 * @key:	key; not copied, as in mstore_batch_get()
 * @key_len:	length of @key
 * @value:	as for mstore_batch_set()
 * @value_len:	length of @value
 * @options:	as for mstore_batch_set()
 *
 * Return: the index of the operation, or -1 with the errors of mstore_batch_set().
 */
int mstore_batch_publish(struct mstore_batch *batch, const void *key,
			 size_t key_len, const void *value, size_t value_len,
			 const struct mstore_options *options);

/**
 * mstore_batch_delete() - add an operation that removes a key and its value
 * @batch:	batch
 * @key:	key; not copied, as in mstore_batch_get()
 * @key_len:	length of @key
 * @options:	as for mstore_delete_with(); copied as for mstore_batch_set()
 *
 * Return: the index of the operation, or -1 with errno:
 *
 * - E2BIG: the batch has MSTORE_BATCH_MAX operations
 * - EINVAL: a reserved field of @options or @previous, @timeout_ms or @ttl_ms is not 0
 */
int mstore_batch_delete(struct mstore_batch *batch, const void *key,
			size_t key_len, const struct mstore_options *options);

/**
 * mstore_batch_touch() - add an operation that renews the time to live of a key
 * @batch:	batch
 * @key:	key; not copied, as in mstore_batch_get()
 * @key_len:	length of @key
 * @options:	as for mstore_touch(); copied
 *
 * Return: the index of the operation, or -1 with the errors of mstore_batch_set().
 */
int mstore_batch_touch(struct mstore_batch *batch, const void *key,
		       size_t key_len, const struct mstore_options *options);

/**
 * mstore_batch_count() - count the operations of a batch
 * @batch:	batch
 *
 * Return: the number. Never fails.
 */
int mstore_batch_count(const struct mstore_batch *batch);

/**
 * mstore_batch_run() - run the operations of a batch
 * @store:	store
 * @batch:	batch; it keeps its operations and may run again
 * @flags:	0 or MSTORE_BATCH_ATOMIC
 *
 * With 0 the operations run one after the other, as separate calls would. Each has
 * its result, and a failed one does not stop the others. An empty batch does
 * nothing.
 *
 * MSTORE_BATCH_ATOMIC runs all operations at one moment, or none. It allows
 * MSTORE_ATOMIC_MAX operations, each on another key.
 *
 * - No other change and no other atomic batch comes between the operations. This
 *   holds for batches that only read, too.
 * - If an operation fails, none takes effect. The result of that operation says why;
 *   the others have ECANCELED.
 * - A get of an absent key (ENOENT) is no failure. Neither is a get with a bad buffer
 *   (EFAULT), because it is found after the batch took effect.
 * - mstore_get() and lists take no part in this. While the batch stores its values
 *   they may see some new values and some old ones.
 * - Atomic batches of the same keys take effect one after the other.
 * - Each queue gets the events of an atomic batch one right behind the other. All but
 *   the last have MSTORE_EVENT_F_MORE. An open file whose prefixes have several lengths
 *   may get a large batch in parts, each as if it were a batch: if the keys, and those
 *   lengths for each of them, are more than 256.
 *
 * Return: 0, even if operations failed with 0 in @flags; or -1 with errno:
 *
 * - ECANCELED: an operation of an atomic batch failed (mstore_batch_failed())
 * - EINVAL: also an atomic batch with too many operations, or with two on one key
 * - EMSGSIZE: an atomic batch with more than MSTORE_ATOMIC_KEYS bytes of keys
 *
 * After any other error than ECANCELED no operation took effect, and each has that
 * error as its result.
 */
int mstore_batch_run(struct mstore *store, struct mstore_batch *batch,
		     int flags);

/**
 * mstore_batch_failed() - find the first operation that failed
 * @batch:	batch
 *
 * Return: the index of the operation; after ECANCELED that of the operation that
 * caused it; -1 if none failed in the last run.
 */
int mstore_batch_failed(const struct mstore_batch *batch);

/**
 * mstore_batch_result() - tell the result of an operation
 * @batch:	batch
 * @index:	index of the operation
 *
 * This function and those below never fail. They return 0 if there is no answer,
 * such as before the batch has run.
 *
 * Return: 0, or the (positive) errno of the function for one key: mstore_get(),
 * mstore_set_with(), mstore_publish_with() or mstore_delete_with(). EINVAL also for an
 * index without an operation. EFAULT of a change: a buffer for the previous value is bad,
 * and the change is made; or the key or the value is bad, and it is not.
 */
int mstore_batch_result(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_version() - tell the version that an operation read or made
 * @batch:	batch
 * @index:	index of the operation
 *
 * Return: the version, as the function for one key writes it, also after ERANGE,
 * EEXIST and ESTALE. Else 0.
 */
uint64_t mstore_batch_version(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_value_len() - tell the length of the value that a get found
 * @batch:	batch
 * @index:	index of the get
 *
 * Return: the length in bytes; after ERANGE the length needed. Else 0.
 */
size_t mstore_batch_value_len(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_ttl() - tell the rest of a value's time to live
 * @batch:	batch
 * @index:	index of a get that succeeded
 *
 * Return: milliseconds, rounded up; 0: unlimited.
 */
uint64_t mstore_batch_ttl(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_owner() - tell the owner of a value
 * @batch:	batch
 * @index:	index of a get that succeeded
 *
 * Return: enum mstore_owner.
 */
int mstore_batch_owner(const struct mstore_batch *batch, int index);

/**
 * mstore_batch_queues() - tell how many subscriptions' queues took a published value
 * @batch:	batch
 * @index:	index of a publish
 *
 * Return: the number.
 */
int mstore_batch_queues(const struct mstore_batch *batch, int index);

/**
 * DOC: Listing keys
 *
 * A list is a cursor over the keys of a store:
 *
 *	while (mstore_list_next(list) > 0) {
 *		key = mstore_list_key(list, &len);
 *		...
 *	}
 */

/** struct mstore_list - cursor over keys */
struct mstore_list;

/**
 * mstore_list_new() - make a list of the keys of a store
 * @store:	store; must stay open until the list is released
 * @prefix:	prefix of the keys to list; ignored if @prefix_len is 0
 * @prefix_len:	length of @prefix; 0: all keys
 * @bucket:	bucket of the keys to list, or MSTORE_ANY_BUCKET
 *
 * Return: the list, before its first key, to be released with mstore_list_free(); or
 * NULL with errno:
 *
 * - EINVAL: @prefix_len is above MSTORE_KEY_MAX
 * - ENOMEM: out of memory
 */
struct mstore_list *mstore_list_new(struct mstore *store, const void *prefix,
				    size_t prefix_len, int bucket);

/**
 * mstore_list_values_new() - make a list of the keys of a store with their values
 * @store:	as for mstore_list_new(), like the next ones
 * @prefix:	prefix of the keys to list
 * @prefix_len:	length of @prefix
 * @bucket:	bucket of the keys to list
 *
 * Each key and its value are of one moment, those of two keys need not be of the same.
 * The list has room for 64 KiB and grows if a single value needs more.
 *
 * Return: the list, as mstore_list_new(). mstore_list_next() can then fail with ENOMEM,
 * and with EINVAL if the module is too old.
 */
struct mstore_list *mstore_list_values_new(struct mstore *store, const void *prefix,
					   size_t prefix_len, int bucket);

/**
 * mstore_list_next() - go to the next key
 * @list:	list
 *
 * The order of keys has no meaning. A key that exists during the whole walk appears
 * exactly once. A key that appears or disappears meanwhile is listed at most once.
 *
 * Return: 1; 0 at the end; or -1 with errno:
 *
 * - ERANGE: no such bucket
 * - EPROTO: the kernel's answer is malformed
 */
int mstore_list_next(struct mstore_list *list);

/**
 * mstore_list_key() - get the current key
 * @list:	list whose mstore_list_next() returned 1
 * @len:	where to write the length of the key, or NULL
 *
 * Return: the key, valid until the next call of mstore_list_next() or
 * mstore_list_free(). No NUL follows. Never fails.
 */
const char *mstore_list_key(const struct mstore_list *list, size_t *len);

/**
 * mstore_list_value_len() - get the length of the current key's value
 * @list:	list
 *
 * Return: the length in bytes at the moment of the listing.
 */
size_t mstore_list_value_len(const struct mstore_list *list);

/**
 * mstore_list_version() - get the version of the current key's value
 * @list:	list
 *
 * Return: the version at the moment of the listing.
 */
uint64_t mstore_list_version(const struct mstore_list *list);

/**
 * mstore_list_value() - get the current key's value
 * @list:	list made by mstore_list_values_new()
 * @len:	where to write the length of the value, or NULL
 *
 * Return: the value, valid as long as the key. No NUL follows. NULL, with the length 0,
 * if the list has no values.
 */
const char *mstore_list_value(const struct mstore_list *list, size_t *len);

/**
 * mstore_list_info() - tell about the current key's value
 * @list:	list made by mstore_list_values_new()
 * @info:	where to write the facts, of the same moment as the value. If the list has
 *		no values, all but @version and @value_len are 0
 */
void mstore_list_info(const struct mstore_list *list, struct mstore_value_info *info);

/**
 * mstore_list_free() - release a list
 * @list:	list, or NULL
 */
void mstore_list_free(struct mstore_list *list);

/**
 * DOC: Subscriptions
 */

/**
 * enum mstore_event_type - type of an event; the first three are also mask bits
 * @MSTORE_EVENT_PUBLISHED: value stored by mstore_publish()
 * @MSTORE_EVENT_SET:	value stored by mstore_set()
 * @MSTORE_EVENT_DELETED: value removed
 * @MSTORE_EVENT_SNAPSHOT: value of a snapshot (MSTORE_SUBSCRIBE_SNAPSHOT)
 * @MSTORE_EVENT_SNAPSHOT_END: end of a snapshot
 * @MSTORE_EVENT_LOST:	events of a subscription were lost. Needs no mask
 * @MSTORE_EVENT_FLUSHED: subscriptions were removed. Needs no mask
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
 * enum mstore_event_by - mask bits that select one cause of removal
 * @MSTORE_EVENT_BY_DELETE: mstore_delete(), also in a batch
 * @MSTORE_EVENT_BY_FLUSH: mstore_flush()
 * @MSTORE_EVENT_BY_EXPIRY: expiry of the time to live
 * @MSTORE_EVENT_BY_OWNER: end of the owner
 *
 * Use these bits in place of MSTORE_EVENT_DELETED, which selects all causes. The
 * event's type is MSTORE_EVENT_DELETED; its flags tell the cause.
 */
enum mstore_event_by {
	MSTORE_EVENT_BY_DELETE	= 1 << 3,
	MSTORE_EVENT_BY_FLUSH	= 1 << 4,
	MSTORE_EVENT_BY_EXPIRY	= 1 << 5,
	MSTORE_EVENT_BY_OWNER	= 1 << 6,
};

/**
 * enum mstore_event_flags - details of an event
 * @MSTORE_EVENT_F_FLUSH: DELETED: removed by mstore_flush()
 * @MSTORE_EVENT_F_EXPIRED: DELETED: the time to live expired
 * @MSTORE_EVENT_F_OWNER: DELETED: the owner was closed (mstore_event_end())
 * @MSTORE_EVENT_F_STOLEN: MSTORE_STEAL took the value from its owner. An owner that
 *		subscribed to the key gets this event whatever its mask is
 * @MSTORE_EVENT_F_MORE: the next event of this queue is of the same atomic batch. If
 *		it is LOST, others of the batch may be missing
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
 * @key:	key, which need not exist
 * @key_len:	length of @key
 * @events:	mask of MSTORE_EVENT_PUBLISHED, _SET, _DELETED and _BY_*; 0:
 *		MSTORE_EVENT_PUBLISHED alone
 * @cookie:	any number; each event of the subscription carries it
 *
 * Return: 0, or -1 with errno:
 *
 * - EEXIST: already subscribed
 * - ENOBUFS: the open store has max_subscriptions subscriptions
 * - EDQUOT: a limit of the user is reached: user_subscriptions, or with the first
 *   subscription user_queue_bytes (struct mstore_user_info)
 */
int mstore_subscribe(struct mstore *store, const void *key, size_t key_len,
		     int events, uint64_t cookie);

/**
 * enum mstore_subscribe_flags - options of a subscription
 * @MSTORE_SUBSCRIBE_PREFIX: subscribe to all keys that start with @key, including
 *		keys that do not exist yet. The prefix may be empty
 * @MSTORE_SUBSCRIBE_SNAPSHOT: deliver the present values first
 * @MSTORE_SUBSCRIBE_NEWER: limit the snapshot to a value above @version of the
 *		options; not with MSTORE_SUBSCRIBE_PREFIX
 * @MSTORE_SUBSCRIBE_LATEST: conflate: only the newest event of each key waits
 * @MSTORE_SUBSCRIBE_NO_VALUE: leave the value out, with MSTORE_EVENT_F_NO_VALUE
 * @MSTORE_SUBSCRIBE_DISCARD: of mstore_unsubscribe_with() alone: discard what waits
 */
enum mstore_subscribe_flags {
	MSTORE_SUBSCRIBE_PREFIX		= 1 << 0,
	MSTORE_SUBSCRIBE_SNAPSHOT	= 1 << 1,
	MSTORE_SUBSCRIBE_NEWER		= 1 << 2,
	MSTORE_SUBSCRIBE_LATEST		= 1 << 3,
	MSTORE_SUBSCRIBE_NO_VALUE	= 1 << 4,
	MSTORE_SUBSCRIBE_DISCARD	= 1 << 6,
};

/**
 * struct mstore_subscribe_options - options of a subscription
 * @flags:	mask of enum mstore_subscribe_flags
 * @events:	mask of events, as for mstore_subscribe()
 * @cookie:	any number; each event of the subscription carries it
 * @version:	MSTORE_SUBSCRIBE_NEWER: version above which the snapshot has the
 *		value. Ignored without that flag
 * @reserved:	must be 0
 *
 * Zero the structure, then set fields.
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
 * @key_len:	length of @key
 * @options:	options; NULL: as mstore_subscribe() with 0 and 0
 *
 * An open store may have one subscription to a key and one to each prefix of it.
 * Each of them gets its own event.
 *
 * MSTORE_SUBSCRIBE_SNAPSHOT delivers the present values first, each in an event
 * SNAPSHOT. One SNAPSHOT_END follows, even if there were no values.
 *
 * - Each value is looked up when it is read, so it takes no room in the queue.
 * - Changes of a key follow its value. Changes made before the value was read do not
 *   appear.
 * - A subscriber that applies all events in order reaches the state of the store:
 *   no gaps, no duplicates. This needs MSTORE_EVENT_PUBLISHED, _SET and _DELETED in
 *   the mask, and no loss.
 * - Events of keys that the snapshot has passed come in between.
 *
 * MSTORE_SUBSCRIBE_LATEST lets a new event replace the one that waits for the same
 * key. For an exact key no event is ever lost, because its place in the queue is
 * reserved. For a prefix events are lost only if more keys have pending events than
 * the queue holds.
 *
 * Return: 0, or -1 with errno:
 *
 * - EEXIST: already subscribed
 * - ENOBUFS: the open store has max_subscriptions subscriptions, or its queue cannot
 *   reserve a place for MSTORE_SUBSCRIBE_LATEST
 * - EDQUOT: as in mstore_subscribe()
 * - EBUSY: more than 1,024 events wait, and this is the first
 *   MSTORE_SUBSCRIBE_LATEST to a prefix
 * - EINVAL: also flags that exclude each other, or a reserved field that is not 0
 */
int mstore_subscribe_with(struct mstore *store, const void *key, size_t key_len,
			  const struct mstore_subscribe_options *options);

/**
 * mstore_unsubscribe() - end a subscription to a key
 * @store:	store
 * @key:	key
 * @key_len:	length of @key
 *
 * No further event of the subscription is enqueued. Events that are already queued
 * stay and are read. An unfinished snapshot stops, without SNAPSHOT_END.
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: not subscribed to the key
 */
int mstore_unsubscribe(struct mstore *store, const void *key, size_t key_len);

/**
 * mstore_unsubscribe_with() - end a subscription to a key or a prefix
 * @store:	store
 * @key:	key or prefix
 * @key_len:	length of @key
 * @flags:	MSTORE_SUBSCRIBE_PREFIX: @key is a prefix; 0: a key. Optionally with
 *		MSTORE_SUBSCRIBE_DISCARD
 *
 * MSTORE_SUBSCRIBE_DISCARD discards the events of the subscription that wait, and the
 * losses that were not reported yet: nothing of it is read after the call.
 *
 * Return: 0, or -1 with the errors of mstore_unsubscribe() and:
 *
 * - EINVAL: also MSTORE_SUBSCRIBE_DISCARD if the module lacks MSTORE_FEATURE_RESYNC
 */
int mstore_unsubscribe_with(struct mstore *store, const void *key, size_t key_len,
			    int flags);

/**
 * mstore_resync() - begin a subscription anew, after a loss
 * @store:	store
 * @key:	key or prefix
 * @key_len:	length of @key
 * @flags:	MSTORE_SUBSCRIBE_PREFIX: @key is a prefix; 0: a key
 *
 * In one step all waiting events of the subscription are discarded, its losses are
 * settled, and a snapshot begins: the present values, each in an event SNAPSHOT, then
 * one SNAPSHOT_END. The subscription keeps its mask, cookie, options and counters.
 *
 * - To end the subscription and subscribe again instead leaves old events in the queue.
 *   They are read behind newer values of the snapshot, and the copy is wrong.
 * - A key that was deleted meanwhile is not in the snapshot. At SNAPSHOT_END drop all
 *   keys that no event named since the call.
 * - Apply the events that an event buffer still holds first: they are older.
 *
 * mstore_follow_new() makes a follower that does all of this.
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: not subscribed to the key or prefix
 * - EINVAL: also any other flag, or the module lacks MSTORE_FEATURE_RESYNC
 */
int mstore_resync(struct mstore *store, const void *key, size_t key_len, int flags);

/**
 * struct mstore_subscription_info - counters of a subscription
 * @flags:	mask of enum mstore_subscribe_flags of the subscription; SNAPSHOT only
 *		until the end of the snapshot is read
 * @events:	mask of events of the subscription
 * @cookie:	cookie of the subscription
 * @matched:	events that it ever matched, including those of snapshots
 * @delivered:	events that were read
 * @conflated:	events that a newer one replaced
 * @lost:	events that were lost
 * @pending:	events that wait or that readers are copying
 * @discarded:	events that mstore_resync() or MSTORE_SUBSCRIBE_DISCARD removed. One
 *		behind another subscription's event is pending until that is read
 * @reserved:	0, until it gets a meaning
 *
 * Kernel counters account for every event: @matched = @delivered + @conflated + @lost
 * + @discarded + @pending. They leave out LOST, FLUSHED and SNAPSHOT_END.
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
	uint64_t discarded;
	uint64_t reserved[7];
};

/**
 * mstore_subscription_info() - tell the counters of a subscription
 * @store:	store
 * @key:	key or prefix
 * @key_len:	length of @key
 * @flags:	MSTORE_SUBSCRIBE_PREFIX: @key is a prefix; 0: a key
 * @info:	where to write the answer, all of one moment
 *
 * Return: 0, or -1 with errno:
 *
 * - ENOENT: the open store is not subscribed to the key or prefix
 */
int mstore_subscription_info(struct mstore *store, const void *key,
			     size_t key_len, int flags,
			     struct mstore_subscription_info *info);

/**
 * mstore_subscribers() - count the subscriptions to a key
 * @store:	store
 * @key:	key, which need not exist
 * @key_len:	length of @key
 *
 * Return: the number of subscriptions of all open stores to the key and to its
 * prefixes; or -1 with the errors of any function.
 */
int mstore_subscribers(struct mstore *store, const void *key, size_t key_len);

/**
 * DOC: The event queue
 *
 * Each open store has one, with a capacity in events and in bytes.
 */

/**
 * enum mstore_queue_policy - fate of an event for which there is no room
 * @MSTORE_QUEUE_DROP_OLDEST: the queue drops its oldest events and takes the new one
 * @MSTORE_QUEUE_LOSSLESS: a publisher with MSTORE_WAIT waits for room. Without
 *			MSTORE_WAIT the new event is lost
 */
enum mstore_queue_policy {
	MSTORE_QUEUE_DROP_OLDEST	= 0,
	MSTORE_QUEUE_LOSSLESS		= 1,
};

/**
 * enum mstore_queue_fields - fields that mstore_queue_set() is to change
 * @MSTORE_QUEUE_SET_LEN: @max_len
 * @MSTORE_QUEUE_SET_BYTES: @max_bytes
 * @MSTORE_QUEUE_SET_POLICY: @policy
 */
enum mstore_queue_fields {
	MSTORE_QUEUE_SET_LEN	= 1 << 0,
	MSTORE_QUEUE_SET_BYTES	= 1 << 1,
	MSTORE_QUEUE_SET_POLICY	= 1 << 2,
};

/** MSTORE_QUEUE_FACTOR - unprivileged limit, in multiples of the store's */
#define MSTORE_QUEUE_FACTOR	16

/**
 * struct mstore_queue_options - new settings of a queue
 * @which:	mask of enum mstore_queue_fields; the other fields are ignored
 * @policy:	enum mstore_queue_policy
 * @max_len:	capacity in events, at least 1
 * @max_bytes:	capacity in bytes, at least 4096
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
 * mstore_queue_set() - change the event queue of an open store
 * @store:	store
 * @options:	new settings
 *
 * Queued events stay. If the new capacity is too small for them, the queue drops its
 * oldest events. A lossless queue fails with EBUSY instead.
 *
 * Return: 0, or -1 with errno:
 *
 * - EINVAL: also an unknown policy, or a limit out of the range of the module
 *   parameters queue_len and queue_bytes
 * - EPERM: a limit is above MSTORE_QUEUE_FACTOR times the store's, without
 *   CAP_SYS_RESOURCE
 * - EBUSY: more than 1,024 events wait; or the queue is or becomes lossless, and holds
 *   more events than it would have room for; or mstore_map_events() was called
 * - ENOBUFS: @max_bytes is less than twice what MSTORE_SUBSCRIBE_LATEST reserved
 * - EDQUOT: the queue would exceed user_queue_bytes (struct mstore_user_info)
 */
int mstore_queue_set(struct mstore *store,
		     const struct mstore_queue_options *options);

/**
 * struct mstore_queue_info - state of an event queue
 * @policy:	enum mstore_queue_policy
 * @max_len:	capacity in events
 * @max_bytes:	capacity in bytes
 * @len:	events that wait
 * @bytes:	bytes that count against @max_bytes
 * @high_len:	most events that ever waited
 * @subscriptions: present number of subscriptions
 * @matched:	this counter, the next four and @discarded are as in struct
 *		mstore_subscription_info, for all present and ended subscriptions
 * @delivered:	see @matched
 * @conflated:	see @matched
 * @lost:	see @matched
 * @pending:	see @matched
 * @oldest_ms:	age of the oldest waiting event in ms; 0: no event waits
 * @discarded:	see @matched
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
	uint64_t discarded;
	uint64_t reserved[7];
};

/**
 * mstore_queue_info() - tell the limits and counters of an event queue
 * @store:	store
 * @info:	where to write the answer, all of one moment
 *
 * Return: 0, or -1 with the errors of any function.
 */
int mstore_queue_info(struct mstore *store, struct mstore_queue_info *info);

/**
 * DOC: Events
 *
 * mstore_read_events() fills a buffer, and mstore_event_next() walks it:
 *
 *	while (mstore_read_events(store, buffer) > 0) {
 *		event = NULL;
 *		while ((event = mstore_event_next(buffer, event)))
 *			...
 *	}
 *
 * The events of one key come in the order of its versions. A full queue drops its
 * oldest events, unless it is lossless (mstore_queue_set()). Each subscription that
 * lost events gets an event LOST with their number, before the next event of any
 * subscription.
 */

/** struct mstore_event_buffer - reusable memory for events */
struct mstore_event_buffer;

/** struct mstore_event - one event in a buffer */
struct mstore_event;

/**
 * mstore_event_buffer_new() - make a buffer for events
 * @capacity:	size in bytes, 0: 64 KiB. An event takes its key, its value and about 48
 *		bytes more. The buffer grows if a single event needs it
 *
 * Return: the buffer, to be released with mstore_event_buffer_free(); or NULL with
 * errno:
 *
 * - ENOMEM: out of memory
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
 * @timeout_ms:	longest wait in ms; 0: no wait; negative: no limit
 *
 * Another thread or process may read the event first.
 *
 * Return: 1 when mstore_read_events() will not wait, 0 at the timeout, or -1 with
 * errno:
 *
 * - EINTR: a signal handler ran
 */
int mstore_wait(struct mstore *store, int timeout_ms);

/**
 * mstore_map_events() - read events without a system call from now on
 * @store:	store that was opened with MSTORE_RDWR
 * @size:	bytes of events that need no system call, at most 64 MiB. They are rounded up to
 *		a power of two; 0: 256 KiB
 *
 * mstore_read_events() then takes events from memory that it shares with the module. It asks
 * the module for what is not there: for LOST, snapshots, events of keys and values above some
 * 460 bytes, of MSTORE_SUBSCRIBE_LATEST and of owners that went, and if there is nothing, to
 * wait or to fail with EAGAIN. All comes in the same order, and the same once. The limits of
 * the queue stay as they are, so mstore_queue_set() must come first: afterwards it fails with
 * EBUSY. mstore_renew() maps anew. After fork() both processes have the ring.
 *
 * Without it all works, too: a program that gets EOPNOTSUPP or ENODEV goes on.
 *
 * Return: 0, or -1 with errno:
 *
 * - EINVAL: @size is too large
 * - EACCES: the store was not opened with MSTORE_RDWR
 * - EBUSY: the store has a ring, or another process mapped that of the same open file
 * - EDQUOT: the user has user_queue_bytes: the ring counts there
 * - ENOMEM: out of memory
 * - EOPNOTSUPP: not for 32-bit programs, and not in a user or PID namespace other than the
 *   initial one
 * - ENODEV: also the module lacks MSTORE_FEATURE_MAP_RING
 */
int mstore_map_events(struct mstore *store, size_t size);

/**
 * mstore_read_events() - read as many events as wait and fit
 * @store:	store
 * @buffer:	buffer; its previous events become invalid, also on failure
 *
 * Waits for an event, unless the store was opened with MSTORE_NONBLOCK.
 *
 * Return: the number of events, at least 1, or -1 with errno:
 *
 * - EAGAIN: no event waits and the store was opened with MSTORE_NONBLOCK
 * - EINTR: a signal handler without SA_RESTART ran before an event came
 * - ENOMEM: the buffer cannot grow to the size of the next event, which stays queued
 * - EPROTO: the kernel's answer is malformed
 */
int mstore_read_events(struct mstore *store,
		       struct mstore_event_buffer *buffer);

/**
 * mstore_event_next() - walk the events of a buffer
 * @buffer:	buffer
 * @event:	event of the buffer; NULL: start
 *
 * Return: the event after @event, or NULL after the last one. An event is valid until
 * the buffer is read into again or released. So is all that the functions below
 * return for it. Those functions never fail.
 */
const struct mstore_event *
mstore_event_next(const struct mstore_event_buffer *buffer,
		  const struct mstore_event *event);

/**
 * mstore_event_type() - get the type of an event
 * @event:	event
 *
 * Return: enum mstore_event_type. A newer module may have other types: ignore
 * events of an unknown type.
 */
int mstore_event_type(const struct mstore_event *event);

/**
 * mstore_event_flags() - get the flags of an event
 * @event:	event
 *
 * Return: mask of enum mstore_event_flags. A newer module may have other flags.
 */
int mstore_event_flags(const struct mstore_event *event);

/**
 * mstore_event_cookie() - get the cookie of an event's subscription
 * @event:	event
 *
 * Return: the number passed to mstore_subscribe(); 0 in FLUSHED, which belongs to no
 * subscription.
 */
uint64_t mstore_event_cookie(const struct mstore_event *event);

/**
 * mstore_event_key() - get the key of an event
 * @event:	event
 * @len:	where to write the length of the key, or NULL
 *
 * Return: the key; of length 0 in LOST, FLUSHED and SNAPSHOT_END. No NUL follows.
 */
const char *mstore_event_key(const struct mstore_event *event, size_t *len);

/**
 * mstore_event_value() - get the value that was stored or removed
 * @event:	event
 * @len:	where to write the length of the value, or NULL
 *
 * Return: the value; of length 0 in LOST, FLUSHED and SNAPSHOT_END, and with
 * MSTORE_EVENT_F_NO_VALUE. No NUL follows.
 */
const char *mstore_event_value(const struct mstore_event *event, size_t *len);

/**
 * mstore_event_version() - get the version of the change
 * @event:	event
 *
 * Return: the version; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
uint64_t mstore_event_version(const struct mstore_event *event);

/**
 * mstore_event_count() - get the number of lost events or removed subscriptions
 * @event:	event
 *
 * Return: LOST: number of events that the subscription lost since its previous LOST.
 * FLUSHED: number of subscriptions removed. Else 0.
 */
uint64_t mstore_event_count(const struct mstore_event *event);

/**
 * mstore_event_time() - get the time when the value was written
 * @event:	event
 *
 * Return: CLOCK_REALTIME in ns; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
uint64_t mstore_event_time(const struct mstore_event *event);

/**
 * mstore_event_tgid() - get the process that wrote the value
 * @event:	event
 *
 * Return: the process id in the caller's PID namespace; 0 if it has none there, or in
 * another than the initial namespace has ended, and in LOST, FLUSHED and SNAPSHOT_END.
 */
int32_t mstore_event_tgid(const struct mstore_event *event);

/**
 * mstore_event_uid() - get the effective user of the process that wrote the value
 * @event:	event
 *
 * Return: the user id; 0 in LOST, FLUSHED and SNAPSHOT_END.
 */
uint32_t mstore_event_uid(const struct mstore_event *event);

/**
 * enum mstore_end - end of an owner
 * @MSTORE_END_CLOSED:	it closed the store, or the cause is unknown
 * @MSTORE_END_EXITED:	it exited
 * @MSTORE_END_KILLED:	a signal killed it
 */
enum mstore_end {
	MSTORE_END_CLOSED	= 0,
	MSTORE_END_EXITED	= 1,
	MSTORE_END_KILLED	= 2,
};

/**
 * mstore_event_end() - tell how the owner of a key ended
 * @event:	event
 * @tgid:	where to write the number that the process that held the last descriptor
 *		had in the caller's PID namespace, or NULL; 0: it had none there, or the
 *		kernel itself closed a descriptor, such as one in flight in a socket
 * @code:	where to write the exit status (EXITED) or the number of the signal
 *		(KILLED), else 0; or NULL
 *
 * Return: enum mstore_end; or -1, with errno unchanged, for an event without
 * MSTORE_EVENT_F_OWNER.
 */
int mstore_event_end(const struct mstore_event *event, int32_t *tgid,
		     int *code);

/**
 * DOC: Versions
 *
 * Versions bring the events of several subscriptions in order. Each subscription has the
 * events of a key in the order of versions, but the order among subscriptions is open: an
 * event of one with MSTORE_SUBSCRIBE_LATEST, or of a snapshot, may come ahead of older ones
 * that wait for another. A reader applies only events that are accepted:
 *
 *	versions = mstore_versions_new(0);
 *	while (mstore_read_events(store, buffer) > 0)
 *		for (event = NULL; (event = mstore_event_next(buffer, event)); )
 *			if (mstore_versions_accept(versions, event) > 0)
 *				(apply the event)
 */

/** struct mstore_versions - versions that a reader has seen */
struct mstore_versions;

/**
 * mstore_versions_new() - make an object that has seen nothing yet
 * @keys:	how many keys it remembers: those of which it accepted an event last; 0:
 *		16,384. Each takes some 100 bytes and the key itself
 *
 * It needs at least four times as many as events wait: max_len of mstore_queue_info() and
 * the keys with MSTORE_SUBSCRIBE_LATEST. An older event was already waiting when the newer
 * one was read, and is read soon after. From then on its key can be forgotten. A later
 * snapshot may tell the same version of it again, but no older one.
 *
 * Return: the object, to be released with mstore_versions_free(); or NULL with errno.
 */
struct mstore_versions *mstore_versions_new(size_t keys);

/**
 * mstore_versions_free() - release an object
 * @versions:	object, or NULL
 */
void mstore_versions_free(struct mstore_versions *versions);

/**
 * mstore_versions_accept() - tell whether an event is newer than all seen of its key
 * @versions:	object for all events of one open store, which one thread at a time reads
 * @event:	event, in the order of reading
 *
 * Of an event that several subscriptions get, one is accepted. Events of no key are always:
 * LOST, FLUSHED and SNAPSHOT_END.
 *
 * Return: 1; 0 to pass the event over; or -1 with errno, after which the call can be
 * repeated:
 *
 * - ENOMEM: no memory to remember the key
 */
int mstore_versions_accept(struct mstore_versions *versions, const struct mstore_event *event);

/**
 * DOC: Followers
 *
 * A follower keeps its caller's copy of keys equal to the store. It takes a snapshot,
 * tells each change, and recovers by itself from lost events and from flushes that
 * removed its subscriptions. So the copy is never wrong for good, however slow its reader
 * is or was.
 *
 *	follow = mstore_follow_new(store, NULL);
 *	mstore_follow_add(follow, "net/", MSTORE_STRLEN, MSTORE_SUBSCRIBE_PREFIX);
 *	while ((type = mstore_follow_next(follow, -1)) > 0) {
 *		key = mstore_follow_key(follow, &key_len);
 *		value = mstore_follow_value(follow, &value_len);
 *		switch (type) {
 *		case MSTORE_FOLLOW_VALUE:	(store the value in the copy)
 *		case MSTORE_FOLLOW_DELETED:	(remove the key from the copy)
 *		case MSTORE_FOLLOW_IN_STEP:	(the copy is complete: use it)
 *		}
 *	}
 *
 * When the module is replaced (mstore upgrade), a follower of a store that was opened by a path
 * closes the device, opens that of the next module as soon as there is one, and begins
 * anew with a snapshot. A value that did not change is told again then, with a greater
 * version. Meanwhile mstore_follow_next() tells nothing; mstore_follow_info() shows it.
 *
 * Between a loss and the next IN_STEP the copy may mix older and newer values of different
 * keys. No key ever goes back to an older value.
 */

/** struct mstore_follow - follower, with its own open store */
struct mstore_follow;

/**
 * enum mstore_follow_flags - options of a follower
 * @MSTORE_FOLLOW_EACH:	tell each change, not only the newest of each key. A loss still
 *		leaves changes out
 * @MSTORE_FOLLOW_NO_VALUE: leave the values out
 */
enum mstore_follow_flags {
	MSTORE_FOLLOW_EACH	= 1,
	MSTORE_FOLLOW_NO_VALUE	= 2,
};

/**
 * struct mstore_follow_options - options of a follower
 * @flags:	mask of enum mstore_follow_flags
 * @reserved1:	must be 0, like @reserved
 * @reserved:	must be 0
 *
 * Zero the structure, then set fields.
 */
struct mstore_follow_options {
	int flags;
	int reserved1;
	uint64_t reserved[7];
};

/**
 * mstore_follow_new() - make a follower that follows nothing yet
 * @store:	store, opened with MSTORE_READ. It is opened again, so it may be closed
 *		while the follower lives
 * @options:	options; NULL: none
 *
 * Return: the follower, to be released with mstore_follow_free(); or NULL with errno:
 *
 * - EINVAL: an unknown flag, or a reserved field that is not 0
 * - ENOTTY: also a module without MSTORE_FEATURE_RESYNC
 * - EACCES: @store was not opened with MSTORE_READ
 * - EMFILE, ENFILE: too many descriptors
 */
struct mstore_follow *mstore_follow_new(struct mstore *store,
					const struct mstore_follow_options *options);

/**
 * mstore_follow_free() - release a follower
 * @follow:	follower, or NULL
 */
void mstore_follow_free(struct mstore_follow *follow);

/**
 * mstore_follow_add() - follow a key or a prefix as well
 * @follow:	follower
 * @key:	key, which need not exist; or prefix
 * @key_len:	length of @key
 * @flags:	MSTORE_SUBSCRIBE_PREFIX: @key is a prefix, which may be empty; 0: a key
 *
 * Its values are told next, then IN_STEP.
 *
 * A key under several followed prefixes is told once for each change: the shortest prefix
 * takes the place of keys and prefixes that it covers, whatever the order of addition.
 * To add what is covered already does nothing.
 *
 * Without MSTORE_FOLLOW_EACH the queue reserves room for the newest value of an exact key,
 * while there is room for that: with default limits for 7 keys. Further ones are followed
 * without it, and cost a recovery when they lose events. For many keys take a prefix, or a
 * larger queue (mstore_follow_store()).
 *
 * Return: 0, or -1 with errno:
 *
 * - EINVAL: also any other flag
 * - ENOBUFS: the follower has max_subscriptions subscriptions (struct mstore_info). So a
 *   prefix cannot take the place of as many keys: it is subscribed to before they end
 * - EDQUOT: as in mstore_subscribe()
 * - EBUSY: more than 1,024 events wait: call mstore_follow_next() first
 */
int mstore_follow_add(struct mstore_follow *follow, const void *key, size_t key_len, int flags);

/**
 * enum mstore_follow_type - what a follower tells
 * @MSTORE_FOLLOW_VALUE: a key has this value
 * @MSTORE_FOLLOW_DELETED: a key whose value was told has none any more
 * @MSTORE_FOLLOW_IN_STEP: all that was in the store at some moment, not before the end of
 *		the last snapshot, has been told: of each key the value of that moment, or a
 *		newer one. With MSTORE_FOLLOW_EACH never within an atomic batch. Told once
 *		after mstore_follow_add() and once after each recovery
 */
enum mstore_follow_type {
	MSTORE_FOLLOW_VALUE	= 1,
	MSTORE_FOLLOW_DELETED	= 2,
	MSTORE_FOLLOW_IN_STEP	= 3,
};

/**
 * mstore_follow_next() - go to the next change
 * @follow:	follower
 * @timeout_ms:	longest wait in ms; 0: no wait; negative: no limit
 *
 * The changes of one key come in the order of its versions. A value that was told is not
 * told again. The deletion of a key whose value was not told is not told either.
 *
 * Recovery: events that were lost cost a snapshot (mstore_resync()). Of it only changes
 * are told, and at its end the deletion of each key that is gone. A snapshot comes to its
 * end before the next one begins, so a reader that is always too slow still gets to every
 * key.
 *
 * A follower remembers each key that it told, in about 64 bytes and the key itself.
 *
 * Return: enum mstore_follow_type; 0 at the timeout; or -1 with errno. After -1 the call can
 * be repeated, and nothing is left out:
 *
 * - EINTR: a signal handler ran during the wait
 * - ENOMEM: also no memory to remember a key
 * - ENOBUFS, EDQUOT: a subscription that a flush removed cannot be made again
 * - EPROTO: the kernel's answer is malformed
 *
 * When it returns 0 for a @timeout_ms of 0, all that was in the store at that moment has
 * been told, if the follower is in step. Then no event and no IN_STEP waits, unless records
 * came for 100 ms that tell nothing; mstore_follow_fd() stays readable in that case.
 */
int mstore_follow_next(struct mstore_follow *follow, int timeout_ms);

/**
 * mstore_follow_key() - get the key that was told
 * @follow:	follower
 * @len:	where to write the length of the key, or NULL
 *
 * Return: the key, valid until the next call of mstore_follow_next() or
 * mstore_follow_free(), as is all that the functions below return; NULL and 0 for
 * IN_STEP. No NUL follows. Never fails.
 */
const char *mstore_follow_key(const struct mstore_follow *follow, size_t *len);

/**
 * mstore_follow_value() - get the value that was told, or that was removed
 * @follow:	follower
 * @len:	where to write the length of the value, or NULL
 *
 * Return: the value. Of length 0 with MSTORE_FOLLOW_NO_VALUE, and for a deletion without an
 * event; NULL and 0 for IN_STEP. No NUL follows. Never fails.
 */
const char *mstore_follow_value(const struct mstore_follow *follow, size_t *len);

/**
 * mstore_follow_version() - get the version of the change
 * @follow:	follower
 *
 * Return: the version; for a deletion without an event that of the value told last; 0 for
 * IN_STEP.
 */
uint64_t mstore_follow_version(const struct mstore_follow *follow);

/**
 * mstore_follow_event() - get the event of the change
 * @follow:	follower
 *
 * It has the writer, the time and the flags. With MSTORE_FOLLOW_EACH it tells atomic batches
 * by MSTORE_EVENT_F_MORE. A batch that a loss cut short may lack its last event. It has ended when
 * this is an event SNAPSHOT, or none; when @lost or @recoveries of mstore_follow_info() has
 * changed, since unrelated events may come before the recovery; and with a call of
 * mstore_follow_add(), which may discard the rest. By IN_STEP all that it did has been told.
 *
 * Return: the event; NULL for IN_STEP, and for a deletion that was found by comparison:
 * the event DELETED of that key was lost, or discarded by a recovery.
 */
const struct mstore_event *mstore_follow_event(const struct mstore_follow *follow);

/**
 * mstore_follow_fd() - get the descriptor of a follower for a poll loop
 * @follow:	follower
 *
 * When it is readable, call mstore_follow_next() with a timeout of 0 until that returns 0:
 * the follower may have read more than it told. The follower owns the descriptor: do not
 * close or read it. It is an epoll instance, so that it stays the same when the module is
 * replaced.
 *
 * Return: the descriptor. Never fails.
 */
int mstore_follow_fd(const struct mstore_follow *follow);

/**
 * mstore_follow_store() - get the follower's own open store
 * @follow:	follower
 *
 * It is for mstore_queue_set() and mstore_queue_info() alone. Do not read its events,
 * change its subscriptions, or close it.
 *
 * Return: the store. Never fails.
 */
struct mstore *mstore_follow_store(const struct mstore_follow *follow);

/**
 * struct mstore_follow_info - counters of a follower
 * @keys:	keys that it remembers
 * @recoveries:	times that it began anew
 * @lost:	events that were lost; those that a recovery discarded not included. It counts
 *		a loss before an event behind it is told
 * @renewals:	times that it opened the device again, because the module was replaced
 * @away:	0, or from when the module is retired until the device is open again: the
 *		errno of the last try to open it
 * @reserved:	0, until it gets a meaning
 */
struct mstore_follow_info {
	uint64_t keys;
	uint64_t recoveries;
	uint64_t lost;
	uint64_t renewals;
	uint64_t away;
	uint64_t reserved[3];
};

/**
 * mstore_follow_info() - tell the counters of a follower
 * @follow:	follower
 * @info:	where to write the answer
 */
void mstore_follow_info(const struct mstore_follow *follow, struct mstore_follow_info *info);

/**
 * DOC: Locks
 *
 * A lock has a key and one or more slots. Contenders take its slots in the order of
 * arrival, across processes and threads. A slot is an owned key: it ends with its
 * holder, however that ends, and the next contender takes it.
 *
 *	lock = mstore_lock_new(store, "printer", MSTORE_STRLEN, NULL);
 *	if (lock && mstore_lock_acquire(lock, -1) == 1) {
 *		(use the printer)
 *		mstore_lock_release(lock);
 *	}
 *	mstore_lock_free(lock);
 *
 * These keys belong to the lock K:
 *
 * K		of a lock with one slot: its slot. With more it must be absent
 * K.slot/N	slot N of several, from 1
 * K.lock	number of slots, and the tickets of those that wait
 * K.lock/T	ticket of one that waits
 *
 * The kernel alone decides which open store owns a slot. If K.lock is deleted or
 * overwritten, those that wait lose their order, and a slot still has one holder.
 */

/** struct mstore_lock - one contender for a lock, or its holder */
struct mstore_lock;

/** MSTORE_LOCK_KEY_MAX - longest key of a lock in bytes: others are made of it */
#define MSTORE_LOCK_KEY_MAX	233

/** MSTORE_LOCK_SLOTS_MAX - most slots of a lock */
#define MSTORE_LOCK_SLOTS_MAX	64

/**
 * struct mstore_lock_options - options of a lock
 * @slots:	number of slots, 1 to MSTORE_LOCK_SLOTS_MAX; 0: 1, an exclusive lock
 * @value:	value of the slot's key while it is held; ignored if @value_len is 0
 * @value_len:	length of @value
 * @reserved:	must be 0
 */
struct mstore_lock_options {
	int slots;
	const void *value;
	size_t value_len;
	uint64_t reserved[4];
};

/**
 * mstore_lock_new() - make a contender for a lock
 * @store:	store of the lock, opened with MSTORE_RDWR. It may be closed before the
 *		lock is released
 * @key:	key of the lock, 1 to MSTORE_LOCK_KEY_MAX bytes
 * @key_len:	length of @key
 * @options:	options; NULL: one slot, an empty value
 *
 * The contender opens the store twice for itself: once to own keys, once to wait. It
 * does not contend before mstore_lock_acquire().
 *
 * Return: the lock, to be released with mstore_lock_free(); or NULL with errno:
 *
 * - EINVAL: @key is empty, or the slots are not 0 to MSTORE_LOCK_SLOTS_MAX
 * - ENAMETOOLONG: @key is longer than MSTORE_LOCK_KEY_MAX
 * - EMSGSIZE: the value is longer than the store's max_value
 * - EACCES: @store lacks MSTORE_READ or MSTORE_WRITE
 * - EMFILE, ENFILE: too many descriptors
 */
struct mstore_lock *mstore_lock_new(struct mstore *store, const void *key, size_t key_len,
				    const struct mstore_lock_options *options);

/**
 * mstore_lock_free() - release a lock, and the contender
 * @lock:	lock, or NULL
 *
 * As mstore_lock_release(), then the open stores are closed. After fork() only one of
 * the processes may call it: they share the lock.
 */
void mstore_lock_free(struct mstore_lock *lock);

/**
 * mstore_lock_acquire() - wait for a slot of a lock and take it
 * @lock:	lock
 * @timeout_ms:	longest wait in ms; 0: no wait; negative: no limit
 *
 * The first call enters the queue. The place there stays after the timeout and after
 * EINTR, until mstore_lock_release(): a later call goes on waiting. So an event loop
 * can call it with 0, and again each time that mstore_lock_fd() is readable.
 *
 * All contenders name the same number of slots. Another number is accepted once none of
 * them waits or holds a slot.
 *
 * Return: 1 when @lock holds a slot, 0 at the timeout, or -1 with errno:
 *
 * - EALREADY: @lock holds a slot, or held one that it has lost
 * - EBUSY: the lock is in use with another number of slots; or several slots are
 *   wanted, and the key itself exists; or another open store owns K.lock
 * - EMSGSIZE: so many wait that their tickets, 17 bytes each, exceed max_value
 * - ENOSPC: the store is full
 * - EDQUOT: as in mstore_set_with() and mstore_subscribe()
 * - EPROTO: K.lock or a ticket has another program's value
 * - ENOBUFS: as in mstore_subscribe()
 * - EINTR: a signal handler ran
 */
int mstore_lock_acquire(struct mstore_lock *lock, int timeout_ms);

/**
 * mstore_lock_is_held() - ask whether a lock is still held
 * @lock:	lock
 *
 * A holder loses its slot when another open store steals or deletes the slot's key
 * (MSTORE_STEAL, MSTORE_FLUSH_STEAL). mstore_lock_fd() is then readable until this
 * function is called.
 *
 * Return: 1 if so; 0 if the lock was lost or is not held; or -1 with the errors of
 * every function.
 */
int mstore_lock_is_held(struct mstore_lock *lock);

/**
 * mstore_lock_number() - get the fencing number of a held lock
 * @lock:	lock
 *
 * The number is the version of the slot's key as the slot was taken. Each holder of a
 * slot has a higher one than the holder before. A resource that refuses numbers below
 * the highest that it has seen is safe from a holder that does not know of its loss. The
 * numbers of different slots do not compare: such a resource belongs to one slot.
 *
 * Return: the number, 0 if no slot was taken.
 */
uint64_t mstore_lock_number(const struct mstore_lock *lock);

/**
 * mstore_lock_slot() - get the slot of a held lock
 * @lock:	lock
 *
 * Return: the slot, from 1; 0 if none was taken.
 */
int mstore_lock_slot(const struct mstore_lock *lock);

/**
 * mstore_lock_fd() - get the descriptor of a lock for a poll loop
 * @lock:	lock
 *
 * While @lock waits, readable means: call mstore_lock_acquire(). While it is held:
 * call mstore_lock_is_held(). The lock owns the descriptor: do not close or read it.
 *
 * Return: the descriptor. Never fails.
 */
int mstore_lock_fd(const struct mstore_lock *lock);

/**
 * mstore_lock_store() - get the open store that owns the slot of a lock
 * @lock:	lock
 *
 * With it a holder can change the value of the slot's key, by MSTORE_OWNED. Processes
 * that inherit its descriptor hold the lock too. The lock owns the store: do not close
 * it.
 *
 * Return: the store. Never fails.
 */
struct mstore *mstore_lock_store(const struct mstore_lock *lock);

/**
 * mstore_lock_release() - give a slot back, or leave the queue
 * @lock:	lock
 *
 * @lock can be acquired again.
 *
 * Return: 0, also if @lock neither waited nor held a slot; or -1 with errno:
 *
 * - ENOLCK: the slot was lost before
 */
int mstore_lock_release(struct mstore_lock *lock);

#ifdef __cplusplus
}
#endif

#endif /* METASTORE_H */
