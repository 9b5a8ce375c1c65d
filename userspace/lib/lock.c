// SPDX-License-Identifier: LGPL-2.1-or-later
/* Locks. lock_queue.c has their keys and the order of contenders. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"

/* The longest suffix that a lock's key gets: .lock/ and 16 digits. */
#define SUFFIX_MAX	22

/* Only their arrival matters: room for some, without keys and values that are long. */
#define EVENTS_BYTES	4096

static_assert(MSTORE_LOCK_KEY_MAX + SUFFIX_MAX == MSTORE_KEY_MAX, "LOCK_KEY_MAX");

static const struct mstore_lock_options no_options;

/* Returns 0, or -1 with EINVAL, ENAMETOOLONG or EMSGSIZE. */
static int check(struct mstore *store, size_t key_len, size_t value_len,
		 const struct mstore_lock_options *options)
{
	struct mstore_info info;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		return -1;
	errno = EINVAL;
	if (!key_len || options->slots < 0 || options->slots > MSTORE_LOCK_SLOTS_MAX ||
	    !RESERVED_IS_ZERO(options))
		return -1;
	errno = key_len > MSTORE_LOCK_KEY_MAX ? ENAMETOOLONG : EMSGSIZE;
	return key_len > MSTORE_LOCK_KEY_MAX || value_len > info.max_value ? -1 : 0;
}

/* Returns 0, or -1. */
static int prepare(struct mstore_lock *lock, struct mstore *store,
		   const struct mstore_lock_options *options)
{
	lock->value = malloc(lock->value_len + 1);
	lock->batch = mstore_batch_new();
	lock->events = mstore_event_buffer_new(EVENTS_BYTES);
	if (!lock->value || !lock->batch || !lock->events)
		return -1;
	if (lock->value_len)
		memcpy(lock->value, options->value, lock->value_len);
	lock->store = mstore_reopen(store, MSTORE_RDWR);
	if (lock->store)
		lock->watch = mstore_reopen(store, MSTORE_READ | MSTORE_NONBLOCK);
	return lock->watch ? 0 : -1;
}

struct mstore_lock *mstore_lock_new(struct mstore *store, const void *key, size_t key_len,
				    const struct mstore_lock_options *options)
{
	struct mstore_lock *lock;
	size_t value_len;
	int error;

	if (!options)
		options = &no_options;
	key_len = length(key, key_len);
	value_len = length(options->value, options->value_len);
	if (check(store, key_len, value_len, options))
		return NULL;
	lock = calloc(1, sizeof(*lock));
	if (!lock)
		return NULL;
	lock->slots = options->slots ? (unsigned int)options->slots : 1;
	lock->value_len = value_len;
	lock->key_len = key_len;
	memcpy(lock->key, key, key_len);
	if (prepare(lock, store, options)) {
		error = errno;
		mstore_lock_free(lock);
		errno = error;
		return NULL;
	}
	return lock;
}

void mstore_lock_free(struct mstore_lock *lock)
{
	if (!lock)
		return;
	if (lock->watch)
		mstore_lock_release(lock);
	mstore_close(lock->watch);
	mstore_close(lock->store);
	mstore_event_buffer_free(lock->events);
	mstore_batch_free(lock->batch);
	free(lock->value);
	free(lock);
}

/* Returns 0, or -1. */
static int drain(struct mstore_lock *lock)
{
	int ret;

	do {
		ret = mstore_read_events(lock->watch, lock->events);
	} while (ret > 0);
	return errno == EAGAIN ? 0 : -1;
}

/* It is subscribed already, unless a flush removed that. */
static int watch_slot(struct mstore_lock *lock, unsigned int slot, int events)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_NO_VALUE,
		.events = events,
	};
	struct lock_key key = mstore_lock_slot_key(lock, lock->slots, slot);
	int ret = mstore_subscribe_with(lock->watch, key.bytes, key.len, &options);

	return ret && errno == EEXIST ? 0 : ret;
}

static void unwatch_slot(struct mstore_lock *lock, unsigned int slot)
{
	struct lock_key key = mstore_lock_slot_key(lock, lock->slots, slot);

	mstore_unsubscribe(lock->watch, key.bytes, key.len);
}

/* Leaves errno as it is. */
static void unwatch_slots(struct mstore_lock *lock)
{
	int error = errno;

	for (unsigned int slot = 1; slot <= lock->slots && lock->watches_slots; slot++)
		unwatch_slot(lock, slot);
	lock->watches_slots = false;
	errno = error;
}

static int watch_slots(struct mstore_lock *lock)
{
	lock->watches_slots = true;
	for (unsigned int slot = 1; slot <= lock->slots; slot++)
		if (watch_slot(lock, slot, MSTORE_EVENT_DELETED))
			return -1;
	return 0;
}

/*
 * Takes an exclusive lock that none wait for: there is no queue, which is judged at the
 * same moment. Returns 1, 0 if it cannot, or -1.
 */
static int take_at_once(struct mstore_lock *lock)
{
	const struct mstore_options create = { .flags = MSTORE_CREATE | MSTORE_OWNED };
	struct lock_key queue = mstore_lock_queue_key(lock);
	int failed;

	mstore_batch_clear(lock->batch);
	mstore_batch_get(lock->batch, queue.bytes, queue.len, NULL, 0);
	mstore_batch_set(lock->batch, lock->key, lock->key_len, lock->value, lock->value_len,
			 &create);
	if (mstore_lock_run(lock, &failed))
		return (failed == 0 && errno == ERANGE) || (failed == 1 && errno == EEXIST) ?
			       0 : -1;
	lock->slot = 1;
	lock->number = mstore_batch_version(lock->batch, 1);
	return 1;
}

