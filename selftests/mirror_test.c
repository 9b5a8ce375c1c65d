// SPDX-License-Identifier: GPL-2.0
/*
 * Mapped stores: what programs read without a system call is what GET tells, and what they may
 * do with the mapping.
 *
 * module: buckets=16
 */
#include <pthread.h>
#include <sys/stat.h>

#include "mirror.h"

#define KIB	1024ULL
#define MIB	(1024 * KIB)
#define PAGE	((size_t)sysconf(_SC_PAGESIZE))

/* Such that its entry is of another size than those of short ones */
#define LONGER	"a value of some eighty bytes, so that its entry is of another class of sizes"

static int create(int from, struct metastore_create args)
{
	args.flags = METASTORE_CREATE_MAPPED;
	return ms_create(from, O_RDWR | O_NONBLOCK, args);
}

FIXTURE(mirror)
{
	int device;
	int fd;			/* on a mapped store */
	struct metastore_map map;
};

FIXTURE_SETUP(mirror)
{
	self->device = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->device);
	self->fd = create(self->device, (struct metastore_create) {});
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, mirror_map(self->fd, &self->map));
}

FIXTURE_TEARDOWN(mirror)
{
	mirror_unmap(&self->map);
	close(self->fd);
	close(self->device);
}

/* Values */

