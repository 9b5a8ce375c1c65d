// SPDX-License-Identifier: GPL-2.0
/*
 * The limits of each user: each is met, refuses that user alone, says so with EDQUOT, and
 * is given back.
 *
 * A test becomes another user by its effective uid, which also takes its capabilities. It
 * is root again with uid 0.
 *
 * module: buckets=4 queue_len=4 queue_bytes=4096 private_bytes=1000000 max_keys=60
 * module: max_bytes=100000
 */
#include <sys/stat.h>

#include "metastore_test.h"

#define PARAMETERS	"/sys/module/metastore/parameters/"

#define QUEUE_LEN	4U
#define QUEUE_BYTES	4096U

/* Bytes that a queue is charged for */
#define QUEUE(len, bytes) ((bytes) + METASTORE_QUEUE_OVERHEAD * (len))
#define BUCKET		1024U		/* what one counts in a private store */

/* Kinds whose limit is a parameter */
#define LIMITS		METASTORE_USER_KEYS

#define MAX_KEYS	60
#define MAX_BYTES	100000
#define PRIVATE_BYTES	1000000

enum { ROOT, ALICE = 1000, BOB, CAROL };

static const char *const names[LIMITS] = {
	"user_files", "user_subscriptions", "user_queue_bytes", "user_stores",
	"user_store_bytes", "user_owned_keys", "user_waiting",
};

static int be(uid_t uid)
{
	return seteuid(ROOT) || seteuid(uid) ? -errno : 0;
}

/* As text, since what is no number is to be refused */
static int set_parameter(const char *name, const char *text)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* As root; the test is then ALICE */
static int limit_kind(int kind, __u64 limit)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)limit);
	return be(ROOT) ?: set_parameter(names[kind], text) ?: be(ALICE);
}

static int user_of(int fd, struct metastore_user_info *info)
{
	memset(info, POISON, sizeof(*info));
	info->flags = 0;
	info->ns = 0;
	info->uid = 0;
	return ms_ioctl(fd, METASTORE_IOC_USER, info);
}

static __s64 use(int fd, int kind)
{
	struct metastore_user_info info;

	return user_of(fd, &info) ?: (__s64)info.kinds[kind].use;
}

/* Subscriptions that ended go after a grace period at the latest. */
static bool use_becomes(int fd, int kind, __s64 expected)
{
	int i;

	for (i = 0; i < 1000 && use(fd, kind) != expected; i++)
		usleep(1000);
	return use(fd, kind) == expected;
}

static int open_as(uid_t uid)
{
	int ret = be(uid) ?: ms_open(O_RDWR | O_NONBLOCK);

	return be(ALICE) ?: ret;
}

FIXTURE(user)
{
	int root;	/* opened by root */
	int fd;		/* opened by ALICE */
};

FIXTURE_SETUP(user)
{
	self->root = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->root);
	ASSERT_EQ(0, ms_reset(self->root));
	ASSERT_EQ(0, chmod(DEVICE, 0666));
	self->fd = open_as(ALICE);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(user)
{
	int kind;

	be(ROOT);
	for (kind = 0; kind < LIMITS; kind++)
		set_parameter(names[kind], "0");
	chmod(DEVICE, 0660);
	close(self->fd);
	close(self->root);
}

TEST_F(user, tells_use_and_limit)
{
	struct metastore_info store;
	struct metastore_user_info info;
	struct stat ns;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &store));
	EXPECT_TRUE(store.features & METASTORE_FEATURE_USERS);
	ASSERT_EQ(0, limit_kind(METASTORE_USER_FILES, 77));
	ASSERT_EQ(0, stat("/proc/self/ns/user", &ns));
	ASSERT_EQ(0, user_of(self->fd, &info));
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(ALICE, info.uid);
	EXPECT_EQ(ns.st_ino, info.ns);
	EXPECT_EQ(METASTORE_USER_NONE, info.last_refused);
	EXPECT_EQ(1, info.kinds[METASTORE_USER_FILES].use);
	EXPECT_EQ(77, info.kinds[METASTORE_USER_FILES].limit);
	EXPECT_EQ(0, info.kinds[METASTORE_USER_FILES].refused);
	EXPECT_EQ(0, info.kinds[METASTORE_USER_SUBSCRIPTIONS].use);
	EXPECT_EQ(0, info.kinds[METASTORE_USER_QUEUE_BYTES].use);
	ASSERT_EQ(0, user_of(self->root, &info));
	EXPECT_EQ(ROOT, info.uid);
}

TEST_F(user, errors_of_user)
{
	struct metastore_user_info info;
	int fd;

	memset(&info, 0, sizeof(info));
	info.flags = 2;
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_USER, &info));
	info.flags = 0;
	info.ns = 1;
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_USER, &info));
	info.ns = 0;
	info.uid = 1;
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_USER, &info));
	info.uid = 0;
	EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_USER, sizeof(info) - 8),
				    &info));
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_USER, NULL));
	info.flags = METASTORE_USER_NEXT;
	EXPECT_EQ(-EPERM, ms_ioctl(self->fd, METASTORE_IOC_USER, &info));
	/* It needs no access */
	ASSERT_EQ(0, be(ROOT));
	fd = ms_open(O_WRONLY);
	EXPECT_EQ(0, user_of(fd, &info));
	close(fd);
}

