// SPDX-License-Identifier: GPL-2.0
/* Atomic batches beside each other and beside everything else, in stores of several shapes */
#include "crew.h"

#define ATOMIC	METASTORE_BATCH_ATOMIC

/* For so many subscribers events are delivered in parts */
#define MANY	150

FIXTURE(isolation)
{
	int fd;
};

FIXTURE_VARIANT(isolation)
{
	__u32 buckets;		/* of a private store; 0: the machine's */
};

FIXTURE_VARIANT_ADD(isolation, machine) { .buckets = 0 };

FIXTURE_VARIANT_ADD(isolation, one_bucket) { .buckets = 1 };

FIXTURE_VARIANT_ADD(isolation, few_buckets) { .buckets = 5 };

FIXTURE_SETUP(isolation)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	if (variant->buckets)
		self->fd = ms_create(self->fd, O_RDWR | O_NONBLOCK, (struct metastore_create) {
			.buckets = variant->buckets,
		});
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(crew_init());
}

FIXTURE_TEARDOWN(isolation)
{
	close(self->fd);
}

#define ACCOUNTS	16
#define DEPOSIT		3	/* so small that accounts are closed and opened again */

static const char * const accounts[ACCOUNTS] = {
	"account 0", "account 1", "account 2", "account 3", "account 4", "account 5",
	"account 6", "account 7", "account 8", "account 9", "account 10", "account 11",
	"account 12", "account 13", "account 14", "account 15",
};

/* What is in an account after a GET of it: there is none if that is nothing */
static __u64 amount_of(const struct metastore_op *op)
{
	__u64 amount = 0;

	if (op->result == -ENOENT)
		return 0;
	CHECK(!op->result && op->value_len == sizeof(amount));
	memcpy(&amount, (void *)(uintptr_t)op->value, sizeof(amount));
	CHECK(amount);
	return amount;
}

/* Makes it @amount, if it is still as it was when @got */
static struct metastore_op change_to(const struct metastore_op *got, __u64 *amount)
{
	const char *key = (char *)(uintptr_t)got->key;

	if (!*amount)
		return ms_op_if(ms_op_delete(key), got->version);
	return ms_op_if(ms_op(rand() % 2 ? METASTORE_OP_SET : METASTORE_OP_PUBLISH, key, amount,
				sizeof(*amount)), got->result ? 0 : got->version);
}

/* Moves something from one account to another. Returns whether nobody came between. */
static bool transfer(int fd)
{
	int from = rand() % ACCOUNTS, to = (from + 1 + rand() % (ACCOUNTS - 1)) % ACCOUNTS, ret;
	__u64 bufs[2], amounts[2], moved;
	struct metastore_op gets[] = {
		ms_op_get(accounts[from], &bufs[0], sizeof(bufs[0])),
		ms_op_get(accounts[to], &bufs[1], sizeof(bufs[1])),
	};
	struct metastore_op sets[2];

	CHECK(!ms_batch(fd, gets, 2, ATOMIC, NULL));
	amounts[0] = amount_of(&gets[0]);
	amounts[1] = amount_of(&gets[1]);
	if (!amounts[0])
		return true;
	moved = 1 + rand() % amounts[0];
	amounts[0] -= moved;
	amounts[1] += moved;
	sets[0] = change_to(&gets[0], &amounts[0]);
	sets[1] = change_to(&gets[1], &amounts[1]);
	ret = ms_batch(fd, sets, 2, ATOMIC, NULL);
	CHECK(!ret || (ret == -ECANCELED &&
		       (sets[0].result == -ESTALE || sets[1].result == -ESTALE)));
	return !ret;
}

static __u64 sum_of_all(int fd)
{
	struct metastore_op gets[ACCOUNTS];
	__u64 bufs[ACCOUNTS], sum = 0;
	int i;

	for (i = 0; i < ACCOUNTS; i++)
		gets[i] = ms_op_get(accounts[i], &bufs[i], sizeof(bufs[i]));
	CHECK(!ms_batch(fd, gets, ACCOUNTS, ATOMIC, NULL));
	for (i = 0; i < ACCOUNTS; i++)
		sum += amount_of(&gets[i]);
	return sum;
}

