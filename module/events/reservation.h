/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_RESERVATION_H
#define METASTORE_RESERVATION_H

#include <linux/types.h>

#include "events/queue_push.h"

/* Reservations that are made under one hold of the bucket's lock. */
#define METASTORE_RESERVE_AT_ONCE	64

/* Those of the first hold, for which nothing is allocated: most keys have few subscribers. */
#define METASTORE_RESERVE_FIRST		4

struct metastore_reservation_block;

/**
 * struct metastore_reservations - room for one event in all lossless queues it goes to
 * @tree:	struct metastore_reservation by address of the subscription
 * @first:	the first reservations
 * @nr_first:	number of @first
 * @room:	how many may be added after metastore_reservations_prepare()
 * @blocks:	memory of the reservations, the last block first
 * @epoch:	the bucket's epoch before the search for queues
 * @prefix_epoch: that of the store's prefixes
 * @copied:	bytes copied, for the caller to reset
 * @garbage:	values for the caller to free, once it holds no lock
 * @claimed:	whether no further queue is waited for
 */
struct metastore_reservations {
	struct rb_root tree;
	struct metastore_reservation first[METASTORE_RESERVE_FIRST];
	u32 nr_first;
	u32 room;
	struct metastore_reservation_block *blocks;
	u64 epoch;
	u64 prefix_epoch;
	u32 copied;
	struct metastore_garbage garbage;
	bool claimed;
};

void metastore_reservations_begin(struct metastore_reservations *reserved,
				  const struct metastore_key *key);
int metastore_reservations_prepare(struct metastore_reservations *reserved);
int metastore_reservations_add(struct metastore_reservations *reserved,
			       struct metastore_subscription *sub,
			       const struct metastore_value *value);
struct metastore_reservation *
metastore_reservations_find(const struct metastore_reservations *reserved,
			    const struct metastore_subscription *sub);
bool metastore_reservations_are_all(const struct metastore_reservations *reserved,
				    const struct metastore_key *key);
void metastore_reservations_release(struct metastore_reservations *reserved);

#endif /* METASTORE_RESERVATION_H */