TEST_F(mirror, has_what_is_stored)
{
	__u64 version, mirrored;
	char buf[16];

	EXPECT_EQ(-ENOENT, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	ASSERT_EQ(0, ms_set(self->fd, "key", "value", &version));
	EXPECT_EQ(5, mirror_get(&self->map, "key", buf, sizeof(buf), &mirrored));
	EXPECT_EQ(0, memcmp(buf, "value\xcc", 6));
	EXPECT_EQ(version, mirrored);
	ASSERT_EQ(0, ms_publish(self->fd, "key", "other", &version));
	EXPECT_EQ(5, mirror_get(&self->map, "key", buf, sizeof(buf), &mirrored));
	EXPECT_EQ(0, memcmp(buf, "other", 5));
	EXPECT_EQ(version, mirrored);
	ASSERT_EQ(0, ms_delete(self->fd, "key", NULL));
	EXPECT_EQ(-ENOENT, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	ASSERT_EQ(0, ms_set(self->fd, "key", "", NULL));
	EXPECT_EQ(0, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	EXPECT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(-ENOENT, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
}

TEST_F(mirror, tells_a_short_buffer_how_much)
{
	struct metastore_map_found found = {};
	char buf[8];

	ASSERT_EQ(0, ms_set(self->fd, "key", "12345678", NULL));
	EXPECT_EQ(METASTORE_MAP_SHORT, metastore_map_get(&self->map, "key", 3, buf, 7, &found));
	EXPECT_EQ(8, found.value_len);
	EXPECT_EQ(METASTORE_MAP_FOUND, metastore_map_get(&self->map, "key", 3, buf, 8, &found));
	EXPECT_EQ(METASTORE_MAP_SHORT, metastore_map_get(&self->map, "key", 3, NULL, 0, &found));
}

/* Of keys of all lengths, the hash is the kernel's, and the bytes are all there. */
TEST_F(mirror, has_keys_and_values_of_all_lengths)
{
	char key[METASTORE_KEY_MAX], value[464], buf[512];
	unsigned int key_len, len;

	memset(value, 'v', sizeof(value));
	for (key_len = 1; key_len <= sizeof(key); key_len++) {
		memset(key, key_len, key_len);
		len = sizeof(value) - key_len;
		ASSERT_EQ(0, ms_setn(self->fd, key, key_len, value, len, NULL));
		EXPECT_EQ(len, mirror_getn(&self->map, key, key_len, buf, sizeof(buf), NULL)) {
			TH_LOG("key of %u", key_len);
		}
		EXPECT_TRUE(mirror_agrees(self->fd, &self->map, key, key_len));
		/* One byte more is apart. */
		ASSERT_EQ(0, ms_setn(self->fd, key, key_len, value, len + 1, NULL));
		EXPECT_EQ(-EAGAIN, mirror_getn(&self->map, key, key_len, buf, sizeof(buf), NULL));
	}
	for (len = 0; len <= sizeof(value) - 3; len++) {
		ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, len, NULL));
		EXPECT_TRUE(mirror_agrees(self->fd, &self->map, "key", 3)) {
			TH_LOG("value of %u", len);
		}
	}
	EXPECT_EQ(-EAGAIN, mirror_getn(&self->map, key, 0, buf, sizeof(buf), NULL));
	EXPECT_EQ(-EAGAIN, mirror_getn(&self->map, key, 256, buf, sizeof(buf), NULL));
}

/* A value that is not mirrored is neither told nor told to be absent, nor is its former one. */
TEST_F(mirror, asks_for_large_owned_and_timed)
{
	struct metastore_set ttl = { .ttl = 60000 }, keep = { .flags = METASTORE_F_KEEP_TTL };
	int owner = ms_reopen(self->fd, O_RDWR);
	char large[600] = "", buf[1024];

	ASSERT_EQ(0, ms_set(self->fd, "key", "small", NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "key", 3, large, sizeof(large), NULL));
	EXPECT_EQ(-EAGAIN, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	ASSERT_EQ(0, ms_set(self->fd, "key", "small", NULL));
	EXPECT_STREQ("small", mirror_str(&self->map, "key"));

	ASSERT_EQ(0, ms_own(owner, "key", "owned", NULL));
	EXPECT_EQ(-EAGAIN, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	close(owner);
	EXPECT_EQ(-ENOENT, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));

	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "key", "timed", &ttl));
	EXPECT_EQ(-EAGAIN, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	EXPECT_EQ(0, ms_touch(self->fd, "key", 60000, 0, NULL));
	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "key", "timed", &keep));
	EXPECT_EQ(-EAGAIN, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
	ASSERT_EQ(0, ms_set(self->fd, "key", "small", NULL));
	EXPECT_STREQ("small", mirror_str(&self->map, "key"));

	EXPECT_EQ(0, ms_set_ttl(self->fd, "key", "ends", 1, NULL));
	ms_sleep(ms_limit(SECOND / 10));
	while (ms_keys(self->fd))
		ms_sleep(SECOND / 100);
	EXPECT_EQ(-ENOENT, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
}

/*
 * The length that says that a value is not mirrored is also one that a value can have. In place
 * of another that is not mirrored, it changes nothing but its entry, of one class.
 */
TEST_F(mirror, has_no_value_of_the_length_that_means_absent)
{
	static unsigned char value[METASTORE_MAP_ABSENT], buf[METASTORE_MAP_ABSENT + 1];
	__u32 hash = metastore_map_hash("key", 3, self->map.seed), size, at, i, round;
	struct metastore_map_found found = {};
	unsigned char *before;

	/* Neighbours of the entry */
	for (i = 0; i < 64; i++) {
		sprintf((char *)buf, "n%u", i);
		ASSERT_EQ(0, ms_set(self->fd, i == 32 ? "key" : (char *)buf, "neighbour", NULL));
	}
	memset(value, 0xa5, sizeof(value));
	size = mirror_header(&self->map)->size;
	before = malloc(size);
	ASSERT_NE(NULL, before);
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, round ? ms_set_ttl(self->fd, "key", "timed", 60000, NULL) :
				     ms_setn(self->fd, "key", 3, value, 1000, NULL));
		EXPECT_EQ(METASTORE_MAP_ASK, metastore_map_get_at(&self->map, hash, "key", 3, buf,
								  sizeof(buf), &found));
		memcpy(before, self->map.base, size);
		ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, sizeof(value), NULL));
		ASSERT_EQ(sizeof(value), ms_getn(self->fd, "key", 3, buf, sizeof(buf), NULL));
		EXPECT_EQ(0, memcmp(value, buf, sizeof(value)));
		EXPECT_EQ(-EAGAIN, mirror_get(&self->map, "key", buf, sizeof(buf), NULL));
		at = (const unsigned char *)found.entry - self->map.base;
		EXPECT_EQ(0, memcmp(before, self->map.base, at));
		at += METASTORE_MAP_CLASS;
		EXPECT_EQ(0, memcmp(before + at, self->map.base + at, size - at));
	}
	ASSERT_EQ(0, ms_set(self->fd, "key", "small", NULL));
	EXPECT_STREQ("small", mirror_str(&self->map, "key"));
	free(before);
}

TEST_F(mirror, follows_batches)
{
	struct metastore_op ops[] = {
		ms_op_set("a", "1"), ms_op_publish("b", "2"), ms_op_delete("c"),
		ms_op_set("d", "4"),
	};
	struct metastore_op refused[] = { ms_op_set("a", "9"), ms_op_delete("none") };
	__u32 failed;

	ASSERT_EQ(0, ms_set(self->fd, "b",
			    "old and longer, so that it moves to another class of entries", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "c", "old", NULL));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 4, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_STREQ("1", mirror_str(&self->map, "a"));
	EXPECT_STREQ("2", mirror_str(&self->map, "b"));
	EXPECT_STREQ("ENOENT", mirror_str(&self->map, "c"));
	EXPECT_STREQ("4", mirror_str(&self->map, "d"));
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, refused, 2, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_STREQ("1", mirror_str(&self->map, "a"));
	ASSERT_EQ(0, ms_batch(self->fd, refused, 2, 0, &failed));
	EXPECT_STREQ("9", mirror_str(&self->map, "a"));
}