TEST_F(user, next_tells_each_user_once)
{
	struct metastore_user_info info = { .flags = METASTORE_USER_NEXT };
	int bob = open_as(BOB), users = 0, alices = 0, bobs = 0, roots = 0, ret;

	ASSERT_LE(0, bob);
	ASSERT_EQ(0, be(ROOT));
	while (!(ret = ms_ioctl(self->fd, METASTORE_IOC_USER, &info))) {
		users++;
		alices += info.uid == ALICE;
		bobs += info.uid == BOB;
		roots += info.uid == ROOT;
		ASSERT_EQ(METASTORE_USER_NEXT, info.flags);
		ASSERT_LE(1, info.kinds[METASTORE_USER_FILES].use);
	}
	EXPECT_EQ(-ENOENT, ret);
	EXPECT_EQ(1, alices);
	EXPECT_EQ(1, bobs);
	EXPECT_EQ(1, roots);
	EXPECT_EQ(3, users);
	/* A user without open files is forgotten, after a grace period */
	close(bob);
	do {
		usleep(1000);
		users = 0;
		info = (struct metastore_user_info) { .flags = METASTORE_USER_NEXT };
		while (!ms_ioctl(self->fd, METASTORE_IOC_USER, &info))
			users++;
	} while (users == 3);
	EXPECT_EQ(2, users);
}

TEST_F(user, parameters)
{
	struct metastore_user_info info;
	int kind;

	ASSERT_EQ(0, be(ROOT));
	for (kind = 0; kind < LIMITS; kind++) {
		EXPECT_EQ(0, set_parameter(names[kind], "12345"));
		ASSERT_EQ(0, user_of(self->fd, &info));
		EXPECT_EQ(12345, info.kinds[kind].limit);
		EXPECT_EQ(-EINVAL, set_parameter(names[kind], "-1"));
		EXPECT_EQ(-EINVAL, set_parameter(names[kind], "many"));
		EXPECT_EQ(-EINVAL, set_parameter(names[kind], "0x8000000000000000"));
		ASSERT_EQ(0, user_of(self->fd, &info));
		EXPECT_EQ(12345, info.kinds[kind].limit);
		/* The default, which is enough for any user of this test */
		EXPECT_EQ(0, set_parameter(names[kind], "0"));
		ASSERT_EQ(0, user_of(self->fd, &info));
		EXPECT_LE(1000, info.kinds[kind].limit);
		EXPECT_NE(12345, info.kinds[kind].limit);
	}
}

TEST_F(user, files)
{
	struct metastore_user_info info;
	int second, third, bob;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_FILES, 3));
	second = ms_open(O_RDONLY);
	ASSERT_LE(0, second);
	third = ms_reopen(self->fd, O_RDONLY);
	ASSERT_LE(0, third);
	EXPECT_EQ(-EDQUOT, ms_open(O_RDONLY));
	EXPECT_EQ(-EDQUOT, ms_reopen(self->fd, O_RDONLY));
	EXPECT_EQ(-EDQUOT, ms_create(self->fd, O_RDWR, (struct metastore_create) {}));
	ASSERT_EQ(0, user_of(self->fd, &info));
	EXPECT_EQ(3, info.kinds[METASTORE_USER_FILES].use);
	EXPECT_EQ(3, info.kinds[METASTORE_USER_FILES].refused);
	EXPECT_EQ(METASTORE_USER_FILES, info.last_refused);
	/* The store that could not be opened is gone */
	EXPECT_EQ(0, info.kinds[METASTORE_USER_STORES].use);
	EXPECT_EQ(0, info.kinds[METASTORE_USER_STORE_BYTES].use);
	bob = open_as(BOB);
	EXPECT_LE(0, bob);
	close(bob);
	close(third);
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_FILES));
	third = ms_open(O_RDONLY);
	EXPECT_LE(0, third);
	close(third);
	close(second);
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_FILES));
}

TEST_F(user, subscriptions)
{
	int second = open_as(ALICE), bob = open_as(BOB);

	ASSERT_LE(0, second);
	ASSERT_LE(0, bob);
	ASSERT_EQ(0, limit_kind(METASTORE_USER_SUBSCRIPTIONS, 2));
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe_prefix(second, "b", EVENTS_ALL, 0));
	EXPECT_EQ(-EDQUOT, ms_subscribe(self->fd, "c", EVENTS_ALL, 0));
	EXPECT_EQ(-EDQUOT, ms_subscribe_prefix(second, "c", EVENTS_ALL, 0));
	EXPECT_EQ(0, ms_subscribers(self->root, "c"));
	ASSERT_EQ(0, be(BOB));
	EXPECT_EQ(0, ms_subscribe(bob, "a", EVENTS_ALL, 0));
	ASSERT_EQ(0, be(ALICE));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "a"));
	EXPECT_EQ(0, ms_subscribe(second, "c", EVENTS_ALL, 0));
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_SUBSCRIPTIONS));
	close(second);
	EXPECT_TRUE(use_becomes(self->fd, METASTORE_USER_SUBSCRIPTIONS, 0));
	close(bob);
}

