// SPDX-License-Identifier: GPL-2.0
/*
 * Events as a reader gets them.
 */
#include <linux/align.h>
#include <linux/cred.h>
#include <linux/string.h>
#include <linux/uio.h>

#include "base/usercopy.h"
#include "events/queue.h"
#include "api/read.h"

static void fill_header(struct metastore_event *event,
			const struct metastore_record *record)
{
	const struct metastore_value *value = record->value;

	event->len = metastore_record_size(record);
	event->header_len = metastore_record_header_size(record);
	event->type = record->type;
	event->cookie = record->source ? record->source->cookie : 0;
	event->version = record->version;
	event->flags = record->flags;
	if (!value) {
		event->time = 0;
		event->value_len = 0;
		event->key_len = 0;
		event->tgid = 0;
		event->uid = 0;
		return;
	}
	event->time = value->time;
	event->value_len = record->flags & METASTORE_EVENT_F_NO_VALUE ? 0 : value->len;
	event->key_len = value->node.key_len;
	event->tgid = value->tgid;
	event->uid = from_kuid_munged(current_user_ns(), value->uid);
}

static bool put(const void *bytes, size_t len, struct iov_iter *to)
{
	return copy_to_iter(bytes, len, to) == len;
}

static bool put_owner_end(const struct metastore_record *record, struct iov_iter *to)
{
	const struct metastore_owner_end *end;

	if (!(record->flags & METASTORE_EVENT_F_OWNER))
		return true;
	end = &metastore_tie_of(record->value)->end;
	return put(end, sizeof(*end), to);
}

static bool put_any(const struct metastore_record *record,
		    const struct metastore_event *event, struct iov_iter *to)
{
	static const u8 zeros[8];
	size_t rest = event->len - event->header_len - event->key_len - event->value_len;

	if (!put(event, sizeof(*event), to))
		return false;
	return !record->value ||
	       (put_owner_end(record, to) &&
		metastore_value_to_iter(record->value, event->value_len, to) &&
		put(zeros, rest, to));
}

/* Any record, to anywhere; nothing of it if not all. */
static bool copy_any(const struct metastore_record *record, struct iov_iter *to)
{
	size_t room = iov_iter_count(to);
	struct metastore_event event;

	fill_header(&event, record);
	if (put_any(record, &event, to))
		return true;
	iov_iter_revert(to, room - iov_iter_count(to));
	return false;
}

/* Is it an event of a value in one piece, with nothing that few have? */
static bool is_simple(const struct metastore_record *record)
{
	return !(record->flags & (METASTORE_EVENT_F_OWNER | METASTORE_EVENT_F_NO_VALUE)) &&
	       record->value && metastore_value_is_piece(record->value);
}

/*
 * Copies a simple event to a plain buffer, between user_write_access_begin() and _end().
 * What is read is within the value's piece: it is as long as key and value. Returns how
 * many bytes that was, 0 at a fault.
 */
static __always_inline size_t unsafe_copy_simple(const struct metastore_record *record,
						 u8 __user *to)
{
	struct metastore_event __user *event = (struct metastore_event __user *)to;
	const struct metastore_value *value = record->value;
	u32 key_len = value->node.key_len, len = key_len + value->len;
	const u8 *piece = value->node.key;
	u32 size = sizeof(*event) + ALIGN(len, 8);
	u64 rest = 0;
	u32 i;

	unsafe_put_user(size, &event->len, fault);
	unsafe_put_user(sizeof(*event), &event->header_len, fault);
	unsafe_put_user(record->type, &event->type, fault);
	unsafe_put_user(record->source->cookie, &event->cookie, fault);
	unsafe_put_user(record->version, &event->version, fault);
	unsafe_put_user(value->time, &event->time, fault);
	unsafe_put_user(value->len, &event->value_len, fault);
	unsafe_put_user(key_len, &event->key_len, fault);
	unsafe_put_user(record->flags, &event->flags, fault);
	unsafe_put_user(value->tgid, &event->tgid, fault);
	unsafe_put_user(__kuid_val(value->uid), &event->uid, fault);
	to += sizeof(*event);
	if (!unsafe_copy_out(to, piece, len & ~7U))
		return 0;
	if (len & 7) {
		for (i = len & ~7U; i < len; i++)
			rest |= (u64)piece[i] << (8 * (i & 7));
		unsafe_put_user(cpu_to_le64(rest), (__le64 __user *)(to + (len & ~7U)), fault);
	}
	return size;
fault:
	return 0;
}

/*
 * Copies the simple ones that are next, to a buffer of @room bytes. Returns how many;
 * adds up their sizes.
 */
static int copy_simple(const struct metastore_record *records, int nr, u8 __user *to,
		       size_t room, size_t *copied)
{
	size_t size, sum = 0;
	int i;

	might_fault();
	if (should_fail_usercopy() || !user_write_access_begin(to, room))
		return 0;
	for (i = 0; i < nr && is_simple(&records[i]); i++) {
		size = unsafe_copy_simple(&records[i], to + sum);
		if (!size)
			break;
		sum += size;
	}
	user_write_access_end();
	*copied = sum;
	return i;
}

/**
 * metastore_events_copy - copy records out
 * @records:	the records, with references to their values
 * @nr:		their number
 * @to:		where to; has room for them
 *
 * Context: may sleep.
 * Return: how many were copied before the buffer turned out to be bad.
 */
int metastore_events_copy(const struct metastore_record *records, int nr,
			  struct iov_iter *to)
{
	/* In that one users are known as they are to the kernel. */
	bool simple = iter_is_ubuf(to) && current_user_ns() == &init_user_ns;
	size_t copied;
	int i = 0;

	while (i < nr) {
		if (simple && is_simple(&records[i])) {
			copied = 0;
			i += copy_simple(records + i, nr - i, to->ubuf + to->iov_offset,
					 iov_iter_count(to), &copied);
			iov_iter_advance(to, copied);
			if (!copied)
				break;
		} else if (copy_any(&records[i], to)) {
			i++;
		} else {
			break;
		}
	}
	return i;
}
