// SPDX-License-Identifier: GPL-2.0
/* METASTORE_F_PREVIOUS and _KEEP_TTL: what a change replaced, and what it leaves as it was */
#include "crew.h"

#define LONG		100000000ULL	/* ms that no test lasts */
#define ATOMIC		METASTORE_BATCH_ATOMIC

FIXTURE(previous)
{
	int fd;
	int other;
	char buf[65536];
};

/* The three commands that return what they replace */
FIXTURE_VARIANT(previous)
{
	__u32 op;
};

FIXTURE_VARIANT_ADD(previous, set) {
	.op = METASTORE_OP_SET,
};

FIXTURE_VARIANT_ADD(previous, publish) {
	.op = METASTORE_OP_PUBLISH,
};

FIXTURE_VARIANT_ADD(previous, delete) {
	.op = METASTORE_OP_DELETE,
};

FIXTURE_SETUP(previous)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->other = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->other);
	memset(self->buf, POISON, sizeof(self->buf));
}

FIXTURE_TEARDOWN(previous)
{
	close(self->other);
	close(self->fd);
}

/* One change of "k" to "new", or its removal, that returns the previous value */
static int run(int fd, __u32 op, __u32 flags, __u64 *version, struct metastore_previous *previous)
{
	struct metastore_set set = {
		.key = ms_ptr("k"), .key_len = 1, .value = ms_ptr("new"), .value_len = 3,
		.flags = flags | METASTORE_F_PREVIOUS, .version = *version, .previous = *previous,
	};
	struct metastore_delete delete = {
		.key = ms_ptr("k"), .key_len = 1,
		.flags = flags | METASTORE_F_PREVIOUS, .version = *version, .previous = *previous,
	};
	int ret;

	if (op == METASTORE_OP_DELETE) {
		ret = ms_ioctl(fd, METASTORE_IOC_DELETE, &delete);
		*previous = delete.previous;
		*version = delete.version;
		return ret;
	}
	ret = ms_ioctl(fd, op == METASTORE_OP_SET ? METASTORE_IOC_SET : METASTORE_IOC_PUBLISH,
		       &set);
	*previous = set.previous;
	*version = set.version;
	return ret;
}

static struct metastore_previous buffer(void *buf, __u32 len)
{
	return (struct metastore_previous) {
		.value = ms_ptr(buf), .version = POISON64, .len = len, .owner = POISON32,
	};
}

static const char *after(__u32 op)
{
	return op == METASTORE_OP_DELETE ? "ENOENT" : "new";
}

static struct metastore_op op_of(__u32 op, const char *key, void *buf, __u32 len)
{
	struct metastore_op result = op == METASTORE_OP_DELETE ? ms_op_delete(key) :
				     ms_op(op, key, "new", 3);

	result.flags = METASTORE_F_PREVIOUS;
	result.previous = buffer(buf, len);
	return result;
}

TEST_F(previous, is_returned)
{
	struct metastore_previous previous = buffer(self->buf, sizeof(self->buf));
	__u64 old, version = POISON64;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	ASSERT_EQ(0, run(self->fd, variant->op, 0, &version, &previous));
	EXPECT_EQ(3, previous.len);
	EXPECT_EQ(old, previous.version);
	EXPECT_EQ(METASTORE_OWNER_NONE, previous.owner);
	EXPECT_EQ(0, memcmp(self->buf, "old\xcc", 4));
	EXPECT_LT(old, version);
	EXPECT_STREQ(after(variant->op), ms_str(self->fd, "k"));
}

TEST_F(previous, of_none)
{
	struct metastore_previous previous = buffer(NULL, 0);
	__u64 version = POISON64;
	int ret = run(self->fd, variant->op, 0, &version, &previous);

	if (variant->op == METASTORE_OP_DELETE) {
		EXPECT_EQ(-ENOENT, ret);
		return;
	}
	ASSERT_EQ(0, ret);
	EXPECT_EQ(0, previous.len);
	EXPECT_EQ(0, previous.version);
	EXPECT_EQ(METASTORE_OWNER_NONE, previous.owner);
	EXPECT_EQ(POISON, (unsigned char)self->buf[0]);
}

