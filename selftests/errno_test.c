// SPDX-License-Identifier: GPL-2.0
/*
 * Each errno of each operation, and that a refused one changes nothing
 *
 * Few buckets, since each of some 360 tests begins with a flush of all:
 * module: buckets=16
 */
#include <grp.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "metastore_test.h"

#define NONE	((size_t)-1)

union argument {
	struct metastore_info info;
	struct metastore_get get;
	struct metastore_set set;
	struct metastore_delete delete;
	struct metastore_touch touch;
	struct metastore_user_info user;
	struct metastore_subscribe subscribe;
	struct metastore_unsubscribe unsubscribe;
	struct metastore_subscribers subscribers;
	struct metastore_key_bucket bucket;
	struct metastore_stat stat;
	struct metastore_list list;
	struct metastore_flush flush;
	struct metastore_batch batch;
	struct metastore_create create;
	struct metastore_open open;
	struct metastore_queue_info queue;
	struct metastore_subscription_info subscription;
	__u8 bytes[16384];
};

/*
 * Every command with an argument that is good: each test spoils one thing.
 * The file is subscribed to all changes of the one key there is, so that
 * nothing can change unnoticed.
 */
FIXTURE(command)
{
	int fd;
	union argument *arg;
	union argument *copy;
	char key[16];
	char value[512];
	struct metastore_op op;	/* of BATCH */
	struct metastore_info info;
	__u64 version;
};

FIXTURE_VARIANT(command)
{
	unsigned long command;
	int needs;		/* POLLIN: read, POLLOUT: write */
	size_t size;
	size_t first_size;	/* if it has grown since */
	size_t key;		/* offsets; NONE: has none */
	size_t key_len;
	size_t flags;
	__u32 known_flags;
	size_t reserved;
	size_t reserved2;	/* 0: has none */
	bool may_be_empty;	/* the key, as it is a prefix */
	bool copies_out;
	bool changes;		/* the store */
};

