// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: reads and polls that wait do so without a thread of the kernel that sleeps
 * for them. By its system calls alone.
 */
#include <dirent.h>
#include <endian.h>
#include <linux/io_uring.h>
#include <sys/uio.h>

#include "metastore_test.h"

#define ENTRIES		8
#define RECORD		56	/* bytes of an event of "k" and a number */

/* From 6.7 on, and not in every header that is about */
#define OP_READ_MULTISHOT	49

#define GROUP		5	/* of provided buffers */
#define BUFFERS		4

/* The rings are in one piece of memory, the entries of the first in another. */
struct uring {
	int fd;
	char *rings;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
	__u32 queued;			/* not submitted yet */
};

static int uring_open(struct uring *ring)
{
	struct io_uring_params *p = &ring->params;
	size_t sq, cq;

	*ring = (struct uring) {};
	ring->fd = syscall(SYS_io_uring_setup, ENTRIES, p);
	if (ring->fd < 0)
		return -errno;
	if (!(p->features & IORING_FEAT_SINGLE_MMAP) || !(p->features & IORING_FEAT_EXT_ARG))
		return -EOPNOTSUPP;
	sq = p->sq_off.array + p->sq_entries * sizeof(__u32);
	cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	ring->rings = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, p->sq_entries * sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	return ring->rings == MAP_FAILED || (void *)ring->sqes == MAP_FAILED ? -errno : 0;
}

static __u32 *uring_word(struct uring *ring, __u32 offset)
{
	return (void *)(ring->rings + offset);
}

static void uring_queue(struct uring *ring, struct io_uring_sqe sqe)
{
	struct io_sqring_offsets *off = &ring->params.sq_off;
	__u32 *tail = uring_word(ring, off->tail);
	__u32 at = *tail & *uring_word(ring, off->ring_mask);

	ring->sqes[at] = sqe;
	uring_word(ring, off->array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ring->queued++;
}

/* Returns how many it took */
static int uring_submit(struct uring *ring)
{
	int ret = syscall(SYS_io_uring_enter, ring->fd, ring->queued, 0, 0, NULL, 0);

	ring->queued = 0;
	return ret < 0 ? -errno : ret;
}

/* Waits; -ETIME: nothing came */
static int uring_wait(struct uring *ring, __u64 ns, struct io_uring_cqe *cqe)
{
	struct io_cqring_offsets *off = &ring->params.cq_off;
	struct __kernel_timespec ts = { .tv_sec = ns / SECOND, .tv_nsec = ns % SECOND };
	struct io_uring_getevents_arg arg = { .ts = ms_ptr(&ts) };
	__u32 *head = uring_word(ring, off->head);
	struct io_uring_cqe *cqes = (void *)uring_word(ring, off->cqes);
	int ret;

	while (*head == __atomic_load_n(uring_word(ring, off->tail), __ATOMIC_ACQUIRE)) {
		ret = syscall(SYS_io_uring_enter, ring->fd, 0, 1,
			      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
		if (ret < 0)
			return -errno;
	}
	*cqe = cqes[*head & *uring_word(ring, off->ring_mask)];
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return 0;
}

/* What must come */
static int uring_next(struct uring *ring, struct io_uring_cqe *cqe)
{
	return uring_wait(ring, ms_limit(20 * SECOND), cqe);
}

/* What must not: a moment is given it */
static bool uring_silent(struct uring *ring)
{
	struct io_uring_cqe cqe;

	return uring_wait(ring, SECOND / 50, &cqe) == -ETIME;
}

static bool uring_supports(struct uring *ring, int op)
{
	union {
		struct io_uring_probe probe;
		char room[sizeof(struct io_uring_probe) +
			  256 * sizeof(struct io_uring_probe_op)];
	} all = {};

	return !syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_PROBE, &all, 256) &&
	       op <= all.probe.last_op && all.probe.ops[op].flags & IO_URING_OP_SUPPORTED;
}

/* Threads that the kernel made to sleep in our place */
static int workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	char path[300], name[32] = "";
	struct dirent *task;
	int count = 0;
	FILE *f;

	while ((task = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && !strncmp(name, "iou-wrk", 7))
			count++;
		fclose(f);
	}
	closedir(tasks);
	return count;
}

static struct io_uring_sqe sqe_read(int fd, void *buf, __u32 size, __u64 id)
{
	return (struct io_uring_sqe) {
		.opcode = IORING_OP_READ,
		.fd = fd,
		.off = -1,
		.addr = ms_ptr(buf),
		.len = size,
		.user_data = id,
	};
}

