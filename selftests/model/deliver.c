// SPDX-License-Identifier: GPL-2.0
/* Which subscriptions hear of a change, and in which order. */
#include "model.h"

/* The file that a value was taken from hears of that in any case. */
bool model_wants(const struct model_sub *sub, const struct model_change *change)
{
	return sub->events & change->mask || change->former == sub->file->number;
}

static void tell(struct model_file *f, int topic, struct model_change *change, bool reserved)
{
	struct model_sub *sub = model_matches(topic, change->key) ? model_sub_find(f, topic) :
								    NULL;

	if (!sub || !model_wants(sub, change) || !model_snapshot_hears(sub, change->key))
		return;
	change->queues += model_push(sub, change, reserved && f->lossless &&
				     model_can_hold(sub, change));
}

/* The exact key before the prefixes, of these the shortest first */
static void tell_file(struct model_file *f, struct model_change *change, bool reserved)
{
	int topic;

	for (topic = 0; topic < MODEL_TOPICS; topic++)
		tell(f, topic, change, reserved);
}

/* @reserved: the publisher waited until all lossless queues had room */
void model_deliver(struct model *m, struct model_change *change, bool reserved)
{
	int i;

	for (i = 0; i < MODEL_FILES; i++)
		if (m->files[i].is_open)
			tell_file(&m->files[i], change, reserved);
}

static void tell_group(struct model_file *f, struct model_changes *changes, bool latest)
{
	const struct model_sub *sub;
	int i, topic;

	for (i = 0; i < changes->nr; i++) {
		for (topic = 0; topic < MODEL_TOPICS; topic++) {
			sub = model_sub_find(f, topic);
			if (sub && latest == !!(sub->flags & METASTORE_SUBSCRIBE_LATEST))
				tell(f, topic, changes->list[i], false);
		}
	}
}

/*
 * An atomic batch: each queue gets all events right behind each other, so those that
 * conflate come last.
 */
void model_deliver_group(struct model *m, struct model_changes *changes)
{
	int i;

	m->groups++;
	for (i = 0; i < changes->nr; i++)
		changes->list[i]->group = m->groups;
	for (i = 0; i < MODEL_FILES; i++) {
		if (!m->files[i].is_open)
			continue;
		tell_group(&m->files[i], changes, false);
		tell_group(&m->files[i], changes, true);
	}
}
