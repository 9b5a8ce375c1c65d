// SPDX-License-Identifier: GPL-2.0
/* PUBLISH that waits until all who declared themselves lossless have room */
#include <sys/stat.h>

#include "crew.h"

#define PREFIX		METASTORE_SUBSCRIBE_PREFIX
#define LATEST		METASTORE_SUBSCRIBE_LATEST
#define FOREVER		METASTORE_WAIT_FOREVER
#define LEN		3
#define MANY		100

FIXTURE(wait)
{
	int fd;			/* to look at the store with, and to change it */
	int pub;		/* of who waits */
	int sub;		/* of who has no room */
	int many[MANY];
	struct ms_reader r;
	struct metastore_set *arg;	/* shared with who waits */
	__u64 version;
};

static int open_lossless(__u32 len)
{
	int fd = ms_open(O_RDONLY | O_NONBLOCK);

	if (fd >= 0 && (ms_queue_set_len(fd, len) ||
			ms_queue_set_policy(fd, METASTORE_QUEUE_LOSSLESS)))
		return -1;
	return fd;
}

static int fill(int fd, const char *key)
{
	int i, ret = 0;

	for (i = 0; i < LEN && ret >= 0; i++)
		ret = ms_publish(fd, key, "old", NULL);
	return ret;
}

FIXTURE_SETUP(wait)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->pub = ms_open(O_RDWR);
	ASSERT_LE(0, self->pub);
	self->arg = ms_shared(sizeof(*self->arg));
	ASSERT_TRUE(!!self->arg);
	self->sub = open_lossless(LEN);
	ASSERT_LE(0, self->sub);
	ASSERT_EQ(0, ms_subscribe(self->sub, "key", 0, 1));
	ASSERT_EQ(1, fill(self->fd, "key"));
	self->version = ms_version(self->fd, "key");
	self->r = ms_reader(self->sub, 8192);
}

FIXTURE_TEARDOWN(wait)
{
	close(self->fd);
}

static int publish(struct _test_data_wait *self, __u32 timeout)
{
	self->arg->flags |= METASTORE_F_WAIT;
	self->arg->timeout = timeout;
	return ms_store_with(self->pub, METASTORE_IOC_PUBLISH, "key", "new", self->arg);
}

/* In a child, which ends with the errno, and does not keep others' files open */
static pid_t publish_in_child(struct _test_data_wait *self, __u32 timeout)
{
	pid_t pid = ms_fork();

	if (pid)
		return pid;
	close(self->sub);
	ms_close_many(self->many, MANY);
	_exit(-publish(self, timeout));
}

static int read_one(int fd)
{
	char buf[256];
	int size = ms_pending(fd);

	return size <= 0 || size > (int)sizeof(buf) ? -1 : ms_read(fd, buf, size);
}

static __u64 matched(int fd)
{
	struct metastore_queue_info info;

	return ms_queue(fd, &info) ? ~0ULL : info.matched;
}

static int waiting(int fd)
{
	struct metastore_queue_info info;

	return ms_queue(fd, &info) ?: (int)info.len;
}

/* As if there had been no PUBLISH */
static bool unchanged(struct _test_data_wait *self)
{
	return ms_version(self->fd, "key") == self->version &&
	       !strcmp("old", ms_str(self->fd, "key")) && matched(self->sub) == LEN &&
	       waiting(self->sub) == LEN;
}

TEST_F(wait, until_there_is_room)
{
	pid_t pid = publish_in_child(self, FOREVER);
	int i;

	ASSERT_TRUE(ms_asleep(pid));
	EXPECT_TRUE(unchanged(self));
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(1, self->arg->queues);
	EXPECT_STREQ("new", ms_str(self->fd, "key"));
	EXPECT_EQ(ms_version(self->fd, "key"), self->arg->version);
	for (i = 1; i < LEN; i++)
		EXPECT_EQ(METASTORE_EVENT_PUBLISHED, ms_event_type(ms_next(&self->r)));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1,
		     .version = self->arg->version, .key = "key", .value = "new");
	EXPECT_TRUE(ms_silent(self->sub));
	/* With room there is no wait */
	EXPECT_EQ(0, publish(self, 0));
	EXPECT_EQ(1, self->arg->queues);
}

