// SPDX-License-Identifier: GPL-2.0
/* Subscriptions to prefixes, which changes they are about, and events without a value */
#include <sys/resource.h>

#include "crew.h"

/* Cookies are bits of what hears() returns */
#define BIT(n)		(1ULL << (n))
#define ODD		(~0ULL)

FIXTURE(prefix)
{
	int fd;
	struct ms_reader r;
	struct metastore_info info;
};

FIXTURE_SETUP(prefix)
{
	struct rlimit limit = { 4096, 4096 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(prefix)
{
	close(self->fd);
}

/*
 * Reads all there is, which must be events of that key and version (0: any), one for
 * each subscription. Returns the cookies, or ODD.
 */
static __u64 hears(struct ms_reader *r, const void *key, __u32 len, __u64 version)
{
	const struct metastore_event *ev;
	__u64 cookies = 0;

	while ((ev = ms_next(r))) {
		if (ev->cookie > 62 || cookies & BIT(ev->cookie) ||
		    (version && ev->version != version) ||
		    ev->key_len != len || memcmp(ms_event_key(ev), key, len))
			return ODD;
		cookies |= BIT(ev->cookie);
	}
	return errno == EAGAIN ? cookies : ODD;
}

/*
 * A value that expires is ended by a worker on another CPU: its event for one
 * subscription can be read before the next one's is enqueued.
 */
static bool expired(struct ms_reader *r, __u32 nr)
{
	__u64 deadline = ms_now(CLOCK_BOOTTIME) + ms_limit(20 * SECOND);
	struct metastore_queue_info info = {};

	while (info.len < nr && ms_now(CLOCK_BOOTTIME) < deadline) {
		if (ms_queue(r->fd, &info))
			return false;
	}
	return info.len == nr;
}

static __u64 heard(struct ms_reader *r, const void *key, __u32 len)
{
	__u64 version;

	if (ms_setn(r->fd, key, len, "value", 5, &version))
		return ODD;
	return hears(r, key, len, version);
}

TEST_F(prefix, nested)
{
	struct ms_reader *r = &self->r;

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "a", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "abc", EVENTS_ALL, 3));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "ab", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "abd", EVENTS_ALL, 4));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "b", EVENTS_ALL, 5));
	EXPECT_EQ(BIT(0), heard(r, "c", 1));
	EXPECT_EQ(BIT(0), heard(r, "A", 1));
	EXPECT_EQ(BIT(0) | BIT(1), heard(r, "a", 1));
	EXPECT_EQ(BIT(0) | BIT(1), heard(r, "ac", 2));
	EXPECT_EQ(BIT(0) | BIT(1) | BIT(2), heard(r, "ab", 2));
	EXPECT_EQ(BIT(0) | BIT(1) | BIT(2), heard(r, "abb", 3));
	EXPECT_EQ(BIT(0) | BIT(1) | BIT(2) | BIT(3), heard(r, "abc", 3));
	EXPECT_EQ(BIT(0) | BIT(1) | BIT(2) | BIT(3), heard(r, "abcd", 4));
	EXPECT_EQ(BIT(0) | BIT(1) | BIT(2) | BIT(4), heard(r, "abdc", 4));
	EXPECT_EQ(BIT(0) | BIT(5), heard(r, "ba", 2));
}

/* Any bytes are a prefix, up to the longest key */
TEST_F(prefix, any_bytes)
{
	struct ms_reader *r = &self->r;
	char key[METASTORE_KEY_MAX];

	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, "\0", 1, EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, "\0\0", 2, EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, "\xff\0\xff", 3, EVENTS_ALL, 3));
	EXPECT_EQ(BIT(1), heard(r, "\0", 1));
	EXPECT_EQ(BIT(1) | BIT(2), heard(r, "\0\0", 2));
	EXPECT_EQ(BIT(1), heard(r, "\0\1", 2));
	EXPECT_EQ(0, heard(r, "\xff", 1));
	EXPECT_EQ(0, heard(r, "\xff\0", 2));
	EXPECT_EQ(BIT(3), heard(r, "\xff\0\xff", 3));
	EXPECT_EQ(0, heard(r, "\xff\0\xfe", 3));

	memset(key, 'x', sizeof(key));
	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, key, 255, EVENTS_ALL, 4));
	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, key, 254, EVENTS_ALL, 5));
	ASSERT_EQ(0, ms_subscribe_prefixn(self->fd, key, 128, EVENTS_ALL, 6));
	ASSERT_EQ(0, ms_subscriben(self->fd, key, 255, EVENTS_ALL, 7));
	EXPECT_EQ(BIT(4) | BIT(5) | BIT(6) | BIT(7), heard(r, key, 255));
	EXPECT_EQ(BIT(5) | BIT(6), heard(r, key, 254));
	EXPECT_EQ(BIT(6), heard(r, key, 253));
	key[254] = 'y';
	EXPECT_EQ(BIT(5) | BIT(6), heard(r, key, 255));
	key[127] = 'y';
	EXPECT_EQ(0, heard(r, key, 255));
}

