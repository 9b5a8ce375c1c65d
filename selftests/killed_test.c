// SPDX-License-Identifier: GPL-2.0
/*
 * A process that is killed in a call that takes long ends soon, and the rest is whole.
 * On a busy machine the call may be through before the signal is sent: hence several
 * attempts.
 */
#include <sys/resource.h>

#include "metastore_test.h"

#define ATTEMPTS 20

#define KEYS	30000U
#define FILES	3000U

FIXTURE(killed)
{
	int fd;
	__u64 *began;			/* a child's CPU time as it calls */
};

FIXTURE_SETUP(killed)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->began = ms_shared(sizeof(*self->began));
	ASSERT_TRUE(!!self->began);
}

FIXTURE_TEARDOWN(killed)
{
	ms_reset(self->fd);
	close(self->fd);
}

static int set_keys(int fd)
{
	int ret = 0;
	__u32 i;

	for (i = 0; i < KEYS && !ret; i++)
		ret = ms_setn(fd, &i, sizeof(i), "v", 1, NULL);
	return ret;
}

static struct metastore_info info_of(int fd)
{
	struct metastore_info info;

	ms_info(fd, METASTORE_ANY_BUCKET, &info);
	return info;
}

/* What all children that have ended took */
static __u64 children_took(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SECOND +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000ULL;
}

#define TICK	(SECOND / 50000)

/* Goes over all keys, and finds none */
static pid_t list_in_child(struct _test_data_killed *self)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = {
		.prefix = ms_ptr("none of them"),
		.prefix_len = 12,
		.buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf),
		.bucket = METASTORE_ANY_BUCKET,
	};
	pid_t pid;

	*self->began = 0;
	pid = ms_fork_below();
	if (pid)
		return pid;
	*self->began = ms_now(CLOCK_PROCESS_CPUTIME_ID);
	_exit(ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg) ? 1 : 0);
}

/* What it has taken for the call by now */
static __u64 taken_by(struct _test_data_killed *self, pid_t pid)
{
	__u64 began = __atomic_load_n(self->began, __ATOMIC_RELAXED);
	clockid_t clock;

	if (!began || clock_getcpuclockid(pid, &clock))
		return 0;
	return ms_now(clock) - began;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {};

	waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
	return info.si_pid == pid;
}

/* Returns what the call took; @limit: it is killed when it has taken that */
static __u64 list_until(struct _test_data_killed *self, __u64 limit)
{
	__u64 before = children_took();
	pid_t pid = list_in_child(self);

	if (limit) {
		while (taken_by(self, pid) < limit && !has_ended(pid))
			ms_sleep(TICK);
		kill(pid, SIGKILL);
	}
	ms_join(pid);
	return children_took() - before - *self->began;
}

TEST_F_TIMEOUT(killed, list, 170)
{
	__u64 all = -1ULL, some = -1ULL, took;
	int i;

	ASSERT_EQ(0, set_keys(self->fd));
	for (i = 0; i < 3; i++) {
		took = list_until(self, 0);
		all = took < all ? took : all;
	}
	for (i = 0; i < ATTEMPTS && some > all / 2; i++)
		some = list_until(self, all / 20);
	EXPECT_GT(all / 2, some);
	EXPECT_EQ(KEYS, info_of(self->fd).keys);
}

/* Keys that are listed, which must be as many as INFO says, and have values */
static __u64 count_keys(int fd)
{
	static char buf[65536];
	struct metastore_list_entry *entry;
	struct metastore_list arg = {
		.buffer = ms_ptr(buf),
		.bucket = METASTORE_ANY_BUCKET,
	};
	__u64 count = 0;
	char cursor[4];
	__u32 pos;

	do {
		arg.buffer_len = sizeof(buf);
		if (ms_ioctl(fd, METASTORE_IOC_LIST, &arg))
			return -1;
		for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
			entry = (void *)(buf + pos);
			memcpy(cursor, buf + pos + entry->header_len, sizeof(cursor));
			count += ms_getn(fd, cursor, sizeof(cursor), NULL, 0, NULL) == -ERANGE;
		}
		arg.cursor = ms_ptr(cursor);
		arg.cursor_len = sizeof(cursor);
	} while (arg.entries);
	return count;
}

