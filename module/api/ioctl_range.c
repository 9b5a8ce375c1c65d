// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of many keys: LIST and FLUSH. The table in ioctl.c has them.
 */
#include <linux/cred.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "base/trace.h"
#include "store/bucket.h"
#include "store/iter.h"
#include "store/lifetime.h"
#include "ops/file.h"
#include "ops/ops.h"
#include "api/api.h"

/* Most bytes that LIST fills in one call, so that its buffer is easy to allocate. */
#define LIST_MAX	(64 << 10)

#define FLUSH_FLAGS	(METASTORE_FLUSH_SUBSCRIPTIONS | METASTORE_FLUSH_STEAL)

static_assert(METASTORE_LIST_MIN >=
	      sizeof(struct metastore_list_entry) + METASTORE_KEY_MAX);

/* Copy a prefix in and set a range. Returns 0, -EINVAL, -EFAULT or -ERANGE. */
static int ioctl_copy_range(struct metastore_store *store, struct metastore_range *range,
			    u8 *bytes, u64 prefix, u32 len, u32 bucket)
{
	if (len > METASTORE_KEY_MAX)
		return -EINVAL;
	if (copy_from_user(bytes, u64_to_user_ptr(prefix), len))
		return -EFAULT;
	range->prefix = bytes;
	range->prefix_len = len;
	return metastore_store_range(store, bucket, range);
}

int metastore_ioctl_flush(struct metastore_call *call)
{
	struct metastore_flush *args = &call->args.flush;
	struct metastore_store *store = call->file->store;
	struct metastore_range range;
	u8 prefix[METASTORE_KEY_MAX];
	int err;

	if (args->flags & ~FLUSH_FLAGS || args->reserved)
		return -EINVAL;
	err = ioctl_copy_range(store, &range, prefix, args->prefix, args->prefix_len,
			       args->bucket);
	if (err)
		return err;
	if (args->flags & METASTORE_FLUSH_SUBSCRIPTIONS && !metastore_store_is_owned(store))
		return -EPERM;

	args->values = 0;
	args->subscriptions = 0;
	err = metastore_store_flush(call->file, &range, args->flags & METASTORE_FLUSH_STEAL,
				    &args->values);
	if (!err && args->flags & METASTORE_FLUSH_SUBSCRIPTIONS)
		err = metastore_store_flush_subscriptions(store, &range, &args->subscriptions);
	trace_metastore_flush(call->file, prefix, args, err);
	return err ?: metastore_ioctl_respond(call, flush, values, subscriptions);
}

/* Append an entry. Returns its length, or 0 if there is no room. */
static size_t ioctl_put_entry(void *buffer, size_t room, const struct metastore_iter *iter)
{
	struct metastore_list_entry *entry = buffer;
	size_t used = sizeof(*entry) + iter->key.len;
	size_t len = ALIGN(used, 8);

	if (len > room)
		return 0;
	*entry = (struct metastore_list_entry) {
		.len = len,
		.header_len = sizeof(*entry),
		.key_len = iter->key.len,
		.value_len = iter->value_len,
		.version = iter->version,
	};
	memcpy(entry + 1, iter->key.bytes, iter->key.len);
	memset(buffer + used, 0, len - used);
	return len;
}

/* Fill a buffer with entries. Sets @entries. Returns the bytes filled, or -EINTR. */
static ssize_t ioctl_fill_list(struct metastore_iter *iter, void *buffer, size_t room,
			       u32 *entries)
{
	size_t len, used = 0;

	while (metastore_iter_next(iter)) {
		len = ioctl_put_entry(buffer + used, room - used, iter);
		if (!len)
			break;
		used += len;
		++*entries;
	}
	return iter->err ?: used;
}

/* List keys alone. Sets @entries. Returns the bytes filled, -ENOMEM, -EINTR or -EFAULT. */
static ssize_t ioctl_list_keys(struct metastore_iter *iter, void __user *ubuffer, size_t room,
			       u32 *entries)
{
	ssize_t used = -ENOMEM;
	void *buffer;

	room = min_t(size_t, room, LIST_MAX);
	buffer = kvmalloc(room, METASTORE_GFP);
	if (buffer)
		used = ioctl_fill_list(iter, buffer, room, entries);
	if (used > 0 && copy_to_user(ubuffer, buffer, used))
		used = -EFAULT;
	kvfree(buffer);
	return used;
}

/* Header of an entry with its value */
struct ioctl_list_header {
	struct metastore_list_entry entry;
	struct metastore_list_details details;
};

