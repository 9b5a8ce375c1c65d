// SPDX-License-Identifier: GPL-2.0
/* What events there are, what they say, and how read() hands them out */
#include <sys/uio.h>

#include "metastore_test.h"

#define RECORD	sizeof(struct metastore_event)

FIXTURE(events)
{
	int fd;
	struct ms_reader r;
	struct metastore_info info;
};

FIXTURE_SETUP(events)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(events)
{
	close(self->fd);
}

static int publish_times(int fd, const char *key, int times)
{
	int ret = 0;

	while (times-- && ret >= 0)
		ret = ms_publish(fd, key, "v", NULL);
	return ret;
}

TEST_F(events, masks)
{
	__u32 mask, want;
	__u64 set, published, deleted;

	for (mask = 0; mask < 8; mask++) {
		want = mask ?: METASTORE_EVENT_PUBLISHED;
		ASSERT_EQ(0, ms_subscribe(self->fd, "k", mask, mask));
		ASSERT_EQ(0, ms_set(self->fd, "k", "set", &set));
		EXPECT_EQ(!!(want & METASTORE_EVENT_PUBLISHED),
			  ms_publish(self->fd, "k", "published", &published));
		ASSERT_EQ(0, ms_delete(self->fd, "k", &deleted));
		if (want & METASTORE_EVENT_SET)
			EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = mask,
				     .version = set, .key = "k", .value = "set");
		if (want & METASTORE_EVENT_PUBLISHED)
			EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = mask,
				     .version = published, .key = "k", .value = "published");
		if (want & METASTORE_EVENT_DELETED)
			EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = mask,
				     .version = deleted, .key = "k", .value = "published");
		EXPECT_TRUE(ms_silent(self->fd));
		ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	}
}

TEST_F(events, nothing_before_subscribe)
{
	ASSERT_EQ(0, ms_publish(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, which_key)
{
	__u64 a, b, c;

	ASSERT_EQ(0, ms_subscribe(self->fd, "a", 0, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", 0, ~0ULL));
	ASSERT_EQ(1, ms_publish(self->fd, "b", "1", &b));
	ASSERT_EQ(0, ms_publish(self->fd, "c", "2", &c));
	ASSERT_EQ(1, ms_publish(self->fd, "a", "3", &a));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = ~0ULL, .version = b,
		     .key = "b", .value = "1");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 0, .version = a,
		     .key = "a", .value = "3");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, bytes_of_key_and_value)
{
	const struct metastore_event *ev;

	ASSERT_EQ(0, ms_subscriben(self->fd, "\0k\n\xff", 4, 0, 0));
	ASSERT_EQ(1, ms_publishn(self->fd, "\0k\n\xff", 4, "\0\0v\0", 4, NULL));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(56, ev->len);
	ASSERT_EQ(4, ev->key_len);
	ASSERT_EQ(4, ev->value_len);
	EXPECT_EQ(0, memcmp(ms_event_key(ev), "\0k\n\xff\0\0v\0", 8));
}

/* Each key length with each value length: padding, and the end of one is the start of the next */
TEST_F(events, lengths)
{
	char key[METASTORE_KEY_MAX], value[20];
	__u32 key_len, len;
	const struct metastore_event *ev;

	memset(key, 'k', sizeof(key));
	memset(value, 'v', sizeof(value));
	for (key_len = 1; key_len <= METASTORE_KEY_MAX; key_len += key_len < 20 ? 1 : 47) {
		ASSERT_EQ(0, ms_subscriben(self->fd, key, key_len, 0, key_len));
		for (len = 0; len < sizeof(value); len++)
			ASSERT_EQ(1, ms_publishn(self->fd, key, key_len, value, len, NULL));
		for (len = 0; len < sizeof(value); len++) {
			ev = ms_next(&self->r);
			ASSERT_TRUE(!!ev);
			ASSERT_EQ(key_len, ev->key_len);
			ASSERT_EQ(len, ev->value_len);
			ASSERT_EQ(0, memcmp(ms_event_key(ev), key, key_len));
			ASSERT_EQ(0, memcmp(ms_event_value(ev), value, len));
		}
		EXPECT_TRUE(ms_silent(self->fd));
		ASSERT_EQ(0, ms_unsubscriben(self->fd, key, key_len));
	}
	/* The longest was among them */
	EXPECT_EQ(METASTORE_KEY_MAX + 47, key_len);
}

TEST_F(events, value_of_that_moment)
{
	__u64 versions[3];

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_set(self->fd, "k", "first", &versions[0]));
	ASSERT_EQ(0, ms_set(self->fd, "k", "second", &versions[1]));
	ASSERT_EQ(0, ms_delete(self->fd, "k", &versions[2]));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .version = versions[0], .key = "k",
		     .value = "first");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .version = versions[1], .key = "k",
		     .value = "second");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .version = versions[2],
		     .key = "k", .value = "second");
}

