// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints of base/trace.h: compiled here, in the highest room, since they look into
 * structures of all.
 */
#include "base/trace.h"
#include "events/delivery.h"
#include "events/subscription.h"
#include "ops/change.h"
#include "ops/file.h"

#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/string_helpers.h>

#include <linux/metastore.h>

#include "api/api.h"

/*
 * Write a key as text, with a NUL behind it, into @room bytes at @to. Return the length of the
 * text, at most four times @len. @to is NULL and @room 0 to learn the length.
 */
static __maybe_unused u32 trace_escape(char *to, u32 room, const u8 *bytes, u32 len)
{
	u32 text = string_escape_mem(bytes, len, to, room, METASTORE_KEY_ESCAPES,
				     METASTORE_KEY_ESCAPED);

	if (text < room)
		to[text] = 0;
	return text;
}

/* Values of the field op in base/trace.h */
static __maybe_unused u32 trace_op_of(const struct metastore_change *change)
{
	if (change->event_flags & METASTORE_EVENT_F_OWNER)
		return METASTORE_TRACE_OWNER;
	if (change->event_flags & METASTORE_EVENT_F_EXPIRED)
		return METASTORE_TRACE_EXPIRE;
	if (change->event_flags & METASTORE_EVENT_F_FLUSH)
		return METASTORE_TRACE_FLUSH;
	if (change->type == METASTORE_EVENT_DELETED)
		return METASTORE_TRACE_DELETE;
	return change->type == METASTORE_EVENT_PUBLISHED ? METASTORE_TRACE_PUBLISH :
							   METASTORE_TRACE_SET;
}

/* Number of the open file that makes a change, or loses a value as its owner; 0: none */
static __maybe_unused u64 trace_file_of(const struct metastore_change *change,
					const struct metastore_value *old)
{
	const struct metastore_owner *owner = change->by;

	if (!owner && old && change->event_flags & METASTORE_EVENT_F_OWNER)
		owner = metastore_tie_of(old)->owner;
	return owner ? container_of(owner, struct metastore_file, owner)->subs.id : 0;
}

/* The header again, which now makes definitions of its declarations. */
#define CREATE_TRACE_POINTS
#include "base/trace.h"

#if defined(CONFIG_EVENT_TRACING) && defined(CONFIG_PERF_EVENTS)
/*
 * perf lets any user count the events of a tracepoint where perf_event_paranoid is 2 or less.
 * That switches it on, which costs all users.
 */
static int trace_permit(struct trace_event_call *call, struct perf_event *event)
{
	return perfmon_capable() ? 0 : -EPERM;
}

/**
 * metastore_trace_init() - Leave the tracepoints to those who may watch the system
 *
 * Context: Process context, before the device is there.
 */
void metastore_trace_init(void)
{
	struct trace_event_call *const calls[] = {
		&event_metastore_get, &event_metastore_change, &event_metastore_refuse,
		&event_metastore_touch, &event_metastore_delivery, &event_metastore_loss,
		&event_metastore_subscribe, &event_metastore_unsubscribe,
		&event_metastore_batch, &event_metastore_flush,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		calls[i]->perf_perm = trace_permit;
}
#else
void metastore_trace_init(void)
{
}
#endif
