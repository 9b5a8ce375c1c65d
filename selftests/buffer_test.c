// SPDX-License-Identifier: GPL-2.0
/*
 * The buffers of docs/abi.md that are never too small. The largest possible event and the
 * largest possible entry of LIST need exactly that much.
 */
#include "metastore_test.h"

/* The default, and all remainders of a division by 8 */
static const __u32 max_values[] = { 65536, 65535, 4096, 8, 7, 6, 5, 4, 3, 2, 1 };

static size_t safe_size(const struct metastore_info *info, size_t headers)
{
	return (headers + info->key_max + info->max_value + 7) & ~7UL;
}

struct largest {
	int fd;
	struct metastore_info info;
	char key[METASTORE_KEY_MAX];
	char *value;
};

/* A store whose values have at most @max_value bytes, with the largest key in mind */
static int set_up(struct largest *l, __u32 max_value)
{
	struct metastore_create limits = { .max_value = max_value };
	int fd = ms_open(O_RDWR), ret;

	l->fd = ms_create(fd, O_RDWR | O_NONBLOCK, limits);
	close(fd);
	if (l->fd < 0)
		return l->fd;
	ret = ms_info(l->fd, METASTORE_ANY_BUCKET, &l->info);
	if (ret)
		return ret;
	memset(l->key, 'k', sizeof(l->key));
	l->value = malloc(max_value);
	memset(l->value, 'v', max_value);
	return l->info.max_value == max_value && l->info.key_max == sizeof(l->key) ? 0 : -ERANGE;
}

static void tear_down(struct largest *l)
{
	free(l->value);
	close(l->fd);
}

/* The key is stored by an owner whose end is then an event with the longest header. */
static int own_and_end(struct largest *l)
{
	struct metastore_set arg = {
		.key = ms_ptr(l->key),
		.value = ms_ptr(l->value),
		.key_len = l->info.key_max,
		.value_len = l->info.max_value,
		.flags = METASTORE_F_OWNED,
	};
	int owner = ms_reopen(l->fd, O_RDWR), ret;

	ret = ms_ioctl(owner, METASTORE_IOC_SET, &arg);
	close(owner);
	return ret;
}

TEST(the_largest_event_fits_exactly)
{
	struct metastore_event *event;
	struct largest l;
	size_t size, i;

	for (i = 0; i < ARRAY_SIZE(max_values); i++) {
		ASSERT_EQ(0, set_up(&l, max_values[i]));
		size = safe_size(&l.info, sizeof(struct metastore_event) +
					  sizeof(struct metastore_owner_end));
		event = malloc(size);
		memset(event, POISON, size);
		ASSERT_EQ(0, ms_subscriben(l.fd, l.key, sizeof(l.key), METASTORE_EVENT_DELETED, 1));
		ASSERT_EQ(0, own_and_end(&l));
		EXPECT_EQ(size, ms_pending(l.fd));
		EXPECT_EQ(-EMSGSIZE, ms_read(l.fd, event, size - 1));
		ASSERT_EQ(size, ms_read(l.fd, event, size));
		EXPECT_TRUE(ms_event_valid(event, size));
		EXPECT_EQ(METASTORE_EVENT_F_OWNER, event->flags & METASTORE_EVENT_F_OWNER);
		EXPECT_EQ(max_values[i], event->value_len);
		EXPECT_EQ(0, memcmp(ms_event_value(event), l.value, max_values[i]));
		free(event);
		tear_down(&l);
	}
}

/* Lists into @size bytes. Returns the flags of the only entry, or an error. */
static int list(struct largest *l, struct metastore_list_entry *entry, size_t size)
{
	struct metastore_list arg = {
		.buffer = ms_ptr(entry),
		.buffer_len = size,
		.bucket = METASTORE_ANY_BUCKET,
		.flags = METASTORE_LIST_VALUES,
	};
	int ret = ms_ioctl(l->fd, METASTORE_IOC_LIST, &arg);

	if (ret)
		return ret;
	return arg.entries == 1 && entry->len == arg.buffer_len ? (int)entry->flags : -EINVAL;
}

TEST(the_largest_entry_of_a_list_fits_exactly)
{
	struct metastore_list_entry *entry;
	struct largest l;
	size_t size, i;

	for (i = 0; i < ARRAY_SIZE(max_values); i++) {
		ASSERT_EQ(0, set_up(&l, max_values[i]));
		size = safe_size(&l.info, sizeof(struct metastore_list_entry) +
					  sizeof(struct metastore_list_details));
		if (size > METASTORE_LIST_MIN) {
			entry = malloc(size);
			ASSERT_EQ(0, ms_setn(l.fd, l.key, sizeof(l.key), l.value, max_values[i],
					     NULL));
			EXPECT_EQ(METASTORE_LIST_F_NO_VALUE, list(&l, entry, size - 1));
			EXPECT_EQ(0, list(&l, entry, size));
			EXPECT_EQ(size, entry->len);
			free(entry);
		}
		tear_down(&l);
	}
}

TEST_HARNESS_MAIN
