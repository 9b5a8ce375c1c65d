// SPDX-License-Identifier: GPL-2.0
/* Gets and changes of keys, as many in one call as fit, and their results. */
#include <errno.h>
#include <metastore.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"
#include "operation.h"
#include "options.h"
#include "output.h"
#include "record.h"
#include "settings.h"
#include "store.h"
#include "text.h"

/*
 * Each get has room for the longest value, and so has each change that tells the previous
 * one: a batch cannot be repeated because a value was longer than expected. The kernel
 * gives memory only to what is used.
 */
#define ROOM_MAX	(64UL << 20)

static char *get_room(size_t size)
{
	static char *room;
	static size_t room_size;

	if (room_size < size) {
		free(room);
		room = malloc(size);
		if (!room)
			call_failed("memory", ENOMEM);
		room_size = size;
	}
	return room;
}

static bool is_get(const struct operation *op)
{
	return op->kind == OP_GET;
}

/* Does the kernel write a value for it? */
static bool needs_room(const struct operation *op)
{
	return is_get(op) || op->tells;
}

/*
 * How many of the operations go into one call, all of them if they are to be
 * done at one moment, and how much room they need.
 */
static size_t fitting(struct mstore *store, const struct operation *ops, size_t count, int flags,
		      size_t *room)
{
	size_t n;

	*room = 0;
	for (n = 0; n < count && n < MSTORE_BATCH_MAX; n++) {
		if (!needs_room(&ops[n]))
			continue;
		if (*room && *room + longest_value(store) > ROOM_MAX && !flags)
			break;
		*room += longest_value(store);
	}
	return n;
}

static int add_operation(struct mstore_batch *batch, struct operation *op)
{
	struct bytes key = op->key, value = op->value;

	switch (op->kind) {
	case OP_GET:
		return mstore_batch_get(batch, key.data, key.len, (void *)value.data, value.len);
	case OP_SET:
		return mstore_batch_set(batch, key.data, key.len, value.data, value.len,
					&op->options);
	case OP_PUBLISH:
		return mstore_batch_publish(batch, key.data, key.len, value.data, value.len,
					    &op->options);
	case OP_TOUCH:
		return mstore_batch_touch(batch, key.data, key.len, &op->options);
	default:
		return mstore_batch_delete(batch, key.data, key.len, &op->options);
	}
}

static void collect_result(struct operation *op, const struct mstore_batch *batch, int index)
{
	op->error = mstore_batch_result(batch, index);
	op->version = mstore_batch_version(batch, index);
	op->queues = mstore_batch_queues(batch, index);
	if (!is_get(op))
		return;
	op->value.len = mstore_batch_value_len(batch, index);
	op->ttl_ms = mstore_batch_ttl(batch, index);
	op->owned = mstore_batch_owner(batch, index) != MSTORE_OWNER_NONE;
}

/* Where the kernel is to write the value. */
static void set_room(struct operation *op, char *room, size_t size)
{
	if (is_get(op)) {
		op->value = (struct bytes){ room, size };
		return;
	}
	op->previous = (struct mstore_previous){ .buffer = room, .size = size };
	op->options.previous = &op->previous;
}

/* If the call itself fails, each result has the reason. */
static void run_call(struct mstore *store, struct operation *ops, size_t count, char *room,
		     int flags)
{
	static struct mstore_batch *batch;

	if (!batch)
		batch = mstore_batch_new();
	if (!batch)
		call_failed("memory", errno);
	mstore_batch_clear(batch);
	for (size_t i = 0; i < count; i++) {
		if (needs_room(&ops[i])) {
			set_room(&ops[i], room, longest_value(store));
			room += longest_value(store);
		}
		if (add_operation(batch, &ops[i]) < 0)
			call_failed("batch", errno);
	}
	mstore_batch_run(store, batch, flags);
	for (size_t i = 0; i < count; i++)
		collect_result(&ops[i], batch, i);
}

/*
 * Runs operations in their order and hands each to @done, unless NULL, which returns a status.
 * @flags is MSTORE_BATCH_ATOMIC for at most MSTORE_ATOMIC_MAX of them. Returns the
 * statuses together.
 */
int run_operations(struct mstore *store, struct operation *ops, size_t count, int flags,
		   int (*done)(const struct operation *op))
{
	int status = STATUS_YES;
	size_t n, room;

	for (; count; ops += n, count -= n) {
		n = fitting(store, ops, count, flags, &room);
		run_call(store, ops, n, get_room(room), flags);
		for (size_t i = 0; i < n && done; i++)
			status |= done(&ops[i]);
	}
	return status;
}

void run_operation(struct mstore *store, struct operation *op)
{
	run_operations(store, op, 1, 0, NULL);
}

/* Runs a publication with MSTORE_WAIT, for which there is no place in a batch. */
void run_with_wait(struct mstore *store, struct operation *op)
{
	want_feature(store, MSTORE_FEATURE_WAIT);
	op->queues = mstore_publish_with(store, op->key.data, op->key.len, op->value.data,
					 op->value.len, &op->options, &op->version);
	op->error = op->queues < 0 ? errno : 0;
}

/* Runs an operation of one kind with each of the keys that are the operands. */
int run_keys(const struct command *cmd, struct mstore *store, enum operation_kind kind, int argc,
	     char **argv, int (*done)(const struct operation *op))
{
	size_t count = argc - optind;
	struct operation *ops = calloc(count, sizeof(*ops));
	int status;

	if (!ops)
		call_failed("memory", ENOMEM);
	for (size_t i = 0; i < count; i++) {
		ops[i].kind = kind;
		ops[i].key = operand_key(cmd, argv[optind + i]);
		ops[i].options = settings.write;
		ops[i].tells = settings.print;
	}
	status = run_operations(store, ops, count, 0, done);
	free(ops);
	return status;
}

