// SPDX-License-Identifier: GPL-2.0
/* mstore monitor */
#include <metastore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "event.h"
#include "follow.h"
#include "output.h"
#include "record.h"
#include "selection.h"
#include "settings.h"
#include "text.h"
#include "watch.h"
#include "writer.h"

/* A value is shown as far as this. */
#define VALUE_MAX	60

/* Size of the queue, in multiples of the store's. */
#define QUEUE_FACTOR	16

static const struct tool_option options[] = {
	OPTION_COUNT, OPTION_ENOUGH, OPTION_EXCEPT,
	OPTION_JSON, OPTION_ESCAPED, { }
};

/* The local time of day. */
static void add_time(uint64_t time_ns)
{
	time_t seconds = time_ns / NS_PER_SEC;
	struct tm tm;

	localtime_r(&seconds, &tm);
	buffer_format(&out, "%02d:%02d:%02d.%06u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		      (unsigned int)(time_ns % NS_PER_SEC / NS_PER_US));
}

/* As much of the value as fits, in whole characters. */
static struct bytes shortened(struct bytes value)
{
	const char *s = value.data;
	size_t len = 0, step;

	if (value.len <= VALUE_MAX)
		return value;
	while (len < VALUE_MAX) {
		step = utf8_sequence(s + len, value.len - len);
		len += step ? step : 1;
	}
	return (struct bytes){ s, len };
}

static void add_value(const struct mstore_event *event)
{
	struct bytes value, shown;

	value.data = mstore_event_value(event, &value.len);
	shown = shortened(value);
	buffer_text(&out, " ");
	escape(&out, shown, ESCAPE_VALUE);
	if (shown.len < value.len)
		buffer_format(&out, "... (%zu bytes)", value.len);
}

static void add_why(const struct mstore_event *event)
{
	struct buffer why = { 0 };

	event_why(&why, event);
	if (why.len)
		buffer_format(&out, " (%.*s)", (int)why.len, why.data);
	free(why.data);
}

static void add_key(struct bytes key)
{
	struct buffer text = { 0 };

	escape(&text, key, ESCAPE_KEY);
	buffer_format(&out, " %-24.*s", (int)text.len, text.data);
	free(text.data);
}

/* Publications are news, deletions may be bad ones. */
static void add_kind(int type)
{
	static int colours = -1;
	const char *colour = type == MSTORE_EVENT_DELETED ? COLOUR_BAD :
			     type == MSTORE_EVENT_PUBLISHED ? COLOUR_NEWS : "";

	if (colours < 0)
		colours = shows_colours(STDOUT_FILENO);
	if (!colours || !*colour)
		buffer_format(&out, " %-9s", event_kind(type));
	else
		buffer_format(&out, " %s%-9s" COLOUR_END, colour, event_kind(type));
}

/* A deletion has neither time nor writer: its time is when monitor reads it. */
static void print_line(const struct mstore_event *event)
{
	bool deleted = mstore_event_type(event) == MSTORE_EVENT_DELETED;
	struct bytes key;

	key.data = mstore_event_key(event, &key.len);
	add_time(deleted ? now_ns(CLOCK_REALTIME) : mstore_event_time(event));
	add_kind(mstore_event_type(event));
	if (deleted)
		buffer_format(&out, " %8s %-8s", "-", "-");
	else
		buffer_format(&out, " %8d %-8s", mstore_event_tgid(event),
			      user_name(mstore_event_uid(event)));
	add_key(key);
	if (!deleted)
		add_value(event);
	add_why(event);
	out_end();
}

static void print(const struct follow *follow, const struct mstore_event *event)
{
	(void)follow;
	progress_end();
	if (settings.json)
		print_event(event, NULL);
	else
		print_line(event);
}

/* Each second, below the lines, on a terminal. */
static void show_rate(const struct follow *follow)
{
	static uint64_t last, last_seen;
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	if (last && now - last < NS_PER_SEC)
		return;
	if (last)
		status_line("monitor: %llu changes/s, %llu in all, %llu lost",
			    (unsigned long long)((follow->seen - last_seen) * NS_PER_SEC /
						 (now - last)),
			    (unsigned long long)follow->seen, (unsigned long long)follow->lost);
	last = now;
	last_seen = follow->seen;
}

static void parse(struct follow *follow, int argc, char **argv)
{
	while (next_option(&cmd_monitor, argc, argv) == 'n') {
		follow->counted = true;
		follow->wanted = parse_number(&cmd_monitor, "-n", optarg, 1, UINT64_MAX);
	}
	select_prefixes(&cmd_monitor, argc, argv);
	follow->keys = selection.prefixes;
	follow->count = selection.count;
}

/* A reader of everything loses most. If the queue may not grow, it stays as it is. */
static void enlarge_queue(struct mstore *store)
{
	struct mstore_queue_options larger = {
		.which = MSTORE_QUEUE_SET_LEN | MSTORE_QUEUE_SET_BYTES,
	};
	struct mstore_queue_info info;

	if (mstore_queue_info(store, &info))
		return;
	larger.max_len = info.max_len * QUEUE_FACTOR;
	larger.max_bytes = info.max_bytes * QUEUE_FACTOR;
	mstore_queue_set(store, &larger);
}

static int monitor(int argc, char **argv)
{
	struct follow follow = {
		.cmd = &cmd_monitor,
		.how = { .flags = MSTORE_SUBSCRIBE_PREFIX, .events = EVENTS_ALL },
		.ready_fd = -1,
		.print = print,
		.tick = isatty(STDERR_FILENO) ? show_rate : NULL,
	};
	int status;

	parse(&follow, argc, argv);
	end_on_signals(follow.counted ? STATUS_NO : STATUS_YES);
	follow_begin(&follow);
	enlarge_queue(follow.store);
	status = follow_with_lines(&follow);
	progress_end();
	follow_end(&follow);
	return status;
}

const struct command cmd_monitor = {
	.name = "monitor",
	.run = monitor,
	.operands = "[PREFIX...]",
	.summary = "Show every change with its time, process, user, key and value",
	.options = options,
};
