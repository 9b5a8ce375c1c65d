// SPDX-License-Identifier: GPL-2.0
/* Both stores: how they are made, random numbers, and what differed. */
#include <stdarg.h>

#include "world.h"

__u64 world_hash(__u64 number)
{
	number += 0x9e3779b97f4a7c15ULL;
	number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9ULL;
	number = (number ^ number >> 27) * 0x94d049bb133111ebULL;
	return number ^ number >> 31;
}

__u32 draw(struct world *w, __u32 below)
{
	w->random = world_hash(w->random);
	return (w->random >> 16) % below;
}

bool one_in(struct world *w, __u32 times)
{
	return !draw(w, times);
}

/* One that is open */
int draw_file(struct world *w)
{
	int number;

	do
		number = draw(w, MODEL_FILES);
	while (!w->model.files[number].is_open);
	return number;
}

void world_say(struct world *w, const char *format, ...)
{
	size_t len = strlen(w->what);
	va_list args;

	va_start(args, format);
	vsnprintf(w->what + len, sizeof(w->what) - len, format, args);
	va_end(args);
}

bool world_fail(struct world *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->wrong, sizeof(w->wrong), format, args);
	va_end(args);
	return false;
}

bool world_same(struct world *w, const char *what, long long got, long long want)
{
	return got == want || world_fail(w, "%s: %lld instead of %lld", what, got, want);
}

bool world_within(struct world *w, const char *what, __u64 got, struct model_span span)
{
	return (got >= span.least && got <= span.most) ||
	       world_fail(w, "%s: %llu instead of %llu to %llu", what, got, span.least,
			  span.most);
}

/* The rest of a time to live in ms, as the module tells it */
struct model_span world_rest(struct model_span end, struct model_span now)
{
	if (!end.most)
		return end;
	return (struct model_span) { (end.least - now.most + 999999) / 1000000,
				     (end.most - now.least + 999999) / 1000000 };
}

/* Events of the subscription that the module matched, as it tells them */
static __u64 ask_matched(const struct world *w, const struct model_sub *sub)
{
	struct metastore_subscription_info info = {
		.key = ms_ptr(model_names[sub->topic].bytes),
		.key_len = model_names[sub->topic].len,
		.flags = sub->topic < MODEL_KEYS ? 0 : METASTORE_SUBSCRIBE_PREFIX,
	};

	return ms_ioctl(w->fds[sub->file->number], METASTORE_IOC_SUBSCRIPTION, &info) ?
	       0 : info.matched;
}

/* Find out where the cursor of a snapshot is, if it matters to whether it hears of a change. */
static void settle(struct world *w, struct model_sub *sub, const struct model_changes *changes)
{
	bool unclear = false;
	__u64 certain = 0;
	int i, key;

	for (i = 0; i < changes->nr; i++) {
		key = changes->list[i]->key;
		if (!model_matches(sub->topic, key) || !model_wants(sub, changes->list[i]))
			continue;
		certain += model_snapshot_hears(sub, key);
		unclear |= model_snapshot_may_hear(sub, key);
	}
	if (unclear)
		model_snapshot_settle(sub, changes,
				      ask_matched(w, sub) - sub->books.matched - certain);
}

/* Tell the model's subscribers of changes that both made. */
void world_tell(struct world *w, struct model_changes *changes, bool atomic, bool reserved)
{
	struct model_sub *sub;
	int i;

	for (i = 0; i < MODEL_FILES; i++)
		for (sub = w->model.files[i].subs; sub; sub = sub->next)
			if (sub->snapshot)
				settle(w, sub, changes);
	if (atomic) {
		model_deliver_group(&w->model, changes);
		return;
	}
	for (i = 0; i < changes->nr; i++)
		model_deliver(&w->model, changes->list[i], reserved);
}

/* Limits so small that they are met. */
static void draw_limits(struct world *w)
{
	static const __u32 values[] = { 100, 500, 1000 };
	static const __u32 bytes[] = { 4096, 8192, 32768 };

	w->model.limits = (struct metastore_create) {
		.open_flags = O_RDWR | O_NONBLOCK | O_CLOEXEC,
		.buckets = 1 + draw(w, 8),
		.max_value = values[draw(w, 3)],
		.queue_len = 1 + draw(w, 24),
		.queue_bytes = bytes[draw(w, 3)],
		.max_keys = one_in(w, 3) ? 2 + draw(w, MODEL_KEYS) : 100,
		.max_bytes = one_in(w, 3) ? 4096 : 65536,
	};
}

/* Whether LIST has the first key ahead of the second one. Neither has a value. */
static int is_ahead(struct world *w, int first, int second)
{
	const struct model_name *names[2] = { &model_names[first], &model_names[second] };
	const struct metastore_list_entry *entry = (void *)w->buffers[0][0];
	struct metastore_list list = {
		.buffer = ms_ptr(entry),
		.buffer_len = sizeof(w->buffers[0][0]),
		.bucket = METASTORE_ANY_BUCKET,
	};
	int i, err = 0;

	for (i = 0; i < 2; i++)
		err = err ?: ms_setn(w->fds[0], names[i]->bytes, names[i]->len, "", 0, NULL);
	err = err ?: ms_ioctl(w->fds[0], METASTORE_IOC_LIST, &list);
	for (i = 0; i < 2; i++)
		err = err ?: ms_deleten(w->fds[0], names[i]->bytes, names[i]->len, NULL);
	return err ?: entry->key_len == names[0]->len &&
		      !memcmp((char *)entry + entry->header_len, names[0]->bytes,
			      entry->key_len);
}

/* The order of LIST is the module's own, and stays as it is. */
static bool learn_order(struct world *w)
{
	struct model_key *keys = w->model.keys;
	int i, j, ahead;

	for (i = 0; i < MODEL_KEYS; i++) {
		for (j = 0; j < i; j++) {
			ahead = is_ahead(w, i, j);
			if (ahead < 0)
				return world_fail(w, "SET, LIST or DELETE: %d", ahead);
			keys[ahead ? j : i].rank++;
		}
	}
	for (i = 0; i < MODEL_KEYS; i++) {
		w->model.ranked[keys[i].rank] = i;
		keys[i].bucket = ms_bucketn(w->fds[0], model_names[i].bytes, model_names[i].len);
	}
	return true;
}

/* @from: a descriptor on any store. @seed: what the limits are drawn from */
bool world_create(struct world *w, int from, __u64 seed)
{
	struct metastore_create arg;

	*w = (struct world) { .random = seed };
	model_name_all();
	draw_limits(w);
	arg = w->model.limits;
	w->fds[0] = ms_ioctl(from, METASTORE_IOC_CREATE, &arg);
	if (w->fds[0] < 0)
		return world_fail(w, "CREATE: %d", w->fds[0]);
	model_open(&w->model, 0, O_RDWR);
	return learn_order(w);
}

void world_destroy(struct world *w)
{
	struct model_changes changes = {};
	int i;

	for (i = 0; i < MODEL_FILES; i++) {
		if (!w->model.files[i].is_open)
			continue;
		close(w->fds[i]);
		model_close(&w->model, i, &changes);
		model_changes_put(&changes);
	}
	for (i = 0; i < MODEL_KEYS; i++)
		if (w->model.keys[i].value)
			model_value_put(w->model.keys[i].value);
}
