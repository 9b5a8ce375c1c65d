// SPDX-License-Identifier: GPL-2.0
/*
 * Subscriptions that begin anew (RESYNC), and that end with nothing left (DISCARD): no
 * event from before is read afterwards, each is accounted for, and others' stay.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>

#include "metastore_test.h"

#define RESYNC		METASTORE_SUBSCRIBE_RESYNC
#define DISCARD		METASTORE_SUBSCRIBE_DISCARD
#define SNAPSHOT	METASTORE_SUBSCRIBE_SNAPSHOT
#define PREFIX		METASTORE_SUBSCRIBE_PREFIX
#define LATEST		METASTORE_SUBSCRIBE_LATEST
#define NO_VALUE	METASTORE_SUBSCRIBE_NO_VALUE

#define PAGE		4096

/* Too large for kmalloc() */
#define LARGE		(5 << 20)

/* A key and a value of one to eight bytes together: room for no more than one record */
#define RECORD		56

FIXTURE(resync)
{
	int fd;
	struct ms_reader r;
};

FIXTURE_SETUP(resync)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(resync)
{
	free(self->r.buf);
	close(self->fd);
}

static int follow(int fd, const char *key, __u32 flags, __u64 cookie)
{
	return ms_subscribe_as(fd, key, .events = EVENTS_ALL, .cookie = cookie, .flags = flags);
}

static int resync(int fd, const char *key, __u32 flags)
{
	return ms_subscribe_as(fd, key, .flags = RESYNC | flags);
}

static int unsubscribe(int fd, const char *key, __u32 flags)
{
	struct metastore_unsubscribe arg = {
		.key = ms_ptr(key),
		.key_len = strlen(key),
		.flags = flags,
	};

	return ms_ioctl(fd, METASTORE_IOC_UNSUBSCRIBE, &arg);
}

static int discard(int fd, const char *key, __u32 flags)
{
	return unsubscribe(fd, key, DISCARD | flags);
}

static int set_many(int fd, const char *key, int from, int to)
{
	char value[16];
	int ret = 0;

	for (; from < to && !ret; from++) {
		snprintf(value, sizeof(value), "%d", from);
		ret = ms_set(fd, key, value, NULL);
	}
	return ret;
}

static bool subscription_balances(int fd, const char *key, __u32 flags)
{
	struct metastore_subscription_info s;

	return !ms_subscription(fd, key, flags & PREFIX, &s) &&
	       s.matched == s.delivered + s.conflated + s.lost + s.discarded + s.pending;
}

static bool queue_balances(int fd)
{
	struct metastore_queue_info q;

	return !ms_queue(fd, &q) &&
	       q.matched == q.delivered + q.conflated + q.lost + q.discarded + q.pending;
}

static __u64 discarded(int fd)
{
	struct metastore_queue_info q;

	return ms_queue(fd, &q) ? POISON64 : q.discarded;
}

static __u64 pending(int fd)
{
	struct metastore_queue_info q;

	return ms_queue(fd, &q) ? POISON64 : q.pending;
}

/* Arguments that are refused, and those that are not */

TEST_F(resync, no_subscription)
{
	EXPECT_EQ(-ENOENT, resync(self->fd, "key", 0));
	EXPECT_EQ(-ENOENT, resync(self->fd, "key", PREFIX));
	EXPECT_EQ(-ENOENT, discard(self->fd, "key", 0));
	EXPECT_EQ(-ENOENT, discard(self->fd, "key", PREFIX));

	/* A key and a prefix of the same bytes are two */
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	EXPECT_EQ(-ENOENT, resync(self->fd, "key", PREFIX));
	EXPECT_EQ(-ENOENT, discard(self->fd, "key", PREFIX));
	EXPECT_EQ(0, discard(self->fd, "key", 0));
	ASSERT_EQ(0, follow(self->fd, "key", PREFIX, 1));
	EXPECT_EQ(-ENOENT, resync(self->fd, "key", 0));
	EXPECT_EQ(-ENOENT, discard(self->fd, "key", 0));
	EXPECT_EQ(0, discard(self->fd, "key", PREFIX));
	EXPECT_EQ(-ENOENT, resync(self->fd, "key", PREFIX));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(resync, empty_prefix)
{
	EXPECT_EQ(-EINVAL, resync(self->fd, "", 0));
	ASSERT_EQ(0, follow(self->fd, "", PREFIX, 7));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	ASSERT_EQ(0, resync(self->fd, "", PREFIX));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 7, .key = "key",
		     .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 7);
	EXPECT_EQ(0, discard(self->fd, "", PREFIX));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* A refused call changes nothing: the event still waits, once */
TEST_F(resync, refused)
{
	static const __u32 others[] = {
		SNAPSHOT, METASTORE_SUBSCRIBE_NEWER, LATEST, NO_VALUE, DISCARD, 0x80, 0x80000000,
	};
	char long_key[METASTORE_KEY_MAX + 2];
	__u64 version;
	size_t i;

	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", &version));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_EQ(-EINVAL, resync(self->fd, "key", others[i]));
		EXPECT_EQ(-EINVAL, resync(self->fd, "key", PREFIX | others[i]));
		if (others[i] != DISCARD) {
			EXPECT_EQ(-EINVAL, discard(self->fd, "key", others[i]));
			EXPECT_EQ(-EINVAL, discard(self->fd, "key", PREFIX | others[i]));
		}
	}
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "key", .flags = RESYNC, .cookie = 1));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "key", .flags = RESYNC,
					   .events = METASTORE_EVENT_SET));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "key", .flags = RESYNC, .version = 1));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "key", .flags = RESYNC, .reserved = 1));
	EXPECT_EQ(-EINVAL, ms_subscribe_as(self->fd, "other", .flags = DISCARD));
	EXPECT_EQ(-EINVAL, unsubscribe(self->fd, "key", RESYNC));
	memset(long_key, 'k', METASTORE_KEY_MAX + 1);
	long_key[METASTORE_KEY_MAX + 1] = '\0';
	EXPECT_EQ(-EINVAL, resync(self->fd, long_key, 0));
	EXPECT_EQ(-EINVAL, resync(self->fd, long_key, PREFIX));
	EXPECT_EQ(-EINVAL, discard(self->fd, long_key, 0));
	EXPECT_EQ(-EINVAL, discard(self->fd, "", 0));

	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .key = "key", .value = "1",
		     .version = version);
	EXPECT_EQ(0, discarded(self->fd));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(resync, bad_descriptor_and_address)
{
	struct metastore_unsubscribe end = { .key = 1, .key_len = 3, .flags = DISCARD };
	struct metastore_subscribe again = { .key = 1, .key_len = 3, .flags = RESYNC };
	int fd = ms_open(O_WRONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, resync(fd, "key", 0));
	EXPECT_EQ(-EBADF, discard(fd, "key", 0));
	close(fd);
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_SUBSCRIBE, &again));
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_UNSUBSCRIBE, &end));
	EXPECT_EQ(-EFAULT, ms_ioctl(self->fd, METASTORE_IOC_SUBSCRIBE, NULL));
}

