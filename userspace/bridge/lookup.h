/* SPDX-License-Identifier: GPL-2.0 */
/* Reads of single keys of KV buckets, which the main thread does not wait for. */
#ifndef MSTORE_BRIDGE_LOOKUP_H
#define MSTORE_BRIDGE_LOOKUP_H

#include <nats/nats.h>

#include "map.h"
#include "tool.h"

void lookup_begin(struct __jsCtx *js, unsigned int number);
void lookup_ask(const struct bucket *bucket, struct bytes key);
void lookup_end(void);

#endif
