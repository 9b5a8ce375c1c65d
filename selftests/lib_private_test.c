// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: private stores, and descriptors of stores. Like lib_test.c, about
 * what the library makes of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_keys_test.h"

/* Private stores, which the fixture's store is made from */

TEST_F(store, private)
{
	struct mstore *private = mstore_create(self->store, NULL, MSTORE_RDWR), *other;
	struct mstore_info info, from;

	ASSERT_NE(NULL, private);
	EXPECT_EQ(O_RDWR, fcntl(mstore_fd(private), F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(FD_CLOEXEC, fcntl(mstore_fd(private), F_GETFD));
	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &from));
	ASSERT_EQ(0, mstore_info(private, MSTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.subscriptions);
	EXPECT_EQ(8, info.buckets);
	EXPECT_EQ(from.max_value, info.max_value);
	EXPECT_EQ(from.queue_len, info.queue_len);
	EXPECT_EQ(from.queue_bytes, info.queue_bytes);
	EXPECT_EQ(from.max_keys, info.max_keys);
	EXPECT_EQ(from.max_bytes, info.max_bytes);

	/* Three stores, three values of one key */
	other = mstore_create(private, NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, other);
	EXPECT_EQ(0, set_with(self->store, "default", NULL, NULL));
	EXPECT_EQ(0, set_with(private, "private", NULL, NULL));
	EXPECT_TRUE(holds(other, NULL));
	EXPECT_TRUE(holds(private, "private"));
	EXPECT_EQ(0, mstore_delete(private, KEY, strlen(KEY), NULL));
	EXPECT_TRUE(holds(self->store, "default"));
	mstore_close(other);
	mstore_close(private);
}

TEST_F(store, create_limits)
{
	const struct mstore_limits limits = {
		.buckets = 3, .max_value = 10, .queue_len = 4, .queue_bytes = 8192,
		.max_keys = 2, .max_bytes = 5000,
	};
	struct mstore *private = mstore_create(self->store, &limits, MSTORE_RDWR);
	struct mstore_info info;

	ASSERT_NE(NULL, private);
	ASSERT_EQ(0, mstore_info(private, MSTORE_ANY_BUCKET, &info));
	EXPECT_EQ(3, info.buckets);
	EXPECT_EQ(10, info.max_value);
	EXPECT_EQ(4, info.queue_len);
	EXPECT_EQ(8192, info.queue_bytes);
	EXPECT_EQ(2, info.max_keys);
	EXPECT_EQ(5000, info.max_bytes);

	EXPECT_ERRNO(EMSGSIZE, mstore_set(private, "1", 1, "12345678901", 11, NULL));
	EXPECT_EQ(0, mstore_set(private, "1", 1, "1234567890", 10, NULL));
	EXPECT_EQ(0, mstore_set(private, "2", 1, "2", 1, NULL));
	EXPECT_ERRNO(ENOSPC, mstore_set(private, "3", 1, "3", 1, NULL));
	mstore_close(private);
}

TEST_F(store, create_refused)
{
	static const struct mstore_limits bad[] = {
		{ .buckets = 65537 },
		{ .max_value = 16777217 },
		{ .queue_len = 1048577 },
		{ .queue_bytes = 4095 },
		{ .queue_bytes = 1073741825 },
		{ .max_keys = 2147483649 },
		{ .max_bytes = 4095 },
	};
	static const int bad_flags[] = { 0, MSTORE_NONBLOCK, MSTORE_READ | 16, -1 };
	struct mstore *reader = mstore_open(DEVICE, MSTORE_READ);
	struct mstore_limits limits;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(NULL, mstore_create(self->store, &bad[i], MSTORE_RDWR))
			TH_LOG("limits %zu", i);
		EXPECT_EQ(EINVAL, errno);
	}
	for (size_t i = 0; i < ARRAY_SIZE(limits.reserved); i++) {
		memset(&limits, 0, sizeof(limits));
		limits.reserved[i] = 1ULL << 40;
		EXPECT_NULL_ERRNO(EINVAL, mstore_create(self->store, &limits, MSTORE_RDWR));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_flags); i++) {
		EXPECT_NULL_ERRNO(EINVAL, mstore_create(self->store, NULL, bad_flags[i]));
		EXPECT_NULL_ERRNO(EINVAL, mstore_reopen(self->store, bad_flags[i]));
	}
	EXPECT_NULL_ERRNO(EINVAL, mstore_reopen(self->store, MSTORE_READ | MSTORE_MAPPED));

	ASSERT_NE(NULL, reader);
	EXPECT_NULL_ERRNO(EBADF, mstore_create(reader, NULL, MSTORE_READ));
	mstore_close(reader);
}

