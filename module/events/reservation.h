/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RESERVATION_H
#define METASTORE_RESERVATION_H

#include <linux/types.h>

struct metastore_key;
struct metastore_source;
struct metastore_value;

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

int metastore_claims_add(struct metastore_claims *claims, struct metastore_source *source,
			 const struct metastore_value *value);
void metastore_claims_sort(struct metastore_claims *claims);
struct metastore_claim *metastore_claims_find(const struct metastore_claims *claims,
					      const struct metastore_source *source);
bool metastore_claims_hold(const struct metastore_claims *claims,
			   const struct metastore_key *key);
void metastore_claims_release(struct metastore_claims *claims);

#endif /* METASTORE_RESERVATION_H */