#define KEYED(type) \
	.size = sizeof(struct metastore_##type), \
	.key = offsetof(struct metastore_##type, key), \
	.key_len = offsetof(struct metastore_##type, key_len), \
	.flags = offsetof(struct metastore_##type, flags)
#define PREFIXED(type) \
	.size = sizeof(struct metastore_##type), \
	.key = offsetof(struct metastore_##type, prefix), \
	.key_len = offsetof(struct metastore_##type, prefix_len), \
	.flags = offsetof(struct metastore_##type, flags), \
	.may_be_empty = true

FIXTURE_VARIANT_ADD(command, info) {
	.command = METASTORE_IOC_INFO,
	.size = sizeof(struct metastore_info),
	.first_size = 80,
	.key = NONE,
	.key_len = NONE,
	.flags = offsetof(struct metastore_info, flags),
	.reserved = NONE,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, user) {
	.command = METASTORE_IOC_USER,
	.size = sizeof(struct metastore_user_info),
	.key = NONE,
	.key_len = NONE,
	.flags = offsetof(struct metastore_user_info, flags),
	.known_flags = METASTORE_USER_NEXT,
	.reserved = offsetof(struct metastore_user_info, ns),
	.reserved2 = offsetof(struct metastore_user_info, uid),
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, get) {
	.command = METASTORE_IOC_GET,
	.needs = POLLIN,
	KEYED(get),
	.first_size = 40,
	.known_flags = METASTORE_GET_INFO,
	.reserved = NONE,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, set) {
	.command = METASTORE_IOC_SET,
	.needs = POLLOUT,
	KEYED(set),
	.first_size = 40,
	.known_flags = METASTORE_F_CREATE | METASTORE_F_REPLACE | METASTORE_F_IF_VERSION |
		       METASTORE_F_OWNED | METASTORE_F_STEAL | METASTORE_F_PREVIOUS |
		       METASTORE_F_KEEP_TTL,
	.reserved = offsetof(struct metastore_set, deadline),
	.reserved2 = offsetof(struct metastore_set, timeout),
	.copies_out = true,
	.changes = true,
};

FIXTURE_VARIANT_ADD(command, delete) {
	.command = METASTORE_IOC_DELETE,
	.needs = POLLOUT,
	KEYED(delete),
	.first_size = 24,
	.known_flags = METASTORE_F_IF_VERSION | METASTORE_F_STEAL | METASTORE_F_PREVIOUS,
	.reserved = NONE,
	.copies_out = true,
	.changes = true,
};

FIXTURE_VARIANT_ADD(command, touch) {
	.command = METASTORE_IOC_TOUCH,
	.needs = POLLOUT,
	KEYED(touch),
	.known_flags = METASTORE_F_IF_VERSION,
	.reserved = NONE,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, publish) {
	.command = METASTORE_IOC_PUBLISH,
	.needs = POLLOUT,
	KEYED(set),
	.first_size = 40,
	.known_flags = METASTORE_F_CREATE | METASTORE_F_REPLACE | METASTORE_F_IF_VERSION |
		       METASTORE_F_OWNED | METASTORE_F_STEAL | METASTORE_F_WAIT |
		       METASTORE_F_PREVIOUS | METASTORE_F_KEEP_TTL,
	.reserved = offsetof(struct metastore_set, deadline),
	.reserved2 = offsetof(struct metastore_set, timeout),
	.copies_out = true,
	.changes = true,
};

FIXTURE_VARIANT_ADD(command, subscribe) {
	.command = METASTORE_IOC_SUBSCRIBE,
	.needs = POLLIN,
	KEYED(subscribe),
	.first_size = 32,
	.known_flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_SNAPSHOT |
		       METASTORE_SUBSCRIBE_NEWER | METASTORE_SUBSCRIBE_LATEST |
		       METASTORE_SUBSCRIBE_NO_VALUE | METASTORE_SUBSCRIBE_RESYNC,
	.reserved = offsetof(struct metastore_subscribe, reserved),
	.reserved2 = offsetof(struct metastore_subscribe, version),
	.changes = true,
};

FIXTURE_VARIANT_ADD(command, unsubscribe) {
	.command = METASTORE_IOC_UNSUBSCRIBE,
	.needs = POLLIN,
	KEYED(unsubscribe),
	.known_flags = METASTORE_SUBSCRIBE_PREFIX | METASTORE_SUBSCRIBE_DISCARD,
	.reserved = NONE,
	.changes = true,
};

FIXTURE_VARIANT_ADD(command, subscribers) {
	.command = METASTORE_IOC_SUBSCRIBERS,
	.needs = POLLIN,
	KEYED(subscribers),
	.reserved = offsetof(struct metastore_subscribers, reserved),
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, bucket) {
	.command = METASTORE_IOC_BUCKET,
	KEYED(key_bucket),
	.reserved = NONE,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, stat) {
	.command = METASTORE_IOC_STAT,
	.needs = POLLIN,
	KEYED(stat),
	.first_size = 56,
	.reserved = offsetof(struct metastore_stat, reserved),
	.reserved2 = offsetof(struct metastore_stat, reserved2),
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, list) {
	.command = METASTORE_IOC_LIST,
	.needs = POLLIN,
	PREFIXED(list),
	.known_flags = METASTORE_LIST_VALUES,
	.reserved = NONE,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, flush) {
	.command = METASTORE_IOC_FLUSH,
	.needs = POLLOUT,
	PREFIXED(flush),
	.known_flags = METASTORE_FLUSH_SUBSCRIPTIONS | METASTORE_FLUSH_STEAL,
	.reserved = offsetof(struct metastore_flush, reserved),
	.copies_out = true,
	.changes = true,
};

#define KEYLESS(type) \
	.size = sizeof(struct metastore_##type), \
	.key = NONE, \
	.key_len = NONE, \
	.flags = offsetof(struct metastore_##type, flags), \
	.reserved = NONE

/* Of one GET, which needs nothing to be refused with an errno of its own */
FIXTURE_VARIANT_ADD(command, batch) {
	.command = METASTORE_IOC_BATCH,
	KEYLESS(batch),
	.known_flags = METASTORE_BATCH_ATOMIC,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, create) {
	.command = METASTORE_IOC_CREATE,
	.needs = POLLOUT,
	KEYLESS(create),
	.known_flags = METASTORE_CREATE_MAPPED,
};

FIXTURE_VARIANT_ADD(command, open) {
	.command = METASTORE_IOC_OPEN,
	KEYLESS(open),
};

FIXTURE_VARIANT_ADD(command, queue) {
	.command = METASTORE_IOC_QUEUE,
	.needs = POLLIN,
	KEYLESS(queue_info),
	.first_size = 80,
	.known_flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_BYTES |
		       METASTORE_QUEUE_SET_POLICY,
	.copies_out = true,
};

FIXTURE_VARIANT_ADD(command, subscription) {
	.command = METASTORE_IOC_SUBSCRIPTION,
	.needs = POLLIN,
	KEYED(subscription_info),
	.first_size = 72,
	.known_flags = METASTORE_SUBSCRIBE_PREFIX,
	.reserved = offsetof(struct metastore_subscription_info, reserved),
	.copies_out = true,
};

FIXTURE_SETUP(command)
{
	union argument *arg = calloc(1, sizeof(*arg));

	self->arg = arg;
	self->copy = calloc(1, sizeof(*arg));
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	/* With a time to live where that is needed: the longest one */
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "old",
				variant->command == METASTORE_IOC_TOUCH ? METASTORE_TTL_MAX : 0,
				&self->version));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->key[0] = variant->command == METASTORE_IOC_SUBSCRIBE ? 'n' : 'k';
	memset(self->value, POISON, sizeof(self->value));

	/* What is [out] is poisoned where it is no input */
	switch (variant->command) {
	case METASTORE_IOC_INFO:
		memset(arg, POISON, variant->size);
		arg->info.bucket = METASTORE_ANY_BUCKET;
		arg->info.flags = 0;
		break;
	case METASTORE_IOC_USER:
		memset(arg->user.kinds, POISON, sizeof(arg->user.kinds));
		break;
	case METASTORE_IOC_GET:
		arg->get.value = ms_ptr(self->value);
		arg->get.value_len = sizeof(self->value);
		arg->get.version = POISON64;
		break;
	case METASTORE_IOC_SET:
	case METASTORE_IOC_PUBLISH:
		arg->set.value = ms_ptr(self->value);
		arg->set.value_len = 8;
		arg->set.queues = POISON32;
		arg->set.version = POISON64;
		break;
	case METASTORE_IOC_DELETE:
		arg->delete.version = POISON64;
		break;
	case METASTORE_IOC_TOUCH:
		arg->touch.version = POISON64;
		arg->touch.ttl = 1000000;
		break;
	case METASTORE_IOC_SUBSCRIBERS:
		arg->subscribers.subscribers = POISON32;
		break;
	case METASTORE_IOC_BUCKET:
		arg->bucket.bucket = POISON32;
		arg->bucket.buckets = POISON32;
		break;
	case METASTORE_IOC_STAT:
		memset(arg, POISON, variant->size);
		arg->stat.flags = 0;
		arg->stat.reserved = 0;
		arg->stat.reserved2 = 0;
		break;
	case METASTORE_IOC_LIST:
		arg->list.buffer = ms_ptr(self->value);
		arg->list.buffer_len = sizeof(self->value);
		arg->list.bucket = METASTORE_ANY_BUCKET;
		arg->list.entries = POISON32;
		break;
	case METASTORE_IOC_FLUSH:
		arg->flush.bucket = METASTORE_ANY_BUCKET;
		arg->flush.flags = METASTORE_FLUSH_SUBSCRIPTIONS;
		arg->flush.values = POISON64;
		arg->flush.subscriptions = POISON64;
		break;
	case METASTORE_IOC_BATCH:
		self->op = ms_op_get(self->key, self->value, sizeof(self->value));
		self->op.result = POISON32;
		arg->batch.ops = ms_ptr(&self->op);
		arg->batch.nr = 1;
		arg->batch.op_size = sizeof(self->op);
		arg->batch.failed = POISON32;
		break;
	case METASTORE_IOC_CREATE:
		arg->create.open_flags = O_RDWR | O_CLOEXEC;
		break;
	case METASTORE_IOC_OPEN:
		arg->open.open_flags = O_RDONLY | O_CLOEXEC;
		break;
	case METASTORE_IOC_QUEUE:
		memset(arg, POISON, variant->size);
		arg->queue.flags = 0;
		break;
	case METASTORE_IOC_SUBSCRIPTION:
		memset(arg, POISON, variant->size);
		arg->subscription.flags = 0;
		arg->subscription.reserved = 0;
		break;
	}
	if (variant->key != NONE) {
		*(__u64 *)(arg->bytes + variant->key) = ms_ptr(self->key);
		*(__u32 *)(arg->bytes + variant->key_len) = 1;
	}
	memcpy(self->copy, arg, sizeof(*arg));
}

FIXTURE_TEARDOWN(command)
{
	close(self->fd);
}

static bool store_unchanged(struct _test_data_command *self)
{
	struct metastore_info info;

	return ms_version(self->fd, "k") == self->version &&
	       !strcmp(ms_str(self->fd, "k"), "old") &&
	       ms_subscribers(self->fd, "k") == 1 && ms_subscribers(self->fd, "n") == 0 &&
	       !ms_info(self->fd, METASTORE_ANY_BUCKET, &info) && info.keys == 1 &&
	       info.bytes == self->info.bytes && info.subscriptions == 1 && ms_silent(self->fd);
}

/* Neither the store nor the argument nor the buffer */
static bool unchanged(struct _test_data_command *self)
{
	size_t i;

	for (i = 0; i < sizeof(self->value); i++)
		if ((__u8)self->value[i] != POISON)
			return false;
	if (self->op.op && self->op.result != (__s32)POISON32)
		return false;
	return !memcmp(self->arg, self->copy, sizeof(*self->arg)) && store_unchanged(self);
}

/* 0 for a descriptor too, which is closed */
static int call(int fd, unsigned long command, void *arg)
{
	int ret = ms_ioctl(fd, command, arg);

	if (ret <= 0)
		return ret;
	close(ret);
	return 0;
}

static void put32(struct _test_data_command *self, size_t offset, __u32 number)
{
	memcpy(self->arg->bytes + offset, &number, sizeof(number));
	memcpy(self->copy->bytes + offset, &number, sizeof(number));
}

static void put64(struct _test_data_command *self, size_t offset, __u64 number)
{
	memcpy(self->arg->bytes + offset, &number, sizeof(number));
	memcpy(self->copy->bytes + offset, &number, sizeof(number));
}

/* Without this the rest could be refused for another reason than the one under test */
TEST_F(command, good)
{
	EXPECT_EQ(0, call(self->fd, variant->command, self->arg));
	EXPECT_EQ(variant->copies_out, !!memcmp(self->arg, self->copy, sizeof(*self->arg)));
}

TEST_F(command, ebadf)
{
	static const struct {
		int flags;
		int gives;
	} modes[] = {
		{ O_RDONLY, POLLIN },
		{ O_WRONLY, POLLOUT },
		{ O_ACCMODE, 0 },
	};
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		fd = ms_open(modes[i].flags);
		ASSERT_LE(0, fd);
		if (variant->needs & ~modes[i].gives) {
			EXPECT_EQ(-EBADF, call(fd, variant->command, self->arg));
			EXPECT_TRUE(unchanged(self));
		} else if (variant->command != METASTORE_IOC_UNSUBSCRIBE &&
			   variant->command != METASTORE_IOC_SUBSCRIPTION &&
			   variant->command != METASTORE_IOC_OPEN) {
			/* The state the next mode finds matters to nobody: it is refused */
			EXPECT_EQ(0, call(fd, variant->command, self->arg));
			memcpy(self->arg, self->copy, sizeof(*self->arg));
			memset(self->value, POISON, sizeof(self->value));
			if (variant->needs & POLLOUT)
				break;
		}
		close(fd);
	}
}

TEST_F(command, efault_argument)
{
	char *page = ms_guarded(1);

	ASSERT_TRUE(!!page);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, NULL));
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, page + 4096));
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, (void *)-4096L));
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, (void *)(1L << 62)));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, efault_argument_half)
{
	/* In the middle of the inputs, which come first */
	size_t half = (variant->first_size ?: variant->size) / 2;
	char *page = ms_guarded(1), *p = page + 4096 - half;

	ASSERT_TRUE(!!page);
	memcpy(p, self->arg, half);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, p));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, efault_longer_argument)
{
	char *page = ms_guarded(1), *p = page + 4096 - variant->size;

	ASSERT_TRUE(!!page);
	memcpy(p, self->arg, variant->size);
	EXPECT_EQ(-EFAULT, call(self->fd, ms_resized(variant->command, variant->size + 8), p));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, efault_key)
{
	char *page = ms_guarded(1);

	ASSERT_TRUE(!!page);
	/* Without a key there is nothing to spoil; `good` shows that the command works */
	if (variant->key == NONE)
		return;
	put64(self, variant->key, 0);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, self->arg));
	put64(self, variant->key, ms_ptr(page + 4096));
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, self->arg));
	put64(self, variant->key, -4096ULL);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, self->arg));
	put64(self, variant->key, 1ULL << 62);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->command, self->arg));
	EXPECT_TRUE(unchanged(self));
}

