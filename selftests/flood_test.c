// SPDX-License-Identifier: GPL-2.0
/*
 * Keys that somebody chose so that they fall into one chain of a table, which becomes a
 * tree: all operations are exact while it does, while slots share it, and while it goes
 * again. Neither values nor cursors know of it.
 *
 * module: buckets=16 queue_len=65536 queue_bytes=16777216
 */
#include "crew.h"
#include "flood.h"

#define BUCKETS		16

/* Of a chain; see module/table.h */
#define CHAIN_MAX	16

/* The seed, which all tests share: finding it takes a moment */
static struct {
	bool found;
	uint32_t seed;
} *known;

__attribute__((constructor)) static void share(void)
{
	known = ms_shared(sizeof(*known));
}

/* A key, and what there is of it */
struct key {
	__u8 bytes[FLOOD_KEY_LEN];
	__u32 len;
	__u32 hash;
	__u64 version;		/* 0: it is not there */
};

/* How many keys there are of each kind */
#define SAME		150	/* of one hash, of each of two lengths */
#define SLOT		150	/* of other hashes, in one slot until that is split often */
#define NEAR		300	/* anywhere in the same bucket */
#define FAR		50	/* anywhere */
#define NR		(2 * SAME + SLOT + NEAR + FAR)

/* The hash of those of one, and bits in which those of one slot differ from it */
#define HASH		0x5a5a5a5a
#define SLOT_BITS	0x0ff00000
#define BUCKET_BITS	0xf0000000

FIXTURE(flood)
{
	int fd;
	__u32 seed;
	struct key keys[NR];	/* in the store's order */
	char buf[64 * 1024];
};

static __u32 reversed(__u32 hash)
{
	__u32 bits = 0;
	int i;

	for (i = 0; i < 32; i++)
		bits |= (hash >> i & 1) << (31 - i);
	return bits;
}

static int compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	__u32 bucket = flood_bucket(x->hash, BUCKETS), other = flood_bucket(y->hash, BUCKETS);

	if (bucket != other)
		return bucket < other ? -1 : 1;
	if (x->hash != y->hash)
		return reversed(x->hash) < reversed(y->hash) ? -1 : 1;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->bytes, y->bytes, x->len);
}

static void make_key(struct key *key, __u32 len, __u32 seed, __u32 hash, __u32 number)
{
	*key = (struct key) { .len = len, .hash = hash };
	flood_key(key->bytes, len, seed, hash, number);
}

static __u32 random_bits(void)
{
	return (__u32)rand() ^ (__u32)rand() << 16;
}

static void make_keys(struct key *keys, __u32 seed)
{
	struct key *key = keys;
	__u32 i = 0;

	for (; i < SAME; i++) {
		make_key(key++, FLOOD_KEY_LEN, seed, HASH, i);
		make_key(key++, FLOOD_SHORT_LEN, seed, HASH, i);
	}
	for (; i < SAME + SLOT; i++)
		make_key(key++, FLOOD_KEY_LEN, seed, HASH ^ (random_bits() & SLOT_BITS), i);
	for (; i < SAME + SLOT + NEAR; i++)
		make_key(key++, FLOOD_KEY_LEN, seed,
			 (HASH & BUCKET_BITS) | (random_bits() & ~BUCKET_BITS), i);
	for (; i < NR - SAME; i++)
		make_key(key++, FLOOD_SHORT_LEN, seed, random_bits(), i);
	qsort(keys, NR, sizeof(*keys), compare);
}

FIXTURE_SETUP(flood)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	if (!known->found)
		known->found = flood_find_seed(self->fd, &known->seed);
	ASSERT_TRUE(known->found);
	self->seed = known->seed;
	make_keys(self->keys, self->seed);
}

FIXTURE_TEARDOWN(flood)
{
	close(self->fd);
}

static int set_key(int fd, struct key *key)
{
	return ms_setn(fd, key->bytes, key->len, key->bytes, key->len, &key->version);
}

static int delete_key(int fd, struct key *key)
{
	key->version = 0;
	return ms_deleten(fd, key->bytes, key->len, NULL);
}

