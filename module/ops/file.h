/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An open file as commands see it. Its life is in api/file.c.
 */
#ifndef METASTORE_FILE_H
#define METASTORE_FILE_H

#include <linux/fs.h>

#include "store/lifetime.h"
#include "store/store.h"
#include "events/queue.h"
#include "events/subscription.h"

/**
 * struct metastore_file - an open file
 * @id:		tells it from all others; never changes
 * @filp:	the file of which this is the private data; never changes
 * @store:	the store it means, with a reference; never changes
 * @mode:	FMODE_READ, FMODE_WRITE: what it is open for; never changes
 * @queue:	its events
 * @subs:	what it is subscribed to
 * @owner:	the values that belong to it
 * @rcu:	for freeing: deliveries may be on @queue and @subs
 */
struct metastore_file {
	u64 id;
	struct file *filp;
	struct metastore_store *store;
	fmode_t mode;
	struct metastore_queue queue;
	struct metastore_subscriptions subs;
	struct metastore_owner owner;
	struct rcu_head rcu;
};

#endif /* METASTORE_FILE_H */
