// SPDX-License-Identifier: GPL-2.0
/*
 * A dashboard: a table of all keys with a prefix, redrawn after changes.
 *
 *	cc dashboard.c $(pkg-config --cflags --libs metastore)
 *	./a.out sensor/
 *
 * Only the newest value of each key waits. So the table is current, even if values
 * change faster than it is drawn.
 */
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MAX	100

struct row {
	char key[MSTORE_KEY_MAX + 1];
	char value[64];
};

static struct row rows[ROWS_MAX];
static int row_count;

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->key, ((const struct row *)b)->key);
}

static struct row *find(const char *key)
{
	for (int i = 0; i < row_count; i++)
		if (!strcmp(rows[i].key, key))
			return &rows[i];
	return NULL;
}

static void set(const char *key, const struct mstore_event *event)
{
	struct row *row = find(key);
	const char *value;
	size_t len;

	if (!row && row_count == ROWS_MAX)
		return;
	if (!row)
		row = &rows[row_count++];
	value = mstore_event_value(event, &len);
	snprintf(row->key, sizeof(row->key), "%s", key);
	snprintf(row->value, sizeof(row->value), "%.*s", (int)len, value);
}

static void delete(const char *key)
{
	struct row *row = find(key);

	if (row)
		*row = rows[--row_count];
}

static void handle(const struct mstore_event *event)
{
	char key[MSTORE_KEY_MAX + 1];
	const char *bytes;
	size_t len;

	bytes = mstore_event_key(event, &len);
	snprintf(key, sizeof(key), "%.*s", (int)len, bytes);
	switch (mstore_event_type(event)) {
	case MSTORE_EVENT_SNAPSHOT:
	case MSTORE_EVENT_SET:
	case MSTORE_EVENT_PUBLISHED:
		set(key, event);
		break;
	case MSTORE_EVENT_DELETED:
		delete(key);
		break;
	case MSTORE_EVENT_LOST:
	case MSTORE_EVENT_FLUSHED:
		fprintf(stderr, "events were lost or flushed: the table is incomplete\n");
		exit(1);
	}
}

static void draw(void)
{
	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	qsort(rows, row_count, sizeof(*rows), compare);
	for (int i = 0; i < row_count; i++)
		printf("%-30s %s\n", rows[i].key, rows[i].value);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct mstore_subscribe_options options = {
		.flags = MSTORE_SUBSCRIBE_PREFIX | MSTORE_SUBSCRIBE_SNAPSHOT |
			 MSTORE_SUBSCRIBE_LATEST,
		.events = MSTORE_EVENT_SET | MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_DELETED,
	};
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	struct mstore_event_buffer *events = mstore_event_buffer_new(0);
	const struct mstore_event *event;

	if (!store || !events ||
	    mstore_subscribe_with(store, argc > 1 ? argv[1] : "", MSTORE_STRLEN, &options)) {
		perror("metastore");
		return 1;
	}
	while (mstore_read_events(store, events) > 0) {
		event = NULL;
		while ((event = mstore_event_next(events, event)))
			handle(event);
		draw();
	}
	perror("metastore");
	return 1;
}
