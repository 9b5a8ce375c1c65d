// SPDX-License-Identifier: GPL-2.0
/* Keys that belong to an open file, are nobody else's to change, and go with it */
#include <pthread.h>

#include "crew.h"

FIXTURE(owner)
{
	int fd;			/* subscribed to all changes of "k" */
	int own;
	struct ms_reader r;
};

static int own_setup(struct _test_data_owner *self)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	self->own = ms_open(O_RDWR | O_NONBLOCK);
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	return ms_reset(self->fd) ?: ms_subscribe(self->fd, "k", EVENTS_ALL, 5);
}

FIXTURE_SETUP(owner)
{
	ASSERT_EQ(0, own_setup(self));
	ASSERT_LE(0, self->own);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(owner)
{
	close(self->own);
	close(self->fd);
}

/* The value is there, as "mine" of @version, and nobody heard anything */
static void expect_untouched(struct __test_metadata *_metadata, struct _test_data_owner *self,
			     __u64 version)
{
	EXPECT_STREQ("mine", ms_str(self->fd, "k"));
	EXPECT_EQ(version, ms_version(self->fd, "k"));
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(self->own, "k"));
	EXPECT_EQ(METASTORE_OWNER_OTHER, ms_owner(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Own "k" by self->own, and read of that */
static int own_mine(struct _test_data_owner *self, __u64 *version)
{
	struct ms_books books = {};

	return ms_own(self->own, "k", "mine", version) ?: ms_drain(&self->r, &books);
}

/* After @fd is closed the value is still there, as @value, and no event came */
static void expect_close_changes_nothing(struct __test_metadata *_metadata,
					 struct _test_data_owner *self, int fd,
					 const char *value)
{
	close(fd);
	EXPECT_STREQ(value, ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(owner, set)
{
	struct metastore_info info;
	struct metastore_stat st;
	__u64 version = POISON64;

	ASSERT_EQ(0, ms_own(self->own, "k", "mine", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 5, .version = version,
		     .key = "k", .value = "mine");
	expect_untouched(_metadata, self, version);
	ASSERT_EQ(0, ms_stat(self->own, "k", &st));
	EXPECT_EQ(METASTORE_OWNER_SELF, st.owner);
	EXPECT_EQ(0, st.ttl);
	EXPECT_EQ(getpid(), st.tgid);
	EXPECT_EQ(0, st.reserved2);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(1, info.keys);
	EXPECT_EQ(1 + 4 + METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD, info.bytes);
}

TEST_F(owner, publish)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED };

	ASSERT_EQ(0, ms_store_with(self->own, METASTORE_IOC_PUBLISH, "k", "mine", &arg));
	EXPECT_EQ(1, arg.queues);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 5,
		     .version = arg.version, .key = "k", .value = "mine");
	expect_untouched(_metadata, self, arg.version);
}

TEST_F(owner, without_the_flag_nobodys)
{
	ASSERT_EQ(0, ms_set(self->own, "k", "v", NULL));
	EXPECT_EQ(METASTORE_OWNER_NONE, ms_owner(self->own, "k"));
	EXPECT_EQ(METASTORE_OWNER_NONE, ms_owner(self->fd, "k"));
	EXPECT_EQ(0, ms_set(self->fd, "k", "w", NULL));
}

/* To own needs to write, no more; to see whose it is, to read */
TEST_F(owner, write_only)
{
	int fd = ms_open(O_WRONLY), reader = ms_open(O_RDONLY);

	ASSERT_EQ(0, ms_own(fd, "k", "mine", NULL));
	EXPECT_EQ(METASTORE_OWNER_OTHER, ms_owner(reader, "k"));
	EXPECT_EQ(-EBADF, ms_own(reader, "k", "his", NULL));
	EXPECT_STREQ("mine", ms_str(reader, "k"));
	close(fd);
	EXPECT_STREQ("ENOENT", ms_str(reader, "k"));
}

TEST_F(owner, ebusy)
{
	static const __u32 flags[] = {
		0, METASTORE_F_OWNED, METASTORE_F_REPLACE,
		METASTORE_F_REPLACE | METASTORE_F_OWNED,
	};
	static const unsigned long commands[] = { METASTORE_IOC_SET, METASTORE_IOC_PUBLISH };
	struct metastore_set arg;
	__u64 version, back;
	size_t i, c;

	ASSERT_EQ(0, own_mine(self, &version));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		for (c = 0; c < ARRAY_SIZE(commands); c++) {
			arg = (struct metastore_set) { .flags = flags[i], .version = POISON64 };
			EXPECT_EQ(-EBUSY, ms_store_with(self->fd, commands[c], "k", "his", &arg));
			EXPECT_EQ(POISON64, arg.version);
			EXPECT_EQ(POISON32, arg.queues);
		}
	}
	back = POISON64;
	EXPECT_EQ(-EBUSY, ms_delete_if(self->fd, "k", 0, &back));
	EXPECT_EQ(POISON64, back);
	expect_untouched(_metadata, self, version);
}

/* The condition is judged first; that it is met does not make the key one's own */
TEST_F(owner, ebusy_comes_after_the_condition)
{
	__u64 version, back = POISON64;

	ASSERT_EQ(0, own_mine(self, &version));
	EXPECT_EQ(-EEXIST, ms_set_if(self->fd, "k", "his", METASTORE_F_CREATE, &back));
	EXPECT_EQ(version, back);
	back = version - 1;
	EXPECT_EQ(-ESTALE, ms_set_if(self->fd, "k", "his", METASTORE_F_IF_VERSION, &back));
	EXPECT_EQ(version, back);
	EXPECT_EQ(-EBUSY, ms_set_if(self->fd, "k", "his", METASTORE_F_IF_VERSION, &back));
	EXPECT_EQ(version, back);
	EXPECT_EQ(-EBUSY, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION, &back));
	EXPECT_EQ(version, back);
	/* Nor does stealing make up for a condition that is not met */
	EXPECT_EQ(-EEXIST, ms_set_if(self->fd, "k", "his",
				     METASTORE_F_CREATE | METASTORE_F_STEAL, &back));
	back = version - 1;
	EXPECT_EQ(-ESTALE, ms_set_if(self->fd, "k", "his",
				     METASTORE_F_IF_VERSION | METASTORE_F_STEAL, &back));
	back = version - 1;
	EXPECT_EQ(-ESTALE, ms_delete_if(self->fd, "k",
					METASTORE_F_IF_VERSION | METASTORE_F_STEAL, &back));
	expect_untouched(_metadata, self, version);
}

TEST_F(owner, plain_set_gives_up)
{
	struct ms_books books = {};

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, ms_set(self->own, "k", "all's", NULL));
	EXPECT_EQ(METASTORE_OWNER_NONE, ms_owner(self->own, "k"));
	EXPECT_EQ(0, ms_set(self->fd, "k", "his", NULL));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	expect_close_changes_nothing(_metadata, self, self->own, "his");
}

