/* SPDX-License-Identifier: GPL-2.0 */
/* All counters that the module has, read at about one time: for top and stats. */
#ifndef MSTORE_TOOL_SAMPLE_H
#define MSTORE_TOOL_SAMPLE_H

#include <metastore.h>

#include "openfiles.h"
#include "tool.h"
#include "users.h"

/**
 * struct store_counters - a store, as debugfs tells; see metastore(4)
 * @private:	it is no default store
 * @known:	debugfs told: else @files, @changes and @published are unknown
 */
struct store_counters {
	uint64_t store;
	bool private;
	bool known;
	uint64_t files;
	uint64_t subscriptions;
	uint64_t keys;
	uint64_t max_keys;
	uint64_t bytes;
	uint64_t max_bytes;
	uint64_t changes;
	uint64_t published;
};

/**
 * struct sample - all counters at about one time
 * @time_ns:	when they were read, of CLOCK_MONOTONIC
 * @stores:	the store, or all stores
 * @store_count: number of @stores
 * @files:	the open files of these
 * @users:	users of the module
 */
struct sample {
	uint64_t time_ns;
	struct store_counters *stores;
	size_t store_count;
	struct open_files files;
	struct users users;
};

void sample_read(struct sample *sample, struct mstore *store, bool all);
void sample_free(struct sample *sample);
int sample_status(const struct sample *sample, const char *command);

#endif
