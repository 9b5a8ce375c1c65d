// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Batches. The requested operations are kept beside their results, so that a batch
 * can run again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

ASSERT_SAME(BATCH_MAX);
ASSERT_SAME(ATOMIC_MAX);
ASSERT_SAME(ATOMIC_KEYS);
ASSERT_SAME(BATCH_ATOMIC);

/**
 * struct mstore_batch - operations and their results
 * @count:	number of operations
 * @failed:	first operation that failed in the last run, -1: none
 * @asked:	requested operations
 * @done:	operations as the kernel returned them; zeros before a run
 * @previous:	where to write the value that an operation replaced, NULL: nowhere
 */
struct mstore_batch {
	int count;
	int failed;
	struct metastore_op asked[MSTORE_BATCH_MAX];
	struct metastore_op done[MSTORE_BATCH_MAX];
	struct mstore_previous *previous[MSTORE_BATCH_MAX];
};

struct mstore_batch *mstore_batch_new(void)
{
	struct mstore_batch *batch = malloc(sizeof(*batch));

	if (batch)
		mstore_batch_clear(batch);
	return batch;
}

void mstore_batch_free(struct mstore_batch *batch)
{
	free(batch);
}

void mstore_batch_clear(struct mstore_batch *batch)
{
	batch->count = 0;
	batch->failed = -1;
}

int mstore_batch_count(const struct mstore_batch *batch)
{
	return batch->count;
}

static int add(struct mstore_batch *batch, const struct metastore_op *op,
	       struct mstore_previous *previous)
{
	int index = batch->count;

	if (index == MSTORE_BATCH_MAX) {
		errno = E2BIG;
		return -1;
	}
	batch->asked[index] = *op;
	batch->done[index] = (struct metastore_op){ 0 };
	batch->previous[index] = previous;
	batch->count++;
	return index;
}

int mstore_batch_get(struct mstore_batch *batch, const void *key,
		     size_t key_len, void *buffer, size_t size)
{
	const struct metastore_op op = {
		.op = METASTORE_OP_GET,
		.key = address(key),
		.value = address(buffer),
		.key_len = length(key, key_len),
		.value_len = capacity(size),
	};

	return add(batch, &op, NULL);
}

/* The caller has checked the options. */
static int add_change(struct mstore_batch *batch, uint32_t kind,
		      const void *key, size_t key_len, const void *value,
		      size_t value_len, const struct mstore_options *options)
{
	struct metastore_op op = {
		.op = kind,
		.key = address(key),
		.value = address(value),
		.key_len = length(key, key_len),
		.value_len = length(value, value_len),
	};

	if (!options)
		return add(batch, &op, NULL);
	op.flags = wanted_flags(options);
	op.version = wanted_version(options);
	op.ttl = options->ttl_ms;
	if (options->previous)
		mstore_ask_previous(options->previous, &op.previous);
	return add(batch, &op, options->previous);
}

int mstore_batch_set(struct mstore_batch *batch, const void *key,
		     size_t key_len, const void *value, size_t value_len,
		     const struct mstore_options *options)
{
	if (mstore_check_batch_options(options))
		return -1;
	return add_change(batch, METASTORE_OP_SET, key, key_len, value,
			  value_len, options);
}

int mstore_batch_publish(struct mstore_batch *batch, const void *key,
			 size_t key_len, const void *value, size_t value_len,
			 const struct mstore_options *options)
{
	if (mstore_check_batch_options(options))
		return -1;
	return add_change(batch, METASTORE_OP_PUBLISH, key, key_len, value,
			  value_len, options);
}

int mstore_batch_delete(struct mstore_batch *batch, const void *key,
			size_t key_len, const struct mstore_options *options)
{
	if (mstore_check_delete_options(options))
		return -1;
	return add_change(batch, METASTORE_OP_DELETE, key, key_len, NULL, 0,
			  options);
}

int mstore_batch_touch(struct mstore_batch *batch, const void *key,
		       size_t key_len, const struct mstore_options *options)
{
	if (mstore_check_touch_options(options))
		return -1;
	return add_change(batch, METASTORE_OP_TOUCH, key, key_len, NULL, 0,
			  options);
}

/* The kernel ran no operation: its error is the result of each. */
static void none_done(struct mstore_batch *batch)
{
	for (int i = 0; i < batch->count; i++)
		batch->done[i].result = -errno;
	batch->failed = 0;
}

static void tell_previous(const struct mstore_batch *batch)
{
	for (int i = 0; i < batch->count; i++) {
		const struct metastore_op *op = &batch->done[i];

		if (batch->previous[i] && (!op->result || op->result == -ERANGE))
			mstore_tell_previous(batch->previous[i], &op->previous);
	}
}

int mstore_batch_run(struct mstore *store, struct mstore_batch *batch,
		     int flags)
{
	struct metastore_batch run = {
		.ops = address(batch->done),
		.nr = (uint32_t)batch->count,
		.op_size = sizeof(batch->done[0]),
		.flags = (uint32_t)flags,
	};
	int ret;

	if (!batch->count)
		return 0;
	memcpy(batch->done, batch->asked, run.nr * sizeof(batch->done[0]));
	ret = ioctl(store->fd, METASTORE_IOC_BATCH, &run);
	if (ret && errno != ECANCELED) {
		none_done(batch);
		return ret;
	}
	batch->failed = run.failed < run.nr ? (int)run.failed : -1;
	tell_previous(batch);
	return ret;
}

int mstore_batch_failed(const struct mstore_batch *batch)
{
	return batch->failed;
}

static const struct metastore_op *outcome(const struct mstore_batch *batch,
					  int index)
{
	static const struct metastore_op no_such = { .result = -EINVAL };

	if (index < 0 || index >= batch->count)
		return &no_such;
	return &batch->done[index];
}

int mstore_batch_result(const struct mstore_batch *batch, int index)
{
	return -outcome(batch, index)->result;
}

/* After other errors the field still has the requested version. */
uint64_t mstore_batch_version(const struct mstore_batch *batch, int index)
{
	const struct metastore_op *op = outcome(batch, index);

	switch (-op->result) {
	case 0:
	case EEXIST:
	case ESTALE:
		return op->version;
	case ERANGE:
		/* Of a change that is about the previous value. */
		return op->op == METASTORE_OP_GET ? op->version : 0;
	default:
		return 0;
	}
}

/* In other operations these fields still have the requested values. */
static bool did_get(const struct metastore_op *op)
{
	return op->op == METASTORE_OP_GET && !op->result;
}

size_t mstore_batch_value_len(const struct mstore_batch *batch, int index)
{
	const struct metastore_op *op = outcome(batch, index);

	return op->op == METASTORE_OP_GET && (!op->result || op->result == -ERANGE) ?
	       op->value_len : 0;
}

uint64_t mstore_batch_ttl(const struct mstore_batch *batch, int index)
{
	const struct metastore_op *op = outcome(batch, index);

	return did_get(op) ? op->ttl : 0;
}

int mstore_batch_owner(const struct mstore_batch *batch, int index)
{
	const struct metastore_op *op = outcome(batch, index);

	return did_get(op) ? (int)op->owner : MSTORE_OWNER_NONE;
}

/* The union holds the owner for a get. */
int mstore_batch_queues(const struct mstore_batch *batch, int index)
{
	const struct metastore_op *op = outcome(batch, index);

	return op->op == METASTORE_OP_PUBLISH ? count(op->queues) : 0;
}