/* An atomic batch needs up to 128 entries at once, which no writer has allocated ahead. */
TEST_F(mirror, has_all_of_a_large_batch)
{
	static char value[400];
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	char keys[METASTORE_ATOMIC_MAX][8];
	__u32 failed, round, i;

	for (round = 0; round < 8; round++) {
		for (i = 0; i < METASTORE_ATOMIC_MAX; i++) {
			sprintf(keys[i], "%u-%u", round, i);
			ops[i] = ms_op_set(keys[i], "");
			ops[i].value = ms_ptr(value);
			ops[i].value_len = sizeof(value);
		}
		ASSERT_EQ(0, ms_batch(self->fd, ops, i, METASTORE_BATCH_ATOMIC, &failed));
		for (i = 0; i < METASTORE_ATOMIC_MAX; i++)
			ASSERT_TRUE(mirror_agrees(self->fd, &self->map, keys[i], strlen(keys[i])));
	}
}

/* Entries that are filled for a batch, and then not needed, are there for the next. */
TEST_F(mirror, takes_nothing_for_refused_batches)
{
	static char value[400];
	struct metastore_op ops[] = {
		ms_op_set("a", ""), ms_op_set("b", ""), ms_op_set("c", ""), ms_op_delete("none"),
	};
	__u32 failed, round, i;
	__u64 size;

	for (i = 0; i < 3; i++) {
		ops[i].value = ms_ptr(value);
		ops[i].value_len = sizeof(value);
	}
	ASSERT_EQ(-ECANCELED, ms_batch(self->fd, ops, 4, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(3, failed);
	size = mirror_header(&self->map)->size;
	for (round = 0; round < 1000; round++)
		ASSERT_EQ(-ECANCELED, ms_batch(self->fd, ops, 4, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(size, mirror_header(&self->map)->size);
	EXPECT_STREQ("ENOENT", mirror_str(&self->map, "a"));
}

/* Slots are added after a batch, too: twice as many as there are keys. */
TEST_F(mirror, grows_by_batches)
{
	int fd = create(self->device, (struct metastore_create) { .buckets = 1 });
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	char keys[METASTORE_ATOMIC_MAX][16];
	__u32 failed, round, nr = 0, i;
	struct metastore_map map;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mirror_map(fd, &map));
	for (round = 0; round < 32; round++) {
		for (i = 0; i < METASTORE_ATOMIC_MAX; i++) {
			sprintf(keys[i], "key-%u", nr++);
			ops[i] = ms_op_set(keys[i], "value");
		}
		ASSERT_EQ(0, ms_batch(fd, ops, i, METASTORE_BATCH_ATOMIC, &failed));
	}
	for (i = 0; i < nr; i++) {
		sprintf(keys[0], "key-%u", i);
		ASSERT_TRUE(mirror_agrees(fd, &map, keys[0], strlen(keys[0])));
	}
	EXPECT_LE(2 * nr, (__u32)map.shards[0].geometry);
	mirror_unmap(&map);
	close(fd);
}

/* A program that has found a key reads it where it was, and finds it where it went. */
TEST_F(mirror, is_read_where_it_was_found)
{
	__u32 hash = metastore_map_hash("key", 3, self->map.seed);
	const struct metastore_map_entry *first;
	struct metastore_map_found found = {};
	char buf[512];

#define GET_AT() metastore_map_get_at(&self->map, hash, "key", 3, buf, sizeof(buf), &found)
	EXPECT_EQ(METASTORE_MAP_MISS, GET_AT());
	ASSERT_EQ(0, ms_set(self->fd, "key", "one", NULL));
	EXPECT_EQ(METASTORE_MAP_FOUND, GET_AT());
	EXPECT_EQ(0, memcmp(buf, "one", 3));
	first = found.entry;
	EXPECT_NE(NULL, first);
	ASSERT_EQ(0, ms_set(self->fd, "key", "two", NULL));
	EXPECT_EQ(METASTORE_MAP_FOUND, GET_AT());
	EXPECT_EQ(0, memcmp(buf, "two", 3));
	EXPECT_EQ(first, found.entry);
	ASSERT_EQ(0, ms_delete(self->fd, "key", NULL));
	EXPECT_EQ(METASTORE_MAP_MISS, GET_AT());
	/* Another key gets the entry. */
	ASSERT_EQ(0, ms_set(self->fd, "yek", "no!", NULL));
	EXPECT_EQ(METASTORE_MAP_MISS, GET_AT());
	ASSERT_EQ(0, ms_set(self->fd, "key", "three", NULL));
	EXPECT_EQ(METASTORE_MAP_FOUND, GET_AT());
	EXPECT_EQ(0, memcmp(buf, "three", 5));
	EXPECT_NE(first, found.entry);
}

/* Growth */

static unsigned int write_keys(int fd, unsigned int nr, const char *value)
{
	char key[16];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		sprintf(key, "key-%u", i);
		if (ms_set(fd, key, value, NULL))
			break;
	}
	return i;
}

/* Returns how many of the keys are answered by the mirror, and as by the store. */
static unsigned int count_keys(int fd, const struct metastore_map *map, unsigned int nr)
{
	unsigned int i, found = 0;
	char key[16];

	for (i = 0; i < nr; i++) {
		sprintf(key, "key-%u", i);
		found += mirror_agrees(fd, map, key, strlen(key));
	}
	return found;
}

/* Returns how many of the keys the mirror tells otherwise than the store. */
static unsigned int count_wrong(int fd, const struct metastore_map *map, unsigned int nr)
{
	unsigned int i, wrong = 0;
	char key[16];

	for (i = 0; i < nr; i++) {
		sprintf(key, "key-%u", i);
		wrong += strcmp(mirror_str(map, key), "EAGAIN") &&
			 !mirror_agrees(fd, map, key, strlen(key));
	}
	return wrong;
}

TEST_F(mirror, grows)
{
	unsigned int buckets[] = { 1, 3, 1000 }, nr = ms_size(20000, 200000), i;
	struct metastore_map map;
	int fd;

	for (i = 0; i < 3; i++) {
		fd = create(self->device, (struct metastore_create) { .buckets = buckets[i] });
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, mirror_map(fd, &map));
		ASSERT_EQ(nr, write_keys(fd, nr, "value"));
		EXPECT_EQ(nr, count_keys(fd, &map, nr));
		EXPECT_STREQ("ENOENT", mirror_str(&map, "key-x"));
		ASSERT_EQ(nr, write_keys(fd, nr, LONGER));
		EXPECT_EQ(nr, count_keys(fd, &map, nr));
		ASSERT_EQ(0, ms_reset(fd));
		EXPECT_EQ(nr, count_keys(fd, &map, nr));
		EXPECT_STREQ("ENOENT", mirror_str(&map, "key-0"));
		mirror_unmap(&map);
		close(fd);
	}
}

/* Deleting and storing again takes no further memory. */
TEST_F(mirror, reuses_entries)
{
	__u64 size;
	int i;

	ASSERT_EQ(1000, write_keys(self->fd, 1000, "value"));
	size = mirror_header(&self->map)->size;
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ms_reset(self->fd));
		ASSERT_EQ(1000, write_keys(self->fd, 1000, "value"));
	}
	EXPECT_EQ(size, mirror_header(&self->map)->size);
	EXPECT_EQ(1000, count_keys(self->fd, &self->map, 1000));
}

