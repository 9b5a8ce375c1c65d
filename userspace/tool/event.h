/* SPDX-License-Identifier: GPL-2.0 */
/* Events as lines. */
#ifndef MSTORE_TOOL_EVENT_H
#define MSTORE_TOOL_EVENT_H

#include <metastore.h>

#include "output.h"

#define CHANGES		7

/** struct change - a word of --changes, for bits of the mask of events */
struct change {
	const char *word;
	int events;
};

extern const struct change changes[CHANGES];

const char *format_error(const char *format);
const char *event_kind(int type);
void event_why(struct buffer *buf, const struct mstore_event *event);
void print_change(struct bytes key, const struct mstore_event *event, const char *format);
void print_event(const struct mstore_event *event, const char *format);
void print_snapshot_end(struct bytes key, bool prefix, const char *format);
void print_in_step(const char *format);
void print_loss(struct bytes key, bool prefix, uint64_t count);
void print_flushed(uint64_t count);

#endif
