// SPDX-License-Identifier: GPL-2.0
/* Several operations in one call: one after the other, or all at one moment */
#include <stddef.h>

#include "metastore_test.h"

#define ATOMIC	METASTORE_BATCH_ATOMIC

FIXTURE(batch)
{
	int fd;
	int other;		/* another open file, which owns "his" */
	struct ms_reader r;
	char buf[64];
	__u64 version;		/* of "old", whose value is "0123456789" */
};

FIXTURE_SETUP(batch)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->other = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_EQ(0, ms_own(self->other, "his", "value", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "old", "0123456789", &self->version));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	memset(self->buf, POISON, sizeof(self->buf));
}

FIXTURE_TEARDOWN(batch)
{
	close(self->other);
	close(self->fd);
}

static struct metastore_op with(struct metastore_op op, __u32 flags)
{
	op.flags |= flags;
	return op;
}

/* One after the other */

TEST_F(batch, each_operation)
{
	char before[16], after[16];
	struct metastore_op ops[] = {
		ms_op_set("a", "1"),
		ms_op_get("a", before, sizeof(before)),
		ms_op_publish("b", "22"),
		ms_op_delete("a"),
		ms_op_get("a", after, sizeof(after)),
	};
	__u32 failed;

	ASSERT_EQ(0, ms_subscribe(self->fd, "b", 0, 0));
	memset(after, POISON, sizeof(after));
	ASSERT_EQ(0, ms_batch(self->fd, ops, ARRAY_SIZE(ops), 0, &failed));
	EXPECT_EQ(4, failed);
	EXPECT_EQ(0, ops[0].result);
	EXPECT_NE(0, ops[0].version);
	EXPECT_EQ(0, ops[1].result);
	EXPECT_EQ(1, ops[1].value_len);
	EXPECT_EQ('1', before[0]);
	EXPECT_EQ(ops[0].version, ops[1].version);
	EXPECT_EQ(METASTORE_OWNER_NONE, ops[1].owner);
	EXPECT_EQ(0, ops[1].ttl);
	EXPECT_EQ(0, ops[2].result);
	EXPECT_EQ(1, ops[2].queues);
	EXPECT_EQ(ms_version(self->fd, "b"), ops[2].version);
	EXPECT_EQ(0, ops[3].result);
	EXPECT_LT(ops[0].version, ops[3].version);
	EXPECT_EQ(-ENOENT, ops[4].result);
	EXPECT_EQ((char)POISON, after[0]);
	EXPECT_EQ(sizeof(after), ops[4].value_len);
	EXPECT_STREQ("22", ms_str(self->fd, "b"));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "a"));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .version = ops[2].version,
		     .key = "b", .value = "22");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* What is input stays as it was */
TEST_F(batch, inputs_stay)
{
	struct metastore_op ops[] = {
		ms_op_set("a", "1"), ms_op_get("a", self->buf, 8), ms_op_delete("a"),
	};
	struct metastore_batch arg = {
		.ops = ms_ptr(ops),
		.nr = ARRAY_SIZE(ops),
		.op_size = sizeof(ops[0]),
	};
	int i;

	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
	EXPECT_EQ(ms_ptr(ops), arg.ops);
	EXPECT_EQ(3, arg.nr);
	EXPECT_EQ(3, arg.failed);
	EXPECT_EQ(sizeof(ops[0]), arg.op_size);
	EXPECT_EQ(0, arg.flags);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, ops[i].key_len);
		EXPECT_EQ('a', *(char *)(uintptr_t)ops[i].key);
		EXPECT_EQ(0, ops[i].flags);
	}
	EXPECT_EQ(METASTORE_OP_SET, ops[0].op);
	EXPECT_EQ(1, ops[0].value_len);
	EXPECT_EQ(METASTORE_OP_GET, ops[1].op);
	EXPECT_EQ(ms_ptr(self->buf), ops[1].value);
	EXPECT_EQ(METASTORE_OP_DELETE, ops[2].op);
}

TEST_F(batch, conditions)
{
	struct metastore_op ops[] = {
		with(ms_op_set("old", "new"), METASTORE_F_CREATE),
		with(ms_op_set("absent", "new"), METASTORE_F_REPLACE),
		ms_op_if(ms_op_publish("old", "new"), self->version + 1),
		ms_op_if(ms_op_delete("old"), self->version - 1),
		ms_op_if(ms_op_delete("absent"), 5),
		ms_op_delete("absent"),
		with(ms_op_publish("absent", "new"), METASTORE_F_CREATE),
		with(ms_op_set("absent", "newer"), METASTORE_F_REPLACE),
		ms_op_if(ms_op_set("old", "new"), self->version),
	};
	static const int results[] = {
		-EEXIST, -ENOENT, -ESTALE, -ESTALE, -ESTALE, -ENOENT, 0, 0, 0,
	};
	size_t i;

	ops[1].version = POISON64;
	ASSERT_EQ(0, ms_batch(self->fd, ops, ARRAY_SIZE(ops), 0, NULL));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		EXPECT_EQ(results[i], ops[i].result);
	EXPECT_EQ(self->version, ops[0].version);
	EXPECT_EQ(POISON64, ops[1].version);
	EXPECT_EQ(self->version, ops[2].version);
	EXPECT_EQ(self->version, ops[3].version);
	EXPECT_EQ(0, ops[4].version);
	EXPECT_STREQ("newer", ms_str(self->fd, "absent"));
	EXPECT_STREQ("new", ms_str(self->fd, "old"));
}

TEST_F(batch, owner_and_ttl)
{
	struct metastore_op ops[] = {
		ms_op_set("his", "mine"),
		ms_op_delete("his"),
		ms_op_get("his", self->buf, 5),
		with(ms_op_set("his", "mine"), METASTORE_F_STEAL | METASTORE_F_OWNED),
		ms_op_set("short", "life"),
		ms_op_get("short", self->buf, 5),
	};

	ops[4].ttl = 1000000;
	ASSERT_EQ(0, ms_batch(self->fd, ops, ARRAY_SIZE(ops), 0, NULL));
	EXPECT_EQ(-EBUSY, ops[0].result);
	EXPECT_EQ(-EBUSY, ops[1].result);
	EXPECT_EQ(0, ops[2].result);
	EXPECT_EQ(METASTORE_OWNER_OTHER, ops[2].owner);
	EXPECT_EQ(0, ops[2].ttl);
	EXPECT_EQ(0, ops[3].result);
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(self->fd, "his"));
	EXPECT_EQ(0, ops[5].result);
	EXPECT_EQ(METASTORE_OWNER_NONE, ops[5].owner);
	EXPECT_LT(900000, ops[5].ttl);
	EXPECT_GE(1000000, ops[5].ttl);
}

