// SPDX-License-Identifier: GPL-2.0
/* Records that a reader may get next, and the one that it gets. */
#include <string.h>

#include "model.h"

static size_t record_size(const struct model_sub *sub, const struct model_value *value,
			  __u16 flags)
{
	size_t size = sizeof(struct metastore_event) + model_names[value->key].len;

	if (flags & METASTORE_EVENT_F_OWNER)
		size += sizeof(struct metastore_owner_end);
	if (!(sub->flags & METASTORE_SUBSCRIBE_NO_VALUE))
		size += value->len;
	return (size + 7) / 8 * 8;
}

static size_t event_size(const struct model_event *event)
{
	return record_size(event->sub, event->change->value, event->flags);
}

/* Sizes of what the snapshot may have next: it may have passed some keys unseen. */
static int snapshot_sizes(const struct model_sub *sub, size_t *sizes)
{
	const struct model_key *keys = sub->file->model->keys;
	int key, rank = sub->after, nr = 0;

	for (;;) {
		key = model_snapshot_next(sub, rank);
		if (key < 0)
			break;
		sizes[nr++] = record_size(sub, keys[key].value, 0);
		if (!model_snapshot_may_hear(sub, key))
			return nr;
		rank = keys[key].rank;
	}
	sizes[nr++] = sizeof(struct metastore_event);
	return nr;
}

static bool has_losses(const struct model_file *f)
{
	const struct model_sub *sub;

	for (sub = f->subs; sub; sub = sub->next)
		if (sub->untold)
			return true;
	return false;
}

/* Whether what comes next is the rest of an atomic batch */
static bool is_amid_group(const struct model_file *f)
{
	return f->group && f->len && f->ring[0].change->group == f->group;
}

/* FLUSHED is behind what was queued before it. */
static bool is_flush_next(const struct model_file *f)
{
	const struct model_sub *sub;

	for (sub = f->subs; sub; sub = sub->next)
		if (sub->latest.change && sub->latest.ahead)
			return false;
	return f->flushed && !f->flush_at && !is_amid_group(f);
}

/* Sizes of all records that may come next. Returns their number, at most MODEL_SIZES. */
int model_next_sizes(struct model_file *f, size_t *sizes)
{
	const struct model_sub *sub;
	int nr = 0;

	model_trim(f);
	if (has_losses(f) || is_flush_next(f))
		sizes[nr++] = sizeof(struct metastore_event);
	if (has_losses(f))
		return nr;
	if (f->len)
		sizes[nr++] = event_size(&f->ring[0]);
	if (is_amid_group(f))
		return nr;
	for (sub = f->subs; sub; sub = sub->next) {
		/* Many may have ended with an event to be read. */
		if (nr > MODEL_SIZES - MODEL_KEYS - 3)
			break;
		if (sub->latest.change)
			sizes[nr++] = event_size(&sub->latest);
		if (sub->snapshot)
			nr += snapshot_sizes(sub, sizes + nr);
	}
	return nr;
}

static struct model_sub *sub_of_cookie(const struct model_file *f, __u64 cookie)
{
	struct model_sub *sub = f->subs;

	while (sub && sub->cookie != cookie)
		sub = sub->next;
	return sub;
}

static bool is_of_key(const struct metastore_event *ev, int key)
{
	return ev->key_len == model_names[key].len &&
	       !memcmp((const char *)ev + ev->header_len, model_names[key].bytes, ev->key_len);
}

static const char *check_value(const struct model_sub *sub, const struct metastore_event *ev,
			       const struct model_value *value)
{
	const char *key = (const char *)ev + ev->header_len;

	if (!is_of_key(ev, value->key))
		return "another key";
	if (!(sub->flags & METASTORE_SUBSCRIBE_NO_VALUE) &&
	    !model_value_is(value, key + ev->key_len, ev->value_len))
		return "another value";
	if (ev->time < value->time.least || ev->time > value->time.most)
		return "another time of the write";
	return NULL;
}

static const char *check_version(struct model_sub *sub, const struct metastore_event *ev,
				 struct model_change *change)
{
	if (change->version ? ev->version != change->version : ev->version <= change->newer)
		return "another version";
	change->version = ev->version;
	if (ev->version <= sub->seen[change->key])
		return "a version that is not above that of the event before";
	sub->seen[change->key] = ev->version;
	return NULL;
}

