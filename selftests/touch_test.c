// SPDX-License-Identifier: GPL-2.0
/* TOUCH: another time to live for a value, without a version or an event */
#include "crew.h"

#define MS		(SECOND / 1000)
#define LONG		100000000ULL	/* ms that no test lasts */
#define ATOMIC		METASTORE_BATCH_ATOMIC

FIXTURE(touch)
{
	int fd;			/* subscribed to all changes of all keys */
	int other;
	struct ms_reader r;
};

FIXTURE_SETUP(touch)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->other = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->other);
	self->r = ms_reader(self->fd, MS_READER_SIZE);
}

FIXTURE_TEARDOWN(touch)
{
	close(self->other);
	close(self->fd);
}

static long long ttl_of(int fd, const char *key)
{
	struct metastore_stat st;

	return ms_stat(fd, key, &st) ?: (long long)st.ttl;
}

/* Nothing but the time to live: what others see, and what counts against the limits */
TEST_F(touch, changes_nothing_else)
{
	struct metastore_info info, before;
	struct metastore_stat st, old;
	__u64 version = POISON64;
	long long ttl;

	ASSERT_EQ(0, ms_set_ttl(self->other, "k", "v", 200, NULL));
	ASSERT_EQ(0, ms_stat(self->fd, "k", &old));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &before));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 1));
	EXPECT_EQ(0, ms_touch(self->fd, "k", LONG, 0, &version));
	EXPECT_EQ(old.version, version);
	ms_sleep(SECOND / 4);
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
	ttl = ttl_of(self->fd, "k");
	EXPECT_GE((long long)LONG, ttl);
	EXPECT_LT((long long)LONG - 1000000, ttl);
	ASSERT_EQ(0, ms_stat(self->fd, "k", &st));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(old.version, st.version);
	EXPECT_EQ(old.time, st.time);
	EXPECT_EQ(old.tgid, st.tgid);
	EXPECT_EQ(METASTORE_OWNER_NONE, st.owner);
	EXPECT_EQ(before.keys, info.keys);
	EXPECT_EQ(before.bytes, info.bytes);
	EXPECT_TRUE(ms_silent(self->fd));
}

/* The timer may have been started for a later end */
TEST_F(touch, shortens)
{
	__u64 version, earliest;

	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "v", METASTORE_TTL_MAX, &version));
	ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 1));
	earliest = ms_now(CLOCK_BOOTTIME) + 20 * MS;
	ASSERT_EQ(0, ms_touch(self->fd, "k", 20, 0, NULL));
	ASSERT_TRUE(ms_await(&self->r));
	EXPECT_LE(earliest, ms_now(CLOCK_BOOTTIME));
	EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED,
		     .flags = METASTORE_EVENT_F_EXPIRED, .cookie = 1, .newer = version,
		     .key = "k", .value = "v");
	EXPECT_EQ(-ENOENT, ms_touch(self->fd, "k", 20, 0, NULL));
}

#define KEYS	200

/* Each ends once, when its last time to live is over, whatever the others do */
TEST_F(touch, in_any_order)
{
	__u64 ends[KEYS] = {}, versions[KEYS], now;
	const struct metastore_event *ev;
	int i, n, k, times = 5 * KEYS;
	char key[16];

	srand(1);
	for (k = 0; k < KEYS; k++) {
		snprintf(key, sizeof(key), "%d", k);
		ASSERT_EQ(0, ms_subscribe(self->fd, key, METASTORE_EVENT_DELETED, k));
		ASSERT_EQ(0, ms_set_ttl(self->fd, key, "v", LONG + rand() % 1000, &versions[k]));
	}
	for (i = 0; i < times; i++) {
		k = rand() % KEYS;
		snprintf(key, sizeof(key), "%d", k);
		ASSERT_EQ(0, ms_touch(self->fd, key, LONG + rand() % 1000, 0, NULL));
	}
	for (k = 0; k < KEYS; k++) {
		n = 1 + rand() % 100;
		snprintf(key, sizeof(key), "%d", k);
		ends[k] = ms_now(CLOCK_BOOTTIME) + n * MS;
		ASSERT_EQ(0, ms_touch(self->fd, key, n, 0, NULL));
	}
	for (i = 0; i < KEYS; i++) {
		ASSERT_TRUE(ms_await(&self->r));
		ev = ms_next(&self->r);
		ASSERT_TRUE(!!ev);
		now = ms_now(CLOCK_BOOTTIME);
		ASSERT_EQ(METASTORE_EVENT_F_EXPIRED, ev->flags);
		ASSERT_NE(0, ends[ev->cookie]);
		ASSERT_LE(ends[ev->cookie], now);
		ASSERT_LT(versions[ev->cookie], ev->version);
		ends[ev->cookie] = 0;
	}
	EXPECT_TRUE(ms_silent(self->fd));
	EXPECT_EQ(0, ms_keys(self->fd));
}