/* A value that was deleted or overwritten is in no page that a program could map. */
TEST_F(mirror, forgets)
{
	size_t size = mirror_header(&self->map)->size;
	char secret[] = "secret-0123456789";

	ASSERT_EQ(0, ms_set(self->fd, "overwritten", secret, NULL));
	ASSERT_EQ(0, ms_set(self->fd, "owned", secret, NULL));
	ASSERT_EQ(0, ms_set(self->fd, "deleted", secret, NULL));
	EXPECT_NE(NULL, memmem(self->map.base, size, secret, strlen(secret)));
	ASSERT_EQ(0, ms_set(self->fd, "overwritten", "short", NULL));
	ASSERT_EQ(0, ms_own(self->fd, "owned", "short", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "deleted", NULL));
	EXPECT_EQ(NULL, memmem(self->map.base, size, secret + 6, 8));
	EXPECT_EQ(NULL, memmem(self->map.base, size, "deleted", 7));
}

/*
 * Keys that somebody chose to have one hash: the slot has some, and says that there are more,
 * until they are gone. Keys elsewhere are told as before.
 */
TEST_F(mirror, says_that_a_chain_is_full)
{
	struct metastore_map map;
	unsigned int i, nr = 0, told = 0;
	char key[16], keys[40][16], other[16] = "";
	int fd = create(self->device, (struct metastore_create) { .buckets = 1 });

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mirror_map(fd, &map));
	/* One slot of the 256 that so few keys will not outgrow. */
	for (i = 0; nr < 40; i++) {
		sprintf(key, "chosen-%u", i);
		if ((metastore_map_hash(key, strlen(key), map.seed) & 0xff) == 0x55)
			memcpy(keys[nr++], key, sizeof(key));
		else if ((metastore_map_hash(key, strlen(key), map.seed) & 0xff) == 0x54)
			memcpy(other, key, sizeof(key));
	}
	for (i = 0; i < 40; i++)
		ASSERT_EQ(0, ms_set(fd, keys[i], "value", NULL));
	for (i = 0; i < 40; i++) {
		if (!strcmp("value", mirror_str(&map, keys[i])))
			told++;
		else
			EXPECT_STREQ("EAGAIN", mirror_str(&map, keys[i]));
	}
	EXPECT_EQ(METASTORE_MAP_CHAIN, told);
	EXPECT_STREQ("ENOENT", mirror_str(&map, other));
	/* Some leave, the rest is stored again, and a further change finds that none is missing. */
	for (i = 0; i < 20; i++)
		ASSERT_EQ(0, ms_delete(fd, keys[i], NULL));
	for (i = 20; i < 40; i++)
		ASSERT_EQ(0, ms_set(fd, keys[i], "again", NULL));
	ASSERT_EQ(0, ms_delete(fd, keys[39], NULL));
	for (i = 20; i < 39; i++)
		EXPECT_STREQ("again", mirror_str(&map, keys[i]));
	for (i = 0; i < 20; i++)
		EXPECT_STREQ("ENOENT", mirror_str(&map, keys[i]));
	mirror_unmap(&map);
	close(fd);
}

