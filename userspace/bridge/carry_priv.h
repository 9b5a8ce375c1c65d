/* SPDX-License-Identifier: GPL-2.0 */
/* The two halves of the carrying: carry.c sends, decide.c takes what buckets tell. */
#ifndef MSTORE_BRIDGE_CARRY_PRIV_H
#define MSTORE_BRIDGE_CARRY_PRIV_H

#include "table.h"
#include "tool.h"

/**
 * struct remote - what a bucket has under a key
 * @rev:	its revision; 0: the bucket has nothing, not even the marker of a deletion
 * @created:	when the bucket got it, of its server's clock, in ns
 * @there:	it is a value
 * @value:	the value
 */
struct remote {
	uint64_t rev;
	uint64_t created;
	bool there;
	struct bytes value;
};

void carry_mark(struct entry *entry);
void carry_settle(struct entry *entry);
void carry_enqueue(struct entry *entry);
void carry_compare_later(void);

void decide(struct entry *entry, const struct remote *remote);

#endif
