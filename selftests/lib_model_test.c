// SPDX-License-Identifier: GPL-2.0
/*
 * libmetastore beside a model: random calls by two open stores of a private store, each
 * way to change a key, with conditions, owners, times to live and previous values. After
 * each call its result and all that there is to know about the key is as in the model.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/metastore.h>
#include <metastore.h>

#include "lib_test.h"

#define STORES		2
#define KEYS		4
#define VALUE_MAX	600	/* beyond the library's first buffers */
#define STEPS		30000

#define MS		1000000ULL

/**
 * struct model - a key
 * @version:	0: it is absent
 * @last:	version of its last change
 * @owner:	number of the open store, from 1; 0: none
 * @least:	it ends at this time at the earliest, CLOCK_BOOTTIME in ns; 0: never
 * @most:	and at this one at the latest
 * @tied:	it counts as one with an owner or an end
 */
struct model {
	uint64_t version;
	uint64_t last;
	size_t len;
	char value[VALUE_MAX];
	int owner;
	uint64_t least;
	uint64_t most;
	bool tied;
};

/* A call and its outcome. */
struct call {
	char what[160];
	struct mstore_options options;
	struct mstore_previous previous;
	char room[VALUE_MAX];
	char value[VALUE_MAX];
	size_t len;
	uint64_t before;
	uint64_t after;
	uint64_t version;
	int error;
};

/* Two open stores of one store, and what it must have. */
struct world {
	struct mstore *stores[STORES];
	struct mstore_batch *batch;
	struct model keys[KEYS];
	uint64_t random;
};

FIXTURE(model) {
	struct world world;
};

FIXTURE_SETUP(model)
{
	struct mstore *from = mstore_open(DEVICE, MSTORE_RDWR);

	ASSERT_NE(NULL, from);
	self->world.stores[0] = mstore_create(from, NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, self->world.stores[0]);
	mstore_close(from);
	self->world.stores[1] = mstore_reopen(self->world.stores[0], MSTORE_RDWR);
	ASSERT_NE(NULL, self->world.stores[1]);
	self->world.batch = mstore_batch_new();
	ASSERT_NE(NULL, self->world.batch);
	self->world.random = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) :
					(uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
	TH_LOG("SEED=%" PRIu64, self->world.random);
}

FIXTURE_TEARDOWN(model)
{
	mstore_batch_free(self->world.batch);
	mstore_close(self->world.stores[0]);
	mstore_close(self->world.stores[1]);
}

/* splitmix64 */
static uint64_t draw(struct world *world, uint64_t below)
{
	uint64_t z = world->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return (z ^ z >> 31) % below;
}

static uint64_t boottime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

/* Values of all kinds: numbers, what only looks like one, short and long bytes. */
static void draw_value(struct world *world, struct call *call)
{
	static const char *const numbers[] = {
		"0", "-1", "41", "9223372036854775807", "-9223372036854775808", "007", "-0", "",
		"9223372036854775808",
	};
	const char *number = numbers[draw(world, ARRAY_SIZE(numbers))];

	switch (draw(world, 4)) {
	case 0:
		call->len = draw(world, VALUE_MAX + 1);
		break;
	case 1:
		call->len = draw(world, 20);
		break;
	default:
		call->len = strlen(number);
		memcpy(call->value, number, call->len);
		return;
	}
	for (size_t i = 0; i < call->len; i++)
		call->value[i] = (char)draw(world, 256);
}

/* A condition that is met more often than not. */
static void draw_condition(struct world *world, const struct model *key,
			   struct mstore_options *options)
{
	switch (draw(world, 8)) {
	case 0:
		options->flags |= MSTORE_CREATE;
		break;
	case 1:
		options->flags |= MSTORE_REPLACE;
		break;
	case 2:
		options->version = draw(world, 2) ? key->last : 0;
		options->flags |= MSTORE_IF_VERSION;
		break;
	case 3:
	case 4:
		options->version = key->version;
		options->flags |= MSTORE_IF_VERSION;
		break;
	default:
		/* Ignored without the flag */
		options->version = draw(world, 2) * POISON;
	}
}

