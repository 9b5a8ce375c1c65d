// SPDX-License-Identifier: GPL-2.0
/* The turns of a key's writers, while a delivery of the key is under way. */
#include "events/turn.h"

static struct metastore_turn *turn_of(const struct rb_node *node)
{
	return rb_entry(node, struct metastore_turn, node);
}

static int turn_compare_keys(const struct metastore_key *a, const struct metastore_key *b)
{
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return metastore_bytes_compare(a->bytes, b->bytes, a->len);
}

static int turn_compare_key(const void *key, const struct rb_node *node)
{
	return turn_compare_keys(key, turn_of(node)->key);
}

static bool turn_less(struct rb_node *a, const struct rb_node *b)
{
	int order = turn_compare_keys(turn_of(a)->key, turn_of(b)->key);

	return order ? order < 0 : turn_of(a)->ticket < turn_of(b)->ticket;
}

static void turn_add(struct metastore_turn *turn, const struct metastore_key *key, u64 ticket)
{
	lockdep_assert_held(&key->bucket->lock);
	turn->key = key;
	turn->ticket = ticket;
	rb_add(&turn->node, &key->bucket->turns, turn_less);
}

/**
 * metastore_turn_deliver() - Make a key busy
 * @turn:	turn of its delivery, in no tree
 * @key:	the key, which is not busy and stays as long as @turn
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_turn_deliver(struct metastore_turn *turn, const struct metastore_key *key)
{
	turn_add(turn, key, 0);
}

/**
 * metastore_turn_enter() - Enter the line of a key's writers
 * @turn:	turn of the writer, in no tree
 * @key:	the key, which stays as long as @turn
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_turn_enter(struct metastore_turn *turn, const struct metastore_key *key)
{
	turn_add(turn, key, ++key->bucket->tickets);
}

/**
 * metastore_turn_leave() - Leave the line
 * @turn:	the turn
 *
 * Context: Caller holds the bucket's lock.
 */
void metastore_turn_leave(struct metastore_turn *turn)
{
	lockdep_assert_held(&turn->key->bucket->lock);
	rb_erase(&turn->node, &turn->key->bucket->turns);
	RB_CLEAR_NODE(&turn->node);
}

/**
 * metastore_turn_first() - Find the first turn of a key
 * @key:	the key
 *
 * Context: Caller holds the bucket's lock.
 * Return: That of the delivery under way, else of the writer that waits longest, or NULL.
 */
struct metastore_turn *metastore_turn_first(const struct metastore_key *key)
{
	struct rb_node *node = rb_find_first(key, &key->bucket->turns, turn_compare_key);

	lockdep_assert_held(&key->bucket->lock);
	return node ? turn_of(node) : NULL;
}
