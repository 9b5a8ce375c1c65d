/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One user against another: attackers and a bystander, each with a uid and a control group
 * of its own, and what the bystander suffers.
 *
 *	ASSERT_TRUE(harm_init());
 *	ASSERT_TRUE(harm_measure(call, fd, &without));
 *	if (harm_child(&harm_attacker, 1)) {
 *		...		(what prepares the attack)
 *		harm_ready();
 *		while (!harm_is_over())
 *			...	(the attack)
 *		_exit(0);
 *	}
 *	ASSERT_TRUE(harm_begin());
 *	ASSERT_TRUE(harm_measure(call, fd, &with));
 *	EXPECT_TRUE(harm_end());
 *	EXPECT_HARMLESS(&without, &with);
 *
 * An attack may be refused: that is what a limit is for. A bystander is never refused.
 */
#ifndef HARM_H
#define HARM_H

#include <grp.h>
#include <limits.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <linux/futex.h>

#include "metastore_test.h"

#define KIB	1024ULL
#define MIB	(1024 * KIB)

/* Noise of an emulated machine, in the worst latency of a good round */
#define HARM_NOISE	(40 * SECOND / 1000)
/* Longest section, in the figures of make bench ONLY=latency: one holder of the lock */
#define HARM_SECTION	(SECOND / 20000)
/* Noise in the median of a call that waits for nobody */
#define HARM_MEDIAN_NOISE	(SECOND / 100000)
/* and in the worst latency of all, where a busy host does not let the machine run */
#define HARM_STUCK	(5 * SECOND)

/* Growth of a bystander's memory that is allowed */
#define HARM_MEMORY	MIB

/*
 * The bystander is measured in so many rounds of such a length. Noise spares one of them,
 * while an attack that goes on hits all: what counts is the best round.
 */
#define HARM_ROUNDS	8
#define HARM_ROUND	(SECOND / 4)

/* How long an attack may go on until it is called off, so that all ends in time */
#define HARM_PATIENCE	(12 * SECOND)

#define HARM_SAMPLES	262144
#define HARM_ATTACKERS	2048

/* The longest key there can be */
static char harm_key[METASTORE_KEY_MAX];

struct harm_user {
	uid_t uid;
	const char *group;
};

static const struct harm_user harm_attacker = { 1000, "attacker" };
static const struct harm_user harm_bystander = { 1001, "bystander" };

/* Latencies of a bystander in ns: in its best round, and the worst of all */
struct harm_figure {
	__u64 median;
	__u64 p999;
	__u64 worst;
	__u64 ever;
	__u64 calls;
	__u64 refused;
};

/* Memory that all processes share */
struct harm_board {
	__u32 ready;		/* attackers that have prepared */
	__u32 go;
	__u32 over;
	__u64 counts[16];	/* whatever the test counts */
	struct harm_figure rounds[HARM_ROUNDS];
	__u32 nr_rounds;
	char error[256];	/* the first one */
	__u64 samples[HARM_SAMPLES];
};

static struct {
	struct harm_board *board;
	pid_t pids[HARM_ATTACKERS];
	int size;
	__u64 round;		/* length of a round; a test whose attack takes longer says so */
} harm;

static inline void harm_fail(int line, const char *condition, int err)
{
	if (!harm.board->error[0])
		snprintf(harm.board->error, sizeof(harm.board->error), "line %d: %s (%s)", line,
			 condition, strerrorname_np(err));
	_exit(1);
}

/* In a child, for harness and fork do not mix */
#define HARM_CHECK(condition) \
	do { \
		if (!(condition)) \
			harm_fail(__LINE__, #condition, errno); \
	} while (0)

static inline const char *harm_group(const struct harm_user *user)
{
	static char paths[2][128];
	char *path = paths[user == &harm_bystander];

	snprintf(path, sizeof(paths[0]), MS_CGROUP "/harm.%s", user->group);
	return path;
}

static inline int harm_group_write(const char *group, const char *file, const char *text)
{
	char path[512];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Ends what is in the group and removes it */
static inline void harm_group_remove(const struct harm_user *user)
{
	const char *group = harm_group(user);
	int i;

	harm_group_write(group, "cpu.max", "max");
	harm_group_write(group, "cgroup.kill", "1");
	for (i = 0; i < 200 && rmdir(group) && errno == EBUSY; i++)
		ms_sleep(SECOND / 100);
}

static inline int harm_group_make(const struct harm_user *user)
{
	harm_group_remove(user);
	return mkdir(harm_group(user), 0755) ? -errno : 0;
}

/* Whether both groups are held to account for "cpu" or "memory" */
static inline bool harm_has(const char *controller)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.%s", harm_group(&harm_bystander), controller,
		 strcmp(controller, "cpu") ? "current" : "max");
	return !access(path, R_OK);
}

