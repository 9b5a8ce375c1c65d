// SPDX-License-Identifier: GPL-2.0
/*
 * read(): what waits in a queue, as a reader gets it.
 */
#include <linux/align.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "base/usercopy.h"
#include "events/queue.h"
#include "ops/file.h"
#include "ops/ops.h"
#include "api/api.h"

/* Records taken from the queue under one hold of its lock: 512 B of stack. */
#define READ_BATCH	16

static void read_fill_header(struct metastore_event *event,
			     const struct metastore_record *record)
{
	const struct metastore_value *value = record->value;

	event->len = metastore_record_size(record);
	event->header_len = metastore_record_header_size(record);
	event->type = record->type;
	event->cookie = record->sub ? record->sub->cookie : 0;
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

static bool read_put_bytes(const void *bytes, size_t len, struct iov_iter *to)
{
	return copy_to_iter(bytes, len, to) == len;
}

static bool read_put_owner_end(const struct metastore_record *record, struct iov_iter *to)
{
	const struct metastore_owner_end *end;

	if (!(record->flags & METASTORE_EVENT_F_OWNER))
		return true;
	end = &metastore_tie_of(record->value)->end;
	return read_put_bytes(end, sizeof(*end), to);
}

static bool read_put_any(const struct metastore_record *record,
			 const struct metastore_event *event, struct iov_iter *to)
{
	static const u8 zeros[8];
	size_t rest = event->len - event->header_len - event->key_len - event->value_len;

	if (!read_put_bytes(event, sizeof(*event), to))
		return false;
	return !record->value ||
	       (read_put_owner_end(record, to) &&
		metastore_value_to_iter(record->value, event->value_len, to) &&
		read_put_bytes(zeros, rest, to));
}

/* Any record, to anywhere; nothing of it if not all. */
static bool read_copy_any(const struct metastore_record *record, struct iov_iter *to)
{
	size_t room = iov_iter_count(to);
	struct metastore_event event;

	read_fill_header(&event, record);
	if (read_put_any(record, &event, to))
		return true;
	iov_iter_revert(to, room - iov_iter_count(to));
	return false;
}

/* Is it an event of a value in one piece, with nothing that few have? */
static bool read_is_simple(const struct metastore_record *record)
{
	return !(record->flags & (METASTORE_EVENT_F_OWNER | METASTORE_EVENT_F_NO_VALUE)) &&
	       record->value && metastore_value_is_piece(record->value);
}

/*
 * Copies a simple event to a plain buffer, between user_write_access_begin() and _end().
 * All reads are within the value's piece: it is as long as key and value. Returns how
 * many bytes that was, 0 at a fault.
 */
static __always_inline size_t read_copy_simple_unsafe(const struct metastore_record *record,
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
	unsafe_put_user(record->sub->cookie, &event->cookie, fault);
	unsafe_put_user(record->version, &event->version, fault);
	unsafe_put_user(value->time, &event->time, fault);
	unsafe_put_user(value->len, &event->value_len, fault);
	unsafe_put_user(key_len, &event->key_len, fault);
	unsafe_put_user(record->flags, &event->flags, fault);
	unsafe_put_user(value->tgid, &event->tgid, fault);
	unsafe_put_user(__kuid_val(value->uid), &event->uid, fault);
	to += sizeof(*event);
	if (!metastore_unsafe_copy_out(to, piece, len & ~7U))
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
static int read_copy_simple(const struct metastore_record *records, int nr, u8 __user *to,
			    size_t room, size_t *copied)
{
	size_t size, sum = 0;
	int i;

	might_fault();
	if (should_fail_usercopy() || !user_write_access_begin(to, room))
		return 0;
	for (i = 0; i < nr && read_is_simple(&records[i]); i++) {
		size = read_copy_simple_unsafe(&records[i], to + sum);
		if (!size)
			break;
		sum += size;
	}
	user_write_access_end();
	*copied = sum;
	return i;
}

/* Copies records out. Returns how many before the buffer turned out to be bad. */
static int read_copy_records(const struct metastore_record *records, int nr,
			     struct iov_iter *to)
{
	/* In that one users are known as they are to the kernel. */
	bool simple = iter_is_ubuf(to) && current_user_ns() == &init_user_ns;
	size_t copied;
	int i = 0;

	while (i < nr) {
		if (simple && read_is_simple(&records[i])) {
			copied = 0;
			i += read_copy_simple(records + i, nr - i, to->ubuf + to->iov_offset,
					      iov_iter_count(to), &copied);
			iov_iter_advance(to, copied);
			if (!copied)
				break;
		} else if (read_copy_any(&records[i], to)) {
			i++;
		} else {
			break;
		}
	}
	return i;
}

/*
 * Reads up to a batch of records. Returns how many; 0: none; or an error, which
 * may come after some were read. Sets @more, if any were, to whether there are more.
 */
static int read_batch(struct metastore_queue *queue, struct iov_iter *to, bool *more)
{
	struct metastore_record records[READ_BATCH] __uninitialized;
	int nr, copied;

	nr = metastore_queue_take(queue, records, READ_BATCH, iov_iter_count(to)) ?:
	     metastore_snapshot_take(queue, records, READ_BATCH, iov_iter_count(to));
	if (nr <= 0)
		return nr;
	copied = read_copy_records(records, nr, to);
	*more = metastore_queue_finish(queue, records, nr, copied);
	return copied == nr ? nr : -EFAULT;
}

/* Returns bytes copied; 0: nothing there; or an error if nothing was copied. */
static ssize_t read_some(struct metastore_queue *queue, struct iov_iter *to)
{
	size_t count = iov_iter_count(to), copied;
	bool more;
	int ret;

	do {
		ret = read_batch(queue, to, &more);
		cond_resched();
	} while (ret > 0 && more && !signal_pending(current));
	copied = count - iov_iter_count(to);
	return copied ?: ret;
}

static int read_wait_for_record(struct metastore_queue *queue)
{
	return wait_event_interruptible_exclusive(queue->readers,
						  metastore_queue_has_record(queue));
}

/**
 * metastore_read_iter - the device's read_iter
 * @iocb:	says which open file, and whether it may be waited
 * @to:		where to
 *
 * Context: may sleep.
 * Return: bytes, or what uapi/linux/metastore.h says of read().
 */
ssize_t metastore_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *filp = iocb->ki_filp;
	struct metastore_file *file = filp->private_data;
	struct metastore_queue *queue = &file->queue;
	bool may_wait = !(filp->f_flags & O_NONBLOCK) &&
			!(iocb->ki_flags & IOCB_NOWAIT);
	ssize_t copied;
	int err;

	if (!iov_iter_count(to))
		return 0;
	for (;;) {
		copied = read_some(queue, to);
		if (copied)
			break;
		if (!may_wait) {
			/* A snapshot may have ended whose turn it was. */
			if (metastore_queue_has_record(queue) && !signal_pending(current))
				continue;
			return -EAGAIN;
		}
		err = read_wait_for_record(queue);
		if (err)
			return err;
	}
	/* This reader may have been woken for what it leaves. */
	metastore_queue_pass_on(queue);
	return copied;
}

/**
 * metastore_read_size - length of the next record
 * @queue:	the queue
 *
 * Context: may sleep.
 * Return: bytes; 0 if there is none.
 */
size_t metastore_read_size(struct metastore_queue *queue)
{
	return metastore_queue_next_size(queue) ?: metastore_snapshot_next_size(queue);
}