/* A user who may not have more gets as much as the store that his is made from. */
TEST_F(store, create_wider)
{
	struct mstore_limits limits = { .max_keys = 10 };
	struct mstore *private = mstore_create(self->store, &limits, MSTORE_RDWR), *other;

	ASSERT_NE(NULL, private);
	limits.max_keys = 11;
	ASSERT_EQ(0, seteuid(65534));
	EXPECT_NULL_ERRNO(EPERM, mstore_create(private, &limits, MSTORE_RDWR));
	limits.max_keys = 10;
	limits.buckets = 1001;
	other = mstore_create(private, &limits, MSTORE_RDWR);
	EXPECT_NE(NULL, other);
	ASSERT_EQ(0, seteuid(0));
	mstore_close(other);
	mstore_close(private);
}

TEST_F(store, too_many_descriptors)
{
	struct rlimit limit;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_NULL_ERRNO(EMFILE, mstore_create(self->store, NULL, MSTORE_RDWR));
	EXPECT_NULL_ERRNO(EMFILE, mstore_reopen(self->store, MSTORE_RDWR));
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

/* Private stores share what they may take, and give it back when they go. */
TEST_F(store, private_bytes)
{
	static const struct mstore_limits limits = { .buckets = 1 };
	struct mstore *first, *second;
	struct mstore_info info;
	char *value, key[16];
	int ret, turn, i;

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	value = calloc(1, info.max_value);
	ASSERT_NE(NULL, value);
	for (turn = 0; turn < 2; turn++) {
		first = mstore_create(self->store, &limits, MSTORE_RDWR);
		ASSERT_NE(NULL, first);
		second = mstore_create(self->store, &limits, MSTORE_RDWR);
		ASSERT_NE(NULL, second);
		for (i = 0, ret = 0; !ret && i < 1000000; i++) {
			snprintf(key, sizeof(key), "%d", i);
			ret = mstore_set(i % 2 ? first : second, key, MSTORE_STRLEN, value,
					 info.max_value, NULL);
		}
		EXPECT_EQ(-1, ret);
		EXPECT_EQ(ENOSPC, errno);
		EXPECT_LT(info.private_bytes / (info.max_value + 1000), i);
		EXPECT_GT(info.private_bytes / info.max_value, i - 1);
		mstore_close(first);
		mstore_close(second);
	}
	free(value);
}

TEST_F(store, private_flush)
{
	struct mstore *private, *reader;
	uint64_t subscriptions = POISON;

	ASSERT_EQ(0, seteuid(65534));
	private = mstore_create(self->store, NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, private);
	reader = mstore_reopen(private, MSTORE_READ);
	ASSERT_NE(NULL, reader);
	ASSERT_EQ(0, mstore_subscribe(reader, KEY, strlen(KEY), 0, 0));

	EXPECT_EQ(0, mstore_flush(private, NULL, 0, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_SUBSCRIPTIONS, NULL, &subscriptions));
	EXPECT_EQ(1, subscriptions);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, seteuid(65533));
	EXPECT_ERRNO(EPERM, mstore_flush(private, NULL, 0, MSTORE_ANY_BUCKET,
					 MSTORE_FLUSH_SUBSCRIPTIONS, NULL, NULL));
	ASSERT_EQ(0, seteuid(0));
	mstore_close(reader);
	mstore_close(private);
}

