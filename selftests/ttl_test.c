// SPDX-License-Identifier: GPL-2.0
/*
 * Times to live, by the clock that they are counted on. No test relies on how fast
 * the machine is: what is asked before and after a call tells between which two
 * moments a value's end must be.
 */
#include "crew.h"

#define MS	(SECOND / 1000)

FIXTURE(ttl)
{
	int fd;			/* subscribed to all changes of "k" */
	struct ms_reader r;
};

FIXTURE_SETUP(ttl)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 5));
	self->r = ms_reader(self->fd, MS_READER_SIZE);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(ttl)
{
	close(self->fd);
}

/* Between which two moments a value's time is over, and its version */
struct life {
	__u64 earliest;
	__u64 latest;
	__u64 version;
};

/* Sets "k"; reads all events up to that, which is not yet the one of its end */
static int live(struct _test_data_ttl *self, __u64 ttl, struct life *life)
{
	const struct metastore_event *ev;
	int ret;

	life->earliest = ms_now(CLOCK_BOOTTIME) + ttl * MS;
	ret = ms_set_ttl(self->fd, "k", "v", ttl, &life->version);
	life->latest = ms_now(CLOCK_BOOTTIME) + ttl * MS;
	if (ret)
		return ret;
	do
		ev = ms_next(&self->r);
	while (ev && ev->version != life->version);
	return ev ? 0 : -errno;
}

/* What GET says is left, or a negative errno */
static long long ttl_of(int fd, const char *key)
{
	char buf[64];
	struct metastore_get arg = {
		.key = ms_ptr(key),
		.value = ms_ptr(buf),
		.key_len = strlen(key),
		.value_len = sizeof(buf),
		.version = POISON64,
		.ttl = POISON64,
	};

	return ms_ioctl(fd, METASTORE_IOC_GET, &arg) ?: (long long)arg.ttl;
}

static long long ttl_by_stat(int fd, const char *key)
{
	struct metastore_stat st;

	return ms_stat(fd, key, &st) ?: (long long)st.ttl;
}

/* ns in ms, rounded up, as the interface does it */
static long long in_ms(__u64 ns)
{
	return (ns + MS - 1) / MS;
}

static void expect_expired(struct __test_metadata *_metadata, struct _test_data_ttl *self,
			   __u64 version)
{
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_EXPIRED, .cookie = 5, .newer = version,
		     .key = "k", .value = "v");
}

TEST_F(ttl, none)
{
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	EXPECT_EQ(0, ttl_by_stat(self->fd, "k"));
}

/* What is left, rounded up, whoever tells it */
TEST_F(ttl, read_back)
{
	static const __u64 ttls[] = { 3000, 86400000, METASTORE_TTL_MAX - 1, METASTORE_TTL_MAX };
	long long left;
	struct life life;
	__u64 before, after;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ttls); i++) {
		ASSERT_EQ(0, live(self, ttls[i], &life));
		before = ms_now(CLOCK_BOOTTIME);
		left = ttl_of(self->fd, "k");
		after = ms_now(CLOCK_BOOTTIME);
		EXPECT_LE(in_ms(life.earliest - after), left);
		EXPECT_GE(in_ms(life.latest - before), left);
		before = ms_now(CLOCK_BOOTTIME);
		left = ttl_by_stat(self->fd, "k");
		after = ms_now(CLOCK_BOOTTIME);
		EXPECT_LE(in_ms(life.earliest - after), left);
		EXPECT_GE(in_ms(life.latest - before), left);
	}
}

/* It becomes less, and never 0 while the value is there */
TEST_F(ttl, runs_down_to_1)
{
	long long left, last = 60;
	struct life life;
	__u64 before, after;

	ASSERT_EQ(0, live(self, 60, &life));
	for (;;) {
		before = ms_now(CLOCK_BOOTTIME);
		left = ttl_of(self->fd, "k");
		after = ms_now(CLOCK_BOOTTIME);
		if (left == -ENOENT)
			break;
		ASSERT_LT(0, left);
		ASSERT_GE(last, left);
		ASSERT_GE(in_ms(life.latest - before), left);
		ASSERT_TRUE(after >= life.earliest || in_ms(life.earliest - after) <= left);
		last = left;
	}
	EXPECT_LE(life.earliest, after);
}

