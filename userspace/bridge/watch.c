// SPDX-License-Identifier: GPL-2.0
/*
 * The watch of a KV bucket. First it tells all that the bucket has, then what changes. A thread
 * reads it and looks after the bucket; what it finds wrong ends the session.
 */
#include "clock.h"
#include "handover.h"
#include "key.h"
#include "settings.h"
#include "watch.h"

#define READ_MS		500

/* Before nats-server 2.9 begins a watch it sorts all keys: some 10 seconds for 500,000. */
#define KEYS_PER_MS	10

/* How often to look after a watch that is silent, and at how many looks a fault counts */
#define LOOK_NS		(10 * NS_PER_SEC)
#define LOOKS		2

#define TELLS_LESS	"its watch does not tell all that there is"
#define HAS_LESS	"its servers say that it has lost revisions"

/* Longer than a cluster takes to choose a leader */
#define DOUBT_NS	(60 * NS_PER_SEC)

static bool is_over(const struct link *link)
{
	return __atomic_load_n(&link->over, __ATOMIC_ACQUIRE);
}

static natsStatus make_bucket(const struct watch *watch)
{
	kvStore *kv = NULL;
	kvConfig config;
	natsStatus status = kvConfig_Init(&config);

	config.Bucket = watch->bucket->name;
	config.Description = "made by mstore-nats";
	config.History = 1;
	config.Replicas = settings.replicas;
	config.StorageType = settings.memory ? js_MemoryStorage : js_FileStorage;
	if (status == NATS_OK)
		status = js_CreateKeyValue(&kv, watch->link->js, &config);
	kvStore_Destroy(kv);
	return status;
}

/* Reads when a bucket was made, its last revision, and how many keys it has with markers. */
static natsStatus read_state(const struct watch *watch, int64_t *created, uint64_t *last,
			     uint64_t *keys)
{
	jsStreamInfo *info = NULL;
	char name[STREAM_SIZE];
	natsStatus status;

	stream_name(name, watch->bucket->name);
	status = js_GetStreamInfo(&info, watch->link->js, name, NULL, NULL);
	if (status == NATS_OK) {
		*created = info->Created;
		*last = info->State.LastSeq;
		*keys = info->State.Msgs;
	}
	jsStreamInfo_Destroy(info);
	return status;
}

/* The wait is bounded by what there is to sort: JetStream may be silent while the server is not. */
static natsStatus begin_watch(struct watch *watch)
{
	jsOptions options;
	natsStatus status = jsOptions_Init(&options);

	options.Wait = ACK_WAIT_MS + watch->keys / KEYS_PER_MS;
	if (status == NATS_OK)
		status = natsConnection_JetStream(&watch->js, watch->link->connection, &options);
	if (status == NATS_OK)
		status = js_KeyValue(&watch->kv, watch->js, watch->bucket->name);
	if (status == NATS_OK)
		status = kvStore_WatchAll(&watch->watcher, watch->kv, NULL);
	return status;
}

static natsStatus read_or_make(struct watch *watch)
{
	natsStatus status = read_state(watch, &watch->created, &watch->start, &watch->keys);

	if (status != NATS_NOT_FOUND || !settings.create)
		return status;
	status = make_bucket(watch);
	if (status == NATS_OK)
		status = read_state(watch, &watch->created, &watch->start, &watch->keys);
	return status;
}

/* The bucket has less than it had, by its servers. */
static bool has_less(const struct watch *watch)
{
	return watch->bucket->created == watch->created && watch->start < watch->bucket->seen;
}

/**
 * watch_look() - look at a bucket, which is made if there is none and the settings say so
 * @watch:	its watch, zeroed
 * @link:	the connection
 * @bucket:	the bucket
 *
 * Return: NULL, or why that could not be done.
 */
const char *watch_look(struct watch *watch, const struct link *link, struct bucket *bucket)
{
	natsStatus status;

	watch->link = link;
	watch->bucket = bucket;
	status = read_or_make(watch);
	watch->seen = watch->start;
	if (status != NATS_OK || !has_less(watch))
		bucket->doubt = 0;
	else if (!bucket->doubt)
		bucket->doubt = now_ns(CLOCK_MONOTONIC);
	if (status == NATS_NOT_FOUND)
		return "there is none; --create makes it";
	return status == NATS_OK ? NULL : link_words(status);
}

/**
 * watch_doubts() - tell whether the servers are not to be believed
 * @watch:	watch of a bucket that was looked at
 *
 * A member of a cluster that has no leader tells what it has itself: less than the bucket has,
 * or nothing if it has just been started. That is believed once each answer has been the same
 * for a while.
 *
 * Return: NULL, or why not.
 */
const char *watch_doubts(const struct watch *watch)
{
	const uint64_t doubt = watch->bucket->doubt;

	return doubt && now_ns(CLOCK_MONOTONIC) - doubt < DOUBT_NS ? HAS_LESS : NULL;
}

/* Begins to watch a bucket that was looked at. Returns NULL, or why not. */
const char *watch_open(struct watch *watch)
{
	natsStatus status = begin_watch(watch);

	return status == NATS_OK ? NULL : link_words(status);
}

