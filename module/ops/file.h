/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An open file as commands see it. api/file.c creates and releases it.
 */
#ifndef METASTORE_FILE_H
#define METASTORE_FILE_H

#include <linux/fs.h>

#include "store/lifetime.h"
#include "store/store.h"
#include "store/user.h"
#include "events/queue.h"
#include "events/subscription.h"

/**
 * struct metastore_file - an open file
 * @filp:	struct file that has this as its private data. Immutable.
 * @store:	store that the commands use; holds a reference. Immutable.
 * @user:	user that opened it and is charged; holds a reference. Immutable.
 * @mode:	FMODE_READ, FMODE_WRITE of the descriptor. Immutable.
 * @queue:	event queue. Protected by its own lock.
 * @subs:	subscriptions. Protected by their own lock.
 * @owner:	list of owned values. Protected by its own lock.
 * @exempt:	whether it works although the module is retired. Immutable.
 * @in_open_files: entry in the list of all open files, see ops/retire.c
 *
 * Counted by the references of @subs.
 */
struct metastore_file {
	struct file *filp;
	struct metastore_store *store;
	struct metastore_user *user;
	fmode_t mode;
	struct metastore_queue queue;
	struct metastore_subscriptions subs;
	struct metastore_owner owner;
	bool exempt;
	struct list_head in_open_files;
};

#endif /* METASTORE_FILE_H */
