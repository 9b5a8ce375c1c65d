// SPDX-License-Identifier: GPL-2.0
/* Stores that nobody finds but who has a descriptor on them */
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "crew.h"

FIXTURE(private)
{
	int fd;			/* on the machine's store */
	int store;
	struct metastore_info info;	/* of the machine's store */
};

FIXTURE_SETUP(private)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &self->info));
	self->store = ms_create(self->fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {});
	ASSERT_LE(0, self->store);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(private)
{
	close(self->store);
	close(self->fd);
}

/* CREATE */

TEST_F(private, limits_are_inherited)
{
	struct metastore_info info;

	ASSERT_EQ(0, ms_info(self->store, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(METASTORE_PRIVATE_BUCKETS, info.buckets);
	info.buckets = self->info.buckets;
	EXPECT_EQ(0, memcmp(&info, &self->info, sizeof(info)));
	EXPECT_EQ(0, info.keys);
	EXPECT_LT(0, info.private_bytes);
}

/*
 * A security module labels inodes, but not the one that anonymous files share. So each open
 * file has an inode of its own, where the kernel lets modules make them.
 */
TEST_F(private, has_an_inode_to_label)
{
	int again = ms_reopen(self->store, O_RDWR), shared = eventfd(0, 0);
	struct stat st, st_again, st_shared;
	struct utsname kernel;
	long major, minor;
	char *end;

	ASSERT_EQ(0, uname(&kernel));
	major = strtol(kernel.release, &end, 10);
	minor = strtol(end + 1, NULL, 10);
	if (major < 6 || (major == 6 && minor < 8))
		SKIP(return, "before 6.8 modules cannot make such inodes");
	ASSERT_EQ(0, fstat(self->store, &st));
	ASSERT_EQ(0, fstat(again, &st_again));
	ASSERT_EQ(0, fstat(shared, &st_shared));
	EXPECT_EQ(st_shared.st_dev, st.st_dev);
	EXPECT_NE(st_shared.st_ino, st.st_ino);
	EXPECT_NE(st_shared.st_ino, st_again.st_ino);
	EXPECT_NE(st.st_ino, st_again.st_ino);
	close(shared);
	close(again);
}

#define STORES		10000
#define STORE_BYTES	(16 << 10)

/* As an administrator sees it: what the machine has less, and what the group is charged */
TEST_F(private, costs_little)
{
	const struct rlimit many = { STORES + 100, STORES + 100 };
	const char *group = MS_CGROUP "/private_costs_little";
	long long before, charged, most = STORE_BYTES;
	struct utsname kernel;
	int *fds, i;

	/* KASAN and lockdep make each object larger. */
	ASSERT_EQ(0, uname(&kernel));
	if (strstr(kernel.release, "kasan"))
		most = 2 * STORE_BYTES;
	fds = calloc(STORES, sizeof(*fds));
	ASSERT_NE(NULL, fds);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	ASSERT_TRUE(!mkdir(group, 0755) || errno == EEXIST);
	ASSERT_EQ(0, ms_cgroup_write(group, "cgroup.procs", getpid()));
	before = ms_cgroup_read(group, "memory.current", "");
	for (i = 0; i < STORES; i++) {
		fds[i] = ms_create(self->fd, O_RDWR, (struct metastore_create) {});
		ASSERT_LE(0, fds[i]);
	}
	charged = (ms_cgroup_read(group, "memory.current", "") - before) / STORES;
	TH_LOG("%lld bytes a store", charged);
	EXPECT_LT(0, charged);
	EXPECT_GT(most, charged);
	/* They are stores: each has its own value, at the place that it says */
	for (i = 0; i < STORES; i += 97)
		ASSERT_EQ(0, ms_setn(fds[i], "k", 1, &i, sizeof(i), NULL));
	for (i = 0; i < STORES; i += 97) {
		int value;

		ASSERT_EQ(sizeof(i), ms_getn(fds[i], "k", 1, &value, sizeof(value), NULL));
		ASSERT_EQ(i, value);
	}
	ms_close_many(fds, STORES);
	free(fds);
	ASSERT_EQ(0, ms_cgroup_write(MS_CGROUP, "cgroup.procs", getpid()));
	rmdir(group);
}

static const struct metastore_create least = {
	.buckets = 1,
	.max_value = 1,
	.queue_len = 1,
	.queue_bytes = 4096,
	.max_keys = 1,
	.max_bytes = 4096,
};

TEST_F(private, limits_of_its_own)
{
	struct metastore_create limits = least;
	struct metastore_info info;
	int fd, fd2;

	fd = ms_create(self->fd, O_RDWR | O_NONBLOCK, limits);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_info(fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(1, info.buckets);
	EXPECT_EQ(1, info.max_value);
	EXPECT_EQ(1, info.queue_len);
	EXPECT_EQ(4096, info.queue_bytes);
	EXPECT_EQ(1, info.max_keys);
	EXPECT_EQ(4096, info.max_bytes);
	/* They hold */
	EXPECT_EQ(-EMSGSIZE, ms_set(fd, "k", "vv", NULL));
	EXPECT_EQ(0, ms_set(fd, "k", "v", NULL));
	EXPECT_EQ(-ENOSPC, ms_set(fd, "l", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(fd, "k", 0, 0));
	EXPECT_EQ(1, ms_publish(fd, "k", "1", NULL));
	EXPECT_EQ(1, ms_publish(fd, "k", "2", NULL));
	{
		struct ms_reader r = ms_reader(fd, 4096);

		EXPECT_EVENT(&r, .type = METASTORE_EVENT_LOST, .version = 1);
		EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED, .key = "k", .value = "2");
		EXPECT_TRUE(ms_silent(fd));
	}

	/* From a private one they are inherited too, but for what is said */
	fd2 = ms_create(fd, O_RDWR, (struct metastore_create) { .max_value = 7 });
	ASSERT_LE(0, fd2);
	ASSERT_EQ(0, ms_info(fd2, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(1, info.buckets);
	EXPECT_EQ(7, info.max_value);
	EXPECT_EQ(1, info.queue_len);
	EXPECT_EQ(1, info.max_keys);
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.subscriptions);
}

/* The other end of each range, as module_test.sh has them for the parameters */
TEST_F(private, largest_limits)
{
	struct metastore_create limits = {
		.buckets = 65536,
		.max_value = 16 << 20,
		.queue_len = 1 << 20,
		.queue_bytes = 1 << 30,
		.max_keys = 1ULL << 31,
		.max_bytes = (1ULL << 63) - 1,
	};
	struct metastore_info info;
	int fd;

	fd = ms_create(self->fd, O_RDWR, limits);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_info(fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(65536, info.buckets);
	EXPECT_EQ(16 << 20, info.max_value);
	EXPECT_EQ(1 << 20, info.queue_len);
	EXPECT_EQ(1 << 30, info.queue_bytes);
	EXPECT_EQ(1ULL << 31, info.max_keys);
	EXPECT_EQ((1ULL << 63) - 1, info.max_bytes);
}

static int descriptors(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Refused: no descriptor more, and the argument as it was */
static void expect_none(struct __test_metadata *_metadata, int fd, int err,
			struct metastore_create arg)
{
	struct metastore_create copy = arg;
	int next = descriptors();

	EXPECT_EQ(err, ms_ioctl(fd, METASTORE_IOC_CREATE, &arg));
	EXPECT_EQ(0, memcmp(&copy, &arg, sizeof(arg)));
	EXPECT_EQ(next, descriptors());
}

TEST_F(private, einval_limits)
{
	const struct metastore_create wrong[] = {
		{ .buckets = 65537 }, { .buckets = ~0U },
		{ .max_value = (16 << 20) + 1 }, { .max_value = ~0U },
		{ .queue_len = (1 << 20) + 1 }, { .queue_len = ~0U },
		{ .queue_bytes = 1 }, { .queue_bytes = 4095 }, { .queue_bytes = (1 << 30) + 1 },
		{ .queue_bytes = ~0U },
		{ .max_keys = (1ULL << 31) + 1 }, { .max_keys = ~0ULL },
		{ .max_bytes = 1 }, { .max_bytes = 4095 }, { .max_bytes = 1ULL << 63 },
		{ .max_bytes = ~0ULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		expect_none(_metadata, self->fd, -EINVAL, wrong[i]);
}

/* Without the capability nothing is larger than in the store at hand, but the buckets */
TEST_F(private, eperm_limits)
{
	const struct metastore_info *info = &self->info;
	const struct metastore_create wider[] = {
		{ .max_value = info->max_value + 1 }, { .queue_len = info->queue_len + 1 },
		{ .queue_bytes = info->queue_bytes + 1 }, { .max_keys = info->max_keys + 1 },
		{ .max_bytes = info->max_bytes + 1 },
	};
	const struct metastore_create others[] = {
		least, {}, { .buckets = info->buckets + 1 },
		{ .max_value = info->max_value, .max_keys = info->max_keys },
	};
	pid_t pid;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wider); i++)
		EXPECT_LE(0, ms_create(self->fd, O_RDWR, wider[i]));
	pid = ms_fork();
	if (!pid) {
		if (setresuid(1000, 1000, 1000))
			_exit(1);
		for (i = 0; i < ARRAY_SIZE(wider); i++)
			if (ms_create(self->fd, O_RDWR, wider[i]) != -EPERM)
				_exit(10 + i);
		for (i = 0; i < ARRAY_SIZE(others); i++)
			if (ms_create(self->fd, O_RDWR, others[i]) < 0)
				_exit(20 + i);
		_exit(0);
	}
	EXPECT_EQ(0, ms_join(pid));
}

/* What a descriptor may be opened with; all else is unknown */
#define KNOWN_OPEN_FLAGS	(O_ACCMODE | O_NONBLOCK | O_CLOEXEC)

TEST_F(private, einval_open_flags)
{
	struct metastore_open open;
	int bit;

	for (bit = 0; bit < 32; bit++) {
		__u32 flags = O_RDWR | 1U << bit;

		if (KNOWN_OPEN_FLAGS & 1U << bit)
			continue;
		expect_none(_metadata, self->fd, -EINVAL,
			    (struct metastore_create) { .open_flags = flags });
		open = (struct metastore_open) { .open_flags = flags };
		EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, METASTORE_IOC_OPEN, &open));
		EXPECT_EQ(-EINVAL, ms_ioctl(self->store, METASTORE_IOC_OPEN, &open));
	}
	expect_none(_metadata, self->fd, -EINVAL,
		    (struct metastore_create) { .open_flags = O_ACCMODE });
	EXPECT_EQ(-EINVAL, ms_reopen(self->store, O_ACCMODE));
}

TEST_F(private, ebadf)
{
	int fd = ms_open(O_RDONLY), reader = ms_reopen(self->store, O_RDONLY);

	expect_none(_metadata, fd, -EBADF, (struct metastore_create) { .open_flags = O_RDWR });
	expect_none(_metadata, fd, -EBADF, (struct metastore_create) { .open_flags = O_RDONLY });
	expect_none(_metadata, reader, -EBADF, (struct metastore_create) {});
	close(fd);
	fd = ms_open(O_WRONLY);
	/* To write is enough to make one that is read too */
	fd = ms_create(fd, O_RDWR, (struct metastore_create) {});
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, ms_set(fd, "k", "v", NULL));
	EXPECT_STREQ("v", ms_str(fd, "k"));
}

TEST_F(private, emfile)
{
	struct rlimit limit, none;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = descriptors();
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, ms_create(self->fd, O_RDWR, (struct metastore_create) {}));
	EXPECT_EQ(-EMFILE, ms_reopen(self->store, O_RDWR));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_LE(0, ms_create(self->fd, O_RDWR, (struct metastore_create) {}));
	EXPECT_LE(0, ms_reopen(self->store, O_RDWR));
}

/* Of the descriptor, by CREATE and OPEN alike */
TEST_F(private, open_flags)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const int others[] = { 0, O_NONBLOCK, O_CLOEXEC, O_NONBLOCK | O_CLOEXEC };
	size_t m, o;
	int i, fd;

	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		for (o = 0; o < ARRAY_SIZE(others); o++) {
			struct metastore_create create = { .open_flags = modes[m] | others[o] };
			struct metastore_open open = { .open_flags = modes[m] | others[o] };

			for (i = 0; i < 2; i++) {
				fd = i ? ms_ioctl(self->fd, METASTORE_IOC_CREATE, &create) :
					 ms_ioctl(self->store, METASTORE_IOC_OPEN, &open);
				ASSERT_LE(0, fd);
				EXPECT_EQ(modes[m] | (others[o] & O_NONBLOCK),
					  fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
				EXPECT_EQ(others[o] & O_CLOEXEC ? FD_CLOEXEC : 0,
					  fcntl(fd, F_GETFD));
				EXPECT_EQ(modes[m] == O_RDONLY ? -EBADF : 0,
					  ms_set(fd, "k", "v", NULL));
				EXPECT_EQ(modes[m] == O_WRONLY ? -EBADF : 0,
					  ms_subscribe(fd, "k", 0, 0));
				close(fd);
			}
		}
	}
}

/* Nobody else's */
TEST_F(private, isolation)
{
	int other = ms_create(self->fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {});
	int fds[] = { self->fd, self->store, other }, i, j;
	static const char * const values[] = { "machine's", "private", "another" };
	struct metastore_flush flush;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, ms_subscribe(fds[i], "k", EVENTS_ALL, i));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(1, ms_publish(fds[i], "k", values[i], NULL));
		for (j = 0; j < 3; j++) {
			EXPECT_EQ(1, ms_subscribers(fds[j], "k"));
			EXPECT_EQ(j <= i, ms_keys(fds[j]));
			if (j == i)
				EXPECT_LT(0, ms_read(fds[j], (char[128]) {}, 128));
			EXPECT_TRUE(ms_silent(fds[j]));
		}
	}
	for (i = 0; i < 3; i++)
		EXPECT_STREQ(values[i], ms_str(fds[i], "k"));
	/* To flush one leaves the others alone, with all that they have */
	ASSERT_EQ(0, ms_flush(self->store, NULL, METASTORE_ANY_BUCKET,
			      METASTORE_FLUSH_SUBSCRIPTIONS, &flush));
	EXPECT_EQ(1, flush.values);
	EXPECT_EQ(1, flush.subscriptions);
	EXPECT_STREQ("machine's", ms_str(self->fd, "k"));
	EXPECT_STREQ("another", ms_str(other, "k"));
	EXPECT_EQ(1, ms_subscribers(other, "k"));
	EXPECT_TRUE(ms_silent(other));
	EXPECT_TRUE(ms_silent(self->fd));
}