/* Reads one account and writes the same amount again, if nobody came between */
static void touch(int fd)
{
	const char *key = accounts[rand() % ACCOUNTS];
	struct metastore_set arg;
	__u64 amount, version;
	int ret = ms_get(fd, key, &amount, sizeof(amount), &version);

	if (ret == -ENOENT)
		return;
	CHECK(ret == sizeof(amount) && amount && amount <= ACCOUNTS * DEPOSIT);
	arg = (struct metastore_set) {
		.key = ms_ptr(key),
		.value = ms_ptr(&amount),
		.key_len = strlen(key),
		.value_len = sizeof(amount),
		.flags = METASTORE_F_IF_VERSION,
		.version = version,
	};
	ret = ms_ioctl(fd, METASTORE_IOC_SET, &arg);
	CHECK(!ret || ret == -ESTALE);
	/* And something that has nothing to do with it, in the same buckets */
	CHECK(!ms_set(fd, accounts[rand() % ACCOUNTS] + 1, "other", NULL));
}

/* Nobody who sums them up sees what is on its way from one to another */
TEST_F(isolation, transfers)
{
	__u32 i, n, times = ms_size(1500, 20000), movers = 3, readers = 2;
	__u64 amount = DEPOSIT, late = 0, sums = 0;

	for (i = 0; i < ACCOUNTS; i++)
		ASSERT_EQ(0, ms_setn(self->fd, accounts[i], strlen(accounts[i]), &amount,
				     sizeof(amount), NULL));
	for (i = 0; i < movers; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++)
			while (!transfer(self->fd))
				crew.board->counts[i]++;
		_exit(0);
	}
	for (i = 0; i < readers; i++) {
		if (!crew_child())
			continue;
		while (!crew_done()) {
			CHECK(sum_of_all(self->fd) == ACCOUNTS * DEPOSIT);
			crew.board->counts[movers + i]++;
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done())
			touch(self->fd);
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, movers));
	crew_finish();
	EXPECT_TRUE(crew_join(movers, movers + readers + 1));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(ACCOUNTS * DEPOSIT, sum_of_all(self->fd));
	for (i = 0; i < movers; i++)
		late += crew.board->counts[i];
	for (i = 0; i < readers; i++)
		sums += crew.board->counts[movers + i];
	EXPECT_LT(0, sums);
	ksft_print_msg("%u transfers, %llu more attempts came too late; %llu sums\n",
		       movers * times, late, sums);
}

/* Neither a batch nor a single write is lost to the other */
TEST_F(isolation, increments)
{
	__u32 i, n, times = ms_times(1000), both = 2, single = 2;
	__u64 zero = 0, a, b;

	ASSERT_EQ(0, ms_setn(self->fd, "a", 1, &zero, sizeof(zero), NULL));
	ASSERT_EQ(0, ms_setn(self->fd, "b", 1, &zero, sizeof(zero), NULL));
	for (i = 0; i < both + single; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			__u32 nr = i < both ? 2 : 1;
			int ret;

			do {
				/* The two in different orders */
				struct metastore_op gets[] = {
					ms_op_get(i ? "a" : "b", &a, sizeof(a)),
					ms_op_get(i ? "b" : "a", &b, sizeof(b)),
				};
				struct metastore_op sets[] = {
					ms_op(METASTORE_OP_SET, i ? "a" : "b", &a, sizeof(a)),
					ms_op(METASTORE_OP_SET, i ? "b" : "a", &b, sizeof(b)),
				};

				CHECK(!ms_batch(self->fd, gets, nr, nr == 2 ? ATOMIC : 0, NULL));
				a++;
				b++;
				sets[0] = ms_op_if(sets[0], gets[0].version);
				sets[1] = ms_op_if(sets[1], gets[1].version);
				ret = ms_batch(self->fd, sets, nr, nr == 2 ? ATOMIC : 0, NULL);
				CHECK(!ret || ret == -ECANCELED);
				ret = ret ?: sets[0].result;
				CHECK(!ret || ret == -ECANCELED || ret == -ESTALE);
			} while (ret);
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, both + single));
	EXPECT_STREQ("", crew.board->error);
	ASSERT_EQ(sizeof(a), ms_get(self->fd, "a", &a, sizeof(a), NULL));
	ASSERT_EQ(sizeof(b), ms_get(self->fd, "b", &b, sizeof(b), NULL));
	EXPECT_EQ((both + single) * times, a);
	EXPECT_EQ(both * times, b);
}

/* Both have seen something, or one something wrong */
static bool seen_by_both(void)
{
	return crew.board->error[0] ||
	       (__atomic_load_n(&crew.board->counts[0], __ATOMIC_RELAXED) &&
		__atomic_load_n(&crew.board->counts[1], __ATOMIC_RELAXED));
}

