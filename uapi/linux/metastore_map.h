/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * metastore: the small values of a mapped store, read without a system call.
 *
 * A store that was made with the module's parameter mapped=1, or by CREATE with
 * METASTORE_CREATE_MAPPED, keeps a mirror of its small values. mmap() of a descriptor that
 * is open for reading gives it, shared and read-only, from offset METASTORE_MAP_STORE on. A
 * program maps one page, reads limit from struct metastore_map_header, and maps that many
 * bytes instead. They take address space, not memory. The mapping keeps the open file, and
 * so the store and the keys that the file owns.
 *
 * The kernel alone writes the mirror. It never waits for a reader, so a reader may see a
 * change under way. It then tries again, and after METASTORE_MAP_TRIES asks the kernel, by
 * METASTORE_IOC_GET. That is also the answer to all that a reader finds odd. The functions
 * below do this. They hold no lock, and return METASTORE_MAP_ASK in programs of 32 bits.
 *
 * Layout. Offsets count grains of METASTORE_MAP_GRAIN bytes from the start of the mapping, and
 * numbers have the machine's byte order. A key's hash is that of metastore_map_hash(). Its
 * upper bits select one of the shards: hash * buckets / 2^32. Its lower bits select a slot of the
 * shard: with nr slots and a mask, the low and high half of the geometry, hash & mask, and if
 * that is not below nr, hash & (mask >> 1). Slots lie in segments: the first has
 * METASTORE_MAP_SLOTS, and each further one as many as all before it. A slot leads to a
 * chain of entries. Each entry is one key, and has a multiple of METASTORE_MAP_CLASS bytes.
 * Its value begins behind the key, at the next multiple of 8 bytes from its start.
 *
 * Order. Memory that is once used as a slot or as an entry stays that, and below size all is
 * there. What the kernel does, with the reader's counterpart:
 *
 * - It makes the version busy, then writes the entry, then stores the new version. The
 *   reader loads meta, the version, key and value, meta again, and at last the version again.
 *   It tries again if the version is busy or 0, or if either of the two has changed. The hash
 *   in meta tells the bucket, and a version never repeats in one bucket.
 * - It makes a slot's seq odd, then changes the chain, then stores an even one. The reader
 *   loads the geometry, seq, the geometry again, walks the chain, and if it finds nothing
 *   loads seq again. So it knows that its slot was not split.
 *   A key moves to another place within one such change.
 * - It makes the version busy, or seq odd, before another reader can see the change by
 *   ioctl(), and ends that after. So the two ways never disagree on the order of changes.
 */
#ifndef _UAPI_LINUX_METASTORE_MAP_H
#define _UAPI_LINUX_METASTORE_MAP_H

#include <linux/stddef.h>
#include <linux/types.h>

#define METASTORE_MAP_MAGIC	0x504d534dU
#define METASTORE_MAP_LAYOUT	1	/* of all in this file */

#define METASTORE_MAP_GRAIN	16
#define METASTORE_MAP_CLASS	64
#define METASTORE_MAP_LARGEST	512	/* most bytes of an entry; size is that far behind each */
#define METASTORE_MAP_CHAIN	32	/* most entries of a chain */
#define METASTORE_MAP_SLOTS	16
#define METASTORE_MAP_SEGMENTS	28

/**
 * struct metastore_map_header - start of the mapping
 * @magic:	METASTORE_MAP_MAGIC
 * @layout:	METASTORE_MAP_LAYOUT; a reader that knows another one asks the kernel
 * @seed:	seed of the hash
 * @buckets:	number of shards, which is that of the store's buckets
 * @shards:	grain of the first &struct metastore_map_shard
 * @reserved:	0
 * @size:	bytes that the mirror has, which only grow. Behind them an access gives SIGBUS.
 *		0 while the module is retired: a reader asks the kernel for what is not below it
 * @limit:	bytes that the mirror can ever have: how much to map
 */
struct metastore_map_header {
	__u32 magic;
	__u32 layout;
	__u32 seed;
	__u32 buckets;
	__u32 shards;
	__u32 reserved;
	__aligned_u64 size;
	__aligned_u64 limit;
};

