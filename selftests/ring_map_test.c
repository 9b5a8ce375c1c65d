// SPDX-License-Identifier: GPL-2.0
/*
 * The mapped ring: what a program reads without a system call, what it may write, and that
 * the books are exact whatever it does.
 */
#include "crew.h"
#include "ring.h"

#define SIZE		(64 * 1024)
#define PREFIX		METASTORE_SUBSCRIBE_PREFIX

/* A record of the ring, or what read() returns */
union record {
	struct metastore_event event;
	char bytes[4096];
};

FIXTURE(mapped)
{
	int fd;			/* that is mapped */
	int writer;
	struct ring ring;
	struct ms_reader r;
	struct metastore_queue_info q;
	struct metastore_subscription_info s;
	union record record;
};

FIXTURE_SETUP(mapped)
{
	self->writer = ms_open(O_RDWR | O_NONBLOCK);
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->writer);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->writer));
	ASSERT_EQ(0, ms_subscribe(self->fd, "key", EVENTS_ALL, 7));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(mapped)
{
	ring_unmap(&self->ring);
	free(self->r.buf);
	close(self->fd);
	close(self->writer);
}

#define EXPECT_TAKE(...) \
	do { \
		struct ms_want want_ = { __VA_ARGS__ }; \
		long len_ = ring_take(&self->ring, &self->record, sizeof(self->record)); \
		ASSERT_LT(0, len_); \
		ASSERT_TRUE(ms_event_valid(&self->record.event, len_)); \
		EXPECT_TRUE(ms_event_is(&self->record.event, &want_)); \
	} while (0)

#define EXPECT_EMPTY() \
	EXPECT_EQ(0, ring_take(&self->ring, &self->record, sizeof(self->record)))

#define EXPECT_READ() \
	EXPECT_EQ(RING_READ, ring_take(&self->ring, &self->record, sizeof(self->record)))

#define EXPECT_QUEUE(matched_, delivered_, lost_, discarded_, pending_) \
	do { \
		ASSERT_EQ(0, ms_queue(self->fd, &self->q)); \
		EXPECT_EQ(matched_, self->q.matched); \
		EXPECT_EQ(delivered_, self->q.delivered); \
		EXPECT_EQ(lost_, self->q.lost); \
		EXPECT_EQ(discarded_, self->q.discarded); \
		EXPECT_EQ(pending_, self->q.pending); \
		EXPECT_EQ(self->q.pending, self->q.len); \
	} while (0)

static void set_tail(struct ring *ring, __u64 tail)
{
	__atomic_store_n(&ring->consumer->tail, tail, __ATOMIC_SEQ_CST);
}

