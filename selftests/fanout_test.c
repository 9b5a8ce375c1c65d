// SPDX-License-Identifier: GPL-2.0
/*
 * One key, many subscribers: more than fit one pass under a bucket's lock, so
 * that the fan-out is done in parts while others come, go and publish.
 */
#include <sys/resource.h>

#include "metastore_test.h"

#define MANY		200
#define VERY_MANY	1000
#define CROWD		10000
#define PUBLISHERS	2

struct shared {
	__u32 done;
	__u32 errors;
	__u64 queues;
	__u64 rounds;
};

FIXTURE(fanout)
{
	int fd;
	int *fds;
	struct ms_reader r;
	struct shared *shared;
};

FIXTURE_SETUP(fanout)
{
	struct rlimit limit = { CROWD + 100, CROWD + 100 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->fds = calloc(CROWD, sizeof(int));
	self->r = ms_reader(-1, MS_READER_SIZE);
	self->shared = ms_shared(sizeof(*self->shared));
	ASSERT_TRUE(!!self->shared);
}

FIXTURE_TEARDOWN(fanout)
{
	close(self->fd);
}

/* Each file's events, all of subscription number i, into *books */
static int drain_of(struct _test_data_fanout *self, int i, struct ms_books *books)
{
	*books = (struct ms_books) {};
	self->r.fd = self->fds[i];
	self->r.pos = 0;
	self->r.len = 0;
	return ms_drain(&self->r, books);
}

static bool done(struct shared *shared)
{
	return __atomic_load_n(&shared->done, __ATOMIC_ACQUIRE);
}

static void finish(struct shared *shared)
{
	__atomic_store_n(&shared->done, 1, __ATOMIC_RELEASE);
}

/* Publishes @times, 0: until done; adds up what it is told */
static pid_t publish_in_child(struct _test_data_fanout *self, const char *key, int times,
			      int at_least)
{
	pid_t pid = ms_fork();
	int ret, n;

	if (pid)
		return pid;
	for (n = 0; times ? n < times : !done(self->shared); n++) {
		ret = ms_publish(self->fd, key, "value", NULL);
		if (ret < at_least)
			_exit(1);
		__atomic_add_fetch(&self->shared->queues, ret, __ATOMIC_RELAXED);
		__atomic_add_fetch(&self->shared->rounds, 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

static __u64 rounds(struct _test_data_fanout *self)
{
	return __atomic_load_n(&self->shared->rounds, __ATOMIC_RELAXED);
}

/*
 * Is there more to be done beside publishers, in this @round of at least @times? Not before
 * they published as often: where the host has other work one side may be done before the
 * other has begun.
 */
static bool more_rounds(struct _test_data_fanout *self, int round, int times)
{
	return round < times || rounds(self) < (__u64)times;
}

/* Around the sizes where a fan-out may change its way */
TEST_F(fanout, each_gets_each)
{
	static const int counts[] = { 1, 2, 63, 64, 65, 127, 128, 129, MANY };
	struct ms_books books;
	__u64 version;
	size_t c;
	int i;

	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		ASSERT_EQ(0, ms_open_many(self->fds, counts[c], "k", EVENTS_ALL));
		ASSERT_EQ(counts[c], ms_subscribers(self->fd, "k"));
		ASSERT_EQ(0, ms_set(self->fd, "k", "1", NULL));
		ASSERT_EQ(counts[c], ms_publish(self->fd, "k", "2", NULL));
		ASSERT_EQ(counts[c], ms_publish(self->fd, "k", "3", NULL));
		ASSERT_EQ(0, ms_delete(self->fd, "k", &version));
		for (i = 0; i < counts[c]; i++) {
			ASSERT_EQ(0, drain_of(self, i, &books));
			ASSERT_EQ(4, books.received);
			ASSERT_EQ(0, books.lost);
			ASSERT_EQ(0, books.disorder);
			ASSERT_EQ(version, books.last);
		}
		ms_close_many(self->fds, counts[c]);
		ASSERT_EQ(0, ms_subscribers(self->fd, "k"));
	}
}

TEST_F(fanout, thousand)
{
	struct ms_books books;
	__u64 version;
	int i;

	ASSERT_EQ(0, ms_open_many(self->fds, VERY_MANY, "k", 0));
	for (i = 0; i < 10; i++)
		ASSERT_EQ(VERY_MANY, ms_publish(self->fd, "k", "v", &version));
	for (i = 0; i < VERY_MANY; i++) {
		ASSERT_EQ(0, drain_of(self, i, &books));
		ASSERT_EQ(10, books.received);
		ASSERT_EQ(0, books.disorder);
		ASSERT_EQ(version, books.last);
	}
}

/* Another key than "k" of the same bucket */
static bool find_neighbour(int fd, char *key, size_t size)
{
	int bucket = ms_bucket(fd, "k"), i;

	for (i = 0; i < 1000000; i++) {
		snprintf(key, size, "n%d", i);
		if (ms_bucket(fd, key) == bucket)
			return true;
	}
	return false;
}

/* Events of the crowd's key */
#define CROWD_EVENTS	20

/*
 * Publishes one event after the other, each when it is asked to by a byte. Of a lower rank
 * than we are, on the same CPU: it goes on while we sleep, and we go on as soon as it holds
 * no lock that we want.
 */
static pid_t publish_below(struct _test_data_fanout *self, int ask[2], int crowd)
{
	pid_t pid = ms_fork_below();
	char c;

	if (pid)
		return pid;
	close(ask[1]);
	while (read(ask[0], &c, 1) == 1)
		if (ms_publish(self->fd, "k", "value", NULL) != crowd)
			_exit(1);
	_exit(0);
}

/*
 * A crowd's key keeps nobody from the bucket's other keys: one of them can be changed after
 * the first subscriber got the event and before the last one did. If the event had the
 * bucket for itself that would have to wait until all have it. The newest subscriber is
 * the first.
 */
TEST_F(fanout, crowd)
{
	__u32 i, crowd = ms_size(CROWD / 2, CROWD);
	int first, last, meanwhile = 0, ask[2];
	struct ms_books books;
	char neighbour[16];
	pid_t pid;

	ASSERT_TRUE(find_neighbour(self->fd, neighbour, sizeof(neighbour)));
	for (i = 0; i < crowd; i++) {
		self->fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		ASSERT_LE(0, self->fds[i]);
		ASSERT_EQ(0, ms_queue_set_len(self->fds[i], 2));
		ASSERT_EQ(0, ms_subscribe(self->fds[i], "k", 0, i));
	}
	ASSERT_EQ(crowd, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, pipe(ask));
	pid = publish_below(self, ask, crowd);
	ASSERT_LT(0, pid);
	first = self->fds[crowd - 1];
	last = self->fds[0];
	for (i = 0; i < CROWD_EVENTS; i++) {
		ASSERT_EQ(1, write(ask[1], "", 1));
		ASSERT_EQ(POLLIN, ms_poll(first, ms_limit(20000)));
		ASSERT_EQ(0, ms_set(self->fd, neighbour, "value", NULL));
		meanwhile += ms_poll(last, 0) == 0;
		ASSERT_EQ(POLLIN, ms_poll(last, ms_limit(20000)));
		ASSERT_EQ(0, drain_of(self, 0, &books));
		ASSERT_EQ(1, books.received);
		ASSERT_EQ(0, drain_of(self, crowd - 1, &books));
		ASSERT_EQ(1, books.received);
	}
	close(ask[0]);
	close(ask[1]);
	EXPECT_EQ(0, ms_join(pid));
	TH_LOG("%u subscribers: another key changed within %d of %d events", crowd, meanwhile,
	       CROWD_EVENTS);
	EXPECT_EQ(CROWD_EVENTS, meanwhile);
	for (i = 1; i < crowd - 1; i++) {
		ASSERT_EQ(0, drain_of(self, i, &books));
		ASSERT_EQ(2, books.received);
		ASSERT_EQ(CROWD_EVENTS - 2, books.lost);
		ASSERT_EQ(ms_version(self->fd, "k"), books.last);
	}
}

/* Only those that asked, wherever they stand among the others */
TEST_F(fanout, mixed_masks)
{
	struct ms_books books;
	int i;

	for (i = 0; i < MANY; i++) {
		self->fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		ASSERT_EQ(0, ms_subscribe(self->fds[i], "k", 1 << i % 3, 0));
	}
	ASSERT_EQ(67, ms_publish(self->fd, "k", "v", NULL));
	ASSERT_EQ(67, ms_publish(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, drain_of(self, i, &books));
		ASSERT_EQ(i % 3 ? i % 3 == 1 : 2, books.received);
	}
}

TEST_F(fanout, flush)
{
	struct metastore_flush arg;
	struct ms_books books;
	int i;

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", METASTORE_EVENT_DELETED));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS,
			      &arg));
	EXPECT_EQ(1, arg.values);
	EXPECT_EQ(MANY, arg.subscriptions);
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, drain_of(self, i, &books));
		ASSERT_EQ(1, books.received);
		ASSERT_EQ(1, books.flushed);
	}
	EXPECT_EQ(0, ms_publish(self->fd, "k", "v", NULL));
}

