// SPDX-License-Identifier: GPL-2.0
/*
 * read(): copy the records of a queue to a reader.
 *
 * Records are taken from the queue in batches and copied without its lock. Events that
 * the reader did not get count as lost.
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
#include "ops/retire.h"
#include "api/api.h"

/* Records taken from the queue in one critical section: 512 bytes of stack. */
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
	event->tgid = metastore_value_tgid(value);
	event->uid = from_kuid_munged(current_user_ns(), value->uid);
}

static bool read_put_bytes(const void *bytes, size_t len, struct iov_iter *to)
{
	return copy_to_iter(bytes, len, to) == len;
}

static bool read_put_owner_end(const struct metastore_record *record, struct iov_iter *to)
{
	const struct metastore_tie *tie;
	struct metastore_owner_end end;

	if (!(record->flags & METASTORE_EVENT_F_OWNER))
		return true;
	tie = metastore_tie_of(record->value);
	end = tie->end;
	end.tgid = metastore_tie_holder(tie);
	return read_put_bytes(&end, sizeof(end), to);
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

/* Copy any record to any buffer. After a fault @to is reverted. */
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

/* Check that a record is an event of an inline value and needs no special treatment. */
static bool read_is_simple(const struct metastore_record *record)
{
	return !(record->flags & (METASTORE_EVENT_F_OWNER | METASTORE_EVENT_F_NO_VALUE)) &&
	       record->value && metastore_value_is_piece(record->value);
}

/*
 * Copy a simple event to a plain buffer, between user_write_access_begin() and _end().
 * Key and value are contiguous, so all reads stay within the value's allocation. Returns
 * the number of bytes, 0 after a fault.
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
	unsafe_put_user(metastore_value_writer(value), &event->tgid, fault);
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
 * Copy the simple events at the start of @records to a buffer of @room bytes. Returns
 * their number and sets @copied to their bytes.
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

/* Copy records out. Returns the number copied before a fault. */
static int read_copy_records(const struct metastore_record *records, int nr,
			     struct iov_iter *to)
{
	/*
	 * In the initial namespaces neither a uid nor a process needs translation. The length
	 * of each record is a multiple of 8, so one that fits words is followed by such.
	 */
	bool simple = iter_is_ubuf(to) && current_user_ns() == &init_user_ns &&
		      metastore_in_init_pid_ns() && metastore_fits_words(to->ubuf + to->iov_offset);
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
 * Read up to a batch of records. Returns their number, 0 if none waits, or an error.
 * -EFAULT may follow a partial copy. If records were taken, sets @more to whether more wait.
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

/* Returns the bytes copied; if there are none, 0 if no record waits, or an error. */
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

/*
 * Enters @readers before it looks for a record. Pairs with queue_wake() and
 * metastore_queue_hang_up().
 */
static int read_wait_for_record(struct metastore_file *file)
{
	struct metastore_queue *queue = &file->queue;

	return wait_event_interruptible_exclusive(queue->readers,
						  metastore_queue_may_have_record(queue) ||
						  metastore_is_retired(file));
}

/* All records that waited when the module was retired have been read. */
static int read_hang_up(struct metastore_queue *queue)
{
	metastore_queue_hang_up(queue);
	return -ENODEV;
}

/**
 * metastore_read_iter() - Implement read_iter of the device
 * @iocb:	names the open file, and tells with IOCB_NOWAIT not to wait
 * @to:		destination
 *
 * Context: Process context, may sleep.
 * Return: number of bytes, or an error of read() in uapi/linux/metastore.h.
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
		if (metastore_is_retired(file) && !metastore_queue_has_record(queue))
			return read_hang_up(queue);
		if (!may_wait) {
			/* The snapshot that was next may have ended: look again. */
			if (metastore_queue_has_record(queue) && !signal_pending(current))
				continue;
			return -EAGAIN;
		}
		err = read_wait_for_record(file);
		if (err)
			return err;
	}
	/* It may have consumed the wake-up for the records it leaves. */
	metastore_queue_pass_on(queue);
	return copied;
}

/**
 * metastore_read_size() - Tell the length of the next record
 * @queue:	the queue
 *
 * Context: Process context, may sleep.
 * Return: bytes; 0 if no record waits.
 */
size_t metastore_read_size(struct metastore_queue *queue)
{
	return metastore_queue_next_size(queue) ?: metastore_snapshot_next_size(queue);
}
