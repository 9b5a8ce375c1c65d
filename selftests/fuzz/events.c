// SPDX-License-Identifier: GPL-2.0
/* Calls of a subscriber */
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fuzz.h"

#define BUFFER_AT	(24 * PAGE)
#define BUFFER_SIZE	(32 * PAGE)

/* io_uring of a lane, with one read at a time */
struct ring {
	int fd;
	char *rings;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
	char *buffer;
	bool pending;
	int file;
};

/* A key or prefix as the kernel is to read it; returns its length */
static uint32_t place_topic(struct lane *lane, uint32_t key, uint32_t prefix, bool is_prefix,
			    uint32_t mem, uint64_t *at)
{
	char name[METASTORE_KEY_MAX];
	uint32_t len = key_name(key % KEYS, name);

	*at = lane_place(lane, mem, AT_KEY, KEY_AT, name, len);
	if (is_prefix && prefix > METASTORE_KEY_MAX)
		len = prefix;
	else if (is_prefix && prefix < len)
		len = prefix;
	return lane_length(mem, AT_KEY, len);
}

void call_subscribe(struct lane *lane, const uint32_t *arg)
{
	struct metastore_subscribe sub = { .flags = arg[4] };
	struct open_file *file;
	uint32_t turn;

	file = slot_use(arg[0], &turn);
	if (!file)
		return;
	sub.key_len = place_topic(lane, arg[1], arg[2], arg[4] & METASTORE_SUBSCRIBE_PREFIX,
				  arg[6], (uint64_t *)&sub.key);
	if (sub.flags & METASTORE_SUBSCRIBE_RESYNC) {
		sub.flags &= METASTORE_SUBSCRIBE_RESYNC | METASTORE_SUBSCRIBE_PREFIX;
		__atomic_store_n(&file->resynced, true, __ATOMIC_RELAXED);
	} else {
		sub.events = arg[3];
		/* A garbled key may be any. */
		sub.cookie = hostile_of(arg[6], AT_KEY) && hostile_of(arg[6], AT_KEY) != ODD ? 0 :
			     make_cookie(arg[1] % KEYS,
					 arg[4] & METASTORE_SUBSCRIBE_PREFIX ? sub.key_len :
					 COOKIE_EXACT, arg[3]);
		if (sub.flags & METASTORE_SUBSCRIBE_NEWER)
			sub.version = arg[5] == 1 ? version_known(file->store, arg[1] % KEYS) :
				      arg[5];
	}
	lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_SUBSCRIBE, &sub, sizeof(sub), arg[6]);
	/* Of another file that is there by now it may have settled losses. */
	if (sub.flags & METASTORE_SUBSCRIBE_RESYNC && !slot_is_same(arg[0], turn))
		lane_unsure();
}

void call_unsubscribe(struct lane *lane, const uint32_t *arg)
{
	struct metastore_unsubscribe unsub = { .flags = arg[3] };
	uint32_t turn;

	if (!slot_use(arg[0], &turn))
		return;
	unsub.key_len = place_topic(lane, arg[1], arg[2], arg[3] & METASTORE_SUBSCRIBE_PREFIX,
				    arg[4], (uint64_t *)&unsub.key);
	lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_UNSUBSCRIBE, &unsub, sizeof(unsub), arg[4]);
}

void call_queue(struct lane *lane, const uint32_t *arg)
{
	struct metastore_queue_info info = { .flags = arg[1], .policy = arg[2],
					     .max_len = arg[3], .max_bytes = arg[4] };
	uint32_t turn;

	if (slot_use(arg[0], &turn) &&
	    !lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_QUEUE, &info, sizeof(info), arg[5]) &&
	    lane_is_clean(lane, arg[5]))
		check_queue(&info, "QUEUE");
}

