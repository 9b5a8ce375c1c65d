// SPDX-License-Identifier: GPL-2.0
/* Writes that happen only under a condition: absent, present, of a version */
#include "crew.h"

FIXTURE(condition)
{
	int fd;			/* subscribed to all changes of "k" */
	struct ms_reader r;
	struct metastore_set arg;
};

FIXTURE_VARIANT(condition)
{
	unsigned long command;
	__u16 type;
	__u32 queues;
};

FIXTURE_VARIANT_ADD(condition, set) {
	.command = METASTORE_IOC_SET,
	.type = METASTORE_EVENT_SET,
};

FIXTURE_VARIANT_ADD(condition, publish) {
	.command = METASTORE_IOC_PUBLISH,
	.type = METASTORE_EVENT_PUBLISHED,
	.queues = 1,
};

FIXTURE_SETUP(condition)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", EVENTS_ALL, 5));
	self->r = ms_reader(self->fd, 4096);
}

FIXTURE_TEARDOWN(condition)
{
	close(self->fd);
}

/* Writes "new"; @version as in ms_set_if() */
static int write_if(struct _test_data_condition *self,
		    const struct _fixture_variant_condition *variant, __u32 flags,
		    __u64 *version)
{
	int ret;

	self->arg = (struct metastore_set) { .flags = flags, .version = *version };
	ret = ms_store_with(self->fd, variant->command, "k", "new", &self->arg);
	*version = self->arg.version;
	return ret;
}

/* Done: @version came back, the value is there, and one event told of it */
static void expect_written(struct __test_metadata *_metadata,
			   struct _test_data_condition *self,
			   const struct _fixture_variant_condition *variant, __u64 version)
{
	EXPECT_EQ(variant->queues, self->arg.queues);
	EXPECT_STREQ("new", ms_str(self->fd, "k"));
	EXPECT_EQ(version, ms_version(self->fd, "k"));
	EXPECT_EVENT(&self->r, .type = variant->type, .cookie = 5, .version = version, .key = "k",
		     .value = "new");
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The value is "old" of @version, or there is none if that is 0, and nobody heard */
static void expect_refused(struct __test_metadata *_metadata,
			   struct _test_data_condition *self, __u64 version)
{
	EXPECT_EQ(POISON32, self->arg.queues);
	EXPECT_STREQ(version ? "old" : "ENOENT", ms_str(self->fd, "k"));
	EXPECT_EQ(version, ms_version(self->fd, "k"));
	EXPECT_EQ(!!version, ms_keys(self->fd));
	EXPECT_TRUE(ms_silent(self->fd));
}

static int set_old(struct _test_data_condition *self, __u64 *version)
{
	struct ms_books books = {};

	return ms_set(self->fd, "k", "old", version) ?: ms_drain(&self->r, &books);
}

TEST_F(condition, create)
{
	__u64 version = POISON64;

	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_CREATE, &version));
	EXPECT_NE(POISON64, version);
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, create_eexist)
{
	__u64 old, version = POISON64;

	ASSERT_EQ(0, set_old(self, &old));
	EXPECT_EQ(-EEXIST, write_if(self, variant, METASTORE_F_CREATE, &version));
	EXPECT_EQ(old, version);
	expect_refused(_metadata, self, old);
}

/* A key that was there once is absent; so is one with subscriptions alone, as above */
TEST_F(condition, create_after_delete)
{
	struct ms_books books = {};
	__u64 deleted, version = POISON64;

	ASSERT_EQ(0, set_old(self, NULL));
	ASSERT_EQ(0, ms_delete(self->fd, "k", &deleted));
	ASSERT_EQ(0, ms_drain(&self->r, &books));
	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_CREATE, &version));
	EXPECT_LT(deleted, version);
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, replace)
{
	__u64 old, version = POISON64;

	ASSERT_EQ(0, set_old(self, &old));
	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_REPLACE, &version));
	EXPECT_LT(old, version);
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, replace_enoent)
{
	__u64 version = POISON64;

	EXPECT_EQ(-ENOENT, write_if(self, variant, METASTORE_F_REPLACE, &version));
	EXPECT_EQ(POISON64, version);
	expect_refused(_metadata, self, 0);
}

