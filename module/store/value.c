// SPDX-License-Identifier: GPL-2.0
/*
 * Values: immutable, reference-counted, and shared by the table and every queue that has
 * an event of them. Only this file allocates values, and accesses large ones' bytes.
 */
#include <linux/build_bug.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/threads.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "base/usercopy.h"
#include "store/cgroup.h"
#include "store/share.h"
#include "store/value.h"
#include "store/value_reclaim.h"

#define HEADER		offsetof(struct metastore_value, node.key)

static_assert(sizeof(struct metastore_value) <= METASTORE_VALUE_OVERHEAD);
static_assert(sizeof(struct metastore_tie) <= METASTORE_TIE_OVERHEAD);
static_assert(BIT(METASTORE_TGID_BITS) >= PID_MAX_LIMIT);
static_assert(BIT(32 - METASTORE_TGID_BITS) == METASTORE_MAX_PAYERS);

static bool value_is_large(const struct metastore_value *value)
{
	return !metastore_value_is_piece(value);
}

/* Return the place of a large value's pointer to its bytes. */
static void **value_large_bytes(const struct metastore_value *value)
{
	return (void **)PTR_ALIGN(value->node.key + value->node.key_len,
				  sizeof(void *));
}

static void *value_bytes_of(const struct metastore_value *value)
{
	if (value_is_large(value))
		return *value_large_bytes(value);
	return (void *)value->node.key + value->node.key_len;
}

/* Return the size of header, key, and the bytes or pointer behind it. */
static size_t value_header_size(u32 key_len, u32 len)
{
	size_t size = HEADER + key_len;

	if (metastore_value_fits_inline(key_len, len))
		size += len;
	else
		size = ALIGN(size, sizeof(void *)) + sizeof(void *);
	/* The compiler may copy or clear the whole struct, including its padding. */
	return max(size, sizeof(struct metastore_value));
}

static struct metastore_value *value_alloc_tied(size_t size)
{
	struct metastore_tied_value *both;

	both = kmalloc(offsetof(struct metastore_tied_value, value) + size, METASTORE_GFP);
	if (!both)
		return NULL;
	timerqueue_init(&both->tie.expiry);
	both->tie.expiry.expires = KTIME_MAX;
	both->tie.owner = NULL;
	both->tie.holder = NULL;
	both->value.node.class = METASTORE_TIED;
	return &both->value;
}

static struct metastore_value *value_alloc_apart(size_t size)
{
	struct metastore_value *value = kmalloc(size, METASTORE_GFP);

	if (value)
		value->node.class = METASTORE_APART;
	return value;
}

/* If the memory cgroup is full, free the memory that is kept for it, and retry. */
static struct metastore_value *value_alloc_piece(size_t size)
{
	struct metastore_value *value = metastore_value_cache_get(size);
	u8 class;

	if (likely(value))
		return value;
	class = metastore_value_cache_class(size);
	value = kmalloc(metastore_value_cache_size(class), METASTORE_GFP);
	if (!value && metastore_value_cache_shrink())
		value = kmalloc(metastore_value_cache_size(class), METASTORE_GFP);
	if (value) {
		value->node.group = metastore_value_reclaim_group();
		value->node.class = class;
	}
	return value;
}

static struct metastore_value *value_alloc(u32 key_len, u32 len, bool tied)
{
	bool apart = !metastore_value_fits_inline(key_len, len);
	size_t size = value_header_size(key_len, len);
	struct metastore_value *value;
	void *bytes = NULL;

	if (apart) {
		bytes = kvmalloc(len, METASTORE_GFP);
		if (!bytes)
			return NULL;
	}
	value = tied ? value_alloc_tied(size) :
		apart ? value_alloc_apart(size) : value_alloc_piece(size);
	if (!value) {
		kvfree(bytes);
		return NULL;
	}
	if (tied || apart)
		value->node.group = metastore_current_group();
	value->node.key_len = key_len;
	value->len = len;
	if (bytes)
		*value_large_bytes(value) = bytes;
	return value;
}

