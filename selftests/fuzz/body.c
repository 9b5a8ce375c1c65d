// SPDX-License-Identifier: GPL-2.0
/* The process that runs one program: its lanes, and somebody who watches them */
#include <sched.h>
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

#define TICK_US		2000
#define LONG_NS		4000000ULL	/* what waits that long is interrupted */
#define HUNG_NS		(30000000000ULL * slowness)

static struct program *running;

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

static void *lane_main(void *arg)
{
	struct lane *lane = arg;

	this_lane = lane;
	lane->pid = getpid();
	lane->tid = gettid();
	if (!lane_init(lane))
		finding("no memory for a lane");
	__atomic_store_n(&lane->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&shared->go, __ATOMIC_ACQUIRE))
		sched_yield();
	coverage_begin_lane(lane->number);
	lane_steps(lane);
	coverage_end_lane(lane->number);
	lane_exit(lane);
	__atomic_store_n(&lane->done, 1, __ATOMIC_RELEASE);
	return NULL;
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

/* How many private stores may be made is bounded; what is gone gives its room back late. */
static bool prepare_stores(const struct program *program)
{
	struct metastore_open open_arg = { .open_flags = O_RDWR | O_NONBLOCK | O_CLOEXEC };
	int i, fd;

	roots[STORE_DEFAULT] = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (roots[STORE_DEFAULT] < 0)
		return false;
	for (i = STORE_ANY; i <= STORE_GROUPS; i++) {
		roots[i] = make_store(program, i);
		if (roots[i] < 0) {
			finding("CREATE: %s", strerrorname_np(errno));
			return false;
		}
	}
	for (i = 0; i < SLOTS; i++) {
		pthread_mutex_init(&slots[i].lock, NULL);
		slots[i].file = -1;
	}
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

static void start_lanes(struct program *program, uint64_t seed)
{
	pthread_t thread;
	uint32_t i;
	pid_t pid;

	for (i = 0; i < program->lanes; i++) {
		struct lane *lane = &shared->lanes[i];

		lane->number = i;
		lane->program = program;
		lane->random = seed + i;
		if (!(program->forked & (1U << i)))
			continue;
		/* The lane is in memory of both. */
		pid = fork();
		if (pid) {
			lane->pid = pid;
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		lane_main(lane);
		_exit(0);
	}
	for (i = 0; i < program->lanes; i++)
		if (!(program->forked & (1U << i)) &&
		    pthread_create(&thread, NULL, lane_main, &shared->lanes[i]))
			finding("no thread");
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
	bool forked = running->forked & (1U << lane->number);

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

static bool lanes_ready(void)
{
	uint32_t i;

	for (i = 0; i < running->lanes; i++)
		if (!__atomic_load_n(&shared->lanes[i].ready, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

static void watch(void)
{
	uint32_t i, ended;

	while (!lanes_ready() && !world->has_finding)
		sched_yield();
	__atomic_store_n(&shared->go, 1, __ATOMIC_RELEASE);
	do {
		usleep(TICK_US / 4);
		ended = 0;
		for (i = 0; i < running->lanes; i++)
			ended += watch_lane(&shared->lanes[i]);
	} while (ended != running->lanes && !world->has_finding);
}

/* Waits for those that lanes forked, and for what they kept open */
static void await_children(void)
{
	uint64_t end = now_ns() + HUNG_NS;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && now_ns() < end)
		if (!pid)
			usleep(TICK_US / 4);
	if (!pid)
		finding("a process does not end");
}

void body_run(struct program *program, uint64_t seed)
{
	running = program;
	prepare_signals();
	if (prepare_stores(program)) {
		start_lanes(program, seed);
		watch();
		if (!world->has_finding)
			await_children();
		if (!world->has_finding)
			check_program();
	}
	_exit(0);
}