TEST_F(owner, plain_publish_gives_up)
{
	struct ms_books books = {};

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(1, ms_publish(self->own, "k", "all's", NULL));
	EXPECT_EQ(METASTORE_OWNER_NONE, ms_owner(self->own, "k"));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	expect_close_changes_nothing(_metadata, self, self->own, "all's");
}

TEST_F(owner, own_delete)
{
	__u64 version;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, ms_delete(self->own, "k", &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 5, .version = version,
		     .key = "k", .value = "mine");
	expect_close_changes_nothing(_metadata, self, self->own, "ENOENT");
}

TEST_F(owner, owned_again)
{
	struct ms_books books = {};
	__u64 version;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, ms_own(self->own, "k", "still", &version));
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(self->own, "k"));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	close(self->own);
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = getpid()), .cookie = 5,
		     .newer = version, .key = "k", .value = "still");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(owner, close)
{
	struct metastore_info info;
	struct metastore_stat st;
	__u64 version;

	ASSERT_EQ(0, own_mine(self, &version));
	close(self->own);
	/* It has all that the event of another deletion has, and eight bytes more */
	EXPECT_EQ(48 + 8 + 8, ms_pending(self->fd));
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = getpid()), .cookie = 5,
		     .newer = version, .key = "k", .value = "mine");
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_EQ(-ENOENT, ms_stat(self->fd, "k", &st));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
	/* Free for others */
	EXPECT_EQ(0, ms_set_if(self->fd, "k", "his", METASTORE_F_CREATE, NULL));
}

/* The writer is told as in other events, whoever closes the file */
TEST_F(owner, event_tells_writer_and_end)
{
	const struct metastore_event *ev;
	__u64 before = ms_now(CLOCK_REALTIME), after;
	pid_t writer = ms_fork();

	if (!writer)
		_exit(setresuid(1000, 1000, 1000) || ms_own(self->own, "k", "mine", NULL));
	ASSERT_EQ(0, ms_join(writer));
	after = ms_now(CLOCK_REALTIME);
	ASSERT_TRUE(!!ms_next(&self->r));
	close(self->own);
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_F_OWNER, ev->flags);
	EXPECT_EQ(writer, ev->tgid);
	EXPECT_EQ(1000, ev->uid);
	EXPECT_LE(before, ev->time);
	EXPECT_GE(after, ev->time);
	EXPECT_EQ(56, ev->header_len);
	EXPECT_EQ(getpid(), ms_event_end(ev).tgid);
	EXPECT_EQ(METASTORE_END_CLOSED, ms_event_end(ev).how);
	EXPECT_EQ(0, ms_event_end(ev).code);
}