TEST_F(mapped, layout)
{
	struct metastore_info info;
	__u64 version;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_TRUE(info.features & METASTORE_FEATURE_MAP_RING);
	EXPECT_EQ(0, self->ring.producer->head);
	EXPECT_EQ(0, self->ring.producer->refused);
	EXPECT_EQ(SIZE, self->ring.producer->size);
	EXPECT_EQ(0, self->ring.producer->attention);
	EXPECT_EQ(0, self->ring.producer->flags);
	EXPECT_EQ(0, self->ring.consumer->tail);
	EXPECT_EMPTY();

	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	EXPECT_EQ(sizeof(struct metastore_event) + 8, ring_head(&self->ring));
	/* Its header is the one that read() would have given */
	EXPECT_EQ(getpid(), ring_at(&self->ring, 0)->tgid);
	EXPECT_EQ(geteuid(), ring_at(&self->ring, 0)->uid);
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	EXPECT_EMPTY();
	EXPECT_EQ(ring_head(&self->ring), ring_tail(&self->ring));
	ASSERT_EQ(0, ms_delete(self->writer, "key", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_DELETED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	EXPECT_QUEUE(2, 2, 0, 0, 0);
}

/* The same bytes that read() gives to another file */
TEST_F(mapped, as_read)
{
	int fd = ms_open(O_RDONLY | O_NONBLOCK), len;
	static char value[500];
	char plain[4096];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_subscribe(fd, "key", EVENTS_ALL, 7));
	for (len = 0; len < 420; len++) {
		memset(value, len, len);
		ASSERT_EQ(2, ms_publishn(self->writer, "key", 3, value, len, NULL));
		ASSERT_LT(0, read(fd, plain, sizeof(plain)));
		ASSERT_EQ(((struct metastore_event *)plain)->len,
			  ring_take(&self->ring, &self->record, sizeof(self->record)));
		ASSERT_EQ(0, memcmp(plain, &self->record, self->record.event.len));
	}
	/* Once round the ring, and more */
	EXPECT_LT(SIZE, ring_head(&self->ring));
	close(fd);
}

/* Without the value */
TEST_F(mapped, no_value)
{
	__u64 version;

	ASSERT_EQ(0, ms_subscribe_as(self->fd, "", .events = EVENTS_ALL, .cookie = 1,
				     .flags = PREFIX | METASTORE_SUBSCRIBE_NO_VALUE));
	ASSERT_EQ(0, ms_set(self->writer, "other", "value", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_SET, .cookie = 1, .version = version, .key = "other",
		    .flags = METASTORE_EVENT_F_NO_VALUE);
}

TEST_F(mapped, errors)
{
	size_t page = ring_page();
	struct ring again = {};
	int fd, ro;

	EXPECT_EQ(-EBUSY, ring_map_records(&again, self->fd, SIZE));
	EXPECT_EQ(-EBUSY, ring_map_consumer(&again, self->fd));

	fd = ms_open(O_RDWR | O_NONBLOCK);
	ro = ms_open(O_RDONLY | O_NONBLOCK);
	EXPECT_EQ(-ENXIO, ring_map_consumer(&again, fd));
	EXPECT_EQ(-EINVAL, ring_map_records(&again, fd, 3 * page));
	EXPECT_EQ(-EINVAL, ring_map_records(&again, fd, 0));
	EXPECT_EQ(-EINVAL, ring_map_records(&again, fd, 2 * METASTORE_RING_MAX));
	EXPECT_EQ(-EACCES, ring_map_records(&again, ro, SIZE));
#define EXPECT_MMAP(error, length, prot, flags, offset) \
	do { \
		ASSERT_EQ(MAP_FAILED, mmap(NULL, length, prot, flags, fd, offset)); \
		EXPECT_EQ(error, errno); \
	} while (0)
	EXPECT_MMAP(EACCES, ring_length(SIZE), PROT_READ | PROT_WRITE, MAP_SHARED, page);
	EXPECT_MMAP(EPERM, ring_length(SIZE), PROT_READ | PROT_EXEC, MAP_SHARED, page);
	EXPECT_MMAP(EINVAL, ring_length(SIZE), PROT_READ, MAP_PRIVATE, page);
	EXPECT_MMAP(EINVAL, ring_length(SIZE) + page, PROT_READ, MAP_SHARED, page);
	EXPECT_MMAP(EINVAL, ring_length(SIZE), PROT_READ, MAP_SHARED, 2 * page);
	ASSERT_EQ(0, ring_map_records(&again, fd, SIZE));
	EXPECT_MMAP(EINVAL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	/* Neither may be changed to what it must not be */
	EXPECT_EQ(-1, mprotect((void *)again.producer, page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect((void *)again.producer, page, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	ring_unmap_records(&again);
	close(fd);
	close(ro);

	/* The queue stays as it is */
	EXPECT_EQ(-EBUSY, ms_queue_set_len(self->fd, 10));
	EXPECT_EQ(-EBUSY, ms_queue_set_bytes(self->fd, 1 << 20));
	EXPECT_EQ(-EBUSY, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
}

/* Not by the way of debuggers either, which write to memory that is read-only */
TEST_F(mapped, read_only)
{
	int mem = open("/proc/self/mem", O_RDWR);
	__u64 head = 12345;

	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, &head, sizeof(head), (uintptr_t)self->ring.producer));
	EXPECT_EQ(-1, pwrite(mem, &head, sizeof(head), (uintptr_t)self->ring.records));
	EXPECT_EQ(0, ring_head(&self->ring));
	close(mem);
}

/* Its events would have uids and processes that it must not see, or does not know */
TEST_F(mapped, namespace)
{
	int fd = ms_open(O_RDWR);
	struct ring ring = {};
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWUSER))
			_exit(1);
		_exit(ring_map_records(&ring, fd, SIZE) != -EOPNOTSUPP);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(fd);
}

TEST_F(mapped, poll)
{
	ASSERT_EQ(0, ms_poll(self->fd, 0));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	EXPECT_EQ(sizeof(struct metastore_event) + 8, ms_pending(self->fd));
	EXPECT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	EXPECT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_EQ(0, ms_poll(self->fd, 0));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* read() returns what the ring has and was not claimed, and all is in order */
TEST_F(mapped, read_beside)
{
	static char large[2000];
	__u64 v[8];
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "small", &v[i]));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = v[0], .key = "key",
		    .value = "small");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = v[1],
		     .key = "key", .value = "small");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = v[2],
		     .key = "key", .value = "small");
	EXPECT_EMPTY();

	/* A large one does not go there, nor what is behind it */
	ASSERT_EQ(1, ms_publish(self->writer, "key", "before", &v[3]));
	ASSERT_EQ(1, ms_publishn(self->writer, "key", 3, large, sizeof(large), &v[4]));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "behind", &v[5]));
	EXPECT_READ();
	EXPECT_EQ(1, ring_claim(&self->ring, ring_tail(&self->ring), ring_head(&self->ring)));
	EXPECT_EQ(v[4], ms_next(&self->r)->version);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = v[5],
		     .key = "key", .value = "behind");
	EXPECT_EMPTY();
	ASSERT_EQ(1, ms_publish(self->writer, "key", "again", &v[6]));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = v[6], .key = "key",
		    .value = "again");
	EXPECT_QUEUE(7, 7, 0, 0, 0);
}

