// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: followers of a kernel that says its records in an order of ours. A socket
 * takes the place of the queue: each message is what one read gets.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

#define SUBSCRIPTIONS	8

/* The kernel's side of each subscription: its cookie, what waits, whether it is gone */
static struct {
	char key[16];
	uint64_t cookie, pending;
	bool gone;
} subs[SUBSCRIPTIONS];
static int nr_subs;
static int queue_fd;

static int find_sub(uint64_t key, uint32_t len)
{
	for (int i = nr_subs - 1; i >= 0; i--)
		if (strlen(subs[i].key) == len &&
		    !memcmp(subs[i].key, (void *)(uintptr_t)key, len))
			return subs[i].gone ? -1 : i;
	return -1;
}

static int fake_subscribe(const struct metastore_subscribe *args)
{
	if (args->flags & METASTORE_SUBSCRIBE_RESYNC)
		return find_sub(args->key, args->key_len) < 0 ? -ENOENT : 0;
	memset(&subs[nr_subs], 0, sizeof(subs[nr_subs]));
	memcpy(subs[nr_subs].key, (void *)(uintptr_t)args->key, args->key_len);
	subs[nr_subs++].cookie = args->cookie;
	return 0;
}

static int fake_subscription(struct metastore_subscription_info *info)
{
	int i = find_sub(info->key, info->key_len);

	if (i < 0)
		return -ENOENT;
	info->pending = subs[i].pending;
	return 0;
}

static int fake_queue(struct metastore_queue_info *info)
{
	info->pending = 0;
	for (int i = 0; i < nr_subs; i++)
		info->pending += subs[i].pending;
	return 0;
}

static int fake_followed(void *arg)
{
	switch (fake_command) {
	case METASTORE_IOC_INFO:
		((struct metastore_info *)arg)->features = METASTORE_FEATURE_RESYNC;
		return 0;
	case METASTORE_IOC_OPEN:
		return dup(queue_fd);
	case METASTORE_IOC_SUBSCRIBE:
		return fake_subscribe(arg);
	case METASTORE_IOC_SUBSCRIPTION:
		return fake_subscription(arg);
	case METASTORE_IOC_QUEUE:
		return fake_queue(arg);
	default:
		return 0;
	}
}

/* A clock that goes on by so much with each look at it, while that is not negative */
static int64_t clock_step = -1;

int clock_gettime(clockid_t id, struct timespec *now)
{
	static int64_t ms = 1000;

	if (clock_step < 0)
		return (int)syscall(SYS_clock_gettime, id, now);
	ms += clock_step;
	now->tv_sec = ms / 1000;
	now->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

/* The longest wait that was asked for; none lasts */
static int longest_wait;

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec none = { 0 };

	if (timeout < 0 || timeout > longest_wait)
		longest_wait = timeout;
	return (int)syscall(SYS_ppoll, fds, count, &none, NULL, 0);
}

/* A follower, the kernel's end of its queue, and the message to be sent */
struct fake {
	struct mstore *store;
	struct mstore_follow *follow;
	int fd;
	char message[4096];
	size_t len;
};

FIXTURE(kernel) {
	struct fake fake;
};

FIXTURE_SETUP(kernel)
{
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds));
	self->fake.fd = fds[0];
	queue_fd = fds[1];
	self->fake.store = mstore_open_fd(fds[1]);
	ASSERT_NE(NULL, self->fake.store);
	fake_kernel = fake_followed;
}

FIXTURE_TEARDOWN(kernel)
{
	mstore_follow_free(self->fake.follow);
	mstore_close(self->fake.store);
	close(self->fake.fd);
}

/* The follower follows @first, and @second unless that is NULL; "a/" is a prefix. */
static void begin(struct fake *fake, int flags, const char *first, const char *second)
{
	const struct mstore_follow_options options = { .flags = flags };
	const char *const keys[] = { first, second };

	fake->follow = mstore_follow_new(fake->store, &options);
	for (int i = 0; i < 2 && keys[i]; i++)
		mstore_follow_add(fake->follow, keys[i], MSTORE_STRLEN,
				  strchr(keys[i], '/') ? MSTORE_SUBSCRIBE_PREFIX : 0);
}

/* Adds a record to the message: of subscription @sub, of @key and @version, or a count */
static void record(struct fake *fake, int type, int sub, const char *key, uint64_t number,
		   int flags)
{
	struct metastore_event event = {
		.header_len = sizeof(event),
		.key_len = (uint16_t)strlen(key),
		.type = type,
		.flags = flags,
		.cookie = subs[sub].cookie,
	};

	event.len = (sizeof(event) + event.key_len + 7) / 8 * 8;
	if (type == METASTORE_EVENT_LOST || type == METASTORE_EVENT_FLUSHED)
		event.count = number;
	else
		event.version = number;
	memcpy(fake->message + fake->len, &event, sizeof(event));
	memcpy(fake->message + fake->len + sizeof(event), key, event.key_len);
	fake->len += event.len;
}

static void set(struct fake *fake, int sub, const char *key, uint64_t version)
{
	record(fake, METASTORE_EVENT_SET, sub, key, version, 0);
}

