// SPDX-License-Identifier: GPL-2.0
/* Many processes at once: order, complete values, and books that balance */
#include <sys/resource.h>

#include "crew.h"

#define KEYS		8
#define PUBLISHERS	4
#define SUBSCRIBERS	6
#define FIRSTS		300

/* What all processes of a test share */
struct shared {
	__u64 made[PUBLISHERS][KEYS];		/* events */
	__u64 queues[PUBLISHERS];		/* sum of what PUBLISH returned */
	struct ms_books books[SUBSCRIBERS][KEYS];
};

FIXTURE(stress)
{
	int fd;
	struct shared *shared;
};

FIXTURE_SETUP(stress)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->shared = ms_shared(sizeof(*self->shared));
	ASSERT_TRUE(!!self->shared);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(stress)
{
	close(self->fd);
}

/*
 * A value tells who wrote it and how long it must be, and each byte of it is
 * checked.
 */
struct stamp {
	__u32 writer;
	__u32 number;
	__u32 len;
};

#define VALUE_MAX	9000

static void make_value(char *value, __u32 writer, __u32 number, __u32 len)
{
	struct stamp stamp = { writer, number, len };

	memset(value, writer * 31 + number, len);
	memcpy(value, &stamp, sizeof(stamp));
}

static bool value_is_whole(const char *value, __u32 len, struct stamp *stamp)
{
	char fill;

	if (len < sizeof(*stamp))
		return false;
	memcpy(stamp, value, sizeof(*stamp));
	fill = stamp->writer * 31 + stamp->number;
	value += sizeof(*stamp);
	len -= sizeof(*stamp);
	return stamp->len == len + sizeof(*stamp) &&
	       (!len || (*value == fill && !memcmp(value, value + 1, len - 1)));
}

static __u32 random_len(void)
{
	/* Mostly small, sometimes above a page */
	return sizeof(struct stamp) + rand() % (rand() % 8 ? 200 : VALUE_MAX - 100);
}

static void key_name(char *key, __u32 number)
{
	snprintf(key, 16, "stress.%u", number);
}

/* Two publishers, one key: the same order for all, and the last is what is stored */
TEST_F(stress, order_of_two_publishers)
{
	struct shared *shared = self->shared;
	struct ms_books total;
	__u32 i, n, times = ms_times(2000), last[2];
	struct stamp stamp;
	__u64 stored;
	char value[64];

	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			make_value(value, i, n, 40);
			CHECK(ms_publishn(self->fd, "k", 1, value, 40, NULL) == 3);
		}
		_exit(0);
	}
	for (i = 0; i < 3; i++) {
		int fd = ms_open(O_RDONLY | O_NONBLOCK);
		const struct metastore_event *ev;
		struct ms_books *books = &shared->books[i][0];
		struct ms_reader r = ms_reader(fd, 4096);
		bool last_round;

		ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
		if (!crew_child())
			continue;
		last[0] = 0;
		last[1] = 0;
		do {
			last_round = crew_done();
			while ((ev = ms_next(&r))) {
				if (ev->type == METASTORE_EVENT_LOST) {
					books->lost += ev->count;
					continue;
				}
				CHECK(value_is_whole(ms_event_value(ev), ev->value_len, &stamp));
				CHECK(ev->version > books->last);
				CHECK(stamp.number >= last[stamp.writer]);
				last[stamp.writer] = stamp.number + 1;
				books->last = ev->version;
				books->received++;
			}
			CHECK(errno == EAGAIN);
			ms_poll(fd, 10);
		} while (!last_round);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 2));
	stored = ms_version(self->fd, "k");
	crew_finish();
	EXPECT_TRUE(crew_join(2, 5));
	EXPECT_STREQ("", crew.board->error);
	for (i = 0; i < 3; i++) {
		total = shared->books[i][0];
		EXPECT_EQ(stored, total.last);
		EXPECT_EQ(2 * times, total.received + total.lost);
	}
}

