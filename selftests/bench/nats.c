// SPDX-License-Identifier: GPL-2.0
/*
 * NATS: a message from one connection to another, through nats-server.
 * $NATS_SERVER is the program; without it there is no row.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/types.h>

#include <nats/nats.h>

#include "bench.h"

#define URL		"nats://127.0.0.1:4222"
#define SUBJECT		"news-0123456789a"

/* An hour; see server_wait() */
#define TIMEOUT_MS	3600000

static pid_t server;
static natsOptions *options;
static natsConnection *sender, *receiver;
static natsSubscription *subscription;

static void check(natsStatus status, const char *what)
{
	if (status != NATS_OK)
		die("NATS: %s: %s", what, natsStatus_GetText(status));
}

static natsConnection *connection(void)
{
	natsConnection *new;

	check(natsConnection_Connect(&new, options), "Connect");
	return new;
}

static void start(const struct row *row)
{
	static const char * const argv[] = { "nats-server", "-a", "127.0.0.1", "-p", "4222", NULL };
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(4222),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	(void)row;
	server = server_start(getenv("NATS_SERVER"), argv);
	server_wait(server, (const struct sockaddr *)&address, sizeof(address));
	check(natsOptions_Create(&options), "natsOptions_Create");
	check(natsOptions_SetURL(options, URL), "SetURL");
	/* Else it collects for a millisecond what it sends. */
	check(natsOptions_SetSendAsap(options, true), "SetSendAsap");
	check(natsOptions_SetTimeout(options, TIMEOUT_MS), "SetTimeout");
	sender = connection();
	receiver = connection();
	check(natsConnection_SubscribeSync(&subscription, receiver, SUBJECT),
	      "SubscribeSync");
	check(natsConnection_FlushTimeout(receiver, TIMEOUT_MS), "FlushTimeout");
}

static void stop(const struct row *row)
{
	(void)row;
	natsSubscription_Destroy(subscription);
	natsConnection_Destroy(sender);
	natsConnection_Destroy(receiver);
	natsOptions_Destroy(options);
	server_stop(server);
}

static void run_publish(const struct row *row, unsigned int n)
{
	natsMsg *message;

	while (n--) {
		check(natsConnection_Publish(sender, SUBJECT, bench_value, row->size),
		      "Publish");
		check(natsSubscription_NextMsg(&message, subscription, TIMEOUT_MS),
		      "NextMsg");
		natsMsg_Destroy(message);
	}
}

/**
 * nats_rows - row of NATS
 */
void nats_rows(void)
{
	const struct row row = {
		.setup = start,
		.run = run_publish,
		.teardown = stop,
		.size = VALUE_LEN,
		/* Not a short one: how Go schedules itself varies, and evens out. */
		.batch = BATCH,
	};

	if (getenv("NATS_SERVER"))
		row_add(&row, "nats-publish");
}
