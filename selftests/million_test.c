// SPDX-License-Identifier: GPL-2.0
/*
 * Many keys: all go in, are listed once each, read back and deleted, and what
 * memory they took. $KEYS says how many, a million with FULL=1, which need 2 GiB:
 *
 *   make vm MEM=2G CMD='KEYS=1000000 build/selftests/million_test'
 */
#include "metastore_test.h"

#define KEY_LEN		16
#define VALUE_LEN	64

FIXTURE(million)
{
	int fd;
	__u32 keys;
	__u8 *seen;
};

FIXTURE_SETUP(million)
{
	const char *keys = getenv("KEYS");
	struct metastore_info info;

	self->keys = keys ? strtoul(keys, NULL, 0) : ms_size(100000, 1000000);
	ASSERT_NE(0, self->keys);
	self->seen = calloc(self->keys, 1);
	self->fd = ms_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	ASSERT_LE(self->keys, info.max_keys);
	ASSERT_LE(self->keys, info.max_bytes / (KEY_LEN + VALUE_LEN + METASTORE_VALUE_OVERHEAD));
}

FIXTURE_TEARDOWN(million)
{
	close(self->fd);
}

static void make_key(char *key, __u32 number)
{
	char text[KEY_LEN + 1];

	snprintf(text, sizeof(text), "key/%012u", number);
	memcpy(key, text, KEY_LEN);
}

static void make_value(char *value, __u32 number)
{
	memset(value, number * 7 + 3, VALUE_LEN);
	memcpy(value, &number, sizeof(number));
}

static int set_all(struct _test_data_million *self)
{
	char key[KEY_LEN], value[VALUE_LEN];
	int ret = 0;
	__u32 i;

	for (i = 0; i < self->keys && !ret; i++) {
		make_key(key, i);
		make_value(value, i);
		ret = ms_setn(self->fd, key, KEY_LEN, value, VALUE_LEN, NULL);
	}
	return ret;
}

/* In KiB, from /proc/meminfo */
static long kib(const char *field)
{
	size_t len = strlen(field);
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long number = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, len) && line[len] == ':')
			number = strtol(line + len + 1, NULL, 10);
	if (f)
		fclose(f);
	return number;
}

static int list_all(struct _test_data_million *self, __u32 *listed)
{
	static char buf[64 * 1024];
	char cursor[KEY_LEN], text[KEY_LEN + 1] = "";
	struct metastore_list_entry *entry;
	struct metastore_list arg;
	__u32 cursor_len = 0, pos, number;
	int ret;

	do {
		arg = (struct metastore_list) {
			.cursor = ms_ptr(cursor),
			.buffer = ms_ptr(buf),
			.cursor_len = cursor_len,
			.buffer_len = sizeof(buf),
			.bucket = METASTORE_ANY_BUCKET,
		};
		ret = ms_ioctl(self->fd, METASTORE_IOC_LIST, &arg);
		if (ret)
			return ret;
		for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
			entry = (void *)(buf + pos);
			if (entry->key_len != KEY_LEN || entry->value_len != VALUE_LEN)
				return -EBADMSG;
			memcpy(cursor, buf + pos + entry->header_len, KEY_LEN);
			memcpy(text, cursor, KEY_LEN);
			number = strtoul(text + 4, NULL, 10);
			if (number >= self->keys || self->seen[number]++)
				return -EBADMSG;
			++*listed;
		}
		cursor_len = KEY_LEN;
	} while (arg.entries);
	return 0;
}

