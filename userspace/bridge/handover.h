/* SPDX-License-Identifier: GPL-2.0 */
/* Notices of the threads of a session to the main thread. */
#ifndef MSTORE_BRIDGE_HANDOVER_H
#define MSTORE_BRIDGE_HANDOVER_H

#include <nats/nats.h>

#include "map.h"
#include "tool.h"

/**
 * enum notice_type - what a notice tells
 * @SESSION_UP:		the session is connected, and its buckets are watched
 * @SESSION_DOWN:	it has ended, for the reason in @text
 * @BUCKET_ENTRY:	the bucket has @entry, as it was or as it is now
 * @BUCKET_TOLD:	all that the bucket had when the session began was told
 * @KEY_READ:		@msg is what the bucket has under a key; without a revision: nothing
 * @CHANGE_STORED:	the bucket has taken @msg as revision @rev
 * @CHANGE_REFUSED:	it has not: @status, @code and @text say why
 */
enum notice_type {
	SESSION_UP,
	SESSION_DOWN,
	BUCKET_ENTRY,
	BUCKET_TOLD,
	KEY_READ,
	CHANGE_STORED,
	CHANGE_REFUSED,
};

/**
 * struct notice - one thing that a session tells
 * @next:	next one
 * @type:	what it tells
 * @session:	number of the session
 * @bucket:	bucket it is about, or NULL
 * @entry:	an entry, which is the receiver's
 * @msg:	message it is about, which is the receiver's
 * @rev:	revision
 * @status:	status of libnats
 * @code:	error code of JetStream, 0: none
 * @text:	words that go with them
 */
struct notice {
	struct notice *next;
	enum notice_type type;
	unsigned int session;
	struct bucket *bucket;
	kvEntry *entry;
	natsMsg *msg;
	uint64_t rev;
	natsStatus status;
	jsErrCode code;
	char text[160];
};

void handover_begin(void);
int handover_fd(void);
void handover_open(unsigned int session);
void handover_put(const struct notice *notice);
PRINTF_LIKE(2, 3) void handover_put_down(unsigned int session, const char *why, ...);
struct notice *handover_take(void);
void notice_free(struct notice *notice);

#endif
