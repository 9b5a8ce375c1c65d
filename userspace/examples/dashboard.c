// SPDX-License-Identifier: GPL-2.0
/*
 * A dashboard: a table of all keys with a prefix, redrawn after changes.
 *
 *	cc dashboard.c $(pkg-config --cflags --libs metastore)
 *	./a.out sensor/
 *
 * Only the newest value of each key waits. So the table is current, even if values
 * change faster than it is drawn. A follower recovers from lost events by itself, and
 * tells the keys that were deleted meanwhile.
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

static void set(const char *key, const struct mstore_follow *follow)
{
	struct row *row = find(key);
	const char *value;
	size_t len;

	if (!row && row_count == ROWS_MAX)
		return;
	if (!row)
		row = &rows[row_count++];
	value = mstore_follow_value(follow, &len);
	snprintf(row->key, sizeof(row->key), "%s", key);
	snprintf(row->value, sizeof(row->value), "%.*s", (int)len, value);
}

static void delete(const char *key)
{
	struct row *row = find(key);

	if (row)
		*row = rows[--row_count];
}

static void handle(const struct mstore_follow *follow, int type)
{
	char key[MSTORE_KEY_MAX + 1];
	const char *bytes;
	size_t len;

	bytes = mstore_follow_key(follow, &len);
	snprintf(key, sizeof(key), "%.*s", (int)len, bytes ? bytes : "");
	switch (type) {
	case MSTORE_FOLLOW_VALUE:
		set(key, follow);
		break;
	case MSTORE_FOLLOW_DELETED:
		delete(key);
		break;
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
	struct mstore *store = mstore_open(NULL, MSTORE_READ);
	struct mstore_follow *follow = store ? mstore_follow_new(store, NULL) : NULL;
	int type;

	if (!follow || mstore_follow_add(follow, argc > 1 ? argv[1] : "", MSTORE_STRLEN,
					 MSTORE_SUBSCRIBE_PREFIX)) {
		perror("metastore");
		return 1;
	}
	while ((type = mstore_follow_next(follow, -1)) > 0) {
		/* Draw once for all that has come. */
		do {
			handle(follow, type);
			type = mstore_follow_next(follow, 0);
		} while (type > 0);
		if (type < 0)
			break;
		draw();
	}
	perror("metastore");
	return 1;
}