TEST_F(resync, feature)
{
	struct metastore_info info;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_NE(0, info.features & METASTORE_FEATURE_RESYNC);
}

/* Nothing stale */

FIXTURE(stale)
{
	int fd;
	struct ms_reader r;
};

FIXTURE_VARIANT(stale)
{
	__u32 flags;
	__u32 policy;
};

FIXTURE_VARIANT_ADD(stale, exact)
{
	.flags = 0,
};

FIXTURE_VARIANT_ADD(stale, prefix)
{
	.flags = PREFIX,
};

FIXTURE_VARIANT_ADD(stale, latest)
{
	.flags = LATEST,
};

FIXTURE_VARIANT_ADD(stale, latest_prefix)
{
	.flags = LATEST | PREFIX,
};

FIXTURE_VARIANT_ADD(stale, no_value)
{
	.flags = NO_VALUE,
};

FIXTURE_VARIANT_ADD(stale, no_value_prefix)
{
	.flags = NO_VALUE | PREFIX,
};

FIXTURE_VARIANT_ADD(stale, no_value_latest)
{
	.flags = NO_VALUE | LATEST,
};

FIXTURE_VARIANT_ADD(stale, no_value_latest_prefix)
{
	.flags = NO_VALUE | LATEST | PREFIX,
};

FIXTURE_VARIANT_ADD(stale, lossless)
{
	.flags = 0,
	.policy = METASTORE_QUEUE_LOSSLESS,
};

FIXTURE_VARIANT_ADD(stale, lossless_prefix)
{
	.flags = PREFIX,
	.policy = METASTORE_QUEUE_LOSSLESS,
};

FIXTURE_VARIANT_ADD(stale, lossless_latest_prefix)
{
	.flags = LATEST | PREFIX,
	.policy = METASTORE_QUEUE_LOSSLESS,
};

FIXTURE_SETUP(stale)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 4));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, variant->policy));
	ASSERT_EQ(0, follow(self->fd, "key", variant->flags, 5));
}

FIXTURE_TEARDOWN(stale)
{
	free(self->r.buf);
	close(self->fd);
}

#define EXPECT_BALANCE() do { \
	EXPECT_TRUE(subscription_balances(self->fd, "key", variant->flags)); \
	EXPECT_TRUE(queue_balances(self->fd)); \
} while (0)

/* A change or a value of a snapshot, as the variant's subscription tells it */
#define EXPECT_CHANGE(event_type, number, text) \
	EXPECT_EVENT(&self->r, .type = event_type, .cookie = 5, .key = "key", .version = number, \
		     .flags = variant->flags & NO_VALUE ? METASTORE_EVENT_F_NO_VALUE : 0, \
		     .value = variant->flags & NO_VALUE ? NULL : text)

TEST_F(stale, resync)
{
	__u64 version;
	int i;

	for (i = 0; i < 3; i++) {
		/* Some wait, some are lost or conflated, and none of that is read */
		ASSERT_EQ(0, set_many(self->fd, "key", 0, i ? 10 : 3));
		ASSERT_EQ(0, ms_set(self->fd, "key", "new", &version));
		EXPECT_BALANCE();
		ASSERT_EQ(0, resync(self->fd, "key", variant->flags & PREFIX));
		EXPECT_EQ(0, pending(self->fd));
		EXPECT_BALANCE();
		EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
		EXPECT_CHANGE(METASTORE_EVENT_SNAPSHOT, version, "new");
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 5);
		EXPECT_TRUE(ms_silent(self->fd));
		EXPECT_BALANCE();

		ASSERT_EQ(0, ms_set(self->fd, "key", "newer", &version));
		EXPECT_CHANGE(METASTORE_EVENT_SET, version, "newer");
		ASSERT_EQ(0, ms_delete(self->fd, "key", &version));
		EXPECT_CHANGE(METASTORE_EVENT_DELETED, version, "newer");
		EXPECT_TRUE(ms_silent(self->fd));
		EXPECT_BALANCE();
	}
}

