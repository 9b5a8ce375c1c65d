// SPDX-License-Identifier: GPL-2.0
/*
 * Subscriptions that first read what is there, then what happens: no gap, no double.
 */
#include <sys/resource.h>

#include "crew.h"

#define SNAPSHOT	METASTORE_SUBSCRIBE_SNAPSHOT
#define PREFIX		METASTORE_SUBSCRIBE_PREFIX
#define NEWER		METASTORE_SUBSCRIBE_NEWER
#define LATEST		METASTORE_SUBSCRIBE_LATEST

FIXTURE(snapshot)
{
	int fd;
	struct ms_reader r;
};

FIXTURE_SETUP(snapshot)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(snapshot)
{
	close(self->fd);
}

static int follow(int fd, const char *key, __u32 flags, __u64 cookie)
{
	return ms_subscribe_as(fd, key, .events = EVENTS_ALL, .cookie = cookie,
			       .flags = SNAPSHOT | flags);
}

static int set_numbered(int fd, int from, int to)
{
	char key[16];
	int ret = 0;

	for (; from < to && !ret; from++) {
		snprintf(key, sizeof(key), "key.%d", from);
		ret = ms_set(fd, key, "value", NULL);
	}
	return ret;
}

/* Reads the next record alone */
static const struct metastore_event *read_one(int fd)
{
	static __u64 buf[512];
	int size = ms_pending(fd);

	if (size <= 0 || size > (int)sizeof(buf) || ms_read(fd, buf, size) != size ||
	    !ms_event_valid((void *)buf, size))
		return NULL;
	return (void *)buf;
}

TEST_F(snapshot, exact)
{
	const struct metastore_event *ev;
	struct metastore_stat st;
	__u64 version;

	ASSERT_EQ(0, ms_set(self->fd, "key", "old", &version));
	ASSERT_EQ(0, ms_set(self->fd, "key2", "another", NULL));
	ASSERT_EQ(0, ms_stat(self->fd, "key", &st));
	ASSERT_EQ(0, follow(self->fd, "key", 0, 1));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	EXPECT_EQ(sizeof(*ev) + 8, ms_pending(self->fd));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_SNAPSHOT, ev->type);
	EXPECT_EQ(version, ev->version);
	EXPECT_EQ(st.time, ev->time);
	EXPECT_EQ(getpid(), ev->tgid);
	EXPECT_EQ(geteuid(), ev->uid);
	EXPECT_EQ(0, memcmp(ms_event_key(ev), "keyold", 6));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	ASSERT_EQ(0, ms_set(self->fd, "key", "new", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .version = version,
		     .key = "key", .value = "new");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The end comes, even if that was nothing */
TEST_F(snapshot, of_nothing)
{
	ASSERT_EQ(0, ms_set(self->fd, "key", "", NULL));
	ASSERT_EQ(0, follow(self->fd, "ke", 0, 1));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	EXPECT_EQ(sizeof(struct metastore_event), ms_pending(self->fd));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, follow(self->fd, "keys", PREFIX, 2));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 2);
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, ms_delete(self->fd, "key", NULL));
	ASSERT_EQ(0, follow(self->fd, "", PREFIX, 3));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 3);
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(snapshot, newer)
{
	__u64 version, then;

	ASSERT_EQ(0, ms_set(self->fd, "key", "1", &version));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = EVENTS_ALL, .cookie = 1,
				     .flags = SNAPSHOT | NEWER, .version = version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	ASSERT_EQ(0, ms_set(self->fd, "key", "2", &then));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 1, .version = then,
		     .key = "key", .value = "2");
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "key"));

	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = EVENTS_ALL, .cookie = 2,
				     .flags = SNAPSHOT | NEWER, .version = then - 1));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 2, .version = then,
		     .key = "key", .value = "2");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 2);
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "key"));

	/* It need not be newer when the subscription is made, but when it is read */
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = EVENTS_ALL, .cookie = 3,
				     .flags = SNAPSHOT | NEWER, .version = then));
	ASSERT_EQ(0, ms_set(self->fd, "key", "3", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 3, .version = version,
		     .key = "key", .value = "3");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 3);
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "key"));

	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = EVENTS_ALL, .cookie = 4,
				     .flags = SNAPSHOT | NEWER, .version = ~0ULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 4);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* A value that is not read yet changes: it is read as it then is, and that is all */
