// SPDX-License-Identifier: GPL-2.0
/* The queue of an open file: what it takes, what it drops, and its limits. */
#include <errno.h>
#include <string.h>

#include "model.h"

static void add_books(struct model_books *to, const struct model_books *more)
{
	to->matched += more->matched;
	to->delivered += more->delivered;
	to->conflated += more->conflated;
	to->lost += more->lost;
	to->discarded += more->discarded;
}

static void count(struct model_sub *sub, struct model_books more)
{
	add_books(&sub->books, &more);
	add_books(&sub->file->books, &more);
}

static void count_lost(struct model_sub *sub)
{
	count(sub, (struct model_books) { .lost = 1 });
	sub->untold++;
}

/* Bytes of an event while it waits */
static __u64 charge_of(const struct model_file *f, const struct model_change *change)
{
	__u32 least = f->max_bytes / (f->max_len + 1);
	__u32 size = model_value_size(change->value);

	return size > least ? size : least;
}

/* Bytes that an exact key with LATEST reserves */
__u64 model_place(const struct model *m)
{
	return METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD + METASTORE_KEY_MAX +
	       m->limits.max_value;
}

__u64 model_place_bytes(const struct model_file *f)
{
	const struct model_sub *sub;
	__u64 bytes = 0;

	for (sub = f->subs; sub; sub = sub->next)
		bytes += model_has_place(sub) ? model_place(f->model) : 0;
	return bytes;
}

static __u64 ring_bytes(const struct model_file *f)
{
	__u64 bytes = 0;
	int i;

	for (i = 0; i < f->len; i++)
		bytes += charge_of(f, f->ring[i].change);
	return bytes;
}

__u64 model_queue_bytes(const struct model_file *f)
{
	return ring_bytes(f) + model_place_bytes(f);
}

int model_queue_len(const struct model_file *f)
{
	const struct model_sub *sub;
	int len = f->len;

	for (sub = f->subs; sub; sub = sub->next)
		len += !!sub->latest.change;
	return len;
}

__u64 model_sub_pending(const struct model_sub *sub)
{
	__u64 nr = !!sub->latest.change;
	int i;

	for (i = 0; i < sub->file->len; i++)
		nr += sub->file->ring[i].sub == sub;
	return nr;
}

/* Remove the oldest event of the ring. */
void model_ring_remove(struct model_file *f)
{
	model_change_put(f->ring[0].change);
	f->len--;
	memmove(&f->ring[0], &f->ring[1], f->len * sizeof(f->ring[0]));
	if (f->flush_at)
		f->flush_at--;
}

static void drop_oldest(struct model_file *f)
{
	struct model_sub *sub = f->ring[0].sub;
	bool stale = f->ring[0].stale;

	model_ring_remove(f);
	if (stale)
		count(sub, (struct model_books) { .discarded = 1 });
	else
		count_lost(sub);
	model_sub_free_if_done(sub);
}

/* Remove discarded events, as soon as a reader looks and they are the oldest. */
void model_trim(struct model_file *f)
{
	while (f->len && f->ring[0].stale)
		drop_oldest(f);
}

/* Room for so many events and bytes more; drops the oldest, but not of a lossless queue */
bool model_make_room(struct model_file *f, int events, __u64 charge)
{
	if (f->lossless)
		return f->len + events <= (int)f->max_len &&
		       model_queue_bytes(f) + charge <= f->max_bytes;
	if (model_place_bytes(f) + charge > f->max_bytes)
		return false;
	while (f->len + events > (int)f->max_len ||
	       model_queue_bytes(f) + charge > f->max_bytes)
		drop_oldest(f);
	return true;
}

static void note_len(struct model_file *f)
{
	__u32 len = model_queue_len(f);

	if (f->high_len < len)
		f->high_len = len;
}

static void fill_event(struct model_event *event, struct model_sub *sub,
		       struct model_change *change)
{
	bool ahead = event->ahead;

	*event = (struct model_event) {
		.sub = sub,
		.change = change,
		.flags = change->flags,
		.ahead = ahead,
	};
	if (sub->flags & METASTORE_SUBSCRIBE_NO_VALUE)
		event->flags |= METASTORE_EVENT_F_NO_VALUE;
	change->refs++;
}

static void replace(struct model_event *event, struct model_sub *sub,
		    struct model_change *change)
{
	model_change_put(event->change);
	count(sub, (struct model_books) { .conflated = 1 });
	fill_event(event, sub, change);
}

/* Events of a group but the last have MORE, in a queue that took several of them. */
static void mark_more(struct model_file *f)
{
	struct model_event *last = &f->ring[f->len - 1], *before = last - 1;

	if (f->len > 1 && last->change->group &&
	    last->change->group == before->change->group &&
	    !(last->sub->flags & METASTORE_SUBSCRIBE_LATEST))
		before->flags |= METASTORE_EVENT_F_MORE;
}

static bool push_in_ring(struct model_sub *sub, struct model_change *change, bool reserved)
{
	struct model_file *f = sub->file;

	if (!reserved && !model_make_room(f, 1, charge_of(f, change))) {
		count_lost(sub);
		return false;
	}
	f->ring[f->len].ahead = false;
	fill_event(&f->ring[f->len++], sub, change);
	mark_more(f);
	return true;
}

