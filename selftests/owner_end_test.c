// SPDX-License-Identifier: GPL-2.0
/* What the kernel tells of an owner's end, in each way that a process can end */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "crew.h"

/* How it ends, in each way that a process can end */
FIXTURE(end)
{
	int fd;
	struct ms_reader r;
};

FIXTURE_VARIANT(end)
{
	void (*then)(void);
	int signal;		/* what the test sends it */
	__u16 how;
	__u16 code;
};

/* The file that owns, in a process that is about to end */
static int own_fd;

static void exit_0(void)
{
	_exit(0);
}

static void exit_7(void)
{
	_exit(7);
}

static void exit_255(void)
{
	_exit(255);
}

static void wait_for_signal(void)
{
	for (;;)
		pause();
}

static void *wait_in_thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void start_thread(void *(*function)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, NULL))
		_exit(96);
}

static void exit_beside_thread(void)
{
	start_thread(wait_in_thread);
	_exit(7);
}

static void *exit_in_thread(void *arg)
{
	_exit(arg ? 1 : 7);
}

/* The leader is gone before: the process is what ends */
static void exit_from_thread(void)
{
	start_thread(exit_in_thread);
	for (;;)
		pause();
}

static void wait_beside_thread(void)
{
	start_thread(wait_in_thread);
	wait_for_signal();
}

static void crash(void)
{
	struct rlimit none = {};

	setrlimit(RLIMIT_CORE, &none);
	raise(SIGSEGV);
}

static void dump_core(void)
{
	struct rlimit some = { 1 << 20, 1 << 20 };

	if (chdir("/tmp") || setrlimit(RLIMIT_CORE, &some))
		_exit(97);
	abort();
}

static void exec_closes(void)
{
	execl("/bin/sleep", "sleep", "1000", NULL);
}

static void exec_inherits(void)
{
	fcntl(own_fd, F_SETFD, 0);
	execl("/bin/sh", "sh", "-c", "exit 5", NULL);
}

static void exec_inherits_to_be_killed(void)
{
	fcntl(own_fd, F_SETFD, 0);
	execl("/bin/sh", "sh", "-c", "kill -9 $$", NULL);
}

static void close_by_hand(void)
{
	close(own_fd);
	wait_for_signal();
}

/* In the file's last moment it is not this descriptor any more */
static void close_by_dup2(void)
{
	dup2(0, own_fd);
	wait_for_signal();
}

#define EXITED(status)	.how = METASTORE_END_EXITED, .code = status
#define KILLED(signal)	.how = METASTORE_END_KILLED, .code = signal

FIXTURE_VARIANT_ADD(end, exit_0) { .then = exit_0, EXITED(0) };

FIXTURE_VARIANT_ADD(end, exit_7) { .then = exit_7, EXITED(7) };

FIXTURE_VARIANT_ADD(end, exit_255) { .then = exit_255, EXITED(255) };

FIXTURE_VARIANT_ADD(end, exit_beside_thread) { .then = exit_beside_thread, EXITED(7) };

FIXTURE_VARIANT_ADD(end, exit_from_thread) { .then = exit_from_thread, EXITED(7) };

FIXTURE_VARIANT_ADD(end, wait_for_signal) {
	.then = wait_for_signal, .signal = SIGKILL, KILLED(SIGKILL)
};

FIXTURE_VARIANT_ADD(end, wait_beside_thread) {
	.then = wait_beside_thread, .signal = SIGTERM, KILLED(SIGTERM)
};

FIXTURE_VARIANT_ADD(end, crash) { .then = crash, KILLED(SIGSEGV) };

FIXTURE_VARIANT_ADD(end, dump_core) { .then = dump_core, KILLED(SIGABRT) };

FIXTURE_VARIANT_ADD(end, exec_closes) { .then = exec_closes, .how = METASTORE_END_CLOSED };

FIXTURE_VARIANT_ADD(end, exec_inherits) { .then = exec_inherits, EXITED(5) };

FIXTURE_VARIANT_ADD(end, exec_inherits_to_be_killed) {
	.then = exec_inherits_to_be_killed, KILLED(SIGKILL)
};

FIXTURE_VARIANT_ADD(end, close_by_hand) { .then = close_by_hand, .how = METASTORE_END_CLOSED };

