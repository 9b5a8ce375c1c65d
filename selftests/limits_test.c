// SPDX-License-Identifier: GPL-2.0
/*
 * The limits that module parameters set, small enough to be met.
 *
 * module: buckets=3 max_keys=99 max_bytes=99999 max_value=9999 queue_len=4
 * module: queue_bytes=4096 private_bytes=200000
 */
#include "metastore_test.h"

#define MAX_KEYS	99U
#define MAX_BYTES	99999U
#define MAX_VALUE	9999U
#define QUEUE_LEN	4U
#define QUEUE_BYTES	4096U
#define PRIVATE_BYTES	200000U
#define BUCKET		1024U		/* what one counts against that */

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
	EXPECT_EQ(PRIVATE_BYTES, info.private_bytes);
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

/* An owner or a time to live counts as well */
TEST_F(limits, enospc_ties)
{
	__u32 i, left = MAX_BYTES;
	struct metastore_set arg;

	for (i = 0; left >= cost(9000) + 2 * cost(0); i++) {
		ASSERT_EQ(0, set_number(self, i, 9000));
		left -= cost(9000);
	}
	left -= cost(0) + METASTORE_TIE_OVERHEAD;
	arg = (struct metastore_set) {
		.key = ms_ptr("four"),
		.value = ms_ptr(self->value),
		.key_len = 4,
		.value_len = left + 1,
		.flags = METASTORE_F_OWNED,
		.version = POISON64,
	};
	EXPECT_EQ(-ENOSPC, ms_ioctl(self->fd, METASTORE_IOC_SET, &arg));
	arg.flags = 0;
	arg.ttl = 1000000;
	EXPECT_EQ(-ENOSPC, ms_ioctl(self->fd, METASTORE_IOC_SET, &arg));
	EXPECT_EQ(POISON64, arg.version);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "four"));
	arg.value_len = left;
	EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_SET, &arg));
	EXPECT_EQ(MAX_BYTES, info_of(self).bytes);
	/* With both it is counted once */
	arg.flags = METASTORE_F_OWNED;
	EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_SET, &arg));
	EXPECT_EQ(MAX_BYTES, info_of(self).bytes);
}