/* A call that fails for another reason gives back what it was charged */
TEST_F(user, subscriptions_that_fail)
{
	int i;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_SUBSCRIPTIONS, 2));
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-EEXIST, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_SUBSCRIPTIONS));
	/* A place for the longest value does not fit into the queue */
	for (i = 0; i < 5; i++)
		EXPECT_EQ(-ENOBUFS, ms_subscribe_as(self->fd, "b", .events = EVENTS_ALL,
						    .flags = METASTORE_SUBSCRIBE_LATEST));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_SUBSCRIPTIONS));
	EXPECT_EQ(0, ms_subscribe(self->fd, "b", EVENTS_ALL, 0));
}

/* A subscription counts until nothing of it is left to be read */
TEST_F(user, subscriptions_that_ended)
{
	struct ms_reader r = ms_reader(self->fd, MS_READER_SIZE);
	char key[2] = "a";
	__u32 i;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_SUBSCRIPTIONS, 3));
	for (; key[0] < 'd'; key[0]++) {
		ASSERT_EQ(0, ms_subscribe(self->fd, key, EVENTS_ALL, 0));
		for (i = 0; i < QUEUE_LEN + 1; i++)
			ASSERT_EQ(0, ms_set(self->fd, key, "value", NULL));
		ASSERT_EQ(0, ms_unsubscribe(self->fd, key));
	}
	EXPECT_EQ(-EDQUOT, ms_subscribe(self->fd, "d", EVENTS_ALL, 0));
	EXPECT_EQ(3, use(self->fd, METASTORE_USER_SUBSCRIPTIONS));
	while (!ms_silent(self->fd))
		ASSERT_NE(NULL, ms_next(&r));
	EXPECT_TRUE(use_becomes(self->fd, METASTORE_USER_SUBSCRIPTIONS, 0));
	EXPECT_EQ(0, ms_subscribe(self->fd, "d", EVENTS_ALL, 0));
}

TEST_F(user, queue_bytes)
{
	int second = open_as(ALICE), bob = open_as(BOB);
	__u32 each = QUEUE(QUEUE_LEN, QUEUE_BYTES);

	/* The queue of a file without subscriptions counts nothing */
	ASSERT_EQ(0, limit_kind(METASTORE_USER_QUEUE_BYTES, 2 * each - 1));
	EXPECT_EQ(0, ms_queue_set_bytes(second, 10 * QUEUE_BYTES));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	EXPECT_EQ(0, ms_queue_set_bytes(second, QUEUE_BYTES));
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", EVENTS_ALL, 0));
	EXPECT_EQ(each, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	EXPECT_EQ(-EDQUOT, ms_subscribe(second, "a", EVENTS_ALL, 0));
	EXPECT_EQ(each, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_SUBSCRIPTIONS));
	ASSERT_EQ(0, be(BOB));
	EXPECT_EQ(0, ms_subscribe(bob, "a", EVENTS_ALL, 0));
	ASSERT_EQ(0, be(ALICE));
	ASSERT_EQ(0, limit_kind(METASTORE_USER_QUEUE_BYTES, 2 * each));
	EXPECT_EQ(0, ms_subscribe(second, "a", EVENTS_ALL, 0));
	EXPECT_EQ(2 * each, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	close(second);
	EXPECT_EQ(each, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	close(self->fd);
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	close(bob);
}

TEST_F(user, queue_bytes_of_a_larger_queue)
{
	__u32 each = QUEUE(QUEUE_LEN, QUEUE_BYTES);
	struct metastore_queue_info info;

	ASSERT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	ASSERT_EQ(0, limit_kind(METASTORE_USER_QUEUE_BYTES, each + 1000));
	EXPECT_EQ(-EDQUOT, ms_queue_set_bytes(self->fd, QUEUE_BYTES + 1001));
	EXPECT_EQ(-EDQUOT, ms_queue_set_len(self->fd, QUEUE_LEN + 18));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(QUEUE_BYTES, info.max_bytes);
	EXPECT_EQ(QUEUE_LEN, info.max_len);
	EXPECT_EQ(0, ms_queue_set_len(self->fd, QUEUE_LEN + 17));
	EXPECT_EQ(QUEUE(QUEUE_LEN + 17, QUEUE_BYTES), use(self->fd, METASTORE_USER_QUEUE_BYTES));
	EXPECT_EQ(0, ms_queue_set_len(self->fd, QUEUE_LEN));
	EXPECT_EQ(0, ms_queue_set_bytes(self->fd, QUEUE_BYTES + 1000));
	EXPECT_EQ(each + 1000, use(self->fd, METASTORE_USER_QUEUE_BYTES));
	/* Also above a limit that was lowered, a queue can become smaller */
	ASSERT_EQ(0, limit_kind(METASTORE_USER_QUEUE_BYTES, 1));
	EXPECT_EQ(0, ms_queue_set_bytes(self->fd, QUEUE_BYTES));
	EXPECT_EQ(each, use(self->fd, METASTORE_USER_QUEUE_BYTES));
}

TEST_F(user, stores)
{
	const struct metastore_create small = { .buckets = 1 };
	int store, bob;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_STORES, 1));
	store = ms_create(self->fd, O_RDWR, small);
	ASSERT_LE(0, store);
	EXPECT_EQ(-EDQUOT, ms_create(self->fd, O_RDWR, small));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_STORES));
	ASSERT_EQ(0, be(BOB));
	bob = ms_create(self->fd, O_RDWR, small);
	EXPECT_LE(0, bob);
	ASSERT_EQ(0, be(ALICE));
	close(bob);
	close(store);
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_STORES));
	store = ms_create(self->fd, O_RDWR, small);
	EXPECT_LE(0, store);
	close(store);
}

