// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of a mapped store beside writers that resize values, add and remove keys and let the
 * index grow. A reader checks every byte: no value is torn, none older than one it has seen,
 * by either way, and no key that exists is missed. FULL=1: 100 million reads.
 */
#include "mirror.h"

#define HOT	48		/* keys that always exist, whose values change in length */
#define GHOSTS	16		/* keys that come and go */
#define READERS	2
#define WRITERS	2

/* Of a ghost: odd while a call changes it; bit 1 says whether it exists. */
#define GHOST_EXISTS	2

struct shared {
	__u32 ghosts[GHOSTS];
	__u32 stop;
	__u64 reads[READERS];
	__u64 asked[READERS];
	__u64 writes[WRITERS];
	int line[READERS + WRITERS];	/* what somebody did not like */
	long what[READERS + WRITERS];
};

#define CHECK(condition, value) \
	do { \
		if (!(condition)) { \
			shared->line[me] = __LINE__; \
			shared->what[me] = (value); \
			__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE); \
			_exit(1); \
		} \
	} while (0)

static struct shared *shared;
static int me;

/* A generator of each process */
static __u32 random_state;

static __u32 draw(__u32 below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (__u64)(random_state >> 8) * below >> 24;
}

static void begin_as(int number)
{
	me = number;
	random_state = number * 12345 + 1;
}

static bool stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE);
}

/*
 * Returns the length of a value. Every third key has but two lengths, between which it changes
 * in its place: both are of one class of entries.
 */
static __u32 value_len(__u32 key, __u64 count)
{
	if (key % 3 == 0)
		return count % 2 ? 50 : 70;
	return 8 + count * 2654435761U % 433;
}

/* The value tells all its bytes: a count, and behind that what follows from it and the key. */
static void make_value(unsigned char *value, __u32 key, __u64 count)
{
	__u32 i, len = value_len(key, count);

	memcpy(value, &count, 8);
	for (i = 8; i < len; i++)
		value[i] = (unsigned char)(count * 31 + key * 7 + i);
}

/* Returns the count, or 0 if the value is torn. */
static __u64 check_value(const unsigned char *value, int len, __u32 key)
{
	__u64 count;
	int i;

	if (len < 8)
		return 0;
	memcpy(&count, value, 8);
	if (!count || (int)value_len(key, count) != len)
		return 0;
	for (i = 8; i < len; i++)
		if (value[i] != (unsigned char)(count * 31 + key * 7 + i))
			return 0;
	return count;
}

static int name_key(char *name, const char *kind, __u32 key)
{
	return sprintf(name, "%s-%u", kind, key);
}

/* State of a reader for a hot key */
struct known {
	char name[16];
	int len;
	__u32 hash;
	__u64 version;
	__u64 count;
	struct metastore_map_found found;
};

/* One value, by one way or the other, of a key that exists */
static void read_hot(int fd, const struct metastore_map *map, struct known *known, __u32 key)
{
	unsigned char buf[512];
	__u64 version = 0, count;
	int ret, len = -1;

	switch (draw(64)) {
	case 0:
		ret = METASTORE_MAP_ASK;
		break;
	case 1 ... 20:
		ret = metastore_map_get_at(map, known->hash, known->name, known->len, buf,
					   sizeof(buf), &known->found);
		break;
	default:
		ret = metastore_map_get(map, known->name, known->len, buf, sizeof(buf),
					&known->found);
	}
	if (ret == METASTORE_MAP_ASK) {
		len = ms_getn(fd, known->name, known->len, buf, sizeof(buf), &version);
		shared->asked[me]++;
	} else {
		CHECK(ret == METASTORE_MAP_FOUND, ret);
		len = known->found.value_len;
		version = known->found.version;
	}
	CHECK(len >= 8, len);
	count = check_value(buf, len, key);
	CHECK(count, key);
	CHECK(version >= known->version, key);
	CHECK((version == known->version) == (count == known->count), key);
	CHECK(count >= known->count, key);
	known->version = version;
	known->count = count;
}

/* A key that comes and goes is what it is while nobody changes it. */
static void read_ghost(const struct metastore_map *map, __u32 key)
{
	__u32 before = __atomic_load_n(&shared->ghosts[key], __ATOMIC_ACQUIRE), after;
	struct metastore_map_found found;
	unsigned char buf[512];
	char name[16];
	int len = name_key(name, "ghost", key), ret;

	ret = metastore_map_get(map, name, len, buf, sizeof(buf), &found);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	after = __atomic_load_n(&shared->ghosts[key], __ATOMIC_ACQUIRE);
	if (ret == METASTORE_MAP_FOUND)
		CHECK(check_value(buf, found.value_len, key), key);
	if (before & 1 || before != after || ret == METASTORE_MAP_ASK)
		return;
	CHECK(ret == (before & GHOST_EXISTS ? METASTORE_MAP_FOUND : METASTORE_MAP_MISS), ret);
}