/* Keys are placed by a secret of each store's own */
TEST_F(private, buckets_differ)
{
	int store = ms_create(self->fd, O_RDWR,
			      (struct metastore_create) { .buckets = self->info.buckets });
	__u32 i, same = 0;

	ASSERT_LE(0, store);
	for (i = 0; i < 100; i++)
		same += ms_bucketn(self->fd, &i, sizeof(i)) ==
			ms_bucketn(store, &i, sizeof(i));
	ASSERT_LT(100, self->info.buckets);
	EXPECT_GT(50, same);
	close(store);
}

/* Every command there is */
TEST_F(private, every_command)
{
	struct ms_reader r = ms_reader(self->store, 4096);
	struct metastore_op op = ms_op_delete("k");
	char buf[METASTORE_LIST_MIN];
	struct metastore_list list = {
		.buffer = ms_ptr(buf),
		.buffer_len = sizeof(buf),
		.bucket = METASTORE_ANY_BUCKET,
	};
	struct metastore_flush flush;
	struct metastore_stat st;
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->store, "k", EVENTS_ALL, 3));
	EXPECT_EQ(1, ms_subscribers(self->store, "k"));
	ASSERT_EQ(0, ms_set(self->store, "k", "1", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 3, .version = version,
		     .key = "k", .value = "1");
	ASSERT_EQ(1, ms_publish(self->store, "k", "2", &version));
	EXPECT_EQ(POLLIN, ms_poll(self->store, 0));
	EXPECT_EQ(56, ms_pending(self->store));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_PUBLISHED, .cookie = 3, .version = version,
		     .key = "k", .value = "2");
	EXPECT_STREQ("2", ms_str(self->store, "k"));
	ASSERT_EQ(0, ms_stat(self->store, "k", &st));
	EXPECT_EQ(version, st.version);
	EXPECT_EQ(getpid(), st.tgid);
	EXPECT_EQ(ms_bucket(self->store, "k"), st.bucket);
	ASSERT_EQ(0, ms_ioctl(self->store, METASTORE_IOC_LIST, &list));
	EXPECT_EQ(1, list.entries);
	ASSERT_EQ(0, ms_batch(self->store, &op, 1, METASTORE_BATCH_ATOMIC, NULL));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED, .cookie = 3, .version = op.version,
		     .key = "k", .value = "2");
	ASSERT_EQ(0, ms_set(self->store, "k", "3", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 3, .version = version,
		     .key = "k", .value = "3");
	ASSERT_EQ(0, ms_delete(self->store, "k", &version));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED, .cookie = 3, .version = version,
		     .key = "k", .value = "3");
	ASSERT_EQ(0, ms_set(self->store, "l", "4", NULL));
	ASSERT_EQ(0, ms_flush(self->store, "l", METASTORE_ANY_BUCKET, 0, &flush));
	EXPECT_EQ(1, flush.values);
	ASSERT_EQ(0, ms_unsubscribe(self->store, "k"));
	EXPECT_EQ(0, ms_subscribers(self->store, "k"));
	EXPECT_TRUE(ms_silent(self->store));
	EXPECT_EQ(0, ms_keys(self->fd));
}