/* Does a GET say what is known of a key? */
static bool is_right(int fd, const struct key *key)
{
	__u8 value[FLOOD_KEY_LEN];
	__u64 version;
	int ret = ms_getn(fd, key->bytes, key->len, value, sizeof(value), &version);

	if (!key->version)
		return ret == -ENOENT;
	return ret == (int)key->len && version == key->version &&
	       !memcmp(value, key->bytes, key->len);
}

static int count_wrong(int fd, const struct key *keys)
{
	int i, wrong = 0;

	for (i = 0; i < NR; i++)
		wrong += !is_right(fd, &keys[i]);
	return wrong;
}

static bool has_prefix(const struct key *key, const char *prefix, __u32 len)
{
	return key->len >= len && !memcmp(key->bytes, prefix, len);
}

/* The number of the next key from @i on that is there and begins so, or NR */
static int next_there(const struct key *keys, int i, const char *prefix, __u32 len)
{
	while (i < NR && (!keys[i].version || !has_prefix(&keys[i], prefix, len)))
		i++;
	return i;
}

/*
 * Lists all keys with a prefix, in pieces of a buffer of so many bytes. Returns 0 if
 * these are the keys that are there, in the store's order.
 */
static int list_all(struct _test_data_flood *self, const char *prefix, __u32 prefix_len,
		    __u32 size)
{
	const struct metastore_list_entry *entry;
	const struct key *last = NULL;
	struct metastore_list arg;
	int i = 0, ret;
	__u32 pos;

	do {
		arg = (struct metastore_list) {
			.cursor = ms_ptr(last ? last->bytes : NULL),
			.prefix = ms_ptr(prefix),
			.buffer = ms_ptr(self->buf),
			.cursor_len = last ? last->len : 0,
			.prefix_len = prefix_len,
			.buffer_len = size,
			.bucket = METASTORE_ANY_BUCKET,
		};
		ret = ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg);
		if (ret)
			return ret;
		for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
			entry = (void *)(self->buf + pos);
			i = next_there(self->keys, i, prefix, prefix_len);
			if (i == NR)
				return -E2BIG;
			last = &self->keys[i++];
			if (entry->key_len != last->len || entry->version != last->version ||
			    memcmp((char *)entry + entry->header_len, last->bytes, last->len))
				return -EBADMSG;
		}
	} while (arg.entries);
	return next_there(self->keys, i, prefix, prefix_len) == NR ? 0 : -ENODATA;
}

/* Whether all that the store says of its keys is right */
static bool is_exact(struct _test_data_flood *self)
{
	char prefix[2] = { rand(), rand() };
	int i, there = 0;

	for (i = 0; i < NR; i++)
		there += self->keys[i].version != 0;
	return ms_keys(self->fd) == there && !count_wrong(self->fd, self->keys) &&
	       !list_all(self, NULL, 0, sizeof(self->buf)) &&
	       !list_all(self, NULL, 0, METASTORE_LIST_MIN) &&
	       !list_all(self, prefix, 1, sizeof(self->buf)) &&
	       !list_all(self, prefix, 2, METASTORE_LIST_MIN);
}

/* The other tests build upon this: hashes are as they are computed here */
TEST_F(flood, hashes_are_known)
{
	__u8 key[METASTORE_KEY_MAX];
	__u32 i, len;

	for (i = 0; i < sizeof(key); i++)
		key[i] = rand();
	for (len = 1; len <= sizeof(key); len++)
		EXPECT_EQ(flood_bucket(flood_hash(key, len, self->seed), BUCKETS),
			  (__u32)ms_bucketn(self->fd, key, len));
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(self->keys[i].hash,
			  flood_hash(self->keys[i].bytes, self->keys[i].len, self->seed));
		EXPECT_EQ(flood_bucket(self->keys[i].hash, BUCKETS),
			  (__u32)ms_bucketn(self->fd, self->keys[i].bytes, self->keys[i].len));
	}
}