/* A condition that is not met is told before the limit */
TEST_F(limits, condition_before_enospc)
{
	__u64 version = 1;
	__u32 i;

	for (i = 0; i < MAX_KEYS; i++)
		ASSERT_EQ(0, set_number(self, i, 1));
	EXPECT_EQ(-ENOENT, ms_set_if(self->fd, "k", "v", METASTORE_F_REPLACE, NULL));
	EXPECT_EQ(-ESTALE, ms_set_if(self->fd, "k", "v", METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(-ENOSPC, ms_set_if(self->fd, "k", "v", METASTORE_F_CREATE, NULL));
}

/* Of a batch that does not fit as a whole nothing is stored, and no room is taken */
TEST_F(limits, batch_enospc_keys)
{
	struct metastore_op ops[] = { ms_op_set("a", "1"), ms_op_set("b", "2") };
	struct metastore_info info;
	__u32 i, failed;

	for (i = 0; i < MAX_KEYS - 1; i++)
		ASSERT_EQ(0, set_number(self, i, 1));
	info = info_of(self);
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, ops, 2, METASTORE_BATCH_ATOMIC, &failed));
	ASSERT_GT(2, failed);
	EXPECT_EQ(-ENOSPC, ops[failed].result);
	EXPECT_EQ(-ECANCELED, ops[!failed].result);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "a"));
	EXPECT_EQ(info.keys, info_of(self).keys);
	EXPECT_EQ(info.bytes, info_of(self).bytes);
	EXPECT_TRUE(ms_silent(self->fd));
	/* One after the other the first fits */
	EXPECT_EQ(0, ms_batch(self->fd, ops, 2, 0, &failed));
	EXPECT_EQ(1, failed);
	EXPECT_EQ(0, ops[0].result);
	EXPECT_EQ(-ENOSPC, ops[1].result);
	EXPECT_EQ(MAX_KEYS, info_of(self).keys);
	/* What goes at the same moment makes room for what comes, in either order */
	ops[0] = ms_op_delete("a");
	EXPECT_EQ(0, ms_batch(self->fd, ops, 2, METASTORE_BATCH_ATOMIC, NULL));
	ops[0] = ms_op_set("a", "1");
	ops[1] = ms_op_delete("b");
	EXPECT_EQ(0, ms_batch(self->fd, ops, 2, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_EQ(MAX_KEYS, info_of(self).keys);
}

TEST_F(limits, batch_enospc_bytes)
{
	__u32 i, failed, room = cost(9000);
	struct metastore_op ops[] = {
		ms_op(METASTORE_OP_SET, "four", self->value, 9000),
		ms_op(METASTORE_OP_PUBLISH, "five", self->value, 0),
	};

	for (i = 0; set_number(self, i, 9000) == 0; i++)
		room = MAX_BYTES - info_of(self).bytes;
	ASSERT_EQ(0, ms_deleten(self->fd, &(__u32) { 0 }, 4, NULL));
	room += cost(9000);
	ops[0].value_len = room - 2 * cost(0) + 1;
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, ops, 2, METASTORE_BATCH_ATOMIC, &failed));
	ASSERT_GT(2, failed);
	EXPECT_EQ(-ENOSPC, ops[failed].result);
	EXPECT_EQ(MAX_BYTES - room, info_of(self).bytes);
	EXPECT_EQ(i - 1, info_of(self).keys);
	ops[0].value_len--;
	EXPECT_EQ(0, ms_batch(self->fd, ops, 2, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_EQ(MAX_BYTES, info_of(self).bytes);
}

/* Private stores have limits of their own, and one together */

/* As large as may be, with three buckets */
static int private(struct _test_data_limits *self)
{
	return ms_create(self->fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {
		.max_keys = 100000,
		.max_bytes = 1 << 30,
	});
}

/* Values of 1,000 bytes from key @i on until there is no room; returns their number */
static __u32 fill_with(int fd, const char *value, __u32 i)
{
	__u32 from = i;

	while (!ms_setn(fd, &i, sizeof(i), value, 1000, NULL))
		i++;
	return i - from;
}

TEST_F(limits, private_to_the_byte)
{
	__u32 left = PRIVATE_BYTES - 3 * BUCKET, n;
	struct metastore_set arg;
	struct metastore_info info;
	int fd = private(self);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_info(fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(PRIVATE_BYTES, info.private_bytes);
	n = fill_with(fd, self->value, 0);
	EXPECT_EQ(left / cost(1000), n);
	left %= cost(1000);
	ASSERT_EQ(0, ms_subscribe(fd, "four", EVENTS_ALL, 0));
	EXPECT_EQ(-ENOSPC, ms_store(fd, METASTORE_IOC_SET, "four", 4, self->value,
				    left - cost(0) + 1, &arg));
	EXPECT_EQ(POISON64, arg.version);
	EXPECT_EQ(-ENOSPC, ms_store(fd, METASTORE_IOC_PUBLISH, "four", 4, self->value,
				    left - cost(0) + 1, &arg));
	EXPECT_EQ(POISON32, arg.queues);
	EXPECT_STREQ("ENOENT", ms_str(fd, "four"));
	EXPECT_TRUE(ms_silent(fd));
	EXPECT_EQ(n, ms_keys(fd));
	EXPECT_EQ(0, ms_setn(fd, "four", 4, self->value, left - cost(0), NULL));
	EXPECT_EQ(-ENOSPC, ms_setn(fd, "five", 4, NULL, 0, NULL));
	/* As large: yes. The machine's store has nothing to do with it */
	EXPECT_EQ(0, ms_setn(fd, "four", 4, self->value, left - cost(0), NULL));
	EXPECT_EQ(0, ms_setn(self->fd, "five", 4, self->value, 9000, NULL));
}

/* All of them take from the same */
TEST_F(limits, private_together)
{
	int fd = private(self), fd2 = private(self);
	__u32 left = PRIVATE_BYTES - 2 * 3 * BUCKET, n, i;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, fd2);
	for (i = 0; i < 50; i++)
		ASSERT_EQ(0, ms_setn(fd, &i, sizeof(i), self->value, 1000, NULL));
	n = fill_with(fd2, self->value, 0);
	EXPECT_EQ(left / cost(1000) - 50, n);
	EXPECT_EQ(-ENOSPC, ms_setn(fd, &i, sizeof(i), self->value, 1000, NULL));
	close(fd2);
	EXPECT_EQ((left + 3 * BUCKET) / cost(1000) - 50, fill_with(fd, self->value, 50));
}

/* One with too many buckets, or when there is no room for those */
TEST_F(limits, private_enospc_buckets)
{
	struct metastore_create limits = {
		.buckets = PRIVATE_BYTES / BUCKET + 1,
		.max_keys = 100000,
		.max_bytes = 1 << 30,
	};
	int fd;

	EXPECT_EQ(-ENOSPC, ms_create(self->fd, O_RDWR, limits));
	limits.buckets = 65536;
	EXPECT_EQ(-ENOSPC, ms_create(self->fd, O_RDWR, limits));
	limits.buckets = PRIVATE_BYTES / BUCKET;
	fd = ms_create(self->fd, O_RDWR, limits);
	ASSERT_LE(0, fd);
	limits.buckets = 1;
	EXPECT_EQ(-ENOSPC, ms_create(self->fd, O_RDWR, limits));
	EXPECT_EQ(-ENOSPC, ms_setn(fd, "four", 4, self->value, PRIVATE_BYTES % BUCKET, NULL));
	close(fd);
	fd = ms_create(self->fd, O_RDWR, limits);
	EXPECT_LE(0, fd);
}

/* What goes is room again, whichever way it goes */
TEST_F(limits, private_gives_back)
{
	const __u32 full = (PRIVATE_BYTES - 3 * BUCKET) / cost(1000);
	struct metastore_set arg = {
		.key = ms_ptr("four"),
		.value = ms_ptr(self->value),
		.key_len = 4,
		.value_len = 9000,
	};
	struct metastore_flush flush;
	int fd, own, round;
	__u32 i;

	for (round = 0; round < 20; round++) {
		fd = private(self);
		ASSERT_LE(0, fd);
		ASSERT_EQ(full, fill_with(fd, self->value, 0));
		/* By DELETE, one by one */
		for (i = 0; i < 20; i++)
			ASSERT_EQ(0, ms_deleten(fd, &i, sizeof(i), NULL));
		/* By its owner's end */
		own = ms_reopen(fd, O_RDWR);
		arg.flags = METASTORE_F_OWNED;
		arg.ttl = 0;
		ASSERT_EQ(0, ms_ioctl(own, METASTORE_IOC_SET, &arg));
		close(own);
		/* By its own end */
		arg.flags = 0;
		arg.ttl = 1;
		ASSERT_EQ(0, ms_ioctl(fd, METASTORE_IOC_SET, &arg));
		ms_wait_until(ms_now(CLOCK_BOOTTIME) + SECOND / 1000);
		EXPECT_EQ(-ENOENT, ms_delete(fd, "four", NULL));
		ASSERT_EQ(20, fill_with(fd, self->value, 1000));
		/* By FLUSH */
		ASSERT_EQ(0, ms_flush(fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
		EXPECT_EQ(full, flush.values);
		ASSERT_EQ(full, fill_with(fd, self->value, 0));
		/* With the store */
		close(fd);
	}
}

TEST_F(limits, private_batch_enospc)
{
	int fd = private(self);
	struct metastore_op ops[] = {
		ms_op(METASTORE_OP_SET, "four", self->value, 1000),
		ms_op(METASTORE_OP_SET, "five", self->value, 1000),
	};
	__u32 n, failed;

	ASSERT_LE(0, fd);
	n = fill_with(fd, self->value, 0);
	ASSERT_EQ(0, ms_deleten(fd, &(__u32) { 0 }, 4, NULL));
	EXPECT_EQ(-ECANCELED, ms_batch(fd, ops, 2, METASTORE_BATCH_ATOMIC, &failed));
	ASSERT_GT(2, failed);
	EXPECT_EQ(-ENOSPC, ops[failed].result);
	EXPECT_EQ(n - 1, ms_keys(fd));
	EXPECT_EQ(1, fill_with(fd, self->value, 1000));
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
