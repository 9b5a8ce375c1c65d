// SPDX-License-Identifier: GPL-2.0
/* Checks of a store at rest, and of all that a program leaves */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "fuzz.h"

#define VIEW_SIZE	(80 * 1024)	/* the longest value fits */
#define PATIENCE	(2000000000ULL * slowness) /* ns: values may still expire, files end */

static char buffer[VIEW_SIZE];

/* All keys of a store, whatever their order: how many, a sum over all of them */
struct view {
	uint64_t keys;
	uint64_t sum;
	uint64_t bytes;			/* without ties */
	uint64_t ties;			/* values with an owner or an end */
	uint64_t owned;
};

static void view_add(struct view *view, const char *key, uint32_t key_len, const char *value,
		     uint32_t value_len, uint64_t version)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ version;
	uint32_t i;

	for (i = 0; i < key_len; i++)
		hash = (hash ^ (uint8_t)key[i]) * 0x100000001b3ULL;
	for (i = 0; i < value_len; i++)
		hash = (hash ^ (uint8_t)value[i]) * 0x100000001b3ULL;
	view->keys++;
	view->sum += hash;
	view->bytes += key_len + value_len + METASTORE_VALUE_OVERHEAD;
}

static int view_list(int fd, uint32_t bucket, struct view *view)
{
	char cursor[METASTORE_KEY_MAX];
	const struct metastore_list_details *details;
	const struct metastore_list_entry *entry;
	struct metastore_list list = { .cursor = (uintptr_t)cursor, .bucket = bucket };
	uint32_t at;

	do {
		list.buffer = (uintptr_t)buffer;
		list.buffer_len = VIEW_SIZE;
		list.flags = METASTORE_LIST_VALUES;
		if (ioctl(fd, METASTORE_IOC_LIST, &list))
			return -errno;
		for (at = 0; at < list.buffer_len; at += entry->len) {
			const char *key = buffer + at;

			entry = (const void *)key;
			details = (const void *)(entry + 1);
			key += entry->header_len;
			view_add(view, key, entry->key_len, key + entry->key_len, entry->value_len,
				 entry->version);
			view->owned += !!details->owner;
			view->ties += details->owner || details->ttl;
			memcpy(cursor, key, entry->key_len);
			list.cursor_len = entry->key_len;
		}
	} while (list.entries);
	return 0;
}

static int view_read(int fd, struct view *view, bool *end)
{
	const struct metastore_event *event;
	ssize_t at, len = read(fd, buffer, VIEW_SIZE);

	if (len < 0)
		return -errno;
	for (at = 0; at < len; at += event->len) {
		event = (const void *)(buffer + at);
		if (event->type == METASTORE_EVENT_SNAPSHOT_END)
			*end = true;
		if (event->type == METASTORE_EVENT_SNAPSHOT)
			view_add(view, buffer + at + event->header_len, event->key_len,
				 buffer + at + event->header_len + event->key_len,
				 event->value_len, event->version);
	}
	return 0;
}

static int view_snapshot(int fd, struct view *view)
{
	struct metastore_open open_arg = { .open_flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC };
	struct metastore_subscribe sub = {
		.events = ALL_EVENTS,
		.flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT,
	};
	int new_fd = ioctl(fd, METASTORE_IOC_OPEN, &open_arg), ret = 0;
	bool end = false;

	if (new_fd < 0 || ioctl(new_fd, METASTORE_IOC_SUBSCRIBE, &sub))
		ret = -errno;
	while (!ret && !end)
		ret = view_read(new_fd, view, &end);
	close(new_fd);
	return ret;
}

/* Returns what two looks at the store do not agree in; empty: nothing */
static void compare_views(int fd, char *what, size_t size)
{
	struct metastore_info info = { .bucket = METASTORE_ANY_BUCKET }, one;
	struct view listed = {}, seen = {}, again = {}, parts = {};
	int ret = view_list(fd, METASTORE_ANY_BUCKET, &listed) ?:
		  view_snapshot(fd, &seen);
	uint64_t keys = 0;

	*what = '\0';
	ret = ret ?: ioctl(fd, METASTORE_IOC_INFO, &info) ? -errno : 0;
	for (one.bucket = 0; !ret && one.bucket < info.buckets; one.bucket++) {
		one.flags = 0;
		ret = ioctl(fd, METASTORE_IOC_INFO, &one) ? -errno : 0;
		keys += one.keys;
		ret = ret ?: view_list(fd, one.bucket, &parts);
	}
	ret = ret ?: view_list(fd, METASTORE_ANY_BUCKET, &again);
	if (ret)
		snprintf(what, size, "%s while looking at all", strerrorname_np(-ret));
	else if (listed.sum != seen.sum || listed.keys != seen.keys || listed.sum != again.sum)
		snprintf(what, size, "LIST finds %llu keys, a snapshot %llu, of other content",
			 (unsigned long long)listed.keys, (unsigned long long)seen.keys);
	else if (info.keys != listed.keys || keys != info.keys || parts.sum != listed.sum)
		snprintf(what, size, "INFO says %llu keys, %llu by buckets, LIST finds %llu",
			 info.keys, (unsigned long long)keys, (unsigned long long)listed.keys);
	else if (info.bytes < listed.bytes + listed.ties * METASTORE_TIE_OVERHEAD ||
		 info.bytes > listed.bytes + listed.keys * METASTORE_TIE_OVERHEAD ||
		 (info.bytes - listed.bytes) % METASTORE_TIE_OVERHEAD)
		snprintf(what, size, "INFO says %llu bytes, LIST finds %llu and %llu ties",
			 info.bytes, (unsigned long long)listed.bytes,
			 (unsigned long long)listed.ties);
}

