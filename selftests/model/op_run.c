// SPDX-License-Identifier: GPL-2.0
/* The command of an operation. Its results are in the operation then, as in a batch. */
#include "call.h"

static int run_get(int fd, struct metastore_op *op)
{
	struct metastore_get arg = {
		.key = op->key,
		.value = op->value,
		.key_len = op->key_len,
		.value_len = op->value_len,
		.flags = op->flags,
		.version = op->version,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_GET, &arg);

	op->value_len = arg.value_len;
	op->owner = arg.owner;
	op->version = arg.version;
	op->ttl = arg.ttl;
	return ret;
}

static int run_store(int fd, struct metastore_op *op, __u32 more)
{
	struct metastore_set arg = {
		.key = op->key,
		.value = op->value,
		.key_len = op->key_len,
		.value_len = op->value_len,
		.flags = op->flags | more,
		.version = op->version,
		.ttl = op->ttl,
		.previous = op->previous,
	};
	int ret = ms_ioctl(fd, op->op == METASTORE_OP_SET ? METASTORE_IOC_SET :
							    METASTORE_IOC_PUBLISH, &arg);

	op->queues = arg.queues;
	op->version = arg.version;
	op->previous = arg.previous;
	return ret;
}

static int run_delete(int fd, struct metastore_op *op)
{
	struct metastore_delete arg = {
		.key = op->key,
		.key_len = op->key_len,
		.flags = op->flags,
		.version = op->version,
		.previous = op->previous,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_DELETE, &arg);

	op->version = arg.version;
	op->previous = arg.previous;
	return ret;
}

static int run_touch(int fd, struct metastore_op *op)
{
	struct metastore_touch arg = {
		.key = op->key,
		.key_len = op->key_len,
		.flags = op->flags,
		.version = op->version,
		.ttl = op->ttl,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_TOUCH, &arg);

	op->version = arg.version;
	return ret;
}

/* @more: METASTORE_F_WAIT or 0 */
int op_run(int fd, struct metastore_op *op, __u32 more)
{
	switch (op->op) {
	case METASTORE_OP_GET:
		return run_get(fd, op);
	case METASTORE_OP_DELETE:
		return run_delete(fd, op);
	case METASTORE_OP_TOUCH:
		return run_touch(fd, op);
	}
	return run_store(fd, op, more);
}