/* The key begins well: what has been read of it by then is of no use */
TEST_F(command, efault_key_half)
{
	char *page = ms_guarded(1);
	__u32 inside, len;

	ASSERT_TRUE(!!page);
	if (variant->key == NONE)
		return;
	memset(page, 'k', 4096);
	for (inside = 1; inside < 20; inside++) {
		for (len = inside + 1; len < inside + 20; len++) {
			put64(self, variant->key, ms_ptr(page + 4096 - inside));
			put32(self, variant->key_len, len);
			ASSERT_EQ(-EFAULT, call(self->fd, variant->command, self->arg));
		}
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, efault_copy_out)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	memcpy(page, self->arg, variant->size);
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	EXPECT_EQ(variant->copies_out ? -EFAULT : 0, call(self->fd, variant->command, page));
	EXPECT_EQ(0, memcmp(page, self->copy, variant->size));
	/* Done, not reported */
	EXPECT_EQ(!variant->changes, store_unchanged(self));
}

TEST_F(command, einval_key_len)
{
	static const __u32 lens[] = {
		0, METASTORE_KEY_MAX + 1, 512, 65536 + 1, 0x80000001, 0xffffff01, 0xffffffff,
	};
	char *key = malloc(65536 * 2);
	size_t i;

	if (variant->key == NONE)
		return;
	memset(key, 'k', 65536 * 2);
	put64(self, variant->key, ms_ptr(key));
	for (i = variant->may_be_empty; i < ARRAY_SIZE(lens); i++) {
		put32(self, variant->key_len, lens[i]);
		EXPECT_EQ(-EINVAL, call(self->fd, variant->command, self->arg));
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, einval_flags)
{
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (variant->known_flags & 1U << bit)
			continue;
		put32(self, variant->flags, 1U << bit);
		EXPECT_EQ(-EINVAL, call(self->fd, variant->command, self->arg));
		put32(self, variant->flags, variant->known_flags | 1U << bit);
		EXPECT_EQ(-EINVAL, call(self->fd, variant->command, self->arg));
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, einval_reserved)
{
	int bit;

	if (variant->reserved == NONE)
		return;
	for (bit = 0; bit < 32; bit++) {
		put32(self, variant->reserved, 1U << bit);
		EXPECT_EQ(-EINVAL, call(self->fd, variant->command, self->arg));
	}
	for (bit = 0; variant->reserved2 && bit < 32; bit++) {
		put32(self, variant->reserved, 0);
		put32(self, variant->reserved2, 1U << bit);
		EXPECT_EQ(-EINVAL, call(self->fd, variant->command, self->arg));
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, einval_short)
{
	size_t size;

	for (size = 0; size < (variant->first_size ?: variant->size); size++)
		EXPECT_EQ(-EINVAL, call(self->fd, ms_resized(variant->command, size), self->arg));
	EXPECT_TRUE(unchanged(self));
}

/* Each size from the first to what it is now; what an old program has not is not touched */
TEST_F(command, older)
{
	size_t size, i;

	for (size = variant->first_size ?: variant->size; size < variant->size; size++) {
		memcpy(self->arg, self->copy, sizeof(*self->arg));
		memset(self->arg->bytes + size, POISON, variant->size - size);
		ASSERT_EQ(0, call(self->fd, ms_resized(variant->command, size), self->arg));
		if (variant->command == METASTORE_IOC_SUBSCRIBE)
			ASSERT_EQ(0, ms_unsubscribe(self->fd, self->key));
		if (variant->command == METASTORE_IOC_DELETE)
			ASSERT_EQ(0, ms_set(self->fd, self->key, "again", NULL));
		for (i = size; i < variant->size; i++)
			ASSERT_EQ(POISON, self->arg->bytes[i]);
	}
}

TEST_F(command, longer_by_a_field)
{
	EXPECT_EQ(0, call(self->fd, ms_resized(variant->command, variant->size + 8), self->arg));
	EXPECT_EQ(0, *(__u64 *)(self->arg->bytes + variant->size));
	EXPECT_EQ(variant->changes, !store_unchanged(self));
}

TEST_F(command, longest)
{
	size_t i, size = _IOC_SIZEMASK;

	EXPECT_EQ(0, call(self->fd, ms_resized(variant->command, size), self->arg));
	for (i = variant->size; i < size; i++)
		ASSERT_EQ(0, self->arg->bytes[i]);
	EXPECT_EQ(variant->changes, !store_unchanged(self));
}

TEST_F(command, e2big)
{
	static const size_t more[] = { 1, 7, 8, 9, 64, 1000 };
	size_t i, last;

	for (i = 0; i < ARRAY_SIZE(more); i++) {
		last = variant->size + more[i] - 1;
		self->arg->bytes[last] = 1;
		EXPECT_EQ(-E2BIG, call(self->fd, ms_resized(variant->command, last + 1),
				       self->arg));
		self->arg->bytes[last] = 0;
		self->arg->bytes[variant->size] = 0x80;
		EXPECT_EQ(-E2BIG, call(self->fd, ms_resized(variant->command, last + 1),
				       self->arg));
		self->arg->bytes[variant->size] = 0;
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, enotty_magic)
{
	unsigned long nr = _IOC_NR(variant->command), dir = _IOC_DIR(variant->command);

	EXPECT_EQ(-ENOTTY, call(self->fd, _IOC(dir, 0xe5, nr, variant->size), self->arg));
	EXPECT_EQ(-ENOTTY, call(self->fd, _IOC(dir, 0x66, nr, variant->size), self->arg));
	EXPECT_TRUE(unchanged(self));
}

/* Errors that belong to one command or two */
FIXTURE(errors)
{
	int fd;
	struct metastore_info info;
};

FIXTURE_SETUP(errors)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
}

FIXTURE_TEARDOWN(errors)
{
	close(self->fd);
}

static int become_other_user(void)
{
	return setresuid(1000, 1000, 1000);
}

TEST_F(errors, enotty)
{
	char arg[256] = "";
	int nr;

	for (nr = 0x13; nr < 0x100; nr++) {
		EXPECT_EQ(-ENOTTY, ms_ioctl(self->fd, _IOC(_IOC_READ | _IOC_WRITE, 0xe6, nr, 40),
					    arg));
		EXPECT_EQ(-ENOTTY, ms_ioctl(self->fd, _IOC(_IOC_NONE, 0xe6, nr, 0), arg));
	}
	/* TCGETS, which isatty() asks for */
	EXPECT_EQ(-ENOTTY, ms_ioctl(self->fd, 0x5401, arg));
	EXPECT_EQ(-ENOTTY, ms_ioctl(self->fd, 0, arg));
}

TEST_F(errors, fionread_efault)
{
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, FIONREAD, NULL));
}

