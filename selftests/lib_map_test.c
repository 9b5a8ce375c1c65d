// SPDX-License-Identifier: GPL-2.0
/*
 * mstore_map(): the library reads small values without a system call, and is always right.
 *
 * module: mapped=1
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include <metastore.h>

#include "lib_test.h"

FIXTURE(map)
{
	struct mstore *device;
	struct mstore *store;
};

FIXTURE_SETUP(map)
{
	self->device = mstore_open(NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, self->device);
	self->store = mstore_create(self->device, NULL, MSTORE_RDWR | MSTORE_MAPPED);
	ASSERT_NE(NULL, self->store);
	ASSERT_EQ(0, mstore_map(self->store));
}

FIXTURE_TEARDOWN(map)
{
	mstore_close(self->store);
	mstore_close(self->device);
}

/* All results, of a key in the mirror and of those that are not */
TEST_F(map, get_is_the_same)
{
	struct mstore *plain = mstore_reopen(self->store, MSTORE_READ);
	struct mstore *owner = mstore_reopen(self->store, MSTORE_RDWR);
	static const struct mstore_options ttl = { .ttl_ms = 60000 };
	static const struct mstore_options owned = { .flags = MSTORE_OWNED };
	static char large[5000];
	static const char * const keys[] = { "small", "empty", "large", "timed", "owned", "none" };
	char ours[6000], theirs[6000];
	size_t sizes[] = { sizeof(ours), 5, 4, 0 }, i, j;

	ASSERT_EQ(0, mstore_set(self->store, "small", 5, "value", 5, NULL));
	ASSERT_EQ(0, mstore_set(self->store, "empty", 5, "", 0, NULL));
	ASSERT_EQ(0, mstore_set(self->store, "large", 5, large, sizeof(large), NULL));
	ASSERT_EQ(0, mstore_set_with(self->store, "timed", 5, "value", 5, &ttl, NULL));
	ASSERT_EQ(0, mstore_set_with(owner, "owned", 5, "value", 5, &owned, NULL));
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			uint64_t our_version = POISON, their_version = POISON;
			size_t our_size = sizes[j], their_size = sizes[j];
			int our_errno, ret;

			errno = 0;
			ret = mstore_get(self->store, keys[i], MSTORE_STRLEN, ours, &our_size,
					 &our_version);
			our_errno = errno;
			errno = 0;
			EXPECT_EQ(mstore_get(plain, keys[i], MSTORE_STRLEN, theirs, &their_size,
					     &their_version), ret);
			EXPECT_EQ(errno, our_errno) {
				TH_LOG("%s, buffer of %zu", keys[i], sizes[j]);
			}
			EXPECT_EQ(their_size, our_size);
			EXPECT_EQ(their_version, our_version);
			EXPECT_TRUE(ret || !memcmp(ours, theirs, our_size));
		}
	i = sizeof(ours);
	errno = 0;
	EXPECT_EQ(-1, mstore_get(self->store, "", 0, ours, &i, NULL));
	EXPECT_EQ(EINVAL, errno);
	mstore_close(owner);
	mstore_close(plain);
}

static int refuse(void *arg)
{
	(void)arg;
	return -EBUSY;
}

/* Whether the mapping alone answers: the kernel would refuse. Leaves errno. */
static int get_without_kernel(struct mstore *store, const void *key, void *buf, size_t size)
{
	int ret;

	fake_kernel = refuse;
	ret = mstore_get(store, key, 3, buf, &size, NULL);
	fake_kernel = NULL;
	return ret;
}

/* A value may take the place of its key, which the mapping's functions would read again. */
TEST_F(map, asks_if_key_and_buffer_overlap)
{
	char bytes[48], *key = bytes + 16;
	size_t size = 8;
	int at;

	ASSERT_EQ(0, mstore_set(self->store, "key", 3, "value", 5, NULL));
	for (at = 0; at <= 32; at++) {
		memcpy(key, "key", 3);
		if (at + 8 <= 16 || at >= 16 + 3) {
			EXPECT_EQ(0, get_without_kernel(self->store, key, bytes + at, 8));
			continue;
		}
		EXPECT_ERRNO(EBUSY, get_without_kernel(self->store, key, bytes + at, 8));
		EXPECT_EQ(0, mstore_get(self->store, key, 3, bytes + at, &size, NULL));
		EXPECT_EQ(5, size);
		EXPECT_EQ(0, memcmp(bytes + at, "value", 5));
		size = 8;
	}
}