TEST_F(user, store_bytes)
{
	const struct metastore_create small = { .buckets = 2 };
	int store, second, bob, root;
	char value[1000] = "";

	ASSERT_EQ(0, limit_kind(METASTORE_USER_STORE_BYTES, 2 * BUCKET + 2000));
	store = ms_create(self->fd, O_RDWR, small);
	ASSERT_LE(0, store);
	EXPECT_EQ(-EDQUOT, ms_create(self->fd, O_RDWR, small));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_STORES));
	EXPECT_EQ(2 * BUCKET, use(self->fd, METASTORE_USER_STORE_BYTES));
	EXPECT_EQ(0, ms_setn(store, "k", 1, value, sizeof(value), NULL));
	EXPECT_EQ(-EDQUOT, ms_setn(store, "l", 1, value, sizeof(value), NULL));
	EXPECT_STREQ("ENOENT", ms_str(store, "l"));
	/* The user that created the store pays for a key, also if another one stores it */
	ASSERT_EQ(0, be(BOB));
	EXPECT_EQ(-EDQUOT, ms_setn(store, "l", 1, value, sizeof(value), NULL));
	bob = ms_create(self->fd, O_RDWR, small);
	EXPECT_LE(0, bob);
	EXPECT_EQ(0, ms_setn(bob, "k", 1, value, sizeof(value), NULL));
	ASSERT_EQ(0, be(ALICE));
	/* The default store is not concerned */
	EXPECT_EQ(0, ms_setn(self->fd, "l", 1, value, sizeof(value), NULL));
	EXPECT_EQ(0, ms_delete(store, "k", NULL));
	EXPECT_EQ(2 * BUCKET, use(self->fd, METASTORE_USER_STORE_BYTES));
	EXPECT_EQ(0, ms_setn(store, "l", 1, value, sizeof(value), NULL));
	/* Root exceeds it, and it counts */
	ASSERT_EQ(0, be(ROOT));
	EXPECT_EQ(0, ms_setn(store, "m", 1, value, sizeof(value), NULL));
	root = ms_create(self->fd, O_RDWR, small);
	EXPECT_LE(0, root);
	EXPECT_EQ(2 * (BUCKET + METASTORE_VALUE_OVERHEAD + 1 + sizeof(value)),
		  use(self->fd, METASTORE_USER_STORE_BYTES));
	ASSERT_EQ(0, be(ALICE));
	second = ms_reopen(store, O_RDWR);
	close(store);
	EXPECT_LT(2 * BUCKET, use(self->fd, METASTORE_USER_STORE_BYTES));
	close(second);
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_STORE_BYTES));
	close(bob);
	close(root);
}

