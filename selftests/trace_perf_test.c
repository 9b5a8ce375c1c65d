// SPDX-License-Identifier: GPL-2.0
/* Tracepoints cost all users while they are on: who may have perf switch them on */
#include <grp.h>
#include <linux/perf_event.h>
#include <sys/mount.h>

#include "metastore_test.h"

#define TRACEFS		"/sys/kernel/tracing"
#define PARANOID	"/proc/sys/kernel/perf_event_paranoid"
#define SECOND_CPU	"/sys/devices/system/cpu/cpu1/online"

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

	close(fd);
	return ret;
}

/* The number of a tracepoint of the module; 0: the kernel has none */
static __u64 event_id(const char *name)
{
	char path[256], text[32] = "";
	int fd;

	mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	snprintf(path, sizeof(path), TRACEFS "/events/metastore/%s/id", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	close(fd);
	return strtoull(text, NULL, 10);
}

/* Count what this process does. Returns 0 or -errno. */
static int count_own(__u64 id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = id,
		.exclude_kernel = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	int ret = fd < 0 ? -errno : 0;

	close(fd);
	return ret;
}

FIXTURE(trace_perf)
{
	char paranoid[16];
};

FIXTURE_SETUP(trace_perf)
{
	int fd = open(PARANOID, O_RDONLY | O_CLOEXEC);

	memset(self->paranoid, 0, sizeof(self->paranoid));
	if (fd < 0 || read(fd, self->paranoid, sizeof(self->paranoid) - 1) <= 0 ||
	    !event_id("metastore_get"))
		SKIP(close(fd); return, "no perf events, or no tracepoints");
	close(fd);
	/* An emulated CPU may run what another one has patched half. */
	write_text(SECOND_CPU, "0");
	/* As where a distribution lets users watch themselves */
	ASSERT_EQ(0, write_text(PARANOID, "1"));
}

FIXTURE_TEARDOWN(trace_perf)
{
	write_text(PARANOID, self->paranoid);
	write_text(SECOND_CPU, "1");
}

TEST_F(trace_perf, root)
{
	EXPECT_EQ(0, count_own(event_id("metastore_get")));
}

TEST_F(trace_perf, nobody_else)
{
	static const char * const names[] = {
		"metastore_get", "metastore_change", "metastore_refuse", "metastore_touch",
		"metastore_delivery", "metastore_loss", "metastore_subscribe",
		"metastore_unsubscribe", "metastore_batch", "metastore_flush",
	};
	__u64 ids[ARRAY_SIZE(names)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		ids[i] = event_id(names[i]);
		ASSERT_NE(0, ids[i]);
	}
	ASSERT_EQ(0, setgroups(0, NULL));
	ASSERT_EQ(0, seteuid(1000));
	for (i = 0; i < ARRAY_SIZE(names); i++)
		EXPECT_EQ(-EPERM, count_own(ids[i])) {
			TH_LOG("event %zu", i);
		}
	ASSERT_EQ(0, seteuid(0));
}

TEST_HARNESS_MAIN
