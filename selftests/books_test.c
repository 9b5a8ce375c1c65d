// SPDX-License-Identifier: GPL-2.0
/*
 * Books that balance: for each policy four publishers and 64 subscribers of different
 * speeds, some of which are killed midway, and one publisher too. Each subscriber that
 * is left accounts for every event of every key.
 */
#define CREW_MAX	80
#include "crew.h"

#define KEYS		8
#define PREFIX		"book"
#define PUBLISHERS	4
#define SUBSCRIBERS	64
#define KILLS		16
#define VALUE_MAX	128

/* What publishers share with all */
static struct {
	__u64 begun[PUBLISHERS][KEYS];	/* changes */
	__u64 made[PUBLISHERS][KEYS];
	__u64 rounds[PUBLISHERS];
	__u64 matched[SUBSCRIBERS][KEYS];
} *board;

/* One subscriber's own account of a key */
struct account {
	__u64 received;
	__u64 lost;
	__u32 ended;		/* snapshots */
	__u64 version;		/* of the last event */
	__u16 type;
	__u32 len;
	char value[VALUE_MAX];
};

static const char *const keys[KEYS] = {
	PREFIX "0", PREFIX "1", PREFIX "2", PREFIX "3",
	PREFIX "4", PREFIX "5", PREFIX "6", PREFIX "7",
};

FIXTURE(books)
{
	int fd;
	bool killed[CREW_MAX];
};

FIXTURE_VARIANT(books)
{
	__u32 flags;		/* of the subscriptions */
	__u32 policy;
	__u32 queue_len;	/* 0: as it is */
	__u32 queue_bytes;
	bool overflows;		/* though only the latest event of each key waits */
	bool waits;		/* PUBLISH for room */
};

FIXTURE_VARIANT_ADD(books, drop_oldest)
{
	.policy = METASTORE_QUEUE_DROP_OLDEST,
	.queue_len = 16,
};

FIXTURE_VARIANT_ADD(books, drop_oldest_prefix)
{
	.flags = METASTORE_SUBSCRIBE_PREFIX,
	.policy = METASTORE_QUEUE_DROP_OLDEST,
	.queue_len = 16,
};

FIXTURE_VARIANT_ADD(books, lossless)
{
	.policy = METASTORE_QUEUE_LOSSLESS,
	.queue_len = 16,
};

FIXTURE_VARIANT_ADD(books, lossless_awaited)
{
	.flags = METASTORE_SUBSCRIBE_PREFIX,
	.policy = METASTORE_QUEUE_LOSSLESS,
	.queue_len = 16,
	.waits = true,
};

FIXTURE_VARIANT_ADD(books, latest)
{
	.flags = METASTORE_SUBSCRIBE_LATEST,
	.policy = METASTORE_QUEUE_DROP_OLDEST,
	.queue_bytes = 4 << 20,		/* half of it is room for the keys */
};

/* As many as there are keys: it cannot overflow */
FIXTURE_VARIANT_ADD(books, latest_prefix)
{
	.flags = METASTORE_SUBSCRIBE_LATEST | METASTORE_SUBSCRIBE_PREFIX,
	.policy = METASTORE_QUEUE_DROP_OLDEST,
	.queue_len = KEYS,
};

/* And so it can */
FIXTURE_VARIANT_ADD(books, latest_prefix_overflow)
{
	.flags = METASTORE_SUBSCRIBE_LATEST | METASTORE_SUBSCRIBE_PREFIX,
	.policy = METASTORE_QUEUE_DROP_OLDEST,
	.queue_len = KEYS / 2,
	.overflows = true,
};

/* A value that is not read yet has no events: only what is told must agree */
FIXTURE_VARIANT_ADD(books, snapshot)
{
	.flags = METASTORE_SUBSCRIBE_SNAPSHOT | METASTORE_SUBSCRIBE_PREFIX,
	.policy = METASTORE_QUEUE_DROP_OLDEST,
	.queue_len = 64,
};

FIXTURE_SETUP(books)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_TRUE(crew_init());
	board = ms_shared(sizeof(*board));
	ASSERT_TRUE(!!board);
}

FIXTURE_TEARDOWN(books)
{
	close(self->fd);
}

/* Publishers */

static __u32 random_value(char *value)
{
	__u32 len = rand() % (VALUE_MAX + 1);

	memset(value, rand(), len);
	return len;
}

