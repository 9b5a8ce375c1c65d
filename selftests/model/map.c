// SPDX-License-Identifier: GPL-2.0
/* The map: what an operation may do, and what it does. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define CONDITIONS	(METASTORE_F_CREATE | METASTORE_F_REPLACE | METASTORE_F_IF_VERSION)
#define STORE_FLAGS	(CONDITIONS | METASTORE_F_OWNED | METASTORE_F_STEAL | \
			 METASTORE_F_PREVIOUS | METASTORE_F_KEEP_TTL)
#define DELETE_FLAGS	(METASTORE_F_IF_VERSION | METASTORE_F_STEAL | METASTORE_F_PREVIOUS)

#define MS		1000000ULL

static bool is_store(const struct metastore_op *op)
{
	return op->op == METASTORE_OP_SET || op->op == METASTORE_OP_PUBLISH;
}

static bool is_change(const struct metastore_op *op)
{
	return is_store(op) || op->op == METASTORE_OP_DELETE;
}

int model_key_of(const struct metastore_op *op)
{
	int key = 0;

	while (op->key != (uintptr_t)model_names[key].bytes)
		key++;
	return key;
}

static __u32 known_flags(const struct metastore_op *op)
{
	if (is_store(op))
		return STORE_FLAGS;
	if (op->op == METASTORE_OP_DELETE)
		return DELETE_FLAGS;
	return op->op == METASTORE_OP_TOUCH ? METASTORE_F_IF_VERSION : 0;
}

/* Refusals that do not depend on the map */
int model_check(const struct model_file *f, const struct metastore_op *op)
{
	__u32 conditions = op->flags & CONDITIONS;
	bool reads = op->op == METASTORE_OP_GET || op->flags & METASTORE_F_PREVIOUS;

	if (op->flags & ~known_flags(op) || conditions & (conditions - 1))
		return -EINVAL;
	if (is_store(op) && op->ttl && op->flags & METASTORE_F_KEEP_TTL)
		return -EINVAL;
	if ((reads && f->mode == O_WRONLY) ||
	    (op->op != METASTORE_OP_GET && f->mode == O_RDONLY))
		return -EBADF;
	if (is_store(op) && op->value_len > f->model->limits.max_value)
		return -EMSGSIZE;
	return 0;
}

int model_owner(const struct model_file *f, const struct model_value *value)
{
	if (value->owner == MODEL_NOBODY)
		return METASTORE_OWNER_NONE;
	return value->owner == f->number ? METASTORE_OWNER_SELF : METASTORE_OWNER_OTHER;
}

static int judge_get(const struct model_value *old, struct metastore_op *want)
{
	__u32 room = want->value_len;

	if (!old)
		return -ENOENT;
	want->value_len = old->len;
	want->version = old->version;
	return room < old->len ? -ERANGE : 0;
}

static int judge_previous(const struct model_file *f, const struct model_value *old,
			  struct metastore_op *want)
{
	__u32 room = want->previous.len;

	if (!(want->flags & METASTORE_F_PREVIOUS))
		return 0;
	want->previous.len = old ? old->len : 0;
	want->previous.version = old ? old->version : 0;
	want->previous.owner = METASTORE_OWNER_NONE;
	if (old && room < old->len)
		return -ERANGE;
	if (old)
		want->previous.owner = model_owner(f, old);
	return 0;
}

/* Whether the present state allows it. Sets the fields of @want that the caller gets. */
int model_judge(const struct model_file *f, const struct metastore_op *op,
		struct metastore_op *want)
{
	const struct model_value *old = f->model->keys[model_key_of(op)].value;
	__u64 version = old ? old->version : 0;

	*want = *op;
	if (op->op == METASTORE_OP_GET)
		return judge_get(old, want);
	if (op->flags & METASTORE_F_CREATE && old) {
		want->version = version;
		return -EEXIST;
	}
	if (op->flags & METASTORE_F_IF_VERSION && op->version != version) {
		want->version = version;
		return -ESTALE;
	}
	if (!old && (!is_store(op) || op->flags & METASTORE_F_REPLACE))
		return -ENOENT;
	if (old && !(op->flags & METASTORE_F_STEAL) &&
	    model_owner(f, old) == METASTORE_OWNER_OTHER)
		return -EBUSY;
	if (op->op == METASTORE_OP_TOUCH && !old->end.most)
		return -ENODATA;
	return judge_previous(f, old, want);
}

static bool is_tied(const struct metastore_op *op)
{
	return op->ttl || op->flags & (METASTORE_F_OWNED | METASTORE_F_KEEP_TTL);
}

static __u32 size_of(const struct metastore_op *op)
{
	return METASTORE_VALUE_OVERHEAD + op->key_len + op->value_len +
	       (is_tied(op) ? METASTORE_TIE_OVERHEAD : 0);
}