TEST_F(snapshot, changes_before_it_is_read)
{
	__u64 version;

	ASSERT_EQ(0, ms_set(self->fd, "key.1", "1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "gone", "2", NULL));
	ASSERT_EQ(0, follow(self->fd, "key.1", 0, 1));
	ASSERT_EQ(0, follow(self->fd, "gone", 0, 2));
	ASSERT_EQ(0, follow(self->fd, "new", 0, 3));
	ASSERT_EQ(0, ms_publish(self->fd, "key.1", "3", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "key.1", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "key.1", "4", &version));
	ASSERT_EQ(0, ms_delete(self->fd, "gone", NULL));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .version = version,
		     .key = "key.1", .value = "4");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 2);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 3);
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(snapshot, in_the_order_of_list)
{
	static __u64 buf[8192];
	struct metastore_list list = {
		.buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf),
		.bucket = METASTORE_ANY_BUCKET,
		.prefix = ms_ptr("key."),
		.prefix_len = 4,
	};
	const struct metastore_list_entry *entry = (void *)buf;
	const struct metastore_event *ev;
	bool same = true;
	__u32 i;

	ASSERT_EQ(0, set_numbered(self->fd, 0, 500));
	ASSERT_EQ(0, ms_set(self->fd, "other", "", NULL));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_LIST, &list));
	ASSERT_EQ(500, list.entries);
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	for (i = 0; i < list.entries && same; i++) {
		ev = ms_next(&self->r);
		same = ev && ev->type == METASTORE_EVENT_SNAPSHOT &&
		       ev->version == entry->version && ev->key_len == entry->key_len &&
		       !memcmp(ms_event_key(ev), (char *)entry + entry->header_len,
			       ev->key_len);
		entry = (void *)((char *)entry + entry->len);
	}
	EXPECT_TRUE(same);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The mask is about what comes behind */
TEST_F(snapshot, mask)
{
	__u64 version;

	ASSERT_EQ(0, ms_set(self->fd, "key", "1", &version));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .events = METASTORE_EVENT_BY_DELETE,
				     .flags = SNAPSHOT | METASTORE_SUBSCRIBE_NO_VALUE));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .version = version,
		     .flags = METASTORE_EVENT_F_NO_VALUE, .key = "key");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END);
	ASSERT_EQ(0, ms_set(self->fd, "key", "2", NULL));
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, ms_delete(self->fd, "key", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .version = version,
		     .flags = METASTORE_EVENT_F_NO_VALUE, .key = "key");
}

/* It is not in the queue, nor is what happens to what it has not reached */
TEST_F(snapshot, takes_no_room)
{
	struct metastore_queue_info info;
	struct ms_books books = {};
	int i;

	ASSERT_EQ(0, ms_queue_set_len(self->fd, 1));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 4096));
	ASSERT_EQ(0, set_numbered(self->fd, 0, 1000));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, set_numbered(self->fd, 0, 1100));
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(0, info.len);
	EXPECT_EQ(0, info.bytes);
	EXPECT_EQ(0, info.matched);
	EXPECT_EQ(0, info.high_len);
	EXPECT_EQ(0, info.oldest);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(1100, books.received);
	EXPECT_EQ(1, books.ends);
	EXPECT_EQ(0, books.lost);
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(1100, info.matched);
	EXPECT_EQ(1100, info.delivered);
	EXPECT_EQ(0, info.pending);
	EXPECT_EQ(0, info.bytes);
}

