// SPDX-License-Identifier: GPL-2.0
/*
 * The limits that module parameters set, small enough to be met.
 *
 * vm: MODPARAMS="buckets=3 max_keys=99 max_bytes=99999 max_value=9999 queue_len=4 queue_bytes=4096"
 */
#include "metastore_test.h"

#define MAX_KEYS	99U
#define MAX_BYTES	99999U
#define MAX_VALUE	9999U
#define QUEUE_LEN	4U
#define QUEUE_BYTES	4096U

FIXTURE(limits)
{
	int fd;
	struct ms_reader r;
	char value[MAX_VALUE + 1];
};

FIXTURE_SETUP(limits)
{
	struct metastore_info info;

	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	if (info.max_keys != MAX_KEYS)
		SKIP(return, "needs the module parameters that stand at the top of limits_test.c");
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	memset(self->value, 'v', sizeof(self->value));
}

FIXTURE_TEARDOWN(limits)
{
	close(self->fd);
}

/* What a value of @len bytes under a key of four counts */
static __u32 cost(__u32 len)
{
	return 4 + len + METASTORE_VALUE_OVERHEAD;
}

static int set_number(struct _test_data_limits *self, __u32 number, __u32 len)
{
	return ms_setn(self->fd, &number, sizeof(number), self->value, len, NULL);
}

static int length_of(struct _test_data_limits *self, __u32 number)
{
	char buf[MAX_VALUE];

	return ms_getn(self->fd, &number, sizeof(number), buf, sizeof(buf), NULL);
}

static struct metastore_info info_of(struct _test_data_limits *self)
{
	struct metastore_info info;

	ms_info(self->fd, METASTORE_ANY_BUCKET, &info);
	return info;
}

TEST_F(limits, info)
{
	struct metastore_info info = info_of(self);

	EXPECT_EQ(3, info.buckets);
	EXPECT_EQ(MAX_KEYS, info.max_keys);
	EXPECT_EQ(MAX_BYTES, info.max_bytes);
	EXPECT_EQ(MAX_VALUE, info.max_value);
	EXPECT_EQ(QUEUE_LEN, info.queue_len);
	EXPECT_EQ(QUEUE_BYTES, info.queue_bytes);
}

TEST_F(limits, buckets)
{
	int seen[3] = {}, bucket;
	__u32 i;

	for (i = 0; i < 100; i++) {
		bucket = ms_bucketn(self->fd, &i, sizeof(i));
		ASSERT_LE(0, bucket);
		ASSERT_GT(3, bucket);
		seen[bucket]++;
	}
	EXPECT_TRUE(seen[0] && seen[1] && seen[2]);
}

TEST_F(limits, max_value)
{
	EXPECT_EQ(0, ms_setn(self->fd, "k", 1, self->value, MAX_VALUE, NULL));
	EXPECT_EQ(-EMSGSIZE, ms_setn(self->fd, "l", 1, self->value, MAX_VALUE + 1, NULL));
	EXPECT_EQ(-EMSGSIZE, ms_publishn(self->fd, "k", 1, self->value, MAX_VALUE + 1, NULL));
	EXPECT_EQ(1, info_of(self).keys);
}

TEST_F(limits, enospc_keys)
{
	struct metastore_set arg;
	struct metastore_info info;
	__u32 i;

	for (i = 0; i < MAX_KEYS; i++)
		ASSERT_EQ(0, set_number(self, i, 1));
	info = info_of(self);
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-ENOSPC, ms_store(self->fd, METASTORE_IOC_SET, "k", 1, "v", 1, &arg));
	EXPECT_EQ(POISON64, arg.version);
	EXPECT_EQ(-ENOSPC, ms_store(self->fd, METASTORE_IOC_PUBLISH, "k", 1, "v", 1, &arg));
	EXPECT_EQ(POISON32, arg.queues);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(MAX_KEYS, info_of(self).keys);
	EXPECT_EQ(info.bytes, info_of(self).bytes);
}