static const char *read_lost(struct model_file *f, const struct metastore_event *ev)
{
	struct model_sub *sub = sub_of_cookie(f, ev->cookie);

	if (!sub || !sub->untold)
		return "LOST of a subscription that lost nothing";
	if (ev->count != sub->untold)
		return "LOST with another count";
	sub->untold = 0;
	f->group = 0;
	model_sub_free_if_done(sub);
	return NULL;
}

static const char *read_flushed(struct model_file *f, const struct metastore_event *ev)
{
	if (!is_flush_next(f))
		return "FLUSHED that should not come yet";
	if (ev->count != f->flushed)
		return "FLUSHED with another count";
	f->flushed = 0;
	f->group = 0;
	return NULL;
}

static void count_delivered(struct model_sub *sub, __u64 matched)
{
	sub->books.matched += matched;
	sub->file->books.matched += matched;
	sub->books.delivered++;
	sub->file->books.delivered++;
}

/* The next key of a snapshot, behind those that it may have passed unseen, and has */
static int next_key(struct model_sub *sub, const struct metastore_event *ev)
{
	int key;

	for (;;) {
		key = model_snapshot_next(sub, sub->after);
		if (key < 0 || is_of_key(ev, key) || !model_snapshot_may_hear(sub, key))
			return key;
		sub->after = sub->file->model->keys[key].rank;
	}
}

static const char *read_snapshot(struct model_file *f, const struct metastore_event *ev)
{
	struct model_sub *sub = sub_of_cookie(f, ev->cookie);
	const struct model_value *value;
	const char *wrong;
	int key;

	if (!sub || !sub->snapshot)
		return "a record of no snapshot";
	key = next_key(sub, ev);
	if (ev->type == METASTORE_EVENT_SNAPSHOT_END) {
		sub->snapshot = false;
		return key < 0 ? NULL : "SNAPSHOT_END ahead of a value";
	}
	if (key < 0)
		return "SNAPSHOT where its end should be";
	value = f->model->keys[key].value;
	wrong = check_value(sub, ev, value);
	if (wrong)
		return wrong;
	if (ev->version != value->version)
		return "SNAPSHOT with another version";
	if (ev->flags != (sub->flags & METASTORE_SUBSCRIBE_NO_VALUE ?
			  METASTORE_EVENT_F_NO_VALUE : 0))
		return "SNAPSHOT with other flags";
	if (ev->version < sub->seen[key])
		return "SNAPSHOT that is older than an event before it";
	sub->seen[key] = ev->version;
	sub->after = f->model->keys[key].rank;
	if (sub->before <= sub->after)
		sub->before = sub->after + 1;
	count_delivered(sub, 1);
	return NULL;
}

static const char *check_event(struct model_event *event, const struct metastore_event *ev)
{
	if (ev->type != event->change->type)
		return "another type";
	if (ev->flags != event->flags)
		return "other flags";
	return check_value(event->sub, ev, event->change->value) ?:
	       check_version(event->sub, ev, event->change);
}

static const char *read_event(struct model_file *f, const struct metastore_event *ev)
{
	struct model_sub *sub = sub_of_cookie(f, ev->cookie);
	struct model_event *event = NULL;
	const char *wrong;

	if (!sub)
		return "an event of no subscription";
	if (f->len && f->ring[0].sub == sub)
		event = &f->ring[0];
	else if (sub->latest.change && !is_amid_group(f))
		event = &sub->latest;
	if (!event)
		return "an event that is not next";
	wrong = check_event(event, ev);
	if (wrong)
		return wrong;
	count_delivered(sub, 0);
	f->group = event->flags & METASTORE_EVENT_F_MORE ? event->change->group : 0;
	if (event == &f->ring[0]) {
		model_ring_remove(f);
	} else {
		model_change_put(event->change);
		event->change = NULL;
	}
	model_sub_free_if_done(sub);
	return NULL;
}

/* A reader got this record. Returns what is wrong with it, or NULL. */
const char *model_read(struct model_file *f, const struct metastore_event *ev)
{
	model_trim(f);
	if (ev->type == METASTORE_EVENT_LOST)
		return read_lost(f, ev);
	if (has_losses(f))
		return "another record ahead of LOST";
	if (ev->type == METASTORE_EVENT_FLUSHED)
		return read_flushed(f, ev);
	if (ev->type & (METASTORE_EVENT_SNAPSHOT | METASTORE_EVENT_SNAPSHOT_END))
		return is_amid_group(f) ? "a snapshot amid an atomic batch" :
					  read_snapshot(f, ev);
	return read_event(f, ev);
}
