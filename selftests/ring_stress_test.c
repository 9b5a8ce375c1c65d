// SPDX-License-Identifier: GPL-2.0
/*
 * The mapped ring under load: publishers on other CPUs, overflow, readers that are killed, tails
 * that lie. Each byte of each value is checked, and the books are exact.
 */
#include "crew.h"
#include "ring.h"

#define PUBLISHERS	2
#define EVENTS		ms_size(20000, 1000000)
#define KILLS		ms_size(20, 500)

/* Of the test with many rings: how many there are, and the events that come by them */
#define RINGS		32
#define BY_RING		(RINGS * 2048 + ms_size(500000, 100000000))

/* Longer ones come by read() */
#define VALUE_MAX	420
#define VALUE_LARGE	1500

/* Bytes that a read() asks for */
#define READ_MAX	8192

/* Start of a value; the bytes behind it are derived from it */
struct stamp {
	__u64 number;
	__u32 writer;
	__u32 len;
};

/* A short value: each of its words is derived from its number */
struct wave {
	__u64 number;
	__u64 words[5];
};

/* Memory that the processes of a test share */
struct shared {
	__u64 got;		/* events that the reader claimed, or read */
	__u64 lost;		/* of which it was told */
	__u64 by_ring;
	__u64 next[PUBLISHERS];	/* least number that may come */
	__u64 gaps;		/* numbers that did not come */
	bool alone;		/* the reader: LOST comes ahead of what is behind a gap */
	bool waves;		/* values are waves, of one publisher */
	__u32 stop;		/* the reader ends once all is read */
	__u64 published[PUBLISHERS];
};

FIXTURE(stress)
{
	int fd;
	int reader;
	struct shared *shared;
	struct metastore_queue_info q;
};

FIXTURE_SETUP(stress)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	self->reader = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->reader);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_queue_set_len(self->reader, 64));
	ASSERT_EQ(0, ms_subscribe_prefix(self->reader, "", EVENTS_ALL, 1));
	self->shared = ms_shared(sizeof(*self->shared));
	ASSERT_TRUE(!!self->shared);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(stress)
{
	close(self->reader);
	close(self->fd);
}

static __u32 value_len(__u64 number, __u32 writer)
{
	__u32 draw = (number * 2654435761U + writer) >> 7;

	return draw % 64 ? sizeof(struct stamp) + draw % (VALUE_MAX - sizeof(struct stamp)) :
			   VALUE_LARGE;
}

static __u8 value_byte(const struct stamp *stamp, __u32 i)
{
	return stamp->number * 7 + stamp->writer * 13 + i;
}

static void publish_some(int fd, __u32 writer, __u64 from, __u64 nr)
{
	struct stamp stamp = { .writer = writer };
	__u8 value[VALUE_LARGE];
	char key[8];
	__u32 i;

	snprintf(key, sizeof(key), "key%u", writer);
	for (stamp.number = from; stamp.number < from + nr; stamp.number++) {
		stamp.len = value_len(stamp.number, writer);
		memcpy(value, &stamp, sizeof(stamp));
		for (i = sizeof(stamp); i < stamp.len; i++)
			value[i] = value_byte(&stamp, i);
		CHECK(ms_publishn(fd, key, strlen(key), value, stamp.len, NULL) >= 0);
		/* Now and then let the reader keep up */
		if (stamp.number % 2048 < 1024 && stamp.number % 16 == 0)
			usleep(200);
	}
}

static void check_wave(struct shared *shared, const struct metastore_event *event)
{
	struct wave wave;
	__u32 i;

	CHECK(event->value_len == sizeof(wave));
	memcpy(&wave, ms_event_value(event), sizeof(wave));
	for (i = 0; i < ARRAY_SIZE(wave.words); i++)
		CHECK(wave.words[i] == wave.number * (i + 3));
	/* Nothing comes twice, and what is lost is told ahead of what follows it. */
	CHECK(wave.number == shared->got + shared->lost);
	shared->got++;
}