TEST_F(errors, set_efault_value)
{
	char *page = ms_guarded(1);
	__u32 inside, len;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EFAULT, ms_setn(self->fd, "k", 1, NULL, 1, NULL));
	EXPECT_EQ(-EFAULT, ms_setn(self->fd, "k", 1, page + 4096, 1, NULL));
	EXPECT_EQ(-EFAULT, ms_setn(self->fd, "k", 1, (void *)-4096L, 1, NULL));
	EXPECT_EQ(-EFAULT, ms_setn(self->fd, "k", 1, (void *)(1L << 62), 1, NULL));
	for (inside = 1; inside < 12; inside++)
		for (len = inside + 1; len < 30; len++)
			ASSERT_EQ(-EFAULT, ms_publishn(self->fd, "k", 1, page + 4096 - inside,
						       len, NULL));
	EXPECT_EQ(-EFAULT, ms_setn(self->fd, "k", 1, page, 4097, NULL));
	EXPECT_EQ(-EFAULT, ms_setn(self->fd, "k", 1, page, 65536, NULL));
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(errors, set_emsgsize)
{
	__u32 max = self->info.max_value;
	char *value = calloc(1, max + 1);
	struct metastore_set arg;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EMSGSIZE, ms_store(self->fd, METASTORE_IOC_SET, "k", 1, value, max + 1, &arg));
	EXPECT_EQ(POISON64, arg.version);
	EXPECT_EQ(POISON32, arg.queues);
	EXPECT_EQ(-EMSGSIZE, ms_store(self->fd, METASTORE_IOC_PUBLISH, "k", 1, value, max + 1,
				      &arg));
	EXPECT_EQ(POISON64, arg.version);
	EXPECT_EQ(-EMSGSIZE, ms_setn(self->fd, "k", 1, value, 0x80000000, NULL));
	EXPECT_EQ(-EMSGSIZE, ms_setn(self->fd, "k", 1, value, 0xffffffff, NULL));
	EXPECT_EQ(-EMSGSIZE, ms_setn(self->fd, "k", 1, value, 0xffffffc0, NULL));
	EXPECT_STREQ("old", ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(errors, get_enoent)
{
	struct metastore_get arg = {
		.key = ms_ptr("k"),
		.value = ms_ptr(&arg),
		.key_len = 1,
		.value_len = 8,
		.owner = POISON32,
		.version = POISON64,
		.ttl = POISON64,
	};
	struct metastore_get copy = arg;

	EXPECT_EQ(-ENOENT, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
	EXPECT_EQ(0, memcmp(&arg, &copy, sizeof(arg)));
	ASSERT_EQ(0, ms_set(self->fd, "kk", "v", NULL));
	EXPECT_EQ(-ENOENT, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
}

TEST_F(errors, get_erange)
{
	char buf[16];
	struct metastore_get arg = {
		.key = ms_ptr("k"),
		.value = ms_ptr(buf),
		.key_len = 1,
	};
	__u64 version;
	__u32 len;

	ASSERT_EQ(0, ms_set(self->fd, "k", "0123456789", &version));
	for (len = 0; len < 10; len++) {
		memset(buf, POISON, sizeof(buf));
		arg.value_len = len;
		arg.owner = POISON32;
		arg.version = POISON64;
		arg.ttl = POISON64;
		EXPECT_EQ(-ERANGE, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
		EXPECT_EQ(10, arg.value_len);
		EXPECT_EQ(version, arg.version);
		EXPECT_EQ(POISON32, arg.owner);
		EXPECT_EQ(POISON64, arg.ttl);
		EXPECT_EQ((char)POISON, buf[0]);
		EXPECT_EQ(0, memcmp(buf, buf + 1, sizeof(buf) - 1));
	}
}

/* In the structure as it first was, what is now the owner was reserved */
TEST_F(errors, get_einval_reserved)
{
	struct metastore_get arg = {
		.key = ms_ptr("k"),
		.key_len = 1,
	};
	size_t size;
	int bit;

	ASSERT_EQ(0, ms_set(self->fd, "k", "", NULL));
	for (bit = 0; bit < 32; bit++) {
		arg.owner = 1U << bit;
		for (size = 40; size < offsetof(struct metastore_get, time); size++)
			ASSERT_EQ(-EINVAL, ms_ioctl(self->fd,
						    ms_resized(METASTORE_IOC_GET, size), &arg));
		EXPECT_EQ(1U << bit, arg.owner);
		EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
		EXPECT_EQ(METASTORE_OWNER_NONE, arg.owner);
	}
}

/* The way to ask for a length */
TEST_F(errors, get_erange_without_buffer)
{
	struct metastore_get arg = {
		.key = ms_ptr("k"),
		.key_len = 1,
	};
	char *value = calloc(1, self->info.max_value);

	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, self->info.max_value, NULL));
	EXPECT_EQ(-ERANGE, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
	EXPECT_EQ(self->info.max_value, arg.value_len);
}

TEST_F(errors, get_efault_value)
{
	static const __u32 lens[] = { 1, 8, 10, 64, 500, 4096, 5000, 65536 };
	char *page = ms_guarded(1), *value = calloc(1, 65536);
	struct metastore_get arg;
	size_t i;

	ASSERT_TRUE(!!page);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, lens[i], NULL));
		arg = (struct metastore_get) {
			.key = ms_ptr("k"),
			.key_len = 1,
			.value_len = lens[i],
		};
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
		arg.value = ms_ptr(page + 4096);
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
		arg.value = -65536ULL;
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
		arg.value = ms_ptr(page + 4096 - (lens[i] - 1) % 4096);
		EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
		EXPECT_EQ(lens[i], arg.value_len);
	}
}

