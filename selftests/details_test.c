// SPDX-License-Identifier: GPL-2.0
/*
 * METASTORE_LIST_VALUES and METASTORE_GET_INFO: all that is known of a key, in one call.
 *
 * module: max_value=1048576
 */
#include "crew.h"

#define LONG		100000000ULL	/* ms that no test lasts */
#define HEADER		(sizeof(struct metastore_list_entry) + \
			 sizeof(struct metastore_list_details))
#define LARGEST		1048576

FIXTURE(details)
{
	int fd;
	int other;
	char *buf;
};

FIXTURE_SETUP(details)
{
	self->fd = ms_open(O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	self->other = ms_open(O_RDWR);
	ASSERT_LE(0, self->other);
	self->buf = malloc(2 * LARGEST);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(details)
{
	free(self->buf);
	close(self->other);
	close(self->fd);
}

static int list(int fd, const struct metastore_list_entry *cursor, void *buf, __u32 size,
		struct metastore_list *arg)
{
	*arg = (struct metastore_list) {
		.cursor = cursor ? ms_ptr(cursor) + cursor->header_len : 0,
		.cursor_len = cursor ? cursor->key_len : 0,
		.buffer = ms_ptr(buf),
		.buffer_len = size,
		.bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_LIST_VALUES,
		.entries = POISON32,
	};
	return ms_ioctl(fd, METASTORE_IOC_LIST, arg);
}

static const struct metastore_list_details *details_of(const struct metastore_list_entry *entry)
{
	return (const void *)(entry + 1);
}

static const char *key_of(const struct metastore_list_entry *entry)
{
	return (const char *)entry + entry->header_len;
}

static const char *value_of(const struct metastore_list_entry *entry)
{
	return key_of(entry) + entry->key_len;
}

/* Each field, against STAT */
TEST_F(details, list_tells_all)
{
	struct metastore_list_entry *entry = (void *)self->buf;
	const struct metastore_list_details *details = details_of(entry);
	struct metastore_set set = { .flags = METASTORE_F_OWNED, .ttl = LONG };
	struct metastore_list arg;
	struct metastore_stat st;

	memset(self->buf, POISON, 4096);
	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "key", "value", &set));
	ASSERT_EQ(0, list(self->fd, NULL, self->buf, 4096, &arg));
	ASSERT_EQ(0, ms_stat(self->fd, "key", &st));
	EXPECT_EQ(1, arg.entries);
	EXPECT_EQ(HEADER + 8, arg.buffer_len);
	EXPECT_EQ(HEADER + 8, entry->len);
	EXPECT_EQ(HEADER, entry->header_len);
	EXPECT_EQ(3, entry->key_len);
	EXPECT_EQ(5, entry->value_len);
	EXPECT_EQ(0, entry->flags);
	EXPECT_EQ(st.version, entry->version);
	EXPECT_EQ(st.time, details->time);
	EXPECT_GE(LONG, details->ttl);
	EXPECT_LE(st.ttl, details->ttl);
	EXPECT_EQ(getpid(), details->tgid);
	EXPECT_EQ(geteuid(), details->uid);
	EXPECT_EQ(METASTORE_OWNER_SELF, details->owner);
	EXPECT_EQ(0, details->reserved);
	EXPECT_EQ(0, memcmp(key_of(entry), "keyvalue\xcc", 9));
	/* To another open file it is another's */
	ASSERT_EQ(0, list(self->other, NULL, self->buf, 4096, &arg));
	EXPECT_EQ(METASTORE_OWNER_OTHER, details->owner);
}

/* Padding is zeros, and nothing behind the end is written */
TEST_F(details, list_stays_within)
{
	struct metastore_list_entry *entry = (void *)self->buf;
	struct metastore_list arg;
	char key[] = "0123456";
	__u32 size, len, i;

	for (len = 1; len <= 7; len++) {
		ASSERT_EQ(0, ms_reset(self->fd));
		ASSERT_EQ(0, ms_setn(self->fd, key, len, "v", 1, NULL));
		for (size = METASTORE_LIST_MIN; size < METASTORE_LIST_MIN + 16; size++) {
			memset(self->buf, POISON, size + 64);
			ASSERT_EQ(0, list(self->fd, NULL, self->buf, size, &arg));
			ASSERT_EQ((HEADER + len + 1 + 7) / 8 * 8, entry->len);
			for (i = HEADER + len + 1; i < entry->len; i++)
				ASSERT_EQ(0, self->buf[i]);
			for (i = entry->len; i < size + 64; i++)
				ASSERT_EQ(POISON, (unsigned char)self->buf[i]);
		}
	}
}