TEST_F(prefix, exact_and_prefix)
{
	int other = ms_open(O_RDONLY | O_NONBLOCK);
	struct ms_reader r = ms_reader(other, 4096);
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "key", 0, 1));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "key", 0, 2));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", METASTORE_EVENT_SET, 3));
	ASSERT_EQ(0, ms_subscribe_prefix(other, "k", 0, 4));
	EXPECT_EQ(3, ms_publish(self->fd, "key", "value", &version));
	EXPECT_EQ(BIT(1) | BIT(2), hears(&self->r, "key", 3, version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 4, .version = version,
		     .key = "key", .value = "value");
	ASSERT_EQ(0, ms_set(self->fd, "key", "value", &version));
	EXPECT_EQ(BIT(3), hears(&self->r, "key", 3, version));
	EXPECT_TRUE(ms_silent(other));
}

TEST_F(prefix, unsubscribe)
{
	struct ms_reader *r = &self->r;
	__u64 version;
	int round;

	ASSERT_EQ(0, ms_subscribe(self->fd, "ab", EVENTS_ALL, 5));
	/* Where two part a prefix is in the way of neither, coming or going */
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "ab", EVENTS_ALL, 1));
		ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "aba", EVENTS_ALL, 2));
		ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "abb", EVENTS_ALL, 3));
		EXPECT_EQ(BIT(1) | BIT(2), heard(r, "abac", 4));
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "ab"));
		EXPECT_EQ(BIT(2), heard(r, "abac", 4));
		EXPECT_EQ(BIT(3), heard(r, "abbc", 4));
		EXPECT_EQ(BIT(5), heard(r, "ab", 2));
		ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "ab", EVENTS_ALL, 4));
		EXPECT_EQ(BIT(3) | BIT(4), heard(r, "abb", 3));
		EXPECT_EQ(BIT(4) | BIT(5), heard(r, "ab", 2));
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "abb"));
		EXPECT_EQ(BIT(4), heard(r, "abb", 3));
		EXPECT_EQ(BIT(2) | BIT(4), heard(r, "aba", 3));
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "ab"));
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "aba"));
		EXPECT_EQ(0, heard(r, "aba", 3));
		EXPECT_EQ(BIT(5), heard(r, "ab", 2));
	}
	/* What waits by then stays */
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "w", EVENTS_ALL, 6));
	ASSERT_EQ(0, ms_set(self->fd, "waits", "", &version));
	ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "w"));
	ASSERT_EQ(0, ms_set(self->fd, "waits", "", NULL));
	EXPECT_EQ(BIT(6), hears(r, "waits", 5, version));
}