TEST_F(ttl, counts)
{
	struct metastore_info info;

	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "v", 100000, NULL));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(2 + METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD, info.bytes);
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(2 + METASTORE_VALUE_OVERHEAD, info.bytes);
}

TEST_F(ttl, einval)
{
	static const __u64 wrong[] = {
		METASTORE_TTL_MAX + 1, 1ULL << 41, 1ULL << 62, 1ULL << 63, ~0ULL,
	};
	static const unsigned long commands[] = { METASTORE_IOC_SET, METASTORE_IOC_PUBLISH };
	struct metastore_set arg;
	__u64 old;
	size_t i, c;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	ASSERT_TRUE(!!ms_next(&self->r));
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		for (c = 0; c < ARRAY_SIZE(commands); c++) {
			arg = (struct metastore_set) { .version = POISON64, .ttl = wrong[i] };
			EXPECT_EQ(-EINVAL, ms_store_with(self->fd, commands[c], "k", "v", &arg));
			EXPECT_EQ(POISON64, arg.version);
			EXPECT_EQ(POISON32, arg.queues);
			EXPECT_EQ(wrong[i], arg.ttl);
		}
	}
	EXPECT_EQ(old, ms_version(self->fd, "k"));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(ttl, event)
{
	const struct metastore_event *ev;
	struct metastore_info info;
	struct metastore_stat st;
	struct life life;
	__u64 now, written;

	ASSERT_EQ(0, live(self, 100, &life));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	written = st.time;
	ASSERT_TRUE(ms_await(&self->r));
	now = ms_now(CLOCK_BOOTTIME);
	EXPECT_LE(life.earliest, now);
	ksft_print_msg("the event came %lld us late\n", (long long)(now - life.latest) / 1000);
	/* Nobody has to look the key up for it to go */
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
	ev = ms_next(&self->r);
	ASSERT_TRUE(!!ev);
	EXPECT_EQ(METASTORE_EVENT_DELETED, ev->type);
	EXPECT_EQ(METASTORE_EVENT_F_EXPIRED, ev->flags);
	EXPECT_EQ(5, ev->cookie);
	EXPECT_LT(life.version, ev->version);
	/* The value that was removed, its writer and its time */
	EXPECT_EQ(1, ev->value_len);
	EXPECT_EQ('v', *ms_event_value(ev));
	EXPECT_EQ(getpid(), ev->tgid);
	EXPECT_EQ(written, ev->time);
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(ttl, publish)
{
	struct metastore_set arg = { .ttl = 20 };

	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_PUBLISH, "k", "v", &arg));
	EXPECT_EQ(1, arg.queues);
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 5,
		     .version = arg.version, .key = "k", .value = "v");
	expect_expired(_metadata, self, arg.version);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Only who asked for deletions is told */
TEST_F(ttl, masks)
{
	int fd = ms_open(O_RDONLY | O_NONBLOCK);
	struct life life;

	ASSERT_EQ(0, ms_subscribe(fd, "k", METASTORE_EVENT_PUBLISHED, 0));
	ASSERT_EQ(0, live(self, 1, &life));
	expect_expired(_metadata, self, life.version);
	EXPECT_TRUE(ms_silent(fd));
}

/* A reader and a poller that sleep are woken */
TEST_F(ttl, wakes)
{
	int fd = ms_open(O_RDONLY);
	struct life life;
	pid_t pid;
	char buf[128];

	ASSERT_EQ(0, ms_subscribe(fd, "k", METASTORE_EVENT_DELETED, 0));
	pid = ms_fork();
	if (!pid)
		_exit(ms_read(fd, buf, sizeof(buf)) != 56);
	ASSERT_TRUE(ms_asleep(pid));
	ASSERT_EQ(0, live(self, 1, &life));
	EXPECT_EQ(0, ms_join(pid));
	expect_expired(_metadata, self, life.version);
}

