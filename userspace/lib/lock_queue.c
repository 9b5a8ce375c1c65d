// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The queue of a lock. Three kinds of keys belong to the lock K:
 *
 * K.lock	the queue: the number of slots, then the tickets of those that wait, in the
 *		order of arrival
 * K.lock/T	ticket T. Its contender owns it, so it ends with the contender
 * K.slot/N	slot N. Its holder owns it. A lock with one slot has K itself instead
 *
 * The queue only orders. Only the owner of a slot's key holds the lock, and the kernel
 * lets one open file own it. So if the queue is deleted or overwritten, contenders lose
 * their places, and no two of them hold one slot.
 *
 * A contender reads version T of the queue. One atomic batch, on the condition that this is
 * still the version, appends T to the queue and creates the ticket T. So no ticket is given
 * twice, and later contenders have higher ones.
 *
 * Each contender watches the one before it alone. The first one watches the slots.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"

/* A space and 16 hexadecimal digits */
#define TICKET_LEN	17

/* Room for any of the suffixes */
#define SUFFIX_SIZE	32

static struct lock_key key_with(const struct mstore_lock *lock, const char *suffix)
{
	struct lock_key key = { .len = lock->key_len + strlen(suffix) };

	memcpy(key.bytes, lock->key, lock->key_len);
	memcpy(key.bytes + lock->key_len, suffix, key.len - lock->key_len);
	return key;
}

struct lock_key mstore_lock_queue_key(const struct mstore_lock *lock)
{
	return key_with(lock, ".lock");
}

struct lock_key mstore_lock_ticket_key(const struct mstore_lock *lock, uint64_t ticket)
{
	char suffix[SUFFIX_SIZE];

	snprintf(suffix, sizeof(suffix), ".lock/%016llx", (unsigned long long)ticket);
	return key_with(lock, suffix);
}

/* @slots: of how many it is one */
struct lock_key mstore_lock_slot_key(const struct mstore_lock *lock, unsigned int slots,
				     unsigned int slot)
{
	char suffix[SUFFIX_SIZE];

	snprintf(suffix, sizeof(suffix), ".slot/%u", slot);
	return key_with(lock, slots == 1 ? "" : suffix);
}

/*
 * Runs the batch at one moment. Returns 0, or -1 with the errno of the operation that
 * failed; @failed is its index, -1: none of them.
 */
int mstore_lock_run(struct mstore_lock *lock, int *failed)
{
	*failed = -1;
	if (!mstore_batch_run(lock->store, lock->batch, MSTORE_BATCH_ATOMIC))
		return 0;
	if (errno == ECANCELED) {
		*failed = mstore_batch_failed(lock->batch);
		errno = mstore_batch_result(lock->batch, *failed);
	}
	return -1;
}

/*
 * Returns 1, 0 or -1. It asks by a batch: a single get could find the queue of another's
 * batch, and not its ticket yet.
 */
int mstore_lock_exists(struct mstore_lock *lock, const struct lock_key *key)
{
	int failed;

	mstore_batch_clear(lock->batch);
	mstore_batch_get(lock->batch, key->bytes, key->len, NULL, 0);
	if (!mstore_lock_run(lock, &failed))
		return !mstore_batch_result(lock->batch, 0);
	return errno == ERANGE ? 1 : -1;
}

static void queue_free(struct lock_queue *queue)
{
	free(queue->tickets);
	queue->tickets = NULL;
}

/* Returns 0, or -1 with EPROTO for a text that is no queue, or ENOMEM. */
static int queue_parse(struct lock_queue *queue, const char *text, size_t len)
{
	char *end, *ticket_end;

	errno = EPROTO;
	queue->slots = (unsigned int)strtoul(text, &end, 10);
	len -= (size_t)(end - text);
	if (queue->slots < 1 || queue->slots > MSTORE_LOCK_SLOTS_MAX || len % TICKET_LEN)
		return -1;
	queue->count = len / TICKET_LEN;
	queue->tickets = malloc((queue->count + 1) * sizeof(*queue->tickets));
	if (!queue->tickets)
		return -1;
	for (size_t i = 0; i < queue->count; i++, end += TICKET_LEN) {
		queue->tickets[i] = strtoull(end, &ticket_end, 16);
		if (ticket_end != end + TICKET_LEN) {
			queue_free(queue);
			errno = EPROTO;
			return -1;
		}
	}
	return 0;
}

