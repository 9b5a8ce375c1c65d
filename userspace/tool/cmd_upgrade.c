// SPDX-License-Identifier: GPL-2.0
/*
 * mstore upgrade: another module takes the place of the loaded one, and has its values.
 *
 * The loaded module is retired: it serves nobody else any more, and tells all to close the
 * device. Its values are dumped, it is unloaded, the other one is loaded retired and gets
 * the values; then it serves everybody. What fails before the module is unloaded ends the
 * retirement; what fails afterwards loads the old module again.
 */
#include <errno.h>
#include <fcntl.h>
#include <metastore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "commands.h"
#include "error.h"
#include "kernel_module.h"
#include "openfiles.h"
#include "output.h"
#include "store.h"

#define DEVICE		"/dev/metastore"
#define MODULES_DISABLED	"/proc/sys/kernel/modules_disabled"
#define RETRY_NS	20000000
#define BACK_MS		5000	/* to unload a module that has no users */
#define PATIENCE_MS	10000
#define PATIENCE_MAX_MS	(24ULL * 3600 * 1000)

/* metastore-persist.service saves at stop only what is in the device that this names. */
#define PERSISTED	"/run/metastore/device"

enum { OPT_BACK = OPT_OWN, OPT_NO_BACK, OPT_PATIENCE, OPT_LOSE_PRIVATE, OPT_DIRECTORY };

static const struct tool_option options[] = {
	{ OPT_BACK, "back", "OLD.ko", "the loaded module's file, in case that NEW.ko fails" },
	{ OPT_NO_BACK, "no-back", NULL, "go on without such a file" },
	{ OPT_PATIENCE, "timeout", "TIME",
	  "how long others may take to close the device (default 10s)" },
	{ OPT_LOSE_PRIVATE, "lose-private", NULL, "even if private stores exist: they end" },
	{ OPT_DIRECTORY, "directory", "DIR", "where the values are meanwhile (default /run)" },
	{ }
};

static const char *new_file;
static const char *old_file;		/* NULL: there is no way back */
static bool no_back;
static bool lose_private;
static uint64_t patience_ms = PATIENCE_MS;
static struct parameters parameters;
static const char *directory = "/run";
static char dump_path[4096];
static sigset_t old_signals;
static int lock_fd = -1;
static struct stat old_device;

/* How end() cleans up if the command ends now */
static enum {
	NOTHING,
	SERVE_AGAIN,			/* the loaded module is retired */
	NAME_DUMP,			/* it was unloaded */
} at_exit;

/* Checks, before anything is changed */

static bool same_text(const struct buffer *a, const struct buffer *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static bool has_line_with(const struct buffer *text, const char *start)
{
	for (const char *at = text->data; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, start, strlen(start)))
			return true;
	}
	return false;
}

/* Whether a file is a module for this kernel that can be loaded retired. */
static void check_file(const char *file)
{
	struct utsname kernel;
	struct buffer text;

	if (access(file, R_OK))
		die(STATUS_COULD_NOT, file, "%s", strerror(errno));
	if (!module_field(file, "parm", &text))
		die(STATUS_COULD_NOT, file,
		    "is no kernel module, or modinfo (package kmod) is missing");
	if (!has_line_with(&text, "retired:"))
		die(STATUS_COULD_NOT, file,
		    "is no module metastore that can take another's place");
	free(text.data);
	uname(&kernel);
	if (!module_field(file, "vermagic", &text) ||
	    strncmp(text.data, kernel.release, strlen(kernel.release)) ||
	    text.data[strlen(kernel.release)] != ' ')
		die(STATUS_COULD_NOT, file, "is for kernel %.*s, and this is %s",
		    (int)strcspn(text.data, " "), text.data, kernel.release);
	free(text.data);
}

/* Whether a file is the loaded module, as far as its sources tell. */
static bool is_loaded_module(const char *file)
{
	struct buffer loaded, other;
	bool same;

	if (access(file, R_OK) || !module_attribute("srcversion", &loaded))
		return false;
	same = module_field(file, "srcversion", &other) && same_text(&loaded, &other);
	free(loaded.data);
	free(other.data);
	return same;
}

/* Without --back the installed module may do, or the new one if it is the same. */
static void find_way_back(void)
{
	static struct buffer installed;

	if (no_back)
		return;
	if (!old_file && module_installed_file(&installed) && is_loaded_module(installed.data))
		old_file = installed.data;
	else if (!old_file && is_loaded_module(new_file))
		old_file = new_file;
	if (!old_file)
		die(STATUS_USAGE, "upgrade",
		    "the loaded module's file is not known; give it by --back, or --no-back");
	if (!is_loaded_module(old_file))
		die(STATUS_USAGE, old_file, "is not the module that is loaded");
	check_file(old_file);
}

