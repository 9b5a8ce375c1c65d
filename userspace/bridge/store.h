/* SPDX-License-Identifier: GPL-2.0 */
/* The store's side: its changes, its values. */
#ifndef MSTORE_BRIDGE_STORE_H
#define MSTORE_BRIDGE_STORE_H

#include <metastore.h>

#include "tool.h"

/**
 * enum store_news - what store_next() found
 * @STORE_NOTHING:	nothing more for now
 * @STORE_CHANGED:	a key has another value
 * @STORE_DELETED:	a key has no value any more
 * @STORE_IN_STEP:	all values that there were have been told
 * @STORE_REPLACED:	the module was replaced: versions begin anew
 */
enum store_news { STORE_NOTHING, STORE_CHANGED, STORE_DELETED, STORE_IN_STEP, STORE_REPLACED };

/**
 * struct change - change of a key
 * @key:	key
 * @version:	its version
 */
struct change {
	struct bytes key;
	uint64_t version;
};

/**
 * struct local - what the store has under a key
 * @version:	version of the value, 0: there is none
 * @time:	when it was written, of CLOCK_REALTIME, in ns
 * @owned:	an open file owns it
 * @limited:	it has a time to live
 * @value:	value, valid until the next store_get()
 */
struct local {
	uint64_t version;
	uint64_t time;
	bool owned;
	bool limited;
	struct bytes value;
};

void store_begin(void);
void store_end(void);
int store_fd(void);
enum store_news store_next(struct change *change);
bool store_is_there(void);
int store_get(struct bytes key, struct local *local);
int store_set(struct bytes key, struct bytes value, uint64_t before, uint64_t *version);
int store_delete(struct bytes key, uint64_t before);
void store_info(struct mstore_follow_info *info);

#endif
