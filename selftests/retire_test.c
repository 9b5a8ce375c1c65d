// SPDX-License-Identifier: GPL-2.0
/* The parameter retired: nobody is served any more, so that the module can be replaced */
#include <linux/capability.h>
#include <sys/epoll.h>

#include "crew.h"

#define PARAMETERS	"/sys/module/metastore/parameters/"
#define CROWD		100	/* more pollers than one publisher wakes itself */
#define ROUNDS		20

static int write_parameter(const char *name, const char *text)
{
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int retire(bool retired)
{
	return write_parameter("retired", retired ? "1" : "0");
}

static __u64 newest_version(void)
{
	unsigned long long version = 0;
	FILE *f = fopen(PARAMETERS "newest_version", "re");

	if (f && fscanf(f, "%llu", &version) != 1)
		version = 0;
	if (f)
		fclose(f);
	return version;
}

static int open_exempt(int flags)
{
	return ms_open(flags | O_EXCL);
}

static int drop_sys_module(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[0].effective &= ~(1U << CAP_SYS_MODULE);
	return syscall(SYS_capset, &header, data);
}

FIXTURE(retire)
{
	int fd;
	int sub;		/* subscribed to "key", non-blocking */
	struct ms_reader r;
};

FIXTURE_SETUP(retire)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->sub = ms_open(O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, self->sub);
	ASSERT_EQ(0, ms_subscribe(self->sub, "key", 0, 1));
	self->r = ms_reader(self->sub, 8192);
}

FIXTURE_TEARDOWN(retire)
{
	EXPECT_EQ(0, retire(false));
	close(self->fd);
	close(self->sub);
}

TEST_F(retire, commands)
{
	struct metastore_info info;
	struct metastore_op op = ms_op_set("key", "batch");
	char buf[8];

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(-ENODEV, ms_get(self->fd, "key", buf, sizeof(buf), NULL));
	EXPECT_EQ(-ENODEV, ms_set(self->fd, "key", "other", NULL));
	EXPECT_EQ(-ENODEV, ms_publish(self->fd, "key", "other", NULL));
	EXPECT_EQ(-ENODEV, ms_delete(self->fd, "key", NULL));
	EXPECT_EQ(-ENODEV, ms_batch(self->fd, &op, 1, 0, NULL));
	EXPECT_EQ(-ENODEV, ms_subscribe(self->fd, "key", 0, 0));
	EXPECT_EQ(-ENODEV, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(-ENODEV, ms_reopen(self->fd, O_RDONLY));
	EXPECT_EQ(-ENODEV, ms_create(self->fd, O_RDWR, (struct metastore_create) {}));
	EXPECT_EQ(-ENODEV, ms_pending(self->fd));
	EXPECT_EQ(-ENODEV, ms_ioctl(self->fd, 0, NULL));
	ASSERT_EQ(0, retire(false));
	EXPECT_STREQ("value", ms_str(self->fd, "key"));
	EXPECT_EQ(1, ms_publish(self->fd, "key", "new", NULL));
}

TEST_F(retire, private_stores_too)
{
	int private = ms_create(self->fd, O_RDWR, (struct metastore_create) {});

	ASSERT_LE(0, private);
	ASSERT_EQ(0, ms_set(private, "key", "value", NULL));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(-ENODEV, ms_set(private, "key", "value", NULL));
	ASSERT_EQ(0, retire(false));
	EXPECT_STREQ("value", ms_str(private, "key"));
	close(private);
}

TEST_F(retire, open)
{
	pid_t pid;
	int fd;

	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(-ENODEV, ms_open(O_RDWR));
	pid = ms_fork();
	if (!pid)
		_exit(drop_sys_module() ? 1 : -open_exempt(O_RDWR));
	EXPECT_EQ(ENODEV, ms_join(pid));
	fd = open_exempt(O_RDWR);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(retire, only_with_cap_sys_module)
{
	pid_t pid = ms_fork();

	if (!pid)
		_exit(drop_sys_module() ? 1 : -retire(true));
	EXPECT_EQ(EPERM, ms_join(pid));
	EXPECT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	EXPECT_EQ(-EINVAL, write_parameter("retired", "perhaps"));
	EXPECT_EQ(0, ms_set(self->fd, "key", "value", NULL));
}

TEST_F(retire, exempt_file_works)
{
	int fd, again;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	ASSERT_EQ(0, retire(true));
	fd = open_exempt(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, fd);
	EXPECT_STREQ("value", ms_str(fd, "key"));
	EXPECT_EQ(0, ms_set(fd, "key", "stored", NULL));
	EXPECT_EQ(0, ms_poll(fd, 0));
	/* A process that is given the descriptor may open the store once more. */
	again = ms_reopen(fd, O_RDWR);
	ASSERT_LE(0, again);
	EXPECT_STREQ("stored", ms_str(again, "key"));
	close(again);
	close(fd);
}

TEST_F(retire, what_waits_is_read_first)
{
	__u64 version;

	ASSERT_EQ(1, ms_publish(self->fd, "key", "last", &version));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(POLLIN | POLLHUP, ms_poll(self->sub, 0));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1,
		     .version = version, .key = "key", .value = "last");
	EXPECT_EQ(POLLHUP, ms_poll(self->sub, 0));
	EXPECT_EQ(-ENODEV, ms_event_type(ms_next(&self->r)));
	ASSERT_EQ(0, retire(false));
	EXPECT_TRUE(ms_silent(self->sub));
}

TEST_F(retire, readers_wake)
{
	int fd = ms_open(O_RDONLY), i;
	char buf[256];
	pid_t pids[4];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_subscribe(fd, "key", 0, 1));
	for (i = 0; i < 4; i++) {
		pids[i] = ms_fork();
		if (!pids[i])
			_exit(-ms_read(fd, buf, sizeof(buf)));
		ASSERT_TRUE(ms_asleep(pids[i]));
	}
	ASSERT_EQ(0, retire(true));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(ENODEV, ms_join(pids[i]));
	close(fd);
}