#define METASTORE_MAP_ODD	1U	/* in @seq: the chain changes */
#define METASTORE_MAP_MORE	2U	/* in @seq: the slot has keys without an entry */
#define METASTORE_MAP_STEP	4U	/* what a change adds to @seq */

/**
 * struct metastore_map_slot - chain of entries
 * @seq:	sequence count, with METASTORE_MAP_ODD and METASTORE_MAP_MORE
 * @first:	grain of the first entry, or 0
 */
struct metastore_map_slot {
	__u32 seq;
	__u32 first;
};

/**
 * struct metastore_map_shard - keys of one bucket
 * @geometry:	number of slots, and a mask << 32; the number only grows
 * @reserved:	0
 * @segments:	where each segment is: slot i of the shard lies 8 * i bytes behind that grain
 * @slots:	the first segment
 */
struct metastore_map_shard {
	__aligned_u64 geometry;
	__aligned_u64 reserved;
	__u32 segments[METASTORE_MAP_SEGMENTS];
	struct metastore_map_slot slots[METASTORE_MAP_SLOTS];
};

#define METASTORE_MAP_BUSY	0x8000000000000000ULL	/* in a version: it changes */

/* Contents of @meta: hash, length of the key, length of the value */
#define METASTORE_MAP_META(hash, key_len, value_len) \
	((__u64)(hash) | (__u64)(key_len) << 32 | (__u64)(value_len) << 48)
#define METASTORE_MAP_ABSENT	0xffff	/* as length of the value: it is not mirrored */

/**
 * struct metastore_map_entry - key and value
 * @version:	version of the value, with METASTORE_MAP_BUSY; 0: the entry is free
 * @meta:	METASTORE_MAP_META()
 * @next:	grain of the next entry, or 0
 * @own:	the kernel's
 * @key:	the key
 *
 * A free entry is zero but for @own.
 */
struct metastore_map_entry {
	__aligned_u64 version;
	__aligned_u64 meta;
	__u32 next;
	__u32 own;
	__u8 key[];
};

#ifndef __KERNEL__

#define METASTORE_MAP_TRIES	16

/* Results of a lookup */
#define METASTORE_MAP_FOUND	0
#define METASTORE_MAP_MISS	1	/* no such key */
#define METASTORE_MAP_SHORT	2	/* the value is longer than the buffer */
#define METASTORE_MAP_ASK	3	/* the kernel knows */
#define METASTORE_MAP_AGAIN	4	/* between the functions below: it changed */
#define METASTORE_MAP_OTHER	5	/* likewise: it is another key's */

/**
 * struct metastore_map - a mapping, set by metastore_map_init()
 * @base:	its address
 * @shards:	that of its shards
 * @seed:	as in the header
 * @buckets:	as in the header
 */
struct metastore_map {
	const unsigned char *base;
	const struct metastore_map_shard *shards;
	__u32 seed;
	__u32 buckets;
};

/**
 * struct metastore_map_found - what a lookup found
 * @version:	version of the value
 * @value_len:	its length in bytes
 * @entry:	its entry, used by metastore_map_get_at() alone
 */
struct metastore_map_found {
	__u64 version;
	__u32 value_len;
	const struct metastore_map_entry *entry;
};

/*
 * Force inlining: a call would save registers. <linux/stddef.h> defines __always_inline as plain
 * inline unless a header of glibc came first.
 */
#define METASTORE_MAP_INLINE		__attribute__((__always_inline__))

/* Load once what the kernel may write meanwhile. */
#define METASTORE_MAP_LOAD(at)		__atomic_load_n(&(at), __ATOMIC_RELAXED)
#define METASTORE_MAP_LOAD_FIRST(at)	__atomic_load_n(&(at), __ATOMIC_ACQUIRE)

static inline METASTORE_MAP_INLINE __u32 metastore_map_rol(__u32 word, unsigned int by)
{
	return word << by | word >> (32 - by);
}