static void reader(int fd, const struct metastore_map *map, __u64 reads)
{
	static struct known known[HOT];
	__u32 i;

	for (i = 0; i < HOT; i++) {
		known[i].len = name_key(known[i].name, "hot", i);
		known[i].hash = metastore_map_hash(known[i].name, known[i].len, map->seed);
	}
	while (shared->reads[me] < reads && !stopped()) {
		for (i = 0; i < 64; i++, shared->reads[me]++) {
			__u32 key = draw(HOT + GHOSTS);

			if (key < HOT)
				read_hot(fd, map, &known[key], key);
			else
				read_ghost(map, key - HOT);
		}
	}
	_exit(0);
}

/* One change, some times by an atomic batch, which fills and clears entries without a lock */
static int change(int fd, __u32 op, const char *name, int len, const void *value, __u32 size)
{
	struct metastore_op args = {
		.op = op,
		.key = ms_ptr(name),
		.key_len = len,
		.value = ms_ptr(value),
		.value_len = size,
	};
	__u32 failed;

	if (!draw(3))
		return ms_batch(fd, &args, 1, METASTORE_BATCH_ATOMIC, &failed);
	return op == METASTORE_OP_SET ? ms_setn(fd, name, len, value, size, NULL) :
					ms_deleten(fd, name, len, NULL);
}

static void write_hot(int fd, __u32 key, __u64 count)
{
	unsigned char value[512];
	char name[16];
	int len = name_key(name, "hot", key), ret;

	make_value(value, key, count);
	ret = change(fd, METASTORE_OP_SET, name, len, value, value_len(key, count));
	CHECK(!ret, ret);
}

static void write_ghost(int fd, __u32 key, __u64 count)
{
	unsigned char value[512];
	char name[16];
	int len = name_key(name, "ghost", key), ret;
	__u32 state = shared->ghosts[key];

	__atomic_store_n(&shared->ghosts[key], state + 1, __ATOMIC_SEQ_CST);
	if (state & GHOST_EXISTS) {
		ret = change(fd, METASTORE_OP_DELETE, name, len, NULL, 0);
	} else {
		make_value(value, key, count);
		ret = change(fd, METASTORE_OP_SET, name, len, value, value_len(key, count));
	}
	CHECK(!ret, ret);
	__atomic_store_n(&shared->ghosts[key], state + 2, __ATOMIC_SEQ_CST);
}

/* Each writer has keys of its own, so that it knows what they are. */
static void writer(int fd, __u32 number)
{
	__u64 count = 1;
	__u32 crowd = 0;
	char name[24];

	while (!stopped()) {
		__u32 key = draw(HOT / WRITERS) * WRITERS + number;

		write_hot(fd, key, ++count);
		if (!draw(3))
			write_ghost(fd, draw(GHOSTS / WRITERS) * WRITERS + number, ++count);
		/* A crowd lets the index grow, goes, and comes again. */
		sprintf(name, "crowd-%u-%u", number, crowd % 4096);
		if (crowd++ / 4096 % 2)
			ms_deleten(fd, name, strlen(name), NULL);
		else
			ms_setn(fd, name, strlen(name), &count, 8, NULL);
		shared->writes[number]++;
	}
	_exit(0);
}

FIXTURE(mirror_stress)
{
	int device;
	int fd;
	struct metastore_map map;
};

FIXTURE_SETUP(mirror_stress)
{
	__u32 i;

	self->device = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->device);
	self->fd = ms_create(self->device, O_RDWR | O_NONBLOCK, (struct metastore_create) {
		.flags = METASTORE_CREATE_MAPPED, .buckets = 2,
	});
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, mirror_map(self->fd, &self->map));
	shared = ms_shared(sizeof(*shared));
	for (i = 0; i < HOT; i++)
		write_hot(self->fd, i, 1);
}

FIXTURE_TEARDOWN(mirror_stress)
{
	mirror_unmap(&self->map);
	close(self->fd);
	close(self->device);
}

TEST_F_TIMEOUT(mirror_stress, readers_see_whole_and_current_values, 120)
{
	__u64 reads = ms_size(1000000, 50000000), total = 0, asked = 0;
	pid_t readers[READERS], writers[WRITERS];
	int i;

	for (i = 0; i < WRITERS; i++) {
		writers[i] = ms_fork();
		if (!writers[i]) {
			begin_as(READERS + i);
			writer(self->fd, i);
		}
	}
	for (i = 0; i < READERS; i++) {
		readers[i] = ms_fork();
		if (!readers[i]) {
			begin_as(i);
			reader(self->fd, &self->map, reads);
		}
	}
	for (i = 0; i < READERS; i++) {
		EXPECT_EQ(0, ms_join(readers[i]));
		total += shared->reads[i];
		asked += shared->asked[i];
	}
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < WRITERS; i++)
		EXPECT_EQ(0, ms_join(writers[i]));
	for (i = 0; i < READERS + WRITERS; i++) {
		long what = shared->what[i];

		EXPECT_EQ(0, shared->line[i]) {
			TH_LOG("it was %ld", what);
		}
	}
	EXPECT_LE(READERS * reads, total);
	/* It is the mapping that is tested. */
	EXPECT_LT(asked, total / 10);
	EXPECT_LT(100, shared->writes[0]);
	TH_LOG("%llu reads, %llu of them by ioctl, %llu rounds of writers", total, asked,
	       shared->writes[0] + shared->writes[1]);
}

TEST_HARNESS_MAIN
