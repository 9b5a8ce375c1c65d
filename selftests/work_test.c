// SPDX-License-Identifier: GPL-2.0
/*
 * Work queues: several processes share an open file, and each event is for one of them,
 * who alone is woken for it.
 */
#include <sys/epoll.h>

#include "crew.h"

#define WORKERS	5

FIXTURE(work)
{
	int fd;			/* to publish with */
	int queue;		/* what all of them read, blocking */
	pid_t pids[WORKERS];
	long slept[WORKERS];
	bool ended[WORKERS];
};

FIXTURE_SETUP(work)
{
	self->fd = ms_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->queue = ms_open(O_RDONLY);
	ASSERT_LE(0, self->queue);
	ASSERT_EQ(0, ms_subscribe_prefix(self->queue, "job", 0, 1));
}

FIXTURE_TEARDOWN(work)
{
	close(self->fd);
}

/* Ends with 0 when it has read one event */
static void work_by_reading(int queue)
{
	__u64 buf[16];

	_exit(ms_read(queue, buf, 64) == 56 ? 0 : 1);
}

static void work_by_epoll(int queue, __u32 flags)
{
	struct epoll_event event = { .events = EPOLLIN | flags };
	int epoll = epoll_create1(0);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event))
		_exit(2);
	_exit(epoll_wait(epoll, &event, 1, -1) == 1 ? 0 : 1);
}

static void work_exclusively(int queue)
{
	work_by_epoll(queue, EPOLLEXCLUSIVE);
}

static void work_with_all(int queue)
{
	work_by_epoll(queue, 0);
}

/* How often it went to sleep: one that was woken in vain did once more */
static long sleeps(pid_t pid)
{
	char path[64], line[128];
	long number = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		sscanf(line, "voluntary_ctxt_switches: %ld", &number);
	fclose(f);
	return number;
}

static bool start(struct _test_data_work *self, void (*work)(int queue))
{
	int i;

	for (i = 0; i < WORKERS; i++) {
		self->ended[i] = false;
		self->pids[i] = ms_fork();
		if (!self->pids[i])
			work(self->queue);
		/* On its way it may have slept elsewhere: now it stays where it is */
		if (!ms_asleep(self->pids[i]))
			return false;
		ms_sleep(SECOND / 50);
		if (!ms_asleep(self->pids[i]))
			return false;
	}
	for (i = 0; i < WORKERS; i++)
		self->slept[i] = sleeps(self->pids[i]);
	return true;
}

/* Waits for one that ends. Returns its exit status, -1: none in time */
static int await_one(struct _test_data_work *self)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);
	siginfo_t info = {};
	int i;

	while (ms_now(CLOCK_MONOTONIC) < end) {
		waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
		for (i = 0; info.si_pid && i < WORKERS; i++) {
			if (info.si_pid != self->pids[i])
				continue;
			self->ended[i] = true;
			return info.si_code == CLD_EXITED ? info.si_status : -1;
		}
		ms_sleep(SECOND / 1000);
	}
	return -1;
}

/* How many of the others have been woken */
static int woken_in_vain(struct _test_data_work *self)
{
	int i, woken = 0;

	ms_sleep(SECOND / 20);
	for (i = 0; i < WORKERS; i++)
		woken += !self->ended[i] && sleeps(self->pids[i]) != self->slept[i];
	return woken;
}

