/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_QUEUE_H
#define METASTORE_QUEUE_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "value.h"

struct metastore_queue;

/**
 * struct metastore_source - the side of a subscription that its queue knows
 * @queue:	the queue its events go to; never changes
 * @cookie:	the subscriber's number for it; never changes
 * @lost:	events lost and not yet reported
 * @pending:	records, in the queue or with a reader, that point here
 * @cancelled:	no further events come; freed with the last pending and lost
 * @lossy:	in the queue's list if @lost is not 0
 *
 * The rest is protected by the queue's lock. It is the first member of a
 * kmalloc()ed object, which outlives its subscription until the reader has been
 * told everything; the queue then frees it with kfree().
 */
struct metastore_source {
	struct metastore_queue *queue;
	u64 cookie;
	u64 lost;
	u32 pending;
	bool cancelled;
	struct list_head lossy;
};

/**
 * struct metastore_record - one record in a queue or on its way to a reader
 * @value:	body of the event, with a reference; NULL: LOST or FLUSHED
 * @source:	its subscription; NULL: FLUSHED
 * @version:	version of the change
 * @count:	of LOST and FLUSHED
 * @type:	one METASTORE_EVENT_*
 * @flags:	METASTORE_EVENT_F_*
 */
struct metastore_record {
	struct metastore_value *value;
	struct metastore_source *source;
	union {
		u64 version;
		u64 count;
	};
	u16 type;
	u16 flags;
};

/**
 * struct metastore_queue - event queue of one open file
 * @lock:	protects the rest but @readers
 * @readers:	who waits for a record
 * @ring:	@max_len records, the oldest at @head; allocated with the first
 *		subscription, since not every open file has one
 * @max_len:	how many records @ring holds; never changes
 * @max_bytes:	how many bytes the values may take; never changes
 * @head:	index of the oldest record
 * @len:	number of records
 * @min_charge:	what a waiting event counts against @max_bytes at least, so
 *		that no event displaces very many
 * @bytes:	what waiting events count, and the true size of those with
 *		readers
 * @in_flight:	the true size of those with readers
 * @lossy:	sources with events lost and not yet reported
 * @lost:	events ever lost
 * @flushed:	subscriptions flushed and not yet reported
 * @flush_at:	records ahead of that report
 */
struct metastore_queue {
	spinlock_t lock;	/* see above */
	wait_queue_head_t readers;
	struct metastore_record *ring;
	u32 max_len;
	u32 max_bytes;
	u32 head;
	u32 len;
	u32 min_charge;
	u32 bytes;
	u32 in_flight;
	struct list_head lossy;
	u64 lost;
	u64 flushed;
	u32 flush_at;
};

/**
 * struct metastore_push - an event to be queued together with others
 * @source:	its subscription
 * @event:	the event
 * @taken:	is set to whether the queue took it
 */
struct metastore_push {
	struct metastore_source *source;
	const struct metastore_record *event;
	bool taken;
};

/**
 * struct metastore_queue_stat - what show_fdinfo() tells of a queue
 * @len:	events waiting
 * @bytes:	what counts against max_bytes
 * @lost:	events ever lost
 */
struct metastore_queue_stat {
	u32 len;
	u32 bytes;
	u64 lost;
};

void metastore_queue_init(struct metastore_queue *queue, u32 max_len,
			  u32 max_bytes);
int metastore_queue_prepare(struct metastore_queue *queue);
void metastore_queue_destroy(struct metastore_queue *queue);

void metastore_source_init(struct metastore_source *source,
			   struct metastore_queue *queue, u64 cookie);
void metastore_source_cancel(struct metastore_source *source, bool flushed);

bool metastore_queue_push(struct metastore_source *source,
			  const struct metastore_record *event,
			  struct metastore_garbage *garbage);
void metastore_queue_push_group(struct metastore_queue *queue,
				struct metastore_push *pushes, u32 nr,
				struct metastore_garbage *garbage);
int metastore_queue_take(struct metastore_queue *queue,
			 struct metastore_record *records, int max, size_t room);
void metastore_queue_finish(struct metastore_queue *queue,
			    struct metastore_record *records, int nr,
			    int delivered);
size_t metastore_record_header_size(const struct metastore_record *record);
size_t metastore_record_size(const struct metastore_record *record);
size_t metastore_queue_next_size(struct metastore_queue *queue);
bool metastore_queue_has_record(struct metastore_queue *queue);
void metastore_queue_pass_on(struct metastore_queue *queue);
void metastore_queue_stat(struct metastore_queue *queue,
			  struct metastore_queue_stat *stat);

#endif /* METASTORE_QUEUE_H */