/* One after the other, up to where the chain is a tree and back */
TEST_F(flood, one_by_one)
{
	int i, n, first = 0, order[3 * CHAIN_MAX];

	while (self->keys[first].hash != HASH)
		first++;
	for (n = 0; n < 3 * CHAIN_MAX; n++) {
		/* Not as they are sorted */
		order[n] = first + n * 7 % (3 * CHAIN_MAX);
		ASSERT_EQ(0, set_key(self->fd, &self->keys[order[n]]));
		ASSERT_TRUE(is_exact(self));
		ASSERT_EQ(0, set_key(self->fd, &self->keys[order[n / 2]]));
		ASSERT_TRUE(is_exact(self));
	}
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, delete_key(self->fd, &self->keys[order[i * 5 % n]]));
		ASSERT_TRUE(is_exact(self));
	}
	EXPECT_EQ(0, ms_keys(self->fd));
}

/* Up to 32 changes at one moment, of which some cannot be */
static int change_at_once(struct _test_data_flood *self, __u32 chance)
{
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	struct key *chosen[METASTORE_ATOMIC_MAX];
	__u32 i, nr = 1 + rand() % METASTORE_ATOMIC_MAX, start = rand() % NR;
	bool create = rand() % 8 == 0, possible = true;
	int ret;

	for (i = 0; i < nr; i++) {
		struct key *key = &self->keys[(start + i) % NR];
		bool set = rand() % 100 < (int)chance;

		chosen[i] = key;
		ops[i] = (struct metastore_op) {
			.op = set ? METASTORE_OP_SET : METASTORE_OP_DELETE,
			.flags = set && create ? METASTORE_F_CREATE : 0,
			.key = ms_ptr(key->bytes),
			.value = set ? ms_ptr(key->bytes) : 0,
			.key_len = key->len,
			.value_len = set ? key->len : 0,
		};
		possible &= set ? !create || !key->version : key->version != 0;
	}
	ret = ms_batch(self->fd, ops, nr, METASTORE_BATCH_ATOMIC, NULL);
	if (ret != (possible ? 0 : -ECANCELED))
		return -EBADMSG;
	for (i = 0; i < nr && possible; i++)
		chosen[i]->version = ops[i].op == METASTORE_OP_SET ? ops[i].version : 0;
	return 0;
}

/* One of the things that can be done to a key; @chance: in percent, that it is stored */
static int change_some(struct _test_data_flood *self, __u32 chance)
{
	struct key *key = &self->keys[rand() % NR];
	bool set = rand() % 100 < (int)chance;

	if (rand() % 16 == 0)
		return change_at_once(self, chance);
	if (set && rand() % 4 == 0)
		return ms_publishn(self->fd, key->bytes, key->len, key->bytes, key->len,
				   &key->version);
	if (set)
		return set_key(self->fd, key);
	return key->version ? delete_key(self->fd, key) : 0;
}

/* All kinds of keys come and go, more or fewer of them: trees, shared ones, none */
TEST_F_TIMEOUT(flood, random, 170)
{
	int run, i, runs = ms_size(60, 2000);
	__u32 chance;

	for (run = 0; run < runs; run++) {
		chance = run % 5 == 4 ? 0 : 10 + rand() % 90;
		for (i = rand() % (2 * NR); i; i--)
			ASSERT_LE(0, change_some(self, chance));
		ASSERT_TRUE(is_exact(self));
	}
	for (i = 0; i < NR; i++)
		if (self->keys[i].version)
			ASSERT_EQ(0, delete_key(self->fd, &self->keys[i]));
	EXPECT_TRUE(is_exact(self));
}

/* Where a key is among all, or -1 */
static int find_key(struct _test_data_flood *self, const void *bytes, __u32 len)
{
	struct key key = { .len = len }, *found;

	if (len > sizeof(key.bytes))
		return -1;
	memcpy(key.bytes, bytes, len);
	key.hash = flood_hash(bytes, len, self->seed);
	found = bsearch(&key, self->keys, NR, sizeof(key), compare);
	return found ? found - self->keys : -1;
}

/* Two thirds of all keys come and go, the others stay */
#define STAYS(i)	((i) % 3 == 0)

static int set_staying(struct _test_data_flood *self)
{
	int i, ret = 0;

	for (i = 0; i < NR && !ret; i++)
		if (STAYS(i))
			ret = set_key(self->fd, &self->keys[i]);
	return ret;
}

static int random_staying(void)
{
	return rand() % ((NR + 2) / 3) * 3;
}

