/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_TURN_H
#define METASTORE_TURN_H

#include <linux/rbtree.h>
#include <linux/types.h>

#include "store/bucket.h"

/**
 * struct metastore_turn - a writer's place among the writers of a key
 * @node:	node in the bucket's tree; cleared: in none
 * @key:	the key
 * @ticket:	order of arrival; 0: the turn of a &struct metastore_delivery, whose writer
 *		made its change already
 *
 * A bucket has the turns of the keys whose last event is being delivered: those of the
 * deliveries, one a key at most, and of the writers that wait for them. Protected by the
 * bucket's lock.
 */
struct metastore_turn {
	struct rb_node node;
	const struct metastore_key *key;
	u64 ticket;
};

static inline void metastore_turn_init(struct metastore_turn *turn)
{
	RB_CLEAR_NODE(&turn->node);
}

static inline bool metastore_turn_is_in_line(const struct metastore_turn *turn)
{
	return !RB_EMPTY_NODE(&turn->node);
}

void metastore_turn_deliver(struct metastore_turn *turn, const struct metastore_key *key);
void metastore_turn_enter(struct metastore_turn *turn, const struct metastore_key *key);
void metastore_turn_leave(struct metastore_turn *turn);
struct metastore_turn *metastore_turn_first(const struct metastore_key *key);

#endif /* METASTORE_TURN_H */