static int publish_waiting(int fd, const char *key, const char *value, __u32 len)
{
	struct metastore_set arg = {
		.key = ms_ptr(key),
		.value = ms_ptr(value),
		.key_len = strlen(key),
		.value_len = len,
		.flags = METASTORE_F_WAIT,
		.timeout = METASTORE_WAIT_FOREVER,
	};

	return ms_ioctl(fd, METASTORE_IOC_PUBLISH, &arg);
}

/* Two keys at one moment: each queue gets their events together */
static int publish_two(int fd, int key, int other, const char *value, __u32 len)
{
	struct metastore_op ops[] = {
		ms_op(METASTORE_OP_PUBLISH, keys[key], value, len),
		ms_op(METASTORE_OP_SET, keys[other], value, len),
	};

	return ms_batch(fd, ops, 2, METASTORE_BATCH_ATOMIC, NULL);
}

static int change(int fd, int key, int other, bool waits)
{
	const char *name = keys[key];
	char value[VALUE_MAX];
	__u32 len = random_value(value);

	if (other != key)
		return publish_two(fd, key, other, value, len);
	if (waits)
		return publish_waiting(fd, name, value, len);
	switch (rand() % 8) {
	case 0:
		return ms_delete(fd, name, NULL);
	case 1:
	case 2:
		return ms_setn(fd, name, strlen(name), value, len, NULL);
	}
	return ms_publishn(fd, name, strlen(name), value, len, NULL);
}

static void count(__u64 *number)
{
	__atomic_add_fetch(number, 1, __ATOMIC_RELEASE);
}

/* What it has begun is written down before, what it has made behind */
static void publisher(int me, __u32 rounds, bool waits)
{
	int fd = ms_open(O_WRONLY), key, other, ret;

	CHECK(fd >= 0);
	while (rounds--) {
		key = rand() % KEYS;
		/* What has not said that it waits is a loss to who is lossless */
		other = waits || rand() % 8 ? key : rand() % KEYS;
		count(&board->begun[me][key]);
		if (other != key)
			count(&board->begun[me][other]);
		ret = change(fd, key, other, waits);
		CHECK(ret >= 0 || ret == -ENOENT);
		if (ret == -ENOENT) {
			__atomic_sub_fetch(&board->begun[me][key], 1, __ATOMIC_RELEASE);
		} else {
			count(&board->made[me][key]);
			if (other != key)
				count(&board->made[me][other]);
		}
		count(&board->rounds[me]);
	}
}

static __u64 sum(__u64 (*numbers)[KEYS], int key)
{
	__u64 total = 0;
	int i;

	for (i = 0; i < PUBLISHERS; i++)
		total += numbers[i][key];
	return total;
}

/* Subscribers */

/* Of a prefix all keys have one account of losses, the first one. Returns the key. */
static int note(struct account *accounts, const struct metastore_event *ev, bool prefix)
{
	struct account *account;
	int key;

	CHECK(ev->cookie < KEYS);
	if (ev->type == METASTORE_EVENT_LOST) {
		accounts[ev->cookie].lost += ev->count;
		return -1;
	}
	if (ev->type == METASTORE_EVENT_SNAPSHOT_END) {
		CHECK(!accounts[ev->cookie].ended++);
		return -1;
	}
	CHECK(ev->key_len == strlen(PREFIX "0") && ev->value_len <= VALUE_MAX);
	key = ms_event_key(ev)[strlen(PREFIX)] - '0';
	CHECK(key >= 0 && key < KEYS && (prefix || key == (int)ev->cookie));
	account = &accounts[key];
	CHECK(ev->version > account->version);
	account->received++;
	account->version = ev->version;
	account->type = ev->type;
	account->len = ev->value_len;
	memcpy(account->value, ms_event_value(ev), ev->value_len);
	return key;
}

/*
 * 0: as fast as it can, 1: event by event, 2: it dawdles, 3: not before the end. Who is
 * waited for has to read.
 */
static int speed_of(int me, const struct _fixture_variant_books *variant)
{
	return me % 4 == 3 && variant->waits ? 2 : me % 4;
}

/* Returns the key of the very last record */
static int follow(int fd, struct account *accounts, int speed, bool prefix)
{
	size_t size = speed == 1 ? 256 : MS_READER_SIZE;
	struct ms_reader r = ms_reader(fd, size);
	const struct metastore_event *ev;
	int last = -1;
	bool end;

	do {
		end = crew_done();
		if (speed == 3 && !end) {
			ms_sleep(SECOND / 100);
			continue;
		}
		if (!end)
			ms_poll(fd, 20);
		if (speed == 2 && !end)
			ms_sleep(SECOND / 500);
		while ((ev = ms_next(&r)))
			last = note(accounts, ev, prefix);
		CHECK(errno == EAGAIN);
	} while (!end);
	return last;
}

