// SPDX-License-Identifier: GPL-2.0
/*
 * The socket that tells metrics: each that connects reads all of them, as Prometheus does.
 * They fit into the socket's buffer, so that a reader that does not read holds up nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "books.h"
#include "metrics.h"
#include "output.h"
#include "settings.h"

#define BACKLOG	16

static int listener = -1;

static noreturn void metrics_failed(void)
{
	die(STATUS_COULD_NOT, settings.metrics, "%s", strerror(errno));
}

/* The socket that an earlier run left, and nothing else. */
static void remove_old(void)
{
	struct stat st;

	if (!lstat(settings.metrics, &st) && S_ISSOCK(st.st_mode))
		unlink(settings.metrics);
}

/* Returns a descriptor, which is readable when somebody connects, or -1: none is wanted. */
int metrics_begin(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (!settings.metrics)
		return -1;
	remove_old();
	memcpy(address.sun_path, settings.metrics, strlen(settings.metrics));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) ||
	    listen(listener, BACKLOG))
		metrics_failed();
	return listener;
}

/* Tells one that has connected. */
void metrics_tell(int fd)
{
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct buffer text = { 0 };

	if (client < 0)
		return;
	books_metrics(&text);
	if (send(client, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len)
		report(settings.metrics, "a reader did not get all metrics");
	close(client);
	free(text.data);
}

void metrics_end(void)
{
	if (listener < 0)
		return;
	close(listener);
	unlink(settings.metrics);
}
