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

static void json_success(const struct operation *op)
{
	if (op->kind == OP_GET)
		json_bytes("value", op->value);
	json_exact("version", op->version);
	if (op->ttl_ms)
		json_number("ttl_ms", op->ttl_ms);
	if (op->owned)
		json_flag("owned");
	if (op->kind == OP_PUBLISH)
		json_number("queues", op->queues);
}

static void json_failure(const struct operation *op)
{
	json_text("error", strerrorname_np(op->error));
	if (op->error == EEXIST || op->error == ESTALE)
		json_exact("version", op->version);
}

/* Where there are several operations to tell apart, each says which it is. */
void json_result(const struct operation *op)
{
	static const char *const names[] = {
		[OP_GET] = "get", [OP_SET] = "set", [OP_PUBLISH] = "pub", [OP_DELETE] = "del",
	};

	json_begin();
	if (op->line)
		json_text("op", names[op->kind]);
	json_bytes("key", op->key);
	if (op->error)
		json_failure(op);
	else
		json_success(op);
	json_end();
}
