// SPDX-License-Identifier: GPL-2.0
/* Names of keys and prefixes, values, and changes: what nobody modifies any more. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* Keys, then prefixes, the shortest first: in this order an event reaches a queue. */
struct model_name model_names[MODEL_TOPICS];

static void name(int topic, const char *bytes, __u32 len, __u32 all)
{
	__u32 i;

	model_names[topic].len = all;
	for (i = 0; i < all; i++)
		model_names[topic].bytes[i] = i < len ? bytes[i] : 'x';
}

/* Some longer than 64 bytes, some that are prefixes of others, one with a NUL. */
void model_name_all(void)
{
	static const char *const prefixes[MODEL_PREFIXES] = { "", "a", "b", "ab", "bx", "abc" };
	static const char *const keys[8] = { "a", "ab", "abc", "abd", "b", "ba", "bab", "c" };
	int i;

	for (i = 0; i < 8; i++)
		name(i, keys[i], strlen(keys[i]), strlen(keys[i]));
	name(8, "a\0b", 3, 3);
	name(9, "abc", 3, 64);
	name(10, "b", 1, 65);
	name(11, "a", 1, METASTORE_KEY_MAX);
	for (i = 0; i < MODEL_PREFIXES; i++)
		name(MODEL_KEYS + i, prefixes[i], strlen(prefixes[i]), strlen(prefixes[i]));
}

bool model_starts(const struct model_name *key, const void *prefix, size_t len)
{
	return key->len >= len && !memcmp(key->bytes, prefix, len);
}

bool model_matches(int topic, int key)
{
	if (topic < MODEL_KEYS)
		return topic == key;
	return model_starts(&model_names[key], model_names[topic].bytes, model_names[topic].len);
}

void model_fill(char *bytes, __u32 len, __u32 fill)
{
	__u32 i;

	for (i = 0; i < len; i++)
		bytes[i] = (fill >> 8 * (i % 4)) + i / 4;
}

bool model_value_is(const struct model_value *value, const void *bytes, __u32 len)
{
	static char own[1 << 16];

	if (value->len != len)
		return false;
	model_fill(own, len, value->fill);
	return !memcmp(own, bytes, len);
}

/* As it counts against limits. */
__u32 model_value_size(const struct model_value *value)
{
	return METASTORE_VALUE_OVERHEAD + model_names[value->key].len + value->len +
	       (value->tied ? METASTORE_TIE_OVERHEAD : 0);
}

struct model_value *model_value_get(struct model_value *value)
{
	value->refs++;
	return value;
}

void model_value_put(struct model_value *value)
{
	if (!--value->refs)
		free(value);
}

static __u32 mask_of(__u16 type, __u16 flags)
{
	if (type != METASTORE_EVENT_DELETED)
		return type;
	if (flags & METASTORE_EVENT_F_FLUSH)
		return type | METASTORE_EVENT_BY_FLUSH;
	if (flags & METASTORE_EVENT_F_EXPIRED)
		return type | METASTORE_EVENT_BY_EXPIRY;
	if (flags & METASTORE_EVENT_F_OWNER)
		return type | METASTORE_EVENT_BY_OWNER;
	return type | METASTORE_EVENT_BY_DELETE;
}

/* @value: what it stored or removed */
struct model_change *model_change_new(struct model *m, struct model_value *value, __u16 type,
				      __u16 flags)
{
	struct model_change *change = calloc(1, sizeof(*change));

	*change = (struct model_change) {
		.refs = 1,
		.key = value->key,
		.type = type,
		.flags = flags,
		.mask = mask_of(type, flags),
		.value = model_value_get(value),
		.newer = m->keys[value->key].newer,
		.former = MODEL_NOBODY,
	};
	return change;
}

void model_change_put(struct model_change *change)
{
	if (--change->refs)
		return;
	model_value_put(change->value);
	free(change);
}

void model_changes_put(struct model_changes *changes)
{
	while (changes->nr)
		model_change_put(changes->list[--changes->nr]);
}