/* An expired value is none, whether the worker removed it yet or not */
TEST_F(previous, of_an_expired_one)
{
	struct metastore_previous previous = buffer(self->buf, sizeof(self->buf));
	__u64 version = POISON64, end;
	int ret;

	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "old", 1, NULL));
	end = ms_now(CLOCK_BOOTTIME) + SECOND / 500;
	ms_wait_until(end);
	ret = run(self->fd, variant->op, 0, &version, &previous);
	if (variant->op == METASTORE_OP_DELETE) {
		EXPECT_EQ(-ENOENT, ret);
	} else {
		EXPECT_EQ(0, ret);
		EXPECT_EQ(0, previous.version);
	}
	EXPECT_EQ(POISON, (unsigned char)self->buf[0]);
}

/* Each size up to the largest value, with a buffer that just fits */
TEST_F(previous, of_any_length)
{
	static const __u32 lens[] = { 0, 1, 100, 400, 463, 464, 465, 512, 4096, 65535, 65536 };
	char value[65536];
	size_t i, at;

	for (at = 0; at < sizeof(value); at++)
		value[at] = at * 7 + at / 256;
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		struct metastore_previous previous = buffer(self->buf, lens[i]);
		__u64 old, version = POISON64;

		memset(self->buf, POISON, sizeof(self->buf));
		ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, lens[i], &old));
		ASSERT_EQ(0, run(self->fd, variant->op, 0, &version, &previous));
		ASSERT_EQ(lens[i], previous.len);
		ASSERT_EQ(old, previous.version);
		ASSERT_EQ(0, memcmp(self->buf, value, lens[i]));
		for (at = lens[i]; at < sizeof(self->buf); at++)
			ASSERT_EQ(POISON, (unsigned char)self->buf[at]);
	}
}

/* Refused for its buffer: nothing is changed, nobody hears of it */
TEST_F(previous, erange)
{
	struct metastore_previous previous = buffer(self->buf, 2);
	__u64 old, version = POISON64;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	ASSERT_EQ(0, ms_subscribe(self->other, "k", EVENTS_ALL, 1));
	EXPECT_EQ(-ERANGE, run(self->fd, variant->op, 0, &version, &previous));
	EXPECT_EQ(3, previous.len);
	EXPECT_EQ(old, previous.version);
	EXPECT_EQ(POISON64, version);
	EXPECT_EQ(POISON, (unsigned char)self->buf[0]);
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
	EXPECT_EQ(old, ms_version(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->other));
}

/* A condition that is not met, and an owner, come first */
TEST_F(previous, refused)
{
	struct metastore_previous previous = buffer(self->buf, 0);
	__u64 old, version = 5;

	ASSERT_EQ(0, ms_own(self->other, "k", "old", &old));
	EXPECT_EQ(-ESTALE, run(self->fd, variant->op, METASTORE_F_IF_VERSION, &version,
			       &previous));
	EXPECT_EQ(old, version);
	EXPECT_EQ(-EBUSY, run(self->fd, variant->op, 0, &version, &previous));
	EXPECT_EQ(0, previous.len);
	EXPECT_EQ(POISON64, previous.version);
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
	/* Then the buffer */
	EXPECT_EQ(-ERANGE, run(self->fd, variant->op, METASTORE_F_STEAL, &version, &previous));
	EXPECT_EQ(METASTORE_OWNER_OTHER, ms_owner(self->fd, "k"));
	previous = buffer(self->buf, 3);
	EXPECT_EQ(0, run(self->fd, variant->op, METASTORE_F_STEAL, &version, &previous));
	EXPECT_EQ(METASTORE_OWNER_OTHER, previous.owner);
	EXPECT_EQ(0, memcmp(self->buf, "old", 3));
}

