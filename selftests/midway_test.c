// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that stop midway, as memory that they copy to or from is not there yet
 * (userfaultfd): nobody else waits for them, and nothing of what they do is lost.
 *
 * module: queue_len=1 queue_bytes=4096
 */
#include <linux/userfaultfd.h>
#include <pthread.h>

#include "metastore_test.h"

#define PAGE		4096
#define QUEUE_BYTES	4096U
/* Of an event of two bytes: its true size, and what it counts while it waits */
#define SIZE		(2 + METASTORE_VALUE_OVERHEAD)
#define CHARGE		(QUEUE_BYTES / 2)
#define RECORD		56

/* A call in a thread of its own */
struct caller {
	pthread_t thread;
	int fd;
	unsigned long command;		/* 0: read() into @arg */
	void *arg;
	int ret;
};

FIXTURE(midway)
{
	int fd;
	int uffd;
	char *page;
	int sub;			/* subscribed to "k" */
	struct ms_reader r;		/* reads it, too */
	struct caller caller;
};

/* A page that is not there until somebody says so; false: there is no userfaultfd */
static bool make_memory(struct _test_data_midway *self)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register region = {
		.range.len = PAGE,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region.range.start = ms_ptr(self->page);
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	return self->page != MAP_FAILED && !ioctl(self->uffd, UFFDIO_API, &api) &&
	       !ioctl(self->uffd, UFFDIO_REGISTER, &region);
}

FIXTURE_SETUP(midway)
{
	struct metastore_info info;

	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	if (info.queue_len != 1 || info.queue_bytes != QUEUE_BYTES)
		SKIP(return, "needs the module parameters that stand at the top of midway_test.c");
	if (!make_memory(self))
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, ms_reset(self->fd));
	self->sub = ms_open(O_RDONLY | O_NONBLOCK);
	self->r = ms_reader(self->sub, MS_READER_SIZE);
	ASSERT_EQ(0, ms_subscribe(self->sub, "k", 0, 1));
}

FIXTURE_TEARDOWN(midway)
{
	close(self->fd);
}

static void *run(void *arg)
{
	struct caller *caller = arg;

	if (caller->command)
		caller->ret = ms_ioctl(caller->fd, caller->command, caller->arg);
	else
		caller->ret = ms_read(caller->fd, caller->arg, PAGE);
	return NULL;
}

/* Returns when it has stopped */
static bool stop_midway(struct _test_data_midway *self, int fd, unsigned long command, void *arg)
{
	struct pollfd pfd = { .fd = self->uffd, .events = POLLIN };
	struct uffd_msg msg;

	self->caller = (struct caller) { .fd = fd, .command = command, .arg = arg };
	if (pthread_create(&self->caller.thread, NULL, run, &self->caller))
		return false;
	return poll(&pfd, 1, 20000) == 1 &&
	       read(self->uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

static bool stop_reading(struct _test_data_midway *self)
{
	return stop_midway(self, self->sub, 0, self->page);
}

/* The memory comes: returns what the call does */
static int go_on(struct _test_data_midway *self, const char *text)
{
	char bytes[PAGE] = "";
	struct uffdio_copy copy = {
		.dst = ms_ptr(self->page),
		.src = ms_ptr(bytes),
		.len = PAGE,
	};

	memcpy(bytes, text, strlen(text));
	if (ioctl(self->uffd, UFFDIO_COPY, &copy) ||
	    pthread_join(self->caller.thread, NULL))
		return -1;
	return self->caller.ret;
}

/* It turns out that there is none */
static int break_off(struct _test_data_midway *self)
{
	struct uffdio_range range = { ms_ptr(self->page), PAGE };

	if (mprotect(self->page, PAGE, PROT_NONE) || ioctl(self->uffd, UFFDIO_WAKE, &range) ||
	    pthread_join(self->caller.thread, NULL))
		return -1;
	return self->caller.ret;
}

static bool got(struct _test_data_midway *self, __u64 version, const char *value)
{
	const struct metastore_event *ev = (const void *)self->page;
	struct ms_want want = {
		.type = METASTORE_EVENT_PUBLISHED,
		.cookie = 1,
		.version = version,
		.key = "k",
		.value = value,
	};

	return ms_event_valid(ev, PAGE) && ms_event_is(ev, &want);
}

/* The queue has room for one, and that is not taken by what was read from it */
TEST_F(midway, queue_of_one)
{
	__u64 first, second;

	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", &first));
	EXPECT_EQ(CHARGE, ms_fdinfo(self->sub, "bytes"));
	ASSERT_TRUE(stop_reading(self));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "events"));
	EXPECT_EQ(SIZE, ms_fdinfo(self->sub, "bytes"));

	EXPECT_EQ(1, ms_publish(self->fd, "k", "2", &second));
	EXPECT_EQ(1, ms_fdinfo(self->sub, "events"));
	EXPECT_EQ(SIZE + CHARGE, ms_fdinfo(self->sub, "bytes"));
	EXPECT_EQ(RECORD, ms_pending(self->sub));

	/* It goes on with what came meanwhile, as it would without the stop */
	EXPECT_EQ(2 * RECORD, go_on(self, ""));
	EXPECT_TRUE(got(self, first, "1"));
	self->page += RECORD;
	EXPECT_TRUE(got(self, second, "2"));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "lost"));
	EXPECT_EQ(0, ms_fdinfo(self->sub, "bytes"));
	EXPECT_TRUE(ms_silent(self->sub));
}

