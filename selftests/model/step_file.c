// SPDX-License-Identifier: GPL-2.0
/* Open files come and go, and so do values: with their owner, or when their time is over. */
#include "world.h"

static bool reopen(struct world *w, int file)
{
	static const int modes[] = { O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY };
	int mode = modes[draw(w, 5)];

	world_say(w, "file %d OPEN mode %d", file, mode);
	w->fds[file] = ms_reopen(w->fds[0], mode | O_NONBLOCK);
	if (w->fds[file] < 0)
		return world_fail(w, "OPEN: %d", w->fds[file]);
	model_open(&w->model, file, mode);
	return true;
}

/* Not the first one: it keeps the store. */
bool step_close(struct world *w)
{
	int file = 1 + draw(w, MODEL_FILES - 1);
	struct model_changes changes = {};

	if (!w->model.files[file].is_open)
		return reopen(w, file);
	world_say(w, "file %d close", file);
	if (close(w->fds[file]))
		return world_fail(w, "close(): %d", errno);
	model_close(&w->model, file, &changes);
	world_tell(w, &changes, false, false);
	model_changes_put(&changes);
	return true;
}

static int draw_mortal(struct world *w)
{
	int i, key = draw(w, MODEL_KEYS);
	const struct model_value *value;

	for (i = 0; i < MODEL_KEYS; i++) {
		value = w->model.keys[key].value;
		if (value && value->end.most && value->owner <= 0)
			return key;
		key = (key + 1) % MODEL_KEYS;
	}
	return -1;
}

/* Until the value is gone, which the number of keys tells */
static bool await_end(struct world *w)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(20 * SECOND);
	int keys = model_nr_keys(&w->model, METASTORE_ANY_BUCKET);

	while (ms_keys(w->fds[0]) != keys) {
		if (ms_now(CLOCK_MONOTONIC) > end)
			return world_fail(w, "the value does not expire");
		ms_sleep(SECOND / 2000);
	}
	return true;
}

/* The first file ends a value that has a time to live, and nothing else happens meanwhile. */
bool step_expire(struct world *w)
{
	struct model_changes changes = {};
	int key = draw_mortal(w), got;
	struct metastore_touch arg = { .ttl = 1, .version = POISON64 };

	world_say(w, "TOUCH key %d ttl 1, until it expires", key);
	if (key < 0)
		return true;
	arg.key = ms_ptr(model_names[key].bytes);
	arg.key_len = model_names[key].len;
	got = ms_ioctl(w->fds[0], METASTORE_IOC_TOUCH, &arg);
	if (!world_same(w, "TOUCH", got, 0) ||
	    !world_same(w, "version", arg.version, w->model.keys[key].value->version))
		return false;
	model_remove(&w->model, key, METASTORE_EVENT_F_EXPIRED, MODEL_NOBODY, &changes);
	if (!await_end(w))
		return false;
	world_tell(w, &changes, false, false);
	model_changes_put(&changes);
	return true;
}