/*
 * A single GET sees a value of before the batch or of after it, whole, and none
 * older than it has seen; an atomic one sees all of the same batch.
 */
TEST_F(isolation, old_or_new)
{
	static const char * const keys[] = { "x", "y", "z" };
	__u32 i, k, n, times = ms_times(2500);
	static __u32 values[3][500], got[3][500];
	__u64 last[3] = {}, version;

	if (crew_child()) {
		/* As long as it takes, however late the others get a CPU */
		for (n = 1; n <= times || !seen_by_both(); n++) {
			struct metastore_op ops[3];

			for (k = 0; k < 3; k++) {
				__u32 len = n % 7 ? 10 : 500;

				for (i = 0; i < len; i++)
					values[k][i] = n;
				ops[k] = ms_op(METASTORE_OP_SET, keys[(k + n) % 3], values[k],
					       len * sizeof(__u32));
			}
			CHECK(!ms_batch(self->fd, ops, 3, ATOMIC, NULL));
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done()) {
			int ret;

			k = rand() % 3;
			ret = ms_get(self->fd, keys[k], got[0], sizeof(got[0]), &version);
			if (ret == -ENOENT && !last[k])
				continue;
			CHECK(ret == 10 * sizeof(__u32) || ret == sizeof(got[0]));
			for (i = 1; i < ret / sizeof(__u32); i++)
				CHECK(got[0][i] == got[0][0]);
			CHECK(version >= last[k]);
			last[k] = version;
			crew.board->counts[0]++;
		}
		_exit(0);
	}
	if (crew_child()) {
		while (!crew_done()) {
			struct metastore_op ops[3];

			for (k = 0; k < 3; k++)
				ops[k] = ms_op_get(keys[k], got[k], sizeof(got[k]));
			CHECK(!ms_batch(self->fd, ops, 3, ATOMIC, NULL));
			CHECK(ops[0].result == ops[1].result && ops[0].result == ops[2].result);
			if (ops[0].result == -ENOENT)
				continue;
			CHECK(got[0][0] == got[1][0] && got[0][0] == got[2][0]);
			crew.board->counts[1]++;
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 1));
	crew_finish();
	EXPECT_TRUE(crew_join(1, 3));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_LT(0, crew.board->counts[0]);
	EXPECT_LT(0, crew.board->counts[1]);
}

/*
 * Who reads of batches that are published while others publish the same keys, and
 * others, one by one. A value is "WRITER NUMBER"; @open is the one whose next event
 * must come now.
 */
struct story {
	char open[32];
	char closed[32];	/* the batch whose last event was the one before */
	__u64 last[4];		/* version, of each key */
	__u64 events;
	__u64 groups;
	__u64 lost;
	__u32 wrong;
};

static void read_story(struct story *story, struct ms_reader *r)
{
	const struct metastore_event *ev;
	char value[32];
	bool more;

	while ((ev = ms_next(r))) {
		if (ev->type == METASTORE_EVENT_LOST) {
			/* What was to come next may be among those */
			story->lost += ev->count;
			story->open[0] = '\0';
			story->closed[0] = '\0';
			continue;
		}
		more = ev->flags & METASTORE_EVENT_F_MORE;
		snprintf(value, sizeof(value), "%.*s", ev->value_len, ms_event_value(ev));
		story->wrong += story->open[0] ? strcmp(story->open, value) != 0 :
						 strcmp(story->closed, value) == 0;
		story->wrong += more && value[0] != 'b';
		story->groups += !story->open[0] && more;
		snprintf(story->open, sizeof(story->open), "%s", more ? value : "");
		snprintf(story->closed, sizeof(story->closed), "%s", more ? "" : value);
		story->wrong += ev->version <= story->last[ev->cookie];
		story->last[ev->cookie] = ev->version;
		story->events++;
	}
	story->wrong += errno != EAGAIN;
}

static const char * const told[] = { "t0", "t1", "t2", "t3" };

/* Publishes batches of three of the four keys, "b WRITER NUMBER", or single keys */
static void tell(int fd, __u32 writer, bool single, __u32 times)
{
	char value[32];
	__u32 n;

	for (n = 0; n < times; n++) {
		struct metastore_op ops[3];
		int k = rand() % 4, i;

		snprintf(value, sizeof(value), "%c%u %u", single ? 's' : 'b', writer, n);
		if (single) {
			CHECK(ms_publish(fd, told[k], value, NULL) >= 0);
			continue;
		}
		for (i = 0; i < 3; i++)
			ops[i] = ms_op_publish(told[(k + i * (writer % 2 ? 1 : 3)) % 4], value);
		CHECK(!ms_batch(fd, ops, 3, ATOMIC, NULL));
	}
	_exit(0);
}