/* A ring smaller than the queue loses nothing */
TEST_F(mapped, full)
{
	struct ms_books books = {};
	long taken = 0, len;
	int i;

	ring_unmap(&self->ring);
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, ring_page()));
	for (i = 0; i < 500; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	EXPECT_READ();
	EXPECT_EQ(ring_page() / (sizeof(struct metastore_event) + 8) *
		  (sizeof(struct metastore_event) + 8), ring_head(&self->ring));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(500, books.received);
	EXPECT_EQ(0, books.disorder);
	EXPECT_EQ(0, books.lost);
	for (i = 0; i < 50; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	while ((len = ring_take(&self->ring, &self->record, sizeof(self->record))) > 0)
		taken++;
	EXPECT_EQ(0, len);
	EXPECT_EQ(50, taken);
	EXPECT_QUEUE(550, 550, 0, 0, 0);
}

/* An overflow drops the oldest; LOST comes first */
TEST_F(mapped, overflow)
{
	__u64 first, last, tail;
	int i;

	ring_unmap(&self->ring);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 4));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	tail = ring_tail(&self->ring);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	EXPECT_EQ(0, ring_attention(&self->ring));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &last));
	/* A reader that was copying the first one cannot claim it any more */
	EXPECT_EQ(0, ring_claim(&self->ring, tail, tail + sizeof(struct metastore_event) + 8));
	EXPECT_READ();
	EXPECT_QUEUE(6, 0, 2, 0, 4);
	/* No more than LOST has room */
	ASSERT_EQ(sizeof(struct metastore_event),
		  read(self->fd, &self->record, sizeof(struct metastore_event)));
	EXPECT_EQ(METASTORE_EVENT_LOST, self->record.event.type);
	EXPECT_EQ(2, self->record.event.count);
	first = ring_at(&self->ring, ring_tail(&self->ring))->version;
	EXPECT_GT(last, first);
	for (i = 0; i < 4; i++)
		ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_EQ(last, self->record.event.version);
	EXPECT_EMPTY();
	EXPECT_QUEUE(6, 4, 2, 0, 0);
	EXPECT_EQ(0, self->ring.producer->refused);

	/* Events that were passed make room: nothing is lost */
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &last));
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &last));
		ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
		ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	}
	EXPECT_QUEUE(206, 204, 2, 0, 0);
}