/* Of a snapshot that nobody wants any more not even the end is read */
TEST_F(snapshot, unsubscribe)
{
	struct metastore_subscription_info info;
	struct metastore_flush flush;
	struct ms_books books = {};
	int i;

	ASSERT_EQ(0, set_numbered(self->fd, 0, 100));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "key."));
	EXPECT_TRUE(ms_silent(self->fd));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(METASTORE_EVENT_SNAPSHOT, ms_event_type(read_one(self->fd)));
	ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "key."));
	EXPECT_TRUE(ms_silent(self->fd));

	/* The next one begins anew */
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 2));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(METASTORE_EVENT_SNAPSHOT, ms_event_type(read_one(self->fd)));
	ASSERT_EQ(0, ms_subscription(self->fd, "key.", PREFIX, &info));
	EXPECT_EQ(PREFIX | SNAPSHOT, info.flags);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(90, books.received);
	EXPECT_EQ(1, books.ends);
	ASSERT_EQ(0, ms_subscription(self->fd, "key.", PREFIX, &info));
	EXPECT_EQ(PREFIX, info.flags);
	EXPECT_EQ(100, info.delivered);

	/* Nor if another one ends it */
	ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "key."));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 3));
	ASSERT_EQ(METASTORE_EVENT_SNAPSHOT, ms_event_type(read_one(self->fd)));
	ASSERT_EQ(0, ms_flush(self->fd, "key", METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_EQ(1, flush.subscriptions);
	books = (struct ms_books) {};
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(1, books.flushed);
	EXPECT_EQ(0, books.ends);
	/* Of the values there were it hears that they go only if it has shown them */
	EXPECT_EQ(1, books.received);

	/* Closed in the midst of one */
	i = ms_open(O_RDONLY);
	ASSERT_EQ(0, set_numbered(self->fd, 0, 100));
	ASSERT_EQ(0, follow(i, "", PREFIX, 4));
	ASSERT_EQ(METASTORE_EVENT_SNAPSHOT, ms_event_type(read_one(i)));
	close(i);
	EXPECT_EQ(0, ms_subscribers(self->fd, "key.1"));
}

TEST_F(snapshot, emsgsize)
{
	char value[1000] = "", buf[2048];
	int i, size;

	ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, 1000, NULL));
	ASSERT_EQ(0, follow(self->fd, "", PREFIX, 1));
	size = ms_pending(self->fd);
	EXPECT_EQ((int)(sizeof(struct metastore_event) + 1008), size);
	for (i = 1; i < size; i += 7)
		ASSERT_EQ(-EMSGSIZE, ms_read(self->fd, buf, i));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, size - 1));
	/* It is looked up anew each time */
	ASSERT_EQ(0, ms_setn(self->fd, "key", 3, value, 100, NULL));
	EXPECT_LT(ms_pending(self->fd), size);
	size = ms_pending(self->fd);
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, size - 1));
	EXPECT_EQ(size, ms_read(self->fd, buf, size));
	EXPECT_EQ(48, ms_pending(self->fd));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, 47));
	EXPECT_EQ(48, ms_read(self->fd, buf, 48));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* What was meant for a bad buffer is lost, and counted; the end is not */
TEST_F(snapshot, efault)
{
	struct metastore_subscription_info info;
	struct ms_books books = {};
	char *page = ms_guarded(1);

	ASSERT_EQ(0, set_numbered(self->fd, 0, 100));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page + 4096, 4096));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_LT(0, books.lost);
	EXPECT_GE(16, books.lost);
	EXPECT_EQ(100, books.received + books.lost);
	EXPECT_EQ(1, books.ends);
	ASSERT_EQ(0, ms_subscription(self->fd, "key.", PREFIX, &info));
	EXPECT_EQ(books.received, info.delivered);
	EXPECT_EQ(books.lost, info.lost);
	EXPECT_EQ(100, info.matched);

	ASSERT_EQ(0, follow(self->fd, "none", 0, 2));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page + 4096, 4096));
	EXPECT_EQ(-EFAULT, ms_read(self->fd, page + 4096 - 8, 4096));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 2);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Who waits already is woken, whether there is a value or not */
