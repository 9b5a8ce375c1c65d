// SPDX-License-Identifier: GPL-2.0
/* JSON, one object a line; what is not UTF-8 in base64, by RFC 4648, section 4. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"
#include "output.h"
#include "record.h"

#define NAME_SIZE	32

static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_encode(struct buffer *buf, struct bytes bytes)
{
	const unsigned char *s = bytes.data;

	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = bytes.len - i;
		uint32_t bits = s[i] << 16 | (left > 1 ? s[i + 1] << 8 : 0) |
				(left > 2 ? s[i + 2] : 0);
		char group[4] = {
			digits[bits >> 18], digits[bits >> 12 & 63],
			left > 1 ? digits[bits >> 6 & 63] : '=',
			left > 2 ? digits[bits & 63] : '=',
		};

		buffer_add(buf, group, sizeof(group));
	}
}

/* Adds the bytes of a group of four digits; the last one may end in one or two '='. */
static bool decode_group(struct buffer *buf, const char *group, bool last)
{
	uint32_t bits = 0;
	char bytes[3];
	int padding = 0;

	if (last && group[3] == '=')
		padding = group[2] == '=' ? 2 : 1;
	for (int i = 0; i < 4 - padding; i++) {
		const char *at = group[i] ? strchr(digits, group[i]) : NULL;

		if (!at)
			return false;
		bits |= (uint32_t)(at - digits) << (18 - 6 * i);
	}
	/* Nothing may be lost: one text for the same bytes. */
	if (bits & ((1U << 8 * padding) - 1))
		return false;
	bytes[0] = bits >> 16;
	bytes[1] = bits >> 8;
	bytes[2] = bits;
	buffer_add(buf, bytes, 3 - padding);
	return true;
}

/* Returns false if @text is not what base64_encode() would make of any bytes. */
bool base64_decode(struct buffer *buf, struct bytes text)
{
	const char *s = text.data;

	if (text.len % 4)
		return false;
	for (size_t i = 0; i < text.len; i += 4)
		if (!decode_group(buf, s + i, i + 4 == text.len))
			return false;
	return true;
}

static json_t *checked(json_t *value)
{
	if (!value)
		call_failed("memory", ENOMEM);
	return value;
}

json_t *object_new(void)
{
	return checked(json_object());
}

json_t *array_new(void)
{
	return checked(json_array());
}

/* Adds a value, which from now on is the object's. Fields keep their order. */
void object_add(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, checked(value)))
		call_failed("memory", ENOMEM);
}

/* Likewise. */
void array_add(json_t *array, json_t *value)
{
	if (json_array_append_new(array, checked(value)))
		call_failed("memory", ENOMEM);
}

static void object_base64(json_t *object, const char *name, struct bytes bytes)
{
	char base64_name[NAME_SIZE];
	struct buffer text = { 0 };

	snprintf(base64_name, sizeof(base64_name), "%s_base64", name);
	base64_encode(&text, bytes);
	object_add(object, base64_name, json_stringn_nocheck(text.data, text.len));
	free(text.data);
}

/* A field that the name tells the encoding of: JSON can only hold Unicode. */
void object_bytes(json_t *object, const char *name, struct bytes bytes)
{
	/* NULL if the bytes are not UTF-8. */
	json_t *text = json_stringn(bytes.len ? bytes.data : "", bytes.len);

	if (text)
		object_add(object, name, text);
	else
		object_base64(object, name, bytes);
}

void object_text(json_t *object, const char *name, const char *text)
{
	object_bytes(object, name, (struct bytes){ text, strlen(text) });
}

void object_number(json_t *object, const char *name, uint64_t number)
{
	object_add(object, name, json_integer((json_int_t)number));
}

/* As a string: many readers keep numbers as doubles, which are exact to 2^53 only. */
void object_exact(json_t *object, const char *name, uint64_t number)
{
	object_add(object, name, json_sprintf("%llu", (unsigned long long)number));
}

void object_flag(json_t *object, const char *name)
{
	object_add(object, name, json_true());
}

static int add_to_out(const char *text, size_t len, void *unused)
{
	(void)unused;
	buffer_add(&out, text, len);
	return 0;
}

/* Prints an object as a line, and frees it. */
void object_print(json_t *object)
{
	if (json_dump_callback(object, add_to_out, NULL, JSON_COMPACT))
		call_failed("memory", ENOMEM);
	json_decref(object);
	out_end();
}