#define HARM_NO_CONTROLLER	"no cpu or memory controller of cgroup2 at " MS_CGROUP

/*
 * A group with a quota of CPU time, which stays: the first one, and the end of the last, has
 * the kernel patch its own code, which CPUs that are emulated may run half patched.
 */
static inline bool harm_keep_a_quota(void)
{
	const char *group = MS_CGROUP "/harm.quota";

	return (!mkdir(group, 0755) || errno == EEXIST) &&
	       (access(MS_CGROUP "/harm.quota/cpu.max", F_OK) ||
		!harm_group_write(group, "cpu.max", "100000 100000"));
}

static inline bool harm_init(void)
{
	struct rlimit limit = { 16384, 16384 };

	memset(harm_key, 'k', sizeof(harm_key));
	harm.size = 0;
	harm.round = HARM_ROUND;
	harm.board = ms_shared(sizeof(*harm.board));
	harm_group_write(MS_CGROUP, "cgroup.subtree_control", "+cpu");
	harm_group_write(MS_CGROUP, "cgroup.subtree_control", "+memory");
	return harm.board && !setrlimit(RLIMIT_NOFILE, &limit) && harm_keep_a_quota() &&
	       !harm_group_make(&harm_attacker) && !harm_group_make(&harm_bystander);
}

static inline __u64 harm_charged(const struct harm_user *user)
{
	return ms_cgroup_read(harm_group(user), "memory.current", "");
}

/* Bytes charged once free memory was given back: the least within a moment */
static inline __u64 harm_settled(const struct harm_user *user, __u64 moment)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + moment, least = harm_charged(user), now;

	while (ms_now(CLOCK_MONOTONIC) < end) {
		ms_sleep(SECOND / 50);
		now = harm_charged(user);
		least = now < least ? now : least;
	}
	return least;
}

