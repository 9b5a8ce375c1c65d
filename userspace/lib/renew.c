// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stores whose module is replaced. A module can only be unloaded once its device is closed.
 * So the descriptor gets a timer in the place of the device, and later the device of the next
 * module: its number stays the same. The timer tells when to look for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"
#include "map.h"
#include "renew.h"

/* How long to wait between two tries, in ms: the first time, and at most. */
#define FIRST_DELAY	20
#define LONGEST_DELAY	1000

bool mstore_can_renew(const struct mstore *store)
{
	return store->path;
}

/* Starts a timer, which is readable after @delay ms. */
int mstore_set_delay(int timer, int delay)
{
	const struct itimerspec spec = {
		.it_value = { .tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000L },
	};

	return timerfd_settime(timer, 0, &spec, NULL);
}

/* Returns how long to wait after @delay, 0: for the first time. */
int mstore_next_delay(int delay)
{
	if (!delay)
		return FIRST_DELAY;
	return delay < LONGEST_DELAY / 2 ? delay * 2 : LONGEST_DELAY;
}

/* Puts a timer in the place of the device, which is closed by that. Returns 0, or -1. */
int mstore_leave_device(struct mstore *store, int timer)
{
	mstore_ring_unmap(&store->ring);
	if (dup3(timer, store->fd, O_CLOEXEC) < 0)
		return -1;
	mstore_mapping_leave(store);
	return 0;
}

/* Opens the device after mstore_leave_device(). Returns 0, or -1 and nothing has changed. */
int mstore_return_to_device(struct mstore *store)
{
	int fd = open(store->path, store->mode), error;

	if (fd < 0)
		return -1;
	if ((store->queue.which && mstore_queue_set_fd(fd, &store->queue)) ||
	    dup3(fd, store->fd, O_CLOEXEC) < 0) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	close(fd);
	/* Without it read() gives the same. */
	if (store->ring.size)
		mstore_ring_map(&store->ring, store->fd, store->ring.size);
	mstore_mapping_return(store);
	return 0;
}

/* Returns the rest of a wait, for mstore_wait(). */
static int time_left(int timeout_ms, int64_t end)
{
	int64_t left = end - now_ms();

	if (timeout_ms < 0)
		return -1;
	return left > 0 ? (int)left : 0;
}

/* Tries again and again until the end. Returns 0, or -1 with the error of the last try. */
static int renew_until(struct mstore *store, int timer, int timeout_ms, int64_t end)
{
	int delay = 0, error, ret;

	while (mstore_return_to_device(store)) {
		error = errno;
		delay = mstore_next_delay(delay);
		if (mstore_set_delay(timer, delay))
			return -1;
		ret = mstore_wait(store, time_left(timeout_ms, end));
		if (!ret)
			errno = error == ENODEV || error == ENOENT ? ETIMEDOUT : error;
		if (ret <= 0)
			return -1;
	}
	return 0;
}

int mstore_renew(struct mstore *store, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	int timer, ret, error;

	if (!mstore_can_renew(store)) {
		errno = ENOTSUP;
		return -1;
	}
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer < 0)
		return -1;
	ret = mstore_leave_device(store, timer);
	if (!ret)
		ret = renew_until(store, timer, timeout_ms, end);
	error = errno;
	close(timer);
	errno = error;
	return ret;
}