TEST_F(retire, pollers_wake)
{
	struct epoll_event event = {};
	int epolls[CROWD], i;
	pid_t pid;

	for (i = 0; i < CROWD; i++) {
		epolls[i] = epoll_create1(EPOLL_CLOEXEC);
		ASSERT_EQ(0, epoll_ctl(epolls[i], EPOLL_CTL_ADD, self->sub, &event));
	}
	pid = ms_fork();
	if (!pid)
		_exit(ms_poll(self->sub, -1));
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(POLLHUP, ms_join(pid));
	for (i = 0; i < CROWD; i++) {
		EXPECT_EQ(1, epoll_wait(epolls[i], &event, 1, ms_limit(20000)));
		EXPECT_EQ(EPOLLHUP, event.events);
	}
	ms_close_many(epolls, CROWD);
}

/* Returns the events that it was woken for, 0 if it was not */
static int epoll_exclusively(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ||
	    epoll_wait(epoll, &event, 1, ms_limit(10000)) != 1)
		return 0;
	return event.events;
}

/*
 * An event wakes one that sleeps so, a hang-up all; also beside a reader. That nobody sleeps
 * in epoll_wait() would not do: such a poller is passed over, and the next one told.
 */
TEST_F(retire, exclusive_pollers_wake)
{
	int fd = ms_open(O_RDONLY), i;
	pid_t pids[CROWD], pid;
	char buf[256];

	ASSERT_LE(0, fd);
	for (i = 0; i < CROWD; i++) {
		pids[i] = ms_fork();
		if (!pids[i])
			_exit(epoll_exclusively(fd));
	}
	for (i = 0; i < CROWD; i++)
		ASSERT_TRUE(ms_asleep(pids[i]));
	pid = ms_fork();
	if (!pid)
		_exit(-ms_read(fd, buf, sizeof(buf)));
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(ENODEV, ms_join(pid));
	for (i = 0; i < CROWD; i++)
		EXPECT_EQ(EPOLLHUP, ms_join(pids[i]));
	close(fd);
}

/* EPOLLET tells what happens, not what is: without a wake-up it would tell nothing. */
TEST_F(retire, edge)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->sub, &event));
	ASSERT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, ms_limit(20000)));
	EXPECT_EQ(EPOLLHUP, event.events);
	close(epoll);
}