/* Memory */

TEST_F(mirror, keeps_to_max_bytes)
{
	struct metastore_create args = { .buckets = 1, .max_bytes = 2 * MIB };
	unsigned int nr, i, told = 0;
	struct metastore_map map;
	int fd = create(self->device, args);
	char key[16];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mirror_map(fd, &map));
	EXPECT_GE(2 * MIB + 128 * KIB, mirror_header(&map)->limit);
	/* First entries of one size, which stay that, then of another */
	nr = write_keys(fd, 10000, "value");
	ASSERT_LT(1000, nr);
	ASSERT_EQ(0, ms_reset(fd));
	nr = write_keys(fd, 10000, LONGER);
	ASSERT_LT(1000, nr);
	for (i = 0; i < nr; i++) {
		sprintf(key, "key-%u", i);
		if (mirror_str(&map, key)[0] == 'a')
			told++;
		else
			EXPECT_STREQ("EAGAIN", mirror_str(&map, key));
	}
	EXPECT_LT(100, told);
	EXPECT_GE(mirror_header(&map)->limit, mirror_header(&map)->size);
	/* Keys that are missing come back as they are stored anew. */
	ASSERT_EQ(0, ms_reset(fd));
	nr = write_keys(fd, 1000, "value");
	EXPECT_EQ(1000, count_keys(fd, &map, nr));
	/* Where some were, a slot says so until it changes. */
	ASSERT_EQ(0, ms_set(fd, "key-5000", "value", NULL));
	ASSERT_EQ(0, ms_delete(fd, "key-5000", NULL));
	EXPECT_STREQ("ENOENT", mirror_str(&map, "key-5000"));
	mirror_unmap(&map);
	close(fd);
}

/* Returns how many keys batches of 64 have set before one was refused. */
static unsigned int write_keys_at_once(int fd, const char *value)
{
	struct metastore_op ops[64];
	char keys[64][16];
	unsigned int i, nr;
	__u32 failed;

	for (nr = 0;; nr += 64) {
		for (i = 0; i < 64; i++) {
			sprintf(keys[i], "key-%u", nr + i);
			ops[i] = ms_op_set(keys[i], value);
		}
		if (ms_batch(fd, ops, 64, METASTORE_BATCH_ATOMIC, &failed))
			return nr;
	}
}

/* A batch that finds no memory for its entries is made all the same. */
TEST_F(mirror, keeps_to_max_bytes_in_batches)
{
	struct metastore_create args = { .buckets = 1, .max_bytes = 2 * MIB };
	int fd = create(self->device, args);
	struct metastore_map map;
	unsigned int nr, told;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mirror_map(fd, &map));
	ASSERT_LT(1000, write_keys(fd, 10000, "value"));
	ASSERT_EQ(0, ms_reset(fd));
	nr = write_keys_at_once(fd, LONGER);
	ASSERT_LT(1000, nr);
	EXPECT_EQ(nr, ms_keys(fd));
	EXPECT_EQ(0, count_wrong(fd, &map, nr));
	told = count_keys(fd, &map, nr);
	EXPECT_LT(100, told);
	EXPECT_GT(nr, told);
	EXPECT_GE(mirror_header(&map)->limit, mirror_header(&map)->size);
	/* Keys that are missing come back as they are stored anew. */
	ASSERT_EQ(0, ms_reset(fd));
	ASSERT_LT(1000, write_keys_at_once(fd, "value"));
	EXPECT_EQ(1000, count_keys(fd, &map, 1000));
	mirror_unmap(&map);
	close(fd);
}