/* Allocate a value without bytes apart, for any cgroup that is active, in any context. */
static struct metastore_value *value_alloc_now(const struct metastore_value *like, gfp_t gfp)
{
	size_t size = value_header_size(like->node.key_len, like->len);
	struct metastore_tied_value *both;

	if (!metastore_value_is_tied(like))
		return kmalloc(value_is_large(like) ? size :
			       metastore_value_cache_size(like->node.class), gfp);
	both = kmalloc(offsetof(struct metastore_tied_value, value) + size, gfp);
	if (!both)
		return NULL;
	both->tie = (struct metastore_tie) { .expiry.expires = KTIME_MAX };
	return &both->value;
}

/**
 * metastore_value_copy() - Copy a value at the expense of a memory cgroup
 * @value:	the value
 * @ended:	whether it went with its owner, so that the copy tells how
 * @cgroup:	the cgroup
 *
 * The copy is the body of an event. It has no owner and does not expire.
 *
 * Context: Process context, does not sleep.
 * Return: the copy with one reference, or NULL without memory.
 */
struct metastore_value *metastore_value_copy(const struct metastore_value *value, bool ended,
					     const struct metastore_cgroup *cgroup)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN;
	struct mem_cgroup *before = set_active_memcg(cgroup->memcg);
	struct metastore_value *copy = value_alloc_now(value, gfp);
	void *bytes = copy && value_is_large(value) ? kmalloc(value->len, gfp) : NULL;

	set_active_memcg(before);
	if (copy && value_is_large(value) && !bytes) {
		kfree(metastore_value_is_tied(value) ?
		      (void *)container_of(copy, struct metastore_tied_value, value) : copy);
		return NULL;
	}
	if (!copy)
		return NULL;
	/* While the value is in a table, its holder is part of a list. */
	if (ended) {
		metastore_tie_of(copy)->end = metastore_tie_of(value)->end;
		metastore_tie_of(copy)->holder = get_pid(metastore_tie_of(value)->holder);
	}
	copy->version = value->version;
	copy->time = value->time;
	copy->writer = value->writer;
	copy->uid = value->uid;
	refcount_set(&copy->refs, 1);
	copy->len = value->len;
	RCU_INIT_POINTER(copy->node.next, NULL);
	copy->node.hash = value->node.hash;
	copy->node.group = cgroup->group;
	copy->node.class = value->node.class;
	copy->node.key_len = value->node.key_len;
	memcpy(copy->node.key, value->node.key,
	       value->node.key_len + (bytes ? 0 : value->len));
	if (bytes) {
		*value_large_bytes(copy) = bytes;
		memcpy(bytes, value_bytes_of(value), value->len);
	}
	return copy;
}

/* Free all but the header, and the tie, which readers of the table may use. */
static void value_free_parts(struct metastore_value *value)
{
	if (value_is_large(value))
		kvfree(*value_large_bytes(value));
	if (metastore_value_is_tied(value))
		put_pid(metastore_tie_of(value)->holder);
}

/* Free a value that has no other users, not even RCU readers. */
static void value_free(struct metastore_value *value)
{
	value_free_parts(value);
	if (metastore_value_is_tied(value))
		kfree(container_of(value, struct metastore_tied_value, value));
	else
		kfree(value);
}

static void value_free_rcu(struct metastore_value *value)
{
	struct metastore_tied_value *both;

	value_free_parts(value);
	if (metastore_value_is_tied(value)) {
		both = container_of(value, struct metastore_tied_value, value);
		kfree_rcu(both, value.rcu);
	} else {
		kfree_rcu(value, rcu);
	}
}

/**
 * metastore_value_create() - Create a value from user memory
 * @key:	user address of the key
 * @key_len:	its length in bytes, 1 to METASTORE_KEY_MAX, checked by the caller
 * @bytes:	user address of the value
 * @len:	its length in bytes, checked by the caller
 * @tied:	whether it gets a &struct metastore_tie, without owner and end time at first
 * @payer:	number of the user whose share it counts to
 *
 * The current task becomes the writer. Each byte is copied once.
 *
 * Context: Process context, may sleep.
 * Return: the value with one reference, its hash, version and time unset; or -ENOMEM or
 * -EFAULT.
 */