TEST_F(snapshot, wakes_a_reader)
{
	__u64 buf[64];
	struct metastore_event *ev = (void *)buf;
	pid_t pid;
	int fd, i;

	for (i = 0; i < 2; i++) {
		fd = ms_open(O_RDONLY);
		ASSERT_LE(0, fd);
		pid = ms_fork();
		if (!pid)
			_exit(ms_read(fd, buf, sizeof(buf)) <= 0 ? 1 :
			      ev->type == METASTORE_EVENT_SNAPSHOT ? 2 :
			      ev->type == METASTORE_EVENT_SNAPSHOT_END ? 3 : 4);
		ASSERT_TRUE(ms_asleep(pid));
		if (i)
			ASSERT_EQ(0, ms_set(self->fd, "key", "", NULL));
		ASSERT_EQ(0, follow(fd, i ? "k" : "key", i ? PREFIX : 0, 0));
		EXPECT_EQ(i ? 2 : 3, ms_join(pid));
		close(fd);
	}
}

/* Neither what waits nor what is there waits until the other is through */
TEST_F(snapshot, takes_turns)
{
	int i, values = 0, events = 0;
	const struct metastore_event *ev;

	ASSERT_EQ(0, set_numbered(self->fd, 0, 100));
	ASSERT_EQ(0, ms_subscribe(self->fd, "busy", EVENTS_ALL, 1));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, ms_set(self->fd, "busy", "of another length", NULL));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 2));
	for (i = 0; i < 40; i++) {
		ev = read_one(self->fd);
		ASSERT_TRUE(!!ev);
		values += ev->type == METASTORE_EVENT_SNAPSHOT;
		events += ev->type == METASTORE_EVENT_SET;
	}
	EXPECT_EQ(40, values + events);
	EXPECT_LE(15, values);
	EXPECT_LE(15, events);
}

/* Several of one file, each with its end, and each value as often as it is wanted */
TEST_F(snapshot, several)
{
	const struct metastore_event *ev;
	int values[5] = {}, ends[5] = {};

	ASSERT_EQ(0, set_numbered(self->fd, 0, 200));
	ASSERT_EQ(0, follow(self->fd, "", PREFIX, 0));
	ASSERT_EQ(0, follow(self->fd, "key.1", PREFIX, 1));
	ASSERT_EQ(0, follow(self->fd, "key.1", 0, 2));
	ASSERT_EQ(0, follow(self->fd, "key.15", LATEST, 3));
	ASSERT_EQ(0, follow(self->fd, "none", LATEST | PREFIX, 4));
	while ((ev = ms_next(&self->r))) {
		ASSERT_GT(5, ev->cookie);
		/* Behind its end comes nothing of it */
		ASSERT_EQ(0, ends[ev->cookie]);
		if (ev->type == METASTORE_EVENT_SNAPSHOT)
			values[ev->cookie]++;
		else if (ev->type == METASTORE_EVENT_SNAPSHOT_END)
			ends[ev->cookie]++;
	}
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(200, values[0]);
	/* 1, 10 to 19, 100 to 199 */
	EXPECT_EQ(111, values[1]);
	EXPECT_EQ(1, values[2]);
	EXPECT_EQ(1, values[3]);
	EXPECT_EQ(0, values[4]);
	EXPECT_EQ(5, ends[0] + ends[1] + ends[2] + ends[3] + ends[4]);
}

/*
 * Changes and reads at random, by one process, so that it is known what comes. For
 * each key: all versions that it ever had, and how far the reader is.
 */
#define KEYS	40
#define CHANGES	60

struct history {
	__u64 versions[CHANGES];
	int nr;
	int at;			/* -1: has not read of it yet */
	bool is_there;
	bool was_there;		/* at the reader's */
};

static bool change(int fd, int k, struct history *h)
{
	__u64 *version = &h->versions[h->nr];
	char key[16];

	if (h->nr == CHANGES)
		return true;
	snprintf(key, sizeof(key), "key.%d", k);
	if (h->is_there && rand() % 3 == 0) {
		if (ms_delete(fd, key, version))
			return false;
		h->is_there = false;
	} else {
		if (rand() % 2 ? ms_set(fd, key, key, version) :
				 ms_publish(fd, key, key, version) < 0)
			return false;
		h->is_there = true;
	}
	h->nr++;
	return true;
}