static void draw_options(struct world *world, const struct model *key, struct call *call,
			 bool deletion)
{
	struct mstore_options *options = &call->options;

	draw_condition(world, key, options);
	if (deletion)
		options->flags &= MSTORE_IF_VERSION;
	else if (!draw(world, 3))
		options->flags |= MSTORE_OWNED;
	if (!draw(world, 3))
		options->flags |= MSTORE_STEAL;
	if (!deletion && !draw(world, 3))
		options->ttl_ms = (1 + draw(world, 100)) * 100000;
	else if (!deletion && !draw(world, 2))
		options->flags |= MSTORE_KEEP_TTL;
}

static void draw_previous(struct world *world, const struct model *key, struct call *call)
{
	if (draw(world, 2))
		return;
	memset(call->room, '#', sizeof(call->room));
	call->previous = (struct mstore_previous) {
		.buffer = call->room,
		.size = draw(world, 2) ? key->len : draw(world, VALUE_MAX + 1),
		.version = POISON, .owner = -1,
	};
	call->options.previous = &call->previous;
}

/* The error that the model has for a change, negative. */
static int judge(const struct model *key, int who, const struct call *call, bool deletion)
{
	int flags = call->options.flags;

	if (flags & MSTORE_CREATE && key->version)
		return -EEXIST;
	if (flags & MSTORE_IF_VERSION && call->options.version != key->version)
		return -ESTALE;
	if (!key->version)
		return deletion || flags & MSTORE_REPLACE ? -ENOENT : 0;
	if (key->owner && key->owner != who && !(flags & MSTORE_STEAL))
		return -EBUSY;
	return call->options.previous && key->len > call->previous.size ? -ERANGE : 0;
}

static int seen_by(int who, const struct model *key)
{
	if (!key->version || !key->owner)
		return MSTORE_OWNER_NONE;
	return key->owner == who ? MSTORE_OWNER_SELF : MSTORE_OWNER_OTHER;
}

static void store_in_model(struct model *key, int who, const struct call *call)
{
	const struct mstore_options *options = &call->options;

	key->owner = options->flags & MSTORE_OWNED ? who : 0;
	if (!(options->flags & MSTORE_KEEP_TTL) || !key->version) {
		key->least = options->ttl_ms ? call->before + options->ttl_ms * MS : 0;
		key->most = options->ttl_ms ? call->after + options->ttl_ms * MS : 0;
	}
	key->tied = key->owner || options->ttl_ms || options->flags & MSTORE_KEEP_TTL;
	key->version = call->version;
	key->len = call->len;
	memcpy(key->value, call->value, call->len);
}

#define CHECK(condition) do {						\
	bool _holds = condition;					\
									\
	if (!_holds)							\
		TH_LOG("%s: not %s", call->what, #condition);		\
	ASSERT_TRUE(_holds);						\
} while (0)

/* The previous value, as @was has it, seen by @who. */
static void check_previous(struct __test_metadata *_metadata, const struct call *call,
			   const struct model *was, int who,
			   const struct mstore_previous *previous)
{
	CHECK(previous->version == was->version);
	CHECK(previous->size == (was->version ? was->len : 0));
	CHECK(previous->owner == seen_by(who, was));
	CHECK(!previous->size || !memcmp(previous->buffer, was->value, previous->size));
}

/* The version that a call wrote: after a change a new one, else perhaps the present one. */
static void check_version(struct __test_metadata *_metadata, const struct call *call,
			  struct model *key)
{
	if (!call->error) {
		CHECK(call->version > key->last);
		key->last = call->version;
	} else if (call->error == EEXIST || call->error == ESTALE) {
		CHECK(call->version == key->version);
	}
}