TEST_F(wait, etimedout)
{
	__u64 before = ms_now(CLOCK_MONOTONIC);

	EXPECT_EQ(-ETIMEDOUT, publish(self, 50));
	EXPECT_LE(50 * SECOND / 1000, ms_now(CLOCK_MONOTONIC) - before);
	EXPECT_TRUE(unchanged(self));
	/* What had been claimed in vain is not missing */
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(1, ms_publish(self->fd, "key", "old", NULL));
	EXPECT_EQ(0, ms_queue_set_len(self->sub, LEN));
}

TEST_F(wait, eagain)
{
	EXPECT_EQ(-EAGAIN, publish(self, 0));
	EXPECT_TRUE(unchanged(self));
	ASSERT_EQ(0, fcntl(self->pub, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(-EAGAIN, publish(self, FOREVER));
	EXPECT_EQ(-EAGAIN, publish(self, 100000));
	EXPECT_TRUE(unchanged(self));
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(0, publish(self, FOREVER));
}

static void note_signal(int sig)
{
	(void)sig;
}

static bool handle_signal(int flags)
{
	struct sigaction action = { .sa_handler = note_signal, .sa_flags = flags };

	return !sigaction(SIGUSR1, &action, NULL);
}

TEST_F(wait, eintr)
{
	pid_t pid;

	ASSERT_TRUE(handle_signal(0));
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	EXPECT_EQ(EINTR, ms_join(pid));
	EXPECT_TRUE(unchanged(self));
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-1, ms_join(pid));
	EXPECT_TRUE(unchanged(self));
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(0, publish(self, 0));
}

/* The same arguments wait for no longer than they would have */
TEST_F(wait, eintr_keeps_the_deadline)
{
	__u64 begin = ms_now(CLOCK_MONOTONIC);
	pid_t pid;

	ASSERT_TRUE(handle_signal(0));
	pid = publish_in_child(self, 500);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	EXPECT_EQ(EINTR, ms_join(pid));
	EXPECT_NE(0, self->arg->deadline);
	ms_sleep(SECOND / 2);
	/* Its time is over */
	EXPECT_EQ(ETIMEDOUT, ms_join(publish_in_child(self, 500)));
	EXPECT_LE(SECOND / 2, ms_now(CLOCK_MONOTONIC) - begin);
	EXPECT_EQ(0, self->arg->deadline);
	EXPECT_TRUE(unchanged(self));
}

/* A call that fails before it waits ends the wait too */
TEST_F(wait, a_failure_clears_the_deadline)
{
	struct metastore_set arg = {
		.key = ms_ptr("key"),
		.value = 1,
		.key_len = 3,
		.value_len = 5,
		.flags = METASTORE_F_WAIT,
		.timeout = 1000,
		.deadline = 1,
	};

	EXPECT_EQ(-EFAULT, ms_ioctl(self->pub, METASTORE_IOC_PUBLISH, &arg));
	EXPECT_EQ(0, arg.deadline);
	arg.deadline = 1;
	arg.value = ms_ptr("value");
	arg.flags |= METASTORE_F_CREATE;
	EXPECT_EQ(-EEXIST, ms_ioctl(self->pub, METASTORE_IOC_PUBLISH, &arg));
	EXPECT_EQ(0, arg.deadline);
	EXPECT_TRUE(unchanged(self));
}

static bool is_in_state(pid_t pid, char state)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);

	while (ms_state(pid) != state && ms_now(CLOCK_MONOTONIC) < end)
		ms_sleep(SECOND / 1000);
	return ms_state(pid) == state;
}

static bool by_handler(pid_t pid)
{
	return !kill(pid, SIGUSR1);
}

static bool by_stop(pid_t pid)
{
	return !kill(pid, SIGSTOP) && is_in_state(pid, 'T') && !kill(pid, SIGCONT);
}