static bool judge(const struct metastore_event *ev, struct history *keys, bool *end)
{
	struct history *h;
	char number[16] = "";
	int at;

	if (ev->type == METASTORE_EVENT_SNAPSHOT_END)
		return !*end && (*end = true);
	memcpy(number, ms_event_key(ev) + 4, ev->key_len - 4);
	h = &keys[atoi(number)];
	for (at = 0; at < h->nr && h->versions[at] != ev->version; at++)
		;
	if (at == h->nr)
		return false;
	if (ev->type == METASTORE_EVENT_SNAPSHOT) {
		/* Once, ahead of all else, and as it is at this moment */
		if (*end || h->at >= 0 || at != h->nr - 1)
			return false;
	} else if (h->at >= 0 && at != h->at + 1) {
		return false;
	}
	h->at = at;
	h->was_there = ev->type != METASTORE_EVENT_DELETED;
	return true;
}

TEST_F(snapshot, random)
{
	int round, rounds = ms_size(30, 3000), i, k;
	const struct metastore_event *ev;
	struct history keys[KEYS];
	bool end;

	srand(ms_full() ? time(NULL) : 1);
	for (round = 0; round < rounds; round++) {
		ASSERT_EQ(0, ms_reset(self->fd));
		ASSERT_TRUE(ms_silent(self->fd));
		memset(keys, 0, sizeof(keys));
		end = false;
		for (k = 0; k < KEYS; k++)
			keys[k].at = -1;
		for (i = rand() % 100; i; i--) {
			k = rand() % KEYS;
			ASSERT_TRUE(change(self->fd, k, &keys[k]));
		}
		ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
		for (i = 0; i < 300; i++) {
			k = rand() % KEYS;
			if (rand() % 4) {
				ASSERT_TRUE(change(self->fd, k, &keys[k]));
				continue;
			}
			ev = read_one(self->fd);
			ASSERT_TRUE(ev ? judge(ev, keys, &end) : end);
		}
		while (ms_pending(self->fd) && (ev = read_one(self->fd)))
			ASSERT_TRUE(judge(ev, keys, &end));
		EXPECT_TRUE(end);
		EXPECT_TRUE(ms_silent(self->fd));
		for (k = 0; k < KEYS; k++) {
			EXPECT_EQ(keys[k].is_there, keys[k].was_there);
			if (keys[k].at >= 0)
				EXPECT_EQ(keys[k].nr - 1, keys[k].at);
		}
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, "key."));
	}
}

/* Two readers of one file: each value at one of them, the end too */
#define SHARED	2000

