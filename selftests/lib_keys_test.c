// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore: conditions, owners and times to live. Like lib_test.c, about what
 * the library makes of them.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_keys_test.h"

/* How long to wait for what must come: a loaded machine is slow. */
#define PATIENCE_MS	60000

static int delete_with(struct mstore *store, const struct mstore_options *options,
		       uint64_t *version)
{
	return mstore_delete_with(store, KEY, strlen(KEY), options, version);
}

/* Waits for the next event, which must be alone. */
static const struct mstore_event *one_event(struct mstore *store,
					    struct mstore_event_buffer *buffer)
{
	if (mstore_wait(store, PATIENCE_MS) != 1 || mstore_read_events(store, buffer) != 1)
		return NULL;
	return mstore_event_next(buffer, NULL);
}

/* Conditions */

TEST_F(store, create_only)
{
	const struct mstore_options create = { .flags = MSTORE_CREATE };
	uint64_t first = 0, version = POISON;

	EXPECT_EQ(0, set_with(self->store, "first", &create, &first));
	EXPECT_ERRNO(EEXIST, set_with(self->store, "second", &create, &version));
	EXPECT_EQ(first, version);
	EXPECT_ERRNO(EEXIST, set_with(self->store, "second", &create, NULL));
	EXPECT_TRUE(holds(self->store, "first"));
}

TEST_F(store, replace_only)
{
	const struct mstore_options replace = { .flags = MSTORE_REPLACE };
	uint64_t first = 0, version = POISON;

	EXPECT_ERRNO(ENOENT, set_with(self->store, "first", &replace, &version));
	EXPECT_EQ(POISON, version);
	EXPECT_TRUE(holds(self->store, NULL));

	EXPECT_EQ(0, set_with(self->store, "first", NULL, &first));
	EXPECT_EQ(0, set_with(self->store, "second", &replace, &version));
	EXPECT_LT(first, version);
	EXPECT_TRUE(holds(self->store, "second"));
}

TEST_F(store, if_version)
{
	struct mstore_options options = { .flags = MSTORE_IF_VERSION, .version = 1 };
	uint64_t first = 0, version = POISON;

	EXPECT_ERRNO(ESTALE, set_with(self->store, "first", &options, &version));
	EXPECT_EQ(0, version);

	options.version = 0;
	EXPECT_EQ(0, set_with(self->store, "first", &options, &first));
	EXPECT_NE(0, first);
	EXPECT_ERRNO(ESTALE, set_with(self->store, "second", &options, &version));
	EXPECT_EQ(first, version);
	EXPECT_ERRNO(ESTALE, set_with(self->store, "second", &options, NULL));
	EXPECT_TRUE(holds(self->store, "first"));

	options.version = first;
	EXPECT_EQ(0, set_with(self->store, "second", &options, &version));
	EXPECT_LT(first, version);
	EXPECT_TRUE(holds(self->store, "second"));
}

TEST_F(store, publish_with)
{
	struct mstore_options options = { .flags = MSTORE_CREATE };
	const struct mstore_event *event;
	uint64_t first = 0, version = POISON;

	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), ALL, 0));
	EXPECT_EQ(1, mstore_publish_with(self->store, KEY, strlen(KEY), "first", 5, &options,
					 &first));
	event = one_event(self->store, self->buffer);
	ASSERT_NE(NULL, event);
	EXPECT_EQ(MSTORE_EVENT_PUBLISHED, mstore_event_type(event));
	EXPECT_EQ(first, mstore_event_version(event));

	EXPECT_ERRNO(EEXIST, mstore_publish_with(self->store, KEY, MSTORE_STRLEN, "second",
						 MSTORE_STRLEN, &options, &version));
	EXPECT_EQ(first, version);
	options.flags = MSTORE_IF_VERSION;
	EXPECT_ERRNO(ESTALE, mstore_publish_with(self->store, KEY, strlen(KEY), "second", 6,
						 &options, NULL));
	EXPECT_EQ(0, mstore_wait(self->store, 0));

	options.version = first;
	EXPECT_EQ(1, mstore_publish_with(self->store, KEY, strlen(KEY), "second", 6, &options,
					 NULL));
	EXPECT_EQ(1, mstore_publish_with(self->store, KEY, MSTORE_STRLEN, "third",
					 MSTORE_STRLEN, NULL, NULL));
	EXPECT_TRUE(holds(self->store, "third"));
}