static void stop(struct _test_data_work *self)
{
	int i;

	for (i = 0; i < WORKERS; i++)
		if (!self->ended[i])
			kill(self->pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
}

TEST_F(work, one_event_wakes_one_reader)
{
	int i;

	ASSERT_TRUE(start(self, work_by_reading));
	for (i = 0; i < WORKERS; i++) {
		ASSERT_EQ(1, ms_publish(self->fd, "job", "", NULL));
		ASSERT_EQ(0, await_one(self));
		EXPECT_EQ(0, woken_in_vain(self));
	}
}

TEST_F(work, one_event_wakes_one_by_epoll)
{
	int i;

	ASSERT_TRUE(start(self, work_exclusively));
	for (i = 0; i < WORKERS - 1; i++) {
		ASSERT_EQ(1, ms_publish(self->fd, "job", "", NULL));
		ASSERT_EQ(0, await_one(self));
		EXPECT_EQ(0, woken_in_vain(self));
	}
	stop(self);
}

/* By which one sees that the tests above would see it */
TEST_F(work, one_event_wakes_all_who_want_that)
{
	int i;

	ASSERT_TRUE(start(self, work_with_all));
	ASSERT_EQ(1, ms_publish(self->fd, "job", "", NULL));
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, await_one(self));
}

/* A batch wakes one, who leaves the rest to the next, and so on */
TEST_F(work, who_leaves_some_wakes_the_next)
{
	struct metastore_op ops[WORKERS];
	char keys[WORKERS][8];
	int i;

	ASSERT_TRUE(start(self, work_by_reading));
	for (i = 0; i < WORKERS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "job.%d", i);
		ops[i] = ms_op_publish(keys[i], "");
	}
	ASSERT_EQ(0, ms_batch(self->fd, ops, WORKERS, METASTORE_BATCH_ATOMIC, NULL));
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, await_one(self));
	EXPECT_EQ(0, ms_pending(self->queue));
}

/* A worker that is gone takes no event with it that it has not read */
TEST_F(work, killed_while_it_waits)
{
	int i;

	ASSERT_TRUE(start(self, work_by_reading));
	for (i = 0; i < WORKERS - 1; i++) {
		ASSERT_EQ(0, kill(self->pids[i], SIGKILL));
		EXPECT_EQ(-1, await_one(self));
	}
	ASSERT_EQ(1, ms_publish(self->fd, "job", "", NULL));
	EXPECT_EQ(0, await_one(self));
	EXPECT_TRUE(self->ended[WORKERS - 1]);
}

#define JOBS	2000

/* Each job is done once, by whom it may be */
TEST_F(work, each_job_once)
{
	__u32 job, jobs = 100 + ms_times(JOBS - 100), wrong = 0;
	struct metastore_queue_info info;
	__u8 *done = ms_shared(JOBS);
	int i;

	ASSERT_TRUE(!!done);
	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, ms_queue_set_len(self->queue, 2 * JOBS));
	for (i = 0; i < WORKERS; i++) {
		struct ms_reader r;
		const struct metastore_event *ev;

		if (!crew_child())
			continue;
		r = ms_reader(self->queue, i % 2 ? 128 : 1024);
		while ((ev = ms_next(&r))) {
			CHECK(ev->type == METASTORE_EVENT_PUBLISHED);
			/* An empty one: it is time to go home */
			if (!ev->value_len)
				break;
			memcpy(&job, ms_event_value(ev), sizeof(job));
			__atomic_add_fetch(&done[job], 1, __ATOMIC_RELAXED);
			crew.board->counts[i]++;
		}
		CHECK(ev);
		/* What came with it is for others, who have an end of their own */
		while (r.pos < r.len && (ev = ms_next(&r)))
			if (!ev->value_len)
				CHECK(ms_publish(self->fd, "job", "", NULL) == 1);
		_exit(0);
	}
	crew_start();
	for (job = 0; job < jobs; job++)
		ASSERT_EQ(1, ms_publishn(self->fd, "job", 3, &job, sizeof(job), NULL));
	for (i = 0; i < WORKERS; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "job", "", NULL));
	EXPECT_TRUE(crew_join(0, WORKERS));
	EXPECT_STREQ("", crew.board->error);
	for (job = 0; job < jobs; job++)
		wrong += done[job] != 1;
	EXPECT_EQ(0, wrong);
	ASSERT_EQ(0, ms_queue(self->queue, &info));
	EXPECT_EQ(info.matched, info.delivered);
	EXPECT_LE(jobs + WORKERS, info.matched);
}

TEST_HARNESS_MAIN