/* The first key behind another one, of which there may be none: -1 */
static int next_listed(struct _test_data_flood *self, int last)
{
	const struct metastore_list_entry *entry = (void *)self->buf;
	struct metastore_list arg = {
		.cursor = ms_ptr(self->keys[last < 0 ? 0 : last].bytes),
		.buffer = ms_ptr(self->buf),
		.cursor_len = last < 0 ? 0 : self->keys[last].len,
		.buffer_len = METASTORE_LIST_MIN,
		.bucket = METASTORE_ANY_BUCKET,
	};
	int ret = ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg);

	if (ret)
		return ret;
	if (!arg.entries)
		return NR;
	return find_key(self, self->buf + entry->header_len, entry->key_len);
}

/* Each key that stays is listed once, in the order that there was before */
static bool lists_staying(struct _test_data_flood *self,
			  void (*meanwhile)(struct key *keys, int fd))
{
	int last = -1, next, i;

	for (;;) {
		next = next_listed(self, last);
		if (next <= last || next > NR)
			return false;
		for (i = last + 1; i < next; i++)
			if (STAYS(i))
				return false;
		if (next == NR)
			return true;
		last = next;
		if (meanwhile)
			meanwhile(self->keys, self->fd);
	}
}

/* All that are to come and go do so, in one direction or the other */
static void change_others(struct key *keys, int fd)
{
	static int direction;
	int i;

	direction = !direction;
	for (i = rand() % 8; i < NR; i += 1 + rand() % 8)
		if (!STAYS(i) && direction == !keys[i].version)
			direction ? set_key(fd, &keys[i]) : delete_key(fd, &keys[i]);
}

/* Between two pieces of a list the chain becomes a tree, is shared and goes again */
TEST_F(flood, cursors_stay)
{
	int run, runs = ms_size(2, 20);

	ASSERT_EQ(0, set_staying(self));
	for (run = 0; run < runs; run++)
		ASSERT_TRUE(lists_staying(self, change_others));
	EXPECT_TRUE(is_exact(self));
}

/* Others' changes, as long as the test goes on */
static void come_and_go(struct _test_data_flood *self)
{
	__u32 chance = 50, n;
	int ret;

	for (n = 0; !crew_done(); n++) {
		int i = rand() % NR;

		if (n % 1000 == 0)
			chance = rand() % 101;
		if (STAYS(i))
			continue;
		if (rand() % 100 < (int)chance) {
			CHECK(!set_key(self->fd, &self->keys[i]));
		} else {
			ret = delete_key(self->fd, &self->keys[i]);
			CHECK(!ret || ret == -ENOENT);
		}
	}
	_exit(0);
}

/* Two of them, and one that replaces what stays */
static void start_changes(struct _test_data_flood *self)
{
	int i;

	for (i = 0; i < 2; i++)
		if (crew_child())
			come_and_go(self);
	if (crew_child()) {
		while (!crew_done())
			CHECK(!set_key(self->fd, &self->keys[random_staying()]));
		_exit(0);
	}
}

/* A look-up or a list that meets a rotation, a cut or a new tree misses nothing */
TEST_F_TIMEOUT(flood, found_while_it_changes, 170)
{
	__u32 n, times = ms_size(30000, 3000000);
	__u8 value[FLOOD_KEY_LEN];
	struct key missing;

	make_key(&missing, FLOOD_KEY_LEN, self->seed, HASH, NR);
	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, set_staying(self));
	start_changes(self);
	if (crew_child()) {
		for (n = 0; n < times; n++) {
			struct key *key = &self->keys[random_staying()];

			CHECK(ms_getn(self->fd, key->bytes, key->len, value, sizeof(value),
				      NULL) == (int)key->len);
			CHECK(!memcmp(value, key->bytes, key->len));
			CHECK(is_right(self->fd, &missing));
		}
		_exit(0);
	}
	if (crew_child()) {
		for (n = 0; n < 1 + times / 5000; n++)
			CHECK(lists_staying(self, NULL));
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(3, 5));
	crew_finish();
	EXPECT_TRUE(crew_join(0, 3));
	EXPECT_STREQ("", crew.board->error);
}

