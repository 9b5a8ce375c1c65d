/* SPDX-License-Identifier: GPL-2.0 */
/* Operations on keys, made in the module and in the model. */
#ifndef CALL_H
#define CALL_H

#include "world.h"

/**
 * struct call - operations that were made together
 * @ops:	what was asked
 * @got:	what came back
 * @want:	what the model says
 * @before:	values before, of operations that are done
 * @ttl:	what a GET tells of the time to live
 * @boottime:	when it was done, here and below
 */
struct call {
	int file;
	int nr;
	struct metastore_op ops[MODEL_BATCH];
	struct metastore_op got[MODEL_BATCH];
	struct metastore_op want[MODEL_BATCH];
	struct model_value *before[MODEL_BATCH];
	struct model_span ttl[MODEL_BATCH];
	struct model_change *changes[MODEL_BATCH];
	struct model_span boottime;
	struct model_span realtime;
};

/* op_draw.c */
bool op_is_store(const struct metastore_op *op);
void op_draw(struct world *w, int file, int key, int number, struct metastore_op *op);
void op_say(struct world *w, const struct metastore_op *op);

/* op_run.c: returns as the ioctl does. @more: METASTORE_F_WAIT or 0 */
int op_run(int fd, struct metastore_op *op, __u32 more);

/*
 * call.c: call_begin() and call_end() stand around what the module does, then each
 * operation is judged by the model, applied if that allows it, and checked.
 */
void call_begin(struct call *c);
void call_end(struct call *c);
int call_judge(struct world *w, struct call *c, int i);
int call_refuse(struct call *c, int i);
void call_apply(struct world *w, struct call *c, int i, struct model_changes *changes);
bool call_check(struct world *w, const struct call *c, int i, int got, int result);
void call_put(struct call *c, struct model_changes *changes);

#endif /* CALL_H */