TEST_F(events, writer_and_time)
{
	const struct metastore_event *ev;
	struct metastore_stat st;
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	pid = ms_fork();
	if (!pid)
		_exit(seteuid(1234) || ms_publish(self->fd, "k", "v", NULL) != 1);
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(pid, ev->tgid);
	EXPECT_EQ(1234, ev->uid);
	EXPECT_EQ(st.time, ev->time);
	EXPECT_EQ(st.version, ev->version);
}

/* Not who deleted it and when: that the version says */
TEST_F(events, deleted_tells_the_writer)
{
	const struct metastore_event *ev;
	struct metastore_stat st;
	__u64 version;
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_DELETED, 0));
	pid = ms_fork();
	if (!pid)
		_exit(seteuid(1234) || ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_join(pid));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	ASSERT_EQ(0, ms_delete(self->fd, "k", &version));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_DELETED, ev->type);
	EXPECT_EQ(pid, ev->tgid);
	EXPECT_EQ(1234, ev->uid);
	EXPECT_EQ(st.time, ev->time);
	EXPECT_LT(st.version, ev->version);
	EXPECT_EQ(version, ev->version);
	EXPECT_EQ(0, ev->flags);
}

TEST_F(events, uid_in_user_namespace)
{
	const struct metastore_event *ev;
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	pid = ms_fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(1);
		ev = ms_next(&self->r);
		_exit(!ev || ev->uid != 65534);
	}
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(events, each_file_gets_its_own)
{
	struct ms_reader r[4];
	__u64 version;
	int i;

	for (i = 0; i < 4; i++) {
		r[i] = ms_reader(ms_open(O_RDONLY | O_NONBLOCK), 4096);
		ASSERT_EQ(0, ms_subscribe(r[i].fd, "k", 0, i));
	}
	ASSERT_EQ(4, ms_publish(self->fd, "k", "v", &version));
	for (i = 0; i < 4; i++) {
		EXPECT_EVENT(&r[i], .type = METASTORE_EVENT_PUBLISHED, .cookie = i,
			     .version = version, .key = "k", .value = "v");
		EXPECT_TRUE(ms_silent(r[i].fd));
	}
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, many_keys_in_one_file)
{
	const struct metastore_event *ev;
	__u64 versions[500], cookies = 0;
	__u32 i;

	for (i = 0; i < 500; i++)
		ASSERT_EQ(0, ms_subscriben(self->fd, &i, sizeof(i), 0, i));
	for (i = 0; i < 500; i++)
		ASSERT_EQ(1, ms_publishn(self->fd, &i, sizeof(i), &i, sizeof(i), &versions[i]));
	while ((ev = ms_next(&self->r))) {
		ASSERT_GT(500, ev->cookie);
		i = ev->cookie;
		EXPECT_EQ(versions[i], ev->version);
		EXPECT_EQ(0, memcmp(ms_event_key(ev), &i, sizeof(i)));
		EXPECT_EQ(0, memcmp(ms_event_value(ev), &i, sizeof(i)));
		cookies += i;
	}
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(499 * 500 / 2, cookies);
}

