/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RESERVATION_H
#define METASTORE_RESERVATION_H

#include <linux/types.h>

#include "events/queue_push.h"

/**
 * struct metastore_reservations - room in all lossless queues that an event goes to
 * @items:	@nr of them, by the address of the subscription
 * @nr:		their number
 * @max:	how many there is memory for
 * @epoch:	of struct metastore_room, from before the queues were looked for
 *
 * From the first reservation to the release of all in a section of metastore_srcu.
 */
struct metastore_reservations {
	struct metastore_reservation *items;
	u32 nr;
	u32 max;
	s64 epoch;
};

int metastore_reservations_add(struct metastore_reservations *reserved,
			       struct metastore_subscription *sub,
			       const struct metastore_value *value);
void metastore_reservations_sort(struct metastore_reservations *reserved);
struct metastore_reservation *
metastore_reservations_find(const struct metastore_reservations *reserved,
			    const struct metastore_subscription *sub);
bool metastore_reservations_are_all(const struct metastore_reservations *reserved,
				    const struct metastore_key *key);
void metastore_reservations_release(struct metastore_reservations *reserved);

#endif /* METASTORE_RESERVATION_H */
