// SPDX-License-Identifier: GPL-2.0
/*
 * A command beside this one, one at a time. It has a process group of its own, so that
 * all of it can be ended: when another one is to take its place, and in any case with
 * this process. Signals that end this process are read from a descriptor rather than
 * handled, since it first ends the group.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "error.h"
#include "supervise.h"
#include "watch.h"

/* So long a group that was told to end has until it is killed. */
#define GRACE_NS	(5 * NS_PER_SEC)

static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

/**
 * struct supervised - the command
 * @pid:	process, and number of its group; 0: none
 * @status:	its status of waitpid(); -1: it has not ended
 * @told:	last signal of supervise_tell()
 * @ending:	the group was told to end
 * @killed:	it was killed, since that did not help
 * @deadline:	end of the time that it has, in ns of CLOCK_MONOTONIC
 */
static struct supervised {
	pid_t pid;
	int status;
	int told;
	bool ending;
	bool killed;
	uint64_t deadline;
} child;

static pid_t own_pid;
static int end_signal;
static int interrupted_status;
static int signal_fd;
static sigset_t inherited_mask;

static void end_now(void);

/* An ignored signal stays ignored: nohup and shells rely on that. */
static void add_unless_ignored(sigset_t *set, int signal)
{
	struct sigaction action;

	sigaction(signal, NULL, &action);
	if (action.sa_handler != SIG_IGN)
		sigaddset(set, signal);
}

/*
 * Comes before all else here. @signal ends a group; @status is the exit status after
 * SIGINT and SIGTERM. What the command leaves behind becomes a child of this process,
 * which so learns when the group is empty.
 */
void supervise_begin(int signal_to_end, int status)
{
	sigset_t set;

	own_pid = getpid();
	end_signal = signal_to_end;
	interrupted_status = status;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		add_unless_ignored(&set, watched[i]);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &inherited_mask);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) || atexit(end_now))
		call_failed("command", errno);
}

/* Can be read when supervise_turn() has something to do. */
int supervise_fd(void)
{
	return signal_fd;
}

/* As poll() takes it: when supervise_turn() has something to do at the latest. */
int supervise_timeout(void)
{
	return child.ending ? ms_until(child.deadline) : -1;
}

/* Called in the new process. The signal comes if this process is killed by SIGKILL. */
static void prepare(void)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, end_signal);
	if (getppid() != own_pid)
		_exit(STATUS_COULD_NOT);
	sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
}

/* Runs a command with @input as its standard input. */
void supervise_start(char *const *argv, struct bytes input)
{
	pid_t pid = start_command(argv, input, -1, prepare);

	/* Here too, since either may come first. */
	setpgid(pid, pid);
	child = (struct supervised){ .pid = pid, .status = -1 };
}

bool supervise_runs(void)
{
	return child.pid;
}

/* Begins to end the group of the command. */
void supervise_end(void)
{
	if (child.ending)
		return;
	child.ending = true;
	child.deadline = now_ns(CLOCK_MONOTONIC) + GRACE_NS;
	kill(-child.pid, end_signal);
	/* Those that are stopped end when they go on. */
	kill(-child.pid, SIGCONT);
}

static void kill_group(void)
{
	child.killed = true;
	child.deadline = now_ns(CLOCK_MONOTONIC) + GRACE_NS;
	kill(-child.pid, SIGKILL);
}

/* Ctrl-Z does not reach the group: it stops, and goes on, with this process. */
static void stop_with_group(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	if (child.pid)
		kill(-child.pid, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (child.pid)
		kill(-child.pid, SIGCONT);
}

static noreturn void end_by(int number)
{
	sigset_t set;

	if (number == SIGINT || number == SIGTERM)
		exit(interrupted_status);
	end_now();
	sigemptyset(&set);
	sigaddset(&set, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(STATUS_COULD_NOT);
}

static bool is_end(int number)
{
	return number != SIGCHLD && number != SIGTSTP;
}

/* Returns the next signal that came, 0: none. */
static int next_signal(void)
{
	struct signalfd_siginfo info;

	return read(signal_fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* A command that the signal ended, since it was not ready for it, leaves nothing behind. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != child.pid)
			continue;
		child.status = status;
		if (WIFSIGNALED(status) && WTERMSIG(status) == child.told)
			supervise_end();
	}
}

/*
 * Sends a signal to the process of the command alone, not to its children. Returns false
 * if that has ended.
 */
bool supervise_tell(int signal)
{
	reap();
	if (child.status >= 0)
		return false;
	child.told = signal;
	return !kill(child.pid, signal);
}

/*
 * Whether the command has ended, and its group too if that was told to. What cannot be
 * killed, such as another user's process, is not waited for.
 */
static bool has_ended(void)
{
	if (child.killed && !supervise_timeout())
		return true;
	return child.status >= 0 && (!child.ending || kill(-child.pid, 0));
}

/* Takes the next step to the end of the group. */
static void pursue_end(void)
{
	if (child.ending && !child.killed && !supervise_timeout())
		kill_group();
}

/* Waits for the end of the group. Another signal makes an end of the waiting. */
static void end_now(void)
{
	struct pollfd pollfd = { .fd = signal_fd, .events = POLLIN };
	int number;

	if (!child.pid)
		return;
	supervise_end();
	while (!has_ended()) {
		poll(&pollfd, 1, supervise_timeout());
		while ((number = next_signal()))
			if (is_end(number) && !child.killed)
				kill_group();
		reap();
		pursue_end();
	}
	child.pid = 0;
}

/*
 * Does what is due. Returns true once the command has ended, and writes its status of
 * waitpid(); after supervise_end(), once its group has ended.
 */
bool supervise_turn(int *status)
{
	int number;

	while ((number = next_signal())) {
		if (number == SIGTSTP)
			stop_with_group();
		else if (is_end(number))
			end_by(number);
	}
	reap();
	pursue_end();
	if (!child.pid || !has_ended())
		return false;
	*status = child.status;
	child.pid = 0;
	return true;
}