static void end_snapshot(struct fake *fake, int sub)
{
	record(fake, METASTORE_EVENT_SNAPSHOT_END, sub, "", 0, 0);
}

/* The next read gets all records since the last message. */
static bool send_records(struct fake *fake)
{
	ssize_t sent = write(fake->fd, fake->message, fake->len);

	fake->len = 0;
	return sent > 0;
}

/* The next change that it tells, as "key@version", "-key@version", "in step" or "nothing" */
static const char *next(struct fake *fake, int timeout_ms)
{
	static char text[64];
	int type = mstore_follow_next(fake->follow, timeout_ms);
	size_t len;
	const char *key = mstore_follow_key(fake->follow, &len);

	if (type < 0)
		return strerror(errno);
	if (!type)
		return "nothing";
	if (type == MSTORE_FOLLOW_IN_STEP)
		return "in step";
	snprintf(text, sizeof(text), "%s%.*s@%d", type == MSTORE_FOLLOW_DELETED ? "-" : "",
		 (int)len, key, (int)mstore_follow_version(fake->follow));
	return text;
}

#define EXPECT_NEXT(expected) EXPECT_STREQ(expected, next(&self->fake, 0))

/* The event of the place of an exact key comes before what waits longer in the ring. */
TEST_F(kernel, in_step_behind_ring_and_place)
{
	begin(&self->fake, 0, "a/", "b");
	record(&self->fake, METASTORE_EVENT_SNAPSHOT, 0, "a/1", 1, 0);
	end_snapshot(&self->fake, 0);
	end_snapshot(&self->fake, 1);
	ASSERT_TRUE(send_records(&self->fake));
	subs[0].pending = 1;
	set(&self->fake, 1, "b", 9);
	set(&self->fake, 0, "a/1", 5);
	set(&self->fake, 1, "b", 10);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a/1@1");
	EXPECT_NEXT("b@9");
	EXPECT_NEXT("a/1@5");
	EXPECT_NEXT("in step");
	EXPECT_NEXT("b@10");
	EXPECT_NEXT("nothing");
}

/* A discarded event counts until the kernel comes to it, and is never read. */
TEST_F(kernel, in_step_behind_discarded_events)
{
	begin(&self->fake, 0, "a/", "b");
	end_snapshot(&self->fake, 0);
	end_snapshot(&self->fake, 1);
	ASSERT_TRUE(send_records(&self->fake));
	subs[0].pending = 2;
	set(&self->fake, 1, "b", 9);
	ASSERT_TRUE(send_records(&self->fake));
	set(&self->fake, 1, "b", 10);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("b@9");
	EXPECT_NEXT("b@10");
	subs[0].pending = 0;
	set(&self->fake, 1, "b", 11);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("in step");
	EXPECT_NEXT("b@11");
}

/* A flush of the first subscription, of which FLUSHED tells behind all that waits */
TEST_F(kernel, not_in_step_before_flushed)
{
	struct mstore_follow_info info;

	begin(&self->fake, MSTORE_FOLLOW_EACH, "a/", "b/");
	end_snapshot(&self->fake, 0);
	set(&self->fake, 0, "a/1", 2);
	end_snapshot(&self->fake, 1);
	ASSERT_TRUE(send_records(&self->fake));
	subs[0].gone = true;
	subs[0].pending = 1;
	set(&self->fake, 0, "a/2", 3);
	record(&self->fake, METASTORE_EVENT_FLUSHED, 0, "", 1, 0);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a/1@2");
	EXPECT_NEXT("a/2@3");
	EXPECT_NEXT("nothing");
	ASSERT_EQ(3, nr_subs);
	record(&self->fake, METASTORE_EVENT_SNAPSHOT, 2, "a/1", 4, 0);
	end_snapshot(&self->fake, 2);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a/1@4");
	EXPECT_NEXT("-a/2@3");
	EXPECT_NEXT("in step");
	EXPECT_NEXT("nothing");
	mstore_follow_info(self->fake.follow, &info);
	EXPECT_EQ(1, info.recoveries);
	EXPECT_EQ(0, info.lost);
}

/* All that waited was dropped by a smaller queue: LOST is all that is left to read. */
TEST_F(kernel, not_in_step_before_lost)
{
	begin(&self->fake, MSTORE_FOLLOW_EACH, "a/", NULL);
	record(&self->fake, METASTORE_EVENT_SNAPSHOT, 0, "a/1", 1, 0);
	end_snapshot(&self->fake, 0);
	ASSERT_TRUE(send_records(&self->fake));
	record(&self->fake, METASTORE_EVENT_LOST, 0, "", 1, 0);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a/1@1");
	EXPECT_NEXT("nothing");
	record(&self->fake, METASTORE_EVENT_SNAPSHOT, 0, "a/1", 2, 0);
	end_snapshot(&self->fake, 0);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a/1@2");
	EXPECT_NEXT("in step");
	EXPECT_NEXT("nothing");
}