/* Also when the key is gone, and when it comes back before the snapshot is read */
TEST_F(stale, resync_without_key)
{
	__u64 version;

	ASSERT_EQ(0, set_many(self->fd, "key", 0, 10));
	ASSERT_EQ(0, ms_delete(self->fd, "key", NULL));
	ASSERT_EQ(0, resync(self->fd, "key", variant->flags & PREFIX));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 5);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_BALANCE();

	ASSERT_EQ(0, resync(self->fd, "key", variant->flags & PREFIX));
	ASSERT_EQ(0, set_many(self->fd, "key", 0, 10));
	ASSERT_EQ(0, ms_set(self->fd, "key", "back", &version));
	EXPECT_CHANGE(METASTORE_EVENT_SNAPSHOT, version, "back");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 5);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_BALANCE();
}

TEST_F(stale, discard)
{
	__u64 version;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, set_many(self->fd, "key", 0, i ? 10 : 3));
		EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
		ASSERT_EQ(0, discard(self->fd, "key", variant->flags & PREFIX));
		EXPECT_TRUE(ms_silent(self->fd));
		EXPECT_EQ(0, pending(self->fd));
		EXPECT_TRUE(queue_balances(self->fd));

		ASSERT_EQ(0, follow(self->fd, "key", variant->flags | SNAPSHOT, 5));
		ASSERT_EQ(0, ms_set(self->fd, "key", "new", &version));
		EXPECT_CHANGE(METASTORE_EVENT_SNAPSHOT, version, "new");
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 5);
		EXPECT_TRUE(ms_silent(self->fd));
		EXPECT_BALANCE();
	}
}

/* The counters, and that what is read behind is as if nothing had been discarded */
TEST_F(stale, count)
{
	struct metastore_subscription_info s;
	struct metastore_queue_info q;
	char line[256], wanted[128];
	bool found = false;
	FILE *f;

	ASSERT_EQ(0, set_many(self->fd, "key", 0, 10));
	ASSERT_EQ(0, resync(self->fd, "key", variant->flags & PREFIX));
	ASSERT_EQ(0, ms_subscription(self->fd, "key", variant->flags & PREFIX, &s));
	EXPECT_EQ(10, s.matched);
	EXPECT_EQ(variant->flags & LATEST ? 9 : 0, s.conflated);
	EXPECT_EQ(variant->flags & LATEST ? 0 : 6, s.lost);
	EXPECT_EQ(variant->flags & LATEST ? 1 : 4, s.discarded);
	EXPECT_EQ(0, s.delivered);
	EXPECT_EQ(0, s.pending);
	EXPECT_EQ(variant->flags | SNAPSHOT, s.flags);
	EXPECT_EQ(EVENTS_ALL, s.events);
	EXPECT_EQ(5, s.cookie);
	ASSERT_EQ(0, ms_queue(self->fd, &q));
	EXPECT_EQ(s.discarded, q.discarded);
	EXPECT_EQ(s.lost, q.lost);
	EXPECT_EQ(0, q.len);
	EXPECT_EQ(0, q.pending);
	EXPECT_EQ((long long)q.discarded, ms_fdinfo(self->fd, "discarded"));

	snprintf(wanted, sizeof(wanted),
		 "subscription:\t5 %#x %#x 10 0 %llu %llu 0 %llu key\n", EVENTS_ALL,
		 variant->flags | SNAPSHOT, s.conflated, s.lost, s.discarded);
	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", self->fd);
	f = fopen(line, "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f))
		found |= !strcmp(line, wanted);
	fclose(f);
	EXPECT_TRUE(found);
}

/* FIONREAD tells of the snapshot, with whatever waited before it */
TEST_F(stale, size_of_next)
{
	char buf[256];
	int size;

	ASSERT_EQ(0, set_many(self->fd, "key", 0, 10));
	ASSERT_EQ(0, ms_set(self->fd, "key", "a value of another length", NULL));
	ASSERT_EQ(0, resync(self->fd, "key", variant->flags & PREFIX));
	size = ms_pending(self->fd);
	EXPECT_EQ(variant->flags & NO_VALUE ? 56 : 80, size);
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, size - 1));
	EXPECT_EQ(size, ms_read(self->fd, buf, size));
	EXPECT_EQ(METASTORE_EVENT_SNAPSHOT, ((struct metastore_event *)buf)->type);
	EXPECT_EQ(sizeof(struct metastore_event), (size_t)ms_pending(self->fd));
	EXPECT_EQ(48, ms_read(self->fd, buf, sizeof(buf)));
	EXPECT_TRUE(ms_silent(self->fd));

	ASSERT_EQ(0, set_many(self->fd, "key", 0, 10));
	EXPECT_LT(0, ms_pending(self->fd));
	ASSERT_EQ(0, discard(self->fd, "key", variant->flags & PREFIX));
	EXPECT_EQ(0, ms_pending(self->fd));
}

/* Others of the same queue */

TEST_F(resync, others_stay_in_order)
{
	static const char *const names[] = { "1", "2", "3", "4" };
	struct metastore_queue_info q;
	int i;

	ASSERT_EQ(0, follow(self->fd, "a", 0, 1));
	ASSERT_EQ(0, follow(self->fd, "b", 0, 2));
	ASSERT_EQ(0, follow(self->fd, "c", PREFIX, 3));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, ms_set(self->fd, "b", names[i], NULL));
		ASSERT_EQ(0, ms_set(self->fd, "a", names[i], NULL));
		ASSERT_EQ(0, ms_set(self->fd, "c", names[i], NULL));
	}
	ASSERT_EQ(0, discard(self->fd, "c", PREFIX));
	ASSERT_EQ(0, resync(self->fd, "a", 0));

	/* Behind an event that waits they are pending still */
	ASSERT_EQ(0, ms_queue(self->fd, &q));
	EXPECT_EQ(12, q.pending + q.discarded);
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_TRUE(subscription_balances(self->fd, "a", 0));

	for (i = 0; i < 4; i++) {
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b",
			     .value = names[i]);
		if (!i) {
			EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1,
				     .key = "a",
				     .value = "4");
		} else if (i == 1) {
			EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
		}
	}
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, ms_queue(self->fd, &q));
	EXPECT_EQ(8, q.discarded);
	EXPECT_EQ(0, q.pending);
}