TEST_F(user, owned_keys)
{
	int second = open_as(ALICE), bob = open_as(BOB);
	struct metastore_set arg;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_OWNED_KEYS, 2));
	EXPECT_EQ(0, ms_own(self->fd, "a", "1", NULL));
	EXPECT_EQ(0, ms_own(second, "b", "1", NULL));
	EXPECT_EQ(-EDQUOT, ms_own(self->fd, "c", "1", NULL));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "c"));
	EXPECT_EQ(0, ms_set(self->fd, "c", "1", NULL));
	EXPECT_EQ(-EDQUOT, ms_own(self->fd, "c", "2", NULL));
	EXPECT_STREQ("1", ms_str(self->fd, "c"));
	/* One for one */
	EXPECT_EQ(0, ms_own(self->fd, "a", "2", NULL));
	arg = (struct metastore_set) { .flags = METASTORE_F_OWNED | METASTORE_F_STEAL };
	EXPECT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "b", "2", &arg));
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_OWNED_KEYS));
	/* Another user is not refused, and gives back what it takes */
	ASSERT_EQ(0, be(BOB));
	EXPECT_EQ(0, ms_own(bob, "d", "1", NULL));
	EXPECT_EQ(0, ms_store_with(bob, METASTORE_IOC_SET, "b", "3", &arg));
	EXPECT_EQ(2, use(bob, METASTORE_USER_OWNED_KEYS));
	ASSERT_EQ(0, be(ALICE));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(0, ms_own(self->fd, "c", "2", NULL));
	EXPECT_EQ(-EDQUOT, ms_own(self->fd, "e", "1", NULL));
	EXPECT_EQ(0, ms_delete(self->fd, "a", NULL));
	EXPECT_EQ(0, ms_set(self->fd, "c", "3", NULL));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(0, ms_own(second, "e", "1", NULL));
	EXPECT_EQ(0, ms_own(second, "f", "1", NULL));
	EXPECT_EQ(-EDQUOT, ms_own(self->fd, "g", "1", NULL));
	close(second);
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(0, ms_own(self->fd, "g", "1", NULL));
	close(bob);
}

static struct metastore_op op_own(const char *key)
{
	struct metastore_op op = ms_op_set(key, "1");

	op.flags = METASTORE_F_OWNED;
	return op;
}

/* All or none, and a key given up is room for one, in whatever order */
TEST_F(user, owned_keys_in_atomic_batches)
{
	struct metastore_op three[] = { op_own("a"), op_own("b"), op_own("c") };
	struct metastore_op move[] = { op_own("c"), ms_op_delete("a"), ms_op_set("d", "1") };
	struct metastore_op over[] = { op_own("d"), op_own("b"), ms_op_set("a", "1") };
	__u32 failed;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_OWNED_KEYS, 2));
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, three, 3, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(-EDQUOT, three[failed].result);
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(0, ms_batch(self->fd, three, 2, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(0, ms_batch(self->fd, move, 3, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, over, 3, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(2, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "a"));
}

/* Keys that expire, or that another user flushes, are given back to their owner */
TEST_F(user, owned_keys_that_end)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .ttl = 1 };
	struct metastore_flush flush;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_OWNED_KEYS, 1));
	EXPECT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "a", "1", &arg));
	EXPECT_TRUE(use_becomes(self->fd, METASTORE_USER_OWNED_KEYS, 0));
	EXPECT_EQ(0, ms_own(self->fd, "b", "1", NULL));
	EXPECT_EQ(0, ms_flush(self->root, NULL, METASTORE_ANY_BUCKET, METASTORE_FLUSH_STEAL,
			      &flush));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(0, ms_own(self->fd, "b", "1", NULL));
}

/* A child that waits for room in the queue of @key's subscriber. Returns its number. */
static pid_t start_waiting(int uid, const char *key)
{
	struct metastore_set arg = { .flags = METASTORE_F_WAIT,
				     .timeout = METASTORE_WAIT_FOREVER };
	pid_t pid = ms_fork();
	int fd;

	if (pid)
		return pid;
	fd = be(uid) ?: ms_open(O_RDWR);
	_exit(fd < 0 ? 1 : -ms_store_with(fd, METASTORE_IOC_PUBLISH, key, "v", &arg));
}

TEST_F(user, waiting)
{
	struct ms_reader r = ms_reader(self->root, MS_READER_SIZE);
	pid_t alice, bob;
	__u32 i;

	ASSERT_EQ(0, be(ROOT));
	ASSERT_EQ(0, ms_queue_set_policy(self->root, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ms_subscribe(self->root, "k", EVENTS_ALL, 0));
	for (i = 0; i < QUEUE_LEN; i++)
		ASSERT_LE(0, ms_publish(self->root, "k", "v", NULL));
	ASSERT_EQ(0, limit_kind(METASTORE_USER_WAITING, 1));
	alice = start_waiting(ALICE, "k");
	ASSERT_TRUE(use_becomes(self->fd, METASTORE_USER_WAITING, 1));
	EXPECT_EQ(EDQUOT, ms_join(start_waiting(ALICE, "k")));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_WAITING));
	bob = start_waiting(BOB, "k");
	while (!ms_silent(self->root))
		ASSERT_NE(NULL, ms_next(&r));
	EXPECT_EQ(0, ms_join(alice));
	EXPECT_EQ(0, ms_join(bob));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_WAITING));
}