/* Check a record, and note the numbers that are missing ahead of it. */
static void check_event(struct shared *shared, const struct metastore_event *event)
{
	const __u8 *value = (const __u8 *)ms_event_value(event);
	struct stamp stamp;
	__u32 i;

	if (event->type == METASTORE_EVENT_LOST) {
		shared->lost += event->count;
		return;
	}
	CHECK(event->type == METASTORE_EVENT_PUBLISHED);
	if (shared->waves) {
		check_wave(shared, event);
		return;
	}
	CHECK(event->value_len >= sizeof(stamp));
	memcpy(&stamp, value, sizeof(stamp));
	CHECK(stamp.writer < PUBLISHERS && stamp.len == event->value_len);
	CHECK(stamp.len == value_len(stamp.number, stamp.writer));
	for (i = sizeof(stamp); i < stamp.len; i++)
		CHECK(value[i] == value_byte(&stamp, i));
	CHECK(stamp.number >= shared->next[stamp.writer]);
	shared->gaps += stamp.number - shared->next[stamp.writer];
	CHECK(!shared->alone || shared->gaps <= shared->lost);
	shared->next[stamp.writer] = stamp.number + 1;
	shared->got++;
}

/* Read by read() once. Returns whether there was something. */
static bool read_some(int fd, struct shared *shared)
{
	char buffer[READ_MAX];
	const struct metastore_event *event;
	ssize_t len = ms_read(fd, buffer, sizeof(buffer)), at;

	CHECK(len > 0 || len == -EAGAIN);
	for (at = 0; at < len; at += event->len) {
		event = (const void *)(buffer + at);
		CHECK(ms_event_valid(event, len - at));
		check_event(shared, event);
	}
	return len > 0;
}

/* Read by the ring, until it is empty or read() has something. */
static long take_some(const struct ring *ring, struct shared *shared)
{
	char buffer[4096];
	long len;

	while ((len = ring_take(ring, buffer, sizeof(buffer))) > 0) {
		CHECK(ms_event_valid((const void *)buffer, len));
		check_event(shared, (const void *)buffer);
		shared->by_ring++;
	}
	return len;
}

static void read_until_stop(int fd, const struct ring *ring, struct shared *shared)
{
	for (;;) {
		bool stop = __atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE);
		long len = take_some(ring, shared);

		if (len == RING_READ)
			read_some(fd, shared);
		else if (!stop)
			ms_poll(fd, 1);
		else if (!ms_poll(fd, 0))
			return;
	}
}

#define EXPECT_BALANCE() \
	do { \
		ASSERT_EQ(0, ms_queue(self->reader, &self->q)); \
		EXPECT_EQ(self->q.matched, self->q.delivered + self->q.conflated + \
			  self->q.lost + self->q.discarded + self->q.pending); \
	} while (0)

/* A reader that is too slow at times: what it got and what it was told of is all */
TEST_F(stress, exact)
{
	const __u64 events = EVENTS;
	int i;

	self->shared->alone = true;
	for (i = 0; i < PUBLISHERS; i++) {
		if (crew_child()) {
			publish_some(self->fd, i, 0, events);
			_exit(0);
		}
	}
	if (crew_child()) {
		struct ring ring = {};

		CHECK(!ring_map(&ring, self->reader, 4 * ring_page()));
		read_until_stop(self->reader, &ring, self->shared);
		CHECK(!ring.producer->refused);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, PUBLISHERS));
	__atomic_store_n(&self->shared->stop, 1, __ATOMIC_RELEASE);
	EXPECT_TRUE(crew_join(PUBLISHERS, PUBLISHERS + 1));
	ASSERT_STREQ("", crew.board->error);
	EXPECT_BALANCE();
	EXPECT_EQ(PUBLISHERS * events, self->q.matched);
	EXPECT_EQ(0, self->q.pending);
	EXPECT_EQ(self->shared->got, self->q.delivered);
	EXPECT_EQ(self->shared->lost, self->q.lost);
	/* None at the end is in a gap */
	EXPECT_LE(self->shared->gaps, self->shared->lost);
	EXPECT_LT(0, self->shared->by_ring);
	/* Both ways, and an overflow */
	EXPECT_LT(self->shared->by_ring, self->shared->got);
	EXPECT_LT(0, self->shared->lost);
	TH_LOG("%llu by the ring, %llu by read(), %llu lost", self->shared->by_ring,
	       self->shared->got - self->shared->by_ring, self->shared->lost);
}