/* Operations that are refused, each for one reason, and the reason */
struct refusal {
	struct metastore_op op;
	int result;
};

static struct refusal refuse(struct metastore_op op, int result)
{
	return (struct refusal) { op, result };
}

#define REFUSALS	40

/* Those that need no look at the store, and those that do. Returns their number. */
static int make_refusals(struct _test_data_batch *self, struct refusal *list)
{
	static char long_value[65537], long_key[257];
	char *page = ms_guarded(1);
	struct metastore_op op;
	int n = 0;

	memset(long_key, 'k', 256);
	list[n++] = refuse((struct metastore_op) { .key = ms_ptr("k"), .key_len = 1 }, -EINVAL);
	op = ms_op_set("k", "v");
	op.op = METASTORE_OP_PUBLISH + 1;
	list[n++] = refuse(op, -EINVAL);
	op.op = ~0U;
	list[n++] = refuse(op, -EINVAL);
	list[n++] = refuse(ms_op_set("", "v"), -EINVAL);
	list[n++] = refuse(ms_op_set(long_key, "v"), -EINVAL);
	list[n++] = refuse(ms_op_delete(""), -EINVAL);
	list[n++] = refuse(ms_op_get(long_key, self->buf, 8), -EINVAL);
	list[n++] = refuse(with(ms_op_set("k", "v"), 0x20), -EINVAL);
	list[n++] = refuse(with(ms_op_publish("k", "v"), 1U << 31), -EINVAL);
	list[n++] = refuse(with(ms_op_set("k", "v"), METASTORE_F_CREATE | METASTORE_F_REPLACE),
			   -EINVAL);
	list[n++] = refuse(with(ms_op_delete("old"), METASTORE_F_REPLACE), -EINVAL);
	list[n++] = refuse(with(ms_op_delete("old"), METASTORE_F_OWNED), -EINVAL);
	list[n++] = refuse(with(ms_op_get("old", self->buf, 16), METASTORE_F_STEAL), -EINVAL);
	op = ms_op_set("k", "v");
	op.ttl = METASTORE_TTL_MAX + 1;
	list[n++] = refuse(op, -EINVAL);
	/* What the operation has no use for */
	op = ms_op_delete("old");
	op.value = ms_ptr(self->buf);
	list[n++] = refuse(op, -EINVAL);
	op = ms_op_delete("old");
	op.value_len = 1;
	list[n++] = refuse(op, -EINVAL);
	op = ms_op_delete("old");
	op.ttl = 1;
	list[n++] = refuse(op, -EINVAL);

	op = ms_op_set("k", "v");
	op.key = ms_ptr(page + 4096);
	list[n++] = refuse(op, -EFAULT);
	op = ms_op_delete("old");
	op.key = 0;
	list[n++] = refuse(op, -EFAULT);
	op = ms_op_get("old", self->buf, 16);
	op.key = 1ULL << 62;
	list[n++] = refuse(op, -EFAULT);
	list[n++] = refuse(ms_op(METASTORE_OP_SET, "k", page + 4090, 7), -EFAULT);
	list[n++] = refuse(ms_op(METASTORE_OP_PUBLISH, "k", page, 4097), -EFAULT);
	list[n++] = refuse(ms_op(METASTORE_OP_SET, "k", long_value, 65537), -EMSGSIZE);

	list[n++] = refuse(ms_op_delete("absent"), -ENOENT);
	list[n++] = refuse(with(ms_op_set("absent", "v"), METASTORE_F_REPLACE), -ENOENT);
	list[n++] = refuse(with(ms_op_publish("old", "v"), METASTORE_F_CREATE), -EEXIST);
	list[n++] = refuse(ms_op_if(ms_op_set("old", "v"), 1), -ESTALE);
	list[n++] = refuse(ms_op_if(ms_op_set("absent", "v"), 1), -ESTALE);
	list[n++] = refuse(ms_op_if(ms_op_delete("old"), 1), -ESTALE);
	list[n++] = refuse(ms_op_set("his", "v"), -EBUSY);
	list[n++] = refuse(ms_op_publish("his", "v"), -EBUSY);
	list[n++] = refuse(ms_op_delete("his"), -EBUSY);
	list[n++] = refuse(ms_op_get("old", self->buf, 9), -ERANGE);
	list[n++] = refuse(ms_op_get("old", NULL, 0), -ERANGE);
	return n;
}

/* Whether a refused operation, of which [out] fields were poisoned, is as it should be */
static bool is_refused(const struct metastore_op *op, const struct refusal *refusal,
		       __u64 version)
{
	bool absent = op->key_len == 6;

	if (op->result != refusal->result)
		return false;
	switch (op->result) {
	case -ERANGE:
		return op->version == version && op->value_len == 10 && op->ttl == POISON64;
	case -ESTALE:
	case -EEXIST:
		return op->version == (absent ? 0 : version);
	}
	return op->version == refusal->op.version && op->value_len == refusal->op.value_len;
}

/* Poisons what of an operation is [out] alone */
static void poison(struct metastore_op *op)
{
	if (!(op->flags & METASTORE_F_IF_VERSION))
		op->version = POISON64;
	if (op->op == METASTORE_OP_PUBLISH)
		op->queues = POISON32;
	if (op->op == METASTORE_OP_GET)
		op->ttl = POISON64;
}

static bool buffer_untouched(struct _test_data_batch *self)
{
	return (__u8)self->buf[0] == POISON &&
	       !memcmp(self->buf, self->buf + 1, sizeof(self->buf) - 1);
}

/* Each has its own result, and none stops the others */
TEST_F(batch, each_errno)
{
	struct refusal refusals[REFUSALS];
	struct metastore_op ops[2 * REFUSALS + 1];
	int i, n = make_refusals(self, refusals);
	char keys[REFUSALS + 1][8];
	__u32 failed;

	ASSERT_GE(REFUSALS, n);
	for (i = 0; i <= n; i++) {
		snprintf(keys[i], sizeof(keys[i]), "n%d", i);
		ops[2 * i] = ms_op_set(keys[i], "v");
		if (i == n)
			break;
		poison(&refusals[i].op);
		ops[2 * i + 1] = refusals[i].op;
	}
	ASSERT_EQ(0, ms_subscribe(self->fd, "old", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "his", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 2 * n + 1, 0, &failed));
	EXPECT_EQ(1, failed);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(0, ops[2 * i].result);
		EXPECT_TRUE(is_refused(&ops[2 * i + 1], &refusals[i], self->version)) {
			TH_LOG("refusal %d: wanted %d, got %d, version %llu, queues %#x", i,
			       refusals[i].result, ops[2 * i + 1].result, ops[2 * i + 1].version,
			       ops[2 * i + 1].queues);
		}
		EXPECT_EQ(refusals[i].op.queues, ops[2 * i + 1].queues);
	}
	EXPECT_EQ(0, ops[2 * n].result);
	EXPECT_EQ(2 + n + 1, ms_keys(self->fd));
	EXPECT_EQ(self->version, ms_version(self->fd, "old"));
	EXPECT_STREQ("value", ms_str(self->fd, "his"));
	EXPECT_TRUE(buffer_untouched(self));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Each descriptor does what it is open for, whatever else the batch has */