TEST_F(private, fdinfo)
{
	char path[64], line[128];
	int found = 0;
	FILE *f;

	ASSERT_EQ(0, ms_subscribe(self->store, "k", 0, 0));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->store);
	f = fopen(path, "r");
	ASSERT_TRUE(!!f);
	while (fgets(line, sizeof(line), f))
		found += !strcmp(line, "subscriptions:\t1\n");
	EXPECT_EQ(1, found);
}

/* Nothing has a name to be opened by, not even under /proc */
TEST_F(private, no_way_in_by_proc)
{
	char path[64];
	int fd;

	ASSERT_EQ(0, ms_set(self->store, "k", "secret", NULL));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->store);
	fd = open(path, O_RDWR);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(ENXIO, errno);
}

/* OPEN */

/* One more open file on the same store: what it subscribes to and owns is its own */
TEST_F(private, open)
{
	int fd = ms_reopen(self->store, O_RDWR | O_NONBLOCK);
	struct ms_reader r = ms_reader(fd, 4096);
	__u64 version;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_subscribe(self->store, "k", EVENTS_ALL, 1));
	ASSERT_EQ(0, ms_subscribe(fd, "k", EVENTS_ALL, 2));
	EXPECT_EQ(2, ms_subscribers(fd, "k"));
	ASSERT_EQ(0, ms_own(self->store, "k", "v", &version));
	EXPECT_STREQ("v", ms_str(fd, "k"));
	EXPECT_EQ(METASTORE_OWNER_OTHER, ms_owner(fd, "k"));
	EXPECT_EQ(-EBUSY, ms_set(fd, "k", "w", NULL));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_SET, .cookie = 2, .version = version,
		     .key = "k", .value = "v");
	EXPECT_TRUE(ms_silent(fd));
	EXPECT_EQ(56, ms_pending(self->store));
	close(self->store);
	EXPECT_EVENT(&r, MS_ENDED(.tgid = getpid()), .cookie = 2, .newer = version, .key = "k",
		     .value = "v");
	EXPECT_EQ(1, ms_subscribers(fd, "k"));
	EXPECT_EQ(0, ms_set(fd, "k", "w", NULL));
}