static __u64 store_bytes(int fd)
{
	struct metastore_user_info info = {};

	return ms_ioctl(fd, METASTORE_IOC_USER, &info) ? 0 :
	       info.kinds[METASTORE_USER_STORE_BYTES].use;
}

TEST_F(mirror, counts_to_the_user)
{
	__u64 before = store_bytes(self->device), plain, mapped, grown;
	int fd = ms_create(self->device, O_RDWR, (struct metastore_create) {});

	ASSERT_LE(0, fd);
	plain = store_bytes(self->device) - before;
	close(fd);
	EXPECT_EQ(before, store_bytes(self->device));
	fd = create(self->device, (struct metastore_create) {});
	ASSERT_LE(0, fd);
	mapped = store_bytes(self->device) - before;
	EXPECT_LE(plain + 64 * KIB, mapped);
	ASSERT_EQ(10000, write_keys(fd, 10000, "value"));
	grown = store_bytes(self->device) - before - mapped;
	/* Values, entries, slots */
	EXPECT_LE(10000 * (48 + 64 + 16), grown);
	close(fd);
	EXPECT_EQ(before, store_bytes(self->device));
}

/* A full cgroup refuses values, but not for the sake of the mirror, which does without. */
TEST_F(mirror, is_right_in_a_full_cgroup)
{
	const char *group = MS_CGROUP "/mirror_test";
	unsigned int *nr = ms_shared(sizeof(*nr));
	pid_t pid;

	if (mkdir(group, 0755) || ms_cgroup_read(group, "memory.current", "") < 0)
		SKIP(return, "no memory controller of cgroup2 at " MS_CGROUP);
	pid = ms_fork();
	if (!pid) {
		/* All memory of its own is taken before it enters. */
		mirror_unmap(&self->map);
		if (mlockall(MCL_CURRENT | MCL_FUTURE) ||
		    ms_cgroup_write(group, "cgroup.procs", 0) ||
		    ms_cgroup_write(group, "memory.max",
				    ms_cgroup_read(group, "memory.current", "") + 4 * MIB))
			_exit(1);
		*nr = write_keys(self->fd, 1000000, "value");
		_exit(0);
	}
	ASSERT_EQ(0, ms_join(pid));
	EXPECT_LT(1000, *nr);
	EXPECT_GT(1000000, *nr);
	EXPECT_LT(100, count_keys(self->fd, &self->map, *nr));
	EXPECT_EQ(0, count_wrong(self->fd, &self->map, *nr));
	/* With memory again, all can be told. */
	ms_sleep(SECOND / 5);
	ASSERT_EQ(*nr, write_keys(self->fd, *nr, "other"));
	EXPECT_EQ(*nr, count_keys(self->fd, &self->map, *nr));
	rmdir(group);
}

/* The mapping */

#define MAP(fd, prot, flags, offset) \
	(mmap(NULL, PAGE, prot, flags, fd, offset) == MAP_FAILED ? errno : 0)

TEST_F(mirror, is_shared_and_read_only)
{
	int write_only = ms_reopen(self->fd, O_WRONLY), read_only = ms_reopen(self->fd, O_RDONLY);
	__u64 limit = mirror_header(&self->map)->limit, offset = METASTORE_MAP_STORE;
	void *base = (void *)self->map.base;

	EXPECT_EQ(0, MAP(self->fd, PROT_READ, MAP_SHARED, offset));
	EXPECT_EQ(0, MAP(read_only, PROT_READ, MAP_SHARED, offset));
	EXPECT_EQ(0, MAP(self->fd, PROT_NONE, MAP_SHARED, offset));
	EXPECT_EQ(EACCES, MAP(write_only, PROT_READ, MAP_SHARED, offset));
	EXPECT_EQ(EACCES, MAP(self->fd, PROT_READ | PROT_WRITE, MAP_SHARED, offset));
	EXPECT_EQ(EACCES, MAP(self->fd, PROT_WRITE, MAP_SHARED, offset));
	EXPECT_NE(0, MAP(self->fd, PROT_READ | PROT_EXEC, MAP_SHARED, offset));
	EXPECT_EQ(EINVAL, MAP(self->fd, PROT_READ, MAP_PRIVATE, offset));
	EXPECT_EQ(EINVAL, MAP(self->fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, offset));
	EXPECT_EQ(EINVAL, MAP(self->fd, PROT_READ, MAP_SHARED, offset + limit));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, limit + PAGE, PROT_READ, MAP_SHARED, self->fd, offset));
	EXPECT_EQ(0, MAP(self->fd, PROT_READ, MAP_SHARED, offset + limit - 65536));
	EXPECT_EQ(-1, mprotect(base, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(base, PAGE, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EOPNOTSUPP, MAP(self->device, PROT_READ, MAP_SHARED, offset));
	close(write_only);
	close(read_only);
}

/* Not even by those who may write to any memory of a process */
TEST_F(mirror, cannot_be_forced)
{
	int mem = open("/proc/self/mem", O_RDWR);
	char byte = 1;

	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, &byte, 1, (off_t)(uintptr_t)self->map.base));
	EXPECT_EQ(METASTORE_MAP_MAGIC, mirror_header(&self->map)->magic);
	close(mem);
}