TEST_F(batch, ebadf)
{
	int modes[] = { O_RDONLY, O_WRONLY, O_ACCMODE }, fd;
	__u32 i, failed;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		bool reads = modes[i] == O_RDONLY, writes = modes[i] == O_WRONLY;
		struct metastore_op ops[] = {
			ms_op_get("old", self->buf, 16),
			ms_op_set("k", "v"),
			ms_op_publish("k", "v"),
			ms_op_delete("k"),
		};

		fd = ms_open(modes[i]);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ms_batch(fd, ops, 4, 0, &failed));
		EXPECT_EQ(reads ? 1 : 0, failed);
		EXPECT_EQ(reads ? 0 : -EBADF, ops[0].result);
		EXPECT_EQ(writes ? 0 : -EBADF, ops[1].result);
		EXPECT_EQ(writes ? 0 : -EBADF, ops[2].result);
		EXPECT_EQ(writes ? 0 : -EBADF, ops[3].result);
		EXPECT_EQ(2, ms_keys(self->fd));

		/* The first that it is not open for is the reason */
		EXPECT_EQ(-ECANCELED, ms_batch(fd, ops, 2, ATOMIC, &failed));
		EXPECT_EQ(reads ? 1 : 0, failed);
		EXPECT_EQ(reads ? -ECANCELED : -EBADF, ops[0].result);
		EXPECT_EQ(2, ms_keys(self->fd));
		close(fd);
	}
}

/* Refused as a whole: neither the store nor any operation changes */
static void expect_no_batch(struct __test_metadata *_metadata, struct _test_data_batch *self,
			    int err, struct metastore_batch arg)
{
	struct metastore_op *ops = (void *)(uintptr_t)arg.ops, copy[300];
	struct metastore_batch before = arg;

	memcpy(copy, ops, sizeof(copy));
	EXPECT_EQ(err, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg)) {
		TH_LOG("%u operations of %u bytes, flags %#x", arg.nr, arg.op_size, arg.flags);
	}
	EXPECT_EQ(0, memcmp(&before, &arg, sizeof(arg)));
	EXPECT_EQ(0, memcmp(copy, ops, sizeof(copy)));
	EXPECT_EQ(2, ms_keys(self->fd));
	EXPECT_EQ(self->version, ms_version(self->fd, "old"));
	EXPECT_TRUE(ms_silent(self->fd));
}

static struct metastore_batch batch_of(struct metastore_op *ops, __u32 nr, __u32 flags)
{
	return (struct metastore_batch) {
		.ops = ms_ptr(ops),
		.nr = nr,
		.op_size = sizeof(*ops),
		.flags = flags,
		.failed = POISON32,
	};
}

/* 300 that are good and of as many keys */
static struct metastore_op *many_sets(void)
{
	struct metastore_op *ops = calloc(300, sizeof(*ops));
	static char keys[300][8];
	int i;

	for (i = 0; i < 300; i++) {
		snprintf(keys[i], sizeof(keys[i]), "n%d", i);
		ops[i] = ms_op_set(keys[i], "v");
		ops[i].result = POISON32;
		ops[i].version = POISON64;
	}
	return ops;
}

TEST_F(batch, einval_nr)
{
	struct metastore_op *ops = many_sets();

	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, 0, 0));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, 0, ATOMIC));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, METASTORE_BATCH_MAX + 1, 0));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, 0x80000000, 0));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, ~0U, 0));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, METASTORE_ATOMIC_MAX + 1, ATOMIC));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, METASTORE_BATCH_MAX, ATOMIC));
	expect_no_batch(_metadata, self, -EINVAL, batch_of(ops, ~0U, ATOMIC));
}

TEST_F(batch, as_many_as_may_be)
{
	struct metastore_op *ops = many_sets();
	__u32 failed, i;

	ASSERT_EQ(0, ms_batch(self->fd, ops, METASTORE_BATCH_MAX, 0, &failed));
	EXPECT_EQ(METASTORE_BATCH_MAX, failed);
	for (i = 0; i < METASTORE_BATCH_MAX; i++)
		ASSERT_EQ(0, ops[i].result);
	EXPECT_EQ(2 + METASTORE_BATCH_MAX, ms_keys(self->fd));
	ops += 300 - METASTORE_ATOMIC_MAX;
	ASSERT_EQ(0, ms_batch(self->fd, ops, METASTORE_ATOMIC_MAX, ATOMIC, &failed));
	EXPECT_EQ(METASTORE_ATOMIC_MAX, failed);
	for (i = 0; i < METASTORE_ATOMIC_MAX; i++)
		ASSERT_EQ(0, ops[i].result);
}

/* Each in a bucket of its own: so many locks are held at once */
TEST_F(batch, as_many_locks_as_may_be)
{
	static char keys[METASTORE_ATOMIC_MAX][16];
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	static bool seen[65536];
	__u32 nr = 0, number, bucket, failed;
	struct metastore_info info;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	if (info.buckets < 4 * METASTORE_ATOMIC_MAX)
		SKIP(return, "too few buckets");
	for (number = 0; nr < METASTORE_ATOMIC_MAX; number++) {
		snprintf(keys[nr], sizeof(keys[nr]), "lock.%u", number);
		bucket = ms_bucket(self->fd, keys[nr]);
		ASSERT_GT(info.buckets, bucket);
		if (seen[bucket])
			continue;
		seen[bucket] = true;
		ops[nr] = ms_op_set(keys[nr], "v");
		nr++;
	}
	ASSERT_EQ(0, ms_batch(self->fd, ops, nr, ATOMIC, &failed));
	EXPECT_EQ(nr, failed);
	EXPECT_EQ(2 + nr, ms_keys(self->fd));
	for (number = 0; number < nr; number++)
		ops[number] = ms_op_delete(keys[number]);
	ASSERT_EQ(0, ms_batch(self->fd, ops, nr, ATOMIC, &failed));
	EXPECT_EQ(2, ms_keys(self->fd));
}