TEST_F(events, flush_deletes)
{
	const struct metastore_event *ev;
	struct metastore_flush arg;
	__u64 set;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_DELETED, 5));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", &set));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_DELETED, ev->type);
	EXPECT_EQ(METASTORE_EVENT_F_FLUSH, ev->flags);
	EXPECT_EQ(5, ev->cookie);
	EXPECT_LT(set, ev->version);
	EXPECT_EQ(1, ev->value_len);
	EXPECT_EQ('v', *ms_event_value(ev));
	EXPECT_TRUE(ms_silent(self->fd));
	/* The subscription stays */
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "k", &set));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 5, .version = set,
		     .key = "k", .value = "v");
}

TEST_F(events, flush_deletes_only_who_asked)
{
	struct metastore_flush arg;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(1, arg.values);
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, flushed)
{
	struct metastore_flush arg;
	const struct metastore_event *ev;
	__u64 version;
	int other = ms_open(O_RDONLY | O_NONBLOCK);

	ASSERT_EQ(0, ms_subscribe(self->fd, "a", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", EVENTS_ALL, 2));
	ASSERT_EQ(0, ms_subscribe(self->fd, "c", EVENTS_ALL, 3));
	ASSERT_EQ(0, ms_publish(self->fd, "other", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(other, "other", EVENTS_ALL, 4));
	ASSERT_EQ(1, ms_publish(self->fd, "b", "v", &version));
	ASSERT_EQ(0, ms_flush(self->fd, "b", METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS,
			      &arg));
	EXPECT_EQ(1, arg.subscriptions);
	ASSERT_EQ(0, ms_flush(self->fd, "c", METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS,
			      &arg));
	EXPECT_EQ(1, arg.subscriptions);

	/* What was queued, what the flush did to the value, and then, once, the record */
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 2, .version = version,
		     .key = "b", .value = "v");
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_DELETED, ev->type);
	EXPECT_EQ(METASTORE_EVENT_F_FLUSH, ev->flags);
	EXPECT_EQ(2, ev->cookie);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 2);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_TRUE(ms_silent(other));
	EXPECT_EQ(1, ms_publish(self->fd, "a", "v", NULL));
}

TEST_F(events, flushed_alone)
{
	char buf[2 * RECORD];

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0) & POLLIN);
	EXPECT_EQ(RECORD, ms_pending(self->fd));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, RECORD - 1));
	EXPECT_EQ(RECORD, ms_pending(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Several not yet read become one, in the last's place */
TEST_F(events, flushed_merge)
{
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "a", 0, 1));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", 0, 2));
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", 0, 3));
	ASSERT_EQ(1, ms_publish(self->fd, "a", "v", &version));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 3, .version = version,
		     .key = "a", .value = "v");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 3);
	EXPECT_TRUE(ms_silent(self->fd));
	/* A count read is not told again */
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", 0, 4));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
}

TEST_F(events, flushed_has_its_place)
{
	__u64 before, behind;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "before", &before));
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 2));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "behind", &behind));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1, .version = before,
		     .key = "k", .value = "before");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 2, .version = behind,
		     .key = "k", .value = "behind");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* A full queue has room for it, and its place moves as events before it are dropped */
TEST_F(events, flushed_takes_no_room)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", len));
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 2));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "behind", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	while (books.received < len - 1) {
		const struct metastore_event *ev = ms_next(&self->r);

		ASSERT_TRUE(!!ev);
		ASSERT_EQ(METASTORE_EVENT_PUBLISHED, ev->type);
		books.received++;
	}
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 2, .version = version,
		     .key = "k", .value = "behind");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* All that was queued before it has been dropped since */
TEST_F(events, flushed_survives_overflow)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 3));
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 2));
	ASSERT_EQ(1, publish_times(self->fd, "k", len + 2));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(len, books.received);
	EXPECT_EQ(5, books.lost);
	EXPECT_EQ(1, books.flushed);
}

