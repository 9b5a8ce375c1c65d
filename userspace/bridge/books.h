/* SPDX-License-Identifier: GPL-2.0 */
/* The counters, which account for every change. */
#ifndef MSTORE_BRIDGE_BOOKS_H
#define MSTORE_BRIDGE_BOOKS_H

#include "output.h"
#include "tool.h"

/** LAG_BOUNDS - number of bounds of the histogram of lags */
#define LAG_BOUNDS	14

/**
 * struct books - counters since the start
 *
 * Always taken = sent + conflated + refused + pending. The reasons of refused are
 * @too_large, @outvoted, @skipped, @reverted and @failed.
 *
 * @taken:	changes of the store that were to be carried
 * @sent:	changes that a bucket has stored
 * @conflated:	changes that a newer one replaced, or that the bucket had already
 * @refused:	changes that were not carried
 * @pending:	changes that wait, or whose answer is to come
 * @too_large:	values above what the server or the bucket takes
 * @outvoted:	values that gave way to a later revision
 * @skipped:	keys with an owner or a time to live, which stay here
 * @reverted:	changes of a prefix that is only carried in
 * @failed:	what the server refused for another reason
 * @received:	entries that buckets told, but for those that the bridge itself had stored
 * @applied:	entries that were written to the store
 * @unchanged:	entries that the store had already
 * @overruled:	entries that gave way to the value here
 * @superseded:	entries that a later one replaced before they were looked at
 * @unfit:	entries that the store refused, or whose names no key has
 * @echoes:	changes of the store that the bridge itself had made, and did not carry
 * @returns:	entries of buckets that the bridge had stored itself, or read before
 * @conflicts:	keys that both sides had changed
 * @sessions:	connections
 * @comparisons: comparisons of a bucket with the store that came to their end
 * @lag_count:	changes sent whose lag was measured
 * @lag_ns:	sum of these lags
 * @lags:	of these those up to each of lag_bounds
 */
struct books {
	uint64_t taken;
	uint64_t sent;
	uint64_t conflated;
	uint64_t refused;
	uint64_t pending;
	uint64_t too_large;
	uint64_t outvoted;
	uint64_t skipped;
	uint64_t reverted;
	uint64_t failed;
	uint64_t received;
	uint64_t applied;
	uint64_t unchanged;
	uint64_t overruled;
	uint64_t superseded;
	uint64_t unfit;
	uint64_t echoes;
	uint64_t returns;
	uint64_t conflicts;
	uint64_t sessions;
	uint64_t comparisons;
	uint64_t lag_count;
	uint64_t lag_ns;
	uint64_t lags[LAG_BOUNDS];
};

extern struct books books;

void books_refuse(uint64_t *reason);
void books_lag(uint64_t written_ns);
void books_line(struct buffer *buf);
void books_metrics(struct buffer *buf);

#endif