TEST_F(store, set_with_none)
{
	const struct mstore_options none = { 0 }, unused = { .version = 12345 };
	uint64_t version = 0;

	EXPECT_EQ(0, mstore_set_with(self->store, KEY, MSTORE_STRLEN, "value", MSTORE_STRLEN,
				     NULL, NULL));
	EXPECT_TRUE(holds(self->store, "value"));
	EXPECT_EQ(0, set_with(self->store, "", &none, NULL));
	EXPECT_TRUE(holds(self->store, ""));
	EXPECT_EQ(0, set_with(self->store, "other", &unused, &version));
	EXPECT_LT(12345, version);
	EXPECT_TRUE(holds(self->store, "other"));
	EXPECT_EQ(0, delete_with(self->store, &unused, NULL));

	EXPECT_ERRNO(EINVAL, mstore_set_with(self->store, KEY, 0, "v", 1, &none, NULL));
	EXPECT_ERRNO(EINVAL, mstore_set_with(self->store, KEY, MSTORE_KEY_MAX + 1, "v", 1,
					     &none, NULL));
	EXPECT_ERRNO(EMSGSIZE, mstore_set_with(self->store, KEY, strlen(KEY), "v", SIZE_MAX,
					       &none, NULL));
	EXPECT_ERRNO(EFAULT, mstore_set_with(self->store, KEY, strlen(KEY), (void *)1, 1,
					     &none, NULL));
}

TEST_F(store, delete_with)
{
	struct mstore_options options = { .flags = MSTORE_IF_VERSION };
	uint64_t first = 0, version = POISON;

	EXPECT_ERRNO(ENOENT, delete_with(self->store, NULL, &version));
	EXPECT_EQ(POISON, version);
	options.version = 1;
	EXPECT_ERRNO(ESTALE, delete_with(self->store, &options, &version));
	EXPECT_EQ(0, version);

	ASSERT_EQ(0, set_with(self->store, "value", NULL, &first));
	EXPECT_ERRNO(ESTALE, delete_with(self->store, &options, &version));
	EXPECT_EQ(first, version);
	EXPECT_ERRNO(ESTALE, delete_with(self->store, &options, NULL));
	EXPECT_TRUE(holds(self->store, "value"));

	options.version = first;
	EXPECT_EQ(0, delete_with(self->store, &options, &version));
	EXPECT_LT(first, version);
	EXPECT_TRUE(holds(self->store, NULL));

	ASSERT_EQ(0, set_with(self->store, "value", NULL, NULL));
	EXPECT_EQ(0, mstore_delete_with(self->store, KEY, MSTORE_STRLEN, NULL, NULL));
}

TEST_F(store, bad_options)
{
	static const struct mstore_options bad[] = {
		{ .flags = MSTORE_CREATE | MSTORE_REPLACE },
		{ .flags = MSTORE_CREATE | MSTORE_IF_VERSION },
		{ .flags = MSTORE_REPLACE | MSTORE_IF_VERSION },
		{ .flags = 64 },
		{ .flags = -1 },
		{ .timeout_ms = 1 },
		{ .ttl_ms = MSTORE_TTL_MAX + 1 },
		{ .ttl_ms = UINT64_MAX },
	}, bad_delete[] = {
		{ .flags = MSTORE_CREATE },
		{ .flags = MSTORE_REPLACE },
		{ .flags = MSTORE_OWNED },
		{ .flags = MSTORE_WAIT },
		{ .flags = 64 },
		{ .timeout_ms = 1 },
		{ .ttl_ms = 1 },
	};
	struct mstore_options options;
	uint64_t version = POISON;

	ASSERT_EQ(0, set_with(self->store, "value", NULL, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, set_with(self->store, "v", &bad[i], &version))
			TH_LOG("options %zu", i);
		EXPECT_EQ(EINVAL, errno);
		EXPECT_ERRNO(EINVAL, mstore_publish_with(self->store, KEY, strlen(KEY), "v", 1,
							 &bad[i], &version));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_delete); i++) {
		EXPECT_EQ(-1, delete_with(self->store, &bad_delete[i], &version))
			TH_LOG("options %zu", i);
		EXPECT_EQ(EINVAL, errno);
	}
	for (size_t i = 0; i < ARRAY_SIZE(options.reserved); i++) {
		memset(&options, 0, sizeof(options));
		options.reserved[i] = 1ULL << 40;
		EXPECT_ERRNO(EINVAL, set_with(self->store, "v", &options, &version));
		EXPECT_ERRNO(EINVAL, mstore_publish_with(self->store, KEY, strlen(KEY), "v", 1,
							 &options, &version));
		EXPECT_ERRNO(EINVAL, delete_with(self->store, &options, &version));
	}
	EXPECT_EQ(POISON, version);
	EXPECT_TRUE(holds(self->store, "value"));
}