TEST_F(errors, delete_enoent)
{
	struct metastore_delete arg = {
		.key = ms_ptr("k"),
		.key_len = 1,
		.version = POISON64,
	};

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-ENOENT, ms_ioctl(self->fd, METASTORE_IOC_DELETE, &arg));
	EXPECT_EQ(POISON64, arg.version);
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(errors, delete_twice)
{
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_delete(self->fd, "k", NULL));
	EXPECT_EQ(-ENOENT, ms_delete(self->fd, "k", NULL));
}

TEST_F(errors, stat_enoent)
{
	struct metastore_stat st;

	EXPECT_EQ(-ENOENT, ms_stat(self->fd, "k", &st));
	EXPECT_EQ(POISON64, st.version);
	EXPECT_EQ(POISON64, st.time);
	EXPECT_EQ(POISON32, st.uid);
	/* A subscription alone is no key */
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(-ENOENT, ms_stat(self->fd, "k", &st));
}

TEST_F(errors, subscribe_eexist)
{
	struct ms_reader r = ms_reader(self->fd, 4096);
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_SET, 1));
	EXPECT_EQ(-EEXIST, ms_subscribe(self->fd, "k", METASTORE_EVENT_SET, 1));
	EXPECT_EQ(-EEXIST, ms_subscribe(self->fd, "k", EVENTS_ALL, 2));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	/* The first one is as it was */
	ASSERT_EQ(0, ms_publish(self->fd, "k", "p", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k", "s", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 1, .version = version, .key = "k",
		     .value = "s");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(errors, subscribe_einval_events)
{
	int bit;

	for (bit = 7; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, ms_subscribe(self->fd, "k", 1U << bit, 0));
		EXPECT_EQ(-EINVAL, ms_subscribe(self->fd, "k", EVENTS_ALL | 1U << bit, 0));
	}
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
}

