// SPDX-License-Identifier: GPL-2.0
/*
 * NATS' side. A session is a connection and the watches of all buckets. It ends with the
 * first thing that goes wrong, and the next one compares all anew: nothing is left to guess
 * about what was lost in between. A thread of its own connects, and one for each bucket reads
 * what that has; both tell the main thread by handover_put().
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handover.h"
#include "key.h"
#include "lookup.h"
#include "output.h"
#include "remote.h"
#include "session.h"
#include "settings.h"
#include "watch.h"

#define CONNECT_MS	2000
#define PING_MS		5000
#define PINGS_OUT	2
#define WRITE_MS	2000

/* More than the main thread has on their way at once: libnats then never makes it wait. */
#define PENDING_MAX	4096

/**
 * struct session - a session
 * @link:	what its threads share
 * @watches:	array of all buckets
 * @connector:	thread that connects
 * @begun:	there is a session, with a @connector
 * @url:	the server that it is connected to
 */
static struct session {
	struct link link;
	struct watch *watches;
	pthread_t connector;
	bool begun;
	char url[256];
} session;

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
						 (void *)(uintptr_t)session.link.number);
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
		status = natsConnection_Connect(&session.link.connection, options);
	if (status == NATS_OK)
		status = natsConnection_GetConnectedUrl(session.link.connection, session.url,
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
	options.PublishAsync.AckHandlerClosure = (void *)(uintptr_t)session.link.number;
	if (status == NATS_OK)
		status = natsConnection_JetStream(&session.link.js, session.link.connection,
						  &options);
	return status;
}

static void put_down_for(const struct watch *watch, const char *why)
{
	handover_put_down(session.link.number, "KV bucket %s: %s", watch->bucket->name, why);
}

/*
 * Looks at all buckets, so that the minute of each doubt is the same. Returns whether all are to be
 * believed.
 */
static bool look_at_buckets(void)
{
	const struct watch *doubtful = NULL;
	const char *doubt = NULL;

	for (int i = 0; i < maps.bucket_count; i++) {
		struct watch *watch = &session.watches[i];
		const char *why = watch_look(watch, &session.link, maps.buckets[i]);

		if (why) {
			put_down_for(watch, why);
			return false;
		}
		why = watch_doubts(watch);
		if (why) {
			doubtful = watch;
			doubt = why;
		}
	}
	if (doubtful)
		put_down_for(doubtful, doubt);
	return !doubtful;
}

static bool open_watches(void)
{
	for (int i = 0; i < maps.bucket_count; i++) {
		const char *why = watch_open(&session.watches[i]);

		if (!why)
			continue;
		put_down_for(&session.watches[i], why);
		return false;
	}
	for (int i = 0; i < maps.bucket_count; i++)
		watch_accept(&session.watches[i]);
	return true;
}

static void start_watches(void)
{
	for (int i = 0; i < maps.bucket_count; i++) {
		if (watch_start(&session.watches[i]))
			continue;
		handover_put_down(session.link.number, "no thread can be started");
		return;
	}
}

static void *connect_all(void *unused)
{
	struct notice notice = { .type = SESSION_UP, .session = session.link.number };
	natsStatus status = connect_to_server();

	(void)unused;
	if (status == NATS_OK)
		status = open_jetstream();
	if (status != NATS_OK) {
		for (int i = 0; i < maps.bucket_count; i++)
			maps.buckets[i]->doubt = 0;
		handover_put_down(session.link.number, "%s", link_words(status));
	} else if (look_at_buckets() && open_watches()) {
		handover_put(&notice);
	}
	nats_ReleaseThreadMemory();
	return NULL;
}

/* Begins a session, which tells later whether it is up. */
void session_begin(unsigned int number)
{
	memset(&session, 0, sizeof(session));
	session.link.number = number;
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
	start_watches();
	lookup_begin(session.link.js, session.link.number);
}

/*
 * Ends the session. The connection is closed first: then no thread waits for a server that
 * does not answer. Only one that is about to connect is waited for.
 */
void session_end(void)
{
	if (!session.begun)
		return;
	__atomic_store_n(&session.link.over, true, __ATOMIC_RELEASE);
	handover_open(0);
	pthread_join(session.connector, NULL);
	natsConnection_Close(session.link.connection);
	lookup_end();
	for (int i = 0; i < maps.bucket_count; i++)
		watch_end(&session.watches[i]);
	jsCtx_Destroy(session.link.js);
	natsConnection_Destroy(session.link.connection);
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
		status = js_PublishMsgAsync(session.link.js, &msg, &options);
	natsMsg_Destroy(msg);
	return status;
}

int64_t session_max_payload(void)
{
	return natsConnection_GetMaxPayload(session.link.connection);
}

const char *session_url(void)
{
	return session.url;
}