/* The options as each command gets to see them */
static union {
	struct metastore_set set;
	struct metastore_delete delete;
} seen;
static size_t seen_size;

static int record(void *arg)
{
	memcpy(&seen, arg, seen_size);
	return -ESTALE;
}

TEST(options_as_asked)
{
	const struct mstore_options options = {
		.flags = MSTORE_IF_VERSION | MSTORE_OWNED | MSTORE_STEAL,
		.version = 0x1122334455667788, .ttl_ms = 0x99aabbccdd,
	};
	struct mstore *store = mstore_open("/dev/null", MSTORE_WRITE);

	fake_kernel = record;
	seen_size = sizeof(seen.set);
	EXPECT_ERRNO(ESTALE, mstore_set_with(store, "key", 3, "value", 5, &options, NULL));
	EXPECT_EQ(METASTORE_F_IF_VERSION | METASTORE_F_OWNED | METASTORE_F_STEAL, seen.set.flags);
	EXPECT_EQ(options.version, seen.set.version);
	EXPECT_EQ(options.ttl_ms, seen.set.ttl);
	EXPECT_EQ(3, seen.set.key_len);
	EXPECT_EQ(5, seen.set.value_len);
	EXPECT_ERRNO(ESTALE, mstore_set(store, "key", 3, "value", 5, NULL));
	EXPECT_EQ(0, seen.set.flags);
	EXPECT_EQ(0, seen.set.version);
	EXPECT_EQ(0, seen.set.ttl);

	seen_size = sizeof(seen.delete);
	EXPECT_ERRNO(EINVAL, mstore_delete_with(store, "key", 3, &options, NULL));
	EXPECT_ERRNO(ESTALE, mstore_delete_with(store, "key", 3, &(struct mstore_options) {
			.flags = MSTORE_IF_VERSION | MSTORE_STEAL, .version = options.version,
		}, NULL));
	EXPECT_EQ(METASTORE_F_IF_VERSION | METASTORE_F_STEAL, seen.delete.flags);
	EXPECT_EQ(options.version, seen.delete.version);
	EXPECT_EQ(3, seen.delete.key_len);
	EXPECT_ERRNO(ESTALE, mstore_delete_with(store, "key", 3, &(struct mstore_options) {
			.version = options.version,
		}, NULL));
	EXPECT_EQ(0, seen.delete.version);
	mstore_close(store);
}

/* Owners */

static const struct mstore_options steal = { .flags = MSTORE_STEAL };

/* Two open stores, of which one watches the other. */
FIXTURE(owner) {
	struct mstore *owner;
	struct mstore *watcher;
	struct mstore_event_buffer *buffer;
};

FIXTURE_SETUP(owner)
{
	self->owner = mstore_open(DEVICE, MSTORE_RDWR | MSTORE_NONBLOCK);
	ASSERT_NE(NULL, self->owner);
	self->watcher = mstore_open(DEVICE, MSTORE_RDWR | MSTORE_NONBLOCK);
	ASSERT_NE(NULL, self->watcher);
	self->buffer = mstore_event_buffer_new(0);
	ASSERT_NE(NULL, self->buffer);
	ASSERT_EQ(0, mstore_flush(self->watcher, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_STEAL, NULL, NULL));
	ASSERT_EQ(0, mstore_subscribe(self->watcher, KEY, strlen(KEY), MSTORE_EVENT_DELETED, 7));
}

FIXTURE_TEARDOWN(owner)
{
	mstore_close(self->owner);
	EXPECT_EQ(0, mstore_flush(self->watcher, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET, 0,
				  NULL, NULL));
	mstore_event_buffer_free(self->buffer);
	mstore_close(self->watcher);
}