void call_subscription(struct lane *lane, const uint32_t *arg)
{
	struct metastore_subscription_info info = { .flags = arg[3] };
	uint32_t turn;

	if (!slot_use(arg[0], &turn))
		return;
	info.key_len = place_topic(lane, arg[1], arg[2], arg[3], arg[4], (uint64_t *)&info.key);
	if (!lane_ioctl(lane, slot_fd(arg[0]), METASTORE_IOC_SUBSCRIPTION, &info, sizeof(info),
			arg[4]) && lane_is_clean(lane, arg[4]))
		check_subscription(&info);
}

static void check_read_error(int error)
{
	if (error != EAGAIN && error != EINTR && error != EMSGSIZE && error != EFAULT &&
	    error != EBADF && error != EINVAL)
		finding("read() has the undocumented error %s", strerrorname_np(error));
}

/* Check the records that a read of @file returned; negative: it is not known of which */
static void take_events(struct lane *lane, int file, const char *buffer, ssize_t len)
{
	uint64_t received = 0;

	lane->worked = len > 0;
	if (len <= 0)
		return;
	if (file < 0) {
		lane_unsure();
		return;
	}
	/* Records that io_uring read may be checked after those of a later read. */
	check_events(lane, lane->ring && buffer == lane->ring->buffer ? FILES + file : file,
		     buffer, len, &received);
	__atomic_add_fetch(&shared->files[file].received, received, __ATOMIC_RELAXED);
}

static void read_into(struct lane *lane, uint32_t slot, uint32_t size, uint32_t parts, uint32_t mem)
{
	struct open_file *file;
	struct iovec iov[16];
	uint32_t turn, i;
	uint64_t at;
	ssize_t ret;

	file = slot_use(slot, &turn);
	if (!file)
		return;
	size = size > BUFFER_SIZE ? BUFFER_SIZE : size;
	at = lane_place(lane, mem, AT_STRUCT, BUFFER_AT, NULL, size);
	if (parts) {
		for (i = 0; i < parts; i++)
			iov[i] = (struct iovec) { (char *)at + size / parts * i, size / parts };
		ret = readv(slot_fd(slot), iov, parts);
	} else {
		ret = read(slot_fd(slot), (char *)at, size);
	}
	if (ret < 0)
		check_read_error(errno);
	/* Of a page that another lane may have taken away in the meantime nothing can be told. */
	if (hostile_of(mem, AT_STRUCT) == FLIPPING)
		lane_unsure();
	else
		take_events(lane, slot_is_same(slot, turn) ? file - shared->files : -1,
			    (char *)at, ret);
}

void call_read(struct lane *lane, const uint32_t *arg)
{
	read_into(lane, arg[0], arg[1], 0, arg[2]);
}

void call_readv(struct lane *lane, const uint32_t *arg)
{
	read_into(lane, arg[0], arg[1], 1 + arg[2] % 16, arg[3]);
}

void call_poll(struct lane *lane, const uint32_t *arg)
{
	struct pollfd pollfd = { .fd = slot_fd(arg[0]), .events = POLLIN | POLLOUT | POLLPRI };

	lane->worked = poll(&pollfd, 1, arg[1] % 8) > 0;
}

static bool epoll_ready(struct lane *lane)
{
	if (lane->epoll < 0)
		lane->epoll = epoll_create1(EPOLL_CLOEXEC);
	return lane->epoll >= 0;
}

void call_epoll_add(struct lane *lane, const uint32_t *arg)
{
	struct epoll_event event = { .events = EPOLLIN };
	int op = EPOLL_CTL_ADD;

	if (!epoll_ready(lane))
		return;
	if (arg[1] & 1)
		event.events |= EPOLLET;
	if (arg[1] & 2)
		event.events |= EPOLLEXCLUSIVE;
	if (arg[1] & 4)
		event.events |= EPOLLONESHOT;
	if (arg[1] & 8)
		op = EPOLL_CTL_DEL;
	if (arg[1] & 16)
		op = EPOLL_CTL_MOD;
	lane->worked = !epoll_ctl(lane->epoll, op, slot_fd(arg[0]), &event);
}