void check_store(int fd, const char *name)
{
	char what[256];
	uint64_t end = now_ns() + PATIENCE;

	for (;;) {
		compare_views(fd, what, sizeof(what));
		if (!*what || now_ns() > end)
			break;
		usleep(2000);
	}
	if (*what)
		finding("%s at rest: %s", name, what);
}

/*
 * Finds what is left once all other files are closed, and then of a store that is flushed.
 * Both may take a moment: closed files end late, and FLUSH passes over a value that has
 * expired, which INFO counts until the timer's worker removes it.
 */
static void find_rests(int fd, char *what, size_t size)
{
	struct metastore_flush flush = { .bucket = METASTORE_ANY_BUCKET };
	struct metastore_info info = { .bucket = METASTORE_ANY_BUCKET };
	struct view view = {};

	*what = '\0';
	if (ioctl(fd, METASTORE_IOC_INFO, &info) ||
	    view_list(fd, METASTORE_ANY_BUCKET, &view)) {
		snprintf(what, size, "%s", strerrorname_np(errno));
	} else if (info.subscriptions || view.owned) {
		snprintf(what, size, "%llu subscriptions and %llu owned keys are left",
			 info.subscriptions, (unsigned long long)view.owned);
	} else if (ioctl(fd, METASTORE_IOC_FLUSH, &flush) ||
		   ioctl(fd, METASTORE_IOC_INFO, &info)) {
		snprintf(what, size, "%s", strerrorname_np(errno));
	} else if (info.keys || info.bytes) {
		snprintf(what, size, "%llu keys, %llu bytes in spite of FLUSH", info.keys,
			 info.bytes);
	}
}

void check_store_end(int fd, const char *name)
{
	char what[256];
	uint64_t end = now_ns() + PATIENCE;

	for (;;) {
		find_rests(fd, what, sizeof(what));
		if (!*what || now_ns() > end)
			break;
		usleep(2000);
	}
	if (*what)
		finding("%s after all: %s", name, what);
}

/* Reads all that waits */
static bool drain(struct lane *lane, int fd, int file)
{
	uint64_t received;
	ssize_t len;

	while ((len = read(fd, buffer, VIEW_SIZE)) > 0) {
		received = 0;
		check_events(lane, file, buffer, len, &received);
		shared->files[file].received += received;
	}
	return errno == EAGAIN;
}

/* Nobody changes anything: all that was told is read, and the books say so. */
static void check_file(struct lane *lane, int fd, int file)
{
	struct open_file *state = &shared->files[file];
	struct metastore_queue_info info = {};
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int next = -1;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (!drain(lane, fd, file) || ioctl(fd, METASTORE_IOC_QUEUE, &info))
		return;	/* write-only */
	check_queue(&info, "QUEUE at the end");
	if (state->store == STORE_DEFAULT)
		return;
	/* METASTORE_SUBSCRIBE_LATEST keeps room. */
	if (info.pending || info.len || (info.bytes && !info.subscriptions))
		finding("all is read: %llu pending, %u events, %u bytes", info.pending, info.len,
			info.bytes);
	if (ioctl(fd, FIONREAD, &next) || next || poll(&pollfd, 1, 0) > 0)
		finding("all is read, and poll() or FIONREAD say otherwise: %d", next);
	if (!shared->unsure && info.delivered != state->received)
		finding("file %d: %llu events delivered, readers got %llu", file, info.delivered,
			(unsigned long long)state->received);
	if (info.subscriptions)
		check_fdinfo_read(fd, state->resynced);
}

/* Removes what the private stores have: values, with flags subscriptions too */
static void empty(uint32_t flags)
{
	struct metastore_flush flush = {
		.bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_FLUSH_STEAL | flags,
	};

	if (ioctl(roots[STORE_ANY], METASTORE_IOC_FLUSH, &flush) ||
	    ioctl(roots[STORE_GROUPS], METASTORE_IOC_FLUSH, &flush))
		finding("FLUSH of a private store: %s", strerrorname_np(errno));
}

/* Other stores than the two have no root to empty them by. */
static bool is_at_rest(int store)
{
	return store == STORE_ANY || store == STORE_GROUPS || store == STORE_DEFAULT;
}

static void check_files(struct lane *lane)
{
	int i, file;

	for (i = 0; i < SLOTS; i++) {
		file = slots[i].file;
		if (file >= 0 && is_at_rest(shared->files[file].store))
			check_file(lane, slot_fd(i), file);
	}
}

void check_program(void)
{
	struct lane lane = { .seen = calloc(ORDER_ENTRIES, sizeof(struct seen)) };
	int i;

	check_changes();
	check_store(roots[STORE_ANY], "the private store");
	check_store(roots[STORE_GROUPS], "the groups' store");
	/* Now no value can expire. */
	empty(0);
	check_files(&lane);
	/* Every other time; else subscriptions end with their file. */
	if (shared->cookie % 2) {
		empty(METASTORE_FLUSH_SUBSCRIPTIONS);
		check_files(&lane);
	}
	for (i = 0; i < SLOTS; i++)
		if (slots[i].file >= 0)
			slot_put(i, -1, -1);
	close(sockets[0]);
	close(sockets[1]);
	check_store_end(roots[STORE_ANY], "the private store");
	check_store_end(roots[STORE_GROUPS], "the groups' store");
	free(lane.seen);
}