TEST_F(ttl, many_subscribers)
{
	int fds[200], i;
	struct life life;

	ASSERT_EQ(0, ms_open_many(fds, ARRAY_SIZE(fds), "k", METASTORE_EVENT_DELETED));
	ASSERT_EQ(0, live(self, 1, &life));
	for (i = 0; i < (int)ARRAY_SIZE(fds); i++) {
		struct ms_reader r = ms_reader(fds[i], 4096);

		ASSERT_TRUE(ms_await(&r));
		EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED,
			     .flags = METASTORE_EVENT_F_EXPIRED, .cookie = i,
			     .newer = life.version, .key = "k", .value = "v");
		free(r.buf);
	}
}

/* Each way to look for a value; 1: it is there, 0: it is not, else an errno */
static int by_get(int fd)
{
	int ret = ttl_of(fd, "k");

	return ret == -ENOENT ? 0 : ret < 0 ? ret : 1;
}

static int by_stat(int fd)
{
	int ret = ttl_by_stat(fd, "k");

	return ret == -ENOENT ? 0 : ret < 0 ? ret : 1;
}

static int by_list(int fd)
{
	char buf[METASTORE_LIST_MIN];
	struct metastore_list arg = {
		.buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf),
		.bucket = METASTORE_ANY_BUCKET,
	};

	return ms_ioctl(fd, METASTORE_IOC_LIST, &arg) ?: (int)arg.entries;
}

static int by_create(int fd)
{
	int ret = ms_set_if(fd, "k", "other", METASTORE_F_CREATE, NULL);

	return ret == -EEXIST ? 1 : ret;
}

static int by_replace(int fd)
{
	int ret = ms_set_if(fd, "k", "other", METASTORE_F_REPLACE, NULL);

	return ret == -ENOENT ? 0 : ret ?: 1;
}

static int by_delete(int fd)
{
	int ret = ms_delete(fd, "k", NULL);

	return ret == -ENOENT ? 0 : ret ?: 1;
}

static int by_version(int fd)
{
	__u64 version = 1;
	int ret = ms_delete_if(fd, "k", METASTORE_F_IF_VERSION, &version);

	return ret == -ESTALE ? !!version : ret;
}

static int by_batch(int fd)
{
	char buf[8];
	struct metastore_op op = ms_op_get("k", buf, sizeof(buf));
	int ret = ms_batch(fd, &op, 1, METASTORE_BATCH_ATOMIC, NULL);

	return ret ?: op.result == -ENOENT ? 0 : op.result ?: 1;
}

static int (*const ways[])(int fd) = {
	by_get, by_stat, by_list, by_create, by_replace, by_delete, by_version, by_batch,
};

/* Never early: it is there as long as its time is surely not over */
TEST_F(ttl, there_until_it_is_over)
{
	struct life life;
	__u32 i, found = 0, n, times = ms_times(20);
	__u64 after;
	int ret;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		for (n = 0; n < times; n++) {
			ASSERT_EQ(0, live(self, 1 + n % 3, &life));
			ret = ways[i](self->fd);
			after = ms_now(CLOCK_BOOTTIME);
			ASSERT_TRUE(ret == 0 || ret == 1) {
				TH_LOG("way %u: %d", i, ret);
			}
			ASSERT_TRUE(ret == 1 || after >= life.earliest) {
				TH_LOG("way %u: %llu ns early", i, life.earliest - after);
			}
			found += ret;
			ASSERT_EQ(0, ms_reset(self->fd));
			ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 5));
		}
	}
	EXPECT_LT(0, found);
}

/* Never readable once over, though the worker may not have come to it yet */
TEST_F(ttl, gone_once_it_is_over)
{
	struct ms_books books = {};
	struct life life;
	__u32 i, n, times = ms_times(20);

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		for (n = 0; n < times; n++) {
			ASSERT_EQ(0, live(self, 1 + n % 3, &life));
			/* Without sleep, so that this comes first now and then */
			while (ms_now(CLOCK_BOOTTIME) < life.latest)
				;
			ASSERT_EQ(0, ways[i](self->fd)) {
				TH_LOG("way %u: it is there after its time", i);
			}
			expect_expired(_metadata, self, life.version);
			ms_delete(self->fd, "k", NULL);
			ASSERT_EQ(0, ms_drain(&self->r, &books));
		}
	}
}

