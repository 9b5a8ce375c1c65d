/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_USER_H
#define METASTORE_USER_H

#include <linux/atomic.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include <linux/metastore.h>

struct user_namespace;

/* Number of kinds with a limit that is a parameter; those of shares follow. */
#define METASTORE_USER_LIMITS	METASTORE_USER_KEYS

/**
 * struct metastore_user - user that pays for what its open files pin
 * @node:	entry in the table of users
 * @ns:		user namespace; holds a reference. Immutable.
 * @uid:	effective user that opened the files. Immutable.
 * @refs:	references of open files, private stores and of users in namespaces that
 *		this one created
 * @parent:	user that created @ns, which pays too; NULL in the initial namespace. Holds
 *		a reference. Immutable.
 * @payer:	number for shares, the same for all that @parent leads to; see share.c.
 *		Immutable.
 * @last_refused: kind of the last refusal, METASTORE_USER_NONE if there was none
 * @use:	use of each METASTORE_USER_* kind below METASTORE_USER_LIMITS
 * @refused:	number of refusals of each kind
 * @shared:	bytes of others' values that its queues may refer to, see
 *		METASTORE_SHARED_BYTES
 */
struct metastore_user {
	struct rb_node node;
	struct user_namespace *ns;
	kuid_t uid;
	refcount_t refs;
	struct metastore_user *parent;
	u32 payer;
	u32 last_refused;
	atomic64_t use[METASTORE_USER_LIMITS];
	atomic64_t refused[METASTORE_USER_KINDS];
	atomic64_t shared;
};

void metastore_user_init(void);
u64 metastore_user_limit(u32 kind);
int metastore_user_set_limit(u32 kind, u64 limit);

struct metastore_user *metastore_user_get_current(void);
struct metastore_user *metastore_user_get_next(u32 ns, u32 uid);
void metastore_user_put(struct metastore_user *user);
int metastore_user_charge(struct metastore_user *user, u32 kind, s64 n);
void metastore_user_refuse(struct metastore_user *user, u32 kind);
void metastore_user_uncharge(struct metastore_user *user, u32 kind, s64 n);
u32 metastore_user_share(struct metastore_user *user, u32 bytes);
void metastore_user_unshare(struct metastore_user *user, u32 bytes);
void metastore_user_tell(struct metastore_user *user, struct metastore_user_info *info);

#endif /* METASTORE_USER_H */