/* The same with everything that changes a key */
TEST_F(stress, order_of_all_changes)
{
	struct shared *shared = self->shared;
	struct ms_reader r = ms_reader(self->fd, MS_READER_SIZE);
	struct ms_books books = {};
	__u32 i, n, made = 0, times = ms_times(1500);
	__u64 last;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	for (i = 0; i < 3; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			__u64 version;
			int ret;

			switch (rand() % 3) {
			case 0:
				ret = ms_set(self->fd, "k", "v", &version);
				break;
			case 1:
				ret = ms_publish(self->fd, "k", "v", &version);
				CHECK(ret == 1);
				ret = 0;
				break;
			default:
				ret = ms_delete(self->fd, "k", &version);
				CHECK(!ret || ret == -ENOENT);
			}
			shared->made[i][0] += !ret;
		}
		_exit(0);
	}
	crew_start();
	while (waitpid(crew.pids[0], NULL, WNOHANG) == 0)
		ASSERT_EQ(0, ms_drain(&r, &books));
	EXPECT_TRUE(crew_join(1, 3));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_drain(&r, &books));
	for (i = 0; i < 3; i++)
		made += shared->made[i][0];
	EXPECT_EQ(made, books.received + books.lost);
	EXPECT_EQ(0, books.disorder);
	/* A value of a known version last of all, so that the last event is its */
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", &last));
	EXPECT_LT(books.last, last);
	ASSERT_EQ(0, ms_drain(&r, &books));
	EXPECT_EQ(last, books.last);
}

/* Who reads how: at once, at leisure, a record at a time, not before the end */
static void read_as(struct shared *shared, int fd, int nr)
{
	struct ms_reader r = ms_reader(fd, nr % 3 == 1 ? 10000 : MS_READER_SIZE);
	struct ms_books *books = shared->books[nr];
	const struct metastore_event *ev;
	__u64 last[KEYS] = {};
	struct stamp stamp;
	char key[16];
	bool last_round;

	do {
		last_round = crew_done();
		if (nr == 0 && !last_round) {
			ms_sleep(SECOND / 100);
			continue;
		}
		while ((ev = ms_next(&r))) {
			CHECK(ev->cookie < KEYS);
			if (ev->type == METASTORE_EVENT_LOST) {
				books[ev->cookie].lost += ev->count;
				continue;
			}
			key_name(key, ev->cookie);
			CHECK(ev->key_len == strlen(key) &&
			      !memcmp(key, ms_event_key(ev), ev->key_len));
			CHECK(value_is_whole(ms_event_value(ev), ev->value_len, &stamp));
			CHECK(ev->version > last[ev->cookie]);
			last[ev->cookie] = ev->version;
			books[ev->cookie].received++;
			if (nr == 1 || nr == 2)
				ms_sleep(SECOND / 2000);
		}
		CHECK(errno == EAGAIN);
		ms_poll(fd, 10);
	} while (!last_round);
	_exit(0);
}