TEST_F(previous, tells_the_owner)
{
	struct metastore_previous previous = buffer(self->buf, 3);
	__u64 old, version = 0;

	ASSERT_EQ(0, ms_own(self->fd, "k", "old", &old));
	ASSERT_EQ(0, run(self->fd, variant->op, 0, &version, &previous));
	EXPECT_EQ(METASTORE_OWNER_SELF, previous.owner);
	EXPECT_EQ(old, previous.version);
}

/* To ask what there was is to read */
TEST_F(previous, ebadf)
{
	struct metastore_op op = op_of(variant->op, "k", self->buf, 8);
	struct metastore_previous previous = buffer(self->buf, 8);
	int write_only = ms_open(O_WRONLY);
	__u64 version = 0;
	__u32 flags;

	ASSERT_LE(0, write_only);
	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	EXPECT_EQ(-EBADF, run(write_only, variant->op, 0, &version, &previous));
	EXPECT_EQ(8, previous.len);
	ASSERT_EQ(0, ms_batch(write_only, &op, 1, 0, NULL));
	EXPECT_EQ(-EBADF, op.result);
	for (flags = 0; flags <= ATOMIC; flags++) {
		EXPECT_EQ(flags ? -ECANCELED : 0, ms_batch(write_only, &op, 1, flags, NULL));
		EXPECT_EQ(-EBADF, op.result);
	}
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
	close(write_only);
}

/* An operation of an older program has no place for the answer */
TEST_F(previous, einval_short_operation)
{
	struct metastore_op op = op_of(variant->op, "k", self->buf, 8);
	struct metastore_batch arg = { .ops = ms_ptr(&op), .nr = 1 };

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	for (arg.op_size = 56; arg.op_size < sizeof(op); arg.op_size++) {
		arg.flags = 0;
		EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(-EINVAL, op.result);
		arg.flags = ATOMIC;
		EXPECT_EQ(-ECANCELED, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(-EINVAL, op.result);
	}
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
}

/* Done, not reported */
TEST_F(previous, efault)
{
	struct metastore_previous previous = buffer((void *)8, 3);
	__u64 version = 0;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	EXPECT_EQ(-EFAULT, run(self->fd, variant->op, 0, &version, &previous));
	EXPECT_STREQ(after(variant->op), ms_str(self->fd, "k"));
}

/* Without the flag the fields are not looked at */
TEST_F(previous, unasked)
{
	struct metastore_op op = {
		.op = variant->op, .key = ms_ptr("k"), .key_len = 1,
		.previous = buffer((void *)8, 0),
	};

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	ASSERT_EQ(0, ms_batch(self->fd, &op, 1, 0, NULL));
	EXPECT_EQ(0, op.result);
	EXPECT_EQ(POISON64, op.previous.version);
	EXPECT_EQ(POISON32, op.previous.owner);
}

/* An older program's structure has no place for the answer */
TEST_F(previous, einval_short)
{
	struct metastore_set set = {
		.key = ms_ptr("k"), .key_len = 1, .flags = METASTORE_F_PREVIOUS,
	};
	struct metastore_delete delete = {
		.key = ms_ptr("k"), .key_len = 1, .flags = METASTORE_F_PREVIOUS,
	};
	size_t size;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	for (size = 40; size < sizeof(set); size++) {
		EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_SET, size), &set));
		EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_PUBLISH, size),
					    &set));
	}
	for (size = 24; size < sizeof(delete); size++)
		EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_DELETE, size),
					    &delete));
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
}

