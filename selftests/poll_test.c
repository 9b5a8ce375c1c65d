// SPDX-License-Identifier: GPL-2.0
/* Waiting: poll, epoll, blocking reads, signals, several readers of one open file */
#include <sys/epoll.h>
#include <sys/time.h>

#include "metastore_test.h"

#define READERS	4

FIXTURE(waiting)
{
	int fd;			/* non-blocking */
	int blocking;
	struct ms_reader r;
	struct metastore_info info;
};

FIXTURE_SETUP(waiting)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->blocking = ms_open(O_RDWR);
	ASSERT_LE(0, self->blocking);
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(waiting)
{
	close(self->fd);
	close(self->blocking);
}

TEST_F(waiting, poll_is_level)
{
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(0, ms_poll(self->fd, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", NULL));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	self->r.size = 56;
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_EQ(0, ms_poll(self->fd, 0));
}

TEST_F(waiting, poll_times_out)
{
	__u64 start = ms_now(CLOCK_MONOTONIC);

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(0, ms_poll(self->fd, 50));
	EXPECT_LE(start + SECOND / 20, ms_now(CLOCK_MONOTONIC));
}

/* The child's status: whether it was woken from poll() for a record */
static pid_t poll_in_child(int fd)
{
	pid_t pid = ms_fork();

	if (!pid)
		_exit(ms_poll(fd, ms_limit(20000)) != POLLIN);
	return pid;
}

TEST_F(waiting, poll_wakes_all)
{
	pid_t pids[READERS];
	int i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < READERS; i++)
		pids[i] = poll_in_child(self->fd);
	for (i = 0; i < READERS; i++)
		ASSERT_TRUE(ms_asleep(pids[i]));
	ASSERT_EQ(1, ms_publish(self->blocking, "k", "v", NULL));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
}

TEST_F(waiting, poll_wakes_for_each_type)
{
	pid_t pid;
	int i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 0));
	for (i = 0; i < 4; i++) {
		pid = poll_in_child(self->fd);
		ASSERT_TRUE(ms_asleep(pid));
		switch (i) {
		case 0:
			ASSERT_EQ(0, ms_set(self->blocking, "k", "v", NULL));
			break;
		case 1:
			ASSERT_EQ(0, ms_delete(self->blocking, "k", NULL));
			break;
		case 2:
			ASSERT_EQ(1, ms_publish(self->blocking, "k", "v", NULL));
			ASSERT_EQ(0, ms_delete(self->blocking, "k", NULL));
			break;
		case 3:
			/* No value there: the flush of subscriptions alone */
			ASSERT_EQ(0, ms_reset(self->blocking));
		}
		EXPECT_EQ(0, ms_join(pid));
		while (ms_next(&self->r))
			;
		ASSERT_EQ(EAGAIN, errno);
	}
}

static int epoll_on(int fd, __u32 events)
{
	struct epoll_event ev = { .events = events };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	return ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) ? -errno : ep;
}

static int epoll_count(int ep, int timeout_ms)
{
	struct epoll_event ev;
	int ret = epoll_wait(ep, &ev, 1, timeout_ms);

	return ret < 0 ? -errno : ret && !(ev.events & EPOLLIN) ? -EBADMSG : ret;
}