FIXTURE_VARIANT_ADD(end, close_by_dup2) { .then = close_by_dup2, .how = METASTORE_END_CLOSED };

FIXTURE_SETUP(end)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 5));
	self->r = ms_reader(self->fd, 4096);
}

FIXTURE_TEARDOWN(end)
{
	close(self->fd);
}

static pid_t own_in_child(void (*then)(void))
{
	pid_t pid = ms_fork();

	if (pid)
		return pid;
	own_fd = ms_open(O_RDWR);
	if (ms_own(own_fd, "k", "mine", NULL))
		_exit(99);
	then();
	_exit(98);
}

TEST_F(end, is_told)
{
	pid_t pid = own_in_child(variant->then);
	const struct metastore_event *ev;
	__u64 version;

	ASSERT_TRUE(ms_await(&self->r));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	ASSERT_EQ(METASTORE_EVENT_SET, ev->type);
	version = ev->version;
	ASSERT_TRUE(!variant->signal || !kill(pid, variant->signal));
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r,
		     MS_ENDED(.tgid = pid, .how = variant->how, .code = variant->code),
		     .cookie = 5, .newer = version, .key = "k", .value = "mine");
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_TRUE(ms_silent(self->fd));
}

FIXTURE(ends)
{
	int fd;			/* subscribed to all changes of "k" */
	struct ms_reader r;
};

FIXTURE_SETUP(ends)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 5));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(ends)
{
	close(self->fd);
}

/* Once its process is reaped all is done: nobody has to wait any further */
TEST_F(ends, gone_when_reaped)
{
	pid_t pid = own_in_child(exit_0);

	ASSERT_EQ(0, ms_join(pid));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_EQ(0, ms_set_if(self->fd, "k", "his", METASTORE_F_CREATE, NULL));
}

TEST_F(ends, end_in_pid_namespace)
{
	pid_t *inner = ms_shared(sizeof(*inner));
	struct ms_books books = {};
	pid_t pid = ms_fork();

	if (!pid) {
		if (unshare(CLONE_NEWPID))
			_exit(1);
		/* As numbered out here; it calls itself 1 */
		*inner = own_in_child(wait_for_signal);
		pause();
	}
	ASSERT_TRUE(ms_await(&self->r));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	while (!__atomic_load_n(inner, __ATOMIC_ACQUIRE))
		sched_yield();
	ASSERT_EQ(0, kill(*inner, SIGKILL));
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = *inner, KILLED(SIGKILL)), .cookie = 5, .key = "k",
		     .value = "mine");
	kill(pid, SIGKILL);
}

/* The kernel kills whoever takes more memory than its group may have */
static void eat_memory(void)
{
	mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
	     -1, 0);
}

TEST_F(ends, end_by_oom)
{
	char group[128];
	pid_t pid;
	int go[2];
	char c;

	snprintf(group, sizeof(group), MS_CGROUP "/owner_test.%d", getpid());
	if (mkdir(group, 0755) || ms_cgroup_write(group, "memory.max", 16 << 20)) {
		rmdir(group);
		SKIP(return, "no memory controller at " MS_CGROUP);
	}
	ASSERT_EQ(0, pipe(go));
	pid = ms_fork();
	if (!pid) {
		close(go[1]);
		own_fd = ms_open(O_RDWR);
		if (read(go[0], &c, 1) || ms_own(own_fd, "k", "mine", NULL))
			_exit(1);
		eat_memory();
		_exit(2);
	}
	ASSERT_EQ(0, ms_cgroup_write(group, "cgroup.procs", pid));
	close(go[1]);
	EXPECT_TRUE(ms_await(&self->r));
	ASSERT_TRUE(!!ms_next(&self->r));
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = pid, KILLED(SIGKILL)), .cookie = 5, .key = "k",
		     .value = "mine");
	EXPECT_EQ(-1, ms_join(pid));
	rmdir(group);
}

/* What a bystander does meanwhile: the longest that one SET and one GET took */
struct bystander {
	__u32 phase;		/* 0: before, 1: while the owner ends, 2: stop */
	__u64 longest[2];
	__u64 rounds[2];
};

