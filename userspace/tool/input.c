// SPDX-License-Identifier: GPL-2.0
/* Values that come from files, and lines of standard input. */
#include <errno.h>
#include <fcntl.h>
#include <metastore.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "input.h"
#include "options.h"
#include "output.h"
#include "settings.h"
#include "store.h"

#define CHUNK	65536

static const char standard_input[] = "standard input";

/* Appends the next bytes to @buf. Returns false at the end. */
static bool read_chunk(struct buffer *buf, int fd, const char *name)
{
	for (;;) {
		ssize_t count = read(fd, buffer_reserve(buf, CHUNK), CHUNK);

		if (count >= 0) {
			buf->len += count;
			return count;
		}
		if (errno != EINTR)
			die(STATUS_COULD_NOT, name, "%s", strerror(errno));
	}
}

/* Stops where the store would refuse: a file may have no end. */
struct bytes read_to_end(int fd, const char *name, size_t most)
{
	struct buffer buf = { 0 };

	while (read_chunk(&buf, fd, name))
		if (buf.len > most)
			die(STATUS_COULD_NOT, name, "too long: the store takes at most %zu bytes",
			    most);
	return (struct bytes){ buf.data, buf.len };
}

struct bytes read_value(struct mstore *store, const char *path)
{
	bool standard = !strcmp(path, "-");
	const char *name = standard ? standard_input : path;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct bytes value;

	if (fd < 0)
		die(STATUS_COULD_NOT, name, "%s", strerror(errno));
	value = read_to_end(fd, name, longest_value(store));
	if (!standard)
		close(fd);
	return value;
}

/* The value from an operand, or from --file. */
struct bytes operand_value(const struct command *cmd, struct mstore *store, const char *text)
{
	if (settings.file)
		return read_value(store, settings.file);
	return operand_bytes(cmd, text);
}

/**
 * struct lines - standard input, a line at a time
 * @buf:	bytes read so far
 * @at:		offset of the next line in @buf
 * @searched:	offset before which that line has no end
 * @ended:	end of the input
 */
static struct lines {
	struct buffer buf;
	size_t at;
	size_t searched;
	bool ended;
} lines;

/* The end of the next line; NULL if that has not been read yet. */
static char *find_end(void)
{
	char *end = NULL;

	if (lines.searched < lines.buf.len)
		end = memchr(lines.buf.data + lines.searched, '\n',
			     lines.buf.len - lines.searched);
	if (!end)
		lines.searched = lines.buf.len;
	return end;
}

static void read_more(void)
{
	size_t kept = lines.buf.len - lines.at;

	if (lines.at) {
		memmove(lines.buf.data, lines.buf.data + lines.at, kept);
		lines.buf.len = kept;
		lines.searched -= lines.at;
		lines.at = 0;
	}
	lines.ended = !read_chunk(&lines.buf, STDIN_FILENO, standard_input);
}

static bool starts_with(struct bytes line, const char *start)
{
	return line.len >= strlen(start) && !memcmp(line.data, start, strlen(start));
}

/* Text of other systems: bytes that nobody sees would become part of keys and values. */
static void check_text(const struct command *cmd, struct bytes line)
{
	const char *text = line.data;

	if (settings.line == 1 && starts_with(line, "\xef\xbb\xbf"))
		die_usage(cmd, "starts with a byte order mark; remove it with tail -c +4");
	if (settings.line == 1 && (starts_with(line, "\xff\xfe") || starts_with(line, "\xfe\xff")))
		die_usage(cmd,
			  "starts with a byte order mark of UTF-16; convert it with iconv -f UTF-16 -t UTF-8");
	if (line.len && text[line.len - 1] == '\r')
		die_usage(cmd,
			  "ends with a carriage return; remove it with tr -d '\\r', or write it as \\r");
}

/*
 * Returns false at the end; until then settings.line is the number of the line. A NUL
 * replaces the newline; the last line need not have one. The line is valid until the
 * next call of this function or of line_waits().
 */
bool next_line(const struct command *cmd, struct bytes *line)
{
	char *start, *end;

	while (!(end = find_end()) && !lines.ended)
		read_more();
	if (!end && lines.at == lines.buf.len) {
		settings.line = 0;
		return false;
	}
	if (!end) {
		buffer_reserve(&lines.buf, 1);
		end = lines.buf.data + lines.buf.len++;
	}
	*end = 0;
	start = lines.buf.data + lines.at;
	*line = (struct bytes){ start, end - start };
	lines.at += line->len + 1;
	lines.searched = lines.at;
	settings.line++;
	check_text(cmd, *line);
	return true;
}

/* Whether next_line() would return without waiting for the writer. */
bool line_waits(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	while (!find_end() && !lines.ended) {
		if (poll(&input, 1, 0) <= 0)
			return false;
		read_more();
	}
	return true;
}
