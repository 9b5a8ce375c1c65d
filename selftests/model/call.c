// SPDX-License-Identifier: GPL-2.0
/* The model judges and applies operations, and compares its results with the module's. */
#include "call.h"

static struct model_span span_of(clockid_t clock, __u64 since)
{
	return (struct model_span) { since, ms_now(clock) };
}

void call_begin(struct call *c)
{
	memcpy(c->got, c->ops, sizeof(c->ops));
	c->boottime.least = ms_now(CLOCK_BOOTTIME);
	c->realtime.least = ms_now(CLOCK_REALTIME);
}

void call_end(struct call *c)
{
	c->realtime = span_of(CLOCK_REALTIME, c->realtime.least);
	c->boottime = span_of(CLOCK_BOOTTIME, c->boottime.least);
}

/* Judge one operation, without a change: returns the errno that the module must return */
int call_judge(struct world *w, struct call *c, int i)
{
	const struct model_file *f = &w->model.files[c->file];
	struct model_value *old = w->model.keys[model_key_of(&c->ops[i])].value;
	int err = model_check(f, &c->ops[i]);

	c->want[i] = c->ops[i];
	c->before[i] = NULL;
	c->changes[i] = NULL;
	if (err)
		return err;
	err = model_judge(f, &c->ops[i], &c->want[i]);
	if (!err && old)
		c->before[i] = model_value_get(old);
	if (!err && c->ops[i].op == METASTORE_OP_GET) {
		c->want[i].owner = model_owner(f, old);
		c->ttl[i] = world_rest(old->end, c->boottime);
	}
	return err;
}

/* Refused by the limits: of the results none is there but the errno. */
int call_refuse(struct call *c, int i)
{
	c->want[i] = c->ops[i];
	return -ENOSPC;
}

void call_apply(struct world *w, struct call *c, int i, struct model_changes *changes)
{
	int nr = changes->nr;

	model_apply(&w->model.files[c->file], &c->ops[i], &c->got[i], c->boottime, c->realtime,
		    changes);
	if (changes->nr > nr)
		c->changes[i] = changes->list[nr];
}

static bool check_untouched(struct world *w, const char *buffer, __u32 from)
{
	for (; from < WORLD_VALUE; from++)
		if (buffer[from] != (char)POISON)
			return world_fail(w, "the buffer is written at %u", from);
	return true;
}

static bool check_bytes(struct world *w, const struct model_value *value, __u64 buffer)
{
	const char *bytes = (const char *)(uintptr_t)buffer;

	if (!value)
		return check_untouched(w, bytes, 0);
	if (!model_value_is(value, bytes, value->len))
		return world_fail(w, "other bytes of the value");
	return check_untouched(w, bytes, value->len);
}

static bool check_get(struct world *w, const struct call *c, int i, int result)
{
	const struct metastore_op *got = &c->got[i], *want = &c->want[i];
	const struct model_value *value = c->before[i];

	if (!world_same(w, "value_len", got->value_len, want->value_len) ||
	    !world_same(w, "version", got->version, want->version) ||
	    !check_bytes(w, value, want->value))
		return false;
	return result ||
	       (world_same(w, "owner", got->owner, want->owner) &&
		world_within(w, "ttl", got->ttl, c->ttl[i]));
}

static bool check_previous(struct world *w, const struct call *c, int i, int result)
{
	const struct metastore_previous *got = &c->got[i].previous, *want = &c->want[i].previous;

	if (!(c->ops[i].flags & METASTORE_F_PREVIOUS))
		return true;
	if (!result && !check_bytes(w, c->before[i], want->value))
		return false;
	return world_same(w, "previous.len", got->len, want->len) &&
	       world_same(w, "previous.version", got->version, want->version) &&
	       (result || world_same(w, "previous.owner", got->owner, want->owner));
}

static bool check_new_version(struct world *w, const struct call *c, int i)
{
	const struct model_change *change = c->changes[i];

	if (change->version <= change->newer)
		return world_fail(w, "version: %llu is not above %llu", change->version,
				  change->newer);
	return true;
}

/* Results of one operation, of which the model expects @result */
bool call_check(struct world *w, const struct call *c, int i, int got, int result)
{
	const struct metastore_op *op = &c->ops[i];

	if (!world_same(w, "result", got, result))
		return false;
	if (op->op == METASTORE_OP_GET)
		return check_get(w, c, i, result);
	if (!check_previous(w, c, i, result))
		return false;
	if (result || op->op == METASTORE_OP_TOUCH)
		return world_same(w, "version", c->got[i].version,
				  result ? c->want[i].version : c->before[i]->version);
	if (!check_new_version(w, c, i))
		return false;
	return !op_is_store(op) ||
	       world_same(w, "queues", c->got[i].queues, op->op == METASTORE_OP_PUBLISH ?
			  c->changes[i]->queues : 0);
}

void call_put(struct call *c, struct model_changes *changes)
{
	int i;

	for (i = 0; i < c->nr; i++)
		if (c->before[i])
			model_value_put(c->before[i]);
	model_changes_put(changes);
}
