/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_H
#define METASTORE_VALUE_H

#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "base/table.h"
#include "base/types.h"
#include "store/value_cache.h"

struct iov_iter;
struct metastore_owner;

/**
 * struct metastore_tie - what may end a value's life; stands ahead of the value
 * @expiry:	in its store's queue by the end of its time, CLOCK_BOOTTIME;
 *		@expiry.expires is KTIME_MAX if it has none
 * @owner:	the open file it belongs to, or NULL
 * @in_owner:	in that one's list
 * @end:	how the owner went, once it took this with it
 *
 * Only few values have one. Times and owner never change once the value is in a
 * table; an owner is there as long as a value of its is in a table and the bucket's
 * lock is held, after that the pointer is only good for comparing. Links are
 * protected by the lock of what they link to, and by the bucket's lock.
 */
struct metastore_tie {
	struct timerqueue_node expiry;
	struct metastore_owner *owner;
	struct list_head in_owner;
	struct metastore_owner_end end;
};

/**
 * struct metastore_value - a stored value, and the body of events that tell it
 * @version:	set under the lock of the bucket before anybody else sees this
 * @time:	when it was written, CLOCK_REALTIME in ns; set likewise
 * @tgid:	who wrote it, as numbered in the initial PID namespace
 * @uid:	the writer's effective user
 * @rcu:	for freeing; from when there is no reference
 * @garbage:	next on a struct metastore_garbage; from when there is no
 *		reference
 * @cached:	for its memory's next use; likewise
 * @refs:	references; the table's is one
 * @len:	length of the value in bytes
 * @node:	link and key; the value's bytes, or for a large one a pointer to them,
 *		follow the key. Only value.c looks there. Its group is the memory cgroup
 *		that is charged, its class says what memory this is: one of value_cache.c's,
 *		METASTORE_TIED or METASTORE_APART
 *
 * Never changes once it is in a table. Whoever finds it there under
 * rcu_read_lock() may read all but @time, @tgid and @uid, and needs a reference
 * for these and for what lasts longer.
 */
struct metastore_value {
	u64 version;
	union {
		struct {
			u64 time;
			pid_t tgid;
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

/** struct metastore_tied_value - a value with its tie, as they are allocated */
struct metastore_tied_value {
	struct metastore_tie tie;
	struct metastore_value value;
};

/**
 * struct metastore_garbage - values to be freed once no lock is held
 * @first:	the first of them; NULL: none
 */
struct metastore_garbage {
	struct metastore_value *first;
};

struct metastore_value *metastore_value_create(const void __user *key, u32 key_len,
					       const void __user *bytes, u32 len,
					       bool tied);
bool metastore_value_tryget(struct metastore_value *value);
void metastore_value_put(struct metastore_value *value);
void metastore_garbage_free_rest(struct metastore_garbage *garbage);
int metastore_value_to_user(const struct metastore_value *value,
			    void __user *buffer);
bool metastore_value_to_iter(const struct metastore_value *value, u32 len,
			     struct iov_iter *to);

/* Takes a further reference to a value to which there is one. */
static inline void metastore_value_get(struct metastore_value *value)
{
	refcount_inc(&value->refs);
}

/**
 * metastore_value_put_later - drop a reference under a lock
 * @value:	the value
 * @garbage:	takes it if that was the last reference
 */
static inline void metastore_value_put_later(struct metastore_value *value,
					     struct metastore_garbage *garbage)
{
	if (!refcount_dec_and_test(&value->refs))
		return;
	value->garbage = garbage->first;
	garbage->first = value;
}

/* Frees what was put under a lock, if anything. May sleep. */
static inline void metastore_garbage_free(struct metastore_garbage *garbage)
{
	if (!garbage->first)
		return;
	metastore_value_cache_put(garbage);
	if (unlikely(garbage->first))
		metastore_garbage_free_rest(garbage);
}

/* Takes so many, of which what is not needed is given back. */
static inline void metastore_value_get_many(struct metastore_value *value, u32 nr)
{
	refcount_add(nr, &value->refs);
}

/* Gives back so many references of several: there are others. */
static inline void metastore_value_put_some(struct metastore_value *value, u32 nr)
{
	if (nr)
		WARN_ON_ONCE(refcount_sub_and_test(nr, &value->refs));
}

/* Class of a value that has a struct metastore_tie, and of one whose bytes are apart */
#define METASTORE_TIED	U8_MAX
#define METASTORE_APART	(U8_MAX - 1)

static inline bool metastore_value_is_tied(const struct metastore_value *value)
{
	return value->node.class == METASTORE_TIED;
}

/*
 * What a value counts against limits: bytes, at most METASTORE_VALUE_OVERHEAD +
 * METASTORE_TIE_OVERHEAD + METASTORE_KEY_MAX + the largest max_value, which is far
 * below U32_MAX.
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
 * Longest header, key and value that are kept in one piece. Beyond that the
 * value's bytes are apart, and are freed at the last put: only the header has to
 * wait for readers of the table. Whoever overwrites values in a loop piles up
 * what waits, against the memory cgroup, which may be small.
 */
#define METASTORE_INLINE_MAX	512

static inline bool metastore_value_fits_inline(u32 key_len, u32 len)
{
	return offsetof(struct metastore_value, node.key) + key_len + len <=
	       METASTORE_INLINE_MAX;
}

/* Are key and value in one piece, the one behind the other? */
static inline bool metastore_value_is_piece(const struct metastore_value *value)
{
	return metastore_value_fits_inline(value->node.key_len, value->len);
}

/* The tie of a value that has one. */
static inline struct metastore_tie *
metastore_tie_of(const struct metastore_value *value)
{
	return &container_of(value, struct metastore_tied_value, value)->tie;
}

#endif /* METASTORE_VALUE_H */