static_assert(sizeof(struct ioctl_list_header) + METASTORE_KEY_MAX <= METASTORE_LIST_MIN);

static void ioctl_fill_header(struct ioctl_list_header *header, const struct metastore_file *file,
			      const struct metastore_value *value)
{
	*header = (struct ioctl_list_header) {
		.entry = {
			.header_len = sizeof(*header),
			.key_len = value->node.key_len,
			.value_len = value->len,
			.version = value->version,
		},
		.details = {
			.time = value->time,
			.ttl = metastore_value_ttl(value),
			.tgid = metastore_value_tgid(value),
			.uid = from_kuid_munged(current_user_ns(), value->uid),
			.owner = metastore_value_owner(value, &file->owner),
		},
	};
}

/*
 * Copy an entry with its value out. The first entry of a buffer leaves out a value that
 * does not fit. Returns its length, 0 if there is no room, or -EFAULT.
 */
static ssize_t ioctl_put_value(const struct metastore_file *file,
			       const struct metastore_value *value, void __user *ubuffer,
			       size_t room, bool first)
{
	struct ioctl_list_header header;
	size_t used = sizeof(header) + value->node.key_len + value->len;
	size_t len = ALIGN(used, 8);

	ioctl_fill_header(&header, file, value);
	if (len > room) {
		if (!first)
			return 0;
		header.entry.flags = METASTORE_LIST_F_NO_VALUE;
		used -= value->len;
		len = ALIGN(used, 8);
	}
	header.entry.len = len;
	if (copy_to_user(ubuffer, &header, sizeof(header)) ||
	    copy_to_user(ubuffer + sizeof(header), value->node.key, value->node.key_len) ||
	    clear_user(ubuffer + used, len - used))
		return -EFAULT;
	if (!header.entry.flags &&
	    metastore_value_to_user(value, ubuffer + sizeof(header) + value->node.key_len))
		return -EFAULT;
	return len;
}

/*
 * List keys with their values, each copied out as it is found: a value may be larger than
 * any buffer of ours. Sets @entries. Returns the bytes filled, -EINTR or -EFAULT.
 */
static ssize_t ioctl_list_values(struct metastore_iter *iter, const struct metastore_file *file,
				 void __user *ubuffer, size_t room, u32 *entries)
{
	size_t used = 0;
	ssize_t len;

	while (metastore_iter_next(iter)) {
		len = ioctl_put_value(file, iter->value, ubuffer + used, room - used, !used);
		metastore_value_put(iter->value);
		if (len < 0)
			return len;
		if (!len)
			break;
		used += len;
		++*entries;
		/* The iterator does both between keys that are far apart alone. */
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return iter->err ?: used;
}

int metastore_ioctl_list(struct metastore_call *call)
{
	struct metastore_list *args = &call->args.list;
	void __user *ubuffer = u64_to_user_ptr(args->buffer);
	bool values = args->flags & METASTORE_LIST_VALUES;
	struct metastore_store *store = call->file->store;
	struct metastore_key_buffer *cursor;
	struct metastore_range range;
	struct metastore_iter *iter;
	u8 prefix[METASTORE_KEY_MAX];
	ssize_t used;

	if (args->flags & ~METASTORE_LIST_VALUES)
		return -EINVAL;
	if (args->buffer_len < METASTORE_LIST_MIN)
		return -EMSGSIZE;
	used = ioctl_copy_range(store, &range, prefix, args->prefix, args->prefix_len,
				args->bucket);
	if (used)
		return used;

	iter = kmalloc(sizeof(*iter), METASTORE_GFP);
	cursor = kmalloc(sizeof(*cursor), METASTORE_GFP);
	used = -ENOMEM;
	if (!iter || !cursor)
		goto free;
	metastore_iter_init(iter, store, &range,
			    values ? METASTORE_VISIT_VALUES : METASTORE_VISIT_KEYS);
	if (args->cursor_len) {
		used = metastore_copy_key(call->file, cursor, args->cursor, args->cursor_len);
		if (used)
			goto free;
		metastore_iter_skip_to(iter, &cursor->key);
	}
	args->entries = 0;
	used = values ? ioctl_list_values(iter, call->file, ubuffer, args->buffer_len,
					  &args->entries) :
			ioctl_list_keys(iter, ubuffer, args->buffer_len, &args->entries);
free:
	kfree(cursor);
	kfree(iter);
	if (used < 0)
		return used;
	args->buffer_len = used;
	return metastore_ioctl_respond(call, list, buffer_len, entries);
}