TEST_F(prefix, counts)
{
	struct metastore_info info;
	struct metastore_stat st;
	int fds[3], i;
	__u32 bucket;
	__u64 sum = 0;

	for (i = 0; i < 3; i++) {
		fds[i] = ms_open(O_RDONLY);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, ms_subscribe_prefix(fds[i], "", 0, 0));
		ASSERT_EQ(0, ms_subscribe_prefix(fds[i], "k", 0, 0));
	}
	ASSERT_EQ(0, ms_subscribe_prefix(fds[0], "key", 0, 0));
	ASSERT_EQ(0, ms_subscribe_prefix(fds[0], "keys", 0, 0));
	ASSERT_EQ(0, ms_subscribe(fds[0], "key", 0, 0));
	EXPECT_EQ(8, ms_subscribers(self->fd, "key"));
	EXPECT_EQ(6, ms_subscribers(self->fd, "ke"));
	EXPECT_EQ(8, ms_subscribers(self->fd, "keys"));
	EXPECT_EQ(3, ms_subscribers(self->fd, "other"));
	ASSERT_EQ(0, ms_set(self->fd, "key", "", NULL));
	ASSERT_EQ(0, ms_stat(self->fd, "key", &st));
	EXPECT_EQ(8, st.subscribers);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(9, info.subscriptions);
	/* Those to prefixes are in no bucket */
	for (bucket = 0; info.buckets > 1 && bucket < info.buckets; bucket++) {
		ASSERT_EQ(0, ms_info(self->fd, bucket, &info));
		sum += info.subscriptions;
	}
	EXPECT_EQ(1, sum);

	close(fds[0]);
	EXPECT_EQ(4, ms_subscribers(self->fd, "key"));
	EXPECT_EQ(4, ms_publish(self->fd, "keys", "", NULL));
	close(fds[1]);
	close(fds[2]);
	EXPECT_EQ(0, ms_publish(self->fd, "key", "", NULL));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.subscriptions);
}

TEST_F(prefix, flush)
{
	int other = ms_open(O_RDONLY | O_NONBLOCK);
	struct ms_reader r = ms_reader(other, 4096);
	struct metastore_flush flush;
	__u64 version;
	__u32 bucket = ms_bucket(self->fd, "ab");

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "a", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "ab", EVENTS_ALL, 3));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "b", EVENTS_ALL, 4));
	ASSERT_EQ(0, ms_subscribe(self->fd, "ab", EVENTS_ALL, 5));
	ASSERT_EQ(0, ms_subscribe_prefix(other, "a", EVENTS_ALL, 6));
	ASSERT_EQ(0, ms_subscribe_prefix(other, "abc", EVENTS_ALL, 7));

	/* Narrowed to a bucket: keys are in one, prefixes are not */
	ASSERT_EQ(0, ms_flush(self->fd, "ab", bucket, METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_EQ(self->info.buckets > 1 ? 1 : 3, flush.subscriptions);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = flush.subscriptions);
	EXPECT_TRUE(ms_silent(other));
	ASSERT_EQ(0, ms_subscribe(self->fd, "ab", EVENTS_ALL, 5));

	ASSERT_EQ(0, ms_set(self->fd, "abcd", "v", &version));
	EXPECT_EQ(BIT(1) | BIT(2) | BIT(3), hears(&self->r, "abcd", 4, version));
	ASSERT_EQ(0, ms_flush(self->fd, "ab", METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_EQ(1, flush.values);
	EXPECT_EQ(3, flush.subscriptions);
	/* First they hear that the value goes, then that they went themselves */
	EXPECT_EQ(METASTORE_EVENT_SET, ms_event_type(ms_next(&r)));
	EXPECT_EQ(METASTORE_EVENT_SET, ms_event_type(ms_next(&r)));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED, .flags = METASTORE_EVENT_F_FLUSH,
		     .cookie = 6, .newer = version, .key = "abcd", .value = "v");
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED, .flags = METASTORE_EVENT_F_FLUSH,
		     .cookie = 7, .newer = version, .key = "abcd", .value = "v");
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
	EXPECT_TRUE(ms_silent(other));
	ASSERT_EQ(0, ms_flush(self->fd, "c", METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_EQ(0, flush.subscriptions);

	/* The file itself lost one to a prefix and one to a key */
	EXPECT_EQ(METASTORE_EVENT_DELETED, ms_event_type(ms_next(&self->r)));
	EXPECT_EQ(METASTORE_EVENT_DELETED, ms_event_type(ms_next(&self->r)));
	EXPECT_EQ(METASTORE_EVENT_DELETED, ms_event_type(ms_next(&self->r)));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 2);
	EXPECT_EQ(BIT(1) | BIT(2), heard(&self->r, "abc", 3));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 6,
		     .version = ms_version(self->fd, "abc"), .key = "abc", .value = "value");
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(0, ms_subscribers(self->fd, "abc"));
}

