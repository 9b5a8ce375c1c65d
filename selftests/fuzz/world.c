// SPDX-License-Identifier: GPL-2.0
/* Calls around the module: descriptors, signals, failures, CPUs */
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fuzz.h"

#define CPU1	"/sys/devices/system/cpu/cpu1/online"

/* Returns the index of a new open file; -1: that was enough of them */
int file_new(int store)
{
	uint32_t file = __atomic_fetch_add(&shared->nr_files, 1, __ATOMIC_RELAXED);

	if (file >= FILES)
		return -1;
	shared->files[file].store = store;
	return file;
}

/* Gives a slot another descriptor, which this consumes, or with -1 none */
int slot_put(uint32_t slot, int fd, int file)
{
	struct slot *s = &slots[slot % SLOTS];

	pthread_mutex_lock(&s->lock);
	__atomic_add_fetch(&s->turn, 1, __ATOMIC_ACQ_REL);
	if (fd < 0 || file < 0)
		close(slot_fd(slot));
	else
		dup3(fd, slot_fd(slot), O_CLOEXEC);
	__atomic_store_n(&s->file, fd < 0 ? -1 : file, __ATOMIC_RELAXED);
	__atomic_add_fetch(&s->turn, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_unlock(&s->lock);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

void call_open(struct lane *lane, const uint32_t *arg)
{
	struct metastore_open open_arg = { .open_flags = arg[2] | O_CLOEXEC };
	uint32_t store = arg[1] % STORE_OTHER;
	int fd;

	if (store == STORE_DEFAULT)
		fd = open(DEVICE, arg[2] | O_CLOEXEC);
	else
		fd = lane_ioctl(lane, roots[store], METASTORE_IOC_OPEN, &open_arg,
				sizeof(open_arg), 0);
	if (fd >= 0) {
		slot_put(arg[0], fd, file_new(store));
		lane->worked = true;
	}
}

/* A command that returns a descriptor; where its structure is odd, it may be any */
static void put_new(struct lane *lane, const uint32_t *arg, uint32_t mem, int fd, int store)
{
	if (fd < 0)
		return;
	if (!lane_is_clean(lane, mem))
		store = store == STORE_GROUPS ? STORE_GROUPS : STORE_OTHER;
	slot_put(arg[0], fd, file_new(store));
}

void call_reopen(struct lane *lane, const uint32_t *arg)
{
	struct metastore_open open_arg = { .open_flags = arg[2] | O_CLOEXEC };
	uint32_t turn;
	struct open_file *file = slot_use(arg[1], &turn);
	int fd;

	if (!file)
		return;
	fd = lane_ioctl(lane, slot_fd(arg[1]), METASTORE_IOC_OPEN, &open_arg, sizeof(open_arg),
			arg[3]);
	if (fd >= 0 && !slot_is_same(arg[1], turn))
		close(fd);
	else
		put_new(lane, arg, arg[3], fd, file->store);
}

void call_create(struct lane *lane, const uint32_t *arg)
{
	struct metastore_create create = {
		.open_flags = O_RDWR | O_NONBLOCK | O_CLOEXEC,
		.buckets = arg[2],
		.max_value = arg[3],
		.queue_len = arg[4],
		.max_keys = arg[5],
	};
	uint32_t turn;

	if (slot_use(arg[1], &turn))
		put_new(lane, arg, arg[6],
			lane_ioctl(lane, slot_fd(arg[1]), METASTORE_IOC_CREATE, &create,
				   sizeof(create), arg[6]), STORE_OTHER);
}

void call_dup(struct lane *lane, const uint32_t *arg)
{
	uint32_t turn;
	struct open_file *file = slot_use(arg[1], &turn);
	int fd = file ? fcntl(slot_fd(arg[1]), F_DUPFD_CLOEXEC, 3) : -1;

	if (fd < 0)
		return;
	if (slot_is_same(arg[1], turn)) {
		slot_put(arg[0], fd, file - shared->files);
		lane->worked = true;
	} else {
		close(fd);
	}
}

void call_close(struct lane *lane, const uint32_t *arg)
{
	lane->worked = slots[arg[0] % SLOTS].file >= 0;
	slot_put(arg[0], -1, -1);
}

/* A message that carries a descriptor, and which open file that is of */
struct letter {
	struct msghdr head;
	struct iovec iov;
	int file;
	union {
		char control[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	};
};

static struct cmsghdr *letter_begin(struct letter *letter)
{
	struct cmsghdr *cmsg;

	*letter = (struct letter) { .file = -1 };
	letter->iov = (struct iovec) { &letter->file, sizeof(letter->file) };
	letter->head.msg_iov = &letter->iov;
	letter->head.msg_iovlen = 1;
	letter->head.msg_control = letter->control;
	letter->head.msg_controllen = sizeof(letter->control);
	cmsg = CMSG_FIRSTHDR(&letter->head);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	return cmsg;
}

void call_send(struct lane *lane, const uint32_t *arg)
{
	uint32_t turn;
	struct open_file *file = slot_use(arg[0], &turn);
	int fd = file ? fcntl(slot_fd(arg[0]), F_DUPFD_CLOEXEC, 3) : -1;
	struct cmsghdr *cmsg;
	struct letter letter;

	if (fd < 0)
		return;
	cmsg = letter_begin(&letter);
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	letter.file = file - shared->files;
	if (slot_is_same(arg[0], turn))
		lane->worked = sendmsg(sockets[0], &letter.head, MSG_DONTWAIT) > 0;
	close(fd);
}

void call_receive(struct lane *lane, const uint32_t *arg)
{
	struct letter letter;
	struct cmsghdr *cmsg;
	int fd;

	letter_begin(&letter);
	if (recvmsg(sockets[1], &letter.head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
		return;
	cmsg = CMSG_FIRSTHDR(&letter.head);
	if (!cmsg)
		return;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	slot_put(arg[0], fd, letter.file);
	lane->worked = true;
}

void call_nonblock(struct lane *lane, const uint32_t *arg)
{
	int flags = fcntl(slot_fd(arg[0]), F_GETFL);

	flags = arg[1] ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	lane->worked = !fcntl(slot_fd(arg[0]), F_SETFL, flags);
}

/*
 * A process that inherits all descriptors, and keeps them for a moment or executes a program:
 * this one, so that nothing must be linked and loaded (see main()), and by vfork(), so that
 * no memory is copied.
 */
void call_fork(struct lane *lane, const uint32_t *arg)
{
	pid_t pid = arg[0] ? vfork() : fork();

	if (pid)  {
		lane->worked = pid > 0;
		return;
	}
	usleep(arg[1] % 10000);
	if (arg[0])
		execl("/proc/self/exe", NO_PROGRAM, NULL);
	_exit(0);
}

/* A signal in so many µs, which is in the middle of something */
static void signal_later(struct lane *lane, int number, uint32_t us)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number };
	struct itimerspec when = { .it_value.tv_nsec = us % 100000 * 1000 };

	timer_end(lane);
	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &lane->timer))
		return;
	lane->has_timer = true;
	timer_settime(lane->timer, 0, &when, NULL);
}

void timer_end(struct lane *lane)
{
	if (lane->has_timer)
		timer_delete(lane->timer);
	lane->has_timer = false;
}

/* SIGUSR1 lets calls go on, SIGUSR2 does not. */
void call_signal(struct lane *lane, const uint32_t *arg)
{
	struct lane *other = &shared->lanes[arg[0] % lane->program->lanes];

	lane->worked = true;
	if (arg[1])
		signal_later(lane, arg[0] % 2 ? SIGUSR1 : SIGUSR2, arg[1]);
	else if (!other->done && other->tid)
		syscall(SYS_tgkill, other->pid, other->tid, arg[0] % 2 ? SIGUSR1 : SIGUSR2);
}

/* Only a process of its own can be killed without the end of all. */
void call_kill(struct lane *lane, const uint32_t *arg)
{
	struct lane *other = &shared->lanes[arg[0] % lane->program->lanes];
	uint32_t forked = lane->program->forked;

	if (arg[1] && forked & (1U << lane->number)) {
		lane_unsure();
		signal_later(lane, SIGKILL, arg[1]);
	} else if (!arg[1] && forked & (1U << other->number) && other->pid) {
		lane_unsure();
		kill(other->pid, SIGKILL);
	}
	lane->worked = true;
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return written;
}

void call_cpu(struct lane *lane, const uint32_t *arg)
{
	/* All of its work moves: once in a while is enough. */
	lane->worked = (arg[1] || !random_below(&lane->random, 4)) &&
		       write_file(CPU1, arg[1] ? "1" : "0");
}

void cpus_on(void)
{
	write_file(CPU1, "1");
}

void call_pause(struct lane *lane, const uint32_t *arg)
{
	if (arg[0])
		usleep(arg[0] % 10000);
	else
		sched_yield();
	lane->worked = true;
}

void call_pin(struct lane *lane, const uint32_t *arg)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(arg[0] % 2, &cpus);
	lane->worked = !sched_setaffinity(0, sizeof(cpus), &cpus);
	lane->pinned |= lane->worked;
}

