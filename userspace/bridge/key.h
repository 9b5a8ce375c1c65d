/* SPDX-License-Identifier: GPL-2.0 */
/* Keys of the store as keys of a bucket, and back. */
#ifndef MSTORE_BRIDGE_KEY_H
#define MSTORE_BRIDGE_KEY_H

#include <metastore.h>

#include "tool.h"

/** KEY_NAME_SIZE - room for the longest name of a key in a bucket, with its NUL */
#define KEY_NAME_SIZE	(3 * MSTORE_KEY_MAX + 1)

/** STREAM_SIZE - room for the name of the stream that a KV bucket is, with its NUL */
#define STREAM_SIZE	256

/** SUBJECT_SIZE - room for the subject of a key, with its NUL */
#define SUBJECT_SIZE	(STREAM_SIZE + KEY_NAME_SIZE)

void key_to_name(char name[KEY_NAME_SIZE], struct bytes key);
size_t key_of_name(char key[MSTORE_KEY_MAX], const char *name);
void key_to_subject(char subject[SUBJECT_SIZE], const char *bucket, struct bytes key);
size_t key_of_subject(char key[MSTORE_KEY_MAX], const char *subject);
void stream_name(char name[STREAM_SIZE], const char *bucket);

#endif