/* A process that may do nothing but read(), write() and exit() */
TEST_F(map, takes_no_system_call)
{
	pid_t pid;
	int status, i;

	ASSERT_EQ(0, mstore_set(self->store, "key", 3, "value", 5, NULL));
	pid = fork();
	if (!pid) {
		char buf[8];
		size_t size = sizeof(buf);

		/* The pages enter its tables. */
		mstore_get(self->store, "key", 3, buf, &size, NULL);
		mstore_get(self->store, "none", 4, buf, &size, NULL);
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
			syscall(SYS_exit, 3);
		for (i = 0; i < 1000; i++) {
			size = sizeof(buf);
			if (mstore_get(self->store, "key", 3, buf, &size, NULL) || size != 5 ||
			    memcmp(buf, "value", 5))
				syscall(SYS_exit, 1);
			size = sizeof(buf);
			if (!mstore_get(self->store, "none", 4, buf, &size, NULL) ||
			    errno != ENOENT)
				syscall(SYS_exit, 2);
		}
		syscall(SYS_exit, 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_F(map, refusals)
{
	struct mstore *plain = mstore_create(self->device, NULL, MSTORE_RDWR);
	struct mstore *write_only = mstore_reopen(self->store, MSTORE_WRITE);
	struct mstore_info info;
	char buf[8];
	size_t size = sizeof(buf);

	EXPECT_EQ(-1, mstore_map(plain));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, mstore_map(write_only));
	EXPECT_EQ(EACCES, errno);
	/* All works without. */
	EXPECT_EQ(0, mstore_set(plain, "key", 3, "value", 5, NULL));
	EXPECT_EQ(0, mstore_get(plain, "key", 3, buf, &size, NULL));
	EXPECT_EQ(0, mstore_map(self->store));
	EXPECT_EQ(0, mstore_info(self->store, MSTORE_ANY_BUCKET, &info));
	EXPECT_TRUE(info.features & MSTORE_FEATURE_MAP_STORE);
	EXPECT_EQ(NULL, mstore_open(NULL, MSTORE_RDWR | MSTORE_MAPPED));
	EXPECT_EQ(EINVAL, errno);
	mstore_close(plain);
	mstore_close(write_only);
}

/* Keys that the store owns go when it is closed, although a child has the mapping. */
TEST_F(map, keeps_no_owned_keys)
{
	struct mstore *owner = mstore_reopen(self->store, MSTORE_RDWR);
	static const struct mstore_options owned = { .flags = MSTORE_OWNED };
	char buf[8];
	size_t size = sizeof(buf);
	int pipes[2];
	pid_t pid;

	ASSERT_EQ(0, mstore_map(owner));
	ASSERT_EQ(0, mstore_set_with(owner, "key", 3, "value", 5, &owned, NULL));
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	if (!pid) {
		close(mstore_fd(owner));
		close(pipes[1]);
		_exit(read(pipes[0], buf, 1) != 0);
	}
	/* The child closes its copy of the descriptor, and has the mapping still. */
	mstore_close(owner);
	while (!mstore_get(self->store, "key", 3, buf, &size, NULL))
		usleep(1000);
	EXPECT_EQ(ENOENT, errno);
	close(pipes[1]);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	close(pipes[0]);
}

static int stop_reading;

/* The first thread renews. Meanwhile the other one's descriptor is none of a store. */
static int renewing_thread;

/* Returns NULL, or what was wrong. */
static void *read_forever(void *store)
{
	bool renews = !__atomic_fetch_add(&renewing_thread, 1, __ATOMIC_RELAXED);
	char buf[8];
	size_t size;

	while (!__atomic_load_n(&stop_reading, __ATOMIC_ACQUIRE)) {
		size = sizeof(buf);
		if (mstore_get(store, "key", 3, buf, &size, NULL)) {
			if (errno != ENODEV && (renews || errno != ENOTTY))
				return strerror(errno);
			if (renews && mstore_renew(store, 60000))
				return "mstore_renew()";
		} else if (size != 5 || memcmp(buf, "value", 5)) {
			return "another value";
		}
	}
	return NULL;
}

/* How many files of the store this process has mapped */
static int count_mapped(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	while (file && fgets(line, sizeof(line), file))
		count += strstr(line, "metastore]") || strstr(line, "/dev/metastore");
	if (file)
		fclose(file);
	return count;
}

/* It maps again when it has found the next module, which takes it up to a second. */
static bool is_mapped_again(void)
{
	int tries;

	for (tries = 0; tries < 6000 && count_mapped() != 1; tries++)
		usleep(10000);
	return count_mapped() == 1;
}

/* The module is replaced, whose pages two threads read: they go on with those of the next. */
TEST_F(map, goes_on_after_an_upgrade)
{
	struct mstore *store;
	pthread_t threads[2];
	void *ret;
	int i;

	ASSERT_EQ(0, mstore_set(self->device, "key", 3, "value", 5, NULL));
	mstore_close(self->store);
	mstore_close(self->device);
	store = mstore_open(NULL, MSTORE_READ);
	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, mstore_map(store));
	EXPECT_EQ(1, count_mapped());
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, read_forever, store));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, system("mstore upgrade --timeout 60s \"$METASTORE_KO\""));
		EXPECT_TRUE(is_mapped_again());
	}
	__atomic_store_n(&stop_reading, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &ret));
		EXPECT_EQ(NULL, ret) {
			TH_LOG("%s", (char *)ret);
		}
	}
	mstore_close(store);
	EXPECT_EQ(0, count_mapped());
	self->device = mstore_open(NULL, MSTORE_RDWR);
	self->store = NULL;
}