/* A value that fits to the byte, and one that is a byte too long: told, not skipped */
TEST_F(details, value_too_large_is_told)
{
	__u32 fits = METASTORE_LIST_MIN - HEADER - 1, len;
	struct metastore_list_entry *entry = (void *)self->buf;
	struct metastore_list arg;
	char value[1024];

	memset(value, 'x', sizeof(value));
	for (len = fits - 1; len <= fits + 8; len++) {
		ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, len, NULL));
		memset(self->buf, POISON, 1024);
		ASSERT_EQ(0, list(self->fd, NULL, self->buf, METASTORE_LIST_MIN, &arg));
		ASSERT_EQ(1, arg.entries);
		ASSERT_EQ(len, entry->value_len);
		ASSERT_EQ(len > fits ? METASTORE_LIST_F_NO_VALUE : 0, entry->flags);
		ASSERT_EQ(len > fits ? (HEADER + 1 + 7) / 8 * 8 : METASTORE_LIST_MIN, entry->len);
		ASSERT_EQ(POISON, (unsigned char)self->buf[METASTORE_LIST_MIN]);
		/* It is the cursor for the next call all the same */
		ASSERT_EQ(0, list(self->fd, entry, self->buf + 1024, METASTORE_LIST_MIN, &arg));
		ASSERT_EQ(0, arg.entries);
	}
}

/* The largest value of the store */
TEST_F(details, largest_value)
{
	struct metastore_list_entry *entry = (void *)self->buf;
	char *value = malloc(LARGEST);
	struct metastore_list arg;

	ASSERT_NE(NULL, value);
	memset(value, 'x', LARGEST);
	ASSERT_EQ(0, ms_setn(self->fd, "k", 1, value, LARGEST, NULL));
	ASSERT_EQ(0, list(self->fd, NULL, self->buf, 2 * LARGEST, &arg));
	EXPECT_EQ(1, arg.entries);
	EXPECT_EQ(0, entry->flags);
	EXPECT_EQ(LARGEST, entry->value_len);
	EXPECT_EQ(0, memcmp(value_of(entry), value, LARGEST));
	free(value);
}

static __u32 length_of(int i)
{
	return i * 2654435761U % (i % 16 ? 200 : 3000);
}

/* Each key once with its own value, whatever fits in a call */
TEST_F(details, all_of_many)
{
	static const __u32 sizes[] = { METASTORE_LIST_MIN, 1000, 4096, 100000 };
	const struct metastore_list_entry *entry, *cursor;
	struct metastore_list arg;
	char value[3000], seen[500];
	size_t s, pos;
	int i, n;

	for (i = 0; i < 500; i++) {
		memset(value, i, sizeof(value));
		ASSERT_EQ(0, ms_setn(self->fd, &i, sizeof(i), value, length_of(i), NULL));
	}
	for (s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct metastore_list_entry *copy = (void *)(self->buf + LARGEST);

		memset(seen, 0, sizeof(seen));
		cursor = NULL;
		for (n = 0;; ) {
			ASSERT_EQ(0, list(self->fd, cursor, self->buf, sizes[s], &arg));
			if (!arg.entries)
				break;
			for (pos = 0; pos < arg.buffer_len; pos += entry->len, n++) {
				entry = (const void *)(self->buf + pos);
				memcpy(&i, key_of(entry), sizeof(i));
				ASSERT_LE(0, i);
				ASSERT_GT(500, i);
				ASSERT_EQ(0, seen[i]++);
				ASSERT_EQ(length_of(i), entry->value_len);
				memset(value, i, sizeof(value));
				if (entry->flags & METASTORE_LIST_F_NO_VALUE) {
					ASSERT_LT(sizes[s], HEADER + 4 + entry->value_len);
				} else {
					ASSERT_EQ(0, memcmp(value_of(entry), value,
							    entry->value_len));
				}
				memcpy(copy, entry, entry->header_len + entry->key_len);
			}
			ASSERT_EQ(pos, arg.buffer_len);
			cursor = copy;
		}
		ASSERT_EQ(500, n);
	}
}

