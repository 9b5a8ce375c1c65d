// SPDX-License-Identifier: GPL-2.0
/*
 * Files that the checks of mstore doctor look at, below METASTORE_DOCTOR_ROOT if that is
 * set, as tests do.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "doctor_files.h"
#include "store.h"

static const char *root(void)
{
	const char *path = getenv("METASTORE_DOCTOR_ROOT");

	return path ? path : "";
}

/* Make a path below the root. */
const char *below_root(char path[DOCTOR_PATH_SIZE], const char *format, ...)
{
	int len = snprintf(path, DOCTOR_PATH_SIZE, "%s", root());
	va_list args;

	va_start(args, format);
	if (len < DOCTOR_PATH_SIZE)
		vsnprintf(path + len, DOCTOR_PATH_SIZE - len, format, args);
	va_end(args);
	return path;
}

/* The name that a path below the root has for people. */
const char *shown(const char *path)
{
	return path + strlen(root());
}

const char *device_path(void)
{
	static char path[DOCTOR_PATH_SIZE];

	return strcmp(store_path(), DEVICE) ? store_path() : below_root(path, DEVICE);
}

bool exists(const char *name)
{
	char path[DOCTOR_PATH_SIZE];

	return !access(below_root(path, "%s", name), F_OK);
}

/*
 * Read a file below the root. Returns false and sets errno if it is absent or hidden. The
 * buffer then has a NUL behind its text, and is the caller's.
 */
bool read_file(const char *name, struct buffer *text)
{
	char path[DOCTOR_PATH_SIZE], part[4096];
	ssize_t len;
	int error, fd;

	*text = (struct buffer){ 0 };
	fd = open(below_root(path, "%s", name), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	while ((len = read(fd, part, sizeof(part))) > 0)
		buffer_add(text, part, len);
	error = errno;
	close(fd);
	errno = error;
	if (len < 0) {
		free(text->data);
		return false;
	}
	buffer_add(text, "", 1);
	text->len--;
	return true;
}

bool is_absent(int error)
{
	return error == ENOENT || error == ENOTDIR;
}

bool is_loaded(void)
{
	return exists("/sys/module/metastore");
}

bool in_container(void)
{
	return exists("/run/systemd/container") || exists("/run/.containerenv") ||
	       exists("/.dockerenv");
}

/* The running kernel's release, as in /lib/modules. */
const char *release(void)
{
	static char name[RELEASE_SIZE];
	struct buffer text;

	if (!name[0] && read_file("/proc/sys/kernel/osrelease", &text)) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(text.data, "\n"), text.data);
		free(text.data);
	}
	return name;
}

/* Ask depmod's list, which is modprobe's, for the file of the module. */
bool find_in_list(const char *of_release, char file[DOCTOR_PATH_SIZE])
{
	char name[DOCTOR_PATH_SIZE];
	struct buffer text;
	const char *at, *start;

	snprintf(name, sizeof(name), "/lib/modules/%s/modules.dep", of_release);
	if (!read_file(name, &text))
		return false;
	at = strstr(text.data, "/metastore.ko");
	if (at) {
		for (start = at; start > text.data && start[-1] != '\n'; start--)
			;
		snprintf(file, DOCTOR_PATH_SIZE, "/lib/modules/%s/%.*s", of_release,
			 (int)strcspn(start, ":"), start);
	}
	free(text.data);
	return at;
}

bool is_installed(char file[DOCTOR_PATH_SIZE])
{
	return *release() && find_in_list(release(), file);
}

/* The first file of a pattern below the root. */
bool glob_one(char path[DOCTOR_PATH_SIZE], const char *pattern)
{
	glob_t files;
	bool found = !glob(below_root(path, "%s", pattern), 0, NULL, &files);

	if (found)
		snprintf(path, DOCTOR_PATH_SIZE, "%s", files.gl_pathv[0]);
	globfree(&files);
	return found;
}
