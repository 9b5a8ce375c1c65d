/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_H
#define METASTORE_VALUE_H

#include <linux/gfp.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "table.h"

struct iov_iter;
struct metastore_file;

/**
 * METASTORE_GFP - how memory that users cause is allocated
 *
 * It is charged to the caller's memory cgroup. One that is full gets -ENOMEM;
 * the OOM killer is not called for it.
 */
#define METASTORE_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

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
	struct metastore_file *owner;
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
 * @refs:	references; the table's is one
 * @len:	length of the value in bytes
 * @tied:	whether it has a struct metastore_tie
 * @node:	link and key; the value's bytes, or for a large one a pointer to
 *		them, follow the key. Only value.c looks there
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
	};
	refcount_t refs;
	u32 len : 31;
	u32 tied : 1;
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
void metastore_value_put_later(struct metastore_value *value,
			       struct metastore_garbage *garbage);
void metastore_garbage_free(struct metastore_garbage *garbage);
int metastore_value_to_user(const struct metastore_value *value,
			    void __user *buffer);
bool metastore_value_to_iter(const struct metastore_value *value, u32 len,
			     struct iov_iter *to);

/* Takes a further reference to a value to which there is one. */
static inline void metastore_value_get(struct metastore_value *value)
{
	refcount_inc(&value->refs);
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

/*
 * What a value counts against limits: bytes, at most METASTORE_VALUE_OVERHEAD +
 * METASTORE_TIE_OVERHEAD + METASTORE_KEY_MAX + the largest max_value, which is far
 * below U32_MAX.
 */
static inline u32 metastore_value_size(const struct metastore_value *value)
{
	return METASTORE_VALUE_OVERHEAD + value->node.key_len + value->len +
	       (value->tied ? METASTORE_TIE_OVERHEAD : 0);
}

static inline struct metastore_value *
metastore_value_of(struct metastore_node *node)
{
	return node ? container_of(node, struct metastore_value, node) : NULL;
}

/* The tie of a value that has one. */
static inline struct metastore_tie *
metastore_tie_of(const struct metastore_value *value)
{
	return &container_of(value, struct metastore_tied_value, value)->tie;
}

#endif /* METASTORE_VALUE_H */