/* Lengths around the padding, and a value of pages */
TEST_F(owner, lengths)
{
	static const __u32 lens[] = { 0, 1, 6, 7, 8, 9, 4000, 60000 };
	char *value = malloc(60000);
	const struct metastore_event *ev;
	struct ms_books books = {};
	size_t i;

	memset(value, 'v', 60000);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		struct metastore_set arg = {
			.key = ms_ptr("k"),
			.value = ms_ptr(value),
			.key_len = 1,
			.value_len = lens[i],
			.flags = METASTORE_F_OWNED,
		};
		int fd = ms_open(O_RDWR);

		ASSERT_EQ(0, ms_ioctl(fd, METASTORE_IOC_SET, &arg));
		ASSERT_EQ(0, ms_drain(&self->r, &books));
		close(fd);
		EXPECT_EQ((56 + 1 + lens[i] + 7) / 8 * 8, ms_pending(self->fd));
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		EXPECT_EQ(lens[i], ev->value_len);
		EXPECT_EQ(0, memcmp(ms_event_value(ev), value, lens[i]));
	}
}

/* Too small for the larger header: it stays */
TEST_F(owner, emsgsize)
{
	char buf[64];

	ASSERT_EQ(0, own_mine(self, NULL));
	close(self->own);
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, 56));
	EXPECT_EQ(-EMSGSIZE, ms_read(self->fd, buf, 63));
	EXPECT_EQ(64, ms_read(self->fd, buf, 64));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Only who asked for deletions is told, and the owner's own subscriptions went first */
TEST_F(owner, masks)
{
	int fd = ms_open(O_RDONLY | O_NONBLOCK);

	ASSERT_EQ(0, ms_subscribe(fd, "k", METASTORE_EVENT_SET | METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, ms_subscribe(self->own, "k", EVENTS_ALL, 0));
	ASSERT_EQ(0, ms_own(self->own, "k", "mine", NULL));
	ASSERT_LT(0, ms_read(fd, self->r.buf, self->r.size));
	close(self->own);
	EXPECT_TRUE(ms_silent(fd));
	EXPECT_EQ(2, ms_subscribers(self->fd, "k"));
}

/* The last value that each key had, and nothing for what the file did not own */
TEST_F(owner, many_keys)
{
	const struct metastore_event *ev;
	struct ms_books books = {};
	__u32 i, seen = 0;
	char key[16];

	for (i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		ASSERT_EQ(0, ms_subscribe(self->fd, key, METASTORE_EVENT_DELETED, i));
		ASSERT_EQ(0, i % 3 ? ms_own(self->own, key, key, NULL) :
				     ms_set(self->own, key, key, NULL));
	}
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	close(self->own);
	while ((ev = ms_next(&self->r))) {
		snprintf(key, sizeof(key), "key %llu", ev->cookie);
		ASSERT_EQ(METASTORE_EVENT_F_OWNER, ev->flags);
		ASSERT_EQ(getpid(), ms_event_end(ev).tgid);
		ASSERT_EQ(strlen(key), ev->value_len);
		ASSERT_EQ(0, memcmp(key, ms_event_value(ev), ev->value_len));
		ASSERT_NE(0, ev->cookie % 3);
		seen++;
	}
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(200, seen);
	EXPECT_EQ(100, ms_keys(self->fd));
}

/* More subscribers than fit one pass under the bucket's lock */
TEST_F(owner, many_subscribers)
{
	int fds[200], i;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, ms_open_many(fds, ARRAY_SIZE(fds), "k", METASTORE_EVENT_DELETED));
	close(self->own);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	for (i = 0; i < (int)ARRAY_SIZE(fds); i++) {
		struct ms_reader r = ms_reader(fds[i], 4096);
		const struct metastore_event *ev = ms_next(&r);

		ASSERT_TRUE(!!ev);
		ASSERT_EQ(METASTORE_EVENT_F_OWNER, ev->flags);
		ASSERT_EQ(getpid(), ms_event_end(ev).tgid);
		ASSERT_TRUE(ms_silent(fds[i]));
		free(r.buf);
	}
}

/* A full queue takes the end in, and counts what it dropped for it */
TEST_F(owner, full_queue)
{
	struct metastore_info info;
	struct ms_books books = {};
	__u32 i;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	for (i = 0; i < info.queue_len; i++)
		ASSERT_EQ(0, ms_own(self->own, "k", "mine", NULL));
	close(self->own);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_LOST, .cookie = 5, .version = 1);
	for (i = 1; i < info.queue_len; i++)
		ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = getpid()), .cookie = 5,
		     .key = "k", .value = "mine");
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(0, books.received + books.lost);
}

/* Stealing */

static int steal(int fd, unsigned long command, __u32 flags, struct metastore_set *arg)
{
	*arg = (struct metastore_set) { .flags = METASTORE_F_STEAL | flags };
	return ms_store_with(fd, command, "k", "his", arg);
}

TEST_F(owner, steal_by_set)
{
	struct metastore_set arg;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_SET, 0, &arg));
	EXPECT_EQ(METASTORE_OWNER_NONE, ms_owner(self->fd, "k"));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .flags = METASTORE_EVENT_F_STOLEN,
		     .cookie = 5, .version = arg.version, .key = "k", .value = "his");
	expect_close_changes_nothing(_metadata, self, self->own, "his");
}