/* While writers change values: no key that stays is missed, no value is of another key */
TEST_F(details, while_others_write)
{
	const struct metastore_list_entry *entry;
	struct metastore_list_entry *cursor = (void *)(self->buf + LARGEST);
	struct metastore_list arg;
	int i, k, round, rounds = ms_times(30);
	char seen[200];
	size_t pos;

	for (i = 0; i < 200; i++)
		ASSERT_EQ(0, ms_setn(self->fd, &i, sizeof(i), &i, sizeof(i), NULL));
	ASSERT_TRUE(crew_init());
	for (k = 0; k < 2; k++)
		if (crew_child()) {
			char value[2000];

			while (!crew_done()) {
				i = rand() % 200;
				memset(value, 0, sizeof(value));
				memcpy(value, &i, sizeof(i));
				CHECK(!ms_setn(self->fd, &i, sizeof(i), value,
					       sizeof(i) + rand() % 1900, NULL));
			}
			_exit(0);
		}
	crew_start();
	for (round = 0; round < rounds; round++) {
		bool first = true;

		memset(seen, 0, sizeof(seen));
		for (;;) {
			ASSERT_EQ(0, list(self->fd, first ? NULL : cursor, self->buf, 8192, &arg));
			if (!arg.entries)
				break;
			first = false;
			for (pos = 0; pos < arg.buffer_len; pos += entry->len) {
				entry = (const void *)(self->buf + pos);
				memcpy(&i, key_of(entry), sizeof(i));
				memcpy(&k, value_of(entry), sizeof(k));
				ASSERT_EQ(i, k);
				ASSERT_EQ(0, seen[i]++);
				memcpy(cursor, entry, entry->header_len + entry->key_len);
			}
		}
		for (i = 0; i < 200; i++)
			ASSERT_EQ(1, seen[i]);
	}
	crew_finish();
	EXPECT_TRUE(crew_join(0, 2));
	EXPECT_STREQ("", crew.board->error);
}

/* At each byte of the buffer */
TEST_F(details, list_efault)
{
	char *page = ms_guarded(1);
	size_t size = sysconf(_SC_PAGESIZE), room;
	struct metastore_list arg;

	ASSERT_NE(NULL, page);
	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	for (room = 0; room < HEADER + 8; room++)
		ASSERT_EQ(-EFAULT, list(self->fd, NULL, page + size - room, 4096, &arg));
	EXPECT_EQ(0, list(self->fd, NULL, page + size - room, 4096, &arg));
	/* A value alone may be what is not there */
	ASSERT_EQ(0, ms_setn(self->fd, "key", 3, self->buf, 600, NULL));
	for (room = HEADER; room < HEADER + 603; room += 100)
		ASSERT_EQ(-EFAULT, list(self->fd, NULL, page + size - room, 4096, &arg));
}

TEST_F(details, get_info)
{
	struct metastore_set set = { .flags = METASTORE_F_OWNED, .ttl = LONG };
	char buf[16];
	struct metastore_get arg = {
		.key = ms_ptr("key"), .key_len = 3, .value = ms_ptr(buf),
		.value_len = sizeof(buf), .flags = METASTORE_GET_INFO, .time = POISON64,
		.tgid = POISON32, .uid = POISON32,
	};
	struct metastore_stat st;

	ASSERT_EQ(0, ms_store_with(self->fd, METASTORE_IOC_SET, "key", "value", &set));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
	ASSERT_EQ(0, ms_stat(self->fd, "key", &st));
	EXPECT_EQ(5, arg.value_len);
	EXPECT_EQ(st.version, arg.version);
	EXPECT_EQ(st.time, arg.time);
	EXPECT_EQ(st.tgid, arg.tgid);
	EXPECT_EQ(st.uid, arg.uid);
	EXPECT_EQ(METASTORE_OWNER_SELF, arg.owner);
	EXPECT_LE(st.ttl, arg.ttl);
	EXPECT_GE(LONG, arg.ttl);
	EXPECT_EQ(0, memcmp(buf, "value", 5));
}

/* Without the flag, and after a refusal, what only the flag tells stays as it was */
TEST_F(details, get_without_info)
{
	char buf[16];
	struct metastore_get arg = {
		.key = ms_ptr("key"), .key_len = 3, .value = ms_ptr(buf),
		.value_len = sizeof(buf), .time = POISON64, .tgid = POISON32, .uid = POISON32,
	};
	size_t size;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	ASSERT_EQ(0, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
	EXPECT_EQ(POISON64, arg.time);
	EXPECT_EQ(POISON32, arg.uid);
	arg.flags = METASTORE_GET_INFO;
	arg.value_len = 2;
	EXPECT_EQ(-ERANGE, ms_ioctl(self->fd, METASTORE_IOC_GET, &arg));
	EXPECT_EQ(5, arg.value_len);
	EXPECT_EQ(POISON64, arg.time);
	/* No place for the answer */
	arg.owner = 0;
	for (size = 40; size < sizeof(arg); size++)
		EXPECT_EQ(-EINVAL, ms_ioctl(self->fd, ms_resized(METASTORE_IOC_GET, size), &arg));
}

TEST_HARNESS_MAIN
