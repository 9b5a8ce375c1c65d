/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_CHANGE_H
#define METASTORE_CHANGE_H

#include <linux/types.h>
#include <linux/workqueue.h>

#include "store/value.h"

struct metastore_reservations;
struct metastore_file;
struct metastore_mirror_stage;
struct metastore_notice;
struct metastore_preload;

/**
 * struct metastore_change - change of a key: its arguments and its results
 * @key:	the key
 * @value:	value to store; NULL: delete the present value
 * @by:		open file that makes the change, as an owner; NULL: the module itself
 * @link:	pointer in the table that leads to the present value; NULL: not known
 * @flags:	METASTORE_F_CREATE, _REPLACE, _IF_VERSION, _STEAL, _KEEP_TTL, _PREVIOUS
 * @type:	METASTORE_EVENT_* of the event
 * @event_flags: METASTORE_EVENT_F_* of the event
 * @version:	version that METASTORE_F_IF_VERSION requires; after the change its version
 * @former:	after the change: number of the other open file that owned the previous value,
 *		or 0
 * @bytes:	number of bytes that the change adds to the store; may be negative
 * @queues:	number of subscriptions that got the event enqueued
 * @reserved:	reservations for the event in lossless queues, or NULL
 * @preload:	preallocated memory for a new key that goes to a tree, or NULL
 * @stage:	what is done in the mirror without the bucket's lock, or NULL
 * @garbage:	list of values to free once the bucket's lock is released
 * @previous:	METASTORE_F_PREVIOUS: value that was replaced or removed, or NULL. The
 *		caller owns the reference
 * @previous_version: METASTORE_F_PREVIOUS: after -ERANGE its version
 * @previous_len: METASTORE_F_PREVIOUS: most bytes that it may have; after -ERANGE its
 *		length
 */
struct metastore_change {
	const struct metastore_key *key;
	struct metastore_value *value;
	const struct metastore_owner *by;
	struct metastore_node __rcu **link;
	u32 flags;
	u16 type;
	u16 event_flags;
	u64 version;
	u64 former;
	s64 bytes;
	u32 queues;
	struct metastore_reservations *reserved;
	struct metastore_preload *preload;
	struct metastore_mirror_stage *stage;
	struct metastore_garbage *garbage;
	struct metastore_value *previous;
	u64 previous_version;
	u32 previous_len;
};

/**
 * struct metastore_wait - wait of a PUBLISH for room in lossless queues
 * @timeout:	longest wait in ms; 0: no wait; METASTORE_WAIT_FOREVER: no limit
 * @deadline:	end of a wait that a signal interrupted: the low 32 bits of its
 *		CLOCK_MONOTONIC time in ms; 0: the wait begins
 */
struct metastore_wait {
	u32 timeout;
	u32 deadline;
};

int metastore_change_check(struct metastore_change *change);
int metastore_change_make(struct metastore_change *change);
int metastore_change_touch(struct metastore_change *change, u64 ttl);
int metastore_change_waiting(struct metastore_change *change, struct metastore_wait *wait);
void metastore_change_remove(const struct metastore_key *key, struct metastore_value *value,
			     u16 event_flags, struct metastore_garbage *garbage);
void metastore_change_expire(const struct metastore_key *key);
void metastore_change_expire_all(struct work_struct *work);
void metastore_change_end(struct metastore_file *file);

int metastore_change_prepare(const struct metastore_change *change);
int metastore_change_judge(struct metastore_change *change,
			   const struct metastore_value *old);
int metastore_change_judge_touch(struct metastore_change *change,
				 const struct metastore_value *old);
s64 metastore_change_bytes(struct metastore_change *change,
			   const struct metastore_value *old);
bool metastore_change_has_room(const struct metastore_change *change);
void metastore_change_commit(struct metastore_change *change,
			     struct metastore_value *old);
void metastore_change_tell(const struct metastore_change *change,
			   struct metastore_value *old, struct metastore_notice *notice);

#endif /* METASTORE_CHANGE_H */
