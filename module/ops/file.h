/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An open file as commands see it. api/file.c creates and releases it.
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
 * @id:		unique number. Immutable.
 * @filp:	struct file that has this as its private data. Immutable.
 * @store:	store that the commands use; holds a reference. Immutable.
 * @mode:	FMODE_READ, FMODE_WRITE of the descriptor. Immutable.
 * @queue:	event queue. Protected by its own lock.
 * @subs:	subscriptions. Protected by their own lock.
 * @owner:	list of owned values. Protected by its own lock.
 * @rcu:	head for call_srcu(), since deliveries may still use @queue and @subs
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