TEST_F(ttl, cleared_by_set)
{
	struct life life;

	ASSERT_EQ(0, live(self, 50, &life));
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	ms_wait_until(life.latest + 50 * MS);
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
	/* Unless that was too late, and told: then it had expired before */
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(ttl, replaced_by_a_longer_one)
{
	struct life life;

	ASSERT_EQ(0, live(self, 50, &life));
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "w", 1000000, NULL));
	ms_wait_until(life.latest + 50 * MS);
	EXPECT_STREQ("w", ms_str(self->fd, "k"));
	EXPECT_LT(900000, ttl_of(self->fd, "k"));
}

TEST_F(ttl, replaced_by_a_shorter_one)
{
	struct life life;

	ASSERT_EQ(0, live(self, 1000000, &life));
	ASSERT_EQ(0, live(self, 20, &life));
	expect_expired(_metadata, self, life.version);
	EXPECT_LE(life.earliest, ms_now(CLOCK_BOOTTIME));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The timer, set for a later one, is set back for an earlier one, and on again */
TEST_F(ttl, ends_in_any_order)
{
	static const __u32 ttls[] = { 100000, 90, 30, 60, 1, 120000, 10, 45 };
	struct life lives[ARRAY_SIZE(ttls)];
	const struct metastore_event *ev;
	__u32 i, ended = 0;
	char key[16];

	for (i = 0; i < ARRAY_SIZE(ttls); i++) {
		snprintf(key, sizeof(key), "key %u", i);
		ASSERT_EQ(0, ms_subscribe(self->fd, key, METASTORE_EVENT_DELETED, i));
		lives[i].earliest = ms_now(CLOCK_BOOTTIME) + ttls[i] * MS;
		ASSERT_EQ(0, ms_set_ttl(self->fd, key, "v", ttls[i], &lives[i].version));
	}
	while (ended < ARRAY_SIZE(ttls) - 2) {
		ASSERT_TRUE(ms_await(&self->r));
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		ASSERT_EQ(METASTORE_EVENT_F_EXPIRED, ev->flags);
		ASSERT_GE(ms_now(CLOCK_BOOTTIME), lives[ev->cookie].earliest);
		ended++;
	}
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(2, ms_keys(self->fd));
}

TEST_F(ttl, deleted_before)
{
	struct life life;
	__u64 version;
	int ret;

	ASSERT_EQ(0, live(self, 30, &life));
	ret = ms_delete(self->fd, "k", &version);
	ASSERT_TRUE(!ret || ret == -ENOENT);
	ms_wait_until(life.latest + 50 * MS);
	/* One event, of the one or the other */
	ASSERT_TRUE(!!ms_next(&self->r));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Without a subscriber, and with one that has gone */
TEST_F(ttl, unheard)
{
	ASSERT_EQ(0, ms_unsubscribe(self->fd, "k"));
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "v", 5, NULL));
	ms_wait_until(ms_now(CLOCK_BOOTTIME) + 5 * MS);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	while (ms_keys(self->fd))
		ms_sleep(MS);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Somebody sets the clock on the wall: no life is longer or shorter for it */
TEST_F(ttl, not_the_wall_clock)
{
	struct timespec ts;
	struct life life;
	long long left;
	int day;

	ASSERT_EQ(0, live(self, 3600000, &life));
	for (day = 1; day >= -1; day -= 2) {
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_sec += day * 86400;
		ASSERT_EQ(0, clock_settime(CLOCK_REALTIME, &ts));
		left = ttl_of(self->fd, "k");
		EXPECT_LT(3000000, left);
		EXPECT_GE(3600000, left);
	}
}

/* A program built with the structures as they first were */
TEST_F(ttl, old_structures)
{
	__u8 bytes[sizeof(struct metastore_set)], buf[8];
	struct metastore_set *set = (void *)bytes;
	struct metastore_get *get = (void *)bytes;
	struct metastore_stat *st = (void *)bytes;
	struct life life;

	ASSERT_EQ(0, live(self, 1000000, &life));
	/* It gets what it knows, and nothing behind that */
	memset(bytes, POISON, sizeof(bytes));
	*get = (struct metastore_get) {
		.key = ms_ptr("k"),
		.value = ms_ptr(buf),
		.key_len = 1,
		.value_len = sizeof(buf),
		.ttl = POISON64,
	};
	EXPECT_EQ(0, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_GET, 40), get));
	EXPECT_EQ(1, get->value_len);
	EXPECT_EQ(life.version, get->version);
	EXPECT_EQ(POISON64, get->ttl);

	memset(bytes, POISON, sizeof(bytes));
	st->key = ms_ptr("k");
	st->key_len = 1;
	st->flags = 0;
	st->reserved = 0;
	EXPECT_EQ(0, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_STAT, 56), st));
	EXPECT_EQ(life.version, st->version);
	EXPECT_EQ(POISON64, st->ttl);
	EXPECT_EQ(POISON32, st->owner);
	EXPECT_EQ(POISON32, st->reserved2);

	/* What is behind what it knows is not looked at: this one has no end */
	memset(bytes, POISON, sizeof(bytes));
	*set = (struct metastore_set) {
		.key = ms_ptr("k"),
		.value = ms_ptr("w"),
		.key_len = 1,
		.value_len = 1,
		.ttl = POISON64,
	};
	EXPECT_EQ(0, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_SET, 40), set));
	EXPECT_EQ(POISON64, set->ttl);
	EXPECT_STREQ("w", ms_str(self->fd, "k"));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
}

