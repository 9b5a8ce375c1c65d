// SPDX-License-Identifier: GPL-2.0
/*
 * The open files of stores and their processes, as far as /proc tells. It does not
 * show descriptors in flight in a socket, nor those that io_uring alone holds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <metastore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "error.h"
#include "openfiles.h"
#include "output.h"
#include "store.h"
#include "writer.h"

#define PATH_SIZE	560	/* of what /proc has */
#define LINK_SIZE	64

static const char anonymous[] = "anon_inode:[metastore]";
static const char device_number[] = "/sys/class/misc/metastore/dev";

/* Makes room for one more element, after @count of @size bytes each. */
static void *grow(void *array, size_t count, size_t size)
{
	/* At each power of two it doubles. */
	if (count & (count - 1))
		return array;
	array = reallocarray(array, count ? 2 * count : 1, size);
	if (!array)
		call_failed("memory", ENOMEM);
	return array;
}

/* The device's number, which no other file has; 0 if unknown. */
static dev_t device(struct mstore *store)
{
	unsigned int major_number, minor_number;
	struct stat st;
	FILE *file;
	int fields = 0;

	if (!fstat(mstore_fd(store), &st) && S_ISCHR(st.st_mode))
		return st.st_rdev;
	/* A private store has none; sysfs knows that of the default one. */
	file = fopen(device_number, "re");
	if (file) {
		fields = fscanf(file, "%u:%u", &major_number, &minor_number);
		fclose(file);
	}
	return fields == 2 ? makedev(major_number, minor_number) : 0;
}

/* Without asking file systems that may not answer. */
static bool is_device(int dir, const char *name, dev_t wanted)
{
	struct statx st;

	return wanted && !statx(dir, name, AT_STATX_DONT_SYNC, STATX_TYPE, &st) &&
	       S_ISCHR(st.stx_mode) &&
	       makedev(st.stx_rdev_major, st.stx_rdev_minor) == wanted;
}

static bool is_store(int dir, const char *name, dev_t wanted)
{
	char link[LINK_SIZE];
	ssize_t len = readlinkat(dir, name, link, sizeof(link));

	if (len == sizeof(anonymous) - 1 && !memcmp(link, anonymous, len))
		return true;
	return len > 0 && link[0] == '/' && is_device(dir, name, wanted);
}

/* A line `name:	number`; names that are not known are left out. */
static void read_number(struct open_file *file, const char *name, const char *text)
{
	const struct {
		const char *name;
		uint64_t *number;
	} fields[] = {
		{ "store", &file->store },
		{ "file", &file->file },
		{ "subscriptions", &file->subscriptions },
		{ "events", &file->events },
		{ "bytes", &file->bytes },
		{ "max_len", &file->max_len },
		{ "max_bytes", &file->max_bytes },
		{ "high_len", &file->high_len },
		{ "oldest", &file->oldest_ms },
		{ "matched", &file->books.matched },
		{ "delivered", &file->books.delivered },
		{ "conflated", &file->books.conflated },
		{ "lost", &file->books.lost },
		{ "pending", &file->books.pending },
		{ "discarded", &file->books.discarded },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(name, fields[i].name))
			*fields[i].number = strtoull(text, NULL, 10);
}

/* The kernel writes a backslash and three octal digits for what is not printable. */
static struct bytes unescape_octal(const char *text)
{
	struct buffer buf = { 0 };

	while (*text) {
		char byte = *text;
		unsigned int number;

		if (byte == '\\' && sscanf(text + 1, "%3o", &number) == 1) {
			byte = number;
			text += 3;
		}
		buffer_add(&buf, &byte, 1);
		text++;
	}
	return (struct bytes){ buf.data, buf.len };
}

/*
 * An older module has no number of discarded events behind the pending ones. A key has no
 * space in it.
 */