/* What the store has is what the last event told */
static void check_last(int fd, int key, const struct account *account)
{
	char value[VALUE_MAX];
	__u64 version;
	int len = ms_get(fd, keys[key], value, sizeof(value), &version);

	if (len == -ENOENT) {
		CHECK(!account->received || account->type == METASTORE_EVENT_DELETED);
		return;
	}
	CHECK(len >= 0);
	CHECK(account->version == version && account->len == (__u32)len);
	CHECK(!memcmp(account->value, value, len));
}

/* A subscription to so many keys from @first on */
static void check_books(const struct metastore_subscription_info *info,
			const struct account *accounts, int first, int nr, bool snapshot)
{
	__u64 received = 0, made = 0, begun = 0;
	int key;

	for (key = first; key < first + nr; key++) {
		received += accounts[key].received;
		made += sum(board->made, key);
		begun += sum(board->begun, key);
	}
	if (snapshot)
		CHECK(info->matched <= KEYS + begun);
	else
		CHECK(info->matched >= made && info->matched <= begun);
	CHECK(info->pending == 0);
	CHECK(info->delivered == received);
	CHECK(info->lost == accounts[first].lost);
	CHECK(info->matched == info->delivered + info->conflated + info->lost);
	CHECK(info->flags & METASTORE_SUBSCRIBE_LATEST || !info->conflated);
}

/* All subscriptions together are the file's. What has a place is not in the ring. */
static void check_queue(int fd, const struct metastore_queue_info *all, __u32 places)
{
	struct metastore_queue_info queue;

	CHECK(!ms_queue(fd, &queue));
	CHECK(queue.matched == all->matched && queue.delivered == all->delivered);
	CHECK(queue.conflated == all->conflated && queue.lost == all->lost);
	CHECK(!queue.pending && !queue.len && !queue.oldest);
	CHECK(queue.subscriptions == all->subscriptions);
	CHECK(queue.high_len <= queue.max_len + places);
	CHECK(ms_fdinfo(fd, "matched") == (long long)queue.matched);
	CHECK(ms_fdinfo(fd, "lost") == (long long)queue.lost);
}

/* What must not lose did not; who did not read had more than there is room for */
static void check_policy(int me, const struct metastore_queue_info *all,
			 const struct _fixture_variant_books *variant)
{
	bool latest = variant->flags & METASTORE_SUBSCRIBE_LATEST;

	if (variant->waits || (latest && !variant->overflows))
		CHECK(!all->lost);
	if (speed_of(me, variant) != 3)
		return;
	if (latest)
		CHECK(all->matched <= KEYS || all->conflated);
	if (!latest || variant->overflows)
		CHECK(all->matched <= 64 || all->lost);
}

static void audit(int me, int fd, const struct account *accounts,
		  const struct _fixture_variant_books *variant)
{
	__u32 flags = variant->flags & ~METASTORE_SUBSCRIBE_SNAPSHOT;
	bool prefix = flags & METASTORE_SUBSCRIBE_PREFIX;
	struct metastore_subscription_info info;
	struct metastore_queue_info all = {};
	int key, step = prefix ? KEYS : 1;

	for (key = 0; key < KEYS; key += step) {
		CHECK(!ms_subscription(fd, prefix ? PREFIX : keys[key],
				       variant->flags & METASTORE_SUBSCRIBE_PREFIX, &info));
		CHECK(info.flags == flags);
		check_books(&info, accounts, key, step, flags != variant->flags);
		board->matched[me][key] = info.matched;
		all.matched += info.matched;
		all.delivered += info.delivered;
		all.conflated += info.conflated;
		all.lost += info.lost;
		all.subscriptions++;
	}
	check_queue(fd, &all, variant->flags == METASTORE_SUBSCRIBE_LATEST ? KEYS : 0);
	for (key = 0; key < KEYS; key++)
		if (!accounts[prefix ? 0 : key].lost)
			check_last(fd, key, &accounts[key]);
	check_policy(me, &all, variant);
}

