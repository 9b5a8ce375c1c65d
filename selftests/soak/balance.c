// SPDX-License-Identifier: GPL-2.0
/* The state of the store once all processes have ended. */
#include "soak.h"

static char what[128];

static const char *different(const char *name, long long got, long long want)
{
	if (got == want)
		return NULL;
	snprintf(what, sizeof(what), "%s is %lld, not %lld", name, got, want);
	return what;
}

/* A key of an owner that is gone, or NULL */
static const char *owned_key(int fd)
{
	char buffer[65536], cursor[METASTORE_KEY_MAX];
	struct metastore_list list = {
		.bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_LIST_VALUES,
		.cursor = ms_ptr(cursor),
		.buffer = ms_ptr(buffer),
	};
	const struct metastore_list_entry *entry;
	const struct metastore_list_details *details;
	__u32 pos;

	do {
		list.buffer_len = sizeof(buffer);
		if (ms_ioctl(fd, METASTORE_IOC_LIST, &list))
			return "LIST failed";
		for (pos = 0; pos < list.buffer_len; pos += entry->len) {
			entry = (void *)(buffer + pos);
			details = (void *)(entry + 1);
			list.cursor_len = entry->key_len;
			memcpy(cursor, buffer + pos + entry->header_len, entry->key_len);
			if (details->owner == METASTORE_OWNER_NONE)
				continue;
			snprintf(what, sizeof(what), "%.*s is owned", entry->key_len, cursor);
			return what;
		}
	} while (list.entries);
	return NULL;
}

static const char *counts(int fd)
{
	struct metastore_info info;
	struct metastore_flush flush;

	if (ms_info(fd, METASTORE_ANY_BUCKET, &info))
		return "INFO failed";
	if (info.subscriptions)
		return different("subscriptions", info.subscriptions, 0);
	if (ms_flush(fd, NULL, METASTORE_ANY_BUCKET, 0, &flush) ||
	    ms_info(fd, METASTORE_ANY_BUCKET, &info))
		return "FLUSH failed";
	return different("keys", info.keys, 0) ?: different("bytes", info.bytes, 0);
}

/* Returns what does not add up, or NULL. The store is empty then. */
const char *soak_imbalance(void)
{
	int fd = ms_open(O_RDWR);
	const char *wrong;

	if (fd < 0)
		return "no device";
	wrong = owned_key(fd) ?: counts(fd);
	close(fd);
	return wrong;
}