static int load_module(const char *parameters)
{
	char command[128];

	snprintf(command, sizeof(command), "rmmod metastore && insmod \"$METASTORE_KO\" %s",
		 parameters);
	return system(command);
}

/* As retired modules, and those that are loaded in their place, let a mapped store go on */
TEST_F(map, is_renewed)
{
	struct mstore *store;
	size_t size = 8;
	char buf[8];

	mstore_close(self->store);
	self->store = NULL;
	mstore_close(self->device);
	store = mstore_open(NULL, MSTORE_RDWR);
	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, mstore_map(store));
	ASSERT_EQ(0, mstore_set(store, "key", 3, "value", 5, NULL));
	EXPECT_EQ(0, get_without_kernel(store, "key", buf, 8));
	EXPECT_EQ(1, count_mapped());
	/* It is the same module again. */
	ASSERT_EQ(0, retire("1"));
	EXPECT_ERRNO(ENODEV, mstore_get(store, "key", 3, buf, &size, NULL));
	EXPECT_ERRNO(ETIMEDOUT, mstore_renew(store, 0));
	EXPECT_EQ(0, count_mapped());
	EXPECT_ERRNO(ENOTTY, mstore_get(store, "key", 3, buf, &size, NULL));
	ASSERT_EQ(0, retire("0"));
	ASSERT_EQ(0, mstore_renew(store, 0));
	EXPECT_EQ(1, count_mapped());
	EXPECT_EQ(0, get_without_kernel(store, "key", buf, 8));
	EXPECT_EQ(0, memcmp(buf, "value", 5));
	/* A new one that is not mapped, then one that is */
	ASSERT_EQ(0, retire("1"));
	EXPECT_ERRNO(ETIMEDOUT, mstore_renew(store, 0));
	ASSERT_EQ(0, load_module(""));
	ASSERT_EQ(0, mstore_renew(store, 10000));
	EXPECT_EQ(0, count_mapped());
	ASSERT_EQ(0, mstore_set(store, "key", 3, "other", 5, NULL));
	EXPECT_ERRNO(EBUSY, get_without_kernel(store, "key", buf, 8));
	EXPECT_EQ(0, mstore_get(store, "key", 3, buf, &size, NULL));
	ASSERT_EQ(0, retire("1"));
	EXPECT_ERRNO(ETIMEDOUT, mstore_renew(store, 0));
	ASSERT_EQ(0, load_module("mapped=1"));
	ASSERT_EQ(0, mstore_renew(store, 10000));
	EXPECT_EQ(1, count_mapped());
	ASSERT_EQ(0, mstore_set(store, "key", 3, "third", 5, NULL));
	EXPECT_EQ(0, get_without_kernel(store, "key", buf, 8));
	EXPECT_EQ(0, memcmp(buf, "third", 5));
	mstore_close(store);
	EXPECT_EQ(0, count_mapped());
	self->device = mstore_open(NULL, MSTORE_RDWR);
}

static void *map_too(void *store)
{
	return (void *)(intptr_t)mstore_map(store);
}

/* Threads that map at once get one mapping. */
TEST_F(map, by_many_threads)
{
	struct mstore *store;
	pthread_t threads[8];
	char buf[8];
	size_t size, i;
	void *ret;
	int round;

	ASSERT_EQ(0, mstore_set(self->store, "key", 3, "value", 5, NULL));
	for (round = 0; round < 20; round++) {
		store = mstore_reopen(self->store, MSTORE_READ);
		ASSERT_NE(NULL, store);
		for (i = 0; i < 8; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, map_too, store));
		for (i = 0; i < 8; i++) {
			ASSERT_EQ(0, pthread_join(threads[i], &ret));
			EXPECT_EQ(NULL, ret);
		}
		size = sizeof(buf);
		EXPECT_EQ(0, mstore_get(store, "key", 3, buf, &size, NULL));
		mstore_close(store);
	}
}

TEST_HARNESS_MAIN
