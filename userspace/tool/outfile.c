// SPDX-License-Identifier: GPL-2.0
/*
 * --output FILE. The output goes to a new file beside FILE, which takes its name once all is
 * written: a reader finds the old text or the new one, never a part, also after a crash. If
 * FILE is a link, the file that it leads to is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "outfile.h"
#include "output.h"
#include "settings.h"

static char *unfinished;	/* path of the new file, NULL: there is none */
static char *target;		/* path that it gets */

static void remove_unfinished(void)
{
	if (unfinished)
		unlink(unfinished);
}

static void remove_and_end(int signal)
{
	remove_unfinished();
	raise(signal);	/* SA_RESETHAND: ends the process once the handler returns */
}

static noreturn void outfile_failed(void)
{
	die(STATUS_COULD_NOT, settings.output, "%s", strerror(errno));
}

/* Signals that are ignored, as nohup does it, stay so. */
static void remove_at_the_end(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ };
	const struct sigaction action = {
		.sa_handler = remove_and_end,
		.sa_flags = SA_RESETHAND,
	};
	struct sigaction before;

	atexit(remove_unfinished);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

/* No signal ends the process between the making of the file and the note of its name. */
static int make_unfinished(void)
{
	sigset_t all, before;
	char *path;
	int fd;

	if (asprintf(&path, "%s.XXXXXX", target) < 0)
		outfile_failed();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	fd = mkstemp(path);
	if (fd < 0)
		outfile_failed();
	unfinished = path;
	remove_at_the_end();
	sigprocmask(SIG_SETMASK, &before, NULL);
	return fd;
}

/* A device or a pipe is written to; it is not replaced. */
static int open_special(void)
{
	int fd = open(settings.output, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		outfile_failed();
	return fd;
}

/*
 * Without --output nothing is done. @mode: of a new file, less the umask; one that exists keeps
 * its mode, and its owner where that is allowed
 */
void outfile_begin(mode_t mode)
{
	mode_t mask = umask(0);
	struct stat st;
	int fd;

	umask(mask);
	if (!settings.output)
		return;
	if (stat(settings.output, &st)) {
		target = strdup(settings.output);
		st.st_mode = S_IFREG | (mode & ~mask);
		st.st_uid = -1;
		st.st_gid = -1;
	} else {
		target = realpath(settings.output, NULL);
	}
	if (!target)
		outfile_failed();
	fd = S_ISREG(st.st_mode) ? make_unfinished() : open_special();
	if (unfinished && ((fchown(fd, st.st_uid, st.st_gid) && errno != EPERM) ||
			   fchmod(fd, st.st_mode & 07777)))
		outfile_failed();
	if (dup2(fd, STDOUT_FILENO) < 0 || close(fd))
		outfile_failed();
}

/* Without this the new name may be lost in a crash, though not the old file. */
static void sync_directory(void)
{
	int fd = open(dirname(target), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Not each file system can do it, and not each directory may be read. */
	if (fd < 0)
		return;
	if (fsync(fd) && errno != EINVAL)
		outfile_failed();
	close(fd);
}

void outfile_commit(void)
{
	if (!settings.output)
		return;
	out_flush();
	if (!unfinished)
		return;
	if (fsync(STDOUT_FILENO) || rename(unfinished, target))
		outfile_failed();
	unfinished = NULL;
	sync_directory();
}