/* Keys of another hash, in another bucket; the first CHAIN_MAX are a chain by themselves */
#define OTHER_HASH	0xa5a5a5a5
#define OTHERS		40

/* Are those that are a chain all listed? */
static bool lists_chain(struct _test_data_flood *self, const struct key *keys)
{
	struct metastore_list arg = {
		.buffer = ms_ptr(self->buf),
		.buffer_len = sizeof(self->buf),
		.bucket = flood_bucket(OTHER_HASH, BUCKETS),
	};
	const struct metastore_list_entry *entry;
	int i, found = 0;
	__u32 pos;

	CHECK(!ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
		entry = (void *)(self->buf + pos);
		for (i = 0; i < CHAIN_MAX; i++)
			found += !memcmp((char *)entry + entry->header_len, keys[i].bytes,
					 keys[i].len);
	}
	return found == CHAIN_MAX;
}

/* A chain becomes a tree, that goes, and so on; an odd count says that the chain is there */
static void breathe(int fd, struct key *keys, __u32 times)
{
	__u64 *count = &crew.board->counts[0];
	int i;

	for (; times; times--) {
		for (i = 0; i < CHAIN_MAX; i++)
			CHECK(!set_key(fd, &keys[i]));
		__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
		for (; i < OTHERS; i++)
			CHECK(!set_key(fd, &keys[i]));
		for (i--; i >= CHAIN_MAX; i--)
			CHECK(!delete_key(fd, &keys[i]));
		__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
		for (; i >= 0; i--)
			CHECK(!delete_key(fd, &keys[i]));
	}
}

/* Readers that are on a chain just when it becomes a tree miss nothing of it */
TEST_F_TIMEOUT(flood, found_while_it_becomes_a_tree, 170)
{
	__u32 times = ms_size(2000, 100000);
	__u8 value[FLOOD_KEY_LEN];
	struct key keys[OTHERS];
	int i, n;

	for (i = 0; i < OTHERS; i++)
		make_key(&keys[i], FLOOD_KEY_LEN, self->seed, OTHER_HASH, i);
	ASSERT_TRUE(crew_init());
	for (n = 0; n < 2; n++) {
		if (!crew_child())
			continue;
		for (i = 0; !crew_done(); i = (i + 1) % CHAIN_MAX) {
			__u64 count = __atomic_load_n(&crew.board->counts[0], __ATOMIC_SEQ_CST);
			bool found = n ? lists_chain(self, keys) :
				     ms_getn(self->fd, keys[i].bytes, keys[i].len, value,
					     sizeof(value), NULL) == (int)keys[i].len;

			CHECK(found || !(count % 2) ||
			      count != __atomic_load_n(&crew.board->counts[0], __ATOMIC_SEQ_CST));
		}
		_exit(0);
	}
	if (crew_child()) {
		breathe(self->fd, keys, times);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(2, 3));
	crew_finish();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(0, ms_keys(self->fd));
}

/* Applies what waits to what is known. Returns 0, or -EAGAIN: there is no more. */
static int follow(struct _test_data_flood *self, struct ms_reader *r, int *ends)
{
	const struct metastore_event *ev = ms_next(r);
	int i;

	if (!ev)
		return -errno;
	if (ev->type == METASTORE_EVENT_SNAPSHOT_END) {
		++*ends;
		return 0;
	}
	i = find_key(self, ms_event_key(ev), ev->key_len);
	if (i < 0 || ev->type == METASTORE_EVENT_LOST)
		return -EBADMSG;
	/* A key is shown before its events, and there is none that is older */
	if (ev->version <= self->keys[i].version ||
	    (ev->type == METASTORE_EVENT_SNAPSHOT && (*ends || self->keys[i].version)))
		return -EPROTO;
	self->keys[i].version = ev->type == METASTORE_EVENT_DELETED ? 0 : ev->version;
	return 0;
}