#define GROUP	MS_CGROUP "/metastore_wait_test"

static bool is_frozen(void)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);

	while (ms_cgroup_read(GROUP, "cgroup.events", "frozen") != 1)
		if (ms_now(CLOCK_MONOTONIC) > end)
			return false;
	return true;
}

static bool by_freezer(pid_t pid)
{
	return (!mkdir(GROUP, 0755) || errno == EEXIST) &&
	       !ms_cgroup_write(GROUP, "cgroup.procs", pid) &&
	       !ms_cgroup_write(GROUP, "cgroup.freeze", 1) && is_frozen() &&
	       !ms_cgroup_write(GROUP, "cgroup.freeze", 0);
}

/* Wherever it is interrupted, nobody sees that it was */
TEST_F(wait, goes_on)
{
	static bool (*const interrupts[])(pid_t pid) = { by_handler, by_stop, by_freezer };
	static const __u32 timeouts[] = { FOREVER, 1000000 };
	int i, t, n;
	pid_t pid;

	ASSERT_TRUE(handle_signal(SA_RESTART));
	for (i = 0; i < (int)ARRAY_SIZE(interrupts); i++) {
		for (t = 0; t < (int)ARRAY_SIZE(timeouts); t++) {
			pid = publish_in_child(self, timeouts[t]);
			for (n = 0; n < 3; n++) {
				ASSERT_TRUE(ms_asleep(pid));
				ASSERT_TRUE(interrupts[i](pid)) {
					TH_LOG("interrupt %d", i);
				}
			}
			ASSERT_TRUE(ms_asleep(pid));
			ASSERT_LT(0, read_one(self->sub));
			EXPECT_EQ(0, ms_join(pid));
			EXPECT_EQ(0, self->arg->deadline);
		}
	}
	rmdir(GROUP);
}

/* However often it is interrupted it ends, and not early */
TEST_F(wait, has_one_deadline)
{
	__u64 begin = ms_now(CLOCK_MONOTONIC), end = begin + ms_limit(20 * SECOND);
	pid_t pid;

	ASSERT_TRUE(handle_signal(SA_RESTART));
	pid = publish_in_child(self, 300);
	while (ms_state(pid) != 'Z' && ms_now(CLOCK_MONOTONIC) < end) {
		ASSERT_EQ(0, kill(pid, SIGUSR1));
		ms_sleep(SECOND / 1000);
	}
	EXPECT_GT(end, ms_now(CLOCK_MONOTONIC));
	kill(pid, SIGKILL);
	EXPECT_EQ(ETIMEDOUT, ms_join(pid));
	EXPECT_LE(3 * SECOND / 10, ms_now(CLOCK_MONOTONIC) - begin);
	EXPECT_EQ(0, self->arg->deadline);
	EXPECT_TRUE(unchanged(self));
}

/* Time goes by while it is stopped as well */
TEST_F(wait, deadline_passes_while_stopped)
{
	__u64 begin;
	pid_t pid = publish_in_child(self, 3000);

	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_TRUE(is_in_state(pid, 'T'));
	EXPECT_NE(0, self->arg->deadline);
	ms_sleep(3 * SECOND);
	begin = ms_now(CLOCK_MONOTONIC);
	ASSERT_EQ(0, kill(pid, SIGCONT));
	EXPECT_EQ(ETIMEDOUT, ms_join(pid));
	EXPECT_GT(ms_limit(2 * SECOND), ms_now(CLOCK_MONOTONIC) - begin);
}

/* What is refused anyhow is not waited for */
/* What the try itself gives back must not look as if there were room now */
TEST_F(wait, in_vain)
{
	int status;
	pid_t pid;

	ASSERT_LT(0, read_one(self->sub));
	ASSERT_EQ(0, ms_subscribe_as(self->sub, "", .flags = PREFIX));
	EXPECT_EQ(-ETIMEDOUT, publish(self, 100));
	EXPECT_EQ(-EAGAIN, publish(self, 0));
	EXPECT_EQ(self->version, ms_version(self->fd, "key"));
	pid = publish_in_child(self, FOREVER);
	ASSERT_LT(0, pid);
	ms_sleep(SECOND / 20);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(LEN - 1, waiting(self->sub));
}

