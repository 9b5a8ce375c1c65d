// SPDX-License-Identifier: GPL-2.0
/*
 * Process numbers as a container sees them: each reader gets the number that the writer
 * has in the reader's own PID namespace, and 0 if it has none there.
 */
#include <sched.h>

#include "metastore_test.h"

#define GONE	0	/* or not to be seen from there */

FIXTURE(pidns)
{
	int fd;			/* subscribed to all changes of all keys */
	struct ms_reader r;
	int *line;		/* of the container that went wrong */
	pid_t *number;		/* of the container's first process */
};

FIXTURE_SETUP(pidns)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 0));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	self->line = ms_shared(sizeof(*self->line));
	self->number = ms_shared(sizeof(*self->number));
}

FIXTURE_TEARDOWN(pidns)
{
	close(self->fd);
}

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			*self->line = __LINE__; \
			_exit(2); \
		} \
	} while (0)

static pid_t of_get(int fd, const char *key)
{
	char buf[64];
	struct metastore_get arg = {
		.key = ms_ptr(key), .key_len = strlen(key), .value = ms_ptr(buf),
		.value_len = sizeof(buf), .flags = METASTORE_GET_INFO, .tgid = POISON32,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_GET, &arg);

	return ret ?: arg.tgid;
}

/* Of a key that no other begins with */
static pid_t of_list(int fd, const char *key)
{
	__u64 buf[METASTORE_LIST_MIN / 8];
	const struct metastore_list_entry *entry = (const void *)buf;
	struct metastore_list arg = {
		.prefix = ms_ptr(key), .prefix_len = strlen(key), .buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf), .bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_LIST_VALUES,
	};
	int ret = ms_ioctl(fd, METASTORE_IOC_LIST, &arg);

	if (ret || arg.entries != 1)
		return ret ?: -EBADMSG;
	return ((const struct metastore_list_details *)(entry + 1))->tgid;
}

static pid_t of_event(struct ms_reader *r, const char *key)
{
	const struct metastore_event *ev = ms_next(r);

	if (!ev || strncmp(ms_event_key(ev), key, ev->key_len))
		return -EBADMSG;
	return ev->tgid;
}

/* Whether each way to ask for the writer of the next event's key tells this number */
static bool all_tell(int fd, struct ms_reader *r, const char *key, pid_t tgid)
{
	struct metastore_stat st;

	return !ms_stat(fd, key, &st) && st.tgid == tgid && of_get(fd, key) == tgid &&
	       of_list(fd, key) == tgid && of_event(r, key) == tgid;
}

/*
 * A process whose number is 1 to itself, and that one in @number, which is shared, to the
 * others. Returns as fork() does.
 */
static pid_t fork_container(pid_t *number)
{
	pid_t pid = ms_fork();

	if (pid)
		return pid;
	if (unshare(CLONE_NEWPID))
		_exit(1);
	pid = ms_fork();
	if (!pid)
		return 0;
	__atomic_store_n(number, pid, __ATOMIC_RELEASE);
	_exit(ms_join(pid));
}

static pid_t number_of(const pid_t *number)
{
	pid_t pid;

	while (!(pid = __atomic_load_n(number, __ATOMIC_ACQUIRE)))
		sched_yield();
	return pid;
}

static void expect_well(struct __test_metadata *_metadata, struct _test_data_pidns *self,
			pid_t pid)
{
	EXPECT_EQ(0, ms_join(pid)) {
		TH_LOG("the container at line %d", *self->line);
	}
}

TEST_F(pidns, writer_outside)
{
	pid_t pid;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	pid = fork_container(self->number);
	if (!pid) {
		CHECK(getpid() == 1);
		CHECK(all_tell(self->fd, &self->r, "k", GONE));
		_exit(0);
	}
	expect_well(_metadata, self, pid);
}

