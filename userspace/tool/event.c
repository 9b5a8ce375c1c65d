// SPDX-License-Identifier: GPL-2.0
/* Events as lines: plain, by a format, as NUL-ended fields, as JSON. */
#include <metastore.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "json.h"
#include "output.h"
#include "record.h"
#include "selection.h"
#include "settings.h"
#include "text.h"
#include "writer.h"

const struct change changes[CHANGES] = {
	{ "set", MSTORE_EVENT_SET },
	{ "published", MSTORE_EVENT_PUBLISHED },
	{ "deleted", MSTORE_EVENT_DELETED },
	{ "delete", MSTORE_EVENT_BY_DELETE },
	{ "flushed", MSTORE_EVENT_BY_FLUSH },
	{ "expired", MSTORE_EVENT_BY_EXPIRY },
	{ "owner", MSTORE_EVENT_BY_OWNER },
};

static struct bytes event_key(const struct mstore_event *event)
{
	struct bytes key;

	key.data = mstore_event_key(event, &key.len);
	return key;
}

/* Of a deletion that was found by comparison there is no event. */
static bool is_deletion(const struct mstore_event *event)
{
	return !event || mstore_event_type(event) == MSTORE_EVENT_DELETED;
}

static const char *kind_of(const struct mstore_event *event)
{
	return event_kind(event ? mstore_event_type(event) : MSTORE_EVENT_DELETED);
}

static bool has_value(const struct mstore_event *event)
{
	return !is_deletion(event) && !(mstore_event_flags(event) & MSTORE_EVENT_F_NO_VALUE);
}

/*
 * An event DELETED carries the removed value, its writer and its time. They are not
 * shown: they would pass for the present value, and for the deletion's writer.
 */
static struct bytes event_value(const struct mstore_event *event)
{
	struct bytes value = { 0 };

	if (!is_deletion(event))
		value.data = mstore_event_value(event, &value.len);
	return value;
}

/* The word for an event's type. */
const char *event_kind(int type)
{
	switch (type) {
	case MSTORE_EVENT_PUBLISHED:
		return "published";
	case MSTORE_EVENT_SET:
		return "set";
	case MSTORE_EVENT_SNAPSHOT:
		return "snapshot";
	default:
		return "deleted";
	}
}

static const char *const ends[] = {
	[MSTORE_END_CLOSED] = "closed",
	[MSTORE_END_EXITED] = "exited",
	[MSTORE_END_KILLED] = "killed",
};

static const char *end_word(int how)
{
	return (size_t)how < ARRAY_SIZE(ends) ? ends[how] : "gone";
}

static void add_owner_end(struct buffer *buf, const struct mstore_event *event)
{
	int32_t tgid;
	int code, how = mstore_event_end(event, &tgid, &code);

	buffer_format(buf, "owner %d %s", tgid, end_word(how));
	if (how == MSTORE_END_EXITED || how == MSTORE_END_KILLED)
		buffer_format(buf, " %d", code);
}

/* Adds the cause of a change, unless it is a plain request. */
void event_why(struct buffer *buf, const struct mstore_event *event)
{
	int flags = mstore_event_flags(event);

	if (flags & MSTORE_EVENT_F_OWNER)
		add_owner_end(buf, event);
	if (flags & MSTORE_EVENT_F_EXPIRED)
		buffer_text(buf, "expired");
	if (flags & MSTORE_EVENT_F_FLUSH)
		buffer_text(buf, "flushed");
	if (flags & MSTORE_EVENT_F_STOLEN)
		buffer_text(buf, flags & MSTORE_EVENT_F_FLUSH ? " stolen" : "stolen");
}

static void add_json_end(json_t *object, const struct mstore_event *event)
{
	int32_t tgid;
	int code, how = mstore_event_end(event, &tgid, &code);

	object_number(object, "owner_pid", tgid);
	object_text(object, "owner_end", end_word(how));
	if (how == MSTORE_END_EXITED || how == MSTORE_END_KILLED)
		object_number(object, "owner_code", code);
}

static void add_json_why(json_t *object, const struct mstore_event *event)
{
	int flags = mstore_event_flags(event);

	if (flags & MSTORE_EVENT_F_OWNER)
		add_json_end(object, event);
	if (flags & MSTORE_EVENT_F_EXPIRED)
		object_flag(object, "expired");
	if (flags & MSTORE_EVENT_F_FLUSH)
		object_flag(object, "flush");
	if (flags & MSTORE_EVENT_F_STOLEN)
		object_flag(object, "stolen");
	/* The next event of the batch may be left out. */
	if (flags & MSTORE_EVENT_F_MORE && !selection.except_count)
		object_flag(object, "more");
}

/* `KEY VALUE`, an empty value, or one left out, `KEY ` and a deletion `KEY`. */
static void print_plain(struct bytes key, const struct mstore_event *event)
{
	out_key(key);
	if (!is_deletion(event)) {
		buffer_text(&out, " ");
		out_value(event_value(event));
	}
	out_end();
}

static void print_fields(struct bytes key, const struct mstore_event *event)
{
	buffer_text(&out, kind_of(event));
	out_end();
	out_key(key);
	out_end();
	out_value(event_value(event));
	out_end();
}