TEST_F(owner, steal_by_publish)
{
	struct metastore_set arg;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_PUBLISH, 0, &arg));
	EXPECT_EQ(1, arg.queues);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED,
		     .flags = METASTORE_EVENT_F_STOLEN, .cookie = 5, .version = arg.version,
		     .key = "k", .value = "his");
	expect_close_changes_nothing(_metadata, self, self->own, "his");
}

TEST_F(owner, steal_by_delete)
{
	__u64 version;

	ASSERT_EQ(0, own_mine(self, &version));
	EXPECT_EQ(0, ms_delete_if(self->fd, "k", METASTORE_F_STEAL, &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_STOLEN, .cookie = 5, .version = version,
		     .key = "k", .value = "mine");
	expect_close_changes_nothing(_metadata, self, self->own, "ENOENT");
}

TEST_F(owner, steal_if_version)
{
	struct metastore_set arg;
	__u64 version;

	ASSERT_EQ(0, own_mine(self, &version));
	arg = (struct metastore_set) {
		.flags = METASTORE_F_STEAL | METASTORE_F_IF_VERSION,
		.version = version,
	};
	EXPECT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "his", &arg));
	EXPECT_LT(version, arg.version);
	EXPECT_STREQ("his", ms_str(self->own, "k"));
}

/* From then on it is the thief's, with all that follows */
TEST_F(owner, steal_and_own)
{
	int thief = ms_open(O_RDWR);
	struct ms_books books = {};
	struct metastore_set arg;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, steal(thief, METASTORE_IOC_SET, METASTORE_F_OWNED, &arg));
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(thief, "k"));
	EXPECT_EQ(METASTORE_OWNER_OTHER, ms_owner(self->own, "k"));
	EXPECT_EQ(-EBUSY, ms_set(self->own, "k", "mine", NULL));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	expect_close_changes_nothing(_metadata, self, self->own, "his");
	close(thief);
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = getpid()), .cookie = 5,
		     .newer = arg.version, .key = "k", .value = "his");
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
}

/* Nothing was taken from anybody: of one's own, of nobody, of nothing */
TEST_F(owner, steal_what_needs_no_stealing)
{
	struct metastore_set arg;
	__u64 version = POISON64;

	ASSERT_EQ(0, steal(self->own, METASTORE_IOC_SET, METASTORE_F_OWNED, &arg));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 5, .version = arg.version,
		     .key = "k", .value = "his");
	ASSERT_EQ(0, steal(self->own, METASTORE_IOC_SET, 0, &arg));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 5, .version = arg.version,
		     .key = "k", .value = "his");
	ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_PUBLISH, 0, &arg));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 5,
		     .version = arg.version, .key = "k", .value = "his");
	ASSERT_EQ(0, ms_delete_if(self->own, "k", METASTORE_F_STEAL, &version));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 5, .version = version,
		     .key = "k", .value = "his");
	EXPECT_EQ(-ENOENT, ms_delete_if(self->own, "k", METASTORE_F_STEAL, NULL));
}

/* Whatever the former owner asked for, of this it is told; others get what they asked for */
TEST_F(owner, stolen_reaches_the_former_owner)
{
	static const __u32 masks[] = {
		METASTORE_EVENT_PUBLISHED, METASTORE_EVENT_SET, METASTORE_EVENT_DELETED,
	};
	struct metastore_set arg;
	__u64 version = POISON64;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		int own = ms_open(O_RDWR | O_NONBLOCK), other = ms_open(O_RDONLY | O_NONBLOCK);
		struct ms_reader r = ms_reader(own, 4096);
		struct ms_books books = {};
		char buf[128];

		ASSERT_EQ(0, ms_subscribe(own, "k", masks[i], 6));
		ASSERT_EQ(0, ms_subscribe(other, "k", masks[i], 7));
		ASSERT_EQ(0, ms_own(own, "k", "mine", NULL));
		ASSERT_EQ(0, ms_drain(&r, &books));
		ms_read(other, buf, sizeof(buf));

		ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_SET, 0, &arg));
		EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .flags = METASTORE_EVENT_F_STOLEN,
			     .cookie = 6, .version = arg.version, .key = "k", .value = "his");
		EXPECT_EQ(masks[i] == METASTORE_EVENT_SET,
			  ms_read(other, buf, sizeof(buf)) > 0);
		/* No owner any more: what follows is not for it */
		ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_SET, 0, &arg));
		EXPECT_EQ(masks[i] != METASTORE_EVENT_SET, ms_silent(own));
		ASSERT_EQ(0, ms_drain(&r, &books));
		ms_read(other, buf, sizeof(buf));

		ASSERT_EQ(0, ms_own(own, "k", "mine", NULL));
		ASSERT_EQ(0, ms_drain(&r, &books));
		ms_read(other, buf, sizeof(buf));
		ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_PUBLISH, 0, &arg));
		/* self->fd, the former owner, and the other one if it asked for it */
		EXPECT_EQ(2 + (masks[i] == METASTORE_EVENT_PUBLISHED), arg.queues);
		EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED,
			     .flags = METASTORE_EVENT_F_STOLEN, .cookie = 6,
			     .version = arg.version, .key = "k", .value = "his");
		EXPECT_EQ(masks[i] == METASTORE_EVENT_PUBLISHED,
			  ms_read(other, buf, sizeof(buf)) > 0);

		ASSERT_EQ(0, ms_own(own, "k", "mine", NULL));
		ASSERT_EQ(0, ms_drain(&r, &books));
		ms_read(other, buf, sizeof(buf));
		ASSERT_EQ(0, ms_delete_if(self->fd, "k", METASTORE_F_STEAL, &version));
		EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED,
			     .flags = METASTORE_EVENT_F_STOLEN, .cookie = 6, .version = version,
			     .key = "k", .value = "mine");
		EXPECT_TRUE(ms_silent(own));
		EXPECT_EQ(masks[i] == METASTORE_EVENT_DELETED,
			  ms_read(other, buf, sizeof(buf)) > 0);
		close(own);
		close(other);
		free(r.buf);
		ASSERT_EQ(0, ms_drain(&self->r, &books));
	}
}

