/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the tests of libmetastore. */
#ifndef LIB_TEST_H
#define LIB_TEST_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <metastore.h>

#include "slowness.h"

#define DEVICE	"/dev/metastore"

/* All keys of these tests start with it. */
#define PREFIX	"lib_test/"
#define KEY	PREFIX "key"

#define POISON	0xccccccccccccccccULL

#define ALL	(MSTORE_EVENT_PUBLISHED | MSTORE_EVENT_SET | MSTORE_EVENT_DELETED)

/* Expects a call to fail, with this errno. */
#define EXPECT_ERRNO(expected, call) do {	\
	errno = 0;				\
	EXPECT_EQ(-1, call);			\
	EXPECT_EQ(expected, errno);		\
} while (0)

#define EXPECT_NULL_ERRNO(expected, call) do {	\
	errno = 0;				\
	EXPECT_EQ(NULL, call);			\
	EXPECT_EQ(expected, errno);		\
} while (0)

/* The kernel's place, while set: returns 0, a number or a negative errno. */
static int (*fake_kernel)(void *arg);
/* The command that it is to answer */
static unsigned long fake_command;

int ioctl(int fd, unsigned long command, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (!fake_kernel)
		return (int)syscall(SYS_ioctl, fd, command, arg);
	fake_command = command;
	ret = fake_kernel(arg);
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

/* Retires the module, by "1", or not, by "0". Returns 0 or -1. */
static inline int retire(const char *value)
{
	FILE *file = fopen("/sys/module/metastore/parameters/retired", "we");
	int ret = file && fputs(value, file) >= 0 ? 0 : -1;

	return file && !fclose(file) ? ret : -1;
}

FIXTURE(store) {
	struct mstore *store;
	struct mstore_event_buffer *buffer;
};

FIXTURE_SETUP(store)
{
	self->store = mstore_open(DEVICE, MSTORE_RDWR | MSTORE_NONBLOCK);
	ASSERT_NE(NULL, self->store);
	self->buffer = mstore_event_buffer_new(0);
	ASSERT_NE(NULL, self->buffer);
	ASSERT_EQ(0, mstore_flush(self->store, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET, 0,
				  NULL, NULL));
}

FIXTURE_TEARDOWN(store)
{
	EXPECT_EQ(0, mstore_flush(self->store, PREFIX, MSTORE_STRLEN, MSTORE_ANY_BUCKET, 0,
				  NULL, NULL));
	mstore_event_buffer_free(self->buffer);
	mstore_close(self->store);
}

#endif /* LIB_TEST_H */