TEST_F(pidns, writer_inside)
{
	pid_t pid = fork_container(self->number), writer;

	if (!pid) {
		CHECK(!ms_set(self->fd, "k", "v", NULL));
		CHECK(all_tell(self->fd, &self->r, "k", 1));
		writer = ms_fork();
		if (!writer) {
			CHECK(!ms_publish(self->fd, "k", "v", NULL));
			pause();
		}
		CHECK(writer > 1);
		CHECK(ms_poll(self->fd, 10000) == POLLIN);
		CHECK(all_tell(self->fd, &self->r, "k", writer));
		_exit(0);
	}
	expect_well(_metadata, self, pid);
}

/* In here a number that means nothing any more is none; out there it is as it was. */
TEST_F(pidns, writer_gone)
{
	pid_t pid = fork_container(self->number), writer;

	if (!pid) {
		writer = ms_fork();
		if (!writer)
			_exit(ms_set(self->fd, "k", "v", NULL));
		CHECK(!ms_join(writer));
		CHECK(all_tell(self->fd, &self->r, "k", GONE));
		_exit(0);
	}
	expect_well(_metadata, self, pid);
	EXPECT_LT(0, of_get(self->fd, "k"));
}

/* Out here the processes of a container have numbers, too. */
TEST_F(pidns, reader_outside)
{
	pid_t pid = fork_container(self->number);

	if (!pid) {
		CHECK(!ms_set(self->fd, "k", "v", NULL));
		pause();
	}
	ASSERT_EQ(POLLIN, ms_poll(self->fd, 10000));
	EXPECT_TRUE(all_tell(self->fd, &self->r, "k", number_of(self->number)));
	kill(*self->number, SIGKILL);
	EXPECT_NE(0, ms_join(pid));
}

TEST_F(pidns, container_in_a_container)
{
	pid_t *inner = ms_shared(sizeof(*inner));
	pid_t pid = fork_container(self->number);

	if (!pid) {
		if (!fork_container(inner)) {
			CHECK(getpid() == 1);
			CHECK(!ms_set(self->fd, "k", "v", NULL));
			CHECK(of_get(self->fd, "k") == 1);
			pause();
		}
		CHECK(ms_poll(self->fd, 10000) == POLLIN);
		CHECK(all_tell(self->fd, &self->r, "k", number_of(inner)));
		_exit(0);
	}
	expect_well(_metadata, self, pid);
}

/* The holder of the last descriptor, which is gone when it is told of */
static pid_t end_of_event(struct ms_reader *r, __u16 how)
{
	const struct metastore_event *ev = ms_next(r);

	if (!ev || !(ev->flags & METASTORE_EVENT_F_OWNER) || ms_event_end(ev).how != how)
		return -EBADMSG;
	return ms_event_end(ev).tgid;
}

static int own_and_exit(void)
{
	int fd = ms_open(O_RDWR);

	return ms_own(fd, "k", "v", NULL);
}

TEST_F(pidns, owner_inside)
{
	pid_t pid = fork_container(self->number), owner;

	if (!pid) {
		owner = ms_fork();
		if (!owner)
			_exit(own_and_exit());
		CHECK(!ms_join(owner));
		CHECK(of_event(&self->r, "k") == GONE);
		CHECK(end_of_event(&self->r, METASTORE_END_EXITED) == owner);
		_exit(0);
	}
	expect_well(_metadata, self, pid);
}

TEST_F(pidns, owner_outside)
{
	pid_t pid = ms_fork();

	if (!pid)
		_exit(own_and_exit());
	ASSERT_EQ(0, ms_join(pid));
	pid = fork_container(self->number);
	if (!pid) {
		CHECK(of_event(&self->r, "k") == GONE);
		CHECK(end_of_event(&self->r, METASTORE_END_EXITED) == GONE);
		_exit(0);
	}
	expect_well(_metadata, self, pid);
}

/* From a container that is gone with its namespace when the event is read */
TEST_F(pidns, owner_of_a_container_that_is_gone)
{
	pid_t pid = fork_container(self->number);

	if (!pid)
		_exit(own_and_exit());
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_LT(1, of_event(&self->r, "k"));
	EXPECT_EQ(*self->number, end_of_event(&self->r, METASTORE_END_EXITED));
}

TEST_HARNESS_MAIN