/* What waits makes room for what is new, what is being read does not */
TEST_F(midway, overflow)
{
	__u64 version, last;
	int i;

	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", &version));
	ASSERT_TRUE(stop_reading(self));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(1, ms_publish(self->fd, "k", "n", &last));
	EXPECT_EQ(9, ms_fdinfo(self->sub, "lost"));
	EXPECT_EQ(SIZE + CHARGE, ms_fdinfo(self->sub, "bytes"));
	EXPECT_EQ(RECORD + 48 + RECORD, go_on(self, ""));
	EXPECT_TRUE(got(self, version, "1"));
	self->page += RECORD + 48;
	EXPECT_TRUE(got(self, last, "n"));
	EXPECT_EQ(9, ms_fdinfo(self->sub, "lost"));
}

/* With nearly all of the budget in a reader's hands a new event is refused, and counted */
TEST_F(midway, no_room_beside_it)
{
	struct ms_books books = {};
	char value[QUEUE_BYTES - METASTORE_VALUE_OVERHEAD - 1] = "";

	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, sizeof(value), NULL));
	ASSERT_TRUE(stop_reading(self));
	EXPECT_EQ(QUEUE_BYTES, ms_fdinfo(self->sub, "bytes"));
	EXPECT_EQ(0, ms_publish(self->fd, "k", "v", NULL));
	EXPECT_EQ(1, ms_fdinfo(self->sub, "lost"));
	/* Of the buffer's page the record leaves no room for that of the loss */
	EXPECT_EQ(PAGE, go_on(self, ""));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(1, books.lost);
	EXPECT_EQ(0, books.received);
	EXPECT_EQ(1, ms_publish(self->fd, "k", "v", NULL));
}

/* One that grows does not drive out what waits if all of that would not be enough */
TEST_F(midway, no_room_to_grow_beside_it)
{
	struct metastore_subscription_info books;
	char value[2500] = "";

	ASSERT_EQ(0, ms_subscribe_as(self->sub, "l",
				     .flags = METASTORE_SUBSCRIBE_PREFIX |
					      METASTORE_SUBSCRIBE_LATEST));
	ASSERT_EQ(1, ms_publishn(self->fd, "k", 1, value, 1900, NULL));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(1, ms_publish(self->fd, "l", "", NULL));
	EXPECT_EQ(0, ms_publishn(self->fd, "l", 1, value, sizeof(value), NULL));
	ASSERT_EQ(0, ms_subscription(self->sub, "l", METASTORE_SUBSCRIBE_PREFIX, &books));
	EXPECT_EQ(1, books.lost);
	EXPECT_EQ(1, books.pending);
	EXPECT_LT(1900, go_on(self, ""));
}

/* Another reader of the same file gets the next one */
TEST_F(midway, second_reader)
{
	__u64 first, second;

	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", &first));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", &second));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1,
		     .version = second, .key = "k", .value = "2");
	EXPECT_EQ(RECORD, go_on(self, ""));
	EXPECT_TRUE(got(self, first, "1"));
}

/* A subscription that ends while its last event is being read */
TEST_F(midway, unsubscribed)
{
	__u64 version;

	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", &version));
	ASSERT_TRUE(stop_reading(self));
	EXPECT_EQ(0, ms_unsubscribe(self->sub, "k"));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(0, ms_publish(self->fd, "k", "2", NULL));
	EXPECT_EQ(RECORD, go_on(self, ""));
	EXPECT_TRUE(got(self, version, "1"));
	EXPECT_TRUE(ms_silent(self->sub));
}

/* What was lost of it is told all the same */
TEST_F(midway, unsubscribed_and_lost)
{
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ASSERT_TRUE(stop_reading(self));
	EXPECT_EQ(0, ms_unsubscribe(self->sub, "k"));
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	EXPECT_TRUE(ms_silent(self->sub));
}

/* Losses while one is being told: none is told twice, none not at all */
TEST_F(midway, lost)
{
	__u64 version;

	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", NULL));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "3", NULL));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "4", &version));
	/* The reader had 1, lost, and 2, in its hands, of which it got neither */
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 3);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1,
		     .version = version, .key = "k", .value = "4");
	EXPECT_EQ(3, ms_fdinfo(self->sub, "lost"));
	EXPECT_TRUE(ms_silent(self->sub));
}

