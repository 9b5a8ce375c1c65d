// SPDX-License-Identifier: GPL-2.0
/* Private stores, made and dropped, and commands of the tool. */
#include "soak.h"

static void use(int fd)
{
	char key[16];
	int sub = ms_reopen(fd, O_RDWR | O_NONBLOCK), i;

	SOAK_CHECK(sub >= 0);
	SOAK_CHECK(!ms_subscribe_prefix(sub, "", EVENTS_ALL, 1));
	for (i = 0; i < 30; i++) {
		sprintf(key, "k%d", rand() % 20);
		SOAK_CHECK(ms_publish(fd, key, "value", NULL) == 1);
		SOAK_CHECK(!ms_own(sub, "owned", "by the other", NULL));
	}
	/* Either goes first, and what waits goes unread. */
	close(rand() % 2 ? sub : -1);
}

void soak_private(void)
{
	int from = ms_open(O_RDWR), fd;

	SOAK_CHECK(from >= 0);
	while (!soak_writers_end()) {
		fd = ms_create(from, O_RDWR, (struct metastore_create) {
			.buckets = 1 + rand() % 32,
			.queue_len = 1 + rand() % 64,
		});
		SOAK_CHECK(fd >= 0);
		use(fd);
		close(fd);
		closefrom(from + 1);
		soak_count(SOAK_STORES);
		ms_sleep(SECOND / 500);
	}
}

/* Each ends by itself in a second or two. */
void soak_tool(void)
{
	static const char *const commands[] = {
		"mstore lock --timeout 2s lock/tool -- true",
		"timeout -s KILL 0.2 mstore lock lock/tool -- sleep 1",
		"timeout -s KILL 0.2 mstore hold own/tool held -- sleep 0.4",
		"mstore hold own/tool held -- true",
		"mstore private -- mstore set a b",
		"mstore ls any/",
		"mstore audit",
		"mstore dump",
		"timeout 0.3 mstore sub --prefix any/",
		"timeout -s KILL 0.1 mstore sub --prefix any/",
		"mstore incr tool/count",
	};
	char line[256];
	int status;

	while (!soak_writers_end()) {
		snprintf(line, sizeof(line), "%s >/dev/null 2>&1 </dev/null",
			 commands[rand() % ARRAY_SIZE(commands)]);
		status = system(line);
		/* 2: it did not understand; then this has to be mended. */
		SOAK_CHECK(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) != 2);
		soak_count(SOAK_COMMANDS);
	}
}
