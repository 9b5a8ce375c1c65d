// SPDX-License-Identifier: GPL-2.0
/*
 * NATS' side. A session is a connection and the watches of all buckets. It ends with the
 * first thing that goes wrong, and the next one compares all anew: nothing is left to guess
 * about what was lost in between. A thread of its own connects, and one for each bucket reads
 * what that has; both tell the main thread by handover_put().
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "handover.h"
#include "key.h"
#include "lookup.h"
#include "output.h"
#include "remote.h"
#include "session.h"
#include "settings.h"

#define CONNECT_MS	2000
#define PING_MS		5000
#define PINGS_OUT	2
#define READ_MS		500
#define WRITE_MS	2000

/* Before nats-server 2.9 begins a watch it sorts all keys: some 10 seconds for 500,000. */
#define KEYS_PER_MS	10

/* How often to look after a watch that is silent, and at how many looks a fault counts */
#define LOOK_NS		(10 * NS_PER_SEC)
#define LOOKS		2

#define TELLS_LESS	"its watch does not tell all that there is"
#define HAS_LESS	"it has lost revisions"

/* Another leader has what the bucket had after so long, or nobody has. */
#define DOUBT_NS	(60 * NS_PER_SEC)

/* More than the main thread has on their way at once: libnats then never makes it wait. */
#define PENDING_MAX	4096

/**
 * struct watch - a bucket as the session has it
 * @bucket:	the bucket
 * @js:		the context of JetStream for @kv, which waits longer than the session's
 * @kv:		its store
 * @watcher:	tells what it has
 * @created:	when the bucket was made
 * @seen:	last revision that the watch has told, or that the bucket had before it
 * @start:	last revision of the bucket when the watch began
 * @last:	last revision that the watch has told
 * @told:	all that the bucket had when the session began was told
 * @wrong:	looks in a row at which something was wrong
 * @reader:	thread that reads @watcher
 * @reads:	there is a @reader
 */
struct watch {
	struct bucket *bucket;
	jsCtx *js;
	kvStore *kv;
	kvWatcher *watcher;
	int64_t created;
	uint64_t seen;
	uint64_t start;
	uint64_t last;
	bool told;
	int wrong;
	pthread_t reader;
	bool reads;
};

/**
 * struct session - a session
 * @number:	its number
 * @connection:	its connection, or NULL
 * @js:		the context of JetStream, or NULL
 * @watches:	array of all buckets
 * @connector:	thread that connects
 * @begun:	there is a session, with a @connector
 * @over:	its threads are to end
 * @url:	the server that it is connected to
 */
static struct session {
	unsigned int number;
	natsConnection *connection;
	jsCtx *js;
	struct watch *watches;
	pthread_t connector;
	bool begun;
	bool over;
	char url[256];
} session;

static bool is_over(void)
{
	return __atomic_load_n(&session.over, __ATOMIC_ACQUIRE);
}

/* The words of libnats for what failed last in this thread, or for the status. */
static const char *words(natsStatus status)
{
	const char *last = nats_GetLastError(NULL);

	return last && *last ? last : natsStatus_GetText(status);
}

static void on_closed(natsConnection *connection, void *number)
{
	const char *why = NULL;

	natsConnection_GetLastError(connection, &why);
	handover_put_down((uintptr_t)number, "the connection was lost%s%s",
			  why && *why ? ": " : "", why ? why : "");
}

/* Other errors of the library are seen by their effect. */
static void on_error(natsConnection *connection, natsSubscription *subscription,
		     natsStatus status, void *unused)
{
	(void)connection;
	(void)subscription;
	(void)status;
	(void)unused;
}

/* The server's answer to a message, or that there was none. The message is ours. */
static void on_answer(jsCtx *js, natsMsg *msg, jsPubAck *ack, jsPubAckErr *error, void *number)
{
	struct notice notice = { .session = (uintptr_t)number, .msg = msg };

	(void)js;
	if (ack) {
		notice.type = CHANGE_STORED;
		notice.rev = ack->Sequence;
	} else {
		notice.type = CHANGE_REFUSED;
		notice.status = error->Err;
		notice.code = error->ErrCode;
		snprintf(notice.text, sizeof(notice.text), "%s", error->ErrText);
	}
	handover_put(&notice);
}

static natsStatus set_login(natsOptions *options)
{
	if (settings.creds)
		return natsOptions_SetUserCredentialsFromFiles(options, settings.creds, NULL);
	if (settings.user)
		return natsOptions_SetUserInfo(options, settings.user, settings.password);
	if (settings.token)
		return natsOptions_SetToken(options, settings.token);
	return NATS_OK;
}