static void batch(struct __test_metadata *_metadata, struct _test_data_previous *self, __u32 op,
		  __u32 flags)
{
	__u64 old;
	struct metastore_op ops[] = {
		op_of(op, "k", self->buf, 3),
		op_of(op, "absent", self->buf + 8, 8),
		op_of(op, "short", self->buf + 16, 2),
		op_of(op, "bad", (void *)8, 8),
	};
	bool all = flags & ATOMIC;
	__u32 failed;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	ASSERT_EQ(0, ms_set(self->fd, "short", "old", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "bad", "old", NULL));
	if (!all) {
		ASSERT_EQ(0, ms_batch(self->fd, ops, 4, flags, &failed));
		EXPECT_EQ(op == METASTORE_OP_DELETE ? -ENOENT : 0, ops[1].result);
		EXPECT_EQ(-ERANGE, ops[2].result);
		EXPECT_EQ(-EFAULT, ops[3].result);
		EXPECT_STREQ("old", ms_str(self->fd, "short"));
	} else {
		ASSERT_EQ(-ECANCELED, ms_batch(self->fd, &ops[2], 1, flags, &failed));
		EXPECT_EQ(-ERANGE, ops[2].result);
		ops[1] = ops[3];
		ASSERT_EQ(0, ms_batch(self->fd, ops, 2, flags, &failed));
		EXPECT_EQ(-EFAULT, ops[1].result);
	}
	EXPECT_EQ(3, ops[2].previous.len);
	EXPECT_NE(0, ops[2].previous.version);
	EXPECT_NE(POISON64, ops[2].previous.version);
	EXPECT_STREQ("old", ms_str(self->fd, "short"));
	EXPECT_EQ(0, ops[0].result);
	EXPECT_EQ(3, ops[0].previous.len);
	EXPECT_EQ(old, ops[0].previous.version);
	EXPECT_EQ(METASTORE_OWNER_NONE, ops[0].previous.owner);
	EXPECT_EQ(0, memcmp(self->buf, "old\xcc", 4));
	EXPECT_STREQ(after(op), ms_str(self->fd, "k"));
	EXPECT_STREQ(after(op), ms_str(self->fd, "bad"));
}

TEST_F(previous, in_a_batch)
{
	batch(_metadata, self, variant->op, 0);
}

TEST_F(previous, in_an_atomic_batch)
{
	batch(_metadata, self, variant->op, ATOMIC);
}

#define TAKERS	4

/* Of each value stored exactly one of those that take it gets it */
TEST(take_is_one_step)
{
	int fd = ms_open(O_RDWR), i, n, values = ms_times(2000);
	__u64 sum = 0;

	ASSERT_EQ(0, ms_reset(fd));
	ASSERT_TRUE(crew_init());
	for (n = 0; n < TAKERS; n++)
		if (crew_child()) {
			struct metastore_delete arg;
			__u32 value = 0;
			int ret;

			for (;;) {
				bool done = crew_done();

				arg = (struct metastore_delete) {
					.key = ms_ptr("k"), .key_len = 1,
					.flags = METASTORE_F_PREVIOUS,
					.previous = buffer(&value, sizeof(value)),
				};
				ret = ms_ioctl(fd, METASTORE_IOC_DELETE, &arg);
				if (!ret)
					crew.board->counts[n] += value;
				CHECK(!ret || ret == -ENOENT);
				if (ret && done)
					_exit(0);
				sched_yield();
			}
		}
	crew_start();
	for (i = 1; i <= values; i++) {
		struct metastore_set arg = {
			.key = ms_ptr("k"), .key_len = 1, .value = ms_ptr(&i),
			.value_len = sizeof(i), .flags = METASTORE_F_CREATE,
		};
		int ret;

		while ((ret = ms_ioctl(fd, METASTORE_IOC_SET, &arg)) == -EEXIST)
			sched_yield();
		ASSERT_EQ(0, ret);
	}
	crew_finish();
	EXPECT_TRUE(crew_join(0, TAKERS));
	EXPECT_STREQ("", crew.board->error);
	for (n = 0; n < TAKERS; n++)
		sum += crew.board->counts[n];
	EXPECT_EQ((__u64)values * (values + 1) / 2, sum);
	close(fd);
}

/* KEEP_TTL */

FIXTURE(keep)
{
	int fd;
	struct ms_reader r;
};

FIXTURE_SETUP(keep)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(keep)
{
	close(self->fd);
}

static int keep(int fd, unsigned long command, const char *value)
{
	struct metastore_set arg = { .flags = METASTORE_F_KEEP_TTL };

	return ms_store_with(fd, command, "k", value, &arg);
}