static inline METASTORE_MAP_INLINE __u32 metastore_map_word(const unsigned char *bytes)
{
	__u32 word;

	__builtin_memcpy(&word, bytes, 4);
	return word;
}

/* Load up to 4 bytes, the first one lowest. */
static inline METASTORE_MAP_INLINE __u32 metastore_map_tail(const unsigned char *bytes, __u32 len)
{
	__u32 word = 0;

	if (len >= 4)
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		return __builtin_bswap32(metastore_map_word(bytes));
#else
		return metastore_map_word(bytes);
#endif
	while (len--)
		word = word << 8 | bytes[len];
	return word;
}

/**
 * metastore_map_hash() - Hash a key, by lookup3 of Bob Jenkins, as the store does
 * @key:	the key
 * @len:	its length in bytes, at least 1
 * @seed:	the seed
 *
 * Return: the hash.
 */
static inline METASTORE_MAP_INLINE __u32 metastore_map_hash(const void *key, __u32 len, __u32 seed)
{
	const unsigned char *at = (const unsigned char *)key;
	__u32 a = 0xdeadbeef + len + seed, b = a, c = a;

	for (; len > 12; len -= 12, at += 12) {
		a += metastore_map_word(at);
		b += metastore_map_word(at + 4);
		c += metastore_map_word(at + 8);
		a = (a - c) ^ metastore_map_rol(c, 4);
		c += b;
		b = (b - a) ^ metastore_map_rol(a, 6);
		a += c;
		c = (c - b) ^ metastore_map_rol(b, 8);
		b += a;
		a = (a - c) ^ metastore_map_rol(c, 16);
		c += b;
		b = (b - a) ^ metastore_map_rol(a, 19);
		a += c;
		c = (c - b) ^ metastore_map_rol(b, 4);
		b += a;
	}
	a += metastore_map_tail(at, len);
	if (len > 4) {
		b += metastore_map_tail(at + 4, len - 4);
		if (len > 8)
			c += metastore_map_tail(at + 8, len - 8);
	}
	c = (c ^ b) - metastore_map_rol(b, 14);
	a = (a ^ c) - metastore_map_rol(c, 11);
	b = (b ^ a) - metastore_map_rol(a, 25);
	c = (c ^ b) - metastore_map_rol(b, 16);
	a = (a ^ c) - metastore_map_rol(c, 4);
	b = (b ^ a) - metastore_map_rol(a, 14);
	return (c ^ b) - metastore_map_rol(b, 24);
}

/* Compare the key of an entry, which begins at a multiple of 8. */
static inline METASTORE_MAP_INLINE int
metastore_map_differs(const __u8 *entry_key, const void *key, __u32 len)
{
	const unsigned char *at = (const unsigned char *)key;
	__u64 word;

	for (; len >= 8; len -= 8, at += 8, entry_key += 8) {
		__builtin_memcpy(&word, at, 8);
		if (METASTORE_MAP_LOAD(*(const __u64 *)entry_key) != word)
			return 1;
	}
	for (; len; len--)
		if (METASTORE_MAP_LOAD(*entry_key++) != *at++)
			return 1;
	return 0;
}

/*
 * Copy a value without a call, for which registers would have to be saved. Two copies overlap
 * unless its length is right.
 */
static inline METASTORE_MAP_INLINE void metastore_map_copy(void *to, const void *from, __u32 len)
{
	const unsigned char *in = (const unsigned char *)from;
	unsigned char *out = (unsigned char *)to;
	__u32 at;

	if (len >= 16) {
		for (at = 0; at + 16 < len; at += 16)
			__builtin_memcpy(out + at, in + at, 16);
		__builtin_memcpy(out + len - 16, in + len - 16, 16);
	} else if (len >= 8) {
		__builtin_memcpy(out, in, 8);
		__builtin_memcpy(out + len - 8, in + len - 8, 8);
	} else if (len >= 4) {
		__builtin_memcpy(out, in, 4);
		__builtin_memcpy(out + len - 4, in + len - 4, 4);
	} else if (len) {
		out[0] = in[0];
		out[len / 2] = in[len / 2];
		out[len - 1] = in[len - 1];
	}
}