static struct io_uring_sqe sqe_poll(int fd, __u32 flags, __u64 id)
{
	return (struct io_uring_sqe) {
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.len = flags,
		/* The kernel wants the two halves of the word swapped there. */
		.poll32_events = htole32(1) == 1 ? POLLIN : (__u32)POLLIN << 16,
		.user_data = id,
	};
}

static struct io_uring_sqe sqe_cancel(__u64 which, __u64 id)
{
	return (struct io_uring_sqe) {
		.opcode = IORING_OP_ASYNC_CANCEL,
		.fd = -1,
		.addr = which,
		.user_data = id,
	};
}

FIXTURE(uring)
{
	int fd;			/* blocks, and is subscribed to "k" */
	int writer;
	struct uring ring;
	struct io_uring_cqe cqe;
	char buf[ENTRIES][RECORD];
};

FIXTURE_SETUP(uring)
{
	int ret;

	ret = uring_open(&self->ring);
	if (ret)
		SKIP(return, "no io_uring that can be used: %s", strerrorname_np(-ret));
	self->fd = ms_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	self->writer = ms_open(O_RDWR);
	ASSERT_LE(0, self->writer);
	ASSERT_EQ(0, ms_reset(self->writer));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 7));
	memset(self->buf, POISON, sizeof(self->buf));
}

FIXTURE_TEARDOWN(uring)
{
	close(self->ring.fd);
	close(self->fd);
	close(self->writer);
}

static int publish(int fd, __u32 number)
{
	return ms_publishn(fd, "k", 1, &number, sizeof(number), NULL);
}

/* The number of an event of "k"; -1: it is none */
static int number_in(const void *buf)
{
	const struct metastore_event *ev = buf;
	__u32 number;

	if (!ms_event_valid(ev, RECORD) || ev->type != METASTORE_EVENT_PUBLISHED ||
	    ev->cookie != 7 || ev->value_len != sizeof(number))
		return -1;
	memcpy(&number, ms_event_value(ev), sizeof(number));
	return number;
}

TEST_F(uring, read_what_is_there)
{
	ASSERT_EQ(1, publish(self->writer, 3));
	uring_queue(&self->ring, sqe_read(self->fd, self->buf[0], RECORD, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	/* No time to wait: it is done when the call returns */
	ASSERT_EQ(0, uring_wait(&self->ring, 0, &self->cqe));
	EXPECT_EQ(1, self->cqe.user_data);
	EXPECT_EQ(RECORD, self->cqe.res);
	EXPECT_EQ(3, number_in(self->buf[0]));
	EXPECT_EQ(0, workers());
}

TEST_F(uring, read_waits)
{
	__u32 i;

	for (i = 0; i < 100; i++) {
		uring_queue(&self->ring, sqe_read(self->fd, self->buf[0], RECORD, i));
		ASSERT_EQ(1, uring_submit(&self->ring));
		if (!i)
			ASSERT_TRUE(uring_silent(&self->ring));
		ASSERT_EQ(1, publish(self->writer, i));
		ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
		ASSERT_EQ(i, self->cqe.user_data);
		ASSERT_EQ(RECORD, self->cqe.res);
		ASSERT_EQ(i, number_in(self->buf[0]));
		ASSERT_EQ(0, workers());
	}
}

/*
 * What is not found in the tests above can be found. The event is there before its reader: a
 * thread that finds none leaves, and the one that reads once it comes may be another.
 */
TEST_F(uring, workers_are_seen)
{
	struct io_uring_sqe sqe = sqe_read(self->fd, self->buf[0], RECORD, 1);

	sqe.flags = IOSQE_ASYNC;
	ASSERT_EQ(1, publish(self->writer, 5));
	uring_queue(&self->ring, sqe);
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
	EXPECT_EQ(RECORD, self->cqe.res);
	EXPECT_EQ(5, number_in(self->buf[0]));
	EXPECT_EQ(1, workers());
}

/* Many reads of one open file: each event goes to one, and each that has none waits on */
TEST_F(uring, reads_share)
{
	__u32 i, seen = 0, done = 0;

	for (i = 0; i < ENTRIES; i++)
		uring_queue(&self->ring, sqe_read(self->fd, self->buf[i], RECORD, i));
	ASSERT_EQ(ENTRIES, uring_submit(&self->ring));
	for (i = 0; i < ENTRIES; i++) {
		if (i == ENTRIES / 2)
			EXPECT_TRUE(uring_silent(&self->ring));
		ASSERT_EQ(1, publish(self->writer, i));
		ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
		ASSERT_EQ(RECORD, self->cqe.res);
		ASSERT_EQ(i, number_in(self->buf[self->cqe.user_data]));
		seen |= 1 << i;
		done |= 1 << self->cqe.user_data;
	}
	EXPECT_EQ((1 << ENTRIES) - 1, seen);
	EXPECT_EQ((1 << ENTRIES) - 1, done);
	EXPECT_EQ(0, workers());
}

TEST_F(uring, read_nowait)
{
	struct io_uring_sqe sqe = sqe_read(self->fd, self->buf[0], RECORD, 1);

	sqe.rw_flags = RWF_NOWAIT;
	uring_queue(&self->ring, sqe);
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, 0, &self->cqe));
	EXPECT_EQ(-EAGAIN, self->cqe.res);
}

