// SPDX-License-Identifier: GPL-2.0
/*
 * The commands of many keys: LIST and FLUSH. The table in ioctl.c has them.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "store/bucket.h"
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

/* Fill a buffer with entries. Sets @used, in bytes, and @entries. Returns 0 or -EINTR. */
static int ioctl_fill_list(struct metastore_iter *iter, void *buffer, size_t room,
			   size_t *used, u32 *entries)
{
	size_t len;

	*used = 0;
	*entries = 0;
	while (metastore_iter_next(iter)) {
		len = ioctl_put_entry(buffer + *used, room - *used, iter);
		if (!len)
			break;
		*used += len;
		++*entries;
	}
	return iter->err;
}

int metastore_ioctl_list(struct metastore_call *call)
{
	struct metastore_list *args = &call->args.list;
	struct metastore_store *store = call->file->store;
	struct metastore_range range;
	struct metastore_iter *iter;
	struct metastore_key_buffer *cursor;
	u8 prefix[METASTORE_KEY_MAX];
	void *buffer;
	size_t room, used;
	int err;

	if (args->flags)
		return -EINVAL;
	if (args->buffer_len < METASTORE_LIST_MIN)
		return -EMSGSIZE;
	err = ioctl_copy_range(store, &range, prefix, args->prefix, args->prefix_len,
			       args->bucket);
	if (err)
		return err;

	room = min_t(size_t, args->buffer_len, LIST_MAX);
	iter = kmalloc(sizeof(*iter), METASTORE_GFP);
	cursor = kmalloc(sizeof(*cursor), METASTORE_GFP);
	buffer = kvmalloc(room, METASTORE_GFP);
	err = -ENOMEM;
	if (!iter || !cursor || !buffer)
		goto free;

	metastore_iter_init(iter, store, &range, false);
	if (args->cursor_len) {
		err = metastore_copy_key(call->file, cursor, args->cursor, args->cursor_len);
		if (err)
			goto free;
		metastore_iter_skip_to(iter, &cursor->key);
	}
	err = ioctl_fill_list(iter, buffer, room, &used, &args->entries);
	if (err)
		goto free;
	args->buffer_len = used;
	err = copy_to_user(u64_to_user_ptr(args->buffer), buffer, used) ? -EFAULT :
	      metastore_ioctl_respond(call, list, buffer_len, entries);
free:
	kvfree(buffer);
	kfree(cursor);
	kfree(iter);
	return err;
}
