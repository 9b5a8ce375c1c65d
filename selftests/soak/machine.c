// SPDX-License-Identifier: GPL-2.0
/* The machine: the module comes and goes, so does a processor; memory is looked at. */
#include <sys/stat.h>

#include "soak.h"

#define CPU	"/sys/devices/system/cpu/cpu1/online"

int soak_load(const char *parameters)
{
	int fd = open(getenv("METASTORE_KO") ?: "", O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static int delete_module(void)
{
	return syscall(SYS_delete_module, "metastore", O_NONBLOCK) ? -errno : 0;
}

/* Descriptors of processes that were just killed are closed by and by. */
int soak_unload(void)
{
	__u64 end = ms_now(CLOCK_MONOTONIC) + ms_limit(20 * SECOND);
	int ret;

	while ((ret = delete_module()) == -EAGAIN || ret == -EBUSY) {
		if (ms_now(CLOCK_MONOTONIC) > end)
			break;
		ms_sleep(SECOND / 20);
	}
	return ret == -ENOENT ? 0 : ret;
}

/* It must not be. */
bool soak_can_unload_in_use(void)
{
	return !delete_module();
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return written;
}

/* Returns false if there is no second processor that can go. */
bool soak_unplug(bool off)
{
	return write_file(CPU, off ? "0" : "1");
}

/* One for all, and one that has little memory */
bool soak_make_groups(void)
{
	mkdir(SOAK_GROUP, 0755);
	if (!write_file(SOAK_GROUP "/cgroup.subtree_control", "+memory") ||
	    (mkdir(SOAK_PRESSED, 0755) && errno != EEXIST))
		return false;
	return !ms_cgroup_write(SOAK_PRESSED, "memory.max", 8 << 20) &&
	       (mkdir(SOAK_OTHERS, 0755) == 0 || errno == EEXIST);
}

void soak_remove_groups(void)
{
	rmdir(SOAK_PRESSED);
	rmdir(SOAK_OTHERS);
	rmdir(SOAK_GROUP);
}

static long long kib_of(const char *name)
{
	char line[256], format[64];
	long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	snprintf(format, sizeof(format), "%s: %%lld", name);
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, format, &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

/* Memory of the kernel that a module can keep, in KiB, without what it can do without */
long long soak_memory(void)
{
	ms_await_readers();
	write_file("/proc/sys/vm/drop_caches", "3");
	ms_sleep(SECOND);
	write_file("/proc/sys/vm/drop_caches", "3");
	return kib_of("SUnreclaim") + kib_of("Percpu");
}

/* Freed memory that KASAN keeps from being used again, in KiB at most: a 32nd of all */
long long soak_quarantine(void)
{
	char line[256];
	long long kib = 0;
	FILE *f = fopen("/proc/kallsyms", "r");

	while (f && !kib && fgets(line, sizeof(line), f))
		if (strstr(line, " kasan_quarantine_reduce"))
			kib = kib_of("MemTotal") / 32;
	if (f)
		fclose(f);
	return kib;
}

/* Memory of the kernel that is still charged to the groups, in KiB */
long long soak_group_memory(void)
{
	return ms_cgroup_read(SOAK_GROUP, "memory.stat", "kernel") / 1024;
}