/* Returns 0, or -1 with ENOENT, EPROTO or others. */
static int queue_read(struct mstore_lock *lock, struct lock_queue *queue)
{
	struct lock_key key = mstore_lock_queue_key(lock);
	size_t len;
	char *text = mstore_get_alloc(lock->store, key.bytes, key.len, &len, &queue->version);
	int ret;

	if (!text)
		return -1;
	ret = queue_parse(queue, text, len);
	free(text);
	return ret;
}

/* Returns the queue as text, or NULL. */
static char *queue_text(const struct lock_queue *queue, size_t *len)
{
	size_t size = 16 + queue->count * TICKET_LEN;
	char *text = malloc(size);
	size_t used;

	if (!text)
		return NULL;
	used = (size_t)snprintf(text, size, "%u", queue->slots);
	for (size_t i = 0; i < queue->count; i++)
		used += (size_t)snprintf(text + used, size - used, " %016llx",
					 (unsigned long long)queue->tickets[i]);
	*len = used;
	return text;
}

/* Removes the tickets from number @from to before @to. */
static void queue_cut(struct lock_queue *queue, size_t from, size_t to)
{
	memmove(queue->tickets + from, queue->tickets + to,
		(queue->count - to) * sizeof(*queue->tickets));
	queue->count -= to - from;
}

/* Returns the place of a ticket, or the number of tickets. */
static size_t queue_find(const struct lock_queue *queue, uint64_t ticket)
{
	size_t i = 0;

	while (i < queue->count && queue->tickets[i] != ticket)
		i++;
	return i;
}

/*
 * Adds to the batch that the queue changes, if it is still as it was read. The holder of an
 * exclusive lock owns K, which tells others enough: nothing stays where none wait. With
 * several slots their number has to stay. Returns a text to be released after the batch, or NULL.
 */
static char *batch_queue(struct mstore_lock *lock, const struct lock_key *key,
			 const struct lock_queue *queue)
{
	const struct mstore_options options = {
		.flags = MSTORE_IF_VERSION,
		.version = queue->version,
	};
	size_t len;
	char *text = queue_text(queue, &len);

	if (!text)
		return NULL;
	if (queue->slots == 1 && !queue->count)
		mstore_batch_delete(lock->batch, key->bytes, key->len, &options);
	else
		mstore_batch_set(lock->batch, key->bytes, key->len, text, len, &options);
	return text;
}

/* Writes the queue alone. It does not matter if that fails: others will do it. */
static void queue_write(struct mstore_lock *lock, struct lock_queue *queue)
{
	struct lock_key key = mstore_lock_queue_key(lock);
	int failed;
	char *text;

	mstore_batch_clear(lock->batch);
	text = batch_queue(lock, &key, queue);
	if (text && !mstore_lock_run(lock, &failed))
		queue->version = mstore_batch_version(lock->batch, 0);
	free(text);
}

/* Reads the queue, or makes an empty one. Returns 0, or -1 with ESTALE: try again. */
static int queue_open(struct mstore_lock *lock, struct lock_queue *queue)
{
	const struct mstore_options create = { .flags = MSTORE_CREATE };
	struct lock_key key = mstore_lock_queue_key(lock);
	char text[16];
	int len;

	if (!queue_read(lock, queue))
		return 0;
	if (errno != ENOENT)
		return -1;
	len = snprintf(text, sizeof(text), "%u", lock->slots);
	if (!mstore_set_with(lock->store, key.bytes, key.len, text, (size_t)len, &create,
			     &queue->version))
		return queue_parse(queue, text, (size_t)len);
	if (errno == EEXIST)
		errno = ESTALE;
	return -1;
}

/* Does any contender of the queue wait or hold a slot? Returns 1, 0 or -1. */
static int queue_is_used(struct mstore_lock *lock, const struct lock_queue *queue)
{
	struct lock_key key;
	int ret = 0;

	for (size_t i = 0; i < queue->count && !ret; i++) {
		key = mstore_lock_ticket_key(lock, queue->tickets[i]);
		ret = mstore_lock_exists(lock, &key);
	}
	for (unsigned int slot = 1; slot <= queue->slots && !ret; slot++) {
		key = mstore_lock_slot_key(lock, queue->slots, slot);
		ret = mstore_lock_exists(lock, &key);
	}
	return ret;
}

