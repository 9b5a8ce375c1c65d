/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_READ_H
#define METASTORE_READ_H

#include <linux/align.h>
#include <linux/types.h>

#include "store/value.h"
#include "events/ring.h"

struct iov_iter;

/**
 * metastore_record_header_size - length of what is ahead of a record's key
 * @record:	the record
 *
 * Return: bytes, a multiple of 8.
 */
static inline size_t metastore_record_header_size(const struct metastore_record *record)
{
	size_t size = sizeof(struct metastore_event);

	if (record->flags & METASTORE_EVENT_F_OWNER)
		size += sizeof(struct metastore_owner_end);
	return size;
}

/**
 * metastore_record_size - length of a record as read() returns it
 * @record:	the record
 *
 * Return: bytes, a multiple of 8.
 */
static inline size_t metastore_record_size(const struct metastore_record *record)
{
	size_t size = metastore_record_header_size(record);

	if (record->value)
		size += record->value->node.key_len;
	if (record->value && !(record->flags & METASTORE_EVENT_F_NO_VALUE))
		size += record->value->len;
	return ALIGN(size, 8);
}

int metastore_events_copy(const struct metastore_record *records, int nr,
			  struct iov_iter *to);

#endif /* METASTORE_READ_H */