static bool modules_are_disabled(void)
{
	FILE *file = fopen(MODULES_DISABLED, "re");
	bool disabled = file && fgetc(file) == '1';

	if (file)
		fclose(file);
	return disabled;
}

static void check_loaded_module(void)
{
	if (!module_parameter_is_there("."))
		die(STATUS_COULD_NOT, "upgrade", "the module is not loaded; see mstore doctor");
	if (!module_parameter_is_there("retired"))
		die(STATUS_COULD_NOT, "upgrade",
		    "the loaded module is too old for this; use mstore dump, modprobe and mstore load");
	if (geteuid())
		die(STATUS_COULD_NOT, "upgrade", "only root can replace the module");
	if (modules_are_disabled())
		die(STATUS_COULD_NOT, "upgrade",
		    "this kernel loads no modules until it is booted again: " MODULES_DISABLED);
	if (stat(DEVICE, &old_device))
		die(STATUS_COULD_NOT, DEVICE, "%s", strerror(errno));
}

/* The dump has at least the bytes of the keys and values. */
static void check_room(struct mstore *store)
{
	struct mstore_info info;
	struct statvfs fs;

	if (mstore_info(store, MSTORE_ANY_BUCKET, &info))
		call_failed(DEVICE, errno);
	if (statvfs(directory, &fs))
		die(STATUS_COULD_NOT, directory, "%s", strerror(errno));
	if (info.bytes > (uint64_t)fs.f_bavail * fs.f_frsize)
		die(STATUS_COULD_NOT, directory,
		    "has no room for %llu bytes of values; see --directory",
		    (unsigned long long)info.bytes);
}

/* Returns whether there is none that would be lost. */
static bool has_no_private_store(struct mstore *store)
{
	struct open_files files;
	uint64_t own = open_files_read(&files, store);
	unsigned int found = 0;

	for (size_t i = 0; i < files.count && !lose_private; i++) {
		const struct open_file *file = &files.files[i];

		if (file->store == own)
			continue;
		for (size_t n = 0; n < file->holder_count; n++, found++)
			report("upgrade", "process %d (%s) has a private store", file->holders[n],
			       holder_command(file->holders[n]));
	}
	for (size_t i = 0; i < files.mapper_count && !lose_private; i++) {
		if (!files.mappers[i].is_anonymous)
			continue;
		report("upgrade", "process %d (%s) has mapped a store that may be private",
		       files.mappers[i].pid, holder_command(files.mappers[i].pid));
		found++;
	}
	open_files_free(&files);
	return !found;
}

/* The device, as stat -c "%i %W" prints it */
static void read_identity(struct buffer *text)
{
	struct statx st;

	*text = (struct buffer){ 0 };
	if (!statx(AT_FDCWD, DEVICE, 0, STATX_INO | STATX_BTIME, &st))
		buffer_format(text, "%llu %lld", (unsigned long long)st.stx_ino,
			      (long long)st.stx_btime.tv_sec);
	buffer_add(text, "", 1);
}

static bool is_persisted(void)
{
	char line[64] = "";
	struct buffer device;
	FILE *file = fopen(PERSISTED, "re");
	bool same;

	if (!file)
		return false;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	read_identity(&device);
	same = !strcmp(line, device.data);
	free(device.data);
	return same;
}

