/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A private store of the module beside its model. A step is one random call, made in
 * both. It draws all that it does from a seed of its own: so a sequence of steps can be
 * made again without some of them.
 */
#ifndef WORLD_H
#define WORLD_H

/* model_test.c has the harness already. */
#ifndef METASTORE_TEST_H
#define MS_NO_HARNESS
#include "../metastore_test.h"
#endif
#include "model.h"

/* The number of the format and that of the first argument that it formats */
#define PRINTF_LIKE(format, first) \
	__attribute__((__format__(__printf__, \
				  format, first)))

#define WORLD_VALUE	2048	/* more than any store of ours allows */

/**
 * struct world - both stores
 * @fds:	descriptors of the open files; the first is never closed
 * @random:	state of the random numbers
 * @cookies:	subscriptions so far
 * @fills:	values so far
 * @buffers:	of the operations of a batch: for the value, and the previous one
 * @what:	what the step does
 * @wrong:	how it differed from the model; empty: it did not
 */
struct world {
	int fds[MODEL_FILES];
	struct model model;
	__u64 random;
	__u64 cookies;
	__u32 fills;
	char buffers[MODEL_BATCH][2][WORLD_VALUE];
	char what[1024];
	char wrong[256];
};

/* world.c */
bool world_create(struct world *w, int from, __u64 seed);
void world_destroy(struct world *w);
__u64 world_hash(__u64 number);
__u32 draw(struct world *w, __u32 below);
bool one_in(struct world *w, __u32 times);
int draw_file(struct world *w);
PRINTF_LIKE(2, 3) void world_say(struct world *w, const char *format, ...);
PRINTF_LIKE(2, 3) bool world_fail(struct world *w, const char *format, ...);
bool world_same(struct world *w, const char *what, long long got, long long want);
bool world_within(struct world *w, const char *what, __u64 got, struct model_span span);
struct model_span world_rest(struct model_span end, struct model_span now);
void world_tell(struct world *w, struct model_changes *changes, bool atomic, bool reserved);

/* Steps. Return false if module and model differ; @w->wrong says how. */
bool step_operation(struct world *w);
bool step_batch(struct world *w);
bool step_subscribe(struct world *w);
bool step_unsubscribe(struct world *w);
bool step_resync(struct world *w);
bool step_read(struct world *w);
bool step_look(struct world *w);
bool step_queue(struct world *w);
bool step_flush(struct world *w);
bool step_list(struct world *w);
bool step_ask(struct world *w);
bool step_close(struct world *w);
bool step_expire(struct world *w);

/* check.c: what can be asked at any time */
bool check_all(struct world *w);
bool check_some(struct world *w);

/* step_events.c: reads all that waits */
bool step_drain(struct world *w, int number);

/* steps.c */
bool world_step(struct world *w, __u64 seed);

#endif /* WORLD_H */
