// SPDX-License-Identifier: GPL-2.0
/* Values that come from a file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define CHUNK	65536

static size_t longest_value(struct mstore *store)
{
	struct mstore_info info;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		call_failed(store_path(), errno);
	return info.max_value;
}

static size_t read_chunk(int fd, char *data, const char *path)
{
	for (;;) {
		ssize_t count = read(fd, data, CHUNK);

		if (count >= 0)
			return count;
		if (errno != EINTR)
			die(STATUS_COULD_NOT, path, "%s", strerror(errno));
	}
}

/* Stops where the store would refuse: a file may have no end. */
struct bytes read_value(struct mstore *store, const char *path)
{
	bool standard = !strcmp(path, "-");
	const char *name = standard ? "standard input" : path;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	size_t most = longest_value(store);
	struct buffer buf = { 0 };
	size_t count;

	if (fd < 0)
		die(STATUS_COULD_NOT, name, "%s", strerror(errno));
	do {
		count = read_chunk(fd, buffer_reserve(&buf, CHUNK), name);
		buf.len += count;
		if (buf.len > most)
			die(STATUS_COULD_NOT, name, "longer than the store takes, %zu bytes",
			    most);
	} while (count);
	if (!standard)
		close(fd);
	return (struct bytes){ buf.data, buf.len };
}