/* Snapshots, latest events, FLUSHED and ends of owners come by read() */
TEST_F(mapped, attention)
{
	struct metastore_flush flush;
	struct ms_books books = {};
	__u64 version;
	int owner;

	ASSERT_EQ(0, ms_set(self->writer, "old", "value", &version));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "old", .events = EVENTS_ALL, .cookie = 1,
				     .flags = METASTORE_SUBSCRIBE_SNAPSHOT));
	EXPECT_READ();
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 1, .version = version,
		     .key = "old", .value = "value");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 1);
	EXPECT_EMPTY();
	ASSERT_EQ(0, ms_set(self->writer, "old", "new", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_SET, .cookie = 1, .version = version, .key = "old",
		    .value = "new");

	ASSERT_EQ(0, ms_subscribe_as(self->fd, "latest", .events = EVENTS_ALL, .cookie = 2,
				     .flags = METASTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "lat", .events = EVENTS_ALL, .cookie = 3,
				     .flags = METASTORE_SUBSCRIBE_LATEST | PREFIX));
	ASSERT_EQ(0, ms_set(self->writer, "latest", "old", NULL));
	EXPECT_READ();
	ASSERT_EQ(0, ms_set(self->writer, "latest", "new", &version));
	EXPECT_READ();
	EXPECT_EQ(version, ms_next(&self->r)->version);
	EXPECT_EQ(version, ms_next(&self->r)->version);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EMPTY();

	owner = ms_open(O_RDWR);
	ASSERT_EQ(0, ms_own(owner, "key", "mine", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_SET, .cookie = 7, .version = version, .key = "key",
		    .value = "mine");
	close(owner);
	EXPECT_READ();
	EXPECT_EQ(METASTORE_EVENT_DELETED, ms_event_type(ms_next(&self->r)));
	EXPECT_EMPTY();

	ASSERT_EQ(0, ms_flush(self->writer, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	ms_drain(&self->r, &books);
	ASSERT_EQ(0, ms_set(self->writer, "key", "last", &version));
	ASSERT_EQ(0, ms_flush(self->writer, "k", METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_READ();
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 7, .version = version,
		     .key = "key", .value = "last");
	EXPECT_EQ(METASTORE_EVENT_DELETED, ms_event_type(ms_next(&self->r)));
	EXPECT_EQ(METASTORE_EVENT_FLUSHED, ms_event_type(ms_next(&self->r)));
	EXPECT_EMPTY();
	ASSERT_EQ(0, ms_queue(self->fd, &self->q));
	EXPECT_EQ(0, self->q.pending);
	EXPECT_EQ(self->q.matched, self->q.delivered + self->q.conflated);
}

/* Discarded events are not in the ring any more */
TEST_F(mapped, discard)
{
	struct metastore_unsubscribe arg = {
		.key = ms_ptr("key"), .key_len = 3, .flags = METASTORE_SUBSCRIBE_DISCARD,
	};
	__u64 version, other;
	int i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "other", EVENTS_ALL, 8));
	for (i = 0; i < 5; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	ASSERT_EQ(1, ms_publish(self->writer, "other", "value", &other));
	ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "key", .flags = METASTORE_SUBSCRIBE_RESYNC));
	EXPECT_READ();
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 8, .version = other,
		     .key = "other", .value = "value");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT, .cookie = 7, .version = version,
		     .key = "key", .value = "value");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SNAPSHOT_END, .cookie = 7);
	EXPECT_QUEUE(7, 3, 0, 4, 0);
	EXPECT_EMPTY();

	ASSERT_EQ(1, ms_publish(self->writer, "other", "first", &other));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_UNSUBSCRIBE, &arg));
	/* The one ahead is shown again */
	EXPECT_READ();
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 8, .version = other,
		     .key = "other", .value = "first");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EMPTY();
	EXPECT_QUEUE(9, 4, 0, 5, 0);
	EXPECT_EQ(0, self->ring.producer->refused);
}