/* Keys of an atomic batch, together: one byte more than may be, and as many */
TEST_F(batch, emsgsize_keys)
{
	enum { LEN = METASTORE_ATOMIC_KEYS / METASTORE_ATOMIC_MAX };
	static char keys[METASTORE_ATOMIC_MAX][LEN + 2];
	struct metastore_op *ops = many_sets();
	__u32 i;

	for (i = 0; i < METASTORE_ATOMIC_MAX; i++) {
		memset(keys[i], 'k', LEN + (i == 70));
		keys[i][0] = i;
		ops[i] = ms_op(METASTORE_OP_SET, keys[i], "v", 1);
		ops[i].key_len = LEN + (i == 70);
		ops[i].result = POISON32;
	}
	expect_no_batch(_metadata, self, -EMSGSIZE,
			batch_of(ops, METASTORE_ATOMIC_MAX, ATOMIC));
	ops[70].key_len = LEN;
	EXPECT_EQ(0, ms_batch(self->fd, ops, METASTORE_ATOMIC_MAX, ATOMIC, NULL));
	EXPECT_EQ(2 + METASTORE_ATOMIC_MAX, ms_keys(self->fd));
	/* One after the other they may be longer */
	ops[70].key_len = LEN + 1;
	EXPECT_EQ(0, ms_batch(self->fd, ops, METASTORE_ATOMIC_MAX, 0, NULL));
}

TEST_F(batch, einval_op_size)
{
	struct metastore_op *ops = many_sets();
	struct metastore_batch arg = batch_of(ops, 2, 0);
	__u32 size;

	for (size = 0; size < offsetof(struct metastore_op, previous); size++) {
		arg.op_size = size;
		arg.flags = size % 2;
		expect_no_batch(_metadata, self, -EINVAL, arg);
	}
}

/*
 * As a program built with another header has them: shorter, or longer and nothing in what
 * is new
 */
TEST_F(batch, operations_of_other_sizes)
{
	static const __u32 sizes[] = { 56, 57, 64, 79, 80, 81, 88, 100, 1024, 4096 };
	struct metastore_op *ops = many_sets(), op;
	size_t i, n, flags;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (flags = 0; flags < 2; flags++) {
			char *bytes = calloc(3, sizes[i]);
			struct metastore_batch arg = batch_of((void *)bytes, 3, flags);
			size_t known = sizes[i] < sizeof(op) ? sizes[i] : sizeof(op);

			arg.op_size = sizes[i];
			for (n = 0; n < 3; n++)
				memcpy(bytes + n * sizes[i], &ops[n], known);
			ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
			ASSERT_EQ(3, arg.failed);
			for (n = 0; n < 3; n++) {
				memcpy(&op, bytes + n * sizes[i], known);
				ASSERT_EQ(0, op.result);
				ASSERT_EQ(ms_version(self->fd, (char *)(uintptr_t)op.key),
					  op.version);
			}
			free(bytes);
		}
	}
	EXPECT_EQ(2 + 3, ms_keys(self->fd));
}

/* One with something in what is new is refused, as another would be for what is known */
TEST_F(batch, e2big)
{
	const __u32 size = sizeof(struct metastore_op) + 8;
	struct metastore_op *ops = many_sets();
	char *bytes = calloc(3, size), *copy = malloc(3 * size);
	struct metastore_batch arg = batch_of((void *)bytes, 3, ATOMIC);
	const __s32 *result = (void *)(bytes + size + offsetof(struct metastore_op, result));
	int n, at;

	arg.op_size = size;
	for (at = 0; at < 8; at++) {
		for (n = 0; n < 3; n++)
			memcpy(bytes + n * size, &ops[n], sizeof(*ops));
		bytes[size + sizeof(*ops) + at] = 1;
		memcpy(copy, bytes, 3 * size);

		arg.flags = ATOMIC;
		EXPECT_EQ(-ECANCELED, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(1, arg.failed);
		EXPECT_EQ(-E2BIG, *result);
		EXPECT_EQ(2, ms_keys(self->fd));

		arg.flags = 0;
		EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(1, arg.failed);
		EXPECT_EQ(-E2BIG, *result);
		/* Nothing of it is changed but that */
		memcpy(copy + size + offsetof(struct metastore_op, result), result,
		       sizeof(*result));
		EXPECT_EQ(0, memcmp(copy + size, bytes + size, size));
		EXPECT_STREQ("v", ms_str(self->fd, "n0"));
		EXPECT_STREQ("ENOENT", ms_str(self->fd, "n1"));
		EXPECT_STREQ("v", ms_str(self->fd, "n2"));
		ASSERT_EQ(0, ms_delete(self->fd, "n0", NULL));
		ASSERT_EQ(0, ms_delete(self->fd, "n2", NULL));
	}
}

/* Longer than anybody will ever want them */
TEST_F(batch, e2big_op_size)
{
	struct metastore_op *ops = calloc(3, 5000);
	struct metastore_batch arg = batch_of(ops, 2, 0);

	for (arg.flags = 0; arg.flags < 2; arg.flags++) {
		arg.op_size = 4097;
		expect_no_batch(_metadata, self, -E2BIG, arg);
		arg.op_size = 5000;
		expect_no_batch(_metadata, self, -E2BIG, arg);
		arg.op_size = ~0U;
		expect_no_batch(_metadata, self, -E2BIG, arg);
	}
}

TEST_F(batch, efault_operations)
{
	struct metastore_op *ops = many_sets();
	char *page = ms_guarded(1);
	struct metastore_batch arg = batch_of(NULL, 2, 0);
	__u32 flags;

	ASSERT_TRUE(!!page);
	for (flags = 0; flags < 2; flags++) {
		arg.flags = flags;
		arg.ops = 0;
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		arg.ops = ms_ptr(page + 4096);
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		arg.ops = 1ULL << 62;
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		arg.ops = -4096ULL;
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		arg.ops = ms_ptr(page + 4096 - 30);
		memcpy(page + 4096 - 30, ops, 30);
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
	}
	EXPECT_EQ(2, ms_keys(self->fd));
	EXPECT_EQ(POISON32, arg.failed);
}

/* Bad from the third on, or from its middle: an atomic batch does nothing */
TEST_F(batch, efault_further_on)
{
	struct metastore_op *ops = many_sets(), *last;
	char *page = ms_guarded(1);
	size_t inside;

	/* The fields behind those are read if a flag asks for it */
	for (inside = 0; inside < offsetof(struct metastore_op, previous); inside += 8) {
		struct metastore_batch arg = batch_of(NULL, 4, ATOMIC);

		last = (void *)(page + 4096 - inside - 2 * sizeof(*ops));
		memcpy(last, ops, 2 * sizeof(*ops) + inside);
		arg.ops = ms_ptr(last);
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(2, ms_keys(self->fd));
		EXPECT_EQ((__s32)POISON32, last[0].result);

		arg.flags = 0;
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(0, last[0].result);
		EXPECT_EQ(0, last[1].result);
		EXPECT_EQ(ms_version(self->fd, "n1"), last[1].version);
		EXPECT_EQ(4, ms_keys(self->fd));
		ASSERT_EQ(0, ms_delete(self->fd, "n0", NULL));
		ASSERT_EQ(0, ms_delete(self->fd, "n1", NULL));
	}
}

/* Done, not reported */
TEST_F(batch, efault_results)
{
	struct metastore_op *ops = many_sets(), *page;
	struct metastore_batch arg;
	__u32 flags;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)page);
	memcpy(page, ops, 2 * sizeof(*ops));
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	for (flags = 0; flags < 2; flags++) {
		arg = batch_of(page, flags ? 2 : 1, flags);
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_BATCH, &arg));
		EXPECT_EQ(flags ? 4 : 3, ms_keys(self->fd));
		ASSERT_EQ(0, ms_delete(self->fd, "n0", NULL));
	}
	EXPECT_EQ((__s32)POISON32, page->result);
}