/* The values in the new device are those that metastore-persist.service restored. */
static void note_persisted(void)
{
	int fd = open(PERSISTED, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	struct buffer device;

	read_identity(&device);
	if (fd < 0 || dprintf(fd, "%s\n", device.data) < 0 || close(fd))
		report(PERSISTED, "%s: metastore-persist.service will not save at stop",
		       strerror(errno));
	free(device.data);
}

/* Steps */

/* Opens the device of the retired module. */
static struct mstore *open_exempt(void)
{
	struct mstore *store = mstore_open_fd(open(DEVICE, O_RDWR | O_EXCL | O_CLOEXEC));

	if (!store)
		report(DEVICE, "%s", reason(errno));
	return store;
}

static int standard_input = -1;

static void take_input(void)
{
	dup2(standard_input, STDIN_FILENO);
}

/* Nothing is unloaded yet, so signals may end the dump, and then all of this. */
static void take_signals(void)
{
	sigprocmask(SIG_SETMASK, &old_signals, NULL);
}

/*
 * Runs mstore with a store of this process. @prepare is as in start_command(). Returns whether
 * it succeeded.
 */
static bool run_with_store(struct mstore *store, char *const *words, void (*prepare)(void))
{
	char *argv[8] = { WORD("/proc/self/exe"), WORD("--store"), NULL, NULL };
	struct buffer name = { 0 };
	int fd = inherit_store(store), count = 3, status;

	buffer_format(&name, "fd:%d", fd);
	buffer_add(&name, "", 1);
	argv[2] = name.data;
	while (*words)
		argv[count++] = *words++;
	status = wait_for_command(start_command(argv, (struct bytes){ "", 0 }, -1, prepare));
	close(fd);
	free(name.data);
	return !status;
}

static bool dump(void)
{
	char *words[4] = { WORD("dump"), WORD("--output"), dump_path, NULL };
	struct mstore *store = open_exempt();
	bool done = store && run_with_store(store, words, take_signals);

	mstore_close(store);
	return done;
}

static bool load(void)
{
	char *words[3] = { WORD("load"), WORD("--whole"), NULL };
	struct mstore *store = open_exempt();
	bool done;

	standard_input = open(dump_path, O_RDONLY | O_CLOEXEC);
	done = store && standard_input >= 0 && run_with_store(store, words, take_input);
	if (standard_input >= 0)
		close(standard_input);
	mstore_close(store);
	return done;
}

/* Returns whether the module serves everybody again. */
static bool serve_again(void)
{
	int error = module_set_parameter("retired", "0");

	if (error)
		report("upgrade", "the module stays retired: %s", strerror(error));
	return !error;
}

/* However the command ends. */
static void end(void)
{
	/* It cannot if somebody else has unloaded it: then the dump is all there is. */
	if (at_exit == SERVE_AGAIN && serve_again())
		unlink(dump_path);
	else if (at_exit != NOTHING)
		report("upgrade",
		       "the values are in %s: load a module, then mstore load <%s", dump_path,
		       dump_path);
	if (ftruncate(lock_fd, 0))
		report(UPGRADE_LOCK, "%s", strerror(errno));
}

/*
 * Only root can lock the file. Others see by its size that there is no device for a moment,
 * see store.c.
 */
static void take_lock(void)
{
	lock_fd = open(UPGRADE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock_fd < 0)
		die(STATUS_COULD_NOT, UPGRADE_LOCK, "%s", strerror(errno));
	if (flock(lock_fd, LOCK_EX | LOCK_NB))
		die(STATUS_COULD_NOT, "upgrade", "another mstore upgrade is running");
	atexit(end);
	if (ftruncate(lock_fd, 1))
		die(STATUS_COULD_NOT, UPGRADE_LOCK, "%s", strerror(errno));
}

static noreturn void give_up(int status, const char *why)
{
	die(status, "upgrade", "%s; the loaded module stays", why);
}

static void name_holders(void)
{
	struct mstore *store = open_exempt();
	struct open_files files;

	if (!store)
		return;
	open_files_read(&files, store);
	if (!files.count && !files.mapper_count)
		report("upgrade",
		       "no process is seen that has the device open: it may be in a socket's queue, io_uring or another PID namespace");
	for (size_t i = 0; i < files.count; i++)
		for (size_t n = 0; n < files.files[i].holder_count; n++)
			report("upgrade", "process %d (%s) still has the device open",
			       files.files[i].holders[n],
			       holder_command(files.files[i].holders[n]));
	for (size_t i = 0; i < files.mapper_count; i++)
		report("upgrade", "process %d (%s) still has a store mapped",
		       files.mappers[i].pid, holder_command(files.mappers[i].pid));
	open_files_free(&files);
	mstore_close(store);
}

/*
 * Until the module is unloaded a signal still ends all of this. The newest version is read as
 * late as can be: owned keys end while others close the device.
 */
static void unload(const sigset_t *signals)
{
	const struct timespec retry = { .tv_nsec = RETRY_NS };
	uint64_t end = now_ns(CLOCK_MONOTONIC) + patience_ms * NS_PER_MS;
	int error;

	for (;;) {
		module_read_parameters(&parameters);
		error = module_unload();
		/* Somebody else may have unloaded it: the dump has all that it had. */
		if (!error || error == ENOENT)
			break;
		if (error != EWOULDBLOCK)
			give_up(STATUS_COULD_NOT, strerror(error));
		if (now_ns(CLOCK_MONOTONIC) >= end) {
			name_holders();
			give_up(STATUS_TIMED_OUT, "the device is still open");
		}
		if (sigtimedwait(signals, NULL, &retry) > 0)
			give_up(STATUS_COULD_NOT, "interrupted");
	}
	at_exit = NAME_DUMP;
}

/* Unloads a module that could not get the values, and that nobody else may use. */
static void unload_again(void)
{
	const struct timespec retry = { .tv_nsec = RETRY_NS };
	uint64_t end = now_ns(CLOCK_MONOTONIC) + BACK_MS * NS_PER_MS;

	while (module_unload() == EWOULDBLOCK && now_ns(CLOCK_MONOTONIC) < end)
		nanosleep(&retry, NULL);
}

/* Loads a module with the values. */
static bool bring_up(const char *file)
{
	return module_load(file, &parameters) && load();
}

/* udev gives the device its group. Where there is none, nothing is to be waited for. */
static void settle(void)
{
	char *argv[4] = { WORD("udevadm"), WORD("settle"), WORD("--timeout=5"), NULL };

	if (!access("/run/udev/control", F_OK))
		wait_for_command(start_command(argv, (struct bytes){ "", 0 }, -1, NULL));
}

/* As the device was before, also where no udev sees to that. */
static void restore_access(void)
{
	if (chown(DEVICE, old_device.st_uid, old_device.st_gid) ||
	    chmod(DEVICE, old_device.st_mode & 07777))
		report(DEVICE, "%s: its owner and mode may differ", strerror(errno));
}

/* Returns whether the module serves everybody. */
static bool finish(bool persisted)
{
	settle();
	restore_access();
	if (persisted)
		note_persisted();
	at_exit = NOTHING;
	unlink(dump_path);
	return serve_again();
}

static noreturn void go_back(bool persisted)
{
	report("upgrade", "%s could not take its place", new_file);
	unload_again();
	if (!old_file || !bring_up(old_file))
		exit(STATUS_COULD_NOT);
	finish(persisted);
	die(STATUS_COULD_NOT, "upgrade", "the old module is loaded again, with its values");
}

static void retire(void)
{
	int fd, error;

	snprintf(dump_path, sizeof(dump_path), "%s/mstore-upgrade-XXXXXX", directory);
	fd = mkstemp(dump_path);
	if (fd < 0)
		die(STATUS_COULD_NOT, dump_path, "%s", strerror(errno));
	close(fd);
	at_exit = SERVE_AGAIN;
	error = module_set_parameter("retired", "1");
	if (error)
		die(STATUS_COULD_NOT, "upgrade", "the module cannot be retired: %s",
		    strerror(error));
}

/* Signals wait, so that none leaves the machine without its values. */
static void block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGQUIT);
	sigaddset(signals, SIGTERM);
	sigprocmask(SIG_BLOCK, signals, &old_signals);
	/* A stop would be as bad. It is no reason to give up. */
	signal(SIGTSTP, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = next_option(&cmd_upgrade, argc, argv)) != -1) {
		if (option == OPT_BACK)
			old_file = optarg;
		else if (option == OPT_NO_BACK)
			no_back = true;
		else if (option == OPT_PATIENCE)
			patience_ms = parse_duration(&cmd_upgrade, "--timeout", optarg, 0,
						     PATIENCE_MAX_MS);
		else if (option == OPT_DIRECTORY)
			directory = optarg;
		else
			lose_private = true;
	}
	if (old_file && no_back)
		die_usage(&cmd_upgrade, "only one of --back and --no-back can be given");
	want_operands(&cmd_upgrade, argc, argv, "NEW.ko");
	new_file = argv[optind];
}

