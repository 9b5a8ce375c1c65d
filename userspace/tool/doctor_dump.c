// SPDX-License-Identifier: GPL-2.0
/* Check of mstore doctor: the dump that metastore-persist.service keeps. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "doctor_files.h"

#define SAVED_DUMP	"/var/lib/metastore/dump.json"
#define DAY		(24 * 60 * 60)

const char *doctor_dump;

/* Whether the last line of a dump says that it is whole, and has the number of the others. */
static bool is_whole(int fd)
{
	FILE *file = fdopen(dup(fd), "r");
	json_t *end = NULL;
	json_int_t lines = 0;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	bool whole;

	while (file && (len = getline(&line, &size, file)) > 0) {
		json_decref(end);
		end = json_loadb(line, len, 0, NULL);
		lines++;
	}
	whole = json_is_true(json_object_get(end, "whole")) &&
		json_integer_value(json_object_get(end, "keys")) == lines - 1;
	json_decref(end);
	free(line);
	if (file)
		fclose(file);
	return whole;
}

static void judge_dump(struct finding *finding, const char *name, int fd, const struct stat *st)
{
	long long age = (long long)time(NULL) - st->st_mtime;

	if (!is_whole(fd))
		find(finding, VERDICT_FAIL, "%s is not whole", name);
	else if (age > DAY)
		find(finding, VERDICT_WARN, "%s is %lld hours old", name, age / 3600);
	else
		find(finding, VERDICT_OK, "%s is %lld hours old", name, age > 0 ? age / 3600 : 0);
	/* Not to be replaced before somebody has looked at it */
	if (finding->verdict == VERDICT_FAIL && !doctor_dump)
		mend(finding, "sudo mv %s %s.bad && sudo systemctl start metastore-persist.service",
		     name, name);
	else if (finding->verdict != VERDICT_OK)
		mend(finding, "sudo mstore dump --output %s", name);
}

/* The file of --dump is as it was given, not below the root. */
void check_dump(struct finding *finding)
{
	const char *name = doctor_dump ? doctor_dump : SAVED_DUMP;
	char path[DOCTOR_PATH_SIZE];
	struct stat st;
	int fd;

	fd = open(doctor_dump ? doctor_dump : below_root(path, SAVED_DUMP), O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &st)) {
		judge_dump(finding, name, fd, &st);
	} else if (!is_absent(errno)) {
		find_hidden(finding, name);
	} else if (doctor_dump) {
		find(finding, VERDICT_FAIL, "no %s", name);
		mend(finding, "sudo mstore dump --output %s", name);
	} else {
		find(finding, VERDICT_OK, "none is saved: values end with the module");
	}
	if (fd >= 0)
		close(fd);
}
