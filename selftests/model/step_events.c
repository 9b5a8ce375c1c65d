// SPDX-License-Identifier: GPL-2.0
/* Subscriptions, the queue, and reading from it. */
#include "world.h"

static __u32 topic_flags(int topic)
{
	return topic < MODEL_KEYS ? 0 : METASTORE_SUBSCRIBE_PREFIX;
}

/* All of them, or one, or any; 0 is METASTORE_EVENT_PUBLISHED */
static __u32 draw_mask(struct world *w)
{
	switch (draw(w, 4)) {
	case 0:
		return 1U << draw(w, 7);
	case 1:
		return draw(w, 128);
	}
	return EVENTS_ALL;
}

/* Mostly one to which the file is subscribed */
static int draw_topic(struct world *w, int file)
{
	int i, topic = draw(w, MODEL_TOPICS);

	if (one_in(w, 8))
		return topic;
	for (i = 0; i < MODEL_TOPICS; i++) {
		if (model_sub_find(&w->model.files[file], topic))
			break;
		topic = (topic + 1) % MODEL_TOPICS;
	}
	return topic;
}

bool step_resync(struct world *w)
{
	int file = draw_file(w), topic = draw_topic(w, file);
	struct metastore_subscribe arg = {
		.key = ms_ptr(model_names[topic].bytes),
		.key_len = model_names[topic].len,
		.flags = METASTORE_SUBSCRIBE_RESYNC | topic_flags(topic),
	};
	int got;

	world_say(w, "file %d RESYNC topic %d", file, topic);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_SUBSCRIBE, &arg);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "RESYNC", got, -EBADF);
	return world_same(w, "RESYNC", got, model_resync(&w->model.files[file], topic));
}

static void draw_subscribe(struct world *w, int topic, struct metastore_subscribe *arg)
{
	*arg = (struct metastore_subscribe) {
		.key = ms_ptr(model_names[topic].bytes),
		.key_len = model_names[topic].len,
		.events = draw_mask(w),
		.cookie = ++w->cookies,
		.flags = topic_flags(topic),
	};
	if (one_in(w, 3))
		arg->flags |= METASTORE_SUBSCRIBE_LATEST;
	if (one_in(w, 5))
		arg->flags |= METASTORE_SUBSCRIBE_NO_VALUE;
	if (one_in(w, 3))
		arg->flags |= METASTORE_SUBSCRIBE_SNAPSHOT;
	if (topic < MODEL_KEYS && arg->flags & METASTORE_SUBSCRIBE_SNAPSHOT && one_in(w, 3)) {
		arg->flags |= METASTORE_SUBSCRIBE_NEWER;
		arg->version = w->model.keys[topic].newer - draw(w, 2);
	}
}

bool step_subscribe(struct world *w)
{
	int file = draw_file(w), topic = draw(w, MODEL_TOPICS), got;
	struct metastore_subscribe arg;

	draw_subscribe(w, topic, &arg);
	world_say(w, "file %d SUBSCRIBE topic %d flags %#x mask %#x cookie %llu version %llu",
		  file, topic, arg.flags, arg.events, arg.cookie, arg.version);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_SUBSCRIBE, &arg);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "SUBSCRIBE", got, -EBADF);
	return world_same(w, "SUBSCRIBE", got,
			  model_subscribe(&w->model.files[file], topic, &arg));
}

bool step_unsubscribe(struct world *w)
{
	int file = draw_file(w), topic = draw_topic(w, file), got;
	bool discard = one_in(w, 2);
	struct metastore_unsubscribe arg = {
		.key = ms_ptr(model_names[topic].bytes),
		.key_len = model_names[topic].len,
		.flags = topic_flags(topic) | (discard ? METASTORE_SUBSCRIBE_DISCARD : 0),
	};

	world_say(w, "file %d UNSUBSCRIBE topic %d flags %#x", file, topic, arg.flags);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_UNSUBSCRIBE, &arg);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "UNSUBSCRIBE", got, -EBADF);
	return world_same(w, "UNSUBSCRIBE", got,
			  model_unsubscribe(&w->model.files[file], topic, discard));
}

bool step_queue(struct world *w)
{
	static const __u32 bytes[] = { 4096, 6000, 16384, 65536 };
	int file = draw_file(w), got;
	struct metastore_queue_info arg = {
		.flags = draw(w, 8),
		.policy = draw(w, 2),
		.max_len = 1 + draw(w, 32),
		.max_bytes = bytes[draw(w, 4)],
	};
	struct metastore_queue_info asked = arg;

	world_say(w, "file %d QUEUE flags %#x policy %u len %u bytes %u", file, arg.flags,
		  arg.policy, arg.max_len, arg.max_bytes);
	got = ms_ioctl(w->fds[file], METASTORE_IOC_QUEUE, &arg);
	if (w->model.files[file].mode == O_WRONLY)
		return world_same(w, "QUEUE", got, -EBADF);
	return world_same(w, "QUEUE", got, model_configure(&w->model.files[file], &asked));
}

