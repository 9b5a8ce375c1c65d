// SPDX-License-Identifier: GPL-2.0
/*
 * A process that runs programs one after the other: their lanes, and somebody who watches
 * them. Most of what a program needs is there from the one before: threads, memory, empty
 * stores. Making it anew would take several times as long as what programs do.
 */
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fuzz.h"

struct slot slots[SLOTS];
int roots[STORES];
int sockets[2];
__thread struct lane *this_lane;

#define TICK_NS		4000000
#define LONG_NS		4000000ULL	/* what waits that long is interrupted */
#define HUNG_NS		(30000000000ULL * slowness)

static struct program *running;

/* A word that somebody waits for, in memory that processes may share */

static void word_add(uint32_t *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_ACQ_REL);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Waits while the word is @value, for a moment */
static void word_wait(uint32_t *word, uint32_t value)
{
	struct timespec moment = { .tv_nsec = TICK_NS };

	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, &moment, NULL, 0);
}

/* Lanes */

static void step_run(struct lane *lane, const struct step *step)
{
	const struct call *call = &calls[step->call];

	lane->worked = false;
	/* The failure comes in the next step that makes a call. */
	if (lane->fail && call->run != call_fail) {
		fail_begin(lane);
		call->run(lane, step->arg);
		fail_end(lane);
	} else {
		call->run(lane, step->arg);
	}
	lane->per_call[step->call]++;
	lane->succeeded[step->call] += lane->worked;
	lane->operations++;
}

static void lane_steps(struct lane *lane)
{
	const struct program *program = lane->program;
	uint32_t round, i;

	for (round = 0; round < program->repeat; round++) {
		for (i = 0; i < program->nr && !world->stop; i++) {
			if (program->steps[i].lane != (uint32_t)lane->number)
				continue;
			lane->step = i;
			__atomic_store_n(&lane->since, now_ns(), __ATOMIC_RELEASE);
			step_run(lane, &program->steps[i]);
			__atomic_store_n(&lane->since, 0, __ATOMIC_RELEASE);
		}
	}
}

static void lane_run(struct lane *lane)
{
	this_lane = lane;
	lane->pid = getpid();
	lane->tid = gettid();
	coverage_begin_lane(lane->number);
	lane_steps(lane);
	coverage_end_lane(lane->number);
	lane_exit(lane);
	__atomic_store_n(&lane->done, 1, __ATOMIC_RELEASE);
	word_add(&shared->nr_done);
}

/* How many programs the thread of a lane was told to run */
static uint32_t told[LANES];

static void *lane_thread(void *arg)
{
	struct lane *lane = arg;
	uint32_t *word = &told[lane - shared->lanes], programs;

	for (programs = 0;; programs++) {
		while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == programs)
			syscall(SYS_futex, word, FUTEX_WAIT, programs, NULL, NULL, 0);
		lane_run(lane);
	}
	return NULL;
}

static void lane_process(struct lane *lane)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!lane_map(lane->number))
		finding("no memory for a lane");
	lane_init(lane);
	word_add(&shared->nr_ready);
	while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
		word_wait(&shared->go, 0);
	lane_run(lane);
	_exit(0);
}

static void on_signal(int number)
{
}

static void prepare_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = 0;
	sigaction(SIGUSR2, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Children of a lane that was killed */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int make_store(const struct program *program, int store)
{
	struct metastore_create create = {
		.open_flags = O_RDWR | O_NONBLOCK | O_CLOEXEC,
		.buckets = program->buckets,
		.queue_len = program->queue_len,
		.max_keys = store == STORE_ANY ? program->max_keys : 1000,
	};

	return ioctl(roots[STORE_DEFAULT], METASTORE_IOC_CREATE, &create);
}

static bool stores_fit(const struct program *program)
{
	static uint32_t buckets, queue_len, max_keys;
	bool fit = roots[STORE_ANY] >= 0 && buckets == program->buckets &&
		   queue_len == program->queue_len && max_keys == program->max_keys;

	buckets = program->buckets;
	queue_len = program->queue_len;
	max_keys = program->max_keys;
	return fit;
}

/* Those of the program before are empty: check_program() saw to it. */
static bool prepare_stores(const struct program *program)
{
	int i;

	if (stores_fit(program))
		return true;
	for (i = STORE_ANY; i <= STORE_GROUPS; i++) {
		close(roots[i]);
		roots[i] = make_store(program, i);
		if (roots[i] < 0) {
			finding("CREATE: %s", strerrorname_np(errno));
			return false;
		}
	}
	return true;
}

static bool prepare_slots(void)
{
	struct metastore_open open_arg = { .open_flags = O_RDWR | O_NONBLOCK | O_CLOEXEC };
	int i, fd;

	for (i = 0; i < STORE_OTHER; i++) {
		fd = ioctl(roots[i], METASTORE_IOC_OPEN, &open_arg);
		if (fd < 0) {
			finding("OPEN: %s", strerrorname_np(errno));
			return false;
		}
		slot_put(i, fd, file_new(i));
	}
	return !socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets);
}