TEST_F(wait, refused_at_once)
{
	char *value = calloc(1, 1 << 20);
	struct metastore_set arg = { .flags = METASTORE_F_WAIT | METASTORE_F_CREATE,
				     .timeout = FOREVER };
	int own = ms_open(O_RDWR);

	EXPECT_EQ(-EEXIST, ms_store_with(self->pub, METASTORE_IOC_PUBLISH, "key", "v", &arg));
	EXPECT_EQ(self->version, arg.version);
	arg.flags = METASTORE_F_WAIT | METASTORE_F_IF_VERSION;
	arg.version = self->version - 1;
	EXPECT_EQ(-ESTALE, ms_store_with(self->pub, METASTORE_IOC_PUBLISH, "key", "v", &arg));
	EXPECT_EQ(self->version, arg.version);
	arg = (struct metastore_set) {
		.key = ms_ptr("key"),
		.key_len = 3,
		.value = ms_ptr(value),
		.value_len = 1 << 20,
		.flags = METASTORE_F_WAIT,
		.timeout = FOREVER,
	};
	EXPECT_EQ(-EMSGSIZE, ms_ioctl(self->pub, METASTORE_IOC_PUBLISH, &arg));
	EXPECT_TRUE(unchanged(self));
	ASSERT_EQ(0, ms_own(own, "key", "v", NULL));
	EXPECT_EQ(-EBUSY, publish(self, FOREVER));
	ASSERT_EQ(0, ms_delete(own, "key", NULL));
	arg.flags = METASTORE_F_WAIT | METASTORE_F_REPLACE;
	EXPECT_EQ(-ENOENT, ms_store_with(self->pub, METASTORE_IOC_PUBLISH, "key", "v", &arg));
}

/* Meanwhile the key can be changed: what then holds counts */
TEST_F(wait, conditions_are_judged_again)
{
	pid_t pid;

	self->arg->flags = METASTORE_F_IF_VERSION;
	self->arg->version = self->version;
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	/* This one hears of no SET, and is as full as before */
	ASSERT_EQ(0, ms_set(self->fd, "key", "other", &self->version));
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(ESTALE, ms_join(pid));
	EXPECT_EQ(self->version, self->arg->version);
	EXPECT_STREQ("other", ms_str(self->fd, "key"));
	EXPECT_EQ(LEN - 1, waiting(self->sub));

	ASSERT_EQ(1, ms_publish(self->fd, "key", "old", NULL));
	self->arg->flags = METASTORE_F_REPLACE;
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, ms_delete(self->fd, "key", NULL));
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(ENOENT, ms_join(pid));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "key"));

	ASSERT_EQ(1, ms_publish(self->fd, "key", "old", NULL));
	self->arg->flags = 0;
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, ms_own(self->fd, "key", "mine", NULL));
	ASSERT_LT(0, read_one(self->sub));
	EXPECT_EQ(EBUSY, ms_join(pid));
	EXPECT_STREQ("mine", ms_str(self->fd, "key"));
}

/* Nobody gets it before all do, and nobody's room is taken meanwhile */
TEST_F(wait, all_or_nothing)
{
	int one = open_lossless(LEN), two = open_lossless(LEN), i;
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(one, "key", 0, 1));
	ASSERT_EQ(0, ms_subscribe(one, "other", 0, 2));
	ASSERT_EQ(0, ms_subscribe_prefix(two, "k", 0, 1));
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	EXPECT_EQ(0, waiting(one));
	EXPECT_EQ(0, waiting(two));
	for (i = 0; i < LEN; i++)
		EXPECT_EQ(1, ms_publish(self->fd, "other", "", NULL));
	EXPECT_EQ(0, ms_publish(self->fd, "other", "", NULL));
	/* There is room in the one, now it is missing in the other */
	ASSERT_LT(0, read_one(self->sub));
	ASSERT_TRUE(ms_asleep(pid));
	EXPECT_STREQ("old", ms_str(self->fd, "key"));
	EXPECT_EQ(LEN - 1, waiting(self->sub));
	EXPECT_EQ(0, waiting(two));
	ASSERT_LT(0, read_one(one));	/* what it lost */
	ASSERT_LT(0, read_one(one));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(3, self->arg->queues);
	EXPECT_EQ(LEN, waiting(self->sub));
	EXPECT_EQ(LEN, waiting(one));
	EXPECT_EQ(1, waiting(two));
}

