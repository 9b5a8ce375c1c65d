/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys whose hash is chosen, as somebody can who wants to make others' keys slow: the
 * module's hash is the kernel's jhash(), which can be computed backwards, and its seed
 * is found out from what BUCKET answers.
 */
#ifndef FLOOD_H
#define FLOOD_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/metastore.h>

/* Lengths of keys that are made to measure */
#define FLOOD_KEY_LEN	16
#define FLOOD_SHORT_LEN	12

static inline uint32_t flood_rol(uint32_t word, int bits)
{
	return word << bits | word >> (32 - bits);
}

static inline void flood_mix(uint32_t s[3])
{
	static const uint8_t bits[] = { 4, 6, 8, 16, 19, 4 };
	int i;

	for (i = 0; i < 6; i++) {
		uint32_t *a = &s[i % 3], *b = &s[(i + 1) % 3], *c = &s[(i + 2) % 3];

		*a -= *c;
		*a ^= flood_rol(*c, bits[i]);
		*c += *b;
	}
}

static inline void flood_unmix(uint32_t s[3])
{
	static const uint8_t bits[] = { 4, 6, 8, 16, 19, 4 };
	int i;

	for (i = 5; i >= 0; i--) {
		uint32_t *a = &s[i % 3], *b = &s[(i + 1) % 3], *c = &s[(i + 2) % 3];

		*c -= *b;
		*a ^= flood_rol(*c, bits[i]);
		*a += *c;
	}
}

static inline void flood_final(uint32_t s[3])
{
	static const uint8_t bits[] = { 14, 11, 25, 16, 4, 14, 24 };
	int i;

	for (i = 0; i < 7; i++) {
		uint32_t *a = &s[(i + 2) % 3], *b = &s[(i + 1) % 3];

		*a ^= *b;
		*a -= flood_rol(*b, bits[i]);
	}
}

static inline void flood_unfinal(uint32_t s[3])
{
	static const uint8_t bits[] = { 14, 11, 25, 16, 4, 14, 24 };
	int i;

	for (i = 6; i >= 0; i--) {
		uint32_t *a = &s[(i + 2) % 3], *b = &s[(i + 1) % 3];

		*a += flood_rol(*b, bits[i]);
		*a ^= *b;
	}
}

/* The state that jhash() begins with */
static inline uint32_t flood_start(uint32_t seed, uint32_t len)
{
	return 0xdeadbeef + len + seed;
}

/*
 * jhash() takes what it mixes as words of the machine, but the bytes at the end, of which
 * it makes words itself, as little-endian ones.
 */
static inline void flood_swap_end(uint32_t *words, int nr)
{
	while (nr--)
		words[nr] = htole32(words[nr]);
}

/* The hash of a key: jhash() */
static inline uint32_t flood_hash(const void *key, uint32_t len, uint32_t seed)
{
	uint32_t start = flood_start(seed, len), s[3] = { start, start, start }, words[3];
	const uint8_t *bytes = key;

	for (;;) {
		memset(words, 0, sizeof(words));
		memcpy(words, bytes, len < 12 ? len : 12);
		if (len <= 12)
			flood_swap_end(words, 3);
		s[0] += words[0];
		s[1] += words[1];
		s[2] += words[2];
		if (len <= 12)
			break;
		flood_mix(s);
		bytes += 12;
		len -= 12;
	}
	flood_final(s);
	return s[2];
}

/* The bucket that a hash picks of so many */
static inline uint32_t flood_bucket(uint32_t hash, uint32_t buckets)
{
	return (uint64_t)hash * buckets >> 32;
}

/*
 * The key with a hash and a number, of FLOOD_KEY_LEN bytes or of FLOOD_SHORT_LEN; any
 * two of them tell keys of one length apart.
 */
static inline void flood_key(void *key, uint32_t len, uint32_t seed, uint32_t hash,
			     uint32_t number)
{
	uint32_t start = flood_start(seed, len);
	uint32_t s[4] = { 0, number, hash, 0x646f6f6c };

	flood_unfinal(s);
	if (len == FLOOD_KEY_LEN) {
		s[0] -= s[3];
		flood_unmix(s);
	}
	s[0] -= start;
	s[1] -= start;
	s[2] -= start;
	if (len == FLOOD_KEY_LEN)
		flood_swap_end(s + 3, 1);
	else
		flood_swap_end(s, 3);
	memcpy(key, s, len);
}

/*
 * How many of the seed's 2^32 values are told from each other by asking, and how many
 * answers in a row tell one: two bits each or more.
 */
#define FLOOD_ASKED	16384
#define FLOOD_WINDOW	40

struct flood_window {
	uint64_t sum;
	uint32_t at;
};

static inline uint64_t flood_sum(const uint16_t *answers)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < FLOOD_WINDOW; i++)
		sum = (sum ^ answers[i]) * 0x9e3779b97f4a7c15ULL + 1;
	return sum;
}

static inline int flood_compare(const void *a, const void *b)
{
	const struct flood_window *x = a, *y = b;

	return x->sum < y->sum ? -1 : x->sum > y->sum;
}

/* Asks for buckets of keys of 12 bytes, each word of which is a number. */
static inline bool flood_ask(int fd, uint32_t number, uint16_t *answer, uint32_t *buckets)
{
	uint32_t words[3] = { number, number, number };
	struct metastore_key_bucket arg = {
		.key = (uintptr_t)words,
		.key_len = sizeof(words),
	};

	flood_swap_end(words, 3);
	if (ioctl(fd, METASTORE_IOC_BUCKET, &arg))
		return false;
	*answer = arg.bucket;
	*buckets = arg.buckets;
	return true;
}

/*
 * Finds the seed of a store with at least four buckets. The hash of such a key depends
 * on the sum of start and number alone. So the answers for the numbers from 0 on are
 * those that a seed of 0 had for the numbers from the seed on: of which each
 * FLOOD_ASKED-th stretch is computed, until one is met that was asked for.
 */
static inline bool flood_find_seed(int fd, uint32_t *seed)
{
	static struct flood_window asked[FLOOD_ASKED];
	static uint16_t answers[FLOOD_ASKED + FLOOD_WINDOW];
	struct flood_window wanted, *found;
	uint32_t buckets = 0, i, from;

	for (i = 0; i < FLOOD_ASKED + FLOOD_WINDOW; i++)
		if (!flood_ask(fd, i, &answers[i], &buckets))
			return false;
	for (i = 0; i < FLOOD_ASKED; i++)
		asked[i] = (struct flood_window) { flood_sum(answers + i), i };
	qsort(asked, FLOOD_ASKED, sizeof(asked[0]), flood_compare);
	from = 0;
	do {
		for (i = 0; i < FLOOD_WINDOW; i++) {
			uint32_t s[3] = { from + i, from + i, from + i };

			flood_final(s);
			answers[i] = flood_bucket(s[2], buckets);
		}
		wanted.sum = flood_sum(answers);
		found = bsearch(&wanted, asked, FLOOD_ASKED, sizeof(asked[0]), flood_compare);
		from += FLOOD_ASKED;
	} while (!found && from);
	if (!found)
		return false;
	*seed = from - FLOOD_ASKED - found->at - flood_start(0, 12);
	return true;
}

#endif /* FLOOD_H */