/* Runs a change directly, or as a batch of its own. */
static void run_change(struct world *world, int who, const char *name, struct call *call,
		       int kind)
{
	struct mstore *store = world->stores[who - 1];
	int how = (int)draw(world, 3), ret;

	if (!how) {
		if (kind == METASTORE_OP_DELETE)
			ret = mstore_delete_with(store, name, 1, &call->options, &call->version);
		else if (kind == METASTORE_OP_SET)
			ret = mstore_set_with(store, name, 1, call->value, call->len,
					      &call->options, &call->version);
		else
			ret = mstore_publish_with(store, name, 1, call->value, call->len,
						  &call->options, &call->version);
		call->error = ret ? errno : 0;
		return;
	}
	mstore_batch_clear(world->batch);
	if (kind == METASTORE_OP_DELETE)
		mstore_batch_delete(world->batch, name, 1, &call->options);
	else if (kind == METASTORE_OP_SET)
		mstore_batch_set(world->batch, name, 1, call->value, call->len, &call->options);
	else
		mstore_batch_publish(world->batch, name, 1, call->value, call->len,
				     &call->options);
	mstore_batch_run(store, world->batch, how == 1 ? 0 : MSTORE_BATCH_ATOMIC);
	call->error = mstore_batch_result(world->batch, 0);
	call->version = mstore_batch_version(world->batch, 0);
}

static void change(struct __test_metadata *_metadata, struct world *world, int k, int who,
		   struct call *call, int kind)
{
	const char name[] = { (char)('a' + k) };
	bool deletion = kind == METASTORE_OP_DELETE;
	struct model *key = &world->keys[k], was = *key;
	int want;

	draw_value(world, call);
	draw_options(world, key, call, deletion);
	draw_previous(world, key, call);
	want = -judge(key, who, call, deletion);
	snprintf(call->what, sizeof(call->what),
		 "%d of %c by %d flags %#x version %" PRIu64 " ttl %" PRIu64 " room %zd want %d",
		 kind, name[0], who, call->options.flags, call->options.version,
		 call->options.ttl_ms,
		 call->options.previous ? (ssize_t)call->previous.size : -1, want);
	call->before = boottime();
	run_change(world, who, name, call, kind);
	call->after = boottime();
	CHECK(call->error == want);
	check_version(_metadata, call, key);
	if (call->options.previous && !want) {
		check_previous(_metadata, call, &was, who, &call->previous);
	} else if (call->options.previous && want == ERANGE) {
		CHECK(call->previous.size == was.len);
		CHECK(call->previous.version == was.version);
		CHECK(call->room[0] == '#');
	} else if (call->options.previous) {
		CHECK(call->previous.version == POISON);
		CHECK(call->previous.owner == -1);
	}
	if (want)
		return;
	if (deletion)
		key->version = 0;
	else
		store_in_model(key, who, call);
}

static void take(struct __test_metadata *_metadata, struct world *world, int k, int who,
		 struct call *call)
{
	const char name[] = { (char)('a' + k) };
	struct model *key = &world->keys[k];
	uint64_t version = POISON;
	size_t len = 0;
	char *value;
	int want;

	draw_options(world, key, call, true);
	want = -judge(key, who, call, true);
	snprintf(call->what, sizeof(call->what), "taking %c by %d flags %#x version %" PRIu64,
		 name[0], who, call->options.flags, call->options.version);
	value = mstore_take(world->stores[who - 1], name, 1, &call->options, &len, &version);
	CHECK(value ? !want : errno == want);
	if (!value) {
		CHECK(version == (want == ESTALE ? key->version : POISON));
		return;
	}
	CHECK(len == key->len);
	CHECK(!memcmp(value, key->value, len));
	CHECK(!value[len]);
	CHECK(version == key->version);
	free(value);
	key->version = 0;
}

static void swap(struct __test_metadata *_metadata, struct world *world, int k, int who,
		 struct call *call)
{
	const char name[] = { (char)('a' + k) };
	struct model *key = &world->keys[k], was = *key;
	struct mstore_previous previous = { .version = POISON };
	int want, ret;