/* That a value cannot be copied out stops no other, and turns up too late to cancel */
TEST_F(batch, efault_value_got)
{
	char *page = ms_guarded(1);
	__u32 flags, failed;

	for (flags = 0; flags < 2; flags++) {
		struct metastore_op ops[] = {
			ms_op_set("k", "v"), ms_op_get("old", page + 4096 - 5, 16),
			ms_op_set("l", "v"),
		};

		EXPECT_EQ(0, ms_batch(self->fd, ops, 3, flags, &failed));
		EXPECT_EQ(flags ? 3 : 1, failed);
		EXPECT_EQ(0, ops[0].result);
		EXPECT_EQ(-EFAULT, ops[1].result);
		EXPECT_EQ(0, ops[2].result);
		EXPECT_EQ(0, ms_delete(self->fd, "k", NULL));
		EXPECT_EQ(0, ms_delete(self->fd, "l", NULL));
	}
}

/* The same structure again, as a program that polls has it */
TEST_F(batch, get_again)
{
	struct metastore_op ops[] = {
		ms_op_get("his", self->buf, 8), ms_op_get("old", self->buf + 8, 16),
	};
	struct metastore_get get = {
		.key = ms_ptr("his"),
		.value = ms_ptr(self->buf),
		.key_len = 3,
	};
	int i;

	EXPECT_EQ(-ERANGE, ms_ioctl(self->fd, METASTORE_IOC_GET, &get));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, ms_batch(self->fd, ops, 2, i, NULL));
		EXPECT_EQ(0, ops[0].result);
		EXPECT_EQ(METASTORE_OWNER_OTHER, ops[0].owner);
		EXPECT_EQ(0, ops[1].result);
		EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_GET, &get));
		EXPECT_EQ(METASTORE_OWNER_OTHER, get.owner);
	}
}

/* All at one moment */

TEST_F(batch, atomic)
{
	struct metastore_op ops[] = {
		ms_op_set("a", "1"),
		ms_op_publish("b", "2"),
		ms_op_get("old", self->buf, 16),
		ms_op_delete("c"),
		with(ms_op_set("d", "4"), METASTORE_F_OWNED),
		ms_op_set("e", "5"),
	};
	struct metastore_stat st;
	__u32 failed;

	ASSERT_EQ(0, ms_set(self->fd, "c", "3", NULL));
	ops[5].ttl = 1000000;
	ASSERT_EQ(0, ms_batch(self->fd, ops, ARRAY_SIZE(ops), ATOMIC, &failed));
	EXPECT_EQ(ARRAY_SIZE(ops), failed);
	EXPECT_STREQ("1", ms_str(self->fd, "a"));
	EXPECT_EQ(ops[0].version, ms_version(self->fd, "a"));
	EXPECT_STREQ("2", ms_str(self->fd, "b"));
	EXPECT_EQ(0, ops[1].queues);
	EXPECT_EQ(ops[1].version, ms_version(self->fd, "b"));
	EXPECT_EQ(0, ops[2].result);
	EXPECT_EQ(10, ops[2].value_len);
	EXPECT_EQ(self->version, ops[2].version);
	EXPECT_EQ(0, memcmp("0123456789\xcc", self->buf, 11));
	EXPECT_EQ(0, ops[3].result);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "c"));
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(self->fd, "d"));
	ASSERT_EQ(0, ms_stat(self->fd, "e", &st));
	EXPECT_LT(900000, st.ttl);
	EXPECT_EQ(2 + 4, ms_keys(self->fd));
}

/* For each reason, and wherever in the batch it is: nothing at all */
TEST_F(batch, all_or_nothing)
{
	struct refusal refusals[REFUSALS];
	int i, n, at, which = make_refusals(self, refusals);
	struct metastore_info before, after;
	struct metastore_op ops[5];
	__u64 kept;
	__u32 failed;

	ASSERT_EQ(0, ms_set(self->fd, "kept", "value", &kept));
	ASSERT_EQ(0, ms_set(self->fd, "kept2", "value", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "old", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "his", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "kept", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "new", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &before));
	for (i = 0; i < which; i++) {
		poison(&refusals[i].op);
		for (at = 0; at < 5; at++) {
			ops[0] = ms_op_set("new", "value");
			ops[1] = ms_op_publish("new2", "value");
			ops[2] = ms_op_get("kept", self->buf, 16);
			ops[3] = ms_op_delete("kept2");
			ops[4] = ms_op_set("new3", "value");
			for (n = 0; n < 5; n++)
				poison(&ops[n]);
			ops[at] = refusals[i].op;
			ASSERT_EQ(-ECANCELED, ms_batch(self->fd, ops, 5, ATOMIC, &failed)) {
				TH_LOG("refusal %d", i);
			}
			ASSERT_EQ(at, failed);
			ASSERT_TRUE(is_refused(&ops[at], &refusals[i], self->version)) {
				TH_LOG("refusal %d: %d, not %d", i, ops[at].result,
				       refusals[i].result);
			}
			for (n = 0; n < 5; n++) {
				if (n == at)
					continue;
				ASSERT_EQ(-ECANCELED, ops[n].result);
				ASSERT_EQ(POISON64, ops[n].version);
			}
			ASSERT_TRUE(buffer_untouched(self));
		}
	}
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &after));
	EXPECT_EQ(before.keys, after.keys);
	EXPECT_EQ(before.bytes, after.bytes);
	EXPECT_EQ(self->version, ms_version(self->fd, "old"));
	EXPECT_EQ(kept, ms_version(self->fd, "kept"));
	EXPECT_STREQ("value", ms_str(self->fd, "his"));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Of several reasons the first one is told */
