// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Events. They stay in the buffer as the kernel wrote them. Each read is validated
 * as a whole, so the functions that walk the buffer need no checks.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "internal.h"

#define DEFAULT_CAPACITY	65536

/* Header of the first version; a newer module may put more before the key. */
#define HEADER_MIN		48

ASSERT_SAME(EVENT_PUBLISHED);
ASSERT_SAME(EVENT_SET);
ASSERT_SAME(EVENT_DELETED);
ASSERT_SAME(EVENT_SNAPSHOT);
ASSERT_SAME(EVENT_SNAPSHOT_END);
ASSERT_SAME(EVENT_LOST);
ASSERT_SAME(EVENT_FLUSHED);
ASSERT_SAME(EVENT_F_FLUSH);
ASSERT_SAME(EVENT_F_EXPIRED);
ASSERT_SAME(EVENT_F_OWNER);
ASSERT_SAME(EVENT_F_STOLEN);
ASSERT_SAME(EVENT_F_MORE);
ASSERT_SAME(EVENT_F_NO_VALUE);
ASSERT_SAME(END_CLOSED);
ASSERT_SAME(END_EXITED);
ASSERT_SAME(END_KILLED);

/**
 * struct mstore_event_buffer - memory for events
 * @bytes:	memory
 * @capacity:	size of @bytes
 * @used:	bytes that hold events, all of them valid
 */
struct mstore_event_buffer {
	char *bytes;
	size_t capacity;
	size_t used;
};

struct mstore_event {
	struct metastore_event record;
};

struct mstore_event_buffer *mstore_event_buffer_new(size_t capacity)
{
	struct mstore_event_buffer *buffer = malloc(sizeof(*buffer));

	if (!buffer)
		return NULL;

	buffer->used = 0;
	buffer->capacity = capacity ? capacity : DEFAULT_CAPACITY;
	buffer->bytes = malloc(buffer->capacity);
	if (!buffer->bytes) {
		free(buffer);
		return NULL;
	}
	return buffer;
}

void mstore_event_buffer_free(struct mstore_event_buffer *buffer)
{
	if (!buffer)
		return;
	free(buffer->bytes);
	free(buffer);
}

/* Makes room for the next event. Another reader may have taken it meanwhile. */
static int grow(struct mstore *store, struct mstore_event_buffer *buffer)
{
	char *bytes;
	int next;

	if (ioctl(store->fd, FIONREAD, &next))
		return -1;
	if (next < 0 || (size_t)next <= buffer->capacity)
		return 0;

	bytes = malloc((size_t)next);
	if (!bytes)
		return -1;
	free(buffer->bytes);
	buffer->bytes = bytes;
	buffer->capacity = (size_t)next;
	return 0;
}

/* Where there is an owner's end it follows the header of the first version. */
static size_t header_min(const struct metastore_event *record)
{
	if (record->flags & METASTORE_EVENT_F_OWNER)
		return HEADER_MIN + sizeof(struct metastore_owner_end);
	return HEADER_MIN;
}

/* Whether a record is consistent and fits into @space. */
static bool valid(const struct metastore_event *record, size_t space)
{
	return space >= HEADER_MIN && record->len <= space &&
	       !(record->len % 8) && record->header_len >= header_min(record) &&
	       (uint64_t)record->header_len + record->key_len +
	       record->value_len <= record->len;
}

/* Returns the number of records in @len bytes, 0 if one is malformed. */
static int count_records(const char *bytes, size_t len)
{
	const struct metastore_event *record;
	int records = 0;

	for (; len; len -= record->len, bytes += record->len) {
		record = (const void *)bytes;
		if (!valid(record, len))
			return 0;
		records++;
	}
	return records;
}

int mstore_read_events(struct mstore *store,
		       struct mstore_event_buffer *buffer)
{
	ssize_t len;
	int events;

	buffer->used = 0;
	if (store->ring.producer) {
		events = mstore_ring_read(&store->ring, store->fd, buffer->bytes, buffer->capacity,
					  &buffer->used);
		if (events)
			return events;
		buffer->used = 0;
	}
	while ((len = read(store->fd, buffer->bytes, buffer->capacity)) < 0) {
		if (errno != EMSGSIZE || grow(store, buffer))
			return -1;
	}

	events = count_records(buffer->bytes, (size_t)len);
	if (!events) {
		errno = EPROTO;
		return -1;
	}
	buffer->used = (size_t)len;
	return events;
}

const struct mstore_event *
mstore_event_next(const struct mstore_event_buffer *buffer,
		  const struct mstore_event *event)
{
	const char *next = buffer->bytes;

	if (event)
		next = (const char *)event + event->record.len;
	if (next == buffer->bytes + buffer->used)
		return NULL;
	return (const void *)next;
}

int mstore_event_type(const struct mstore_event *event)
{
	return event->record.type;
}

int mstore_event_flags(const struct mstore_event *event)
{
	return event->record.flags;
}

uint64_t mstore_event_cookie(const struct mstore_event *event)
{
	return event->record.cookie;
}

const char *mstore_event_key(const struct mstore_event *event, size_t *len)
{
	if (len)
		*len = event->record.key_len;
	return (const char *)event + event->record.header_len;
}

const char *mstore_event_value(const struct mstore_event *event, size_t *len)
{
	if (len)
		*len = event->record.value_len;
	return mstore_event_key(event, NULL) + event->record.key_len;
}

/* LOST and FLUSHED have a count where others have a version. */
static bool has_count(const struct mstore_event *event)
{
	return event->record.type &
	       (METASTORE_EVENT_LOST | METASTORE_EVENT_FLUSHED);
}

uint64_t mstore_event_version(const struct mstore_event *event)
{
	return has_count(event) ? 0 : event->record.version;
}

uint64_t mstore_event_count(const struct mstore_event *event)
{
	return has_count(event) ? event->record.count : 0;
}

uint64_t mstore_event_time(const struct mstore_event *event)
{
	return event->record.time;
}

int32_t mstore_event_tgid(const struct mstore_event *event)
{
	return event->record.tgid;
}

uint32_t mstore_event_uid(const struct mstore_event *event)
{
	return event->record.uid;
}

int mstore_event_end(const struct mstore_event *event, int32_t *tgid,
		     int *code)
{
	const struct metastore_owner_end *end;

	if (!(event->record.flags & METASTORE_EVENT_F_OWNER))
		return -1;

	end = (const void *)((const char *)event + HEADER_MIN);
	if (tgid)
		*tgid = end->tgid;
	if (code)
		*code = end->code;
	return end->how;
}