/* Whose value is stolen hears of it by a prefix too, whatever it asked for */
TEST_F(prefix, stolen)
{
	struct metastore_set arg = { .flags = METASTORE_F_STEAL };
	int other = ms_open(O_RDWR);

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", METASTORE_EVENT_BY_FLUSH, 1));
	ASSERT_EQ(0, ms_own(self->fd, "key", "mine", NULL));
	ASSERT_EQ(0, ms_store_with(other, METASTORE_IOC_SET, "key", "yours", &arg));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .flags = METASTORE_EVENT_F_STOLEN,
		     .cookie = 1, .version = arg.version, .key = "key", .value = "yours");
	ASSERT_EQ(0, ms_store_with(other, METASTORE_IOC_SET, "key", "yours", &arg));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* How a value went, as those hear of it that asked for one way each, or for all */
TEST_F(prefix, by_which_way)
{
	struct ms_reader *r = &self->r;
	struct metastore_flush flush;
	struct metastore_op op;
	__u64 version;
	int own;

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", METASTORE_EVENT_BY_DELETE, 1));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", METASTORE_EVENT_BY_FLUSH, 2));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "ke", METASTORE_EVENT_BY_EXPIRY, 3));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "key", METASTORE_EVENT_BY_OWNER, 4));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", METASTORE_EVENT_DELETED, 5));

	EXPECT_EQ(0, heard(r, "key", 3));
	EXPECT_EQ(0, heard(r, "key", 3));
	ASSERT_EQ(0, ms_delete(self->fd, "key", &version));
	EXPECT_EQ(BIT(1) | BIT(5), hears(r, "key", 3, version));

	ASSERT_EQ(0, ms_set(self->fd, "key", "", NULL));
	op = ms_op_delete("key");
	ASSERT_EQ(0, ms_batch(self->fd, &op, 1, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_EQ(BIT(1) | BIT(5), hears(r, "key", 3, op.version));

	ASSERT_EQ(0, ms_set(self->fd, "key", "", &version));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(BIT(2) | BIT(5), hears(r, "key", 3, 0));

	ASSERT_EQ(0, ms_set_ttl(self->fd, "key", "", 1, &version));
	ASSERT_TRUE(expired(r, 2));
	EXPECT_EQ(BIT(3) | BIT(5), hears(r, "key", 3, 0));

	own = ms_open(O_RDWR);
	ASSERT_EQ(0, ms_own(own, "key", "", &version));
	close(own);
	EXPECT_EQ(BIT(4) | BIT(5), hears(r, "key", 3, 0));
}

/* The ways can be had together, and with other changes; each event once */
TEST_F(prefix, by_several_ways)
{
	struct ms_reader *r = &self->r;
	struct metastore_flush flush;
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "key", METASTORE_EVENT_SET |
				  METASTORE_EVENT_BY_DELETE | METASTORE_EVENT_BY_EXPIRY, 1));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", METASTORE_EVENT_DELETED |
					 METASTORE_EVENT_BY_FLUSH, 2));
	ASSERT_EQ(0, ms_set(self->fd, "key", "1", &version));
	EXPECT_EQ(BIT(1), hears(r, "key", 3, version));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(BIT(2), hears(r, "key", 3, 0));
	ASSERT_EQ(0, ms_publish(self->fd, "key", "2", NULL));
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, ms_delete(self->fd, "key", &version));
	EXPECT_EQ(BIT(1) | BIT(2), hears(r, "key", 3, version));
	ASSERT_EQ(0, ms_set_ttl(self->fd, "key", "3", 100 * ms_slowness(), &version));
	EXPECT_EQ(BIT(1), hears(r, "key", 3, version));
	ASSERT_TRUE(expired(r, 2));
	EXPECT_EQ(BIT(1) | BIT(2), hears(r, "key", 3, 0));
}

TEST_F(prefix, no_value)
{
	struct metastore_queue_info with, without;
	const struct metastore_event *ev;
	char value[1000] = "value";
	__u64 version;

	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = EVENTS_ALL, .cookie = 1,
				     .flags = METASTORE_SUBSCRIBE_NO_VALUE));
	ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, sizeof(value), &version));
	/* Its key alone, padded, stands behind the header; it counts all the same */
	EXPECT_EQ(sizeof(*ev) + 8, ms_pending(self->fd));
	ASSERT_EQ(0, ms_queue(self->fd, &without));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_SET, ev->type);
	EXPECT_EQ(METASTORE_EVENT_F_NO_VALUE, ev->flags);
	EXPECT_EQ(version, ev->version);
	EXPECT_EQ(0, ev->value_len);
	EXPECT_EQ(getpid(), ev->tgid);
	EXPECT_EQ(geteuid(), ev->uid);
	EXPECT_LT(0, ev->time);

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "key"));
	ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, sizeof(value), &version));
	ASSERT_EQ(0, ms_queue(self->fd, &with));
	EXPECT_EQ(with.bytes, without.bytes);
	EXPECT_LT(1000, with.bytes);
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(0, ev->flags);
	EXPECT_EQ(1000, ev->value_len);
}