/* A process of that user on that CPU, if there are as many */
static inline pid_t harm_fork(const struct harm_user *user, int cpu)
{
	pid_t pid = ms_fork();

	if (pid)
		return pid;
	HARM_CHECK(!ms_cgroup_write(harm_group(user), "cgroup.procs", 0));
	HARM_CHECK(!setgroups(0, NULL) && !setresgid(user->uid, user->uid, user->uid) &&
		   !setresuid(user->uid, user->uid, user->uid));
	/* A change of the uid takes it back. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (cpu < sysconf(_SC_NPROCESSORS_ONLN))
		HARM_CHECK(!ms_on_cpu(cpu));
	return 0;
}

/* True in a new attacker */
static inline bool harm_child(const struct harm_user *user, int cpu)
{
	pid_t pid = harm_fork(user, cpu);

	if (pid)
		harm.pids[harm.size++] = pid;
	return !pid;
}

static inline bool harm_flag(const __u32 *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* And wakes those who wait for it */
static inline void harm_set_flag(__u32 *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, flag, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static inline void harm_await_flag(__u32 *flag)
{
	while (!harm_flag(flag))
		syscall(SYS_futex, flag, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static inline bool harm_is_over(void)
{
	return harm_flag(&harm.board->over);
}

static inline void harm_set_count(__u64 *count, __u64 number)
{
	__atomic_store_n(count, number, __ATOMIC_RELEASE);
}

static inline void harm_await_count(const __u64 *count, __u64 number)
{
	while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < number && !harm_is_over())
		ms_sleep(SECOND / 1000);
}

/* In an attacker that has prepared: waits until all have */
static inline void harm_ready(void)
{
	__atomic_add_fetch(&harm.board->ready, 1, __ATOMIC_ACQ_REL);
	harm_await_flag(&harm.board->go);
}

/* For an attacker that has nothing more to do */
static inline void harm_ready_and_wait(void)
{
	harm_ready();
	harm_await_flag(&harm.board->over);
	_exit(0);
}

/* Lets all attackers begin, once they are ready; false if they are not in time */
static inline bool harm_begin(void)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(60 * SECOND);

	while (__atomic_load_n(&harm.board->ready, __ATOMIC_ACQUIRE) < (__u32)harm.size) {
		if (ms_now(CLOCK_MONOTONIC) > end || harm.board->error[0])
			return false;
		ms_sleep(SECOND / 1000);
	}
	harm_set_flag(&harm.board->go);
	/* Until they are at it */
	ms_sleep(ms_limit(SECOND / 10));
	return true;
}

/* Gives the attackers 2 ms of CPU each second, as the administrator of a container can */
static inline int harm_throttle(void)
{
	int ret = harm_group_write(harm_group(&harm_attacker), "cpu.max", "2000 1000000");

	/* Let them use up their quota of the second before */
	ms_sleep(SECOND / 10);
	return ret;
}

static inline void harm_call_off(void)
{
	harm_set_flag(&harm.board->over);
	harm_group_write(harm_group(&harm_attacker), "cpu.max", "max");
}

/* Waits until all attackers have done what they do; true if they were content */
static inline bool harm_join(void)
{
	struct harm_board *board = harm.board;
	bool good = true;
	int i, status;

	for (i = 0; i < harm.size; i++)
		good &= waitpid(harm.pids[i], &status, 0) > 0 &&
			(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
	harm.size = 0;
	board->ready = 0;
	board->go = 0;
	board->over = 0;
	return good && !board->error[0];
}

/* Ends all attackers; true if they were content until then */
static inline bool harm_end(void)
{
	int i;

	harm_call_off();
	for (i = 0; i < harm.size; i++)
		kill(harm.pids[i], SIGTERM);
	return harm_join();
}

/* Waits for a child, whatever attackers do to it: they are called off after a while */
static inline int harm_await(pid_t pid)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(HARM_PATIENCE);
	siginfo_t info = {};

	do {
		ms_sleep(SECOND / 1000);
		waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
		if (ms_now(CLOCK_MONOTONIC) > end)
			harm_call_off();
	} while (info.si_pid != pid);
	return ms_join(pid);
}

static inline int harm_compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* One round of a bystander: calls until the time is over */
static inline void harm_run_round(int (*call)(int fd), int fd, struct harm_figure *figure)
{
	__u64 begin = ms_now(CLOCK_MONOTONIC), end = begin + harm.round, now;
	__u64 *samples = harm.board->samples;
	__u32 nr = 0;

	do {
		figure->refused += call(fd) < 0;
		now = ms_now(CLOCK_MONOTONIC);
		samples[nr++] = now - begin;
		begin = now;
	} while (now < end && nr < HARM_SAMPLES && !harm_is_over());
	qsort(samples, nr, sizeof(samples[0]), harm_compare);
	figure->median = samples[nr / 2];
	figure->p999 = samples[nr - 1 - nr / 1000];
	figure->worst = samples[nr - 1];
	figure->calls = nr;
}

/* For a teardown, whatever became of the test: what is left is killed with its group */
static inline void harm_exit(void)
{
	harm_call_off();
	harm_group_remove(&harm_attacker);
	harm_group_remove(&harm_bystander);
}

/* Runs @work in a process of that user, with an open file of its own; true if it was content */
static inline bool harm_run(const struct harm_user *user, void (*work)(int fd), int store)
{
	pid_t pid;
	int fd;

	harm.board->over = 0;
	pid = harm_fork(user, 0);
	if (!pid) {
		fd = ms_reopen(store, O_RDWR | O_NONBLOCK);
		HARM_CHECK(fd >= 0);
		work(fd);
		_exit(0);
	}
	return !harm_await(pid);
}

static int (*harm_call)(int fd);

static inline void harm_run_rounds(int fd)
{
	struct harm_board *board = harm.board;

	/* Long ones are few */
	__u32 rounds = harm.round > HARM_ROUND ? 3 : HARM_ROUNDS;

	memset(board->rounds, 0, sizeof(board->rounds));
	board->nr_rounds = 0;
	/* An attack that was called off has lasted too long already. */
	do {
		harm_run_round(harm_call, fd, &board->rounds[board->nr_rounds++]);
	} while (board->nr_rounds < rounds && !harm_is_over());
}

static inline void harm_sum_up(struct harm_figure *figure)
{
	struct harm_figure *round;
	__u32 i;

	*figure = harm.board->rounds[0];
	figure->ever = figure->worst;
	for (i = 1; i < harm.board->nr_rounds; i++) {
		round = &harm.board->rounds[i];
		figure->median = MIN(figure->median, round->median);
		figure->p999 = MIN(figure->p999, round->p999);
		figure->worst = MIN(figure->worst, round->worst);
		figure->ever = MAX(figure->ever, round->worst);
		figure->calls += round->calls;
		figure->refused += round->refused;
	}
}

/*
 * A bystander that does nothing but @call, on @store. False if it could not be measured.
 */
static inline bool harm_measure(int (*call)(int fd), int store, struct harm_figure *figure)
{
	harm_call = call;
	if (!harm_run(&harm_bystander, harm_run_rounds, store))
		return false;
	harm_sum_up(figure);
	return true;
}

static inline int harm_store(void);

/*
 * The same while @attack forks attackers that attack a store of their own: that takes as much
 * of the machine, and has nothing to do with the bystander's.
 */
static inline bool harm_measure_beside(void (*attack)(int store), int (*call)(int fd), int store,
				       struct harm_figure *figure)
{
	int other = harm_store();
	bool good;

	if (other < 0)
		return false;
	attack(other);
	good = harm_begin() && harm_measure(call, store, figure);
	good &= harm_end();
	close(other);
	return good;
}

static inline void harm_tell(const char *when, const struct harm_figure *figure)
{
	ksft_print_msg("%s: median %.1f us, 99.9%% %.1f us, worst %.1f ms, ever %.1f ms; %llu\n",
		       when, figure->median / 1e3, figure->p999 / 1e3, figure->worst / 1e6,
		       figure->ever / 1e6, figure->calls);
}

/* Twice as much, or so little that it may be noise */
static inline void harm_expect_as_before(struct __test_metadata *_metadata, const char *what,
					 __u64 without, __u64 with, __u64 noise)
{
	EXPECT_LE(with, MAX(2 * without, ms_limit(noise))) {
		TH_LOG("%s: %llu ns without, %llu ns with", what, without, with);
	}
}

/* There the holder of a spinlock can be descheduled, whatever the module does. */
static inline bool harm_is_rt(void)
{
	return !access("/sys/kernel/realtime", F_OK);
}

/* Of an attack that goes on. @median: what is noise in the median */
static inline void harm_expect_harmless(struct __test_metadata *_metadata,
					const struct harm_figure *without,
					const struct harm_figure *with, __u64 median)
{
	harm_tell("without", without);
	harm_tell("with   ", with);
	EXPECT_STREQ("", harm.board->error);
	EXPECT_EQ(0, with->refused);
	if (harm_is_rt())
		return;
	/*
	 * The worst of all calls says more of the host than of the module, unless the machine
	 * does nothing else. The part of the module is exact in make bench ONLY=latency.
	 */
	if (ms_full())
		harm_expect_as_before(_metadata, "worst", without->worst, with->worst, HARM_NOISE);
	harm_expect_as_before(_metadata, "median", without->median, with->median, median);
}

#define EXPECT_HARMLESS(without, with) \
	harm_expect_harmless(_metadata, without, with, HARM_MEDIAN_NOISE)

/* Of one that keeps the lock of the bystander's bucket, who waits for one section at a time */
#define EXPECT_HARMLESS_IN_BUCKET(without, with) \
	harm_expect_harmless(_metadata, without, with, HARM_SECTION)

/* Of one that hits now and then, but hard: that of users who are not let run */
static inline void harm_expect_never_stuck(struct __test_metadata *_metadata,
					   const struct harm_figure *without,
					   const struct harm_figure *with)
{
	EXPECT_HARMLESS(without, with);
	harm_expect_as_before(_metadata, "ever", without->ever, with->ever, HARM_STUCK);
}

#define EXPECT_NEVER_STUCK(without, with) harm_expect_never_stuck(_metadata, without, with)

static inline void harm_expect_no_more_memory(struct __test_metadata *_metadata,
					      __u64 without, __u64 with)
{
	ksft_print_msg("charged to the bystander: without %llu KiB, with %llu KiB\n",
		       without / KIB, with / KIB);
	EXPECT_STREQ("", harm.board->error);
	EXPECT_LE(with, without + HARM_MEMORY);
	EXPECT_EQ(0, ms_cgroup_read(harm_group(&harm_bystander), "memory.events", "oom_kill"));
}

#define EXPECT_NO_MORE_MEMORY(without, with) harm_expect_no_more_memory(_metadata, without, with)

/* A store of one bucket, so that no attack has to find the bystander's */
static inline int harm_store(void)
{
	int fd = ms_open(O_RDWR | O_NONBLOCK);
	int store = ms_create(fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {
		.buckets = 1,
		.max_value = MIB,
	});

	close(fd);
	return store;
}

/* Open files of an attacker, each with what @subscribe does; as many as it gets */
static inline int harm_crowd(int store, int files, int (*subscribe)(int fd))
{
	int i, fd;

	for (i = 0; i < files; i++) {
		fd = ms_reopen(store, O_RDWR | O_NONBLOCK);
		if (fd < 0 || subscribe(fd))
			break;
	}
	return i;
}

static inline int harm_subscribe(int fd)
{
	return ms_subscribe(fd, "crowd", EVENTS_ALL, 0);
}

/* To the key and all of its prefixes, 256 in number */
static inline int harm_subscribe_prefixes(int fd)
{
	int len, ret = 0;

	for (len = 0; len <= METASTORE_KEY_MAX && !ret; len++)
		ret = ms_subscribe_prefixn(fd, harm_key, len, 0, len);
	return ret;
}

/* Calls of a bystander */
static inline int harm_set(int fd)
{
	return ms_set(fd, "mine", "v", NULL);
}

#define HARM_TURNS	40000

/* A bystander who only subscribes and unsubscribes, and what is charged to it afterwards */
static inline void harm_come_and_go(int fd)
{
	__u32 i;

	for (i = 0; i < HARM_TURNS && !harm_is_over(); i++)
		HARM_CHECK(!ms_subscriben(fd, harm_key, 200, 0, 0) &&
			   !ms_unsubscriben(fd, harm_key, 200));
	harm.board->counts[0] = harm_settled(&harm_bystander, SECOND);
	harm.board->counts[1] = i;
}

/* An attacker that is not let run, and by that does not let memory of others go */
static inline void harm_expect_memory_back(struct __test_metadata *_metadata, int store,
					   void (*attack)(int store))
{
	__u64 without, with;

	ASSERT_TRUE(harm_run(&harm_bystander, harm_come_and_go, store));
	without = harm.board->counts[0];
	if (harm_child(&harm_attacker, 1)) {
		attack(store);
		_exit(0);
	}
	ASSERT_TRUE(harm_begin());
	ASSERT_EQ(0, harm_throttle());
	EXPECT_TRUE(harm_run(&harm_bystander, harm_come_and_go, store));
	with = harm.board->counts[0];
	/* Else it was called off before */
	EXPECT_EQ(HARM_TURNS, harm.board->counts[1]);
	EXPECT_TRUE(harm_end());
	EXPECT_NO_MORE_MEMORY(without, with);
}

#define EXPECT_MEMORY_BACK(store, attack) harm_expect_memory_back(_metadata, store, attack)

/* A store for attackers and bystanders, and no attack under way */
FIXTURE(harm)
{
	int fd;
};

FIXTURE_SETUP(harm)
{
	ASSERT_TRUE(harm_init());
	self->fd = harm_store();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(harm)
{
	harm_exit();
	close(self->fd);
}

#endif /* HARM_H */
