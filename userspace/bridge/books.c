// SPDX-License-Identifier: GPL-2.0
/* The counters, as a line of status and as metrics. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "books.h"
#include "carry.h"
#include "clock.h"
#include "prometheus.h"
#include "store.h"
#include "table.h"

struct books books;

static const uint64_t lag_bounds[LAG_BOUNDS] = {
	1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 60000,
};

/* Enters a change as refused, for a reason that is one of the counters. */
void books_refuse(uint64_t *reason)
{
	books.refused++;
	(*reason)++;
}

/* Enters how long ago a change was written here that the bucket has now. */
void books_lag(uint64_t written_ns)
{
	uint64_t now = now_ns(CLOCK_REALTIME);
	uint64_t lag = now > written_ns ? now - written_ns : 0;

	books.lag_count++;
	books.lag_ns += lag;
	for (int i = 0; i < LAG_BOUNDS; i++)
		if (lag <= lag_bounds[i] * NS_PER_MS)
			books.lags[i]++;
}

static const struct counter {
	const char *name;
	const char *type;
	size_t offset;
	const char *help;
} counters[] = {
#define BOOK(name, type, help) { #name, type, offsetof(struct books, name), help }
	BOOK(taken, "counter", "Changes of the store that were to be carried"),
	BOOK(sent, "counter", "Changes that a KV bucket has stored"),
	BOOK(conflated, "counter", "Changes that a newer one replaced, or the KV bucket had"),
	BOOK(refused, "counter", "Changes that were not carried, for any reason"),
	BOOK(pending, "gauge", "Changes that wait, or whose answer is to come"),
	BOOK(too_large, "counter", "Changes refused: above what the server takes"),
	BOOK(outvoted, "counter", "Changes refused: the KV bucket had a later revision"),
	BOOK(skipped, "counter", "Changes refused: keys with an owner or a time to live"),
	BOOK(reverted, "counter", "Changes refused: of a prefix that is carried in alone"),
	BOOK(failed, "counter", "Changes refused: the server gave another reason"),
	BOOK(received, "counter", "Entries that KV buckets told"),
	BOOK(applied, "counter", "Entries that were written to the store"),
	BOOK(unchanged, "counter", "Entries that the store had already"),
	BOOK(overruled, "counter", "Entries that gave way to the value here"),
	BOOK(superseded, "counter", "Entries that a later one replaced"),
	BOOK(unfit, "counter", "Entries that the store refused, or that are no keys"),
	BOOK(echoes, "counter", "Changes of the store that the bridge had made itself"),
	BOOK(returns, "counter", "Entries of KV buckets that the bridge had stored or read before"),
	BOOK(conflicts, "counter", "Keys that both sides had changed"),
	BOOK(sessions, "counter", "Connections to a server"),
	BOOK(comparisons, "counter", "Comparisons of a KV bucket with the store"),
};

static uint64_t number_of(const struct counter *counter)
{
	return *(const uint64_t *)((const char *)&books + counter->offset);
}

/* Adds a line that tells how it goes. */
void books_line(struct buffer *buf)
{
	buffer_format(buf, "%zu keys; taken %" PRIu64 " = sent %" PRIu64 " + conflated %" PRIu64
		      " + refused %" PRIu64 " + pending %" PRIu64, table_count(), books.taken,
		      books.sent, books.conflated, books.refused, books.pending);
	buffer_format(buf, "; received %" PRIu64 ", applied %" PRIu64 ", conflicts %" PRIu64
		      ", comparisons %" PRIu64, books.received, books.applied,
		      books.conflicts, books.comparisons);
}

static void add_number(struct buffer *buf, const char *name, const char *type, const char *help,
		       uint64_t number)
{
	add_heading(buf, name, type, help);
	buffer_format(buf, "%s %" PRIu64 "\n", name, number);
}

static void add_lags(struct buffer *buf)
{
	static const char name[] = "metastore_nats_lag_seconds";

	add_heading(buf, name, "histogram",
		    "Time from a write here to the KV bucket's answer");
	for (int i = 0; i < LAG_BOUNDS; i++)
		buffer_format(buf, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
			      (double)lag_bounds[i] / 1000, books.lags[i]);
	buffer_format(buf, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, books.lag_count);
	buffer_format(buf, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
		      (double)books.lag_ns / NS_PER_SEC, name, books.lag_count);
}

/* Adds all that Prometheus reads. */
void books_metrics(struct buffer *buf)
{
	struct mstore_follow_info info;
	char name[64];

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		snprintf(name, sizeof(name), "metastore_nats_%s%s", counters[i].name,
			 counters[i].type[0] == 'c' ? "_total" : "");
		add_number(buf, name, counters[i].type, counters[i].help,
			   number_of(&counters[i]));
	}
	add_lags(buf);
	store_info(&info);
	add_number(buf, "metastore_nats_events_lost_total", "counter",
		   "Events of the store that were lost, and mended by a snapshot", info.lost);
	add_number(buf, "metastore_nats_renewals_total", "counter",
		   "Times that the module was replaced", info.renewals);
	add_number(buf, "metastore_nats_keys", "gauge", "Keys that the bridge remembers",
		   table_count());
	add_number(buf, "metastore_nats_connected", "gauge",
		   "Whether all KV buckets are compared and carried", carry_is_complete());
}