TEST_F(stress, books_balance)
{
	struct shared *shared = self->shared;
	__u64 made[KEYS] = {}, queues = 0, want = 0, lost = 0;
	/* Enough of them for a queue to overflow */
	__u32 s, p, k, n, len, times = 400 + ms_times(800);
	char key[16], value[VALUE_MAX];
	__u32 subscribers[KEYS] = {};

	for (s = 0; s < SUBSCRIBERS; s++) {
		int fd = ms_open(O_RDONLY | O_NONBLOCK);

		for (k = 0; k < KEYS; k++) {
			/* Not each to all: the sum of queues must follow */
			if ((s + k) % 4 == 3)
				continue;
			key_name(key, k);
			ASSERT_EQ(0, ms_subscribe(fd, key, 0, k));
			subscribers[k]++;
		}
		if (crew_child())
			read_as(shared, fd, s);
		close(fd);
	}
	for (p = 0; p < PUBLISHERS; p++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			int ret;

			k = rand() % KEYS;
			key_name(key, k);
			len = random_len();
			make_value(value, p, n, len);
			ret = ms_publishn(self->fd, key, strlen(key), value, len, NULL);
			CHECK(ret > 0);
			shared->queues[p] += ret;
			shared->made[p][k]++;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(SUBSCRIBERS, SUBSCRIBERS + PUBLISHERS));
	crew_finish();
	EXPECT_TRUE(crew_join(0, SUBSCRIBERS));
	EXPECT_STREQ("", crew.board->error);

	for (p = 0; p < PUBLISHERS; p++) {
		queues += shared->queues[p];
		for (k = 0; k < KEYS; k++) {
			made[k] += shared->made[p][k];
			want += shared->made[p][k] * subscribers[k];
		}
	}
	EXPECT_EQ(want, queues);
	for (s = 0; s < SUBSCRIBERS; s++) {
		for (k = 0; k < KEYS; k++) {
			struct ms_books *books = &shared->books[s][k];

			EXPECT_EQ((s + k) % 4 == 3 ? 0 : made[k], books->received + books->lost);
			lost += books->lost;
		}
	}
	/* The one that reads at the end alone cannot have got all */
	EXPECT_LT(0, lost);
}

/* Values are seen whole or not at all, and never older ones after newer ones */
TEST_F(stress, no_torn_values)
{
	char key[16], value[VALUE_MAX];
	__u64 version, last[KEYS] = {};
	__u32 i, n, k, lasts[KEYS] = {}, times = ms_times(2500);
	struct stamp stamp;
	int len;

	for (i = 0; i < 3; i++) {
		if (!crew_child())
			continue;
		for (n = 1; n < times; n++) {
			/* Keys 0 and 1 have one writer, whose numbers rise with the version */
			k = i < 2 && n % 2 ? i : 2U + rand() % 2;
			key_name(key, k);
			if (k >= 2 && n % 16 == 0) {
				len = ms_delete(self->fd, key, NULL);
				CHECK(!len || len == -ENOENT);
				continue;
			}
			len = random_len();
			make_value(value, i, n, len);
			CHECK(!ms_setn(self->fd, key, strlen(key), value, len, NULL));
		}
		_exit(0);
	}
	for (i = 0; i < 3; i++) {
		if (!crew_child())
			continue;
		while (!crew_done()) {
			k = rand() % 4;
			key_name(key, k);
			len = ms_get(self->fd, key, value, sizeof(value), &version);
			if (len == -ENOENT)
				continue;
			CHECK(len > 0);
			CHECK(value_is_whole(value, len, &stamp));
			CHECK(version >= last[k]);
			if (k < 2) {
				CHECK(stamp.writer == k);
				CHECK((version > last[k]) == (stamp.number > lasts[k]));
				lasts[k] = stamp.number;
			}
			last[k] = version;
			crew.board->counts[i]++;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 3));
	crew_finish();
	EXPECT_TRUE(crew_join(3, 6));
	EXPECT_STREQ("", crew.board->error);
	for (i = 0; i < 3; i++)
		EXPECT_LT(0, crew.board->counts[i]);
}

/*
 * The memory of a value is used again for one of the next, but not as long as somebody
 * may be reading it: of one key, beside a reader, the same few pieces take turns.
 */
TEST_F(stress, no_torn_small_values)
{
	struct stamp stamp;
	char value[440];
	__u32 n;
	int len;

	if (crew_child()) {
		ms_on_cpu(0);
		for (n = 0; !crew_done(); n++) {
			make_value(value, 0, n, sizeof(value));
			CHECK(!ms_setn(self->fd, "k", 1, value, sizeof(value), NULL));
		}
		_exit(0);
	}
	if (crew_child()) {
		/* If there is another one */
		ms_on_cpu(1);
		while (!crew_done()) {
			len = ms_get(self->fd, "k", value, sizeof(value), NULL);
			CHECK(len == -ENOENT || value_is_whole(value, len, &stamp));
			crew.board->counts[0] += len > 0;
		}
		_exit(0);
	}
	crew_start();
	ms_sleep(ms_full() ? 20 * SECOND : 3 * SECOND);
	crew_finish();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_LT(0, crew.board->counts[0]);
	TH_LOG("%llu values read", crew.board->counts[0]);
}