/* Smallest and greatest size of what may come next; 0 and 0: nothing waits */
static void next_sizes(struct model_file *f, size_t *least, size_t *most)
{
	size_t sizes[MODEL_SIZES];
	int i, nr = model_next_sizes(f, sizes);

	*least = nr ? sizes[0] : 0;
	*most = 0;
	for (i = 0; i < nr; i++) {
		*least = sizes[i] < *least ? sizes[i] : *least;
		*most = sizes[i] > *most ? sizes[i] : *most;
	}
}

/* The writer, and the end of the owner, are the same for all: it was this process. */
static bool check_writer(struct world *w, const struct metastore_event *ev)
{
	struct metastore_owner_end end;

	if (!ev->key_len)
		return true;
	if (ev->flags & METASTORE_EVENT_F_OWNER) {
		end = ms_event_end(ev);
		if (!world_same(w, "end.tgid", end.tgid, getpid()) ||
		    !world_same(w, "end.how", end.how, METASTORE_END_CLOSED))
			return false;
	}
	return world_same(w, "tgid", ev->tgid, getpid()) && world_same(w, "uid", ev->uid, 0);
}

static bool take_record(struct world *w, struct model_file *f, const struct metastore_event *ev,
			size_t left)
{
	const char *wrong;

	if (!ms_event_valid(ev, left))
		return world_fail(w, "a record that no module may send");
	wrong = model_read(f, ev);
	if (wrong)
		return world_fail(w, "%s: type %#x flags %#x cookie %llu version %llu len %u %u",
				  wrong, ev->type, ev->flags, ev->cookie, ev->version,
				  ev->key_len, ev->value_len);
	return check_writer(w, ev);
}

/* Check what read() returned into a buffer of @size */
static bool check_read(struct world *w, struct model_file *f, const char *buf, ssize_t got,
		       size_t size)
{
	const struct metastore_event *ev;
	size_t least, most;
	ssize_t pos;

	next_sizes(f, &least, &most);
	if (got == -EAGAIN)
		return !most || world_fail(w, "EAGAIN though a record waits");
	if (got == -EMSGSIZE)
		return most > size || world_fail(w, "EMSGSIZE though there is room");
	if (got <= 0)
		return world_fail(w, "read() returned %zd", got);
	for (pos = 0; pos < got; pos += ev->len) {
		ev = (const void *)(buf + pos);
		if (!take_record(w, f, ev, got - pos))
			return false;
	}
	next_sizes(f, &least, &most);
	return !most || most > size - got ||
	       world_fail(w, "read() left a record of %zu bytes, though there was room", most);
}

static bool read_some(struct world *w, int file, size_t size)
{
	static char buf[MS_READER_SIZE];
	struct model_file *f = &w->model.files[file];
	bool ok;

	ok = check_read(w, f, buf, ms_read(w->fds[file], buf, size), size);
	model_snapshots_looked(f);
	return ok;
}

bool step_read(struct world *w)
{
	int file = draw_file(w);
	size_t size;

	switch (draw(w, 4)) {
	case 0:
		size = 1 + draw(w, 200);
		break;
	case 1:
		size = 1 + draw(w, 3000);
		break;
	default:
		size = MS_READER_SIZE;
	}
	world_say(w, "file %d read %zu", file, size);
	if (w->model.files[file].mode == O_WRONLY) {
		char c;

		return world_same(w, "read()", ms_read(w->fds[file], &c, 1), -EBADF);
	}
	return read_some(w, file, size);
}

/* Everything that waits */
bool step_drain(struct world *w, int file)
{
	size_t least, most = 1;
	int i;

	for (i = 0; most && i < 1000; i++) {
		if (!read_some(w, file, MS_READER_SIZE))
			return false;
		next_sizes(&w->model.files[file], &least, &most);
	}
	return !most || world_fail(w, "records that do not end");
}

/* poll() and FIONREAD */
bool step_look(struct world *w)
{
	int file = draw_file(w), size, ready;
	struct model_file *f = &w->model.files[file];
	size_t sizes[MODEL_SIZES];
	int i, nr;

	world_say(w, "file %d poll, FIONREAD", file);
	if (f->mode == O_WRONLY)
		return true;
	ready = ms_poll(w->fds[file], 0);
	size = ms_pending(w->fds[file]);
	nr = model_next_sizes(f, sizes);
	model_snapshots_looked(f);
	if (!world_same(w, "poll()", ready, nr ? POLLIN : 0))
		return false;
	if (!nr)
		return world_same(w, "FIONREAD", size, 0);
	for (i = 0; i < nr; i++)
		if (size == (int)sizes[i])
			return true;
	return world_fail(w, "FIONREAD: %d is of no record that may be next", size);
}