TEST_F(condition, if_version)
{
	__u64 old, version;

	ASSERT_EQ(0, set_old(self, &old));
	version = old;
	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_LT(old, version);
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, if_version_estale)
{
	__u64 first, old, version;
	size_t i;

	ASSERT_EQ(0, set_old(self, &first));
	ASSERT_EQ(0, set_old(self, &old));
	{
		const __u64 wrong[] = { first, old - 1, old + 1, 1, 0, ~0ULL, old ^ 1ULL << 32 };

		for (i = 0; i < ARRAY_SIZE(wrong); i++) {
			version = wrong[i];
			EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION,
						    &version));
			EXPECT_EQ(old, version);
			expect_refused(_metadata, self, old);
		}
	}
}

TEST_F(condition, if_version_of_absent)
{
	__u64 version = 1;

	EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, version);
	expect_refused(_metadata, self, 0);
}

/* There must be none */
TEST_F(condition, if_version_0)
{
	__u64 old, version = 0;

	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_NE(0, version);
	expect_written(_metadata, self, variant, version);
	ASSERT_EQ(0, set_old(self, &old));
	version = 0;
	EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(old, version);
	expect_refused(_metadata, self, old);
}

/* The same bytes again are not the same value */
TEST_F(condition, if_version_of_the_one_before)
{
	__u64 first, deleted, old, version;

	ASSERT_EQ(0, set_old(self, &first));
	ASSERT_EQ(0, ms_delete(self->fd, "k", &deleted));
	ASSERT_EQ(0, set_old(self, &old));
	version = first;
	EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(old, version);
	version = deleted;
	EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(old, version);
	expect_refused(_metadata, self, old);
}

/* What came back after a refusal is what the next attempt needs */
TEST_F(condition, estale_then_again)
{
	__u64 version = 1;

	ASSERT_EQ(0, set_old(self, NULL));
	EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, einval_two)
{
	static const __u32 many[] = {
		METASTORE_F_CREATE | METASTORE_F_REPLACE,
		METASTORE_F_CREATE | METASTORE_F_IF_VERSION,
		METASTORE_F_REPLACE | METASTORE_F_IF_VERSION,
		METASTORE_F_CREATE | METASTORE_F_REPLACE | METASTORE_F_IF_VERSION,
	};
	__u64 old, version;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(many); i++) {
		version = 0;
		EXPECT_EQ(-EINVAL, write_if(self, variant, many[i], &version));
		EXPECT_EQ(0, version);
	}
	expect_refused(_metadata, self, 0);
	ASSERT_EQ(0, set_old(self, &old));
	for (i = 0; i < ARRAY_SIZE(many); i++) {
		version = old;
		EXPECT_EQ(-EINVAL, write_if(self, variant, many[i], &version));
		EXPECT_EQ(old, version);
	}
	expect_refused(_metadata, self, old);
}

/* Without the condition @version is no input */
TEST_F(condition, version_alone_asks_nothing)
{
	__u64 version = 1;

	ASSERT_EQ(0, set_old(self, NULL));
	EXPECT_EQ(0, write_if(self, variant, 0, &version));
	expect_written(_metadata, self, variant, version);
}

/* A key whose time is over is absent, though nobody has removed it yet */
static int set_and_outlive(struct _test_data_condition *self, __u64 *version)
{
	int ret = ms_set_ttl(self->fd, "k", "old", 1, version);

	ms_wait_until(ms_now(CLOCK_BOOTTIME) + SECOND / 1000);
	return ret;
}

/* Nobody hears of the end after what came in its place */
static void expect_expired(struct __test_metadata *_metadata,
			   struct _test_data_condition *self, __u64 old)
{
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET, .cookie = 5, .version = old,
		     .key = "k", .value = "old");
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_EXPIRED, .cookie = 5, .newer = old, .key = "k",
		     .value = "old");
}