void unpin(struct lane *lane)
{
	cpu_set_t cpus;

	memset(&cpus, 0xff, sizeof(cpus));
	if (lane->pinned)
		sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Failures on demand: of what the module asks for, without a word in the log */

static void fail_configure(const char *setting, const char *text)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", kinds[i], setting);
		write_file(path, text);
	}
}

void fail_only_in_module(void)
{
	FILE *f = fopen("/proc/modules", "re");
	unsigned long start, size;
	char line[256], text[32];

	fail_configure("verbose", "0");
	fail_configure("stacktrace-depth", "32");
	fail_configure("ignore-gfp-wait", "N");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "metastore %lu %*s %*s %*s %lx", &size, &start) != 2)
			continue;
		snprintf(text, sizeof(text), "%#lx", start);
		fail_configure("require-start", text);
		snprintf(text, sizeof(text), "%#lx", start + size);
		fail_configure("require-end", text);
	}
	if (f)
		fclose(f);
}

void call_fail(struct lane *lane, const uint32_t *arg)
{
	lane->fail = arg[0];
	lane->worked = true;
}

void fail_begin(struct lane *lane)
{
	char text[16];

	if (lane->fault < 0)
		lane->fault = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	snprintf(text, sizeof(text), "%u", lane->fail);
	if (lane->fault < 0 || pwrite(lane->fault, text, strlen(text), 0) < 0)
		lane->fail = 0;
	else
		lane_unsure();
}

void fail_end(struct lane *lane)
{
	if (lane->fail)
		pwrite(lane->fault, "0", 1, 0);
	lane->fail = 0;
}
