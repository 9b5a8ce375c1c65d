// SPDX-License-Identifier: GPL-2.0
/*
 * Keys of the store as keys of a bucket, and back. A bucket's key has letters, digits and
 * -_/.= alone. Of these all but = stand for themselves, and any other byte is =HH. A dot
 * separates tokens there, and no token may be empty; names that begin with _kv are NATS' own.
 * So each key has exactly one name, and names that no key has are refused.
 */
#include <stdio.h>
#include <string.h>

#include "key.h"

#define SUBJECT_PREFIX	"$KV."

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '/';
}

static bool is_separator(struct bytes key, size_t at)
{
	const char *s = key.data;

	return s[at] == '.' && at && at + 1 < key.len && s[at - 1] != '.';
}

static bool begins_reserved(struct bytes key)
{
	return key.len >= 3 && !memcmp(key.data, "_kv", 3);
}

/**
 * key_to_name() - name a key of the store as a bucket does
 * @name:	where to write the name
 * @key:	key of 1 to MSTORE_KEY_MAX bytes
 */
void key_to_name(char name[KEY_NAME_SIZE], struct bytes key)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *s = key.data;

	for (size_t i = 0; i < key.len; i++) {
		if ((is_plain(s[i]) || is_separator(key, i)) && (i || !begins_reserved(key))) {
			*name++ = s[i];
			continue;
		}
		*name++ = '=';
		*name++ = digits[s[i] >> 4];
		*name++ = digits[s[i] & 15];
	}
	*name = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns the length of the key, 0 if @name is none or is too long. */
static size_t decode(char key[MSTORE_KEY_MAX], const char *name)
{
	size_t len = 0;

	for (; *name; name++) {
		if (len == MSTORE_KEY_MAX)
			return 0;
		if (*name != '=') {
			key[len++] = *name;
			continue;
		}
		if (hex_digit(name[1]) < 0 || hex_digit(name[2]) < 0)
			return 0;
		key[len++] = hex_digit(name[1]) << 4 | hex_digit(name[2]);
		name += 2;
	}
	return len;
}

/**
 * key_of_name() - find the key of the store that a bucket names so
 * @key:	where to write the key
 * @name:	key of a bucket
 *
 * Return: the length of the key; 0: no key of the store has that name.
 */
size_t key_of_name(char key[MSTORE_KEY_MAX], const char *name)
{
	size_t len = decode(key, name);
	char again[KEY_NAME_SIZE];

	if (!len)
		return 0;
	key_to_name(again, (struct bytes){ key, len });
	return strcmp(again, name) ? 0 : len;
}

/**
 * key_to_subject() - name the subject of the messages that are a key's values
 * @subject:	where to write it
 * @bucket:	name of the bucket
 * @key:	key of 1 to MSTORE_KEY_MAX bytes
 */
void key_to_subject(char subject[SUBJECT_SIZE], const char *bucket, struct bytes key)
{
	int len = snprintf(subject, STREAM_SIZE, SUBJECT_PREFIX "%s.", bucket);

	key_to_name(subject + len, key);
}

/* Likewise as key_of_name(), of a subject that key_to_subject() has named. */
size_t key_of_subject(char key[MSTORE_KEY_MAX], const char *subject)
{
	return key_of_name(key, strchr(subject + strlen(SUBJECT_PREFIX), '.') + 1);
}

/* Names the stream that a bucket is. */
void stream_name(char name[STREAM_SIZE], const char *bucket)
{
	snprintf(name, STREAM_SIZE, "KV_%s", bucket);
}
