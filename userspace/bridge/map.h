/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which prefixes of the store belong to which buckets, and in which direction. In the bridge a
 * bucket is a KV bucket of NATS, and a revision is what that gives a change.
 */
#ifndef MSTORE_BRIDGE_MAP_H
#define MSTORE_BRIDGE_MAP_H

#include "tool.h"

struct entry;

/** BUCKET_NAME_MAX - the longest name of a KV bucket, so that its stream has one */
#define BUCKET_NAME_MAX	240

/**
 * enum direction - where changes of a prefix go
 * @OUT:	to the bucket: the store decides
 * @IN:		to the store: the bucket decides
 * @BOTH:	both: the order of the bucket's revisions decides
 */
enum direction { OUT, IN, BOTH };

extern const char *const direction_names[];

/**
 * struct bucket - bucket that at least one prefix belongs to
 * @name:	its name
 * @compared:	whether all that it has was compared to the store, since the session began
 * @round:	number of the last comparison
 * @told:	last revision that its watch has told in this session
 * @past:	the same of the sessions before, since the store is the same
 * @created:	when it was made, as the last session found it; 0: there was none
 * @seen:	last revision that it is known to have had
 * @doubt:	since when its servers say that it has less, of CLOCK_MONOTONIC, in ns; 0: no
 * @anew:	its revisions began anew since the last session
 *
 * @created, @seen, @doubt and @anew are the connecting thread's until the session is up, and
 * then the main thread's.
 * @first:	first entry that has a change to be sent, in the order of the changes
 * @last:	last one of them
 */
struct bucket {
	char *name;
	bool compared;
	uint32_t round;
	uint64_t told;
	uint64_t past;
	int64_t created;
	uint64_t seen;
	uint64_t doubt;
	bool anew;
	struct entry *first;
	struct entry *last;
};

/**
 * struct map - prefix of the store and its bucket
 * @prefix:	prefix of keys; may be empty
 * @direction:	where changes go
 * @bucket:	bucket that has these keys
 */
struct map {
	struct bytes prefix;
	enum direction direction;
	struct bucket *bucket;
};

/**
 * struct maps - all of them
 * @maps:	array of all prefixes, no two of them the same
 * @count:	number of @maps
 * @buckets:	array of pointers to the buckets, which keep their places
 * @bucket_count: number of @buckets
 */
struct maps {
	struct map *maps;
	int count;
	struct bucket **buckets;
	int bucket_count;
};

extern struct maps maps;

const char *map_add(enum direction direction, const char *text);
const struct map *map_of(struct bytes key);

#endif
