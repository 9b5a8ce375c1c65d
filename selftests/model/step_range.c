// SPDX-License-Identifier: GPL-2.0
/* FLUSH, LIST, and what counts: INFO, STAT, SUBSCRIBERS, BUCKET. */
#include "world.h"

static __u32 draw_bucket(struct world *w)
{
	return one_in(w, 2) ? METASTORE_ANY_BUCKET : draw(w, w->model.limits.buckets + 1);
}

/* Topics are as good as any prefix; the empty one is that of most calls. */
static const struct model_name *draw_prefix(struct world *w)
{
	return &model_names[one_in(w, 2) ? MODEL_KEYS : draw(w, MODEL_TOPICS)];
}

static bool is_bucket(const struct world *w, __u32 bucket)
{
	return bucket == METASTORE_ANY_BUCKET || bucket < w->model.limits.buckets;
}

/* In the order of LIST. Values of others stay without STEAL. Returns their number. */
static __u64 flush_values(struct world *w, int file, const struct metastore_flush *arg,
			  const struct model_name *prefix, struct model_changes *changes)
{
	const struct model_file *f = &w->model.files[file];
	struct model *m = &w->model;
	int rank = -1, key;
	__u64 nr = 0;

	while ((key = model_next_key(m, rank, prefix->bytes, prefix->len, arg->bucket)) >= 0) {
		rank = m->keys[key].rank;
		if (model_owner(f, m->keys[key].value) == METASTORE_OWNER_OTHER &&
		    !(arg->flags & METASTORE_FLUSH_STEAL))
			continue;
		model_remove(m, key, METASTORE_EVENT_F_FLUSH, file, changes);
		nr++;
	}
	return nr;
}

bool step_flush(struct world *w)
{
	const struct model_name *prefix = draw_prefix(w);
	struct model_changes changes = {};
	int file = draw_file(w), got;
	__u64 values, ended = 0;
	struct metastore_flush arg = {
		.prefix = ms_ptr(prefix->bytes),
		.prefix_len = prefix->len,
		.bucket = draw_bucket(w),
		.flags = draw(w, 2) * METASTORE_FLUSH_STEAL |
			 one_in(w, 4) * METASTORE_FLUSH_SUBSCRIPTIONS,
		.values = POISON64,
		.subscriptions = POISON64,
	};

	world_say(w, "file %d FLUSH prefix %td bucket %d flags %#x", file, prefix - model_names,
		  (int)arg.bucket, arg.flags);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_FLUSH, &arg);
	if (w->model.files[file].mode == O_RDONLY)
		return world_same(w, "FLUSH", got, -EBADF);
	if (!is_bucket(w, arg.bucket))
		return world_same(w, "FLUSH", got, -ERANGE);
	values = flush_values(w, file, &arg, prefix, &changes);
	world_tell(w, &changes, false, false);
	model_changes_put(&changes);
	if (arg.flags & METASTORE_FLUSH_SUBSCRIPTIONS)
		model_flush_subs(&w->model, prefix->bytes, prefix->len, arg.bucket, &ended);
	return world_same(w, "FLUSH", got, 0) && world_same(w, "values", arg.values, values) &&
	       world_same(w, "subscriptions", arg.subscriptions, ended);
}

static bool check_details(struct world *w, int file, const struct metastore_list_details *d,
			  const struct model_value *value, struct model_span now)
{
	return world_within(w, "time", d->time, value->time) &&
	       world_within(w, "ttl", d->ttl, world_rest(value->end, now)) &&
	       world_same(w, "tgid", d->tgid, getpid()) && world_same(w, "uid", d->uid, 0) &&
	       world_same(w, "owner", d->owner,
			  model_owner(&w->model.files[file], value)) &&
	       world_same(w, "reserved", d->reserved, 0);
}

/* The length of the entry of @key, with its value or without */
static size_t entry_len(const struct world *w, int key, size_t header, bool value)
{
	size_t len = header + model_names[key].len;

	if (value)
		len += w->model.keys[key].value->len;
	return (len + 7) / 8 * 8;
}

