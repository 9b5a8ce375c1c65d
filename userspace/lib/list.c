// SPDX-License-Identifier: LGPL-2.1-or-later
/* A list of keys, perhaps with values: hides the kernel's cursor and the buffer it fills. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

#define FIRST_BYTES	65536

/* Header of the first version; a newer module may put more before the key. */
#define HEADER_MIN	24

/* With values, likewise. */
#define VALUE_HEADER_MIN	(HEADER_MIN + sizeof(struct metastore_list_details))

/**
 * struct mstore_list - cursor over keys
 * @store:	store of the keys
 * @bucket:	bucket of the keys
 * @values:	the list has values
 * @prefix_len:	length of @prefix
 * @cursor_len:	length of @cursor
 * @prefix:	prefix of the keys
 * @cursor:	last key of the previous buffer, after which the kernel continues
 * @entry:	current entry, NULL: none
 * @next:	entry after @entry
 * @end:	end of the filled part of @buffer
 * @buffer:	entries, each aligned to 8 bytes
 * @size:	size of @buffer in bytes
 */
struct mstore_list {
	struct mstore *store;
	int bucket;
	bool values;
	uint32_t prefix_len;
	uint32_t cursor_len;
	char prefix[MSTORE_KEY_MAX];
	char cursor[MSTORE_KEY_MAX];
	const struct metastore_list_entry *entry;
	const char *next;
	const char *end;
	char *buffer;
	size_t size;
};

static struct mstore_list *list_new(struct mstore *store, const void *prefix, size_t prefix_len,
				    int bucket, bool values)
{
	uint32_t len = length(prefix, prefix_len);
	struct mstore_list *list;

	if (len > MSTORE_KEY_MAX) {
		errno = EINVAL;
		return NULL;
	}

	list = malloc(sizeof(*list));
	if (!list)
		return NULL;
	list->buffer = malloc(FIRST_BYTES);
	if (!list->buffer) {
		free(list);
		return NULL;
	}

	list->store = store;
	list->bucket = bucket;
	list->values = values;
	list->prefix_len = len;
	if (len)
		memcpy(list->prefix, prefix, len);
	list->cursor_len = 0;
	list->entry = NULL;
	list->next = list->buffer;
	list->end = list->next;
	list->size = FIRST_BYTES;
	return list;
}

struct mstore_list *mstore_list_new(struct mstore *store, const void *prefix,
				    size_t prefix_len, int bucket)
{
	return list_new(store, prefix, prefix_len, bucket, false);
}

struct mstore_list *mstore_list_values_new(struct mstore *store, const void *prefix,
					   size_t prefix_len, int bucket)
{
	return list_new(store, prefix, prefix_len, bucket, true);
}

/* The kernel is about to overwrite the current entry. */
static void save_cursor(struct mstore_list *list)
{
	size_t len;
	const char *key;

	if (!list->entry)
		return;
	key = mstore_list_key(list, &len);
	memcpy(list->cursor, key, len);
	list->cursor_len = (uint32_t)len;
	list->entry = NULL;
}

static int malformed(void)
{
	errno = EPROTO;
	return -1;
}

/* Fill the buffer with the entries behind the cursor. Returns as refill(). */
static int fill(struct mstore_list *list)
{
	struct metastore_list answer = {
		.cursor = address(list->cursor),
		.prefix = address(list->prefix),
		.buffer = address(list->buffer),
		.cursor_len = list->cursor_len,
		.prefix_len = list->prefix_len,
		.buffer_len = capacity(list->size),
		.bucket = (uint32_t)list->bucket,
		.flags = list->values ? METASTORE_LIST_VALUES : 0,
	};

	/* Until there are new entries: there may be none. */
	list->next = list->buffer;
	list->end = list->next;
	if (ioctl(list->store->fd, METASTORE_IOC_LIST, &answer))
		return -1;
	if (!answer.entries)
		return 0;
	if (answer.buffer_len > list->size)
		return malformed();
	list->end = list->next + answer.buffer_len;
	return 1;
}

/* Whether the kernel left out a value, which it does in the first entry alone. */
static bool lacks_value(const struct mstore_list *list)
{
	const struct metastore_list_entry *entry = (const void *)list->next;

	return list->values && (size_t)(list->end - list->next) >= VALUE_HEADER_MIN &&
	       entry->flags & METASTORE_LIST_F_NO_VALUE;
}

/* Make room for the value that was left out. Returns 0, or -1. */
static int grow(struct mstore_list *list)
{
	const struct metastore_list_entry *entry = (const void *)list->next;
	size_t size = (size_t)entry->len + ((size_t)entry->value_len + 7) / 8 * 8;
	char *larger;

	list->end = list->next;
	if (size <= list->size)
		return malformed();
	larger = malloc(size);
	if (!larger)
		return -1;
	free(list->buffer);
	list->buffer = larger;
	list->size = size;
	return 0;
}

/* Returns 1, 0 when there are no more keys, or -1. A value may grow between two tries. */
static int refill(struct mstore_list *list)
{
	int ret;

	save_cursor(list);
	for (;;) {
		ret = fill(list);
		if (ret <= 0 || !lacks_value(list))
			return ret;
		if (grow(list))
			return -1;
	}
}

/* Whether an entry is consistent and fits into the space. */
static bool valid(const struct mstore_list *list, const struct metastore_list_entry *entry,
		  size_t space)
{
	size_t header = list->values ? VALUE_HEADER_MIN : HEADER_MIN;

	return space >= header && entry->len <= space && !(entry->len % 8) &&
	       entry->header_len >= header &&
	       entry->key_len >= 1 && entry->key_len <= MSTORE_KEY_MAX &&
	       (uint64_t)entry->header_len + entry->key_len +
	       (list->values ? entry->value_len : 0) <= entry->len &&
	       !(list->values && entry->flags & METASTORE_LIST_F_NO_VALUE);
}

int mstore_list_next(struct mstore_list *list)
{
	const struct metastore_list_entry *entry;
	int ret;

	if (list->next == list->end) {
		ret = refill(list);
		if (ret <= 0)
			return ret;
	}

	entry = (const void *)list->next;
	if (!valid(list, entry, (size_t)(list->end - list->next)))
		return malformed();
	list->entry = entry;
	list->next += entry->len;
	return 1;
}

const char *mstore_list_key(const struct mstore_list *list, size_t *len)
{
	if (len)
		*len = list->entry->key_len;
	return (const char *)list->entry + list->entry->header_len;
}

size_t mstore_list_value_len(const struct mstore_list *list)
{
	return list->entry->value_len;
}

uint64_t mstore_list_version(const struct mstore_list *list)
{
	return list->entry->version;
}

const char *mstore_list_value(const struct mstore_list *list, size_t *len)
{
	if (len)
		*len = list->values ? list->entry->value_len : 0;
	if (!list->values)
		return NULL;
	return (const char *)list->entry + list->entry->header_len + list->entry->key_len;
}

void mstore_list_info(const struct mstore_list *list, struct mstore_value_info *info)
{
	const struct metastore_list_details *details = (const void *)(list->entry + 1);

	*info = (struct mstore_value_info){
		.version = list->entry->version,
		.value_len = list->entry->value_len,
	};
	if (!list->values)
		return;
	info->time = details->time;
	info->ttl_ms = details->ttl;
	info->tgid = details->tgid;
	info->uid = details->uid;
	info->owner = details->owner;
}

void mstore_list_free(struct mstore_list *list)
{
	if (list)
		free(list->buffer);
	free(list);
}