/* The user that opened a file pays for what others do with it */
TEST_F(user, passed_descriptor)
{
	int bob = open_as(BOB);

	ASSERT_LE(0, bob);
	ASSERT_EQ(0, limit_kind(METASTORE_USER_SUBSCRIPTIONS, 1));
	ASSERT_EQ(0, limit_kind(METASTORE_USER_OWNED_KEYS, 1));
	ASSERT_EQ(0, be(BOB));
	EXPECT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 0));
	EXPECT_EQ(0, ms_own(self->fd, "a", "1", NULL));
	EXPECT_EQ(0, use(bob, METASTORE_USER_SUBSCRIPTIONS));
	EXPECT_EQ(0, use(bob, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_SUBSCRIPTIONS));
	EXPECT_EQ(1, use(self->fd, METASTORE_USER_OWNED_KEYS));
	EXPECT_EQ(-EDQUOT, ms_subscribe(self->fd, "b", EVENTS_ALL, 0));
	EXPECT_EQ(-EDQUOT, ms_own(self->fd, "b", "1", NULL));
	EXPECT_EQ(0, ms_subscribe(bob, "b", EVENTS_ALL, 0));
	EXPECT_EQ(0, ms_own(bob, "b", "1", NULL));
	close(bob);
}

TEST_F(user, root_is_counted_and_not_refused)
{
	struct metastore_user_info info;
	__u64 before = use(self->root, METASTORE_USER_FILES);
	int fds[3], i;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_FILES, 1));
	EXPECT_EQ(-EDQUOT, ms_open(O_RDONLY));
	ASSERT_EQ(0, be(ROOT));
	for (i = 0; i < 3; i++) {
		fds[i] = ms_open(O_RDONLY);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_EQ(0, user_of(self->root, &info));
	EXPECT_EQ(before + 3, info.kinds[METASTORE_USER_FILES].use);
	EXPECT_EQ(0, info.kinds[METASTORE_USER_FILES].refused);
	ms_close_many(fds, 3);
}

/* Users of a namespace count to its creator. Exits with what went wrong, 4: no namespaces. */
static int try_namespace(int fd)
{
	int before = use(fd, METASTORE_USER_FILES), own;
	struct metastore_user_info info;
	struct stat ns;

	if (setresuid(ALICE, ALICE, ALICE))
		return 1;
	if (unshare(CLONE_NEWUSER))
		return 4;
	own = ms_open(O_RDWR);
	if (own < 0)
		return 5;
	if (stat("/proc/self/ns/user", &ns) || user_of(own, &info))
		return 6;
	if (info.ns != ns.st_ino || info.kinds[METASTORE_USER_FILES].use != 1)
		return 7;
	if (use(fd, METASTORE_USER_FILES) != before + 1)
		return 8;
	if (ms_open(O_RDWR) != -EDQUOT)
		return 9;
	/* All capabilities of the new namespace are none here */
	info.flags = METASTORE_USER_NEXT;
	if (ms_ioctl(own, METASTORE_IOC_USER, &info) != -EPERM)
		return 10;
	if (user_of(own, &info) || info.kinds[METASTORE_USER_FILES].refused != 1)
		return 11;
	close(own);
	return use(fd, METASTORE_USER_FILES) == before ? 0 : 12;
}

TEST_F(user, new_namespaces_give_no_new_limits)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, limit_kind(METASTORE_USER_FILES, use(self->fd, METASTORE_USER_FILES) + 1));
	ASSERT_EQ(0, be(ROOT));
	pid = ms_fork();
	if (!pid)
		_exit(try_namespace(self->fd));
	status = ms_join(pid);
	if (status == 4)
		SKIP(return, "a user cannot create user namespaces here");
	EXPECT_EQ(0, status);
}

/* How many keys a user can store, until @err, with names that begin so */
static int fill(int uid, int fd, const char *name, __u32 len, int *err)
{
	static char value[50000];
	char key[16];
	int n;

	*err = be(uid);
	for (n = 0; !*err && n <= MAX_KEYS; n++) {
		snprintf(key, sizeof(key), "%s%06d", name, n);
		*err = ms_setn(fd, key, 7, value, len, NULL);
	}
	return be(ALICE) ?: n - 1;
}

/* Each gets a part of what is left, so that there is some for the next one */
TEST_F(user, shares_of_keys)
{
	int bob = open_as(BOB), carol = open_as(CAROL), err;
	struct metastore_user_info info;

	EXPECT_EQ(30, fill(ALICE, self->fd, "a", 1, &err));
	EXPECT_EQ(-EDQUOT, err);
	ASSERT_EQ(0, user_of(self->fd, &info));
	EXPECT_EQ(METASTORE_USER_KEYS, info.last_refused);
	EXPECT_EQ(30, info.kinds[METASTORE_USER_KEYS].use);
	EXPECT_EQ(30, info.kinds[METASTORE_USER_KEYS].limit);
	EXPECT_EQ(1, info.kinds[METASTORE_USER_KEYS].refused);
	EXPECT_EQ(30 * (7 + 1 + METASTORE_VALUE_OVERHEAD), info.kinds[METASTORE_USER_BYTES].use);
	EXPECT_EQ(10, fill(BOB, bob, "b", 1, &err));
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_EQ(5, fill(CAROL, carol, "c", 1, &err));
	EXPECT_EQ(-EDQUOT, err);
	/* They can overwrite what they have */
	EXPECT_EQ(0, ms_set(self->fd, "a000000", "2", NULL));
	EXPECT_EQ(0, ms_set(self->fd, "a000000", "a longer one", NULL));
	/* Root may fill the store, which is then full for all */
	EXPECT_EQ(15, fill(ROOT, self->root, "r", 1, &err));
	EXPECT_EQ(-ENOSPC, err);
	EXPECT_EQ(-ENOSPC, ms_set(self->fd, "a999999", "1", NULL));
	/* A user above its share gets no more, others do */
	ASSERT_EQ(0, ms_delete(self->root, "r000000", NULL));
	ASSERT_EQ(0, ms_delete(self->root, "r000001", NULL));
	EXPECT_EQ(-EDQUOT, ms_set(self->fd, "a999999", "1", NULL));
	close(bob);
	close(carol);
}

