/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lock, and the queue of those that wait for it. */
#ifndef MSTORE_LOCK_H
#define MSTORE_LOCK_H

#include "internal.h"

/**
 * struct mstore_lock - one contender for a lock
 * @store:	open store that owns its ticket, then its slot
 * @watch:	open store that subscribes to the end of others, then to its own loss
 * @batch:	for all batches
 * @events:	for all events; only their arrival matters
 * @slots:	number of slots
 * @ticket:	place in the queue, 0: none
 * @watched:	ticket of the contender before it, to which @watch is subscribed, 0: none
 * @watches_slots: @watch is subscribed to the slots
 * @slot:	slot that it took, from 1, 0: none
 * @lost:	@slot was taken from it
 * @number:	version of the slot's key as it was taken
 * @value:	value of ticket and slot
 * @value_len:	length of @value
 * @key_len:	length of @key
 * @key:	key of the lock
 */
struct mstore_lock {
	struct mstore *store;
	struct mstore *watch;
	struct mstore_batch *batch;
	struct mstore_event_buffer *events;
	unsigned int slots;
	uint64_t ticket;
	uint64_t watched;
	bool watches_slots;
	unsigned int slot;
	bool lost;
	uint64_t number;
	char *value;
	size_t value_len;
	size_t key_len;
	char key[MSTORE_LOCK_KEY_MAX];
};

/** struct lock_key - one of the keys of a lock */
struct lock_key {
	size_t len;
	char bytes[MSTORE_KEY_MAX];
};

/**
 * struct lock_queue - the queue of a lock as it was read
 * @version:	version of its key
 * @slots:	number of slots that the contenders agree on
 * @count:	number of @tickets
 * @tickets:	in the order of arrival; has room for one more
 */
struct lock_queue {
	uint64_t version;
	unsigned int slots;
	size_t count;
	uint64_t *tickets;
};

struct lock_key mstore_lock_slot_key(const struct mstore_lock *lock, unsigned int slots,
				     unsigned int slot);
struct lock_key mstore_lock_ticket_key(const struct mstore_lock *lock, uint64_t ticket);
struct lock_key mstore_lock_queue_key(const struct mstore_lock *lock);

int mstore_lock_run(struct mstore_lock *lock, int *failed);
int mstore_lock_exists(struct mstore_lock *lock, const struct lock_key *key);

int mstore_lock_join(struct mstore_lock *lock);
int mstore_lock_turn(struct mstore_lock *lock, struct lock_queue *queue);
int mstore_lock_take(struct mstore_lock *lock, const struct lock_queue *queue,
		     unsigned int slot);
int mstore_lock_leave(struct mstore_lock *lock);
void mstore_lock_tidy(struct mstore_lock *lock);
void mstore_lock_unwatch(struct mstore_lock *lock);

#endif /* MSTORE_LOCK_H */
