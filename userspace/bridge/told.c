// SPDX-License-Identifier: GPL-2.0
/*
 * Notices of the session: entries of buckets, answers to changes and questions, and that all
 * was told. An entry that comes while its key has a change or a question on its way waits for
 * the answer, which tells whose change it is.
 */
#include "books.h"
#include "carry.h"
#include "carry_priv.h"
#include "flight.h"
#include "key.h"
#include "text.h"
#include "unresolved.h"

/* Newer servers' words for JSStreamWrongLastSequenceErr */
#define WRONG_LAST_SEQUENCE_CONSTANT	10164

static void note_seen(struct bucket *bucket, uint64_t rev)
{
	if (rev > bucket->seen)
		bucket->seen = rev;
}

/* The bucket has what was sent from here. */
static void note_own(struct entry *entry, uint64_t rev, uint64_t version)
{
	entry->rev = rev;
	entry->version = version;
	entry->there = version;
	entry->known = true;
	entry->from_bucket = false;
	entry->kept = false;
	unresolved_drop(entry_key(entry));
}

static void enter_stored(struct entry *entry, uint64_t rev)
{
	const struct flight *flight = entry->flight;

	note_seen(entry_map(entry)->bucket, rev);
	note_own(entry, rev, flight->version);
	books.pending--;
	books.sent++;
	if (flight->time && flight->state == FLIGHT_SENT)
		books_lag(flight->time);
}

/* A change on its way that did not get there waits again, unless a newer one does. */
static void take_back(struct entry *entry)
{
	if (entry->dirty) {
		books.pending--;
		books.conflated++;
	}
	entry->dirty = true;
}

/* Finds out whether a change got there whose answer did not come. */
static void resolve_flight(struct entry *entry, const struct remote *remote)
{
	const struct flight *flight = entry->flight;

	if (!flight || flight->state != FLIGHT_UNSURE)
		return;
	if (remote->rev != entry->rev && is_same_change(flight->version, flight->hash, remote)) {
		enter_stored(entry, remote->rev);
	} else {
		unresolved_add(entry_key(entry), flight->version, flight->hash);
		take_back(entry);
	}
	flight_end(entry->flight);
}

/*
 * The same of a change that arrives late: it is no change of another that a newer value here
 * would have to give way to.
 */
static void resolve(struct entry *entry, const struct remote *remote)
{
	uint64_t version;

	resolve_flight(entry, remote);
	if (remote->rev == entry->rev)
		return;
	if (unresolved_find(entry_key(entry), remote, &version))
		return note_own(entry, remote->rev, version);
	/* If the bucket tells nothing of the key, they may still arrive. */
	if (remote->rev)
		unresolved_drop(entry_key(entry));
}

static void put_aside(struct flight *flight, kvEntry *told)
{
	if (flight->later)
		books.superseded++;
	kvEntry_Destroy(flight->later);
	flight->later = told;
}

static void settle(struct entry *entry, const struct remote *remote)
{
	resolve(entry, remote);
	decide(entry, remote);
	carry_enqueue(entry);
}

/* Looks at what the watch has told of a key, and frees it. */
static void look_at(struct entry *entry, kvEntry *told)
{
	const struct remote remote = remote_of_entry(told);
	struct bucket *bucket = entry_map(entry)->bucket;
	struct flight *flight = entry->flight;

	if (bucket->compared && remote.rev <= entry->rev) {
		books.returns++;
		return kvEntry_Destroy(told);
	}
	/* The answer tells whose change it is. */
	if (flight && flight->state != FLIGHT_UNSURE)
		return put_aside(flight, told);
	entry->round = bucket->round;
	settle(entry, &remote);
	kvEntry_Destroy(told);
}

/* Ends a flight, of which @read is the answer to a question, or NULL. */
static void land(struct entry *entry, const struct remote *read)
{
	kvEntry *later = entry->flight->later;

	entry->flight->later = NULL;
	flight_end(entry->flight);
	if (read)
		settle(entry, read);
	if (later)
		look_at(entry, later);
	carry_enqueue(entry);
}

static bool is_conflict(const struct notice *notice)
{
	return notice->code == JSStreamWrongLastSequenceErr ||
	       (int)notice->code == WRONG_LAST_SEQUENCE_CONSTANT;
}

/* Whether the bucket may have taken the change, or may do so in a moment. */
static bool is_no_answer(const struct notice *notice)
{
	return notice->status == NATS_TIMEOUT || notice->status == NATS_NO_RESPONDERS ||
	       notice->code == JSClusterNotAvailErr;
}