TEST_F(events, unsubscribe_keeps_queued)
{
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "queued", &version));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	ASSERT_EQ(0, ms_publish(self->fd, "k", "not", NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1, .version = version,
		     .key = "k", .value = "queued");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, no_queue_of_the_file_before)
{
	int fd = ms_open(O_RDONLY | O_NONBLOCK);

	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	close(fd);
	fd = ms_open(O_RDONLY | O_NONBLOCK);
	EXPECT_TRUE(ms_silent(fd));
}

TEST_F(events, queue_holds_queue_len)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", len));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(len, books.received);
	EXPECT_EQ(0, books.lost);
	EXPECT_EQ(0, books.disorder);
}

TEST_F(events, lost_is_the_oldest)
{
	__u32 i, len = self->info.queue_len;
	const struct metastore_event *ev;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 9));
	for (i = 0; i < len + 7; i++)
		/* A queue that drops to take it takes it */
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, &i, sizeof(i), NULL));
	EXPECT_EQ(RECORD, ms_pending(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 9, .version = 7);
	for (i = 7; i < len + 7; i++) {
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		ASSERT_EQ(METASTORE_EVENT_PUBLISHED, ev->type);
		ASSERT_EQ(0, memcmp(ms_event_value(ev), &i, sizeof(i)));
	}
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, lost_stays_until_it_fits)
{
	char buf[RECORD];

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 9));
	ASSERT_EQ(1, publish_times(self->fd, "k", self->info.queue_len + 3));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, RECORD - 1));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, 1));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 9, .version = 3);
}

TEST_F(events, lost_grows_until_read)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 9));
	ASSERT_EQ(1, publish_times(self->fd, "k", len + 3));
	ASSERT_EQ(1, publish_times(self->fd, "k", len));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 9, .version = len + 3);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(len, books.received);
	EXPECT_EQ(0, books.lost);

	/* What has been told is not told again */
	ASSERT_EQ(1, publish_times(self->fd, "k", len + 2));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 9, .version = 2);
}

TEST_F(events, lost_by_subscription)
{
	const struct metastore_event *ev;
	__u64 lost[4] = {};
	int i;

	for (i = 1; i < 4; i++)
		ASSERT_EQ(0, ms_subscriben(self->fd, &"abc"[i - 1], 1, 0, i));
	ASSERT_EQ(1, publish_times(self->fd, "a", 5));
	ASSERT_EQ(1, publish_times(self->fd, "b", 3));
	ASSERT_EQ(1, publish_times(self->fd, "c", self->info.queue_len));
	/* Both before the first event, which is of a subscription that lost nothing */
	for (i = 0; i < 2; i++) {
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		ASSERT_EQ(METASTORE_EVENT_LOST, ev->type);
		ASSERT_GT(4, ev->cookie);
		lost[ev->cookie] += ev->count;
	}
	EXPECT_EQ(5, lost[1]);
	EXPECT_EQ(3, lost[2]);
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_PUBLISHED, ev->type);
	EXPECT_EQ(3, ev->cookie);
}

/* It was subscribed when they were published, and has not read them */
TEST_F(events, lost_after_unsubscribe)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "a", 0, 1));
	ASSERT_EQ(0, ms_subscribe(self->fd, "b", 0, 2));
	ASSERT_EQ(1, publish_times(self->fd, "a", 5));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "a"));
	ASSERT_EQ(1, publish_times(self->fd, "b", self->info.queue_len - 1));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 4);
}

TEST_F(events, lost_before_unsubscribe)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", len + 5));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 2));
	ASSERT_EQ(1, publish_times(self->fd, "k", 1));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 6);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(len, books.received);
	EXPECT_EQ(0, books.lost);
}

TEST_F(events, lost_when_flushed)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", len + 5));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 5);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(len, books.received);
	EXPECT_EQ(0, books.lost);
	EXPECT_EQ(1, books.flushed);
}