/**
 * struct listed - keys that were listed and wait for an operation
 * @ops:	the operations
 * @keys:	their keys
 * @count:	their number
 */
static struct listed {
	struct operation ops[MSTORE_BATCH_MAX];
	char keys[MSTORE_BATCH_MAX][MSTORE_KEY_MAX];
	size_t count;
} listed;

static void add_listed(struct bytes key, uint64_t version, const struct operation *model)
{
	struct operation *op = &listed.ops[listed.count];
	char *copy = listed.keys[listed.count];

	memcpy(copy, key.data, key.len);
	*op = *model;
	op->key = (struct bytes){ copy, key.len };
	if (op->options.flags & MSTORE_IF_VERSION)
		op->options.version = version;
	listed.count++;
}

/*
 * Runs an operation like @model for each key there is of @bucket that starts with
 * @prefix and is @wanted. The version for MSTORE_IF_VERSION is the one listed. The
 * rest as in run_operations().
 */
int run_listed(struct mstore *store, struct bytes prefix, int bucket,
	       const struct operation *model, bool (*wanted)(struct bytes key),
	       int (*done)(const struct operation *op))
{
	struct mstore_list *list;
	int more, status = STATUS_YES;

	list = mstore_list_new(store, prefix.data, prefix.len, bucket);
	if (!list)
		call_failed("memory", errno);
	do {
		struct bytes key;

		more = mstore_list_next(list);
		if (more < 0)
			call_failed(store_path(), errno);
		if (more) {
			key.data = mstore_list_key(list, &key.len);
			if (wanted(key))
				add_listed(key, mstore_list_version(list), model);
		}
		if (listed.count && (!more || listed.count == MSTORE_BATCH_MAX)) {
			status |= run_operations(store, listed.ops, listed.count, 0, done);
			listed.count = 0;
		}
	} while (more);
	mstore_list_free(list);
	return status;
}

static void add_reason(struct buffer *buf, const struct operation *op)
{
	unsigned long long version = op->version;

	if (op->error == EEXIST)
		buffer_format(buf, "%s, with version %llu", reason(EEXIST), version);
	else if (op->error == ESTALE && version)
		buffer_format(buf, "%s: %llu", reason(ESTALE), version);
	else if (op->error == EBUSY && op->kind == OP_TOUCH)
		/* Nothing overrides that. */
		buffer_text(buf, "another open file owns the key");
	else
		buffer_text(buf, reason(op->error == ESTALE ? ENOENT : op->error));
}

/*
 * Says why an operation was not done; returns the status for that. Those of an
 * atomic batch that were not done because of another one say nothing.
 */
int operation_failed(const struct operation *op)
{
	struct buffer what = { 0 }, why = { 0 };

	if (op->error == ECANCELED)
		return STATUS_YES;
	if (op->line)
		buffer_format(&what, "line %lu: ", op->line);
	escape(&what, op->key, ESCAPE_NAME);
	buffer_add(&what, "", 1);
	add_reason(&why, op);
	buffer_add(&why, "", 1);
	report(what.data, "%s", why.data);
	free(what.data);
	free(why.data);
	return status_of(op->error);
}

/* Says how many keys a command did not remove because other open files own them. */
void report_left(const char *command, uint64_t left)
{
	if (left)
		report(command, "left %llu key%s that other open files own; --steal removes %s",
		       (unsigned long long)left, left == 1 ? "" : "s", left == 1 ? "it" : "them");
}

struct bytes previous_value(const struct operation *op)
{
	return (struct bytes){ op->previous.buffer, op->previous.size };
}

/* Ends if the settings ask for what only a newer module does. */
void want_changes(struct mstore *store)
{
	if (settings.print || settings.write.flags & MSTORE_KEEP_TTL)
		want_feature(store, MSTORE_FEATURE_PREVIOUS);
}

/* The only value needs no escapes: all up to the last newline is the value. */
void print_value(struct bytes value)
{
	buffer_add(&out, value.data, value.len);
	if (!settings.raw)
		out_end();
}

void print_pair(struct bytes key, struct bytes value)
{
	out_key(key);
	if (settings.null)
		out_end();
	else
		buffer_text(&out, " ");
	out_value(value);
	out_end();
}

static void add_success(json_t *object, const struct operation *op)
{
	if (op->kind == OP_GET)
		object_bytes(object, "value", op->value);
	object_exact(object, "version", op->version);
	if (op->ttl_ms)
		object_number(object, "ttl_ms", op->ttl_ms);
	if (op->owned)
		object_flag(object, "owned");
	if (op->tells && op->previous.version)
		object_bytes(object, op->kind == OP_DELETE ? "value" : "previous",
			     previous_value(op));
	if (op->kind == OP_PUBLISH)
		object_number(object, "queues", op->queues);
}

static void add_failure(json_t *object, const struct operation *op)
{
	object_text(object, "error", strerrorname_np(op->error));
	if (op->error == EEXIST || op->error == ESTALE)
		object_exact(object, "version", op->version);
}

/* Where there are several operations to tell apart, each says which it is. */
void print_json_result(const struct operation *op)
{
	static const char *const names[] = {
		[OP_GET] = "get", [OP_SET] = "set", [OP_PUBLISH] = "pub", [OP_DELETE] = "del",
		[OP_TOUCH] = "touch",
	};
	json_t *object = object_new();

	if (op->line)
		object_text(object, "op", names[op->kind]);
	object_bytes(object, "key", op->key);
	if (op->error)
		add_failure(object, op);
	else
		add_success(object, op);
	object_print(object);
}