/*
 * One creates the key again as soon as it is gone: each life ends before the next
 * begins, by an event of its own, whoever was the first to see that it was over.
 */
TEST_F(ttl, life_after_life)
{
	__u32 n, times = ms_times(400), lives = 0, wrong = 0, present = 0;
	const struct metastore_event *ev;

	if (crew_child()) {
		for (n = 0; n < times; n++) {
			struct metastore_set arg;
			int ret;

			do {
				arg = (struct metastore_set) {
					.flags = METASTORE_F_CREATE,
					.ttl = 1 + n % 2,
				};
				ret = ms_store_with(self->fd, METASTORE_IOC_SET, "k", "v", &arg);
				CHECK(!ret || ret == -EEXIST);
				/* Now and then the worker shall be the first */
				if (ret && n % 4 == 0)
					ms_sleep(MS);
			} while (ret);
		}
		_exit(0);
	}
	crew_start();
	while (lives < times || present) {
		ASSERT_TRUE(ms_await(&self->r)) {
			TH_LOG("after %u lives: %s", lives, crew.board->error);
		}
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		if (ev->type == METASTORE_EVENT_SET) {
			wrong += present;
			present = 1;
			lives++;
		} else {
			wrong += !present || ev->flags != METASTORE_EVENT_F_EXPIRED;
			present = 0;
		}
	}
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(0, wrong);
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(0, ms_keys(self->fd));
}