/* @others: further subscribers of each key */
static void expect_together(struct __test_metadata *_metadata, int fd, int others, __u32 times)
{
	static struct story stories[3];
	struct ms_reader readers[3];
	int fds[MANY], i, k, alive;
	__u64 groups = 0, want;

	ASSERT_GE(MANY, others);
	for (i = 0; i < others; i++) {
		fds[i] = ms_reopen(fd, O_RDONLY);
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, ms_subscribe(fds[i], told[k], 0, k));
	}
	/* One reads at once, one by little, one at the end alone */
	for (i = 0; i < 3; i++) {
		readers[i] = ms_reader(ms_reopen(fd, O_RDONLY | O_NONBLOCK), i ? 4096 : 128);
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, ms_subscribe(readers[i].fd, told[k], 0, k));
	}
	for (i = 0; i < 4; i++)
		if (crew_child())
			tell(fd, i, i >= 2, times);
	crew_start();
	do {
		alive = waitpid(-1, NULL, WNOHANG) >= 0;
		read_story(&stories[0], &readers[0]);
		read_story(&stories[1], &readers[1]);
	} while (alive);
	EXPECT_STREQ("", crew.board->error);
	want = 2 * 3 * times + 2 * times;
	for (i = 0; i < 3; i++) {
		read_story(&stories[i], &readers[i]);
		EXPECT_EQ(0, stories[i].wrong);
		EXPECT_STREQ("", stories[i].open);
		EXPECT_EQ(want, stories[i].events + stories[i].lost);
		groups += stories[i].groups;
		close(readers[i].fd);
	}
	EXPECT_LT(0, groups);
	ms_close_many(fds, others);
}

TEST_F(isolation, events_together)
{
	expect_together(_metadata, self->fd, 0, ms_times(1000));
}

/* Each key is delivered in parts, and whoever comes next helps with that */
TEST_F(isolation, events_together_with_many_subscribers)
{
	expect_together(_metadata, self->fd, MANY, ms_times(200));
}

/* Batches and single writes wait for each other's deliveries, in any order of keys */
TEST_F(isolation, nobody_waits_for_ever)
{
	int fds[MANY], i, k, ret;
	__u32 n, times = ms_times(300);

	for (i = 0; i < MANY; i++) {
		fds[i] = ms_reopen(self->fd, O_RDONLY);
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, ms_subscribe(fds[i], told[k], EVENTS_ALL, 0));
	}
	for (i = 0; i < 6; i++) {
		if (!crew_child())
			continue;
		for (n = 0; n < times; n++) {
			int first = rand() % 4, step = rand() % 2 ? 1 : 3;
			const char *key = told[first], *key2 = told[(first + step) % 4];
			struct metastore_op ops[] = {
				ms_op_publish(key, "v"), ms_op_set(key2, "v"),
			};

			switch (rand() % 6) {
			case 0:
				ret = ms_delete(self->fd, key, NULL);
				CHECK(!ret || ret == -ENOENT);
				break;
			case 1:
				CHECK(ms_publish(self->fd, key, "v", NULL) > 0);
				break;
			case 2:
				ops[1] = ms_op_delete(key2);
				ret = ms_batch(self->fd, ops, 2, ATOMIC, NULL);
				CHECK(!ret || (ret == -ECANCELED && ops[1].result == -ENOENT));
				break;
			case 3:
				/* One comes and goes while they are told */
				ret = ms_reopen(self->fd, O_RDONLY);
				CHECK(ret >= 0 && !ms_subscribe(ret, key, 0, 0));
				close(ret);
				break;
			default:
				ops[0].ttl = rand() % 3;
				CHECK(!ms_batch(self->fd, ops, 2, ATOMIC, NULL));
			}
		}
		_exit(0);
	}
	crew_start();
	EXPECT_TRUE(crew_join(0, 6));
	EXPECT_STREQ("", crew.board->error);
	for (k = 0; k < 4; k++)
		EXPECT_EQ(MANY, ms_publish(self->fd, told[k], "v", NULL));
}

