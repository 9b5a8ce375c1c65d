// SPDX-License-Identifier: GPL-2.0
/*
 * What several files need.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

const struct value_size value_sizes[] = {
	{ "0B", 0, BATCH },
	{ "64B", 64, BATCH },
	{ "1K", 1 << 10, BATCH },
	{ "4K", 4 << 10, BATCH },
	{ "16K", 16 << 10, SHORT_BATCH },
	{ "64K", 64 << 10, SHORT_BATCH },
};

const size_t nr_value_sizes = ARRAY_SIZE(value_sizes);

const unsigned int subscriber_numbers[] = { 1, 10, 99, SUBSCRIBERS_MAX };

const size_t nr_subscriber_numbers = ARRAY_SIZE(subscriber_numbers);

/** bench_value - bytes for values */
char bench_value[VALUE_MAX];

/**
 * die - end with a message
 * @what:	format of what could not be done; errno is added if it says why
 */
void die(const char *what, ...)
{
	int err = errno;
	va_list args;

	va_start(args, what);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, what, args);
	fprintf(stderr, err ? ": %s\n" : "\n", strerror(err));
	va_end(args);
	exit(1);
}

/**
 * pause_ms - sleep
 * @ms:		milliseconds
 */
void pause_ms(unsigned int ms)
{
	struct timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000L,
	};

	nanosleep(&ts, NULL);
}

/**
 * bench_key - make a key
 * @key:	where
 * @prefix:	its beginning, 4 bytes
 * @number:	the rest, in decimal
 */
void bench_key(char key[KEY_LEN], const char *prefix, unsigned int number)
{
	char text[KEY_LEN + 16];

	snprintf(text, sizeof(text), "%.4s%012u", prefix, number);
	memcpy(key, text, KEY_LEN);
}

/**
 * server_start - start a program that lasts as long as this one at most
 * @program:	its name or path
 * @argv:	its arguments
 *
 * What it prints is in /tmp/bench-server.log.
 *
 * Return: its process id, for server_stop().
 */
pid_t server_start(const char *program, const char * const argv[])
{
	pid_t pid = fork();
	int log;

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log = open("/tmp/bench-server.log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	execvp(program, (char * const *)argv);
	_exit(127);
}

/* With a pause of 100 ms each. */
#define ATTEMPTS_MAX	100000

/**
 * server_wait - wait until a server answers
 * @pid:	its process id
 * @address:	where it listens
 * @size:	size of that
 *
 * Allocates nothing, and peers' libraries connect once it returned: had they to try
 * again, as often as it takes, malloc() would be in another state each time, which
 * costs up to 1,700 instructions a message.
 *
 * While the VM waits for the host to give it a file its clock runs much faster than
 * any real one. So here, and in all time limits of peers, patience costs nothing.
 */
void server_wait(pid_t pid, const struct sockaddr *address, socklen_t size)
{
	unsigned int i;

	for (i = 0; i < ATTEMPTS_MAX && !waitpid(pid, NULL, WNOHANG); i++) {
		int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool answers = !connect(fd, address, size);

		close(fd);
		if (answers)
			return;
		pause_ms(100);
	}
	die("a server does not answer, see /tmp/bench-server.log");
}

/**
 * server_stop - end a server
 * @pid:	its process id
 */
void server_stop(pid_t pid)
{
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}