static bool check_entry(struct world *w, const struct metastore_list_entry *entry, int key,
			bool values)
{
	const struct model_value *value = w->model.keys[key].value;
	const char *name = (const char *)entry + entry->header_len;
	size_t header = sizeof(*entry);

	if (values)
		header += sizeof(struct metastore_list_details);
	if (entry->header_len != header || entry->key_len != model_names[key].len ||
	    memcmp(name, model_names[key].bytes, entry->key_len))
		return world_fail(w, "LIST: another key than %d", key);
	if (values && !entry->flags && !model_value_is(value, name + entry->key_len, value->len))
		return world_fail(w, "LIST: another value of %d", key);
	return world_same(w, "LIST: len", entry->len,
			  entry_len(w, key, header, values && !entry->flags)) &&
	       world_same(w, "LIST: value_len", entry->value_len, value->len) &&
	       world_same(w, "LIST: version", entry->version, value->version);
}

/* A value is left out only of the first entry, and only if it does not fit. */
static bool check_left_out(struct world *w, const struct metastore_list_entry *entry, int key,
			   bool values, bool first, __u32 size)
{
	bool fits = !values || entry_len(w, key, entry->header_len, true) <= size;

	return world_same(w, "LIST: flags", entry->flags,
			  first && !fits ? METASTORE_LIST_F_NO_VALUE : 0);
}

static bool check_list(struct world *w, int file, const struct metastore_list *asked,
		       const struct metastore_list *got, int rank, struct model_span now)
{
	const char *buf = (const char *)(uintptr_t)asked->buffer;
	const void *prefix = (const void *)(uintptr_t)asked->prefix;
	bool values = asked->flags;
	const struct metastore_list_entry *entry;
	__u32 i, pos = 0;
	int key;

	for (i = 0; i < got->entries; i++, pos += entry->len) {
		entry = (const void *)(buf + pos);
		key = model_next_key(&w->model, rank, prefix, asked->prefix_len, asked->bucket);
		if (key < 0)
			return world_fail(w, "LIST: an entry too many");
		if (!check_entry(w, entry, key, values) ||
		    !check_left_out(w, entry, key, values, !i, asked->buffer_len))
			return false;
		if (values && !check_details(w, file, (const void *)(entry + 1),
					     w->model.keys[key].value, now))
			return false;
		rank = w->model.keys[key].rank;
	}
	key = model_next_key(&w->model, rank, prefix, asked->prefix_len, asked->bucket);
	if (key >= 0 && !got->entries)
		return world_fail(w, "LIST: the end ahead of key %d", key);
	return world_same(w, "LIST: buffer_len", got->buffer_len, pos);
}

bool step_list(struct world *w)
{
	static char buffer[16384];
	const struct model_name *prefix = draw_prefix(w);
	int file = draw_file(w), cursor = draw(w, 2 * MODEL_KEYS), got, rank = -1;
	struct model_span now = { ms_now(CLOCK_BOOTTIME), 0 };
	struct metastore_list asked = {
		.buffer = ms_ptr(buffer),
		.prefix = ms_ptr(prefix->bytes),
		.prefix_len = prefix->len,
		.buffer_len = one_in(w, 2) ? sizeof(buffer) : 500 + draw(w, 1000),
		.bucket = draw_bucket(w),
		.flags = draw(w, 2),
	};
	struct metastore_list arg;

	if (cursor < MODEL_KEYS) {
		asked.cursor = ms_ptr(model_names[cursor].bytes);
		asked.cursor_len = model_names[cursor].len;
		rank = w->model.keys[cursor].rank;
	}
	arg = asked;
	world_say(w, "file %d LIST prefix %td cursor %d bucket %d flags %#x size %u", file,
		  prefix - model_names, cursor, (int)arg.bucket, arg.flags, arg.buffer_len);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_LIST, &arg);
	now.most = ms_now(CLOCK_BOOTTIME);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "LIST", got, -EBADF);
	if (asked.buffer_len < METASTORE_LIST_MIN)
		return world_same(w, "LIST", got, -EMSGSIZE);
	if (!is_bucket(w, asked.bucket))
		return world_same(w, "LIST", got, -ERANGE);
	return world_same(w, "LIST", got, 0) && check_list(w, file, &asked, &arg, rank, now);
}