/* A time is only for who waits, and to wait is only for PUBLISH */
TEST_F(errors, einval_wait)
{
	struct metastore_set arg = { .flags = METASTORE_F_WAIT };
	struct metastore_op op;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EINVAL, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "v", &arg));
	arg.timeout = METASTORE_WAIT_FOREVER;
	EXPECT_EQ(-EINVAL, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "v", &arg));
	arg.flags = 0;
	EXPECT_EQ(-EINVAL, ms_store_with(self->fd, METASTORE_IOC_PUBLISH, "k", "v", &arg));
	op = ms_op_publish("k", "v");
	op.flags = METASTORE_F_WAIT;
	EXPECT_EQ(0, ms_batch(self->fd, &op, 1, 0, NULL));
	EXPECT_EQ(-EINVAL, op.result);
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, &op, 1, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_EQ(-EINVAL, op.result);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(errors, subscribe_einval_newer)
{
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_NEWER));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_NEWER,
					   .version = 1));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "k",
					   .flags = METASTORE_SUBSCRIBE_NEWER |
						    METASTORE_SUBSCRIBE_SNAPSHOT |
						    METASTORE_SUBSCRIBE_PREFIX));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_SNAPSHOT,
					   .version = 1));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "k", .version = 1ULL << 63));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(0, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_NEWER |
							     METASTORE_SUBSCRIBE_SNAPSHOT));
}

/* As for keys, but that a prefix may be empty, and then needs no address */
TEST_F(errors, prefix_refused)
{
	char *page = ms_guarded(1), *key = calloc(1, 65536 + 256);
	static const __u32 lens[] = {
		METASTORE_KEY_MAX + 1, 512, 65536 + 1, 0x80000001, 0xffffff01, 0xffffffff,
	};
	struct metastore_subscription_info info = { .flags = METASTORE_SUBSCRIBE_PREFIX };
	size_t i;

	ASSERT_TRUE(!!page);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		EXPECT_EQ(-EINVAL, ms_subscribe_prefixn(self->fd, key, lens[i], 0, 0));
		EXPECT_EQ(-EINVAL, ms_unsubscribe_prefixn(self->fd, key, lens[i]));
		info.key = ms_ptr(key);
		info.key_len = lens[i];
		EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_SUBSCRIPTION, &info));
	}
	EXPECT_EQ(-EFAULT, ms_subscribe_prefixn(self->fd, NULL, 1, 0, 0));
	EXPECT_EQ(-EFAULT, ms_subscribe_prefixn(self->fd, page + 4095, 2, 0, 0));
	EXPECT_EQ(-EFAULT, ms_unsubscribe_prefixn(self->fd, page + 4095, 2));
	info.key = ms_ptr(page + 4095);
	info.key_len = 2;
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_SUBSCRIPTION, &info));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(0, self->info.subscriptions);

	EXPECT_EQ(0, ms_subscribe_prefixn(self->fd, NULL, 0, 0, 0));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_unsubscribe_prefixn(self->fd, NULL, 0));
}

/* A key and the prefix of the same bytes are two things */
TEST_F(errors, prefix_eexist_and_enoent)
{
	struct metastore_subscription_info info;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	EXPECT_EQ(-ENOENT, ms_unsubscribe_prefix(self->fd, "k"));
	EXPECT_EQ(-ENOENT, ms_subscription(self->fd, "k", METASTORE_SUBSCRIBE_PREFIX, &info));
	EXPECT_EQ(POISON64, info.matched);
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", 0, 2));
	EXPECT_EQ(-EEXIST, ms_subscribe_prefix(self->fd, "k", EVENTS_ALL, 3));
	EXPECT_EQ(-EEXIST, ms_subscribe(self->fd, "k", EVENTS_ALL, 3));
	EXPECT_EQ(2, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_subscription(self->fd, "k", METASTORE_SUBSCRIBE_PREFIX, &info));
	EXPECT_EQ(2, info.cookie);
	EXPECT_EQ(METASTORE_EVENT_PUBLISHED, info.events);
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	EXPECT_EQ(-ENOENT, ms_unsubscribe(self->fd, "k"));
	EXPECT_EQ(-ENOENT, ms_subscription(self->fd, "k", 0, &info));
	EXPECT_EQ(0, ms_unsubscribe_prefix(self->fd, "k"));
	EXPECT_EQ(-ENOENT, ms_unsubscribe_prefix(self->fd, "k"));
	EXPECT_EQ(-ENOENT, ms_unsubscribe_prefix(self->fd, ""));
}

/* Places that are reserved take half of the queue's bytes at most */
TEST_F(errors, latest_enobufs)
{
	__u32 place = METASTORE_KEY_MAX + self->info.max_value + METASTORE_VALUE_OVERHEAD +
		      METASTORE_TIE_OVERHEAD;
	__u32 i, places = self->info.queue_bytes / 2 / place;
	struct metastore_queue_info info;

	ASSERT_LT(0, places);
	for (i = 0; i < places; i++)
		ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_SUBSCRIBE,
				      &((struct metastore_subscribe) {
						.key = ms_ptr(&i),
						.key_len = sizeof(i),
						.flags = METASTORE_SUBSCRIBE_LATEST,
				      })));
	EXPECT_EQ(-ENOBUFS, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_LATEST));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(places * place, info.bytes);
	/* Nor can they come to take more by the queue's getting smaller */
	EXPECT_EQ(-ENOBUFS, ms_queue_set_bytes(self->fd, 2 * places * place - 1));
	EXPECT_EQ(0, ms_queue_set_bytes(self->fd, 2 * places * place));
	/* A further subscription that is refused for another reason takes no place */
	i = 0;
	ASSERT_EQ(0, ms_unsubscriben(self->fd, &i, sizeof(i)));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(-EEXIST, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	EXPECT_EQ(0, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_LATEST));
	EXPECT_EQ(-ENOBUFS, ms_subscribe_as(self->fd, "l", .flags = METASTORE_SUBSCRIBE_LATEST));
	/* A prefix reserves nothing */
	EXPECT_EQ(0, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_LATEST |
							     METASTORE_SUBSCRIBE_PREFIX));
}

