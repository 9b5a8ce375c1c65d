/* SPDX-License-Identifier: GPL-2.0 */
/* Keys of the store as keys of a bucket, and back. */
#ifndef MSTORE_BRIDGE_KEY_H
#define MSTORE_BRIDGE_KEY_H

#include <metastore.h>

#include "tool.h"

/** KEY_NAME_SIZE - room for the longest name of a key in a bucket, with its NUL */
#define KEY_NAME_SIZE	(3 * MSTORE_KEY_MAX + 1)

void key_to_name(char name[KEY_NAME_SIZE], struct bytes key);
size_t key_of_name(char key[MSTORE_KEY_MAX], const char *name);

#endif
