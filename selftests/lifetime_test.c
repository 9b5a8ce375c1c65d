// SPDX-License-Identifier: GPL-2.0
/* What happens to subscriptions as descriptors are shared, passed on and closed */
#include <pthread.h>

#include "metastore_test.h"

FIXTURE(lifetime)
{
	int fd;
	int sub;		/* subscribed to "k" */
	char value[5000];
};

FIXTURE_SETUP(lifetime)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->sub = ms_open(O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, self->sub);
	ASSERT_EQ(0, ms_subscribe(self->sub, "k", 0, 1));
}

FIXTURE_TEARDOWN(lifetime)
{
	close(self->fd);
}

TEST_F(lifetime, close)
{
	ASSERT_EQ(1, ms_subscribers(self->fd, "k"));
	close(self->sub);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_publish(self->fd, "k", "v", NULL));
}

TEST_F(lifetime, close_with_events_queued)
{
	struct metastore_info info;
	int i;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	for (i = 0; i < (int)info.queue_len + 10; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	close(self->sub);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	/* The value stays */
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
}

TEST_F(lifetime, exit_closes)
{
	pid_t pid = ms_fork();

	if (!pid) {
		int fd = ms_open(O_RDONLY);

		_exit(ms_subscribe(fd, "k", 0, 0) || ms_subscribers(fd, "k") != 2);
	}
	ASSERT_EQ(0, ms_join(pid));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
}

TEST_F(lifetime, kill_closes)
{
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	pid = ms_fork();
	if (!pid) {
		int fd = ms_open(O_RDONLY);

		if (ms_subscribe(fd, "k", 0, 0) || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(ms_read(fd, &c, 1));
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	EXPECT_EQ(2, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
}

/* One open file, two descriptors */
TEST_F(lifetime, dup)
{
	struct ms_reader r = ms_reader(dup(self->sub), 4096);
	__u64 version;

	ASSERT_LE(0, r.fd);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(-EEXIST, ms_subscribe(r.fd, "k", 0, 2));
	ASSERT_EQ(0, ms_subscribe(r.fd, "l", 0, 3));
	EXPECT_EQ(-EEXIST, ms_subscribe(self->sub, "l", 0, 2));
	close(self->sub);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "v", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1, .version = version,
		     .key = "k", .value = "v");
	close(r.fd);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "l"));
}

TEST_F(lifetime, two_opens_are_two_files)
{
	int fd = ms_open(O_RDONLY | O_NONBLOCK);

	EXPECT_EQ(0, ms_subscribe(fd, "k", 0, 2));
	EXPECT_EQ(2, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(2, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(56, ms_pending(fd));
	EXPECT_EQ(56, ms_pending(self->sub));
}

/* The child holds the file when the parent has closed its descriptor */
TEST_F(lifetime, fork)
{
	int go[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(go));
	pid = ms_fork();
	if (!pid) {
		struct ms_reader r = ms_reader(self->sub, 4096);
		const struct metastore_event *ev;

		if (read(go[0], &c, 1) != 1)
			_exit(1);
		ev = ms_next(&r);
		_exit(!ev || ev->cookie != 1);
	}
	close(self->sub);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	ASSERT_EQ(1, write(go[1], "", 1));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
}

/* What the child subscribes to, the parent hears */
TEST_F(lifetime, fork_shares)
{
	struct ms_reader r = ms_reader(self->sub, 4096);
	pid_t pid = ms_fork();
	__u64 version;

	if (!pid)
		_exit(ms_subscribe(self->sub, "child", 0, 9) || ms_unsubscribe(self->sub, "k"));
	ASSERT_EQ(0, ms_join(pid));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "child"));
	ASSERT_EQ(1, ms_publish(self->fd, "child", "v", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 9, .version = version,
		     .key = "child", .value = "v");
}

/* On its way in a socket nobody has a descriptor for it; it lives all the same */
TEST_F(lifetime, passed_to_another_process)
{
	int socks[2], go[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	ASSERT_EQ(0, pipe(go));
	pid = ms_fork();
	if (!pid) {
		struct ms_reader r;
		const struct metastore_event *ev;

		close(self->sub);
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		r = ms_reader(ms_receive_fd(socks[1]), 4096);
		ev = ms_next(&r);
		if (!ev || ev->cookie != 1)
			_exit(2);
		if (ms_subscribers(r.fd, "k") != 1 || ms_subscribe(r.fd, "l", 0, 0))
			_exit(3);
		if (write(socks[1], "", 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(4);
		_exit(0);
	}
	close(socks[1]);
	ASSERT_EQ(0, ms_send_fd(socks[0], self->sub));
	close(self->sub);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
	ASSERT_EQ(1, write(go[1], "", 1));
	ASSERT_EQ(1, read(socks[0], &c, 1));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "l"));
	ASSERT_EQ(1, write(go[1], "", 1));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "l"));
}

TEST_F(lifetime, in_a_socket_nobody_reads)
{
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	ASSERT_EQ(0, ms_send_fd(socks[0], self->sub));
	close(self->sub);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	close(socks[0]);
	close(socks[1]);
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
}

/* A descriptor opened for reading stays that, whoever has it */
TEST_F(lifetime, access_is_the_files)
{
	pid_t pid;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	pid = ms_fork();
	if (!pid) {
		if (setresuid(1000, 1000, 1000))
			_exit(1);
		if (strcmp(ms_str(self->sub, "k"), "v"))
			_exit(2);
		_exit(ms_set(self->sub, "k", "w", NULL) == -EBADF ? 0 : 3);
	}
	EXPECT_EQ(0, ms_join(pid));
}

static void *read_one(void *arg)
{
	char buf[56];

	return (void *)(intptr_t)ms_read(*(int *)arg, buf, sizeof(buf));
}

/* A read() that waits is a reference too: the file lives until it returns */
TEST_F(lifetime, closed_under_a_reader)
{
	int fd = ms_open(O_RDONLY), copy = fd;
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, ms_subscribe(fd, "r", 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_one, &copy));
	ms_sleep(SECOND / 20);
	close(fd);
	EXPECT_EQ(1, ms_subscribers(self->fd, "r"));
	ASSERT_EQ(1, ms_publish(self->fd, "r", "v", NULL));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(56, (intptr_t)ret);
	EXPECT_EQ(0, ms_subscribers(self->fd, "r"));
}