	draw_value(world, call);
	draw_options(world, key, call, false);
	want = -judge(key, who, call, false);
	snprintf(call->what, sizeof(call->what), "swapping %c by %d flags %#x version %" PRIu64,
		 name[0], who, call->options.flags, call->options.version);
	call->before = boottime();
	ret = mstore_swap(world->stores[who - 1], name, 1, call->value, call->len, &call->options,
			  &previous, &call->version);
	call->error = ret < 0 ? errno : 0;
	call->after = boottime();
	CHECK(call->error == want);
	check_version(_metadata, call, key);
	if (want) {
		CHECK(previous.version == POISON);
		return;
	}
	CHECK(ret == !!was.version);
	CHECK(!!previous.buffer == !!was.version);
	check_previous(_metadata, call, &was, who, &previous);
	CHECK(!previous.buffer || !((char *)previous.buffer)[previous.size]);
	free(previous.buffer);
	store_in_model(key, who, call);
}

/* The sum as text; or an error, negative. Numbers are what printf() would write. */
static int sum_of(const struct model *key, int64_t delta, char text[32])
{
	char number[VALUE_MAX + 1], again[32];
	int64_t sum;

	if (!key->version) {
		snprintf(text, 32, "%" PRId64, delta);
		return 0;
	}
	memcpy(number, key->value, key->len);
	number[key->len] = 0;
	errno = 0;
	sum = strtoll(number, NULL, 10);
	snprintf(again, sizeof(again), "%" PRId64, sum);
	if (errno || strlen(number) != key->len || strcmp(number, again))
		return -EBADMSG;
	if (__builtin_add_overflow(sum, delta, &sum))
		return -ERANGE;
	snprintf(text, 32, "%" PRId64, sum);
	return 0;
}

static void add(struct __test_metadata *_metadata, struct world *world, int k, int who,
		struct call *call)
{
	static const int64_t deltas[] = { 0, 1, -1, 1000, INT64_MAX, INT64_MIN };
	int64_t delta = deltas[draw(world, ARRAY_SIZE(deltas))], sum = 0;
	const char name[] = { (char)('a' + k) };
	struct model *key = &world->keys[k];
	int want, ret;

	if (draw(world, 2))
		call->options.flags = MSTORE_OWNED;
	if (draw(world, 2))
		call->options.ttl_ms = (1 + draw(world, 100)) * 100000;
	want = -sum_of(key, delta, call->value);
	if (!want && seen_by(who, key) == MSTORE_OWNER_OTHER)
		want = EBUSY;
	snprintf(call->what, sizeof(call->what), "adding %" PRId64 " to %c by %d flags %#x", delta,
		 name[0], who, call->options.flags);
	call->before = boottime();
	ret = mstore_add(world->stores[who - 1], name, 1, delta, &call->options, &sum,
			 &call->version);
	call->error = ret ? errno : 0;
	call->after = boottime();
	CHECK(call->error == want);
	if (want) {
		CHECK(!sum);
		CHECK(call->version == POISON);
		return;
	}
	check_version(_metadata, call, key);
	call->len = strlen(call->value);
	CHECK(sum == strtoll(call->value, NULL, 10));
	if (key->version) {
		call->options.flags = key->owner ? MSTORE_OWNED : 0;
		call->options.flags |= key->least ? MSTORE_KEEP_TTL : 0;
		call->options.ttl_ms = 0;
	}
	store_in_model(key, who, call);
}

static void touch(struct __test_metadata *_metadata, struct world *world, int k, int who,
		  struct call *call)
{
	const char name[] = { (char)('a' + k) };
	struct model *key = &world->keys[k];
	int want;

	draw_condition(world, key, &call->options);
	call->options.flags &= MSTORE_IF_VERSION;
	call->options.ttl_ms = (1 + draw(world, 100)) * 100000;
	want = -judge(key, who, call, true);
	if (!want && !key->least)
		want = ENODATA;
	snprintf(call->what, sizeof(call->what), "touching %c by %d flags %#x", name[0], who,
		 call->options.flags);
	call->before = boottime();
	call->error = mstore_touch(world->stores[who - 1], name, 1, &call->options,
				   &call->version) ? errno : 0;
	call->after = boottime();
	CHECK(call->error == want);
	if (want)
		return;
	CHECK(call->version == key->version);
	key->least = call->before + call->options.ttl_ms * MS;
	key->most = call->after + call->options.ttl_ms * MS;
}