/* The other bound: queue_bytes, each event counted as the header says */
TEST_F(events, queue_holds_queue_bytes)
{
	__u32 len = 4000, cost = 1 + len + METASTORE_VALUE_OVERHEAD;
	__u32 fit = self->info.queue_bytes / cost, i;
	struct ms_books books = {};
	char *value = calloc(1, len);

	ASSERT_LT(fit, self->info.queue_len);
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 9));
	for (i = 0; i < fit; i++)
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, len, NULL));
	EXPECT_LT(RECORD, ms_pending(self->fd));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, len, NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 9, .version = 10);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(fit, books.received);
	EXPECT_EQ(0, books.lost);
}

/* A large one drives out as many small ones as it needs, no more */
TEST_F(events, large_drives_out_small)
{
	__u32 small = 1000, large = self->info.max_value, i, fit, out;
	__u32 small_cost = 1 + small + METASTORE_VALUE_OVERHEAD;
	__u32 large_cost = 1 + large + METASTORE_VALUE_OVERHEAD;
	struct ms_books books = {};
	char *value = calloc(1, large);

	fit = self->info.queue_bytes / small_cost;
	ASSERT_LT(fit, self->info.queue_len);
	out = fit - (self->info.queue_bytes - large_cost) / small_cost;
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 9));
	for (i = 0; i < fit; i++)
		ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, small, NULL));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, large, NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 9, .version = out);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(fit - out + 1, books.received);
}

/* Filled and emptied in odd steps, so that each place of the ring is each step's edge */
TEST_F(events, in_and_out)
{
	__u32 in = 0, out = 0, n, step = self->info.queue_len / 3 + 1, want;
	const struct metastore_event *ev;
	struct ms_reader r = ms_reader(self->fd, 64);

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	while (in < 5 * self->info.queue_len) {
		for (n = 0; n < step; n++, in++)
			ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, &in, sizeof(in), NULL));
		for (n = 0; n < step - (in < step * 2); n++, out++) {
			ev = ms_next(&r);
			ASSERT_TRUE(!!ev);
			ASSERT_EQ(METASTORE_EVENT_PUBLISHED, ev->type);
			memcpy(&want, ms_event_value(ev), sizeof(want));
			ASSERT_EQ(out, want);
		}
	}
}

TEST_F(events, fionread_is_the_next)
{
	char buf[4096];
	int size;

	ASSERT_EQ(0, ms_pending(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "somewhat longer", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "short", NULL));
	while ((size = ms_pending(self->fd)) > 0) {
		EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, size - 1));
		EXPECT_EQ(size, ms_pending(self->fd));
		ASSERT_EQ(size, ms_read(self->fd, buf, size));
		EXPECT_TRUE(ms_event_valid((void *)buf, size));
	}
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, emsgsize_leaves_it)
{
	char buf[256];
	__u64 version;
	size_t size;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "value", &version));
	memset(buf, POISON, sizeof(buf));
	for (size = 1; size < 56; size++)
		ASSERT_EQ(-EMSGSIZE, ms_read(self->fd, buf, size));
	EXPECT_EQ((char)POISON, buf[0]);
	EXPECT_EQ(0, memcmp(buf, buf + 1, sizeof(buf) - 1));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0) & POLLIN);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1, .version = version,
		     .key = "k", .value = "value");
}

TEST_F(events, read_of_nothing)
{
	char c = (char)POISON;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "value", NULL));
	EXPECT_EQ(0, ms_read(self->fd, &c, 0));
	EXPECT_EQ((char)POISON, c);
	EXPECT_EQ(56, ms_pending(self->fd));
}