/**
 * metastore_map_init() - Begin to use a mapping
 * @map:	set
 * @base:	its address
 * @length:	its length in bytes, at least those of a header
 *
 * Return: 0, or -1 if it has a layout that these functions do not know, or is shorter than
 * the header's limit.
 */
static inline int metastore_map_init(struct metastore_map *map, const void *base, __u64 length)
{
	const struct metastore_map_header *header = (const struct metastore_map_header *)base;

	map->base = (const unsigned char *)base;
	map->seed = header->seed;
	map->buckets = header->buckets;
	map->shards = (const struct metastore_map_shard *)
		(map->base + (__u64)header->shards * METASTORE_MAP_GRAIN);
	if (sizeof(void *) < 8 || header->magic != METASTORE_MAP_MAGIC ||
	    header->layout != METASTORE_MAP_LAYOUT || length < header->limit || !map->buckets)
		return -1;
	return (__u64)header->shards * METASTORE_MAP_GRAIN + (__u64)map->buckets *
	       sizeof(struct metastore_map_shard) > header->limit ? -1 : 0;
}

/*
 * Tell how many bytes may be accessed. The fence is for a caller that has asked the kernel
 * before: what that told is not taken back here.
 */
static inline METASTORE_MAP_INLINE __u64 metastore_map_size(const struct metastore_map *map)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return METASTORE_MAP_LOAD(((const struct metastore_map_header *)map->base)->size);
}

/*
 * Read the value of an entry that had @meta, with the key's hash and length: FOUND, SHORT,
 * ASK, AGAIN, or OTHER. While the version is the same nothing changes, so meta is loaded again
 * before the version is: behind it, it could be that of a later value.
 */
static inline METASTORE_MAP_INLINE int
metastore_map_take(const struct metastore_map_entry *entry, __u64 meta, const void *key,
		   __u32 key_len, void *buffer, __u32 room, struct metastore_map_found *found)
{
	/* Pairs with metastore_mirror_replaced(). */
	__u64 version = METASTORE_MAP_LOAD_FIRST(entry->version);
	__u32 start = (__u32)(sizeof(*entry) + key_len + 7) & ~7U;
	__u32 len = (__u32)(meta >> 48);

	/* METASTORE_MAP_BUSY, or free */
	if (__builtin_expect((__s64)version <= 0, 0))
		return METASTORE_MAP_AGAIN;
	if (metastore_map_differs(entry->key, key, key_len))
		return METASTORE_MAP_OTHER;
	/* Also METASTORE_MAP_ABSENT */
	if (start + len > METASTORE_MAP_LARGEST)
		return METASTORE_MAP_ASK;
	if (len <= room)
		metastore_map_copy(buffer, (const char *)entry + start, len);
	/* Pairs with smp_wmb() in mirror_entry_begin(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/* An answer of the kernel that the caller gets later is not older. */
	if (METASTORE_MAP_LOAD_FIRST(entry->meta) != meta ||
	    METASTORE_MAP_LOAD_FIRST(entry->version) != version)
		return METASTORE_MAP_AGAIN;
	found->version = version;
	found->value_len = len;
	return __builtin_expect(len <= room, 1) ? METASTORE_MAP_FOUND : METASTORE_MAP_SHORT;
}

/*
 * A walk through a chain
 *
 * @base:	address of the mapping
 * @last:	last byte at which an entry may begin
 * @slot:	the slot
 * @seq:	its count at the start
 * @hops:	how many entries may follow
 * @grain:	the next entry, or 0
 * @want:	hash and length of the key, as they are compared
 * @entry:	entry that has these
 * @meta:	what it holds
 */
struct metastore_map_walk {
	const unsigned char *base;
	__u64 last;
	const struct metastore_map_slot *slot;
	__u32 seq;
	__u32 hops;
	__u32 grain;
	__u64 want;
	const struct metastore_map_entry *entry;
	__u64 meta;
};