static bool ask_info(struct world *w)
{
	__u32 bucket = draw_bucket(w);
	struct metastore_info info;
	int got = ms_info(w->fds[draw_file(w)], bucket, &info);

	world_say(w, "INFO bucket %d", (int)bucket);
	if (!is_bucket(w, bucket))
		return world_same(w, "INFO", got, -ERANGE);
	return world_same(w, "INFO", got, 0) &&
	       world_same(w, "keys", info.keys, model_nr_keys(&w->model, bucket)) &&
	       world_same(w, "bytes", info.bytes, model_bytes(&w->model, bucket)) &&
	       world_same(w, "subscriptions", info.subscriptions,
			  model_subscriptions(&w->model, bucket)) &&
	       world_same(w, "buckets", info.buckets, w->model.limits.buckets) &&
	       world_same(w, "max_keys", info.max_keys, w->model.limits.max_keys) &&
	       world_same(w, "max_bytes", info.max_bytes, w->model.limits.max_bytes);
}

static bool check_stat(struct world *w, int file, int key, const struct metastore_stat *st,
		       struct model_span now)
{
	const struct model_value *value = w->model.keys[key].value;

	return world_same(w, "version", st->version, value->version) &&
	       world_within(w, "time", st->time, value->time) &&
	       world_same(w, "value_len", st->value_len, value->len) &&
	       world_same(w, "tgid", st->tgid, getpid()) && world_same(w, "uid", st->uid, 0) &&
	       world_same(w, "subscribers", st->subscribers,
			  model_subscribers(&w->model, key)) &&
	       world_same(w, "bucket", st->bucket, w->model.keys[key].bucket) &&
	       world_within(w, "ttl", st->ttl, world_rest(value->end, now)) &&
	       world_same(w, "owner", st->owner, model_owner(&w->model.files[file], value));
}

static bool ask_stat(struct world *w)
{
	int file = draw_file(w), key = draw(w, MODEL_KEYS), got;
	struct metastore_stat arg = {
		.key = ms_ptr(model_names[key].bytes),
		.key_len = model_names[key].len,
	};
	struct model_span now = { ms_now(CLOCK_BOOTTIME), 0 };

	world_say(w, "file %d STAT key %d", file, key);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_STAT, &arg);
	now.most = ms_now(CLOCK_BOOTTIME);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "STAT", got, -EBADF);
	if (!w->model.keys[key].value)
		return world_same(w, "STAT", got, -ENOENT);
	return world_same(w, "STAT", got, 0) && check_stat(w, file, key, &arg, now);
}

static bool ask_subscribers(struct world *w)
{
	int file = draw_file(w), key = draw(w, MODEL_KEYS), got;
	struct metastore_subscribers arg = {
		.key = ms_ptr(model_names[key].bytes),
		.key_len = model_names[key].len,
	};

	world_say(w, "file %d SUBSCRIBERS key %d", file, key);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_SUBSCRIBERS, &arg);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "SUBSCRIBERS", got, -EBADF);
	return world_same(w, "SUBSCRIBERS", got, 0) &&
	       world_same(w, "subscribers", arg.subscribers, model_subscribers(&w->model, key)) &&
	       world_same(w, "BUCKET", ms_bucketn(w->fds[file], model_names[key].bytes,
						  model_names[key].len),
			  w->model.keys[key].bucket);
}

bool step_ask(struct world *w)
{
	switch (draw(w, 3)) {
	case 0:
		return ask_info(w);
	case 1:
		return ask_stat(w);
	}
	return ask_subscribers(w);
}