TEST_F(store, reopen)
{
	struct mstore *private = mstore_create(self->store, NULL, MSTORE_RDWR), *again;

	ASSERT_NE(NULL, private);
	again = mstore_reopen(private, MSTORE_RDWR | MSTORE_NONBLOCK);
	ASSERT_NE(NULL, again);
	EXPECT_EQ(O_RDWR | O_NONBLOCK,
		  fcntl(mstore_fd(again), F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(FD_CLOEXEC, fcntl(mstore_fd(again), F_GETFD));

	/* One store, but a queue, subscriptions and keys of its own */
	ASSERT_EQ(0, mstore_subscribe(again, KEY, strlen(KEY), MSTORE_EVENT_SET, 0));
	ASSERT_EQ(0, set_with(private, "value", &owned, NULL));
	EXPECT_TRUE(holds(again, "value"));
	EXPECT_EQ(0, mstore_wait(private, 0));
	EXPECT_EQ(1, mstore_wait(again, 0));
	EXPECT_EQ(MSTORE_OWNER_OTHER, owner_of(again));

	/* The store is there as long as one of them is */
	mstore_close(private);
	EXPECT_TRUE(holds(again, NULL));
	EXPECT_EQ(0, set_with(again, "value", NULL, NULL));
	mstore_close(again);
}

TEST_F(store, reopen_narrower)
{
	struct mstore *reader = mstore_reopen(self->store, MSTORE_READ);
	struct mstore *writer = mstore_reopen(self->store, MSTORE_WRITE), *again;
	size_t size = 0;

	ASSERT_NE(NULL, reader);
	ASSERT_NE(NULL, writer);
	EXPECT_EQ(0, set_with(writer, "", NULL, NULL));
	EXPECT_EQ(0, mstore_get(reader, KEY, strlen(KEY), NULL, &size, NULL));
	EXPECT_ERRNO(EBADF, set_with(reader, "", NULL, NULL));
	EXPECT_ERRNO(EBADF, mstore_get(writer, KEY, strlen(KEY), NULL, &size, NULL));

	EXPECT_NULL_ERRNO(EACCES, mstore_reopen(reader, MSTORE_RDWR));
	EXPECT_NULL_ERRNO(EACCES, mstore_reopen(reader, MSTORE_WRITE));
	EXPECT_NULL_ERRNO(EACCES, mstore_reopen(writer, MSTORE_READ));
	again = mstore_reopen(reader, MSTORE_READ);
	EXPECT_NE(NULL, again);
	mstore_close(again);
	mstore_close(writer);
	mstore_close(reader);
}

static void name_fd(char *name, size_t size, int fd)
{
	snprintf(name, size, "fd:%d", fd);
}

TEST_F(store, open_fd_name)
{
	struct mstore *private = mstore_create(self->store, NULL, MSTORE_RDWR), *store;
	char name[16];

	ASSERT_NE(NULL, private);
	ASSERT_EQ(0, set_with(private, "private", NULL, NULL));
	name_fd(name, sizeof(name), mstore_fd(private));
	store = mstore_open(name, MSTORE_READ | MSTORE_NONBLOCK);
	ASSERT_NE(NULL, store);
	EXPECT_NE(mstore_fd(private), mstore_fd(store));
	EXPECT_EQ(O_RDONLY | O_NONBLOCK,
		  fcntl(mstore_fd(store), F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	EXPECT_EQ(FD_CLOEXEC, fcntl(mstore_fd(store), F_GETFD));
	EXPECT_TRUE(holds(store, "private"));

	/* The descriptor it was opened from is neither taken nor needed. */
	mstore_close(private);
	EXPECT_TRUE(holds(store, "private"));
	name_fd(name, sizeof(name), mstore_fd(store));
	EXPECT_NULL_ERRNO(EACCES, mstore_open(name, MSTORE_RDWR));
	EXPECT_NULL_ERRNO(EINVAL, mstore_open(name, 0));
	mstore_close(store);
	EXPECT_NULL_ERRNO(EBADF, mstore_open(name, MSTORE_READ));
}

/* As a program finds the store that its parent made for it */
TEST_F(store, open_fd_by_environment)
{
	struct mstore *private = mstore_create(self->store, NULL, MSTORE_RDWR), *store;
	char name[16];
	pid_t pid;

	ASSERT_NE(NULL, private);
	ASSERT_EQ(0, set_with(private, "private", &owned, NULL));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		name_fd(name, sizeof(name), dup(mstore_fd(private)));
		setenv("METASTORE_STORE", name, 1);
		store = mstore_open(NULL, MSTORE_RDWR);
		_exit(store && holds(store, "private") &&
		      owner_of(store) == MSTORE_OWNER_OTHER ? 0 : 1);
	}
	EXPECT_EQ(0, join(pid));
	mstore_close(private);
}

TEST(open_fd_bad_names)
{
	static const char *const paths[] = {
		"fd:", "fd:x", "fd:0x", "fd:-1", "fd:+0", "fd: 0", "fd:0 ", "fd:0/", "fd", "FD:0",
	};
	char name[16];
	int fd = open("/dev/null", O_RDWR);

	ASSERT_LE(0, fd);
	name_fd(name, sizeof(name), fd);
	EXPECT_NULL_ERRNO(ENOTTY, mstore_open(name, MSTORE_READ));
	EXPECT_EQ(0, fcntl(fd, F_GETFD));
	close(fd);
	EXPECT_NULL_ERRNO(EBADF, mstore_open(name, MSTORE_READ));
	EXPECT_NULL_ERRNO(EBADF, mstore_open("fd:4294967296", MSTORE_READ));
	EXPECT_NULL_ERRNO(EBADF, mstore_open("fd:99999999999999999999999", MSTORE_READ));

	/* These name files, which are not there. */
	ASSERT_EQ(0, chdir("/sys"));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		EXPECT_EQ(NULL, mstore_open(paths[i], MSTORE_READ))
			TH_LOG("%s", paths[i]);
		EXPECT_EQ(ENOENT, errno);
	}
}

static void send_fd(int via, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = "";
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	sendmsg(via, &message, 0);
}

static int receive_fd(int via)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd = -1;

	if (recvmsg(via, &message, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (header)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/*
 * A child gets a store that has no name in any other way than over a socket, to read
 * alone. It lives on in the child when all others have closed it.
 */
TEST_F(store, over_a_socket)
{
	struct mstore *private, *reader, *received;
	int sockets[2];
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(sockets[0]);
		received = mstore_open_fd(receive_fd(sockets[1]));
		/* Until the parent has closed its descriptors */
		if (!received || recv(sockets[1], &byte, 1, 0) != 1)
			_exit(1);
		if (!holds(received, "private"))
			_exit(2);
		if (set_with(received, "v", NULL, NULL) != -1 || errno != EBADF)
			_exit(3);
		_exit(mstore_reopen(received, MSTORE_RDWR) ? 4 : 0);
	}
	close(sockets[1]);
	private = mstore_create(self->store, NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, private);
	ASSERT_EQ(0, set_with(private, "private", NULL, NULL));
	reader = mstore_reopen(private, MSTORE_READ);
	ASSERT_NE(NULL, reader);
	send_fd(sockets[0], mstore_fd(reader));
	mstore_close(reader);
	mstore_close(private);
	EXPECT_EQ(1, send(sockets[0], &byte, 1, 0));
	EXPECT_EQ(0, join(pid));
	close(sockets[0]);
}

TEST_HARNESS_MAIN