TEST_F(events, whole_records_only)
{
	char buf[4 * 56];
	size_t size, whole;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	for (size = 56; size < sizeof(buf); size++) {
		ASSERT_EQ(1, publish_times(self->fd, "k", 4));
		memset(buf, POISON, sizeof(buf));
		whole = size / 56 * 56;
		ASSERT_EQ(whole, ms_read(self->fd, buf, size));
		ASSERT_EQ((char)POISON, buf[whole]);
		ASSERT_EQ(4 * 56 - whole, ms_read(self->fd, buf, sizeof(buf)));
	}
}

/* The second does not fit, the third would: it waits for its turn */
TEST_F(events, no_overtaking)
{
	char buf[200], value[200];
	__u64 versions[3];

	memset(value, 'v', sizeof(value));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", &versions[0]));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, sizeof(value), &versions[1]));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "3", &versions[2]));
	EXPECT_EQ(56, ms_read(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, sizeof(buf)));
	EXPECT_EQ(versions[1], ms_next(&self->r)->version);
	EXPECT_EQ(versions[2], ms_next(&self->r)->version);
}

/* One read takes all there is, if it fits */
TEST_F(events, many_at_once)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 1000));
	EXPECT_EQ(1000 * 56, ms_read(self->fd, self->r.buf, self->r.size));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(events, largest)
{
	__u32 max = self->info.max_value, i;
	struct ms_reader r = ms_reader(self->fd, RECORD + METASTORE_KEY_MAX + 1 + max);
	char key[METASTORE_KEY_MAX], *value = malloc(max);
	const struct metastore_event *ev;

	memset(key, 'k', sizeof(key));
	ASSERT_EQ(0, ms_subscriben(self->fd, key, sizeof(key), 0, 0));
	for (i = 0; i < 5; i++) {
		memset(value, 'a' + i, max);
		ASSERT_EQ(1, ms_publishn(self->fd, key, sizeof(key), value, max, NULL));
	}
	for (i = 0; i < 5; i++) {
		memset(value, 'a' + i, max);
		ev = ms_next(&r);
		ASSERT_TRUE(!!ev);
		ASSERT_EQ(max, ev->value_len);
		ASSERT_EQ(0, memcmp(ms_event_value(ev), value, max));
		ASSERT_EQ(0, memcmp(ms_event_key(ev), key, sizeof(key)));
	}
}

TEST_F(events, readv)
{
	char a[13], b[50], c[100];
	struct iovec iov[] = { { a, 13 }, { b, 50 }, { NULL, 0 }, { c, 100 } };
	char flat[163];

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 3));
	EXPECT_EQ(112, readv(self->fd, iov, 4));
	memcpy(flat, a, 13);
	memcpy(flat + 13, b, 50);
	memcpy(flat + 63, c, 100);
	EXPECT_TRUE(ms_event_valid((void *)flat, 112));
	EXPECT_TRUE(ms_event_valid((void *)(flat + 56), 56));
	EXPECT_EQ(56, ms_pending(self->fd));
}

TEST_F(events, eagain)
{
	char buf[4096];

	EXPECT_EQ(-EAGAIN, ms_read(self->fd, buf, sizeof(buf)));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EAGAIN, ms_read(self->fd, buf, sizeof(buf)));
	ASSERT_EQ(0, ms_set(self->fd, "other", "v", NULL));
	EXPECT_EQ(-EAGAIN, ms_read(self->fd, buf, sizeof(buf)));
}

/* As io_uring asks: do not wait, although the descriptor would */
TEST_F(events, eagain_nowait)
{
	int fd = ms_open(O_RDONLY);
	char buf[256];
	struct iovec iov = { buf, sizeof(buf) };

	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	EXPECT_EQ(-1, preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(56, preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
}

TEST_F(events, a_stream_has_no_position)
{
	char buf[256];

	EXPECT_EQ(-1, lseek(self->fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pread(self->fd, buf, sizeof(buf), 0));
	EXPECT_EQ(ESPIPE, errno);
}

TEST_F(events, read_ebadf)
{
	char buf[256];

	EXPECT_EQ(-EBADF, ms_read(ms_open(O_WRONLY), buf, sizeof(buf)));
	EXPECT_EQ(-EBADF, ms_read(ms_open(O_ACCMODE), buf, sizeof(buf)));
}

TEST_F(events, fault)
{
	struct ms_books books = {};

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 10));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, NULL, 56));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, (void *)-65536L, 56));
	EXPECT_NE(0, ms_pending(self->fd));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(10, books.received + books.lost);
}

