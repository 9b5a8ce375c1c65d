/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_H
#define METASTORE_VALUE_H

#include <linux/bits.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "base/table.h"
#include "base/types.h"
#include "store/value_cache.h"

struct iov_iter;
struct metastore_owner;
struct metastore_cgroup;

/**
 * struct metastore_tie - owner and end time of a value; placed ahead of the value
 * @expiry:	entry in the store's expiry queue; @expiry.expires is the end time on
 *		CLOCK_BOOTTIME, or KTIME_MAX if the value does not expire
 * @owner:	open file that owns the value, or NULL
 * @in_owner:	entry in the owner's list; in use while the value is in a table
 * @holder:	process that held the owner's last descriptor, if the value went with its
 *		owner, or NULL; valid while the value is in no table. Has a reference
 * @end:	how the owner went. Set under the bucket's lock if the value goes with it;
 *		its tgid is unused, as it depends on the reader, see metastore_tie_holder()
 *
 * Only few values have a tie. Once the value is in a table, the end time changes only
 * under the bucket's lock and that of the queue, and @owner is immutable. The owner exists
 * while a value of its is in a table and the bucket's lock is held. After that, @owner may
 * only be compared. The list and queue entries are protected by the lock of the list or
 * queue, and by the bucket's lock.
 */
struct metastore_tie {
	struct timerqueue_node expiry;
	struct metastore_owner *owner;
	union {
		struct list_head in_owner;
		struct pid *holder;
	};
	struct metastore_owner_end end;
};

/**
 * struct metastore_value - stored value, and body of the events that report it
 * @version:	version of the change. Set under the bucket's lock before readers see the
 *		value.
 * @time:	time of the change on CLOCK_REALTIME in ns; set likewise
 * @writer:	the writer's process, see metastore_value_writer(), and the user whose share
 *		the value counts to, see metastore_value_payer()
 * @uid:	the writer's effective user
 * @rcu:	for freeing; in use once @refs is 0
 * @garbage:	next value on a &struct metastore_garbage; in use once @refs is 0
 * @cached:	for reuse of the memory; in use once @refs is 0
 * @refs:	reference count; the table has one reference
 * @len:	length of the value in bytes
 * @node:	hash link and key. The value's bytes follow the key, or for a large value a
 *		pointer to them, see metastore_value_is_piece(). @node.class is a memory
 *		class of value_cache.c, METASTORE_TIED or METASTORE_APART. @node.group is the
 *		memory cgroup charged.
 *
 * All but @refs and the hash link is immutable from when the value enters a table until
 * the last reference is dropped. A reader that finds it there under rcu_read_lock() may
 * read all but @time, @writer, @uid and the bytes of a large value. For those, and to use
 * the value for longer, it needs a reference.
 */
struct metastore_value {
	u64 version;
	union {
		struct {
			u64 time;
			u32 writer;
			kuid_t uid;
		};
		struct rcu_head rcu;
		struct metastore_value *garbage;
		struct metastore_cached cached;
	};
	refcount_t refs;
	u32 len;
	struct metastore_node node;
};

/** struct metastore_tied_value - value with its tie, allocated as one object */
struct metastore_tied_value {
	struct metastore_tie tie;
	struct metastore_value value;
};

/**
 * struct metastore_garbage - values to free once no lock is held
 * @first:	first value, or NULL
 */
struct metastore_garbage {
	struct metastore_value *first;
};

struct metastore_value *metastore_value_create(const void __user *key, u32 key_len,
					       const void __user *bytes, u32 len,
					       bool tied, u32 payer);
struct metastore_value *metastore_value_copy(const struct metastore_value *value, bool ended,
					     const struct metastore_cgroup *cgroup);
bool metastore_value_tryget(struct metastore_value *value);
void metastore_value_put(struct metastore_value *value);
void metastore_garbage_free_rest(struct metastore_garbage *garbage);
pid_t metastore_value_tgid(const struct metastore_value *value);
int metastore_value_to_user(const struct metastore_value *value,
			    void __user *buffer);
bool metastore_value_to_iter(const struct metastore_value *value, u32 len,
			     struct iov_iter *to);

