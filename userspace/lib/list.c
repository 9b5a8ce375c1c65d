// SPDX-License-Identifier: LGPL-2.1-or-later
/* A list of keys: hides the kernel's cursor and the buffer that it fills. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

#define BUFFER_BYTES	65536

/* Header of the first version; a newer module may put more before the key. */
#define HEADER_MIN	24

/**
 * struct mstore_list - cursor over keys
 * @store:	store of the keys
 * @bucket:	bucket of the keys
 * @prefix_len:	length of @prefix
 * @cursor_len:	length of @cursor
 * @prefix:	prefix of the keys
 * @cursor:	last key of the previous buffer, after which the kernel continues
 * @entry:	current entry, NULL: none
 * @next:	entry after @entry
 * @end:	end of the filled part of @buffer
 * @buffer:	entries, each aligned to 8 bytes
 */
struct mstore_list {
	struct mstore *store;
	int bucket;
	uint32_t prefix_len;
	uint32_t cursor_len;
	char prefix[MSTORE_KEY_MAX];
	char cursor[MSTORE_KEY_MAX];
	const struct metastore_list_entry *entry;
	const char *next;
	const char *end;
	uint64_t buffer[BUFFER_BYTES / sizeof(uint64_t)];
};

struct mstore_list *mstore_list_new(struct mstore *store, const void *prefix,
				    size_t prefix_len, int bucket)
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

	list->store = store;
	list->bucket = bucket;
	list->prefix_len = len;
	if (len)
		memcpy(list->prefix, prefix, len);
	list->cursor_len = 0;
	list->entry = NULL;
	list->next = (const char *)list->buffer;
	list->end = list->next;
	return list;
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

/* Returns 1, 0 when there are no more keys, or -1. */
static int refill(struct mstore_list *list)
{
	struct metastore_list answer = {
		.cursor = address(list->cursor),
		.prefix = address(list->prefix),
		.buffer = address(list->buffer),
		.prefix_len = list->prefix_len,
		.buffer_len = sizeof(list->buffer),
		.bucket = (uint32_t)list->bucket,
	};

	save_cursor(list);
	answer.cursor_len = list->cursor_len;
	if (ioctl(list->store->fd, METASTORE_IOC_LIST, &answer))
		return -1;
	if (!answer.entries)
		return 0;
	if (answer.buffer_len > sizeof(list->buffer)) {
		errno = EPROTO;
		return -1;
	}
	list->next = (const char *)list->buffer;
	list->end = list->next + answer.buffer_len;
	return 1;
}

/* Whether an entry is consistent and fits into the space. */
static bool valid(const struct metastore_list_entry *entry, size_t space)
{
	return space >= HEADER_MIN && entry->len <= space &&
	       !(entry->len % 8) && entry->header_len >= HEADER_MIN &&
	       entry->key_len >= 1 && entry->key_len <= MSTORE_KEY_MAX &&
	       (uint32_t)entry->header_len + entry->key_len <= entry->len;
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
	if (!valid(entry, (size_t)(list->end - list->next))) {
		errno = EPROTO;
		return -1;
	}
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

void mstore_list_free(struct mstore_list *list)
{
	free(list);
}