/* All that there is to know about a key. */
static void check_key(struct __test_metadata *_metadata, struct world *world, int k, int who,
		      struct call *call)
{
	const char name[] = { (char)('a' + k) };
	const struct model *key = &world->keys[k];
	struct mstore_value_info info;
	char value[VALUE_MAX];
	size_t size = sizeof(value);
	uint64_t before = boottime(), after;
	int ret = mstore_get_info(world->stores[who - 1], name, 1, value, &size, &info);

	CHECK(ret ? !key->version && errno == ENOENT : key->version);
	if (ret)
		return;
	after = boottime();
	CHECK(info.version == key->version);
	CHECK(size == key->len && info.value_len == size);
	CHECK(!memcmp(value, key->value, size));
	CHECK((int)info.owner == seen_by(who, key));
	CHECK(info.tgid == getpid());
	CHECK(!info.ttl_ms == !key->least);
	/* The rest is rounded up to ms. */
	CHECK(!info.ttl_ms || info.ttl_ms * MS >= key->least - after);
	CHECK(!info.ttl_ms || info.ttl_ms * MS < key->most - before + MS);
}

/* The store's counts, and the keys that a list of it has. */
static void check_store(struct __test_metadata *_metadata, struct world *world, struct call *call)
{
	struct mstore_list *list;
	struct mstore_info info;
	uint64_t bytes = 0, keys = 0, listed = 0;
	size_t len;

	for (int k = 0; k < KEYS; k++) {
		if (!world->keys[k].version)
			continue;
		keys++;
		bytes += 1 + world->keys[k].len + METASTORE_VALUE_OVERHEAD +
			 (world->keys[k].tied ? METASTORE_TIE_OVERHEAD : 0);
	}
	CHECK(!mstore_info(world->stores[0], MSTORE_ANY_BUCKET, &info));
	CHECK(info.keys == keys);
	CHECK(info.bytes == bytes);
	list = mstore_list_values_new(world->stores[0], NULL, 0, MSTORE_ANY_BUCKET);
	CHECK(list);
	while (mstore_list_next(list) == 1) {
		const struct model *key = &world->keys[*mstore_list_key(list, NULL) - 'a'];
		const char *value = mstore_list_value(list, &len);
		struct mstore_value_info facts;

		mstore_list_info(list, &facts);
		CHECK(facts.version == key->version);
		CHECK(facts.value_len == key->len && len == key->len);
		CHECK(!memcmp(value, key->value, len));
		CHECK((int)facts.owner == seen_by(1, key));
		CHECK(!facts.ttl_ms == !key->least);
		CHECK(facts.tgid == getpid() && facts.uid == geteuid());
		listed++;
	}
	CHECK(listed == keys);
	mstore_list_free(list);
}

TEST_F_TIMEOUT(model, random_calls, 120)
{
	struct world *world = &self->world;
	unsigned int steps = ms_size(STEPS, 50 * STEPS);

	for (unsigned int step = 0; step < steps; step++) {
		int k = (int)draw(world, KEYS), who = 1 + (int)draw(world, STORES);
		struct call call = { .version = POISON };

		switch (draw(world, 8)) {
		case 0:
		case 1:
			change(_metadata, world, k, who, &call, METASTORE_OP_SET);
			break;
		case 2:
			change(_metadata, world, k, who, &call, METASTORE_OP_PUBLISH);
			break;
		case 3:
			change(_metadata, world, k, who, &call, METASTORE_OP_DELETE);
			break;
		case 4:
			take(_metadata, world, k, who, &call);
			break;
		case 5:
			swap(_metadata, world, k, who, &call);
			break;
		case 6:
			add(_metadata, world, k, who, &call);
			break;
		default:
			touch(_metadata, world, k, who, &call);
		}
		check_key(_metadata, world, k, 1 + (int)draw(world, STORES), &call);
		if (!draw(world, 16))
			check_store(_metadata, world, &call);
	}
}

TEST_HARNESS_MAIN
