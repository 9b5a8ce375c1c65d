// SPDX-License-Identifier: GPL-2.0
/*
 * How far a snapshot has been read. Its cursor is somewhere behind the last key that was
 * read, and ahead of the next one that existed when a reader last looked. A key in between
 * may get a value: if the subscription wants events of that, its books tell whether it got
 * one. Else the snapshot may have the value or not.
 */
#include "model.h"

void model_snapshot_begin(struct model_sub *sub, __u64 above)
{
	sub->snapshot = true;
	sub->after = -1;
	sub->before = 0;
	sub->above = above;
}

static int next_of_key(const struct model_sub *sub, int rank)
{
	const struct model_key *key = &sub->file->model->keys[sub->topic];

	if (!key->value || key->rank <= rank || key->value->version <= sub->above)
		return -1;
	return sub->topic;
}

/* The first key behind @rank whose value belongs to the snapshot; -1: none */
int model_snapshot_next(const struct model_sub *sub, int rank)
{
	const struct model_name *name = &model_names[sub->topic];

	if (sub->topic < MODEL_KEYS)
		return next_of_key(sub, rank);
	return model_next_key(sub->file->model, rank, name->bytes, name->len,
			      METASTORE_ANY_BUCKET);
}

/* A reader looked for the next record, which may have moved the cursor of any snapshot. */
void model_snapshots_looked(struct model_file *f)
{
	struct model_sub *sub;
	int key;

	for (sub = f->subs; sub; sub = sub->next) {
		if (!sub->snapshot)
			continue;
		key = model_snapshot_next(sub, sub->before - 1);
		sub->before = key < 0 ? MODEL_KEYS : f->model->keys[key].rank;
	}
}

static bool is_between(const struct model_sub *sub, int key)
{
	int rank = sub->file->model->keys[key].rank;

	return sub->snapshot && rank > sub->after && rank < sub->before;
}

/* Whether the cursor may or may not have passed the key */
bool model_snapshot_may_hear(const struct model_sub *sub, int key)
{
	return is_between(sub, key);
}

/* Whether the cursor has passed the key, as far as we know */
bool model_snapshot_hears(const struct model_sub *sub, int key)
{
	return !sub->snapshot || sub->file->model->keys[key].rank <= sub->after;
}

static int heard_up_to(const struct model_sub *sub, const struct model_changes *changes,
		       int rank)
{
	int i, nr = 0;

	for (i = 0; i < changes->nr; i++)
		nr += model_matches(sub->topic, changes->list[i]->key) &&
		      model_wants(sub, changes->list[i]) &&
		      is_between(sub, changes->list[i]->key) &&
		      sub->file->model->keys[changes->list[i]->key].rank <= rank;
	return nr;
}

/*
 * Conclude where the cursor is from how many of the changes it may have passed were
 * @heard.
 */
void model_snapshot_settle(struct model_sub *sub, const struct model_changes *changes,
			   __u64 heard)
{
	int rank, after = sub->after, before = sub->before;

	for (rank = sub->after; rank < sub->before; rank++) {
		if (heard_up_to(sub, changes, rank) <= (int)heard)
			after = rank;
		if (heard_up_to(sub, changes, rank) > (int)heard) {
			before = rank;
			break;
		}
	}
	/* Of these only the first keys with a change are known to be passed. */
	while (after > sub->after && heard_up_to(sub, changes, after - 1) == (int)heard)
		after--;
	sub->after = after;
	sub->before = before;
}