/* All else that an event can say it still says */
TEST_F(prefix, no_value_of_owner)
{
	int own = ms_open(O_RDWR);
	struct ms_want want = {
		.type = METASTORE_EVENT_DELETED,
		.flags = METASTORE_EVENT_F_OWNER | METASTORE_EVENT_F_NO_VALUE,
		.cookie = 1,
		.key = "key",
		.end = { .tgid = getpid() },
	};

	ASSERT_EQ(0, ms_own(own, "key", "value", &want.newer));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "", .events = METASTORE_EVENT_BY_OWNER,
				     .cookie = 1, .flags = METASTORE_SUBSCRIBE_NO_VALUE |
							   METASTORE_SUBSCRIBE_PREFIX));
	close(own);
	ms_expect_event(_metadata, __LINE__, &self->r, want);
	EXPECT_TRUE(ms_silent(self->fd));
}

#define MEMBERS	4

/* All members of one batch, in the order it had, then none of another's */
static bool is_batch(struct ms_reader *r, __u64 cookie, int *number)
{
	const struct metastore_event *ev;
	int i;

	for (i = 0; i < MEMBERS; i++) {
		ev = ms_next(r);
		if (!ev || ev->cookie != cookie || ev->value_len != sizeof(*number) ||
		    !(ev->flags & METASTORE_EVENT_F_MORE) != (i == MEMBERS - 1))
			return false;
		if (i && memcmp(number, ms_event_value(ev), sizeof(*number)))
			return false;
		memcpy(number, ms_event_value(ev), sizeof(*number));
	}
	return true;
}

static int write_batch(int fd, const char *letter, int number)
{
	struct metastore_op ops[MEMBERS];
	char keys[MEMBERS][16];
	int i;

	for (i = 0; i < MEMBERS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%s.%d", letter, i);
		ops[i] = ms_op(METASTORE_OP_SET, keys[i], &number, sizeof(number));
	}
	return ms_batch(fd, ops, MEMBERS, METASTORE_BATCH_ATOMIC, NULL);
}

/* Others change other keys, and other subscriptions of the file hear some of them */
TEST_F(prefix, batches_stay_together)
{
	int i, number, last = -1, rounds = 20 + ms_times(200);
	struct metastore_queue_info info;
	bool together = true;

	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 20 * 1024));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "b", EVENTS_ALL, 1));
	if (crew_child()) {
		for (i = 0; i < rounds; i++)
			CHECK(!write_batch(self->fd, "b", i));
		crew_finish();
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done())
			CHECK(!write_batch(self->fd, "c", 0));
		_exit(0);
	}
	if (crew_child()) {
		int fd = ms_open(O_RDONLY);

		while (!crew_done()) {
			CHECK(!ms_subscribe_prefix(fd, "", EVENTS_ALL, 1));
			CHECK(!ms_subscribe_prefix(fd, "b.", EVENTS_ALL, 1));
			CHECK(!ms_unsubscribe_prefix(fd, ""));
			CHECK(!ms_unsubscribe_prefix(fd, "b."));
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 3));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(0, info.lost);
	for (i = 0; i < rounds && together; i++) {
		together = is_batch(&self->r, 1, &number);
		together &= number == last + 1;
		last = number;
	}
	EXPECT_TRUE(together);
	EXPECT_EQ(rounds - 1, last);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Of batches that were written, and that may be */
enum { WRITTEN, ALLOWED };

static __u64 batches(int which)
{
	return __atomic_load_n(&crew.board->counts[which], __ATOMIC_ACQUIRE);
}

/* A queue has room for those of one round */
static void allow_batches(void)
{
	__atomic_store_n(&crew.board->counts[ALLOWED], batches(WRITTEN) + 20, __ATOMIC_RELEASE);
}