TEST_F(limits, full_of_keys_overwrites)
{
	__u32 i;

	for (i = 0; i < MAX_KEYS; i++)
		ASSERT_EQ(0, set_number(self, i, 1));
	for (i = 0; i < MAX_KEYS; i++)
		ASSERT_EQ(0, set_number(self, i, 10));
	EXPECT_EQ(-ENOSPC, set_number(self, i, 1));
	/* A key gone is room for one */
	i = 0;
	ASSERT_EQ(0, ms_deleten(self->fd, &i, sizeof(i), NULL));
	EXPECT_EQ(0, set_number(self, MAX_KEYS, 1));
	EXPECT_EQ(-ENOSPC, set_number(self, MAX_KEYS + 1, 1));
}

TEST_F(limits, enospc_bytes_to_the_byte)
{
	__u32 i, left = MAX_BYTES;

	for (i = 0; left >= cost(9000) + cost(0); i++) {
		ASSERT_EQ(0, set_number(self, i, 9000));
		left -= cost(9000);
	}
	EXPECT_EQ(-ENOSPC, set_number(self, i, left - cost(0) + 1));
	EXPECT_EQ(-ENOENT, length_of(self, i));
	EXPECT_EQ(MAX_BYTES - left, info_of(self).bytes);
	EXPECT_EQ(0, set_number(self, i, left - cost(0)));
	EXPECT_EQ(MAX_BYTES, info_of(self).bytes);
	EXPECT_EQ(-ENOSPC, set_number(self, i + 1, 0));
	EXPECT_EQ(i + 1, info_of(self).keys);
}

TEST_F(limits, full_of_bytes_overwrites)
{
	__u32 i;

	for (i = 0; !set_number(self, i, 9000); i++)
		;
	ASSERT_EQ(MAX_BYTES / cost(9000), i);
	/* As large: yes. Larger by more than is left: no, and the old value stays */
	EXPECT_EQ(0, set_number(self, 0, 9000));
	EXPECT_EQ(-ENOSPC, set_number(self, 0, 9000 + MAX_BYTES % cost(9000) + 1));
	EXPECT_EQ(9000, length_of(self, 0));
	EXPECT_EQ(0, set_number(self, 0, 9000 + MAX_BYTES % cost(9000)));
	EXPECT_EQ(MAX_BYTES, info_of(self).bytes);
	/* Smaller: yes, and that is room */
	EXPECT_EQ(0, set_number(self, 0, 100));
	EXPECT_EQ(0, set_number(self, i, 8000));
}

TEST_F(limits, flush_makes_room)
{
	struct metastore_flush arg;
	__u32 i;

	for (i = 0; !set_number(self, i, 900); i++)
		;
	ASSERT_LT(90, i);
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(i, arg.values);
	EXPECT_EQ(0, info_of(self).bytes);
	for (i = 0; !set_number(self, i, 900); i++)
		;
	EXPECT_EQ(arg.values, i);
}

/* Writers at the limit, together, do not get past it */
TEST_F(limits, contended)
{
	pid_t pids[4];
	__u64 keys = 0, bytes = 0;
	int i, n, len, ret, times = ms_times(4000);

	for (i = 0; i < 4; i++) {
		pids[i] = ms_fork();
		if (pids[i])
			continue;
		srand(i + 1);
		for (n = 0; n < times; n++) {
			__u32 number = rand() % 150;

			ret = rand() % 4 ? set_number(self, number, rand() % 3000) :
				ms_deleten(self->fd, &number, sizeof(number), NULL);
			if (ret && ret != -ENOSPC && ret != -ENOENT)
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	for (i = 0; i < 150; i++) {
		len = length_of(self, i);
		if (len < 0)
			continue;
		keys++;
		bytes += cost(len);
	}
	EXPECT_EQ(keys, info_of(self).keys);
	EXPECT_EQ(bytes, info_of(self).bytes);
	EXPECT_LE(keys, MAX_KEYS);
	EXPECT_LE(bytes, MAX_BYTES);
}

/* One that is refused takes no room meanwhile from one that fits */
TEST_F(limits, refused_takes_no_room)
{
	__u32 i, refused = 0, times = ms_times(20000);
	int *done = ms_shared(sizeof(*done));
	pid_t pid;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, set_number(self, i, 9000));
	pid = ms_fork();
	if (!pid) {
		while (!__atomic_load_n(done, __ATOMIC_RELAXED))
			if (set_number(self, 1000, MAX_VALUE) != -ENOSPC)
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < times; i++) {
		refused += set_number(self, 2000, 100) == -ENOSPC;
		refused += set_number(self, 2000, 200) == -ENOSPC;
		ms_deleten(self->fd, &(__u32) { 2000 }, 4, NULL);
	}
	__atomic_store_n(done, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(0, refused);
}

/* What a queue pins is not the store's: its limit is that of the values there are */
TEST_F(limits, queued_values_do_not_count)
{
	__u32 i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < 200; i++)
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, 1000, NULL));
	EXPECT_EQ(1, info_of(self).keys);
	EXPECT_EQ(1 + 1000 + METASTORE_VALUE_OVERHEAD, info_of(self).bytes);
}