TEST_F(wait, not_for_others)
{
	int full = ms_open(O_RDONLY), deaf = open_lossless(LEN), last = open_lossless(1);
	struct metastore_queue_info info;
	char value[5000] = "";
	struct metastore_set arg = {
		.key = ms_ptr("key"),
		.value = ms_ptr(value),
		.key_len = 3,
		.value_len = sizeof(value),
		.flags = METASTORE_F_WAIT,
		.timeout = FOREVER,
	};

	close(self->sub);
	/* One that drops, one that asked for other events, one that wants the latest */
	ASSERT_EQ(0, ms_queue_set_len(full, 1));
	ASSERT_EQ(0, ms_subscribe(full, "key", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe(deaf, "key", METASTORE_EVENT_SET, 1));
	ASSERT_EQ(0, ms_subscribe(deaf, "other", EVENTS_ALL, 1));
	ASSERT_LE(0, fill(self->fd, "other"));
	ASSERT_EQ(0, ms_subscribe_as(last, "key", .flags = LATEST));
	EXPECT_EQ(0, publish(self, FOREVER));
	EXPECT_EQ(2, self->arg->queues);
	EXPECT_EQ(0, publish(self, FOREVER));
	EXPECT_EQ(2, self->arg->queues);
	ms_close_many((int []) { full, last }, 2);

	/* One that can never take it: that is a loss, as the header says */
	self->sub = open_lossless(LEN);
	ASSERT_EQ(0, ms_queue_set_bytes(self->sub, 4096));
	ASSERT_EQ(0, ms_subscribe(self->sub, "key", 0, 1));
	EXPECT_EQ(0, ms_ioctl(self->pub, METASTORE_IOC_PUBLISH, &arg));
	EXPECT_EQ(0, arg.queues);
	ASSERT_EQ(0, ms_queue(self->sub, &info));
	EXPECT_EQ(1, info.lost);
	EXPECT_EQ(0, info.len);
}

/* Nobody waits for who waits */
TEST_F(wait, others_go_on)
{
	pid_t pid = publish_in_child(self, FOREVER);
	struct metastore_flush flush;
	struct metastore_op op;

	ASSERT_TRUE(ms_asleep(pid));
	EXPECT_EQ(0, ms_set(self->fd, "key", "set", NULL));
	EXPECT_EQ(0, ms_publish(self->fd, "key", "published", NULL));
	op = ms_op_publish("key", "batch");
	EXPECT_EQ(0, ms_batch(self->fd, &op, 1, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_EQ(0, op.queues);
	EXPECT_EQ(0, ms_publish(self->fd, "other", "published", NULL));
	EXPECT_EQ(0, ms_delete(self->fd, "key", NULL));
	EXPECT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(0, ms_subscribe(self->fd, "key", 0, 0));
	EXPECT_EQ(0, ms_unsubscribe(self->fd, "key"));
	ASSERT_TRUE(ms_asleep(pid));
	/* What came past it was lost, and so the first thing to be read */
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 2);
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_STREQ("new", ms_str(self->fd, "key"));
}

/* A subscription that comes while it waits is one of them */
TEST_F(wait, for_newcomers)
{
	int one = open_lossless(LEN);
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(one, "other", 0, 1));
	ASSERT_EQ(1, fill(self->fd, "other"));
	pid = publish_in_child(self, FOREVER);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, ms_subscribe_prefix(one, "", 0, 2));
	ASSERT_LT(0, read_one(self->sub));
	ASSERT_TRUE(ms_asleep(pid));
	EXPECT_STREQ("old", ms_str(self->fd, "key"));
	ASSERT_LT(0, read_one(one));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(2, self->arg->queues);
}

