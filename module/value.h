/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_VALUE_H
#define METASTORE_VALUE_H

#include <linux/gfp.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "table.h"

struct iov_iter;

/**
 * METASTORE_GFP - how memory that users cause is allocated
 *
 * It is charged to the caller's memory cgroup. One that is full gets -ENOMEM;
 * the OOM killer is not called for it.
 */
#define METASTORE_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

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
	u32 len;
	struct metastore_node node;
};

/**
 * struct metastore_garbage - values to be freed once no lock is held
 * @first:	the first of them; NULL: none
 */
struct metastore_garbage {
	struct metastore_value *first;
};

struct metastore_value *metastore_value_create(const void __user *key, u32 key_len,
					       const void __user *bytes, u32 len);
bool metastore_value_tryget(struct metastore_value *value);
void metastore_value_get(struct metastore_value *value);
void metastore_value_put(struct metastore_value *value);
void metastore_value_put_later(struct metastore_value *value,
			       struct metastore_garbage *garbage);
void metastore_garbage_free(struct metastore_garbage *garbage);
u32 metastore_value_size(const struct metastore_value *value);
int metastore_value_to_user(const struct metastore_value *value,
			    void __user *buffer);
bool metastore_value_to_iter(const struct metastore_value *value,
			     struct iov_iter *to);

static inline struct metastore_value *
metastore_value_of(struct metastore_node *node)
{
	return node ? container_of(node, struct metastore_value, node) : NULL;
}

#endif /* METASTORE_VALUE_H */