/* libnats takes no notice of the scheme, but for the server's name. */
static bool wants_tls(void)
{
	for (int i = 0; i < settings.server_count; i++)
		if (!strncmp(settings.servers[i], "tls://", strlen("tls://")))
			return true;
	return settings.tls_ca || settings.tls_cert;
}

static natsStatus set_tls(natsOptions *options)
{
	natsStatus status = NATS_OK;

	if (!wants_tls())
		return status;
	status = natsOptions_SetSecure(options, true);
	if (status == NATS_OK && settings.tls_ca)
		status = natsOptions_LoadCATrustedCertificates(options, settings.tls_ca);
	if (status == NATS_OK && settings.tls_cert)
		status = natsOptions_LoadCertificatesChain(options, settings.tls_cert,
							   settings.tls_key);
	return status;
}

/* Sessions take the place of the library's own reconnection. */
static natsStatus set_connection(natsOptions *options)
{
	natsStatus status = natsOptions_SetServers(options, settings.servers,
						   settings.server_count);

	if (status == NATS_OK)
		status = natsOptions_SetAllowReconnect(options, false);
	if (status == NATS_OK)
		status = natsOptions_SetTimeout(options, CONNECT_MS);
	if (status == NATS_OK)
		status = natsOptions_SetWriteDeadline(options, WRITE_MS);
	if (status == NATS_OK)
		status = natsOptions_SetPingInterval(options, PING_MS);
	if (status == NATS_OK)
		status = natsOptions_SetMaxPingsOut(options, PINGS_OUT);
	if (status == NATS_OK)
		status = natsOptions_SetName(options, "mstore-nats");
	if (status == NATS_OK)
		status = natsOptions_SetErrorHandler(options, on_error, NULL);
	if (status == NATS_OK)
		status = natsOptions_SetClosedCB(options, on_closed,
						 (void *)(uintptr_t)session.number);
	return status;
}

static natsStatus connect_to_server(void)
{
	natsOptions *options = NULL;
	natsStatus status = natsOptions_Create(&options);

	if (status == NATS_OK)
		status = set_connection(options);
	if (status == NATS_OK)
		status = set_login(options);
	if (status == NATS_OK)
		status = set_tls(options);
	if (status == NATS_OK)
		status = natsConnection_Connect(&session.connection, options);
	if (status == NATS_OK)
		status = natsConnection_GetConnectedUrl(session.connection, session.url,
							sizeof(session.url));
	natsOptions_Destroy(options);
	return status;
}

static natsStatus open_jetstream(void)
{
	jsOptions options;
	natsStatus status = jsOptions_Init(&options);

	options.Wait = ACK_WAIT_MS;
	options.PublishAsync.MaxPending = PENDING_MAX;
	options.PublishAsync.AckHandler = on_answer;
	options.PublishAsync.AckHandlerClosure = (void *)(uintptr_t)session.number;
	if (status == NATS_OK)
		status = natsConnection_JetStream(&session.js, session.connection, &options);
	return status;
}

static natsStatus make_bucket(const struct bucket *bucket)
{
	kvStore *kv = NULL;
	kvConfig config;
	natsStatus status = kvConfig_Init(&config);

	config.Bucket = bucket->name;
	config.Description = "made by mstore-nats";
	config.History = 1;
	config.Replicas = settings.replicas;
	config.StorageType = settings.memory ? js_MemoryStorage : js_FileStorage;
	if (status == NATS_OK)
		status = js_CreateKeyValue(&kv, session.js, &config);
	kvStore_Destroy(kv);
	return status;
}

/* Reads when a bucket was made, its last revision, and how many keys it has with markers. */
static natsStatus read_state(const struct bucket *bucket, int64_t *created, uint64_t *last,
			     uint64_t *keys)
{
	jsStreamInfo *info = NULL;
	char name[STREAM_SIZE];
	natsStatus status;

	stream_name(name, bucket->name);
	status = js_GetStreamInfo(&info, session.js, name, NULL, NULL);
	if (status == NATS_OK) {
		*created = info->Created;
		*last = info->State.LastSeq;
		*keys = info->State.Msgs;
	}
	jsStreamInfo_Destroy(info);
	return status;
}