/* Among many subscribers, wherever the former owner stands */
TEST_F(owner, stolen_among_many_subscribers)
{
	int fds[200], i, got = 0;
	struct metastore_set arg;
	char buf[128];

	ASSERT_EQ(0, ms_open_many(fds, 100, "k", METASTORE_EVENT_DELETED));
	ASSERT_EQ(0, ms_subscribe(self->own, "k", METASTORE_EVENT_DELETED, 1));
	ASSERT_EQ(0, ms_open_many(fds + 100, 100, "k", METASTORE_EVENT_DELETED));
	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_PUBLISH, 0, &arg));
	EXPECT_EQ(2, arg.queues);
	EXPECT_LT(0, ms_read(self->own, buf, sizeof(buf)));
	for (i = 0; i < 200; i++)
		got += ms_read(fds[i], buf, sizeof(buf)) > 0;
	EXPECT_EQ(0, got);
}

TEST_F(owner, stolen_from_who_did_not_subscribe)
{
	struct metastore_set arg;

	ASSERT_EQ(0, ms_subscribe(self->own, "other", EVENTS_ALL, 0));
	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, steal(self->fd, METASTORE_IOC_PUBLISH, 0, &arg));
	EXPECT_EQ(1, arg.queues);
	EXPECT_TRUE(ms_silent(self->own));
}

/* FLUSH */

TEST_F(owner, flush_leaves_others)
{
	struct metastore_flush arg;
	struct ms_books books = {};
	__u64 version;

	ASSERT_EQ(0, own_mine(self, &version));
	ASSERT_EQ(0, ms_own(self->fd, "of the flusher", "v", NULL));
	ASSERT_EQ(0, ms_set(self->own, "of nobody", "v", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(2, arg.values);
	expect_untouched(_metadata, self, version);
	EXPECT_EQ(1, ms_keys(self->fd));
	close(self->own);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(1, books.received);
	EXPECT_EQ(0, ms_keys(self->fd));
}

TEST_F(owner, flush_steal)
{
	struct metastore_flush arg;
	struct ms_reader r = ms_reader(self->own, 4096);
	struct ms_books books = {};
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->own, "k", METASTORE_EVENT_PUBLISHED, 6));
	ASSERT_EQ(0, own_mine(self, &version));
	ASSERT_EQ(0, ms_set(self->own, "of nobody", "v", NULL));
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, METASTORE_FLUSH_STEAL, &arg));
	EXPECT_EQ(2, arg.values);
	EXPECT_EQ(0, ms_keys(self->fd));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_FLUSH | METASTORE_EVENT_F_STOLEN, .cookie = 6,
		     .newer = version, .key = "k", .value = "mine");
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_FLUSH | METASTORE_EVENT_F_STOLEN, .cookie = 5,
		     .newer = version, .key = "k", .value = "mine");
	close(self->own);
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(0, books.received);
}

/* One's own values are not stolen by one's own FLUSH */
TEST_F(owner, flush_own)
{
	struct metastore_flush arg;
	__u64 version;

	ASSERT_EQ(0, own_mine(self, &version));
	ASSERT_EQ(0, ms_flush(self->own, NULL, METASTORE_ANY_BUCKET, METASTORE_FLUSH_STEAL, &arg));
	EXPECT_EQ(1, arg.values);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .flags = METASTORE_EVENT_F_FLUSH,
		     .cookie = 5, .newer = version, .key = "k", .value = "mine");
}

