// SPDX-License-Identifier: GPL-2.0
/*
 * Users, and what each of them may pin.
 *
 * Each open file belongs to the user that opened it, also if its descriptor is passed on.
 * That user is charged for what the file pins, and refused at its own limits. So a user
 * can exhaust only what is its own.
 *
 * A user is a uid in a user namespace. Anyone can create namespaces, and in them be many
 * uids. So a charge also goes to the user that created the namespace, to the creator of
 * that one's namespace, and so on. Each of them has the same limits.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/user_namespace.h>

#include "base/counter.h"
#include "base/types.h"
#include "store/share.h"
#include "store/user.h"

/*
 * Default limits.
 *
 * FILES: one takes 1 KB. So they take 8 MB.
 * SUBSCRIPTIONS: one takes 500 bytes, so 64 MB: twice what one open file can have.
 * QUEUE_BYTES: what queues may hold, not what they hold. A queue of default size counts
 *	1.1 MB, so 512 MB are 460 subscribers on the smallest machine.
 * STORES: one takes 18 KB with its default buckets. STORE_BYTES counts these too.
 * STORE_BYTES: half of the default limit of all users together.
 * OWNED_KEYS: the release of an open file deletes them one by one, 200 ms in all.
 * WAITING: each is a thread.
 */
#define DEFAULT_FILES		SZ_8K
#define DEFAULT_SUBSCRIPTIONS	SZ_128K
#define DEFAULT_QUEUE_BYTES	SZ_512M
#define DEFAULT_STORES		SZ_1K
#define DEFAULT_OWNED_KEYS	SZ_64K
#define DEFAULT_WAITING		SZ_1K

/* Bytes of others' values that all queues of a user refer to: 16 queues' share */
#define MAX_SHARED		SZ_1M

/* By default queues of a user may hold 1 / QUEUE_SHARE of the RAM, its stores 1 / STORE_SHARE. */
#define QUEUE_SHARE		4
#define STORE_SHARE		16

/* Set before the first open file exists */
static u64 limits[METASTORE_USER_LIMITS];

/*
 * All users, ordered by namespace and uid. A tree, since its depth is bounded whatever
 * uids users choose. The lock is also taken by callbacks that free open files.
 */
static struct rb_root users = RB_ROOT;
static DEFINE_SPINLOCK(users_lock);

static u64 user_share_of_ram(u32 share)
{
	return (u64)totalram_pages() / share * PAGE_SIZE;
}

static u64 user_default_limit(u32 kind)
{
	switch (kind) {
	case METASTORE_USER_FILES:
		return DEFAULT_FILES;
	case METASTORE_USER_SUBSCRIPTIONS:
		return DEFAULT_SUBSCRIPTIONS;
	case METASTORE_USER_QUEUE_BYTES:
		return max_t(u64, DEFAULT_QUEUE_BYTES, user_share_of_ram(QUEUE_SHARE));
	case METASTORE_USER_STORES:
		return DEFAULT_STORES;
	case METASTORE_USER_STORE_BYTES:
		return user_share_of_ram(STORE_SHARE);
	case METASTORE_USER_OWNED_KEYS:
		return DEFAULT_OWNED_KEYS;
	default:
		return DEFAULT_WAITING;
	}
}

/**
 * metastore_user_limit() - Get the limit of a kind
 * @kind:	METASTORE_USER_*
 *
 * Return: most that a user may use.
 */
u64 metastore_user_limit(u32 kind)
{
	return READ_ONCE(limits[kind]);
}

/**
 * metastore_user_set_limit() - Set the limit of a kind
 * @kind:	METASTORE_USER_*
 * @limit:	most that a user may use from now on; 0: the default. A user that already
 *		uses more keeps that.
 *
 * Return: 0, or -EINVAL if it is above S64_MAX.
 */
int metastore_user_set_limit(u32 kind, u64 limit)
{
	if (limit > S64_MAX)
		return -EINVAL;
	WRITE_ONCE(limits[kind], limit ?: user_default_limit(kind));
	return 0;
}

/** metastore_user_init() - Set all limits that are not set yet to their defaults */
void metastore_user_init(void)
{
	u32 kind;

	for (kind = 0; kind < METASTORE_USER_LIMITS; kind++)
		if (!limits[kind])
			metastore_user_set_limit(kind, 0);
}

/* Compare a user to a namespace's number and a uid. */
static int user_compare(const struct metastore_user *user, u32 ns, u32 uid)
{
	if (user->ns->ns.inum != ns)
		return user->ns->ns.inum < ns ? -1 : 1;
	if (__kuid_val(user->uid) != uid)
		return __kuid_val(user->uid) < uid ? -1 : 1;
	return 0;
}

