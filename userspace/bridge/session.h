/* SPDX-License-Identifier: GPL-2.0 */
/* NATS' side: one connection, and the watches of all buckets. */
#ifndef MSTORE_BRIDGE_SESSION_H
#define MSTORE_BRIDGE_SESSION_H

#include <nats/nats.h>

#include "map.h"
#include "tool.h"

/**
 * struct message - change on its way to a bucket
 * @bucket:	the bucket
 * @key:	key of the store
 * @value:	value
 * @deleted:	there is no value any more
 * @owned:	it has an owner here
 * @rev:	the key's last revision, on which the change depends; 0: it has none
 */
struct message {
	const struct bucket *bucket;
	struct bytes key;
	struct bytes value;
	bool deleted;
	bool owned;
	uint64_t rev;
};

void session_begin(unsigned int number);
void session_end(void);
bool session_has_begun(void);
void session_go_on(void);
natsStatus session_send(const struct message *message);
int64_t session_max_payload(void);
const char *session_url(void);

#endif