/* An atomic batch: one right behind the other, all but the last with MORE */
TEST_F(mapped, group)
{
	struct metastore_op ops[] = {
		ms_op_set("key", "1"), ms_op_set("ka", "2"), ms_op_set("kb", "3"),
	};
	int i;

	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "k", EVENTS_ALL, 8));
	ASSERT_EQ(0, ms_batch(self->writer, ops, 3, METASTORE_BATCH_ATOMIC, NULL));
	for (i = 0; i < 4; i++) {
		ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
		EXPECT_EQ(i < 3 ? METASTORE_EVENT_F_MORE : 0, self->record.event.flags);
	}
	EXPECT_EMPTY();
	EXPECT_QUEUE(4, 4, 0, 0, 0);
}

#define RECORD	(sizeof(struct metastore_event) + 8)

TEST_F(mapped, bad_tails)
{
	static const __s64 bad[] = { 8, RECORD - 8, RECORD + 1, 4 * RECORD + 8, 8 * RECORD, -1 };
	unsigned int i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		set_tail(&self->ring, bad[i]);
		EXPECT_QUEUE(4, 0, 0, 0, 4);
		EXPECT_EQ(i + 1, self->ring.producer->refused);
	}
	/* Seen twice, counted once */
	EXPECT_QUEUE(4, 0, 0, 0, 4);
	EXPECT_EQ(i, self->ring.producer->refused);
	/* A good one */
	set_tail(&self->ring, 2 * RECORD);
	EXPECT_QUEUE(4, 2, 0, 0, 2);
	/* Backwards, to the end of a record */
	set_tail(&self->ring, RECORD);
	EXPECT_QUEUE(4, 2, 0, 0, 2);
	EXPECT_EQ(i + 1, self->ring.producer->refused);
	set_tail(&self->ring, 0);
	EXPECT_QUEUE(4, 2, 0, 0, 2);
	EXPECT_EQ(i + 2, self->ring.producer->refused);
	/* read() still gives what there is, and sets it right */
	ASSERT_EQ(2 * RECORD, read(self->fd, &self->record, sizeof(self->record)));
	EXPECT_EQ(4 * RECORD, ring_tail(&self->ring));
	EXPECT_EMPTY();
	EXPECT_QUEUE(4, 4, 0, 0, 0);
}

/* As many events as there are, whatever the tail says */
TEST_F(mapped, hostile)
{
	struct ms_books books = {};
	struct ring other = {};
	int fd = ms_open(O_RDWR | O_NONBLOCK), i;
	const int times = ms_times(20000);
	unsigned int seed = 1;
	__u64 taken = 0;
	long len;

	ASSERT_EQ(0, ms_subscribe(fd, "key", EVENTS_ALL, 7));
	ASSERT_EQ(0, ms_queue_set_len(fd, 32));
	ASSERT_EQ(0, ring_map(&other, fd, ring_page()));
	for (i = 0; i < times; i++) {
		static char value[600];
		__u64 head = ring_head(&other);

		ASSERT_EQ(2, ms_publishn(self->writer, "key", 3, value, rand_r(&seed) % 600, NULL));
		switch (rand_r(&seed) % 8) {
		case 0:
			set_tail(&other, head - rand_r(&seed) % 4096);
			break;
		case 1:
			set_tail(&other, head + rand_r(&seed) % 4096);
			break;
		case 2:
			set_tail(&other, (__u64)rand_r(&seed) << 33 | rand_r(&seed));
			break;
		case 3:
			set_tail(&other, head);
			break;
		case 4:
			read(fd, &self->record, rand_r(&seed) % sizeof(self->record));
			break;
		case 5:
			ms_poll(fd, 0);
			break;
		}
		/* The neighbour gets all */
		while ((len = ring_take(&self->ring, &self->record, sizeof(self->record))) > 0)
			taken++;
		if (len == RING_READ)
			ASSERT_EQ(0, ms_drain(&self->r, &books));
	}
	EXPECT_EQ(times, taken + books.received);
	EXPECT_EQ(0, books.lost);
	EXPECT_LT(0, other.producer->refused);
	ASSERT_EQ(0, ms_queue(fd, &self->q));
	EXPECT_EQ(times, self->q.matched);
	EXPECT_EQ(self->q.matched, self->q.delivered + self->q.lost + self->q.pending);
	ring_unmap(&other);
	ASSERT_EQ(0, ms_queue(fd, &self->q));
	EXPECT_EQ(self->q.matched, self->q.delivered + self->q.lost + self->q.pending);
	EXPECT_EQ(self->q.pending, self->q.len);
	close(fd);
}