static void enter_refused(struct entry *entry, const struct notice *notice)
{
	report_key(entry_key(entry), "not carried: KV bucket %s: %s",
		   entry_map(entry)->bucket->name, notice->text);
	books.pending--;
	if (notice->code == JSStreamMessageExceedsMaximumErr) {
		books_refuse(&books.too_large);
	} else {
		books_refuse(&books.failed);
		carry_compare_later();
	}
}

static struct entry *entry_of(natsMsg *msg)
{
	char key[MSTORE_KEY_MAX];
	size_t len = key_of_subject(key, natsMsg_GetSubject(msg));

	return table_find((struct bytes){ key, len });
}

/* Returns NULL, or why the session is to end. */
static const char *handle_answer(struct notice *notice)
{
	struct entry *entry = entry_of(notice->msg);

	if (!entry || !entry->flight)
		return NULL;
	if (notice->type == CHANGE_REFUSED && is_no_answer(notice)) {
		flights_slow_down();
		return notice->text;
	}
	flights_speed_up();
	if (notice->type == CHANGE_STORED) {
		enter_stored(entry, notice->rev);
	} else if (is_conflict(notice)) {
		take_back(entry);
		/* The watch may have told that revision before, of a key that was forgotten. */
		if (!entry->flight->later)
			entry->ask = true;
	} else {
		enter_refused(entry, notice);
	}
	land(entry, NULL);
	return NULL;
}

/* Whether the watch has told that revision, or a later one. */
static bool was_told(const struct bucket *bucket, uint64_t rev)
{
	return rev <= bucket->told || rev <= bucket->past;
}

/*
 * Neither side had a value when the change here was made, if the bridge does not know the key
 * and the watch has told the deletion in the bucket: so that is older.
 */
static void handle_read(const struct notice *notice)
{
	struct entry *entry = entry_of(notice->msg);
	const struct remote remote = remote_of_message(notice->msg);

	if (!entry || !entry->flight)
		return;
	if (!entry->known && !entry->rev && !remote.there &&
	    was_told(entry_map(entry)->bucket, remote.rev)) {
		entry->rev = remote.rev;
		entry->version = 0;
		entry->there = false;
		entry->known = true;
	}
	land(entry, &remote);
}

/*
 * Whether an entry is the marker of a key that has no value here either and that the bridge does
 * not know: there is nothing to remember of it.
 */
static bool is_dead_marker(kvEntry *told, const struct bucket *bucket, struct bytes key)
{
	const struct map *map = map_of(key);
	struct local local;

	return kvEntry_Operation(told) != kvOp_Put && map && map->bucket == bucket &&
	       !table_find(key) && !store_get(key, &local) && !local.version;
}

static void handle_entry(struct notice *notice)
{
	const char *name = kvEntry_Key(notice->entry);
	char key[MSTORE_KEY_MAX];
	struct bytes bytes = { key, key_of_name(key, name) };
	struct entry *entry;

	notice->bucket->told = kvEntry_Revision(notice->entry);
	note_seen(notice->bucket, notice->bucket->told);
	if (!bytes.len) {
		books.received++;
		books.unfit++;
		report("KV bucket", "%s: %s is the name of no key", notice->bucket->name, name);
		return;
	}
	if (is_dead_marker(notice->entry, notice->bucket, bytes)) {
		books.received++;
		books.unchanged++;
		unresolved_drop(bytes);
		return;
	}
	entry = table_get(bytes);
	if (!entry || entry_map(entry)->bucket != notice->bucket)
		return;
	look_at(entry, notice->entry);
	notice->entry = NULL;
}

/* The bucket has nothing under a key that it did not tell. */
static void handle_untold(struct entry *entry, void *arg)
{
	const struct bucket *bucket = arg;
	const struct remote nothing = { 0 };

	if (entry_map(entry)->bucket != bucket || entry->round == bucket->round)
		return;
	settle(entry, &nothing);
}

static void handle_told(struct bucket *bucket)
{
	table_each(handle_untold, bucket);
	bucket->compared = true;
	books.comparisons++;
}

/* Takes what the session tells. Returns NULL, or why the session is to end. */
const char *carry_notice(struct notice *notice)
{
	switch (notice->type) {
	case BUCKET_ENTRY:
		handle_entry(notice);
		return NULL;
	case BUCKET_TOLD:
		handle_told(notice->bucket);
		return NULL;
	case KEY_READ:
		handle_read(notice);
		return NULL;
	case CHANGE_STORED:
	case CHANGE_REFUSED:
		return handle_answer(notice);
	default:
		return NULL;
	}
}