/* Flushes all, and is killed when it has begun to. How far it came is what is tested. */
static int flush_until(struct _test_data_killed *self, __u64 (*left)(int fd), __u64 all)
{
	pid_t pid = ms_fork_below();

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(ms_reset(self->fd) ? 1 : 0);
	while (left(self->fd) == all)
		ms_sleep(TICK);
	kill(pid, SIGKILL);
	ms_join(pid);
	return 0;
}

static __u64 keys_left(int fd)
{
	return info_of(fd).keys;
}

static __u64 subscriptions_left(int fd)
{
	return info_of(fd).subscriptions;
}

static __u64 subscribers_left(int fd)
{
	return ms_subscribers(fd, "k");
}

/* What was removed by then stays removed */
TEST_F_TIMEOUT(killed, flush, 170)
{
	__u64 left = 0;
	int i;

	for (i = 0; i < ATTEMPTS && !left; i++) {
		ASSERT_EQ(0, set_keys(self->fd));
		ASSERT_EQ(0, flush_until(self, keys_left, KEYS));
		left = keys_left(self->fd);
	}
	EXPECT_LT(0, left);
	EXPECT_GT(KEYS, left);
	EXPECT_EQ(left, count_keys(self->fd));
	/* And can be removed by another */
	EXPECT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(0, keys_left(self->fd));
}

/* A file has lost those of which it is told, and has the others still */
static void flush_those_of_a_file(struct __test_metadata *_metadata,
				  struct _test_data_killed *self,
				  int (*subscribe)(int fd, const void *key, __u32 len,
						   __u32 events, __u64 cookie))
{
	struct ms_reader r = ms_reader(ms_open(O_RDONLY | O_NONBLOCK), MS_READER_SIZE);
	struct ms_books books = {};
	__u64 left = 0;
	__u32 key;
	int i;

	for (i = 0; i < ATTEMPTS && !left; i++) {
		for (key = 0; key < KEYS; key++)
			ASSERT_EQ(0, subscribe(r.fd, &key, sizeof(key), 0, key));
		ASSERT_EQ(0, flush_until(self, subscriptions_left, KEYS));
		left = subscriptions_left(self->fd);
	}
	EXPECT_LT(0, left);
	EXPECT_GT(KEYS, left);
	EXPECT_EQ(left, ms_fdinfo(r.fd, "subscriptions"));
	EXPECT_EQ(0, ms_drain(&r, &books));
	EXPECT_EQ((__u64)i * KEYS - left, books.flushed);
}

TEST_F_TIMEOUT(killed, flush_subscriptions, 170)
{
	flush_those_of_a_file(_metadata, self, ms_subscriben);
}

TEST_F_TIMEOUT(killed, flush_prefixes, 170)
{
	flush_those_of_a_file(_metadata, self, ms_subscribe_prefixn);
}

/* The same of files that are subscribed to one key */
TEST_F_TIMEOUT(killed, flush_subscribers, 170)
{
	struct rlimit limit = { FILES + 100, FILES + 100 };
	static int fds[FILES];
	struct metastore_event event;
	__u64 left = 0, flushed = 0;
	__u32 file;
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (file = 0; file < FILES; file++)
		fds[file] = ms_open(O_RDONLY | O_NONBLOCK);
	for (i = 0; i < ATTEMPTS && !left; i++) {
		for (file = 0; file < FILES; file++)
			ASSERT_EQ(0, ms_subscribe(fds[file], "k", 0, 0));
		ASSERT_EQ(0, flush_until(self, subscribers_left, FILES));
		left = subscribers_left(self->fd);
	}
	EXPECT_LT(0, left);
	EXPECT_GT(FILES, left);
	for (file = 0; file < FILES; file++)
		if (ms_read(fds[file], &event, sizeof(event)) == sizeof(event))
			flushed += event.count;
	EXPECT_EQ((__u64)i * FILES - left, flushed);
	EXPECT_EQ(left, ms_publish(self->fd, "k", "v", NULL));
}