static void print_json(struct bytes key, const struct mstore_event *event)
{
	json_t *object = object_new();

	object_text(object, "event", kind_of(event));
	object_bytes(object, "key", key);
	if (has_value(event))
		object_bytes(object, "value", event_value(event));
	if (event)
		object_exact(object, "version", mstore_event_version(event));
	if (!is_deletion(event))
		add_json_writer(object, mstore_event_tgid(event), mstore_event_uid(event),
				mstore_event_time(event));
	if (event)
		add_json_why(object, event);
	object_print(object);
}

static void print_command(const struct mstore_event *event)
{
	char name[COMMAND_SIZE];

	if (writer_command(name, mstore_event_tgid(event), mstore_event_time(event)))
		out_value((struct bytes){ name, strlen(name) });
}

static void print_time(const struct mstore_event *event)
{
	char text[TIME_TEXT_SIZE];

	time_text(text, mstore_event_time(event));
	buffer_text(&out, text);
}

static const char directives[] = "%kervstTpuUcw";

/* Those about a value, which a deletion leaves none of, and the value itself. */
static const char stored_directives[] = "vstTpuUc";
static const char value_directives[] = "vs";

/* Those that only an event has. */
static const char event_directives[] = "rw";

static void print_directive(char directive, struct bytes key, const struct mstore_event *event)
{
	if (!event && strchr(event_directives, directive))
		return;
	if (is_deletion(event) && strchr(stored_directives, directive))
		return;
	if (!has_value(event) && strchr(value_directives, directive))
		return;
	switch (directive) {
	case 'k':
		return out_key(key);
	case 'v':
		return out_value(event_value(event));
	case 'e':
		return buffer_text(&out, kind_of(event));
	case 'r':
		return buffer_number(&out, mstore_event_version(event));
	case 's':
		return buffer_format(&out, "%zu", event_value(event).len);
	case 't':
		return print_time(event);
	case 'T':
		return buffer_number(&out, mstore_event_time(event));
	case 'p':
		return buffer_format(&out, "%d", mstore_event_tgid(event));
	case 'u':
		return buffer_format(&out, "%u", mstore_event_uid(event));
	case 'U':
		return buffer_text(&out, user_name(mstore_event_uid(event)));
	case 'c':
		return print_command(event);
	case 'w':
		return event_why(&out, event);
	default:
		return buffer_add(&out, &directive, 1);
	}
}

/* Returns where @format is wrong, NULL if it is not. */
const char *format_error(const char *format)
{
	size_t step;
	char byte;

	for (; *format; format += step) {
		step = *format == '%' ? 2 : unescape_one(format, &byte);
		if (!step || (step == 2 && *format == '%' &&
			      (!format[1] || !strchr(directives, format[1]))))
			return format;
	}
	return NULL;
}

static void print_formatted(struct bytes key, const struct mstore_event *event,
			    const char *format)
{
	while (*format) {
		char byte;

		if (*format == '%') {
			print_directive(format[1], key, event);
			format += 2;
		} else {
			format += unescape_one(format, &byte);
			buffer_add(&out, &byte, 1);
		}
	}
	out_end();
}

/* Prints a change: its event, or without one the deletion of the key. */
void print_change(struct bytes key, const struct mstore_event *event, const char *format)
{
	if (format)
		print_formatted(key, event, format);
	else if (settings.json)
		print_json(key, event);
	else if (settings.null)
		print_fields(key, event);
	else
		print_plain(key, event);
}

/* Prints an event PUBLISHED, SET, DELETED or SNAPSHOT. */
void print_event(const struct mstore_event *event, const char *format)
{
	print_change(event_key(event), event, format);
}

/* For programs; people see it from the lines that follow. */
void print_snapshot_end(struct bytes key, bool prefix, const char *format)
{
	static const char kind[] = "snapshot_end";

	if (settings.json) {
		json_t *object = object_new();

		object_text(object, "event", kind);
		object_bytes(object, prefix ? "prefix" : "key", key);
		object_print(object);
	} else if (settings.null && !format) {
		buffer_text(&out, kind);
		out_end();
		out_key(key);
		out_end();
		out_end();
	}
}

/* For programs, too: all that was there has been printed. */
void print_in_step(const char *format)
{
	static const char kind[] = "in_step";

	if (settings.json) {
		json_t *object = object_new();

		object_text(object, "event", kind);
		object_print(object);
	} else if (settings.null && !format) {
		buffer_text(&out, kind);
		out_end();
		out_end();
		out_end();
	}
}

static void report_loss(struct bytes key, bool prefix, uint64_t count)
{
	struct buffer name = { 0 };

	buffer_add(&name, key.data, key.len);
	if (prefix)
		buffer_text(&name, "*");
	report_key((struct bytes){ name.data, name.len }, "lost %llu event%s",
		   (unsigned long long)count, count == 1 ? "" : "s");
	free(name.data);
}

void print_loss(struct bytes key, bool prefix, uint64_t count)
{
	json_t *object;

	report_loss(key, prefix, count);
	if (!settings.json)
		return;
	object = object_new();
	object_text(object, "event", "lost");
	object_bytes(object, prefix ? "prefix" : "key", key);
	object_number(object, "count", count);
	object_print(object);
}

void print_flushed(uint64_t count)
{
	json_t *object;

	if (!settings.json)
		return;
	object = object_new();
	object_text(object, "event", "flushed");
	object_number(object, "count", count);
	object_print(object);
}
