// SPDX-License-Identifier: GPL-2.0
/* A lane: its memory, pointers that are as they should not be, a command of the module */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fuzz.h"

/* Behind the good part: a page before one that is missing, one to read, those that change */
#define EDGE_PAGE	GOOD_SIZE
#define RO_PAGE		(GOOD_SIZE + 2 * PAGE)
#define FLIP_PAGE	(GOOD_SIZE + 3 * PAGE)
#define GUARD_PAGE	(FLIP_PAGE + FLIP_PAGES * PAGE) /* else the next lane has it */
#define MEMORY_SIZE	(GUARD_PAGE + PAGE)

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static char *memories[LANES];
static bool flipped[LANES];		/* pages that change are not as they were */
static struct seen seen[LANES][ORDER_ENTRIES];

/* A process that is forked has none of it: else each fork() would be followed by faults. */
bool lane_map(int lane)
{
	char *at = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	memories[lane] = at;
	return at != MAP_FAILED && !mprotect(at + EDGE_PAGE + PAGE, PAGE, PROT_NONE) &&
	       !mprotect(at + GUARD_PAGE, PAGE, PROT_NONE) &&
	       !mprotect(at + RO_PAGE, PAGE, PROT_READ) &&
	       !madvise(at, MEMORY_SIZE, MADV_DONTFORK);
}

/* In one step, or somebody else's memory might be there. */
static void map_anew(char *at, size_t size)
{
	mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	madvise(at, size, MADV_DONTFORK);
}

void lane_init(struct lane *lane)
{
	lane->memory = memories[lane->number];
	lane->seen = seen[lane->number];
	lane->epoll = -1;
	lane->fault = -1;
	memset(lane->seen, 0, sizeof(seen[0]));
	if (flipped[lane->number])
		map_anew(lane->memory + FLIP_PAGE, FLIP_PAGES * PAGE);
	flipped[lane->number] = false;
}

void lane_exit(struct lane *lane)
{
	if (lane->ring)
		ring_close(lane);
	if (lane->map)
		map_close(lane);
	if (lane->epoll >= 0)
		close(lane->epoll);
	if (lane->fault >= 0)
		close(lane->fault);
	timer_end(lane);
	unpin(lane);
}

/* Takes a page of a lane away from calls under way, or gives it back */
static void lane_flip(struct lane *lane, uint32_t page, uint32_t kind)
{
	char *at = lane->memory + FLIP_PAGE + page % FLIP_PAGES * PAGE;

	switch (kind) {
	case 0:
		mprotect(at, PAGE, PROT_READ | PROT_WRITE);
		break;
	case 1:
		mprotect(at, PAGE, PROT_NONE);
		break;
	case 2:
		mprotect(at, PAGE, PROT_READ);
		break;
	case 3:
		madvise(at, PAGE, MADV_DONTNEED);
		break;
	default:
		map_anew(at, PAGE);
	}
	flipped[lane->number] = true;
}

void call_protect(struct lane *lane, const uint32_t *arg)
{
	struct lane *other = &shared->lanes[arg[0] % lane->program->lanes];

	/* Only threads have memory in common. */
	if (other->pid != lane->pid || !other->memory)
		return;
	lane_flip(other, arg[1], arg[2]);
	lane->worked = true;
}

enum hostile hostile_of(uint32_t mem, uint32_t which)
{
	return (mem & 48) == which ? mem & 15 : GOOD;
}

uint64_t lane_place(struct lane *lane, uint32_t mem, uint32_t which, uint32_t offset,
		    const void *content, size_t len)
{
	char *at = lane->memory + offset;

	switch (hostile_of(mem, which)) {
	case NOWHERE:
		return 0;
	case UNMAPPED:
		return PAGE;
	case KERNEL:
		return 0xffff888000001000ULL;
	case NON_CANONICAL:
		return 0x8000000000001000ULL;
	case FLIPPING:
		/* As it is: a write of ours would be the one that fails */
		return (uintptr_t)lane->memory + FLIP_PAGE + PAGE - 8;
	case READ_ONLY:
		return (uintptr_t)lane->memory + RO_PAGE;
	case EDGE:
		at = lane->memory + EDGE_PAGE + PAGE - (len < PAGE ? len / 2 : PAGE);
		if (content)
			memcpy(at, content, lane->memory + EDGE_PAGE + PAGE - at);
		return (uintptr_t)at;
	case ODD:
		at++;
		break;
	default:
		break;
	}
	if (content)
		memcpy(at, content, len);
	return (uintptr_t)at;
}

uint32_t lane_length(uint32_t mem, uint32_t which, uint32_t len)
{
	switch (hostile_of(mem, which)) {
	case NO_LENGTH:
		return 0;
	case LONG_LENGTH:
		return METASTORE_KEY_MAX + 1;
	case HUGE_LENGTH:
		return 0xffffffff;
	default:
		return len;
	}
}