/*
 * Process numbers have 22 bits at most, see PID_MAX_LIMIT. That leaves 10 for payers, as
 * in METASTORE_MAX_PAYERS.
 */
#define METASTORE_TGID_BITS	22

/* Get the writer's process, as numbered in the initial PID namespace. */
static inline pid_t metastore_value_writer(const struct metastore_value *value)
{
	return value->writer & (BIT(METASTORE_TGID_BITS) - 1);
}

static inline u32 metastore_value_payer(const struct metastore_value *value)
{
	return value->writer >> METASTORE_TGID_BITS;
}

/* Check whether two values count to the share of the same user. */
static inline bool metastore_value_same_payer(const struct metastore_value *a,
					      const struct metastore_value *b)
{
	return !((a->writer ^ b->writer) >> METASTORE_TGID_BITS);
}

/* Take another reference. The caller has one. */
static inline void metastore_value_get(struct metastore_value *value)
{
	refcount_inc(&value->refs);
}

/**
 * metastore_value_put_later() - Drop a reference under a lock
 * @value:	the value
 * @garbage:	list that gets the value if this was the last reference
 */
static inline void metastore_value_put_later(struct metastore_value *value,
					     struct metastore_garbage *garbage)
{
	if (!refcount_dec_and_test(&value->refs))
		return;
	value->garbage = garbage->first;
	garbage->first = value;
}

/* Free the values on a garbage list, if any. May sleep. */
static inline void metastore_garbage_free(struct metastore_garbage *garbage)
{
	if (!garbage->first)
		return;
	metastore_value_cache_put(garbage);
	if (unlikely(garbage->first))
		metastore_garbage_free_rest(garbage);
}

/* Take @nr references at once. metastore_value_put_some() drops the unused ones. */
static inline void metastore_value_get_many(struct metastore_value *value, u32 nr)
{
	refcount_add(nr, &value->refs);
}

/* Drop @nr references. The caller has a further one, so none of them is the last. */
static inline void metastore_value_put_some(struct metastore_value *value, u32 nr)
{
	if (nr)
		WARN_ON_ONCE(refcount_sub_and_test(nr, &value->refs));
}

/* Classes of values with a struct metastore_tie, and with bytes apart from the header */
#define METASTORE_TIED	U8_MAX
#define METASTORE_APART	(U8_MAX - 1)

static inline bool metastore_value_is_tied(const struct metastore_value *value)
{
	return value->node.class == METASTORE_TIED;
}

/*
 * Return the bytes that a value counts against limits. They are at most
 * METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD + METASTORE_KEY_MAX + the largest
 * max_value, which is far below U32_MAX.
 */
static inline u32 metastore_value_size(const struct metastore_value *value)
{
	return METASTORE_VALUE_OVERHEAD + value->node.key_len + value->len +
	       (metastore_value_is_tied(value) ? METASTORE_TIE_OVERHEAD : 0);
}

static inline struct metastore_value *
metastore_value_of(struct metastore_node *node)
{
	return node ? container_of(node, struct metastore_value, node) : NULL;
}

/*
 * Greatest size of header, key and value in one allocation. The bytes of a larger value
 * lie apart and are freed on the last put; only the header waits for readers of the
 * table. Otherwise a writer that overwrites values in a loop would pile up waiting memory,
 * charged to its memory cgroup, which may be small.
 */
#define METASTORE_INLINE_MAX	512

static inline bool metastore_value_fits_inline(u32 key_len, u32 len)
{
	return offsetof(struct metastore_value, node.key) + key_len + len <=
	       METASTORE_INLINE_MAX;
}

/* Check whether the value's bytes directly follow the key, in one allocation. */
static inline bool metastore_value_is_piece(const struct metastore_value *value)
{
	return metastore_value_fits_inline(value->node.key_len, value->len);
}

/* Check whether the current task numbers processes as values have them. */
static inline bool metastore_in_init_pid_ns(void)
{
	return likely(!task_pid(current)->level);
}

/* Return the tie of a value that has one. */
static inline struct metastore_tie *
metastore_tie_of(const struct metastore_value *value)
{
	return &container_of(value, struct metastore_tied_value, value)->tie;
}

#endif /* METASTORE_VALUE_H */
