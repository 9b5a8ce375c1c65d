// SPDX-License-Identifier: GPL-2.0
/*
 * mstore lock --on-loss, --close: the command is a child. This process watches its lock,
 * forwards the signals that end processes, and ends as it does.
 */
#include <errno.h>
#include <metastore.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "child.h"
#include "error.h"
#include "guard.h"
#include "held.h"
#include "output.h"

/**
 * struct guarded - a command that runs
 * @guard:	how it is run
 * @lock:	its lock
 * @pid:	process
 * @pidfd:	descriptor of @pid
 * @signals:	descriptor of the signals to forward
 * @lost:	the lock was lost
 */
struct guarded {
	const struct guard *guard;
	struct mstore_lock *lock;
	pid_t pid;
	int pidfd;
	int signals;
	bool lost;
};

static noreturn void become_guarded(const struct guarded *guarded, pid_t parent,
				    const sigset_t *mask, char **command)
{
	const struct guard *guard = guarded->guard;

	sigprocmask(SIG_SETMASK, mask, NULL);
	if (!guard->close)
		bequeath_held(mstore_lock_store(guarded->lock));
	/* The lock then ends with this process alone, also if that is killed. */
	else if (guard->signal && !prctl(PR_SET_PDEATHSIG, guard->signal) && getppid() != parent)
		raise(guard->signal);
	become(command);
}

static void start(struct guarded *guarded, char **command)
{
	pid_t parent = getpid();
	sigset_t forwarded, before;

	sigemptyset(&forwarded);
	sigaddset(&forwarded, SIGHUP);
	sigaddset(&forwarded, SIGINT);
	sigaddset(&forwarded, SIGTERM);
	sigprocmask(SIG_BLOCK, &forwarded, &before);
	guarded->signals = signalfd(-1, &forwarded, SFD_CLOEXEC);
	guarded->pid = fork();
	if (!guarded->pid)
		become_guarded(guarded, parent, &before, command);
	if (guarded->pid < 0)
		die(STATUS_COULD_NOT, command[0], "%s", strerror(errno));
	guarded->pidfd = pidfd_open(guarded->pid, 0);
	if (guarded->pidfd < 0 || guarded->signals < 0)
		call_failed("command", errno);
}

/* A terminal sends its signals to the command too. */
static void forward(const struct guarded *guarded)
{
	struct signalfd_siginfo info;

	if (read(guarded->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_code <= 0)
		kill(guarded->pid, info.ssi_signo);
}

/* It may be held on if the store cannot tell, but nobody knows. */
static void look_at_lock(struct guarded *guarded)
{
	if (mstore_lock_is_held(guarded->lock) > 0)
		return;
	guarded->lost = true;
	kill(guarded->pid, guarded->guard->signal);
}

static void watch_until_end(struct guarded *guarded)
{
	struct pollfd fds[] = {
		{ .fd = guarded->pidfd, .events = POLLIN },
		{ .fd = guarded->signals, .events = POLLIN },
		{ .fd = mstore_lock_fd(guarded->lock), .events = POLLIN },
	};

	do {
		if (guarded->lost || !guarded->guard->signal)
			fds[2].fd = -1;
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			forward(guarded);
		if (fds[2].revents)
			look_at_lock(guarded);
	} while (!fds[0].revents);
}

/* Returns the status of the command. */
int guard_command(const struct guard *guard, struct mstore_lock *lock, char **command)
{
	struct guarded guarded = { .guard = guard, .lock = lock };
	int status;

	start(&guarded, command);
	watch_until_end(&guarded);
	status = wait_for_command(guarded.pid);
	/* Otherwise processes that the command left behind may hold it on. */
	if (guard->close)
		mstore_lock_free(lock);
	return status;
}