static void read_subscription(struct open_file *file, const char *text)
{
	struct subscription sub = { 0 };
	struct books *books = &sub.books;
	const char *rest;
	int at = 0;

	if (sscanf(text, "%" SCNu64 " %i %i %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64 "%n", &sub.cookie, &sub.events, &sub.flags, &books->matched,
		   &books->delivered, &books->conflated, &books->lost, &books->pending,
		   &at) != 8 || text[at] != ' ')
		return;
	text += at + 1;
	rest = strchr(text, ' ');
	if (rest) {
		books->discarded = strtoull(text, NULL, 10);
		text = rest + 1;
	}
	sub.key = unescape_octal(text);
	file->subs = grow(file->subs, file->sub_count, sizeof(sub));
	file->subs[file->sub_count++] = sub;
}

static void read_line(struct open_file *file, char *line)
{
	char *text = strstr(line, ":\t");

	if (!text)
		return;
	*text = 0;
	text += 2;
	text[strcspn(text, "\n")] = 0;
	if (!strcmp(line, "subscription"))
		read_subscription(file, text);
	else if (!strcmp(line, "policy"))
		snprintf(file->policy, sizeof(file->policy), "%s", text);
	else
		read_number(file, line, text);
}

/* Returns false if the process is gone, or the module too old to tell. */
static bool read_fdinfo(struct open_file *file, const char *pid, const char *fd)
{
	char path[PATH_SIZE], *line = NULL;
	size_t size = 0;
	FILE *info;

	*file = (struct open_file){ 0 };
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	info = fopen(path, "re");
	if (!info)
		return false;
	while (getline(&line, &size, info) >= 0)
		read_line(file, line);
	free(line);
	fclose(info);
	return file->file;
}

static void free_file(struct open_file *file)
{
	for (size_t i = 0; i < file->sub_count; i++)
		free((void *)file->subs[i].key.data);
	free(file->subs);
	free(file->holders);
}

static struct open_file *find(struct open_files *files, const struct open_file *file)
{
	for (size_t i = 0; i < files->count; i++)
		if (files->files[i].store == file->store && files->files[i].file == file->file)
			return &files->files[i];
	return NULL;
}

/* A process may hold it by several descriptors. */
static void add_holder(struct open_file *file, int32_t pid)
{
	if (file->holder_count && file->holders[file->holder_count - 1] == pid)
		return;
	file->holders = grow(file->holders, file->holder_count, sizeof(pid));
	file->holders[file->holder_count++] = pid;
}

static void add_file(struct open_files *files, struct open_file *file, int32_t pid)
{
	struct open_file *known = find(files, file);

	if (known) {
		free_file(file);
		add_holder(known, pid);
		return;
	}
	files->files = grow(files->files, files->count, sizeof(*file));
	add_holder(file, pid);
	files->files[files->count++] = *file;
}

/*
 * Whether a line of /proc/PID/maps is of a store, and whether its open file has a name. The path
 * may be that of another mount namespace, but root can follow the link in map_files.
 */
static bool maps_store(const char *pid, const char *line, dev_t wanted, bool *is_anonymous)
{
	unsigned long start, end;
	char link[PATH_SIZE], shared;
	const char *path;
	int at = 0;

	if (sscanf(line, "%lx-%lx %*3c%c %*s %*s %*s %n", &start, &end, &shared, &at) != 3 ||
	    shared != 's')
		return false;
	path = line + at;
	*is_anonymous = !strcmp(path, anonymous);
	if (*path != '/')
		return *is_anonymous;
	snprintf(link, sizeof(link), "/proc/%s/map_files/%lx-%lx", pid, start, end);
	return is_device(AT_FDCWD, link, wanted) || is_device(AT_FDCWD, path, wanted);
}

