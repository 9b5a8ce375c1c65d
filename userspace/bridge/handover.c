// SPDX-License-Identifier: GPL-2.0
/*
 * Notices of the threads of a session to the main thread, in order. A session that is over is not
 * listened to. A thread that reads a bucket waits while much is left to take: so a large
 * bucket fills the server's buffers rather than memory here.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "handover.h"
#include "output.h"

/* So many entries of buckets may wait, of so many bytes without the value of the last one */
#define ENTRIES_MAX	1024
#define BYTES_MAX	(16 << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t taken = PTHREAD_COND_INITIALIZER;
static struct notice *first;
static struct notice **end = &first;
static unsigned int entries;
static size_t bytes;
static unsigned int current;
static int fd = -1;

void handover_begin(void)
{
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		die(STATUS_COULD_NOT, "eventfd", "%s", strerror(errno));
}

/* Readable when a notice waits. */
int handover_fd(void)
{
	return fd;
}

void notice_free(struct notice *notice)
{
	kvEntry_Destroy(notice->entry);
	natsMsg_Destroy(notice->msg);
	free(notice);
}

static void signal_fd(void)
{
	const uint64_t one = 1;

	/* It fails if so much was written already that it is readable. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void clear_fd(void)
{
	uint64_t number;

	if (read(fd, &number, sizeof(number)) < 0)
		return;
}

/**
 * handover_open() - listen to one session alone
 * @session:	its number; notices of others are dropped. 0: to none
 */
void handover_open(unsigned int session)
{
	struct notice *notice;

	pthread_mutex_lock(&lock);
	current = session;
	while ((notice = first)) {
		first = notice->next;
		notice_free(notice);
	}
	end = &first;
	entries = 0;
	bytes = 0;
	pthread_cond_broadcast(&taken);
	pthread_mutex_unlock(&lock);
}

static bool is_full(void)
{
	return entries >= ENTRIES_MAX || bytes >= BYTES_MAX;
}

/* Puts a copy at the end. With an entry it waits for room. What it is not to keep it frees. */
void handover_put(const struct notice *notice)
{
	struct notice *copy = malloc(sizeof(*copy));

	if (!copy)
		die(STATUS_COULD_NOT, "memory", "no room for what the server tells");
	*copy = *notice;
	copy->next = NULL;
	pthread_mutex_lock(&lock);
	while (copy->entry && copy->session == current && is_full())
		pthread_cond_wait(&taken, &lock);
	if (copy->session == current) {
		*end = copy;
		end = &copy->next;
		if (copy->entry) {
			entries++;
			bytes += kvEntry_ValueLen(copy->entry);
		}
		signal_fd();
		copy = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (copy)
		notice_free(copy);
}

/* Tells that a session is over, and why. */
void handover_put_down(unsigned int session, const char *why, ...)
{
	struct notice notice = { .type = SESSION_DOWN, .session = session };
	va_list args;

	va_start(args, why);
	vsnprintf(notice.text, sizeof(notice.text), why, args);
	va_end(args);
	handover_put(&notice);
}

/* An entry does not wait any more. */
static void note_taken(kvEntry *entry)
{
	bool was_full = is_full();

	entries--;
	bytes -= kvEntry_ValueLen(entry);
	if (was_full)
		pthread_cond_broadcast(&taken);
}

/* Takes the oldest notice, which is the caller's to free; NULL: there is none. */
struct notice *handover_take(void)
{
	struct notice *notice;

	pthread_mutex_lock(&lock);
	notice = first;
	if (notice) {
		first = notice->next;
		if (!first)
			end = &first;
		if (notice->entry)
			note_taken(notice->entry);
	} else {
		clear_fd();
	}
	pthread_mutex_unlock(&lock);
	return notice;
}