#define STABLE	1500
#define MOVING	3000

/* Lists all, checks that what is there all the time is there once */
static void list_once(int fd, __u8 *seen)
{
	char buf[8192];
	struct metastore_list arg;
	struct metastore_list_entry *entry;
	__u32 cursor = 0, cursor_len = 0, pos, i;

	memset(seen, 0, STABLE + 2 * MOVING);
	do {
		arg = (struct metastore_list) {
			.cursor = ms_ptr(&cursor),
			.buffer = ms_ptr(buf),
			.cursor_len = cursor_len,
			.buffer_len = sizeof(buf),
			.bucket = METASTORE_ANY_BUCKET,
		};
		CHECK(!ms_ioctl(fd, METASTORE_IOC_LIST, &arg));
		for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
			entry = (void *)(buf + pos);
			CHECK(entry->key_len == 4 && entry->len == 32);
			memcpy(&cursor, buf + pos + entry->header_len, 4);
			CHECK(cursor < STABLE + 2 * MOVING);
			CHECK(!seen[cursor]);
			seen[cursor] = 1;
			cursor_len = 4;
		}
	} while (arg.entries);
	for (i = 0; i < STABLE; i++)
		CHECK(seen[i]);
}

static bool listed_enough(void)
{
	return crew.board->error[0] ||
	       (__atomic_load_n(&crew.board->counts[0], __ATOMIC_RELAXED) > 4 &&
		__atomic_load_n(&crew.board->counts[1], __ATOMIC_RELAXED) > 4);
}

TEST_F(stress, list_while_tables_grow)
{
	__u32 i, n, k, round;
	char value[64];
	struct metastore_info info;
	__u8 *seen = malloc(STABLE + 2 * MOVING);

	for (k = 0; k < STABLE; k++) {
		make_value(value, 9, k, 20);
		ASSERT_EQ(0, ms_setn(self->fd, &k, sizeof(k), value, 20, NULL));
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		/* As long as it takes to be listed some times, however slow the machine */
		for (round = 0; round < 3 || !listed_enough(); round++) {
			for (n = 0; n < MOVING; n++) {
				k = STABLE + i * MOVING + n;
				make_value(value, i, k, 20 + n % 40);
				CHECK(!ms_setn(self->fd, &k, sizeof(k), value, 20 + n % 40, NULL));
			}
			for (n = 0; n < MOVING; n++) {
				k = STABLE + i * MOVING + n;
				CHECK(!ms_deleten(self->fd, &k, sizeof(k), NULL));
			}
		}
		_exit(0);
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		while (!crew_done()) {
			list_once(self->fd, seen);
			__atomic_add_fetch(&crew.board->counts[i], 1, __ATOMIC_RELAXED);
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done()) {
			struct stamp stamp;
			int len;

			k = rand() % (STABLE + 2 * MOVING);
			len = ms_getn(self->fd, &k, sizeof(k), value, sizeof(value), NULL);
			if (len == -ENOENT && k >= STABLE)
				continue;
			CHECK(len > 0);
			CHECK(value_is_whole(value, len, &stamp));
			CHECK(stamp.number == k);
			crew.board->counts[2]++;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 2));
	crew_finish();
	EXPECT_TRUE(crew_join(2, 5));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_LT(0, crew.board->counts[2]);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(STABLE, info.keys);
	EXPECT_EQ(STABLE * (4 + 20 + METASTORE_VALUE_OVERHEAD), info.bytes);
}

/*
 * One small table that grows and shrinks all the time, and who lists it and
 * looks keys up: each slot is split and merged under them again and again. Those
 * that stay have a prefix, so that a listing is little but a walk of the table.
 * And who asks for all else that there is to know of a bucket, so often that KCSAN
 * meets each of these beside the change.
 */
