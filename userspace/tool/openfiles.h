/* SPDX-License-Identifier: GPL-2.0 */
/* The open files of stores, and the processes that hold them. */
#ifndef MSTORE_TOOL_OPENFILES_H
#define MSTORE_TOOL_OPENFILES_H

#include <metastore.h>

#include "tool.h"

/** struct books - counters of matched events */
struct books {
	uint64_t matched;
	uint64_t delivered;
	uint64_t conflated;
	uint64_t lost;
	uint64_t pending;
	uint64_t discarded;
};

/** struct subscription - one of an open file; see struct mstore_subscription_info */
struct subscription {
	struct bytes key;
	uint64_t cookie;
	int events;
	int flags;
	struct books books;
};

/**
 * struct open_file - an open file of a store; see struct mstore_queue_info
 * @store:	number of the store
 * @file:	number of the open file, unique
 * @policy:	policy of the queue, a word
 * @subscriptions: number of its subscriptions
 * @events:	events that wait
 * @holders:	processes that have it open
 * @subs:	its subscriptions
 */
struct open_file {
	uint64_t store;
	uint64_t file;
	char policy[16];
	uint64_t subscriptions;
	uint64_t events;
	uint64_t bytes;
	uint64_t max_len;
	uint64_t max_bytes;
	uint64_t high_len;
	uint64_t oldest_ms;
	struct books books;
	int32_t *holders;
	size_t holder_count;
	struct subscription *subs;
	size_t sub_count;
};

/**
 * struct mapper - process that has mapped a store, and has no descriptor of any
 * @pid:	the process
 * @is_anonymous: whether it opened the store otherwise than by its device: it may be private
 *
 * The mapping keeps an open file, but /proc does not tell which that is. The library maps by
 * an open file of its own, so that of a process with a descriptor this says nothing.
 */
struct mapper {
	int32_t pid;
	bool is_anonymous;
};

/**
 * struct open_files - all open files
 * @files:	open files
 * @count:	number of @files
 * @mappers:	processes that have others
 * @mapper_count: number of @mappers
 * @denied:	processes that could not be read
 */
struct open_files {
	struct open_file *files;
	size_t count;
	struct mapper *mappers;
	size_t mapper_count;
	unsigned int denied;
};

uint64_t open_files_read(struct open_files *files, struct mstore *store);
void open_files_keep(struct open_files *files, uint64_t store);
void open_files_free(struct open_files *files);
bool books_balance(const struct books *books);
bool file_balances(const struct open_file *file);
int compare_files(const void *a, const void *b);
const char *holder_command(int32_t pid);

#endif