/* The losses of others are told; ours are settled */
TEST_F(resync, losses)
{
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 2));
	ASSERT_EQ(0, follow(self->fd, "a", 0, 1));
	ASSERT_EQ(0, follow(self->fd, "b", 0, 2));
	ASSERT_EQ(0, set_many(self->fd, "a", 0, 3));
	ASSERT_EQ(0, set_many(self->fd, "b", 0, 3));
	ASSERT_EQ(0, resync(self->fd, "a", 0));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 2, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "2");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .key = "a",
		     .value = "2");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* A discarded event that is not removed yet makes room before anybody's event is lost */
TEST_F(resync, dropped_first)
{
	struct metastore_queue_info q;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 4));
	ASSERT_EQ(0, follow(self->fd, "a", 0, 1));
	ASSERT_EQ(0, follow(self->fd, "b", 0, 2));
	ASSERT_EQ(0, ms_set(self->fd, "b", "0", NULL));
	ASSERT_EQ(0, set_many(self->fd, "a", 0, 3));
	ASSERT_EQ(0, discard(self->fd, "a", 0));
	/* The first one drops the oldest, as ever; the next three the discarded ones */
	ASSERT_EQ(0, set_many(self->fd, "b", 1, 5));
	ASSERT_EQ(0, ms_queue(self->fd, &q));
	EXPECT_EQ(1, q.lost);
	EXPECT_EQ(3, q.discarded);
	EXPECT_EQ(4, q.pending);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 2, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "2");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "3");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "4");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* FLUSHED is behind what waited, also when part of that is discarded */
TEST_F(resync, flushed)
{
	struct metastore_flush flush;

	ASSERT_EQ(0, follow(self->fd, "a", 0, 1));
	ASSERT_EQ(0, follow(self->fd, "b", 0, 2));
	ASSERT_EQ(0, set_many(self->fd, "a", 0, 3));
	ASSERT_EQ(0, ms_set(self->fd, "b", "0", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, "b", METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS,
			      &flush));
	EXPECT_EQ(-ENOENT, resync(self->fd, "b", 0));
	EXPECT_EQ(-ENOENT, discard(self->fd, "b", 0));
	ASSERT_EQ(0, discard(self->fd, "a", 0));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "0");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 2, .key = "b",
		     .value = "0",
		     .flags = METASTORE_EVENT_F_FLUSH);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* The same, where both events wait in their subscriptions */
TEST_F(resync, flushed_latest)
{
	struct metastore_flush flush;

	ASSERT_EQ(0, follow(self->fd, "a", LATEST, 1));
	ASSERT_EQ(0, follow(self->fd, "b", LATEST, 2));
	ASSERT_EQ(0, ms_set(self->fd, "a", "0", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "b", "0", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, "b", METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS,
			      &flush));
	ASSERT_EQ(0, discard(self->fd, "a", 0));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 2, .key = "b",
		     .value = "0", .flags = METASTORE_EVENT_F_FLUSH);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* A queue that gets other limits keeps what is discarded as such, and nothing else */