#define FEW	8
#define SOME	60

/* Of the bucket in which there are FEW keys and up to SOME more, and one subscription or none */
static void ask_all(int fd, const char *key, __u32 bucket)
{
	struct metastore_flush flush;
	struct metastore_info info;
	struct metastore_stat stat;
	long long subscribed;

	CHECK(!ms_info(fd, bucket, &info));
	CHECK(info.keys >= FEW && info.keys <= FEW + SOME && info.subscriptions <= 1);
	CHECK(info.bytes == info.keys * (METASTORE_VALUE_OVERHEAD + strlen(key) + 1));
	CHECK(!ms_stat(fd, key, &stat));
	CHECK(stat.value_len == 1 && stat.subscribers <= 1);
	subscribed = ms_subscribers(fd, key);
	CHECK(subscribed == 0 || subscribed == 1);
	subscribed = ms_fdinfo(fd, "subscriptions");
	CHECK(subscribed == 0 || subscribed == 1);
	/* No key begins like this */
	CHECK(!ms_flush(fd, "x", bucket, 0, &flush) && !flush.values);
}

TEST_F(stress, small_table_breathes)
{
	char keys[FEW + SOME + 1][8], buf[1024];
	/* Half of the test's time: enough on a machine that is not busy */
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(15 * SECOND);
	__u32 n, i, pos, found, times = ms_times(2500);
	int bucket = ms_bucket(self->fd, "here");
	struct metastore_list_entry *entry;
	struct metastore_list arg;

	for (n = 0, i = 0; n < FEW + SOME + 1; i++) {
		snprintf(keys[n], sizeof(keys[n]), "%c%06u",
			 n < FEW ? 's' : n < FEW + SOME ? 'm' : 'x', i % 1000000);
		n += ms_bucket(self->fd, keys[n]) == bucket;
	}
	for (n = 0; n < FEW; n++)
		ASSERT_EQ(0, ms_set(self->fd, keys[n], "v", NULL));
	if (crew_child()) {
		for (i = 0; i < times && ms_now(CLOCK_MONOTONIC) < end; i++) {
			for (n = FEW; n < FEW + SOME; n++)
				CHECK(!ms_set(self->fd, keys[n], "v", NULL));
			CHECK(!ms_subscribe(self->fd, keys[0], 0, 0));
			for (n = FEW; n < FEW + SOME; n++)
				CHECK(!ms_delete(self->fd, keys[n], NULL));
			CHECK(!ms_unsubscribe(self->fd, keys[0]));
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done()) {
			arg = (struct metastore_list) {
				.prefix = ms_ptr("s"),
				.prefix_len = 1,
				.buffer = ms_ptr(buf),
				.buffer_len = sizeof(buf),
				.bucket = bucket,
			};
			found = 0;
			do {
				CHECK(!ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
				found += arg.entries;
				for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
					entry = (void *)(buf + pos);
					arg.cursor = ms_ptr(buf + pos + entry->header_len);
					arg.cursor_len = entry->key_len;
				}
				arg.buffer_len = sizeof(buf);
			} while (arg.entries);
			CHECK(found == FEW);
			crew.board->counts[0]++;
		}
		_exit(0);
	}
	if (crew_child()) {
		for (n = 0; !crew_done(); n++) {
			CHECK(ms_get(self->fd, keys[n % FEW], buf, 8, NULL) == 1);
			/* What is not there may be where a chain is being cut */
			CHECK(ms_get(self->fd, keys[FEW + SOME], buf, 8, NULL) == -ENOENT);
			crew.board->counts[1]++;
		}
		_exit(0);
	}
	if (crew_child()) {
		for (; !crew_done(); crew.board->counts[2]++)
			ask_all(self->fd, keys[0], bucket);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 1));
	crew_finish();
	EXPECT_TRUE(crew_join(1, 4));
	EXPECT_STREQ("", crew.board->error);
	for (i = 0; i < 3; i++)
		EXPECT_LT(0, crew.board->counts[i]);
}

