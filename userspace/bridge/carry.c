// SPDX-License-Identifier: GPL-2.0
/*
 * The carrying of changes. A key whose value changed is marked as dirty and queued; the value
 * is read as it is sent. A change is sent on the condition that the key's revision in the
 * bucket is still the one that is known here, so that nothing is overwritten unseen. A key
 * has one change on its way at most.
 *
 * At the start of each session a bucket tells all that it has: that is the comparison. Until
 * its end nothing is sent, since the revisions are not known.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "books.h"
#include "carry.h"
#include "carry_priv.h"
#include "clock.h"
#include "flight.h"
#include "key.h"
#include "lookup.h"
#include "session.h"
#include "settings.h"
#include "text.h"
#include "unresolved.h"

/* After an error that may go away by itself */
#define COMPARE_LATER_NS	(60 * NS_PER_SEC)

/* Of so many keys it is told that they are left at the end. */
#define LEFT_MAX		20

/* When to forget dead keys: once there are as many again, and now and then */
#define TIDY_LEAST		1024
#define TIDY_NS			(60 * NS_PER_SEC)

/* Newer servers' words for JSStreamWrongLastSequenceErr */
#define WRONG_LAST_SEQUENCE_CONSTANT	10164

static uint64_t compare_at;
static uint64_t tidy_at;
static size_t tidy_count = TIDY_LEAST;

/* Has all compared again after a while. */
void carry_compare_later(void)
{
	if (!compare_at)
		compare_at = now_ns(CLOCK_MONOTONIC) + COMPARE_LATER_NS;
}

/* Puts a dirty key at the end of its bucket's queue, unless its turn is to come. */
void carry_enqueue(struct entry *entry)
{
	struct bucket *bucket = entry_map(entry)->bucket;

	if (!entry->dirty || entry->queued || entry->flight)
		return;
	entry->queued = true;
	entry->next_queued = NULL;
	if (bucket->last)
		bucket->last->next_queued = entry;
	else
		bucket->first = entry;
	bucket->last = entry;
}

static struct entry *dequeue(struct bucket *bucket)
{
	struct entry *entry = bucket->first;

	if (!entry)
		return NULL;
	bucket->first = entry->next_queued;
	if (!bucket->first)
		bucket->last = NULL;
	entry->queued = false;
	return entry;
}

/* Takes a change, which is to be sent. */
void carry_mark(struct entry *entry)
{
	books.taken++;
	if (entry->dirty) {
		books.conflated++;
	} else {
		entry->dirty = true;
		books.pending++;
	}
	carry_enqueue(entry);
}

/* Nothing of a key waits any more; the caller enters what became of it. */
void carry_settle(struct entry *entry)
{
	entry->dirty = false;
	entry->ask = false;
	books.pending--;
}

static void conflate(struct entry *entry)
{
	carry_settle(entry);
	books.conflated++;
}