TEST_F(resync, other_limits)
{
	struct ms_books books = { 0 };

	ASSERT_EQ(0, follow(self->fd, "a", 0, 1));
	ASSERT_EQ(0, follow(self->fd, "b", 0, 2));
	ASSERT_EQ(0, set_many(self->fd, "b", 0, 50));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	ASSERT_EQ(50, books.received);
	ASSERT_EQ(0, ms_set(self->fd, "b", "0", NULL));
	ASSERT_EQ(0, set_many(self->fd, "a", 0, 5));
	ASSERT_EQ(0, ms_set(self->fd, "b", "1", NULL));
	ASSERT_EQ(0, resync(self->fd, "a", 0));
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 100));
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 7));
	/* The ring gets an index */
	ASSERT_EQ(0, follow(self->fd, "c", PREFIX | LATEST, 3));
	ASSERT_EQ(0, ms_set(self->fd, "a", "5", NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .key = "a",
		     .value = "5");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "0");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "1");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(5, discarded(self->fd));
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 9));
	ASSERT_EQ(0, ms_set(self->fd, "a", "6", NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .key = "a",
		     .value = "6");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* A newer event must not replace a discarded one of its key */
TEST_F(resync, discarded_is_not_replaced)
{
	__u64 version;

	ASSERT_EQ(0, follow(self->fd, "a", LATEST | PREFIX, 1));
	ASSERT_EQ(0, follow(self->fd, "b", 0, 2));
	ASSERT_EQ(0, ms_set(self->fd, "b", "0", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "b", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a", "0", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a2", "0", NULL));
	ASSERT_EQ(0, resync(self->fd, "a", PREFIX));
	/* The snapshot ends while b's second event keeps the discarded ones in the ring */
	ASSERT_EQ(0, ms_delete(self->fd, "a", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "a2", NULL));
	self->r.size = RECORD;
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "0");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_EQ(0, discarded(self->fd));
	ASSERT_EQ(0, ms_set(self->fd, "a", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "a", "2", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "b", .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .key = "a", .value = "2",
		     .version = version);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_TRUE(subscription_balances(self->fd, "a", PREFIX));
}

/* Snapshots */

#define KEYS	100

static int set_keys(int fd, const char *value)
{
	char key[16];
	int i, ret = 0;

	for (i = 0; i < KEYS && !ret; i++) {
		snprintf(key, sizeof(key), "key.%d", i);
		ret = ms_set(fd, key, value, NULL);
	}
	return ret;
}

/* Reads all. Returns how many keys had this value in a snapshot of one END; -1: others came */
static int count_snapshot(struct ms_reader *r, const char *value)
{
	const struct metastore_event *ev;
	int keys = 0, ends = 0;

	while ((ev = ms_next(r))) {
		if (ev->type == METASTORE_EVENT_SNAPSHOT_END)
			ends++;
		else if (ev->type == METASTORE_EVENT_SNAPSHOT && !ends &&
			 ev->value_len == strlen(value) &&
			 !memcmp(ms_event_value(ev), value, ev->value_len))
			keys++;
		else
			return -1;
	}
	return ends == 1 && errno == EAGAIN ? keys : -1;
}

TEST_F(resync, within_a_snapshot)
{
	const struct metastore_event *ev;
	int i, round;

	ASSERT_EQ(0, set_keys(self->fd, "old"));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX | SNAPSHOT, 1));
	for (round = 0; round < 3; round++) {
		self->r.size = 64;	/* one value a read */
		for (i = 0; i < 10; i++) {
			ev = ms_next(&self->r);
			ASSERT_EQ(METASTORE_EVENT_SNAPSHOT, ms_event_type(ev));
		}
		/* Some keys that it has passed have events that wait */
		ASSERT_EQ(0, set_keys(self->fd, round ? "new" : "newer"));
		ASSERT_EQ(0, resync(self->fd, "key.", PREFIX));
		EXPECT_EQ(0, pending(self->fd));
		EXPECT_TRUE(queue_balances(self->fd));
	}
	ASSERT_EQ(0, set_keys(self->fd, "newest"));
	self->r.size = MS_READER_SIZE;
	EXPECT_EQ(KEYS, count_snapshot(&self->r, "newest"));
	EXPECT_LT(0, discarded(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_TRUE(subscription_balances(self->fd, "key.", PREFIX));
}

TEST_F(resync, discard_within_a_snapshot)
{
	ASSERT_EQ(0, set_keys(self->fd, "old"));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX | SNAPSHOT, 1));
	self->r.size = 64;
	ASSERT_EQ(METASTORE_EVENT_SNAPSHOT, ms_event_type(ms_next(&self->r)));
	ASSERT_EQ(0, set_keys(self->fd, "new"));
	ASSERT_EQ(0, discard(self->fd, "key.", PREFIX));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* A snapshot of versions above a number begins anew without that limit */
TEST_F(resync, newer)
{
	__u64 version;

	ASSERT_EQ(0, ms_set(self->fd, "key", "1", &version));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = EVENTS_ALL, .version = version,
				     .flags = SNAPSHOT | METASTORE_SUBSCRIBE_NEWER));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END);
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .key = "key", .value = "1",
		     .version = version);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Waiting publishers and readers */

static int publish_waiting(int fd, const char *key, const char *value)
{
	struct metastore_set arg = {
		.flags = METASTORE_F_WAIT,
		.timeout = METASTORE_WAIT_FOREVER,
	};

	return ms_store_with(fd, METASTORE_IOC_PUBLISH, key, value, &arg);
}

/* The room of what is discarded is there for a publisher that waits */
static void wake_publisher(struct __test_metadata *_metadata, struct _test_data_resync *self,
			   bool anew)
{
	pid_t pid;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 2));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "key", "1", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "key", "2", NULL));
	pid = ms_fork();
	if (!pid) {
		int fd = ms_open(O_WRONLY);

		alarm(20);
		_exit(publish_waiting(fd, "key", "3") ? 1 : 0);
	}
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, anew ? resync(self->fd, "key", 0) : discard(self->fd, "key", 0));
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(resync, wakes_publisher)
{
	wake_publisher(_metadata, self, true);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .key = "key",
		     .value = "3");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

TEST_F(resync, discard_wakes_publisher)
{
	wake_publisher(_metadata, self, false);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* Its room is behind another subscription's event, so it comes once that is read */
TEST_F(resync, wakes_publisher_later)
{
	pid_t pid;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 2));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, follow(self->fd, "other", 0, 2));
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "other", "1", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "key", "2", NULL));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	pid = ms_fork();
	if (!pid) {
		int fd = ms_open(O_WRONLY);

		alarm(20);
		/* Two events: for one the place of "other" would do */
		_exit(publish_waiting(fd, "other", "3") || publish_waiting(fd, "other", "4"));
	}
	ASSERT_TRUE(ms_asleep(pid));
	self->r.size = RECORD;
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 2, .key = "other",
		     .value = "1");
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_TRUE(queue_balances(self->fd));
}

struct reader {
	pthread_t thread;
	int fd;
	char *page;
	size_t size;		/* to be read into it */
	ssize_t ret;
};

static void *read_page(void *arg)
{
	struct reader *reader = arg;

	reader->ret = ms_read(reader->fd, reader->page, reader->size);
	return NULL;
}

/* A reader that sleeps gets the snapshot */
TEST_F(resync, wakes_reader)
{
	char page[PAGE];
	struct reader reader = { .fd = ms_open(O_RDONLY), .page = page, .size = PAGE };
	const struct metastore_event *ev = (void *)page;

	ASSERT_LE(0, reader.fd);
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	ASSERT_EQ(0, follow(reader.fd, "key", 0, 1));
	ASSERT_EQ(0, pthread_create(&reader.thread, NULL, read_page, &reader));
	ms_sleep(SECOND / 20);
	ASSERT_EQ(0, resync(reader.fd, "key", 0));
	ASSERT_EQ(0, pthread_join(reader.thread, NULL));
	ASSERT_LT(0, reader.ret);
	EXPECT_EQ(METASTORE_EVENT_SNAPSHOT, ev->type);
	close(reader.fd);
}