TEST_F(limits, queue_len)
{
	struct ms_books books = {};
	__u32 i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 3));
	for (i = 0; i < QUEUE_LEN; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 3, .version = 2);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(QUEUE_LEN, books.received);
}

/* To the byte: the header says what an event counts */
TEST_F(limits, queue_bytes)
{
	__u32 len = QUEUE_BYTES - 1 - METASTORE_VALUE_OVERHEAD;
	struct ms_books books = {};

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 3));
	EXPECT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, len, NULL));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(1, books.received);
	EXPECT_EQ(0, books.lost);
	EXPECT_EQ(0, ms_publishn(self->fd, "k", 1, self->value, len + 1, NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 3, .version = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	/* It is stored all the same */
	EXPECT_EQ(1, info_of(self).keys);
	EXPECT_EQ(1 + len + 1 + METASTORE_VALUE_OVERHEAD, info_of(self).bytes);
}

/* Two that fit together, and two that do not by a byte */
TEST_F(limits, queue_bytes_of_two)
{
	__u32 both = QUEUE_BYTES - 2 * (1 + METASTORE_VALUE_OVERHEAD);
	struct ms_books books = {};

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 3));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, 1000, NULL));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, both - 1000, NULL));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(2, books.received);
	EXPECT_EQ(0, books.lost);
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, 1000, NULL));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, both - 1000 + 1, NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 3, .version = 1);
}

/* Each counts a share of queue_bytes at least while it waits */
TEST_F(limits, queue_bytes_of_small_ones)
{
	__u32 len = QUEUE_BYTES - 2 * (QUEUE_BYTES / (QUEUE_LEN + 1)) -
		    1 - METASTORE_VALUE_OVERHEAD;
	struct ms_books books = {};

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 3));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, len, NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "small", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "small", NULL));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(3, books.received);
	EXPECT_EQ(0, books.lost);
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, len + 1, NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "small", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "small", NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 3, .version = 1);
}

/* One too large takes nothing with it */
TEST_F(limits, too_large_drops_no_other)
{
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 3));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "small", &version));
	ASSERT_EQ(0, ms_publishn(self->fd, "k", 1, self->value, 5000, NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 3, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 3, .version = version,
		     .key = "k", .value = "small");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(limits, too_large_for_set_and_delete)
{
	struct metastore_flush flush;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 3));
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, self->value, 5000, NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "k", NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, self->value, 5000, NULL));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 3, .version = 4);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* A loss is something to read: pollers and readers wake */
TEST_F(limits, loss_alone_wakes)
{
	int fd = ms_open(O_RDONLY);
	pid_t poller, reader;
	char buf[64];

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	poller = ms_fork();
	if (!poller)
		_exit(ms_poll(self->fd, ms_limit(20000)) != POLLIN);
	reader = ms_fork();
	if (!reader)
		_exit(ms_read(fd, buf, sizeof(buf)) != 48);
	ASSERT_TRUE(ms_asleep(poller));
	ASSERT_TRUE(ms_asleep(reader));
	ASSERT_EQ(0, ms_publishn(self->fd, "k", 1, self->value, 5000, NULL));
	EXPECT_EQ(0, ms_join(poller));
	EXPECT_EQ(0, ms_join(reader));
}

TEST_HARNESS_MAIN