/* Begin a walk. Returns FOUND, or ASK or AGAIN. */
static inline METASTORE_MAP_INLINE int
metastore_map_begin(const struct metastore_map *map, __u32 hash, __u32 key_len,
		    struct metastore_map_walk *walk)
{
	const struct metastore_map_shard *shard =
		map->shards + ((__u64)hash * map->buckets >> 32);
	__u64 size = metastore_map_size(map), geometry, at;
	__u32 index, segment;

	geometry = METASTORE_MAP_LOAD_FIRST(shard->geometry);
	index = hash & (__u32)(geometry >> 32);
	if (__builtin_expect(index >= (__u32)geometry, 0))
		index &= (__u32)(geometry >> 33);
	/* Up to one behind the last, which is in the shard too */
	segment = 31U - (__u32)__builtin_clz(index >> 3 | 1);
	at = (__u64)METASTORE_MAP_LOAD(shard->segments[segment]) * METASTORE_MAP_GRAIN +
	     (__u64)index * sizeof(*walk->slot);
	if (at >= size)
		return METASTORE_MAP_ASK;
	walk->base = map->base;
	walk->last = size - METASTORE_MAP_LARGEST;
	walk->slot = (const struct metastore_map_slot *)(map->base + at);
	walk->seq = METASTORE_MAP_LOAD_FIRST(walk->slot->seq);
	/* From here on a split of the slot shows in its count. */
	if (METASTORE_MAP_LOAD(shard->geometry) != geometry)
		return METASTORE_MAP_AGAIN;
	walk->hops = METASTORE_MAP_CHAIN;
	walk->grain = METASTORE_MAP_LOAD_FIRST(walk->slot->first);
	walk->want = METASTORE_MAP_META(hash, key_len, 0) << 24;
	return METASTORE_MAP_FOUND;
}

/* Go on to the next entry with the key's hash and length: FOUND, MISS, ASK or AGAIN. */
static inline METASTORE_MAP_INLINE int metastore_map_next(struct metastore_map_walk *walk)
{
	__u64 at;

	for (; walk->grain; walk->hops--) {
		at = (__u64)walk->grain * METASTORE_MAP_GRAIN;
		if (!walk->hops || at > walk->last)
			return METASTORE_MAP_ASK;
		walk->entry = (const struct metastore_map_entry *)(walk->base + at);
		walk->meta = METASTORE_MAP_LOAD_FIRST(walk->entry->meta);
		if (walk->meta << 24 == walk->want)
			return METASTORE_MAP_FOUND;
		walk->grain = METASTORE_MAP_LOAD_FIRST(walk->entry->next);
	}
	/* Pairs with smp_wmb() in mirror_slot_begin(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	/* An odd count does not become the even one before it. */
	if (METASTORE_MAP_LOAD(walk->slot->seq) != (walk->seq & ~METASTORE_MAP_ODD))
		return METASTORE_MAP_AGAIN;
	return walk->seq & METASTORE_MAP_MORE ? METASTORE_MAP_ASK : METASTORE_MAP_MISS;
}

/* Look a key up once. What looks like another key may be an entry that was freed just now. */
static inline METASTORE_MAP_INLINE int
metastore_map_try(const struct metastore_map *map, __u32 hash, const void *key, __u32 key_len,
		  void *buffer, __u32 room, struct metastore_map_found *found)
{
	struct metastore_map_walk walk;
	int ret = metastore_map_begin(map, hash, key_len, &walk);

	while (ret == METASTORE_MAP_FOUND) {
		ret = metastore_map_next(&walk);
		if (ret != METASTORE_MAP_FOUND)
			return ret;
		ret = metastore_map_take(walk.entry, walk.meta, key, key_len, buffer, room, found);
		if (ret != METASTORE_MAP_OTHER) {
			found->entry = walk.entry;
			return ret;
		}
		walk.grain = METASTORE_MAP_LOAD_FIRST(walk.entry->next);
		walk.hops--;
		ret = METASTORE_MAP_FOUND;
	}
	return ret;
}