/*
 * A reader that is woken removes discarded events ahead of what it looks for. It must not
 * do so in the state of a task that is about to sleep: to free a large value may sleep.
 * Debug kernels complain.
 */
TEST_F(resync, sleeper_before_discarded)
{
	const struct metastore_create limits = {
		.max_value = LARGE, .queue_bytes = 4 * LARGE, .max_bytes = 16 * LARGE,
	};
	char *large = calloc(1, LARGE), page[PAGE];
	const struct metastore_event *ev = (void *)page;
	int fd = ms_create(self->fd, O_RDWR, limits);
	pid_t pid;

	if (fd == -ENOSPC)
		SKIP(return, "private_bytes is too small");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_queue_set_len(fd, 2));
	ASSERT_EQ(0, follow(fd, "a", 0, 1));
	ASSERT_EQ(0, follow(fd, "b", 0, 2));
	pid = ms_fork_below();
	if (!pid)
		_exit(ms_read(fd, page, PAGE) < 0 || ev->type != METASTORE_EVENT_LOST ||
		      ev->cookie != 2);
	ASSERT_LE(0, pid);
	ASSERT_TRUE(ms_asleep(pid));
	/* It is woken by the first one, and gets the CPU only when this one sleeps */
	ASSERT_EQ(0, ms_set(fd, "b", "1", NULL));
	ASSERT_EQ(0, ms_setn(fd, "a", 1, large, LARGE, NULL));
	ASSERT_EQ(0, discard(fd, "a", 0));
	/* Now the queue alone has the large value; then that is the oldest */
	ASSERT_EQ(0, ms_delete(fd, "a", NULL));
	ASSERT_EQ(0, ms_set(fd, "b", "2", NULL));
	EXPECT_EQ(0, discarded(fd));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_TRUE(queue_balances(fd));
	close(fd);
	free(large);
}

#define COPIES	3

/* A reader that keeps a copy of numbers */
struct copier {
	pthread_t thread;
	int fd;
	bool done;
	int error;
	__u64 ends;
	int copies[COPIES];
};

static void note_copy(struct copier *copier, const struct metastore_event *ev)
{
	char value[16] = "";

	memcpy(value, ms_event_value(ev), ev->value_len);
	__atomic_store_n(&copier->copies[ms_event_key(ev)[4] - '0'], atoi(value),
			 __ATOMIC_RELEASE);
}

static void *copy_on(void *arg)
{
	struct copier *copier = arg;
	struct ms_reader r = ms_reader(copier->fd, 1024);
	const struct metastore_event *ev;

	while (!__atomic_load_n(&copier->done, __ATOMIC_ACQUIRE)) {
		ev = ms_next(&r);
		if (!ev && errno != EAGAIN)
			break;
		if (ev && ev->type == METASTORE_EVENT_SNAPSHOT_END)
			copier->ends++;
		else if (ev)
			note_copy(copier, ev);
	}
	copier->error = errno;
	free(r.buf);
	return NULL;
}

static int set_copies(int fd, int number)
{
	char key[16], value[16];
	int i, ret = 0;

	snprintf(value, sizeof(value), "%d", number);
	for (i = 0; i < COPIES && !ret; i++) {
		snprintf(key, sizeof(key), "key.%d", i);
		ret = ms_set(fd, key, value, NULL);
	}
	return ret;
}

static bool await_copies(struct copier *copier, int number)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);
	int i;

	for (i = 0; i < COPIES; i++)
		while (__atomic_load_n(&copier->copies[i], __ATOMIC_ACQUIRE) != number)
			if (ms_now(CLOCK_MONOTONIC) > end)
				return false;
	return true;
}

/*
 * Another thread reads a snapshot and its end while the next one begins, at any point. The
 * discarded values are in that one: were it cut short, the copy would stay as it was.
 */
TEST_F_TIMEOUT(resync, beside_a_reader, 60)
{
	/* Half of the test's time: enough on a machine that is not busy */
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(30 * SECOND);
	int i, rounds = ms_times(4000);
	struct copier copier = { .fd = self->fd };
	struct metastore_subscription_info s;

	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	ASSERT_EQ(0, pthread_create(&copier.thread, NULL, copy_on, &copier));
	for (i = 1; i <= rounds; i++) {
		ASSERT_EQ(0, resync(self->fd, "key.", PREFIX));
		if (!(i % 3))
			sched_yield();
		ASSERT_EQ(0, set_copies(self->fd, i));
		ASSERT_EQ(0, resync(self->fd, "key.", PREFIX));
		ASSERT_TRUE(await_copies(&copier, i));
		EXPECT_TRUE(queue_balances(self->fd));
		if (ms_now(CLOCK_MONOTONIC) > end)
			rounds = i;
	}
	__atomic_store_n(&copier.done, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(copier.thread, NULL));
	EXPECT_EQ(EAGAIN, copier.error);
	EXPECT_GE(2 * (__u64)rounds, copier.ends);

	/* Neither a snapshot nor its end went astray */
	while (ms_next(&self->r))
		;
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, ms_subscription(self->fd, "key.", PREFIX, &s));
	EXPECT_EQ(PREFIX, s.flags);
	EXPECT_EQ(0, s.pending);
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_TRUE(subscription_balances(self->fd, "key.", PREFIX));
}

/* Many events */

