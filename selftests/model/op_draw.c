// SPDX-License-Identifier: GPL-2.0
/* Random operations on a key: GET, SET, PUBLISH, DELETE, TOUCH. */
#include "call.h"

#define TTL_LONG	3600000		/* ms: nothing expires by chance */

static const char *const op_names[] = { "?", "GET", "SET", "DELETE", "PUBLISH", "TOUCH" };

bool op_is_store(const struct metastore_op *op)
{
	return op->op == METASTORE_OP_SET || op->op == METASTORE_OP_PUBLISH;
}

static __u32 draw_len(struct world *w)
{
	__u32 max = w->model.limits.max_value;

	switch (draw(w, 16)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return draw(w, max + 1);
	case 3:
		return max + (one_in(w, 4) ? 1 : 0);
	}
	return draw(w, 40);
}

static __u64 draw_version(struct world *w, int key)
{
	const struct model_value *value = w->model.keys[key].value;

	if (value && !one_in(w, 3))
		return value->version;
	return one_in(w, 2) ? 0 : w->model.keys[key].newer;
}

static void draw_condition(struct world *w, struct metastore_op *op, int key)
{
	bool stores = op_is_store(op);

	if (one_in(w, 3))
		return;
	switch (draw(w, 6)) {
	case 0:
		op->flags |= stores ? METASTORE_F_CREATE : 0;
		break;
	case 1:
		op->flags |= stores ? METASTORE_F_REPLACE : 0;
		break;
	case 2:
		op->flags |= METASTORE_F_IF_VERSION;
		op->version = draw_version(w, key);
	}
}

static void draw_previous(struct world *w, struct metastore_op *op, char *buffer)
{
	if (op->op == METASTORE_OP_TOUCH || !one_in(w, 6))
		return;
	op->flags |= METASTORE_F_PREVIOUS;
	op->previous = (struct metastore_previous) {
		.value = ms_ptr(buffer),
		.version = POISON64,
		.len = one_in(w, 3) ? draw(w, 30) : WORLD_VALUE,
		.owner = POISON32,
	};
}

static void draw_store(struct world *w, struct metastore_op *op, char *buffer)
{
	op->value = ms_ptr(buffer);
	op->value_len = draw_len(w);
	model_fill(buffer, op->value_len, ++w->fills * 0x01234567);
	if (one_in(w, 6))
		op->flags |= METASTORE_F_OWNED;
	if (one_in(w, 6))
		op->ttl = TTL_LONG + draw(w, 1000);
	else if (one_in(w, 8))
		op->flags |= METASTORE_F_KEEP_TTL;
}

/* Arguments that are refused by themselves; not of a file that may not do it anyway */
static void spoil(struct world *w, struct metastore_op *op)
{
	if (op_is_store(op) && one_in(w, 2))
		op->flags |= METASTORE_F_CREATE | METASTORE_F_REPLACE;
	else if (op_is_store(op) && op->ttl)
		op->flags |= METASTORE_F_KEEP_TTL;
	else
		op->flags |= 1U << 31;
}

/* Any operation on @key, with the buffers of this number for the value and the previous one */
void op_draw(struct world *w, int file, int key, int number, struct metastore_op *op)
{
	static const __u8 kinds[] = {
		METASTORE_OP_GET, METASTORE_OP_SET, METASTORE_OP_SET, METASTORE_OP_SET,
		METASTORE_OP_PUBLISH, METASTORE_OP_PUBLISH, METASTORE_OP_PUBLISH,
		METASTORE_OP_DELETE, METASTORE_OP_DELETE, METASTORE_OP_TOUCH,
	};

	memset(w->buffers[number], POISON, sizeof(w->buffers[number]));
	*op = (struct metastore_op) {
		.op = kinds[draw(w, sizeof(kinds))],
		.key = ms_ptr(model_names[key].bytes),
		.key_len = model_names[key].len,
	};
	if (op->op == METASTORE_OP_GET) {
		op->value = ms_ptr(w->buffers[number][0]);
		op->value_len = one_in(w, 4) ? draw(w, 40) : WORLD_VALUE;
	} else {
		draw_condition(w, op, key);
		draw_previous(w, op, w->buffers[number][1]);
	}
	if (op_is_store(op))
		draw_store(w, op, w->buffers[number][0]);
	if (op->op == METASTORE_OP_TOUCH)
		op->ttl = TTL_LONG + draw(w, 1000);
	if ((op_is_store(op) || op->op == METASTORE_OP_DELETE) && one_in(w, 5))
		op->flags |= METASTORE_F_STEAL;
	if (w->model.files[file].mode == O_RDWR && one_in(w, 80))
		spoil(w, op);
}

void op_say(struct world *w, const struct metastore_op *op)
{
	world_say(w, " %s key %d flags %#x", op_names[op->op], model_key_of(op), op->flags);
	if (op->op != METASTORE_OP_DELETE)
		world_say(w, " len %u", op->value_len);
	if (op->flags & METASTORE_F_IF_VERSION)
		world_say(w, " version %llu", op->version);
	if (op->ttl)
		world_say(w, " ttl %llu", op->ttl);
	if (op->flags & METASTORE_F_PREVIOUS)
		world_say(w, " previous %u", op->previous.len);
}