/* Notes that a process without a descriptor of a store has mapped one. */
static void add_mapper(struct open_files *files, const char *pid, dev_t wanted)
{
	char path[PATH_SIZE], *line = NULL;
	bool is_anonymous, found = false;
	size_t size = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return;
	while (!found && getline(&line, &size, maps) >= 0) {
		line[strcspn(line, "\n")] = 0;
		found = maps_store(pid, line, wanted, &is_anonymous);
	}
	free(line);
	fclose(maps);
	if (!found)
		return;
	files->mappers = grow(files->mappers, files->mapper_count, sizeof(struct mapper));
	files->mappers[files->mapper_count++] = (struct mapper){ atoi(pid), is_anonymous };
}

static void add_process(struct open_files *files, const char *pid, dev_t wanted)
{
	struct open_file file;
	struct dirent *entry;
	char path[PATH_SIZE];
	bool has_one = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir) {
		files->denied += errno == EACCES;
		return;
	}
	while ((entry = readdir(dir))) {
		if (!is_store(dirfd(dir), entry->d_name, wanted))
			continue;
		has_one = true;
		if (read_fdinfo(&file, pid, entry->d_name))
			add_file(files, &file, atoi(pid));
	}
	closedir(dir);
	if (!has_one)
		add_mapper(files, pid, wanted);
}

/* Which store and which open file a descriptor of this process is of. */
static void own_file(struct open_file *own, struct mstore *store)
{
	char fd[16];

	snprintf(fd, sizeof(fd), "%d", mstore_fd(store));
	if (!read_fdinfo(own, "self", fd))
		call_failed(store_path(), ENOTTY);
	free_file(own);
}

static void remove_file(struct open_files *files, const struct open_file *file)
{
	struct open_file *known = find(files, file);

	if (!known)
		return;
	free_file(known);
	*known = files->files[--files->count];
}

/**
 * open_files_read() - find all open files of stores
 * @files:	where to write them
 * @store:	the tool's own open store, which is left out
 *
 * Return: the number of that store.
 */
uint64_t open_files_read(struct open_files *files, struct mstore *store)
{
	dev_t wanted = device(store);
	struct open_file own;
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	if (!dir)
		call_failed("/proc", errno);
	*files = (struct open_files){ 0 };
	own_file(&own, store);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			add_process(files, entry->d_name, wanted);
	closedir(dir);
	remove_file(files, &own);
	return own.store;
}

/* Leaves out those of other stores. */
void open_files_keep(struct open_files *files, uint64_t store)
{
	size_t kept = 0;

	for (size_t i = 0; i < files->count; i++) {
		if (files->files[i].store == store)
			files->files[kept++] = files->files[i];
		else
			free_file(&files->files[i]);
	}
	files->count = kept;
}

void open_files_free(struct open_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free_file(&files->files[i]);
	free(files->files);
	free(files->mappers);
}

bool books_balance(const struct books *books)
{
	return books->matched == books->delivered + books->conflated + books->lost +
				 books->discarded + books->pending;
}

bool file_balances(const struct open_file *file)
{
	bool balance = books_balance(&file->books);

	for (size_t i = 0; i < file->sub_count; i++)
		balance = balance && books_balance(&file->subs[i].books);
	return balance;
}

/* For qsort(). Worst first: counters that do not add up, then losses, then the oldest event. */
int compare_files(const void *a, const void *b)
{
	const struct open_file *x = a, *y = b;
	const uint64_t keys[][2] = {
		{ file_balances(x), file_balances(y) },
		{ y->books.lost, x->books.lost },
		{ y->oldest_ms, x->oldest_ms },
		{ y->books.pending, x->books.pending },
		{ x->store, y->store },
		{ x->file, y->file },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i][0] != keys[i][1])
			return keys[i][0] < keys[i][1] ? -1 : 1;
	return 0;
}

/* Empty if the process has ended meanwhile. */
const char *holder_command(int32_t pid)
{
	static char name[COMMAND_SIZE];
	char path[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file || !fgets(name, sizeof(name), file))
		name[0] = 0;
	if (file)
		fclose(file);
	name[strcspn(name, "\n")] = 0;
	return name;
}
