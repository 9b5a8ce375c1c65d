// SPDX-License-Identifier: GPL-2.0
/* Batches: operations one after the other, or all at one moment. */
#include "call.h"

/* One after the other, as separate calls */
static int batch_in_turn(struct world *w, struct call *c, struct model_changes *changes,
			 int *results)
{
	int i, failed = c->nr;

	for (i = 0; i < c->nr; i++) {
		results[i] = call_judge(w, c, i);
		if (!results[i] && !model_has_room(&w->model.files[c->file], &c->ops[i], 1))
			results[i] = call_refuse(c, i);
		if (results[i] && failed == c->nr)
			failed = i;
		if (!results[i] && !c->got[i].result)
			call_apply(w, c, i, changes);
	}
	return failed;
}

/* An absent key does not keep the others from being done. */
static bool cancels(const struct call *c, int i, int result)
{
	return result && !(c->ops[i].op == METASTORE_OP_GET && result == -ENOENT);
}

/* The operation for which there is no room is the first that stores a value. */
static int first_store(const struct call *c)
{
	int i = 0;

	while (!op_is_store(&c->ops[i]))
		i++;
	return i;
}

static int cancel(struct call *c, int *results, int failed, int result)
{
	int i;

	for (i = 0; i < c->nr; i++)
		results[i] = -ECANCELED;
	results[failed] = result;
	return failed;
}

/*
 * All or none. Refusals that do not depend on the map come first. Returns the number of
 * the operation that failed, or @c->nr.
 */
static int batch_at_once(struct world *w, struct call *c, struct model_changes *changes,
			 int *results, int got)
{
	const struct model_file *f = &w->model.files[c->file];
	int i;

	for (i = 0; i < c->nr; i++)
		results[i] = call_judge(w, c, i);
	for (i = 0; i < c->nr; i++)
		if (model_check(f, &c->ops[i]))
			return cancel(c, results, i, results[i]);
	for (i = 0; i < c->nr; i++)
		if (cancels(c, i, results[i]))
			return cancel(c, results, i, results[i]);
	if (!model_has_room(f, c->ops, c->nr)) {
		i = first_store(c);
		return cancel(c, results, i, call_refuse(c, i));
	}
	for (i = 0; i < c->nr && !got; i++)
		if (!results[i])
			call_apply(w, c, i, changes);
	return c->nr;
}

/* Fields of an operation that did not run are as they were, but of the one that failed. */
static bool check_batch(struct world *w, struct call *c, bool atomic, int failed,
			const int *results)
{
	int i;

	for (i = 0; i < c->nr; i++) {
		if (atomic && failed < c->nr && i != failed) {
			if (!world_same(w, "result", c->got[i].result, -ECANCELED))
				return false;
			continue;
		}
		if (!call_check(w, c, i, c->got[i].result, results[i])) {
			world_say(w, " (operation %d of the batch)", i);
			return false;
		}
	}
	return true;
}

static void draw_batch(struct world *w, struct call *c, bool atomic)
{
	__u32 used = 0;
	int i, key;

	for (i = 0; i < c->nr; i++) {
		do
			key = draw(w, MODEL_KEYS);
		while (atomic && used & 1U << key);
		used |= 1U << key;
		op_draw(w, c->file, key, i, &c->ops[i]);
		/* Else few batches are done. */
		if (atomic && !one_in(w, 4))
			c->ops[i].flags &= ~(METASTORE_F_CREATE | METASTORE_F_REPLACE |
					     METASTORE_F_IF_VERSION);
		op_say(w, &c->ops[i]);
	}
}

bool step_batch(struct world *w)
{
	struct call c = { .file = draw_file(w), .nr = 1 + draw(w, MODEL_BATCH) };
	struct model_changes changes = {};
	bool atomic = one_in(w, 2), ok;
	int results[MODEL_BATCH], failed, got;
	__u32 told;

	world_say(w, "file %d %s", c.file, atomic ? "atomic batch" : "batch");
	draw_batch(w, &c, atomic);
	call_begin(&c);
	got = ms_batch(w->fds[c.file], c.got, c.nr, atomic ? METASTORE_BATCH_ATOMIC : 0, &told);
	call_end(&c);

	failed = atomic ? batch_at_once(w, &c, &changes, results, got) :
			  batch_in_turn(w, &c, &changes, results);
	world_tell(w, &changes, atomic, false);
	ok = world_same(w, "BATCH", got, atomic && failed < c.nr ? -ECANCELED : 0) &&
	     check_batch(w, &c, atomic, failed, results) &&
	     world_same(w, "failed", told, failed);
	call_put(&c, &changes);
	return ok;
}