/* As the first of the queue. Returns 1, 0 if all slots are taken, or -1. */
static int take_any(struct mstore_lock *lock, const struct lock_queue *queue)
{
	int ret = 0;

	/* First, so that it cannot miss the end of a holder. */
	if (watch_slots(lock))
		return -1;
	for (unsigned int slot = 1; slot <= lock->slots && !ret; slot++)
		ret = mstore_lock_take(lock, queue, slot);
	return ret;
}

/* Returns 1 when it holds, 0 when others are before it, or -1: with ESTALE, try again. */
static int try(struct mstore_lock *lock)
{
	struct lock_queue queue;
	int ret = 0;

	if (!lock->ticket && lock->slots == 1)
		ret = take_at_once(lock);
	if (ret)
		return ret;
	if (!lock->ticket && mstore_lock_join(lock))
		return -1;
	ret = mstore_lock_turn(lock, &queue);
	if (ret <= 0) {
		/* It may have been the first one, and lost that place. */
		unwatch_slots(lock);
		return ret;
	}
	mstore_lock_unwatch(lock);
	ret = take_any(lock, &queue);
	free(queue.tickets);
	return ret;
}

/* From now on only what becomes of the slot matters. Returns as try(). */
static int hold(struct mstore_lock *lock)
{
	int error, ret;

	unwatch_slots(lock);
	ret = mstore_lock_is_held(lock);
	if (ret > 0)
		return 1;
	error = ret ? errno : ESTALE;
	mstore_lock_release(lock);
	errno = error;
	return -1;
}

/* Returns 1, 0 if others are before it, or -1. */
static int advance(struct mstore_lock *lock)
{
	int ret;

	do {
		ret = drain(lock) ? -1 : try(lock);
		if (ret > 0)
			ret = hold(lock);
	} while (ret < 0 && errno == ESTALE);
	return ret;
}

/* Returns what mstore_wait() wants, until a time of now_ms(). */
static int time_left(int timeout_ms, int64_t end)
{
	int64_t left;

	if (timeout_ms <= 0)
		return timeout_ms;
	left = end - now_ms();
	if (left > timeout_ms)
		return timeout_ms;
	return left > 0 ? (int)left : 0;
}

int mstore_lock_acquire(struct mstore_lock *lock, int timeout_ms)
{
	/* Rounded up: not before the time is over. */
	int64_t end = now_ms() + timeout_ms + 1;
	int left, ret;

	if (lock->slot) {
		errno = EALREADY;
		return -1;
	}
	for (;;) {
		ret = advance(lock);
		if (ret)
			return ret;
		left = time_left(timeout_ms, end);
		if (!left)
			return 0;
		if (mstore_wait(lock->watch, left) < 0)
			return -1;
	}
}

int mstore_lock_is_held(struct mstore_lock *lock)
{
	const int all = MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED;
	struct lock_key key = mstore_lock_slot_key(lock, lock->slots, lock->slot);
	struct mstore_stat stat = { .owner = MSTORE_OWNER_NONE };

	if (!lock->slot || lock->lost)
		return 0;
	if (drain(lock) || watch_slot(lock, lock->slot, all))
		return -1;
	if (mstore_stat(lock->store, key.bytes, key.len, &stat) && errno != ENOENT)
		return -1;
	lock->lost = stat.owner != MSTORE_OWNER_SELF;
	return !lock->lost;
}

/* Deletes the key of the slot, if it is still its own. Returns 0, or -1. */
static int give_slot_back(struct mstore_lock *lock)
{
	struct lock_key key = mstore_lock_slot_key(lock, lock->slots, lock->slot);
	struct mstore_options options = { .flags = MSTORE_IF_VERSION };
	struct mstore_stat stat;

	do {
		if (mstore_stat(lock->store, key.bytes, key.len, &stat) ||
		    stat.owner != MSTORE_OWNER_SELF)
			break;
		options.version = stat.version;
		if (!mstore_delete_with(lock->store, key.bytes, key.len, &options, NULL))
			return 0;
	} while (errno == ESTALE);
	errno = ENOLCK;
	return -1;
}

int mstore_lock_release(struct mstore_lock *lock)
{
	int ret = 0, error;

	if (lock->ticket)
		ret = mstore_lock_leave(lock);
	else if (lock->slot)
		ret = give_slot_back(lock);
	error = errno;
	if (lock->slot)
		unwatch_slot(lock, lock->slot);
	if (lock->slot && lock->slots > 1)
		mstore_lock_tidy(lock);
	unwatch_slots(lock);
	drain(lock);
	lock->slot = 0;
	lock->lost = false;
	errno = error;
	return ret;
}

uint64_t mstore_lock_number(const struct mstore_lock *lock)
{
	return lock->slot ? lock->number : 0;
}

int mstore_lock_slot(const struct mstore_lock *lock)
{
	return (int)lock->slot;
}

int mstore_lock_fd(const struct mstore_lock *lock)
{
	return mstore_fd(lock->watch);
}

struct mstore *mstore_lock_store(const struct mstore_lock *lock)
{
	return lock->store;
}