/* All agree on the number of slots. A queue that none use gets another number. */
static int agree_on_slots(struct mstore_lock *lock, struct lock_queue *queue)
{
	int ret;

	if (queue->slots == lock->slots)
		return 0;
	ret = queue_is_used(lock, queue);
	if (ret > 0)
		errno = EBUSY;
	if (ret)
		return -1;
	queue->slots = lock->slots;
	queue->count = 0;
	return 0;
}

/* Removes the last tickets whose contenders have ended. */
static int cut_ended(struct mstore_lock *lock, struct lock_queue *queue)
{
	int ret = 0;

	while (queue->count) {
		struct lock_key key =
			mstore_lock_ticket_key(lock, queue->tickets[queue->count - 1]);

		ret = mstore_lock_exists(lock, &key);
		if (ret)
			break;
		queue->count--;
	}
	return ret < 0 ? -1 : 0;
}

/* The key of a lock with several slots stays absent: with a value it is exclusive. */
static int refuse_exclusive(struct mstore_lock *lock, int failed)
{
	if (failed < 0 && mstore_batch_result(lock->batch, 2) == ENOENT)
		return 0;
	if (failed < 0)
		mstore_lock_leave(lock);
	errno = EBUSY;
	return -1;
}

/* Appends the own ticket. Returns 0, or -1 with ESTALE: try again. */
static int queue_append(struct mstore_lock *lock, struct lock_queue *queue)
{
	const struct mstore_options create = { .flags = MSTORE_CREATE | MSTORE_OWNED };
	struct lock_key ticket = mstore_lock_ticket_key(lock, queue->version);
	struct lock_key key = mstore_lock_queue_key(lock);
	int failed, ret;
	char *text;

	queue->tickets[queue->count++] = queue->version;
	mstore_batch_clear(lock->batch);
	text = batch_queue(lock, &key, queue);
	if (!text)
		return -1;
	mstore_batch_set(lock->batch, ticket.bytes, ticket.len, lock->value, lock->value_len,
			 &create);
	if (lock->slots > 1)
		mstore_batch_get(lock->batch, lock->key, lock->key_len, NULL, 0);
	ret = mstore_lock_run(lock, &failed);
	free(text);
	if (!ret)
		lock->ticket = queue->version;
	if (lock->slots > 1 && (!ret || failed == 2))
		return refuse_exclusive(lock, failed);
	if (failed == 1 && errno == EEXIST)
		errno = EPROTO;
	return ret;
}

/* Enters the queue. Returns 0, or -1. */
int mstore_lock_join(struct mstore_lock *lock)
{
	struct lock_queue queue;
	int ret;

	do {
		ret = queue_open(lock, &queue);
		if (ret)
			continue;
		ret = agree_on_slots(lock, &queue);
		if (!ret)
			ret = cut_ended(lock, &queue);
		if (!ret)
			ret = queue_append(lock, &queue);
		queue_free(&queue);
	} while (ret && errno == ESTALE);
	return ret;
}

void mstore_lock_unwatch(struct mstore_lock *lock)
{
	struct lock_key key = mstore_lock_ticket_key(lock, lock->watched);

	if (lock->watched)
		mstore_unsubscribe(lock->watch, key.bytes, key.len);
	lock->watched = 0;
}

/* Watches a ticket if it exists. Returns 1 if so, 0 or -1. */
static int watch_ticket(struct mstore_lock *lock, uint64_t ticket)
{
	struct lock_key key = mstore_lock_ticket_key(lock, ticket);
	int ret = mstore_lock_exists(lock, &key);

	if (ret <= 0)
		return ret;
	if (ticket != lock->watched)
		mstore_lock_unwatch(lock);
	/* It is subscribed already, unless a flush removed that. */
	if (mstore_subscribe(lock->watch, key.bytes, key.len, MSTORE_EVENT_DELETED, 0) &&
	    errno != EEXIST)
		return -1;
	lock->watched = ticket;
	return mstore_lock_exists(lock, &key);
}

/* Watches the nearest ticket before number @place. Returns its number + 1, 0: none, or -1. */
static int watch_before(struct mstore_lock *lock, const struct lock_queue *queue, size_t place)
{
	int ret = 0;

	while (place && !ret) {
		ret = watch_ticket(lock, queue->tickets[place - 1]);
		if (!ret)
			place--;
	}
	return ret < 0 ? -1 : (int)place;
}

