/* SPDX-License-Identifier: GPL-2.0 */
#ifndef METASTORE_DEVICE_H
#define METASTORE_DEVICE_H

#include "queue.h"
#include "store.h"
#include "subscription.h"

/**
 * struct metastore_file - an open file
 * @store:	the store it means; never changes
 * @queue:	its events
 * @subs:	what it is subscribed to
 */
struct metastore_file {
	struct metastore_store *store;
	struct metastore_queue queue;
	struct metastore_subscriptions subs;
};

int metastore_device_register(struct metastore_store *store);
void metastore_device_unregister(void);

#endif /* METASTORE_DEVICE_H */