static int ends_by(void (*access)(void *), void *at)
{
	pid_t pid = ms_fork();
	int status;

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		access(at);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void read_byte(void *at)
{
	char byte;

	__atomic_load((char *)at, &byte, __ATOMIC_RELAXED);
}

static void write_byte(void *at)
{
	__atomic_store_n((char *)at, 1, __ATOMIC_RELAXED);
}

TEST_F(mirror, ends_where_it_says)
{
	char *base = (char *)self->map.base;
	size_t size = mirror_header(&self->map)->size, at;

	for (at = 0; at < size; at += PAGE)
		ASSERT_EQ(0, ends_by(read_byte, base + at));
	EXPECT_EQ(SIGBUS, ends_by(read_byte, base + size));
	EXPECT_EQ(SIGSEGV, ends_by(write_byte, base));
}

TEST_F(mirror, can_be_moved_but_not_enlarged)
{
	__u64 limit = mirror_header(&self->map)->limit;
	void *base = (void *)self->map.base, *moved;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	EXPECT_EQ(MAP_FAILED, mremap(base, limit, limit + PAGE, MREMAP_MAYMOVE));
	EXPECT_STREQ("value", mirror_str(&self->map, "key"));
	moved = mmap(NULL, limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, moved);
	ASSERT_EQ(moved, mremap(base, limit, limit, MREMAP_MAYMOVE | MREMAP_FIXED, moved));
	self->map.base = moved;
	self->map.shards = (void *)((char *)moved + ((char *)self->map.shards - (char *)base));
	EXPECT_STREQ("value", mirror_str(&self->map, "key"));
	/* A hole in it takes nothing else away. */
	ASSERT_EQ(0, munmap((char *)moved + limit - 65536, 65536));
	EXPECT_STREQ("value", mirror_str(&self->map, "key"));
}

TEST_F(mirror, is_inherited)
{
	int pipes[2];
	pid_t pid;
	char byte;

	ASSERT_EQ(0, pipe(pipes));
	pid = ms_fork();
	if (!pid) {
		close(self->fd);
		if (read(pipes[0], &byte, 1) != 1)
			_exit(1);
		_exit(strcmp("later", mirror_str(&self->map, "key")) ? 2 : 0);
	}
	ASSERT_EQ(0, ms_set(self->fd, "key", "later", NULL));
	ASSERT_EQ(1, write(pipes[1], "", 1));
	EXPECT_EQ(0, ms_join(pid));
	close(pipes[0]);
	close(pipes[1]);
}

/* The mapping alone keeps a private store, and its end ends the store. */
TEST_F(mirror, outlives_the_descriptor)
{
	__u64 before = store_bytes(self->device);
	struct metastore_map map;
	int fd = create(self->device, (struct metastore_create) {});

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mirror_map(fd, &map));
	ASSERT_EQ(0, ms_set(fd, "key", "value", NULL));
	close(fd);
	EXPECT_STREQ("value", mirror_str(&map, "key"));
	EXPECT_LT(before, store_bytes(self->device));
	mirror_unmap(&map);
	EXPECT_EQ(before, store_bytes(self->device));
}