/* The machine's store too, without going by the device's permissions */
TEST_F(private, open_the_machines)
{
	pid_t pid;

	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	pid = ms_fork();
	if (!pid) {
		int fd;

		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000) || ms_open(O_RDONLY) != -EACCES)
			_exit(1);
		fd = ms_reopen(self->fd, O_RDWR);
		_exit(fd < 0 || strcmp(ms_str(fd, "k"), "v") || ms_set(fd, "k", "w", NULL));
	}
	EXPECT_EQ(0, ms_join(pid));
	EXPECT_STREQ("w", ms_str(self->fd, "k"));
}

/* Never more than the descriptor it is made from */
TEST_F(private, open_eacces)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const int can[] = { POLLIN, POLLOUT, POLLIN | POLLOUT };
	size_t from, to;
	int fd, fd2, i;

	for (i = 0; i < 2; i++) {
		for (from = 0; from < 3; from++) {
			fd = i ? ms_open(modes[from]) : ms_reopen(self->store, modes[from]);
			ASSERT_LE(0, fd);
			for (to = 0; to < 3; to++) {
				fd2 = ms_reopen(fd, modes[to]);
				if (can[to] & ~can[from]) {
					EXPECT_EQ(-EACCES, fd2);
					continue;
				}
				EXPECT_LE(0, fd2);
				/* Nor does one get back by a second step */
				if (can[to] != (POLLIN | POLLOUT))
					EXPECT_EQ(-EACCES, ms_reopen(fd2, O_RDWR));
				close(fd2);
			}
			close(fd);
		}
	}
	/* One that can do nothing hands out nothing */
	fd = ms_open(O_ACCMODE);
	ASSERT_LE(0, fd);
	for (to = 0; to < 3; to++)
		EXPECT_EQ(-EACCES, ms_reopen(fd, modes[to]));
}