TEST_F(snapshot, two_readers)
{
	__u8 *seen = ms_shared(SHARED);
	struct metastore_queue_info info;
	int i, wrong = 0;

	ASSERT_TRUE(!!seen);
	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, set_numbered(self->fd, 0, SHARED));
	ASSERT_EQ(0, follow(self->fd, "key.", PREFIX, 1));
	for (i = 0; i < 2; i++) {
		const struct metastore_event *ev;
		struct ms_reader r;

		if (!crew_child())
			continue;
		r = ms_reader(self->fd, 2048);
		while (!crew_done() || ms_pending(self->fd)) {
			ev = ms_next(&r);
			if (!ev) {
				CHECK(errno == EAGAIN);
				continue;
			}
			if (ev->type == METASTORE_EVENT_SNAPSHOT_END) {
				crew.board->counts[i]++;
				crew_finish();
				continue;
			}
			CHECK(ev->type == METASTORE_EVENT_SNAPSHOT);
			seen[atoi(ms_event_key(ev) + 4)]++;
		}
		/* Records it had taken before the other one found the end */
		while (r.pos < r.len) {
			ev = ms_next(&r);
			CHECK(ev && ev->type == METASTORE_EVENT_SNAPSHOT);
			seen[atoi(ms_event_key(ev) + 4)]++;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(1, crew.board->counts[0] + crew.board->counts[1]);
	for (i = 0; i < SHARED; i++)
		wrong += seen[i] != 1;
	EXPECT_EQ(0, wrong);
	ASSERT_EQ(0, ms_queue(self->fd, &info));
	EXPECT_EQ(SHARED, info.matched);
	EXPECT_EQ(SHARED, info.delivered);
}

/*
 * One key that counts up while others subscribe: what each reads is a number and then
 * its successors. The key has so many subscribers that its deliveries are in parts, and
 * a snapshot comes upon one that is under way.
 */
TEST_F(snapshot, exact_while_it_changes)
{
	int i, fds[100], rounds = 20 + ms_times(200);
	struct metastore_queue_info info;

	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, ms_open_many(fds, 100, "count", EVENTS_ALL));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, ms_queue_set_len(fds[i], 1));
	if (crew_child()) {
		__u64 number;

		for (number = 1; !crew_done(); number++)
			CHECK(!ms_setn(self->fd, "count", 5, &number, sizeof(number), NULL));
		_exit(0);
	}
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		for (; rounds; rounds--) {
			int fd = ms_open(O_RDONLY), n, end = 0;
			struct ms_reader r = ms_reader(fd, 1024);
			const struct metastore_event *ev;
			__u64 number, last = 0;

			/* Room for what comes while a busy machine lets it wait */
			CHECK(!ms_queue_set_len(fd, 16384));
			CHECK(!follow(fd, i ? "cou" : "count", i ? PREFIX : 0, 1));
			for (n = 0; n < 20; n++) {
				ev = ms_next(&r);
				CHECK(ev);
				CHECK(ev->type != METASTORE_EVENT_LOST);
				if (ev->type == METASTORE_EVENT_SNAPSHOT_END) {
					CHECK(!end++);
					continue;
				}
				CHECK((ev->type == METASTORE_EVENT_SNAPSHOT) == (!last && !end));
				memcpy(&number, ms_event_value(ev), sizeof(number));
				CHECK(!last || number == last + 1);
				last = number;
			}
			CHECK(end);
			close(fd);
			free(r.buf);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(1, 3));
	crew_finish();
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_queue(fds[0], &info));
	EXPECT_EQ(1, info.len);
	ms_close_many(fds, 100);
}

/* What a reader knows of a key, and so does the store in the end */
struct known {
	__u64 version;
	__u64 value;
	bool is_there;
};

/* Three keys at one moment, of which a snapshot may be past some alone */
static int write_batch(int store, __u32 key, __u32 keys, __u64 value)
{
	struct metastore_op ops[3];
	__u32 names[3];
	int i;

	for (i = 0; i < 3; i++) {
		names[i] = (key + i) % keys;
		ops[i] = (struct metastore_op) {
			.op = METASTORE_OP_SET,
			.key = ms_ptr(&names[i]),
			.value = ms_ptr(&value),
			.key_len = sizeof(names[i]),
			.value_len = sizeof(value),
		};
	}
	return ms_batch(store, ops, 3, METASTORE_BATCH_ATOMIC, NULL);
}

/* From one to the next, in no order that the store could know */
static void write_some(int store, __u32 keys)
{
	__u64 value;
	__u32 key;
	int ret;

	for (value = 1; !crew_done(); value++) {
		key = ((__u32)rand() * 32768U + rand()) % keys;
		switch (rand() % 8) {
		case 0:
			ret = ms_deleten(store, &key, sizeof(key), NULL);
			CHECK(!ret || ret == -ENOENT);
			break;
		case 1:
			ret = ms_publishn(store, &key, sizeof(key), &value, sizeof(value), NULL);
			CHECK(ret >= 0);
			break;
		case 2:
			CHECK(!write_batch(store, key, keys, value));
			break;
		default:
			CHECK(!ms_setn(store, &key, sizeof(key), &value, sizeof(value), NULL));
		}
	}
}

