// SPDX-License-Identifier: GPL-2.0
/*
 * Operations on one key.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store.h"

static void run_get(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_get(keys[n], row->size);
	else
		while (n--)
			get(keys[n], row->size);
}

static void run_miss(const struct row *row, unsigned int n)
{
	struct metastore_get args = {
		.value = address(buffer),
		.key_len = KEY_LEN,
	};
	size_t size = row->size;

	if (row->library)
		while (n--) {
			if (!mstore_get(store, missing[n], KEY_LEN, buffer, &size, NULL) ||
			    errno != ENOENT)
				die("mstore_get found what is not there");
		}
	else
		while (n--) {
			args.key = address(missing[n]);
			args.value_len = row->size;
			if (!ioctl(fd, METASTORE_IOC_GET, &args) || errno != ENOENT)
				die("GET found what is not there");
		}
}

static void run_set(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set(keys[n], row->size);
	else
		while (n--)
			set(keys[n], row->size);
}

static void run_set_new(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set(new_keys[n], row->size);
	else
		while (n--)
			set(new_keys[n], row->size);
}

static void run_create(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set_if(MSTORE_CREATE, new_keys[n], row->size, NULL);
	else
		while (n--)
			set_if(METASTORE_F_CREATE, new_keys[n], row->size, NULL);
}

static uint64_t versions[BATCH];

static void fill_versions(const struct row *row)
{
	unsigned int i;

	fill(row);
	for (i = 0; i < BATCH; i++)
		set_if(0, keys[i], row->size, &versions[i]);
}

static void run_if_version(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set_if(MSTORE_IF_VERSION, keys[n], row->size, &versions[n]);
	else
		while (n--)
			set_if(METASTORE_F_IF_VERSION, keys[n], row->size, &versions[n]);
}

static void run_delete(const struct row *row, unsigned int n)
{
	if (!row->library)
		while (n--)
			delete(new_keys[n]);
	else
		while (n--)
			if (mstore_delete(store, new_keys[n], KEY_LEN, NULL))
				die("mstore_delete");
}

/* DELETE that returns the value */
static void run_take(const struct row *row, unsigned int n)
{
	struct metastore_delete args = {
		.key_len = KEY_LEN,
		.flags = METASTORE_F_PREVIOUS,
		.previous.value = address(buffer),
	};

	while (n--) {
		args.key = address(new_keys[n]);
		args.previous.len = sizeof(buffer);
		if (ioctl(fd, METASTORE_IOC_DELETE, &args) || args.previous.len != row->size)
			die("DELETE, with the value");
	}
}

static int default_fd;

/* A private store as CREATE makes it without limits, with row->keys keys */
static void fill_private(const struct row *row)
{
	struct metastore_create args = { .open_flags = O_RDWR | O_CLOEXEC };

	open_store();
	empty_store();
	default_fd = fd;
	fd = ioctl(default_fd, METASTORE_IOC_CREATE, &args);
	if (fd < 0)
		die("CREATE");
	fill(row);
}

static void end_private(const struct row *row)
{
	(void)row;
	close(fd);
	fd = default_fd;
	empty_store();
}

static void set_new_keys(const struct row *row, unsigned int n)
{
	while (n--)
		set(new_keys[n], row->size);
}

static void delete_new_keys(const struct row *row, unsigned int n)
{
	struct metastore_delete args = { .key_len = KEY_LEN };

	(void)row;
	while (n--) {
		args.key = address(new_keys[n]);
		if (ioctl(fd, METASTORE_IOC_DELETE, &args) && errno != ENOENT)
			die("DELETE");
	}
}

static void end_new_keys(const struct row *row)
{
	delete_new_keys(row, BATCH);
}

static void run_get_one(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_get(news, row->size);
	else
		while (n--)
			get(news, row->size);
}

static void run_set_one(const struct row *row, unsigned int n)
{
	if (row->library)
		while (n--)
			lib_set(news, row->size);
	else
		while (n--)
			set(news, row->size);
}

/* Through the library alone: it reads the number, and stores the sum if it is unchanged. */
static void run_add(const struct row *row, unsigned int n)
{
	(void)row;
	while (n--)
		if (mstore_add(store, news, KEY_LEN, 1, NULL, NULL, NULL))
			die("mstore_add");
}

static void end_number(const struct row *row)
{
	(void)row;
	delete(news);
}

/**
 * key_rows - rows of one of many keys
 */