/* Lifetime */

static long references(void)
{
	char buf[32];
	int fd = open("/sys/module/metastore/refcnt", O_RDONLY), len;

	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	buf[len > 0 ? len : 0] = '\0';
	return strtol(buf, NULL, 10);
}

/* Each descriptor is one reference to the module, which cannot be unloaded then */
TEST_F(private, keeps_the_module)
{
	long before = references();
	int fd = ms_reopen(self->store, O_RDONLY);

	EXPECT_LT(0, before);
	EXPECT_EQ(before + 1, references());
	close(self->fd);
	close(self->store);
	EXPECT_EQ(before - 1, references());
	EXPECT_EQ(-1, syscall(SYS_delete_module, "metastore", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, ms_keys(fd));
	close(fd);
	EXPECT_EQ(before - 2, references());
}

/* As long as there is a descriptor, whichever that is */
TEST_F(private, lives_with_its_last_descriptor)
{
	int fd, i;

	ASSERT_EQ(0, ms_set(self->store, "k", "v", NULL));
	fd = self->store;
	for (i = 0; i < 20; i++) {
		int next = i % 2 ? dup(fd) : ms_reopen(fd, O_RDWR);

		ASSERT_LE(0, next);
		close(fd);
		fd = next;
		ASSERT_STREQ("v", ms_str(fd, "k"));
	}
}

TEST_F(private, inherited)
{
	pid_t pid;
	int go[2];
	char c;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, ms_set(self->store, "k", "v", NULL));
	pid = ms_fork();
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], &c, 1) || strcmp(ms_str(self->store, "k"), "v") ||
		      ms_set(self->store, "k", "w", NULL));
	}
	close(self->store);
	close(go[1]);
	EXPECT_EQ(0, ms_join(pid));
}