/* Overwritten all the time, with an end and without: the last one counts */
TEST_F(ttl, overwritten_at_its_end)
{
	__u32 i, n, times = ms_times(3000);
	struct ms_books books = {};

	for (i = 0; i < 3; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++)
			CHECK(!ms_set_ttl(self->fd, "k", "v", rand() % 3, NULL));
		_exit(0);
	}
	crew_start();
	while (waitpid(crew.pids[0], NULL, WNOHANG) == 0)
		ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_TRUE(crew_join(1, 3));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_set(self->fd, "k", "last", NULL));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(0, books.disorder);
	EXPECT_LE(3 * times + 1, books.received + books.lost);
	ms_sleep(50 * MS);
	EXPECT_STREQ("last", ms_str(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(1, ms_keys(self->fd));
}

/* The end of many */
struct many {
	__u32 keys;
	__u32 files;
	__u64 end;		/* of the last one, at the latest */
	__u64 events;
	__u64 lost;
	__u64 last;		/* event read */
	__u32 wrong;
	int fds[64];
	__u8 *ends;		/* events of each key, received or lost */
};

/* As many files as it takes to subscribe to all */
static int subscribe_to_many(struct many *many, __u32 per_file)
{
	int ret = 0;
	__u32 i;

	for (i = 0; i < many->keys && !ret; i++) {
		if (i % per_file == 0)
			many->fds[many->files++] = ms_open(O_RDONLY | O_NONBLOCK);
		ret = ms_subscriben(many->fds[many->files - 1], &i, sizeof(i),
				    METASTORE_EVENT_DELETED, i);
	}
	return ret;
}

/* All of them to end at @end, or at once if that is over */
static int set_many(int fd, struct many *many, __u64 end)
{
	int ret = 0;
	__u32 i;

	for (i = 0; i < many->keys && !ret; i++) {
		__u64 now = ms_now(CLOCK_BOOTTIME), ttl = now + MS < end ? (end - now) / MS : 1;
		struct metastore_set arg = {
			.key = ms_ptr(&i),
			.key_len = sizeof(i),
			.ttl = ttl,
		};

		ret = ms_ioctl(fd, METASTORE_IOC_SET, &arg);
		now = ms_now(CLOCK_BOOTTIME) + ttl * MS;
		if (now > many->end)
			many->end = now;
	}
	return ret;
}

static void read_of_many(struct many *many, struct ms_reader *r)
{
	const struct metastore_event *ev;
	__u32 i;

	for (i = 0; i < many->files; i++) {
		r->fd = many->fds[i];
		while ((ev = ms_next(r))) {
			if (ev->cookie >= many->keys) {
				many->wrong++;
			} else if (ev->type == METASTORE_EVENT_LOST) {
				many->lost += ev->count;
				many->ends[ev->cookie] += ev->count;
			} else {
				many->events++;
				many->ends[ev->cookie]++;
				many->wrong += ev->flags != METASTORE_EVENT_F_EXPIRED;
			}
			many->last = ms_now(CLOCK_BOOTTIME);
		}
		many->wrong += errno != EAGAIN;
	}
}

/* Each of them has one event, received or counted as lost, and none can be read */
TEST_F_TIMEOUT(ttl, many_at_once, 120)
{
	struct many many = { .keys = ms_size(100000, 1000000) };
	__u64 start = ms_now(CLOCK_BOOTTIME), limit;
	struct metastore_info info;
	char buf[8];
	__u32 i;

	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	ASSERT_GT(info.max_bytes / (4 + METASTORE_VALUE_OVERHEAD + METASTORE_TIE_OVERHEAD),
		  many.keys);
	many.ends = calloc(many.keys, 1);
	ASSERT_EQ(0, subscribe_to_many(&many, info.max_subscriptions));
	/* It takes about as long again to set them */
	ASSERT_EQ(0, set_many(self->fd, &many, 3 * ms_now(CLOCK_BOOTTIME) - 2 * start));

	ms_wait_until(many.end);
	for (i = 0; i < many.keys; i += many.keys / 1000 + 1)
		ASSERT_EQ(-ENOENT, ms_getn(self->fd, &i, sizeof(i), buf, sizeof(buf), NULL));
	limit = ms_now(CLOCK_BOOTTIME) + ms_limit(60 * SECOND);
	while (many.events + many.lost < many.keys && ms_now(CLOCK_BOOTTIME) < limit)
		read_of_many(&many, &self->r);
	read_of_many(&many, &self->r);
	EXPECT_EQ(many.keys, many.events + many.lost);
	EXPECT_EQ(0, many.wrong);
	for (i = 0; i < many.keys; i++)
		many.wrong += many.ends[i] != 1;
	EXPECT_EQ(0, many.wrong);
	EXPECT_EQ(0, ms_keys(self->fd));
	ksft_print_msg("%u keys ended: %llu events read, the last %lld us late, %llu lost\n",
		       many.keys, many.events, (long long)(many.last - many.end) / 1000,
		       many.lost);
}

/*
 * The last one leaves behind what ends while the module is unloaded and what would
 * end long after, which is what module_test.sh runs it for.
 */
TEST_F(ttl, leave)
{
	__u32 i, keys = ms_times(5000);

	for (i = 0; i < keys; i++) {
		struct metastore_set arg = {
			.key = ms_ptr(&i),
			.key_len = sizeof(i),
			.ttl = i % 8 ? 1 + i % 400 : 1000000,
		};

		ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_SET, &arg));
	}
	EXPECT_LE(keys / 8, ms_keys(self->fd));
}

TEST_HARNESS_MAIN
