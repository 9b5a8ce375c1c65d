/* SPDX-License-Identifier: GPL-2.0 */
/* Waiting for changes of keys. */
#ifndef MSTORE_TOOL_WATCH_H
#define MSTORE_TOOL_WATCH_H

#include <metastore.h>

#include "tool.h"

int time_left_ms(void);
void end_on_signals(int status);

/**
 * struct watch - a subscription to one key
 * @store:	open store that it belongs to
 * @buffer:	the events that watch_events() has read
 * @key:	key
 * @events:	mask of events
 * @over:	the time was over at the last look
 */
struct watch {
	struct mstore *store;
	struct mstore_event_buffer *buffer;
	struct bytes key;
	int events;
	bool over;
};

void watch_begin(struct watch *watch);
bool watch_events(struct watch *watch);
void watch_end(struct watch *watch);
bool read_events(struct mstore *store, struct mstore_event_buffer *buffer);

#endif