TEST_F(private, passed_over_a_socket)
{
	int socks[2], fd;
	pid_t pid;
	char c;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	ASSERT_EQ(0, ms_set(self->store, "k", "v", NULL));
	pid = ms_fork();
	if (!pid) {
		close(self->store);
		close(socks[0]);
		fd = ms_receive_fd(socks[1]);
		/* It was handed out for reading alone */
		_exit(fd < 0 || strcmp(ms_str(fd, "k"), "v") ||
		      ms_set(fd, "k", "w", NULL) != -EBADF || ms_reopen(fd, O_RDWR) != -EACCES ||
		      write(socks[1], "", 1) != 1);
	}
	close(socks[1]);
	fd = ms_reopen(self->store, O_RDONLY);
	ASSERT_EQ(0, ms_send_fd(socks[0], fd));
	close(fd);
	close(self->store);
	EXPECT_EQ(1, read(socks[0], &c, 1));
	EXPECT_EQ(0, ms_join(pid));
}

/* With values, events, subscriptions, owners and times to live in it */
TEST_F(private, goes_with_all_it_has)
{
	long before = references();
	__u32 i, n, times = ms_times(40);

	for (i = 0; i < times; i++) {
		int fd = ms_create(self->fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {});
		int fd2 = ms_reopen(fd, O_RDWR | O_NONBLOCK);

		ASSERT_LE(0, fd2);
		for (n = 0; n < 100; n++) {
			struct metastore_set arg = {
				.key = ms_ptr(&n),
				.value = ms_ptr(&self->info),
				.key_len = sizeof(n),
				.value_len = sizeof(self->info),
				.flags = n % 2 ? METASTORE_F_OWNED : 0,
				.ttl = n % 3 ? 1 + n % 20 : 0,
			};

			ASSERT_EQ(0, ms_subscriben(fd2, &n, sizeof(n), EVENTS_ALL, n));
			ASSERT_EQ(0, ms_ioctl(n % 4 ? fd : fd2, METASTORE_IOC_SET, &arg));
		}
		close(i % 2 ? fd : fd2);
		close(i % 2 ? fd2 : fd);
	}
	EXPECT_EQ(before, references());
}