/* With a time to live it goes by what comes first, once */
TEST_F(owner, expires_before_the_end)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .ttl = 1 };

	ASSERT_EQ(0, ms_store_with(self->own, METASTORE_IOC_SET, "k", "mine", &arg));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 5, .version = arg.version,
		     .key = "k", .value = "mine");
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_EXPIRED, .cookie = 5, .newer = arg.version,
		     .key = "k", .value = "mine");
	expect_close_changes_nothing(_metadata, self, self->own, "ENOENT");
}

TEST_F(owner, ends_before_it_expires)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .ttl = 50 };
	struct metastore_stat st;
	__u64 over;

	ASSERT_EQ(0, ms_store_with(self->own, METASTORE_IOC_SET, "k", "mine", &arg));
	over = ms_now(CLOCK_BOOTTIME) + SECOND / 20;
	if (!ms_stat(self->own, "k", &st)) {
		EXPECT_EQ(METASTORE_OWNER_SELF, st.owner);
		EXPECT_LT(0, st.ttl);
		EXPECT_GE(50, st.ttl);
	}
	ASSERT_TRUE(!!ms_next(&self->r));
	close(self->own);
	ms_wait_until(over + SECOND / 20);
	/* By which of the two is a matter of the machine's speed, that it is one is not */
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
}

/* What prolongs */

TEST_F(owner, dup_prolongs)
{
	int copy = dup(self->own);
	__u64 version;

	ASSERT_EQ(0, own_mine(self, &version));
	expect_close_changes_nothing(_metadata, self, self->own, "mine");
	/* It is one open file: the copy is the owner too */
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(copy, "k"));
	close(copy);
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = getpid()), .cookie = 5,
		     .newer = version, .key = "k", .value = "mine");
}

/* The last process that has it, not the one that made it */
TEST_F(owner, fork_prolongs)
{
	int go[2];
	pid_t pid;
	char c;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, pipe(go));
	pid = ms_fork();
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], &c, 1) == 0 && ms_owner(self->own, "k") == METASTORE_OWNER_SELF ?
		      9 : 1);
	}
	expect_close_changes_nothing(_metadata, self, self->own, "mine");
	close(go[1]);
	EXPECT_EQ(9, ms_join(pid));
	EXPECT_EVENT(&self->r,
		     MS_ENDED(.tgid = pid, .how = METASTORE_END_EXITED, .code = 9),
		     .cookie = 5, .key = "k", .value = "mine");
}

/* The child sets by the inherited descriptor and dies: the parent has it still */
TEST_F(owner, the_parent_prolongs)
{
	struct ms_books books = {};
	pid_t pid = ms_fork();

	if (!pid) {
		if (!ms_own(self->own, "k", "mine", NULL))
			raise(SIGKILL);
		_exit(1);
	}
	EXPECT_EQ(-1, ms_join(pid));
	EXPECT_EQ(METASTORE_OWNER_SELF, ms_owner(self->own, "k"));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(1, books.received);
	close(self->own);
	EXPECT_EVENT(&self->r, MS_ENDED(.tgid = getpid()), .cookie = 5,
		     .key = "k", .value = "mine");
}

TEST_F(owner, passing_prolongs)
{
	int socks[2], fd;
	pid_t pid;
	char c;

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = ms_fork();
	if (!pid) {
		close(socks[0]);
		close(self->own);
		fd = ms_receive_fd(socks[1]);
		if (ms_owner(fd, "k") != METASTORE_OWNER_SELF || write(socks[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	close(socks[1]);
	ASSERT_EQ(0, ms_send_fd(socks[0], self->own));
	expect_close_changes_nothing(_metadata, self, self->own, "mine");
	ASSERT_EQ(1, read(socks[0], &c, 1));
	ASSERT_EQ(0, kill(pid, SIGTERM));
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r,
		     MS_ENDED(.tgid = pid, .how = METASTORE_END_KILLED, .code = SIGTERM),
		     .cookie = 5, .key = "k", .value = "mine");
}

/* By this process, or by the kernel itself */
static void expect_closed(struct __test_metadata *_metadata, const struct metastore_event *ev)
{
	struct metastore_owner_end end = ms_event_end(ev);

	EXPECT_EQ(METASTORE_EVENT_F_OWNER, ev->flags);
	EXPECT_TRUE(end.tgid == getpid() || end.tgid == 0) {
		TH_LOG("closed by %d", end.tgid);
	}
	EXPECT_EQ(METASTORE_END_CLOSED, end.how);
	EXPECT_EQ(0, end.code);
}

/* In a socket nobody has it, and it lives; who closes the socket then ends it */
TEST_F(owner, lives_in_a_socket)
{
	const struct metastore_event *ev;
	int socks[2];

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	ASSERT_EQ(0, ms_send_fd(socks[0], self->own));
	expect_close_changes_nothing(_metadata, self, self->own, "mine");
	close(socks[0]);
	close(socks[1]);
	ASSERT_TRUE(ms_await(&self->r));
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	expect_closed(_metadata, ev);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
}

/*
 * A socket on its way in itself: the kernel looks for such when another one is
 * closed, and a worker of its own closes what was in them.
 */
TEST_F(owner, lives_in_a_socket_of_itself)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(20 * SECOND);
	const struct metastore_event *ev;
	int socks[2], others[2];

	ASSERT_EQ(0, own_mine(self, NULL));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, socks));
	ASSERT_EQ(0, ms_send_fd(socks[0], self->own));
	ASSERT_EQ(0, ms_send_fd(socks[0], socks[0]));
	ASSERT_EQ(0, ms_send_fd(socks[0], socks[1]));
	expect_close_changes_nothing(_metadata, self, self->own, "mine");
	close(socks[0]);
	close(socks[1]);
	while (!ms_poll(self->fd, 10) && ms_now(CLOCK_MONOTONIC) < end) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, others));
		close(others[0]);
		close(others[1]);
	}
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	expect_closed(_metadata, ev);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
}

