/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Followers: follow_topics.c has the topics they follow, follow.c the changes they tell,
 * follow_keys.c the keys they told, follow_renew.c what becomes of them when the module is
 * replaced.
 */
#ifndef MSTORE_FOLLOW_H
#define MSTORE_FOLLOW_H

#include "internal.h"

/**
 * struct known - key whose value was told
 * @next:	next key of a list of gone ones
 * @version:	version of the value
 * @module:	which module the value was of: how many the follower had before
 * @round:	round of its topic in which it was heard of last
 * @len:	length of @bytes
 * @bytes:	key
 */
struct known {
	struct known *next;
	uint64_t version;
	uint32_t module;
	uint32_t round;
	uint8_t len;
	char bytes[];
};

/**
 * struct known_keys - keys whose value was told
 * @root:	tree of them, of tsearch()
 * @count:	their number
 */
struct known_keys {
	void *root;
	uint64_t count;
};

/**
 * struct topic - followed key or prefix
 * @key:	key or prefix; NULL: a free place
 * @len:	length of @key
 * @flags:	MSTORE_SUBSCRIBE_PREFIX or 0
 * @instance:	number of the subscription, in its cookie: events of an earlier one are
 *		passed over
 * @round:	number of the last snapshot
 * @behind:	how many of its events, at most, are to be read until it is in step
 * @in_snapshot: whether its end is to come
 * @lost:	whether it has to begin anew
 */
struct topic {
	char *key;
	size_t len;
	int flags;
	uint32_t instance;
	uint32_t round;
	uint64_t behind;
	bool in_snapshot;
	bool lost;
};

/**
 * struct mstore_follow - follower
 * @store:	its own open store
 * @poll_fd:	descriptor for poll loops
 * @timer:	tells when to try to open the device, while it is away
 * @delay:	while it is away: ms between two tries to open the device
 * @events:	records that were read last
 * @at:		last one of them that is done, NULL: none
 * @flags:	mask of enum mstore_follow_flags
 * @topics:	array of all that it follows
 * @nr_topics:	its length
 * @number:	number of the last instance or round
 * @keys:	keys that it told and that were not deleted
 * @gone:	list of keys of @keys whose deletion is to be told
 * @dropped:	key that is told now as gone, not in @keys any more
 * @flushed:	whether subscriptions may have been removed
 * @in_step:	whether it has told so
 * @settling:	whether it will do so once no topic is behind
 * @behind:	number of topics that are behind
 * @in_batch:	whether the next event is of the same atomic batch
 * @key:	key that is told now
 * @key_len:	length of @key
 * @version:	its version
 * @event:	its event, or NULL
 * @info:	counters
 */
struct mstore_follow {
	struct mstore *store;
	int poll_fd;
	int timer;
	int delay;
	struct mstore_event_buffer *events;
	const struct mstore_event *at;
	int flags;
	struct topic *topics;
	uint32_t nr_topics;
	uint32_t number;
	struct known_keys keys;
	struct known *gone;
	struct known *dropped;
	bool flushed;
	bool in_step;
	bool settling;
	uint32_t behind;
	bool in_batch;
	const char *key;
	size_t key_len;
	uint64_t version;
	const struct mstore_event *event;
	struct mstore_follow_info info;
};

struct known *mstore_known_find(const struct known_keys *keys, const char *key, size_t len);
struct known *mstore_known_add(struct known_keys *keys, const char *key, size_t len);
void mstore_known_remove(struct known_keys *keys, const struct known *known);
struct known *mstore_known_gone(const struct known_keys *keys, const char *prefix, size_t len,
				uint32_t round);
void mstore_known_free_all(struct known_keys *keys);

struct topic *mstore_topic_of(const struct mstore_follow *follow,
			      const struct mstore_event *event);
void mstore_topics_forget(struct mstore_follow *follow);
void mstore_topics_note_loss(struct mstore_follow *follow);
int mstore_topics_recover(struct mstore_follow *follow);
int mstore_topics_settle(struct mstore_follow *follow);
void mstore_topics_note_done(struct mstore_follow *follow, const struct mstore_event *event);

int mstore_follow_watch(struct mstore_follow *follow);
void mstore_follow_unwatch(struct mstore_follow *follow);
bool mstore_follow_has_gone(const struct mstore_follow *follow);
int mstore_follow_leave(struct mstore_follow *follow);
int mstore_follow_return(struct mstore_follow *follow);

#endif /* MSTORE_FOLLOW_H */