TEST_F(lifetime, fdinfo)
{
	struct ms_reader r = ms_reader(self->sub, MS_READER_SIZE);
	struct metastore_info info;
	struct ms_books books = {};
	__u32 i;

	EXPECT_EQ(1, ms_fdinfo(self->sub, "subscriptions"));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "events"));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "bytes"));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "lost"));
	ASSERT_EQ(0, ms_subscribe(self->sub, "l", 0, 1));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "value", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "", NULL));
	EXPECT_EQ(2, ms_fdinfo(self->sub, "subscriptions"));
	EXPECT_EQ(2, ms_fdinfo(self->sub, "events"));
	/* Small ones count a share of queue_bytes while they wait */
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	ASSERT_LT(100, info.queue_bytes / (info.queue_len + 1));
	EXPECT_EQ(2 * (info.queue_bytes / (info.queue_len + 1)), ms_fdinfo(self->sub, "bytes"));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, self->value, sizeof(self->value), NULL));
	EXPECT_EQ(2 * (info.queue_bytes / (info.queue_len + 1)) +
		  1 + sizeof(self->value) + METASTORE_VALUE_OVERHEAD,
		  ms_fdinfo(self->sub, "bytes"));

	for (i = 0; i < info.queue_len; i++)
		ASSERT_EQ(1, ms_publish(self->fd, "l", "v", NULL));
	EXPECT_EQ(info.queue_len, ms_fdinfo(self->sub, "events"));
	EXPECT_EQ(3, ms_fdinfo(self->sub, "lost"));

	ASSERT_EQ(0, ms_drain(&r, &books));
	EXPECT_EQ(3, books.lost);
	EXPECT_EQ(0, ms_fdinfo(self->sub, "events"));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "bytes"));
	/* Ever, not only unread */
	EXPECT_EQ(3, ms_fdinfo(self->sub, "lost"));
	ASSERT_EQ(0, ms_unsubscribe(self->sub, "l"));
	EXPECT_EQ(1, ms_fdinfo(self->sub, "subscriptions"));
}

/* A file that never subscribes */
TEST_F(lifetime, fdinfo_of_nothing)
{
	EXPECT_EQ(0, ms_fdinfo(self->fd, "subscriptions"));
	EXPECT_EQ(0, ms_fdinfo(self->fd, "events"));
	EXPECT_EQ(0, ms_fdinfo(self->fd, "bytes"));
	EXPECT_EQ(0, ms_fdinfo(self->fd, "lost"));
}

TEST_HARNESS_MAIN