TEST_F(waiting, epoll_level)
{
	int ep = epoll_on(self->fd, EPOLLIN);

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(0, epoll_count(ep, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", NULL));
	self->r.size = 56;
	EXPECT_EQ(1, epoll_count(ep, 0));
	EXPECT_EQ(1, epoll_count(ep, 0));
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_EQ(1, epoll_count(ep, 0));
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_EQ(0, epoll_count(ep, 0));
}

TEST_F(waiting, epoll_edge)
{
	int ep = epoll_on(self->fd, EPOLLIN | EPOLLET);

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(0, epoll_count(ep, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	EXPECT_EQ(1, epoll_count(ep, 0));
	EXPECT_EQ(0, epoll_count(ep, 0));
	/* A new event is a new edge, with the old one unread as well */
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", NULL));
	EXPECT_EQ(1, epoll_count(ep, 0));
	EXPECT_EQ(0, epoll_count(ep, 0));
	while (ms_next(&self->r))
		;
	EXPECT_EQ(0, epoll_count(ep, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "3", NULL));
	EXPECT_EQ(1, epoll_count(ep, 0));
}

/* Records that a read leaves, or has no room for, are a new edge */
TEST_F(waiting, epoll_edge_for_what_is_left)
{
	int ep = epoll_on(self->fd, EPOLLIN | EPOLLET), i;
	char small[8];

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(1, epoll_count(ep, 0));
	EXPECT_EQ(0, epoll_count(ep, 0));
	self->r.size = 56;
	for (i = 2; i >= 0; i--) {
		EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, small, sizeof(small)));
		EXPECT_EQ(1, epoll_count(ep, 0));
		EXPECT_EQ(0, epoll_count(ep, 0));
		ASSERT_TRUE(!!ms_next(&self->r));
		EXPECT_EQ(i != 0, epoll_count(ep, 0));
		EXPECT_EQ(0, epoll_count(ep, 0));
	}
}

TEST_F(waiting, epoll_edge_for_what_was_there)
{
	int ep;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ep = epoll_on(self->fd, EPOLLIN | EPOLLET);
	ASSERT_LE(0, ep);
	EXPECT_EQ(1, epoll_count(ep, 0));
	EXPECT_EQ(0, epoll_count(ep, 0));
}

/* A full queue drops for it: there is something new all the same */
TEST_F(waiting, epoll_edge_on_full_queue)
{
	int ep = epoll_on(self->fd, EPOLLIN | EPOLLET);
	__u32 i;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < self->info.queue_len; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(1, epoll_count(ep, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(1, epoll_count(ep, 0));
}

TEST_F(waiting, epoll_sleeper_wakes)
{
	int ep = epoll_on(self->fd, EPOLLIN);
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	pid = ms_fork();
	if (!pid)
		_exit(epoll_count(ep, ms_limit(20000)) != 1);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(1, ms_publish(self->blocking, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(waiting, read_blocks)
{
	char buf[64];
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	pid = ms_fork();
	if (!pid)
		_exit(ms_read(self->blocking, buf, sizeof(buf)) != 56);
	ASSERT_TRUE(ms_asleep(pid));
	/* Asleep it stays */
	ms_sleep(SECOND / 20);
	ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(waiting, read_takes_what_is_there)
{
	char buf[4096];

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", NULL));
	/* Room for more is no reason to wait for more */
	EXPECT_EQ(112, ms_read(self->blocking, buf, sizeof(buf)));
}

TEST_F(waiting, read_wakes_to_flushed)
{
	char buf[64];
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	pid = ms_fork();
	if (!pid)
		_exit(ms_read(self->blocking, buf, sizeof(buf)) != 48);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(waiting, read_wakes_to_emsgsize)
{
	char buf[8];
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	pid = ms_fork();
	if (!pid)
		_exit(ms_read(self->blocking, buf, sizeof(buf)) != -EMSGSIZE);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(56, ms_pending(self->blocking));
}

/* O_NONBLOCK is the open file's, and can be changed */
TEST_F(waiting, nonblock_by_fcntl)
{
	char buf[64];

	ASSERT_EQ(0, fcntl(self->blocking, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, ms_read(self->blocking, buf, sizeof(buf)));
}

static void on_signal(int sig)
{
	(void)sig;
}

static void signals(int sig, int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(sig, &action, NULL);
}

TEST_F(waiting, read_eintr)
{
	char buf[64];
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	signals(SIGUSR1, 0);
	pid = ms_fork();
	if (!pid) {
		if (ms_read(self->blocking, buf, sizeof(buf)) != -EINTR)
			_exit(1);
		/* Nothing broke: the next one gets the event */
		_exit(ms_read(self->blocking, buf, sizeof(buf)) == 56 ? 0 : 2);
	}
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ms_sleep(SECOND / 50);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(waiting, read_restarts)
{
	char buf[64];
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	signals(SIGUSR1, SA_RESTART);
	pid = ms_fork();
	if (!pid)
		_exit(ms_read(self->blocking, buf, sizeof(buf)) != 56);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	ms_sleep(SECOND / 50);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(waiting, reader_can_be_killed)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	pid = ms_fork();
	if (!pid)
		_exit(ms_read(self->blocking, self->r.buf, 64));
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(56, ms_read(self->blocking, self->r.buf, 64));
}

/*
 * Several readers of one open file. An event whose value is "stop" ends the
 * reader that gets it.
 */
struct reader_log {
	__u32 woken;
	__u32 events;
	__u32 seen[4096];	/* by number */
};

static bool log_event(struct reader_log *log, const char *buf, ssize_t len)
{
	const struct metastore_event *ev = (const void *)buf;
	__u32 number;

	if (len != (ssize_t)ev->len || !ms_event_valid(ev, len) ||
	    ev->type != METASTORE_EVENT_PUBLISHED || ev->value_len != sizeof(number))
		_exit(100);
	memcpy(&number, ms_event_value(ev), sizeof(number));
	if (number >= ARRAY_SIZE(log->seen))
		return false;
	__atomic_add_fetch(&log->seen[number], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&log->events, 1, __ATOMIC_RELAXED);
	return true;
}

/* One record a read */
static pid_t read_in_child(int fd, struct reader_log *log)
{
	pid_t pid = ms_fork();
	char buf[56];
	ssize_t len;

	if (pid)
		return pid;
	do {
		len = ms_read(fd, buf, sizeof(buf));
		if (len < 0)
			_exit(-len);
	} while (log_event(log, buf, len));
	_exit(0);
}

static int publish_number(int fd, __u32 number)
{
	return ms_publishn(fd, "k", 1, &number, sizeof(number), NULL);
}

/* Not one of them may be left while somebody could read it */
static bool all_taken(int fd)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);

	while (ms_pending(fd)) {
		if (ms_now(CLOCK_MONOTONIC) > end)
			return false;
		ms_sleep(SECOND / 1000);
	}
	return true;
}

TEST_F(waiting, several_readers_share)
{
	struct reader_log *log = ms_shared(sizeof(*log));
	pid_t pids[READERS];
	__u32 i, n, number = 0, times = ms_times(2000);

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	for (i = 0; i < READERS; i++)
		pids[i] = read_in_child(self->blocking, log);
	/* Bursts of one to ten, so that there are more events than readers, and fewer */
	for (n = 1; number < times; n = n % 10 + 1) {
		for (i = 0; i < n; i++)
			ASSERT_EQ(1, publish_number(self->fd, number++));
		ASSERT_TRUE(all_taken(self->blocking));
	}
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(1, publish_number(self->fd, -1));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(number, log->events);
	for (i = 0; i < number; i++)
		ASSERT_EQ(1, log->seen[i]);
}

/* All asleep, then as many events as readers: none sleeps on */
TEST_F(waiting, no_reader_sleeps_while_events_wait)
{
	pid_t pids[READERS];
	char buf[56];
	int i, round;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < READERS; i++) {
			pids[i] = ms_fork();
			if (!pids[i])
				_exit(ms_read(self->blocking, buf, sizeof(buf)) != 56);
		}
		for (i = 0; i < READERS; i++)
			ASSERT_TRUE(ms_asleep(pids[i]));
		for (i = 0; i < READERS; i++)
			ASSERT_EQ(1, publish_number(self->fd, i));
		for (i = 0; i < READERS; i++)
			ASSERT_EQ(0, ms_join(pids[i]));
		ASSERT_EQ(0, ms_pending(self->blocking));
	}
}

/* The first in line has too small a buffer, or a bad one: the event goes to the next */
TEST_F(waiting, useless_reader_passes_on)
{
	pid_t first, second;
	char buf[64];

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	first = ms_fork();
	if (!first)
		_exit(ms_read(self->blocking, buf, 8) != -EMSGSIZE);
	ASSERT_TRUE(ms_asleep(first));
	second = ms_fork();
	if (!second)
		_exit(ms_read(self->blocking, buf, sizeof(buf)) != 56);
	ASSERT_TRUE(ms_asleep(second));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(second));
	/* It may have been woken or not; if not, it is not owed anything */
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(first));
}

TEST_F(waiting, faulting_reader_passes_on)
{
	pid_t first, second;
	char buf[64];

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 7));
	first = ms_fork();
	if (!first)
		_exit(ms_read(self->blocking, NULL, 64) != -EFAULT);
	ASSERT_TRUE(ms_asleep(first));
	second = ms_fork();
	if (!second) {
		if (ms_read(self->blocking, buf, sizeof(buf)) != 48)
			_exit(1);
		_exit(((struct metastore_event *)buf)->type != METASTORE_EVENT_LOST);
	}
	ASSERT_TRUE(ms_asleep(second));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ms_join(first));
	EXPECT_EQ(0, ms_join(second));
}

/* A reader that is killed as it is woken takes no event with it */
TEST_F(waiting, killed_reader_passes_on)
{
	pid_t victim, reader;
	__u32 number;
	char buf[56];
	int round;

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	for (round = 0; round < 50; round++) {
		victim = ms_fork();
		if (!victim)
			_exit(ms_read(self->blocking, buf, sizeof(buf)) != 56);
		ASSERT_TRUE(ms_asleep(victim));
		reader = ms_fork();
		if (!reader) {
			do {
				if (ms_read(self->blocking, buf, sizeof(buf)) != 56)
					_exit(1);
				memcpy(&number, ms_event_value((void *)buf), sizeof(number));
			} while (number != 2);
			_exit(0);
		}
		ASSERT_TRUE(ms_asleep(reader));
		ASSERT_EQ(1, publish_number(self->fd, 1));
		ASSERT_EQ(0, kill(victim, SIGKILL));
		/* The victim has read it, or the reader does: nobody sleeps on it */
		ASSERT_TRUE(all_taken(self->blocking));
		waitpid(victim, NULL, 0);
		ASSERT_EQ(1, publish_number(self->fd, 2));
		ASSERT_EQ(0, ms_join(reader));
	}
}

/* Each with an epoll of its own on the same open file, woken one at a time */
static pid_t epoll_in_child(int fd, __u32 events, struct reader_log *log)
{
	pid_t pid = ms_fork();
	char buf[56];
	ssize_t len;
	int ep;

	if (pid)
		return pid;
	ep = epoll_on(fd, events);
	if (ep < 0)
		_exit(101);
	for (;;) {
		if (epoll_count(ep, ms_limit(20000)) != 1)
			_exit(102);
		__atomic_add_fetch(&log->woken, 1, __ATOMIC_RELAXED);
		len = ms_read(fd, buf, sizeof(buf));
		if (len == -EAGAIN)
			continue;
		if (len < 0)
			_exit(-len);
		if (!log_event(log, buf, len))
			_exit(0);
	}
}

TEST_F(waiting, epoll_exclusive_shares)
{
	struct reader_log *log = ms_shared(sizeof(*log));
	pid_t pids[READERS];
	__u32 i, n, number = 0, times = ms_times(1000);

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < READERS; i++)
		pids[i] = epoll_in_child(self->fd, EPOLLIN | EPOLLEXCLUSIVE, log);
	for (n = 1; number < times; n = n % 10 + 1) {
		for (i = 0; i < n; i++)
			ASSERT_EQ(1, publish_number(self->blocking, number++));
		ASSERT_TRUE(all_taken(self->fd));
	}
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(1, publish_number(self->blocking, -1));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(number, log->events);
	for (i = 0; i < number; i++)
		ASSERT_EQ(1, log->seen[i]);
}

TEST_F(waiting, epoll_exclusive_wakes_one)
{
	struct reader_log *log = ms_shared(sizeof(*log));
	pid_t pids[READERS];
	__u32 i, n;

	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	for (i = 0; i < READERS; i++)
		pids[i] = epoll_in_child(self->fd, EPOLLIN | EPOLLEXCLUSIVE, log);
	for (n = 0; n < 50; n++) {
		for (i = 0; i < READERS; i++)
			ASSERT_TRUE(ms_asleep(pids[i]));
		ASSERT_EQ(1, publish_number(self->blocking, n));
		ASSERT_TRUE(all_taken(self->fd));
	}
	for (i = 0; i < READERS; i++)
		ASSERT_TRUE(ms_asleep(pids[i]));
	/* All of them each time would be four times as many */
	EXPECT_LE(50, log->woken);
	EXPECT_GE(75, log->woken);
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(1, publish_number(self->blocking, -1));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
}

/* One that sleeps in read(), one in epoll, and an event for each: a wake-up that
 * reaches the wrong one is passed on
 */
TEST_F(waiting, read_and_epoll_share)
{
	struct reader_log *log = ms_shared(sizeof(*log));
	pid_t pids[READERS];
	__u32 i, number = 0, times = ms_times(500);

	ASSERT_EQ(0, ms_subscribe(self->blocking, "k", 0, 0));
	/* The descriptor blocks: those with an epoll may sleep in read() as well */
	for (i = 0; i < READERS; i++)
		pids[i] = i % 2 ? read_in_child(self->blocking, log) :
			epoll_in_child(self->blocking, EPOLLIN | EPOLLEXCLUSIVE, log);
	while (number < times) {
		for (i = 0; i < 3; i++)
			ASSERT_EQ(1, publish_number(self->fd, number++));
		ASSERT_TRUE(all_taken(self->blocking));
	}
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(1, publish_number(self->fd, -1));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, ms_join(pids[i]));
	EXPECT_EQ(number, log->events);
}

TEST_HARNESS_MAIN
