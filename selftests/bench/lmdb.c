// SPDX-License-Identifier: GPL-2.0
/*
 * LMDB: a map in a file, mapped into each process; in memory here. Every get has
 * its own transaction, as ours sees the latest value each time.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lmdb.h>

#include "bench.h"

#define FILE_NAME	"/dev/shm/bench-lmdb"
#define MAP_SIZE	(256 << 20)

static MDB_env *env;
static MDB_txn *txn;
static MDB_dbi dbi;
static char keys[BATCH][KEY_LEN];

static void check(int ret, const char *what)
{
	if (ret)
		die("LMDB: %s: %s", what, mdb_strerror(ret));
}

static void fill(const struct row *row)
{
	MDB_val value = { row->size, bench_value };
	char bytes[KEY_LEN];
	MDB_val key = { KEY_LEN, bytes };
	unsigned int i;

	check(mdb_env_create(&env), "mdb_env_create");
	check(mdb_env_set_mapsize(env, MAP_SIZE), "mdb_env_set_mapsize");
	check(mdb_env_open(env, FILE_NAME, MDB_NOSUBDIR | MDB_NOSYNC, 0600),
	      "mdb_env_open");
	check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
	check(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
	for (i = 0; i < row->keys; i++) {
		bench_key(bytes, "key-", i);
		check(mdb_put(txn, dbi, &key, &value, 0), "mdb_put");
	}
	check(mdb_txn_commit(txn), "mdb_txn_commit");
	for (i = 0; i < BATCH; i++)
		bench_key(keys[i], "key-", i * (row->keys / BATCH));
	check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
	mdb_txn_reset(txn);
}

static void run_get(const struct row *row, unsigned int n)
{
	MDB_val key = { .mv_size = KEY_LEN }, value;
	char copy[VALUE_LEN];

	while (n--) {
		check(mdb_txn_renew(txn), "mdb_txn_renew");
		key.mv_data = keys[n];
		check(mdb_get(txn, dbi, &key, &value), "mdb_get");
		memcpy(copy, value.mv_data, row->size);
		__asm__ volatile("" : : "r"(copy) : "memory");
		mdb_txn_reset(txn);
	}
}

static void end(const struct row *row)
{
	(void)row;
	mdb_txn_abort(txn);
	mdb_env_close(env);
	unlink(FILE_NAME);
	unlink(FILE_NAME "-lock");
}

/**
 * lmdb_rows - row of LMDB
 */
void lmdb_rows(void)
{
	const struct row row = {
		.setup = fill,
		.run = run_get,
		.teardown = end,
		.size = VALUE_LEN,
		.keys = 50 * BATCH,
	};

	row_add(&row, "lmdb-get");
}