/* Takes a bucket as it is, when the watches of all are open. */
void watch_accept(const struct watch *watch)
{
	struct bucket *bucket = watch->bucket;

	if (bucket->created && (bucket->created != watch->created || has_less(watch))) {
		bucket->anew = true;
		bucket->seen = 0;
	}
	bucket->created = watch->created;
	if (bucket->seen < watch->start)
		bucket->seen = watch->start;
	bucket->doubt = 0;
}

/* Looks at a bucket whose watch is silent. Returns what is wrong, or NULL. */
static const char *find_fault(const struct watch *watch)
{
	int64_t created = watch->created;
	uint64_t last = watch->seen, keys;
	natsStatus status = read_state(watch, &created, &last, &keys);

	if (status == NATS_NOT_FOUND || created != watch->created)
		return "it was deleted";
	if (!watch->told)
		return TELLS_LESS;
	if (last < watch->seen)
		return HAS_LESS;
	if (last > watch->seen)
		return "its watch fell behind";
	return NULL;
}

/*
 * A fault at two looks, between which the watch told nothing, ends the session: a
 * consumer that the servers have lost is silent, and so is one of a bucket that is gone.
 */
static void look_after(struct watch *watch, unsigned int number)
{
	const char *fault = find_fault(watch);

	watch->wrong = fault ? watch->wrong + 1 : 0;
	if (watch->wrong == LOOKS)
		handover_put_down(number, "KV bucket %s: %s", watch->bucket->name, fault);
}

/* Passes on what the watch has told, NULL: all that there was at its start. */
static void tell_entry(struct watch *watch, kvEntry *entry)
{
	const struct notice notice = {
		.type = entry ? BUCKET_ENTRY : BUCKET_TOLD, .session = watch->link->number,
		.bucket = watch->bucket, .entry = entry,
	};

	watch->wrong = 0;
	if (!entry)
		watch->told = true;
	else
		watch->last = kvEntry_Revision(entry);
	if (watch->last > watch->seen)
		watch->seen = watch->last;
	handover_put(&notice);
}

/* Whether a server answers that has all that there was when the watch began. */
static natsStatus check_has_all(const struct watch *watch)
{
	uint64_t last, keys;
	int64_t created;
	natsStatus status = read_state(watch, &created, &last, &keys);

	if (status != NATS_OK)
		return status;
	return created == watch->created && last >= watch->start ? NATS_OK : NATS_MISMATCH;
}

/* Whether the last revision of then has been removed. A server that has less does not know. */
static natsStatus check_removed(const struct watch *watch)
{
	natsStatus status = check_has_all(watch);
	char name[STREAM_SIZE];
	natsMsg *msg = NULL;

	if (status != NATS_OK)
		return status;
	stream_name(name, watch->bucket->name);
	status = js_GetMsg(&msg, watch->link->js, name, watch->start, NULL, NULL);
	natsMsg_Destroy(msg);
	if (status == NATS_NOT_FOUND)
		return check_has_all(watch);
	return status == NATS_OK ? NATS_MISMATCH : status;
}

/*
 * Whether the watch has told all that there was when it began. One that begins when a cluster
 * has just chosen another leader may tell less, as if keys were gone. So the last revision of
 * then was told, unless it has been removed since.
 */
static natsStatus check_all_told(const struct watch *watch)
{
	return watch->last >= watch->start ? NATS_OK : check_removed(watch);
}

static void *read_bucket(void *arg)
{
	struct watch *watch = arg;
	uint64_t look = now_ns(CLOCK_MONOTONIC) + LOOK_NS;
	unsigned int number = watch->link->number;
	kvEntry *entry = NULL;
	natsStatus status;

	while (!is_over(watch->link)) {
		status = kvWatcher_Next(&entry, watch->watcher, READ_MS);
		if (status == NATS_OK && !entry && !watch->told)
			status = check_all_told(watch);
		if (status == NATS_OK) {
			tell_entry(watch, entry);
			look = now_ns(CLOCK_MONOTONIC) + LOOK_NS;
		} else if (status != NATS_TIMEOUT) {
			handover_put_down(number, "KV bucket %s: %s", watch->bucket->name,
					  status == NATS_MISMATCH ? TELLS_LESS :
					  link_words(status));
			break;
		} else if (now_ns(CLOCK_MONOTONIC) >= look) {
			look_after(watch, number);
			look = now_ns(CLOCK_MONOTONIC) + LOOK_NS;
		}
	}
	nats_ReleaseThreadMemory();
	return NULL;
}

/* Has a thread read the watch. Returns whether there is one. */
bool watch_start(struct watch *watch)
{
	watch->reads = !pthread_create(&watch->reader, NULL, read_bucket, watch);
	return watch->reads;
}

/* Ends a watch whose link is over and closed: so nothing is waited for. */
void watch_end(struct watch *watch)
{
	if (watch->reads)
		pthread_join(watch->reader, NULL);
	kvWatcher_Destroy(watch->watcher);
	kvStore_Destroy(watch->kv);
	jsCtx_Destroy(watch->js);
}
