/* SPDX-License-Identifier: GPL-2.0 */
/* The value of a key in a KV bucket. */
#ifndef MSTORE_BRIDGE_REMOTE_H
#define MSTORE_BRIDGE_REMOTE_H

#include <nats/nats.h>

#include "tool.h"

/** OPERATION_HEADER - header of a message that is no value; NATS' own */
#define OPERATION_HEADER	"KV-Operation"

/** OWNED_HEADER - header of a value that its owner in a store has set */
#define OWNED_HEADER		"Mstore-Owned"

/**
 * struct remote - what a KV bucket has under a key
 * @rev:	its revision; 0: the bucket has nothing, not even the marker of a deletion
 * @created:	when the bucket got it, of its server's clock, in ns
 * @there:	it is a value
 * @read:	the key was read by itself, so that @owned is known
 * @owned:	its owner in another store has set it
 * @value:	the value
 */
struct remote {
	uint64_t rev;
	uint64_t created;
	bool there;
	bool read;
	bool owned;
	struct bytes value;
};

struct remote remote_of_entry(kvEntry *told);
struct remote remote_of_message(natsMsg *read);

#endif