/* They cannot take less than their bytes, and shall not take three times as much */
TEST_F_TIMEOUT(million, memory, 170)
{
	long available = kib("MemAvailable"), slab = kib("Slab");
	long percpu = kib("Percpu"), vmalloc = kib("VmallocUsed");
	struct metastore_info info;

	if (!access("/sys/kernel/debug/kmemleak", F_OK))
		SKIP(return, "KASAN and kmemleak take some hundred bytes more for each key");
	ASSERT_EQ(0, set_all(self));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	available -= kib("MemAvailable");
	slab = kib("Slab") - slab;
	percpu = kib("Percpu") - percpu;
	vmalloc = kib("VmallocUsed") - vmalloc;
	ksft_print_msg("%u keys in %u buckets took %ld KiB of the memory available\n", self->keys,
		       info.buckets, available);
	ksft_print_msg("%ld KiB slab, %ld KiB vmalloc, %ld KiB percpu; INFO says %llu KiB\n",
		       slab, vmalloc, percpu, info.bytes / 1024);
	EXPECT_LE(self->keys * (KEY_LEN + VALUE_LEN) / 1024, slab);
	EXPECT_GT((long)(self->keys * 3L * (KEY_LEN + VALUE_LEN) / 1024 + 10000), available);
}

TEST_F_TIMEOUT(million, set_list_get_delete, 170)
{
	char key[KEY_LEN], value[VALUE_LEN], got[VALUE_LEN];
	struct metastore_info info;
	__u32 i, listed = 0;

	ASSERT_EQ(0, set_all(self));
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(self->keys, info.keys);
	EXPECT_EQ((__u64)self->keys * (KEY_LEN + VALUE_LEN + METASTORE_VALUE_OVERHEAD),
		  info.bytes);
	ASSERT_EQ(0, list_all(self, &listed));
	EXPECT_EQ(self->keys, listed);
	for (i = 0; i < self->keys; i++) {
		make_key(key, i);
		make_value(value, i);
		ASSERT_EQ(VALUE_LEN, ms_getn(self->fd, key, KEY_LEN, got, VALUE_LEN, NULL));
		ASSERT_EQ(0, memcmp(value, got, VALUE_LEN));
	}
	for (i = 0; i < self->keys; i++) {
		make_key(key, i);
		ASSERT_EQ(0, ms_deleten(self->fd, key, KEY_LEN, NULL));
	}
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
	EXPECT_EQ(0, info.bytes);
}

TEST_F_TIMEOUT(million, flush, 170)
{
	struct metastore_flush arg;
	struct metastore_info info;

	ASSERT_EQ(0, set_all(self));
	ASSERT_EQ(0, ms_flush(self->fd, "key/00000000000", METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(self->keys < 10 ? self->keys : 10, arg.values);
	ASSERT_EQ(0, ms_flush(self->fd, NULL, METASTORE_ANY_BUCKET, 0, &arg));
	EXPECT_EQ(self->keys < 10 ? 0 : self->keys - 10, arg.values);
	ASSERT_EQ(0, ms_info(self->fd, METASTORE_ANY_BUCKET, &info));
	EXPECT_EQ(0, info.keys);
}

/*
 * The last one leaves behind all that an unload has to free, which is what
 * module_test.sh runs it for: keys, large values, times to live, owners, events and
 * subscriptions.
 */
TEST_F_TIMEOUT(million, leave, 170)
{
	char *value = calloc(1, 60000), key[KEY_LEN + 1] = "";
	__u32 i, subscriptions = ms_times(20000);

	ASSERT_EQ(0, set_all(self));
	for (i = 0; i < subscriptions; i++) {
		make_key(key, i);
		ASSERT_EQ(0, ms_subscriben(self->fd, key, KEY_LEN, EVENTS_ALL, i));
	}
	for (i = 0; i < 2000; i++)
		ASSERT_LE(0, ms_publishn(self->fd, "key/000000000001", KEY_LEN, value, i * 30,
					 NULL));
	for (i = 0; i < 100; i++) {
		make_key(key, self->keys + i);
		ASSERT_EQ(0, ms_setn(self->fd, key, KEY_LEN, value, 60000, NULL));
	}
	for (i = 0; i < 2000; i++) {
		make_key(key, i);
		ASSERT_EQ(0, i % 2 ? ms_set_ttl(self->fd, key, "v", 1000000, NULL) :
				     ms_own(self->fd, key, "v", NULL));
	}
	EXPECT_LT(0, ms_pending(self->fd));
}

TEST_HARNESS_MAIN
