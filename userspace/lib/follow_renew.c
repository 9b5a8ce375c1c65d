// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Followers whose module is replaced. Their descriptor for poll loops is an epoll instance,
 * which stays the same: in it are the store's descriptor and a timer, which tells when to look
 * for the next module. Nothing but the epoll entry is made on the way, so leaving the device
 * cannot fail for want of descriptors.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "follow.h"
#include "renew.h"

/* Returns 0, or -1. */
static int watch(const struct mstore_follow *follow, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(follow->poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Returns 0, or -1. */
int mstore_follow_watch(struct mstore_follow *follow)
{
	follow->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	follow->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (follow->poll_fd < 0 || follow->timer < 0 || watch(follow, follow->timer))
		return -1;
	return watch(follow, mstore_fd(follow->store));
}

void mstore_follow_unwatch(struct mstore_follow *follow)
{
	if (follow->poll_fd >= 0)
		close(follow->poll_fd);
	if (follow->timer >= 0)
		close(follow->timer);
}

/* Whether a call failed because the module is replaced, and another can take its place. */
bool mstore_follow_has_gone(const struct mstore_follow *follow)
{
	return errno == ENODEV && mstore_can_renew(follow->store);
}

/* Has the device opened later. Returns 0, or -1. */
static int try_later(struct mstore_follow *follow, int error)
{
	follow->info.away = error;
	follow->delay = mstore_next_delay(follow->delay);
	return mstore_set_delay(follow->timer, follow->delay);
}

/* Closes the device. What was told stays, until the next module's snapshot. Returns 0, or -1. */
int mstore_follow_leave(struct mstore_follow *follow)
{
	/* Another process may hold the open file, which would stay in the epoll instance. */
	epoll_ctl(follow->poll_fd, EPOLL_CTL_DEL, mstore_fd(follow->store), NULL);
	if (mstore_leave_device(follow->store, follow->timer))
		return -1;
	follow->flushed = false;
	mstore_topics_forget(follow);
	follow->delay = 0;
	return try_later(follow, ENODEV);
}

/* Whether the timer is over; takes its expiry. */
static bool is_time(const struct mstore_follow *follow)
{
	uint64_t times;

	return read(follow->timer, &times, sizeof(times)) == sizeof(times);
}

/* Opens the device if it is time to try. Returns 1 if it did, 0 if it did not, or -1. */
int mstore_follow_return(struct mstore_follow *follow)
{
	int error;

	if (!is_time(follow))
		return 0;
	if (mstore_return_to_device(follow->store))
		return try_later(follow, errno);
	if (watch(follow, mstore_fd(follow->store))) {
		error = errno;
		mstore_leave_device(follow->store, follow->timer);
		return try_later(follow, error);
	}
	follow->info.away = 0;
	follow->info.renewals++;
	return 1;
}