TEST_F(owner, refuses_others)
{
	uint64_t version = POISON;

	ASSERT_EQ(0, set_with(self->owner, "mine", &owned, NULL));
	EXPECT_EQ(MSTORE_OWNER_SELF, owner_of(self->owner));
	EXPECT_EQ(MSTORE_OWNER_OTHER, owner_of(self->watcher));
	EXPECT_TRUE(holds(self->watcher, "mine"));

	EXPECT_ERRNO(EBUSY, mstore_set(self->watcher, KEY, strlen(KEY), "v", 1, &version));
	EXPECT_ERRNO(EBUSY, mstore_publish(self->watcher, KEY, strlen(KEY), "v", 1, &version));
	EXPECT_ERRNO(EBUSY, mstore_delete(self->watcher, KEY, strlen(KEY), &version));
	EXPECT_ERRNO(EBUSY, set_with(self->watcher, "v", &owned, &version));
	EXPECT_ERRNO(EBUSY, delete_with(self->watcher, NULL, &version));
	EXPECT_EQ(POISON, version);
	EXPECT_TRUE(holds(self->owner, "mine"));

	/* The next value gets an owner of its own, or none. */
	EXPECT_EQ(0, mstore_set(self->owner, KEY, strlen(KEY), "anybody's", 9, NULL));
	EXPECT_EQ(MSTORE_OWNER_NONE, owner_of(self->owner));
	EXPECT_EQ(0, set_with(self->watcher, "theirs", &owned, NULL));
	EXPECT_EQ(MSTORE_OWNER_OTHER, owner_of(self->owner));
	EXPECT_EQ(MSTORE_OWNER_SELF, owner_of(self->watcher));
}

TEST_F(owner, is_told_of_theft)
{
	const struct mstore_options both = { .flags = MSTORE_OWNED | MSTORE_STEAL };
	const struct mstore_event *event;

	/* It did not ask for what happens. */
	ASSERT_EQ(0, mstore_subscribe(self->owner, KEY, strlen(KEY), 0, 8));
	ASSERT_EQ(0, set_with(self->owner, "mine", &owned, NULL));
	EXPECT_EQ(0, set_with(self->watcher, "stolen", &both, NULL));
	event = one_event(self->owner, self->buffer);
	ASSERT_NE(NULL, event);
	EXPECT_EQ(MSTORE_EVENT_SET, mstore_event_type(event));
	EXPECT_EQ(MSTORE_EVENT_F_STOLEN, mstore_event_flags(event));
	EXPECT_EQ(8, mstore_event_cookie(event));
	EXPECT_EQ(0, memcmp("stolen", mstore_event_value(event, NULL), 6));
	EXPECT_EQ(-1, mstore_event_end(event, NULL, NULL));
	EXPECT_EQ(MSTORE_OWNER_SELF, owner_of(self->watcher));

	EXPECT_ERRNO(EBUSY, delete_with(self->owner, NULL, NULL));
	EXPECT_EQ(0, delete_with(self->owner, &steal, NULL));
	event = one_event(self->watcher, self->buffer);
	ASSERT_NE(NULL, event);
	EXPECT_EQ(MSTORE_EVENT_DELETED, mstore_event_type(event));
	EXPECT_EQ(MSTORE_EVENT_F_STOLEN, mstore_event_flags(event));
}

TEST_F(owner, flush)
{
	uint64_t values = POISON;

	ASSERT_EQ(0, set_with(self->owner, "mine", &owned, NULL));
	EXPECT_EQ(0, mstore_flush(self->watcher, KEY, strlen(KEY), MSTORE_ANY_BUCKET, 0, &values,
				  NULL));
	EXPECT_EQ(0, values);
	EXPECT_TRUE(holds(self->owner, "mine"));
	EXPECT_EQ(0, mstore_flush(self->watcher, KEY, strlen(KEY), MSTORE_ANY_BUCKET,
				  MSTORE_FLUSH_STEAL, &values, NULL));
	EXPECT_EQ(1, values);
	EXPECT_TRUE(holds(self->owner, NULL));
}

/* Expects the watcher to be told how the key's owner went. */
#define EXPECT_END(how, pid, number) do {					\
	const struct mstore_event *_event = one_event(self->watcher, self->buffer); \
	int32_t _tgid = -1;							\
	int _code = -1;								\
										\
	ASSERT_NE(NULL, _event);						\
	EXPECT_EQ(MSTORE_EVENT_DELETED, mstore_event_type(_event));		\
	EXPECT_EQ(MSTORE_EVENT_F_OWNER, mstore_event_flags(_event));		\
	EXPECT_EQ(7, mstore_event_cookie(_event));				\
	EXPECT_EQ(how, mstore_event_end(_event, &_tgid, &_code));		\
	EXPECT_EQ(pid, _tgid);							\
	EXPECT_EQ(number, _code);						\
	EXPECT_EQ(0, memcmp("mine", mstore_event_value(_event, NULL), 4));	\
	EXPECT_TRUE(holds(self->watcher, NULL));				\
} while (0)

