// SPDX-License-Identifier: GPL-2.0
/* The bridge to NATS: keys of the store as keys of a bucket, and back. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "key.h"

#include "slowness.h"

#define ROUNDS	200000

static struct bytes text(const char *key)
{
	return (struct bytes){ key, strlen(key) };
}

/* The rule of NATS' client libraries, and of their server for the tokens of a subject */
static bool is_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= KEY_NAME_SIZE || name[0] == '.' || name[len - 1] == '.' ||
	    strstr(name, "..") || !strncmp(name, "_kv", 3))
		return false;
	return strspn(name, "-/_=.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	       == len;
}

static bool comes_back(struct bytes key)
{
	char name[KEY_NAME_SIZE], back[MSTORE_KEY_MAX];

	key_to_name(name, key);
	return is_valid(name) && key_of_name(back, name) == key.len &&
	       !memcmp(back, key.data, key.len);
}

TEST(ordinary_keys_are_readable)
{
	static const char * const keys[] = {
		"a", "net/eth0", "cfg.port", "host-1_b/c.d", "/", "-", "_", "_k", "k_kv",
	};
	char name[KEY_NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		key_to_name(name, text(keys[i]));
		EXPECT_STREQ(keys[i], name);
		EXPECT_TRUE(comes_back(text(keys[i])));
	}
}

TEST(others_have_escapes)
{
	static const char * const pairs[][2] = {
		{ "a b", "a=20b" }, { "a=b", "a=3Db" }, { ".a", "=2Ea" }, { "a.", "a=2E" },
		{ "a..b", "a.=2Eb" }, { ".", "=2E" }, { "..", "=2E=2E" }, { "_kv", "=5Fkv" },
		{ "_kvx", "=5Fkvx" }, { "\xc3\xa9", "=C3=A9" }, { "a\n", "a=0A" }, { "*", "=2A" },
		{ ">", "=3E" }, { "$", "=24" }, { "...a...", "=2E=2E=2Ea.=2E=2E" },
	};
	char name[KEY_NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		key_to_name(name, text(pairs[i][0]));
		EXPECT_STREQ(pairs[i][1], name);
		EXPECT_TRUE(comes_back(text(pairs[i][0])));
	}
}

TEST(each_byte_at_each_place_comes_back)
{
	char key[3];

	for (int byte = 0; byte < 256; byte++)
		for (size_t at = 0; at < sizeof(key); at++)
			for (size_t len = at + 1; len <= sizeof(key); len++) {
				memset(key, 'x', sizeof(key));
				key[at] = byte;
				EXPECT_TRUE(comes_back((struct bytes){ key, len }));
			}
}

TEST(the_longest_key_comes_back)
{
	char key[MSTORE_KEY_MAX];

	memset(key, 0, sizeof(key));
	EXPECT_TRUE(comes_back((struct bytes){ key, sizeof(key) }));
	memset(key, '.', sizeof(key));
	EXPECT_TRUE(comes_back((struct bytes){ key, sizeof(key) }));
}

TEST(a_key_has_one_name)
{
	static const char * const wrong[] = {
		"", "=", "=4", "=41", "a=4", "=zz", "=2e", "a=2Eb", "a=2D", ".a", "a.", "a..b",
		"_kv", "=5Fk", "a b", "a*", "\xc3\xa9", "a=3db",
	};
	char key[MSTORE_KEY_MAX], name[KEY_NAME_SIZE + 1];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_EQ(0, key_of_name(key, wrong[i]))
			TH_LOG("%s", wrong[i]);
	memset(name, 'a', MSTORE_KEY_MAX + 1);
	name[MSTORE_KEY_MAX + 1] = '\0';
	EXPECT_EQ(0, key_of_name(key, name));
	name[MSTORE_KEY_MAX] = '\0';
	EXPECT_EQ(MSTORE_KEY_MAX, key_of_name(key, name));
}

/* Draws bytes, of which many are those that the encoding looks at. */
static size_t draw(char *bytes, size_t most)
{
	static const char special[] = "..._kvKV=/-aA09.";
	size_t len = 1 + random() % most;

	for (size_t i = 0; i < len; i++)
		bytes[i] = random() % 3 ? special[random() % (sizeof(special) - 1)] :
					  (char)random();
	return len;
}

TEST(random_keys_come_back)
{
	char key[MSTORE_KEY_MAX];
	unsigned int i;

	srandom(1);
	for (i = 0; i < ms_size(ROUNDS, 50 * ROUNDS); i++) {
		size_t len = draw(key, random() % 10 ? 8 : sizeof(key));

		ASSERT_TRUE(comes_back((struct bytes){ key, len }))
			TH_LOG("round %u", i);
	}
}

/* A name that is taken for a key's is that key's name. */
TEST(random_names_are_taken_or_refused)
{
	char name[64], key[MSTORE_KEY_MAX], again[KEY_NAME_SIZE];
	unsigned int taken = 0;

	srandom(2);
	for (unsigned int i = 0; i < ms_size(ROUNDS, 50 * ROUNDS); i++) {
		size_t len;

		name[draw(name, sizeof(name) - 1)] = '\0';
		len = key_of_name(key, name);
		if (!len)
			continue;
		taken++;
		key_to_name(again, (struct bytes){ key, len });
		ASSERT_STREQ(again, name);
	}
	EXPECT_LT(100, taken);
}

TEST_HARNESS_MAIN