/* Find a user and take a reference, or find its place in the tree. */
static struct metastore_user *user_find(u32 ns, u32 uid, struct rb_node **parent,
					struct rb_node ***link)
{
	struct rb_node **at = &users.rb_node;
	int order;

	lockdep_assert_held(&users_lock);
	*parent = NULL;
	while (*at) {
		struct metastore_user *user = rb_entry(*at, struct metastore_user, node);

		order = user_compare(user, ns, uid);
		if (!order) {
			refcount_inc(&user->refs);
			return user;
		}
		*parent = *at;
		at = order > 0 ? &(*at)->rb_left : &(*at)->rb_right;
	}
	*link = at;
	return NULL;
}

/*
 * Get the user of a namespace and uid. Enter @new unless it exists, and set that to NULL
 * then. Without @new return NULL for a user that does not exist.
 */
static struct metastore_user *user_find_or_enter(const struct user_namespace *ns, kuid_t uid,
						 struct metastore_user **new)
{
	struct metastore_user *user;
	struct rb_node *parent, **link;
	unsigned long flags;

	spin_lock_irqsave(&users_lock, flags);
	user = user_find(ns->ns.inum, __kuid_val(uid), &parent, &link);
	if (!user && *new) {
		user = *new;
		*new = NULL;
		rb_link_node(&user->node, parent, link);
		rb_insert_color(&user->node, &users);
	}
	spin_unlock_irqrestore(&users_lock, flags);
	return user;
}

static struct metastore_user *user_create(struct user_namespace *ns, kuid_t uid,
					  struct metastore_user *parent)
{
	struct metastore_user *user = kzalloc(sizeof(*user), METASTORE_GFP);

	if (!user)
		return NULL;
	user->ns = get_user_ns(ns);
	user->uid = uid;
	user->parent = parent;
	user->payer = parent ? parent->payer : metastore_payer_get(uid);
	user->last_refused = METASTORE_USER_NONE;
	refcount_set(&user->refs, 1);
	return user;
}

static void user_free(struct metastore_user *user)
{
	if (!user->parent)
		metastore_payer_put(user->payer);
	put_user_ns(user->ns);
	kfree(user);
}

/*
 * Get the user of a namespace and uid, and create it if needed. Takes over the reference
 * to @parent. Returns NULL without memory.
 */
static struct metastore_user *user_get(struct user_namespace *ns, kuid_t uid,
				       struct metastore_user *parent)
{
	struct metastore_user *user, *new = NULL;

	user = user_find_or_enter(ns, uid, &new);
	if (!user) {
		new = user_create(ns, uid, parent);
		if (new)
			user = user_find_or_enter(ns, uid, &new);
		if (user && !new)
			return user;
	}
	if (new)
		user_free(new);
	if (parent)
		metastore_user_put(parent);
	return user;
}

static struct user_namespace *user_ancestor(struct user_namespace *ns, int level)
{
	while (ns->level > level)
		ns = ns->parent;
	return ns;
}

/**
 * metastore_user_get_current() - Get the effective user of the current task
 *
 * Context: Process context, may sleep.
 * Return: the user with a reference for the caller, or NULL without memory.
 */
struct metastore_user *metastore_user_get_current(void)
{
	struct user_namespace *own = current_user_ns();
	struct metastore_user *user = NULL;
	int level;

	/* Parents first: a user is complete once others can find it. */
	for (level = 0; level <= own->level; level++) {
		user = user_get(user_ancestor(own, level),
				level == own->level ? current_euid() :
						      user_ancestor(own, level + 1)->owner,
				user);
		if (!user)
			return NULL;
	}
	return user;
}

/**
 * metastore_user_get_next() - Get the next user in the order of the table
 * @ns:		number of the namespace of the user before it
 * @uid:	that user
 *
 * Return: the user with a reference for the caller, or NULL at the end.
 */
struct metastore_user *metastore_user_get_next(u32 ns, u32 uid)
{
	struct metastore_user *user, *found = NULL;
	struct rb_node *rb;
	unsigned long flags;

	spin_lock_irqsave(&users_lock, flags);
	rb = users.rb_node;
	while (rb) {
		user = rb_entry(rb, struct metastore_user, node);
		if (user_compare(user, ns, uid) > 0) {
			found = user;
			rb = rb->rb_left;
		} else {
			rb = rb->rb_right;
		}
	}
	if (found)
		refcount_inc(&found->refs);
	spin_unlock_irqrestore(&users_lock, flags);
	return found;
}

/**
 * metastore_user_put() - Drop a reference
 * @user:	the user
 *
 * Context: Any; RCU callbacks call it too.
 */
void metastore_user_put(struct metastore_user *user)
{
	struct metastore_user *parent;
	unsigned long flags;
	bool last;

	while (user && !refcount_dec_not_one(&user->refs)) {
		spin_lock_irqsave(&users_lock, flags);
		last = refcount_dec_and_test(&user->refs);
		if (last)
			rb_erase(&user->node, &users);
		spin_unlock_irqrestore(&users_lock, flags);
		if (!last)
			return;
		parent = user->parent;
		user_free(user);
		user = parent;
	}
}