TEST_F(events, fault_read_only_buffer)
{
	struct ms_books books = {};
	char *page = ms_guarded(1);

	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 10));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page, 4096));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(10, books.received + books.lost);
}

/* The buffer ends in each byte of three records */
TEST_F(events, fault_anywhere)
{
	struct ms_books books;
	char *page = ms_guarded(1);
	ssize_t inside, ret;

	ASSERT_TRUE(!!page);
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	for (inside = 0; inside < 3 * 56; inside++) {
		books = (struct ms_books) {};
		ASSERT_EQ(1, publish_times(self->fd, "k", 40));
		ret = ms_read(self->fd, page + 4096 - inside, 4096);
		if (ret != -EFAULT) {
			/* Whole records, and only what the memory can hold */
			ASSERT_LT(0, ret);
			ASSERT_EQ(0, ret % 56);
			ASSERT_GE(inside, ret);
			ASSERT_EQ(0, ms_count(page + 4096 - inside, ret, &books));
		}
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		ASSERT_EQ(40, books.received + books.lost);
	}
}

/* A loss that could not be told is told later */
TEST_F(events, fault_at_lost)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len;
	char *page = ms_guarded(1);
	ssize_t inside, ret;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", len + 5));
	for (inside = 0; inside < 80; inside += 8) {
		ret = ms_read(self->fd, page + 4096 - inside, 200);
		if (ret != -EFAULT) {
			ASSERT_LT(0, ret);
			ASSERT_EQ(0, ms_count(page + 4096 - inside, ret, &books));
		}
	}
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(len + 5, books.received + books.lost);
}

TEST_F(events, fault_at_flushed)
{
	struct ms_books books = {};
	char *page = ms_guarded(1);

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(0, ms_subscribe(self->fd, "l", 0, 1));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page + 4096, 200));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page + 4096 - 40, 200));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(2, books.flushed);
}

/* Within a value of many pages, after a record that was delivered */
TEST_F(events, fault_in_large_value)
{
	struct ms_books books = {};
	char *pages = ms_guarded(4), *value = calloc(1, 65536);
	ssize_t ret;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 1));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, 65536, NULL));
	ASSERT_EQ(1, publish_times(self->fd, "k", 1));
	ret = ms_read(self->fd, pages, 128 * 1024);
	if (ret != -EFAULT) {
		EXPECT_EQ(56, ret);
		ASSERT_EQ(0, ms_count(pages, ret, &books));
	}
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(3, books.received + books.lost);
}

/* After its subscription is gone, its loss must still have somewhere to be counted */
TEST_F(events, fault_after_unsubscribe)
{
	struct ms_books books = {};

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	ASSERT_EQ(1, publish_times(self->fd, "k", 10));
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, NULL, 4096));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(10, books.received + books.lost);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Budget taken back: after faults the queue holds as much as ever */
TEST_F(events, fault_frees_its_room)
{
	struct ms_books books = {};
	__u32 len = self->info.queue_len, i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 1));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, publish_times(self->fd, "k", len));
		while (ms_pending(self->fd) > 48)
			ASSERT_EQ(-EFAULT, ms_read(self->fd, NULL, MS_READER_SIZE));
		books = (struct ms_books) {};
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		ASSERT_EQ(len, books.received + books.lost);
		books = (struct ms_books) {};
		ASSERT_EQ(1, publish_times(self->fd, "k", len));
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		ASSERT_EQ(len, books.received);
		ASSERT_EQ(0, books.lost);
	}
}

TEST_HARNESS_MAIN