/* The wait is bounded by what there is to sort: JetStream may be silent while the server is not. */
static natsStatus begin_watch(struct watch *watch, uint64_t keys)
{
	jsOptions options;
	natsStatus status = jsOptions_Init(&options);

	options.Wait = ACK_WAIT_MS + keys / KEYS_PER_MS;
	if (status == NATS_OK)
		status = natsConnection_JetStream(&watch->js, session.connection, &options);
	if (status == NATS_OK)
		status = js_KeyValue(&watch->kv, watch->js, watch->bucket->name);
	if (status == NATS_OK)
		status = kvStore_WatchAll(&watch->watcher, watch->kv, NULL);
	return status;
}

/*
 * Whether a bucket has what it had before. While a cluster chooses another leader its servers
 * may say that it has less, even nothing: that is believed once they have said so for a while.
 */
static bool has_all(struct bucket *bucket, int64_t created, uint64_t last)
{
	const uint64_t now = now_ns(CLOCK_MONOTONIC);
	const bool less = bucket->created == created && last < bucket->seen;

	if (!less)
		bucket->doubt = 0;
	else if (!bucket->doubt)
		bucket->doubt = now;
	return !less || now - bucket->doubt >= DOUBT_NS;
}

/* Takes the bucket as it is. */
static void enter_state(struct bucket *bucket, int64_t created, uint64_t last)
{
	if (bucket->created && (bucket->created != created || last < bucket->seen)) {
		bucket->anew = true;
		bucket->seen = last;
		bucket->doubt = 0;
	}
	bucket->created = created;
}

static natsStatus open_bucket(struct watch *watch)
{
	uint64_t keys = 0;
	natsStatus status = read_state(watch->bucket, &watch->created, &watch->seen, &keys);

	if (status == NATS_NOT_FOUND && settings.create) {
		status = make_bucket(watch->bucket);
		if (status == NATS_OK)
			status = read_state(watch->bucket, &watch->created, &watch->seen, &keys);
	}
	if (status != NATS_OK)
		return status;
	if (!has_all(watch->bucket, watch->created, watch->seen))
		return NATS_MISMATCH;
	enter_state(watch->bucket, watch->created, watch->seen);
	watch->start = watch->seen;
	return begin_watch(watch, keys);
}

