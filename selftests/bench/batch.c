// SPDX-License-Identifier: GPL-2.0
/*
 * Many operations in one call: what each of them costs.
 */
#include "store.h"

#define MANY		64
#define ATOMIC		16

/* Keys that are used: a multiple of both, so that all calls are alike */
#define USED		960

/* Gets go round them again; sets would begin to free what is old meanwhile */
#define GETS		(10 * USED)

static struct mstore_batch *batch;

/* What a batch reads or writes; each operation has a value of its own. */
static char values[MANY][VALUE_LEN];

static void fill_batch(const struct row *row)
{
	fill(row);
	if (!batch)
		batch = mstore_batch_new();
	if (!batch)
		die("mstore_batch_new");
}

static inline void run_raw(const struct row *row, uint32_t op, uint32_t flags,
			   unsigned int n)
{
	struct metastore_op ops[MANY];
	struct metastore_batch args = {
		.ops = address(ops),
		.nr = row->together,
		.op_size = sizeof(ops[0]),
		.flags = flags,
	};
	unsigned int i;

	while (n) {
		for (i = 0; i < row->together; i++)
			ops[i] = (struct metastore_op) {
				.op = op,
				.key = address(keys[--n % USED]),
				.value = address(values[i]),
				.key_len = KEY_LEN,
				.value_len = VALUE_LEN,
			};
		if (ioctl(fd, METASTORE_IOC_BATCH, &args) || args.failed != args.nr)
			die("BATCH");
	}
}

static inline void run_lib(const struct row *row, uint32_t op, int flags,
			   unsigned int n)
{
	const char *key;
	unsigned int i;

	while (n) {
		mstore_batch_clear(batch);
		for (i = 0; i < row->together; i++) {
			key = keys[--n % USED];
			if (op == METASTORE_OP_GET)
				mstore_batch_get(batch, key, KEY_LEN, values[i], VALUE_LEN);
			else
				mstore_batch_set(batch, key, KEY_LEN, values[i], VALUE_LEN,
						 NULL);
		}
		if (mstore_batch_run(store, batch, flags) ||
		    mstore_batch_failed(batch) >= 0)
			die("mstore_batch_run");
	}
}

static void run_get(const struct row *row, unsigned int n)
{
	if (row->library)
		run_lib(row, METASTORE_OP_GET, 0, n);
	else
		run_raw(row, METASTORE_OP_GET, 0, n);
}

static void run_set(const struct row *row, unsigned int n)
{
	if (row->library)
		run_lib(row, METASTORE_OP_SET, 0, n);
	else
		run_raw(row, METASTORE_OP_SET, 0, n);
}

static void run_set_atomic(const struct row *row, unsigned int n)
{
	if (row->library)
		run_lib(row, METASTORE_OP_SET, MSTORE_BATCH_ATOMIC, n);
	else
		run_raw(row, METASTORE_OP_SET, METASTORE_BATCH_ATOMIC, n);
}

/**
 * batch_rows - rows of operations that are done together
 */
void batch_rows(void)
{
	struct row table[] = {
		{ "batch-get-64", "get", .run = run_get, .together = MANY,
		  .batch = GETS },
		{ "batch-set-64", "set", .run = run_set, .together = MANY },
		{ "batch-atomic-16", "set", .run = run_set_atomic, .together = ATOMIC },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		table[i].setup = fill_batch;
		table[i].size = VALUE_LEN;
		table[i].keys = KEYS;
		if (!table[i].batch)
			table[i].batch = USED;
		add_both(&table[i], table[i].name);
	}
}