/* A subscription that begins in the midst of a batch gets all of it or nothing */
TEST_F(prefix, first_batch_is_whole)
{
	int i, number, rounds = 50 + ms_times(500);
	bool whole = true;

	ASSERT_TRUE(crew_init());
	if (crew_child()) {
		while (!crew_done()) {
			if (batches(WRITTEN) >= batches(ALLOWED)) {
				sched_yield();
				continue;
			}
			CHECK(!write_batch(self->fd, "b", batches(WRITTEN)));
			__atomic_add_fetch(&crew.board->counts[WRITTEN], 1, __ATOMIC_RELEASE);
		}
		_exit(0);
	}
	crew_start();
	for (i = 0; i < rounds && whole; i++) {
		self->r = ms_reader(ms_open(O_RDONLY | O_NONBLOCK), MS_READER_SIZE);
		allow_batches();
		ASSERT_EQ(0, ms_subscribe_prefix(self->r.fd, "b.", EVENTS_ALL, 1));
		allow_batches();
		whole = ms_await(&self->r) && is_batch(&self->r, 1, &number);
		close(self->r.fd);
		free(self->r.buf);
	}
	EXPECT_TRUE(whole);
	crew_finish();
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
}

/* A file with several subscriptions: all their events of a batch are one group */
TEST_F(prefix, batch_of_nested)
{
	struct metastore_op ops[] = {
		ms_op_set("a.1", "1"),
		ms_op_set("b.1", "2"),
		ms_op_set("a.2", "3"),
	};
	const struct metastore_event *ev;
	int i, counts[4] = {};

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "a", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe(self->fd, "a.2", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_batch(self->fd, ops, 3, METASTORE_BATCH_ATOMIC, NULL));
	for (i = 0; i < 6; i++) {
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		EXPECT_EQ(i == 5 ? 0 : METASTORE_EVENT_F_MORE, ev->flags);
		ASSERT_GT(4, ev->cookie);
		counts[ev->cookie]++;
	}
	EXPECT_EQ(3, counts[0]);
	EXPECT_EQ(2, counts[1]);
	EXPECT_EQ(1, counts[2]);
	EXPECT_TRUE(ms_silent(self->fd));
}

#define FANS	150

/*
 * More than fit one pass under a bucket's lock, on several prefixes and the key, so
 * that others come and go in the midst of a delivery.
 */
TEST_F(prefix, many_while_others_come_and_go)
{
	static const char * const prefixes[] = { "", "f", "fa", "fan", "fan.key" };
	int i, fds[FANS], rounds = 10 + ms_times(50);
	struct ms_books books;
	bool good = true;

	ASSERT_TRUE(crew_init());
	for (i = 0; i < FANS; i++) {
		fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, i % 6 == 5 ? ms_subscribe(fds[i], "fan.key", EVENTS_ALL, i) :
			  ms_subscribe_prefix(fds[i], prefixes[i % 6], EVENTS_ALL, i));
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		for (i = 0; i < rounds; i++)
			CHECK(ms_publish(self->fd, "fan.key", "value", NULL) >= FANS);
		_exit(0);
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		while (!crew_done()) {
			const char *prefix = prefixes[rand() % 5];
			int fd = ms_open(O_RDONLY);

			CHECK(!ms_subscribe_prefix(fd, prefix, 0, 0));
			CHECK(!ms_subscribe(fd, "fan.key", 0, 0));
			if (rand() % 2)
				CHECK(!ms_unsubscribe_prefix(fd, prefix));
			close(fd);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 2));
	crew_finish();
	EXPECT_TRUE(crew_join(2, 4));
	EXPECT_STREQ("", crew.board->error);
	for (i = 0; i < FANS; i++) {
		self->r.fd = fds[i];
		books = (struct ms_books) {};
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		good &= books.received == 2U * rounds && !books.disorder && !books.lost;
	}
	EXPECT_TRUE(good);
	ms_close_many(fds, FANS);
	EXPECT_EQ(0, ms_subscribers(self->fd, "fan.key"));
}

/*
 * All strings of an alphabet up to a length are numbered, so that a number is a prefix,
 * its cookie, and its place in the model.
 */
#define STRINGS	400

struct model {
	int letters;
	bool is_there[STRINGS];
	int heard[STRINGS];
};