TEST_F(retire, waiting_publisher_wakes)
{
	struct metastore_set arg = {
		.flags = METASTORE_F_WAIT, .timeout = METASTORE_WAIT_FOREVER
	};
	int pub = ms_open(O_RDWR);
	pid_t pid;

	ASSERT_LE(0, pub);
	ASSERT_EQ(0, ms_queue_set_len(self->sub, 1));
	ASSERT_EQ(0, ms_queue_set_policy(self->sub, METASTORE_QUEUE_LOSSLESS));
	ASSERT_EQ(1, ms_publish(self->fd, "key", "first", NULL));
	pid = ms_fork();
	if (!pid)
		_exit(-ms_store_with(pub, METASTORE_IOC_PUBLISH, "key", "second", &arg));
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, retire(true));
	EXPECT_EQ(ENODEV, ms_join(pid));
	ASSERT_EQ(0, retire(false));
	EXPECT_STREQ("first", ms_str(self->fd, "key"));
	close(pub);
}

TEST_F(retire, owned_keys_end_with_their_file)
{
	int owner = ms_open(O_RDWR), fd;

	ASSERT_LE(0, owner);
	ASSERT_EQ(0, ms_own(owner, "owned", "value", NULL));
	ASSERT_EQ(0, retire(true));
	fd = open_exempt(O_RDONLY);
	EXPECT_STREQ("value", ms_str(fd, "owned"));
	close(owner);
	EXPECT_STREQ("ENOENT", ms_str(fd, "owned"));
	close(fd);
}

static bool grows_beyond(__u64 version)
{
	__u64 i;

	for (i = 0; i < ms_limit(2000) && newest_version() <= version; i++)
		usleep(1000);
	return newest_version() > version;
}

/* Sets and batches of several processes: once retire() has returned there is none. */
TEST_F(retire, nothing_changes_afterwards)
{
	__u64 before, after;
	int i, fd;

	ASSERT_TRUE(crew_init());
	for (i = 0; i < 3; i++) {
		/* Not in the child, which may not get so far before the first retirement */
		fd = ms_open(O_RDWR | O_NONBLOCK);
		ASSERT_LE(0, fd);
		if (!crew_child()) {
			close(fd);
			continue;
		}
		while (!crew_done()) {
			struct metastore_op ops[] = {
				ms_op_set("a", "x"), ms_op_set("b", "y"), ms_op_set("c", "z"),
			};

			ms_set(fd, "a", "single", NULL);
			ms_batch(fd, ops, 3, METASTORE_BATCH_ATOMIC, NULL);
		}
		_exit(0);
	}
	crew_start();
	for (i = 0; i < ROUNDS; i++) {
		usleep(5000);
		ASSERT_EQ(0, retire(true));
		before = newest_version();
		usleep(5000);
		after = newest_version();
		EXPECT_EQ(before, after);
		ASSERT_EQ(0, retire(false));
	}
	/* Now they get on. */
	EXPECT_TRUE(grows_beyond(after));
	crew_finish();
	EXPECT_TRUE(crew_join(0, 3));
}

/* An open file that comes and goes meanwhile is no harm to the walk over all of them. */
TEST_F(retire, files_come_and_go)
{
	int i, fd;

	ASSERT_TRUE(crew_init());
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		while (!crew_done()) {
			fd = ms_open(O_RDWR);
			CHECK(fd >= 0 || fd == -ENODEV);
			close(fd);
		}
		_exit(0);
	}
	crew_start();
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, retire(true));
		EXPECT_EQ(-ENODEV, ms_open(O_RDONLY));
		ASSERT_EQ(0, retire(false));
		usleep(1000);
	}
	crew_finish();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
}

TEST_F(retire, newest_version)
{
	__u64 version, last;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", &version));
	EXPECT_LE(version, newest_version());
	ASSERT_EQ(0, ms_delete(self->fd, "key", &last));
	EXPECT_LE(last, newest_version());
	EXPECT_EQ(-EACCES, write_parameter("newest_version", "1"));
}

TEST_HARNESS_MAIN