/* A value counts to the user that stored it, until it goes, however it goes */
TEST_F(user, shares_are_given_back)
{
	struct metastore_set arg = { .ttl = 1 };
	int bob = open_as(BOB), i;
	struct metastore_flush flush;
	struct metastore_op ops[2];
	__u32 failed;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, ms_set(self->fd, "a", "1", NULL));
		EXPECT_EQ(1, use(self->fd, METASTORE_USER_KEYS));
		EXPECT_EQ(1 + 1 + METASTORE_VALUE_OVERHEAD, use(self->fd, METASTORE_USER_BYTES));
	}
	EXPECT_EQ(0, ms_set(self->fd, "a", "123", NULL));
	EXPECT_EQ(1 + 3 + METASTORE_VALUE_OVERHEAD, use(self->fd, METASTORE_USER_BYTES));
	/* By another user, of the same size */
	EXPECT_EQ(0, ms_set(bob, "a", "456", NULL));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_KEYS));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_BYTES));
	EXPECT_EQ(1, use(bob, METASTORE_USER_KEYS));
	EXPECT_EQ(1 + 3 + METASTORE_VALUE_OVERHEAD, use(bob, METASTORE_USER_BYTES));
	EXPECT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	EXPECT_EQ(0, use(bob, METASTORE_USER_KEYS));
	EXPECT_EQ(0, use(bob, METASTORE_USER_BYTES));
	EXPECT_EQ(0, ms_delete(bob, "a", NULL));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_KEYS));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_BYTES));
	/* By its time, its owner, a flush, a batch */
	EXPECT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "a", "1", &arg));
	EXPECT_TRUE(use_becomes(self->fd, METASTORE_USER_KEYS, 0));
	EXPECT_EQ(0, ms_own(bob, "a", "1", NULL));
	EXPECT_EQ(1, use(bob, METASTORE_USER_KEYS));
	close(bob);
	bob = open_as(BOB);
	EXPECT_EQ(0, use(bob, METASTORE_USER_KEYS));
	EXPECT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	EXPECT_EQ(0, ms_flush(bob, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_KEYS));
	EXPECT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	EXPECT_EQ(0, ms_set(self->fd, "b", "1", NULL));
	ops[0] = ms_op_set("a", "12");
	ops[1] = ms_op_delete("b");
	EXPECT_EQ(0, ms_batch(bob, ops, 2, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_KEYS));
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_BYTES));
	EXPECT_EQ(1, use(bob, METASTORE_USER_KEYS));
	EXPECT_EQ(1 + 2 + METASTORE_VALUE_OVERHEAD, use(bob, METASTORE_USER_BYTES));
	/* A user without open files comes back to what it has */
	close(bob);
	usleep(ms_limit(100) * 1000);
	bob = open_as(BOB);
	EXPECT_EQ(1, use(bob, METASTORE_USER_KEYS));
	EXPECT_EQ(1 + 2 + METASTORE_VALUE_OVERHEAD, use(bob, METASTORE_USER_BYTES));
	close(bob);
}

/* The process that stored a value is still known */
TEST_F(user, shares_leave_the_writer)
{
	struct metastore_stat stat;

	ASSERT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	ASSERT_EQ(0, ms_stat(self->fd, "a", &stat));
	EXPECT_EQ(getpid(), stat.tgid);
	EXPECT_EQ(ALICE, stat.uid);
}

TEST_F(user, shares_of_bytes)
{
	int bob = open_as(BOB), err;
	__u32 each = 9000 + 7 + METASTORE_VALUE_OVERHEAD;

	EXPECT_EQ(MAX_BYTES / 2 / each, fill(ALICE, self->fd, "a", 9000, &err));
	EXPECT_EQ(-EDQUOT, err);
	EXPECT_EQ((MAX_BYTES - MAX_BYTES / 2 / each * each) / 3 / each,
		  fill(BOB, bob, "b", 9000, &err));
	EXPECT_EQ(-EDQUOT, err);
	/* A smaller one still fits */
	EXPECT_EQ(0, ms_setn(bob, "b", 1, NULL, 0, NULL));
	close(bob);
}