bool lane_is_clean(struct lane *lane, uint32_t mem)
{
	return !lane->fail && ((mem & 15) == GOOD || (mem & 15) == ODD ||
			       (hostile_of(mem, AT_STRUCT) == LONGER));
}

void lane_unsure(void)
{
	__atomic_store_n(&shared->unsure, 1, __ATOMIC_RELAXED);
}

/* Errors that each command may return, besides those of every command */
static const struct {
	unsigned long command;
	int errors[12];
} errors_of[] = {
	{ METASTORE_IOC_SET, { EMSGSIZE, ENOSPC, EEXIST, ENOENT, ESTALE, EBUSY, ERANGE } },
	{ METASTORE_IOC_PUBLISH, { EMSGSIZE, ENOSPC, EEXIST, ENOENT, ESTALE, EBUSY, ERANGE, EAGAIN,
				   ETIMEDOUT, EINTR } },
	{ METASTORE_IOC_GET, { ENOENT, ERANGE } },
	{ METASTORE_IOC_STAT, { ENOENT } },
	{ METASTORE_IOC_DELETE, { ENOENT, ESTALE, EBUSY, ERANGE } },
	{ METASTORE_IOC_TOUCH, { ENOENT, ESTALE, EBUSY, ENODATA } },
	{ METASTORE_IOC_FLUSH, { EPERM, ERANGE, EINTR } },
	{ METASTORE_IOC_SUBSCRIBE, { EEXIST, ENOBUFS, EBUSY, ENOENT } },
	{ METASTORE_IOC_UNSUBSCRIBE, { ENOENT } },
	{ METASTORE_IOC_SUBSCRIBERS, {} },
	{ METASTORE_IOC_BUCKET, {} },
	{ METASTORE_IOC_LIST, { EMSGSIZE, ERANGE, EINTR } },
	{ METASTORE_IOC_INFO, { ERANGE } },
	{ METASTORE_IOC_BATCH, { EMSGSIZE, ECANCELED, EINTR } },
	{ METASTORE_IOC_CREATE, { EPERM, ENOSPC, EMFILE, ENFILE } },
	{ METASTORE_IOC_OPEN, { EACCES, EMFILE, ENFILE } },
	{ METASTORE_IOC_QUEUE, { EPERM, EBUSY, ENOBUFS } },
	{ METASTORE_IOC_SUBSCRIPTION, { ENOENT } },
};

static void check_error(unsigned long command, int error, uint32_t mem)
{
	static const int always[] = { EBADF, EFAULT, EINVAL, E2BIG, ENOMEM };
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(always); i++)
		if (error == always[i])
			return;
	for (i = 0; i < ARRAY_SIZE(errors_of); i++) {
		if (errors_of[i].command != command)
			continue;
		for (n = 0; n < ARRAY_SIZE(errors_of[i].errors); n++)
			if (error == errors_of[i].errors[n])
				return;
		finding("command %lu has the undocumented error %s (mem=%#x)",
			_IOC_NR(command), strerrorname_np(error), mem);
	}
}

int lane_ioctl(struct lane *lane, int fd, unsigned long command, void *arg, size_t size,
	       uint32_t mem)
{
	char content[512] = {};
	size_t sent = size;
	uint64_t at;
	int ret;

	memcpy(content, arg, size);
	switch (hostile_of(mem, AT_STRUCT)) {
	case UNKNOWN_BITS:
		memset(content + size / 2, 0xff, size - size / 2);
		break;
	case SHORTER:
		sent = size / 16 * 8;
		break;
	case LONGER_DIRTY:
		content[size + 8] = 1;
		sent += 16;
		break;
	case LONGER:
		sent += 16;
		break;
	default:
		break;
	}
	at = lane_place(lane, mem, AT_STRUCT, 0, content, sent);
	ret = ioctl(fd, _IOC(_IOC_DIR(command), _IOC_TYPE(command), _IOC_NR(command), sent), at);
	ret = ret < 0 ? -errno : ret;
	if (lane_is_clean(lane, mem))
		memcpy(arg, (void *)at, size);
	else if (hostile_of(mem, AT_STRUCT) == SHORTER)
		memcpy(arg, (void *)at, sent);
	if (ret < 0)
		check_error(command, -ret, mem);
	else
		lane->worked = true;
	return ret;
}

int slot_fd(uint32_t slot)
{
	return FIRST_FD + slot % SLOTS;
}

struct open_file *slot_use(uint32_t slot, uint32_t *turn)
{
	struct slot *s = &slots[slot % SLOTS];
	int file;

	*turn = __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE);
	file = __atomic_load_n(&s->file, __ATOMIC_RELAXED);
	if (*turn % 2 || file < 0)
		return NULL;
	return slot_is_same(slot, *turn) ? &shared->files[file] : NULL;
}

bool slot_is_same(uint32_t slot, uint32_t turn)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&slots[slot % SLOTS].turn, __ATOMIC_RELAXED) == turn;
}