static void check_private_stores(struct mstore *store)
{
	if (!has_no_private_store(store))
		die(STATUS_NO, "upgrade",
		    "private stores end with the module; end these processes, or give --lose-private");
}

/* All that can be found out before others are hung up on. */
static void check_all(void)
{
	struct mstore *store;

	check_file(new_file);
	find_way_back();
	store = mstore_open(DEVICE, MSTORE_READ);
	if (!store)
		call_failed(DEVICE, errno);
	check_private_stores(store);
	check_room(store);
	mstore_close(store);
}

/* One may have been made since they were looked for. */
static void check_private_stores_again(void)
{
	struct mstore *store = open_exempt();

	if (!store)
		give_up(STATUS_COULD_NOT, "its device cannot be opened");
	check_private_stores(store);
	mstore_close(store);
}

static int upgrade(int argc, char **argv)
{
	sigset_t signals;
	bool persisted;

	parse(argc, argv);
	/* Programs of the system alone, as root runs them */
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	check_loaded_module();
	take_lock();
	check_all();
	persisted = is_persisted();
	block_signals(&signals);
	retire();
	check_private_stores_again();
	if (!dump())
		give_up(STATUS_COULD_NOT, "the values could not be dumped");
	unload(&signals);
	if (!bring_up(new_file))
		go_back(persisted);
	return finish(persisted) ? STATUS_YES : STATUS_COULD_NOT;
}

const struct command cmd_upgrade = {
	.name = "upgrade",
	.run = upgrade,
	.operands = "NEW.ko",
	.summary = "Replace the loaded module by the one in NEW.ko, which gets the values",
	.options = options,
};