/* Batches of all four keys, each of which has many subscribers, until the test is over */
static void tell_all(int fd)
{
	struct metastore_op ops[4];
	int k;

	while (!crew_done()) {
		for (k = 0; k < 4; k++)
			ops[k] = ms_op_publish(told[k], "v");
		CHECK(!ms_batch(fd, ops, 4, ATOMIC, NULL));
	}
	_exit(0);
}

/*
 * Who comes in the middle of a batch's delivery gets nothing of it, and who goes gets
 * nothing more. The one under test is the oldest subscriber of the first key, so that
 * it is the last to be told.
 */
TEST_F(isolation, come_and_go)
{
	__u32 i, k, n, times = ms_times(150), early = 0, late = 0;
	int fd = ms_reopen(self->fd, O_RDONLY | O_NONBLOCK), fds[MANY];
	struct ms_reader r = ms_reader(fd, MS_READER_SIZE);
	const struct metastore_event *ev;
	__u64 before[4] = {};

	ASSERT_EQ(0, ms_subscribe(fd, told[0], 0, 0));
	for (i = 0; i < MANY; i++) {
		fds[i] = ms_reopen(self->fd, O_RDONLY);
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, ms_subscribe(fds[i], told[k], 0, 0));
	}
	for (i = 0; i < 2; i++)
		if (crew_child())
			tell_all(self->fd);
	crew_start();
	for (n = 0; n < times; n++) {
		for (k = 1; k < 4; k++) {
			before[k] = ms_version(self->fd, told[k]);
			ASSERT_EQ(0, ms_subscribe(fd, told[k], 0, k));
		}
		ASSERT_TRUE(ms_await(&r));
		while ((ev = ms_next(&r)))
			early += ev->type != METASTORE_EVENT_LOST &&
				 ev->version <= before[ev->cookie];
		for (k = 1; k < 4; k++)
			ASSERT_EQ(0, ms_unsubscribe(fd, told[k]));
		while ((ev = ms_next(&r)))
			early += ev->type != METASTORE_EVENT_LOST &&
				 ev->version <= before[ev->cookie];
		ms_sleep(n % 4 * SECOND / 1000);
		while ((ev = ms_next(&r)))
			late += ev->cookie != 0;
		ASSERT_EQ(EAGAIN, errno);
	}
	crew_finish();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(0, early);
	EXPECT_EQ(0, late);
	ms_close_many(fds, MANY);
}

#define MIXED	10

static const char * const mixed[MIXED] = {
	"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9",
};

/* One of those that others may refuse; what they may refuse it for is checked */
static void mix_batch(int fd)
{
	static const __u32 flags[] = {
		0, METASTORE_F_CREATE, METASTORE_F_REPLACE, METASTORE_F_OWNED, METASTORE_F_STEAL,
		METASTORE_F_OWNED | METASTORE_F_STEAL,
	};
	int i, nr = 1 + rand() % 4, first = rand() % MIXED, ret;
	struct metastore_op ops[4];
	char bufs[4][16];
	__u32 failed;

	for (i = 0; i < nr; i++) {
		const char *key = mixed[(first + i * 3) % MIXED];

		switch (rand() % 4) {
		case 0:
			ops[i] = ms_op_get(key, bufs[i], sizeof(bufs[i]));
			continue;
		case 1:
			ops[i] = ms_op_delete(key);
			ops[i].flags = rand() % 2 ? METASTORE_F_STEAL : 0;
			continue;
		case 2:
			ops[i] = ms_op_set(key, "batch");
			break;
		default:
			ops[i] = ms_op_publish(key, "batch");
		}
		ops[i].flags = flags[rand() % ARRAY_SIZE(flags)];
		ops[i].ttl = rand() % 4;
	}
	ret = ms_batch(fd, ops, nr, rand() % 4 ? ATOMIC : 0, &failed);
	CHECK(!ret || ret == -ECANCELED);
	if (!ret)
		return;
	CHECK(failed < (__u32)nr);
	ret = ops[failed].result;
	CHECK(ret == -ENOENT || ret == -EEXIST || ret == -EBUSY);
}