static bool push_in_place(struct model_sub *sub, struct model_change *change)
{
	if (sub->latest.change) {
		replace(&sub->latest, sub, change);
		return true;
	}
	sub->latest.ahead = false;
	fill_event(&sub->latest, sub, change);
	return true;
}

static struct model_event *find_waiting(const struct model_sub *sub, int key)
{
	struct model_file *f = sub->file;
	int i;

	for (i = 0; i < f->len; i++)
		if (f->ring[i].sub == sub && !f->ring[i].stale && f->ring[i].change->key == key)
			return &f->ring[i];
	return NULL;
}

/*
 * A newer event takes the place of the one that waits. If it is larger, older events may
 * have to go; if it becomes the oldest itself so, it is as one that comes anew.
 */
static bool push_over(struct model_sub *sub, struct model_change *change, bool reserved)
{
	struct model_file *f = sub->file;
	struct model_event *old;
	__u64 more = charge_of(f, change);

	while ((old = find_waiting(sub, change->key)) && !reserved &&
	       model_queue_bytes(f) - charge_of(f, old->change) + more > f->max_bytes) {
		if (f->lossless || model_place_bytes(f) + more > f->max_bytes) {
			count_lost(sub);
			return false;
		}
		if (old != &f->ring[0]) {
			drop_oldest(f);
			continue;
		}
		model_ring_remove(f);
		count(sub, (struct model_books) { .conflated = 1 });
	}
	if (!old)
		return push_in_ring(sub, change, reserved);
	replace(old, sub, change);
	return true;
}

static bool push_any(struct model_sub *sub, struct model_change *change, bool reserved)
{
	if (model_has_place(sub))
		return push_in_place(sub, change);
	if (sub->flags & METASTORE_SUBSCRIBE_LATEST)
		return push_over(sub, change, reserved);
	return push_in_ring(sub, change, reserved);
}

/* @reserved: the publisher has waited for the room. Returns whether the queue took it. */
bool model_push(struct model_sub *sub, struct model_change *change, bool reserved)
{
	bool taken;

	count(sub, (struct model_books) { .matched = 1 });
	taken = push_any(sub, change, reserved);
	note_len(sub->file);
	return taken;
}

/* Whether the queue is large enough for the event, if nothing else waited */
bool model_can_hold(const struct model_sub *sub, const struct model_change *change)
{
	return charge_of(sub->file, change) + model_place_bytes(sub->file) <=
	       sub->file->max_bytes;
}

/* Events that a lossless queue must have room for. Sets @bytes. */
static int reserved_in(const struct model_file *f, int key, __u32 type, __u32 size,
		       __u64 *bytes)
{
	__u32 least = f->max_bytes / (f->max_len + 1);
	__u64 charge = size > least ? size : least;
	const struct model_sub *sub;
	int nr = 0;

	*bytes = 0;
	if (charge > f->max_bytes - model_place_bytes(f))
		return 0;
	for (sub = f->subs; sub; sub = sub->next) {
		if (sub->ended || !model_matches(sub->topic, key) || !(sub->events & type) ||
		    model_has_place(sub))
			continue;
		*bytes += charge;
		nr++;
	}
	return nr;
}

/* Whether all lossless queues have room for an event, so that its publisher need not wait */
bool model_can_wait(const struct model *m, int key, __u32 type, __u32 size)
{
	const struct model_file *f;
	__u64 bytes;
	int nr;

	for (f = m->files; f < m->files + MODEL_FILES; f++) {
		if (!f->is_open || !f->lossless)
			continue;
		nr = reserved_in(f, key, type, size, &bytes);
		if (nr && (f->len + nr > (int)f->max_len ||
			   model_queue_bytes(f) + bytes > f->max_bytes))
			return false;
	}
	return true;
}

static void set_limits(struct model_file *f, __u32 max_len, __u32 max_bytes)
{
	f->max_len = max_len;
	f->max_bytes = max_bytes;
}

int model_configure(struct model_file *f, const struct metastore_queue_info *arg)
{
	__u32 len = f->max_len, bytes = f->max_bytes;
	bool lossless = arg->flags & METASTORE_QUEUE_SET_POLICY ?
			arg->policy == METASTORE_QUEUE_LOSSLESS : f->lossless;

	set_limits(f, arg->flags & METASTORE_QUEUE_SET_LEN ? arg->max_len : len,
		   arg->flags & METASTORE_QUEUE_SET_BYTES ? arg->max_bytes : bytes);
	if (model_place_bytes(f) > f->max_bytes / 2) {
		set_limits(f, len, bytes);
		return -ENOBUFS;
	}
	if (lossless &&
	    (f->len > (int)f->max_len || model_queue_bytes(f) > f->max_bytes)) {
		set_limits(f, len, bytes);
		return -EBUSY;
	}
	f->lossless = lossless;
	while (f->len > (int)f->max_len || model_queue_bytes(f) > f->max_bytes)
		drop_oldest(f);
	return 0;
}

/* Discard what waits for a subscription. In the ring it stays until it is the oldest. */
void model_discard(struct model_sub *sub)
{
	struct model_file *f = sub->file;
	int i;

	for (i = 0; i < f->len; i++)
		if (f->ring[i].sub == sub)
			f->ring[i].stale = true;
	if (sub->latest.change) {
		model_change_put(sub->latest.change);
		sub->latest.change = NULL;
		count(sub, (struct model_books) { .discarded = 1 });
	}
	sub->untold = 0;
}
