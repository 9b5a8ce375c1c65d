// SPDX-License-Identifier: GPL-2.0
/* The writer of a value, and the time. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "writer.h"

/* RFC 3339, in UTC so that it means the same everywhere. */
void time_text(char text[TIME_TEXT_SIZE], uint64_t time_ns)
{
	time_t seconds = time_ns / NS_PER_SEC;
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, TIME_TEXT_SIZE - len, ".%09uZ", (unsigned int)(time_ns % NS_PER_SEC));
}

/* Valid until the next call. */
const char *user_name(uint32_t uid)
{
	struct passwd *user = getpwuid(uid);

	return user ? user->pw_name : "without a name";
}

/* Process numbers are those of our PID namespace. Is /proc of that one, too? */
static bool proc_has_our_numbers(void)
{
	char text[16] = "";

	return readlink("/proc/self", text, sizeof(text) - 1) > 0 && atoi(text) == getpid();
}

/* Reads /proc/PID/stat: `PID (name) state ...`, where the name may hold anything. */
static bool read_process(char name[COMMAND_SIZE], unsigned long long *start_ticks, int32_t pid)
{
	char path[32], text[1024];
	char *open, *close;
	size_t count;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	count = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[count] = 0;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close)
		return false;
	*close = 0;
	snprintf(name, COMMAND_SIZE, "%s", open + 1);
	/* The start is field 22; the name was field 2. */
	return sscanf(close + 1,
		      " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		      start_ticks) == 1;
}

/*
 * The name of the process that wrote a value, if it is still there: one that
 * started after the value was written only has its number.
 */
bool writer_command(char name[COMMAND_SIZE], int32_t pid, uint64_t time_ns)
{
	unsigned long long ticks;
	uint64_t booted;

	if (pid <= 0 || !proc_has_our_numbers() || !read_process(name, &ticks, pid))
		return false;
	booted = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME);
	return booted + ticks * (NS_PER_SEC / sysconf(_SC_CLK_TCK)) <= time_ns;
}

void add_json_writer(json_t *object, int32_t pid, uint32_t uid, uint64_t time_ns)
{
	struct passwd *user = getpwuid(uid);
	char name[COMMAND_SIZE], when[TIME_TEXT_SIZE];

	object_number(object, "pid", pid);
	if (writer_command(name, pid, time_ns))
		object_text(object, "command", name);
	object_number(object, "uid", uid);
	if (user)
		object_text(object, "user", user->pw_name);
	time_text(when, time_ns);
	object_text(object, "time", when);
	object_exact(object, "time_ns", time_ns);
}