TEST_F(private, owners)
{
	int fd = ms_reopen(self->store, O_RDWR);
	struct ms_reader r = ms_reader(self->store, 4096);
	__u64 version;
	pid_t pid;

	ASSERT_EQ(0, ms_subscribe(self->store, "k", METASTORE_EVENT_DELETED, 1));
	ASSERT_EQ(0, ms_own(self->fd, "k", "machine's", NULL));
	ASSERT_EQ(0, ms_own(fd, "k", "v", &version));
	pid = ms_fork();
	if (!pid)
		_exit(3);
	close(fd);
	ASSERT_EQ(3, ms_join(pid));
	ASSERT_TRUE(ms_await(&r));
	ASSERT_TRUE(!!ms_next(&r));
	EXPECT_STREQ("ENOENT", ms_str(self->store, "k"));
	EXPECT_STREQ("machine's", ms_str(self->fd, "k"));
}

TEST_F(private, times_to_live)
{
	struct ms_reader r = ms_reader(self->store, 4096);
	__u64 version;

	ASSERT_EQ(0, ms_subscribe(self->store, "k", METASTORE_EVENT_DELETED, 1));
	ASSERT_EQ(0, ms_set(self->fd, "k", "machine's", NULL));
	ASSERT_EQ(0, ms_set_ttl(self->store, "k", "v", 5, &version));
	ASSERT_TRUE(ms_await(&r));
	EXPECT_EVENT(&r, .type = METASTORE_EVENT_DELETED, .flags = METASTORE_EVENT_F_EXPIRED,
		     .cookie = 1, .newer = version, .key = "k", .value = "v");
	EXPECT_STREQ("machine's", ms_str(self->fd, "k"));
}

/* Who may end others' subscriptions */

/* In a child of that user; returns what FLUSH said */
static int flush_as(int fd, uid_t uid)
{
	struct metastore_flush arg;
	pid_t pid = ms_fork();
	int ret;

	if (!pid) {
		if (setresuid(uid, uid, uid))
			_exit(255);
		ret = ms_flush(fd, NULL, METASTORE_ANY_BUCKET, METASTORE_FLUSH_SUBSCRIPTIONS, &arg);
		if (ret && (arg.values != POISON64 || arg.subscriptions != POISON64))
			_exit(254);
		_exit(-ret);
	}
	return -ms_join(pid);
}

