/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RESERVATION_H
#define METASTORE_RESERVATION_H

#include <linux/types.h>

#include "events/queue_push.h"

/**
 * struct metastore_reservations - room for one event in all lossless queues it goes to
 * @items:	reservations, sorted by address of the subscription before a search
 * @nr:		number of @items
 * @max:	number of @items that there is memory for
 * @epoch:	value of struct metastore_room's epoch before the search for queues
 *
 * The owner is in a metastore_srcu read section from the first reservation to the
 * release of all.
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