struct metastore_value *metastore_value_create(const void __user *key, u32 key_len,
					       const void __user *bytes, u32 len,
					       bool tied, u32 payer)
{
	struct metastore_value *value;
	int err;

	value = value_alloc(key_len, len, tied);
	if (!value)
		return ERR_PTR(-ENOMEM);
	/* value_alloc() has allocated room for both lengths. */
	err = metastore_copy_in(value->node.key, key, key_len) ?:
	      metastore_copy_in(value_is_large(value) ? value_bytes_of(value) :
				value->node.key + key_len, bytes, len);
	if (unlikely(err)) {
		value_free(value);
		return ERR_PTR(err);
	}
	refcount_set(&value->refs, 1);
	value->writer = task_tgid_nr(current) | payer << METASTORE_TGID_BITS;
	value->uid = current_euid();
	return value;
}

/**
 * metastore_value_tryget() - Take a reference to a value found in a table
 * @value:	the value
 *
 * Context: RCU read section.
 * Return: false if the last reference is gone; the value has left the table then.
 */
bool metastore_value_tryget(struct metastore_value *value)
{
	return refcount_inc_not_zero(&value->refs);
}

/**
 * metastore_garbage_free_rest() - Free values whose memory the cache does not keep
 * @garbage:	the values; emptied
 *
 * Context: Process context, may sleep.
 */
void metastore_garbage_free_rest(struct metastore_garbage *garbage)
{
	struct metastore_value *value;

	while ((value = garbage->first)) {
		garbage->first = value->garbage;
		value_free_rcu(value);
		cond_resched();
	}
}

/**
 * metastore_value_put() - Drop a reference
 * @value:	the value
 *
 * Context: Process context, may sleep.
 */
void metastore_value_put(struct metastore_value *value)
{
	struct metastore_garbage garbage = {};

	metastore_value_put_later(value, &garbage);
	metastore_garbage_free(&garbage);
}

/**
 * metastore_value_tgid() - Get the writer of a value as the current task numbers processes
 * @value:	the value; the caller has a reference, or holds the bucket's lock
 *
 * Context: Any.
 * Return: the process; 0 if it has no number in the task's PID namespace, or has none any
 * more and this is not the initial one.
 */
pid_t metastore_value_tgid(const struct metastore_value *value)
{
	pid_t tgid = metastore_value_writer(value);

	if (metastore_in_init_pid_ns())
		return tgid;
	rcu_read_lock();
	tgid = pid_nr_ns(find_pid_ns(tgid, &init_pid_ns), task_active_pid_ns(current));
	rcu_read_unlock();
	return tgid;
}

/**
 * metastore_value_to_user() - Copy the bytes of a value out
 * @value:	the value; the caller has a reference
 * @buffer:	user address with room for all bytes of the value
 *
 * Context: Process context, may sleep.
 * Return: 0 or -EFAULT.
 */
int metastore_value_to_user(const struct metastore_value *value,
			    void __user *buffer)
{
	/* value_alloc() has allocated that many bytes. */
	return metastore_copy_out(buffer, value_bytes_of(value), value->len);
}

/**
 * metastore_value_to_iter() - Copy key and value out, without a gap
 * @value:	the value; the caller has a reference
 * @len:	length of the value in bytes, or 0 for the key only
 * @to:		destination, with room for both
 *
 * Context: Process context, may sleep.
 * Return: false on a fault.
 */
bool metastore_value_to_iter(const struct metastore_value *value, u32 len,
			     struct iov_iter *to)
{
	const u8 *key = value->node.key;
	size_t key_len = value->node.key_len;

	if (!value_is_large(value))
		return copy_to_iter(key, key_len + len, to) == key_len + len;
	return copy_to_iter(key, key_len, to) == key_len &&
	       copy_to_iter(value_bytes_of(value), len, to) == len;
}