/* The store's own books after everything has happened to it at once */
TEST_F(stress, counters_balance)
{
	struct metastore_info info;
	struct metastore_flush flush;
	__u64 keys = 0, bytes = 0;
	__u32 i, n, k, times = ms_times(2500);
	char value[VALUE_MAX];

	for (i = 0; i < 4; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			__u32 len = random_len();
			int ret;

			k = rand() % 500;
			if (i == 3 && n % 100 == 0) {
				CHECK(!ms_flush(self->fd, n % 200 ? NULL : "\x05",
						METASTORE_ANY_BUCKET, 0, &flush));
			} else if (rand() % 3) {
				make_value(value, i, n, len);
				CHECK(!ms_setn(self->fd, &k, sizeof(k), value, len, NULL));
			} else {
				ret = ms_deleten(self->fd, &k, sizeof(k), NULL);
				CHECK(!ret || ret == -ENOENT);
			}
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 4));
	EXPECT_STREQ("", crew.board->error);
	for (k = 0; k < 500; k++) {
		int len = ms_getn(self->fd, &k, sizeof(k), value, sizeof(value), NULL);

		if (len == -ENOENT)
			continue;
		ASSERT_LT(0, len);
		keys++;
		bytes += sizeof(k) + len + METASTORE_VALUE_OVERHEAD;
	}
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(keys, info.keys);
	EXPECT_EQ(bytes, info.bytes);
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(keys, flush.values);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
}

/* Of those that do the same to the same file at the same time, one succeeds */
TEST_F(stress, one_subscribes)
{
	__u32 i, n, times = ms_times(1500);
	int ret;

	for (i = 0; i < 4; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			ret = ms_subscribe(self->fd, "k", 0, i);
			CHECK(!ret || ret == -EEXIST);
			crew.board->counts[i] += !ret;
			ret = ms_unsubscribe(self->fd, "k");
			CHECK(!ret || ret == -ENOENT);
			crew.board->counts[4 + i] += !ret;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 4));
	EXPECT_STREQ("", crew.board->error);
	for (i = 1; i < 4; i++) {
		crew.board->counts[0] += crew.board->counts[i];
		crew.board->counts[4] += crew.board->counts[4 + i];
	}
	EXPECT_EQ(crew.board->counts[0] - crew.board->counts[4], ms_subscribers(self->fd, "k"));
	EXPECT_LE(times, crew.board->counts[0]);
}