/* Events that came to a file */
static __u64 came_to(int fd)
{
	return ms_fdinfo(fd, "matched");
}

#define CROWD	500U
#define OPS	METASTORE_BATCH_MAX

/* Each operation takes its time, for many are told; it is done as a whole or not at all */
TEST_F_TIMEOUT(killed, batch, 170)
{
	static struct metastore_op ops[OPS];
	__u64 before, done = OPS;
	static int fds[CROWD];
	pid_t pid;
	__u32 i;
	int n;

	ASSERT_EQ(0, ms_open_many(fds, CROWD, "k", 0));
	for (i = 0; i < OPS; i++)
		ops[i] = ms_op_publish("k", "v");
	for (n = 0; n < ATTEMPTS && done == OPS; n++) {
		before = came_to(fds[0]);
		pid = ms_fork_below();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(ms_batch(self->fd, ops, OPS, 0, NULL) ? 1 : 0);
		while (came_to(fds[0]) == before)
			ms_sleep(TICK);
		kill(pid, SIGKILL);
		ms_join(pid);
		done = came_to(fds[0]) - before;
		for (i = 1; i < CROWD; i++)
			ASSERT_EQ(before + done, came_to(fds[i]));
	}
	EXPECT_LT(0, done);
	EXPECT_GT(OPS, done);
}

#define TURNS	8

/*
 * An atomic batch completes the delivery of an earlier one that changed one of its keys. One
 * that is killed meanwhile is not done, and does not go on: the earlier one's events still
 * reach their subscribers.
 */
TEST_F_TIMEOUT(killed, atomic_batch, 170)
{
	static const char * const keys[TURNS] = { "a", "b", "c", "d", "e", "f", "g", "h" };
	struct rlimit limit = { FILES + 100, FILES + 100 };
	struct metastore_op ops[TURNS];
	struct metastore_op late[] = { ms_op_set("killed", "v"), ms_op_publish("a", "v") };
	bool amid = false;
	static int fds[FILES];
	pid_t first, second;
	__u64 before;
	__u32 i, k;
	int n;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	for (i = 0; i < FILES; i++) {
		fds[i] = ms_open(O_RDONLY | O_NONBLOCK);
		for (k = 0; k < TURNS; k++)
			ASSERT_EQ(0, ms_subscribe(fds[i], keys[k], 0, 0));
	}
	for (k = 0; k < TURNS; k++)
		ops[k] = ms_op_publish(keys[k], "v");
	for (n = 0; n < ATTEMPTS && !amid; n++) {
		ms_delete(self->fd, "killed", NULL);
		before = came_to(fds[0]);
		first = ms_fork_below();
		if (!first)
			_exit(ms_batch(self->fd, ops, TURNS, METASTORE_BATCH_ATOMIC, NULL) ? 1 : 0);
		/* The youngest is the first to be told, the oldest the last */
		while (came_to(fds[FILES - 1]) == before)
			ms_sleep(TICK);
		second = ms_fork_below();
		if (!second)
			_exit(ms_batch(self->fd, late, 2, METASTORE_BATCH_ATOMIC, NULL) ? 1 : 0);
		ms_sleep(n % 16 * TICK);
		amid = came_to(fds[0]) == before && !has_ended(second);
		kill(second, SIGKILL);
		ms_join(second);
		amid &= !strcmp("ENOENT", ms_str(self->fd, "killed"));
		EXPECT_EQ(0, ms_join(first));
		if (amid)
			EXPECT_EQ(before + TURNS, came_to(fds[0]));
	}
	EXPECT_TRUE(amid);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "killed"));
}

TEST_HARNESS_MAIN