static int end_by_reading(struct _test_data_wait *self)
{
	return read_one(self->sub) <= 0;
}

static int end_by_reading_badly(struct _test_data_wait *self)
{
	return ms_read(self->sub, ms_guarded(1) + 4096, 4096) != -EFAULT;
}

static int end_by_unsubscribing(struct _test_data_wait *self)
{
	return ms_unsubscribe(self->sub, "key");
}

static int end_by_flush(struct _test_data_wait *self)
{
	return ms_reset(self->fd);
}

static int end_by_closing(struct _test_data_wait *self)
{
	return close(self->sub);
}

static int end_by_len(struct _test_data_wait *self)
{
	return ms_queue_set_len(self->sub, LEN + 1);
}

static int end_by_policy(struct _test_data_wait *self)
{
	return ms_queue_set_policy(self->sub, METASTORE_QUEUE_DROP_OLDEST);
}

TEST_F(wait, ends_by)
{
	static int (* const ways[])(struct _test_data_wait *) = {
		end_by_reading, end_by_reading_badly, end_by_unsubscribing, end_by_flush,
		end_by_closing, end_by_len, end_by_policy,
	};
	pid_t pid;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		close(self->sub);
		self->sub = open_lossless(LEN);
		ASSERT_LE(0, self->sub);
		ASSERT_EQ(0, ms_subscribe(self->sub, "key", 0, 1));
		ASSERT_EQ(1, fill(self->fd, "key"));
		pid = publish_in_child(self, FOREVER);
		ASSERT_TRUE(ms_asleep(pid));
		EXPECT_EQ(0, ways[i](self));
		EXPECT_EQ(0, ms_join(pid));
		EXPECT_STREQ("new", ms_str(self->fd, "key"));
	}
}

/* The room that is missing may be bytes */
TEST_F(wait, for_bytes)
{
	char value[1500] = "";
	struct metastore_set *arg = self->arg;
	pid_t pid;

	close(self->sub);
	self->sub = open_lossless(100);
	ASSERT_EQ(0, ms_queue_set_bytes(self->sub, 4096));
	ASSERT_EQ(0, ms_subscribe(self->sub, "key", 0, 1));
	ASSERT_EQ(1, ms_publishn(self->fd, "key", 3, value, sizeof(value), NULL));
	ASSERT_EQ(1, ms_publishn(self->fd, "key", 3, value, sizeof(value), NULL));
	pid = ms_fork();
	if (!pid) {
		ms_store(self->pub, METASTORE_IOC_PUBLISH, "key", 3, value, 0, arg);
		*arg = (struct metastore_set) {
			.key = ms_ptr("key"),
			.value = ms_ptr(value),
			.key_len = 3,
			.value_len = sizeof(value),
			.flags = METASTORE_F_WAIT,
			.timeout = FOREVER,
		};
		_exit(-ms_ioctl(self->pub, METASTORE_IOC_PUBLISH, arg));
	}
	ASSERT_TRUE(ms_asleep(pid));
	/* The small one had room */
	EXPECT_EQ(3, waiting(self->sub));
	ASSERT_EQ(0, ms_queue_set_bytes(self->sub, 4097));
	ASSERT_TRUE(ms_asleep(pid));
	EXPECT_EQ(3, waiting(self->sub));
	ASSERT_EQ(0, ms_queue_set_bytes(self->sub, 8192));
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(4, waiting(self->sub));
}