static pid_t stand_by(int store, struct bystander *by)
{
	pid_t pid = ms_fork();
	__u64 start, took;
	__u32 phase;
	char buf[8];

	if (pid)
		return pid;
	while ((phase = __atomic_load_n(&by->phase, __ATOMIC_ACQUIRE)) < 2) {
		start = ms_now(CLOCK_MONOTONIC);
		CHECK(!ms_set(store, "bystander", "v", NULL));
		CHECK(ms_get(store, "bystander", buf, sizeof(buf), NULL) == 1);
		took = ms_now(CLOCK_MONOTONIC) - start;
		if (took > by->longest[phase])
			by->longest[phase] = took;
		by->rounds[phase]++;
	}
	_exit(0);
}

static pid_t own_many(int store, __u32 keys)
{
	pid_t pid = ms_fork();
	__u32 i;
	int fd;

	if (pid)
		return pid;
	fd = ms_reopen(store, O_RDWR);
	CHECK(fd >= 0);
	for (i = 0; i < keys; i++) {
		struct metastore_set arg = {
			.key = ms_ptr(&i),
			.value = ms_ptr("a value, owned"),
			.key_len = sizeof(i),
			.value_len = 14,
			.flags = METASTORE_F_OWNED,
		};

		CHECK(!ms_ioctl(fd, METASTORE_IOC_SET, &arg));
	}
	CHECK(!ms_set(fd, "ready", "", NULL));
	for (;;)
		pause();
}

/*
 * All keys of a process that is killed vanish, each with its event, while others
 * go on. The queues of this store are long enough for all of them.
 */
TEST_F_TIMEOUT(ends, many_vanish, 120)
{
	__u32 keys = ms_size(10000, 100000), per_file = 50000, i, files = 0, seen = 0, wrong = 0;
	struct bystander *by = ms_shared(sizeof(*by));
	const struct metastore_event *ev;
	__u64 killed, gone;
	pid_t pid, other;
	__u8 *ends = calloc(keys, 1);
	int store, fds[8];

	store = ms_create(self->fd, O_RDWR, (struct metastore_create) {
		.queue_len = per_file,
		.queue_bytes = 64 << 20,
		.max_bytes = 64 << 20,
	});
	ASSERT_LE(0, store);
	for (i = 0; i < keys; i++) {
		if (i % per_file == 0)
			fds[files++] = ms_reopen(store, O_RDONLY | O_NONBLOCK);
		ASSERT_EQ(0, ms_subscriben(fds[files - 1], &i, sizeof(i),
					   METASTORE_EVENT_DELETED, i));
	}
	pid = own_many(store, keys);
	other = stand_by(store, by);
	while (ms_version(store, "ready") == 0 && !crew.board->error[0])
		ms_sleep(SECOND / 100);
	ASSERT_STREQ("", crew.board->error);
	ASSERT_EQ(keys + 2, ms_keys(store));

	ms_sleep(SECOND / 5);
	__atomic_store_n(&by->phase, 1, __ATOMIC_RELEASE);
	killed = ms_now(CLOCK_MONOTONIC);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-1, ms_join(pid));
	gone = ms_now(CLOCK_MONOTONIC) - killed;
	__atomic_store_n(&by->phase, 2, __ATOMIC_RELEASE);
	EXPECT_EQ(2, ms_keys(store));
	EXPECT_EQ(0, ms_join(other));
	EXPECT_STREQ("", crew.board->error);

	for (i = 0; i < files; i++) {
		self->r.fd = fds[i];
		while ((ev = ms_next(&self->r))) {
			struct metastore_owner_end end = ms_event_end(ev);
			__u32 key = ev->cookie;

			ASSERT_EQ(METASTORE_EVENT_F_OWNER, ev->flags);
			wrong += end.tgid != pid || end.how != METASTORE_END_KILLED ||
				 end.code != SIGKILL || ev->cookie >= keys ||
				 ev->key_len != sizeof(__u32) || ends[ev->cookie]++ ||
				 memcmp(ms_event_key(ev), &key, sizeof(key));
			seen++;
		}
		EXPECT_EQ(EAGAIN, errno);
	}
	EXPECT_EQ(keys, seen);
	EXPECT_EQ(0, wrong);
	ksft_print_msg("%u owned keys were gone %llu us after the kill\n", keys, gone / 1000);
	ksft_print_msg("a bystander's longest SET and GET: %llu us meanwhile, %llu us before\n",
		       by->longest[1] / 1000, by->longest[0] / 1000);
}

TEST_HARNESS_MAIN