/* Looks at a bucket whose watch is silent. Returns what is wrong, or NULL. */
static const char *find_fault(const struct watch *watch)
{
	int64_t created = watch->created;
	uint64_t last = watch->seen, keys;
	natsStatus status = read_state(watch->bucket, &created, &last, &keys);

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
		.type = entry ? BUCKET_ENTRY : BUCKET_TOLD, .session = session.number,
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

/* Whether the last revision that a bucket had when the watch began has been removed since. */
static natsStatus check_removed(const struct watch *watch)
{
	char name[STREAM_SIZE];
	uint64_t last, keys;
	natsMsg *msg = NULL;
	natsStatus status;
	int64_t created;

	stream_name(name, watch->bucket->name);
	status = js_GetMsg(&msg, session.js, name, watch->start, NULL, NULL);
	natsMsg_Destroy(msg);
	if (status != NATS_NOT_FOUND)
		return status == NATS_OK ? NATS_MISMATCH : status;
	/* A server that has less knows nothing of it. */
	status = read_state(watch->bucket, &created, &last, &keys);
	return status == NATS_OK && last < watch->start ? NATS_MISMATCH : status;
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
	unsigned int number = session.number;
	kvEntry *entry = NULL;
	natsStatus status;

	while (!is_over()) {
		status = kvWatcher_Next(&entry, watch->watcher, READ_MS);
		if (status == NATS_OK && !entry && !watch->told)
			status = check_all_told(watch);
		if (status == NATS_OK) {
			tell_entry(watch, entry);
			look = now_ns(CLOCK_MONOTONIC) + LOOK_NS;
		} else if (status != NATS_TIMEOUT) {
			handover_put_down(number, "KV bucket %s: %s", watch->bucket->name,
					  status == NATS_MISMATCH ? TELLS_LESS : words(status));
			break;
		} else if (now_ns(CLOCK_MONOTONIC) >= look) {
			look_after(watch, number);
			look = now_ns(CLOCK_MONOTONIC) + LOOK_NS;
		}
	}
	nats_ReleaseThreadMemory();
	return NULL;
}

static const char *why_not_opened(natsStatus status)
{
	switch (status) {
	case NATS_NOT_FOUND:
		return "there is none; --create makes it";
	case NATS_MISMATCH:
		return HAS_LESS;
	default:
		return words(status);
	}
}

static bool watch_buckets(void)
{
	for (int i = 0; i < maps.bucket_count; i++) {
		struct watch *watch = &session.watches[i];
		natsStatus status;

		watch->bucket = maps.buckets[i];
		status = open_bucket(watch);
		if (status == NATS_OK)
			continue;
		handover_put_down(session.number, "KV bucket %s: %s", watch->bucket->name,
				  why_not_opened(status));
		return false;
	}
	return true;
}

static bool start_readers(void)
{
	for (int i = 0; i < maps.bucket_count; i++) {
		struct watch *watch = &session.watches[i];

		if (pthread_create(&watch->reader, NULL, read_bucket, watch)) {
			handover_put_down(session.number, "no thread can be started");
			return false;
		}
		watch->reads = true;
	}
	return true;
}

static void *connect_all(void *unused)
{
	struct notice notice = { .type = SESSION_UP, .session = session.number };
	natsStatus status = connect_to_server();

	(void)unused;
	if (status == NATS_OK)
		status = open_jetstream();
	if (status != NATS_OK)
		handover_put_down(session.number, "%s", words(status));
	else if (watch_buckets())
		handover_put(&notice);
	nats_ReleaseThreadMemory();
	return NULL;
}

/* Begins a session, which tells later whether it is up. */
void session_begin(unsigned int number)
{
	memset(&session, 0, sizeof(session));
	session.number = number;
	session.watches = calloc(maps.bucket_count, sizeof(*session.watches));
	if (!session.watches)
		die(STATUS_COULD_NOT, "memory", "no room for a session");
	handover_open(number);
	if (pthread_create(&session.connector, NULL, connect_all, NULL))
		die(STATUS_COULD_NOT, "session", "no thread can be started");
	session.begun = true;
}

bool session_has_begun(void)
{
	return session.begun;
}

/* After SESSION_UP: has the buckets read. */
void session_go_on(void)
{
	start_readers();
	lookup_begin(session.js, session.number);
}

static void end_watch(struct watch *watch)
{
	if (watch->reads)
		pthread_join(watch->reader, NULL);
	kvWatcher_Destroy(watch->watcher);
	kvStore_Destroy(watch->kv);
	jsCtx_Destroy(watch->js);
}

/*
 * Ends the session. The connection is closed first: then no thread waits for a server that
 * does not answer. Only one that is about to connect is waited for.
 */
void session_end(void)
{
	if (!session.begun)
		return;
	__atomic_store_n(&session.over, true, __ATOMIC_RELEASE);
	handover_open(0);
	pthread_join(session.connector, NULL);
	natsConnection_Close(session.connection);
	lookup_end();
	for (int i = 0; i < maps.bucket_count; i++)
		end_watch(&session.watches[i]);
	jsCtx_Destroy(session.js);
	natsConnection_Destroy(session.connection);
	free(session.watches);
	session.begun = false;
}

static natsStatus make_message(natsMsg **msg, const struct message *message)
{
	char subject[SUBJECT_SIZE];
	natsStatus status;

	key_to_subject(subject, message->bucket->name, message->key);
	status = natsMsg_Create(msg, subject, NULL, message->value.data,
				(int)message->value.len);
	if (status == NATS_OK && message->deleted)
		status = natsMsgHeader_Set(*msg, OPERATION_HEADER, "DEL");
	if (status == NATS_OK && message->owned)
		status = natsMsgHeader_Set(*msg, OWNED_HEADER, "1");
	return status;
}

/*
 * Sends a change, which the bucket takes if the key still has that revision. The answer comes
 * as CHANGE_STORED or CHANGE_REFUSED. kvStore_Update() would wait for each, and deletions
 * have no such call.
 */
natsStatus session_send(const struct message *message)
{
	jsPubOptions options;
	natsMsg *msg = NULL;
	natsStatus status = jsPubOptions_Init(&options);

	options.MaxWait = ACK_WAIT_MS;
	options.ExpectLastSubjectSeq = message->rev;
	options.ExpectNoMessage = !message->rev;
	if (status == NATS_OK)
		status = make_message(&msg, message);
	if (status == NATS_OK)
		status = js_PublishMsgAsync(session.js, &msg, &options);
	natsMsg_Destroy(msg);
	return status;
}

int64_t session_max_payload(void)
{
	return natsConnection_GetMaxPayload(session.connection);
}

const char *session_url(void)
{
	return session.url;
}
