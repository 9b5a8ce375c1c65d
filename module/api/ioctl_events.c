// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of an open file's subscriptions and queue. The table in ioctl.c has them.
 */
#include <linux/capability.h>
#include <linux/err.h>

#include "base/trace.h"
#include "store/bucket.h"
#include "events/prefix.h"
#include "ops/file.h"
#include "ops/ops.h"
#include "api/api.h"

#define EVENTS_ALL \
	(METASTORE_EVENT_PUBLISHED | METASTORE_EVENT_SET | METASTORE_EVENT_DELETED | \
	 METASTORE_EVENT_BY_DELETE | METASTORE_EVENT_BY_FLUSH | \
	 METASTORE_EVENT_BY_EXPIRY | METASTORE_EVENT_BY_OWNER)

#define SUBSCRIBE_FLAGS \
	(METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT | \
	 METASTORE_SUBSCRIBE_NEWER | METASTORE_SUBSCRIBE_LATEST | \
	 METASTORE_SUBSCRIBE_NO_VALUE)

#define QUEUE_FLAGS \
	(METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES | METASTORE_QUEUE_SET_POLICY)

/* Copy the key of a subscription in, or its prefix, which may be empty. */
static int ioctl_copy_topic(struct metastore_file *file, struct metastore_key_buffer *buffer,
			    u64 key, u32 len, u32 flags)
{
	if (!(flags & METASTORE_SUBSCRIBE_PREFIX))
		return metastore_copy_key(file, buffer, key, len);
	if (len > METASTORE_KEY_MAX)
		return -EINVAL;
	if (copy_from_user(buffer->bytes, u64_to_user_ptr(key), len))
		return -EFAULT;
	buffer->key = (struct metastore_key) { .bytes = buffer->bytes, .len = len };
	metastore_prefix_locate(&file->store->prefixes, &buffer->key);
	return 0;
}

static bool ioctl_subscribe_flags_are_sane(const struct metastore_subscribe *args)
{
	u32 flags = args->flags;

	if (flags & ~SUBSCRIBE_FLAGS)
		return false;
	if (!(flags & METASTORE_SUBSCRIBE_NEWER))
		return !args->version;
	return flags & METASTORE_SUBSCRIBE_SNAPSHOT &&
	       !(flags & METASTORE_SUBSCRIBE_PREFIX);
}

static bool ioctl_resync_is_sane(const struct metastore_subscribe *args)
{
	return !(args->flags & ~(METASTORE_SUBSCRIBE_RESYNC | METASTORE_SUBSCRIBE_PREFIX)) &&
	       !args->events && !args->cookie && !args->version;
}

/* Begin a subscription at the expense of the file's user. */
static int ioctl_begin_subscription(struct metastore_file *file, const struct metastore_key *key,
				    const struct metastore_subscribe *args)
{
	int err = metastore_user_charge(file->user, METASTORE_USER_SUBSCRIPTIONS, 1);

	if (err)
		return err;
	/* The end of the subscription undoes the charge. */
	err = metastore_subscribe(&file->subs, key, args);
	if (err)
		metastore_user_uncharge(file->user, METASTORE_USER_SUBSCRIPTIONS, 1);
	return err;
}

int metastore_ioctl_subscribe(struct metastore_call *call)
{
	struct metastore_subscribe *args = &call->args.subscribe;
	bool resync = args->flags & METASTORE_SUBSCRIBE_RESYNC;
	struct metastore_key_buffer buffer;
	int err;

	if (args->reserved || args->events & ~EVENTS_ALL ||
	    !(resync ? ioctl_resync_is_sane(args) : ioctl_subscribe_flags_are_sane(args)))
		return -EINVAL;
	err = ioctl_copy_topic(call->file, &buffer, args->key, args->key_len, args->flags);
	if (err)
		return err;
	err = resync ? metastore_resync(&call->file->subs, &buffer.key, args) :
		       ioctl_begin_subscription(call->file, &buffer.key, args);
	if (err)
		trace_metastore_subscribe(&call->file->subs, &buffer.key, args, err);
	return err;
}

