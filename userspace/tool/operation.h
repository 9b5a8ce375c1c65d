/* SPDX-License-Identifier: GPL-2.0 */
/* Gets and changes of keys, many in one call, and their results. */
#ifndef MSTORE_TOOL_OPERATION_H
#define MSTORE_TOOL_OPERATION_H

#include <metastore.h>

#include "options.h"

enum operation_kind { OP_GET, OP_SET, OP_PUBLISH, OP_DELETE, OP_TOUCH };

/**
 * struct operation - a get or a change of a key, and its result
 * @kind:	kind of operation
 * @key:	key
 * @value:	value to be stored; GET: [out] the value found, valid until
 *		operations are run again
 * @options:	of a change
 * @tells:	of a change: return the value that it replaces or removes
 * @line:	line of standard input that asked for it, 0: none did
 * @error:	[out] 0 or an errno
 * @version:	[out] version read or made; after EEXIST and ESTALE the present one,
 *		0 if there is no value
 * @ttl_ms:	[out] GET: rest of the time to live, 0: unlimited
 * @owned:	[out] GET: an open file owns the value
 * @previous:	[out] with @tells: that value, valid as @value is; its version is 0 if
 *		there was none
 * @queues:	[out] PUBLISH: number of subscriptions whose queue took it
 */
struct operation {
	enum operation_kind kind;
	struct bytes key;
	struct bytes value;
	struct mstore_options options;
	bool tells;
	unsigned long line;
	int error;
	uint64_t version;
	uint64_t ttl_ms;
	bool owned;
	struct mstore_previous previous;
	int queues;
};

int run_operations(struct mstore *store, struct operation *ops, size_t count, int flags,
		   int (*done)(const struct operation *op));
void run_operation(struct mstore *store, struct operation *op);
void run_with_wait(struct mstore *store, struct operation *op);
int run_keys(const struct command *cmd, struct mstore *store, enum operation_kind kind, int argc,
	     char **argv, int (*done)(const struct operation *op));
int run_listed(struct mstore *store, struct bytes prefix, int bucket,
	       const struct operation *model, bool (*wanted)(struct bytes key),
	       int (*done)(const struct operation *op));

int operation_failed(const struct operation *op);
void report_left(const char *command, uint64_t left);
struct bytes previous_value(const struct operation *op);
void want_changes(struct mstore *store);
void print_value(struct bytes value);
void print_pair(struct bytes key, struct bytes value);
void print_json_result(const struct operation *op);

#endif
