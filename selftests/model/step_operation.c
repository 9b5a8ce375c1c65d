// SPDX-License-Identifier: GPL-2.0
/* One operation. */
#include "call.h"

static int judge_wait(const struct world *w, struct call *c)
{
	const struct metastore_op *op = &c->ops[0];
	bool tied = op->ttl || op->flags & (METASTORE_F_OWNED | METASTORE_F_KEEP_TTL);
	__u32 size = METASTORE_VALUE_OVERHEAD + op->key_len + op->value_len +
		     (tied ? METASTORE_TIE_OVERHEAD : 0);

	if (model_can_wait(&w->model, model_key_of(op), METASTORE_EVENT_PUBLISHED, size))
		return 0;
	c->want[0] = *op;
	return -EAGAIN;
}

bool step_operation(struct world *w)
{
	struct model_changes changes = {};
	int file = draw_file(w), got, result;
	struct call c = { .file = file, .nr = 1 };
	bool waits, ok;

	op_draw(w, file, draw(w, MODEL_KEYS), 0, &c.ops[0]);
	/* Of a stolen value the former owner may lose the event. */
	waits = c.ops[0].op == METASTORE_OP_PUBLISH && !(c.ops[0].flags & METASTORE_F_STEAL) &&
		one_in(w, 3);
	world_say(w, "file %d%s", file, waits ? " WAIT" : "");
	op_say(w, &c.ops[0]);
	call_begin(&c);
	got = op_run(w->fds[file], &c.got[0], waits ? METASTORE_F_WAIT : 0);
	call_end(&c);

	result = call_judge(w, &c, 0);
	if (!result && waits)
		result = judge_wait(w, &c);
	if (!result && !model_has_room(&w->model.files[file], c.ops, 1))
		result = call_refuse(&c, 0);
	if (!result && got) {
		call_put(&c, &changes);
		return world_same(w, "result", got, result);
	}
	if (!result)
		call_apply(w, &c, 0, &changes);
	world_tell(w, &changes, false, waits);
	ok = call_check(w, &c, 0, got, result);
	call_put(&c, &changes);
	return ok;
}
