// SPDX-License-Identifier: GPL-2.0
/*
 * The module's rows, each by ioctl() and read() and again through the library
 * (with -lib behind its name): the store that they share, and their order.
 *
 * Which bucket and which place in its chain a key gets is drawn anew with each
 * load of the module. So a batch of those that depend on it goes round BATCH keys
 * spread over the whole store; the others have the store for themselves, and come
 * first, since a bucket that once had other keys may still have their room.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "store.h"

#define DEVICE		"/dev/metastore"

int fd = -1;
struct mstore *store;
char keys[BATCH][KEY_LEN];
char new_keys[BATCH][KEY_LEN];
char missing[BATCH][KEY_LEN];
char buffer[VALUE_MAX + EVENT_SIZE];

/* How many keys the store holds, "key-" and a number each. */
static unsigned int nr_keys;

/**
 * open_device - open the store once more
 *
 * Return: a descriptor with a queue of its own; read() from it does not wait.
 */
int open_device(void)
{
	int new = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (new < 0)
		die(DEVICE);
	return new;
}

/**
 * empty_store - delete all keys
 */
void empty_store(void)
{
	struct metastore_flush args = { .bucket = METASTORE_ANY_BUCKET };

	if (ioctl(fd, METASTORE_IOC_FLUSH, &args))
		die("FLUSH");
	nr_keys = 0;
}

/**
 * choose_keys - choose keys that the store does not have
 */
void choose_keys(void)
{
	int i;

	for (i = 0; i < BATCH; i++) {
		bench_key(new_keys[i], "new-", i);
		bench_key(missing[i], "none", i);
	}
}

/**
 * open_store - open the store, empty it and choose keys, the first time
 */
void open_store(void)
{
	if (fd >= 0)
		return;
	fd = open_device();
	store = mstore_open(NULL, MSTORE_RDWR);
	if (!store)
		die("mstore_open");
	empty_store();
	choose_keys();
}

/**
 * one_key - make the store hold one key, news
 * @row:	has the size of its value
 */
void one_key(const struct row *row)
{
	open_store();
	empty_store();
	set(news, row->size);
}

/**
 * fill - make the store hold a number of keys, and choose those to be used
 * @row:	has the number; there may be one more
 */
void fill(const struct row *row)
{
	char key[KEY_LEN];
	unsigned int i;

	open_store();
	if (nr_keys > row->keys)
		empty_store();
	for (; nr_keys < row->keys; nr_keys++) {
		bench_key(key, "key-", nr_keys);
		set(key, VALUE_LEN);
	}
	for (i = 0; i < BATCH && nr_keys; i++)
		bench_key(keys[i], "key-", i * (nr_keys / BATCH));
}

/**
 * compared - a row with peers
 * @row:	the row
 * @peers:	their names; a copy is kept
 *
 * Return: a copy of the row.
 */
struct row compared(const struct row *row, const char *peers)
{
	struct row copy = *row;

	copy.peers = strdup(peers);
	return copy;
}

/**
 * add_both - add a row, and the same through the library
 * @row:	the row; its operation looks at row->library
 * @name:	its name
 */
void add_both(const struct row *row, const char *name)
{
	struct row library = compared(row, name);

	row_add(row, "%s", name);
	library.library = true;
	row_add(&library, "%s-lib", name);
}

/**
 * metastore_rows - rows of the module and of its library
 */
void metastore_rows(void)
{
	one_key_rows();
	publish_rows();
	bystander_rows();
	read_rows();
	ring_rows();
	snapshot_rows();
	private_rows();
	key_rows();
	batch_rows();
	flood_rows();
	mapped_rows();
}

/* What the kernel has allocated for itself, with what it could not make use of. */
static double kernel_memory(void)
{
	double kib, sum = 0;
	char line[128];
	FILE *file;

	pause_ms(10000);
	file = fopen("/proc/meminfo", "r");
	if (!file)
		die("/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %lf", &kib) == 1 ||
		    sscanf(line, "VmallocUsed: %lf", &kib) == 1)
			sum += kib;
	fclose(file);
	return sum * 1024;
}

static double memory(const struct row *row)
{
	double before;

	open_store();
	before = kernel_memory();
	fill(row);
	return (kernel_memory() - before) / 1e6;
}

/**
 * metastore_memory_rows - row of the memory that a million keys take
 *
 * To be measured before the store holds any.
 */
void metastore_memory_rows(void)
{
	const struct row row = {
		.peers = "memory-1M-redis",
		.amount = memory,
		.unit = "MB",
		.keys = 1000 * BATCH,
	};

	row_add(&row, "memory-1M");
}
