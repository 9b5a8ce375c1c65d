/* SPDX-License-Identifier: GPL-2.0 */
/* The watch of a KV bucket. */
#ifndef MSTORE_BRIDGE_WATCH_H
#define MSTORE_BRIDGE_WATCH_H

#include <nats/nats.h>
#include <pthread.h>

#include "link.h"
#include "map.h"

/**
 * struct watch - a bucket as the session has it
 * @link:	the connection
 * @bucket:	the bucket
 * @js:		the context of JetStream for @kv, which waits longer than the session's
 * @kv:		its store
 * @watcher:	tells what it has
 * @created:	when the bucket was made
 * @seen:	last revision that the watch has told, or that the bucket had before it
 * @start:	last revision of the bucket when the watch began
 * @keys:	keys that it had then, with markers
 * @last:	last revision that the watch has told
 * @told:	all that the bucket had when the session began was told
 * @wrong:	looks in a row at which something was wrong
 * @reader:	thread that reads @watcher
 * @reads:	there is a @reader
 */
struct watch {
	const struct link *link;
	struct bucket *bucket;
	jsCtx *js;
	kvStore *kv;
	kvWatcher *watcher;
	int64_t created;
	uint64_t seen;
	uint64_t start;
	uint64_t keys;
	uint64_t last;
	bool told;
	int wrong;
	pthread_t reader;
	bool reads;
};

const char *watch_look(struct watch *watch, const struct link *link, struct bucket *bucket);
const char *watch_doubts(const struct watch *watch);
const char *watch_open(struct watch *watch);
void watch_accept(const struct watch *watch);
bool watch_start(struct watch *watch);
void watch_end(struct watch *watch);

#endif
