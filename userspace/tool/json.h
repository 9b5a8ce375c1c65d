/* SPDX-License-Identifier: GPL-2.0 */
/* JSON, one object a line. */
#ifndef MSTORE_TOOL_JSON_H
#define MSTORE_TOOL_JSON_H

#include <jansson.h>

#include "output.h"

json_t *object_new(void);
json_t *array_new(void);
void object_add(json_t *object, const char *name, json_t *value);
void array_add(json_t *array, json_t *value);
void object_bytes(json_t *object, const char *name, struct bytes bytes);
void object_text(json_t *object, const char *name, const char *text);
void object_number(json_t *object, const char *name, uint64_t number);
void object_exact(json_t *object, const char *name, uint64_t number);
void object_flag(json_t *object, const char *name);
void object_print(json_t *object);
bool base64_decode(struct buffer *buf, struct bytes text);

#endif
