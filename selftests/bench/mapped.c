// SPDX-License-Identifier: GPL-2.0
/*
 * A mapped store: values read without a system call, and what writing costs more for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <linux/metastore_map.h>

#include "store.h"

static struct metastore_map map;
static size_t map_size;
static struct metastore_map_found places[BATCH];
static uint32_t hashes[BATCH];
static int plain_fd = -1;
static struct mstore *plain_store;

static void map_store(void)
{
	const struct metastore_map_header *header;
	void *base = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, METASTORE_MAP_STORE);

	if (base == MAP_FAILED)
		die("mmap");
	header = base;
	map_size = header->limit;
	munmap(base, 4096);
	base = mmap(NULL, map_size, PROT_READ, MAP_SHARED, fd, METASTORE_MAP_STORE);
	if (base == MAP_FAILED || metastore_map_init(&map, base, map_size))
		die("mmap of all");
}

/* A private store that is mapped, with row->keys keys */
static void fill_mapped(const struct row *row)
{
	struct metastore_create args = {
		.flags = METASTORE_CREATE_MAPPED,
		.open_flags = O_RDWR | O_CLOEXEC,
	};

	open_store();
	empty_store();
	plain_fd = fd;
	fd = ioctl(plain_fd, METASTORE_IOC_CREATE, &args);
	if (fd < 0)
		die("CREATE");
	fill(row);
	map_store();
}

static void end_mapped(const struct row *row)
{
	(void)row;
	munmap((void *)map.base, map_size);
	close(fd);
	fd = plain_fd;
	empty_store();
}

/* The same, which the library has mapped */
static void fill_mapped_lib(const struct row *row)
{
	open_store();
	empty_store();
	plain_fd = fd;
	plain_store = store;
	store = mstore_create(plain_store, NULL, MSTORE_RDWR | MSTORE_MAPPED);
	if (!store)
		die("mstore_create");
	fd = mstore_fd(store);
	fill(row);
	if (mstore_map(store))
		die("mstore_map");
}

static void end_mapped_lib(const struct row *row)
{
	(void)row;
	mstore_close(store);
	store = plain_store;
	fd = plain_fd;
	empty_store();
}

/* The store of the device, where it is loaded with mapped=1 */
static void fill_device(const struct row *row)
{
	fill(row);
	map_store();
}

static void unmap_device(const struct row *row)
{
	(void)row;
	munmap((void *)map.base, map_size);
}

static void run_mapped_get(const struct row *row, unsigned int n)
{
	struct metastore_map_found found;
	unsigned int i;

	for (; n; n -= BATCH)
		for (i = BATCH; i--;)
			if (metastore_map_get(&map, keys[i], KEY_LEN, buffer, row->size, &found))
				die("metastore_map_get");
}

static void run_mapped_get_lib(const struct row *row, unsigned int n)
{
	unsigned int i;

	for (; n; n -= BATCH)
		for (i = BATCH; i--;)
			lib_get(keys[i], row->size);
}

static void run_mapped_miss(const struct row *row, unsigned int n)
{
	struct metastore_map_found found;
	unsigned int i;

	for (; n; n -= BATCH)
		for (i = BATCH; i--;)
			if (metastore_map_get(&map, missing[i], KEY_LEN, buffer, row->size,
					      &found) != METASTORE_MAP_MISS)
				die("metastore_map_get found what is not there");
}

static void find_places(const struct row *row, unsigned int n)
{
	while (n--) {
		hashes[n] = metastore_map_hash(keys[n], KEY_LEN, map.seed);
		if (metastore_map_get(&map, keys[n], KEY_LEN, buffer, row->size, &places[n]))
			die("metastore_map_get");
	}
}

static void run_mapped_again(const struct row *row, unsigned int n)
{
	while (n--)
		if (metastore_map_get_at(&map, hashes[n], keys[n], KEY_LEN, buffer, row->size,
					 &places[n]))
			die("metastore_map_get_at");
}

static void run_mapped_set(const struct row *row, unsigned int n)
{
	while (n--)
		set(keys[n], row->size);
}

static void run_mapped_set_new(const struct row *row, unsigned int n)
{
	while (n--)
		set(new_keys[n], row->size);
}

static void run_mapped_delete(const struct row *row, unsigned int n)
{
	(void)row;
	while (n--)
		delete(new_keys[n]);
}

static void delete_mapped(const struct row *row, unsigned int n)
{
	struct metastore_delete args = { .key_len = KEY_LEN };

	(void)row;
	while (n--) {
		args.key = address(new_keys[n]);
		if (ioctl(fd, METASTORE_IOC_DELETE, &args) && errno != ENOENT)
			die("DELETE");
	}
}

/**
 * mapped_rows - rows of a mapped store
 */
void mapped_rows(void)
{
	struct row table[] = {
		{ "mapped-get", "get", .run = run_mapped_get, .batch = LONG_BATCH },
		{ "mapped-get-lib", "mapped-get", .run = run_mapped_get_lib,
		  .batch = LONG_BATCH, .library = true },
		{ "mapped-get-miss", "get-miss", .run = run_mapped_miss, .batch = LONG_BATCH },
		{ "mapped-get-again", "get", .prepare = find_places, .run = run_mapped_again },
		{ "mapped-set", "set-private,set", .run = run_mapped_set },
		{ "mapped-set-new", "set-new", .prepare = delete_mapped,
		  .run = run_mapped_set_new },
		{ "mapped-delete", "delete", .prepare = run_mapped_set_new,
		  .run = run_mapped_delete },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].setup = table[i].library ? fill_mapped_lib : fill_mapped;
		table[i].teardown = table[i].library ? end_mapped_lib : end_mapped;
		table[i].size = VALUE_LEN;
		table[i].keys = KEYS;
		row_add(&table[i], "%s", table[i].name);
	}
}

/**
 * mapped_keys_rows - rows of a mapped store with ten million keys
 */
void mapped_keys_rows(void)
{
	struct row row = {
		.setup = fill_device, .teardown = unmap_device, .size = VALUE_LEN,
		.keys = 10000000, .batch = LONG_BATCH,
	};

	row.run = run_mapped_get;
	row_add(&row, "mapped-get-keys-10M");
	row.run = run_mapped_miss;
	row_add(&row, "mapped-get-miss-keys-10M");
}
