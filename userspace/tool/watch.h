/* SPDX-License-Identifier: GPL-2.0 */
/* Waiting for changes of keys. */
#ifndef MSTORE_TOOL_WATCH_H
#define MSTORE_TOOL_WATCH_H

#include <metastore.h>

#include "tool.h"

struct pollfd;

int ms_until(uint64_t deadline);
int time_left_ms(void);
int poll_with_output(struct pollfd *fds, int count, int timeout, int status);
void end_on_signals(int status);

/**
 * struct watch - a subscription to one key
 * @store:	open store that it belongs to
 * @buffer:	the events that watch_events() has read
 * @key:	key
 * @events:	mask of events
 * @unread:	status to end with once the reader of standard output is gone
 * @over:	the time was over at the last look
 */
struct watch {
	struct mstore *store;
	struct mstore_event_buffer *buffer;
	struct bytes key;
	int events;
	int unread;
	bool over;
};

void watch_begin(struct watch *watch);
bool watch_events(struct watch *watch);
void watch_end(struct watch *watch);
bool read_events(struct mstore *store, struct mstore_event_buffer *buffer);

#endif