/* A store that user 1000 made; it comes by a socket */
static int made_by_1000(int fd)
{
	pid_t pid;
	int socks[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		return -errno;
	pid = ms_fork();
	if (!pid) {
		if (setresuid(1000, 1000, 1000))
			_exit(1);
		fd = ms_create(fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {});
		_exit(fd < 0 || ms_send_fd(socks[1], fd));
	}
	if (ms_join(pid))
		return -1;
	return ms_receive_fd(socks[0]);
}

TEST_F(private, flush_subscriptions)
{
	int fd = made_by_1000(self->fd);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ms_set(fd, "k", "v", NULL));
	ASSERT_EQ(0, ms_subscribe(fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(-EPERM, flush_as(fd, 1001));
	EXPECT_STREQ("v", ms_str(fd, "k"));
	EXPECT_EQ(1, ms_subscribers(fd, "k"));
	EXPECT_TRUE(ms_silent(fd));
	/* Its maker, and who may do anything */
	EXPECT_EQ(0, flush_as(fd, 1000));
	EXPECT_EQ(0, ms_subscribers(fd, "k"));
	EXPECT_STREQ("ENOENT", ms_str(fd, "k"));
	ASSERT_EQ(0, ms_subscribe(fd, "k", EVENTS_ALL, 0));
	EXPECT_EQ(0, flush_as(fd, 0));
	EXPECT_EQ(0, ms_subscribers(fd, "k"));
}

/* That one made a store gives no right over another's, nor over the machine's */
TEST_F(private, flush_subscriptions_eperm)
{
	ASSERT_LE(0, made_by_1000(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->store, "k", 0, 0));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", 0, 0));
	EXPECT_EQ(-EPERM, flush_as(self->store, 1000));
	EXPECT_EQ(-EPERM, flush_as(self->fd, 1000));
	EXPECT_EQ(1, ms_subscribers(self->store, "k"));
	EXPECT_EQ(1, ms_subscribers(self->fd, "k"));
}

/* Many at once */

/* Stores are made, used, opened again and given up by all at the same time */
TEST_F(private, come_and_go)
{
	long before = references();
	__u32 i, n, times = ms_times(300);

	for (i = 0; i < 4; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			int fd = ms_create(self->fd, O_RDWR | O_NONBLOCK,
					   (struct metastore_create) { .buckets = 1 + n % 50 });
			int fd2 = ms_reopen(fd, O_RDWR | O_NONBLOCK);

			CHECK(fd >= 0 && fd2 >= 0);
			CHECK(!ms_subscribe(fd2, "k", EVENTS_ALL, 0));
			CHECK(!ms_set_ttl(fd, "k", "v", n % 3, NULL));
			CHECK(!ms_own(fd, "l", "v", NULL));
			CHECK(ms_pending(fd2) == 56);
			close(fd);
			CHECK(!strcmp(ms_str(fd2, "l"), "ENOENT"));
			close(fd2);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 4));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(before, references());
}

/* The only descriptor is on its way to another process, or has just come */
TEST_F(private, handed_over)
{
	__u32 n, times = ms_times(300);
	int socks[2], fd;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks));
	if (crew_child()) {
		close(socks[0]);
		for (n = 0; n < times; n++) {
			fd = ms_receive_fd(socks[1]);
			CHECK(fd >= 0);
			CHECK(!strcmp(ms_str(fd, "k"), "v"));
			close(fd);
		}
		_exit(0);
	}
	close(socks[1]);
	crew_start();
	for (n = 0; n < times; n++) {
		fd = ms_create(self->fd, O_RDWR, (struct metastore_create) { .buckets = 2 });
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ms_set(fd, "k", "v", NULL));
		ASSERT_EQ(0, ms_send_fd(socks[0], fd));
		close(fd);
	}
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
}

TEST_HARNESS_MAIN