/* Claimed events are delivered, the rest is there for the next one */
TEST_F(mapped, map_anew)
{
	__u64 version;
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	ring_unmap(&self->ring);
	EXPECT_QUEUE(3, 1, 0, 0, 2);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 100));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, 2 * SIZE));
	EXPECT_EQ(0, ring_tail(&self->ring));
	ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	EXPECT_QUEUE(3, 3, 0, 0, 0);

	/* One part alone keeps it */
	munmap(self->ring.consumer, ring_page());
	EXPECT_EQ(-EBUSY, ring_map_records(&self->ring, self->fd, SIZE));
	ASSERT_EQ(0, ring_map_consumer(&self->ring, self->fd));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
}

/* The queue goes on without a program that closed the descriptor, and with it */
TEST_F(mapped, closed)
{
	__u64 version;
	int fd = dup(self->fd);

	close(self->fd);
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	close(fd);
	/* The mappings alone keep the open file */
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	EXPECT_EQ(1, ms_subscribers(self->writer, "key"));
	ring_unmap(&self->ring);
	EXPECT_EQ(0, ms_subscribers(self->writer, "key"));
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
}

/* A child shares it: each event goes to one of both */
TEST_F(mapped, fork)
{
	struct ring again = {};
	__u64 version;
	pid_t pid;
	int status;

	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	pid = fork();
	if (!pid) {
		if (ring_map_records(&again, self->fd, SIZE) != -EBUSY)
			_exit(1);
		if (ring_take(&self->ring, &self->record, sizeof(self->record)) != RECORD)
			_exit(2);
		if (self->record.event.version != version)
			_exit(3);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EMPTY();
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	EXPECT_QUEUE(2, 2, 0, 0, 0);

	/* It lasts as long as one of them */
	pid = fork();
	if (!pid) {
		ring_unmap(&self->ring);
		_exit(ring_map_records(&again, self->fd, SIZE) != -EBUSY);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-EBUSY, ms_queue_set_len(self->fd, 10));
	ring_unmap(&self->ring);
	EXPECT_EQ(0, ms_queue_set_len(self->fd, 10));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
}

TEST_F(mapped, mremap)
{
	size_t length = ring_length(SIZE), page = ring_page();
	void *room, *at;
	__u64 version;

	/* Neither larger, nor a second time */
	EXPECT_EQ(MAP_FAILED, mremap((void *)self->ring.producer, length, length + page,
				     MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(self->ring.consumer, page, 2 * page, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(self->ring.consumer, 0, page, MREMAP_MAYMOVE));
	/* Elsewhere */
	room = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	at = mremap((void *)self->ring.producer, length, length, MREMAP_MAYMOVE | MREMAP_FIXED,
		    room);
	ASSERT_EQ(room, at);
	self->ring.producer = at;
	self->ring.records = (char *)at + page;
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
	/* In pieces */
	ASSERT_EQ(0, munmap((char *)at + page, page));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	ASSERT_EQ(0, munmap(at, page));
	ASSERT_EQ(0, munmap((char *)at + 2 * page, length - 2 * page));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	munmap(self->ring.consumer, page);
	EXPECT_QUEUE(3, 1, 0, 0, 2);
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
	ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_TAKE(.type = METASTORE_EVENT_PUBLISHED, .cookie = 7, .version = version,
		    .key = "key", .value = "value");
}

/* A process that gets the descriptor has the queue, and not the ring */
TEST_F(mapped, passed_on)
{
	int sock[2], fd;
	struct ring again = {};
	__u64 version;
	union record record;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, sock));
	ASSERT_EQ(0, ms_send_fd(sock[0], self->fd));
	fd = ms_receive_fd(sock[1]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBUSY, ring_map_records(&again, fd, SIZE));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "value", &version));
	ASSERT_EQ(RECORD, read(fd, &record, sizeof(record)));
	EXPECT_EQ(version, record.event.version);
	EXPECT_EMPTY();
	EXPECT_QUEUE(1, 1, 0, 0, 0);
	close(fd);
	close(sock[0]);
	close(sock[1]);
}

