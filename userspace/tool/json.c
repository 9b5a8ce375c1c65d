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
	buffer_text(&out, first ? "\"" : ",\"");
	buffer_text(&out, name);
	buffer_text(&out, suffix);
	buffer_text(&out, "\":");
	first = false;
}

static bool is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte != '"' && byte != '\\';
}

static void add_string(struct bytes bytes)
{
	const unsigned char *s = bytes.data;
	size_t plain;

	buffer_text(&out, "\"");
	for (size_t i = 0; i < bytes.len; i += plain + 1) {
		for (plain = 0; i + plain < bytes.len && is_plain(s[i + plain]);)
			plain++;
		buffer_add(&out, s + i, plain);
		if (i + plain == bytes.len)
			break;
		buffer_format(&out, s[i + plain] < 0x20 ? "\\u%04x" : "\\%c", s[i + plain]);
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
		buffer_text(&out, "\"");
		base64_encode(&out, bytes);
		buffer_text(&out, "\"");
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

void json_flag(const char *name)
{
	name_field(name, "");
	buffer_text(&out, "true");
}

/* A list of objects, each between json_item() and json_item_end(), or of words. */
void json_list(const char *name)
{
	name_field(name, "");
	buffer_text(&out, "[");
	first = true;
}

static void next_item(const char *start)
{
	if (!first)
		buffer_text(&out, ",");
	buffer_text(&out, start);
}

void json_item(void)
{
	next_item("{");
	first = true;
}

void json_item_end(void)
{
	buffer_text(&out, "}");
	first = false;
}

void json_word(const char *word)
{
	next_item("");
	add_string((struct bytes){ word, strlen(word) });
	first = false;
}

void json_list_end(void)
{
	buffer_text(&out, "]");
	first = false;
}

void json_end(void)
{
	buffer_text(&out, "}");
	out_end();
}
