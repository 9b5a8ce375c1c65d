// SPDX-License-Identifier: GPL-2.0
/*
 * The store of the device, where the module is loaded such that programs may map it.
 *
 * module: mapped=1
 */
#include "mirror.h"

FIXTURE(device)
{
	int fd;
	struct metastore_map map;
};

FIXTURE_SETUP(device)
{
	self->fd = ms_open(O_RDWR | O_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ms_reset(self->fd));
	ASSERT_EQ(0, mirror_map(self->fd, &self->map));
}

FIXTURE_TEARDOWN(device)
{
	retire("0");
	mirror_unmap(&self->map);
	close(self->fd);
}

TEST_F(device, has_what_is_stored)
{
	__u64 version, mirrored;
	char buf[16];

	EXPECT_STREQ("ENOENT", mirror_str(&self->map, "key"));
	ASSERT_EQ(0, ms_set(self->fd, "key", "value", &version));
	EXPECT_EQ(5, mirror_get(&self->map, "key", buf, sizeof(buf), &mirrored));
	EXPECT_EQ(0, memcmp(buf, "value", 5));
	EXPECT_EQ(version, mirrored);
	ASSERT_EQ(0, ms_delete(self->fd, "key", NULL));
	EXPECT_STREQ("ENOENT", mirror_str(&self->map, "key"));
}

/* A descriptor that may be read may be mapped. */
TEST_F(device, is_mapped_by_readers)
{
	int reader = ms_open(O_RDONLY), writer = ms_open(O_WRONLY);
	struct metastore_map map;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	ASSERT_EQ(0, mirror_map(reader, &map));
	close(reader);
	EXPECT_STREQ("value", mirror_str(&map, "key"));
	mirror_unmap(&map);
	EXPECT_EQ(-EACCES, mirror_map(writer, &map));
	close(writer);
}

/*
 * The process that saves the values may write. The value that it wrote is there when the module
 * is in use again.
 */
TEST_F(device, asks_while_it_is_retired)
{
	struct metastore_map map;
	char buf[16];
	int exempt;

	ASSERT_EQ(0, ms_set(self->fd, "key", "value", NULL));
	ASSERT_EQ(0, retire("1"));
	EXPECT_STREQ("EAGAIN", mirror_str(&self->map, "key"));
	EXPECT_STREQ("EAGAIN", mirror_str(&self->map, "none"));
	EXPECT_EQ(-ENODEV, ms_get(self->fd, "key", buf, sizeof(buf), NULL));
	EXPECT_EQ(-ENODEV, mirror_map(self->fd, &map));
	exempt = open(DEVICE, O_RDWR | O_EXCL | O_CLOEXEC);
	ASSERT_LE(0, exempt);
	EXPECT_EQ(0, ms_set(exempt, "key", "later", NULL));
	EXPECT_STREQ("EAGAIN", mirror_str(&self->map, "key"));
	close(exempt);
	ASSERT_EQ(0, retire("0"));
	EXPECT_STREQ("later", mirror_str(&self->map, "key"));
	EXPECT_STREQ("ENOENT", mirror_str(&self->map, "none"));
}

TEST_HARNESS_MAIN
