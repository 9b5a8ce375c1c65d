// SPDX-License-Identifier: GPL-2.0
/* Other commands, run in place of this one or beside it. */
#include <errno.h>
#include <fcntl.h>
#include <metastore.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "error.h"
#include "output.h"

/* As env(1) and the shell end. */
enum { STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127, STATUS_SIGNAL = 128 };

/* Scripts use the numbers below for files of their own. */
#define INHERITED_FD	100

static sighandler_t broken_pipe = SIG_DFL;
static sighandler_t ended_child = SIG_DFL;

/*
 * For this command alone: those that it runs expect what there was before. An ignored
 * SIGCHLD would not leave the status of children to this process.
 */
void set_signals(void)
{
	broken_pipe = signal(SIGPIPE, SIG_IGN);
	ended_child = signal(SIGCHLD, SIG_DFL);
}

/*
 * Makes commands that this one runs, or becomes, inherit the open file. Returns its
 * descriptor.
 */
int inherit_store(struct mstore *store)
{
	int fd = fcntl(mstore_fd(store), F_DUPFD, INHERITED_FD);

	/* So high a number may be beyond the limit. */
	if (fd < 0)
		fd = fcntl(mstore_fd(store), F_DUPFD, STDERR_FILENO + 1);
	if (fd < 0)
		call_failed("descriptor", errno);
	return fd;
}

noreturn void become(char *const *argv)
{
	int error;

	signal(SIGPIPE, broken_pipe);
	signal(SIGCHLD, ended_child);
	execvp(argv[0], argv);
	error = errno;
	report(argv[0], "%s", strerror(error));
	_exit(error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN);
}

/* A file without a name that holds the value: a pipe would have to be fed. */
static int value_file(struct bytes value)
{
	int fd = memfd_create("value", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < value.len) {
		ssize_t count = write(fd, (const char *)value.data + done, value.len - done);

		if (count < 0)
			die(STATUS_COULD_NOT, "memory", "%s", strerror(errno));
		done += count;
	}
	if (fd < 0 || lseek(fd, 0, SEEK_SET))
		die(STATUS_COULD_NOT, "memory", "%s", strerror(errno));
	return fd;
}

/*
 * Runs a command with @input as its standard input and @output, unless negative, as
 * its standard output. @prepare, unless NULL, is called in the new process.
 */
pid_t start_command(char *const *argv, struct bytes input, int output, void (*prepare)(void))
{
	int fd = value_file(input);
	pid_t pid;

	out_flush();
	pid = fork();
	if (pid < 0)
		die(STATUS_COULD_NOT, argv[0], "%s", strerror(errno));
	if (!pid) {
		dup2(fd, STDIN_FILENO);
		if (output >= 0)
			dup2(output, STDOUT_FILENO);
		if (prepare)
			prepare();
		become(argv);
	}
	close(fd);
	return pid;
}

/* A status of waitpid(), as the shell tells it. */
int shell_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL + WTERMSIG(status);
}

/* Returns the exit status, as the shell tells it. */
int wait_for_command(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die(STATUS_COULD_NOT, "command", "%s", strerror(errno));
	return shell_status(status);
}
