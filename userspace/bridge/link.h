/* SPDX-License-Identifier: GPL-2.0 */
/* What the threads of a session share: its connection. */
#ifndef MSTORE_BRIDGE_LINK_H
#define MSTORE_BRIDGE_LINK_H

#include <nats/nats.h>

#include "tool.h"

/** ACK_WAIT_MS - how long a bucket may take to answer */
#define ACK_WAIT_MS	5000

/**
 * struct link - connection of a session
 * @number:	number of the session
 * @connection:	the connection, or NULL
 * @js:		the context of JetStream, or NULL
 * @over:	the threads of the session are to end
 */
struct link {
	unsigned int number;
	natsConnection *connection;
	jsCtx *js;
	bool over;
};

/* The words of libnats for what failed last in this thread, or for the status. */
static inline const char *link_words(natsStatus status)
{
	const char *last = nats_GetLastError(NULL);

	return last && *last ? last : natsStatus_GetText(status);
}

#endif