TEST_F(touch, enoent)
{
	__u64 version = 0;

	EXPECT_EQ(-ENOENT, ms_touch(self->fd, "k", 1, 0, NULL));
	/* As of a deletion: there is no value, as asked for, but none to renew either */
	EXPECT_EQ(-ENOENT, ms_touch(self->fd, "k", 1, METASTORE_F_IF_VERSION, &version));
	EXPECT_EQ(0, ms_keys(self->fd));
}

TEST_F(touch, estale)
{
	__u64 version, wrong;

	wrong = 5;
	EXPECT_EQ(-ESTALE, ms_touch(self->fd, "k", 1, METASTORE_F_IF_VERSION, &wrong));
	EXPECT_EQ(0, wrong);
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "v", LONG, &version));
	wrong = version - 1;
	EXPECT_EQ(-ESTALE, ms_touch(self->fd, "k", 1, METASTORE_F_IF_VERSION, &wrong));
	EXPECT_EQ(version, wrong);
	EXPECT_LT(1000000, ttl_of(self->fd, "k"));
	EXPECT_EQ(0, ms_touch(self->fd, "k", 2 * LONG, METASTORE_F_IF_VERSION, &version));
	EXPECT_LT((long long)LONG, ttl_of(self->fd, "k"));
}

TEST_F(touch, enodata)
{
	ASSERT_EQ(0, ms_set(self->fd, "k", "v", NULL));
	EXPECT_EQ(-ENODATA, ms_touch(self->fd, "k", 1, 0, NULL));
	ASSERT_EQ(0, ms_own(self->fd, "k", "v", NULL));
	EXPECT_EQ(-ENODATA, ms_touch(self->fd, "k", 1, 0, NULL));
	EXPECT_EQ(0, ttl_of(self->fd, "k"));
	EXPECT_STREQ("v", ms_str(self->fd, "k"));
}

TEST_F(touch, ebusy)
{
	struct metastore_set arg = { .flags = METASTORE_F_OWNED, .ttl = LONG };

	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "k", "v", &arg));
	EXPECT_EQ(-EBUSY, ms_touch(self->other, "k", 1, 0, NULL));
	EXPECT_LT(1000000, ttl_of(self->fd, "k"));
	EXPECT_EQ(0, ms_touch(self->fd, "k", 2 * LONG, 0, NULL));
	EXPECT_LT((long long)LONG, ttl_of(self->fd, "k"));
	/* It goes with its owner all the same */
	EXPECT_EQ(METASTORE_OWNER_OTHER, ms_owner(self->other, "k"));
	close(self->fd);
	EXPECT_STREQ("ENOENT", ms_str(self->other, "k"));
	self->fd = ms_open(O_RDWR);
}

TEST_F(touch, einval)
{
	static const __u64 wrong[] = {
		0, METASTORE_TTL_MAX + 1, 1ULL << 62, 1ULL << 63, ~0ULL,
	};
	size_t i;

	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "v", LONG, NULL));
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_EQ(-EINVAL, ms_touch(self->fd, "k", wrong[i], 0, NULL));
	EXPECT_LT(1000000, ttl_of(self->fd, "k"));
	EXPECT_EQ(0, ms_touch(self->fd, "k", METASTORE_TTL_MAX, 0, NULL));
	EXPECT_LT((long long)METASTORE_TTL_MAX - 1000000, ttl_of(self->fd, "k"));
}

static struct metastore_op op_touch(const char *key, __u64 ttl)
{
	struct metastore_op op = ms_op(METASTORE_OP_TOUCH, key, NULL, 0);