/* The time is over and nothing waits: a loop with poll() would not call it again. */
TEST_F(kernel, in_step_at_the_end_of_the_time)
{
	begin(&self->fake, 0, "a/", NULL);
	record(&self->fake, METASTORE_EVENT_SNAPSHOT, 0, "a/1", 1, 0);
	end_snapshot(&self->fake, 0);
	ASSERT_TRUE(send_records(&self->fake));
	subs[0].pending = 2;
	record(&self->fake, METASTORE_EVENT_DELETED, 0, "a/none", 5, 0);
	ASSERT_TRUE(send_records(&self->fake));
	clock_step = 200;
	EXPECT_NEXT("a/1@1");
	EXPECT_NEXT("in step");
	EXPECT_NEXT("nothing");
}

/* The same while more waits: the descriptor is readable. */
TEST_F(kernel, nothing_at_the_end_of_the_time)
{
	begin(&self->fake, 0, "a/", NULL);
	end_snapshot(&self->fake, 0);
	ASSERT_TRUE(send_records(&self->fake));
	subs[0].pending = 2;
	record(&self->fake, METASTORE_EVENT_DELETED, 0, "a/none", 5, 0);
	ASSERT_TRUE(send_records(&self->fake));
	record(&self->fake, METASTORE_EVENT_DELETED, 0, "a/none", 6, 0);
	ASSERT_TRUE(send_records(&self->fake));
	clock_step = 60;
	EXPECT_NEXT("nothing");
	EXPECT_EQ(1, mstore_wait(mstore_follow_store(self->fake.follow), 0));
	EXPECT_NEXT("in step");
	EXPECT_NEXT("nothing");
}

TEST_F(kernel, longest_time)
{
	begin(&self->fake, 0, "a/", NULL);
	clock_step = 0;
	EXPECT_STREQ("nothing", next(&self->fake, INT_MAX));
	EXPECT_EQ(INT_MAX, longest_wait);
	longest_wait = 0;
	EXPECT_STREQ("nothing", next(&self->fake, INT_MAX - 1));
	EXPECT_EQ(INT_MAX - 1, longest_wait);
}

/* A loss is known when the event behind it is told: that one is no rest of the batch. */
TEST_F(kernel, batch_that_a_loss_ends)
{
	struct mstore_follow_info info;

	begin(&self->fake, MSTORE_FOLLOW_EACH, "a/", NULL);
	end_snapshot(&self->fake, 0);
	record(&self->fake, METASTORE_EVENT_SET, 0, "a/1", 3, METASTORE_EVENT_F_MORE);
	record(&self->fake, METASTORE_EVENT_LOST, 0, "", 4, 0);
	set(&self->fake, 0, "a/2", 8);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a/1@3");
	mstore_follow_info(self->fake.follow, &info);
	EXPECT_EQ(0, info.lost);
	EXPECT_NEXT("a/2@8");
	mstore_follow_info(self->fake.follow, &info);
	EXPECT_EQ(4, info.lost);
}

/* So does a recovery: it discards what waits of the batch in one of two topics. */
TEST_F(kernel, batch_that_a_recovery_ends)
{
	struct mstore_follow_info info;

	begin(&self->fake, MSTORE_FOLLOW_EACH, "a/", "b/");
	end_snapshot(&self->fake, 0);
	end_snapshot(&self->fake, 1);
	record(&self->fake, METASTORE_EVENT_LOST, 0, "", 1, 0);
	record(&self->fake, METASTORE_EVENT_SET, 1, "b/1", 3, METASTORE_EVENT_F_MORE);
	ASSERT_TRUE(send_records(&self->fake));
	set(&self->fake, 1, "b/2", 8);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("b/1@3");
	mstore_follow_info(self->fake.follow, &info);
	EXPECT_EQ(1, info.lost);
	EXPECT_EQ(0, info.recoveries);
	EXPECT_NEXT("b/2@8");
	mstore_follow_info(self->fake.follow, &info);
	EXPECT_EQ(1, info.lost);
	EXPECT_EQ(1, info.recoveries);
}

/* It was read before a prefix took the place of the key. */
TEST_F(kernel, loss_of_a_replaced_key)
{
	struct mstore_follow_info info;

	begin(&self->fake, MSTORE_FOLLOW_EACH, "a", NULL);
	set(&self->fake, 0, "a", 1);
	record(&self->fake, METASTORE_EVENT_LOST, 0, "", 3, 0);
	ASSERT_TRUE(send_records(&self->fake));
	EXPECT_NEXT("a@1");
	ASSERT_EQ(0, mstore_follow_add(self->fake.follow, NULL, 0, MSTORE_SUBSCRIBE_PREFIX));
	ASSERT_EQ(0, mstore_follow_add(self->fake.follow, NULL, 0, MSTORE_SUBSCRIBE_PREFIX));
	EXPECT_EQ(2, nr_subs);
	EXPECT_NEXT("nothing");
	mstore_follow_info(self->fake.follow, &info);
	EXPECT_EQ(3, info.lost);
	EXPECT_EQ(0, info.recoveries);
}

TEST_HARNESS_MAIN