static long long ttl_of(int fd, const char *key)
{
	struct metastore_stat st;

	return ms_stat(fd, key, &st) ?: (long long)st.ttl;
}

TEST_F(keep, leaves_the_end)
{
	__u64 earliest;
	int i;

	earliest = ms_now(CLOCK_BOOTTIME) + 300 * (SECOND / 1000);
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "0", 300, NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_DELETED, 1));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, keep(self->fd,
				  i % 2 ? METASTORE_IOC_SET : METASTORE_IOC_PUBLISH, "1"));
		ASSERT_GE(300, ttl_of(self->fd, "k"));
		ASSERT_LT(0, ttl_of(self->fd, "k"));
	}
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_LE(earliest, ms_now(CLOCK_BOOTTIME));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_EXPIRED, .cookie = 1, .newer = 1, .key = "k",
		     .value = "1");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(keep, of_none_is_unlimited)
{
	ASSERT_EQ(0, keep(self->fd, METASTORE_IOC_SET, "1"));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	ASSERT_EQ(0, keep(self->fd, METASTORE_IOC_SET, "2"));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	ASSERT_EQ(0, ms_set(self->fd, "k", "3", NULL));
	ASSERT_EQ(0, keep(self->fd, METASTORE_IOC_SET, "4"));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	EXPECT_STREQ("4", ms_str(self->fd, "k"));
	/* It counts as if it had an end */
	{
		struct metastore_info info;

		ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
		EXPECT_EQ(2 + METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD, info.bytes);
	}
}

/* The end of a value that has expired is not kept */
TEST_F(keep, of_an_expired_one)
{
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "0", 1, NULL));
	ms_wait_until(ms_now(CLOCK_BOOTTIME) + SECOND / 500);
	ASSERT_EQ(0, keep(self->fd, METASTORE_IOC_SET, "1"));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
}

/* An owner is not kept: that is said by its own flag */
TEST_F(keep, with_an_owner)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .ttl = LONG };

	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "0", &arg));
	arg = (struct metastore_set) { .flags = METASTORE_F_OWNED | METASTORE_F_KEEP_TTL };
	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "1", &arg));
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(self->fd, "k"));
	EXPECT_LT(LONG / 2, ttl_of(self->fd, "k"));
	ASSERT_EQ(0, keep(self->fd, METASTORE_IOC_SET, "2"));
	EXPECT_EQ(METASTORE_OWNER_NONE, ms_owner(self->fd, "k"));
	EXPECT_LT(LONG / 2, ttl_of(self->fd, "k"));
}

TEST_F(keep, einval_with_a_time_to_live)
{
	struct metastore_set arg = { .flags = METASTORE_F_KEEP_TTL, .ttl = 1 };
	struct metastore_delete delete = {
		.key = ms_ptr("k"), .key_len = 1, .flags = METASTORE_F_KEEP_TTL,
	};

	ASSERT_EQ(0, ms_set(self->fd, "k", "0", NULL));
	EXPECT_EQ(-EINVAL, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "1", &arg));
	EXPECT_EQ(-EINVAL, ms_store_with(self->fd, METASTORE_IOC_PUBLISH, "k", "1", &arg));
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_DELETE, &delete));
	EXPECT_STREQ("0", ms_str(self->fd, "k"));
}

TEST_F(keep, in_batches)
{
	struct metastore_op ops[] = { ms_op_set("k", "1"), ms_op_set("l", "1") };
	__u32 flags;

	for (flags = 0; flags <= ATOMIC; flags++) {
		ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "0", LONG, NULL));
		ASSERT_EQ(0, ms_set(self->fd, "l", "0", NULL));
		ops[0].flags = METASTORE_F_KEEP_TTL;
		ops[1].flags = METASTORE_F_KEEP_TTL;
		ASSERT_EQ(0, ms_batch(self->fd, ops, 2, flags, NULL));
		EXPECT_LT(LONG / 2, ttl_of(self->fd, "k"));
		EXPECT_EQ(0, ttl_of(self->fd, "l"));
	}
}

TEST_HARNESS_MAIN