	op.ttl = ttl;
	return op;
}

TEST_F(touch, in_a_batch)
{
	static const int ways[] = { 0, ATOMIC };
	__u64 version, before;
	__u32 failed;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		struct metastore_op ops[] = {
			op_touch("a", 2 * LONG), ms_op_set("b", "v"), ms_op_get("c", NULL, 0),
			op_touch("d", 3 * LONG), ms_op_delete("e"),
		};

		ASSERT_EQ(0, ms_set_ttl(self->fd, "a", "v", LONG, &version));
		ASSERT_EQ(0, ms_set_ttl(self->fd, "d", "v", LONG, NULL));
		ASSERT_EQ(0, ms_set(self->fd, "c", "", NULL));
		ASSERT_EQ(0, ms_set(self->fd, "e", "", NULL));
		before = ms_version(self->fd, "b");
		ASSERT_EQ(0, ms_subscribe_prefix(self->fd, "", EVENTS_ALL, 1));
		ASSERT_EQ(0, ms_batch(self->fd, ops, ARRAY_SIZE(ops), ways[i], &failed));
		EXPECT_EQ(ARRAY_SIZE(ops), failed);
		EXPECT_EQ(0, ops[0].result);
		EXPECT_EQ(version, ops[0].version);
		EXPECT_LT((long long)LONG, ttl_of(self->fd, "a"));
		EXPECT_LT((long long)LONG * 2, ttl_of(self->fd, "d"));
		EXPECT_NE(before, ms_version(self->fd, "b"));
		/* Of the two changes alone, and the last of them ends the group */
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_SET,
			     .flags = ways[i] ? METASTORE_EVENT_F_MORE : 0, .cookie = 1,
			     .version = ops[1].version, .key = "b", .value = "v");
		EXPECT_EVENT(&self->r, .type = METASTORE_EVENT_DELETED, .cookie = 1,
			     .version = ops[4].version, .key = "e", .value = "");
		EXPECT_TRUE(ms_silent(self->fd));
		ASSERT_EQ(0, ms_unsubscribe_prefix(self->fd, ""));
	}
}

/* Nothing is renewed where something else fails, and the other way round */
TEST_F(touch, all_or_nothing)
{
	struct metastore_op ops[] = {
		op_touch("a", 2 * LONG), ms_op_delete("absent"),
	};
	struct metastore_op plain[] = {
		ms_op_set("new", "v"), op_touch("plain", LONG),
	};
	struct metastore_op same[] = {
		ms_op_set("a", "v"), op_touch("a", LONG),
	};
	__u32 failed;

	ASSERT_EQ(0, ms_set_ttl(self->fd, "a", "v", LONG, NULL));
	ASSERT_EQ(0, ms_set(self->fd, "plain", "v", NULL));
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, ops, 2, ATOMIC, &failed));
	EXPECT_EQ(1, failed);
	EXPECT_EQ(-ECANCELED, ops[0].result);
	EXPECT_GE((long long)LONG, ttl_of(self->fd, "a"));
	EXPECT_EQ(-ECANCELED, ms_batch(self->fd, plain, 2, ATOMIC, &failed));
	EXPECT_EQ(1, failed);
	EXPECT_EQ(-ENODATA, plain[1].result);
	EXPECT_STREQ("ENOENT", ms_str(self->fd, "new"));
	EXPECT_EQ(-EINVAL, ms_batch(self->fd, same, 2, ATOMIC, NULL));
	/* One after the other that is two things */
	EXPECT_EQ(0, ms_batch(self->fd, same, 2, 0, &failed));
	EXPECT_EQ(-ENODATA, same[1].result);
}

TEST_F(touch, einval_in_a_batch)
{
	struct metastore_op op = op_touch("a", 2 * LONG);

	ASSERT_EQ(0, ms_set_ttl(self->fd, "a", "v", LONG, NULL));
	op.value_len = 1;
	ASSERT_EQ(0, ms_batch(self->fd, &op, 1, 0, NULL));
	EXPECT_EQ(-EINVAL, op.result);
	op = op_touch("a", 2 * LONG);
	op.value = ms_ptr("v");
	ASSERT_EQ(0, ms_batch(self->fd, &op, 1, 0, NULL));
	EXPECT_EQ(-EINVAL, op.result);
	op = op_touch("a", 2 * LONG);
	op.flags = METASTORE_F_STEAL;
	ASSERT_EQ(0, ms_batch(self->fd, &op, 1, 0, NULL));
	EXPECT_EQ(-EINVAL, op.result);
	EXPECT_GE((long long)LONG, ttl_of(self->fd, "a"));
}