/*
 * Returns 1 if it is the first one: @queue, to be released, is then without those before it.
 * Returns 0 if another is before it, which it watches now; or -1, with ESTALE if it has to
 * begin anew.
 */
int mstore_lock_turn(struct mstore_lock *lock, struct lock_queue *queue)
{
	size_t place;
	int before;

	if (queue_read(lock, queue)) {
		if (errno != ENOENT)
			return -1;
		queue->count = 0;
		queue->tickets = NULL;
	}
	place = queue_find(queue, lock->ticket);
	if (place == queue->count) {
		queue_free(queue);
		mstore_lock_leave(lock);
		errno = ESTALE;
		return -1;
	}
	before = watch_before(lock, queue, place);
	if (before >= 0 && (size_t)before < place) {
		queue_cut(queue, (size_t)before, place);
		queue_write(lock, queue);
	}
	if (before)
		queue_free(queue);
	return before < 0 ? -1 : !before;
}

/*
 * Leaves the queue for slot number @slot. Returns 1, 0 if the slot is taken, or -1, with
 * ESTALE if it has to look anew. @queue: where it is the first one.
 */
int mstore_lock_take(struct mstore_lock *lock, const struct lock_queue *queue,
		     unsigned int slot)
{
	const struct mstore_options create = { .flags = MSTORE_CREATE | MSTORE_OWNED };
	struct lock_key slot_key = mstore_lock_slot_key(lock, lock->slots, slot);
	struct lock_key ticket = mstore_lock_ticket_key(lock, lock->ticket);
	struct lock_key key = mstore_lock_queue_key(lock);
	struct lock_queue rest = *queue;
	int failed, ret;
	char *text;

	rest.tickets++;
	rest.count--;
	mstore_batch_clear(lock->batch);
	mstore_batch_set(lock->batch, slot_key.bytes, slot_key.len, lock->value, lock->value_len,
			 &create);
	mstore_batch_delete(lock->batch, ticket.bytes, ticket.len, NULL);
	text = batch_queue(lock, &key, &rest);
	if (!text)
		return -1;
	ret = mstore_lock_run(lock, &failed);
	free(text);
	if (ret && failed == 0 && errno == EEXIST)
		return 0;
	/* The ticket was taken from it, and its place with it. */
	if (ret && failed == 1) {
		lock->ticket = 0;
		errno = ESTALE;
	}
	if (ret)
		return -1;
	lock->slot = slot;
	lock->number = mstore_batch_version(lock->batch, 0);
	lock->ticket = 0;
	return 1;
}

/* Gives the ticket back. Returns 0, or -1 with ESTALE: try again. */
static int give_back(struct mstore_lock *lock)
{
	struct lock_key ticket = mstore_lock_ticket_key(lock, lock->ticket);
	struct lock_key key = mstore_lock_queue_key(lock);
	struct lock_queue queue;
	char *text = NULL;
	int failed, ret;
	size_t place;

	mstore_batch_clear(lock->batch);
	mstore_batch_delete(lock->batch, ticket.bytes, ticket.len, NULL);
	if (!queue_read(lock, &queue)) {
		place = queue_find(&queue, lock->ticket);
		if (place < queue.count) {
			queue_cut(&queue, place, place + 1);
			text = batch_queue(lock, &key, &queue);
		}
		queue_free(&queue);
	}
	ret = mstore_lock_run(lock, &failed);
	free(text);
	return ret;
}

/* Leaves the queue. Returns 0, or -1. */
int mstore_lock_leave(struct mstore_lock *lock)
{
	int ret, error = 0;

	do {
		ret = give_back(lock);
	} while (ret && errno == ESTALE);
	/* It may be gone already, or another's. */
	if (ret && errno != ENOENT && errno != EBUSY)
		error = errno;
	mstore_lock_unwatch(lock);
	lock->ticket = 0;
	errno = error;
	return error ? -1 : 0;
}

/* Removes the queue of a lock that none use. It does not matter if that fails. */
void mstore_lock_tidy(struct mstore_lock *lock)
{
	struct lock_key key = mstore_lock_queue_key(lock);
	struct mstore_options options = { .flags = MSTORE_IF_VERSION };
	struct lock_queue queue;

	if (queue_read(lock, &queue))
		return;
	options.version = queue.version;
	if (!queue_is_used(lock, &queue))
		mstore_delete_with(lock->store, key.bytes, key.len, &options, NULL);
	queue_free(&queue);
}