/* More than one pass under a lock reaches, exactly or by prefixes */
TEST_F(wait, for_many)
{
	static const char * const prefixes[] = { "", "k", "ke" };
	int i, got = 0;
	pid_t pid;

	ASSERT_LT(0, read_one(self->sub));
	for (i = 0; i < MANY; i++) {
		self->many[i] = open_lossless(1);
		ASSERT_LE(0, self->many[i]);
		ASSERT_EQ(0, i % 4 ? ms_subscribe_prefix(self->many[i], prefixes[i % 4 - 1], 0, i) :
			  ms_subscribe(self->many[i], "key", 0, i));
	}
	ASSERT_EQ(MANY + 1, ms_publish(self->fd, "key", "old", NULL));
	ASSERT_LT(0, read_one(self->sub));
	pid = publish_in_child(self, FOREVER);
	for (i = 0; i < MANY; i++) {
		if (i % 10 == 0) {
			ASSERT_TRUE(ms_asleep(pid));
			ASSERT_STREQ("old", ms_str(self->fd, "key"));
		}
		ASSERT_LT(0, read_one(self->many[i]));
		got += i < MANY - 1 && waiting(self->many[i]);
	}
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_EQ(MANY + 1, self->arg->queues);
	EXPECT_EQ(0, got);
	for (i = 0; i < MANY; i++)
		got += waiting(self->many[i]);
	EXPECT_EQ(MANY, got);
	ms_close_many(self->many, MANY);
}

#define PUBLISHERS	3
#define READERS		3

/*
 * Publishers that all wait, readers with hardly any room, others who come and go: nobody
 * loses anything, and each sees each publisher's numbers one after the other.
 */
TEST_F(wait, nothing_is_lost)
{
	__u64 rounds = 20 + ms_times(150);
	int fds[READERS], i, fd;
	struct metastore_queue_info info;

	close(self->sub);
	ASSERT_TRUE(crew_init());
	for (i = 0; i < READERS; i++) {
		fds[i] = open_lossless(1 + i);
		ASSERT_EQ(0, i ? ms_subscribe_prefix(fds[i], "ke", 0, 1) :
				 ms_subscribe(fds[i], "key", 0, 1));
	}
	for (i = 0; i < PUBLISHERS; i++) {
		__u64 numbers[2] = { i };
		struct metastore_set arg = {
			.key = ms_ptr("key"),
			.value = ms_ptr(numbers),
			.key_len = 3,
			.value_len = sizeof(numbers),
			.flags = METASTORE_F_WAIT,
			.timeout = FOREVER,
		};

		if (!crew_child())
			continue;
		for (numbers[1] = 1; numbers[1] <= rounds; numbers[1]++) {
			CHECK(!ms_ioctl(self->pub, METASTORE_IOC_PUBLISH, &arg));
			CHECK(arg.queues >= READERS);
		}
		_exit(0);
	}
	for (i = 0; i < READERS; i++) {
		__u64 last[PUBLISHERS] = {}, got, numbers[2];
		const struct metastore_event *ev;

		if (!crew_child())
			continue;
		self->r.fd = fds[i];
		for (got = 0; got < PUBLISHERS * rounds; got++) {
			CHECK(ms_await(&self->r));
			ev = ms_next(&self->r);
			CHECK(ev);
			CHECK(ev->type == METASTORE_EVENT_PUBLISHED);
			memcpy(numbers, ms_event_value(ev), sizeof(numbers));
			CHECK(numbers[1] == last[numbers[0]] + 1);
			last[numbers[0]] = numbers[1];
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done()) {
			fd = open_lossless(1);
			CHECK(!ms_subscribe(fd, "key", 0, 0));
			CHECK(ms_poll(fd, 10) >= 0);
			close(fd);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, PUBLISHERS + READERS));
	crew_finish();
	EXPECT_TRUE(crew_join(PUBLISHERS + READERS, PUBLISHERS + READERS + 1));
	EXPECT_STREQ("", crew.board->error);
	for (i = 0; i < READERS; i++) {
		ASSERT_EQ(0, ms_queue(fds[i], &info));
		EXPECT_EQ(PUBLISHERS * rounds, info.delivered);
		EXPECT_EQ(0, info.lost);
		EXPECT_EQ(0, info.pending);
		/* Nothing is left of what was claimed */
		EXPECT_EQ(0, ms_queue_set_len(fds[i], 1));
		EXPECT_EQ(0, info.bytes);
	}
}

TEST_HARNESS_MAIN