TEST_F(batch, first_reason)
{
	struct metastore_op ops[] = {
		ms_op_set("a", "1"),
		ms_op_delete("absent"),
		ms_op_set("his", "mine"),
		with(ms_op_set("old", "new"), METASTORE_F_CREATE),
	};
	__u32 failed;

	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, ops, ARRAY_SIZE(ops), ATOMIC, &failed));
	EXPECT_EQ(1, failed);
	EXPECT_EQ(-ECANCELED, ops[0].result);
	EXPECT_EQ(-ENOENT, ops[1].result);
	EXPECT_EQ(-ECANCELED, ops[2].result);
	EXPECT_EQ(-ECANCELED, ops[3].result);
}

/* That there is no value is an answer */
TEST_F(batch, get_of_absent_does_not_cancel)
{
	struct metastore_op ops[] = {
		ms_op_get("absent", self->buf, 8),
		ms_op_set("a", "1"),
		ms_op_get("absent too", self->buf, 8),
	};
	__u32 failed;

	poison(&ops[0]);
	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, ATOMIC, &failed));
	EXPECT_EQ(3, failed);
	EXPECT_EQ(-ENOENT, ops[0].result);
	EXPECT_EQ(POISON64, ops[0].version);
	EXPECT_EQ(8, ops[0].value_len);
	EXPECT_EQ(0, ops[1].result);
	EXPECT_EQ(-ENOENT, ops[2].result);
	EXPECT_STREQ("1", ms_str(self->fd, "a"));
	EXPECT_TRUE(buffer_untouched(self));
}

TEST_F(batch, einval_same_key)
{
	static const char copy[] = "n0";
	struct metastore_op *ops = many_sets();
	__u32 at, i;

	/* Of the same bytes, wherever they are, and whatever is done with them */
	for (at = 1; at < METASTORE_ATOMIC_MAX; at += 5) {
		for (i = 0; i < 4; i++) {
			struct metastore_op kept = ops[at];

			ops[at] = i == 0 ? ms_op_set(copy, "v") : i == 1 ? ms_op_delete(copy) :
				  i == 2 ? ms_op_publish(copy, "v") :
					   ms_op_get(copy, self->buf, 8);
			expect_no_batch(_metadata, self, -EINVAL,
					batch_of(ops, METASTORE_ATOMIC_MAX, ATOMIC));
			ops[at] = kept;
		}
	}
	/* "n1" and "n10" are two */
	EXPECT_EQ(0, ms_batch(self->fd, ops, METASTORE_ATOMIC_MAX, ATOMIC, NULL));
	/* One after the other is another thing */
	ops[1] = ops[0];
	EXPECT_EQ(0, ms_batch(self->fd, ops, 2, 0, NULL));
	EXPECT_LT(ops[0].version, ops[1].version);
}

/* What ends the life of a value is no part of the batch that finds it over */
TEST_F(batch, expired)
{
	struct metastore_op ops[] = {
		with(ms_op_set("k", "new"), METASTORE_F_CREATE),
		ms_op_if(ms_op_set("l", "new"), 0),
		ms_op_get("m", self->buf, 8),
	};
	__u64 versions[3];
	int i;

	for (i = 0; i < 3; i++) {
		const char *key = i == 0 ? "k" : i == 1 ? "l" : "m";

		ASSERT_EQ(0, ms_subscribe(self->fd, key, EVENTS_ALL, i));
		ASSERT_EQ(0, ms_set_ttl(self->fd, key, "old", 1, &versions[i]));
	}
	ms_wait_until(ms_now(CLOCK_BOOTTIME) + SECOND / 1000);
	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, ATOMIC, NULL));
	EXPECT_EQ(-ENOENT, ops[2].result);
	for (i = 0; i < 8; i++) {
		const struct metastore_event *ev;

		ASSERT_TRUE(ms_await(&self->r));
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		if (ev->type == METASTORE_EVENT_DELETED) {
			EXPECT_EQ(METASTORE_EVENT_F_EXPIRED, ev->flags);
			EXPECT_LT(versions[ev->cookie], ev->version);
			versions[ev->cookie] = ev->version;
		}
	}
	EXPECT_LT(versions[0], ops[0].version);
	EXPECT_LT(versions[1], ops[1].version);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Events */

/* The next one in @r, and whether it says that there are more of its batch */
static void expect_part(struct __test_metadata *_metadata, struct ms_reader *r,
			const char *key, bool more)
{
	const struct metastore_event *ev = ms_next(r);

	ASSERT_TRUE(!!ev);
	EXPECT_EQ(more ? METASTORE_EVENT_F_MORE : 0, ev->flags);
	EXPECT_EQ(strlen(key), ev->key_len);
	EXPECT_EQ(0, memcmp(key, ms_event_key(ev), ev->key_len));
}

/* Each queue has its own last one */
TEST_F(batch, more)
{
	static const char * const subscribed[] = { "abc", "a", "b", "c", "ab", "bc", "ac", "d" };
	struct ms_reader readers[ARRAY_SIZE(subscribed)];
	struct metastore_op ops[] = {
		ms_op_publish("a", "1"), ms_op_set("b", "2"), ms_op_delete("c"),
		ms_op_get("d", self->buf, 8),
	};
	size_t i, n;
	int round;

	for (i = 0; i < ARRAY_SIZE(subscribed); i++) {
		readers[i] = ms_reader(ms_open(O_RDONLY | O_NONBLOCK), 4096);
		for (n = 0; n < strlen(subscribed[i]); n++)
			ASSERT_EQ(0, ms_subscriben(readers[i].fd, &subscribed[i][n], 1, EVENTS_ALL,
						   0));
	}
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, ms_set(self->fd, "c", "3", NULL));
		ASSERT_EQ(0, ms_batch(self->fd, ops, 4, ATOMIC, NULL));
		EXPECT_EQ(4, ops[0].queues);
		for (i = 0; i < ARRAY_SIZE(subscribed) - 1; i++) {
			if (strchr(subscribed[i], 'c'))
				expect_part(_metadata, &readers[i], "c", false);
			for (n = 0; n < strlen(subscribed[i]); n++)
				expect_part(_metadata, &readers[i],
					    subscribed[i][n] == 'a' ? "a" :
					    subscribed[i][n] == 'b' ? "b" : "c",
					    n + 1 < strlen(subscribed[i]));
		}
		for (i = 0; i < ARRAY_SIZE(subscribed); i++)
			EXPECT_TRUE(ms_silent(readers[i].fd));
	}
}