static void *own_until_closed(void *arg)
{
	int fd = *(int *)arg;
	char key[16];
	__u32 i = 0;

	do
		snprintf(key, sizeof(key), "%u", i++ % 1000);
	while (!ms_own(fd, key, "v", NULL));
	return NULL;
}

/* A call that is under way holds the file; what it sets goes when it returns */
TEST_F(owner, closed_under_a_writer)
{
	pthread_t thread;
	int i, fd;

	for (i = 0; i < 20; i++) {
		fd = ms_open(O_RDWR);
		ASSERT_EQ(0, pthread_create(&thread, NULL, own_until_closed, &fd));
		ms_sleep(SECOND / 1000);
		close(fd);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_EQ(0, ms_keys(self->fd));
	}
}

/* Many at once */

#define CONTENDERS	8
#define SLOTS		1024

/* Each process that ever contends has a slot of its own, from 1 */
struct lock {
	__u32 holder;		/* who believes to have it */
	__u32 acquired;
	__u32 inherited;	/* from one that was killed while it had it */
	__u32 killed[SLOTS];
	pid_t pids[SLOTS];
};

static int take(int fd, __u32 slot)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", slot);
	return ms_set_if(fd, "lock", value, METASTORE_F_CREATE | METASTORE_F_OWNED, NULL);
}

static void hold(struct lock *lock, __u32 slot)
{
	__u32 i, before = __atomic_exchange_n(&lock->holder, slot, __ATOMIC_SEQ_CST);

	/* Whoever had it gave it up, or cannot any more */
	CHECK(!before || __atomic_load_n(&lock->killed[before], __ATOMIC_SEQ_CST));
	__atomic_add_fetch(&lock->acquired, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&lock->inherited, !!before, __ATOMIC_SEQ_CST);
	/* Some hold it for long: these are the ones to be killed */
	if (rand() % 16 == 0)
		ms_sleep(SECOND / 200);
	for (i = rand() % 40; i; i--) {
		CHECK(__atomic_load_n(&lock->holder, __ATOMIC_SEQ_CST) == slot);
		if (i % 8 == 0)
			sched_yield();
	}
	CHECK(__atomic_compare_exchange_n(&lock->holder, &slot, 0, false, __ATOMIC_SEQ_CST,
					  __ATOMIC_SEQ_CST));
}

static int open_contender(void)
{
	int fd = ms_open(O_RDWR | O_NONBLOCK);

	CHECK(fd >= 0 && !ms_subscribe(fd, "lock", METASTORE_EVENT_DELETED, 0));
	return fd;
}

/* Takes the lock and gives it up, again and again, and waits without a time limit */
static void contend(struct lock *lock, __u32 slot)
{
	int ret, fd = open_contender();
	char buf[4096];

	srand(slot);
	for (;;) {
		ret = take(fd, slot);
		CHECK(!ret || ret == -EEXIST);
		if (ret) {
			CHECK(ms_poll(fd, -1) == POLLIN);
			CHECK(ms_read(fd, buf, sizeof(buf)) > 0);
			continue;
		}
		hold(lock, slot);
		if (rand() % 4) {
			CHECK(!ms_delete(fd, "lock", NULL));
		} else {
			close(fd);
			fd = open_contender();
		}
	}
}

static void add_contender(struct lock *lock, __u32 slot)
{
	pid_t pid = ms_fork();

	if (!pid)
		contend(lock, slot);
	lock->pids[slot] = pid;
}

/* The one that has the lock now, as far as one can tell; else any */
static __u32 choose_victim(int fd, const __u32 *slots)
{
	__u32 holder = strtoul(ms_str(fd, "lock"), NULL, 10);
	int i;

	for (i = 0; i < CONTENDERS; i++)
		if (slots[i] == holder && rand() % 4)
			return i;
	return rand() % CONTENDERS;
}

/* Whether somebody has taken the lock since @before */
static bool goes_on(struct lock *lock, __u32 before)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(20 * SECOND);

	while (__atomic_load_n(&lock->acquired, __ATOMIC_SEQ_CST) == before) {
		if (ms_now(CLOCK_MONOTONIC) > end || crew.board->error[0])
			return false;
		ms_sleep(SECOND / 1000);
	}
	return true;
}