static void refuse(struct entry *entry, uint64_t *reason)
{
	carry_settle(entry);
	books_refuse(reason);
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
		note_own(entry, remote->rev, version);
	else
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

/* Whether the bridge itself made the change that the store tells. */
static bool is_echo(const struct entry *entry, const struct change *change, bool deleted)
{
	if (!entry->known || !entry->from_bucket)
		return false;
	if (deleted)
		return !entry->version && !entry->flight && !entry->dirty;
	return change->version == entry->version;
}

/* Whether what was sent is that change already, or a later one. */
static bool is_covered(const struct entry *entry, const struct change *change, bool deleted)
{
	const struct flight *flight = entry->flight;

	if (entry->dirty || (!entry->known && !flight))
		return false;
	if (deleted)
		return flight ? !flight->version : !entry->version;
	return (flight && change->version <= flight->version) ||
	       (entry->known && change->version <= entry->version);
}

/* Whether the bucket's value is to be put in place of what has changed here. */
static bool is_reverted(const struct entry *entry, bool deleted)
{
	return deleted && entry->kept && !entry->flight;
}

/**
 * carry_change() - take a change of the store
 * @change:	key and its version
 * @deleted:	it has no value any more
 * @listed:	the key was there when the bridge began to follow: if it is not known, the
 *		comparison is to find it
 */
void carry_change(const struct change *change, bool deleted, bool listed)
{
	struct entry *entry = deleted ? table_find(change->key) : table_get(change->key);

	if (!entry)
		return;
	entry->here = !deleted;
	if (listed && !entry->known && !entry_map(entry)->bucket->compared)
		return;
	if (is_echo(entry, change, deleted)) {
		books.echoes++;
	} else if (is_covered(entry, change, deleted)) {
		books.taken++;
		books.conflated++;
	} else {
		if (is_reverted(entry, deleted))
			entry->ask = true;
		carry_mark(entry);
	}
}

static void forget_entry(struct entry *entry, void *unused)
{
	(void)unused;
	if (entry->dirty)
		conflate(entry);
	entry->known = false;
	entry->version = 0;
	entry->here = false;
}

static void forget_flight(struct flight *flight)
{
	bool asked = flight->state == FLIGHT_ASKED;

	flight_end(flight);
	if (asked)
		return;
	books.pending--;
	books.conflated++;
}

/* The module was replaced: which values were carried is not known by their versions any more. */
void carry_forget(void)
{
	flights_each(forget_flight);
	table_each(forget_entry, NULL);
	unresolved_clear();
}

static bool is_skipped(const struct local *local)
{
	return (local->owned && settings.skip_owned) || (local->limited && settings.skip_ttl);
}

/* Whether there is nothing to send after all. */
static bool is_in_step(const struct entry *entry, const struct local *local)
{
	return (entry->known && local->version == entry->version) ||
	       (!local->version && !entry->there);
}

static void refuse_size(struct entry *entry, size_t len)
{
	report_key(entry_key(entry),
		   "not carried: %zu bytes are above max_payload of the server, %" PRId64, len,
		   session_max_payload());
}

static void take_off(struct entry *entry, const struct local *local)
{
	struct flight *flight = flight_begin(entry, FLIGHT_SENT);

	flight->version = local->version;
	flight->time = local->time;
	flight->hash = hash_bytes(local->value);
	entry->dirty = false;
}

/* Returns NULL, or why the session is to end. */
static const char *send_value(struct entry *entry, const struct local *local)
{
	const struct message message = {
		.bucket = entry_map(entry)->bucket, .key = entry_key(entry),
		.value = local->value, .deleted = !local->version, .owned = local->owned,
		.rev = entry->rev,
	};
	natsStatus status = session_send(&message);

	switch (status) {
	case NATS_OK:
		take_off(entry, local);
		return NULL;
	case NATS_MAX_PAYLOAD:
		refuse_size(entry, local->value.len);
		refuse(entry, &books.too_large);
		return NULL;
	default:
		carry_enqueue(entry);
		return natsStatus_GetText(status);
	}
}

/* Sends a value, or enters why not. Returns as send_value(). */
static const char *send_entry(struct entry *entry, const struct local *local)
{
	if (is_in_step(entry, local))
		conflate(entry);
	else if (local->version && is_skipped(local))
		refuse(entry, &books.skipped);
	else
		return send_value(entry, local);
	return NULL;
}

/* Has read what the bucket has, which then decides what becomes of the change here. */
static void ask(struct entry *entry)
{
	entry->ask = false;
	flight_begin(entry, FLIGHT_ASKED);
	lookup_ask(entry_map(entry)->bucket, entry_key(entry));
}

/* Sends what waits for a bucket. Returns as send_value(). */
static const char *send_queue(struct bucket *bucket)
{
	const char *why = NULL;
	struct entry *entry;
	struct local local;

	while (!why && flight_has_room() && (entry = dequeue(bucket))) {
		if (!entry->dirty || entry->flight)
			continue;
		if (entry->ask || entry_map(entry)->direction == IN) {
			ask(entry);
			continue;
		}
		if (store_get(entry_key(entry), &local)) {
			carry_enqueue(entry);
			return NULL;
		}
		why = send_entry(entry, &local);
	}
	return why;
}

/* Sends what waits. Returns NULL, or why the session is to end. */
const char *carry_send(void)
{
	const char *why = NULL;

	if (!store_is_there())
		return NULL;
	for (int i = 0; i < maps.bucket_count && !why; i++)
		if (maps.buckets[i]->compared)
			why = send_queue(maps.buckets[i]);
	return why;
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

/*
 * Neither side had a value when the change here was made, if the bridge does not know the key:
 * so a deletion in the bucket is older.
 */
static void handle_read(const struct notice *notice)
{
	struct entry *entry = entry_of(notice->msg);
	const struct remote remote = remote_of_message(notice->msg);

	if (!entry || !entry->flight)
		return;
	if (!entry->known && !entry->rev && !remote.there) {
		entry->rev = remote.rev;
		entry->version = 0;
		entry->there = false;
		entry->known = true;
	}
	land(entry, &remote);
}

static void handle_entry(struct notice *notice)
{
	const char *name = kvEntry_Key(notice->entry);
	char key[MSTORE_KEY_MAX];
	struct bytes bytes = { key, key_of_name(key, name) };
	struct entry *entry;

	notice->bucket->told = kvEntry_Revision(notice->entry);
	if (!bytes.len) {
		books.received++;
		books.unfit++;
		report("KV bucket", "%s: %s is the name of no key", notice->bucket->name, name);
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

void carry_session_begins(void)
{
	compare_at = 0;
	books.sessions++;
	for (int i = 0; i < maps.bucket_count; i++) {
		maps.buckets[i]->round++;
		maps.buckets[i]->told = 0;
	}
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

static void end_flight(struct flight *flight)
{
	if (flight->state == FLIGHT_ASKED)
		return flight_end(flight);
	flight->state = FLIGHT_UNSURE;
	kvEntry_Destroy(flight->later);
	flight->later = NULL;
}

/* What was asked is told by the comparison that is to come. */
void carry_session_ended(void)
{
	flights_each(end_flight);
	for (int i = 0; i < maps.bucket_count; i++)
		maps.buckets[i]->compared = false;
}

/* Whether all buckets are compared, so that changes are carried. */
bool carry_is_complete(void)
{
	for (int i = 0; i < maps.bucket_count; i++)
		if (!maps.buckets[i]->compared)
			return false;
	return true;
}

/* Whether there is a reason to compare all anew. */
bool carry_wants_comparison(void)
{
	return compare_at && now_ns(CLOCK_MONOTONIC) >= compare_at;
}

/*
 * Neither side has a value, and nothing is on its way: not even what the bridge sent last,
 * which the watch is to tell.
 */
static bool is_dead(const struct entry *entry)
{
	const struct bucket *bucket = entry_map(entry)->bucket;

	return !entry->here && !entry->there && !entry->version && !entry->kept &&
	       !entry->dirty && !entry->queued && !entry->flight &&
	       bucket->compared && entry->rev <= bucket->told;
}

/*
 * Forgets dead keys, so that no more of them are remembered than of others. The revision of
 * one that gets a value again is asked for.
 */
void carry_tidy(void)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	if (table_count() < tidy_count && now < tidy_at)
		return;
	table_sweep(is_dead);
	tidy_at = now + TIDY_NS;
	tidy_count = 2 * table_count() > TIDY_LEAST ? 2 * table_count() : TIDY_LEAST;
}

static void tell_left(struct entry *entry, void *arg)
{
	uint64_t *count = arg;
	bool sent = entry->flight && entry->flight->state != FLIGHT_ASKED;

	if (!entry->dirty && !sent)
		return;
	if (++*count <= LEFT_MAX)
		report_key(entry_key(entry), sent && !entry->dirty ?
			   "it is not known whether KV bucket %s has the last change" :
			   "not carried: KV bucket %s does not have the last change",
			   entry_map(entry)->bucket->name);
}

/* At the end: says what was not carried. */
void carry_tell_left(void)
{
	uint64_t count = 0;

	if (!books.pending)
		return;
	table_each(tell_left, &count);
	report("end", "changes of %" PRIu64 " keys are left; the next start compares all anew",
	       count);
}

void carry_end(void)
{
	flights_each(flight_end);
	table_free();
}