/* How often it was late and stored it anew: counts[0]. How often it went on: counts[1] */
static void keep_alive(int fd, __u64 ttl, const char *key, bool in_batch)
{
	int ret;

	while (!crew_done()) {
		struct metastore_op ops[] = { op_touch(key, ttl), ms_op_set("other", "v") };

		ret = in_batch ? ms_batch(fd, ops, 2, ATOMIC, NULL) :
				 ms_touch(fd, key, ttl, 0, NULL);
		if (ret == -ECANCELED)
			ret = ops[0].result;
		CHECK(!ret || ret == -ENOENT);
		if (ret) {
			CHECK(!ms_set_ttl(fd, key, "v", ttl, NULL));
			__atomic_add_fetch(&crew.board->counts[0], 1, __ATOMIC_SEQ_CST);
		}
		__atomic_add_fetch(&crew.board->counts[1], 1, __ATOMIC_SEQ_CST);
	}
}

static __u64 count_of(int i)
{
	return __atomic_load_n(&crew.board->counts[i], __ATOMIC_SEQ_CST);
}

/* A value that is renewed in time is there at each moment, however short that time is */
static void expect_never_absent(struct __test_metadata *_metadata, struct _test_data_touch *self,
				bool in_batch)
{
	__u64 late, renewed, end = ms_now(CLOCK_MONOTONIC) + SECOND;
	int absent = 0, early = 0;

	ASSERT_TRUE(crew_init());
	ASSERT_EQ(0, ms_set_ttl(self->fd, "k", "v", 1, NULL));
	if (crew_child()) {
		keep_alive(self->other, 1, "k", in_batch);
		_exit(0);
	}
	crew_start();
	while (ms_now(CLOCK_MONOTONIC) < end) {
		late = count_of(0);
		if (strcmp("ENOENT", ms_str(self->fd, "k")))
			continue;
		absent++;
		/* Then the next TOUCH finds that too */
		renewed = count_of(1);
		while (count_of(1) < renewed + 2)
			sched_yield();
		early += count_of(0) == late;
	}
	EXPECT_EQ(0, early) {
		TH_LOG("%d times absent, %d of them too early", absent, early);
	}
	crew_finish();
	EXPECT_TRUE(crew_join(0, 1));
	EXPECT_STREQ("", crew.board->error);
}

TEST_F(touch, is_never_absent)
{
	expect_never_absent(_metadata, self, false);
}

TEST_F(touch, is_never_absent_in_a_batch)
{
	expect_never_absent(_metadata, self, true);
}

/* Beside writers, deletions, the worker and owners that end */
TEST_F(touch, beside_all_others)
{
	__u32 i, times = ms_times(3000);
	struct metastore_info info;

	ASSERT_TRUE(crew_init());
	for (i = 0; i < 2; i++) {
		if (!crew_child())
			continue;
		for (i = 0; i < times; i++) {
			int ret = ms_touch(self->fd, "k", 1 + rand() % 3, 0, NULL);

			CHECK(!ret || ret == -ENOENT || ret == -ENODATA || ret == -EBUSY);
		}
		_exit(0);
	}
	if (crew_child()) {
		for (i = 0; !crew_done(); i++) {
			struct metastore_set arg = {
				.flags = i % 3 ? METASTORE_F_OWNED : METASTORE_F_STEAL,
				.ttl = i % 5,
			};
			int fd = ms_open(O_RDWR), ret;

			ret = ms_store_with(fd, METASTORE_IOC_SET, "k", "v", &arg);
			CHECK(!ret || ret == -EBUSY);
			if (i % 7 == 0)
				ms_delete(fd, "k", NULL);
			close(fd);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 2));
	crew_finish();
	EXPECT_TRUE(crew_join(2, 3));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
}

TEST_HARNESS_MAIN
