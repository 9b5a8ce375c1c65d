// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel module: sysfs tells how it is loaded, the tools of kmod know its files, which may
 * be compressed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "error.h"
#include "kernel_module.h"

#define MODULE		"metastore"
#define SYSFS		"/sys/module/" MODULE "/"
#define PARAMETERS	SYSFS "parameters/"
#define PATH_SIZE	(sizeof(PARAMETERS) + 256)

static void path_of(char path[PATH_SIZE], const char *directory, const char *name)
{
	snprintf(path, PATH_SIZE, "%s%s", directory, name);
}

/* Reads a descriptor to its end, and closes it. The last newline is left out. */
static bool read_all(int fd, struct buffer *text)
{
	char bytes[4096];
	ssize_t len = -1;

	*text = (struct buffer){ 0 };
	while (fd >= 0 && (len = read(fd, bytes, sizeof(bytes))) > 0)
		buffer_add(text, bytes, len);
	if (fd >= 0)
		close(fd);
	buffer_add(text, "", 1);
	text->len--;
	if (text->len && text->data[text->len - 1] == '\n')
		text->data[--text->len] = 0;
	return fd >= 0 && !len;
}

bool module_parameter_is_there(const char *name)
{
	char path[PATH_SIZE];

	path_of(path, PARAMETERS, name);
	return !access(path, F_OK);
}

/* Returns 0 or an errno. */
int module_set_parameter(const char *name, const char *value)
{
	char path[PATH_SIZE];
	int fd, error = 0;

	path_of(path, PARAMETERS, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error;
}

/* Reads what sysfs tells about the loaded module, such as its srcversion. */
bool module_attribute(const char *name, struct buffer *text)
{
	char path[PATH_SIZE];

	path_of(path, SYSFS, name);
	return read_all(open(path, O_RDONLY | O_CLOEXEC), text);
}

static void add_word(struct parameters *parameters, const char *name, const char *value)
{
	struct buffer word = { 0 };

	buffer_format(&word, "%s=%s", name, value);
	buffer_add(&word, "", 1);
	parameters->words = reallocarray(parameters->words, parameters->count + 2,
					 sizeof(*parameters->words));
	if (!parameters->words)
		call_failed("memory", ENOMEM);
	parameters->words[parameters->count++] = word.data;
	parameters->words[parameters->count] = NULL;
}

static void free_words(struct parameters *parameters)
{
	for (size_t i = 0; i < parameters->count; i++)
		free(parameters->words[i]);
	free(parameters->words);
	*parameters = (struct parameters){ 0 };
}

/* Reads all parameters of the loaded module, to load another with. That begins retired. */
void module_read_parameters(struct parameters *parameters)
{
	DIR *dir = opendir(PARAMETERS);
	struct dirent *entry;
	struct buffer value;
	char path[PATH_SIZE];

	if (!dir)
		call_failed(PARAMETERS, errno);
	free_words(parameters);
	add_word(parameters, "retired", "1");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "retired"))
			continue;
		path_of(path, PARAMETERS, entry->d_name);
		if (!read_all(open(path, O_RDONLY | O_CLOEXEC), &value))
			call_failed(path, errno);
		add_word(parameters, entry->d_name, value.data);
		free(value.data);
	}
	closedir(dir);
}

static void drop_errors(void)
{
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
}

/*
 * Runs a command and reads its standard output. @prepare is as in start_command(). Returns
 * whether the command succeeded.
 */
static bool output_of(char *const *argv, struct buffer *text, void (*prepare)(void))
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		call_failed("pipe", errno);
	pid = start_command(argv, (struct bytes){ "", 0 }, ends[1], prepare);
	close(ends[1]);
	read_all(ends[0], text);
	return !wait_for_command(pid);
}

/* Reads a field of a module's file, such as vermagic: a line for each value. */
bool module_field(const char *file, const char *field, struct buffer *text)
{
	char *argv[5] = { WORD("modinfo"), WORD("-F"), (char *)field, (char *)file, NULL };

	return output_of(argv, text, NULL);
}

/* Finds the file that modprobe(8) would load, if there is one. */
bool module_installed_file(struct buffer *file)
{
	char *argv[5] = { WORD("modinfo"), WORD("-F"), WORD("filename"), WORD(MODULE), NULL };

	return output_of(argv, file, drop_errors) && file->len;
}

bool module_load(const char *file, const struct parameters *parameters)
{
	char **argv = calloc(parameters->count + 3, sizeof(*argv));
	bool loaded;

	if (!argv)
		call_failed("memory", ENOMEM);
	argv[0] = WORD("insmod");
	argv[1] = (char *)file;
	memcpy(argv + 2, parameters->words, parameters->count * sizeof(*argv));
	loaded = !wait_for_command(start_command(argv, (struct bytes){ "", 0 }, -1, NULL));
	free(argv);
	return loaded;
}

/* Returns 0 or an errno: EWOULDBLOCK while the device is open somewhere. */
int module_unload(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? errno : 0;
}