/*
 * A queue of two, always full, and a reader that does nothing but claim: the kernel drops the very
 * record that is being claimed. Only one of them may get it.
 */
TEST_F(stress, contended)
{
	const __u64 events = 5 * EVENTS;
	__u64 i;

	ASSERT_EQ(0, ms_queue_set_len(self->reader, 2));
	if (crew_child()) {
		for (i = 0; i < events; i++)
			CHECK(ms_publishn(self->fd, "key", 3, "value", 5, NULL) == 1);
		_exit(0);
	}
	if (crew_child()) {
		struct ring ring = {};
		__u64 tail, head;
		size_t len;

		CHECK(!ring_map(&ring, self->reader, ring_page()));
		while (!crew_done()) {
			tail = ring_tail(&ring);
			head = ring_head(&ring);
			len = tail == head ? 0 : ring_len(&ring, tail, head);
			if (len && ring_claim(&ring, tail, tail + len))
				self->shared->got++;
		}
		CHECK(!ring.producer->refused);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 1));
	crew_finish();
	EXPECT_TRUE(crew_join(1, 2));
	ASSERT_STREQ("", crew.board->error);
	EXPECT_BALANCE();
	EXPECT_EQ(self->shared->got, self->q.delivered);
	EXPECT_LT(0, self->q.lost);
}

/* Two readers of one ring, and one by read(): each event goes to one of them */
TEST_F(stress, shared)
{
	struct shared *each[3];
	const __u64 events = EVENTS;
	struct ring ring = {};
	__u64 got = 0, lost = 0;
	int i;

	ASSERT_EQ(0, ring_map(&ring, self->reader, 4 * ring_page()));
	for (i = 0; i < 3; i++)
		each[i] = ms_shared(sizeof(*each[i]));
	for (i = 0; i < PUBLISHERS; i++) {
		if (crew_child()) {
			publish_some(self->fd, i, 0, events);
			_exit(0);
		}
	}
	for (i = 0; i < 3; i++) {
		if (crew_child()) {
			bool stop;

			do {
				stop = __atomic_load_n(&self->shared->stop, __ATOMIC_ACQUIRE);
				if (i == 2 || take_some(&ring, each[i]) == RING_READ)
					read_some(self->reader, each[i]);
				else
					sched_yield();
			} while (!stop || ms_poll(self->reader, 0));
			_exit(0);
		}
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, PUBLISHERS));
	__atomic_store_n(&self->shared->stop, 1, __ATOMIC_RELEASE);
	EXPECT_TRUE(crew_join(PUBLISHERS, PUBLISHERS + 3));
	ASSERT_STREQ("", crew.board->error);
	for (i = 0; i < 3; i++) {
		got += each[i]->got;
		lost += each[i]->lost;
	}
	EXPECT_BALANCE();
	EXPECT_EQ(PUBLISHERS * events, self->q.matched);
	EXPECT_EQ(got, self->q.delivered);
	EXPECT_EQ(lost, self->q.lost);
	EXPECT_EQ(0, self->q.pending);
	ring_unmap(&ring);
}