TEST_F(owner, closes)
{
	struct mstore *store = mstore_open(DEVICE, MSTORE_RDWR);

	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, set_with(store, "mine", &owned, NULL));
	mstore_close(store);
	EXPECT_END(MSTORE_END_CLOSED, getpid(), 0);
}

/* Lets a child own the key, then end by this signal, or exit by itself. */
static pid_t owning_child(int signal)
{
	struct mstore *store;
	pid_t pid = fork_child();

	if (pid)
		return pid;
	store = mstore_open(DEVICE, MSTORE_RDWR);
	if (!store || set_with(store, "mine", &owned, NULL))
		_exit(99);
	if (signal)
		kill(getpid(), signal);
	_exit(42);
}

TEST_F(owner, exits)
{
	pid_t pid = owning_child(0);

	ASSERT_LT(0, pid);
	EXPECT_EQ(42, join(pid));
	EXPECT_END(MSTORE_END_EXITED, pid, 42);
}

TEST_F(owner, is_killed)
{
	pid_t pid = owning_child(SIGKILL);

	ASSERT_LT(0, pid);
	EXPECT_EQ(-1, join(pid));
	EXPECT_END(MSTORE_END_KILLED, pid, SIGKILL);
}

/* The open file owns, not the process: a child that has it too prolongs it. */
TEST_F(owner, lives_on_in_a_child)
{
	struct mstore *store = mstore_open(DEVICE, MSTORE_RDWR);
	int pipes[2];
	char byte;
	pid_t pid;

	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, set_with(store, "mine", &owned, NULL));
	pid = fork_child();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(pipes[1]);
		_exit(read(pipes[0], &byte, 1) == 0 &&
		      owner_of(store) == MSTORE_OWNER_SELF ? 3 : 99);
	}
	mstore_close(store);
	EXPECT_EQ(0, mstore_wait(self->watcher, 100));
	EXPECT_TRUE(holds(self->watcher, "mine"));

	close(pipes[1]);
	EXPECT_EQ(3, join(pid));
	EXPECT_END(MSTORE_END_EXITED, pid, 3);
	close(pipes[0]);
}

/* Times to live */

static uint64_t boottime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

TEST_F(store, ttl_is_told)
{
	struct mstore_options options = { .ttl_ms = 1000000 };
	struct mstore_stat stat;

	ASSERT_EQ(0, set_with(self->store, "value", &options, NULL));
	ASSERT_EQ(0, mstore_stat(self->store, KEY, strlen(KEY), &stat));
	EXPECT_GE(1000000, stat.ttl_ms);
	EXPECT_LT(1000000 - PATIENCE_MS, stat.ttl_ms);

	options.ttl_ms = MSTORE_TTL_MAX;
	ASSERT_EQ(0, mstore_publish_with(self->store, KEY, strlen(KEY), "v", 1, &options, NULL));
	ASSERT_EQ(0, mstore_stat(self->store, KEY, strlen(KEY), &stat));
	EXPECT_GE(MSTORE_TTL_MAX, stat.ttl_ms);
	EXPECT_LT(MSTORE_TTL_MAX - PATIENCE_MS, stat.ttl_ms);

	ASSERT_EQ(0, mstore_set(self->store, KEY, strlen(KEY), "value", 5, NULL));
	ASSERT_EQ(0, mstore_stat(self->store, KEY, strlen(KEY), &stat));
	EXPECT_EQ(0, stat.ttl_ms);
}

TEST_F(store, expires)
{
	const struct mstore_options options = { .ttl_ms = 50 };
	const struct mstore_event *event;
	uint64_t before;

	ASSERT_EQ(0, mstore_subscribe(self->store, KEY, strlen(KEY), MSTORE_EVENT_DELETED, 7));
	before = boottime_ms();
	ASSERT_EQ(0, set_with(self->store, "value", &options, NULL));
	event = one_event(self->store, self->buffer);
	EXPECT_LE(before + 50, boottime_ms());
	ASSERT_NE(NULL, event);
	EXPECT_EQ(MSTORE_EVENT_DELETED, mstore_event_type(event));
	EXPECT_EQ(MSTORE_EVENT_F_EXPIRED, mstore_event_flags(event));
	EXPECT_EQ(7, mstore_event_cookie(event));
	EXPECT_EQ(0, memcmp("value", mstore_event_value(event, NULL), 5));
	EXPECT_EQ(-1, mstore_event_end(event, NULL, NULL));
	EXPECT_TRUE(holds(self->store, NULL));
}