TEST_F(user, shares_in_atomic_batches)
{
	struct metastore_op ops[MAX_KEYS / 2 + 1];
	char keys[MAX_KEYS][8];
	__u32 i, failed;

	for (i = 0; i < MAX_KEYS / 2 + 1; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%u", i);
		ops[i] = ms_op_set(keys[i], "1");
	}
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, ops, MAX_KEYS / 2 + 1, METASTORE_BATCH_ATOMIC,
				       &failed));
	EXPECT_EQ(-EDQUOT, ops[failed].result);
	EXPECT_EQ(0, use(self->fd, METASTORE_USER_KEYS));
	EXPECT_EQ(0, ms_keys(self->fd));
	EXPECT_EQ(0, ms_batch(self->fd, ops, MAX_KEYS / 2, METASTORE_BATCH_ATOMIC, &failed));
	EXPECT_EQ(MAX_KEYS / 2, use(self->fd, METASTORE_USER_KEYS));
}

/* Change a few keys in all ways, as often as time permits */
static void change_at_random(int uid, unsigned int seed)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + SECOND / 2;
	int fd = be(uid) ?: ms_open(O_RDWR);
	char key[2] = "a", value[8] = "1234567";
	struct metastore_op ops[2];
	__u32 failed;

	if (fd < 0)
		_exit(1);
	while (ms_now(CLOCK_MONOTONIC) < end) {
		key[0] = 'a' + rand_r(&seed) % 4;
		value[7 - rand_r(&seed) % 2] = 0;
		switch (rand_r(&seed) % 6) {
		case 0:
		case 1:
			ms_set(fd, key, value, NULL);
			break;
		case 2:
			ms_own(fd, key, value, NULL);
			break;
		case 3:
			ms_set_ttl(fd, key, value, 1, NULL);
			break;
		case 4:
			ms_delete(fd, key, NULL);
			break;
		default:
			ops[0] = op_own(key);
			ops[1] = ms_op_set(key[0] == 'a' ? "b" : "a", value);
			ms_batch(fd, ops, 2, METASTORE_BATCH_ATOMIC, &failed);
		}
		memcpy(value, "1234567", sizeof(value));
	}
	_exit(0);
}

/* Every charge is given back, however users and processors interleave */
TEST_F(user, books_add_up)
{
	static const int kinds[] = { METASTORE_USER_KEYS, METASTORE_USER_BYTES,
				     METASTORE_USER_OWNED_KEYS };
	int bob = open_as(BOB);
	struct metastore_info info;
	pid_t pids[6];
	size_t i;

	ASSERT_EQ(0, be(ROOT));
	for (i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = ms_fork();
		if (!pids[i])
			change_at_random(i % 2 ? ALICE : BOB, i);
	}
	for (i = 0; i < ARRAY_SIZE(pids); i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	/* No key is about to expire */
	usleep(ms_limit(100) * 1000);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(info.keys, use(self->fd, METASTORE_USER_KEYS) + use(bob, METASTORE_USER_KEYS));
	EXPECT_EQ(info.bytes, use(self->fd, METASTORE_USER_BYTES) + use(bob, METASTORE_USER_BYTES));
	ASSERT_EQ(0, ms_reset(self->root));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		EXPECT_EQ(0, use(self->fd, kinds[i]));
		EXPECT_EQ(0, use(bob, kinds[i]));
	}
	close(bob);
}

TEST_F(user, shares_of_private_stores)
{
	const struct metastore_create half = { .buckets = PRIVATE_BYTES / 2 / BUCKET };
	const struct metastore_create more = { .buckets = PRIVATE_BYTES / 2 / BUCKET + 1 };
	const struct metastore_create sixth = { .buckets = PRIVATE_BYTES / 6 / BUCKET };
	struct metastore_user_info info;
	int alice, bob;

	EXPECT_EQ(-EDQUOT, ms_create(self->fd, O_RDWR, more));
	alice = ms_create(self->fd, O_RDWR, half);
	ASSERT_LE(0, alice);
	ASSERT_EQ(0, user_of(self->fd, &info));
	EXPECT_EQ(PRIVATE_BYTES / 2, info.kinds[METASTORE_USER_STORE_BYTES].limit);
	EXPECT_EQ(METASTORE_USER_STORE_BYTES, info.last_refused);
	EXPECT_EQ(-EDQUOT, ms_create(self->fd, O_RDWR, (struct metastore_create) {}));
	ASSERT_EQ(0, be(BOB));
	bob = ms_create(self->fd, O_RDWR, sixth);
	EXPECT_LE(0, bob);
	EXPECT_EQ(-EDQUOT, ms_create(self->fd, O_RDWR, sixth));
	close(bob);
	close(alice);
	alice = ms_create(self->fd, O_RDWR, half);
	EXPECT_LE(0, alice);
	close(alice);
	ASSERT_EQ(0, be(ALICE));
}

TEST_HARNESS_MAIN