/* The same of flushed subscriptions */
TEST_F(midway, flushed)
{
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(0, ms_subscribe(self->sub, "k", 0, 1));
	ASSERT_EQ(0, ms_subscribe(self->sub, "l", 0, 1));
	ASSERT_EQ(0, ms_reset(self->fd));
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_FLUSHED, .version = 3);
	EXPECT_TRUE(ms_silent(self->sub));
}

/* It is the last reference to the file, and to all that is in its queue */
TEST_F(midway, closed)
{
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	ASSERT_TRUE(stop_reading(self));
	ASSERT_EQ(1, ms_publish(self->fd, "k", "2", NULL));
	close(self->sub);
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(2 * RECORD, go_on(self, ""));
	EXPECT_EQ(0, ms_subscribers(self->fd, "k"));
}

/* A process that is killed as it reads: who has the same file learns what it took along */
TEST_F(midway, killed)
{
	__u64 version;
	pid_t pid = ms_fork();

	if (!pid) {
		if (!make_memory(self))
			_exit(1);
		while (ms_read(self->sub, self->page, PAGE) == -EAGAIN)
			ms_sleep(SECOND / 1000);
		_exit(2);
	}
	ASSERT_EQ(1, ms_publish(self->fd, "k", "1", NULL));
	while (ms_fdinfo(self->sub, "events"))
		ms_sleep(SECOND / 1000);
	EXPECT_EQ(SIZE, ms_fdinfo(self->sub, "bytes"));
	EXPECT_EQ(1, ms_publish(self->fd, "k", "2", &version));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-1, ms_join(pid));
	EXPECT_EQ(CHARGE, ms_fdinfo(self->sub, "bytes"));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 1, .version = 1);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 1,
		     .version = version, .key = "k", .value = "2");
}

/* What GET began with, whatever becomes of it meanwhile */
TEST_F(midway, get)
{
	static char value[PAGE];
	struct metastore_get arg = {
		.key = ms_ptr("k"),
		.key_len = 1,
		.value = ms_ptr(self->page),
		.value_len = PAGE,
	};
	__u64 version;

	memset(value, 'v', sizeof(value));
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, sizeof(value), &version));
	ASSERT_TRUE(stop_midway(self, self->fd, METASTORE_IOC_GET, &arg));
	ASSERT_EQ(0, ms_set(self->fd, "k", "new", NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "k", NULL));
	EXPECT_EQ(0, go_on(self, ""));
	EXPECT_EQ(version, arg.version);
	ASSERT_EQ(sizeof(value), arg.value_len);
	EXPECT_EQ(0, memcmp(value, self->page, sizeof(value)));
}

/* SET takes its place among others when it has all that it needs */
TEST_F(midway, set)
{
	struct metastore_set arg = {
		.key = ms_ptr("k"),
		.key_len = 1,
		.value = ms_ptr(self->page),
		.value_len = 4,
	};
	__u64 version;

	ASSERT_TRUE(stop_midway(self, self->fd, METASTORE_IOC_SET, &arg));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	ASSERT_EQ(0, ms_set(self->fd, "k", "soon", &version));
	EXPECT_STREQ("soon", ms_str(self->fd, "k"));
	EXPECT_EQ(0, go_on(self, "late"));
	EXPECT_STREQ("late", ms_str(self->fd, "k"));
	EXPECT_LT(version, arg.version);
}

/* PUBLISH that finds after all that it cannot have the value */
TEST_F(midway, publish_breaks_off)
{
	struct metastore_set arg = {
		.key = ms_ptr("k"),
		.key_len = 1,
		.value = ms_ptr(self->page),
		.value_len = 4,
	};

	ASSERT_TRUE(stop_midway(self, self->fd, METASTORE_IOC_PUBLISH, &arg));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
	EXPECT_EQ(-EFAULT, break_off(self));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->sub));
}

/* LIST has listed what it copies out: others may change everything meanwhile */
TEST_F(midway, list)
{
	struct metastore_list arg = {
		.buffer = ms_ptr(self->page),
		.buffer_len = PAGE,
		.bucket = METASTORE_ANY_BUCKET,
	};
	const struct metastore_list_entry *entry = (const void *)self->page;
	struct metastore_flush flush;
	__u64 version;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", &version));
	ASSERT_TRUE(stop_midway(self, self->fd, METASTORE_IOC_LIST, &arg));
	EXPECT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(0, ms_set(self->fd, "l", "v", NULL));
	EXPECT_EQ(0, go_on(self, ""));
	ASSERT_EQ(1, arg.entries);
	EXPECT_EQ(version, entry->version);
	EXPECT_EQ('k', self->page[entry->header_len]);
}

TEST_HARNESS_MAIN
