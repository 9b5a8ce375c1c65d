// SPDX-License-Identifier: GPL-2.0
/* Subscriptions, and the open files that have them: how they begin and end. */
#include <errno.h>
#include <stdlib.h>

#include "model.h"

struct model_sub *model_sub_find(const struct model_file *f, int topic)
{
	struct model_sub *sub;

	for (sub = f->subs; sub; sub = sub->next)
		if (!sub->ended && sub->topic == topic)
			return sub;
	return NULL;
}

/* Whether a place for its latest event is reserved */
bool model_has_place(const struct model_sub *sub)
{
	return sub->flags & METASTORE_SUBSCRIBE_LATEST && sub->topic < MODEL_KEYS;
}

/* A subscription that ended stays until its last event and its losses are read. */
void model_sub_free_if_done(struct model_sub *sub)
{
	struct model_sub **link = &sub->file->subs;

	if (!sub->ended || model_sub_pending(sub) || sub->untold)
		return;
	while (*link != sub)
		link = &(*link)->next;
	*link = sub->next;
	free(sub);
}

static int reserve_place(struct model_file *f)
{
	if (model_place_bytes(f) + model_place(f->model) > f->max_bytes / 2 ||
	    !model_make_room(f, 0, model_place(f->model)))
		return -ENOBUFS;
	return 0;
}

int model_subscribe(struct model_file *f, int topic, const struct metastore_subscribe *arg)
{
	bool place = arg->flags & METASTORE_SUBSCRIBE_LATEST && topic < MODEL_KEYS;
	struct model_sub *sub;

	if (model_sub_find(f, topic))
		return -EEXIST;
	if (place && reserve_place(f))
		return -ENOBUFS;
	sub = calloc(1, sizeof(*sub));
	*sub = (struct model_sub) {
		.next = f->subs,
		.file = f,
		.topic = topic,
		.cookie = arg->cookie,
		.events = arg->events ?: METASTORE_EVENT_PUBLISHED,
		.flags = arg->flags & ~METASTORE_SUBSCRIBE_SNAPSHOT,
	};
	if (arg->flags & METASTORE_SUBSCRIBE_SNAPSHOT)
		model_snapshot_begin(sub, arg->version);
	f->subs = sub;
	return 0;
}

int model_resync(struct model_file *f, int topic)
{
	struct model_sub *sub = model_sub_find(f, topic);

	if (sub) {
		model_discard(sub);
		model_snapshot_begin(sub, 0);
	}
	model_trim(f);
	return sub ? 0 : -ENOENT;
}

static void end(struct model_sub *sub, bool discard)
{
	sub->ended = true;
	sub->snapshot = false;
	if (discard)
		model_discard(sub);
	model_sub_free_if_done(sub);
}

int model_unsubscribe(struct model_file *f, int topic, bool discard)
{
	struct model_sub *sub = model_sub_find(f, topic);

	if (sub)
		end(sub, discard);
	if (discard)
		model_trim(f);
	return sub ? 0 : -ENOENT;
}

static bool is_flushed(const struct model *m, int topic, const void *prefix, size_t len,
		       __u32 bucket)
{
	if (!model_starts(&model_names[topic], prefix, len))
		return false;
	if (bucket == METASTORE_ANY_BUCKET || m->limits.buckets == 1)
		return true;
	return topic < MODEL_KEYS && m->keys[topic].bucket == bucket;
}

static void flush_file(struct model_file *f, const void *prefix, size_t len, __u32 bucket,
		       __u64 *ended)
{
	struct model_sub *sub;
	__u64 before = f->flushed;
	int topic;

	for (topic = 0; topic < MODEL_TOPICS; topic++) {
		sub = model_sub_find(f, topic);
		if (!sub || !is_flushed(f->model, topic, prefix, len, bucket))
			continue;
		end(sub, false);
		f->flushed++;
		++*ended;
	}
	if (f->flushed == before)
		return;
	f->flush_at = f->len;
	for (sub = f->subs; sub; sub = sub->next)
		sub->latest.ahead = sub->latest.change;
}

void model_flush_subs(struct model *m, const void *prefix, size_t len, __u32 bucket,
		      __u64 *ended)
{
	int i;

	for (i = 0; i < MODEL_FILES; i++)
		if (m->files[i].is_open)
			flush_file(&m->files[i], prefix, len, bucket, ended);
}

int model_nr_subs(const struct model_file *f)
{
	struct model_sub *sub;
	int nr = 0;

	for (sub = f->subs; sub; sub = sub->next)
		nr += !sub->ended;
	return nr;
}

int model_subscribers(const struct model *m, int key)
{
	int i, topic, nr = 0;

	for (i = 0; i < MODEL_FILES; i++)
		for (topic = 0; topic < MODEL_TOPICS; topic++)
			nr += m->files[i].is_open && model_matches(topic, key) &&
			      model_sub_find(&m->files[i], topic);
	return nr;
}

/* Those to prefixes belong to no bucket. */
int model_subscriptions(const struct model *m, __u32 bucket)
{
	int i, topic, nr = 0;

	for (i = 0; i < MODEL_FILES; i++)
		for (topic = 0; topic < MODEL_TOPICS; topic++)
			nr += m->files[i].is_open &&
			      is_flushed(m, topic, "", 0, bucket) &&
			      model_sub_find(&m->files[i], topic);
	return nr;
}

void model_open(struct model *m, int number, int mode)
{
	m->files[number] = (struct model_file) {
		.model = m,
		.number = number,
		.mode = mode,
		.is_open = true,
		.max_len = m->limits.queue_len,
		.max_bytes = m->limits.queue_bytes,
	};
}

static void forget_sub(struct model_sub *sub)
{
	if (sub->latest.change)
		model_change_put(sub->latest.change);
	free(sub);
}

static int oldest_owned(const struct model *m, int number)
{
	const struct model_value *value;
	int i, found = -1;

	for (i = 0; i < MODEL_KEYS; i++) {
		value = m->keys[i].value;
		if (value && value->owner == number &&
		    (found < 0 || value->serial < m->keys[found].value->serial))
			found = i;
	}
	return found;
}

/* It hears nothing of its own values, which go in the order in which they were stored. */
void model_close(struct model *m, int number, struct model_changes *changes)
{
	struct model_file *f = &m->files[number];
	struct model_sub *sub;
	int key;

	while ((sub = f->subs)) {
		f->subs = sub->next;
		forget_sub(sub);
	}
	while (f->len)
		model_change_put(f->ring[--f->len].change);
	f->is_open = false;
	while ((key = oldest_owned(m, number)) >= 0)
		model_remove(m, key, METASTORE_EVENT_F_OWNER, MODEL_NOBODY, changes);
}