static __u32 string_of(const struct model *model, int number, __u8 *bytes)
{
	static const __u8 alphabet[] = { 0x00, 0xff, 0x80, 'a' };
	__u32 len = 0;

	for (; number; number = (number - 1) / model->letters)
		bytes[len++] = alphabet[(number - 1) % model->letters];
	return len;
}

static bool begins(const struct model *model, int number, const __u8 *bytes, __u32 len)
{
	__u8 prefix[16];
	__u32 prefix_len = string_of(model, number, prefix);

	return prefix_len <= len && !memcmp(prefix, bytes, prefix_len);
}

static bool come_or_go(int fd, struct model *model)
{
	int number = rand() % STRINGS;
	__u8 prefix[16];
	__u32 len = string_of(model, number, prefix);
	bool *is_there = &model->is_there[number];

	if (rand() % 2) {
		if (ms_subscribe_prefixn(fd, prefix, len, EVENTS_ALL, number) !=
		    (*is_there ? -EEXIST : 0))
			return false;
		*is_there = true;
	} else {
		if (ms_unsubscribe_prefixn(fd, prefix, len) != (*is_there ? 0 : -ENOENT))
			return false;
		*is_there = false;
	}
	return true;
}

static bool flush_some(struct ms_reader *r, struct model *model)
{
	__u8 bytes[16], prefix[16];
	struct metastore_flush arg = {
		.prefix = ms_ptr(prefix),
		.prefix_len = string_of(model, rand() % STRINGS, prefix),
		.bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_FLUSH_SUBSCRIPTIONS,
	};
	const struct metastore_event *ev;
	__u64 flushed = 0;
	int i;

	for (i = 0; i < STRINGS; i++) {
		if (model->is_there[i] && string_of(model, i, bytes) >= arg.prefix_len &&
		    !memcmp(bytes, prefix, arg.prefix_len)) {
			model->is_there[i] = false;
			flushed++;
		}
	}
	if (ms_ioctl(r->fd, METASTORE_IOC_FLUSH, &arg) || arg.subscriptions != flushed)
		return false;
	/* There may be more keys than the queue holds events */
	do {
		ev = ms_next(r);
	} while (ev && (ev->type == METASTORE_EVENT_DELETED ||
			ev->type == METASTORE_EVENT_LOST));
	return flushed ? ev && ev->type == METASTORE_EVENT_FLUSHED && ev->count == flushed : !ev;
}

static bool tell_all(struct ms_reader *r, struct model *model)
{
	const struct metastore_event *ev;
	int i, wanted = 0;
	__u64 version;
	__u8 key[16];
	__u32 len;

	len = string_of(model, 1 + rand() % (STRINGS - 1), key);
	/* Keys that are longer than all prefixes too */
	if (rand() % 2)
		key[len++] = rand();
	memset(model->heard, 0, sizeof(model->heard));
	if (ms_setn(r->fd, key, len, "", 0, &version))
		return false;
	while ((ev = ms_next(r))) {
		if (ev->cookie >= STRINGS || ev->version != version)
			return false;
		model->heard[ev->cookie]++;
	}
	for (i = 0; i < STRINGS; i++) {
		bool wants = model->is_there[i] && begins(model, i, key, len);

		wanted += wants;
		if (model->heard[i] != wants)
			return false;
	}
	struct metastore_subscribers arg = { .key = ms_ptr(key), .key_len = len };

	return !ms_ioctl(r->fd, METASTORE_IOC_SUBSCRIBERS, &arg) && (int)arg.subscribers == wanted;
}

/* Against a model that looks at each */
TEST_F(prefix, random)
{
	int i, step, steps = 300 + ms_size(3000, 300000);
	struct model model = {};

	srand(ms_full() ? time(NULL) : 1);
	for (model.letters = 2; model.letters <= 4; model.letters++) {
		ASSERT_EQ(0, ms_reset(self->fd));
		while (ms_next(&self->r))
			;
		memset(model.is_there, 0, sizeof(model.is_there));
		for (step = 0; step < steps; step++) {
			for (i = rand() % 4; i; i--)
				ASSERT_TRUE(come_or_go(self->fd, &model));
			ASSERT_TRUE(rand() % 200 ? tell_all(&self->r, &model) :
						   flush_some(&self->r, &model));
		}
	}
}

TEST_HARNESS_MAIN
