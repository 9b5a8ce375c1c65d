/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_NOTICE_H
#define METASTORE_NOTICE_H

#include <linux/types.h>

#include "events/ring.h"

struct metastore_key;
struct metastore_reservations;

/**
 * struct metastore_notice - event on its way to the queues
 * @key:	the key
 * @record:	the event, without subscription
 * @mask:	METASTORE_EVENT_*; a subscriber must have asked for one of these
 * @former:	number of the open file that the value was stolen from. Its subscriptions get
 *		the event whatever their masks are. 0: none
 * @reserved:	room reserved for the event, or NULL
 */
struct metastore_notice {
	const struct metastore_key *key;
	struct metastore_record record;
	u32 mask;
	u64 former;
	struct metastore_reservations *reserved;
};

#endif /* METASTORE_NOTICE_H */
