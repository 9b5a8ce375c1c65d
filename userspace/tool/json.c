// SPDX-License-Identifier: GPL-2.0
/* JSON, one object a line. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define NAME_SIZE	32

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
