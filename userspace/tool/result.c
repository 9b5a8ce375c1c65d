// SPDX-License-Identifier: GPL-2.0
/* What became of operations: values found, versions made, why it was refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static void add_reason(struct buffer *buf, const struct operation *op)
{
	unsigned long long version = op->version;

	if (op->error == EEXIST)
		buffer_format(buf, "%s, with version %llu", reason(EEXIST), version);
	else if (op->error == ESTALE && version)
		buffer_format(buf, "%s: %llu", reason(ESTALE), version);
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
	escape(&what, op->key, ESCAPE_KEY);
	buffer_add(&what, "", 1);
	add_reason(&why, op);
	buffer_add(&why, "", 1);
	report(what.data, "%s", why.data);
	free(what.data);
	free(why.data);
	return status_of(op->error);
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