struct publisher {
	pthread_t thread;
	int fd;
	bool resyncs;
	bool done;
	__u64 during;		/* calls that began and ended within RESYNC */
	__u64 longest;		/* ns */
};

static void *publish_on(void *arg)
{
	struct publisher *publisher = arg;
	bool within;
	__u64 begin;

	while (!__atomic_load_n(&publisher->done, __ATOMIC_ACQUIRE)) {
		within = __atomic_load_n(&publisher->resyncs, __ATOMIC_ACQUIRE);
		begin = ms_now(CLOCK_MONOTONIC);
		ms_publish(publisher->fd, "key", "new", NULL);
		begin = ms_now(CLOCK_MONOTONIC) - begin;
		if (begin > publisher->longest)
			publisher->longest = begin;
		publisher->during += within &&
				     __atomic_load_n(&publisher->resyncs, __ATOMIC_ACQUIRE);
	}
	return NULL;
}

/* Events to be removed are removed in steps: others use the queue meanwhile */
TEST_F_TIMEOUT(resync, long_queue, 170)
{
	struct publisher publisher = { .fd = self->fd };
	int i, events = ms_size(100000, 1000000);
	__u64 begin, removed;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, events));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 256 * events));
	ASSERT_EQ(0, follow(self->fd, "key", PREFIX, 1));
	for (i = 0; i < events; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "old", NULL));
	ASSERT_EQ(events, pending(self->fd));
	ASSERT_EQ(0, pthread_create(&publisher.thread, NULL, publish_on, &publisher));

	begin = ms_now(CLOCK_MONOTONIC);
	__atomic_store_n(&publisher.resyncs, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, resync(self->fd, "key", PREFIX));
	__atomic_store_n(&publisher.resyncs, false, __ATOMIC_RELEASE);
	begin = ms_now(CLOCK_MONOTONIC) - begin;
	removed = discarded(self->fd);

	__atomic_store_n(&publisher.done, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(publisher.thread, NULL));
	TH_LOG("%d events: RESYNC %llu us, %llu publishes meanwhile, the longest of all %llu us",
	       events, begin / 1000, publisher.during, publisher.longest / 1000);
	/* Some are lost when the publisher had run before; none is left */
	EXPECT_LT(0, removed);
	EXPECT_LT(events / 1000, publisher.during);
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .key = "key",
		     .value = "new");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_TRUE(ms_silent(self->fd));
}

/*
 * A long queue that holds discarded events behind one that waits: the reader that comes
 * past it removes them, in steps, and so does close().
 */
TEST_F_TIMEOUT(resync, long_queue_behind, 170)
{
	int i, events = ms_size(100000, 1000000);

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 2 * events));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 512 * events));
	ASSERT_EQ(0, follow(self->fd, "other", 0, 2));
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(0, ms_set(self->fd, "other", "1", NULL));
	for (i = 0; i < events; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "old", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "other", "2", NULL));
	ASSERT_EQ(0, discard(self->fd, "key", 0));
	EXPECT_EQ(0, discarded(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "other",
		     .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 2, .key = "other",
		     .value = "2");
	EXPECT_EQ(events, discarded(self->fd));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));

	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(0, ms_set(self->fd, "other", "1", NULL));
	for (i = 0; i < events; i++)
		ASSERT_EQ(0, ms_set(self->fd, "key", "old", NULL));
	ASSERT_EQ(0, discard(self->fd, "key", 0));
	EXPECT_EQ(events + 1, pending(self->fd));
}

/* Readers that stop midway */

FIXTURE(midway)
{
	int fd;
	int uffd;
	struct ms_reader r;
	struct reader reader;
};

FIXTURE_SETUP(midway)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register region = {
		.range.len = PAGE,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct reader *reader = &self->reader;

	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, RECORD);	/* one at a time, as the other reader */
	reader->fd = self->fd;
	reader->size = RECORD;
	reader->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	ASSERT_NE(MAP_FAILED, (void *)reader->page);
	region.range.start = ms_ptr(reader->page);
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (ioctl(self->uffd, UFFDIO_API, &api) || ioctl(self->uffd, UFFDIO_REGISTER, &region))
		SKIP(return, "no userfaultfd");
}

FIXTURE_TEARDOWN(midway)
{
	close(self->fd);
}