static int subscribe(int fd, const struct _fixture_variant_books *variant)
{
	struct metastore_subscribe arg = { .events = EVENTS_ALL, .flags = variant->flags };
	struct metastore_queue_info queue = {
		.flags = METASTORE_QUEUE_SET_POLICY,
		.policy = variant->policy,
		.max_len = variant->queue_len,
		.max_bytes = variant->queue_bytes,
	};
	int key, ret;

	if (queue.max_len)
		queue.flags |= METASTORE_QUEUE_SET_LEN;
	if (queue.max_bytes)
		queue.flags |= METASTORE_QUEUE_SET_BYTES;
	ret = ms_ioctl(fd, METASTORE_IOC_QUEUE, &queue);
	if (ret || variant->flags & METASTORE_SUBSCRIBE_PREFIX)
		return ret ?: ms_subscribe_with(fd, PREFIX, arg);
	for (key = 0; key < KEYS && !ret; key++) {
		arg.cookie = key;
		ret = ms_subscribe_with(fd, keys[key], arg);
	}
	return ret;
}

static void subscriber(int me, int fd, const struct _fixture_variant_books *variant)
{
	struct account *accounts = calloc(KEYS, sizeof(*accounts));
	int last;

	CHECK(accounts);
	last = follow(fd, accounts, speed_of(me, variant),
		      variant->flags & METASTORE_SUBSCRIBE_PREFIX);
	audit(me, fd, accounts, variant);
	if (variant->flags & METASTORE_SUBSCRIBE_SNAPSHOT) {
		CHECK(accounts[0].ended == 1);
		return;
	}
	/* Whatever was dropped is older */
	CHECK(last >= 0);
	if (variant->policy == METASTORE_QUEUE_DROP_OLDEST)
		check_last(fd, last, &accounts[last]);
}

/* Until the first publisher has done so many */
static bool await_rounds(__u64 rounds)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(100 * SECOND);

	while (__atomic_load_n(&board->rounds[0], __ATOMIC_ACQUIRE) < rounds) {
		if (crew.board->error[0] || ms_now(CLOCK_MONOTONIC) > end)
			return false;
		ms_sleep(SECOND / 1000);
	}
	return true;
}

/* Who it is, is chance; that it is midway is not */
static void kill_one(struct _test_data_books *self, int from, int to)
{
	int i;

	do {
		i = from + rand() % (to - from);
	} while (self->killed[i]);
	self->killed[i] = true;
	kill(crew.pids[i], SIGKILL);
	waitpid(crew.pids[i], NULL, 0);
}

TEST_F_TIMEOUT(books, balance, 100)
{
	bool snapshot = variant->flags & METASTORE_SUBSCRIBE_SNAPSHOT;
	__u32 rounds = ms_size(60, 4000);
	struct metastore_info info;
	int i, j, fd, key;

	for (key = 0; key < KEYS && snapshot; key++)
		ASSERT_EQ(0, ms_set(self->fd, keys[key], "first", NULL));
	for (i = 0; i < SUBSCRIBERS; i++) {
		fd = ms_open(O_RDONLY | O_NONBLOCK);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, subscribe(fd, variant));
		if (crew_child()) {
			subscriber(i, fd, variant);
			_exit(0);
		}
		close(fd);
	}
	for (i = 0; i < PUBLISHERS; i++) {
		if (crew_child()) {
			publisher(i, rounds, variant->waits);
			_exit(0);
		}
	}
	crew_start();
	for (i = 0; i < KILLS; i++) {
		ASSERT_TRUE(await_rounds(rounds * i / KILLS))
			TH_LOG("%s", crew.board->error);
		kill_one(self, 0, SUBSCRIBERS);
		if (i == KILLS / 2)
			kill_one(self, SUBSCRIBERS + 1, SUBSCRIBERS + PUBLISHERS);
	}
	for (i = SUBSCRIBERS; i < SUBSCRIBERS + PUBLISHERS; i++)
		if (!self->killed[i])
			EXPECT_EQ(0, ms_join(crew.pids[i]));
	crew_finish();
	for (i = 0; i < SUBSCRIBERS; i++)
		if (!self->killed[i])
			EXPECT_EQ(0, ms_join(crew.pids[i]));
	ASSERT_STREQ("", crew.board->error);

	/* They were told of the same changes, also of the one that was never written down */
	for (i = 0; self->killed[i]; i++)
		;
	for (j = i + 1; j < SUBSCRIBERS; j++)
		for (key = 0; key < KEYS && !self->killed[j] && !snapshot; key++)
			ASSERT_EQ(board->matched[i][key], board->matched[j][key]);
	/* Nobody is left, the killed ones' subscriptions neither */
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.subscriptions);
}

TEST_HARNESS_MAIN