/* What a subscription does not ask for is no part of it */
TEST_F(batch, more_by_mask)
{
	struct metastore_op ops[] = {
		ms_op_publish("a", "1"), ms_op_set("b", "2"), ms_op_publish("c", "3"),
	};

	ASSERT_EQ(0, ms_subscribe(self->fd, "a", METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "c", METASTORE_EVENT_DELETED, 0));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, ATOMIC, NULL));
	EXPECT_EQ(1, ops[0].queues);
	EXPECT_EQ(0, ops[1].queues);
	EXPECT_EQ(0, ops[2].queues);
	expect_part(_metadata, &self->r, "a", false);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* One alone, and those of a batch that is not atomic, have no more */
TEST_F(batch, no_more)
{
	struct metastore_op ops[] = { ms_op_publish("a", "1"), ms_op_publish("b", "2") };

	ASSERT_EQ(0, ms_subscribe(self->fd, "a", 0, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", 0, 0));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 1, ATOMIC, NULL));
	expect_part(_metadata, &self->r, "a", false);
	ASSERT_EQ(0, ms_batch(self->fd, ops, 2, 0, NULL));
	expect_part(_metadata, &self->r, "a", false);
	expect_part(_metadata, &self->r, "b", false);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The former owner has it in the batch's place, though it did not ask for it */
TEST_F(batch, stolen)
{
	struct ms_reader r = ms_reader(self->other, 4096);
	struct metastore_op ops[] = {
		ms_op_set("a", "1"), with(ms_op_set("his", "mine"), METASTORE_F_STEAL),
		ms_op_set("b", "2"),
	};
	const struct metastore_event *ev;

	ASSERT_EQ(0, ms_subscribe(self->other, "a", METASTORE_EVENT_SET, 0));
	ASSERT_EQ(0, ms_subscribe(self->other, "his", METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, ms_subscribe(self->other, "b", METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, ATOMIC, NULL));
	expect_part(_metadata, &r, "a", true);
	ev = ms_next(&r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_F_STOLEN, ev->flags);
	EXPECT_EQ(ops[1].version, ev->version);
	EXPECT_TRUE(ms_silent(self->other));
}

/* A queue too short for the batch keeps its end; the last is the last */
TEST_F(batch, more_than_the_queue_holds)
{
	int store = ms_create(self->fd, O_RDWR | O_NONBLOCK,
			      (struct metastore_create) { .queue_len = 4 });
	struct ms_reader r = ms_reader(store, 4096);
	struct metastore_op *ops = many_sets();
	const struct metastore_event *ev;
	__u64 lost = 0;
	int i;

	ASSERT_LE(0, store);
	for (i = 0; i < 7; i++)
		ASSERT_EQ(0, ms_subscribe(store, (char *)(uintptr_t)ops[i].key,
					  METASTORE_EVENT_SET, i));
	ASSERT_EQ(0, ms_batch(store, ops, 2, ATOMIC, NULL));
	ASSERT_EQ(0, ms_batch(store, ops, 7, ATOMIC, NULL));
	while ((ev = ms_next(&r)) && ev->type == METASTORE_EVENT_LOST)
		lost += ev->count;
	EXPECT_EQ(2 + 3, lost);
	for (i = 3; i < 7; i++, ev = ms_next(&r)) {
		ASSERT_TRUE(!!ev);
		EXPECT_EQ(i, ev->cookie);
		EXPECT_EQ(i < 6 ? METASTORE_EVENT_F_MORE : 0, ev->flags);
	}
	EXPECT_TRUE(!ev);
}

/* One that no queue has room for is counted as lost, and not waited for */
TEST_F(batch, more_without_the_large)
{
	int store = ms_create(self->fd, O_RDWR | O_NONBLOCK,
			      (struct metastore_create) { .queue_bytes = 4096 });
	struct ms_reader r = ms_reader(store, 4096);
	static char large[5000];
	struct metastore_op ops[] = {
		ms_op_set("a", "1"), ms_op(METASTORE_OP_PUBLISH, "b", large, sizeof(large)),
		ms_op_set("c", "3"),
	};

	ASSERT_LE(0, store);
	ASSERT_EQ(0, ms_subscribe(store, "a", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe(store, "b", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe(store, "c", EVENTS_ALL, 2));
	/* First, in the middle, last */
	ASSERT_EQ(0, ms_batch(store, ops + 1, 2, ATOMIC, NULL));
	EXPECT_EQ(0, ops[1].queues);
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	expect_part(_metadata, &r, "c", false);
	ASSERT_EQ(0, ms_batch(store, ops, 3, ATOMIC, NULL));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	expect_part(_metadata, &r, "a", true);
	expect_part(_metadata, &r, "c", false);
	ASSERT_EQ(0, ms_batch(store, ops, 2, ATOMIC, NULL));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	expect_part(_metadata, &r, "a", false);
	EXPECT_TRUE(ms_silent(store));
}

/* Around the number of subscribers where delivery changes its way */
TEST_F(batch, many_subscribers)
{
	static const int counts[] = { 1, 31, 32, 33, 64, 65, 66, 200 };
	int fds[200], i;
	size_t c;

	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		struct metastore_op ops[] = {
			ms_op_publish("a", "1"), ms_op_publish("b", "2"), ms_op_publish("c", "3"),
		};

		ASSERT_EQ(0, ms_open_many(fds, counts[c], "a", EVENTS_ALL));
		for (i = 0; i < counts[c]; i++)
			ASSERT_EQ(0, ms_subscribe(fds[i], i % 2 ? "b" : "c", EVENTS_ALL, 0));
		ASSERT_EQ(0, ms_batch(self->fd, ops, 3, ATOMIC, NULL));
		EXPECT_EQ(counts[c], ops[0].queues);
		EXPECT_EQ(counts[c] / 2, ops[1].queues);
		EXPECT_EQ((counts[c] + 1) / 2, ops[2].queues);
		for (i = 0; i < counts[c]; i++) {
			struct ms_reader r = ms_reader(fds[i], 4096);

			expect_part(_metadata, &r, "a", true);
			expect_part(_metadata, &r, i % 2 ? "b" : "c", false);
			ASSERT_TRUE(ms_silent(fds[i]));
			free(r.buf);
		}
		ms_close_many(fds, counts[c]);
	}
}

/* A batch for an open file with many prefixes */
#define PREFIXED	8

struct prefixed {
	char keys[METASTORE_ATOMIC_MAX][METASTORE_KEY_MAX];
	struct metastore_op ops[METASTORE_ATOMIC_MAX];
	__u32 nr, len;
};

/* Keys of @len bytes that differ in their last one */
static void prefixed_init(struct prefixed *keys, __u32 nr, __u32 len)
{
	__u32 i;

	*keys = (struct prefixed) { .nr = nr, .len = len };
	for (i = 0; i < nr; i++) {
		memset(keys->keys[i], 'k', len);
		keys->keys[i][len - 1] = i;
		keys->ops[i] = (struct metastore_op) {
			.op = METASTORE_OP_PUBLISH,
			.key = ms_ptr(keys->keys[i]),
			.key_len = len,
		};
	}
}

static int prefixed_queue(int fd)
{
	return ms_queue_set_len(fd, 8192) ?: ms_queue_set_bytes(fd, 16 << 20);
}

/* Reads all events; how often each cookie got an event of each key. Returns the runs. */
static int prefixed_read(int fd, __u32 got[][PREFIXED], int *events)
{
	struct ms_reader r = ms_reader(fd, MS_READER_SIZE);
	const struct metastore_event *ev;
	int runs = 0;

	*events = 0;
	while ((ev = ms_next(&r))) {
		if (ev->type == METASTORE_EVENT_PUBLISHED && got)
			got[ev->cookie][(__u8)ms_event_key(ev)[ev->key_len - 1]]++;
		runs += !(ev->flags & METASTORE_EVENT_F_MORE);
		++*events;
	}
	free(r.buf);
	return runs;
}

/* 64 keys for an exact subscription and three prefixes each, all of them adjacent */
TEST_F(batch, more_of_three_prefixes)
{
	struct prefixed keys;
	__u32 i;
	int events;

	prefixed_init(&keys, 64, 16);
	ASSERT_EQ(0, prefixed_queue(self->fd));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, keys.keys[0], i, 0, 0));
	for (i = 0; i < keys.nr; i++)
		ASSERT_EQ(0, ms_subscriben(self->fd, keys.keys[i], keys.len, 0, 0));
	ASSERT_EQ(0, ms_batch(self->fd, keys.ops, keys.nr, ATOMIC, NULL));
	EXPECT_EQ(1, prefixed_read(self->fd, NULL, &events));
	EXPECT_EQ(4 * 64, events);
}

/* More than are enqueued in one section: in parts, and each subscription gets its events once */
TEST_F(batch, in_parts)
{
	static __u32 got[METASTORE_KEY_MAX + 2][PREFIXED];
	struct prefixed keys;
	__u32 len, i;
	int events, runs;

	prefixed_init(&keys, PREFIXED, METASTORE_KEY_MAX);
	ASSERT_EQ(0, prefixed_queue(self->fd));
	for (len = 0; len < METASTORE_KEY_MAX; len++) {
		struct metastore_subscribe args = {
			.key = ms_ptr(keys.keys[0]),
			.key_len = len,
			.cookie = len,
			.flags = METASTORE_SUBSCRIBE_PREFIX,
		};

		if (len % 16 == 0)
			args.flags |= METASTORE_SUBSCRIBE_LATEST;
		ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_SUBSCRIBE, &args));
	}
	for (i = 0; i < PREFIXED; i++) {
		ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, keys.keys[i], keys.len, 0, len));
		ASSERT_EQ(0, ms_subscriben(self->fd, keys.keys[i], keys.len, 0, len + 1));
	}
	ASSERT_EQ(0, ms_batch(self->fd, keys.ops, keys.nr, ATOMIC, NULL));
	runs = prefixed_read(self->fd, got, &events);
	EXPECT_EQ(PREFIXED * (METASTORE_KEY_MAX + 2), events);
	for (len = 0; len < ARRAY_SIZE(got); len++)
		for (i = 0; i < PREFIXED; i++)
			EXPECT_EQ(1, got[len][i]);
	for (i = 0; i < PREFIXED; i++)
		EXPECT_EQ(METASTORE_KEY_MAX + 2, keys.ops[i].queues);
	/* Conflated events are no part of a run; there are 16 prefixes of these. */
	runs -= PREFIXED * 16;
	EXPECT_LE(2, runs);
	EXPECT_GE(9, runs);
}