/* Two subscribe a file for the first time, at the same time: it gets one queue for both */
TEST_F(stress, two_first_subscriptions)
{
	int fds[FIRSTS];
	__u64 i, n;

	for (n = 0; n < FIRSTS; n++)
		fds[n] = ms_open(O_RDONLY | O_NONBLOCK);
	for (i = 0; i < 2; i++) {
		__u64 *count = &crew.board->counts[0];

		if (!crew_child())
			continue;
		for (n = 0; n < FIRSTS; n++) {
			__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
			while (__atomic_load_n(count, __ATOMIC_RELAXED) < 2 * (n + 1))
				sched_yield();
			CHECK(!ms_subscribe(fds[n], i ? "a" : "b", 0, i));
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(FIRSTS, ms_publish(self->fd, "a", "v", NULL));
	EXPECT_EQ(FIRSTS, ms_publish(self->fd, "b", "v", NULL));
	for (n = 0; n < FIRSTS; n++) {
		struct ms_books books = {};
		struct ms_reader r = ms_reader(fds[n], 4096);

		EXPECT_EQ(0, ms_drain(&r, &books));
		EXPECT_EQ(2, books.received);
		EXPECT_EQ(0, books.lost);
		close(fds[n]);
	}
}

/* Subscriptions come and go, by each way, while their keys are published */
TEST_F(stress, subscriptions_come_and_go)
{
	struct metastore_info info;
	struct metastore_flush flush;
	char key[16], value[VALUE_MAX], buf[VALUE_MAX + 100];
	__u32 i, n, k, len, times = ms_times(400);

	for (i = 0; i < 3; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			int fd = ms_open(O_RDONLY | O_NONBLOCK);
			struct ms_reader r = { .fd = fd, .size = sizeof(buf), .buf = buf };
			struct ms_books books = {};
			__u32 subscribed = 0;
			int ret;

			CHECK(fd >= 0);
			for (k = 0; k < KEYS; k++) {
				key_name(key, k);
				if (rand() % 2)
					continue;
				CHECK(!ms_subscribe(fd, key, rand() % 8, k));
				subscribed |= 1U << k;
			}
			if (n % 3 == 0)
				sched_yield();
			if (n % 2)
				CHECK(!ms_drain(&r, &books));
			for (k = 0; k < KEYS; k++) {
				key_name(key, k);
				if (!(subscribed & 1U << k) || rand() % 2)
					continue;
				/* It may have been flushed away */
				ret = ms_unsubscribe(fd, key);
				CHECK(!ret || ret == -ENOENT);
			}
			if (n % 4 == 0)
				CHECK(!ms_drain(&r, &books));
			close(fd);
		}
		_exit(0);
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		for (n = 0; !crew_done(); n++) {
			key_name(key, rand() % KEYS);
			len = random_len();
			make_value(value, i, n, len);
			if (rand() % 4)
				CHECK(ms_publishn(self->fd, key, strlen(key), value, len,
						  NULL) >= 0);
			else
				CHECK(ms_delete(self->fd, key, NULL) != -EFAULT);
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done()) {
			CHECK(!ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET,
					METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
			ms_sleep(SECOND / 100);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 3));
	crew_finish();
	EXPECT_TRUE(crew_join(3, 6));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.subscriptions);
	for (k = 0; k < KEYS; k++) {
		key_name(key, k);
		EXPECT_EQ(0, ms_subscribers(self->fd, key));
		EXPECT_EQ(0, ms_publish(self->fd, key, "v", NULL));
	}
}

/* Several readers of one file, with a slow one among them, while it overflows */
TEST_F(stress, readers_of_one_file)
{
	struct shared *shared = self->shared;
	struct ms_books total = {}, rest = {};
	struct ms_reader r = ms_reader(self->fd, MS_READER_SIZE);
	char value[VALUE_MAX];
	__u32 i, n, made = 0, times = ms_times(3000);

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < 3; i++) {
		if (!crew_child())
			continue;
		r.size = i ? MS_READER_SIZE : 200;
		/* What it took is not to be thrown away when it ends */
		while (!crew_done() || r.pos < r.len) {
			struct ms_books *books = &shared->books[i][0];
			const struct metastore_event *ev;
			struct stamp stamp;

			ev = ms_next(&r);
			if (!ev) {
				CHECK(errno == EAGAIN || errno == EMSGSIZE);
				ms_sleep(SECOND / 1000);
				continue;
			}
			if (ev->type == METASTORE_EVENT_LOST) {
				books->lost += ev->count;
				continue;
			}
			CHECK(value_is_whole(ms_event_value(ev), ev->value_len, &stamp));
			CHECK(ev->version > books->last);
			books->last = ev->version;
			books->received++;
			if (i == 1 && r.pos == r.len)
				ms_sleep(SECOND / 1000);
		}
		_exit(0);
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			__u32 len = random_len();

			make_value(value, i, n, len);
			CHECK(ms_publishn(self->fd, "k", 1, value, len, NULL) >= 0);
			shared->made[i][0]++;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(3, 5));
	crew_finish();
	EXPECT_TRUE(crew_join(0, 3));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_drain(&r, &rest));
	for (i = 0; i < 3; i++) {
		total.received += shared->books[i][0].received;
		total.lost += shared->books[i][0].lost;
	}
	for (i = 0; i < 2; i++)
		made += shared->made[i][0];
	EXPECT_EQ(made, total.received + total.lost + rest.received + rest.lost);
}

TEST_HARNESS_MAIN
