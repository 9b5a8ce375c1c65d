/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_PUBLISH_WAIT_H
#define METASTORE_PUBLISH_WAIT_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <linux/wait.h>

struct metastore_change;
struct metastore_key;
struct metastore_source;

/**
 * struct metastore_claim - room for one event in a lossless queue
 * @source:	the subscription that will get it
 * @charge:	bytes of the queue
 * @used:	whether the event came, and took it
 */
struct metastore_claim {
	struct metastore_source *source;
	u32 charge;
	bool used;
};

/**
 * struct metastore_claims - room in all lossless queues that an event goes to
 * @claims:	@nr of them, by the address of the subscription
 * @nr:		their number
 * @max:	how many there is memory for
 * @epoch:	of struct metastore_room, from before the queues were looked for
 *
 * From the first claim to the release of all in a section of metastore_srcu.
 */
struct metastore_claims {
	struct metastore_claim *claims;
	u32 nr;
	u32 max;
	s64 epoch;
};

void metastore_room_came(struct metastore_room *room);
void metastore_room_needed(struct metastore_room *room);
struct metastore_claim *metastore_claims_find(const struct metastore_claims *claims,
					      const struct metastore_source *source);
bool metastore_claims_hold(const struct metastore_claims *claims,
			   const struct metastore_key *key);
int metastore_change_waiting(struct metastore_change *change, u32 timeout);

#endif /* METASTORE_PUBLISH_WAIT_H */