/* kill -9 of the reader: what it claimed was delivered, the rest waits for the next one */
TEST_F(stress, killed)
{
	const int kills = KILLS;
	__u64 published = 0;
	int i, n;

	for (n = 0; n < PUBLISHERS; n++) {
		if (crew_child()) {
			__u64 number;

			for (number = 0; !crew_done(); number += 100)
				publish_some(self->fd, n, number, 100);
			self->shared->published[n] = number;
			_exit(0);
		}
	}
	crew_start();
	/* On a busy machine each may end before it got anything: the further ones have longer. */
	for (i = 0; i < kills || !self->shared->got; i++) {
		pid_t pid = ms_fork();
		struct ring ring = {};

		if (!pid) {
			struct shared *shared = self->shared;

			CHECK(!ring_map(&ring, self->reader, 4 * ring_page()));
			for (;;) {
				if (take_some(&ring, shared) == RING_READ)
					read_some(self->reader, shared);
				ms_poll(self->reader, 1);
			}
		}
		usleep(1000 * (1 + i % 10 + i / kills * 10));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	crew_finish();
	EXPECT_TRUE(crew_join(0, PUBLISHERS));
	ASSERT_STREQ("", crew.board->error);
	EXPECT_BALANCE();
	for (n = 0; n < PUBLISHERS; n++)
		published += self->shared->published[n];
	EXPECT_EQ(published, self->q.matched);
	EXPECT_EQ(self->q.pending, self->q.len);
	/* Killed ahead of its count: of the record it claimed, or all that read() gave it */
	EXPECT_LE(self->shared->got, self->q.delivered);
	EXPECT_GE(self->shared->got + READ_MAX / sizeof(struct metastore_event) * i,
		  self->q.delivered);
}

/* Tails at random, while others publish, and read the same file: the books hold */
TEST_F(stress, hostile)
{
	const __u64 events = EVENTS;
	int other = ms_open(O_RDWR | O_NONBLOCK), i;
	struct shared *shared = ms_shared(sizeof(*shared));
	struct metastore_queue_info q;

	ASSERT_EQ(0, ms_queue_set_len(other, 64));
	ASSERT_EQ(0, ms_subscribe_prefix(other, "", EVENTS_ALL, 1));
	for (i = 0; i < PUBLISHERS; i++) {
		if (crew_child()) {
			publish_some(self->fd, i, 0, events);
			_exit(0);
		}
	}
	if (crew_child()) {
		struct ring ring = {};

		CHECK(!ring_map(&ring, other, ring_page()));
		while (!crew_done()) {
			__u64 head = ring_head(&ring), draw = rand();

			__atomic_store_n(&ring.consumer->tail,
					 draw & 1 ? head - draw % 8192 : draw & 2 ? head :
					 draw & 4 ? draw << 40 | draw : head + draw % 8192,
					 __ATOMIC_RELAXED);
			if (draw % 64 == 0)
				ms_poll(other, 0);
			if (draw % 256 == 0) {
				ring_unmap(&ring);
				CHECK(!ring_map(&ring, other, ring_page()));
			}
		}
		_exit(0);
	}
	if (crew_child()) {
		char buffer[4096];

		while (!crew_done())
			if (ms_read(other, buffer, sizeof(buffer)) == -EAGAIN)
				sched_yield();
		_exit(0);
	}
	if (crew_child()) {
		struct ring ring = {};

		CHECK(!ring_map(&ring, self->reader, 4 * ring_page()));
		read_until_stop(self->reader, &ring, shared);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, PUBLISHERS));
	crew_finish();
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	EXPECT_TRUE(crew_join(PUBLISHERS, PUBLISHERS + 3));
	ASSERT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_queue(other, &q));
	EXPECT_EQ(PUBLISHERS * events, q.matched);
	EXPECT_EQ(q.matched, q.delivered + q.lost + q.pending);
	EXPECT_EQ(q.pending, q.len);
	/* The neighbour's are exact */
	EXPECT_BALANCE();
	EXPECT_EQ(PUBLISHERS * events, self->q.matched);
	EXPECT_EQ(shared->got, self->q.delivered);
	EXPECT_EQ(shared->lost, self->q.lost);
	close(other);
}

/* 224 of 1,024 events come at once, and at every second of these times nobody reads. */
static bool comes_at_once(__u64 number)
{
	return number % 1024 >= 800;
}

