// SPDX-License-Identifier: GPL-2.0
/* One JSON object a line. */
#include <string.h>

#include "tool.h"

static bool first;

void json_begin(void)
{
	buffer_text(&out, "{");
	first = true;
}

static void name_field(const char *name, const char *suffix)
{
	buffer_format(&out, "%s\"%s%s\":", first ? "" : ",", name, suffix);
	first = false;
}

static void add_string(struct bytes bytes)
{
	const unsigned char *s = bytes.data;

	buffer_text(&out, "\"");
	for (size_t i = 0; i < bytes.len; i++) {
		if (s[i] < 0x20)
			buffer_format(&out, "\\u%04x", s[i]);
		else if (s[i] == '"' || s[i] == '\\')
			buffer_format(&out, "\\%c", s[i]);
		else
			buffer_add(&out, s + i, 1);
	}
	buffer_text(&out, "\"");
}

static void add_base64(struct bytes bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = bytes.data;

	buffer_text(&out, "\"");
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t bits = s[i] << 16 | (left > 1 ? s[i + 1] << 8 : 0) |
				(left > 2 ? s[i + 2] : 0);
		char group[4] = {
			digits[bits >> 18], digits[bits >> 12 & 63],
			left > 1 ? digits[bits >> 6 & 63] : '=',
			left > 2 ? digits[bits & 63] : '=',
		};

		buffer_add(&out, group, sizeof(group));
	}
	buffer_text(&out, "\"");
}

/* A field that the name tells the encoding of: JSON can only hold Unicode. */
void json_bytes(const char *name, struct bytes bytes)
{
	if (utf8_valid(bytes)) {
		name_field(name, "");
		add_string(bytes);
	} else {
		name_field(name, "_base64");
		add_base64(bytes);
	}
}

void json_text(const char *name, const char *text)
{
	json_bytes(name, (struct bytes){ text, strlen(text) });
}

void json_number(const char *name, uint64_t number)
{
	name_field(name, "");
	buffer_number(&out, number);
}

/* As a string: many readers keep numbers as doubles, which are exact to 2^53 only. */
void json_exact(const char *name, uint64_t number)
{
	name_field(name, "");
	buffer_text(&out, "\"");
	buffer_number(&out, number);
	buffer_text(&out, "\"");
}

void json_true(const char *name)
{
	name_field(name, "");
	buffer_text(&out, "true");
}

void json_end(void)
{
	buffer_text(&out, "}\n");
}