/* A reader that follows from a snapshot on knows in the end what there is */
TEST_F_TIMEOUT(flood, snapshot_while_it_changes, 170)
{
	int run, runs = ms_size(10, 300), i, fd, ends, ret;
	struct ms_reader r;

	for (run = 0; run < runs; run++) {
		ASSERT_TRUE(crew_init());
		ASSERT_EQ(0, ms_reset(self->fd));
		ASSERT_EQ(0, set_staying(self));
		start_changes(self);
		crew_start();
		for (i = 0; i < NR; i++)
			self->keys[i].version = 0;
		fd = ms_open(O_RDONLY | O_NONBLOCK);
		r = ms_reader(fd, 4096);
		ASSERT_EQ(0, ms_subscribe_as(fd, "", .events = EVENTS_ALL,
					     .flags = METASTORE_SUBSCRIBE_SNAPSHOT |
						      METASTORE_SUBSCRIBE_PREFIX));
		ends = 0;
		i = 0;
		do {
			ret = follow(self, &r, &ends);
			if (i++ > NR && ends)
				crew_finish();
		} while (!ret || (ret == -EAGAIN && !crew_done()));
		ASSERT_EQ(-EAGAIN, ret);
		ASSERT_TRUE(crew_join(0, 3));
		while (!(ret = follow(self, &r, &ends)))
			;
		ASSERT_EQ(-EAGAIN, ret);
		ASSERT_STREQ("", crew.board->error);
		EXPECT_EQ(1, ends);
		ASSERT_TRUE(is_exact(self));
		close(fd);
		free(r.buf);
	}
}

/* Keys with subscriptions have a table too, of the same kind */
TEST_F(flood, subscriptions)
{
	int fds[2], i, n, have[2][NR] = {}, total = 0, run, runs = ms_size(8, 100);
	struct metastore_info info;
	struct metastore_flush arg;

	for (i = 0; i < 2; i++)
		fds[i] = ms_open(O_RDWR | O_NONBLOCK);
	for (run = 0; run < runs; run++) {
		__u32 chance = rand() % 101;

		for (n = 0; n < NR; n++) {
			int file = rand() % 2, *has;

			i = rand() % NR;
			has = &have[file][i];
			if (rand() % 100 < (int)chance) {
				ASSERT_EQ(*has ? -EEXIST : 0,
					  ms_subscriben(fds[file], self->keys[i].bytes,
							self->keys[i].len, EVENTS_ALL, i));
				total += !*has;
				*has = 1;
			} else {
				ASSERT_EQ(*has ? 0 : -ENOENT,
					  ms_unsubscriben(fds[file], self->keys[i].bytes,
							  self->keys[i].len));
				total -= *has;
				*has = 0;
			}
		}
		ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
		ASSERT_EQ(total, info.subscriptions);
		for (i = 0; i < NR; i++)
			ASSERT_EQ(have[0][i] + have[1][i],
				  ms_publishn(self->fd, self->keys[i].bytes, self->keys[i].len,
					      "v", 1, NULL));
	}
	/* Those of a file end with it, the rest with a flush */
	for (i = 0; i < NR; i++)
		total -= have[0][i];
	close(fds[0]);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(total, info.subscriptions);
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &arg));
	EXPECT_EQ(total, arg.subscriptions);
	EXPECT_EQ(NR, arg.values);
	close(fds[1]);
}

/* Values that go by themselves, of which the owner's close takes all that it has */
TEST_F(flood, owners_and_ends)
{
	int owner = ms_open(O_RDWR), i;
	struct metastore_set arg;
	__u64 end;

	for (i = 0; i < NR; i++) {
		arg = (struct metastore_set) {
			.key = ms_ptr(self->keys[i].bytes),
			.key_len = self->keys[i].len,
			.value = ms_ptr(self->keys[i].bytes),
			.value_len = self->keys[i].len,
			.flags = i % 3 == 1 ? METASTORE_F_OWNED : 0,
			.ttl = i % 3 == 2 ? 500 : 0,
		};
		ASSERT_EQ(0, ms_ioctl(owner, METASTORE_IOC_SET, &arg));
		self->keys[i].version = arg.version;
	}
	end = ms_now(CLOCK_BOOTTIME) + SECOND / 2;
	close(owner);
	ms_wait_until(end);
	for (i = 0; i < NR; i++)
		if (!STAYS(i))
			self->keys[i].version = 0;
	EXPECT_EQ(0, count_wrong(self->fd, self->keys));
	EXPECT_EQ(0, list_all(self, NULL, 0, sizeof(self->buf)));
	/* The timer comes some milliseconds later */
	for (i = 0; i < 100 && ms_keys(self->fd) != (NR + 2) / 3; i++)
		ms_sleep(ms_limit(SECOND / 20));
	EXPECT_TRUE(is_exact(self));
}