/* A single subscription of a file that has others to prefixes of all lengths: in a later part */
TEST_F(batch, in_a_later_part)
{
	char other[METASTORE_KEY_MAX];
	struct prefixed keys;
	__u32 len;
	int events;

	prefixed_init(&keys, PREFIXED, METASTORE_KEY_MAX);
	memset(other, 'o', sizeof(other));
	for (len = 1; len <= METASTORE_KEY_MAX; len++)
		ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, other, len, 0, 0));
	ASSERT_EQ(0, ms_subscriben(self->fd, keys.keys[PREFIXED - 1], keys.len, 0, 0));
	ASSERT_EQ(0, ms_batch(self->fd, keys.ops, keys.nr, ATOMIC, NULL));
	EXPECT_EQ(1, keys.ops[PREFIXED - 1].queues);
	EXPECT_EQ(1, prefixed_read(self->fd, NULL, &events));
	EXPECT_EQ(1, events);
}

/* The length of a prefix is searched for as long as the file has one of that length. */
TEST_F(batch, lengths_of_prefixes_come_and_go)
{
	static const char *const others[] = { "ka", "kz" };
	struct metastore_op ops[] = {
		ms_op_publish("kk1", "1"), ms_op_publish("kk2", "2"),
	};
	int events;
	size_t i;

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", 0, 0));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "kk", 0, 0));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		ASSERT_EQ(0, ms_subscribe_prefix(self->fd, others[i], 0, 0));
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, others[i]));
	}
	ASSERT_EQ(0, ms_batch(self->fd, ops, 2, ATOMIC, NULL));
	EXPECT_EQ(1, prefixed_read(self->fd, NULL, &events));
	EXPECT_EQ(4, events);
	ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "kk"));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 2, ATOMIC, NULL));
	EXPECT_EQ(1, prefixed_read(self->fd, NULL, &events));
	EXPECT_EQ(2, events);
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "kk", 0, 0));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 2, ATOMIC, NULL));
	EXPECT_EQ(1, prefixed_read(self->fd, NULL, &events));
	EXPECT_EQ(4, events);
}

TEST_HARNESS_MAIN
