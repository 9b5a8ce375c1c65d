/* SPDX-License-Identifier: GPL-2.0 */
/* Following keys and prefixes: what sub and monitor have in common. */
#ifndef MSTORE_TOOL_FOLLOW_H
#define MSTORE_TOOL_FOLLOW_H

#include <metastore.h>

#include "options.h"

/* The options of both. */
#define OPTION_COUNT		{ 'n', "count", "COUNT", "end after COUNT changes" }
#define OPTION_ENOUGH \
	{ OPT_TIMEOUT, "timeout", "TIME", "end then; status 124 if fewer than COUNT came" }

#define EVENTS_ALL	(MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED)

/**
 * struct follow - followed keys, and the progress
 * @cmd:	subcommand that does it
 * @store:	open store, which is subscribed to @keys; cookies are indexes
 * @buffer:	events that were read last
 * @keys:	keys, or prefixes
 * @operands:	keys as they were typed; prefixes: NULL
 * @count:	number of @keys
 * @how:	options of the subscriptions
 * @queue:	new settings of the store's queue
 * @ready_fd:	descriptor to notify once all are subscribed, -1: none
 * @print:	prints a change, or what the snapshot has
 * @tick:	called every second at least, or NULL
 * @format:	format of each line, or NULL
 * @recovers:	after a loss go on with the present values: sub_follow.c
 * @in_step:	whether all present values were shown once, if it @recovers
 * @strict:	end when changes were lost
 * @counted:	end after @wanted changes
 * @wanted:	number of changes, if @counted
 * @seen:	changes printed; commands started, or told of a change
 * @lost:	changes lost
 */
struct follow {
	const struct command *cmd;
	struct mstore *store;
	struct mstore_event_buffer *buffer;
	struct bytes *keys;
	char **operands;
	int count;
	struct mstore_subscribe_options how;
	struct mstore_queue_options queue;
	int ready_fd;
	void (*print)(const struct follow *follow, const struct mstore_event *event);
	void (*tick)(const struct follow *follow);
	const char *format;
	bool recovers;
	bool in_step;
	bool strict;
	bool counted;
	uint64_t wanted;
	uint64_t seen;
	uint64_t lost;
};

void follow_begin(struct follow *follow);
void follow_set_queue(const struct follow *follow, struct mstore *store);
void follow_tell_ready(const struct follow *follow);
bool follows_prefixes(const struct follow *follow);
bool is_complete(const struct follow *follow);
int changes_lost(struct follow *follow, const struct mstore_event *event);
noreturn void subscriptions_flushed(const struct follow *follow, const struct mstore_event *event);
int follow_with_lines(struct follow *follow);
int follow_status(const struct follow *follow, int status);
void follow_end(struct follow *follow);

#endif
