// SPDX-License-Identifier: GPL-2.0
/* Checks that are possible at any time: books of queues and subscriptions, and values. */
#include "world.h"

static bool check_books(struct world *w, const struct model_books *books, __u64 pending,
			const __u64 *got)
{
	const __u64 want[] = {
		books->matched, books->delivered, books->conflated, books->lost, pending,
		books->discarded,
	};
	static const char *const names[] = {
		"matched", "delivered", "conflated", "lost", "pending", "discarded",
	};
	size_t i;

	if (!world_same(w, "the model's own books", books->matched, books->delivered +
			books->conflated + books->lost + books->discarded + pending))
		return false;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!world_same(w, names[i], got[i], want[i]))
			return false;
	return true;
}

static bool check_queue(struct world *w, struct model_file *f)
{
	struct metastore_queue_info info;
	int got = ms_queue(w->fds[f->number], &info), len = model_queue_len(f);
	const __u64 books[] = {
		info.matched, info.delivered, info.conflated, info.lost, info.pending,
		info.discarded,
	};

	return world_same(w, "QUEUE", got, 0) &&
	       world_same(w, "policy", info.policy, f->lossless) &&
	       world_same(w, "max_len", info.max_len, f->max_len) &&
	       world_same(w, "max_bytes", info.max_bytes, f->max_bytes) &&
	       world_same(w, "len", info.len, len) &&
	       world_same(w, "bytes", info.bytes, model_queue_bytes(f)) &&
	       world_same(w, "high_len", info.high_len, f->high_len) &&
	       world_same(w, "subscriptions", info.subscriptions, model_nr_subs(f)) &&
	       world_same(w, "oldest is 0", !info.oldest, !len) &&
	       check_books(w, &f->books, len, books);
}

static bool check_sub(struct world *w, struct model_file *f, int topic)
{
	struct metastore_subscription_info info = {
		.key = ms_ptr(model_names[topic].bytes),
		.key_len = model_names[topic].len,
		.flags = topic < MODEL_KEYS ? 0 : METASTORE_SUBSCRIBE_PREFIX,
	};
	int got = ms_ioctl(w->fds[f->number], METASTORE_IOC_SUBSCRIPTION, &info);
	const struct model_sub *sub = model_sub_find(f, topic);
	const __u64 books[] = {
		info.matched, info.delivered, info.conflated, info.lost, info.pending,
		info.discarded,
	};

	if (!sub)
		return world_same(w, "SUBSCRIPTION", got, -ENOENT);
	return world_same(w, "SUBSCRIPTION", got, 0) &&
	       world_same(w, "cookie", info.cookie, sub->cookie) &&
	       world_same(w, "mask", info.events, sub->events) &&
	       world_same(w, "flags", info.flags, sub->flags |
			  (sub->snapshot ? METASTORE_SUBSCRIBE_SNAPSHOT : 0)) &&
	       check_books(w, &sub->books, model_sub_pending(sub), books);
}

static bool check_key(struct world *w, int key)
{
	const struct model_value *value = w->model.keys[key].value;
	char buf[WORLD_VALUE];
	__u64 version;
	int len = ms_getn(w->fds[0], model_names[key].bytes, model_names[key].len, buf,
			  sizeof(buf), &version);

	if (!value)
		return world_same(w, "GET", len, -ENOENT);
	if (!world_same(w, "GET", len, value->len) ||
	    !world_same(w, "version", version, value->version))
		return false;
	return model_value_is(value, buf, len) || world_fail(w, "other bytes of key %d", key);
}

static bool check_file(struct world *w, int file)
{
	struct model_file *f = &w->model.files[file];
	int topic;

	if (!f->is_open || f->mode == O_WRONLY)
		return true;
	if (!check_queue(w, f))
		return false;
	for (topic = 0; topic < MODEL_TOPICS; topic++)
		if (!check_sub(w, f, topic)) {
			world_say(w, " (then of file %d, topic %d)", file, topic);
			return false;
		}
	return true;
}

static bool check_info(struct world *w)
{
	struct metastore_info info;

	return world_same(w, "INFO", ms_info(w->fds[0], METASTORE_ANY_BUCKET, &info), 0) &&
	       world_same(w, "keys", info.keys,
			  model_nr_keys(&w->model, METASTORE_ANY_BUCKET)) &&
	       world_same(w, "bytes", info.bytes,
			  model_bytes(&w->model, METASTORE_ANY_BUCKET)) &&
	       world_same(w, "subscriptions", info.subscriptions,
			  model_subscriptions(&w->model, METASTORE_ANY_BUCKET));
}

/* Everything. It changes nothing: queues are as they were. */
bool check_all(struct world *w)
{
	int i;

	for (i = 0; i < MODEL_FILES; i++)
		if (!check_file(w, i))
			return false;
	for (i = 0; i < MODEL_KEYS; i++)
		if (!check_key(w, i))
			return false;
	return check_info(w);
}

/* One queue, one subscription and one value, so that it can be done after each step */
bool check_some(struct world *w)
{
	struct model_file *f = &w->model.files[draw_file(w)];

	if (!check_key(w, draw(w, MODEL_KEYS)))
		return false;
	if (f->mode == O_WRONLY)
		return true;
	world_say(w, " (then of file %d)", f->number);
	return check_queue(w, f) && check_sub(w, f, draw(w, MODEL_TOPICS));
}
