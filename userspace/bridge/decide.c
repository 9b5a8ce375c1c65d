// SPDX-License-Identifier: GPL-2.0
/*
 * Which side of a key yields, when store and bucket differ. A prefix that is carried out has
 * the store's values, one that is carried in the bucket's. In both directions:
 *
 * - what changed on one side since both were the same goes to the other;
 * - if both have changed, the bucket's revision stays, and the value here is reported;
 * - if it is not known what changed, since the bridge has just started, the same holds. A
 *   deletion in the bucket only wins over a value that was written here before it, and over
 *   none if the bridge has seen it before: it has forgotten it then, and the value is newer.
 *   A key that the bucket has never had is sent;
 * - a value that an open file owns stays, and goes to the bucket; but if its owner in
 *   another store has set what is there, the sides differ until one of them sets it anew, or
 *   the one here ends: then the store takes what is there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "books.h"
#include "carry_priv.h"
#include "output.h"
#include "settings.h"
#include "store.h"
#include "text.h"

/* So many bytes of a value are reported. */
#define REPORT_MAX	256

static bool is_same(const struct local *local, const struct remote *remote)
{
	if (!local->version || !remote->there)
		return !local->version && !remote->there;
	return !compare_bytes(&local->value, &remote->value);
}

static bool bucket_changed(const struct entry *entry, const struct remote *remote)
{
	return !entry->known || remote->rev != entry->rev;
}

static bool changed_here(const struct entry *entry, const struct local *local)
{
	return !entry->known || local->version != entry->version;
}

/* Whether the store is to take what the bucket has; both differ. */
static bool yields(const struct entry *entry, const struct local *local,
		   const struct remote *remote)
{
	switch (entry_map(entry)->direction) {
	case OUT:
		return false;
	case IN:
		return true;
	default:
		/* Of two owners the one here has ended: what is there is the other's. */
		if (!bucket_changed(entry, remote))
			return !changed_here(entry, local) || (entry->kept && !local->version);
		if (!remote->rev)
			return false;
		if (!entry->known && !remote->there)
			return remote->rev > entry_map(entry)->bucket->past &&
			       local->time < remote->created;
		return true;
	}
}

static void count(uint64_t *outcome)
{
	books.received++;
	(*outcome)++;
}

/* Says which value is gone. */
static void report_loser(const struct entry *entry, const char *how, uint64_t rev, bool there,
			 struct bytes value)
{
	struct buffer text = { 0 };

	books.conflicts++;
	buffer_format(&text, how, rev, entry_map(entry)->bucket->name);
	if (there) {
		buffer_text(&text, ": ");
		escape(&text, (struct bytes){ value.data, value.len < REPORT_MAX ? value.len :
					      REPORT_MAX }, ESCAPE_VALUE);
		if (value.len > REPORT_MAX)
			buffer_format(&text, "... (%zu bytes)", value.len);
	}
	report_key(entry_key(entry), "conflict: %.*s", (int)text.len, text.data);
	free(text.data);
}

/* From here on both sides are known to have this in common. */
static void note(struct entry *entry, const struct remote *remote, uint64_t version)
{
	entry->rev = remote->rev;
	entry->there = remote->there;
	entry->version = version;
	entry->known = true;
	entry->from_bucket = true;
	entry->kept = false;
}

static void agree(struct entry *entry, const struct local *local, const struct remote *remote)
{
	count(&books.unchanged);
	note(entry, remote, local->version);
	if (!entry->dirty)
		return;
	carry_settle(entry);
	books.conflated++;
}

static void adopt(struct entry *entry, const struct local *local, const struct remote *remote,
		  uint64_t version)
{
	bool lost = entry->known ? changed_here(entry, local) : local->version || entry->dirty;

	count(&books.applied);
	/* Of a key that was kept it was said that the sides differ. */
	if (lost && !entry->kept)
		report_loser(entry, local->version ?
			     "revision %" PRIu64 " of KV bucket %s wins over the value here" :
			     "revision %" PRIu64 " of KV bucket %s wins over the deletion here",
			     remote->rev, local->version, local->value);
	if (entry->dirty) {
		carry_settle(entry);
		if (lost)
			books_refuse(entry_map(entry)->direction == IN ? &books.reverted :
				     &books.outvoted);
		else
			books.conflated++;
	}
	note(entry, remote, version);
}

static void queue(struct entry *entry)
{
	if (entry->dirty)
		carry_enqueue(entry);
	else
		carry_mark(entry);
}

/* Has the bucket take what is here. */
static void overrule(struct entry *entry, const struct remote *remote)
{
	if (bucket_changed(entry, remote)) {
		if (entry->known && remote->rev > entry->rev)
			report_loser(entry, remote->there ?
				     "the value here wins over revision %" PRIu64
				     " of KV bucket %s" :
				     "the value here wins over the deletion of revision %" PRIu64
				     " in KV bucket %s", remote->rev, remote->there, remote->value);
		entry->known = false;
		entry->rev = remote->rev;
		entry->there = remote->there;
	}
	count(&books.overruled);
	queue(entry);
}

/* The sides differ from here on. */
static void keep(struct entry *entry, const struct local *local, const struct remote *remote,
		 const char *why)
{
	report_key(entry_key(entry), "revision %" PRIu64 " of KV bucket %s is not taken: %s",
		   remote->rev, entry_map(entry)->bucket->name, why);
	count(&books.unfit);
	note(entry, remote, local->version);
	entry->from_bucket = false;
	if (!entry->dirty)
		return;
	carry_settle(entry);
	books_refuse(&books.outvoted);
}

/* Whether an owner in another store has set what is there is asked for. */
static void handle_owned(struct entry *entry, const struct local *local,
			 const struct remote *remote)
{
	if (entry_map(entry)->direction == BOTH && !settings.skip_owned) {
		if (!remote->read) {
			entry->ask = true;
			return queue(entry);
		}
		if (!remote->owned)
			return overrule(entry, remote);
	}
	keep(entry, local, remote, "an open file owns the key here");
	entry->kept = true;
}

static int write_here(const struct entry *entry, const struct local *local,
		      const struct remote *remote, uint64_t *version)
{
	*version = 0;
	if (remote->there)
		return store_set(entry_key(entry), remote->value, local->version, version);
	return store_delete(entry_key(entry), local->version);
}

/**
 * decide() - make both sides of a key the same
 * @entry:	key, of which no change is on its way
 * @remote:	what the bucket has, as it told
 *
 * Either the store takes that, or what is here is queued for the bucket. If the store is not
 * there, nothing is done: then all is compared once it is back.
 */
void decide(struct entry *entry, const struct remote *remote)
{
	struct local local;
	uint64_t version;

	for (;;) {
		if (store_get(entry_key(entry), &local))
			return;
		if (is_same(&local, remote))
			return agree(entry, &local, remote);
		if (!yields(entry, &local, remote))
			return overrule(entry, remote);
		if (!write_here(entry, &local, remote, &version))
			return adopt(entry, &local, remote, version);
		switch (errno) {
		case ESTALE:
		case ENOENT:
			break;
		case EBUSY:
			return handle_owned(entry, &local, remote);
		case ENODEV:
		case ENOTTY:
			return;
		default:
			/* Room may come; a value that is too long stays so. */
			if (errno != EMSGSIZE)
				carry_compare_later();
			return keep(entry, &local, remote, strerror(errno));
		}
	}
}