/* Whether the limits allow so many operations together, all of which are judged. */
bool model_has_room(const struct model_file *f, const struct metastore_op *ops, int nr)
{
	const struct model *m = f->model;
	const struct model_value *old;
	__s64 bytes = 0;
	int i, keys = 0;

	for (i = 0; i < nr; i++) {
		if (!is_change(&ops[i]))
			continue;
		old = m->keys[model_key_of(&ops[i])].value;
		keys += is_store(&ops[i]) - !!old;
		if (is_store(&ops[i]))
			bytes += size_of(&ops[i]);
		if (old)
			bytes -= model_value_size(old);
	}
	return (keys <= 0 || model_nr_keys(m, METASTORE_ANY_BUCKET) + keys <=
			     (int)m->limits.max_keys) &&
	       (bytes <= 0 || model_bytes(m, METASTORE_ANY_BUCKET) + bytes <=
			      m->limits.max_bytes);
}

static void replace(struct model_key *key, struct model_value *value)
{
	if (key->value)
		model_value_put(key->value);
	key->value = value;
}

static struct model_value *value_of(struct model_file *f, const struct metastore_op *op,
				    struct model_span boottime)
{
	struct model_value *value = calloc(1, sizeof(*value));
	const struct model_value *old;

	value->refs = 1;
	value->key = model_key_of(op);
	value->len = op->value_len;
	memcpy(&value->fill, (void *)(uintptr_t)op->value, value->len < 4 ? value->len : 4);
	value->fill = le32toh(value->fill);
	value->tied = is_tied(op);
	value->owner = op->flags & METASTORE_F_OWNED ? f->number : MODEL_NOBODY;
	value->serial = ++f->model->serial;
	old = f->model->keys[value->key].value;
	if (op->ttl)
		value->end = (struct model_span) { boottime.least + op->ttl * MS,
						   boottime.most + op->ttl * MS };
	else if (op->flags & METASTORE_F_KEEP_TTL && old)
		value->end = old->end;
	return value;
}

static void steal(const struct model_file *f, const struct model_value *old,
		  struct model_change *change)
{
	if (!old || model_owner(f, old) != METASTORE_OWNER_OTHER)
		return;
	change->flags |= METASTORE_EVENT_F_STOLEN;
	change->former = old->owner;
}

/*
 * Make a change that model_judge() and model_has_room() allowed. @got has its version,
 * the spans when it was made.
 */
void model_apply(struct model_file *f, const struct metastore_op *op,
		 const struct metastore_op *got, struct model_span boottime,
		 struct model_span realtime, struct model_changes *changes)
{
	struct model_key *key = &f->model->keys[model_key_of(op)];
	struct model_value *value = NULL, *old = key->value;
	struct model_change *change;

	if (op->op == METASTORE_OP_TOUCH)
		old->end = (struct model_span) { boottime.least + op->ttl * MS,
						 boottime.most + op->ttl * MS };
	if (!is_change(op))
		return;
	if (is_store(op)) {
		value = value_of(f, op, boottime);
		value->version = got->version;
		value->time = realtime;
		change = model_change_new(f->model, value, op->op == METASTORE_OP_SET ?
					  METASTORE_EVENT_SET : METASTORE_EVENT_PUBLISHED, 0);
	} else {
		change = model_change_new(f->model, old, METASTORE_EVENT_DELETED, 0);
	}
	change->version = got->version;
	steal(f, old, change);
	changes->list[changes->nr++] = change;
	replace(key, value);
	key->newer = got->version;
}

/* Remove a value for another reason than DELETE. @by: open file that does it, if any */
void model_remove(struct model *m, int key, __u16 flags, int by, struct model_changes *changes)
{
	struct model_value *old = m->keys[key].value;
	struct model_change *change = model_change_new(m, old, METASTORE_EVENT_DELETED, flags);

	if (by != MODEL_NOBODY)
		steal(&m->files[by], old, change);
	changes->list[changes->nr++] = change;
	replace(&m->keys[key], NULL);
}

static bool in_bucket(const struct model_key *key, __u32 bucket)
{
	return key->value && (bucket == METASTORE_ANY_BUCKET || bucket == key->bucket);
}

__u64 model_bytes(const struct model *m, __u32 bucket)
{
	__u64 bytes = 0;
	int i;

	for (i = 0; i < MODEL_KEYS; i++)
		if (in_bucket(&m->keys[i], bucket))
			bytes += model_value_size(m->keys[i].value);
	return bytes;
}

int model_nr_keys(const struct model *m, __u32 bucket)
{
	int i, nr = 0;

	for (i = 0; i < MODEL_KEYS; i++)
		nr += in_bucket(&m->keys[i], bucket);
	return nr;
}

/* The first key behind @rank that has a value, in the order of LIST; -1: none */
int model_next_key(const struct model *m, int rank, const void *prefix, size_t len,
		   __u32 bucket)
{
	int key;

	while (++rank < MODEL_KEYS) {
		key = m->ranked[rank];
		if (in_bucket(&m->keys[key], bucket) &&
		    model_starts(&model_names[key], prefix, len))
			return key;
	}
	return -1;
}