TEST_F(condition, create_expired)
{
	__u64 old, version = POISON64;

	ASSERT_EQ(0, set_and_outlive(self, &old));
	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_CREATE, &version));
	expect_expired(_metadata, self, old);
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, if_version_0_expired)
{
	__u64 old, version = 0;

	ASSERT_EQ(0, set_and_outlive(self, &old));
	EXPECT_EQ(0, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	expect_expired(_metadata, self, old);
	expect_written(_metadata, self, variant, version);
}

TEST_F(condition, replace_expired)
{
	__u64 old, version = POISON64;

	ASSERT_EQ(0, set_and_outlive(self, &old));
	EXPECT_EQ(-ENOENT, write_if(self, variant, METASTORE_F_REPLACE, &version));
	EXPECT_EQ(POISON64, version);
	expect_expired(_metadata, self, old);
	expect_refused(_metadata, self, 0);
}

TEST_F(condition, if_version_expired)
{
	__u64 old, version;

	ASSERT_EQ(0, set_and_outlive(self, &old));
	version = old;
	EXPECT_EQ(-ESTALE, write_if(self, variant, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, version);
	expect_expired(_metadata, self, old);
	expect_refused(_metadata, self, 0);
}

/* A program built with the structure as it first was */
TEST_F(condition, old_structure)
{
	__u8 bytes[sizeof(struct metastore_set)];
	struct metastore_set *arg = (void *)bytes;
	__u64 old;

	ASSERT_EQ(0, set_old(self, &old));
	memset(bytes, POISON, sizeof(bytes));
	arg->key = ms_ptr("k");
	arg->value = ms_ptr("new");
	arg->key_len = 1;
	arg->value_len = 3;
	arg->flags = METASTORE_F_IF_VERSION;
	arg->version = old + 1;
	EXPECT_EQ(-ESTALE, ms_ioctl(self->fd, ms_resized(variant->command, 40), arg));
	EXPECT_EQ(old, arg->version);
	EXPECT_EQ(0, ms_ioctl(self->fd, ms_resized(variant->command, 40), arg));
	EXPECT_EQ(POISON64, arg->ttl);
	self->arg = *arg;
	expect_written(_metadata, self, variant, arg->version);
}

/* DELETE, and what happens when many ask at once */
FIXTURE(conditions)
{
	int fd;			/* subscribed to all changes of "k" */
	struct ms_reader r;
};

FIXTURE_SETUP(conditions)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_subscribe(self->fd, "k", METASTORE_EVENT_DELETED, 5));
	self->r = ms_reader(self->fd, 4096);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(conditions)
{
	close(self->fd);
}

TEST_F(conditions, delete_if_version)
{
	__u64 old, version;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	version = old;
	EXPECT_EQ(0, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION, &version));
	EXPECT_LT(old, version);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "k"));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 5, .version = version,
		     .key = "k", .value = "old");
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(conditions, delete_estale)
{
	__u64 first, old, version;
	size_t i;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &first));
	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	{
		const __u64 wrong[] = { first, old + 1, 1, 0, ~0ULL, old ^ 1ULL << 32 };

		for (i = 0; i < ARRAY_SIZE(wrong); i++) {
			version = wrong[i];
			EXPECT_EQ(-ESTALE, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION,
							&version));
			EXPECT_EQ(old, version);
		}
	}
	EXPECT_EQ(old, ms_version(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(conditions, delete_of_absent)
{
	__u64 old, version = 1;

	EXPECT_EQ(-ESTALE, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, version);
	/* Nor has what is gone the version that it had */
	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	ASSERT_EQ(0, ms_delete(self->fd, "k", NULL));
	EXPECT_EQ(POLLIN, ms_poll(self->fd, 0));
	version = old;
	EXPECT_EQ(-ESTALE, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, version);
}

/* The condition holds, and there is nothing to delete */
TEST_F(conditions, delete_if_version_0)
{
	__u64 version = 0;

	EXPECT_EQ(-ENOENT, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, version);
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(conditions, delete_einval)
{
	static const __u32 others[] = {
		METASTORE_F_CREATE, METASTORE_F_REPLACE, METASTORE_F_OWNED,
		METASTORE_F_CREATE | METASTORE_F_IF_VERSION,
		METASTORE_F_REPLACE | METASTORE_F_IF_VERSION,
		METASTORE_F_OWNED | METASTORE_F_STEAL,
	};
	__u64 old, version;
	size_t i;

	ASSERT_EQ(0, ms_set(self->fd, "k", "old", &old));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		version = old;
		EXPECT_EQ(-EINVAL, ms_delete_if(self->fd, "k", others[i], &version));
		EXPECT_EQ(old, version);
	}
	EXPECT_EQ(old, ms_version(self->fd, "k"));
	EXPECT_TRUE(ms_silent(self->fd));
}

TEST_F(conditions, delete_expired)
{
	__u64 old, version;

	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "old", 1, &old));
	ms_wait_until(ms_now(CLOCK_BOOTTIME) + SECOND / 1000);
	version = old;
	EXPECT_EQ(-ESTALE, ms_delete_if(self->fd, "k", METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, version);
	EXPECT_EQ(-ENOENT, ms_delete(self->fd, "k", NULL));
}

/* Not one increment is lost, however many read, add one and write if unchanged */
TEST_F(conditions, increments)
{
	__u32 i, n, times = ms_size(1000, 10000), processes = 8;
	__u64 version, number = 0, stale = 0;

	ASSERT_EQ(0, ms_setn(self->fd, "n", 1, &number, sizeof(number), NULL));
	for (i = 0; i < processes; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			struct metastore_set arg;
			int ret;

			do {
				CHECK(ms_get(self->fd, "n", &number, sizeof(number), &version) ==
				      sizeof(number));
				number++;
				arg = (struct metastore_set) {
					.key = ms_ptr("n"),
					.value = ms_ptr(&number),
					.key_len = 1,
					.value_len = sizeof(number),
					.flags = METASTORE_F_IF_VERSION,
					.version = version,
				};
				ret = ms_ioctl(self->fd, METASTORE_IOC_SET, &arg);
				CHECK(!ret || ret == -ESTALE);
				/* Refused since somebody else was faster, and for nothing else */
				CHECK(arg.version > version);
				crew.board->counts[i] += !!ret;
			} while (ret);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, processes));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(sizeof(number), ms_get(self->fd, "n", &number, sizeof(number), NULL));
	EXPECT_EQ(processes * times, number);
	for (i = 0; i < processes; i++)
		stale += crew.board->counts[i];
	ksft_print_msg("%llu increments, %llu more attempts came too late\n", number, stale);
}