/* Renewal of a time to live */

TEST_F(store, touch)
{
	struct mstore_options options = { .ttl_ms = 1000000 };
	uint64_t first, version = POISON;
	struct mstore_stat stat;

	EXPECT_ERRNO(ENOENT, mstore_touch(self->store, KEY, MSTORE_STRLEN, &options, &version));
	EXPECT_EQ(POISON, version);
	ASSERT_EQ(0, set_with(self->store, "value", NULL, NULL));
	EXPECT_ERRNO(ENODATA, mstore_touch(self->store, KEY, strlen(KEY), &options, NULL));
	ASSERT_EQ(0, set_with(self->store, "value", &options, &first));
	options.ttl_ms = 2000000;
	EXPECT_EQ(0, mstore_touch(self->store, KEY, strlen(KEY), &options, &version));
	EXPECT_EQ(first, version);
	ASSERT_EQ(0, mstore_stat(self->store, KEY, strlen(KEY), &stat));
	EXPECT_LT(1000000, stat.ttl_ms);
	EXPECT_EQ(first, stat.version);

	options.flags = MSTORE_IF_VERSION;
	options.version = first;
	EXPECT_EQ(0, mstore_touch(self->store, KEY, strlen(KEY), &options, NULL));
	options.version = 1;
	EXPECT_ERRNO(ESTALE, mstore_touch(self->store, KEY, strlen(KEY), &options, &version));
	EXPECT_EQ(first, version);

	/* Refused here and by the kernel */
	options = (struct mstore_options) { .ttl_ms = 1, .timeout_ms = 1 };
	EXPECT_ERRNO(EINVAL, mstore_touch(self->store, KEY, strlen(KEY), &options, NULL));
	options = (struct mstore_options) { .ttl_ms = 1, .reserved = { 1 } };
	EXPECT_ERRNO(EINVAL, mstore_touch(self->store, KEY, strlen(KEY), &options, NULL));
	options = (struct mstore_options) { .ttl_ms = 1, .flags = MSTORE_STEAL };
	EXPECT_ERRNO(EINVAL, mstore_touch(self->store, KEY, strlen(KEY), &options, NULL));
	EXPECT_ERRNO(EINVAL, mstore_touch(self->store, KEY, strlen(KEY), NULL, NULL));
	EXPECT_TRUE(holds(self->store, "value"));
}

/* Features of the module */

TEST_F(store, features)
{
	struct mstore_info info;

	ASSERT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	EXPECT_EQ(MSTORE_FEATURE_CONDITIONS | MSTORE_FEATURE_OWNERS | MSTORE_FEATURE_TTL |
		  MSTORE_FEATURE_BATCH | MSTORE_FEATURE_PRIVATE,
		  info.features & 0x1f);
	EXPECT_NE(0, info.features & MSTORE_FEATURE_TOUCH);
	EXPECT_LT(0, info.private_bytes);
}

TEST(keys_not_a_store)
{
	struct mstore *store = mstore_open("/dev/null", MSTORE_RDWR);
	uint64_t version = POISON;

	EXPECT_ERRNO(ENOTTY, mstore_set_with(store, "k", 1, "v", 1, &owned, &version));
	EXPECT_ERRNO(ENOTTY, mstore_publish_with(store, "k", 1, "v", 1, &owned, &version));
	EXPECT_ERRNO(ENOTTY, mstore_delete_with(store, "k", 1, &steal, &version));
	EXPECT_NULL_ERRNO(ENOTTY, mstore_create(store, NULL, MSTORE_RDWR));
	EXPECT_NULL_ERRNO(ENOTTY, mstore_reopen(store, MSTORE_RDWR));
	EXPECT_NULL_ERRNO(EINVAL, mstore_create(store, NULL, 0));
	EXPECT_NULL_ERRNO(EINVAL, mstore_reopen(store, 0));
	EXPECT_EQ(POISON, version);
	mstore_close(store);
}

TEST_HARNESS_MAIN