void call_epoll_wait(struct lane *lane, const uint32_t *arg)
{
	struct epoll_event events[4];

	lane->worked = epoll_ready(lane) && epoll_wait(lane->epoll, events, 4, arg[0] % 8) > 0;
}

void call_fionread(struct lane *lane, const uint32_t *arg)
{
	int size = -1;

	if (ioctl(slot_fd(arg[0]), FIONREAD, &size))
		return;
	lane->worked = true;
	if (size && size < (int)sizeof(struct metastore_event))
		finding("FIONREAD is %d", size);
}

void call_fdinfo(struct lane *lane, const uint32_t *arg)
{
	uint32_t turn;

	if (!slot_use(arg[0], &turn))
		return;
	check_fdinfo(slot_fd(arg[0]));
	lane->worked = true;
}

/* io_uring */

static uint32_t *ring_word(struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(ring->rings + offset);
}

static bool ring_ready(struct lane *lane)
{
	struct ring *ring = lane->ring;

	if (ring)
		return ring->fd >= 0;
	ring = calloc(1, sizeof(*ring));
	lane->ring = ring;
	ring->buffer = malloc(BUFFER_SIZE);
	ring->fd = syscall(SYS_io_uring_setup, 4, &ring->params);
	if (ring->fd < 0)
		return false;
	ring->rings = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			   IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			  IORING_OFF_SQES);
	if (ring->rings != MAP_FAILED && (void *)ring->sqes != MAP_FAILED)
		return true;
	close(ring->fd);
	ring->fd = -1;
	return false;
}

void call_uring_read(struct lane *lane, const uint32_t *arg)
{
	struct open_file *file;
	struct ring *ring;
	uint32_t *tail, at, turn;

	if (!ring_ready(lane) || lane->ring->pending)
		return;
	ring = lane->ring;
	file = slot_use(arg[0], &turn);
	if (!file)
		return;
	tail = ring_word(ring, ring->params.sq_off.tail);
	at = *tail & *ring_word(ring, ring->params.sq_off.ring_mask);
	ring->sqes[at] = (struct io_uring_sqe) {
		.opcode = IORING_OP_READ,
		.fd = slot_fd(arg[0]),
		.addr = (uintptr_t)ring->buffer,
		.len = arg[1] > BUFFER_SIZE ? BUFFER_SIZE : arg[1],
		.off = -1ULL,
	};
	ring_word(ring, ring->params.sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	ring->pending = syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1;
	ring->file = slot_is_same(arg[0], turn) ? file - shared->files : -1;
	lane->worked = ring->pending;
}

static bool ring_reap(struct lane *lane)
{
	struct ring *ring = lane->ring;
	struct io_cqring_offsets *off = &ring->params.cq_off;
	uint32_t *head = ring_word(ring, off->head);
	struct io_uring_cqe *cqes = (void *)ring_word(ring, off->cqes);
	int ret;

	if (*head == __atomic_load_n(ring_word(ring, off->tail), __ATOMIC_ACQUIRE))
		return false;
	ret = cqes[*head & *ring_word(ring, off->ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	ring->pending = false;
	take_events(lane, ring->file, ring->buffer, ret);
	return true;
}

void call_uring_reap(struct lane *lane, const uint32_t *arg)
{
	struct ring *ring = lane->ring;
	struct __kernel_timespec ts = { .tv_nsec = arg[0] % 8 * 1000000 };
	struct io_uring_getevents_arg wait = { .ts = (uintptr_t)&ts };

	if (!ring || !ring->pending)
		return;
	if (arg[0])
		syscall(SYS_io_uring_enter, ring->fd, 0, 1,
			IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &wait, sizeof(wait));
	ring_reap(lane);
}

void ring_close(struct lane *lane)
{
	struct ring *ring = lane->ring;

	if (ring->pending && !ring_reap(lane))
		lane_unsure();
	if (ring->fd >= 0) {
		munmap(ring->rings, PAGE);
		munmap(ring->sqes, PAGE);
		close(ring->fd);
	}
	free(ring->buffer);
	free(ring);
	lane->ring = NULL;
}
