// SPDX-License-Identifier: GPL-2.0
/*
 * The carrying of changes. A key whose value changed is marked as dirty and queued; the value
 * is read as it is sent. A change is sent on the condition that the key's revision in the
 * bucket is still the one that is known here, so that nothing is overwritten unseen. A key
 * has one change on its way at most, or a question: what the bucket has is read first, where
 * that decides what becomes of the change.
 *
 * At the start of each session a bucket tells all that it has: that is the comparison. Until
 * its end nothing is sent, since the revisions are not known.
 */
#include <inttypes.h>

#include "books.h"
#include "carry.h"
#include "carry_priv.h"
#include "clock.h"
#include "flight.h"
#include "lookup.h"
#include "session.h"
#include "settings.h"
#include "text.h"
#include "unresolved.h"

/* After an error that may go away by itself */
#define COMPARE_LATER_NS	(60 * NS_PER_SEC)

/* Of so many keys it is told that they are left at the end. */
#define LEFT_MAX		20

static uint64_t compare_at;

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
	entry->kept = false;
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
	for (int i = 0; i < maps.bucket_count; i++) {
		maps.buckets[i]->told = 0;
		maps.buckets[i]->past = 0;
	}
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
		   "not carried: %zu bytes and the headers are above max_payload of the server, %"
		   PRId64, len, session_max_payload());
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
		/* It may have got there: as the session ends, that is found out. */
		take_off(entry, local);
		return natsStatus_GetText(status);
	}
}

/* The bucket keeps its value, which the store is to take again once this one has ended. */
static void skip(struct entry *entry)
{
	refuse(entry, &books.skipped);
	if (entry->there)
		entry->kept = true;
}

/* Sends a value, or enters why not. Returns as send_value(). */
static const char *send_entry(struct entry *entry, const struct local *local)
{
	if (is_in_step(entry, local))
		conflate(entry);
	else if (local->version && is_skipped(local))
		skip(entry);
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

static bool is_to_ask(const struct entry *entry)
{
	return entry->dirty && !entry->flight &&
	       (entry->ask || entry_map(entry)->direction == IN);
}

/* Whether the first one of a queue can be sent. */
static bool can_send(const struct bucket *bucket)
{
	if (!bucket->first)
		return false;
	return is_to_ask(bucket->first) ? flight_has_room_to_ask() : flight_has_room();
}

/* Sends what waits for a bucket. Returns as send_value(). */
static const char *send_queue(struct bucket *bucket)
{
	const char *why = NULL;
	struct entry *entry;
	struct local local;

	while (!why && can_send(bucket)) {
		entry = dequeue(bucket);
		if (!entry->dirty || entry->flight)
			continue;
		if (is_to_ask(entry)) {
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

/*
 * Sends what waits. Each time another bucket is the first, so that one which has much to send
 * does not take all the room. Returns NULL, or why the session is to end.
 */
const char *carry_send(void)
{
	static unsigned int turn;
	const char *why = NULL;

	if (!store_is_there())
		return NULL;
	turn++;
	for (int i = 0; i < maps.bucket_count && !why; i++) {
		struct bucket *bucket = maps.buckets[(turn + i) % maps.bucket_count];

		if (bucket->compared)
			why = send_queue(bucket);
	}
	return why;
}

/* The revision of a key is one that the bucket had before its revisions began anew. */
static void forget_revision(struct entry *entry, void *arg)
{
	if (entry_map(entry)->bucket != arg)
		return;
	entry->known = false;
	entry->there = false;
	entry->kept = false;
	entry->rev = 0;
	entry->version = 0;
}

static void begin_anew(struct bucket *bucket)
{
	report("KV bucket", "%s was made anew, or lost revisions: all is compared as at a start",
	       bucket->name);
	table_each(forget_revision, bucket);
	bucket->past = 0;
	bucket->anew = false;
}

void carry_session_begins(void)
{
	compare_at = 0;
	books.sessions++;
	for (int i = 0; i < maps.bucket_count; i++) {
		struct bucket *bucket = maps.buckets[i];

		bucket->round++;
		if (bucket->past < bucket->told)
			bucket->past = bucket->told;
		bucket->told = 0;
		if (bucket->anew)
			begin_anew(bucket);
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

/* The comparison that is to come answers the questions. */
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

/* The fate of a change that is left; a format for the bucket's name */
static const char *left_words(const struct entry *entry)
{
	if (entry_map(entry)->direction == IN)
		return "the change here is not reverted yet to what KV bucket %s has";
	return entry->dirty ? "not carried: KV bucket %s does not have the last change" :
	       "it is not known whether KV bucket %s has the last change";
}

static void tell_left(struct entry *entry, void *arg)
{
	uint64_t *count = arg;
	bool sent = entry->flight && entry->flight->state != FLIGHT_ASKED;

	if (!entry->dirty && !sent)
		return;
	if (++*count <= LEFT_MAX)
		report_key(entry_key(entry), left_words(entry), entry_map(entry)->bucket->name);
}

/* At the end: says what was not carried. */
void carry_tell_left(void)
{
	uint64_t count = 0;

	/* Until then it is not known what there is to carry. */
	if (!carry_is_complete())
		report("end", "the sides are not compared; the next start does that");
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