#define RESTLESS	400

/* Subscribes all files that are not; returns how many those were, or an errno */
static int subscribe_anew(struct _test_data_fanout *self, __u32 flags)
{
	int i, ret, subscribed = 0;

	for (i = 0; i < RESTLESS; i++) {
		ret = ms_subscribe_as(self->fds[i], "k", .flags = flags);
		if (ret && ret != -EEXIST)
			return ret;
		subscribed += !ret;
	}
	return subscribed;
}

static pid_t subscribe_in_child(struct _test_data_fanout *self, __u32 flags)
{
	pid_t pid = ms_fork();
	int ret;

	if (pid)
		return pid;
	while (!done(self->shared)) {
		ret = subscribe_anew(self, flags);
		if (ret < 0)
			_exit(1);
		__atomic_add_fetch(&self->shared->rounds, ret, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* Those that come while it goes on are not for this FLUSH, or it might never end */
static void flush_restless(struct __test_metadata *_metadata, struct _test_data_fanout *self,
			   __u32 flags)
{
	int i, times = ms_times(100), more = 0;
	struct metastore_flush arg;
	pid_t pids[2];

	for (i = 0; i < RESTLESS; i++)
		self->fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
	for (i = 0; i < 2; i++)
		pids[i] = subscribe_in_child(self, flags);
	for (i = 0; i < times; i++) {
		ASSERT_LE(0, subscribe_anew(self, flags));
		ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET,
				      METASTORE_FLUSH_SUBSCRIPTIONS, &arg));
		more += arg.subscriptions > RESTLESS;
	}
	finish(self->shared);
	EXPECT_EQ(0, more);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_LT(0, self->shared->rounds);
}

TEST_F(fanout, flush_of_restless_subscribers)
{
	flush_restless(_metadata, self, 0);
}

TEST_F(fanout, flush_of_restless_prefixes)
{
	flush_restless(_metadata, self, METASTORE_SUBSCRIBE_PREFIX);
}

/* One order for all of them, with publishers who do not wait for each other */
TEST_F(fanout, concurrent_publishers)
{
	int i, times = ms_times(200), wrong = 0;
	__u64 want = PUBLISHERS * times;
	pid_t pids[PUBLISHERS];
	struct ms_books books;
	__u64 last;

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", 0));
	for (i = 0; i < PUBLISHERS; i++)
		pids[i] = publish_in_child(self, "k", times, MANY);
	for (i = 0; i < PUBLISHERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(PUBLISHERS * times * MANY, self->shared->queues);
	last = ms_version(self->fd, "k");
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, drain_of(self, i, &books));
		wrong += books.received != want || books.disorder ||
			 books.last != last;
	}
	EXPECT_EQ(0, wrong);
}