TEST_F(errors, queue_einval)
{
	static const __u32 lens[] = { 0, (1 << 20) + 1, 0x80000000, 0xffffffff };
	static const __u32 bytes[] = { 0, 1, 4095, (1 << 30) + 1, 0xffffffff };
	struct metastore_queue_info before, after;
	__u32 policy;
	size_t i;

	ASSERT_EQ(0, ms_queue(self->fd, &before));
	EXPECT_EQ(METASTORE_QUEUE_DROP_OLDEST, before.policy);
	EXPECT_EQ(self->info.queue_len, before.max_len);
	EXPECT_EQ(self->info.queue_bytes, before.max_bytes);
	for (i = 0; i < ARRAY_SIZE(lens); i++)
		EXPECT_EQ(-EINVAL, ms_queue_set_len(self->fd, lens[i]));
	for (i = 0; i < ARRAY_SIZE(bytes); i++)
		EXPECT_EQ(-EINVAL, ms_queue_set_bytes(self->fd, bytes[i]));
	for (policy = 2; policy; policy <<= 1)
		EXPECT_EQ(-EINVAL, ms_queue_set_policy(self->fd, policy));
	/* One that is bad is enough */
	after = (struct metastore_queue_info) {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_POLICY,
		.policy = 2,
		.max_len = 1,
	};
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_QUEUE, &after));
	ASSERT_EQ(0, ms_queue(self->fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	/* The limits themselves */
	EXPECT_EQ(0, ms_queue_set_len(self->fd, 1));
	EXPECT_EQ(0, ms_queue_set_len(self->fd, 1 << 20));
	EXPECT_EQ(0, ms_queue_set_bytes(self->fd, 4096));
	EXPECT_EQ(0, ms_queue_set_bytes(self->fd, 1 << 30));
}

/* Only so much more than is usual */
TEST_F(errors, queue_eperm)
{
	int store = ms_create(self->fd, O_RDWR, (struct metastore_create) {
		.queue_len = 3,
		.queue_bytes = 8192,
	});
	pid_t pid;

	ASSERT_LE(0, store);
	pid = ms_fork();
	if (!pid) {
		if (become_other_user())
			_exit(1);
		if (ms_queue_set_len(store, 3 * METASTORE_QUEUE_FACTOR + 1) != -EPERM ||
		    ms_queue_set_bytes(store, 8192 * METASTORE_QUEUE_FACTOR + 1) != -EPERM)
			_exit(2);
		if (ms_queue_set_len(store, 3 * METASTORE_QUEUE_FACTOR) ||
		    ms_queue_set_bytes(store, 8192 * METASTORE_QUEUE_FACTOR))
			_exit(3);
		_exit(0);
	}
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(0, ms_queue_set_len(store, 3 * METASTORE_QUEUE_FACTOR + 1));
	EXPECT_EQ(0, ms_queue_set_bytes(store, 8192 * METASTORE_QUEUE_FACTOR + 1));
}

TEST_F(errors, queue_ebusy_lossless)
{
	struct metastore_queue_info info;
	int i;

	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 8192));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, &info, 500, NULL));
	EXPECT_EQ(-EBUSY, ms_queue_set_len(self->fd, 9));
	EXPECT_EQ(-EBUSY, ms_queue_set_bytes(self->fd, 5000));
	/* What is to become lossless likewise */
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_DROP_OLDEST));
	info = (struct metastore_queue_info) {
		.flags = METASTORE_QUEUE_SET_LEN | METASTORE_QUEUE_SET_POLICY,
		.policy = METASTORE_QUEUE_LOSSLESS,
		.max_len = 9,
	};
	EXPECT_EQ(-EBUSY, ms_ioctl(self->fd, METASTORE_IOC_QUEUE, &info));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(METASTORE_QUEUE_DROP_OLDEST, info.policy);
	EXPECT_EQ(10, info.len);
	EXPECT_EQ(0, info.lost);
	EXPECT_EQ(0, ms_queue_set_len(self->fd, 10));
	EXPECT_EQ(0, ms_queue_set_len(self->fd, 9));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(9, info.len);
	EXPECT_EQ(1, info.lost);
}

/* More than may be moved under a lock */
TEST_F(errors, queue_ebusy_too_many)
{
	struct metastore_queue_info info;
	int i;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 100000));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 1 << 28));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < METASTORE_QUEUE_MOVE_MAX; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "k", "", NULL));
	EXPECT_EQ(0, ms_queue_set_len(self->fd, 100001));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "", NULL));
	EXPECT_EQ(-EBUSY, ms_queue_set_len(self->fd, 100000));
	EXPECT_EQ(-EBUSY, ms_queue_set_bytes(self->fd, 4096));
	EXPECT_EQ(-EBUSY, ms_subscribe_as(self->fd, "k", .flags = METASTORE_SUBSCRIBE_LATEST |
								  METASTORE_SUBSCRIBE_PREFIX));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(100001, info.max_len);
	EXPECT_EQ(METASTORE_QUEUE_MOVE_MAX + 1, info.len);
	EXPECT_EQ(0, info.lost);
}