void key_rows(void)
{
	struct row table[] = {
		{ "get", "ioctl,bpf-lookup,redis-get,lmdb-get",
		  .setup = fill, .run = run_get },
		{ "get-miss", "ioctl", .setup = fill, .run = run_miss },
		{ "set", "bpf-update,redis-set", .setup = fill, .run = run_set },
		{ "set-new", "bpf-update,redis-set", .setup = fill,
		  .prepare = delete_new_keys, .run = run_set_new,
		  .teardown = end_new_keys },
		{ "set-if-version", "set", .setup = fill_versions,
		  .run = run_if_version },
		{ "set-create", "set-new", .setup = fill, .prepare = delete_new_keys,
		  .run = run_create, .teardown = end_new_keys },
		{ "delete", "ioctl", .setup = fill, .prepare = set_new_keys,
		  .run = run_delete },
	};
	const struct row take_row = {
		.peers = "delete", .setup = fill, .prepare = set_new_keys, .run = run_take,
		.size = VALUE_LEN, .keys = KEYS,
	};
	const struct row add_row = {
		.peers = "set-if-version", .setup = fill, .run = run_add, .teardown = end_number,
		.keys = KEYS, .library = true,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].size = VALUE_LEN;
		table[i].keys = KEYS;
		add_both(&table[i], table[i].name);
	}
	row_add(&take_row, "take");
	row_add(&add_row, "add");
}

/**
 * private_rows - rows of a private store
 */
void private_rows(void)
{
	struct row table[] = {
		{ "get-private", "get", .setup = fill_private, .run = run_get,
		  .teardown = end_private },
		{ "set-private", "set", .setup = fill_private, .run = run_set,
		  .teardown = end_private },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].size = VALUE_LEN;
		table[i].keys = KEYS;
		row_add(&table[i], "%s", table[i].name);
	}
}

/**
 * flood_rows - rows of one of a million keys that somebody chose to be in one chain
 *
 * Of one hash all of them, or only in one slot of the table. The cost of the same
 * elsewhere is in the rows that they are compared to.
 */
void flood_rows(void)
{
	static const struct {
		const char *name;
		void (*setup)(const struct row *row);
	} floods[] = {
		{ "flood-hash", flood_hash_setup }, { "flood-slot", flood_slot_setup },
	};
	struct row table[] = {
		{ "get", "get", .run = run_get },
		{ "miss", "get-miss", .run = run_miss },
		{ "set", "set", .run = run_set },
		{ "set-new", "set-new", .prepare = delete_new_keys, .run = run_set_new,
		  .teardown = end_new_keys },
		{ "delete", "delete", .prepare = set_new_keys, .run = run_delete,
		  .teardown = flood_teardown },
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(floods); i++)
		for (j = 0; j < ARRAY_SIZE(table); j++) {
			table[j].setup = floods[i].setup;
			table[j].size = VALUE_LEN;
			table[j].keys = FLOOD_KEYS;
			row_add(&table[j], "%s-%s", floods[i].name, table[j].name);
		}
}

/**
 * one_key_rows - rows of one key and values of all sizes
 */
void one_key_rows(void)
{
	struct row get_row = { .setup = one_key, .run = run_get_one };
	struct row set_row = { .setup = one_key, .run = run_set_one };
	const struct value_size *size;
	char name[sizeof(get_row.name)];

	for (size = value_sizes; size < value_sizes + nr_value_sizes; size++) {
		get_row.size = size->size;
		get_row.batch = size->batch;
		snprintf(name, sizeof(name), "get-%s", size->name);
		add_both(&get_row, name);
		set_row.size = size->size;
		set_row.batch = size->batch;
		snprintf(name, sizeof(name), "set-%s", size->name);
		add_both(&set_row, name);
	}
}

/**
 * metastore_keys_rows - rows of stores with ever more keys
 */
void metastore_keys_rows(void)
{
	static const struct {
		const char *name;
		unsigned int keys;
	} numbers[] = {
		{ "1k", 1000 }, { "100k", 100000 }, { "1M", 1000000 }, { "10M", 10000000 },
	};
	struct row hit = { .setup = fill, .run = run_get, .size = VALUE_LEN };
	struct row miss = { .setup = fill, .run = run_miss, .size = VALUE_LEN };
	char name[sizeof(hit.name)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		hit.keys = numbers[i].keys;
		snprintf(name, sizeof(name), "get-keys-%s", numbers[i].name);
		add_both(&hit, name);
		hit.peers = "get-keys-1k";
		miss.keys = numbers[i].keys;
		snprintf(name, sizeof(name), "get-miss-keys-%s", numbers[i].name);
		add_both(&miss, name);
		miss.peers = "get-miss-keys-1k";
	}
	mapped_keys_rows();
}