static void mix_single(int fd)
{
	const char *key = mixed[rand() % MIXED];
	struct metastore_flush flush;
	__u64 version;
	char buf[16];
	int ret;

	switch (rand() % 9) {
	case 0:
		ret = ms_set_ttl(fd, key, "single", rand() % 3, NULL);
		break;
	case 1:
		ret = ms_own(fd, key, "own", NULL);
		break;
	case 2:
		ret = ms_set_if(fd, key, "thief", METASTORE_F_OWNED | METASTORE_F_STEAL, NULL);
		CHECK(!ret);
		break;
	case 3:
		ret = ms_delete_if(fd, key, rand() % 2 ? METASTORE_F_STEAL : 0, NULL);
		break;
	case 4:
		ret = ms_get(fd, key, buf, sizeof(buf), &version) < 0 ? 0 :
		      ms_set_if(fd, key, "if", METASTORE_F_IF_VERSION, &version);
		break;
	case 5:
		ret = ms_set_if(fd, key, "created", METASTORE_F_CREATE, NULL);
		break;
	case 6:
		ret = ms_flush(fd, key, METASTORE_ANY_BUCKET,
			       rand() % 2 ? METASTORE_FLUSH_STEAL : 0, &flush);
		CHECK(!ret);
		break;
	case 7:
		ret = ms_unsubscribe(fd, key);
		break;
	default:
		ret = ms_subscribe(fd, key, 1 + rand() % EVENTS_ALL, 0);
	}
	CHECK(!ret || ret == -ENOENT || ret == -EEXIST || ret == -EBUSY || ret == -ESTALE);
}

/* Sets some keys as its own and is killed before it is done */
static void mix_and_die(int fd)
{
	pid_t pid = ms_fork();
	int i;

	if (!pid) {
		fd = ms_reopen(fd, O_RDWR | O_NONBLOCK);
		for (i = 0; i < 5; i++)
			mix_single(fd);
		raise(SIGKILL);
	}
	CHECK(ms_join(pid) == -1);
}

/*
 * All that can happen to a key, by all ways at once. One subscriber sees of each key
 * a story that can be true, and in the end there is nothing left.
 */
TEST_F(isolation, everything_at_once)
{
	__u32 i, n, times = ms_size(1200, 20000), wrong = 0, deaths = 0;
	struct ms_reader r = ms_reader(self->fd, MS_READER_SIZE);
	bool known[MIXED] = {}, present[MIXED] = {}, alive;
	const struct metastore_event *ev;
	__u64 last[MIXED] = {}, end;
	struct metastore_info info;

	for (i = 0; i < MIXED; i++)
		ASSERT_EQ(0, ms_subscribe(self->fd, mixed[i], EVENTS_ALL, i));
	for (i = 0; i < 5; i++) {
		int fd;

		if (!crew_child())
			continue;
		fd = ms_reopen(self->fd, O_RDWR | O_NONBLOCK);
		for (n = 0; n < times; n++) {
			if (n % 16 == 0) {
				close(fd);
				fd = ms_reopen(self->fd, O_RDWR | O_NONBLOCK);
				CHECK(fd >= 0);
			}
			if (n % 64 == 0)
				mix_and_die(fd);
			else if (n % 2)
				mix_batch(fd);
			else
				mix_single(fd);
		}
		_exit(0);
	}
	crew_start();
	do {
		alive = waitpid(-1, NULL, WNOHANG) >= 0;
		while ((ev = ms_next(&r))) {
			__u64 k = ev->cookie;

			if (ev->type == METASTORE_EVENT_LOST) {
				/* Of which of its events that says nothing */
				known[k] = false;
				continue;
			}
			wrong += ev->version <= last[k];
			wrong += ev->type == METASTORE_EVENT_DELETED && known[k] && !present[k];
			wrong += ev->flags & METASTORE_EVENT_F_STOLEN && known[k] && !present[k];
			deaths += !!(ev->flags & METASTORE_EVENT_F_OWNER);
			last[k] = ev->version;
			present[k] = ev->type != METASTORE_EVENT_DELETED;
			known[k] = true;
		}
		ASSERT_EQ(EAGAIN, errno);
		ms_poll(self->fd, 1);
	} while (alive);
	end = ms_now(CLOCK_MONOTONIC) + ms_limit(10 * SECOND);
	EXPECT_STREQ("", crew.board->error);
	EXPECT_EQ(0, wrong);
	EXPECT_LT(0, deaths);
	ASSERT_EQ(0, ms_reset(self->fd));
	/* Values whose time is over are the worker's */
	while (ms_keys(self->fd) && ms_now(CLOCK_MONOTONIC) < end)
		ms_sleep(SECOND / 1000);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
	EXPECT_EQ(0, info.subscriptions);
}

TEST_HARNESS_MAIN