TEST_F(errors, subscribe_enobufs)
{
	__u32 i, max = self->info.max_subscriptions;
	int fd = ms_open(O_RDONLY);

	for (i = 0; i < max; i++)
		ASSERT_EQ(0, ms_subscriben(self->fd, &i, sizeof(i), 0, i));
	EXPECT_EQ(-ENOBUFS, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	EXPECT_EQ(max, self->info.subscriptions);
	/* It is the file's limit */
	EXPECT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	/* Refused ones take no room, freed ones make it */
	i = 0;
	ASSERT_EQ(0, ms_unsubscriben(self->fd, &i, sizeof(i)));
	EXPECT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(-ENOBUFS, ms_subscriben(self->fd, &i, sizeof(i), 0, 0));
}

TEST_F(errors, unsubscribe_enoent)
{
	int fd = ms_open(O_RDONLY);

	EXPECT_EQ(-ENOENT, ms_unsubscribe(self->fd, "k"));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	EXPECT_EQ(-ENOENT, ms_unsubscribe(self->fd, "k"));
	/* Another file's subscription is not this one's */
	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	EXPECT_EQ(-ENOENT, ms_unsubscribe(self->fd, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_unsubscribe(fd, "k"));
	EXPECT_EQ(-ENOENT, ms_unsubscribe(fd, "k"));
}

static struct metastore_list good_list(char *buf, __u32 size)
{
	memset(buf, POISON, size);
	return (struct metastore_list) {
		.buffer = ms_ptr(buf),
		.buffer_len = size,
		.bucket = METASTORE_ANY_BUCKET,
		.entries = POISON32,
	};
}

TEST_F(errors, list_emsgsize)
{
	char buf[METASTORE_LIST_MIN];
	__u32 len;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	for (len = 0; len < METASTORE_LIST_MIN; len++) {
		struct metastore_list arg = good_list(buf, sizeof(buf));

		arg.buffer_len = len;
		ASSERT_EQ(-EMSGSIZE, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
		ASSERT_EQ(len, arg.buffer_len);
		ASSERT_EQ(POISON32, arg.entries);
		ASSERT_EQ((char)POISON, buf[0]);
		ASSERT_EQ(0, memcmp(buf, buf + 1, sizeof(buf) - 1));
	}
}

TEST_F(errors, list_erange_bucket)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = good_list(buf, sizeof(buf));

	arg.bucket = self->info.buckets;
	EXPECT_EQ(-ERANGE, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	arg.bucket = METASTORE_ANY_BUCKET - 1;
	EXPECT_EQ(-ERANGE, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(POISON32, arg.entries);
	arg.bucket = self->info.buckets - 1;
	EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
}

TEST_F(errors, list_einval_cursor)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = good_list(buf, sizeof(buf));

	arg.cursor = ms_ptr(buf);
	arg.cursor_len = METASTORE_KEY_MAX + 1;
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	arg.cursor_len = 0xffffffff;
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(POISON32, arg.entries);
	arg.cursor_len = METASTORE_KEY_MAX;
	EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
}

TEST_F(errors, list_efault_cursor)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = good_list(buf, sizeof(buf));

	arg.cursor = 0;
	arg.cursor_len = 1;
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	arg.cursor = -4096ULL;
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(POISON32, arg.entries);
}

TEST_F(errors, list_efault_buffer)
{
	char *page = ms_guarded(1);
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = good_list(buf, sizeof(buf));

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	arg.buffer = 0;
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	arg.buffer = ms_ptr(page + 4096);
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	arg.buffer = -4096ULL;
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	/* Room for half an entry only, whatever the argument says */
	arg.buffer = ms_ptr(page + 4096 - 16);
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(POISON32, arg.entries);
	EXPECT_EQ(sizeof(buf), arg.buffer_len);
}

/* Empty ones need no address, as an empty value does not */
TEST_F(errors, empty_cursor_and_prefix_need_no_address)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = good_list(buf, sizeof(buf));
	struct metastore_flush flush = {
		.prefix = -4096ULL,
		.bucket = METASTORE_ANY_BUCKET,
	};

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	arg.cursor = -4096ULL;
	arg.prefix = -4096ULL;
	EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(1, arg.entries);
	EXPECT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_FLUSH, &flush));
	EXPECT_EQ(1, flush.values);
}

TEST_F(errors, info_erange)
{
	struct metastore_info info;

	EXPECT_EQ(-ERANGE, ms_info(self->fd, self->info.buckets, &info));
	EXPECT_EQ(POISON32, info.buckets);
	EXPECT_EQ(-ERANGE, ms_info(self->fd, METASTORE_ANY_BUCKET - 1, &info));
	EXPECT_EQ(POISON64, info.keys);
	EXPECT_EQ(0, ms_info(self->fd, self->info.buckets - 1, &info));
}

TEST_F(errors, flush_erange)
{
	struct metastore_flush arg;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	EXPECT_EQ(-ERANGE, ms_flush(self->fd, NULL, self->info.buckets, 0, &arg));
	EXPECT_EQ(POISON64, arg.values);
	EXPECT_EQ(-ERANGE, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET - 1, 0, &arg));
	EXPECT_EQ(POISON64, arg.subscriptions);
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
}

/* @lose: gives up the capability in its own way. Returns the errno FLUSH gave. */
static int flush_without(int fd, int (*lose)(void))
{
	pid_t pid = ms_fork();
	struct metastore_flush arg;
	int ret;

	if (!pid) {
		if (lose())
			_exit(255);
		ret = ms_flush(fd, NULL, METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS, &arg);
		if (ret && (arg.values != POISON64 || arg.subscriptions != POISON64))
			_exit(254);
		_exit(-ret);
	}
	return -ms_join(pid);
}

static int lose_nothing(void)
{
	return 0;
}

static int drop_sys_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	return syscall(SYS_capset, &header, data);
}

static int enter_user_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

TEST_F(errors, flush_eperm_other_user)
{
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EPERM, flush_without(self->fd, become_other_user));
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(errors, flush_eperm_without_capability)
{
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EPERM, flush_without(self->fd, drop_sys_admin));
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* A capability over a namespace of one's own is none over the machine's store */
TEST_F(errors, flush_eperm_in_user_namespace)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(-EPERM, flush_without(self->fd, enter_user_namespace));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
}

TEST_F(errors, flush_with_capability)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(0, flush_without(self->fd, lose_nothing));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
}

/* The values alone are for everyone who can write */
TEST_F(errors, flush_values_needs_no_capability)
{
	struct metastore_flush arg;
	pid_t pid;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	pid = ms_fork();
	if (!pid)
		_exit(become_other_user() ||
		      ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
}

TEST_F(errors, open_eacces)
{
	pid_t pid = ms_fork();

	if (!pid) {
		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) || become_other_user())
			_exit(1);
		if (ms_open(O_RDONLY) != -EACCES || ms_open(O_WRONLY) != -EACCES ||
		    ms_open(O_RDWR) != -EACCES)
			_exit(2);
		_exit(0);
	}
	EXPECT_EQ(0, ms_join(pid));
}

TEST_HARNESS_MAIN