int metastore_ioctl_unsubscribe(struct metastore_call *call)
{
	struct metastore_unsubscribe *args = &call->args.unsubscribe;
	struct metastore_key_buffer buffer;
	int err;

	if (args->flags & ~(METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_DISCARD))
		return -EINVAL;
	err = ioctl_copy_topic(call->file, &buffer, args->key, args->key_len, args->flags);
	if (err)
		return err;
	return metastore_unsubscribe(&call->file->subs, &buffer.key,
				     args->flags & METASTORE_SUBSCRIBE_DISCARD);
}

int metastore_ioctl_subscription(struct metastore_call *call)
{
	struct metastore_subscription_info *args = &call->args.subscription;
	struct metastore_key_buffer buffer;
	int err;

	if (args->flags & ~METASTORE_SUBSCRIBE_PREFIX || args->reserved)
		return -EINVAL;
	metastore_queue_take_in(&call->file->queue);
	err = ioctl_copy_topic(call->file, &buffer, args->key, args->key_len, args->flags) ?:
	      metastore_subscription_tell(&call->file->subs, &buffer.key, args);
	if (err)
		return err;
	return metastore_ioctl_respond(call, subscription_info, key, discarded);
}

/*
 * Check the arguments of QUEUE. Limits above METASTORE_QUEUE_FACTOR times those of the
 * store need CAP_SYS_RESOURCE. Returns 0, -EINVAL or -EPERM.
 */
static int ioctl_check_queue(const struct metastore_limits *limits,
			     const struct metastore_queue_info *args)
{
	bool len = args->flags & METASTORE_QUEUE_SET_LEN;
	bool bytes = args->flags & METASTORE_QUEUE_SET_BYTES;

	if (args->flags & ~QUEUE_FLAGS)
		return -EINVAL;
	if (args->flags & METASTORE_QUEUE_SET_POLICY &&
	    args->policy != METASTORE_QUEUE_DROP_OLDEST &&
	    args->policy != METASTORE_QUEUE_LOSSLESS)
		return -EINVAL;
	if ((len && (!args->max_len || args->max_len > METASTORE_MAX_QUEUE_LEN)) ||
	    (bytes && (args->max_bytes < METASTORE_MIN_QUEUE_BYTES ||
		       args->max_bytes > METASTORE_MAX_QUEUE_BYTES)))
		return -EINVAL;
	if (((len && args->max_len > METASTORE_QUEUE_FACTOR * (u64)limits->queue_len) ||
	     (bytes && args->max_bytes > METASTORE_QUEUE_FACTOR * (u64)limits->queue_bytes)) &&
	    !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	return 0;
}

int metastore_ioctl_queue(struct metastore_call *call)
{
	struct metastore_queue_info *args = &call->args.queue;
	bool lossless = false;
	int err;

	err = ioctl_check_queue(&call->file->store->limits, args);
	if (!err && args->flags)
		err = metastore_queue_configure(&call->file->queue, args, &lossless);
	if (err)
		return err;
	if (lossless)
		metastore_subscriptions_need_room(&call->file->subs);
	metastore_queue_take_in(&call->file->queue);
	metastore_queue_tell(&call->file->queue, args);
	args->subscriptions = READ_ONCE(call->file->subs.nr);
	return metastore_ioctl_respond(call, queue_info, policy, discarded);
}

int metastore_ioctl_subscribers(struct metastore_call *call)
{
	struct metastore_subscribers *args = &call->args.subscribers;
	struct metastore_key_buffer buffer;
	int err;

	if (args->flags || args->reserved)
		return -EINVAL;
	err = metastore_copy_key(call->file, &buffer, args->key, args->key_len);
	if (err)
		return err;
	args->subscribers = metastore_subscribers(&buffer.key);
	return metastore_ioctl_respond(call, subscribers, subscribers, subscribers);
}