static bool is_left(__u64 number)
{
	return comes_at_once(number) && number & 1024;
}

/* Publish until the reader has had enough. */
static void publish_waves(int fd, struct shared *shared, const struct shared *last)
{
	struct wave wave = {};
	__u32 i;

	while (!__atomic_load_n(&shared->stop, __ATOMIC_RELAXED) && !crew.board->error[0]) {
		if (!comes_at_once(wave.number) &&
		    __atomic_load_n(&last->got, __ATOMIC_RELAXED) +
		    __atomic_load_n(&last->lost, __ATOMIC_RELAXED) + 32 < wave.number) {
			sched_yield();
			continue;
		}
		for (i = 0; i < ARRAY_SIZE(wave.words); i++)
			wave.words[i] = wave.number * (i + 3);
		CHECK(ms_publishn(fd, "wave", 4, &wave, sizeof(wave), NULL) == RINGS);
		wave.number++;
		__atomic_store_n(&shared->published[0], wave.number, __ATOMIC_RELAXED);
	}
}

/* Read all rings in turn, until there were enough events, and then to the end. */
static void read_waves(const int *fds, struct shared *shared, struct shared **each)
{
	struct ring rings[RINGS] = {};
	__u64 by_ring = 0;
	bool done, some;
	int i;

	for (i = 0; i < RINGS; i++)
		CHECK(!ring_map(&rings[i], fds[i], 4 * ring_page()));
	do {
		done = crew_done();
		some = false;
		if (!done && by_ring < BY_RING &&
		    is_left(__atomic_load_n(&shared->published[0], __ATOMIC_RELAXED))) {
			sched_yield();
			continue;
		}
		by_ring = 0;
		for (i = 0; i < RINGS; i++) {
			if (take_some(&rings[i], each[i]) == RING_READ)
				some |= read_some(fds[i], each[i]);
			by_ring += each[i]->by_ring;
		}
		if (by_ring >= BY_RING)
			__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	} while (!done || some);
}

/* Many events by rings that overflow at times. FULL=1: a hundred million */
TEST_F_TIMEOUT(stress, many, 120)
{
	__u64 by_ring = 0, got = 0, lost = 0, published;
	struct shared *each[RINGS];
	int fds[RINGS], i;

	for (i = 0; i < RINGS; i++) {
		fds[i] = i ? ms_open(O_RDWR | O_NONBLOCK) : self->reader;
		ASSERT_LE(0, fds[i]);
		if (i) {
			ASSERT_EQ(0, ms_queue_set_len(fds[i], 64));
			ASSERT_EQ(0, ms_subscribe(fds[i], "wave", 0, 1));
		}
		each[i] = ms_shared(sizeof(*each[i]));
		ASSERT_TRUE(!!each[i]);
		each[i]->waves = true;
	}
	if (crew_child()) {
		publish_waves(self->fd, self->shared, each[RINGS - 1]);
		_exit(0);
	}
	if (crew_child()) {
		read_waves(fds, self->shared, each);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 1));
	crew_finish();
	EXPECT_TRUE(crew_join(1, 2));
	ASSERT_STREQ("", crew.board->error);
	published = self->shared->published[0];
	for (i = 0; i < RINGS; i++) {
		ASSERT_EQ(0, ms_queue(fds[i], &self->q));
		EXPECT_EQ(published, self->q.matched);
		EXPECT_EQ(each[i]->got, self->q.delivered);
		EXPECT_EQ(each[i]->lost, self->q.lost);
		EXPECT_EQ(published, each[i]->got + each[i]->lost);
		by_ring += each[i]->by_ring;
		got += each[i]->got;
		lost += each[i]->lost;
		if (i)
			close(fds[i]);
	}
	EXPECT_LE(BY_RING, by_ring);
	EXPECT_LT(0, lost);
	TH_LOG("%llu by rings, %llu by read(), %llu lost", by_ring, got - by_ring, lost);
}

TEST_HARNESS_MAIN