/* Returns when the reader has stopped in its copy */
static bool stop_reading(struct _test_data_midway *self)
{
	struct pollfd pfd = { .fd = self->uffd, .events = POLLIN };
	struct uffd_msg msg;

	return !pthread_create(&self->reader.thread, NULL, read_page, &self->reader) &&
	       poll(&pfd, 1, ms_limit(20000)) == 1 &&
	       read(self->uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

/* The memory comes, and the type of its first record */
static int go_on(struct _test_data_midway *self)
{
	struct uffdio_zeropage zero = { .range = { ms_ptr(self->reader.page), PAGE } };

	if (ioctl(self->uffd, UFFDIO_ZEROPAGE, &zero) ||
	    pthread_join(self->reader.thread, NULL))
		return -1;
	return self->reader.ret < 0 ? self->reader.ret :
	       ((struct metastore_event *)self->reader.page)->type;
}

/* It turns out that there is none */
static int break_off(struct _test_data_midway *self)
{
	struct uffdio_range range = { ms_ptr(self->reader.page), PAGE };

	if (mprotect(self->reader.page, PAGE, PROT_NONE) ||
	    ioctl(self->uffd, UFFDIO_WAKE, &range) || pthread_join(self->reader.thread, NULL))
		return -1;
	return self->reader.ret;
}

static __u32 flags_of(int fd)
{
	struct metastore_subscription_info s;

	return ms_subscription(fd, "key", 0, &s) ? POISON32 : s.flags;
}

static void expect_one_snapshot(struct __test_metadata *_metadata, struct _test_data_midway *self)
{
	EXPECT_EQ(SNAPSHOT, flags_of(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .key = "key",
		     .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(0, flags_of(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_TRUE(subscription_balances(self->fd, "key", 0));
}

/* The end of the former snapshot does not end the one that began meanwhile */
TEST_F(midway, end_in_flight)
{
	ASSERT_EQ(0, follow(self->fd, "key", SNAPSHOT, 1));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	EXPECT_EQ(METASTORE_EVENT_SNAPSHOT_END, go_on(self));
	expect_one_snapshot(_metadata, self);
}

TEST_F(midway, end_in_flight_is_not_read)
{
	ASSERT_EQ(0, follow(self->fd, "key", SNAPSHOT, 1));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	EXPECT_EQ(-EFAULT, break_off(self));
	expect_one_snapshot(_metadata, self);
}

/* The new snapshot is read before the end of the former one is */
TEST_F(midway, end_in_flight_is_late)
{
	ASSERT_EQ(0, follow(self->fd, "key", SNAPSHOT, 1));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	expect_one_snapshot(_metadata, self);
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_EQ(0, flags_of(self->fd));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(midway, end_in_flight_of_ended)
{
	ASSERT_EQ(0, follow(self->fd, "key", SNAPSHOT, 1));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, discard(self->fd, "key", 0));
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

TEST_F(midway, value_in_flight)
{
	ASSERT_EQ(0, ms_set(self->fd, "key", "0", NULL));
	ASSERT_EQ(0, follow(self->fd, "key", SNAPSHOT, 1));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	EXPECT_EQ(2, pending(self->fd));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	EXPECT_EQ(1, pending(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
	EXPECT_EQ(METASTORE_EVENT_SNAPSHOT, go_on(self));
	expect_one_snapshot(_metadata, self);
}

/* An event in flight is its reader's; if that does not get it, it is lost */
TEST_F(midway, event_in_flight)
{
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(0, ms_set(self->fd, "key", "0", NULL));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	EXPECT_EQ(1, pending(self->fd));
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	expect_one_snapshot(_metadata, self);
}

/* The same of a report of losses */
TEST_F(midway, lost_in_flight)
{
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 1));
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(0, set_many(self->fd, "key", 0, 3));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", NULL));
	ASSERT_EQ(0, resync(self->fd, "key", 0));
	EXPECT_EQ(METASTORE_EVENT_LOST, go_on(self));
	expect_one_snapshot(_metadata, self);
}

TEST_F(midway, lost_in_flight_of_ended)
{
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 1));
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	ASSERT_EQ(0, set_many(self->fd, "key", 0, 3));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, discard(self->fd, "key", 0));
	EXPECT_EQ(-EFAULT, break_off(self));
	/* Told again, as the reader did not get it; then nothing */
	while (ms_next(&self->r))
		;
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(queue_balances(self->fd));
}

/* One thread subscribes and ends that again; the other begins the subscription anew */
struct comer {
	int fd;
	const char *key;
	__u32 flags;
	bool done;
	int failed;
	pthread_t thread;
};

static void *come_and_go(void *arg)
{
	struct comer *comer = arg;
	int i, rounds = ms_times(20000);

	for (i = 0; i < rounds && !comer->failed; i++)
		comer->failed = follow(comer->fd, comer->key, comer->flags, i) ?:
				discard(comer->fd, comer->key, comer->flags & PREFIX);
	__atomic_store_n(&comer->done, true, __ATOMIC_RELEASE);
	return NULL;
}

FIXTURE(coming)
{
	struct comer comer;
};

FIXTURE_VARIANT(coming)
{
	__u32 flags;
};

FIXTURE_VARIANT_ADD(coming, key) {
	.flags = 0,
};

FIXTURE_VARIANT_ADD(coming, prefix) {
	.flags = PREFIX,
};

FIXTURE_VARIANT_ADD(coming, snapshot) {
	.flags = SNAPSHOT,
};

FIXTURE_SETUP(coming)
{
	self->comer = (struct comer) {
		.fd = ms_open(O_RDWR | O_NONBLOCK), .key = "k", .flags = variant->flags,
	};
	ASSERT_LE(0, self->comer.fd);
	ASSERT_EQ(0, ms_reset(self->comer.fd));
	ASSERT_EQ(0, ms_set(self->comer.fd, "k", "v", NULL));
}

FIXTURE_TEARDOWN(coming)
{
	close(self->comer.fd);
}

/* A subscription that is just being made is there as a whole, or not yet */
TEST_F(coming, while_it_begins_anew)
{
	struct ms_reader r = ms_reader(self->comer.fd, MS_READER_SIZE);
	struct ms_books books = {};
	int ret, met = 0;

	ASSERT_EQ(0, pthread_create(&self->comer.thread, NULL, come_and_go, &self->comer));
	while (!__atomic_load_n(&self->comer.done, __ATOMIC_ACQUIRE)) {
		ret = resync(self->comer.fd, "k", variant->flags & PREFIX);
		ASSERT_TRUE(!ret || ret == -ENOENT);
		met += !ret;
		if (!(met % 16))
			ASSERT_EQ(0, ms_drain(&r, &books));
	}
	ASSERT_EQ(0, pthread_join(self->comer.thread, NULL));
	EXPECT_EQ(0, self->comer.failed);
	EXPECT_LT(0, met);
	ASSERT_EQ(0, ms_drain(&r, &books));
	EXPECT_TRUE(ms_silent(self->comer.fd));
	EXPECT_TRUE(queue_balances(self->comer.fd));
}

TEST_HARNESS_MAIN