/* Applies what it reads until there is nothing more. Returns how much that was. */
static int apply(struct ms_reader *r, struct known *known, __u32 keys, int *ends)
{
	const struct metastore_event *ev;
	struct known *k;
	int nr = 0;
	__u32 key;

	for (; (ev = ms_next(r)); nr++) {
		if (ev->type == METASTORE_EVENT_SNAPSHOT_END) {
			++*ends;
			continue;
		}
		if (ev->type == METASTORE_EVENT_LOST || ev->key_len != sizeof(key))
			return -EBADMSG;
		memcpy(&key, ms_event_key(ev), sizeof(key));
		if (key >= keys || ev->version <= known[key].version ||
		    (ev->type == METASTORE_EVENT_SNAPSHOT && (*ends || known[key].version)))
			return -EBADMSG;
		k = &known[key];
		k->version = ev->version;
		k->is_there = ev->type != METASTORE_EVENT_DELETED;
		if (k->is_there)
			memcpy(&k->value, ms_event_value(ev), sizeof(k->value));
	}
	return errno == EAGAIN ? nr : -errno;
}

static int count_wrong(int store, const struct known *known, __u32 keys)
{
	__u64 value, version;
	int wrong = 0, ret;
	__u32 key;

	for (key = 0; key < keys; key++) {
		ret = ms_getn(store, &key, sizeof(key), &value, sizeof(value), &version);
		wrong += known[key].is_there ?
			 ret != sizeof(value) || value != known[key].value ||
			 version != known[key].version : ret != -ENOENT;
	}
	return wrong;
}

/*
 * The table grows, and two writers do what they can, while a reader follows from the
 * snapshot on. FULL=1: 100,000 keys, 100 times.
 */
TEST_F_TIMEOUT(snapshot, follows_to_the_store, 170)
{
	__u32 keys = ms_full() ? 100000 : 4000, key;
	int run, runs = ms_size(3, 100), ends, nr, i, store;
	struct known *known = calloc(keys, sizeof(*known));
	__u64 none = 0, events = 0, conflated = 0;
	struct metastore_queue_info info;
	struct ms_reader r;

	for (run = 0; run < runs; run++) {
		store = ms_create(self->fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {
			.queue_len = keys + 1,
			.queue_bytes = 256 * (keys + 1),
		});
		ASSERT_LE(0, store);
		/* Half of the keys are there, the other half comes */
		for (key = 0; key < keys; key += 2)
			ASSERT_EQ(0, ms_setn(store, &key, sizeof(key), &none, sizeof(none), NULL));
		memset(known, 0, keys * sizeof(*known));
		ASSERT_TRUE(crew_init());
		for (i = 0; i < 2; i++) {
			if (!crew_child())
				continue;
			srand(run * 2 + i);
			write_some(store, keys);
			_exit(0);
		}
		crew_start();
		ends = 0;
		r = ms_reader(store, MS_READER_SIZE);
		ASSERT_EQ(0, follow(store, "", PREFIX | LATEST, 1));
		for (nr = 0; nr >= 0 && !ends; events += nr)
			nr = apply(&r, known, keys, &ends);
		EXPECT_LE(0, nr);
		for (i = 0; i < 20 && nr >= 0; i++, events += nr)
			nr = apply(&r, known, keys, &ends);
		crew_finish();
		EXPECT_TRUE(crew_join(0, 2));
		EXPECT_STREQ("", crew.board->error);
		ASSERT_LE(0, nr);
		nr = apply(&r, known, keys, &ends);
		ASSERT_LE(0, nr);
		events += nr;
		EXPECT_EQ(1, ends);
		ASSERT_EQ(0, count_wrong(store, known, keys));
		ASSERT_EQ(0, ms_queue(store, &info));
		EXPECT_EQ(0, info.lost);
		EXPECT_EQ(0, info.pending);
		EXPECT_EQ(info.matched, info.delivered + info.conflated);
		conflated += info.conflated;
		free(r.buf);
		close(store);
	}
	TH_LOG("%d runs with %u keys: %llu events read, %llu conflated", runs, keys, events,
	       conflated);
}

TEST_HARNESS_MAIN