/*
 * Look a key up until an answer is certain. The entry is for metastore_map_get_at(). Seldom
 * called, so what calls it shall not save registers for it.
 */
static __attribute__((__noinline__, __unused__)) int
metastore_map_persist(const struct metastore_map *map, __u32 hash, const void *key, __u32 key_len,
		      void *buffer, __u32 room, struct metastore_map_found *found)
{
	int tries, ret;

	for (tries = 0; tries < METASTORE_MAP_TRIES; tries++) {
		ret = metastore_map_try(map, hash, key, key_len, buffer, room, found);
		if (ret != METASTORE_MAP_AGAIN)
			return ret;
	}
	return METASTORE_MAP_ASK;
}

/**
 * metastore_map_get() - Look a key up
 * @map:	the mapping
 * @key:	the key
 * @key_len:	its length in bytes
 * @buffer:	room for the value, which is clobbered whatever is returned. It does not overlap
 *		@key, which is read again after that
 * @room:	size of @buffer in bytes
 * @found:	set, if the key is found
 *
 * Return:
 * - METASTORE_MAP_FOUND: the value is in @buffer
 * - METASTORE_MAP_MISS: there is no such key
 * - METASTORE_MAP_SHORT: the value is longer than @room; @found tells its length
 * - METASTORE_MAP_ASK: METASTORE_IOC_GET tells
 *
 * Inlined, by some 1,100 bytes of code: a program that looks up in many places may want a function
 * of its own around it.
 */
static inline METASTORE_MAP_INLINE int
metastore_map_get(const struct metastore_map *map, const void *key, __u32 key_len, void *buffer,
		  __u32 room, struct metastore_map_found *found)
{
	struct metastore_map_walk walk;
	__u32 hash;
	int ret;

	/* Few of these can load a version at once. */
	if (sizeof(void *) < 8)
		return METASTORE_MAP_ASK;
	/* The kernel tells what is wrong with the length. */
	if (key_len - 1 >= 255)
		return METASTORE_MAP_ASK;
	hash = metastore_map_hash(key, key_len, map->seed);
	ret = metastore_map_begin(map, hash, key_len, &walk);
	if (ret == METASTORE_MAP_FOUND)
		ret = metastore_map_next(&walk);
	if (ret == METASTORE_MAP_FOUND)
		ret = metastore_map_take(walk.entry, walk.meta, key, key_len, buffer, room, found);
	if (__builtin_expect(ret < METASTORE_MAP_AGAIN, 1))
		return ret;
	return metastore_map_persist(map, hash, key, key_len, buffer, room, found);
}

/**
 * metastore_map_get_at() - Look a key up where it was found before
 * @map:	the mapping
 * @hash:	its metastore_map_hash()
 * @key:	the key
 * @key_len:	its length in bytes, 1 to 255
 * @buffer:	as in metastore_map_get(), and so are the next two
 * @room:	see @buffer
 * @found:	see @buffer. Its @entry is that of the last such lookup of this key, NULL before
 *		the first one
 *
 * Return: as metastore_map_get().
 */
static inline int metastore_map_get_at(const struct metastore_map *map, __u32 hash,
				       const void *key, __u32 key_len, void *buffer, __u32 room,
				       struct metastore_map_found *found)
{
	__u64 meta;
	int ret;

	if (sizeof(void *) < 8)
		return METASTORE_MAP_ASK;
	/* Where an entry is there is one as long as the store exists. */
	if (found->entry && metastore_map_size(map)) {
		meta = METASTORE_MAP_LOAD_FIRST(found->entry->meta);
		if (meta << 24 == METASTORE_MAP_META(hash, key_len, 0) << 24) {
			ret = metastore_map_take(found->entry, meta, key, key_len, buffer, room,
						 found);
			if (__builtin_expect(ret < METASTORE_MAP_AGAIN, 1))
				return ret;
		}
	}
	return metastore_map_persist(map, hash, key, key_len, buffer, room, found);
}

#endif /* !__KERNEL__ */

#endif /* _UAPI_LINUX_METASTORE_MAP_H */