static __u64 queue_bytes(int fd)
{
	struct metastore_user_info info = {};

	return ms_ioctl(fd, METASTORE_IOC_USER, &info) ? 0 :
	       info.kinds[METASTORE_USER_QUEUE_BYTES].use;
}

/* The file's user pays for the ring */
TEST_F(mapped, limits)
{
	int fd = ms_open(O_RDWR);
	struct ring other = {};
	__u64 before;

	ASSERT_EQ(0, ms_subscribe(fd, "key", 0, 0));
	before = queue_bytes(fd);
	ASSERT_EQ(0, ring_map(&other, fd, SIZE));
	EXPECT_EQ(before + 2 * ring_page() + SIZE + 16 * 1024 +
		  (2 + 2 * SIZE / ring_page()) * sizeof(void *), queue_bytes(fd));
	ring_unmap(&other);
	EXPECT_EQ(before, queue_bytes(fd));
	close(fd);
}

/* A publisher that waits for room in a lossless queue is told of the tail by poll() */
TEST_F(mapped, lossless)
{
	struct metastore_set set = {
		.flags = METASTORE_F_WAIT, .timeout = ms_limit(20000),
	};
	int waiter = ms_open(O_RDWR), i, status;
	union record record;
	pid_t pid;

	ring_unmap(&self->ring);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 4));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
	EXPECT_EQ(METASTORE_RING_LOSSLESS, self->ring.producer->flags);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	/* Full: a publisher that does not wait loses its event */
	ASSERT_EQ(0, ms_publish(self->writer, "key", "value", NULL));
	EXPECT_READ();
	ASSERT_EQ(sizeof(struct metastore_event),
		  read(self->fd, &record, sizeof(struct metastore_event)));
	EXPECT_EQ(METASTORE_EVENT_LOST, record.event.type);
	pid = fork();
	if (!pid)
		_exit(ms_store_with(waiter, METASTORE_IOC_PUBLISH, "key", "wait!", &set) ||
		      set.queues != 1);
	for (i = 0; i < 20000 && !(ring_attention(&self->ring) & METASTORE_RING_ROOM); i++)
		usleep(1000);
	EXPECT_EQ(METASTORE_RING_ROOM, ring_attention(&self->ring));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	/* In place */
	EXPECT_EQ(0, memcmp(ms_event_value(ring_at(&self->ring, ring_tail(&self->ring))), "value",
			    5));
	ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_EQ(METASTORE_RING_ROOM, ring_attention(&self->ring));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, ring_attention(&self->ring));
	for (i = 0; i < 4; i++)
		ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	EXPECT_EQ(0, memcmp(ms_event_value(&self->record.event), "wait!", 5));
	EXPECT_EMPTY();
	EXPECT_QUEUE(6, 5, 1, 0, 0);

	/* A publisher looks at the tail itself before it waits */
	for (i = 0; i < 100; i++) {
		set.queues = 0;
		ASSERT_EQ(0, ms_store_with(waiter, METASTORE_IOC_PUBLISH, "key", "value", &set));
		ASSERT_LT(0, ring_take(&self->ring, &self->record, sizeof(self->record)));
	}
	EXPECT_QUEUE(106, 105, 1, 0, 0);
}

/* The room of all that was read counts, not only that of the oldest few */
TEST_F(mapped, lossless_bytes)
{
	struct metastore_set set = {
		.flags = METASTORE_F_WAIT, .timeout = ms_limit(20000),
	};
	int waiter = ms_open(O_RDWR), round, i;
	static char large[32768];
	struct ms_books books = {};

	memset(large, 'x', sizeof(large) - 1);
	ring_unmap(&self->ring);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 255));
	ASSERT_EQ(0, ms_queue_set_bytes(self->fd, 256 * 1024));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 250; i++)
			ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
		EXPECT_EQ(0, ring_attention(&self->ring));
		EXPECT_TRUE(ring_claim(&self->ring, ring_tail(&self->ring),
				       ring_head(&self->ring)));
		if (round) {
			EXPECT_EQ(0, ms_store_with(waiter, METASTORE_IOC_PUBLISH, "key", large,
						   &set));
		} else {
			EXPECT_EQ(1, ms_publish(self->writer, "key", large, NULL));
		}
		EXPECT_READ();
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		EXPECT_EMPTY();
	}
	EXPECT_EQ(1, set.queues);
	EXPECT_EQ(2, books.received);
	EXPECT_QUEUE(502, 502, 0, 0, 0);
	close(waiter);
}