/* Never held twice, never stuck, whenever its holder is killed */
TEST_F_TIMEOUT(owner, lock, 60)
{
	struct lock *lock = ms_shared(sizeof(*lock));
	__u32 slots[CONTENDERS], i, v, n = 1, before;
	__u32 times = ms_size(40, 60), pause_ms = ms_full() ? 1000 : 40;

	ASSERT_TRUE(!!lock);
	for (i = 0; i < CONTENDERS; i++) {
		slots[i] = n++;
		add_contender(lock, slots[i]);
	}
	for (i = 0; i < times; i++) {
		ms_sleep(pause_ms * SECOND / 1000);
		v = choose_victim(self->fd, slots);
		__atomic_store_n(&lock->killed[slots[v]], 1, __ATOMIC_SEQ_CST);
		ASSERT_EQ(0, kill(lock->pids[slots[v]], SIGKILL));
		ASSERT_EQ(-1, ms_join(lock->pids[slots[v]]));
		before = __atomic_load_n(&lock->acquired, __ATOMIC_SEQ_CST);
		ASSERT_TRUE(goes_on(lock, before)) {
			TH_LOG("stuck after %u kills: %s", i + 1, crew.board->error);
		}
		slots[v] = n++;
		add_contender(lock, slots[v]);
	}
	memset(lock->killed, 1, sizeof(lock->killed));
	for (i = 0; i < CONTENDERS; i++) {
		kill(lock->pids[slots[i]], SIGKILL);
		EXPECT_EQ(-1, ms_join(lock->pids[slots[i]]));
	}
	EXPECT_STREQ("", crew.board->error);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "lock"));
	EXPECT_LT(0, lock->inherited);
	ksft_print_msg("taken %u times; %u processes killed, %u of them in possession\n",
		       lock->acquired, times, lock->inherited);
}

/* What is taken at the moment that its owner ends is the thief's, and stays */
TEST_F(owner, stolen_as_it_ends)
{
	__u32 n, times = ms_times(3000);
	struct metastore_set arg;

	if (crew_child()) {
		while (!crew_done()) {
			int fd = ms_open(O_RDWR), ret = ms_own(fd, "k", "mine", NULL);

			CHECK(!ret || ret == -EBUSY);
			close(fd);
		}
		_exit(0);
	}
	if (crew_child()) {
		for (n = 0; n < times; n++) {
			CHECK(!steal(self->own, METASTORE_IOC_SET, METASTORE_F_OWNED, &arg));
			CHECK(ms_owner(self->own, "k") == METASTORE_OWNER_SELF);
			CHECK(!ms_delete_if(self->own, "k", METASTORE_F_IF_VERSION, &arg.version));
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(1, 2));
	crew_finish();
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(0, ms_keys(self->fd));
}

/* Whether this can come next after the key was @present or not */
static bool tells_of(const struct metastore_event *ev, bool present)
{
	if (ev->type == METASTORE_EVENT_SET)
		return present == (ev->flags == METASTORE_EVENT_F_STOLEN);
	return present;
}

/*
 * Each takes the key from whoever has it, and closes. So what the subscriber sees
 * is a story: a value that is set over another one was stolen, and nothing is
 * deleted twice.
 */
TEST_F(owner, thieves)
{
	__u32 i, n, times = ms_times(1500);
	bool known = false, present = false;
	const struct metastore_event *ev;
	__u64 sets = 0, wrong = 0, lost = 0, last = 0;

	for (i = 0; i < 4; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			struct metastore_set arg;
			int fd = ms_open(O_RDWR), ret;

			CHECK(fd >= 0);
			CHECK(!steal(fd, METASTORE_IOC_SET, METASTORE_F_OWNED, &arg));
			if (n % 4 == 0) {
				ret = ms_delete_if(fd, "k", METASTORE_F_STEAL, NULL);
				CHECK(!ret || ret == -ENOENT);
			}
			close(fd);
		}
		_exit(0);
	}
	crew_start();
	for (;;) {
		/* The last look comes when all have ended */
		bool ended = crew.size == 4 && waitpid(-1, NULL, WNOHANG) < 0;

		while ((ev = ms_next(&self->r))) {
			if (ev->type == METASTORE_EVENT_LOST) {
				lost += ev->count;
				known = false;
				continue;
			}
			wrong += ev->version <= last;
			last = ev->version;
			wrong += known && !tells_of(ev, present);
			present = ev->type == METASTORE_EVENT_SET;
			sets += present;
			known = true;
		}
		ASSERT_EQ(EAGAIN, errno);
		if (ended)
			break;
		ms_poll(self->fd, 10);
	}
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(0, wrong);
	EXPECT_FALSE(present);
	EXPECT_LE(sets, 4 * times);
	EXPECT_GE(sets + lost, 4 * times);
	EXPECT_EQ(0, ms_keys(self->fd));
}

TEST_HARNESS_MAIN