/* A page that is pinned when the store goes stays until it is let go. */
TEST_F(mirror, lets_go_of_pinned_pages)
{
	struct iovec iov;
	struct metastore_map map;
	int pipes[2], fd = create(self->device, (struct metastore_create) {});
	__u32 magic = 0;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mirror_map(fd, &map));
	ASSERT_EQ(0, pipe(pipes));
	iov = (struct iovec) { (void *)map.base, 4 };
	ASSERT_EQ(4, vmsplice(pipes[1], &iov, 1, 0));
	mirror_unmap(&map);
	close(fd);
	EXPECT_EQ(4, read(pipes[0], &magic, 4));
	EXPECT_EQ(METASTORE_MAP_MAGIC, magic);
	close(pipes[0]);
	close(pipes[1]);
}

/* Limits and flags of CREATE */

TEST_F(mirror, is_only_made_on_demand)
{
	struct metastore_create args = { .flags = METASTORE_CREATE_MAPPED << 1 };
	struct metastore_info info;

	EXPECT_EQ(-EINVAL, ms_create(self->device, O_RDWR, args));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_TRUE(info.features & METASTORE_FEATURE_MAP_STORE);
	EXPECT_EQ(EINVAL, MAP(self->device, PROT_READ, MAP_SHARED, 4 * PAGE));
}

/* Retirement */

TEST_F(mirror, asks_a_retired_module)
{
	struct metastore_map map;
	int exempt, fd;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	ASSERT_EQ(0, retire("1"));
	EXPECT_STREQ("EAGAIN", mirror_str(&self->map, "key"));
	EXPECT_STREQ("EAGAIN", mirror_str(&self->map, "none"));
	EXPECT_EQ(ENODEV, MAP(self->fd, PROT_READ, MAP_SHARED, METASTORE_MAP_STORE));
	exempt = open(DEVICE, O_RDWR | O_EXCL);
	EXPECT_LE(0, exempt);
	fd = create(exempt, (struct metastore_create) {});
	EXPECT_EQ(0, retire("0"));
	EXPECT_STREQ("value", mirror_str(&self->map, "key"));
	EXPECT_EQ(0, mirror_map(fd, &map));
	EXPECT_EQ(0, ms_set(fd, "key", "new", NULL));
	EXPECT_STREQ("new", mirror_str(&map, "key"));
	mirror_unmap(&map);
	close(fd);
	close(exempt);
}

/* Odd headers */

TEST_F(mirror, is_not_taken_for_another_layout)
{
	struct metastore_map_header *header = calloc(1, 1 << 20);
	struct metastore_map map;
	__u64 length = 1 << 20;

	ASSERT_NE(NULL, header);
#define INIT() metastore_map_init(&map, header, length)
	memcpy(header, self->map.base, sizeof(*header));
	header->limit = length;
	EXPECT_EQ(0, INIT());
	header->layout++;
	EXPECT_EQ(-1, INIT());
	header->layout--;
	header->magic++;
	EXPECT_EQ(-1, INIT());
	header->magic--;
	header->buckets = 0;
	EXPECT_EQ(-1, INIT());
	header->buckets = 1 << 20;
	EXPECT_EQ(-1, INIT());
	header->buckets = 1;
	header->limit = length + 1;
	EXPECT_EQ(-1, INIT());
	header->limit = length;
	EXPECT_EQ(0, INIT());
	/* Offsets behind the end, chains in a ring, more slots than there can be */
	header->size = length;
	{
		struct metastore_map_shard *shard = (void *)((char *)header + header->shards * 16);
		struct metastore_map_entry *entry = (void *)((char *)header + 65536);
		unsigned int i;

		shard->geometry = 15ULL << 32 | 16;
		shard->segments[0] = header->shards + 8;
		EXPECT_STREQ("ENOENT", mirror_str(&map, "key"));
		for (i = 0; i < 16; i++)
			shard->slots[i].first = 65536 / 16;
		EXPECT_STREQ("ENOENT", mirror_str(&map, "key"));
		entry->next = 65536 / 16;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		entry->next = length / METASTORE_MAP_GRAIN;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		entry->next = 0;
		entry->meta = METASTORE_MAP_META(metastore_map_hash("key", 3, map.seed), 3, 0);
		memcpy(entry->key, "key", 3);
		/* Free, or not yet in use */
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		entry->version = METASTORE_MAP_BUSY;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		entry->version = METASTORE_MAP_BUSY | 1;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		entry->version = 1;
		EXPECT_STREQ("", mirror_str(&map, "key"));
		for (i = 0; i < 16; i++)
			shard->slots[i].seq = 1;
		EXPECT_STREQ("", mirror_str(&map, "key"));
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "none"));
		shard->segments[0] = length / METASTORE_MAP_GRAIN;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		shard->geometry = ~0ULL;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
		header->size = 0;
		EXPECT_STREQ("EAGAIN", mirror_str(&map, "key"));
	}
	free(header);
}

TEST_HARNESS_MAIN