/* As many as there may be: a million with FULL=1 */
TEST_F_TIMEOUT(flood, many, 170)
{
	__u32 i, nr = ms_size(30000, 1000000);
	struct metastore_flush arg;
	struct key key, other;

	/* Half of them have one hash, the others are in one slot */
	for (i = 0; i < nr; i++) {
		make_key(&key, FLOOD_KEY_LEN, self->seed,
			 i % 2 ? HASH : HASH ^ (i << 20 & SLOT_BITS), i);
		ASSERT_EQ(0, set_key(self->fd, &key));
	}
	EXPECT_EQ((int)nr, ms_keys(self->fd));
	for (i = 0; i < nr; i += 1 + nr / 10000) {
		make_key(&key, FLOOD_KEY_LEN, self->seed,
			 i % 2 ? HASH : HASH ^ (i << 20 & SLOT_BITS), i);
		make_key(&other, FLOOD_KEY_LEN, self->seed, HASH, nr + i);
		ASSERT_EQ(FLOOD_KEY_LEN, ms_getn(self->fd, key.bytes, key.len, self->buf,
						 sizeof(self->buf), NULL));
		ASSERT_TRUE(is_right(self->fd, &other));
	}
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(nr, arg.values);
	EXPECT_TRUE(is_exact(self));
}

/* All in one transaction, which makes them a chain even if that is longer than others */
static int set_at_once(int fd, struct key *keys, int nr)
{
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	int i, ret;

	for (i = 0; i < nr; i++)
		ops[i] = (struct metastore_op) {
			.op = METASTORE_OP_SET,
			.key = ms_ptr(keys[i].bytes),
			.value = ms_ptr(keys[i].bytes),
			.key_len = keys[i].len,
			.value_len = keys[i].len,
		};
	ret = ms_batch(fd, ops, nr, METASTORE_BATCH_ATOMIC, NULL);
	for (i = 0; i < nr; i++)
		keys[i].version = ops[i].version;
	return ret;
}

/* Those with a prefix are listed wherever in a long chain they are */
TEST_F(flood, rare_prefix_in_a_long_chain)
{
	struct key *first = self->keys;
	int i;

	while (first->hash != HASH)
		first++;
	ASSERT_EQ(0, set_at_once(self->fd, first, METASTORE_ATOMIC_MAX));
	for (i = 0; i < METASTORE_ATOMIC_MAX; i++)
		ASSERT_EQ(0, list_all(self, (char *)first[i].bytes, 4, METASTORE_LIST_MIN));
	EXPECT_EQ(0, list_all(self, "none", 4, METASTORE_LIST_MIN));
	EXPECT_TRUE(is_exact(self));
}

/* Each so many of the tests' keys are those that are searched for */
#define RARE	200

/* And in one bucket of very many, some in trees and some in chains */
TEST_F_TIMEOUT(flood, rare_prefix_of_many, 170)
{
	__u32 i, nr = ms_size(100000, 1000000), rare;
	struct key key;

	for (i = 0; i < nr; i++) {
		make_key(&key, FLOOD_KEY_LEN, self->seed,
			 i % 2 ? HASH : (HASH & BUCKET_BITS) | (random_bits() & ~BUCKET_BITS),
			 NR + i);
		/* The tests' own keys are to be the only ones with their prefixes. */
		rare = 0;
		while (rare < NR && memcmp(key.bytes, self->keys[rare].bytes, 4))
			rare += RARE;
		if (rare >= NR)
			ASSERT_EQ(0, set_key(self->fd, &key));
	}
	for (i = 0; i < NR; i += RARE)
		ASSERT_EQ(0, set_key(self->fd, &self->keys[i]));
	for (i = 0; i < NR; i += RARE)
		ASSERT_EQ(0, list_all(self, (char *)self->keys[i].bytes, 4, METASTORE_LIST_MIN));
	EXPECT_EQ(0, ms_reset(self->fd));
}

TEST_HARNESS_MAIN