/* Of those that create the same key one does, and the others learn its version */
TEST_F(conditions, one_creates)
{
	__u32 i, n, rounds = ms_times(2000), processes = 4;
	__u64 *winners = ms_shared(rounds * sizeof(*winners));
	__u64 *losers = ms_shared(processes * rounds * sizeof(*losers));
	__u64 wins = 0, wrong = 0;

	ASSERT_TRUE(winners && losers);
	for (i = 0; i < processes; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < rounds; n++) {
			__u64 version = POISON64;
			char key[16];
			int ret;

			snprintf(key, sizeof(key), "round %u", n);
			ret = ms_set_if(self->fd, key, "v", METASTORE_F_CREATE, &version);
			CHECK(!ret || ret == -EEXIST);
			if (ret) {
				losers[i * rounds + n] = version;
			} else {
				winners[n] = version;
				crew.board->counts[i]++;
			}
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, processes));
	EXPECT_STREQ("", crew.board->error);
	for (i = 0; i < processes; i++) {
		wins += crew.board->counts[i];
		for (n = 0; n < rounds; n++)
			wrong += losers[i * rounds + n] && losers[i * rounds + n] != winners[n];
	}
	EXPECT_EQ(rounds, wins);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(rounds, ms_keys(self->fd));
}

/* One puts a number where there is none; each is taken away by one of the others */
TEST_F(conditions, one_takes)
{
	__u32 i, n, times = ms_times(2000), takers = 3, wrong = 0, number;
	__u32 *taken = ms_shared(times * sizeof(*taken));
	__u64 version;
	int ret;

	ASSERT_TRUE(!!taken);
	for (i = 0; i < takers; i++) {
		if (!crew_child())
			continue;
		while (!crew_done()) {
			ret = ms_get(self->fd, "n", &number, sizeof(number), &version);
			if (ret == -ENOENT) {
				sched_yield();
				continue;
			}
			CHECK(ret == sizeof(number) && number < times);
			ret = ms_delete_if(self->fd, "n", METASTORE_F_IF_VERSION, &version);
			CHECK(!ret || ret == -ESTALE);
			if (!ret)
				__atomic_add_fetch(&taken[number], 1, __ATOMIC_RELAXED);
		}
		_exit(0);
	}
	if (crew_child()) {
		for (n = 0; n < times; n++) {
			do {
				struct metastore_set arg = {
					.key = ms_ptr("n"),
					.value = ms_ptr(&n),
					.key_len = 1,
					.value_len = sizeof(n),
					.flags = METASTORE_F_CREATE,
				};

				ret = ms_ioctl(self->fd, METASTORE_IOC_SET, &arg);
				CHECK(!ret || ret == -EEXIST);
				if (ret)
					sched_yield();
			} while (ret);
		}
		while (ms_get(self->fd, "n", &number, sizeof(number), NULL) != -ENOENT)
			sched_yield();
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(takers, takers + 1));
	crew_finish();
	EXPECT_TRUE(crew_join(0, takers));
	EXPECT_STREQ("", crew.board->error);
	for (n = 0; n < times; n++)
		wrong += taken[n] != 1;
	EXPECT_EQ(0, wrong);
}

TEST_HARNESS_MAIN
