// SPDX-License-Identifier: GPL-2.0
/*
 * Find the subscriptions to prefixes of a key.
 *
 * The topics of prefixes are in a hash table. A search hashes the key byte by byte. For each
 * length it looks into a filter, and into the table if a prefix of that length may have that
 * hash. So its cost has a bound that depends on the key's length alone.
 *
 * The hash is a polynomial at a secret place, of which the upper half of the bits is used.
 * Nothing that users see depends on the place. Some prefixes collide at any place, which the
 * table copes with.
 */
#include <linux/hash.h>
#include <linux/slab.h>

#include "base/types.h"
#include "events/prefix.h"
#include "events/topic.h"

/* Hash of no bytes */
#define HASH_START	1

static u64 prefix_hash_byte(u64 hash, u64 place, u8 byte)
{
	return hash * place + byte + 1;
}

/* The place is odd, so that no byte's share is shifted out. */
static u64 prefix_hash_place(const struct metastore_prefixes *prefixes)
{
	return prefixes->secret | 1;
}

/*
 * Hash of a table's node. The last byte has changed only low bits of @hash: spread them. The
 * highest bit is set, so that the empty prefix is not at the start of a slot's range:
 * metastore_table_next() would pass it over.
 */
static u32 prefix_node_hash(u64 hash)
{
	return hash * GOLDEN_RATIO_64 >> 32 | BIT(31);
}

/* Bit of the filter, by the upper bits of the hash but the one that is always set. */
static u64 prefix_filter_bit(u32 node_hash)
{
	return BIT_ULL(node_hash >> 25 & 63);
}

/**
 * metastore_prefix_locate() - Find the place of a prefix
 * @prefixes:	prefixes of the store
 * @prefix:	the prefix; its hash is set
 */
void metastore_prefix_locate(const struct metastore_prefixes *prefixes,
			     struct metastore_key *prefix)
{
	u64 place = prefix_hash_place(prefixes), hash = HASH_START;
	u32 i;

	for (i = 0; i < prefix->len; i++)
		hash = prefix_hash_byte(hash, place, prefix->bytes[i]);
	prefix->hash = prefix_node_hash(hash);
}

/**
 * metastore_prefix_prepare() - Allocate what the first prefix of a store needs
 * @prefixes:	prefixes of the store
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int metastore_prefix_prepare(struct metastore_prefixes *prefixes)
{
	struct metastore_prefix_lengths *lengths;

	if (READ_ONCE(prefixes->lengths))
		return 0;
	lengths = kzalloc(sizeof(*lengths), METASTORE_GFP);
	if (!lengths)
		return -ENOMEM;
	if (cmpxchg(&prefixes->lengths, NULL, lengths))
		kfree(lengths);
	return 0;
}

/**
 * metastore_prefix_note() - Let searches look for a prefix
 * @prefixes:	prefixes of the store, after metastore_prefix_prepare()
 * @node:	node of the prefix, to be inserted next
 *
 * Context: Caller holds the prefixes' lock.
 */
void metastore_prefix_note(struct metastore_prefixes *prefixes,
			   const struct metastore_node *node)
{
	struct metastore_prefix_lengths *lengths = prefixes->lengths;
	u32 len = node->key_len;

	lockdep_assert_held(&prefixes->lock);
	if (len)
		set_bit(node->key[0], prefixes->first);
	else
		WRITE_ONCE(prefixes->any, true);
	lengths->nr[len]++;
	WRITE_ONCE(lengths->filter[len], lengths->filter[len] | prefix_filter_bit(node->hash));
	if (len > prefixes->max_len)
		WRITE_ONCE(prefixes->max_len, len);
}

/**
 * metastore_prefix_forget() - Undo metastore_prefix_note()
 * @prefixes:	prefixes of the store
 * @node:	node of the prefix, which was removed
 *
 * Context: Caller holds the prefixes' lock.
 */
void metastore_prefix_forget(struct metastore_prefixes *prefixes,
			     const struct metastore_node *node)
{
	struct metastore_prefix_lengths *lengths = prefixes->lengths;
	u32 len = node->key_len;
	int i;

	lockdep_assert_held(&prefixes->lock);
	if (--lengths->nr[len])
		return;
	WRITE_ONCE(lengths->filter[len], 0);
	if (!len)
		WRITE_ONCE(prefixes->any, false);
	for (len = prefixes->max_len; len && !lengths->nr[len]; len--)
		;
	WRITE_ONCE(prefixes->max_len, len);
	if (metastore_has_prefixes(prefixes))
		return;
	for (i = 0; i < ARRAY_SIZE(prefixes->first); i++)
		WRITE_ONCE(prefixes->first[i], 0);
}

/**
 * metastore_match_begin() - Begin a search for the topics of all prefixes of a key
 * @match:	search to initialize
 * @key:	the key, which must stay as long as @match
 */
void metastore_match_begin(struct metastore_match *match, const struct metastore_key *key)
{
	*match = (struct metastore_match) { .key = key, .hash = HASH_START };
}

/**
 * metastore_match_next() - Go to the topic of the next longer prefix
 * @match:	the search
 *
 * Context: RCU read section.
 * Return: The topic, valid as long as that section lasts, or NULL.
 */
struct metastore_topic *metastore_match_next(struct metastore_match *match)
{
	const struct metastore_key *key = match->key;
	struct metastore_prefixes *prefixes = &key->bucket->store->prefixes;
	const struct metastore_prefix_lengths *lengths = READ_ONCE(prefixes->lengths);
	u32 len = match->len, max = min(key->len, READ_ONCE(prefixes->max_len));
	u64 place = prefix_hash_place(prefixes), hash = match->hash;
	struct metastore_node *node = NULL;

	/* Pairs with the cmpxchg() in metastore_prefix_prepare(). */
	for (; lengths && len <= max && !node; len++) {
		u32 node_hash = prefix_node_hash(hash);

		if (READ_ONCE(lengths->filter[len]) & prefix_filter_bit(node_hash)) {
			struct metastore_key prefix = {
				.bytes = key->bytes, .len = len, .hash = node_hash,
			};

			node = metastore_table_find(&prefixes->topics, &prefix);
		}
		if (len < key->len)
			hash = prefix_hash_byte(hash, place, key->bytes[len]);
	}
	match->hash = hash;
	match->len = node ? len : METASTORE_KEY_MAX + 1;
	return metastore_topic_of_node(node);
}