static bool is_forked(const struct lane *lane)
{
	return running->forked & (1U << lane->number);
}

/* Returns how many processes there are */
static uint32_t start_processes(void)
{
	struct lane *lane;
	uint32_t nr = 0;
	pid_t pid;

	for (lane = shared->lanes; lane < shared->lanes + running->lanes; lane++) {
		if (!is_forked(lane))
			continue;
		/* The lane is in memory of both. */
		pid = fork();
		if (!pid)
			lane_process(lane);
		if (pid < 0)
			finding("no process: %s", strerrorname_np(errno));
		lane->pid = pid;
		nr++;
	}
	return nr;
}

static void start_threads(void)
{
	static bool there[LANES];
	struct lane *lane;
	pthread_t thread;

	for (lane = shared->lanes; lane < shared->lanes + running->lanes; lane++) {
		int i = lane->number;

		if (is_forked(lane))
			continue;
		if (!there[i] && pthread_create(&thread, NULL, lane_thread, lane))
			finding("no thread");
		there[i] = true;
		word_add(&told[i]);
	}
}

static void start_lanes(struct program *program, uint64_t seed)
{
	uint32_t i, ready, processes;

	for (i = 0; i < program->lanes; i++) {
		shared->lanes[i].number = i;
		shared->lanes[i].program = program;
		shared->lanes[i].random = seed + i;
		if (!is_forked(&shared->lanes[i]))
			lane_init(&shared->lanes[i]);
	}
	processes = start_processes();
	while ((ready = __atomic_load_n(&shared->nr_ready, __ATOMIC_ACQUIRE)) != processes &&
	       !world->stop)
		word_wait(&shared->nr_ready, ready);
	if (processes)
		word_add(&shared->go);
	start_threads();
}

static void end_hung(struct lane *lane)
{
	const struct step *step = &running->steps[lane->step];
	char path[64], stack[512] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", lane->pid, lane->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, stack, sizeof(stack) - 1) < 0)
		*stack = '\0';
	close(fd);
	finding("lane %d: no end of %s (step %u): %s", lane->number, calls[step->call].name,
		lane->step, stack);
}

/* Returns whether the lane has ended; one that waits for long is woken by a signal. */
static bool watch_lane(struct lane *lane)
{
	uint64_t since = __atomic_load_n(&lane->since, __ATOMIC_ACQUIRE);
	bool forked = is_forked(lane);

	if (__atomic_load_n(&lane->done, __ATOMIC_ACQUIRE))
		return true;
	/* Killed, perhaps before it said that it is there */
	if (forked && kill(lane->pid, 0))
		return true;
	if (forked && waitpid(lane->pid, NULL, WNOHANG) == lane->pid)
		return true;
	if (since && now_ns() > since + LONG_NS && lane->tid)
		syscall(SYS_tgkill, lane->pid, lane->tid, SIGUSR2);
	if (since && now_ns() > since + HUNG_NS)
		end_hung(lane);
	return false;
}

static void watch(void)
{
	uint32_t i, ended, done;

	for (;;) {
		done = __atomic_load_n(&shared->nr_done, __ATOMIC_ACQUIRE);
		ended = 0;
		for (i = 0; i < running->lanes; i++)
			ended += watch_lane(&shared->lanes[i]);
		if (ended == running->lanes || world->stop)
			break;
		word_wait(&shared->nr_done, done);
	}
}

/* Waits for those that lanes forked, and for what they kept open */
static void await_children(void)
{
	uint64_t end = now_ns() + HUNG_NS;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && now_ns() < end)
		if (!pid)
			usleep(TICK_NS / 4000);
	if (!pid)
		finding("a process does not end");
}

bool body_begin(void)
{
	int i;

	prepare_signals();
	for (i = 0; i < SLOTS; i++) {
		pthread_mutex_init(&slots[i].lock, NULL);
		slots[i].file = -1;
	}
	roots[STORE_ANY] = -1;
	roots[STORE_GROUPS] = -1;
	roots[STORE_DEFAULT] = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	for (i = 0; i < LANES; i++)
		if (!lane_map(i))
			return false;
	return roots[STORE_DEFAULT] >= 0;
}

bool body_run(struct program *program, uint64_t seed)
{
	running = program;
	if (!prepare_stores(program) || !prepare_slots())
		return false;
	start_lanes(program, seed);
	watch();
	if (!world->stop)
		await_children();
	if (!world->stop)
		check_program();
	return !world->stop;
}
