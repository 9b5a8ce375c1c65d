// SPDX-License-Identifier: GPL-2.0
/* Which step is made, and how often. */
#include "world.h"

static const struct {
	int weight;
	bool (*make)(struct world *w);
} steps[] = {
	{ 400, step_operation },
	{ 100, step_batch },
	{ 100, step_subscribe },
	{ 25, step_unsubscribe },
	{ 25, step_resync },
	{ 120, step_read },
	{ 30, step_look },
	{ 25, step_queue },
	{ 8, step_flush },
	{ 25, step_list },
	{ 40, step_ask },
	{ 15, step_close },
	{ 8, step_expire },
};

/* One step, drawn from @seed. Returns false if module and model differ after it. */
bool world_step(struct world *w, __u64 seed)
{
	int at = 0;
	size_t i;

	w->random = seed;
	w->what[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(steps); i++)
		at += steps[i].weight;
	at = draw(w, at);
	for (i = 0; at >= steps[i].weight; i++)
		at -= steps[i].weight;
	return steps[i].make(w) && (one_in(w, 32) ? check_all(w) : check_some(w));
}