TEST_F(uring, read_too_small)
{
	uring_queue(&self->ring, sqe_read(self->fd, self->buf[0], RECORD - 8, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(1, publish(self->writer, 1));
	ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
	EXPECT_EQ(-EMSGSIZE, self->cqe.res);
	EXPECT_EQ(RECORD, ms_pending(self->fd));
	EXPECT_EQ(0, workers());
}

/* One that is cancelled takes no event with it */
TEST_F(uring, read_cancelled)
{
	int i;

	uring_queue(&self->ring, sqe_read(self->fd, self->buf[0], RECORD, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	uring_queue(&self->ring, sqe_cancel(1, 2));
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
		EXPECT_EQ(self->cqe.user_data == 1 ? -ECANCELED : 0, self->cqe.res);
	}
	ASSERT_EQ(1, publish(self->writer, 9));
	EXPECT_TRUE(uring_silent(&self->ring));
	ASSERT_EQ(RECORD, ms_read(self->fd, self->buf[1], RECORD));
	EXPECT_EQ(9, number_in(self->buf[1]));
}

/* Values of a snapshot, and its end, wait for nobody */
TEST_F(uring, read_snapshot)
{
	struct metastore_event *ev = (void *)self->buf[0];

	ASSERT_EQ(0, ms_set(self->writer, "s1", "1", NULL));
	ASSERT_EQ(0, ms_set(self->writer, "s2", "2", NULL));
	ASSERT_EQ(0, ms_subscribe_as(self->fd, "s", .events = EVENTS_ALL, .cookie = 8,
				     .flags = METASTORE_SUBSCRIBE_PREFIX |
					      METASTORE_SUBSCRIBE_SNAPSHOT));
	for (int i = 0; i < 3; i++) {
		uring_queue(&self->ring, sqe_read(self->fd, self->buf[0], RECORD, i));
		ASSERT_EQ(1, uring_submit(&self->ring));
		ASSERT_EQ(0, uring_wait(&self->ring, 0, &self->cqe));
		ASSERT_LT(0, self->cqe.res);
		ASSERT_TRUE(ms_event_valid(ev, self->cqe.res));
		EXPECT_EQ(i < 2 ? METASTORE_EVENT_SNAPSHOT : METASTORE_EVENT_SNAPSHOT_END,
			  ev->type);
		EXPECT_EQ(8, ev->cookie);
	}
	uring_queue(&self->ring, sqe_read(self->fd, self->buf[0], RECORD, 3));
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_TRUE(uring_silent(&self->ring));
	ASSERT_EQ(0, ms_set(self->writer, "s1", "3", NULL));
	ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
	EXPECT_EQ(METASTORE_EVENT_SET, ev->type);
	EXPECT_EQ(0, workers());
}

TEST_F(uring, poll_waits)
{
	uring_queue(&self->ring, sqe_poll(self->fd, 0, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_TRUE(uring_silent(&self->ring));
	ASSERT_EQ(1, publish(self->writer, 1));
	ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
	EXPECT_EQ(POLLIN, self->cqe.res & POLLIN);
	EXPECT_EQ(0, self->cqe.flags & IORING_CQE_F_MORE);
	/* One that comes when there is something already is done at once */
	uring_queue(&self->ring, sqe_poll(self->fd, 0, 2));
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, uring_wait(&self->ring, 0, &self->cqe));
	EXPECT_EQ(2, self->cqe.user_data);
	EXPECT_EQ(POLLIN, self->cqe.res & POLLIN);
	EXPECT_EQ(0, workers());
}

/* Whatever comes, also what is no event of a key */
TEST_F(uring, poll_multishot)
{
	__u32 i;

	uring_queue(&self->ring, sqe_poll(self->fd, IORING_POLL_ADD_MULTI, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(1, publish(self->writer, i));
		ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
		ASSERT_EQ(POLLIN, self->cqe.res & POLLIN);
		ASSERT_EQ(IORING_CQE_F_MORE, self->cqe.flags & IORING_CQE_F_MORE);
		ASSERT_EQ(RECORD, ms_read(self->fd, self->buf[0], RECORD));
		ASSERT_EQ(i, number_in(self->buf[0]));
	}
	EXPECT_TRUE(uring_silent(&self->ring));
	/* There is a value: its deletion is not asked for */
	ASSERT_EQ(0, ms_reset(self->writer));
	ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
	EXPECT_EQ(POLLIN, self->cqe.res & POLLIN);
	EXPECT_EQ(sizeof(struct metastore_event), ms_pending(self->fd));
	EXPECT_EQ(0, workers());
}

/* Buffers of which each read of a multishot one takes the next */
static struct io_uring_sqe sqe_provide(void *bufs, int count, __u64 id)
{
	return (struct io_uring_sqe) {
		.opcode = IORING_OP_PROVIDE_BUFFERS,
		.fd = count,
		.addr = ms_ptr(bufs),
		.len = RECORD,
		.buf_group = GROUP,
		.user_data = id,
	};
}

static struct io_uring_sqe sqe_read_multishot(int fd, __u64 id)
{
	return (struct io_uring_sqe) {
		.opcode = OP_READ_MULTISHOT,
		.flags = IOSQE_BUFFER_SELECT,
		.fd = fd,
		.off = -1,
		.buf_group = GROUP,
		.user_data = id,
	};
}

static int provide(struct uring *ring, char (*bufs)[RECORD], int count)
{
	struct io_uring_cqe cqe;

	uring_queue(ring, sqe_provide(bufs, count, 99));
	return uring_submit(ring) == 1 && !uring_next(ring, &cqe) && cqe.user_data == 99 ?
	       cqe.res : -EBADMSG;
}

TEST_F(uring, read_multishot)
{
	__u32 i, id, number = 0;

	if (!uring_supports(&self->ring, OP_READ_MULTISHOT))
		SKIP(return, "multishot reads need a kernel from 6.7 on");
	ASSERT_EQ(0, provide(&self->ring, self->buf, BUFFERS));
	/* Two wait already */
	ASSERT_EQ(1, publish(self->writer, number++));
	ASSERT_EQ(1, publish(self->writer, number++));
	uring_queue(&self->ring, sqe_read_multishot(self->fd, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (i = 0; i < BUFFERS; i++) {
		if (i >= 2) {
			EXPECT_TRUE(uring_silent(&self->ring));
			ASSERT_EQ(1, publish(self->writer, number++));
		}
		ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
		EXPECT_EQ(1, self->cqe.user_data);
		ASSERT_EQ(RECORD, self->cqe.res);
		EXPECT_EQ(IORING_CQE_F_MORE, self->cqe.flags & IORING_CQE_F_MORE);
		ASSERT_EQ(IORING_CQE_F_BUFFER, self->cqe.flags & IORING_CQE_F_BUFFER);
		id = self->cqe.flags >> IORING_CQE_BUFFER_SHIFT;
		ASSERT_GT(BUFFERS, id);
		EXPECT_EQ(i, number_in(self->buf[id]));
	}
	/* No buffer is left: it ends, and the event stays */
	ASSERT_EQ(1, publish(self->writer, number));
	ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
	EXPECT_EQ(-ENOBUFS, self->cqe.res);
	EXPECT_EQ(0, self->cqe.flags & IORING_CQE_F_MORE);
	ASSERT_EQ(RECORD, ms_read(self->fd, self->buf[0], RECORD));
	EXPECT_EQ(number, number_in(self->buf[0]));
	EXPECT_EQ(0, workers());
}

/* The books agree: what was read so was delivered, nothing was lost */
TEST_F(uring, books_balance)
{
	struct metastore_queue_info queue;
	__u32 i;

	for (i = 0; i < ENTRIES; i++)
		uring_queue(&self->ring, sqe_read(self->fd, self->buf[i], RECORD, i));
	ASSERT_EQ(ENTRIES, uring_submit(&self->ring));
	for (i = 0; i < ENTRIES + 2; i++)
		ASSERT_EQ(1, publish(self->writer, i));
	for (i = 0; i < ENTRIES; i++) {
		ASSERT_EQ(0, uring_next(&self->ring, &self->cqe));
		ASSERT_EQ(RECORD, self->cqe.res);
	}
	ASSERT_EQ(0, ms_queue(self->fd, &queue));
	EXPECT_EQ(ENTRIES + 2, queue.matched);
	EXPECT_EQ(ENTRIES, queue.delivered);
	EXPECT_EQ(2, queue.pending);
	EXPECT_EQ(0, queue.lost);
}

TEST_HARNESS_MAIN