/**
 * metastore_user_refuse() - Note a refusal
 * @user:	the user
 * @kind:	METASTORE_USER_*
 */
void metastore_user_refuse(struct metastore_user *user, u32 kind)
{
	atomic64_inc(&user->refused[kind]);
	WRITE_ONCE(user->last_refused, kind);
}

static void user_uncharge_until(struct metastore_user *user, const struct metastore_user *end,
				u32 kind, s64 n)
{
	for (; user != end; user = user->parent)
		atomic64_sub(n, &user->use[kind]);
}

/*
 * Check whether a charge may exceed the limit of @at. Containers of the initial
 * namespace's root are not limited together.
 */
static bool user_may_exceed(const struct metastore_user *user, const struct metastore_user *at)
{
	return (at != user && !at->parent && uid_eq(at->uid, GLOBAL_ROOT_UID)) ||
	       capable(CAP_SYS_RESOURCE);
}

/**
 * metastore_user_charge() - Charge a user
 * @user:	the user
 * @kind:	METASTORE_USER_*
 * @n:		number to add; negative: to subtract, which is never refused
 *
 * A task with CAP_SYS_RESOURCE in the initial namespace is counted, but not refused.
 *
 * Context: Any task; spinlocks may be held.
 * Return: 0, or -EDQUOT if a limit refuses it; then nothing is charged.
 */
int metastore_user_charge(struct metastore_user *user, u32 kind, s64 n)
{
	s64 limit = metastore_user_limit(kind);
	struct metastore_user *at;

	for (at = user; at; at = at->parent) {
		if (metastore_add_within(&at->use[kind], n, limit))
			continue;
		if (!user_may_exceed(user, at)) {
			user_uncharge_until(user, at, kind, n);
			metastore_user_refuse(user, kind);
			return -EDQUOT;
		}
		atomic64_add(n, &at->use[kind]);
	}
	return 0;
}

/**
 * metastore_user_uncharge() - Undo a charge
 * @user:	the user
 * @kind:	METASTORE_USER_*
 * @n:		number that was charged
 *
 * Context: Any.
 */
void metastore_user_uncharge(struct metastore_user *user, u32 kind, s64 n)
{
	user_uncharge_until(user, NULL, kind, n);
}

/*
 * The one that pays for the users of namespaces that it created, but for root: its containers
 * have nothing to do with each other.
 */
static struct metastore_user *user_of_all(struct metastore_user *user)
{
	while (user->parent &&
	       (user->parent->parent || !uid_eq(user->parent->uid, GLOBAL_ROOT_UID)))
		user = user->parent;
	return user;
}

/**
 * metastore_user_share() - Let a queue refer to values that others pay for
 * @user:	user of the queue
 * @bytes:	bytes of such values
 *
 * A user has MAX_SHARED in all, with the namespaces that it created. A task with
 * CAP_SYS_RESOURCE in the initial namespace is counted, but has no limit.
 *
 * Context: Any task; spinlocks may be held.
 * Return: @bytes, for metastore_user_unshare(); or 0, and the queue copies such values.
 */
u32 metastore_user_share(struct metastore_user *user, u32 bytes)
{
	atomic64_t *shared = &user_of_all(user)->shared;

	if (metastore_add_within(shared, bytes, MAX_SHARED))
		return bytes;
	if (!ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE))
		return 0;
	atomic64_add(bytes, shared);
	return bytes;
}

/**
 * metastore_user_unshare() - Undo metastore_user_share()
 * @user:	user of the queue
 * @bytes:	what that returned
 *
 * Context: Any.
 */
void metastore_user_unshare(struct metastore_user *user, u32 bytes)
{
	atomic64_sub(bytes, &user_of_all(user)->shared);
}

/**
 * metastore_user_tell() - Report use and limits of a user
 * @user:	the user
 * @info:	its [out] fields are set, but for use and limit of shares
 */
void metastore_user_tell(struct metastore_user *user, struct metastore_user_info *info)
{
	u32 kind;

	info->ns = user->ns->ns.inum;
	info->uid = from_kuid_munged(current_user_ns(), user->uid);
	info->last_refused = READ_ONCE(user->last_refused);
	for (kind = 0; kind < METASTORE_USER_KINDS; kind++)
		info->kinds[kind].refused = atomic64_read(&user->refused[kind]);
	for (kind = 0; kind < METASTORE_USER_LIMITS; kind++) {
		info->kinds[kind].use = atomic64_read(&user->use[kind]);
		info->kinds[kind].limit = metastore_user_limit(kind);
	}
}