/* The push of another publisher takes the tail in, ahead of the poll() for the one that waits */
TEST_F(mapped, room_by_push)
{
	struct metastore_set set = {
		.flags = METASTORE_F_WAIT, .timeout = ms_limit(20000),
	};
	int waiter = ms_open(O_RDWR), i, status = -1;
	pid_t pid;

	ring_unmap(&self->ring);
	ASSERT_EQ(0, ms_queue_set_len(self->fd, 8));
	ASSERT_EQ(0, ms_queue_set_policy(self->fd, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(0, ring_map(&self->ring, self->fd, SIZE));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(1, ms_publish(self->writer, "key", "value", NULL));
	pid = fork();
	if (!pid)
		_exit(ms_store_with(waiter, METASTORE_IOC_PUBLISH, "key", "wait!", &set) ||
		      set.queues != 1);
	for (i = 0; i < 20000 && !(ring_attention(&self->ring) & METASTORE_RING_ROOM); i++)
		usleep(1000);
	EXPECT_EQ(METASTORE_RING_ROOM, ring_attention(&self->ring));
	/* So that it sleeps */
	usleep(100000);
	EXPECT_TRUE(ring_claim(&self->ring, ring_tail(&self->ring), ring_head(&self->ring)));
	ASSERT_EQ(1, ms_publish(self->writer, "key", "other", NULL));
	ms_poll(self->fd, 0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_QUEUE(10, 8, 0, 0, 2);
	close(waiter);
}

#define COOKIE_SECOND	0x7fff12345678ULL
#define COOKIE_THIRD	0x7fffdeadbeefULL

/* The word that a program saw where its next record's cookie will be */
struct peek {
	__u32 stop;
	__u32 foreign;
};

static void peek_cookies(const struct ring *ring, struct peek *peek)
{
	const __u64 *cookie;
	__u64 now;
	int i;

	while (!__atomic_load_n(&peek->stop, __ATOMIC_RELAXED)) {
		cookie = (const __u64 *)&ring_at(ring, ring_head(ring))->cookie;
		for (i = 0; i < 2000; i++) {
			now = __atomic_load_n(cookie, __ATOMIC_RELAXED);
			if (now == COOKIE_SECOND || now == COOKIE_THIRD)
				peek->foreign = 1;
		}
	}
}

/* A program never sees the cookie of another one, not even ahead of the head */
TEST_F(mapped, cookie)
{
	struct ring second = {}, third = {};
	int fd2 = ms_open(O_RDWR | O_NONBLOCK), fd3 = ms_open(O_RDWR | O_NONBLOCK), i, status;
	struct peek *peek = ms_shared(sizeof(*peek));
	const int times = ms_times(20000);
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(fd2, "key", EVENTS_ALL, COOKIE_SECOND));
	ASSERT_EQ(0, ms_subscribe(fd3, "key", EVENTS_ALL, COOKIE_THIRD));
	ASSERT_EQ(0, ring_map(&second, fd2, SIZE));
	ASSERT_EQ(0, ring_map(&third, fd3, SIZE));
	pid = fork();
	if (!pid) {
		peek_cookies(&self->ring, peek);
		_exit(0);
	}
	for (i = 0; i < times && !__atomic_load_n(&peek->foreign, __ATOMIC_RELAXED); i++) {
		ASSERT_EQ(3, ms_publish(self->writer, "key", "value", NULL));
		ring_claim(&self->ring, ring_tail(&self->ring), ring_head(&self->ring));
		ring_claim(&second, ring_tail(&second), ring_head(&second));
		ring_claim(&third, ring_tail(&third), ring_head(&third));
	}
	__atomic_store_n(&peek->stop, 1, __ATOMIC_RELAXED);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, peek->foreign);
	ring_unmap(&second);
	ring_unmap(&third);
	close(fd2);
	close(fd3);
}

TEST_HARNESS_MAIN