/*
 * Whoever has seen a version of the key sees no older one afterwards: not a
 * GET while its fan-out goes on, not an event after that GET.
 */
TEST_F(fanout, order_with_get)
{
	int i, times = ms_times(300);
	pid_t pids[PUBLISHERS];
	struct ms_books books;
	__u64 before, after;

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", 0));
	ASSERT_LE(0, ms_publish(self->fd, "k", "value", NULL));
	for (i = 0; i < PUBLISHERS; i++)
		pids[i] = publish_in_child(self, "k", 0, MANY);
	for (i = 0; more_rounds(self, i, times); i++) {
		before = ms_version(self->fd, "k");
		ASSERT_EQ(0, drain_of(self, i % MANY, &books));
		after = ms_version(self->fd, "k");
		ASSERT_LE(before, after);
		/* What is in a queue is stored; disorder within is counted */
		ASSERT_LE(books.last, after);
		ASSERT_EQ(0, books.disorder);
	}
	finish(self->shared);
	for (i = 0; i < PUBLISHERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
}

/* Others come and go while two publish: those that stay get all of it */
TEST_F(fanout, come_and_go)
{
	int i, times = ms_times(300), wrong = 0, fds[100];
	__u64 want = PUBLISHERS * times;
	pid_t pids[PUBLISHERS + 2];
	struct ms_books books;

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", 0));
	for (i = 0; i < PUBLISHERS; i++)
		pids[i] = publish_in_child(self, "k", times, MANY);
	for (; i < PUBLISHERS + 2; i++) {
		pids[i] = ms_fork();
		if (pids[i])
			continue;
		while (!done(self->shared)) {
			if (ms_open_many(fds, 100, "k", 0))
				_exit(1);
			ms_close_many(fds, 100);
		}
		_exit(0);
	}
	for (i = 0; i < PUBLISHERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	finish(self->shared);
	for (; i < PUBLISHERS + 2; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(MANY, ms_subscribers(self->fd, "k"));
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, drain_of(self, i, &books));
		wrong += books.received != want || books.disorder;
	}
	EXPECT_EQ(0, wrong);
	ms_close_many(self->fds, MANY);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
}

/* Once UNSUBSCRIBE returned nothing is queued, whoever is in the middle of publishing */
TEST_F(fanout, unsubscribed_is_unsubscribed)
{
	int i, round, late = 0, got = 0, times = ms_times(300);
	pid_t pids[PUBLISHERS];
	struct ms_books books;

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", 0));
	for (i = 0; i < PUBLISHERS; i++)
		pids[i] = publish_in_child(self, "k", 0, 0);
	for (round = 0; more_rounds(self, round, times); round++) {
		i = round % MANY;
		ASSERT_EQ(0, ms_unsubscribe(self->fds[i], "k"));
		ASSERT_EQ(0, drain_of(self, i, &books));
		got += !!books.received;
		sched_yield();
		late += !ms_silent(self->fds[i]);
		ASSERT_EQ(0, ms_subscribe(self->fds[i], "k", 0, i));
	}
	finish(self->shared);
	for (i = 0; i < PUBLISHERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(0, late);
	EXPECT_LT(0, got);
	EXPECT_EQ(MANY, ms_subscribers(self->fd, "k"));
}

/* Nor does one that comes in the middle see what was published before it came */
TEST_F(fanout, new_ones_hear_the_new)
{
	int i, round, early = 0, times = ms_times(200), fd;
	pid_t pids[PUBLISHERS];
	const struct metastore_event *ev;
	__u64 before;

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", 0));
	for (i = 0; i < PUBLISHERS; i++)
		pids[i] = publish_in_child(self, "k", 0, MANY);
	for (round = 0; more_rounds(self, round, times); round++) {
		fd = ms_open(O_RDONLY | O_NONBLOCK);
		before = ms_version(self->fd, "k");
		ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
		ASSERT_EQ(POLLIN, ms_poll(fd, ms_limit(20000)));
		self->r.fd = fd;
		self->r.pos = 0;
		self->r.len = 0;
		/* Where we were not scheduled for long the queue may have overflowed. */
		do {
			ev = ms_next(&self->r);
			ASSERT_TRUE(!!ev);
		} while (ev->type == METASTORE_EVENT_LOST);
		early += ev->version <= before;
		close(fd);
	}
	finish(self->shared);
	for (i = 0; i < PUBLISHERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(0, early);
}

/* Two crowded keys and everything else at once; nobody waits for ever */
TEST_F(fanout, all_at_once)
{
	struct metastore_flush flush;
	struct metastore_info info;
	int i, n, times = ms_times(300), fds[80];
	pid_t pids[8];

	ASSERT_EQ(0, ms_open_many(self->fds, MANY, "k", EVENTS_ALL));
	for (i = 0; i < MANY; i++)
		ASSERT_EQ(0, ms_subscribe(self->fds[i], "l", EVENTS_ALL, i));
	pids[0] = publish_in_child(self, "k", times, 0);
	pids[1] = publish_in_child(self, "l", times, 0);
	for (i = 2; i < 6; i++) {
		pids[i] = ms_fork();
		if (pids[i])
			continue;
		for (n = 0; !done(self->shared); n++) {
			const char *key = (n + i) % 2 ? "k" : "l";

			switch (i) {
			case 2:
				if (ms_set(self->fd, key, "v", NULL))
					_exit(1);
				break;
			case 3:
				if (ms_delete(self->fd, key, NULL) == -EFAULT)
					_exit(2);
				break;
			case 4:
				if (ms_open_many(fds, 80, key, EVENTS_ALL))
					_exit(3);
				ms_close_many(fds, 80);
				break;
			case 5:
				if (ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET,
					     n % 8 ? 0 : METASTORE_FLUSH_SUBSCRIPTIONS, &flush))
					_exit(4);
				ms_sleep(SECOND / 100);
			}
		}
		_exit(0);
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	finish(self->shared);
	for (; i < 6; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	ms_close_many(self->fds, MANY);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "l"));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.subscriptions);
}

TEST_HARNESS_MAIN
